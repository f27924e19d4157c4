/*
 * VT-d units as hardware: registers, invalidation queue, caches, tables walked in the fake physical memory, fault records. A
 * cache gives up nothing by itself, so that a missing invalidation shows; a unit that is not coherent reads memory as it was
 * when its lines were last flushed. Included by one .c file of a program.
 */
#pragma once

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "drivers/iommu/vtd_registers.h"
#include "tests/fake/fake_cpu.h"
#include "tests/fake/fake_physmap.h"

#define MODEL_UNITS 3u
#define MODEL_BASE 0xfed90000ull
#define MODEL_SIZE 0x1000u
#define MODEL_RECORDS 4u
#define MODEL_RECORD_OFFSET 0x220u
#define MODEL_IOTLB_OFFSET 0xf0u
#define MODEL_CACHE 64u
#define MODEL_FLUSHED (256 * MIB) /* memory below it is remembered as it was flushed */

/* 4 records at 0x220, pages of 2 MiB and 1 GiB, 3 and 4 levels, 48 bits, 64K domains, page-selective up to 2^18, drains. */
#define MODEL_CAPABILITY (6ull | 6ull << 8 | 47ull << 16 | 0x22ull << 24 | 3ull << 34 | BIT(39) | \
			  (uint64_t)(MODEL_RECORDS - 1) << 40 | 18ull << 48 | BIT(54) | BIT(55))
/* Coherent, queue, device TLBs, remapping, extended mode, snoop control, IOTLB registers at 0xf0. */
#define MODEL_EXTENDED (BIT(0) | BIT(1) | BIT(2) | BIT(3) | BIT(4) | BIT(7) | 0xfull << 8)

struct model_context { bool valid; uint16_t requester; uint64_t low, high; };
struct model_translation { bool valid; uint16_t domain; uint64_t page, entry; unsigned level; };
/* What a device keeps: [page, page + size) of its addresses. */
struct model_kept { bool valid; uint16_t requester; uint64_t page, size; };
struct model_interrupt { bool valid; uint16_t index; uint64_t low, high; };

struct vtd_model {
	uint64_t capability, extended;
	uint32_t status, fault_status, fault_control, protected_memory;
	uint64_t root_table, root_table_next, interrupt_table, interrupt_table_next;
	uint64_t queue_address, queue_head, queue_tail, invalidate_address;
	uint64_t records[MODEL_RECORDS][2];
	unsigned next_record;
	struct model_context contexts[MODEL_CACHE];
	struct model_translation translations[MODEL_CACHE];
	struct model_interrupt interrupts[MODEL_CACHE];
	struct model_kept kept[MODEL_CACHE];
	/* What it does wrong. */
	bool absent;             /* all ones */
	uint32_t deaf_to;        /* bits of the global command that it does not carry out */
	bool stuck;              /* neither queue nor invalidation registers get on */
	unsigned refuse_descriptor; /* of this type: invalidation queue error; 0: none */
	bool device_timeout;     /* device-TLB invalidations are not answered */
	bool late_timeout;       /* an earlier one was not: it is told when something else waits */
	unsigned flood;          /* so many faults come, each when one was taken out */
	bool completion_error;   /* a device answers what it was not asked, once */
	/* What was seen. */
	unsigned events, device_invalidations, queue_runs, translation_off, global_invalidations, page_invalidations;
	uint64_t last_device_invalidation; /* low half */
	unsigned reserved_bits;            /* table entries with snooping for a unit that has no control of it */
	unsigned write_buffer_flushes;
	bool protected_while_off;          /* protected memory was, until translation was on */
	unsigned absent_entries;           /* interrupt entries that were absent when they were invalidated */
};

static struct vtd_model models[MODEL_UNITS];
static uint8_t *model_flushed_memory, *model_flushed_lines;

/* ---- memory as a unit sees it ---- */

static void model_clflush(const volatile void *address)
{
	uint64_t line = align_down(physmap_address((const void *)(uintptr_t)address).value, 64);

	if (line >= MODEL_FLUSHED)
		return;
	memcpy(model_flushed_memory + line, physmap_pointer(hpa(line)), 64);
	model_flushed_lines[line / 64] = 1;
}

