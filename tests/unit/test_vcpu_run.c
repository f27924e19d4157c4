/* vmm/sched/vcpu_run.c: interrupts on their way into a guest, by injection and by the hardware, and what others ask of a vCPU. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/scheduler_fixture.h"

#define VECTOR 0x41u
#define XAPIC_SVR 0xfee000f0u

static unsigned entries;
static uint32_t events[8]; /* queued at each entry */
static bool windows[8];    /* asked for at each entry */
static struct vcpu *vcpu;

static int set_up_mode(void **state, bool hardware)
{
	vmx_settings.has_apic = hardware;
	entries = 0;
	memset(events, 0, sizeof(events));
	memset(windows, 0, sizeof(windows));
	int result = set_up(state);
	vcpu = add_guest(0, 0, true);
	return result;
}

static int set_up_software(void **state) { return set_up_mode(state, false); }
static int set_up_hardware(void **state) { return set_up_mode(state, true); }

static int tear_down_all(void **state)
{
	vmx_settings.has_apic = true;
	return tear_down(state);
}

static void note_entry(void)
{
	if (entries < array_count(events)) {
		events[entries] = fixture_event() & INTERRUPTION_VALID ? fixture_event() : 0;
		windows[entries] = fake_vmcs_get(VMCS_CONTROL_PRIMARY) & PRIMARY_INTERRUPT_WINDOW;
	}
	entries++;
}

static void enable_apic(void)
{
	struct vm *vm = vcpu->vm;

	spinlock_lock(&vm->device_lock);
	assert_int_equal(io_bus_write(&vm->buses[IO_SPACE_MEMORY], vcpu, XAPIC_SVR, 4, 0x1ff), STATUS_OK);
	spinlock_unlock(&vm->device_lock);
}

static void send_interrupt(uint8_t vector)
{
	const struct irq_message message = {.destination = 0, .delivery_mode = IRQ_DELIVERY_FIXED, .vector = vector};

	spinlock_lock(&vcpu->vm->device_lock);
	assert_int_equal(irq_message_send(vcpu->vm, &message), STATUS_OK);
	spinlock_unlock(&vcpu->vm->device_lock);
}

static void cpuid_exit(uint64_t rflags)
{
	fake_vmcs_set(VMCS_GUEST_RFLAGS, RFLAGS_FIXED | rflags);
	guest_exits(10);
}

/* ---- interrupts ---- */

static void interrupted_guest(struct virt_vcpu *virt)
{
	(void)virt;
	note_entry();
	enable_apic();
	if (entries == 1)
		send_interrupt(VECTOR);
	if (entries < 4)
		cpuid_exit(RFLAGS_IF);
	else
		guest_halts(true);
}

static void test_interrupt_is_injected_once(void **state)
{
	(void)state;
	fixture_guest = interrupted_guest;
	run_loop();
	assert_int_equal(events[0], 0);
	assert_int_equal(events[1], EVENT(INTERRUPTION_EXTERNAL, VECTOR));
	assert_int_equal(events[2] | events[3], 0);
	assert_int_equal(vcpu->state, VCPU_BLOCKED);
}

/* With interrupts off the guest is asked to exit as soon as they are on. */
static void late_guest(struct virt_vcpu *virt)
{
	(void)virt;
	note_entry();
	if (entries == 1) {
		enable_apic();
		send_interrupt(VECTOR);
		cpuid_exit(0);
	} else if (entries == 2) {
		cpuid_exit(0);
	} else if (entries == 3) {
		fake_vmcs_set(VMCS_GUEST_RFLAGS, RFLAGS_FIXED | RFLAGS_IF);
		guest_exits(7);
	} else {
		guest_halts(true);
	}
}

static void test_interrupt_window(void **state)
{
	(void)state;
	fixture_guest = late_guest;
	run_loop();
	assert_false(windows[0]);
	assert_true(windows[1] && windows[2]);
	assert_int_equal(events[1] | events[2], 0);
	assert_int_equal(events[3], EVENT(INTERRUPTION_EXTERNAL, VECTOR));
	assert_false(windows[3]);
}

/* An exit that interrupted the delivery of another event: that one comes first. */
static void delivering_guest(struct virt_vcpu *virt)
{
	(void)virt;
	note_entry();
	if (entries == 1) {
		enable_apic();
		send_interrupt(VECTOR);
		fake_vmcs_set(VMCS_GUEST_RFLAGS, RFLAGS_FIXED | RFLAGS_IF);
		fake_vmcs_set(VMCS_DATA_IDT_VECTORING_INFO, EVENT_EXCEPTION(EXCEPTION_UD));
		fake_vmcs_set(VMCS_DATA_EXIT_QUALIFICATION, BIT(0) | BIT(2));
		fake_vmcs_set(VMCS_DATA_GUEST_PHYSICAL_ADDRESS, 0xd0000000);
		fake_vmcs_set(VMCS_DATA_EXIT_INTERRUPTION_INFO, EVENT_EXCEPTION_CODE(EXCEPTION_AC));
		guest_exits(0);
	} else {
		guest_halts(true);
	}
}

static void test_event_in_delivery_keeps_its_place(void **state)
{
	(void)state;
	fixture_guest = delivering_guest;
	run_loop();
	/* #AC while #UD was being delivered: no double fault, and no interrupt yet. */
	assert_int_equal(events[1] & INTERRUPTION_VECTOR, EXCEPTION_AC);
	assert_true(windows[1]);
}

static uint8_t delivered; /* by the hardware */

