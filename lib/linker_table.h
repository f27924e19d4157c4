/*
 * Open sets (devices, shell commands, log sinks) as tables that the linker gathers: a file adds an entry, nothing
 * else names it. Section names are C identifiers, so that the linker itself defines __start_/__stop_ symbols. Entries
 * are pointers, since padding between structs would break iteration; their order is undefined, so whoever walks a
 * table sorts by a field of the entry.
 */
#pragma once

#include "lib/compiler.h"

/* LINKER_TABLE_ENTRY(devices, const struct io_device_class, lapic_class) puts &lapic_class into table `devices`. */
#define LINKER_TABLE_ENTRY(table, type, object) \
	__attribute__((used, retain, section("table_" #table))) static type *const table##_entry_##object = &(object)

/* Declares what LINKER_TABLE_START/STOP need; at file scope of the file that walks the table. */
#define LINKER_TABLE_DECLARE(table, type) \
	extern type *const __start_table_##table[] __attribute__((weak)); \
	extern type *const __stop_table_##table[] __attribute__((weak))

#define LINKER_TABLE_START(table) (__start_table_##table)
#define LINKER_TABLE_COUNT(table) ((size_t)(__stop_table_##table - __start_table_##table))
