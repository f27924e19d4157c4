#include "arch/x86/mm/page_pool.h"
#include "lib/fmt.h"
#include "vmm/audit_internal.h"
#include "vmm/vm.h"

#define CLAIM_TEXT_SIZE 96u

enum page_fault_kind { PAGE_SHARED, PAGE_NOT_GIVEN, PAGE_OUT_OF_PLACE };

/* What is wrong is noted first and told later, since telling needs another walk and the first one holds locks. */
struct page_fault {
	enum page_fault_kind kind;
	hpa_t page;
	struct audit_claim claim;
};

struct walk {
	struct page_set seen;
	bool no_memory;
	uint64_t guest_bytes, table_bytes, other_bytes;
	unsigned fault_count; /* may be larger than the array */
	struct page_fault faults[AUDIT_FAULT_LINES];
};

/* Too large for the stack; the boot processor's. */
static struct walk walk;

static void note(enum page_fault_kind kind, uint64_t page, const struct audit_claim *claim)
{
	if (walk.fault_count++ < AUDIT_FAULT_LINES)
		walk.faults[walk.fault_count - 1] = (struct page_fault){kind, hpa(page), *claim};
}

/* The first page of @claim that was never given out is enough. */
static void check_given(const struct audit_claim *claim)
{
	uint64_t extent;

	for (uint64_t offset = 0; offset < claim->bytes; offset += extent) {
		if (page_pool_query(hpa(claim->page.value + offset), &extent) == PAGE_POOL_ALLOCATED)
			continue;
		note(PAGE_NOT_GIVEN, claim->page.value + offset, claim);
		return;
	}
}

static void check_claim(void *context, const struct audit_claim *claim)
{
	hpa_t known;
	enum status status = page_set_add(&walk.seen, claim->page, claim->bytes, &known);

	(void)context;
	*(claim->is_guest ? &walk.guest_bytes : claim->is_table ? &walk.table_bytes : &walk.other_bytes) += claim->bytes;
	if (status == STATUS_EXISTS)
		note(PAGE_SHARED, known.value, claim);
	else if (status != STATUS_OK)
		walk.no_memory = true;
	/* The image is no memory of the pool. */
	if (claim->is_guest || claim->is_table)
		check_given(claim);
	if (claim->is_guest && !guest_memory_is_ram(&claim->vm->memory, gpa(claim->gpa), claim->bytes))
		note(PAGE_OUT_OF_PLACE, claim->page.value, claim);
}

static void describe(const struct audit_claim *claim, char text[CLAIM_TEXT_SIZE])
{
	const char *owner = claim->vm != NULL ? claim->vm->config->name : "the hypervisor";

	if (claim->is_guest)
		fmt_print(text, CLAIM_TEXT_SIZE, "%s (%s at 0x%llx)", owner, claim->what, (unsigned long long)claim->gpa);
	else
		fmt_print(text, CLAIM_TEXT_SIZE, "%s (%s)", owner, claim->what);
}

struct search {
	hpa_t page;
	bool found;
	struct audit_claim claim;
};

static void compare(void *context, const struct audit_claim *claim)
{
	struct search *search = context;

	if (search->found || search->page.value - claim->page.value >= claim->bytes)
		return;
	search->found = true;
	search->claim = *claim;
}

static void tell(struct audit *audit, const struct page_fault *fault)
{
	struct search first = {.page = fault->page, .claim = fault->claim};
	char owner[CLAIM_TEXT_SIZE], other[CLAIM_TEXT_SIZE];
	unsigned long long page = fault->page.value;
	uint64_t extent;

	describe(&fault->claim, owner);
	if (fault->kind == PAGE_SHARED) {
		audit_each_claim(compare, &first);
		describe(&first.claim, other);
		audit_fault(audit, "page 0x%llx belongs to %s and to %s", page, other, owner);
	} else if (fault->kind == PAGE_NOT_GIVEN) {
		audit_fault(audit, "page 0x%llx belongs to %s, but %s", page, owner,
			    page_pool_query(fault->page, &extent) == PAGE_POOL_FREE ? "is free" : "is no memory of the page pool");
	} else {
		audit_fault(audit, "page 0x%llx belongs to %s, which has no memory there", page, owner);
	}
}

static void tell_all(struct audit *audit)
{
	for (unsigned i = 0; i < min_u64(walk.fault_count, AUDIT_FAULT_LINES); i++)
		tell(audit, &walk.faults[i]);
	if (walk.fault_count > AUDIT_FAULT_LINES) {
		audit->print("fault: %u more of this kind\n", walk.fault_count - AUDIT_FAULT_LINES);
		audit->faults += walk.fault_count - AUDIT_FAULT_LINES;
	}
}

/* What the pool gave out for @what against what was found in use. */
static void compare_counts(struct audit *audit, const char *what, enum page_owner owner, uint64_t found)
{
	uint64_t given = page_pool_owned_bytes(owner);

	audit->print("%-12s %llu KiB in use, %llu KiB given out\n", what, (unsigned long long)(found / KIB),
		     (unsigned long long)(given / KIB));
	if (given > found)
		audit_fault(audit, "%llu KiB of %s were given out and are lost", (unsigned long long)((given - found) / KIB), what);
	else if (given < found)
		audit_fault(audit, "%llu KiB of %s are in use, but were never given out",
			    (unsigned long long)((found - given) / KIB), what);
}

void audit_pages(struct audit *audit)
{
	uint64_t used, owned = 0;

	walk = (struct walk){.no_memory = false};
	audit_each_claim(check_claim, NULL);
	page_set_clear(&walk.seen);
	if (walk.no_memory)
		audit_fault(audit, "no memory to note which pages are in use: not all were compared");
	tell_all(audit);
	compare_counts(audit, "guests", PAGE_OWNER_GUEST, walk.guest_bytes);
	compare_counts(audit, "page tables", PAGE_OWNER_TABLE, walk.table_bytes);
	for (unsigned owner = 0; owner < PAGE_OWNER_COUNT; owner++)
		owned += page_pool_owned_bytes((enum page_owner)owner);
	used = page_pool_total_bytes() - page_pool_free_bytes();
	audit->print("%-12s %llu KiB of %llu KiB used, %llu KiB of it by the hypervisor\n", "page pool",
		     (unsigned long long)(used / KIB), (unsigned long long)(page_pool_total_bytes() / KIB),
		     (unsigned long long)(page_pool_owned_bytes(PAGE_OWNER_HYPERVISOR) / KIB));
	if (used != owned)
		audit_fault(audit, "the page pool counts %llu KiB as used and %llu KiB as owned", (unsigned long long)(used / KIB),
			    (unsigned long long)(owned / KIB));
}
