/* Dispatch of vectors, calls from CPU to CPU, and what becomes of exceptions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/cpu/exceptions.h"
#include "arch/x86/cpu/gdt.h"
#include "arch/x86/exception.h"
#include "arch/x86/exception_fixup.h"
#include "arch/x86/irq/interrupt.h"
#include "arch/x86/irq/ipi.h"
#include "arch/x86/irq/lapic.h"
#include "arch/x86/irq/lapic_performance.h"
#include "arch/x86/panic_hooks.h"
#include "arch/x86/virt.h"
#include "fake_cpu.h"
#include "fake_panic.h"
#include "fake_pcpu.h"

/* Local APICs, panic state and stacks of this test. */
static unsigned eoi_count;
static bool panicking;
static uint32_t ipi_target, ipi_vector;
static enum status ipi_status;
static jmp_buf halted;
static uint32_t deaf_cpu; /* hears NMIs only; 0: none */
static unsigned stop_ipis, stop_nmis;
char boot_stack_guard[PAGE_SIZE], boot_stack_top[1];

void lapic_end_of_interrupt(void) { eoi_count++; }
bool lapic_performance_nmi(void) { return false; }
bool panic_is_active(void) { return panicking; }
void panic_halt(void) { longjmp(halted, 1); }

/* On CPU @index, which hears what was sent to it. */
static void stop_cpu(uint32_t index)
{
	pcpu_set_current(pcpu_get(index));
	if (setjmp(halted) == 0)
		ipi_stop_self();
	pcpu_set_current(pcpu_get(0));
}

enum status lapic_send_ipi(uint32_t apic_id, uint8_t vector)
{
	if (ipi_is_stopping()) {
		stop_ipis++;
		if (apic_id != deaf_cpu)
			stop_cpu(apic_id);
	}
	ipi_target = apic_id;
	ipi_vector = vector;
	return ipi_status;
}

enum status lapic_send_nmi(uint32_t apic_id)
{
	stop_nmis++;
	stop_cpu(apic_id);
	return STATUS_OK;
}

static uint8_t last_vector;
static unsigned handled, eoi_at_handler;
static void handler(uint8_t vector) { last_vector = vector; handled++; eoi_at_handler = eoi_count; }

static int set_up(void **state)
{
	(void)state;
	fake_cpu_reset();
	fake_pcpu_reset();
	eoi_count = handled = 0;
	panicking = false;
	ipi_status = STATUS_OK;
	return 0;
}

static void test_dispatch(void **state)
{
	struct idt_frame frame = {.vector = 0x55};

	(void)state;
	interrupt_register(0x55, handler);
	interrupt_dispatch(0x55);
	assert_int_equal(handled, 1);
	assert_int_equal(last_vector, 0x55);
	assert_int_equal(eoi_at_handler, 0); /* a level-triggered device is silenced before the end of interrupt */
	assert_int_equal(eoi_count, 1);
	exception_enter(&frame);
	assert_int_equal(handled, 2);
	assert_int_equal(interrupt_count(0x55), 2);
}

static void test_dispatch_without_handler(void **state)
{
	(void)state;
	interrupt_dispatch(0x77);
	interrupt_dispatch(INTERRUPT_VECTOR_KICK);
	assert_int_equal(eoi_count, 2);
	interrupt_dispatch(INTERRUPT_VECTOR_SPURIOUS);
	assert_int_equal(eoi_count, 2);
	assert_int_equal(interrupt_count(INTERRUPT_VECTOR_SPURIOUS), 1);
}

static void test_register_refusals(void **state)
{
	(void)state;
	assert_true(FAKE_PANICS(interrupt_register(14, handler)));
	interrupt_register(0x66, handler);
	assert_true(FAKE_PANICS(interrupt_register(0x66, handler)));
	assert_string_equal(interrupt_name(INTERRUPT_VECTOR_TIMER), "timer");
	assert_null(interrupt_name(0x99));
}

/* The other CPU takes the call IPI while this one waits. */
static struct pcpu *this_cpu, *other_cpu;
static uint32_t ran_on;
static void called(void *argument) { *(int *)argument += 1; ran_on = pcpu_current()->index; }

static void other_answers(void)
{
	pcpu_set_current(other_cpu);
	interrupt_dispatch(INTERRUPT_VECTOR_CALL);
	pcpu_set_current(this_cpu);
}

