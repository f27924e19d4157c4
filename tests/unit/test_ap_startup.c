/* Starting processors: what the start-up code is given, what is sent, and processors that never answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/clock.h"
#include "arch/x86/cpu/ap_startup.h"
#include "arch/x86/cpu/cpu.h"
#include "arch/x86/cpu/stack.h"
#include "arch/x86/cr.h"
#include "arch/x86/irq/lapic.h"
#include "arch/x86/mm/host_paging.h"
#include "arch/x86/mm/page_pool.h"
#include "arch/x86/msr.h"
#include "fake_cpu.h"
#include "fake_pcpu.h"
#include "fake_physmap.h"

#define CODE_SIZE 16u
#define ROOT 0x7654000u

struct fields {
	uint64_t stack_top, pcpu, enter;
	uint32_t root, apic_id, apic_id_leaf, protected_mode;
	uint16_t protected_mode_selector;
	uint32_t long_mode;
	uint16_t long_mode_selector, gdt_limit;
	uint32_t gdt_base;
} packed_struct;

/* Stands in for ap_trampoline.asm: 16 bytes of code, then the fields with their offsets in the page. */
__asm__(".pushsection .rodata\n"
	".globl ap_trampoline_start, ap_trampoline_end, ap_trampoline_fields\n"
	"ap_trampoline_start: .fill 16, 1, 0x90\n"
	"ap_trampoline_fields: .fill 36, 1, 0\n"
	".long 4\n .word 0x18\n .long 8\n .word 8\n .word 31\n .long 12\n"
	"ap_trampoline_end:\n"
	".popsection\n");

char boot_stack_guard[PAGE_SIZE], boot_stack_top[1];

static char sent[32];
static uint32_t init_target, startup_target, startup_page;
static enum status send_status;
static const void *guard;
static int identity_mapped;

static void note(char what)
{
	size_t length = strlen(sent);

	if (length + 1 < sizeof(sent))
		sent[length] = what;
}

enum status lapic_send_init(uint32_t apic_id)
{
	note('I');
	init_target = apic_id;
	return send_status;
}

enum status lapic_send_startup(uint32_t apic_id, uint8_t page)
{
	note('S');
	startup_target = apic_id;
	startup_page = page;
	return send_status;
}

uint32_t lapic_id(void) { return 0; }
void cpu_init_started(void) { }
hpa_t host_paging_root(void) { return hpa(ROOT); }
enum status host_paging_map_identity(hpa_t page) { (void)page; identity_mapped++; return STATUS_OK; }
void host_paging_unmap_identity(hpa_t page) { (void)page; identity_mapped--; }
enum status host_paging_unmap_guard(const void *page) { guard = page; return STATUS_OK; }

static noreturn_function void ap_main(struct pcpu *pcpu)
{
	(void)pcpu;
	__builtin_trap();
}

static hpa_t low_page;

static int set_up(void **state)
{
	(void)state;
	fake_cpu_reset();
	fake_pcpu_reset();
	memset(sent, 0, sizeof(sent));
	send_status = STATUS_OK;
	guard = NULL;
	identity_mapped = 0;
	fake_tsc_step = 100000;
	clock_set_frequency(1000000000);
	fake_msr_set(MSR_EFER, EFER_LME | EFER_LMA);
	fake_msr_set(MSR_PAT, 0);
	return 0;
}

static void test_alone(void **state)
{
	(void)state;
	assert_int_equal(ap_startup_all(ap_main), 1);
	assert_string_equal(sent, "");
}

static void test_no_low_page(void **state)
{
	(void)state;
	pcpu_add(1, 1);
	assert_int_equal(ap_startup_all(ap_main), 1); /* the pool has no memory below 1 MiB yet */
	assert_string_equal(sent, "");
	assert_int_equal(identity_mapped, 0);
}

/* The pool keeps its low page for one call only, so this test is the last that starts anything. */
static void test_silent_processors(void **state)
{
	struct pcpu *first = pcpu_add(9, 1), *second = pcpu_add(0x1ff, 2);
	struct fields fields;
	uint64_t before;

	(void)state;
	page_pool_add(hpa(0x8000), 0x10000);
	page_pool_add(hpa(16 * MIB), 16 * MIB);
	before = page_pool_free_bytes();
	fake_cpuid_set(0, 0, 0xb, 0, 0, 0);
	fake_cpuid_set(0xb, 0, 1, 2, 0, 0);
	assert_int_equal(ap_startup_all(ap_main), 1);
	assert_string_equal(sent, "ISSIISSI"); /* each is told to wait again when it did not come */
	assert_int_equal(init_target, 0x1ff);
	assert_int_equal(startup_target, 0x1ff);
	assert_false(first->online);
	assert_false(second->online);
	assert_int_equal(identity_mapped, 0);
	assert_true(startup_page > 0 && startup_page < 0xa0);
	low_page = hpa((uint64_t)startup_page << PAGE_SHIFT);
	assert_int_equal(*(uint8_t *)physmap_pointer(low_page), 0x90);
	memcpy(&fields, (uint8_t *)physmap_pointer(low_page) + CODE_SIZE, sizeof(fields));
	assert_int_equal(fields.stack_top, second->stack_top);
	assert_int_equal(fields.pcpu, (uintptr_t)second);
	assert_int_equal(fields.root, ROOT);
	assert_int_equal(fields.apic_id, 0x1ff);
	assert_int_equal(fields.protected_mode, low_page.value + 4);
	assert_int_equal(fields.protected_mode_selector, 0x18);
	assert_int_equal(fields.long_mode, low_page.value + 8);
	assert_int_equal(fields.gdt_base, low_page.value + 12);
	assert_int_equal(fields.gdt_limit, 31);
	assert_true(page_pool_free_bytes() < before);
}

static void test_stacks_have_guards(void **state)
{
	struct pcpu *pcpu = pcpu_add(1, 1);

	(void)state;
	assert_int_equal(stack_create(pcpu), STATUS_OK);
	assert_int_equal((uintptr_t)guard, pcpu->stack_top - CPU_STACK_SIZE - PAGE_SIZE);
	assert_true(stack_is_overflow(pcpu, (uintptr_t)guard));
	assert_true(stack_is_overflow(pcpu, pcpu->stack_top - CPU_STACK_SIZE - 1));
	assert_false(stack_is_overflow(pcpu, pcpu->stack_top - CPU_STACK_SIZE));
	assert_false(stack_is_overflow(pcpu, (uintptr_t)guard - 1));
	pcpu->stack_top = 0;
	assert_false(stack_is_overflow(pcpu, UINT64_MAX - CPU_STACK_SIZE));
	guard = NULL;
	stack_adopt_boot(pcpu);
	stack_guard_boot();
	assert_ptr_equal(guard, boot_stack_guard);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_alone, set_up),
		cmocka_unit_test_setup(test_no_low_page, set_up),
		cmocka_unit_test_setup(test_silent_processors, set_up),
		cmocka_unit_test_setup(test_stacks_have_guards, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
