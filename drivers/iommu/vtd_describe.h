/* What the units are and let through, for people and audits: see struct iommu_backend. Under the lock. */
#pragma once

#include "drivers/iommu/iommu_backend.h"

void vtd_describe(iommu_print print);
void vtd_audit(const struct iommu_visitor *visitor, void *context);
