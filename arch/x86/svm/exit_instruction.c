#include "arch/x86/cr.h"
#include "arch/x86/svm/instruction.h"
#include "arch/x86/svm/svm_internal.h"

#define OPCODE_CLTS 0x0f06
#define OPCODE_GROUP_7 0x0f01
#define OPCODE_MOV_FROM_CR 0x0f20
#define OPCODE_MOV_TO_CR 0x0f22
#define GROUP_7_SMSW 4
#define GROUP_7_LMSW 6
#define XSETBV_LENGTH 3u

static bool has_wide_addresses(const struct vmcb *vmcb)
{
	struct vmcb_segment cs = vmcb->segments[VIRT_CS];

	return vmcb->efer & EFER_LMA && cs.attributes & BIT(9);
}

static enum svm_code_size code_size(const struct vmcb *vmcb)
{
	if (has_wide_addresses(vmcb))
		return SVM_CODE_64;
	return vmcb->segments[VIRT_CS].attributes & BIT(10) ? SVM_CODE_32 : SVM_CODE_16;
}

/* The next page is only touched for an instruction that goes on there. */
static enum status fetch(struct virt_vcpu *vcpu, struct svm_instruction *instruction)
{
	const struct vmcb *vmcb = vcpu->backend->vmcb;
	uint8_t bytes[SVM_INSTRUCTION_MAX];
	size_t size = virt_read_code(vcpu, vmcb->rip, bytes, sizeof(bytes));

	enum status status = svm_instruction_decode(bytes, size, code_size(vmcb), instruction);
	if (likely(status != STATUS_TRUNCATED) || size == 0)
		return status;
	size += virt_read_code(vcpu, vmcb->rip + size, bytes + size, sizeof(bytes) - size);
	return svm_instruction_decode(bytes, size, code_size(vmcb), instruction);
}

/* Only a guest that changes its code while it runs gets here: a VM that stops. */
static void give_up(struct vm_exit *exit)
{
	exit->kind = VM_EXIT_UNKNOWN;
	exit->subject = 0;
}

static bool take_next_rip(const struct vmcb *vmcb, struct vm_exit *exit)
{
	uint64_t length = vmcb->next_rip - vmcb->rip;

	if (!svm_settings.has_next_rip || length - 1 >= SVM_INSTRUCTION_MAX)
		return false;
	exit->instruction_length = (uint32_t)length;
	return true;
}

void svm_decode_length(struct virt_vcpu *vcpu, struct vm_exit *exit, uint16_t opcode)
{
	struct svm_instruction instruction;

	if (take_next_rip(vcpu->backend->vmcb, exit))
		return;
	if (fetch(vcpu, &instruction) == STATUS_OK && instruction.opcode == opcode)
		exit->instruction_length = instruction.length;
	else
		give_up(exit);
}

static uint64_t linear_address(const struct vmcb *vmcb, unsigned segment, uint64_t offset)
{
	uint64_t base = vmcb->segments[segment].base;

	if (!has_wide_addresses(vmcb))
		return (uint32_t)(base + offset);
	return segment >= VIRT_FS ? base + offset : offset;
}

/* Not every CPU tells the size of addresses and the segment. */
static void decode_string(struct virt_vcpu *vcpu, struct vm_exit *exit)
{
	struct svm_instruction instruction;

	if (fetch(vcpu, &instruction) != STATUS_OK || instruction.opcode < 0x6c || instruction.opcode > 0x6f) {
		give_up(exit);
		return;
	}
	exit->io.address_size = instruction.address_size;
	exit->io.segment = VIRT_ES;
	if (!exit->io.in)
		exit->io.segment = instruction.segment == VIRT_SEGMENT_COUNT ? VIRT_DS : (uint8_t)instruction.segment;
	uint64_t offset = vcpu->gpr[exit->io.in ? GPR_RDI : GPR_RSI] & size_mask(exit->io.address_size);
	exit->io.linear_address = linear_address(vcpu->backend->vmcb, exit->io.segment, offset);
}

