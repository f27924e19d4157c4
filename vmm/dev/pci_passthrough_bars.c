/*
 * Base address registers and expansion ROM of passed-through functions: where the guest puts them in a window of its
 * PCI bus, their pages are mapped into it. Accesses to ports, to registers that share a page with others', and to the
 * pages that hold the MSI-X table are carried out here. PCI Local Bus Specification, "Base Addresses", "Expansion ROM
 * Base Address Register".
 */
#include "vmm/dev/pci_passthrough.h"

#include "arch/x86/insn.h"
#include "arch/x86/mm/host_paging.h"
#include "arch/x86/mmio.h"
#include "drivers/pci/pci_registers.h"
#include "lib/bits.h"
#include "lib/checked.h"
#include "vmm/passthrough.h"
#include "vmm/pci_window.h"
#include "vmm/vm.h"

#define PORT_END 0x10000u

/* ---- accesses that are carried out here ---- */

static struct pci_passthrough_piece *piece_of(struct io_device *device)
{
	return container_of(device, struct pci_passthrough_piece, device);
}

static uint64_t read_memory(const volatile uint8_t *registers, unsigned size)
{
	switch (size) {
	case 1: return mmio_read8(registers);
	case 2: return mmio_read16(registers);
	case 4: return mmio_read32(registers);
	default: return mmio_read64(registers);
	}
}

static void write_memory(volatile uint8_t *registers, unsigned size, uint64_t value)
{
	switch (size) {
	case 1: mmio_write8(registers, (uint8_t)value); break;
	case 2: mmio_write16(registers, (uint16_t)value); break;
	case 4: mmio_write32(registers, (uint32_t)value); break;
	default: mmio_write64(registers, value); break;
	}
}

/* Not aligned, the function might see an access that it does not expect: nothing answers. */
static enum status memory_read(struct io_device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t *value)
{
	struct pci_passthrough_piece *piece = piece_of(device);

	(void)vcpu;
	if (!is_aligned(offset, size))
		return STATUS_NOT_FOUND;
	if (pci_passthrough_in_table(piece->function, piece->bar, piece->offset + offset, size))
		*value = pci_passthrough_table_read(piece->function, piece->offset + offset, size);
	else
		*value = read_memory(piece->registers + offset, size);
	return STATUS_OK;
}

static enum status memory_write(struct io_device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t value)
{
	struct pci_passthrough_piece *piece = piece_of(device);

	(void)vcpu;
	if (!is_aligned(offset, size))
		return STATUS_NOT_FOUND;
	if (pci_passthrough_in_table(piece->function, piece->bar, piece->offset + offset, size))
		pci_passthrough_table_write(piece->function, piece->offset + offset, size, value);
	else if (piece->bar != PCI_PASSTHROUGH_ROM)
		write_memory(piece->registers + offset, size, value);
	return STATUS_OK;
}

static uint16_t host_port(const struct pci_passthrough_piece *piece, uint64_t offset)
{
	return (uint16_t)(piece->function->bars[piece->bar].host->address + offset);
}

static enum status port_read(struct io_device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t *value)
{
	uint16_t port = host_port(piece_of(device), offset);

	(void)vcpu;
	*value = size == 1 ? insn_in8(port) : size == 2 ? insn_in16(port) : insn_in32(port);
	return STATUS_OK;
}

static enum status port_write(struct io_device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t value)
{
	uint16_t port = host_port(piece_of(device), offset);

	(void)vcpu;
	if (size == 1)
		insn_out8(port, (uint8_t)value);
	else if (size == 2)
		insn_out16(port, (uint16_t)value);
	else
		insn_out32(port, (uint32_t)value);
	return STATUS_OK;
}

static const struct io_ops memory_ops = {memory_read, memory_write}, port_ops = {port_read, port_write};

/* ---- what there is ---- */

static bool is_port(const struct pci_passthrough_bar *bar)
{
	return bar->host->kind == PCI_BAR_PORT;
}

static enum status add_piece(struct pci_passthrough *function, unsigned index, uint64_t offset, uint64_t end, bool trapped)
{
	struct pci_passthrough_bar *bar = &function->bars[index];
	struct pci_passthrough_piece *piece = &bar->pieces[bar->piece_count];

	if (offset >= end)
		return STATUS_OK;
	*piece = (struct pci_passthrough_piece){.function = function, .bar = (uint8_t)index, .trapped = trapped, .offset = offset,
						.length = end - offset};
	if (trapped && !is_port(bar)) {
		piece->registers = host_paging_map_device(hpa(bar->host->address + offset), end - offset, false);
		if (piece->registers == NULL)
			return STATUS_NO_MEMORY;
	}
	bar->piece_count++;
	return STATUS_OK;
}

static enum status build_pieces(struct pci_passthrough *function, unsigned index)
{
	struct pci_passthrough_bar *bar = &function->bars[index];
	uint64_t size = bar->host->size, first, end;
	enum status status;

