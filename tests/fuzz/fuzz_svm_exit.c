/*
 * Any exits, with any guest state, code and events under delivery, and any answers of the core between them: what is told of an
 * exit stays in its bounds, and the CPU is never given a VMCB that takes a control or an intercept from the host.
 */
#include "tests/unit/svm_fixture.h"

#include "arch/x86/svm/entry_checks.h"
#include "arch/x86/svm/instruction.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define STEP_SIZE 48u
#define MAX_STEPS 64u

static const uint8_t *step; /* what the guest's run leaves, and what is done then */

static void require(bool condition)
{
	if (!condition)
		abort();
}

static uint64_t field(unsigned offset)
{
	uint64_t value;

	memcpy(&value, step + offset, sizeof(value));
	return value;
}

/* Codes that there are, mostly. */
static uint64_t exit_code(void)
{
	if (step[0] < 0xf0)
		return step[0] % (SVM_EXIT_LOW_COUNT + 1);
	return step[0] < 0xf8 ? SVM_EXIT_NESTED_PAGE_FAULT : field(8);
}

/* An event as the CPU tells it. */
static uint64_t event(uint64_t raw)
{
	static const enum vmcb_event_type types[] = {EVENT_INTERRUPT, EVENT_NMI, EVENT_EXCEPTION, EVENT_SOFTWARE_INTERRUPT};
	enum vmcb_event_type type = types[raw >> 8 & 3];
	uint64_t vector = type == EVENT_EXCEPTION ? raw & 31 : raw & 0xff;

	if (type == EVENT_NMI || (type == EVENT_EXCEPTION && vector == EXCEPTION_NMI))
		return EVENT_VALID | (uint64_t)EVENT_NMI << EVENT_TYPE_SHIFT | EXCEPTION_NMI;
	return EVENT_VALID | (uint64_t)type << EVENT_TYPE_SHIFT | vector;
}

static void check_entry(const struct vmcb *block)
{
	const char *why;
	bool failed;

	/* What the host decides; the guest's own state may be as wrong as it likes. */
	require(block->efer & EFER_SVME && block->intercept_2 & INTERCEPT_VMRUN);
	require(block->asid >= 1 && block->asid <= FIXTURE_ASIDS);
	require((block->intercept_1 & (INTERCEPT_INTR | INTERCEPT_NMI | INTERCEPT_IO | INTERCEPT_MSR | INTERCEPT_CPUID | INTERCEPT_HLT |
				       INTERCEPT_SHUTDOWN | INTERCEPT_INIT)) ==
		(INTERCEPT_INTR | INTERCEPT_NMI | INTERCEPT_IO | INTERCEPT_MSR | INTERCEPT_CPUID | INTERCEPT_HLT | INTERCEPT_SHUTDOWN | INTERCEPT_INIT));
	require((block->intercept_2 & (INTERCEPT_VMLOAD | INTERCEPT_VMSAVE | INTERCEPT_STGI | INTERCEPT_CLGI | INTERCEPT_SKINIT)) ==
		(INTERCEPT_VMLOAD | INTERCEPT_VMSAVE | INTERCEPT_STGI | INTERCEPT_CLGI | INTERCEPT_SKINIT));
	require((~block->intercept_cr & (INTERCEPT_CR_WRITE(0) | INTERCEPT_CR_WRITE(4) | INTERCEPT_CR_READ(8) | INTERCEPT_CR_WRITE(8))) == 0);
	require(block->nested_control == NESTED_PAGING && block->nested_cr3 == fixture_nested.root.value);
	require(block->io_permissions == fixture_virt_vm.backend->io_permissions.value);
	require(block->msr_permissions == fixture_virt_vm.backend->msr_permissions.value);
	require(block->virtual_interrupt & VIRTUAL_INTERRUPT_MASKING && block->clean == 0);
	require(!(block->virtual_interrupt & VIRTUAL_INTERRUPT_REQUEST) || block->intercept_1 & INTERCEPT_VINTR);
	require(!(block->cr0 & (CR0_CD | CR0_NW)) && block->cr4 & CR4_MCE);
	for (unsigned i = 0; svm_entry_check(block, i, &why, &failed); i++)
		require(strcmp(why, "the event to inject is one that there is") != 0 || !failed);
}

