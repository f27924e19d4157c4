#include "boot/efi/screen.h"

#include "lib/fmt.h"

#define LINE_SIZE 256u
#define WAIT_SECONDS 60u
#define TICKS_PER_SECOND 10000000ull /* of 100 ns */

static EFI_SYSTEM_TABLE *firmware;

void screen_open(EFI_SYSTEM_TABLE *system)
{
	firmware = system;
}

void screen_print(const char *format, ...)
{
	CHAR16 wide[LINE_SIZE + 2];
	char line[LINE_SIZE];
	va_list arguments;
	size_t length = 0;

	va_start(arguments, format);
	fmt_vprint(line, sizeof(line), format, arguments);
	va_end(arguments);
	for (; line[length] != '\0'; length++)
		wide[length] = (CHAR16)(unsigned char)line[length];
	wide[length++] = '\r';
	wide[length++] = '\n';
	wide[length] = 0;
	if (firmware->ConOut != NULL)
		(void)firmware->ConOut->OutputString(firmware->ConOut, wide);
}

void screen_wait_for_key(void)
{
	EFI_BOOT_SERVICES *services = firmware->BootServices;
	EFI_EVENT events[2];
	UINTN count = 0, index;
	EFI_INPUT_KEY key;

	screen_print("Press a key to return to the firmware; it goes on by itself in %u seconds.", WAIT_SECONDS);
	if (services->CreateEvent(EVT_TIMER, TPL_APPLICATION, NULL, NULL, &events[0]) != EFI_SUCCESS)
		return;
	if (services->SetTimer(events[0], TimerRelative, WAIT_SECONDS * TICKS_PER_SECOND) == EFI_SUCCESS)
		count = 1;
	if (count > 0 && firmware->ConIn != NULL) {
		(void)firmware->ConIn->Reset(firmware->ConIn, FALSE);
		events[count++] = firmware->ConIn->WaitForKey;
	}
	if (count > 0 && services->WaitForEvent(count, events, &index) == EFI_SUCCESS && index == 1)
		(void)firmware->ConIn->ReadKeyStroke(firmware->ConIn, &key);
	(void)services->CloseEvent(events[0]);
}

const char *efi_status_name(EFI_STATUS status)
{
	static const struct { EFI_STATUS status; const char *name; } names[] = {
		{EFI_SUCCESS, "ok"},
		{EFI_LOAD_ERROR, "could not be loaded"},
		{EFI_INVALID_PARAMETER, "the firmware refused a parameter"},
		{EFI_UNSUPPORTED, "not supported by the firmware"},
		{EFI_BAD_BUFFER_SIZE, "bad buffer size"},
		{EFI_BUFFER_TOO_SMALL, "name too long"},
		{EFI_NOT_READY, "not ready"},
		{EFI_DEVICE_ERROR, "device error"},
		{EFI_OUT_OF_RESOURCES, "not enough memory below 4 GiB"},
		{EFI_VOLUME_CORRUPTED, "file system is damaged"},
		{EFI_NO_MEDIA, "no medium in the drive"},
		{EFI_MEDIA_CHANGED, "medium was changed"},
		{EFI_NOT_FOUND, "not found"},
		{EFI_ACCESS_DENIED, "access denied"},
		{EFI_NO_RESPONSE, "no response"},
		{EFI_TIMEOUT, "timed out"},
		{EFI_ABORTED, "aborted"},
		{EFI_SECURITY_VIOLATION, "refused by the firmware's security policy"},
		{EFI_CRC_ERROR, "checksum error"},
		{EFI_END_OF_FILE, "ends before the size that its folder tells"},
	};

	for (size_t i = 0; i < array_count(names); i++) {
		if (names[i].status == status)
			return names[i].name;
	}
	return "unknown firmware error";
}
