#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "vmm/vm_console.h"

static struct vm_console console;
static unsigned notifications, hooks;

/* Comes back to the rings, as the UART model does: deadlocks if a lock were held. */
static void notify(void *context)
{
	assert_ptr_equal(context, &notifications);
	(void)vm_console_has_input(&console);
	notifications++;
}

static void hook(void)
{
	(void)vm_console_has_output(&console);
	hooks++;
}

static int setup(void **state)
{
	(void)state;
	memset(&console, 0xff, sizeof(console));
	vm_console_init(&console);
	console.notify = notify;
	console.notify_context = &notifications;
	notifications = hooks = 0;
	vm_console_set_output_hook(hook);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	vm_console_set_output_hook(NULL);
	return 0;
}

static void output_keeps_order_over_the_wrap(void **state)
{
	uint8_t buffer[1000], expected = 0, next = 0;

	(void)state;
	for (unsigned round = 0; round < 50; round++) {
		for (unsigned i = 0; i < 777; i++)
			assert_true(vm_console_put(&console, next++));
		assert_int_equal(vm_console_take(&console, buffer, sizeof(buffer)), 777);
		for (unsigned i = 0; i < 777; i++)
			assert_int_equal(buffer[i], expected++);
	}
	assert_int_equal(console.output_total, 50 * 777);
	assert_false(vm_console_has_output(&console));
	assert_int_equal(notifications, 0); /* it was never full */
	assert_int_equal(hooks, 50);
}

static void full_output_refuses_and_notifies(void **state)
{
	uint8_t byte;

	(void)state;
	for (unsigned i = 0; i < VM_CONSOLE_OUTPUT_SIZE; i++) {
		assert_true(vm_console_output_has_room(&console));
		assert_true(vm_console_put(&console, 1));
	}
	assert_false(vm_console_output_has_room(&console));
	assert_false(vm_console_put(&console, 2));
	assert_int_equal(console.output_total, VM_CONSOLE_OUTPUT_SIZE);
	assert_int_equal(vm_console_take(&console, &byte, 0), 0);
	assert_int_equal(notifications, 0);
	assert_int_equal(vm_console_take(&console, &byte, 1), 1);
	assert_int_equal(notifications, 1);
	assert_int_equal(vm_console_take(&console, &byte, 1), 1);
	assert_int_equal(notifications, 1);
	assert_int_equal(hooks, 1);
}

static void input_is_bounded(void **state)
{
	uint8_t bytes[VM_CONSOLE_INPUT_SIZE + 10], byte;

	(void)state;
	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7);
	assert_false(vm_console_get_input(&console, &byte));
	assert_int_equal(vm_console_type(&console, bytes, sizeof(bytes)), VM_CONSOLE_INPUT_SIZE);
	assert_int_equal(notifications, 1);
	assert_int_equal(vm_console_type(&console, bytes, 1), 0);
	assert_int_equal(notifications, 1);
	assert_true(vm_console_has_input(&console));
	for (unsigned i = 0; i < VM_CONSOLE_INPUT_SIZE; i++) {
		assert_true(vm_console_get_input(&console, &byte));
		assert_int_equal(byte, bytes[i]);
	}
	assert_false(vm_console_has_input(&console));
}

static void nobody_needs_to_listen(void **state)
{
	uint8_t byte = 'x';

	(void)state;
	console.notify = NULL;
	vm_console_set_output_hook(NULL);
	assert_true(vm_console_put(&console, byte));
	assert_int_equal(vm_console_type(&console, &byte, 1), 1);
	assert_int_equal(notifications + hooks, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(output_keeps_order_over_the_wrap, setup, teardown),
		cmocka_unit_test_setup_teardown(full_output_refuses_and_notifies, setup, teardown),
		cmocka_unit_test_setup_teardown(input_is_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(nobody_needs_to_listen, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
