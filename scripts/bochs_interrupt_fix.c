/*
 * Preload library that mends faults of Bochs 3.1, mostly with several processors, by which interrupts come at the wrong time.
 *
 * Machine code is replaced only after it was compared: a fix that does not fit this Bochs is left out, with a line that
 * says so. With BOCHS_FIX_REPORT in the environment the fixes made are named too.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* movabs rax, target; jmp rax */
#define JUMP_SIZE 12

/* Gives NULL, or why the machine code could not be changed. */
static const char *write_jump(unsigned char *at, const void *target)
{
	unsigned char code[JUMP_SIZE] = { 0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xe0 };
	uint64_t address = (uint64_t)(uintptr_t)target;
	uintptr_t page_size = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t first = (uintptr_t)at & ~(page_size - 1);
	uintptr_t end = ((uintptr_t)at + JUMP_SIZE + page_size - 1) & ~(page_size - 1);

	if (mprotect((void *)first, end - first, PROT_READ | PROT_WRITE | PROT_EXEC) != 0)
		return "its code cannot be made writable";
	memcpy(code + 2, &address, sizeof(address));
	memcpy(at, code, sizeof(code));
	/* Pages that stay writable do no harm here. */
	(void)mprotect((void *)first, end - first, PROT_READ | PROT_EXEC);
	return NULL;
}

/* True if the bytes at `code` are those of `pattern`: hexadecimal numbers, ?? for any byte. */
static int code_matches(const unsigned char *code, const char *pattern)
{
	for (; *pattern != '\0'; code++) {
		char *end;
		unsigned long byte = strtoul(pattern, &end, 16);

		if (end == pattern)
			end += 2; /* ?? */
		else if (byte != *code)
			return 0;
		pattern = end + strspn(end, " ");
	}
	return 1;
}

/* Gives the first place in `size` bytes of a function's code that matches, or NULL. */
static unsigned char *find_code(unsigned char *function, size_t size, const char *pattern)
{
	for (size_t i = 0; function != NULL && i < size; i++) {
		if (code_matches(function + i, pattern))
			return function + i;
	}
	return NULL;
}

/*
 * An exception or VM exit of any processor comes back to the setjmp() of the loop over all. As its variable is not
 * volatile, the compiler took the processor there to be the first: that one's instruction was counted, which ends its
 * interrupt shadow of STI too early, and the time of its last instructions was taken twice.
 *
 * The code to replace begins at "mov rax, [rsi]" and goes on behind "run = true", where rsi must be bx_cpu_array and rdi
 * the processor.
 */
static const char after_setjmp_code[] =
	"85 c0 74 10 "             /* test eax, eax; je +0x10 */
	"48 8b 06 "                /* mov rax, [rsi]             bx_cpu_array[0] */
	"c6 44 24 0b 00 "          /* mov byte [rsp + 0xb], 0    run = false */
	"48 83 80 40 01 00 00 01 " /* add qword [rax + 0x140], 1 icount++ */
	"48 8b 3e eb 61 "          /* mov rdi, [rsi]; jmp +0x61  to: if (run) */
	"66 0f 1f 44 00 00 "       /* nop */
	"c6 44 24 0b 01 "          /* mov byte [rsp + 0xb], 1    run = true */
	"48 8b 87 40 01 00 00 "    /* mov rax, [rdi + 0x140] */
	"2b 87 48 01 00 00 "       /* sub eax, [rdi + 0x148]     icount_last_sync */
	"0f 44 05 ?? ?? ?? ?? "    /* cmove eax, [quantum] */
	"01 44 24 0c "             /* add [rsp + 0xc], eax       executed */
	"8b 44 24 04 "             /* mov eax, [rsp + 4]         processor */
	"0f b6 0d ?? ?? ?? ?? "    /* movzx ecx, byte [bx_cpu_count] */
	"83 c0 01 39 c1";          /* add eax, 1; cmp ecx, eax */
#define AFTER_SETJMP_REPLACED 4 /* offsets in this code */
#define AFTER_SETJMP_CONTINUE 36

static const void *smp_loop_continue __attribute__((used));

__attribute__((naked)) static void after_longjmp(void)
{
	__asm__("movl 4(%rsp), %ecx\n\t"
			"movq (%rsi,%rcx,8), %rdi\n\t"
			"addq $1, 0x140(%rdi)\n\t"
			"jmp *smp_loop_continue(%rip)");
}

static const char *mend_smp_loop(void)
{
	unsigned char *loop = find_code(dlsym(RTLD_DEFAULT, "_Z19bx_begin_simulationiPPc"), 0x600, after_setjmp_code);

	if (loop == NULL)
		return "bx_begin_simulation() is not as expected";
	smp_loop_continue = loop + AFTER_SETJMP_CONTINUE;
	return write_jump(loop + AFTER_SETJMP_REPLACED, (const void *)(uintptr_t)after_longjmp);
}

