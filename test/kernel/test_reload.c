/* SPDX-License-Identifier: MIT */
/*
 * Reloads of an engine that reads real queues, under traffic: no packet is lost or overtaken, queues come and go without
 * harm to others, the kernel is told what new functions need before they decide, and what is refused changes nothing.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "test/support/load.h"
#include "test/support/net.h"
#include "test/support/traffic.h"

#define QUEUE 3
#define PORT 7000
#define PORTS 4 /* and queues */
#define FLOWS 64
#define LENGTH 600
#define SEQUENCE_MAX 200000

static struct vd_net net;

static void set_up(void)
{
	vd_net_setup(&net);
	for (unsigned i = 0; i < PORTS; i++)
		vd_net_command("iptables-legacy -A INPUT -p udp --dport %u -j NFQUEUE --queue-num %u --queue-bypass", PORT + i,
			       QUEUE + i);
}

static int tear_down(void **state)
{
	load_gate_open();
	return vd_net_teardown_any(state);
}

static struct load_sender far_sender(unsigned ports, uint64_t count, unsigned pause_us)
{
	return (struct load_sender){.where = net.far, .address = VD_NET_NEAR_V4, .port = PORT, .ports = ports, .flows = FLOWS,
				    .burst = 4, .length = LENGTH, .count = count, .pause_us = pause_us};
}

/* ---- functions that want whole packets, or headers, and see that they get them ---- */

static _Atomic uint64_t cut_short;

static enum vd_verdict want_whole(struct vd_packet *packet, void *state)
{
	(void)state;
	if (vd_packet_length(packet) < vd_packet_wire_length(packet))
		atomic_fetch_add(&cut_short, 1);
	return VD_ACCEPT;
}

static enum vd_verdict want_headers(struct vd_packet *packet, void *state)
{
	(void)packet;
	(void)state;
	return VD_NEXT;
}

static int refuse_to_open(struct vd_open *open, void **shared)
{
	(void)shared;
	return vd_open_error(open, "not today");
}

#define FUNCTION(NAME, ...) {.abi = VD_FUNCTION_ABI, .size = sizeof(struct vd_function), .name = NAME, __VA_ARGS__}
static const struct vd_function WHOLE = FUNCTION("whole", .bytes = VD_WHOLE, .decide = want_whole);
static const struct vd_function HEADERS = FUNCTION("headers", .bytes = VD_HEADERS, .decide = want_headers);
static const struct vd_function REFUSES = FUNCTION("refuses", .open = refuse_to_open, .decide = want_headers);

static struct vd_engine *make(const struct vd_engine_options *options, const struct vd_function *function, unsigned first,
			      unsigned queues)
{
	struct vd_engine *engine;
	struct vd_error error;

	if (vd_engine_create(&engine, options, &error) || (function && vd_engine_add_function(engine, function, "", &error)))
		fail_msg("%s", error.text);
	for (unsigned i = 0; i < queues; i++)
		if (vd_engine_add_queue(engine, first + i, &error))
			fail_msg("%s", error.text);
	return engine;
}

static void reload(struct load_engine *engine, const struct vd_engine_options *options, const struct vd_function *function,
		   unsigned first, unsigned queues)
{
	struct vd_engine *next = make(options, function, first, queues);
	struct vd_error error;

	if (vd_engine_reload(engine->engine, next, &error))
		fail_msg("%s", error.text);
	vd_engine_destroy(next);
}

static uint32_t copy_range_of(unsigned queue)
{
	struct vd_nfq_status status;

	assert_true(load_queue(queue, &status));
	return status.copy_range;
}

static void stop(struct load_engine *engine)
{
	vd_engine_stop(engine->engine);
	assert_true(load_engine_join(engine, 5000));
	if (engine->result)
		fail_msg("%s", engine->error.text);
}

