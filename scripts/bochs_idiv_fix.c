/*
 * Preload library that gives Debian's Bochs 3.1 a correct 64-bit IDIV.
 *
 * That build (GCC 15, strict aliasing; Bochs issue 668) returns an
 * uninitialised quotient from long_idiv(), so that every IDIV r/m64 of the
 * emulated machine gives rubbish. The program exports its symbols, which lets
 * us find the function at start and overwrite its first bytes with a jump to
 * the version below.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Bochs's Bit128s: the low half unsigned, the high half signed. */
struct bit128s {
	uint64_t lo;
	int64_t hi;
};

static const char symbol[] = "_Z9long_idivP7Bit128sPlPKS_l";

/* The caller has refused a divisor of 0 and checks the quotient's range. */
static void right_long_idiv(struct bit128s *quotient, int64_t *remainder,
							const struct bit128s *dividend, int64_t divisor)
{
	unsigned __int128 bits = ((unsigned __int128)(uint64_t)dividend->hi << 64) | dividend->lo;
	int negative_dividend = dividend->hi < 0;
	int negative_divisor = divisor < 0;
	unsigned __int128 n = negative_dividend ? -bits : bits;
	uint64_t d = negative_divisor ? -(uint64_t)divisor : (uint64_t)divisor;
	unsigned __int128 q = n / d; /* unsigned: no overflow for the extreme values */
	uint64_t r = (uint64_t)(n % d);

	if (negative_dividend != negative_divisor)
		q = -q;
	if (negative_dividend)
		r = -r;
	quotient->lo = (uint64_t)q;
	quotient->hi = (int64_t)(uint64_t)(q >> 64);
	*remainder = (int64_t)r;
}

/* movabs rax, target; jmp rax */
static void write_jump(unsigned char *at, const void *target)
{
	static const unsigned char code[12] = { 0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xe0 };
	uint64_t address = (uint64_t)(uintptr_t)target;

	memcpy(at, code, sizeof(code));
	memcpy(at + 2, &address, sizeof(address));
}

__attribute__((constructor)) static void mend_idiv(void)
{
	unsigned char *function = dlsym(RTLD_DEFAULT, symbol);
	uintptr_t page_size = (uintptr_t)sysconf(_SC_PAGESIZE);

	if (function == NULL) {
		fprintf(stderr, "bochs_idiv_fix: this program has no %s; its IDIV is left as it is\n", symbol);
		return;
	}
	uintptr_t first = (uintptr_t)function & ~(page_size - 1);
	uintptr_t end = ((uintptr_t)function + 12 + page_size - 1) & ~(page_size - 1);
	if (mprotect((void *)first, end - first, PROT_READ | PROT_WRITE | PROT_EXEC) != 0) {
		perror("bochs_idiv_fix: mprotect; IDIV is left broken");
		return;
	}
	write_jump(function, (const void *)(uintptr_t)right_long_idiv);
	if (mprotect((void *)first, end - first, PROT_READ | PROT_EXEC) != 0)
		perror("bochs_idiv_fix: mprotect");
}
