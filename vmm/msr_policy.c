#include "vmm/msr_policy.h"

#include "arch/x86/clock.h"
#include "arch/x86/cpu/features.h"
#include "arch/x86/cr.h"
#include "arch/x86/insn.h"
#include "arch/x86/msr.h"
#include "lib/bits.h"
#include "vmm/cpuid_policy.h"
#include "vmm/cr_policy.h"
#include "vmm/msr_rows.h"
#include "vmm/vm.h"

#define MISC_ENABLE_FAST_STRINGS BIT(0)
#define MISC_ENABLE_NO_BTS BIT(11)
#define MISC_ENABLE_NO_PEBS BIT(12)
#define MISC_ENABLE_LIMIT_CPUID BIT(22)
#define MISC_ENABLE_XD_DISABLE BIT(34)
/* Bits that a guest may change; they have no effect but are read back. */
#define MISC_ENABLE_WRITABLE (MISC_ENABLE_FAST_STRINGS | MISC_ENABLE_LIMIT_CPUID | MISC_ENABLE_XD_DISABLE)

#define DEBUGCTL_LBR BIT(0)
#define DEBUGCTL_BTF BIT(1)

#define PLATFORM_INFO_RATIO_HZ 100000000u
#define MTRR_MASK_VALID BIT(11)
/* Set when the CPU is not affected by a flaw, so that a guest need not work around it. Controls that need an MSR
 * of their own are left out. */
#define ARCH_CAPABILITIES_PASSED (BITS(6, 0) | BIT(8) | BITS(15, 13) | BIT(17) | BIT(24) | BITS(27, 26))

uint64_t msr_host_values[MSR_HOST_VALUE_COUNT];

void msr_policy_apply(struct virt_vm *vm)
{
	for (unsigned i = 0; i < msr_row_count; i++) {
		const struct msr_row *row = &msr_rows[i];

		for (uint32_t msr = row->first; row->pass != MSR_PASS_NONE && msr <= row->last; msr++)
			virt_ops->msr_intercept(vm, msr, !(row->pass & MSR_PASS_READ), !(row->pass & MSR_PASS_WRITE));
	}
}

void msr_policy_reset(struct vcpu *vcpu)
{
	vcpu->misc_enable = MISC_ENABLE_FAST_STRINGS | MISC_ENABLE_NO_BTS | MISC_ENABLE_NO_PEBS;
	vcpu->debugctl = 0;
	vcpu->pat = MSR_PAT_RESET;
	vcpu->tsc_adjust = 0;
}

/* Where most registers are: numbers 0..0x3ff and 0xc0000000..0xc00001ff. One look-up gives the row. */
#define LOW_COUNT 0x400u
#define HIGH_FIRST 0xc0000000u
#define HIGH_COUNT 0x200u
static const struct msr_row *rows_by_number[LOW_COUNT + HIGH_COUNT];

static const struct msr_row *search_row(uint32_t msr)
{
	const struct msr_row *row = msr_rows;

	/* The last row that begins at or before @msr. */
	for (unsigned left = msr_row_count; left > 1;) {
		unsigned half = left / 2;

		row += row[half].first <= msr ? half : 0;
		left -= half;
	}
	return msr - row->first <= row->last - row->first ? row : NULL;
}

static void build_index(void)
{
	for (uint32_t i = 0; i < LOW_COUNT; i++)
		rows_by_number[i] = search_row(i);
	for (uint32_t i = 0; i < HIGH_COUNT; i++)
		rows_by_number[LOW_COUNT + i] = search_row(HIGH_FIRST + i);
}

static always_inline const struct msr_row *find_row(uint32_t msr)
{
	if (likely(msr < LOW_COUNT))
		return rows_by_number[msr];
	if (msr - HIGH_FIRST < HIGH_COUNT)
		return rows_by_number[LOW_COUNT + msr - HIGH_FIRST];
	return search_row(msr);
}

