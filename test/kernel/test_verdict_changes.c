/* SPDX-License-Identifier: MIT */
/*
 * What goes with a verdict, seen by those who come after the queue: a mark, a priority, other data, a conntrack mark, a VLAN.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/nfq/nfq.h"
#include "test/support/scene.h"

#define FLAG_CONNTRACK 2u /* NFQA_CFG_F_CONNTRACK */

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
	scene_set_up("filter", "");
	vd_net_command("iptables-legacy -t mangle -A OUTPUT -p udp -j MARK --set-mark 0x55");
	scene_count_behind("mangle", "POSTROUTING", "-m mark --mark 0x55", "unmarked");
	for (unsigned port = TRAFFIC_PORT_FIRST + 1; port < TRAFFIC_PORT_FIRST + SCENE_FLOWS; port += 2) {
		snprintf(match, sizeof match, "--sport %u -m mark --mark %u", port, port);
		scene_count_behind("mangle", "POSTROUTING", match, "marked");
	}
	for (unsigned i = 0; i < SCENE_SHAPE_COUNT; i++) {
		struct vd_engine_options options = scene_options(&SCENE_SHAPES[i]);
		struct engine_host *host = engine_host_create(&options);

		engine_host_add(host, &MARK_BY_PORT, "");
		engine_host_queue(host, SCENE_QUEUE);
		engine_host_start(host);
		scene_send_through(host, SCENE_PACKETS);
		scene_expect_all(host, VD_ACCEPT);
		assert_int_equal(scene_counted("mangle", "marked"), (i + 1) * SCENE_PACKETS / 2);
		assert_int_equal(scene_counted("mangle", "unmarked"), (i + 1) * SCENE_PACKETS / 2);
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
	struct vd_engine_options options = scene_options(&SCENE_SHAPES[1]);
	struct engine_host *host;

	(void)state;
	scene_set_up("filter", "");
	if (vd_net_try("tc qdisc add dev %s root handle 1: htb default 10", VD_NET_NEAR_DEVICE)) {
		print_message("skip: no class to see a priority by: this kernel has no sch_htb, or tc is not installed\n");
		skip();
	}
	vd_net_command("tc class add dev %1$s parent 1: classid 1:10 htb rate 10gbit;"
		       "tc class add dev %1$s parent 1: classid 1:20 htb rate 10gbit",
		       VD_NET_NEAR_DEVICE);
	host = engine_host_create(&options);
	engine_host_add(host, &PRIORITY, "");
	engine_host_queue(host, SCENE_QUEUE);
	engine_host_start(host);
	scene_send_through(host, SCENE_PACKETS);
	scene_expect_all(host, VD_ACCEPT);
	vd_net_read_command(text, sizeof text, "tc -s class show dev %s classid 1:20", VD_NET_NEAR_DEVICE);
	sent = strstr(text, "bytes ");
	assert_non_null(sent);
	if (strtoull(sent + strlen("bytes "), NULL, 10) == 0) {
		print_message("skip: this kernel does not apply a verdict's priority (it is older than 5.19)\n");
		skip();
	}
	assert_int_equal(strtoull(sent + strlen("bytes "), NULL, 10), SCENE_PACKETS);
}

/* ---- rewriting ---- */

static const char TEXT[] = "The quick brown fox, number ";

/* Every second datagram goes to another port, which the function leaves alone; so that bursts are mixed. */
static void send_texts(int sender)
{
	char text[64];

	for (unsigned i = 0; i < SCENE_PACKETS; i++) {
		int length = snprintf(text, sizeof text, "%s%u.", TEXT, i);

		/* odd and even lengths: the payload's padding is on trial, too */
		assert_int_equal(traffic_send(sender, VD_NET_FAR_V4, SCENE_PORT, text, (size_t)length), 0);
	}
}

