/* SPDX-License-Identifier: MIT */
/*
 * The kernel empties a queue behind the engine's back: somebody deletes an nft table with a base chain (all queues of the
 * namespace), or takes an interface down (its packets only). Late verdicts then come back with ENOENT. That has to be counted
 * by everything that answers for a packet: a single verdict, one of many in a send, a range; and the engine goes on deciding.
 * To the packet, but where the flush ended in a run: then within the bounds that are told.
 *
 * Packets come to near's INPUT, where an accepted one is on the receiver's socket before the verdict call returns: so
 * `flushed` is exactly what the rule counted and neither arrived nor was dropped.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "test/support/engine_host.h"
#include "test/support/load.h"
#include "test/support/net.h"
#include "test/support/traffic.h"

#define QUEUE 3
#define PORT 7000
#define FLOWS 16
#define SEQUENCE_MAX 500000
#define SMALL 64
#define LARGE 60000

struct shape {
	unsigned workers;
	unsigned writers;
	unsigned batch;
};
static const struct shape SHAPES[] = {{1, 0, 64}, {1, 0, 1}, {2, 0, 64}, {1, 2, 64}, {4, 2, 7}};
#define FOR_EACH_SHAPE(shape) for (const struct shape *shape = SHAPES; shape < SHAPES + sizeof SHAPES / sizeof *SHAPES; shape++)

static struct vd_net net;

struct run {
	struct vd_engine_options options;
	const char *function; /* behind the gate; NULL: none, and all are accepted */
	struct engine_host *host;
	struct load_sender sender;
	struct load_receiver *receiver;
	uint64_t already;
};

static uint64_t rule_packets(void)
{
	return traffic_rule_packets(TRAFFIC_HERE, "iptables-legacy", "filter", "queued");
}

/* A table as other programs have, with a base chain; deleting it is what counts. */
static void add_table(void)
{
	vd_net_command("nft add table ip theirs; nft 'add chain ip theirs input { type filter hook input priority 10; }'");
}

static void delete_table(void)
{
	vd_net_command("nft delete table ip theirs");
}

static void set_up(void)
{
	vd_net_setup(&net);
	vd_net_command("iptables-legacy -A INPUT -p udp --dport %u -m comment --comment queued -j NFQUEUE --queue-num %u", PORT,
		       QUEUE);
}

static int tear_down(void **state)
{
	load_gate_open();
	engine_host_destroy_all();
	return vd_net_teardown_any(state);
}

static void start(struct run *run, const struct shape *shape)
{
	print_message("  %u workers, %u writers, batches of %u\n", shape->workers, shape->writers, shape->batch);
	run->options.workers = shape->workers;
	run->options.writers = shape->writers;
	run->options.batch = shape->batch;
	run->host = engine_host_create(&run->options);
	engine_host_add(run->host, &load_gate, "");
	if (run->function)
		engine_host_load(run->host, run->function);
	engine_host_queue(run->host, QUEUE);
	load_gate_close();
	engine_host_start(run->host);

	run->already = rule_packets();
	run->receiver = load_receiver_start(TRAFFIC_HERE, AF_INET, PORT, 1, FLOWS, SEQUENCE_MAX);
	run->sender.where = run->sender.length == LARGE ? net.near : net.far;
	run->sender.address = VD_NET_NEAR_V4;
	run->sender.port = PORT;
	run->sender.flows = FLOWS;
	if (!run->sender.burst)
		run->sender.burst = 1;
	load_sender_open(&run->sender);
}

static void send_packets(struct run *run, unsigned count)
{
	run->sender.count = count;
	load_sender_send(&run->sender);
}

/* Of a run that a flush ended in, so many may be flushed as well. */
#define RUN_DOUBT (VD_BURST_MAX - 1)

/* So many were flushed, and `arrived` of those that count as accepted were not: where flushes ended in a run is told in bounds. */
static void assert_flushed(const struct vd_queue_stats *stats, uint64_t flushed, uint64_t arrived, unsigned flushes)
{
	assert_in_range(flushed - stats->flushed, 0, stats->maybe_flushed);
	assert_int_equal(stats->verdicts[VD_ACCEPT] + stats->left_accepted - arrived, flushed - stats->flushed);
	assert_in_range(stats->maybe_flushed, 0, RUN_DOUBT * flushes);
}

