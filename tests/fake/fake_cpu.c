#include "fake_cpu.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arch/x86/mmio.h"
#include "arch/x86/physmap.h"
#include "fake_physmap.h"

#define MSR_SLOTS 512u
#define CPUID_SLOTS 128u
#define DEVICE_SLOTS 32u
#define VMCS_FIELDS 0x8000u
#define DISCARD_QUADWORDS 8192u /* from here on a system call is cheaper than writing */
#define PAUSE_LIMIT 100000000u

struct msr_slot { uint32_t number; bool read_only; uint64_t value; };
struct cpuid_slot { uint32_t leaf, subleaf; struct cpuid_result result; };

static struct msr_slot msrs[MSR_SLOTS];
static unsigned msr_count;
static struct cpuid_slot cpuids[CPUID_SLOTS];
static unsigned cpuid_count;
static struct fake_port_device ports[DEVICE_SLOTS];
static unsigned port_count;
static struct fake_mmio_device mmios[DEVICE_SLOTS];
static unsigned mmio_count;
static uint64_t vmcs[VMCS_FIELDS];

unsigned fake_msr_write_count;
uint64_t fake_tsc = 1000000, fake_tsc_step = 1000;
uint64_t fake_cr0 = 0x80050033, fake_cr2, fake_cr3, fake_cr4 = 0x20, fake_dr[8], fake_xcr0 = 1, fake_rbp, fake_rsp;
bool fake_interrupts_enabled;
uint16_t fake_tr, fake_ldtr, fake_code_selector, fake_data_selector;
struct descriptor_table_register fake_gdtr, fake_idtr;
void (*fake_halt_hook)(void);
void (*fake_pause_hook)(void);
void (*fake_clflush_hook)(const volatile void *address);
unsigned fake_halt_count;
uint64_t fake_pause_count;
bool fake_vmx_on, fake_vmxon_fails, fake_vmptrld_fails, fake_vmclear_fails;
uint64_t fake_vmcs_missing_field = UINT64_MAX;
hpa_t fake_vmxon_region, fake_vmcs_current;
unsigned fake_vmread_count, fake_vmwrite_count, fake_invept_count, fake_invvpid_count, fake_invlpg_count,
	fake_wbinvd_count, fake_vmclear_count;

static noreturn_function void not_modelled(const char *what, uint64_t number)
{
	fprintf(stderr, "fake CPU: %s %#" PRIx64 " is not modelled by this test\n", what, number);
	abort();
}

static void reset_registers(void)
{
	fake_tsc = 1000000;
	fake_tsc_step = 1000;
	fake_cr0 = 0x80050033;
	fake_cr2 = fake_cr3 = fake_rbp = fake_rsp = 0;
	fake_cr4 = 0x20;
	fake_xcr0 = 1;
	memset(fake_dr, 0, sizeof(fake_dr));
	fake_interrupts_enabled = false;
	fake_tr = fake_ldtr = fake_code_selector = fake_data_selector = 0;
	fake_gdtr = fake_idtr = (struct descriptor_table_register){0, 0};
}

void fake_cpu_reset(void)
{
	msr_count = cpuid_count = port_count = mmio_count = 0;
	memset(vmcs, 0, sizeof(vmcs));
	reset_registers();
	fake_halt_hook = fake_pause_hook = NULL;
	fake_clflush_hook = NULL;
	fake_halt_count = fake_msr_write_count = 0;
	fake_pause_count = 0;
	fake_vmx_on = fake_vmxon_fails = fake_vmptrld_fails = fake_vmclear_fails = false;
	fake_vmcs_missing_field = UINT64_MAX;
	fake_vmxon_region = fake_vmcs_current = hpa(0);
	fake_vmread_count = fake_vmwrite_count = fake_invept_count = fake_invvpid_count = 0;
	fake_invlpg_count = fake_wbinvd_count = fake_vmclear_count = 0;
}

/* ---- MSRs and CPUID ---- */

static struct msr_slot *msr_find(uint32_t msr)
{
	for (unsigned i = 0; i < msr_count; i++)
		if (msrs[i].number == msr)
			return &msrs[i];
	return NULL;
}

void fake_msr_set(uint32_t msr, uint64_t value)
{
	struct msr_slot *slot = msr_find(msr);

	if (slot == NULL) {
		if (msr_count == MSR_SLOTS)
			not_modelled("one more MSR than the map holds,", msr);
		slot = &msrs[msr_count++];
	}
	*slot = (struct msr_slot){.number = msr, .value = value};
}

