#include "drivers/power/power.h"

#include "arch/x86/acpi/acpi.h"
#include "arch/x86/clock.h"
#include "arch/x86/insn.h"
#include "arch/x86/irq/ipi.h"
#include "arch/x86/log.h"
#include "drivers/power/power_register.h"
#include "lib/bits.h"

/* ACPI Specification, "PM1 Status Registers", "PM1 Control Registers". */
#define PM1_CONTROL_SCI_ENABLE 0x0001u
#define PM1_CONTROL_SLEEP_TYPE 0x1c00u
#define PM1_CONTROL_SLEEP_TYPE_SHIFT 10
#define PM1_CONTROL_SLEEP_ENABLE 0x2000u
/* "Sleep Control and Status Registers" */
#define SLEEP_STATUS_WAKE 0x80u
#define SLEEP_CONTROL_TYPE_SHIFT 2
#define SLEEP_CONTROL_ENABLE 0x20u

#define WAIT_STEP 1000u /* [microseconds] */
#define ACPI_MODE_STEPS 3000u
#define OFF_STEPS 1000u

static enum status wait_for_off(void)
{
	for (unsigned i = 0; i < OFF_STEPS; i++)
		clock_delay_microseconds(WAIT_STEP);
	log_error("power: the machine did not turn off");
	return STATUS_TIMEOUT;
}

static enum status power_off_reduced(const struct acpi_info *acpi)
{
	uint16_t value = (uint16_t)(acpi->s5.type_a << SLEEP_CONTROL_TYPE_SHIFT | SLEEP_CONTROL_ENABLE);
	enum status status;

	(void)power_register_write(&acpi->fadt.sleep_status, 0, 1, SLEEP_STATUS_WAKE);
	insn_wbinvd();
	status = power_register_write(&acpi->fadt.sleep_control, 0, 1, value);
	if (status != STATUS_OK) {
		log_error("power: sleep control register: %s", status_name(status));
		return STATUS_UNSUPPORTED;
	}
	return wait_for_off();
}

/* The PM1 registers do nothing as long as system-management code owns them. "Legacy/ACPI Select and the SCI Interrupt" */
static void enter_acpi_mode(const struct acpi_fadt *fadt)
{
	uint16_t control = 0;

	if (fadt->smi_command == 0 || fadt->acpi_enable == 0)
		return;
	if (power_register_read(&fadt->pm1a_control, 0, 2, &control) != STATUS_OK || (control & PM1_CONTROL_SCI_ENABLE) != 0)
		return;
	insn_out8(fadt->smi_command, fadt->acpi_enable);
	for (unsigned i = 0; i < ACPI_MODE_STEPS; i++) {
		if (power_register_read(&fadt->pm1a_control, 0, 2, &control) == STATUS_OK && (control & PM1_CONTROL_SCI_ENABLE) != 0)
			return;
		clock_delay_microseconds(WAIT_STEP);
	}
	log_warning("power: the machine does not enter ACPI mode");
}

/* Nothing may wake the machine at once: status bits are cleared by writing ones, events are disabled. */
static void quiet_events(const struct acpi_register *event)
{
	unsigned enable_offset = event->bit_width / 8 / 2;

	if (power_register_write(event, 0, 2, UINT16_MAX) != STATUS_OK)
		return;
	if (enable_offset >= 2)
		(void)power_register_write(event, enable_offset, 2, 0);
}

static enum status write_control(const struct acpi_register *control, uint8_t type, bool enable)
{
	uint16_t value = 0;
	enum status status = power_register_read(control, 0, 2, &value);

	if (status != STATUS_OK)
		return status;
	value = (uint16_t)((value & ~(PM1_CONTROL_SLEEP_TYPE | PM1_CONTROL_SLEEP_ENABLE)) | type << PM1_CONTROL_SLEEP_TYPE_SHIFT);
	return power_register_write(control, 0, 2, enable ? value | PM1_CONTROL_SLEEP_ENABLE : value);
}

static enum status power_off_fixed(const struct acpi_info *acpi)
{
	const struct acpi_fadt *fadt = &acpi->fadt;
	enum status status;

	enter_acpi_mode(fadt);
	quiet_events(&fadt->pm1a_event);
	quiet_events(&fadt->pm1b_event);
	status = write_control(&fadt->pm1a_control, acpi->s5.type_a, false);
	if (status != STATUS_OK) {
		log_error("power: PM1a control register: %s", status_name(status));
		return STATUS_UNSUPPORTED;
	}
	(void)write_control(&fadt->pm1b_control, acpi->s5.type_b, false);
	insn_wbinvd();
	(void)write_control(&fadt->pm1a_control, acpi->s5.type_a, true);
	(void)write_control(&fadt->pm1b_control, acpi->s5.type_b, true);
	return wait_for_off();
}

enum status power_off(void)
{
	const struct acpi_info *acpi = acpi_get();

	if (!acpi->fadt.present || !acpi->s5.present) {
		log_error("power: the firmware's tables do not say how to turn the machine off (%s)",
			  acpi->fadt.present ? "no _S5_ in the DSDT" : "no FADT");
		return STATUS_UNSUPPORTED;
	}
	ipi_stop_others();
	if ((acpi->fadt.flags & ACPI_FADT_HARDWARE_REDUCED) != 0)
		return power_off_reduced(acpi);
	return power_off_fixed(acpi);
}
