/* The shell's commands, as a user types them, over made-up VMs and a made-up machine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "arch/x86/acpi/acpi.h"
#include "arch/x86/clock.h"
#include "arch/x86/cpu/features.h"
#include "arch/x86/pcpu.h"
#include "arch/x86/physmap.h"
#include "arch/x86/svm/svm.h"
#include "arch/x86/vmx/vmx.h"
#include "drivers/iommu/iommu.h"
#include "drivers/power/power.h"
#include "drivers/serial/uart16550.h"
#include "lib/bits.h"
#include "tests/fake/fake_cpu.h"
#include "tests/fake/fake_pcpu.h"
#include "tests/unit/shell_fixture.h"
#include "vmm/io_device.h"
#include "vmm/last_boot.h"
#include "vmm/report.h"
#include "vmm/sched/scheduler.h"
#include "vmm/sched/vm_life.h"
#include "vmm/shell/shell.h"

/* Named so that the archive's members come in; nothing else does. */
extern const struct shell_command shell_help_command, shell_list_command, shell_mem_command, shell_regs_command, shell_cpu_command,
	shell_log_command, shell_exits_command;
extern const struct report_provider report_processor_provider, report_iommu_provider;
const void *const wanted[] = {
	&shell_help_command, &shell_list_command, &shell_mem_command, &shell_regs_command, &shell_cpu_command, &shell_log_command,
	&shell_exits_command, &report_processor_provider, &report_iommu_provider,
};
extern const void *const wanted[9];

#define HZ 1000000000u
#define TABLE_ADDRESS 0x2000u

static struct vcpu vcpus[2];
static uint8_t ram[0x3000];
static enum status call_status;
static enum log_level level = LOG_INFO;
static unsigned powered_off, rebooted, flushed;
static struct acpi_info acpi;
static struct config config;
static const char *last_end;

size_t vm_stop_describe(const struct vm *vm, char *buffer, size_t size)
{
	(void)vm;
	return (size_t)snprintf(buffer, size, "exit 3");
}

enum status guest_memory_read(const struct guest_memory *memory, gpa_t address, void *buffer, uint64_t length)
{
	(void)memory;
	if (address.value > sizeof(ram) || length > sizeof(ram) - address.value)
		return STATUS_OUT_OF_RANGE;
	memcpy(buffer, ram + address.value, length);
	return STATUS_OK;
}

uint64_t vcpu_run_ticks(const struct vcpu *vcpu) { return vcpu->sched.run_ticks; }

uint64_t vcpu_gpr_read(struct vcpu *vcpu, unsigned number)
{
	return vcpu->index * 0x1000 + number;
}

uint64_t vm_life_first_entry_ticks(const struct vm *vm)
{
	return vm->id * 1000;
}

const struct config *vm_life_config(void) { return &config; }
const char *vm_life_creatable(uint32_t index) { return index < config.vm_count ? config.vms[index].name : NULL; }
const char *vm_life_last_end(const struct vm_config *section) { return section == &config.vms[0] ? last_end : NULL; }

enum status scheduler_call(struct vcpu *vcpu, void (*function)(struct vcpu *, void *), void *argument)
{
	if (call_status == STATUS_OK)
		function(vcpu, argument);
	return call_status;
}

const char *log_level_name(enum log_level number)
{
	static const char *const names[] = {"error", "warning", "info", "debug"};

	return names[number];
}

bool log_level_parse(const char *name, enum log_level *parsed)
{
	for (unsigned i = 0; i < LOG_LEVEL_COUNT; i++) {
		*parsed = (enum log_level)i;
		if (strcmp(name, log_level_name(*parsed)) == 0)
			return true;
	}
	return false;
}

void log_set_level(enum log_level number) { level = number; }
enum log_level log_get_level(void) { return level; }

/* Both logs: a line that is left of three. */
size_t log_read(struct log_reader *reader, char *buffer, size_t size)
{
	static const char text[] = "[    0.000001] info: hello\n";
	size_t length = min_u64(size, sizeof(text) - 1 - reader->position);

	memcpy(buffer, text + reader->position, length);
	reader->position += length;
	reader->lost = 2;
	return length;
}

uint64_t log_start_tsc(void) { return 1000; }

static struct last_boot_half *left_behind;
const struct last_boot_half *last_boot_find(void) { return left_behind; }
size_t last_boot_read_log(const struct last_boot_half *half, struct log_reader *reader, char *buffer, size_t size)
{
	assert_ptr_equal(half, left_behind);
	return log_read(reader, buffer, size);
}
bool log_ring_is_sound(const struct log_ring *ring) { return ring->sum == 0; }

