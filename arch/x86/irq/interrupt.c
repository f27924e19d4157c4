#include "arch/x86/irq/interrupt.h"

#include "arch/x86/irq/lapic.h"
#include "arch/x86/log.h"
#include "arch/x86/panic.h"

#define VECTOR_COUNT 256u

static const struct { uint8_t vector; const char *name; } names[] = {
	{INTERRUPT_VECTOR_SCI, "ACPI"},
	{INTERRUPT_VECTOR_IOMMU, "IOMMU"},
	{INTERRUPT_VECTOR_SERIAL, "serial"},
	{INTERRUPT_VECTOR_TIMER, "timer"},
	{INTERRUPT_VECTOR_KICK, "kick"},
	{INTERRUPT_VECTOR_CALL, "call"},
	{INTERRUPT_VECTOR_POSTED, "posted"},
	{INTERRUPT_VECTOR_POSTED_WAKE, "posted, wakes"},
	{INTERRUPT_VECTOR_ERROR, "local APIC error"},
	{INTERRUPT_VECTOR_SPURIOUS, "spurious"},
};

static interrupt_handler handlers[VECTOR_COUNT]; /* those of allocated vectors change while CPUs read them: atomic */
static uint8_t next_device_vector = INTERRUPT_VECTOR_DEVICES; /* a hint; atomic */
static uint64_t counts[VECTOR_COUNT];
static struct log_limit unexpected_limit;

void interrupt_register(uint8_t vector, interrupt_handler handler)
{
	assert_always(vector >= INTERRUPT_VECTOR_FIRST && handlers[vector] == NULL);
	handlers[vector] = handler;
}

static bool claim_vector(uint8_t vector, interrupt_handler handler)
{
	interrupt_handler none = NULL;

	return __atomic_compare_exchange_n(&handlers[vector], &none, handler, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

/* Those that were given back longest ago come first, so that a late interrupt seldom meets another owner. */
enum status interrupt_allocate_vector(interrupt_handler handler, uint8_t *vector)
{
	unsigned count = INTERRUPT_VECTOR_DEVICES_END - INTERRUPT_VECTOR_DEVICES;
	unsigned start = __atomic_load_n(&next_device_vector, __ATOMIC_RELAXED) - INTERRUPT_VECTOR_DEVICES;

	for (unsigned i = 0; i < count; i++) {
		unsigned candidate = INTERRUPT_VECTOR_DEVICES + (start + i) % count;

		if (!claim_vector((uint8_t)candidate, handler))
			continue;
		*vector = (uint8_t)candidate;
		__atomic_store_n(&next_device_vector, (uint8_t)(INTERRUPT_VECTOR_DEVICES + (start + i + 1) % count), __ATOMIC_RELAXED);
		return STATUS_OK;
	}
	return STATUS_NO_MEMORY;
}

void interrupt_free_vector(uint8_t vector)
{
	assert_always(vector >= INTERRUPT_VECTOR_DEVICES && vector < INTERRUPT_VECTOR_DEVICES_END);
	__atomic_store_n(&handlers[vector], NULL, __ATOMIC_RELEASE);
}

static bool is_device_vector(uint8_t vector)
{
	return vector >= INTERRUPT_VECTOR_DEVICES && vector < INTERRUPT_VECTOR_DEVICES_END;
}

static no_inline void report_unexpected(uint8_t vector)
{
	if (vector != INTERRUPT_VECTOR_KICK && !is_device_vector(vector) && log_limit_pass(&unexpected_limit))
		log_warning("interrupt %#x came, but nobody handles it", vector);
}

void interrupt_dispatch(uint8_t vector)
{
	interrupt_handler handler = __atomic_load_n(&handlers[vector], __ATOMIC_ACQUIRE);

	__atomic_fetch_add(&counts[vector], 1, __ATOMIC_RELAXED);
	if (unlikely(vector == INTERRUPT_VECTOR_SPURIOUS))
		return;
	if (likely(handler != NULL))
		handler(vector);
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
	if (is_device_vector(vector) && __atomic_load_n(&handlers[vector], __ATOMIC_RELAXED) != NULL)
		return "device";
	return NULL;
}
