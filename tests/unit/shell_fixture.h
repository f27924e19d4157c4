/*
 * A terminal and some VMs for tests of the console and the shell. Included by one .c file of a program, since it defines
 * what those modules call. What the terminal got is in terminal_text.
 */
#pragma once

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arch/x86/log.h"
#include "vmm/console_mux.h"
#include "vmm/vm.h"

#define TERMINAL_SIZE 65536u

static char terminal_text[TERMINAL_SIZE];
static size_t terminal_length;
static size_t terminal_room = 8192;
static const uint8_t *terminal_typed;
static size_t terminal_typed_left;

static inline void terminal_put(const char *text, size_t size)
{
	for (size_t i = 0; i < size && terminal_length < TERMINAL_SIZE - 1; i++)
		terminal_text[terminal_length++] = text[i];
	terminal_text[terminal_length] = '\0';
}

static inline void terminal_clear(void)
{
	terminal_length = 0;
	terminal_text[0] = '\0';
}

static bool terminal_read(uint8_t *byte)
{
	if (terminal_typed_left == 0)
		return false;
	*byte = *terminal_typed++;
	terminal_typed_left--;
	return true;
}

static size_t terminal_get_room(void)
{
	return terminal_room;
}

/* Line ends stay as they are, so that tests can tell text from raw bytes. */
static void terminal_write(const char *text, size_t size, bool synchronous)
{
	if (synchronous)
		terminal_put("!", 1);
	terminal_put(text, size);
}

static void terminal_write_raw(const uint8_t *bytes, size_t size)
{
	terminal_put((const char *)bytes, size);
}

static const struct console_port terminal_port = {terminal_read, terminal_get_room, terminal_write, terminal_write_raw, 0};

/* The log, without its ring. */
static struct log_sink *fixture_sink;

void log_add_sink(struct log_sink *sink)
{
	fixture_sink = sink;
}

void log_write_raw(const char *text, size_t size)
{
	if (fixture_sink != NULL)
		fixture_sink->write(text, size, false);
}

struct vm *vm_list[CONFIG_MAX_VMS];
uint32_t vm_list_count;
static struct vm fixture_vms[2];
static struct vm_config fixture_configs[2];

struct vm *vm_find(const char *name)
{
	for (uint32_t i = 0; i < vm_list_count; i++) {
		if (strcmp(vm_list[i]->config->name, name) == 0)
			return vm_list[i];
	}
	return NULL;
}

static inline void fixture_start(void)
{
	static const char *const names[] = {"web", "worker"};

	memset(fixture_vms, 0, sizeof(fixture_vms));
	memset(fixture_configs, 0, sizeof(fixture_configs));
	for (uint32_t i = 0; i < 2; i++) {
		strcpy(fixture_configs[i].name, names[i]);
		fixture_vms[i].config = &fixture_configs[i];
		fixture_vms[i].id = i + 1;
		fixture_vms[i].state = VM_RUNNING;
		list_init(&fixture_vms[i].devices);
		vm_console_init(&fixture_vms[i].console);
		vm_list[i] = &fixture_vms[i];
	}
	vm_list_count = 2;
	terminal_clear();
	terminal_room = 8192;
	terminal_typed_left = 0;
	fixture_sink = NULL;
	console_mux_init(&terminal_port);
}

static inline void fixture_end(void)
{
	for (uint32_t i = 0; i < 2; i++)
		console_mux_forget(&fixture_vms[i]);
}

/* What the user types, all of it taken. */
static inline void terminal_type_bytes(const uint8_t *bytes, size_t size)
{
	terminal_typed = bytes;
	terminal_typed_left = size;
	while (console_mux_poll())
		;
}

static inline void terminal_type(const char *text)
{
	terminal_type_bytes((const uint8_t *)text, strlen(text));
}

static inline void guest_says(unsigned vm, const char *text)
{
	for (; *text != '\0'; text++)
		(void)!vm_console_put(&fixture_vms[vm].console, (uint8_t)*text);
}
