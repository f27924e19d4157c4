/* Compiler attributes and compile-time helpers; knows no hardware. */
#pragma once

#include <stddef.h>

#define must_check __attribute__((warn_unused_result))
#define noreturn_function __attribute__((noreturn))
#define always_inline inline __attribute__((always_inline))
#define no_inline __attribute__((noinline))
#define packed_struct __attribute__((packed))
#define aligned_to(n) __attribute__((aligned(n)))
#define printf_like(format_index, first_argument) __attribute__((format(printf, format_index, first_argument)))

#define likely(condition) __builtin_expect(!!(condition), 1)
#define unlikely(condition) __builtin_expect(!!(condition), 0)

#define array_count(array) (sizeof(array) / sizeof((array)[0]))

/** container_of() - the object that holds @member, given the member's address. */
#define container_of(pointer, type, member) ((type *)(void *)((char *)(pointer) - offsetof(type, member)))

/** compiler_barrier() - memory read before it is not read again after it, as a copy of guest data needs. */
static always_inline void compiler_barrier(void)
{
	__asm__ volatile("" ::: "memory");
}
