; A Multiboot2 program that prints the command line of each of its modules on
; COM1 and halts: shows what an ISO of scripts/mkiso hands to the hypervisor.
; Build: nasm -f elf32, ld -m elf_i386 -Ttext 0x400000
bits 32

MAGIC       equ 0xe85250d6
BOOT_MAGIC  equ 0x36d76289
TAG_END     equ 0
TAG_MODULE  equ 3
COM1        equ 0x3f8
LINE_CONTROL equ COM1 + 3
LINE_STATUS equ COM1 + 5
EIGHT_BITS  equ 3

section .text
align 8
header:
        dd MAGIC, 0, header_end - header, -(MAGIC + header_end - header)
        dw 0, 0
        dd 8
header_end:

global _start
_start:
        mov     esp, stack_top
        mov     ecx, eax
        mov     dx, LINE_CONTROL        ; a BIOS may leave the UART at five bits
        mov     al, EIGHT_BITS
        out     dx, al
        cmp     ecx, BOOT_MAGIC
        jne     done
        lea     ebp, [ebx + 8]          ; the first tag, behind size and reserved
next_tag:
        cmp     dword [ebp], TAG_END
        je      done
        cmp     dword [ebp], TAG_MODULE
        jne     skip_tag
        mov     esi, module_text
        call    put
        lea     esi, [ebp + 16]         ; behind type, size, start and end
        call    put
        mov     esi, line_end
        call    put
skip_tag:
        mov     eax, [ebp + 4]
        add     eax, 7
        and     eax, -8
        add     ebp, eax
        jmp     next_tag
done:
        mov     esi, done_text
        call    put
halt:
        hlt
        jmp     halt

; Prints the text at esi; changes eax, edx and esi.
put:
        mov     dx, LINE_STATUS
        in      al, dx
        test    al, 0x20
        jz      put
        lodsb
        test    al, al
        jz      .end
        mov     dx, COM1
        out     dx, al
        jmp     put
.end:
        ret

module_text: db "rig-test: module ", 0
done_text:   db "rig-test: modules done"
line_end:    db 13, 10, 0

section .bss
        resb 1024
stack_top:
