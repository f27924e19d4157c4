/*
 * A UEFI program that proves the machine below us divides rightly: 64-bit IDIV
 * over a table of known answers. Debian's Bochs 3.1 fails it without
 * scripts/bochs_idiv_fix.c. Ends the machine.
 */
#include <efi.h>
#include <efilib.h>
#include <stdint.h>

#include "com1.h"

struct division {
	int64_t high;
	uint64_t low;
	int64_t divisor;
	int64_t quotient;
	int64_t remainder;
};

static const struct division divisions[] = {
	{ 0, 1000000007, 10, 100000000, 7 },
	{ -1, (uint64_t)-100, 7, -14, -2 },
	{ 0, 100, -7, -14, 2 },
	{ -1, (uint64_t)-100, -7, 14, -2 },
	{ 0, 0, -5, 0, 0 },
	{ 1, 0, 4, INT64_C(0x4000000000000000), 0 },
	{ -1, 0, 2, INT64_MIN, 0 },
	{ 0, INT64_MAX, INT64_MIN, 0, INT64_MAX },
	{ INT64_C(0x123456789a), 0x123456789abcdef0, INT64_C(0x7fffffffffffff), 0x2468acf13424,
	  0x347ae147ae1314 },
	{ -INT64_C(0x123456789a), 0x123456789abcdef0, INT64_C(0x7fffffffffffff), -0x2468acf133db,
	  -0x4bcdf0123454eb },
};

static int is_right(const struct division *d)
{
	int64_t quotient;
	int64_t remainder;

	__asm__ volatile("idivq %4" : "=a"(quotient), "=d"(remainder) : "0"(d->low), "1"(d->high), "r"(d->divisor));
	return quotient == d->quotient && remainder == d->remainder;
}

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system)
{
	unsigned wrong = 0;

	(void)image;
	for (unsigned i = 0; i < sizeof(divisions) / sizeof(divisions[0]); i++)
		wrong += !is_right(&divisions[i]);
	com1_put(wrong == 0 ? "rig-test: idiv right\r\n" : "rig-test: idiv wrong\r\n");
	system->RuntimeServices->ResetSystem(EfiResetShutdown, EFI_SUCCESS, 0, NULL);
	return EFI_SUCCESS;
}
