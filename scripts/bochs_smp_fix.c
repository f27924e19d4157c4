/*
 * Preload library that lets Bochs 3.1 with several processors take interrupts right behind an exception.
 *
 * An exception (or a VM exit) ends an instruction by longjmp. With one processor the loop it lands in then notes where the
 * next instruction starts and that RSP is final; with several it does not (BX_CPU_C::cpu_run_trace()). If a VM exit for an
 * interrupt comes next, it takes the guest's RIP back to the instruction that faulted, but not its RSP: the guest sees its
 * exception twice, one frame lower. So we note both before each longjmp. All processors are then between two instructions.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define SEARCHED 512 /* bytes of cpu_loop() */

void __longjmp_chk(struct __jmp_buf_tag *environment, int value);

static unsigned char ***processors; /* of BX_CPU_C */
static const unsigned char *processor_count;
static uint32_t rip, speculative, previous_rip; /* offsets in BX_CPU_C */
static void (*real_longjmp)(struct __jmp_buf_tag *environment, int value);

/*
 * The one-processor loop does what we want, as
 *	mov rax, [rdx + rip]; mov byte [rdx + speculative], 0; mov [rdx + previous_rip], rax
 * and tells the offsets so.
 */
static int find_offsets(const unsigned char *code)
{
	static const unsigned char load[] = { 0x48, 0x8b, 0x82 }, clear[] = { 0xc6, 0x82 }, store[] = { 0x48, 0x89, 0x82 };

	for (size_t i = 0; i < SEARCHED; i++, code++) {
		if (memcmp(code, load, 3) || memcmp(code + 7, clear, 2) || code[13] != 0 || memcmp(code + 14, store, 3))
			continue;
		memcpy(&rip, code + 3, 4);
		memcpy(&speculative, code + 9, 4);
		memcpy(&previous_rip, code + 17, 4);
		return 1;
	}
	return 0;
}

__attribute__((constructor)) static void find_processors(void)
{
	const unsigned char *loop = dlsym(RTLD_DEFAULT, "_ZN8BX_CPU_C8cpu_loopEv");

	*(void **)&real_longjmp = dlsym(RTLD_NEXT, "__longjmp_chk");
	processors = dlsym(RTLD_DEFAULT, "bx_cpu_array");
	processor_count = dlsym(RTLD_DEFAULT, "bx_cpu_count");
	if (!loop || !processor_count || !find_offsets(loop)) {
		if (loop)
			fprintf(stderr, "bochs_smp_fix: this is not the Bochs 3.1 it was made for; guests on several CPUs may fail\n");
		processors = NULL;
	}
}

void __longjmp_chk(struct __jmp_buf_tag *environment, int value)
{
	for (unsigned i = 0; processors && *processors && i < *processor_count; i++) {
		unsigned char *processor = (*processors)[i];

		if (!processor)
			continue;
		memcpy(processor + previous_rip, processor + rip, 8);
		processor[speculative] = 0;
	}
	real_longjmp(environment, value);
	__builtin_unreachable();
}
