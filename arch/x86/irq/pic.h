/* The 8259 pair, which the hypervisor does not use. Intel "8259A Programmable Interrupt Controller". */
#pragma once

/** pic_disable() - moves its vectors away from the exceptions and masks every input; boot, interrupts off. */
void pic_disable(void);
