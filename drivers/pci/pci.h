/* The PCI functions of this machine, found once at boot. PCI Local Bus Specification, "Configuration Space". */
#pragma once

#include "drivers/pci/pci_config.h"
#include "drivers/pci/pci_registers.h"
#include "lib/status.h"
#include "lib/types.h"

#define PCI_MAX_FUNCTIONS 512u
#define PCI_MAX_BARS 6u
#define PCI_MAX_CAPABILITIES 24u
#define PCI_MAX_EXTENDED_CAPABILITIES 32u
#define PCI_OWNER_NAME_SIZE 40u /* with the NUL */
#define PCI_BAR_MAX_SIZE ((uint64_t)1 << 40) /* [bytes]; what claims to be larger is not used */

enum pci_bar_kind { PCI_BAR_NONE, PCI_BAR_PORT, PCI_BAR_MEMORY_32, PCI_BAR_MEMORY_64 };

struct pci_bar {
	enum pci_bar_kind kind; /* the slot after a 64-bit one is PCI_BAR_NONE */
	bool prefetchable;
	uint64_t address;       /* port or host-physical address, a multiple of size; 0: not assigned */
	uint64_t size; /* [bytes], a power of two up to PCI_BAR_MAX_SIZE; 0: unknown or absurd, not to be used */
};

struct pci_capability { uint8_t id; uint8_t offset; };
struct pci_extended_capability { uint16_t id; uint16_t offset; };

/* What the PCI Express capability says the function is; a function without it is conventional PCI. */
enum pci_express_type {
	PCI_EXPRESS_ENDPOINT = 0,
	PCI_EXPRESS_LEGACY_ENDPOINT = 1,
	PCI_EXPRESS_ROOT_PORT = 4,
	PCI_EXPRESS_UPSTREAM_PORT = 5,
	PCI_EXPRESS_DOWNSTREAM_PORT = 6,
	PCI_EXPRESS_TO_PCI_BRIDGE = 7,
	PCI_EXPRESS_FROM_PCI_BRIDGE = 8,
	PCI_EXPRESS_ROOT_ENDPOINT = 9,
	PCI_EXPRESS_EVENT_COLLECTOR = 10,
	PCI_EXPRESS_NONE = 255,
};

enum pci_owner {
	PCI_OWNER_HYPERVISOR, /* Trivet uses it, or the machine needs it as it is */
	PCI_OWNER_QUARANTINE, /* nobody's: it may not read or write memory */
	PCI_OWNER_VM,
};

/*
 * Everything but the last part is constant after pci_scan(). Functions stay where they are in memory: pointers may be
 * kept, but to virtual functions that are taken away (pci_sriov.h).
 */
struct pci_function {
	struct pci_address address;
	uint16_t index; /* of pci_get() */
	uint16_t vendor_id, device_id;
	uint16_t subsystem_vendor_id, subsystem_id; /* 0 for bridges */
	uint8_t class_code, subclass, programming_interface, revision;
	uint8_t header_type; /* layout 0, 1 or 2, without the multi-function bit */
	bool multi_function; /* its device has others, as function 0 says */
	uint8_t secondary_bus, subordinate_bus; /* of bridges */
	uint8_t interrupt_line; /* what firmware noted, usually the IRQ of the 8259s */
	uint8_t interrupt_pin;  /* 0: none, 1..4: INTA#..INTD# */
	uint8_t express_type;   /* enum pci_express_type */
	struct pci_bar bars[PCI_MAX_BARS];
	struct pci_bar rom;     /* PCI_BAR_MEMORY_32, or PCI_BAR_NONE */
	uint32_t capability_count, extended_capability_count;
	struct pci_capability capabilities[PCI_MAX_CAPABILITIES]; /* in the order of the list */
	struct pci_extended_capability extended_capabilities[PCI_MAX_EXTENDED_CAPABILITIES];
	bool capabilities_broken; /* a list loops, leaves its place or is too long; what was read before that is kept */
	const struct pci_function *parent;   /* the bridge whose secondary bus it is on; NULL on a root bus */
	const struct pci_function *physical; /* of a virtual function: the function that it belongs to; else NULL */
	uint16_t vf_total;      /* virtual functions that it can have */

	/* Changes later: read them as hints, change them by pci_owner.h, pci_reset.h and pci_sriov.h. */
	uint16_t vf_count;      /* virtual functions enabled */
	uint32_t group;         /* functions of one number cannot be isolated from each other; see pci_groups.h */
	enum pci_owner owner;
	char owner_name[PCI_OWNER_NAME_SIZE]; /* of the VM; "" for the others */
	bool cut_off;           /* may not be bus master until it was reset */
	bool dead;              /* did not come back from a reset */
	bool ats;               /* keeps translations itself */
};

/**
 * pci_scan() - finds all functions: looks at every bus of segment 0 and every bus that an ECAM window of another
 * segment covers, so that buses behind bridges and further root buses are found alike. Sizes base address registers,
 * with decoding off meanwhile, so that the console's own devices must not be written to until it returns; switches ACS
 * on; puts what has no other owner into quarantine (pci_owner.h). Boot, one CPU, once, after acpi_init(), the page
 * pool, host paging and the console's initialization.
 * Return: STATUS_OK; STATUS_NO_MEMORY (more than PCI_MAX_FUNCTIONS, or than there is memory for: the first ones are
 *         kept); STATUS_NOT_FOUND (none).
 */
must_check enum status pci_scan(void);
uint32_t pci_count(void);
/**
 * pci_get() - function @index < pci_count(), by segment, bus, device, function, then virtual functions in the order in
 * which they were enabled; NULL beyond.
 */
const struct pci_function *pci_get(uint32_t index);
/** pci_find() - the function at @address; NULL if there is none. */
const struct pci_function *pci_find(struct pci_address address);
/** pci_find_class() - the @nth (from 0) function of a class; NULL beyond. */
const struct pci_function *pci_find_class(uint8_t class_code, uint8_t subclass, uint32_t nth);
/** pci_find_capability() - offset of the first capability @id, 0 if it has none. */
uint8_t pci_find_capability(const struct pci_function *function, uint8_t id);
/** pci_find_extended_capability() - the same for extended ones. */
uint16_t pci_find_extended_capability(const struct pci_function *function, uint16_t id);
/** pci_is_bridge() - it has buses behind it: a PCI, PCI Express or CardBus bridge; host and ISA bridges have none. */
bool pci_is_bridge(const struct pci_function *function);
/** pci_is_behind() - @bridge is a parent, a parent's parent and so on of @function. */
bool pci_is_behind(const struct pci_function *function, const struct pci_function *bridge);
/**
 * pci_bar_is_alone() - no base address register or ROM of another function has an address in the 4 KiB pages of @bar.
 */
bool pci_bar_is_alone(const struct pci_function *function, const struct pci_bar *bar);

/**
 * pci_class_name() - words for a class ("Ethernet controller"), of its base class if the subclass is not known; never
 * NULL.
 */
const char *pci_class_name(uint8_t class_code, uint8_t subclass);
/**
 * pci_capability_name() - "MSI-X" and so on; "?" if not known. pci_vendor_name(): "Intel" and so on, "" if not known.
 */
const char *pci_capability_name(uint8_t id);
const char *pci_extended_capability_name(uint16_t id);
const char *pci_vendor_name(uint16_t vendor_id);
