#include "drivers/pci/pci_owner.h"

#include "arch/x86/spinlock.h"
#include "drivers/framebuffer/framebuffer.h"
#include "drivers/pci/pci_ats.h"
#include "drivers/pci/pci_internal.h"
#include "drivers/serial/uart16550.h"
#include "lib/checked.h"
#include "lib/string.h"

#define ANY_SUBCLASS 0xffu
#define CLASS_DISPLAY 0x03u

/* What the machine needs as it is. */
static const struct { uint8_t class_code, subclass; } chip_set[] = {
	{0x05, 0x80},         /* memory controllers of other kinds: power management of chip sets */
	{0x06, ANY_SUBCLASS}, /* bridges */
	{0x08, 0x00},         /* interrupt controllers */
	{0x08, 0x01},         /* DMA controllers of the ISA bus */
	{0x08, 0x02},         /* timers */
	{0x08, 0x03},         /* real-time clocks */
	{0x08, 0x06},         /* IOMMUs */
	{0x0c, 0x05},         /* SMBus */
};

static struct spinlock lock; /* protects owners, and that bus mastering is as they say */

static bool is_chip_set(const struct pci_function *function)
{
	for (size_t i = 0; i < array_count(chip_set); i++)
		if (chip_set[i].class_code == function->class_code &&
		    (chip_set[i].subclass == function->subclass || chip_set[i].subclass == ANY_SUBCLASS))
			return true;
	return pci_is_bridge(function);
}

static bool bars_hold(const struct pci_function *function, bool port, uint64_t address)
{
	for (unsigned i = 0; i < PCI_MAX_BARS; i++) {
		const struct pci_bar *bar = &function->bars[i];

		if (bar->kind != PCI_BAR_NONE && (bar->kind == PCI_BAR_PORT) == port && bar->address != 0 &&
		    ranges_overlap(bar->address, max_u64(bar->size, 1), address, 1))
			return true;
	}
	return false;
}

static bool is_console(const struct pci_function *function)
{
	if (uart16550_is_available() && bars_hold(function, true, uart16550_port()))
		return true;
	return framebuffer_is_available() && bars_hold(function, false, framebuffer_address().value);
}

static void clear_enable(const struct pci_function *function, uint8_t id, unsigned control, uint64_t enable)
{
	unsigned offset = pci_find_capability(function, id);

	if (offset != 0)
		pci_update(function, offset + control, 2, enable, 0);
}

static void clear_extended_enable(const struct pci_function *function, uint16_t id, unsigned control, uint64_t enable)
{
	unsigned offset = pci_find_extended_capability(function, id);

	if (offset != 0)
		pci_update(function, offset + control, 2, enable, 0);
}

/* One function must show one source: phantom functions would be others, which nothing is known of. */
void pci_quarantine(const struct pci_function *function)
{
	pci_update(function, PCI_COMMAND, 2, PCI_COMMAND_BUS_MASTER, PCI_COMMAND_INTERRUPT_DISABLE);
	clear_enable(function, PCI_CAPABILITY_MSI, PCI_MSI_CONTROL, PCI_MSI_ENABLE);
	clear_enable(function, PCI_CAPABILITY_MSIX, PCI_MSIX_CONTROL, PCI_MSIX_ENABLE);
	clear_enable(function, PCI_CAPABILITY_EXPRESS, PCI_EXPRESS_DEVICE_CONTROL, PCI_EXPRESS_PHANTOM_FUNCTIONS);
	clear_extended_enable(function, PCI_EXTENDED_PAGE_REQUESTS, PCI_PAGE_REQUESTS_CONTROL,
			      PCI_PAGE_REQUESTS_ENABLE);
	pci_ats_set(function, false);
	clear_extended_enable(function, PCI_EXTENDED_PASID, PCI_PASID_CONTROL, PCI_PASID_ENABLE);
}

void pci_owner_init(void)
{
	for (uint32_t i = 0; i < pci_count(); i++) {
		struct pci_function *function = pci_writable(pci_get(i));

		function->owner =
			is_chip_set(function) || is_console(function) ? PCI_OWNER_HYPERVISOR : PCI_OWNER_QUARANTINE;
		if (function->owner == PCI_OWNER_QUARANTINE)
			pci_quarantine(function);
	}
}

static enum status claim_locked(struct pci_function *function, enum pci_owner owner, const char *name)
{
	if (function->owner != PCI_OWNER_QUARANTINE)
		return function->owner == PCI_OWNER_VM ? STATUS_BUSY : STATUS_DENIED;
	if (function->dead)
		return STATUS_IO;
	function->owner = owner;
	(void)string_copy(function->owner_name, sizeof(function->owner_name), name);
	return STATUS_OK;
}

enum status pci_claim(const struct pci_function *function, enum pci_owner owner, const char *name)
{
	enum status status;

	if (owner != PCI_OWNER_VM && owner != PCI_OWNER_HYPERVISOR)
		return STATUS_INVALID;
	spinlock_lock(&lock);
	status = claim_locked(pci_writable(function), owner, name != NULL ? name : "");
	spinlock_unlock(&lock);
	return status;
}

void pci_release(const struct pci_function *constant)
{
	struct pci_function *function = pci_writable(constant);

	if (is_chip_set(function) || is_console(function))
		return;
	spinlock_lock(&lock);
	pci_quarantine(function);
	function->owner = PCI_OWNER_QUARANTINE;
	function->owner_name[0] = '\0';
	function->cut_off = false;
	spinlock_unlock(&lock);
}

enum status pci_set_bus_master(const struct pci_function *function, bool on)
{
	enum status status = STATUS_OK;

	spinlock_lock(&lock);
	if (on && (function->owner == PCI_OWNER_QUARANTINE || function->cut_off || function->dead))
		status = STATUS_DENIED;
	else
		pci_update(function, PCI_COMMAND, 2, PCI_COMMAND_BUS_MASTER, on ? PCI_COMMAND_BUS_MASTER : 0);
	spinlock_unlock(&lock);
	return status;
}

void pci_cut_off(const struct pci_function *function)
{
	spinlock_lock(&lock);
	pci_writable(function)->cut_off = true;
	pci_update(function, PCI_COMMAND, 2, PCI_COMMAND_BUS_MASTER, 0);
	spinlock_unlock(&lock);
}

const char *pci_owner_name(const struct pci_function *function)
{
	switch (function->owner) {
	case PCI_OWNER_HYPERVISOR:
		return "hypervisor";
	case PCI_OWNER_VM:
		return function->owner_name;
	default:
		return "quarantine";
	}
}
