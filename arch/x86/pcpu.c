#include "arch/x86/pcpu.h"

#include "arch/x86/insn.h"
#include "arch/x86/msr.h"
#include "arch/x86/panic.h"

/* A cache line apart, so that CPUs do not disturb each other. */
struct pcpu_slot {
	struct pcpu pcpu aligned_to(64);
};

static struct pcpu_slot slots[PCPU_MAX];
static uint32_t slot_count;

struct pcpu *pcpu_current(void)
{
	return insn_read_gs_pointer();
}

struct pcpu *pcpu_get(uint32_t index)
{
	assert_always(index < slot_count);
	return &slots[index].pcpu;
}

uint32_t pcpu_count(void)
{
	return slot_count;
}

static bool apic_id_is_taken(uint32_t apic_id)
{
	for (uint32_t index = 0; index < slot_count; index++)
		if (slots[index].pcpu.apic_id == apic_id)
			return true;
	return false;
}

struct pcpu *pcpu_add(uint32_t apic_id, uint32_t acpi_id)
{
	struct pcpu *pcpu;

	if (slot_count == PCPU_MAX || apic_id_is_taken(apic_id))
		return NULL;
	pcpu = &slots[slot_count].pcpu;
	*pcpu = (struct pcpu){
		.self = pcpu,
		.index = slot_count++,
		.apic_id = apic_id,
		.acpi_id = acpi_id,
		.activity = "not started",
	};
	return pcpu;
}

void pcpu_set_current(struct pcpu *pcpu)
{
	insn_wrmsr(MSR_GS_BASE, (uint64_t)(uintptr_t)pcpu);
}
