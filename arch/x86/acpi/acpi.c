#include "arch/x86/acpi/acpi.h"

#include "arch/x86/acpi/acpi_root.h"
#include "arch/x86/acpi/acpi_table.h"
#include "arch/x86/log.h"
#include "lib/string.h"

#define PHYSICAL_ADDRESS_LIMIT ((uint64_t)1 << 52)
#define RSDP_MAX_LENGTH PAGE_SIZE
#define EBDA_POINTER 0x40eu /* segment of the extended BIOS data area */
#define EBDA_START_MIN 0x80000u
#define EBDA_END 0xa0000u
#define EBDA_SEARCH_LENGTH KIB
#define BIOS_AREA_START 0xe0000u
#define BIOS_AREA_LENGTH 0x20000u

static struct acpi_info info;
static acpi_map map_memory;

static struct acpi_bytes map_bytes(hpa_t address, uint64_t length)
{
	if (address.value == 0 || address.value >= PHYSICAL_ADDRESS_LIMIT || length > PHYSICAL_ADDRESS_LIMIT - address.value)
		return acpi_bytes(NULL, 0);
	return acpi_bytes(map_memory(address, length), length);
}

static void copy_signature(char signature[5], struct acpi_bytes bytes)
{
	for (unsigned i = 0; i < 4; i++) {
		uint8_t byte = (uint8_t)acpi_read(bytes, i, 1);

		signature[i] = byte >= ' ' && byte < 127 ? (char)byte : '?';
	}
	signature[4] = '\0';
}

/* Maps and checks the table at @address and notes it in the list; nothing if it is unusable. */
static struct acpi_bytes load_table(hpa_t address)
{
	struct acpi_table table = {.address = address};
	struct acpi_bytes bytes = map_bytes(address, ACPI_HEADER_SIZE);
	enum status status = STATUS_NOT_FOUND;

	copy_signature(table.signature, bytes);
	if (bytes.length > 0) {
		uint64_t length = acpi_read(bytes, 4, 4);

		status = STATUS_TRUNCATED;
		if (length >= ACPI_HEADER_SIZE && length <= ACPI_MAX_TABLE_LENGTH) {
			table.length = (uint32_t)length;
			bytes = map_bytes(address, length);
			status = bytes.length > 0 ? acpi_table_check(bytes) : STATUS_NOT_FOUND;
		}
	}
	table.valid = status == STATUS_OK;
	if (!table.valid)
		log_warning("ACPI table %s at 0x%llx is left out: %s", table.signature, (unsigned long long)address.value,
			    status == STATUS_NOT_FOUND ? "its memory cannot be mapped" : status_name(status));

	if (info.table_count < ACPI_MAX_TABLES)
		info.tables[info.table_count++] = table;
	else
		info.tables_lost++;
	return table.valid ? bytes : acpi_bytes(NULL, 0);
}

static enum status use_madt(struct acpi_bytes bytes)
{
	return acpi_madt_parse(bytes.start, bytes.length, &info.madt);
}

static enum status use_fadt(struct acpi_bytes bytes)
{
	return acpi_fadt_parse(bytes.start, bytes.length, &info.fadt);
}

static enum status use_mcfg(struct acpi_bytes bytes)
{
	return acpi_mcfg_parse(bytes.start, bytes.length, &info.mcfg);
}

static enum status use_hpet(struct acpi_bytes bytes)
{
	return acpi_hpet_parse(bytes.start, bytes.length, &info.hpet);
}

static enum status use_dmar(struct acpi_bytes bytes)
{
	return acpi_dmar_parse(bytes.start, bytes.length, &info.dmar);
}

static const struct {
	const char *signature;
	const bool *present; /* set by the first of them; a second one is not looked at */
	enum status (*use)(struct acpi_bytes bytes);
} known_tables[] = {
	{"APIC", &info.madt.present, use_madt},
	{"FACP", &info.fadt.present, use_fadt},
	{"MCFG", &info.mcfg.present, use_mcfg},
	{"HPET", &info.hpet.present, use_hpet},
	{"DMAR", &info.dmar.present, use_dmar},
};

static void use_table(struct acpi_bytes bytes)
{
	enum status status;

	for (size_t i = 0; i < array_count(known_tables); i++) {
		if (!acpi_signature_is(bytes, known_tables[i].signature) || *known_tables[i].present)
			continue;
		status = known_tables[i].use(bytes);
		if (status != STATUS_OK)
			log_warning("ACPI table %s: %s: what follows the fault is left out", known_tables[i].signature,
				    status_name(status));
	}
}