static uint64_t model_load(const struct vtd_model *model, uint64_t address)
{
	if (model->extended & BIT(0))
		return *(uint64_t *)physmap_pointer(hpa(address));
	assert(address < MODEL_FLUSHED);
	/* What never was flushed is as the memory came: anything. */
	return model_flushed_lines[address / 64] ? *(uint64_t *)(void *)(model_flushed_memory + address) : ~0ull;
}

/* ---- faults ---- */

static void model_fault(struct vtd_model *model, uint16_t requester, uint8_t reason, bool read, uint64_t info)
{
	uint64_t *record = model->records[model->next_record];

	if (model->fault_status & VTD_FAULT_OVERFLOW)
		return;
	if (record[1] & VTD_RECORD_FAULT) {
		model->fault_status |= VTD_FAULT_OVERFLOW;
		return;
	}
	record[0] = info;
	record[1] = VTD_RECORD_FAULT | (read ? VTD_RECORD_READ : 0) | (uint64_t)reason << 32 | requester;
	if (!(model->fault_status & VTD_FAULT_PENDING))
		model->fault_status = (model->fault_status & 0xffu) | model->next_record << 8;
	model->fault_status |= VTD_FAULT_PENDING;
	model->next_record = (model->next_record + 1) % MODEL_RECORDS;
	model->events += (model->fault_control & VTD_FAULT_MASKED) == 0;
}

static void model_update_pending(struct vtd_model *model)
{
	bool pending = false;

	for (unsigned i = 0; i < MODEL_RECORDS; i++)
		pending |= (model->records[i][1] & VTD_RECORD_FAULT) != 0;
	if (!pending)
		model->fault_status &= ~(uint32_t)VTD_FAULT_PENDING;
}

/* ---- DMA ---- */

#define MODEL_OK 0u
#define MODEL_BYPASS 0xffu /* not translated at all */

static bool model_find_context(struct vtd_model *model, uint16_t requester, struct model_context *found, uint8_t *reason)
{
	uint64_t root, at;

	for (unsigned i = 0; i < MODEL_CACHE; i++)
		if (model->contexts[i].valid && model->contexts[i].requester == requester) {
			*found = model->contexts[i];
			*reason = 2;
			return (found->low & VTD_PRESENT) != 0;
		}
	root = model_load(model, model->root_table + (uint64_t)(requester >> 8) * 16);
	*reason = 1;
	found->low = 0;
	if (!(root & VTD_PRESENT))
		return false;
	at = (root & VTD_ENTRY_ADDRESS) + (uint64_t)(requester & 0xff) * 16;
	*found = (struct model_context){true, requester, model_load(model, at), model_load(model, at + 8)};
	*reason = 2;
	/* In caching mode also what is absent is kept. */
	if (!(found->low & VTD_PRESENT) && !(model->capability & BIT(7)))
		return false;
	for (unsigned i = 0; i < MODEL_CACHE; i++)
		if (!model->contexts[i].valid) {
			model->contexts[i] = *found;
			break;
		}
	return (found->low & VTD_PRESENT) != 0;
}

static bool model_walk(struct vtd_model *model, const struct model_context *context, uint64_t address,
		       struct model_translation *found)
{
	unsigned levels = (unsigned)(context->high & 7) + 2;
	uint64_t table = context->low & VTD_ENTRY_ADDRESS;

	for (unsigned level = levels; level >= 1; level--) {
		unsigned shift = 12 + 9 * (level - 1);
		uint64_t entry = model_load(model, table + (address >> shift & 511) * 8);

		if (!(entry & 3))
			return false;
		if ((entry & BIT(11)) && !(model->extended & BIT(7)))
			model->reserved_bits++;
		table = entry & BITS(51, 12);
		if (level > 1 && !(entry & BIT(7)))
			continue;
		*found = (struct model_translation){true, (uint16_t)(context->high >> 8), address >> shift << shift, entry, level};
		return true;
	}
	return false;
}

static bool model_translate(struct vtd_model *model, const struct model_context *context, uint64_t address,
			    struct model_translation *found)
{
	uint16_t domain = (uint16_t)(context->high >> 8);

