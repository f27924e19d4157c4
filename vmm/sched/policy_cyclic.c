/*
 * cyclic: a static timetable, as ARINC Specification 653 describes it ("Partition Scheduling"): a major frame that repeats
 * for ever, and in it the windows in which a VM runs. Inside its window nothing goes before its vCPU; outside it never runs.
 * All frames of the host count from one moment, so that windows on several CPUs keep step: a VM with several vCPUs has the
 * same windows on as many CPUs, and runs on all of them at once.
 */
#include "arch/x86/clock.h"
#include "lib/bits.h"
#include "lib/fmt.h"
#include "vmm/sched/policy.h"
#include "vmm/sched/policy_pinned.h"
#include "vmm/sched/scheduler_cpu.h"
#include "vmm/vm.h"

/* A window's vCPU is taken so long before the window begins, loaded, and let go on time. */
#define LEAD_MICROSECONDS 10u
#define LEAD_TICKS 4000u /* on slow machines: what a switch costs in the worst case */

static uint64_t common_epoch; /* host TSC; 0: no VM was admitted yet; boot processor */

static uint64_t ticks_from_microseconds(uint64_t microseconds)
{
	return clock_ticks_from_nanoseconds(microseconds * 1000);
}

static uint64_t lead_ticks(void)
{
	return max_u64(ticks_from_microseconds(LEAD_MICROSECONDS), LEAD_TICKS);
}

static uint32_t microseconds_from_ticks(uint64_t ticks)
{
	return (uint32_t)((clock_nanoseconds_from_ticks(ticks) + 500) / 1000);
}

/* ---- admission ---- */

static struct policy_cyclic_window window_of(struct vm *vm, const struct config_window *window)
{
	uint64_t start = ticks_from_microseconds(window->start);

	/* The end is converted, not the length, so that windows which touch still do. */
	return (struct policy_cyclic_window){start, ticks_from_microseconds((uint64_t)window->start + window->length) - start, vm};
}

/* The window on @cpu that @window overlaps; NULL: none. */
static const struct policy_cyclic_window *find_collision(const struct scheduler_cpu *cpu, const struct policy_cyclic_window *window)
{
	for (uint32_t i = 0; i < cpu->cyclic.window_count; i++) {
		const struct policy_cyclic_window *other = &cpu->cyclic.windows[i];

		if (window->start < other->start + other->length && other->start < window->start + window->length)
			return other;
	}
	return NULL;
}

static bool has_windows_of(const struct scheduler_cpu *cpu, const struct vm *vm)
{
	for (uint32_t i = 0; i < cpu->cyclic.window_count; i++) {
		if (cpu->cyclic.windows[i].owner == vm)
			return true;
	}
	return false;
}

static bool windows_fit(const struct scheduler_cpu *cpu, struct vm *vm, char *why)
{
	for (uint32_t i = 0; i < vm->sched_settings.window_count; i++) {
		const struct config_window *wanted = &vm->sched_settings.windows[i];
		struct policy_cyclic_window window = window_of(vm, wanted);
		const struct policy_cyclic_window *other = find_collision(cpu, &window);

		if (!other)
			continue;
		fmt_print(why, SCHED_REFUSAL_SIZE, "window %uus+%uus overlaps %uus+%uus of %s on CPU %u; move it, or other `cpus`", wanted->start,
			  wanted->length, microseconds_from_ticks(other->start), microseconds_from_ticks(other->length),
			  other->owner->config->name, cpu->index);
		return false;
	}
	return true;
}

/* Whether @vm's windows can be put on @cpu; else @why tells. */
static bool fits(const struct scheduler_cpu *cpu, struct vm *vm, char *why)
{
	const struct config_sched *settings = &vm->sched_settings;
	const struct policy_cyclic_cpu *cyclic = &cpu->cyclic;

	if (cpu->rt.reserved) {
		fmt_print(why, SCHED_REFUSAL_SIZE, "CPU %u has rt vCPUs, whose time windows would take; give it others by `cpus`", cpu->index);
		return false;
	}
	if (cyclic->window_count && cyclic->frame != ticks_from_microseconds(settings->frame)) {
		fmt_print(why, SCHED_REFUSAL_SIZE, "the frame of CPU %u is %uus (%s), not %uus; use the same, or other `cpus`", cpu->index,
			  microseconds_from_ticks(cyclic->frame), cyclic->windows[0].owner->config->name, settings->frame);
		return false;
	}
	if (has_windows_of(cpu, vm)) {
		fmt_print(why, SCHED_REFUSAL_SIZE, "each of its vCPUs needs a CPU of its own: as many `cpus` as vCPUs, or more");
		return false;
	}
	if (cyclic->window_count + settings->window_count > POLICY_CYCLIC_MAX_WINDOWS) {
		fmt_print(why, SCHED_REFUSAL_SIZE, "CPU %u has room for %u windows and no more; other `cpus` help", cpu->index,
			  POLICY_CYCLIC_MAX_WINDOWS);
		return false;
	}
	return windows_fit(cpu, vm, why);
}

