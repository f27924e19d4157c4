#include "arch/x86/virt_dump.h"
#include "arch/x86/vmx/entry_checks.h"
#include "arch/x86/vmx/vmcs.h"
#include "arch/x86/vmx/vmx.h"

static const struct virt_bit_name pin_names[] = {
	{PIN_EXTERNAL_INTERRUPT_EXITING, "external-interrupt exiting"}, {PIN_NMI_EXITING, "NMI exiting"}, {PIN_VIRTUAL_NMIS, "virtual NMIs"},
	{PIN_PREEMPTION_TIMER, "preemption timer"}, {PIN_POSTED_INTERRUPTS, "posted interrupts"}, {0, NULL},
};

static const struct virt_bit_name primary_names[] = {
	{PRIMARY_INTERRUPT_WINDOW, "interrupt window"}, {PRIMARY_TSC_OFFSETTING, "TSC offsetting"}, {PRIMARY_HLT_EXITING, "HLT"},
	{PRIMARY_INVLPG_EXITING, "INVLPG"}, {PRIMARY_MWAIT_EXITING, "MWAIT"}, {PRIMARY_RDPMC_EXITING, "RDPMC"}, {PRIMARY_RDTSC_EXITING, "RDTSC"},
	{PRIMARY_CR3_LOAD_EXITING, "CR3 load"}, {PRIMARY_CR3_STORE_EXITING, "CR3 store"}, {PRIMARY_CR8_LOAD_EXITING, "CR8 load"},
	{PRIMARY_CR8_STORE_EXITING, "CR8 store"}, {PRIMARY_TPR_SHADOW, "TPR shadow"}, {PRIMARY_NMI_WINDOW, "NMI window"},
	{PRIMARY_MOV_DR_EXITING, "MOV DR"}, {PRIMARY_IO_BITMAPS, "I/O bitmaps"}, {PRIMARY_MSR_BITMAPS, "MSR bitmaps"},
	{PRIMARY_MONITOR_EXITING, "MONITOR"}, {PRIMARY_SECONDARY, "secondary controls"}, {0, NULL},
};

static const struct virt_bit_name secondary_names[] = {
	{SECONDARY_VIRTUALIZE_APIC, "virtualize APIC accesses"}, {SECONDARY_EPT, "EPT"}, {SECONDARY_RDTSCP, "RDTSCP"},
	{SECONDARY_VIRTUALIZE_X2APIC, "virtualize x2APIC"}, {SECONDARY_VPID, "VPID"}, {SECONDARY_WBINVD_EXITING, "WBINVD"},
	{SECONDARY_UNRESTRICTED_GUEST, "unrestricted guest"}, {SECONDARY_APIC_REGISTER_VIRTUALIZATION, "APIC-register virtualization"},
	{SECONDARY_VIRTUAL_INTERRUPT_DELIVERY, "virtual-interrupt delivery"}, {SECONDARY_PAUSE_LOOP_EXITING, "PAUSE-loop exiting"},
	{SECONDARY_INVPCID, "INVPCID"}, {SECONDARY_XSAVES, "XSAVES"}, {0, NULL},
};

static struct vmx_guest_segment snapshot_segment(struct virt_vcpu *vcpu, enum virt_segment_name name)
{
	struct virt_segment s;

	vmx_segment_read(vcpu, name, &s);
	return (struct vmx_guest_segment){s.selector, s.limit, s.attributes, s.base};
}

static void take_snapshot(struct virt_vcpu *vcpu, struct vmx_guest_snapshot *s)
{
	*s = (struct vmx_guest_snapshot){
		.cr0 = vmcs_read_natural(VMCS_GUEST_CR0), .cr3 = vmcs_read_natural(VMCS_GUEST_CR3), .cr4 = vmcs_read_natural(VMCS_GUEST_CR4),
		.efer = vmcs_read_64(VMCS_GUEST_EFER), .rip = vmcs_read_natural(VMCS_GUEST_RIP), .rflags = vmcs_read_natural(VMCS_GUEST_RFLAGS),
		.dr7 = vmcs_read_natural(VMCS_GUEST_DR7), .link_pointer = vmcs_read_64(VMCS_GUEST_LINK_POINTER), .pat = vmcs_read_64(VMCS_GUEST_PAT),
		.cr0_must_be_one = vmx_settings.cr0_must_be_one, .cr4_must_be_one = vmx_settings.cr4_must_be_one, .cr4_allowed = vmx_settings.cr4_allowed,
		.entry_controls = vmcs_read_32(VMCS_CONTROL_ENTRY), .activity = vmcs_read_32(VMCS_GUEST_ACTIVITY_STATE),
		.interruptibility = vmcs_read_32(VMCS_GUEST_INTERRUPTIBILITY),
		.entry_interruption_info = vmcs_read_32(VMCS_CONTROL_ENTRY_INTERRUPTION_INFO),
		.cs = snapshot_segment(vcpu, VIRT_CS), .ss = snapshot_segment(vcpu, VIRT_SS), .ds = snapshot_segment(vcpu, VIRT_DS),
		.es = snapshot_segment(vcpu, VIRT_ES), .fs = snapshot_segment(vcpu, VIRT_FS), .gs = snapshot_segment(vcpu, VIRT_GS),
		.tr = snapshot_segment(vcpu, VIRT_TR), .ldtr = snapshot_segment(vcpu, VIRT_LDTR),
		.gdtr_base = vmcs_read_natural(VMCS_GUEST_GDTR_BASE), .idtr_base = vmcs_read_natural(VMCS_GUEST_IDTR_BASE),
		.gdtr_limit = vmcs_read_32(VMCS_GUEST_GDTR_LIMIT), .idtr_limit = vmcs_read_32(VMCS_GUEST_IDTR_LIMIT),
	};
}

