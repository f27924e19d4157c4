/* Interprocessor interrupts: every delivery mode, destination mode and shorthand, between all processors, in both modes of
 * the local APIC, and counted. */
#include "runtime/guest.h"

#include "runtime/apic.h"
#include "runtime/cpu.h"
#include "runtime/smp.h"

const char guest_name[] = "smp_messages";

#define IPI_VECTOR 0x61
#define TOKEN_VECTOR 0x62
#define LOWEST_VECTOR 0x63
#define SETUP_VECTOR 0x91
#define APIC_LDR 0xd0u
#define APIC_DFR 0xe0u
#define NMI 2
#define LOWEST_SENT 64u
#define TOKEN_HOPS 400u
#define NOBODY 0x77u

static volatile uint32_t counts[256][SMP_MAX];
static volatile uint32_t alive, set_up, hops, nmi_again, nested_nmis;
static volatile uint32_t wanted_ldr[SMP_MAX], wanted_dfr, wanted_tpr[SMP_MAX];
static bool x2apic;
static unsigned processors;
static const char *mode;

/* Counted when it is over: until then this processor's priority is the interrupt's, and another may be the lowest. */
static void on_ipi(struct guest_frame *frame)
{
	apic_end_of_interrupt();
	__atomic_fetch_add(&counts[frame->vector][smp_self()], 1, __ATOMIC_SEQ_CST);
}

/* A second one that comes while the first is handled waits for its end. */
static void on_nmi(struct guest_frame *frame)
{
	uint32_t before = __atomic_fetch_add(&counts[frame->vector][smp_self()], 1, __ATOMIC_SEQ_CST);

	if (__atomic_exchange_n(&nmi_again, 0, __ATOMIC_SEQ_CST) == 0)
		return;
	apic_send(SMP_DELIVER_NMI | SMP_ASSERT, smp_self());
	if (counts[frame->vector][smp_self()] != before + 1)
		__atomic_fetch_add(&nested_nmis, 1, __ATOMIC_SEQ_CST);
}

/* Each processor sends it on to the next. */
static void on_token(struct guest_frame *frame)
{
	(void)frame;
	apic_end_of_interrupt();
	if (__atomic_add_fetch(&hops, 1, __ATOMIC_SEQ_CST) < TOKEN_HOPS)
		apic_send(TOKEN_VECTOR, (smp_self() + 1) % processors);
}

static void set_up_logical(void)
{
	unsigned self = smp_self();

	if (!x2apic) {
		apic_write(APIC_DFR, wanted_dfr);
		apic_write(APIC_LDR, wanted_ldr[self] << 24);
	}
	apic_write(APIC_TPR, wanted_tpr[self]);
	__atomic_fetch_add(&set_up, 1, __ATOMIC_SEQ_CST);
}

static void on_set_up(struct guest_frame *frame)
{
	(void)frame;
	set_up_logical();
	apic_end_of_interrupt();
}

static void set_up_all(void)
{
	set_up = 0;
	apic_send(SETUP_VECTOR | SMP_TO_OTHERS, 0);
	set_up_logical();
	guest_check(smp_wait(&set_up, processors), "%s: %u processors took the broadcast to others", mode, set_up);
}

static void other_processor(unsigned index)
{
	(void)index;
	apic_enable(x2apic);
	__atomic_fetch_add(&alive, 1, __ATOMIC_SEQ_CST);
	for (;;)
		wait_for_interrupt();
}

/* Waits until @vector came once to each of @receivers, a bit for each processor, and looks that no other got it. */
static void expect(const char *what, unsigned vector, unsigned receivers)
{
	if (receivers & 1)
		interrupts_window();
	for (unsigned i = 0; i < processors; i++)
		if (receivers >> i & 1)
			guest_check(smp_wait(&counts[vector][i], 1), "%s: %s: processor %u got %u", mode, what, i, counts[vector][i]);
	interrupts_window();
	for (unsigned i = 0; i < processors; i++) {
		guest_check(counts[vector][i] == (receivers >> i & 1), "%s: %s: processor %u got %u", mode, what, i, counts[vector][i]);
		counts[vector][i] = 0;
	}
}

