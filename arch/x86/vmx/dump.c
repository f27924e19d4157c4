#include "arch/x86/vmx/entry_checks.h"
#include "arch/x86/vmx/vmcs.h"
#include "arch/x86/vmx/vmx.h"

struct control_name { uint32_t bit; const char *name; };

static const struct control_name pin_names[] = {
	{PIN_EXTERNAL_INTERRUPT_EXITING, "external-interrupt exiting"}, {PIN_NMI_EXITING, "NMI exiting"}, {PIN_VIRTUAL_NMIS, "virtual NMIs"},
	{PIN_PREEMPTION_TIMER, "preemption timer"}, {PIN_POSTED_INTERRUPTS, "posted interrupts"}, {0, NULL},
};

static const struct control_name primary_names[] = {
	{PRIMARY_INTERRUPT_WINDOW, "interrupt window"}, {PRIMARY_TSC_OFFSETTING, "TSC offsetting"}, {PRIMARY_HLT_EXITING, "HLT"},
	{PRIMARY_INVLPG_EXITING, "INVLPG"}, {PRIMARY_MWAIT_EXITING, "MWAIT"}, {PRIMARY_RDPMC_EXITING, "RDPMC"}, {PRIMARY_RDTSC_EXITING, "RDTSC"},
	{PRIMARY_CR3_LOAD_EXITING, "CR3 load"}, {PRIMARY_CR3_STORE_EXITING, "CR3 store"}, {PRIMARY_CR8_LOAD_EXITING, "CR8 load"},
	{PRIMARY_CR8_STORE_EXITING, "CR8 store"}, {PRIMARY_TPR_SHADOW, "TPR shadow"}, {PRIMARY_NMI_WINDOW, "NMI window"},
	{PRIMARY_MOV_DR_EXITING, "MOV DR"}, {PRIMARY_IO_BITMAPS, "I/O bitmaps"}, {PRIMARY_MSR_BITMAPS, "MSR bitmaps"},
	{PRIMARY_MONITOR_EXITING, "MONITOR"}, {PRIMARY_SECONDARY, "secondary controls"}, {0, NULL},
};

static const struct control_name secondary_names[] = {
	{SECONDARY_VIRTUALIZE_APIC, "virtualize APIC accesses"}, {SECONDARY_EPT, "EPT"}, {SECONDARY_RDTSCP, "RDTSCP"},
	{SECONDARY_VIRTUALIZE_X2APIC, "virtualize x2APIC"}, {SECONDARY_VPID, "VPID"}, {SECONDARY_WBINVD_EXITING, "WBINVD"},
	{SECONDARY_UNRESTRICTED_GUEST, "unrestricted guest"}, {SECONDARY_APIC_REGISTER_VIRTUALIZATION, "APIC-register virtualization"},
	{SECONDARY_VIRTUAL_INTERRUPT_DELIVERY, "virtual-interrupt delivery"}, {SECONDARY_PAUSE_LOOP_EXITING, "PAUSE-loop exiting"},
	{SECONDARY_INVPCID, "INVPCID"}, {SECONDARY_XSAVES, "XSAVES"}, {0, NULL},
};

static void dump_controls(virt_print print, const char *title, uint32_t value, const struct control_name *names)
{
	print("  %-10s %08x:", title, value);
	for (; names->name; names++) {
		if (value & names->bit)
			print(" [%s]", names->name);
	}
	print("\n");
}

static const char *const segment_names[VIRT_SEGMENT_COUNT] = {"ES", "CS", "SS", "DS", "FS", "GS", "LDTR", "TR"};

static void dump_segments(struct virt_vcpu *vcpu, virt_print print)
{
	for (unsigned name = 0; name < VIRT_SEGMENT_COUNT; name++) {
		struct virt_segment s;
		vmx_segment_read(vcpu, (enum virt_segment_name)name, &s);
		print("  %-4s %04x base %016llx limit %08x rights %05x%s\n", segment_names[name], s.selector, (unsigned long long)s.base, s.limit,
		      s.attributes, s.attributes & VIRT_SEGMENT_UNUSABLE ? " (unusable)" : "");
	}
	print("  GDTR base %016llx limit %04x  IDTR base %016llx limit %04x\n", (unsigned long long)vmcs_read_natural(VMCS_GUEST_GDTR_BASE),
	      vmcs_read_32(VMCS_GUEST_GDTR_LIMIT), (unsigned long long)vmcs_read_natural(VMCS_GUEST_IDTR_BASE), vmcs_read_32(VMCS_GUEST_IDTR_LIMIT));
}

static void dump_registers(struct virt_vcpu *vcpu, virt_print print)
{
	static const char *const names[GPR_COUNT] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
						     "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"};

	for (unsigned i = 0; i < GPR_COUNT; i++) {
		uint64_t value = i == GPR_RSP ? vmcs_read_natural(VMCS_GUEST_RSP) : vcpu->gpr[i];
		print("  %-3s %016llx%s", names[i], (unsigned long long)value, i % 4 == 3 ? "\n" : "");
	}
	print("  rip %016llx  rflags %08llx  dr7 %08llx  efer %llx\n", (unsigned long long)vmcs_read_natural(VMCS_GUEST_RIP),
	      (unsigned long long)vmcs_read_natural(VMCS_GUEST_RFLAGS), (unsigned long long)vmcs_read_natural(VMCS_GUEST_DR7),
	      (unsigned long long)vmcs_read_64(VMCS_GUEST_EFER));
	print("  cr0 %08llx (guest sees %08llx)  cr2 %016llx  cr3 %016llx  cr4 %08llx (guest sees %08llx)\n", (unsigned long long)vmcs_read_natural(VMCS_GUEST_CR0),
	      (unsigned long long)vmx_register_read(vcpu, VIRT_CR0), (unsigned long long)vmx_register_read(vcpu, VIRT_CR2),
	      (unsigned long long)vmcs_read_natural(VMCS_GUEST_CR3),
	      (unsigned long long)vmcs_read_natural(VMCS_GUEST_CR4), (unsigned long long)vmx_register_read(vcpu, VIRT_CR4));
}

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
	dump_registers(vcpu, print);
	dump_segments(vcpu, print);
	print("  activity %u, interruptibility %x, event to inject %08x\n", vmcs_read_32(VMCS_GUEST_ACTIVITY_STATE),
	      vmcs_read_32(VMCS_GUEST_INTERRUPTIBILITY), vmcs_read_32(VMCS_CONTROL_ENTRY_INTERRUPTION_INFO));
	print("controls:\n");
	dump_controls(print, "pin", vmcs_read_32(VMCS_CONTROL_PIN_BASED), pin_names);
	dump_controls(print, "primary", vmcs_read_32(VMCS_CONTROL_PRIMARY), primary_names);
	dump_controls(print, "secondary", vmcs_read_32(VMCS_CONTROL_SECONDARY), secondary_names);
	print("  exit %08x, entry %08x, EPT pointer %llx, VPID %u, TSC offset %lld\n", vmcs_read_32(VMCS_CONTROL_EXIT),
	      vmcs_read_32(VMCS_CONTROL_ENTRY), (unsigned long long)vmcs_read_64(VMCS_CONTROL_EPT_POINTER),
	      vmx_settings.has_vpid ? vmcs_read_16(VMCS_CONTROL_VPID) : 0u, (long long)vmcs_read_64(VMCS_CONTROL_TSC_OFFSET));
	dump_entry_checks(vcpu, print);
}
