#include "arch/x86/cpu/gdt.h"
#include "arch/x86/cr.h"
#include "arch/x86/exception.h"
#include "arch/x86/insn.h"
#include "arch/x86/msr.h"
#include "arch/x86/pcpu.h"
#include "arch/x86/vmx/vm_state.h"
#include "arch/x86/vmx/vmcs.h"
#include "arch/x86/vmx/vmx.h"

/* CR0: the guest changes these by itself; all others exit. NW and CD exit so that a guest cannot switch off the host's
 * caches; PE and PG because paging mode and EFER.LMA go together. */
#define CR0_GUEST_OWNED (CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_WP | CR0_AM)

/* #DB and #AC are intercepted and given back: their delivery could otherwise recurse for ever inside the CPU, where no
 * timer or interrupt gets through. #MC is the host's. */
#define EXCEPTIONS_INTERCEPTED (BIT(EXCEPTION_DB) | BIT(EXCEPTION_AC) | BIT(EXCEPTION_MC))

/* "Pause-Loop Exiting": PAUSEs closer together than the gap are one loop, which exits when it lasts longer than the window
 * [TSC ticks]. A lock is rarely held that long by a vCPU that runs. */
#define PAUSE_LOOP_GAP 128u
#define PAUSE_LOOP_WINDOW 4096u

#define PAT_POWER_ON 0x0007040600070406ull
#define ACCESS_RIGHTS_CODE 0x9bu     /* present, code, accessed, readable */
#define ACCESS_RIGHTS_DATA 0x93u     /* present, data, accessed, writable */
#define ACCESS_RIGHTS_LDT 0x82u
#define ACCESS_RIGHTS_TSS_BUSY 0x8bu

struct field_32 { enum vmcs_field_32 field; uint32_t value; };

static const struct field_32 power_on_32[] = {
	{VMCS_CONTROL_EXCEPTION_BITMAP, EXCEPTIONS_INTERCEPTED},
	{VMCS_CONTROL_PAGE_FAULT_MASK, 0},
	{VMCS_CONTROL_PAGE_FAULT_MATCH, 0},
	{VMCS_CONTROL_CR3_TARGET_COUNT, 0},
	{VMCS_CONTROL_EXIT_MSR_STORE_COUNT, 0},
	{VMCS_CONTROL_EXIT_MSR_LOAD_COUNT, 0},
	{VMCS_CONTROL_ENTRY_MSR_LOAD_COUNT, 0},
	{VMCS_GUEST_SYSENTER_CS, 0},
	{VMCS_HOST_SYSENTER_CS, 0},
};

/* SDM Vol. 3A "Processor State After Reset": what INIT sets. */
static const struct field_32 init_32[] = {
	{VMCS_CONTROL_ENTRY_INTERRUPTION_INFO, 0},
	{VMCS_GUEST_INTERRUPTIBILITY, 0},
	{VMCS_GUEST_ACTIVITY_STATE, 0},
	{VMCS_GUEST_ES_LIMIT, 0xffff}, {VMCS_GUEST_CS_LIMIT, 0xffff}, {VMCS_GUEST_SS_LIMIT, 0xffff}, {VMCS_GUEST_DS_LIMIT, 0xffff},
	{VMCS_GUEST_FS_LIMIT, 0xffff}, {VMCS_GUEST_GS_LIMIT, 0xffff}, {VMCS_GUEST_LDTR_LIMIT, 0xffff}, {VMCS_GUEST_TR_LIMIT, 0xffff},
	{VMCS_GUEST_GDTR_LIMIT, 0xffff}, {VMCS_GUEST_IDTR_LIMIT, 0xffff},
	{VMCS_GUEST_ES_ACCESS_RIGHTS, ACCESS_RIGHTS_DATA}, {VMCS_GUEST_CS_ACCESS_RIGHTS, ACCESS_RIGHTS_CODE},
	{VMCS_GUEST_SS_ACCESS_RIGHTS, ACCESS_RIGHTS_DATA}, {VMCS_GUEST_DS_ACCESS_RIGHTS, ACCESS_RIGHTS_DATA},
	{VMCS_GUEST_FS_ACCESS_RIGHTS, ACCESS_RIGHTS_DATA}, {VMCS_GUEST_GS_ACCESS_RIGHTS, ACCESS_RIGHTS_DATA},
	{VMCS_GUEST_LDTR_ACCESS_RIGHTS, ACCESS_RIGHTS_LDT}, {VMCS_GUEST_TR_ACCESS_RIGHTS, ACCESS_RIGHTS_TSS_BUSY},
};

