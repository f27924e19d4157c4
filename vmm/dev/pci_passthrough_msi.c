/*
 * MSI and MSI-X of passed-through functions. What the guest writes stays here; the function is programmed with messages
 * that lead through interrupt remapping entries of its own to host vectors, and each of these sends the guest's message
 * inside of the VM. PCI Local Bus Specification, "MSI and MSI-X Capabilities".
 */
#include "vmm/dev/pci_passthrough.h"

#include "arch/x86/mm/host_paging.h"
#include "arch/x86/mmio.h"
#include "drivers/pci/pci_registers.h"
#include "lib/bits.h"
#include "lib/checked.h"
#include "vmm/vm.h"

#define MSI_CONTROL 2u
#define MSI_ADDRESS 4u
#define MSI_ENABLE BIT(0)
#define MSI_MULTIPLE BITS(6, 4)
#define MSI_FLAG_64 BIT(7)
#define MSI_FLAG_MASKS BIT(8)

#define MSIX_CONTROL 2u
#define MSIX_TABLE 4u
#define MSIX_ENABLE BIT(15)
#define MSIX_MASK_ALL BIT(14)
#define MSIX_COUNT BITS(10, 0)
#define MSIX_BAR BITS(2, 0)

/* An MSI-X entry. */
#define ENTRY_ADDRESS_HIGH 4u
#define ENTRY_DATA 8u
#define ENTRY_CONTROL 12u
#define ENTRY_MASKED BIT(0)

/* ---- a message of the guest's ---- */

static bool deliver(struct passthrough_interrupt *interrupt)
{
	struct pci_passthrough_message *message = container_of(interrupt, struct pci_passthrough_message, interrupt);

	pci_passthrough_count_interrupt(message->function);
	/* A message that is none is the guest's own business. */
	(void)irq_msi_send(interrupt->vm, message->address, message->data);
	return true;
}

/* At whom the guest aims, if that is one vCPU: else the first one's CPU is interrupted for all of them. */
static enum status aim(const struct pci_passthrough *function, struct pci_passthrough_message *message)
{
	uint8_t vector;
	const struct vcpu *target = irq_msi_target(function->vm, message->address, message->data, &vector);

	if (target == NULL)
		return passthrough_interrupt_aim(&message->interrupt, function->vm->vcpus[0], 0);
	return passthrough_interrupt_aim(&message->interrupt, target, function->posts ? vector : 0);
}

/* A way for the message from the function to the guest; false: there is none. */
static bool make_way(struct pci_passthrough *function, struct pci_passthrough_message *message)
{
	bool was_bound = message->interrupt.bound;
	enum status status = STATUS_OK;

	if (!was_bound) {
		message->interrupt = (struct passthrough_interrupt){.vm = function->vm, .deliver = deliver};
		message->function = function;
		status = passthrough_interrupt_bind(&message->interrupt, function->host);
	}
	if (status == STATUS_OK)
		status = aim(function, message);
	if (status == STATUS_OK)
		return true;
	if (!was_bound)
		passthrough_interrupt_unbind(&message->interrupt);
	if (log_limit_pass(&function->log_limit))
		log_warning("vm %s: pci " PCI_ADDRESS_FORMAT ": no interrupt for a message: %s", function->vm->config->name,
			    PCI_ADDRESS_ARGUMENTS(function->host->address), status_name(status));
	return false;
}

/* ---- MSI ---- */

static void host_write(const struct pci_passthrough *function, unsigned offset, unsigned size, uint32_t value)
{
	pci_config_write(function->host->address, (uint16_t)offset, size, value);
}

static void host_msi_enable(const struct pci_passthrough *function, bool on)
{
	pci_config_update(function->host->address, (uint16_t)(function->config.msi + MSI_CONTROL), 2, MSI_ENABLE | MSI_MULTIPLE,
			  on ? MSI_ENABLE : 0);
}

/* 0: it cannot be masked. */
static unsigned msi_mask_register(const struct pci_passthrough *function)
{
	uint16_t control = pci_passthrough_get16(function, function->config.msi + MSI_CONTROL);

	if (!(control & MSI_FLAG_MASKS))
		return 0;
	return function->config.msi + (control & MSI_FLAG_64 ? 16u : 12u);
}

/* Silent while the guest wants it to be, or while it is held back: masked, so that the function keeps what it asks for,
 * or off. */
static void update_msi_mask(const struct pci_passthrough *function)
{
	unsigned mask = msi_mask_register(function);

	if (mask != 0)
		host_write(function, mask, 4, pci_passthrough_get32(function, mask) | ~(uint32_t)1 | function->held);
	else
		host_msi_enable(function, !function->held);
}

static void read_guest_msi(struct pci_passthrough *function, uint16_t control)
{
	struct pci_passthrough_message *message = &function->msi;
	unsigned base = function->config.msi;
	bool wide = control & MSI_FLAG_64;

	message->address = pci_passthrough_get32(function, base + MSI_ADDRESS);
	if (wide)
		message->address |= (uint64_t)pci_passthrough_get32(function, base + 8) << 32;
	message->data = pci_passthrough_get16(function, base + (wide ? 12 : 8));
}

