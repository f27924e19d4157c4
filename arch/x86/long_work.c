#include "arch/x86/long_work.h"

#include "arch/x86/clock.h"
#include "arch/x86/insn.h"
#include "arch/x86/pcpu.h"

#define STEP (64 * KIB)

static void (*hook)(void);
static uint64_t next_hook; /* host TSC; two CPUs that meet here call the hook twice, which does no harm */

void long_work_set_hook(void (*function)(void))
{
	hook = function;
}

void long_work_step(void)
{
	pcpu_note_progress();
	if (!hook || clock_now() < __atomic_load_n(&next_hook, __ATOMIC_RELAXED))
		return;
	__atomic_store_n(&next_hook, clock_now() + clock_ticks_from_nanoseconds(LONG_WORK_MICROSECONDS * 1000ull), __ATOMIC_RELAXED);
	hook();
}

void long_work_zero(void *memory, uint64_t length)
{
	uint8_t *bytes = memory;

	for (uint64_t done = 0; done < length; done += STEP) {
		insn_rep_stosq(bytes + done, 0, min_u64(STEP, length - done) / sizeof(uint64_t));
		long_work_step();
	}
}
