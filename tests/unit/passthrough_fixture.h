/*
 * vm_fixture.h, with a machine that has PCI functions and an IOMMU: their drivers are replaced by models that note what was done and
 * can be made to fail. Included by one .c file of a program.
 */
#pragma once

#include "arch/x86/irq/interrupt.h"
#include "arch/x86/irq/ioapic.h"
#include "arch/x86/mm/host_paging.h"
#include "arch/x86/physmap.h"
#include "drivers/iommu/iommu.h"
#include "drivers/pci/pci_groups.h"
#include "drivers/pci/pci_owner.h"
#include "drivers/pci/pci_registers.h"
#include "drivers/pci/pci_reset.h"
#include "drivers/pci/pci_sriov.h"
#include "tests/unit/vm_fixture.h"
#include "vmm/passthrough.h"
#include "vmm/platform.h"

extern const struct io_device_class pci_passthrough_class;
extern const struct io_device_class *const passthrough_classes[];
const struct io_device_class *const passthrough_classes[] = {&pci_passthrough_class};

#define FUNCTIONS 3u
#define REGISTERS 0x400000u /* of function 0: BAR 0, 16 KiB with the MSI-X table in its third page; */
#define TABLE_OFFSET 0x2000u
#define MESSAGES 4u
#define SMALL 0x500100u     /* BAR 1, 256 bytes; */
#define WIDE 0x600000u      /* BAR 2, 2 MiB, 64-bit and prefetchable; */
#define PORTS 0xc040u       /* BAR 4, 32 ports; */
#define ROM 0x520000u       /* 64 KiB */
#define OTHER 0x440000u     /* BAR 0 of function 1, 4 KiB */
#define IRQ 11u             /* what firmware wrote for INTA# of functions 0 and 1 */

#define POWER 0x40u
#define MSI 0x50u
#define MSIX 0x70u
#define EXPRESS 0x80u
#define HIDDEN 0xc0u

static struct pci_function functions[FUNCTIONS];
static uint8_t spaces[FUNCTIONS][256];
static unsigned resets[FUNCTIONS], releases[FUNCTIONS];
static enum pci_reset_way reset_way;
static enum status reset_status, claim_status, attach_status, domain_map_status, domain_unmap_status, ats_status;
static bool bus_master_denied, rmrr;
static const struct pci_function *group_member;
static const char *iommu_missing, *remapping_missing;
static char events[4096]; /* what was done to functions and domain, in order: words */

static inline void note(const char *event, unsigned number)
{
	size_t length = strlen(events);

	snprintf(events + length, sizeof(events) - length, "%s%u ", event, number);
}

static inline unsigned index_of(const struct pci_function *function) { return (unsigned)(function - functions); }

/* ---- drivers/pci ---- */

static inline uint8_t *space_of(struct pci_address address, uint16_t offset, unsigned size)
{
	if (address.device >= FUNCTIONS || offset + size > 256)
		abort();
	return &spaces[address.device][offset];
}

uint32_t pci_config_read(struct pci_address address, uint16_t offset, unsigned size)
{
	uint32_t value = 0;

	memcpy(&value, space_of(address, offset, size), size);
	return value;
}

/* Plain memory, but the status register's error bits are cleared by writing 1. */
void pci_config_write(struct pci_address address, uint16_t offset, unsigned size, uint32_t value)
{
	uint8_t *bytes = space_of(address, offset, size);

	for (unsigned i = 0; i < size; i++) {
		if (offset + i == PCI_STATUS + 1)
			bytes[i] &= (uint8_t)~(value >> (8 * i));
		else
			bytes[i] = (uint8_t)(value >> (8 * i));
	}
}

void pci_config_update(struct pci_address address, uint16_t offset, unsigned size, uint32_t clear, uint32_t set)
{
	pci_config_write(address, offset, size, (pci_config_read(address, offset, size) & ~clear) | set);
}

uint32_t pci_count(void) { return FUNCTIONS; }
const struct pci_function *pci_get(uint32_t index) { return index < FUNCTIONS ? &functions[index] : NULL; }
const struct pci_function *pci_find(struct pci_address address)
{
	return address.segment == 0 && address.bus == 3 && address.device < FUNCTIONS && address.function == 0 ? &functions[address.device] : NULL;
}

uint8_t pci_find_capability(const struct pci_function *function, uint8_t id)
{
	for (uint32_t i = 0; i < function->capability_count; i++)
		if (function->capabilities[i].id == id)
			return function->capabilities[i].offset;
	return 0;
}

bool pci_is_bridge(const struct pci_function *function) { return function->header_type == 1; }
bool pci_bar_is_alone(const struct pci_function *function, const struct pci_bar *bar)
{
	(void)function;
	return bar->address != SMALL;
}

enum status pci_claim(const struct pci_function *function, enum pci_owner owner, const char *name)
{
	struct pci_function *own = &functions[index_of(function)];

	if (claim_status != STATUS_OK || own->owner != PCI_OWNER_QUARANTINE)
		return claim_status != STATUS_OK ? claim_status : STATUS_BUSY;
	own->owner = owner;
	strcpy(own->owner_name, name);
	note("claim", index_of(function));
	return STATUS_OK;
}

void pci_release(const struct pci_function *function)
{
	functions[index_of(function)].owner = PCI_OWNER_QUARANTINE;
	functions[index_of(function)].owner_name[0] = '\0';
	releases[index_of(function)]++;
	note("release", index_of(function));
}

enum status pci_set_bus_master(const struct pci_function *function, bool on)
{
	if (on && bus_master_denied)
		return STATUS_DENIED;
	pci_config_update(function->address, PCI_COMMAND, 2, PCI_COMMAND_BUS_MASTER, on ? PCI_COMMAND_BUS_MASTER : 0);
	note(on ? "master" : "slave", index_of(function));
	return STATUS_OK;
}

const struct pci_function *pci_vf_in_use(const struct pci_function *function)
{
	for (unsigned i = 0; i < FUNCTIONS; i++)
		if (functions[i].physical == function && functions[i].owner == PCI_OWNER_VM)
			return &functions[i];
	return NULL;
}

enum pci_reset_way pci_reset_way(const struct pci_function *function)
{
	(void)function;
	return reset_way;
}

enum status pci_reset_function(const struct pci_function *function, const char **how)
{
	if (reset_way == PCI_RESET_NONE)
		return STATUS_NOT_FOUND;
	*how = "FLR";
	resets[index_of(function)]++;
	note("reset", index_of(function));
	return reset_status;
}

void pci_group_members(const struct pci_function *function, void (*visit)(const struct pci_function *member, void *context), void *context)
{
	visit(function, context);
	if (group_member != NULL)
		visit(group_member, context);
}

/* ---- drivers/iommu ---- */

struct iommu_domain {
	char name[IOMMU_NAME_SIZE];
	struct page_table table;
	bool used;
};

static struct iommu_domain domain;
static const struct pci_function *attached[FUNCTIONS];
static unsigned entries_used; /* interrupt entries */
static uint8_t entry_vectors[64];
static hpa_t entry_descriptors[64]; /* 0: not posted */
static uint32_t entry_cpus[64];
static enum status entry_status, post_status, block_status;
static bool unit_posts;

bool iommu_is_available(const char **why) { *why = iommu_missing; return iommu_missing == NULL; }
bool iommu_isolates_interrupts(const char **why) { *why = remapping_missing; return remapping_missing == NULL; }
bool iommu_covers(const struct pci_function *function, const char **why) { (void)function; *why = ""; return true; }

enum status iommu_domain_create(const char *name, struct iommu_domain **out)
{
	enum status status = page_table_create(&domain.table, page_table_ept_format(true, true));

	if (status != STATUS_OK)
		return status;
	assert_false(domain.used);
	domain.used = true;
	snprintf(domain.name, sizeof(domain.name), "%s", name);
	*out = &domain;
	return STATUS_OK;
}

void iommu_domain_destroy(struct iommu_domain *gone)
{
	assert_true(gone == &domain && domain.used);
	for (unsigned i = 0; i < FUNCTIONS; i++)
		assert_null(attached[i]);
	page_table_destroy(&domain.table);
	domain.used = false;
	note("domain", 0);
}

enum status iommu_domain_map(struct iommu_domain *to, uint64_t input, hpa_t output, uint64_t length, uint32_t attributes)
{
	if (domain_map_status != STATUS_OK)
		return domain_map_status;
	return page_table_map(&to->table, input, output, length, attributes);
}

enum status iommu_domain_unmap(struct iommu_domain *from, uint64_t input, uint64_t length)
{
	enum status status = page_table_unmap(&from->table, input, length);

	return status == STATUS_OK ? domain_unmap_status : status;
}

const struct page_table *iommu_domain_table(const struct iommu_domain *of) { return &of->table; }
const char *iommu_domain_name(const struct iommu_domain *of) { return of->name; }

enum status iommu_attach(struct iommu_domain *to, const struct pci_function *function)
{
	assert_ptr_equal(to, &domain);
	if (attach_status != STATUS_OK)
		return attach_status;
	attached[index_of(function)] = function;
	note("attach", index_of(function));
	return STATUS_OK;
}

enum status iommu_enable_ats(const struct pci_function *function, const char **why)
{
	assert_ptr_equal(attached[index_of(function)], function);
	note("ats", index_of(function));
	*why = "its unit is old";
	return ats_status;
}

enum status iommu_detach(const struct pci_function *function)
{
	attached[index_of(function)] = NULL;
	note("detach", index_of(function));
	return STATUS_OK;
}

const struct iommu_domain *iommu_domain_of(const struct pci_function *function)
{
	return attached[index_of(function)] != NULL ? &domain : NULL;
}

bool iommu_reserved_memory(const struct pci_function *function, uint32_t nth, hpa_t *base, uint64_t *length)
{
	(void)function;
	*base = hpa(0xdead000);
	*length = PAGE_SIZE;
	return rmrr && nth == 0;
}

enum status iommu_interrupt_allocate(const struct pci_function *function, struct iommu_interrupt *interrupt)
{
	static uint16_t next;

	(void)function;
	if (entry_status != STATUS_OK)
		return entry_status;
	next = (uint16_t)((next + 1) % array_count(entry_vectors));
	*interrupt = (struct iommu_interrupt){.address = 0xfee00010u + (uint64_t)next * 32, .data = next, .index = next, .allocated = true};
	entries_used++;
	return STATUS_OK;
}

enum status iommu_interrupt_route(struct iommu_interrupt *interrupt, uint8_t vector, uint32_t apic_id)
{
	entry_vectors[interrupt->index] = vector;
	entry_cpus[interrupt->index] = apic_id;
	entry_descriptors[interrupt->index] = hpa(0);
	return STATUS_OK;
}

bool iommu_posts_interrupts(const struct pci_function *function) { (void)function; return unit_posts; }

enum status iommu_interrupt_post(struct iommu_interrupt *interrupt, uint8_t vector, hpa_t descriptor)
{
	if (post_status != STATUS_OK)
		return post_status;
	entry_vectors[interrupt->index] = vector;
	entry_descriptors[interrupt->index] = descriptor;
	return STATUS_OK;
}

enum status iommu_interrupt_block(struct iommu_interrupt *interrupt)
{
	entry_vectors[interrupt->index] = 0;
	return block_status;
}

void iommu_interrupt_free(struct iommu_interrupt *interrupt)
{
	assert_true(interrupt->allocated);
	entry_vectors[interrupt->index] = 0;
	entry_descriptors[interrupt->index] = hpa(0);
	interrupt->allocated = false;
	entries_used--;
}

bool iommu_domain_has_source(const struct iommu_domain *of, uint16_t segment, uint16_t requester)
{
	(void)segment;
	for (unsigned i = 0; i < FUNCTIONS; i++)
		if (of == &domain && attached[i] != NULL && (0x300 | i << 3) == requester)
			return true;
	return false;
}

static uint16_t strange_source; /* of a context entry that leads to @strange_table; 0: there is none */
static hpa_t strange_table;

