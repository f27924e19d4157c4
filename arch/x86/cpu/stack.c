#include "arch/x86/cpu/stack.h"

#include "arch/x86/log.h"
#include "arch/x86/mm/host_paging.h"
#include "arch/x86/mm/page_pool.h"

#define STACK_PAGES ((unsigned)(CPU_STACK_SIZE / PAGE_SIZE))

extern char boot_stack_guard[], boot_stack_top[]; /* boot_entry.asm */

void stack_adopt_boot(struct pcpu *pcpu)
{
	pcpu->stack_top = (uint64_t)(uintptr_t)boot_stack_top;
}

void stack_guard_boot(void)
{
	if (host_paging_unmap_guard(boot_stack_guard) != STATUS_OK)
		log_warning("CPU 0: no guard page below its stack");
}

enum status stack_create(struct pcpu *pcpu)
{
	uint8_t *pages = page_pool_allocate_contiguous(STACK_PAGES + 1);

	if (pages == NULL)
		return STATUS_NO_MEMORY;
	if (host_paging_unmap_guard(pages) != STATUS_OK)
		log_warning("CPU %u: no guard page below its stack", pcpu->index);
	pcpu->stack_top = (uint64_t)(uintptr_t)pages + (STACK_PAGES + 1) * PAGE_SIZE;
	return STATUS_OK;
}

bool stack_is_overflow(const struct pcpu *pcpu, uint64_t address)
{
	uint64_t bottom = pcpu->stack_top - CPU_STACK_SIZE;

	return pcpu->stack_top != 0 && address < bottom && address >= bottom - PAGE_SIZE;
}
