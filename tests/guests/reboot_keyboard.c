/* Reset through the keyboard controller, the oldest way. */
#include "runtime/guest.h"

#include "runtime/cpu.h"

const char guest_name[] = "reboot_keyboard";

void guest_main(void)
{
	out8(0x64, 0xfe);
	guest_fail("still there after a reset");
}
