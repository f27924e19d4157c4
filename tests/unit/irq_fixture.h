/*
 * A VM made by hand for tests of its interrupt controllers: buses, routing and vCPUs without a scheduler. Included by one
 * .c file of a program, since it defines what those modules call and the test wants to see.
 */
#pragma once

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arch/x86/mm/page_pool.h"
#include "tests/fake/fake_cpu.h"
#include "vmm/io_device.h"
#include "vmm/vm.h"

#define FIXTURE_VCPUS 4u

static struct vm_config fixture_config = {.name = "test"};
static struct vm fixture_vm;
static struct vcpu fixture_vcpus[FIXTURE_VCPUS];
static unsigned fixture_kicks[FIXTURE_VCPUS]; /* calls of vcpu_kick() */
static unsigned fixture_pages;                /* allocated now */
static bool fixture_no_memory;
static unsigned fixture_log_lines;

void *page_pool_allocate_contiguous(unsigned count)
{
	void *pages = fixture_no_memory ? NULL : aligned_alloc(PAGE_SIZE, count * PAGE_SIZE);

	if (pages == NULL)
		return NULL;
	memset(pages, 0, count * PAGE_SIZE);
	fixture_pages += count;
	return pages;
}

void page_pool_free_contiguous(void *pages, unsigned count)
{
	memset(pages, 0xdd, count * PAGE_SIZE);
	free(pages);
	fixture_pages -= count;
}

/* The one page that is ever mapped behind the devices' back: the local APICs' access page. */
static bool fixture_mapped;
static enum status fixture_map_status;

enum status page_table_map(struct page_table *table, uint64_t input, hpa_t output, uint64_t length, uint32_t attributes)
{
	(void)table;
	if (fixture_mapped || input != VIRT_APIC_BASE || output.value == 0 || length != PAGE_SIZE || attributes != (PAGE_READ | PAGE_WRITE))
		abort();
	fixture_mapped = fixture_map_status == STATUS_OK;
	return fixture_map_status;
}

enum status page_table_unmap_leaves(struct page_table *table, uint64_t input, uint64_t length)
{
	(void)table;
	if (!fixture_mapped || input != VIRT_APIC_BASE || length != PAGE_SIZE)
		abort();
	fixture_mapped = false;
	return STATUS_OK;
}

void log_write(enum log_level level, const char *format, ...)
{
	(void)level;
	(void)format;
	fixture_log_lines++;
}

void vcpu_kick(struct vcpu *vcpu, uint32_t request)
{
	__atomic_fetch_or(&vcpu->requests, request, __ATOMIC_SEQ_CST);
	fixture_kicks[vcpu->index]++;
}

uint64_t vcpu_guest_tsc(const struct vcpu *vcpu)
{
	return fake_tsc + vcpu->virt.tsc_offset;
}

uint64_t vcpu_host_tsc_from_guest(const struct vcpu *vcpu, uint64_t value)
{
	return value - vcpu->virt.tsc_offset;
}

/* A VM with @count vCPUs and no devices; time stands still at 1000000 until the test moves fake_tsc. */
static inline void fixture_start(unsigned count)
{
	fake_cpu_reset();
	fake_tsc_step = 0;
	memset(&fixture_vm, 0, sizeof(fixture_vm));
	memset(fixture_vcpus, 0, sizeof(fixture_vcpus));
	memset(fixture_kicks, 0, sizeof(fixture_kicks));
	fixture_no_memory = fixture_mapped = false;
	fixture_map_status = STATUS_OK;
	fixture_log_lines = 0;
	fixture_vm.config = &fixture_config;
	fixture_vm.vcpu_count = count;
	list_init(&fixture_vm.devices);
	for (unsigned i = 0; i < count; i++) {
		fixture_vcpus[i].vm = &fixture_vm;
		fixture_vcpus[i].index = i;
		list_init(&fixture_vcpus[i].timers);
		fixture_vm.vcpus[i] = &fixture_vcpus[i];
	}
}

/* Creates a device as io_devices_create() does, without resetting it; NULL if its class could not. */
static inline struct io_device *fixture_add(const struct io_device_class *class)
{
	struct io_device *device = NULL;

	if (class->create(&fixture_vm, &device) != STATUS_OK)
		return NULL;
	device->class = class;
	device->vm = &fixture_vm;
	list_append(&fixture_vm.devices, &device->link);
	return device;
}

/* What the guest's CPU @index does. Ports and memory: a missing device gives ones. */
static inline uint64_t guest_read(enum io_space space, unsigned index, uint64_t address, unsigned size)
{
	uint64_t value = 0;

	(void)!io_bus_read(&fixture_vm.buses[space], &fixture_vcpus[index], address, size, &value);
	return value;
}

static inline void guest_write(enum io_space space, unsigned index, uint64_t address, unsigned size, uint64_t value)
{
	(void)!io_bus_write(&fixture_vm.buses[space], &fixture_vcpus[index], address, size, value);
}

static inline uint8_t guest_in8(uint16_t port) { return (uint8_t)guest_read(IO_SPACE_PORT, 0, port, 1); }
static inline void guest_out8(uint16_t port, uint8_t value) { guest_write(IO_SPACE_PORT, 0, port, 1, value); }
static inline uint32_t guest_read32(uint64_t address) { return (uint32_t)guest_read(IO_SPACE_MEMORY, 0, address, 4); }
static inline void guest_write32(uint64_t address, uint32_t value) { guest_write(IO_SPACE_MEMORY, 0, address, 4, value); }

/* false: #GP. */
static inline bool guest_rdmsr(unsigned index, uint32_t msr, uint64_t *value)
{
	return io_bus_read(&fixture_vm.buses[IO_SPACE_MSR], &fixture_vcpus[index], msr, 8, value) == STATUS_OK;
}

static inline bool guest_wrmsr(unsigned index, uint32_t msr, uint64_t value)
{
	return io_bus_write(&fixture_vm.buses[IO_SPACE_MSR], &fixture_vcpus[index], msr, 8, value) == STATUS_OK;
}

/* Whether the vCPU was asked for @request since the last call for it. */
static inline bool fixture_take_request(unsigned index, uint32_t request)
{
	return (__atomic_fetch_and(&fixture_vcpus[index].requests, ~request, __ATOMIC_SEQ_CST) & request) != 0;
}

/* A describe function's output, for tests that look into it. */
static char fixture_text[8192];

static inline void fixture_print(const char *format, ...)
{
	size_t length = strlen(fixture_text);
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(fixture_text + length, sizeof(fixture_text) - length, format, arguments);
	va_end(arguments);
}

static inline const char *fixture_describe(struct io_device *device)
{
	fixture_text[0] = '\0';
	device->class->describe(device, fixture_print);
	return fixture_text;
}
