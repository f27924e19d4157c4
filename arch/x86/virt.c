#include "arch/x86/virt.h"

const struct virt_ops *virt_ops;
virt_code_reader virt_read_code;
virt_operand_access virt_access_operand;
static const char *missing_reason = "not probed yet";

const char *virt_missing_reason(void)
{
	return missing_reason;
}

void virt_set_ops(const struct virt_ops *ops)
{
	virt_ops = ops;
	missing_reason = "";
}

void virt_set_missing(const char *reason)
{
	virt_ops = NULL;
	missing_reason = reason;
}

void virt_set_guest_access(virt_code_reader reader, virt_operand_access access)
{
	virt_read_code = reader;
	virt_access_operand = access;
}
