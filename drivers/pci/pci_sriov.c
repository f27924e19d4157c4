#include "drivers/pci/pci_sriov.h"

#include "arch/x86/log.h"
#include "drivers/pci/pci_groups.h"
#include "drivers/pci/pci_internal.h"
#include "lib/checked.h"

#define PAGE_SIZE_4K BIT(0) /* in PCI_SRIOV_PAGE_SIZE */
#define SETTLE 100000u      /* [us] */
#define SETTLE_OFF 1000000u /* until they may be enabled again */
#define APPEAR_STEP 10000u
#define APPEAR_STEPS 100u

/* Where the virtual functions will be. */
struct plan {
	const struct pci_function *physical;
	unsigned sriov; /* the capability */
	uint16_t count;
	uint32_t first, stride; /* requester ids: the first one, from one to the next */
	struct pci_bar bars[PCI_MAX_BARS]; /* of the first one */
};

static struct pci_address address_of(const struct plan *plan, uint32_t number)
{
	uint32_t id = plan->first + number * plan->stride;

	return (struct pci_address){plan->physical->address.segment, (uint8_t)(id >> 8), id >> 3 & 31, id & 7};
}

void pci_sriov_init(struct pci_function *function)
{
	unsigned sriov = pci_find_extended_capability(function, PCI_EXTENDED_SRIOV);

	if (sriov == 0)
		return;
	function->vf_total = (uint16_t)pci_read(function, sriov + PCI_SRIOV_TOTAL_VFS, 2);
	if ((pci_read(function, sriov + PCI_SRIOV_CONTROL, 2) & PCI_SRIOV_ENABLE) == 0)
		return;
	pci_update(function, sriov + PCI_SRIOV_CONTROL, 2, PCI_SRIOV_ENABLE | PCI_SRIOV_MEMORY, 0);
	pci_wait(SETTLE);
}

/* With ARI the port above lets through device numbers above 0 on its link. */
static bool use_ari(const struct plan *plan)
{
	const struct pci_function *physical = plan->physical, *port = physical->parent;

	if (port == NULL || port->express_type == PCI_EXPRESS_NONE ||
	    pci_find_extended_capability(physical, PCI_EXTENDED_ARI) == 0)
		return false;
	if ((pci_read(port, pci_express_register(port, PCI_EXPRESS_DEVICE_CAPABILITIES_2), 4) &
	     PCI_EXPRESS_ARI_FORWARDING) == 0)
		return false;
	pci_update(port, pci_express_register(port, PCI_EXPRESS_DEVICE_CONTROL_2), 2, 0, PCI_EXPRESS_ARI_FORWARDING);
	pci_update(physical, plan->sriov + PCI_SRIOV_CONTROL, 2, 0, PCI_SRIOV_ARI);
	return true;
}

static bool can_be_reached(const struct plan *plan, struct pci_address address, bool ari)
{
	const struct pci_function *port = plan->physical->parent;

	if (pci_config_size(address.segment, address.bus) == 0 || pci_find(address) != NULL)
		return false;
	if (port == NULL)
		return address.bus == plan->physical->address.bus;
	if (address.bus < port->secondary_bus || address.bus > port->subordinate_bus)
		return false;
	return ari || port->express_type == PCI_EXPRESS_NONE || address.bus != port->secondary_bus ||
	       address.device == 0;
}

static enum status plan_addresses(struct plan *plan, const char **why)
{
	bool ari = use_ari(plan);
	uint32_t offset;

	/* Both numbers may depend on the count. */
	pci_write(plan->physical, plan->sriov + PCI_SRIOV_COUNT, 2, plan->count);
	offset = pci_read(plan->physical, plan->sriov + PCI_SRIOV_FIRST_OFFSET, 2);
	plan->stride = pci_read(plan->physical, plan->sriov + PCI_SRIOV_STRIDE, 2);
	plan->first = pci_requester_id(plan->physical) + offset;
	*why = "its virtual functions would have no addresses of their own";
	if (offset == 0 || (plan->stride == 0 && plan->count > 1))
		return STATUS_UNSUPPORTED;
	*why = "no bus numbers are left for its virtual functions, or they are taken";
	if (plan->first + (uint64_t)(plan->count - 1) * plan->stride > UINT16_MAX)
		return STATUS_UNSUPPORTED;
	for (uint32_t i = 0; i < plan->count; i++)
		if (!can_be_reached(plan, address_of(plan, i), ari))
			return STATUS_UNSUPPORTED;
	return STATUS_OK;
}

