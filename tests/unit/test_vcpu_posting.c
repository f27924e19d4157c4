/*
 * vmm/vcpu_posting.c with the scheduler, the local APIC model and VMX's part: whatever a unit of the IOMMU posts
 * reaches its vCPU, wherever that is and whenever it moves. The unit is a model that does what "Interrupt Posting" of
 * the VT-d Specification says; a CPU in the guest is one that does "Posted-Interrupt Processing".
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <sched.h>

#include "arch/x86/posted_interrupts.h"
#include "tests/unit/scheduler_fixture.h"
#include "vmm/vcpu_posting.h"

#define VECTOR 0x51u
#define OTHER 0x62u
#define CPUS 2u
#define APIC_IRR 0x200u /* in the register page [bytes] */
#define SVR_OFFSET 0xf0u

static bool pending[CPUS][256]; /* notifications that a CPU has accepted and not taken yet */
static unsigned notifications;
static unsigned got[256];       /* by guests' IRRs */
static unsigned runs;

/* ---- the models ---- */

static struct posted_interrupts *posted_of(const struct vcpu *vcpu)
{
	return vcpu->virt.posted;
}

static void unit_posts(const struct vcpu *vcpu, uint8_t vector)
{
	struct posted_interrupts *posted = posted_of(vcpu);
	uint64_t control = posted->control;

	posted->requests[vector / 64] |= BIT(vector % 64);
	if (control & (POSTED_INTERRUPTS_OUTSTANDING | POSTED_INTERRUPTS_SUPPRESSED))
		return;
	posted->control |= POSTED_INTERRUPTS_OUTSTANDING;
	assert_true(control >> POSTED_INTERRUPTS_CPU_SHIFT < CPUS);
	pending[control >> POSTED_INTERRUPTS_CPU_SHIFT][control >> POSTED_INTERRUPTS_VECTOR_SHIFT & 0xff] = true;
	notifications++;
}

static bool *pending_here(uint8_t vector)
{
	return &pending[pcpu_current()->index][vector];
}

/* In the guest: what the notification brings joins IRR, without an exit. */
static void process_posted(struct virt_vcpu *virt)
{
	struct posted_interrupts *posted = physmap_pointer(hpa(fake_vmcs_get(VMCS_CONTROL_POSTED_INTERRUPT_DESCRIPTOR)));
	uint8_t vector = (uint8_t)fake_vmcs_get(VMCS_CONTROL_POSTED_INTERRUPT_VECTOR);

	if (!(fake_vmcs_get(VMCS_CONTROL_PIN_BASED) & PIN_POSTED_INTERRUPTS) || !*pending_here(vector))
		return;
	*pending_here(vector) = false;
	posted->control &= ~POSTED_INTERRUPTS_OUTSTANDING;
	for (unsigned i = 0; i < 256; i++)
		if (posted->requests[i / 64] >> (i % 64) & 1)
			virt->apic_page[(APIC_IRR + i / 32 * 16) / 4] |= 1u << (i % 32);
	memset(posted->requests, 0, sizeof(posted->requests));
}

/* The guest takes all that is requested. */
static void take_requested(struct virt_vcpu *virt)
{
	for (unsigned i = 0; i < 256; i++) {
		uint32_t *word = &virt->apic_page[(APIC_IRR + i / 32 * 16) / 4];

		got[i] += *word >> (i % 32) & 1;
		*word &= ~(1u << (i % 32));
	}
}

static bool take_interrupts(void)
{
	bool any = false;

	for (unsigned vector = 0; vector < 256; vector++) {
		if (!*pending_here((uint8_t)vector))
			continue;
		*pending_here((uint8_t)vector) = false;
		interrupt_dispatch((uint8_t)vector);
		any = true;
	}
	return any;
}

static void (*on_run)(struct vcpu *vcpu); /* what happens while the guest runs */

static void sleeping_guest(struct virt_vcpu *virt)
{
	runs++;
	/* One that stands while the guest runs would keep others from asking. */
	assert_int_equal(running(virt)->requests, 0);
	process_posted(virt);
	take_requested(virt);
	if (on_run)
		on_run(running(virt));
	guest_halts(true);
}

