/* SPDX-License-Identifier: MIT */
/*
 * Held packets, through a real queue: decided later from another thread, by their deadline, or not at all; with and without those
 * that come behind them. What arrives, and in which order, is looked at behind INPUT, where an accepted packet is on the receiver's
 * socket before its verdict call returns; the accounts are audited at every stop (engine_host.h).
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
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "test/support/engine_host.h"
#include "test/support/load.h"
#include "test/support/net.h"
#include "test/support/traffic.h"

#define QUEUE 3
#define PORT 7000
#define LONG_MS 600000u /* no deadline that comes in a test */
#define TICKETS_MAX 4096

static struct vd_net net;

/* ---- a function that does what the payload says: its first letter, then a number ---- */

static struct vd_holder *_Atomic holder;
static _Atomic uint32_t hold_deadline_ms;
static _Atomic unsigned hold_verdict;
static _Atomic unsigned ticket_count;
static _Atomic uint64_t tickets[TICKETS_MAX]; /* in the order of holding; 0: not yet, or could not be held */
static _Atomic unsigned opened, closed;
static _Atomic bool is_released;

static int open_keeper(struct vd_open *open, void **shared)
{
	(void)shared;
	holder = open->holder;
	atomic_fetch_add(&opened, 1);
	return 0;
}

static void close_keeper(void *shared)
{
	(void)shared;
	atomic_fetch_add(&closed, 1);
}

static enum vd_verdict keep(struct vd_packet *packet, bool with_flow)
{
	struct vd_hold this = {.deadline_ms = hold_deadline_ms, .verdict = (enum vd_verdict)hold_verdict};
	unsigned place = atomic_fetch_add(&ticket_count, 1);
	enum vd_verdict verdict;
	uint64_t ticket;

	this.with_flow = with_flow;
	verdict = vd_packet_hold(packet, &this, &ticket);
	if (place < TICKETS_MAX)
		atomic_store(&tickets[place], ticket);
	return verdict;
}

static enum vd_verdict decide(struct vd_packet *packet, void *state)
{
	uint32_t length;
	const uint8_t *payload = vd_packet_payload(packet, &length);

	(void)state;
	if (!payload || !length)
		return VD_NEXT;
	switch (payload[0]) {
	case 'H':
		return keep(packet, false);
	case 'F':
		return keep(packet, true);
	case 'R': /* changes its mind */
		keep(packet, true);
		return VD_ACCEPT;
	case 'T': /* twice: the second one counts */
		keep(packet, true);
		return keep(packet, false);
	case 'E':
		vd_packet_set_mark(packet, 5);
		vd_packet_write_payload(packet, 0, "e", 1);
		return keep(packet, false);
	case 'I': { /* decided before it is held */
		enum vd_verdict verdict = keep(packet, false);

		vd_hold_decide(holder, tickets[ticket_count - 1], VD_ACCEPT);
		return verdict;
	}
	case 'S': /* takes its time first */
		while (!atomic_load(&is_released))
			traffic_sleep_ms(1);
		return keep(packet, false);
	case 'X':
		return VD_HELD;
	case 'D':
		return VD_DROP;
	default:
		return VD_NEXT;
	}
}

static const struct vd_function KEEPER = {.abi = VD_FUNCTION_ABI, .size = sizeof(struct vd_function), .name = "keeper",
					  .summary = "holds", .bytes = VD_WHOLE, .needs = VD_NEEDS_HOLD, .open = open_keeper,
					  .close = close_keeper, .decide = decide};

/* ---- the scene ---- */

#define SENDERS 6

static int receiver, senders[SENDERS];

static void set_up(uint32_t deadline_ms, enum vd_verdict verdict)
{
	vd_net_setup(&net);
	vd_net_command("iptables-legacy -t mangle -A INPUT -p udp --dport %u -j NFQUEUE --queue-num %u", PORT, QUEUE);
	hold_deadline_ms = deadline_ms;
	hold_verdict = verdict;
	atomic_store(&ticket_count, 0);
	atomic_store(&opened, 0);
	atomic_store(&closed, 0);
	memset((void *)tickets, 0, sizeof tickets);
	receiver = traffic_udp_open(TRAFFIC_HERE, AF_INET, PORT);
	for (unsigned i = 0; i < SENDERS; i++)
		senders[i] = traffic_udp_open(net.far, AF_INET, (uint16_t)(20001 + i));
}

