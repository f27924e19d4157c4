/* Reset through port 0xcf9. */
#include "runtime/guest.h"

#include "runtime/cpu.h"

const char guest_name[] = "reboot";

void guest_main(void)
{
	out8(0xcf9, 0x02);
	out8(0xcf9, 0x06);
	guest_fail("still there after a reset");
}
