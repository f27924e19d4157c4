/*
 * The machine's I/O APICs: every input is masked until someone routes it. Intel "82093AA I/O Advanced
 * Programmable Interrupt Controller", "Functional Description".
 */
#pragma once

#include "lib/status.h"
#include "lib/types.h"

#define IOAPIC_MAX 16u
#define IOAPIC_NO_ENTRY 0xffffu

/**
 * ioapic_add() - maps an I/O APIC, masks all its inputs; boot only.
 * @id: the firmware's number, for messages. @address: of its registers. @gsi_base: global system interrupt of its input 0.
 * Return: STATUS_OK; STATUS_NO_MEMORY (too many, or the registers cannot be mapped); STATUS_EXISTS (inputs overlap
 *         another one's); STATUS_IO (nothing there). The log says which.
 */
must_check enum status ioapic_add(uint32_t id, hpa_t address, uint32_t gsi_base);

/**
 * ioapic_route() - @gsi becomes @vector on the CPU with @apic_id, and is unmasked. @level: level-triggered, else edge;
 * @active_low: polarity.
 * Return: STATUS_OK; STATUS_NOT_FOUND (no such input); STATUS_OUT_OF_RANGE (vector below 16, or an APIC id above 254, which
 *         an entry without interrupt remapping cannot name); what the remapper says. On errors the input is masked.
 */
must_check enum status ioapic_route(uint32_t gsi, uint8_t vector, uint32_t apic_id, bool level, bool active_low);

/** ioapic_mask() / ioapic_unmask() - a routed input. STATUS_NOT_FOUND: no such input. */
enum status ioapic_mask(uint32_t gsi);
enum status ioapic_unmask(uint32_t gsi);

/** ioapic_read_entry() - the raw redirection entry of @gsi, for the shell. STATUS_NOT_FOUND: no such input. */
must_check enum status ioapic_read_entry(uint32_t gsi, uint64_t *entry);
/** ioapic_input_count() - of all I/O APICs. */
uint32_t ioapic_input_count(void);

/**
 * An IOMMU's remapping of an input: to @vector on the CPU with @apic_id. @io_apic: its id. @index: of the entry in the IOMMU's
 * table; in: the one that the input has, or IOAPIC_NO_ENTRY; out: the one to be used, below 32768.
 */
typedef enum status (*ioapic_remapper)(uint32_t io_apic, uint8_t vector, uint32_t apic_id, bool level, uint16_t *index);

/**
 * ioapic_remap_all() - from now on all inputs go through @remapper: those that are routed get entries, are masked while
 * @enable switches remapping on, and work again; routes made later follow. Boot, interrupts off, once.
 * Return: STATUS_OK; what @remapper said (nothing changed) or @enable (the inputs stay as they were).
 */
must_check enum status ioapic_remap_all(ioapic_remapper remapper, enum status (*enable)(void));
