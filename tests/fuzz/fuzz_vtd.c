/*
 * What VT-d's firmware tables and units may say. The first byte chooses: fault records, decoded, counted and told; or a DMAR
 * table with the bytes behind it as the units' registers, whose scopes are walked on a machine with nested and odd bridges.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "arch/x86/acpi/acpi.h"
#include "arch/x86/clock.h"
#include "arch/x86/log.h"
#include "arch/x86/mm/host_paging.h"
#include "arch/x86/physmap.h"
#include "drivers/iommu/iommu_fault.h"
#include "drivers/iommu/vtd_fault.h"
#include "drivers/iommu/vtd_scope.h"
#include "drivers/iommu/vtd_units.h"
#include "lib/checked.h"
#include "tests/fake/fake_cpu.h"
#include "tests/fake/fake_pci.h"
#include "tests/fake/fake_physmap.h"
#include "tests/unit/failing_pool.h"

#define RECORD 16u
#define REGISTERS 0x10000u
#define RAM_END GIB

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct acpi_info acpi;
static struct boot_info boot;
static const uint8_t *registers;
static size_t register_bytes;

const struct acpi_info *acpi_get(void)
{
	return &acpi;
}

void log_write(enum log_level level, const char *format, ...)
{
	(void)level;
	(void)format;
}

bool log_limit_pass(struct log_limit *limit)
{
	(void)limit;
	return true;
}

/* Each unit's registers are the same bytes. */
void *host_paging_map_device(hpa_t address, uint64_t length, bool write_combining)
{
	(void)write_combining;
	if (address.value < RAM_END || !range_within(address.value, REGISTERS, FAKE_PHYSICAL_SIZE) || length > REGISTERS)
		return NULL;
	if (address.value >= FAKE_PCI_ECAM_BASE + 256 * MIB)
		memcpy(physmap_pointer(address), registers, register_bytes < PAGE_SIZE ? register_bytes : PAGE_SIZE);
	return physmap_pointer(address);
}

/* Bridges in a row, one that points back and one to a bus with nothing on it. */
static void make_machine(void)
{
	fake_cpu_reset();
	clock_set_frequency(1000000000);
	fake_pci_reset();
	pool_reset();
	boot.region_count = 1;
	boot.regions[0] = (struct boot_memory_region){.base = 0, .length = RAM_END, .type = BOOT_MEMORY_USABLE};
	for (uint8_t bus = 0; bus < 4; bus++) {
		fake_pci_add((struct pci_address){0, bus, 1, 0}, 1, 2, 0x0200);
		fake_pci_add_bridge((struct pci_address){0, bus, 2, 0}, (uint8_t)(bus + 1), 8);
		fake_pci_add_bridge((struct pci_address){0, bus, 3, 0}, bus == 3 ? 0 : 200, 255);
	}
	if (pci_scan() != STATUS_OK)
		abort();
}

static void fuzz_records(const uint8_t *data, size_t size)
{
	static struct acpi_drhd drhd;
	const struct vtd_unit unit = {.description = &drhd};

	for (; size >= RECORD; data += RECORD, size -= RECORD) {
		struct iommu_fault fault;
		uint64_t halves[2];
		bool say;

		memcpy(halves, data, sizeof(halves));
		fault = vtd_fault_decode(&unit, halves[0], halves[1]);
		(void)!iommu_fault_count(&fault, &say);
		iommu_fault_tell(&fault, "vm web");
		if (halves[0] & 1)
			iommu_fault_forget(fault.segment, fault.requester);
	}
}

static void check_function(const struct pci_function *function)
{
	const struct vtd_unit *unit = vtd_unit_of(function);
	uint64_t length;
	hpa_t base;

	if (unit != NULL && unit->description->segment != function->address.segment)
		abort();
	for (uint32_t i = 0; vtd_reserved_memory(function, i, &base, &length); i++)
		if (i >= ACPI_MAX_RMRRS || base.value < RAM_END || length == 0 || !is_aligned(base.value | length, PAGE_SIZE))
			abort();
	(void)vtd_allows_ats(function);
}

static void fuzz_table(const uint8_t *data, size_t size)
{
	size_t table = size < 2 ? size : (size_t)(data[0] | data[1] << 8) % size;
	const char *why = NULL;
	uint16_t requester;

	registers = data + table;
	register_bytes = size - table;
	(void)acpi_dmar_parse(data, table, &acpi.dmar);
	for (uint32_t i = 0; i < acpi.dmar.drhd_count; i++)
		(void)vtd_scopes_unresolved(acpi.dmar.drhds[i].segment, &acpi.dmar.drhds[i].scopes);
	if (vtd_units_probe(&boot, &why) != STATUS_OK && (why == NULL || strlen(why) > 200))
		abort();
	for (uint32_t i = 0; i < pci_count(); i++)
		check_function(pci_get(i));
	(void)vtd_unit_of_io_apic(2, &requester);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool ready;

	if (!ready)
		make_machine();
	ready = true;
	if (size == 0)
		return 0;
	if (data[0] & 1)
		fuzz_records(data + 1, size - 1);
	else
		fuzz_table(data + 1, size - 1);
	return 0;
}
