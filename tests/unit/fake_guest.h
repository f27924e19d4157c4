/*
 * A VM for tests of guest booting: RAM as one arena, a back end that only keeps registers, and a log that keeps its last line.
 * Defines the functions of vmm/guest_memory.h and log_write(), so one file of a program includes it.
 */
#pragma once

#include <stdlib.h>

#include "arch/x86/log.h"
#include "arch/x86/virt.h"
#include "lib/checked.h"
#include "lib/fmt.h"
#include "lib/string.h"
#include "vmm/vm.h"

struct fake_guest {
	struct vm vm;
	struct vm_config config;
	struct vcpu vcpu;
	uint64_t registers[VIRT_REGISTER_COUNT];
	struct virt_segment segments[VIRT_SEGMENT_COUNT];
	uint8_t *low_pages[PAGE_SIZE_2M / PAGE_SIZE], **chunks;
	uint8_t *ram; /* by guest-physical address; the hole of the video memory is there but not in a slot */
	char log[512]; /* the last line */
	unsigned log_lines;
};

static struct fake_guest fake_guest;

void log_write(enum log_level level, const char *format, ...)
{
	va_list arguments;

	(void)level;
	va_start(arguments, format);
	fmt_vprint(fake_guest.log, sizeof(fake_guest.log), format, arguments);
	va_end(arguments);
	fake_guest.log_lines++;
}

static uint64_t fake_register_read(struct virt_vcpu *vcpu, enum virt_register name)
{
	(void)vcpu;
	return fake_guest.registers[name];
}

static void fake_register_write(struct virt_vcpu *vcpu, enum virt_register name, uint64_t value)
{
	(void)vcpu;
	fake_guest.registers[name] = value;
}

static void fake_segment_write(struct virt_vcpu *vcpu, enum virt_segment_name name, const struct virt_segment *segment)
{
	(void)vcpu;
	fake_guest.segments[name] = *segment;
}

static const struct virt_ops fake_virt_ops = {
	.name = "fake", .register_read = fake_register_read, .register_write = fake_register_write, .segment_write = fake_segment_write,
};

static inline void fake_guest_destroy(void)
{
	free(fake_guest.ram);
	free(fake_guest.chunks);
	memset(&fake_guest, 0, sizeof(fake_guest));
}

/* All but the contents of RAM as fake_guest_create() makes it; @memory: no more than that call had. */
static inline void fake_guest_renew(uint64_t memory)
{
	struct guest_memory *ram = &fake_guest.vm.memory;
	uint8_t *bytes = fake_guest.ram;

	free(fake_guest.chunks);
	memset(&fake_guest, 0, sizeof(fake_guest));
	virt_ops = &fake_virt_ops;
	fake_guest.ram = bytes;
	memset(fake_guest.registers, 0xee, sizeof(fake_guest.registers));
	fake_guest.config.memory = memory;
	string_copy(fake_guest.config.name, CONFIG_NAME_SIZE, "test");
	fake_guest.vm.config = &fake_guest.config;
	fake_guest.vm.vcpu_count = 1;
	fake_guest.vm.vcpus[0] = &fake_guest.vcpu;
	fake_guest.vcpu.vm = &fake_guest.vm;
	fake_guest.chunks = calloc(memory / PAGE_SIZE_2M + 1, sizeof(*fake_guest.chunks));
	if (!fake_guest.chunks)
		abort();
	for (uint64_t page = 0; page < memory / PAGE_SIZE && page < array_count(fake_guest.low_pages); page++)
		if (page < GUEST_VGA_HOLE_START / PAGE_SIZE || page >= GUEST_VGA_HOLE_END / PAGE_SIZE)
			fake_guest.low_pages[page] = fake_guest.ram + page * PAGE_SIZE;
	for (uint64_t chunk = 1; chunk < memory / PAGE_SIZE_2M; chunk++)
		fake_guest.chunks[chunk] = fake_guest.ram + chunk * PAGE_SIZE_2M;
	ram->low_pages = fake_guest.low_pages;
	ram->chunks = fake_guest.chunks;
	ram->chunk_count = memory / PAGE_SIZE_2M;
	ram->size = memory;
	ram->slot_count = 2;
	ram->slots[0] = (struct guest_memory_slot){ gpa(0), GUEST_VGA_HOLE_START };
	ram->slots[1] = (struct guest_memory_slot){ gpa(GUEST_VGA_HOLE_END), memory - GUEST_VGA_HOLE_END };
}

/* @memory: RAM, at most 3 GiB. */
static inline void fake_guest_create(uint64_t memory)
{
	fake_guest_destroy();
	fake_guest.ram = calloc(1, memory);
	if (!fake_guest.ram)
		abort();
	fake_guest_renew(memory);
}

bool guest_memory_is_ram(const struct guest_memory *memory, gpa_t address, uint64_t length)
{
	for (unsigned i = 0; i < memory->slot_count; i++)
		if (address.value >= memory->slots[i].base.value &&
		    range_within(address.value - memory->slots[i].base.value, length, memory->slots[i].length))
			return true;
	return false;
}

void *guest_memory_find_page(const struct guest_memory *memory, gpa_t address)
{
	(void)memory;
	(void)address;
	return NULL;
}

void *guest_memory_pointer(const struct guest_memory *memory, gpa_t address, uint64_t length)
{
	if (!guest_memory_is_ram(memory, address, length) || (address.value & 0xfff) + length > PAGE_SIZE)
		return NULL;
	return fake_guest.ram + address.value;
}

enum status guest_memory_read(const struct guest_memory *memory, gpa_t address, void *buffer, uint64_t length)
{
	if (!guest_memory_is_ram(memory, address, length))
		return STATUS_OUT_OF_RANGE;
	memcpy(buffer, fake_guest.ram + address.value, length);
	return STATUS_OK;
}

enum status guest_memory_write(const struct guest_memory *memory, gpa_t address, const void *buffer, uint64_t length)
{
	if (!guest_memory_is_ram(memory, address, length))
		return STATUS_OUT_OF_RANGE;
	if (length > 0)
		memcpy(fake_guest.ram + address.value, buffer, length);
	return STATUS_OK;
}

enum status guest_memory_fill(const struct guest_memory *memory, gpa_t address, uint8_t byte, uint64_t length)
{
	if (!guest_memory_is_ram(memory, address, length))
		return STATUS_OUT_OF_RANGE;
	memset(fake_guest.ram + address.value, byte, length);
	return STATUS_OK;
}
