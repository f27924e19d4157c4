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
#define CONFIG_AUTOEXEC_SIZE 512u
#define CONFIG_MAX_WINDOWS 8u
#define CONFIG_DEFAULT_WEIGHT 256u
#define CONFIG_MAX_PCI 8u

enum config_boot { CONFIG_BOOT_LINUX, CONFIG_BOOT_MULTIBOOT };
enum config_when_all_stopped { CONFIG_WHEN_STOPPED_SHELL, CONFIG_WHEN_STOPPED_POWEROFF, CONFIG_WHEN_STOPPED_REBOOT };

/* What is done when a VM ends, by the way it ended. */
enum config_on_stop { CONFIG_ON_STOP_RESTART, CONFIG_ON_STOP_DESTROY, CONFIG_ON_STOP_PRESERVE };

enum config_sched_policy { CONFIG_SCHED_CREDIT, CONFIG_SCHED_RT, CONFIG_SCHED_CYCLIC, CONFIG_SCHED_PINNED, CONFIG_SCHED_COUNT };

/* A part of a cyclic major frame that belongs to one VM [microseconds from the frame's begin]. */
struct config_window {
	uint32_t start, length;
};

/* `sched = POLICY ...`; what belongs to other policies than the chosen one is 0. */
struct config_sched {
	enum config_sched_policy policy;
	uint32_t weight;         /* credit: 1..65535, default 256; of the whole VM */
	uint32_t cap;            /* credit: percent of one CPU that the VM may use, 1..100 * vcpus; 0: no limit */
	uint32_t budget, period; /* rt, of each vCPU [microseconds]: 100 <= budget <= period <= 10,000,000 */
	uint32_t frame;          /* cyclic: length of the major frame [microseconds], 1,000..10,000,000 */
	uint32_t window_count;   /* 1..CONFIG_MAX_WINDOWS, in order of start, disjoint, inside the frame */
	struct config_window windows[CONFIG_MAX_WINDOWS];
};

/* `pci = SSSS:BB:DD.F[,permissive][,ats]`: a function of the machine that is passed through to the VM. */
struct config_pci {
	uint16_t segment;
	uint8_t bus, device, function; /* device 0..31, function 0..7 */
	bool permissive; /* also if it cannot be reset, or if firmware uses memory by it */
	bool ats;        /* it may keep translations itself, and is trusted with that */
};

struct config_host {
	uint32_t version; /* 1 */
	bool console_serial; /* default true */
	uint16_t console_serial_port; /* 0x3f8 for com1, 0x2f8 com2, 0x3e8 com3, 0x2e8 com4 */
	uint32_t console_baud; /* 115200 */
	bool console_framebuffer; /* default true when no console is named */
	uint64_t cpus; /* bit per CPU index; all ones for `all` */
	struct config_sched sched; /* of VMs that name none */
	char autoexec[CONFIG_AUTOEXEC_SIZE]; /* shell commands separated by ';', run after autostart; "": none */
	uint32_t panic_reboot; /* seconds from a panic to the machine's reset; 0: stays */
	enum config_when_all_stopped when_all_stopped;
	uint32_t log_level; /* enum log_level of arch/x86/log.h, by number */
};

struct vm_config {
	char name[CONFIG_NAME_SIZE]; /* [a-zA-Z0-9_.-]+, unique */
	bool valid; /* false: a line of this section was refused; the VM is skipped */
	uint64_t memory; /* [bytes], multiple of 2 MiB, >= 2 MiB */
	uint32_t vcpus; /* 1..VM_MAX_VCPUS */
	uint64_t cpus;  /* hard affinity: bit per CPU index; all ones for `all` */
	struct config_sched sched; /* filled in from the host's default where the section names none */
	enum config_boot boot;
	char kernel[CONFIG_PATH_SIZE];
	char ramdisk[CONFIG_PATH_SIZE]; /* "": none */
	char cmdline[CONFIG_CMDLINE_SIZE];
	bool testdev;
	uint32_t pci_count;
	struct config_pci pci[CONFIG_MAX_PCI]; /* in the order given, which is that of the guest's devices; each once */
	bool autostart; /* default yes */
	enum config_on_stop on_poweroff, on_reboot, on_crash; /* defaults: destroy, restart, preserve; `exit CODE` goes by on_poweroff */
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
