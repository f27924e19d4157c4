/* Enumeration and configuration access against a made-up machine, by ports and by ECAM. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "arch/x86/acpi/acpi.h"
#include "arch/x86/log.h"
#include "arch/x86/mm/host_paging.h"
#include "arch/x86/physmap.h"
#include "drivers/pci/pci.h"
#include "tests/fake/fake_cpu.h"
#include "tests/fake/fake_physmap.h"

#define ECAM_BASE 0xb0000000ull
#define SEGMENT_1_BASE 0xd0000000ull
#define MODELS_MAX 700u

struct model {
	uint8_t bus, device, function;
	uint8_t bytes[256];
};

static struct model models[MODELS_MAX];
static unsigned model_count;
static bool has_ports;
static uint32_t port_address;
static struct acpi_info acpi;
static unsigned log_lines;
static uint64_t unmappable;

const struct acpi_info *acpi_get(void) { return &acpi; }

void log_write(enum log_level level, const char *format, ...)
{
	(void)level;
	(void)format;
	log_lines++;
}

void *host_paging_map_device(hpa_t address, uint64_t length, bool write_combining)
{
	assert_false(write_combining);
	assert_true(length > 0);
	return address.value == unmappable ? NULL : physmap_pointer(address);
}

static struct model *find(uint8_t bus, uint8_t device, uint8_t function)
{
	for (unsigned i = 0; i < model_count; i++)
		if (models[i].bus == bus && models[i].device == device && models[i].function == function)
			return &models[i];
	return NULL;
}

static uint32_t port_read(void *context, uint16_t port, unsigned size)
{
	struct model *model = find((uint8_t)(port_address >> 16), port_address >> 11 & 31, port_address >> 8 & 7);
	uint32_t value = UINT32_MAX;

	(void)context;
	if (!has_ports)
		return value;
	if (port == 0xcf8)
		return port_address;
	if ((port_address & 0x80000000) != 0 && model != NULL)
		memcpy(&value, model->bytes + (port_address & 0xfc) + (port - 0xcfc), size);
	return value;
}

static void port_write(void *context, uint16_t port, unsigned size, uint32_t value)
{
	struct model *model = find((uint8_t)(port_address >> 16), port_address >> 11 & 31, port_address >> 8 & 7);

	(void)context;
	if (!has_ports)
		return;
	if (port == 0xcf8)
		port_address = value;
	else if (model != NULL)
		memcpy(model->bytes + (port_address & 0xfc) + (port - 0xcfc), &value, size);
}

static int set_up(void **state)
{
	static const struct fake_port_device device = {0xcf8, 8, port_read, port_write, NULL};

	(void)state;
	fake_cpu_reset();
	fake_physmap_reset();
	fake_port_add(&device);
	memset(&acpi, 0, sizeof(acpi));
	model_count = 0;
	has_ports = true;
	log_lines = 0;
	unmappable = 0;
	return 0;
}

static void set16(struct model *model, unsigned offset, uint16_t value) { memcpy(model->bytes + offset, &value, 2); }
static void set32(struct model *model, unsigned offset, uint32_t value) { memcpy(model->bytes + offset, &value, 4); }

static struct model *add(uint8_t bus, uint8_t device, uint8_t function, uint16_t vendor, uint16_t id, uint16_t class)
{
	struct model *model = &models[model_count++];

	memset(model, 0, sizeof(*model));
	model->bus = bus;
	model->device = device;
	model->function = function;
	set16(model, 0, vendor);
	set16(model, 2, id);
	set16(model, 10, class);
	return model;
}

/* The models as memory: what a segment's ECAM shows. */
static void place_ecam(uint64_t base, unsigned buses)
{
	memset(physmap_pointer(hpa(base)), 0xff, buses << 20);
	for (unsigned i = 0; i < model_count; i++) {
		uint64_t offset = (uint64_t)models[i].bus << 20 | (uint64_t)models[i].device << 15 | (uint64_t)models[i].function << 12;

		if (models[i].bus < buses)
			memcpy(physmap_pointer(hpa(base + offset)), models[i].bytes, 256);
	}
}

