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

#define MAX_APIC_ID 0xfeu
#define MIN_VECTOR 0x10u
#define VERSION_ABSENT 0xffffffffu

struct ioapic {
	volatile uint8_t *registers;
	uint32_t gsi_base, input_count;
};

static struct spinlock lock; /* protects the registers: an access takes two steps */
static struct ioapic ioapics[IOAPIC_MAX];
static uint32_t ioapic_count;

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
	struct ioapic ioapic = {NULL, 0, 0};
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
		log_error("I/O APIC %u at %#llx is not used: %s", id, (unsigned long long)address.value, status_name(status));
	return status;
}

enum status ioapic_route(uint32_t gsi, uint8_t vector, uint32_t apic_id, bool level, bool active_low)
{
	uint64_t entry = (uint64_t)apic_id << ENTRY_DESTINATION_SHIFT | (level ? ENTRY_LEVEL : 0) |
			 (active_low ? ENTRY_ACTIVE_LOW : 0) | vector;
	const struct ioapic *ioapic;
	uint32_t input;

	if (vector < MIN_VECTOR || apic_id > MAX_APIC_ID)
		return STATUS_OUT_OF_RANGE;
	ioapic = find(gsi, &input);
	if (ioapic == NULL)
		return STATUS_NOT_FOUND;
	spinlock_lock(&lock);
	write_entry_locked(ioapic, input, entry);
	spinlock_unlock(&lock);
	return STATUS_OK;
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
