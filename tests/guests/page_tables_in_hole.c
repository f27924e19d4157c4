/* Page tables where there is no memory: the walk itself fails, and the VM must stop. */
#include "runtime/guest.h"

#include "runtime/cpu.h"

const char guest_name[] = "page_tables_in_hole";

void guest_main(void)
{
	write_cr3(0xd0000000ul);
	guest_fail("code ran without page tables");
}
