/* SPDX-License-Identifier: MIT */
/*
 * The simulated queue by itself, with a small client in one thread instead of the engine: that it is deterministic, that its
 * accounts close, that a right client breaks no rule, and that each rule can be broken: a checker that never complains
 * is worth nothing.
 */
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/port.h"
#include "engine/port_sim.h"
#include "engine/slots.h"
#include "lib/packet/packet.h"

#define SLOTS 256

enum sin {
	SIN_NONE,
	SIN_ANSWERS_TWICE,
	SIN_INVENTS_AN_ID,
	SIN_ANSWERS_WHAT_WAS_LOST,
	SIN_FORGETS_ONE,
	SIN_SWAPS_TWO_OF_A_FLOW,
	SIN_CORRUPTS_A_BYTE,
	SIN_CUTS_A_PACKET,
	SIN_OUTGROWS_THE_ROOM,
	SIN_REWRITES_A_PART,
	SIN_CHANGES_THE_MARK,
	SIN_MIXES_UP_PACKETS,
	SIN_DECIDES_OTHERWISE,
	SIN_DECIDES_NOTHING,
	SIN_DECIDES_NONSENSE,
	SIN_SENDS_NOTHING,
	SIN_SENDS_AFTER_CLOSE,
};

struct client {
	struct vd_port *port;
	const struct vd_port_operations *operations;
	struct vd_port_settings settings;
	struct vd_slots slots;
	uint64_t random;
	unsigned lag;	    /* packets that it holds before it answers any */
	bool shuffles;	    /* answers in another order, where that is allowed */
	uint64_t stop_after; /* packets; 0: never */
	enum sin sin;
	bool has_sinned;
	uint64_t story;	    /* a hash of everything that it was handed */
	struct vd_packet *held[SLOTS];
	unsigned held_count;
	uint8_t scratch[256];
};

static enum vd_verdict verdict_of(const struct vd_packet *packet, void *argument)
{
	static const enum vd_verdict verdicts[] = {VD_ACCEPT, VD_DROP, VD_REJECT, VD_REPEAT, VD_QUEUE, VD_STOP};

	(void)argument;
	return verdicts[vd_sim_packet_index(packet) % 6];
}

static void send_burst(struct client *client, struct vd_packet *const *packets, unsigned count)
{
	assert_int_equal(client->operations->send(client->port, packets, count, false, client->scratch), 0);
}

/* Does what the client should not, once, to the packets that it is about to answer; true: it was done. */
static bool commit_sin(struct client *client, struct vd_packet **packets, unsigned count)
{
	struct vd_packet *packet = packets[0];
	uint8_t *data = (uint8_t *)packet + packet->data_offset;

	switch (client->sin) {
	case SIN_NONE:
	case SIN_FORGETS_ONE:
	case SIN_SENDS_AFTER_CLOSE:
		return false;
	case SIN_ANSWERS_TWICE:
		send_burst(client, packets, 1);
		return true;
	case SIN_INVENTS_AN_ID: {
		struct vd_packet other = *packet;

		other.id += 1u << 30;
		send_burst(client, (struct vd_packet *[]){&other}, 1);
		return true;
	}
	case SIN_ANSWERS_WHAT_WAS_LOST:
		for (unsigned i = 0; i + 1 < count; i++) {
			struct vd_packet other = *packets[i];

			if (packets[i + 1]->id == other.id + 1)
				continue;
			other.id++;
			send_burst(client, (struct vd_packet *[]){&other}, 1);
			return true;
		}
		return false;
	case SIN_SWAPS_TWO_OF_A_FLOW:
		for (unsigned i = 1; i < count; i++)
			if (vd_sim_packet_flow(packets[i]) == vd_sim_packet_flow(packet)) {
				packets[0] = packets[i];
				packets[i] = packet;
				return true;
			}
		return false;
	case SIN_CORRUPTS_A_BYTE:
		data[client->random % packet->length] ^= 1u << client->random % 8;
		return true;
	case SIN_CUTS_A_PACKET:
		packet->length--;
		return true;
	case SIN_OUTGROWS_THE_ROOM:
		packet->changed |= VD_CHANGED_DATA;
		packet->length = packet->room + 1;
		return true;
	case SIN_REWRITES_A_PART:
		if (packet->length == packet->wire_length)
			return false;
		packet->changed |= VD_CHANGED_DATA;
		return true;
	case SIN_CHANGES_THE_MARK:
		packet->mark++;
		return true;
	case SIN_MIXES_UP_PACKETS:
		packet->port_private++;
		return true;
	case SIN_DECIDES_OTHERWISE:
		packet->verdict = packet->verdict == VD_DROP ? VD_ACCEPT : VD_DROP;
		return true;
	case SIN_DECIDES_NOTHING:
		packet->verdict = VD_NEXT;
		return true;
	case SIN_DECIDES_NONSENSE:
		packet->verdict = 77;
		return true;
	case SIN_SENDS_NOTHING:
		send_burst(client, packets, 0);
		return true;
	}
	return false;
}