	if (is_port(bar) || size < PAGE_SIZE || !pci_bar_is_alone(function->host, bar->host))
		return add_piece(function, index, 0, size, true);
	if (function->message_count == 0 || function->table_bar != index)
		return add_piece(function, index, 0, size, false);
	first = align_down(function->table_offset, PAGE_SIZE);
	end = align_up(function->table_offset + (uint64_t)PCI_PASSTHROUGH_MESSAGE_SIZE * function->host_message_count, PAGE_SIZE);
	status = add_piece(function, index, 0, first, false);
	if (status == STATUS_OK)
		status = add_piece(function, index, first, end, true);
	if (status == STATUS_OK)
		status = add_piece(function, index, end, size, false);
	return status;
}

static unsigned register_of(unsigned index)
{
	return index == PCI_PASSTHROUGH_ROM ? PCI_ROM : PCI_BARS + 4 * index;
}

static void show(struct pci_passthrough *function, unsigned offset, uint32_t value, uint64_t kept)
{
	pci_passthrough_set32(function, offset, value);
	for (unsigned i = 0; i < 4; i++) {
		function->config.kept[offset + i] = (uint8_t)(kept >> (8 * i));
		function->config.effect[offset + i] = PCI_EFFECT_BARS;
	}
}

/* The register as after a reset, with the bits that say what it is. */
static void show_bar(struct pci_passthrough *function, unsigned index)
{
	const struct pci_bar *host = function->bars[index].host;
	uint64_t address_bits = ~(host->size - 1);
	uint32_t flags = host->prefetchable ? (uint32_t)PCI_BAR_IS_PREFETCHABLE : 0;

	if (index == PCI_PASSTHROUGH_ROM) {
		show(function, PCI_ROM, 0, (address_bits & BITS(31, 11)) | PCI_ROM_ENABLE);
	} else if (host->kind == PCI_BAR_PORT) {
		show(function, register_of(index), (uint32_t)PCI_BAR_IS_PORT, address_bits & BITS(31, 2));
	} else {
		flags |= host->kind == PCI_BAR_MEMORY_64 ? PCI_BAR_TYPE_64 << 1 : 0;
		show(function, register_of(index), flags, address_bits & BITS(31, 4));
		if (host->kind == PCI_BAR_MEMORY_64)
			show(function, register_of(index + 1), 0, address_bits >> 32);
	}
}

static const struct pci_bar *host_bar(const struct pci_function *host, unsigned index)
{
	const struct pci_bar *bar = index == PCI_PASSTHROUGH_ROM ? &host->rom : &host->bars[index];

	return bar->kind != PCI_BAR_NONE && bar->address != 0 && bar->size != 0 ? bar : NULL;
}

enum status pci_passthrough_build_bars(struct pci_passthrough *function)
{
	for (unsigned i = 0; i < PCI_PASSTHROUGH_BARS; i++) {
		struct pci_passthrough_bar *bar = &function->bars[i];
		enum status status;

		*bar = (struct pci_passthrough_bar){.host = host_bar(function->host, i)};
		if (bar->host == NULL)
			continue;
		status = build_pieces(function, i);
		if (status != STATUS_OK)
			return status;
	}
	return STATUS_OK;
}

void pci_passthrough_show_bars(struct pci_passthrough *function)
{
	for (unsigned i = 0; i < PCI_PASSTHROUGH_BARS; i++)
		if (function->bars[i].host != NULL)
			show_bar(function, i);
}

/* ---- where the guest has it ---- */

static uint64_t guest_base(const struct pci_passthrough *function, unsigned index)
{
	const struct pci_bar *host = function->bars[index].host;
	uint64_t base = pci_passthrough_get32(function, register_of(index));

	if (host->kind == PCI_BAR_MEMORY_64)
		base |= (uint64_t)pci_passthrough_get32(function, register_of(index + 1)) << 32;
	return base & ~(host->size - 1);
}

static bool is_active(const struct pci_passthrough_bar *bar)
{
	return bar->piece_count != 0 && bar->pieces[0].active;
}

/* Another one of the VM's is there: who came first keeps the place. */
static bool is_taken(const struct pci_passthrough *function, unsigned index, uint64_t base)
{
	const struct pci_passthrough_bar *bar = &function->bars[index];

	for (uint32_t i = 0; i < function->bus->count; i++) {
		for (unsigned b = 0; b < PCI_PASSTHROUGH_BARS; b++) {
			const struct pci_passthrough_bar *other = &function->bus->functions[i]->bars[b];

			if (other == bar || other->host == NULL || !is_active(other) || is_port(other) != is_port(bar))
				continue;
			if (ranges_overlap(base, bar->host->size, other->pieces[0].base, other->host->size))
				return true;
		}
	}
	return false;
}

