/*
 * A VM's way from vm_create() into its guest and out of the scheduler again; private to this folder's vm_life*.c.
 * Context: as vm_life.h.
 */
#pragma once

#include "boot/boot_info.h"
#include "lib/status.h"

struct vm;

/** vm_launch_init() - where guests' files are; lent for ever. */
void vm_launch_init(const struct boot_info *info);
/**
 * vm_launch_prepare() - admits the vCPUs of a VM that is VM_CREATED to their CPUs and loads its guest.
 * Return: STATUS_OK; else one line in the log says why, and the VM is to be destroyed.
 */
must_check enum status vm_launch_prepare(struct vm *vm);
/** vm_launch_run() - lets a prepared VM run; logs `vm NAME: started`. */
void vm_launch_run(struct vm *vm);
/** vm_launch_leave() - no CPU knows the vCPUs of a VM that does not run any more. False: one does not answer; can be repeated. */
must_check bool vm_launch_leave(struct vm *vm);

/**
 * vm_life_finish() - destroys a VM that has stopped at once, instead of by pieces.
 * Return: false: it has not stopped, or vm_launch_leave() failed; it will be destroyed later then.
 */
must_check bool vm_life_finish(struct vm *vm);
/** vm_life_give_up() - destroys a VM that was never started. */
void vm_life_give_up(struct vm *vm);
