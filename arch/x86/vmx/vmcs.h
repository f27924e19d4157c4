/*
 * Access to the current VMCS by typed fields, and the bits of its control and information words. The VMCS of the field's
 * vCPU must be current on this CPU. SDM Vol. 3C "Virtual Machine Control Structures".
 */
#pragma once

#include "arch/x86/insn.h"
#include "arch/x86/vmx/vmcs_fields.h"
#include "lib/bits.h"

static always_inline uint16_t vmcs_read_16(enum vmcs_field_16 field) { return (uint16_t)insn_vmread(field); }
static always_inline uint32_t vmcs_read_32(enum vmcs_field_32 field) { return (uint32_t)insn_vmread(field); }
static always_inline uint64_t vmcs_read_64(enum vmcs_field_64 field) { return insn_vmread(field); }
static always_inline uint64_t vmcs_read_natural(enum vmcs_field_natural field) { return insn_vmread(field); }
static always_inline void vmcs_write_16(enum vmcs_field_16 field, uint16_t value) { insn_vmwrite(field, value); }
static always_inline void vmcs_write_32(enum vmcs_field_32 field, uint32_t value) { insn_vmwrite(field, value); }
static always_inline void vmcs_write_64(enum vmcs_field_64 field, uint64_t value) { insn_vmwrite(field, value); }
static always_inline void vmcs_write_natural(enum vmcs_field_natural field, uint64_t value) { insn_vmwrite(field, value); }

/* "Pin-Based VM-Execution Controls" */
#define PIN_EXTERNAL_INTERRUPT_EXITING BIT(0)
#define PIN_NMI_EXITING BIT(3)
#define PIN_VIRTUAL_NMIS BIT(5)
#define PIN_PREEMPTION_TIMER BIT(6)
#define PIN_POSTED_INTERRUPTS BIT(7)

/* "Processor-Based VM-Execution Controls": primary */
#define PRIMARY_INTERRUPT_WINDOW BIT(2)
#define PRIMARY_TSC_OFFSETTING BIT(3)
#define PRIMARY_HLT_EXITING BIT(7)
#define PRIMARY_INVLPG_EXITING BIT(9)
#define PRIMARY_MWAIT_EXITING BIT(10)
#define PRIMARY_RDPMC_EXITING BIT(11)
#define PRIMARY_RDTSC_EXITING BIT(12)
#define PRIMARY_CR3_LOAD_EXITING BIT(15)
#define PRIMARY_CR3_STORE_EXITING BIT(16)
#define PRIMARY_CR8_LOAD_EXITING BIT(19)
#define PRIMARY_CR8_STORE_EXITING BIT(20)
#define PRIMARY_TPR_SHADOW BIT(21)
#define PRIMARY_NMI_WINDOW BIT(22)
#define PRIMARY_MOV_DR_EXITING BIT(23)
#define PRIMARY_IO_BITMAPS BIT(25)
#define PRIMARY_MSR_BITMAPS BIT(28)
#define PRIMARY_MONITOR_EXITING BIT(29)
#define PRIMARY_SECONDARY BIT(31)

/* secondary */
#define SECONDARY_VIRTUALIZE_APIC BIT(0)
#define SECONDARY_EPT BIT(1)
#define SECONDARY_RDTSCP BIT(3)
#define SECONDARY_VIRTUALIZE_X2APIC BIT(4)
#define SECONDARY_VPID BIT(5)
#define SECONDARY_WBINVD_EXITING BIT(6)
#define SECONDARY_UNRESTRICTED_GUEST BIT(7)
#define SECONDARY_APIC_REGISTER_VIRTUALIZATION BIT(8)
#define SECONDARY_VIRTUAL_INTERRUPT_DELIVERY BIT(9)
#define SECONDARY_PAUSE_LOOP_EXITING BIT(10)
#define SECONDARY_INVPCID BIT(12)
#define SECONDARY_XSAVES BIT(20)

/* "VM-Exit Controls", "VM-Entry Controls" */
#define EXIT_SAVE_DEBUG_CONTROLS BIT(2)
#define EXIT_HOST_64BIT BIT(9)
#define EXIT_ACKNOWLEDGE_INTERRUPT BIT(15)
#define EXIT_SAVE_PAT BIT(18)
#define EXIT_LOAD_PAT BIT(19)
#define EXIT_SAVE_EFER BIT(20)
#define EXIT_LOAD_EFER BIT(21)
#define ENTRY_LOAD_DEBUG_CONTROLS BIT(2)
#define ENTRY_IA32E_GUEST BIT(9)
#define ENTRY_LOAD_PAT BIT(14)
#define ENTRY_LOAD_EFER BIT(15)

/* "Format of the VM-Entry Interruption-Information Field" and its like */
#define INTERRUPTION_VECTOR BITS(7, 0)
#define INTERRUPTION_TYPE BITS(10, 8)
#define INTERRUPTION_TYPE_SHIFT 8
#define INTERRUPTION_ERROR_CODE BIT(11)
#define INTERRUPTION_NMI_UNBLOCKING BIT(12)
#define INTERRUPTION_VALID BIT(31)
enum interruption_type {
	INTERRUPTION_EXTERNAL = 0, INTERRUPTION_NMI = 2, INTERRUPTION_HARDWARE_EXCEPTION = 3, INTERRUPTION_SOFTWARE_INTERRUPT = 4,
	INTERRUPTION_PRIVILEGED_SOFTWARE_EXCEPTION = 5, INTERRUPTION_SOFTWARE_EXCEPTION = 6,
};

/* "Guest Non-Register State": interruptibility */
#define INTERRUPTIBILITY_STI BIT(0)
#define INTERRUPTIBILITY_MOV_SS BIT(1)
#define INTERRUPTIBILITY_NMI BIT(3)
#define INTERRUPTIBILITY_SHADOW (INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS)

/* "Exit Qualification for APIC-Access VM Exits": access types of linear accesses */
enum { APIC_ACCESS_READ = 0, APIC_ACCESS_WRITE = 1, APIC_ACCESS_FETCH = 2 };

#define PENDING_DEBUG_BS BIT(14)
#define EXIT_REASON_BASIC BITS(15, 0)
#define EXIT_REASON_ENTRY_FAILURE BIT(31)
