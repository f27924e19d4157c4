/*
 * panic() of the host builds: prints and aborts, unless a test waits for it:
 *     assert_true(FAKE_PANICS(page_pool_free(page, PAGE_ORDER_4K, PAGE_OWNER_TABLE)));
 */
#pragma once

#include <setjmp.h>

#include "arch/x86/panic.h"

extern jmp_buf fake_panic_jump;
extern bool fake_panic_expected;
extern char fake_panic_message[256]; /* of the last panic that was waited for */

/* True if the expression panicked. Locks that it held stay taken. */
#define FAKE_PANICS(expression) \
	(fake_panic_expected = true, \
	 setjmp(fake_panic_jump) == 0 ? ((void)(expression), fake_panic_expected = false, false) : true)