void iommu_audit(const struct iommu_visitor *visitor, void *context)
{
	for (unsigned i = 0; visitor->context_entry != NULL && i < FUNCTIONS; i++)
		if (attached[i] != NULL)
			visitor->context_entry(context, 0, (uint16_t)(0x300 | i << 3), domain.table.root, &domain);
	if (visitor->context_entry != NULL && strange_source != 0)
		visitor->context_entry(context, 0, strange_source, strange_table, &domain);
	if (visitor->domain != NULL && domain.used)
		visitor->domain(context, &domain);
	for (uint16_t i = 0; visitor->interrupt_entry != NULL && i < array_count(entry_vectors); i++)
		if (entry_vectors[i] != 0)
			visitor->interrupt_entry(context, 0, i, 0x300, entry_vectors[i], 0, entry_descriptors[i]);
}

/* ---- the machine's I/O APIC and registers ---- */

static struct { uint8_t vector; bool masked, level; } ioapic_inputs[24];

enum status ioapic_route(uint32_t gsi, uint8_t vector, uint32_t apic_id, bool level, bool active_low)
{
	(void)apic_id, (void)active_low;
	ioapic_inputs[gsi].vector = vector;
	ioapic_inputs[gsi].level = level;
	ioapic_inputs[gsi].masked = false;
	return STATUS_OK;
}

enum status ioapic_mask(uint32_t gsi) { ioapic_inputs[gsi].masked = true; return STATUS_OK; }
enum status ioapic_unmask(uint32_t gsi) { ioapic_inputs[gsi].masked = false; return STATUS_OK; }
enum status ioapic_read_entry(uint32_t gsi, uint64_t *entry)
{
	*entry = gsi < 24 ? ioapic_inputs[gsi].vector | (ioapic_inputs[gsi].masked ? BIT(16) : 0) : 0;
	return gsi < 24 ? STATUS_OK : STATUS_NOT_FOUND;
}

void *host_paging_map_device(hpa_t address, uint64_t length, bool write_combining)
{
	(void)length, (void)write_combining;
	return physmap_pointer(address);
}

/* ---- set-up ---- */

static inline void put(unsigned function, unsigned offset, unsigned size, uint32_t value) { memcpy(&spaces[function][offset], &value, size); }

static inline void fixture_make_functions(void)
{
	static const struct pci_capability capabilities[] = {{1, POWER}, {5, MSI}, {0x11, MSIX}, {0x10, EXPRESS}, {0x03, HIDDEN}};

	memset(functions, 0, sizeof(functions));
	memset(spaces, 0, sizeof(spaces));
	memset(physmap_pointer(hpa(REGISTERS)), 0, 0x4000);
	memset(physmap_pointer(hpa(align_down(SMALL, PAGE_SIZE))), 0, PAGE_SIZE);
	for (unsigned i = 0; i < FUNCTIONS; i++)
		functions[i] = (struct pci_function){.address = {.bus = 3, .device = (uint8_t)i}, .vendor_id = 0x1af4, .device_id = (uint16_t)(0x1000 + i),
						     .class_code = 1, .subclass = 8, .owner = PCI_OWNER_QUARANTINE, .interrupt_pin = i < 2,
						     .interrupt_line = i < 2 ? IRQ : 0};
	memcpy(functions[0].capabilities, capabilities, sizeof(capabilities));
	functions[0].capability_count = array_count(capabilities);
	functions[0].bars[0] = (struct pci_bar){PCI_BAR_MEMORY_32, false, REGISTERS, 0x4000};
	functions[0].bars[1] = (struct pci_bar){PCI_BAR_MEMORY_32, false, SMALL, 0x100};
	functions[0].bars[2] = (struct pci_bar){PCI_BAR_MEMORY_64, true, WIDE, 2 * MIB};
	functions[0].bars[4] = (struct pci_bar){PCI_BAR_PORT, false, PORTS, 32};
	functions[0].rom = (struct pci_bar){PCI_BAR_MEMORY_32, false, ROM, 64 * KIB};
	functions[1].bars[0] = (struct pci_bar){PCI_BAR_MEMORY_32, false, OTHER, 0x1000};
	put(0, PCI_STATUS, 2, 0xf910);
	put(0, POWER, 4, 0xffc30001u | MSI << 8);
	put(0, MSI, 4, 0x01860005u | MSIX << 8); /* 64-bit, masks, 8 messages */
	put(0, MSIX, 4, (MESSAGES - 1) << 16 | EXPRESS << 8 | 0x11);
	put(0, MSIX + 4, 4, TABLE_OFFSET | 0);
	put(0, MSIX + 8, 4, 0x3000);
	put(0, EXPRESS, 4, 0x00020010u | HIDDEN << 8);
	put(0, EXPRESS + 4, 4, 0x10008fc1); /* can FLR */
	put(0, HIDDEN, 4, 0x12345603);
}

