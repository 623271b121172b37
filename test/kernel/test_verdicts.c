/* SPDX-License-Identifier: MIT */
/*
 * Each verdict, through the whole engine and the real kernel: what arrives on the far side, what the rules behind the queue
 * counted, and that the engine's own accounts say the same to the packet.
 *
 * Datagrams go from near to far, and are queued in near's OUTPUT.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/nfq/nfq.h"
#include "test/support/engine_host.h"
#include "test/support/net.h"
#include "test/support/traffic.h"

#define QUEUE 5
#define OTHER_QUEUE 6
#define UNBOUND_QUEUE 99
#define PORT 7000
#define FLOWS 16u
#define ROUNDS 40u
#define PACKETS (FLOWS * ROUNDS)
#define FLAG_CONNTRACK 2u /* NFQA_CFG_F_CONNTRACK */

static struct vd_net net;

/* Threads that most tests are run with. */
static const struct shape {
	unsigned workers, writers;
} SHAPES[] = {{1, 0}, {2, 0}, {4, 0}, {1, 2}, {4, 2}};
#define SHAPE_COUNT (sizeof SHAPES / sizeof *SHAPES)

static struct vd_engine_options options_of(const struct shape *shape)
{
	struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;

	options.workers = shape->workers;
	options.writers = shape->writers;
	return options;
}

/* near and far, and datagrams of near queued behind `match` in that table's OUTPUT. */
static void set_up(const char *table, const char *match)
{
	vd_net_setup(&net);
	vd_net_enter_far(&net);
	vd_net_keep_order(VD_NET_FAR_DEVICE);
	vd_net_trust_checksums(VD_NET_FAR_DEVICE, false);
	vd_net_enter_near(&net);
	vd_net_command("iptables-legacy -t %s -A OUTPUT -p udp --dport %d %s -m comment --comment queued "
		       "-j NFQUEUE --queue-num %d",
		       table, PORT, match, QUEUE);
}

static int tear_down(void **state)
{
	engine_host_destroy_all();
	return vd_net_teardown_any(state);
}

/* A rule behind the queue that counts what comes by. */
static void count_behind(const char *table, const char *chain, const char *match, const char *comment)
{
	vd_net_command("iptables-legacy -t %s -A %s -p udp --dport %d %s -m comment --comment %s", table, chain, PORT, match, comment);
}

static uint64_t counted(const char *table, const char *comment)
{
	return traffic_rule_packets(net.near, "iptables-legacy", table, comment);
}

/* Sends PACKETS through a running engine, and stops it when all have their verdict; what arrived. */
static struct traffic_tally send_through(struct engine_host *host, uint64_t expected)
{
	struct traffic_receiver *receiver = traffic_receiver_start(net.far, AF_INET, PORT);
	struct traffic_flows flows;
	struct traffic_tally sum;
	uint32_t strangers;

	traffic_flows_open(&flows, net.near, AF_INET, FLOWS, VD_NET_FAR_V4, PORT, 100);
	traffic_flows_send(&flows, ROUNDS, 0);
	traffic_flows_close(&flows);
	if (host) {
		engine_host_settle(host, QUEUE, PACKETS);
		engine_host_stop(host);
	}
	traffic_receiver_wait(receiver, (uint32_t)expected, 2000);
	traffic_receiver_stop(receiver);
	sum = traffic_receiver_sum(receiver);
	strangers = receiver->strangers;
	traffic_receiver_free(receiver);
	assert_int_equal(sum.received, expected);
	assert_int_equal(sum.duplicates, 0);
	assert_int_equal(sum.disordered, 0);
	assert_int_equal(strangers, 0);
	return sum;
}

static struct engine_host *start(const struct vd_engine_options *options, const char *function)
{
	struct engine_host *host = engine_host_create(options);

	if (function)
		engine_host_load(host, function);
	engine_host_queue(host, QUEUE);
	engine_host_start(host);
	return host;
}

/* The verdict that all of PACKETS got. */
static void expect_all(struct engine_host *host, enum vd_verdict verdict)
{
	struct vd_queue_stats stats = engine_host_stats(host, QUEUE);

	assert_int_equal(engine_host_offered(host, QUEUE), PACKETS);
	assert_int_equal(stats.received, PACKETS);
	assert_int_equal(stats.verdicts[verdict], PACKETS);
	assert_int_equal(stats.malformed, 0);
	assert_int_equal(stats.queue_dropped + stats.socket_dropped + stats.flushed + stats.refused, 0);
	assert_int_equal(stats.left_accepted + stats.left_dropped, 0);
}

/* ---- accept and drop ---- */

static void accept_arrives_in_order(void **state)
{
	static const char *const silent[] = {"missing", "entered-twice", "disordered", "strayed"};

	(void)state;
	set_up("filter", "");
	for (unsigned i = 0; i < SHAPE_COUNT; i++) {
		struct vd_engine_options options = options_of(&SHAPES[i]);
		struct engine_host *host = engine_host_create(&options);

		engine_host_load(host, "test/scopes");
		engine_host_load(host, "accept");
		engine_host_queue(host, QUEUE);
		engine_host_start(host);
		send_through(host, PACKETS);
		expect_all(host, VD_ACCEPT);
		assert_int_equal(counted("filter", "queued"), (i + 1) * PACKETS);
		assert_int_equal(engine_host_stats(host, QUEUE).by_default, 0);
		assert_int_equal(engine_host_stats(host, QUEUE).bytes, PACKETS * (100 + 28));
		assert_int_equal(engine_host_counter(host, "scopes", "sequenced"), PACKETS);
		for (unsigned j = 0; j < sizeof silent / sizeof *silent; j++)
			assert_int_equal(engine_host_counter(host, "scopes", silent[j]), 0);
		engine_host_destroy(host);
	}
}

