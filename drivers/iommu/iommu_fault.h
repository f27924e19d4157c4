/* Faults as any IOMMU reports them: told in words, counted by source, and ended when they come in a storm. */
#pragma once

#include "drivers/iommu/iommu.h"
#include "lib/types.h"

#define IOMMU_STORM_FAULTS 50u /* of one source in one second: it is cut off */
#define IOMMU_FAULTS_KEPT 8u   /* the last ones, for `iommu` */

struct iommu_fault {
	uint16_t unit, segment, requester;
	uint8_t reason;
	const char *words;  /* what @reason means */
	bool interrupt;     /* of an interrupt request: @index; else of memory: @address */
	bool write;
	uint64_t address;
	uint16_t index;
};

/**
 * iommu_fault_count() - notes @fault. Under the lock of iommu.c.
 * @say: out: a line may be logged. Return: this fault makes it a storm: the source is to be cut off.
 */
must_check bool iommu_fault_count(const struct iommu_fault *fault, bool *say);
/** iommu_fault_tell() - logs @fault; @where: the domain's name or "quarantine". */
void iommu_fault_tell(const struct iommu_fault *fault, const char *where);
/**
 * iommu_fault_is_cut_off() / _cut_off() / _forget() - whether the source was cut off; is now; gets a new start. Under
 * the lock.
 */
bool iommu_fault_is_cut_off(uint16_t segment, uint16_t requester);
void iommu_fault_cut_off(uint16_t segment, uint16_t requester);
void iommu_fault_forget(uint16_t segment, uint16_t requester);
/** iommu_fault_describe() - the last faults. No lock held. */
void iommu_fault_describe(iommu_print print);