static void dump_entry_checks(struct virt_vcpu *vcpu, virt_print print)
{
	struct vmx_guest_snapshot snapshot;
	const char *why;
	bool failed, any = false;

	take_snapshot(vcpu, &snapshot);
	for (unsigned i = 0; vmx_entry_check(&snapshot, i, &why, &failed); i++) {
		if (failed)
			print("  entry check fails: %s\n", why);
		any |= failed;
	}
	if (!any)
		print("  entry checks: all that are known here hold\n");
}

void vmx_dump(struct virt_vcpu *vcpu, virt_print print)
{
	uint32_t reason = vmcs_read_32(VMCS_DATA_EXIT_REASON);
	const char *name = vmx_reason_name(reason & EXIT_REASON_BASIC);

	print("last exit: %u (%s)%s, qualification %016llx, instruction length %u\n", (unsigned)(reason & EXIT_REASON_BASIC), name ? name : "unknown",
	      reason & EXIT_REASON_ENTRY_FAILURE ? ", VM entry failed" : "", (unsigned long long)vmcs_read_natural(VMCS_DATA_EXIT_QUALIFICATION),
	      vmcs_read_32(VMCS_DATA_INSTRUCTION_LENGTH));
	print("  guest physical %016llx, guest linear %016llx, IDT vectoring %08x, VM-instruction error %u\n",
	      (unsigned long long)vmcs_read_64(VMCS_DATA_GUEST_PHYSICAL_ADDRESS), (unsigned long long)vmcs_read_natural(VMCS_DATA_GUEST_LINEAR_ADDRESS),
	      vmcs_read_32(VMCS_DATA_IDT_VECTORING_INFO), vmcs_read_32(VMCS_DATA_INSTRUCTION_ERROR));
	print("guest state:\n");
	virt_dump_registers(vcpu, print);
	print("  in the CPU: cr0 %08llx, cr4 %08llx\n", (unsigned long long)vmcs_read_natural(VMCS_GUEST_CR0),
	      (unsigned long long)vmcs_read_natural(VMCS_GUEST_CR4));
	virt_dump_segments(vcpu, print);
	print("  activity %u, interruptibility %x, event to inject %08x\n", vmcs_read_32(VMCS_GUEST_ACTIVITY_STATE),
	      vmcs_read_32(VMCS_GUEST_INTERRUPTIBILITY), vmcs_read_32(VMCS_CONTROL_ENTRY_INTERRUPTION_INFO));
	print("controls:\n");
	virt_dump_bits(print, "pin", vmcs_read_32(VMCS_CONTROL_PIN_BASED), pin_names);
	virt_dump_bits(print, "primary", vmcs_read_32(VMCS_CONTROL_PRIMARY), primary_names);
	virt_dump_bits(print, "secondary", vmcs_read_32(VMCS_CONTROL_SECONDARY), secondary_names);
	print("  exit %08x, entry %08x, EPT pointer %llx, VPID %u, TSC offset %lld\n", vmcs_read_32(VMCS_CONTROL_EXIT),
	      vmcs_read_32(VMCS_CONTROL_ENTRY), (unsigned long long)vmcs_read_64(VMCS_CONTROL_EPT_POINTER),
	      vmx_settings.has_vpid ? vmcs_read_16(VMCS_CONTROL_VPID) : 0u, (long long)vmcs_read_64(VMCS_CONTROL_TSC_OFFSET));
	dump_entry_checks(vcpu, print);
}
