#include "arch/x86/irq/lapic.h"

#include "arch/x86/insn.h"
#include "arch/x86/irq/interrupt.h"
#include "arch/x86/irq/lapic_registers.h"
#include "arch/x86/log.h"
#include "arch/x86/mm/host_paging.h"
#include "arch/x86/mmio.h"
#include "arch/x86/msr.h"

#define CPUID_FEATURES 0x1u
#define CPUID_APIC BIT(9)    /* EDX */
#define CPUID_X2APIC BIT(21) /* ECX */

#define IN_SERVICE_REGISTERS 8u
#define IN_SERVICE_VECTORS 256u
#define MAX_XAPIC_ID 0xfeu
#define DELIVERY_WAIT_TICKS 100000000u /* TSC; a few hundredths of a second, where microseconds are normal */
#define LVT_CMCI_INDEX 6u

static volatile uint8_t *registers; /* xAPIC mode */
static bool x2apic;
static uint64_t error_count;

static uint32_t x2apic_msr(enum lapic_register offset)
{
	return MSR_X2APIC_BASE + ((uint32_t)offset >> 4);
}

uint32_t lapic_read(enum lapic_register offset)
{
	if (x2apic)
		return (uint32_t)insn_rdmsr(x2apic_msr(offset));
	return mmio_read32(registers + offset);
}

void lapic_write(enum lapic_register offset, uint32_t value)
{
	if (x2apic)
		insn_wrmsr(x2apic_msr(offset), value);
	else
		mmio_write32(registers + offset, value);
}

bool lapic_is_x2apic(void)
{
	return x2apic;
}

uint32_t lapic_id(void)
{
	uint32_t id = lapic_read(LAPIC_ID);

	return x2apic ? id : id >> 24;
}

void lapic_end_of_interrupt(void)
{
	lapic_write(LAPIC_EOI, 0);
}

/* Reading needs a write first, which latches what happened since the last one. */
static void handle_error(uint8_t vector)
{
	(void)vector;
	lapic_write(LAPIC_ERROR_STATUS, 0);
	log_warning("local APIC error %#x", lapic_read(LAPIC_ERROR_STATUS));
	__atomic_fetch_add(&error_count, 1, __ATOMIC_RELAXED);
}

uint64_t lapic_error_count(void)
{
	return __atomic_load_n(&error_count, __ATOMIC_RELAXED);
}

/* What the firmware left in service would block every vector of its priority and below. */
static void end_leftover_interrupts(void)
{
	for (unsigned tries = 0; tries < IN_SERVICE_VECTORS; tries++) {
		uint32_t in_service = 0;

		for (unsigned i = 0; i < IN_SERVICE_REGISTERS; i++)
			in_service |= lapic_read((enum lapic_register)(LAPIC_IN_SERVICE + i * 0x10));
		if (in_service == 0)
			return;
		lapic_end_of_interrupt();
	}
}

/* Only NMI on LINT1 stays open, where the chipset reports hardware errors. */
static void mask_local_vectors(void)
{
	uint32_t max_lvt = LAPIC_VERSION_MAX_LVT(lapic_read(LAPIC_VERSION));

	lapic_write(LAPIC_LVT_TIMER, LAPIC_LVT_MASKED | INTERRUPT_VECTOR_TIMER);
	lapic_write(LAPIC_LVT_LINT0, LAPIC_LVT_MASKED | INTERRUPT_VECTOR_SPURIOUS);
	lapic_write(LAPIC_LVT_LINT1, LAPIC_LVT_MODE_NMI);
	lapic_write(LAPIC_LVT_ERROR, INTERRUPT_VECTOR_ERROR);
	if (max_lvt >= 4)
		lapic_write(LAPIC_LVT_PERFORMANCE, LAPIC_LVT_MASKED | INTERRUPT_VECTOR_SPURIOUS);
	if (max_lvt >= 5)
		lapic_write(LAPIC_LVT_THERMAL, LAPIC_LVT_MASKED | INTERRUPT_VECTOR_SPURIOUS);
	if (max_lvt >= LVT_CMCI_INDEX)
		lapic_write(LAPIC_LVT_CMCI, LAPIC_LVT_MASKED | INTERRUPT_VECTOR_SPURIOUS);
}

