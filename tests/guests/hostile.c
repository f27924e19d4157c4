/*
 * A neighbour that means ill, for ever, in the way that its command line names: `cli` computes with interrupts off, `flood`
 * writes to its UART as fast as it can, `ipi` sends every kind of IPI to its second vCPU, itself and everybody, `exits` makes
 * the shortest exits there are, `crash` ends by a triple fault at once, and `sleep` wakes and halts again all the time.
 */
#include "runtime/guest.h"

#include "runtime/apic.h"
#include "runtime/cpu.h"
#include "runtime/smp.h"
#include "runtime/work.h"

const char guest_name[] = "hostile";

#define VECTOR 0x40u
#define NMI 2u
#define MSR_MISC_ENABLE 0x1a0u

static void ignore_interrupt(struct guest_frame *frame) { (void)frame; }

static void end_interrupt(struct guest_frame *frame)
{
	(void)frame;
	apic_end_of_interrupt();
}

static void spin(void)
{
	for (;;)
		__asm__ volatile("cli");
}

static void flood(void)
{
	for (unsigned i = 0;; i++)
		out8(COM1, i % 64 == 63 ? '\n' : (uint8_t)('a' + i % 26));
}

static void hammer(void)
{
	const uint64_t misc_enable = rdmsr(MSR_MISC_ENABLE);

	const bool is_amd = cpu_is_amd();

	for (;;) {
		if (is_amd)
			__asm__ volatile("vmmcall" : : : "rax", "memory");
		else
			__asm__ volatile("vmcall" : : : "rax", "memory");
		wrmsr(MSR_MISC_ENABLE, misc_enable);
		rdmsr(MSR_MISC_ENABLE);
		cpuid(0, 0);
	}
}

static void crash(void)
{
	struct { uint16_t limit; uint64_t base; } __attribute__((packed)) none = { 0, 0 };

	__asm__ volatile("lidt %0; ud2" : : "m"(none));
}

static void use_apic(void)
{
	apic_enable(false);
	guest_handle(VECTOR, end_interrupt);
	guest_handle(NMI, ignore_interrupt);
}

static volatile uint32_t second_ready;

/* Every kind of message between processors, to everybody, for ever. The first now and then starts the other anew. */
static void send_messages(unsigned self)
{
	static const uint32_t messages[] = {
		VECTOR, SMP_DELIVER_NMI, VECTOR | SMP_DELIVER_LOWEST, VECTOR | SMP_TO_OTHERS, VECTOR | SMP_TO_ALL, VECTOR | SMP_TO_SELF,
		SMP_DELIVER_NMI | SMP_TO_OTHERS, VECTOR | SMP_LOGICAL,
	};

	use_apic();
	interrupts_on();
	second_ready = self;
	for (unsigned i = 0;; i++) {
		if (self == 0 && i % 4096 == 0) {
			second_ready = 0;
			smp_start_processor(1, send_messages);
			/* An NMI before it has a table of interrupts would end the VM. */
			while (!second_ready)
				apic_send(VECTOR | SMP_TO_SELF, 0);
		}
		apic_send(messages[i % (sizeof(messages) / sizeof(*messages))], 1 - self);
	}
}

static void send_interrupts(void)
{
	pic_init(0x20, 0);
	send_messages(0);
}

static void wake_and_sleep(void)
{
	pic_init(0x20, 0);
	use_apic();
	apic_write(APIC_LVT_TIMER, VECTOR | LVT_TIMER_DEADLINE);
	for (;;) {
		wrmsr(MSR_TSC_DEADLINE, rdtsc() + 1);
		wait_for_interrupt();
	}
}

void guest_main(void)
{
	static const struct { const char *name; void (*run)(void); } ways[] = {
		{ "cli", spin }, { "flood", flood }, { "ipi", send_interrupts }, { "exits", hammer }, { "crash", crash },
		{ "sleep", wake_and_sleep },
	};

	for (unsigned i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
		if (guest_has_word(ways[i].name))
			ways[i].run();
	}
	guest_fail("no way to be hostile is named");
}
