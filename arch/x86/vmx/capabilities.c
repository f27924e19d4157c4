#include "arch/x86/vmx/capabilities.h"

#include "arch/x86/insn.h"
#include "arch/x86/msr.h"
#include "arch/x86/vmx/vmcs.h"
#include "lib/bits.h"

struct control_row {
	enum vmx_control_word word;
	uint32_t bit;
	bool required;
	const char *name;
	const char *cost; /* of its absence; for a required one: the reason given to the user */
};

static const struct control_row control_rows[] = {
	{VMX_PIN, PIN_EXTERNAL_INTERRUPT_EXITING, true, "external-interrupt exiting", "no external-interrupt exiting"},
	{VMX_PIN, PIN_NMI_EXITING, true, "NMI exiting", "no NMI exiting"},
	{VMX_PIN, PIN_VIRTUAL_NMIS, true, "virtual NMIs", "no virtual NMIs"},
	{VMX_PIN, PIN_PREEMPTION_TIMER, false, "VMX preemption timer", "guest timers take a LAPIC interrupt each"},
	{VMX_PRIMARY, PRIMARY_TSC_OFFSETTING, true, "TSC offsetting", "no TSC offsetting"},
	{VMX_PRIMARY, PRIMARY_HLT_EXITING, true, "HLT exiting", "no HLT exiting"},
	{VMX_PRIMARY, PRIMARY_MWAIT_EXITING, true, "MWAIT exiting", "no MWAIT exiting"},
	{VMX_PRIMARY, PRIMARY_MONITOR_EXITING, true, "MONITOR exiting", "no MONITOR exiting"},
	{VMX_PRIMARY, PRIMARY_RDPMC_EXITING, true, "RDPMC exiting", "no RDPMC exiting"},
	{VMX_PRIMARY, PRIMARY_CR8_LOAD_EXITING, true, "CR8-load exiting", "no CR8-load exiting"},
	{VMX_PRIMARY, PRIMARY_CR8_STORE_EXITING, true, "CR8-store exiting", "no CR8-store exiting"},
	{VMX_PRIMARY, PRIMARY_IO_BITMAPS, true, "I/O bitmaps", "no I/O bitmaps"},
	{VMX_PRIMARY, PRIMARY_MSR_BITMAPS, true, "MSR bitmaps", "no MSR bitmaps"},
	{VMX_PRIMARY, PRIMARY_SECONDARY, true, "secondary controls", "no secondary controls, hence no EPT"},
	{VMX_SECONDARY, SECONDARY_EPT, true, "EPT", "no EPT"},
	{VMX_SECONDARY, SECONDARY_UNRESTRICTED_GUEST, true, "unrestricted guest", "no unrestricted guest"},
	{VMX_SECONDARY, SECONDARY_VPID, false, "VPID", "every exit and entry flushes the TLB"},
	{VMX_SECONDARY, SECONDARY_RDTSCP, false, "RDTSCP in guests", "guests see a CPU without RDTSCP"},
	{VMX_SECONDARY, SECONDARY_INVPCID, false, "INVPCID in guests", "guests see a CPU without INVPCID"},
	{VMX_SECONDARY, SECONDARY_WBINVD_EXITING, false, "WBINVD exiting", "a guest can flush the host's caches"},
	{VMX_EXIT, EXIT_SAVE_DEBUG_CONTROLS, true, "saving of debug controls", "no saving of debug controls"},
	{VMX_EXIT, EXIT_HOST_64BIT, true, "64-bit host", "no 64-bit host"},
	{VMX_EXIT, EXIT_ACKNOWLEDGE_INTERRUPT, true, "acknowledge interrupt on exit", "no acknowledge interrupt on exit"},
	{VMX_EXIT, EXIT_SAVE_EFER, true, "saving of EFER", "no saving of EFER"},
	{VMX_EXIT, EXIT_LOAD_EFER, true, "loading of EFER on exit", "no loading of EFER"},
	{VMX_EXIT, EXIT_LOAD_PAT, true, "loading of PAT on exit", "no loading of PAT"},
	{VMX_ENTRY, ENTRY_LOAD_DEBUG_CONTROLS, true, "loading of debug controls", "no loading of debug controls"},
	{VMX_ENTRY, ENTRY_LOAD_EFER, true, "loading of EFER on entry", "no loading of EFER"},
	{VMX_ENTRY, ENTRY_LOAD_PAT, true, "loading of PAT on entry", "no loading of PAT"},
};

