/*
 * vmx_fixture.h, with a whole VM as vm_create() makes it: RAM, every device model, one or more vCPUs, on the VMX back end.
 * Included by one .c file of a program.
 */
#pragma once

#include "arch/x86/cpu/idt.h"
#include "tests/unit/vmx_fixture.h"
#include "vmm/cpuid_policy.h"
#include "vmm/exit/exit_handlers.h"
#include "vmm/io_device.h"
#include "vmm/msr_policy.h"
#include "vmm/vm.h"

/* Entries of a linker table are only there if something names their files. */
extern const struct io_device_class reset_ports_class, uart_16550_class, i8042_class, io_apic_class, pic_8259_class, pit_8254_class,
	local_apic_class, test_device_class, pci_host_class, cmos_rtc_class, acpi_pm_class;
extern const struct io_device_class *const fixture_classes[];
const struct io_device_class *const fixture_classes[] = {
	&reset_ports_class, &uart_16550_class, &i8042_class, &io_apic_class, &pic_8259_class, &pit_8254_class,
	&local_apic_class, &test_device_class, &pci_host_class, &cmos_rtc_class, &acpi_pm_class,
};

static unsigned fixture_nmis; /* handled as the host's */

void idt_raise_nmi(void)
{
	fixture_nmis++;
}

void idt_raise_machine_check(void)
{
	abort();
}

static struct vm_config fixture_config;
static struct vm *fixture_vm;
static struct vcpu *fixture_vcpu; /* vCPU 0 */

/* A host with much of what guests may see; kept small, since any CPU will do. */
static inline struct cpuid_result fixture_host_cpuid(uint32_t leaf, uint32_t subleaf)
{
	switch (leaf) {
	case 0: return (struct cpuid_result){0xd, 0x756e6547, 0x6c65746e, 0x49656e69};
	case 1: return (struct cpuid_result){0x306c3, 0, 0x7ffafbff, 0xbfebfbff};
	case 7: return subleaf == 0 ? (struct cpuid_result){0, 0x029c67af, 0, 0} : (struct cpuid_result){0};
	case 0xd: return subleaf == 0 ? (struct cpuid_result){3, 576, 576, 0} : (struct cpuid_result){0};
	case 0x80000000: return (struct cpuid_result){0x80000008, 0, 0, 0};
	case 0x80000001: return (struct cpuid_result){0, 0, 0x21, 0x2c100800};
	case 0x80000008: return (struct cpuid_result){39 | 48 << 8, 0, 0, 0};
	default: return (struct cpuid_result){0};
	}
}

static inline void fixture_start_machine(void)
{
	fixture_start_vmx();
	cpuid_policy_build(fixture_host_cpuid);
	msr_policy_init();
	vm_list_count = 0;
	fixture_vm = NULL;
	fixture_config = (struct vm_config){.name = "test", .valid = true, .memory = 4 * MIB, .vcpus = 1, .testdev = true};
}

static inline void fixture_create_vm(unsigned vcpus)
{
	fixture_start_machine();
	fixture_config.vcpus = vcpus;
	if (vm_create(&fixture_config, &fixture_vm) != STATUS_OK)
		abort();
	fixture_vcpu = fixture_vm->vcpus[0];
}

/* One vCPU, its state in the CPU, in real mode as after a reset. */
static inline void fixture_start_vm(void)
{
	fixture_create_vm(1);
	virt_ops->vcpu_load(&fixture_vcpu->virt);
	pcpu_current()->current_vcpu = fixture_vcpu;
}

static inline void fixture_destroy_vm(void)
{
	if (fixture_vm)
		vm_destroy(fixture_vm);
	fixture_vm = NULL;
}

static inline uint64_t guest_register(enum virt_register name) { return virt_ops->register_read(&fixture_vcpu->virt, name); }
static inline void set_guest_register(enum virt_register name, uint64_t value) { virt_ops->register_write(&fixture_vcpu->virt, name, value); }
static inline uint64_t *guest_gpr(unsigned number) { return &fixture_vcpu->virt.gpr[number]; }

/* Unpaged 32-bit code with flat segments. */
static inline void fixture_enter_protected_mode(void)
{
	const struct virt_segment code = {0, 0xffffffff, 0xc09b, 8}, data = {0, 0xffffffff, 0xc093, 16};

	set_guest_register(VIRT_CR0, CR0_PE | CR0_NE | CR0_ET);
	for (unsigned name = VIRT_ES; name <= VIRT_GS; name++)
		virt_ops->segment_write(&fixture_vcpu->virt, (enum virt_segment_name)name, name == VIRT_CS ? &code : &data);
}

/* 64-bit code; the first 2 MiB mapped to themselves by tables at 0x10000. */
static inline void fixture_enter_long_mode(void)
{
	const struct virt_segment code = {0, 0xffffffff, 0xa09b, 8};
	const uint64_t entries[3] = {0x11003, 0x12003, 0x83};

	for (unsigned i = 0; i < 3; i++)
		if (guest_memory_write(&fixture_vm->memory, gpa(0x10000 + i * PAGE_SIZE), &entries[i], 8) != STATUS_OK)
			abort();
	fixture_enter_protected_mode();
	set_guest_register(VIRT_CR3, 0x10000);
	set_guest_register(VIRT_CR4, CR4_PAE);
	set_guest_register(VIRT_EFER, EFER_LME);
	set_guest_register(VIRT_CR0, CR0_PE | CR0_NE | CR0_ET | CR0_PG);
	virt_ops->segment_write(&fixture_vcpu->virt, VIRT_CS, &code);
}

/* An exit without an event left from an earlier one. */
static inline enum exit_action handle(const struct vm_exit *exit)
{
	fixture_vcpu->virt.backend->event_queued = false;
	fake_vmcs_set(VMCS_CONTROL_ENTRY_INTERRUPTION_INFO, 0);
	return exit_dispatch(fixture_vcpu, exit);
}

static inline enum exit_action handle_kind(enum vm_exit_kind kind)
{
	return handle(&(struct vm_exit){.kind = kind, .reason = 10, .instruction_length = 2, .rip = 0x1000});
}
