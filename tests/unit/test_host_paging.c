/* The hypervisor's address space: W^X everywhere, what is mapped how, devices, and what each CPU turns on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/cr.h"
#include "arch/x86/log.h"
#include "arch/x86/mm/host_paging.h"
#include "arch/x86/mm/page_table.h"
#include "arch/x86/msr.h"
#include "arch/x86/physmap.h"
#include "fake_cpu.h"

#define IMAGE_BASE (16 * MIB)
#define IMAGE_SIZE 0x9000u

extern const char __text_start[], __text_end[], __rodata_start[], __rodata_end[], __data_end[];

static struct boot_info info;
static char last_error[512];

static void keep_text(const char *text, size_t size, bool synchronous)
{
	(void)synchronous;
	memcpy(last_error, text, min_u64(size, sizeof(last_error) - 1));
	last_error[min_u64(size, sizeof(last_error) - 1)] = '\0';
}

static struct log_sink sink = {.name = "test", .write = keep_text};

static void add_region(uint64_t base, uint64_t end, enum boot_memory_type type)
{
	info.regions[info.region_count++] = (struct boot_memory_region){.base = base, .length = end - base, .type = type};
}

static void make_info(void)
{
	add_region(0x1000, 0x9f000, BOOT_MEMORY_USABLE);
	add_region(0xe0000, 0x100000, BOOT_MEMORY_RESERVED);
	add_region(MIB, IMAGE_BASE, BOOT_MEMORY_USABLE);
	add_region(IMAGE_BASE, IMAGE_BASE + 2 * MIB, BOOT_MEMORY_LOADER);
	add_region(IMAGE_BASE + 2 * MIB, 0x7fe00000, BOOT_MEMORY_USABLE);
	add_region(0x7fe00000, 0x7ff00000, BOOT_MEMORY_ACPI_RECLAIM);
	add_region(0x7ff00000, 0x7ff10000, BOOT_MEMORY_ACPI_NVS);
	add_region(0x7ff10000, 0x80000000, BOOT_MEMORY_RESERVED);
	add_region(4 * GIB, 6 * GIB, BOOT_MEMORY_USABLE);
	info.image_base = IMAGE_BASE;
	info.image_size = IMAGE_SIZE;
}

static void make_cpu(uint32_t extended_features)
{
	fake_cpu_reset();
	fake_cpuid_set(0, 0, 7, 0, 0, 0);
	fake_cpuid_set(7, 0, 0, 1 << 7 | 1 << 20, 1 << 2, 0);
	fake_cpuid_set(0x80000000, 0, 0x80000008, 0, 0, 0);
	fake_cpuid_set(0x80000001, 0, 0, 0, 0, extended_features);
	fake_msr_set(MSR_EFER, EFER_LME | EFER_LMA);
	fake_msr_set(MSR_PAT, 0x0007040600070406);
}

/* What the tables that CR3 names say, read by a walk of the test's own. */
struct view {
	uint64_t physical, size;
	bool present, writable, executable, global, uncached, combining, user;
};

static struct view look(uint64_t address)
{
	uint64_t table = host_paging_root().value, entry, size = (uint64_t)1 << 39;
	bool writable = true, executable = true;

	for (;; size >>= 9) {
		entry = ((const uint64_t *)physmap_pointer(hpa(table)))[address / size % 512];
		if (!(entry & 1))
			return (struct view){0};
		writable &= (entry & 2) != 0;
		executable &= entry >> 63 == 0;
		table = entry & 0x000ffffffffff000;
		if (size == PAGE_SIZE || (entry & 0x80))
			break;
	}
	return (struct view){.physical = table + address % size, .size = size, .present = true, .writable = writable,
			     .executable = executable, .global = (entry & 0x100) != 0, .user = (entry & 4) != 0,
			     .uncached = (entry & 0x18) == 0x18, .combining = (entry & 0x18) == 0x08};
}

static struct view look_physical(uint64_t physical)
{
	return look(PHYSMAP_BASE + physical);
}

static void assert_ram(uint64_t physical, uint64_t page_size)
{
	struct view view = look_physical(physical);

	assert_true(view.present && view.writable && view.global && !view.executable && !view.user && !view.uncached && !view.combining);
	assert_int_equal(view.physical, physical);
	assert_int_equal(view.size, page_size);
}

static int setup_group(void **state)
{
	(void)state;
	log_add_sink(&sink);
	make_info();
	return 0;
}

/* The tests run in this order: the machine's tables are built once. */

static void test_cpu_without_nx_is_refused_in_words(void **state)
{
	(void)state;
	make_cpu(1 << 26);
	assert_int_equal(host_paging_init(&info), STATUS_UNSUPPORTED);
	assert_non_null(strstr(last_error, "NX"));
	fake_cpuid_set(0x80000000, 0, 0x80000000, 0, 0, 0);
	fake_cpuid_set(0x80000001, 0, 0, 0, 0, 1 << 20);
	assert_int_equal(host_paging_init(&info), STATUS_UNSUPPORTED);
}

