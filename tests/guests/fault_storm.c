/*
 * Exceptions without end, while the host's CPUs interrupt each other for what else they do: each must come once, with its
 * own frame, and leave registers and stack as they were.
 */
#include "runtime/guest.h"

#include "runtime/cpu.h"

const char guest_name[] = "fault_storm";

#define FAULTS 150000u
#define UNMAPPED 0x7f0000000000ul
#define PATTERN 0x0123456789abcdeful

static volatile uint64_t count;
static uint64_t fault_rsp;

/* Steps over MOV (RDI), RAX: three bytes. */
static void on_page_fault(struct guest_frame *frame)
{
	if (frame->error_code != 0 || read_cr2() != UNMAPPED + count * 8 || frame->rsp != fault_rsp)
		guest_fail("fault %llu: error %llx, CR2 %llx, rsp %llx", (unsigned long long)count, (unsigned long long)frame->error_code,
			   (unsigned long long)read_cr2(), (unsigned long long)frame->rsp);
	count++;
	frame->rip += 3;
}

static void fault_once(uint64_t address)
{
	uint64_t before, after, kept = PATTERN, other = ~PATTERN, untouched = 7;

	__asm__ volatile("mov %%rsp, %1; mov %%rsp, %2; mov (%%rdi), %%rax; mov %%rsp, %0"
			 : "=&r"(after), "=&r"(before), "=m"(fault_rsp), "+b"(kept), "+c"(other), "+a"(untouched) : "D"(address) : "memory");
	if (before != after || kept != PATTERN || other != ~PATTERN || untouched != 7)
		guest_fail("fault %llu left rsp %llx for %llx, rbx %llx, rcx %llx, rax %llx", (unsigned long long)count, (unsigned long long)after,
			   (unsigned long long)before, (unsigned long long)kept, (unsigned long long)other, (unsigned long long)untouched);
}

void guest_main(void)
{
	guest_handle(PAGE_FAULT, on_page_fault);
	for (unsigned i = 0; i < FAULTS; i++) {
		fault_once(UNMAPPED + i * 8ul);
		if (i % 8192 == 8191)
			cpuid(0, 0);
	}
	guest_check(count == FAULTS, "%llu faults of %u", (unsigned long long)count, FAULTS);
}
