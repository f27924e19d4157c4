/*
 * Instructions that are allowed to fault. Each has a row {fault, resume} in section exception_fixups, in C or NASM; an
 * exception whose RIP is `fault` goes on at `resume` instead of ending in a panic.
 */
#pragma once

#include "lib/types.h"

struct exception_fixup {
	uint64_t fault;  /* address of the instruction that may fault */
	uint64_t resume; /* where to go on if it does */
};

/** exception_fixup_find() - the row for @rip: true and *@resume, or false and *@resume as it was. Any context. */
must_check bool exception_fixup_find(uint64_t rip, uint64_t *resume);
/** exception_fixup_count() - rows in the table. */
size_t exception_fixup_count(void);