/* Functions that need headers and functions that need all, in turn: no packet comes too short to those. */
static void packets_are_never_too_short(void **state)
{
	struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;

	(void)state;
	for (unsigned workers = 1; workers <= 3; workers++) {
		struct load_sender sender;
		struct load_receiver *receiver;
		struct load_engine engine;
		struct load_tally arrived;
		struct vd_function_stats function;

		set_up();
		atomic_store(&cut_short, 0);
		options.workers = workers;
		options.writers = workers == 3;
		sender = far_sender(1, UINT32_MAX, 100);
		receiver = load_receiver_start(TRAFFIC_HERE, AF_INET, PORT, 1, FLOWS, SEQUENCE_MAX);
		load_engine_create(&engine, &options, &HEADERS, QUEUE, 1);
		load_engine_start(&engine);
		assert_int_equal(copy_range_of(QUEUE), VD_HEADERS);
		load_sender_open(&sender);
		load_sender_start(&sender);
		for (unsigned i = 0; i < 30; i++) {
			reload(&engine, &options, i % 2 ? &HEADERS : &WHOLE, QUEUE, 1);
			assert_int_equal(copy_range_of(QUEUE), i % 2 ? VD_HEADERS : VD_NFQ_COPY_RANGE_MAX);
			traffic_sleep_ms(2);
		}
		load_sender_stop(&sender);
		load_receiver_wait(receiver, sender.sent, 5000);
		stop(&engine);
		arrived = load_receiver_stop(receiver);
		assert_int_equal(arrived.received, sender.sent);
		assert_int_equal(arrived.disordered + arrived.duplicates + arrived.lost, 0);
		assert_int_equal(cut_short, 0);
		assert_int_equal(load_engine_stats(&engine).received, sender.sent);
		assert_int_equal(vd_engine_function_stats(engine.engine, &function, 1), 1);
		assert_string_equal(function.name, "headers");
		load_engine_destroy(&engine);
		load_sender_close(&sender);
		vd_net_teardown(&net);
	}
}

/* Queues come and go; the first one stays. Their rules say bypass, so what nobody reads passes. */
static void queues_come_and_go(void **state)
{
	struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;

	(void)state;
	options.fault_verdict = VD_ACCEPT;
	for (unsigned workers = 1; workers <= 4; workers++) {
		struct load_sender sender;
		struct load_receiver *receiver;
		struct load_engine engine;
		struct load_tally arrived;
		unsigned queues = 1;

		set_up();
		options.workers = workers;
		sender = far_sender(PORTS, UINT32_MAX, 100);
		receiver = load_receiver_start(TRAFFIC_HERE, AF_INET, PORT, PORTS, FLOWS, SEQUENCE_MAX);
		load_engine_create(&engine, &options, NULL, QUEUE, 1);
		load_engine_start(&engine);
		load_sender_open(&sender);
		load_sender_start(&sender);
		for (unsigned i = 0; i < 40; i++) {
			queues = 1 + (i * 7 + workers) % PORTS;
			reload(&engine, &options, NULL, QUEUE, queues);
			assert_int_equal(load_queues_bound(), queues);
			traffic_sleep_ms(i % 3);
		}
		/* each of them is really read */
		reload(&engine, &options, NULL, QUEUE, PORTS);
		traffic_sleep_ms(20);
		load_sender_stop(&sender);
		load_receiver_wait(receiver, sender.sent, 5000);
		stop(&engine);
		arrived = load_receiver_stop(receiver);
		assert_int_equal(arrived.received, sender.sent);
		assert_int_equal(arrived.duplicates + arrived.lost, 0);
		assert_int_equal(load_queues_bound(), 0);
		load_engine_destroy(&engine);
		load_sender_close(&sender);
		vd_net_teardown(&net);
	}
}

/* ---- what is refused ---- */

static void expect_refused(struct load_engine *engine, struct vd_engine *next, int result, const char *sentence)
{
	struct vd_error error;

	assert_int_equal(vd_engine_reload(engine->engine, next, &error), result);
	if (!strstr(error.text, sentence))
		fail_msg("it says '%s', not '%s'", error.text, sentence);
	vd_engine_destroy(next);
}