static enum status plan_bars(struct plan *plan, const char **why)
{
	*why = "it does not take pages of 4 KiB";
	if ((pci_read(plan->physical, plan->sriov + PCI_SRIOV_PAGE_SIZES, 4) & PAGE_SIZE_4K) == 0)
		return STATUS_UNSUPPORTED;
	pci_write(plan->physical, plan->sriov + PCI_SRIOV_PAGE_SIZE, 4, PAGE_SIZE_4K);
	/* They decode only while virtual functions are on. */
	pci_size_bars(plan->physical, plan->sriov + PCI_SRIOV_BARS, PCI_MAX_BARS, PCI_COMMAND_MEMORY, plan->bars);
	*why = "firmware gave its virtual functions no addresses";
	for (unsigned i = 0; i < PCI_MAX_BARS; i++) {
		const struct pci_bar *bar = &plan->bars[i];
		uint64_t length, end;

		if (bar->kind == PCI_BAR_NONE)
			continue;
		if (bar->kind == PCI_BAR_PORT || bar->size < PAGE_SIZE || bar->address == 0)
			return STATUS_UNSUPPORTED;
		if (!checked_multiply(bar->size, plan->count, &length) || !checked_add(bar->address, length, &end))
			return STATUS_UNSUPPORTED;
	}
	return STATUS_OK;
}

/* Vendor and device read as all ones in virtual functions; the class does not. */
static bool have_appeared(const struct plan *plan)
{
	for (uint32_t i = 0; i < plan->count; i++)
		if (pci_config_read(address_of(plan, i), PCI_REVISION, 4) == UINT32_MAX)
			return false;
	return true;
}

static bool wait_until_they_appear(const struct plan *plan)
{
	pci_wait(SETTLE);
	for (unsigned i = 0; i < APPEAR_STEPS; i++) {
		if (have_appeared(plan))
			return true;
		pci_wait(APPEAR_STEP);
	}
	return false;
}

static enum status switch_on(const struct plan *plan, const char **why)
{
	unsigned control = plan->sriov + PCI_SRIOV_CONTROL;

	pci_update(plan->physical, control, 2, 0, PCI_SRIOV_ENABLE | PCI_SRIOV_MEMORY);
	if (wait_until_they_appear(plan))
		return STATUS_OK;
	pci_update(plan->physical, control, 2, PCI_SRIOV_ENABLE | PCI_SRIOV_MEMORY, 0);
	*why = "its virtual functions do not appear";
	return STATUS_TIMEOUT;
}

/* Theirs is the physical one's PCI_SRIOV_MEMORY; some want the one of their own as well. */
static void make_ready(const struct pci_function *function)
{
	pci_update(function, PCI_COMMAND, 2, 0, PCI_COMMAND_MEMORY);
	pci_quarantine(function);
}

static void add_function(const struct plan *plan, uint32_t number)
{
	const struct pci_function *physical = plan->physical;
	struct pci_function *function = pci_append(address_of(plan, number));

	function->vendor_id = physical->vendor_id;
	function->device_id = (uint16_t)pci_read(physical, plan->sriov + PCI_SRIOV_DEVICE, 2);
	pci_read_identity(function);
	function->parent = physical->parent;
	function->physical = physical;
	function->owner = PCI_OWNER_QUARANTINE;
	for (unsigned i = 0; i < PCI_MAX_BARS; i++) {
		function->bars[i] = plan->bars[i];
		function->bars[i].address += number * plan->bars[i].size;
	}
	pci_read_capabilities(function);
	make_ready(function);
}

