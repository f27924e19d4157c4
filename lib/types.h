/* Address types. A host-physical, a guest-physical and a guest-virtual address are different struct types, so that
 * mixing them up does not compile. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/compiler.h"

typedef struct { uint64_t value; } hpa_t; /* host-physical address [bytes] */
typedef struct { uint64_t value; } gpa_t; /* guest-physical address [bytes] */
typedef struct { uint64_t value; } gva_t; /* guest-virtual (linear) address [bytes] */

static always_inline hpa_t hpa(uint64_t value) { return (hpa_t){value}; }
static always_inline gpa_t gpa(uint64_t value) { return (gpa_t){value}; }
static always_inline gva_t gva(uint64_t value) { return (gva_t){value}; }

#define KIB ((uint64_t)1 << 10)
#define MIB ((uint64_t)1 << 20)
#define GIB ((uint64_t)1 << 30)

#define PAGE_SHIFT 12
#define PAGE_SIZE ((uint64_t)1 << PAGE_SHIFT)
#define PAGE_SIZE_2M ((uint64_t)1 << 21)
#define PAGE_SIZE_1G ((uint64_t)1 << 30)

/* @alignment is a power of two. align_up() wraps when the value is within @alignment of 2^64: check first. */
static always_inline uint64_t align_down(uint64_t value, uint64_t alignment) { return value & ~(alignment - 1); }
static always_inline uint64_t align_up(uint64_t value, uint64_t alignment) { return align_down(value + alignment - 1, alignment); }
static always_inline bool is_aligned(uint64_t value, uint64_t alignment) { return (value & (alignment - 1)) == 0; }

static always_inline uint64_t min_u64(uint64_t a, uint64_t b) { return a < b ? a : b; }
static always_inline uint64_t max_u64(uint64_t a, uint64_t b) { return a > b ? a : b; }
