#include "arch/x86/virt.h"

const struct virt_ops *virt_ops;
virt_code_reader virt_read_code;
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

void virt_set_code_reader(virt_code_reader reader)
{
	virt_read_code = reader;
}
