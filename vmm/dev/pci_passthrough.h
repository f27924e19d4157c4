/*
 * A function of the machine on a VM's PCI bus; private to vmm/dev/pci_passthrough*.c. All of it with the VM's device
 * lock held, or while the VM does not run.
 */
#pragma once

#include "arch/x86/log.h"
#include "drivers/pci/pci.h"
#include "vmm/config.h"
#include "vmm/dev/pci_host.h"
#include "vmm/io_device.h"
#include "vmm/passthrough_interrupt.h"
#include "vmm/vcpu_timer.h"

#define PCI_PASSTHROUGH_SPACE 256u       /* bytes of configuration space; the guest's bus has no more */
#define PCI_PASSTHROUGH_MAX_MESSAGES 128u /* MSI-X entries that guests see; those above stay masked */
#define PCI_PASSTHROUGH_MESSAGE_SIZE 16u /* an MSI-X entry [bytes] */
#define PCI_PASSTHROUGH_ROM PCI_MAX_BARS  /* index of the expansion ROM among the BARs */
#define PCI_PASSTHROUGH_BARS (PCI_MAX_BARS + 1)
#define PCI_PASSTHROUGH_PIECES 3u /* before, in and behind the pages with the MSI-X table */

/* What a write to a byte of configuration space has an effect on. */
enum pci_passthrough_effect { PCI_EFFECT_NONE, PCI_EFFECT_COMMAND, PCI_EFFECT_BARS, PCI_EFFECT_MSI, PCI_EFFECT_MSIX };

/* The guest's configuration space, byte by byte: what it shows and where writes go. Made from const rows. */
struct pci_passthrough_config {
	uint8_t value[PCI_PASSTHROUGH_SPACE];      /* what is shown of bits that do not come from the function; */
	uint8_t kept[PCI_PASSTHROUGH_SPACE];       /* of those, the bits that a guest may set */
	uint8_t host_read[PCI_PASSTHROUGH_SPACE];  /* bits read from the function; */
	uint8_t host_write[PCI_PASSTHROUGH_SPACE]; /* written to it; */
	uint8_t host_clear[PCI_PASSTHROUGH_SPACE]; /* cleared in it by writing 1 */
	uint8_t effect[PCI_PASSTHROUGH_SPACE];     /* enum pci_passthrough_effect */
	uint8_t msi, msix;                         /* offsets of these capabilities; 0: none */
};

struct pci_passthrough;

/* A part of a BAR, in whole pages or the whole of a small one. */
struct pci_passthrough_piece {
	struct io_device device; /* of the region on the bus, if the guest's accesses are carried out here; only a name for it */
	struct pci_passthrough *function;
	uint8_t bar;
	bool trapped;    /* else its pages are mapped into the guest */
	bool active;     /* it can be reached now */
	uint64_t offset, length; /* in the BAR */
	uint64_t base;   /* where the guest has it, while active */
	volatile uint8_t *registers; /* trapped memory: mapped for the hypervisor */
};

struct pci_passthrough_bar {
	const struct pci_bar *host; /* NULL: the guest sees none */
	unsigned piece_count;
	struct pci_passthrough_piece pieces[PCI_PASSTHROUGH_PIECES];
};

/* An MSI-X entry as the guest wrote it, or the one of MSI. */
struct pci_passthrough_message {
	struct passthrough_interrupt interrupt;
	struct pci_passthrough *function;
	uint64_t address;
	uint32_t data, control;
};

/* All functions of a VM: one device model. */
struct pci_passthrough_bus {
	struct io_device device;
	uint32_t count;
	struct pci_passthrough *functions[CONFIG_MAX_PCI];
};

