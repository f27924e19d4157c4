/* pci */
#include "drivers/pci/pci_groups.h"
#include "drivers/pci/pci_owner.h"
#include "drivers/pci/pci_reset.h"
#include "drivers/pci/pci_sriov.h"
#include "lib/fmt.h"
#include "lib/string.h"
#include "vmm/shell/shell.h"

#define INDENT_MAX 10u
#define SIZE_TEXT 24u
#define VF_DIGITS_MAX 5u

static const char *const bar_kind_names[] = {
	[PCI_BAR_NONE] = "", [PCI_BAR_PORT] = "ports", [PCI_BAR_MEMORY_32] = "memory", [PCI_BAR_MEMORY_64] = "64-bit memory",
};

static const struct { uint8_t type; const char *name; } express_names[] = {
	{PCI_EXPRESS_ENDPOINT, "PCI Express endpoint"},
	{PCI_EXPRESS_LEGACY_ENDPOINT, "legacy PCI Express endpoint"},
	{PCI_EXPRESS_ROOT_PORT, "root port"},
	{PCI_EXPRESS_UPSTREAM_PORT, "upstream port"},
	{PCI_EXPRESS_DOWNSTREAM_PORT, "downstream port"},
	{PCI_EXPRESS_TO_PCI_BRIDGE, "PCI Express to PCI bridge"},
	{PCI_EXPRESS_FROM_PCI_BRIDGE, "PCI to PCI Express bridge"},
	{PCI_EXPRESS_ROOT_ENDPOINT, "root complex endpoint"},
	{PCI_EXPRESS_EVENT_COLLECTOR, "event collector"},
	{PCI_EXPRESS_NONE, "conventional PCI"},
};

static const char *express_name(uint8_t type)
{
	for (size_t i = 0; i < array_count(express_names); i++)
		if (express_names[i].type == type)
			return express_names[i].name;
	return "PCI Express function of unknown kind";
}

/* What the tree shows it below: virtual functions are shown below their physical one. */
static const struct pci_function *above(const struct pci_function *function)
{
	return function->physical != NULL ? function->physical : function->parent;
}

/* The first function at or behind @index that hangs on @parent. */
static const struct pci_function *next_below(const struct pci_function *parent, uint32_t index)
{
	const struct pci_function *function;

	for (; (function = pci_get(index)) != NULL; index++)
		if (above(function) == parent)
			return function;
	return NULL;
}

/* The next one of the whole tree, depth first; *@depth follows. */
static const struct pci_function *next_in_tree(const struct pci_function *function, unsigned *depth)
{
	const struct pci_function *next = next_below(function, 0);

	if (next != NULL) {
		(*depth)++;
		return next;
	}
	for (; function != NULL; function = above(function), (*depth)--) {
		next = next_below(above(function), function->index + 1u);
		if (next != NULL)
			return next;
	}
	return NULL;
}

static void print_tree(void)
{
	unsigned depth = 0;

	shell_print("%-24s %-9s %5s %-14s %s\n", "Function", "Ids", "Group", "Owner", "What");
	for (const struct pci_function *f = next_below(NULL, 0); f != NULL; f = next_in_tree(f, &depth)) {
		unsigned indent = depth < INDENT_MAX ? depth : INDENT_MAX;
		const char *vendor = pci_vendor_name(f->vendor_id);

		shell_print("%*s" PCI_ADDRESS_FORMAT "%*s %04x:%04x %5u %-14s %s%s%s\n", (int)indent, "",
			    PCI_ADDRESS_ARGUMENTS(f->address), (int)(12 - indent), "", f->vendor_id, f->device_id, f->group,
			    pci_owner_name(f), vendor, vendor[0] != '\0' ? " " : "", pci_class_name(f->class_code, f->subclass));
	}
}

static void print_bar(const char *name, const struct pci_bar *bar)
{
	char size[SIZE_TEXT] = "not to be used";

	if (bar->kind == PCI_BAR_NONE)
		return;
	if (bar->size >= MIB)
		fmt_print(size, sizeof(size), "%llu MiB", (unsigned long long)(bar->size / MIB));
	else if (bar->size >= KIB)
		fmt_print(size, sizeof(size), "%llu KiB", (unsigned long long)(bar->size / KIB));
	else if (bar->size != 0)
		fmt_print(size, sizeof(size), "%llu bytes", (unsigned long long)bar->size);
	shell_print("  %s: %s%s at 0x%llx, %s%s\n", name, bar->prefetchable ? "prefetchable " : "", bar_kind_names[bar->kind],
		    (unsigned long long)bar->address, size, bar->address == 0 ? ", no address assigned" : "");
}

static void print_capabilities(const struct pci_function *function)
{
	for (uint32_t i = 0; i < function->capability_count; i++)
		shell_print("  capability 0x%02x: %s (0x%02x)\n", function->capabilities[i].offset,
			    pci_capability_name(function->capabilities[i].id), function->capabilities[i].id);
	for (uint32_t i = 0; i < function->extended_capability_count; i++)
		shell_print("  extended capability 0x%03x: %s (0x%04x)\n", function->extended_capabilities[i].offset,
			    pci_extended_capability_name(function->extended_capabilities[i].id), function->extended_capabilities[i].id);
	if (function->capabilities_broken)
		shell_print("  its list of capabilities is broken\n");
}

