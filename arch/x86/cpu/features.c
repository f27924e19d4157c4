#include "arch/x86/cpu/features.h"

#include "arch/x86/insn.h"
#include "lib/bits.h"
#include "lib/string.h"

#define LEAF_VENDOR 0x0u
#define LEAF_VERSION 0x1u
#define LEAF_POWER 0x6u
#define LEAF_EXTENDED 0x7u
#define LEAF_TOPOLOGY 0xbu
#define LEAF_XSAVE 0xdu
#define LEAF_AMD_MAX 0x80000000u
#define LEAF_AMD_FEATURES 0x80000001u
#define LEAF_BRAND 0x80000002u
#define LEAF_AMD_POWER 0x80000007u
#define LEAF_ADDRESS_SIZES 0x80000008u

#define BRAND_LEAVES 3u
#define DEFAULT_PHYSICAL_BITS 36u
#define DEFAULT_LINEAR_BITS 48u

enum cpuid_register { EAX, EBX, ECX, EDX };

struct feature_row {
	const char *name;
	const char *cost;
	uint32_t leaf, subleaf;
	enum cpuid_register register_name;
	uint8_t bit;
};

static const struct feature_row rows[CPU_FEATURE_COUNT] = {
	[CPU_FEATURE_NX] = {"NX", "required: data pages could be executed", LEAF_AMD_FEATURES, 0, EDX, 20},
	[CPU_FEATURE_SMEP] = {"SMEP", "one line of defence less in the hypervisor", LEAF_EXTENDED, 0, EBX, 7},
	[CPU_FEATURE_SMAP] = {"SMAP", "one line of defence less in the hypervisor", LEAF_EXTENDED, 0, EBX, 20},
	[CPU_FEATURE_UMIP] = {"UMIP", "one line of defence less in the hypervisor", LEAF_EXTENDED, 0, ECX, 2},
	[CPU_FEATURE_PAGE_1G] = {"1 GiB pages", "more page tables and TLB misses", LEAF_AMD_FEATURES, 0, EDX, 26},
	[CPU_FEATURE_PAT] = {"PAT", "the framebuffer is slow: no write combining", LEAF_VERSION, 0, EDX, 16},
	[CPU_FEATURE_PGE] = {"PGE", "TLB entries of the hypervisor are lost more often", LEAF_VERSION, 0, EDX, 13},
	[CPU_FEATURE_MCE] = {"MCE", "a hardware error resets the machine without a word", LEAF_VERSION, 0, EDX, 7},
	[CPU_FEATURE_MCA] = {"MCA", "hardware errors are not described", LEAF_VERSION, 0, EDX, 14},
	[CPU_FEATURE_PCID] = {"PCID", NULL, LEAF_VERSION, 0, ECX, 17},
	[CPU_FEATURE_FSGSBASE] = {"FSGSBASE", NULL, LEAF_EXTENDED, 0, EBX, 0},
	[CPU_FEATURE_LA57] = {"LA57", NULL, LEAF_EXTENDED, 0, ECX, 16},
	[CPU_FEATURE_INVARIANT_TSC] = {"invariant TSC", "time may run unevenly when the CPU changes its frequency or sleeps",
				       LEAF_AMD_POWER, 0, EDX, 8},
	[CPU_FEATURE_TSC_DEADLINE] = {"TSC deadline", "timers are less exact and cost more to set", LEAF_VERSION, 0, ECX, 24},
	[CPU_FEATURE_TSC_ADJUST] = {"TSC_ADJUST", NULL, LEAF_EXTENDED, 0, EBX, 1},
	[CPU_FEATURE_RDTSCP] = {"RDTSCP", "guests do without RDTSCP", LEAF_AMD_FEATURES, 0, EDX, 27},
	[CPU_FEATURE_ARAT] = {"ARAT", "the local APIC's timer may stop in deep sleep states", LEAF_POWER, 0, EAX, 2},
	[CPU_FEATURE_X2APIC] = {"x2APIC", "CPUs with APIC ids above 254 are not used; interrupts cost more",
				  LEAF_VERSION, 0, ECX, 21},
	[CPU_FEATURE_XSAVE] = {"XSAVE", "guests have no AVX", LEAF_VERSION, 0, ECX, 26},
	[CPU_FEATURE_XSAVEOPT] = {"XSAVEOPT", NULL, LEAF_XSAVE, 1, EAX, 0},
	[CPU_FEATURE_XSAVES] = {"XSAVES", NULL, LEAF_XSAVE, 1, EAX, 3},
	[CPU_FEATURE_AVX] = {"AVX", "guests have no AVX", LEAF_VERSION, 0, ECX, 28},
	[CPU_FEATURE_AVX512] = {"AVX-512", "guests have no AVX-512", LEAF_EXTENDED, 0, EBX, 16},
	[CPU_FEATURE_PKU] = {"PKU", NULL, LEAF_EXTENDED, 0, ECX, 3},
	[CPU_FEATURE_MONITOR] = {"MONITOR/MWAIT", "idle CPUs wait by HLT", LEAF_VERSION, 0, ECX, 3},
	[CPU_FEATURE_RDRAND] = {"RDRAND", NULL, LEAF_VERSION, 0, ECX, 30},
	[CPU_FEATURE_ARCH_CAPABILITIES] = {"ARCH_CAPABILITIES", NULL, LEAF_EXTENDED, 0, EDX, 29},
	[CPU_FEATURE_VMX] = {"VMX", NULL, LEAF_VERSION, 0, ECX, 5},
	[CPU_FEATURE_SVM] = {"SVM", NULL, LEAF_AMD_FEATURES, 0, ECX, 2},
	[CPU_FEATURE_HYPERVISOR] = {"running under a hypervisor", NULL, LEAF_VERSION, 0, ECX, 31},
	[CPU_FEATURE_HYBRID] = {"hybrid cores", NULL, LEAF_EXTENDED, 0, EDX, 15},
};

