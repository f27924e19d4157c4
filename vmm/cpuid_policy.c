#include "vmm/cpuid_policy.h"

#include "arch/x86/clock.h"
#include "arch/x86/cr.h"
#include "lib/bits.h"
#include "lib/string.h"
#include "vmm/cpuid_rows.h"
#include "vmm/vm.h"

#define ANSWERS_MAX 64u
#define LEAVES_PER_GROUP 32u

#define XSAVE_LEGACY_SIZE 576u /* legacy region and header */
#define XSAVE_COMPONENTS 10u   /* bits 0 to 9 of XCR0 */

#define LEAF_1_ECX_XSAVE BIT(26)
#define LEAF_1_ECX_OSXSAVE BIT(27)
#define LEAF_1_EDX_HTT BIT(28)
#define LEAF_7_EDX_ARCH_CAPABILITIES BIT(29)
#define LEAF_XSAVE_ECX_ALIGNED BIT(1)
#define EXTENDED_LEAF_1_EDX_NX BIT(20)

/* How a ready answer is completed for the vCPU that asks. */
enum cpuid_completion { COMPLETE_NOTHING, COMPLETE_LEAF_1, COMPLETE_CACHES, COMPLETE_TOPOLOGY, COMPLETE_XSAVE };

struct cpuid_leaf {
	uint8_t first;      /* in answers[] */
	uint8_t subleaves;  /* 0: the leaf does not exist */
	bool by_subleaf;    /* else the one answer serves every subleaf */
	uint8_t completion; /* enum cpuid_completion */
};

enum cpuid_group { GROUP_BASIC, GROUP_EXTENDED, GROUP_HYPERVISOR, GROUP_COUNT };

static struct cpuid_result answers[ANSWERS_MAX];
static uint32_t answer_count;
static struct cpuid_leaf leaves[GROUP_COUNT][LEAVES_PER_GROUP];
static uint32_t xcr0_allowed;
static uint64_t cr4_allowed, efer_allowed;

static const uint32_t topology_leaves[] = { 0xb, 0x1f };

static struct cpuid_leaf *find_leaf(uint32_t leaf)
{
	if (leaf < LEAVES_PER_GROUP)
		return &leaves[GROUP_BASIC][leaf];
	if (leaf - CPUID_LEAF_EXTENDED < LEAVES_PER_GROUP)
		return &leaves[GROUP_EXTENDED][leaf - CPUID_LEAF_EXTENDED];
	if (leaf - CPUID_POLICY_HYPERVISOR_LEAF < LEAVES_PER_GROUP)
		return &leaves[GROUP_HYPERVISOR][leaf - CPUID_POLICY_HYPERVISOR_LEAF];
	return NULL;
}

static uint32_t *result_register(struct cpuid_result *result, enum cpuid_register reg)
{
	uint32_t *const registers[] = { &result->eax, &result->ebx, &result->ecx, &result->edx };

	return registers[reg];
}

/* What the rows leave of the host's answer. Rows of the exact subleaf come before those of any. */
static struct cpuid_result filter(uint32_t leaf, uint32_t subleaf, struct cpuid_result host)
{
	struct cpuid_result result = { 0 };
	bool exact = false;

	for (size_t i = 0; i < cpuid_row_count; i++) {
		const struct cpuid_row *row = &cpuid_rows[i];

		if (row->leaf != leaf || (row->subleaf != subleaf && (exact || row->subleaf != CPUID_SUBLEAF_ANY)))
			continue;
		exact |= row->subleaf == subleaf;
		*result_register(&result, row->reg) = (*result_register(&host, row->reg) & row->passed) | row->forced;
	}
	return result;
}

static struct cpuid_result *add_answer(uint32_t leaf, struct cpuid_result result)
{
	struct cpuid_leaf *entry = find_leaf(leaf);

	/* The rows are few enough; a fuller table would be our own mistake, seen in the unit test. */
	if (!entry || answer_count == ANSWERS_MAX)
		return &answers[ANSWERS_MAX - 1];
	if (entry->subleaves == 0)
		entry->first = (uint8_t)answer_count;
	entry->subleaves++;
	answers[answer_count] = result;
	return &answers[answer_count++];
}

