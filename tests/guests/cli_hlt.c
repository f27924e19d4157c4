/* Waits for ever with interrupts off: the host must stay at work, and can still end the VM. */
#include "runtime/guest.h"

const char guest_name[] = "cli_hlt";

void guest_main(void)
{
	guest_print("cli_hlt: halting\n");
	guest_halt();
}
