#include "vmm/exit/exit_handlers.h"

#include "lib/bits.h"
#include "vmm/emul/emulate.h"
#include "vmm/guest_linear.h"
#include "vmm/pci_window.h"
#include "vmm/vm.h"

/* One access to memory that is no RAM, while its instruction is carried out. */
struct access {
	struct vcpu *vcpu;
	const struct vm_exit *exit;
	bool long_mode_code; /* CS.L: segment bases count for FS and GS only */
	struct guest_linear_fault fault;
	bool refused;        /* outside every window: the VM is stopped */
	gpa_t refused_at;
};

/* Where a PC's devices are, whether or not this one has them: firmware and kernels probe there, so reads give ones and
 * writes are lost, as on a bus without a taker. Everything else outside RAM is a guest gone astray. */
static bool in_device_window(const struct vm *vm, uint64_t address, unsigned size)
{
	uint64_t last = address + size - 1;

	/* Functions may have registers above all RAM. */
	if (vm->passthrough.count != 0 && pci_window_holds(&vm->memory, address, size))
		return true;
	return (address >= GUEST_LOW_RAM_END && last < 4 * GIB) || (address >= GUEST_VGA_HOLE_START && last < GUEST_VGA_HOLE_END);
}

/* These two with the device lock held. */
static enum status device_read(struct access *access, uint64_t address, unsigned size, uint64_t *value)
{
	enum status status = io_bus_read(&access->vcpu->vm->buses[IO_SPACE_MEMORY], access->vcpu, address, size, value);

	if (likely(status == STATUS_OK))
		return STATUS_OK;
	*value = size_mask(size);
	if (in_device_window(access->vcpu->vm, address, size))
		return STATUS_OK;
	access->refused = true;
	access->refused_at = gpa(address);
	return STATUS_NOT_FOUND;
}

static enum status device_write(struct access *access, uint64_t address, unsigned size, uint64_t value)
{
	enum status status = io_bus_write(&access->vcpu->vm->buses[IO_SPACE_MEMORY], access->vcpu, address, size, value);

	if (likely(status == STATUS_OK) || in_device_window(access->vcpu->vm, address, size))
		return STATUS_OK;
	access->refused = true;
	access->refused_at = gpa(address);
	return STATUS_NOT_FOUND;
}

static uint64_t register_read(void *context, unsigned number)
{
	return vcpu_gpr_read(((struct access *)context)->vcpu, number);
}

static void register_write(void *context, unsigned number, uint64_t value)
{
	vcpu_gpr_write(((struct access *)context)->vcpu, number, value);
}

static uint64_t flags_read(void *context)
{
	return virt_ops->register_read(&((struct access *)context)->vcpu->virt, VIRT_RFLAGS);
}

static void flags_write(void *context, uint64_t rflags)
{
	virt_ops->register_write(&((struct access *)context)->vcpu->virt, VIRT_RFLAGS, rflags);
}

/* The exit says where the operand lies, so no address is computed and no table is walked. */
static enum status operand_read(void *context, unsigned size, uint64_t *value)
{
	struct access *access = context;

	return device_read(access, access->exit->nested.gpa.value, size, value);
}

static enum status operand_write(void *context, unsigned size, uint64_t value)
{
	struct access *access = context;

	return device_write(access, access->exit->nested.gpa.value, size, value);
}

static uint64_t linear_address(const struct access *access, unsigned segment, uint64_t offset)
{
	struct virt_segment s;

	if (access->long_mode_code && segment != VIRT_FS && segment != VIRT_GS)
		return offset;
	virt_ops->segment_read(&access->vcpu->virt, (enum virt_segment_name)segment, &s);
	return access->long_mode_code ? s.base + offset : (uint32_t)(s.base + offset);
}

/* String instructions have RAM on one side, so each side is translated. */
static enum status string_read(void *context, unsigned segment, uint64_t offset, unsigned size, uint64_t *value)
{
	struct access *access = context;
	gva_t linear = gva(linear_address(access, segment, offset));
	gpa_t address;

	enum status status = guest_linear_translate(access->vcpu, linear, GUEST_LINEAR_READ, &address, &access->fault);
	if (status != STATUS_OK)
		return status;
	*value = 0;
	if (guest_memory_is_ram(&access->vcpu->vm->memory, address, 1))
		return guest_linear_read(access->vcpu, linear, value, size, &access->fault);
	return device_read(access, address.value, size, value);
}

static enum status string_write(void *context, unsigned segment, uint64_t offset, unsigned size, uint64_t value)
{
	struct access *access = context;
	gva_t linear = gva(linear_address(access, segment, offset));
	gpa_t address;

