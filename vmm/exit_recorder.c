#include "vmm/exit_recorder.h"

#include <stdarg.h>

#include "arch/x86/clock.h"
#include "arch/x86/log.h"
#include "arch/x86/mm/page_pool.h"
#include "arch/x86/panic_hooks.h"
#include "arch/x86/pcpu.h"
#include "lib/fmt.h"
#include "vmm/last_boot.h"
#include "vmm/vm.h"

#define RECORDER_PAGES ((unsigned)(sizeof(struct exit_recorder) / PAGE_SIZE))
#define SUBJECT_SIZE 40u
#define PANIC_EXITS 16u
#define MICROSECONDS_PER_SECOND 1000000u

_Static_assert(sizeof(struct exit_recorder) % PAGE_SIZE == 0, "a recorder is whole pages");

struct exit_recorder *exit_recorder_create(struct vcpu *vcpu)
{
	struct exit_recorder *recorder = last_boot_take_recorder(vcpu->vm->config->name, vcpu->index);

	if (recorder == NULL)
		recorder = page_pool_allocate_contiguous(RECORDER_PAGES);
	if (recorder == NULL)
		return NULL;
	vcpu->virt.exits = recorder->exits;
	vcpu->virt.exits_end = recorder->exits + EXIT_RECORDER_SIZE;
	vcpu->virt.exit = vcpu->virt.exits;
	return recorder;
}

void exit_recorder_destroy(struct vcpu *vcpu)
{
	if (vcpu->recorder != NULL && !last_boot_give_recorder(vcpu->recorder))
		page_pool_free_contiguous(vcpu->recorder, RECORDER_PAGES);
	vcpu->recorder = NULL;
}

const struct vm_exit *exit_recorder_last(const struct vcpu *vcpu)
{
	return __atomic_load_n(&vcpu->virt.exit, __ATOMIC_RELAXED);
}

/* What the exit was about, in words by its kind; "" if about nothing. */
static void print_subject(char text[SUBJECT_SIZE], const struct vm_exit *exit)
{
	static const char *const cr_operations[] = {[CR_MOV_TO] = "to", [CR_MOV_FROM] = "from", [CR_CLTS] = "clts", [CR_LMSW] = "lmsw"};

	text[0] = '\0';
	switch (exit->kind) {
	case VM_EXIT_EXCEPTION:
	case VM_EXIT_EXTERNAL_INTERRUPT:
	case VM_EXIT_VIRTUAL_EOI:
		fmt_print(text, SUBJECT_SIZE, "vector %u", (uint8_t)exit->subject);
		break;
	case VM_EXIT_CPUID:
		fmt_print(text, SUBJECT_SIZE, "leaf 0x%x", (uint32_t)exit->subject);
		break;
	case VM_EXIT_RDMSR:
	case VM_EXIT_WRMSR:
		fmt_print(text, SUBJECT_SIZE, "MSR 0x%x", (uint32_t)exit->subject);
		break;
	case VM_EXIT_HYPERCALL:
		fmt_print(text, SUBJECT_SIZE, "call 0x%llx", (unsigned long long)exit->subject);
		break;
	case VM_EXIT_IO:
		fmt_print(text, SUBJECT_SIZE, "%s port 0x%x, %u", exit->io.in ? "in" : "out", exit->io.port, exit->io.size);
		break;
	case VM_EXIT_CR_ACCESS:
		fmt_print(text, SUBJECT_SIZE, "%s CR%u", cr_operations[exit->cr.operation % array_count(cr_operations)], exit->cr.number);
		break;
	case VM_EXIT_APIC_WRITE:
		fmt_print(text, SUBJECT_SIZE, "register 0x%llx", (unsigned long long)exit->subject);
		break;
	case VM_EXIT_APIC_ACCESS:
	case VM_EXIT_NESTED_FAULT:
	case VM_EXIT_NESTED_MISCONFIGURED:
		fmt_print(text, SUBJECT_SIZE, "%s 0x%llx", exit->nested.write ? "write" : exit->nested.execute ? "fetch" : "read",
			  (unsigned long long)exit->subject);
		break;
	default:
		break;
	}
}

