/* SPDX-License-Identifier: MIT */
/*
 * What becomes of held packets when something changes around them: a reload, a queue that goes, a stop, a successor, a flush.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "test/support/load.h"
#include "test/support/net.h"
#include "test/support/traffic.h"

#define QUEUE 3
#define PORT 7000
#define PORTS 2 /* each its queue */
#define TICKETS_MAX 64

static struct vd_net net;

/* ---- functions that hold all, with what arguments say: "accept" or "drop" at the deadline ---- */

static struct vd_holder *_Atomic holder;
static _Atomic unsigned ticket_count, closed;
static _Atomic uint64_t tickets[TICKETS_MAX];

static int open_keeper(struct vd_open *open, void **shared)
{
	holder = open->holder;
	*shared = strcmp(open->arguments, "drop") ? NULL : (void *)&closed;
	return 0;
}

static void close_keeper(void *shared)
{
	(void)shared;
	atomic_fetch_add(&closed, 1);
}

static enum vd_verdict keep(struct vd_packet *packet, void *shared)
{
	struct vd_hold hold = {.deadline_ms = 3600000, .verdict = shared ? VD_DROP : VD_ACCEPT, .with_flow = true};
	uint64_t ticket;
	enum vd_verdict verdict = vd_packet_hold(packet, &hold, &ticket);

	if (verdict == VD_HELD)
		tickets[atomic_fetch_add(&ticket_count, 1) % TICKETS_MAX] = ticket;
	return verdict;
}

static const struct vd_function KEEPER = {.abi = VD_FUNCTION_ABI, .size = sizeof(struct vd_function), .name = "keeper",
					  .summary = "holds", .usage = "[drop]", .bytes = VD_HEADERS, .needs = VD_NEEDS_HOLD,
					  .open = open_keeper, .close = close_keeper, .decide = keep};

/* ---- the scene ---- */

/* Packets of a flow that was held may wait for a moment after it has its verdict: what comes later is of another one. */
static int receivers[PORTS], sender, later;
static struct load_engine engine;
static bool is_made;

static void set_up(void)
{
	vd_net_setup(&net);
	atomic_store(&ticket_count, 0);
	atomic_store(&closed, 0);
	for (unsigned i = 0; i < PORTS; i++) {
		vd_net_command("iptables-legacy -A INPUT -p udp --dport %u -j NFQUEUE --queue-num %u --queue-bypass", PORT + i, QUEUE + i);
		receivers[i] = traffic_udp_open(TRAFFIC_HERE, AF_INET, (uint16_t)(PORT + i));
	}
	sender = traffic_udp_open(net.far, AF_INET, 20001);
	later = traffic_udp_open(net.far, AF_INET, 20002);
}

static int tear_down(void **state)
{
	if (is_made) {
		vd_engine_stop(engine.engine);
		load_engine_join(&engine, 5000);
		load_engine_destroy(&engine);
		is_made = false;
	}
	if (sender) {
		for (unsigned i = 0; i < PORTS; i++)
			close(receivers[i]);
		close(sender);
		close(later);
		sender = 0;
	}
	return vd_net_teardown_any(state);
}

static struct vd_engine_options some_options(void)
{
	struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;

	options.workers = 2;
	options.fault_verdict = VD_DROP;
	return options;
}

/* NULL: no function. */
static struct vd_engine *make(const char *keeper, unsigned queues)
{
	struct vd_engine_options options = some_options();
	struct vd_engine *made;
	struct vd_error error;

	if (vd_engine_create(&made, &options, &error) || (keeper && vd_engine_add_function(made, &KEEPER, keeper, &error)))
		fail_msg("%s", error.text);
	for (unsigned i = 0; i < queues; i++)
		assert_int_equal(vd_engine_add_queue(made, QUEUE + i, &error), 0);
	return made;
}

static void launch(const char *keeper, unsigned queues)
{
	engine = (struct load_engine){.engine = make(keeper, queues)};
	is_made = true;
	load_engine_start(&engine);
	assert_false(engine.has_ended);
}

static void reload(const char *keeper, unsigned queues)
{
	struct vd_engine *next = make(keeper, queues);
	struct vd_error error;

	if (vd_engine_reload(engine.engine, next, &error))
		fail_msg("%s", error.text);
	vd_engine_destroy(next);
}

