/* Translations that processors have cached of a VM's nested table. */
#pragma once

struct vm;

/**
 * vm_flush_translations() - after mappings were taken out of @vm's nested table: vCPUs that run now forget the old ones before
 * their next entry, which they are made to reach soon; the others when they run again. Device lock held; any CPU.
 */
void vm_flush_translations(struct vm *vm);