static int tear_down(void **state)
{
	load_gate_open();
	atomic_store(&is_released, true);
	engine_host_destroy_all();
	if (receiver) {
		close(receiver);
		for (unsigned i = 0; i < SENDERS; i++)
			close(senders[i]);
		receiver = 0;
	}
	return vd_net_teardown_any(state);
}

static struct engine_host *start_with(struct vd_engine_options options, const struct vd_function *first)
{
	struct engine_host *host = engine_host_create(&options);

	if (first)
		engine_host_add(host, first, "");
	engine_host_add(host, &KEEPER, "");
	engine_host_queue(host, QUEUE);
	engine_host_start(host);
	return host;
}

static struct engine_host *start(unsigned workers, unsigned writers)
{
	struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;

	options.workers = workers;
	options.writers = writers;
	return start_with(options, NULL);
}

static void say(unsigned sender, const char *text)
{
	assert_int_equal(traffic_send(senders[sender], VD_NET_NEAR_V4, PORT, text, strlen(text)), 0);
}

static void expect(const char *text)
{
	char payload[64] = "";
	ssize_t length = traffic_receive(receiver, payload, sizeof payload - 1, 3000 * traffic_patience());

	if (length < 0)
		fail_msg("'%s' did not come", text);
	payload[length] = '\0';
	assert_string_equal(payload, text);
}

static void expect_nothing(void)
{
	char payload[64];

	assert_int_equal(traffic_receive(receiver, payload, sizeof payload, 0), -ETIMEDOUT);
}

struct wanted {
	struct engine_host *host;
	uint64_t received;
	uint32_t held;
};

static bool is_as_wanted(void *argument)
{
	struct wanted *wanted = argument;
	struct vd_queue_stats stats = engine_host_stats(wanted->host, QUEUE);

	return stats.received == wanted->received && stats.held == wanted->held && !stats.in_flight;
}

/* So many were read, and of them so many are held now. */
static void await(struct engine_host *host, uint64_t received, uint32_t held)
{
	struct wanted wanted = {.host = host, .received = received, .held = held};
	struct vd_queue_stats stats;

	if (traffic_wait_until(is_as_wanted, &wanted, 5000))
		return;
	stats = engine_host_stats(host, QUEUE);
	fail_msg("received %llu of %llu, held %u instead of %u, %u in flight", (unsigned long long)stats.received,
		 (unsigned long long)received, stats.held, held, stats.in_flight);
}

struct deciding {
	uint64_t ticket;
	enum vd_verdict verdict;
	int result;
};

static void *decide_there(void *argument)
{
	struct deciding *deciding = argument;

	deciding->result = vd_hold_decide(holder, deciding->ticket, deciding->verdict);
	return NULL;
}

/* By a thread that the engine has never seen. */
static int decide_it(uint64_t ticket, enum vd_verdict verdict)
{
	struct deciding deciding = {.ticket = ticket, .verdict = verdict};
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, decide_there, &deciding), 0);
	pthread_join(thread, NULL);
	return deciding.result;
}

static const struct {
	unsigned workers, writers;
} SHAPES[] = {{1, 0}, {2, 0}, {1, 1}, {2, 2}};
#define FOR_EACH_SHAPE(i) for (unsigned i = 0; i < sizeof SHAPES / sizeof *SHAPES; i++)

/* ---- one by one ---- */

