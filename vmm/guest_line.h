/*
 * Guests' output while nobody is attached to their console: collected to whole lines, shown as `(NAME) text`. Control
 * characters and terminal sequences are left out, so that a guest can neither garble the console nor speak for another.
 * Boot processor only.
 */
#pragma once

#include "lib/types.h"
#include "vmm/config.h"

#define GUEST_LINE_SIZE 200u /* longer lines are cut into pieces */
/* A byte of output becomes at most so many on the console: its line's prefix and end. */
#define GUEST_LINE_EXPANSION (CONFIG_NAME_SIZE + 8u)

/** guest_line_add() - output of VM @id. */
void guest_line_add(uint32_t id, const char *name, const uint8_t *bytes, size_t size);
/** guest_line_end() - shows what is left without a line end. */
void guest_line_end(uint32_t id, const char *name);
/** guest_line_take() - gives the begun line to the caller instead; returns its length. */
size_t guest_line_take(uint32_t id, char text[GUEST_LINE_SIZE]);
void guest_line_forget(uint32_t id);
