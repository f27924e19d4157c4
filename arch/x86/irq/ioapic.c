#include "arch/x86/irq/ioapic.h"

#include "arch/x86/irq/interrupt.h"
#include "arch/x86/log.h"
#include "arch/x86/mm/host_paging.h"
#include "arch/x86/mmio.h"
#include "arch/x86/spinlock.h"
#include "lib/bits.h"
#include "lib/checked.h"

#define REGISTER_SELECT 0x00u
#define REGISTER_WINDOW 0x10u
#define REGISTERS_SIZE 0x20u

#define INDEX_VERSION 0x01u
#define INDEX_ENTRIES 0x10u /* two of 32 bits for each input */

#define ENTRY_ACTIVE_LOW BIT(13)
#define ENTRY_LEVEL BIT(15)
#define ENTRY_MASKED BIT(16)
#define ENTRY_DESTINATION_SHIFT 56
#define ENTRY_REMAPPED BIT(48)
#define ENTRY_INDEX_SHIFT 49 /* the low 15 bits of an index in the remapping table */
#define ENTRY_VECTOR BITS(7, 0)
#define MAX_INDEX 0x7fffu

#define MAX_APIC_ID 0xfeu
#define MIN_VECTOR 0x10u
#define VERSION_ABSENT 0xffffffffu

struct ioapic {
	volatile uint8_t *registers;
	uint32_t id, gsi_base, input_count;
};

static struct spinlock lock; /* protects the registers: an access takes two steps */
static struct ioapic ioapics[IOAPIC_MAX];
static uint32_t ioapic_count;
static ioapic_remapper remapper; /* NULL: entries name the CPU themselves */

static uint32_t read_locked(const struct ioapic *ioapic, uint32_t index)
{
	mmio_write32(ioapic->registers + REGISTER_SELECT, index);
	return mmio_read32(ioapic->registers + REGISTER_WINDOW);
}

static void write_locked(const struct ioapic *ioapic, uint32_t index, uint32_t value)
{
	mmio_write32(ioapic->registers + REGISTER_SELECT, index);
	mmio_write32(ioapic->registers + REGISTER_WINDOW, value);
}

static uint64_t read_entry_locked(const struct ioapic *ioapic, uint32_t input)
{
	uint64_t low = read_locked(ioapic, INDEX_ENTRIES + 2 * input);

	return (uint64_t)read_locked(ioapic, INDEX_ENTRIES + 2 * input + 1) << 32 | low;
}

/* The low half holds the mask: masked first, unmasked last, so that no half-written entry is ever live. */
static void write_entry_locked(const struct ioapic *ioapic, uint32_t input, uint64_t entry)
{
	write_locked(ioapic, INDEX_ENTRIES + 2 * input, (uint32_t)ENTRY_MASKED);
	write_locked(ioapic, INDEX_ENTRIES + 2 * input + 1, (uint32_t)(entry >> 32));
	write_locked(ioapic, INDEX_ENTRIES + 2 * input, (uint32_t)entry);
}

static const struct ioapic *find(uint32_t gsi, uint32_t *input)
{
	for (uint32_t i = 0; i < ioapic_count; i++) {
		*input = gsi - ioapics[i].gsi_base;
		if (gsi >= ioapics[i].gsi_base && *input < ioapics[i].input_count)
			return &ioapics[i];
	}
	return NULL;
}

static bool overlaps_another(const struct ioapic *ioapic)
{
	for (uint32_t i = 0; i < ioapic_count; i++)
		if (ranges_overlap(ioapic->gsi_base, ioapic->input_count, ioapics[i].gsi_base, ioapics[i].input_count))
			return true;
	return false;
}

static enum status probe(hpa_t address, uint32_t gsi_base, struct ioapic *ioapic)
{
	uint32_t version;

	if (ioapic_count == IOAPIC_MAX)
		return STATUS_NO_MEMORY;
	ioapic->registers = host_paging_map_device(address, REGISTERS_SIZE, false);
	if (ioapic->registers == NULL)
		return STATUS_NO_MEMORY;
	version = read_locked(ioapic, INDEX_VERSION);
	if (version == VERSION_ABSENT || version == 0)
		return STATUS_IO;
	ioapic->gsi_base = gsi_base;
	ioapic->input_count = (uint32_t)bits_get(version, 23, 16) + 1;
	return overlaps_another(ioapic) ? STATUS_EXISTS : STATUS_OK;
}

enum status ioapic_add(uint32_t id, hpa_t address, uint32_t gsi_base)
{
	struct ioapic ioapic = {NULL, id, 0, 0};
	enum status status;

	spinlock_lock(&lock);
	status = probe(address, gsi_base, &ioapic);
	if (status == STATUS_OK) {
		for (uint32_t input = 0; input < ioapic.input_count; input++)
			write_entry_locked(&ioapic, input, ENTRY_MASKED);
		ioapics[ioapic_count++] = ioapic;
	}
	spinlock_unlock(&lock);
	if (status != STATUS_OK)
		log_error("I/O APIC %u at %#llx is not used: %s", id, (unsigned long long)address.value,
			  status_name(status));
	return status;
}

/* What an input is to do; from its entry, or from a caller. */
struct route {
	uint8_t vector;
	uint32_t apic_id;
	bool level, active_low;
};

static uint64_t plain_entry(const struct route *route)
{
	return (uint64_t)route->apic_id << ENTRY_DESTINATION_SHIFT | (route->level ? ENTRY_LEVEL : 0) |
	       (route->active_low ? ENTRY_ACTIVE_LOW : 0) | route->vector;
}

