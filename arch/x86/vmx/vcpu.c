#include "arch/x86/cpu/virt_state.h"
#include "arch/x86/cr.h"
#include "arch/x86/insn.h"
#include "arch/x86/mm/page_pool.h"
#include "arch/x86/msr.h"
#include "arch/x86/panic.h"
#include "arch/x86/physmap.h"
#include "arch/x86/spinlock.h"
#include "arch/x86/vmx/timer.h"
#include "arch/x86/vmx/vm_state.h"
#include "arch/x86/vmx/vmcs.h"
#include "arch/x86/vmx/vmx.h"

_Static_assert(offsetof(struct virt_vcpu, gpr) == 0, "virt_registers.inc: VCPU_*");
_Static_assert(offsetof(struct virt_vcpu, backend) == 144, "virt_registers.inc: VCPU_BACKEND");
_Static_assert(offsetof(struct virt_vcpu_backend, host_rsp) == 8, "entry_offsets.inc: BACKEND_HOST_RSP");
_Static_assert(offsetof(struct virt_vcpu_backend, launched) == 16, "entry_offsets.inc: BACKEND_LAUNCHED");
_Static_assert(GPR_RAX == 0 && GPR_RCX == 1 && GPR_RDX == 2 && GPR_RBX == 3 && GPR_RBP == 5 && GPR_RSI == 6 && GPR_RDI == 7 &&
		       GPR_R8 == 8 && GPR_R15 == 15, "virt_registers.inc: register order");

#define INVEPT_SINGLE 1u
#define INVEPT_ALL 2u
#define INVVPID_SINGLE 1u

/* VPIDs in use; 0 is the host's. */
#define VPID_COUNT 1024u
static uint64_t vpid_used[VPID_COUNT / 64] = {1};
static struct spinlock vpid_lock = SPINLOCK_INITIALIZER; /* protects vpid_used */

static uint16_t vpid_allocate(void)
{
	uint16_t vpid = 0;

	spinlock_lock(&vpid_lock);
	for (unsigned word = 0; word < VPID_COUNT / 64 && !vpid; word++) {
		if (~vpid_used[word] == 0)
			continue;
		unsigned bit = bits_lowest(~vpid_used[word]);
		vpid_used[word] |= BIT(bit);
		vpid = (uint16_t)(word * 64 + bit);
	}
	spinlock_unlock(&vpid_lock);
	return vpid;
}

static void vpid_free(uint16_t vpid)
{
	spinlock_lock(&vpid_lock);
	vpid_used[vpid / 64] &= ~BIT(vpid % 64);
	spinlock_unlock(&vpid_lock);
}

enum status vmx_vcpu_create(struct virt_vcpu *vcpu, struct virt_vm *vm)
{
	struct virt_vcpu_backend *backend = page_pool_allocate_pointer();
	uint32_t *vmcs = page_pool_allocate_pointer();
	uint16_t vpid = vpid_allocate();

	if (!backend || !vmcs || !vpid || virt_state_create(vcpu, &backend->exit) != STATUS_OK)
		goto no_memory;
	if (vmx_apic_create(vcpu) != STATUS_OK)
		goto no_apic;
	*vmcs = vmx_settings.revision;
	backend->vmcs = physmap_address(vmcs);
	backend->vpid = vpid;
	backend->last_pcpu = PCPU_MAX;
	vm->backend->vcpu_count++;
	vcpu->vm = vm;
	vcpu->backend = backend;
	return STATUS_OK;

no_apic:
	virt_state_destroy(vcpu);
no_memory:
	if (vpid)
		vpid_free(vpid);
	if (vmcs)
		page_pool_free_pointer(vmcs);
	if (backend)
		page_pool_free_pointer(backend);
	return STATUS_NO_MEMORY;
}

void vmx_vcpu_destroy(struct virt_vcpu *vcpu)
{
	struct virt_vcpu_backend *backend = vcpu->backend;

	vcpu->vm->backend->vcpu_count--;
	vpid_free(backend->vpid);
	vmx_apic_destroy(vcpu);
	virt_state_destroy(vcpu);
	page_pool_free_pointer(physmap_pointer(backend->vmcs));
	page_pool_free_pointer(backend);
	vcpu->backend = NULL;
}

