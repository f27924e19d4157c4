/*
 * The SVM back end as the outside sees it: everything but probing goes through struct virt_ops.
 */
#pragma once

#include "arch/x86/virt.h"
#include "lib/status.h"

/**
 * svm_probe() - whether this machine can run VMs with SVM; on the boot processor, once.
 * @why: out: static text, the reason if it cannot.
 * Return: STATUS_OK: register svm_ops with virt_set_ops(); STATUS_UNSUPPORTED.
 */
must_check enum status svm_probe(const char **why);
extern const struct virt_ops svm_ops;

/** svm_report() - the SVM features for `report`; nothing if the CPU has no SVM. */
void svm_report(void (*print)(const char *format, ...));