static const enum vmcs_field_16 zero_selectors[] = {
	VMCS_GUEST_ES_SELECTOR, VMCS_GUEST_SS_SELECTOR, VMCS_GUEST_DS_SELECTOR, VMCS_GUEST_FS_SELECTOR, VMCS_GUEST_GS_SELECTOR,
	VMCS_GUEST_LDTR_SELECTOR, VMCS_GUEST_TR_SELECTOR,
};

static const enum vmcs_field_natural zero_natural[] = {
	VMCS_GUEST_CR3, VMCS_GUEST_ES_BASE, VMCS_GUEST_SS_BASE, VMCS_GUEST_DS_BASE, VMCS_GUEST_FS_BASE, VMCS_GUEST_GS_BASE,
	VMCS_GUEST_LDTR_BASE, VMCS_GUEST_TR_BASE, VMCS_GUEST_GDTR_BASE, VMCS_GUEST_IDTR_BASE, VMCS_GUEST_RSP,
	VMCS_GUEST_PENDING_DEBUG_EXCEPTIONS,
};

/* Nobody else could let a lone vCPU's loop end. */
static void setup_pause_loop_exiting(struct virt_vcpu *vcpu)
{
	if (!vmx_settings.has_pause_loop_exiting || vcpu->vm->backend->vcpu_count < 2)
		return;
	vcpu->backend->secondary_controls |= SECONDARY_PAUSE_LOOP_EXITING;
	vmcs_write_32(VMCS_CONTROL_PAUSE_LOOP_GAP, PAUSE_LOOP_GAP);
	vmcs_write_32(VMCS_CONTROL_PAUSE_LOOP_WINDOW, PAUSE_LOOP_WINDOW);
}

static void setup_controls(struct virt_vcpu *vcpu)
{
	struct virt_vcpu_backend *backend = vcpu->backend;
	struct virt_vm_backend *vm = vcpu->vm->backend;

	backend->primary_controls = vmx_settings.controls[VMX_PRIMARY];
	backend->secondary_controls = vmx_settings.controls[VMX_SECONDARY];
	backend->entry_controls = vmx_settings.controls[VMX_ENTRY];
	setup_pause_loop_exiting(vcpu);
	vmcs_write_32(VMCS_CONTROL_PIN_BASED, vmx_settings.controls[VMX_PIN]);
	vmcs_write_32(VMCS_CONTROL_PRIMARY, backend->primary_controls);
	vmcs_write_32(VMCS_CONTROL_SECONDARY, backend->secondary_controls);
	vmcs_write_32(VMCS_CONTROL_EXIT, vmx_settings.controls[VMX_EXIT]);
	vmcs_write_32(VMCS_CONTROL_ENTRY, backend->entry_controls);
	vmcs_write_64(VMCS_CONTROL_IO_BITMAP_A, vm->io_bitmaps.value);
	vmcs_write_64(VMCS_CONTROL_IO_BITMAP_B, vm->io_bitmaps.value + PAGE_SIZE);
	vmcs_write_64(VMCS_CONTROL_MSR_BITMAPS, vm->msr_bitmaps.value);
	vmcs_write_64(VMCS_CONTROL_EPT_POINTER, vm->ept_pointer);
	vmcs_write_64(VMCS_CONTROL_TSC_OFFSET, vcpu->tsc_offset);
	if (vmx_settings.has_vpid)
		vmcs_write_16(VMCS_CONTROL_VPID, backend->vpid);
	vmx_apic_setup(vcpu);
}

static void write_fields_32(const struct field_32 *fields, size_t count)
{
	for (size_t i = 0; i < count; i++)
		vmcs_write_32(fields[i].field, fields[i].value);
}

static void setup_power_on(void)
{
	write_fields_32(power_on_32, array_count(power_on_32));
	vmcs_write_natural(VMCS_GUEST_SYSENTER_ESP, 0);
	vmcs_write_natural(VMCS_GUEST_SYSENTER_EIP, 0);
	vmcs_write_64(VMCS_GUEST_LINK_POINTER, ~0ull);
	vmcs_write_64(VMCS_GUEST_DEBUGCTL, 0);
	vmcs_write_64(VMCS_GUEST_PAT, PAT_POWER_ON);
}