void exit_recorder_print_records(const struct exit_recorder *recorder, uint32_t most, uint64_t start_tsc, virt_print print)
{
	print("%u records from %llu, the first at %llu\n", most, (unsigned long long)start_tsc, (unsigned long long)recorder->exits[0].time);
}

void exit_recorder_sum(const struct vcpu *vcpu, struct exit_cost *costs)
{
	(void)vcpu;
	costs[10].count += 2;
	costs[10].ticks += 301;
}

/* Neither, DMA only, or both. */
static bool iommu_translates, iommu_remaps;

bool iommu_is_available(const char **why)
{
	*why = iommu_translates ? "" : "no DMAR table";
	return iommu_translates;
}

bool iommu_isolates_interrupts(const char **why)
{
	*why = iommu_remaps ? "" : "unit 0 cannot";
	return iommu_remaps;
}

void iommu_poll_faults(void) { }
void iommu_describe(iommu_print print) { print("unit 0\n"); }

enum status power_off(void) { powered_off++; return STATUS_UNSUPPORTED; }
enum status power_reboot(void) { rebooted++; return STATUS_TIMEOUT; }
void uart16550_flush(void) { flushed++; }
void vmx_report(void (*print)(const char *format, ...)) { print("  EPT of 1 GiB pages yes\n"); }
void svm_report(void (*print)(const char *format, ...)) { print("  SVM no\n"); }
const struct acpi_info *acpi_get(void) { return &acpi; }
uint64_t page_pool_total_bytes(void) { return 512 * MIB; }
uint64_t page_pool_free_bytes(void) { return 100 * MIB; }
uint64_t page_pool_owned_bytes(enum page_owner owner) { return ((uint64_t)owner + 1) * MIB; }
enum status page_pool_allocate(enum page_order order, enum page_owner owner, hpa_t *page)
{
	(void)order, (void)owner, (void)page;
	return STATUS_NO_MEMORY;
}
void page_pool_free(hpa_t page, enum page_order order, enum page_owner owner) { (void)page, (void)order, (void)owner; }

static const char *reason_name(uint32_t reason)
{
	return reason == 10 ? "CPUID" : NULL;
}

static uint64_t register_read(struct virt_vcpu *vcpu, enum virt_register name)
{
	(void)vcpu;
	return 0xabc000 + (uint64_t)name;
}

static void segment_read(struct virt_vcpu *vcpu, enum virt_segment_name name, struct virt_segment *segment)
{
	(void)vcpu;
	*segment = (struct virt_segment){.selector = (uint16_t)(name * 8), .limit = 0xffff, .attributes = 0x1009b};
}

static void dump(struct virt_vcpu *vcpu, virt_print print)
{
	(void)vcpu;
	for (unsigned i = 0; i < 1000; i++)
		print("field %04u of the dump\n", i);
}

static const struct virt_ops fake_virt_ops = {
	.name = "VMX", .nested_name = "EPT", .reason_name = reason_name, .register_read = register_read,
	.segment_read = segment_read, .dump = dump,
};
const struct virt_ops *virt_ops;

const char *virt_missing_reason(void)
{
	return "the firmware has locked VMX off";
}

static void describe(struct io_device *device, void (*print)(const char *format, ...))
{
	(void)device;
	print("the model in words\n");
}

static const struct io_device_class fake_class = {.name = "fake", .order = 10, .describe = describe};
static struct io_device fake_device = {.class = &fake_class};

/* A table of one level whose entries are addresses with bit 0 set. */
static uint64_t make_leaf(hpa_t page, unsigned number, uint32_t attributes) { (void)number; return page.value | attributes << 1 | 1; }
static uint64_t make_table(hpa_t table) { return table.value | 1; }
static bool is_present(uint64_t entry) { return entry & 1; }
static bool is_leaf(uint64_t entry, unsigned number) { (void)entry; return number == 1; }
static hpa_t entry_address(uint64_t entry, unsigned number) { (void)number; return hpa(entry & ~0xfffull); }
static uint32_t entry_attributes(uint64_t entry) { return entry >> 1 & PAGE_RWX; }
static const struct page_table_format format = {
	.name = "fake", .levels = 3, .make_leaf = make_leaf, .make_table = make_table, .is_present = is_present, .is_leaf = is_leaf,
	.entry_address = entry_address, .entry_attributes = entry_attributes,
};

