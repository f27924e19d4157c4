/*
 * What a DMA-remapping unit can, read once. VT-d Specification, "Capability Register", "Extended Capability Register".
 */
#pragma once

#include "lib/types.h"

#define VTD_LEVELS_MIN 3u
#define VTD_LEVELS_MAX 5u

struct vtd_capabilities {
	uint64_t raw, raw_extended;
	uint32_t domain_count;
	uint32_t width;            /* [bits] of the addresses that devices may use */
	uint32_t level_mask;       /* BIT(3), BIT(4), BIT(5): second-stage tables of so many levels */
	uint32_t fault_records, fault_offset; /* offset [bytes] of the first one */
	uint32_t iotlb_offset;     /* of the invalidate-address register [bytes] */
	uint32_t page_mask_limit;  /* an invalidation of pages covers up to 2^this of them */
	bool page_2m, page_1g, coherent, snoop_control, caching_mode, write_buffer_flush, page_selective;
	bool drain_reads, drain_writes, protected_low, protected_high;
	bool queued_invalidation, device_tlb, device_throttle, interrupt_remapping, extended_interrupts,
		posted_interrupts;
	uint64_t register_bytes;   /* that must be mapped to reach all of the above */
};

/**
 * vtd_capabilities_decode() - @capability, @extended: the registers' values; anything may come.
 * Return: NULL; or, if the unit cannot be used, why (static text).
 */
must_check const char *vtd_capabilities_decode(uint64_t capability, uint64_t extended,
					       struct vtd_capabilities *capabilities);

/* A row for people: what it is called and, if it is missing, what that costs. */
struct vtd_capability_row { const char *name; bool present; const char *cost; };
#define VTD_CAPABILITY_ROWS 12u
/** vtd_capabilities_row() - row @index < VTD_CAPABILITY_ROWS. */
struct vtd_capability_row vtd_capabilities_row(const struct vtd_capabilities *capabilities, unsigned index);