/* The vector stays in the entry, since the end of a level-triggered interrupt is matched by it. */
static enum status remapped_entry(const struct ioapic *ioapic, const struct route *route, ioapic_remapper remap,
				  uint16_t index, uint64_t *entry)
{
	enum status status = remap(ioapic->id, route->vector, route->apic_id, route->level, &index);

	if (status != STATUS_OK || index > MAX_INDEX)
		return status != STATUS_OK ? status : STATUS_OUT_OF_RANGE;
	*entry = (plain_entry(route) & ~BITS(63, 48)) | (uint64_t)index << ENTRY_INDEX_SHIFT | ENTRY_REMAPPED;
	return STATUS_OK;
}

static enum status route_locked(const struct ioapic *ioapic, uint32_t input, const struct route *route)
{
	uint64_t old = read_entry_locked(ioapic, input), entry = plain_entry(route);
	uint16_t index = old & ENTRY_REMAPPED ? (uint16_t)(old >> ENTRY_INDEX_SHIFT) : IOAPIC_NO_ENTRY;
	enum status status = STATUS_OK;

	if (remapper != NULL)
		status = remapped_entry(ioapic, route, remapper, index, &entry);
	else if (route->apic_id > MAX_APIC_ID)
		return STATUS_OUT_OF_RANGE;
	write_entry_locked(ioapic, input, status == STATUS_OK ? entry : old | ENTRY_MASKED);
	return status;
}

enum status ioapic_route(uint32_t gsi, uint8_t vector, uint32_t apic_id, bool level, bool active_low)
{
	const struct route route = {vector, apic_id, level, active_low};
	const struct ioapic *ioapic;
	enum status status;
	uint32_t input;

	if (vector < MIN_VECTOR)
		return STATUS_OUT_OF_RANGE;
	ioapic = find(gsi, &input);
	if (ioapic == NULL)
		return STATUS_NOT_FOUND;
	spinlock_lock(&lock);
	status = route_locked(ioapic, input, &route);
	spinlock_unlock(&lock);
	return status;
}

/* ---- all inputs at once ---- */

#define MAX_ROUTED 16u /* when remapping starts, at boot */

struct remapped_input { const struct ioapic *ioapic; uint32_t input; uint64_t old, entry; };

static enum status remap_input_locked(const struct ioapic *ioapic, uint32_t input, ioapic_remapper remap,
				      struct remapped_input *list, unsigned *count)
{
	uint64_t old = read_entry_locked(ioapic, input);
	const struct route route = {(uint8_t)(old & ENTRY_VECTOR), (uint32_t)(old >> ENTRY_DESTINATION_SHIFT),
				    (old & ENTRY_LEVEL) != 0, (old & ENTRY_ACTIVE_LOW) != 0};

	struct remapped_input *item = &list[*count];
	enum status status;

	if (route.vector < MIN_VECTOR)
		return STATUS_OK;
	if (*count == MAX_ROUTED)
		return STATUS_NO_MEMORY;
	*item = (struct remapped_input){ioapic, input, old, 0};
	status = remapped_entry(ioapic, &route, remap, IOAPIC_NO_ENTRY, &item->entry);
	item->entry |= old & ENTRY_MASKED;
	*count += status == STATUS_OK;
	return status;
}

static enum status remap_inputs_locked(ioapic_remapper remap, struct remapped_input *list, unsigned *count)
{
	enum status status = STATUS_OK;

	for (uint32_t i = 0; i < ioapic_count; i++)
		for (uint32_t input = 0; status == STATUS_OK && input < ioapics[i].input_count; input++)
			status = remap_input_locked(&ioapics[i], input, remap, list, count);
	return status;
}

enum status ioapic_remap_all(ioapic_remapper remap, enum status (*enable)(void))
{
	struct remapped_input list[MAX_ROUTED];
	unsigned count = 0;
	enum status status;

	spinlock_lock(&lock);
	status = remap_inputs_locked(remap, list, &count);
	if (status == STATUS_OK) {
		for (unsigned i = 0; i < count; i++)
			write_entry_locked(list[i].ioapic, list[i].input, list[i].old | ENTRY_MASKED);
		status = enable();
		for (unsigned i = 0; i < count; i++)
			write_entry_locked(list[i].ioapic, list[i].input,
					   status == STATUS_OK ? list[i].entry : list[i].old);
		if (status == STATUS_OK)
			remapper = remap;
	}
	spinlock_unlock(&lock);
	return status;
}

static enum status set_mask(uint32_t gsi, bool masked)
{
	uint32_t input, low;
	const struct ioapic *ioapic = find(gsi, &input);

	if (ioapic == NULL)
		return STATUS_NOT_FOUND;
	spinlock_lock(&lock);
	low = read_locked(ioapic, INDEX_ENTRIES + 2 * input);
	low = masked ? low | (uint32_t)ENTRY_MASKED : low & ~(uint32_t)ENTRY_MASKED;
	write_locked(ioapic, INDEX_ENTRIES + 2 * input, low);
	spinlock_unlock(&lock);
	return STATUS_OK;
}

enum status ioapic_mask(uint32_t gsi)
{
	return set_mask(gsi, true);
}

enum status ioapic_unmask(uint32_t gsi)
{
	return set_mask(gsi, false);
}

enum status ioapic_read_entry(uint32_t gsi, uint64_t *entry)
{
	uint32_t input;
	const struct ioapic *ioapic = find(gsi, &input);

	if (ioapic == NULL)
		return STATUS_NOT_FOUND;
	spinlock_lock(&lock);
	*entry = read_entry_locked(ioapic, input);
	spinlock_unlock(&lock);
	return STATUS_OK;
}

uint32_t ioapic_input_count(void)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < ioapic_count; i++)
		count += ioapics[i].input_count;
	return count;
}
