/*
 * A machine with the functions of tests/fake/fake_pci.h for tests of drivers/pci. Included by one .c file of a program, since it
 * defines what those modules call.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/acpi/acpi.h"
#include "arch/x86/clock.h"
#include "arch/x86/log.h"
#include "arch/x86/long_work.h"
#include "arch/x86/mm/host_paging.h"
#include "arch/x86/physmap.h"
#include "drivers/framebuffer/framebuffer.h"
#include "drivers/pci/pci.h"
#include "drivers/serial/uart16550.h"
#include "tests/fake/fake_cpu.h"
#include "tests/fake/fake_pci.h"
#include "tests/fake/fake_physmap.h"
#include "tests/unit/failing_pool.h"

#define FIXTURE_HZ 1000000000u

static struct acpi_info fixture_acpi;
static unsigned fixture_log_lines;
static char fixture_log[4096]; /* lines, cut */
static uint64_t fixture_unmappable;
static uint16_t fixture_serial_port; /* 0: no serial line */
static hpa_t fixture_framebuffer;    /* 0: no framebuffer */
static unsigned fixture_long_work_steps;

const struct acpi_info *acpi_get(void) { return &fixture_acpi; }
bool uart16550_is_available(void) { return fixture_serial_port != 0; }
uint16_t uart16550_port(void) { return fixture_serial_port; }
bool framebuffer_is_available(void) { return fixture_framebuffer.value != 0; }
hpa_t framebuffer_address(void) { return fixture_framebuffer; }
void long_work_step(void) { fixture_long_work_steps++; }

void log_write(enum log_level level, const char *format, ...)
{
	size_t used = strlen(fixture_log);
	va_list arguments;

	(void)level;
	fixture_log_lines++;
	va_start(arguments, format);
	vsnprintf(fixture_log + used, sizeof(fixture_log) - used, format, arguments);
	va_end(arguments);
}

void *host_paging_map_device(hpa_t address, uint64_t length, bool write_combining)
{
	(void)length;
	return write_combining || address.value == fixture_unmappable ? NULL : physmap_pointer(address);
}

static inline int pci_fixture_set_up(void **state)
{
	(void)state;
	fake_cpu_reset();
	fake_physmap_reset();
	fake_pci_reset();
	pool_reset();
	clock_set_frequency(FIXTURE_HZ);
	fake_tsc_step = 100000; /* 100 us */
	memset(&fixture_acpi, 0, sizeof(fixture_acpi));
	fixture_log_lines = fixture_long_work_steps = 0;
	fixture_log[0] = '\0';
	fixture_unmappable = 0;
	fixture_serial_port = 0;
	fixture_framebuffer = hpa(0);
	return 0;
}
