/*
 * Base address registers. A size is found by writing all ones and then zeros and seeing which bits follow: for that
 * time the function must not decode, or it would answer at wrong addresses. PCI Local Bus Specification, "Base
 * Addresses".
 */
#include "arch/x86/log.h"
#include "drivers/pci/pci_internal.h"
#include "lib/checked.h"

#define CLASS_BRIDGE 0x06u
#define SUBCLASS_HOST 0x00u
#define PORT_MASK 0xfffffffcu
#define PORT_MAX_SIZE ((uint64_t)1 << 16)
#define MEMORY_MASK 0xfffffff0u
#define ROM_MASK 0xfffff800u
#define ROM_MAX_SIZE (16 * MIB)

/* By header layout: functions, PCI bridges, CardBus bridges. */
static const struct { uint8_t bars; uint8_t rom; } layouts[] = {
	{6, PCI_ROM},
	{2, PCI_BRIDGE_ROM},
	{1, 0},
};

/* Which of the bits @ones of the register at @offset can be written: a fixed address looks like one that was kept. */
static uint32_t probe(const struct pci_function *function, unsigned offset, uint32_t ones, uint32_t value)
{
	uint32_t set, cleared;

	pci_write(function, offset, 4, ones);
	set = pci_read(function, offset, 4);
	pci_write(function, offset, 4, 0);
	cleared = pci_read(function, offset, 4);
	pci_write(function, offset, 4, value);
	return set & ~cleared;
}

/*
 * The size from the address bits that can be written, 0 if they are no single run of ones, or @address does not fit
 * them. Their highest bits may be missing: then it cannot be placed everywhere.
 */
static uint64_t size_of(uint64_t writable, uint64_t address, uint64_t largest)
{
	uint64_t size = writable & (0 - writable), run;

	if (size == 0 || size > largest || !is_aligned(address, size))
		return 0;
	run = writable / size;
	return (run & (run + 1)) == 0 && (address & ~writable) == 0 ? size : 0;
}

static void size_port(const struct pci_function *function, unsigned offset, uint32_t low, bool sizable,
		      struct pci_bar *bar)
{
	uint64_t writable;

	bar->kind = PCI_BAR_PORT;
	bar->address = low & PORT_MASK;
	if (!sizable)
		return;
	writable = probe(function, offset, UINT32_MAX, low) & PORT_MASK;
	/* Functions for x86 may leave out the upper half. */
	bar->size = size_of(writable, bar->address, PORT_MAX_SIZE);
}

/* Return: how many registers it takes. */
static unsigned size_memory(const struct pci_function *function, unsigned offset, bool is_last, uint32_t low,
			    bool sizable, struct pci_bar *bar)
{
	bool is_64 = bits_get(low, 2, 1) == PCI_BAR_TYPE_64 && !is_last;
	uint32_t high = is_64 ? pci_read(function, offset + 4, 4) : 0;
	uint64_t writable = 0;

	if (sizable) {
		writable = probe(function, offset, UINT32_MAX, low) & MEMORY_MASK;
		if (is_64)
			writable |= (uint64_t)probe(function, offset + 4, UINT32_MAX, high) << 32;
		/* Nothing that can be written: there is no such register. */
		if (writable == 0 && low == 0)
			return 1;
	}
	bar->kind = is_64 ? PCI_BAR_MEMORY_64 : PCI_BAR_MEMORY_32;
	bar->prefetchable = (low & PCI_BAR_IS_PREFETCHABLE) != 0;
	bar->address = (low & MEMORY_MASK) | (uint64_t)high << 32;
	bar->size = size_of(writable, bar->address, PCI_BAR_MAX_SIZE);
	return is_64 ? 2 : 1;
}

void pci_size_bars(const struct pci_function *function, unsigned offset, unsigned count, uint64_t sizable,
		   struct pci_bar *bars)
{
	for (unsigned i = 0; i < count;) {
		unsigned place = offset + 4 * i, used = 1;
		uint32_t low = pci_read(function, place, 4);

		if (low != UINT32_MAX && (low & PCI_BAR_IS_PORT) != 0)
			size_port(function, place, low, (sizable & PCI_COMMAND_PORTS) != 0, &bars[i]);
		else if (low != UINT32_MAX && (low != 0 || (sizable & PCI_COMMAND_MEMORY) != 0))
			used = size_memory(function, place, i + 1 == count, low, (sizable & PCI_COMMAND_MEMORY) != 0,
					   &bars[i]);
		i += used;
	}
}

