/* One DMA-remapping unit: its registers and what it was given. VT-d Specification, "Register Descriptions". */
#pragma once

#include "arch/x86/acpi/acpi_dmar.h"
#include "arch/x86/mmio.h"
#include "drivers/iommu/vtd_capabilities.h"
#include "drivers/iommu/vtd_registers.h"
#include "lib/status.h"
#include "lib/types.h"

#define VTD_MAX_UNITS ACPI_MAX_DRHDS
#define VTD_INTERRUPT_ENTRIES 1024u /* of each unit */

/* All changes under the lock of iommu.c. */
struct vtd_unit {
	const struct acpi_drhd *description; /* segment, scopes */
	uint16_t index;
	volatile uint8_t *registers;
	struct vtd_capabilities capabilities;
	uint64_t *root_table;      /* 256 entries of two quadwords, one for each bus */
	uint64_t *queue;           /* of descriptors; NULL: invalidation by registers */
	volatile uint32_t *queue_status; /* where a wait descriptor says that it was reached */
	uint32_t queue_tail, queue_sequence;
	uint64_t *interrupt_table; /* NULL: no remapping */
	uint64_t interrupts_used[VTD_INTERRUPT_ENTRIES / 64];
	bool translating, remapping, extended_interrupts;
	uint32_t timeouts, queue_errors, next_record; /* where the next fault is expected */
	uint64_t faults, overflows;
};

static inline uint32_t vtd_read32(const struct vtd_unit *unit, uint32_t offset)
{
	return mmio_read32(unit->registers + offset);
}
static inline uint64_t vtd_read64(const struct vtd_unit *unit, uint32_t offset)
{
	return mmio_read64(unit->registers + offset);
}
static inline void vtd_write32(const struct vtd_unit *unit, uint32_t offset, uint32_t value)
{
	mmio_write32(unit->registers + offset, value);
}
static inline void vtd_write64(const struct vtd_unit *unit, uint32_t offset, uint64_t value)
{
	mmio_write64(unit->registers + offset, value);
}

/** vtd_unit_probe() - maps and reads a unit that firmware describes; changes nothing in it. @unit is zeroed memory.
 * Return: NULL; or why it cannot be used. */
must_check const char *vtd_unit_probe(struct vtd_unit *unit, const struct acpi_drhd *description);

/**
 * vtd_command() - sets or clears one of the global command's lasting bits, or triggers an event (@on). STATUS_TIMEOUT.
 */
must_check enum status vtd_command(struct vtd_unit *unit, uint64_t bit, bool on);
/**
 * vtd_wait32() / vtd_wait64() - until the register's bits @mask are @value, for VTD_WAIT_NANOSECONDS at most.
 * STATUS_TIMEOUT.
 */
#define VTD_WAIT_NANOSECONDS 100000000ull
must_check enum status vtd_wait32(struct vtd_unit *unit, uint32_t offset, uint64_t mask, uint64_t value);
must_check enum status vtd_wait64(struct vtd_unit *unit, uint32_t offset, uint64_t mask, uint64_t value);

/** vtd_publish() - the unit sees what the CPU wrote to [@start, @start + @length) of a table. */
void vtd_publish(const struct vtd_unit *unit, const void *start, size_t length);
/** vtd_flush_write_buffer() - where a unit has one between memory and itself. */
must_check enum status vtd_flush_write_buffer(struct vtd_unit *unit);
