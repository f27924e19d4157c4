/* The PCI bus of a VM: functions of bus 0, reached by configuration mechanism 1. */
#pragma once

#include "lib/status.h"
#include "lib/types.h"

struct vm;
struct pci_model;

#define PCI_MODEL_MAX 16u
#define PCI_ADDRESS(device, function) ((uint8_t)((device) << 3 | (function)))

/*
 * @offset: 0..255, aligned to @size (1, 2 or 4). Device lock held. Read-only registers ignore writes.
 */
struct pci_model_ops {
	uint32_t (*read)(struct pci_model *model, unsigned offset, unsigned size);
	void (*write)(struct pci_model *model, unsigned offset, unsigned size, uint32_t value);
};

/* One function that a device model shows on the bus; lives in that model, until the VM is gone. */
struct pci_model {
	uint8_t address; /* PCI_ADDRESS(); a device that has functions 1..7 has function 0 */
	const struct pci_model_ops *ops;
};

/**
 * pci_host_add() - puts @model on @vm's bus; by classes whose order is higher than 30; device lock held or VM not
 * running.
 * Return: STATUS_OK; STATUS_EXISTS; STATUS_NO_MEMORY (PCI_MODEL_MAX are there); STATUS_NOT_FOUND (no bus).
 */
must_check enum status pci_host_add(struct vm *vm, struct pci_model *model);
