/* What `report` says of the layers below, which cannot register for it themselves. */
#include "arch/x86/acpi/acpi.h"
#include "arch/x86/clock.h"
#include "arch/x86/cpu/features.h"
#include "arch/x86/mm/page_pool.h"
#include "arch/x86/pcpu.h"
#include "arch/x86/virt.h"
#include "arch/x86/svm/svm.h"
#include "arch/x86/vmx/vmx.h"
#include "lib/fmt.h"
#include "vmm/report.h"

#define VALUE_SIZE 64u

static void row_mib(report_print print, const char *name, uint64_t bytes)
{
	print("  %-24s %llu MiB\n", name, (unsigned long long)(bytes / MIB));
}

static void row_kib(report_print print, const char *name, uint64_t bytes)
{
	print("  %-24s %llu KiB\n", name, (unsigned long long)(bytes / KIB));
}

static void row_present(report_print print, const char *name, bool present, const char *cost)
{
	report_row(print, name, present ? "yes" : "no", present || cost == NULL ? "" : cost);
}

static void report_processor(report_print print)
{
	const struct cpu_identity *identity = features_identity();
	char value[VALUE_SIZE];

	report_row(print, "processor", identity->brand[0] != '\0' ? identity->brand : identity->vendor_name, "");
	fmt_print(value, sizeof(value), "%u", pcpu_count());
	report_row(print, "CPUs", value, "");
	fmt_print(value, sizeof(value), "%u physical, %u linear", identity->physical_address_bits, identity->linear_address_bits);
	report_row(print, "address bits", value, "");
	for (unsigned i = 0; i < CPU_FEATURE_COUNT; i++) {
		struct cpu_feature_info feature = features_get((enum cpu_feature)i);

		/* Rows that would say neither what there is to gain nor to lose are noise. */
		if (feature.present || feature.cost != NULL)
			row_present(print, feature.name, feature.present, feature.cost);
	}
}

static void report_virtualization(report_print print)
{
	if (virt_ops == NULL)
		report_row(print, "virtual machines", "no", virt_missing_reason());
	else
		print("  %-24s yes, by %s with %s\n", "virtual machines", virt_ops->name, virt_ops->nested_name);
	vmx_report(print);
	svm_report(print);
}

static void report_memory(report_print print)
{
	row_mib(print, "usable", page_pool_total_bytes());
	row_mib(print, "free", page_pool_free_bytes());
	row_mib(print, "guests", page_pool_owned_bytes(PAGE_OWNER_GUEST));
	row_kib(print, "page tables", page_pool_owned_bytes(PAGE_OWNER_TABLE));
	row_kib(print, "hypervisor", page_pool_owned_bytes(PAGE_OWNER_HYPERVISOR));
}

static void report_timers(report_print print)
{
	const struct acpi_info *acpi = acpi_get();
	char value[VALUE_SIZE];

	fmt_print(value, sizeof(value), "%llu.%03llu MHz", (unsigned long long)(clock_tsc_frequency / 1000000),
		  (unsigned long long)(clock_tsc_frequency / 1000 % 1000));
	report_row(print, "time-stamp counter", clock_tsc_frequency != 0 ? value : "no",
		   clock_tsc_frequency != 0 ? "" : "its frequency is unknown, so that guests' timers stand still");
	row_present(print, "HPET", acpi->hpet.present, "the time-stamp counter is measured by a coarser clock");
}

const struct report_provider report_processor_provider = {"Processor", 10, report_processor};
REPORT_PROVIDER(report_processor_provider);
const struct report_provider report_virtualization_provider = {"Virtualization", 20, report_virtualization};
REPORT_PROVIDER(report_virtualization_provider);
const struct report_provider report_memory_provider = {"Memory", 30, report_memory};
REPORT_PROVIDER(report_memory_provider);
const struct report_provider report_timers_provider = {"Timers", 50, report_timers};
REPORT_PROVIDER(report_timers_provider);