static void make_nested_table(struct vm *vm)
{
	for (unsigned i = 0; i < 3; i++)
		memset(physmap_pointer(hpa(TABLE_ADDRESS + i * PAGE_SIZE)), 0, PAGE_SIZE);
	((uint64_t *)physmap_pointer(hpa(TABLE_ADDRESS)))[0] = make_table(hpa(TABLE_ADDRESS + PAGE_SIZE));
	((uint64_t *)physmap_pointer(hpa(TABLE_ADDRESS + PAGE_SIZE)))[0] = make_table(hpa(TABLE_ADDRESS + 2 * PAGE_SIZE));
	((uint64_t *)physmap_pointer(hpa(TABLE_ADDRESS + 2 * PAGE_SIZE)))[5] = make_leaf(hpa(0x777000), 1, PAGE_READ | PAGE_WRITE);
	vm->memory.nested = (struct page_table){.format = &format, .root = hpa(TABLE_ADDRESS), .table_pages = 3};
}

static int setup(void **state)
{
	struct vm *vm = &fixture_vms[0];

	(void)state;
	fake_cpu_reset();
	features_init();
	clock_set_frequency(HZ);
	fixture_start();
	memset(vcpus, 0, sizeof(vcpus));
	vm->memory.size = 256 * MIB;
	vm->vcpu_count = 2;
	for (uint32_t i = 0; i < 2; i++) {
		vcpus[i].vm = vm;
		vcpus[i].index = i;
		vcpus[i].state = i == 0 ? VCPU_RUNNABLE : VCPU_BLOCKED;
		vcpus[i].sched.run_ticks = 1250000000;
		vcpus[i].exit_counts[10] = 100;
		vm->vcpus[i] = &vcpus[i];
	}
	vcpus[1].exit_counts[12] = 5000;
	list_append(&vm->devices, &fake_device.link);
	make_nested_table(vm);
	virt_ops = &fake_virt_ops;
	call_status = STATUS_OK;
	powered_off = rebooted = flushed = 0;
	memset(&acpi, 0, sizeof(acpi));
	fake_pcpu_reset();
	pcpu_get(0)->virtualization_on = true;
	pcpu_get(0)->current_vcpu = &vcpus[1];
	pcpu_get(0)->activity = "idle";
	assert_non_null(pcpu_add(4, 4));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fixture_end();
	return 0;
}

static const char *run(const char *line)
{
	terminal_clear();
	shell_execute(line);
	return terminal_text;
}

static void says(const char *line, const char *text)
{
	if (strstr(run(line), text) == NULL)
		fail_msg("`%s` said:\n%s", line, terminal_text);
}

static void list_shows_vms(void **state)
{
	(void)state;
	says("list", "Name                             ID Mem(MiB) VCPUs  State               Time(s)\n");
	says("list", "web                               1      256     2  runnable                2.5\n");
	fixture_vms[1].state = VM_STOPPED;
	says("list", "worker                            2        0     0  exit 3                  0.0\n");
	says("list", "free memory: 102400 KiB of 512 MiB\n");
}

static void list_shows_states(void **state)
{
	static const struct { enum vm_state state; bool paused; const char *name; } rows[] = {
		{VM_CREATED, true, "paused"}, {VM_CREATED, false, "created"}, {VM_RUNNING, true, "paused"}, {VM_RUNNING, false, "runnable"},
		{VM_STOPPING, false, "stopping (exit 3)"}, {VM_RESTARTING, false, "restarting (exit 3)"},
		{VM_DESTROYING, false, "destroying (exit 3)"},
	};

	(void)state;
	for (unsigned i = 0; i < array_count(rows); i++) {
		char line[128];

		fixture_vms[0].state = rows[i].state;
		fixture_vms[0].paused = rows[i].paused;
		snprintf(line, sizeof(line), "web                               1      256     2  %-16s ", rows[i].name);
		says("list", line);
	}
}

/* VMs of the configuration that do not live are off. */
static void list_shows_who_is_off(void **state)
{
	(void)state;
	config.vm_count = 3;
	config.vms[0] = (struct vm_config){.name = "old", .memory = 64 * MIB, .vcpus = 1};
	config.vms[1] = (struct vm_config){.name = "new", .memory = 32 * MIB, .vcpus = 2};
	config.vms[2] = (struct vm_config){.name = "web"};
	last_end = "poweroff";
	says("list", "old                               -       64     1  off (poweroff)            -\n");
	says("list", "new                               -       32     2  off                       -\n");
	assert_ptr_equal(strstr(terminal_text, "web "), strstr(terminal_text, "web                               1"));
	assert_null(strstr(strstr(terminal_text, "web ") + 4, "web "));
	config.vm_count = 0;
}

