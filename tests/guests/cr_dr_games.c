/*
 * Control, debug and extended control registers: what the manual refuses is refused, what it allows works. What an emulation does
 * otherwise is left out where the command line says so: `any-cr3` (reserved bits of CR3), `no-detect` (DR7.GD).
 */
#include "runtime/guest.h"

#include "runtime/cpu.h"
#include "runtime/work.h"

const char guest_name[] = "cr_dr_games";

#define CR0_PE 0x1ull
#define CR0_TS 0x8ull
#define CR0_NE 0x20ull
#define CR0_WP 0x10000ull
#define CR0_NW (1ull << 29)
#define CR0_CD (1ull << 30)
#define CR0_PG (1ull << 31)
#define CR4_DE 0x8ull
#define CR4_PAE 0x20ull
#define CR4_PGE 0x80ull
#define CR4_LA57 (1ull << 12)
#define CR4_VMXE (1ull << 13)
#define CR4_OSXSAVE (1ull << 18)
#define EFER 0xc0000080u
#define EFER_LME 0x100ull
#define EFER_SVME 0x1000ull
#define ALL_MODES 15u

uint32_t guest_visit_old_modes(void);

static void load_cr0(uint64_t value, uint64_t unused) { (void)unused, write_cr0(value); }
static void load_cr3(uint64_t value, uint64_t unused) { (void)unused, write_cr3(value); }
static void load_cr4(uint64_t value, uint64_t unused) { (void)unused, write_cr4(value); }
static void load_cr8(uint64_t value, uint64_t unused) { (void)unused, write_cr8(value); }
static void load_dr6(uint64_t value, uint64_t unused) { (void)unused, write_dr6(value); }
static void load_dr7(uint64_t value, uint64_t unused) { (void)unused, write_dr7(value); }
static void load_efer(uint64_t value, uint64_t unused) { (void)unused, wrmsr(EFER, value); }
static void load_xcr(uint64_t number, uint64_t value)
{
	__asm__ volatile("xsetbv" : : "a"((uint32_t)value), "d"((uint32_t)(value >> 32)), "c"((uint32_t)number));
}
static void load_word(uint64_t address, uint64_t unused) { (void)unused; __asm__ volatile("lmsw (%0)" : : "r"(address)); }
static void store_word(uint64_t address, uint64_t unused) { (void)unused; __asm__ volatile("smsw (%0)" : : "r"(address) : "memory"); }
GUEST_CODE(use_cr1, "mov %%cr1, %%rax" : : : "rax")
GUEST_CODE(use_dr4, "mov %%dr4, %%rax" : : : "rax")
GUEST_CODE(use_fpu, "fldz; fstp %%st(0)" : : )
GUEST_CODE(use_rdpmc, "rdpmc" : : "c"(0) : "rax", "rdx")
GUEST_CODE(use_wbinvd, "wbinvd" : : : "memory")
GUEST_CODE(use_invd_free, "invlpg (%0)" : : "r"(0xfee00000ul) : "memory")
GUEST_CODE(use_monitor, "monitor" : : "a"(0x100000ul), "c"(0ul), "d"(0ul))
GUEST_CODE(use_mwait, "mwait" : : "a"(0ul), "c"(0ul))
GUEST_CODE(use_rsm, "rsm" : : )

static void refused(const char *what, void (*code)(uint64_t first, uint64_t second), uint64_t first, uint64_t second, int expected)
{
	int vector = guest_try(code, first, second);

	guest_check(vector == expected, "%s %llx: vector %d, expected %d", what, (unsigned long long)first, vector, expected);
}

static void cr0_games(void)
{
	uint64_t cr0 = read_cr0();

	refused("CR0", load_cr0, cr0 | 1ull << 32, 0, GENERAL_PROTECTION);
	refused("CR0", load_cr0, cr0 & ~CR0_PE, 0, GENERAL_PROTECTION);
	refused("CR0", load_cr0, cr0 & ~CR0_PG, 0, GENERAL_PROTECTION); /* from 64-bit code */
	refused("CR0", load_cr0, (cr0 & ~CR0_CD) | CR0_NW, 0, GENERAL_PROTECTION);
	guest_check(read_cr0() == cr0, "CR0 changed to %llx", (unsigned long long)read_cr0());
	write_cr0(cr0 | CR0_CD);
	guest_check(read_cr0() == (cr0 | CR0_CD), "CR0.CD does not stay");
	write_cr0(cr0 ^ CR0_NE);
	guest_check(read_cr0() == (cr0 ^ CR0_NE), "CR0.NE cannot be changed: %llx", (unsigned long long)read_cr0());
	write_cr0(cr0);
	write_cr0(cr0 | CR0_TS);
	refused("FPU with CR0.TS", use_fpu, 0, 0, DEVICE_NOT_AVAILABLE);
	__asm__ volatile("clts");
	guest_check(!(read_cr0() & CR0_TS), "CLTS does not clear TS");
	refused("FPU without CR0.TS", use_fpu, 0, 0, NO_FAULT);
	__asm__ volatile("lmsw %0" : : "r"((uint16_t)(CR0_TS)));
	guest_check((read_cr0() & 0xf) == (CR0_PE | CR0_TS), "after LMSW CR0 is %llx", (unsigned long long)read_cr0());
	write_cr0(cr0);
}

