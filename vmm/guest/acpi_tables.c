#include "vmm/guest/acpi_tables.h"

#include "build/generated/dsdt_aml.h"
#include "lib/bits.h"
#include "lib/string.h"
#include "vmm/pci_window.h"
#include "vmm/platform.h"
#include "vmm/vm.h"

#define TABLE_ALIGNMENT 16u /* the RSDP is searched at multiples of it */
#define FACS_ALIGNMENT 64u

#define LOCAL_APIC_ADDRESS 0xfee00000u
#define IO_APIC_ADDRESS 0xfec00000u
#define IO_APIC_TIMER_PIN 2u
#define ALL_PROCESSORS 0xffu

/* FADT "Fixed Feature Flags". */
#define FADT_WBINVD BIT(0)
#define FADT_PROC_C1 BIT(2)
#define FADT_NO_SLEEP_BUTTON BIT(5)
#define FADT_NO_RTC_WAKE BIT(6)
#define FADT_PM_TIMER_32_BIT BIT(8)
#define FADT_RESET_REGISTER BIT(10)

/* FADT "IA-PC Boot Architecture Flags". No 8042 flag: nobody waits for a keyboard that is not there. */
#define FADT_BOOT_LEGACY_DEVICES BIT(0)
#define FADT_BOOT_NO_VGA BIT(2)
#define FADT_BOOT_NO_ASPM BIT(4)

#define ADDRESS_SPACE_IO 1u

#define MADT_PCAT_COMPATIBLE BIT(0)
#define MADT_LOCAL_APIC 0u
#define MADT_IO_APIC 1u
#define MADT_INTERRUPT_OVERRIDE 2u
#define MADT_LOCAL_APIC_NMI 4u
#define MADT_ENABLED BIT(0)
#define MADT_ACTIVE_HIGH_LEVEL 0x0du

struct acpi_rsdp {
	char signature[8];
	uint8_t checksum; /* of the first 20 bytes */
	char oem_id[6];
	uint8_t revision;
	uint32_t rsdt_address;
	uint32_t length;
	uint64_t xsdt_address;
	uint8_t extended_checksum;
	uint8_t reserved[3];
} packed_struct;

struct acpi_header {
	char signature[4];
	uint32_t length;
	uint8_t revision, checksum;
	char oem_id[6], oem_table_id[8];
	uint32_t oem_revision;
	char creator_id[4];
	uint32_t creator_revision;
} packed_struct;

struct acpi_address {
	uint8_t space, bit_width, bit_offset, access_size;
	uint64_t address;
} packed_struct;

struct acpi_fadt {
	struct acpi_header header;
	uint32_t firmware_control, dsdt;
	uint8_t reserved1, preferred_profile;
	uint16_t sci_interrupt;
	uint32_t smi_command;
	uint8_t acpi_enable, acpi_disable, s4bios_request, pstate_control;
	uint32_t pm1a_event, pm1b_event, pm1a_control, pm1b_control, pm2_control, pm_timer, gpe0, gpe1;
	uint8_t pm1_event_length, pm1_control_length, pm2_control_length, pm_timer_length;
	uint8_t gpe0_length, gpe1_length, gpe1_base, cst_control;
	uint16_t c2_latency, c3_latency, flush_size, flush_stride;
	uint8_t duty_offset, duty_width, day_alarm, month_alarm, century;
	uint16_t boot_architecture;
	uint8_t reserved2;
	uint32_t flags;
	struct acpi_address reset_register;
	uint8_t reset_value;
	uint16_t arm_boot_architecture;
	uint8_t minor_version;
	uint64_t x_firmware_control, x_dsdt;
	struct acpi_address x_pm1a_event, x_pm1b_event, x_pm1a_control, x_pm1b_control, x_pm2_control, x_pm_timer, x_gpe0, x_gpe1;
	struct acpi_address sleep_control, sleep_status;
	char hypervisor_vendor[8];
} packed_struct;
_Static_assert(sizeof(struct acpi_fadt) == 276, "length of a FADT of ACPI 6");

struct acpi_facs {
	char signature[4];
	uint32_t length, hardware_signature, waking_vector, global_lock, flags;
	uint64_t x_waking_vector;
	uint8_t version;
	uint8_t reserved[31];
} packed_struct;

struct madt_local_apic { uint8_t type, length, processor_id, apic_id; uint32_t flags; } packed_struct;
struct madt_io_apic { uint8_t type, length, id, reserved; uint32_t address, first_line; } packed_struct;
struct madt_override { uint8_t type, length, bus, source; uint32_t line; uint16_t flags; } packed_struct;
struct madt_local_nmi { uint8_t type, length, processor_id; uint16_t flags; uint8_t pin; } packed_struct;

struct acpi_madt {
	struct acpi_header header;
	uint32_t local_apic_address, flags;
	struct madt_io_apic io_apic;
	struct madt_override timer, sci;
	struct madt_local_nmi nmi;
	struct madt_local_apic processors[VM_MAX_VCPUS]; /* the table's length says how many */
} packed_struct;

