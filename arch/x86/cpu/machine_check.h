/* What the error banks of this CPU say, and what becomes of it. SDM Vol. 3B "Machine-Check Architecture". */
#pragma once

#include "lib/types.h"

/* The worst error that the CPU which calls can see. */
struct machine_check {
	bool found;       /* a bank holds an error that was not corrected */
	bool corrupt;     /* what the CPU holds cannot be trusted any more (PCC), or an error was lost */
	bool restartable; /* what was interrupted can go on (RIPV) */
	bool has_address;
	hpa_t address;    /* of the memory that it is about, if has_address */
	unsigned bank;
	uint64_t status, misc; /* MCi_STATUS, MCi_MISC (0: none) */
};

/** machine_check_init() - on every CPU: clears what earlier boots left and lets all banks report. */
void machine_check_init(void);

/** machine_check_report() - logs the global status and every bank that holds an error, in words; changes nothing. */
void machine_check_report(void);

/** machine_check_examine() - fills in @check; changes nothing. Any context. */
void machine_check_examine(struct machine_check *check);

/** machine_check_code_name() - what the low word of MCi_STATUS says: "memory controller". "Interpreting Machine Check Error Codes". */
const char *machine_check_code_name(uint16_t code);

/** machine_check_clear() - forgets what the banks hold, so that the next error is told: the last step of a handler that goes on. */
void machine_check_clear(void);

/**
 * machine_check_set_handler() - @handler is asked when a machine check interrupts the hypervisor; it may take no lock and log
 * nothing. Return: true: it has cleared it, and what was interrupted goes on; false: panic. Boot.
 */
void machine_check_set_handler(bool (*handler)(void));
/** machine_check_handle() - asks it; false without one. */
bool machine_check_handle(void);
