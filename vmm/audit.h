/*
 * Proves that no page, port, register or interrupt belongs to two owners: walks what the hardware goes by (nested tables,
 * bitmaps, I/O APIC entries) and compares it with what the hypervisor's own records say.
 */
#pragma once

#include "lib/types.h"
#include "vmm/report.h"

/**
 * audit_run() - one line for each check, one for each fault found (what, where, whose), and `audit: clean` or
 * `audit: N faults`.
 * What moves meanwhile: nested tables change under their VM's device lock only, which is taken; VMs come and go on the
 * boot processor only; so VMs may run. Takes a page of the pool for each 128 MiB that is in use, and gives all back.
 * Context: boot processor, from housekeeping (shell), no lock held.
 * Return: number of faults.
 */
unsigned audit_run(report_print print);
