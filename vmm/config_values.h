/*
 * How the values of configuration keys are written: each function reads one value and stores it.
 */
#pragma once

#include "lib/types.h"
#include "vmm/config.h"
#include "vmm/config_text.h"

/** Reads @value into @target, a struct config_host or a struct vm_config; false: refused, @value says why. */
typedef bool (*config_value_parser)(struct config_value *value, void *target);

bool config_parse_version(struct config_value *value, void *target);
bool config_parse_console(struct config_value *value, void *target);
bool config_parse_host_cpus(struct config_value *value, void *target);
bool config_parse_host_sched(struct config_value *value, void *target);
bool config_parse_when_all_stopped(struct config_value *value, void *target);
bool config_parse_autoexec(struct config_value *value, void *target);
bool config_parse_panic_reboot(struct config_value *value, void *target);
bool config_parse_log(struct config_value *value, void *target);

bool config_parse_memory(struct config_value *value, void *target);
bool config_parse_vcpus(struct config_value *value, void *target);
bool config_parse_vm_cpus(struct config_value *value, void *target);
bool config_parse_vm_sched(struct config_value *value, void *target);
bool config_parse_boot(struct config_value *value, void *target);
bool config_parse_kernel(struct config_value *value, void *target);
bool config_parse_ramdisk(struct config_value *value, void *target);
bool config_parse_cmdline(struct config_value *value, void *target);
bool config_parse_pci(struct config_value *value, void *target);
bool config_parse_testdev(struct config_value *value, void *target);
bool config_parse_autostart(struct config_value *value, void *target);
bool config_parse_on_poweroff(struct config_value *value, void *target);
bool config_parse_on_reboot(struct config_value *value, void *target);
bool config_parse_on_crash(struct config_value *value, void *target);

/** config_parse_vm_name() - the name of a section [vm NAME], into @name. */
bool config_parse_vm_name(struct config_value *value, char name[CONFIG_NAME_SIZE]);

/**
 * config_parse_sched_settings() - `POLICY [NAME=VALUE]...` as the key sched and the shell's command of that name take it.
 * @settings: out; all of it is set, or on failure nothing. That cap is at most 100 for each vCPU is left to the caller.
 */
bool config_parse_sched_settings(struct config_value *value, struct config_sched *settings);