/* "Virtual-Interrupt Delivery": the highest vector requested moves from IRR to ISR. */
static void take_from_hardware(struct virt_vcpu *virt)
{
	uint8_t vector = (uint8_t)fake_vmcs_get(VMCS_GUEST_INTERRUPT_STATUS);

	if (vector == 0)
		return;
	delivered = vector;
	virt->apic_page[(0x200 + vector / 32 * 16) / 4] &= ~(1u << vector % 32);
	virt->apic_page[(0x100 + vector / 32 * 16) / 4] |= 1u << vector % 32;
	fake_vmcs_set(VMCS_GUEST_INTERRUPT_STATUS, (uint64_t)vector << 8);
}

static void waking_guest(struct virt_vcpu *virt)
{
	note_entry();
	take_from_hardware(virt);
	enable_apic();
	guest_halts(true);
}

static bool interrupt_once(void)
{
	if (fixture_idles > 1)
		return false;
	send_interrupt(VECTOR);
	return true;
}

static void test_interrupt_wakes(void **state)
{
	(void)state;
	fixture_guest = waking_guest;
	fixture_idle = interrupt_once;
	run_loop();
	assert_int_equal(entries, 2);
	assert_int_equal(events[1], EVENT(INTERRUPTION_EXTERNAL, VECTOR));
}

/* The CPU delivers it by itself: it is told the vector, nothing is injected. */
static void test_interrupt_wakes_in_hardware_mode(void **state)
{
	(void)state;
	delivered = 0;
	fixture_guest = waking_guest;
	fixture_idle = interrupt_once;
	run_loop();
	assert_int_equal(entries, 2);
	assert_int_equal(events[1], 0);
	assert_int_equal(delivered, VECTOR);
	assert_int_equal(vcpu->state, VCPU_BLOCKED);
}

/* HLT with an interrupt that arrived meanwhile does not sleep. */
static void racing_guest(struct virt_vcpu *virt)
{
	(void)virt;
	note_entry();
	enable_apic();
	if (entries == 1)
		send_interrupt(VECTOR);
	guest_halts(true);
}

static void test_halt_with_interrupt_pending(void **state)
{
	(void)state;
	fixture_guest = racing_guest;
	run_loop();
	assert_int_equal(entries, 2);
	assert_int_equal(events[1], EVENT(INTERRUPTION_EXTERNAL, VECTOR));
	assert_int_equal(fixture_idles, 1);
}

/* ---- requests ---- */

static void requesting_guest(struct virt_vcpu *virt)
{
	(void)virt;
	note_entry();
	if (entries == 1) {
		fake_vmcs_set(VMCS_GUEST_INTERRUPTIBILITY, INTERRUPTIBILITY_NMI);
		vcpu_kick(vcpu, VCPU_REQUEST_NMI);
	}
	if (entries == 3)
		fake_vmcs_set(VMCS_GUEST_INTERRUPTIBILITY, 0);
	if (entries < 6)
		cpuid_exit(RFLAGS_IF);
	else
		guest_halts(true);
}

static void test_nmi_waits_until_it_may_come(void **state)
{
	(void)state;
	fixture_guest = requesting_guest;
	run_loop();
	assert_int_equal(events[1] | events[2], 0);
	assert_int_equal(events[3], EVENT(INTERRUPTION_NMI, EXCEPTION_NMI));
	assert_int_equal(events[4] | events[5], 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up_software, tear_down_all)
#define TEST_HARDWARE(function) cmocka_unit_test_setup_teardown(function, set_up_hardware, tear_down_all)

/* On hardware a VMREAD or VMWRITE costs more than all else of a short exit. */
#define SHORTEST_PATH_ACCESSES 10u
static unsigned accesses_before, most_accesses;

static unsigned accesses(void)
{
	return fake_vmread_count + fake_vmwrite_count;
}

static void count_accesses(struct virt_vcpu *virt)
{
	static const uint32_t reasons[] = {10, 18, 31, 10}; /* CPUID, VMCALL, RDMSR */

	(void)virt;
	/* From the second on: what lies between two exits is one whole path. */
	if (entries > 1 && entries < array_count(reasons) && accesses() - accesses_before > most_accesses)
		most_accesses = accesses() - accesses_before;
	vcpu->virt.gpr[GPR_RCX] = MSR_MISC_ENABLE;
	vcpu->virt.gpr[GPR_RAX] = 0;
	if (entries >= array_count(reasons))
		vm_stop(vcpu->vm, VM_STOP_POWEROFF, 0);
	guest_exits(reasons[entries % array_count(reasons)]);
	entries++;
	accesses_before = accesses();
}

static void test_shortest_paths_read_and_write_little(void **state)
{
	(void)state;
	most_accesses = 0;
	fixture_guest = count_accesses;
	run_loop();
	assert_true(most_accesses > 0);
	assert_in_range(most_accesses, 1, SHORTEST_PATH_ACCESSES);
	print_message("VMREADs and VMWRITEs: %u\n", most_accesses);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_interrupt_is_injected_once), TEST(test_interrupt_window), TEST(test_event_in_delivery_keeps_its_place),
		TEST(test_interrupt_wakes), TEST_HARDWARE(test_interrupt_wakes_in_hardware_mode), TEST(test_halt_with_interrupt_pending),
		TEST(test_nmi_waits_until_it_may_come),
		TEST(test_shortest_paths_read_and_write_little), TEST_HARDWARE(test_shortest_paths_read_and_write_little),
	};

	return cmocka_run_group_tests(tests, set_up_scheduler, NULL);
}
