/* Physical memory of the host builds; see tests/fake/arch/x86/physmap.h. */
#pragma once

#include "arch/x86/physmap.h"

/** fake_physmap_reset() - all of physical memory reads as zero again. */
void fake_physmap_reset(void);

/**
 * fake_physmap_discard() - makes whole pages of physical memory zero without taking host memory for them.
 * Return: false (nothing done) if [@start, @start + @length) is not made of whole pages of physical memory.
 */
bool fake_physmap_discard(void *start, uint64_t length);