/* Stops, frees, and compares: what is neither accepted nor lost was flushed, by so many flushes. Returns the statistics. */
static struct vd_queue_stats end(struct run *run, unsigned flushes)
{
	struct vd_queue_stats stats;
	struct load_tally arrived;
	uint64_t offered = rule_packets() - run->already;

	engine_host_stop(run->host);
	stats = engine_host_stats(run->host, QUEUE);
	arrived = load_receiver_stop(run->receiver);
	engine_host_destroy(run->host);
	load_sender_close(&run->sender);
	assert_int_equal(arrived.disordered, 0);
	assert_int_equal(arrived.duplicates, 0);
	assert_int_equal(arrived.lost, 0);
	assert_int_equal(stats.refused, 0);
	assert_int_equal(offered, load_offered(&stats));
	assert_flushed(&stats, offered - arrived.received - stats.verdicts[VD_DROP] - stats.verdicts[VD_REJECT] -
		       stats.queue_dropped - stats.socket_dropped - stats.left_dropped, arrived.received, flushes);
	return stats;
}

/* ---- a table is deleted ---- */

/* All that wait: in the workers' hands, in the shards, in the socket. */
static void counts_what_a_deleted_table_flushed(void **state)
{
	enum { BEFORE = 1000, AFTER = 100 };

	(void)state;
	set_up();
	FOR_EACH_SHAPE(shape) {
		struct run run = {.options = VD_ENGINE_OPTIONS_INIT, .sender = {.length = SMALL}};
		struct vd_queue_stats stats;

		add_table();
		start(&run, shape);
		send_packets(&run, BEFORE);
		assert_true(load_wait_waiting(QUEUE, BEFORE));
		delete_table();
		assert_true(load_wait_waiting(QUEUE, 0));
		load_gate_open();
		engine_host_settle(run.host, QUEUE, BEFORE);

		send_packets(&run, AFTER);
		engine_host_settle(run.host, QUEUE, BEFORE + AFTER);
		stats = end(&run, 1);
		assert_int_equal(stats.flushed, BEFORE);
		assert_int_equal(stats.verdicts[VD_ACCEPT], AFTER);
	}
}

/* To the kernel they are drops, and so it says when it refuses them. Their senders had been told before. */
static void counts_flushed_rejects_as_rejects(void **state)
{
	enum { BEFORE = 300, AFTER = 100 };

	(void)state;
	set_up();
	FOR_EACH_SHAPE(shape) {
		struct run run = {.options = VD_ENGINE_OPTIONS_INIT, .function = "reject", .sender = {.length = SMALL}};
		struct vd_queue_stats stats;

		add_table();
		start(&run, shape);
		send_packets(&run, BEFORE);
		assert_true(load_wait_waiting(QUEUE, BEFORE));
		delete_table();
		load_gate_open();
		engine_host_settle(run.host, QUEUE, BEFORE);
		send_packets(&run, AFTER);
		engine_host_settle(run.host, QUEUE, BEFORE + AFTER);
		stats = end(&run, 1);
		assert_int_equal(stats.flushed, BEFORE);
		assert_int_equal(stats.verdicts[VD_REJECT], AFTER);
		assert_int_equal(stats.answered + stats.answers_limited, BEFORE + AFTER);
	}
}

/* Packets behind the flush share bursts with flushed ones. */
static void tells_flushed_packets_from_later_ones(void **state)
{
	enum { FIRST = 333, SECOND = 444, THIRD = 111 };

	(void)state;
	set_up();
	FOR_EACH_SHAPE(shape) {
		struct run run = {.options = VD_ENGINE_OPTIONS_INIT, .sender = {.length = SMALL}};
		struct vd_queue_stats stats;

		start(&run, shape);
		add_table();
		send_packets(&run, FIRST);
		assert_true(load_wait_waiting(QUEUE, FIRST));
		delete_table();
		add_table();
		send_packets(&run, SECOND);
		assert_true(load_wait_waiting(QUEUE, SECOND));
		delete_table();
		send_packets(&run, THIRD);
		assert_true(load_wait_waiting(QUEUE, THIRD));
		load_gate_open();
		engine_host_settle(run.host, QUEUE, FIRST + SECOND + THIRD);
		stats = end(&run, 2);
		assert_in_range(FIRST + SECOND - stats.flushed, 0, stats.maybe_flushed);
		assert_int_equal(stats.flushed + stats.verdicts[VD_ACCEPT], FIRST + SECOND + THIRD);
	}
}

