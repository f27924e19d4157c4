#include "boot/efi/boot_files.h"

#include "boot/boot_info_build.h"
#include "boot/efi/screen.h"
#include "boot/efi/volume.h"

/* Of a folder that are looked at; keeps firmware that never says that it ends from holding us. */
#define MOST_ENTRIES 4096u

static void warn(struct efi_loader *loader, const char *path, const char *text)
{
	screen_print("warning: %s: %s", path, text);
	boot_info_add_message(loader->info, path, text);
}

/* Return: true if @file is now the file @path of the hand-over. */
static bool load(struct efi_loader *loader, const char *path, struct efi_file *file)
{
	EFI_STATUS status;

	if (loader->info->file_count == BOOT_INFO_MAX_FILES) {
		warn(loader, path, "one file too many (at most 64)");
		return false;
	}
	status = volume_read_file(loader, path, file);
	if (status != EFI_SUCCESS) {
		warn(loader, path, efi_status_name(status));
		return false;
	}
	if (boot_info_add_file(loader->info, path, file->base, file->size) != STATUS_OK) {
		warn(loader, path, "not a usable name");
		volume_free_file(loader, file);
		return false;
	}
	screen_print("%s: %llu KiB", path, (unsigned long long)((file->size + KIB - 1) / KIB));
	return true;
}

static void load_named_files(struct efi_loader *loader, const struct efi_file *configuration)
{
	char path[BOOT_INFO_PATH_SIZE];
	struct ini_reader reader;
	struct efi_file file;
	struct ini_line line;
	struct ini_text text;

	ini_open(&reader, (const char *)(uintptr_t)configuration->base, configuration->size);
	while (ini_next_file(&reader, &line, &text)) {
		if (!boot_path_copy(path, text))
			warn(loader, path, "file name is not plain ASCII of at most 127 characters");
		else if (boot_info_find_file(loader->info, path) == NULL)
			(void)load(loader, path, &file);
	}
}

static void load_configuration(struct efi_loader *loader, const char *path)
{
	struct efi_file file;

	if (load(loader, path, &file))
		load_named_files(loader, &file);
}

void boot_files_load(struct efi_loader *loader)
{
	char path[BOOT_INFO_PATH_SIZE];
	EFI_FILE_HANDLE folder;

	load_configuration(loader, BOOT_CONFIGURATION_PATH);
	if (volume_open_folder(loader, &folder) != EFI_SUCCESS)
		return;
	for (unsigned i = 0; i < MOST_ENTRIES && volume_next_name(folder, path); i++)
		if (boot_path_is_configuration(path) && boot_info_find_file(loader->info, path) == NULL)
			load_configuration(loader, path);
	volume_close_folder(folder);
}
