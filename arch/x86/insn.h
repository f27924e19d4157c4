/*
 * Every privileged instruction, one function each, named as the manual names the instruction. Inline assembly stands
 * here and nowhere else, so that every other file also builds for the host, where tests/fake/arch/x86/insn.h stands in.
 */
#pragma once

#include "lib/types.h"

struct cpuid_result { uint32_t eax, ebx, ecx, edx; };
struct descriptor_table_register { uint16_t limit; uint64_t base; } packed_struct;

static always_inline struct cpuid_result insn_cpuid(uint32_t leaf, uint32_t subleaf)
{
	struct cpuid_result r;
	__asm__ volatile("cpuid" : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx) : "a"(leaf), "c"(subleaf));
	return r;
}

static always_inline uint64_t insn_rdmsr(uint32_t msr)
{
	uint32_t low, high;
	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr) : "memory");
	return (uint64_t)high << 32 | low;
}

static always_inline void insn_wrmsr(uint32_t msr, uint64_t value)
{
	__asm__ volatile("wrmsr" : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

/* RDMSR/WRMSR that survive #GP: false if the MSR does not exist or refuses the value (see exception_fixup.h). */
must_check bool insn_rdmsr_safe(uint32_t msr, uint64_t *value);
must_check bool insn_wrmsr_safe(uint32_t msr, uint64_t value);

static always_inline uint64_t insn_rdtsc(void)
{
	uint32_t low, high;
	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

/* The same straight to memory, in two halves: two instructions less, which counts at every exit. */
static always_inline void insn_store_tsc(uint64_t *tsc)
{
	__asm__ volatile("rdtsc\n\tmovl %%eax, %0\n\tmovl %%edx, 4+%0" : "=m"(*tsc) : : "eax", "edx");
}

static always_inline uint8_t insn_in8(uint16_t port) { uint8_t v; __asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port)); return v; }
static always_inline uint16_t insn_in16(uint16_t port) { uint16_t v; __asm__ volatile("inw %1, %0" : "=a"(v) : "Nd"(port)); return v; }
static always_inline uint32_t insn_in32(uint16_t port) { uint32_t v; __asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port)); return v; }
static always_inline void insn_out8(uint16_t port, uint8_t v) { __asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port)); }
static always_inline void insn_out16(uint16_t port, uint16_t v) { __asm__ volatile("outw %0, %1" : : "a"(v), "Nd"(port)); }
static always_inline void insn_out32(uint16_t port, uint32_t v) { __asm__ volatile("outl %0, %1" : : "a"(v), "Nd"(port)); }

static always_inline uint64_t insn_read_cr0(void) { uint64_t v; __asm__ volatile("mov %%cr0, %0" : "=r"(v)); return v; }
static always_inline uint64_t insn_read_cr2(void) { uint64_t v; __asm__ volatile("mov %%cr2, %0" : "=r"(v)); return v; }
static always_inline uint64_t insn_read_cr3(void) { uint64_t v; __asm__ volatile("mov %%cr3, %0" : "=r"(v)); return v; }
static always_inline uint64_t insn_read_cr4(void) { uint64_t v; __asm__ volatile("mov %%cr4, %0" : "=r"(v)); return v; }
static always_inline void insn_write_cr0(uint64_t v) { __asm__ volatile("mov %0, %%cr0" : : "r"(v) : "memory"); }
static always_inline void insn_write_cr2(uint64_t v) { __asm__ volatile("mov %0, %%cr2" : : "r"(v) : "memory"); }
static always_inline void insn_write_cr3(uint64_t v) { __asm__ volatile("mov %0, %%cr3" : : "r"(v) : "memory"); }
static always_inline void insn_write_cr4(uint64_t v) { __asm__ volatile("mov %0, %%cr4" : : "r"(v) : "memory"); }

#define INSN_DEBUG_REGISTER(n) \
	static always_inline uint64_t insn_read_dr##n(void) { uint64_t v; __asm__ volatile("mov %%dr" #n ", %0" : "=r"(v)); return v; } \
	static always_inline void insn_write_dr##n(uint64_t v) { __asm__ volatile("mov %0, %%dr" #n : : "r"(v) : "memory"); }
INSN_DEBUG_REGISTER(0)
INSN_DEBUG_REGISTER(1)
INSN_DEBUG_REGISTER(2)
INSN_DEBUG_REGISTER(3)
INSN_DEBUG_REGISTER(6)
INSN_DEBUG_REGISTER(7)
#undef INSN_DEBUG_REGISTER

