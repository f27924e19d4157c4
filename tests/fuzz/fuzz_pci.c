/*
 * Any configuration space: every function that is found shows bytes of the input, which may change with each read. The scan,
 * groups, resets and virtual functions end, keep within their tables and promise nothing that cannot be.
 */
#include <stdlib.h>

#include "tests/unit/pci_fixture.h"

#include "drivers/pci/pci_groups.h"
#include "drivers/pci/pci_owner.h"
#include "drivers/pci/pci_reset.h"
#include "drivers/pci/pci_sriov.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SETTINGS 4u
#define MODELS_MAX 12u
#define MODEL_HEAD 6u

static const uint8_t *input;
static size_t input_left;

static void require(bool condition)
{
	if (!condition)
		abort();
}

static void take(void *target, size_t size)
{
	size_t taken = size < input_left ? size : input_left;

	memcpy(target, input, taken);
	input += taken;
	input_left -= taken;
}

/* What is left of the input is shown when nobody expects it. */
static void change_of_mind(struct fake_pci *function, unsigned offset, unsigned size)
{
	if (input_left > 0 && size <= 4)
		take(function->bytes + offset, 1);
}

/* Address, kind of model, then a run of bytes at a place and another that can be written. */
static void add_model(unsigned index)
{
	uint8_t head[MODEL_HEAD] = {0};
	struct pci_address address = {0};
	struct fake_pci *model;

	take(head, sizeof(head));
	address.bus = index == 0 ? 0 : head[0] % 4;
	address.device = index == 0 ? 0 : head[1] % 3;
	address.function = index == 0 ? 0 : head[1] >> 4 & 1;
	if (fake_pci_find(address) != NULL)
		return;
	model = fake_pci_add(address, 0x8086, index, 0x0200);
	model->conventional = (head[2] & 1) != 0;
	if ((head[2] & 2) != 0)
		memset(model->writable, 0xff, sizeof(model->writable));
	if ((head[2] & 4) != 0)
		model->reading = change_of_mind;
	take(model->bytes + 4, head[3] % 124);
	take(model->bytes + PCI_DEVICE_SPECIFIC, head[4] % 192);
	take(model->bytes + PCI_EXTENDED, head[5]);
	if ((head[2] & 8) != 0)
		take(model->writable + 4, head[3] % 124);
}

static void check_bar(const struct pci_bar *bar)
{
	require(bar->size <= PCI_BAR_MAX_SIZE && (bar->size & (bar->size - 1)) == 0);
	if (bar->size != 0)
		require(bar->kind != PCI_BAR_NONE && is_aligned(bar->address, bar->size) && bar->address + (bar->size - 1) >= bar->address);
}

static void count_member(const struct pci_function *member, void *context)
{
	(void)member;
	(*(uint32_t *)context)++;
}

static void check_function(const struct pci_function *function)
{
	uint16_t ids[PCI_MAX_REQUESTER_IDS];
	uint32_t members = 0, height = 0;

	for (unsigned i = 0; i < PCI_MAX_BARS; i++)
		check_bar(&function->bars[i]);
	check_bar(&function->rom);
	require(function->capability_count <= PCI_MAX_CAPABILITIES);
	require(function->extended_capability_count <= PCI_MAX_EXTENDED_CAPABILITIES);
	for (uint32_t i = 0; i < function->capability_count; i++)
		require(function->capabilities[i].offset >= PCI_DEVICE_SPECIFIC);
	for (uint32_t i = 0; i < function->extended_capability_count; i++)
		require(function->extended_capabilities[i].offset >= PCI_EXTENDED);
	for (const struct pci_function *up = function; up != NULL; up = up->parent)
		require(height++ < PCI_MAX_FUNCTIONS);
	pci_group_members(function, count_member, &members);
	require(members >= 1 && members <= pci_count());
	require(pci_requester_ids(function, ids) <= PCI_MAX_REQUESTER_IDS);
	require(function->owner != PCI_OWNER_VM);
	for (unsigned i = 0; i < PCI_MAX_BARS; i++)
		(void)pci_bar_is_alone(function, &function->bars[i]);
}

static void try_all(const uint8_t settings[SETTINGS])
{
	const char *how = NULL, *why = NULL;
	uint32_t count = pci_count();
	uint64_t start;

	for (uint32_t i = 0; i < count; i++) {
		const struct pci_function *function = pci_get(i);

		start = fake_tsc;
		if (pci_enable_vfs(function, settings[1], &why) != STATUS_OK)
			require(why != NULL && why[0] != '\0');
		(void)pci_reset_function(function, &how);
		require(how != NULL);
		require(fake_tsc - start < 20ull * FIXTURE_HZ);
		if (pci_claim(function, PCI_OWNER_VM, "web") == STATUS_OK)
			require(!function->dead);
		pci_release(function);
		require(function->owner != PCI_OWNER_VM);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t settings[SETTINGS] = {0};

	pci_fixture_set_up(NULL);
	fake_tsc_step = FIXTURE_HZ / 100; /* 10 ms at each look: no long waits */
	input = data;
	input_left = size;
	take(settings, sizeof(settings));
	for (unsigned i = 0; i < 1u + settings[0] % MODELS_MAX; i++)
		add_model(i);
	if ((settings[2] & 1) != 0)
		fake_pci_add_ecam(&fixture_acpi.mcfg, FAKE_PCI_ECAM_BASE, 0, 0, 3);
	fake_pci_ports_answer = (settings[2] & 3) != 3;
	if (pci_scan() != STATUS_OK)
		return 0;
	for (uint32_t i = 0; i < pci_count(); i++)
		check_function(pci_get(i));
	try_all(settings);
	require(pci_count() <= PCI_MAX_FUNCTIONS);
	for (uint32_t i = 0; i < pci_count(); i++)
		check_function(pci_get(i));
	return 0;
}