static void drop_does_not_arrive(void **state)
{
	(void)state;
	set_up("filter", "");
	vd_net_enter_far(&net);
	vd_net_command("iptables-legacy -t mangle -A PREROUTING -p udp -m comment --comment arrived");
	vd_net_enter_near(&net);
	for (unsigned i = 0; i < SHAPE_COUNT; i++) {
		struct vd_engine_options options = options_of(&SHAPES[i]);
		struct engine_host *host = start(&options, "drop");

		send_through(host, 0);
		expect_all(host, VD_DROP);
		traffic_sleep_ms(20);
		assert_int_equal(traffic_rule_packets(net.far, "iptables-legacy", "mangle", "arrived"), 0);
		engine_host_destroy(host);
	}
}

static void default_decides_both_ways(void **state)
{
	(void)state;
	set_up("filter", "");
	for (unsigned drops = 0; drops < 2; drops++) {
		struct vd_engine_options options = options_of(&SHAPES[1]);
		struct engine_host *host;

		options.default_verdict = drops ? VD_DROP : VD_ACCEPT;
		host = start(&options, drops ? "mark:7" : NULL); /* with a function that has no opinion, and without any */
		send_through(host, drops ? 0 : PACKETS);
		expect_all(host, drops ? VD_DROP : VD_ACCEPT);
		assert_int_equal(engine_host_stats(host, QUEUE).by_default, PACKETS);
		engine_host_destroy(host);
	}
}

/* ---- a function that is faulty ---- */

static void fault_gets_the_fault_verdict(void **state)
{
	(void)state;
	set_up("filter", "");
	count_behind("mangle", "POSTROUTING", "-m mark --mark 7", "marked");
	for (unsigned drops = 0; drops < 2; drops++)
		for (unsigned every = 1; every <= 4; every += 3) {
			struct vd_engine_options options = options_of(&SHAPES[2]);
			enum vd_verdict verdict = drops ? VD_DROP : VD_ACCEPT, other = drops ? VD_ACCEPT : VD_DROP;
			uint64_t faults = PACKETS / every;
			struct engine_host *host;
			char function[32];

			options.fault_verdict = verdict;
			options.default_verdict = other; /* so that the two can be told from each other */
			host = engine_host_create(&options);
			snprintf(function, sizeof function, "test/fault:%u", every);
			engine_host_load(host, "mark:7"); /* what was changed before the fault is not carried out */
			engine_host_load(host, function);
			engine_host_queue(host, QUEUE);
			engine_host_start(host);
			send_through(host, drops ? PACKETS - faults : faults);
			assert_int_equal(engine_host_stats(host, QUEUE).faults, faults);
			assert_int_equal(engine_host_stats(host, QUEUE).by_default, PACKETS - faults);
			assert_int_equal(engine_host_stats(host, QUEUE).verdicts[verdict], faults);
			assert_int_equal(engine_host_stats(host, QUEUE).verdicts[other], PACKETS - faults);
			assert_int_equal(engine_host_function_stats(host, "fault").faults, faults);
			engine_host_destroy(host);
		}
	/* accepted and marked: by default only, in the second round of "drops": 3 of 4 */
	assert_int_equal(counted("mangle", "marked"), PACKETS - PACKETS / 4);
}

/* ---- repeat ---- */

static enum vd_verdict repeat_with_mark(struct vd_packet *packet, void *state)
{
	(void)state;
	vd_packet_set_mark(packet, 7);
	return VD_REPEAT;
}

static const struct vd_function REPEAT_ONCE = {.abi = VD_FUNCTION_ABI, .size = sizeof(struct vd_function), .name = "repeat-once",
					       .bytes = VD_HEADERS, .decide = repeat_with_mark};

static void repeat_runs_the_hook_again(void **state)
{
	(void)state;
	vd_net_setup(&net);
	vd_net_enter_far(&net);
	vd_net_keep_order(VD_NET_FAR_DEVICE);
	vd_net_enter_near(&net);
	vd_net_command("iptables-legacy -A OUTPUT -p udp --dport %1$d -m comment --comment all;"
		       "iptables-legacy -A OUTPUT -p udp --dport %1$d -m mark --mark 7 -m comment --comment again -j ACCEPT;"
		       "iptables-legacy -A OUTPUT -p udp --dport %1$d -m comment --comment queued -j NFQUEUE --queue-num %2$d",
		       PORT, QUEUE);
	for (unsigned i = 0; i < SHAPE_COUNT; i++) {
		struct vd_engine_options options = options_of(&SHAPES[i]);
		struct engine_host *host = engine_host_create(&options);

		engine_host_add(host, &REPEAT_ONCE, "");
		engine_host_queue(host, QUEUE);
		engine_host_start(host);
		send_through(host, PACKETS);
		expect_all(host, VD_REPEAT);
		assert_int_equal(counted("filter", "all"), (i + 1) * 2 * PACKETS);
		assert_int_equal(counted("filter", "again"), (i + 1) * PACKETS);
		assert_int_equal(counted("filter", "queued"), (i + 1) * PACKETS);
		engine_host_destroy(host);
	}
}

