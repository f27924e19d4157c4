/*
 * What a passed-through device costs, by RDTSC where the rig's TSC counts instructions: QEMU's edu raises interrupts, and the
 * command registers of edu and of pci-testdev (membar=2M) map and unmap registers of 4 KiB, 1 MiB and 2 MiB.
 *   bench NAME least mean
 *   moment NAME TSC   of the handler, when the device interrupted at a whole millisecond of the machine's clock
 */
#include "edu.h"
#include "series.h"

#include "runtime/apic.h"

const char guest_name[] = "bench_devices";

#define TESTDEV_ID 0x00051b36u
#define PCI_BAR2 0x18u
#define VECTOR 0x51u
#define ROUNDS 40u
#define HALTS 20u
#define EDU_BASE 0xd0100000ul
#define SMALL_BASE 0xd0200000u
#define LARGE_BASE 0xd0400000u
#define NOWHERE 0u

static volatile uint64_t handled;
static uint8_t buffer[64] __attribute__((aligned(64)));

static void on_message(struct guest_frame *frame)
{
	(void)frame;
	handled = rdtsc();
	edu_write(EDU_ACKNOWLEDGE, edu_read(EDU_INTERRUPT));
	apic_end_of_interrupt();
}

/* From the write that makes the device interrupt to the handler's reading of the TSC. */
static void interrupt_a_computation(void)
{
	struct series series = {0};

	interrupts_on();
	for (unsigned round = 0; round < ROUNDS; round++) {
		uint64_t raised;

		handled = 0;
		raised = rdtsc();
		edu_write(EDU_RAISE, 1);
		while (handled == 0)
			continue;
		series_note(&series, handled - raised);
	}
	interrupts_off();
	series_report("interrupt-computing", &series);
}

/* The end of a transfer comes while the guest halts; who knows both clocks can tell when that was. */
static void interrupt_a_halt(void)
{
	static uint64_t moments[HALTS];

	for (unsigned round = 0; round < HALTS; round++) {
		handled = 0;
		*(volatile uint64_t *)(edu_base + EDU_DMA_SOURCE) = (uintptr_t)buffer;
		*(volatile uint64_t *)(edu_base + EDU_DMA_DESTINATION) = EDU_BUFFER;
		*(volatile uint64_t *)(edu_base + EDU_DMA_COUNT) = sizeof(buffer);
		*(volatile uint64_t *)(edu_base + EDU_DMA_COMMAND) = EDU_DMA_START | EDU_DMA_INTERRUPT;
		while (handled == 0)
			wait_for_interrupt();
		moments[round] = handled;
	}
	for (unsigned round = 0; round < HALTS; round++)
		guest_print("moment interrupt-halted %llu\n", (unsigned long long)moments[round]);
}

static uint64_t time_command(uint32_t command)
{
	uint64_t before = rdtsc();

	out32(PCI_DATA_PORT, command);
	return rdtsc() - before;
}

/* The write of the command register alone, once on and once off a round. */
static void switch_decoding(unsigned slot, const char *on_name, const char *off_name)
{
	struct series on = {0}, off = {0};

	pci_write(slot, PCI_COMMAND, 0);
	for (unsigned round = 0; round < ROUNDS; round++) {
		series_note(&on, time_command(PCI_COMMAND_MEMORY));
		series_note(&off, time_command(0));
	}
	series_report(on_name, &on);
	series_report(off_name, &off);
}

static void map(void)
{
	unsigned slot = pci_find(TESTDEV_ID);

	guest_check(slot != PCI_SLOTS, "no pci-testdev on the bus");
	if (slot == PCI_SLOTS)
		return;
	pci_write(slot, PCI_BAR2, NOWHERE);
	pci_write(slot, PCI_BAR2 + 4, 0);
	pci_write(slot, PCI_BAR0, SMALL_BASE);
	switch_decoding(slot, "map-4k", "unmap-4k");
	pci_write(slot, PCI_BAR0, NOWHERE);
	switch_decoding(slot, "command-on", "command-off");
	pci_write(slot, PCI_BAR2, LARGE_BASE);
	switch_decoding(slot, "map-2m", "unmap-2m");
	switch_decoding(edu_slot, "map-1m", "unmap-1m");
}

void guest_main(void)
{
	guest_interrupts_init();
	apic_enable(false);
	guest_handle(VECTOR, on_message);
	guest_check(edu_open(EDU_BASE), "no edu device on the bus");
	if (edu_base == 0)
		return;
	guest_check(pci_enable_msi(edu_slot, VECTOR), "edu has no MSI");
	interrupt_a_computation();
	interrupt_a_halt();
	map();
}
