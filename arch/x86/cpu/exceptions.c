#include "arch/x86/cpu/exceptions.h"

#include <stdarg.h>

#include "arch/x86/cpu/backtrace.h"
#include "arch/x86/cpu/machine_check.h"
#include "arch/x86/cpu/stack.h"
#include "arch/x86/cpu/watchdog.h"
#include "arch/x86/exception.h"
#include "arch/x86/exception_fixup.h"
#include "arch/x86/insn.h"
#include "arch/x86/irq/interrupt.h"
#include "arch/x86/irq/ipi.h"
#include "arch/x86/log.h"
#include "arch/x86/panic.h"
#include "arch/x86/panic_hooks.h"
#include "arch/x86/pcpu.h"
#include "lib/bits.h"
#include "lib/fmt.h"

#define TEXT_SIZE 192u
#define SYMBOL_TEXT_SIZE 96u

#define PAGE_FAULT_PRESENT BIT(0)
#define PAGE_FAULT_WRITE BIT(1)
#define PAGE_FAULT_RESERVED BIT(3)
#define PAGE_FAULT_FETCH BIT(4)

/* System control port B: why the chipset raised an NMI. */
#define PORT_SYSTEM_CONTROL_B 0x61u
#define SYSTEM_CONTROL_PARITY_ERROR BIT(7)
#define SYSTEM_CONTROL_IO_CHECK BIT(6)

static const char *const names[EXCEPTION_COUNT] = {
	[EXCEPTION_DE] = "divide error",
	[EXCEPTION_DB] = "debug exception",
	[EXCEPTION_NMI] = "NMI",
	[EXCEPTION_BP] = "breakpoint",
	[EXCEPTION_OF] = "overflow",
	[EXCEPTION_BR] = "bound range exceeded",
	[EXCEPTION_UD] = "invalid opcode",
	[EXCEPTION_NM] = "device not available",
	[EXCEPTION_DF] = "double fault",
	[EXCEPTION_TS] = "invalid TSS",
	[EXCEPTION_NP] = "segment not present",
	[EXCEPTION_SS] = "stack fault",
	[EXCEPTION_GP] = "general protection fault",
	[EXCEPTION_PF] = "page fault",
	[EXCEPTION_MF] = "x87 error",
	[EXCEPTION_AC] = "alignment check",
	[EXCEPTION_MC] = "machine check",
	[EXCEPTION_XM] = "SIMD error",
	[EXCEPTION_VE] = "virtualization exception",
	[EXCEPTION_CP] = "control protection exception",
};

/* The exception that each CPU panics about; NULL: it called panic() by itself. */
static const struct idt_frame *panic_frames[PCPU_MAX];
static uint64_t nmi_count;

const char *exception_name(uint64_t vector)
{
	return vector < EXCEPTION_COUNT && names[vector] != NULL ? names[vector] : "reserved exception";
}

uint64_t exception_nmi_count(void)
{
	return __atomic_load_n(&nmi_count, __ATOMIC_RELAXED);
}

static const char *page_fault_access(uint64_t error_code)
{
	if (error_code & PAGE_FAULT_FETCH)
		return "execute";
	return error_code & PAGE_FAULT_WRITE ? "write" : "read";
}

static const char *page_fault_cause(uint64_t error_code)
{
	if (error_code & PAGE_FAULT_RESERVED)
		return "reserved bit in a page table";
	return error_code & PAGE_FAULT_PRESENT ? "not allowed" : "not present";
}

/* What is special about this exception: goes between its name and RIP. */
static size_t describe_details(const struct idt_frame *frame, uint64_t cr2, bool overflow, char *buffer, size_t size)
{
	const char *stack = overflow ? ", stack overflow" : "";

	if (frame->vector == EXCEPTION_PF)
		return fmt_print(buffer, size, " at %#llx (%s, %s%s)", (unsigned long long)cr2,
				 page_fault_access(frame->error_code), page_fault_cause(frame->error_code), stack);
	if (overflow)
		return fmt_print(buffer, size, " (stack overflow)");
	if (exception_has_error_code((unsigned)frame->vector) && frame->error_code != 0)
		return fmt_print(buffer, size, " (error code %#llx)", (unsigned long long)frame->error_code);
	return fmt_print(buffer, size, "%s", "");
}

size_t exception_describe(const struct idt_frame *frame, uint64_t cr2, bool overflow, const struct symbol_table *symbols,
			  char *buffer, size_t size)
{
	char details[SYMBOL_TEXT_SIZE], place[SYMBOL_TEXT_SIZE];

	describe_details(frame, cr2, overflow, details, sizeof(details));
	symbols_print(symbols, frame->rip, place, sizeof(place));
	return fmt_print(buffer, size, "%s%s, rip %s", exception_name(frame->vector), details, place);
}

