#include "lib/fmt.h"

#include "lib/string.h"

#define DIGITS_MAX 20u /* of a 64-bit number in decimal; hexadecimal takes fewer */

/* Where text goes: counts all of it, keeps what fits. */
struct output {
	char *buffer;
	size_t size, length;
};

struct conversion {
	bool left, zero, alternate, plus;
	unsigned width;
	bool has_precision;
	unsigned precision;
	unsigned bytes; /* of an integer argument */
	char type;
};

static void put_character(struct output *output, char character)
{
	if (output->length < output->size)
		output->buffer[output->length] = character;
	output->length++;
}

static void put_repeated(struct output *output, char character, size_t count)
{
	while (count-- > 0)
		put_character(output, character);
}

static void put_text(struct output *output, const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++)
		put_character(output, text[i]);
}

static void put_padded(struct output *output, const struct conversion *conversion, const char *text, size_t length)
{
	size_t padding = conversion->width > length ? conversion->width - length : 0;

	if (!conversion->left)
		put_repeated(output, ' ', padding);
	put_text(output, text, length);
	if (conversion->left)
		put_repeated(output, ' ', padding);
}

/* Writes @value's digits so that they end at @end; returns where they begin. Zero has no digits. */
static char *digits_backward(char *end, uint64_t value, unsigned base, bool upper)
{
	const char *digits = upper ? "0123456789ABCDEF" : "0123456789abcdef";

	for (; value != 0; value /= base)
		*--end = digits[value % base];
	return end;
}

static void put_number(struct output *output, const struct conversion *conversion, uint64_t value, unsigned base,
		       const char *prefix)
{
	char buffer[DIGITS_MAX];
	const char *digits = digits_backward(buffer + sizeof(buffer), value, base, conversion->type == 'X');
	size_t count = (size_t)(buffer + sizeof(buffer) - digits);
	size_t least = conversion->has_precision ? conversion->precision : 1;
	size_t zeros = least > count ? least - count : 0;
	size_t length = strlen(prefix) + zeros + count;
	size_t padding = conversion->width > length ? conversion->width - length : 0;

	if (conversion->zero && !conversion->left && !conversion->has_precision) {
		zeros += padding;
		padding = 0;
	}
	if (!conversion->left)
		put_repeated(output, ' ', padding);
	put_text(output, prefix, strlen(prefix));
	put_repeated(output, '0', zeros);
	put_text(output, digits, count);
	if (conversion->left)
		put_repeated(output, ' ', padding);
}

static void put_signed(struct output *output, const struct conversion *conversion, int64_t value)
{
	const char *sign = value < 0 ? "-" : conversion->plus ? "+" : "";

	put_number(output, conversion, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, 10, sign);
}

static void put_hexadecimal(struct output *output, const struct conversion *conversion, uint64_t value)
{
	const char *prefix = conversion->type == 'X' ? "0X" : "0x";

	put_number(output, conversion, value, 16, conversion->alternate && value != 0 ? prefix : "");
}

static void put_string(struct output *output, const struct conversion *conversion, const char *text)
{
	if (text == NULL)
		text = "(null)";
	put_padded(output, conversion, text, string_length_bounded(text, conversion->has_precision ? conversion->precision : SIZE_MAX));
}

static const char *parse_flags(const char *format, struct conversion *conversion)
{
	for (;; format++) {
		switch (*format) {
		case '-': conversion->left = true; break;
		case '0': conversion->zero = true; break;
		case '#': conversion->alternate = true; break;
		case '+': conversion->plus = true; break;
		default: return format;
		}
	}
}

static const char *parse_number(const char *format, unsigned *number)
{
	for (*number = 0; *format >= '0' && *format <= '9'; format++)
		if (*number < 100000) /* wider than any text; more digits must not wrap */
			*number = *number * 10 + (unsigned)(*format - '0');
	return format;
}

