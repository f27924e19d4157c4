/*
 * Any exits with any registers on a small VM with every device model: the handlers neither crash nor hang, leave the locks
 * free, and decide something that the run loop knows.
 */
#include <setjmp.h>

#include "tests/unit/vm_fixture.h"
#include "vmm/vcpu_timer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define STEP_SIZE 32u
#define MAX_STEPS 64u

static void require(bool condition)
{
	if (!condition)
		abort();
}

/* Ports, memory and MSRs where something is, so that most steps find it. */
static const uint16_t ports[] = {0x20, 0x21, 0xa0, 0xa1, 0x40, 0x43, 0x60, 0x61, 0x64, 0x70, 0x71, 0x92, 0xf4, 0x3f8, 0x3f9, 0x3fd,
				 0x600, 0x604, 0x608, 0xcf8, 0xcf9, 0xcfc, 0x4d0, 0xffff};
static const uint64_t addresses[] = {0xfee00000, 0xfec00000, 0xa0000, 0xc0000000, 0xfee00300, 0xfec00010, 0x100000000, 0x3ffffc};
static const uint32_t msrs[] = {0x10, 0x1b, 0x277, 0x6e0, 0x800, 0x830, 0xc0000080, 0xc0000100, 0x1d9, 0x174, 0x3b, 0x2ff};

static void fill_exit(struct vm_exit *exit, const uint8_t *bytes)
{
	uint64_t qualification, more;

	memcpy(&qualification, bytes + 8, 8);
	memcpy(&more, bytes + 16, 8);
	*exit = (struct vm_exit){.kind = (enum vm_exit_kind)(bytes[0] % VM_EXIT_KIND_COUNT), .reason = bytes[1] % VIRT_EXIT_REASON_MAX,
				 .instruction_length = bytes[2] & 15, .qualification = qualification, .rip = more & 0x1fffff};
	switch (exit->kind) {
	case VM_EXIT_EXCEPTION:
		exit->exception.vector = bytes[3] & 31;
		exit->exception.has_error_code = exception_has_error_code(exit->exception.vector);
		break;
	case VM_EXIT_EXTERNAL_INTERRUPT:
		exit->interrupt.vector = 0x20 + bytes[3] % 0xe0;
		break;
	case VM_EXIT_IO:
		exit->io.port = bytes[3] & 0x80 ? (uint16_t)qualification : ports[bytes[3] % array_count(ports)];
		exit->io.size = (uint8_t)(1u << bytes[4] % 3);
		exit->io.in = bytes[4] & 4;
		exit->io.string = bytes[4] & 8;
		exit->io.repeat = bytes[4] & 16;
		exit->io.address_size = (uint8_t)(2u << bytes[5] % 3);
		exit->io.linear_address = more;
		exit->io.segment = bytes[6] % 6;
		break;
	case VM_EXIT_CR_ACCESS:
		exit->cr.number = bytes[3] & 15;
		exit->cr.gpr = bytes[4] & 15;
		exit->cr.operation = (enum vm_exit_cr_operation)(bytes[5] & 3);
		exit->cr.lmsw_value = (uint16_t)qualification;
		break;
	case VM_EXIT_NESTED_FAULT:
	case VM_EXIT_APIC_ACCESS:
		exit->nested.gpa = gpa(bytes[3] & 0x80 ? qualification : addresses[bytes[3] % array_count(addresses)] + (bytes[5] & 0xff) * 4);
		exit->nested.gva = more;
		exit->nested.gva_valid = bytes[4] & 1;
		exit->nested.read = bytes[4] & 2;
		exit->nested.write = bytes[4] & 4;
		exit->nested.execute = bytes[4] & 8;
		exit->nested.during_walk = bytes[4] & 16;
		break;
	case VM_EXIT_APIC_WRITE:
		exit->apic.offset = (qualification & 0xff) << 4;
		break;
	case VM_EXIT_VIRTUAL_EOI:
		exit->eoi.vector = bytes[3];
		break;
	default:
		break;
	}
}

/* The guest's next instruction and the registers that it uses. */
static void fill_guest(const struct vm_exit *exit, const uint8_t *bytes)
{
	(void)!guest_memory_write(&fixture_vm->memory, gpa(exit->rip), bytes + 16, 16);
	*guest_gpr(bytes[6] & 15) = exit->qualification;
	if (exit->kind == VM_EXIT_RDMSR || exit->kind == VM_EXIT_WRMSR)
		*guest_gpr(GPR_RCX) = bytes[7] & 0x80 ? (uint32_t)exit->qualification : msrs[bytes[7] % array_count(msrs)] + (bytes[3] & 0x3f);
	if (bytes[7] == 1)
		set_guest_register(VIRT_RFLAGS, (exit->qualification & (RFLAGS_IF | RFLAGS_TF | RFLAGS_DF)) | RFLAGS_FIXED);
}

static void settle(enum exit_action action, const struct vm_exit *exit)
{
	struct virt_vcpu *virt = &fixture_vcpu->virt;

	require(action < EXIT_ACTION_COUNT);
	require(action != EXIT_STOP || fixture_vm->stop_kind != VM_STOP_NONE);
	require(action != EXIT_INJECT || fixture_event() & INTERRUPTION_VALID);
	require(fixture_vm->device_lock.next_ticket == fixture_vm->device_lock.now_serving);
	if (action == EXIT_SKIP || action == EXIT_BLOCK)
		virt_ops->skip_instruction(virt, exit);
	/* What the run loop does before the next entry. */
	spinlock_lock(&fixture_vm->device_lock);
	vcpu_timers_run(fixture_vcpu, fake_tsc);
	if (irq_pending_vector(fixture_vcpu) >= 0 && virt_ops->interrupt_allowed(virt))
		(void)irq_acknowledge(fixture_vcpu);
	spinlock_unlock(&fixture_vm->device_lock);
	fixture_vcpu->requests = 0;
}

static void step(const uint8_t *bytes)
{
	struct vm_exit exit;
	uint64_t paused = fake_pause_count;

	fill_exit(&exit, bytes);
	fill_guest(&exit, bytes);
	settle(handle(&exit), &exit);
	require(fake_pause_count == paused);
	fake_tsc += (uint64_t)bytes[5] << 12;
}

/* The state that steps leave would make a run depend on those before it. */
static void reset(uint8_t mode)
{
	memset(fixture_vcpu->virt.gpr, 0, sizeof(fixture_vcpu->virt.gpr));
	io_devices_reset(fixture_vm);
	msr_policy_reset(fixture_vcpu);
	fixture_vcpu->requests = 0;
	fixture_vm->stop_kind = VM_STOP_NONE;
	fixture_vm->state = VM_RUNNING;
	fixture_log_clear();
	fixture_vcpu->virt.xcr0 = 1;
	set_guest_register(VIRT_CR0, CR0_ET);
	set_guest_register(VIRT_CR4, 0);
	set_guest_register(VIRT_EFER, 0);
	set_guest_register(VIRT_RFLAGS, RFLAGS_FIXED);
	if (mode & 1)
		fixture_enter_protected_mode();
	if (mode & 2)
		fixture_enter_long_mode();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	if (fixture_vm == NULL) {
		fixture_start_vm();
		log_set_level(LOG_ERROR);
	}
	reset(data[0]);
	for (unsigned i = 0; i < MAX_STEPS && 1 + (i + 1) * STEP_SIZE <= size; i++)
		step(data + 1 + i * STEP_SIZE);
	return 0;
}
