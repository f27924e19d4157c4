#include "arch/x86/cpu/xsave.h"

#include "arch/x86/cpu/features.h"
#include "arch/x86/cr.h"
#include "arch/x86/insn.h"
#include "lib/string.h"

#define LEAF_XSAVE 0xdu
#define FIRST_EXTENDED_COMPONENT 2u
#define COMPONENT_COUNT 63u

#define LEGACY_SIZE 512u
#define HEADER_SIZE 64u
#define MAX_AREA_SIZE ((uint32_t)PAGE_SIZE)
#define LEGACY_FCW_OFFSET 0u
#define LEGACY_MXCSR_OFFSET 24u

/* The components that this hypervisor switches; all others stay off in XCR0. */
#define KNOWN_MASK (XCR0_X87 | XCR0_SSE | XCR0_AVX | XCR0_AVX512 | XCR0_PKRU)

/* Before xsave_init(), and for good without XSAVE: what FXSAVE keeps. */
static uint64_t supported = XCR0_X87 | XCR0_SSE;
static size_t area_size = LEGACY_SIZE + HEADER_SIZE;
static bool available;

bool xsave_component(unsigned component, uint32_t *offset, uint32_t *size)
{
	struct cpuid_result place;

	if (component >= COMPONENT_COUNT || !(supported & BIT(component)))
		return false;
	if (component < FIRST_EXTENDED_COMPONENT) {
		*offset = 0;
		*size = LEGACY_SIZE;
		return true;
	}
	place = insn_cpuid(LEAF_XSAVE, component);
	*offset = place.ebx;
	*size = place.eax;
	return true;
}

/* AVX without SSE, or a part of AVX-512: a processor does not offer that, an emulator's settings might. */
static uint64_t drop_incomplete(uint64_t mask)
{
	if ((mask & XCR0_AVX512) != XCR0_AVX512 || !(mask & XCR0_AVX))
		mask &= ~XCR0_AVX512;
	return mask;
}

static size_t size_of_components(void)
{
	size_t end = LEGACY_SIZE + HEADER_SIZE;
	uint32_t offset, size;

	for (unsigned component = FIRST_EXTENDED_COMPONENT; component < COMPONENT_COUNT; component++)
		if (xsave_component(component, &offset, &size))
			end = max_u64(end, (uint64_t)offset + size);
	return end;
}

void xsave_init(void)
{
	struct cpuid_result mask;

	supported = XCR0_X87 | XCR0_SSE;
	area_size = LEGACY_SIZE + HEADER_SIZE;
	available = features_has(CPU_FEATURE_XSAVE) && features_identity()->max_leaf >= LEAF_XSAVE;
	if (!available)
		return;
	mask = insn_cpuid(LEAF_XSAVE, 0);
	supported |= drop_incomplete(((uint64_t)mask.edx << 32 | mask.eax) & KNOWN_MASK);
	area_size = size_of_components();
	if (area_size > MAX_AREA_SIZE) {
		supported = XCR0_X87 | XCR0_SSE;
		area_size = LEGACY_SIZE + HEADER_SIZE;
	}
}

uint64_t xsave_supported_mask(void)
{
	return supported;
}

size_t xsave_area_size(void)
{
	return area_size;
}

bool xsave_is_available(void)
{
	return available;
}

void xsave_enable_on_cpu(void)
{
	uint64_t cr4 = insn_read_cr4() | CR4_OSFXSR | CR4_OSXMMEXCPT;

	insn_write_cr4(available ? cr4 | CR4_OSXSAVE : cr4);
	if (available)
		insn_xsetbv(0, supported);
}

void xsave_set_xcr0(uint64_t xcr0)
{
	if (available)
		insn_xsetbv(0, xcr0);
}

bool xsave_xcr0_is_valid(uint64_t xcr0)
{
	if ((xcr0 & ~supported) || !(xcr0 & XCR0_X87))
		return false;
	if ((xcr0 & XCR0_AVX) && !(xcr0 & XCR0_SSE))
		return false;
	if (xcr0 & XCR0_AVX512)
		return (xcr0 & XCR0_AVX512) == XCR0_AVX512 && (xcr0 & XCR0_AVX);
	return true;
}

void xsave_area_init(void *area)
{
	uint8_t *bytes = area;
	const uint16_t fcw = XSAVE_FCW_RESET;
	const uint32_t mxcsr = XSAVE_MXCSR_RESET;

	/* A header of zeros tells XRSTOR that every component is in its initial state; FXRSTOR needs the two words. */
	memset(area, 0, area_size);
	memcpy(bytes + LEGACY_FCW_OFFSET, &fcw, sizeof(fcw));
	memcpy(bytes + LEGACY_MXCSR_OFFSET, &mxcsr, sizeof(mxcsr));
}

void xsave_save(void *area, uint64_t mask)
{
	if (available)
		insn_xsave(area, mask);
	else
		insn_fxsave(area);
}

void xsave_restore(const void *area, uint64_t mask)
{
	if (available)
		insn_xrstor(area, mask);
	else
		insn_fxrstor(area);
}
