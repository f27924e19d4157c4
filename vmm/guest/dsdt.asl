/*
 * What a guest cannot find out by itself about its PC: the root of the one PCI bus, the devices of the ISA bus, and how to
 * power off. Port numbers come from vmm/platform.h.
 *
 * ACPI "ACPI-Defined Devices and Device-Specific Objects", "\_Sx (System States)".
 */
#include "platform_asl.h"

DefinitionBlock ("", "DSDT", 2, "TRIVET", "TRIVETPC", 1)
{
	Name (\_S5, Package () { PLATFORM_SLEEP_TYPE_S5, 0, 0, 0 })

	Scope (\_SB)
	{
		Device (PCI0)
		{
			Name (_HID, EisaId ("PNP0A03"))
			Name (_UID, 0)
			Name (_BBN, 0)
			Name (_CRS, ResourceTemplate ()
			{
				WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode, 0, 0, 0, 0, 1)
				IO (Decode16, PLATFORM_PCI_ADDRESS_PORT, PLATFORM_PCI_ADDRESS_PORT, 1, 8)
				WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange, 0, 0x0000, 0x0cf7, 0, 0x0cf8)
				WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange, 0, 0x0d00, 0xffff, 0, 0xf300)
				DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable, ReadWrite, 0,
					PLATFORM_PCI_WINDOW_BASE, 0xfebfffff, 0, 0x3ec00000)
				/* Above RAM: acpi_tables.c writes where. */
				QWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, Cacheable, ReadWrite, 0,
					0x800000000, 0x17ffffffff, 0, 0x1000000000)
			})

			/* Functions have INTA# at most, each device an input of its own of the I/O APIC. */
			Name (_PRT, Package ()
			{
				Package () { 0x0001ffff, 0, 0, 17 },
				Package () { 0x0002ffff, 0, 0, 18 },
				Package () { 0x0003ffff, 0, 0, 19 },
				Package () { 0x0004ffff, 0, 0, 20 },
				Package () { 0x0005ffff, 0, 0, 21 },
				Package () { 0x0006ffff, 0, 0, 22 },
				Package () { 0x0007ffff, 0, 0, 23 },
				Package () { 0x0008ffff, 0, 0, 16 },
			})

			Device (PIC0)
			{
				Name (_HID, EisaId ("PNP0000"))
				Name (_CRS, ResourceTemplate ()
				{
					IO (Decode16, 0x20, 0x20, 1, 2)
					IO (Decode16, 0xa0, 0xa0, 1, 2)
					IRQNoFlags () { 2 }
				})
			}

			Device (TMR0)
			{
				Name (_HID, EisaId ("PNP0100"))
				Name (_CRS, ResourceTemplate ()
				{
					IO (Decode16, PLATFORM_PIT_PORT, PLATFORM_PIT_PORT, 1, 4)
					IRQNoFlags () { 0 }
				})
			}

			Device (RTC0)
			{
				Name (_HID, EisaId ("PNP0B00"))
				Name (_CRS, ResourceTemplate ()
				{
					IO (Decode16, PLATFORM_RTC_PORT, PLATFORM_RTC_PORT, 1, 2)
					IRQNoFlags () { 8 }
				})
			}

			Device (COM1)
			{
				Name (_HID, EisaId ("PNP0501"))
				Name (_UID, 1)
				Name (_STA, 0x0f)
				Name (_CRS, ResourceTemplate ()
				{
					IO (Decode16, PLATFORM_UART_PORT, PLATFORM_UART_PORT, 1, 8)
					IRQNoFlags () { 4 }
				})
			}
		}
	}
}