/* CPUs that have windows already come first and keep the others free for other policies; the boot processor comes last. */
static struct scheduler_cpu *choose(uint64_t candidates, struct vm *vm, char *why)
{
	struct scheduler_cpu *chosen = NULL;

	for (; candidates; candidates &= candidates - 1) {
		struct scheduler_cpu *cpu = scheduler_cpu_of(bits_lowest(candidates));

		if (!fits(cpu, vm, why))
			continue;
		if (!chosen || chosen->index == 0 || (cpu->cyclic.window_count && !chosen->cyclic.window_count))
			chosen = cpu;
	}
	return chosen;
}

static void insert_window_locked(struct policy_cyclic_cpu *cyclic, struct policy_cyclic_window window)
{
	uint32_t i = cyclic->window_count++;

	for (; i > 0 && cyclic->windows[i - 1].start > window.start; i--)
		cyclic->windows[i] = cyclic->windows[i - 1];
	cyclic->windows[i] = window;
}

static enum status admit_cyclic(struct vcpu *vcpu, uint64_t allowed, uint32_t *pcpu_index, char *why)
{
	struct vm *vm = vcpu->vm;
	uint64_t candidates = sched_cpus_not_pinned(allowed);

	if (!candidates)
		return sched_refuse_pinned(why);
	struct scheduler_cpu *cpu = choose(candidates, vm, why);
	if (!cpu)
		return STATUS_DENIED;
	if (!common_epoch)
		common_epoch = clock_now();
	spinlock_lock(&cpu->lock);
	cpu->cyclic.epoch = common_epoch;
	cpu->cyclic.frame = ticks_from_microseconds(vm->sched_settings.frame);
	cpu->cyclic.lead = lead_ticks();
	for (uint32_t i = 0; i < vm->sched_settings.window_count; i++)
		insert_window_locked(&cpu->cyclic, window_of(vm, &vm->sched_settings.windows[i]));
	vcpu->sched.cyclic.due = vcpu->sched.cyclic.late_max = 0;
	spinlock_unlock(&cpu->lock);
	*pcpu_index = cpu->index;
	return STATUS_OK;
}

static void leave_cyclic(struct vcpu *vcpu)
{
	struct scheduler_cpu *cpu = scheduler_cpu_of(vcpu->pcpu_index);
	struct policy_cyclic_cpu *cyclic = &cpu->cyclic;
	uint32_t kept = 0;

	spinlock_lock(&cpu->lock);
	for (uint32_t i = 0; i < cyclic->window_count; i++) {
		if (cyclic->windows[i].owner != vcpu->vm)
			cyclic->windows[kept++] = cyclic->windows[i];
	}
	cyclic->window_count = kept;
	spinlock_unlock(&cpu->lock);
}

/* ---- the timetable ---- */

/* How long ago the frame began in which @now lies. */
static uint64_t phase_of(const struct policy_cyclic_cpu *cyclic, uint64_t now)
{
	return (now - cyclic->epoch) % cyclic->frame;
}

/* The vCPU of @vm that waits on this CPU; a VM has one at most. */
static struct vcpu *find_waiting(struct policy_cyclic_cpu *cyclic, const struct vm *vm)
{
	list_for_each(link, &cyclic->queue) {
		struct vcpu *vcpu = list_entry(link, struct vcpu, sched.link);

		if (vcpu->vm == vm)
			return vcpu;
	}
	return NULL;
}