/* Another order that keeps each flow's: neighbours of different flows change places. */
static void shuffle(struct client *client, struct vd_packet **packets, unsigned count)
{
	for (unsigned i = 1; i < count; i++)
		if (vd_sim_packet_flow(packets[i]) != vd_sim_packet_flow(packets[i - 1]) && vd_sim_random(&client->random) & 1) {
			struct vd_packet *packet = packets[i];

			packets[i] = packets[i - 1];
			packets[i - 1] = packet;
		}
}

static void answer(struct client *client, unsigned count)
{
	struct vd_packet *packets[VD_PORT_BURST_MAX];

	if (!count)
		return;
	memcpy(packets, client->held, count * sizeof *packets);
	client->held_count -= count;
	memmove(client->held, client->held + count, client->held_count * sizeof *packets);
	for (unsigned i = 0; i < count; i++)
		packets[i]->verdict = (uint8_t)verdict_of(packets[i], NULL);
	if (client->shuffles)
		shuffle(client, packets, count);
	if (!client->has_sinned)
		client->has_sinned = commit_sin(client, packets, count);
	if (client->sin == SIN_FORGETS_ONE && !client->has_sinned) {
		client->has_sinned = true;
		vd_slots_keep(&client->slots, packets, 1);
		memmove(packets, packets + 1, --count * sizeof *packets);
	}
	if (count) {
		send_burst(client, packets, count);
		vd_slots_keep(&client->slots, packets, count);
	}
}

static void hear(struct client *client, const struct vd_packet *packet)
{
	const uint8_t *data = vd_packet_data(packet);

	client->story = (client->story ^ packet->id) * 0x9e3779b97f4a7c15u;
	for (uint32_t i = 0; i < packet->length; i++)
		client->story = (client->story ^ data[i]) * 0x100000001b3u;
}

static void open_client(struct client *client, const struct vd_sim_options *options)
{
	struct vd_error error;

	assert_int_equal(vd_port_sim_create(&client->port, options), 0);
	client->operations = client->port->operations;
	client->settings.slot_room = (uint32_t)client->port->message_room + client->settings.copy_range + VD_ROOM;
	assert_int_equal(vd_slots_init(&client->slots, SLOTS, client->settings.slot_room), 0);
	assert_true(client->port->scratch_size <= sizeof client->scratch);
	assert_int_equal(client->operations->open(client->port, &client->settings, &error), 0);
}

/* The whole run, and what the port says of it. */
static void run_client(struct client *client, const struct vd_sim_options *options, struct vd_sim_report *report)
{
	struct vd_port_counters counters;
	uint64_t received = 0;

	open_client(client, options);
	while (!client->stop_after || received < client->stop_after) {
		struct vd_packet **packets = client->held + client->held_count;
		unsigned room = SLOTS - client->held_count < VD_PORT_BURST_MAX ? SLOTS - client->held_count : VD_PORT_BURST_MAX;
		unsigned want = vd_slots_take(&client->slots, packets, 1 + (unsigned)(vd_sim_random(&client->random) % room));
		int count = client->operations->receive(client->port, packets, want, client->held_count == 0);
		unsigned got = count > 0 ? (unsigned)count : 0;

		assert_true(count >= 0 || count == VD_PORT_ENDED);
		vd_slots_keep(&client->slots, packets + got, want - got);
		for (unsigned i = 0; i < got; i++)
			hear(client, packets[i]);
		client->held_count += got;
		received += got;
		if (count == VD_PORT_ENDED)
			break;
		while (client->held_count > client->lag || client->held_count > SLOTS - VD_PORT_BURST_MAX)
			answer(client, client->held_count < 24 ? client->held_count : 24);
	}
	while (client->held_count)
		answer(client, client->held_count < VD_PORT_BURST_MAX ? client->held_count : VD_PORT_BURST_MAX);
	client->operations->counters(client->port, &counters);
	client->operations->close(client->port);
	if (client->sin == SIN_SENDS_AFTER_CLOSE) {
		struct vd_packet *packet;

		vd_slots_take(&client->slots, &packet, 1);
		send_burst(client, &packet, 1);
	}
	client->operations->counters(client->port, &counters);
	vd_port_sim_report(client->port, report);
	assert_int_equal(counters.queue_dropped, report->queue_dropped);
	assert_int_equal(counters.socket_dropped, report->socket_dropped);
	assert_int_equal(counters.flushed, report->flushed);
	assert_int_equal(counters.refused, report->refused);
	assert_int_equal(counters.left_accepted, report->left_accepted);
	assert_int_equal(counters.left_dropped, report->left_dropped);
	client->operations->destroy(client->port);
	vd_slots_fini(&client->slots);
}

