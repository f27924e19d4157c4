/*
 * What survives a warm reset: the log and the first exit recorders lie in a piece of RAM at an address that firmware and
 * loaders seldom touch, and that is found again by trying the same addresses in the same order. It has two halves; each
 * boot writes the one that the boot before it did not, so that nothing has to be copied and the older one stays readable.
 *
 * A reset that clears RAM, or firmware that uses the place, leaves nothing; what is found is believed only as far as its
 * sums go, and is never more than text.
 *
 * Context: the boot processor, unless said otherwise.
 */
#pragma once

#include "arch/x86/log_ring.h"
#include "boot/boot_info.h"
#include "lib/types.h"
#include "vmm/config.h"
#include "vmm/exit_recorder.h"

#define LAST_BOOT_RECORDERS 16u /* vCPUs whose recorders survive; those of more do not */

/* Whose a recorder is. All zeroes: nobody's. */
struct last_boot_owner {
	char name[CONFIG_NAME_SIZE]; /* of the VM */
	uint32_t vcpu;
	uint32_t used; /* 1: yes */
};

struct last_boot_header {
	uint64_t magic;
	uint32_t version;
	uint32_t size;       /* of struct last_boot_half */
	uint64_t generation; /* boots so far that found what the one before left */
	uint64_t sum;        /* of all else in this structure */
	struct last_boot_owner owners[LAST_BOOT_RECORDERS];
} aligned_to(4096);

struct last_boot_half {
	struct last_boot_header header;
	struct log_ring log aligned_to(4096);
	struct exit_recorder recorders[LAST_BOOT_RECORDERS] aligned_to(4096);
};

struct last_boot_area {
	struct last_boot_half halves[2];
};

/**
 * last_boot_init() - looks for what the last boot left, and moves the log to where the next one will find it. Before the page
 * pool gets memory.
 * @info: our own copy; the areas become BOOT_MEMORY_LOADER in it.
 */
void last_boot_init(struct boot_info *info);

/** last_boot_check() - whether @half is what a boot leaves; may be any memory. */
must_check bool last_boot_check(const struct last_boot_half *half);
/** last_boot_find() - what the last boot left; NULL: nothing was found. */
const struct last_boot_half *last_boot_find(void);

/**
 * last_boot_read_log() - as log_ring_read(), of an earlier boot's log; @buffer gets printable text and '\n' only.
 */
size_t last_boot_read_log(const struct last_boot_half *half, struct log_reader *reader, char *buffer, size_t size);

/** last_boot_take_recorder() - memory for a recorder that survives; NULL when there is none left. @name: copied. */
struct exit_recorder *last_boot_take_recorder(const char *name, uint32_t vcpu);
/** last_boot_give_recorder() - takes it back; false: it is not from here. */
must_check bool last_boot_give_recorder(const struct exit_recorder *recorder);
