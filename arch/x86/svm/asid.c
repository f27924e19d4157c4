#include "arch/x86/svm/svm_internal.h"

/*
 * Every CPU numbers the ASIDs that it gives. As many of them in a row as there are ASIDs are a round: when a new one begins
 * all translations go, and an ASID of an earlier round is nobody's any more. So there may be more vCPUs than ASIDs, and a
 * vCPU that takes a new one has thereby forgotten its translations.
 */

/* Unlike ASIDs, no two vCPUs of the machine have the same tag. Those that never ran on a CPU have one of this kind. */
#define TAG_NEW BIT(31)
#define TAG_CPU_SHIFT 24
#define TAG_NUMBER BITS(TAG_CPU_SHIFT - 1, 0)

static uint32_t new_count; /* atomic */

void svm_asid_init_cpu(struct svm_cpu *cpu)
{
	/* The next one begins a round: firmware may have left anything. */
	cpu->asids_given = svm_settings.asid_count - 1;
}

void svm_asid_init_vcpu(struct virt_vcpu_backend *backend)
{
	backend->last_pcpu = PCPU_MAX;
	backend->tag = (uint32_t)(TAG_NEW | (__atomic_add_fetch(&new_count, 1, __ATOMIC_RELAXED) & TAG_NUMBER));
}

static void give(struct virt_vcpu_backend *backend, const struct pcpu *pcpu)
{
	struct vmcb *vmcb = backend->vmcb;
	uint64_t number = ++pcpu->svm->asids_given;

	backend->last_pcpu = pcpu->index;
	backend->asid_number = number;
	backend->tag = (uint32_t)((uint64_t)(pcpu->index + 1) << TAG_CPU_SHIFT | (number & TAG_NUMBER));
	vmcb->asid = (uint32_t)(number % svm_settings.asid_count) + 1;
	vmcb->tlb_control = TLB_CONTROL_NOTHING;
	/* Of the CPU, since another vCPU may be entered first. */
	if (number % svm_settings.asid_count == 0)
		pcpu->svm->flush_all = true;
}

static void note_flush(struct virt_vcpu *vcpu)
{
	vcpu->backend->flush_generation = __atomic_load_n(&vcpu->vm->backend->flush_generation, __ATOMIC_ACQUIRE);
}

static bool has_own(const struct virt_vcpu_backend *backend, const struct pcpu *pcpu)
{
	const uint64_t round = svm_settings.asid_count;

	return backend->last_pcpu == pcpu->index && backend->asid_number / round == pcpu->svm->asids_given / round;
}

void svm_asid_check(struct virt_vcpu *vcpu)
{
	const struct pcpu *pcpu = pcpu_current();

	if (has_own(vcpu->backend, pcpu))
		return;
	note_flush(vcpu);
	give(vcpu->backend, pcpu);
}

void svm_vcpu_flush(struct virt_vcpu *vcpu)
{
	struct virt_vcpu_backend *backend = vcpu->backend;
	const struct pcpu *pcpu = pcpu_current();

	note_flush(vcpu);
	if (!svm_settings.has_flush_by_asid || !has_own(backend, pcpu))
		give(backend, pcpu);
	else
		backend->vmcb->tlb_control = TLB_CONTROL_FLUSH_ASID;
}

uint32_t svm_vcpu_tag(const struct virt_vcpu *vcpu)
{
	return vcpu->backend->tag;
}
