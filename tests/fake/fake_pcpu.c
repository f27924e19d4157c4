#include "fake_pcpu.h"

#include "arch/x86/panic.h"

static struct pcpu blocks[PCPU_MAX] = {{.self = &blocks[0], .online = true, .activity = "unit test"}};
static uint32_t count = 1;
static struct pcpu *current = &blocks[0];

void fake_pcpu_reset(void)
{
	for (uint32_t index = 0; index < PCPU_MAX; index++)
		blocks[index] = (struct pcpu){.self = &blocks[index], .index = index};
	blocks[0].online = true;
	blocks[0].activity = "unit test";
	current = &blocks[0];
	count = 1;
}

struct pcpu *pcpu_current(void)
{
	return current;
}

struct pcpu *pcpu_get(uint32_t index)
{
	assert_always(index < count);
	return &blocks[index];
}

uint32_t pcpu_count(void)
{
	return count;
}

struct pcpu *pcpu_add(uint32_t apic_id, uint32_t acpi_id)
{
	if (count == PCPU_MAX)
		return NULL;
	blocks[count] = (struct pcpu){.self = &blocks[count], .index = count, .apic_id = apic_id, .acpi_id = acpi_id};
	return &blocks[count++];
}

void pcpu_set_current(struct pcpu *pcpu)
{
	current = pcpu;
}
