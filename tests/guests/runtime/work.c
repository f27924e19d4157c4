#include "runtime/work.h"

#include "runtime/apic.h"
#include "runtime/cpu.h"
#include "runtime/guest.h"

#define UNIT_ROUNDS 500u
#define CALIBRATION_ROUNDS 100u
#define MICROSECONDS 1000000u

/* The word that begins with @prefix; gives what follows the prefix, or NULL. */
static const char *find_word(const char *prefix)
{
	const char *at = (const char *)(uint64_t)guest_information->command_line;
	const size_t length = strlen(prefix);

	while (*at) {
		if (strlen(at) >= length && memcmp(at, prefix, length) == 0)
			return at + length;
		while (*at && *at != ' ')
			at++;
		while (*at == ' ')
			at++;
	}
	return NULL;
}

uint64_t guest_option(const char *name, uint64_t otherwise)
{
	const char *digit = find_word(name);
	uint64_t number = 0;

	if (digit == NULL || *digit != '=')
		return otherwise;
	for (digit++; *digit >= '0' && *digit <= '9'; digit++)
		number = number * 10 + (uint64_t)(*digit - '0');
	return number;
}

bool guest_has_word(const char *word)
{
	const char *rest = find_word(word);

	return rest != NULL && (*rest == '\0' || *rest == ' ');
}

void work_unit(void)
{
	uint32_t rounds = UNIT_ROUNDS;

	__asm__ volatile("1: dec %0; jnz 1b" : "+r"(rounds));
}

uint64_t work_unit_ticks(void)
{
	uint64_t least = ~0ull;

	for (unsigned i = 0; i < CALIBRATION_ROUNDS; i++) {
		uint64_t before = rdtsc();

		work_unit();
		uint64_t ticks = rdtsc() - before;
		least = ticks < least ? ticks : least;
	}
	return least;
}

uint64_t ticks_from_microseconds(uint64_t microseconds) { return microseconds * tsc_hertz() / MICROSECONDS; }

uint64_t microseconds_from_ticks(uint64_t ticks) { return ticks * MICROSECONDS / tsc_hertz(); }
