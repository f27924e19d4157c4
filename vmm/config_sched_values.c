/*
 * sched = credit weight=512 cap=50 | rt budget=2ms period=10ms | cyclic frame=20ms window=0ms+5ms window=10ms+5ms | pinned
 */
#include "lib/string.h"
#include "vmm/config_values.h"

#define EXPECTED_POLICY "credit, rt, cyclic or pinned, with its settings behind it"

/* One NAME=VALUE behind a policy; @limit_min and @limit_max bound the value as it is stored. */
struct sched_setting {
	enum config_sched_policy policy;
	const char *name;
	bool (*take)(struct ini_text text, size_t *position, uint64_t *number); /* NULL: a window */
	size_t offset; /* of the field in struct config_sched */
	uint32_t limit_min, limit_max;
	bool required;
	const char *expected;
};

#define SETTING(policy, name, take, min, max, required, expected) \
	{ CONFIG_SCHED_##policy, #name, take, offsetof(struct config_sched, name), min, max, required, #name "=" expected }
#define WINDOW_EXPECTED "window=START+LENGTH such as 10ms+5ms, of at least 100us, in order, apart from each other and inside the frame"

static const struct sched_setting settings_known[] = {
	SETTING(CREDIT, weight, config_take_number, 1, 65535, false, "NUMBER from 1 to 65535"),
	SETTING(CREDIT, cap, config_take_number, 0, 800, false, "PERCENT of one CPU, at most 100 for each vCPU; 0: no limit"),
	SETTING(RT, budget, config_take_duration, 100, 10000000, true, "TIME such as 2ms, from 100us to the period"),
	SETTING(RT, period, config_take_duration, 100, 10000000, true, "TIME such as 10ms, from 100us to 10s"),
	SETTING(CYCLIC, frame, config_take_duration, 1000, 10000000, true, "TIME such as 20ms, from 1ms to 10s"),
	{ CONFIG_SCHED_CYCLIC, "window", NULL, offsetof(struct config_sched, windows), 100, 10000000, true, WINDOW_EXPECTED },
};
_Static_assert(array_count(settings_known) <= 8 * sizeof(uint32_t), "a bit for each setting");

/* What a value is read with: where, and which settings were seen. */
struct sched_reader {
	struct config_value *value;
	struct config_sched parsed;
	uint32_t seen;        /* bit per row of settings_known */
	size_t last_window;   /* offset of the last window in the text */
	size_t budget;        /* and of the budget */
};

static size_t offset_in(const struct sched_reader *reader, struct ini_text text)
{
	return (size_t)(text.start - reader->value->text.start);
}

static bool read_window(struct sched_reader *reader, struct ini_text text, const struct sched_setting *setting)
{
	struct config_sched *parsed = &reader->parsed;
	const struct config_window *before = parsed->window_count > 0 ? &parsed->windows[parsed->window_count - 1] : NULL;
	uint64_t start, length;
	size_t position = 0, offset = offset_in(reader, text);

	if (!config_take_duration(text, &position, &start) || !config_take_character(text, &position, '+') ||
	    !config_take_duration(text, &position, &length) || position != text.length ||
	    start > setting->limit_max || length < setting->limit_min || length > setting->limit_max)
		return config_refuse(reader->value, offset, "bad window", setting->expected);
	if (parsed->window_count == CONFIG_MAX_WINDOWS)
		return config_refuse(reader->value, offset, "too many windows", "at most 8 windows");
	if (before && start < before->start + before->length)
		return config_refuse(reader->value, offset, "a window that begins before the one before it ends", setting->expected);
	parsed->windows[parsed->window_count++] = (struct config_window){ (uint32_t)start, (uint32_t)length };
	reader->last_window = offset;
	return true;
}

static bool read_number(struct sched_reader *reader, struct ini_text text, const struct sched_setting *setting)
{
	uint32_t *field = (uint32_t *)(void *)((char *)&reader->parsed + setting->offset);
	size_t position = 0;
	uint64_t number;

	if (!setting->take(text, &position, &number) || position != text.length ||
	    number < setting->limit_min || number > setting->limit_max)
		return config_refuse(reader->value, offset_in(reader, text), NULL, setting->expected);
	*field = (uint32_t)number;
	if (setting->offset == offsetof(struct config_sched, budget))
		reader->budget = offset_in(reader, text);
	return true;
}

/* The row of a setting of the policy; NULL: @reader's value is refused. */
static const struct sched_setting *find_setting(struct sched_reader *reader, struct ini_text name)
{
	static const char *const expected[CONFIG_SCHED_COUNT] = {
		[CONFIG_SCHED_CREDIT] = "weight=NUMBER or cap=PERCENT behind credit",
		[CONFIG_SCHED_RT] = "budget=TIME and period=TIME behind rt",
		[CONFIG_SCHED_CYCLIC] = "frame=TIME and window=START+LENGTH behind cyclic",
		[CONFIG_SCHED_PINNED] = "nothing behind pinned",
	};
	struct config_suggestion best = { 0 };

	for (size_t i = 0; i < array_count(settings_known); i++) {
		const struct sched_setting *setting = &settings_known[i];

		if (setting->policy != reader->parsed.policy)
			continue;
		if (ini_text_equals(name, setting->name))
			return setting;
		config_consider_word(name, setting->name, &best);
	}
	reader->value->suggestion = best.name;
	config_refuse(reader->value, offset_in(reader, name), "unknown setting", expected[reader->parsed.policy]);
	return NULL;
}

/* @word: NAME=VALUE. */
static bool read_setting(struct sched_reader *reader, struct ini_text word)
{
	struct ini_text name = word, text = word;
	const struct sched_setting *setting;
	uint32_t bit;

	name.length = 0;
	while (name.length < word.length && word.start[name.length] != '=')
		name.length++;
	setting = find_setting(reader, name);
	if (!setting)
		return false;
	if (name.length == word.length)
		return config_refuse(reader->value, offset_in(reader, word), "no '=' behind the setting's name", setting->expected);
	bit = (uint32_t)1 << (setting - settings_known);
	if (setting->take && (reader->seen & bit))
		return config_refuse(reader->value, offset_in(reader, word), "a setting that was already given", "each setting once");
	reader->seen |= bit;
	text.start += name.length + 1;
	text.length -= name.length + 1;
	return setting->take ? read_number(reader, text, setting) : read_window(reader, text, setting);
}

/* What no setting can see alone. */
static bool check_together(struct sched_reader *reader)
{
	struct config_sched *parsed = &reader->parsed;
	const struct config_window *last = parsed->window_count > 0 ? &parsed->windows[parsed->window_count - 1] : NULL;

	for (size_t i = 0; i < array_count(settings_known); i++) {
		const struct sched_setting *setting = &settings_known[i];

		if (setting->policy == parsed->policy && setting->required && !(reader->seen & (uint32_t)1 << i))
			return config_refuse(reader->value, reader->value->text.length, "a setting is missing", setting->expected);
	}
	if (parsed->budget > parsed->period)
		return config_refuse(reader->value, reader->budget, "a budget longer than the period", "budget=TIME of at most the period");
	if (last && last->start + last->length > parsed->frame)
		return config_refuse(reader->value, reader->last_window, "a window that reaches beyond the frame",
				     "windows that end at the frame's end at the latest");
	return true;
}

bool config_parse_sched_settings(struct config_value *value, struct config_sched *settings)
{
	static const struct config_word policies[] = {
		{ "credit", CONFIG_SCHED_CREDIT }, { "rt", CONFIG_SCHED_RT },
		{ "cyclic", CONFIG_SCHED_CYCLIC }, { "pinned", CONFIG_SCHED_PINNED },
	};
	struct sched_reader reader = { .value = value };
	size_t position = 0;
	struct ini_text word = config_take_word(value->text, &position);
	uint32_t policy;

	if (!config_find_word(value, word, policies, array_count(policies), EXPECTED_POLICY, &policy))
		return false;
	reader.parsed.policy = (enum config_sched_policy)policy;
	if (policy == CONFIG_SCHED_CREDIT)
		reader.parsed.weight = CONFIG_DEFAULT_WEIGHT;
	for (word = config_take_word(value->text, &position); word.length > 0; word = config_take_word(value->text, &position))
		if (!read_setting(&reader, word))
			return false;
	if (!check_together(&reader))
		return false;
	*settings = reader.parsed;
	return true;
}

bool config_parse_host_sched(struct config_value *value, void *target)
{
	return config_parse_sched_settings(value, &((struct config_host *)target)->sched);
}

bool config_parse_vm_sched(struct config_value *value, void *target)
{
	return config_parse_sched_settings(value, &((struct vm_config *)target)->sched);
}
