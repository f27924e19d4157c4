#include "arch/x86/cpu/cpu.h"

#include "arch/x86/cpu/control_registers.h"
#include "arch/x86/cpu/features.h"
#include "arch/x86/cpu/gdt.h"
#include "arch/x86/cpu/idt.h"
#include "arch/x86/cpu/machine_check.h"
#include "arch/x86/cpu/stack.h"
#include "arch/x86/cpu/xsave.h"
#include "arch/x86/irq/ipi.h"
#include "arch/x86/irq/lapic.h"
#include "arch/x86/irq/lapic_timer.h"
#include "arch/x86/irq/pic.h"
#include "arch/x86/panic.h"

void cpu_init_boot(void)
{
	struct pcpu *pcpu;
	enum status status;

	features_init();
	pcpu = pcpu_add(features_identity()->apic_id, 0);
	stack_adopt_boot(pcpu);
	pcpu->activity = "booting";
	pcpu->online = true;
	status = gdt_create(pcpu);
	assert_always(status == STATUS_OK);
	gdt_load(pcpu);
	idt_init();
	idt_load();
	control_registers_init();
	machine_check_init();
}

enum status cpu_init_interrupts(bool x2apic_opt_out)
{
	enum status status;

	stack_guard_boot();
	pic_disable();
	status = lapic_init(x2apic_opt_out);
	if (status == STATUS_OK)
		status = lapic_timer_calibrate();
	if (status != STATUS_OK)
		return status;
	ipi_init();
	xsave_init();
	xsave_enable_on_cpu();
	return STATUS_OK;
}

void cpu_init_started(void)
{
	idt_load();
	control_registers_apply();
	machine_check_init();
	lapic_init_cpu();
	lapic_timer_init_cpu();
	xsave_enable_on_cpu();
}