static void print_member(const struct pci_function *member, void *context)
{
	const struct pci_function *const *asked = context;

	if (member != *asked)
		shell_print("  cannot be isolated from " PCI_ADDRESS_FORMAT ": %s\n", PCI_ADDRESS_ARGUMENTS(member->address),
			    pci_class_name(member->class_code, member->subclass));
}

static void print_function(const struct pci_function *function)
{
	char name[SIZE_TEXT];

	shell_print(PCI_ADDRESS_FORMAT " %04x:%04x %s %s, %s\n", PCI_ADDRESS_ARGUMENTS(function->address), function->vendor_id,
		    function->device_id, pci_vendor_name(function->vendor_id),
		    pci_class_name(function->class_code, function->subclass), express_name(function->express_type));
	shell_print("  owner: %s%s%s; reset: %s; group %u\n", pci_owner_name(function), function->cut_off ? ", cut off" : "",
		    function->dead ? ", dead" : "", pci_reset_way_name(pci_reset_way(function)), function->group);
	if (pci_is_bridge(function))
		shell_print("  buses 0x%02x to 0x%02x behind it\n", function->secondary_bus, function->subordinate_bus);
	if (function->interrupt_pin != 0)
		shell_print("  INT%c\n", 'A' + (function->interrupt_pin - 1) % 4);
	if (function->vf_total != 0)
		shell_print("  %u of %u virtual functions enabled\n", function->vf_count, function->vf_total);
	for (unsigned i = 0; i < PCI_MAX_BARS; i++) {
		fmt_print(name, sizeof(name), "BAR %u", i);
		print_bar(name, &function->bars[i]);
	}
	print_bar("ROM", &function->rom);
	print_capabilities(function);
	pci_group_members(function, print_member, &function);
}

static const struct pci_function *find(const char *text)
{
	struct pci_address address;
	const struct pci_function *function = pci_address_parse(text, &address) ? pci_find(address) : NULL;

	if (function == NULL)
		shell_print("pci: %s: no such function; write it as `pci` shows it\n", text);
	return function;
}

static uint16_t parse_count(const char *text)
{
	unsigned count = 0;
	size_t length = strlen(text);

	for (size_t i = 0; i < length; i++) {
		if (text[i] < '0' || text[i] > '9' || length > VF_DIGITS_MAX)
			return 0;
		count = count * 10 + (unsigned)(text[i] - '0');
	}
	return count <= UINT16_MAX ? (uint16_t)count : 0;
}

static enum status set_vfs(const struct pci_function *function, const char *count, const char **why)
{
	return strcmp(count, "0") == 0 ? pci_disable_vfs(function, why) : pci_enable_vfs(function, parse_count(count), why);
}

static void enable_vfs(const char *address, const char *count)
{
	const struct pci_function *function = find(address);
	const char *why = "";

	if (function == NULL)
		return;
	if (set_vfs(function, count, &why) != STATUS_OK)
		shell_print("pci: " PCI_ADDRESS_FORMAT ": %s\n", PCI_ADDRESS_ARGUMENTS(function->address), why);
}

static void reset(const char *address)
{
	const struct pci_function *function = find(address);
	const char *how;
	enum status status;

	if (function == NULL)
		return;
	if (function->owner != PCI_OWNER_QUARANTINE) {
		shell_print("pci: " PCI_ADDRESS_FORMAT ": belongs to %s\n", PCI_ADDRESS_ARGUMENTS(function->address),
			    pci_owner_name(function));
		return;
	}
	status = pci_reset_function(function, &how);
	if (status == STATUS_OK)
		shell_print("reset by %s\n", how);
	else
		shell_print("pci: " PCI_ADDRESS_FORMAT ": %s: %s\n", PCI_ADDRESS_ARGUMENTS(function->address), how, status_name(status));
}

static void run_pci(unsigned count, const char *const *arguments)
{
	const struct pci_function *function;

	if (count == 1)
		print_tree();
	else if (count == 2 && strcmp(arguments[1], "all") == 0)
		for (uint32_t i = 0; (function = pci_get(i)) != NULL; i++)
			print_function(function);
	else if (count == 2 && (function = find(arguments[1])) != NULL)
		print_function(function);
	else if (count == 3 && strcmp(arguments[2], "reset") == 0)
		reset(arguments[1]);
	else if (count == 4 && strcmp(arguments[2], "vfs") == 0)
		enable_vfs(arguments[1], arguments[3]);
	else if (count > 2)
		shell_print("pci: `help pci` shows how it is used\n");
}

const struct shell_command shell_pci_command = {
	.name = "pci",
	.arguments = "[ADDRESS|all] | ADDRESS reset | ADDRESS vfs N",
	.summary = "show the machine's PCI functions, or one in detail; reset one; enable virtual functions",
	.help = "Without arguments: the tree, with owners. Functions of one group cannot be isolated from each other and go to one\n"
		"VM only. ADDRESS is written as in the tree. `reset` takes one that is in quarantine. `vfs N` makes N virtual\n"
		"functions of one that has SR-IOV; `vfs 0` takes them away again.\n",
	.maximum_arguments = 3,
	.run = run_pci,
};
SHELL_COMMAND(shell_pci_command);