static void setup_init(void)
{
	write_fields_32(init_32, array_count(init_32));
	for (size_t i = 0; i < array_count(zero_selectors); i++)
		vmcs_write_16(zero_selectors[i], 0);
	for (size_t i = 0; i < array_count(zero_natural); i++)
		vmcs_write_natural(zero_natural[i], 0);
	vmcs_write_16(VMCS_GUEST_CS_SELECTOR, 0xf000);
	vmcs_write_natural(VMCS_GUEST_CS_BASE, 0xffff0000);
	vmcs_write_natural(VMCS_GUEST_RIP, 0xfff0);
	vmcs_write_natural(VMCS_GUEST_RFLAGS, RFLAGS_FIXED);
	vmcs_write_natural(VMCS_GUEST_DR7, DR7_FIXED);
	vmcs_write_64(VMCS_GUEST_EFER, 0);
}

static void setup_control_registers(struct virt_vcpu *vcpu)
{
	/* CR4 bits outside the CPU's own are trapped and refused; VMXE, SMXE, LA57, CET and PKS are not for guests. */
	uint64_t cr4_guest_owned = vmx_settings.cr4_allowed &
				   ~(vmx_settings.cr4_must_be_one | CR4_VMXE | CR4_SMXE | CR4_LA57 | CR4_CET | CR4_PKS | CR4_PCIDE | CR4_PAE | CR4_MCE |
				     CR4_OSXSAVE);

	vmcs_write_natural(VMCS_CONTROL_CR0_MASK, ~CR0_GUEST_OWNED);
	vmcs_write_natural(VMCS_CONTROL_CR4_MASK, ~cr4_guest_owned);
	vmx_register_write(vcpu, VIRT_CR0, CR0_ET);
	vmx_register_write(vcpu, VIRT_CR4, 0);
}

void vmx_vmcs_setup_host(void)
{
	struct pcpu *pcpu = pcpu_current();
	struct descriptor_table_register gdtr, idtr;

	insn_sgdt(&gdtr);
	insn_sidt(&idtr);
	vmcs_write_natural(VMCS_HOST_CR0, insn_read_cr0());
	vmcs_write_natural(VMCS_HOST_CR3, insn_read_cr3());
	vmcs_write_natural(VMCS_HOST_CR4, insn_read_cr4());
	vmcs_write_16(VMCS_HOST_CS_SELECTOR, GDT_SELECTOR_CODE);
	vmcs_write_16(VMCS_HOST_SS_SELECTOR, GDT_SELECTOR_DATA);
	vmcs_write_16(VMCS_HOST_DS_SELECTOR, GDT_SELECTOR_DATA);
	vmcs_write_16(VMCS_HOST_ES_SELECTOR, GDT_SELECTOR_DATA);
	vmcs_write_16(VMCS_HOST_FS_SELECTOR, 0);
	vmcs_write_16(VMCS_HOST_GS_SELECTOR, 0);
	vmcs_write_16(VMCS_HOST_TR_SELECTOR, GDT_SELECTOR_TSS);
	vmcs_write_natural(VMCS_HOST_FS_BASE, 0);
	vmcs_write_natural(VMCS_HOST_GS_BASE, (uintptr_t)pcpu);
	vmcs_write_natural(VMCS_HOST_TR_BASE, (uintptr_t)&((struct gdt_tables *)pcpu->descriptor_tables)->tss);
	vmcs_write_natural(VMCS_HOST_GDTR_BASE, gdtr.base);
	vmcs_write_natural(VMCS_HOST_IDTR_BASE, idtr.base);
	vmcs_write_natural(VMCS_HOST_SYSENTER_ESP, 0);
	vmcs_write_natural(VMCS_HOST_SYSENTER_EIP, 0);
	vmcs_write_natural(VMCS_HOST_RIP, (uintptr_t)vmx_exit_entry_point);
	vmcs_write_64(VMCS_HOST_PAT, insn_rdmsr(MSR_PAT));
	vmcs_write_64(VMCS_HOST_EFER, insn_rdmsr(MSR_EFER));
}

void vmx_vmcs_setup(struct virt_vcpu *vcpu)
{
	setup_controls(vcpu);
	setup_power_on();
	setup_init();
	setup_control_registers(vcpu);
}

void vmx_vcpu_enter_init(struct virt_vcpu *vcpu)
{
	uint64_t cache_control = vmx_register_read(vcpu, VIRT_CR0) & (CR0_CD | CR0_NW);

	vmx_interrupt_window(vcpu, false);
	vcpu->backend->event_queued = false;
	setup_init();
	vmx_register_write(vcpu, VIRT_CR0, CR0_ET | cache_control);
	vmx_register_write(vcpu, VIRT_CR4, 0);
	vmx_register_write(vcpu, VIRT_CR2, 0);
	insn_write_dr0(0);
	insn_write_dr1(0);
	insn_write_dr2(0);
	insn_write_dr3(0);
	insn_write_dr6(DR6_FIXED);
	vmx_vcpu_flush(vcpu);
}
