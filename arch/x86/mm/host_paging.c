#include "arch/x86/mm/host_paging.h"

#include "arch/x86/cr.h"
#include "arch/x86/insn.h"
#include "arch/x86/log.h"
#include "arch/x86/mm/page_table.h"
#include "arch/x86/msr.h"
#include "arch/x86/physmap.h"
#include "arch/x86/spinlock.h"
#include "lib/checked.h"

#define CPUID_EXTENDED_FEATURES 0x80000001u
#define CPUID_NX BIT(20)   /* EDX */
#define CPUID_PAGE_1G BIT(26) /* EDX */
#define CPUID_STRUCTURED_FEATURES 7u
#define CPUID_SMEP BIT(7)  /* EBX */
#define CPUID_SMAP BIT(20) /* EBX */
#define CPUID_UMIP BIT(2)  /* ECX */

/* Write-back, write-combining, uncached (overridable), uncached; twice. SDM Vol. 3A "Page Attribute Table (PAT)". */
#define PAT_VALUE 0x0007010600070106ull
#define CANONICAL_MASK BITS(47, 0) /* the walker counts from the first entry of the top table */

/* linker.ld: the sections lie back to back, so data begins where the constants end. */
extern const char __image_start[], __text_start[], __text_end[], __rodata_start[], __rodata_end[], __data_end[];

static const struct {
	const char *start, *end;
	uint32_t attributes;
} image_sections[] = {
	{__text_start, __text_end, PAGE_READ | PAGE_EXECUTE | PAGE_GLOBAL},
	{__rodata_start, __rodata_end, PAGE_READ | PAGE_GLOBAL},
	{__rodata_end, __data_end, PAGE_READ | PAGE_WRITE | PAGE_GLOBAL},
};

static struct {
	struct spinlock lock; /* protects the table */
	struct page_table_format format; /* of this CPU */
	struct page_table table;
} host;

struct span {
	uint64_t start, end;
};

static enum status map(uint64_t virtual, uint64_t physical, uint64_t length, uint32_t attributes)
{
	return length == 0 ? STATUS_OK : page_table_map(&host.table, virtual & CANONICAL_MASK, hpa(physical), length, attributes);
}

static enum status map_ram_part(uint64_t start, uint64_t end, uint32_t attributes)
{
	return start >= end ? STATUS_OK : map(PHYSMAP_BASE + start, start, end - start, attributes | PAGE_GLOBAL);
}

/* RAM, writable except where the image's code and constants lie: no second, writable view of them. */
static enum status map_ram(uint64_t start, uint64_t end, struct span read_only)
{
	enum status status = map_ram_part(start, min_u64(end, read_only.start), PAGE_READ | PAGE_WRITE);

	if (status == STATUS_OK)
		status = map_ram_part(max_u64(start, read_only.start), min_u64(end, read_only.end), PAGE_READ);
	if (status == STATUS_OK)
		status = map_ram_part(max_u64(start, read_only.end), end, PAGE_READ | PAGE_WRITE);
	return status;
}

static bool is_ram(const struct boot_memory_region *region)
{
	return region->type == BOOT_MEMORY_USABLE || region->type == BOOT_MEMORY_LOADER || region->type == BOOT_MEMORY_ACPI_RECLAIM ||
	       region->type == BOOT_MEMORY_ACPI_NVS;
}

/* Neighbouring regions are mapped as one, so that pages are as large as they can be. */
static enum status map_physmap(const struct boot_info *info, struct span read_only)
{
	enum status status = STATUS_OK;
	uint32_t i = 0;

	while (i < info->region_count && status == STATUS_OK) {
		struct span ram = {info->regions[i].base, info->regions[i].base + info->regions[i].length};

		if (!is_ram(&info->regions[i++]))
			continue;
		for (; i < info->region_count && is_ram(&info->regions[i]) && info->regions[i].base == ram.end; i++)
			ram.end += info->regions[i].length;
		status = map_ram(min_u64(ram.start, PHYSMAP_SIZE), min_u64(ram.end, PHYSMAP_SIZE), read_only);
	}
	return status;
}

static uint64_t image_physical(const struct boot_info *info, const char *symbol)
{
	return info->image_base + ((uintptr_t)symbol - (uintptr_t)__image_start);
}

static enum status map_image(const struct boot_info *info)
{
	enum status status = STATUS_OK;

	for (unsigned i = 0; i < array_count(image_sections) && status == STATUS_OK; i++)
		status = map((uintptr_t)image_sections[i].start, image_physical(info, image_sections[i].start),
			     (uintptr_t)image_sections[i].end - (uintptr_t)image_sections[i].start, image_sections[i].attributes);
	return status;
}

enum status host_paging_init(const struct boot_info *info)
{
	struct span read_only = {image_physical(info, __text_start), image_physical(info, __rodata_end)};
	uint32_t features = 0;
	enum status status;

	if (insn_cpuid(0x80000000, 0).eax >= CPUID_EXTENDED_FEATURES)
		features = insn_cpuid(CPUID_EXTENDED_FEATURES, 0).edx;
	if (!(features & CPUID_NX)) {
		log_error("this CPU cannot keep data from being executed (NX, CPUID 80000001h EDX bit 20); "
			  "if the firmware has a setting for it (\"XD\", \"execute disable\"), turn it on");
		return STATUS_UNSUPPORTED;
	}
	host.format = page_table_host_format;
	host.format.page_1g = (features & CPUID_PAGE_1G) != 0;
	status = page_table_create(&host.table, &host.format);
	if (status == STATUS_OK)
		status = map_physmap(info, read_only);
	if (status == STATUS_OK)
		status = map_image(info);
	if (status != STATUS_OK)
		log_error("the hypervisor's page tables cannot be built: %s", status_name(status));
	return status;
}

