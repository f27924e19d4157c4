/*
 * How the values of configuration keys are written: each function reads one value and stores it.
 */
#pragma once

#include "lib/ini.h"
#include "lib/types.h"
#include "vmm/config.h"

/* What a value became, and what to say if it was refused. */
struct config_value {
	struct ini_text text;  /* trimmed; may be empty */
	size_t fault_offset;   /* out: of the fault in the text */
	const char *expected;  /* out: static text, what a good value looks like */
	const char *problem;   /* out: static text; NULL: "bad value" */
};

/** Reads @value into @target, a struct config_host or a struct vm_config; false: refused, @value says why. */
typedef bool (*config_value_parser)(struct config_value *value, void *target);

bool config_parse_version(struct config_value *value, void *target);
bool config_parse_console(struct config_value *value, void *target);
bool config_parse_cpus(struct config_value *value, void *target);
bool config_parse_when_all_stopped(struct config_value *value, void *target);
bool config_parse_log(struct config_value *value, void *target);

bool config_parse_memory(struct config_value *value, void *target);
bool config_parse_vcpus(struct config_value *value, void *target);
bool config_parse_boot(struct config_value *value, void *target);
bool config_parse_kernel(struct config_value *value, void *target);
bool config_parse_ramdisk(struct config_value *value, void *target);
bool config_parse_cmdline(struct config_value *value, void *target);
bool config_parse_testdev(struct config_value *value, void *target);
bool config_parse_autostart(struct config_value *value, void *target);

/** config_parse_vm_name() - the name of a section [vm NAME], into @name. */
bool config_parse_vm_name(struct config_value *value, char name[CONFIG_NAME_SIZE]);