static bool present[CPU_FEATURE_COUNT];
static struct cpu_identity identity;

/* Leaves above the highest one answer with those of another leaf, so they are never asked. */
static struct cpuid_result cpuid_bounded(uint32_t leaf, uint32_t subleaf)
{
	uint32_t highest = leaf >= LEAF_AMD_MAX ? identity.max_extended_leaf : identity.max_leaf;

	return leaf <= highest ? insn_cpuid(leaf, subleaf) : (struct cpuid_result){0, 0, 0, 0};
}

static uint32_t register_of(const struct cpuid_result *result, enum cpuid_register name)
{
	const uint32_t registers[] = {result->eax, result->ebx, result->ecx, result->edx};

	return registers[name];
}

static void read_vendor(void)
{
	struct cpuid_result r = insn_cpuid(LEAF_VENDOR, 0);
	uint32_t words[3] = {r.ebx, r.edx, r.ecx};

	identity.max_leaf = r.eax;
	memcpy(identity.vendor_name, words, sizeof(words));
	identity.vendor_name[sizeof(words)] = '\0';
	identity.vendor = CPU_VENDOR_OTHER;
	if (strcmp(identity.vendor_name, "GenuineIntel") == 0)
		identity.vendor = CPU_VENDOR_INTEL;
	if (strcmp(identity.vendor_name, "AuthenticAMD") == 0 || strcmp(identity.vendor_name, "HygonGenuine") == 0)
		identity.vendor = CPU_VENDOR_AMD;
	r = insn_cpuid(LEAF_AMD_MAX, 0);
	identity.max_extended_leaf = r.eax >= LEAF_AMD_MAX ? r.eax : 0;
}

static void read_brand(void)
{
	uint32_t words[4 * BRAND_LEAVES];
	char text[sizeof(words) + 1];
	size_t start = 0;

	for (uint32_t i = 0; i < BRAND_LEAVES; i++) {
		struct cpuid_result r = cpuid_bounded(LEAF_BRAND + i, 0);

		words[4 * i] = r.eax;
		words[4 * i + 1] = r.ebx;
		words[4 * i + 2] = r.ecx;
		words[4 * i + 3] = r.edx;
	}
	memcpy(text, words, sizeof(words));
	text[sizeof(words)] = '\0';
	while (text[start] == ' ')
		start++;
	(void)string_copy(identity.brand, sizeof(identity.brand), text + start);
}

/* SDM Vol. 2A "CPUID", "Version Information Returned by CPUID in EAX". */
static void read_version(void)
{
	uint32_t version = cpuid_bounded(LEAF_VERSION, 0).eax;
	uint32_t sizes = cpuid_bounded(LEAF_ADDRESS_SIZES, 0).eax;

	identity.stepping = (uint32_t)bits_get(version, 3, 0);
	identity.model = (uint32_t)bits_get(version, 7, 4);
	identity.family = (uint32_t)bits_get(version, 11, 8);
	if (identity.family == 0x6 || identity.family == 0xf)
		identity.model += (uint32_t)bits_get(version, 19, 16) << 4;
	if (identity.family == 0xf)
		identity.family += (uint32_t)bits_get(version, 27, 20);
	identity.physical_address_bits = sizes != 0 ? sizes & 0xff : DEFAULT_PHYSICAL_BITS;
	identity.linear_address_bits = sizes != 0 ? sizes >> 8 & 0xff : DEFAULT_LINEAR_BITS;
}

void features_init(void)
{
	read_vendor();
	read_brand();
	read_version();
	identity.apic_id = features_read_apic_id();
	for (unsigned i = 0; i < CPU_FEATURE_COUNT; i++) {
		struct cpuid_result result = cpuid_bounded(rows[i].leaf, rows[i].subleaf);

		present[i] = register_of(&result, rows[i].register_name) >> rows[i].bit & 1;
	}
}

bool features_has(enum cpu_feature feature)
{
	return present[feature];
}

struct cpu_feature_info features_get(enum cpu_feature feature)
{
	return (struct cpu_feature_info){rows[feature].name, present[feature], rows[feature].cost};
}

const struct cpu_identity *features_identity(void)
{
	return &identity;
}

uint32_t features_read_apic_id(void)
{
	struct cpuid_result topology = {0, 0, 0, 0};

	if (insn_cpuid(LEAF_VENDOR, 0).eax >= LEAF_TOPOLOGY)
		topology = insn_cpuid(LEAF_TOPOLOGY, 0);
	/* EBX counts the logical processors of this level; 0 says that the leaf is not there. */
	return topology.ebx != 0 ? topology.edx : insn_cpuid(LEAF_VERSION, 0).ebx >> 24;
}
