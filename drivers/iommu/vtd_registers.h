/*
 * Registers and structures in memory of a DMA-remapping unit. Intel Virtualization Technology for Directed I/O,
 * "Register Descriptions", "Translation Structure Formats", "Invalidation Descriptors", "Interrupt Remapping Table
 * Entry".
 */
#pragma once

#include "lib/bits.h"

enum {
	VTD_VERSION = 0x00,
	VTD_CAPABILITY = 0x08,          /* 64 bits */
	VTD_EXTENDED_CAPABILITY = 0x10, /* 64 bits */
	VTD_GLOBAL_COMMAND = 0x18,
	VTD_GLOBAL_STATUS = 0x1c,
	VTD_ROOT_TABLE = 0x20,          /* 64 bits */
	VTD_CONTEXT_COMMAND = 0x28,     /* 64 bits */
	VTD_FAULT_STATUS = 0x34,
	VTD_FAULT_CONTROL = 0x38,
	VTD_FAULT_DATA = 0x3c,
	VTD_FAULT_ADDRESS = 0x40,
	VTD_FAULT_UPPER_ADDRESS = 0x44,
	VTD_PROTECTED_MEMORY = 0x64,
	VTD_QUEUE_HEAD = 0x80,          /* 64 bits */
	VTD_QUEUE_TAIL = 0x88,          /* 64 bits */
	VTD_QUEUE_ADDRESS = 0x90,       /* 64 bits */
	VTD_INTERRUPT_TABLE = 0xb8,     /* 64 bits */
	VTD_REGISTERS_SIZE = 0xc0,      /* at least; others where the capabilities say */
};

/* Global command and status: a bit set by command shows in status when it was carried out. */
#define VTD_TRANSLATION BIT(31)
#define VTD_SET_ROOT_TABLE BIT(30)
#define VTD_WRITE_BUFFER_FLUSH BIT(27)
#define VTD_QUEUED_INVALIDATION BIT(26)
#define VTD_INTERRUPT_REMAPPING BIT(25)
#define VTD_SET_INTERRUPT_TABLE BIT(24)
#define VTD_COMPATIBILITY_FORMAT BIT(23)
/* Of status, what a command must repeat so that it stays as it is; the others are events. */
#define VTD_COMMAND_KEPT \
	(VTD_TRANSLATION | VTD_QUEUED_INVALIDATION | VTD_INTERRUPT_REMAPPING | VTD_COMPATIBILITY_FORMAT)

#define VTD_ROOT_TABLE_MODE BITS(11, 10) /* of the root table register; 0: legacy */

#define VTD_CONTEXT_INVALIDATE BIT(63)
#define VTD_CONTEXT_GLOBAL (1ull << 61)

/* The IOTLB register, 8 bytes behind the invalidate-address register. */
#define VTD_IOTLB_INVALIDATE BIT(63)
#define VTD_IOTLB_GLOBAL (1ull << 60)
#define VTD_IOTLB_DOMAIN (2ull << 60)
#define VTD_IOTLB_PAGE (3ull << 60)
#define VTD_IOTLB_DRAIN_READS BIT(49)
#define VTD_IOTLB_DRAIN_WRITES BIT(48)
#define VTD_IOTLB_DOMAIN_SHIFT 32

#define VTD_FAULT_OVERFLOW BIT(0)
#define VTD_FAULT_PENDING BIT(1)
#define VTD_QUEUE_ERROR BIT(4)
#define VTD_COMPLETION_ERROR BIT(5)
#define VTD_TIMEOUT_ERROR BIT(6)
#define VTD_QUEUE_ERRORS (VTD_QUEUE_ERROR | VTD_COMPLETION_ERROR | VTD_TIMEOUT_ERROR)
#define VTD_FAULT_MASKED BIT(31)

#define VTD_PROTECTED_ENABLE BIT(31)
#define VTD_PROTECTED_STATUS BIT(0)

/* A fault record: two quadwords. */
#define VTD_RECORD_SIZE 16u
#define VTD_RECORD_FAULT BIT(63)  /* high half: the record is valid; written as 1 to clear it */
#define VTD_RECORD_READ BIT(62)   /* high half: a read; else a write */

#define VTD_INTERRUPT_TABLE_EXTENDED BIT(11) /* destinations of 32 bits */

/* Root and context entries: two quadwords each. */
#define VTD_PRESENT BIT(0)
#define VTD_CONTEXT_SILENT BIT(1)       /* faults are not recorded */
#define VTD_CONTEXT_TRANSLATE (0ull << 2)
#define VTD_CONTEXT_TRANSLATE_ATS (1ull << 2) /* and answer the device's translation requests */
#define VTD_CONTEXT_DOMAIN_SHIFT 8
#define VTD_ENTRY_ADDRESS BITS(63, 12)

/* Invalidation descriptors: two quadwords; the first begins with the type. */
enum {
	VTD_DESCRIPTOR_CONTEXT = 1,
	VTD_DESCRIPTOR_IOTLB = 2,
	VTD_DESCRIPTOR_DEVICE = 3,
	VTD_DESCRIPTOR_INTERRUPT = 4,
	VTD_DESCRIPTOR_WAIT = 5,
};
#define VTD_DESCRIPTOR_GLOBAL (1ull << 4)
#define VTD_DESCRIPTOR_DOMAIN (2ull << 4)
#define VTD_DESCRIPTOR_PAGE (3ull << 4)
#define VTD_DESCRIPTOR_DRAIN_WRITES BIT(6)
#define VTD_DESCRIPTOR_DRAIN_READS BIT(7)
#define VTD_DESCRIPTOR_DOMAIN_SHIFT 16
#define VTD_DESCRIPTOR_DEPTH_SHIFT 16   /* of a device's queue */
#define VTD_DESCRIPTOR_REQUESTER_SHIFT 32
#define VTD_DESCRIPTOR_PHYSICAL_SHIFT 12      /* of a device: bits 3:0 of the function whose queue it is */
#define VTD_DESCRIPTOR_PHYSICAL_HIGH_SHIFT 52 /* and bits 15:4 */
#define VTD_DESCRIPTOR_INDEX BIT(4)     /* of an interrupt entry: one of them; else all */
#define VTD_DESCRIPTOR_INDEX_SHIFT 32
#define VTD_DESCRIPTOR_STATUS_WRITE BIT(5)
#define VTD_DESCRIPTOR_FENCE BIT(6)
#define VTD_DESCRIPTOR_STATUS_SHIFT 32

/* Interrupt entries, low half. */
#define VTD_INTERRUPT_LEVEL BIT(4)
#define VTD_INTERRUPT_POSTED BIT(15)
#define VTD_INTERRUPT_VECTOR_SHIFT 16
#define VTD_INTERRUPT_DESTINATION_SHIFT 32
#define VTD_INTERRUPT_DESTINATION_8_SHIFT 40 /* without extended mode */
#define VTD_INTERRUPT_DESCRIPTOR_SHIFT 38    /* posted: bits 31:6 of the descriptor's address */
/* High half: who may use it. */
#define VTD_INTERRUPT_VERIFY_REQUESTER (1ull << 18)
