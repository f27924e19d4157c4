/*
 * One 8259A: requests, priorities and command words. Two of them make the pair of pic_8259.c. Device lock held.
 * Intel 8259A data sheet.
 */
#pragma once

#include "lib/types.h"

#define PIC_8259_NO_INPUT 8u

/* What the next write to the odd port is. */
enum pic_8259_init_state { PIC_8259_UNCONFIGURED, PIC_8259_EXPECT_ICW2, PIC_8259_EXPECT_ICW3, PIC_8259_EXPECT_ICW4, PIC_8259_READY };

struct pic_8259_chip {
	uint8_t irr, imr, isr;
	uint8_t lines;         /* levels of the inputs */
	uint8_t level_inputs;  /* inputs that are level-triggered, besides what ICW1 says of all */
	uint8_t cascade;       /* bit of the input that a slave drives; 0 on a slave */
	uint8_t vector_base;
	uint8_t highest_input; /* the input of highest priority; rotation moves it */
	uint8_t icw1;
	enum pic_8259_init_state init_state;
	bool auto_eoi, rotate_on_auto_eoi, special_mask, fully_nested, read_isr, poll;
};

/** pic_8259_chip_reset() - power-up: not configured, all inputs masked. @cascade: see there. */
void pic_8259_chip_reset(struct pic_8259_chip *chip, uint8_t cascade);
/** pic_8259_chip_set_input() - drives @input 0..7. */
void pic_8259_chip_set_input(struct pic_8259_chip *chip, unsigned input, bool level);
/** pic_8259_chip_set_level_inputs() - which inputs are level-triggered (ELCR). */
void pic_8259_chip_set_level_inputs(struct pic_8259_chip *chip, uint8_t inputs);
/** pic_8259_chip_request() - the input that asks for service and may have it: its output is high; else PIC_8259_NO_INPUT. */
unsigned pic_8259_chip_request(const struct pic_8259_chip *chip);
/** pic_8259_chip_acknowledge() - the INTA cycle. @input: out: what went into service, or PIC_8259_NO_INPUT. Return: vector. */
uint8_t pic_8259_chip_acknowledge(struct pic_8259_chip *chip, unsigned *input);
/** Accesses to the two ports; @odd: A0 is 1. A read may be the poll cycle, which acknowledges. */
uint8_t pic_8259_chip_read(struct pic_8259_chip *chip, bool odd);
void pic_8259_chip_write(struct pic_8259_chip *chip, bool odd, uint8_t value);
