#include "vmm/dev/local_apic.h"

#include "arch/x86/clock.h"

static const char *const lvt_names[LOCAL_APIC_LVT_COUNT] = {"timer", "thermal", "performance", "LINT0", "LINT1", "error"};

static const char *mode_name(const struct local_apic *apic)
{
	if (!local_apic_is_enabled(apic))
		return "disabled";
	return local_apic_is_x2apic(apic) ? "x2APIC" : "xAPIC";
}

static void describe_vectors(const struct local_apic *apic, const char *name, enum local_apic_register_number bitmap,
			     void (*print)(const char *format, ...))
{
	print("  %s:", name);
	for (unsigned vector = 0; vector < 256; vector++) {
		if (local_apic_get(apic, bitmap + vector / 32) & BIT(vector % 32))
			print(" %#x", vector);
	}
	print("\n");
}

static void describe_timer(const struct local_apic *apic, void (*print)(const char *format, ...))
{
	static const char *const modes[] = {"one-shot", "periodic", "TSC-deadline", "reserved mode"};
	uint64_t mode = bits_get(apic->timer_lvt, 18, 17);
	uint64_t now = clock_now();

	print("  timer: %s, initial count %u, divided by %u", modes[mode], apic->initial_count, 1u << apic->divide_shift);
	if (!vcpu_timer_is_armed(&apic->timer))
		print(", stopped\n");
	else if (apic->timer.deadline <= now)
		print(", due\n");
	else
		print(", due in %llu ticks\n", (unsigned long long)(apic->timer.deadline - now));
}

static void describe_apic(const struct local_apic *apic, void (*print)(const char *format, ...))
{
	print("local APIC %u: %s%s%s, TPR %#x, PPR %#x, LDR %#x, DFR %#x, SVR %#x, ESR %#x%s\n", apic->vcpu->index, mode_name(apic),
		local_apic_is_in_hardware(apic) ? " in hardware" : "", local_apic_is_software_enabled(apic) ? "" : ", disabled by software",
		local_apic_get(apic, LOCAL_APIC_TPR), local_apic_get(apic, LOCAL_APIC_PPR), local_apic_get(apic, LOCAL_APIC_LDR),
		local_apic_get(apic, LOCAL_APIC_DFR), local_apic_get(apic, LOCAL_APIC_SVR), apic->errors | local_apic_get(apic, LOCAL_APIC_ESR),
		apic->accepts_external ? ", takes the 8259's interrupts" : "");
	print("  LVT:");
	for (unsigned i = 0; i < LOCAL_APIC_LVT_COUNT; i++) {
		uint32_t lvt = local_apic_get(apic, LOCAL_APIC_LVT + i);
		print(" %s %#x%s", lvt_names[i], lvt, lvt & LOCAL_APIC_LVT_MASKED ? " (masked)" : "");
	}
	print("\n");
	describe_vectors(apic, "requested", LOCAL_APIC_IRR, print);
	describe_vectors(apic, "in service", LOCAL_APIC_ISR, print);
	describe_timer(apic, print);
}

void local_apic_describe(struct io_device *device, void (*print)(const char *format, ...))
{
	const struct local_apic_device *self = container_of(device, struct local_apic_device, device);

	for (uint32_t i = 0; i < VM_MAX_VCPUS; i++) {
		if (self->apics[i].vcpu != NULL)
			describe_apic(&self->apics[i], print);
	}
}
