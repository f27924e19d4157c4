#include "vmm/io_device.h"

#include "arch/x86/log.h"
#include "arch/x86/mm/page_pool.h"
#include "arch/x86/spinlock.h"
#include "lib/string.h"
#include "vmm/vm.h"

LINKER_TABLE_DECLARE(io_device_classes, const struct io_device_class);

#define DEVICE_SIZE_MAX (128 * KIB)

/* Precedes every model's memory, so that it can be given back by whoever knows only the struct io_device inside. */
struct allocation {
	struct list link; /* in allocations */
	unsigned pages;
} aligned_to(64);

static struct list allocations = {&allocations, &allocations};
static struct spinlock allocations_lock = SPINLOCK_INITIALIZER; /* protects the list; nothing is locked under it */

void *io_device_allocate(size_t size)
{
	struct allocation *allocation;
	unsigned pages;

	if (size == 0 || size > DEVICE_SIZE_MAX)
		return NULL;
	pages = (unsigned)(align_up(sizeof(*allocation) + size, PAGE_SIZE) / PAGE_SIZE);
	allocation = page_pool_allocate_contiguous(pages);
	if (allocation == NULL)
		return NULL;
	allocation->pages = pages;
	spinlock_lock(&allocations_lock);
	list_append(&allocations, &allocation->link);
	spinlock_unlock(&allocations_lock);
	return allocation + 1;
}

static struct allocation *take_allocation_of(const void *inside)
{
	struct allocation *found = NULL;

	spinlock_lock(&allocations_lock);
	list_for_each(link, &allocations) {
		struct allocation *candidate = list_entry(link, struct allocation, link);

		if ((uintptr_t)inside - (uintptr_t)candidate < candidate->pages * PAGE_SIZE) {
			found = candidate;
			list_remove(&found->link);
			break;
		}
	}
	spinlock_unlock(&allocations_lock);
	return found;
}

/* Memory that is not on the list, being given back already, is left alone. */
static void free_allocation_of(const void *inside)
{
	struct allocation *allocation = take_allocation_of(inside);

	if (allocation != NULL)
		page_pool_free_contiguous(allocation, allocation->pages);
}

void io_device_free(void *device, size_t size)
{
	if (device != NULL && size != 0)
		free_allocation_of(device);
}

/* A total order over classes, by the rank that they name, then by name, then by place. */
static bool class_precedes(const struct io_device_class *a, const struct io_device_class *b)
{
	int by_name;

	if (a->order != b->order)
		return a->order < b->order;
	by_name = strcmp(a->name, b->name);
	return by_name != 0 ? by_name < 0 : (uintptr_t)a < (uintptr_t)b;
}

/* The first class behind @previous, NULL at the end; NULL for @previous starts. */
static const struct io_device_class *next_class(const struct io_device_class *previous)
{
	const struct io_device_class *next = NULL;

	for (size_t i = 0; i < LINKER_TABLE_COUNT(io_device_classes); i++) {
		const struct io_device_class *candidate = LINKER_TABLE_START(io_device_classes)[i];

		if (previous != NULL && !class_precedes(previous, candidate))
			continue;
		if (next == NULL || class_precedes(candidate, next))
			next = candidate;
	}
	return next;
}

static enum status create_device(struct vm *vm, const struct io_device_class *class)
{
	struct io_device *device = NULL;
	enum status status = class->create(vm, &device);

	if (status != STATUS_OK) {
		log_error("vm %s: device %s: %s", vm->config->name, class->name, status_name(status));
		return status;
	}
	device->class = class;
	device->vm = vm;
	list_append(&vm->devices, &device->link);
	return STATUS_OK;
}

enum status io_devices_create(struct vm *vm)
{
	list_init(&vm->devices);
	for (const struct io_device_class *class = next_class(NULL); class != NULL; class = next_class(class)) {
		enum status status;

		if (class->wanted != NULL && !class->wanted(vm->config))
			continue;
		status = create_device(vm, class);
		if (status != STATUS_OK) {
			io_devices_destroy(vm);
			return status;
		}
	}
	return STATUS_OK;
}

void io_devices_reset(struct vm *vm)
{
	list_for_each(link, &vm->devices) {
		struct io_device *device = list_entry(link, struct io_device, link);

		if (device->class->reset != NULL)
			device->class->reset(device);
	}
}

static void destroy_device(struct vm *vm, struct io_device *device)
{
	list_remove(&device->link);
	if (device->class->destroy != NULL)
		device->class->destroy(device);
	for (unsigned space = 0; space < IO_SPACE_COUNT; space++)
		io_bus_remove_device(&vm->buses[space], device);
	free_allocation_of(device);
}

void io_devices_destroy(struct vm *vm)
{
	while (!list_is_empty(&vm->devices))
		destroy_device(vm, list_entry(vm->devices.previous, struct io_device, link));
}