	enum status status = guest_linear_translate(access->vcpu, linear, GUEST_LINEAR_WRITE, &address, &access->fault);
	if (status != STATUS_OK)
		return status;
	if (guest_memory_is_ram(&access->vcpu->vm->memory, address, 1))
		return guest_linear_write(access->vcpu, linear, &value, size, &access->fault);
	return device_write(access, address.value, size, value);
}

static const struct emulate_ops ops = {
	.register_read = register_read,
	.register_write = register_write,
	.flags_read = flags_read,
	.flags_write = flags_write,
	.operand_read = operand_read,
	.operand_write = operand_write,
	.string_read = string_read,
	.string_write = string_write,
};

static enum exit_action crash_unmapped(struct vcpu *vcpu, const struct vm_exit *exit, uint64_t address)
{
	const char *how = exit->nested.execute ? "execute" : exit->nested.write ? "write" : "read";

	return exit_crash(vcpu, "access to unmapped guest-physical address 0x%llx (%s) at rip 0x%llx", (unsigned long long)address, how,
			  (unsigned long long)exit->rip);
}

static enum exit_action crash_unsupported(struct vcpu *vcpu, const struct vm_exit *exit, const uint8_t *bytes, size_t size)
{
	uint8_t b[8] = {0};

	for (size_t i = 0; i < size && i < sizeof(b); i++)
		b[i] = bytes[i];
	return exit_crash(vcpu, "unsupported instruction (%02x %02x %02x %02x %02x %02x %02x %02x) on device memory at rip 0x%llx",
			  b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], (unsigned long long)exit->rip);
}

/* The next page is only touched for an instruction that goes on there. STATUS_DENIED: fetching it faults. */
static enum status fetch_and_decode(struct vcpu *vcpu, uint64_t rip, struct guest_linear_code *code, struct instruction *instruction,
				    struct guest_linear_fault *fault)
{
	enum status status = guest_linear_fetch(vcpu, rip, code, fault);

	if (status != STATUS_OK)
		return status;
	status = decoder_decode(code->bytes, code->size, code->mode, instruction);
	if (likely(status != STATUS_TRUNCATED))
		return status;
	status = guest_linear_fetch_more(vcpu, code, fault);
	return status == STATUS_OK ? decoder_decode(code->bytes, code->size, code->mode, instruction) : status;
}

static enum exit_action inject(struct vcpu *vcpu, const struct guest_linear_fault *fault)
{
	guest_linear_inject(vcpu, fault);
	return EXIT_INJECT;
}

/* Not every CPU gives a length for these exits; the decoder's is always right. */
static enum exit_action skip(struct vcpu *vcpu, const struct vm_exit *exit, unsigned length)
{
	struct vm_exit with_length;

	if (likely(exit->instruction_length == length))
		return EXIT_SKIP;
	with_length = *exit;
	with_length.instruction_length = length;
	virt_ops->skip_instruction(&vcpu->virt, &with_length);
	return EXIT_RESUME;
}

static enum exit_action emulate_access(struct vcpu *vcpu, const struct vm_exit *exit)
{
	struct access access = {.vcpu = vcpu, .exit = exit};
	struct guest_linear_code code;
	struct instruction instruction;
	bool finished;

	enum status status = fetch_and_decode(vcpu, exit->rip, &code, &instruction, &access.fault);
	if (status == STATUS_DENIED)
		return inject(vcpu, &access.fault);
	if (status != STATUS_OK)
		return crash_unsupported(vcpu, exit, code.bytes, code.size);
	access.long_mode_code = code.mode == DECODER_64;
	/* Around the whole instruction, so that a locked one is one access to the other vCPUs. */
	spinlock_lock(&vcpu->vm->device_lock);
	status = emulate(&instruction, &ops, &access, &finished);
	spinlock_unlock(&vcpu->vm->device_lock);
	if (unlikely(status != STATUS_OK))
		return access.refused ? crash_unmapped(vcpu, exit, access.refused_at.value) : inject(vcpu, &access.fault);
	return finished ? skip(vcpu, exit, instruction.length) : EXIT_RESUME;
}

/* A place for devices whatever the VM's size, and where nearly all accesses go. */
static bool in_device_gap(gpa_t address)
{
	return address.value >= GUEST_LOW_RAM_END && address.value < 4 * GIB;
}

enum exit_action exit_nested_fault(struct vcpu *vcpu, const struct vm_exit *exit)
{
	gpa_t address = exit->nested.gpa;

	/* RAM is always mapped, readable, writable and executable. */
	if (unlikely(!in_device_gap(address) && guest_memory_is_ram(&vcpu->vm->memory, address, 1)))
		return exit_crash(vcpu, "RAM at 0x%llx is not mapped: a fault of the hypervisor", (unsigned long long)address.value);
	if (exit->nested.execute || exit->nested.during_walk)
		return crash_unmapped(vcpu, exit, address.value);
	return emulate_access(vcpu, exit);
}
