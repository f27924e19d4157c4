#include "drivers/pci/pci_reset.h"

#include "arch/x86/clock.h"
#include "arch/x86/log.h"
#include "arch/x86/long_work.h"
#include "drivers/pci/pci_internal.h"
#include "drivers/pci/pci_saved.h"
#include "drivers/pci/pci_sriov.h"

/*
 * [us]. All of them are the specifications' least times, but the last: by then functions should have answered for 2 s.
 */
#define WAIT_STEP 200u
#define PENDING_LIMIT 100000u
#define AFTER_FLR 100000u
#define AFTER_POWER 10000u
#define BUS_RESET 2000u
#define AFTER_BUS_RESET 100000u
#define AFTER_CONVENTIONAL_RESET 1100000u /* 2^25 clocks of 33 MHz */
#define LINK_LIMIT 1000000u
#define READY_STEP 10000u
#define READY_LIMIT 3000000u

#define POWER_D0 0u
#define POWER_D3HOT 3u

static const char *const way_names[PCI_RESET_WAY_COUNT] = {
	[PCI_RESET_NONE] = "no reset",
	[PCI_RESET_FLR] = "FLR",
	[PCI_RESET_ADVANCED_FLR] = "AF FLR",
	[PCI_RESET_POWER] = "power state",
	[PCI_RESET_BUS] = "secondary bus reset",
};

const char *pci_reset_way_name(enum pci_reset_way way)
{
	return way < PCI_RESET_WAY_COUNT ? way_names[way] : "?";
}

void pci_wait(uint64_t microseconds)
{
	uint64_t start = clock_now();

	for (uint64_t waited = 0; waited < microseconds; waited += WAIT_STEP) {
		if (waited != 0 && clock_nanoseconds_from_ticks(clock_now() - start) / 1000 >= microseconds)
			return;
		clock_delay_microseconds(min_u64(WAIT_STEP, microseconds - waited));
		long_work_step();
	}
}

static bool is_alone_behind(const struct pci_function *bridge)
{
	const struct pci_function *function;
	uint32_t count = 0;

	for (uint32_t i = 0; (function = pci_get(i)) != NULL; i++)
		count += pci_is_behind(function, bridge);
	return count == 1;
}

enum pci_reset_way pci_reset_way(const struct pci_function *function)
{
	unsigned express = pci_express_register(function, PCI_EXPRESS_DEVICE_CAPABILITIES);
	unsigned advanced = pci_find_capability(function, PCI_CAPABILITY_ADVANCED);
	unsigned power = pci_find_capability(function, PCI_CAPABILITY_POWER);

	if (express != 0 && (pci_read(function, express, 4) & PCI_EXPRESS_CAN_FLR) != 0)
		return PCI_RESET_FLR;
	if (advanced != 0 && (pci_read(function, advanced + PCI_ADVANCED_CAPABILITIES, 1) & PCI_ADVANCED_CAN_FLR) != 0)
		return PCI_RESET_ADVANCED_FLR;
	if (power != 0 && (pci_read(function, power + PCI_POWER_CONTROL, 2) & PCI_POWER_NO_SOFT_RESET) == 0)
		return PCI_RESET_POWER;
	if (function->physical == NULL && function->parent != NULL && is_alone_behind(function->parent))
		return PCI_RESET_BUS;
	return PCI_RESET_NONE;
}

/* The same function, at the same addresses. */
static bool is_as_before(const struct pci_function *function)
{
	if (function->physical != NULL)
		return true;
	return pci_read(function, PCI_VENDOR, 2) == function->vendor_id &&
	       pci_read(function, PCI_DEVICE, 2) == function->device_id && pci_restore_bars(function);
}

static void wait_for_pending(const struct pci_function *function, unsigned place, unsigned size, uint64_t pending)
{
	for (uint64_t waited = 0; waited < PENDING_LIMIT; waited += WAIT_STEP) {
		if ((pci_read(function, place, size) & pending) == 0)
			return;
		pci_wait(WAIT_STEP);
	}
	log_warning("PCI: " PCI_ADDRESS_FORMAT ": still waits for answers to its requests: it is reset all the same",
		    PCI_ADDRESS_ARGUMENTS(function->address));
}

/* Vendor and device of a virtual function are all ones at any time. */
static bool is_gone(const struct pci_function *function)
{
	return pci_read(function, PCI_COMMAND, 4) == UINT32_MAX;
}

static enum status wait_until_ready(const struct pci_function *function)
{
	for (uint64_t waited = 0; waited < READY_LIMIT; waited += READY_STEP) {
		if (pci_read(function, PCI_VENDOR, 2) != PCI_VENDOR_NOT_READY && !is_gone(function))
			return STATUS_OK;
		pci_wait(READY_STEP);
	}
	return STATUS_TIMEOUT;
}

static void reset_by_flr(const struct pci_function *function)
{
	unsigned base = pci_find_capability(function, PCI_CAPABILITY_EXPRESS);

	wait_for_pending(function, base + PCI_EXPRESS_DEVICE_STATUS, 2, PCI_EXPRESS_PENDING);
	pci_update(function, base + PCI_EXPRESS_DEVICE_CONTROL, 2, 0, PCI_EXPRESS_START_FLR);
	pci_wait(AFTER_FLR);
}

