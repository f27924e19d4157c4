/*
 * Puts a guest's first code into its memory and its boot processor at the entry point, by the boot protocol that the
 * configuration names.
 */
#pragma once

#include "boot/boot_info.h"
#include "lib/status.h"
#include "lib/types.h"

struct vm;

/* A file of the boot medium, lent by the loader; never written. */
struct guest_file {
	const char *path;
	const uint8_t *data;
	uint64_t size; /* [bytes]; 0 and no path: there is none */
};

/**
 * guest_boot_load() - loads kernel and ramdisk of @vm, writes its ACPI tables, and sets the registers of vCPU 0.
 * @vm: created, not running; vCPU 0 is loaded on this CPU. Can be called again for a guest reset.
 * @info: the checked boot information, whose files are mapped.
 *
 * Return: STATUS_OK; else the VM cannot start, its memory may be partly written, and one line in the log says why.
 */
must_check enum status guest_boot_load(struct vm *vm, const struct boot_info *info);

/** guest_boot_refuse() - logs `vm NAME: ROLE PATH: ...`, ROLE being "kernel" or "ramdisk"; returns @status. */
enum status guest_boot_refuse(const struct vm *vm, const char *role, const struct guest_file *file, enum status status,
			      const char *format, ...) printf_like(5, 6);
