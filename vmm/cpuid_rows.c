#include "vmm/cpuid_rows.h"

#include "arch/x86/cr.h"

#define BASIC_LEAF_MAX 0x1fu
#define EXTENDED_LEAF_MAX 0x80000008u

/* State that a guest may have: what vCPUs are switched with. PKRU, AMX and the supervisor states are not among it. */
#define XCR0_GUEST (XCR0_X87 | XCR0_SSE | XCR0_AVX | XCR0_AVX512)

#define ALL 0xffffffffu
#define B(n) ((uint32_t)BIT(n))
#define F(high, low) ((uint32_t)BITS(high, low))

/*
 * Sorted by leaf and subleaf. Not passed, among others: VMX, SMX, MONITOR/MWAIT, power and thermal control, performance
 * monitoring and debug store, SGX, processor trace, MPX, CET, protection keys, 57-bit linear addresses, and speculation
 * controls whose MSRs no policy row lets through.
 */
const struct cpuid_row cpuid_rows[] = {
	/* Highest leaf and vendor. */
	{ 0x0, 0, CPUID_EAX, 0, BASIC_LEAF_MAX },
	{ 0x0, 0, CPUID_EBX, ALL, 0 }, { 0x0, 0, CPUID_ECX, ALL, 0 }, { 0x0, 0, CPUID_EDX, ALL, 0 },
	/* Version; CLFLUSH line size; APIC id and count are filled in at each read. */
	{ 0x1, 0, CPUID_EAX, F(27, 16) | F(13, 0), 0 },
	{ 0x1, 0, CPUID_EBX, F(15, 0), 0 },
	/* SSE3 PCLMULQDQ SSSE3 FMA CX16 PCID SSE4.1 SSE4.2 MOVBE POPCNT AES XSAVE AVX F16C RDRAND; x2APIC, TSC deadline and
	 * hypervisor are ours. */
	{ 0x1, 0, CPUID_ECX, B(0) | B(1) | B(9) | B(12) | B(13) | B(17) | B(19) | B(20) | B(22) | B(23) | B(25) | B(26) | F(30, 28),
	  B(21) | B(24) | B(31) },
	/* FPU to CX8, SEP, MTRR, PGE, MCA, CMOV, PAT, PSE36, CLFSH, MMX, FXSR, SSE, SSE2, SS; the APIC is ours. */
	{ 0x1, 0, CPUID_EDX, F(8, 0) | F(17, 11) | B(19) | F(27, 23), B(9) },
	/* Cache and TLB descriptors. */
	{ 0x2, 0, CPUID_EAX, ALL, 0 }, { 0x2, 0, CPUID_EBX, ALL, 0 }, { 0x2, 0, CPUID_ECX, ALL, 0 }, { 0x2, 0, CPUID_EDX, ALL, 0 },
	/* Caches; numbers of threads and cores are filled in at each read. */
	{ 0x4, CPUID_SUBLEAF_ANY, CPUID_EAX, F(13, 0), 0 }, { 0x4, CPUID_SUBLEAF_ANY, CPUID_EBX, ALL, 0 },
	{ 0x4, CPUID_SUBLEAF_ANY, CPUID_ECX, ALL, 0 }, { 0x4, CPUID_SUBLEAF_ANY, CPUID_EDX, F(2, 0), 0 },
	/* The APIC timer runs in every power state (ARAT). */
	{ 0x6, 0, CPUID_EAX, 0, B(2) },
	/* Highest subleaf: 1. */
	{ 0x7, 0, CPUID_EAX, B(0), 0 },
	/* FSGSBASE BMI1 HLE AVX2 FDP-only BMI2 ERMS INVPCID RTM no-FCS RDSEED ADX SMAP CLFLUSHOPT CLWB SHA AVX-512
	 * F/DQ/IFMA/CD/BW/VL SMEP; TSC_ADJUST is ours. */
	{ 0x7, 0, CPUID_EBX, B(0) | F(11, 3) | B(13) | F(21, 16) | F(24, 23) | F(31, 28), B(1) },
	/* AVX-512 VBMI, UMIP, VBMI2, GFNI, VAES, VPCLMULQDQ, VNNI, BITALG, VPOPCNTDQ, RDPID, CLDEMOTE, MOVDIRI, MOVDIR64B. */
	{ 0x7, 0, CPUID_ECX, F(2, 1) | B(6) | F(12, 8) | B(14) | B(22) | B(25) | F(28, 27), 0 },
	/* AVX-512 4VNNIW/4FMAPS, FSRM, VP2INTERSECT, MD_CLEAR, SERIALIZE, TSXLDTRK, FP16, ARCH_CAPABILITIES. */
	{ 0x7, 0, CPUID_EDX, F(4, 2) | B(8) | B(10) | B(14) | B(16) | B(23) | B(29), 0 },
	/* AVX-VNNI, BF16, fast short REP, AVX-IFMA. */
	{ 0x7, 1, CPUID_EAX, F(5, 4) | F(12, 10) | B(23), 0 },
	/* Topology: filled in at each read, in leaf 1FH too. */
	{ 0xb, CPUID_SUBLEAF_ANY, CPUID_EAX, 0, 0 },
	/* XSAVE state; sizes are worked out from what is passed. XSAVEOPT, XSAVEC, XGETBV with ECX = 1; no XSAVES. */
	{ CPUID_LEAF_XSAVE, 0, CPUID_EAX, (uint32_t)XCR0_GUEST, 0 },
	{ CPUID_LEAF_XSAVE, 1, CPUID_EAX, F(2, 0), 0 },
	{ CPUID_LEAF_XSAVE, CPUID_SUBLEAF_ANY, CPUID_EAX, ALL, 0 }, { CPUID_LEAF_XSAVE, CPUID_SUBLEAF_ANY, CPUID_EBX, ALL, 0 }, { CPUID_LEAF_XSAVE, CPUID_SUBLEAF_ANY, CPUID_ECX, B(1), 0 },
	/* Frequencies: filled in when the answers are made. */
	{ 0x15, 0, CPUID_EAX, 0, 0 },
	{ 0x16, 0, CPUID_EAX, 0, 0 },
	{ CPUID_LEAF_EXTENDED, 0, CPUID_EAX, 0, EXTENDED_LEAF_MAX },
	/* LAHF, LZCNT, PREFETCHW; SYSCALL, NX, 1 GiB pages, RDTSCP, long mode. */
	{ 0x80000001, 0, CPUID_ECX, B(0) | B(5) | B(8), 0 },
	{ 0x80000001, 0, CPUID_EDX, B(11) | B(20) | F(27, 26) | B(29), 0 },
	/* Brand string. */
	{ 0x80000002, 0, CPUID_EAX, ALL, 0 }, { 0x80000002, 0, CPUID_EBX, ALL, 0 }, { 0x80000002, 0, CPUID_ECX, ALL, 0 }, { 0x80000002, 0, CPUID_EDX, ALL, 0 },
	{ 0x80000003, 0, CPUID_EAX, ALL, 0 }, { 0x80000003, 0, CPUID_EBX, ALL, 0 }, { 0x80000003, 0, CPUID_ECX, ALL, 0 }, { 0x80000003, 0, CPUID_EDX, ALL, 0 },
	{ 0x80000004, 0, CPUID_EAX, ALL, 0 }, { 0x80000004, 0, CPUID_EBX, ALL, 0 }, { 0x80000004, 0, CPUID_ECX, ALL, 0 }, { 0x80000004, 0, CPUID_EDX, ALL, 0 },
	/* L2 cache. */
	{ 0x80000006, 0, CPUID_ECX, ALL, 0 },
	/* Invariant TSC. */
	{ 0x80000007, 0, CPUID_EDX, B(8), 0 },
	/* Address sizes: filled in when the answers are made. */
	{ 0x80000008, 0, CPUID_EAX, F(15, 0), 0 },
};
const unsigned cpuid_row_count = array_count(cpuid_rows);