/*
 * At a VM entry external interrupts are masked by the guest's IF before in_vmx_guest is true, so that a guest with
 * interrupts off keeps them from the hypervisor although 'external-interrupt exiting' is set. We decide again once the
 * guest is entered, at the start of VMenterInjectEvents().
 */
static const char inject_events_code[] =
	"f3 0f 1e fa "          /* endbr64 */
	"44 8b 87 90 90 00 00 " /* mov r8d, [rdi + 0x9090]  VM-entry interruption information */
	"45 85 c0 79 50 "       /* test r8d, r8d; jns +0x50 to: */
	"41 56";                /* push r14 */
#define INJECT_EVENTS_CONTINUE 16
#define INJECT_EVENTS_RETURN (INJECT_EVENTS_CONTINUE + 0x50)

static const void *handle_interrupt_mask_change __attribute__((used));
static const void *inject_events_continue __attribute__((used));

__attribute__((naked)) static void inject_events(void)
{
	__asm__("pushq %rdi\n\t"
			"call *handle_interrupt_mask_change(%rip)\n\t"
			"popq %rdi\n\t"
			"movl 0x9090(%rdi), %r8d\n\t"
			"testl %r8d, %r8d\n\t"
			"js 1f\n\t"
			"ret\n"
			"1:\tjmp *inject_events_continue(%rip)");
}

static const char *mend_vm_entry(void)
{
	unsigned char *function = dlsym(RTLD_DEFAULT, "_ZN8BX_CPU_C19VMenterInjectEventsEv");

	handle_interrupt_mask_change = dlsym(RTLD_DEFAULT, "_ZN8BX_CPU_C25handleInterruptMaskChangeEv");
	if (handle_interrupt_mask_change == NULL)
		return "this program has no handleInterruptMaskChange()";
	if (find_code(function, 1, inject_events_code) == NULL || function[INJECT_EVENTS_RETURN] != 0xc3)
		return "VMenterInjectEvents() is not as expected";
	inject_events_continue = function + INJECT_EVENTS_CONTINUE;
	return write_jump(function, (const void *)(uintptr_t)inject_events);
}

/*
 * The same at VMRUN, and whatever IF the host had: a guest with interrupts off keeps them from the hypervisor, and one with
 * interrupts on is not interrupted by a virtual interrupt that waits, until it changes IF. We decide once the guest is
 * entered, at the start of SvmInjectEvents().
 */
static const char svm_inject_events_code[] =
	"f3 0f 1e fa "          /* endbr64 */
	"48 83 ec 58 "          /* sub rsp, 0x58 */
	"48 8b 87 b8 91 00 00 " /* mov rax, [rdi + 0x91b8] */
	"8b 97 c8 91 00 00";    /* mov edx, [rdi + 0x91c8] */
#define SVM_INJECT_EVENTS_CONTINUE 15

/* In handleInterruptMaskChange(): where IF, the host's IF and 'virtualize interrupt masking' are. */
static const char guest_flag_code[] = "f6 87 09 01 00 00 02"; /* test byte [rdi + 0x109], 2 */
static const char svm_masks_code[] =
	"48 8b 97 d0 91 00 00 " /* mov rdx, [rdi + 0x91d0] */
	"80 ba 1b 01 00 00 00 " /* cmp byte [rdx + 0x11b], 0 */
	"74 d6 89 c1 80 cd 1c "
	"f6 82 b9 00 00 00 02"; /* test byte [rdx + 0xb9], 2 */
#define EVENT_INTERRUPTS 0xc00u

static const void *svm_inject_events_continue __attribute__((used));

__attribute__((used)) static void after_svm_entry(unsigned char *processor)
{
	const unsigned char *controls = *(unsigned char **)(processor + 0x91d0);
	uint32_t *masked = (uint32_t *)(void *)(processor + 0x91e4);

	if (processor[0x109] & 2) {
		((void (*)(unsigned char *))(uintptr_t)handle_interrupt_mask_change)(processor);
		return;
	}
	if (!controls[0x11b] || !(controls[0xb9] & 2))
		return;
	*masked &= ~EVENT_INTERRUPTS;
	if (*(uint32_t *)(void *)(processor + 0x91e0) & EVENT_INTERRUPTS)
		*(uint32_t *)(void *)(processor + 0x91e8) = 1; /* something to look at before the next instruction */
}