uint64_t fake_msr_get(uint32_t msr)
{
	struct msr_slot *slot = msr_find(msr);

	if (slot == NULL)
		not_modelled("MSR", msr);
	return slot->value;
}

void fake_msr_refuse_writes(uint32_t msr)
{
	struct msr_slot *slot = msr_find(msr);

	if (slot == NULL)
		not_modelled("MSR", msr);
	slot->read_only = true;
}

bool insn_rdmsr_safe(uint32_t msr, uint64_t *value)
{
	struct msr_slot *slot = msr_find(msr);

	if (slot == NULL)
		return false;
	*value = slot->value;
	return true;
}

bool insn_wrmsr_safe(uint32_t msr, uint64_t value)
{
	struct msr_slot *slot = msr_find(msr);

	if (slot == NULL || slot->read_only)
		return false;
	slot->value = value;
	fake_msr_write_count++;
	return true;
}

uint64_t insn_rdmsr(uint32_t msr)
{
	return fake_msr_get(msr);
}

void insn_wrmsr(uint32_t msr, uint64_t value)
{
	if (!insn_wrmsr_safe(msr, value))
		not_modelled("write of MSR", msr);
}

void fake_cpuid_set(uint32_t leaf, uint32_t subleaf, uint32_t eax, uint32_t ebx, uint32_t ecx, uint32_t edx)
{
	struct cpuid_slot slot = {leaf, subleaf, {eax, ebx, ecx, edx}};

	for (unsigned i = 0; i < cpuid_count; i++) {
		if (cpuids[i].leaf == leaf && cpuids[i].subleaf == subleaf) {
			cpuids[i] = slot;
			return;
		}
	}
	if (cpuid_count == CPUID_SLOTS)
		not_modelled("one more CPUID leaf than the table holds,", leaf);
	cpuids[cpuid_count++] = slot;
}

struct cpuid_result insn_cpuid(uint32_t leaf, uint32_t subleaf)
{
	for (unsigned i = 0; i < cpuid_count; i++)
		if (cpuids[i].leaf == leaf && cpuids[i].subleaf == subleaf)
			return cpuids[i].result;
	return (struct cpuid_result){0, 0, 0, 0};
}

/* ---- ports and memory-mapped registers ---- */

void fake_port_add(const struct fake_port_device *device)
{
	if (port_count == DEVICE_SLOTS)
		not_modelled("one more port device than the table holds,", device->first);
	ports[port_count++] = *device;
}

static const struct fake_port_device *port_find(uint16_t port)
{
	for (unsigned i = port_count; i-- > 0;)
		if (port >= ports[i].first && (uint32_t)(port - ports[i].first) < ports[i].count)
			return &ports[i];
	not_modelled("port", port);
}

static uint32_t port_read(uint16_t port, unsigned size)
{
	const struct fake_port_device *device = port_find(port);

	if (device->read == NULL)
		not_modelled("IN from port", port);
	return device->read(device->context, port, size);
}

static void port_write(uint16_t port, unsigned size, uint32_t value)
{
	const struct fake_port_device *device = port_find(port);

	if (device->write == NULL)
		not_modelled("OUT to port", port);
	device->write(device->context, port, size, value);
}

uint8_t insn_in8(uint16_t port) { return (uint8_t)port_read(port, 1); }
uint16_t insn_in16(uint16_t port) { return (uint16_t)port_read(port, 2); }
uint32_t insn_in32(uint16_t port) { return port_read(port, 4); }
void insn_out8(uint16_t port, uint8_t v) { port_write(port, 1, v); }
void insn_out16(uint16_t port, uint16_t v) { port_write(port, 2, v); }
void insn_out32(uint16_t port, uint32_t v) { port_write(port, 4, v); }

void fake_mmio_add(const struct fake_mmio_device *device)
{
	if (mmio_count == DEVICE_SLOTS)
		not_modelled("one more MMIO device than the table holds,", (uintptr_t)device->base);
	mmios[mmio_count++] = *device;
}

static const struct fake_mmio_device *mmio_find(const volatile void *address, uint64_t *offset)
{
	for (unsigned i = mmio_count; i-- > 0;) {
		*offset = (uint64_t)((uintptr_t)address - (uintptr_t)mmios[i].base);
		if (*offset < mmios[i].length)
			return &mmios[i];
	}
	return NULL;
}