#define REPEATS 3

static enum vd_verdict repeat_until_marked(struct vd_packet *packet, void *state)
{
	(void)state;
	if (vd_packet_mark(packet) == REPEATS)
		return VD_ACCEPT;
	vd_packet_set_mark(packet, vd_packet_mark(packet) + 1);
	return VD_REPEAT;
}

static const struct vd_function REPEAT_OFTEN = {.abi = VD_FUNCTION_ABI, .size = sizeof(struct vd_function), .name = "repeat-often",
						.bytes = VD_HEADERS, .decide = repeat_until_marked};

/* Repeated packets come back to the same queue, with new ids, while it is being read. */
static void repeat_comes_back_to_the_queue(void **state)
{
	(void)state;
	set_up("filter", "");
	count_behind("mangle", "POSTROUTING", "-m mark --mark 3", "marked");
	for (unsigned i = 0; i < SHAPE_COUNT; i++) {
		struct vd_engine_options options = options_of(&SHAPES[i]);
		struct engine_host *host = engine_host_create(&options);
		struct traffic_flows flows;
		int receiver = traffic_udp_open(net.far, AF_INET, PORT);

		engine_host_add(host, &REPEAT_OFTEN, "");
		engine_host_queue(host, QUEUE);
		engine_host_start(host);
		traffic_flows_open(&flows, net.near, AF_INET, FLOWS, VD_NET_FAR_V4, PORT, 100);
		traffic_flows_send(&flows, ROUNDS, 0);
		traffic_flows_close(&flows);
		engine_host_settle(host, QUEUE, PACKETS * (REPEATS + 1));
		engine_host_stop(host);
		assert_int_equal(engine_host_offered(host, QUEUE), PACKETS * (REPEATS + 1));
		assert_int_equal(engine_host_stats(host, QUEUE).verdicts[VD_REPEAT], PACKETS * REPEATS);
		assert_int_equal(engine_host_stats(host, QUEUE).verdicts[VD_ACCEPT], PACKETS);
		assert_int_equal(counted("filter", "queued"), (i + 1) * PACKETS * (REPEATS + 1));
		assert_int_equal(counted("mangle", "marked"), (i + 1) * PACKETS);
		assert_int_equal(traffic_drain(receiver, 50), PACKETS);
		engine_host_destroy(host);
		close(receiver);
	}
}

/* ---- queue ---- */

static void requeue_is_answered_by_another_engine(void **state)
{
	(void)state;
	set_up("filter", "");
	for (unsigned i = 0; i < SHAPE_COUNT; i++) {
		struct vd_engine_options options = options_of(&SHAPES[i]);
		struct engine_host *second = engine_host_create(&options), *host;

		engine_host_load(second, "accept");
		engine_host_queue(second, OTHER_QUEUE);
		engine_host_start(second);
		host = start(&options, "requeue:6");
		send_through(host, PACKETS);
		expect_all(host, VD_QUEUE);
		engine_host_settle(second, OTHER_QUEUE, PACKETS);
		engine_host_stop(second);
		assert_int_equal(engine_host_offered(second, OTHER_QUEUE), PACKETS);
		assert_int_equal(engine_host_stats(second, OTHER_QUEUE).verdicts[VD_ACCEPT], PACKETS);
		engine_host_destroy(host);
		engine_host_destroy(second);
	}
}

/* One engine that reads both queues. */
static void requeue_is_answered_by_the_same_engine(void **state)
{
	(void)state;
	set_up("filter", "");
	for (unsigned i = 0; i < SHAPE_COUNT; i++) {
		struct vd_engine_options options = options_of(&SHAPES[i]);
		struct traffic_receiver *receiver = traffic_receiver_start(net.far, AF_INET, PORT);
		struct engine_host *host = engine_host_create(&options);
		struct traffic_flows flows;

		engine_host_load(host, "requeue:6");
		engine_host_queue(host, QUEUE);
		engine_host_queue(host, OTHER_QUEUE);
		engine_host_start(host);
		traffic_flows_open(&flows, net.near, AF_INET, FLOWS, VD_NET_FAR_V4, PORT, 100);
		traffic_flows_send(&flows, ROUNDS, 0);
		traffic_flows_close(&flows);
		engine_host_settle(host, QUEUE, PACKETS);
		engine_host_settle(host, OTHER_QUEUE, PACKETS);
		engine_host_stop(host);
		expect_all(host, VD_QUEUE);
		assert_int_equal(engine_host_stats(host, OTHER_QUEUE).verdicts[VD_ACCEPT], PACKETS);
		assert_int_equal(engine_host_stats(host, OTHER_QUEUE).by_default, PACKETS);
		assert_int_equal(traffic_receiver_wait(receiver, PACKETS, 2000), PACKETS);
		traffic_receiver_stop(receiver);
		assert_int_equal(traffic_receiver_sum(receiver).received, PACKETS);
		assert_int_equal(traffic_receiver_sum(receiver).disordered, 0);
		traffic_receiver_free(receiver);
		engine_host_destroy(host);
	}
}

static void requeue_to_nobody_drops_or_bypasses(void **state)
{
	(void)state;
	set_up("filter", "");
	for (unsigned bypass = 0; bypass < 2; bypass++) {
		struct vd_engine_options options = options_of(&SHAPES[1]);
		struct engine_host *host = start(&options, bypass ? "requeue:99,bypass" : "requeue:99");

		send_through(host, bypass ? PACKETS : 0);
		expect_all(host, VD_QUEUE);
		engine_host_destroy(host);
	}
}

