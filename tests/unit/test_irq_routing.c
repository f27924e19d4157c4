/* Lines reach every controller at the right pin, messages are decoded, and an incomplete machine does no harm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/irq_routing.h"
#include "vmm/vm.h"

struct controller {
	unsigned calls, ends;
	unsigned line;
	bool level;
	bool went_high;
	uint8_t vector;
};

static struct vm vm;
static struct vcpu vcpu = {.vm = &vm};
static struct controller controllers[3];
static struct irq_message delivered;
static unsigned deliveries;

/* The routing hands devices through; here they are the notes of a controller. */
static struct io_device *device_of(struct controller *controller) { return (struct io_device *)(void *)controller; }
static struct controller *controller_of(struct io_device *device) { return (struct controller *)(void *)device; }

static void note_pin(struct io_device *device, unsigned line, bool level)
{
	struct controller *controller = controller_of(device);

	controller->calls++;
	controller->line = line;
	controller->level = level;
	controller->went_high |= level;
}

static void note_end(struct io_device *device, uint8_t vector)
{
	controller_of(device)->ends++;
	controller_of(device)->vector = vector;
}

static const struct irq_pin_controller pic_ops = {.set_pin = note_pin};
static const struct irq_pin_controller io_apic_ops = {note_pin, note_end};

static bool external_pending(struct io_device *device) { return controller_of(device)->level; }
static uint8_t external_acknowledge(struct io_device *device) { return controller_of(device)->vector; }
static const struct irq_external_source external = {external_pending, external_acknowledge};

static enum status deliver(struct io_device *device, const struct irq_message *message)
{
	assert_ptr_equal(device, device_of(&controllers[2]));
	delivered = *message;
	deliveries++;
	return STATUS_OK;
}

static int pending_vector(struct io_device *device, struct vcpu *asked)
{
	(void)device;
	assert_ptr_equal(asked, &vcpu);
	return 0x31;
}

static int acknowledge(struct io_device *device, struct vcpu *asked)
{
	(void)device;
	assert_ptr_equal(asked, &vcpu);
	return 0x32;
}

static const struct irq_local_controller local = {.deliver = deliver, .pending_vector = pending_vector, .acknowledge = acknowledge};

static int set_up(void **state)
{
	(void)state;
	vm.irq = (struct irq_routing){0};
	memset(controllers, 0, sizeof(controllers));
	deliveries = 0;
	assert_int_equal(irq_routing_add_pins(&vm, &pic_ops, device_of(&controllers[0])), STATUS_OK);
	assert_int_equal(irq_routing_add_pins(&vm, &io_apic_ops, device_of(&controllers[1])), STATUS_OK);
	irq_routing_set_local(&vm, &local, device_of(&controllers[2]));
	irq_routing_set_external(&vm, &external, device_of(&controllers[0]));
	return 0;
}

static void test_too_many_controllers(void **state)
{
	(void)state;
	assert_int_equal(irq_routing_add_pins(&vm, &pic_ops, device_of(&controllers[2])), STATUS_NO_MEMORY);
	assert_int_equal(vm.irq.pin_controllers, 2);
}

static void test_lines(void **state)
{
	(void)state;
	irq_line_set(&vm, 4, true);
	assert_int_equal(controllers[0].line, 4);
	assert_int_equal(controllers[1].line, 4);
	assert_true(controllers[0].level && controllers[1].level && vm.irq.line_level[4]);
	/* Every level is passed on, also one that is not new. */
	irq_line_set(&vm, 4, true);
	assert_int_equal(controllers[0].calls, 2);
	irq_line_set(&vm, 4, false);
	assert_false(controllers[0].level || controllers[1].level || vm.irq.line_level[4]);
	irq_line_set(&vm, 23, true);
	assert_int_equal(controllers[1].line, 23);
	irq_line_set(&vm, 24, true);
	irq_line_set(&vm, UINT32_MAX, true);
	assert_int_equal(controllers[1].calls, 4);
}

