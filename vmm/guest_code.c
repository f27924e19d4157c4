#include "vmm/guest_code.h"

#include "lib/string.h"
#include "vmm/guest_linear.h"
#include "vmm/vcpu.h"

size_t guest_code_read(struct virt_vcpu *virt, uint64_t rip, uint8_t *bytes, size_t size)
{
	struct guest_linear_fault fault;
	struct guest_linear_code code;

	if (guest_linear_fetch(container_of(virt, struct vcpu, virt), rip, &code, &fault) != STATUS_OK)
		return 0;
	size = (size_t)min_u64(size, code.size);
	memcpy(bytes, code.bytes, size);
	return size;
}

bool guest_code_operand(struct virt_vcpu *virt, uint64_t linear, uint16_t *value, bool write)
{
	struct vcpu *vcpu = container_of(virt, struct vcpu, virt);
	struct guest_linear_fault fault;

	enum status status = write ? guest_linear_write(vcpu, gva(linear), value, sizeof(*value), &fault)
				   : guest_linear_read(vcpu, gva(linear), value, sizeof(*value), &fault);
	if (status == STATUS_OK)
		return true;
	guest_linear_inject(vcpu, &fault);
	return false;
}
