#include "vmm/config.h"

#include "arch/x86/log.h"
#include "lib/bits.h"
#include "lib/fmt.h"
#include "lib/ini.h"
#include "lib/string.h"
#include "vmm/config_checks.h"
#include "vmm/config_schema.h"
#include "vmm/config_values.h"

#define MESSAGE_SIZE 256u
#define QUOTED_MAX 40 /* bytes of the user's text that a message repeats */

/* Where a VM's policy is named, or else where its section begins. */
struct sched_place {
	unsigned line, column;
	bool named;
};

struct config_parser {
	struct config *config;
	config_report report;
	void *context;
	unsigned faults;
	enum config_section section; /* CONFIG_SECTION_NONE: lines are skipped until the next section */
	bool skipping;               /* a fault opened this section: its keys are not looked at */
	struct vm_config *vm;        /* of the section, if it is a VM's */
	unsigned section_line, section_column;
	unsigned host_line;          /* of [host]; 0: not seen */
	unsigned key_lines[CONFIG_MAX_KEYS]; /* where each key of the section was given; 0: not yet */
	bool console_named;
	struct sched_place sched_places[CONFIG_MAX_VMS];
};

static void report_fault(struct config_parser *parser, unsigned line, unsigned column, const char *format, ...) printf_like(4, 5);

static void report_fault(struct config_parser *parser, unsigned line, unsigned column, const char *format, ...)
{
	char message[MESSAGE_SIZE];
	va_list arguments;

	va_start(arguments, format);
	fmt_vprint(message, sizeof(message), format, arguments);
	va_end(arguments);
	parser->faults++;
	if (parser->vm)
		parser->vm->valid = false;
	if (parser->report)
		parser->report(parser->context, line, column, message);
}

/* Arguments for %.*s. */
#define QUOTED(text) (int)min_u64((text).length, QUOTED_MAX), (text).start

static void set_defaults(struct config *config)
{
	memset(config, 0, sizeof(*config));
	config->host = (struct config_host){
		.version = 1,
		.console_serial = true,
		.console_serial_port = 0x3f8,
		.console_baud = 115200,
		.console_framebuffer = true,
		.cpus = ~(uint64_t)0,
		.sched = { .policy = CONFIG_SCHED_CREDIT, .weight = CONFIG_DEFAULT_WEIGHT },
		.when_all_stopped = CONFIG_WHEN_STOPPED_SHELL,
		.log_level = LOG_INFO,
	};
}

/* What a section must have is looked for when it ends. */
static void close_section(struct config_parser *parser)
{
	for (unsigned i = 0; i < config_key_count && !parser->skipping; i++) {
		const struct config_key *key = &config_keys[i];

		if (key->section == parser->section && key->required && parser->key_lines[i] == 0)
			report_fault(parser, parser->section_line, parser->section_column,
				     "key '%s' is missing in this section; expected, for example, %s", key->name, key->required);
	}
	memset(parser->key_lines, 0, sizeof(parser->key_lines));
	parser->section = CONFIG_SECTION_NONE;
	parser->skipping = true;
	parser->vm = NULL;
}

static void open_host(struct config_parser *parser, const struct ini_line *line)
{
	if (parser->host_line != 0) {
		report_fault(parser, line->line, line->key_column, "a second [host]; the first stands in line %u", parser->host_line);
		return;
	}
	if (line->value.length > 0)
		report_fault(parser, line->line, line->value_column, "a name in [host]; expected [host] alone");
	parser->host_line = line->line;
	parser->section = CONFIG_SECTION_HOST;
	parser->skipping = false;
}

static void check_vm_name(struct config_parser *parser, struct vm_config *vm, const struct ini_line *line)
{
	struct config_value value = { .text = line->value };

	if (!config_parse_vm_name(&value, vm->name)) {
		report_fault(parser, line->line, line->value_column + (unsigned)value.fault_offset, "%s; expected %s",
			     value.problem, value.expected);
		return;
	}
	for (struct vm_config *other = parser->config->vms; other < vm; other++) {
		if (strcmp(other->name, vm->name) != 0)
			continue;
		report_fault(parser, line->line, line->value_column,
			     "a second VM named '%s'; the first stands in line %u; expected another name", vm->name, other->line);
		return;
	}
}

static void open_vm(struct config_parser *parser, const struct ini_line *line)
{
	struct config *config = parser->config;
	struct vm_config *vm;

	if (config->vm_count == CONFIG_MAX_VMS) {
		report_fault(parser, line->line, line->key_column, "too many VMs; expected at most %u", CONFIG_MAX_VMS);
		return;
	}
	parser->sched_places[config->vm_count] = (struct sched_place){ line->line, line->key_column, false };
	vm = &config->vms[config->vm_count++];
	*vm = (struct vm_config){
		.valid = true,
		.vcpus = 1,
		.cpus = ~(uint64_t)0,
		.boot = CONFIG_BOOT_LINUX,
		.autostart = true,
		.on_poweroff = CONFIG_ON_STOP_DESTROY,
		.on_reboot = CONFIG_ON_STOP_RESTART,
		.on_crash = CONFIG_ON_STOP_PRESERVE,
		.line = line->line,
	};
	parser->vm = vm;
	parser->section = CONFIG_SECTION_VM;
	parser->skipping = false;
	check_vm_name(parser, vm, line);
}