static void add_ecam(uint64_t base, uint16_t segment, uint8_t first, uint8_t last)
{
	acpi.mcfg.ecams[acpi.mcfg.ecam_count++] = (struct acpi_ecam){hpa(base), segment, first, last};
}

static void test_scan_by_ports(void **state)
{
	struct model *model;
	const struct pci_function *function;

	(void)state;
	add(0, 0, 0, 0x8086, 0x1237, 0x0600);
	add(0, 1, 0, 0x8086, 0x7000, 0x0601)->bytes[14] = 0x80;
	add(0, 1, 3, 0x8086, 0x7113, 0x0680);
	add(0, 2, 1, 0x1234, 0x1111, 0x0300); /* no function 0: is not there */
	add(0, 3, 0, 0x1af4, 0x1000, 0x0200);
	add(0, 3, 5, 0x1af4, 0x1001, 0x0200); /* its device has one function only */
	model = add(0, 4, 0, 0x1b36, 0x000c, 0x0604);
	model->bytes[14] = 1;
	model->bytes[0x19] = 7;
	model->bytes[0x1a] = 9;
	add(7, 31, 0, 0x8086, 0x10d3, 0x0200);

	assert_int_equal(pci_scan(), STATUS_OK);
	assert_int_equal(pci_count(), 6);
	assert_int_equal(pci_get(1)->device_id, 0x7000);
	assert_int_equal(pci_get(2)->address.function, 3);
	assert_int_equal(pci_get(4)->header_type, 1);
	assert_int_equal(pci_get(4)->secondary_bus, 7);
	assert_int_equal(pci_get(4)->subordinate_bus, 9);
	function = pci_find((struct pci_address){0, 7, 31, 0});
	assert_ptr_equal(function, pci_get(5));
	assert_null(pci_find((struct pci_address){0, 7, 30, 0}));
	assert_null(pci_get(6));
	assert_ptr_equal(pci_find_class(2, 0, 1), function);
	assert_null(pci_find_class(2, 0, 2));
	assert_int_equal(pci_config_size(0, 7), 256);
	assert_int_equal(pci_config_size(1, 7), 0);
}

static void test_bars(void **state)
{
	struct model *model = add(0, 0, 0, 1, 1, 0);
	const struct pci_function *function;

	(void)state;
	set32(model, 0x10, 0xc001);
	set32(model, 0x14, 0xfebc0008);
	set32(model, 0x18, 0x0000000c);
	set32(model, 0x1c, 0x00000040);
	set32(model, 0x24, 0xfe000004); /* 64 bits, but there is no second half */
	model = add(0, 1, 0, 1, 2, 0x0604);
	model->bytes[14] = 1;
	set32(model, 0x18, 0xfebc0000); /* bus numbers of a bridge */
	model = add(0, 2, 0, 1, 3, 0x0604);
	model->bytes[14] = 0x7f; /* a layout that nobody knows */
	set32(model, 0x10, 0xfebc0000);

	assert_int_equal(pci_scan(), STATUS_OK);
	function = pci_get(0);
	assert_int_equal(function->bars[0].kind, PCI_BAR_PORT);
	assert_int_equal(function->bars[0].address, 0xc000);
	assert_int_equal(function->bars[1].kind, PCI_BAR_MEMORY_32);
	assert_true(function->bars[1].prefetchable);
	assert_int_equal(function->bars[2].kind, PCI_BAR_MEMORY_64);
	assert_int_equal(function->bars[2].address, 0x4000000000);
	assert_int_equal(function->bars[3].kind, PCI_BAR_NONE);
	assert_int_equal(function->bars[4].kind, PCI_BAR_NONE);
	assert_int_equal(function->bars[5].kind, PCI_BAR_MEMORY_32);
	assert_int_equal(pci_get(1)->bars[2].kind, PCI_BAR_NONE);
	assert_int_equal(pci_get(2)->bars[0].kind, PCI_BAR_NONE);
}

