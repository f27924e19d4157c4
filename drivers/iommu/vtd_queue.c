#include "drivers/iommu/vtd_queue.h"

#include "arch/x86/clock.h"
#include "arch/x86/insn.h"
#include "arch/x86/log.h"
#include "arch/x86/mm/page_pool.h"
#include "arch/x86/physmap.h"

#define QUEUE_ENTRIES 256u /* one page */
#define ENTRY_SIZE 16u
#define STATUS_PAGE_OFFSET PAGE_SIZE /* the status stands in the page behind the queue */

struct descriptor { uint64_t low, high; };

static struct log_limit limit; /* a device can cause timeouts */

/* ---- the queue ---- */

/* A queue of firmware's should be empty before it is turned off; one that stands still is turned off all the same. */
static enum status queue_stop(struct vtd_unit *unit)
{
	uint64_t tail = vtd_read64(unit, VTD_QUEUE_TAIL);

	if (vtd_wait64(unit, VTD_QUEUE_HEAD, ~0ull, tail) != STATUS_OK)
		log_warning("IOMMU %u: firmware left invalidations in its queue that do not end", unit->index);
	return vtd_command(unit, VTD_QUEUED_INVALIDATION, false);
}

enum status vtd_queue_start(struct vtd_unit *unit)
{
	uint8_t *pages;
	enum status status = STATUS_OK;

	if (vtd_read32(unit, VTD_GLOBAL_STATUS) & VTD_QUEUED_INVALIDATION)
		status = queue_stop(unit);
	if (status != STATUS_OK || !unit->capabilities.queued_invalidation)
		return status;
	pages = page_pool_allocate_contiguous(VTD_QUEUE_PAGES);
	if (pages == NULL)
		return STATUS_NO_MEMORY;
	unit->queue = (uint64_t *)(void *)pages;
	unit->queue_status = (volatile uint32_t *)(void *)(pages + STATUS_PAGE_OFFSET);
	unit->queue_tail = 0;
	vtd_write32(unit, VTD_FAULT_STATUS, (uint32_t)VTD_QUEUE_ERRORS);
	vtd_write64(unit, VTD_QUEUE_TAIL, 0);
	vtd_write64(unit, VTD_QUEUE_ADDRESS, physmap_address(pages).value);
	/* After a timeout the pages stay the unit's, which may read them later. */
	return vtd_command(unit, VTD_QUEUED_INVALIDATION, true);
}

static void queue_append(struct vtd_unit *unit, struct descriptor descriptor)
{
	uint64_t *entry = &unit->queue[(size_t)unit->queue_tail * 2];

	entry[0] = descriptor.low;
	entry[1] = descriptor.high;
	vtd_publish(unit, entry, ENTRY_SIZE);
	unit->queue_tail = (unit->queue_tail + 1) % QUEUE_ENTRIES;
}

/* A descriptor that the unit refuses stops the queue for good: it is replaced by one that no unit refuses. */
static void queue_skip_bad(struct vtd_unit *unit)
{
	uint64_t head = bits_get(vtd_read64(unit, VTD_QUEUE_HEAD), 18, 4) % QUEUE_ENTRIES;
	uint64_t *entry = &unit->queue[head * 2];

	log_error("IOMMU %u: refuses an invalidation: %#llx %#llx", unit->index, (unsigned long long)entry[0],
		  (unsigned long long)entry[1]);
	entry[0] = VTD_DESCRIPTOR_IOTLB | VTD_DESCRIPTOR_GLOBAL;
	entry[1] = 0;
	vtd_publish(unit, entry, ENTRY_SIZE);
}

/*
 * Clears errors so that the queue goes on. A device that answers what nobody asked it (completion error) costs nothing.
 * One that does not answer costs all that waited, whoever asked for it: STATUS_BUSY.
 */
static enum status queue_check_errors(struct vtd_unit *unit)
{
	uint32_t errors = vtd_read32(unit, VTD_FAULT_STATUS) & VTD_QUEUE_ERRORS;

	if (errors == 0)
		return STATUS_OK;
	unit->queue_errors++;
	if (errors & VTD_QUEUE_ERROR)
		queue_skip_bad(unit);
	vtd_write32(unit, VTD_FAULT_STATUS, errors);
	if (errors & VTD_QUEUE_ERROR)
		return STATUS_IO;
	return errors & VTD_TIMEOUT_ERROR ? STATUS_BUSY : STATUS_OK;
}

