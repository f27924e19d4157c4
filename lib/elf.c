#include "lib/elf.h"

#include "lib/checked.h"
#include "lib/string.h"

#define ELF_TYPE_EXECUTABLE 2u
#define ELF_MACHINE_386 3u
#define ELF_MACHINE_X86_64 62u
#define ELF_SEGMENT_LOAD 1u
#define ELF_CLASS_32 1u
#define ELF_CLASS_64 2u
#define ELF_DATA_LITTLE_ENDIAN 1u
#define ELF_VERSION_CURRENT 1u
#define ELF_IDENTIFICATION_SIZE 16u
/* No executable for this machine has more; a bound for the work that a hostile file can ask for. */
#define ELF_MAX_PROGRAM_HEADERS 256u

struct elf32_header {
	uint8_t identification[ELF_IDENTIFICATION_SIZE];
	uint16_t type, machine;
	uint32_t version, entry, program_header_offset, section_header_offset, flags;
	uint16_t header_size, program_header_size, program_header_count;
	uint16_t section_header_size, section_header_count, section_name_index;
} packed_struct;

struct elf64_header {
	uint8_t identification[ELF_IDENTIFICATION_SIZE];
	uint16_t type, machine;
	uint32_t version;
	uint64_t entry, program_header_offset, section_header_offset;
	uint32_t flags;
	uint16_t header_size, program_header_size, program_header_count;
	uint16_t section_header_size, section_header_count, section_name_index;
} packed_struct;

struct elf32_program_header {
	uint32_t type, offset, virtual_address, physical_address, file_size, memory_size, flags, alignment;
} packed_struct;

struct elf64_program_header {
	uint32_t type, flags;
	uint64_t offset, virtual_address, physical_address, file_size, memory_size, alignment;
} packed_struct;

/* What both classes' file headers say, in one form. */
struct elf_header {
	uint16_t type, machine;
	uint64_t entry, program_header_offset;
	uint16_t program_header_size, program_header_count;
};

static enum status refuse(enum status status, const char **why, const char *text)
{
	*why = text;
	return status;
}

static enum status check_identification(const uint8_t *file, uint64_t size, const char **why)
{
	static const uint8_t magic[4] = {0x7f, 'E', 'L', 'F'};

	if (size < ELF_IDENTIFICATION_SIZE)
		return refuse(STATUS_TRUNCATED, why, "file ends within the ELF identification (16 bytes expected)");
	if (memcmp(file, magic, sizeof(magic)) != 0)
		return refuse(STATUS_BAD_FORMAT, why, "no ELF magic (7f 45 4c 46 expected at offset 0)");
	if (file[5] != ELF_DATA_LITTLE_ENDIAN || file[6] != ELF_VERSION_CURRENT)
		return refuse(STATUS_BAD_FORMAT, why, "ELF is not little-endian version 1");
	if (file[4] != ELF_CLASS_32 && file[4] != ELF_CLASS_64)
		return refuse(STATUS_BAD_FORMAT, why, "ELF class is neither 32 nor 64 bit");
	return STATUS_OK;
}

/* The structures are copied out, since the file need not be aligned. */
static enum status read_header(const uint8_t *file, uint64_t size, bool is_64_bit, struct elf_header *header,
			       const char **why)
{
	struct elf32_header header_32;
	struct elf64_header header_64;

	if (size < (is_64_bit ? sizeof(header_64) : sizeof(header_32)))
		return refuse(STATUS_TRUNCATED, why, "file ends within the ELF header");
	if (is_64_bit) {
		memcpy(&header_64, file, sizeof(header_64));
		*header = (struct elf_header){
			header_64.type, header_64.machine, header_64.entry, header_64.program_header_offset,
			header_64.program_header_size, header_64.program_header_count,
		};
	} else {
		memcpy(&header_32, file, sizeof(header_32));
		*header = (struct elf_header){
			header_32.type, header_32.machine, header_32.entry, header_32.program_header_offset,
			header_32.program_header_size, header_32.program_header_count,
		};
	}
	return STATUS_OK;
}

static enum status check_header(const struct elf_header *header, uint64_t size, bool is_64_bit, const char **why)
{
	uint64_t smallest = is_64_bit ? sizeof(struct elf64_program_header) : sizeof(struct elf32_program_header);

	if (header->machine != (is_64_bit ? ELF_MACHINE_X86_64 : ELF_MACHINE_386))
		return refuse(STATUS_UNSUPPORTED, why, "ELF is for another machine (386 or x86-64 expected)");
	if (header->type != ELF_TYPE_EXECUTABLE)
		return refuse(STATUS_UNSUPPORTED, why, "ELF is not an executable with fixed addresses (ET_EXEC expected)");
	if (header->program_header_count == 0)
		return refuse(STATUS_NOT_FOUND, why, "ELF has no program headers");
	if (header->program_header_count > ELF_MAX_PROGRAM_HEADERS)
		return refuse(STATUS_UNSUPPORTED, why, "ELF has more than 256 program headers");
	if (header->program_header_size < smallest)
		return refuse(STATUS_BAD_FORMAT, why, "ELF program headers are smaller than their class demands");
	if (!range_within(header->program_header_offset,
			  (uint64_t)header->program_header_size * header->program_header_count, size))
		return refuse(STATUS_TRUNCATED, why, "file ends within the ELF program headers");
	return STATUS_OK;
}

