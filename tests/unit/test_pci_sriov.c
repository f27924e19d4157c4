/* Virtual functions: where they are, what refuses them, hostile physical functions. */
#include "drivers/pci/pci_sriov.h"

#include "drivers/pci/pci_owner.h"
#include "drivers/pci/pci_reset.h"
#include "tests/unit/pci_fixture.h"

#define SRIOV 0x160u
#define VF_BAR 0x4000000000ull
#define VF_SIZE 0x4000u
#define TOTAL 8u

static struct fake_pci *physical;
static bool appear;
static unsigned forgotten; /* resets of it */

/* What function-level reset does to it; its virtual functions are gone. */
static void forget(struct fake_pci *function)
{
	forgotten++;
	fake_pci_set(function, SRIOV + PCI_SRIOV_CONTROL, 2, 0);
	fake_pci_set(function, SRIOV + PCI_SRIOV_COUNT, 2, 0);
	for (unsigned i = 0; i < 24; i += 4)
		fake_pci_set(function, SRIOV + PCI_SRIOV_BARS + i, 4, 0);
	for (uint32_t i = 0; i < pci_count(); i++)
		if (pci_get(i)->physical != NULL)
			fake_pci_find(pci_get(i)->address)->absent = true;
}

static void add_virtual(struct pci_address address)
{
	struct fake_pci *vf = fake_pci_find(address);

	if (vf == NULL)
		vf = fake_pci_add(address, 0xffff, 0xffff, 0x0200);
	vf->absent = false;
	fake_pci_set(vf, PCI_COMMAND, 2, 0);
	fake_pci_make_express(vf, PCI_EXPRESS_ENDPOINT);
	fake_pci_set(vf, 0x44, 4, (uint32_t)PCI_EXPRESS_CAN_FLR);
}

/* Virtual functions come and go with the enable bit. */
static void written(struct fake_pci *function, unsigned offset, unsigned size)
{
	uint32_t id = (uint32_t)(function->address.bus << 8 | function->address.device << 3 | function->address.function);

	(void)size;
	if (offset == 0x48 && (fake_pci_get(function, 0x48, 2) & PCI_EXPRESS_START_FLR) != 0)
		forget(function);
	if (offset != SRIOV + PCI_SRIOV_CONTROL || !appear || (fake_pci_get(function, offset, 2) & PCI_SRIOV_ENABLE) == 0)
		return;
	for (uint32_t i = 0; i < fake_pci_get(function, SRIOV + PCI_SRIOV_COUNT, 2); i++) {
		uint32_t own = id + fake_pci_get(function, SRIOV + PCI_SRIOV_FIRST_OFFSET, 2) +
			       i * fake_pci_get(function, SRIOV + PCI_SRIOV_STRIDE, 2);
		struct pci_address address = {0, (uint8_t)(own >> 8), own >> 3 & 31, own & 7};

		add_virtual(address);
	}
}

