#include "lib/bits.h"
#include "vmm/exit/exit_handlers.h"
#include "vmm/guest_linear.h"
#include "vmm/vm.h"

/* IN of 1 or 2 bytes leaves the rest of RAX alone, of 4 bytes clears the upper half. */
static always_inline void set_rax(uint64_t *rax, uint64_t value, unsigned size)
{
	if (size == 1)
		*rax = (*rax & ~(uint64_t)0xff) | (uint8_t)value;
	else if (size == 2)
		*rax = (*rax & ~(uint64_t)0xffff) | (uint16_t)value;
	else
		*rax = (uint32_t)value;
}

static always_inline void port_read(struct vcpu *vcpu, uint16_t port, unsigned size, uint64_t *value)
{
	struct vm *vm = vcpu->vm;

	spinlock_lock(&vm->device_lock);
	/* Where nothing answers the bus floats: all ones. */
	(void)io_bus_read(&vm->buses[IO_SPACE_PORT], vcpu, port, size, value);
	spinlock_unlock(&vm->device_lock);
}

static always_inline void port_write(struct vcpu *vcpu, uint16_t port, unsigned size, uint64_t value)
{
	struct vm *vm = vcpu->vm;

	spinlock_lock(&vm->device_lock);
	/* A write that nobody takes is lost, as on a bus. */
	(void)io_bus_write(&vm->buses[IO_SPACE_PORT], vcpu, port, size, value);
	spinlock_unlock(&vm->device_lock);
}

static no_inline bool string_element(struct vcpu *vcpu, const struct vm_exit *exit, uint64_t linear)
{
	struct guest_linear_fault fault;
	uint64_t value = 0;
	enum status status;

	if (exit->io.in) {
		/* Make sure the store will work before the device loses its byte. */
		status = guest_linear_check(vcpu, gva(linear), exit->io.size, true, &fault);
		if (status == STATUS_OK) {
			port_read(vcpu, exit->io.port, exit->io.size, &value);
			status = guest_linear_write(vcpu, gva(linear), &value, exit->io.size, &fault);
		}
	} else {
		status = guest_linear_read(vcpu, gva(linear), &value, exit->io.size, &fault);
		if (status == STATUS_OK)
			port_write(vcpu, exit->io.port, exit->io.size, value);
	}
	if (status == STATUS_OK)
		return true;
	guest_linear_inject(vcpu, &fault);
	return false;
}

static uint64_t advance(uint64_t value, int64_t step, unsigned address_size)
{
	uint64_t mask = size_mask(address_size);
	uint64_t next = (value & ~mask) | ((value + (uint64_t)step) & mask);

	return address_size == 4 ? (uint32_t)next : next;
}

/* INS and OUTS, one element an exit: a repeated one comes back here until RCX is used up, so interrupts get through. */
static no_inline enum exit_action string_io(struct vcpu *vcpu, const struct vm_exit *exit)
{
	uint64_t *gpr = vcpu->virt.gpr;
	unsigned index = exit->io.in ? GPR_RDI : GPR_RSI;
	unsigned address_size = exit->io.address_size;
	int64_t step = virt_ops->register_read(&vcpu->virt, VIRT_RFLAGS) & BIT(10) ? -(int64_t)exit->io.size : exit->io.size;

	if (exit->io.repeat && (gpr[GPR_RCX] & size_mask(address_size)) == 0)
		return EXIT_SKIP;
	if (!string_element(vcpu, exit, exit->io.linear_address))
		return EXIT_INJECT;
	gpr[index] = advance(gpr[index], step, address_size);
	if (!exit->io.repeat)
		return EXIT_SKIP;
	gpr[GPR_RCX] = advance(gpr[GPR_RCX], -1, address_size);
	return (gpr[GPR_RCX] & size_mask(address_size)) == 0 ? EXIT_SKIP : EXIT_RESUME;
}

enum exit_action exit_io(struct vcpu *vcpu, const struct vm_exit *exit)
{
	uint64_t *gpr = vcpu->virt.gpr;
	uint64_t value;

	if (unlikely(exit->io.string))
		return string_io(vcpu, exit);
	if (exit->io.in) {
		port_read(vcpu, exit->io.port, exit->io.size, &value);
		set_rax(&gpr[GPR_RAX], value, exit->io.size);
	} else {
		port_write(vcpu, exit->io.port, exit->io.size, gpr[GPR_RAX] & size_mask(exit->io.size));
	}
	return EXIT_SKIP;
}
