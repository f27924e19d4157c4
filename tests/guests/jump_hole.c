/* Runs into guest-physical memory where there is none: the VM must stop. */
#include "runtime/guest.h"

const char guest_name[] = "jump_hole";

void guest_main(void)
{
	void (*hole)(void) = (void (*)(void))0xd0000000ul;

	hole();
	guest_fail("code ran where there is no memory");
}
