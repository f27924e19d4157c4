/*
 * The machine's I/O APICs: every input is masked until someone routes it. Intel "82093AA I/O Advanced
 * Programmable Interrupt Controller", "Functional Description".
 */
#pragma once

#include "lib/status.h"
#include "lib/types.h"

#define IOAPIC_MAX 16u

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
 *         an entry without interrupt remapping cannot name).
 */
must_check enum status ioapic_route(uint32_t gsi, uint8_t vector, uint32_t apic_id, bool level, bool active_low);

/** ioapic_mask() / ioapic_unmask() - a routed input. STATUS_NOT_FOUND: no such input. */
enum status ioapic_mask(uint32_t gsi);
enum status ioapic_unmask(uint32_t gsi);

/** ioapic_read_entry() - the raw redirection entry of @gsi, for the shell. STATUS_NOT_FOUND: no such input. */
must_check enum status ioapic_read_entry(uint32_t gsi, uint64_t *entry);
/** ioapic_input_count() - of all I/O APICs. */
uint32_t ioapic_input_count(void);
