/* The local APIC in both modes: enabling, IPIs, errors, and its timer as an alarm at a TSC value. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/clock.h"
#include "arch/x86/irq/interrupt.h"
#include "arch/x86/irq/lapic.h"
#include "arch/x86/irq/lapic_timer.h"
#include "arch/x86/mm/host_paging.h"
#include "arch/x86/msr.h"
#include "fake_cpu.h"
#include "fake_physmap.h"
#include "lib/bits.h"

#define BASE 0xfee00000u
#define CPUID_1_EDX_APIC (1u << 9)
#define CPUID_1_ECX_X2APIC (1u << 21)
#define CPUID_1_ECX_TSC_DEADLINE (1u << 24)
#define TIMER_DIVISOR 8u /* the model's timer counts every 8th TSC tick */

/* A model of the registers behind MMIO. */
static uint32_t registers[0x400 / 4];
static struct { uint32_t destination, command; } sent[8];
static unsigned sent_count, eoi_count;
static bool never_delivered;
static uint64_t timer_started;

static uint64_t model_read(void *context, uint64_t offset, unsigned size)
{
	(void)context;
	assert_int_equal(size, 4);
	assert_int_equal(offset % 16, 0);
	if (offset == 0x390)
		return registers[0x380 / 4] - (uint32_t)((fake_tsc - timer_started) / TIMER_DIVISOR);
	return registers[offset / 4];
}

static void model_write(void *context, uint64_t offset, unsigned size, uint64_t value)
{
	(void)context;
	assert_int_equal(size, 4);
	registers[offset / 4] = (uint32_t)value;
	if (offset == 0x300) {
		assert_in_range(sent_count, 0, 7);
		sent[sent_count].destination = registers[0x310 / 4];
		sent[sent_count++].command = (uint32_t)value;
		if (never_delivered)
			registers[0x300 / 4] |= BIT(12);
	}
	if (offset == 0xb0) {
		eoi_count++;
		registers[0x100 / 4] = 0; /* the one interrupt that the firmware left in service */
	}
	if (offset == 0x380)
		timer_started = fake_tsc;
}

void *host_paging_map_device(hpa_t address, uint64_t length, bool write_combining)
{
	assert_int_equal(address.value, BASE);
	assert_int_equal(length, PAGE_SIZE);
	assert_false(write_combining);
	return physmap_pointer(address);
}

static interrupt_handler error_handler;

void interrupt_register(uint8_t vector, interrupt_handler handler)
{
	assert_int_equal(vector, INTERRUPT_VECTOR_ERROR);
	error_handler = handler;
}

static int set_up(void **state)
{
	(void)state;
	fake_cpu_reset();
	memset(registers, 0, sizeof(registers));
	memset(sent, 0, sizeof(sent));
	sent_count = eoi_count = 0;
	never_delivered = false;
	registers[0x20 / 4] = 3u << 24;
	registers[0x30 / 4] = 0x00060015; /* 7 LVT entries */
	registers[0x80 / 4] = 0xff;
	registers[0x100 / 4] = 0x100;
	fake_mmio_add(&(struct fake_mmio_device){physmap_pointer(hpa(BASE)), PAGE_SIZE, model_read, model_write, NULL});
	fake_msr_set(MSR_APIC_BASE, BASE | APIC_BASE_ENABLE | APIC_BASE_BSP);
	fake_cpuid_set(1, 0, 0, 0, 0, CPUID_1_EDX_APIC);
	return 0;
}

/* x2APIC registers are MSRs; the fake refuses those that nobody set. */
static void add_x2apic(uint32_t id)
{
	static const uint32_t writable[] = {0x808, 0x80b, 0x80f, 0x828, 0x82f, 0x830, 0x832, 0x833, 0x834, 0x835, 0x836, 0x837,
					    0x838, 0x83e, MSR_TSC_DEADLINE};

	fake_cpuid_set(1, 0, 0, 0, CPUID_1_ECX_X2APIC | CPUID_1_ECX_TSC_DEADLINE, CPUID_1_EDX_APIC);
	for (size_t i = 0; i < array_count(writable); i++)
		fake_msr_set(writable[i], 0xdead);
	for (uint32_t msr = 0x810; msr < 0x818; msr++)
		fake_msr_set(msr, 0);
	fake_msr_set(0x802, id);
	fake_msr_set(0x803, 0x00060015);
}

static void test_xapic_mode(void **state)
{
	(void)state;
	assert_int_equal(lapic_init(false), STATUS_OK);
	assert_false(lapic_is_x2apic());
	assert_int_equal(lapic_id(), 3);
	assert_int_equal(registers[0x80 / 4], 0);
	assert_int_equal(registers[0xf0 / 4], 0x1ff);
	assert_int_equal(registers[0x360 / 4], 0x400); /* LINT1: NMI, open */
	assert_true(registers[0x350 / 4] & BIT(16));
	assert_true(registers[0x320 / 4] & BIT(16));
	assert_true(registers[0x2f0 / 4] & BIT(16));
	assert_int_equal(registers[0x370 / 4], INTERRUPT_VECTOR_ERROR);
	assert_int_equal(eoi_count, 1); /* what was in service is ended, and no more */
	assert_int_equal(fake_msr_write_count, 0);
}

