/* Any bytes as an executable: what elf_parse() accepts can be loaded without leaving file or destination. */
#include "lib/elf.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Copies what a loader would copy; ASan sees a byte beyond the file. */
static void load_segment(const uint8_t *data, const struct elf_segment *segment)
{
	uint8_t *memory = malloc(segment->file_size + 1);

	if (memory == NULL)
		abort();
	memcpy(memory, data + segment->file_offset, segment->file_size);
	memory[segment->file_size] = 0;
	free(memory);
}

static void check_segment(const struct elf_image *image, const struct elf_segment *segment)
{
	if (segment->memory_size == 0 || segment->file_size > segment->memory_size)
		abort();
	if (segment->physical_address < image->physical_base)
		abort();
	if (segment->memory_size > image->physical_end - segment->physical_address)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct elf_image image;
	const char *why = NULL;
	uint64_t end, entry;

	memset(&image, 0xa5, sizeof(image));
	if (elf_parse(data, size, &image, &why) != STATUS_OK) {
		if (why == NULL || why[0] == '\0')
			abort();
		return 0;
	}
	if (image.segment_count == 0 || image.segment_count > ELF_MAX_SEGMENTS || image.physical_end <= image.physical_base)
		abort();
	end = image.physical_base;
	for (unsigned i = 0; i < image.segment_count; i++) {
		if (image.segments[i].physical_address < end)
			abort();
		check_segment(&image, &image.segments[i]);
		load_segment(data, &image.segments[i]);
		end = image.segments[i].physical_address + image.segments[i].memory_size;
	}
	if (end != image.physical_end)
		abort();
	if (elf_entry_physical(&image, &entry) == STATUS_OK && (entry < image.physical_base || entry >= image.physical_end))
		abort();
	return 0;
}
