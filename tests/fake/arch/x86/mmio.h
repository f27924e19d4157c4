/* Stands in for arch/x86/mmio.h in host builds: plain memory, or the device that fake_mmio_add() put there. */
#pragma once

#include "lib/types.h"

uint8_t mmio_read8(const volatile void *address);
uint16_t mmio_read16(const volatile void *address);
uint32_t mmio_read32(const volatile void *address);
uint64_t mmio_read64(const volatile void *address);
void mmio_write8(volatile void *address, uint8_t value);
void mmio_write16(volatile void *address, uint16_t value);
void mmio_write32(volatile void *address, uint32_t value);
void mmio_write64(volatile void *address, uint64_t value);