static struct vcpu *start(uint32_t cpu)
{
	struct vcpu *vcpu = add_guest(0, cpu, false);

	/* Between creation and the first load, as passthrough_attach() does. */
	assert_int_equal(vcpu_posting_create(vcpu->vm), STATUS_OK);
	vcpu->virt.apic_page[SVR_OFFSET / 4] |= 0x100;
	fixture_guest = sleeping_guest;
	fixture_idle = take_interrupts;
	scheduler_start(vcpu);
	return vcpu;
}

static int set_up_model(void **state)
{
	memset(pending, 0, sizeof(pending));
	memset(got, 0, sizeof(got));
	notifications = runs = 0;
	on_run = NULL;
	return set_up(state);
}

static int tear_down_model(void **state)
{
	if (fixture_vms[0] != NULL) {
		vm_stop(fixture_vms[0], VM_STOP_DESTROYED, 0);
		run_loop();
		run_loop_on(1);
		vcpu_posting_destroy(fixture_vms[0]);
	}
	return tear_down(state);
}

/* ---- what is notified ---- */

static void assert_notifies(const struct vcpu *vcpu, uint8_t vector, uint32_t cpu)
{
	uint64_t control = posted_of(vcpu)->control;

	assert_false(control & POSTED_INTERRUPTS_SUPPRESSED);
	assert_int_equal(control >> POSTED_INTERRUPTS_VECTOR_SHIFT & 0xff, vector);
	assert_int_equal(control >> POSTED_INTERRUPTS_CPU_SHIFT, cpu);
}

static void look_while_running(struct vcpu *vcpu)
{
	assert_notifies(vcpu, INTERRUPT_VECTOR_POSTED, pcpu_current()->index);
	assert_int_equal(fake_vmcs_get(VMCS_CONTROL_POSTED_INTERRUPT_VECTOR), INTERRUPT_VECTOR_POSTED);
	assert_int_equal(fake_vmcs_get(VMCS_CONTROL_POSTED_INTERRUPT_DESCRIPTOR), vcpu_posting_descriptor(vcpu).value);
	assert_true(fake_vmcs_get(VMCS_CONTROL_PIN_BASED) & PIN_POSTED_INTERRUPTS);
}

static void test_follows_the_vcpu(void **state)
{
	struct vcpu *vcpu = start(1);

	(void)state;
	assert_true(posted_of(vcpu)->control & POSTED_INTERRUPTS_SUPPRESSED); /* waits for its turn */
	on_run = look_while_running;
	run_loop_on(1);
	assert_int_equal(runs, 1);
	assert_int_equal(vcpu->state, VCPU_BLOCKED);
	assert_notifies(vcpu, INTERRUPT_VECTOR_POSTED_WAKE, 1);
	scheduler_pause(vcpu);
	run_loop_on(1);
	assert_int_equal(vcpu->state, VCPU_PAUSED);
	assert_true(posted_of(vcpu)->control & POSTED_INTERRUPTS_SUPPRESSED);
	scheduler_unpause(vcpu);
	assert_notifies(vcpu, INTERRUPT_VECTOR_POSTED_WAKE, 1);
	/* An 8-bit APIC id stands elsewhere; the model's CPUs are in x2APIC mode. */
	assert_true(lapic_is_x2apic());
}

static void post_while_running(struct vcpu *vcpu)
{
	if (runs == 1)
		unit_posts(vcpu, VECTOR);
	process_posted(&vcpu->virt);
	take_requested(&vcpu->virt);
}

static void test_without_an_exit_while_it_runs(void **state)
{
	struct vcpu *vcpu = start(0);

	(void)state;
	on_run = post_while_running;
	run_loop();
	assert_int_equal(got[VECTOR], 1);
	assert_int_equal(notifications, 1);
	assert_int_equal(runs, 1);
	assert_int_equal(posted_of(vcpu)->control & POSTED_INTERRUPTS_OUTSTANDING, 0);
}

/* The notification is accepted when the guest has left for good: HLT is under way, and the CPU takes it when it idles.
 * */
static void post_at_the_end(struct vcpu *vcpu)
{
	if (runs == 1)
		unit_posts(vcpu, VECTOR);
}