static void test_leftovers_that_never_end_do_not_hang(void **state)
{
	(void)state;
	assert_int_equal(lapic_init(false), STATUS_OK);
	registers[0x170 / 4] = 1; /* a bit that the model does not clear */
	eoi_count = 0;
	lapic_init_cpu();
	assert_int_equal(eoi_count, 256);
}

static void test_few_local_vectors(void **state)
{
	(void)state;
	registers[0x30 / 4] = 0x00030014;
	registers[0x340 / 4] = registers[0x2f0 / 4] = 0x55;
	assert_int_equal(lapic_init(false), STATUS_OK);
	assert_int_equal(registers[0x340 / 4], 0x55);
	assert_int_equal(registers[0x2f0 / 4], 0x55);
}

static void test_xapic_ipis(void **state)
{
	(void)state;
	assert_int_equal(lapic_init(false), STATUS_OK);
	assert_int_equal(lapic_send_ipi(5, 0xf0), STATUS_OK);
	assert_int_equal(lapic_send_nmi(6), STATUS_OK);
	assert_int_equal(lapic_send_init(7), STATUS_OK);
	assert_int_equal(lapic_send_startup(0xfe, 0x9f), STATUS_OK);
	assert_int_equal(sent_count, 4);
	assert_int_equal(sent[0].destination, 5u << 24);
	assert_int_equal(sent[0].command, 0x40f0);
	assert_int_equal(sent[1].command, 0x4400);
	assert_int_equal(sent[2].command, 0x4500);
	assert_int_equal(sent[3].destination, 0xfeu << 24);
	assert_int_equal(sent[3].command, 0x469f);
	assert_int_equal(lapic_send_ipi(LAPIC_BROADCAST_ID, 0xf0), STATUS_OUT_OF_RANGE); /* would reach every CPU */
	assert_int_equal(lapic_send_ipi(0x100, 0xf0), STATUS_OUT_OF_RANGE);
	assert_int_equal(sent_count, 4);
}

static void test_ipi_that_is_not_accepted(void **state)
{
	(void)state;
	fake_tsc_step = 1000000;
	assert_int_equal(lapic_init(false), STATUS_OK);
	never_delivered = true;
	assert_int_equal(lapic_send_ipi(1, 0xf0), STATUS_TIMEOUT);
	assert_int_equal(lapic_send_ipi(1, 0xf0), STATUS_TIMEOUT);
	assert_int_equal(sent_count, 1); /* the second is not written over the first */
}

static void test_x2apic_mode(void **state)
{
	(void)state;
	add_x2apic(0x12345);
	assert_int_equal(lapic_init(false), STATUS_OK);
	assert_true(lapic_is_x2apic());
	assert_int_equal(lapic_id(), 0x12345);
	assert_int_equal(fake_msr_get(MSR_APIC_BASE), BASE | APIC_BASE_ENABLE | APIC_BASE_BSP | APIC_BASE_X2APIC);
	assert_int_equal(fake_msr_get(0x808), 0);
	assert_int_equal(fake_msr_get(0x80f), 0x1ff);
	assert_int_equal(fake_msr_get(0x836), 0x400);
	fake_msr_set(0x80b, 0xdead);
	lapic_end_of_interrupt();
	assert_int_equal(fake_msr_get(0x80b), 0); /* any other value gives #GP */
	assert_int_equal(lapic_send_ipi(0x10005, 0xf1), STATUS_OK);
	assert_int_equal(fake_msr_get(0x830), 0x10005000040f1);
	assert_int_equal(lapic_send_startup(0xffff, 0x08), STATUS_OK);
	assert_int_equal(fake_msr_get(0x830), 0xffff00004608);
}

static void test_x2apic_opt_out(void **state)
{
	(void)state;
	add_x2apic(3);
	assert_int_equal(lapic_init(true), STATUS_OK);
	assert_false(lapic_is_x2apic());
	fake_msr_set(MSR_APIC_BASE, BASE | APIC_BASE_ENABLE | APIC_BASE_X2APIC);
	assert_int_equal(lapic_init(true), STATUS_OK); /* on already: there is no way back */
	assert_true(lapic_is_x2apic());
}

static void test_x2apic_on_a_disabled_cpu(void **state)
{
	(void)state;
	add_x2apic(3);
	assert_int_equal(lapic_init(false), STATUS_OK);
	fake_msr_set(MSR_APIC_BASE, BASE);
	fake_msr_write_count = 0;
	lapic_init_cpu();
	assert_int_equal(fake_msr_get(MSR_APIC_BASE), BASE | APIC_BASE_ENABLE | APIC_BASE_X2APIC);
}