static void program_msi(const struct pci_passthrough *function, uint16_t control)
{
	const struct iommu_interrupt *remapped = &function->msi.interrupt.remapped;
	unsigned base = function->config.msi;
	bool wide = control & MSI_FLAG_64;

	host_write(function, base + MSI_ADDRESS, 4, (uint32_t)remapped->address);
	if (wide)
		host_write(function, base + 8, 4, (uint32_t)(remapped->address >> 32));
	host_write(function, base + (wide ? 12 : 8), 2, remapped->data & 0xffff);
	host_msi_enable(function, msi_mask_register(function) != 0 || !function->held);
}

static void stop_msi(struct pci_passthrough *function)
{
	if (function->config.msi == 0)
		return;
	host_msi_enable(function, false);
	passthrough_interrupt_unbind(&function->msi.interrupt);
}

void pci_passthrough_update_msi(struct pci_passthrough *function)
{
	unsigned base = function->config.msi;
	uint16_t control = pci_passthrough_get16(function, base + MSI_CONTROL);
	bool was_bound = function->msi.interrupt.bound;

	if (!(control & MSI_ENABLE)) {
		stop_msi(function);
		return;
	}
	read_guest_msi(function, control);
	if (!make_way(function, &function->msi))
		return;
	if (control & MSI_FLAG_MASKS)
		update_msi_mask(function);
	if (!was_bound)
		program_msi(function, control);
}

/* ---- MSI-X ---- */

static volatile uint8_t *host_entry(const struct pci_passthrough *function, uint32_t index)
{
	return function->table + (size_t)index * PCI_PASSTHROUGH_MESSAGE_SIZE;
}

void pci_passthrough_find_msix(struct pci_passthrough *function)
{
	const struct pci_function *host = function->host;
	uint8_t capability = pci_find_capability(host, PCI_CAPABILITY_MSIX);
	uint32_t place, count;
	const struct pci_bar *bar;

	function->message_count = function->host_message_count = 0;
	if (capability == 0)
		return;
	place = pci_config_read(host->address, (uint16_t)(capability + MSIX_TABLE), 4);
	count = (pci_config_read(host->address, (uint16_t)(capability + MSIX_CONTROL), 2) & (uint32_t)MSIX_COUNT) + 1;
	if ((place & MSIX_BAR) >= PCI_MAX_BARS)
		return;
	bar = &host->bars[place & MSIX_BAR];
	if ((bar->kind != PCI_BAR_MEMORY_32 && bar->kind != PCI_BAR_MEMORY_64) || bar->address == 0 ||
	    !range_within(place & ~(uint32_t)MSIX_BAR, (uint64_t)count * PCI_PASSTHROUGH_MESSAGE_SIZE, bar->size))
		return;
	function->table_bar = (uint8_t)(place & MSIX_BAR);
	function->table_offset = place & ~(uint32_t)MSIX_BAR;
	function->host_message_count = count;
	function->message_count = (uint32_t)min_u64(count, PCI_PASSTHROUGH_MAX_MESSAGES);
}

enum status pci_passthrough_map_msix(struct pci_passthrough *function)
{
	const struct pci_bar *bar = &function->host->bars[function->table_bar];

	if (function->message_count == 0)
		return STATUS_OK;
	function->table = host_paging_map_device(hpa(bar->address + function->table_offset),
						 (uint64_t)function->host_message_count * PCI_PASSTHROUGH_MESSAGE_SIZE, false);
	return function->table != NULL ? STATUS_OK : STATUS_NO_MEMORY;
}

static void mask_host_entry(const struct pci_passthrough *function, uint32_t index)
{
	mmio_write32(host_entry(function, index) + ENTRY_CONTROL, (uint32_t)ENTRY_MASKED);
}

/* Masked while it changes. */
static void update_entry(struct pci_passthrough *function, uint32_t index)
{
	struct pci_passthrough_message *message = &function->messages[index];
	uint16_t control = pci_passthrough_get16(function, function->config.msix + MSIX_CONTROL);
	const struct iommu_interrupt *remapped = &message->interrupt.remapped;
	volatile uint8_t *entry = host_entry(function, index);

	if (!function->msix_on)
		return;
	mask_host_entry(function, index);
	if ((message->control & ENTRY_MASKED) || (control & MSIX_MASK_ALL) || !make_way(function, message))
		return;
	mmio_write32(entry, (uint32_t)remapped->address);
	mmio_write32(entry + ENTRY_ADDRESS_HIGH, (uint32_t)(remapped->address >> 32));
	mmio_write32(entry + ENTRY_DATA, remapped->data);
	mmio_write32(entry + ENTRY_CONTROL, 0);
}

static void host_msix_enable(const struct pci_passthrough *function, bool on)
{
	pci_config_update(function->host->address, (uint16_t)(function->config.msix + MSIX_CONTROL), 2, MSIX_ENABLE | MSIX_MASK_ALL,
			  on ? MSIX_ENABLE | (function->held ? MSIX_MASK_ALL : 0) : 0);
}