static void size_rom(struct pci_function *function, unsigned offset, uint64_t sizable)
{
	uint32_t value = pci_read(function, offset, 4);
	uint64_t writable = 0;

	if (value == UINT32_MAX)
		return;
	/* Its enable bit stays off in what is written. */
	if ((sizable & PCI_COMMAND_MEMORY) != 0)
		writable = probe(function, offset, ROM_MASK, value) & ROM_MASK;
	if ((writable | (value & ROM_MASK)) == 0)
		return;
	function->rom = (struct pci_bar){.kind = PCI_BAR_MEMORY_32, .address = value & ROM_MASK};
	function->rom.size = size_of(writable, function->rom.address, ROM_MAX_SIZE);
}

static void warn_of_absurd(const struct pci_function *function, uint64_t sizable)
{
	for (unsigned i = 0; i < PCI_MAX_BARS; i++) {
		const struct pci_bar *bar = &function->bars[i];
		uint64_t kind = bar->kind == PCI_BAR_PORT ? PCI_COMMAND_PORTS : PCI_COMMAND_MEMORY;

		if (bar->kind != PCI_BAR_NONE && bar->size == 0 && (sizable & kind) != 0)
			log_warning("PCI: " PCI_ADDRESS_FORMAT
				    ": base address register %u has an absurd size: it is not used",
				    PCI_ADDRESS_ARGUMENTS(function->address), i);
	}
}

void pci_read_bars(struct pci_function *function)
{
	uint64_t sizable = PCI_COMMAND_PORTS | PCI_COMMAND_MEMORY;
	uint32_t command = pci_read(function, PCI_COMMAND, 2);

	if (function->header_type >= array_count(layouts))
		return;
	/* Without its decoding, a host bridge may hide all memory. */
	if (function->class_code == CLASS_BRIDGE && function->subclass == SUBCLASS_HOST) {
		pci_size_bars(function, PCI_BARS, layouts[function->header_type].bars, 0, function->bars);
		return;
	}
	pci_write(function, PCI_COMMAND, 2, command & ~(uint32_t)sizable);
	/* What goes on decoding is left alone. */
	sizable &= ~(uint64_t)pci_read(function, PCI_COMMAND, 2);
	pci_size_bars(function, PCI_BARS, layouts[function->header_type].bars, sizable, function->bars);
	if (layouts[function->header_type].rom != 0)
		size_rom(function, layouts[function->header_type].rom, sizable);
	pci_write(function, PCI_COMMAND, 2, command);
	warn_of_absurd(function, sizable);
}

static bool restore_register(const struct pci_function *function, unsigned offset, uint32_t address, uint32_t mask)
{
	pci_write(function, offset, 4, address);
	return (pci_read(function, offset, 4) & mask) == address;
}

bool pci_restore_bars(const struct pci_function *function)
{
	bool held = true;

	for (unsigned i = 0; i < PCI_MAX_BARS; i++) {
		const struct pci_bar *bar = &function->bars[i];
		unsigned offset = PCI_BARS + 4 * i;

		if (bar->kind == PCI_BAR_NONE)
			continue;
		held &= restore_register(function, offset, (uint32_t)bar->address,
					 bar->kind == PCI_BAR_PORT ? PORT_MASK : MEMORY_MASK);
		if (bar->kind == PCI_BAR_MEMORY_64)
			held &= restore_register(function, offset + 4, (uint32_t)(bar->address >> 32), UINT32_MAX);
	}
	if (function->rom.kind != PCI_BAR_NONE && function->header_type == 0)
		held &= restore_register(function, PCI_ROM, (uint32_t)function->rom.address, ROM_MASK);
	return held;
}

static bool shares_page(const struct pci_bar *a, const struct pci_bar *b)
{
	uint64_t first = align_down(a->address, PAGE_SIZE), length = align_up(a->address + a->size, PAGE_SIZE) - first;

	if (b->kind == PCI_BAR_NONE || b->kind == PCI_BAR_PORT || b->address == 0)
		return false;
	return ranges_overlap(first, length, b->address, max_u64(b->size, 1));
}

bool pci_bar_is_alone(const struct pci_function *function, const struct pci_bar *bar)
{
	const struct pci_function *other;

	for (uint32_t i = 0; (other = pci_get(i)) != NULL; i++) {
		if (other == function)
			continue;
		if (shares_page(bar, &other->rom))
			return false;
		for (unsigned j = 0; j < PCI_MAX_BARS; j++)
			if (shares_page(bar, &other->bars[j]))
				return false;
	}
	return true;
}
