/* The part of a dump that every back end's has: registers and segments, by virt_ops, and control bits in words. */
#pragma once

#include "arch/x86/virt.h"

struct virt_bit_name { uint32_t bit; const char *name; }; /* tables end with {0, NULL} */

/** virt_dump_bits() - a line with the names of the bits that are set in @value. */
void virt_dump_bits(virt_print print, const char *title, uint32_t value, const struct virt_bit_name *names);
/** virt_dump_registers() - general and control registers as the guest sees them; the vCPU is loaded. */
void virt_dump_registers(struct virt_vcpu *vcpu, virt_print print);
void virt_dump_segments(struct virt_vcpu *vcpu, virt_print print);