static void test_no_memory_is_refused_in_words(void **state)
{
	(void)state;
	make_cpu(1 << 20 | 1 << 26);
	assert_int_equal(host_paging_init(&info), STATUS_NO_MEMORY);
	assert_non_null(strstr(last_error, "no memory"));
}

static void test_all_usable_memory_is_in_the_pool(void **state)
{
	uint64_t usable = IMAGE_BASE - MIB + 0x7fe00000 - IMAGE_BASE - 2 * MIB + 2 * GIB;
	hpa_t low;

	(void)state;
	make_cpu(1 << 20 | 1 << 26);
	assert_int_equal(host_memory_init(&info), STATUS_OK);
	assert_int_equal(page_pool_total_bytes(), usable);
	assert_true(page_pool_free_bytes() > usable - MIB);
	assert_true(host_paging_root().value < 4 * GIB);
	assert_int_equal(page_pool_reserve_low_page(&low), STATUS_OK);
	assert_true(low.value < 0xa0000);
}

static void test_cpu_uses_the_tables(void **state)
{
	(void)state;
	assert_int_equal(fake_cr3, host_paging_root().value);
	assert_int_equal(fake_cr4, 0x20 | CR4_PGE | CR4_SMEP | CR4_SMAP | CR4_UMIP);
	assert_true(fake_cr0 & CR0_WP);
	assert_int_equal(fake_msr_get(MSR_EFER), EFER_LME | EFER_LMA | EFER_NXE);
	assert_int_equal(fake_msr_get(MSR_PAT) >> 8 & 0xff, 1);
	assert_int_equal(fake_msr_get(MSR_PAT) >> 24 & 0xff, 0);
	assert_int_equal(fake_msr_get(MSR_PAT) & 0xff, 6);
}

static void test_cpu_with_few_features(void **state)
{
	uint64_t cr4;

	(void)state;
	make_cpu(1 << 20);
	fake_cpuid_set(0, 0, 6, 0, 0, 0); /* so leaf 7 says nothing */
	cr4 = fake_cr4;
	host_paging_activate();
	assert_int_equal(fake_cr4, cr4 | CR4_PGE);
	assert_int_equal(fake_cr3, host_paging_root().value);
}

static void test_ram_is_in_the_physmap(void **state)
{
	(void)state;
	assert_ram(0x1000, PAGE_SIZE);
	assert_false(look_physical(0).present);
	assert_false(look_physical(0x9f000).present);
	assert_false(look_physical(0xe0000).present);
	assert_ram(MIB, PAGE_SIZE);
	assert_ram(2 * MIB + 5, PAGE_SIZE_2M);
	assert_ram(0x7fefffff, PAGE_SIZE);
	assert_ram(0x7ff0ffff, PAGE_SIZE);
	assert_false(look_physical(0x7ff10000).present);
	assert_ram(GIB, PAGE_SIZE_2M);
	assert_ram(4 * GIB, PAGE_SIZE_1G);
	assert_ram(6 * GIB - 1, PAGE_SIZE_1G);
	assert_false(look_physical(6 * GIB).present);
	assert_false(look_physical(0xfee00000).present);
}

static void test_image_is_never_writable_and_executable(void **state)
{
	struct view text = look((uintptr_t)__text_end - 1), constants = look((uintptr_t)__rodata_start), data = look((uintptr_t)__rodata_end);

	(void)state;
	assert_true(text.present && text.executable && !text.writable && text.global && !text.user);
	assert_true(constants.present && !constants.executable && !constants.writable);
	assert_true(data.present && !data.executable && data.writable);
	assert_int_equal(look((uintptr_t)__text_start).physical, IMAGE_BASE);
	assert_int_equal(data.physical, IMAGE_BASE + (uintptr_t)(__rodata_end - __text_start));
	assert_false(look((uintptr_t)__data_end).present);
	assert_false(look((uintptr_t)__text_start - 1).present);
}

static void test_physmap_offers_no_writable_view_of_code(void **state)
{
	uint64_t data = IMAGE_BASE + (uint64_t)(__rodata_end - __text_start);

	(void)state;
	assert_ram(IMAGE_BASE - 1, PAGE_SIZE_2M);
	for (uint64_t physical = IMAGE_BASE; physical < data; physical += PAGE_SIZE) {
		assert_true(look_physical(physical).present);
		assert_false(look_physical(physical).writable);
		assert_false(look_physical(physical).executable);
	}
	assert_ram(data, PAGE_SIZE);
}

static void test_every_page_is_writable_or_executable_never_both(void **state)
{
	(void)state;
	for (uint64_t physical = 0; physical < 8 * GIB; physical += 64 * KIB)
		assert_false(look_physical(physical).executable);
	assert_false(look(0).present);
	assert_false(look(IMAGE_BASE).present);
}

