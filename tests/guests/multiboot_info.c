/* The boot information: memory map, command line, module. The module holds "trivet module\n" 1000 times. */
#include "runtime/guest.h"

const char guest_name[] = "multiboot_info";

#define MODULE_LINE "trivet module\n"
#define MODULE_LINES 1000u
#define HAS_MEMORY 0x1u
#define HAS_COMMAND_LINE 0x4u
#define HAS_MODULES 0x8u
#define HAS_MAP 0x40u
#define HAS_NAME 0x200u
#define RAM 1u

extern const char guest_end[];

static void check_map(void)
{
	uint64_t at = guest_information->map_address, end = at + guest_information->map_length, before = 0, ram = 0;

	while (at < end) {
		const struct multiboot_map_entry *entry = (const struct multiboot_map_entry *)at;

		guest_print("multiboot_info: %016llx %llx type %u\n", (unsigned long long)entry->base, (unsigned long long)entry->length, entry->type);
		guest_check(entry->size >= 20 && entry->length > 0, "a map entry of %u bytes", entry->size);
		guest_check(entry->base >= before, "map entries overlap or are not sorted at %llx", (unsigned long long)entry->base);
		before = entry->base + entry->length;
		if (entry->type == RAM)
			ram += entry->length;
		at += entry->size + 4;
	}
	guest_check(at == end, "the map does not end where its length says");
	guest_check(ram > (15u << 20) && ram <= (16u << 20), "the map shows %llu KiB of RAM, the VM has 16 MiB", (unsigned long long)ram / 1024);
	guest_check(guest_information->memory_lower >= 512 && guest_information->memory_lower <= 640, "lower memory %u KiB",
		    guest_information->memory_lower);
	guest_check(guest_information->memory_upper == 15 * 1024, "upper memory %u KiB", guest_information->memory_upper);
}

static void check_module(void)
{
	const struct multiboot_module *module = (const struct multiboot_module *)(uint64_t)guest_information->modules;
	const size_t length = sizeof(MODULE_LINE) - 1;

	guest_check(guest_information->module_count == 1, "%u modules", guest_information->module_count);
	guest_check(module->start % 4096 == 0, "the module is not page-aligned: %x", module->start);
	guest_check(module->start >= (uint64_t)guest_end || module->end <= 0x100000, "the module lies in the kernel: %x", module->start);
	guest_check(module->end - module->start == MODULE_LINES * length, "the module has %u bytes", module->end - module->start);
	for (size_t i = 0; i < MODULE_LINES; i++)
		guest_check(memcmp((const char *)(uint64_t)module->start + i * length, MODULE_LINE, length) == 0, "line %u of the module", (unsigned)i);
	guest_check(strcmp((const char *)(uint64_t)module->string, "guests/module.txt") == 0, "the module is called '%s'",
		    (const char *)(uint64_t)module->string);
}

void guest_main(void)
{
	const uint32_t wanted = HAS_MEMORY | HAS_COMMAND_LINE | HAS_MODULES | HAS_MAP | HAS_NAME;
	const char *line = (const char *)(uint64_t)guest_information->command_line;

	guest_check((guest_information->flags & wanted) == wanted, "flags %x", guest_information->flags);
	guest_check(strcmp(line, "first second=2 \"third word\"") == 0, "the command line is '%s'", line);
	check_map();
	check_module();
}