static uint64_t sum_of_verdicts(const struct vd_sim_report *report)
{
	uint64_t sum = 0;

	for (unsigned verdict = 0; verdict < VD_VERDICT_COUNT; verdict++)
		sum += report->verdicts[verdict];
	return sum;
}

static void assert_accounts_close(const struct vd_sim_report *report)
{
	assert_int_equal(report->offered, sum_of_verdicts(report) + report->queue_dropped + report->socket_dropped +
						  report->flushed + report->refused + report->left_accepted +
						  report->left_dropped);
}

static unsigned up_to(uint64_t *random, unsigned most)
{
	return (unsigned)(vd_sim_random(random) % (most + 1));
}

static struct vd_sim_options any_options(uint64_t seed)
{
	struct vd_sim_options options = VD_SIM_OPTIONS_INIT;
	uint64_t random = seed ^ 0x0123456789abcdefu;

	options.seed = seed;
	options.queue = up_to(&random, 65535);
	options.packets = 1 + up_to(&random, 800);
	options.first_id = up_to(&random, 3) ? 1 : UINT32_MAX - up_to(&random, 400);
	options.flows = 1 + up_to(&random, 40);
	options.size_max = 40 + up_to(&random, 1500);
	options.ipv6_percent = up_to(&random, 100);
	options.tcp_percent = up_to(&random, 100);
	options.fragment_percent = up_to(&random, 30);
	options.malformed_percent = up_to(&random, 30);
	options.garbage_percent = up_to(&random, 20);
	options.arrive_max = 1 + up_to(&random, 100);
	options.idle_percent = up_to(&random, 60);
	options.short_percent = up_to(&random, 50);
	options.socket_packets = up_to(&random, 1) ? 0 : 10 + up_to(&random, 100);
	options.flush_permille = up_to(&random, 1) ? 0 : up_to(&random, 50);
	options.refuse_permille = up_to(&random, 1) ? 0 : up_to(&random, 50);
	options.expect = verdict_of;
	return options;
}

static struct client any_client(uint64_t seed)
{
	struct client client = {.random = seed ^ 0xfedcba9876543210u};

	client.lag = up_to(&client.random, 150);
	client.shuffles = up_to(&client.random, 1);
	client.stop_after = up_to(&client.random, 3) ? 0 : 1 + up_to(&client.random, 300);
	client.settings.maxlen = 1 + up_to(&client.random, 300);
	client.settings.copy_range = up_to(&client.random, 1) ? 65531 : 1 + up_to(&client.random, 200);
	client.settings.fail_open = !up_to(&client.random, 3);
	client.settings.fault_verdict = up_to(&client.random, 1) ? VD_ACCEPT : VD_DROP;
	return client;
}

static void a_right_client_breaks_no_rule_and_the_accounts_close(void **state)
{
	struct vd_sim_report sum = {0};

	(void)state;
	for (uint64_t seed = 1; seed <= 1000; seed++) {
		struct vd_sim_options options = any_options(seed);
		struct client client = any_client(seed);
		struct vd_sim_report report;

		run_client(&client, &options, &report);
		if (report.violations)
			fail_msg("%s", report.first_violation);
		assert_accounts_close(&report);
		if (!client.stop_after)
			assert_int_equal(report.offered + report.passed, options.packets);
		assert_int_equal(report.handed_up, report.answered);
		sum.queue_dropped += report.queue_dropped;
		sum.socket_dropped += report.socket_dropped;
		sum.flushed += report.flushed;
		sum.refused += report.refused;
		sum.passed += report.passed;
		sum.left_accepted += report.left_accepted;
		sum.left_dropped += report.left_dropped;
		for (unsigned verdict = 0; verdict < VD_VERDICT_COUNT; verdict++)
			sum.verdicts[verdict] += report.verdicts[verdict];
	}
	/* everything that can happen has happened */
	assert_true(sum.queue_dropped && sum.socket_dropped && sum.flushed && sum.refused && sum.passed);
	assert_true(sum.left_accepted && sum.left_dropped);
	for (unsigned verdict = VD_ACCEPT; verdict < VD_HELD; verdict++) /* what is held has none yet */
		assert_true(sum.verdicts[verdict] > 0);
}

