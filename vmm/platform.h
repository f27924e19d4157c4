/*
 * The ports and numbers of the PC that guests see, as far as more than one module must know them: the device models
 * that answer there and the ACPI tables that tell the guest about them.
 */
#pragma once

#include "vmm/irq_routing.h"

/* COM1, 16550A. */
#define PLATFORM_UART_PORT 0x3f8u
#define PLATFORM_UART_LINE IRQ_LINE_COM1

/* MC146818 clock. The century's register is named in the FADT (field CENTURY). */
#define PLATFORM_RTC_PORT 0x70u
#define PLATFORM_RTC_LINE IRQ_LINE_RTC
#define PLATFORM_RTC_CENTURY_INDEX 0x32u

/* 8254 and the port with channel 2's gate and output. */
#define PLATFORM_PIT_PORT 0x40u
#define PLATFORM_PIT_LINE IRQ_LINE_TIMER
#define PLATFORM_SYSTEM_CONTROL_PORT 0x61u
#define PLATFORM_PIT_HZ 1193182u

/* ACPI fixed hardware, all in the first block of each kind; ACPI mode is always on, so the FADT's SMI_CMD is 0. */
#define PLATFORM_PM1A_EVENT_PORT 0x600u
#define PLATFORM_PM1A_EVENT_LENGTH 4u
#define PLATFORM_PM1A_CONTROL_PORT 0x604u
#define PLATFORM_PM1A_CONTROL_LENGTH 2u
#define PLATFORM_PM_TIMER_PORT 0x608u
#define PLATFORM_PM_TIMER_LENGTH 4u /* 32 bits wide: FADT flag TMR_VAL_EXT */
#define PLATFORM_PM_TIMER_HZ 3579545u
#define PLATFORM_SCI_LINE IRQ_LINE_SCI
#define PLATFORM_SLEEP_TYPE_S5 5u /* SLP_TYPa in the DSDT's \_S5; SLP_TYPb is 0 */

/* Reset register of the FADT: an 8-bit port; flag RESET_REG_SUP. */
#define PLATFORM_RESET_PORT 0xcf9u
#define PLATFORM_RESET_VALUE 0x06u

/* Keyboard controller without devices: the FADT's IAPC_BOOT_ARCH says that there is none, so that nobody waits for it. */
#define PLATFORM_I8042_DATA_PORT 0x60u
#define PLATFORM_I8042_COMMAND_PORT 0x64u

/* PCI configuration mechanism 1; one bus. */
#define PLATFORM_PCI_ADDRESS_PORT 0xcf8u
#define PLATFORM_PCI_DATA_PORT 0xcfcu
#define PLATFORM_PCI_WINDOW_BASE 0xc0000000u /* memory for BARs, up to the I/O APIC */
#define PLATFORM_PCI_WINDOW_END 0xfec00000u

/* INTA# of device n of that bus, as \_SB.PCI0._PRT says. */
#define PLATFORM_PCI_LINE_FIRST 16u
#define PLATFORM_PCI_LINE(device) (PLATFORM_PCI_LINE_FIRST + (device) % 8)

/* QEMU's isa-debug-exit, where the configuration asks for it. */
#define PLATFORM_TEST_DEVICE_PORT 0xf4u
