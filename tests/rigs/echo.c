/*
 * A UEFI program that tells each byte of the serial line in hexadecimal: shows
 * that a rig passes every byte. 'p' prints the line of a panic, 'q' ends the
 * machine.
 */
#include <efi.h>
#include <efilib.h>

#include "com1.h"

static void put_hex(uint8_t byte)
{
	static const char digits[] = "0123456789abcdef";
	char text[] = { digits[byte >> 4], digits[byte & 15], ' ', '\0' };

	com1_put(text);
}

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system)
{
	(void)image;
	/* The firmware would take the keys away in its timer interrupt. */
	__asm__ volatile("cli");
	com1_put("\r\nrig-test: echo\r\n");
	for (;;) {
		uint8_t key = com1_get();

		put_hex(key);
		if (key == 'p')
			com1_put("\r\ntrivet: panic: a rig test's\r\n");
		if (key == 'q')
			system->RuntimeServices->ResetSystem(EfiResetShutdown, EFI_SUCCESS, 0, NULL);
	}
}
