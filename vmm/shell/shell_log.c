/* dmesg, log */
#include "arch/x86/log.h"
#include "lib/string.h"
#include "vmm/exit_recorder.h"
#include "vmm/last_boot.h"
#include "vmm/shell/shell.h"

#define PIECE_SIZE 512u
#define EXITS_SHOWN 16u /* of each vCPU of the last boot */

typedef size_t (*log_source)(struct log_reader *reader, char *buffer, size_t size);

static void show_lines(log_source read)
{
	char text[PIECE_SIZE];
	struct log_reader reader = {0};
	uint64_t lost = 0;
	size_t size;

	while ((size = read(&reader, text, sizeof(text))) != 0) {
		if (reader.lost != lost)
			shell_print("(%llu lines lost)\n", (unsigned long long)(reader.lost - lost));
		lost = reader.lost;
		log_write_raw(text, size);
	}
}

static size_t read_last_boot(struct log_reader *reader, char *buffer, size_t size)
{
	return last_boot_read_log(last_boot_find(), reader, buffer, size);
}

static void show_last_recorders(const struct last_boot_half *half)
{
	for (unsigned i = 0; i < LAST_BOOT_RECORDERS; i++) {
		const struct last_boot_owner *owner = &half->header.owners[i];

		if (!owner->used)
			continue;
		shell_print("last exits of vm %.*s vcpu %u:\n", (int)sizeof(owner->name) - 1, owner->name, owner->vcpu);
		exit_recorder_print_records(&half->recorders[i], EXITS_SHOWN, half->log.start_tsc, shell_print);
	}
}

static void show_last_boot(void)
{
	const struct last_boot_half *half = last_boot_find();

	if (half == NULL) {
		shell_print("nothing is left of an earlier boot: the power was off, or the firmware cleared or used that memory\n");
		return;
	}
	if (!log_ring_is_sound(&half->log))
		shell_print("(damaged: reset amid a line, or something else wrote there)\n");
	show_lines(read_last_boot);
	show_last_recorders(half);
}

static void run_dmesg(unsigned count, const char *const *arguments)
{
	if (count == 1)
		show_lines(log_read);
	else if (strcmp(arguments[1], "--last-boot") == 0)
		show_last_boot();
	else
		shell_print("%s: only --last-boot is known\n", arguments[1]);
}

static void run_log(unsigned count, const char *const *arguments)
{
	enum log_level level;

	if (count == 1) {
		shell_print("%s\n", log_level_name(log_get_level()));
		return;
	}
	if (!log_level_parse(arguments[1], &level)) {
		shell_print("%s: no such level; there are error, warning, info and debug\n", arguments[1]);
		return;
	}
	log_set_level(level);
}

const struct shell_command shell_dmesg_command = {
	.name = "dmesg",
	.arguments = "[--last-boot]",
	.summary = "show the log from the beginning",
	.help = "  --last-boot: that of the boot before this one, and the last exits of its vCPUs, if a warm reset has kept them.\n",
	.maximum_arguments = 1,
	.run = run_dmesg,
};
SHELL_COMMAND(shell_dmesg_command);

const struct shell_command shell_log_command = {
	.name = "log",
	.arguments = "[LEVEL]",
	.summary = "show or set what is logged: error, warning, info or debug",
	.help = "  Lines above the level are neither shown nor kept for `dmesg`.\n",
	.maximum_arguments = 1,
	.completion = SHELL_COMPLETE_LOG_LEVEL,
	.run = run_log,
};
SHELL_COMMAND(shell_log_command);
