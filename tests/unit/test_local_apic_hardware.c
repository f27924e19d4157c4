/* Local APICs that the CPU carries out: what software hands over and takes back. The test plays the CPU's part. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/local_apic_fixture.h"

/* What the CPU was told. */
static enum virt_apic_mode hardware_mode;
static uint8_t hardware_requested, hardware_in_service;
static uint64_t hardware_eoi_exits[4];
static bool hardware_has_x2apic, hardware_has_timer;
static uint8_t hardware_timer; /* vector; 0: delivered or not armed */
static uint64_t hardware_deadline;
static unsigned flushes;

static bool mode_supported(enum virt_apic_mode mode) { return mode != VIRT_APIC_X2APIC || hardware_has_x2apic; }
static void set_mode(struct virt_vcpu *vcpu, enum virt_apic_mode mode) { (void)vcpu; hardware_mode = mode; }
static void flush(struct virt_vm *vm) { (void)vm; flushes++; }

static void set_status(struct virt_vcpu *vcpu, uint8_t requested, uint8_t in_service)
{
	(void)vcpu;
	hardware_requested = requested;
	hardware_in_service = in_service;
}

static void set_eoi_exits(struct virt_vcpu *vcpu, unsigned word, uint64_t vectors)
{
	(void)vcpu;
	assert_in_range(word, 0, 3);
	hardware_eoi_exits[word] = vectors;
}

static bool arm_timer(struct virt_vcpu *vcpu, uint8_t vector, uint64_t deadline)
{
	(void)vcpu;
	if (!hardware_has_timer)
		return false;
	hardware_timer = vector;
	hardware_deadline = deadline;
	return true;
}

static bool disarm_timer(struct virt_vcpu *vcpu)
{
	bool waits = hardware_timer != 0;

	(void)vcpu;
	hardware_timer = 0;
	return waits;
}

static const struct virt_ops ops = {
	.vm_flush = flush, .apic_mode_supported = mode_supported, .apic_set_mode = set_mode, .apic_set_status = set_status,
	.apic_set_eoi_exits = set_eoi_exits, .apic_arm_timer = arm_timer, .apic_disarm_timer = disarm_timer,
};

static uint32_t pages[2][PAGE_SIZE / sizeof(uint32_t)];
#define VCPU (&fixture_vcpus[0])
#define PAGE(number) pages[0][(number) * 4]

static unsigned ended; /* vector of the last level-triggered interrupt that reached the pins' controller, and count << 8 */
static void set_pin(struct io_device *pins, unsigned line, bool level) { (void)pins; (void)line; (void)level; }
static void end_of_interrupt(struct io_device *pins, uint8_t vector) { (void)pins; ended = (ended & ~0xffu) + 0x100 + vector; }
static const struct irq_pin_controller pin_controller = {set_pin, end_of_interrupt};

static bool external_level;
static bool external_pending(struct io_device *pic) { (void)pic; return external_level; }
static uint8_t external_acknowledge(struct io_device *pic) { (void)pic; external_level = false; return 0x30; }
static const struct irq_external_source external = {external_pending, external_acknowledge};

static int set_up_hardware(void **state)
{
	(void)state;
	virt_ops = &ops;
	hardware_mode = VIRT_APIC_SOFTWARE;
	hardware_requested = hardware_in_service = hardware_timer = 0;
	memset(hardware_eoi_exits, 0, sizeof(hardware_eoi_exits));
	hardware_has_x2apic = hardware_has_timer = true;
	external_level = false;
	ended = flushes = 0;
	fixture_start(2);
	fixture_vm.virt.apic_access_page = hpa(0x5000);
	for (unsigned i = 0; i < 2; i++) {
		memset(pages[i], 0xff, sizeof(pages[i]));
		fixture_vcpus[i].virt.apic_page = pages[i];
	}
	device = fixture_add(&local_apic_class);
	assert_non_null(device);
	irq_routing_set_external(&fixture_vm, &external, NULL);
	assert_int_equal(irq_routing_add_pins(&fixture_vm, &pin_controller, NULL), STATUS_OK);
	io_devices_reset(&fixture_vm);
	return 0;
}

