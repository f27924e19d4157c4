/*
 * Registers of configuration space and of the capabilities that are used here. PCI Local Bus Specification,
 * "Configuration Space"; PCI Express Base Specification, "Configuration Space Registers"; Single Root I/O
 * Virtualization, "Configuration".
 */
#pragma once

#include "lib/bits.h"

enum {
	PCI_VENDOR = 0x00,
	PCI_DEVICE = 0x02,
	PCI_COMMAND = 0x04,
	PCI_STATUS = 0x06,
	PCI_REVISION = 0x08,
	PCI_INTERFACE = 0x09,
	PCI_SUBCLASS = 0x0a,
	PCI_CLASS = 0x0b,
	PCI_CACHE_LINE_SIZE = 0x0c,
	PCI_LATENCY_TIMER = 0x0d,
	PCI_HEADER_TYPE = 0x0e,
	PCI_BARS = 0x10,
	PCI_CARDBUS_CAPABILITIES = 0x14,
	PCI_SECONDARY_BUS = 0x19,
	PCI_SUBORDINATE_BUS = 0x1a,
	PCI_SUBSYSTEM_VENDOR = 0x2c,
	PCI_SUBSYSTEM = 0x2e,
	PCI_ROM = 0x30,
	PCI_CAPABILITIES = 0x34,
	PCI_BRIDGE_ROM = 0x38,
	PCI_INTERRUPT_LINE = 0x3c,
	PCI_INTERRUPT_PIN = 0x3d,
	PCI_BRIDGE_CONTROL = 0x3e,
	PCI_DEVICE_SPECIFIC = 0x40, /* first place for a capability */
	PCI_EXTENDED = 0x100,       /* first place for an extended capability */
};

#define PCI_VENDOR_NONE 0xffffu
#define PCI_VENDOR_NOT_READY 0x0001u /* "configuration request retry", where root ports show it */

#define PCI_COMMAND_PORTS BIT(0)
#define PCI_COMMAND_MEMORY BIT(1)
#define PCI_COMMAND_BUS_MASTER BIT(2)
#define PCI_COMMAND_INTERRUPT_DISABLE BIT(10) /* of INTA#..INTD# */
#define PCI_STATUS_CAPABILITIES BIT(4)
#define PCI_HEADER_MULTI_FUNCTION 0x80u
#define PCI_HEADER_LAYOUT 0x7fu
#define PCI_BAR_IS_PORT BIT(0)
#define PCI_BAR_IS_PREFETCHABLE BIT(3)
#define PCI_BAR_TYPE_64 2u /* bits 2:1 */
#define PCI_ROM_ENABLE BIT(0)
#define PCI_BRIDGE_CONTROL_RESET BIT(6) /* of the secondary bus */

/* Capabilities: registers as offsets from the capability. */
#define PCI_CAPABILITY_POWER 0x01u
#define PCI_CAPABILITY_MSI 0x05u
#define PCI_CAPABILITY_EXPRESS 0x10u
#define PCI_CAPABILITY_MSIX 0x11u
#define PCI_CAPABILITY_ADVANCED 0x13u

#define PCI_MSI_CONTROL 2u
#define PCI_MSI_ENABLE BIT(0)
#define PCI_MSIX_CONTROL 2u
#define PCI_MSIX_ENABLE BIT(15)

#define PCI_POWER_CONTROL 4u
#define PCI_POWER_STATE 3u               /* field; 0: D0, 3: D3hot */
#define PCI_POWER_NO_SOFT_RESET BIT(3)

