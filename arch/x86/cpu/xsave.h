/*
 * The floating-point and vector registers, which the hypervisor never uses but guests own in turns. SDM Vol. 1 "Managing
 * State Using the XSAVE Feature Set". Without XSAVE, FXSAVE keeps x87 and SSE.
 */
#pragma once

#include "lib/types.h"

#define XSAVE_AREA_ALIGNMENT 64u
#define XSAVE_MXCSR_RESET 0x1f80u
#define XSAVE_FCW_RESET 0x37fu

/** xsave_init() - reads what the processor offers; boot processor, once, after features_init(). */
void xsave_init(void);

/** xsave_supported_mask() - components (XCR0 bits) that processor and hypervisor know; x87 and SSE always. */
uint64_t xsave_supported_mask(void);
/** xsave_area_size() - of an area for all of them, standard format [bytes]; at most 4096; alignment 64. */
size_t xsave_area_size(void);
/** xsave_component() - where @component (0..62) lies in an area, standard format; false if it is not supported. */
must_check bool xsave_component(unsigned component, uint32_t *offset, uint32_t *size);

/** xsave_enable_on_cpu() - CR4.OSFXSR, OSXMMEXCPT and OSXSAVE, XCR0 = the supported mask. Every CPU. */
void xsave_enable_on_cpu(void);
bool xsave_is_available(void);
/** xsave_set_xcr0() - loads XCR0 with a value that xsave_xcr0_is_valid() allows; nothing without XSAVE. Hot path. */
void xsave_set_xcr0(uint64_t xcr0);

/** xsave_xcr0_is_valid() - whether XSETBV may load @xcr0: supported, x87 set, AVX with SSE, AVX-512 whole and with AVX. */
bool xsave_xcr0_is_valid(uint64_t xcr0);

/** xsave_area_init() - @area (xsave_area_size() bytes) becomes the state after a reset. */
void xsave_area_init(void *area);
/**
 * xsave_save() / xsave_restore() - registers to and from @area, components in @mask (a part of XCR0 as it is loaded now).
 * Restoring gives components that were never saved their initial state.
 */
void xsave_save(void *area, uint64_t mask);
void xsave_restore(const void *area, uint64_t mask);
