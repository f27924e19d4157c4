/*
 * A guest's own view of its memory: linear addresses translated by the guest's paging structures, as its CPU would do it,
 * faults included. SDM Vol. 3A "Paging".
 *
 * The vCPU is loaded on this CPU. Guest memory may change under our eyes; every entry is read once.
 */
#pragma once

#include "lib/status.h"
#include "lib/types.h"
#include "vmm/emul/decoder.h"

struct vcpu;

/* The exception that the access raises. */
struct guest_linear_fault {
	uint8_t vector;
	bool has_error_code;
	uint32_t error_code;
	uint64_t address; /* CR2 of a page fault */
};

enum guest_linear_access {
	GUEST_LINEAR_READ,
	GUEST_LINEAR_WRITE,
	GUEST_LINEAR_FETCH,
	GUEST_LINEAR_REFETCH, /* of the instruction that exited: the CPU has checked the rights when it fetched it */
};

/**
 * guest_linear_translate() - walks the paging structures for one address; sets accessed and dirty bits.
 * Rights are those of the guest's current privilege level.
 * Return: STATUS_OK and *@result; STATUS_DENIED and *@fault.
 */
must_check enum status guest_linear_translate(struct vcpu *vcpu, gva_t address, enum guest_linear_access access, gpa_t *result,
					      struct guest_linear_fault *fault);

/**
 * guest_linear_read() / _write() - @size <= 4096 bytes of RAM, over a page border if need be: both pages are
 * checked before a byte moves.
 * Return: STATUS_OK; STATUS_DENIED and *@fault (memory that is not RAM: #GP).
 */
must_check enum status guest_linear_read(struct vcpu *vcpu, gva_t address, void *buffer, size_t size, struct guest_linear_fault *fault);
must_check enum status guest_linear_write(struct vcpu *vcpu, gva_t address, const void *buffer, size_t size,
					  struct guest_linear_fault *fault);
/** guest_linear_check() - whether such an access would succeed. */
must_check enum status guest_linear_check(struct vcpu *vcpu, gva_t address, size_t size, bool write, struct guest_linear_fault *fault);

/* The code of the instruction that exited. */
#define GUEST_LINEAR_CODE_SIZE 16u /* one more than an instruction can have, so that it is two quadwords */
struct guest_linear_code {
	uint64_t address;  /* of bytes[0], linear */
	enum decoder_mode mode;
	uint8_t size;      /* of bytes[] that are there: 1..GUEST_LINEAR_CODE_SIZE */
	uint8_t bytes[GUEST_LINEAR_CODE_SIZE];
};

/**
 * guest_linear_fetch() - the bytes at CS:@rip, as far as they lie in one page. guest_linear_fetch_more(): adds those in the
 * next page, for an instruction that goes on there.
 * Return: STATUS_OK; STATUS_DENIED and *@fault.
 */
must_check enum status guest_linear_fetch(struct vcpu *vcpu, uint64_t rip, struct guest_linear_code *code,
					  struct guest_linear_fault *fault);
must_check enum status guest_linear_fetch_more(struct vcpu *vcpu, struct guest_linear_code *code, struct guest_linear_fault *fault);

/** guest_linear_inject() - the guest gets the exception at its next entry. */
void guest_linear_inject(struct vcpu *vcpu, const struct guest_linear_fault *fault);
