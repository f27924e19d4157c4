/*
 * The descriptor in which interrupts are left for a vCPU: the IOMMU sets requests and notifies a CPU; a CPU whose guest
 * runs takes them without an exit, else software does. Its control word changes under a unit's hands: only in whole, by
 * atomic operations. SDM Vol. 3C "Posted-Interrupt Processing"; VT-d Specification, "Posted Interrupt Descriptor".
 */
#pragma once

#include "lib/bits.h"
#include "lib/types.h"

struct posted_interrupts {
	uint64_t requests[4]; /* a bit for each vector */
	uint64_t control;     /* POSTED_INTERRUPTS_*; a CPU knows of the lowest bit alone */
	uint64_t reserved[3]; /* 0 */
} aligned_to(64);
_Static_assert(sizeof(struct posted_interrupts) == 64, "\"Posted Interrupt Descriptor\"");

#define POSTED_INTERRUPTS_OUTSTANDING BIT(0) /* a notification was sent, and what it tells of was not taken yet: no other is sent */
#define POSTED_INTERRUPTS_SUPPRESSED BIT(1)  /* requests are set without notification */
#define POSTED_INTERRUPTS_VECTOR_SHIFT 16    /* of the notification, 8 bits; */
#define POSTED_INTERRUPTS_CPU_SHIFT 32       /* its destination, 32 bits; an 8-bit APIC id stands in bits 15:8 of them */
#define POSTED_INTERRUPTS_CPU_8_SHIFT 8
