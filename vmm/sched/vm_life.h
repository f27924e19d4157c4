/*
 * The life of a VM as the user sees it: created from its section of the configuration, started, paused, reset, announced when
 * it stops, and then restarted, destroyed or kept as its on_... says.
 *
 * Context of all: boot processor, from boot or housekeeping, interrupts off, no lock held.
 */
#pragma once

#include "boot/boot_info.h"
#include "lib/status.h"
#include "vmm/config.h"

struct vm;

/**
 * vm_life_init() - what VMs are created from; all lent for ever.
 * @config: the boot medium's trivet.conf; its faulty sections can not be started.
 */
void vm_life_init(const struct boot_info *info, const struct config *config);

/**
 * vm_life_create() - creates the VM of @config, loads its guest and starts it (paused: not yet). A VM of the same name that
 * has stopped and was preserved is destroyed first.
 * Return: STATUS_OK; else nothing is left behind and one line in the log says why: STATUS_EXISTS: one of that name lives.
 */
must_check enum status vm_life_create(const struct vm_config *config, bool paused);
/** vm_life_create_by_name() - a section of trivet.conf, or all sections of another configuration file that was loaded from the
 * boot medium. STATUS_NOT_FOUND: neither; logged. */
must_check enum status vm_life_create_by_name(const char *name);
/** vm_life_autostart() - all sections of the configuration that want it: created first, then started. */
void vm_life_autostart(void);

/** vm_life_destroy() - stops the VM for good, whatever its on_... say, and gives everything back; in steps, by vm_life_work(). */
void vm_life_destroy(struct vm *vm);
/** vm_life_reset() - as the reset button: its vCPUs stop, its devices are reset, its memory is scrubbed, its guest loaded anew. */
void vm_life_reset(struct vm *vm);
/** vm_life_shutdown(), vm_life_reboot() - asks the guest by its ACPI power button; @reboot: it is started again when it powered off. */
void vm_life_shutdown(struct vm *vm, bool reboot);
void vm_life_pause(struct vm *vm);
void vm_life_unpause(struct vm *vm);

/**
 * vm_life_work() - announces VMs that stopped (`vm NAME: stopped (WHY)`, below the guest's last words), carries out their
 * on_..., and goes on with what was begun, a bounded piece at a time.
 * Return: whether it wants to be called again at once.
 */
bool vm_life_work(void);

/** vm_life_count_alive() - VMs that run, are paused, or will be restarted. */
uint32_t vm_life_count_alive(void);

/** vm_life_config() - what vm_life_init() was given. */
const struct config *vm_life_config(void);
/** vm_life_creatable() - names that vm_life_create_by_name() knows and that do not live, in turn; NULL behind the last. */
const char *vm_life_creatable(uint32_t index);

/* How a VM of the configuration ended that does not exist any more: for `list`. NULL: never started, or it exists. */
const char *vm_life_last_end(const struct vm_config *config);

/** vm_life_first_entry_ticks() - TSC ticks from the loader's leaving the firmware to @vm's first entry; 0 before it. */
uint64_t vm_life_first_entry_ticks(const struct vm *vm);
