/* SPDX-License-Identifier: MIT */
/*
 * Held packets under load: several threads decide the others meanwhile, in ranges where they may. A range that has a held packet in
 * it would answer that one too early; then its own verdict comes back as flushed, and the far side has it, or has it not. And a
 * hundred thousand of them at once, in the memory that is documented.
 */
#include <netinet/udp.h>
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

#include "engine/port_sim.h"
#include "test/support/engine_host.h"
#include "test/support/load.h"
#include "test/support/net.h"
#include "test/support/traffic.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103 /* <linux/udp.h> */
#endif

#define QUEUE 3
#define PORT 7000
#define FLOWS 64
#define SEQUENCE_MAX 500000
#define TICKETS 1024u

/* <verdict/hold.h> and verdict-function(7) say so */
#define BYTES_EACH 256

static struct vd_net net;

/* ---- a function that holds some, and a thread that decides them a moment later ---- */

static struct {
	unsigned held_permille;
	_Atomic bool with_flow;
	unsigned drop_percent; /* of those that are decided at once */
	uint64_t seed;
	struct vd_holder *holder;
	_Atomic uint64_t tickets[TICKETS];
	_Atomic unsigned next;
	_Atomic uint64_t going; /* that were said to go on */
	_Atomic bool is_over;
	pthread_t decider;
} load;

static int open_holding(struct vd_open *open, void **shared)
{
	(void)shared;
	load.holder = open->holder;
	return 0;
}

static uint64_t dice_of(uint64_t number)
{
	uint64_t state = load.seed ^ number;

	return vd_sim_random(&state);
}

static enum vd_verdict decide(struct vd_packet *packet, void *state)
{
	struct vd_hold hold = {.deadline_ms = 600000, .verdict = VD_DROP, .with_flow = load.with_flow};
	uint64_t dice = dice_of(vd_packet_id(packet)), ticket, none = 0;
	enum vd_verdict verdict;

	(void)state;
	if (dice % 1000 < load.held_permille && vd_packet_hold(packet, &hold, &ticket) == VD_HELD) {
		unsigned place = atomic_fetch_add(&load.next, 1) % TICKETS;

		if (atomic_compare_exchange_strong(&load.tickets[place], &none, ticket))
			return VD_HELD;
		/* the decider has not come by: it is decided before it is held */
		vd_hold_decide(load.holder, ticket, VD_ACCEPT);
		atomic_fetch_add(&load.going, 1);
		return VD_HELD;
	}
	verdict = (dice >> 32) % 100 < load.drop_percent ? VD_DROP : VD_ACCEPT;
	if (verdict == VD_ACCEPT)
		atomic_fetch_add(&load.going, 1);
	return verdict;
}

static const struct vd_function HOLDING = {.abi = VD_FUNCTION_ABI, .size = sizeof(struct vd_function), .name = "holding",
					   .summary = "holds some", .bytes = VD_HEADERS, .needs = VD_NEEDS_HOLD,
					   .open = open_holding, .decide = decide};

static void decide_one(unsigned place)
{
	uint64_t ticket = atomic_exchange(&load.tickets[place], 0);
	enum vd_verdict verdict = load.with_flow || dice_of(ticket) & 1 ? VD_ACCEPT : VD_DROP;

	if (!ticket)
		return;
	if (verdict == VD_ACCEPT)
		atomic_fetch_add(&load.going, 1);
	assert_int_equal(vd_hold_decide(load.holder, ticket, verdict), 0);
}

static void *decide_later(void *argument)
{
	uint64_t random = load.seed;

	(void)argument;
	while (!atomic_load(&load.is_over)) {
		for (unsigned i = 0; i < 64; i++)
			decide_one((unsigned)(vd_sim_random(&random) % TICKETS));
		nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
	}
	for (unsigned i = 0; i < TICKETS; i++)
		decide_one(i);
	return NULL;
}

static void begin(unsigned held_permille, bool with_flow, unsigned drop_percent, uint64_t seed)
{
	memset(&load, 0, sizeof load);
	load.held_permille = held_permille;
	load.with_flow = with_flow;
	load.drop_percent = drop_percent;
	load.seed = seed;
}

