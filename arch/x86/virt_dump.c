#include "arch/x86/virt_dump.h"

void virt_dump_bits(virt_print print, const char *title, uint32_t value, const struct virt_bit_name *names)
{
	print("  %-10s %08x:", title, value);
	for (; names->name; names++) {
		if (value & names->bit)
			print(" [%s]", names->name);
	}
	print("\n");
}

static unsigned long long value_of(struct virt_vcpu *vcpu, enum virt_register name)
{
	return virt_ops->register_read(vcpu, name);
}

void virt_dump_registers(struct virt_vcpu *vcpu, virt_print print)
{
	static const char *const names[GPR_COUNT] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
						     "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"};

	for (unsigned i = 0; i < GPR_COUNT; i++) {
		unsigned long long value = i == GPR_RSP ? value_of(vcpu, VIRT_RSP) : vcpu->gpr[i];
		print("  %-3s %016llx%s", names[i], value, i % 4 == 3 ? "\n" : "");
	}
	print("  rip %016llx  rflags %08llx  dr7 %08llx  efer %llx\n", value_of(vcpu, VIRT_RIP), value_of(vcpu, VIRT_RFLAGS),
	      value_of(vcpu, VIRT_DR7), value_of(vcpu, VIRT_EFER));
	print("  cr0 %08llx  cr2 %016llx  cr3 %016llx  cr4 %08llx\n", value_of(vcpu, VIRT_CR0), value_of(vcpu, VIRT_CR2),
	      value_of(vcpu, VIRT_CR3), value_of(vcpu, VIRT_CR4));
}

void virt_dump_segments(struct virt_vcpu *vcpu, virt_print print)
{
	static const char *const names[VIRT_SEGMENT_COUNT] = {"ES", "CS", "SS", "DS", "FS", "GS", "LDTR", "TR"};

	for (unsigned name = 0; name < VIRT_SEGMENT_COUNT; name++) {
		struct virt_segment s;
		virt_ops->segment_read(vcpu, (enum virt_segment_name)name, &s);
		print("  %-4s %04x base %016llx limit %08x rights %05x%s\n", names[name], s.selector, (unsigned long long)s.base, s.limit,
		      s.attributes, s.attributes & VIRT_SEGMENT_UNUSABLE ? " (unusable)" : "");
	}
	print("  GDTR base %016llx limit %04llx  IDTR base %016llx limit %04llx\n", value_of(vcpu, VIRT_GDTR_BASE), value_of(vcpu, VIRT_GDTR_LIMIT),
	      value_of(vcpu, VIRT_IDTR_BASE), value_of(vcpu, VIRT_IDTR_LIMIT));
}
