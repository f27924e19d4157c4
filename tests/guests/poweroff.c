/* Power-off through the sleep register: SLP_TYP 5, SLP_EN. */
#include "runtime/guest.h"

#include "runtime/cpu.h"

const char guest_name[] = "poweroff";

void guest_main(void)
{
	out16(0x604, 5u << 10);
	out16(0x604, 1u << 13 | 3u << 10); /* another sleep state does nothing */
	out16(0x604, 1u << 13 | 5u << 10);
	guest_fail("still there after power-off");
}
