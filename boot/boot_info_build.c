#include "boot/boot_info_build.h"

#include "boot/region_map.h"
#include "lib/fmt.h"
#include "lib/string.h"

void boot_info_open(struct boot_info *info, uint32_t loader)
{
	memset(info, 0, sizeof(*info));
	info->magic = BOOT_INFO_MAGIC;
	info->version = BOOT_INFO_VERSION;
	info->size = sizeof(*info);
	info->loader = loader;
}

enum status boot_info_add_file(struct boot_info *info, const char *path, uint64_t base, uint64_t size)
{
	struct boot_file *file;

	if (path[0] == '\0' || strlen(path) >= BOOT_INFO_PATH_SIZE)
		return STATUS_OUT_OF_RANGE;
	if (boot_info_find_file(info, path) != NULL)
		return STATUS_EXISTS;
	if (info->file_count == BOOT_INFO_MAX_FILES)
		return STATUS_NO_MEMORY;
	file = &info->files[info->file_count++];
	(void)string_copy(file->path, sizeof(file->path), path);
	file->base = base;
	file->size = size;
	return STATUS_OK;
}

/* @line, which ends in '\n', is one of the lines of @messages. */
static bool has_line(const char *messages, const char *line)
{
	size_t length = strlen(line);

	while (*messages != '\0') {
		if (strncmp(messages, line, length) == 0)
			return true;
		while (*messages != '\0' && *messages++ != '\n')
			continue;
	}
	return false;
}

void boot_info_add_message(struct boot_info *info, const char *subject, const char *text)
{
	size_t used = strlen(info->messages);
	char line[BOOT_INFO_MESSAGE_SIZE];

	fmt_print(line, sizeof(line) - 1, "%s: %s", subject, text);
	(void)string_copy(line + strlen(line), 2, "\n");
	if (has_line(info->messages, line))
		return;
	(void)string_copy(info->messages + used, sizeof(info->messages) - used, line);
}

enum status boot_info_add_region(struct boot_info *info, uint64_t base, uint64_t size, uint32_t type)
{
	struct region_map map = {.regions = info->regions, .count = info->region_count, .capacity = BOOT_INFO_MAX_REGIONS};
	enum status status = region_map_add(&map, base, size, type);

	info->region_count = map.count;
	return status;
}

enum status boot_info_claim(struct boot_info *info, uint64_t base, uint64_t size)
{
	return boot_info_add_region(info, base, size, BOOT_MEMORY_LOADER);
}

enum status boot_info_claim_files(struct boot_info *info)
{
	enum status status = STATUS_OK;

	for (uint32_t i = 0; i < info->file_count && status == STATUS_OK; i++)
		status = boot_info_claim(info, info->files[i].base, info->files[i].size);
	return status;
}

bool boot_path_copy(char *path, struct ini_text text)
{
	size_t length = min_u64(text.length, BOOT_INFO_PATH_SIZE - 1);
	bool exact = length == text.length;

	for (size_t i = 0; i < length; i++) {
		bool printable = text.start[i] >= ' ' && text.start[i] <= '~';

		path[i] = printable ? text.start[i] : '?';
		exact &= printable;
	}
	path[length] = '\0';
	return exact;
}

bool boot_path_is_configuration(const char *path)
{
	static const char extension[] = ".conf";
	size_t length = strlen(path), extension_length = sizeof(extension) - 1;

	if (path[0] == '.' || length <= extension_length || strcmp(path + length - extension_length, extension) != 0)
		return false;
	for (size_t i = 0; i < length; i++)
		if (path[i] == '/')
			return false;
	return true;
}

static void note_files_missing_to(struct boot_info *info, const struct boot_file *configuration)
{
	char path[BOOT_INFO_PATH_SIZE];
	struct ini_reader reader;
	struct ini_line line;
	struct ini_text text;

	ini_open(&reader, (const char *)(uintptr_t)configuration->base, configuration->size);
	while (ini_next_file(&reader, &line, &text)) {
		if (!boot_path_copy(path, text) || boot_info_find_file(info, path) == NULL)
			boot_info_add_message(info, path, "not found");
	}
}

void boot_info_note_missing_files(struct boot_info *info)
{
	for (uint32_t i = 0; i < info->file_count; i++)
		if (boot_path_is_configuration(info->files[i].path))
			note_files_missing_to(info, &info->files[i]);
}