static void the_same_seed_tells_the_same_story(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 50; seed++) {
		struct vd_sim_options options = any_options(seed);
		struct client first = any_client(seed), second = any_client(seed), other = any_client(seed);
		struct vd_sim_report reports[3];

		run_client(&first, &options, &reports[0]);
		run_client(&second, &options, &reports[1]);
		assert_true(first.story == second.story);
		assert_memory_equal(&reports[0], &reports[1], sizeof reports[0]);
		options.seed++;
		run_client(&other, &options, &reports[2]);
		assert_true(first.story != other.story);
	}
}

/* On the traffic that the sin can be committed with. */
static void assert_reported(enum sin committed, const char *complaint)
{
	struct vd_sim_options options = VD_SIM_OPTIONS_INIT;
	struct client client = {.random = 7, .lag = 100, .sin = committed};
	struct vd_sim_report report;

	client.settings.maxlen = 1000;
	client.settings.copy_range = committed == SIN_REWRITES_A_PART ? 100 : 65531;
	options.seed = 4711;
	options.queue = 5;
	options.flows = 3;
	options.socket_packets = 20;
	options.expect = verdict_of;
	run_client(&client, &options, &report);
	assert_true(client.has_sinned || committed == SIN_SENDS_AFTER_CLOSE);
	assert_true(report.violations > 0);
	if (!strstr(report.first_violation, complaint) || !strstr(report.first_violation, "seed 4711, queue 5: "))
		fail_msg("'%s' does not say '%s'", report.first_violation, complaint);
}

static void every_sin_is_reported(void **state)
{
	(void)state;
	assert_reported(SIN_ANSWERS_TWICE, "a second verdict on id ");
	assert_reported(SIN_INVENTS_AN_ID, "which was never handed up");
	assert_reported(SIN_ANSWERS_WHAT_WAS_LOST, "which was never handed up");
	assert_reported(SIN_FORGETS_ONE, "never got a verdict");
	assert_reported(SIN_SWAPS_TWO_OF_A_FLOW, "came after that on id ");
	assert_reported(SIN_CORRUPTS_A_BYTE, "have changed");
	assert_reported(SIN_CUTS_A_PACKET, "have changed");
	assert_reported(SIN_OUTGROWS_THE_ROOM, "has outgrown its room");
	assert_reported(SIN_REWRITES_A_PART, "only a part of it copied");
	assert_reported(SIN_CHANGES_THE_MARK, "the mark of the packet");
	assert_reported(SIN_MIXES_UP_PACKETS, "has become another one");
	assert_reported(SIN_DECIDES_OTHERWISE, " instead of ");
	assert_reported(SIN_DECIDES_NOTHING, "is 0, which is none");
	assert_reported(SIN_DECIDES_NONSENSE, "is 77, which is none");
	assert_reported(SIN_SENDS_NOTHING, "a send of 0 verdicts");
	assert_reported(SIN_SENDS_AFTER_CLOSE, "not open");
}

