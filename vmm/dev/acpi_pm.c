/*
 * ACPI fixed hardware: PM1a events and control, and the power management timer. ACPI mode is always on.
 * ACPI Specification, "PM1 Event Grouping", "PM1 Control Grouping", "Power Management Timer".
 */
#include "vmm/dev/port_device.h"
#include "vmm/platform.h"
#include "vmm/tick_ratio.h"
#include "vmm/vcpu_timer.h"
#include "vmm/vm.h"

#include "arch/x86/clock.h"
#include "lib/bits.h"

#define TIMER_STATUS BIT(0)
#define GLOBAL_STATUS BIT(5)
#define POWER_BUTTON_STATUS BIT(8)
#define SLEEP_BUTTON_STATUS BIT(9)
#define RTC_STATUS BIT(10)
#define WAKE_STATUS BIT(15)
#define EVENT_BITS (TIMER_STATUS | GLOBAL_STATUS | POWER_BUTTON_STATUS | SLEEP_BUTTON_STATUS | RTC_STATUS)

#define CONTROL_SCI_ENABLE BIT(0)
#define CONTROL_BUS_MASTER_RELOAD BIT(1)
#define CONTROL_SLEEP_TYPE BITS(12, 10)
#define CONTROL_SLEEP_ENABLE BIT(13)

/* One region from the first register to the last; what lies between them reads as ones. */
#define REGION_LENGTH (PLATFORM_PM_TIMER_PORT + PLATFORM_PM_TIMER_LENGTH - PLATFORM_PM1A_EVENT_PORT)

#define CARRY_SHIFT 31u /* the timer's highest bit, whose changes are events */

struct acpi_pm {
	struct io_device device;
	uint16_t status, enable, control;
	uint64_t epoch, ratio, ratio_back;
	struct vcpu_timer timer; /* armed while the guest wants to hear of carries */
	uint64_t carries; /* changes of the timer's highest bit that TIMER_STATUS has told */
	bool line;
};

static struct acpi_pm *pm_from_device(struct io_device *device)
{
	return container_of(device, struct acpi_pm, device);
}

static uint64_t pm_ticks(const struct acpi_pm *pm)
{
	return tick_convert(clock_now() - pm->epoch, pm->ratio);
}

static uint16_t pm_status(struct acpi_pm *pm)
{
	uint64_t carries = pm_ticks(pm) >> CARRY_SHIFT;

	if (carries != pm->carries) {
		pm->carries = carries;
		pm->status |= TIMER_STATUS;
	}
	return pm->status;
}

static void pm_arm(struct acpi_pm *pm)
{
	uint64_t carry = (pm->carries + 1) << CARRY_SHIFT;

	if ((pm->enable & TIMER_STATUS) == 0 || pm->status & TIMER_STATUS)
		vcpu_timer_cancel(&pm->timer);
	else
		vcpu_timer_arm(&pm->timer, pm->epoch + tick_convert_back(carry, pm->ratio_back));
}

static void pm_update_line(struct acpi_pm *pm)
{
	bool line = (pm->status & pm->enable & EVENT_BITS) != 0;

	pm_arm(pm);
	if (line == pm->line)
		return;
	pm->line = line;
	irq_line_set(pm->device.vm, PLATFORM_SCI_LINE, line);
}

static void pm_expire(struct vcpu_timer *timer)
{
	struct acpi_pm *pm = container_of(timer, struct acpi_pm, timer);

	(void)pm_status(pm);
	pm_update_line(pm);
}

/* The two bytes at @offset, which is even. */
static uint16_t pm_read16(struct acpi_pm *pm, uint64_t offset)
{
	switch (PLATFORM_PM1A_EVENT_PORT + offset) {
	case PLATFORM_PM1A_EVENT_PORT: return pm_status(pm);
	case PLATFORM_PM1A_EVENT_PORT + 2: return pm->enable;
	case PLATFORM_PM1A_CONTROL_PORT: return pm->control | CONTROL_SCI_ENABLE;
	case PLATFORM_PM_TIMER_PORT: return (uint16_t)pm_ticks(pm);
	case PLATFORM_PM_TIMER_PORT + 2: return (uint16_t)(pm_ticks(pm) >> 16);
	default: return 0xffff;
	}
}

static uint8_t pm_read8(struct io_device *device, uint64_t offset)
{
	return (uint8_t)(pm_read16(pm_from_device(device), offset & ~(uint64_t)1) >> (8 * (offset & 1)));
}

