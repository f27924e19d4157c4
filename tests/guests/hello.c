/* The smallest guest: it starts, its bss is zero, it prints, it ends. */
#include "runtime/guest.h"

const char guest_name[] = "hello";

static uint8_t zeroed[100000];

void guest_main(void)
{
	for (size_t i = 0; i < sizeof(zeroed); i++)
		guest_check(zeroed[i] == 0, "bss at %u is %x", (unsigned)i, zeroed[i]);
	guest_print("hello from %s\n", guest_name);
}
