#include "runtime/smp.h"

#include "runtime/apic.h"
#include "runtime/cpu.h"
#include "runtime/guest.h"

#define WAIT_SECONDS 5u
#define TRAMPOLINE_PLACE 0x9000u
#define STACK_SIZE 8192u

/* What the trampoline is told; as smp_start.asm lays it out. */
struct smp_parameters {
	uint32_t page_map;
	uint16_t gdt_limit;
	uint32_t gdt_base;
} __attribute__((packed));

extern const uint8_t smp_trampoline[], smp_trampoline_end[], smp_trampoline_parameters[];
void smp_enter(uint32_t index);

uint8_t smp_stacks[SMP_MAX][STACK_SIZE] __attribute__((aligned(16)));
static void (*volatile codes[SMP_MAX])(unsigned index);

unsigned smp_count(void) { return cpuid(0xb, 1).ebx; }
unsigned smp_self(void) { return cpuid(0xb, 0).edx; }

static void place_trampoline(void)
{
	struct { uint16_t limit; uint64_t base; } __attribute__((packed)) gdt;
	struct smp_parameters *parameters = (void *)(uint64_t)(TRAMPOLINE_PLACE + (smp_trampoline_parameters - smp_trampoline));

	memcpy((void *)(uint64_t)TRAMPOLINE_PLACE, smp_trampoline, (size_t)(smp_trampoline_end - smp_trampoline));
	__asm__ volatile("sgdt %0" : "=m"(gdt));
	*parameters = (struct smp_parameters){ (uint32_t)read_cr3(), gdt.limit, (uint32_t)gdt.base };
}

void smp_enter(uint32_t index)
{
	guest_interrupts_init();
	codes[index](index);
	for (;;)
		__asm__ volatile("cli; hlt");
}

void smp_init_processor(unsigned index)
{
	apic_send(SMP_DELIVER_INIT | SMP_ASSERT, index);
}

void smp_start_processor(unsigned index, void (*code)(unsigned index))
{
	place_trampoline();
	codes[index] = code;
	smp_init_processor(index);
	for (unsigned i = 0; i < 2; i++)
		apic_send(SMP_DELIVER_STARTUP | SMP_ASSERT | TRAMPOLINE_PLACE >> 12, index);
}

bool smp_wait(const volatile uint32_t *value, uint32_t wanted)
{
	uint64_t start = rdtsc(), limit = WAIT_SECONDS * tsc_hertz();

	while (*value != wanted) {
		if (rdtsc() - start > limit)
			return false;
		__asm__ volatile("pause");
	}
	return true;
}