static void another_thread_decides_later(void **state)
{
	(void)state;
	set_up(LONG_MS, VD_DROP);
	FOR_EACH_SHAPE(i) {
		struct engine_host *host = start(SHAPES[i].workers, SHAPES[i].writers);
		struct vd_queue_stats stats;

		atomic_store(&ticket_count, 0);
		say(0, "H1");
		say(1, "H2");
		say(2, "pass");
		expect("pass");
		await(host, 3, 2);
		expect_nothing();
		stats = engine_host_stats(host, QUEUE);
		assert_int_equal(stats.waiting, 2); /* the kernel has them */
		assert_int_equal(decide_it(tickets[1], VD_ACCEPT), 0);
		expect("H2");
		await(host, 3, 1);
		assert_int_equal(decide_it(tickets[0], VD_DROP), 0);
		await(host, 3, 0);
		expect_nothing();
		engine_host_stop(host);
		stats = engine_host_stats(host, QUEUE);
		assert_int_equal(stats.verdicts[VD_ACCEPT], 2);
		assert_int_equal(stats.verdicts[VD_DROP], 1);
		assert_int_equal(stats.drops[VD_CAUSE_FUNCTION], 1);
		assert_int_equal(stats.held_ever, 2);
		assert_int_equal(stats.held_dropped, 1);
		assert_int_equal(stats.held_expired, 0);
		assert_int_equal(engine_host_function_stats(host, "keeper").verdicts[VD_HELD], 2);
		engine_host_destroy(host);
	}
}

static void a_deadline_decides(void **state)
{
	struct vd_queue_stats stats;
	struct engine_host *host;
	uint64_t since;

	(void)state;
	set_up(300, VD_ACCEPT);
	host = start(2, 0);
	since = traffic_now_ms();
	say(0, "H1");
	expect("H1");
	assert_in_range(traffic_now_ms() - since, 299, 3000 * traffic_patience());
	await(host, 1, 0);
	hold_verdict = VD_DROP;
	hold_deadline_ms = LONG_MS;
	say(0, "H2");
	await(host, 2, 1);
	hold_deadline_ms = 50; /* earlier than the one that is waited for */
	say(0, "H3");
	await(host, 3, 1);
	assert_int_equal(decide_it(tickets[2], VD_ACCEPT), -ESTALE);
	assert_int_equal(decide_it(tickets[1], VD_ACCEPT), 0);
	expect("H2");
	expect_nothing();
	engine_host_stop(host);
	stats = engine_host_stats(host, QUEUE);
	assert_int_equal(stats.held_ever, 3);
	assert_int_equal(stats.held_expired, 2);
	assert_int_equal(stats.drops[VD_CAUSE_DEADLINE], 1);
	assert_int_equal(stats.drops[VD_CAUSE_FUNCTION], 0);
}

static void tickets_are_good_once(void **state)
{
	struct vd_decision decision = {.verdict = VD_REJECT};
	struct engine_host *host;
	uint64_t first;

	(void)state;
	set_up(LONG_MS, VD_DROP);
	host = start(2, 0);
	say(0, "H1");
	await(host, 1, 1);
	first = tickets[0];
	assert_int_equal(decide_it(0, VD_ACCEPT), -ESTALE);
	assert_int_equal(decide_it(UINT64_MAX, VD_ACCEPT), -ESTALE);
	assert_int_equal(decide_it(first + 1, VD_ACCEPT), -ESTALE);
	assert_int_equal(decide_it(first + (1u << 20), VD_ACCEPT), -ESTALE); /* the next one of the same place */
	assert_int_equal(decide_it(first, VD_NEXT), -EINVAL);
	assert_int_equal(decide_it(first, VD_HELD), -EINVAL);
	assert_int_equal(decide_it(first, VD_QUEUE), -EINVAL);
	assert_int_equal(vd_hold_decide_with(holder, first, &decision), -EINVAL);
	await(host, 1, 1);
	assert_int_equal(decide_it(first, VD_ACCEPT), 0);
	assert_int_equal(decide_it(first, VD_DROP), -ESTALE);
	expect("H1");
	await(host, 1, 0);
	say(0, "H2"); /* the same place again */
	await(host, 2, 1);
	assert_int_equal(tickets[1] & 0xfffff, first & 0xfffff);
	assert_int_equal(decide_it(first, VD_DROP), -ESTALE);
	assert_int_equal(decide_it(tickets[1], VD_ACCEPT), 0);
	expect("H2");

	say(0, "R3"); /* holds, and then accepts */
	expect("R3");
	await(host, 3, 0);
	assert_int_equal(decide_it(tickets[2], VD_DROP), -ESTALE);
	say(0, "T4");
	await(host, 4, 1);
	assert_int_equal(decide_it(tickets[3], VD_DROP), -ESTALE);
	assert_int_equal(decide_it(tickets[4], VD_ACCEPT), 0);
	expect("T4");
	say(0, "I5"); /* decided before decide() has returned */
	expect("I5");
	say(0, "X6"); /* says that it holds it, and does not */
	engine_host_settle(host, QUEUE, 6);
	expect_nothing();
	engine_host_stop(host);
	assert_int_equal(engine_host_stats(host, QUEUE).faults, 1);
	assert_int_equal(engine_host_stats(host, QUEUE).drops[VD_CAUSE_FAULT], 1);
	assert_int_equal(decide_it(tickets[4], VD_DROP), -ESTALE); /* the engine has stopped, the holder is there */
	engine_host_destroy(host);
}

