#include "vmm/guest/linux_boot.h"

#include "lib/checked.h"
#include "lib/fmt.h"
#include "lib/string.h"
#include "vmm/guest/guest_cpu.h"
#include "vmm/guest/guest_layout.h"
#include "vmm/guest/linux_header.h"
#include "vmm/vm.h"

#define VERSION_OLDEST 0x20au /* the first with preferred_address and init_size */
#define VERSION_RSDP 0x20eu
#define VERSION_64_BIT 0x20cu
#define ALIGNMENT_MAX GIB

/* Where the loader's own structures go: conventional memory, which every VM has. */
#define GDT_ADDRESS 0x1000u
#define ZERO_PAGE_ADDRESS 0x2000u
#define COMMAND_LINE_ADDRESS 0x3000u
#define PAGE_TABLES_ADDRESS 0x8000u
#define STRUCTURES_START GDT_ADDRESS
#define STRUCTURES_END 0xf000u
#define KERNEL_LOWEST MIB

/* Identity mapping of the first 4 GiB: one PML4, one page-directory-pointer table, four page directories. */
#define PAGE_DIRECTORIES 4u
#define ENTRIES_PER_TABLE 512u
#define ENTRY_PRESENT_WRITE 0x3u
#define ENTRY_LARGE 0x80u

_Static_assert(PAGE_TABLES_ADDRESS + (2 + PAGE_DIRECTORIES) * PAGE_SIZE <= STRUCTURES_END, "the page tables fit");
_Static_assert(COMMAND_LINE_ADDRESS + CONFIG_CMDLINE_SIZE <= PAGE_TABLES_ADDRESS, "the command line fits");

/* Copies the header once, so that what was checked is what is used; what the file's header lacks is zero. */
static enum status read_header(const uint8_t *file, uint64_t size, struct linux_setup_header *header, char *why, size_t why_size)
{
	const size_t oldest_size = offsetof(struct linux_setup_header, handover_offset);
	uint64_t header_end;

	memset(header, 0, sizeof(*header));
	if (!range_within(LINUX_HEADER_OFFSET, oldest_size, size)) {
		fmt_print(why, why_size, "truncated: %llu bytes hold no setup header; expected a bzImage", (unsigned long long)size);
		return STATUS_TRUNCATED;
	}
	memcpy(header, file + LINUX_HEADER_OFFSET, oldest_size);
	if (header->boot_flag != LINUX_BOOT_FLAG || header->magic != LINUX_HEADER_MAGIC) {
		fmt_print(why, why_size, "not a Linux kernel: no setup header (HdrS); expected a bzImage");
		return STATUS_BAD_FORMAT;
	}
	header_end = offsetof(struct linux_setup_header, magic) + LINUX_HEADER_OFFSET + header->jump_offset;
	header_end = min_u64(min_u64(header_end, size), LINUX_HEADER_OFFSET + sizeof(*header));
	if (header_end > LINUX_HEADER_OFFSET + oldest_size)
		memcpy((uint8_t *)header + oldest_size, file + LINUX_HEADER_OFFSET + oldest_size, header_end - LINUX_HEADER_OFFSET - oldest_size);
	return STATUS_OK;
}

static enum status check_header(const struct linux_setup_header *header, char *why, size_t why_size)
{
	if (header->version < VERSION_OLDEST) {
		fmt_print(why, why_size, "boot protocol %u.%02u is too old; expected 2.10 or newer", header->version >> 8,
			  header->version & 0xff);
		return STATUS_UNSUPPORTED;
	}
	if (!(header->load_flags & LINUX_LOADED_HIGH)) {
		fmt_print(why, why_size, "a zImage, which loads below 1 MiB; expected a bzImage");
		return STATUS_UNSUPPORTED;
	}
	if (header->paragraph_count == 0 || header->init_size == 0) {
		fmt_print(why, why_size, "the setup header promises no code; expected a bzImage");
		return STATUS_BAD_FORMAT;
	}
	if (header->relocatable && (header->kernel_alignment == 0 || header->kernel_alignment > ALIGNMENT_MAX ||
				    (header->kernel_alignment & (header->kernel_alignment - 1)) != 0)) {
		fmt_print(why, why_size, "kernel alignment 0x%x; expected a power of two of at most 1 GiB", header->kernel_alignment);
		return STATUS_INVALID;
	}
	return STATUS_OK;
}