/* The checks of order are worth something only if a flow's packets cannot be told apart by the engine's hash. */
static void packets_of_a_flow_have_one_hash(void **state)
{
	unsigned malformed = 0, fragments = 0, version6 = 0, tcp = 0, packets = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= 200; seed++) {
		struct vd_sim_options options = any_options(seed);
		struct client client = any_client(seed);
		uint32_t hashes[64] = {0};
		bool known[64] = {false};
		struct vd_packet *packet;

		options.socket_packets = options.flush_permille = 0;
		options.size_max = seed % 4 ? 1500 : 65535;
		client.settings.maxlen = 1000;
		open_client(&client, &options);
		assert_int_equal(vd_slots_take(&client.slots, &packet, 1), 1);
		while (client.operations->receive(client.port, &packet, 1, true) == 1) {
			uint32_t flow = vd_sim_packet_flow(packet), hash;

			assert_true(packet->length <= client.settings.copy_range && packet->length <= packet->room);
			vd_packet_parse(packet, vd_packet_data(packet));
			hash = vd_packet_compute_flow_hash(packet, 0x1122334455667788u);
			packets++;
			malformed += vd_packet_is_malformed(packet);
			fragments += vd_packet_is_fragment(packet);
			version6 += vd_packet_ip_version(packet) == 6;
			tcp += vd_packet_protocol(packet) == IPPROTO_TCP;
			if (flow == VD_SIM_NO_FLOW)
				continue;
			if (known[flow] && hashes[flow] != hash)
				fail_msg("seed %llu: flow %u has two hashes", (unsigned long long)seed, flow);
			known[flow] = true;
			hashes[flow] = hash;
		}
		client.operations->close(client.port);
		client.operations->destroy(client.port);
		vd_slots_fini(&client.slots);
	}
	assert_true(malformed > packets / 50 && fragments > packets / 50 && version6 > packets / 5 && tcp > packets / 5);
}

static void *wake_soon(void *argument)
{
	struct client *client = argument;

	nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
	client->operations->wake(client->port);
	return NULL;
}

static void a_sleepy_port_sleeps_and_wakes(void **state)
{
	struct vd_sim_options options = VD_SIM_OPTIONS_INIT;
	struct client client = {.settings = {.maxlen = 1000, .copy_range = 1500}};
	struct vd_packet *packet;
	unsigned received = 0;
	pthread_t thread;
	struct pollfd descriptor;

	(void)state;
	options.packets = 50;
	options.arrive_max = 3;
	options.sleepy = options.silent_at_end = true;
	open_client(&client, &options);
	descriptor = (struct pollfd){.fd = client.port->descriptor, .events = POLLIN};
	vd_slots_take(&client.slots, &packet, 1);
	while (received < 50) {
		int count;

		/* half of them by the descriptor, the other half asleep in the port */
		if (received & 1)
			assert_int_equal(poll(&descriptor, 1, 1000), 1);
		count = client.operations->receive(client.port, &packet, 1, !(received & 1));
		assert_true(count == 0 || count == 1);
		if (!count)
			continue;
		received++;
		packet->verdict = VD_ACCEPT;
		send_burst(&client, &packet, 1);
	}
	assert_int_equal(poll(&descriptor, 1, 5), 0); /* silence */
	assert_int_equal(client.operations->receive(client.port, &packet, 1, false), 0);
	pthread_create(&thread, NULL, wake_soon, &client);
	assert_int_equal(client.operations->receive(client.port, &packet, 1, true), 0); /* or it hangs */
	pthread_join(thread, NULL);
	client.operations->wake(client.port); /* before the sleep: not forgotten */
	assert_int_equal(poll(&descriptor, 1, 1000), 1);
	assert_int_equal(client.operations->receive(client.port, &packet, 1, true), 0);
	client.operations->close(client.port);
	client.operations->destroy(client.port);
	vd_slots_fini(&client.slots);
}

#ifndef __SANITIZE_THREAD__ /* which would rightly complain */
static void *sleep_in_receive(void *argument)
{
	struct client *client = argument;
	struct vd_packet *packet;

	vd_slots_take(&client->slots, &packet, 1);
	client->operations->receive(client->port, &packet, 1, true);
	return NULL;
}

static void two_readers_are_reported(void **state)
{
	struct vd_sim_options options = VD_SIM_OPTIONS_INIT;
	struct client client = {.settings = {.maxlen = 1000, .copy_range = 1500}};
	struct vd_sim_report report = {0};
	struct vd_packet *packet;
	pthread_t thread;

	(void)state;
	options.packets = 1;
	options.sleepy = options.silent_at_end = true;
	open_client(&client, &options);
	vd_slots_take(&client.slots, &packet, 1);
	while (client.operations->receive(client.port, &packet, 1, true) != 1)
		;
	pthread_create(&thread, NULL, sleep_in_receive, &client);
	for (unsigned i = 0; i < 1000 && !report.violations; i++) {
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
		client.operations->receive(client.port, &packet, 1, false);
		vd_port_sim_report(client.port, &report);
	}
	client.operations->wake(client.port);
	pthread_join(thread, NULL);
	assert_non_null(strstr(report.first_violation, "two threads receive at once"));
	client.operations->destroy(client.port);
	vd_slots_fini(&client.slots);
}
#endif