/* Without VD_NEEDS_HOLD it is a fault, and so is a hold out of range. */
static void who_may_not_hold_does_not(void **state)
{
	static const struct vd_hold WRONG[] = {{0, VD_DROP, false},
					       {VD_HOLD_DEADLINE_MS_MAX + 1, VD_DROP, false},
					       {5, VD_REJECT, false},
					       {5, VD_NEXT, false}};
	struct vd_function undeclared = KEEPER;
	struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;
	struct engine_host *host;

	(void)state;
	set_up(LONG_MS, VD_DROP);
	undeclared.needs = 0;
	options.workers = 1;
	options.fault_verdict = VD_ACCEPT;
	host = engine_host_create(&options);
	engine_host_add(host, &undeclared, "");
	engine_host_queue(host, QUEUE);
	engine_host_start(host);
	say(0, "H1");
	expect("H1");
	engine_host_stop(host);
	assert_int_equal(engine_host_stats(host, QUEUE).faults, 1);
	assert_int_equal(tickets[0], 0);
	engine_host_destroy(host);

	host = start_with(options, NULL);
	for (unsigned i = 0; i < sizeof WRONG / sizeof *WRONG; i++) {
		hold_deadline_ms = WRONG[i].deadline_ms;
		hold_verdict = WRONG[i].verdict;
		say(0, "H2");
		expect("H2");
	}
	engine_host_stop(host);
	assert_int_equal(engine_host_stats(host, QUEUE).faults, sizeof WRONG / sizeof *WRONG);
	assert_int_equal(engine_host_stats(host, QUEUE).held_ever, 0);
}

static void there_is_a_limit(void **state)
{
	struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;
	struct vd_queue_stats stats;
	struct engine_host *host;

	(void)state;
	set_up(LONG_MS, VD_ACCEPT);
	options.workers = 2;
	options.held_max = 3;
	host = start_with(options, NULL);
	say(0, "F1");
	say(1, "H2");
	await(host, 2, 2);
	say(0, "behind 1");
	await(host, 3, 3);
	say(1, "H3"); /* is told, and leaves it to the default */
	expect("H3");
	assert_int_equal(tickets[2], 0);
	say(0, "behind 2"); /* neither before F1 nor undecided */
	await(host, 5, 3);
	expect_nothing();
	assert_int_equal(decide_it(tickets[0], VD_ACCEPT), 0);
	expect("F1");
	expect("behind 1");
	await(host, 5, 1);
	say(3, "F4");
	await(host, 6, 2);
	engine_host_stop(host);
	expect("H2"); /* the stop: in the order in which they came */
	expect("F4");
	assert_null(strstr(engine_host_log(host), "held-max"));
	stats = engine_host_stats(host, QUEUE);
	assert_int_equal(stats.drops[VD_CAUSE_HELD_FULL], 1);
	assert_int_equal(stats.held_refused, 1);
	assert_int_equal(stats.held_ever, 4);
	assert_int_equal(stats.held_behind, 2);
	assert_int_equal(stats.held_expired, 2);
	engine_host_destroy(host);

	options.maxlen = 3; /* held ones could fill the queue */
	host = start_with(options, NULL);
	engine_host_stop(host);
	assert_non_null(strstr(engine_host_log(host), "functions may hold 3 packets (held-max), and queue 3 has room for 3"));
}

/* ---- what comes behind ---- */

