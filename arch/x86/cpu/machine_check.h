/* What the error banks of this CPU say. SDM Vol. 3B "Machine-Check Architecture". */
#pragma once

#include "lib/types.h"

/** machine_check_report() - logs the global status and every bank that holds an error; changes nothing. Panic path. */
void machine_check_report(void);
/** machine_check_init() - on every CPU: clears what earlier boots left and lets all banks report. */
void machine_check_init(void);