static always_inline uint64_t insn_read_rflags(void) { uint64_t v; __asm__ volatile("pushfq; pop %0" : "=r"(v) : : "memory"); return v; }
static always_inline uint64_t insn_read_rbp(void) { uint64_t v; __asm__ volatile("mov %%rbp, %0" : "=r"(v)); return v; }
static always_inline uint64_t insn_read_rsp(void) { uint64_t v; __asm__ volatile("mov %%rsp, %0" : "=r"(v)); return v; }
/* The pointer at %gs:0, which is the per-CPU block's own address (see pcpu.h). */
static always_inline void *insn_read_gs_pointer(void) { void *v; __asm__ volatile("movq %%gs:0, %0" : "=r"(v)); return v; }
static always_inline void insn_cli(void) { __asm__ volatile("cli" ::: "memory"); }
static always_inline void insn_sti(void) { __asm__ volatile("sti" ::: "memory"); }
static always_inline void insn_hlt(void) { __asm__ volatile("hlt" ::: "memory"); }
/* Interrupts on and HLT with no gap between; returns with interrupts off again. */
static always_inline void insn_sti_hlt_cli(void) { __asm__ volatile("sti; hlt; cli" ::: "memory"); }
/* Lets pending interrupts in for one instruction; returns with interrupts off. */
static always_inline void insn_sti_nop_cli(void) { __asm__ volatile("sti; nop; cli" ::: "memory"); }
static always_inline void insn_pause(void) { __asm__ volatile("pause" ::: "memory"); }
static always_inline void insn_mfence(void) { __asm__ volatile("mfence" ::: "memory"); }
static always_inline void insn_lfence(void) { __asm__ volatile("lfence" ::: "memory"); }
static always_inline void insn_invlpg(uint64_t address) { __asm__ volatile("invlpg (%0)" : : "r"(address) : "memory"); }
static always_inline void insn_clflush(const volatile void *address) { __asm__ volatile("clflush (%0)" : : "r"(address) : "memory"); }
/* 16 bytes, aligned, in one step for whatever reads them; only this CPU writes them now. */
static always_inline void insn_store_16_bytes(uint64_t place[2], uint64_t low, uint64_t high)
{
	uint64_t old_low = place[0], old_high = place[1];

	__asm__ volatile("1: lock cmpxchg16b (%2); jnz 1b"
			 : "+a"(old_low), "+d"(old_high) : "r"(place), "b"(low), "c"(high) : "memory", "cc");
}
static always_inline void insn_wbinvd(void) { __asm__ volatile("wbinvd" ::: "memory"); }
static always_inline void insn_ud2(void) { __asm__ volatile("ud2"); }
static always_inline void insn_stac(void) { __asm__ volatile("stac" ::: "memory"); }
static always_inline void insn_clac(void) { __asm__ volatile("clac" ::: "memory"); }

/* Fills @count quadwords; the direction flag is clear, as the ABI keeps it. */
static always_inline void insn_rep_stosq(void *destination, uint64_t value, uint64_t count)
{
	__asm__ volatile("rep stosq" : "+D"(destination), "+c"(count) : "a"(value) : "memory");
}

static always_inline void insn_lgdt(const struct descriptor_table_register *r) { __asm__ volatile("lgdt %0" : : "m"(*r) : "memory"); }
static always_inline void insn_lidt(const struct descriptor_table_register *r) { __asm__ volatile("lidt %0" : : "m"(*r) : "memory"); }
static always_inline void insn_sgdt(struct descriptor_table_register *r) { __asm__ volatile("sgdt %0" : "=m"(*r) : : "memory"); }
static always_inline void insn_sidt(struct descriptor_table_register *r) { __asm__ volatile("sidt %0" : "=m"(*r) : : "memory"); }
static always_inline void insn_ltr(uint16_t selector) { __asm__ volatile("ltr %0" : : "r"(selector) : "memory"); }
static always_inline void insn_lldt(uint16_t selector) { __asm__ volatile("lldt %0" : : "r"(selector) : "memory"); }

