#include "drivers/iommu/iommu_fault.h"

#include "arch/x86/clock.h"
#include "arch/x86/log.h"
#include "lib/fmt.h"

#define MAX_SOURCES 32u
#define LINE_SIZE 160u
#define NANOSECONDS_PER_SECOND 1000000000ull

/* Who has faulted. When all places are taken the one that was quiet longest goes, but none that is cut off. */
static struct source {
	bool used, cut_off;
	uint16_t segment, requester;
	uint32_t count;        /* in this window */
	uint64_t window_start; /* [TSC ticks] */
	struct log_limit limit;
} sources[MAX_SOURCES];

static struct iommu_fault last_faults[IOMMU_FAULTS_KEPT];
static uint64_t fault_count;

static struct source *find_source(uint16_t segment, uint16_t requester)
{
	for (unsigned i = 0; i < MAX_SOURCES; i++)
		if (sources[i].used && sources[i].segment == segment && sources[i].requester == requester)
			return &sources[i];
	return NULL;
}

/* NULL: all places are taken by sources that are cut off. */
static struct source *provide_source(uint16_t segment, uint16_t requester)
{
	struct source *source = find_source(segment, requester), *oldest = NULL;

	if (source != NULL)
		return source;
	for (unsigned i = 0; i < MAX_SOURCES; i++) {
		if (sources[i].cut_off)
			continue;
		if (oldest == NULL || !sources[i].used ||
		    (oldest->used && sources[i].window_start < oldest->window_start))
			oldest = &sources[i];
	}
	if (oldest != NULL)
		*oldest = (struct source){
			.used = true, .segment = segment, .requester = requester, .window_start = clock_now()};
	return oldest;
}

bool iommu_fault_count(const struct iommu_fault *fault, bool *say)
{
	struct source *source = provide_source(fault->segment, fault->requester);
	uint64_t now = clock_now();

	last_faults[fault_count++ % IOMMU_FAULTS_KEPT] = *fault;
	*say = false;
	if (source == NULL || source->cut_off)
		return false;
	if (now - source->window_start > clock_ticks_from_nanoseconds(NANOSECONDS_PER_SECOND)) {
		source->window_start = now;
		source->count = 0;
	}
	*say = log_limit_pass(&source->limit);
	source->cut_off = ++source->count >= IOMMU_STORM_FAULTS;
	return source->cut_off;
}

bool iommu_fault_is_cut_off(uint16_t segment, uint16_t requester)
{
	const struct source *source = find_source(segment, requester);

	return source != NULL && source->cut_off;
}

void iommu_fault_cut_off(uint16_t segment, uint16_t requester)
{
	struct source *source = provide_source(segment, requester);

	if (source != NULL)
		source->cut_off = true;
}

void iommu_fault_forget(uint16_t segment, uint16_t requester)
{
	struct source *source = find_source(segment, requester);

	if (source != NULL)
		*source = (struct source){.used = false};
}

static void make_line(const struct iommu_fault *fault, char line[LINE_SIZE])
{
	size_t length = fmt_print(line, LINE_SIZE, "%04x:%02x:%02x.%u", fault->segment, fault->requester >> 8,
				  fault->requester >> 3 & 31, fault->requester & 7);

	if (fault->interrupt)
		fmt_print(line + length, LINE_SIZE - length, ": interrupt by entry %u blocked: %s (reason %#x)",
			  fault->index, fault->words, fault->reason);
	else
		fmt_print(line + length, LINE_SIZE - length, ": %s %#llx blocked: %s (reason %#x)",
			  fault->write ? "write to" : "read of", (unsigned long long)fault->address, fault->words,
			  fault->reason);
}

void iommu_fault_tell(const struct iommu_fault *fault, const char *where)
{
	char line[LINE_SIZE];

	make_line(fault, line);
	log_warning("IOMMU %u: %s: device %s", fault->unit, where, line);
}

void iommu_fault_describe(iommu_print print)
{
	uint64_t count = fault_count, first = count > IOMMU_FAULTS_KEPT ? count - IOMMU_FAULTS_KEPT : 0;
	char line[LINE_SIZE];

	print("faults: %llu\n", (unsigned long long)count);
	for (; first < count; first++) {
		make_line(&last_faults[first % IOMMU_FAULTS_KEPT], line);
		print("  %s\n", line);
	}
	for (unsigned i = 0; i < MAX_SOURCES; i++)
		if (sources[i].used && sources[i].cut_off)
			print("  %04x:%02x:%02x.%u is cut off: too many faults\n", sources[i].segment,
			      sources[i].requester >> 8, sources[i].requester >> 3 & 31, sources[i].requester & 7);
}
