/*
 * A passed-through device that raises its interrupt without end, for the second processor, which does not listen: so
 * whoever else runs on the CPU of that one is disturbed each time. After `wait` ms.
 */
#include "edu.h"

#include "runtime/apic.h"
#include "runtime/smp.h"
#include "runtime/work.h"

const char guest_name[] = "edu_storm";

#define BASE 0xd0000000ul
#define VECTOR 0x72u
#define SECOND (1u << 12) /* in a message's address */
#define PAUSE 20u         /* us between raises: QEMU lets no other processor take an interrupt while one writes registers */
#define RAISES 1024u      /* before the message is aimed anew, at the CPU where the second processor is by then */

static volatile uint32_t second_ready;

/* Its local APIC takes messages, it does not. */
static void be_deaf(unsigned index)
{
	(void)index;
	apic_enable(false);
	second_ready = 1;
	for (;;)
		__asm__ volatile("cli; hlt");
}

static void wait(uint64_t microseconds)
{
	for (uint64_t end = rdtsc() + ticks_from_microseconds(microseconds); rdtsc() < end;)
		;
}

void guest_main(void)
{
	unsigned msi;

	guest_interrupts_init();
	apic_enable(false);
	smp_start_processor(1, be_deaf);
	guest_check(smp_wait(&second_ready, 1), "the second processor does not start");
	guest_check(edu_open(BASE) && pci_enable_msi(edu_slot, VECTOR), "no edu device with MSI on the bus");
	wait(guest_option("wait", 0) * 1000);
	msi = pci_find_capability(edu_slot, PCI_CAPABILITY_MSI);
	guest_print("%s: begins\n", guest_name);
	for (;;) {
		pci_write(edu_slot, msi + 4, 0xfee00000 | SECOND);
		for (unsigned i = 0; i < RAISES; i++) {
			edu_write(EDU_RAISE, 1);
			wait(PAUSE);
		}
	}
}
