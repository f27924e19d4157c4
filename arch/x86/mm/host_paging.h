/*
 * The hypervisor's own address space: its image (no page both writable and executable), all RAM and the devices in the
 * physmap. One set of tables for all CPUs.
 */
#pragma once

#include "boot/boot_info.h"
#include "lib/status.h"
#include "lib/types.h"

/**
 * host_memory_init() - gives all usable RAM to the page pool and moves this CPU to the hypervisor's own page tables.
 * @info: checked; names RAM that the loader's tables map below 4 GiB.
 * Context: boot processor, once, before any page is allocated.
 * Return: STATUS_OK; STATUS_UNSUPPORTED (the CPU has no NX), STATUS_NO_MEMORY: the log says why; the boot cannot go on.
 */
must_check enum status host_memory_init(const struct boot_info *info);

/** host_paging_init() - builds the tables from pool pages below 4 GiB. Part of host_memory_init(); same results. */
must_check enum status host_paging_init(const struct boot_info *info);

/**
 * host_paging_activate() - this CPU uses the tables from now on, with NX, WP and global pages, and SMEP, SMAP and UMIP
 * where it has them; loads the PAT with write-combining as entry 1. Every CPU, once, interrupts off.
 */
void host_paging_activate(void);

/** host_paging_root() - what CR3 holds; lies below 4 GiB. */
hpa_t host_paging_root(void);

/**
 * host_paging_map_device() - device registers [@address, @address + @length) (any alignment), uncached or write-combining,
 * readable and writable. Mapping the same pages again is allowed and changes nothing. Any CPU, interrupts off.
 * Return: pointer to @address, which stays valid for ever; NULL (logged): no memory, out of range, or it is RAM.
 */
must_check void *host_paging_map_device(hpa_t address, uint64_t length, bool write_combining);

/**
 * host_paging_map_reserved() - firmware's tables outside RAM regions, read-only and write-back; pages that are mapped
 * already stay as they are.
 * Return: pointer to @address, or NULL (logged): no memory, out of range.
 */
must_check const void *host_paging_map_reserved(hpa_t address, uint64_t length);

/**
 * host_paging_map_identity() - one page of code executable at its physical address, where a starting processor turns
 * paging on; not writable there (the physmap's view is). host_paging_unmap_identity() takes it away.
 */
must_check enum status host_paging_map_identity(hpa_t page);
void host_paging_unmap_identity(hpa_t page);

/**
 * host_paging_unmap_guard() - takes the page at @page, a pointer into the physmap, out of the address space, so that a stack
 * that grows into it faults. The page belongs to the caller and must not be given back to the pool.
 * Return: STATUS_OK; STATUS_NO_MEMORY (splitting the large page around it needed a table).
 */
must_check enum status host_paging_unmap_guard(const void *page);
