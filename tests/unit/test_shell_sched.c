/* sched, vcpu-list, vcpu-pin and top, as a user types them, over made-up VMs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "arch/x86/clock.h"
#include "lib/bits.h"
#include "tests/fake/fake_cpu.h"
#include "tests/fake/fake_pcpu.h"
#include "tests/unit/shell_fixture.h"
#include "vmm/sched/policy.h"
#include "vmm/sched/scheduler.h"
#include "vmm/sched/vm_life.h"
#include "vmm/shell/shell.h"

/* Named so that the archive's members come in; nothing else does. */
extern const struct shell_command shell_sched_command, shell_vcpu_list_command, shell_top_command, shell_help_command;
extern const void *const wanted[4];
const void *const wanted[4] = {&shell_sched_command, &shell_vcpu_list_command, &shell_top_command, &shell_help_command};

#define HZ 1000000000ull
#define SECOND HZ

static struct vcpu vcpus[3]; /* two of web, one of worker */
static enum status refusal;
static const char *refusal_text;
static struct config_sched set_to;
static unsigned calls;
static uint64_t affinity_set_to;
static struct scheduler_times times[2];

/* Only their names are of interest here. */
const struct sched_policy sched_policy_credit = {.name = "credit"}, sched_policy_rt = {.name = "rt"}, sched_policy_cyclic = {.name = "cyclic"},
	sched_policy_pinned = {.name = "pinned"};

const struct sched_policy *sched_policy_of(enum config_sched_policy policy)
{
	static const struct sched_policy *const policies[] = {&sched_policy_credit, &sched_policy_rt, &sched_policy_cyclic, &sched_policy_pinned};

	return policies[policy];
}

enum status scheduler_set_policy(struct vm *vm, const struct config_sched *settings, char *why)
{
	calls++;
	set_to = *settings;
	if (refusal == STATUS_OK)
		vm->sched_settings = *settings;
	strcpy(why, refusal_text);
	return refusal;
}

enum status scheduler_set_affinity(struct vcpu *vcpu, uint64_t cpus, char *why)
{
	calls++;
	affinity_set_to = cpus;
	if (refusal == STATUS_OK)
		vcpu->sched.affinity = cpus;
	strcpy(why, refusal_text);
	return refusal;
}

void scheduler_get_times(uint32_t index, struct scheduler_times *out)
{
	*out = times[index];
}

const char *vm_life_creatable(uint32_t index)
{
	(void)index;
	return NULL;
}

const char *log_level_name(enum log_level level)
{
	(void)level;
	return "info";
}

uint64_t vcpu_run_ticks(const struct vcpu *vcpu)
{
	return vcpu->sched.run_ticks;
}

static int set_up(void **state)
{
	(void)state;
	fixture_start();
	fake_pcpu_reset();
	assert_non_null(pcpu_add(1, 1));
	pcpu_get(1)->online = true;
	clock_set_frequency(HZ);
	fake_tsc = 100 * SECOND;
	fake_tsc_step = 0;
	memset(vcpus, 0, sizeof(vcpus));
	memset(times, 0, sizeof(times));
	refusal = STATUS_OK;
	refusal_text = "";
	calls = 0;
	for (unsigned i = 0; i < 3; i++) {
		struct vm *vm = &fixture_vms[i / 2];
		vcpus[i].vm = vm;
		vcpus[i].index = i % 2;
		vcpus[i].pcpu_index = i % 2;
		vcpus[i].state = i % 2 ? VCPU_BLOCKED : VCPU_RUNNING;
		vcpus[i].sched.affinity = UINT64_MAX;
		vcpus[i].sched.policy = &sched_policy_credit;
		vcpus[i].sched.since = 99 * SECOND;
		vm->vcpus[i % 2] = &vcpus[i];
		vm->vcpu_count = i % 2 + 1;
		vm->started_tsc = 90 * SECOND;
		vm->sched_settings = (struct config_sched){.policy = CONFIG_SCHED_CREDIT, .weight = 256};
	}
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fixture_end();
	return 0;
}

static void says(const char *line, const char *text)
{
	terminal_clear();
	shell_execute(line);
	if (strstr(terminal_text, text) == NULL)
		fail_msg("`%s` said:\n%s", line, terminal_text);
}

/* ---- sched ---- */

static void sched_shows_all(void **state)
{
	(void)state;
	vcpus[0].sched.run_ticks = 3 * SECOND;
	vcpus[1].sched.run_ticks = 3 * SECOND;
	vcpus[1].sched.wait_ticks = 2 * SECOND;
	vcpus[2].state = VCPU_RUNNABLE; /* for a second until now */
	fixture_vms[1].sched_settings = (struct config_sched){.policy = CONFIG_SCHED_RT, .budget = 2000, .period = 10500};
	says("sched", "Name                 Policy     Ran(s) Waited(s)  Got(%)  Settings\n");
	says("sched", "web                  credit        6.0       2.0    75.0  weight=256\n");
	says("sched", "worker               rt            0.0       1.0     0.0  budget=2ms period=10500us\n");
}

