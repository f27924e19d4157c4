#include "lib/elf.h"

#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FILE_SIZE 0x3000u
#define BASE_VIRTUAL 0xffffffff80200000ull
#define BASE_PHYSICAL 0x200000ull

/* As a linker makes the hypervisor: code, and data with bss, each file offset 0x1000 beyond its physical one. */
static uint8_t file[FILE_SIZE + 1] __attribute__((aligned(16)));
static Elf64_Ehdr *const header = (Elf64_Ehdr *)(void *)file;
static Elf64_Phdr *const segments = (Elf64_Phdr *)(void *)(file + sizeof(Elf64_Ehdr));
static struct elf_image image;

static void set_segment(unsigned i, uint32_t type, uint64_t offset, uint64_t address, uint64_t file_size,
			uint64_t memory_size)
{
	segments[i] = (Elf64_Phdr){
		.p_type = type, .p_flags = PF_R | (i == 0 ? PF_X : PF_W), .p_offset = offset,
		.p_vaddr = BASE_VIRTUAL + address,
		.p_paddr = BASE_PHYSICAL + address, .p_filesz = file_size, .p_memsz = memory_size, .p_align = 0x1000,
	};
}

static int make_good(void **state)
{
	(void)state;
	memset(file, 0, sizeof(file));
	memcpy(header->e_ident, ELFMAG, SELFMAG);
	header->e_ident[EI_CLASS] = ELFCLASS64;
	header->e_ident[EI_DATA] = ELFDATA2LSB;
	header->e_ident[EI_VERSION] = EV_CURRENT;
	header->e_type = ET_EXEC;
	header->e_machine = EM_X86_64;
	header->e_version = EV_CURRENT;
	header->e_entry = BASE_VIRTUAL + 0x10;
	header->e_phoff = sizeof(Elf64_Ehdr);
	header->e_phentsize = sizeof(Elf64_Phdr);
	header->e_phnum = 3;
	set_segment(0, PT_LOAD, 0x1000, 0, 0x800, 0x800);
	set_segment(1, PT_NOTE, UINT64_MAX, 0, UINT64_MAX, 0);
	set_segment(2, PT_LOAD, 0x2000, 0x1000, 0x1000, 0x5000);
	return 0;
}

static enum status parse_size(uint64_t size)
{
	/* A block of exactly the size, at an odd address, so that reading beyond it or by alignment is seen. */
	uint8_t *copy = malloc(size + 1);
	const char *why = NULL;
	enum status status;

	assert_non_null(copy);
	memcpy(copy + 1, file, size);
	status = elf_parse(copy + 1, size, &image, &why);
	assert_non_null(why);
	assert_int_equal(status == STATUS_OK, why[0] == '\0');
	free(copy);
	return status;
}

static enum status parse(void)
{
	return parse_size(FILE_SIZE);
}

static void test_good(void **state)
{
	(void)state;
	assert_int_equal(parse(), STATUS_OK);
	assert_true(image.is_64_bit);
	assert_int_equal(image.segment_count, 2);
	assert_int_equal(image.physical_base, BASE_PHYSICAL);
	assert_int_equal(image.physical_end, BASE_PHYSICAL + 0x6000);
	assert_int_equal(image.segments[0].flags, ELF_SEGMENT_READ | ELF_SEGMENT_EXECUTE);
	assert_int_equal(image.segments[1].flags, ELF_SEGMENT_READ | ELF_SEGMENT_WRITE);
	assert_int_equal(image.segments[1].file_offset, 0x2000);
	assert_int_equal(image.segments[1].file_size, 0x1000);
	assert_int_equal(image.segments[1].memory_size, 0x5000);
	assert_int_equal(image.segments[1].virtual_address, BASE_VIRTUAL + 0x1000);
	assert_int_equal(image.segments[1].physical_address, BASE_PHYSICAL + 0x1000);
}

static void test_sorted(void **state)
{
	(void)state;
	set_segment(0, PT_LOAD, 0x1000, 0x9000, 0x800, 0x800);
	set_segment(1, PT_LOAD, 0x1000, 0x8000, 0x800, 0x800);
	assert_int_equal(parse(), STATUS_OK);
	assert_int_equal(image.segment_count, 3);
	assert_int_equal(image.segments[0].physical_address, BASE_PHYSICAL + 0x1000);
	assert_int_equal(image.segments[1].physical_address, BASE_PHYSICAL + 0x8000);
	assert_int_equal(image.segments[2].physical_address, BASE_PHYSICAL + 0x9000);
	assert_int_equal(image.physical_end, BASE_PHYSICAL + 0x9800);
}

