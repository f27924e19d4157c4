/* Registers of the local APIC by their xAPIC offsets; x2APIC MSRs are MSR_X2APIC_BASE + offset / 16. Private to irq/. */
#pragma once

#include "lib/bits.h"
#include "lib/types.h"

enum lapic_register {
	LAPIC_ID = 0x20,
	LAPIC_VERSION = 0x30,
	LAPIC_TASK_PRIORITY = 0x80,
	LAPIC_EOI = 0xb0,
	LAPIC_LOGICAL_DESTINATION = 0xd0,
	LAPIC_DESTINATION_FORMAT = 0xe0,
	LAPIC_SPURIOUS = 0xf0,
	LAPIC_IN_SERVICE = 0x100, /* 8 registers of 32 bits, 16 bytes apart */
	LAPIC_REQUEST = 0x200,    /* the same */
	LAPIC_ERROR_STATUS = 0x280,
	LAPIC_LVT_CMCI = 0x2f0,
	LAPIC_COMMAND = 0x300,
	LAPIC_COMMAND_HIGH = 0x310,
	LAPIC_LVT_TIMER = 0x320,
	LAPIC_LVT_THERMAL = 0x330,
	LAPIC_LVT_PERFORMANCE = 0x340,
	LAPIC_LVT_LINT0 = 0x350,
	LAPIC_LVT_LINT1 = 0x360,
	LAPIC_LVT_ERROR = 0x370,
	LAPIC_TIMER_INITIAL = 0x380,
	LAPIC_TIMER_CURRENT = 0x390,
	LAPIC_TIMER_DIVIDE = 0x3e0,
};

#define LAPIC_VERSION_MAX_LVT(version) ((uint32_t)bits_get((version), 23, 16))
#define LAPIC_SPURIOUS_ENABLE BIT(8)
#define LAPIC_LVT_MASKED BIT(16)
#define LAPIC_LVT_MODE_NMI (0x4u << 8)
#define LAPIC_LVT_TIMER_TSC_DEADLINE (0x2u << 17)
#define LAPIC_TIMER_DIVIDE_BY_1 0xbu

#define LAPIC_COMMAND_FIXED (0x0u << 8)
#define LAPIC_COMMAND_NMI (0x4u << 8)
#define LAPIC_COMMAND_INIT (0x5u << 8)
#define LAPIC_COMMAND_STARTUP (0x6u << 8)
#define LAPIC_COMMAND_PENDING BIT(12)
#define LAPIC_COMMAND_ASSERT BIT(14)

/** lapic_read() / lapic_write() - a 32-bit register of the CPU that calls, in the mode chosen by lapic_init(). */
uint32_t lapic_read(enum lapic_register offset);
void lapic_write(enum lapic_register offset, uint32_t value);
