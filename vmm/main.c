/*
 * The composition root: from the loader's jump to the scheduler, one table of stages that reads as the order of boot.
 */
#include "vmm/main.h"

#include "arch/x86/acpi/acpi.h"
#include "arch/x86/clock.h"
#include "arch/x86/cpu/ap_startup.h"
#include "arch/x86/cpu/cpu.h"
#include "arch/x86/cpu/features.h"
#include "arch/x86/irq/interrupt.h"
#include "arch/x86/irq/ioapic.h"
#include "arch/x86/log.h"
#include "arch/x86/long_work.h"
#include "arch/x86/mm/host_paging.h"
#include "arch/x86/mm/page_pool.h"
#include "arch/x86/panic.h"
#include "arch/x86/pcpu.h"
#include "arch/x86/physmap.h"
#include "arch/x86/svm/svm.h"
#include "arch/x86/vmx/vmx.h"
#include "drivers/framebuffer/framebuffer.h"
#include "drivers/iommu/iommu.h"
#include "drivers/pci/pci.h"
#include "drivers/power/power.h"
#include "drivers/serial/uart16550.h"
#include "drivers/timer/rtc.h"
#include "drivers/timer/timer.h"
#include "lib/string.h"
#include "vmm/config.h"
#include "vmm/console_mux.h"
#include "vmm/cpuid_policy.h"
#include "vmm/guest_code.h"
#include "vmm/last_boot.h"
#include "vmm/machine_check_blame.h"
#include "vmm/msr_policy.h"
#include "vmm/sched/scheduler.h"
#include "vmm/sched/vm_life.h"
#include "vmm/shell/shell.h"
#include "vmm/vcpu_posting.h"
#include "vmm/vm.h"
#include "vmm/vm_console.h"
#include "vmm/wall_clock.h"
#include "vmm/watchdog.h"

#define COM_IRQ_1_3 4u
#define COM_IRQ_2_4 3u

struct boot_stage {
	const char *name;
	/* On failure *@why says what was found and what can be done, static text. */
	enum status (*run)(const char **why);
};

static struct boot_info boot_information;
static struct config config;
static unsigned config_faults;

static void report_config_fault(void *context, unsigned line, unsigned column, const char *message)
{
	(void)context;
	log_error("trivet.conf:%u:%u: %s", line, column, message);
}

static enum status read_configuration(const char **why)
{
	const struct boot_file *file = boot_info_find_file(&boot_information, "trivet.conf");

	(void)why;
	if (file) {
		config_faults = config_parse(physmap_pointer(hpa(file->base)), file->size, &config, report_config_fault, NULL);
	} else {
		config_faults = config_parse("", 0, &config, NULL, NULL);
		log_error("trivet.conf: not found on the boot medium (expected trivet/trivet.conf): no VM is started");
	}
	log_set_level((enum log_level)config.host.log_level);
	return STATUS_OK;
}

static const struct console_port serial_port = {.read = uart16550_read, .room = uart16550_output_room, .write = uart16550_write,
						.write_raw = uart16550_write_raw, .burst = UART16550_OUTPUT_SIZE / 2};

static enum status start_serial(const char **why)
{
	bool found = config.host.console_serial && uart16550_init(config.host.console_serial_port, config.host.console_baud) == STATUS_OK;

	(void)why;
	console_mux_init(found ? &serial_port : NULL);
	return STATUS_OK;
}

static void log_loader_messages(void)
{
	const char *text = boot_information.messages;
	size_t left = string_length_bounded(text, sizeof(boot_information.messages));

	while (left) {
		size_t length = 0;
		while (length < left && text[length] != '\n')
			length++;
		log_warning("loader: %.*s", (int)length, text);
		length += length < left;
		text += length;
		left -= length;
	}
}

static enum status start_memory(const char **why)
{
	*why = "the machine's memory map leaves no room for the hypervisor";
	enum status status = host_memory_init(&boot_information);
	if (status != STATUS_OK)
		return status;
	if (config.host.console_framebuffer && framebuffer_init(&boot_information.framebuffer) == STATUS_OK)
		log_add_sink(&framebuffer_log_sink);
	log_loader_messages();
	return STATUS_OK;
}

static enum status read_acpi(const char **why)
{
	(void)why;
	if (acpi_init(hpa(boot_information.acpi_rsdp), host_paging_map_reserved) != STATUS_OK)
		log_warning("no ACPI tables: one CPU, no I/O APIC, no power-off");
	return STATUS_OK;
}

static enum status start_clock(const char **why)
{
	struct timer_calibration calibration;
	uint64_t seconds;

