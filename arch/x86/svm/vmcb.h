/*
 * The virtual machine control block: its layout and the bits of its fields. AMD APM Vol. 2 "VMCB Layout", "Secure Virtual
 * Machine".
 */
#pragma once

#include "arch/x86/virt.h"
#include "lib/bits.h"
#include "lib/types.h"

/* "VMCB, Control Area": which control registers, debug registers and exceptions exit: a bit for each number. */
#define INTERCEPT_CR_READ(number) ((uint32_t)BIT(number))
#define INTERCEPT_CR_WRITE(number) ((uint32_t)BIT(16 + (number)))

/* Offset 00Ch */
#define INTERCEPT_INTR ((uint32_t)BIT(0))
#define INTERCEPT_NMI ((uint32_t)BIT(1))
#define INTERCEPT_INIT ((uint32_t)BIT(3))
#define INTERCEPT_VINTR ((uint32_t)BIT(4))
#define INTERCEPT_RDPMC ((uint32_t)BIT(15))
#define INTERCEPT_CPUID ((uint32_t)BIT(18))
#define INTERCEPT_IRET ((uint32_t)BIT(20))
#define INTERCEPT_INVD ((uint32_t)BIT(22))
#define INTERCEPT_PAUSE ((uint32_t)BIT(23))
#define INTERCEPT_HLT ((uint32_t)BIT(24))
#define INTERCEPT_INVLPGA ((uint32_t)BIT(26))
#define INTERCEPT_IO ((uint32_t)BIT(27))
#define INTERCEPT_MSR ((uint32_t)BIT(28))
#define INTERCEPT_TASK_SWITCH ((uint32_t)BIT(29))
#define INTERCEPT_SHUTDOWN ((uint32_t)BIT(31))

/* Offset 010h */
#define INTERCEPT_VMRUN ((uint32_t)BIT(0))
#define INTERCEPT_VMMCALL ((uint32_t)BIT(1))
#define INTERCEPT_VMLOAD ((uint32_t)BIT(2))
#define INTERCEPT_VMSAVE ((uint32_t)BIT(3))
#define INTERCEPT_STGI ((uint32_t)BIT(4))
#define INTERCEPT_CLGI ((uint32_t)BIT(5))
#define INTERCEPT_SKINIT ((uint32_t)BIT(6))
#define INTERCEPT_WBINVD ((uint32_t)BIT(9))
#define INTERCEPT_MONITOR ((uint32_t)BIT(10))
#define INTERCEPT_MWAIT ((uint32_t)BIT(11))
#define INTERCEPT_MWAIT_ARMED ((uint32_t)BIT(12))
#define INTERCEPT_XSETBV ((uint32_t)BIT(13))
#define INTERCEPT_RDPRU ((uint32_t)BIT(14))

enum vmcb_tlb_control { TLB_CONTROL_NOTHING = 0, TLB_CONTROL_FLUSH_ALL = 1, TLB_CONTROL_FLUSH_ASID = 3 };

/* "Virtual Interrupts": offset 060h */
#define VIRTUAL_INTERRUPT_REQUEST BIT(8)
#define VIRTUAL_INTERRUPT_PRIORITY BITS(19, 16)
#define VIRTUAL_INTERRUPT_IGNORE_TPR BIT(20)
#define VIRTUAL_INTERRUPT_MASKING BIT(24)

#define INTERRUPT_SHADOW BIT(0)
#define NESTED_PAGING BIT(0)
#define LBR_VIRTUALIZATION BIT(0)

/* "Event Injection"; EXITINTINFO has the same form. */
#define EVENT_VECTOR BITS(7, 0)
#define EVENT_TYPE BITS(10, 8)
#define EVENT_TYPE_SHIFT 8
#define EVENT_ERROR_CODE BIT(11)
#define EVENT_VALID BIT(31)
#define EVENT_CODE_SHIFT 32
enum vmcb_event_type { EVENT_INTERRUPT = 0, EVENT_NMI = 2, EVENT_EXCEPTION = 3, EVENT_SOFTWARE_INTERRUPT = 4 };

/* attributes: type [3:0], S 4, DPL [6:5], P 7, AVL 8, L 9, D/B 10, G 11. */
struct vmcb_segment {
	uint16_t selector, attributes;
	uint32_t limit;
	uint64_t base;
};
#define VMCB_SEGMENT_PRESENT BIT(7)
#define VMCB_SEGMENT_DPL_SHIFT 5

