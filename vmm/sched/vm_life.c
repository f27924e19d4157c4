#include "vmm/sched/vm_life.h"

#include "arch/x86/clock.h"
#include "lib/string.h"
#include "vmm/console_mux.h"
#include "vmm/exit/exit_handlers.h"
#include "vmm/sched/scheduler.h"
#include "vmm/sched/vm_launch.h"
#include "vmm/vm.h"

#define SCRUB_PIECE (2 * MIB)
#define MILLISECOND 1000000ull /* [nanoseconds] */
#define FIRST_DELAY (100 * MILLISECOND)
#define LONGEST_DELAY (10000 * MILLISECOND)
#define LONG_LIFE (10000 * MILLISECOND) /* a VM that lived that long is started again at once */
#define RETRY_DELAY (10000 * MILLISECOND)
#define END_SIZE (VM_STOP_TEXT_SIZE + 16)

static char last_ends[CONFIG_MAX_VMS][END_SIZE]; /* by section of the configuration; "": has not ended yet */
static uint64_t next_scrub; /* host TSC */

static uint64_t after(uint64_t nanoseconds)
{
	return clock_now() + clock_ticks_from_nanoseconds(nanoseconds);
}

/* Calls vm_life_work() again at @time; true if that is now. */
static bool is_due(uint64_t time)
{
	if (clock_now() >= time)
		return true;
	scheduler_attention_at(time);
	return false;
}

/* ---- the end ---- */

static void announce(const char *name, const char *why)
{
	log_info("vm %s: stopped (%s)", name, why);
}

static void remember_end(const struct vm *vm)
{
	const struct config *config = vm_life_config();

	for (uint32_t i = 0; i < config->vm_count && vm->stop_kind != VM_STOP_NONE; i++) {
		if (strcmp(config->vms[i].name, vm->config->name) == 0)
			vm_stop_describe(vm, last_ends[i], END_SIZE);
	}
}

/* False: a CPU does not answer, so it may still use what would be given back; it is asked again later. */
static bool leave_scheduler(struct vm *vm)
{
	if (vm_launch_leave(vm))
		return true;
	if (!vm->life.said_unreachable)
		log_error("vm %s: a CPU that ran it does not answer: its memory stays taken for now", vm->config->name);
	vm->life.said_unreachable = true;
	vm->life.due = after(RETRY_DELAY);
	scheduler_attention_at(vm->life.due);
	return false;
}

/* Announced last: by then its memory and its devices are there for others. */
static bool tear_down(struct vm *vm)
{
	char name[CONFIG_NAME_SIZE], why[END_SIZE];
	bool unsaid = vm->life.destroy || !vm->stop_announced;

	if (!leave_scheduler(vm))
		return false;
	remember_end(vm);
	(void)string_copy(name, sizeof(name), vm->config->name);
	if (vm->life.destroy)
		(void)string_copy(why, sizeof(why), "destroyed");
	else
		vm_stop_describe(vm, why, sizeof(why));
	console_mux_forget(vm);
	vm_destroy(vm);
	if (unsaid)
		announce(name, why);
	return true;
}

static void begin(struct vm *vm, enum vm_state state, uint64_t due)
{
	vm->state = state;
	vm->life.due = due;
	scheduler_attention();
}

/* ---- starting again ---- */

/* A VM that does not live long waits longer each time, so that its starting again takes little from the others. */
static uint64_t restart_time(struct vm *vm)
{
	struct vm_life *life = &vm->life;
	uint64_t lived = clock_nanoseconds_from_ticks(clock_now() - vm->started_tsc), delay;

	if (lived >= LONG_LIFE)
		life->delay = life->said_delay = 0;
	delay = life->delay;
	life->delay = delay == 0 ? FIRST_DELAY : min_u64(2 * delay, LONGEST_DELAY);
	if (delay > life->said_delay) {
		log_warning("vm %s: lived %llu ms only: starts again in %llu ms", vm->config->name,
			    (unsigned long long)(lived / MILLISECOND), (unsigned long long)(delay / MILLISECOND));
		life->said_delay = delay;
	}
	return after(delay);
}

static void start_again(struct vm *vm)
{
	if (!leave_scheduler(vm))
		return;
	if (vm_reset(vm) == STATUS_OK && vm_launch_prepare(vm) == STATUS_OK) {
		vm_launch_run(vm);
		return;
	}
	log_error("vm %s: not started again", vm->config->name);
	begin(vm, VM_DESTROYING, 0);
}

/* ---- what is done with a VM that has stopped ---- */

static enum config_on_stop configured_action(const struct vm *vm)
{
	switch (vm->stop_kind) {
	case VM_STOP_POWEROFF:
	case VM_STOP_EXIT: return vm->config->on_poweroff;
	case VM_STOP_REBOOT: return vm->config->on_reboot;
	case VM_STOP_CRASH: return vm->config->on_crash;
	default: return CONFIG_ON_STOP_DESTROY;
	}
}

