/*
 * A machine with VT-d units for tests of drivers/iommu: the functions of tests/fake/fake_pci.h behind the units of vtd_model.h.
 * Included by one .c file of a program.
 */
#pragma once

#include "tests/unit/pci_fixture.h"

#include "arch/x86/irq/interrupt.h"
#include "arch/x86/irq/ioapic.h"
#include "arch/x86/irq/lapic.h"
#include "drivers/iommu/iommu.h"
#include "drivers/pci/pci_groups.h"
#include "drivers/pci/pci_owner.h"
#include "tests/fake/fake_pcpu.h"
#include "tests/unit/failing_pool.h"
#include "tests/unit/vtd_model.h"

#define RAM_END (1 * GIB)
#define IO_APIC_ID 2u
#define IO_APIC_SOURCE 0xff00u

static struct boot_info fixture_boot;
static bool fixture_x2apic;
static ioapic_remapper fixture_remapper;
static interrupt_handler fixture_fault_handler;

/* As log.c's, without telling what was left out. */
bool log_limit_pass(struct log_limit *limit)
{
	if (clock_now() - limit->window_start > FIXTURE_HZ)
		*limit = (struct log_limit){.window_start = clock_now()};
	return limit->passed++ < LOG_LIMIT_PER_SECOND;
}

bool lapic_is_x2apic(void) { return fixture_x2apic; }

void interrupt_register(uint8_t vector, interrupt_handler handler)
{
	assert_int_equal(vector, INTERRUPT_VECTOR_IOMMU);
	fixture_fault_handler = handler;
}

enum status ioapic_remap_all(ioapic_remapper remapper, enum status (*enable)(void))
{
	enum status status = enable();

	fixture_remapper = status == STATUS_OK ? remapper : NULL;
	return status;
}

/* ---- DMAR ---- */

static inline struct acpi_drhd *fixture_add_unit(bool include_all)
{
	struct acpi_dmar *dmar = &fixture_acpi.dmar;
	struct acpi_drhd *drhd = &dmar->drhds[dmar->drhd_count];

	drhd->include_all = include_all;
	drhd->registers = hpa(model_address(dmar->drhd_count++));
	drhd->length = PAGE_SIZE;
	return drhd;
}

static inline struct acpi_scope *fixture_add_scope(struct acpi_scope_list *list, uint8_t type, uint8_t bus, uint8_t device,
						   uint8_t function)
{
	struct acpi_scope *scope = &list->scopes[list->count++];

	*scope = (struct acpi_scope){.type = type, .start_bus = bus, .path_length = 1};
	scope->path[0].device = device;
	scope->path[0].function = function;
	return scope;
}

static inline void fixture_add_io_apic(struct acpi_drhd *drhd)
{
	fixture_add_scope(&drhd->scopes, ACPI_SCOPE_IO_APIC, IO_APIC_SOURCE >> 8, 0, 0)->enumeration_id = IO_APIC_ID;
}

static inline void fixture_add_rmrr(uint64_t base, uint64_t length, uint8_t device)
{
	struct acpi_rmrr *rmrr = &fixture_acpi.dmar.rmrrs[fixture_acpi.dmar.rmrr_count++];

	rmrr->base = hpa(base);
	rmrr->limit = hpa(base + length - 1);
	fixture_add_scope(&rmrr->scopes, ACPI_SCOPE_ENDPOINT, 0, device, 0);
}

/* ---- the machine ---- */

static inline struct fake_pci *fixture_add_endpoint(uint8_t bus, uint8_t device)
{
	struct fake_pci *model = fake_pci_add((struct pci_address){0, bus, device, 0}, 0x1af4, 0x1000, 0x0200);

	fake_pci_make_express(model, bus == 0 ? PCI_EXPRESS_ROOT_ENDPOINT : PCI_EXPRESS_ENDPOINT);
	return model;
}

static inline const struct pci_function *fixture_find(uint8_t bus, uint8_t device)
{
	const struct pci_function *found = pci_find((struct pci_address){0, bus, device, 0});

	assert_non_null(found);
	return found;
}

static inline uint16_t fixture_requester(uint8_t bus, uint8_t device)
{
	return (uint16_t)(bus << 8 | device << 3);
}

/* 00:02.0, 00:03.0 and, behind the root port 00:1c.0, 01:00.0. RAM below 1 GiB; one unit for all is added by the test. */
static inline int iommu_fixture_set_up(void **state)
{
	pci_fixture_set_up(state);
	fake_pcpu_reset();
	fake_tsc_step = 10000; /* 10 us: what waits for 100 ms looks 10000 times */
	pool_reset();
	vtd_model_reset();
	memset(&fixture_boot, 0, sizeof(fixture_boot));
	fixture_boot.region_count = 1;
	fixture_boot.regions[0] = (struct boot_memory_region){.base = 0, .length = RAM_END, .type = BOOT_MEMORY_USABLE};
	fixture_acpi.dmar = (struct acpi_dmar){.present = true, .interrupt_remapping = true};
	fixture_acpi.madt.io_apic_count = 1;
	fixture_acpi.madt.io_apics[0].id = IO_APIC_ID;
	fixture_x2apic = false;
	fixture_remapper = NULL;
	fixture_fault_handler = NULL;
	fake_pci_add_ecam(&fixture_acpi.mcfg, FAKE_PCI_ECAM_BASE, 0, 0, 3);
	fixture_add_endpoint(0, 2);
	fixture_add_endpoint(0, 3);
	fake_pci_make_express(fake_pci_add_bridge((struct pci_address){0, 0, 0x1c, 0}, 1, 2), PCI_EXPRESS_ROOT_PORT);
	fixture_add_endpoint(1, 0);
	return 0;
}

static void collect_domain(void *context, const struct iommu_domain *domain)
{
	*(const struct iommu_domain **)context = domain;
}

/* Every domain, so that the next test begins with none. */
static inline int iommu_fixture_tear_down(void **state)
{
	static const struct iommu_visitor visitor = {.domain = collect_domain};

	(void)state;
	for (unsigned i = 0; i < 64; i++) {
		const struct iommu_domain *domain = NULL;

		iommu_audit(&visitor, &domain);
		if (domain != NULL)
			iommu_domain_destroy((struct iommu_domain *)(uintptr_t)domain);
	}
	return 0;
}

static inline enum status fixture_start(void)
{
	assert_int_equal(pci_scan(), STATUS_OK);
	fixture_log[0] = '\0';
	return iommu_init(&fixture_boot);
}

/* One unit for everything, started. */
static inline void fixture_start_plain(void)
{
	const char *why;

	fixture_add_io_apic(fixture_add_unit(true));
	assert_int_equal(fixture_start(), STATUS_OK);
	assert_true(iommu_is_available(&why));
}