void msr_policy_init(void)
{
	uint64_t ratio = min_u64(clock_tsc_frequency / PLATFORM_INFO_RATIO_HZ, 0xff);
	uint64_t value;

	build_index();
	msr_host_values[MSR_HOST_PLATFORM_INFO] = ratio << 8 | ratio << 40;
	/* The gap for devices, 3 to 4 GiB, as one range; see msr_rows.c. */
	msr_host_values[MSR_HOST_MTRR_MASK] = (BITS(cpuid_policy_physical_address_bits() - 1, 0) & ~(GIB - 1)) | MTRR_MASK_VALID;
	msr_host_values[MSR_HOST_BIOS_SIGN_ID] = insn_rdmsr_safe(MSR_BIOS_SIGN_ID, &value) ? value : 0;
	msr_host_values[MSR_HOST_ARCH_CAPABILITIES] = 0;
	if (cpuid_policy_has_arch_capabilities() && insn_rdmsr_safe(MSR_ARCH_CAPABILITIES, &value))
		msr_host_values[MSR_HOST_ARCH_CAPABILITIES] = value & ARCH_CAPABILITIES_PASSED;
}

/* The registers that a running guest uses all the time are told apart first; they belong to the local APIC. */
static always_inline bool is_timer_or_x2apic(uint32_t msr)
{
	return msr >= LOW_COUNT && (msr == MSR_TSC_DEADLINE || msr - MSR_X2APIC_BASE <= MSR_X2APIC_LAST - MSR_X2APIC_BASE);
}

enum status msr_policy_read(struct vcpu *vcpu, uint32_t msr, uint64_t *value)
{
	const struct msr_row *row;

	if (is_timer_or_x2apic(msr))
		return msr_read_device(vcpu, NULL, msr, value);
	row = find_row(msr);
	return row && row->read ? row->read(vcpu, row, msr, value) : STATUS_NOT_FOUND;
}

enum status msr_policy_write(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
	const struct msr_row *row;

	if (likely(is_timer_or_x2apic(msr)))
		return msr_write_device(vcpu, NULL, msr, value);
	row = find_row(msr);
	return row && row->write ? row->write(vcpu, row, msr, value) : STATUS_NOT_FOUND;
}

const char *msr_policy_name(uint32_t msr)
{
	const struct msr_row *row = find_row(msr);

	return row ? row->name : NULL;
}

enum status msr_read_constant(struct vcpu *vcpu, const struct msr_row *row, uint32_t msr, uint64_t *value)
{
	(void)vcpu;
	(void)msr;
	*value = row->value;
	return STATUS_OK;
}

static bool is_amd(void)
{
	return features_identity()->vendor == CPU_VENDOR_AMD;
}

enum status msr_read_amd_constant(struct vcpu *vcpu, const struct msr_row *row, uint32_t msr, uint64_t *value)
{
	return is_amd() ? msr_read_constant(vcpu, row, msr, value) : STATUS_NOT_FOUND;
}

enum status msr_write_amd_ignored(struct vcpu *vcpu, const struct msr_row *row, uint32_t msr, uint64_t value)
{
	return is_amd() ? msr_write_ignored(vcpu, row, msr, value) : STATUS_NOT_FOUND;
}

enum status msr_read_host_value(struct vcpu *vcpu, const struct msr_row *row, uint32_t msr, uint64_t *value)
{
	(void)vcpu;
	(void)msr;
	*value = msr_host_values[row->value];
	return STATUS_OK;
}

enum status msr_read_arch_capabilities(struct vcpu *vcpu, const struct msr_row *row, uint32_t msr, uint64_t *value)
{
	return cpuid_policy_has_arch_capabilities() ? msr_read_host_value(vcpu, row, msr, value) : STATUS_NOT_FOUND;
}

enum status msr_read_field(struct vcpu *vcpu, const struct msr_row *row, uint32_t msr, uint64_t *value)
{
	(void)msr;
	*value = *(const uint64_t *)(const void *)((const char *)vcpu + row->value);
	return STATUS_OK;
}

enum status msr_read_register(struct vcpu *vcpu, const struct msr_row *row, uint32_t msr, uint64_t *value)
{
	(void)msr;
	*value = virt_ops->register_read(&vcpu->virt, (enum virt_register)row->value);
	return STATUS_OK;
}

enum status msr_read_tsc(struct vcpu *vcpu, const struct msr_row *row, uint32_t msr, uint64_t *value)
{
	(void)row;
	(void)msr;
	*value = clock_now() + vcpu->virt.tsc_offset;
	return STATUS_OK;
}

enum status msr_read_device(struct vcpu *vcpu, const struct msr_row *row, uint32_t msr, uint64_t *value)
{
	struct vm *vm = vcpu->vm;
	enum status status;

	(void)row;
	spinlock_lock(&vm->device_lock);
	status = io_bus_read(&vm->buses[IO_SPACE_MSR], vcpu, msr, sizeof(*value), value);
	spinlock_unlock(&vm->device_lock);
	return status;
}

