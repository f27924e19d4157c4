#include "vmm/dev/pic_8259_chip.h"

#include "lib/bits.h"

#define SPURIOUS_INPUT 7u

#define ICW1_INITIALIZE 0x10u
#define ICW1_LEVEL 0x08u
#define ICW1_SINGLE 0x02u
#define ICW1_NEEDS_ICW4 0x01u
#define ICW2_BASE 0xf8u
#define ICW4_AUTO_EOI 0x02u
#define ICW4_FULLY_NESTED 0x10u /* special fully nested mode */

#define OCW3_SELECT 0x08u
#define OCW3_POLL 0x04u
#define OCW3_READ 0x02u /* bit 0 then says what: 1 ISR, 0 IRR */
#define OCW3_READ_ISR 0x01u
#define OCW3_CHANGE_SPECIAL_MASK 0x40u
#define OCW3_SPECIAL_MASK 0x20u

/* OCW2 [7:5]. */
enum ocw2 {
	OCW2_STOP_ROTATING = 0, OCW2_EOI = 1, OCW2_NOTHING = 2, OCW2_SPECIFIC_EOI = 3, OCW2_ROTATE_ALWAYS = 4, OCW2_ROTATE_EOI = 5,
	OCW2_SET_PRIORITY = 6, OCW2_ROTATE_SPECIFIC_EOI = 7,
};

/* ---- priorities ---- */

/* How many inputs come before the most important one in @inputs; PIC_8259_NO_INPUT if there is none. */
static unsigned rank_of(const struct pic_8259_chip *chip, uint8_t inputs)
{
	unsigned rotated = ((unsigned)inputs >> chip->highest_input | (unsigned)inputs << (8 - chip->highest_input)) & 0xff;

	return rotated != 0 ? bits_lowest(rotated) : PIC_8259_NO_INPUT;
}

static unsigned input_of(const struct pic_8259_chip *chip, unsigned rank)
{
	return (rank + chip->highest_input) & 7;
}

/* What is in service keeps out its equals and all that is less important; in special mask mode masked inputs keep out
 * nobody. */
static unsigned rank_in_service(const struct pic_8259_chip *chip)
{
	return rank_of(chip, chip->special_mask ? chip->isr & (uint8_t)~chip->imr : chip->isr);
}

unsigned pic_8259_chip_request(const struct pic_8259_chip *chip)
{
	unsigned rank = rank_of(chip, chip->irr & (uint8_t)~chip->imr), in_service = rank_in_service(chip), input;

	if (chip->init_state != PIC_8259_READY || rank == PIC_8259_NO_INPUT || rank > in_service)
		return PIC_8259_NO_INPUT;
	input = input_of(chip, rank);
	/* In special fully nested mode a slave may interrupt its own service. */
	if (rank == in_service && !(chip->fully_nested && (chip->cascade >> input & 1)))
		return PIC_8259_NO_INPUT;
	return input;
}

/* ---- requests ---- */

static bool is_level_triggered(const struct pic_8259_chip *chip, uint8_t bit)
{
	return (chip->level_inputs & bit) != 0 || (chip->icw1 & ICW1_LEVEL) != 0;
}

/* An edge is remembered until its INTA, even if the line has gone down since; a level asks as long as it lasts, and so
 * does a slave. */
void pic_8259_chip_set_input(struct pic_8259_chip *chip, unsigned input, bool level)
{
	uint8_t bit = (uint8_t)(1u << input);
	bool lasts = is_level_triggered(chip, bit) || chip->cascade == bit;

	if (level && (lasts || !(chip->lines & bit)))
		chip->irr |= bit;
	else if (!level && lasts)
		chip->irr &= (uint8_t)~bit;
	chip->lines = level ? chip->lines | bit : chip->lines & (uint8_t)~bit;
}

/* An input that becomes level-triggered asks if its line is high now; one that becomes edge-triggered waits for a rise. */
void pic_8259_chip_set_level_inputs(struct pic_8259_chip *chip, uint8_t inputs)
{
	uint8_t changed = chip->level_inputs ^ inputs;

	chip->level_inputs = inputs;
	chip->irr = (chip->irr & (uint8_t)~changed) | (chip->lines & inputs & changed);
}

static void rotate_behind(struct pic_8259_chip *chip, unsigned input)
{
	chip->highest_input = (input + 1) & 7;
}

/* @input goes into service; an edge is used up by that. */
static void begin_service(struct pic_8259_chip *chip, unsigned input)
{
	uint8_t bit = (uint8_t)(1u << input);

	if (!is_level_triggered(chip, bit))
		chip->irr &= (uint8_t)~bit;
	if (!chip->auto_eoi)
		chip->isr |= bit;
	else if (chip->rotate_on_auto_eoi)
		rotate_behind(chip, input);
}

/* A request that went away in the meantime is answered as input 7, without going into service. */
uint8_t pic_8259_chip_acknowledge(struct pic_8259_chip *chip, unsigned *input)
{
	*input = pic_8259_chip_request(chip);
	if (*input == PIC_8259_NO_INPUT)
		return chip->vector_base | SPURIOUS_INPUT;
	begin_service(chip, *input);
	return chip->vector_base | (uint8_t)*input;
}

