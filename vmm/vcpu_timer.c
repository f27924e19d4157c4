#include "vmm/vcpu_timer.h"

#include "arch/x86/clock.h"
#include "vmm/vcpu.h"

static struct vcpu_timer *timer_of(struct list *link)
{
	return list_entry(link, struct vcpu_timer, link);
}

void vcpu_timer_init(struct vcpu_timer *timer, struct vcpu *vcpu, vcpu_timer_expire expire)
{
	list_init(&timer->link);
	timer->deadline = UINT64_MAX;
	timer->expire = expire;
	timer->vcpu = vcpu;
	timer->vector = 0;
}

void vcpu_timer_arm(struct vcpu_timer *timer, uint64_t deadline)
{
	struct list *timers = &timer->vcpu->timers;
	struct list *position;

	if (timer->vcpu->timer_in_hardware == timer)
		vcpu_timer_take_back(timer->vcpu);
	list_remove(&timer->link);
	timer->deadline = deadline;
	for (position = timers->next; position != timers; position = position->next) {
		if (timer_of(position)->deadline > deadline)
			break;
	}
	list_insert_before(position, &timer->link);
	/* The run loop knows the first deadline that the hardware does not look after. */
	if (timers->next == &timer->link || timer->vcpu->timer_in_hardware)
		vcpu_kick(timer->vcpu, VCPU_REQUEST_TIMER);
}

void vcpu_timer_cancel(struct vcpu_timer *timer)
{
	if (timer->vcpu->timer_in_hardware == timer)
		vcpu_timer_take_back(timer->vcpu);
	/* The CPU may still wake at the old deadline; it then finds nothing due. */
	list_remove(&timer->link);
}

bool vcpu_timer_is_armed(const struct vcpu_timer *timer)
{
	return !list_is_empty(&timer->link);
}

/* Moves what is due at @now, in order, to the empty list @due. */
static void take_due(struct list *timers, uint64_t now, struct list *due)
{
	while (!list_is_empty(timers) && timer_of(timers->next)->deadline <= now) {
		struct list *link = timers->next;

		list_remove(link);
		list_append(due, link);
	}
}

uint64_t vcpu_timer_next(const struct vcpu *vcpu)
{
	return list_is_empty(&vcpu->timers) ? UINT64_MAX : timer_of(vcpu->timers.next)->deadline;
}

uint64_t vcpu_timers_run(struct vcpu *vcpu, uint64_t now)
{
	struct list due;

	/* Each timer expires once per call: one that arms itself again in the past, as a guest can bring about, waits for
	 * the next call. On a list of their own the due ones may still be cancelled or armed by each other. */
	list_init(&due);
	take_due(&vcpu->timers, now, &due);
	while (!list_is_empty(&due)) {
		struct vcpu_timer *timer = timer_of(due.next);

		list_remove(&timer->link);
		timer->expire(timer);
	}
	return vcpu_timer_next(vcpu);
}

uint64_t vcpu_timer_entrust(struct vcpu *vcpu)
{
	struct list *timers = &vcpu->timers;

	if (list_is_empty(timers))
		return UINT64_MAX;
	struct vcpu_timer *first = timer_of(timers->next);
	if (first->vector == 0 || !virt_ops->apic_arm_timer(&vcpu->virt, first->vector, first->deadline))
		return first->deadline;
	vcpu->timer_in_hardware = first;
	return first->link.next == timers ? UINT64_MAX : timer_of(first->link.next)->deadline;
}

void vcpu_timer_take_back(struct vcpu *vcpu)
{
	struct vcpu_timer *timer = vcpu->timer_in_hardware;

	if (timer == NULL)
		return;
	vcpu->timer_in_hardware = NULL;
	bool is_delivered = !virt_ops->apic_disarm_timer(&vcpu->virt);
	if (!is_delivered && timer->deadline > clock_now())
		return;
	list_remove(&timer->link);
	if (!is_delivered)
		timer->expire(timer);
}