void exception_panic(const struct idt_frame *frame, const char *format, ...)
{
	char text[TEXT_SIZE];
	va_list arguments;

	va_start(arguments, format);
	fmt_vprint(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (!panic_is_active())
		panic_frames[pcpu_current()->index] = frame;
	panic("%s", text);
}

static noreturn_function void fail(const struct idt_frame *frame)
{
	const struct pcpu *pcpu = pcpu_current();
	uint64_t cr2 = insn_read_cr2();
	char text[TEXT_SIZE];
	bool overflow = stack_is_overflow(pcpu, frame->rsp - 1) ||
			((frame->vector == EXCEPTION_PF || frame->vector == EXCEPTION_DF) && stack_is_overflow(pcpu, cr2));

	exception_describe(frame, cr2, overflow, symbols_table(), text, sizeof(text));
	exception_panic(frame, "%s", text);
}

/* No lock may be taken and nothing logged here: the interrupted code may hold any lock. */
static void handle_nmi(const struct idt_frame *frame)
{
	if (panic_is_active() || ipi_is_stopping())
		ipi_stop_self();
	if (insn_in8(PORT_SYSTEM_CONTROL_B) & (SYSTEM_CONTROL_PARITY_ERROR | SYSTEM_CONTROL_IO_CHECK))
		fail(frame);
	if (!watchdog_answer(frame))
		__atomic_fetch_add(&nmi_count, 1, __ATOMIC_RELAXED);
}

void exception_enter(struct idt_frame *frame)
{
	if (likely(frame->vector >= EXCEPTION_COUNT)) {
		interrupt_dispatch((uint8_t)frame->vector);
		return;
	}
	if (frame->vector == EXCEPTION_NMI) {
		handle_nmi(frame);
		return;
	}
	if (frame->vector == EXCEPTION_MC && machine_check_handle())
		return;
	if (frame->vector != EXCEPTION_MC && exception_fixup_find(frame->rip, &frame->rip))
		return;
	fail(frame);
}

static void print_frame(const struct idt_frame *frame)
{
	const uint64_t *g = frame->gpr;
	struct { const char *names[4]; uint64_t values[4]; } lines[] = {
		{{"rax", "rcx", "rdx", "rbx"}, {g[GPR_RAX], g[GPR_RCX], g[GPR_RDX], g[GPR_RBX]}},
		{{"rsp", "rbp", "rsi", "rdi"}, {frame->rsp, g[GPR_RBP], g[GPR_RSI], g[GPR_RDI]}},
		{{"r8 ", "r9 ", "r10", "r11"}, {g[GPR_R8], g[GPR_R9], g[GPR_R10], g[GPR_R11]}},
		{{"r12", "r13", "r14", "r15"}, {g[GPR_R12], g[GPR_R13], g[GPR_R14], g[GPR_R15]}},
		{{"rip", "cs ", "flg", "err"}, {frame->rip, frame->cs, frame->rflags, frame->error_code}},
	};

	for (size_t i = 0; i < array_count(lines); i++)
		log_error("%s %016llx  %s %016llx  %s %016llx  %s %016llx", lines[i].names[0], (unsigned long long)lines[i].values[0],
			  lines[i].names[1], (unsigned long long)lines[i].values[1], lines[i].names[2],
			  (unsigned long long)lines[i].values[2], lines[i].names[3], (unsigned long long)lines[i].values[3]);
}

static void print_registers(void)
{
	const struct pcpu *pcpu = pcpu_current();
	const struct idt_frame *frame = panic_frames[pcpu->index];

	log_error("CPU %u (APIC id %u), doing: %s", pcpu->index, pcpu->apic_id, pcpu->activity != NULL ? pcpu->activity : "?");
	if (frame != NULL)
		print_frame(frame);
	log_error("cr0 %016llx  cr2 %016llx  cr3 %016llx  cr4 %016llx", (unsigned long long)insn_read_cr0(),
		  (unsigned long long)insn_read_cr2(), (unsigned long long)insn_read_cr3(), (unsigned long long)insn_read_cr4());
	if (frame != NULL && frame->vector == EXCEPTION_MC)
		machine_check_report();
}

static no_inline void print_backtrace(void)
{
	const struct idt_frame *frame = panic_frames[pcpu_current()->index];

	if (frame != NULL)
		backtrace_print(frame->rip, frame->gpr[GPR_RBP]);
	else
		backtrace_print((uint64_t)(uintptr_t)print_backtrace, insn_read_rbp());
}

static const struct panic_hook registers_hook = {PANIC_STAGE_REGISTERS, print_registers};
static const struct panic_hook backtrace_hook = {PANIC_STAGE_BACKTRACE, print_backtrace};
PANIC_HOOK(registers_hook);
PANIC_HOOK(backtrace_hook);
