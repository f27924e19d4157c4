/* create, destroy, pause, unpause, reboot, shutdown and reset as a user types them; what they mean is vm_life.c's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/shell_fixture.h"
#include "vmm/sched/vm_life.h"
#include "vmm/shell/completion.h"
#include "vmm/shell/shell.h"

/* Named so that the archive's members come in. */
extern const struct shell_command shell_create_command, shell_help_command;
const void *const wanted[] = {&shell_create_command, &shell_help_command};
extern const void *const wanted[2];

static const char *asked; /* for what */
static struct vm *asked_of;
static char asked_name[CONFIG_NAME_SIZE];
static unsigned times;
static enum status create_status;

static void note(const char *what, struct vm *vm)
{
	asked = what;
	asked_of = vm;
	times++;
}

enum status vm_life_create_by_name(const char *name)
{
	note("create", NULL);
	snprintf(asked_name, sizeof(asked_name), "%s", name);
	return create_status;
}

const char *vm_life_creatable(uint32_t index)
{
	static const char *const names[] = {"mail", "more.conf"};

	return index < array_count(names) ? names[index] : NULL;
}

const char *log_level_name(enum log_level level)
{
	(void)level;
	return "info";
}

void vm_life_destroy(struct vm *vm) { note("destroy", vm); }
void vm_life_reset(struct vm *vm) { note("reset", vm); }
void vm_life_shutdown(struct vm *vm, bool reboot) { note(reboot ? "reboot" : "shutdown", vm); }
void vm_life_pause(struct vm *vm) { note("pause", vm); }
void vm_life_unpause(struct vm *vm) { note("unpause", vm); }

static int set_up(void **state)
{
	(void)state;
	fixture_start();
	shell_start();
	asked = "";
	asked_of = NULL;
	times = 0;
	create_status = STATUS_OK;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fixture_end();
	return 0;
}

static const char *run(const char *line)
{
	terminal_clear();
	times = 0;
	shell_execute(line);
	return terminal_text;
}

static void test_create(void **state)
{
	(void)state;
	run("create mail");
	assert_string_equal(asked, "create");
	assert_string_equal(asked_name, "mail");
	assert_null(strstr(terminal_text, "failed"));
	create_status = STATUS_NOT_FOUND;
	assert_non_null(strstr(run("create nobody"), "create: nobody: failed"));
	assert_non_null(strstr(run("create"), "usage: create NAME|FILE"));
	assert_int_equal(times, 0);
}

static void test_of_a_vm(void **state)
{
	static const char *const names[] = {"destroy", "pause", "reboot", "shutdown", "reset"};

	(void)state;
	for (unsigned i = 0; i < array_count(names); i++) {
		char line[32];

		snprintf(line, sizeof(line), "%s worker", names[i]);
		run(line);
		assert_int_equal(times, 1);
		assert_string_equal(asked, names[i]);
		assert_ptr_equal(asked_of, &fixture_vms[1]);
		snprintf(line, sizeof(line), "%s nobody", names[i]);
		assert_non_null(strstr(run(line), "no such VM"));
		assert_int_equal(times, 0);
	}
}

static void test_unpause(void **state)
{
	(void)state;
	assert_non_null(strstr(run("unpause web"), "web: is not paused"));
	fixture_vms[0].paused = true;
	assert_null(strstr(run("unpause web"), "not paused"));
	assert_string_equal(asked, "unpause");
	assert_non_null(strstr(run("pause web"), "web: is paused already"));
	assert_non_null(strstr(run("shutdown web"), "web: is paused; it will hear of it"));
	assert_string_equal(asked, "shutdown");
}

static void test_of_one_that_does_not_run(void **state)
{
	(void)state;
	fixture_vms[0].state = VM_STOPPED;
	fixture_vms[0].stop_announced = true;
	assert_non_null(strstr(run("pause web"), "web: does not run"));
	assert_non_null(strstr(run("shutdown web"), "web: does not run"));
	assert_int_equal(times, 0);
	run("reset web");
	assert_string_equal(asked, "reset");
	fixture_vms[0].state = VM_CREATED;
	assert_non_null(strstr(run("reset web"), "web: does not run"));
	run("destroy web");
	assert_string_equal(asked, "destroy");
}

static void test_help_and_completion(void **state)
{
	static const char *const names[] = {"create", "destroy", "pause", "unpause", "reboot", "shutdown", "reset"};
	struct completion completion;

	(void)state;
	for (unsigned i = 0; i < array_count(names); i++) {
		char line[32];

		snprintf(line, sizeof(line), "help %s", names[i]);
		assert_null(strstr(run(line), "no such command"));
		assert_non_null(strstr(terminal_text, names[i]));
	}
	completion_find("create m", 8, &completion);
	assert_int_equal(completion.count, 2);
	completion_find("create mo", 9, &completion);
	assert_int_equal(completion.count, 1);
	assert_string_equal(completion.candidates[0], "more.conf");
	completion_find("reset we", 8, &completion);
	assert_int_equal(completion.count, 1);
}

/* A script's commands are shown and run one after the other, whatever its length. */
static void test_script(void **state)
{
	char script[CONFIG_AUTOEXEC_SIZE] = "pause web; ;destroy worker;create mail";

	(void)state;
	terminal_clear();
	shell_execute_script(script);
	assert_int_equal(times, 3);
	assert_string_equal(asked, "create");
	const char *first = strstr(terminal_text, "pause web\r\n");
	assert_non_null(first);
	assert_non_null(strstr(first, "trivet> destroy worker\r\n"));
	times = 0;
	script[0] = '\0';
	for (unsigned i = 0; i < 40; i++)
		strcat(script, "pause web;  ");
	shell_execute_script(script);
	assert_int_equal(times, 40);
	shell_execute_script("");
	assert_int_equal(times, 40);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_create), TEST(test_of_a_vm), TEST(test_unpause), TEST(test_of_one_that_does_not_run), TEST(test_help_and_completion), TEST(test_script),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
