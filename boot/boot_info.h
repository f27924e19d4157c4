/*
 * The one contract between every loader (boot/efi, boot/multiboot2) and the hypervisor: what the loader found and
 * where it put things. All addresses are host-physical. The loader fills it, the hypervisor checks it once
 * (boot_info_check()), copies it and never writes it.
 *
 * State at hand-over: arch/x86/boot_entry.asm, `boot_entry64`, is entered at its physical address in 64-bit mode with
 * paging on, interrupts off, RDI = physical address of struct boot_info, all memory below 4 GiB that this structure
 * names identity-mapped, and the image loaded as one block at `image_base` (2 MiB aligned, below 4 GiB), laid out as its
 * program headers say relative to the lowest p_paddr. Everything that this structure points to lies below 4 GiB except
 * memory regions, framebuffer and ACPI tables, which may be anywhere.
 */
#pragma once

#include "lib/status.h"
#include "lib/types.h"

#define BOOT_INFO_MAGIC 0x3054455649525400ull /* "\0TRIVET0" */
#define BOOT_INFO_VERSION 1u

#define BOOT_INFO_MAX_REGIONS 512u
#define BOOT_INFO_MAX_FILES 64u
#define BOOT_INFO_PATH_SIZE 128u
#define BOOT_INFO_MESSAGE_SIZE 256u

enum boot_memory_type {
	BOOT_MEMORY_USABLE = 1,       /* free RAM: becomes the page pool */
	BOOT_MEMORY_LOADER = 2,       /* RAM that holds the image, the files and this structure; never given out */
	BOOT_MEMORY_ACPI_RECLAIM = 3, /* RAM with ACPI tables */
	BOOT_MEMORY_ACPI_NVS = 4,
	BOOT_MEMORY_RESERVED = 5,     /* firmware's, runtime services, anything unknown */
	BOOT_MEMORY_MMIO = 6,
	BOOT_MEMORY_BAD = 7,
};

enum boot_loader {
	BOOT_LOADER_EFI = 1,
	BOOT_LOADER_MULTIBOOT2 = 2,
};

struct boot_memory_region {
	uint64_t base;   /* [bytes], 4 KiB aligned */
	uint64_t length; /* [bytes], > 0, multiple of 4 KiB */
	uint32_t type;   /* enum boot_memory_type */
	uint32_t reserved;
};

struct boot_framebuffer {
	uint64_t base;          /* 0: none */
	uint32_t width, height; /* [pixels] */
	uint32_t pitch;         /* [bytes] from one line to the next */
	uint32_t bits_per_pixel; /* 32 (24 is refused) */
	uint8_t red_shift, green_shift, blue_shift; /* position of each 8-bit colour in a pixel */
	uint8_t reserved[5];
};

struct boot_file {
	char path[BOOT_INFO_PATH_SIZE]; /* relative to the boot medium's trivet/ folder, '/' separated, NUL-terminated */
	uint64_t base;                  /* [bytes], 4 KiB aligned; in a BOOT_MEMORY_LOADER region */
	uint64_t size;                  /* [bytes] */
};

struct boot_info {
	uint64_t magic;
	uint32_t version;
	uint32_t size; /* sizeof(struct boot_info) as the loader knows it */
	uint32_t loader; /* enum boot_loader */
	uint32_t region_count; /* sorted by base, not overlapping */
	uint32_t file_count;
	uint32_t reserved;
	uint64_t image_base; /* where the lowest p_paddr of the hypervisor's image lies; 2 MiB aligned */
	uint64_t image_size; /* [bytes] with bss */
	uint64_t acpi_rsdp;  /* 0: not told, search the BIOS areas */
	uint64_t entry_tsc;  /* time-stamp counter when the loader left the firmware */
	/* What the loader could not do (file that the configuration names but that could not be read, and why), one line
	 * each, '\n' separated; empty if all went well. The hypervisor logs it as warnings. */
	char messages[BOOT_INFO_MESSAGE_SIZE * 4];
	struct boot_framebuffer framebuffer;
	struct boot_memory_region regions[BOOT_INFO_MAX_REGIONS];
	struct boot_file files[BOOT_INFO_MAX_FILES];
};

/**
 * boot_info_check() - refuses a hand-over that cannot be trusted.
 * @info: mapped and readable for sizeof(struct boot_info).
 * @why:  out: static text that names the field and what was expected; "" on success. Not NULL.
 *
 * Checks magic, version, size, counts, alignment, order and overlap of the regions, wrap-around, that image and files lie
 * in LOADER regions (where the structure itself lies only its caller knows), NUL-termination of paths and messages, that
 * no path repeats, and the framebuffer's geometry.
 * Return: STATUS_OK; STATUS_BAD_FORMAT (magic, version, size); STATUS_OUT_OF_RANGE (counts, bounds);
 *         STATUS_EXISTS (overlap); STATUS_INVALID (anything else).
 */
must_check enum status boot_info_check(const struct boot_info *info, const char **why);

/** boot_info_find_file() - the file loaded as @path (exact match), or NULL. */
const struct boot_file *boot_info_find_file(const struct boot_info *info, const char *path);
