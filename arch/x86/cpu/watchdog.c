#include "arch/x86/cpu/watchdog.h"

#include "arch/x86/clock.h"
#include "arch/x86/cpu/exceptions.h"
#include "arch/x86/cpu/watchdog_counter.h"
#include "arch/x86/cr.h"
#include "arch/x86/irq/lapic.h"
#include "lib/fmt.h"

#define SYMBOL_TEXT_SIZE 96u
#define NANOSECONDS_PER_SECOND 1000000000ull

/* What a CPU knew of itself when it was asked last. */
static struct answer {
	bool asked;         /* atomic; by the one who sent the NMI */
	uint64_t since;     /* host TSC at which the rest was true first; 0: never asked */
	uint64_t progress, exit;
} answers[PCPU_MAX];
static uint64_t (*last_exit)(const struct pcpu *pcpu);

void watchdog_set_last_exit(uint64_t (*time)(const struct pcpu *pcpu))
{
	last_exit = time;
}

void watchdog_ask(const struct pcpu *pcpu)
{
	__atomic_store_n(&answers[pcpu->index].asked, true, __ATOMIC_RELEASE);
	(void)lapic_send_nmi(pcpu->apic_id);
}

bool watchdog_answer(const struct idt_frame *frame)
{
	const struct pcpu *pcpu = pcpu_current();
	struct answer *answer = &answers[pcpu->index];
	bool sleeps = pcpu->idle || (frame->rflags & RFLAGS_IF) != 0;
	uint64_t exit = last_exit != NULL ? last_exit(pcpu) : 0, now = clock_now();
	char place[SYMBOL_TEXT_SIZE];

	if (!__atomic_exchange_n(&answer->asked, false, __ATOMIC_ACQUIRE) && !watchdog_counter_overflowed())
		return false;
	/* Interrupts are on nowhere else. An NMI that ended a guest's run is an exit itself, and counts as progress. */
	if (answer->since == 0 || sleeps || pcpu->progress != answer->progress || exit != answer->exit) {
		answer->since = now;
		answer->progress = pcpu->progress;
		answer->exit = exit;
		return true;
	}
	if (now - answer->since < clock_ticks_from_nanoseconds(WATCHDOG_LIMIT_SECONDS * NANOSECONDS_PER_SECOND))
		return true;
	symbols_print(symbols_table(), frame->rip, place, sizeof(place));
	exception_panic(frame, "CPU %u hangs in the hypervisor, rip %s", pcpu->index, place);
}
