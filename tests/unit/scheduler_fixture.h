/*
 * vm_fixture.h, with the scheduler of two CPUs. A CPU's loop runs until it would sleep and the test's fixture_idle() does not
 * wake it. Included by one .c file of a program, behind cmocka.h and setjmp.h.
 */
#pragma once

#include "arch/x86/irq/interrupt.h"
#include "arch/x86/panic_hooks.h"
#include "tests/unit/vm_fixture.h"
#include "vmm/sched/scheduler.h"
#include "vmm/sched/scheduler_cpu.h"
#include "vmm/vcpu_timer.h"

char boot_stack_guard[PAGE_SIZE], boot_stack_top[1]; /* of boot_entry.asm */

#define X2APIC_ICR (MSR_X2APIC_BASE + 0x30)
#define GUESTS 3u

void panic_halt(void)
{
	abort();
}

bool panic_is_active(void)
{
	return false;
}

static jmp_buf fixture_loop_end;
static bool (*fixture_idle)(void);       /* true: something woke the CPU */
static bool (*fixture_work)(void);       /* housekeeping */
static unsigned fixture_idles, fixture_housekeepings;
static struct vm *fixture_vms[GUESTS];
static struct vm_config fixture_configs[GUESTS];
static unsigned fixture_pages_before;
static uint32_t fixture_vcpus_per_vm = 1;

static inline void fixture_halt(void)
{
	fixture_idles++;
	assert_true(fixture_idles < 100000);
	/* Nothing sleeps with a lock held or interrupts off. */
	assert_true(fake_interrupts_enabled);
	if (fixture_idle && fixture_idle())
		return;
	longjmp(fixture_loop_end, 1);
}

static inline bool fixture_housekeeping(void)
{
	fixture_housekeepings++;
	return fixture_work ? fixture_work() : false;
}

/* The life of the current CPU until it sleeps for good. */
static inline void run_loop(void)
{
	jmp_buf outer;

	memcpy(&outer, &fixture_loop_end, sizeof(outer));
	fake_halt_hook = fixture_halt;
	if (setjmp(fixture_loop_end) == 0)
		scheduler_loop();
	memcpy(&fixture_loop_end, &outer, sizeof(outer));
	fake_interrupts_enabled = false;
}

/* The same on CPU @index, in the middle of what this one does. */
static inline void run_loop_on(uint32_t index)
{
	struct pcpu *self = pcpu_current();

	pcpu_set_current(pcpu_get(index));
	run_loop();
	pcpu_set_current(self);
}

static inline int set_up_scheduler(void **state)
{
	(void)state;
	fixture_start_machine();
	if (pcpu_add(1, 1) == NULL)
		abort();
	pcpu_set_current(pcpu_get(1));
	assert_true(fixture_enable_cpu());
	pcpu_set_current(pcpu_get(0));
	assert_int_equal(scheduler_init(), STATUS_OK);
	scheduler_set_housekeeping(fixture_housekeeping);
	return 0;
}

static inline int set_up(void **state)
{
	(void)state;
	fixture_pages_before = pool_used;
	fixture_idle = NULL;
	fixture_work = NULL;
	fixture_guest = NULL;
	fake_pause_hook = NULL;
	fixture_log_clear();
	fake_tsc_step = 10;
	run_loop(); /* takes what an earlier test left */
	fixture_idles = fixture_housekeepings = fixture_entries = fixture_enters = 0;
	fake_msr_set(X2APIC_ICR, 0);
	fake_msr_set(MSR_TSC_DEADLINE, 0);
	return 0;
}

/* A VM with fixture_vcpus_per_vm vCPUs on CPU @cpu, the first one started if @start. */
static inline struct vcpu *add_guest(unsigned number, uint32_t cpu, bool start)
{
	struct vm_config *config = &fixture_configs[number];

	*config = (struct vm_config){.valid = true, .memory = 2 * MIB, .vcpus = fixture_vcpus_per_vm, .cpus = BIT(cpu), .sched = {.weight = 256}};
	memcpy(config->name, "vm0", 4);
	config->name[2] = (char)('0' + number);
	assert_int_equal(vm_create(config, &fixture_vms[number]), STATUS_OK);
	fixture_vms[number]->state = VM_RUNNING;
	char refusal[SCHED_REFUSAL_SIZE];
	for (uint32_t i = 0; i < fixture_vcpus_per_vm; i++)
		assert_int_equal(scheduler_add(fixture_vms[number]->vcpus[i], refusal), STATUS_OK);
	struct vcpu *vcpu = fixture_vms[number]->vcpus[0];
	assert_int_equal(vcpu->pcpu_index, cpu);
	if (start)
		scheduler_start(vcpu);
	return vcpu;
}

static inline int tear_down(void **state)
{
	(void)state;
	fake_pause_hook = NULL;
	fixture_idle = NULL;
	for (unsigned i = 0; i < GUESTS; i++) {
		if (!fixture_vms[i])
			continue;
		vm_stop(fixture_vms[i], VM_STOP_DESTROYED, 0);
		run_loop();
		run_loop_on(1);
		for (uint32_t v = 0; v < fixture_vms[i]->vcpu_count; v++) {
			struct vcpu *vcpu = fixture_vms[i]->vcpus[v];
			assert_int_equal(vcpu->state, VCPU_OFF);
			pcpu_set_current(pcpu_get(vcpu->pcpu_index));
			assert_int_equal(scheduler_remove(vcpu), STATUS_OK);
		}
		vm_destroy(fixture_vms[i]);
		fixture_vms[i] = NULL;
		pcpu_set_current(pcpu_get(0));
	}
	run_loop();
	assert_int_equal(pool_used, fixture_pages_before);
	return 0;
}

/* ---- what guests do ---- */

static inline struct vcpu *running(struct virt_vcpu *virt) { return container_of(virt, struct vcpu, virt); }

static inline void guest_exits(uint32_t reason)
{
	fake_vmcs_set(VMCS_DATA_EXIT_REASON, reason);
	fake_vmcs_set(VMCS_DATA_INSTRUCTION_LENGTH, 2);
}

static inline void guest_halts(bool interrupts)
{
	fake_vmcs_set(VMCS_GUEST_RFLAGS, RFLAGS_FIXED | (interrupts ? RFLAGS_IF : 0));
	guest_exits(12);
}

/* The guest computes until its preemption timer ends that. */
static inline void guest_computes(void)
{
	fake_tsc += fake_vmcs_get(VMCS_GUEST_PREEMPTION_TIMER) << 5;
	guest_exits(52);
}