static void open_section(struct config_parser *parser, const struct ini_line *line)
{
	const char *suggestion;

	close_section(parser);
	parser->section_line = line->line;
	parser->section_column = line->key_column;
	switch (config_section_find(line->key)) {
	case CONFIG_SECTION_HOST:
		open_host(parser, line);
		return;
	case CONFIG_SECTION_VM:
		open_vm(parser, line);
		return;
	default:
		suggestion = config_section_suggest(line->key);
		if (suggestion)
			report_fault(parser, line->line, line->key_column, "unknown section '%.*s'; did you mean '%s'?",
				     QUOTED(line->key), suggestion);
		else
			report_fault(parser, line->line, line->key_column, "unknown section '%.*s'; expected [host] or [vm NAME]",
				     QUOTED(line->key));
	}
}

/* The row of the line's key if its value is to be read. */
static const struct config_key *check_key(struct config_parser *parser, const struct ini_line *line)
{
	const struct config_key *key = config_key_find(parser->section, line->key);
	const char *suggestion = key ? NULL : config_key_suggest(parser->section, line->key);

	if (suggestion) {
		report_fault(parser, line->line, line->key_column, "unknown key '%.*s'; did you mean '%s'?", QUOTED(line->key), suggestion);
		return NULL;
	}
	if (!key) {
		report_fault(parser, line->line, line->key_column, "unknown key '%.*s'", QUOTED(line->key));
		return NULL;
	}
	if (!key->parse) {
		report_fault(parser, line->line, line->key_column, "'%s' is not supported by this version", key->name);
		return NULL;
	}
	if (parser->key_lines[key - config_keys] != 0 && !key->repeatable) {
		report_fault(parser, line->line, line->key_column, "key '%s' was already given in line %u; expected it once",
			     key->name, parser->key_lines[key - config_keys]);
		return NULL;
	}
	parser->key_lines[key - config_keys] = line->line;
	return key;
}

/* The first console that is named takes the place of the default ones. */
static void forget_default_consoles(struct config_parser *parser, const struct config_key *key)
{
	if (key->parse != config_parse_console || parser->console_named)
		return;
	parser->console_named = true;
	parser->config->host.console_serial = false;
	parser->config->host.console_framebuffer = false;
}

static void read_key(struct config_parser *parser, const struct ini_line *line)
{
	struct config_value value = { .text = line->value };
	const struct config_key *key;

	if (parser->section_line == 0) {
		report_fault(parser, line->line, line->key_column, "a key before any section; expected [host] or [vm NAME] first");
		return;
	}
	if (parser->skipping)
		return;
	key = check_key(parser, line);
	if (!key)
		return;
	forget_default_consoles(parser, key);
	if (key->parse == config_parse_vm_sched)
		parser->sched_places[parser->vm - parser->config->vms] = (struct sched_place){ line->line, line->value_column, true };
	if (key->parse(&value, parser->vm ? (void *)parser->vm : (void *)&parser->config->host))
		return;
	report_fault(parser, line->line, line->value_column + (unsigned)value.fault_offset, "%s in '%s = %.*s'; expected %s%s%s%s",
		     value.problem ? value.problem : "bad value", key->name, QUOTED(line->value), value.expected,
		     value.suggestion ? "; did you mean '" : "", value.suggestion ? value.suggestion : "", value.suggestion ? "'?" : "");
}

/* Only at the end is it known what [host] says. A VM that is skipped anyway is not blamed twice. */
static void check_vms(struct config_parser *parser)
{
	struct config *config = parser->config;

	for (uint32_t i = 0; i < config->vm_count; i++) {
		const struct sched_place *place = &parser->sched_places[i];
		const char *problem;

		parser->vm = &config->vms[i];
		if (!place->named || !parser->vm->valid)
			config_inherit_sched(&config->host, parser->vm);
		problem = parser->vm->valid ? config_check_vm(&config->host, parser->vm) : NULL;
		if (problem)
			report_fault(parser, place->line, place->column, "%s", problem);
	}
}

unsigned config_parse(const char *text, size_t size, struct config *config, config_report report, void *context)
{
	struct config_parser parser = { .config = config, .report = report, .context = context, .skipping = true };
	struct ini_reader reader;
	struct ini_line line;

	set_defaults(config);
	ini_open(&reader, text, size);
	while (ini_next(&reader, &line) != INI_END) {
		if (line.kind == INI_SECTION)
			open_section(&parser, &line);
		else if (line.kind == INI_KEY)
			read_key(&parser, &line);
		else
			report_fault(&parser, line.line, line.key_column, "%s", line.error);
	}
	close_section(&parser);
	check_vms(&parser);
	/* With no console at all nobody could read why. */
	if (!config->host.console_serial && !config->host.console_framebuffer)
		config->host.console_serial = config->host.console_framebuffer = true;
	return parser.faults;
}
