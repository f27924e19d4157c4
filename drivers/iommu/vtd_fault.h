/* A unit's fault records. VT-d Specification, "Fault Recording Registers", "Fault Reason Encodings". */
#pragma once

#include "drivers/iommu/iommu_fault.h"
#include "drivers/iommu/vtd_unit.h"
#include "lib/types.h"

/** vtd_fault_decode() - a record's two halves; anything may come. */
struct iommu_fault vtd_fault_decode(const struct vtd_unit *unit, uint64_t low, uint64_t high);
/** vtd_fault_read() - takes a recorded fault out; false: there is none. Under the lock of iommu.c. */
must_check bool vtd_fault_read(struct vtd_unit *unit, struct iommu_fault *fault);
/** vtd_fault_drop() - forgets all that is recorded; the next fault is told again. */
void vtd_fault_drop(struct vtd_unit *unit);
/**
 * vtd_fault_start() - forgets what was recorded, and has the unit raise @vector on the CPU with @apic_id for new
 * faults.
 */
void vtd_fault_start(struct vtd_unit *unit, uint8_t vector, uint32_t apic_id);