/* ---- command words ---- */

static void start_initialization(struct pic_8259_chip *chip, uint8_t icw1)
{
	chip->icw1 = icw1;
	chip->init_state = PIC_8259_EXPECT_ICW2;
	chip->imr = chip->isr = 0;
	/* The edge detectors are cleared: a line must rise again to ask. */
	chip->irr = icw1 & ICW1_LEVEL ? chip->lines : chip->lines & chip->level_inputs;
	chip->highest_input = 0;
	chip->auto_eoi = chip->fully_nested = chip->special_mask = false;
	chip->rotate_on_auto_eoi = chip->read_isr = chip->poll = false;
}

static void end_service(struct pic_8259_chip *chip, unsigned input, bool rotate)
{
	chip->isr &= (uint8_t)~(1u << input);
	if (rotate)
		rotate_behind(chip, input);
}

/* The non-specific forms mean the most important input in service; in special mask mode masked ones are passed over. */
static void end_highest(struct pic_8259_chip *chip, bool rotate)
{
	unsigned rank = rank_in_service(chip);

	if (rank != PIC_8259_NO_INPUT)
		end_service(chip, input_of(chip, rank), rotate);
}

static void write_ocw2(struct pic_8259_chip *chip, uint8_t value)
{
	unsigned input = value & 7;

	switch ((enum ocw2)(value >> 5)) {
	case OCW2_STOP_ROTATING: chip->rotate_on_auto_eoi = false; break;
	case OCW2_EOI: end_highest(chip, false); break;
	case OCW2_NOTHING: break;
	case OCW2_SPECIFIC_EOI: end_service(chip, input, false); break;
	case OCW2_ROTATE_ALWAYS: chip->rotate_on_auto_eoi = true; break;
	case OCW2_ROTATE_EOI: end_highest(chip, true); break;
	case OCW2_SET_PRIORITY: rotate_behind(chip, input); break;
	case OCW2_ROTATE_SPECIFIC_EOI: end_service(chip, input, true); break;
	}
}

static void write_ocw3(struct pic_8259_chip *chip, uint8_t value)
{
	chip->poll = (value & OCW3_POLL) != 0;
	if (value & OCW3_READ)
		chip->read_isr = (value & OCW3_READ_ISR) != 0;
	if (value & OCW3_CHANGE_SPECIAL_MASK)
		chip->special_mask = (value & OCW3_SPECIAL_MASK) != 0;
}

static void write_even(struct pic_8259_chip *chip, uint8_t value)
{
	if (value & ICW1_INITIALIZE)
		start_initialization(chip, value);
	else if (value & OCW3_SELECT)
		write_ocw3(chip, value);
	else
		write_ocw2(chip, value);
}

/* ICW3 says how the pair is wired, which is known. */
static void write_odd(struct pic_8259_chip *chip, uint8_t value)
{
	bool needs_icw4 = (chip->icw1 & ICW1_NEEDS_ICW4) != 0;

	switch (chip->init_state) {
	case PIC_8259_EXPECT_ICW2:
		chip->vector_base = value & ICW2_BASE;
		chip->init_state = chip->icw1 & ICW1_SINGLE ? (needs_icw4 ? PIC_8259_EXPECT_ICW4 : PIC_8259_READY) : PIC_8259_EXPECT_ICW3;
		break;
	case PIC_8259_EXPECT_ICW3:
		chip->init_state = needs_icw4 ? PIC_8259_EXPECT_ICW4 : PIC_8259_READY;
		break;
	case PIC_8259_EXPECT_ICW4:
		chip->auto_eoi = (value & ICW4_AUTO_EOI) != 0;
		chip->fully_nested = (value & ICW4_FULLY_NESTED) != 0;
		chip->init_state = PIC_8259_READY;
		break;
	case PIC_8259_UNCONFIGURED:
	case PIC_8259_READY:
		chip->imr = value; /* OCW1 */
		break;
	}
}

/* ---- ports ---- */

/* Reading after a poll command is an INTA cycle by hand. */
static uint8_t read_poll(struct pic_8259_chip *chip)
{
	unsigned input;

	chip->poll = false;
	pic_8259_chip_acknowledge(chip, &input);
	return input != PIC_8259_NO_INPUT ? (uint8_t)(0x80 | input) : 0;
}

uint8_t pic_8259_chip_read(struct pic_8259_chip *chip, bool odd)
{
	if (chip->poll)
		return read_poll(chip);
	if (odd)
		return chip->imr;
	return chip->read_isr ? chip->isr : chip->irr;
}

void pic_8259_chip_write(struct pic_8259_chip *chip, bool odd, uint8_t value)
{
	if (odd)
		write_odd(chip, value);
	else
		write_even(chip, value);
}

void pic_8259_chip_reset(struct pic_8259_chip *chip, uint8_t cascade)
{
	*chip = (struct pic_8259_chip){.cascade = cascade, .imr = 0xff};
}