static void test_call(void **state)
{
	int value = 0;

	(void)state;
	this_cpu = pcpu_get(0);
	other_cpu = pcpu_add(0x42, 1);
	ipi_init();
	assert_int_equal(ipi_call(other_cpu, called, &value), STATUS_INVALID); /* not online */
	other_cpu->online = true;
	fake_pause_hook = other_answers;
	assert_int_equal(ipi_call(other_cpu, called, &value), STATUS_OK);
	assert_int_equal(value, 1);
	assert_int_equal(ran_on, 1);
	assert_int_equal(ipi_target, 0x42);
	assert_int_equal(ipi_vector, INTERRUPT_VECTOR_CALL);
	assert_int_equal(ipi_call(this_cpu, called, &value), STATUS_OK);
	assert_int_equal(ran_on, 0);
	ipi_kick(other_cpu);
	assert_int_equal(ipi_vector, INTERRUPT_VECTOR_KICK);
}

/* While this CPU waits for the other, the other one calls it: both must come to an end. */
static int crossing;

static void other_calls_back(void)
{
	int nested = 0;

	if (crossing++ == 0) {
		fake_pause_hook = NULL;
		pcpu_set_current(other_cpu);
		/* Its wait serves its own mailbox, which holds this CPU's call; then it gives up waiting. */
		fake_tsc_step = 1u << 30;
		assert_int_equal(ipi_call(this_cpu, called, &nested), STATUS_TIMEOUT);
		fake_tsc_step = 1000;
		pcpu_set_current(this_cpu);
	}
}

static void test_calls_that_cross(void **state)
{
	int value = 0;

	(void)state;
	this_cpu = pcpu_get(0);
	other_cpu = pcpu_add(0x42, 1);
	this_cpu->online = other_cpu->online = true;
	fake_pause_hook = other_calls_back;
	assert_int_equal(ipi_call(other_cpu, called, &value), STATUS_OK);
	assert_int_equal(value, 1);
	assert_int_equal(crossing, 1);
}

/* A function that was called calls back and waits, which must not run it a second time. */
static unsigned called_back;

static void calls_back(void *argument)
{
	called_back++;
	if (called_back == 1) {
		fake_pause_hook = NULL;
		fake_tsc_step = 1u << 30;
		assert_int_equal(ipi_call(this_cpu, called, argument), STATUS_TIMEOUT);
		fake_tsc_step = 1000;
	}
}

static void test_function_that_calls_back(void **state)
{
	int value = 0;

	(void)state;
	for (uint32_t id = 1; id <= 4; id++)
		other_cpu = pcpu_add(id, id);
	this_cpu = pcpu_get(3); /* mailboxes of the others may still be closed */
	this_cpu->online = other_cpu->online = true;
	pcpu_set_current(this_cpu);
	fake_pause_hook = other_answers;
	assert_int_equal(ipi_call(other_cpu, calls_back, &value), STATUS_OK);
	assert_int_equal(called_back, 1);
}

static void test_call_without_answer(void **state)
{
	int value = 0;

	(void)state;
	other_cpu = pcpu_add(1, 1);
	other_cpu = pcpu_add(2, 2);
	other_cpu->online = true;
	fake_tsc_step = 1u << 28;
	assert_int_equal(ipi_call(other_cpu, called, &value), STATUS_TIMEOUT);
	assert_int_equal(ipi_call(other_cpu, called, &value), STATUS_TIMEOUT); /* and again, without hanging */
	assert_int_equal(value, 0);
}

static const struct exception_fixup fixup __attribute__((used, retain, section("exception_fixups"))) = {0x1111, 0x2222};

static void test_exception_with_fixup(void **state)
{
	struct idt_frame frame = {.vector = EXCEPTION_GP, .rip = 0x1111};

	(void)state;
	exception_enter(&frame);
	assert_int_equal(frame.rip, 0x2222);
	frame = (struct idt_frame){.vector = EXCEPTION_MC, .rip = 0x1111};
	assert_true(FAKE_PANICS(exception_enter(&frame))); /* a machine check is never the instruction's fault */
}

