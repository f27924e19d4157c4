/*
 * INTx of passed-through functions. When the function asks, its INTx is switched off in its command register and the
 * guest's line raised; at the guest's end of interrupt the line falls and INTx is on again, so that a function that
 * still asks is heard again. So several functions may share a line of the machine. PCI Local Bus Specification,
 * "Interrupt Disable", "Interrupt Status".
 */
#include "drivers/pci/pci_registers.h"
#include "vmm/dev/pci_passthrough.h"
#include "vmm/vm.h"

#define STATUS_INTERRUPT BIT(3)

static bool guest_disables(const struct pci_passthrough *function)
{
	return pci_passthrough_get16(function, PCI_COMMAND) & PCI_COMMAND_INTERRUPT_DISABLE;
}

static void allow(const struct pci_passthrough *function, bool on)
{
	pci_config_update(function->host->address, PCI_COMMAND, 2, PCI_COMMAND_INTERRUPT_DISABLE, on ? 0 : PCI_COMMAND_INTERRUPT_DISABLE);
}

static bool deliver(struct passthrough_interrupt *interrupt)
{
	struct pci_passthrough *function = container_of(interrupt, struct pci_passthrough, line_interrupt);

	if (function->line_raised || guest_disables(function) ||
	    !(pci_config_read(function->host->address, PCI_STATUS, 2) & STATUS_INTERRUPT))
		return false;
	allow(function, false);
	pci_passthrough_count_interrupt(function);
	function->line_raised = true;
	irq_line_set(function->vm, function->guest_line, true);
	return true;
}

void pci_passthrough_start_line(struct pci_passthrough *function)
{
	uint32_t gsi;

	allow(function, false);
	function->line_interrupt = (struct passthrough_interrupt){.vm = function->vm, .deliver = deliver};
	function->has_line = passthrough_interrupt_line(function->host, &gsi) &&
			     passthrough_interrupt_bind_line(&function->line_interrupt, gsi) == STATUS_OK;
}

void pci_passthrough_rearm_line(struct pci_passthrough *function)
{
	if (!function->has_line)
		return;
	if (function->line_raised) {
		function->line_raised = false;
		irq_line_set(function->vm, function->guest_line, false);
	}
	allow(function, !guest_disables(function) && !function->held);
}

void pci_passthrough_stop_line(struct pci_passthrough *function)
{
	allow(function, false);
	passthrough_interrupt_unbind(&function->line_interrupt);
	function->has_line = false;
}
