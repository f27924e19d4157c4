/* The symbols that linker.ld defines around the hypervisor's sections, around a little memory of the test program.
 * __data_start is missing: the C library's start-up file has one. */
__asm__(".pushsection .data, \"aw\", @progbits\n"
	".balign 4096\n"
	".globl __image_start, __text_start, __text_end, __rodata_start, __rodata_end, __data_end, __image_end\n"
	"__image_start:\n"
	"__text_start: .skip 0x3000\n"
	"__text_end:\n"
	"__rodata_start: .skip 0x2000\n"
	"__rodata_end:\n"
	".skip 0x4000\n"
	"__data_end:\n"
	"__image_end:\n"
	".popsection\n");

typedef int fake_image_has_no_c_objects;
