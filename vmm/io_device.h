/*
 * Device models. A model is one file in vmm/dev/ that registers a class; every VM gets one device of each class whose
 * `wanted` says so. The model keeps its state in a struct of its own that has struct io_device as a member.
 */
#pragma once

#include "lib/linker_table.h"
#include "lib/list.h"
#include "lib/status.h"
#include "lib/types.h"

struct vcpu;
struct vm;
struct vm_config;
struct io_device;

struct io_device_class {
	const char *name;
	unsigned order; /* creation order: interrupt controllers 10.., platform 20.., buses 30.., extras 40.. */
	/* NULL: always. */
	bool (*wanted)(const struct vm_config *config);
	/* Allocates (io_device_allocate()), registers regions and interrupt hooks. On failure leaves nothing behind. */
	enum status (*create)(struct vm *vm, struct io_device **device);
	/* Power-on state; called after creation of all devices and at every guest reset. May be NULL. */
	void (*reset)(struct io_device *device);
	/* Cancels timers; regions are removed and the memory freed by the caller. May be NULL. */
	void (*destroy)(struct io_device *device);
	/* State in words for shell commands (`info`, `irq`). May be NULL. */
	void (*describe)(struct io_device *device, void (*print)(const char *format, ...));
	bool has_interrupts; /* of the machine: `irq` describes it along with interrupt controllers */
};

struct io_device {
	const struct io_device_class *class;
	struct vm *vm;
	struct list link; /* in vm->devices */
};

#define IO_DEVICE_CLASS(object) LINKER_TABLE_ENTRY(io_device_classes, const struct io_device_class, object)

/** io_device_allocate() - zeroed memory for a model's struct of @size <= 128 KiB; NULL when none is left. */
must_check void *io_device_allocate(size_t size);
void io_device_free(void *device, size_t size);

/**
 * io_devices_create() - one device of each wanted class, in order; on failure destroys those made and names the class in
 * the log. io_devices_reset(): all. io_devices_destroy(): all, in reverse order.
 */
must_check enum status io_devices_create(struct vm *vm);
void io_devices_reset(struct vm *vm);
void io_devices_destroy(struct vm *vm);
