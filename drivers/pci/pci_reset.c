#include "drivers/pci/pci_reset.h"

#include "arch/x86/clock.h"
#include "arch/x86/log.h"
#include "arch/x86/long_work.h"
#include "drivers/pci/pci_internal.h"
#include "drivers/pci/pci_sriov.h"

/* [us]. All of them are the specifications' least times, but the last: by then functions should have answered for 2 s. */
#define WAIT_STEP 200u
#define PENDING_LIMIT 100000u
#define AFTER_FLR 100000u
#define AFTER_POWER 10000u
#define BUS_RESET 2000u
#define AFTER_BUS_RESET 100000u
#define READY_STEP 10000u
#define READY_LIMIT 3000000u

#define POWER_D0 0u
#define POWER_D3HOT 3u

enum place { HEADER, CAPABILITY, EXTENDED };

/* What a reset undoes and what was right before it, in the order in which it is written back; then addresses and command. */
static const struct saved_register {
	enum place place;
	uint16_t id, offset;
	uint8_t size;
	uint8_t least_version; /* of the PCI Express capability, whose older versions are shorter */
	uint32_t kept;         /* bits */
} saved_registers[] = {
	{CAPABILITY, PCI_CAPABILITY_EXPRESS, PCI_EXPRESS_DEVICE_CONTROL, 2, 1, 0x7fff}, /* not: reset again */
	{CAPABILITY, PCI_CAPABILITY_EXPRESS, PCI_EXPRESS_LINK_CONTROL, 2, 1, 0xffff},
	{CAPABILITY, PCI_CAPABILITY_EXPRESS, PCI_EXPRESS_DEVICE_CONTROL_2, 2, 2, 0xffff},
	{EXTENDED, PCI_EXTENDED_RESIZABLE_BAR, 8, 4, 0, UINT32_MAX},
	{EXTENDED, PCI_EXTENDED_RESIZABLE_BAR, 16, 4, 0, UINT32_MAX},
	{EXTENDED, PCI_EXTENDED_LATENCY, 4, 4, 0, UINT32_MAX},
	{EXTENDED, PCI_EXTENDED_ACS, PCI_ACS_CONTROL, 2, 0, UINT32_MAX},
	{EXTENDED, PCI_EXTENDED_ERRORS, 8, 4, 0, UINT32_MAX},
	{EXTENDED, PCI_EXTENDED_ERRORS, 12, 4, 0, UINT32_MAX},
	{EXTENDED, PCI_EXTENDED_ERRORS, 20, 4, 0, UINT32_MAX},
	/* Virtual functions are on again last of these; where they are depends on the rest, by the device's choice on ARI too. */
	{EXTENDED, PCI_EXTENDED_SRIOV, PCI_SRIOV_CONTROL, 2, 0, PCI_SRIOV_ARI},
	{EXTENDED, PCI_EXTENDED_SRIOV, PCI_SRIOV_PAGE_SIZE, 4, 0, UINT32_MAX},
	{EXTENDED, PCI_EXTENDED_SRIOV, PCI_SRIOV_BARS, 4, 0, UINT32_MAX},
	{EXTENDED, PCI_EXTENDED_SRIOV, PCI_SRIOV_BARS + 4, 4, 0, UINT32_MAX},
	{EXTENDED, PCI_EXTENDED_SRIOV, PCI_SRIOV_BARS + 8, 4, 0, UINT32_MAX},
	{EXTENDED, PCI_EXTENDED_SRIOV, PCI_SRIOV_BARS + 12, 4, 0, UINT32_MAX},
	{EXTENDED, PCI_EXTENDED_SRIOV, PCI_SRIOV_BARS + 16, 4, 0, UINT32_MAX},
	{EXTENDED, PCI_EXTENDED_SRIOV, PCI_SRIOV_BARS + 20, 4, 0, UINT32_MAX},
	{EXTENDED, PCI_EXTENDED_SRIOV, PCI_SRIOV_COUNT, 2, 0, UINT32_MAX},
	{EXTENDED, PCI_EXTENDED_SRIOV, PCI_SRIOV_CONTROL, 2, 0, PCI_SRIOV_ENABLE | PCI_SRIOV_MEMORY | PCI_SRIOV_ARI},
	{HEADER, 0, PCI_CACHE_LINE_SIZE, 1, 0, UINT32_MAX},
	{HEADER, 0, PCI_LATENCY_TIMER, 1, 0, UINT32_MAX},
	{HEADER, 0, PCI_INTERRUPT_LINE, 1, 0, UINT32_MAX},
};
#define SAVED_COUNT array_count(saved_registers)

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

