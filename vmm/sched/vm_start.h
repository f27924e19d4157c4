/*
 * The life of a VM as the user sees it: started from its section of the configuration, announced when it stops.
 */
#pragma once

#include "boot/boot_info.h"
#include "lib/status.h"
#include "vmm/config.h"

struct vm;

/** vm_start_init() - what VMs are started with; both lent for ever. @cpus: bit per CPU index that may run vCPUs, not 0. */
void vm_start_init(const struct boot_info *info, uint64_t cpus);

/**
 * vm_start_prepare() - creates the VM of @config and loads its guest.
 * Context: boot processor, interrupts off, no lock held.
 * Return: STATUS_OK and *@vm; else nothing is left behind and one line in the log says why.
 */
must_check enum status vm_start_prepare(const struct vm_config *config, struct vm **vm);
/** vm_start_run() - lets a prepared VM run; logs `vm NAME: started`. Same context. */
void vm_start_run(struct vm *vm);

/**
 * vm_start_announce_stopped() - logs `vm NAME: stopped (WHY)`, below the guest's last words, for each VM that came to its
 * end since the last call.
 * Return: whether one was announced.
 */
bool vm_start_announce_stopped(void);

/** vm_start_first_entry_ticks() - TSC ticks from the loader's leaving the firmware to @vm's first entry; 0 before it. */
uint64_t vm_start_first_entry_ticks(const struct vm *vm);

/** vm_start_any_running() - a VM was started and has not been announced as stopped. */
bool vm_start_any_running(void);
