/* What a kind of IOMMU gives to iommu.c, which holds its lock around every call but those of the boot. */
#pragma once

#include "drivers/iommu/iommu.h"
#include "drivers/iommu/iommu_fault.h"
#include "lib/types.h"

#define IOMMU_MAX_DOMAINS 64u
#define IOMMU_MAX_UNITS 32u
#define IOMMU_ALL_ADDRESSES ((uint64_t)1 << 63) /* [bytes] from 0, more than any table reaches */

struct iommu_attachment {
	const struct pci_function *function;
	bool ats;      /* it keeps translations itself */
	uint16_t unit; /* that serves it; below IOMMU_MAX_UNITS */
};

struct iommu_domain {
	bool used;
	bool lost;     /* a unit did not answer: its tables are never given back */
	bool firmware; /* of a function in quarantine whose firmware keeps some memory */
	uint16_t id;   /* 1.. */
	char name[IOMMU_NAME_SIZE];
	struct page_table table;
	uint32_t units; /* of its functions, a bit each: which has to be told of changes */
	uint32_t function_count;
	struct iommu_attachment functions[IOMMU_MAX_FUNCTIONS];
};

struct iommu_backend {
	const char *name;
	/* Of all domains; set by probe(). */
	struct page_table_format format;
	uint32_t leaf_attributes; /* that each mapping gets in addition */
	uint64_t limit;           /* inputs lie below it */
	uint32_t domain_count;    /* ids are below it */

	/* Finds the units and prepares tables in which all is blocked; nothing is switched on yet. */
	enum status (*probe)(struct iommu_backend *backend, const struct boot_info *info, const char **why);
	/*
	 * Translation and interrupt remapping on. *@why as for probe(); *@interrupts_why: NULL, or why remapping stays
	 * off.
	 */
	enum status (*enable)(const char **why, const char **interrupts_why);

	bool (*covers)(const struct pci_function *function, const char **why);
	/* Of a function that is covered. */
	uint16_t (*unit_of)(const struct pci_function *function);
	bool (*reserved_memory)(const struct pci_function *function, uint32_t nth, hpa_t *base, uint64_t *length);

	enum status (*attach)(const struct iommu_domain *domain, const struct pci_function *function);
	/* @silent: and no fault of it is recorded any more. */
	enum status (*block)(const struct pci_function *function, bool silent);
	/* A source that no fault is recorded of any more. */
	void (*silence)(uint16_t unit, uint16_t requester);
	/* A range was taken out of @domain, or put in (@added): the units forget what they knew of it. */
	enum status (*invalidate)(const struct iommu_domain *domain, uint64_t input, uint64_t length, bool added);
	/* As iommu_enable_ats(), of a function in @domain. */
	enum status (*enable_ats)(const struct iommu_domain *domain, const struct pci_function *function,
				  const char **why);
	/* A function that keeps translations forgets a range, after the units have. */
	enum status (*invalidate_device)(const struct pci_function *function, uint64_t input, uint64_t length);

	enum status (*interrupt_allocate)(const struct pci_function *function, struct iommu_interrupt *interrupt);
	/* @posted: to @descriptor; else to the CPU with @apic_id. @vector 0: blocks. */
	enum status (*interrupt_write)(const struct iommu_interrupt *interrupt, uint8_t vector, uint32_t apic_id,
				       bool posted, hpa_t descriptor);
	void (*interrupt_free)(const struct iommu_interrupt *interrupt);
	bool (*posts_interrupts)(const struct pci_function *function);

	/* Takes one recorded fault out; false: there is none. */
	bool (*read_fault)(struct iommu_fault *fault);
	void (*drop_faults)(void); /* all that are recorded */
	void (*describe)(iommu_print print);
	void (*audit)(const struct iommu_visitor *visitor, void *context);
};

extern struct iommu_backend vtd_backend;

/** iommu_backend() - the one in use; NULL: none, or not switched on yet. */
struct iommu_backend *iommu_backend(void);

/* The one lock of IOMMUs, also for what reaches a back end past iommu.h: the host's I/O APICs. */
void iommu_lock(void);
void iommu_unlock(void);

/* Under the lock. */
/** iommu_create_domain_locked() - as iommu_domain_create(), for a back end that is not in use yet. */
must_check enum status iommu_create_domain_locked(const char *name, const struct iommu_backend *from,
						  struct iommu_domain **created);
/**
 * iommu_find_domain() - by its id, 1..IOMMU_MAX_DOMAINS; iommu_find_domain_of(): a VM's, by a function. NULL: there is
 * none.
 */
const struct iommu_domain *iommu_find_domain(uint16_t id);
const struct iommu_domain *iommu_find_domain_of(const struct pci_function *function);
/**
 * iommu_cut_off_locked() - notes and tells that @function, of the domain @where, reaches nothing any more, and ends its
 * bus mastering. @why: "does this or that". The back end blocks it already.
 */
void iommu_cut_off_locked(const struct pci_function *function, const char *where, const char *why);