static void stop(void)
{
	vd_engine_stop(engine.engine);
	assert_true(load_engine_join(&engine, 5000));
	if (engine.result)
		fail_msg("%s", engine.error.text);
}

static void say(unsigned port, const char *text)
{
	assert_int_equal(traffic_send(sender, VD_NET_NEAR_V4, (uint16_t)(PORT + port), text, strlen(text)), 0);
}

static void say_later(const char *text)
{
	assert_int_equal(traffic_send(later, VD_NET_NEAR_V4, PORT, text, strlen(text)), 0);
}

static void expect(unsigned port, const char *text)
{
	char payload[64] = "";
	ssize_t length = traffic_receive(receivers[port], payload, sizeof payload - 1, 3000 * traffic_patience());

	if (length < 0)
		fail_msg("'%s' did not come", text);
	payload[length] = '\0';
	assert_string_equal(payload, text);
}

static void expect_nothing(unsigned port)
{
	char payload[64];

	assert_int_equal(traffic_receive(receivers[port], payload, sizeof payload, 0), -ETIMEDOUT);
}

struct wanted {
	uint64_t received;
	uint32_t held;
};

static bool is_as_wanted(void *argument)
{
	struct wanted *wanted = argument;
	struct vd_queue_stats stats = load_engine_stats(&engine);

	return stats.received == wanted->received && stats.held == wanted->held && !stats.in_flight;
}

static void await(uint64_t received, uint32_t held)
{
	struct wanted wanted = {.received = received, .held = held};

	if (!traffic_wait_until(is_as_wanted, &wanted, 5000))
		fail_msg("received %llu of %llu, held %u instead of %u", (unsigned long long)load_engine_stats(&engine).received,
			 (unsigned long long)received, load_engine_stats(&engine).held, held);
}

/* All that came is in the accounts, once. */
static void audit(uint64_t offered)
{
	struct vd_queue_stats stats = load_engine_stats(&engine);
	uint64_t drops = 0;

	for (unsigned cause = 0; cause < VD_CAUSE_COUNT; cause++)
		drops += stats.drops[cause];
	assert_int_equal(load_offered(&stats), offered);
	assert_int_equal(drops + stats.verdicts[VD_ACCEPT] + stats.left_accepted, offered);
	assert_int_equal(stats.held, 0);
}

/* ---- reloads ---- */

static void what_is_held_survives_a_reload(void **state)
{
	(void)state;
	set_up();
	launch("", 1);
	say(0, "one");
	await(1, 1);
	say(0, "two");
	await(2, 2);
	reload("drop", 1); /* the same function, anew: the old one is closed while it holds packets */
	assert_int_equal(closed, 1);
	await(2, 2);
	expect_nothing(0);
	say(0, "three"); /* still behind the first */
	await(3, 3);
	assert_int_equal(vd_hold_decide(holder, tickets[0], VD_ACCEPT), 0);
	expect(0, "one");
	expect(0, "two");
	expect(0, "three");
	say_later("four");
	await(4, 1);
	reload(NULL, 1); /* no function holds any more; the holder is there */
	say_later("five"); /* behind it, all the same */
	await(5, 2);
	expect_nothing(0);
	assert_int_equal(vd_hold_decide(holder, tickets[1], VD_ACCEPT), 0);
	expect(0, "four");
	expect(0, "five");
	say(0, "six");
	expect(0, "six");
	stop();
	audit(6);
	assert_int_equal(vd_hold_decide(holder, tickets[1], VD_ACCEPT), -ESTALE);
}

/* The thread is started when the first function comes that holds. */
static void a_reload_brings_the_first_one(void **state)
{
	struct vd_queue_stats stats;

	(void)state;
	set_up();
	launch(NULL, 1);
	say(0, "one");
	expect(0, "one");
	reload("", 1);
	say(0, "two");
	await(2, 1);
	assert_int_equal(vd_hold_decide(holder, tickets[0], VD_DROP), 0);
	await(2, 0);
	expect_nothing(0);
	stop();
	audit(2);
	stats = load_engine_stats(&engine);
	assert_int_equal(stats.held_dropped, 1);
}

