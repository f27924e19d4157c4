#include "arch/x86/exception_fixup.h"

extern const struct exception_fixup __start_exception_fixups[] __attribute__((weak));
extern const struct exception_fixup __stop_exception_fixups[] __attribute__((weak));

size_t exception_fixup_count(void)
{
	return (size_t)(__stop_exception_fixups - __start_exception_fixups);
}

bool exception_fixup_find(uint64_t rip, uint64_t *resume)
{
	for (size_t i = 0; i < exception_fixup_count(); i++) {
		if (__start_exception_fixups[i].fault == rip) {
			*resume = __start_exception_fixups[i].resume;
			return true;
		}
	}
	return false;
}