static void info_tells_all(void **state)
{
	(void)state;
	says("info web", "vCPU 1: blocked on CPU 0, 1250 ms");
	says("info web", "the model in words\n");
	says("info web", "256 MiB");
	says("info nobody", "nobody: no such VM");
	says("info", "usage: info NAME");
}

static void console_connects(void **state)
{
	(void)state;
	says("console web", "connected to web; Ctrl-] comes back");
	assert_ptr_equal(console_mux_attached(), &fixture_vms[0]);
	console_mux_detach();
	says("console frob", "no such VM");
	fixture_vms[1].state = VM_STOPPED;
	says("console worker", "worker has stopped");
	assert_null(console_mux_attached());
}

static void exits_are_sorted(void **state)
{
	const char *text;

	(void)state;
	text = run("exits web");
	assert_true(strstr(text, "5000") < strstr(text, "CPUID"));
	assert_non_null(strstr(text, "10 CPUID                                       200           80"));
	assert_non_null(strstr(run("exits"), "worker"));
}

static void exits_tell_what_the_last_ones_cost(void **state)
{
	(void)state;
	says("exits web", "10 CPUID                                       200           80          150\n");
	says("exits web", "12 ?                                          5000         2000\n");
}

static void trace_shows_the_last_exits(void **state)
{
	static struct exit_recorder recorder;

	(void)state;
	recorder.exits[0].time = 77;
	vcpus[1].recorder = &recorder;
	says("trace web 1", "16 records from 1000, the first at 77\n");
	says("trace web 1 256", "256 records from 1000, the first at 77\n");
	says("trace web 1 257", "N is a number from 1 to 0x100");
	says("trace web 2", "V is a number");
	says("trace nobody", "no such VM");
	says("trace", "usage: trace NAME [V] [N]");
}

static void last_boot_is_shown(void **state)
{
	static struct last_boot_half half;

	(void)state;
	says("dmesg --last", "only --last-boot is known");
	says("dmesg --last-boot", "nothing is left of an earlier boot");
	left_behind = &half;
	half.log.start_tsc = 5;
	half.header.owners[3] = (struct last_boot_owner){.name = "web", .vcpu = 2, .used = 1};
	half.recorders[3].exits[0].time = 9;
	says("dmesg --last-boot", "(2 lines lost)\n[    0.000001] info: hello\n");
	says("dmesg --last-boot", "last exits of vm web vcpu 2:\n16 records from 5, the first at 9\n");
	assert_null(strstr(terminal_text, "damaged"));
	half.log.sum = 1;
	says("dmesg --last-boot", "(damaged");
	left_behind = NULL;
}

static void mem_dumps(void **state)
{
	(void)state;
	for (unsigned i = 0; i < sizeof(ram); i++)
		ram[i] = (uint8_t)i;
	says("mem web 0x41 3", "0000000000000041  41 42 43                                         |ABC|\n");
	says("mem web 4K 17", "0000000000001010  10 ");
	says("mem web 0x2ff8", "no RAM there");
	says("mem web 0xffffffffffffffff", "GPA is a number");
	says("mem web 0 4097", "N is a number from 1");
	says("mem web x", "GPA is a number");
}

static void ept_walks(void **state)
{
	(void)state;
	says("ept web 0x5123", "level 3, table 0x2000, entry   0: 0x0000000000003001 table\n");
	says("ept web 0x5123", "level 1, table 0x4000, entry   5: 0x0000000000777007 page\n");
	says("ept web 0x5123", "0x5123 is at 0x777123, page of 4 KiB, rw-");
	says("ept web 0x6000", "not present\n0x6000 is not mapped");
	says("ept web 0x8000000000", "0x8000000000 is not mapped");
}

static void irq_shows_lines(void **state)
{
	(void)state;
	fixture_vms[0].irq.line_level[4] = true;
	says("irq web", "web: lines up: 4\nthe model in words\n");
	says("irq", "worker: lines up:\n");
}