/* ---- stop ---- */

static enum vd_verdict always_stop(struct vd_packet *packet, void *state)
{
	(void)packet;
	(void)state;
	return VD_STOP;
}

static const struct vd_function STOP = {.abi = VD_FUNCTION_ABI, .size = sizeof(struct vd_function), .name = "stop",
					.bytes = VD_HEADERS, .decide = always_stop};

/*
 * NF_STOP leaves out the tables behind the queue's in the same hook, here filter behind mangle: even one that drops. Later
 * hooks see the packet. (The rest of the queue's own chain is left out by any verdict: the rule's -j ended it.)
 */
static void stop_skips_the_rest_of_the_hook(void **state)
{
	(void)state;
	set_up("mangle", "");
	count_behind("mangle", "OUTPUT", "", "same-chain");
	count_behind("filter", "OUTPUT", "", "same-hook");
	count_behind("mangle", "POSTROUTING", "", "next-hook");
	for (unsigned stops = 0; stops < 2; stops++) {
		struct vd_engine_options options = options_of(&SHAPES[1]);
		struct engine_host *host = engine_host_create(&options);

		if (stops)
			engine_host_add(host, &STOP, "");
		engine_host_queue(host, QUEUE);
		engine_host_start(host);
		send_through(host, PACKETS);
		expect_all(host, stops ? VD_STOP : VD_ACCEPT);
		assert_int_equal(counted("mangle", "same-chain"), 0);
		assert_int_equal(counted("filter", "same-hook"), PACKETS); /* of the first time: not stopped */
		assert_int_equal(counted("mangle", "next-hook"), (stops + 1) * PACKETS);
		engine_host_destroy(host);
		vd_net_command("iptables-legacy -A OUTPUT -p udp --dport %d -j DROP", PORT);
	}
}

/* ---- mark and priority ---- */

static enum vd_verdict mark_by_port(struct vd_packet *packet, void *state)
{
	(void)state;
	if (vd_packet_source_port(packet) % 2)
		vd_packet_set_mark(packet, vd_packet_source_port(packet));
	return VD_ACCEPT;
}

static const struct vd_function MARK_BY_PORT = {.abi = VD_FUNCTION_ABI, .size = sizeof(struct vd_function), .name = "mark-by-port",
						.bytes = VD_HEADERS, .decide = mark_by_port};

/* A mark for some, and not for others, of one burst: it goes with the right packets, and the others keep theirs. */
static void mark_is_seen_by_later_rules(void **state)
{
	char match[80];

	(void)state;
	set_up("filter", "");
	vd_net_command("iptables-legacy -t mangle -A OUTPUT -p udp -j MARK --set-mark 0x55");
	count_behind("mangle", "POSTROUTING", "-m mark --mark 0x55", "unmarked");
	for (unsigned port = TRAFFIC_PORT_FIRST + 1; port < TRAFFIC_PORT_FIRST + FLOWS; port += 2) {
		snprintf(match, sizeof match, "--sport %u -m mark --mark %u", port, port);
		count_behind("mangle", "POSTROUTING", match, "marked");
	}
	for (unsigned i = 0; i < SHAPE_COUNT; i++) {
		struct vd_engine_options options = options_of(&SHAPES[i]);
		struct engine_host *host = engine_host_create(&options);

		engine_host_add(host, &MARK_BY_PORT, "");
		engine_host_queue(host, QUEUE);
		engine_host_start(host);
		send_through(host, PACKETS);
		expect_all(host, VD_ACCEPT);
		assert_int_equal(counted("mangle", "marked"), (i + 1) * PACKETS / 2);
		assert_int_equal(counted("mangle", "unmarked"), (i + 1) * PACKETS / 2);
		engine_host_destroy(host);
	}
}

static enum vd_verdict set_priority(struct vd_packet *packet, void *state)
{
	(void)state;
	vd_packet_set_priority(packet, 1u << 16 | 0x20); /* class 1:20 */
	return VD_ACCEPT;
}

static const struct vd_function PRIORITY = {.abi = VD_FUNCTION_ABI, .size = sizeof(struct vd_function), .name = "priority",
					    .bytes = VD_HEADERS, .decide = set_priority};

/* A class of the device's queueing discipline takes packets whose priority is its number. */
static void priority_chooses_the_class(void **state)
{
	char text[4096];
	const char *sent;
	struct vd_engine_options options = options_of(&SHAPES[1]);
	struct engine_host *host;

	(void)state;
	set_up("filter", "");
	if (vd_net_try("tc qdisc add dev %s root handle 1: htb default 10", VD_NET_NEAR_DEVICE)) {
		print_message("skip: no class to see a priority by: this kernel has no sch_htb, or tc is not installed\n");
		skip();
	}
	vd_net_command("tc class add dev %1$s parent 1: classid 1:10 htb rate 10gbit;"
		       "tc class add dev %1$s parent 1: classid 1:20 htb rate 10gbit",
		       VD_NET_NEAR_DEVICE);
	host = engine_host_create(&options);
	engine_host_add(host, &PRIORITY, "");
	engine_host_queue(host, QUEUE);
	engine_host_start(host);
	send_through(host, PACKETS);
	expect_all(host, VD_ACCEPT);
	vd_net_read_command(text, sizeof text, "tc -s class show dev %s classid 1:20", VD_NET_NEAR_DEVICE);
	sent = strstr(text, "bytes ");
	assert_non_null(sent);
	if (strtoull(sent + strlen("bytes "), NULL, 10) == 0) {
		print_message("skip: this kernel does not apply a verdict's priority (it is older than 5.19)\n");
		skip();
	}
	assert_int_equal(strtoull(sent + strlen("bytes "), NULL, 10), PACKETS);
}

