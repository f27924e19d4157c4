/*
 * Functions of the machine that a VM drives by itself: who may have which, and what they reach. A function given to a
 * VM was reset, is in the VM's own IOMMU domain, and goes back to quarantine and through a reset before the VM's memory
 * is reused.
 */
#pragma once

#include "arch/x86/mm/page_table.h"
#include "drivers/pci/pci.h"
#include "lib/status.h"
#include "lib/types.h"
#include "vmm/config.h"

struct iommu_domain;
struct vm;

struct passthrough_function {
	const struct pci_function *function;
	const char *reset; /* how it was reset last: "FLR"; NULL: not at all */
	bool attached;     /* in the domain; else in quarantine */
};

/* Embedded in struct vm; all zeroes: nothing is passed through. Changed by the boot processor only. */
struct passthrough {
	struct iommu_domain *domain; /* NULL: none */
	uint32_t count;
	struct passthrough_function functions[CONFIG_MAX_PCI]; /* as the configuration orders them */
};

/**
 * passthrough_check() - whether @config's functions can be given to a VM now; one line in the log for each that cannot,
 * with the reason. Nothing changes.
 * Return: STATUS_OK; STATUS_DENIED.
 */
must_check enum status passthrough_check(const struct vm_config *config);

/**
 * passthrough_attach() - gives the VM the functions of its configuration: claimed, reset, in a domain that has the VM's
 * RAM at its guest-physical addresses. Bus mastering stays off. RAM is mapped, no vCPU runs. Boot processor; takes some
 * 100 ms for each.
 * Return: STATUS_OK; else nothing has changed and the log says why.
 */
must_check enum status passthrough_attach(struct vm *vm);
/**
 * passthrough_quiesce() - the functions reach nothing any more: bus mastering off, quarantine, reset. For a VM whose
 * vCPUs have left for good, before its memory is looked at or scrubbed. May be called again. Boot processor.
 */
void passthrough_quiesce(struct vm *vm);
/** passthrough_detach() - quiesces and gives all back, with a line for each in the log. The VM's RAM was scrubbed or
 * will be. */
void passthrough_detach(struct vm *vm);

/**
 * passthrough_map() - registers of a function at a guest-physical address, for vCPUs and the VM's other functions: in
 * the nested table and in the domain, both or neither. Device lock held; vCPUs may run.
 * @attributes: PAGE_READ, PAGE_WRITE.
 * Return: STATUS_OK; as page_table_map() and iommu_domain_map() say (nothing changed).
 */
must_check enum status passthrough_map(struct vm *vm, gpa_t address, hpa_t registers, uint64_t length, uint32_t attributes);
/** passthrough_owns_registers() - all of [@registers, @registers + @length) belongs to one base address register of the VM's functions. */
bool passthrough_owns_registers(const struct vm *vm, hpa_t registers, uint64_t length);
/** passthrough_unmap() - takes that out of both again; vCPUs that run forget it before their next entry. If a unit of
 * the IOMMU does not answer, the VM is stopped. Device lock held. */
void passthrough_unmap(struct vm *vm, gpa_t address, uint64_t length);