	*why = "the time-stamp counter's frequency is not told and no clock moves to measure it";
	enum status status = timer_calibrate_tsc(&calibration);
	if (status != STATUS_OK)
		return status;
	log_info("clock: TSC at %llu.%03llu MHz, by %s", (unsigned long long)(calibration.hz / 1000000),
		 (unsigned long long)(calibration.hz / 1000 % 1000), calibration.source);
	if (rtc_read(&seconds) == STATUS_OK)
		wall_clock_set(seconds);
	else
		log_warning("clock: the battery-backed clock does not answer: guests' time starts at 1970");
	return STATUS_OK;
}

static void handle_serial(uint8_t vector)
{
	(void)vector;
	/* What is sent needs no housekeeping until there is room for much. */
	if (uart16550_interrupt())
		scheduler_attention();
}

static void route_serial(void)
{
	const struct acpi_madt *madt = &acpi_get()->madt;
	uint16_t port = uart16550_port();
	struct acpi_override line = acpi_madt_isa_gsi(madt, port == 0x3f8 || port == 0x3e8 ? COM_IRQ_1_3 : COM_IRQ_2_4);

	if (!port)
		return;
	interrupt_register(INTERRUPT_VECTOR_SERIAL, handle_serial);
	if (ioapic_route(line.gsi, INTERRUPT_VECTOR_SERIAL, pcpu_current()->apic_id, line.trigger == ACPI_TRIGGER_LEVEL,
			 line.polarity == ACPI_POLARITY_LOW) == STATUS_OK)
		uart16550_enable_interrupts();
	else
		log_warning("serial: no interrupt for COM port 0x%x: typed characters wait until a guest exits", port);
}

static enum status start_interrupts(const char **why)
{
	const struct acpi_madt *madt = &acpi_get()->madt;

	*why = "the local APIC does not answer";
	enum status status = cpu_init_interrupts(acpi_get()->dmar.x2apic_opt_out);
	if (status != STATUS_OK)
		return status;
	for (uint32_t i = 0; i < madt->io_apic_count; i++) {
		const struct acpi_io_apic *io_apic = &madt->io_apics[i];
		if (ioapic_add(io_apic->id, io_apic->address, io_apic->gsi_base) != STATUS_OK)
			log_warning("I/O APIC %u at 0x%llx: cannot be used", io_apic->id, (unsigned long long)io_apic->address.value);
	}
	route_serial();
	return STATUS_OK;
}

static enum status find_pci(const char **why)
{
	(void)why;
	pci_config_init();
	if (pci_scan() == STATUS_NOT_FOUND)
		log_warning("pci: this machine shows no functions");
	log_info("pci: %u functions", pci_count());
	return STATUS_OK;
}

static enum status start_iommu(const char **why)
{
	const char *missing;

	(void)why;
	enum status status = iommu_init(&boot_information);
	if (!iommu_is_available(&missing))
		log_write(status == STATUS_NOT_FOUND ? LOG_INFO : LOG_WARNING,
			  "IOMMU: none is used, so that no device can be passed through: %s", missing);
	else if (!iommu_isolates_interrupts(&missing))
		log_warning("IOMMU: DMA is translated; interrupts are not remapped: %s", missing);
	else
		log_info("IOMMU: DMA is translated, interrupts are remapped; all devices are in quarantine");
	return STATUS_OK;
}

static bool virtualization_found;

/* Per CPU, on that CPU. */
static void enable_virtualization(void)
{
	struct pcpu *pcpu = pcpu_current();

	if (!virtualization_found)
		return;
	enum status status = virt_ops->cpu_enable();
	if (status != STATUS_OK)
		log_error("cpu %u: %s cannot be switched on: %s: it runs no VMs", pcpu->index, virt_ops->name, status_name(status));
}

static enum status start_virtualization(const char **why)
{
	const char *missing = "this CPU has neither VMX (Intel VT-x) nor SVM (AMD-V)";

	(void)why;
	cpuid_policy_init();
	msr_policy_init();
	/* A CPU has one of them at most. */
	if (features_has(CPU_FEATURE_SVM) && svm_probe(&missing) == STATUS_OK)
		virt_set_ops(&svm_ops);
	else if (features_has(CPU_FEATURE_VMX) && vmx_probe(&missing) == STATUS_OK)
		virt_set_ops(&vmx_ops);
	virtualization_found = virt_ops != NULL;
	if (virtualization_found) {
		virt_set_guest_access(guest_code_read, guest_code_operand);
		log_info("virtualization: %s with %s", virt_ops->name, virt_ops->nested_name);
	} else {
		virt_set_missing(missing);
		log_warning("VMs cannot run: %s", missing);
	}
	enable_virtualization();
	return STATUS_OK;
}

