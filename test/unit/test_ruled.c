/* SPDX-License-Identifier: MIT */
/*
 * What has passed, from what rules and queues have counted: looks at a kernel that is made here. Rules that are set back, come and
 * go, queues whose counts go round, packets on their way, and all that makes that it is not known. On a real kernel:
 * test/command/policies.sh.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

#include "tools/ruled/private.h"

/* ---- a kernel ---- */

#define QUEUES 4u
#define RULES 4u

static struct {
	struct {
		bool is_bound;
		uint32_t portid, offered;
	} queues[QUEUES]; /* 0 to 3 */
	struct vd_ruled_rule rules[RULES];
	bool has_computed;
	int error;
	unsigned looks;
	void (*between)(void);	/* rules were read, the queues will be */
	void (*afterwards)(void); /* all was read */
} kernel;

static int fake_queues(struct vd_ruled_sources *sources, struct vd_ruled_queue *of, unsigned count)
{
	(void)sources;
	for (unsigned i = 0; i < count; i++) {
		of[i].is_bound = kernel.queues[of[i].number].is_bound;
		of[i].portid = kernel.queues[of[i].number].portid;
		of[i].offered = kernel.queues[of[i].number].offered;
	}
	return 0;
}

static void fake_look(struct vd_ruled_sources *sources, struct vd_ruled_look *look)
{
	struct vd_ruled_rules rules = {.has_computed = kernel.has_computed};

	kernel.looks++;
	look->error = kernel.error;
	fake_queues(sources, look->queues, look->queue_count);
	memcpy(look->before, look->queues, sizeof look->before);
	for (unsigned i = 0; i < RULES; i++)
		if (kernel.rules[i].is_counted || kernel.rules[i].has_bypass)
			vd_ruled_add(&rules, &kernel.rules[i]);
	look->has_computed = rules.has_computed;
	look->sum_count = vd_ruled_sum(&rules, vd_ruled_has_ours, look, look->sums, VD_RULED_MAX);
	free(rules.rule);
	if (kernel.between)
		kernel.between();
	fake_queues(sources, look->queues, look->queue_count);
	if (kernel.afterwards)
		kernel.afterwards();
}

#define vd_ruled_look_take fake_look
#define vd_ruled_look_queues fake_queues
#include "tools/ruled/ruled.c"

static struct vd_queue_stats queues[QUEUES];
static unsigned queue_count;
static struct vd_ruled *ruled;
static struct vd_ruled_stats stats;

/* Queues from 0 on, each bound and with fail-open. */
static int set_up(void **state)
{
	(void)state;
	memset(&kernel, 0, sizeof kernel);
	memset(queues, 0, sizeof queues);
	queue_count = 1;
	for (unsigned i = 0; i < QUEUES; i++) {
		kernel.queues[i].is_bound = true;
		kernel.queues[i].portid = 100 + i;
		queues[i].queue = i;
		queues[i].fail_open = true;
	}
	ruled = vd_ruled_open(NULL);
	return !ruled;
}

static int tear_down(void **state)
{
	(void)state;
	vd_ruled_close(ruled);
	return 0;
}

static void set_rule(unsigned i, unsigned first, unsigned last, uint64_t packets)
{
	kernel.rules[i] = (struct vd_ruled_rule){.first = (uint16_t)first, .last = (uint16_t)last, .is_counted = true, .packets = packets};
}

static void remove_rule(unsigned i)
{
	kernel.rules[i] = (struct vd_ruled_rule){0};
}

/* So many come by a rule to a queue, that takes a part. */
static void come(unsigned rule, unsigned queue, uint64_t packets, uint32_t taken)
{
	kernel.rules[rule].packets += packets;
	kernel.queues[queue].offered += taken;
}

static void read_now(void)
{
	vd_ruled_read(ruled, VD_RULED_NOW, queues, queue_count, &stats);
}

static void expect(unsigned i, unsigned first, unsigned last, uint64_t passed, unsigned resets)
{
	assert_true(i < stats.count);
	assert_int_equal(stats.ranges[i].first, first);
	assert_int_equal(stats.ranges[i].last, last);
	assert_int_equal(stats.ranges[i].doubt, VD_RULED_SURE);
	assert_int_equal(stats.ranges[i].queue_passed, passed);
	assert_int_equal(stats.ranges[i].resets, resets);
}

/* ---- what has passed ---- */

static void what_is_missing_has_passed(void **state)
{
	(void)state;
	set_rule(0, 0, 0, 1000); /* before the queue was bound */
	come(0, 0, 20, 20);	 /* since */
	read_now();
	expect(0, 0, 0, 0, 0);
	assert_int_equal(stats.ranges[0].packets_before, 1020);
	come(0, 0, 100, 10);
	read_now();
	expect(0, 0, 0, 90, 0);
	assert_int_equal(stats.ranges[0].packets, 1120);
	assert_int_equal(stats.ranges[0].offered, 10);
	come(0, 0, 50, 50);
	read_now();
	expect(0, 0, 0, 90, 0);
	assert_int_equal(stats.ranges[0].offered, 60);
}