static void test_entry(void **state)
{
	uint64_t entry = 0;

	(void)state;
	assert_int_equal(parse(), STATUS_OK);
	assert_int_equal(elf_entry_physical(&image, &entry), STATUS_OK);
	assert_int_equal(entry, BASE_PHYSICAL + 0x10);
	image.entry = BASE_PHYSICAL + 0x1020;
	assert_int_equal(elf_entry_physical(&image, &entry), STATUS_OK);
	assert_int_equal(entry, BASE_PHYSICAL + 0x1020);
	image.entry = BASE_VIRTUAL + 0x5fff;
	assert_int_equal(elf_entry_physical(&image, &entry), STATUS_OK);
	assert_int_equal(entry, BASE_PHYSICAL + 0x5fff);
	image.entry = BASE_VIRTUAL + 0x6000;
	assert_int_equal(elf_entry_physical(&image, &entry), STATUS_OUT_OF_RANGE);
	image.entry = BASE_PHYSICAL + 0x800;
	assert_int_equal(elf_entry_physical(&image, &entry), STATUS_OUT_OF_RANGE);
	image.entry = 0;
	assert_int_equal(elf_entry_physical(&image, &entry), STATUS_OUT_OF_RANGE);
}

static void test_identification(void **state)
{
	static const struct { unsigned offset; uint8_t value; } bad[] = {
		{0, 0x7e}, {3, 'f'}, {EI_CLASS, 0}, {EI_CLASS, 3}, {EI_DATA, ELFDATA2MSB}, {EI_VERSION, 0},
	};

	(void)state;
	for (unsigned i = 0; i < array_count(bad); i++) {
		make_good(NULL);
		file[bad[i].offset] = bad[i].value;
		assert_int_equal(parse(), STATUS_BAD_FORMAT);
	}
}

static void test_header(void **state)
{
	(void)state;
	header->e_type = ET_DYN;
	assert_int_equal(parse(), STATUS_UNSUPPORTED);
	header->e_type = ET_REL;
	assert_int_equal(parse(), STATUS_UNSUPPORTED);
	make_good(NULL);
	header->e_machine = EM_AARCH64;
	assert_int_equal(parse(), STATUS_UNSUPPORTED);
	header->e_machine = EM_386; /* of 32 bit only */
	assert_int_equal(parse(), STATUS_UNSUPPORTED);
	make_good(NULL);
	header->e_phnum = 0;
	assert_int_equal(parse(), STATUS_NOT_FOUND);
	header->e_phnum = 257;
	assert_int_equal(parse(), STATUS_UNSUPPORTED);
	header->e_phnum = 256;
	header->e_phoff = FILE_SIZE - 256 * sizeof(Elf64_Phdr) + 1;
	assert_int_equal(parse(), STATUS_TRUNCATED);
	header->e_phoff = UINT64_MAX;
	assert_int_equal(parse(), STATUS_TRUNCATED);
	make_good(NULL);
	header->e_phentsize = sizeof(Elf64_Phdr) - 1;
	assert_int_equal(parse(), STATUS_BAD_FORMAT);
}

static void test_wider_program_headers(void **state)
{
	(void)state;
	header->e_phentsize = 2 * sizeof(Elf64_Phdr);
	header->e_phnum = 2;
	assert_int_equal(parse(), STATUS_OK);
	assert_int_equal(image.segment_count, 2);
}

/* Cut at any length: never anything but a refusal, and never a byte read beyond the end (ASan). */
static void test_truncation(void **state)
{
	(void)state;
	for (uint64_t size = 0; size < FILE_SIZE; size++)
		assert_int_equal(parse_size(size), STATUS_TRUNCATED);
}

static void test_segment(void **state)
{
	(void)state;
	segments[2].p_filesz = segments[2].p_memsz + 1;
	assert_int_equal(parse(), STATUS_OUT_OF_RANGE);
	make_good(NULL);
	segments[2].p_offset++;
	assert_int_equal(parse(), STATUS_TRUNCATED);
	segments[2].p_offset = UINT64_MAX;
	assert_int_equal(parse(), STATUS_TRUNCATED);
	make_good(NULL);
	segments[2].p_vaddr = 0 - segments[2].p_memsz;
	assert_int_equal(parse(), STATUS_OK);
	segments[2].p_vaddr++;
	assert_int_equal(parse(), STATUS_OUT_OF_RANGE);
	make_good(NULL);
	segments[2].p_paddr = 0 - segments[2].p_memsz;
	assert_int_equal(parse(), STATUS_OUT_OF_RANGE);
	segments[2].p_paddr--;
	assert_int_equal(parse(), STATUS_OK);
	assert_int_equal(image.physical_end, UINT64_MAX);
	make_good(NULL);
	segments[2].p_memsz = UINT64_MAX;
	assert_int_equal(parse(), STATUS_OUT_OF_RANGE);
}

