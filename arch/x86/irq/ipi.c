#include "arch/x86/irq/ipi.h"

#include "arch/x86/insn.h"
#include "arch/x86/irq/interrupt.h"
#include "arch/x86/irq/lapic.h"
#include "arch/x86/log.h"
#include "arch/x86/panic_hooks.h"
#include "arch/x86/spinlock.h"

#define CALL_WAIT_TICKS 4000000000u
#define STOP_WAIT_TICKS 200000000u

enum mailbox_state { MAILBOX_EMPTY, MAILBOX_ASKED, MAILBOX_RUNNING };

/* What a CPU is asked to do. @lock protects the rest; it is held by the caller until its call was served. */
struct mailbox {
	struct spinlock lock;
	enum mailbox_state state; /* asked by the caller, the rest by the CPU that is asked */
	ipi_function function;
	void *argument;
};

static struct mailbox mailboxes[PCPU_MAX];
static uint32_t stopped_count;

static void serve_own_mailbox(void)
{
	struct mailbox *mailbox = &mailboxes[pcpu_current()->index];

	/* While the function runs it may wait for a call of its own, and come by here again. */
	if (__atomic_load_n(&mailbox->state, __ATOMIC_ACQUIRE) != MAILBOX_ASKED)
		return;
	mailbox->state = MAILBOX_RUNNING;
	mailbox->function(mailbox->argument);
	__atomic_store_n(&mailbox->state, MAILBOX_EMPTY, __ATOMIC_RELEASE);
}

static void handle_call(uint8_t vector)
{
	(void)vector;
	serve_own_mailbox();
}

void ipi_init(void)
{
	interrupt_register(INTERRUPT_VECTOR_CALL, handle_call);
}

void ipi_kick(const struct pcpu *pcpu)
{
	(void)lapic_send_ipi(pcpu->apic_id, INTERRUPT_VECTOR_KICK);
}

static bool lock_while_serving(struct mailbox *mailbox, uint64_t start)
{
	while (!spinlock_try_lock(&mailbox->lock)) {
		serve_own_mailbox();
		if (insn_rdtsc() - start > CALL_WAIT_TICKS)
			return false;
		insn_pause();
	}
	return true;
}

static enum status wait_served(struct mailbox *mailbox, uint64_t start)
{
	while (__atomic_load_n(&mailbox->state, __ATOMIC_ACQUIRE) != MAILBOX_EMPTY) {
		serve_own_mailbox();
		if (insn_rdtsc() - start > CALL_WAIT_TICKS)
			return STATUS_TIMEOUT;
		insn_pause();
	}
	return STATUS_OK;
}

enum status ipi_call(struct pcpu *pcpu, ipi_function function, void *argument)
{
	struct mailbox *mailbox = &mailboxes[pcpu->index];
	uint64_t start = insn_rdtsc();
	enum status status;

	if (!pcpu->online)
		return STATUS_INVALID;
	if (pcpu == pcpu_current()) {
		function(argument);
		return STATUS_OK;
	}
	if (!lock_while_serving(mailbox, start))
		return STATUS_TIMEOUT;
	mailbox->function = function;
	mailbox->argument = argument;
	__atomic_store_n(&mailbox->state, MAILBOX_ASKED, __ATOMIC_RELEASE);
	status = lapic_send_ipi(pcpu->apic_id, INTERRUPT_VECTOR_CALL);
	if (status == STATUS_OK)
		status = wait_served(mailbox, start);
	if (status == STATUS_OK)
		spinlock_unlock(&mailbox->lock); /* else the CPU is lost: its mailbox stays closed */
	else
		log_error("CPU %u does not answer: %s", pcpu->index, status_name(status));
	return status;
}

void ipi_stop_self(void)
{
	__atomic_fetch_add(&stopped_count, 1, __ATOMIC_RELEASE);
	panic_halt();
}

/* Panic: NMIs reach CPUs that have interrupts off or run a guest; one that does not answer is left behind. */
static void stop_others(void)
{
	const struct pcpu *self = pcpu_current();
	uint32_t asked = 0;
	uint64_t start;

	for (uint32_t index = 0; index < pcpu_count(); index++) {
		const struct pcpu *pcpu = pcpu_get(index);

		if (pcpu != self && pcpu->online && lapic_send_nmi(pcpu->apic_id) == STATUS_OK)
			asked++;
	}
	start = insn_rdtsc();
	while (__atomic_load_n(&stopped_count, __ATOMIC_ACQUIRE) < asked && insn_rdtsc() - start < STOP_WAIT_TICKS)
		insn_pause();
}

static const struct panic_hook stop_hook = {PANIC_STAGE_STOP_CPUS, stop_others};
PANIC_HOOK(stop_hook);