/* Where @saved is in @function; 0: nowhere. */
static unsigned place_of(const struct pci_function *function, const struct saved_register *saved)
{
	unsigned base;

	if (saved->place == HEADER)
		return saved->offset;
	if (saved->place == EXTENDED)
		base = pci_find_extended_capability(function, saved->id);
	else
		base = pci_find_capability(function, (uint8_t)saved->id);
	if (base == 0)
		return 0;
	if (saved->least_version > bits_get(pci_read(function, base + PCI_EXPRESS_CAPABILITIES, 2), 3, 0))
		return 0;
	return base + saved->offset;
}

static void save(const struct pci_function *function, uint32_t values[SAVED_COUNT])
{
	for (size_t i = 0; i < SAVED_COUNT; i++) {
		unsigned place = place_of(function, &saved_registers[i]);

		values[i] = place != 0 ? pci_read(function, place, saved_registers[i].size) & saved_registers[i].kept : 0;
	}
}

static void restore(const struct pci_function *function, const uint32_t values[SAVED_COUNT])
{
	for (size_t i = 0; i < SAVED_COUNT; i++) {
		unsigned place = place_of(function, &saved_registers[i]);

		if (place != 0)
			pci_write(function, place, saved_registers[i].size, values[i]);
	}
}

/* The same function, at the same addresses. */
static bool is_as_before(const struct pci_function *function)
{
	if (function->physical != NULL)
		return true;
	return pci_read(function, PCI_VENDOR, 2) == function->vendor_id && pci_read(function, PCI_DEVICE, 2) == function->device_id &&
	       pci_restore_bars(function);
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

static enum status wait_until_ready(const struct pci_function *function)
{
	for (uint64_t waited = 0; waited < READY_LIMIT; waited += READY_STEP) {
		/* Vendor and device of a virtual function are all ones at any time. */
		if (pci_read(function, PCI_VENDOR, 2) != PCI_VENDOR_NOT_READY && pci_read(function, PCI_COMMAND, 4) != UINT32_MAX)
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
	pci_update(function, pci_find_capability(function, PCI_CAPABILITY_POWER) + PCI_POWER_CONTROL, 2, PCI_POWER_STATE, state);
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

static void reset_by_bus(const struct pci_function *function)
{
	pci_update(function->parent, PCI_BRIDGE_CONTROL, 2, 0, PCI_BRIDGE_CONTROL_RESET);
	pci_wait(BUS_RESET);
	pci_update(function->parent, PCI_BRIDGE_CONTROL, 2, PCI_BRIDGE_CONTROL_RESET, 0);
	pci_wait(AFTER_BUS_RESET);
}

static enum status reset_by(enum pci_reset_way way, const struct pci_function *function)
{
	static void (*const resets[PCI_RESET_WAY_COUNT])(const struct pci_function *function) = {
		[PCI_RESET_FLR] = reset_by_flr,
		[PCI_RESET_ADVANCED_FLR] = reset_by_advanced_flr,
		[PCI_RESET_POWER] = reset_by_power,
		[PCI_RESET_BUS] = reset_by_bus,
	};
	uint32_t values[SAVED_COUNT], command;
	enum status status;

	wake_up(function);
	command = pci_read(function, PCI_COMMAND, 2);
	save(function, values);
	pci_write(function, PCI_COMMAND, 2, (uint32_t)PCI_COMMAND_INTERRUPT_DISABLE);
	resets[way](function);
	status = wait_until_ready(function);
	if (status != STATUS_OK)
		return status;
	restore(function, values);
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
	log_error("PCI: " PCI_ADDRESS_FORMAT ": %s: %s: it is not used any more", PCI_ADDRESS_ARGUMENTS(function->address), *how,
		  status == STATUS_TIMEOUT ? "it does not come back" : "it comes back different");
	return status;
}
