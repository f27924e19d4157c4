/*
 * fake_guest.h, with a back end that tells segments and notes injected exceptions, and with page tables: for tests of what
 * the hypervisor does on behalf of a guest's instructions. One file of a program includes it.
 */
#pragma once

#include "arch/x86/cr.h"
#include "arch/x86/exception.h"
#include "tests/fake/fake_cpu.h"
#include "tests/unit/fake_guest.h"
#include "vmm/guest_linear.h"

#define FIXTURE_RAM (16 * MIB)
#define FIXTURE_TABLES 0x200000u /* page tables, one page after the other; the first is the root */

#define TABLE_P 0x1u
#define TABLE_W 0x2u
#define TABLE_U 0x4u
#define TABLE_A 0x20u
#define TABLE_D 0x40u
#define TABLE_PS 0x80u
#define TABLE_NX BIT(63)
#define TABLE_ALL (TABLE_P | TABLE_W | TABLE_U)

static struct { unsigned count; uint8_t vector; bool has_error_code; uint32_t error_code; } fixture_injected;
static struct { unsigned count; uint64_t rip; unsigned length; } fixture_skipped;
static unsigned fixture_tables; /* pages used */

static inline void fixture_segment_read(struct virt_vcpu *vcpu, enum virt_segment_name name, struct virt_segment *segment)
{
	(void)vcpu;
	*segment = fake_guest.segments[name];
}

static inline void fixture_inject_exception(struct virt_vcpu *vcpu, uint8_t vector, bool has_error_code, uint32_t error_code)
{
	(void)vcpu;
	fixture_injected.count++;
	fixture_injected.vector = vector;
	fixture_injected.has_error_code = has_error_code;
	fixture_injected.error_code = error_code;
}

static inline void fixture_skip_instruction(struct virt_vcpu *vcpu, const struct vm_exit *exit)
{
	(void)vcpu;
	fixture_skipped.count++;
	fixture_skipped.rip = exit->rip;
	fixture_skipped.length = exit->instruction_length;
}

/* ---- the guest's CPU ---- */

static inline void fixture_set_cpl(unsigned cpl)
{
	fake_guest.segments[VIRT_SS].attributes = (uint32_t)(0x93 | cpl << 5);
}

/* Unpaged, flat 32-bit code at level 0. */
static inline void fixture_start(void)
{
	static struct virt_ops ops;

	fake_guest_create(FIXTURE_RAM);
	fake_cpu_reset();
	ops = fake_virt_ops;
	ops.segment_read = fixture_segment_read;
	ops.inject_exception = fixture_inject_exception;
	ops.skip_instruction = fixture_skip_instruction;
	virt_ops = &ops;
	memset(&fixture_injected, 0, sizeof(fixture_injected));
	memset(&fixture_skipped, 0, sizeof(fixture_skipped));
	memset(fake_guest.registers, 0, sizeof(fake_guest.registers));
	fixture_tables = 1;
	fake_guest.registers[VIRT_CR0] = CR0_PE;
	fake_guest.registers[VIRT_CR3] = FIXTURE_TABLES;
	fake_guest.registers[VIRT_RFLAGS] = RFLAGS_FIXED;
	for (unsigned i = 0; i < VIRT_SEGMENT_COUNT; i++)
		fake_guest.segments[i] = (struct virt_segment){0, 0xffffffff, 0x93 | (uint32_t)VIRT_SEGMENT_DB, 0x10};
	fixture_set_cpl(0);
}

static inline void fixture_enable_paging_32(uint64_t cr4)
{
	fake_guest.registers[VIRT_CR0] |= CR0_PG | CR0_WP;
	fake_guest.registers[VIRT_CR4] = cr4;
}

static inline void fixture_enable_paging_64(void)
{
	fixture_enable_paging_32(CR4_PAE);
	fake_guest.registers[VIRT_EFER] = EFER_LME | EFER_LMA | EFER_NXE;
	fake_guest.segments[VIRT_CS].attributes = 0x9b | (uint32_t)VIRT_SEGMENT_L;
}

/* ---- its tables ---- */

static inline uint64_t *fixture_entry_64(uint64_t table, uint64_t linear, unsigned shift)
{
	return (uint64_t *)(void *)(fake_guest.ram + table) + (linear >> shift & 511);
}

/* The entry that maps @linear on the level of @leaf_shift, tables above it made as needed with all rights. */
static inline uint64_t *fixture_leaf_64(uint64_t linear, unsigned leaf_shift)
{
	uint64_t table = FIXTURE_TABLES;

	for (unsigned shift = 39; shift > leaf_shift; shift -= 9) {
		uint64_t *entry = fixture_entry_64(table, linear, shift);
		if (*entry == 0)
			*entry = (FIXTURE_TABLES + fixture_tables++ * PAGE_SIZE) | TABLE_ALL;
		table = *entry & BITS(51, 12);
	}
	return fixture_entry_64(table, linear, leaf_shift);
}

static inline void fixture_map_64(uint64_t linear, uint64_t physical, uint64_t flags)
{
	*fixture_leaf_64(linear, 12) = physical | flags;
}

static inline uint32_t *fixture_leaf_32(uint32_t linear)
{
	uint32_t *entry = (uint32_t *)(void *)(fake_guest.ram + FIXTURE_TABLES) + (linear >> 22);

	if (*entry == 0)
		*entry = (uint32_t)(FIXTURE_TABLES + fixture_tables++ * PAGE_SIZE) | TABLE_ALL;
	return (uint32_t *)(void *)(fake_guest.ram + (*entry & 0xfffff000)) + (linear >> 12 & 1023);
}
