/* Instructions that no driver uses on device registers; the command line says which. The VM must stop. */
#include "runtime/guest.h"

#include "runtime/apic.h"

const char guest_name[] = "mmio_unsupported";

static void use_sse(void) { __asm__ volatile("movaps (%0), %%xmm0" : : "r"(IO_APIC)); }
static void use_fxsave(void) { __asm__ volatile("fxsave64 (%0)" : : "r"(IO_APIC) : "memory"); }
static void use_cmpxchg16b(void) { __asm__ volatile("lock cmpxchg16b (%0)" : : "r"(IO_APIC) : "rax", "rdx", "memory"); }
static void use_push(void) { __asm__ volatile("pushq (%0); pop %%rax" : : "r"(IO_APIC) : "rax", "memory"); }

static const struct {
	const char *word;
	void (*run)(void);
} ways[] = {
	{ "sse", use_sse },
	{ "fxsave", use_fxsave },
	{ "cmpxchg16b", use_cmpxchg16b },
	{ "push", use_push },
};

void guest_main(void)
{
	const char *word = (const char *)(uint64_t)guest_information->command_line;

	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		if (strcmp(word, ways[i].word) == 0)
			ways[i].run();
	}
	guest_fail("still there after '%s'", word);
}