/* "I/O Intercepts": EXITINFO2 is the address of the next instruction, on all CPUs. */
void svm_decode_io(struct virt_vcpu *vcpu, struct vm_exit *exit)
{
	const struct vmcb *vmcb = vcpu->backend->vmcb;
	uint64_t info = vmcb->exit_info_1;

	exit->instruction_length = (uint32_t)min_u64(vmcb->exit_info_2 - vmcb->rip, SVM_INSTRUCTION_MAX);
	exit->subject = 0;
	exit->io.port = (uint16_t)(info >> 16);
	/* One bit for each size: 1, 2, 4. */
	exit->io.size = (uint8_t)max_u64(bits_get(info, 6, 4), 1);
	exit->io.in = info & IO_INFO_IN;
	exit->io.string = info & IO_INFO_STRING;
	exit->io.repeat = info & IO_INFO_REPEAT;
	if (unlikely(exit->io.string))
		decode_string(vcpu, exit);
}

static uint64_t gpr_read(struct virt_vcpu *vcpu, unsigned number)
{
	return number == GPR_RSP ? vcpu->backend->vmcb->rsp : vcpu->gpr[number];
}

static void gpr_write(struct virt_vcpu *vcpu, unsigned number, uint64_t value)
{
	if (number == GPR_RSP)
		vcpu->backend->vmcb->rsp = value;
	else
		vcpu->gpr[number] = value;
}

/* Reads or writes the operand in memory. False: the guest gets a fault instead of the instruction. */
static bool access_memory(struct virt_vcpu *vcpu, struct vm_exit *exit, const struct svm_instruction *instruction, uint16_t *value, bool write)
{
	bool on_stack = instruction->base == GPR_RSP || instruction->base == GPR_RBP;
	unsigned segment = on_stack ? VIRT_SS : VIRT_DS;
	uint64_t offset = (uint64_t)(int64_t)instruction->displacement;

	if (instruction->segment != VIRT_SEGMENT_COUNT)
		segment = instruction->segment;
	if (instruction->base_is_rip)
		offset += exit->rip + instruction->length;
	if (instruction->base != SVM_NO_REGISTER)
		offset += gpr_read(vcpu, instruction->base);
	if (instruction->index != SVM_NO_REGISTER)
		offset += gpr_read(vcpu, instruction->index) << instruction->scale;
	uint64_t linear = linear_address(vcpu->backend->vmcb, segment, offset & size_mask(instruction->address_size));
	if (virt_access_operand(vcpu, linear, value, write))
		return true;
	exit->kind = VM_EXIT_HANDLED;
	return false;
}

/* The core knows CR8 alone to be read: the others exit only while the CPU's differ from the guest's, or by mistake of the CPU. */
static uint64_t guest_cr(struct virt_vcpu *vcpu, const struct vm_exit *exit)
{
	static const enum virt_register names[] = {VIRT_CR0, VIRT_CR0, VIRT_CR2, VIRT_CR3, VIRT_CR4};
	unsigned number = exit->cr.number < array_count(names) ? exit->cr.number : 0;

	return svm_register_read(vcpu, names[number]);
}

static void read_cr(struct virt_vcpu *vcpu, struct vm_exit *exit, unsigned operand_size)
{
	uint64_t value = guest_cr(vcpu, exit), old = gpr_read(vcpu, exit->cr.gpr);

	if (operand_size == 2)
		value = (old & ~BITS(15, 0)) | (uint16_t)value;
	else if (!(vcpu->backend->vmcb->efer & EFER_LMA))
		value = (uint32_t)value;
	gpr_write(vcpu, exit->cr.gpr, value);
	svm_skip_instruction(vcpu, exit);
	exit->kind = VM_EXIT_HANDLED;
}

static void take_mov(struct virt_vcpu *vcpu, struct vm_exit *exit, bool from, uint8_t gpr)
{
	exit->cr.gpr = gpr;
	exit->cr.operation = from ? CR_MOV_FROM : CR_MOV_TO;
	if (from && exit->cr.number != 8)
		read_cr(vcpu, exit, sizeof(uint64_t));
}

