#include "drivers/framebuffer/framebuffer.h"

#include "arch/x86/mm/host_paging.h"
#include "arch/x86/mmio.h"
#include "arch/x86/spinlock.h"
#include "drivers/framebuffer/font.h"
#include "lib/bits.h"
#include "lib/string.h"

#define BYTES_PER_PIXEL 4u
#define TAB_WIDTH 8u
#define TEXT_BRIGHTNESS 0xc0u /* of 255, each colour */
#define CONTROL_ESCAPE 0x1b
#define CONTROL_BELL 0x07
#define FIRST_VISIBLE 32
#define LAST_VISIBLE 126

enum parse_state {
	PARSE_TEXT,
	PARSE_ESCAPE,      /* after ESC */
	PARSE_CHARACTER_SET, /* one more byte to swallow */
	PARSE_SEQUENCE,    /* ESC [ ... up to a letter */
	PARSE_STRING,      /* ESC ] ... up to BEL or ESC */
};

static struct {
	struct spinlock lock; /* protects all below */
	bool available;
	hpa_t base;
	uint8_t *pixels;
	uint32_t pitch; /* [bytes] */
	uint32_t foreground;
	uint32_t columns, rows;
	uint32_t column, row;   /* where the next character goes; column == columns: after the last one */
	uint32_t first_row;     /* the line of `text` that stands at the top: scrolling moves no bytes */
	uint32_t dirty_first, dirty_end; /* rows that may differ from what is shown */
	enum parse_state state;
	char text[FRAMEBUFFER_MAX_ROWS][FRAMEBUFFER_MAX_COLUMNS];  /* what is to be seen; a ring of lines */
	char shown[FRAMEBUFFER_MAX_ROWS][FRAMEBUFFER_MAX_COLUMNS]; /* what is seen */
} screen;

static enum status check(const struct boot_framebuffer *framebuffer)
{
	if (framebuffer->base == 0)
		return STATUS_NOT_FOUND;
	if (framebuffer->bits_per_pixel != 8 * BYTES_PER_PIXEL)
		return STATUS_UNSUPPORTED;
	if (framebuffer->width < FONT_WIDTH || framebuffer->height < FONT_HEIGHT)
		return STATUS_UNSUPPORTED;
	if (framebuffer->pitch / BYTES_PER_PIXEL < framebuffer->width)
		return STATUS_INVALID;
	if (!is_aligned(framebuffer->pitch | framebuffer->base, BYTES_PER_PIXEL))
		return STATUS_INVALID;
	if (framebuffer->red_shift > 24 || framebuffer->green_shift > 24 || framebuffer->blue_shift > 24)
		return STATUS_INVALID;
	return STATUS_OK;
}

static void clear_pixels(uint32_t width, uint32_t height)
{
	for (uint32_t y = 0; y < height; y++)
		for (uint32_t x = 0; x < width; x++)
			mmio_write32(screen.pixels + (size_t)y * screen.pitch + (size_t)x * BYTES_PER_PIXEL, 0);
}

enum status framebuffer_init(const struct boot_framebuffer *framebuffer)
{
	enum status status = check(framebuffer);

	if (status != STATUS_OK)
		return status;
	screen.available = false;
	screen.pixels = host_paging_map_device(hpa(framebuffer->base), (uint64_t)framebuffer->pitch * framebuffer->height, true);
	if (screen.pixels == NULL)
		return STATUS_NO_MEMORY;

	screen.base = hpa(framebuffer->base);
	screen.pitch = framebuffer->pitch;
	screen.foreground = TEXT_BRIGHTNESS << framebuffer->red_shift | TEXT_BRIGHTNESS << framebuffer->green_shift |
			    TEXT_BRIGHTNESS << framebuffer->blue_shift;
	screen.columns = (uint32_t)min_u64(framebuffer->width / FONT_WIDTH, FRAMEBUFFER_MAX_COLUMNS);
	screen.rows = (uint32_t)min_u64(framebuffer->height / FONT_HEIGHT, FRAMEBUFFER_MAX_ROWS);
	screen.column = screen.row = screen.first_row = 0;
	screen.dirty_first = screen.dirty_end = 0;
	screen.state = PARSE_TEXT;
	memset(screen.text, ' ', sizeof(screen.text));
	memset(screen.shown, ' ', sizeof(screen.shown));
	clear_pixels(framebuffer->width, framebuffer->height);
	screen.available = true;
	return STATUS_OK;
}

bool framebuffer_is_available(void)
{
	return screen.available;
}

hpa_t framebuffer_address(void)
{
	return screen.available ? screen.base : hpa(0);
}

static char *text_line(uint32_t row)
{
	return screen.text[(screen.first_row + row) % screen.rows];
}

