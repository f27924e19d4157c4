#include "drivers/iommu/vtd_unit.h"

#include "arch/x86/clock.h"
#include "arch/x86/insn.h"
#include "arch/x86/mm/host_paging.h"
#include "arch/x86/mm/page_table.h"

const char *vtd_unit_probe(struct vtd_unit *unit, const struct acpi_drhd *description)
{
	const char *why;

	unit->description = description;
	unit->registers = host_paging_map_device(description->registers, PAGE_SIZE, false);
	if (unit->registers == NULL)
		return "its registers cannot be mapped";
	why = vtd_capabilities_decode(vtd_read64(unit, VTD_CAPABILITY), vtd_read64(unit, VTD_EXTENDED_CAPABILITY),
				      &unit->capabilities);
	if (why != NULL)
		return why;
	if (unit->capabilities.register_bytes > PAGE_SIZE &&
	    host_paging_map_device(description->registers, unit->capabilities.register_bytes, false) == NULL)
		return "its registers cannot be mapped";
	return NULL;
}

/* One more look after the deadline: whoever waits may have been stopped for long in between. */
static bool is_over(uint64_t deadline)
{
	insn_pause();
	return clock_now() > deadline;
}

static uint64_t deadline_from_now(void)
{
	return clock_now() + clock_ticks_from_nanoseconds(VTD_WAIT_NANOSECONDS);
}

enum status vtd_wait32(struct vtd_unit *unit, uint32_t offset, uint64_t mask, uint64_t value)
{
	uint64_t deadline = deadline_from_now();

	for (bool over = false;; over = is_over(deadline)) {
		if ((vtd_read32(unit, offset) & mask) == value)
			return STATUS_OK;
		if (over)
			break;
	}
	unit->timeouts++;
	return STATUS_TIMEOUT;
}

enum status vtd_wait64(struct vtd_unit *unit, uint32_t offset, uint64_t mask, uint64_t value)
{
	uint64_t deadline = deadline_from_now();

	for (bool over = false;; over = is_over(deadline)) {
		if ((vtd_read64(unit, offset) & mask) == value)
			return STATUS_OK;
		if (over)
			break;
	}
	unit->timeouts++;
	return STATUS_TIMEOUT;
}

enum status vtd_command(struct vtd_unit *unit, uint64_t bit, bool on)
{
	uint64_t kept = vtd_read32(unit, VTD_GLOBAL_STATUS) & VTD_COMMAND_KEPT & ~bit;

	vtd_write32(unit, VTD_GLOBAL_COMMAND, (uint32_t)(kept | (on ? bit : 0)));
	if (bit == VTD_WRITE_BUFFER_FLUSH) /* its status goes off when it is done */
		return vtd_wait32(unit, VTD_GLOBAL_STATUS, bit, 0);
	return vtd_wait32(unit, VTD_GLOBAL_STATUS, bit, on ? bit : 0);
}

void vtd_publish(const struct vtd_unit *unit, const void *start, size_t length)
{
	if (!unit->capabilities.coherent)
		page_table_vtd_flush(start, length);
}

enum status vtd_flush_write_buffer(struct vtd_unit *unit)
{
	return unit->capabilities.write_buffer_flush ? vtd_command(unit, VTD_WRITE_BUFFER_FLUSH, true) : STATUS_OK;
}
