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
#include "vmm/passthrough.h"
#include "vmm/vcpu.h"
#include "vmm/vcpu_sched.h"
#include "vmm/vm_console.h"

#define VM_MAX_VCPUS 8u
#define VM_STOP_TEXT_SIZE 96u

enum vm_state {
	VM_CREATED,    /* not started yet */
	VM_RUNNING,
	VM_STOPPING,   /* its vCPUs are on their way out */
	VM_STOPPED,    /* none of them enters the guest any more; kept until the user says otherwise, once that was announced */
	VM_RESTARTING, /* stopped; its memory is scrubbed, then it is started again when its time has come */
	VM_DESTROYING, /* stopped; its memory is scrubbed, then everything is given back */
};

enum vm_stop_kind { VM_STOP_NONE, VM_STOP_POWEROFF, VM_STOP_REBOOT, VM_STOP_CRASH, VM_STOP_EXIT, VM_STOP_DESTROYED };

/* What vmm/sched/vm_life.c keeps of a VM; boot processor only. */
struct vm_life {
	bool destroy;          /* the user wants it gone, however it ends */
	bool restart;          /* the user wants it started again, however it ends */
	bool restart_poweroff; /* the user wants it started again if it powers off */
	bool said_unreachable; /* that one of its CPUs does not answer */
	uint64_t due;          /* VM_RESTARTING, VM_DESTROYING: host TSC before which there is nothing to do */
	uint64_t delay, said_delay; /* of its next restart, and the last one that was logged [nanoseconds] */
};

struct vm {
	const struct vm_config *config; /* &own_config */
	struct vm_config own_config;
	uint32_t id; /* from 1, never used twice */
	enum vm_state state;
	struct virt_vm virt;
	struct guest_memory memory;
	struct spinlock device_lock; /* buses, irq, devices, timers, local APICs of this VM */
	struct io_bus buses[IO_SPACE_COUNT];
	struct irq_routing irq;
	struct list devices; /* struct io_device */
	struct passthrough passthrough;
	/* Where functions post interrupts for vCPUs, vmm/vcpu_posting.h; NULL: nowhere. Lost: a unit may write there for ever. */
	struct { struct posted_interrupts *descriptors; bool lost; } posting;
	struct vm_console console;
	struct log_limit log_limit; /* for lines that this guest can cause */
	uint32_t vcpu_count;
	struct vcpu *vcpus[VM_MAX_VCPUS];
	enum vm_stop_kind stop_kind; /* the first reason wins */
	uint32_t exit_code;          /* VM_STOP_EXIT */
	char stop_text[VM_STOP_TEXT_SIZE]; /* VM_STOP_CRASH: why */
	struct vcpu *crashed_vcpu; /* VM_STOP_CRASH: whose exit was the reason; NULL: none's */
	bool stop_announced; /* boot processor only */
	bool paused;         /* by the user; boot processor only */
	uint64_t started_tsc; /* host TSC when it was started last */
	struct config_sched sched_settings; /* from config, then as the user changes them */
	struct vm_sched sched;
	struct vm_life life;
	/* The ACPI power button; set by its model. May be NULL. Device lock held. */
	void (*press_power_button)(struct io_device *device);
	struct io_device *power_button;
};

/**
 * vm_create() - everything a VM needs except its guest's code: memory, devices, vCPUs.
 * @config: copied.
 * Return: STATUS_OK; else nothing is left behind and one line in the log says why, and how much memory is missing if that is it.
 */
must_check enum status vm_create(const struct vm_config *config, struct vm **vm);
/** vm_destroy() - gives everything back. No scheduler knows a vCPU of it any more. Boot processor. */
void vm_destroy(struct vm *vm);
/**
 * vm_reset() - devices and vCPUs as vm_create() makes them, of a VM that is to start again. Kept are the memory, which the
 * caller has scrubbed, the id, the console's far end, and what the user has set since: scheduling and affinity. The same context.
 * Return: STATUS_OK, and the VM is VM_CREATED; else it can only be destroyed, and one line in the log says why.
 */
must_check enum status vm_reset(struct vm *vm);

/** vm_press_power_button() - the guest hears of it by ACPI. False: it has no such button. No lock held. */
bool vm_press_power_button(struct vm *vm);

/**
 * vm_stop() - ends the VM: its vCPUs leave the guest and do not enter again. Only the first call counts. Any CPU, any
 * lock held. vm_crash(): the same with VM_STOP_CRASH and the text that follows "crash: ". Return: whether it was the first.
 */
void vm_stop(struct vm *vm, enum vm_stop_kind kind, uint32_t exit_code);
bool vm_crash(struct vm *vm, const char *format, ...) printf_like(2, 3);

/** vm_stop_describe() - why it stopped, as the console line says it: "poweroff", "crash: WHY", "exit 3". Returns the length. */
size_t vm_stop_describe(const struct vm *vm, char *buffer, size_t size);

/* The list of all VMs; changes only on the boot processor. */
extern struct vm *vm_list[CONFIG_MAX_VMS];
extern uint32_t vm_list_count;
struct vm *vm_find(const char *name);