/* Without fail-open what is missing was thrown away by the kernel; when it can, it may have passed. */
static void only_what_may_pass_has_passed(void **state)
{
	(void)state;
	queues[0].fail_open = false;
	set_rule(0, 0, 0, 0);
	read_now();
	come(0, 0, 100, 10);
	read_now();
	expect(0, 0, 0, 0, 0);
	queues[0].fail_open = true;
	come(0, 0, 20, 10);
	read_now();
	expect(0, 0, 0, 10, 0);
	queues[0].fail_open = false;
	come(0, 0, 20, 10);
	read_now();
	expect(0, 0, 0, 20, 0);
	come(0, 0, 20, 10);
	read_now();
	expect(0, 0, 0, 20, 0);
}

static void more_come(void)
{
	come(0, 0, 5, 5);
}

static void they_arrive(void)
{
	kernel.queues[0].offered += 3;
	kernel.afterwards = NULL;
}

/* Packets that come while it is read, and such that are between the rule and the queue then. */
static void what_is_on_its_way_has_not_passed(void **state)
{
	(void)state;
	set_rule(0, 0, 0, 0);
	kernel.between = more_come;
	for (unsigned i = 0; i < 10; i++) {
		read_now();
		expect(0, 0, 0, 0, 0);
	}
	kernel.between = NULL;
	kernel.rules[0].packets += 3;
	kernel.afterwards = they_arrive;
	read_now();
	expect(0, 0, 0, 0, 0);
	come(0, 0, 10, 0);
	read_now();
	expect(0, 0, 0, 10, 0);
}

/* Counts of a queue have 32 bits, and those of rules 64. */
static void counts_go_round(void **state)
{
	uint64_t sent = 0;

	(void)state;
	set_rule(0, 0, 0, 0);
	kernel.queues[0].offered = UINT32_MAX - 10;
	read_now();
	come(0, 0, 120, 100);
	read_now();
	expect(0, 0, 0, 20, 0);
	for (unsigned i = 0; i < 5; i++) { /* more than there is room for, from one look to the next */
		come(0, 0, 10000000007, (uint32_t)10000000000);
		sent += 10000000000;
		read_now();
	}
	expect(0, 0, 0, 55, 0);
	assert_int_equal(stats.ranges[0].offered, 100 + sent);
}

static void several_queues_of_one_rule(void **state)
{
	(void)state;
	queue_count = 3;
	set_rule(0, 0, 2, 0);
	read_now();
	come(0, 0, 10, 10);
	come(0, 1, 50, 20);
	come(0, 2, 40, 0);
	read_now();
	assert_int_equal(stats.count, 1);
	expect(0, 0, 2, 70, 0);
	assert_int_equal(stats.ranges[0].offered, 30);
}

/* Those of one queue, those that overlap, and those that have nothing to do with each other. */
static void several_rules(void **state)
{
	(void)state;
	queue_count = 3;
	set_rule(0, 2, 2, 0);
	set_rule(1, 0, 1, 0);
	set_rule(2, 1, 1, 0);
	set_rule(3, 0, 0, 0);
	read_now();
	come(0, 2, 10, 9);
	come(1, 0, 10, 8);
	come(2, 1, 10, 7);
	come(3, 0, 10, 6);
	read_now();
	assert_int_equal(stats.count, 2);
	expect(0, 0, 1, 9, 0);
	assert_int_equal(stats.ranges[0].rules, 3);
	expect(1, 2, 2, 1, 0);
	remove_rule(0); /* nobody's queue */
	set_rule(0, 3, 3, 5);
	read_now();
	assert_int_equal(stats.count, 2);
	assert_int_equal(stats.ranges[1].rules, 0);
}

/* ---- rules change ---- */

/* Zeroed, or deleted and made again, with a look in between or without: what has passed stays, and it goes on. */
static void rules_that_are_set_back(void **state)
{
	(void)state;
	set_rule(0, 0, 0, 0);
	read_now();
	come(0, 0, 100, 10);
	read_now();
	expect(0, 0, 0, 90, 0);
	set_rule(0, 0, 0, 0);
	come(0, 0, 20, 15); /* that 5 of these passed is not known */
	read_now();
	expect(0, 0, 0, 90, 1);
	come(0, 0, 20, 15);
	read_now();
	expect(0, 0, 0, 95, 1);
	set_rule(0, 0, 0, 0);
	come(0, 0, 200, 200); /* more than it had counted before */
	read_now();
	expect(0, 0, 0, 95, 2);
	come(0, 0, 20, 0);
	read_now();
	expect(0, 0, 0, 115, 2);
	assert_int_equal(stats.ranges[0].offered, 240);
}