static void finish_stop(struct vm *vm)
{
	char why[END_SIZE];

	passthrough_quiesce(vm);
	if (vm->life.restart_poweroff && vm->stop_kind == VM_STOP_POWEROFF) {
		vm->stop_kind = VM_STOP_REBOOT;
		vm->life.restart = true;
	}
	vm_stop_describe(vm, why, sizeof(why));
	console_mux_flush(vm);
	if (vm->crashed_vcpu && scheduler_borrow(vm->crashed_vcpu, exit_crash_dump, NULL) != STATUS_OK)
		log_error("vm %s: no dump: CPU %u does not answer", vm->config->name, vm->crashed_vcpu->pcpu_index);
	enum config_on_stop action = configured_action(vm);
	bool goes = vm->life.destroy || (action == CONFIG_ON_STOP_DESTROY && !vm->life.restart);

	/* The user's wish is announced when it is fulfilled, and the end of who had devices when others may have them. */
	if (vm->stop_kind != VM_STOP_DESTROYED && !(goes && vm->passthrough.count != 0)) {
		vm->stop_announced = true;
		announce(vm->config->name, why);
	}
	if (goes)
		begin(vm, VM_DESTROYING, 0);
	else if (vm->life.restart)
		begin(vm, VM_RESTARTING, 0);
	else if (action == CONFIG_ON_STOP_RESTART)
		begin(vm, VM_RESTARTING, restart_time(vm));
}

/* Half of the boot processor's time at most. Returns whether all is scrubbed. */
static bool scrub(struct vm *vm)
{
	uint64_t start = clock_now();

	if (!is_due(next_scrub))
		return false;
	passthrough_quiesce(vm); /* no device writes behind the scrubbing */
	if (!guest_memory_scrub(&vm->memory, SCRUB_PIECE))
		return true;
	next_scrub = 2 * clock_now() - start;
	scheduler_attention_at(next_scrub);
	return false;
}

/* Returns whether the list of VMs may have changed. */
static bool work_on(struct vm *vm)
{
	switch (__atomic_load_n(&vm->state, __ATOMIC_ACQUIRE)) {
	case VM_STOPPED:
		if (!vm->stop_announced)
			finish_stop(vm);
		return false;
	case VM_RESTARTING:
		if (scrub(vm) && is_due(vm->life.due))
			start_again(vm);
		return false;
	case VM_DESTROYING:
		return scrub(vm) && is_due(vm->life.due) && tear_down(vm);
	default:
		return false;
	}
}

bool vm_life_work(void)
{
	for (uint32_t i = 0; i < vm_list_count; i++) {
		if (work_on(vm_list[i]))
			return true;
	}
	return false;
}

bool vm_life_finish(struct vm *vm)
{
	if (vm->state != VM_DESTROYING && !(vm->state == VM_STOPPED && vm->stop_announced))
		return false;
	return tear_down(vm);
}

void vm_life_give_up(struct vm *vm)
{
	vm->stop_announced = true; /* nobody was told that it lives */
	if (!tear_down(vm))
		vm->state = VM_DESTROYING;
}

/* ---- what the user asks for ---- */

void vm_life_destroy(struct vm *vm)
{
	enum vm_state state = __atomic_load_n(&vm->state, __ATOMIC_ACQUIRE);

	vm->life.destroy = true;
	if (state == VM_CREATED)
		vm->stop_kind = VM_STOP_DESTROYED;
	if (state == VM_RUNNING || state == VM_STOPPING)
		vm_stop(vm, VM_STOP_DESTROYED, 0);
	else if (state != VM_DESTROYING && (state != VM_STOPPED || vm->stop_announced))
		begin(vm, VM_DESTROYING, 0);
}

void vm_life_reset(struct vm *vm)
{
	switch (__atomic_load_n(&vm->state, __ATOMIC_ACQUIRE)) {
	case VM_RUNNING:
	case VM_STOPPING:
		vm->life.restart = true;
		vm_stop(vm, VM_STOP_REBOOT, 0);
		break;
	case VM_STOPPED:
		vm->life.restart = true;
		if (vm->stop_announced)
			begin(vm, VM_RESTARTING, 0);
		break;
	case VM_RESTARTING:
		begin(vm, VM_RESTARTING, 0);
		break;
	default:
		break;
	}
}

void vm_life_shutdown(struct vm *vm, bool reboot)
{
	vm->life.restart_poweroff = reboot;
	if (!vm_press_power_button(vm))
		log_warning("vm %s: has no power button", vm->config->name);
}

void vm_life_pause(struct vm *vm)
{
	if (vm->state != VM_RUNNING || vm->paused)
		return;
	vm->paused = true;
	for (uint32_t i = 0; i < vm->vcpu_count; i++)
		scheduler_pause(vm->vcpus[i]);
}

void vm_life_unpause(struct vm *vm)
{
	if (!vm->paused)
		return;
	vm->paused = false;
	if (vm->state == VM_CREATED) {
		vm_launch_run(vm);
		return;
	}
	for (uint32_t i = 0; i < vm->vcpu_count; i++)
		scheduler_unpause(vm->vcpus[i]);
}

/* ---- what can be known ---- */

static bool is_alive(const struct vm *vm)
{
	switch (__atomic_load_n(&vm->state, __ATOMIC_ACQUIRE)) {
	case VM_STOPPED:
	case VM_DESTROYING: return !vm->stop_announced;
	default: return true;
	}
}

uint32_t vm_life_count_alive(void)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < vm_list_count; i++)
		count += is_alive(vm_list[i]);
	return count;
}

const char *vm_life_last_end(const struct vm_config *config)
{
	uint64_t index = (uint64_t)(config - vm_life_config()->vms);

	if (index >= CONFIG_MAX_VMS || last_ends[index][0] == '\0' || vm_find(config->name))
		return NULL;
	return last_ends[index];
}