static void test_overlap(void **state)
{
	(void)state;
	set_segment(2, PT_LOAD, 0x2000, 0x800, 0x1000, 0x5000);
	assert_int_equal(parse(), STATUS_OK);
	segments[2].p_paddr--;
	assert_int_equal(parse(), STATUS_EXISTS);
	segments[2].p_paddr = segments[0].p_paddr;
	assert_int_equal(parse(), STATUS_EXISTS);
	segments[2].p_paddr = segments[0].p_paddr - 0x4fff;
	assert_int_equal(parse(), STATUS_EXISTS);
	segments[2].p_paddr = segments[0].p_paddr - 0x5000;
	assert_int_equal(parse(), STATUS_OK);
}

static void test_segment_count(void **state)
{
	(void)state;
	header->e_phnum = ELF_MAX_SEGMENTS;
	for (unsigned i = 0; i < ELF_MAX_SEGMENTS; i++)
		set_segment(i, PT_LOAD, 0x2000, 0x100000 - i * 0x1000, 0, 0x1000);
	assert_int_equal(parse(), STATUS_OK);
	assert_int_equal(image.segment_count, ELF_MAX_SEGMENTS);
	set_segment(ELF_MAX_SEGMENTS, PT_LOAD, 0, 0x200000, 0, 0);
	header->e_phnum++;
	assert_int_equal(parse(), STATUS_OK); /* one without memory is left out */
	segments[ELF_MAX_SEGMENTS].p_memsz = 1;
	assert_int_equal(parse(), STATUS_UNSUPPORTED);
	make_good(NULL);
	segments[0].p_type = segments[2].p_type = PT_NULL;
	assert_int_equal(parse(), STATUS_NOT_FOUND);
}

static void make_good_32(void)
{
	Elf32_Ehdr *header_32 = (Elf32_Ehdr *)(void *)file;
	Elf32_Phdr *segment = (Elf32_Phdr *)(void *)(file + sizeof(Elf32_Ehdr));

	memset(file, 0, sizeof(file));
	memcpy(header_32->e_ident, ELFMAG, SELFMAG);
	header_32->e_ident[EI_CLASS] = ELFCLASS32;
	header_32->e_ident[EI_DATA] = ELFDATA2LSB;
	header_32->e_ident[EI_VERSION] = EV_CURRENT;
	header_32->e_type = ET_EXEC;
	header_32->e_machine = EM_386;
	header_32->e_entry = 0xc0100010;
	header_32->e_phoff = sizeof(Elf32_Ehdr);
	header_32->e_phentsize = sizeof(Elf32_Phdr);
	header_32->e_phnum = 1;
	*segment = (Elf32_Phdr){
		.p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_offset = 0x1000, .p_vaddr = 0xc0100000, .p_paddr = 0x100000,
		.p_filesz = 0x2000, .p_memsz = 0x3000,
	};
}

static void test_32_bit(void **state)
{
	Elf32_Phdr *segment = (Elf32_Phdr *)(void *)(file + sizeof(Elf32_Ehdr));
	uint64_t entry;

	(void)state;
	make_good_32();
	assert_int_equal(parse(), STATUS_OK);
	assert_false(image.is_64_bit);
	assert_int_equal(image.physical_base, 0x100000);
	assert_int_equal(image.physical_end, 0x103000);
	assert_int_equal(image.segments[0].file_offset, 0x1000);
	assert_int_equal(image.segments[0].file_size, 0x2000);
	assert_int_equal(image.segments[0].flags, ELF_SEGMENT_READ | ELF_SEGMENT_EXECUTE);
	assert_int_equal(elf_entry_physical(&image, &entry), STATUS_OK);
	assert_int_equal(entry, 0x100010);
	for (uint64_t size = 0; size < FILE_SIZE; size += 7)
		assert_int_equal(parse_size(size), STATUS_TRUNCATED);
	segment->p_vaddr = 0xffffd000;
	assert_int_equal(parse(), STATUS_OK);
	segment->p_vaddr++;
	assert_int_equal(parse(), STATUS_OUT_OF_RANGE);
	make_good_32();
	segment->p_paddr = 0xffffe000;
	assert_int_equal(parse(), STATUS_OUT_OF_RANGE);
	make_good_32();
	((Elf32_Ehdr *)(void *)file)->e_machine = EM_X86_64;
	assert_int_equal(parse(), STATUS_UNSUPPORTED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_good, make_good),
		cmocka_unit_test_setup(test_sorted, make_good),
		cmocka_unit_test_setup(test_entry, make_good),
		cmocka_unit_test_setup(test_identification, make_good),
		cmocka_unit_test_setup(test_header, make_good),
		cmocka_unit_test_setup(test_wider_program_headers, make_good),
		cmocka_unit_test_setup(test_truncation, make_good),
		cmocka_unit_test_setup(test_segment, make_good),
		cmocka_unit_test_setup(test_overlap, make_good),
		cmocka_unit_test_setup(test_segment_count, make_good),
		cmocka_unit_test_setup(test_32_bit, make_good),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
