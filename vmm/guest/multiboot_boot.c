#include "vmm/guest/multiboot_boot.h"

#include "lib/checked.h"
#include "lib/elf.h"
#include "lib/string.h"
#include "vmm/guest/e820.h"
#include "vmm/guest/guest_cpu.h"
#include "vmm/guest/guest_layout.h"
#include "vmm/vm.h"

#define HEADER_MAGIC 0x1badb002u
#define HEADER_ALIGNMENT 4u
#define BOOT_MAGIC 0x2badb002u /* in EAX at entry */
#define REQUIRED_FLAGS 0xffffu /* flags that a loader must know, or refuse the kernel */
#define KNOWN_FLAGS (MULTIBOOT_ALIGN_MODULES | MULTIBOOT_WANTS_MEMORY | MULTIBOOT_WANTS_VIDEO)

#define INFO_MEMORY 0x1u
#define INFO_COMMAND_LINE 0x4u
#define INFO_MODULES 0x8u
#define INFO_MEMORY_MAP 0x40u
#define INFO_LOADER_NAME 0x200u

struct header_in_file {
	uint32_t magic, flags, checksum;
	uint32_t header_address, load_address, load_end_address, bss_end_address, entry_address;
};

struct multiboot_info {
	uint32_t flags, memory_lower, memory_upper, boot_device, command_line;
	uint32_t module_count, modules, symbols[4], memory_map_length, memory_map;
	uint32_t drives_length, drives, configuration_table, loader_name, apm_table;
	uint32_t vbe_control, vbe_mode_info;
	uint16_t vbe_mode, vbe_segment, vbe_offset, vbe_length;
} packed_struct;
_Static_assert(sizeof(struct multiboot_info) == 88, "as the specification draws it");

struct multiboot_module {
	uint32_t start, end, string, reserved;
} packed_struct;

struct multiboot_map_entry {
	uint32_t size; /* of what follows */
	struct e820_entry entry;
} packed_struct;

/* What is handed to the kernel lies in one page; these are offsets in it. */
#define BLOCK_SIZE PAGE_SIZE
#define BLOCK_INFO 0u
#define BLOCK_MODULE 128u
#define BLOCK_MEMORY_MAP 256u
#define BLOCK_COMMAND_LINE 1024u
#define BLOCK_MODULE_STRING 3072u
#define BLOCK_LOADER_NAME 3584u
#define BLOCK_LOWEST 0x1000u
_Static_assert(BLOCK_MEMORY_MAP + E820_MAX_ENTRIES * sizeof(struct multiboot_map_entry) <= BLOCK_COMMAND_LINE, "the map fits");
_Static_assert(BLOCK_COMMAND_LINE + CONFIG_CMDLINE_SIZE <= BLOCK_MODULE_STRING, "the command line fits");
_Static_assert(BLOCK_MODULE_STRING + CONFIG_PATH_SIZE <= BLOCK_LOADER_NAME, "the module's string fits");

static const char loader_name[] = "Trivet";

enum status multiboot_find_header(const uint8_t *file, uint64_t size, struct multiboot_header *header, const char **why)
{
	const uint64_t search = min_u64(size, MULTIBOOT_SEARCH_SIZE), short_size = offsetof(struct header_in_file, header_address);
	struct header_in_file found = { 0 };
	uint64_t offset = 0;

	*why = "";
	for (;; offset += HEADER_ALIGNMENT) {
		if (!range_within(offset, short_size, search)) {
			*why = "no Multiboot header in the first 8192 bytes; expected magic 0x1badb002 with flags and checksum";
			return STATUS_NOT_FOUND;
		}
		memcpy(&found, file + offset, short_size);
		if (found.magic == HEADER_MAGIC && found.magic + found.flags + found.checksum == 0)
			break;
	}
	if (found.flags & REQUIRED_FLAGS & ~KNOWN_FLAGS) {
		*why = "the Multiboot header requires features that do not exist; expected flags 0 to 2 at most";
		return STATUS_UNSUPPORTED;
	}
	if (found.flags & MULTIBOOT_HAS_ADDRESSES) {
		if (!range_within(offset, sizeof(found), search)) {
			*why = "truncated: the Multiboot header's addresses lie beyond the end of the file";
			return STATUS_TRUNCATED;
		}
		memcpy(&found, file + offset, sizeof(found));
	}
	*header = (struct multiboot_header){ found.flags, offset, found.header_address, found.load_address, found.load_end_address,
					     found.bss_end_address, found.entry_address };
	return STATUS_OK;
}

/* The header's own addresses as an image of one segment. Specification: "The address fields of Multiboot header". */
static enum status describe_flat_image(const struct multiboot_header *header, uint64_t size, struct elf_image *image, const char **why)
{
	uint64_t distance = (uint64_t)header->header_address - header->load_address;
	uint64_t file_size, memory_size;