struct acpi_xsdt {
	struct acpi_header header;
	uint64_t entries[2];
} packed_struct;

/* "QWord Address Space Descriptor", from its fields that say where the window is. */
struct acpi_qword_window { uint64_t minimum, maximum, translation, length; } packed_struct;

struct table_area {
	const struct guest_memory *memory;
	uint64_t next;
};

static uint8_t checksum_of(const void *bytes, size_t size)
{
	const uint8_t *byte = bytes;
	uint8_t sum = 0;

	for (size_t i = 0; i < size; i++)
		sum = (uint8_t)(sum + byte[i]);
	return (uint8_t)-sum;
}

/* Writes @size bytes at the next free place. */
static enum status place_bytes(struct table_area *area, const void *bytes, size_t size, uint64_t alignment, uint64_t *address)
{
	*address = align_up(area->next, alignment);
	if (*address + size > GUEST_BIOS_END)
		return STATUS_NO_MEMORY;
	area->next = *address + size;
	return guest_memory_write(area->memory, gpa(*address), bytes, size);
}

/* Fills the header in, sums the table up and writes it. */
static enum status place_table(struct table_area *area, struct acpi_header *header, const char *signature, uint8_t revision,
			       size_t size, uint64_t *address)
{
	memcpy(header->signature, signature, sizeof(header->signature));
	memcpy(header->oem_id, "TRIVET", sizeof(header->oem_id));
	memcpy(header->oem_table_id, "TRIVETPC", sizeof(header->oem_table_id));
	memcpy(header->creator_id, "TRIV", sizeof(header->creator_id));
	header->length = (uint32_t)size;
	header->revision = revision;
	header->oem_revision = 1;
	header->creator_revision = 1;
	header->checksum = 0;
	header->checksum = checksum_of(header, size);
	return place_bytes(area, header, size, TABLE_ALIGNMENT, address);
}

static struct acpi_address port_address(uint16_t port, uint8_t bytes)
{
	/* Access sizes are 1, 2, 3 for 1, 2, 4 bytes. */
	return (struct acpi_address){ ADDRESS_SPACE_IO, (uint8_t)(8 * bytes), 0, bytes == 4 ? 3 : bytes, port };
}

static enum status place_facs(struct table_area *area, uint64_t *address)
{
	struct acpi_facs facs = { .signature = { 'F', 'A', 'C', 'S' }, .length = sizeof(facs), .version = 2 };

	return place_bytes(area, &facs, sizeof(facs), FACS_ALIGNMENT, address);
}

/* Where the DSDT says where the window above RAM is: behind the one descriptor of memory with 64 bits. */
static size_t find_window(void)
{
	static const uint8_t descriptor[] = { 0x8a, 0x2b, 0x00, 0x00 };
	const size_t fields = 14; /* from its begin */

	for (size_t i = 0; i + fields + sizeof(struct acpi_qword_window) <= sizeof(dsdt_aml); i++)
		if (memcmp(&dsdt_aml[i], descriptor, sizeof(descriptor)) == 0)
			return i + fields;
	return 0;
}

/* The DSDT as it was compiled but for that window; one without length is none. */
static enum status place_dsdt(struct table_area *area, uint64_t *address)
{
	struct acpi_qword_window window = { 0 };
	const size_t place = find_window();
	uint64_t base, end;
	uint8_t checksum;
	enum status status = place_bytes(area, dsdt_aml, sizeof(dsdt_aml), TABLE_ALIGNMENT, address);

	if (pci_window_high(area->memory, &base, &end))
		window = (struct acpi_qword_window){ base, end - 1, 0, end - base };
	checksum = (uint8_t)(dsdt_aml[offsetof(struct acpi_header, checksum)] + checksum_of(&window, sizeof(window)) -
			     checksum_of(&dsdt_aml[place], sizeof(window)));
	if (status == STATUS_OK)
		status = guest_memory_write(area->memory, gpa(*address + place), &window, sizeof(window));
	if (status == STATUS_OK)
		status = guest_memory_write(area->memory, gpa(*address + offsetof(struct acpi_header, checksum)), &checksum, 1);
	return status;
}

