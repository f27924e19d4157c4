/* What the loaders share in filling a struct boot_info. */
#pragma once

#include "boot/boot_info.h"
#include "lib/ini.h"

#define BOOT_CONFIGURATION_PATH "trivet.conf"

/** boot_info_open() - makes @info an empty hand-over from @loader (enum boot_loader). */
void boot_info_open(struct boot_info *info, uint32_t loader);

/**
 * boot_info_add_file() - notes that the file @path lies at [@base, @base + @size).
 * Return: STATUS_OK; STATUS_OUT_OF_RANGE if @path is empty or too long; STATUS_EXISTS if it is there already;
 * STATUS_NO_MEMORY if BOOT_INFO_MAX_FILES are noted.
 */
must_check enum status boot_info_add_file(struct boot_info *info, const char *path, uint64_t base, uint64_t size);

/** boot_info_add_message() - adds the line "@subject: @text" unless it stands there; what does not fit is left out. */
void boot_info_add_message(struct boot_info *info, const char *subject, const char *text);

/**
 * boot_info_claim() - marks [@base, @base + @size), which the loader has filled, as LOADER memory.
 * boot_info_claim_files() - the same for all noted files.
 * boot_info_add_region() - the firmware says that [@base, @base + @size) is memory of @type (enum boot_memory_type).
 * Return: as region_map_add().
 */
must_check enum status boot_info_claim(struct boot_info *info, uint64_t base, uint64_t size);
must_check enum status boot_info_claim_files(struct boot_info *info);
must_check enum status boot_info_add_region(struct boot_info *info, uint64_t base, uint64_t size, uint32_t type);

/**
 * boot_path_copy() - @text as it stands, as a NUL-terminated path.
 * @path: out, BOOT_INFO_PATH_SIZE bytes; always fit to be shown: cut off, and '?' for what is not printable ASCII.
 * Return: false if @path is not exactly @text.
 */
must_check bool boot_path_copy(char *path, struct ini_text text);

/**
 * boot_path_is_configuration() - @path is a configuration: a file NAME.conf beside trivet.conf, or that itself. Loaders load all of
 * these with the files that they name, since the shell creates VMs of them; files that begin with '.' are other systems' litter.
 */
bool boot_path_is_configuration(const char *path);

/** boot_info_note_missing_files() - adds a message for every file that a configuration in @info names and @info does not hold. */
void boot_info_note_missing_files(struct boot_info *info);
