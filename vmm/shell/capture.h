/*
 * Text of functions that must not wait for the console (a lock is held, another CPU runs them): kept here and shown
 * afterwards. One at a time, by the shell.
 */
#pragma once

#include "lib/types.h"

#define CAPTURE_SIZE 16384u

void capture_start(void);
/** capture_print() - what does not fit is cut off, which capture_show() tells. Any CPU. */
void capture_print(const char *format, ...) printf_like(1, 2);
void capture_show(void);
