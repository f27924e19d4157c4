#include "arch/x86/irq/interrupt.h"

#include "arch/x86/irq/lapic.h"
#include "arch/x86/log.h"
#include "arch/x86/panic.h"

#define VECTOR_COUNT 256u

static const struct { uint8_t vector; const char *name; } names[] = {
	{INTERRUPT_VECTOR_SCI, "ACPI"},
	{INTERRUPT_VECTOR_SERIAL, "serial"},
	{INTERRUPT_VECTOR_TIMER, "timer"},
	{INTERRUPT_VECTOR_KICK, "kick"},
	{INTERRUPT_VECTOR_CALL, "call"},
	{INTERRUPT_VECTOR_ERROR, "local APIC error"},
	{INTERRUPT_VECTOR_SPURIOUS, "spurious"},
};

static interrupt_handler handlers[VECTOR_COUNT];
static uint64_t counts[VECTOR_COUNT];
static struct log_limit unexpected_limit;

void interrupt_register(uint8_t vector, interrupt_handler handler)
{
	assert_always(vector >= INTERRUPT_VECTOR_FIRST && handlers[vector] == NULL);
	handlers[vector] = handler;
}

static no_inline void report_unexpected(uint8_t vector)
{
	if (vector != INTERRUPT_VECTOR_KICK && log_limit_pass(&unexpected_limit))
		log_warning("interrupt %#x came, but nobody handles it", vector);
}

void interrupt_dispatch(uint8_t vector)
{
	__atomic_fetch_add(&counts[vector], 1, __ATOMIC_RELAXED);
	if (unlikely(vector == INTERRUPT_VECTOR_SPURIOUS))
		return;
	if (likely(handlers[vector] != NULL))
		handlers[vector](vector);
	else
		report_unexpected(vector);
	lapic_end_of_interrupt();
}

uint64_t interrupt_count(uint8_t vector)
{
	return __atomic_load_n(&counts[vector], __ATOMIC_RELAXED);
}

const char *interrupt_name(uint8_t vector)
{
	for (size_t i = 0; i < array_count(names); i++)
		if (names[i].vector == vector)
			return names[i].name;
	return NULL;
}