static void sched_shows_one(void **state)
{
	(void)state;
	vcpus[2].sched.policy = &sched_policy_rt;
	vcpus[2].sched.rt.budget_left = 1500000;
	vcpus[2].sched.rt.missed = 7;
	vcpus[2].sched.run_ticks = 1250 * SECOND / 1000;
	says("sched worker", "  vCPU 0 on CPU 0: ran 1.2 s, waited 0.0 s, 1500 us of budget left, 7 periods missed\n");
	assert_null(strstr(terminal_text, "web"));
	vcpus[2].sched.policy = &sched_policy_cyclic;
	vcpus[2].sched.cyclic.late_max = 4200;
	fixture_vms[1].sched_settings = (struct config_sched){
		.policy = CONFIG_SCHED_CYCLIC, .frame = 20000, .window_count = 2, .windows = {{0, 5000}, {10000, 250}}};
	says("sched worker", "windows begin at most 5 us late\n");
	says("sched worker", " cyclic ");
	says("sched worker", "  frame=20ms window=0ms+5ms window=10ms+250us\n");
	says("sched frob", "frob: no such VM");
}

static void sched_changes(void **state)
{
	(void)state;
	says("sched web credit weight=512 cap=150", "  weight=512 cap=150\n");
	assert_int_equal(calls, 1);
	assert_int_equal(set_to.cap, 150);
	says("sched web cyclic frame=20ms window=0ms+5ms window=10ms+5ms", "window=10ms+5ms\n");
	assert_int_equal(set_to.window_count, 2);
	says("sched worker pinned", "worker               pinned");
	assert_int_equal(set_to.policy, CONFIG_SCHED_PINNED);
	refusal = STATUS_DENIED;
	refusal_text = "needs 60.0% of a CPU";
	says("sched worker rt budget=6ms period=10ms", "worker: refused: needs 60.0% of a CPU\n");
	assert_int_equal(set_to.budget, 6000);
	refusal = STATUS_TIMEOUT;
	refusal_text = "";
	says("sched worker pinned", "worker: refused: ");
	assert_non_null(strstr(terminal_text, status_name(STATUS_TIMEOUT)));
}

/* What the configuration would refuse changes nothing. */
static void sched_refuses_bad_settings(void **state)
{
	static const char *const lines[] = {
		"sched web credit weight=0", "sched web credit wieght=1", "sched web frob", "sched web rt budget=2ms", "sched web rt budget=5ms period=2ms",
		"sched web cyclic frame=10ms window=8ms+5ms", "sched web pinned weight=5", "sched web credit weight",
	};

	(void)state;
	for (unsigned i = 0; i < array_count(lines); i++)
		says(lines[i], "; expected ");
	says("sched web credit wieght=1", "did you mean 'weight'?\n");
	says("sched web credit weight=1 cap=201", "cap=201: web has 2 vCPUs, which can use 200% of one CPU at most\n");
	says("sched worker credit cap=101", "100% of one CPU at most\n");
	assert_int_equal(calls, 0);
}

/* ---- vcpu-list, vcpu-pin ---- */

static void vcpu_list_shows_all(void **state)
{
	(void)state;
	vcpus[0].sched.run_ticks = 12 * SECOND;
	vcpus[1].sched.wait_ticks = 345 * SECOND / 100;
	vcpus[1].sched.migrations = 17;
	vcpus[1].sched.affinity = 0x27;
	vcpus[2].sched.policy = &sched_policy_pinned;
	vcpus[2].sched.affinity = BIT(63) | BIT(62) | 1;
	says("vcpu-list", "Name                  V CPU  State          Policy     Ran(s) Waited(s)  Moves  CPUs\n");
	says("vcpu-list", "web                   0   0  running        credit       12.0       0.0      0  all\n");
	says("vcpu-list", "web                   1   1  blocked        credit        0.0       3.4     17  0-2,5\n");
	says("vcpu-list", "worker                0   0  running        pinned        0.0       0.0      0  0,62-63\n");
	says("vcpu-list worker", "worker                0");
	assert_null(strstr(terminal_text, "web"));
	vcpus[2].sched.policy = NULL;
	vcpus[2].state = VCPU_WAIT_SIPI;
	says("vcpu-list worker", "waits for SIPI none");
	says("vcpu-list frob", "no such VM");
}

