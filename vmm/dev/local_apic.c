#include "vmm/dev/local_apic.h"

#define MMIO_REGISTER_STRIDE 16u

/* IA32_APIC_BASE: the two mode bits, bit 0 of the mode being EN. SDM Vol. 3A "x2APIC State Transitions". */
enum apic_mode { MODE_DISABLED, MODE_XAPIC, MODE_INVALID, MODE_X2APIC, MODE_COUNT };

#define MODE_OF(base) ((enum apic_mode)(bits_get(base, 11, 11) | bits_get(base, 10, 10) << 1))
#define MODE_BITS (APIC_BASE_ENABLE | APIC_BASE_X2APIC)

static const bool transition_allowed[MODE_COUNT][MODE_COUNT] = {
	[MODE_DISABLED] = {[MODE_DISABLED] = true, [MODE_XAPIC] = true},
	[MODE_XAPIC] = {[MODE_DISABLED] = true, [MODE_XAPIC] = true, [MODE_X2APIC] = true},
	[MODE_X2APIC] = {[MODE_DISABLED] = true, [MODE_X2APIC] = true},
};

/* ---- memory-mapped registers ---- */

static bool has_mmio(const struct local_apic *apic)
{
	return (apic->base_msr & MODE_BITS) == APIC_BASE_ENABLE;
}

/* The registers have 32 bits at multiples of 16; the bytes between read as 0. Pages' ends hold no register. */
static enum status mmio_read(struct io_device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t *value)
{
	struct local_apic *apic = vcpu->local_apic;
	unsigned number = (unsigned)(offset / MMIO_REGISTER_STRIDE);
	unsigned byte = (unsigned)(offset % MMIO_REGISTER_STRIDE);
	uint64_t content = 0;

	(void)device;
	if (unlikely(apic == NULL || !has_mmio(apic)))
		return STATUS_DENIED;
	*value = 0;
	if (number >= LOCAL_APIC_REGISTER_COUNT) {
		local_apic_report_error(apic, LOCAL_APIC_ERROR_ILLEGAL_REGISTER);
		return STATUS_OK;
	}
	if (byte >= sizeof(uint32_t) || local_apic_read_register(apic, number, &content) != STATUS_OK)
		return STATUS_OK;
	*value = (uint32_t)content >> (8 * byte) & size_mask(size);
	return STATUS_OK;
}

/* Writes narrower than a register or beside its start are undefined; they are lost. */
static enum status mmio_write(struct io_device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t value)
{
	struct local_apic *apic = vcpu->local_apic;
	unsigned number = (unsigned)(offset / MMIO_REGISTER_STRIDE);

	(void)device;
	if (unlikely(apic == NULL || !has_mmio(apic)))
		return STATUS_DENIED;
	if (size < sizeof(uint32_t) || offset % MMIO_REGISTER_STRIDE != 0)
		return STATUS_OK;
	if (number >= LOCAL_APIC_REGISTER_COUNT)
		local_apic_report_error(apic, LOCAL_APIC_ERROR_ILLEGAL_REGISTER);
	else
		(void)!local_apic_write_register(apic, number, (uint32_t)value); /* what is refused goes by in this mode */
	return STATUS_OK;
}

static const struct io_ops mmio_ops = {mmio_read, mmio_write};

/* ---- x2APIC registers ---- */

static enum status x2apic_read(struct io_device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t *value)
{
	struct local_apic *apic = vcpu->local_apic;

	(void)device;
	(void)size;
	if (unlikely(apic == NULL || !local_apic_is_x2apic(apic) || offset >= LOCAL_APIC_REGISTER_COUNT))
		return STATUS_DENIED;
	return local_apic_read_register(apic, (unsigned)offset, value);
}

static enum status x2apic_write(struct io_device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t value)
{
	struct local_apic *apic = vcpu->local_apic;

	(void)device;
	(void)size;
	if (unlikely(apic == NULL || !local_apic_is_x2apic(apic) || offset >= LOCAL_APIC_REGISTER_COUNT))
		return STATUS_DENIED;
	return local_apic_write_register(apic, (unsigned)offset, value);
}

static const struct io_ops x2apic_ops = {x2apic_read, x2apic_write};

/* ---- IA32_TSC_DEADLINE ---- */

static enum status deadline_read(struct io_device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t *value)
{
	struct local_apic *apic = vcpu->local_apic;

