/* The reset control register at 0xcf9, which lies within PCI's configuration address register and is handed on by it. */
#pragma once

#include "lib/types.h"

struct vm;

#define RESET_CONTROL_SYSTEM 0x02u  /* a full reset rather than INIT */
#define RESET_CONTROL_CPU 0x04u     /* 0 to 1 resets */
#define RESET_CONTROL_POWER 0x08u   /* and cycles the power */
#define RESET_CONTROL_MASK 0x0eu

/** reset_control_write() - @control: the register's value, kept by the caller; device lock held. */
void reset_control_write(struct vm *vm, uint8_t *control, uint8_t value);