/* What virtualizes a local APIC. It is switched on with the guest's APIC and not before, so no VMCS starts with it. */
#define APIC_COST "every access of a guest to its local APIC and every interrupt exits"
static const struct control_row apic_rows[] = {
	{VMX_PRIMARY, PRIMARY_TPR_SHADOW, false, "TPR shadow", APIC_COST},
	{VMX_SECONDARY, SECONDARY_VIRTUALIZE_APIC, false, "virtualize APIC accesses", APIC_COST},
	{VMX_SECONDARY, SECONDARY_APIC_REGISTER_VIRTUALIZATION, false, "APIC-register virtualization", APIC_COST},
	{VMX_SECONDARY, SECONDARY_VIRTUAL_INTERRUPT_DELIVERY, false, "virtual-interrupt delivery", APIC_COST},
};
static const struct control_row x2apic_row = {
	VMX_SECONDARY, SECONDARY_VIRTUALIZE_X2APIC, false, "virtualize x2APIC mode", "x2APIC registers and interrupts of guests exit",
};
static const struct control_row posted_row = {
	VMX_PIN, PIN_POSTED_INTERRUPTS, false, "posted interrupts", "guest timers exit",
};
/* For VMs with several vCPUs only. */
static const struct control_row pause_loop_row = {
	VMX_SECONDARY, SECONDARY_PAUSE_LOOP_EXITING, false, "pause-loop exiting", "a vCPU that waits for another's lock spins to the end of its slice",
};

/* Bits that must be clear although a plain adjustment may set them: the CPU must allow that ("TRUE" controls). */
static const struct control_row clear_rows[] = {
	{VMX_PRIMARY, PRIMARY_CR3_LOAD_EXITING, true, "CR3 loads without exit", "CR3-load exiting cannot be switched off"},
	{VMX_PRIMARY, PRIMARY_CR3_STORE_EXITING, true, "CR3 stores without exit", "CR3-store exiting cannot be switched off"},
};

/* IA32_VMX_EPT_VPID_CAP */
#define EPT_WALK_LENGTH_4 BIT(6)
#define EPT_MEMORY_TYPE_WB BIT(14)
#define EPT_PAGE_2M BIT(16)
#define EPT_PAGE_1G BIT(17)
#define EPT_INVEPT BIT(20)
#define EPT_INVEPT_SINGLE BIT(25)
#define EPT_INVVPID BIT(32)
#define EPT_INVVPID_SINGLE BIT(41)

#define BASIC_REVISION BITS(30, 0)
#define BASIC_TRUE_CONTROLS BIT(55)

void vmx_capabilities_read(struct vmx_capabilities *c)
{
	static const uint32_t plain[] = {MSR_VMX_PINBASED_CTLS, MSR_VMX_PROCBASED_CTLS, 0, MSR_VMX_EXIT_CTLS, MSR_VMX_ENTRY_CTLS};
	static const uint32_t exact[] = {MSR_VMX_TRUE_PINBASED_CTLS, MSR_VMX_TRUE_PROCBASED_CTLS, 0, MSR_VMX_TRUE_EXIT_CTLS, MSR_VMX_TRUE_ENTRY_CTLS};

	c->basic = insn_rdmsr(MSR_VMX_BASIC);
	c->misc = insn_rdmsr(MSR_VMX_MISC);
	const uint32_t *numbers = c->basic & BASIC_TRUE_CONTROLS ? exact : plain;
	for (unsigned word = 0; word < VMX_CONTROL_WORD_COUNT; word++)
		c->controls[word] = numbers[word] ? insn_rdmsr(numbers[word]) : 0;
	bool has_secondary = c->controls[VMX_PRIMARY] >> 32 & PRIMARY_SECONDARY;
	if (has_secondary)
		c->controls[VMX_SECONDARY] = insn_rdmsr(MSR_VMX_PROCBASED_CTLS2);
	c->ept_vpid = 0;
	if (c->controls[VMX_SECONDARY] >> 32 & (SECONDARY_EPT | SECONDARY_VPID))
		c->ept_vpid = insn_rdmsr(MSR_VMX_EPT_VPID_CAP);
	c->cr0_fixed0 = insn_rdmsr(MSR_VMX_CR0_FIXED0);
	c->cr0_fixed1 = insn_rdmsr(MSR_VMX_CR0_FIXED1);
	c->cr4_fixed0 = insn_rdmsr(MSR_VMX_CR4_FIXED0);
	c->cr4_fixed1 = insn_rdmsr(MSR_VMX_CR4_FIXED1);
}

static bool allowed_one(const struct vmx_capabilities *c, const struct control_row *row)
{
	return (c->controls[row->word] >> 32 & row->bit) == row->bit;
}

static bool allowed_zero(const struct vmx_capabilities *c, const struct control_row *row)
{
	return (c->controls[row->word] & row->bit) == 0;
}

