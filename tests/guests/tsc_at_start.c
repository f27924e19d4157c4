/* Prints the TSC as early as it can; natively that is when the boot loader ended. */
#include "runtime/guest.h"

#include "runtime/cpu.h"

const char guest_name[] = "tsc_at_start";

void guest_main(void)
{
	guest_print("start-tsc %llu\n", (unsigned long long)rdtsc());
}
