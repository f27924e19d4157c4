#include <stdarg.h>

#include "arch/x86/cr.h"
#include "arch/x86/long_work.h"
#include "lib/fmt.h"
#include "vmm/exit/exit_handlers.h"
#include "vmm/vm.h"

#define CRASH_EXITS 16u

/* A dump is some 60 lines and only one per VM's life, so it needs no rate limit. */
static void print_to_log(const char *format, ...)
{
	static char line[256];
	static size_t used;
	va_list arguments;

	va_start(arguments, format);
	used += fmt_vprint(line + used, sizeof(line) - used, format, arguments);
	va_end(arguments);
	if (used >= sizeof(line))
		used = sizeof(line) - 1;
	if (used == 0 || (line[used - 1] != '\n' && used < sizeof(line) - 1))
		return;
	if (line[used - 1] == '\n')
		line[used - 1] = '\0';
	log_error("%s", line);
	used = 0;
	long_work_step();
}

static void dump_instruction(struct vcpu *vcpu)
{
	uint64_t rip = virt_ops->register_read(&vcpu->virt, VIRT_RIP);
	struct virt_segment cs;

	virt_ops->segment_read(&vcpu->virt, VIRT_CS, &cs);
	if (!(virt_ops->register_read(&vcpu->virt, VIRT_CR0) & CR0_PG)) {
		uint8_t bytes[16] = {0};
		gpa_t address = gpa(cs.base + rip);
		if (guest_memory_read(&vcpu->vm->memory, address, bytes, sizeof(bytes)) == STATUS_OK)
			print_to_log("  bytes at CS:RIP: %02x %02x %02x %02x %02x %02x %02x %02x %02x %02x %02x %02x\n", bytes[0], bytes[1], bytes[2],
				     bytes[3], bytes[4], bytes[5], bytes[6], bytes[7], bytes[8], bytes[9], bytes[10], bytes[11]);
	}
}

void exit_crash_dump(struct vcpu *vcpu, void *unused)
{
	(void)unused;
	log_error("vm %s vcpu %u: %s", vcpu->vm->config->name, vcpu->index, vcpu->vm->stop_text);
	virt_ops->dump(&vcpu->virt, print_to_log);
	dump_instruction(vcpu);
	print_to_log("  last exits (time, reason, subject, rip, cost in TSC ticks):\n");
	exit_recorder_print(vcpu, CRASH_EXITS, print_to_log);
}