/* Translations that this CPU may still hold of an earlier life of the VPID, or from before the VM's last flush. */
void vmx_vcpu_flush(struct virt_vcpu *vcpu)
{
	struct virt_vcpu_backend *backend = vcpu->backend;
	struct invept_descriptor ept = {vcpu->vm->backend->ept_pointer, 0};
	struct invvpid_descriptor vpid = {backend->vpid, 0};

	backend->flush_generation = __atomic_load_n(&vcpu->vm->backend->flush_generation, __ATOMIC_ACQUIRE);
	bool done = insn_invept(vmx_settings.invept_single ? INVEPT_SINGLE : INVEPT_ALL, &ept);
	if (vmx_settings.has_vpid)
		done = insn_invvpid(INVVPID_SINGLE, &vpid) && done;
	assert_always(done);
}

static bool has_tsc_aux(void)
{
	return vmx_settings.controls[VMX_SECONDARY] & SECONDARY_RDTSCP;
}

/* With cpu/virt_state.h, the registers that are neither in the VMCS nor switched by every entry. */
static void load_lazy_state(struct virt_vcpu *vcpu)
{
	insn_write_cr2(vcpu->cr2);
	insn_write_dr6(vcpu->dr6);
	insn_wrmsr(MSR_KERNEL_GS_BASE, vcpu->kernel_gs_base);
	insn_wrmsr(MSR_STAR, vcpu->star);
	insn_wrmsr(MSR_LSTAR, vcpu->lstar);
	insn_wrmsr(MSR_CSTAR, vcpu->cstar);
	insn_wrmsr(MSR_FMASK, vcpu->fmask);
	virt_state_load(vcpu, has_tsc_aux());
}

static void save_lazy_state(struct virt_vcpu *vcpu)
{
	vcpu->cr2 = insn_read_cr2();
	vcpu->dr6 = insn_read_dr6();
	vcpu->kernel_gs_base = insn_rdmsr(MSR_KERNEL_GS_BASE);
	vcpu->star = insn_rdmsr(MSR_STAR);
	vcpu->lstar = insn_rdmsr(MSR_LSTAR);
	vcpu->cstar = insn_rdmsr(MSR_CSTAR);
	vcpu->fmask = insn_rdmsr(MSR_FMASK);
	virt_state_save(vcpu, has_tsc_aux());
}

void vmx_vcpu_load(struct virt_vcpu *vcpu)
{
	struct virt_vcpu_backend *backend = vcpu->backend;
	struct pcpu *pcpu = pcpu_current();
	bool first = backend->last_pcpu == PCPU_MAX;
	bool moved = backend->last_pcpu != pcpu->index;

	/* A VMCS must be cleared before its first use; vmx_vcpu_put() clears it before it moves. */
	if (first)
		assert_always(insn_vmclear(backend->vmcs));
	assert_always(insn_vmptrld(backend->vmcs));
	pcpu->vmx->current = vcpu;
	if (first)
		vmx_vmcs_setup(vcpu);
	if (moved) {
		vmx_vmcs_setup_host();
		backend->last_pcpu = pcpu->index;
	}
	if (moved)
		vmx_vcpu_flush(vcpu);
	load_lazy_state(vcpu);
}

void vmx_vcpu_put(struct virt_vcpu *vcpu)
{
	save_lazy_state(vcpu);
	/* Writes the VMCS back to memory, so that any CPU may load it next; it must then be launched anew. */
	assert_always(insn_vmclear(vcpu->backend->vmcs));
	vcpu->backend->launched = 0;
	pcpu_current()->vmx->current = NULL;
}

bool vmx_after_failed_entry(struct virt_vcpu *vcpu)
{
	struct virt_vcpu_backend *backend = vcpu->backend;
	struct vm_exit *exit = virt_next_exit(vcpu);

	backend->launched = 0;
	*exit = (struct vm_exit){.kind = VM_EXIT_ENTRY_FAILED, .reason = VMX_REASON_COUNT - 1, .time = clock_now()};
	exit->qualification = vmcs_read_32(VMCS_DATA_INSTRUCTION_ERROR);
	exit->rip = vmcs_read_natural(VMCS_GUEST_RIP);
	return backend->handle(vcpu, exit);
}

void vmx_vcpu_run(struct virt_vcpu *vcpu, virt_exit_handler handle)
{
	vcpu->backend->handle = handle;
	if (unlikely(vcpu->backend->flush_generation != __atomic_load_n(&vcpu->vm->backend->flush_generation, __ATOMIC_ACQUIRE)))
		vmx_vcpu_flush(vcpu);
	vmx_set_timer(vcpu);
	vmx_enter(vcpu, vcpu->backend);
	vmx_apic_stop_posting(vcpu);
}
