/*
 * Text on the firmware's framebuffer: 8 x 16 pixel cells, scrolling, as many lines as fit. What the screen shows is
 * remembered, so that only cells that changed are drawn: framebuffers are slow to write and slower to read.
 */
#pragma once

#include "arch/x86/log.h"
#include "boot/boot_info.h"
#include "lib/status.h"
#include "lib/types.h"

#define FRAMEBUFFER_MAX_COLUMNS 480u /* 3840 pixels; what is wider or higher stays black */
#define FRAMEBUFFER_MAX_ROWS 135u

/** framebuffer_log_sink - "framebuffer"; for log_add_sink() after framebuffer_init(). Writes as framebuffer_write(). */
extern struct log_sink framebuffer_log_sink;

/**
 * framebuffer_init() - maps the framebuffer (write-combining) and clears it.
 * @framebuffer: as boot_info_check() accepted it; copied.
 * Context: boot, one CPU; after host paging is up.
 * Return: STATUS_OK; STATUS_NOT_FOUND (no framebuffer); STATUS_UNSUPPORTED (not 32 bits per pixel, or too small for one
 *         cell); STATUS_INVALID (pitch); STATUS_NO_MEMORY (it cannot be mapped).
 */
must_check enum status framebuffer_init(const struct boot_framebuffer *framebuffer);
bool framebuffer_is_available(void);
/** framebuffer_address() - where its first pixel lies; 0 if it is not available. */
hpa_t framebuffer_address(void);

/**
 * framebuffer_write() - shows text; understands '\n', '\r', '\t', '\b'; swallows other control bytes and ANSI escape
 * sequences; bytes above 126 show as '?'. Any CPU, interrupts off.
 * @synchronous: takes no lock (panic).
 */
void framebuffer_write(const char *text, size_t size, bool synchronous);
