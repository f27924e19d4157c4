/*
 * Invalidation: what a unit has cached of tables in memory is dropped, and everything under way by it has ended, when
 * one of these returns STATUS_OK. By the queue, or by registers where a unit has none. Under the lock of iommu.c;
 * STATUS_TIMEOUT and STATUS_IO: the unit did not answer, or refused; its caches may hold anything. VT-d Specification,
 * "Caching Translation Information", "Invalidation of Translation Caches".
 */
#pragma once

#include "drivers/iommu/vtd_unit.h"
#include "lib/status.h"
#include "lib/types.h"

#define VTD_QUEUE_PAGES 2u /* the descriptors, and what wait descriptors write */

/** vtd_queue_start() - gives the unit a queue and turns it on, if it can have one. STATUS_NO_MEMORY, STATUS_TIMEOUT. */
must_check enum status vtd_queue_start(struct vtd_unit *unit);

/** vtd_invalidate_all() - context entries and translations of all domains. */
must_check enum status vtd_invalidate_all(struct vtd_unit *unit);
/**
 * vtd_invalidate_range() - translations of [@input, @input + @length), 4 KiB aligned, in a domain; of more where that
 * is all that the unit can.
 */
must_check enum status vtd_invalidate_range(struct vtd_unit *unit, uint16_t domain, uint64_t input, uint64_t length);
/** vtd_invalidate_interrupt() / _interrupts() - one interrupt entry, all. Only with a queue. */
must_check enum status vtd_invalidate_interrupt(struct vtd_unit *unit, uint16_t index);
must_check enum status vtd_invalidate_interrupts(struct vtd_unit *unit);

struct vtd_device {
	uint16_t requester;
	uint16_t physical; /* the function whose queue it is: its own, or that of which it is a virtual function */
	unsigned depth;    /* of that queue, 1..32 */
};
/**
 * vtd_invalidate_device() - what the device keeps itself of a range, or of more. Only with a queue. STATUS_TIMEOUT: the
 * device may be at fault as well as the unit.
 */
must_check enum status vtd_invalidate_device(struct vtd_unit *unit, const struct vtd_device *device, uint64_t input,
					     uint64_t length);
