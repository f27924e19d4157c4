/*
 * Which keys the sections of trivet.conf have.
 */
#pragma once

#include "lib/ini.h"
#include "vmm/config_values.h"

enum config_section { CONFIG_SECTION_NONE, CONFIG_SECTION_HOST, CONFIG_SECTION_VM, CONFIG_SECTION_COUNT };

struct config_key {
	enum config_section section;
	const char *name;
	config_value_parser parse; /* NULL: the format knows the key, this version does not */
	const char *required;      /* an example, if every section of this kind must have the key; else NULL */
	bool repeatable;
};

#define CONFIG_MAX_KEYS 32u

extern const struct config_key config_keys[];
extern const unsigned config_key_count; /* <= CONFIG_MAX_KEYS */

/** config_section_find() - the kind of section that @word opens; CONFIG_SECTION_NONE if unknown. */
enum config_section config_section_find(struct ini_text word);
/** config_section_suggest() / config_key_suggest() - the name that @word was probably meant to be, or NULL. */
const char *config_section_suggest(struct ini_text word);
const char *config_key_suggest(enum config_section section, struct ini_text word);
/** config_key_find() - the row of a key, or NULL. */
const struct config_key *config_key_find(enum config_section section, struct ini_text name);
