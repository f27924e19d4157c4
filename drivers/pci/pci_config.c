#include "drivers/pci/pci_config.h"

#include "arch/x86/acpi/acpi.h"
#include "arch/x86/insn.h"
#include "arch/x86/log.h"
#include "arch/x86/mm/host_paging.h"
#include "arch/x86/mmio.h"
#include "arch/x86/physmap.h"
#include "arch/x86/spinlock.h"
#include "lib/bits.h"
#include "lib/string.h"

#define PORT_ADDRESS 0xcf8u
#define PORT_DATA 0xcfcu
#define ADDRESS_ENABLE BIT(31)
#define PORT_CONFIG_SIZE 256u
#define ECAM_CONFIG_SIZE 4096u
#define BUSES 256u

struct ecam_window {
	struct acpi_ecam ecam;
	bool usable;
	uint64_t mapped[BUSES / 64], refused[BUSES / 64]; /* buses, a bit each */
};

static struct spinlock lock; /* protects the address port and the windows' bits */
static struct ecam_window windows[ACPI_MAX_ECAMS];
static uint32_t window_count;
static bool ports_answer;

static bool bit_test(const uint64_t *bits, uint8_t number)
{
	return (bits[number / 64] & BIT(number % 64)) != 0;
}

/* The window of a bus, mapped; NULL if it has none. */
static struct ecam_window *find_window(uint16_t segment, uint8_t bus)
{
	for (uint32_t i = 0; i < window_count; i++) {
		struct ecam_window *window = &windows[i];
		hpa_t base = hpa(window->ecam.base.value + bus * MIB);

		if (!window->usable || window->ecam.segment != segment)
			continue;
		if (bus < window->ecam.first_bus || bus > window->ecam.last_bus)
			continue;
		if (!bit_test(window->mapped, bus) && !bit_test(window->refused, bus)) {
			bool mapped = host_paging_map_device(base, MIB, false) != NULL;

			(mapped ? window->mapped : window->refused)[bus / 64] |= BIT(bus % 64);
		}
		return bit_test(window->mapped, bus) ? window : NULL;
	}
	return NULL;
}

static volatile void *ecam_pointer(const struct ecam_window *window, struct pci_address address, uint16_t offset)
{
	uint64_t function = (uint64_t)address.bus << 8 | (uint64_t)address.device << 3 | address.function;

	return physmap_pointer(hpa(window->ecam.base.value + (function << 12) + offset));
}

static uint32_t ecam_read(const volatile void *pointer, unsigned size)
{
	switch (size) {
	case 1:
		return mmio_read8(pointer);
	case 2:
		return mmio_read16(pointer);
	default:
		return mmio_read32(pointer);
	}
}

static void ecam_write(volatile void *pointer, unsigned size, uint32_t value)
{
	switch (size) {
	case 1:
		mmio_write8(pointer, (uint8_t)value);
		break;
	case 2:
		mmio_write16(pointer, (uint16_t)value);
		break;
	default:
		mmio_write32(pointer, value);
		break;
	}
}

/* Selects the register; its data port is returned. */
static uint16_t select_port(struct pci_address address, uint16_t offset)
{
	uint32_t select = (uint32_t)(ADDRESS_ENABLE | (uint32_t)address.bus << 16 | (uint32_t)address.device << 11 |
				     (uint32_t)address.function << 8 | (offset & 0xfcu));

	insn_out32(PORT_ADDRESS, select);
	return (uint16_t)(PORT_DATA + (offset & 3));
}

static uint32_t port_read(struct pci_address address, uint16_t offset, unsigned size)
{
	uint16_t port = select_port(address, offset);

	switch (size) {
	case 1:
		return insn_in8(port);
	case 2:
		return insn_in16(port);
	default:
		return insn_in32(port);
	}
}

static void port_write(struct pci_address address, uint16_t offset, unsigned size, uint32_t value)
{
	uint16_t port = select_port(address, offset);

	switch (size) {
	case 1:
		insn_out8(port, (uint8_t)value);
		break;
	case 2:
		insn_out16(port, (uint16_t)value);
		break;
	default:
		insn_out32(port, value);
		break;
	}
}