static void reset_by_advanced_flr(const struct pci_function *function)
{
	unsigned base = pci_find_capability(function, PCI_CAPABILITY_ADVANCED);

	wait_for_pending(function, base + PCI_ADVANCED_STATUS, 1, PCI_ADVANCED_PENDING);
	pci_write(function, base + PCI_ADVANCED_CONTROL, 1, PCI_ADVANCED_START_FLR);
	pci_wait(AFTER_FLR);
}

static void set_power_state(const struct pci_function *function, unsigned state)
{
	pci_update(function, pci_find_capability(function, PCI_CAPABILITY_POWER) + PCI_POWER_CONTROL, 2,
		   PCI_POWER_STATE, state);
	pci_wait(AFTER_POWER);
}

static void wake_up(const struct pci_function *function)
{
	unsigned power = pci_find_capability(function, PCI_CAPABILITY_POWER);

	if (power != 0 && (pci_read(function, power + PCI_POWER_CONTROL, 2) & PCI_POWER_STATE) != POWER_D0)
		set_power_state(function, POWER_D0);
}

static void reset_by_power(const struct pci_function *function)
{
	set_power_state(function, POWER_D3HOT);
	set_power_state(function, POWER_D0);
}

/* A port that can tell shows when its link is up again: the time of what is behind it runs from then on. */
static void wait_for_link(const struct pci_function *port)
{
	unsigned capabilities = pci_express_register(port, PCI_EXPRESS_LINK_CAPABILITIES);
	unsigned status = pci_express_register(port, PCI_EXPRESS_LINK_STATUS);

	if (capabilities == 0 || (pci_read(port, capabilities, 4) & PCI_EXPRESS_TELLS_LINK) == 0)
		return;
	for (uint64_t waited = 0; waited < LINK_LIMIT; waited += READY_STEP) {
		if ((pci_read(port, status, 2) & PCI_EXPRESS_LINK_IS_UP) != 0)
			return;
		pci_wait(READY_STEP);
	}
}

static void reset_by_bus(const struct pci_function *function)
{
	pci_update(function->parent, PCI_BRIDGE_CONTROL, 2, 0, PCI_BRIDGE_CONTROL_RESET);
	pci_wait(BUS_RESET);
	pci_update(function->parent, PCI_BRIDGE_CONTROL, 2, PCI_BRIDGE_CONTROL_RESET, 0);
	wait_for_link(function->parent);
	pci_wait(function->express_type == PCI_EXPRESS_NONE ? AFTER_CONVENTIONAL_RESET : AFTER_BUS_RESET);
}

static enum status reset_by(enum pci_reset_way way, const struct pci_function *function)
{
	static void (*const resets[PCI_RESET_WAY_COUNT])(const struct pci_function *function) = {
		[PCI_RESET_FLR] = reset_by_flr,
		[PCI_RESET_ADVANCED_FLR] = reset_by_advanced_flr,
		[PCI_RESET_POWER] = reset_by_power,
		[PCI_RESET_BUS] = reset_by_bus,
	};
	struct pci_saved saved;
	uint32_t command;
	enum status status;

	wake_up(function);
	if (is_gone(function))
		return STATUS_TIMEOUT;
	command = pci_read(function, PCI_COMMAND, 2);
	pci_save(function, &saved);
	pci_write(function, PCI_COMMAND, 2, (uint32_t)PCI_COMMAND_INTERRUPT_DISABLE);
	resets[way](function);
	status = wait_until_ready(function);
	if (status != STATUS_OK)
		return status;
	pci_restore(function, &saved);
	if (!is_as_before(function))
		return STATUS_IO;
	pci_write(function, PCI_COMMAND, 2, command & ~(uint32_t)PCI_COMMAND_BUS_MASTER);
	return pci_sriov_wait(function);
}

enum status pci_reset_function(const struct pci_function *function, const char **how)
{
	enum pci_reset_way way = pci_reset_way(function);
	enum status status;

	*how = pci_reset_way_name(way);
	if (pci_is_bridge(function) || function->owner == PCI_OWNER_HYPERVISOR)
		return STATUS_DENIED;
	if (way == PCI_RESET_NONE)
		return STATUS_NOT_FOUND;
	if (pci_vf_in_use(function) != NULL)
		return STATUS_BUSY;
	status = reset_by(way, function);
	pci_writable(function)->dead = status != STATUS_OK;
	if (status == STATUS_OK) {
		pci_writable(function)->cut_off = false;
		return STATUS_OK;
	}
	pci_quarantine(function);
	log_error("PCI: " PCI_ADDRESS_FORMAT ": %s: %s: it is not used any more",
		  PCI_ADDRESS_ARGUMENTS(function->address), *how,
		  status == STATUS_TIMEOUT ? "it does not come back" : "it comes back different");
	return status;
}