static const struct policy_cyclic_window *find_open_window(const struct policy_cyclic_cpu *cyclic, uint64_t phase)
{
	for (uint32_t i = 0; i < cyclic->window_count; i++) {
		const struct policy_cyclic_window *window = &cyclic->windows[i];

		if (phase >= window->start && phase < window->start + window->length)
			return window;
	}
	return NULL;
}

/* The time from @phase until @window's vCPU is to be taken, in this frame or the next. */
static uint64_t time_to_lead(const struct policy_cyclic_cpu *cyclic, const struct policy_cyclic_window *window, uint64_t phase)
{
	return (window->start + 2 * cyclic->frame - cyclic->lead - phase) % cyclic->frame;
}

/* A window that is about to begin, and whose vCPU waits for it. */
static const struct policy_cyclic_window *find_next_window(struct policy_cyclic_cpu *cyclic, uint64_t phase)
{
	for (uint32_t i = 0; i < cyclic->window_count; i++) {
		const struct policy_cyclic_window *window = &cyclic->windows[i];
		uint64_t since_lead = cyclic->frame - time_to_lead(cyclic, window, phase);

		if (since_lead % cyclic->frame < cyclic->lead && find_waiting(cyclic, window->owner))
			return window;
	}
	return NULL;
}

static void enqueue_cyclic(struct scheduler_cpu *cpu, struct vcpu *vcpu, enum sched_enqueue_reason reason, uint64_t now)
{
	(void)reason, (void)now;
	list_append(&cpu->cyclic.queue, &vcpu->sched.link);
}

static void dequeue_cyclic(struct scheduler_cpu *cpu, struct vcpu *vcpu)
{
	(void)cpu;
	list_remove(&vcpu->sched.link);
}

static struct vcpu *pick_cyclic(struct scheduler_cpu *cpu, uint64_t now, uint64_t *until)
{
	struct policy_cyclic_cpu *cyclic = &cpu->cyclic;

	if (list_is_empty(&cyclic->queue))
		return NULL;
	uint64_t phase = phase_of(cyclic, now), begin;
	const struct policy_cyclic_window *open = find_open_window(cyclic, phase), *window = find_next_window(cyclic, phase);
	if (window && (!open || open->owner != window->owner)) {
		begin = now + (window->start + cyclic->frame - phase) % cyclic->frame;
		cpu->enter_at = begin;
	} else {
		window = open;
		begin = window ? now - (phase - window->start) : 0;
	}
	struct vcpu *vcpu = window ? find_waiting(cyclic, window->owner) : NULL;
	if (!vcpu)
		return NULL;
	list_remove(&vcpu->sched.link);
	/* One that fell asleep, or woke inside its window, is not late. */
	vcpu->sched.cyclic.due = vcpu->sched.since <= begin ? begin : 0;
	*until = begin + window->length;
	return vcpu;
}

/* The next begin of a window whose owner waits for it. */
static uint64_t next_event_cyclic(struct scheduler_cpu *cpu, uint64_t now)
{
	struct policy_cyclic_cpu *cyclic = &cpu->cyclic;
	uint64_t next = UINT64_MAX;

	if (list_is_empty(&cyclic->queue))
		return UINT64_MAX;
	uint64_t phase = phase_of(cyclic, now);
	for (uint32_t i = 0; i < cyclic->window_count; i++) {
		const struct policy_cyclic_window *window = &cyclic->windows[i];
		uint64_t time = time_to_lead(cyclic, window, phase);

		if (find_waiting(cyclic, window->owner))
			next = min_u64(next, now + (time ? time : cyclic->frame));
	}
	return next;
}

static void charge_cyclic(struct scheduler_cpu *cpu, struct vcpu *vcpu, uint64_t from, uint64_t to)
{
	uint64_t due = vcpu->sched.cyclic.due;

	(void)cpu, (void)to;
	if (!due || from < due)
		return;
	vcpu->sched.cyclic.late_max = max_u64(vcpu->sched.cyclic.late_max, from - due);
	vcpu->sched.cyclic.due = 0;
}

const struct sched_policy sched_policy_cyclic = {
	.name = "cyclic",
	.precedence = 20,
	.admit = admit_cyclic,
	.leave = leave_cyclic,
	.enqueue = enqueue_cyclic,
	.dequeue = dequeue_cyclic,
	.pick = pick_cyclic,
	.next_event = next_event_cyclic,
	.charge = charge_cyclic,
};
