/*
 * What test guests have in common: output on COM1, faults that can be expected, and a verdict.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EXIT_PORT 0xf4u
#define COM1 0x3f8u
#define LOW_RAM_TOP 0xc0000000u /* no RAM from here to 4 GiB */

/* How an exception entered; in the order in which exceptions.asm pushes it. */
struct guest_frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
	uint64_t vector, error_code;
	uint64_t rip, cs, rflags, rsp, ss;
};

struct multiboot_information {
	uint32_t flags, memory_lower, memory_upper, boot_device, command_line, module_count, modules;
	uint32_t symbols[4];
	uint32_t map_length, map_address, drives_length, drives_address, config_table, loader_name, apm_table;
};

struct multiboot_map_entry {
	uint32_t size;
	uint64_t base, length;
	uint32_t type;
} __attribute__((packed));

struct multiboot_module {
	uint32_t start, end, string, reserved;
};

/* The guest's own part: its name, and what it does. The return ends the run: PASS if no check failed. */
void guest_main(void);
extern const char guest_name[];
extern const struct multiboot_information *guest_information;

/* print.c */
void guest_print_init(void);
void guest_print(const char *format, ...) __attribute__((format(printf, 1, 2))); /* %s %c %u %x %llu %llx %016llx */

/** guest_check() - counts a failure and says what it was, unless @good. */
#define guest_check(good, ...) ((good) ? (void)0 : guest_fail(__VA_ARGS__))
void guest_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void guest_finish(void);
_Noreturn void guest_exit(uint32_t code);
_Noreturn void guest_halt(void);

/* interrupts.c */
#define NO_FAULT (-1)
#define DIVIDE_ERROR 0
#define DEBUG 1
#define BREAKPOINT 3
#define UNDEFINED_OPCODE 6
#define DEVICE_NOT_AVAILABLE 7
#define GENERAL_PROTECTION 13
#define PAGE_FAULT 14

typedef void (*guest_handler)(struct guest_frame *frame);
void guest_interrupts_init(void);
/** guest_interrupts_ignore() - every vector just returns, until guest_interrupts_init(); for tests that expect no exception. */
void guest_interrupts_ignore(void);
void guest_handle(unsigned vector, guest_handler handler);
/** guest_try() - runs code(first, second); gives the vector of the fault that ended it, or NO_FAULT. */
int guest_try(void (*code)(uint64_t first, uint64_t second), uint64_t first, uint64_t second);
extern uint64_t guest_fault_error_code, guest_fault_address, guest_fault_rip;

/* For each instruction a test tries: a function whose body is that instruction. */
#define GUEST_CODE(name, ...) \
	static void name(uint64_t first, uint64_t second) \
	{ \
		(void)first, (void)second; \
		__asm__ volatile(__VA_ARGS__); \
	}

void *memset(void *to, int value, size_t size);
void *memcpy(void *to, const void *from, size_t size);
int memcmp(const void *first, const void *second, size_t size);
size_t strlen(const char *text);
int strcmp(const char *first, const char *second);
