/* The bytes of guests' instructions and their operands, for a back end whose CPU does not tell them. */
#pragma once

#include "arch/x86/virt.h"

/** guest_code_read() - a virt_code_reader. */
size_t guest_code_read(struct virt_vcpu *virt, uint64_t rip, uint8_t *bytes, size_t size);

/** guest_code_operand() - a virt_operand_access; memory that is not RAM is a general-protection fault. */
bool guest_code_operand(struct virt_vcpu *virt, uint64_t linear, uint16_t *value, bool write);
