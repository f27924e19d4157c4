/*
 * ELF executables, 32 and 64 bit, for x86: which bytes of the file go where. Nothing is loaded here; the caller allocates
 * memory, copies file_size bytes from file_offset and zeroes the rest up to memory_size. Used by the EFI loader for the
 * hypervisor and by the loader of bare-metal guests. The file may be hostile.
 *
 * Manual: System V ABI (gABI), "ELF Header", "Program Header".
 */
#pragma once

#include "lib/status.h"
#include "lib/types.h"

#define ELF_MAX_SEGMENTS 16u

#define ELF_SEGMENT_EXECUTE 1u
#define ELF_SEGMENT_WRITE 2u
#define ELF_SEGMENT_READ 4u

/* One PT_LOAD program header with memory_size > 0; all of these were checked as elf_parse() says. */
struct elf_segment {
	uint64_t file_offset;      /* [bytes] from the beginning of the file */
	uint64_t file_size;        /* [bytes] <= memory_size; may be 0 */
	uint64_t memory_size;      /* [bytes] > 0 */
	uint64_t physical_address; /* p_paddr */
	uint64_t virtual_address;  /* p_vaddr */
	uint32_t flags;            /* ELF_SEGMENT_* */
};

struct elf_image {
	bool is_64_bit;
	uint64_t entry;                     /* e_entry as it stands in the file */
	uint64_t physical_base;             /* lowest physical address of any segment */
	uint64_t physical_end;              /* highest physical address of any segment, plus one */
	unsigned segment_count;             /* 1..ELF_MAX_SEGMENTS */
	struct elf_segment segments[ELF_MAX_SEGMENTS]; /* sorted by physical address */
};

/**
 * elf_parse() - reads the headers of an executable and checks all that loading it will rely on.
 * @file:  @size bytes, lent for the call; any bytes, any alignment.
 * @image: out; meaningful on STATUS_OK only.
 * @why:   out: static text that says what was found and what was expected; "" on success. Not NULL.
 *
 * Accepted: little-endian ET_EXEC of EM_386 (ELFCLASS32) or EM_X86_64 (ELFCLASS64). Every segment lies within the file,
 * file_size <= memory_size, neither its physical nor its virtual range wraps or leaves 32 bits in an ELF32, and no
 * two segments share a physical byte. Segments that occupy no memory are left out.
 * Return: STATUS_OK; STATUS_BAD_FORMAT (not such a file); STATUS_TRUNCATED (headers or segments end beyond @size);
 *         STATUS_UNSUPPORTED (other machine, class or type; more than ELF_MAX_SEGMENTS); STATUS_OUT_OF_RANGE (sizes that
 *         wrap or contradict each other); STATUS_EXISTS (overlap); STATUS_NOT_FOUND (nothing to load).
 */
must_check enum status elf_parse(const void *file, uint64_t size, struct elf_image *image, const char **why);

/**
 * elf_entry_physical() - physical address of the entry point.
 * Linkers give e_entry as a virtual or as a physical address: if it lies in the virtual range of a segment it is
 * translated by that segment, else it must lie in the physical range of one.
 * Return: STATUS_OK with *@entry set; STATUS_OUT_OF_RANGE if no segment holds it.
 */
must_check enum status elf_entry_physical(const struct elf_image *image, uint64_t *entry);
