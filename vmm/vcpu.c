#include "vmm/vcpu.h"

#include "arch/x86/clock.h"
#include "arch/x86/exception.h"
#include "arch/x86/pcpu.h"

static vcpu_kick_handler kick_handler;

void vcpu_set_kick_handler(vcpu_kick_handler handler)
{
	kick_handler = handler;
}

void vcpu_kick(struct vcpu *vcpu, uint32_t request)
{
	/* A full barrier: see vmm/sched/scheduler_queue.c. What was asked before and not yet taken has had its kick. */
	uint32_t before = __atomic_fetch_or(&vcpu->requests, request, __ATOMIC_SEQ_CST);

	if ((before & request) == request)
		return;
	/* The vCPU's own CPU looks at the requests before every entry. */
	if (__atomic_load_n(&vcpu->state, __ATOMIC_ACQUIRE) == VCPU_RUNNING && vcpu->pcpu_index == pcpu_current()->index)
		return;
	if (kick_handler)
		kick_handler(vcpu);
}

uint64_t vcpu_run_ticks(const struct vcpu *vcpu)
{
	uint64_t ticks = vcpu->sched.run_ticks;

	if (__atomic_load_n(&vcpu->state, __ATOMIC_ACQUIRE) == VCPU_RUNNING)
		ticks += clock_now() - vcpu->sched.since;
	return ticks;
}

uint64_t vcpu_gpr_read(struct vcpu *vcpu, unsigned number)
{
	number &= GPR_COUNT - 1;
	return number == GPR_RSP ? virt_ops->register_read(&vcpu->virt, VIRT_RSP) : vcpu->virt.gpr[number];
}

void vcpu_gpr_write(struct vcpu *vcpu, unsigned number, uint64_t value)
{
	number &= GPR_COUNT - 1;
	if (number == GPR_RSP)
		virt_ops->register_write(&vcpu->virt, VIRT_RSP, value);
	else
		vcpu->virt.gpr[number] = value;
}

void vcpu_inject_undefined_opcode(struct vcpu *vcpu)
{
	virt_ops->inject_exception(&vcpu->virt, EXCEPTION_UD, false, 0);
}

void vcpu_inject_general_protection(struct vcpu *vcpu)
{
	virt_ops->inject_exception(&vcpu->virt, EXCEPTION_GP, true, 0);
}

void vcpu_inject_page_fault(struct vcpu *vcpu, uint64_t address, uint32_t error_code)
{
	virt_ops->register_write(&vcpu->virt, VIRT_CR2, address);
	virt_ops->inject_exception(&vcpu->virt, EXCEPTION_PF, true, error_code);
}

uint64_t vcpu_guest_tsc(const struct vcpu *vcpu)
{
	return clock_now() + vcpu->virt.tsc_offset;
}

uint64_t vcpu_host_tsc_from_guest(const struct vcpu *vcpu, uint64_t value)
{
	return value - vcpu->virt.tsc_offset;
}