static int tear_down_hardware(void **state)
{
	vcpu_timer_take_back(VCPU); /* it has left its CPU */
	virt_ops = NULL;
	return tear_down(state);
}

/* The run loop's part before an entry. Return: whether something is to be injected. */
static bool enter(void)
{
	VCPU->requests &= ~VCPU_REQUEST_EVENT;
	return irq_prepare_entry(VCPU);
}

static void run_timers_before_entry(void)
{
	vcpu_timer_take_back(VCPU);
	vcpu_timers_run(VCPU, fake_tsc);
	VCPU->requests &= ~VCPU_REQUEST_TIMER;
	VCPU->virt.entry_deadline = vcpu_timer_entrust(VCPU);
}

/* The CPU puts a guest's write into the page and exits behind it. */
static void hardware_write(unsigned number, uint32_t value)
{
	PAGE(number) = value;
	irq_register_written(VCPU, number * 16);
}

static void test_starts_in_hardware(void **state)
{
	(void)state;
	assert_true(fixture_mapped);
	assert_int_equal(hardware_mode, VIRT_APIC_SOFTWARE); /* not before it is loaded */
	assert_true(VCPU->requests & VCPU_REQUEST_EVENT);
	assert_false(enter());
	assert_int_equal(hardware_mode, VIRT_APIC_XAPIC);
	assert_int_equal(PAGE(LOCAL_APIC_VERSION_REGISTER), LOCAL_APIC_VERSION);
	assert_int_equal(PAGE(LOCAL_APIC_SVR), 0x1ff); /* virtual wire */
	assert_int_equal(PAGE(LOCAL_APIC_ISR), 0);
	assert_int_equal(pages[1][LOCAL_APIC_ID * 4], 1u << 24);
	assert_int_equal(mmio(LOCAL_APIC_SVR), 0x1ff);
}

static void test_requests_are_posted(void **state)
{
	(void)state;
	enter();
	assert_int_equal(send(0, false, IRQ_DELIVERY_FIXED, 0x41, false), STATUS_OK);
	assert_int_equal(send(0, false, IRQ_DELIVERY_FIXED, 0x92, true), STATUS_OK);
	/* The guest may be running: its page is the CPU's alone. */
	assert_int_equal(PAGE(LOCAL_APIC_IRR + 2), 0);
	assert_int_equal(PAGE(LOCAL_APIC_IRR + 4), 0);
	assert_true(VCPU->requests & VCPU_REQUEST_EVENT);
	assert_int_equal(irq_pending_vector(VCPU), 0x92);
	assert_int_equal(irq_acknowledge(VCPU), -1);
	assert_false(enter());
	assert_int_equal(PAGE(LOCAL_APIC_IRR + 2), 1u << 1);
	assert_int_equal(PAGE(LOCAL_APIC_IRR + 4), 1u << 0x12);
	assert_int_equal(PAGE(LOCAL_APIC_TMR + 4), 1u << 0x12);
	assert_int_equal(hardware_requested, 0x92);
	assert_int_equal(hardware_eoi_exits[2], 1ull << 0x12);
	assert_int_equal(irq_pending_vector(VCPU), 0x92); /* before a HLT sleeps */
}

/* A vector that was level-triggered and comes again as an edge does not exit at its end any more. */
static void test_trigger_mode_changes(void **state)
{
	(void)state;
	send(0, false, IRQ_DELIVERY_FIXED, 0x51, true);
	enter();
	assert_int_equal(hardware_eoi_exits[1], 1ull << 0x11);
	send(0, false, IRQ_DELIVERY_FIXED, 0x51, false);
	enter();
	assert_int_equal(hardware_eoi_exits[1], 0);
	assert_int_equal(PAGE(LOCAL_APIC_TMR + 2), 0);
}

static void test_priority_blocks(void **state)
{
	(void)state;
	enter();
	PAGE(LOCAL_APIC_ISR + 4) = 1u << 0x11; /* 0x91 in service */
	PAGE(LOCAL_APIC_PPR) = 0x90;
	send(0, false, IRQ_DELIVERY_FIXED, 0x9f, false);
	assert_int_equal(irq_pending_vector(VCPU), -1);
	send(0, false, IRQ_DELIVERY_FIXED, 0xa0, false);
	assert_int_equal(irq_pending_vector(VCPU), 0xa0);
	enter();
	assert_int_equal(hardware_requested, 0xa0);
	assert_int_equal(hardware_in_service, 0x91);
}

