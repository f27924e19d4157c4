/*
 * Local APIC (both modes), I/O APIC, 8259 pair and 8254 for test guests.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define LOCAL_APIC 0xfee00000ul
#define IO_APIC 0xfec00000ul
#define IO_APIC_SELECT IO_APIC
#define IO_APIC_WINDOW (IO_APIC + 0x10)

/* Offsets of the memory-mapped registers. */
#define APIC_ID 0x20u
#define APIC_VERSION 0x30u
#define APIC_TPR 0x80u
#define APIC_PPR 0xa0u
#define APIC_EOI 0xb0u
#define APIC_SVR 0xf0u
#define APIC_ISR 0x100u
#define APIC_IRR 0x200u
#define APIC_ESR 0x280u
#define APIC_ICR_LOW 0x300u
#define APIC_ICR_HIGH 0x310u
#define APIC_LVT_TIMER 0x320u
#define APIC_LVT_LINT0 0x350u
#define APIC_LVT_LINT1 0x360u
#define APIC_TIMER_INITIAL 0x380u
#define APIC_TIMER_CURRENT 0x390u
#define APIC_TIMER_DIVIDE 0x3e0u

#define APIC_DIVIDE_BY_1 0xbu
#define LVT_MASKED 0x10000u
#define LVT_EXTINT 0x700u
#define LVT_TIMER_PERIODIC 0x20000u
#define LVT_TIMER_DEADLINE 0x40000u
#define MSR_APIC_BASE 0x1bu
#define MSR_TSC_DEADLINE 0x6e0u
#define MSR_X2APIC 0x800u

/** apic_enable() - turns the local APIC on in one of its modes; x2APIC only from xAPIC. LINT0 takes the 8259's interrupts. */
void apic_enable(bool x2apic);
uint32_t apic_read(uint32_t offset);
void apic_write(uint32_t offset, uint32_t value);
/** apic_send() - an interrupt command: @low as the manual lays it out, to APIC id @destination. */
void apic_send(uint32_t low, uint32_t destination);
void apic_end_of_interrupt(void);

uint32_t io_apic_read(uint8_t index);
void io_apic_write(uint8_t index, uint32_t value);
void io_apic_route(unsigned pin, uint64_t entry);

/** pic_init() - vectors @base to @base + 15, all lines masked but those of @open. */
void pic_init(uint8_t base, uint16_t open);
/** pit_start() - channel 0 as a rate generator of @divider; 0 stops it for good. */
void pit_start(uint16_t divider);

/** tsc_hertz() - the frequency as CPUID tells it. */
uint64_t tsc_hertz(void);