/* Loads CS with @code (by a far return) and DS, ES, SS with @data; FS and GS are nulled. */
static always_inline void insn_load_segments(uint16_t code, uint16_t data)
{
	uint64_t code_selector = code;

	__asm__ volatile("pushq %0\n\tleaq 1f(%%rip), %%rax\n\tpushq %%rax\n\tlretq\n1:\n\t"
			 "movw %1, %%ds\n\tmovw %1, %%es\n\tmovw %1, %%ss\n\txorl %%eax, %%eax\n\tmovw %%ax, %%fs\n\tmovw %%ax, %%gs"
			 : : "r"(code_selector), "r"(data) : "rax", "memory");
}

static always_inline uint64_t insn_xgetbv(uint32_t index)
{
	uint32_t low, high;
	__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(index));
	return (uint64_t)high << 32 | low;
}

static always_inline void insn_xsetbv(uint32_t index, uint64_t value)
{
	__asm__ volatile("xsetbv" : : "c"(index), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

/* @area is 64-byte aligned and large enough for the components in @mask. */
static always_inline void insn_xsave(void *area, uint64_t mask)
{
	__asm__ volatile("xsave64 (%0)" : : "r"(area), "a"((uint32_t)mask), "d"((uint32_t)(mask >> 32)) : "memory");
}

static always_inline void insn_xrstor(const void *area, uint64_t mask)
{
	__asm__ volatile("xrstor64 (%0)" : : "r"(area), "a"((uint32_t)mask), "d"((uint32_t)(mask >> 32)) : "memory");
}

static always_inline void insn_fxsave(void *area) { __asm__ volatile("fxsave64 (%0)" : : "r"(area) : "memory"); }
static always_inline void insn_fxrstor(const void *area) { __asm__ volatile("fxrstor64 (%0)" : : "r"(area) : "memory"); }

/* VMX instructions: true on success (neither VMfailInvalid nor VMfailValid). @region: physical address. */
must_check static always_inline bool insn_vmxon(hpa_t region)
{
	bool failed;
	__asm__ volatile("vmxon %1" : "=@ccbe"(failed) : "m"(region.value) : "memory");
	return !failed;
}

static always_inline void insn_vmxoff(void) { __asm__ volatile("vmxoff" ::: "cc", "memory"); }

must_check static always_inline bool insn_vmclear(hpa_t region)
{
	bool failed;
	__asm__ volatile("vmclear %1" : "=@ccbe"(failed) : "m"(region.value) : "memory");
	return !failed;
}

must_check static always_inline bool insn_vmptrld(hpa_t region)
{
	bool failed;
	__asm__ volatile("vmptrld %1" : "=@ccbe"(failed) : "m"(region.value) : "memory");
	return !failed;
}

static always_inline uint64_t insn_vmread(uint64_t field)
{
	uint64_t value;
	__asm__ volatile("vmread %1, %0" : "=r"(value) : "r"(field) : "cc");
	return value;
}

must_check static always_inline bool insn_vmread_safe(uint64_t field, uint64_t *value)
{
	bool failed;
	__asm__ volatile("vmread %2, %1" : "=@ccbe"(failed), "=r"(*value) : "r"(field));
	return !failed;
}

static always_inline void insn_vmwrite(uint64_t field, uint64_t value)
{
	__asm__ volatile("vmwrite %1, %0" : : "r"(field), "r"(value) : "cc", "memory");
}

must_check static always_inline bool insn_vmwrite_safe(uint64_t field, uint64_t value)
{
	bool failed;
	__asm__ volatile("vmwrite %2, %1" : "=@ccbe"(failed) : "r"(field), "r"(value) : "memory");
	return !failed;
}

struct invept_descriptor { uint64_t eptp, reserved; };
struct invvpid_descriptor { uint64_t vpid, linear_address; };

must_check static always_inline bool insn_invept(uint64_t type, const struct invept_descriptor *descriptor)
{
	bool failed;
	__asm__ volatile("invept %1, %2" : "=@ccbe"(failed) : "m"(*descriptor), "r"(type) : "memory");
	return !failed;
}

must_check static always_inline bool insn_invvpid(uint64_t type, const struct invvpid_descriptor *descriptor)
{
	bool failed;
	__asm__ volatile("invvpid %1, %2" : "=@ccbe"(failed) : "m"(*descriptor), "r"(type) : "memory");
	return !failed;
}

/* VMSAVE: FS, GS, TR, LDTR and the MSRs of system calls, to @vmcb. Only while EFER.SVME is set. */
static always_inline void insn_vmsave(hpa_t vmcb) { __asm__ volatile("vmsave %%rax" : : "a"(vmcb.value) : "memory"); }
