/*
 * Interrupt remapping for the host itself: on in all units or in none, with the I/O APICs' inputs going through
 * entries. VT-d Specification, "Interrupt Requests in Remappable Format", "I/OxAPIC Programming".
 */
#pragma once

/**
 * vtd_host_interrupts_remap() - switches remapping on in all units, with the inputs that are routed now; later ones
 * follow by ioapic_route(). Boot, interrupts off, once; translation and queues are on.
 * Return: NULL; or why interrupts are not isolated (text that stays). The host's own interrupts work in both cases,
 *         unless a unit stopped half-way, which the log says.
 */
const char *vtd_host_interrupts_remap(void);