/* Whether the guest has switched it on, and where. */
static bool is_enabled(const struct pci_passthrough *function, unsigned index, uint64_t *base)
{
	const struct pci_passthrough_bar *bar = &function->bars[index];
	uint16_t command = pci_passthrough_get16(function, PCI_COMMAND);

	*base = guest_base(function, index);
	if ((command & (is_port(bar) ? PCI_COMMAND_PORTS : PCI_COMMAND_MEMORY)) == 0)
		return false;
	return index != PCI_PASSTHROUGH_ROM || (pci_passthrough_get32(function, PCI_ROM) & PCI_ROM_ENABLE) != 0;
}

static bool is_allowed(const struct pci_passthrough *function, unsigned index, uint64_t base)
{
	const struct pci_passthrough_bar *bar = &function->bars[index];
	uint64_t size = bar->host->size;

	if (is_port(bar))
		return base != 0 && range_within(base, size, PORT_END) && !is_taken(function, index, base);
	return pci_window_holds(&function->vm->memory, base, size) && !is_taken(function, index, base);
}

static void remove_piece(struct pci_passthrough_piece *piece)
{
	struct vm *vm = piece->function->vm;
	bool port = is_port(&piece->function->bars[piece->bar]);

	if (!piece->active)
		return;
	piece->active = false;
	if (piece->trapped)
		io_bus_remove_device(&vm->buses[port ? IO_SPACE_PORT : IO_SPACE_MEMORY], &piece->device);
	else
		passthrough_unmap(vm, gpa(piece->base + piece->offset), piece->length);
}

static enum status activate_piece(struct pci_passthrough_piece *piece, uint64_t base)
{
	const struct pci_passthrough_bar *bar = &piece->function->bars[piece->bar];
	struct vm *vm = piece->function->vm;
	bool port = is_port(bar);
	struct io_region region = {
		.base = base + piece->offset, .length = piece->length, .ops = port ? &port_ops : &memory_ops, .device = &piece->device,
		.name = "passed-through function",
	};
	uint32_t attributes = piece->bar == PCI_PASSTHROUGH_ROM ? PAGE_READ : PAGE_READ | PAGE_WRITE;

	piece->base = base;
	if (piece->trapped)
		return io_bus_add(&vm->buses[port ? IO_SPACE_PORT : IO_SPACE_MEMORY], &region);
	return passthrough_map(vm, gpa(base + piece->offset), hpa(bar->host->address + piece->offset), piece->length, attributes);
}

static void set_host_rom(const struct pci_passthrough *function, bool on)
{
	pci_config_update(function->host->address, PCI_ROM, 4, PCI_ROM_ENABLE, on ? PCI_ROM_ENABLE : 0);
}

static void remove_bar(struct pci_passthrough *function, unsigned index)
{
	struct pci_passthrough_bar *bar = &function->bars[index];

	if (index == PCI_PASSTHROUGH_ROM && is_active(bar))
		set_host_rom(function, false);
	for (unsigned i = 0; i < bar->piece_count; i++)
		remove_piece(&bar->pieces[i]);
}

static void activate_bar(struct pci_passthrough *function, unsigned index, uint64_t base)
{
	struct pci_passthrough_bar *bar = &function->bars[index];

	for (unsigned i = 0; i < bar->piece_count; i++) {
		enum status status = activate_piece(&bar->pieces[i], base);

		bar->pieces[i].active = status == STATUS_OK;
		if (status == STATUS_OK)
			continue;
		if (log_limit_pass(&function->log_limit))
			log_warning("vm %s: pci " PCI_ADDRESS_FORMAT ": base address register %u is not shown at 0x%llx: %s",
				    function->vm->config->name, PCI_ADDRESS_ARGUMENTS(function->host->address), index,
				    (unsigned long long)base, status_name(status));
		remove_bar(function, index);
		return;
	}
	if (index == PCI_PASSTHROUGH_ROM)
		set_host_rom(function, true);
}

/* First all that go, so that their places are free for those that come. */
void pci_passthrough_update_bars(struct pci_passthrough *function)
{
	uint64_t base;

	for (unsigned i = 0; i < PCI_PASSTHROUGH_BARS; i++) {
		struct pci_passthrough_bar *bar = &function->bars[i];

		if (bar->host != NULL && is_active(bar) && (!is_enabled(function, i, &base) || base != bar->pieces[0].base))
			remove_bar(function, i);
	}
	for (unsigned i = 0; i < PCI_PASSTHROUGH_BARS; i++) {
		struct pci_passthrough_bar *bar = &function->bars[i];

		if (bar->host != NULL && !is_active(bar) && is_enabled(function, i, &base) && is_allowed(function, i, base))
			activate_bar(function, i, base);
	}
}

void pci_passthrough_remove_bars(struct pci_passthrough *function)
{
	for (unsigned i = 0; i < PCI_PASSTHROUGH_BARS; i++)
		if (function->bars[i].host != NULL)
			remove_bar(function, i);
}