static void test_posted_while_it_goes_to_sleep(void **state)
{
	struct vcpu *vcpu = start(0);

	(void)state;
	on_run = post_at_the_end;
	run_loop();
	assert_int_equal(got[VECTOR], 1);
	assert_int_equal(runs, 2);
	assert_int_equal(vcpu->state, VCPU_BLOCKED);
	assert_notifies(vcpu, INTERRUPT_VECTOR_POSTED_WAKE, 0);
}

static void test_wakes(void **state)
{
	struct vcpu *vcpu = start(0);

	(void)state;
	run_loop();
	assert_int_equal(vcpu->state, VCPU_BLOCKED);
	for (unsigned i = 1; i <= 3; i++) {
		unit_posts(vcpu, VECTOR);
		unit_posts(vcpu, OTHER); /* along with it: one notification */
		assert_true(pending[0][INTERRUPT_VECTOR_POSTED_WAKE]);
		assert_int_equal(notifications, i);
		run_loop();
		assert_int_equal(got[VECTOR], i);
		assert_int_equal(got[OTHER], i);
		assert_int_equal(runs, 1 + i);
	}
}

/* A sleeper whose interrupts are off sleeps on, and has it when it wakes for another reason. */
static void deaf_guest(struct virt_vcpu *virt)
{
	runs++;
	process_posted(virt);
	take_requested(virt);
	guest_halts(false);
}

static void test_deaf_sleeper(void **state)
{
	struct vcpu *vcpu;

	fixture_vcpus_per_vm = 2; /* a lone one would be ended */
	vcpu = start(0);
	fixture_vcpus_per_vm = 1;
	(void)state;
	fixture_guest = deaf_guest;
	run_loop();
	unit_posts(vcpu, VECTOR);
	run_loop();
	assert_int_equal(runs, 1);
	assert_int_equal(vcpu->requests, 0);
	vcpu_kick(vcpu, VCPU_REQUEST_NMI);
	run_loop();
	assert_int_equal(runs, 2);
	assert_int_equal(got[VECTOR], 1);
}

/* While it waits for its turn, or is paused, nobody is interrupted, and it has all when it runs. */
static void test_suppressed_until_it_runs(void **state)
{
	struct vcpu *vcpu = start(0);

	(void)state;
	unit_posts(vcpu, VECTOR);
	assert_int_equal(notifications, 0);
	run_loop();
	assert_int_equal(got[VECTOR], 1);
	scheduler_pause(vcpu);
	run_loop();
	unit_posts(vcpu, OTHER);
	run_loop();
	assert_int_equal(got[OTHER], 0);
	assert_int_equal(notifications, 0);
	scheduler_unpause(vcpu);
	run_loop();
	assert_int_equal(got[OTHER], 1);
}

/* It sleeps, the notification is on its way to the CPU where it slept, and it is moved to another one before that
 * comes. */
static void test_moved_while_it_sleeps(void **state)
{
	struct vcpu *vcpu = start(0);
	char refusal[SCHED_REFUSAL_SIZE];

	(void)state;
	run_loop();
	unit_posts(vcpu, VECTOR);
	assert_int_equal(scheduler_set_affinity(vcpu, BIT(1), refusal), STATUS_OK);
	assert_int_equal(vcpu->pcpu_index, 1);
	assert_notifies(vcpu, INTERRUPT_VECTOR_POSTED_WAKE, 1);
	run_loop_on(1);
	assert_int_equal(got[VECTOR], 1);
	run_loop(); /* the late notification finds nobody */
	assert_int_equal(runs, 2);
	unit_posts(vcpu, VECTOR);
	assert_true(pending[1][INTERRUPT_VECTOR_POSTED_WAKE]);
	run_loop_on(1);
	assert_int_equal(got[VECTOR], 2);
}

/* The notification comes to a CPU that has gone over to another guest: that one takes no harm, and nothing is lost. */
static struct vcpu *first;

static void two_guests(struct virt_vcpu *virt)
{
	runs++;
	process_posted(virt);
	take_requested(virt);
	if (running(virt) == first && runs == 1)
		unit_posts(first, VECTOR);
	guest_halts(true);
}