	for (unsigned i = 0; i < MODEL_CACHE; i++) {
		const struct model_translation *cached = &model->translations[i];
		uint64_t size = 1ull << (12 + 9 * (cached->level - 1));

		if (cached->valid && cached->domain == domain && address - cached->page < size) {
			*found = *cached;
			return true;
		}
	}
	if (!model_walk(model, context, address, found)) {
		if (!(model->capability & BIT(7)))
			return false;
		*found = (struct model_translation){true, domain, align_down(address, 4096), 0, 1};
	}
	for (unsigned i = 0; i < MODEL_CACHE; i++)
		if (!model->translations[i].valid) {
			model->translations[i] = *found;
			break;
		}
	return true;
}

/* A request of @requester: MODEL_OK and *@output, MODEL_BYPASS, or the reason of the fault. */
static inline uint8_t model_dma(unsigned unit, uint16_t requester, uint64_t address, bool write, uint64_t *output)
{
	struct vtd_model *model = &models[unit];
	struct model_context context = {0};
	struct model_translation found;
	uint8_t reason = 0;

	*output = address;
	if (!(model->status & VTD_TRANSLATION))
		return MODEL_BYPASS;
	if (model_find_context(model, requester, &context, &reason)) {
		reason = write ? 5 : 6;
		if (address >> (12 + 9 * ((context.high & 7) + 2)) != 0 || address >> ((model->capability >> 16 & 63) + 1) != 0)
			reason = 4;
		else if (model_translate(model, &context, address, &found) && (found.entry & (write ? 2 : 1))) {
			*output = (found.entry & BITS(51, 12)) + (address - found.page);
			return MODEL_OK;
		}
	}
	if (!(context.low & VTD_CONTEXT_SILENT))
		model_fault(model, requester, reason, !write, align_down(address, 4096));
	return reason;
}

/* ---- devices that keep translations ---- */

#define MODEL_MAY_NOT_TRANSLATE 0x0du

static inline bool model_serves(struct vtd_model *model, uint16_t requester, struct model_context *context, uint8_t *reason)
{
	if (!model_find_context(model, requester, context, reason))
		return false;
	*reason = MODEL_MAY_NOT_TRANSLATE;
	return (context->low >> 2 & 3) == 1;
}

/* @requester asks for the translation of @address, and keeps it: MODEL_OK, or the reason of the fault. */
static inline uint8_t model_ask(unsigned unit, uint16_t requester, uint64_t address)
{
	struct vtd_model *model = &models[unit];
	struct model_context context = {0};
	struct model_translation found;
	uint8_t reason = 0;

	if (!model_serves(model, requester, &context, &reason))
		return reason;
	if (!model_translate(model, &context, address, &found))
		return 5;
	for (unsigned i = 0; i < MODEL_CACHE; i++)
		if (!model->kept[i].valid) {
			model->kept[i] = (struct model_kept){true, requester, found.page, 1ull << (12 + 9 * (found.level - 1))};
			break;
		}
	return MODEL_OK;
}

static inline bool model_keeps(unsigned unit, uint16_t requester, uint64_t address)
{
	for (unsigned i = 0; i < MODEL_CACHE; i++) {
		const struct model_kept *kept = &models[unit].kept[i];

		if (kept->valid && kept->requester == requester && address - kept->page < kept->size)
			return true;
	}
	return false;
}

/* A request whose address is said to be translated: MODEL_OK (it goes anywhere), or the reason of the fault. */
static inline uint8_t model_translated(unsigned unit, uint16_t requester)
{
	struct model_context context = {0};
	uint8_t reason = 0;

	return model_serves(&models[unit], requester, &context, &reason) ? MODEL_OK : reason;
}

static void model_drop_kept(struct vtd_model *model, uint64_t low, uint64_t high)
{
	uint64_t size = 4096;

	model->device_invalidations++;
	model->last_device_invalidation = low;
	if (model->device_timeout) {
		model->fault_status |= VTD_TIMEOUT_ERROR;
		return;
	}
	/* The lowest clear bit, doubled. */
	if (high & 1)
		size = (((high | 0xfff) + 1) & ~(high | 0xfff)) << 1;
	for (unsigned i = 0; i < MODEL_CACHE; i++) {
		struct model_kept *kept = &model->kept[i];
		uint64_t start = align_down(high, size);

		if (kept->requester == (uint16_t)(low >> 32) && kept->page < start + size && start < kept->page + kept->size)
			kept->valid = false;
	}
}