static int tear_down(void **state)
{
	engine_host_destroy_all();
	return vd_net_teardown_any(state);
}

static void set_up(void)
{
	vd_net_setup(&net);
	vd_net_command("iptables-legacy -A INPUT -p udp --dport %u -j NFQUEUE --queue-num %u", PORT, QUEUE);
}

/* ---- mixed verdicts ---- */

struct wanted {
	struct engine_host *host;
	uint64_t received;
};

static bool is_nothing_left(void *argument)
{
	struct wanted *wanted = argument;
	struct vd_queue_stats stats = engine_host_stats(wanted->host, QUEUE);

	return stats.received + stats.queue_dropped + stats.socket_dropped >= wanted->received && !stats.in_flight && !stats.held;
}

static void run(unsigned workers, unsigned writers, unsigned held_permille, bool with_flow, unsigned drop_percent, unsigned count)
{
	struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;
	struct load_sender sender = {.where = net.far, .address = VD_NET_NEAR_V4, .port = PORT, .ports = 1, .flows = FLOWS,
				     .burst = 16, .length = 64, .count = count};
	struct load_receiver *receiver = load_receiver_start(TRAFFIC_HERE, AF_INET, PORT, 1, FLOWS, SEQUENCE_MAX);
	struct vd_queue_stats stats;
	struct load_tally arrived;
	struct wanted wanted;

	begin(held_permille, with_flow, drop_percent, 1 + workers + held_permille);
	options.workers = workers;
	options.writers = writers;
	options.maxlen = 65536;
	wanted.host = engine_host_create(&options);
	engine_host_add(wanted.host, &HOLDING, "");
	engine_host_queue(wanted.host, QUEUE);
	engine_host_start(wanted.host);
	pthread_create(&load.decider, NULL, decide_later, NULL);
	load_sender_open(&sender);
	load_sender_send(&sender);
	wanted.received = sender.sent;
	if (!traffic_wait_until(is_nothing_left, &wanted, 30000))
		fail_msg("%u are still held", engine_host_stats(wanted.host, QUEUE).held);
	atomic_store(&load.is_over, true);
	pthread_join(load.decider, NULL);
	engine_host_stop(wanted.host);
	stats = engine_host_stats(wanted.host, QUEUE);
	load_receiver_wait(receiver, stats.verdicts[VD_ACCEPT], 3000);
	arrived = load_receiver_stop(receiver);
	print_message("  %u workers, %u writers: %llu received, %llu held, %llu of them behind others, %llu arrived, %llu overtaken\n",
		      workers, writers, (unsigned long long)stats.received, (unsigned long long)stats.held_ever,
		      (unsigned long long)stats.held_behind, (unsigned long long)arrived.received,
		      (unsigned long long)arrived.disordered);
	assert_int_equal(stats.flushed + stats.refused + stats.maybe_flushed, 0); /* no verdict came too late */
	assert_true(stats.held_ever > 0);
	assert_int_equal(stats.held_expired, 0);
	assert_int_equal(arrived.received, stats.verdicts[VD_ACCEPT]);
	/* those behind were not asked for; all of them go on, and so does each that was said to */
	assert_int_equal(arrived.duplicates + arrived.strangers + arrived.lost, 0);
	if (with_flow)
		assert_int_equal(arrived.disordered, 0);
	else
		assert_int_equal(arrived.received, load.going);
	engine_host_destroy(wanted.host);
	load_sender_close(&sender);
}

static const struct {
	unsigned workers, writers;
} SHAPES[] = {{1, 0}, {2, 0}, {4, 0}, {2, 2}};
#define FOR_EACH_SHAPE(i) for (unsigned i = 0; i < sizeof SHAPES / sizeof *SHAPES; i++)

static void no_range_passes_a_held_packet(void **state)
{
	(void)state;
	set_up();
	FOR_EACH_SHAPE(i) {
		run(SHAPES[i].workers, SHAPES[i].writers, 20, false, 50, 40000);
		run(SHAPES[i].workers, SHAPES[i].writers, 1, false, 95, 40000);
		run(SHAPES[i].workers, SHAPES[i].writers, 1, false, 0, 40000);
	}
}