/* SMSW: in memory it stores 16 bits, whatever the size of operands. */
static void take_smsw(struct virt_vcpu *vcpu, struct vm_exit *exit, const struct svm_instruction *instruction)
{
	uint16_t value = (uint16_t)guest_cr(vcpu, exit);

	if (instruction->modrm_is_register) {
		read_cr(vcpu, exit, instruction->operand_size);
		return;
	}
	if (!access_memory(vcpu, exit, instruction, &value, true))
		return;
	svm_skip_instruction(vcpu, exit);
	exit->kind = VM_EXIT_HANDLED;
}

static void take_lmsw(struct virt_vcpu *vcpu, struct vm_exit *exit, const struct svm_instruction *instruction)
{
	uint16_t value = 0;

	if (instruction->modrm_is_register)
		value = (uint16_t)gpr_read(vcpu, exit->cr.gpr);
	else if (!access_memory(vcpu, exit, instruction, &value, false))
		return;
	exit->cr.operation = CR_LMSW;
	exit->cr.lmsw_value = value;
}

static void take_group_7(struct virt_vcpu *vcpu, struct vm_exit *exit, const struct svm_instruction *instruction)
{
	exit->cr.gpr = instruction->modrm_rm;
	switch (instruction->modrm_reg % 8) {
	case GROUP_7_SMSW:
		take_smsw(vcpu, exit, instruction);
		break;
	case GROUP_7_LMSW:
		take_lmsw(vcpu, exit, instruction);
		break;
	default:
		give_up(exit);
	}
}

static void take_instruction(struct virt_vcpu *vcpu, struct vm_exit *exit, const struct svm_instruction *instruction)
{
	exit->instruction_length = instruction->length;
	switch (instruction->opcode) {
	case OPCODE_MOV_FROM_CR:
		/* QEMU 11 exits for a MOV from any control register, with the number of the other operand as its number. */
		exit->cr.number = instruction->has_lock && instruction->modrm_reg == 0 ? 8 : instruction->modrm_reg;
		take_mov(vcpu, exit, true, instruction->modrm_rm);
		break;
	case OPCODE_MOV_TO_CR:
		take_mov(vcpu, exit, false, instruction->modrm_rm);
		break;
	case OPCODE_CLTS:
		exit->cr.operation = CR_CLTS;
		break;
	case OPCODE_GROUP_7:
		take_group_7(vcpu, exit, instruction);
		break;
	default:
		give_up(exit);
	}
}

void svm_decode_cr(struct virt_vcpu *vcpu, struct vm_exit *exit)
{
	const struct vmcb *vmcb = vcpu->backend->vmcb;
	struct svm_instruction instruction;

	/* Bochs 3.1 takes EFER.LMA away before it exits for a MOV that clears CR0.PG: it goes with CR0.PG, which is still set. */
	svm_register_write(vcpu, VIRT_EFER, svm_register_read(vcpu, VIRT_EFER));
	exit->subject = 0;
	exit->cr.number = (uint8_t)(exit->reason % SVM_EXIT_WRITE_CR0);
	if (svm_settings.has_decode_assists && vmcb->exit_info_1 & CR_INFO_IS_MOV && take_next_rip(vmcb, exit))
		take_mov(vcpu, exit, exit->reason < SVM_EXIT_WRITE_CR0, (uint8_t)(vmcb->exit_info_1 & CR_INFO_GPR));
	else if (fetch(vcpu, &instruction) == STATUS_OK)
		take_instruction(vcpu, exit, &instruction);
	else
		give_up(exit);
}

/* Not every CPU looks at privilege and CR4.OSXSAVE before this exit. */
void svm_decode_xsetbv(struct virt_vcpu *vcpu, struct vm_exit *exit)
{
	exit->subject = 0;
	exit->instruction_length = XSETBV_LENGTH;
	if (!vcpu->os_xsave)
		exit->kind = VM_EXIT_UNDEFINED_INSTRUCTION;
	else if (vcpu->backend->vmcb->cpl != 0)
		exit->kind = VM_EXIT_RDPMC; /* as that: #GP */
	else
		svm_decode_length(vcpu, exit, OPCODE_GROUP_7);
}
