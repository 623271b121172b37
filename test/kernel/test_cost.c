/* SPDX-License-Identifier: MIT */
/*
 * What an engine costs on real queues: memory, however much comes, and CPU time while nothing does.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "test/support/life.h"

static unsigned rss_kb(void)
{
	unsigned kb = 0;
	char line[128];
	FILE *file = fopen("/proc/self/status", "re");

	assert_non_null(file);
	while (fgets(line, sizeof line, file))
		if (sscanf(line, "VmRSS: %u", &kb) == 1)
			break;
	fclose(file);
	return kb;
}

/* True: so many packets were read before both workers came to the gate. */
static bool try_to_fill_slots(const struct load_engine *engine)
{
	bool is_full;
	struct load_sender sender = {.where = life_net.near, .address = VD_NET_NEAR_V4, .port = LIFE_PORT, .flows = LIFE_FLOWS, .burst = 1,
				     .length = 60000, .count = 1};

	/* a reader holds the first packet, which it decides on the spot; by some of those that pile up it learns to take many */
	load_gate_close();
	load_sender_open(&sender);
	load_sender_send(&sender);
	load_gate_wait(1, 200);
	sender.count = 520;
	load_sender_send(&sender);
	load_gate_pass(30);
	load_gate_wait(2, 200);
	traffic_sleep_ms(100);
	is_full = load_engine_stats(engine).in_flight > 300;
	load_gate_open();
	assert_true(load_wait_waiting(LIFE_QUEUE, 0));
	load_sender_close(&sender);
	return is_full;
}

/* All slots once, to their ends: what is not touched takes no memory. */
static void fill_slots(const struct load_engine *engine)
{
	for (unsigned tries = 0; tries < 50; tries++)
		if (try_to_fill_slots(engine))
			return;
	fail_msg("the slots are never all in use");
}

static void move_much(struct load_sender *sender, struct load_receiver *receiver)
{
	struct traffic_tcp tcp = {.client = life_net.far, .server = life_net.near, .address = VD_NET_NEAR_V4, .port = 8000,
				  .upload = 200u << 20, .timeout_ms = 20000};

	if (!traffic_tcp_transfer(&tcp))
		fail_msg("TCP: %s", tcp.failure);
	sender->count = 150000;
	load_sender_send(sender);
	load_receiver_wait(receiver, UINT64_MAX, 5000);
}

static void stays_small(void **state)
{
	struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;
	struct load_receiver *receiver;
	struct vd_queue_stats stats;
	struct load_sender sender;
	struct load_engine engine;
	unsigned before, half, whole;

	(void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	print_message("skip: memory is not what it is with a sanitizer\n");
	skip();
#endif
	life_set_up(1);
	vd_net_command("iptables-legacy -A INPUT -p tcp --dport 8000 -j NFQUEUE --queue-num %u", LIFE_QUEUE);
	receiver = load_receiver_start(TRAFFIC_HERE, AF_INET, LIFE_PORT, 1, LIFE_FLOWS, LIFE_SEQUENCE_MAX);
	sender = life_far_sender(1, 0);
	sender.burst = 64;
	sender.length = 1400;
	load_sender_open(&sender);
	before = rss_kb();
	options.workers = 2;
	options.copy_range = 65531;
	load_engine_create(&engine, &options, &load_gate, LIFE_QUEUE, 1);
	load_engine_start(&engine);
	fill_slots(&engine);
	move_much(&sender, receiver);
	half = rss_kb();
	move_much(&sender, receiver);
	whole = rss_kb();
	stats = load_engine_stats(&engine);
	print_message("  %u KB before, %u KB, %u KB after %llu packets of %llu bytes on average\n", before, half, whole,
		      (unsigned long long)stats.received, (unsigned long long)(stats.bytes / stats.received));
	assert_true(stats.bytes > 600u << 20);
	assert_in_range(whole, 0, 40 * 1024);
	assert_in_range(whole, 0, half + 1024);
	vd_engine_stop(engine.engine);
	assert_true(load_engine_join(&engine, 2000));
	load_receiver_stop(receiver);
	load_engine_destroy(&engine);
	load_sender_close(&sender);
}

static void costs_nothing_while_idle(void **state)
{
	static const unsigned queues[] = {1, LIFE_MANY};

	(void)state;
	life_set_up(1);
	for (unsigned i = 0; i < 2; i++) {
		struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;
		struct load_receiver *receiver = load_receiver_start(TRAFFIC_HERE, AF_INET, LIFE_PORT, 1, LIFE_FLOWS, LIFE_SEQUENCE_MAX);
		struct load_sender sender = life_far_sender(1, 1000);
		struct load_engine engine;
		uint64_t before, used;

		options.writers = i; /* they sleep as well */
		load_engine_create(&engine, &options, NULL, LIFE_QUEUE, queues[i]);
		load_engine_start(&engine);
		load_sender_open(&sender);
		load_sender_send(&sender); /* not only before the first packet */
		load_receiver_wait(receiver, 1000, 2000);
		load_receiver_stop(receiver);
		load_sender_close(&sender);
		traffic_sleep_ms(100);

		before = load_cpu_us();
		traffic_sleep_ms(2000);
		used = load_cpu_us() - before;
		print_message("  %u queues: %.3f %% of a CPU\n", queues[i], (double)used / 20000);
		assert_in_range(used, 0, 10000); /* 0.5 %: the machine's noise; it should be none at all */
		vd_engine_stop(engine.engine);
		assert_true(load_engine_join(&engine, 2000));
		load_engine_destroy(&engine);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		/* the first one: what other tests leave in the heap is not its business */
		cmocka_unit_test_teardown(stays_small, life_tear_down),
		cmocka_unit_test_teardown(costs_nothing_while_idle, life_tear_down),
	};

	return cmocka_run_group_tests_name("cost", tests, NULL, NULL);
}