/* ---- interrupts ---- */

/* A write of @address by @requester: MODEL_OK and the entry, or the reason of the fault. */
static inline uint8_t model_msi(unsigned unit, uint16_t requester, uint64_t address, uint64_t *low, uint64_t *high)
{
	struct vtd_model *model = &models[unit];
	uint16_t index = (uint16_t)((address >> 5 & 0x7fff) | (address >> 2 & 1) << 15);
	struct model_interrupt *cached = NULL;
	uint8_t reason = MODEL_OK;

	if (!(model->status & VTD_INTERRUPT_REMAPPING))
		return MODEL_BYPASS;
	for (unsigned i = 0; i < MODEL_CACHE; i++)
		if (model->interrupts[i].valid && model->interrupts[i].index == index)
			cached = &model->interrupts[i];
	for (unsigned i = 0; cached == NULL && i < MODEL_CACHE; i++)
		if (!model->interrupts[i].valid)
			cached = &model->interrupts[i];
	assert(cached != NULL);
	if (!(address & BIT(4)))
		reason = 0x25;
	else if (index >= 2u << (model->interrupt_table & 15))
		reason = 0x21;
	else {
		uint64_t at = (model->interrupt_table & VTD_ENTRY_ADDRESS) + (uint64_t)index * 16;

		if (!cached->valid)
			*cached = (struct model_interrupt){false, index, model_load(model, at), model_load(model, at + 8)};
		cached->valid = (cached->low & VTD_PRESENT) != 0;
		if (!cached->valid)
			reason = 0x22;
		else if ((cached->high >> 18 & 3) != 1 || (uint16_t)cached->high != requester)
			reason = 0x26;
	}
	if (reason != MODEL_OK) {
		model_fault(model, requester, reason, false, (uint64_t)index << 48);
		return reason;
	}
	*low = cached->low;
	*high = cached->high;
	return MODEL_OK;
}

/* ---- invalidation ---- */

static void model_drop_translations(struct vtd_model *model, unsigned granularity, uint16_t domain, uint64_t address)
{
	uint64_t size = 4096ull << (address & 0x3f);

	model->global_invalidations += granularity == 1;
	model->page_invalidations += granularity == 3;
	for (unsigned i = 0; i < MODEL_CACHE; i++) {
		struct model_translation *entry = &model->translations[i];
		uint64_t entry_size = 1ull << (12 + 9 * (entry->level - 1)), start = align_down(address, 4096);
		bool hit = granularity == 1 || (granularity == 2 && entry->domain == domain) ||
			   (granularity == 3 && entry->domain == domain && entry->page < start + size && start < entry->page + entry_size);

		if (entry->valid && hit)
			entry->valid = false;
	}
}

static bool model_execute(struct vtd_model *model, uint64_t low, uint64_t high)
{
	unsigned granularity = (unsigned)(low >> 4 & 3);

	switch (low & 15) {
	case VTD_DESCRIPTOR_CONTEXT:
		memset(model->contexts, 0, sizeof(model->contexts));
		return granularity != 0;
	case VTD_DESCRIPTOR_IOTLB:
		model_drop_translations(model, granularity, (uint16_t)(low >> 16), high);
		return granularity != 0;
	case VTD_DESCRIPTOR_DEVICE:
		model_drop_kept(model, low, high);
		return true;
	case VTD_DESCRIPTOR_INTERRUPT:
		if (low & BIT(4))
			model->absent_entries += !(model_load(model, (model->interrupt_table & VTD_ENTRY_ADDRESS) +
							      (low >> 32 & 0xffff) * 16) & VTD_PRESENT);
		for (unsigned i = 0; i < MODEL_CACHE; i++)
			if (!(low & BIT(4)) || model->interrupts[i].index == (uint16_t)(low >> 32))
				model->interrupts[i].valid = false;
		return true;
	case VTD_DESCRIPTOR_WAIT:
		if (model->late_timeout)
			model->fault_status |= VTD_TIMEOUT_ERROR;
		model->late_timeout = false;
		if ((low & VTD_DESCRIPTOR_STATUS_WRITE) && !(model->fault_status & VTD_TIMEOUT_ERROR))
			*(uint32_t *)physmap_pointer(hpa(high)) = (uint32_t)(low >> 32);
		return (low & (VTD_DESCRIPTOR_STATUS_WRITE | BIT(4))) != 0;
	default:
		return false;
	}
}

