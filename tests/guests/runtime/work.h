/*
 * For guests that measure: numbers from the command line, and pure computation in pieces of a known cost.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/** guest_option() - the number after `NAME=` on the command line, or @otherwise. */
uint64_t guest_option(const char *name, uint64_t otherwise);
/** guest_has_word() - whether the command line has @word, between spaces. */
bool guest_has_word(const char *word);

/** work_unit() - about 1,000 instructions that touch neither memory nor devices. */
void work_unit(void);
/** work_unit_ticks() - TSC ticks that a unit takes at least, with a reading of the TSC. */
uint64_t work_unit_ticks(void);

/* Times of the TSC. */
uint64_t ticks_from_microseconds(uint64_t microseconds);
uint64_t microseconds_from_ticks(uint64_t ticks);