static void describe_image(const struct linux_setup_header *header, struct linux_image *image)
{
	uint64_t sectors = header->setup_sectors == 0 ? LINUX_DEFAULT_SETUP_SECTORS : header->setup_sectors;

	image->version = header->version;
	image->header_size = (sectors + 1) * LINUX_SECTOR_SIZE;
	image->payload_offset = image->header_size;
	image->payload_size = (uint64_t)header->paragraph_count * LINUX_PARAGRAPH_SIZE;
	image->preferred_address = header->preferred_address;
	image->alignment = header->relocatable ? max_u64(header->kernel_alignment, PAGE_SIZE) : 1;
	image->memory_size = max_u64(header->init_size, image->payload_size);
	image->ramdisk_end = (uint64_t)header->ramdisk_address_max + 1;
	image->command_line_size = header->command_line_size;
	image->relocatable = header->relocatable;
	image->entry_64_bit = header->version >= VERSION_64_BIT && header->extended_load_flags & LINUX_XLF_KERNEL_64;
}

static enum status parse_image(const uint8_t *file, uint64_t size, struct linux_setup_header *header, struct linux_image *image,
			       char *why, size_t why_size)
{
	enum status status = read_header(file, size, header, why, why_size);

	if (status == STATUS_OK)
		status = check_header(header, why, why_size);
	if (status != STATUS_OK)
		return status;
	describe_image(header, image);
	if (!range_within(image->payload_offset, image->payload_size, size)) {
		fmt_print(why, why_size, "truncated: header promises %llu bytes, file has %llu",
			  (unsigned long long)(image->payload_offset + image->payload_size), (unsigned long long)size);
		return STATUS_TRUNCATED;
	}
	fmt_print(why, why_size, "%s", "");
	return STATUS_OK;
}

enum status linux_boot_parse(const uint8_t *file, uint64_t size, struct linux_image *image, char *why, size_t why_size)
{
	struct linux_setup_header header;

	return parse_image(file, size, &header, image, why, why_size);
}

/*
 * Takes the kernel's range: at its preferred address if it can be there, else above it. Below it there is nothing to win: a
 * relocatable kernel would move itself up to that address.
 */
static enum status place_kernel(struct guest_layout *layout, const struct linux_image *image, uint64_t *address)
{
	uint64_t preferred = image->preferred_address;

	if (preferred >= KERNEL_LOWEST && range_within(preferred, image->memory_size, GUEST_LOW_RAM_END) &&
	    is_aligned(preferred, image->alignment) && guest_layout_take(layout, preferred, image->memory_size) == STATUS_OK) {
		*address = preferred;
		return STATUS_OK;
	}
	if (!image->relocatable)
		return STATUS_NO_MEMORY;
	return guest_layout_place_low(layout, image->memory_size, image->alignment, max_u64(preferred, KERNEL_LOWEST), GUEST_LOW_RAM_END,
				      address);
}

static uint64_t mebibytes(uint64_t bytes) { return bytes / MIB + (bytes % MIB != 0); }

/* Says how much memory kernel and ramdisk would need: all that lies below the kernel, too. */
static enum status refuse_size(const struct vm *vm, const char *role, const struct guest_file *file, const struct linux_image *image,
			       uint64_t ramdisk_size)
{
	uint64_t needed = mebibytes(max_u64(KERNEL_LOWEST, image->preferred_address)) + mebibytes(image->memory_size) + mebibytes(ramdisk_size);

	return guest_boot_refuse(vm, role, file, STATUS_NO_MEMORY, "needs %llu MiB, the VM has %llu MiB",
				 (unsigned long long)needed, (unsigned long long)(vm->config->memory / MIB));
}

/* The ramdisk goes as high as the kernel can reach, out of the way of what the kernel unpacks. */
static enum status load_ramdisk(struct vm *vm, struct guest_layout *layout, const struct linux_image *image,
				const struct guest_file *ramdisk, struct linux_setup_header *header)
{
	uint64_t address;

	if (ramdisk->size == 0)
		return STATUS_OK;
	if (ramdisk->size > GUEST_LOW_RAM_END ||
	    guest_layout_place_high(layout, ramdisk->size, PAGE_SIZE, KERNEL_LOWEST, image->ramdisk_end, &address) != STATUS_OK)
		return refuse_size(vm, "ramdisk", ramdisk, image, ramdisk->size);
	header->ramdisk_image = (uint32_t)address;
	header->ramdisk_size = (uint32_t)ramdisk->size;
	return guest_memory_write(&vm->memory, gpa(address), ramdisk->data, ramdisk->size);
}

static enum status write_command_line(struct vm *vm, const struct guest_file *kernel, const struct linux_image *image,
				      struct linux_setup_header *header)
{
	size_t length = strlen(vm->config->cmdline);

	if (length > image->command_line_size)
		return guest_boot_refuse(vm, "kernel", kernel, STATUS_OUT_OF_RANGE, "takes a command line of at most %u bytes, this one has %zu",
					 image->command_line_size, length);
	header->command_line = COMMAND_LINE_ADDRESS;
	return guest_memory_write(&vm->memory, gpa(COMMAND_LINE_ADDRESS), vm->config->cmdline, length + 1);
}