static const char *parse_length(const char *format, struct conversion *conversion)
{
	conversion->bytes = sizeof(int);
	switch (*format) {
	case 'h':
		conversion->bytes = format[1] == 'h' ? sizeof(char) : sizeof(short);
		return format + (format[1] == 'h' ? 2 : 1);
	case 'l':
		conversion->bytes = sizeof(long long); /* as long as long is */
		return format + (format[1] == 'l' ? 2 : 1);
	case 'z':
		conversion->bytes = sizeof(size_t);
		return format + 1;
	default:
		return format;
	}
}

/* va_list is an array on x86-64: as a member it can be handed on and read from in turn. */
struct arguments {
	va_list list;
};

static const char *parse_conversion(const char *format, struct conversion *conversion, struct arguments *arguments)
{
	int argument;

	format = parse_flags(format, conversion);
	if (*format == '*') {
		argument = va_arg(arguments->list, int);
		conversion->left |= argument < 0;
		conversion->width = argument < 0 ? 0u - (unsigned)argument : (unsigned)argument;
		format++;
	} else {
		format = parse_number(format, &conversion->width);
	}
	if (*format == '.' && format[1] == '*') {
		argument = va_arg(arguments->list, int);
		conversion->has_precision = argument >= 0;
		conversion->precision = argument >= 0 ? (unsigned)argument : 0;
		format += 2;
	} else if (*format == '.') {
		conversion->has_precision = true;
		format = parse_number(format + 1, &conversion->precision);
	}
	format = parse_length(format, conversion);
	conversion->type = *format;
	return format;
}

static int64_t argument_signed(struct arguments *arguments, unsigned bytes)
{
	if (bytes == sizeof(int64_t))
		return va_arg(arguments->list, int64_t);
	int value = va_arg(arguments->list, int);
	return bytes == sizeof(int8_t) ? (int8_t)value : bytes == sizeof(int16_t) ? (int16_t)value : value;
}

static uint64_t argument_unsigned(struct arguments *arguments, unsigned bytes)
{
	if (bytes == sizeof(uint64_t))
		return va_arg(arguments->list, uint64_t);
	return va_arg(arguments->list, unsigned) & (~0u >> (32 - 8 * bytes));
}

/* Carries out one conversion; false if its type is unknown. */
static bool put_conversion(struct output *output, struct conversion *conversion, struct arguments *arguments)
{
	char character;

	switch (conversion->type) {
	case 'd':
	case 'i':
		put_signed(output, conversion, argument_signed(arguments, conversion->bytes));
		return true;
	case 'u':
		put_number(output, conversion, argument_unsigned(arguments, conversion->bytes), 10, "");
		return true;
	case 'x':
	case 'X':
		put_hexadecimal(output, conversion, argument_unsigned(arguments, conversion->bytes));
		return true;
	case 'p':
		conversion->alternate = true;
		put_hexadecimal(output, conversion, (uintptr_t)va_arg(arguments->list, void *));
		return true;
	case 'c':
		character = (char)va_arg(arguments->list, int);
		put_padded(output, conversion, &character, 1);
		return true;
	case 's':
		put_string(output, conversion, va_arg(arguments->list, const char *));
		return true;
	case '%':
		put_character(output, '%');
		return true;
	default:
		return false;
	}
}

size_t fmt_vprint(char *buffer, size_t size, const char *format, va_list list)
{
	struct output output = {buffer, size, 0};
	struct arguments arguments;

	va_copy(arguments.list, list);
	while (*format != '\0') {
		struct conversion conversion = {0};
		const char *start = format;

		if (*format++ != '%') {
			put_character(&output, *start);
			continue;
		}
		format = parse_conversion(format, &conversion, &arguments);
		if (*format != '\0')
			format++;
		if (!put_conversion(&output, &conversion, &arguments))
			put_text(&output, start, (size_t)(format - start));
	}
	va_end(arguments.list);
	if (size > 0)
		buffer[output.length < size ? output.length : size - 1] = '\0';
	return output.length;
}

size_t fmt_print(char *buffer, size_t size, const char *format, ...)
{
	va_list arguments;
	size_t length;

	va_start(arguments, format);
	length = fmt_vprint(buffer, size, format, arguments);
	va_end(arguments);
	return length;
}