	(void)device;
	(void)offset;
	(void)size;
	if (unlikely(apic == NULL))
		return STATUS_DENIED;
	*value = local_apic_timer_get_deadline(apic);
	return STATUS_OK;
}

static enum status deadline_write(struct io_device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t value)
{
	struct local_apic *apic = vcpu->local_apic;

	(void)device;
	(void)offset;
	(void)size;
	if (unlikely(apic == NULL))
		return STATUS_DENIED;
	local_apic_timer_set_deadline(apic, value);
	return STATUS_OK;
}

static const struct io_ops deadline_ops = {deadline_read, deadline_write};

/* ---- IA32_APIC_BASE ---- */

static enum status base_read(struct io_device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t *value)
{
	const struct local_apic *apic = vcpu->local_apic;

	(void)device;
	(void)offset;
	(void)size;
	if (unlikely(apic == NULL))
		return STATUS_DENIED;
	*value = apic->base_msr;
	return STATUS_OK;
}

/* A disabled APIC forgets everything; one that goes on in x2APIC mode keeps all but its ids and the ICR. */
static void enter_mode(struct local_apic *apic, enum apic_mode mode)
{
	if (mode == MODE_X2APIC) {
		local_apic_set_identity(apic);
		local_apic_set(apic, LOCAL_APIC_ICR, 0);
		local_apic_set(apic, LOCAL_APIC_ICR_HIGH, 0);
	} else {
		local_apic_reset_registers(apic);
	}
	local_apic_choose_mode(apic);
	local_apic_update_external(apic);
}

/* The registers stay at their address and the boot processor's bit is the machine's: only the mode can change. */
static enum status base_write(struct io_device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t value)
{
	struct local_apic *apic = vcpu->local_apic;
	enum apic_mode before, after = MODE_OF(value);

	(void)device;
	(void)offset;
	(void)size;
	if (unlikely(apic == NULL) || (value & ~(MODE_BITS | APIC_BASE_BSP)) != LOCAL_APIC_BASE)
		return STATUS_DENIED;
	before = MODE_OF(apic->base_msr);
	if (!transition_allowed[before][after])
		return STATUS_DENIED;
	apic->base_msr = (apic->base_msr & ~MODE_BITS) | (value & MODE_BITS);
	if (after != before)
		enter_mode(apic, after);
	return STATUS_OK;
}

static const struct io_ops base_ops = {base_read, base_write};

/* ---- the other controllers and the run loop ---- */

static int pending_vector(struct io_device *device, struct vcpu *vcpu)
{
	const struct local_apic *apic = vcpu->local_apic;

	(void)device;
	return likely(apic != NULL) ? local_apic_pending_vector(apic) : -1;
}

static int acknowledge(struct io_device *device, struct vcpu *vcpu)
{
	struct local_apic *apic = vcpu->local_apic;

	(void)device;
	return likely(apic != NULL) ? local_apic_acknowledge(apic) : -1;
}

static bool prepare_entry(struct io_device *device, struct vcpu *vcpu)
{
	struct local_apic *apic = vcpu->local_apic;

	(void)device;
	return likely(apic != NULL) && local_apic_prepare_entry(apic);
}

static void register_written(struct io_device *device, struct vcpu *vcpu, uint64_t offset)
{
	struct local_apic *apic = vcpu->local_apic;

	(void)device;
	if (likely(apic != NULL && offset / MMIO_REGISTER_STRIDE < LOCAL_APIC_REGISTER_COUNT))
		local_apic_register_written(apic, (unsigned)(offset / MMIO_REGISTER_STRIDE));
}

/* SDM Vol. 3A "Local APIC State After an INIT Reset", "x2APIC State Transitions": mode and ID stay. */
static void enter_init(struct io_device *device, struct vcpu *vcpu)
{
	struct local_apic *apic = vcpu->local_apic;

	(void)device;
	if (apic == NULL)
		return;
	local_apic_reset_registers(apic);
	local_apic_choose_mode(apic);
	local_apic_update_external(apic);
}

static uint8_t get_task_priority(struct io_device *device, struct vcpu *vcpu)
{
	const struct local_apic *apic = vcpu->local_apic;

	(void)device;
	return likely(apic != NULL) ? (uint8_t)(local_apic_get(apic, LOCAL_APIC_TPR) >> 4) : 0;
}

