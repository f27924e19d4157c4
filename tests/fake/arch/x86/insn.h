/* Stands in for arch/x86/insn.h in host builds: the same names as plain functions on the model in fake_cpu.h. */
#pragma once

#include "lib/types.h"

struct cpuid_result { uint32_t eax, ebx, ecx, edx; };
struct descriptor_table_register { uint16_t limit; uint64_t base; } packed_struct;
struct invept_descriptor { uint64_t eptp, reserved; };
struct invvpid_descriptor { uint64_t vpid, linear_address; };

struct cpuid_result insn_cpuid(uint32_t leaf, uint32_t subleaf);
uint64_t insn_rdmsr(uint32_t msr);
void insn_wrmsr(uint32_t msr, uint64_t value);
must_check bool insn_rdmsr_safe(uint32_t msr, uint64_t *value);
must_check bool insn_wrmsr_safe(uint32_t msr, uint64_t value);
uint64_t insn_rdtsc(void);
static inline void insn_store_tsc(uint64_t *tsc) { *tsc = insn_rdtsc(); }

uint8_t insn_in8(uint16_t port);
uint16_t insn_in16(uint16_t port);
uint32_t insn_in32(uint16_t port);
void insn_out8(uint16_t port, uint8_t v);
void insn_out16(uint16_t port, uint16_t v);
void insn_out32(uint16_t port, uint32_t v);

uint64_t insn_read_cr0(void);
uint64_t insn_read_cr2(void);
uint64_t insn_read_cr3(void);
uint64_t insn_read_cr4(void);
void insn_write_cr0(uint64_t v);
void insn_write_cr2(uint64_t v);
void insn_write_cr3(uint64_t v);
void insn_write_cr4(uint64_t v);
uint64_t insn_read_dr0(void);
uint64_t insn_read_dr1(void);
uint64_t insn_read_dr2(void);
uint64_t insn_read_dr3(void);
uint64_t insn_read_dr6(void);
uint64_t insn_read_dr7(void);
void insn_write_dr0(uint64_t v);
void insn_write_dr1(uint64_t v);
void insn_write_dr2(uint64_t v);
void insn_write_dr3(uint64_t v);
void insn_write_dr6(uint64_t v);
void insn_write_dr7(uint64_t v);

uint64_t insn_read_rflags(void);
uint64_t insn_read_rbp(void);
uint64_t insn_read_rsp(void);
void insn_cli(void);
void insn_sti(void);
void insn_hlt(void);
void insn_sti_hlt_cli(void);
void insn_sti_nop_cli(void);
void insn_pause(void);
void insn_mfence(void);
void insn_lfence(void);
void insn_invlpg(uint64_t address);
void insn_clflush(const volatile void *address);
static inline void insn_store_16_bytes(uint64_t place[2], uint64_t low, uint64_t high)
{
	place[0] = low;
	place[1] = high;
}
void insn_wbinvd(void);
void insn_ud2(void);
void insn_stac(void);
void insn_clac(void);
void insn_rep_stosq(void *destination, uint64_t value, uint64_t count);

void insn_lgdt(const struct descriptor_table_register *r);
void insn_lidt(const struct descriptor_table_register *r);
void insn_sgdt(struct descriptor_table_register *r);
void insn_sidt(struct descriptor_table_register *r);
void insn_ltr(uint16_t selector);
void insn_lldt(uint16_t selector);
void insn_load_segments(uint16_t code, uint16_t data);

uint64_t insn_xgetbv(uint32_t index);
void insn_xsetbv(uint32_t index, uint64_t value);
void insn_xsave(void *area, uint64_t mask);
void insn_xrstor(const void *area, uint64_t mask);
void insn_fxsave(void *area);
void insn_fxrstor(const void *area);

must_check bool insn_vmxon(hpa_t region);
void insn_vmxoff(void);
must_check bool insn_vmclear(hpa_t region);
must_check bool insn_vmptrld(hpa_t region);
uint64_t insn_vmread(uint64_t field);
must_check bool insn_vmread_safe(uint64_t field, uint64_t *value);
void insn_vmwrite(uint64_t field, uint64_t value);
must_check bool insn_vmwrite_safe(uint64_t field, uint64_t value);
must_check bool insn_invept(uint64_t type, const struct invept_descriptor *descriptor);
must_check bool insn_invvpid(uint64_t type, const struct invvpid_descriptor *descriptor);
void insn_vmsave(hpa_t vmcb);