static void test_timer_and_cascade(void **state)
{
	(void)state;
	irq_line_set(&vm, IRQ_LINE_TIMER, true);
	assert_int_equal(controllers[0].line, 0);
	assert_int_equal(controllers[1].line, 2);
	irq_line_set(&vm, 2, true);
	assert_int_equal(controllers[0].calls, 2);
	assert_int_equal(controllers[1].calls, 1);
}

static void test_pulse(void **state)
{
	(void)state;
	irq_line_pulse(&vm, 8);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(controllers[i].calls, 2);
		assert_true(controllers[i].went_high);
		assert_false(controllers[i].level);
	}
}

static void test_msi(void **state)
{
	(void)state;
	assert_int_equal(irq_msi_send(&vm, 0xfee05004, 0x0000c123), STATUS_OK);
	assert_int_equal(delivered.destination, 5);
	assert_true(delivered.logical);
	assert_int_equal(delivered.vector, 0x23);
	assert_int_equal(delivered.delivery_mode, IRQ_DELIVERY_LOWEST);
	assert_true(delivered.level);
	assert_int_equal(irq_msi_send(&vm, 0xfeeff000, 0x400), STATUS_OK);
	assert_int_equal(delivered.destination, 0xff);
	assert_false(delivered.logical);
	assert_int_equal(delivered.delivery_mode, IRQ_DELIVERY_NMI);
	assert_false(delivered.level);
	assert_int_equal(deliveries, 2);
	/* A level that ends delivers nothing. */
	assert_int_equal(irq_msi_send(&vm, 0xfee00000, 0x8030), STATUS_OK);
	assert_int_equal(deliveries, 2);
	assert_int_equal(irq_msi_send(&vm, 0xfec00000, 0x30), STATUS_INVALID);
	assert_int_equal(irq_msi_send(&vm, 0xfef00000, 0x30), STATUS_INVALID);
	assert_int_equal(irq_msi_send(&vm, 0x1fee00000, 0x30), STATUS_INVALID);
	assert_int_equal(deliveries, 2);
}

static void test_end_of_interrupt(void **state)
{
	(void)state;
	irq_end_of_interrupt(&vm, 0x55);
	assert_int_equal(controllers[0].ends, 0);
	assert_int_equal(controllers[1].ends, 1);
	assert_int_equal(controllers[1].vector, 0x55);
}

static void test_passes_questions_on(void **state)
{
	(void)state;
	assert_int_equal(irq_pending_vector(&vcpu), 0x31);
	assert_int_equal(irq_acknowledge(&vcpu), 0x32);
	assert_false(irq_external_pending(&vm));
	controllers[0].level = true;
	controllers[0].vector = 0x20;
	assert_true(irq_external_pending(&vm));
	assert_int_equal(irq_external_acknowledge(&vm), 0x20);
}

static void test_without_controllers(void **state)
{
	const struct irq_message message = {.vector = 0x30};

	(void)state;
	vm.irq = (struct irq_routing){0};
	irq_line_pulse(&vm, 0);
	irq_end_of_interrupt(&vm, 0x30);
	assert_int_equal(irq_message_send(&vm, &message), STATUS_NOT_FOUND);
	assert_int_equal(irq_pending_vector(&vcpu), -1);
	assert_int_equal(irq_acknowledge(&vcpu), -1);
	assert_false(irq_external_pending(&vm));
	assert_int_equal(irq_external_acknowledge(&vm), 0xff);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_too_many_controllers, set_up),
		cmocka_unit_test_setup(test_lines, set_up),
		cmocka_unit_test_setup(test_timer_and_cascade, set_up),
		cmocka_unit_test_setup(test_pulse, set_up),
		cmocka_unit_test_setup(test_msi, set_up),
		cmocka_unit_test_setup(test_end_of_interrupt, set_up),
		cmocka_unit_test_setup(test_passes_questions_on, set_up),
		cmocka_unit_test_setup(test_without_controllers, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
