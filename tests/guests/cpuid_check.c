/* What CPUID promises, and what it must hide. */
#include "runtime/guest.h"

#include "runtime/cpu.h"

const char guest_name[] = "cpuid_check";

#define OSXSAVE_CR4 (1ull << 18)

static void check_vendor(void)
{
	struct cpuid_answer answer = cpuid(0x40000000, 0);
	char name[13] = { 0 };

	memcpy(name, &answer.ebx, 4);
	memcpy(name + 4, &answer.ecx, 4);
	memcpy(name + 8, &answer.edx, 4);
	guest_check(strcmp(name, "TrivetTrivet") == 0, "the hypervisor's name is '%s'", name);
	guest_check(answer.eax >= 0x40000010 && answer.eax <= 0x400000ff, "highest hypervisor leaf %x", answer.eax);
	guest_check(cpuid(1, 0).ecx >> 31, "leaf 1 shows no hypervisor");
}

static void check_hidden(void)
{
	struct cpuid_answer features = cpuid(1, 0);

	guest_check(!(features.ecx & 1u << 5), "VMX is shown");
	guest_check(!(features.ecx & 1u << 6), "SMX is shown");
	guest_check(!(features.ecx & 1u << 3), "MONITOR is shown");
	guest_check(!(features.ecx & 1u << 15), "PDCM is shown");
	guest_check(features.ecx & 1u << 21, "x2APIC is not shown");
	guest_check(features.ecx & 1u << 24, "the TSC deadline is not shown");
	guest_check(features.edx & 1u << 9, "the APIC is not shown");
	guest_check(!(cpuid(7, 0).ebx & 1u << 2), "SGX is shown");
	guest_check(cpuid(0xa, 0).eax == 0, "performance monitoring is shown");
	guest_check(!(cpuid(0x80000001, 0).ecx & 1u << 2), "SVM is shown");
	guest_check(!(cpuid(0x8000000a, 0).eax | cpuid(0x8000000a, 0).ebx | cpuid(0x8000000a, 0).edx), "the leaf of SVM is shown");
}

static void check_frequency(void)
{
	struct cpuid_answer crystal = cpuid(0x15, 0), timing = cpuid(0x40000010, 0);
	uint64_t hertz = crystal.eax ? (uint64_t)crystal.ecx * crystal.ebx / crystal.eax : 0;

	guest_check(hertz / 1000 >= timing.eax - 1ull && hertz / 1000 <= timing.eax + 1ull, "leaf 15h says %llu Hz, leaf 40000010h %u kHz",
		    (unsigned long long)hertz, timing.eax);
	guest_print("cpuid_check: TSC %llu Hz\n", (unsigned long long)hertz);
}

static void check_state_sizes(void)
{
	uint64_t cr4 = read_cr4();

	if (!(cpuid(1, 0).ecx & 1u << 26))
		return;
	guest_check(!(cpuid(1, 0).ecx & 1u << 27), "OSXSAVE is shown before CR4 has it");
	write_cr4(cr4 | OSXSAVE_CR4);
	guest_check(cpuid(1, 0).ecx & 1u << 27, "OSXSAVE does not follow CR4");
	struct cpuid_answer sizes = cpuid(0xd, 0);
	guest_check(sizes.ebx == 576, "XCR0 is x87 alone, and the area is %u bytes", sizes.ebx);
	guest_check(sizes.ecx >= sizes.ebx, "the largest area is %u bytes", sizes.ecx);
	__asm__ volatile("xsetbv" : : "a"(sizes.eax), "d"(sizes.edx), "c"(0));
	guest_check(cpuid(0xd, 0).ebx == sizes.ecx, "with all of XCR0 the area is %u bytes, not %u", cpuid(0xd, 0).ebx, sizes.ecx);
	write_cr4(cr4);
}

void guest_main(void)
{
	struct cpuid_answer beyond = cpuid(0x7fffffff, 0), extended = cpuid(0x8fffffff, 0);

	check_vendor();
	check_hidden();
	check_frequency();
	check_state_sizes();
	guest_check(!(beyond.eax | beyond.ebx | beyond.ecx | beyond.edx), "a leaf beyond the last is not zero");
	guest_check(!(extended.eax | extended.ebx | extended.ecx | extended.edx), "an extended leaf beyond the last is not zero");
	guest_check(cpuid(1, 0).ebx >> 24 == 0, "the APIC id is %u", cpuid(1, 0).ebx >> 24);
	guest_check((cpuid(0x80000008, 0).eax & 0xff) >= 32, "%u physical address bits", cpuid(0x80000008, 0).eax & 0xff);
	for (uint32_t leaf = 0; leaf < 0x20; leaf++) {
		for (uint32_t subleaf = 0; subleaf < 0x100; subleaf += 0x11)
			cpuid(leaf, subleaf), cpuid(0x80000000 + leaf, subleaf), cpuid(0x40000000 + leaf, ~subleaf);
	}
}