static void test_exception_panics(void **state)
{
	struct idt_frame frame = {.vector = EXCEPTION_PF, .rip = 0x3333, .error_code = 2, .rsp = 0x9000};

	(void)state;
	fake_cr2 = 0x10;
	assert_true(FAKE_PANICS(exception_enter(&frame)));
	assert_string_equal(fake_panic_message, "page fault at 0x10 (write, not present), rip 0x3333");
	pcpu_get(0)->stack_top = 0x9000 + 16 * KIB;
	fake_cr2 = 0x8ff8;
	assert_true(FAKE_PANICS(exception_enter(&frame)));
	assert_string_equal(fake_panic_message, "page fault at 0x8ff8 (write, not present, stack overflow), rip 0x3333");
	frame = (struct idt_frame){.vector = EXCEPTION_DF, .rip = 0x3333, .rsp = 0x8f00};
	assert_true(FAKE_PANICS(exception_enter(&frame)));
	assert_string_equal(fake_panic_message, "double fault (stack overflow), rip 0x3333");
}

static void describe(uint64_t vector, uint64_t error_code, char *text, size_t size)
{
	struct idt_frame frame = {.vector = vector, .error_code = error_code, .rip = 0x44};

	exception_describe(&frame, 0x55, false, NULL, text, size);
}

static void test_descriptions(void **state)
{
	char text[128], tiny[4];

	(void)state;
	describe(EXCEPTION_PF, 0x11, text, sizeof(text));
	assert_string_equal(text, "page fault at 0x55 (execute, not allowed), rip 0x44");
	describe(EXCEPTION_PF, 0x9, text, sizeof(text));
	assert_string_equal(text, "page fault at 0x55 (read, reserved bit in a page table), rip 0x44");
	describe(EXCEPTION_GP, 0x18, text, sizeof(text));
	assert_string_equal(text, "general protection fault (error code 0x18), rip 0x44");
	describe(EXCEPTION_GP, 0, text, sizeof(text));
	assert_string_equal(text, "general protection fault, rip 0x44");
	describe(EXCEPTION_UD, 0, text, sizeof(text));
	assert_string_equal(text, "invalid opcode, rip 0x44");
	describe(31, 0, text, sizeof(text));
	assert_string_equal(text, "reserved exception, rip 0x44");
	describe(EXCEPTION_DE, 0, tiny, sizeof(tiny));
	assert_string_equal(tiny, "div");
	assert_string_equal(exception_name(UINT64_MAX), "reserved exception");
}

static uint8_t system_control;
static uint32_t read_system_control(void *context, uint16_t port, unsigned size)
{
	(void)context;
	(void)port;
	(void)size;
	return system_control;
}

static void test_nmi(void **state)
{
	struct idt_frame frame = {.vector = EXCEPTION_NMI, .rip = 0x1111};
	uint64_t before = exception_nmi_count();

	(void)state;
	fake_port_add(&(struct fake_port_device){0x61, 1, read_system_control, NULL, NULL});
	system_control = 0x20;
	exception_enter(&frame);
	assert_int_equal(exception_nmi_count(), before + 1);
	assert_int_equal(frame.rip, 0x1111); /* an NMI is not the fault that the fixup is for */
	system_control = 0x80;
	assert_true(FAKE_PANICS(exception_enter(&frame)));
	panicking = true;
	if (setjmp(halted) == 0) {
		exception_enter(&frame);
		fail_msg("an NMI did not stop this CPU while another one panics");
	}
}

static void test_other_cpus_are_stopped(void **state)
{
	(void)state;
	for (uint32_t id = 1; id < 5; id++)
		pcpu_add(id, id)->online = id != 4;
	deaf_cpu = 2;
	fake_tsc_step = 1000000;
	ipi_stop_others();
	/* Politely first; only the one that did not answer by NMI; one that is offline not at all. */
	assert_int_equal(stop_ipis, 3);
	assert_int_equal(stop_nmis, 1);
	ipi_stop_others();
	assert_int_equal(stop_ipis, 3);
	assert_int_equal(stop_nmis, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_dispatch, set_up),
		cmocka_unit_test_setup(test_dispatch_without_handler, set_up),
		cmocka_unit_test_setup(test_register_refusals, set_up),
		cmocka_unit_test_setup(test_call, set_up),
		cmocka_unit_test_setup(test_calls_that_cross, set_up),
		cmocka_unit_test_setup(test_function_that_calls_back, set_up),
		cmocka_unit_test_setup(test_call_without_answer, set_up),
		cmocka_unit_test_setup(test_exception_with_fixup, set_up),
		cmocka_unit_test_setup(test_exception_panics, set_up),
		cmocka_unit_test_setup(test_descriptions, set_up),
		cmocka_unit_test_setup(test_nmi, set_up),
		/* For good, so it is the last one. */
		cmocka_unit_test_setup(test_other_cpus_are_stopped, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