static void test_capabilities(void **state)
{
	struct model *model = add(0, 0, 0, 1, 1, 0);

	(void)state;
	set16(model, 6, 0x10);
	model->bytes[0x34] = 0x43; /* the low bits are reserved */
	set16(model, 0x40, 0x5005);
	set16(model, 0x50, 0x4011); /* back to the first: a loop */
	model = add(0, 1, 0, 1, 1, 0);
	set16(model, 6, 0x10);
	model->bytes[0x34] = 0x10; /* in the header */
	model = add(0, 2, 0, 1, 1, 0);
	model->bytes[0x34] = 0x40; /* the status says that there is no list */
	set16(model, 0x40, 0x0005);
	model = add(0, 3, 0, 1, 1, 0);
	set16(model, 6, 0x10);
	model->bytes[0x34] = 0x40;
	for (unsigned i = 0x40; i < 0x100; i += 4)
		set16(model, i, (uint16_t)(0x09 | (i + 4) << 8));

	assert_int_equal(pci_scan(), STATUS_OK);
	assert_int_equal(pci_get(0)->capability_count, 2);
	assert_int_equal(pci_find_capability(pci_get(0), PCI_CAPABILITY_MSIX), 0x50);
	assert_int_equal(pci_find_capability(pci_get(0), PCI_CAPABILITY_EXPRESS), 0);
	assert_int_equal(pci_get(1)->capability_count, 0);
	assert_int_equal(pci_get(2)->capability_count, 0);
	assert_int_equal(pci_get(3)->capability_count, PCI_MAX_CAPABILITIES);
}

static void test_too_many(void **state)
{
	(void)state;
	for (unsigned i = 0; i < PCI_MAX_FUNCTIONS + 10; i++)
		add((uint8_t)(i / 256), i / 8 % 32, i % 8, 1, (uint16_t)i, 0)->bytes[14] = 0x80;
	assert_int_equal(pci_scan(), STATUS_NO_MEMORY);
	assert_int_equal(pci_count(), PCI_MAX_FUNCTIONS);
	assert_int_equal(pci_get(PCI_MAX_FUNCTIONS - 1)->device_id, PCI_MAX_FUNCTIONS - 1);
	assert_int_equal(log_lines, 1);
}

static void test_no_pci(void **state)
{
	(void)state;
	has_ports = false;
	assert_int_equal(pci_scan(), STATUS_NOT_FOUND);
	assert_int_equal(pci_config_size(0, 0), 0);
	assert_int_equal(pci_config_read((struct pci_address){0, 0, 0, 0}, 0, 2), 0xffff);
}

static void test_config_access(void **state)
{
	struct pci_address address = {0, 0, 5, 0}, bad = {0, 0, 32, 0};
	struct model *model = add(0, 5, 0, 0x1234, 0x5678, 0);

	(void)state;
	assert_int_equal(pci_scan(), STATUS_OK);
	assert_int_equal(pci_config_read(address, 0, 4), 0x56781234);
	assert_int_equal(pci_config_read(address, 3, 1), 0x56);
	assert_int_equal(pci_config_read(address, 2, 2), 0x5678);
	assert_int_equal(pci_config_read(address, 2, 4), 0xffffffff); /* not aligned */
	assert_int_equal(pci_config_read(address, 0, 3), 0xffffff);
	assert_int_equal(pci_config_read(address, 256, 1), 0xff);
	assert_int_equal(pci_config_read(address, 4096, 1), 0xff);
	assert_int_equal(pci_config_read(bad, 0, 1), 0xff);
	pci_config_write(address, 0x41, 1, 0xab);
	pci_config_write(address, 0x42, 2, 0xcdef);
	pci_config_write(address, 0x44, 4, 0x12345678);
	pci_config_write(address, 0x100, 4, 1);
	assert_int_equal(pci_config_read(address, 0x40, 4), 0xcdefab00);
	assert_int_equal(model->bytes[0x47], 0x12);
	assert_int_equal(model->bytes[0], 0x34);
}

