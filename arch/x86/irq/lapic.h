/*
 * The local APIC of the CPU that calls: by MMIO (xAPIC) or MSRs (x2APIC), chosen once for all CPUs. SDM Vol. 3A "Advanced
 * Programmable Interrupt Controller (APIC)", "Extended XAPIC (x2APIC)".
 */
#pragma once

#include "lib/status.h"
#include "lib/types.h"

#define LAPIC_BROADCAST_ID 0xffu /* of xAPIC: no CPU has it */

/**
 * lapic_init() - chooses the mode and turns the boot processor's local APIC on; once, before lapic_init_cpu() elsewhere.
 * @x2apic_opt_out: the firmware's DMAR table asks for xAPIC mode; not followed if x2APIC is on already.
 * Return: STATUS_OK; STATUS_UNSUPPORTED (no local APIC, or disabled for good); STATUS_NO_MEMORY (registers cannot be
 *         mapped). The log says which.
 */
must_check enum status lapic_init(bool x2apic_opt_out);

/** lapic_init_cpu() - the same mode on another CPU: enabled, all local interrupts but NMI masked, nothing in service. */
void lapic_init_cpu(void);

/** lapic_is_x2apic() - the mode chosen; APIC ids above 254 can be reached only then. */
bool lapic_is_x2apic(void);
/** lapic_id() - of the CPU that calls. */
uint32_t lapic_id(void);
/** lapic_end_of_interrupt() - for the interrupt in service. Hot path. */
void lapic_end_of_interrupt(void);

/**
 * lapic_send_ipi() / _nmi() / _init() / _startup() - to the CPU with @apic_id, edge-triggered. What this CPU wrote to
 * memory before is seen by the other one. @page: number of the 4 KiB page below 1 MiB where the CPU starts.
 * Return: STATUS_OK; STATUS_OUT_OF_RANGE (id above 254 in xAPIC mode); STATUS_TIMEOUT (not accepted; xAPIC only).
 */
enum status lapic_send_ipi(uint32_t apic_id, uint8_t vector);
enum status lapic_send_nmi(uint32_t apic_id);
enum status lapic_send_init(uint32_t apic_id);
enum status lapic_send_startup(uint32_t apic_id, uint8_t page);

/** lapic_error_count() - errors that the local APICs reported, all CPUs. */
uint64_t lapic_error_count(void);