static void machine_status_word_games(void)
{
	static volatile uint16_t words[4];
	uint64_t cr0 = read_cr0(), wide = ~0ull;

	words[2] = CR0_TS;
	__asm__ volatile("lmsw 2(%0, %1, 2)" : : "r"(words), "r"(1ul));
	guest_check((read_cr0() & 0xf) == (CR0_PE | CR0_TS), "after LMSW of memory CR0 is %llx", (unsigned long long)read_cr0());
	/* With this bit the hypervisor reads CR0 for the guest. */
	write_cr0((cr0 & ~CR0_TS) | CR0_CD);
	__asm__ volatile("smsw %0" : "=m"(words[1]));
	guest_check(words[1] == (uint16_t)(cr0 & ~CR0_TS) && words[0] == 0 && words[3] == 0, "SMSW stored %x", words[1]);
	__asm__ volatile("smsww %w0" : "+r"(wide));
	guest_check(wide == (~0xffffull | words[1]), "SMSW of 16 bits gives %llx", (unsigned long long)wide);
	refused("SMSW nowhere", store_word, 1ull << 45, 0, PAGE_FAULT);
	write_cr0(cr0);
	refused("LMSW of nowhere", load_word, 1ull << 45, 0, PAGE_FAULT);
	guest_check(guest_fault_address == 1ull << 45, "CR2 is %llx", (unsigned long long)guest_fault_address);
	refused("LMSW of no address", load_word, 1ull << 60, 0, GENERAL_PROTECTION);
	guest_check(read_cr0() == cr0, "CR0 changed to %llx", (unsigned long long)read_cr0());
}

static void cr4_games(void)
{
	uint64_t cr4 = read_cr4();

	refused("CR4.VMXE", load_cr4, cr4 | CR4_VMXE, 0, GENERAL_PROTECTION);
	refused("CR4.PAE", load_cr4, cr4 & ~CR4_PAE, 0, GENERAL_PROTECTION);
	refused("CR4.LA57", load_cr4, cr4 | CR4_LA57, 0, GENERAL_PROTECTION);
	for (unsigned bit = 24; bit < 64; bit++)
		refused("CR4", load_cr4, cr4 | 1ull << bit, 0, GENERAL_PROTECTION);
	refused("CR4", load_cr4, ~0ull, 0, GENERAL_PROTECTION);
	guest_check(read_cr4() == cr4, "CR4 changed to %llx", (unsigned long long)read_cr4());
	write_cr4(cr4 ^ CR4_PGE);
	guest_check(read_cr4() == (cr4 ^ CR4_PGE), "CR4.PGE cannot be changed");
	write_cr4(cr4);
}

static void other_cr_games(void)
{
	uint64_t cr3 = read_cr3();

	refused("CR1", use_cr1, 0, 0, UNDEFINED_OPCODE);
	if (!guest_has_word("any-cr3"))
		refused("CR3", load_cr3, cr3 | 1ull << 62, 0, GENERAL_PROTECTION);
	refused("CR3", load_cr3, cr3 | 0x18, 0, NO_FAULT);
	write_cr3(cr3);
	write_cr2(0x123456789abcdefull);
	cpuid(0, 0);
	guest_check(read_cr2() == 0x123456789abcdefull, "CR2 changed in an exit");
	refused("CR8", load_cr8, 16, 0, GENERAL_PROTECTION);
	write_cr8(9);
	guest_check(read_cr8() == 9, "CR8 reads %llu", (unsigned long long)read_cr8());
	guest_check((mmio_read(0xfee00080) & 0xff) == 0x90, "the TPR is %x with CR8 = 9", mmio_read(0xfee00080));
	mmio_write(0xfee00080, 0x35);
	guest_check(read_cr8() == 3, "CR8 is %llu with a TPR of 35h", (unsigned long long)read_cr8());
	write_cr8(0);
}

static void efer_games(void)
{
	uint64_t efer = rdmsr(EFER);

	refused("EFER", load_efer, efer | EFER_SVME, 0, GENERAL_PROTECTION);
	refused("EFER", load_efer, efer | 2, 0, GENERAL_PROTECTION);
	refused("EFER", load_efer, efer & ~EFER_LME, 0, GENERAL_PROTECTION);
	refused("EFER", load_efer, ~0ull, 0, GENERAL_PROTECTION);
	refused("EFER", load_efer, efer | 1, 0, NO_FAULT);
	guest_check(rdmsr(EFER) == (efer | 1), "EFER.SCE does not stay");
	wrmsr(EFER, efer);
}

