; Instructions that report a fault instead of causing one; declared in arch/x86/insn.h, see arch/x86/exception_fixup.h.

default rel
bits 64

global insn_rdmsr_safe
global insn_wrmsr_safe

section .text

; bool insn_rdmsr_safe(uint32_t msr, uint64_t *value)
insn_rdmsr_safe:
	mov ecx, edi
.fault:
	rdmsr
	shl rdx, 32
	or rax, rdx
	mov [rsi], rax
	mov eax, 1
	ret
.resume:
	xor eax, eax
	ret

; bool insn_wrmsr_safe(uint32_t msr, uint64_t value)
insn_wrmsr_safe:
	mov ecx, edi
	mov eax, esi
	mov rdx, rsi
	shr rdx, 32
.fault:
	wrmsr
	mov eax, 1
	ret
.resume:
	xor eax, eax
	ret

section exception_fixups progbits alloc noexec nowrite align=8
	dq insn_rdmsr_safe.fault, insn_rdmsr_safe.resume
	dq insn_wrmsr_safe.fault, insn_wrmsr_safe.resume
