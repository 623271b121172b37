/* SPDX-License-Identifier: MIT */
/*
 * Overload on purpose: more packets than the kernel's queue takes, more bytes than the socket's buffer takes, both with fail
 * open, and packets that still wait at the stop. Every number of the accounts is compared to one from elsewhere: the counter of
 * the rule in front of the queue, the kernel's own list of queues, and what arrived at the receiver. Behind all that stands
 * engine_host_stop(), which audits the sum.
 *
 * far sends, near queues in INPUT and receives: there a verdict puts the packet onto the receiver's socket before the send
 * call returns, and nothing can be lost in between. A gate holds the engine still while it is overloaded.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "test/support/engine_host.h"
#include "test/support/load.h"
#include "test/support/net.h"
#include "test/support/traffic.h"

#define QUEUE 3
#define PORT 7000
#define FLOWS 16
#define SEQUENCE_MAX 100000
#define SMALL 64    /* bytes of payload */
#define LARGE 60000 /* in one piece over lo: some 70 KB of the socket's buffer each */

/* How many threads there are; everything is tried with each. */
struct shape {
	unsigned workers;
	unsigned writers;
};
static const struct shape SHAPES[] = {{1, 0}, {2, 0}, {1, 2}, {2, 2}, {4, 2}};
#define FOR_EACH_SHAPE(shape) for (const struct shape *shape = SHAPES; shape < SHAPES + sizeof SHAPES / sizeof *SHAPES; shape++)

/* Drops every third packet of a flow, by the sequence number in it. */
static enum vd_verdict drop_third(struct vd_packet *packet, void *state)
{
	uint32_t length;
	const uint8_t *payload = vd_packet_payload(packet, &length);

	(void)state;
	return payload && length >= 12 && (payload[8] << 24 | payload[9] << 16 | payload[10] << 8 | payload[11]) % 3 == 0 ?
		       VD_DROP : VD_NEXT;
}

static const struct vd_function DROP_THIRD = {
	.abi = VD_FUNCTION_ABI,
	.size = sizeof(struct vd_function),
	.name = "drop-third",
	.summary = "drops every third",
	.bytes = VD_HEADERS,
	.decide = drop_third,
};

/* ---- one run ---- */

static struct vd_net net;

struct run {
	struct vd_engine_options options;
	struct engine_host *host;
	struct load_sender sender;
	struct load_receiver *receiver;
	uint64_t already; /* what the rule counted before */
	uint64_t offered; /* the rule's count of this run */
};

