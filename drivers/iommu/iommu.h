/*
 * I/O memory management: which memory a device reaches by DMA and which interrupts it raises. The machine's units stand
 * behind struct iommu_backend (VT-d today). From iommu_init() on every function is in quarantine: no memory, no
 * interrupt, until it is attached to a domain. Nothing is ever let through untranslated.
 */
#pragma once

#include "arch/x86/mm/page_table.h"
#include "boot/boot_info.h"
#include "drivers/pci/pci.h"
#include "lib/status.h"
#include "lib/types.h"

#define IOMMU_NAME_SIZE 32u      /* with the NUL */
#define IOMMU_MAX_FUNCTIONS 16u  /* in one domain */

struct iommu_domain;

/**
 * iommu_init() - finds the units, puts everything in quarantine, switches translation on, then interrupt remapping,
 * with the inputs of the host's own I/O APICs that are routed by then. Boot processor, once, after pci_scan().
 * @info: where RAM lies, to check what firmware wants to keep using by DMA.
 * Return: STATUS_OK; STATUS_NOT_FOUND (there is no unit), STATUS_UNSUPPORTED, STATUS_NO_MEMORY, STATUS_TIMEOUT,
 *         STATUS_IO: iommu_is_available() says why; the machine goes on, without passing devices through.
 */
must_check enum status iommu_init(const struct boot_info *info);

/** iommu_is_available() - DMA is translated, everywhere. Else *@why (static text, for people) says what is missing. */
bool iommu_is_available(const char **why);
/** iommu_isolates_interrupts() - a device can raise only interrupts given to it. Else *@why as above. */
bool iommu_isolates_interrupts(const char **why);
/** iommu_covers() - @function's DMA goes through a unit that works. Else *@why as above. */
bool iommu_covers(const struct pci_function *function, const char **why);
/** iommu_posts_interrupts() - iommu_interrupt_post() works for @function. */
bool iommu_posts_interrupts(const struct pci_function *function);

/* ---- domains: what a set of functions reaches; any CPU, interrupts off, one lock taken inside ---- */

/**
 * iommu_domain_create() - an empty domain; @name is copied, cut to IOMMU_NAME_SIZE - 1. STATUS_NO_MEMORY,
 * STATUS_UNSUPPORTED.
 */
must_check enum status iommu_domain_create(const char *name, struct iommu_domain **domain);
/**
 * iommu_domain_destroy() - detaches what is still attached and gives the tables back (after a timeout they are kept for
 * ever, since a unit may still read them).
 */
void iommu_domain_destroy(struct iommu_domain *domain);

/**
 * iommu_domain_map() - @domain's functions reach @output at @input. All or nothing; flushed when it returns.
 * @input, @length: 4 KiB aligned, no wrap, below iommu_domain_limit(). @attributes: PAGE_READ, PAGE_WRITE; others are
 * ignored.
 * Return: STATUS_OK; STATUS_INVALID; STATUS_OUT_OF_RANGE (beyond the limit); STATUS_EXISTS; STATUS_NO_MEMORY (nothing
 *         changed); STATUS_TIMEOUT (mapped; a unit did not answer).
 */
must_check enum status iommu_domain_map(struct iommu_domain *domain, uint64_t input, hpa_t output, uint64_t length,
					uint32_t attributes);
/**
 * iommu_domain_unmap() - takes a range out; parts that are not mapped are passed over. No access is under way and none
 * will come any more when it returns STATUS_OK, also from devices with caches of their own.
 * Return: STATUS_OK; STATUS_INVALID; STATUS_NO_MEMORY (nothing changed); STATUS_TIMEOUT (a unit did not answer: what
 *         was mapped may still be accessed and must not be given to anybody else).
 */
must_check enum status iommu_domain_unmap(struct iommu_domain *domain, uint64_t input, uint64_t length);
/** iommu_domain_limit() - inputs lie below it [bytes]. */
uint64_t iommu_domain_limit(const struct iommu_domain *domain);
/** iommu_domain_table() - the second-stage table, for audits; it changes under the lock. */
const struct page_table *iommu_domain_table(const struct iommu_domain *domain);
const char *iommu_domain_name(const struct iommu_domain *domain);

/**
 * iommu_attach() - moves @function from quarantine to @domain, with the requester ids that bridges may put in for it.
 * Return: STATUS_OK; STATUS_EXISTS (in a domain already); STATUS_NOT_FOUND (no unit covers it); STATUS_NO_MEMORY;
 *         STATUS_TIMEOUT (a unit did not answer; the function is in quarantine again).
 */
must_check enum status iommu_attach(struct iommu_domain *domain, const struct pci_function *function);
/**
 * iommu_detach() - back to quarantine (or to the memory that firmware reserved for it, see below). Turn bus mastering
 * off before. Not attached: STATUS_OK. STATUS_TIMEOUT: blocked in the tables, but a unit did not answer.
 */