static enum status queue_wait(struct vtd_unit *unit)
{
	uint64_t deadline = clock_now() + clock_ticks_from_nanoseconds(VTD_WAIT_NANOSECONDS);

	for (bool over = false;; over = clock_now() > deadline) {
		enum status status;

		if (*unit->queue_status == unit->queue_sequence)
			return STATUS_OK;
		status = queue_check_errors(unit);
		if (status != STATUS_OK)
			return status;
		if (over)
			break;
		insn_pause();
	}
	unit->timeouts++;
	return STATUS_TIMEOUT;
}

static uint32_t queue_room(const struct vtd_unit *unit)
{
	uint64_t head = bits_get(vtd_read64(unit, VTD_QUEUE_HEAD), 18, 4);

	return (uint32_t)(head + QUEUE_ENTRIES - unit->queue_tail - 1) % QUEUE_ENTRIES;
}

/* After timeouts entries may be left; the unit may not be overtaken by its own tail. */
static enum status submit_once(struct vtd_unit *unit, const struct descriptor *descriptors, unsigned count)
{
	if (queue_room(unit) <= count) {
		unit->timeouts++;
		return STATUS_TIMEOUT;
	}
	for (unsigned i = 0; i < count; i++)
		queue_append(unit, descriptors[i]);
	unit->queue_sequence++;
	queue_append(unit, (struct descriptor){
		VTD_DESCRIPTOR_WAIT | VTD_DESCRIPTOR_STATUS_WRITE | VTD_DESCRIPTOR_FENCE |
			(uint64_t)unit->queue_sequence << VTD_DESCRIPTOR_STATUS_SHIFT,
		physmap_address((const void *)(uintptr_t)unit->queue_status).value});
	vtd_write64(unit, VTD_QUEUE_TAIL, (uint64_t)unit->queue_tail * ENTRY_SIZE);
	return queue_wait(unit);
}

/*
 * Again when it was lost because some device did not answer, an earlier one perhaps; when that repeats, it is this one.
 */
static enum status submit(struct vtd_unit *unit, const struct descriptor *descriptors, unsigned count)
{
	enum status status = submit_once(unit, descriptors, count);

	if (status == STATUS_BUSY)
		status = submit_once(unit, descriptors, count);
	if (status == STATUS_BUSY)
		status = STATUS_TIMEOUT;
	if (status != STATUS_OK && log_limit_pass(&limit))
		log_error("IOMMU %u: an invalidation did not end: %s", unit->index, status_name(status));
	return status;
}

/* ---- registers ---- */

static enum status register_contexts(struct vtd_unit *unit)
{
	vtd_write64(unit, VTD_CONTEXT_COMMAND, VTD_CONTEXT_INVALIDATE | VTD_CONTEXT_GLOBAL);
	return vtd_wait64(unit, VTD_CONTEXT_COMMAND, VTD_CONTEXT_INVALIDATE, 0);
}

static enum status register_iotlb(struct vtd_unit *unit, uint64_t granularity, uint16_t domain, uint64_t address)
{
	uint32_t offset = unit->capabilities.iotlb_offset;
	uint64_t command = VTD_IOTLB_INVALIDATE | granularity | (uint64_t)domain << VTD_IOTLB_DOMAIN_SHIFT |
			   (unit->capabilities.drain_reads ? VTD_IOTLB_DRAIN_READS : 0) |
			   (unit->capabilities.drain_writes ? VTD_IOTLB_DRAIN_WRITES : 0);

	if (granularity == VTD_IOTLB_PAGE)
		vtd_write64(unit, offset, address);
	vtd_write64(unit, offset + 8, command);
	return vtd_wait64(unit, offset + 8, VTD_IOTLB_INVALIDATE, 0);
}

/* ---- what callers ask for ---- */

static uint64_t drain(const struct vtd_unit *unit)
{
	return (unit->capabilities.drain_reads ? VTD_DESCRIPTOR_DRAIN_READS : 0) |
	       (unit->capabilities.drain_writes ? VTD_DESCRIPTOR_DRAIN_WRITES : 0);
}

