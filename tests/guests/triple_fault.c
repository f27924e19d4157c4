/* An exception without any descriptor table: the VM must stop. */
#include "runtime/guest.h"

const char guest_name[] = "triple_fault";

void guest_main(void)
{
	struct { uint16_t limit; uint64_t base; } __attribute__((packed)) none = { 0, 0 };

	__asm__ volatile("lidt %0; ud2" : : "m"(none));
}