must_check enum status iommu_detach(const struct pci_function *function);
/** iommu_domain_of() - where @function is; NULL: in quarantine. */
const struct iommu_domain *iommu_domain_of(const struct pci_function *function);

/**
 * iommu_reserved_memory() - the @nth (from 0) range that firmware keeps using by DMA of @function (RMRR): while the
 * function is in no VM, it reaches that range and nothing else. false: there is none any more.
 */
must_check bool iommu_reserved_memory(const struct pci_function *function, uint32_t nth, hpa_t *base, uint64_t *length);

/**
 * iommu_enable_ats() - an attached function keeps translations itself until it is detached (address translation
 * services). It is trusted with that: the address of a request that it calls translated is not looked at. A function
 * that does not drop what it keeps when it is told to is cut off.
 * @why: out: on failure words for people (static text); not NULL.
 * Return: STATUS_OK; STATUS_UNSUPPORTED (device, bridge, unit or platform cannot), STATUS_NOT_FOUND (not attached):
 *         nothing changed; STATUS_TIMEOUT (the function or its unit did not answer: off).
 */
must_check enum status iommu_enable_ats(const struct pci_function *function, const char **why);

/* ---- interrupts of devices: each is one entry of a remapping table, which only this function may use ---- */

struct iommu_interrupt {
	uint64_t address;  /* what the device's MSI or MSI-X entry is to hold; */
	uint32_t data;     /* never chosen by a guest */
	uint16_t index, unit, requester; /* the back end's */
	bool allocated;
};

/**
 * iommu_interrupt_allocate() - an entry that lets nothing through until it is routed. STATUS_NO_MEMORY;
 * STATUS_NOT_FOUND (no unit covers it); STATUS_UNSUPPORTED (no interrupt remapping).
 */
must_check enum status iommu_interrupt_allocate(const struct pci_function *function, struct iommu_interrupt *interrupt);
/** iommu_interrupt_route() - becomes @vector (>= 16, edge, fixed) on the CPU with @apic_id. In force when it returns.
 * STATUS_OUT_OF_RANGE: vector, or an APIC id that the unit cannot name; STATUS_INVALID; STATUS_TIMEOUT. */
must_check enum status iommu_interrupt_route(struct iommu_interrupt *interrupt, uint8_t vector, uint32_t apic_id);
/** iommu_interrupt_post() - becomes @vector in the posted-interrupt descriptor at @descriptor (64-byte aligned).
 * STATUS_UNSUPPORTED: the unit cannot. Else as iommu_interrupt_route(). */
must_check enum status iommu_interrupt_post(struct iommu_interrupt *interrupt, uint8_t vector, hpa_t descriptor);
/** iommu_interrupt_block() - lets nothing through until it is routed again. iommu_interrupt_free(): for good. */
must_check enum status iommu_interrupt_block(struct iommu_interrupt *interrupt);
void iommu_interrupt_free(struct iommu_interrupt *interrupt);

/* ---- faults ---- */

/**
 * iommu_is_cut_off() - since it was attached @function faulted in a storm, or kept translations that it was to drop: it
 * reaches nothing, and drivers/pci lets it be bus master only after a reset.
 */
bool iommu_is_cut_off(const struct pci_function *function);
/**
 * iommu_poll_faults() - reads and tells what the units have recorded; also done by their interrupt. Any CPU, no lock
 * held.
 */
void iommu_poll_faults(void);

/* ---- for people and audits ---- */

typedef void (*iommu_print)(const char *format, ...) printf_like(1, 2);
/** iommu_describe() - units with what they can and lack, domains with their functions, the last faults. */
void iommu_describe(iommu_print print);

struct iommu_visitor {
	void (*domain)(void *context, const struct iommu_domain *domain);
	/*
	 * A context entry that is present; @table: root of what it translates by; @domain: of its number, NULL: there
	 * is none.
	 */
	void (*context_entry)(void *context, uint16_t segment, uint16_t requester, hpa_t table,
			      const struct iommu_domain *domain);
	/* An interrupt entry that lets something through; @descriptor: of posted ones, else 0. */
	void (*interrupt_entry)(void *context, uint16_t unit, uint16_t index, uint16_t requester, uint8_t vector,
				uint32_t apic_id, hpa_t descriptor);
	/* A page that the units read: root, context, remapping tables and queues. */
	void (*page)(void *context, hpa_t page);
};
/** iommu_audit() - shows everything that lets a device reach something, as it stands in memory. Members may be NULL. */
void iommu_audit(const struct iommu_visitor *visitor, void *context);
/**
 * iommu_domain_has_source() - requests of a function of @domain may show @requester. Lock-free: for visitors, in
 * iommu_audit().
 */
bool iommu_domain_has_source(const struct iommu_domain *domain, uint16_t segment, uint16_t requester);
