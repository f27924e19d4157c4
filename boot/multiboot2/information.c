#include "boot/multiboot2/information.h"

#include "boot/boot_info_build.h"
#include "lib/checked.h"
#include "lib/string.h"

#define SUBJECT "Multiboot2 information"
#define TAG_ALIGNMENT 8u

enum tag_type {
	TAG_END = 0,
	TAG_MODULE = 3,
	TAG_MEMORY_MAP = 6,
	TAG_FRAMEBUFFER = 8,
	TAG_ACPI_OLD = 14,
	TAG_ACPI_NEW = 15,
};

struct information_header { uint32_t total_size, reserved; };
struct tag_header { uint32_t type, size; };
struct tag_module { struct tag_header header; uint32_t start, end; /* command line follows */ };
struct tag_memory_map { struct tag_header header; uint32_t entry_size, entry_version; /* entries follow */ };
struct memory_map_entry { uint64_t base, length; uint32_t type, reserved; };
struct tag_framebuffer {
	struct tag_header header;
	uint64_t address;
	uint32_t pitch, width, height;
	uint8_t bits_per_pixel, type;
	uint16_t reserved;
	/* of type 1: */
	uint8_t red_shift, red_size, green_shift, green_size, blue_shift, blue_size;
} packed_struct;

#define FRAMEBUFFER_RGB 1u
#define RSDP_SIZE_OLD 20u
#define RSDP_SIZE_NEW 36u

/* One tag, whose size was checked to lie within the information. */
struct tag {
	const uint8_t *bytes;
	uint64_t address; /* physical */
	uint32_t type, size;
};

struct reader {
	struct boot_info *info;
	bool new_rsdp;
};

static void read_module(struct reader *reader, const struct tag *tag)
{
	struct boot_info *info = reader->info;
	char path[BOOT_INFO_PATH_SIZE];
	struct tag_module module;
	struct ini_text text;

	if (tag->size < sizeof(module))
		return boot_info_add_message(info, SUBJECT, "a module's tag is too short");
	memcpy(&module, tag->bytes, sizeof(module));
	text.start = (const char *)tag->bytes + sizeof(module);
	text.length = string_length_bounded(text.start, tag->size - sizeof(module));
	if (!boot_path_copy(path, text))
		return boot_info_add_message(info, path, "module name is not plain ASCII of at most 127 characters");
	if (module.end < module.start || !is_aligned(module.start, PAGE_SIZE))
		return boot_info_add_message(info, path, "module is not whole, page-aligned memory");
	switch (boot_info_add_file(info, path, module.start, module.end - module.start)) {
	case STATUS_OK:
		return;
	case STATUS_EXISTS:
		return boot_info_add_message(info, path, "module given twice, the second is ignored");
	case STATUS_NO_MEMORY:
		return boot_info_add_message(info, path, "one file too many (at most 64)");
	default:
		return boot_info_add_message(info, SUBJECT, "a module without a path as its command line");
	}
}

/* ACPI specification, "System Address Map Interfaces", address range types. */
static uint32_t region_type(uint32_t type)
{
	static const uint8_t types[] = {
		[1] = BOOT_MEMORY_USABLE,
		[2] = BOOT_MEMORY_RESERVED,
		[3] = BOOT_MEMORY_ACPI_RECLAIM,
		[4] = BOOT_MEMORY_ACPI_NVS,
		[5] = BOOT_MEMORY_BAD,
	};

	return type < array_count(types) && types[type] != 0 ? types[type] : BOOT_MEMORY_RESERVED;
}

/* Return: false if there are more regions than fit. */
static bool add_region(struct boot_info *info, const struct memory_map_entry *entry)
{
	/* A range beyond all physical addresses is not memory, whatever the firmware thinks. */
	return boot_info_add_region(info, entry->base, entry->length, region_type(entry->type)) != STATUS_NO_MEMORY;
}

static void read_memory_map(struct reader *reader, const struct tag *tag)
{
	struct memory_map_entry entry;
	struct tag_memory_map map;

	if (tag->size < sizeof(map))
		return boot_info_add_message(reader->info, SUBJECT, "the memory map's tag is too short");
	memcpy(&map, tag->bytes, sizeof(map));
	if (map.entry_size < sizeof(entry))
		return boot_info_add_message(reader->info, SUBJECT, "memory map with entries shorter than 24 bytes");
	for (uint64_t offset = sizeof(map); range_within(offset, map.entry_size, tag->size); offset += map.entry_size) {
		memcpy(&entry, tag->bytes + offset, sizeof(entry));
		if (add_region(reader->info, &entry))
			continue;
		boot_info_add_message(reader->info, SUBJECT, "more than 512 memory regions");
		reader->info->region_count = 0;
		return;
	}
}

