/* The one error type of the hypervisor and its loaders. */
#pragma once

#include "lib/compiler.h"

enum status {
	STATUS_OK = 0,
	STATUS_INVALID,       /* an argument or field has a value that is not allowed */
	STATUS_OUT_OF_RANGE,  /* a number or address lies outside its bounds */
	STATUS_NO_MEMORY,     /* no page or table slot is left */
	STATUS_EXISTS,        /* overlaps or repeats what is there */
	STATUS_NOT_FOUND,     /* no such object, file or mapping */
	STATUS_UNSUPPORTED,   /* valid, but this machine or this build cannot do it */
	STATUS_BAD_FORMAT,    /* magic, version or layout is not what was expected */
	STATUS_BAD_CHECKSUM,  /* the bytes do not sum up */
	STATUS_TRUNCATED,     /* ends before all that it promises */
	STATUS_TIMEOUT,       /* the hardware did not answer in time */
	STATUS_IO,            /* the hardware or firmware reported a failure */
	STATUS_BUSY,          /* in use; may succeed later */
	STATUS_DENIED,        /* refused by policy */
	STATUS_COUNT,
};

/** status_name() - words for people ("no memory"); never NULL, "unknown status" for values outside the enum. */
const char *status_name(enum status status);