static enum status check(const struct pci_function *function, uint16_t count, const char **why)
{
	*why = "it has no virtual functions";
	if (function->vf_total == 0)
		return STATUS_UNSUPPORTED;
	*why = "it has fewer virtual functions";
	if (count == 0 || count > function->vf_total)
		return STATUS_OUT_OF_RANGE;
	*why = "its virtual functions are enabled already";
	if (function->vf_count != 0)
		return STATUS_EXISTS;
	*why = "a VM owns it, or it is dead";
	if (function->owner == PCI_OWNER_VM || function->dead)
		return STATUS_BUSY;
	*why = "too many functions, or no memory for them";
	return pci_reserve(count) ? STATUS_OK : STATUS_NO_MEMORY;
}

enum status pci_enable_vfs(const struct pci_function *function, uint16_t count, const char **why)
{
	struct plan plan = {.physical = function, .count = count};
	enum status status = check(function, count, why);

	if (status != STATUS_OK)
		return status;
	plan.sriov = pci_find_extended_capability(function, PCI_EXTENDED_SRIOV);
	status = plan_bars(&plan, why);
	if (status == STATUS_OK)
		status = plan_addresses(&plan, why);
	if (status == STATUS_OK)
		status = switch_on(&plan, why);
	if (status != STATUS_OK)
		return status;
	for (uint32_t i = 0; i < count; i++)
		add_function(&plan, i);
	pci_writable(function)->vf_count = count;
	pci_groups_init();
	log_info("PCI: " PCI_ADDRESS_FORMAT ": %u virtual functions enabled", PCI_ADDRESS_ARGUMENTS(function->address),
		 count);
	return STATUS_OK;
}

static enum status check_removal(const struct pci_function *function, const char **why)
{
	*why = "it has no virtual functions enabled";
	if (function->vf_count == 0)
		return STATUS_NOT_FOUND;
	*why = "a VM has it, or one of its virtual functions";
	if (function->owner == PCI_OWNER_VM || pci_vf_in_use(function) != NULL)
		return STATUS_BUSY;
	*why = "those of another function were enabled later: they go first";
	return pci_get(pci_count() - 1)->physical == function ? STATUS_OK : STATUS_BUSY;
}

enum status pci_disable_vfs(const struct pci_function *function, const char **why)
{
	unsigned control = pci_find_extended_capability(function, PCI_EXTENDED_SRIOV) + PCI_SRIOV_CONTROL;
	enum status status = check_removal(function, why);

	if (status != STATUS_OK)
		return status;
	pci_update(function, control, 2, PCI_SRIOV_ENABLE | PCI_SRIOV_MEMORY, 0);
	pci_wait(SETTLE_OFF);
	pci_remove_last(function->vf_count);
	pci_writable(function)->vf_count = 0;
	pci_groups_init();
	log_info("PCI: " PCI_ADDRESS_FORMAT ": its virtual functions are gone", PCI_ADDRESS_ARGUMENTS(function->address));
	return STATUS_OK;
}

/* They are where they were: the registers that say so were restored. */
enum status pci_sriov_wait(const struct pci_function *function)
{
	unsigned sriov = pci_find_extended_capability(function, PCI_EXTENDED_SRIOV);
	struct plan plan = {.physical = function, .sriov = sriov, .count = function->vf_count};

	if (function->vf_count == 0)
		return STATUS_OK;
	plan.first = pci_requester_id(function) + pci_read(function, sriov + PCI_SRIOV_FIRST_OFFSET, 2);
	plan.stride = pci_read(function, sriov + PCI_SRIOV_STRIDE, 2);
	if (!wait_until_they_appear(&plan))
		return STATUS_TIMEOUT;
	for (uint32_t i = 0; i < pci_count(); i++)
		if (pci_get(i)->physical == function)
			make_ready(pci_get(i));
	return STATUS_OK;
}

const struct pci_function *pci_vf_in_use(const struct pci_function *function)
{
	for (uint32_t i = 0; i < pci_count(); i++)
		if (pci_get(i)->physical == function && pci_get(i)->owner == PCI_OWNER_VM)
			return pci_get(i);
	return NULL;
}
