/*
 * A virtual machine and its life: created from a section of the configuration, started, stopped for one reason, and
 * destroyed with everything given back.
 */
#pragma once

#include "arch/x86/log.h"
#include "arch/x86/spinlock.h"
#include "arch/x86/virt.h"
#include "lib/list.h"
#include "lib/status.h"
#include "lib/types.h"
#include "vmm/config.h"
#include "vmm/guest_memory.h"
#include "vmm/io_bus.h"
#include "vmm/irq_routing.h"
#include "vmm/vcpu.h"
#include "vmm/vm_console.h"

#define VM_MAX_VCPUS 8u
#define VM_STOP_TEXT_SIZE 96u

enum vm_state { VM_CREATED, VM_RUNNING, VM_STOPPING, VM_STOPPED };

enum vm_stop_kind { VM_STOP_NONE, VM_STOP_POWEROFF, VM_STOP_REBOOT, VM_STOP_CRASH, VM_STOP_EXIT, VM_STOP_DESTROYED };

struct vm {
	const struct vm_config *config;
	uint32_t id; /* from 1, never used twice */
	enum vm_state state;
	struct virt_vm virt;
	struct guest_memory memory;
	struct spinlock device_lock; /* buses, irq, devices, timers, local APICs of this VM */
	struct io_bus buses[IO_SPACE_COUNT];
	struct irq_routing irq;
	struct list devices; /* struct io_device */
	struct vm_console console;
	struct log_limit log_limit; /* for lines that this guest can cause */
	uint32_t vcpu_count;
	struct vcpu *vcpus[VM_MAX_VCPUS];
	enum vm_stop_kind stop_kind; /* the first reason wins */
	uint32_t exit_code;          /* VM_STOP_EXIT */
	char stop_text[VM_STOP_TEXT_SIZE]; /* VM_STOP_CRASH: why */
	bool stop_announced; /* boot processor only */
};

/**
 * vm_create() - everything a VM needs except its guest's code: memory, devices, vCPUs.
 * @config: lent until vm_destroy().
 * Return: STATUS_OK; else nothing is left behind and one line in the log says why.
 */
must_check enum status vm_create(const struct vm_config *config, struct vm **vm);
void vm_destroy(struct vm *vm);

/**
 * vm_stop() - ends the VM: its vCPUs leave the guest and do not enter again. Only the first call counts. Any CPU, any
 * lock held. vm_crash(): the same with VM_STOP_CRASH and the text that follows "crash: ".
 */
void vm_stop(struct vm *vm, enum vm_stop_kind kind, uint32_t exit_code);
void vm_crash(struct vm *vm, const char *format, ...) printf_like(2, 3);

/** vm_stop_describe() - why it stopped, as the console line says it: "poweroff", "crash: WHY", "exit 3". Returns the length. */
size_t vm_stop_describe(const struct vm *vm, char *buffer, size_t size);

/* The list of all VMs; changes only on the boot processor. */
extern struct vm *vm_list[CONFIG_MAX_VMS];
extern uint32_t vm_list_count;
struct vm *vm_find(const char *name);