static void test_ecam(void **state)
{
	struct pci_address address = {0, 1, 2, 3};

	(void)state;
	add(0, 0, 0, 0x8086, 0x29c0, 0x0600);
	add(1, 2, 0, 1, 2, 0)->bytes[14] = 0x80;
	add(1, 2, 3, 1, 3, 0);
	place_ecam(ECAM_BASE, 3);
	add_ecam(ECAM_BASE, 0, 0, 2);
	add(9, 0, 0, 1, 9, 0); /* behind the window: by ports */
	assert_int_equal(pci_scan(), STATUS_OK);
	assert_int_equal(pci_count(), 4);
	assert_int_equal(log_lines, 0);
	assert_int_equal(pci_config_size(0, 1), 4096);
	assert_int_equal(pci_config_size(0, 9), 256);
	pci_config_write(address, 0x100, 4, 0x89abcdef);
	pci_config_write(address, 0x101, 1, 0x11);
	pci_config_write(address, 0x102, 2, 0x2233);
	assert_int_equal(*(uint32_t *)physmap_pointer(hpa(ECAM_BASE + (1 << 20 | 2 << 15 | 3 << 12) + 0x100)), 0x223311ef);
	assert_int_equal(pci_config_read(address, 0x100, 4), 0x223311ef);
	assert_int_equal(pci_config_read(address, 0x102, 2), 0x2233);
	assert_int_equal(pci_config_read(address, 0x103, 1), 0x22);
}

static void test_ecam_that_lies(void **state)
{
	(void)state;
	add(0, 0, 0, 0x8086, 0x29c0, 0x0600);
	add_ecam(ECAM_BASE, 0, 0, 0);
	memset(physmap_pointer(hpa(ECAM_BASE)), 0, 4096); /* plain memory */
	assert_int_equal(pci_scan(), STATUS_OK);
	assert_int_equal(log_lines, 1);
	assert_int_equal(pci_config_size(0, 0), 256);
	assert_int_equal(pci_get(0)->device_id, 0x29c0);

	place_ecam(ECAM_BASE, 1);
	unmappable = ECAM_BASE;
	assert_int_equal(pci_scan(), STATUS_OK);
	assert_int_equal(pci_config_size(0, 0), 256);
	has_ports = false;
	assert_int_equal(pci_scan(), STATUS_NOT_FOUND);
}

static void test_segments(void **state)
{
	(void)state;
	add(0, 0, 0, 0x8086, 1, 0x0600);
	place_ecam(ECAM_BASE, 1);
	place_ecam(SEGMENT_1_BASE, 1);
	add_ecam(ECAM_BASE, 0, 0, 0);
	add_ecam(SEGMENT_1_BASE, 1, 0, 0);
	assert_int_equal(pci_scan(), STATUS_OK);
	assert_int_equal(pci_count(), 2);
	assert_int_equal(pci_get(1)->address.segment, 1);
	assert_non_null(pci_find((struct pci_address){1, 0, 0, 0}));
}

static void test_names(void **state)
{
	(void)state;
	assert_string_equal(pci_class_name(2, 0), "Ethernet controller");
	assert_string_equal(pci_class_name(2, 0x42), "network controller");
	assert_string_equal(pci_class_name(0x99, 0), "device of unknown class");
	assert_string_equal(pci_capability_name(PCI_CAPABILITY_MSIX), "MSI-X");
	assert_string_equal(pci_capability_name(0xee), "?");
	assert_string_equal(pci_vendor_name(0x8086), "Intel");
	assert_string_equal(pci_vendor_name(0), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_scan_by_ports, set_up),
		cmocka_unit_test_setup(test_bars, set_up),
		cmocka_unit_test_setup(test_capabilities, set_up),
		cmocka_unit_test_setup(test_too_many, set_up),
		cmocka_unit_test_setup(test_no_pci, set_up),
		cmocka_unit_test_setup(test_config_access, set_up),
		cmocka_unit_test_setup(test_ecam, set_up),
		cmocka_unit_test_setup(test_ecam_that_lies, set_up),
		cmocka_unit_test_setup(test_segments, set_up),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
