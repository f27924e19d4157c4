/* Every instruction of VMX, SMX and SVM is an undefined opcode for a guest, and CPUID says so. */
#include "runtime/guest.h"

#include "runtime/cpu.h"

const char guest_name[] = "vmx_instructions";

static uint8_t operand[16] __attribute__((aligned(16)));

GUEST_CODE(try_vmxon, "vmxon %0" : : "m"(operand) : "memory")
GUEST_CODE(try_vmxoff, "vmxoff")
GUEST_CODE(try_vmclear, "vmclear %0" : : "m"(operand) : "memory")
GUEST_CODE(try_vmptrld, "vmptrld %0" : : "m"(operand) : "memory")
GUEST_CODE(try_vmptrst, "vmptrst %0" : "=m"(operand) : : "memory")
GUEST_CODE(try_vmread, "vmread %%rcx, %%rax" : : "c"(0x4402ul) : "rax")
GUEST_CODE(try_vmread_memory, "vmread %%rcx, %0" : "=m"(operand) : "c"(0x4402ul))
GUEST_CODE(try_vmwrite, "vmwrite %%rax, %%rcx" : : "c"(0x4402ul), "a"(0ul))
GUEST_CODE(try_vmlaunch, "vmlaunch")
GUEST_CODE(try_vmresume, "vmresume")
GUEST_CODE(try_invept, "invept %0, %%rax" : : "m"(operand), "a"(2ul) : "memory")
GUEST_CODE(try_invvpid, "invvpid %0, %%rax" : : "m"(operand), "a"(2ul) : "memory")
GUEST_CODE(try_vmfunc, ".byte 0x0f, 0x01, 0xd4" : : "a"(0), "c"(0))
GUEST_CODE(try_getsec, ".byte 0x0f, 0x37" : : "a"(0), "b"(0))
GUEST_CODE(try_skinit, ".byte 0x0f, 0x01, 0xde" : : "a"(0))
GUEST_CODE(try_vmrun, ".byte 0x0f, 0x01, 0xd8" : : "a"(0ul))
GUEST_CODE(try_vmload, ".byte 0x0f, 0x01, 0xda" : : "a"(0ul))
GUEST_CODE(try_vmsave, ".byte 0x0f, 0x01, 0xdb" : : "a"(0ul) : "memory")
GUEST_CODE(try_stgi, ".byte 0x0f, 0x01, 0xdc")
GUEST_CODE(try_clgi, ".byte 0x0f, 0x01, 0xdd")
GUEST_CODE(try_invlpga, ".byte 0x0f, 0x01, 0xdf" : : "a"(0ul), "c"(1))
GUEST_CODE(set_vmxe, "mov %%cr4, %%rax; or $0x2000, %%rax; mov %%rax, %%cr4" : : : "rax")
GUEST_CODE(set_svme, "rdmsr; or $0x1000, %%eax; wrmsr" : : "c"(0xc0000080) : "rax", "rdx")
GUEST_CODE(read_vmx_basic, "rdmsr" : : "c"(0x480) : "rax", "rdx")
GUEST_CODE(read_vm_cr, "rdmsr" : : "c"(0xc0010114) : "rax", "rdx")
GUEST_CODE(write_vm_cr, "wrmsr" : : "c"(0xc0010114), "a"(0), "d"(0))
GUEST_CODE(read_save_area, "rdmsr" : : "c"(0xc0010117) : "rax", "rdx")
GUEST_CODE(write_save_area, "wrmsr" : : "c"(0xc0010117), "a"(0x200000), "d"(0))

static const struct {
	const char *name;
	void (*code)(uint64_t first, uint64_t second);
	int vector;
} cases[] = {
	{ "VMXON", try_vmxon, UNDEFINED_OPCODE },
	{ "VMXOFF", try_vmxoff, UNDEFINED_OPCODE },
	{ "VMCLEAR", try_vmclear, UNDEFINED_OPCODE },
	{ "VMPTRLD", try_vmptrld, UNDEFINED_OPCODE },
	{ "VMPTRST", try_vmptrst, UNDEFINED_OPCODE },
	{ "VMREAD", try_vmread, UNDEFINED_OPCODE },
	{ "VMREAD to memory", try_vmread_memory, UNDEFINED_OPCODE },
	{ "VMWRITE", try_vmwrite, UNDEFINED_OPCODE },
	{ "VMLAUNCH", try_vmlaunch, UNDEFINED_OPCODE },
	{ "VMRESUME", try_vmresume, UNDEFINED_OPCODE },
	{ "INVEPT", try_invept, UNDEFINED_OPCODE },
	{ "INVVPID", try_invvpid, UNDEFINED_OPCODE },
	{ "VMFUNC", try_vmfunc, UNDEFINED_OPCODE },
	{ "GETSEC", try_getsec, UNDEFINED_OPCODE },
	{ "SKINIT", try_skinit, UNDEFINED_OPCODE },
	{ "VMRUN", try_vmrun, UNDEFINED_OPCODE },
	{ "VMLOAD", try_vmload, UNDEFINED_OPCODE },
	{ "VMSAVE", try_vmsave, UNDEFINED_OPCODE },
	{ "STGI", try_stgi, UNDEFINED_OPCODE },
	{ "CLGI", try_clgi, UNDEFINED_OPCODE },
	{ "INVLPGA", try_invlpga, UNDEFINED_OPCODE },
	{ "MOV to CR4 of VMXE", set_vmxe, GENERAL_PROTECTION },
	{ "WRMSR of EFER.SVME", set_svme, GENERAL_PROTECTION },
	{ "RDMSR of IA32_VMX_BASIC", read_vmx_basic, GENERAL_PROTECTION },
	{ "RDMSR of VM_CR", read_vm_cr, GENERAL_PROTECTION },
	{ "WRMSR of VM_CR", write_vm_cr, GENERAL_PROTECTION },
	{ "RDMSR of VM_HSAVE_PA", read_save_area, GENERAL_PROTECTION },
	{ "WRMSR of VM_HSAVE_PA", write_save_area, GENERAL_PROTECTION },
};

void guest_main(void)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int vector = guest_try(cases[i].code, 0, 0);

		guest_check(vector == cases[i].vector, "%s: vector %d, expected %d", cases[i].name, vector, cases[i].vector);
	}
	guest_check(!(cpuid(1, 0).ecx & (1u << 5 | 1u << 6)), "CPUID shows VMX or SMX");
	guest_check(!(cpuid(0x80000001, 0).ecx & (1u << 2 | 1u << 12)), "CPUID shows SVM or SKINIT");
	guest_check(!(rdmsr(0xc0000080) & 1u << 12), "EFER shows SVME");
}
