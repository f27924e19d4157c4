/* IN and OUT of every width at every port but those that end the run: nothing may stop the host or this VM. */
#include "runtime/guest.h"

#include "runtime/cpu.h"

const char guest_name[] = "port_sweep";

/* Ports whose bytes stop the VM or put a byte on the console. */
static const struct { uint16_t first, last; } excluded[] = {
	{ 0x64, 0x64 }, { 0x60, 0x60 }, { 0x92, 0x92 }, { 0xf4, 0xf7 }, { 0x3f8, 0x3ff }, { 0x604, 0x605 }, { 0xcf8, 0xcff },
};

static int is_excluded(unsigned first, unsigned size)
{
	for (size_t i = 0; i < sizeof(excluded) / sizeof(excluded[0]); i++) {
		if (first <= excluded[i].last && first + size > excluded[i].first)
			return 1;
	}
	return 0;
}

static void visit(uint16_t port)
{
	in8(port);
	if (!is_excluded(port, 1)) {
		out8(port, 0xff);
		out8(port, 0x00);
	}
	if (port % 2 == 0 && !is_excluded(port, 2)) {
		in16(port);
		out16(port, 0xffff);
	}
	if (port % 4 == 0 && !is_excluded(port, 4)) {
		in32(port);
		out32(port, 0xffffffff);
	}
}

/* String forms over a port that exists and one that does not. */
static void strings(void)
{
	uint8_t buffer[64];
	void *to = buffer;
	const void *from = buffer;
	uint64_t count = sizeof(buffer);

	memset(buffer, 0, sizeof(buffer));
	__asm__ volatile("rep insb" : "+D"(to), "+c"(count) : "d"((uint16_t)0x2345) : "memory");
	guest_check(count == 0 && to == buffer + sizeof(buffer), "REP INSB did not run to its end");
	for (size_t i = 0; i < sizeof(buffer); i++)
		guest_check(buffer[i] == 0xff, "a port that does not exist reads %x", buffer[i]);
	count = sizeof(buffer) / 4;
	__asm__ volatile("rep outsl" : "+S"(from), "+c"(count) : "d"((uint16_t)0x2344) : "memory");
	guest_check(count == 0 && from == buffer + sizeof(buffer), "REP OUTSL did not run to its end");
	to = buffer + 63;
	count = 64;
	__asm__ volatile("std; rep insb; cld" : "+D"(to), "+c"(count) : "d"((uint16_t)0x71) : "memory");
	guest_check((uint64_t)to == (uint64_t)buffer - 1, "REP INSB downwards ended at the wrong address");
	count = 0;
	to = buffer;
	__asm__ volatile("rep insb" : "+D"(to), "+c"(count) : "d"((uint16_t)0x71) : "memory");
	guest_check(to == buffer && count == 0, "REP INSB of nothing moved something");
}

static void check_known(void)
{
	__asm__ volatile("outl %%eax, %%dx" : : "a"(0x80000000u), "d"((uint16_t)0xcf8));
	guest_check(in32(0xcf8) == 0x80000000u, "PCI configuration address reads %x", in32(0xcf8));
	guest_check(in32(0xcfc) != 0xffffffffu, "no PCI host bridge");
	guest_check(in16(0x1234) == 0xffff && in32(0x1234) == 0xffffffffu, "a port that does not exist does not read as ones");
}

void guest_main(void)
{
	/* Every port, whether a device is known there or not. */
	for (unsigned port = 0; port <= 0xffff; port++)
		visit((uint16_t)port);
	/* Accesses that cross the last port. */
	in32(0xfffd);
	out32(0xfffe, 0);
	strings();
	check_known();
}