struct vmcb {
	uint32_t intercept_cr, intercept_dr, intercept_exceptions, intercept_1, intercept_2, intercept_3;
	uint8_t reserved_018[0x3c - 0x18];
	uint16_t pause_filter_threshold, pause_filter_count;
	uint64_t io_permissions, msr_permissions;
	uint64_t tsc_offset;
	uint32_t asid;
	uint8_t tlb_control, reserved_05d[3];
	uint64_t virtual_interrupt; /* the vector in the upper half */
	uint64_t interrupt_state;
	uint64_t exit_code, exit_info_1, exit_info_2, exit_interrupt_info;
	uint64_t nested_control;
	uint8_t reserved_098[0xa8 - 0x98];
	uint64_t event_injection;
	uint64_t nested_cr3;
	uint64_t lbr_control;
	uint64_t clean; /* nothing is ever told to be clean */
	uint64_t next_rip;
	uint8_t fetched_count, fetched[15];
	uint8_t reserved_0e0[0x400 - 0xe0];
	/* "VMCB, State Save Area" */
	struct vmcb_segment segments[VIRT_GS + 1]; /* as enum virt_segment_name counts */
	struct vmcb_segment gdtr, ldtr, idtr, tr;
	uint8_t reserved_4a0[0x4cb - 0x4a0];
	uint8_t cpl, reserved_4cc[4];
	uint64_t efer;
	uint8_t reserved_4d8[0x548 - 0x4d8];
	uint64_t cr4, cr3, cr0, dr7, dr6, rflags, rip;
	uint8_t reserved_580[0x5d8 - 0x580];
	uint64_t rsp;
	uint8_t reserved_5e0[0x5f8 - 0x5e0];
	uint64_t rax, star, lstar, cstar, sfmask, kernel_gs_base, sysenter_cs, sysenter_esp, sysenter_eip, cr2;
	uint8_t reserved_648[0x668 - 0x648];
	uint64_t pat, debugctl;
	uint8_t reserved_678[0x1000 - 0x678];
};
_Static_assert(sizeof(struct vmcb) == 0x1000, "a VMCB is a page");
_Static_assert(offsetof(struct vmcb, pause_filter_threshold) == 0x3c && offsetof(struct vmcb, io_permissions) == 0x40, "control area");
_Static_assert(offsetof(struct vmcb, virtual_interrupt) == 0x60 && offsetof(struct vmcb, exit_code) == 0x70, "control area");
_Static_assert(offsetof(struct vmcb, nested_control) == 0x90 && offsetof(struct vmcb, event_injection) == 0xa8, "control area");
_Static_assert(offsetof(struct vmcb, clean) == 0xc0 && offsetof(struct vmcb, fetched) == 0xd1, "control area");
_Static_assert(offsetof(struct vmcb, gdtr) == 0x460 && offsetof(struct vmcb, tr) == 0x490 && offsetof(struct vmcb, cpl) == 0x4cb, "state");
_Static_assert(offsetof(struct vmcb, efer) == 0x4d0 && offsetof(struct vmcb, rip) == 0x578 && offsetof(struct vmcb, rsp) == 0x5d8, "state");
_Static_assert(offsetof(struct vmcb, rax) == 0x5f8 && offsetof(struct vmcb, cr2) == 0x640 && offsetof(struct vmcb, pat) == 0x668, "state");

/* "SVM Intercept Codes" */
enum svm_exit_code {
	SVM_EXIT_READ_CR0 = 0x00, SVM_EXIT_WRITE_CR0 = 0x10, SVM_EXIT_READ_DR0 = 0x20, SVM_EXIT_WRITE_DR0 = 0x30, SVM_EXIT_EXCEPTION = 0x40,
	SVM_EXIT_INTR = 0x60, SVM_EXIT_NMI = 0x61, SVM_EXIT_VINTR = 0x64, SVM_EXIT_CPUID = 0x72,
	SVM_EXIT_IRET = 0x74, SVM_EXIT_HLT = 0x78, SVM_EXIT_IO = 0x7b, SVM_EXIT_MSR = 0x7c, SVM_EXIT_SHUTDOWN = 0x7f,
	SVM_EXIT_VMMCALL = 0x81, SVM_EXIT_XSETBV = 0x8d, SVM_EXIT_LOW_COUNT = 0xa5, SVM_EXIT_NESTED_PAGE_FAULT = 0x400,
};
#define SVM_EXIT_INVALID (~(uint32_t)0) /* in the lower half; not every CPU writes the other */

/* "I/O Intercepts": EXITINFO1 */
#define IO_INFO_IN BIT(0)
#define IO_INFO_STRING BIT(2)
#define IO_INFO_REPEAT BIT(3)
#define IO_INFO_ADDRESS_16 BIT(7)
#define IO_INFO_ADDRESS_32 BIT(8)
#define IO_INFO_ADDRESS_64 BIT(9)

/* "MOV CRx/DRx Intercepts" with decode assists: EXITINFO1 */
#define CR_INFO_IS_MOV BIT(63)
#define CR_INFO_GPR BITS(3, 0)

/* "Nested versus Guest Page Faults, Fault Ordering": EXITINFO1 */
#define NESTED_INFO_WRITE BIT(1)
#define NESTED_INFO_FETCH BIT(4)
#define NESTED_INFO_TABLE_WALK BIT(33)
