/*
 * Bare-metal kernels by "Multiboot Specification version 0.6.96" (Multiboot 1), as ELF or with the header's own addresses.
 */
#pragma once

#include "lib/status.h"
#include "lib/types.h"
#include "vmm/guest/guest_boot.h"

struct vm;

#define MULTIBOOT_SEARCH_SIZE 8192u /* the header lies within these first bytes of the file */

/* The header, checked. */
struct multiboot_header {
	uint32_t flags;
	uint64_t offset; /* in the file [bytes] */
	/* Valid if the flag MULTIBOOT_HAS_ADDRESSES is set. */
	uint32_t header_address, load_address, load_end_address, bss_end_address, entry_address;
};

#define MULTIBOOT_ALIGN_MODULES 0x1u
#define MULTIBOOT_WANTS_MEMORY 0x2u
#define MULTIBOOT_WANTS_VIDEO 0x4u
#define MULTIBOOT_HAS_ADDRESSES 0x10000u

/**
 * multiboot_find_header() - @file of @size bytes, any content; @why: out: static text, "" on success.
 * Return: STATUS_OK; STATUS_NOT_FOUND; STATUS_UNSUPPORTED (the kernel requires what is not offered).
 */
must_check enum status multiboot_find_header(const uint8_t *file, uint64_t size, struct multiboot_header *header, const char **why);

/** multiboot_boot_load() - see guest_boot_load(). @ramdisk becomes the one module; its string is the path. */
must_check enum status multiboot_boot_load(struct vm *vm, const struct guest_file *kernel, const struct guest_file *ramdisk);