void lapic_init_cpu(void)
{
	uint64_t base = insn_rdmsr(MSR_APIC_BASE);
	uint64_t wanted = base | APIC_BASE_ENABLE | (x2apic ? APIC_BASE_X2APIC : 0);

	/* x2APIC is reached from xAPIC only; from "disabled" it takes two steps. */
	if (wanted != base) {
		insn_wrmsr(MSR_APIC_BASE, base | APIC_BASE_ENABLE);
		insn_wrmsr(MSR_APIC_BASE, wanted);
	}
	lapic_write(LAPIC_TASK_PRIORITY, 0);
	lapic_write(LAPIC_SPURIOUS, (uint32_t)LAPIC_SPURIOUS_ENABLE | INTERRUPT_VECTOR_SPURIOUS);
	mask_local_vectors();
	end_leftover_interrupts();
	lapic_write(LAPIC_ERROR_STATUS, 0);
}

static enum status map_registers(uint64_t base)
{
	registers = host_paging_map_device(hpa(base & APIC_BASE_ADDRESS), PAGE_SIZE, false);
	if (registers != NULL)
		return STATUS_OK;
	log_error("local APIC: its registers cannot be mapped");
	return STATUS_NO_MEMORY;
}

enum status lapic_init(bool x2apic_opt_out)
{
	struct cpuid_result features = insn_cpuid(CPUID_FEATURES, 0);
	enum status status = STATUS_OK;
	uint64_t base;

	if (!(features.edx & CPUID_APIC)) {
		log_error("local APIC: this CPU has none, or the firmware disabled it");
		return STATUS_UNSUPPORTED;
	}
	base = insn_rdmsr(MSR_APIC_BASE);
	x2apic = (base & APIC_BASE_X2APIC) || ((features.ecx & CPUID_X2APIC) && !x2apic_opt_out);
	if (!x2apic)
		status = map_registers(base);
	if (status != STATUS_OK)
		return status;
	interrupt_register(INTERRUPT_VECTOR_ERROR, handle_error);
	lapic_init_cpu();
	log_info("local APIC: id %u, %s mode", lapic_id(), x2apic ? "x2APIC" : "xAPIC");
	return STATUS_OK;
}

static bool wait_delivered(void)
{
	uint64_t start = insn_rdtsc();

	while (lapic_read(LAPIC_COMMAND) & LAPIC_COMMAND_PENDING) {
		if (insn_rdtsc() - start > DELIVERY_WAIT_TICKS)
			return false;
		insn_pause();
	}
	return true;
}

/* ICR: one 64-bit MSR, or two registers of which the low one sends. */
static enum status send(uint32_t apic_id, uint32_t command)
{
	if (x2apic) {
		/* WRMSR to x2APIC registers does not wait for stores to be seen. */
		insn_mfence();
		insn_lfence();
		insn_wrmsr(x2apic_msr(LAPIC_COMMAND), (uint64_t)apic_id << 32 | command);
		return STATUS_OK;
	}
	if (apic_id > MAX_XAPIC_ID)
		return STATUS_OUT_OF_RANGE;
	if (!wait_delivered())
		return STATUS_TIMEOUT;
	lapic_write(LAPIC_COMMAND_HIGH, apic_id << 24);
	lapic_write(LAPIC_COMMAND, command);
	return wait_delivered() ? STATUS_OK : STATUS_TIMEOUT;
}

enum status lapic_send_ipi(uint32_t apic_id, uint8_t vector)
{
	return send(apic_id, LAPIC_COMMAND_FIXED | (uint32_t)LAPIC_COMMAND_ASSERT | vector);
}

enum status lapic_send_nmi(uint32_t apic_id)
{
	return send(apic_id, LAPIC_COMMAND_NMI | (uint32_t)LAPIC_COMMAND_ASSERT);
}

enum status lapic_send_init(uint32_t apic_id)
{
	return send(apic_id, LAPIC_COMMAND_INIT | (uint32_t)LAPIC_COMMAND_ASSERT);
}

enum status lapic_send_startup(uint32_t apic_id, uint8_t page)
{
	return send(apic_id, LAPIC_COMMAND_STARTUP | (uint32_t)LAPIC_COMMAND_ASSERT | page);
}
