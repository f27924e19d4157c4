#include "runtime/guest.h"

#include "runtime/cpu.h"

#define VECTOR_CODE_SIZE 16u
#define CODE_SELECTOR 0x08u
#define INTERRUPT_GATE 0x8e00u
#define EXCEPTIONS 32u

struct gate {
	uint16_t offset_low, selector, attributes, offset_middle;
	uint32_t offset_high, reserved;
};

extern const uint8_t guest_vectors[256][VECTOR_CODE_SIZE];
extern const uint8_t guest_ignore_interrupt[];
void guest_interrupt(struct guest_frame *frame);
void guest_start(uint32_t magic, uint32_t information);
void guest_try_call(void (*code)(uint64_t first, uint64_t second), uint64_t first, uint64_t second);

static struct gate idt[256];
static guest_handler handlers[256];
const struct multiboot_information *guest_information;
uint64_t guest_fault_resume, guest_fault_stack; /* exceptions.asm sets them while a fault may come */
uint64_t guest_fault_error_code, guest_fault_address, guest_fault_rip;
static int fault_vector;

#define MULTIBOOT_BOOTLOADER_MAGIC 0x2badb002u

static void set_gate(unsigned vector, uint64_t offset)
{
	idt[vector] = (struct gate){ (uint16_t)offset, CODE_SELECTOR, INTERRUPT_GATE, (uint16_t)(offset >> 16), (uint32_t)(offset >> 32), 0 };
}

void guest_interrupts_init(void)
{
	struct { uint16_t limit; uint64_t base; } __attribute__((packed)) pointer = { sizeof(idt) - 1, (uint64_t)idt };

	for (unsigned i = 0; i < 256; i++)
		set_gate(i, (uint64_t)guest_vectors[i]);
	__asm__ volatile("lidt %0" : : "m"(pointer));
}

void guest_interrupts_ignore(void)
{
	for (unsigned i = 0; i < 256; i++)
		set_gate(i, (uint64_t)guest_ignore_interrupt);
}

void guest_handle(unsigned vector, guest_handler handler) { handlers[vector] = handler; }

void guest_interrupt(struct guest_frame *frame)
{
	if (handlers[frame->vector]) {
		handlers[frame->vector](frame);
		return;
	}
	if (frame->vector < EXCEPTIONS && guest_fault_resume) {
		fault_vector = (int)frame->vector;
		guest_fault_error_code = frame->error_code;
		guest_fault_address = read_cr2();
		guest_fault_rip = frame->rip;
		frame->rip = guest_fault_resume;
		frame->rsp = guest_fault_stack;
		guest_fault_resume = 0;
		return;
	}
	guest_print_init();
	guest_fail("unexpected vector %u error %llx rip %llx cr2 %llx", (unsigned)frame->vector, (unsigned long long)frame->error_code,
		   (unsigned long long)frame->rip, (unsigned long long)read_cr2());
	guest_finish();
}

int guest_try(void (*code)(uint64_t first, uint64_t second), uint64_t first, uint64_t second)
{
	fault_vector = NO_FAULT;
	guest_try_call(code, first, second);
	return fault_vector;
}

void guest_start(uint32_t magic, uint32_t information)
{
	guest_print_init();
	guest_interrupts_init();
	guest_check(magic == MULTIBOOT_BOOTLOADER_MAGIC, "EAX is %x at the start, no Multiboot loader's", magic);
	guest_information = (const struct multiboot_information *)(uint64_t)information;
	guest_main();
	guest_finish();
}