void host_paging_activate(void)
{
	struct cpuid_result features = {0, 0, 0, 0};
	uint64_t cr4 = insn_read_cr4() | CR4_PGE;

	if (insn_cpuid(0, 0).eax >= CPUID_STRUCTURED_FEATURES)
		features = insn_cpuid(CPUID_STRUCTURED_FEATURES, 0);
	if (features.ebx & CPUID_SMEP)
		cr4 |= CR4_SMEP;
	if (features.ebx & CPUID_SMAP)
		cr4 |= CR4_SMAP;
	if (features.ecx & CPUID_UMIP)
		cr4 |= CR4_UMIP;
	insn_wrmsr(MSR_EFER, insn_rdmsr(MSR_EFER) | EFER_NXE);
	insn_wrmsr(MSR_PAT, PAT_VALUE);
	insn_write_cr0(insn_read_cr0() | CR0_WP);
	insn_write_cr3(host.table.root.value);
	insn_write_cr4(cr4);
}

hpa_t host_paging_root(void)
{
	return host.table.root;
}

static void add_usable(const struct boot_info *info, uint64_t low, uint64_t high)
{
	for (uint32_t i = 0; i < info->region_count; i++) {
		const struct boot_memory_region *region = &info->regions[i];
		uint64_t start = max_u64(region->base, low), end = min_u64(region->base + region->length, high);

		if (region->type == BOOT_MEMORY_USABLE && start < end)
			page_pool_add(hpa(start), end - start);
	}
}

enum status host_memory_init(const struct boot_info *info)
{
	enum status status;

	add_usable(info, 0, 4 * GIB); /* the loader's tables map no more */
	status = host_paging_init(info);
	if (status != STATUS_OK)
		return status;
	host_paging_activate();
	add_usable(info, 4 * GIB, PHYSMAP_SIZE);
	return STATUS_OK;
}

/* Maps what is not mapped yet of the pages [@start, @end); @refuse: fail on pages mapped as RAM is. */
static enum status map_missing_locked(uint64_t start, uint64_t end, uint32_t attributes, bool refuse_ram)
{
	enum status status = map(PHYSMAP_BASE + start, start, end - start, attributes);
	struct page_table_leaf leaf;

	if (status != STATUS_EXISTS)
		return status;
	while (start < end) {
		status = page_table_lookup(&host.table, (PHYSMAP_BASE + start) & CANONICAL_MASK, &leaf);
		if (status == STATUS_OK && refuse_ram && !(leaf.attributes & (PAGE_UNCACHED | PAGE_WRITE_COMBINING)))
			return STATUS_EXISTS;
		if (status != STATUS_OK)
			status = map(PHYSMAP_BASE + start, start, PAGE_SIZE, attributes);
		if (status != STATUS_OK)
			return status;
		start += PAGE_SIZE;
	}
	return STATUS_OK;
}

/* *@span: the pages that [@address, @address + @length) touches; false if the physmap has no room for them. */
static bool pages_of(hpa_t address, uint64_t length, struct span *span)
{
	uint64_t end;

	if (length == 0 || !checked_add(address.value, length, &end) || end > PHYSMAP_SIZE)
		return false;
	*span = (struct span){align_down(address.value, PAGE_SIZE), align_up(end, PAGE_SIZE)};
	return true;
}

static bool map_to_physmap(hpa_t address, uint64_t length, uint32_t attributes, bool refuse_ram, const char *what)
{
	enum status status = STATUS_OUT_OF_RANGE;
	struct span span;

	if (pages_of(address, length, &span)) {
		spinlock_lock(&host.lock);
		status = map_missing_locked(span.start, span.end, attributes | PAGE_GLOBAL, refuse_ram);
		spinlock_unlock(&host.lock);
	}
	if (status != STATUS_OK)
		log_error("%s at %#llx, %llu bytes, cannot be mapped: %s", what, (unsigned long long)address.value,
			  (unsigned long long)length, status == STATUS_EXISTS ? "it is RAM" : status_name(status));
	return status == STATUS_OK;
}

void *host_paging_map_device(hpa_t address, uint64_t length, bool write_combining)
{
	uint32_t attributes = PAGE_READ | PAGE_WRITE | (write_combining ? PAGE_WRITE_COMBINING : PAGE_UNCACHED);

	return map_to_physmap(address, length, attributes, true, "device memory") ? physmap_pointer(address) : NULL;
}

const void *host_paging_map_reserved(hpa_t address, uint64_t length)
{
	return map_to_physmap(address, length, PAGE_READ, false, "firmware memory") ? physmap_pointer(address) : NULL;
}

enum status host_paging_map_identity(hpa_t page)
{
	enum status status;

	spinlock_lock(&host.lock);
	status = map(page.value, page.value, PAGE_SIZE, PAGE_READ | PAGE_EXECUTE);
	spinlock_unlock(&host.lock);
	return status;
}

void host_paging_unmap_identity(hpa_t page)
{
	enum status status;

	spinlock_lock(&host.lock);
	status = page_table_unmap(&host.table, page.value, PAGE_SIZE);
	spinlock_unlock(&host.lock);
	insn_invlpg(page.value);
	if (status != STATUS_OK)
		log_warning("the start-up code stays mapped: %s", status_name(status));
}

enum status host_paging_unmap_guard(const void *page)
{
	uint64_t virtual = PHYSMAP_BASE + physmap_address(page).value;
	enum status status;

	spinlock_lock(&host.lock);
	status = page_table_unmap(&host.table, virtual & CANONICAL_MASK, PAGE_SIZE);
	spinlock_unlock(&host.lock);
	insn_invlpg(virtual);
	return status;
}
