/*
 * Why a VM entry was refused: the checks of SDM Vol. 3C "VM Entries", "Checking and Loading Guest State", that a wrong
 * guest state most often fails, on a snapshot of that state. Pure.
 */
#pragma once

#include "lib/types.h"

struct vmx_guest_segment { uint16_t selector; uint32_t limit, access_rights; uint64_t base; };

struct vmx_guest_snapshot {
	uint64_t cr0, cr3, cr4, efer, rip, rflags, dr7, link_pointer, pat;
	uint64_t cr0_must_be_one, cr4_must_be_one, cr4_allowed;
	uint32_t entry_controls, activity, interruptibility, entry_interruption_info;
	struct vmx_guest_segment cs, ss, ds, es, fs, gs, tr, ldtr;
	uint64_t gdtr_base, idtr_base;
	uint32_t gdtr_limit, idtr_limit;
};

/**
 * vmx_entry_check() - runs check @index.
 * @why: out: what the check demands, static text.
 * @failed: out.
 * Return: false when @index is past the last check.
 */
bool vmx_entry_check(const struct vmx_guest_snapshot *snapshot, unsigned index, const char **why, bool *failed);
