/*
 * The rows of the MSR policy, and the kinds of access that they name.
 */
#pragma once

#include "lib/status.h"
#include "lib/types.h"

struct msr_row;
struct vcpu;

/* As msr_policy_read() and msr_policy_write(), for an MSR of @row. */
typedef enum status (*msr_read)(struct vcpu *vcpu, const struct msr_row *row, uint32_t msr, uint64_t *value);
typedef enum status (*msr_write)(struct vcpu *vcpu, const struct msr_row *row, uint32_t msr, uint64_t value);

/* Accesses that do not exit: the back end switches the register. */
enum msr_pass { MSR_PASS_NONE = 0, MSR_PASS_READ = 1, MSR_PASS_WRITE = 2, MSR_PASS_BOTH = 3 };

struct msr_row {
	uint32_t first, last; /* both included */
	const char *name;
	enum msr_pass pass;
	msr_read read;        /* NULL: #GP */
	msr_write write;      /* NULL: #GP */
	uint64_t value;       /* a constant, an offset in struct vcpu, an enum virt_register, or an enum msr_host_value */
};

/** msr_rows - sorted by number, not overlapping. */
extern const struct msr_row msr_rows[];
extern const unsigned msr_row_count;

/* Values that are worked out once, at boot. */
enum msr_host_value {
	MSR_HOST_PLATFORM_INFO, MSR_HOST_MTRR_MASK, MSR_HOST_BIOS_SIGN_ID, MSR_HOST_ARCH_CAPABILITIES, MSR_HOST_VALUE_COUNT,
};
extern uint64_t msr_host_values[MSR_HOST_VALUE_COUNT];

#define MSR_PAT_RESET 0x0007040600070406ull /* SDM Vol. 3A "IA32_PAT MSR" */

enum status msr_read_constant(struct vcpu *vcpu, const struct msr_row *row, uint32_t msr, uint64_t *value);
enum status msr_read_host_value(struct vcpu *vcpu, const struct msr_row *row, uint32_t msr, uint64_t *value);
enum status msr_read_arch_capabilities(struct vcpu *vcpu, const struct msr_row *row, uint32_t msr, uint64_t *value);
/* As a constant, on AMD's processors; others have no such MSR. */
enum status msr_read_amd_constant(struct vcpu *vcpu, const struct msr_row *row, uint32_t msr, uint64_t *value);
enum status msr_read_field(struct vcpu *vcpu, const struct msr_row *row, uint32_t msr, uint64_t *value);
enum status msr_read_register(struct vcpu *vcpu, const struct msr_row *row, uint32_t msr, uint64_t *value);
enum status msr_read_tsc(struct vcpu *vcpu, const struct msr_row *row, uint32_t msr, uint64_t *value);
/* From the VM's bus of MSRs; @row is not looked at. */
enum status msr_read_device(struct vcpu *vcpu, const struct msr_row *row, uint32_t msr, uint64_t *value);

enum status msr_write_device(struct vcpu *vcpu, const struct msr_row *row, uint32_t msr, uint64_t value);
enum status msr_write_ignored(struct vcpu *vcpu, const struct msr_row *row, uint32_t msr, uint64_t value);
enum status msr_write_amd_ignored(struct vcpu *vcpu, const struct msr_row *row, uint32_t msr, uint64_t value);
/* Only 0 may be written. */
enum status msr_write_zero(struct vcpu *vcpu, const struct msr_row *row, uint32_t msr, uint64_t value);
enum status msr_write_misc_enable(struct vcpu *vcpu, const struct msr_row *row, uint32_t msr, uint64_t value);
enum status msr_write_debugctl(struct vcpu *vcpu, const struct msr_row *row, uint32_t msr, uint64_t value);
enum status msr_write_pat(struct vcpu *vcpu, const struct msr_row *row, uint32_t msr, uint64_t value);
enum status msr_write_efer(struct vcpu *vcpu, const struct msr_row *row, uint32_t msr, uint64_t value);
enum status msr_write_tsc(struct vcpu *vcpu, const struct msr_row *row, uint32_t msr, uint64_t value);
enum status msr_write_tsc_adjust(struct vcpu *vcpu, const struct msr_row *row, uint32_t msr, uint64_t value);
