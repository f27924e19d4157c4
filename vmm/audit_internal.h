/* What the files of the audit share; private to them. */
#pragma once

#include "lib/types.h"
#include "vmm/page_set.h"
#include "vmm/report.h"

struct vm;

#define AUDIT_FAULT_LINES 16u /* further faults are only counted */

/* Pages of the host that somebody uses. */
struct audit_claim {
	hpa_t page;
	uint64_t bytes;
	const struct vm *vm; /* NULL: the hypervisor as a whole */
	const char *what;
	uint64_t gpa;        /* of guests' memory: where the guest sees it */
	bool is_guest, is_table;
};

struct audit {
	report_print print;
	unsigned faults;
};

/** audit_fault() - counts a fault and prints its line, @format without "fault: " and line end. Device locks may be held. */
void audit_fault(struct audit *audit, const char *format, ...) printf_like(2, 3);

/**
 * audit_each_claim() - calls @visit for all pages that can be named: the hypervisor's own first, then VM by VM. @visit may run
 * with a VM's device lock held.
 */
void audit_each_claim(void (*visit)(void *context, const struct audit_claim *claim), void *context);

/* The checks; each prints its own line. */
void audit_pages(struct audit *audit);
void audit_guests(struct audit *audit); /* ports, MSRs, TLB tags */
void audit_interrupts(struct audit *audit);
void audit_devices(struct audit *audit); /* passed-through functions, what they reach and what interrupts they raise */