noreturn_function static void run_application_processor(struct pcpu *pcpu)
{
	enable_virtualization();
	pcpu->activity = "scheduling";
	__atomic_store_n(&pcpu->online, true, __ATOMIC_RELEASE);
	scheduler_loop();
}

static enum status start_processors(const char **why)
{
	const struct acpi_madt *madt = &acpi_get()->madt;

	*why = "no memory for the processors' run queues";
	for (uint32_t i = 0; i < madt->processor_count; i++) {
		const struct acpi_processor *processor = &madt->processors[i];
		if (processor->enabled && processor->apic_id != pcpu_get(0)->apic_id && !pcpu_add(processor->apic_id, processor->acpi_id))
			log_warning("cpu: APIC id %u: listed twice or more than %u processors: not used", processor->apic_id, PCPU_MAX);
	}
	enum status status = scheduler_init();
	if (status != STATUS_OK)
		return status;
	vcpu_posting_init();
	ap_startup_all(run_application_processor);
	return STATUS_OK;
}

static void leave(enum status (*way)(void), const char *what)
{
	log_info("all VMs have stopped: %s", what);
	uart16550_flush();
	enum status status = way();
	log_error("%s failed: %s", what, status_name(status));
}

static void when_all_stopped(void)
{
	if (config.host.when_all_stopped == CONFIG_WHEN_STOPPED_POWEROFF)
		leave(power_off, "power-off");
	else if (config.host.when_all_stopped == CONFIG_WHEN_STOPPED_REBOOT)
		leave(power_reboot, "reboot");
}

/* A guest sends, on any CPU. */
static void handle_guest_output(void)
{
	if (clock_now() >= console_mux_next_poll())
		scheduler_attention();
}

/* What the boot processor does beside running vCPUs. */
static bool housekeeping(void)
{
	static bool any_alive;
	bool had_alive = any_alive, more;

	/* Much to do one after the other leaves no time for the serial line's interrupt. */
	uart16550_collect();
	more = console_mux_poll();
	if (clock_now() < console_mux_next_poll())
		scheduler_attention_at(console_mux_next_poll());
	more = vm_life_work() || more;
	any_alive = vm_life_count_alive() != 0;
	if (had_alive && !any_alive)
		when_all_stopped();
	return more;
}

static enum status start_shell(const char **why)
{
	uint32_t online = 0;

	(void)why;
	for (uint32_t i = 0; i < pcpu_count(); i++)
		online += pcpu_get(i)->online;
	scheduler_set_housekeeping(housekeeping);
	uart16550_set_room_hook(scheduler_attention);
	long_work_set_hook(uart16550_collect);
	panic_set_reboot(config.host.panic_reboot, power_reboot);
	machine_check_blame_init();
	watchdog_start();
	vm_console_set_output_hook(handle_guest_output);
	log_info("trivet %s: up, %u CPUs, %llu MiB", TRIVET_VERSION, online, (unsigned long long)(page_pool_total_bytes() / MIB));
	shell_start();
	return STATUS_OK;
}

static enum status start_vms(const char **why)
{
	(void)why;
	scheduler_set_cpus(config.host.cpus);
	vm_life_init(&boot_information, &config);
	vm_life_autostart();
	shell_execute_script(config.host.autoexec);
	scheduler_attention();
	return STATUS_OK;
}

static const struct boot_stage stages[] = {
	{"configuration", read_configuration},
	{"serial console", start_serial},
	{"memory", start_memory},
	{"ACPI", read_acpi},
	{"clock", start_clock},
	{"interrupts", start_interrupts},
	{"PCI", find_pci},
	{"IOMMU", start_iommu},
	{"virtualization", start_virtualization},
	{"processors", start_processors},
	{"shell", start_shell},
	{"virtual machines", start_vms},
};

static void take_boot_info(hpa_t address)
{
	const struct boot_info *given = physmap_pointer(address);
	const char *why;

	if (boot_info_check(given, &why) != STATUS_OK)
		panic("the loader's boot information is wrong: %s", why);
	boot_information = *given;
}

noreturn_function void hypervisor_main(hpa_t boot_info, uint64_t image_base)
{
	(void)image_base;
	cpu_init_boot();
	pcpu_current()->activity = "booting";
	take_boot_info(boot_info);
	last_boot_init(&boot_information);
	for (size_t i = 0; i < array_count(stages); i++) {
		const char *why = "";
		enum status status = stages[i].run(&why);
		if (status != STATUS_OK)
			panic("boot stage %s: %s (%s)", stages[i].name, why, status_name(status));
	}
	scheduler_loop();
}