/* By more than half of what differences have room for. */
static void rules_that_are_set_back_far(void **state)
{
	(void)state;
	set_rule(0, 0, 0, 0);
	read_now();
	come(0, 0, 3000000000, (uint32_t)3000000000);
	read_now();
	expect(0, 0, 0, 0, 0);
	set_rule(0, 0, 0, 0);
	read_now();
	expect(0, 0, 0, 0, 1);
}

static void rules_that_go_and_come(void **state)
{
	(void)state;
	read_now();
	assert_int_equal(stats.count, 0);
	set_rule(0, 0, 0, 0);
	come(0, 0, 100, 10); /* new: all that it has counted came since */
	read_now();
	expect(0, 0, 0, 90, 0);
	remove_rule(0);
	read_now();
	expect(0, 0, 0, 90, 1);
	assert_int_equal(stats.ranges[0].packets, 0);
	assert_int_equal(stats.ranges[0].rules, 0);
	set_rule(0, 0, 0, 0);
	come(0, 0, 100, 50);
	read_now();
	expect(0, 0, 0, 140, 1);
	queue_count = 2; /* the queue's rule becomes one of several */
	set_rule(0, 0, 1, 7);
	read_now();
	assert_int_equal(stats.count, 2);
	for (unsigned i = 0; i < 2; i++)
		if (stats.ranges[i].last == 1)
			expect(i, 0, 1, 0, 0); /* as the second queue is new */
		else
			expect(i, 0, 0, 140, 2);
	come(0, 1, 10, 5);
	read_now();
	for (unsigned i = 0; i < 2; i++)
		if (stats.ranges[i].last == 1)
			expect(i, 0, 1, 5, 0);
}

static void give_back(void)
{
	if (kernel.looks == 2)
		kernel.rules[0].packets += 1000;
}

/* Another rule was added: the table has lost its counts, and gets them back. */
static void rules_that_are_being_replaced(void **state)
{
	(void)state;
	set_rule(0, 0, 0, 1000);
	read_now();
	kernel.looks = 0;
	kernel.rules[0].packets -= 1000;
	kernel.afterwards = give_back;
	come(0, 0, 30, 10);
	read_now();
	expect(0, 0, 0, 20, 0);
	assert_true(kernel.looks > 2);
}

/* The same in the first look. */
static void rules_that_are_being_replaced_at_first(void **state)
{
	(void)state;
	set_rule(0, 0, 0, 0);
	kernel.looks = 1;
	kernel.afterwards = give_back;
	read_now();
	kernel.afterwards = NULL;
	come(0, 0, 30, 10);
	read_now();
	expect(0, 0, 0, 20, 0);
}

static void queues_that_are_bound_anew(void **state)
{
	(void)state;
	set_rule(0, 0, 0, 0);
	read_now();
	come(0, 0, 100, 10);
	read_now();
	expect(0, 0, 0, 90, 0);
	kernel.queues[0].portid = 7;
	kernel.queues[0].offered = 0;
	kernel.rules[0].packets += 1000; /* nobody had it bound */
	read_now();
	expect(0, 0, 0, 90, 0);
	come(0, 0, 10, 8);
	read_now();
	expect(0, 0, 0, 92, 0);
}

/* ---- what is not known ---- */

/* Of the range that has rules. */
static void expect_doubt(enum vd_ruled_doubt doubt_wanted)
{
	unsigned seen = 0;

	read_now();
	for (unsigned i = 0; i < stats.count; i++)
		if (stats.ranges[i].rules) {
			assert_int_equal(stats.ranges[i].doubt, doubt_wanted);
			seen++;
		}
	assert_int_equal(seen, 1);
}

static void doubts(void **state)
{
	(void)state;
	queue_count = 2;
	set_rule(0, 0, 2, 0); /* queue 2 is another one's */
	expect_doubt(VD_RULED_OTHER);
	set_rule(0, 0, 1, 0);
	expect_doubt(VD_RULED_SURE);
	kernel.queues[1].is_bound = false;
	expect_doubt(VD_RULED_OTHER);
	kernel.queues[1].is_bound = true;
	kernel.has_computed = true;
	expect_doubt(VD_RULED_COMPUTED);
	kernel.has_computed = false;
	queues[1].segments = true;
	expect_doubt(VD_RULED_SEGMENTS);
	queues[1].segments = false;
	kernel.rules[0].is_counted = false;
	kernel.rules[0].has_bypass = true;
	expect_doubt(VD_RULED_UNCOUNTED);
}

