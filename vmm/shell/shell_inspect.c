/* mem, ept, irq: what can be looked at from any CPU. */
#include "arch/x86/physmap.h"
#include "lib/bits.h"
#include "lib/fmt.h"
#include "vmm/io_device.h"
#include "vmm/shell/arguments.h"
#include "vmm/shell/capture.h"
#include "vmm/shell/shell.h"
#include "vmm/vm.h"

#define ROW_SIZE 16u
#define DUMP_DEFAULT 128u
#define DUMP_MAX 4096u
#define CONTROLLER_ORDER_END 20u /* classes below it are interrupt controllers; see io_device.h */

/* "0000000000001000  55 aa ..  |U.|" of @size <= ROW_SIZE bytes. */
static void print_row(uint64_t address, const uint8_t *bytes, size_t size)
{
	char hex[ROW_SIZE * 3 + 1], text[ROW_SIZE + 1];

	hex[0] = '\0';
	for (size_t i = 0; i < size; i++) {
		fmt_print(hex + 3 * i, sizeof(hex) - 3 * i, " %02x", bytes[i]);
		text[i] = bytes[i] >= ' ' && bytes[i] < 0x7f ? (char)bytes[i] : '.';
	}
	text[size] = '\0';
	shell_print("%016llx %-*s  |%s|\n", (unsigned long long)address, (int)ROW_SIZE * 3, hex, text);
}

static void dump_memory(const struct vm *vm, uint64_t address, uint64_t length)
{
	uint8_t bytes[ROW_SIZE];

	while (length != 0) {
		uint64_t size = min_u64(length, ROW_SIZE);

		if (guest_memory_read(&vm->memory, gpa(address), bytes, size) != STATUS_OK) {
			shell_print("0x%llx: no RAM there\n", (unsigned long long)address);
			return;
		}
		print_row(address, bytes, size);
		address += size;
		length -= size;
	}
}

static void run_mem(unsigned count, const char *const *arguments)
{
	struct vm *vm = arguments_vm(arguments[1]);
	uint64_t address, length = DUMP_DEFAULT;

	if (vm == NULL || !arguments_number(arguments[2], "GPA", 0, UINT64_MAX - DUMP_MAX, &address))
		return;
	if (count > 3 && !arguments_number(arguments[3], "N", 1, DUMP_MAX, &length))
		return;
	dump_memory(vm, address, length);
}

static uint64_t read_entry(hpa_t table, unsigned index)
{
	const uint64_t *entries = physmap_pointer(table);

	return __atomic_load_n(&entries[index], __ATOMIC_RELAXED);
}

/* Every step of the walk; what stands in a table was put there by us, so that each entry may be followed. */
static void print_walk(const struct page_table *table, uint64_t address)
{
	const struct page_table_format *format = table->format;
	hpa_t page = table->root;

	for (unsigned level = format->levels; level > 0; level--) {
		unsigned shift = PAGE_SHIFT + 9 * (level - 1);
		unsigned index = address >> shift & 511;
		uint64_t entry = read_entry(page, index);
		bool present = format->is_present(entry), leaf = present && format->is_leaf(entry, level);

		shell_print("  level %u, table 0x%llx, entry %3u: 0x%016llx %s\n", level, (unsigned long long)page.value, index,
			    (unsigned long long)entry, !present ? "not present" : leaf ? "page" : "table");
		if (!present || leaf)
			return;
		page = format->entry_address(entry, level);
	}
}

static void print_leaf(uint64_t address, const struct page_table_leaf *leaf)
{
	shell_print("0x%llx is at 0x%llx, page of %llu KiB, %c%c%c%s\n", (unsigned long long)address,
		    (unsigned long long)leaf->output.value, (unsigned long long)(leaf->page_size / KIB),
		    leaf->attributes & PAGE_READ ? 'r' : '-', leaf->attributes & PAGE_WRITE ? 'w' : '-',
		    leaf->attributes & PAGE_EXECUTE ? 'x' : '-', leaf->attributes & PAGE_UNCACHED ? ", uncached" : ", write-back");
}

static void run_ept(unsigned count, const char *const *arguments)
{
	struct vm *vm = arguments_vm(arguments[1]);
	struct page_table_leaf leaf;
	uint64_t address;

	(void)count;
	if (vm == NULL || !arguments_number(arguments[2], "GPA", 0, BITS(47, 0), &address))
		return;
	print_walk(&vm->memory.nested, address);
	if (page_table_lookup(&vm->memory.nested, address, &leaf) == STATUS_OK)
		print_leaf(address, &leaf);
	else
		shell_print("0x%llx is not mapped\n", (unsigned long long)address);
}

static void capture_lines(const struct vm *vm)
{
	capture_print("%s: lines up:", vm->config->name);
	for (unsigned line = 0; line < IRQ_LINE_COUNT; line++) {
		if (vm->irq.line_level[line])
			capture_print(" %u", line);
	}
	capture_print("\n");
}

static void irq_of(struct vm *vm)
{
	capture_start();
	spinlock_lock(&vm->device_lock);
	capture_lines(vm);
	list_for_each(link, &vm->devices) {
		struct io_device *device = list_entry(link, struct io_device, link);

		bool shown = device->class->order < CONTROLLER_ORDER_END || device->class->has_interrupts;

		if (shown && device->class->describe != NULL)
			device->class->describe(device, capture_print);
	}
	spinlock_unlock(&vm->device_lock);
	capture_show();
}

static void run_irq(unsigned count, const char *const *arguments)
{
	struct vm *vm;

	if (count > 1) {
		vm = arguments_vm(arguments[1]);
		if (vm != NULL)
			irq_of(vm);
		return;
	}
	for (uint32_t i = 0; i < vm_list_count; i++)
		irq_of(vm_list[i]);
}

const struct shell_command shell_mem_command = {
	.name = "mem",
	.arguments = "NAME GPA [N]",
	.summary = "dump N bytes of a VM's RAM",
	.help = "  GPA and N are decimal or 0x..., with K, M or G behind them if you like; N is 128 by default, 4096 at most.\n",
	.minimum_arguments = 2,
	.maximum_arguments = 3,
	.completion = SHELL_COMPLETE_VM,
	.run = run_mem,
};
SHELL_COMMAND(shell_mem_command);

const struct shell_command shell_ept_command = {
	.name = "ept",
	.arguments = "NAME GPA",
	.summary = "walk a VM's nested page table",
	.help = "  Shows the entry of each level and where the guest-physical address ends up.\n",
	.minimum_arguments = 2,
	.maximum_arguments = 2,
	.completion = SHELL_COMPLETE_VM,
	.run = run_ept,
};
SHELL_COMMAND(shell_ept_command);

const struct shell_command shell_irq_command = {
	.name = "irq",
	.arguments = "[NAME]",
	.summary = "show a VM's interrupt lines and controllers",
	.help = "",
	.maximum_arguments = 1,
	.completion = SHELL_COMPLETE_VM,
	.run = run_irq,
};
SHELL_COMMAND(shell_irq_command);
