/* Lists keep order, and taking an entry out twice is harmless. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/list.h"

struct item {
	int value;
	struct list link;
};

static void test_empty(void **state)
{
	struct list head;

	(void)state;
	list_init(&head);
	assert_true(list_is_empty(&head));
	list_for_each(link, &head)
		fail();
}

static void test_order_and_removal(void **state)
{
	struct item items[3] = {{.value = 0}, {.value = 1}, {.value = 2}};
	struct list head;
	int expected = 0;

	(void)state;
	list_init(&head);
	list_append(&head, &items[1].link);
	list_append(&head, &items[2].link);
	list_insert_before(&items[1].link, &items[0].link);
	list_for_each(link, &head)
		assert_int_equal(list_entry(link, struct item, link)->value, expected++);
	assert_int_equal(expected, 3);

	list_remove(&items[1].link);
	list_remove(&items[1].link);
	assert_ptr_equal(head.next, &items[0].link);
	assert_ptr_equal(items[0].link.next, &items[2].link);
	assert_ptr_equal(head.previous, &items[2].link);
	list_remove(&items[0].link);
	list_remove(&items[2].link);
	assert_true(list_is_empty(&head));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_order_and_removal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