/* EOI and TPR by an instruction that the CPU does not carry out on the page. */
static void test_emulated_access(void **state)
{
	(void)state;
	enter();
	PAGE(LOCAL_APIC_ISR + 2) = 1u << 1;
	PAGE(LOCAL_APIC_ISR + 4) = 1u << 2;
	PAGE(LOCAL_APIC_TMR + 4) = 1u << 2;
	PAGE(LOCAL_APIC_PPR) = 0x80;
	set_mmio(LOCAL_APIC_EOI, 0);
	assert_int_equal(ended, 0x100 + 0x82);
	assert_int_equal(PAGE(LOCAL_APIC_ISR + 4), 0);
	assert_int_equal(PAGE(LOCAL_APIC_PPR), 0x40);
	assert_true(VCPU->requests & VCPU_REQUEST_EVENT);
	enter();
	assert_int_equal(hardware_in_service, 0x41);
	set_mmio(LOCAL_APIC_TPR, 0x77);
	assert_int_equal(PAGE(LOCAL_APIC_PPR), 0x77);
	assert_int_equal(mmio(LOCAL_APIC_PPR), 0x77);
	irq_end_of_interrupt(&fixture_vm, 0x33); /* a virtualized EOI's exit */
	assert_int_equal(ended, 0x200 + 0x33);
}

static void test_external_is_injected(void **state)
{
	(void)state;
	enter();
	external_level = true;
	send(0, false, IRQ_DELIVERY_FIXED, 0x61, false);
	assert_true(enter());
	assert_int_equal(irq_acknowledge(VCPU), 0x30);
	assert_false(enter());
	assert_int_equal(irq_acknowledge(VCPU), -1);
	assert_int_equal(hardware_requested, 0x61);
}

static void test_register_writes(void **state)
{
	(void)state;
	enter();
	hardware_write(LOCAL_APIC_ID, 0x77000000);
	assert_int_equal(PAGE(LOCAL_APIC_ID), 0);
	hardware_write(LOCAL_APIC_LDR, 0x01ffffff);
	assert_int_equal(PAGE(LOCAL_APIC_LDR), 0x01000000);
	hardware_write(LOCAL_APIC_DFR, 0x0);
	assert_int_equal(PAGE(LOCAL_APIC_DFR), 0x0fffffff);
	hardware_write(LVT_LINT0, 0xffffffff);
	assert_int_equal(PAGE(LVT_LINT0), 0x0001a7ff);
	PAGE(LOCAL_APIC_ICR_HIGH) = 1u << 24; /* without an exit */
	hardware_write(LOCAL_APIC_ICR, 0x4062);
	assert_int_equal(irq_pending_vector(&fixture_vcpus[1]), -1); /* disabled by software */
	guest_write(IO_SPACE_MEMORY, 1, XAPIC(LOCAL_APIC_SVR), 4, 0x1ff);
	hardware_write(LOCAL_APIC_ICR, 0x4062);
	assert_int_equal(irq_pending_vector(&fixture_vcpus[1]), 0x62);
	/* Not in this mode of the timer: the register goes back to what counts. */
	hardware_write(LVT_TIMER, 0x400ec);
	hardware_write(LOCAL_APIC_INITIAL_COUNT, 5000);
	assert_int_equal(PAGE(LOCAL_APIC_INITIAL_COUNT), 0);
	irq_register_written(VCPU, 0x400); /* outside: nothing */
	irq_register_written(VCPU, 0xff0);
	hardware_write(LOCAL_APIC_SVR, 0xff);
	assert_int_equal(PAGE(LVT_TIMER), 0x500ec);
}

