#include "arch/x86/virt_events.h"

#include "arch/x86/exception.h"

/* Contributory exceptions and page faults. */
static bool is_contributory(unsigned vector)
{
	return vector == EXCEPTION_DE || (vector >= EXCEPTION_TS && vector <= EXCEPTION_GP) || vector == EXCEPTION_CP;
}

bool virt_makes_double_fault(unsigned first, unsigned second)
{
	if (first == EXCEPTION_DF)
		return true;
	if (first == EXCEPTION_PF)
		return second == EXCEPTION_PF || is_contributory(second);
	return is_contributory(first) && is_contributory(second);
}