static void test_devices(void **state)
{
	uint8_t *registers = host_paging_map_device(hpa(0xfee00030), 4, false);
	struct view view = look_physical(0xfee00000);

	(void)state;
	assert_ptr_equal(registers, physmap_pointer(hpa(0xfee00030)));
	assert_true(view.present && view.writable && !view.executable && view.uncached);
	assert_int_equal(view.physical, 0xfee00000);
	assert_int_equal(view.size, PAGE_SIZE);
	assert_false(look_physical(0xfee01000).present);

	/* Once more, and around it. */
	assert_ptr_equal(host_paging_map_device(hpa(0xfee00030), 4, false), registers);
	assert_non_null(host_paging_map_device(hpa(0xfedff000), 0x3000, false));
	assert_true(look_physical(0xfedff000).uncached && look_physical(0xfee01000).uncached);

	/* A range that crosses a page by a byte; a framebuffer in large pages. */
	assert_non_null(host_paging_map_device(hpa(0xfed00fff), 2, false));
	assert_true(look_physical(0xfed01000).uncached);
	assert_non_null(host_paging_map_device(hpa(0xc0000000), 16 * MIB, true));
	view = look_physical(0xc0000000 + 16 * MIB - 1);
	assert_true(view.combining && view.writable && !view.executable);
	assert_int_equal(view.size, PAGE_SIZE_2M);
}

static void test_devices_that_cannot_be(void **state)
{
	(void)state;
	assert_null(host_paging_map_device(hpa(2 * MIB), 4, false));
	assert_non_null(strstr(last_error, "it is RAM"));
	assert_true(look_physical(2 * MIB).writable);
	assert_null(host_paging_map_device(hpa(0xfec00000), 0, false));
	assert_null(host_paging_map_device(hpa(UINT64_MAX - 3), 8, false));
	assert_null(host_paging_map_device(hpa(PHYSMAP_SIZE - 2), 4, false));
	assert_non_null(strstr(last_error, "cannot be mapped"));
}

static void test_reserved_memory_is_read_only(void **state)
{
	struct view view;

	(void)state;
	assert_ptr_equal(host_paging_map_reserved(hpa(0xe0010), 0x1ff00), physmap_pointer(hpa(0xe0010)));
	view = look_physical(0xfffff);
	assert_true(view.present && !view.writable && !view.executable && !view.uncached);
	/* Across RAM, which stays writable, into firmware's memory behind it. */
	assert_non_null(host_paging_map_reserved(hpa(0x7ff0f000), 0x2000));
	assert_true(look_physical(0x7ff0f000).writable);
	assert_true(look_physical(0x7ff10000).present && !look_physical(0x7ff10000).writable);
	assert_null(host_paging_map_reserved(hpa(UINT64_MAX), 1));
}

static void test_identity_page_comes_and_goes(void **state)
{
	struct view view;

	(void)state;
	assert_int_equal(host_paging_map_identity(hpa(0x8000)), STATUS_OK);
	view = look(0x8000);
	assert_true(view.present && view.executable && !view.writable && !view.global);
	assert_int_equal(view.physical, 0x8000);
	assert_int_equal(host_paging_map_identity(hpa(0x8000)), STATUS_EXISTS);
	host_paging_unmap_identity(hpa(0x8000));
	assert_false(look(0x8000).present);
	assert_int_equal(fake_invlpg_count, 1);
}

static void test_guard_page(void **state)
{
	uint8_t *pages = page_pool_allocate_contiguous(5);

	(void)state;
	assert_non_null(pages);
	assert_int_equal(host_paging_unmap_guard(pages), STATUS_OK);
	assert_false(look_physical(physmap_address(pages).value).present);
	assert_true(look_physical(physmap_address(pages).value + PAGE_SIZE).writable);
}

/* On a CPU without 1 GiB pages; builds the tables anew. */
static void test_without_gibibyte_pages(void **state)
{
	(void)state;
	make_cpu(1 << 20);
	assert_int_equal(host_paging_init(&info), STATUS_OK);
	assert_ram(4 * GIB, PAGE_SIZE_2M);
	assert_ram(6 * GIB - 1, PAGE_SIZE_2M);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cpu_without_nx_is_refused_in_words),
		cmocka_unit_test(test_no_memory_is_refused_in_words),
		cmocka_unit_test(test_all_usable_memory_is_in_the_pool),
		cmocka_unit_test(test_cpu_uses_the_tables),
		cmocka_unit_test(test_cpu_with_few_features),
		cmocka_unit_test(test_ram_is_in_the_physmap),
		cmocka_unit_test(test_image_is_never_writable_and_executable),
		cmocka_unit_test(test_physmap_offers_no_writable_view_of_code),
		cmocka_unit_test(test_every_page_is_writable_or_executable_never_both),
		cmocka_unit_test(test_devices),
		cmocka_unit_test(test_devices_that_cannot_be),
		cmocka_unit_test(test_reserved_memory_is_read_only),
		cmocka_unit_test(test_identity_page_comes_and_goes),
		cmocka_unit_test(test_guard_page),
		cmocka_unit_test(test_without_gibibyte_pages),
	};

	return cmocka_run_group_tests(tests, setup_group, NULL);
}