static struct cpuid_result *answer_of(uint32_t leaf) { return &answers[find_leaf(leaf)->first]; }

static void mark_leaf(uint32_t leaf, enum cpuid_completion completion)
{
	find_leaf(leaf)->by_subleaf = true;
	find_leaf(leaf)->completion = (uint8_t)completion;
}

/* Leaves whose subleaves all have the same meaning: as many as the host has. */
static void add_caches(cpuid_policy_source source)
{
	for (uint32_t subleaf = 0; subleaf < 8; subleaf++) {
		struct cpuid_result result = filter(0x4, subleaf, source(0x4, subleaf));

		add_answer(0x4, result);
		if (bits_get(result.eax, 4, 0) == 0)
			break;
	}
	mark_leaf(0x4, COMPLETE_CACHES);
}

static void add_xsave(cpuid_policy_source source)
{
	bool present = answer_of(0x1)->ecx & LEAF_1_ECX_XSAVE;

	for (uint32_t subleaf = 0; subleaf < XSAVE_COMPONENTS; subleaf++) {
		struct cpuid_result result = filter(CPUID_LEAF_XSAVE, subleaf, source(CPUID_LEAF_XSAVE, subleaf));

		if (!present || (subleaf > 1 && !(xcr0_allowed & BIT(subleaf))))
			result = (struct cpuid_result){ 0 };
		if (subleaf == 0)
			xcr0_allowed = result.eax;
		add_answer(CPUID_LEAF_XSAVE, result);
	}
	mark_leaf(CPUID_LEAF_XSAVE, COMPLETE_XSAVE);
}

/* Size of the XSAVE area with the components of @mask, laid out in the standard form or packed. */
static uint32_t xsave_area_size(uint64_t mask, bool compacted)
{
	const struct cpuid_result *components = answer_of(CPUID_LEAF_XSAVE);
	uint32_t size = XSAVE_LEGACY_SIZE;

	for (unsigned i = 2; i < XSAVE_COMPONENTS; i++) {
		if (!(mask & BIT(i)))
			continue;
		if (!compacted)
			size = (uint32_t)max_u64(size, (uint64_t)components[i].ebx + components[i].eax);
		else
			size = (uint32_t)align_up(size, components[i].ecx & LEAF_XSAVE_ECX_ALIGNED ? 64 : 1) + components[i].eax;
	}
	return size;
}

/* A crystal of the TSC's own frequency and the ratio 1/1, as far as the crystal's 32 bits reach. */
static void fill_frequencies(void)
{
	uint64_t hz = clock_tsc_frequency;
	uint32_t ratio = (uint32_t)(hz >> 32) + 1;
	struct cpuid_result *crystal = answer_of(0x15), *processor = answer_of(0x16);

	*crystal = (struct cpuid_result){ .eax = 1, .ebx = ratio, .ecx = (uint32_t)(hz / ratio) };
	if (hz == 0)
		*crystal = (struct cpuid_result){ 0 };
	*processor = (struct cpuid_result){ .eax = (uint16_t)(hz / 1000000), .ebx = (uint16_t)(hz / 1000000), .ecx = 100 };
}

static void add_hypervisor_leaves(void)
{
	static const char vendor[] = "TrivetTrivet";
	struct cpuid_result signature = { .eax = CPUID_POLICY_TIMING_LEAF };
	/* The local APIC's timer counts TSC ticks. */
	const uint32_t khz = (uint32_t)(clock_tsc_frequency / 1000);
	struct cpuid_result timing = { .eax = khz, .ebx = khz };

	memcpy(&signature.ebx, vendor, 4);
	memcpy(&signature.ecx, vendor + 4, 4);
	memcpy(&signature.edx, vendor + 8, 4);
	add_answer(CPUID_POLICY_HYPERVISOR_LEAF, signature);
	add_answer(CPUID_POLICY_TIMING_LEAF, timing);
}

