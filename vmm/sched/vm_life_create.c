/* VMs from sections of the configuration, and from other configuration files of the boot medium. */
#include "arch/x86/log.h"
#include "arch/x86/mm/page_pool.h"
#include "arch/x86/physmap.h"
#include "lib/string.h"
#include "vmm/sched/policy.h"
#include "vmm/sched/vm_launch.h"
#include "vmm/sched/vm_life.h"
#include "vmm/vm.h"

#define CONFIG_PAGES ((unsigned)(align_up(sizeof(struct config), PAGE_SIZE) / PAGE_SIZE))
#define MAIN_FILE "trivet.conf"
#define FILE_SUFFIX ".conf"

static const struct boot_info *boot_information;
static const struct config *configuration;
static const char *file_name = MAIN_FILE; /* of the configuration that is worked on */

void vm_life_init(const struct boot_info *info, const struct config *config)
{
	boot_information = info;
	configuration = config;
	vm_launch_init(info);
}

const struct config *vm_life_config(void)
{
	return configuration;
}

/* A VM that has stopped makes room for its successor of the same name; one that lives does not. */
static enum status claim_name(const char *name)
{
	struct vm *vm = vm_find(name);

	if (!vm || vm_life_finish(vm))
		return STATUS_OK;
	log_error("vm %s: not created: one of that name exists", name);
	return STATUS_EXISTS;
}

/* On success everything is there, and the guest could run. */
static enum status prepare(const struct vm_config *config, struct vm **out)
{
	struct vm *vm;
	enum status status = claim_name(config->name);
	if (status == STATUS_OK)
		status = vm_create(config, &vm);
	if (status != STATUS_OK)
		return status;
	status = vm_launch_prepare(vm);
	if (status != STATUS_OK) {
		vm_life_give_up(vm);
		return status;
	}
	*out = vm;
	return STATUS_OK;
}

static enum status prepare_or_say(const struct vm_config *config, struct vm **vm)
{
	if (!config->valid) {
		log_error("vm %s: not started: its section of %s (line %u) has faults", config->name, file_name, config->line);
		return STATUS_INVALID;
	}
	enum status status = prepare(config, vm);
	if (status != STATUS_OK)
		log_error("vm %s: not started", config->name);
	return status;
}

enum status vm_life_create(const struct vm_config *config, bool paused)
{
	struct vm *vm;
	enum status status = prepare_or_say(config, &vm);

	if (status != STATUS_OK)
		return status;
	if (paused)
		vm->paused = true;
	else
		vm_launch_run(vm);
	return STATUS_OK;
}

static enum status prepare_of_policy(const struct config *config, const struct sched_policy *policy, bool autostart,
				     struct vm *prepared[CONFIG_MAX_VMS])
{
	enum status result = STATUS_OK;

	for (uint32_t i = 0; i < config->vm_count; i++) {
		const struct vm_config *section = &config->vms[i];
		if (sched_policy_of(section->sched.policy) != policy || (autostart && section->valid && !section->autostart))
			continue;
		enum status status = prepare_or_say(section, &prepared[i]);
		if (result == STATUS_OK)
			result = status;
	}
	return result;
}

/*
 * All are loaded before any runs: loading is the boot processor's work, which guests would make slower. Those whose
 * policy goes first choose their CPUs first.
 */
static enum status create_all(const struct config *config, bool autostart)
{
	struct vm *prepared[CONFIG_MAX_VMS] = {NULL};
	enum status result = STATUS_OK;

	for (unsigned policy = 0; policy < SCHED_POLICY_COUNT; policy++) {
		enum status status = prepare_of_policy(config, sched_policies[policy], autostart, prepared);
		if (result == STATUS_OK)
			result = status;
	}
	for (uint32_t i = 0; i < config->vm_count; i++) {
		if (prepared[i])
			vm_launch_run(prepared[i]);
	}
	return result;
}

void vm_life_autostart(void)
{
	/* Each failure was logged; the others go on. */
	enum status status = create_all(configuration, true);

	(void)status;
}

static void report_fault(void *context, unsigned line, unsigned column, const char *message)
{
	(void)context;
	log_error("%s:%u:%u: %s", file_name, line, column, message);
}

static enum status create_from_file(const struct boot_file *file)
{
	struct config *config = page_pool_allocate_contiguous(CONFIG_PAGES);
	enum status status = STATUS_NOT_FOUND;
	if (!config) {
		log_error("%s: no %u KiB of memory to read it", file->path, (unsigned)(CONFIG_PAGES * PAGE_SIZE / KIB));
		return STATUS_NO_MEMORY;
	}
	file_name = file->path;
	config_parse(physmap_pointer(hpa(file->base)), file->size, config, report_fault, NULL);
	if (config->vm_count)
		status = create_all(config, false);
	else
		log_error("%s: no VM is described in it", file->path);
	file_name = MAIN_FILE;
	page_pool_free_contiguous(config, CONFIG_PAGES);
	return status;
}

static const struct vm_config *find_section(const char *name)
{
	for (uint32_t i = 0; i < configuration->vm_count; i++) {
		if (strcmp(configuration->vms[i].name, name) == 0)
			return &configuration->vms[i];
	}
	return NULL;
}

static bool is_config_file(const char *path)
{
	size_t length = strlen(path), suffix = strlen(FILE_SUFFIX);

	return length > suffix && strcmp(path + length - suffix, FILE_SUFFIX) == 0;
}

enum status vm_life_create_by_name(const char *name)
{
	const struct vm_config *section = find_section(name);
	const struct boot_file *file = is_config_file(name) ? boot_info_find_file(boot_information, name) : NULL;

	if (section)
		return vm_life_create(section, false);
	if (file)
		return create_from_file(file);
	log_error("create: %s: neither a VM of " MAIN_FILE " nor a configuration file of the boot medium", name);
	return STATUS_NOT_FOUND;
}

const char *vm_life_creatable(uint32_t index)
{
	for (uint32_t i = 0; i < configuration->vm_count; i++) {
		if (!vm_find(configuration->vms[i].name) && index-- == 0)
			return configuration->vms[i].name;
	}
	for (uint32_t i = 0; i < boot_information->file_count; i++) {
		const char *path = boot_information->files[i].path;

		if (is_config_file(path) && strcmp(path, MAIN_FILE) != 0 && index-- == 0)
			return path;
	}
	return NULL;
}
