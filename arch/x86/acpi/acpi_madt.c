#include "arch/x86/acpi/acpi_madt.h"

#include "arch/x86/acpi/acpi_table.h"
#include "lib/bits.h"
#include "lib/string.h"

enum {
	MADT_LOCAL_APIC = 36,
	MADT_FLAGS = 40,
	MADT_ENTRIES = 44,
};

#define MADT_FLAG_PCAT_COMPAT BIT(0)
#define PROCESSOR_ENABLED BIT(0)
#define PROCESSOR_ONLINE_CAPABLE BIT(1)
#define LOCAL_APIC_ID_NONE 0xffu
#define LOCAL_ACPI_ID_ALL 0xffu
#define ISA_IRQ_COUNT 16u

static void add_processor(struct acpi_madt *madt, uint32_t apic_id, uint32_t acpi_id, uint64_t flags)
{
	struct acpi_processor *processor;

	if ((flags & (PROCESSOR_ENABLED | PROCESSOR_ONLINE_CAPABLE)) == 0)
		return;
	/* Firmware may list a processor both as local APIC and as local x2APIC. */
	for (uint32_t i = 0; i < madt->processor_count; i++) {
		processor = &madt->processors[i];
		if (processor->apic_id != apic_id)
			continue;
		processor->enabled |= (flags & PROCESSOR_ENABLED) != 0;
		return;
	}
	if (madt->processor_count == ACPI_MAX_PROCESSORS) {
		madt->processors_lost++;
		return;
	}
	processor = &madt->processors[madt->processor_count++];
	processor->apic_id = apic_id;
	processor->acpi_id = acpi_id;
	processor->enabled = (flags & PROCESSOR_ENABLED) != 0;
	processor->online_capable = (flags & PROCESSOR_ONLINE_CAPABLE) != 0;
}

static enum acpi_polarity polarity_from_flags(uint64_t flags)
{
	uint64_t field = bits_get(flags, 1, 0);

	return field == ACPI_POLARITY_HIGH || field == ACPI_POLARITY_LOW ? (enum acpi_polarity)field : ACPI_POLARITY_CONFORMS;
}

static enum acpi_trigger trigger_from_flags(uint64_t flags)
{
	uint64_t field = bits_get(flags, 3, 2);

	return field == ACPI_TRIGGER_EDGE || field == ACPI_TRIGGER_LEVEL ? (enum acpi_trigger)field : ACPI_TRIGGER_CONFORMS;
}

static void add_nmi(struct acpi_madt *madt, struct acpi_nmi nmi, uint64_t flags)
{
	if (madt->nmi_count == ACPI_MAX_NMIS) {
		madt->nmis_lost++;
		return;
	}
	nmi.polarity = polarity_from_flags(flags);
	nmi.trigger = trigger_from_flags(flags);
	madt->nmis[madt->nmi_count++] = nmi;
}

static void parse_local_apic(struct acpi_bytes entry, struct acpi_madt *madt)
{
	uint32_t apic_id = (uint32_t)acpi_read(entry, 3, 1);

	if (apic_id != LOCAL_APIC_ID_NONE)
		add_processor(madt, apic_id, (uint32_t)acpi_read(entry, 2, 1), acpi_read(entry, 4, 4));
}

static void parse_local_x2apic(struct acpi_bytes entry, struct acpi_madt *madt)
{
	add_processor(madt, (uint32_t)acpi_read(entry, 4, 4), (uint32_t)acpi_read(entry, 12, 4), acpi_read(entry, 8, 4));
}

static void parse_io_apic(struct acpi_bytes entry, struct acpi_madt *madt)
{
	struct acpi_io_apic *io_apic;

	if (madt->io_apic_count == ACPI_MAX_IO_APICS) {
		madt->io_apics_lost++;
		return;
	}
	io_apic = &madt->io_apics[madt->io_apic_count++];
	io_apic->id = (uint32_t)acpi_read(entry, 2, 1);
	io_apic->address = hpa(acpi_read(entry, 4, 4));
	io_apic->gsi_base = (uint32_t)acpi_read(entry, 8, 4);
}