static void vcpu_pin_moves(void **state)
{
	(void)state;
	says("vcpu-pin web 1 0-2,5", "web, vCPU 1: CPUs 0-2,5\n");
	assert_true(vcpus[1].sched.affinity == 0x27);
	says("vcpu-pin web 1 all", "web, vCPU 1: CPUs all\n");
	assert_true(vcpus[1].sched.affinity == UINT64_MAX);
	refusal = STATUS_DENIED;
	refusal_text = "CPU 1 has rt vCPUs";
	says("vcpu-pin web 0 1", "web, vCPU 0: refused: CPU 1 has rt vCPUs\n");
	assert_true(affinity_set_to == 2 && vcpus[0].sched.affinity == UINT64_MAX);
}

static void vcpu_pin_refuses(void **state)
{
	(void)state;
	says("vcpu-pin web 1", "usage: vcpu-pin NAME V CPUS");
	says("vcpu-pin web 2 0", "2: V is a number from 0 to 0x1");
	says("vcpu-pin frob 0 0", "no such VM");
	says("vcpu-pin web 0 5-2", "; expected all, or a list");
	says("vcpu-pin web 0 64", "; expected ");
	says("vcpu-pin web 0 0,", "; expected ");
	says("vcpu-pin web 0 frob", "; expected ");
	assert_int_equal(calls, 0);
}

/* A VM that is being taken down has vCPUs that the scheduler does not know any more. */
static void nothing_changes_while_it_goes(void **state)
{
	(void)state;
	vcpus[1].sched.policy = NULL;
	says("vcpu-pin web 1 0", "web: not now, it is being created or destroyed\n");
	says("sched web pinned", "web: not now, it is being created or destroyed\n");
	assert_int_equal(calls, 0);
	says("vcpu-pin web 0 0", "web, vCPU 0: CPUs 0\n");
}

/* ---- top ---- */

static void top_shows_shares(void **state)
{
	(void)state;
	/* The first time since the start of each: ten seconds ago. */
	vcpus[0].sched.run_ticks = 5 * SECOND;
	vcpus[0].exit_counts[10] = 1000;
	vcpus[1].sched.run_ticks = 10 * SECOND;
	times[0] = (struct scheduler_times){.guest = 50 * SECOND, .idle = 40 * SECOND, .total = 100 * SECOND, .switches = 500};
	times[1] = (struct scheduler_times){.idle = 100 * SECOND, .total = 100 * SECOND};
	says("top", "since the start of each:\n"
		    "CPU 0   guests    50.0%, idle    40.0%, Trivet    10.0%, 5 switches/s\n"
		    "CPU 1   guests     0.0%, idle   100.0%, Trivet     0.0%, 0 switches/s\n"
		    "Name                  V CPU   CPU(%)      Exits/s\n"
		    "web                            150.0          100\n"
		    "                      0   0     50.0          100\n"
		    "                      1   1    100.0            0\n"
		    "worker                           0.0            0\n");
	/* Then since the last one, four seconds ago. */
	fake_tsc += 4 * SECOND;
	vcpus[0].sched.run_ticks += SECOND;
	vcpus[0].exit_counts[12] = 8000;
	vcpus[2].sched.run_ticks = SECOND / 250;
	times[0].guest += 2 * SECOND;
	times[0].idle += SECOND;
	times[0].total += 4 * SECOND;
	says("top", "in the last 4.0 s:\n"
		    "CPU 0   guests    50.0%, idle    25.0%, Trivet    25.0%, 0 switches/s\n");
	assert_non_null(strstr(terminal_text, "web                             25.0         2000\n"));
	assert_non_null(strstr(terminal_text, "worker                           0.1            0\n"));
	/* A VM that came meanwhile, with the name of an old one, counts from its own start. */
	fake_tsc += 4 * SECOND;
	fixture_vms[0].id = 99;
	fixture_vms[0].started_tsc = fake_tsc - SECOND;
	vcpus[0].sched.run_ticks = SECOND / 2;
	vcpus[1].sched.run_ticks = 0;
	says("top", "web                             50.0");
	/* CPUs that do not run are not shown. */
	pcpu_get(1)->online = false;
	says("top", "CPU 0 ");
	assert_null(strstr(terminal_text, "CPU 1 "));
}

static void help_and_completion(void **state)
{
	(void)state;
	says("help sched", "sched [NAME [POLICY SETTING=VALUE ...]]");
	says("help top", "since the last `top`");
	says("help vcpu-pin", "vcpu-pin NAME V CPUS");
	says("help vcpu-list", "vcpu-list [NAME]");
	terminal_clear();
	shell_start();
	terminal_type("vcpu-p\two\t0 1\r");
	assert_non_null(strstr(terminal_text, "worker, vCPU 0: CPUs 1\n"));
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(sched_shows_all), TEST(sched_shows_one), TEST(sched_changes), TEST(sched_refuses_bad_settings), TEST(vcpu_list_shows_all),
		TEST(vcpu_pin_moves), TEST(vcpu_pin_refuses), TEST(nothing_changes_while_it_goes), TEST(top_shows_shares), TEST(help_and_completion),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
