/*
 * Switching VT-d on: see struct iommu_backend. VT-d Specification, "Set Root Table Pointer Operation", "Software Steps
 * to Setup DMA Remapping Facilities".
 */
#pragma once

#include "drivers/iommu/iommu_backend.h"

must_check enum status vtd_probe(struct iommu_backend *backend, const struct boot_info *info, const char **why);
must_check enum status vtd_enable(const char **why, const char **interrupts_why);
