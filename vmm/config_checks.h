/*
 * What the keys of a configuration must say together, when each value alone is good.
 */
#pragma once

#include "vmm/config.h"

/** config_inherit_sched() - the host's default for a VM that names no policy; a cap above what its vCPUs can use is lowered. */
void config_inherit_sched(const struct config_host *host, struct vm_config *vm);
/** config_check_vm() - NULL if @vm's values fit each other and @host's; else what does not fit and what was expected. */
const char *config_check_vm(const struct config_host *host, const struct vm_config *vm);
