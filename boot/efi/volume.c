#include "boot/efi/volume.h"

#include "boot/boot_info_build.h"
#include "lib/string.h"

#define FOLDER_LENGTH (sizeof(TRIVET_FOLDER) - 1)
#define LONGEST_FILE_NAME 255u

union file_info_buffer {
	EFI_FILE_INFO info;
	uint8_t bytes[offsetof(EFI_FILE_INFO, FileName) + (LONGEST_FILE_NAME + 1) * sizeof(CHAR16)];
};

EFI_STATUS volume_open(struct efi_loader *loader)
{
	EFI_GUID loaded_image_guid = EFI_LOADED_IMAGE_PROTOCOL_GUID;
	EFI_GUID file_system_guid = EFI_SIMPLE_FILE_SYSTEM_PROTOCOL_GUID;
	EFI_FILE_IO_INTERFACE *file_system;
	EFI_LOADED_IMAGE *loaded_image;
	EFI_STATUS status;

	status = loader->services->HandleProtocol(loader->image, &loaded_image_guid, (void **)&loaded_image);
	if (status != EFI_SUCCESS)
		return status;
	status = loader->services->HandleProtocol(loaded_image->DeviceHandle, &file_system_guid, (void **)&file_system);
	if (status != EFI_SUCCESS)
		return status;
	return file_system->OpenVolume(file_system, &loader->volume);
}

static void append_name(CHAR16 *name, size_t *length, const char *text)
{
	for (; *text != '\0'; text++)
		name[(*length)++] = *text == '/' ? (CHAR16)'\\' : (CHAR16)(unsigned char)*text;
	name[*length] = 0;
}

/* The page count of a file; one byte more than the file would be as good, none at all would not: AllocatePages(0) fails. */
static UINTN file_pages(uint64_t size)
{
	return size == 0 ? 1 : EFI_SIZE_TO_PAGES(size);
}

static EFI_STATUS open_file(struct efi_loader *loader, const char *path, EFI_FILE_HANDLE *handle)
{
	CHAR16 name[1 + FOLDER_LENGTH + BOOT_INFO_PATH_SIZE] = {'\\'};
	size_t length = 1;

	if (strlen(path) >= BOOT_INFO_PATH_SIZE)
		return EFI_BUFFER_TOO_SMALL;
	append_name(name, &length, TRIVET_FOLDER);
	append_name(name, &length, path);
	/* The folder itself, without the separator behind it. */
	if (path[0] == '\0')
		name[length - 1] = 0;
	return loader->volume->Open(loader->volume, handle, name, EFI_FILE_MODE_READ, 0);
}

static EFI_STATUS get_size(EFI_FILE_HANDLE handle, uint64_t *size)
{
	EFI_GUID file_info_guid = EFI_FILE_INFO_ID;
	union file_info_buffer buffer;
	UINTN buffer_size = sizeof(buffer);
	EFI_STATUS status = handle->GetInfo(handle, &file_info_guid, &buffer_size, &buffer);

	if (status != EFI_SUCCESS)
		return status;
	if ((buffer.info.Attribute & EFI_FILE_DIRECTORY) != 0)
		return EFI_NOT_FOUND;
	*size = buffer.info.FileSize;
	return EFI_SUCCESS;
}

/* One read call: firmware reads large pieces many times faster than small ones. */
static EFI_STATUS read_all(struct efi_loader *loader, EFI_FILE_HANDLE handle, struct efi_file *file)
{
	UINTN read_size = file->size, pages = file_pages(file->size);
	EFI_PHYSICAL_ADDRESS address = HIGHEST_LOADER_ADDRESS;
	EFI_STATUS status;

	if (file->size > HIGHEST_LOADER_ADDRESS)
		return EFI_OUT_OF_RESOURCES;
	status = loader->services->AllocatePages(AllocateMaxAddress, EfiLoaderData, pages, &address);
	if (status != EFI_SUCCESS)
		return EFI_OUT_OF_RESOURCES;
	file->base = address;
	status = handle->Read(handle, &read_size, (void *)(uintptr_t)address);
	if (status == EFI_SUCCESS && read_size != file->size)
		status = EFI_END_OF_FILE;
	if (status != EFI_SUCCESS) {
		volume_free_file(loader, file);
		return status;
	}
	memset((void *)(uintptr_t)(address + file->size), 0, pages * PAGE_SIZE - file->size);
	return EFI_SUCCESS;
}

EFI_STATUS volume_read_file(struct efi_loader *loader, const char *path, struct efi_file *file)
{
	EFI_FILE_HANDLE handle;
	EFI_STATUS status = open_file(loader, path, &handle);

	if (status != EFI_SUCCESS)
		return status;
	status = get_size(handle, &file->size);
	if (status == EFI_SUCCESS)
		status = read_all(loader, handle, file);
	(void)handle->Close(handle);
	return status;
}

void volume_free_file(struct efi_loader *loader, const struct efi_file *file)
{
	(void)loader->services->FreePages(file->base, file_pages(file->size));
}

EFI_STATUS volume_open_folder(struct efi_loader *loader, EFI_FILE_HANDLE *folder)
{
	return open_file(loader, "", folder);
}

/* Names come in UCS-2; what is not ASCII becomes a character that boot_path_copy() refuses. */
static void copy_name(char *name, const CHAR16 *wide)
{
	char narrow[BOOT_INFO_PATH_SIZE];
	size_t length = 0;

	for (; wide[length] != 0 && length < sizeof(narrow); length++)
		narrow[length] = wide[length] < 0x80 ? (char)wide[length] : '\x7f';
	if (length == sizeof(narrow) || !boot_path_copy(name, (struct ini_text){narrow, length}))
		name[0] = '\0';
}

bool volume_next_name(EFI_FILE_HANDLE folder, char *name)
{
	union file_info_buffer buffer;
	UINTN size = sizeof(buffer);

	memset(&buffer, 0, sizeof(buffer));
	name[0] = '\0';
	if (folder->Read(folder, &size, &buffer) != EFI_SUCCESS || size == 0)
		return false;
	if ((buffer.info.Attribute & EFI_FILE_DIRECTORY) == 0)
		copy_name(name, buffer.info.FileName);
	return true;
}

void volume_close_folder(EFI_FILE_HANDLE folder)
{
	(void)folder->Close(folder);
}