/* Bits of CR4 that need a feature: without it they are reserved. SDM Vol. 3A "Control Registers". */
static const struct {
	uint64_t cr4;
	uint32_t leaf;
	enum cpuid_register reg;
	unsigned bit;
} cr4_features[] = {
	{ CR4_VME | CR4_PVI, 0x1, CPUID_EDX, 1 },
	{ CR4_DE, 0x1, CPUID_EDX, 2 },
	{ CR4_PSE, 0x1, CPUID_EDX, 3 },
	{ CR4_TSD, 0x1, CPUID_EDX, 4 },
	{ CR4_PAE, 0x1, CPUID_EDX, 6 },
	{ CR4_MCE, 0x1, CPUID_EDX, 7 },
	{ CR4_PGE, 0x1, CPUID_EDX, 13 },
	{ CR4_OSFXSR, 0x1, CPUID_EDX, 24 },
	{ CR4_OSXMMEXCPT, 0x1, CPUID_EDX, 25 },
	{ CR4_UMIP, 0x7, CPUID_ECX, 2 },
	{ CR4_FSGSBASE, 0x7, CPUID_EBX, 0 },
	{ CR4_PCIDE, 0x1, CPUID_ECX, 17 },
	{ CR4_OSXSAVE, 0x1, CPUID_ECX, 26 },
	{ CR4_SMEP, 0x7, CPUID_EBX, 7 },
	{ CR4_SMAP, 0x7, CPUID_EBX, 20 },
};

static void find_allowed_bits(void)
{
	cr4_allowed = CR4_PCE;
	for (size_t i = 0; i < array_count(cr4_features); i++)
		if (*result_register(answer_of(cr4_features[i].leaf), cr4_features[i].reg) & BIT(cr4_features[i].bit))
			cr4_allowed |= cr4_features[i].cr4;
	efer_allowed = EFER_SCE | EFER_LME | EFER_LMA;
	if (answer_of(0x80000001)->edx & EXTENDED_LEAF_1_EDX_NX)
		efer_allowed |= EFER_NXE;
}

/* Sizes that every guest can have: a back end's nested tables reach 48 bits. */
static void fill_address_sizes(void)
{
	struct cpuid_result *sizes = answer_of(0x80000008);
	uint32_t physical = (uint32_t)bits_get(sizes->eax, 7, 0);

	physical = physical == 0 ? 36 : (uint32_t)min_u64(physical, 48);
	*sizes = (struct cpuid_result){ .eax = physical | 48u << 8 };
}

void cpuid_policy_build(cpuid_policy_source source)
{
	memset(leaves, 0, sizeof(leaves));
	memset(answers, 0, sizeof(answers));
	answer_count = 0;
	xcr0_allowed = 0;
	for (size_t i = 0; i < cpuid_row_count; i++) {
		uint32_t leaf = cpuid_rows[i].leaf, subleaf = cpuid_rows[i].subleaf;

		if (subleaf == CPUID_SUBLEAF_ANY || leaf == CPUID_LEAF_XSAVE)
			continue;
		if (i > 0 && cpuid_rows[i - 1].leaf == leaf && cpuid_rows[i - 1].subleaf == subleaf)
			continue;
		/* The host answers leaves above its highest one with another leaf's data. */
		add_answer(leaf, filter(leaf, subleaf, leaf <= source(leaf & CPUID_LEAF_EXTENDED, 0).eax ? source(leaf, subleaf)
												     : (struct cpuid_result){ 0 }));
	}
	add_caches(source);
	add_xsave(source);
	for (size_t i = 0; i < array_count(topology_leaves); i++) {
		add_answer(topology_leaves[i], (struct cpuid_result){ 0 });
		find_leaf(topology_leaves[i])->completion = COMPLETE_TOPOLOGY;
	}
	mark_leaf(0x1, COMPLETE_LEAF_1);
	find_leaf(0x1)->by_subleaf = false;
	mark_leaf(0x7, COMPLETE_NOTHING);
	fill_frequencies();
	add_hypervisor_leaves();
	fill_address_sizes();
	find_allowed_bits();
}