static enum status place_fadt(struct table_area *area, uint64_t facs, uint64_t dsdt, uint64_t *address)
{
	struct acpi_fadt fadt = {
		.firmware_control = (uint32_t)facs,
		.dsdt = (uint32_t)dsdt,
		.sci_interrupt = PLATFORM_SCI_LINE,
		.pm1a_event = PLATFORM_PM1A_EVENT_PORT,
		.pm1a_control = PLATFORM_PM1A_CONTROL_PORT,
		.pm_timer = PLATFORM_PM_TIMER_PORT,
		.pm1_event_length = PLATFORM_PM1A_EVENT_LENGTH,
		.pm1_control_length = PLATFORM_PM1A_CONTROL_LENGTH,
		.pm_timer_length = PLATFORM_PM_TIMER_LENGTH,
		/* Latencies so long that these states count as absent. */
		.c2_latency = 0xfff,
		.c3_latency = 0xfff,
		.century = PLATFORM_RTC_CENTURY_INDEX,
		.boot_architecture = FADT_BOOT_LEGACY_DEVICES | FADT_BOOT_NO_VGA | FADT_BOOT_NO_ASPM,
		.flags = FADT_WBINVD | FADT_PROC_C1 | FADT_NO_SLEEP_BUTTON | FADT_NO_RTC_WAKE |
			 FADT_PM_TIMER_32_BIT | FADT_RESET_REGISTER,
		.reset_register = port_address(PLATFORM_RESET_PORT, 1),
		.reset_value = PLATFORM_RESET_VALUE,
		.x_dsdt = dsdt,
		.x_pm1a_event = port_address(PLATFORM_PM1A_EVENT_PORT, PLATFORM_PM1A_EVENT_LENGTH),
		.x_pm1a_control = port_address(PLATFORM_PM1A_CONTROL_PORT, PLATFORM_PM1A_CONTROL_LENGTH),
		.x_pm_timer = port_address(PLATFORM_PM_TIMER_PORT, PLATFORM_PM_TIMER_LENGTH),
		.hypervisor_vendor = { 'T', 'r', 'i', 'v', 'e', 't' },
	};

	return place_table(area, &fadt.header, "FACP", 6, sizeof(fadt), address);
}

static enum status place_madt(struct table_area *area, uint32_t vcpu_count, uint64_t *address)
{
	struct acpi_madt madt = {
		.local_apic_address = LOCAL_APIC_ADDRESS,
		.flags = MADT_PCAT_COMPATIBLE,
		.io_apic = { MADT_IO_APIC, sizeof(madt.io_apic), 0, 0, IO_APIC_ADDRESS, 0 },
		.timer = { MADT_INTERRUPT_OVERRIDE, sizeof(madt.timer), 0, IRQ_LINE_TIMER, IO_APIC_TIMER_PIN, 0 },
		.sci = { MADT_INTERRUPT_OVERRIDE, sizeof(madt.sci), 0, PLATFORM_SCI_LINE, PLATFORM_SCI_LINE, MADT_ACTIVE_HIGH_LEVEL },
		.nmi = { MADT_LOCAL_APIC_NMI, sizeof(madt.nmi), ALL_PROCESSORS, 0, 1 },
	};

	for (uint32_t i = 0; i < vcpu_count; i++)
		madt.processors[i] = (struct madt_local_apic){ MADT_LOCAL_APIC, sizeof(madt.processors[i]), (uint8_t)i, (uint8_t)i, MADT_ENABLED };
	return place_table(area, &madt.header, "APIC", 5,
			   offsetof(struct acpi_madt, processors) + vcpu_count * sizeof(madt.processors[0]), address);
}

static enum status write_rsdp(const struct guest_memory *memory, uint64_t xsdt)
{
	struct acpi_rsdp rsdp = {
		.signature = { 'R', 'S', 'D', ' ', 'P', 'T', 'R', ' ' },
		.oem_id = { 'T', 'R', 'I', 'V', 'E', 'T' },
		.revision = 2,
		.length = sizeof(rsdp),
		.xsdt_address = xsdt,
	};

	rsdp.checksum = checksum_of(&rsdp, offsetof(struct acpi_rsdp, length));
	rsdp.extended_checksum = checksum_of(&rsdp, sizeof(rsdp));
	return guest_memory_write(memory, gpa(GUEST_BIOS_START), &rsdp, sizeof(rsdp));
}

enum status acpi_tables_write(const struct guest_memory *memory, uint32_t vcpu_count, gpa_t *rsdp)
{
	/* The RSDP comes first, so that a search from the start of the area finds it at once. */
	struct table_area area = { memory, GUEST_BIOS_START + sizeof(struct acpi_rsdp) };
	struct acpi_xsdt xsdt = { .entries = { 0 } };
	uint64_t facs, dsdt, fadt, madt, root;
	enum status status;

	if (vcpu_count == 0 || vcpu_count > VM_MAX_VCPUS)
		return STATUS_INVALID;
	status = place_facs(&area, &facs);
	if (status == STATUS_OK)
		status = place_dsdt(&area, &dsdt);
	if (status == STATUS_OK)
		status = place_fadt(&area, facs, dsdt, &fadt);
	if (status == STATUS_OK)
		status = place_madt(&area, vcpu_count, &madt);
	if (status != STATUS_OK)
		return status;
	xsdt.entries[0] = fadt;
	xsdt.entries[1] = madt;
	status = place_table(&area, &xsdt.header, "XSDT", 1, sizeof(xsdt), &root);
	if (status == STATUS_OK)
		status = write_rsdp(memory, root);
	*rsdp = gpa(GUEST_BIOS_START);
	return status;
}