#define PCI_EXPRESS_CAPABILITIES 2u      /* [3:0]: version, [7:4]: enum pci_express_type */
#define PCI_EXPRESS_DEVICE_CAPABILITIES 4u
#define PCI_EXPRESS_DEVICE_CONTROL 8u
#define PCI_EXPRESS_DEVICE_STATUS 10u
#define PCI_EXPRESS_LINK_CAPABILITIES 12u
#define PCI_EXPRESS_LINK_CONTROL 16u
#define PCI_EXPRESS_LINK_STATUS 18u
#define PCI_EXPRESS_ROOT_CONTROL 28u
#define PCI_EXPRESS_ROOT_CAPABILITIES 30u
#define PCI_EXPRESS_DEVICE_CAPABILITIES_2 36u
#define PCI_EXPRESS_DEVICE_CONTROL_2 40u
#define PCI_EXPRESS_CAN_FLR BIT(28)      /* device capabilities */
#define PCI_EXPRESS_PHANTOM_FUNCTIONS BIT(9) /* device control: requests show unused function numbers as well */
#define PCI_EXPRESS_START_FLR BIT(15)    /* device control */
#define PCI_EXPRESS_PENDING BIT(5)       /* device status: requests that are not answered yet */
#define PCI_EXPRESS_TELLS_LINK BIT(20)    /* link capabilities: PCI_EXPRESS_LINK_IS_UP is valid */
#define PCI_EXPRESS_LINK_IS_UP BIT(13)    /* link status */
#define PCI_EXPRESS_CAN_SHOW_RETRY BIT(0) /* root capabilities: PCI_VENDOR_NOT_READY */
#define PCI_EXPRESS_SHOW_RETRY BIT(4)     /* root control */
#define PCI_EXPRESS_ARI_FORWARDING BIT(5) /* device capabilities 2 and control 2 */

#define PCI_ADVANCED_CAPABILITIES 3u
#define PCI_ADVANCED_CONTROL 4u
#define PCI_ADVANCED_STATUS 5u
#define PCI_ADVANCED_CAN_FLR BIT(1)
#define PCI_ADVANCED_START_FLR BIT(0)
#define PCI_ADVANCED_PENDING BIT(0)

/* Extended capabilities. */
#define PCI_EXTENDED_ERRORS 0x0001u
#define PCI_EXTENDED_ACS 0x000du
#define PCI_EXTENDED_ARI 0x000eu
#define PCI_EXTENDED_ATS 0x000fu
#define PCI_EXTENDED_SRIOV 0x0010u
#define PCI_EXTENDED_PAGE_REQUESTS 0x0013u
#define PCI_EXTENDED_RESIZABLE_BAR 0x0015u
#define PCI_EXTENDED_LATENCY 0x0018u
#define PCI_EXTENDED_PASID 0x001bu
#define PCI_EXTENDED_LINK_SUBSTATES 0x001eu

#define PCI_ACS_CAPABILITIES 4u
#define PCI_ACS_CONTROL 6u
#define PCI_ACS_SOURCE_VALIDATION BIT(0)
#define PCI_ACS_TRANSLATION_BLOCKING BIT(1)
#define PCI_ACS_REQUEST_REDIRECT BIT(2)
#define PCI_ACS_COMPLETION_REDIRECT BIT(3)
#define PCI_ACS_UPSTREAM_FORWARDING BIT(4)
#define PCI_ACS_EGRESS_CONTROL BIT(5)
#define PCI_ACS_DIRECT_TRANSLATED BIT(6)

#define PCI_ATS_CAPABILITIES 4u          /* [4:0]: depth of the invalidation queue; 0: 32 */
#define PCI_ATS_CONTROL 6u
#define PCI_ATS_ENABLE BIT(15)

#define PCI_PAGE_REQUESTS_CONTROL 4u
#define PCI_PAGE_REQUESTS_ENABLE BIT(0)
#define PCI_PASID_CONTROL 6u
#define PCI_PASID_ENABLE BIT(0)

#define PCI_SRIOV_CONTROL 8u
#define PCI_SRIOV_TOTAL_VFS 14u
#define PCI_SRIOV_COUNT 16u              /* NumVFs */
#define PCI_SRIOV_FIRST_OFFSET 20u
#define PCI_SRIOV_STRIDE 22u
#define PCI_SRIOV_DEVICE 26u
#define PCI_SRIOV_PAGE_SIZES 28u /* supported; then PCI_SRIOV_PAGE_SIZE, the one in use: bit n is 2^(n + 12) bytes */
#define PCI_SRIOV_PAGE_SIZE 32u
#define PCI_SRIOV_BARS 36u
#define PCI_SRIOV_ENABLE BIT(0)
#define PCI_SRIOV_MEMORY BIT(3)
#define PCI_SRIOV_ARI BIT(4)
