/* The bytes of guests' instructions, for a back end whose CPU does not tell how long they are. */
#pragma once

#include "arch/x86/virt.h"

/** guest_code_read() - a virt_code_reader. */
size_t guest_code_read(struct virt_vcpu *virt, uint64_t rip, uint8_t *bytes, size_t size);