static void failures_come_as_ordered(void **state)
{
	struct vd_sim_options options = VD_SIM_OPTIONS_INIT;
	struct vd_sim_report report;
	struct vd_error error = {""};
	struct vd_port *port;

	(void)state;
	options.check_error = EPERM;
	options.open_error = EBUSY;
	assert_int_equal(vd_port_sim_create(&port, &options), 0);
	assert_int_equal(port->operations->check(port, NULL, &error), -EPERM);
	assert_true(error.text[0]);
	assert_int_equal(port->operations->open(port, NULL, &error), -EBUSY);
	port->operations->destroy(port);

	options.check_error = options.open_error = 0;
	options.receive_fails_at = 100;
	assert_int_equal(vd_port_sim_create(&port, &options), 0);
	assert_int_equal(vd_port_sim_drive(port, 10, 1000, 1500, VD_ACCEPT), -EIO);
	vd_port_sim_report(port, &report);
	assert_true(report.handed_up >= 100 && report.handed_up < 120 && !report.violations && port->failure[0]);
	assert_accounts_close(&report);
	port->operations->destroy(port);

	options.receive_fails_at = 0;
	options.send_fails_at = 100;
	assert_int_equal(vd_port_sim_create(&port, &options), 0);
	assert_int_equal(vd_port_sim_drive(port, 10, 1000, 1500, VD_ACCEPT), -EIO);
	vd_port_sim_report(port, &report);
	assert_true(report.answered >= 100 && report.answered < 120 && !report.violations && port->failure[0]);
	assert_accounts_close(&report);
	port->operations->destroy(port);
}

static void wrong_options_are_refused(void **state)
{
	struct vd_sim_options options;
	struct vd_port *port;

	(void)state;
#define REFUSED(member, value)                                                                                          \
	do {                                                                                                            \
		options = (struct vd_sim_options)VD_SIM_OPTIONS_INIT;                                                   \
		options.member = (value);                                                                               \
		assert_int_equal(vd_port_sim_create(&port, &options), -EINVAL);                                         \
		assert_null(port);                                                                                      \
	} while (0)
	REFUSED(packets, 0);
	REFUSED(packets, VD_SIM_PACKETS_MAX + 1u);
	REFUSED(flows, 0);
	REFUSED(flows, 65537);
	REFUSED(size_min, 0);
	REFUSED(size_min, 1501);
	REFUSED(size_max, 65536);
	REFUSED(arrive_max, 0);
	REFUSED(idle_percent, 100);
	REFUSED(queue, 65536);
	REFUSED(silent_at_end, true);
#undef REFUSED
	options = (struct vd_sim_options)VD_SIM_OPTIONS_INIT;
	options.bench = true;
	options.flows = VD_SIM_BENCH_FLOWS_MAX + 1;
	assert_int_equal(vd_port_sim_create(&port, &options), -EINVAL);
	assert_null(port);
}

static void the_cheap_kind_counts(void **state)
{
	struct vd_sim_options options = VD_SIM_OPTIONS_INIT;
	struct vd_sim_report report;
	struct vd_port *port;

	(void)state;
	options.bench = true;
	options.packets = 100003;
	options.first_id = UINT32_MAX - 1000;
	options.flows = 300;
	assert_int_equal(vd_port_sim_create(&port, &options), 0);
	assert_int_equal(vd_port_sim_drive(port, 64, 1000, VD_HEADERS, VD_ACCEPT), 0);
	vd_port_sim_report(port, &report);
	assert_int_equal(report.offered, 100003);
	assert_int_equal(report.handed_up, 100003);
	assert_int_equal(report.answered, 100003);
	assert_true(report.handed_up_ids && report.handed_up_ids == report.answered_ids);
	port->operations->destroy(port);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_right_client_breaks_no_rule_and_the_accounts_close),
		cmocka_unit_test(the_same_seed_tells_the_same_story),
		cmocka_unit_test(every_sin_is_reported),
		cmocka_unit_test(packets_of_a_flow_have_one_hash),
		cmocka_unit_test(a_sleepy_port_sleeps_and_wakes),
#ifndef __SANITIZE_THREAD__
		cmocka_unit_test(two_readers_are_reported),
#endif
		cmocka_unit_test(failures_come_as_ordered),
		cmocka_unit_test(wrong_options_are_refused),
		cmocka_unit_test(the_cheap_kind_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
