/* Trivet's own characters: 5 x 8 dots, stretched to cells of 8 x 16 pixels. */
#pragma once

#include "lib/types.h"

#define FONT_WIDTH 8u   /* of a cell [pixels] */
#define FONT_HEIGHT 16u

/**
 * font_row() - the pixels of one line of a character's cell, leftmost pixel in bit 7.
 * @character: 32..126; anything else is shown as '?'. @row: 0..FONT_HEIGHT-1 from the top; beyond: 0.
 */
uint8_t font_row(uint8_t character, unsigned row);
