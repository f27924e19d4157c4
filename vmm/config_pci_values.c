/* The key `pci` of a [vm NAME]: an address as lspci and the shell's command pci write it, and how strictly it is taken. */
#include "lib/string.h"
#include "vmm/config_values.h"

#define DEVICE_MAX 31u
#define FUNCTION_MAX 7u

static const char expected[] = "an address SSSS:BB:DD.F in hexadecimal, such as 0000:03:00.0, and perhaps ,permissive or ,ats";

static bool digit_value(char character, uint32_t *value)
{
	if (character >= '0' && character <= '9')
		*value = (uint32_t)(character - '0');
	else if (character >= 'a' && character <= 'f')
		*value = (uint32_t)(character - 'a') + 10;
	else if (character >= 'A' && character <= 'F')
		*value = (uint32_t)(character - 'A') + 10;
	else
		return false;
	return true;
}

/* Exactly @digits hexadecimal digits, up to @maximum. */
static bool take_hexadecimal(struct ini_text text, size_t *position, unsigned digits, uint32_t maximum, uint32_t *number)
{
	uint32_t digit, sum = 0;
	size_t i = *position;

	for (unsigned count = 0; count < digits; count++, i++) {
		if (i >= text.length || !digit_value(text.start[i], &digit))
			return false;
		sum = sum << 4 | digit;
	}
	if (sum > maximum)
		return false;
	*position = i;
	*number = sum;
	return true;
}

static bool take_address(struct ini_text text, size_t *position, struct config_pci *pci)
{
	uint32_t segment, bus, device, function;

	if (!take_hexadecimal(text, position, 4, UINT16_MAX, &segment) || !config_take_character(text, position, ':') ||
	    !take_hexadecimal(text, position, 2, UINT8_MAX, &bus) || !config_take_character(text, position, ':') ||
	    !take_hexadecimal(text, position, 2, DEVICE_MAX, &device) || !config_take_character(text, position, '.') ||
	    !take_hexadecimal(text, position, 1, FUNCTION_MAX, &function))
		return false;
	*pci = (struct config_pci){(uint16_t)segment, (uint8_t)bus, (uint8_t)device, (uint8_t)function, false, false};
	return true;
}

static bool is_same_function(const struct config_pci *a, const struct config_pci *b)
{
	return a->segment == b->segment && a->bus == b->bus && a->device == b->device && a->function == b->function;
}

enum { OPTION_PERMISSIVE, OPTION_ATS };

/* The word at *@position, which ends at a comma or with the value. */
static bool take_option(struct config_value *value, size_t *position, struct config_pci *pci)
{
	static const struct config_word words[] = {{"permissive", OPTION_PERMISSIVE}, {"ats", OPTION_ATS}};
	struct ini_text word = {value->text.start + *position, 0};
	uint32_t found;

	while (*position < value->text.length && value->text.start[*position] != ',') {
		(*position)++;
		word.length++;
	}
	if (!config_find_word(value, word, words, array_count(words), expected, &found))
		return false;
	pci->permissive |= found == OPTION_PERMISSIVE;
	pci->ats |= found == OPTION_ATS;
	return true;
}

static bool take_options(struct config_value *value, size_t position, struct config_pci *pci)
{
	while (position < value->text.length) {
		if (!config_take_character(value->text, &position, ','))
			return config_refuse(value, position, NULL, expected);
		if (!take_option(value, &position, pci))
			return false;
	}
	return true;
}

bool config_parse_pci(struct config_value *value, void *target)
{
	struct vm_config *vm = target;
	struct config_pci pci;
	size_t position = 0;

	if (!take_address(value->text, &position, &pci))
		return config_refuse(value, position, NULL, expected);
	if (!take_options(value, position, &pci))
		return false;
	for (uint32_t i = 0; i < vm->pci_count; i++)
		if (is_same_function(&vm->pci[i], &pci))
			return config_refuse(value, 0, "this VM has that function already", "each function once");
	if (vm->pci_count == CONFIG_MAX_PCI)
		return config_refuse(value, 0, "too many functions", "at most 8 for each VM");
	vm->pci[vm->pci_count++] = pci;
	return true;
}
