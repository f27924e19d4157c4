/* Interrupts of devices. */
#include "drivers/iommu/iommu_backend.h"

#define MIN_VECTOR 0x10u

enum status iommu_interrupt_allocate(const struct pci_function *function, struct iommu_interrupt *interrupt)
{
	const char *why;
	enum status status;

	*interrupt = (struct iommu_interrupt){0};
	if (!iommu_isolates_interrupts(&why))
		return STATUS_UNSUPPORTED;
	if (!iommu_covers(function, &why))
		return STATUS_NOT_FOUND;
	iommu_lock();
	status = iommu_backend()->interrupt_allocate(function, interrupt);
	interrupt->allocated = status == STATUS_OK;
	iommu_unlock();
	return status;
}

static enum status write_interrupt(const struct iommu_interrupt *interrupt, uint8_t vector, uint32_t apic_id,
				   bool posted, hpa_t descriptor)
{
	enum status status;

	if (!interrupt->allocated)
		return STATUS_INVALID;
	iommu_lock();
	status = iommu_backend()->interrupt_write(interrupt, vector, apic_id, posted, descriptor);
	iommu_unlock();
	return status;
}

enum status iommu_interrupt_route(struct iommu_interrupt *interrupt, uint8_t vector, uint32_t apic_id)
{
	return vector < MIN_VECTOR ? STATUS_OUT_OF_RANGE : write_interrupt(interrupt, vector, apic_id, false, hpa(0));
}

enum status iommu_interrupt_post(struct iommu_interrupt *interrupt, uint8_t vector, hpa_t descriptor)
{
	if (vector < MIN_VECTOR || !is_aligned(descriptor.value, 64))
		return STATUS_OUT_OF_RANGE;
	return write_interrupt(interrupt, vector, 0, true, descriptor);
}

enum status iommu_interrupt_block(struct iommu_interrupt *interrupt)
{
	return write_interrupt(interrupt, 0, 0, false, hpa(0));
}

void iommu_interrupt_free(struct iommu_interrupt *interrupt)
{
	/* An entry that a unit may still use is not given to anybody else. */
	if (iommu_interrupt_block(interrupt) == STATUS_OK) {
		iommu_lock();
		iommu_backend()->interrupt_free(interrupt);
		iommu_unlock();
	}
	interrupt->allocated = false;
}