static uint64_t mmio_read(const volatile void *address, unsigned size)
{
	uint64_t offset, value = 0;
	const struct fake_mmio_device *device = mmio_find(address, &offset);

	if (device != NULL && device->read == NULL)
		not_modelled("read of register", offset);
	if (device != NULL)
		return device->read(device->context, offset, size);
	memcpy(&value, (const void *)(uintptr_t)address, size);
	return value;
}

static void mmio_write(volatile void *address, unsigned size, uint64_t value)
{
	uint64_t offset;
	const struct fake_mmio_device *device = mmio_find(address, &offset);

	if (device != NULL && device->write == NULL)
		not_modelled("write of register", offset);
	if (device != NULL)
		device->write(device->context, offset, size, value);
	else
		memcpy((void *)(uintptr_t)address, &value, size);
}

uint8_t mmio_read8(const volatile void *address) { return (uint8_t)mmio_read(address, 1); }
uint16_t mmio_read16(const volatile void *address) { return (uint16_t)mmio_read(address, 2); }
uint32_t mmio_read32(const volatile void *address) { return (uint32_t)mmio_read(address, 4); }
uint64_t mmio_read64(const volatile void *address) { return mmio_read(address, 8); }
void mmio_write8(volatile void *address, uint8_t value) { mmio_write(address, 1, value); }
void mmio_write16(volatile void *address, uint16_t value) { mmio_write(address, 2, value); }
void mmio_write32(volatile void *address, uint32_t value) { mmio_write(address, 4, value); }
void mmio_write64(volatile void *address, uint64_t value) { mmio_write(address, 8, value); }

/* ---- registers and time ---- */

uint64_t insn_rdtsc(void)
{
	uint64_t now = fake_tsc;

	fake_tsc += fake_tsc_step;
	return now;
}

uint64_t insn_read_cr0(void) { return fake_cr0; }
uint64_t insn_read_cr2(void) { return fake_cr2; }
uint64_t insn_read_cr3(void) { return fake_cr3; }
uint64_t insn_read_cr4(void) { return fake_cr4; }
void insn_write_cr0(uint64_t v) { fake_cr0 = v; }
void insn_write_cr2(uint64_t v) { fake_cr2 = v; }
void insn_write_cr3(uint64_t v) { fake_cr3 = v; }
void insn_write_cr4(uint64_t v) { fake_cr4 = v; }
uint64_t insn_read_dr0(void) { return fake_dr[0]; }
uint64_t insn_read_dr1(void) { return fake_dr[1]; }
uint64_t insn_read_dr2(void) { return fake_dr[2]; }
uint64_t insn_read_dr3(void) { return fake_dr[3]; }
uint64_t insn_read_dr6(void) { return fake_dr[6]; }
uint64_t insn_read_dr7(void) { return fake_dr[7]; }
void insn_write_dr0(uint64_t v) { fake_dr[0] = v; }
void insn_write_dr1(uint64_t v) { fake_dr[1] = v; }
void insn_write_dr2(uint64_t v) { fake_dr[2] = v; }
void insn_write_dr3(uint64_t v) { fake_dr[3] = v; }
void insn_write_dr6(uint64_t v) { fake_dr[6] = v; }
void insn_write_dr7(uint64_t v) { fake_dr[7] = v; }

uint64_t insn_read_rflags(void) { return 2 | (uint64_t)fake_interrupts_enabled << 9; }
uint64_t insn_read_rbp(void) { return fake_rbp; }
uint64_t insn_read_rsp(void) { return fake_rsp; }
void insn_cli(void) { fake_interrupts_enabled = false; }
void insn_sti(void) { fake_interrupts_enabled = true; }

void insn_hlt(void)
{
	fake_halt_count++;
	if (fake_halt_hook == NULL)
		not_modelled("HLT with interrupts", fake_interrupts_enabled);
	fake_halt_hook();
}

void insn_sti_hlt_cli(void)
{
	fake_interrupts_enabled = true;
	insn_hlt();
	fake_interrupts_enabled = false;
}

void insn_sti_nop_cli(void) { fake_interrupts_enabled = false; }

void insn_pause(void)
{
	if (++fake_pause_count > PAUSE_LIMIT)
		not_modelled("what a loop waits for; PAUSE number", fake_pause_count);
	if (fake_pause_hook != NULL)
		fake_pause_hook();
}

