#include "arch/x86/cpu/ap_startup.h"

#include "arch/x86/clock.h"
#include "arch/x86/cpu/control_registers.h"
#include "arch/x86/cpu/cpu.h"
#include "arch/x86/cpu/features.h"
#include "arch/x86/cpu/gdt.h"
#include "arch/x86/cpu/stack.h"
#include "arch/x86/cpu/tsc.h"
#include "arch/x86/insn.h"
#include "arch/x86/irq/lapic.h"
#include "arch/x86/log.h"
#include "arch/x86/mm/host_paging.h"
#include "arch/x86/mm/page_pool.h"
#include "arch/x86/panic.h"
#include "arch/x86/physmap.h"
#include "lib/string.h"

#define INIT_DELAY_MICROSECONDS 10000u
#define STARTUP_DELAY_MICROSECONDS 200u
#define STARTUP_IPIS 2u
#define START_WAIT_NANOSECONDS 500000000u
#define LEAF_FEATURES 0x1u
#define LEAF_TOPOLOGY 0xbu

/* The end of ap_trampoline.asm, field by field. */
struct ap_trampoline_fields {
	uint64_t stack_top, pcpu, enter;
	uint32_t page_table_root, apic_id, apic_id_leaf;
	uint32_t protected_mode_offset;
	uint16_t protected_mode_selector;
	uint32_t long_mode_offset;
	uint16_t long_mode_selector;
	uint16_t gdt_limit;
	uint32_t gdt_base;
} packed_struct;

extern const uint8_t ap_trampoline_start[], ap_trampoline_end[], ap_trampoline_fields[];

/* What the CPU that starts others and the one that is starting tell each other. */
static struct {
	ap_main_function ap_main;
	uint32_t alive; /* index of the CPU that runs C code; 0: none yet */
	struct tsc_check tsc_check;
	uint64_t wait_ticks;
} start;

/* First C code of a started CPU. */
static noreturn_function void enter(struct pcpu *pcpu)
{
	gdt_load(pcpu);
	cpu_init_started();
	if (lapic_id() != pcpu->apic_id)
		log_warning("CPU %u calls itself APIC id %u, the firmware %u", pcpu->index, lapic_id(), pcpu->apic_id);
	__atomic_store_n(&start.alive, pcpu->index, __ATOMIC_RELEASE);
	if (!tsc_check_run(&start.tsc_check, 1, start.wait_ticks))
		log_warning("CPU %u: TSC not compared, the boot processor did not answer", pcpu->index);
	pcpu->activity = "starting";
	start.ap_main(pcpu);
	panic("CPU %u has nothing left to do", pcpu->index);
}

static void prepare_trampoline(hpa_t page, const struct pcpu *pcpu)
{
	uint8_t *copy = physmap_pointer(page);
	struct ap_trampoline_fields fields;

	memcpy(copy, ap_trampoline_start, (size_t)(ap_trampoline_end - ap_trampoline_start));
	memcpy(&fields, ap_trampoline_fields, sizeof(fields));
	fields.stack_top = pcpu->stack_top;
	fields.pcpu = (uint64_t)(uintptr_t)pcpu;
	fields.enter = (uint64_t)(uintptr_t)enter;
	fields.page_table_root = (uint32_t)host_paging_root().value;
	fields.apic_id = pcpu->apic_id;
	fields.apic_id_leaf = features_identity()->max_leaf >= LEAF_TOPOLOGY && insn_cpuid(LEAF_TOPOLOGY, 0).ebx != 0 ?
			      LEAF_TOPOLOGY : LEAF_FEATURES;
	fields.protected_mode_offset += (uint32_t)page.value;
	fields.long_mode_offset += (uint32_t)page.value;
	fields.gdt_base += (uint32_t)page.value;
	memcpy(copy + (ap_trampoline_fields - ap_trampoline_start), &fields, sizeof(fields));
}