static void what_is_refused_changes_nothing(void **state)
{
	struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;
	struct load_sender sender;
	struct load_receiver *receiver;
	struct load_engine engine, other;
	struct vd_nfq_status status;

	(void)state;
	set_up();
	options.workers = 2;
	sender = far_sender(1, UINT32_MAX, 200);
	receiver = load_receiver_start(TRAFFIC_HERE, AF_INET, PORT, 1, FLOWS, SEQUENCE_MAX);
	load_engine_create(&other, &options, NULL, QUEUE + 2, 1);
	load_engine_start(&other);
	load_engine_create(&engine, &options, &HEADERS, QUEUE, 1);
	load_engine_launch(&engine);
	load_engine_await(&engine);
	load_sender_open(&sender);
	load_sender_start(&sender);
	for (unsigned i = 0; i < 5; i++) {
		expect_refused(&engine, make(&options, &REFUSES, QUEUE, 1), -EINVAL, "function refuses: not today");
		/* the second queue is bound before it is found out that the third is another's: and given back */
		expect_refused(&engine, make(&options, &WHOLE, QUEUE, 3), -EPERM, "queue 5 is owned by portid");
		assert_int_equal(load_queues_bound(), 2);
		assert_int_equal(copy_range_of(QUEUE), VD_HEADERS);
		assert_true(load_queue(QUEUE, &status));
		assert_false(load_queue(QUEUE + 1, &status));
	}
	load_sender_stop(&sender);
	load_receiver_wait(receiver, sender.sent, 5000);
	stop(&engine);
	stop(&other);
	assert_int_equal(load_receiver_stop(receiver).received, sender.sent);
	assert_int_equal(load_engine_stats(&engine).received, sender.sent);
	load_engine_destroy(&engine);
	load_engine_destroy(&other);
	load_sender_close(&sender);
}

/* A function that keeps a packet: the reload waits for it, and a stop does not wait for the reload. */
static void *stop_later(void *engine)
{
	traffic_sleep_ms(50);
	vd_engine_stop(engine);
	load_gate_open();
	return NULL;
}

static void a_stop_ends_a_reload(void **state)
{
	struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;
	struct load_sender sender;
	struct load_engine engine;
	struct vd_engine *next;
	struct vd_error error;
	pthread_t thread;
	int result;

	(void)state;
	set_up();
	options.workers = 2;
	load_gate_close();
	sender = far_sender(1, 4, 0);
	load_engine_create(&engine, &options, &load_gate, QUEUE, 1);
	load_engine_start(&engine);
	load_sender_open(&sender);
	load_sender_send(&sender);
	assert_true(load_gate_wait(1, 5000));
	next = make(&options, NULL, QUEUE + 1, 1);
	assert_int_equal(pthread_create(&thread, NULL, stop_later, engine.engine), 0);
	result = vd_engine_reload(engine.engine, next, &error);
	pthread_join(thread, NULL);
	assert_int_equal(result, -ECANCELED);
	vd_engine_destroy(next);
	assert_true(load_engine_join(&engine, 5000));
	assert_int_equal(engine.result, 0);
	assert_int_equal(load_queues_bound(), 0);
	load_engine_destroy(&engine);
	load_sender_close(&sender);
}

/* 1,000 of them, with a queue that comes and goes: no memory is left behind. */
static unsigned long resident_kb(void)
{
	unsigned long pages = 0;
	FILE *file = fopen("/proc/self/statm", "r");

	assert_non_null(file);
	assert_int_equal(fscanf(file, "%*u %lu", &pages), 1);
	fclose(file);
	return pages * 4;
}

static void a_thousand_leave_nothing_behind(void **state)
{
	struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;
	unsigned count = 1000, files;
	struct load_engine engine;
	unsigned long before = 0, after;
	int first = 0, last;

	(void)state;
	set_up();
	options.workers = 2;
	load_engine_create(&engine, &options, &HEADERS, QUEUE, 1);
	load_engine_start(&engine);
	for (unsigned i = 0; i < count; i++) {
		reload(&engine, &options, i % 3 ? &HEADERS : &WHOLE, QUEUE, 1 + i % 2);
		if (i == count / 2) {
			before = resident_kb();
			first = dup(0);
			close(first);
		}
	}
	after = resident_kb();
	last = dup(0);
	close(last);
	files = (unsigned)(last - first);
	printf("# %lu KB resident after %u reloads, %lu KB after %u\n", before, count / 2, after, count);
	assert_int_equal(files, 0);
	assert_true(after < before + (traffic_patience() > 2 ? 262144 : 1024)); /* sanitizers keep what is freed: 256 MB of it */
	stop(&engine);
	load_engine_destroy(&engine);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(packets_are_never_too_short, tear_down),
		cmocka_unit_test_teardown(queues_come_and_go, tear_down),
		cmocka_unit_test_teardown(what_is_refused_changes_nothing, tear_down),
		cmocka_unit_test_teardown(a_stop_ends_a_reload, tear_down),
		cmocka_unit_test_teardown(a_thousand_leave_nothing_behind, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