static void test_modes(void **state)
{
	(void)state;
	enter();
	send(0, false, IRQ_DELIVERY_FIXED, 0x71, false);
	PAGE(LOCAL_APIC_ISR + 1) = 1u << 1; /* 0x21 */
	fixture_vcpus[1].state = VCPU_RUNNING;
	assert_true(guest_wrmsr(0, MSR_APIC_BASE, BASE_X2APIC | APIC_BASE_BSP));
	assert_false(fixture_mapped); /* it would show through here */
	assert_int_equal(flushes, 1);
	assert_true(fixture_take_request(1, VCPU_REQUEST_FLUSH));
	assert_false(fixture_take_request(0, VCPU_REQUEST_FLUSH));
	enter();
	assert_int_equal(hardware_mode, VIRT_APIC_X2APIC);
	assert_int_equal(hardware_requested, 0x71);
	assert_int_equal(hardware_in_service, 0x21);
	assert_int_equal(PAGE(LOCAL_APIC_LDR), 1);
	assert_true(guest_wrmsr(0, MSR_APIC_BASE, LOCAL_APIC_BASE | APIC_BASE_BSP));
	assert_true(fixture_mapped); /* for the other vCPU; accesses of this one exit */
	enter();
	assert_int_equal(hardware_mode, VIRT_APIC_SOFTWARE);
	assert_true(guest_wrmsr(1, MSR_APIC_BASE, LOCAL_APIC_BASE));
	assert_false(fixture_mapped);
	assert_int_equal(flushes, 2);
	assert_int_equal(irq_pending_vector(VCPU), -1);
	assert_true(guest_wrmsr(0, MSR_APIC_BASE, BASE_XAPIC | APIC_BASE_BSP));
	enter();
	assert_int_equal(hardware_mode, VIRT_APIC_XAPIC);
	assert_int_equal(hardware_requested, 0);
	assert_true(fixture_mapped);
}

/* What the hardware left in the page, software goes on with. */
static void test_falls_back_to_software(void **state)
{
	(void)state;
	hardware_has_x2apic = false;
	enter();
	send(0, false, IRQ_DELIVERY_FIXED, 0x71, false);
	PAGE(LOCAL_APIC_ISR + 1) = 1u << 1;
	PAGE(LOCAL_APIC_PPR) = 0x20;
	assert_true(guest_wrmsr(0, MSR_APIC_BASE, BASE_X2APIC | APIC_BASE_BSP));
	assert_true(enter());
	assert_int_equal(hardware_mode, VIRT_APIC_SOFTWARE);
	assert_int_equal(take(0), 0x71);
	assert_true(guest_wrmsr(0, X2APIC(LOCAL_APIC_EOI), 0));
	assert_int_equal(msr(0, LOCAL_APIC_PPR), 0x20);
}

/* Then every access exits; the rest is the hardware's all the same. */
static void test_no_memory_for_access_page(void **state)
{
	(void)state;
	assert_true(guest_wrmsr(0, MSR_APIC_BASE, LOCAL_APIC_BASE | APIC_BASE_BSP));
	assert_true(guest_wrmsr(1, MSR_APIC_BASE, LOCAL_APIC_BASE));
	fixture_map_status = STATUS_NO_MEMORY;
	assert_true(guest_wrmsr(0, MSR_APIC_BASE, BASE_XAPIC | APIC_BASE_BSP));
	assert_false(fixture_mapped);
	enter();
	assert_int_equal(hardware_mode, VIRT_APIC_XAPIC);
	set_mmio(LOCAL_APIC_SVR, 0x1ff);
	send(0, false, IRQ_DELIVERY_FIXED, 0x71, false);
	assert_false(enter());
	assert_int_equal(hardware_requested, 0x71);
	PAGE(LOCAL_APIC_IRR + 3) = 0; /* delivered */
	PAGE(LOCAL_APIC_ISR + 3) = 1u << 0x11;
	set_mmio(LOCAL_APIC_EOI, 0);
	assert_int_equal(mmio(LOCAL_APIC_ISR + 3), 0);
	fixture_map_status = STATUS_OK;
	assert_true(guest_wrmsr(1, MSR_APIC_BASE, BASE_XAPIC));
	assert_true(fixture_mapped);
}