/* At any moment, again and again. */
static void accounts_close_when_tables_come_and_go_under_load(void **state)
{
	(void)state;
	set_up();
	FOR_EACH_SHAPE(shape) {
		struct run run = {.options = VD_ENGINE_OPTIONS_INIT, .sender = {.length = SMALL, .burst = 32}};
		struct vd_queue_stats stats;

		run.sender.count = UINT32_MAX;
		run.sender.pause_us = 500; /* the sequence numbers have to last */
		start(&run, shape);
		load_gate_open();
		load_sender_start(&run.sender);
		for (unsigned i = 0; i < 20; i++) {
			add_table();
			delete_table();
		}
		load_gate_close(); /* and with a full queue */
		traffic_sleep_ms(50);
		add_table();
		delete_table();
		load_gate_open();
		traffic_sleep_ms(20);
		load_sender_stop(&run.sender);
		engine_host_settle(run.host, QUEUE, 0);
		stats = end(&run, 21);
		assert_true(stats.flushed > 0);
		assert_true(stats.verdicts[VD_ACCEPT] > 0);
	}
}

/*
 * The socket's buffer is full when the verdicts are refused: the kernel has no room to say so, and no other way. Its count of
 * what the socket lost tells how many refusals were among it.
 */
static void counts_what_was_flushed_while_the_buffer_is_full(void **state)
{
	(void)state;
	set_up();
	FOR_EACH_SHAPE(shape) {
		struct run run = {.options = VD_ENGINE_OPTIONS_INIT, .sender = {.length = LARGE}};
		struct vd_queue_stats stats;
		struct vd_nfq_status status;

		run.options.maxlen = 1000;
		run.options.copy_range = 65531;
		add_table();
		start(&run, shape);
		send_packets(&run, 300); /* more than the buffer holds, ... */
		assert_true(load_gate_wait(1, 5000));
		traffic_sleep_ms(10);
		send_packets(&run, 600); /* ... also when some were read */
		assert_true(load_queue(QUEUE, &status));
		delete_table();
		assert_true(load_wait_waiting(QUEUE, 0));
		load_gate_open();
		engine_host_settle(run.host, QUEUE, status.waiting);
		send_packets(&run, FLOWS);
		engine_host_settle(run.host, QUEUE, status.waiting + FLOWS);
		stats = end(&run, 1 + status.waiting); /* any refusal that was not said may have been a run's */
		assert_int_equal(stats.flushed, status.waiting);
		assert_int_equal(stats.socket_dropped, status.user_dropped);
		assert_int_equal(stats.verdicts[VD_ACCEPT], FLOWS);
	}
}

/* ---- the stop ---- */

/*
 * Flushed packets lie on the socket when the port settles what is left, and refusals between them. The packets behind all that
 * wait for their verdict as ever.
 */