static void expect_texts(int receiver, const char *way)
{
	char *seen = calloc(1, SCENE_PACKETS);
	unsigned left = SCENE_PACKETS;

	for (; left; left--) {
		char text[128] = "", expected[128];
		ssize_t got = traffic_receive(receiver, text, sizeof text - 1, 1000 * traffic_patience());
		unsigned long number = strcspn(text, "0123456789") < strlen(text)
					       ? strtoul(text + strcspn(text, "0123456789"), NULL, 10)
					       : SCENE_PACKETS;
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
		assert_in_range(number, 0, SCENE_PACKETS - 1);
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

	for (unsigned i = 0; i < SCENE_PACKETS; i++) {
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
	scene_set_up("filter", "");
	for (unsigned offload = 0; offload < 2; offload++) {
		vd_net_set_offload(VD_NET_NEAR_DEVICE, offload); /* with it, checksums come unmade */
		for (unsigned way = 0; way < 3; way++)
			for (unsigned i = 0; i < SCENE_SHAPE_COUNT; i++) {
				struct vd_engine_options options = scene_options(&SCENE_SHAPES[i]);
				int sender = traffic_udp_open(scene_net.near, AF_INET, 0);
				int receiver = traffic_udp_open(scene_net.far, AF_INET, SCENE_PORT);
				struct engine_host *host;
				char function[32];

				snprintf(function, sizeof function, "test/rewrite:%s", ways[way]);
				host = scene_start(&options, function);
				send_texts(sender);
				engine_host_settle(host, SCENE_QUEUE, SCENE_PACKETS);
				engine_host_stop(host);
				if (way == 0)
					expect_shorter_texts(receiver);
				else
					expect_texts(receiver, ways[way]);
				scene_expect_all(host, VD_ACCEPT);
				assert_int_equal(engine_host_stats(host, SCENE_QUEUE).rewritten, SCENE_PACKETS);
				assert_int_equal(engine_host_counter(host, "rewrite", "rewritten"), SCENE_PACKETS);
				assert_int_equal(engine_host_counter(host, "rewrite", "refused"), 0);
				assert_int_equal(traffic_snmp(scene_net.far, "Udp", "InCsumErrors"), 0);
				engine_host_destroy(host);
				close(sender);
				close(receiver);
			}
	}
}

/* No call does that: behind the back of the interface. */
static enum vd_verdict break_checksum(struct vd_packet *packet, void *state)
{
	uint8_t *data = (uint8_t *)(uintptr_t)vd_packet_data(packet);

	(void)state;
	if (vd_packet_set_ttl(packet, vd_packet_ttl(packet)) || vd_packet_verify(packet))
		return VD_DROP;
	data[27] ^= 0x5a;
	if (!data[26] && !data[27])
		data[27] = 1;
	return VD_ACCEPT;
}

static const struct vd_function BREAK = {.abi = VD_FUNCTION_ABI, .size = sizeof(struct vd_function), .name = "break",
					 .decide = break_checksum};

/* That the receiver would notice, if checksums were wrong; so the test above shows something. */
static void wrong_checksum_is_noticed(void **state)
{
	struct vd_engine_options options = scene_options(&SCENE_SHAPES[0]);
	struct engine_host *host;

	(void)state;
	scene_set_up("filter", "");
	host = engine_host_create(&options);
	engine_host_add(host, &BREAK, "");
	engine_host_queue(host, SCENE_QUEUE);
	engine_host_start(host);
	scene_send_through(host, 0);
	scene_expect_all(host, VD_ACCEPT);
	assert_int_equal(engine_host_stats(host, SCENE_QUEUE).rewritten, SCENE_PACKETS);
	assert_int_equal(traffic_snmp(scene_net.far, "Udp", "InCsumErrors"), SCENE_PACKETS);
}

/* ---- what not every kernel has ---- */

static void conntrack_mark_stays_with_the_connection(void **state)
{
	struct vd_engine_options options = scene_options(&SCENE_SHAPES[0]);
	struct engine_host *host;
	struct vd_nfq nfq;
	bool has_it;

	(void)state;
	scene_set_up("filter", "");
	assert_int_equal(vd_nfq_open(&nfq, NULL), 0);
	has_it = !vd_nfq_probe_flag(&nfq, FLAG_CONNTRACK);
	vd_nfq_close(&nfq);
	if (has_it) /* hooks become active with the first rule that wants them */
		vd_net_command("iptables-legacy -t mangle -A POSTROUTING -p udp --dport %d -m connmark --mark 77 "
			       "-m comment --comment connmark",
			       SCENE_PORT);
	host = scene_start(&options, "test/ct_mark:77");
	scene_send_through(host, SCENE_PACKETS);
	scene_expect_all(host, VD_ACCEPT);
	if (!has_it) {
		assert_non_null(strstr(engine_host_log(host), "does not give connection tracking"));
		assert_int_equal(engine_host_counter(host, "ct-mark", "without"), SCENE_PACKETS);
		print_message("skip: this kernel has no conntrack glue for queues (the probe says so)\n");
		skip();
	}
	assert_int_equal(engine_host_counter(host, "ct-mark", "without"), 0);
	assert_int_equal(scene_counted("mangle", "connmark"), SCENE_PACKETS);
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
	struct vd_engine_options options = scene_options(&SCENE_SHAPES[0]);
	struct engine_host *host;

	(void)state;
	scene_set_up("filter", "");
	host = engine_host_create(&options);
	engine_host_add(host, &VLAN, "");
	engine_host_queue(host, SCENE_QUEUE);
	engine_host_start(host);
	scene_send_through(host, SCENE_PACKETS);
	scene_expect_all(host, VD_ACCEPT);
}

static void vlan_tags_on_a_bridge(void **state)
{
	struct vd_engine_options options = scene_options(&SCENE_SHAPES[0]);
	struct engine_host *host;
	struct traffic_flows flows;

	(void)state;
	vd_net_setup_router(&scene_net);
	if (vd_net_try("nft add table bridge t && nft add chain bridge t c '{ type filter hook forward priority 0; }' && "
		       "nft add rule bridge t c ip protocol udp counter queue num %d",
		       SCENE_QUEUE)) {
		print_message("skip: this kernel cannot queue on a bridge (nft_queue), or nft is not installed\n");
		skip();
	}
	vd_net_command("ip link add br0 type bridge mcast_snooping 0; ip link set br0 up;"
		       "ip addr flush dev left0; ip link set left0 master br0; ip link set right0 master br0");
	vd_net_enter_near(&scene_net);
	vd_net_command("ip neigh replace %s dev near0 lladdr 02:00:00:00:09:02 nud permanent", VD_NET_FAR_V4);
	vd_net_enter_far(&scene_net);
	if (vd_net_try("ip link add link far0 name tagged type vlan id 42 && ip link set tagged up")) {
		print_message("skip: this kernel has no VLAN devices to see a tag by\n");
		skip();
	}
	vd_net_command("iptables-legacy -t mangle -A PREROUTING -i tagged -p udp -m comment --comment tagged");
	vd_net_enter_router(&scene_net);
	host = engine_host_create(&options);
	engine_host_add(host, &VLAN, "");
	engine_host_queue(host, SCENE_QUEUE);
	engine_host_start(host);
	traffic_flows_open(&flows, scene_net.near, AF_INET, SCENE_FLOWS, VD_NET_FAR_V4, SCENE_PORT, 100);
	traffic_flows_send(&flows, SCENE_ROUNDS, 0);
	traffic_flows_close(&flows);
	engine_host_settle(host, SCENE_QUEUE, SCENE_PACKETS);
	engine_host_stop(host);
	scene_expect_all(host, VD_ACCEPT);
	traffic_sleep_ms(50);
	assert_int_equal(traffic_rule_packets(scene_net.far, "iptables-legacy", "mangle", "tagged"), SCENE_PACKETS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(mark_is_seen_by_later_rules, scene_tear_down),
		cmocka_unit_test_teardown(priority_chooses_the_class, scene_tear_down),
		cmocka_unit_test_teardown(rewritten_payload_arrives, scene_tear_down),
		cmocka_unit_test_teardown(wrong_checksum_is_noticed, scene_tear_down),
		cmocka_unit_test_teardown(conntrack_mark_stays_with_the_connection, scene_tear_down),
		cmocka_unit_test_teardown(vlan_is_ignored_outside_of_bridges, scene_tear_down),
		cmocka_unit_test_teardown(vlan_tags_on_a_bridge, scene_tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
