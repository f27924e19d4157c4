/*
 * Interrupts without end: each that comes while a CPU runs somebody else takes that one's time. What a function takes
 * so in a window of time is bounded; beyond that it is held back until the window's end: it stays silent, and the guest
 * gets afterwards what it asked for meanwhile. Interrupts that come while the VM itself runs are its own business, and
 * so are posted ones, of which others notice no more than that a vCPU wakes.
 */
#include "arch/x86/clock.h"
#include "arch/x86/pcpu.h"
#include "vmm/dev/pci_passthrough.h"
#include "vmm/vm.h"

#define WINDOW_NANOSECONDS 10000000u
#define WINDOW_SHARE 16u /* the function may take one part in so many of others' time */

/* Who runs on this CPU, if its time is not the VM's own; else NULL. */
static const struct vcpu *find_other(const struct pci_passthrough *function)
{
	const struct vcpu *current = pcpu_current()->current_vcpu;

	if (current == NULL || current->vm == function->vm ||
	    __atomic_load_n(&current->state, __ATOMIC_RELAXED) != VCPU_RUNNING)
		return NULL;
	return current;
}

static void hold(struct pci_passthrough *function, uint64_t until)
{
	function->held = true;
	function->hold_count++;
	vcpu_timer_arm(&function->hold_timer, until);
	pci_passthrough_hold_messages(function);
	/* Ever more seldom, since it may go on for long. */
	if ((function->hold_count & (function->hold_count - 1)) == 0)
		log_warning("vm %s: pci " PCI_ADDRESS_FORMAT ": its interrupts take the time of others: held back, %llu times so far",
			    function->vm->config->name, PCI_ADDRESS_ARGUMENTS(function->host->address),
			    (unsigned long long)function->hold_count);
}

void pci_passthrough_count_interrupt(struct pci_passthrough *function)
{
	const struct vcpu *other = find_other(function);
	uint64_t now, window;

	if (other == NULL)
		return;
	now = clock_now();
	window = clock_ticks_from_nanoseconds(WINDOW_NANOSECONDS);
	if (now - function->window_start >= window) {
		function->window_start = now;
		function->window_taken = 0;
	}
	/* From the other's exit until now, and as much again until it goes on. */
	function->window_taken += min_u64(2 * (now - other->virt.exit->time), window);
	if (function->window_taken > window / WINDOW_SHARE && !function->held)
		hold(function, function->window_start + window);
}

static void release(struct vcpu_timer *timer)
{
	struct pci_passthrough *function = container_of(timer, struct pci_passthrough, hold_timer);

	function->held = false;
	pci_passthrough_release_messages(function);
	if (!function->line_raised)
		pci_passthrough_rearm_line(function);
}

void pci_passthrough_start_counting(struct pci_passthrough *function)
{
	vcpu_timer_init(&function->hold_timer, function->vm->vcpus[0], release);
}

void pci_passthrough_stop_holding(struct pci_passthrough *function)
{
	vcpu_timer_cancel(&function->hold_timer);
	function->held = false;
}
