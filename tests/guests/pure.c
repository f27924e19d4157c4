/*
 * Pure computation for ever: nothing here makes an exit. It counts millions of its instructions in memory at PROGRESS, where
 * the host can look (`mem NAME 0x300000 8`).
 */
#include "runtime/guest.h"

#include "runtime/cpu.h"

const char guest_name[] = "pure";

#define PROGRESS 0x300000ul
#define MILLION_ROUNDS 499998u /* with two instructions each, and the four around them */

void guest_main(void)
{
	*(volatile uint64_t *)PROGRESS = 0;
	guest_print("pure: computing\n");
	__asm__ volatile("1: mov %1, %%ecx\n"
			 "2: dec %%ecx\n"
			 "jnz 2b\n"
			 "nop\n"
			 "incq (%0)\n"
			 "jmp 1b" : : "r"(PROGRESS), "i"(MILLION_ROUNDS) : "rcx", "memory");
}