static bool wait_alive(const struct pcpu *pcpu, uint64_t ticks)
{
	uint64_t since = clock_now();

	while (__atomic_load_n(&start.alive, __ATOMIC_ACQUIRE) != pcpu->index) {
		if (clock_now() - since > ticks)
			return false;
		insn_pause();
	}
	return true;
}

/* INIT, then two start-up IPIs: a second one that comes when the first was heard does nothing. */
static bool wake(const struct pcpu *pcpu, hpa_t trampoline)
{
	uint8_t page = (uint8_t)(trampoline.value >> PAGE_SHIFT);

	if (lapic_send_init(pcpu->apic_id) != STATUS_OK)
		return false;
	clock_delay_microseconds(INIT_DELAY_MICROSECONDS);
	for (unsigned i = 0; i < STARTUP_IPIS; i++) {
		if (lapic_send_startup(pcpu->apic_id, page) != STATUS_OK)
			return false;
		if (wait_alive(pcpu, clock_ticks_from_nanoseconds(STARTUP_DELAY_MICROSECONDS * 1000)))
			return true;
	}
	return wait_alive(pcpu, start.wait_ticks);
}

static bool compare_tsc(const struct pcpu *pcpu)
{
	if (!tsc_check_run(&start.tsc_check, 0, start.wait_ticks))
		return false;
	if (start.tsc_check.worst_lag != 0)
		log_warning("CPU %u: its TSC differs from the boot processor's by %llu ticks or more; time will jump in guests "
			    "that move", pcpu->index, (unsigned long long)start.tsc_check.worst_lag);
	return true;
}

static bool wait_online(const struct pcpu *pcpu)
{
	uint64_t since = clock_now();

	while (!__atomic_load_n(&pcpu->online, __ATOMIC_ACQUIRE)) {
		if (clock_now() - since > start.wait_ticks)
			return false;
		insn_pause();
	}
	return true;
}

static void start_one(struct pcpu *pcpu, hpa_t trampoline)
{
	enum status status = gdt_create(pcpu);

	if (status == STATUS_OK)
		status = stack_create(pcpu);
	if (status != STATUS_OK) {
		log_error("CPU %u (APIC id %u) not started: %s", pcpu->index, pcpu->apic_id, status_name(status));
		return;
	}
	start.alive = 0;
	start.tsc_check = (struct tsc_check){0, 0, 0};
	prepare_trampoline(trampoline, pcpu);
	if (wake(pcpu, trampoline) && compare_tsc(pcpu) && wait_online(pcpu))
		return;
	/* Whatever it does, it must not go on with memory that the next one will use. */
	(void)lapic_send_init(pcpu->apic_id);
	log_error("CPU %u (APIC id %u) does not answer: it stays off", pcpu->index, pcpu->apic_id);
}

static uint32_t count_online(void)
{
	uint32_t online = 0;

	for (uint32_t index = 0; index < pcpu_count(); index++)
		online += pcpu_get(index)->online;
	return online;
}

uint32_t ap_startup_all(ap_main_function ap_main)
{
	const struct pcpu *self = pcpu_current();
	enum status status;
	hpa_t trampoline;

	if (pcpu_count() == 1)
		return 1;
	status = page_pool_reserve_low_page(&trampoline);
	if (status == STATUS_OK)
		status = host_paging_map_identity(trampoline);
	if (status != STATUS_OK) {
		log_error("other CPUs not started: no page below 1 MiB for their start-up code: %s", status_name(status));
		return 1;
	}
	control_registers_capture();
	start.ap_main = ap_main;
	start.wait_ticks = max_u64(clock_ticks_from_nanoseconds(START_WAIT_NANOSECONDS), START_WAIT_NANOSECONDS);
	for (uint32_t index = 0; index < pcpu_count(); index++)
		if (pcpu_get(index) != self)
			start_one(pcpu_get(index), trampoline);
	host_paging_unmap_identity(trampoline);
	return count_online();
}
