/* Functions that ask a unit for translations and keep them. VT-d Specification, "Device-TLB Invalidate". */
#pragma once

#include "drivers/iommu/iommu_backend.h"

/** vtd_ats_enable() - see struct iommu_backend. */
must_check enum status vtd_ats_enable(const struct iommu_domain *domain, const struct pci_function *function,
				      const char **why);
/** vtd_ats_invalidate() - see struct iommu_backend. */
must_check enum status vtd_ats_invalidate(const struct pci_function *function, uint64_t input, uint64_t length);
