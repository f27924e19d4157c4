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

const struct shell_command shell_iommu_command = {
	.name = "iommu",
	.arguments = "",
	.summary = "show the IOMMU's units, domains and faults",
	.help = "  Units with what they lack, domains with the functions that reach them, and the last faults.\n",
	.run = run_iommu,
};
SHELL_COMMAND(shell_iommu_command);