static void flows_stay_in_order(void **state)
{
	(void)state;
	set_up();
	FOR_EACH_SHAPE(i)
		run(SHAPES[i].workers, SHAPES[i].writers, 2, true, 0, 40000);
}

/* ---- segments ---- */

static void large_packets_are_held_whole(void **state)
{
	enum { SEGMENT = 1000, SEGMENTS = 20 };
	static uint8_t data[SEGMENT * SEGMENTS];
	struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;
	int size = SEGMENT, sender, receiver;
	struct engine_host *host;
	struct wanted wanted;

	(void)state;
	vd_net_setup(&net);
	vd_net_command("iptables-legacy -A OUTPUT -p udp --dport %u -j NFQUEUE --queue-num %u", PORT, QUEUE);
	begin(1000, false, 0, 1);
	options.workers = 2;
	host = engine_host_create(&options);
	engine_host_add(host, &HOLDING, "");
	engine_host_queue(host, QUEUE);
	engine_host_start(host);
	sender = traffic_udp_open(net.near, AF_INET, 0);
	receiver = traffic_udp_open(net.far, AF_INET, PORT);
	assert_int_equal(setsockopt(sender, SOL_UDP, UDP_SEGMENT, &size, sizeof size), 0);
	traffic_fill(data, sizeof data, 1);
	assert_int_equal(traffic_send(sender, VD_NET_FAR_V4, PORT, data, sizeof data), 0);
	traffic_sleep_ms(20);
	pthread_create(&load.decider, NULL, decide_later, NULL);
	wanted = (struct wanted){.host = host, .received = 1};
	while (engine_host_stats(host, QUEUE).held_dropped + engine_host_stats(host, QUEUE).verdicts[VD_ACCEPT] == 0)
		assert_true(traffic_wait_until(is_nothing_left, &wanted, 5000));
	load.with_flow = true; /* from here on all are accepted, those behind too */
	for (unsigned round = 2; round < 12; round++) {
		traffic_fill(data, sizeof data, round);
		assert_int_equal(traffic_send(sender, VD_NET_FAR_V4, PORT, data, sizeof data), 0);
		wanted.received++;
		assert_true(traffic_wait_until(is_nothing_left, &wanted, 5000));
	}
	traffic_sleep_ms(20);
	atomic_store(&load.is_over, true);
	pthread_join(load.decider, NULL);
	engine_host_stop(host);
	assert_int_equal(traffic_drain(receiver, 200),
			 (unsigned)engine_host_stats(host, QUEUE).verdicts[VD_ACCEPT] *
				 (engine_host_stats(host, QUEUE).received < 20 ? SEGMENTS : 1));
	close(sender);
	close(receiver);
}

/* ---- a hundred thousand ---- */

static size_t resident_bytes(void)
{
	FILE *file = fopen("/proc/self/statm", "re");
	unsigned long size, resident;

	assert_non_null(file);
	assert_int_equal(fscanf(file, "%lu %lu", &size, &resident), 2);
	fclose(file);
	return resident * (size_t)sysconf(_SC_PAGESIZE);
}

static _Atomic uint64_t *all_tickets;
static _Atomic unsigned all_count;

static enum vd_verdict hold_all(struct vd_packet *packet, void *state)
{
	struct vd_hold hold = {.deadline_ms = 3600000, .verdict = VD_DROP};
	uint64_t ticket;
	enum vd_verdict verdict = vd_packet_hold(packet, &hold, &ticket);

	(void)state;
	if (verdict == VD_HELD)
		all_tickets[atomic_fetch_add(&all_count, 1)] = ticket;
	return verdict;
}

static const struct vd_function HOLDS_ALL = {.abi = VD_FUNCTION_ABI, .size = sizeof(struct vd_function), .name = "holds-all",
					     .summary = "holds all", .bytes = VD_HEADERS, .needs = VD_NEEDS_HOLD,
					     .open = open_holding, .decide = hold_all};

