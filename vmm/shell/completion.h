/* What Tab puts in: names of commands, and what a command's first argument may be. */
#pragma once

#include "lib/types.h"
#include "vmm/shell/shell.h"

#define COMPLETION_MAX 64u

struct completion {
	size_t prefix;              /* bytes of the word that stand before the cursor */
	unsigned count;             /* candidates that begin with them; those beyond COMPLETION_MAX are left out */
	const char *candidates[COMPLETION_MAX]; /* lent until commands or VMs change */
	size_t common;              /* bytes that all candidates begin with, >= prefix if count > 0 */
};

/** completion_find() - candidates for the word that ends at @cursor <= strlen(@line). */
void completion_find(const char *line, size_t cursor, struct completion *completion);