/* vCPUs are the cores of one package, one thread each. Their APIC ids are their indices, in a field of this many bits. */
static unsigned core_id_bits(const struct vcpu *vcpu)
{
	return bits_highest(2 * vcpu->vm->vcpu_count - 1);
}

static struct cpuid_result host_cpuid(uint32_t leaf, uint32_t subleaf) { return insn_cpuid(leaf, subleaf); }

void cpuid_policy_init(void) { cpuid_policy_build(host_cpuid); }

static void complete_leaf_1(struct vcpu *vcpu, struct cpuid_result *out)
{
	uint32_t count = vcpu->vm->vcpu_count;

	out->ebx |= vcpu->index << 24;
	if (count > 1) {
		out->ebx |= count << 16;
		out->edx |= LEAF_1_EDX_HTT;
	}
	if (out->ecx & LEAF_1_ECX_XSAVE && vcpu->virt.os_xsave)
		out->ecx |= LEAF_1_ECX_OSXSAVE;
}

/* Numbers of ids less one: of cores in the package in bits 31:26, of threads that share the cache in bits 25:14. Caches of
 * the levels 1 and 2 are the core's own. SDM Vol. 2A "CPUID", leaf 04H. */
static void complete_caches(const struct vcpu *vcpu, struct cpuid_result *out)
{
	const uint32_t other_ids = (uint32_t)BIT(core_id_bits(vcpu)) - 1;

	if (bits_get(out->eax, 4, 0) == 0)
		return;
	out->eax |= other_ids << 26;
	if (bits_get(out->eax, 7, 5) > 2)
		out->eax |= other_ids << 14;
}

/* SDM Vol. 2A "CPUID", leaves 0BH and 1FH. */
static void complete_topology(const struct vcpu *vcpu, uint32_t subleaf, struct cpuid_result *out)
{
	const uint32_t level_thread = 1, level_core = 2;

	out->ecx = subleaf & 0xff;
	out->edx = vcpu->index;
	if (subleaf == 0) {
		out->ebx = 1;
		out->ecx |= level_thread << 8;
	} else if (subleaf == 1) {
		out->eax = core_id_bits(vcpu);
		out->ebx = vcpu->vm->vcpu_count;
		out->ecx |= level_core << 8;
	}
}

static void complete_xsave(const struct vcpu *vcpu, uint32_t subleaf, struct cpuid_result *out)
{
	if (xcr0_allowed == 0)
		return;
	if (subleaf == 0) {
		out->ebx = xsave_area_size(vcpu->virt.xcr0, false);
		out->ecx = xsave_area_size(xcr0_allowed, false);
	} else if (subleaf == 1) {
		out->ebx = xsave_area_size(vcpu->virt.xcr0, true);
	}
}

void cpuid_policy_read(struct vcpu *vcpu, uint32_t leaf, uint32_t subleaf, struct cpuid_result *out)
{
	const struct cpuid_leaf *entry = find_leaf(leaf);
	uint32_t position = entry && entry->by_subleaf ? subleaf : 0;

	if (!entry || position >= entry->subleaves) {
		*out = (struct cpuid_result){ 0 };
		return;
	}
	*out = answers[entry->first + position];
	if (likely(entry->completion == COMPLETE_NOTHING))
		return;
	if (entry->completion == COMPLETE_LEAF_1)
		complete_leaf_1(vcpu, out);
	else if (entry->completion == COMPLETE_CACHES)
		complete_caches(vcpu, out);
	else if (entry->completion == COMPLETE_TOPOLOGY)
		complete_topology(vcpu, subleaf, out);
	else
		complete_xsave(vcpu, subleaf, out);
}

uint64_t cpuid_policy_cr4_allowed(void) { return cr4_allowed; }

uint64_t cpuid_policy_xcr0_allowed(void) { return xcr0_allowed; }

uint64_t cpuid_policy_efer_allowed(void) { return efer_allowed; }

unsigned cpuid_policy_physical_address_bits(void) { return (unsigned)bits_get(answer_of(0x80000008)->eax, 7, 0); }

bool cpuid_policy_has_arch_capabilities(void) { return answer_of(0x7)->edx & LEAF_7_EDX_ARCH_CAPABILITIES; }