static void parse_override(struct acpi_bytes entry, struct acpi_madt *madt)
{
	struct acpi_override *override;
	uint8_t source = (uint8_t)acpi_read(entry, 3, 1);

	if (acpi_read(entry, 2, 1) != 0 || source >= ISA_IRQ_COUNT)
		return;
	if (madt->override_count == ACPI_MAX_OVERRIDES) {
		madt->overrides_lost++;
		return;
	}
	override = &madt->overrides[madt->override_count++];
	override->source = source;
	override->gsi = (uint32_t)acpi_read(entry, 4, 4);
	override->polarity = polarity_from_flags(acpi_read(entry, 8, 2));
	override->trigger = trigger_from_flags(acpi_read(entry, 8, 2));
}

static void parse_nmi_source(struct acpi_bytes entry, struct acpi_madt *madt)
{
	add_nmi(madt, (struct acpi_nmi){.gsi = (uint32_t)acpi_read(entry, 4, 4)}, acpi_read(entry, 2, 2));
}

static void parse_local_apic_nmi(struct acpi_bytes entry, struct acpi_madt *madt)
{
	uint32_t acpi_id = (uint32_t)acpi_read(entry, 2, 1);
	struct acpi_nmi nmi = {
		.local = true,
		.acpi_id = acpi_id == LOCAL_ACPI_ID_ALL ? ACPI_NMI_ALL_PROCESSORS : acpi_id,
		.pin = (uint8_t)acpi_read(entry, 5, 1),
	};

	add_nmi(madt, nmi, acpi_read(entry, 3, 2));
}

static void parse_local_x2apic_nmi(struct acpi_bytes entry, struct acpi_madt *madt)
{
	struct acpi_nmi nmi = {
		.local = true,
		.acpi_id = (uint32_t)acpi_read(entry, 4, 4),
		.pin = (uint8_t)acpi_read(entry, 8, 1),
	};

	add_nmi(madt, nmi, acpi_read(entry, 2, 2));
}

static void parse_local_apic_address(struct acpi_bytes entry, struct acpi_madt *madt)
{
	madt->local_apic = hpa(acpi_read(entry, 4, 8));
}

/* Entries of other types, or shorter than their type asks for, are passed over. */
static const struct {
	uint8_t type, length;
	void (*parse)(struct acpi_bytes entry, struct acpi_madt *madt);
} entry_types[] = {
	{0, 8, parse_local_apic},
	{1, 12, parse_io_apic},
	{2, 10, parse_override},
	{3, 8, parse_nmi_source},
	{4, 6, parse_local_apic_nmi},
	{5, 12, parse_local_apic_address},
	{9, 16, parse_local_x2apic},
	{10, 12, parse_local_x2apic_nmi},
};

static void parse_entry(struct acpi_bytes entry, struct acpi_madt *madt)
{
	for (size_t i = 0; i < array_count(entry_types); i++)
		if (entry_types[i].type == entry.start[0] && entry.length >= entry_types[i].length)
			entry_types[i].parse(entry, madt);
}

enum status acpi_madt_parse(const void *table, size_t length, struct acpi_madt *madt)
{
	struct acpi_bytes bytes = acpi_bytes(table, length);
	size_t offset = MADT_ENTRIES;

	memset(madt, 0, sizeof(*madt));
	if (bytes.length < MADT_ENTRIES)
		return STATUS_TRUNCATED;
	madt->present = true;
	madt->local_apic = hpa(acpi_read(bytes, MADT_LOCAL_APIC, 4));
	madt->has_8259 = (acpi_read(bytes, MADT_FLAGS, 4) & MADT_FLAG_PCAT_COMPAT) != 0;

	while (offset < bytes.length) {
		size_t entry_length = acpi_read(bytes, offset + 1, 1);

		if (entry_length < 2 || entry_length > bytes.length - offset)
			return STATUS_TRUNCATED;
		parse_entry(acpi_bytes_part(bytes, offset, entry_length), madt);
		offset += entry_length;
	}
	return STATUS_OK;
}

struct acpi_override acpi_madt_isa_gsi(const struct acpi_madt *madt, uint8_t irq)
{
	struct acpi_override result = {.source = irq, .gsi = irq};

	for (uint32_t i = 0; i < madt->override_count; i++) {
		if (madt->overrides[i].source != irq)
			continue;
		result = madt->overrides[i];
		break;
	}
	if (result.polarity == ACPI_POLARITY_CONFORMS)
		result.polarity = ACPI_POLARITY_HIGH;
	if (result.trigger == ACPI_TRIGGER_CONFORMS)
		result.trigger = ACPI_TRIGGER_EDGE;
	return result;
}