	*why = "the addresses in the Multiboot header contradict each other or the file's size";
	if (header->header_address < header->load_address || distance > header->offset)
		return STATUS_OUT_OF_RANGE;
	file_size = header->load_end_address == 0 ? size - (header->offset - distance)
						  : (uint64_t)header->load_end_address - header->load_address;
	if (header->load_end_address != 0 && header->load_end_address < header->load_address)
		return STATUS_OUT_OF_RANGE;
	memory_size = header->bss_end_address == 0 ? file_size : (uint64_t)header->bss_end_address - header->load_address;
	if (header->bss_end_address != 0 && header->bss_end_address < header->load_address)
		return STATUS_OUT_OF_RANGE;
	if (!range_within(header->offset - distance, file_size, size) || memory_size < file_size || memory_size == 0)
		return STATUS_OUT_OF_RANGE;
	if (header->entry_address < header->load_address || header->entry_address - header->load_address >= memory_size)
		return STATUS_OUT_OF_RANGE;
	image->segment_count = 1;
	image->segments[0] = (struct elf_segment){ .file_offset = header->offset - distance, .file_size = file_size,
						   .memory_size = memory_size, .physical_address = header->load_address };
	*why = "";
	return STATUS_OK;
}

/* Segments and entry point of @kernel, whichever way it tells them. */
static enum status describe_kernel(const struct guest_file *kernel, struct elf_image *image, uint64_t *entry, const char **why)
{
	struct multiboot_header header;
	enum status status = multiboot_find_header(kernel->data, kernel->size, &header, why);

	if (status != STATUS_OK)
		return status;
	if (header.flags & MULTIBOOT_HAS_ADDRESSES) {
		*entry = header.entry_address;
		return describe_flat_image(&header, kernel->size, image, why);
	}
	status = elf_parse(kernel->data, kernel->size, image, why);
	if (status != STATUS_OK)
		return status;
	status = elf_entry_physical(image, entry);
	if (status != STATUS_OK || *entry > UINT32_MAX) {
		*why = "the entry point lies in no segment, or above 4 GiB";
		return STATUS_OUT_OF_RANGE;
	}
	return STATUS_OK;
}

static enum status refuse_segment(const struct vm *vm, const struct guest_file *kernel, const struct elf_segment *segment, enum status status)
{
	uint64_t end = segment->physical_address + segment->memory_size;

	if (status == STATUS_EXISTS)
		return guest_boot_refuse(vm, "kernel", kernel, status, "segment 0x%llx-0x%llx overlaps another or the reserved BIOS areas",
					 (unsigned long long)segment->physical_address, (unsigned long long)end);
	if (end > vm->config->memory)
		return guest_boot_refuse(vm, "kernel", kernel, status, "needs %llu MiB, the VM has %llu MiB",
					 (unsigned long long)(end / MIB + (end % MIB != 0)), (unsigned long long)(vm->config->memory / MIB));
	return guest_boot_refuse(vm, "kernel", kernel, status, "segment 0x%llx-0x%llx lies outside the VM's memory",
				 (unsigned long long)segment->physical_address, (unsigned long long)end);
}

static enum status load_segment(struct vm *vm, const struct guest_file *kernel, const struct elf_segment *segment)
{
	enum status status = guest_memory_write(&vm->memory, gpa(segment->physical_address), kernel->data + segment->file_offset,
						segment->file_size);

	if (status != STATUS_OK)
		return status;
	return guest_memory_fill(&vm->memory, gpa(segment->physical_address + segment->file_size), 0,
				 segment->memory_size - segment->file_size);
}

/* All segments are checked before any is written. */
static enum status load_segments(struct vm *vm, struct guest_layout *layout, const struct guest_file *kernel, const struct elf_image *image)
{
	enum status status = STATUS_OK;

	for (unsigned i = 0; i < image->segment_count; i++) {
		const struct elf_segment *segment = &image->segments[i];

		status = guest_layout_take(layout, segment->physical_address, segment->memory_size);
		if (status != STATUS_OK)
			return refuse_segment(vm, kernel, segment, status);
	}
	for (unsigned i = 0; i < image->segment_count && status == STATUS_OK; i++)
		status = load_segment(vm, kernel, &image->segments[i]);
	return status;
}

static enum status load_module(struct vm *vm, struct guest_layout *layout, const struct guest_file *ramdisk, uint64_t block,
			       struct multiboot_info *info)
{
	struct multiboot_module module = { .string = (uint32_t)(block + BLOCK_MODULE_STRING) };
	uint64_t address;
	enum status status;

