#include "arch/x86/cpu/xsave.h"
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

_Static_assert(offsetof(struct virt_vcpu, gpr) == 0, "entry_offsets.inc: VCPU_*");
_Static_assert(offsetof(struct virt_vcpu, backend) == 144, "entry_offsets.inc: VCPU_BACKEND");
_Static_assert(offsetof(struct virt_vcpu_backend, host_rsp) == 8, "entry_offsets.inc: BACKEND_HOST_RSP");
_Static_assert(offsetof(struct virt_vcpu_backend, launched) == 16, "entry_offsets.inc: BACKEND_LAUNCHED");
_Static_assert(GPR_RAX == 0 && GPR_RCX == 1 && GPR_RDX == 2 && GPR_RBX == 3 && GPR_RBP == 5 && GPR_RSI == 6 && GPR_RDI == 7 &&
		       GPR_R8 == 8 && GPR_R15 == 15, "entry_offsets.inc: register order");

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

static unsigned xsave_pages(void)
{
	return (unsigned)(align_up(xsave_area_size(), PAGE_SIZE) / PAGE_SIZE);
}

enum status vmx_vcpu_create(struct virt_vcpu *vcpu, struct virt_vm *vm)
{
	struct virt_vcpu_backend *backend = page_pool_allocate_pointer();
	uint32_t *vmcs = page_pool_allocate_pointer();
	void *xsave_area = page_pool_allocate_contiguous(xsave_pages());
	uint16_t vpid = vpid_allocate();

	if (!backend || !vmcs || !xsave_area || !vpid || vmx_apic_create(vcpu) != STATUS_OK)
		goto no_memory;
	*vmcs = vmx_settings.revision;
	backend->vmcs = physmap_address(vmcs);
	backend->vpid = vpid;
	backend->last_pcpu = PCPU_MAX;
	vm->backend->vcpu_count++;
	vcpu->vm = vm;
	vcpu->backend = backend;
	vcpu->xsave_area = xsave_area;
	xsave_area_init(xsave_area);
	vcpu->xcr0 = XCR0_X87;
	vcpu->dr6 = DR6_FIXED;
	vcpu->entry_deadline = UINT64_MAX;
	vcpu->exits = &backend->exit;
	vcpu->exits_end = vcpu->exits + 1;
	vcpu->exit = vcpu->exits;
	return STATUS_OK;

no_memory:
	if (vpid)
		vpid_free(vpid);
	if (xsave_area)
		page_pool_free_contiguous(xsave_area, xsave_pages());
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
	page_pool_free_contiguous(vcpu->xsave_area, xsave_pages());
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

/* Registers that are neither in the VMCS nor switched by every entry: the hypervisor does not use them, so they stay in
 * the CPU until another vCPU needs it. */
static void set_xcr0(uint64_t value)
{
	if (xsave_is_available())
		insn_xsetbv(0, value);
}

static void load_lazy_state(struct virt_vcpu *vcpu)
{
	insn_write_cr2(vcpu->cr2);
	insn_write_dr0(vcpu->dr[0]);
	insn_write_dr1(vcpu->dr[1]);
	insn_write_dr2(vcpu->dr[2]);
	insn_write_dr3(vcpu->dr[3]);
	insn_write_dr6(vcpu->dr6);
	insn_wrmsr(MSR_KERNEL_GS_BASE, vcpu->kernel_gs_base);
	insn_wrmsr(MSR_STAR, vcpu->star);
	insn_wrmsr(MSR_LSTAR, vcpu->lstar);
	insn_wrmsr(MSR_CSTAR, vcpu->cstar);
	insn_wrmsr(MSR_FMASK, vcpu->fmask);
	if (vmx_settings.controls[VMX_SECONDARY] & SECONDARY_RDTSCP)
		insn_wrmsr(MSR_TSC_AUX, vcpu->tsc_aux);
	xsave_restore(vcpu->xsave_area, xsave_supported_mask());
	set_xcr0(vcpu->xcr0);
}

static void save_lazy_state(struct virt_vcpu *vcpu)
{
	vcpu->cr2 = insn_read_cr2();
	vcpu->dr[0] = insn_read_dr0();
	vcpu->dr[1] = insn_read_dr1();
	vcpu->dr[2] = insn_read_dr2();
	vcpu->dr[3] = insn_read_dr3();
	vcpu->dr6 = insn_read_dr6();
	vcpu->kernel_gs_base = insn_rdmsr(MSR_KERNEL_GS_BASE);
	vcpu->star = insn_rdmsr(MSR_STAR);
	vcpu->lstar = insn_rdmsr(MSR_LSTAR);
	vcpu->cstar = insn_rdmsr(MSR_CSTAR);
	vcpu->fmask = insn_rdmsr(MSR_FMASK);
	if (vmx_settings.controls[VMX_SECONDARY] & SECONDARY_RDTSCP)
		vcpu->tsc_aux = insn_rdmsr(MSR_TSC_AUX);
	set_xcr0(xsave_supported_mask());
	xsave_save(vcpu->xsave_area, xsave_supported_mask());
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
	struct vm_exit *exit = vmx_next_exit(vcpu);

	backend->launched = 0;
	*exit = (struct vm_exit){.kind = VM_EXIT_ENTRY_FAILED, .reason = VIRT_EXIT_REASON_MAX - 1, .time = clock_now()};
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
