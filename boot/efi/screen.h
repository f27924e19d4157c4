/* Text on the firmware's console. */
#pragma once

#include <efi.h>

#include "lib/compiler.h"

/** screen_open() - says where to write; before any other function of this file. */
void screen_open(EFI_SYSTEM_TABLE *system);

/** screen_print() - one line of printf-like text (lib/fmt.h, ASCII, cut at 255 characters); the line end is added. */
void screen_print(const char *format, ...) printf_like(1, 2);

/**
 * screen_wait_for_key() - asks for a key and waits for it, or for as long as a reader needs where there is no keyboard.
 * Call with boot services in force.
 */
void screen_wait_for_key(void);

/** efi_status_name() - @status in words; never NULL. */
const char *efi_status_name(EFI_STATUS status);
