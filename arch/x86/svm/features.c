#include "arch/x86/svm/features.h"

#include "arch/x86/cpu/features.h"
#include "arch/x86/insn.h"
#include "arch/x86/msr.h"
#include "lib/bits.h"

#define LEAF_SVM 0x8000000au

struct feature_row {
	uint32_t bit; /* of EDX */
	bool required;
	uint16_t setting; /* offset in struct svm_settings; NONE: nothing is made of it */
	const char *name;
	const char *cost;
};

#define NONE UINT16_MAX
#define SETTING(name) offsetof(struct svm_settings, name)

static const struct feature_row rows[] = {
	{(uint32_t)BIT(0), true, NONE, "nested paging", "no nested paging"},
	{(uint32_t)BIT(3), false, SETTING(has_next_rip), "next RIP", "instructions that exit are read from guest memory to find their end"},
	{(uint32_t)BIT(6), false, SETTING(has_flush_by_asid), "flush by ASID", "a vCPU that must forget its translations takes a new ASID"},
	{(uint32_t)BIT(7), false, SETTING(has_decode_assists), "decode assists", "accesses to control registers are read from guest memory"},
	{(uint32_t)BIT(1), false, SETTING(has_lbr), "LBR virtualization", "guests cannot step from branch to branch"},
	{(uint32_t)BIT(10), false, SETTING(has_pause_filter), "PAUSE filter",
	 "every PAUSE of VMs with several vCPUs exits"},
	{(uint32_t)BIT(12), false, SETTING(has_pause_threshold), "PAUSE filter threshold", "PAUSEs count as a loop however far apart they are"},
};

/* "VM_CR MSR": unlocked, what switches SVM off may be taken away. */
bool svm_is_locked_off(uint64_t vm_cr)
{
	const uint64_t both = VM_CR_LOCKED | VM_CR_SVM_DISABLED;

	return (vm_cr & both) == both;
}

static bool has_row(const struct cpuid_result *leaf, const struct feature_row *row)
{
	return leaf->edx & row->bit;
}

static enum status decide_rows(const struct cpuid_result *leaf, struct svm_settings *settings, const char **why)
{
	for (size_t i = 0; i < array_count(rows); i++) {
		bool present = has_row(leaf, &rows[i]);

		if (rows[i].required && !present) {
			*why = rows[i].cost;
			return STATUS_UNSUPPORTED;
		}
		if (rows[i].setting != NONE)
			*(bool *)((char *)settings + rows[i].setting) = present;
	}
	return STATUS_OK;
}

enum status svm_settings_decide(struct svm_settings *settings, const char **why)
{
	struct cpuid_result leaf = insn_cpuid(LEAF_SVM, 0);
	uint64_t control;

	*why = "";
	*settings = (struct svm_settings){.page_1g = features_has(CPU_FEATURE_PAGE_1G), .has_rdtscp = features_has(CPU_FEATURE_RDTSCP)};
	if (insn_rdmsr_safe(MSR_VM_CR, &control) && svm_is_locked_off(control)) {
		*why = "SVM is switched off and locked by the firmware (look for \"SVM Mode\" in its set-up)";
		return STATUS_UNSUPPORTED;
	}
	/* ASID 0 is the host's. */
	if (leaf.ebx < 2) {
		*why = "SVM has no ASIDs";
		return STATUS_UNSUPPORTED;
	}
	settings->asid_count = leaf.ebx - 1;
	return decide_rows(&leaf, settings, why);
}

void svm_features_report(void (*print)(const char *format, ...))
{
	struct cpuid_result leaf = insn_cpuid(LEAF_SVM, 0);

	for (size_t i = 0; i < array_count(rows); i++) {
		if (has_row(&leaf, &rows[i]))
			print("  %-32s yes\n", rows[i].name);
		else
			print("  %-32s MISSING: %s\n", rows[i].name, rows[i].required ? "VMs cannot run" : rows[i].cost);
	}
	print("  %-32s %u\n", "ASIDs", leaf.ebx);
}
