#include "vmm/config_schema.h"

#include "lib/string.h"

const struct config_key config_keys[] = {
	{ CONFIG_SECTION_HOST, "version", config_parse_version, NULL, false },
	{ CONFIG_SECTION_HOST, "console", config_parse_console, NULL, true },
	{ CONFIG_SECTION_HOST, "cpus", config_parse_cpus, NULL, false },
	{ CONFIG_SECTION_HOST, "when_all_stopped", config_parse_when_all_stopped, NULL, false },
	{ CONFIG_SECTION_HOST, "log", config_parse_log, NULL, false },
	{ CONFIG_SECTION_HOST, "sched", NULL, NULL, false },
	{ CONFIG_SECTION_HOST, "autoexec", NULL, NULL, false },
	{ CONFIG_SECTION_VM, "memory", config_parse_memory, "memory = 256M", false },
	{ CONFIG_SECTION_VM, "vcpus", config_parse_vcpus, NULL, false },
	{ CONFIG_SECTION_VM, "boot", config_parse_boot, NULL, false },
	{ CONFIG_SECTION_VM, "kernel", config_parse_kernel, "kernel = guests/vmlinuz", false },
	{ CONFIG_SECTION_VM, "ramdisk", config_parse_ramdisk, NULL, false },
	{ CONFIG_SECTION_VM, "cmdline", config_parse_cmdline, NULL, false },
	{ CONFIG_SECTION_VM, "testdev", config_parse_testdev, NULL, false },
	{ CONFIG_SECTION_VM, "autostart", config_parse_autostart, NULL, false },
	{ CONFIG_SECTION_VM, "cpus", NULL, NULL, false },
	{ CONFIG_SECTION_VM, "sched", NULL, NULL, false },
	{ CONFIG_SECTION_VM, "firmware", NULL, NULL, false },
	{ CONFIG_SECTION_VM, "disk", NULL, NULL, true },
	{ CONFIG_SECTION_VM, "net", NULL, NULL, true },
	{ CONFIG_SECTION_VM, "pci", NULL, NULL, true },
	{ CONFIG_SECTION_VM, "on_reboot", NULL, NULL, false },
	{ CONFIG_SECTION_VM, "on_poweroff", NULL, NULL, false },
	{ CONFIG_SECTION_VM, "on_crash", NULL, NULL, false },
};
const unsigned config_key_count = array_count(config_keys);

static const char *const section_words[CONFIG_SECTION_COUNT] = {
	[CONFIG_SECTION_HOST] = "host",
	[CONFIG_SECTION_VM] = "vm",
};

/* Longest word that is compared for a suggestion; keys are shorter. */
#define WORD_MAX 24u
/* More differences than this make another word. */
#define DISTANCE_MAX 2u

static unsigned min_of(unsigned a, unsigned b) { return a < b ? a : b; }

/* Whether the letters before @i and @j stand in swapped order, as fast typists do. */
static bool is_swapped(const char *a, unsigned i, const char *b, unsigned j)
{
	return i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
}

/*
 * Letters to insert, delete, replace or swap with a neighbour to make @name of @word (optimal string alignment). Rows of the
 * usual matrix: three suffice, since a swap looks two rows back.
 */
static unsigned word_distance(struct ini_text word, const char *name)
{
	unsigned rows[3][WORD_MAX + 1];
	unsigned name_length = (unsigned)strlen(name);

	if (word.length > WORD_MAX || name_length > WORD_MAX)
		return WORD_MAX;
	for (unsigned i = 0; i <= word.length; i++) {
		unsigned *row = rows[i % 3], *above = rows[(i + 2) % 3], *above_two = rows[(i + 1) % 3];

		for (unsigned j = 0; j <= name_length; j++) {
			if (i == 0 || j == 0) {
				row[j] = i + j;
				continue;
			}
			row[j] = min_of(above[j - 1] + (word.start[i - 1] != name[j - 1]), min_of(above[j], row[j - 1]) + 1);
			if (is_swapped(word.start, i, name, j))
				row[j] = min_of(row[j], above_two[j - 2] + 1);
		}
	}
	return rows[word.length % 3][name_length];
}

/* Keeps @name in *@best if it is nearer to @word than *@distance; a word of few letters has no far relatives. */
static void consider_word(struct ini_text word, const char *name, const char **best, unsigned *distance)
{
	unsigned found = word_distance(word, name);

	if (found >= *distance || found > DISTANCE_MAX || 2 * found > strlen(name))
		return;
	*best = name;
	*distance = found;
}

enum config_section config_section_find(struct ini_text word)
{
	for (unsigned section = CONFIG_SECTION_HOST; section < CONFIG_SECTION_COUNT; section++)
		if (ini_text_equals(word, section_words[section]))
			return (enum config_section)section;
	return CONFIG_SECTION_NONE;
}

const char *config_section_suggest(struct ini_text word)
{
	const char *best = NULL;
	unsigned distance = WORD_MAX;

	for (unsigned section = CONFIG_SECTION_HOST; section < CONFIG_SECTION_COUNT; section++)
		consider_word(word, section_words[section], &best, &distance);
	return best;
}

const char *config_key_suggest(enum config_section section, struct ini_text word)
{
	const char *best = NULL;
	unsigned distance = WORD_MAX;

	for (unsigned i = 0; i < config_key_count; i++)
		if (config_keys[i].section == section)
			consider_word(word, config_keys[i].name, &best, &distance);
	return best;
}

const struct config_key *config_key_find(enum config_section section, struct ini_text name)
{
	for (unsigned i = 0; i < config_key_count; i++)
		if (config_keys[i].section == section && ini_text_equals(name, config_keys[i].name))
			return &config_keys[i];
	return NULL;
}

_Static_assert(array_count(config_keys) <= CONFIG_MAX_KEYS, "CONFIG_MAX_KEYS bounds a bit per key");