static void read_framebuffer(struct reader *reader, const struct tag *tag)
{
	struct tag_framebuffer framebuffer;

	if (tag->size < sizeof(framebuffer))
		return;
	memcpy(&framebuffer, tag->bytes, sizeof(framebuffer));
	if (framebuffer.type != FRAMEBUFFER_RGB || framebuffer.bits_per_pixel != 32)
		return;
	if (framebuffer.red_size != 8 || framebuffer.green_size != 8 || framebuffer.blue_size != 8)
		return;
	reader->info->framebuffer = (struct boot_framebuffer){
		.base = framebuffer.address,
		.width = framebuffer.width,
		.height = framebuffer.height,
		.pitch = framebuffer.pitch,
		.bits_per_pixel = framebuffer.bits_per_pixel,
		.red_shift = framebuffer.red_shift,
		.green_shift = framebuffer.green_shift,
		.blue_shift = framebuffer.blue_shift,
	};
}

/* The tag holds a copy of the RSDP, which stays where it is: the information becomes LOADER memory. */
static void read_rsdp(struct reader *reader, const struct tag *tag)
{
	bool new_rsdp = tag->type == TAG_ACPI_NEW;

	if (tag->size < sizeof(struct tag_header) + (new_rsdp ? RSDP_SIZE_NEW : RSDP_SIZE_OLD))
		return boot_info_add_message(reader->info, SUBJECT, "the ACPI root pointer's tag is too short");
	if (reader->new_rsdp)
		return;
	reader->new_rsdp = new_rsdp;
	reader->info->acpi_rsdp = tag->address + sizeof(struct tag_header);
}

static void read_tag(struct reader *reader, const struct tag *tag)
{
	switch (tag->type) {
	case TAG_MODULE:
		return read_module(reader, tag);
	case TAG_MEMORY_MAP:
		return read_memory_map(reader, tag);
	case TAG_FRAMEBUFFER:
		return read_framebuffer(reader, tag);
	case TAG_ACPI_OLD:
	case TAG_ACPI_NEW:
		return read_rsdp(reader, tag);
	default: /* the specification grows: what is not asked for is passed over */
		return;
	}
}

static void read_tags(struct reader *reader, const uint8_t *bytes, uint64_t size, uint64_t address)
{
	uint64_t offset = sizeof(struct information_header);

	while (range_within(offset, sizeof(struct tag_header), size)) {
		struct tag_header header;
		struct tag tag;

		memcpy(&header, bytes + offset, sizeof(header));
		if (header.type == TAG_END)
			return;
		if (header.size < sizeof(header) || !range_within(offset, header.size, size))
			break;
		tag = (struct tag){bytes + offset, address + offset, header.type, header.size};
		read_tag(reader, &tag);
		offset += align_up(header.size, TAG_ALIGNMENT);
	}
	boot_info_add_message(reader->info, SUBJECT, "cut off before its end tag");
}

static enum status claim_memory(struct boot_info *info, uint64_t address, uint64_t size)
{
	/* The BIOS's own data: the hypervisor may look there for the RSDP. */
	enum status status = boot_info_add_region(info, 0, PAGE_SIZE, BOOT_MEMORY_RESERVED);

	if (status == STATUS_OK)
		status = boot_info_claim(info, info->image_base, info->image_size);
	if (status == STATUS_OK)
		status = boot_info_claim(info, address, size);
	if (status == STATUS_OK)
		status = boot_info_claim_files(info);
	return status;
}

void multiboot2_fill_boot_info(struct boot_info *info, const void *information, uint64_t limit, uint64_t address)
{
	uint64_t image_base = info->image_base, image_size = info->image_size;
	struct reader reader = {.info = info};
	struct information_header header;

	boot_info_open(info, BOOT_LOADER_MULTIBOOT2);
	info->image_base = image_base;
	info->image_size = image_size;
	memcpy(&header, information, sizeof(header));
	if (header.total_size < sizeof(header) || header.total_size > limit)
		return boot_info_add_message(info, SUBJECT, "its size makes no sense");
	read_tags(&reader, information, header.total_size, address);
	if (info->region_count == 0)
		return boot_info_add_message(info, SUBJECT, "no memory map");
	if (claim_memory(info, address, header.total_size) != STATUS_OK) {
		boot_info_add_message(info, SUBJECT, "memory of image or modules does not fit the memory map");
		info->region_count = 0;
	}
}