static bool is_valid(struct pci_address address, uint16_t offset, unsigned size)
{
	return (size == 1 || size == 2 || size == 4) && is_aligned(offset, size) && offset < ECAM_CONFIG_SIZE &&
	       address.device < PCI_DEVICES_PER_BUS && address.function < PCI_FUNCTIONS_PER_DEVICE;
}

static bool ports_reach(uint16_t segment, uint16_t offset)
{
	return ports_answer && segment == 0 && offset < PORT_CONFIG_SIZE;
}

static uint32_t read_locked(struct pci_address address, uint16_t offset, unsigned size)
{
	const struct ecam_window *window = find_window(address.segment, address.bus);

	if (window != NULL)
		return ecam_read(ecam_pointer(window, address, offset), size);
	return ports_reach(address.segment, offset) ? port_read(address, offset, size) : UINT32_MAX;
}

static void write_locked(struct pci_address address, uint16_t offset, unsigned size, uint32_t value)
{
	const struct ecam_window *window = find_window(address.segment, address.bus);

	if (window != NULL)
		ecam_write(ecam_pointer(window, address, offset), size, value);
	else if (ports_reach(address.segment, offset))
		port_write(address, offset, size, value);
}

uint32_t pci_config_read(struct pci_address address, uint16_t offset, unsigned size)
{
	uint32_t value = UINT32_MAX;

	if (size < 1 || size > sizeof(value))
		return value;
	if (!is_valid(address, offset, size))
		return value & (uint32_t)size_mask(size);
	spinlock_lock(&lock);
	value = read_locked(address, offset, size);
	spinlock_unlock(&lock);
	return value & (uint32_t)size_mask(size);
}

void pci_config_write(struct pci_address address, uint16_t offset, unsigned size, uint32_t value)
{
	if (!is_valid(address, offset, size))
		return;
	spinlock_lock(&lock);
	write_locked(address, offset, size, value);
	spinlock_unlock(&lock);
}

void pci_config_update(struct pci_address address, uint16_t offset, unsigned size, uint32_t clear, uint32_t set)
{
	if (!is_valid(address, offset, size))
		return;
	spinlock_lock(&lock);
	write_locked(address, offset, size, (read_locked(address, offset, size) & ~clear) | set);
	spinlock_unlock(&lock);
}

uint16_t pci_config_size(uint16_t segment, uint8_t bus)
{
	uint16_t size = 0;

	spinlock_lock(&lock);
	if (find_window(segment, bus) != NULL)
		size = ECAM_CONFIG_SIZE;
	else if (ports_reach(segment, 0))
		size = PORT_CONFIG_SIZE;
	spinlock_unlock(&lock);
	return size;
}

/* The address register keeps what is written to it only where the mechanism exists. */
static bool probe_ports(void)
{
	uint32_t before = insn_in32(PORT_ADDRESS);
	bool kept;

	insn_out32(PORT_ADDRESS, (uint32_t)ADDRESS_ENABLE);
	kept = insn_in32(PORT_ADDRESS) == (uint32_t)ADDRESS_ENABLE;
	insn_out32(PORT_ADDRESS, before);
	return kept;
}

static void check_window(struct ecam_window *window)
{
	static const struct pci_address root;
	const struct ecam_window *found;

	if (!ports_answer || window->ecam.segment != 0 || window->ecam.first_bus != 0)
		return;
	found = find_window(0, 0);
	if (found == window && ecam_read(ecam_pointer(found, root, 0), 4) == port_read(root, 0, 4))
		return;
	window->usable = false;
	log_warning("PCI: MCFG's window at 0x%llx does not show the host bridge: only 256 bytes of a function are used",
		    (unsigned long long)window->ecam.base.value);
}

void pci_config_init(void)
{
	const struct acpi_mcfg *mcfg = &acpi_get()->mcfg;

	spinlock_lock(&lock);
	ports_answer = probe_ports();
	memset(windows, 0, sizeof(windows));
	window_count = 0;
	for (uint32_t i = 0; i < mcfg->ecam_count; i++) {
		struct ecam_window *window = &windows[window_count++];

		window->ecam = mcfg->ecams[i];
		window->usable = true;
		check_window(window);
	}
	spinlock_unlock(&lock);
}