/* When it is known again, it begins anew, and says so. */
static void doubts_that_go(void **state)
{
	(void)state;
	set_rule(0, 0, 0, 0);
	read_now();
	come(0, 0, 10, 4);
	read_now();
	expect(0, 0, 0, 6, 0);
	kernel.has_computed = true;
	come(0, 0, 10, 50);
	read_now();
	assert_int_equal(stats.ranges[0].doubt, VD_RULED_COMPUTED);
	kernel.has_computed = false;
	come(0, 0, 10, 4);
	read_now();
	expect(0, 0, 0, 6, 1);
	come(0, 0, 10, 4);
	read_now();
	expect(0, 0, 0, 12, 1);
}

static void what_cannot_be_read(void **state)
{
	(void)state;
	kernel.error = -EACCES;
	set_rule(0, 0, 0, 0);
	read_now();
	assert_true(stats.is_unread);
	assert_int_equal(stats.count, 0);
	kernel.error = 0;
	come(0, 0, 10, 4);
	read_now();
	assert_false(stats.is_unread);
	expect(0, 0, 0, 0, 0); /* that is where it begins */
	come(0, 0, 10, 4);
	kernel.error = -EAGAIN;
	read_now();
	assert_true(stats.is_unread);
	expect(0, 0, 0, 0, 0);
	kernel.error = 0;
	read_now();
	assert_false(stats.is_unread);
	expect(0, 0, 0, 6, 0);
}

/* ---- when ---- */

static void the_last_word(void **state)
{
	(void)state;
	set_rule(0, 0, 0, 0);
	read_now();
	come(0, 0, 10, 4);
	vd_ruled_read(ruled, VD_RULED_LAST, queues, queue_count, NULL);
	come(0, 0, 1000, 0); /* the queue is given back */
	read_now();
	expect(0, 0, 0, 6, 0);
	vd_ruled_read(NULL, VD_RULED_NOW, queues, queue_count, &stats);
	assert_int_equal(stats.count, 0);
}

static void take_long(void)
{
	wait_ns(2000000);
}

/* What takes long is not done each time; another queue, or another setting, is seen at once. */
static void reading_takes_a_share(void **state)
{
	(void)state;
	set_rule(0, 0, 1, 0);
	kernel.between = take_long;
	read_now();
	kernel.looks = 0;
	for (unsigned i = 0; i < 10; i++)
		vd_ruled_read(ruled, VD_RULED_LATELY, queues, queue_count, &stats);
	assert_true(kernel.looks < 10);
	kernel.looks = 0;
	queue_count = 2;
	vd_ruled_read(ruled, VD_RULED_LATELY, queues, queue_count, &stats);
	assert_true(kernel.looks > 0);
	read_now();
	kernel.looks = 0;
	wait_ns(100000000);
	wait_ns(900000000); /* the longest that a look may do */
	vd_ruled_read(ruled, VD_RULED_LATELY, queues, queue_count, &stats);
	assert_true(kernel.looks > 0);
}

/* More ranges than there is room for: what has no rules any more is forgotten first. */
static void more_ranges_than_room(void **state)
{
	(void)state;
	queue_count = 4;
	for (unsigned i = 0; i < 2 * VD_RULED_MAX; i++) {
		set_rule(0, 0, 10 + i, 0);
		read_now();
		assert_true(stats.count <= VD_RULED_MAX);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_missing_has_passed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(only_what_may_pass_has_passed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_on_its_way_has_not_passed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(counts_go_round, set_up, tear_down),
		cmocka_unit_test_setup_teardown(several_queues_of_one_rule, set_up, tear_down),
		cmocka_unit_test_setup_teardown(several_rules, set_up, tear_down),
		cmocka_unit_test_setup_teardown(rules_that_are_set_back, set_up, tear_down),
		cmocka_unit_test_setup_teardown(rules_that_are_set_back_far, set_up, tear_down),
		cmocka_unit_test_setup_teardown(rules_that_go_and_come, set_up, tear_down),
		cmocka_unit_test_setup_teardown(rules_that_are_being_replaced, set_up, tear_down),
		cmocka_unit_test_setup_teardown(rules_that_are_being_replaced_at_first, set_up, tear_down),
		cmocka_unit_test_setup_teardown(queues_that_are_bound_anew, set_up, tear_down),
		cmocka_unit_test_setup_teardown(doubts, set_up, tear_down),
		cmocka_unit_test_setup_teardown(doubts_that_go, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_cannot_be_read, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_last_word, set_up, tear_down),
		cmocka_unit_test_setup_teardown(reading_takes_a_share, set_up, tear_down),
		cmocka_unit_test_setup_teardown(more_ranges_than_room, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