static void settle_behind_a_flush(const struct shape *shape, uint32_t maxlen, unsigned flushed, unsigned left)
{
	struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;
	struct load_sender sender = {.where = net.far, .address = VD_NET_NEAR_V4, .port = PORT, .flows = FLOWS, .burst = 1,
				     .length = SMALL};
	struct load_receiver *receiver = load_receiver_start(TRAFFIC_HERE, AF_INET, PORT, 1, FLOWS, SEQUENCE_MAX);
	uint64_t already = rule_packets();
	struct load_engine engine;
	struct vd_queue_stats stats;
	struct load_tally arrived;

	print_message("  %u workers, %u writers, batches of %u, maxlen %u\n", shape->workers, shape->writers, shape->batch, maxlen);
	options.workers = shape->workers;
	options.writers = shape->writers;
	options.batch = shape->batch;
	options.maxlen = maxlen;
	options.copy_range = 65531; /* a buffer that takes several times as many small ones */
	options.fault_verdict = VD_ACCEPT;
	load_engine_create(&engine, &options, &load_gate, QUEUE, 1);
	add_table();
	load_gate_close();
	load_engine_start(&engine);
	load_sender_open(&sender);
	sender.count = flushed;
	load_sender_send(&sender);
	assert_true(load_wait_waiting(QUEUE, flushed));
	delete_table();
	assert_true(load_wait_waiting(QUEUE, 0));
	load_gate_pass(2 * 64); /* a burst or more is refused now */
	traffic_sleep_ms(50 * traffic_patience());
	sender.count = left;
	load_sender_send(&sender);
	assert_true(load_wait_waiting(QUEUE, left));
	vd_engine_stop(engine.engine);
	load_gate_open();
	assert_true(load_engine_join(&engine, 5000));
	assert_int_equal(engine.result, 0);
	stats = load_engine_stats(&engine);
	load_engine_destroy(&engine);
	arrived = load_receiver_stop(receiver);
	load_sender_close(&sender);

	assert_int_equal(rule_packets() - already, flushed + left);
	assert_int_equal(load_offered(&stats), flushed + left);
	assert_int_equal(stats.flushed, flushed);
	assert_int_equal(stats.left_dropped, 0);
	assert_int_equal(stats.left_accepted + stats.verdicts[VD_ACCEPT], left);
	assert_int_equal(arrived.received, left);
}

static void settles_what_waits_behind_a_flush(void **state)
{
	(void)state;
	set_up();
	FOR_EACH_SHAPE(shape) {
		settle_behind_a_flush(shape, 0, 2000, 600);
		settle_behind_a_flush(shape, 2000, 2000, 1500); /* more on the socket than a queue holds */
	}
}

/* ---- an interface goes down ---- */

/* Two wires from far, packets of both in turn. One goes down: its packets are gone, the others are not. */
static void add_second_wire(void)
{
	vd_net_command("set -e; ip link add near1 address 02:00:00:00:0a:01 type veth peer name far1 address 02:00:00:00:0a:02 "
		       "netns /proc/%d/fd/%d;"
		       "ip link set near1 up; ip addr add 10.10.0.1/24 dev near1;"
		       "ip neigh add 10.10.0.2 dev near1 lladdr 02:00:00:00:0a:02 nud permanent",
		       (int)getpid(), net.far);
	vd_net_enter_far(&net);
	vd_net_command("set -e; ip link set far1 up; ip addr add 10.10.0.2/24 dev far1;"
		       "ip neigh add 10.10.0.1 dev far1 lladdr 02:00:00:00:0a:01 nud permanent");
	vd_net_enter_near(&net);
}

/* `period`: so many packets of one wire, then of the other. */
static void lose_a_wire(const struct shape *shape, unsigned period)
{
	enum { COUNT = 960 };
	struct run run = {.options = VD_ENGINE_OPTIONS_INIT, .sender = {.length = SMALL, .flows = FLOWS}};
	struct load_sender other = {.where = net.far, .address = "10.10.0.1", .port = PORT, .flows = 1, .burst = 1,
				    .length = SMALL};
	struct load_receiver *receiver;
	struct vd_queue_stats stats;
	uint64_t already;

	vd_net_command("ip link set near1 up");
	add_table();
	already = rule_packets();
	print_message("  every %u packets\n", period);
	start(&run, shape);
	load_receiver_stop(run.receiver); /* a bound socket is enough: flow 0 of both would look like duplicates */
	receiver = load_receiver_start(TRAFFIC_HERE, AF_INET, PORT, 1, 1, 1);
	load_sender_open(&other);
	run.sender.count = other.count = period;
	for (unsigned i = 0; i < COUNT / 2; i += period) {
		load_sender_send(&run.sender);
		load_sender_send(&other);
	}
	assert_true(load_wait_waiting(QUEUE, (uint32_t)(run.sender.sent + other.sent)));
	vd_net_command("ip link set near1 down");
	assert_true(load_wait_waiting(QUEUE, (uint32_t)run.sender.sent));
	load_gate_open();
	engine_host_settle(run.host, QUEUE, run.sender.sent + other.sent);
	send_packets(&run, 50); /* it goes on */
	engine_host_settle(run.host, QUEUE, run.sender.sent + other.sent);
	engine_host_stop(run.host);
	stats = engine_host_stats(run.host, QUEUE);
	engine_host_destroy(run.host);

	assert_int_equal(rule_packets() - already, run.sender.sent + other.sent);
	assert_int_equal(stats.flushed, other.sent);
	assert_int_equal(stats.verdicts[VD_ACCEPT], run.sender.sent);
	assert_int_equal(load_receiver_stop(receiver).received, run.sender.sent);
	load_sender_close(&run.sender);
	load_sender_close(&other);
}