static void set_task_priority(struct io_device *device, struct vcpu *vcpu, uint8_t cr8)
{
	struct local_apic *apic = vcpu->local_apic;

	(void)device;
	if (likely(apic != NULL))
		local_apic_set_task_priority(apic, (uint8_t)(cr8 << 4));
}

static const struct irq_local_controller controller = {
	.deliver = local_apic_deliver,
	.pending_vector = pending_vector,
	.acknowledge = acknowledge,
	.prepare_entry = prepare_entry,
	.register_written = register_written,
	.accept_posted = local_apic_accept_posted,
	.target = local_apic_target,
	.enter_init = enter_init,
	.get_task_priority = get_task_priority,
	.set_task_priority = set_task_priority,
};

/* ---- life ---- */

static const struct { enum io_space space; struct io_region region; } regions[] = {
	{IO_SPACE_MEMORY, {.base = LOCAL_APIC_BASE, .length = LOCAL_APIC_LENGTH, .ops = &mmio_ops, .name = "local APIC"}},
	{IO_SPACE_MSR, {.base = MSR_APIC_BASE, .length = 1, .ops = &base_ops, .name = "IA32_APIC_BASE", .numbered = true}},
	{IO_SPACE_MSR, {.base = MSR_TSC_DEADLINE, .length = 1, .ops = &deadline_ops, .name = "IA32_TSC_DEADLINE", .numbered = true}},
	{IO_SPACE_MSR, {.base = MSR_X2APIC_BASE, .length = MSR_X2APIC_LAST - MSR_X2APIC_BASE + 1, .ops = &x2apic_ops,
		.name = "x2APIC", .numbered = true}},
};

static enum status add_regions(struct vm *vm, struct io_device *device)
{
	for (unsigned i = 0; i < array_count(regions); i++) {
		struct io_region region = regions[i].region;
		enum status status;

		region.device = device;
		status = io_bus_add(&vm->buses[regions[i].space], &region);
		if (status != STATUS_OK)
			return status;
	}
	return STATUS_OK;
}

static enum status create(struct vm *vm, struct io_device **device)
{
	struct local_apic_device *self = io_device_allocate(sizeof(*self));
	enum status status;

	if (self == NULL)
		return STATUS_NO_MEMORY;
	status = add_regions(vm, &self->device);
	if (status != STATUS_OK) {
		for (unsigned space = 0; space < IO_SPACE_COUNT; space++)
			io_bus_remove_device(&vm->buses[space], &self->device);
		io_device_free(self, sizeof(*self));
		return status;
	}
	irq_routing_set_local(vm, &controller, &self->device);
	*device = &self->device;
	return STATUS_OK;
}

static void reset_apic(struct local_apic *apic, struct vcpu *vcpu)
{
	if (apic->vcpu == NULL) {
		apic->vcpu = vcpu;
		vcpu->local_apic = apic;
		apic->registers = vcpu->virt.apic_page != NULL ? vcpu->virt.apic_page : apic->own_registers;
		local_apic_timer_init(apic);
	}
	apic->base_msr = LOCAL_APIC_BASE | APIC_BASE_ENABLE | (vcpu->index == 0 ? APIC_BASE_BSP : 0);
	local_apic_reset_registers(apic);
	if (vcpu->index == 0)
		local_apic_enter_virtual_wire(apic);
	local_apic_choose_mode(apic);
	local_apic_update_external(apic);
}

/* vCPUs find their blocks here, at the first reset, since devices may be created before them. */
static void reset(struct io_device *device)
{
	struct local_apic_device *self = container_of(device, struct local_apic_device, device);
	struct vm *vm = device->vm;

	self->last_lowest = 0;
	for (uint32_t i = 0; i < vm->vcpu_count; i++) {
		if (vm->vcpus[i] != NULL)
			reset_apic(&self->apics[i], vm->vcpus[i]);
	}
}

static void destroy(struct io_device *device)
{
	struct local_apic_device *self = container_of(device, struct local_apic_device, device);

	for (uint32_t i = 0; i < VM_MAX_VCPUS; i++) {
		if (self->apics[i].vcpu == NULL)
			continue;
		vcpu_timer_cancel(&self->apics[i].timer);
		self->apics[i].vcpu->local_apic = NULL;
	}
}

const struct io_device_class local_apic_class = {
	.name = "local-apic",
	.order = 10,
	.create = create,
	.reset = reset,
	.destroy = destroy,
	.describe = local_apic_describe,
};
IO_DEVICE_CLASS(local_apic_class);
