#include "arch/x86/clock.h"
#include "arch/x86/svm/svm_internal.h"

/*
 * Every PAUSE exits where the CPU has no filter, if the VM has more than one vCPU. So many of them in a row, none later than so
 * long after the last, are a loop that waits for another vCPU. An exit takes a microsecond on silicon, and up to fifty where the
 * CPU is emulated.
 */
#define LOOP_PAUSES 8u
#define LOOP_GAP_NANOSECONDS 200000u
#define OPCODE_PAUSE 0x90

static bool is_loop(struct virt_vcpu_backend *backend, uint64_t now)
{
	bool follows = now - backend->last_pause < clock_ticks_from_nanoseconds(LOOP_GAP_NANOSECONDS);

	backend->last_pause = now;
	backend->pauses = follows ? backend->pauses + 1 : 1;
	if (backend->pauses < LOOP_PAUSES)
		return false;
	backend->pauses = 0;
	return true;
}

void svm_decode_pause(struct virt_vcpu *vcpu, struct vm_exit *exit)
{
	exit->subject = 0;
	/* The CPU carries it out at the next entry, and counts anew. */
	if (svm_settings.has_pause_filter)
		return;
	svm_decode_length(vcpu, exit, OPCODE_PAUSE);
	if (exit->kind != VM_EXIT_PAUSE)
		return;
	svm_skip_instruction(vcpu, exit);
	if (!is_loop(vcpu->backend, exit->time))
		exit->kind = VM_EXIT_HANDLED;
}
