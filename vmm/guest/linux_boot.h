/*
 * Linux kernels in bzImage format. Linux "The Linux/x86 Boot Protocol".
 */
#pragma once

#include "lib/status.h"
#include "lib/types.h"
#include "vmm/guest/guest_boot.h"

struct vm;

/* What the setup header says, checked: every value below may be relied on. */
struct linux_image {
	uint16_t version;           /* >= 0x20a */
	uint64_t payload_offset;    /* of the protected-mode code in the file [bytes] */
	uint64_t payload_size;      /* [bytes] > 0, within the file */
	uint64_t header_size;       /* of the setup header, from its field setup_sects [bytes] */
	uint64_t preferred_address; /* for payload and init_size */
	uint64_t alignment;         /* power of two */
	uint64_t memory_size;       /* from the load address: what the kernel uses before it reads the memory map */
	uint64_t ramdisk_end;       /* the ramdisk ends at or below it */
	uint32_t command_line_size; /* longest command line without its NUL */
	bool relocatable;
	bool entry_64_bit;
};

/**
 * linux_boot_parse() - reads and checks the setup header of @file, @size bytes, any content.
 * @why, @why_size: out: what was found and what was expected; "" on success.
 * Return: STATUS_OK; STATUS_BAD_FORMAT; STATUS_UNSUPPORTED; STATUS_TRUNCATED; STATUS_INVALID.
 */
must_check enum status linux_boot_parse(const uint8_t *file, uint64_t size, struct linux_image *image, char *why, size_t why_size);

/** linux_boot_load() - see guest_boot_load(). @rsdp: of the ACPI tables. */
must_check enum status linux_boot_load(struct vm *vm, const struct guest_file *kernel, const struct guest_file *ramdisk, gpa_t rsdp);