static void regs_of_its_cpu(void **state)
{
	(void)state;
	says("regs web 1", "web, vCPU 1\nrax    0000000000001000  rcx    0000000000001001");
	says("regs web", "cs     0008 base 0000000000000000 limit 0000ffff attributes 1009b unusable");
	says("regs web 2", "V is a number from 0 to 0x1");
	says("regs worker", "has no vCPUs");
	call_status = STATUS_TIMEOUT;
	says("regs web", "CPU 0 did not answer");
}

static void long_dumps_are_cut(void **state)
{
	(void)state;
	says("vmcs web", "field 0700 of the dump\n");
	says("vmcs web", "(cut off)");
	assert_null(strstr(terminal_text, "field 0999"));
}

static void host_commands(void **state)
{
	(void)state;
	says("cpu", "  0        0 online   on             web/1                    idle\n");
	says("cpu", "  1        4 offline  off            - ");
	says("poweroff", "the machine stays on");
	says("reboot-host", "does not restart");
	assert_int_equal(powered_off, 1);
	assert_int_equal(rebooted, 1);
	assert_int_equal(flushed, 2);
}

static void report_names_what_is_missing(void **state)
{
	const char *text;

	(void)state;
	text = run("report");
	assert_true(strstr(text, "Processor\n") < strstr(text, "Virtualization\n"));
	assert_non_null(strstr(text, "yes, by VMX with EPT"));
	assert_non_null(strstr(text, "  usable                   512 MiB\n"));
	assert_non_null(strstr(text, "DMA translation          no: no DMAR table\n"));
	assert_non_null(strstr(text, "passing devices through  no: a device could reach all memory\n"));
	assert_non_null(strstr(text, "1000.000 MHz"));
	virt_ops = NULL;
	iommu_translates = true;
	text = run("report");
	assert_non_null(strstr(text, "DMA translation          yes\n"));
	assert_non_null(strstr(text, "interrupt remapping      no: unit 0 cannot\n"));
	assert_non_null(strstr(text, "passing devices through  no: a device could send any interrupt\n"));
	iommu_remaps = true;
	text = run("report");
	assert_null(strstr(text, "passing devices through"));
	assert_non_null(strstr(text, "virtual machines         no: the firmware has locked VMX off"));
	says("iommu", "unit 0\n");
}

static void log_commands(void **state)
{
	(void)state;
	says("dmesg", "(2 lines lost)\n[    0.000001] info: hello\n");
	says("log", "info\n");
	run("log debug");
	assert_int_equal(level, LOG_DEBUG);
	says("log loud", "no such level");
	assert_int_equal(level, LOG_DEBUG);
}

static void every_command_has_help(void **state)
{
	static const char *const names[] = {
		"help", "list", "info", "console", "exits", "trace", "regs", "mem", "ept", "vmcs", "irq", "cpu", "report", "dmesg", "log",
		"poweroff", "reboot-host",
	};

	(void)state;
	for (unsigned i = 0; i < array_count(names); i++) {
		char line[64];

		snprintf(line, sizeof(line), "help %s", names[i]);
		says(line, names[i]);
		assert_null(strstr(terminal_text, "no such command"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(list_shows_vms, setup, teardown),
		cmocka_unit_test_setup_teardown(list_shows_states, setup, teardown),
		cmocka_unit_test_setup_teardown(list_shows_who_is_off, setup, teardown),
		cmocka_unit_test_setup_teardown(info_tells_all, setup, teardown),
		cmocka_unit_test_setup_teardown(console_connects, setup, teardown),
		cmocka_unit_test_setup_teardown(exits_are_sorted, setup, teardown),
		cmocka_unit_test_setup_teardown(exits_tell_what_the_last_ones_cost, setup, teardown),
		cmocka_unit_test_setup_teardown(trace_shows_the_last_exits, setup, teardown),
		cmocka_unit_test_setup_teardown(last_boot_is_shown, setup, teardown),
		cmocka_unit_test_setup_teardown(mem_dumps, setup, teardown),
		cmocka_unit_test_setup_teardown(ept_walks, setup, teardown),
		cmocka_unit_test_setup_teardown(irq_shows_lines, setup, teardown),
		cmocka_unit_test_setup_teardown(regs_of_its_cpu, setup, teardown),
		cmocka_unit_test_setup_teardown(long_dumps_are_cut, setup, teardown),
		cmocka_unit_test_setup_teardown(host_commands, setup, teardown),
		cmocka_unit_test_setup_teardown(report_names_what_is_missing, setup, teardown),
		cmocka_unit_test_setup_teardown(log_commands, setup, teardown),
		cmocka_unit_test_setup_teardown(every_command_has_help, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
