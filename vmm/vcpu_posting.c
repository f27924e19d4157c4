#include "vmm/vcpu_posting.h"

#include "arch/x86/irq/interrupt.h"
#include "arch/x86/irq/lapic.h"
#include "arch/x86/pcpu.h"
#include "arch/x86/physmap.h"
#include "arch/x86/posted_interrupts.h"
#include "arch/x86/spinlock.h"
#include "vmm/io_device.h"
#include "vmm/vm.h"

#define NOT_LISTED UINT32_MAX
#define DESCRIPTORS_SIZE (VM_MAX_VCPUS * sizeof(struct posted_interrupts))

/* Who sleeps at a CPU and is woken by its descriptor. The lock protects the list; a vCPU's own place changes in
 * vcpu_posting_follow() alone. */
static struct sleepers {
	struct spinlock lock;
	struct list vcpus; /* vcpu->posting.link; made at boot */
} sleepers[PCPU_MAX];

static bool has_requests(const struct posted_interrupts *posted)
{
	uint64_t any = __atomic_load_n(&posted->control, __ATOMIC_SEQ_CST) & POSTED_INTERRUPTS_OUTSTANDING;

	for (unsigned word = 0; word < array_count(posted->requests); word++)
		any |= __atomic_load_n(&posted->requests[word], __ATOMIC_SEQ_CST);
	return any != 0;
}

/* ---- notifications ---- */

/* In the guest the hardware takes these itself, so this one came when no guest ran, or one whose local APIC is
 * software's, or for a vCPU that was here before and looks when it runs again. */
static void handle_notification(uint8_t vector)
{
	struct vcpu *vcpu = pcpu_current()->current_vcpu;

	(void)vector;
	if (vcpu != NULL && vcpu->virt.posted != NULL && has_requests(vcpu->virt.posted))
		vcpu_kick(vcpu, VCPU_REQUEST_POSTED | VCPU_REQUEST_EVENT);
}

static void handle_wake(uint8_t vector)
{
	struct sleepers *here = &sleepers[pcpu_current()->index];

	(void)vector;
	spinlock_lock(&here->lock);
	list_for_each(link, &here->vcpus) {
		struct vcpu *vcpu = list_entry(link, struct vcpu, posting.link);

		if (has_requests(vcpu->virt.posted))
			vcpu_kick(vcpu, VCPU_REQUEST_POSTED | VCPU_REQUEST_EVENT);
	}
	spinlock_unlock(&here->lock);
}

void vcpu_posting_init(void)
{
	for (unsigned i = 0; i < PCPU_MAX; i++)
		list_init(&sleepers[i].vcpus);
	interrupt_register(INTERRUPT_VECTOR_POSTED, handle_notification);
	interrupt_register(INTERRUPT_VECTOR_POSTED_WAKE, handle_wake);
}

/* ---- what a descriptor notifies ---- */

static uint64_t notify(uint8_t vector, uint32_t pcpu_index)
{
	uint64_t apic_id = pcpu_get(pcpu_index)->apic_id;

	if (!lapic_is_x2apic())
		apic_id <<= POSTED_INTERRUPTS_CPU_8_SHIFT;
	return apic_id << POSTED_INTERRUPTS_CPU_SHIFT | (uint64_t)vector << POSTED_INTERRUPTS_VECTOR_SHIFT;
}

/* A notification that is outstanding stays so. */
static void set_control(struct posted_interrupts *posted, uint64_t control)
{
	uint64_t before = __atomic_load_n(&posted->control, __ATOMIC_RELAXED);

	while (!__atomic_compare_exchange_n(&posted->control, &before,
					    control | (before & POSTED_INTERRUPTS_OUTSTANDING), false, __ATOMIC_SEQ_CST,
					    __ATOMIC_RELAXED))
		;
}

static void leave_sleepers(struct vcpu *vcpu)
{
	struct sleepers *there;

	if (vcpu->posting.listed_at == NOT_LISTED)
		return;
	there = &sleepers[vcpu->posting.listed_at];
	spinlock_lock(&there->lock);
	list_remove(&vcpu->posting.link);
	spinlock_unlock(&there->lock);
	vcpu->posting.listed_at = NOT_LISTED;
}