static void test_no_apic(void **state)
{
	(void)state;
	fake_cpuid_set(1, 0, 0, 0, 0, 0);
	assert_int_equal(lapic_init(false), STATUS_UNSUPPORTED);
}

static void test_errors_are_counted(void **state)
{
	uint64_t before = lapic_error_count();

	(void)state;
	assert_int_equal(lapic_init(false), STATUS_OK);
	error_handler(INTERRUPT_VECTOR_ERROR);
	assert_int_equal(lapic_error_count(), before + 1);
}

static void test_deadline_timer(void **state)
{
	(void)state;
	add_x2apic(0);
	assert_int_equal(lapic_init(false), STATUS_OK);
	assert_int_equal(lapic_timer_calibrate(), STATUS_OK);
	assert_true(lapic_timer_has_deadline_mode());
	assert_int_equal(fake_msr_get(0x832), 2u << 17 | INTERRUPT_VECTOR_TIMER);
	assert_int_equal(fake_msr_get(MSR_TSC_DEADLINE), 0);
	lapic_timer_arm(123456789);
	assert_int_equal(fake_msr_get(MSR_TSC_DEADLINE), 123456789);
	lapic_timer_arm(0); /* long ago, which must not mean never */
	assert_int_equal(fake_msr_get(MSR_TSC_DEADLINE), 1);
	lapic_timer_arm(UINT64_MAX);
	assert_int_equal(fake_msr_get(MSR_TSC_DEADLINE), 0);
	lapic_timer_arm(5);
	lapic_timer_cancel();
	assert_int_equal(fake_msr_get(MSR_TSC_DEADLINE), 0);
}

static void calibrate_counter(void)
{
	fake_tsc_step = 100;
	clock_set_frequency(1000000000);
	assert_int_equal(lapic_init(false), STATUS_OK);
	assert_int_equal(lapic_timer_calibrate(), STATUS_OK);
	assert_false(lapic_timer_has_deadline_mode());
}

static void test_counter_timer(void **state)
{
	(void)state;
	calibrate_counter();
	assert_in_range(lapic_timer_frequency(1000000000), 124900000, 125100000);
	assert_int_equal(registers[0x320 / 4], INTERRUPT_VECTOR_TIMER); /* one-shot, open */
	assert_int_equal(registers[0x3e0 / 4], 0xb);
	assert_int_equal(registers[0x380 / 4], 0);
	lapic_timer_arm(fake_tsc + 8000000);
	assert_in_range(registers[0x380 / 4], 999000, 1001000);
	lapic_timer_arm(fake_tsc - 1);
	assert_int_equal(registers[0x380 / 4], 1); /* at once: 0 would stop it */
	lapic_timer_arm(0);
	assert_int_equal(registers[0x380 / 4], 1);
	lapic_timer_arm(UINT64_MAX - 1); /* farther than it can count */
	assert_int_equal(registers[0x380 / 4], 0xffffffff);
	lapic_timer_arm(fake_tsc + (8ull << 32) - 80000000);
	assert_in_range(registers[0x380 / 4], 0xfe000000, 0xffffffff);
	lapic_timer_arm(UINT64_MAX);
	assert_int_equal(registers[0x380 / 4], 0);
}

static void test_timer_that_does_not_count(void **state)
{
	(void)state;
	fake_tsc_step = 1000;
	assert_int_equal(lapic_init(false), STATUS_OK);
	fake_cpu_reset(); /* takes the model away: plain memory, which never counts */
	fake_cpuid_set(1, 0, 0, 0, 0, CPUID_1_EDX_APIC);
	*(uint32_t *)((uint8_t *)physmap_pointer(hpa(BASE)) + 0x390) = 0xffffffff;
	assert_int_equal(lapic_timer_calibrate(), STATUS_IO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_xapic_mode, set_up),
		cmocka_unit_test_setup(test_leftovers_that_never_end_do_not_hang, set_up),
		cmocka_unit_test_setup(test_few_local_vectors, set_up),
		cmocka_unit_test_setup(test_xapic_ipis, set_up),
		cmocka_unit_test_setup(test_ipi_that_is_not_accepted, set_up),
		cmocka_unit_test_setup(test_x2apic_mode, set_up),
		cmocka_unit_test_setup(test_x2apic_opt_out, set_up),
		cmocka_unit_test_setup(test_x2apic_on_a_disabled_cpu, set_up),
		cmocka_unit_test_setup(test_no_apic, set_up),
		cmocka_unit_test_setup(test_errors_are_counted, set_up),
		cmocka_unit_test_setup(test_deadline_timer, set_up),
		cmocka_unit_test_setup(test_counter_timer, set_up),
		cmocka_unit_test_setup(test_timer_that_does_not_count, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
