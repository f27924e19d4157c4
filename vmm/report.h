/*
 * What `report` shows: what this machine offers, what is missing and what that costs. Modules give rows by registering
 * a provider; the shell command walks them by order.
 */
#pragma once

#include "lib/linker_table.h"
#include "lib/types.h"

/* Where a provider's text goes; lines end in '\n'. */
typedef void (*report_print)(const char *format, ...) printf_like(1, 2);

struct report_provider {
	const char *name; /* heading of its part */
	unsigned order;   /* smaller ones first */
	void (*function)(report_print print);
};

#define REPORT_PROVIDER(object) LINKER_TABLE_ENTRY(report_rows, const struct report_provider, object)

/** report_row() - one aligned row; @note says what is missing and what that costs, or "". */
void report_row(report_print print, const char *name, const char *value, const char *note);
/** report_all() - every provider's part, in order. */
void report_all(report_print print);