static void others_pass_or_wait(void **state)
{
	(void)state;
	set_up(LONG_MS, VD_DROP);
	FOR_EACH_SHAPE(i) {
		struct engine_host *host = start(SHAPES[i].workers, SHAPES[i].writers);
		struct vd_queue_stats stats;
		char text[16];

		atomic_store(&ticket_count, 0);
		say(0, "H1");
		await(host, 1, 1);
		say(0, "passes 1");
		expect("passes 1");
		say(1, "F2");
		await(host, 3, 2);
		for (unsigned j = 0; j < 200; j++) {
			snprintf(text, sizeof text, "behind %u", j);
			say(1, text);
		}
		say(0, "passes 2");
		expect("passes 2");
		say(2, "passes 3");
		expect("passes 3");
		await(host, 205, 202);
		expect_nothing();
		assert_int_equal(decide_it(tickets[1], VD_ACCEPT), 0);
		expect("F2");
		for (unsigned j = 0; j < 200; j++) {
			snprintf(text, sizeof text, "behind %u", j);
			expect(text);
		}
		await(host, 205, 1);
		say(3, "F3");
		await(host, 206, 2);
		say(3, "D"); /* nobody has seen it */
		await(host, 207, 3);
		assert_int_equal(decide_it(tickets[2], VD_ACCEPT), 0);
		expect("F3");
		expect("D");
		say(4, "F4");
		await(host, 208, 2);
		say(4, "behind");
		await(host, 209, 3);
		assert_int_equal(decide_it(tickets[3], VD_DROP), 0);
		await(host, 209, 1);
		expect_nothing();
		assert_int_equal(decide_it(tickets[0], VD_ACCEPT), 0);
		expect("H1");
		engine_host_stop(host);
		stats = engine_host_stats(host, QUEUE);
		assert_int_equal(stats.held_behind, 202);
		assert_int_equal(stats.held_dropped, 2);
		assert_int_equal(stats.drops[VD_CAUSE_FUNCTION], 2);
		engine_host_destroy(host);
	}
}

/* A flow whose packet has its verdict is shown again, from some packet on; none is lost or overtaken on the way there. */
static void a_flow_is_free_again(void **state)
{
	char text[16];
	struct engine_host *host;
	unsigned next = 0;

	(void)state;
	set_up(LONG_MS, VD_DROP);
	host = start(2, 0);
	for (unsigned round = 0; round < 20; round++) {
		uint64_t shown = engine_host_function_stats(host, "keeper").packets, received;

		say(round % SENDERS, "F");
		while (engine_host_stats(host, QUEUE).held != 1)
			traffic_sleep_ms(1);
		assert_int_equal(engine_host_function_stats(host, "keeper").packets, shown + 1);
		assert_int_equal(decide_it(tickets[round], VD_ACCEPT), 0);
		expect("F");
		do {
			snprintf(text, sizeof text, "next %u", next++);
			received = engine_host_stats(host, QUEUE).received;
			say(round % SENDERS, text);
			expect(text);
			await(host, received + 1, 0);
		} while (engine_host_function_stats(host, "keeper").packets == shown + 1 && next < 1000);
	}
	assert_true(next < 1000);
	engine_host_stop(host);
}

/* Those that came in the same burst wait as well: they were read while a gate before it was closed. */
static void behind_in_the_same_burst(void **state)
{
	struct engine_host *host;
	struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;

	(void)state;
	set_up(LONG_MS, VD_DROP);
	options.workers = 1;
	load_gate_close();
	host = start_with(options, &load_gate);
	say(2, "first");
	assert_true(load_gate_wait(1, 3000));
	say(0, "before");
	say(0, "F1");
	say(1, "other");
	say(0, "D");
	say(0, "behind");
	load_gate_open();
	expect("first");
	expect("before");
	expect("other");
	await(host, 6, 3);
	expect_nothing();
	assert_int_equal(decide_it(tickets[0], VD_ACCEPT), 0);
	expect("F1");
	expect("D");
	expect("behind");
	engine_host_stop(host);
	assert_int_equal(engine_host_stats(host, QUEUE).verdicts[VD_ACCEPT], 6);
}