	if (ramdisk->size == 0)
		return STATUS_OK;
	if (ramdisk->size > GUEST_LOW_RAM_END ||
	    guest_layout_place_low(layout, ramdisk->size, PAGE_SIZE, GUEST_BIOS_END, GUEST_LOW_RAM_END, &address) != STATUS_OK)
		return guest_boot_refuse(vm, "ramdisk", ramdisk, STATUS_NO_MEMORY, "needs %llu MiB beside the kernel, the VM has %llu MiB",
					 (unsigned long long)(ramdisk->size / MIB + 1), (unsigned long long)(vm->config->memory / MIB));
	module.start = (uint32_t)address;
	module.end = (uint32_t)(address + ramdisk->size);
	info->flags |= INFO_MODULES;
	info->module_count = 1;
	info->modules = (uint32_t)(block + BLOCK_MODULE);
	status = guest_memory_write(&vm->memory, gpa(address), ramdisk->data, ramdisk->size);
	if (status == STATUS_OK)
		status = guest_memory_write(&vm->memory, gpa(block + BLOCK_MODULE), &module, sizeof(module));
	if (status == STATUS_OK)
		status = guest_memory_write(&vm->memory, gpa(block + BLOCK_MODULE_STRING), ramdisk->path, strlen(ramdisk->path) + 1);
	return status;
}

static enum status write_memory_map(struct vm *vm, uint64_t block, struct multiboot_info *info)
{
	struct e820_entry entries[E820_MAX_ENTRIES];
	unsigned count = e820_build(&vm->memory, entries);
	enum status status = STATUS_OK;

	for (unsigned i = 0; i < count && status == STATUS_OK; i++) {
		const struct multiboot_map_entry entry = { sizeof(entries[i]), entries[i] };

		status = guest_memory_write(&vm->memory, gpa(block + BLOCK_MEMORY_MAP + i * sizeof(entry)), &entry, sizeof(entry));
	}
	info->flags |= INFO_MEMORY | INFO_MEMORY_MAP;
	info->memory_lower = E820_EBDA_START / (uint32_t)KIB;
	info->memory_upper = (uint32_t)((guest_layout_low_ram_end(&vm->memory) - GUEST_BIOS_END) / KIB);
	info->memory_map = (uint32_t)(block + BLOCK_MEMORY_MAP);
	info->memory_map_length = count * (uint32_t)sizeof(struct multiboot_map_entry);
	return status;
}

static enum status write_information(struct vm *vm, uint64_t block, struct multiboot_info *info)
{
	const char *command_line = vm->config->cmdline;
	enum status status = write_memory_map(vm, block, info);

	info->flags |= INFO_COMMAND_LINE | INFO_LOADER_NAME;
	info->command_line = (uint32_t)(block + BLOCK_COMMAND_LINE);
	info->loader_name = (uint32_t)(block + BLOCK_LOADER_NAME);
	if (status == STATUS_OK)
		status = guest_memory_write(&vm->memory, gpa(info->command_line), command_line, strlen(command_line) + 1);
	if (status == STATUS_OK)
		status = guest_memory_write(&vm->memory, gpa(info->loader_name), loader_name, sizeof(loader_name));
	if (status == STATUS_OK)
		status = guest_memory_write(&vm->memory, gpa(block + BLOCK_INFO), info, sizeof(*info));
	return status;
}

enum status multiboot_boot_load(struct vm *vm, const struct guest_file *kernel, const struct guest_file *ramdisk)
{
	struct multiboot_info info = { 0 };
	struct guest_layout layout;
	struct elf_image image;
	const char *why;
	uint64_t entry, block;
	enum status status = describe_kernel(kernel, &image, &entry, &why);

	if (status != STATUS_OK)
		return guest_boot_refuse(vm, "kernel", kernel, status, "%s", why);
	guest_layout_init(&layout, &vm->memory);
	status = load_segments(vm, &layout, kernel, &image);
	if (status != STATUS_OK)
		return status;
	status = guest_layout_place_low(&layout, BLOCK_SIZE, PAGE_SIZE, BLOCK_LOWEST, GUEST_LOW_RAM_END, &block);
	if (status != STATUS_OK)
		return guest_boot_refuse(vm, "kernel", kernel, status, "leaves no page free for the boot information");
	status = load_module(vm, &layout, ramdisk, block, &info);
	if (status == STATUS_OK)
		status = write_information(vm, block, &info);
	if (status != STATUS_OK)
		return status;
	guest_cpu_enter_protected(vm->vcpus[0], entry, 0);
	vm->vcpus[0]->virt.gpr[GPR_RAX] = BOOT_MAGIC;
	vm->vcpus[0]->virt.gpr[GPR_RBX] = block + BLOCK_INFO;
	return STATUS_OK;
}