static void guest(struct vmcb *block)
{
	check_entry(block);
	block->exit_code = exit_code();
	/* Of port I/O one size at a time. */
	block->exit_info_1 = block->exit_code == SVM_EXIT_IO ? (field(16) & ~BITS(6, 4)) | BIT(4 + step[2] % 3) : field(16);
	block->exit_info_2 = field(24);
	block->next_rip = block->rip + (step[1] & 31);
	block->exit_interrupt_info = step[1] & 0x20 ? event(field(32)) : 0;
	block->rip = step[1] & 0x40 ? field(32) : block->rip + 1;
	block->dr6 = DR6_FIXED | (step[3] & 15) | (step[3] & 16 ? DR6_BS : 0);
	if (step[1] & 0x80)
		block->rflags = (field(40) & (RFLAGS_IF | RFLAGS_TF)) | RFLAGS_FIXED;
	block->interrupt_state = step[3] >> 5 & 1;
	block->cpl = step[3] >> 6;
	block->segments[VIRT_CS].attributes = (uint16_t)(field(40) >> 8);
}

static void check_exit(const struct vm_exit *exit)
{
	require(exit->kind < VM_EXIT_KIND_COUNT && exit->reason < VIRT_EXIT_REASON_MAX && exit->instruction_length <= SVM_INSTRUCTION_MAX);
	if (exit->kind == VM_EXIT_IO) {
		require(exit->io.size == 1 || exit->io.size == 2 || exit->io.size == 4);
		require(!exit->io.string || (exit->io.segment <= VIRT_GS && exit->io.address_size >= 2 && exit->io.address_size <= 8));
	}
	if (exit->kind == VM_EXIT_CR_ACCESS)
		require(exit->cr.number < 16 && exit->cr.gpr < GPR_COUNT && exit->cr.operation <= CR_LMSW);
	if (exit->kind == VM_EXIT_EXCEPTION)
		require(exit->exception.vector < 32);
}

static void print_nothing(const char *format, ...) { (void)format; }

/* What the core may do with a vCPU that has exited. */
static void answer(const struct vm_exit *exit)
{
	struct virt_vcpu *vcpu = &fixture_virt;
	uint64_t value = field(40);

	switch (step[4] % 12) {
	case 0: svm_skip_instruction(vcpu, exit); break;
	case 1: svm_inject_exception(vcpu, EXCEPTION_GP, true, 0); break;
	case 2: svm_inject_exception(vcpu, EXCEPTION_UD, false, 0); break;
	case 3: svm_interrupt_window(vcpu, step[5] & 1); break;
	case 4: svm_register_write(vcpu, VIRT_CR0, (uint32_t)value); break;
	case 5: svm_register_write(vcpu, VIRT_CR4, (uint32_t)value); break;
	case 6: svm_register_write(vcpu, VIRT_EFER, value & (EFER_LME | EFER_SCE | EFER_NXE)); break;
	case 7: svm_vcpu_flush(vcpu); break;
	case 8: svm_vm_flush(&fixture_virt_vm); break;
	case 9: svm_vcpu_enter_init(vcpu); break;
	case 10: svm_dump(vcpu, print_nothing); break;
	default: svm_vcpu_put(vcpu); svm_vcpu_load(vcpu); break;
	}
	if (step[5] & 2 && svm_nmi_allowed(vcpu))
		svm_inject_nmi(vcpu);
	if (step[5] & 4 && svm_interrupt_allowed(vcpu))
		svm_inject_interrupt(vcpu, step[6]);
}

static void one_step(const uint8_t *bytes)
{
	step = bytes;
	fixture_set_code((const char *)step + 32, 16);
	fixture_page_left = step[7] & 15;
	fixture_operand_at = step[7] & 16 ? FIXTURE_OPERAND_FAULT : 0;
	svm_vcpu_run(&fixture_virt, fixture_handle);
	check_exit(&fixture_exit);
	/* A step of ours leaves nothing behind. */
	require(!fixture_virt.backend->is_stepping);
	answer(&fixture_exit);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	fixture_create_vcpu(data[0] & 1 ? FIXTURE_MOST : FIXTURE_LEAST);
	fixture_guest = guest;
	for (unsigned i = 0; i < MAX_STEPS && 1 + (i + 1) * STEP_SIZE <= size; i++)
		one_step(data + 1 + i * STEP_SIZE);
	(void)tear_down(NULL);
	return 0;
}
