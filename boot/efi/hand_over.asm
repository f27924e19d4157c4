; The jump from the firmware's world into the hypervisor.

bits 64
default rel

section .text

; void hand_over(const struct boot_info *info, uint64_t entry), does not return.
; RDI stays as it is: the hypervisor's entry expects the structure there, with interrupts off (boot/boot_info.h).
global hand_over:function
hand_over:
	cli
	cld
	jmp rsi

section .note.GNU-stack noalloc noexec nowrite progbits
