/*
 * Whose a machine check is: the VM's whose guest was interrupted or whose memory is broken, if the processor can still be
 * trusted; else the machine's. SDM Vol. 3B "Machine-Check Architecture".
 */
#pragma once

#include "lib/types.h"

struct vm;

/** machine_check_blame_init() - machine checks that interrupt the hypervisor are looked at, too. Boot. */
void machine_check_blame_init(void);

/**
 * machine_check_blame() - stops the VM that was hit, and clears the error banks.
 * @running: the VM whose guest the machine check interrupted (its vCPU is loaded, no lock held); NULL: the hypervisor was.
 * Return: true: whoever was hit is stopped, if anybody, and this CPU can go on; false: nothing has changed and the CPU
 *         cannot be trusted any more, so the caller must panic.
 */
must_check bool machine_check_blame(struct vm *running);
