/*
 * The setup header of a bzImage and the "zero page" that a loader fills. Linux "The Linux/x86 Boot Protocol", "Zero Page".
 */
#pragma once

#include "lib/types.h"
#include "vmm/guest/e820.h"

#define LINUX_HEADER_OFFSET 0x1f1u /* in the file and in the zero page */
#define LINUX_HEADER_MAGIC 0x53726448u /* "HdrS" */
#define LINUX_BOOT_FLAG 0xaa55u
#define LINUX_SECTOR_SIZE 512u
#define LINUX_DEFAULT_SETUP_SECTORS 4u /* what 0 means */
#define LINUX_PARAGRAPH_SIZE 16u /* unit of paragraph_count */
#define LINUX_LOADED_HIGH 0x01u
#define LINUX_CAN_USE_HEAP 0x80u
#define LINUX_XLF_KERNEL_64 0x0001u
#define LINUX_ENTRY_64_OFFSET 0x200u
#define LINUX_LOADER_UNDEFINED 0xffu
#define LINUX_E820_TABLE_SIZE 128u

struct linux_setup_header {
	uint8_t setup_sectors;
	uint16_t root_flags;
	uint32_t paragraph_count; /* syssize: of the protected-mode code */
	uint16_t ram_size, video_mode, root_device, boot_flag;
	uint8_t jump_opcode, jump_offset; /* the header ends where this short jump goes */
	uint32_t magic;
	uint16_t version;
	uint32_t real_mode_switch;
	uint16_t start_segment, kernel_version;
	uint8_t type_of_loader, load_flags;
	uint16_t setup_move_size;
	uint32_t code32_start, ramdisk_image, ramdisk_size, boot_sector_kludge;
	uint16_t heap_end;
	uint8_t extended_loader_version, extended_loader_type;
	uint32_t command_line, ramdisk_address_max, kernel_alignment;
	uint8_t relocatable, minimum_alignment;
	uint16_t extended_load_flags;
	uint32_t command_line_size, hardware_subarch;
	uint64_t hardware_subarch_data;
	uint32_t payload_offset, payload_length;
	uint64_t setup_data, preferred_address;
	uint32_t init_size, handover_offset, kernel_info_offset;
} packed_struct;
_Static_assert(sizeof(struct linux_setup_header) == 0x26c - LINUX_HEADER_OFFSET, "setup header of protocol 2.15");

struct linux_zero_page {
	uint8_t screen_info[0x40];
	uint8_t reserved1[0x30];
	uint64_t acpi_rsdp; /* since protocol 2.14 */
	uint8_t reserved2[0x1e8 - 0x078];
	uint8_t e820_count;
	uint8_t reserved3[6];
	uint8_t sentinel;
	uint8_t reserved4;
	struct linux_setup_header header;
	uint8_t reserved5[0x2d0 - 0x26c];
	struct e820_entry e820[LINUX_E820_TABLE_SIZE];
	uint8_t reserved6[0x1000 - 0xcd0];
} packed_struct;
_Static_assert(sizeof(struct linux_zero_page) == 4096, "the zero page is one page");
_Static_assert(offsetof(struct linux_zero_page, header) == LINUX_HEADER_OFFSET, "where the boot protocol says");
_Static_assert(offsetof(struct linux_zero_page, e820) == 0x2d0, "where the boot protocol says");