__attribute__((naked)) static void svm_inject_events(void)
{
	__asm__("pushq %rdi\n\t"
			"call after_svm_entry\n\t"
			"popq %rdi\n\t"
			"subq $0x58, %rsp\n\t"
			"movq 0x91b8(%rdi), %rax\n\t"
			"jmp *svm_inject_events_continue(%rip)");
}

static const char *mend_svm_entry(void)
{
	unsigned char *function = dlsym(RTLD_DEFAULT, "_ZN8BX_CPU_C15SvmInjectEventsEv");
	unsigned char *masks = dlsym(RTLD_DEFAULT, "_ZN8BX_CPU_C25handleInterruptMaskChangeEv");

	if (find_code(masks, 0x20, guest_flag_code) == NULL || find_code(masks, 0x80, svm_masks_code) == NULL)
		return "handleInterruptMaskChange() is not as expected";
	if (find_code(function, 1, svm_inject_events_code) == NULL)
		return "SvmInjectEvents() is not as expected";
	handle_interrupt_mask_change = masks;
	svm_inject_events_continue = function + SVM_INJECT_EVENTS_CONTINUE;
	return write_jump(function, (const void *)(uintptr_t)svm_inject_events);
}

/*
 * An external interrupt for the hypervisor while a virtual interrupt waits for the guest's IF: HandleExtInterrupt() asks
 * only whether the latter is pending and gives it to the guest that has interrupts off. We ask for its mask too.
 */
static const char external_interrupt_code[] =
	"f6 83 e1 91 00 00 02 " /* test byte [rbx + 0x91e1], 2  pending events: virtual interrupt (0x200) */
	"0f 85 a9 00 00 00 "    /* jne +0xa9 to: VMX_Deliver_Virtual_Interrupt() */
	"48 89 df";             /* mov rdi, rbx */
#define EXTERNAL_INTERRUPT_CONTINUE 13
#define EXTERNAL_INTERRUPT_VIRTUAL (EXTERNAL_INTERRUPT_CONTINUE + 0xa9)

/* In handleInterruptMaskChange(): where the masks of the events are. */
static const char mask_events_code[] =
	"80 e4 f3 0d 40 02 00 00 " /* and ah, 0xf3; or eax, 0x240  virtual interrupt, interrupt window */
	"89 87 e4 91 00 00 "       /* mov [rdi + 0x91e4], eax */
	"f6 87 e1 91 00 00 0c";    /* test byte [rdi + 0x91e1], 0xc */

static const void *external_interrupt_continue __attribute__((used));
static const void *external_interrupt_virtual __attribute__((used));

__attribute__((naked)) static void external_interrupt(void)
{
	__asm__("movl 0x91e4(%rbx), %eax\n\t"
			"notl %eax\n\t"
			"andl 0x91e0(%rbx), %eax\n\t"
			"testl $0x200, %eax\n\t"
			"jnz 1f\n\t"
			"jmp *external_interrupt_continue(%rip)\n"
			"1:\tjmp *external_interrupt_virtual(%rip)");
}

static const char *mend_virtual_interrupt(void)
{
	unsigned char *handler = dlsym(RTLD_DEFAULT, "_ZN8BX_CPU_C18HandleExtInterruptEv");
	unsigned char *code = find_code(handler, 0x80, external_interrupt_code);

	if (code == NULL)
		return "HandleExtInterrupt() is not as expected";
	if (find_code(dlsym(RTLD_DEFAULT, "_ZN8BX_CPU_C25handleInterruptMaskChangeEv"), 0x140, mask_events_code) == NULL)
		return "handleInterruptMaskChange() is not as expected";
	external_interrupt_continue = code + EXTERNAL_INTERRUPT_CONTINUE;
	external_interrupt_virtual = code + EXTERNAL_INTERRUPT_VIRTUAL;
	return write_jump(code, (const void *)(uintptr_t)external_interrupt);
}

static const struct {
	const char *name;
	const char *(*mend)(void); /* gives NULL, or why it was left out */
} fixes[] = {
	{ "count of instructions", mend_smp_loop },
	{ "interrupts after VM entry", mend_vm_entry },
	{ "interrupts after VMRUN", mend_svm_entry },
	{ "virtual interrupts", mend_virtual_interrupt },
};

__attribute__((constructor)) static void mend_interrupts(void)
{
	int report = getenv("BOCHS_FIX_REPORT") != NULL;

	for (size_t i = 0; i < sizeof(fixes) / sizeof(fixes[0]); i++) {
		const char *reason = fixes[i].mend();

		if (reason != NULL)
			fprintf(stderr, "bochs_interrupt_fix: %s: not mended: %s\n", fixes[i].name, reason);
		else if (report)
			fprintf(stderr, "bochs_interrupt_fix: %s: mended\n", fixes[i].name);
	}
}
