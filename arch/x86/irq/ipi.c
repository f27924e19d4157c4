#include "arch/x86/irq/ipi.h"

#include "arch/x86/insn.h"
#include "arch/x86/irq/interrupt.h"
#include "arch/x86/irq/lapic.h"
#include "arch/x86/log.h"
#include "arch/x86/panic_hooks.h"
#include "arch/x86/spinlock.h"
#include "arch/x86/virt.h"

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
static bool stopping, stopped[PCPU_MAX]; /* atomic */

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
	if (ipi_is_stopping())
		ipi_stop_self();
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
	/* In VMX operation a CPU does not hear the INIT by which some machines restart. */
	if (virt_ops != NULL && !panic_is_active())
		virt_ops->cpu_disable();
	__atomic_store_n(&stopped[pcpu_current()->index], true, __ATOMIC_RELEASE);
	panic_halt();
}

bool ipi_is_stopping(void)
{
	return __atomic_load_n(&stopping, __ATOMIC_ACQUIRE);
}

static bool is_running(const struct pcpu *pcpu)
{
	return pcpu != pcpu_current() && pcpu->online && !__atomic_load_n(&stopped[pcpu->index], __ATOMIC_ACQUIRE);
}

static bool others_run(void)
{
	for (uint32_t index = 0; index < pcpu_count(); index++)
		if (is_running(pcpu_get(index)))
			return true;
	return false;
}

/* One that does not answer in time is left behind. */
static void ask_to_stop(bool by_nmi)
{
	uint64_t start = insn_rdtsc();

	__atomic_store_n(&stopping, true, __ATOMIC_RELEASE);
	for (uint32_t index = 0; index < pcpu_count(); index++) {
		const struct pcpu *pcpu = pcpu_get(index);

		if (is_running(pcpu))
			(void)(by_nmi ? lapic_send_nmi(pcpu->apic_id) : lapic_send_ipi(pcpu->apic_id, INTERRUPT_VECTOR_CALL));
	}
	while (others_run() && insn_rdtsc() - start < STOP_WAIT_TICKS)
		insn_pause();
}

void ipi_stop_others(void)
{
	if (!panic_is_active())
		ask_to_stop(false);
	ask_to_stop(true);
}

static const struct panic_hook stop_hook = {PANIC_STAGE_STOP_CPUS, ipi_stop_others};
PANIC_HOOK(stop_hook);