static enum status pm_read(struct io_device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t *value)
{
	(void)vcpu;
	/* The timer is read whole and often. */
	if (offset == PLATFORM_PM_TIMER_PORT - PLATFORM_PM1A_EVENT_PORT && size == 4) {
		*value = (uint32_t)pm_ticks(pm_from_device(device));
		return STATUS_OK;
	}
	return port_read_bytes(device, offset, size, value, pm_read8);
}

static void pm_write_control(struct acpi_pm *pm, uint16_t value)
{
	/* SLP_EN reads as 0, and GBL_RLS has no firmware to tell. */
	pm->control = value & (uint16_t)(CONTROL_BUS_MASTER_RELOAD | CONTROL_SLEEP_TYPE);
	if (value & CONTROL_SLEEP_ENABLE && bits_get(value, 12, 10) == PLATFORM_SLEEP_TYPE_S5)
		vm_stop(pm->device.vm, VM_STOP_POWEROFF, 0);
}

static void pm_write8(struct io_device *device, uint64_t offset, uint8_t value)
{
	struct acpi_pm *pm = pm_from_device(device);
	unsigned shift = 8 * (offset & 1);
	uint16_t bits = (uint16_t)(value << shift), keep = (uint16_t)(0xff00u >> shift);

	switch (PLATFORM_PM1A_EVENT_PORT + (offset & ~(uint64_t)1)) {
	case PLATFORM_PM1A_EVENT_PORT:
		pm->status = (uint16_t)(pm_status(pm) & ~bits); /* ones clear */
		break;
	case PLATFORM_PM1A_EVENT_PORT + 2:
		pm->enable = (uint16_t)((pm->enable & keep) | (bits & EVENT_BITS));
		break;
	case PLATFORM_PM1A_CONTROL_PORT:
		pm_write_control(pm, (uint16_t)((pm->control & keep) | bits));
		break;
	default: break; /* the timer is read-only */
	}
	pm_update_line(pm);
}

static enum status pm_write(struct io_device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t value)
{
	(void)vcpu;
	return port_write_bytes(device, offset, size, value, pm_write8);
}

static void pm_reset(struct io_device *device)
{
	struct acpi_pm *pm = pm_from_device(device);

	pm->status = pm->enable = pm->control = 0;
	pm->epoch = clock_now();
	pm->ratio = tick_ratio(PLATFORM_PM_TIMER_HZ, clock_tsc_frequency);
	pm->ratio_back = tick_ratio_back(clock_tsc_frequency, PLATFORM_PM_TIMER_HZ);
	pm->carries = 0;
	pm_update_line(pm);
}

/* ACPI Specification, "Power Button": the guest is told by PWRBTN_STS, and by an SCI if it asked for one. */
static void pm_press_power_button(struct io_device *device)
{
	struct acpi_pm *pm = pm_from_device(device);

	pm->status |= POWER_BUTTON_STATUS;
	pm_update_line(pm);
}

static void pm_destroy(struct io_device *device)
{
	device->vm->press_power_button = NULL;
	vcpu_timer_cancel(&pm_from_device(device)->timer);
}

static void pm_describe(struct io_device *device, void (*print)(const char *format, ...))
{
	struct acpi_pm *pm = pm_from_device(device);

	print("ACPI: PM1 status 0x%04x, enable 0x%04x, control 0x%04x, timer 0x%08x, SCI %u %s\n", pm_status(pm), pm->enable,
	      pm->control | (unsigned)CONTROL_SCI_ENABLE, (unsigned)pm_ticks(pm), PLATFORM_SCI_LINE, pm->line ? "up" : "down");
}

extern const struct io_device_class acpi_pm_class;

static enum status pm_create(struct vm *vm, struct io_device **device)
{
	static const struct io_ops ops = {.read = pm_read, .write = pm_write};
	static const struct port_range range = {PLATFORM_PM1A_EVENT_PORT, REGION_LENGTH, &ops, "ACPI power management"};

	enum status status = port_device_create(vm, &acpi_pm_class, sizeof(struct acpi_pm), &range, 1, device);

	if (status != STATUS_OK)
		return status;
	vcpu_timer_init(&pm_from_device(*device)->timer, vm->vcpus[0], pm_expire);
	vm->power_button = *device;
	vm->press_power_button = pm_press_power_button;
	return STATUS_OK;
}

const struct io_device_class acpi_pm_class = {
	.name = "acpi_pm",
	.order = 23,
	.create = pm_create,
	.reset = pm_reset,
	.destroy = pm_destroy,
	.describe = pm_describe,
};
IO_DEVICE_CLASS(acpi_pm_class);
