#include "vmm/dev/local_apic.h"

#include "arch/x86/clock.h"

/* The timer's input clock is the TSC itself: CPUID leaf 15h tells the guest a crystal of the TSC's frequency with ratio
 * 1 : 1, and the bus clock of an APIC timer is the crystal. SDM Vol. 3A "APIC Timer". */

static uint32_t timer_mode(const struct local_apic *apic)
{
	return apic->timer_lvt & LOCAL_APIC_LVT_TIMER_MODE;
}

/* From the initial count to zero [TSC ticks]; less than 2^39. */
static uint64_t counting_time(const struct local_apic *apic)
{
	return (uint64_t)apic->initial_count << apic->divide_shift;
}

/* When a periodic timer that was due at @deadline is due again. Periods that went by unseen are left out. */
static uint64_t next_period(const struct local_apic *apic, uint64_t deadline)
{
	uint64_t period = max_u64(counting_time(apic), LOCAL_APIC_PERIOD_MIN);
	uint64_t next = deadline + period;
	uint64_t now = clock_now();

	if (likely(next > now))
		return next;
	return now + period - (now - deadline) % period;
}

static void expire(struct vcpu_timer *timer)
{
	struct local_apic *apic = container_of(timer, struct local_apic, timer);

	apic->tsc_deadline = 0;
	if (timer_mode(apic) == LOCAL_APIC_LVT_PERIODIC)
		vcpu_timer_arm(timer, next_period(apic, timer->deadline));
	local_apic_accept_lvt(apic, LOCAL_APIC_LVT_TIMER);
}

void local_apic_timer_init(struct local_apic *apic)
{
	vcpu_timer_init(&apic->timer, apic->vcpu, expire);
}

void local_apic_timer_stop(struct local_apic *apic)
{
	vcpu_timer_cancel(&apic->timer);
	apic->initial_count = 0;
	local_apic_set(apic, LOCAL_APIC_INITIAL_COUNT, 0);
	apic->tsc_deadline = 0;
}

static void start_counting(struct local_apic *apic)
{
	uint64_t ticks = counting_time(apic);

	if (timer_mode(apic) == LOCAL_APIC_LVT_PERIODIC)
		ticks = max_u64(ticks, LOCAL_APIC_PERIOD_MIN);
	vcpu_timer_arm(&apic->timer, clock_now() + ticks);
}

void local_apic_timer_set_initial_count(struct local_apic *apic, uint32_t count)
{
	uint32_t mode = timer_mode(apic);

	if (mode == LOCAL_APIC_LVT_ONE_SHOT || mode == LOCAL_APIC_LVT_PERIODIC)
		apic->initial_count = count;
	local_apic_set(apic, LOCAL_APIC_INITIAL_COUNT, apic->initial_count);
	if (mode != LOCAL_APIC_LVT_ONE_SHOT && mode != LOCAL_APIC_LVT_PERIODIC)
		return;
	if (count == 0)
		vcpu_timer_cancel(&apic->timer);
	else
		start_counting(apic);
}

uint32_t local_apic_timer_current_count(const struct local_apic *apic)
{
	uint64_t now, left;

	if (timer_mode(apic) == LOCAL_APIC_LVT_TSC_DEADLINE || !vcpu_timer_is_armed(&apic->timer))
		return 0;
	now = clock_now();
	if (now >= apic->timer.deadline)
		return 0;
	left = (apic->timer.deadline - now + BIT(apic->divide_shift) - 1) >> apic->divide_shift;
	return (uint32_t)min_u64(left, apic->initial_count);
}

/* Bits 3, 1 and 0 encode division by 2, 4, ... 128, then 1. What is left to count goes on at the new pace. */
void local_apic_timer_set_divide(struct local_apic *apic, uint32_t value)
{
	uint32_t left = local_apic_timer_current_count(apic);
	unsigned encoded = (value >> 1 & 4) | (value & 3);

	local_apic_set(apic, LOCAL_APIC_DIVIDE, value & 0xb);
	apic->divide_shift = (uint8_t)((encoded + 1) & 7);
	if (left != 0)
		vcpu_timer_arm(&apic->timer, clock_now() + ((uint64_t)left << apic->divide_shift));
}

/* What is all that the timer does when it expires, so that the hardware can do it; 0 if it does more. */
static uint8_t hardware_vector(const struct local_apic *apic)
{
	uint8_t vector = apic->timer_lvt & LOCAL_APIC_LVT_VECTOR;
	bool is_masked = (apic->timer_lvt & LOCAL_APIC_LVT_MASKED) != 0;

	if (!local_apic_is_in_hardware(apic) || is_masked || timer_mode(apic) != LOCAL_APIC_LVT_TSC_DEADLINE)
		return 0;
	return vector >= LOCAL_APIC_FIRST_VECTOR ? vector : 0;
}

/* One-shot and periodic may take turns while the timer counts; going to or from TSC-deadline mode disarms it. */
void local_apic_timer_lvt_changed(struct local_apic *apic)
{
	uint32_t lvt = local_apic_get(apic, LOCAL_APIC_LVT + LOCAL_APIC_LVT_TIMER);
	uint32_t changed = apic->timer_lvt ^ lvt;

	vcpu_timer_take_back(apic->vcpu);
	apic->timer_lvt = lvt;
	if (changed & LOCAL_APIC_LVT_TSC_DEADLINE)
		local_apic_timer_stop(apic);
	apic->timer.vector = hardware_vector(apic);
	if (vcpu_timer_is_armed(&apic->timer))
		vcpu_kick(apic->vcpu, VCPU_REQUEST_TIMER);
}

/* Guest and host count at one pace from different starts; neither a deadline long past nor one far ahead may wrap. */
static uint64_t host_deadline(const struct vcpu *vcpu, uint64_t deadline)
{
	uint64_t guest_now = vcpu_guest_tsc(vcpu);
	uint64_t host = vcpu_host_tsc_from_guest(vcpu, deadline);

	if (deadline <= guest_now)
		return 0;
	return host >= deadline - guest_now ? host : UINT64_MAX;
}

uint64_t local_apic_timer_get_deadline(struct local_apic *apic)
{
	if (apic->vcpu->timer_in_hardware == &apic->timer) {
		vcpu_timer_take_back(apic->vcpu);
		vcpu_kick(apic->vcpu, VCPU_REQUEST_TIMER);
	}
	return vcpu_timer_is_armed(&apic->timer) ? apic->tsc_deadline : 0;
}

void local_apic_timer_set_deadline(struct local_apic *apic, uint64_t deadline)
{
	struct vcpu *vcpu = apic->vcpu;

	if (timer_mode(apic) != LOCAL_APIC_LVT_TSC_DEADLINE)
		return;
	/* What was due before comes in any case. */
	vcpu_timer_take_back(vcpu);
	apic->tsc_deadline = deadline;
	if (deadline == 0)
		vcpu_timer_cancel(&apic->timer);
	else
		vcpu_timer_arm(&apic->timer, host_deadline(vcpu, deadline));
}