struct pci_passthrough {
	struct pci_model model;
	struct pci_passthrough_bus *bus;
	struct vm *vm;
	const struct pci_function *host;
	struct pci_passthrough_config config;
	struct pci_passthrough_bar bars[PCI_PASSTHROUGH_BARS];
	/* MSI-X: where the table lies. */
	uint8_t table_bar;
	uint32_t table_offset; /* in that BAR */
	uint32_t message_count, host_message_count; /* 0: no MSI-X */
	volatile uint8_t *table; /* the function's own */
	bool msix_on;            /* in the function */
	struct pci_passthrough_message messages[PCI_PASSTHROUGH_MAX_MESSAGES];
	struct pci_passthrough_message msi;
	bool posts; /* the unit leaves its messages for vCPUs, vmm/vcpu_posting.h */
	/* INTx. */
	struct passthrough_interrupt line_interrupt;
	uint32_t guest_line;
	bool has_line, line_raised; /* raised: waits for the guest's end of interrupt, with INTx off in the function */
	/* Interrupts without end: what they took of others' time, since when [TSC ticks], and the end of being held
	 * back. */
	uint64_t window_start, window_taken, hold_count;
	struct vcpu_timer hold_timer;
	bool held;
	struct log_limit log_limit;
};

/* pci_passthrough_rows.c */
/** Makes the guest's view of @function: what the rows say, with the capabilities that they know linked into a list. */
void pci_passthrough_build_config(struct pci_passthrough *function);
/** The 16 or 32 bits that the guest sees at @offset of those that do not come from the function. */
uint16_t pci_passthrough_get16(const struct pci_passthrough *function, unsigned offset);
uint32_t pci_passthrough_get32(const struct pci_passthrough *function, unsigned offset);
void pci_passthrough_set32(struct pci_passthrough *function, unsigned offset, uint32_t value);

/* pci_passthrough_bars.c */
/** Which BARs there are and of which pieces they consist; after MSI-X was found. STATUS_NO_MEMORY: registers cannot be
 * mapped. */
must_check enum status pci_passthrough_build_bars(struct pci_passthrough *function);
/** Their registers in the guest's configuration space, as after a reset; after pci_passthrough_build_config(). */
void pci_passthrough_show_bars(struct pci_passthrough *function);
/** Maps what the guest has enabled where it wants it, and takes out what it has moved. */
void pci_passthrough_update_bars(struct pci_passthrough *function);
/** Nothing of it can be reached any more. */
void pci_passthrough_remove_bars(struct pci_passthrough *function);

/* pci_passthrough_msi.c */
/** Finds the MSI-X table and checks that it lies where it says; without it the guest sees no MSI-X. */
void pci_passthrough_find_msix(struct pci_passthrough *function);
must_check enum status pci_passthrough_map_msix(struct pci_passthrough *function);
/** After the guest wrote to the capability, or its bus mastering changed. */
void pci_passthrough_update_msi(struct pci_passthrough *function);
void pci_passthrough_update_msix(struct pci_passthrough *function);
void pci_passthrough_stop_messages(struct pci_passthrough *function);
/** After irq_msi_target() has changed its mind. */
void pci_passthrough_aim_messages(struct pci_passthrough *function);
/** Whether [@offset, @offset + @size) of @bar lies in the MSI-X table that the guest sees instead of the function's. */
bool pci_passthrough_in_table(const struct pci_passthrough *function, unsigned bar, uint64_t offset, unsigned size);
uint64_t pci_passthrough_table_read(struct pci_passthrough *function, uint64_t offset, unsigned size);
void pci_passthrough_table_write(struct pci_passthrough *function, uint64_t offset, unsigned size, uint64_t value);

/** The function's messages are held back from now on, or no longer: whoever was held back is asked for again. */
void pci_passthrough_hold_messages(struct pci_passthrough *function);
void pci_passthrough_release_messages(struct pci_passthrough *function);

/* pci_passthrough_hold.c */
/** Each interrupt of the function that the host delivers, before it is. */
void pci_passthrough_count_interrupt(struct pci_passthrough *function);
void pci_passthrough_start_counting(struct pci_passthrough *function);
/** As if it had never been held back; for one whose interrupts are off. */
void pci_passthrough_stop_holding(struct pci_passthrough *function);

/* pci_passthrough_line.c */
/** Binds INTx if the function has it and its line is known; the guest's interrupt pin register says so. */
void pci_passthrough_start_line(struct pci_passthrough *function);
void pci_passthrough_stop_line(struct pci_passthrough *function);
/** The guest ended an interrupt of @function's line, or changed its command register: the function may ask again. */
void pci_passthrough_rearm_line(struct pci_passthrough *function);