static uint64_t rule_packets(void)
{
	return traffic_rule_packets(TRAFFIC_HERE, "iptables-legacy", "filter", "queued");
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

/* Threads as in `shape`, the gate closed, then drop-third; what else there is to say is in run->options. */
static void start(struct run *run, const struct shape *shape)
{
	bool over_lo = run->sender.length == LARGE; /* in one piece only there */

	print_message("  %u workers, %u writers\n", shape->workers, shape->writers);
	run->options.workers = shape->workers;
	run->options.writers = shape->writers;
	run->host = engine_host_create(&run->options);
	engine_host_add(run->host, &load_gate, "");
	engine_host_add(run->host, &DROP_THIRD, "");
	engine_host_queue(run->host, QUEUE);
	load_gate_close();
	engine_host_start(run->host);

	run->already = rule_packets();
	run->receiver = load_receiver_start(TRAFFIC_HERE, AF_INET, PORT, 1, FLOWS, SEQUENCE_MAX);
	run->sender.where = over_lo ? net.near : net.far;
	run->sender.address = VD_NET_NEAR_V4;
	run->sender.port = PORT;
	run->sender.flows = FLOWS;
	run->sender.burst = 1;
	load_sender_open(&run->sender);
}

static void send_packets(struct run *run, unsigned count)
{
	run->sender.count = count;
	load_sender_send(&run->sender);
	run->offered = rule_packets() - run->already;
	assert_int_equal(run->offered, run->sender.sent);
}

static struct vd_nfq_status kernel_says(void)
{
	struct vd_nfq_status status;

	assert_true(load_queue(QUEUE, &status));
	return status;
}

/* Lets everything pass that waits. */
static void open_gate(struct run *run)
{
	load_gate_open();
	engine_host_settle(run->host, QUEUE, 0);
	assert_true(load_wait_waiting(QUEUE, 0));
}

/* Stops while packets wait: the gate is opened when the stop has been asked for. */
static void stop_while_they_wait(struct run *run)
{
	load_gate_open_later(100 * traffic_patience());
	engine_host_stop(run->host);
}

/* Ends the run, and returns what arrived. */
static uint64_t end(struct run *run, struct vd_queue_stats *stats)
{
	struct load_tally arrived = load_receiver_stop(run->receiver);

	*stats = engine_host_stats(run->host, QUEUE);
	engine_host_destroy(run->host);
	load_sender_close(&run->sender);
	assert_int_equal(arrived.disordered, 0);
	assert_int_equal(arrived.duplicates, 0);
	assert_int_equal(arrived.strangers, 0);
	assert_int_equal(arrived.lost, 0);
	return arrived.received;
}

/* ---- the queue is full ---- */

static void counts_what_found_the_queue_full(void **state)
{
	enum { MAXLEN = 100, COUNT = 1000 };

	(void)state;
	set_up();
	FOR_EACH_SHAPE(shape) {
		struct run run = {.options = VD_ENGINE_OPTIONS_INIT, .sender = {.length = SMALL}};
		struct vd_queue_stats stats;
		uint64_t arrived;

		run.options.maxlen = MAXLEN;
		start(&run, shape);
		send_packets(&run, COUNT);
		assert_int_equal(kernel_says().waiting, MAXLEN);
		assert_int_equal(kernel_says().queue_dropped, COUNT - MAXLEN);
		assert_int_equal(engine_host_stats(run.host, QUEUE).queue_dropped, COUNT - MAXLEN);
		assert_int_equal(engine_host_stats(run.host, QUEUE).waiting, MAXLEN);
		assert_int_equal(load_receiver_count(run.receiver), 0);

		open_gate(&run);
		send_packets(&run, MAXLEN / 2); /* it works again */
		engine_host_settle(run.host, QUEUE, MAXLEN + MAXLEN / 2);
		engine_host_stop(run.host);
		arrived = end(&run, &stats);

		assert_int_equal(stats.received, MAXLEN + MAXLEN / 2);
		assert_int_equal(stats.queue_dropped, COUNT - MAXLEN);
		assert_int_equal(stats.socket_dropped, 0);
		assert_int_equal(stats.verdicts[VD_ACCEPT], arrived);
		assert_true(stats.verdicts[VD_DROP] > 0);
		assert_int_equal(run.offered, arrived + stats.verdicts[VD_DROP] + stats.queue_dropped);
	}
}

/* Full at first, so that there are losses however slow the sender is; then for moments, again and again, while it works. */
static void accounts_close_at_full_speed(void **state)
{
	enum { MAXLEN = 64 };

	(void)state;
	set_up();
	FOR_EACH_SHAPE(shape) {
		struct run run = {.options = VD_ENGINE_OPTIONS_INIT, .sender = {.length = SMALL}};
		struct vd_queue_stats stats;
		uint64_t arrived, offered;

		run.options.maxlen = MAXLEN;
		start(&run, shape);
		send_packets(&run, 2 * MAXLEN);
		load_gate_open();
		run.sender.burst = 64;
		run.sender.count = 200000 / traffic_patience();
		load_sender_send(&run.sender);
		engine_host_settle(run.host, QUEUE, 0);
		offered = rule_packets() - run.already; /* the sender's own backlog may have lost some before the rule */
		engine_host_stop(run.host);
		arrived = end(&run, &stats);

		assert_true(stats.queue_dropped >= MAXLEN);
		assert_int_equal(stats.verdicts[VD_ACCEPT], arrived);
		assert_int_equal(offered, arrived + stats.verdicts[VD_DROP] + stats.queue_dropped);
	}
}

/* A program on this machine sends into the full queue: it must see nothing of it, and what is accepted leaves. */
static void counts_what_found_the_queue_full_in_output(void **state)
{
	enum { MAXLEN = 200, COUNT = 1000 };
	struct run run = {.options = VD_ENGINE_OPTIONS_INIT, .sender = {.length = SMALL}};
	struct vd_queue_stats stats;
	uint64_t arrived;

	(void)state;
	set_up();
	vd_net_command("iptables-legacy -F INPUT;"
		       "iptables-legacy -A OUTPUT -p udp --dport %u -m comment --comment queued -j NFQUEUE --queue-num %u", PORT,
		       QUEUE);
	run.options.maxlen = MAXLEN;
	start(&run, &SHAPES[1]);
	load_receiver_stop(run.receiver);
	load_sender_close(&run.sender);
	run.receiver = load_receiver_start(net.far, AF_INET, PORT, 1, FLOWS, SEQUENCE_MAX);
	run.sender.where = net.near;
	run.sender.address = VD_NET_FAR_V4;
	load_sender_open(&run.sender);
	send_packets(&run, COUNT);
	open_gate(&run);
	engine_host_stop(run.host);
	load_receiver_wait(run.receiver, engine_host_stats(run.host, QUEUE).verdicts[VD_ACCEPT], 2000);
	arrived = end(&run, &stats);

	assert_int_equal(stats.queue_dropped, COUNT - MAXLEN);
	assert_int_equal(stats.verdicts[VD_ACCEPT], arrived);
	assert_int_equal(run.offered, arrived + stats.verdicts[VD_DROP] + stats.queue_dropped);
}

/* ---- the socket's buffer is full ---- */

/* The buffer of a queue of 500: some 5 MB, 80 of the large packets. */
#define OVERFLOW_MAXLEN 500
#define OVERFLOW_COUNT 300

static void start_overflow(struct run *run, const struct shape *shape, uint64_t *lost)
{
	run->options.maxlen = OVERFLOW_MAXLEN;
	run->options.copy_range = 65531;
	start(run, shape);
	send_packets(run, OVERFLOW_COUNT);
	*lost = kernel_says().user_dropped;
}

/* Lost between packets that were received: seen as a gap while it runs. */
static void counts_what_found_the_buffer_full(void **state)
{
	(void)state;
	set_up();
	FOR_EACH_SHAPE(shape) {
		struct run run = {.options = VD_ENGINE_OPTIONS_INIT, .sender = {.length = LARGE}};
		struct vd_queue_stats stats;
		uint64_t arrived, lost;

		start_overflow(&run, shape, &lost);
		assert_in_range(lost, 1, OVERFLOW_COUNT - 1);
		assert_int_equal(kernel_says().waiting, OVERFLOW_COUNT - lost);
		open_gate(&run);
		send_packets(&run, FLOWS); /* the gap is seen at the next packet */
		engine_host_settle(run.host, QUEUE, OVERFLOW_COUNT - lost + FLOWS);
		assert_int_equal(engine_host_stats(run.host, QUEUE).socket_dropped, lost);
		engine_host_stop(run.host);
		arrived = end(&run, &stats);

		assert_int_equal(stats.received, OVERFLOW_COUNT - lost + FLOWS);
		assert_int_equal(stats.socket_dropped, lost);
		assert_int_equal(stats.queue_dropped, 0);
		assert_int_equal(stats.verdicts[VD_ACCEPT], arrived);
		assert_int_equal(run.offered, arrived + stats.verdicts[VD_DROP] + stats.socket_dropped);
	}
}

/* Lost after the last packet that was received: known at the end. */
static void counts_what_found_the_buffer_full_at_the_end(void **state)
{
	(void)state;
	set_up();
	FOR_EACH_SHAPE(shape) {
		struct run run = {.options = VD_ENGINE_OPTIONS_INIT, .sender = {.length = LARGE}};
		struct vd_queue_stats stats;
		uint64_t arrived, lost;

		start_overflow(&run, shape, &lost);
		assert_in_range(lost, 1, OVERFLOW_COUNT - 1);
		open_gate(&run);
		engine_host_stop(run.host);
		arrived = end(&run, &stats);

		assert_int_equal(stats.socket_dropped, lost);
		assert_int_equal(stats.verdicts[VD_ACCEPT], arrived);
		assert_int_equal(run.offered, arrived + stats.verdicts[VD_DROP] + stats.socket_dropped);
	}
}

/* First the buffer, then the queue: each loss on its own account. */
static void tells_both_losses_apart(void **state)
{
	enum { MAXLEN = 64 };

	(void)state;
	set_up();
	FOR_EACH_SHAPE(shape) {
		struct run run = {.options = VD_ENGINE_OPTIONS_INIT, .sender = {.length = LARGE}};
		struct vd_nfq_status before, after;
		struct vd_queue_stats stats;
		uint64_t arrived;

		run.options.maxlen = MAXLEN;
		run.options.copy_range = 65531;
		start(&run, shape);
		send_packets(&run, OVERFLOW_COUNT);
		before = kernel_says();
		open_gate(&run);
		load_gate_close();
		send_packets(&run, OVERFLOW_COUNT);
		after = kernel_says();
		assert_true(before.queue_dropped + before.user_dropped == OVERFLOW_COUNT - before.waiting);
		open_gate(&run);
		engine_host_stop(run.host);
		arrived = end(&run, &stats);

		assert_int_equal(stats.queue_dropped, after.queue_dropped);
		assert_int_equal(stats.socket_dropped, after.user_dropped);
		assert_int_equal(stats.verdicts[VD_ACCEPT], arrived);
		assert_int_equal(run.offered, arrived + stats.verdicts[VD_DROP] + stats.queue_dropped + stats.socket_dropped);
	}
}

/* The same at full speed: the buffer is full when the gate opens, and then received, lost, received, lost ... */
static void accounts_close_when_the_buffer_overflows_at_full_speed(void **state)
{
	(void)state;
	set_up();
	FOR_EACH_SHAPE(shape) {
		struct run run = {.options = VD_ENGINE_OPTIONS_INIT, .sender = {.length = LARGE}};
		struct vd_queue_stats stats;
		uint64_t arrived, lost;

		start_overflow(&run, shape, &lost);
		assert_in_range(lost, 1, OVERFLOW_COUNT - 1);
		load_gate_open();
		send_packets(&run, 3000 - OVERFLOW_COUNT);
		engine_host_settle(run.host, QUEUE, 0);
		engine_host_stop(run.host);
		arrived = end(&run, &stats);

		assert_true(stats.socket_dropped >= lost);
		assert_int_equal(stats.verdicts[VD_ACCEPT], arrived);
		assert_int_equal(run.offered,
				 arrived + stats.verdicts[VD_DROP] + stats.queue_dropped + stats.socket_dropped);
	}
}

/* ---- fail open ---- */

static void passes_when_the_queue_is_full(void **state)
{
	enum { MAXLEN = 100, COUNT = 1000 };

	(void)state;
	set_up();
	FOR_EACH_SHAPE(shape) {
		struct run run = {.options = VD_ENGINE_OPTIONS_INIT, .sender = {.length = SMALL}};
		struct vd_queue_stats stats;
		uint64_t arrived;

		run.options.maxlen = MAXLEN;
		run.options.fail_open = true;
		start(&run, shape);
		send_packets(&run, COUNT);
		/* while the gate is closed: past the functions, also what they would drop */
		assert_int_equal(load_receiver_wait(run.receiver, COUNT - MAXLEN, 2000), COUNT - MAXLEN);
		load_gate_open();
		engine_host_settle(run.host, QUEUE, MAXLEN);
		engine_host_stop(run.host);
		stats = engine_host_stats(run.host, QUEUE);
		load_receiver_wait(run.receiver, COUNT - MAXLEN + stats.verdicts[VD_ACCEPT], 2000);

		/* packets that wait are overtaken by those that do not: order is not promised here, so not by end() */
		arrived = load_receiver_stop(run.receiver).received;
		engine_host_destroy(run.host);
		load_sender_close(&run.sender);
		assert_int_equal(load_offered(&stats), MAXLEN); /* the others are known to nobody */
		assert_int_equal(stats.queue_dropped, 0);
		assert_int_equal(stats.socket_dropped, 0);
		assert_int_equal(arrived, COUNT - MAXLEN + stats.verdicts[VD_ACCEPT]);
		assert_int_equal(run.offered, arrived + stats.verdicts[VD_DROP]);
	}
}

static void passes_when_the_buffer_is_full(void **state)
{
	(void)state;
	set_up();
	FOR_EACH_SHAPE(shape) {
		struct run run = {.options = VD_ENGINE_OPTIONS_INIT, .sender = {.length = LARGE}};
		struct vd_queue_stats stats;
		uint64_t arrived, lost, waiting;

		run.options.fail_open = true;
		start_overflow(&run, shape, &lost);
		assert_int_equal(lost, 0); /* says the kernel: they passed */
		waiting = kernel_says().waiting;
		assert_in_range(waiting, 1, OVERFLOW_COUNT - 1);
		assert_int_equal(load_receiver_wait(run.receiver, OVERFLOW_COUNT - waiting, 2000), OVERFLOW_COUNT - waiting);
		load_gate_open();
		engine_host_settle(run.host, QUEUE, waiting);
		engine_host_stop(run.host);
		stats = engine_host_stats(run.host, QUEUE);
		arrived = load_receiver_stop(run.receiver).received;
		engine_host_destroy(run.host);
		load_sender_close(&run.sender);
		assert_int_equal(stats.received, waiting);
		assert_int_equal(stats.socket_dropped, OVERFLOW_COUNT - waiting); /* undecided, but not lost */
		assert_int_equal(load_offered(&stats), OVERFLOW_COUNT);
		assert_int_equal(arrived, stats.socket_dropped + stats.verdicts[VD_ACCEPT]);
	}
}

/* ---- what waits at the stop ---- */

static void settles_what_waits(const struct shape *shape, enum vd_verdict fault_verdict, size_t length)
{
	enum { COUNT = 2000 };
	struct run run = {.options = VD_ENGINE_OPTIONS_INIT, .sender = {.length = length}};
	unsigned count = length == LARGE ? OVERFLOW_COUNT : COUNT;
	struct vd_queue_stats stats;
	/* several workers, or writers, have taken all that a buffer of large ones holds by the time of the stop */
	bool surely = length == SMALL || (shape->workers == 1 && !shape->writers);
	uint64_t arrived, lost;

	run.options.fault_verdict = fault_verdict;
	run.options.maxlen = length == LARGE ? OVERFLOW_MAXLEN : COUNT;
	run.options.copy_range = length == LARGE ? 65531 : 0;
	start(&run, shape);
	send_packets(&run, count);
	lost = kernel_says().user_dropped;
	stop_while_they_wait(&run);
	arrived = end(&run, &stats);

	assert_int_equal(stats.socket_dropped, lost);
	if (fault_verdict == VD_ACCEPT) {
		assert_true(stats.left_accepted > 0 || !surely);
		assert_int_equal(stats.left_dropped, 0);
	} else {
		assert_true(stats.left_dropped > 0 || !surely);
		assert_int_equal(stats.left_accepted, 0);
	}
	assert_int_equal(arrived, stats.verdicts[VD_ACCEPT] + stats.left_accepted);
	assert_int_equal(run.offered, arrived + stats.verdicts[VD_DROP] + stats.left_dropped + lost);
}

static void accepts_what_waits_at_the_stop(void **state)
{
	(void)state;
	set_up();
	FOR_EACH_SHAPE(shape) {
		settles_what_waits(shape, VD_ACCEPT, SMALL);
		settles_what_waits(shape, VD_ACCEPT, LARGE); /* with a buffer that is full as well */
	}
}

static void drops_what_waits_at_the_stop(void **state)
{
	(void)state;
	set_up();
	FOR_EACH_SHAPE(shape) {
		settles_what_waits(shape, VD_DROP, SMALL);
		settles_what_waits(shape, VD_DROP, LARGE);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(counts_what_found_the_queue_full, tear_down),
		cmocka_unit_test_teardown(accounts_close_at_full_speed, tear_down),
		cmocka_unit_test_teardown(counts_what_found_the_queue_full_in_output, tear_down),
		cmocka_unit_test_teardown(counts_what_found_the_buffer_full, tear_down),
		cmocka_unit_test_teardown(counts_what_found_the_buffer_full_at_the_end, tear_down),
		cmocka_unit_test_teardown(tells_both_losses_apart, tear_down),
		cmocka_unit_test_teardown(accounts_close_when_the_buffer_overflows_at_full_speed, tear_down),
		cmocka_unit_test_teardown(passes_when_the_queue_is_full, tear_down),
		cmocka_unit_test_teardown(passes_when_the_buffer_is_full, tear_down),
		cmocka_unit_test_teardown(accepts_what_waits_at_the_stop, tear_down),
		cmocka_unit_test_teardown(drops_what_waits_at_the_stop, tear_down),
	};

	return cmocka_run_group_tests_name("overload", tests, NULL, NULL);
}