/* The zero page is filled in place, in the guest's memory: it is too large for the stack. */
static enum status write_zero_page(struct vm *vm, struct linux_setup_header *header, gpa_t rsdp)
{
	struct linux_zero_page *page = guest_memory_pointer(&vm->memory, gpa(ZERO_PAGE_ADDRESS), sizeof(*page));
	struct e820_entry map[E820_MAX_ENTRIES];

	if (!page)
		return STATUS_OUT_OF_RANGE;
	memset(page, 0, sizeof(*page));
	header->type_of_loader = LINUX_LOADER_UNDEFINED;
	header->load_flags &= (uint8_t)~LINUX_CAN_USE_HEAP;
	memcpy(&page->header, header, sizeof(*header));
	if (header->version >= VERSION_RSDP)
		page->acpi_rsdp = rsdp.value;
	page->e820_count = (uint8_t)e820_build(&vm->memory, map);
	memcpy(page->e820, map, page->e820_count * sizeof(map[0]));
	return STATUS_OK;
}

static enum status write_table(struct vm *vm, uint64_t address, const uint64_t *entries, unsigned count)
{
	enum status status = guest_memory_fill(&vm->memory, gpa(address), 0, PAGE_SIZE);

	return status == STATUS_OK ? guest_memory_write(&vm->memory, gpa(address), entries, count * sizeof(*entries)) : status;
}

static enum status write_page_tables(struct vm *vm)
{
	uint64_t pointers = PAGE_TABLES_ADDRESS + PAGE_SIZE;
	uint64_t entries[64];
	enum status status;

	entries[0] = pointers | ENTRY_PRESENT_WRITE;
	status = write_table(vm, PAGE_TABLES_ADDRESS, entries, 1);
	for (unsigned i = 0; i < PAGE_DIRECTORIES; i++)
		entries[i] = (pointers + (1 + i) * PAGE_SIZE) | ENTRY_PRESENT_WRITE;
	if (status == STATUS_OK)
		status = write_table(vm, pointers, entries, PAGE_DIRECTORIES);
	for (uint64_t i = 0; i < PAGE_DIRECTORIES * ENTRIES_PER_TABLE && status == STATUS_OK; i += array_count(entries)) {
		for (uint64_t j = 0; j < array_count(entries); j++)
			entries[j] = (i + j) * PAGE_SIZE_2M | ENTRY_LARGE | ENTRY_PRESENT_WRITE;
		status = guest_memory_write(&vm->memory, gpa(pointers + PAGE_SIZE + i * sizeof(*entries)), entries, sizeof(entries));
	}
	return status;
}

static enum status enter_kernel(struct vm *vm, const struct linux_image *image, uint64_t address)
{
	struct vcpu *vcpu = vm->vcpus[0];
	enum status status = guest_memory_write(&vm->memory, gpa(GDT_ADDRESS), guest_cpu_gdt[image->entry_64_bit], sizeof(guest_cpu_gdt[0]));

	if (status != STATUS_OK)
		return status;
	if (image->entry_64_bit) {
		status = write_page_tables(vm);
		guest_cpu_enter_long(vcpu, address + LINUX_ENTRY_64_OFFSET, GDT_ADDRESS, PAGE_TABLES_ADDRESS);
	} else {
		guest_cpu_enter_protected(vcpu, address, GDT_ADDRESS);
	}
	vcpu->virt.gpr[GPR_RSI] = ZERO_PAGE_ADDRESS;
	return status;
}

enum status linux_boot_load(struct vm *vm, const struct guest_file *kernel, const struct guest_file *ramdisk, gpa_t rsdp)
{
	struct linux_setup_header header;
	struct guest_layout layout;
	struct linux_image image;
	char why[128];
	uint64_t address;
	enum status status = parse_image(kernel->data, kernel->size, &header, &image, why, sizeof(why));

	if (status != STATUS_OK)
		return guest_boot_refuse(vm, "kernel", kernel, status, "%s", why);
	guest_layout_init(&layout, &vm->memory);
	if (guest_layout_take(&layout, STRUCTURES_START, STRUCTURES_END - STRUCTURES_START) != STATUS_OK ||
	    place_kernel(&layout, &image, &address) != STATUS_OK)
		return refuse_size(vm, "kernel", kernel, &image, ramdisk->size);
	header.code32_start = (uint32_t)address;
	status = load_ramdisk(vm, &layout, &image, ramdisk, &header);
	if (status == STATUS_OK)
		status = guest_memory_write(&vm->memory, gpa(address), kernel->data + image.payload_offset, image.payload_size);
	if (status == STATUS_OK)
		status = write_command_line(vm, kernel, &image, &header);
	if (status == STATUS_OK)
		status = write_zero_page(vm, &header, rsdp);
	return status == STATUS_OK ? enter_kernel(vm, &image, address) : status;
}