static void a_queue_that_goes_settles_them(void **state)
{
	(void)state;
	set_up();
	launch("", 2);
	say(0, "stays");
	say(1, "goes");
	await(2, 2);
	say(1, "behind");
	await(3, 3);
	reload("", 1);
	expect(1, "goes");
	expect(1, "behind");
	assert_int_equal(vd_hold_decide(holder, tickets[0], VD_ACCEPT) + vd_hold_decide(holder, tickets[1], VD_ACCEPT), -ESTALE);
	expect(0, "stays");
	reload("drop", 2); /* another lane, in the same place */
	say(1, "again");
	await(2, 1);
	reload("", 1);
	expect_nothing(1);
	stop();
	audit(1);
}

/* ---- the end ---- */

static void a_stop_is_the_deadline(void **state)
{
	struct vd_queue_stats stats;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		set_up();
		launch(i ? "drop" : "", 1);
		say(0, "held");
		await(1, 1);
		say(0, "behind");
		await(2, 2);
		stop();
		if (!i) {
			expect(0, "held");
			expect(0, "behind");
		}
		expect_nothing(0);
		audit(2);
		stats = load_engine_stats(&engine);
		assert_int_equal(stats.held_expired, 2);
		assert_int_equal(stats.drops[VD_CAUSE_DEADLINE], i ? 2 : 0);
		assert_int_equal(stats.left_accepted + stats.left_dropped, 0);
		tear_down(state);
	}
}

/* Who leaves a queue to a successor settles what it holds; the successor has nothing to do with it. */
static void a_successor_finds_nothing_held(void **state)
{
	struct vd_engine_options options = some_options();
	struct vd_queue_stats stats;
	int socket;

	(void)state;
	set_up();
	launch("", 1);
	say(0, "held");
	await(1, 1);
	say(0, "behind");
	await(2, 2);
	socket = dup(vd_engine_queue_socket(engine.engine, QUEUE));
	vd_engine_leave(engine.engine);
	assert_true(load_engine_join(&engine, 5000));
	expect(0, "held");
	expect(0, "behind");
	audit(2);
	load_engine_destroy(&engine);
	load_engine_create(&engine, &options, NULL, QUEUE, 0);
	assert_int_equal(vd_engine_add_queue_socket(engine.engine, QUEUE, NULL, socket, &engine.error), 0);
	load_engine_start(&engine);
	say(0, "next");
	expect(0, "next");
	stop();
	stats = load_engine_stats(&engine);
	assert_int_equal(stats.inherited_accepted + stats.inherited_dropped, 0);
	audit(1);
}

/* The kernel empties the queue: tickets are good, and their verdicts are counted as flushed. */
static void a_flush_takes_them(void **state)
{
	struct vd_queue_stats stats;

	(void)state;
	set_up();
	launch("", 1);
	say(0, "flushed");
	await(1, 1);
	say(0, "behind");
	await(2, 2);
	vd_net_command("nft add table ip theirs; nft 'add chain ip theirs input { type filter hook input priority 10; }'");
	vd_net_command("nft delete table ip theirs");
	say(0, "later"); /* waits as well, and is there */
	await(3, 3);
	assert_int_equal(vd_hold_decide(holder, tickets[0], VD_ACCEPT), 0);
	expect(0, "later");
	await(3, 0);
	say_later("held"); /* the engine goes on */
	await(4, 1);
	assert_int_equal(vd_hold_decide(holder, tickets[1], VD_ACCEPT), 0);
	expect(0, "held");
	stop();
	audit(4);
	stats = load_engine_stats(&engine);
	assert_int_equal(stats.flushed, 2);
	assert_int_equal(stats.drops[VD_CAUSE_FLUSHED], 2);
	assert_int_equal(stats.maybe_flushed, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(what_is_held_survives_a_reload, tear_down),
		cmocka_unit_test_teardown(a_reload_brings_the_first_one, tear_down),
		cmocka_unit_test_teardown(a_queue_that_goes_settles_them, tear_down),
		cmocka_unit_test_teardown(a_stop_is_the_deadline, tear_down),
		cmocka_unit_test_teardown(a_successor_finds_nothing_held, tear_down),
		cmocka_unit_test_teardown(a_flush_takes_them, tear_down),
	};

	return cmocka_run_group_tests_name("held packets and changes", tests, NULL, NULL);
}
