/*
 * A unit's interrupt-remapping table: each entry is for one source, which the unit verifies. Under the lock of iommu.c.
 * VT-d Specification, "Interrupt Remapping".
 */
#pragma once

#include "drivers/iommu/vtd_unit.h"
#include "lib/status.h"
#include "lib/types.h"

#define VTD_INTERRUPT_PAGES (VTD_INTERRUPT_ENTRIES * 16u / PAGE_SIZE) /* of a table */

/**
 * vtd_interrupt_start() - gives the unit an empty table; remapping stays off. @x2apic: the host's local APICs are in
 * x2APIC mode. STATUS_NO_MEMORY, STATUS_TIMEOUT.
 */
must_check enum status vtd_interrupt_start(struct vtd_unit *unit, bool x2apic);
/** vtd_interrupt_enable() - remapping on; from now on only what has an entry gets through. STATUS_TIMEOUT. */
must_check enum status vtd_interrupt_enable(struct vtd_unit *unit);
/**
 * vtd_interrupt_disable() - remapping off, whoever turned it on: interrupts name the CPU themselves. STATUS_TIMEOUT.
 */
must_check enum status vtd_interrupt_disable(struct vtd_unit *unit);

/** vtd_interrupt_allocate() - an entry that blocks. STATUS_NO_MEMORY. vtd_interrupt_free() takes a blocked one back. */
must_check enum status vtd_interrupt_allocate(struct vtd_unit *unit, uint16_t *index);
void vtd_interrupt_free(struct vtd_unit *unit, uint16_t index);

struct vtd_interrupt {
	uint16_t requester;
	uint8_t vector;
	bool level, posted;
	uint32_t apic_id;  /* not posted */
	hpa_t descriptor;  /* posted */
};

/**
 * vtd_interrupt_write() - entry @index becomes @interrupt (NULL: blocks), in force when it returns; until then the old
 * one is. STATUS_OUT_OF_RANGE (the APIC id; nothing changed); STATUS_UNSUPPORTED (posted); STATUS_TIMEOUT, STATUS_IO.
 */
must_check enum status vtd_interrupt_write(struct vtd_unit *unit, uint16_t index,
					   const struct vtd_interrupt *interrupt);
/** vtd_interrupt_read() - what entry @index lets through; false: nothing. */
must_check bool vtd_interrupt_read(const struct vtd_unit *unit, uint16_t index, struct vtd_interrupt *interrupt);