enum status msr_write_device(struct vcpu *vcpu, const struct msr_row *row, uint32_t msr, uint64_t value)
{
	struct vm *vm = vcpu->vm;
	enum status status;

	(void)row;
	spinlock_lock(&vm->device_lock);
	status = io_bus_write(&vm->buses[IO_SPACE_MSR], vcpu, msr, sizeof(value), value);
	spinlock_unlock(&vm->device_lock);
	return status;
}

enum status msr_write_ignored(struct vcpu *vcpu, const struct msr_row *row, uint32_t msr, uint64_t value)
{
	(void)vcpu;
	(void)row;
	(void)msr;
	(void)value;
	return STATUS_OK;
}

enum status msr_write_zero(struct vcpu *vcpu, const struct msr_row *row, uint32_t msr, uint64_t value)
{
	(void)vcpu;
	(void)row;
	(void)msr;
	return value == 0 ? STATUS_OK : STATUS_INVALID;
}

enum status msr_write_misc_enable(struct vcpu *vcpu, const struct msr_row *row, uint32_t msr, uint64_t value)
{
	(void)row;
	(void)msr;
	vcpu->misc_enable = (vcpu->misc_enable & ~MISC_ENABLE_WRITABLE) | (value & MISC_ENABLE_WRITABLE);
	return STATUS_OK;
}

/* Single-stepping on branches is the CPU's business; last-branch records are promised by no CPUID leaf. */
enum status msr_write_debugctl(struct vcpu *vcpu, const struct msr_row *row, uint32_t msr, uint64_t value)
{
	(void)row;
	(void)msr;
	if (value & ~(DEBUGCTL_LBR | DEBUGCTL_BTF))
		return STATUS_INVALID;
	virt_ops->register_write(&vcpu->virt, VIRT_DEBUGCTL, value & DEBUGCTL_BTF);
	return STATUS_OK;
}

/* SDM Vol. 3A "IA32_PAT MSR": types 2, 3 and above 7 are reserved. */
enum status msr_write_pat(struct vcpu *vcpu, const struct msr_row *row, uint32_t msr, uint64_t value)
{
	const unsigned allowed_types = 0xf3; /* bit per type */

	(void)row;
	(void)msr;
	for (unsigned shift = 0; shift < 64; shift += 8) {
		unsigned type = (unsigned)(value >> shift & 0xff);

		if (type > 7 || !(allowed_types >> type & 1))
			return STATUS_INVALID;
	}
	vcpu->pat = value;
	virt_ops->register_write(&vcpu->virt, VIRT_PAT, value);
	return STATUS_OK;
}

/* LMA belongs to the CPU: what the guest writes there is ignored. SDM Vol. 4, IA32_EFER. */
enum status msr_write_efer(struct vcpu *vcpu, const struct msr_row *row, uint32_t msr, uint64_t value)
{
	struct cr_state state = {
		.cr0 = virt_ops->register_read(&vcpu->virt, VIRT_CR0),
		.efer = virt_ops->register_read(&vcpu->virt, VIRT_EFER),
	};

	(void)row;
	(void)msr;
	if (value & ~cpuid_policy_efer_allowed() || !cr_policy_efer_allowed(&state, value))
		return STATUS_INVALID;
	virt_ops->register_write(&vcpu->virt, VIRT_EFER, (value & ~EFER_LMA) | (state.efer & EFER_LMA));
	return STATUS_OK;
}

/* A write of either register moves the other by the same distance. SDM Vol. 3B "Time-Stamp Counter Adjustment". */
static enum status move_tsc(struct vcpu *vcpu, uint64_t distance)
{
	vcpu->tsc_adjust += distance;
	virt_ops->register_write(&vcpu->virt, VIRT_TSC_OFFSET, vcpu->virt.tsc_offset + distance);
	return STATUS_OK;
}

enum status msr_write_tsc(struct vcpu *vcpu, const struct msr_row *row, uint32_t msr, uint64_t value)
{
	(void)row;
	(void)msr;
	return move_tsc(vcpu, value - (clock_now() + vcpu->virt.tsc_offset));
}

enum status msr_write_tsc_adjust(struct vcpu *vcpu, const struct msr_row *row, uint32_t msr, uint64_t value)
{
	(void)row;
	(void)msr;
	return move_tsc(vcpu, value - vcpu->tsc_adjust);
}
