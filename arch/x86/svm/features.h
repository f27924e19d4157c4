/*
 * What this CPU's SVM offers and what a missing part costs. AMD APM Vol. 3 "Function 8000_000Ah—SVM Features".
 */
#pragma once

#include "lib/status.h"
#include "lib/types.h"

struct svm_settings {
	bool has_next_rip;        /* else we look for the end of instructions ourselves */
	bool has_decode_assists;
	bool has_flush_by_asid;
	bool has_lbr;             /* DEBUGCTL is the guest's own */
	bool has_pause_filter;    /* else we count PAUSEs ourselves */
	bool has_pause_threshold; /* PAUSEs far apart are no loop */
	bool has_rdtscp;
	bool page_1g;
	uint32_t asid_count;      /* that guests may have: 1..asid_count */
};

/**
 * svm_settings_decide() - reads CPUID and VM_CR; only on a CPU whose CPUID has SVM.
 * @why: out: static text that names the missing feature that VMs need.
 * Return: STATUS_OK; STATUS_UNSUPPORTED with *@why.
 */
must_check enum status svm_settings_decide(struct svm_settings *settings, const char **why);

/** svm_is_locked_off() - whether the firmware has switched SVM off for good; @vm_cr: MSR_VM_CR. */
bool svm_is_locked_off(uint64_t vm_cr);

/** svm_features_report() - one line for each feature: present, or missing and what that costs. */
void svm_features_report(void (*print)(const char *format, ...));