static void start_msix(struct pci_passthrough *function)
{
	if (function->msix_on)
		return;
	for (uint32_t i = 0; i < function->host_message_count; i++)
		mask_host_entry(function, i);
	host_msix_enable(function, true);
	function->msix_on = true;
}

static void stop_msix(struct pci_passthrough *function)
{
	if (function->config.msix == 0)
		return;
	host_msix_enable(function, false);
	function->msix_on = false;
	for (uint32_t i = 0; i < function->message_count; i++)
		passthrough_interrupt_unbind(&function->messages[i].interrupt);
}

void pci_passthrough_update_msix(struct pci_passthrough *function)
{
	uint16_t control = pci_passthrough_get16(function, function->config.msix + MSIX_CONTROL);

	if (!(control & MSIX_ENABLE)) {
		if (function->msix_on)
			stop_msix(function);
		return;
	}
	start_msix(function);
	for (uint32_t i = 0; i < function->message_count; i++)
		update_entry(function, i);
}

void pci_passthrough_stop_messages(struct pci_passthrough *function)
{
	stop_msi(function);
	stop_msix(function);
	for (uint32_t i = 0; i < PCI_PASSTHROUGH_MAX_MESSAGES; i++) {
		struct pci_passthrough_message *message = &function->messages[i];

		message->address = message->data = 0;
		message->control = (uint32_t)ENTRY_MASKED; /* as after a reset */
	}
}

void pci_passthrough_hold_messages(struct pci_passthrough *function)
{
	if (function->msix_on)
		host_msix_enable(function, true);
	if (function->msi.interrupt.bound)
		update_msi_mask(function);
}

void pci_passthrough_release_messages(struct pci_passthrough *function)
{
	const struct pci_passthrough_message *msi = &function->msi;

	pci_passthrough_hold_messages(function);
	/* What it asked for while it was off is lost. One too many does no harm. */
	if (msi->interrupt.bound && msi_mask_register(function) == 0)
		(void)irq_msi_send(function->vm, msi->address, msi->data);
}

void pci_passthrough_aim_messages(struct pci_passthrough *function)
{
	if (function->msi.interrupt.bound)
		pci_passthrough_update_msi(function);
	for (uint32_t i = 0; i < function->message_count; i++)
		if (function->messages[i].interrupt.bound)
			update_entry(function, i);
}

/* ---- the table as the guest sees it ---- */

bool pci_passthrough_in_table(const struct pci_passthrough *function, unsigned bar, uint64_t offset, unsigned size)
{
	uint64_t length = (uint64_t)function->host_message_count * PCI_PASSTHROUGH_MESSAGE_SIZE;

	return length != 0 && bar == function->table_bar && ranges_overlap(offset, size, function->table_offset, length);
}

static uint32_t read_word(const struct pci_passthrough *function, uint64_t offset)
{
	uint64_t index = offset / PCI_PASSTHROUGH_MESSAGE_SIZE;
	unsigned place = (unsigned)(offset % PCI_PASSTHROUGH_MESSAGE_SIZE);
	const struct pci_passthrough_message *message;

	if (index >= function->message_count)
		return 0;
	message = &function->messages[index];
	if (place < ENTRY_DATA)
		return (uint32_t)(message->address >> (8 * place));
	return place == ENTRY_DATA ? message->data : message->control;
}

static void write_word(struct pci_passthrough *function, uint64_t offset, uint32_t value)
{
	uint64_t index = offset / PCI_PASSTHROUGH_MESSAGE_SIZE;
	unsigned place = (unsigned)(offset % PCI_PASSTHROUGH_MESSAGE_SIZE);
	struct pci_passthrough_message *message;

	if (index >= function->message_count)
		return;
	message = &function->messages[index];
	if (place == ENTRY_CONTROL)
		message->control = value & (uint32_t)ENTRY_MASKED;
	else if (place == ENTRY_DATA)
		message->data = value;
	else if (place == ENTRY_ADDRESS_HIGH)
		message->address = (message->address & BITS(31, 0)) | (uint64_t)value << 32;
	else
		message->address = (message->address & BITS(63, 32)) | (value & ~3u);
	update_entry(function, (uint32_t)index);
}

/* Double words and quad words only, aligned: "MSI-X Table and PBA Structures". The table begins at a multiple of 8. */
uint64_t pci_passthrough_table_read(struct pci_passthrough *function, uint64_t offset, unsigned size)
{
	uint64_t value;

	if (size < 4)
		return 0;
	offset -= function->table_offset;
	value = read_word(function, offset);
	return size == 8 ? value | (uint64_t)read_word(function, offset + 4) << 32 : value;
}

void pci_passthrough_table_write(struct pci_passthrough *function, uint64_t offset, unsigned size, uint64_t value)
{
	if (size < 4)
		return;
	offset -= function->table_offset;
	write_word(function, offset, (uint32_t)value);
	if (size == 8)
		write_word(function, offset + 4, (uint32_t)(value >> 32));
}