void insn_mfence(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
void insn_lfence(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
void insn_invlpg(uint64_t address) { (void)address; fake_invlpg_count++; }
void insn_clflush(const volatile void *address)
{
	if (fake_clflush_hook != NULL)
		fake_clflush_hook(address);
}
void insn_wbinvd(void) { fake_wbinvd_count++; }
void insn_ud2(void) { not_modelled("UD2", 0); }
void insn_stac(void) { }
void insn_clac(void) { }

void insn_rep_stosq(void *destination, uint64_t value, uint64_t count)
{
	uint64_t *quadwords = destination;

	if (value == 0 && count >= DISCARD_QUADWORDS && fake_physmap_discard(destination, count * sizeof(value)))
		return;
	for (uint64_t i = 0; i < count; i++)
		quadwords[i] = value;
}

void insn_lgdt(const struct descriptor_table_register *r) { fake_gdtr = *r; }
void insn_lidt(const struct descriptor_table_register *r) { fake_idtr = *r; }
void insn_sgdt(struct descriptor_table_register *r) { *r = fake_gdtr; }
void insn_sidt(struct descriptor_table_register *r) { *r = fake_idtr; }
void insn_ltr(uint16_t selector) { fake_tr = selector; }
void insn_lldt(uint16_t selector) { fake_ldtr = selector; }

void insn_load_segments(uint16_t code, uint16_t data)
{
	fake_code_selector = code;
	fake_data_selector = data;
}

uint64_t insn_xgetbv(uint32_t index)
{
	if (index != 0)
		not_modelled("XGETBV of register", index);
	return fake_xcr0;
}

void insn_xsetbv(uint32_t index, uint64_t value)
{
	if (index != 0)
		not_modelled("XSETBV of register", index);
	fake_xcr0 = value;
}

void insn_xsave(void *area, uint64_t mask) { (void)area; (void)mask; }
void insn_xrstor(const void *area, uint64_t mask) { (void)area; (void)mask; }
void insn_fxsave(void *area) { (void)area; }
void insn_fxrstor(const void *area) { (void)area; }

/* ---- VMX ---- */

static uint64_t *vmcs_field(uint64_t field)
{
	if (field >= VMCS_FIELDS)
		not_modelled("VMCS field", field);
	return &vmcs[field];
}

uint64_t fake_vmcs_get(uint64_t field) { return *vmcs_field(field); }
void fake_vmcs_set(uint64_t field, uint64_t value) { *vmcs_field(field) = value; }

bool insn_vmxon(hpa_t region)
{
	if (fake_vmxon_fails || fake_vmx_on)
		return false;
	fake_vmxon_region = region;
	fake_vmx_on = true;
	return true;
}

/* What it saves is not modelled: the page is only touched. */
void insn_vmsave(hpa_t vmcb) { *(volatile uint8_t *)physmap_pointer(vmcb) = 1; }

void insn_vmxoff(void) { fake_vmx_on = false; }

bool insn_vmclear(hpa_t region)
{
	fake_vmclear_count++;
	if (fake_vmclear_fails)
		return false;
	if (fake_vmcs_current.value == region.value)
		fake_vmcs_current = hpa(0);
	return true;
}

bool insn_vmptrld(hpa_t region)
{
	if (fake_vmptrld_fails)
		return false;
	fake_vmcs_current = region;
	return true;
}

uint64_t insn_vmread(uint64_t field)
{
	fake_vmread_count++;
	return *vmcs_field(field);
}

bool insn_vmread_safe(uint64_t field, uint64_t *value)
{
	fake_vmread_count++;
	if (field == fake_vmcs_missing_field)
		return false;
	*value = *vmcs_field(field);
	return true;
}

void insn_vmwrite(uint64_t field, uint64_t value)
{
	fake_vmwrite_count++;
	*vmcs_field(field) = value;
}

bool insn_vmwrite_safe(uint64_t field, uint64_t value)
{
	fake_vmwrite_count++;
	if (field == fake_vmcs_missing_field)
		return false;
	*vmcs_field(field) = value;
	return true;
}

bool insn_invept(uint64_t type, const struct invept_descriptor *descriptor)
{
	(void)type;
	(void)descriptor;
	fake_invept_count++;
	return true;
}

bool insn_invvpid(uint64_t type, const struct invvpid_descriptor *descriptor)
{
	(void)type;
	(void)descriptor;
	fake_invvpid_count++;
	return true;
}
