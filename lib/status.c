#include "lib/status.h"

static const char *const names[STATUS_COUNT] = {
	[STATUS_OK] = "ok",
	[STATUS_INVALID] = "invalid value",
	[STATUS_OUT_OF_RANGE] = "out of range",
	[STATUS_NO_MEMORY] = "no memory",
	[STATUS_EXISTS] = "exists already",
	[STATUS_NOT_FOUND] = "not found",
	[STATUS_UNSUPPORTED] = "not supported",
	[STATUS_BAD_FORMAT] = "bad format",
	[STATUS_BAD_CHECKSUM] = "bad checksum",
	[STATUS_TRUNCATED] = "truncated",
	[STATUS_TIMEOUT] = "timed out",
	[STATUS_IO] = "input/output error",
	[STATUS_BUSY] = "busy",
	[STATUS_DENIED] = "denied",
};

const char *status_name(enum status status)
{
	return (unsigned)status < STATUS_COUNT ? names[status] : "unknown status";
}