static void model_run_queue(struct vtd_model *model)
{
	model->queue_runs++;
	if (model->completion_error)
		model->fault_status |= VTD_COMPLETION_ERROR;
	model->completion_error = false;
	while (!model->stuck && !(model->fault_status & VTD_QUEUE_ERROR) && model->queue_head != model->queue_tail) {
		uint64_t at = (model->queue_address & VTD_ENTRY_ADDRESS) + model->queue_head;
		uint64_t low = model_load(model, at), high = model_load(model, at + 8);
		bool refused = model->refuse_descriptor != 0 && (low & 15) == model->refuse_descriptor;

		if (refused)
			model->refuse_descriptor = 0;
		if (refused || !model_execute(model, low, high)) {
			model->fault_status |= VTD_QUEUE_ERROR;
			return;
		}
		model->queue_head = (model->queue_head + 16) % (4096u << (model->queue_address & 7));
	}
}

/* What has not been executed yet may not be overwritten. */
static void model_move_tail(struct vtd_model *model, uint64_t tail)
{
	uint64_t size = 4096u << (model->queue_address & 7);
	uint64_t before = (model->queue_tail + size - model->queue_head) % size, after = (tail + size - model->queue_head) % size;

	assert(!(model->status & VTD_QUEUED_INVALIDATION) || after > before);
	model->queue_tail = tail;
	if (model->status & VTD_QUEUED_INVALIDATION)
		model_run_queue(model);
}

/* ---- registers ---- */

static void model_command(struct vtd_model *model, uint32_t value)
{
	uint32_t lasting = (uint32_t)VTD_COMMAND_KEPT & ~model->deaf_to;
	uint32_t old = model->status;

	value &= ~model->deaf_to;
	model->status = (model->status & ~lasting) | (value & lasting);
	model->translation_off += (old & ~model->status & VTD_TRANSLATION) != 0;
	model->write_buffer_flushes += (value & VTD_WRITE_BUFFER_FLUSH) != 0;
	if (value & VTD_SET_ROOT_TABLE) {
		model->root_table = model->root_table_next;
		model->status |= (uint32_t)VTD_SET_ROOT_TABLE;
	}
	if (value & VTD_SET_INTERRUPT_TABLE) {
		model->interrupt_table = model->interrupt_table_next;
		model->status |= (uint32_t)VTD_SET_INTERRUPT_TABLE;
	}
	if (!(old & VTD_QUEUED_INVALIDATION) && (model->status & VTD_QUEUED_INVALIDATION))
		model->queue_head = 0;
}

static uint64_t model_read_register(struct vtd_model *model, uint64_t offset)
{
	if (offset >= MODEL_RECORD_OFFSET && offset < MODEL_RECORD_OFFSET + 16 * MODEL_RECORDS)
		return model->records[(offset - MODEL_RECORD_OFFSET) / 16][(offset - MODEL_RECORD_OFFSET) / 8 % 2];
	switch (offset) {
	case VTD_CAPABILITY: return model->capability;
	case VTD_EXTENDED_CAPABILITY: return model->extended;
	case VTD_GLOBAL_STATUS: return model->status;
	case VTD_ROOT_TABLE: return model->root_table_next;
	case VTD_FAULT_STATUS: return model->fault_status;
	case VTD_FAULT_CONTROL: return model->fault_control;
	case VTD_PROTECTED_MEMORY: return model->protected_memory;
	case VTD_QUEUE_HEAD: return model->queue_head;
	case VTD_QUEUE_TAIL: return model->queue_tail;
	case VTD_CONTEXT_COMMAND: case MODEL_IOTLB_OFFSET + 8: return model->stuck ? BIT(63) : 0;
	default: return 0;
	}
}

