/* The chain of calls that leads to an instruction, by frame pointers (the hypervisor is built with them). */
#pragma once

#include "lib/types.h"

#define BACKTRACE_MAX_FRAMES 32u

/**
 * backtrace_walk() - return addresses of the callers, nearest first.
 * @frame_pointer: RBP; may hold anything.
 * @low, @high: the stack [low, high) that all frames must lie in, mapped.
 * @addresses: out, room for @limit.
 * Return: how many were found. Stops at a frame pointer that is 0, misaligned, outside the stack or not above the last one.
 */
unsigned backtrace_walk(uint64_t frame_pointer, uint64_t low, uint64_t high, uint64_t *addresses, unsigned limit);

/** backtrace_print() - logs `rip` and its callers with their symbols; on the CPU whose stack it is. For the panic path. */
void backtrace_print(uint64_t rip, uint64_t frame_pointer);