static enum status decide_controls(const struct vmx_capabilities *c, struct vmx_settings *settings, const char **why)
{
	/* The allowed-0 settings are the bits that must be one. */
	for (unsigned word = 0; word < VMX_CONTROL_WORD_COUNT; word++)
		settings->controls[word] = (uint32_t)c->controls[word];
	for (size_t i = 0; i < array_count(control_rows); i++) {
		const struct control_row *row = &control_rows[i];
		if (allowed_one(c, row)) {
			settings->controls[row->word] |= row->bit;
		} else if (row->required) {
			*why = row->cost;
			return STATUS_UNSUPPORTED;
		}
	}
	for (size_t i = 0; i < array_count(clear_rows); i++) {
		if (!allowed_zero(c, &clear_rows[i])) {
			*why = clear_rows[i].cost;
			return STATUS_UNSUPPORTED;
		}
	}
	return STATUS_OK;
}

static enum status decide_ept(const struct vmx_capabilities *c, struct vmx_settings *settings, const char **why)
{
	if (!(c->ept_vpid & EPT_WALK_LENGTH_4) || !(c->ept_vpid & EPT_MEMORY_TYPE_WB)) {
		*why = "EPT without 4-level walks or write-back tables";
		return STATUS_UNSUPPORTED;
	}
	if (!(c->ept_vpid & EPT_INVEPT)) {
		*why = "EPT without INVEPT";
		return STATUS_UNSUPPORTED;
	}
	settings->ept_2m = c->ept_vpid & EPT_PAGE_2M;
	settings->ept_1g = c->ept_vpid & EPT_PAGE_1G;
	settings->invept_single = c->ept_vpid & EPT_INVEPT_SINGLE;
	settings->invvpid_single = c->ept_vpid & EPT_INVVPID && c->ept_vpid & EPT_INVVPID_SINGLE;
	/* A VPID that cannot be invalidated alone is of no use: identifiers are reused. */
	if (!settings->invvpid_single)
		settings->controls[VMX_SECONDARY] &= ~(uint32_t)SECONDARY_VPID;
	settings->has_vpid = settings->controls[VMX_SECONDARY] & SECONDARY_VPID;
	return STATUS_OK;
}

/* "Checks on VMX Controls": what one feature needs of the others. */
static void decide_apic(const struct vmx_capabilities *c, struct vmx_settings *settings)
{
	const uint32_t cr8_exiting = PRIMARY_CR8_LOAD_EXITING | PRIMARY_CR8_STORE_EXITING;

	settings->has_apic = !(c->controls[VMX_PRIMARY] & cr8_exiting);
	for (size_t i = 0; i < array_count(apic_rows); i++)
		settings->has_apic = settings->has_apic && allowed_one(c, &apic_rows[i]);
	settings->has_x2apic = settings->has_apic && allowed_one(c, &x2apic_row);
	settings->has_posted_interrupts = settings->has_apic && allowed_one(c, &posted_row);
}

enum status vmx_settings_decide(const struct vmx_capabilities *c, struct vmx_settings *settings, const char **why)
{
	*why = "";
	*settings = (struct vmx_settings){0};
	enum status status = decide_controls(c, settings, why);
	if (status == STATUS_OK)
		status = decide_ept(c, settings, why);
	if (status != STATUS_OK)
		return status;
	decide_apic(c, settings);
	settings->has_pause_loop_exiting = allowed_one(c, &pause_loop_row);
	settings->revision = (uint32_t)(c->basic & BASIC_REVISION);
	settings->timer_shift = (uint8_t)(c->misc & BITS(4, 0));
	settings->has_preemption_timer = settings->controls[VMX_PIN] & PIN_PREEMPTION_TIMER;
	settings->has_virtual_nmis = settings->controls[VMX_PIN] & PIN_VIRTUAL_NMIS;
	/* "Unrestricted guest": PE and PG may be 0 in spite of the fixed bits. */
	settings->cr0_must_be_one = c->cr0_fixed0 & ~(BIT(0) | BIT(31));
	settings->cr4_must_be_one = c->cr4_fixed0;
	settings->cr4_allowed = c->cr4_fixed1;
	return STATUS_OK;
}

static void report_row(const struct vmx_capabilities *c, const struct control_row *row, void (*print)(const char *format, ...))
{
	if (allowed_one(c, row))
		print("  %-32s yes\n", row->name);
	else
		print("  %-32s MISSING: %s\n", row->name, row->required ? "VMs cannot run" : row->cost);
}

void vmx_capabilities_report(const struct vmx_capabilities *c, void (*print)(const char *format, ...))
{
	for (size_t i = 0; i < array_count(control_rows); i++)
		report_row(c, &control_rows[i], print);
	for (size_t i = 0; i < array_count(apic_rows); i++)
		report_row(c, &apic_rows[i], print);
	report_row(c, &x2apic_row, print);
	report_row(c, &posted_row, print);
	report_row(c, &pause_loop_row, print);
	print("  %-32s %s\n", "EPT 2 MiB pages", c->ept_vpid & EPT_PAGE_2M ? "yes" : "MISSING: more page-table memory, slower walks");
	print("  %-32s %s\n", "EPT 1 GiB pages", c->ept_vpid & EPT_PAGE_1G ? "yes" : "MISSING: more page-table memory");
}
