#include "vmm/audit.h"

#include <stdarg.h>

#include "arch/x86/irq/interrupt.h"
#include "arch/x86/irq/ioapic.h"
#include "lib/bits.h"
#include "lib/fmt.h"
#include "vmm/audit_internal.h"
#include "vmm/msr_rows.h"
#include "vmm/vm.h"

#define LINE_SIZE 240u
#define IOAPIC_GSI_END 256u
#define ENTRY_MASKED BIT(16)
#define ENTRY_VECTOR BITS(7, 0)

#define X2APIC_FIRST 0x800u
#define X2APIC_LAST 0x8ffu

void audit_fault(struct audit *audit, const char *format, ...)
{
	char line[LINE_SIZE];
	va_list arguments;

	audit->faults++;
	va_start(arguments, format);
	fmt_vprint(line, sizeof(line), format, arguments);
	va_end(arguments);
	audit->print("fault: %s\n", line);
}

/* ---- ports and MSRs that a guest reaches without an exit ---- */

struct guest_check {
	struct audit *audit;
	const struct vm *vm;
	unsigned ports, msrs;
};

struct port_search {
	uint16_t port;
	bool found;
};

static void compare_port(void *context, uint16_t port)
{
	struct port_search *search = context;

	search->found |= port == search->port;
}

static const char *other_with_port(const struct vm *vm, uint16_t port)
{
	for (uint32_t i = 0; i < vm_list_count; i++) {
		struct port_search search = {port, false};

		if (vm_list[i] != vm)
			virt_ops->inspect->open_ports(&vm_list[i]->virt, compare_port, &search);
		if (search.found)
			return vm_list[i]->config->name;
	}
	return NULL;
}

/* No port is any VM's own: all that guests see are models. */
static void check_port(void *context, uint16_t port)
{
	struct guest_check *check = context;
	const char *other;

	if (check->ports++ >= AUDIT_FAULT_LINES) {
		check->audit->faults++;
		return;
	}
	other = other_with_port(check->vm, port);
	audit_fault(check->audit, "port 0x%x of the machine is open to %s%s%s", port, check->vm->config->name,
		    other != NULL ? " and to " : "", other != NULL ? other : "");
}

/* "Virtualizing MSR-Based APIC Accesses": all reads, and writes of these, reach the vCPU's own register page. */
static bool hardware_virtualizes(uint32_t msr, bool write)
{
	if (msr < X2APIC_FIRST || msr > X2APIC_LAST)
		return false;
	return !write || msr == 0x808 || msr == 0x80b || msr == 0x83f;
}

static bool policy_passes(uint32_t msr, bool write)
{
	for (unsigned i = 0; i < msr_row_count; i++)
		if (msr >= msr_rows[i].first && msr <= msr_rows[i].last)
			return msr_rows[i].pass & (write ? MSR_PASS_WRITE : MSR_PASS_READ);
	return false;
}

static void check_msr(void *context, uint32_t msr, bool write, bool x2apic)
{
	struct guest_check *check = context;

	check->msrs++;
	if (policy_passes(msr, write) || (x2apic && hardware_virtualizes(msr, write)))
		return;
	audit_fault(check->audit, "MSR 0x%x can be %s by %s, which no row of the policy allows", msr, write ? "written" : "read",
		    check->vm->config->name);
}

static void check_tags(struct audit *audit, const struct vcpu *vcpu, uint32_t first_vm, uint32_t first_vcpu)
{
	uint32_t tag = virt_ops->inspect->vcpu_tag(&vcpu->virt);

	if (tag == 0)
		audit_fault(audit, "%s/%u has the hypervisor's VPID", vcpu->vm->config->name, vcpu->index);
	for (uint32_t i = first_vm; i < vm_list_count; i++, first_vcpu = 0)
		for (uint32_t v = first_vcpu; v < vm_list[i]->vcpu_count; v++)
			if (virt_ops->inspect->vcpu_tag(&vm_list[i]->vcpus[v]->virt) == tag)
				audit_fault(audit, "VPID %u belongs to %s/%u and to %s/%u", tag, vcpu->vm->config->name, vcpu->index,
					    vm_list[i]->config->name, v);
}

void audit_guests(struct audit *audit)
{
	struct guest_check check = {.audit = audit};
	uint32_t vcpus = 0;

	for (uint32_t i = 0; i < vm_list_count; i++) {
		check.vm = vm_list[i];
		check.ports = 0;
		virt_ops->inspect->open_ports(&check.vm->virt, check_port, &check);
		virt_ops->inspect->open_msrs(&check.vm->virt, check_msr, &check);
		for (uint32_t v = 0; v < check.vm->vcpu_count; v++, vcpus++)
			check_tags(audit, check.vm->vcpus[v], i, v + 1);
	}
	audit->print("%-12s %u VMs, %u vCPUs; %u ways to MSRs without an exit\n", "guests", vm_list_count, vcpus, check.msrs);
}

/* ---- the machine's interrupts ---- */

static void check_pin(struct audit *audit, uint32_t gsi, uint8_t vector, uint32_t owners[256])
{
	if (interrupt_name(vector) == NULL)
		audit_fault(audit, "I/O APIC input %u raises vector 0x%x, which is nobody's", gsi, vector);
	if (owners[vector] != 0)
		audit_fault(audit, "vector 0x%x (%s) belongs to I/O APIC inputs %u and %u", vector,
			    interrupt_name(vector) != NULL ? interrupt_name(vector) : "?", owners[vector] - 1, gsi);
	owners[vector] = gsi + 1;
}

void audit_interrupts(struct audit *audit)
{
	static uint32_t owners[256]; /* of vectors: I/O APIC input + 1 */
	unsigned routed = 0, inputs = 0, guests = 0;
	uint64_t entry;

	for (unsigned i = 0; i < array_count(owners); i++)
		owners[i] = 0;
	for (uint32_t gsi = 0; gsi < IOAPIC_GSI_END; gsi++) {
		if (ioapic_read_entry(gsi, &entry) != STATUS_OK)
			continue;
		inputs++;
		if (entry & ENTRY_MASKED)
			continue;
		routed++;
		guests += (entry & ENTRY_VECTOR) >= INTERRUPT_VECTOR_DEVICES && (entry & ENTRY_VECTOR) < INTERRUPT_VECTOR_DEVICES_END;
		check_pin(audit, gsi, (uint8_t)(entry & ENTRY_VECTOR), owners);
	}
	audit->print("%-12s %u I/O APIC inputs, %u routed, %u of them to guests\n", "interrupts", inputs, routed, guests);
}

unsigned audit_run(report_print print)
{
	struct audit audit = {.print = print};

	audit_pages(&audit);
	audit_guests(&audit);
	audit_interrupts(&audit);
	audit_devices(&audit);
	if (audit.faults == 0)
		print("audit: clean\n");
	else
		print("audit: %u faults\n", audit.faults);
	return audit.faults;
}
