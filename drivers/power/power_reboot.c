#include "drivers/power/power.h"

#include "arch/x86/acpi/acpi.h"
#include "arch/x86/clock.h"
#include "arch/x86/insn.h"
#include "arch/x86/irq/ipi.h"
#include "arch/x86/log.h"
#include "arch/x86/virt.h"
#include "drivers/power/power_register.h"
#include "lib/bits.h"

#define PORT_RESET_CONTROL 0xcf9u
#define RESET_CONTROL_HARD 0x02u
#define RESET_CONTROL_GO 0x04u
#define PORT_KEYBOARD 0x64u
#define KEYBOARD_INPUT_FULL 0x02u
#define KEYBOARD_PULSE_RESET 0xfeu
#define KEYBOARD_POLLS 10000u

#define RESET_DELAY 100000u /* [microseconds] that a way may take before the next is tried */

static void by_reset_register(void)
{
	const struct acpi_fadt *fadt = &acpi_get()->fadt;

	if ((fadt->flags & ACPI_FADT_RESET_REGISTER) != 0)
		(void)power_register_write(&fadt->reset, 0, 1, fadt->reset_value);
}

/* The reset logic acts when the GO bit changes from 0 to 1. */
static void by_reset_control(void)
{
	insn_out8(PORT_RESET_CONTROL, RESET_CONTROL_HARD);
	clock_delay_microseconds(50);
	insn_out8(PORT_RESET_CONTROL, RESET_CONTROL_HARD | RESET_CONTROL_GO);
}

static void by_keyboard_controller(void)
{
	for (unsigned i = 0; i < KEYBOARD_POLLS && (insn_in8(PORT_KEYBOARD) & KEYBOARD_INPUT_FULL) != 0; i++)
		insn_pause();
	insn_out8(PORT_KEYBOARD, KEYBOARD_PULSE_RESET);
}

/* With no interrupt table the exception cannot be delivered, nor the double fault after it. */
static void by_triple_fault(void)
{
	static const struct descriptor_table_register empty;

	insn_lidt(&empty);
	insn_ud2();
}

static void (*const ways[])(void) = {by_reset_register, by_reset_control, by_keyboard_controller, by_triple_fault};

enum status power_reboot(void)
{
	ipi_stop_others();
	if (virt_ops != NULL)
		virt_ops->cpu_disable();
	/* A reset drops what is only in the caches, such as the log that the next boot looks for. */
	insn_wbinvd();
	for (size_t i = 0; i < array_count(ways); i++) {
		ways[i]();
		clock_delay_microseconds(RESET_DELAY);
	}
	log_error("power: the machine did not restart");
	return STATUS_TIMEOUT;
}