static void test_physical(void)
{
	const unsigned all = (1u << processors) - 1;

	for (unsigned i = 0; i < processors; i++) {
		apic_send(IPI_VECTOR, i);
		expect("to one", IPI_VECTOR, 1u << i);
	}
	apic_send(IPI_VECTOR, x2apic ? 0xffffffff : 0xff);
	expect("broadcast", IPI_VECTOR, all);
	apic_send(IPI_VECTOR, NOBODY);
	expect("to nobody", IPI_VECTOR, 0);
	apic_send(IPI_VECTOR | SMP_TO_SELF, 0);
	expect("to self", IPI_VECTOR, 1);
	apic_send(IPI_VECTOR | SMP_TO_ALL, 0);
	expect("to all", IPI_VECTOR, all);
	apic_send(IPI_VECTOR | SMP_TO_OTHERS, 0);
	expect("to others", IPI_VECTOR, all & ~1u);
}

static void test_nmi(void)
{
	const unsigned others = ((1u << processors) - 1) & ~1u;

	for (unsigned i = 1; i < processors; i++) {
		apic_send(SMP_DELIVER_NMI | SMP_ASSERT, i);
		expect("NMI to one", NMI, 1u << i);
	}
	apic_send(SMP_DELIVER_NMI | SMP_ASSERT | SMP_TO_OTHERS, 0);
	expect("NMI to others", NMI, others);
	for (unsigned i = 0; i < 2; i++) {
		nmi_again = 1;
		apic_send(SMP_DELIVER_NMI | SMP_ASSERT, i);
		guest_check(smp_wait(&counts[NMI][i], 2) && nested_nmis == 0, "%s: an NMI sent by the handler of one: processor %u got %u, nested %u",
			    mode, i, counts[NMI][i], nested_nmis);
		counts[NMI][i] = 0;
	}
}

static void test_logical(void)
{
	const unsigned all = (1u << processors) - 1;

	wanted_dfr = 0xffffffff;
	for (unsigned i = 0; i < processors; i++)
		wanted_ldr[i] = 1u << i;
	set_up_all();
	for (unsigned set = 1; set <= all; set += 1 + set / 4) {
		apic_send(IPI_VECTOR | SMP_LOGICAL, set);
		expect("logical set", IPI_VECTOR, set);
	}
	if (x2apic) {
		apic_send(IPI_VECTOR | SMP_LOGICAL, 0x10001);
		expect("another cluster", IPI_VECTOR, 0);
		return;
	}
	wanted_dfr = 0x0fffffff;
	for (unsigned i = 0; i < processors; i++)
		wanted_ldr[i] = i / 2 << 4 | 1u << i % 2;
	set_up_all();
	apic_send(IPI_VECTOR | SMP_LOGICAL, 0x03);
	expect("cluster 0", IPI_VECTOR, 3);
	apic_send(IPI_VECTOR | SMP_LOGICAL, 0x12);
	expect("cluster 1", IPI_VECTOR, all & 8);
	apic_send(IPI_VECTOR | SMP_LOGICAL, 0xff);
	expect("all clusters", IPI_VECTOR, all);
}

static uint32_t sum_of(unsigned vector)
{
	uint32_t sum = 0;

	for (unsigned i = 0; i < processors; i++)
		sum += counts[vector][i];
	return sum;
}

