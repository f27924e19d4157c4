#include "vmm/watchdog.h"

#include "arch/x86/clock.h"
#include "arch/x86/cpu/watchdog.h"
#include "arch/x86/cpu/watchdog_counter.h"
#include "arch/x86/insn.h"
#include "arch/x86/irq/ipi.h"
#include "arch/x86/log.h"
#include "arch/x86/panic.h"
#include "arch/x86/pcpu.h"
#include "vmm/exit_recorder.h"
#include "vmm/report.h"
#include "vmm/vm.h"

#define NANOSECONDS_PER_SECOND 1000000000ull
#define SLEEPERS_LOOK_EVERY 2u /* times as long as the boot processor waits */

/* What one CPU saw when it looked last, and how many looks before had shown the same. */
struct seen {
	uint64_t progress, last_exit;
	unsigned looks;
};

/* Longer than from one pass to the next of a CPU whose guest never exits: nothing tells that it is in the guest. */
#define QUIET_LOOKS (SLEEPERS_LOOK_EVERY + 1)

static bool has_counter;  /* the only CPU is interrupted by its performance counter */
static uint64_t interval; /* of the boot processor's looks [TSC ticks]; 0: nobody looks */
static uint64_t next_look[PCPU_MAX]; /* each CPU its own */
static struct seen others[PCPU_MAX]; /* by the boot processor, by CPU */
static struct seen boot[PCPU_MAX];   /* the boot processor, by who looks */
static enum watchdog_provocation provocations[PCPU_MAX]; /* atomic */

/* Another one after each exit. */
static uint64_t last_exit_time(const struct vcpu *vcpu)
{
	return vcpu != NULL ? __atomic_load_n(&exit_recorder_last(vcpu)->time, __ATOMIC_RELAXED) : 0;
}

/* On the CPU itself, so that the vCPU cannot go away. */
static uint64_t own_last_exit(const struct pcpu *pcpu)
{
	return last_exit_time(pcpu->current_vcpu);
}

void watchdog_start(void)
{
	uint32_t online = 0;

	for (uint32_t i = 0; i < pcpu_count(); i++)
		online += pcpu_get(i)->online;
	watchdog_set_last_exit(own_last_exit);
	if (online == 1) {
		has_counter = watchdog_counter_start();
		return;
	}
	__atomic_store_n(&interval, clock_ticks_from_nanoseconds(NANOSECONDS_PER_SECOND), __ATOMIC_RELEASE);
	/* Those that sleep since they are there do so without a limit. */
	for (uint32_t i = 1; i < pcpu_count(); i++)
		if (pcpu_get(i)->online)
			ipi_kick(pcpu_get(i));
}

/* VMs come and go on the boot processor only, which is the one that looks: what is in the list stays. */
static const struct vcpu *find_vcpu(const struct pcpu *pcpu)
{
	const struct vcpu *current = __atomic_load_n(&pcpu->current_vcpu, __ATOMIC_RELAXED);

	for (uint32_t i = 0; current != NULL && i < vm_list_count; i++)
		for (uint32_t v = 0; v < vm_list[i]->vcpu_count; v++)
			if (vm_list[i]->vcpus[v] == current)
				return current;
	return NULL;
}

/* The last exit has been handled, and the guest was entered again. */
static bool is_in_guest(const struct vcpu *vcpu)
{
	return __atomic_load_n(&vcpu->state, __ATOMIC_RELAXED) == VCPU_RUNNING &&
	       __atomic_load_n(&exit_recorder_last(vcpu)->cost, __ATOMIC_RELAXED) != 0;
}

/* How many looks have shown the same by now. */
static unsigned update(struct seen *seen, uint64_t progress, uint64_t last_exit)
{
	bool same = seen->progress == progress && seen->last_exit == last_exit;

	*seen = (struct seen){progress, last_exit, same ? seen->looks + 1 : 0};
	return seen->looks;
}

static void look_at(struct pcpu *pcpu)
{
	const struct vcpu *vcpu = find_vcpu(pcpu);
	unsigned looks = update(&others[pcpu->index], __atomic_load_n(&pcpu->progress, __ATOMIC_RELAXED), last_exit_time(vcpu));

	if (looks >= QUIET_LOOKS && !__atomic_load_n(&pcpu->idle, __ATOMIC_RELAXED) && (vcpu == NULL || !is_in_guest(vcpu)))
		watchdog_ask(pcpu);
}

static void look_at_others(void)
{
	for (uint32_t i = 1; i < pcpu_count(); i++)
		if (pcpu_get(i)->online)
			look_at(pcpu_get(i));
}

static void look_at_boot_processor(uint32_t who)
{
	struct pcpu *pcpu = pcpu_get(0);

	if (update(&boot[who], __atomic_load_n(&pcpu->progress, __ATOMIC_RELAXED), 0) != 0)
		watchdog_ask(pcpu);
}

static no_inline noreturn_function void hang(void)
{
	for (;;)
		insn_pause();
}

static no_inline void obey(uint32_t index)
{
	if (__atomic_exchange_n(&provocations[index], WATCHDOG_PROVOKE_NONE, __ATOMIC_ACQUIRE) == WATCHDOG_PROVOKE_HANG)
		hang();
	panic("provoked on CPU %u", index);
}

void watchdog_provoke(struct pcpu *pcpu, enum watchdog_provocation what)
{
	__atomic_store_n(&provocations[pcpu->index], what, __ATOMIC_RELEASE);
}

uint64_t watchdog_look(uint64_t now)
{
	struct pcpu *pcpu = pcpu_current();
	uint32_t index = pcpu->index;
	uint64_t wait = __atomic_load_n(&interval, __ATOMIC_ACQUIRE);

	pcpu->progress++;
	if (unlikely(__atomic_load_n(&provocations[index], __ATOMIC_RELAXED) != WATCHDOG_PROVOKE_NONE))
		obey(index);
	if (wait == 0)
		return UINT64_MAX;
	if (now < next_look[index])
		return next_look[index];
	if (index == 0) {
		look_at_others();
	} else {
		look_at_boot_processor(index);
		wait *= SLEEPERS_LOOK_EVERY;
	}
	next_look[index] = now + wait;
	return next_look[index];
}

extern const struct report_provider report_watchdog_provider;

static void report(report_print print)
{
	if (interval != 0)
		report_row(print, "watchdog", "yes, CPUs look after each other", "");
	else
		report_row(print, "watchdog", has_counter ? "yes, by a performance counter" : "no",
			   has_counter ? "" : "nobody notices when the only CPU hangs in the hypervisor");
}

const struct report_provider report_watchdog_provider = {"Keeping running", 60, report};
REPORT_PROVIDER(report_watchdog_provider);