static void an_interface_takes_its_own_packets_only(void **state)
{
	(void)state;
	set_up();
	add_second_wire();
	FOR_EACH_SHAPE(shape) {
		lose_a_wire(shape, 1);
		lose_a_wire(shape, 3);
		lose_a_wire(shape, 48);
		lose_a_wire(shape, 480);
	}
}

/* Interfaces go down and come up while everything moves. */
static void accounts_close_when_an_interface_comes_and_goes_under_load(void **state)
{
	(void)state;
	set_up();
	add_second_wire();
	FOR_EACH_SHAPE(shape) {
		struct run run = {.options = VD_ENGINE_OPTIONS_INIT, .sender = {.length = SMALL, .burst = 16}};
		struct load_sender other = {.where = net.far, .address = "10.10.0.1", .port = PORT + 1, .flows = 4, .burst = 16,
					    .length = SMALL, .count = UINT32_MAX, .pause_us = 500};
		struct load_receiver *receiver;
		struct vd_queue_stats stats;
		struct load_tally arrived;

		vd_net_command("ip link set near1 up; iptables-legacy -F INPUT;"
			       "iptables-legacy -A INPUT -p udp --dport %u:%u -m comment --comment queued -j NFQUEUE --queue-num %u",
			       PORT, PORT + 1, QUEUE);
		receiver = load_receiver_start(TRAFFIC_HERE, AF_INET, PORT + 1, 1, 4, SEQUENCE_MAX);
		run.sender.count = UINT32_MAX;
		run.sender.pause_us = 500;
		start(&run, shape);
		load_sender_open(&other);
		load_sender_start(&run.sender);
		load_sender_start(&other);
		for (unsigned i = 0; i < 10; i++) {
			load_gate_close(); /* packets pile up, or the wire would be found empty */
			traffic_sleep_ms(5);
			vd_net_command("ip link set near1 down");
			load_gate_open();
			vd_net_command("ip link set near1 up");
		}
		load_sender_stop(&run.sender);
		load_sender_stop(&other);
		engine_host_settle(run.host, QUEUE, 0);
		engine_host_stop(run.host);
		stats = engine_host_stats(run.host, QUEUE);
		arrived = load_receiver_stop(receiver);
		assert_int_equal(arrived.disordered, 0);
		assert_int_equal(arrived.duplicates, 0);
		assert_true(stats.flushed > 0);
		assert_int_equal(rule_packets(), load_offered(&stats));
		arrived.received += load_receiver_stop(run.receiver).received;
		assert_flushed(&stats, load_offered(&stats) - arrived.received - stats.queue_dropped - stats.socket_dropped,
			       arrived.received, 10);
		engine_host_destroy(run.host);
		load_sender_close(&run.sender);
		load_sender_close(&other);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(counts_what_a_deleted_table_flushed, tear_down),
		cmocka_unit_test_teardown(counts_flushed_rejects_as_rejects, tear_down),
		cmocka_unit_test_teardown(tells_flushed_packets_from_later_ones, tear_down),
		cmocka_unit_test_teardown(accounts_close_when_tables_come_and_go_under_load, tear_down),
		cmocka_unit_test_teardown(counts_what_was_flushed_while_the_buffer_is_full, tear_down),
		cmocka_unit_test_teardown(settles_what_waits_behind_a_flush, tear_down),
		cmocka_unit_test_teardown(an_interface_takes_its_own_packets_only, tear_down),
		cmocka_unit_test_teardown(accounts_close_when_an_interface_comes_and_goes_under_load, tear_down),
	};

	return cmocka_run_group_tests_name("flush", tests, NULL, NULL);
}
