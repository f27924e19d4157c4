/* Never leaves the guest by itself. */
#include "runtime/guest.h"

const char guest_name[] = "busy_loop";

void guest_main(void)
{
	guest_print("busy_loop: looping\n");
	for (;;)
		__asm__ volatile("cli");
}