/* There are kernels that keep no more than 65,536 packets in one queue, whatever its length is: two. */
#define QUEUES 2

struct held_count {
	struct engine_host *host;
	uint32_t held;
};

static uint32_t held_now(struct engine_host *host)
{
	uint32_t held = 0;

	for (unsigned i = 0; i < QUEUES; i++)
		held += engine_host_stats(host, QUEUE + i).held;
	return held;
}

static bool are_held(void *argument)
{
	struct held_count *count = argument;

	return held_now(count->host) == count->held;
}

static void a_hundred_thousand_are_held(void **state)
{
	enum { COUNT = 100000, WARM = 5000 };
	struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;
	struct load_sender sender;
	struct load_receiver *receiver;
	struct held_count held;
	struct load_tally arrived;
	size_t before, more;

	(void)state;
	vd_net_setup(&net);
	for (unsigned i = 0; i < QUEUES; i++)
		vd_net_command("iptables-legacy -A INPUT -p udp --dport %u -j NFQUEUE --queue-num %u", PORT + i, QUEUE + i);
	sender = (struct load_sender){.where = net.far, .address = VD_NET_NEAR_V4, .port = PORT, .ports = QUEUES, .flows = FLOWS,
				      .burst = 16, .length = 64, .count = WARM, .pause_us = 100};
	receiver = load_receiver_start(TRAFFIC_HERE, AF_INET, PORT, QUEUES, FLOWS, SEQUENCE_MAX);
	begin(0, false, 0, 1);
	all_tickets = calloc(COUNT, sizeof *all_tickets);
	assert_non_null(all_tickets);
	memset((void *)all_tickets, 1, COUNT * sizeof *all_tickets); /* they are there before it is measured */
	atomic_store(&all_count, 0);
	options.workers = 2;
	options.held_max = COUNT;
	options.maxlen = COUNT;
	held.host = engine_host_create(&options);
	engine_host_add(held.host, &HOLDS_ALL, "");
	for (unsigned i = 0; i < QUEUES; i++)
		engine_host_queue(held.host, QUEUE + i);
	engine_host_start(held.host);
	load_sender_open(&sender);
	load_sender_send(&sender); /* what the first packets touch is there before, too */
	held.held = WARM;
	assert_true(traffic_wait_until(are_held, &held, 30000));
	before = resident_bytes();
	sender.count = COUNT - WARM;
	load_sender_send(&sender);
	held.held = COUNT;
	if (!traffic_wait_until(are_held, &held, 60000))
		fail_msg("only %u are held", held_now(held.host));
	more = resident_bytes() - before;
	print_message("  %u held: %zu bytes each\n", COUNT - WARM, more / (COUNT - WARM));
	if (traffic_patience() == 1) /* sanitizers have memory of their own */
		assert_in_range(more / (COUNT - WARM), 1, BYTES_EACH);
	assert_int_equal(engine_host_stats(held.host, QUEUE).waiting + engine_host_stats(held.host, QUEUE + 1).waiting, COUNT);
	for (unsigned i = 0; i < COUNT; i++)
		assert_int_equal(vd_hold_decide(load.holder, all_tickets[i], VD_ACCEPT), 0);
	held.held = 0;
	assert_true(traffic_wait_until(are_held, &held, 60000));
	load_receiver_wait(receiver, COUNT, 5000);
	engine_host_stop(held.host);
	arrived = load_receiver_stop(receiver);
	assert_int_equal(arrived.received, COUNT);
	assert_int_equal(engine_host_stats(held.host, QUEUE).flushed, 0);
	load_sender_close(&sender);
	engine_host_destroy(held.host);
	free((void *)all_tickets);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(no_range_passes_a_held_packet, tear_down),
		cmocka_unit_test_teardown(flows_stay_in_order, tear_down),
		cmocka_unit_test_teardown(large_packets_are_held_whole, tear_down),
		cmocka_unit_test_teardown(a_hundred_thousand_are_held, tear_down),
	};

	return cmocka_run_group_tests_name("held under load", tests, NULL, NULL);
}
