/* Accesses to device registers in memory; the address is a host-virtual one (see physmap.h). */
#pragma once

#include "lib/types.h"

static always_inline uint8_t mmio_read8(const volatile void *address) { return *(const volatile uint8_t *)address; }
static always_inline uint16_t mmio_read16(const volatile void *address) { return *(const volatile uint16_t *)address; }
static always_inline uint32_t mmio_read32(const volatile void *address) { return *(const volatile uint32_t *)address; }
static always_inline uint64_t mmio_read64(const volatile void *address) { return *(const volatile uint64_t *)address; }
static always_inline void mmio_write8(volatile void *address, uint8_t value) { *(volatile uint8_t *)address = value; }
static always_inline void mmio_write16(volatile void *address, uint16_t value) { *(volatile uint16_t *)address = value; }
static always_inline void mmio_write32(volatile void *address, uint32_t value) { *(volatile uint32_t *)address = value; }
static always_inline void mmio_write64(volatile void *address, uint64_t value) { *(volatile uint64_t *)address = value; }