static void test_notification_meets_another_guest(void **state)
{
	(void)state;
	first = start(0);
	add_guest(1, 0, true);
	fixture_guest = two_guests;
	run_loop();
	assert_int_equal(got[VECTOR], 1);
	assert_int_equal(posted_of(first)->control & POSTED_INTERRUPTS_OUTSTANDING, 0);
}

/* A guest that switched the hardware's local APIC off gets them by an exit and an injection. */
static unsigned injected;

static void software_guest(struct virt_vcpu *virt)
{
	runs++;
	assert_false(fake_vmcs_get(VMCS_CONTROL_PIN_BASED) & PIN_POSTED_INTERRUPTS);
	if (fixture_event() & INTERRUPTION_VALID)
		injected = (uint32_t)fixture_event() & 0xff;
	if (runs == 1)
		unit_posts(running(virt), VECTOR);
	if (!take_interrupts()) { /* an exit by an external interrupt, in short */
		guest_halts(true);
		return;
	}
	fake_vmcs_set(VMCS_GUEST_RFLAGS, RFLAGS_FIXED | RFLAGS_IF);
	guest_exits(7);
}

static bool no_hardware(enum virt_apic_mode mode)
{
	return mode == VIRT_APIC_SOFTWARE;
}

static void test_without_hardware(void **state)
{
	struct virt_ops software = *virt_ops;
	const struct virt_ops *real = virt_ops;

	(void)state;
	software.apic_mode_supported = no_hardware;
	virt_set_ops(&software);
	injected = 0;
	struct vcpu *vcpu = start(0);
	fixture_guest = software_guest;
	run_loop();
	virt_set_ops(real);
	assert_int_equal(injected, VECTOR);
	assert_int_equal(posted_of(vcpu)->control & POSTED_INTERRUPTS_OUTSTANDING, 0);
}

/* Whose local APIC is off takes nothing. */
static void test_dropped_with_the_apic_off(void **state)
{
	struct vcpu *vcpu = start(0);

	(void)state;
	vcpu->virt.apic_page[SVR_OFFSET / 4] &= ~0x100u;
	unit_posts(vcpu, VECTOR);
	run_loop();
	assert_int_equal(got[VECTOR], 0);
	assert_int_equal(posted_of(vcpu)->requests[VECTOR / 64], 0);
}

/*
 * A unit that posts while the vCPU goes from state to state, at the same time for real. Whoever runs or sleeps waits
 * for the notification alone; the unit waits until what it posted was taken: so what gets lost stops both.
 */
#define RACES 20000u
#define PATIENCE 200000000u

static bool unit_done;

