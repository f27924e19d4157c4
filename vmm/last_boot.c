#include "vmm/last_boot.h"

#include "arch/x86/log.h"
#include "arch/x86/physmap.h"
#include "boot/boot_info_build.h"
#include "lib/fmt.h"
#include "lib/string.h"
#include "vmm/report.h"

#define MAGIC 0x746f6f427473614cull /* "LastBoot" */
#define VERSION 1u

/* Firmware works from the top of memory downward and in the first few megabytes; these lie between. Never change the order
 * without VERSION. */
#define FIRST_PLACE (96 * MIB)
#define PLACE_STEP (32 * MIB)
#define PLACE_COUNT 24u
#define VALUE_SIZE 32u
#define SPARE_REGIONS 8u /* claiming two areas splits regions; a list that overflows is useless */

/* Of this boot; NULL: none. */
static struct last_boot_half *current;
/* Of the last one. */
static const struct last_boot_half *previous;

static uint64_t sum_header(const struct last_boot_header *header)
{
	const size_t sum_place = offsetof(struct last_boot_header, sum);
	const uint8_t *bytes = (const uint8_t *)header;
	uint64_t sum = 0x6a09e667f3bcc908ull;

	for (size_t i = 0; i < sizeof(*header); i++) {
		bool is_sum = i - sum_place < sizeof(header->sum);

		sum = (sum ^ (is_sum ? 0 : bytes[i])) * 0x100000001b3ull;
	}
	return sum;
}

static void seal_header(void)
{
	current->header.sum = sum_header(&current->header);
}

bool last_boot_check(const struct last_boot_half *half)
{
	const struct last_boot_header *header = &half->header;

	return header->magic == MAGIC && header->version == VERSION && header->size == sizeof(*half) && header->sum == sum_header(header);
}

const struct last_boot_half *last_boot_find(void)
{
	return previous;
}

/* The area at @base is free RAM that the loader has not used, and mapped below 4 GiB. */
static bool is_free(const struct boot_info *info, uint64_t base)
{
	for (uint32_t i = 0; i < info->region_count; i++) {
		const struct boot_memory_region *region = &info->regions[i];

		if (region->type == BOOT_MEMORY_USABLE && base >= region->base && base - region->base < region->length &&
		    region->length - (base - region->base) >= sizeof(struct last_boot_area))
			return true;
	}
	return false;
}

static struct last_boot_area *area_at(uint64_t base)
{
	return physmap_pointer(hpa(base));
}

/* Notes the newest sound half of an area. */
static bool look_at_area(const struct last_boot_area *area)
{
	bool found = false;

	for (unsigned i = 0; i < array_count(area->halves); i++) {
		const struct last_boot_half *half = &area->halves[i];

		if (!last_boot_check(half) || (previous != NULL && half->header.generation < previous->header.generation))
			continue;
		previous = half;
		found = true;
	}
	return found;
}

static void use(struct last_boot_half *half)
{
	memset(half, 0, sizeof(*half));
	current = half;
	current->header.magic = MAGIC;
	current->header.version = VERSION;
	current->header.size = sizeof(*half);
	current->header.generation = previous != NULL ? previous->header.generation + 1 : 1;
	seal_header();
	log_keep_in(&current->log);
}

/* The first free place is this boot's; what the last one left lies there too, unless its memory map was another one. */
void last_boot_init(struct boot_info *info)
{
	uint64_t chosen = 0, found = 0;

	current = NULL;
	previous = NULL;
	if (info->region_count > BOOT_INFO_MAX_REGIONS - SPARE_REGIONS)
		return;
	for (unsigned i = 0; i < PLACE_COUNT; i++) {
		uint64_t base = FIRST_PLACE + i * PLACE_STEP;

		if (!is_free(info, base))
			continue;
		chosen = chosen != 0 ? chosen : base;
		found = look_at_area(area_at(base)) ? base : found;
	}
	if (chosen == 0 || boot_info_claim(info, chosen, sizeof(struct last_boot_area)) != STATUS_OK)
		return;
	if (found != 0 && found != chosen && boot_info_claim(info, found, sizeof(struct last_boot_area)) != STATUS_OK)
		previous = NULL;
	use(&area_at(chosen)->halves[previous == &area_at(chosen)->halves[0]]);
}

size_t last_boot_read_log(const struct last_boot_half *half, struct log_reader *reader, char *buffer, size_t size)
{
	size = log_ring_read(&half->log, reader, buffer, size);
	for (size_t i = 0; i < size; i++) {
		if ((buffer[i] < ' ' || buffer[i] > '~') && buffer[i] != '\n' && buffer[i] != '\t')
			buffer[i] = '?';
	}
	return size;
}

struct exit_recorder *last_boot_take_recorder(const char *name, uint32_t vcpu)
{
	for (unsigned i = 0; current != NULL && i < LAST_BOOT_RECORDERS; i++) {
		struct last_boot_owner *owner = &current->header.owners[i];

		if (owner->used)
			continue;
		memset(&current->recorders[i], 0, sizeof(current->recorders[i]));
		(void)string_copy(owner->name, sizeof(owner->name), name);
		owner->vcpu = vcpu;
		owner->used = 1;
		seal_header();
		return &current->recorders[i];
	}
	return NULL;
}

bool last_boot_give_recorder(const struct exit_recorder *recorder)
{
	if (current == NULL || recorder < current->recorders || recorder >= current->recorders + LAST_BOOT_RECORDERS)
		return false;
	current->header.owners[recorder - current->recorders] = (struct last_boot_owner){0};
	seal_header();
	return true;
}

static void report(report_print print)
{
	char value[VALUE_SIZE];

	if (current == NULL) {
		report_row(print, "log and exits", "no", "no RAM is free where they would survive: `dmesg --last-boot` shows nothing");
		return;
	}
	fmt_print(value, sizeof(value), "%u KiB at 0x%llx", (unsigned)(sizeof(struct last_boot_area) / KIB),
		  (unsigned long long)align_down(physmap_address(current).value, PLACE_STEP));
	report_row(print, "log and exits", value, "");
	report_row(print, "of the last boot", previous != NULL ? "yes" : "nothing", "");
}

static const struct report_provider last_boot_provider = {"Kept over a warm reset", 35, report};
REPORT_PROVIDER(last_boot_provider);