/* ---- rewriting ---- */

static const char TEXT[] = "The quick brown fox, number ";

/* Every second datagram goes to another port, which the function leaves alone; so that bursts are mixed. */
static void send_texts(int sender)
{
	char text[64];

	for (unsigned i = 0; i < PACKETS; i++) {
		int length = snprintf(text, sizeof text, "%s%u.", TEXT, i);

		/* odd and even lengths: the payload's padding is on trial, too */
		assert_int_equal(traffic_send(sender, VD_NET_FAR_V4, PORT, text, (size_t)length), 0);
	}
}

static void expect_texts(int receiver, const char *way)
{
	char *seen = calloc(1, PACKETS);
	unsigned left = PACKETS;

	for (; left; left--) {
		char text[128] = "", expected[128];
		ssize_t got = traffic_receive(receiver, text, sizeof text - 1, 1000 * traffic_patience());
		unsigned long number = strcspn(text, "0123456789") < strlen(text)
					       ? strtoul(text + strcspn(text, "0123456789"), NULL, 10)
					       : PACKETS;
		int length = snprintf(expected, sizeof expected, "%s%lu.", TEXT, number);

		assert_true(got > 0);
		if (*way == 'l') {
			length += snprintf(expected + length, sizeof expected - (size_t)length, "++++++++++++++++");
		} else if (*way == 's' && way[1] == 'a') {
			for (char *at = expected; *at; at++)
				if ((*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z'))
					*at ^= 0x20;
		}
		assert_int_equal(got, length);
		assert_string_equal(text, expected);
		assert_in_range(number, 0, PACKETS - 1);
		assert_int_equal(seen[number], 0);
		seen[number] = 1;
	}
	free(seen);
}

/* "shorter" cuts off the number's end: here only lengths and beginnings can be compared. */
static void expect_shorter_texts(int receiver)
{
	unsigned lengths[64] = {0}, expected[64] = {0};
	char text[128];

	for (unsigned i = 0; i < PACKETS; i++) {
		ssize_t got = traffic_receive(receiver, text, sizeof text, 1000 * traffic_patience());

		assert_in_range(got, 1, 63);
		assert_memory_equal(text, TEXT, (size_t)got < strlen(TEXT) ? (size_t)got : strlen(TEXT));
		lengths[got]++;
		expected[snprintf(text, sizeof text, "%s%u.", TEXT, i) - 4]++;
	}
	assert_memory_equal(lengths, expected, sizeof lengths);
}

static void rewritten_payload_arrives(void **state)
{
	static const char *const ways[] = {"shorter", "longer", "same"};

	(void)state;
	set_up("filter", "");
	for (unsigned offload = 0; offload < 2; offload++) {
		vd_net_set_offload(VD_NET_NEAR_DEVICE, offload); /* with it, checksums come unmade */
		for (unsigned way = 0; way < 3; way++)
			for (unsigned i = 0; i < SHAPE_COUNT; i++) {
				struct vd_engine_options options = options_of(&SHAPES[i]);
				int sender = traffic_udp_open(net.near, AF_INET, 0);
				int receiver = traffic_udp_open(net.far, AF_INET, PORT);
				struct engine_host *host;
				char function[32];

				snprintf(function, sizeof function, "test/rewrite:%s", ways[way]);
				host = start(&options, function);
				send_texts(sender);
				engine_host_settle(host, QUEUE, PACKETS);
				engine_host_stop(host);
				if (way == 0)
					expect_shorter_texts(receiver);
				else
					expect_texts(receiver, ways[way]);
				expect_all(host, VD_ACCEPT);
				assert_int_equal(engine_host_stats(host, QUEUE).rewritten, PACKETS);
				assert_int_equal(engine_host_counter(host, "rewrite", "rewritten"), PACKETS);
				assert_int_equal(engine_host_counter(host, "rewrite", "refused"), 0);
				assert_int_equal(traffic_snmp(net.far, "Udp", "InCsumErrors"), 0);
				engine_host_destroy(host);
				close(sender);
				close(receiver);
			}
	}
}

static enum vd_verdict break_checksum(struct vd_packet *packet, void *state)
{
	uint8_t data[256];
	uint32_t length = vd_packet_length(packet);

	(void)state;
	if (length > sizeof data)
		return VD_DROP;
	memcpy(data, vd_packet_data(packet), length);
	data[27] ^= 0x5a;
	if (!data[26] && !data[27])
		data[27] = 1;
	return vd_packet_replace(packet, data, length) ? VD_DROP : VD_ACCEPT;
}

static const struct vd_function BREAK = {.abi = VD_FUNCTION_ABI, .size = sizeof(struct vd_function), .name = "break",
					 .decide = break_checksum};

/* That the receiver would notice, if checksums were wrong; so the test above shows something. */
static void wrong_checksum_is_noticed(void **state)
{
	struct vd_engine_options options = options_of(&SHAPES[0]);
	struct engine_host *host;

	(void)state;
	set_up("filter", "");
	host = engine_host_create(&options);
	engine_host_add(host, &BREAK, "");
	engine_host_queue(host, QUEUE);
	engine_host_start(host);
	send_through(host, 0);
	expect_all(host, VD_ACCEPT);
	assert_int_equal(engine_host_stats(host, QUEUE).rewritten, PACKETS);
	assert_int_equal(traffic_snmp(net.far, "Udp", "InCsumErrors"), PACKETS);
}

/* ---- what not every kernel has ---- */

static void conntrack_mark_stays_with_the_connection(void **state)
{
	struct vd_engine_options options = options_of(&SHAPES[0]);
	struct engine_host *host;
	struct vd_nfq nfq;
	bool has_it;

	(void)state;
	set_up("filter", "");
	assert_int_equal(vd_nfq_open(&nfq, NULL), 0);
	has_it = !vd_nfq_probe_flag(&nfq, FLAG_CONNTRACK);
	vd_nfq_close(&nfq);
	if (has_it) /* hooks become active with the first rule that wants them */
		vd_net_command("iptables-legacy -t mangle -A POSTROUTING -p udp --dport %d -m connmark --mark 77 "
			       "-m comment --comment connmark",
			       PORT);
	host = start(&options, "test/ct_mark:77");
	send_through(host, PACKETS);
	expect_all(host, VD_ACCEPT);
	if (!has_it) {
		assert_non_null(strstr(engine_host_log(host), "does not give connection tracking"));
		assert_int_equal(engine_host_counter(host, "ct-mark", "without"), PACKETS);
		print_message("skip: this kernel has no conntrack glue for queues (the probe says so)\n");
		skip();
	}
	assert_int_equal(engine_host_counter(host, "ct-mark", "without"), 0);
	assert_int_equal(counted("mangle", "connmark"), PACKETS);
}

static enum vd_verdict tag(struct vd_packet *packet, void *state)
{
	(void)state;
	vd_packet_set_vlan(packet, 0x8100, 42);
	return VD_ACCEPT;
}

static const struct vd_function VLAN = {.abi = VD_FUNCTION_ABI, .size = sizeof(struct vd_function), .name = "vlan",
					.bytes = VD_HEADERS, .decide = tag};

/* Only a bridge's own queue knows VLAN tags: elsewhere the attribute is ignored, and the packet goes its way. */
static void vlan_is_ignored_outside_of_bridges(void **state)
{
	struct vd_engine_options options = options_of(&SHAPES[0]);
	struct engine_host *host;

	(void)state;
	set_up("filter", "");
	host = engine_host_create(&options);
	engine_host_add(host, &VLAN, "");
	engine_host_queue(host, QUEUE);
	engine_host_start(host);
	send_through(host, PACKETS);
	expect_all(host, VD_ACCEPT);
}

static void vlan_tags_on_a_bridge(void **state)
{
	struct vd_engine_options options = options_of(&SHAPES[0]);
	struct engine_host *host;
	struct traffic_flows flows;

	(void)state;
	vd_net_setup_router(&net);
	if (vd_net_try("nft add table bridge t && nft add chain bridge t c '{ type filter hook forward priority 0; }' && "
		       "nft add rule bridge t c ip protocol udp counter queue num %d",
		       QUEUE)) {
		print_message("skip: this kernel cannot queue on a bridge (nft_queue), or nft is not installed\n");
		skip();
	}
	vd_net_command("ip link add br0 type bridge mcast_snooping 0; ip link set br0 up;"
		       "ip addr flush dev left0; ip link set left0 master br0; ip link set right0 master br0");
	vd_net_enter_near(&net);
	vd_net_command("ip neigh replace %s dev near0 lladdr 02:00:00:00:09:02 nud permanent", VD_NET_FAR_V4);
	vd_net_enter_far(&net);
	if (vd_net_try("ip link add link far0 name tagged type vlan id 42 && ip link set tagged up")) {
		print_message("skip: this kernel has no VLAN devices to see a tag by\n");
		skip();
	}
	vd_net_command("iptables-legacy -t mangle -A PREROUTING -i tagged -p udp -m comment --comment tagged");
	vd_net_enter_router(&net);
	host = engine_host_create(&options);
	engine_host_add(host, &VLAN, "");
	engine_host_queue(host, QUEUE);
	engine_host_start(host);
	traffic_flows_open(&flows, net.near, AF_INET, FLOWS, VD_NET_FAR_V4, PORT, 100);
	traffic_flows_send(&flows, ROUNDS, 0);
	traffic_flows_close(&flows);
	engine_host_settle(host, QUEUE, PACKETS);
	engine_host_stop(host);
	expect_all(host, VD_ACCEPT);
	traffic_sleep_ms(50);
	assert_int_equal(traffic_rule_packets(net.far, "iptables-legacy", "mangle", "tagged"), PACKETS);
}

/* ---- accounts ---- */

enum { ALL, ODD, BYTES };
static const char *const COUNTERS[] = {[ALL] = "all", [ODD] = "odd", [BYTES] = "bytes", NULL};

static void count_burst(struct vd_packet *const *packets, enum vd_verdict *verdicts, unsigned count, void *state)
{
	(void)state;
	for (unsigned i = 0; i < count; i++) {
		bool is_odd = vd_packet_source_port(packets[i]) % 2;

		vd_count(packets[i], ALL, 1);
		vd_count(packets[i], ODD, is_odd);
		vd_count(packets[i], BYTES, vd_packet_wire_length(packets[i]));
		vd_count(packets[i], 3, 1); /* not declared: counts nothing */
		if (is_odd)
			verdicts[i] = VD_DROP;
	}
}

static const struct vd_function COUNT = {.abi = VD_FUNCTION_ABI, .size = sizeof(struct vd_function), .name = "count",
					 .bytes = VD_HEADERS, .counters = COUNTERS, .decide_burst = count_burst};

static const struct vd_function COUNT_REST = {.abi = VD_FUNCTION_ABI, .size = sizeof(struct vd_function), .name = "count-rest",
					      .bytes = VD_HEADERS, .counters = COUNTERS, .decide_burst = count_burst};

static void counters_are_right_to_the_packet(void **state)
{
	(void)state;
	set_up("filter", "");
	for (unsigned i = 0; i < SHAPE_COUNT; i++) {
		struct vd_engine_options options = options_of(&SHAPES[i]);
		struct engine_host *host = engine_host_create(&options);
		struct vd_function_stats stats;

		engine_host_add(host, &COUNT, "");
		engine_host_add(host, &COUNT_REST, "");
		engine_host_queue(host, QUEUE);
		engine_host_start(host);
		send_through(host, PACKETS / 2);
		assert_int_equal(engine_host_counter(host, "count", "all"), PACKETS);
		assert_int_equal(engine_host_counter(host, "count", "odd"), PACKETS / 2);
		assert_int_equal(engine_host_counter(host, "count", "bytes"), PACKETS * 128);
		assert_int_equal(engine_host_counter(host, "count-rest", "all"), PACKETS / 2);
		assert_int_equal(engine_host_counter(host, "count-rest", "odd"), 0);
		assert_int_equal(engine_host_counter(host, "count-rest", "bytes"), PACKETS / 2 * 128);
		stats = engine_host_function_stats(host, "count");
		assert_int_equal(stats.packets, PACKETS);
		assert_int_equal(stats.verdicts[VD_DROP], PACKETS / 2);
		assert_int_equal(stats.verdicts[VD_NEXT], PACKETS / 2);
		assert_int_equal(engine_host_stats(host, QUEUE).by_default, PACKETS / 2);
		engine_host_destroy(host);
	}
}

/* A stop in the midst of it: what was not read gets the fault verdict, and nothing is lost or counted twice. */
static void stop_settles_what_waits(void **state)
{
	(void)state;
	set_up("filter", "");
	for (unsigned drops = 0; drops < 2; drops++)
		for (unsigned i = 0; i < SHAPE_COUNT; i++) {
			struct vd_engine_options options = options_of(&SHAPES[i]);
			struct traffic_receiver *receiver = traffic_receiver_start(net.far, AF_INET, PORT);
			struct engine_host *host;
			struct vd_queue_stats stats;
			struct traffic_flows flows;
			uint32_t expected;

			options.fault_verdict = drops ? VD_DROP : VD_ACCEPT;
			host = start(&options, "test/slow:500,sleep");
			traffic_flows_open(&flows, net.near, AF_INET, FLOWS, VD_NET_FAR_V4, PORT, 100);
			traffic_flows_send(&flows, 3 * ROUNDS, 0);
			traffic_flows_close(&flows);
			engine_host_stop(host);
			stats = engine_host_stats(host, QUEUE);
			assert_int_equal(engine_host_offered(host, QUEUE), 3 * PACKETS);
			assert_true((drops ? stats.left_dropped : stats.left_accepted) > 0);
			assert_int_equal(drops ? stats.left_accepted : stats.left_dropped, 0);
			expected = (uint32_t)(stats.verdicts[VD_ACCEPT] + stats.left_accepted);
			assert_int_equal(traffic_receiver_wait(receiver, expected, 2000), expected);
			traffic_receiver_stop(receiver);
			assert_int_equal(traffic_receiver_sum(receiver).received, expected);
			assert_int_equal(traffic_receiver_sum(receiver).duplicates, 0);
			assert_int_equal(traffic_receiver_sum(receiver).disordered, 0);
			traffic_receiver_free(receiver);
			engine_host_destroy(host);
		}
}

/* A queue that is too short: every loss is counted, by the kernel and by us. */
static void a_full_queue_is_counted(void **state)
{
	(void)state;
	set_up("filter", "");
	for (unsigned i = 0; i < SHAPE_COUNT; i++) {
		struct vd_engine_options options = options_of(&SHAPES[i]);
		struct engine_host *host;
		struct vd_queue_stats stats;
		struct traffic_flows flows;
		int receiver = traffic_udp_open(net.far, AF_INET, PORT);

		options.maxlen = 50;
		host = start(&options, "test/slow:200,sleep");
		traffic_flows_open(&flows, net.near, AF_INET, FLOWS, VD_NET_FAR_V4, PORT, 100);
		traffic_flows_send(&flows, ROUNDS, 0);
		traffic_flows_close(&flows);
		engine_host_settle(host, QUEUE, 50);
		engine_host_stop(host);
		stats = engine_host_stats(host, QUEUE);
		assert_int_equal(engine_host_offered(host, QUEUE), PACKETS);
		assert_true(stats.queue_dropped > 0);
		assert_int_equal(stats.socket_dropped, 0);
		assert_int_equal(stats.verdicts[VD_ACCEPT] + stats.queue_dropped, PACKETS);
		assert_int_equal(traffic_drain(receiver, 50), stats.verdicts[VD_ACCEPT]);
		engine_host_destroy(host);
		close(receiver);
	}
}

/* With fail open, they pass instead, and nobody counts them. */
static void fail_open_lets_pass(void **state)
{
	struct vd_engine_options options = options_of(&SHAPES[1]);
	struct engine_host *host;
	struct vd_queue_stats stats;
	struct traffic_flows flows;
	int receiver;

	(void)state;
	set_up("filter", "");
	receiver = traffic_udp_open(net.far, AF_INET, PORT);
	options.maxlen = 50;
	options.fail_open = true;
	host = start(&options, "test/slow:200,sleep");
	traffic_flows_open(&flows, net.near, AF_INET, FLOWS, VD_NET_FAR_V4, PORT, 100);
	traffic_flows_send(&flows, ROUNDS, 0);
	traffic_flows_close(&flows);
	engine_host_settle(host, QUEUE, 50);
	engine_host_stop(host);
	stats = engine_host_stats(host, QUEUE);
	assert_true(stats.received < PACKETS);
	assert_int_equal(stats.queue_dropped, 0);
	assert_int_equal(stats.verdicts[VD_ACCEPT], stats.received);
	assert_int_equal(traffic_drain(receiver, 50), PACKETS);
	close(receiver);
}

/* The kernel throws the queue away under our hands: late verdicts are "flushed", not errors, and the engine goes on. */
static void a_flushed_queue_is_counted(void **state)
{
	static const struct {
		const char *command, *repair;
	} causes[] = {
		{"ip link set near0 down", "ip link set near0 up; ip -6 addr replace fd00:9::1/64 dev near0 nodad;"
					   "ip neigh replace 10.9.0.2 dev near0 lladdr 02:00:00:00:09:02 nud permanent"},
		{"nft add table ip t; nft add chain ip t c '{ type filter hook input priority 5; }'; nft delete table ip t", "true"},
	};

	(void)state;
	set_up("filter", "");
	for (unsigned cause = 0; cause < 2; cause++)
		for (unsigned i = 0; i < SHAPE_COUNT; i++) {
			struct vd_engine_options options = options_of(&SHAPES[i]);
			int receiver = traffic_udp_open(net.far, AF_INET, PORT);
			struct engine_host *host;
			struct vd_queue_stats stats;
			struct traffic_flows flows;

			if (cause && vd_net_try("command -v nft")) {
				print_message("nft is not installed: only half of the test has run\n");
				close(receiver);
				return;
			}
			host = start(&options, "test/slow:1000,sleep");
			traffic_flows_open(&flows, net.near, AF_INET, FLOWS, VD_NET_FAR_V4, PORT, 100);
			traffic_flows_send(&flows, ROUNDS, 0);
			vd_net_command("%s", causes[cause].command);
			engine_host_settle(host, QUEUE, PACKETS);
			vd_net_command("%s", causes[cause].repair);
			traffic_flows_send(&flows, 1, 0); /* it works on */
			traffic_flows_close(&flows);
			engine_host_settle(host, QUEUE, PACKETS + FLOWS);
			engine_host_stop(host);
			stats = engine_host_stats(host, QUEUE);
			assert_true(stats.flushed > 0);
			assert_int_equal(stats.refused, 0);
			assert_int_equal(stats.verdicts[VD_ACCEPT] + stats.flushed, PACKETS + FLOWS);
			assert_int_equal(traffic_drain(receiver, 50), stats.verdicts[VD_ACCEPT]);
			engine_host_destroy(host);
			close(receiver);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(accept_arrives_in_order, tear_down),
		cmocka_unit_test_teardown(drop_does_not_arrive, tear_down),
		cmocka_unit_test_teardown(default_decides_both_ways, tear_down),
		cmocka_unit_test_teardown(fault_gets_the_fault_verdict, tear_down),
		cmocka_unit_test_teardown(repeat_runs_the_hook_again, tear_down),
		cmocka_unit_test_teardown(repeat_comes_back_to_the_queue, tear_down),
		cmocka_unit_test_teardown(requeue_is_answered_by_another_engine, tear_down),
		cmocka_unit_test_teardown(requeue_is_answered_by_the_same_engine, tear_down),
		cmocka_unit_test_teardown(requeue_to_nobody_drops_or_bypasses, tear_down),
		cmocka_unit_test_teardown(stop_skips_the_rest_of_the_hook, tear_down),
		cmocka_unit_test_teardown(mark_is_seen_by_later_rules, tear_down),
		cmocka_unit_test_teardown(priority_chooses_the_class, tear_down),
		cmocka_unit_test_teardown(rewritten_payload_arrives, tear_down),
		cmocka_unit_test_teardown(wrong_checksum_is_noticed, tear_down),
		cmocka_unit_test_teardown(conntrack_mark_stays_with_the_connection, tear_down),
		cmocka_unit_test_teardown(vlan_is_ignored_outside_of_bridges, tear_down),
		cmocka_unit_test_teardown(vlan_tags_on_a_bridge, tear_down),
		cmocka_unit_test_teardown(counters_are_right_to_the_packet, tear_down),
		cmocka_unit_test_teardown(stop_settles_what_waits, tear_down),
		cmocka_unit_test_teardown(a_full_queue_is_counted, tear_down),
		cmocka_unit_test_teardown(fail_open_lets_pass, tear_down),
		cmocka_unit_test_teardown(a_flushed_queue_is_counted, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