/* Every one goes to one processor, and to none whose priority is higher than another's. */
static void test_lowest_priority(void)
{
	wanted_dfr = 0xffffffff;
	for (unsigned i = 0; i < processors; i++) {
		wanted_ldr[i] = 1u << i;
		wanted_tpr[i] = i == processors - 1 ? 0 : 0x20;
	}
	set_up_all();
	for (unsigned sent = 1; sent <= LOWEST_SENT; sent++) {
		apic_send(LOWEST_VECTOR | SMP_DELIVER_LOWEST | SMP_LOGICAL, (1u << processors) - 1);
		guest_check(smp_wait(&counts[LOWEST_VECTOR][processors - 1], sent), "%s: lowest priority: %u of %u", mode,
			    counts[LOWEST_VECTOR][processors - 1], sent);
	}
	guest_check(sum_of(LOWEST_VECTOR) == LOWEST_SENT, "%s: lowest priority: %u came of %u", mode, sum_of(LOWEST_VECTOR), LOWEST_SENT);
	for (unsigned i = 0; i < processors; i++)
		wanted_tpr[i] = counts[LOWEST_VECTOR][i] = 0;
	set_up_all();
}

static void test_token(void)
{
	uint64_t start = rdtsc();

	hops = 0;
	apic_send(TOKEN_VECTOR, 1);
	while (hops < TOKEN_HOPS && rdtsc() - start < 5 * tsc_hertz())
		interrupts_window();
	guest_check(hops == TOKEN_HOPS, "%s: the token went %u hops of %u", mode, hops, TOKEN_HOPS);
	guest_print("smp_messages: %s: %llu ticks from processor to processor\n", mode, (unsigned long long)((rdtsc() - start) / TOKEN_HOPS));
}

/* In xAPIC mode still, while the first processor is in x2APIC mode. */
static void mixed_processor(unsigned index)
{
	(void)index;
	mmio_write(LOCAL_APIC + APIC_SVR, 0x1ff);
	__atomic_fetch_add(&alive, 1, __ATOMIC_SEQ_CST);
	while (!(mmio_read(LOCAL_APIC + APIC_IRR + IPI_VECTOR / 32 * 16) >> IPI_VECTOR % 32 & 1))
		__asm__ volatile("pause");
	mmio_write(LOCAL_APIC + APIC_ICR_HIGH, 0);
	mmio_write(LOCAL_APIC + APIC_ICR_LOW, IPI_VECTOR);
}

static void test_mixed_modes(void)
{
	uint64_t start;

	mode = "mixed";
	alive = 0;
	apic_enable(true);
	smp_start_processor(1, mixed_processor);
	guest_check(smp_wait(&alive, 1), "mixed: the processor in xAPIC mode does not start");
	apic_send(IPI_VECTOR, 1);
	for (start = rdtsc(); counts[IPI_VECTOR][0] == 0 && rdtsc() - start < tsc_hertz() / 2;)
		interrupts_window();
	guest_check(counts[IPI_VECTOR][0] == 1, "mixed: %u answers from the processor in xAPIC mode", counts[IPI_VECTOR][0]);
	counts[IPI_VECTOR][0] = 0;
}

static void test_mode(bool in_x2apic)
{
	x2apic = in_x2apic;
	mode = x2apic ? "x2APIC" : "xAPIC";
	alive = 0;
	apic_enable(x2apic);
	for (unsigned i = 1; i < processors; i++)
		smp_start_processor(i, other_processor);
	guest_check(smp_wait(&alive, processors - 1), "%s: %u processors started", mode, alive);
	test_physical();
	test_nmi();
	test_logical();
	test_lowest_priority();
	test_token();
}

void guest_main(void)
{
	processors = smp_count();
	guest_check(processors >= 2 && processors <= SMP_MAX, "%u processors", processors);
	guest_check(cpuid(1, 0).ebx >> 16 == processors, "leaf 1 tells %u processors", cpuid(1, 0).ebx >> 16);
	guest_handle(IPI_VECTOR, on_ipi);
	guest_handle(LOWEST_VECTOR, on_ipi);
	guest_handle(TOKEN_VECTOR, on_token);
	guest_handle(SETUP_VECTOR, on_set_up);
	guest_handle(NMI, on_nmi);
	test_mode(false);
	test_mixed_modes();
	test_mode(true);
}
