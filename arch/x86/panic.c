#include "arch/x86/panic.h"

#include <stdarg.h>

#include "arch/x86/clock.h"
#include "arch/x86/insn.h"
#include "arch/x86/log.h"
#include "arch/x86/panic_hooks.h"
#include "arch/x86/pcpu.h"
#include "lib/fmt.h"

LINKER_TABLE_DECLARE(panic_hooks, const struct panic_hook);

#define PANIC_TEXT_SIZE 256u
#define CPUID_FEATURES 0x1u
#define CPUID_TOPOLOGY 0xbu
#define MICROSECONDS_PER_SECOND 1000000ull

/* The processor that panicked first, its APIC id + 1; 0 while there is none. */
static uint64_t panic_owner;
/* Where the owner is: a panic inside of a panic goes on behind the hooks that caused it, so it ends. */
static unsigned panic_stage;
static unsigned reboot_seconds; /* 0: never */
static enum status (*reboot_way)(void);

void panic_set_reboot(unsigned seconds, enum status (*way)(void))
{
	reboot_way = way;
	reboot_seconds = seconds;
}

bool panic_is_active(void)
{
	return __atomic_load_n(&panic_owner, __ATOMIC_ACQUIRE) != 0;
}

void panic_halt(void)
{
	for (;;) {
		insn_cli();
		insn_hlt();
	}
}

/* Asked of the processor itself, since GS may be what is broken. */
static uint64_t processor_id(void)
{
	uint32_t topology_id = insn_cpuid(0, 0).eax >= CPUID_TOPOLOGY ? insn_cpuid(CPUID_TOPOLOGY, 0).edx : 0;

	return topology_id != 0 ? topology_id : insn_cpuid(CPUID_FEATURES, 0).ebx >> 24;
}

static void run_hooks(unsigned stage)
{
	const struct panic_hook *const *hooks = LINKER_TABLE_START(panic_hooks);

	for (size_t i = 0; i < LINKER_TABLE_COUNT(panic_hooks); i++)
		if (hooks[i]->stage == stage)
			hooks[i]->run();
}

/* True for the first panic of all, false for another one of the same processor; other processors stop here. */
static bool take_ownership(void)
{
	uint64_t expected = 0, id = processor_id() + 1;

	if (__atomic_compare_exchange_n(&panic_owner, &expected, id, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		return true;
	if (expected != id)
		panic_halt();
	return false;
}

/* The clock needs no interrupt. A panic on the way comes by here again and finds nothing left to try. */
static noreturn_function void finish(void)
{
	unsigned seconds = reboot_seconds;

	reboot_seconds = 0;
	if (seconds != 0) {
		log_error("the machine restarts in %u seconds", seconds);
		clock_delay_microseconds(seconds * MICROSECONDS_PER_SECOND);
		(void)reboot_way();
	}
	panic_halt();
}

void panic(const char *format, ...)
{
	char text[PANIC_TEXT_SIZE];
	va_list arguments;
	bool first;

	insn_cli();
	first = take_ownership();
	va_start(arguments, format);
	fmt_vprint(text, sizeof(text), format, arguments);
	va_end(arguments);

	log_panic_mode();
	if (first)
		run_hooks(panic_stage++);
	log_error("trivet: panic: %s%s", first ? "" : "while panicking: ", text);
	while (panic_stage < PANIC_STAGE_COUNT)
		run_hooks(panic_stage++);
	finish();
}