enum status vtd_invalidate_all(struct vtd_unit *unit)
{
	const struct descriptor everything[] = {
		{VTD_DESCRIPTOR_CONTEXT | VTD_DESCRIPTOR_GLOBAL, 0},
		{VTD_DESCRIPTOR_IOTLB | VTD_DESCRIPTOR_GLOBAL | drain(unit), 0},
	};
	enum status status = vtd_flush_write_buffer(unit);

	if (status != STATUS_OK)
		return status;
	if (unit->queue != NULL)
		return submit(unit, everything, array_count(everything));
	status = register_contexts(unit);
	return status == STATUS_OK ? register_iotlb(unit, VTD_IOTLB_GLOBAL, 0, 0) : status;
}

/* The smallest naturally aligned power of two of pages that holds the range: its logarithm. */
static unsigned covering_mask(uint64_t input, uint64_t length)
{
	uint64_t differing = (input ^ (input + length - 1)) >> PAGE_SHIFT;

	return differing == 0 ? 0 : bits_highest(differing) + 1;
}

enum status vtd_invalidate_range(struct vtd_unit *unit, uint16_t domain, uint64_t input, uint64_t length)
{
	unsigned mask = covering_mask(input, length);
	bool pages = unit->capabilities.page_selective && mask <= unit->capabilities.page_mask_limit;
	uint64_t address = pages ? align_down(input, PAGE_SIZE << mask) | mask : 0;
	enum status status = vtd_flush_write_buffer(unit);
	struct descriptor descriptor = {
		VTD_DESCRIPTOR_IOTLB | (pages ? VTD_DESCRIPTOR_PAGE : VTD_DESCRIPTOR_DOMAIN) | drain(unit) |
			(uint64_t)domain << VTD_DESCRIPTOR_DOMAIN_SHIFT,
		address};

	if (status != STATUS_OK)
		return status;
	if (unit->queue != NULL)
		return submit(unit, &descriptor, 1);
	return register_iotlb(unit, pages ? VTD_IOTLB_PAGE : VTD_IOTLB_DOMAIN, domain, address);
}

static enum status queue_one(struct vtd_unit *unit, uint64_t low, uint64_t high)
{
	const struct descriptor descriptor = {low, high};
	enum status status = vtd_flush_write_buffer(unit);

	if (unit->queue == NULL)
		return STATUS_UNSUPPORTED;
	return status == STATUS_OK ? submit(unit, &descriptor, 1) : status;
}

enum status vtd_invalidate_interrupt(struct vtd_unit *unit, uint16_t index)
{
	uint64_t low = VTD_DESCRIPTOR_INTERRUPT | VTD_DESCRIPTOR_INDEX | (uint64_t)index << VTD_DESCRIPTOR_INDEX_SHIFT;

	return queue_one(unit, low, 0);
}

enum status vtd_invalidate_interrupts(struct vtd_unit *unit)
{
	return queue_one(unit, VTD_DESCRIPTOR_INTERRUPT, 0);
}

/* The lowest clear bit of the address from bit 12 on tells the size, where bit 0 says that it is more than one page. */
static uint64_t device_range(uint64_t input, unsigned mask)
{
	return mask == 0 ? input : align_down(input, PAGE_SIZE << mask) | (BIT(mask - 1) - 1) << PAGE_SHIFT | 1;
}

enum status vtd_invalidate_device(struct vtd_unit *unit, const struct vtd_device *device, uint64_t input,
				  uint64_t length)
{
	uint64_t low = VTD_DESCRIPTOR_DEVICE | (uint64_t)(device->depth % 32) << VTD_DESCRIPTOR_DEPTH_SHIFT |
		       (uint64_t)device->requester << VTD_DESCRIPTOR_REQUESTER_SHIFT;

	/* So that the unit counts what waits in a queue, not what waits for each function that shares it. */
	if (unit->capabilities.device_throttle)
		low |= bits_get(device->physical, 3, 0) << VTD_DESCRIPTOR_PHYSICAL_SHIFT |
		       bits_get(device->physical, 15, 4) << VTD_DESCRIPTOR_PHYSICAL_HIGH_SHIFT;
	return queue_one(unit, low, device_range(input, covering_mask(input, length)));
}
