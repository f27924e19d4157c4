/*
 * Root and context tables: which domain the requests of a source go to. What has no entry is blocked. Under the lock of
 * iommu.c; nothing here invalidates. VT-d Specification, "Root Entry", "Context Entry".
 */
#pragma once

#include "arch/x86/mm/page_table.h"
#include "drivers/iommu/vtd_unit.h"
#include "lib/status.h"
#include "lib/types.h"

/** vtd_context_start() - a root table that blocks everything; the unit does not know it yet. STATUS_NO_MEMORY. */
must_check enum status vtd_context_start(struct vtd_unit *unit);
/** vtd_context_prepare() - makes room for the entry of @requester, so that writing it cannot fail. STATUS_NO_MEMORY. */
must_check enum status vtd_context_prepare(struct vtd_unit *unit, uint16_t requester);

/** vtd_context_set() - @requester, prepared, is translated by @table as @domain. */
void vtd_context_set(struct vtd_unit *unit, uint16_t requester, const struct page_table *table, uint16_t domain,
		     bool ats);
/**
 * vtd_context_block() - @requester reaches nothing; @silent: and no fault is recorded (if there is room for the entry).
 */
void vtd_context_block(struct vtd_unit *unit, uint16_t requester, bool silent);
/** vtd_context_get() - whether @requester reaches something: the root of its table and its domain. */
must_check bool vtd_context_get(const struct vtd_unit *unit, uint16_t requester, hpa_t *table, uint16_t *domain);
/** vtd_context_pages() - calls @visit for the root table and all context tables. */
void vtd_context_pages(const struct vtd_unit *unit, void (*visit)(void *context, hpa_t page), void *context);