/* INIT: what the hardware has and what is posted goes, the mode and the id stay, the timer stops. */
static void test_init(void **state)
{
	(void)state;
	enter();
	hardware_write(LVT_TIMER, 0x400ec);
	assert_true(guest_wrmsr(0, MSR_TSC_DEADLINE, fake_tsc + 500));
	run_timers_before_entry();
	assert_int_equal(hardware_timer, 0xec);
	PAGE(LOCAL_APIC_ISR + 2) = 1u << 1;
	PAGE(LOCAL_APIC_TPR) = 0x20;
	send(0, false, IRQ_DELIVERY_FIXED, 0x71, false);
	irq_enter_init(VCPU);
	assert_int_equal(hardware_timer, 0);
	assert_true(list_is_empty(&VCPU->timers));
	assert_int_equal(irq_pending_vector(VCPU), -1);
	assert_false(enter());
	assert_int_equal(hardware_mode, VIRT_APIC_XAPIC);
	assert_int_equal(hardware_requested | hardware_in_service, 0);
	assert_int_equal(PAGE(LOCAL_APIC_TPR) | PAGE(LOCAL_APIC_ISR + 2), 0);
	assert_int_equal(PAGE(LOCAL_APIC_SVR), 0xff);
	assert_int_equal(PAGE(LVT_LINT0), LOCAL_APIC_LVT_MASKED);
	assert_true(guest_wrmsr(1, MSR_APIC_BASE, BASE_X2APIC));
	assert_true(guest_wrmsr(1, X2APIC(LOCAL_APIC_SVR), 0x1ff));
	irq_enter_init(&fixture_vcpus[1]);
	assert_int_equal(msr(1, LOCAL_APIC_ID), 1);
	assert_int_equal(msr(1, LOCAL_APIC_LDR), 2);
	assert_int_equal(msr(1, LOCAL_APIC_SVR), 0xff);
}

static void arm_guest_timer(uint64_t deadline)
{
	hardware_write(LVT_TIMER, 0x400ec);
	assert_true(guest_wrmsr(0, MSR_TSC_DEADLINE, deadline));
	run_timers_before_entry();
}

static uint64_t read_deadline(void)
{
	uint64_t value = 1;

	assert_true(guest_rdmsr(0, MSR_TSC_DEADLINE, &value));
	return value;
}

static void test_timer_in_hardware(void **state)
{
	uint64_t begin = fake_tsc;

	(void)state;
	enter();
	arm_guest_timer(begin + 500);
	assert_int_equal(hardware_timer, 0xec);
	assert_int_equal(hardware_deadline, begin + 500);
	assert_int_equal(VCPU->virt.entry_deadline, UINT64_MAX);
	hardware_timer = 0; /* delivered, without an exit */
	fake_tsc = begin + 600;
	assert_int_equal(read_deadline(), 0);
	run_timers_before_entry();
	assert_true(list_is_empty(&VCPU->timers));
	assert_int_equal(irq_pending_vector(VCPU), -1); /* not a second time */
	/* Armed again by the guest right behind a delivery that nobody noticed. */
	arm_guest_timer(begin + 700);
	hardware_timer = 0;
	fake_tsc = begin + 701;
	arm_guest_timer(begin + 900);
	assert_int_equal(hardware_timer, 0xec);
	assert_int_equal(hardware_deadline, begin + 900);
	assert_int_equal(irq_pending_vector(VCPU), -1);
}

static void test_timer_taken_back(void **state)
{
	uint64_t begin = fake_tsc;

	(void)state;
	enter();
	arm_guest_timer(begin + 500);
	vcpu_timer_take_back(VCPU); /* the vCPU leaves its CPU */
	assert_int_equal(hardware_timer, 0);
	assert_int_equal(vcpu_timers_run(VCPU, begin + 499), begin + 500);
	assert_int_equal(read_deadline(), begin + 500);
	run_timers_before_entry();
	assert_int_equal(hardware_timer, 0xec);
	/* Due, but not delivered when it is taken back: software delivers it, once. */
	fake_tsc = begin + 500;
	vcpu_timer_take_back(VCPU);
	assert_int_equal(irq_pending_vector(VCPU), 0xec);
	assert_true(list_is_empty(&VCPU->timers));
	enter();
	assert_int_equal(hardware_requested, 0xec);
}

