/*
 * Why VMRUN refused a VMCB: the checks of AMD APM Vol. 2 "Canonicalization and Consistency Checks". Pure.
 */
#pragma once

#include "arch/x86/svm/vmcb.h"

/**
 * svm_entry_check() - one check.
 * @why: out: what it demands, static text. @failed: out.
 * Return: false when there is no check @index; they are numbered from 0.
 */
must_check bool svm_entry_check(const struct vmcb *vmcb, unsigned index, const char **why, bool *failed);
