/* Files of the volume that the loader was started from. */
#pragma once

#include "boot/efi/efi_loader.h"

/* A file in memory: whole pages below 4 GiB, zero behind the end. */
struct efi_file {
	uint64_t base; /* [bytes] 4 KiB aligned */
	uint64_t size; /* [bytes] */
};

/** volume_open() - finds the volume that @loader's image came from; fills @loader->volume. */
must_check EFI_STATUS volume_open(struct efi_loader *loader);

/**
 * volume_read_file() - reads all of trivet/@path into newly allocated pages.
 * @path: below trivet/, '/' separated, printable ASCII, shorter than BOOT_INFO_PATH_SIZE.
 * @file: out; on EFI_SUCCESS given back by volume_free_file(), or kept for ever.
 * Return: EFI_SUCCESS; EFI_NOT_FOUND (also for a folder); EFI_OUT_OF_RESOURCES (no memory below 4 GiB);
 * EFI_END_OF_FILE (shorter than its folder tells); what else the firmware says.
 */
must_check EFI_STATUS volume_read_file(struct efi_loader *loader, const char *path, struct efi_file *file);

/** volume_free_file() - gives back the pages of a file that was read. */
void volume_free_file(struct efi_loader *loader, const struct efi_file *file);

/** volume_open_folder() - opens trivet/ to be listed; @folder: out, closed by volume_close_folder(). */
must_check EFI_STATUS volume_open_folder(struct efi_loader *loader, EFI_FILE_HANDLE *folder);

/**
 * volume_next_name() - the next entry of @folder; false at its end or when the firmware fails.
 * @name: out, BOOT_INFO_PATH_SIZE bytes; empty for one that is no file, or whose name no path can hold.
 */
must_check bool volume_next_name(EFI_FILE_HANDLE folder, char *name);

void volume_close_folder(EFI_FILE_HANDLE folder);
