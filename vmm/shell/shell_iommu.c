/* iommu; what `report` says of I/O virtualization */
#include "drivers/iommu/iommu.h"
#include "vmm/report.h"
#include "vmm/shell/shell.h"

static void run_iommu(unsigned count, const char *const *arguments)
{
	(void)count, (void)arguments;
	iommu_poll_faults();
	iommu_describe(shell_print);
}

static void report_iommu(report_print print)
{
	bool available, isolates;
	const char *why;

	available = iommu_is_available(&why);
	report_row(print, "DMA translation", available ? "yes" : "no", why);
	if (!available)
		report_row(print, "passing devices through", "no", "a device could reach all memory");
	isolates = iommu_isolates_interrupts(&why);
	report_row(print, "interrupt remapping", isolates ? "yes" : "no", available ? why : "");
	if (available && !isolates)
		report_row(print, "passing devices through", "no", "a device could send any interrupt");
}

const struct report_provider report_iommu_provider = {"I/O virtualization", 40, report_iommu};
REPORT_PROVIDER(report_iommu_provider);

const struct shell_command shell_iommu_command = {
	.name = "iommu",
	.arguments = "",
	.summary = "show the IOMMU's units, domains and faults",
	.help = "  Units with what they lack, domains with the functions that reach them, and the last faults.\n",
	.run = run_iommu,
};
SHELL_COMMAND(shell_iommu_command);
