#include "runtime/apic.h"

#include "runtime/cpu.h"

#define APIC_BASE_ENABLE (1ull << 11)
#define APIC_BASE_X2APIC (1ull << 10)
#define SVR_ENABLE 0x100u
#define SPURIOUS_VECTOR 0xffu

static bool in_x2apic_mode;

uint32_t apic_read(uint32_t offset)
{
	return in_x2apic_mode ? (uint32_t)rdmsr(MSR_X2APIC + offset / 16) : mmio_read(LOCAL_APIC + offset);
}

void apic_write(uint32_t offset, uint32_t value)
{
	if (in_x2apic_mode)
		wrmsr(MSR_X2APIC + offset / 16, value);
	else
		mmio_write(LOCAL_APIC + offset, value);
}

void apic_send(uint32_t low, uint32_t destination)
{
	if (in_x2apic_mode) {
		wrmsr(MSR_X2APIC + APIC_ICR_LOW / 16, low | (uint64_t)destination << 32);
		return;
	}
	apic_write(APIC_ICR_HIGH, destination << 24);
	apic_write(APIC_ICR_LOW, low);
}

void apic_end_of_interrupt(void) { apic_write(APIC_EOI, 0); }

void apic_enable(bool x2apic)
{
	uint64_t base = rdmsr(MSR_APIC_BASE) | APIC_BASE_ENABLE;

	in_x2apic_mode = x2apic;
	wrmsr(MSR_APIC_BASE, base | (x2apic ? APIC_BASE_X2APIC : 0));
	apic_write(APIC_SVR, SVR_ENABLE | SPURIOUS_VECTOR);
	apic_write(APIC_TPR, 0);
	apic_write(APIC_LVT_LINT0, LVT_EXTINT);
	apic_write(APIC_TIMER_DIVIDE, APIC_DIVIDE_BY_1);
}

uint32_t io_apic_read(uint8_t index)
{
	mmio_write(IO_APIC_SELECT, index);
	return mmio_read(IO_APIC_WINDOW);
}

void io_apic_write(uint8_t index, uint32_t value)
{
	mmio_write(IO_APIC_SELECT, index);
	mmio_write(IO_APIC_WINDOW, value);
}

void io_apic_route(unsigned pin, uint64_t entry)
{
	io_apic_write((uint8_t)(0x10 + 2 * pin), 0x10000); /* masked while it changes */
	io_apic_write((uint8_t)(0x11 + 2 * pin), (uint32_t)(entry >> 32));
	io_apic_write((uint8_t)(0x10 + 2 * pin), (uint32_t)entry);
}

void pic_init(uint8_t base, uint16_t open)
{
	out8(0x20, 0x11);
	out8(0xa0, 0x11);
	out8(0x21, base);
	out8(0xa1, (uint8_t)(base + 8));
	out8(0x21, 4);
	out8(0xa1, 2);
	out8(0x21, 1);
	out8(0xa1, 1);
	out8(0x21, (uint8_t)~open);
	out8(0xa1, (uint8_t)(~open >> 8));
}

void pit_start(uint16_t divider)
{
	out8(0x43, divider ? 0x34 : 0x38); /* a one-shot without a gate never counts down again */
	out8(0x40, (uint8_t)divider);
	if (divider)
		out8(0x40, (uint8_t)(divider >> 8));
}

uint64_t tsc_hertz(void)
{
	struct cpuid_answer crystal = cpuid(0x15, 0);

	return crystal.eax ? (uint64_t)crystal.ecx * crystal.ebx / crystal.eax : 0;
}
