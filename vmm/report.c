#include "vmm/report.h"

#include "lib/string.h"

LINKER_TABLE_DECLARE(report_rows, const struct report_provider);

void report_row(report_print print, const char *name, const char *value, const char *note)
{
	print("  %-24s %s%s%s\n", name, value, note[0] != '\0' ? ": " : "", note);
}

static bool precedes(const struct report_provider *a, const struct report_provider *b)
{
	return a->order != b->order ? a->order < b->order : strcmp(a->name, b->name) < 0;
}

/* The first provider behind @previous; NULL starts; NULL at the end. */
static const struct report_provider *next_provider(const struct report_provider *previous)
{
	const struct report_provider *next = NULL;

	for (size_t i = 0; i < LINKER_TABLE_COUNT(report_rows); i++) {
		const struct report_provider *candidate = LINKER_TABLE_START(report_rows)[i];

		if (previous != NULL && !precedes(previous, candidate))
			continue;
		if (next == NULL || precedes(candidate, next))
			next = candidate;
	}
	return next;
}

void report_all(report_print print)
{
	for (const struct report_provider *provider = next_provider(NULL); provider != NULL; provider = next_provider(provider)) {
		print("%s\n", provider->name);
		provider->function(print);
	}
}