static void mark_dirty(uint32_t first, uint32_t end)
{
	if (screen.dirty_first == screen.dirty_end) {
		screen.dirty_first = first;
		screen.dirty_end = end;
		return;
	}
	screen.dirty_first = (uint32_t)min_u64(screen.dirty_first, first);
	screen.dirty_end = (uint32_t)max_u64(screen.dirty_end, end);
}

/* Several lines at once, since most cells change with every scroll. */
static void scroll(void)
{
	uint32_t lines = (uint32_t)max_u64(screen.rows / 8, 1);

	screen.first_row = (screen.first_row + lines) % screen.rows;
	screen.row -= lines;
	for (uint32_t row = screen.rows - lines; row < screen.rows; row++)
		memset(text_line(row), ' ', screen.columns);
	mark_dirty(0, screen.rows);
}

static void new_line(void)
{
	screen.column = 0;
	screen.row++;
	if (screen.row >= screen.rows)
		scroll();
}

static void put_character(char character)
{
	if (screen.column >= screen.columns)
		new_line();
	text_line(screen.row)[screen.column++] = character;
	mark_dirty(screen.row, screen.row + 1);
}

static void put_control(uint8_t byte)
{
	switch (byte) {
	case '\n':
		new_line();
		break;
	case '\r':
		screen.column = 0;
		break;
	case '\b':
		if (screen.column > 0)
			screen.column--;
		break;
	case '\t':
		if (screen.column < screen.columns)
			screen.column = (uint32_t)min_u64(align_down(screen.column, TAB_WIDTH) + TAB_WIDTH, screen.columns);
		break;
	case CONTROL_ESCAPE:
		screen.state = PARSE_ESCAPE;
		break;
	default:
		break;
	}
}

static enum parse_state state_after_escape(uint8_t byte)
{
	switch (byte) {
	case '[':
		return PARSE_SEQUENCE;
	case ']':
	case 'P':
		return PARSE_STRING;
	case '(':
	case ')':
	case '#':
		return PARSE_CHARACTER_SET;
	default:
		return PARSE_TEXT;
	}
}

static void put_text_byte(uint8_t byte)
{
	if (byte < FIRST_VISIBLE)
		put_control(byte);
	else
		put_character(byte <= LAST_VISIBLE ? (char)byte : '?');
}

static void put_byte(uint8_t byte)
{
	/* A broken sequence must not swallow more than the rest of its line. */
	if (byte == '\n')
		screen.state = PARSE_TEXT;
	switch (screen.state) {
	case PARSE_TEXT:
		put_text_byte(byte);
		break;
	case PARSE_ESCAPE:
		screen.state = state_after_escape(byte);
		break;
	case PARSE_CHARACTER_SET:
		screen.state = PARSE_TEXT;
		break;
	case PARSE_SEQUENCE:
		if (byte >= '@' && byte <= '~')
			screen.state = PARSE_TEXT;
		break;
	case PARSE_STRING:
		if (byte == CONTROL_BELL)
			screen.state = PARSE_TEXT;
		else if (byte == CONTROL_ESCAPE)
			screen.state = PARSE_ESCAPE;
		break;
	}
}

static void draw_cell(uint32_t row, uint32_t column, char character)
{
	uint8_t *line = screen.pixels + (size_t)row * FONT_HEIGHT * screen.pitch + (size_t)column * FONT_WIDTH * BYTES_PER_PIXEL;

	for (unsigned y = 0; y < FONT_HEIGHT; y++, line += screen.pitch) {
		uint8_t pixels = font_row((uint8_t)character, y);

		for (unsigned x = 0; x < FONT_WIDTH; x++)
			mmio_write32(line + (size_t)x * BYTES_PER_PIXEL, (pixels & BIT(7 - x)) != 0 ? screen.foreground : 0);
	}
}

static void draw_changes(void)
{
	/* A panic writes without the lock: what another CPU left half done must not lead out of the arrays. */
	uint32_t end = (uint32_t)min_u64(screen.dirty_end, screen.rows);

	for (uint32_t row = screen.dirty_first; row < end; row++) {
		const char *wanted = text_line(row);
		char *shown = screen.shown[row];

		for (uint32_t column = 0; column < screen.columns; column++) {
			if (shown[column] == wanted[column])
				continue;
			shown[column] = wanted[column];
			draw_cell(row, column, wanted[column]);
		}
	}
	screen.dirty_first = screen.dirty_end = 0;
}

void framebuffer_write(const char *text, size_t size, bool synchronous)
{
	if (!screen.available)
		return;
	if (!synchronous)
		spinlock_lock(&screen.lock);
	for (size_t i = 0; i < size; i++)
		put_byte((uint8_t)text[i]);
	draw_changes();
	if (!synchronous)
		spinlock_unlock(&screen.lock);
}

struct log_sink framebuffer_log_sink = {.name = "framebuffer", .write = framebuffer_write};
