#include "arch/x86/irq/pic.h"

#include "arch/x86/insn.h"
#include "arch/x86/irq/interrupt.h"

#define MASTER_COMMAND 0x20u
#define MASTER_DATA 0x21u
#define SLAVE_COMMAND 0xa0u
#define SLAVE_DATA 0xa1u

#define ICW1_START 0x11u    /* cascade, ICW4 follows */
#define ICW3_MASTER 0x04u   /* the slave is on input 2 */
#define ICW3_SLAVE 0x02u
#define ICW4_8086_MODE 0x01u
#define MASK_ALL 0xffu

/* Even a masked 8259 may raise its spurious vector (base + 7), so the bases must not be an exception's. */
static const struct { uint16_t port; uint8_t value; } sequence[] = {
	{MASTER_COMMAND, ICW1_START},
	{SLAVE_COMMAND, ICW1_START},
	{MASTER_DATA, INTERRUPT_VECTOR_PIC},
	{SLAVE_DATA, INTERRUPT_VECTOR_PIC + 8},
	{MASTER_DATA, ICW3_MASTER},
	{SLAVE_DATA, ICW3_SLAVE},
	{MASTER_DATA, ICW4_8086_MODE},
	{SLAVE_DATA, ICW4_8086_MODE},
	{MASTER_DATA, MASK_ALL},
	{SLAVE_DATA, MASK_ALL},
};

void pic_disable(void)
{
	for (unsigned i = 0; i < array_count(sequence); i++)
		insn_out8(sequence[i].port, sequence[i].value);
}