/* All tables that the root table at @address names; false if it is no such table. */
static bool use_root(hpa_t address, const char *signature, unsigned entry_size)
{
	struct acpi_bytes root;
	uint32_t count;

	if (address.value == 0)
		return false;
	root = load_table(address);
	if (!acpi_signature_is(root, signature))
		return false;

	count = acpi_root_count(root.length, entry_size);
	for (uint32_t i = 0; i < count && info.tables_lost == 0; i++) {
		hpa_t entry = acpi_root_entry(root.start, root.length, entry_size, i);

		if (entry.value != 0)
			use_table(load_table(entry));
	}
	if (info.tables_lost != 0)
		log_warning("ACPI: more than %u tables; the rest is left out", ACPI_MAX_TABLES);
	return true;
}

static void find_s5(void)
{
	struct acpi_bytes bytes = acpi_bytes(NULL, 0);
	uint32_t count = info.table_count;

	if (info.fadt.dsdt.value != 0)
		bytes = load_table(info.fadt.dsdt);
	if (acpi_sleep_find_s5(bytes.start, bytes.length, &info.s5) == STATUS_OK)
		return;
	for (uint32_t i = 0; i < count; i++) {
		const struct acpi_table *table = &info.tables[i];

		if (!table->valid || strcmp(table->signature, "SSDT") != 0)
			continue;
		bytes = map_bytes(table->address, table->length);
		if (acpi_sleep_find_s5(bytes.start, bytes.length, &info.s5) == STATUS_OK)
			return;
	}
}

static hpa_t search_area(hpa_t start, uint64_t length)
{
	struct acpi_bytes area = map_bytes(start, length);
	size_t offset;

	if (acpi_rsdp_search(area.start, area.length, &offset) != STATUS_OK)
		return hpa(0);
	return hpa(start.value + offset);
}

static hpa_t search_bios_areas(void)
{
	uint64_t ebda = acpi_read(map_bytes(hpa(EBDA_POINTER), 2), 0, 2) << 4;
	hpa_t found = hpa(0);

	if (ebda >= EBDA_START_MIN && ebda < EBDA_END)
		found = search_area(hpa(ebda), min_u64(EBDA_SEARCH_LENGTH, EBDA_END - ebda));
	return found.value != 0 ? found : search_area(hpa(BIOS_AREA_START), BIOS_AREA_LENGTH);
}

static enum status load_rsdp(hpa_t address, struct acpi_rsdp *rsdp)
{
	struct acpi_bytes bytes = map_bytes(address, ACPI_RSDP_SIZE_2);
	uint64_t length = acpi_read(bytes, 20, 4);

	/* A revision that adds fields has a longer structure, and the checksum covers all of it. */
	if (acpi_read(bytes, 15, 1) >= 2 && length > ACPI_RSDP_SIZE_2 && length <= RSDP_MAX_LENGTH)
		bytes = map_bytes(address, length);
	return acpi_rsdp_parse(bytes.start, bytes.length, rsdp);
}

enum status acpi_init(hpa_t rsdp_address, acpi_map map)
{
	struct acpi_rsdp rsdp;
	enum status status;

	memset(&info, 0, sizeof(info));
	map_memory = map;
	if (rsdp_address.value == 0)
		rsdp_address = search_bios_areas();
	if (rsdp_address.value == 0) {
		log_warning("ACPI: no RSDP in the BIOS areas");
		return STATUS_NOT_FOUND;
	}
	status = load_rsdp(rsdp_address, &rsdp);
	if (status != STATUS_OK) {
		log_warning("ACPI: RSDP at 0x%llx: %s", (unsigned long long)rsdp_address.value, status_name(status));
		return STATUS_NOT_FOUND;
	}
	info.rsdp = rsdp_address;
	if (!use_root(rsdp.xsdt, "XSDT", 8) && !use_root(rsdp.rsdt, "RSDT", 4)) {
		log_warning("ACPI: neither XSDT nor RSDT can be used");
		return STATUS_BAD_FORMAT;
	}
	info.present = true;
	find_s5();
	return STATUS_OK;
}

const struct acpi_info *acpi_get(void)
{
	return &info;
}