/* Return: the type of the program header at @bytes. */
static uint32_t read_program_header(const uint8_t *bytes, bool is_64_bit, struct elf_segment *segment)
{
	struct elf32_program_header header_32;
	struct elf64_program_header header_64;

	if (is_64_bit) {
		memcpy(&header_64, bytes, sizeof(header_64));
		*segment = (struct elf_segment){header_64.offset, header_64.file_size, header_64.memory_size,
						header_64.physical_address, header_64.virtual_address, header_64.flags};
		return header_64.type;
	}
	memcpy(&header_32, bytes, sizeof(header_32));
	*segment = (struct elf_segment){header_32.offset, header_32.file_size, header_32.memory_size,
					header_32.physical_address, header_32.virtual_address, header_32.flags};
	return header_32.type;
}

static enum status check_segment(const struct elf_segment *segment, uint64_t size, bool is_64_bit, const char **why)
{
	/* The last byte may be the highest of the address space, but none may lie behind it. */
	uint64_t highest = is_64_bit ? UINT64_MAX : UINT32_MAX;

	if (segment->file_size > segment->memory_size)
		return refuse(STATUS_OUT_OF_RANGE, why, "ELF segment has more bytes in the file than in memory");
	if (!range_within(segment->file_offset, segment->file_size, size))
		return refuse(STATUS_TRUNCATED, why, "file ends within an ELF segment");
	if (segment->memory_size - 1 > highest - segment->virtual_address)
		return refuse(STATUS_OUT_OF_RANGE, why, "ELF segment's virtual addresses wrap around");
	/* physical_end is exclusive and must be a number, too. */
	if (segment->memory_size > highest - segment->physical_address)
		return refuse(STATUS_OUT_OF_RANGE, why, "ELF segment's physical addresses wrap around");
	return STATUS_OK;
}

/* Keeps the segments sorted by physical address. */
static enum status insert_segment(struct elf_image *image, const struct elf_segment *segment, const char **why)
{
	unsigned place = image->segment_count;

	if (place == ELF_MAX_SEGMENTS)
		return refuse(STATUS_UNSUPPORTED, why, "ELF has more than 16 segments to load");
	while (place > 0 && image->segments[place - 1].physical_address > segment->physical_address) {
		image->segments[place] = image->segments[place - 1];
		place--;
	}
	image->segments[place] = *segment;
	image->segment_count++;
	return STATUS_OK;
}

static enum status check_overlap(const struct elf_image *image, const char **why)
{
	for (unsigned i = 1; i < image->segment_count; i++) {
		const struct elf_segment *lower = &image->segments[i - 1], *upper = &image->segments[i];

		if (upper->physical_address - lower->physical_address < lower->memory_size)
			return refuse(STATUS_EXISTS, why, "ELF segments overlap in physical memory");
	}
	return STATUS_OK;
}

static enum status read_segments(const uint8_t *file, uint64_t size, const struct elf_header *header,
				 struct elf_image *image, const char **why)
{
	for (unsigned i = 0; i < header->program_header_count; i++) {
		const uint8_t *bytes = file + header->program_header_offset + (uint64_t)i * header->program_header_size;
		struct elf_segment segment;
		enum status status;

		if (read_program_header(bytes, image->is_64_bit, &segment) != ELF_SEGMENT_LOAD || segment.memory_size == 0)
			continue;
		status = check_segment(&segment, size, image->is_64_bit, why);
		if (status == STATUS_OK)
			status = insert_segment(image, &segment, why);
		if (status != STATUS_OK)
			return status;
	}
	if (image->segment_count == 0)
		return refuse(STATUS_NOT_FOUND, why, "ELF has no segment to load");
	return check_overlap(image, why);
}

enum status elf_parse(const void *file, uint64_t size, struct elf_image *image, const char **why)
{
	const uint8_t *bytes = file;
	const struct elf_segment *last;
	struct elf_header header;
	enum status status;

	*why = "";
	status = check_identification(bytes, size, why);
	if (status != STATUS_OK)
		return status;
	image->is_64_bit = bytes[4] == ELF_CLASS_64;
	image->segment_count = 0;
	status = read_header(bytes, size, image->is_64_bit, &header, why);
	if (status == STATUS_OK)
		status = check_header(&header, size, image->is_64_bit, why);
	if (status == STATUS_OK)
		status = read_segments(bytes, size, &header, image, why);
	if (status != STATUS_OK)
		return status;
	/* Sorted and not overlapping: the last one ends highest. */
	last = &image->segments[image->segment_count - 1];
	image->entry = header.entry;
	image->physical_base = image->segments[0].physical_address;
	image->physical_end = last->physical_address + last->memory_size;
	return STATUS_OK;
}

enum status elf_entry_physical(const struct elf_image *image, uint64_t *entry)
{
	for (unsigned i = 0; i < image->segment_count; i++) {
		const struct elf_segment *segment = &image->segments[i];

		if (image->entry - segment->virtual_address < segment->memory_size) {
			*entry = image->entry - segment->virtual_address + segment->physical_address;
			return STATUS_OK;
		}
	}
	for (unsigned i = 0; i < image->segment_count; i++) {
		const struct elf_segment *segment = &image->segments[i];

		if (image->entry - segment->physical_address < segment->memory_size) {
			*entry = image->entry;
			return STATUS_OK;
		}
	}
	return STATUS_OUT_OF_RANGE;
}
