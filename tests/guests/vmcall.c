/* VMCALL, or VMMCALL on AMD's processors, with any number changes nothing but RAX. */
#include "runtime/guest.h"

#include "runtime/cpu.h"

const char guest_name[] = "vmcall";

static bool is_amd;

static uint64_t call(uint64_t number, uint64_t argument)
{
	uint64_t rbx = argument, rcx = argument + 1, rdx = argument + 2, rsi = argument + 3, rdi = argument + 4;

	if (is_amd)
		__asm__ volatile("vmmcall" : "+a"(number), "+b"(rbx), "+c"(rcx), "+d"(rdx), "+S"(rsi), "+D"(rdi) : : "memory");
	else
		__asm__ volatile("vmcall" : "+a"(number), "+b"(rbx), "+c"(rcx), "+d"(rdx), "+S"(rsi), "+D"(rdi) : : "memory");
	guest_check(rbx == argument && rcx == argument + 1 && rdx == argument + 2 && rsi == argument + 3 && rdi == argument + 4,
		    "VMCALL changed registers other than RAX");
	return number;
}

GUEST_CODE(call_unknown, "vmcall" : "+a"(first))
GUEST_CODE(call_unknown_amd, "vmmcall" : "+a"(first))

void guest_main(void)
{
	is_amd = cpu_is_amd();
	for (uint64_t number = 0; number < 256; number++)
		guest_check(call(number * 0x0101010101010101ull, ~number) == ~0ull, "VMCALL %llu is taken for known", (unsigned long long)number);
	guest_check(guest_try(is_amd ? call_unknown_amd : call_unknown, ~0ull, 0) == NO_FAULT, "VMCALL faulted");
}