/* Before the descriptor notifies that CPU. */
static void join_sleepers(struct vcpu *vcpu, uint32_t pcpu_index)
{
	struct sleepers *there = &sleepers[pcpu_index];

	leave_sleepers(vcpu);
	spinlock_lock(&there->lock);
	list_append(&there->vcpus, &vcpu->posting.link);
	spinlock_unlock(&there->lock);
	vcpu->posting.listed_at = pcpu_index;
}

void vcpu_posting_follow(struct vcpu *vcpu, enum vcpu_state state, uint32_t pcpu_index)
{
	struct posted_interrupts *posted = vcpu->virt.posted;

	if (state == VCPU_BLOCKED) {
		join_sleepers(vcpu, pcpu_index);
		set_control(posted, notify(INTERRUPT_VECTOR_POSTED_WAKE, pcpu_index));
	} else {
		set_control(posted, notify(INTERRUPT_VECTOR_POSTED, pcpu_index) |
			    (state == VCPU_RUNNING ? 0 : POSTED_INTERRUPTS_SUPPRESSED));
		leave_sleepers(vcpu);
	}
	if ((state == VCPU_BLOCKED || state == VCPU_RUNNING) && has_requests(posted))
		__atomic_fetch_or(&vcpu->requests, VCPU_REQUEST_POSTED | VCPU_REQUEST_EVENT, __ATOMIC_SEQ_CST);
}

/* Who posts behind the first step notifies again. */
void vcpu_posting_take(struct vcpu *vcpu)
{
	struct posted_interrupts *posted = vcpu->virt.posted;

	if (posted == NULL)
		return;
	__atomic_fetch_and(&posted->control, ~POSTED_INTERRUPTS_OUTSTANDING, __ATOMIC_SEQ_CST);
	for (unsigned word = 0; word < array_count(posted->requests); word++) {
		uint64_t *requests = &posted->requests[word];

		if (__atomic_load_n(requests, __ATOMIC_RELAXED) != 0)
			irq_accept_posted(vcpu, word, __atomic_exchange_n(requests, 0, __ATOMIC_SEQ_CST));
	}
}

/* ---- life ---- */

enum status vcpu_posting_create(struct vm *vm)
{
	struct posted_interrupts *descriptors = io_device_allocate(DESCRIPTORS_SIZE);

	if (descriptors == NULL)
		return STATUS_NO_MEMORY;
	vm->posting.descriptors = descriptors;
	vm->posting.lost = false;
	for (uint32_t i = 0; i < vm->vcpu_count; i++) {
		struct vcpu *vcpu = vm->vcpus[i];

		list_init(&vcpu->posting.link);
		vcpu->posting.listed_at = NOT_LISTED;
		vcpu->virt.posted = &descriptors[i];
		vcpu_posting_follow(vcpu, VCPU_OFF, vcpu->pcpu_index);
	}
	return STATUS_OK;
}

void vcpu_posting_destroy(struct vm *vm)
{
	if (vm->posting.descriptors == NULL)
		return;
	for (uint32_t i = 0; i < vm->vcpu_count; i++) {
		leave_sleepers(vm->vcpus[i]);
		vm->vcpus[i]->virt.posted = NULL;
	}
	if (!vm->posting.lost)
		io_device_free(vm->posting.descriptors, DESCRIPTORS_SIZE);
	vm->posting.descriptors = NULL;
}

hpa_t vcpu_posting_descriptor(const struct vcpu *vcpu)
{
	return physmap_address(vcpu->virt.posted);
}

bool vcpu_posting_holds(const struct vm *vm, hpa_t descriptor)
{
	uint64_t length = vm->vcpu_count * sizeof(struct posted_interrupts);

	return vm->posting.descriptors != NULL &&
	       descriptor.value - physmap_address(vm->posting.descriptors).value < length;
}