static int set_up(void **state)
{
	pci_fixture_set_up(state);
	fake_pci_add_ecam(&fixture_acpi.mcfg, FAKE_PCI_ECAM_BASE, 0, 0, 4);
	fake_pci_add((struct pci_address){0, 0, 0, 0}, 0x8086, 0x29c0, 0x0600);
	fake_pci_make_express(fake_pci_add_bridge((struct pci_address){0, 0, 1, 0}, 1, 2), PCI_EXPRESS_ROOT_PORT);
	fake_pci_set(fake_pci_find((struct pci_address){0, 0, 1, 0}), 0x40 + PCI_EXPRESS_DEVICE_CAPABILITIES_2, 4, 0x20);
	physical = fake_pci_add((struct pci_address){0, 1, 0, 0}, 0x8086, 0x10c9, 0x0200);
	fake_pci_make_express(physical, PCI_EXPRESS_ENDPOINT);
	fake_pci_add_extended(physical, 0x100, PCI_EXTENDED_ARI);
	fake_pci_add_extended(physical, SRIOV, PCI_EXTENDED_SRIOV);
	fake_pci_set(physical, SRIOV + PCI_SRIOV_TOTAL_VFS, 2, TOTAL);
	fake_pci_set(physical, SRIOV + PCI_SRIOV_FIRST_OFFSET, 2, 0x80);
	fake_pci_set(physical, SRIOV + PCI_SRIOV_STRIDE, 2, 2);
	fake_pci_set(physical, SRIOV + PCI_SRIOV_DEVICE, 2, 0x10ca);
	fake_pci_set(physical, SRIOV + PCI_SRIOV_PAGE_SIZES, 4, 0x553);
	fake_pci_allow(physical, SRIOV + PCI_SRIOV_PAGE_SIZE, 4, 0x553);
	fake_pci_allow(physical, SRIOV + PCI_SRIOV_CONTROL, 2, 0x1f);
	fake_pci_allow(physical, SRIOV + PCI_SRIOV_COUNT, 2, 0xffff);
	fake_pci_add_bar(physical, SRIOV + PCI_SRIOV_BARS, VF_BAR, VF_SIZE, 0xc);
	fake_pci_add_bar(physical, SRIOV + PCI_SRIOV_BARS + 12, 0xfe000000, 0x1000, 0);
	physical->written = written;
	fake_pci_allow(physical, 0x48, 2, 0xffff);
	appear = true;
	forgotten = 0;
	return 0;
}

static const struct pci_function *scan(void)
{
	assert_int_equal(pci_scan(), STATUS_OK);
	return pci_find(physical->address);
}

static uint32_t control(void)
{
	return fake_pci_get(physical, SRIOV + PCI_SRIOV_CONTROL, 2);
}

static void refused(uint16_t count, enum status status, const char *words)
{
	uint32_t before = pci_count();
	const char *why = "";

	assert_int_equal(pci_enable_vfs(pci_find(physical->address), count, &why), status);
	assert_non_null(strstr(why, words));
	assert_int_equal(pci_count(), before);
	assert_int_equal(control() & PCI_SRIOV_ENABLE, 0);
}

static void three_of_eight(void **state)
{
	const struct pci_function *function = scan(), *vf;
	const char *why;

	(void)state;
	assert_int_equal(function->vf_total, TOTAL);
	assert_int_equal(pci_enable_vfs(function, 3, &why), STATUS_OK);
	assert_int_equal(function->vf_count, 3);
	assert_int_equal(pci_count(), 6);
	for (unsigned i = 0; i < 3; i++) {
		vf = pci_get(3 + i);
		assert_ptr_equal(pci_find((struct pci_address){0, 1, (uint8_t)(16 + i * 2 / 8), (uint8_t)(i * 2 % 8)}), vf);
		assert_ptr_equal(vf->physical, function);
		assert_ptr_equal(vf->parent, function->parent);
		assert_int_equal(vf->vendor_id, 0x8086);
		assert_int_equal(vf->device_id, 0x10ca);
		assert_int_equal(vf->owner, PCI_OWNER_QUARANTINE);
		assert_int_equal(vf->bars[0].kind, PCI_BAR_MEMORY_64);
		assert_int_equal(vf->bars[0].address, VF_BAR + i * VF_SIZE);
		assert_int_equal(vf->bars[0].size, VF_SIZE);
		assert_int_equal(vf->bars[3].address, 0xfe000000 + i * 0x1000);
		assert_int_equal(vf->express_type, PCI_EXPRESS_ENDPOINT);
	}
	assert_int_equal(fake_pci_get(physical, SRIOV + PCI_SRIOV_PAGE_SIZE, 4), 1);
	assert_int_equal(fake_pci_get(physical, SRIOV + PCI_SRIOV_BARS, 4), 0xc);
	assert_int_equal(fake_pci_get(physical, SRIOV + PCI_SRIOV_BARS + 4, 4), 0x40);
	assert_int_equal(control(), PCI_SRIOV_ENABLE | PCI_SRIOV_MEMORY | PCI_SRIOV_ARI);
	assert_int_equal(pci_enable_vfs(function, 2, &why), STATUS_EXISTS);
}

