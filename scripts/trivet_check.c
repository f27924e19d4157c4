/*
 * trivet-check: reads a configuration with the hypervisor's own parser and says what is wrong with it, before an image is made
 * of it. Runs on the host.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "lib/ini.h"
#include "lib/string.h"
#include "vmm/config.h"

#define FILE_SIZE_MAX (1024 * 1024)
#define SEARCH_FOLDERS_MAX 16
#define HOST_PATH_SIZE 4096

enum { EXIT_GOOD = 0, EXIT_FAULTS = 1, EXIT_BAD_USE = 2 };

struct check {
	const char *file;
	bool check_files;
	unsigned folder_count;
	const char *folders[SEARCH_FOLDERS_MAX]; /* [0]: where the configuration lies */
	unsigned faults;
};

static const char usage[] =
	"usage: trivet-check [--no-files] [--files DIR]... FILE\n"
	"Checks a configuration; prints FILE:LINE:COLUMN: MESSAGE for each fault.\n"
	"  --no-files   do not look for the files that it names\n"
	"  --files DIR  look for them in DIR too, not only beside the configuration\n"
	"Exit status: 0 no fault, 1 faults, 2 bad use or an unreadable configuration.\n";

static void print_fault(void *context, unsigned line, unsigned column, const char *message)
{
	struct check *check = context;

	check->faults++;
	fprintf(stderr, "%s:%u:%u: %s\n", check->file, line, column, message);
}

static char *read_text(const char *path, size_t *size)
{
	FILE *file = fopen(path, "rb");
	char *text = file ? malloc(FILE_SIZE_MAX + 1) : NULL;

	if (!text) {
		fprintf(stderr, "trivet-check: cannot read %s: errno %d\n", path, errno);
		if (file)
			fclose(file);
		return NULL;
	}
	*size = fread(text, 1, FILE_SIZE_MAX + 1, file);
	if (ferror(file) || *size > FILE_SIZE_MAX) {
		fprintf(stderr, "trivet-check: cannot read %s: not a text file of at most 1 MiB\n", path);
		free(text);
		text = NULL;
	}
	fclose(file);
	return text;
}

static bool is_file_in(const char *folder, struct ini_text path)
{
	char name[HOST_PATH_SIZE];
	struct stat status;
	int length = snprintf(name, sizeof(name), "%s/%.*s", folder, (int)path.length, path.start);

	return length > 0 && (size_t)length < sizeof(name) && stat(name, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0;
}

static void check_named_file(struct check *check, const struct ini_line *line, struct ini_text path)
{
	char message[HOST_PATH_SIZE];

	/* A path that no medium can hold was refused by the parser. */
	if (path.length >= CONFIG_PATH_SIZE)
		return;
	for (unsigned i = 0; i < check->folder_count; i++)
		if (is_file_in(check->folders[i], path))
			return;
	snprintf(message, sizeof(message), "file '%.*s' was not found or is empty; expected it in the folder %s",
		 (int)path.length, path.start, check->folders[0]);
	print_fault(check, line->line, line->value_column + (unsigned)(path.start - line->value.start), message);
}

static void check_named_files(struct check *check, const char *text, size_t size)
{
	struct ini_reader reader;
	struct ini_line line;
	struct ini_text path;

	ini_open(&reader, text, size);
	while (ini_next_file(&reader, &line, &path))
		check_named_file(check, &line, path);
}

static int check_configuration(struct check *check)
{
	static struct config config;
	size_t size;
	char *text = read_text(check->file, &size);

	if (!text)
		return EXIT_BAD_USE;
	config_parse(text, size, &config, print_fault, check);
	if (check->check_files)
		check_named_files(check, text, size);
	free(text);
	return check->faults > 0 ? EXIT_FAULTS : EXIT_GOOD;
}

/* The folder of @path, without its last '/'; "." if it names none. */
static void folder_of(const char *path, char folder[HOST_PATH_SIZE])
{
	size_t length = strlen(path);

	while (length > 0 && path[length - 1] != '/')
		length--;
	if (length == 0)
		snprintf(folder, HOST_PATH_SIZE, ".");
	else
		snprintf(folder, HOST_PATH_SIZE, "%.*s", (int)(length > 1 ? length - 1 : 1), path);
}

static bool parse_arguments(int count, char **arguments, struct check *check)
{
	for (int i = 1; i < count; i++) {
		if (strcmp(arguments[i], "--no-files") == 0)
			check->check_files = false;
		else if (strcmp(arguments[i], "--files") == 0 && i + 1 < count && check->folder_count < SEARCH_FOLDERS_MAX)
			check->folders[check->folder_count++] = arguments[++i];
		else if (arguments[i][0] != '-' && !check->file)
			check->file = arguments[i];
		else
			return false;
	}
	return check->file != NULL;
}

int main(int argument_count, char **arguments)
{
	static char folder[HOST_PATH_SIZE];
	struct check check = { .check_files = true, .folder_count = 1 };

	if (!parse_arguments(argument_count, arguments, &check)) {
		fputs(usage, stderr);
		return EXIT_BAD_USE;
	}
	folder_of(check.file, folder);
	check.folders[0] = folder;
	return check_configuration(&check);
}
