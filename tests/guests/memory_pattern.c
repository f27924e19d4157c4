/*
 * All RAM that the map shows: zero at the start, and each word keeps what it was given, above 4 GiB too. Of much RAM one
 * word in each page is tried.
 */
#include "runtime/guest.h"

const char guest_name[] = "memory_pattern";

#define RAM 1u
#define MAPPED_END (8ul << 30)
#define MUCH (256ul << 20)
#define PATTERN 0x9e3779b97f4a7c15ull

extern const char guest_end[];

static void fill_and_check(uint64_t start, uint64_t end)
{
	const size_t step = end - start > MUCH ? 512 : 1;
	uint64_t bad = 0;

	for (volatile uint64_t *word = (volatile uint64_t *)start; (uint64_t)word < end; word += step)
		bad += *word != 0;
	guest_check(bad == 0, "%llu words from %llx to %llx are not zero", (unsigned long long)bad, (unsigned long long)start, (unsigned long long)end);
	for (volatile uint64_t *word = (volatile uint64_t *)start; (uint64_t)word < end; word += step)
		*word = (uint64_t)word * PATTERN;
	bad = 0;
	for (volatile uint64_t *word = (volatile uint64_t *)start; (uint64_t)word < end; word += step)
		bad += *word != (uint64_t)word * PATTERN;
	guest_check(bad == 0, "%llu words from %llx to %llx changed", (unsigned long long)bad, (unsigned long long)start, (unsigned long long)end);
	guest_print("memory_pattern: %llx to %llx checked\n", (unsigned long long)start, (unsigned long long)end);
}

void guest_main(void)
{
	uint64_t at = guest_information->map_address, end = at + guest_information->map_length, first = (uint64_t)guest_end;

	/* The map itself may lie behind the kernel. */
	if ((uint64_t)guest_information >= first)
		first = ((uint64_t)guest_information & ~0xffful) + 0x2000;
	while (at < end) {
		const struct multiboot_map_entry *entry = (const struct multiboot_map_entry *)at;
		uint64_t start = entry->base > first ? entry->base : first, stop = entry->base + entry->length;

		if (entry->type == RAM && start < stop && start < MAPPED_END)
			fill_and_check(start, stop < MAPPED_END ? stop : MAPPED_END);
		at += entry->size + 4;
	}
}
