/* Memory behind the end of RAM: the VM must stop at the write. */
#include "runtime/guest.h"

const char guest_name[] = "write_beyond_ram";

void guest_main(void)
{
	volatile uint32_t *beyond = (volatile uint32_t *)0xb0000000ul;

	*beyond = 0x12345678;
	guest_fail("a write to nowhere was taken: it reads as %x", *beyond);
}