static void *post_again_and_again(void *argument)
{
	struct posted_interrupts *posted = argument;

	for (unsigned i = 0; i < RACES; i++) {
		uint64_t control;

		__atomic_fetch_or(&posted->requests[VECTOR / 64], BIT(VECTOR % 64), __ATOMIC_SEQ_CST);
		control = __atomic_load_n(&posted->control, __ATOMIC_SEQ_CST);
		while (!(control & (POSTED_INTERRUPTS_OUTSTANDING | POSTED_INTERRUPTS_SUPPRESSED))) {
			if (!__atomic_compare_exchange_n(&posted->control, &control, control | POSTED_INTERRUPTS_OUTSTANDING, false,
							 __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
				continue;
			__atomic_store_n(&pending[control >> POSTED_INTERRUPTS_CPU_SHIFT][control >> POSTED_INTERRUPTS_VECTOR_SHIFT & 0xff],
					 true, __ATOMIC_SEQ_CST);
			break;
		}
		while (__atomic_load_n(&posted->requests[VECTOR / 64], __ATOMIC_SEQ_CST) != 0)
			sched_yield();
	}
	__atomic_store_n(&unit_done, true, __ATOMIC_SEQ_CST);
	return NULL;
}

static void wait_for_notification(uint32_t cpu, uint8_t vector)
{
	for (unsigned i = 0; i < PATIENCE; i++) {
		if (__atomic_exchange_n(&pending[cpu][vector], false, __ATOMIC_SEQ_CST) || __atomic_load_n(&unit_done, __ATOMIC_SEQ_CST))
			return;
		if (i % 64 == 63)
			sched_yield();
	}
	fail_msg("nothing is notified any more");
}

static void test_races(void **state)
{
	static const enum vcpu_state states[] = {VCPU_BLOCKED, VCPU_RUNNABLE, VCPU_RUNNING, VCPU_BLOCKED, VCPU_RUNNING};
	struct vcpu *vcpu = add_guest(0, 0, false);
	pthread_t unit;

	(void)state;
	assert_int_equal(vcpu_posting_create(vcpu->vm), STATUS_OK);
	unit_done = false;
	assert_int_equal(pthread_create(&unit, NULL, post_again_and_again, posted_of(vcpu)), 0);
	for (unsigned i = 0; !__atomic_load_n(&unit_done, __ATOMIC_SEQ_CST); i++) {
		enum vcpu_state next = states[i % array_count(states)];
		uint32_t cpu = i / 3 % CPUS;

		vcpu_posting_follow(vcpu, next, cpu);
		if (next == VCPU_RUNNABLE)
			continue;
		if (!(__atomic_exchange_n(&vcpu->requests, 0, __ATOMIC_SEQ_CST) & VCPU_REQUEST_POSTED))
			wait_for_notification(cpu, next == VCPU_BLOCKED ? INTERRUPT_VECTOR_POSTED_WAKE : INTERRUPT_VECTOR_POSTED);
		spinlock_lock(&vcpu->vm->device_lock);
		vcpu_posting_take(vcpu);
		spinlock_unlock(&vcpu->vm->device_lock);
	}
	assert_int_equal(pthread_join(unit, NULL), 0);
	vcpu_posting_follow(vcpu, VCPU_OFF, 0);
}

/* The timer of such a vCPU makes exits, since its descriptor is the devices'. */
static void test_timer_is_not_entrusted(void **state)
{
	struct vcpu *vcpu = start(0);

	(void)state;
	run_loop();
	assert_false(virt_ops->apic_arm_timer(&vcpu->virt, 0x40, fake_tsc + 1000));
}

/* What a unit that is silent may still write to is not used again. */
static void test_lost_memory_stays_taken(void **state)
{
	struct vcpu *vcpu = add_guest(0, 0, false);
	unsigned before = pool_used;

	(void)state;
	assert_int_equal(vcpu_posting_create(vcpu->vm), STATUS_OK);
	assert_true(vcpu_posting_holds(vcpu->vm, vcpu_posting_descriptor(vcpu)));
	assert_false(vcpu_posting_holds(vcpu->vm, hpa(vcpu_posting_descriptor(vcpu).value + sizeof(struct posted_interrupts))));
	vcpu->vm->posting.lost = true;
	vcpu_posting_destroy(vcpu->vm);
	assert_null(vcpu->virt.posted);
	assert_int_equal(pool_used, before + 1);
	fixture_pages_before++;
	assert_int_equal(vcpu_posting_create(vcpu->vm), STATUS_OK);
	pool_fail_at = 0;
	vcpu_posting_destroy(vcpu->vm);
	assert_int_equal(vcpu_posting_create(vcpu->vm), STATUS_NO_MEMORY);
	assert_null(vcpu->virt.posted);
	pool_fail_at = UINT32_MAX;
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up_model, tear_down_model)

static int start_machine(void **state)
{
	set_up_scheduler(state);
	vcpu_posting_init();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_follows_the_vcpu),
		TEST(test_without_an_exit_while_it_runs),
		TEST(test_posted_while_it_goes_to_sleep),
		TEST(test_wakes),
		TEST(test_deaf_sleeper),
		TEST(test_suppressed_until_it_runs),
		TEST(test_moved_while_it_sleeps),
		TEST(test_notification_meets_another_guest),
		TEST(test_without_hardware),
		TEST(test_dropped_with_the_apic_off),
		TEST(test_races),
		TEST(test_timer_is_not_entrusted),
		TEST(test_lost_memory_stays_taken),
	};

	return cmocka_run_group_tests(tests, start_machine, NULL);
}