/* Not while a VM has one of them; then it takes them all along, and they come back at their places. */
static void a_physical_function_is_reset_with_its_virtual_ones(void **state)
{
	const struct pci_function *function;
	const char *why, *how;

	(void)state;
	fake_pci_set(physical, 0x44, 4, (uint32_t)PCI_EXPRESS_CAN_FLR);
	function = scan();
	assert_int_equal(pci_enable_vfs(function, 2, &why), STATUS_OK);
	assert_int_equal(pci_claim(pci_get(4), PCI_OWNER_VM, "web"), STATUS_OK);
	assert_ptr_equal(pci_vf_in_use(function), pci_get(4));
	assert_int_equal(pci_reset_function(function, &how), STATUS_BUSY);
	/* The virtual function itself is, though its vendor reads as all ones. */
	assert_int_equal(pci_reset_function(pci_get(4), &how), STATUS_OK);
	assert_string_equal(how, "FLR");
	pci_release(pci_get(4));
	assert_null(pci_vf_in_use(function));
	assert_int_equal(pci_reset_function(function, &how), STATUS_OK);
	assert_int_equal(forgotten, 1);
	assert_int_equal(control(), PCI_SRIOV_ENABLE | PCI_SRIOV_MEMORY | PCI_SRIOV_ARI);
	assert_int_equal(fake_pci_get(physical, SRIOV + PCI_SRIOV_COUNT, 2), 2);
	assert_int_equal(fake_pci_get(physical, SRIOV + PCI_SRIOV_BARS + 4, 4), 0x40);
	assert_int_equal(pci_config_read(pci_get(4)->address, PCI_COMMAND, 2), PCI_COMMAND_MEMORY | PCI_COMMAND_INTERRUPT_DISABLE);
	assert_int_equal(function->vf_count, 2);
}

static void virtual_functions_that_a_reset_loses(void **state)
{
	const struct pci_function *function;
	const char *why, *how;

	(void)state;
	fake_pci_set(physical, 0x44, 4, (uint32_t)PCI_EXPRESS_CAN_FLR);
	function = scan();
	assert_int_equal(pci_enable_vfs(function, 2, &why), STATUS_OK);
	appear = false;
	assert_int_equal(pci_reset_function(function, &how), STATUS_TIMEOUT);
	assert_true(function->dead);
}

static void taken_away_again(void **state)
{
	const struct pci_function *function = scan();
	const char *why;

	(void)state;
	assert_int_equal(pci_disable_vfs(function, &why), STATUS_NOT_FOUND);
	assert_int_equal(pci_enable_vfs(function, 3, &why), STATUS_OK);
	assert_int_equal(pci_claim(pci_get(4), PCI_OWNER_VM, "web"), STATUS_OK);
	assert_int_equal(pci_disable_vfs(function, &why), STATUS_BUSY);
	assert_string_equal(why, "a VM has it, or one of its virtual functions");
	pci_release(pci_get(4));
	assert_int_equal(pci_disable_vfs(function, &why), STATUS_OK);
	assert_int_equal(control() & (PCI_SRIOV_ENABLE | PCI_SRIOV_MEMORY), 0);
	assert_int_equal(function->vf_count, 0);
	assert_int_equal(pci_count(), 3);
	assert_null(pci_find((struct pci_address){0, 1, 16, 0}));
	/* And enabled again, another number of them. */
	assert_int_equal(pci_enable_vfs(function, 2, &why), STATUS_OK);
	assert_int_equal(pci_count(), 5);
	assert_int_equal(pci_get(4)->owner, PCI_OWNER_QUARANTINE);
}

static void what_cannot_be(void **state)
{
	(void)state;
	scan();
	refused(0, STATUS_OUT_OF_RANGE, "fewer");
	refused(TOTAL + 1, STATUS_OUT_OF_RANGE, "fewer");
	assert_int_equal(pci_claim(pci_find(physical->address), PCI_OWNER_VM, "web"), STATUS_OK);
	refused(1, STATUS_BUSY, "a VM owns it");
	physical = fake_pci_find((struct pci_address){0, 0, 1, 0});
	refused(1, STATUS_UNSUPPORTED, "no virtual functions");
}