static inline int fixture_passthrough_start(void **state)
{
	(void)state;
	fixture_start_machine();
	fixture_make_functions();
	events[0] = '\0';
	memset(resets, 0, sizeof(resets));
	memset(releases, 0, sizeof(releases));
	memset(attached, 0, sizeof(attached));
	memset(entry_vectors, 0, sizeof(entry_vectors));
	for (unsigned i = 0; i < array_count(ioapic_inputs); i++)
		ioapic_inputs[i].masked = true;
	reset_way = PCI_RESET_FLR;
	reset_status = claim_status = attach_status = domain_map_status = domain_unmap_status = ats_status = entry_status = STATUS_OK;
	strange_source = 0;
	bus_master_denied = rmrr = unit_posts = false;
	post_status = block_status = STATUS_OK;
	group_member = NULL;
	iommu_missing = remapping_missing = NULL;
	entries_used = 0;
	domain.used = false;
	fixture_config.pci_count = 2;
	fixture_config.pci[0] = (struct config_pci){.bus = 3, .device = 0};
	fixture_config.pci[1] = (struct config_pci){.bus = 3, .device = 1};
	return 0;
}

static inline int fixture_passthrough_end(void **state)
{
	(void)state;
	pool_fail_at = UINT32_MAX;
	fixture_destroy_vm();
	assert_false(domain.used);
	assert_int_equal(entries_used, 0);
	return 0;
}

/* The VM, its one vCPU loaded, its devices reset. */
static inline int fixture_passthrough_vm(void **state)
{
	fixture_passthrough_start(state);
	if (vm_create(&fixture_config, &fixture_vm) != STATUS_OK)
		abort();
	fixture_vcpu = fixture_vm->vcpus[0];
	virt_ops->vcpu_load(&fixture_vcpu->virt);
	pcpu_current()->current_vcpu = fixture_vcpu;
	return 0;
}

/* ---- what the guest does ---- */

static inline uint64_t bus_read(enum io_space space, uint64_t address, unsigned size)
{
	uint64_t value = 0;

	(void)!io_bus_read(&fixture_vm->buses[space], fixture_vcpu, address, size, &value);
	return value;
}

static inline void bus_write(enum io_space space, uint64_t address, unsigned size, uint64_t value)
{
	(void)!io_bus_write(&fixture_vm->buses[space], fixture_vcpu, address, size, value);
}

static inline uint32_t guest_config_read(unsigned slot, unsigned offset, unsigned size)
{
	bus_write(IO_SPACE_PORT, 0xcf8, 4, 0x80000000u | slot << 11 | (offset & 0xfcu));
	return (uint32_t)bus_read(IO_SPACE_PORT, 0xcfc + (offset & 3), size);
}

static inline void guest_config_write(unsigned slot, unsigned offset, unsigned size, uint32_t value)
{
	bus_write(IO_SPACE_PORT, 0xcf8, 4, 0x80000000u | slot << 11 | (offset & 0xfcu));
	bus_write(IO_SPACE_PORT, 0xcfc + (offset & 3), size, value);
}

/* Where the machine has what the guest has at @address: in the nested table and in the domain, which must agree; 0: nowhere. */
static inline uint64_t guest_sees(uint64_t address)
{
	struct page_table_leaf nested, device;
	bool for_vcpus = page_table_lookup(&fixture_vm->memory.nested, address, &nested) == STATUS_OK;
	bool for_devices = page_table_lookup(&domain.table, address, &device) == STATUS_OK;

	/* Local APICs are for vCPUs only. */
	if (address == VIRT_APIC_BASE)
		return for_devices ? device.output.value : 0;
	assert_int_equal(for_vcpus, for_devices);
	if (!for_vcpus)
		return 0;
	assert_int_equal(nested.output.value, device.output.value);
	return nested.output.value;
}

static inline uint32_t host_register(uint64_t address) { return *(volatile uint32_t *)physmap_pointer(hpa(address)); }