static void xcr_games(void)
{
	uint64_t cr4 = read_cr4();

	refused("XSETBV without OSXSAVE", load_xcr, 0, 1, UNDEFINED_OPCODE);
	if (!(cpuid(1, 0).ecx & 1u << 26))
		return;
	write_cr4(cr4 | CR4_OSXSAVE);
	refused("XSETBV without x87", load_xcr, 0, 2, GENERAL_PROTECTION);
	refused("XSETBV of nothing", load_xcr, 0, 0, GENERAL_PROTECTION);
	refused("XSETBV with AVX but not SSE", load_xcr, 0, 5, GENERAL_PROTECTION);
	refused("XSETBV of half AVX-512", load_xcr, 0, 0x27, GENERAL_PROTECTION);
	refused("XSETBV of bit 63", load_xcr, 0, 1ull << 63 | 3, GENERAL_PROTECTION);
	refused("XSETBV of PT", load_xcr, 0, 0x103, GENERAL_PROTECTION);
	refused("XSETBV of XCR1", load_xcr, 1, 3, GENERAL_PROTECTION);
	refused("XSETBV", load_xcr, 0, 3, NO_FAULT);
	refused("XSETBV", load_xcr, 0, 1, NO_FAULT);
	write_cr4(cr4);
}

static unsigned debug_count;
static uint64_t debug_status, debug_rip;

static void on_debug(struct guest_frame *frame)
{
	debug_count++;
	debug_status = read_dr6();
	debug_rip = frame->rip;
	frame->rflags &= ~0x100ull; /* TF */
	write_dr7(0x400);
}

static void dr_games(void)
{
	static volatile uint64_t watched;
	uint64_t cr4 = read_cr4();

	refused("DR6", load_dr6, 1ull << 32, 0, GENERAL_PROTECTION);
	refused("DR7", load_dr7, 1ull << 32, 0, GENERAL_PROTECTION);
	write_dr0(0x1111), write_dr1(0x2222), write_dr2(0x3333), write_dr3(0x4444);
	cpuid(0, 0);
	guest_check(read_dr0() == 0x1111 && read_dr1() == 0x2222 && read_dr2() == 0x3333 && read_dr3() == 0x4444,
		    "a debug register changed in an exit");
	write_cr4(cr4 | CR4_DE);
	refused("DR4 with CR4.DE", use_dr4, 0, 0, UNDEFINED_OPCODE);
	write_cr4(cr4 & ~CR4_DE);
	refused("DR4 without CR4.DE", use_dr4, 0, 0, NO_FAULT);
	write_cr4(cr4);

	guest_handle(DEBUG, on_debug);
	write_dr6(0xffff0ff0);
	write_dr0((uint64_t)&watched);
	write_dr7(0x400 | 2 | 1u << 16 | 3u << 18);
	watched = 1;
	if (debug_count == 0)
		guest_print("cr_dr_games: this CPU has no data breakpoints\n");
	else
		guest_check(debug_count == 1 && (debug_status & 0xf) == 1, "a watched write: %u #DB, DR6 %llx", debug_count, (unsigned long long)debug_status);
	write_dr6(0xffff0ff0);
}

/* A single step over an instruction that the hypervisor carries out ends behind that instruction. */
static void step_games(void)
{
	uint64_t behind;

	debug_count = 0;
	__asm__ volatile("lea 1f(%%rip), %0; pushfq; orq $0x100, (%%rsp); xor %%eax, %%eax; popfq; cpuid; 1: nop; nop"
			 : "=&D"(behind) : : "rax", "rbx", "rcx", "rdx", "cc", "memory");
	guest_check(debug_count == 1 && debug_rip == behind && (debug_status & 1u << 14),
		    "a step over CPUID: %u #DB, DR6 %llx, at %llx, expected %llx", debug_count, (unsigned long long)debug_status,
		    (unsigned long long)debug_rip, (unsigned long long)behind);
}

/* General detection: the handler itself may use the debug registers. */
static void detect_games(void)
{
	debug_count = 0;
	write_dr7(0x2400); /* GD */
	read_dr0();
	guest_check(debug_count == 1 && (debug_status & 1u << 13), "DR7.GD: %u #DB, DR6 %llx", debug_count, (unsigned long long)debug_status);
	write_dr6(0xffff0ff0);
	guest_handle(DEBUG, NULL);
}

static void other_games(void)
{
	refused("RDPMC", use_rdpmc, 0, 0, GENERAL_PROTECTION);
	refused("WBINVD", use_wbinvd, 0, 0, NO_FAULT);
	refused("INVLPG of a device", use_invd_free, 0, 0, NO_FAULT);
	refused("MONITOR", use_monitor, 0, 0, UNDEFINED_OPCODE);
	refused("MWAIT", use_mwait, 0, 0, UNDEFINED_OPCODE);
	refused("RSM", use_rsm, 0, 0, UNDEFINED_OPCODE);
}

void guest_main(void)
{
	cr0_games();
	machine_status_word_games();
	cr4_games();
	other_cr_games();
	efer_games();
	xcr_games();
	dr_games();
	step_games();
	if (!guest_has_word("no-detect"))
		detect_games();
	other_games();
	for (unsigned i = 0; i < 20; i++) {
		uint32_t modes = guest_visit_old_modes();

		guest_check(modes == ALL_MODES, "round %u through the old modes reached %x", i, modes);
	}
}
