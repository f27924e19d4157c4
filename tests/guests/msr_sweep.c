/*
 * RDMSR and WRMSR over the whole space: each gives a value or #GP, and the host survives. What is read is written back,
 * then all ones and a pattern are tried where that can only be refused or harmless. `any-lstar` on the command line: where the
 * emulation takes addresses there that are not canonical.
 */
#include "runtime/guest.h"

#include "runtime/cpu.h"
#include "runtime/work.h"

const char guest_name[] = "msr_sweep";

static uint64_t value_read;

static void read_msr(uint64_t msr, uint64_t unused)
{
	(void)unused;
	value_read = rdmsr((uint32_t)msr);
}

static void write_msr(uint64_t msr, uint64_t value) { wrmsr((uint32_t)msr, value); }

/* Any write to these takes effect on the guest itself: paging mode, where its interrupts go, its clock. */
static const uint32_t own_registers[] = {
	0x10, 0x1b, 0x3b, 0x6e0, 0x80b, 0x80d, 0x80f, 0x830, 0x83f, 0xc0000080, 0xc0000100, 0xc0000101, 0xc0000102,
};

static const struct { uint32_t first, last, step; } spaces[] = {
	{ 0x0, 0x1fff, 1 },
	{ 0x2000, 0x3fffffff, 0x00fedcb7 },
	{ 0x40000000, 0x400001ff, 1 },
	{ 0x40000200, 0xbfffffff, 0x01fedcb7 },
	{ 0xc0000000, 0xc0001fff, 1 },
	{ 0xc0002000, 0xc000ffff, 0xdcb7 },
	{ 0xc0010000, 0xc0011fff, 1 }, /* AMD's own */
	{ 0xc0012000, 0xffff0000, 0x00fedcb7 },
	{ 0xffffff00, 0xfffffffe, 1 },
};

static unsigned readable, writable;

static int is_own(uint32_t msr)
{
	for (size_t i = 0; i < sizeof(own_registers) / sizeof(own_registers[0]); i++) {
		if (own_registers[i] == msr)
			return 1;
	}
	return 0;
}

static int write_allowed(uint32_t msr, uint64_t value)
{
	int vector = guest_try(write_msr, msr, value);

	guest_check(vector == NO_FAULT || vector == GENERAL_PROTECTION, "WRMSR %x of %llx: vector %d", msr, (unsigned long long)value, vector);
	return vector == NO_FAULT;
}

static void visit(uint32_t msr)
{
	int vector = guest_try(read_msr, msr, 0);
	uint64_t value = value_read;

	guest_check(vector == NO_FAULT || vector == GENERAL_PROTECTION, "RDMSR %x: vector %d", msr, vector);
	readable += vector == NO_FAULT;
	if (is_own(msr))
		return;
	if (vector == GENERAL_PROTECTION) {
		writable += (unsigned)write_allowed(msr, 0);
		return;
	}
	writable += (unsigned)write_allowed(msr, value);
	write_allowed(msr, ~0ull);
	write_allowed(msr, 0x5a5a5a5a5a5a5a5aull);
	write_allowed(msr, value);
}

/* What the processor's manual promises for these, whatever the host is. */
static void check_known(void)
{
	guest_check(guest_try(read_msr, 0x3a, 0) == NO_FAULT && value_read == 1, "IA32_FEATURE_CONTROL is not just locked: %llx",
		    (unsigned long long)value_read);
	guest_check(guest_try(write_msr, 0x3a, 5) == GENERAL_PROTECTION, "IA32_FEATURE_CONTROL could be written");
	guest_check(guest_try(write_msr, 0x277, 0x0202020202020202ull) == GENERAL_PROTECTION, "a reserved PAT type was taken");
	guest_check(guest_try(write_msr, 0xc0000080, 1ull << 20) == GENERAL_PROTECTION, "a reserved bit of EFER was taken");
	if (!guest_has_word("any-lstar"))
		guest_check(guest_try(write_msr, 0xc0000082, 1ull << 60) == GENERAL_PROTECTION, "LSTAR took an address that is not canonical");
	guest_check(guest_try(read_msr, 0x12345678, 0) == GENERAL_PROTECTION, "an MSR that does not exist could be read");
}

void guest_main(void)
{
	for (size_t i = 0; i < sizeof(spaces) / sizeof(spaces[0]); i++) {
		for (uint64_t msr = spaces[i].first; msr <= spaces[i].last; msr += spaces[i].step)
			visit((uint32_t)msr);
	}
	check_known();
	guest_print("msr_sweep: %u readable, %u writable\n", readable, writable);
}