static void limit_flag(bool *flag)
{
	uint8_t *byte = (uint8_t *)(void *)flag;

	*byte &= 1;
}

/* What an earlier boot left may be anything: no value that its type does not have. */
static void limit_values(struct vm_exit *exit)
{
	if (exit->kind == VM_EXIT_IO) {
		limit_flag(&exit->io.in);
	} else {
		limit_flag(&exit->nested.write);
		limit_flag(&exit->nested.execute);
	}
}

static void print_exit(const struct vm_exit *lent, uint64_t start_tsc, virt_print print)
{
	struct vm_exit exit = *lent;
	const char *name = virt_ops != NULL ? virt_ops->reason_name(exit.reason) : NULL;
	uint64_t microseconds = exit.time < start_tsc ? 0 : clock_nanoseconds_from_ticks(exit.time - start_tsc) / 1000;
	char subject[SUBJECT_SIZE], cost[16] = "-";

	if (exit.time == 0)
		return;
	limit_values(&exit);
	print_subject(subject, &exit);
	if (exit.cost != 0)
		fmt_print(cost, sizeof(cost), "%u", exit.cost);
	print("[%5llu.%06llu] %-24s %-26s rip %016llx  %6s\n", (unsigned long long)(microseconds / MICROSECONDS_PER_SECOND),
	      (unsigned long long)(microseconds % MICROSECONDS_PER_SECOND), name != NULL ? name : "unknown", subject,
	      (unsigned long long)exit.rip, cost);
}

static void print_ring(const struct exit_recorder *recorder, uint32_t last, uint32_t most, uint64_t start_tsc, virt_print print)
{
	for (uint32_t ago = (uint32_t)min_u64(most, EXIT_RECORDER_SIZE); ago-- > 0;)
		print_exit(&recorder->exits[(last - ago) % EXIT_RECORDER_SIZE], start_tsc, print);
}

void exit_recorder_print(const struct vcpu *vcpu, uint32_t most, virt_print print)
{
	print_ring(vcpu->recorder, (uint32_t)(exit_recorder_last(vcpu) - vcpu->virt.exits), most, log_start_tsc(), print);
}

void exit_recorder_print_records(const struct exit_recorder *recorder, uint32_t most, uint64_t start_tsc, virt_print print)
{
	uint32_t last = 0;

	for (uint32_t i = 1; i < EXIT_RECORDER_SIZE; i++)
		last = recorder->exits[i].time > recorder->exits[last].time ? i : last;
	print_ring(recorder, last, most, start_tsc, print);
}

void exit_recorder_sum(const struct vcpu *vcpu, struct exit_cost *costs)
{
	for (uint32_t i = 0; i < EXIT_RECORDER_SIZE; i++) {
		const struct vm_exit *exit = &vcpu->recorder->exits[i];
		uint32_t reason = __atomic_load_n(&exit->reason, __ATOMIC_RELAXED), cost = __atomic_load_n(&exit->cost, __ATOMIC_RELAXED);

		if (cost == 0 || reason >= VIRT_EXIT_REASON_MAX)
			continue;
		costs[reason].count++;
		costs[reason].ticks += cost;
	}
}

static void print_to_log(const char *format, ...)
{
	char line[160];
	va_list arguments;

	va_start(arguments, format);
	fmt_vprint(line, sizeof(line), format, arguments);
	va_end(arguments);
	log_error("  %s", line);
}

/* VMs may be half made or half gone, so each pointer is looked at before it is followed. */
static void print_history(void)
{
	for (uint32_t i = 0; i < pcpu_count(); i++) {
		const struct vcpu *vcpu = pcpu_get(i)->current_vcpu;

		if (vcpu == NULL || vcpu->recorder == NULL || vcpu->vm == NULL)
			continue;
		log_error("CPU %u: last exits of vm %s vcpu %u (time, reason, subject, rip, cost in TSC ticks):", i, vcpu->vm->config->name,
			  vcpu->index);
		exit_recorder_print(vcpu, PANIC_EXITS, print_to_log);
	}
}

static const struct panic_hook history_hook = {.stage = PANIC_STAGE_HISTORY, .run = print_history};
PANIC_HOOK(history_hook);