static uint64_t model_read(void *context, uint64_t offset, unsigned size)
{
	struct vtd_model *model = context;

	assert((size == 4 || size == 8) && offset % size == 0);
	if (model->absent)
		return size == 8 ? ~0ull : 0xffffffffull;
	return model_read_register(model, offset);
}

static void model_write_record(struct vtd_model *model, uint64_t offset, uint64_t value)
{
	/* Only the valid bit can be written, by the last quarter. */
	if (offset % 16 == 12 && (value & BIT(31))) {
		model->records[(offset - MODEL_RECORD_OFFSET) / 16][1] = 0;
		model_update_pending(model);
		/* From sources that change, so that none is a storm; the last one that a flood brings is not followed. */
		if (model->flood > 0 && offset != MODEL_RECORD_OFFSET + 16 * MODEL_RECORDS - 4)
			model_fault(model, (uint16_t)(0x4000 + --model->flood), 2, false, 0);
	}
}

static void model_write(void *context, uint64_t offset, unsigned size, uint64_t value)
{
	struct vtd_model *model = context;

	assert((size == 4 || size == 8) && offset % size == 0);
	if (model->absent)
		return;
	if (offset >= MODEL_RECORD_OFFSET && offset < MODEL_RECORD_OFFSET + 16 * MODEL_RECORDS) {
		model_write_record(model, offset, value);
		return;
	}
	switch (offset) {
	case VTD_GLOBAL_COMMAND: model_command(model, (uint32_t)value); break;
	case VTD_ROOT_TABLE: model->root_table_next = value; break;
	case VTD_INTERRUPT_TABLE: model->interrupt_table_next = value; break;
	case VTD_FAULT_STATUS: model->fault_status &= ~((uint32_t)value & (uint32_t)(VTD_FAULT_OVERFLOW | VTD_QUEUE_ERRORS));
		if (model->status & VTD_QUEUED_INVALIDATION)
			model_run_queue(model);
		break;
	case VTD_FAULT_CONTROL: model->fault_control = (uint32_t)value; break;
	case VTD_PROTECTED_MEMORY:
		model->protected_while_off = (model->status & VTD_TRANSLATION) != 0;
		model->protected_memory = value & VTD_PROTECTED_ENABLE ? (uint32_t)value | 1 : 0; break;
	case VTD_QUEUE_ADDRESS: model->queue_address = value; break;
	case VTD_QUEUE_TAIL: model_move_tail(model, value); break;
	case VTD_CONTEXT_COMMAND:
		if (!model->stuck)
			memset(model->contexts, 0, sizeof(model->contexts));
		break;
	case MODEL_IOTLB_OFFSET: model->invalidate_address = value; break;
	case MODEL_IOTLB_OFFSET + 8:
		if (!model->stuck)
			model_drop_translations(model, (unsigned)(value >> 60 & 3), (uint16_t)(value >> 32), model->invalidate_address);
		break;
	default: break;
	}
}

static inline uint64_t model_address(unsigned unit)
{
	return MODEL_BASE + unit * MODEL_SIZE;
}

/* All units as after a reset, with everything that they can have; after fake_cpu_reset() and fake_physmap_reset(). */
static inline void vtd_model_reset(void)
{
	if (model_flushed_memory == NULL)
		model_flushed_memory = mmap(NULL, MODEL_FLUSHED + MODEL_FLUSHED / 64, PROT_READ | PROT_WRITE,
					    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert(model_flushed_memory != MAP_FAILED);
	model_flushed_lines = model_flushed_memory + MODEL_FLUSHED;
	madvise(model_flushed_memory, MODEL_FLUSHED + MODEL_FLUSHED / 64, MADV_DONTNEED);
	memset(models, 0, sizeof(models));
	for (unsigned i = 0; i < MODEL_UNITS; i++) {
		models[i].capability = MODEL_CAPABILITY;
		models[i].extended = MODEL_EXTENDED;
		models[i].fault_control = (uint32_t)VTD_FAULT_MASKED;
		fake_mmio_add(&(struct fake_mmio_device){physmap_pointer(hpa(model_address(i))), MODEL_SIZE, model_read, model_write,
							  &models[i]});
	}
	fake_clflush_hook = model_clflush;
}
