/* Any sequence of guest accesses, messages and time on two local APICs: no crash, and the invariants of the priorities
 * hold after every step. */
#include "tests/unit/irq_fixture.h"
#include "vmm/dev/local_apic.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

extern const struct io_device_class local_apic_class;

#define VCPUS 2u
#define STEP_SIZE 8u

static bool external_level;

static bool external_pending(struct io_device *device) { (void)device; return external_level; }
static uint8_t external_acknowledge(struct io_device *device) { (void)device; external_level = false; return 0x20; }
static const struct irq_external_source external = {external_pending, external_acknowledge};

static void require(bool condition)
{
	if (!condition)
		abort();
}

static unsigned highest(const struct local_apic *apic, enum local_apic_register_number bitmap)
{
	for (unsigned vector = 255; vector > 0; vector--) {
		if (local_apic_get(apic, bitmap + vector / 32) >> (vector % 32) & 1)
			return vector;
	}
	return 0;
}

static void check(unsigned index)
{
	struct vcpu *vcpu = &fixture_vcpus[index];
	const struct local_apic *apic = vcpu->local_apic;
	unsigned in_service = apic->highest_in_service & 0xf0, task = local_apic_get(apic, LOCAL_APIC_TPR) & 0xf0;
	unsigned priority = local_apic_get(apic, LOCAL_APIC_PPR) & 0xf0;
	int pending = irq_pending_vector(vcpu);

	require(apic->highest_requested == highest(apic, LOCAL_APIC_IRR) && apic->highest_in_service == highest(apic, LOCAL_APIC_ISR));
	require(((local_apic_get(apic, LOCAL_APIC_IRR) | local_apic_get(apic, LOCAL_APIC_ISR)) & 0xffff) == 0);
	require(priority == (task >= in_service ? task : in_service));
	require(pending <= 0 || (unsigned)(pending & 0xf0) > priority);
	/* Whoever has something to take was told, or its run loop has been asked already. */
	require(pending < 0 || (vcpu->requests & VCPU_REQUEST_EVENT));
	require(vcpu_timer_is_armed(&apic->timer) || apic->tsc_deadline == 0);
	require((apic->base_msr & (APIC_BASE_ENABLE | APIC_BASE_X2APIC)) != APIC_BASE_X2APIC);
}

static void step(const uint8_t *bytes)
{
	static const unsigned sizes[] = {1, 2, 4, 8};
	static const uint32_t other_msrs[] = {MSR_APIC_BASE, MSR_TSC_DEADLINE};
	unsigned index = bytes[0] >> 7, width = sizes[bytes[0] >> 4 & 3];
	uint64_t value = 0;
	struct irq_message message = {bytes[1], bytes[2] & 1, bytes[2] >> 1 & 7, bytes[3], bytes[2] >> 4 & 1};

	memcpy(&value, bytes + 2, 6);
	switch (bytes[0] & 0xf) {
	case 0: guest_read(IO_SPACE_MEMORY, index, LOCAL_APIC_BASE + bytes[1] * 16u + (bytes[2] & 15) % (17 - width), width); break;
	case 1: guest_write(IO_SPACE_MEMORY, index, LOCAL_APIC_BASE + bytes[1] * 16u, width, value); break;
	case 2: case 3: guest_write(IO_SPACE_MEMORY, index, LOCAL_APIC_BASE + (bytes[1] & 63) * 16u, 4, value); break;
	case 4: guest_rdmsr(index, MSR_X2APIC_BASE + bytes[1], &value); break;
	case 5: case 6: guest_wrmsr(index, MSR_X2APIC_BASE + (bytes[1] & 63), value >> (bytes[1] >> 6) * 8); break;
	case 7: guest_wrmsr(index, other_msrs[bytes[1] & 1], bytes[1] & 2 ? ~value : value); break;
	case 8: guest_wrmsr(index, MSR_APIC_BASE, LOCAL_APIC_BASE | (bytes[1] & 3ull) << 10); break;
	case 9: (void)!irq_message_send(&fixture_vm, &message); break;
	case 10:
		external_level = true;
		vcpu_kick(&fixture_vcpus[0], VCPU_REQUEST_EVENT);
		break;
	case 11: fake_tsc += value; break;
	case 12: fixture_vm.irq.local->set_task_priority(fixture_vm.irq.local_device, &fixture_vcpus[index], bytes[1] & 15); break;
	case 13: fixture_vcpus[index].virt.tsc_offset = value << (bytes[1] & 15); break;
	default:
		/* What the run loop does before it enters the guest. */
		vcpu_timers_run(&fixture_vcpus[index], fake_tsc);
		(void)irq_acknowledge(&fixture_vcpus[index]);
		if (irq_pending_vector(&fixture_vcpus[index]) < 0)
			fixture_vcpus[index].requests = 0;
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fixture_start(VCPUS);
	external_level = false;
	require(fixture_add(&local_apic_class) != NULL);
	irq_routing_set_external(&fixture_vm, &external, NULL);
	io_devices_reset(&fixture_vm);
	for (size_t i = 0; i + STEP_SIZE <= size; i += STEP_SIZE) {
		step(data + i);
		for (unsigned index = 0; index < VCPUS; index++)
			check(index);
	}
	require(*fixture_describe(list_entry(fixture_vm.devices.next, struct io_device, link)) != '\0');
	io_devices_destroy(&fixture_vm);
	require(fixture_pages == 0);
	return 0;
}
