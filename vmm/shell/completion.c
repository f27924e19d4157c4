#include "vmm/shell/completion.h"

#include "arch/x86/log.h"
#include "lib/string.h"
#include "vmm/sched/vm_life.h"
#include "vmm/shell/command_table.h"
#include "vmm/vm.h"

static size_t common_length(const char *a, const char *b, size_t limit)
{
	size_t length = 0;

	while (length < limit && a[length] == b[length] && a[length] != '\0')
		length++;
	return length;
}

static void offer(struct completion *completion, const char *word, const char *candidate)
{
	if (completion->count == COMPLETION_MAX || strncmp(candidate, word, completion->prefix) != 0)
		return;
	if (completion->count == 0)
		completion->common = strlen(candidate);
	else
		completion->common = common_length(completion->candidates[0], candidate, completion->common);
	completion->candidates[completion->count++] = candidate;
}

static void offer_commands(struct completion *completion, const char *word)
{
	const struct shell_command *command;

	for (command = command_table_next(NULL); command != NULL; command = command_table_next(command))
		offer(completion, word, command->name);
}

static void offer_arguments(struct completion *completion, enum shell_completion kind, const char *word)
{
	switch (kind) {
	case SHELL_COMPLETE_VM:
		for (uint32_t i = 0; i < vm_list_count; i++)
			offer(completion, word, vm_list[i]->config->name);
		break;
	case SHELL_COMPLETE_COMMAND:
		offer_commands(completion, word);
		break;
	case SHELL_COMPLETE_LOG_LEVEL:
		for (unsigned level = 0; level < LOG_LEVEL_COUNT; level++)
			offer(completion, word, log_level_name((enum log_level)level));
		break;
	case SHELL_COMPLETE_CREATABLE:
		for (uint32_t i = 0; vm_life_creatable(i) != NULL; i++)
			offer(completion, word, vm_life_creatable(i));
		break;
	default:
		break;
	}
}

/* The command whose first argument begins at @word, the end of @line[@start..]; NULL if it is another argument. */
static const struct shell_command *command_before(const char *line, size_t start, size_t word)
{
	char name[SHELL_LINE_SIZE];
	size_t end = word, length = 0;

	while (end > start && line[end - 1] == ' ')
		end--;
	while (start + length < end && line[start + length] != ' ')
		length++;
	if (start + length != end || length >= sizeof(name))
		return NULL;
	memcpy(name, line + start, length);
	name[length] = '\0';
	return command_table_find(name);
}

void completion_find(const char *line, size_t cursor, struct completion *completion)
{
	size_t start = cursor, word = cursor;
	const struct shell_command *command;

	while (start > 0 && line[start - 1] != ';')
		start--;
	while (start < cursor && line[start] == ' ')
		start++;
	while (word > start && line[word - 1] != ' ')
		word--;
	completion->prefix = cursor - word;
	completion->count = 0;
	completion->common = 0;
	if (word == start) {
		offer_commands(completion, line + word);
		return;
	}
	command = command_before(line, start, word);
	if (command != NULL)
		offer_arguments(completion, command->completion, line + word);
}
