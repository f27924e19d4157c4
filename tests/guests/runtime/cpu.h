/*
 * Instructions for test guests.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct cpuid_answer { uint32_t eax, ebx, ecx, edx; };

static inline uint8_t in8(uint16_t port) { uint8_t v; __asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port)); return v; }
static inline uint16_t in16(uint16_t port) { uint16_t v; __asm__ volatile("inw %1, %0" : "=a"(v) : "Nd"(port)); return v; }
static inline uint32_t in32(uint16_t port) { uint32_t v; __asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port)); return v; }
static inline void out8(uint16_t port, uint8_t v) { __asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port)); }
static inline void out16(uint16_t port, uint16_t v) { __asm__ volatile("outw %0, %1" : : "a"(v), "Nd"(port)); }
static inline void out32(uint16_t port, uint32_t v) { __asm__ volatile("outl %0, %1" : : "a"(v), "Nd"(port)); }

static inline struct cpuid_answer cpuid(uint32_t leaf, uint32_t subleaf)
{
	struct cpuid_answer r;
	__asm__ volatile("cpuid" : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx) : "a"(leaf), "c"(subleaf));
	return r;
}

/* Whose hypercall is VMMCALL. */
static inline bool cpu_is_amd(void) { return cpuid(0, 0).ebx == 0x68747541; /* "Auth" */ }

static inline uint64_t rdmsr(uint32_t msr)
{
	uint32_t low, high;
	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	return low | (uint64_t)high << 32;
}

static inline void wrmsr(uint32_t msr, uint64_t value)
{
	__asm__ volatile("wrmsr" : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

static inline uint64_t rdtsc(void)
{
	uint32_t low, high;
	__asm__ volatile("lfence; rdtsc" : "=a"(low), "=d"(high) : : "memory");
	return low | (uint64_t)high << 32;
}

#define CR_ACCESSORS(number) \
	static inline uint64_t read_cr##number(void) { uint64_t v; __asm__ volatile("mov %%cr" #number ", %0" : "=r"(v)); return v; } \
	static inline void write_cr##number(uint64_t v) { __asm__ volatile("mov %0, %%cr" #number : : "r"(v) : "memory"); }
CR_ACCESSORS(0)
CR_ACCESSORS(2)
CR_ACCESSORS(3)
CR_ACCESSORS(4)
CR_ACCESSORS(8)

#define DR_ACCESSORS(number) \
	static inline uint64_t read_dr##number(void) { uint64_t v; __asm__ volatile("mov %%dr" #number ", %0" : "=r"(v)); return v; } \
	static inline void write_dr##number(uint64_t v) { __asm__ volatile("mov %0, %%dr" #number : : "r"(v) : "memory"); }
DR_ACCESSORS(0)
DR_ACCESSORS(1)
DR_ACCESSORS(2)
DR_ACCESSORS(3)
DR_ACCESSORS(6)
DR_ACCESSORS(7)

static inline void interrupts_off(void) { __asm__ volatile("cli" : : : "memory"); }
static inline void interrupts_on(void) { __asm__ volatile("sti" : : : "memory"); }
/* Waits for one interrupt; none is lost between the two instructions. */
static inline void wait_for_interrupt(void) { __asm__ volatile("sti; hlt; cli" : : : "memory"); }
/* Lets pending interrupts in. */
static inline void interrupts_window(void) { __asm__ volatile("sti; nop; nop; cli" : : : "memory"); }

static inline uint32_t mmio_read(uint64_t address) { return *(volatile uint32_t *)address; }
static inline void mmio_write(uint64_t address, uint32_t value) { *(volatile uint32_t *)address = value; }