static void test_timer_changes(void **state)
{
	uint64_t begin = fake_tsc;

	(void)state;
	enter();
	arm_guest_timer(begin + 500);
	hardware_write(LVT_TIMER, 0x400ed); /* another vector */
	assert_true(VCPU->requests & VCPU_REQUEST_TIMER);
	run_timers_before_entry();
	assert_int_equal(hardware_timer, 0xed);
	hardware_write(LVT_TIMER, 0x500ed); /* masked */
	assert_int_equal(hardware_timer, 0);
	run_timers_before_entry();
	assert_int_equal(hardware_timer, 0);
	assert_int_equal(VCPU->virt.entry_deadline, begin + 500);
	hardware_write(LVT_TIMER, 0x400ed);
	run_timers_before_entry();
	assert_int_equal(hardware_timer, 0xed);
	assert_true(guest_wrmsr(0, MSR_TSC_DEADLINE, 0)); /* cancelled */
	assert_int_equal(hardware_timer, 0);
	assert_true(list_is_empty(&VCPU->timers));
	arm_guest_timer(begin + 500);
	hardware_write(LVT_TIMER, 0xed); /* one-shot mode */
	assert_int_equal(hardware_timer, 0);
	assert_true(list_is_empty(&VCPU->timers));
	arm_guest_timer(begin + 500);
	assert_true(guest_wrmsr(0, MSR_APIC_BASE, LOCAL_APIC_BASE | APIC_BASE_BSP)); /* turned off */
	assert_int_equal(hardware_timer, 0);
	assert_null(VCPU->timer_in_hardware);
}

static unsigned expired;
static void expire(struct vcpu_timer *timer) { (void)timer; expired++; }

/* Timers that only software can serve keep their deadlines beside one in hardware. */
static void test_timer_beside_others(void **state)
{
	uint64_t begin = fake_tsc;
	struct vcpu_timer other;

	(void)state;
	expired = 0;
	vcpu_timer_init(&other, VCPU, expire);
	enter();
	arm_guest_timer(begin + 500);
	vcpu_timer_arm(&other, begin + 800); /* behind the hardware's */
	assert_true(VCPU->requests & VCPU_REQUEST_TIMER);
	run_timers_before_entry();
	assert_int_equal(hardware_timer, 0xec);
	assert_int_equal(VCPU->virt.entry_deadline, begin + 800);
	hardware_timer = 0;
	fake_tsc = begin + 800;
	run_timers_before_entry();
	assert_int_equal(expired, 1);
	assert_int_equal(irq_pending_vector(VCPU), -1);
	/* Before it: the hardware gets its own when it is the next. */
	vcpu_timer_arm(&other, begin + 900);
	arm_guest_timer(begin + 1000);
	assert_int_equal(VCPU->virt.entry_deadline, begin + 900);
	assert_int_equal(hardware_timer, 0);
	fake_tsc = begin + 900;
	run_timers_before_entry();
	assert_int_equal(hardware_timer, 0xec);
	assert_int_equal(VCPU->virt.entry_deadline, UINT64_MAX);
}

static void test_timer_refused(void **state)
{
	uint64_t begin = fake_tsc;

	(void)state;
	hardware_has_timer = false;
	enter();
	arm_guest_timer(begin + 500);
	assert_int_equal(VCPU->virt.entry_deadline, begin + 500);
	assert_null(VCPU->timer_in_hardware);
	fake_tsc = begin + 500;
	run_timers_before_entry();
	assert_int_equal(irq_pending_vector(VCPU), 0xec);
}

#define TEST_HARDWARE(function) cmocka_unit_test_setup_teardown(function, set_up_hardware, tear_down_hardware)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_HARDWARE(test_starts_in_hardware),
		TEST_HARDWARE(test_requests_are_posted),
		TEST_HARDWARE(test_trigger_mode_changes),
		TEST_HARDWARE(test_priority_blocks),
		TEST_HARDWARE(test_emulated_access),
		TEST_HARDWARE(test_external_is_injected),
		TEST_HARDWARE(test_register_writes),
		TEST_HARDWARE(test_modes),
		TEST_HARDWARE(test_falls_back_to_software),
		TEST_HARDWARE(test_no_memory_for_access_page),
		TEST_HARDWARE(test_init),
		TEST_HARDWARE(test_timer_in_hardware),
		TEST_HARDWARE(test_timer_taken_back),
		TEST_HARDWARE(test_timer_changes),
		TEST_HARDWARE(test_timer_beside_others),
		TEST_HARDWARE(test_timer_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
