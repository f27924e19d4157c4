/*
 * trivet/trivet.conf as structures. The same parser runs on the target and, as build/trivet-check, on the host.
 */
#pragma once

#include "lib/status.h"
#include "lib/types.h"

#define CONFIG_MAX_VMS 16u
#define CONFIG_NAME_SIZE 32u
#define CONFIG_PATH_SIZE 128u
#define CONFIG_CMDLINE_SIZE 2048u
#define CONFIG_MAX_CPUS 64u

enum config_boot { CONFIG_BOOT_LINUX, CONFIG_BOOT_MULTIBOOT };
enum config_when_all_stopped { CONFIG_WHEN_STOPPED_SHELL, CONFIG_WHEN_STOPPED_POWEROFF, CONFIG_WHEN_STOPPED_REBOOT };

struct config_host {
	uint32_t version; /* 1 */
	bool console_serial; /* default true */
	uint16_t console_serial_port; /* 0x3f8 for com1, 0x2f8 com2, 0x3e8 com3, 0x2e8 com4 */
	uint32_t console_baud; /* 115200 */
	bool console_framebuffer; /* default true when no console is named */
	uint64_t cpus; /* bit per CPU index; all ones for `all` */
	enum config_when_all_stopped when_all_stopped;
	uint32_t log_level; /* enum log_level of arch/x86/log.h, by number */
};

struct vm_config {
	char name[CONFIG_NAME_SIZE]; /* [a-zA-Z0-9_.-]+, unique */
	bool valid; /* false: a line of this section was refused; the VM is skipped */
	uint64_t memory; /* [bytes], multiple of 2 MiB, >= 2 MiB */
	uint32_t vcpus;
	enum config_boot boot;
	char kernel[CONFIG_PATH_SIZE];
	char ramdisk[CONFIG_PATH_SIZE]; /* "": none */
	char cmdline[CONFIG_CMDLINE_SIZE];
	bool testdev;
	bool autostart; /* default yes */
	uint32_t line; /* of its section, for messages */
};

struct config {
	struct config_host host;
	uint32_t vm_count;
	struct vm_config vms[CONFIG_MAX_VMS];
};

/* Called for each fault found: @line and @column from 1; @message says what was wrong and what was expected, with a
 * suggestion for a misspelt key. */
typedef void (*config_report)(void *context, unsigned line, unsigned column, const char *message);

/**
 * config_parse() - reads INI text.
 * @text, @size: untrusted, need not be NUL-terminated.
 * @report: may be NULL.
 * @config: out; filled with defaults first; usable even when faults were found (VMs with faults have valid = false).
 * Return: number of faults reported.
 */
unsigned config_parse(const char *text, size_t size, struct config *config, config_report report, void *context);