static void no_addresses(void **state)
{
	(void)state;
	fake_pci_add_bar(physical, SRIOV + PCI_SRIOV_BARS + 12, 0, 0x1000, 0);
	scan();
	refused(1, STATUS_UNSUPPORTED, "firmware gave");
}

static void address_space_that_wraps(void **state)
{
	(void)state;
	fake_pci_add_bar(physical, SRIOV + PCI_SRIOV_BARS, 0xffffffffffffc000, VF_SIZE, 0xc);
	scan();
	refused(2, STATUS_UNSUPPORTED, "firmware gave");
}

static void numbers_that_are_taken_or_leave_the_bridge(void **state)
{
	(void)state;
	fake_pci_add((struct pci_address){0, 1, 16, 0}, 1, 1, 0x0200);
	scan();
	refused(1, STATUS_UNSUPPORTED, "taken");
	fake_pci_set(physical, SRIOV + PCI_SRIOV_FIRST_OFFSET, 2, 0x200); /* bus 3; the bridge ends at 2 */
	refused(1, STATUS_UNSUPPORTED, "no bus numbers are left");
	fake_pci_set(physical, SRIOV + PCI_SRIOV_FIRST_OFFSET, 2, 0xffff);
	refused(1, STATUS_UNSUPPORTED, "no bus numbers are left");
	fake_pci_set(physical, SRIOV + PCI_SRIOV_FIRST_OFFSET, 2, 0);
	refused(1, STATUS_UNSUPPORTED, "no addresses of their own");
	fake_pci_set(physical, SRIOV + PCI_SRIOV_FIRST_OFFSET, 2, 4);
	fake_pci_set(physical, SRIOV + PCI_SRIOV_STRIDE, 2, 0);
	refused(2, STATUS_UNSUPPORTED, "no addresses of their own");
}

/* A port without ARI forwarding lets through device 0 only. */
static void without_ari(void **state)
{
	const char *why;

	(void)state;
	fake_pci_set(fake_pci_find((struct pci_address){0, 0, 1, 0}), 0x40 + PCI_EXPRESS_DEVICE_CAPABILITIES_2, 4, 0);
	scan();
	refused(1, STATUS_UNSUPPORTED, "no bus numbers are left");
	fake_pci_set(physical, SRIOV + PCI_SRIOV_FIRST_OFFSET, 2, 0x100);
	assert_int_equal(pci_enable_vfs(pci_find(physical->address), 4, &why), STATUS_OK);
	assert_int_equal(pci_get(6)->address.bus, 2);
	assert_int_equal(pci_get(6)->address.function, 6);
}

static void some_that_do_not_appear(void **state)
{
	uint64_t start = fake_tsc;

	(void)state;
	appear = false;
	scan();
	refused(2, STATUS_TIMEOUT, "do not appear");
	assert_true(fake_tsc - start < 3 * (uint64_t)FIXTURE_HZ);
	assert_int_equal(pci_find(physical->address)->vf_count, 0);
}

static void what_firmware_left_on_goes_off(void **state)
{
	(void)state;
	fake_pci_set(physical, SRIOV + PCI_SRIOV_CONTROL, 2, PCI_SRIOV_ENABLE | PCI_SRIOV_MEMORY);
	scan();
	assert_int_equal(control(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(three_of_eight, set_up),
		cmocka_unit_test_setup(a_physical_function_is_reset_with_its_virtual_ones, set_up),
		cmocka_unit_test_setup(virtual_functions_that_a_reset_loses, set_up),
		cmocka_unit_test_setup(taken_away_again, set_up),
		cmocka_unit_test_setup(what_cannot_be, set_up),
		cmocka_unit_test_setup(no_addresses, set_up),
		cmocka_unit_test_setup(address_space_that_wraps, set_up),
		cmocka_unit_test_setup(numbers_that_are_taken_or_leave_the_bridge, set_up),
		cmocka_unit_test_setup(without_ari, set_up),
		cmocka_unit_test_setup(some_that_do_not_appear, set_up),
		cmocka_unit_test_setup(what_firmware_left_on_goes_off, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