/* Some were dropped, and wait in the kernel until those before them are answered. */
static bool do_drops_wait(void *host)
{
	struct vd_queue_stats stats = engine_host_stats(host, QUEUE);

	return stats.waiting > stats.in_flight + 1;
}

/* Whether it came to what it is about: that is up to the threads. */
static bool drop_others_while_one_is_about_to_be_held(void)
{
	struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;
	struct load_sender others = {.where = net.far, .address = VD_NET_NEAR_V4, .port = PORT, .ports = 1, .flows = 64, .burst = 1,
				     .length = 64, .count = 200};
	struct engine_host *host;
	bool has_come;

	atomic_store(&is_released, false);
	atomic_store(&ticket_count, 0);
	options.workers = 2;
	options.default_verdict = VD_DROP;
	load_gate_close();
	host = start_with(options, &load_gate);
	load_sender_open(&others);
	load_sender_send(&others); /* so many that the threads share them */
	say(0, "S1");
	load_sender_send(&others);
	load_gate_open();
	has_come = traffic_wait_until(do_drops_wait, host, 300);
	atomic_store(&is_released, true);
	await(host, 401, 1);
	assert_true(load_wait_waiting(QUEUE, 1)); /* the others did not wait for its verdict, and it was left */
	assert_int_equal(decide_it(tickets[0], VD_ACCEPT), 0);
	expect("S1");
	engine_host_stop(host);
	assert_int_equal(engine_host_stats(host, QUEUE).flushed, 0);
	load_sender_close(&others);
	engine_host_destroy(host);
	return has_come;
}

/* Another thread has dropped later packets, which wait until all before them are answered: one message would drop them all. */
static void drops_that_wait_do_not_take_it_along(void **state)
{
	unsigned came = 0;

	(void)state;
	set_up(LONG_MS, VD_DROP);
	for (unsigned tries = 0; came < 3 && tries < 60; tries++)
		came += drop_others_while_one_is_about_to_be_held();
	assert_true(came);
}

/* ---- what goes with it ---- */

static void edits_and_marks_go_with_it(void **state)
{
	struct vd_decision decision = {.verdict = VD_ACCEPT, .sets_mark = true, .mark = 9};
	struct engine_host *host;

	(void)state;
	set_up(LONG_MS, VD_DROP);
	vd_net_command("iptables-legacy -A INPUT -m mark --mark 5 -m comment --comment marked-5");
	vd_net_command("iptables-legacy -A INPUT -m mark --mark 9 -m comment --comment marked-9");
	host = start(2, 0);
	say(0, "E with more bytes");
	say(1, "E again");
	await(host, 2, 2);
	say(2, "the slots are used again, with other bytes");
	expect("the slots are used again, with other bytes");
	assert_int_equal(decide_it(tickets[0], VD_ACCEPT), 0);
	expect("e with more bytes");
	assert_int_equal(vd_hold_decide_with(holder, tickets[1], &decision), 0);
	expect("e again");
	engine_host_stop(host);
	assert_int_equal(engine_host_stats(host, QUEUE).rewritten, 2);
	assert_int_equal(traffic_rule_packets(TRAFFIC_HERE, "iptables-legacy", "filter", "marked-5"), 1);
	assert_int_equal(traffic_rule_packets(TRAFFIC_HERE, "iptables-legacy", "filter", "marked-9"), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(another_thread_decides_later, tear_down),
		cmocka_unit_test_teardown(a_deadline_decides, tear_down),
		cmocka_unit_test_teardown(tickets_are_good_once, tear_down),
		cmocka_unit_test_teardown(who_may_not_hold_does_not, tear_down),
		cmocka_unit_test_teardown(there_is_a_limit, tear_down),
		cmocka_unit_test_teardown(others_pass_or_wait, tear_down),
		cmocka_unit_test_teardown(a_flow_is_free_again, tear_down),
		cmocka_unit_test_teardown(behind_in_the_same_burst, tear_down),
		cmocka_unit_test_teardown(drops_that_wait_do_not_take_it_along, tear_down),
		cmocka_unit_test_teardown(edits_and_marks_go_with_it, tear_down),
	};

	return cmocka_run_group_tests_name("held", tests, NULL, NULL);
}
