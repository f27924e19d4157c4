/*
 * Where physical memory appears in the hypervisor's address space. All RAM is mapped writable and not executable at
 * PHYSMAP_BASE + hpa (write-back); device memory is mapped uncached by host_paging_map_device() at the same place.
 */
#pragma once

#include "lib/types.h"

#define PHYSMAP_BASE 0xffff800000000000ull
#define PHYSMAP_SIZE (64ull << 40) /* 64 TiB: 46 address bits */
#define HYPERVISOR_VIRTUAL_BASE 0xffffffff80000000ull

/** physmap_pointer() - @address as a pointer; the page is RAM, or a device that was mapped. */
static always_inline void *physmap_pointer(hpa_t address)
{
	return (void *)(uintptr_t)(PHYSMAP_BASE + address.value);
}

/** physmap_address() - the physical address of a pointer that came from physmap_pointer(). */
static always_inline hpa_t physmap_address(const void *pointer)
{
	return hpa((uint64_t)(uintptr_t)pointer - PHYSMAP_BASE);
}
