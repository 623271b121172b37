/* SPDX-License-Identifier: MIT */
/*
 * Datagrams that are larger than the wire allows, of both families, through the whole engine: in pieces, as they are forwarded,
 * and at the hooks of a host, which has them whole before it sends or after it received. All pieces of one meet in the same
 * shard, and what arrives is what was sent.
 */
#include <net/if.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include <linux/netfilter.h>

#include "test/support/traffic.h"
#include "test/support/witness.h"

#define PORT 7000
#define MTU 1500u
#define UDP_HEADER 8u

static struct vd_net net;

static const unsigned WORKERS[] = {1, 4};
#define FOR_EACH_WORKERS(workers) for (const unsigned *workers = WORKERS; workers < WORKERS + 2; workers++)

static int tear_down(void **state)
{
	engine_host_destroy_all();
	return vd_net_teardown_any(state);
}

/* ---- fragments ---- */

#define SOURCES 6u
#define FRAGMENT_HEADER 8u
#define DATAGRAMS_MAX 256u

/* More addresses for near, which fragments hash by. */
static void add_sources(char sources[SOURCES][40], const struct vd_net_family *family)
{
	for (unsigned i = 0; i < SOURCES; i++) {
		snprintf(sources[i], 40, family->version == 4 ? "10.9.0.%u" : "fd00:9::%u", 11 + i);
		vd_net_enter_near(&net);
		vd_net_command("ip addr add %s dev %s %s", sources[i], VD_NET_NEAR_DEVICE, family->version == 4 ? "" : "nodad");
		vd_net_enter_router(&net);
		vd_net_command("ip route add %s dev %s", sources[i], VD_NET_LEFT_DEVICE);
	}
}

/* One datagram, of which fragments were seen. */
struct cut_up {
	const struct witnessed *one;
	uint32_t source, id;
	uint32_t bytes; /* seen so far */
};

struct fragments {
	const struct vd_net_family *family;
	unsigned hop_by_hop, destination; /* extension headers, before the fragment header; bytes */
	uint32_t header;		  /* all before the data; bytes */
	uint32_t length;		  /* of the datagrams */
	struct cut_up datagrams[DATAGRAMS_MAX];
	unsigned count;
};

static struct cut_up *datagram_of(struct fragments *fragments, const struct witnessed *seen)
{
	uint32_t source = seen->source[fragments->family->version == 4 ? 3 : 15], id;
	const uint8_t *bytes = seen->head + (fragments->family->version == 4 ? 4 : fragments->header - 4);

	id = (uint32_t)bytes[0] << 8 | bytes[1];
	if (fragments->family->version == 6)
		id = id << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
	for (unsigned i = 0; i < fragments->count; i++)
		if (fragments->datagrams[i].source == source && fragments->datagrams[i].id == id)
			return &fragments->datagrams[i];
	assert_in_range(fragments->count, 0, DATAGRAMS_MAX - 1);
	fragments->datagrams[fragments->count] = (struct cut_up){.one = seen, .source = source, .id = id};
	return &fragments->datagrams[fragments->count++];
}

static void expect_fragment(struct fragments *fragments, const struct witnessed *seen)
{
	struct cut_up *datagram = datagram_of(fragments, seen);
	uint32_t header = fragments->header;

	assert_true(seen->is_fragment);
	assert_false(seen->is_malformed || seen->is_truncated);
	assert_int_equal(seen->is_later_fragment, seen->fragment_offset != 0);
	assert_in_range(seen->wire_length, header + 1, MTU);
	assert_int_equal(seen->fragment_offset, datagram->bytes); /* each once, and in order */
	datagram->bytes += seen->wire_length - header;
	assert_int_equal(seen->network_length, header);
	assert_int_equal(seen->protocol, IPPROTO_UDP);
	if (seen->fragment_offset) {
		assert_int_equal(seen->transport_offset, 0);
		assert_int_equal(seen->payload_length, 0);
		witness_expect_ports(seen, 0, 0);
	} else {
		assert_int_equal(seen->transport_offset, header);
		assert_int_equal(seen->payload_offset, header + UDP_HEADER);
		assert_in_range(seen->source_port, TRAFFIC_PORT_FIRST, TRAFFIC_PORT_FIRST + SOURCES - 1);
		assert_int_equal(seen->destination_port, PORT);
	}
	assert_int_equal(seen->flow_hash, datagram->one->flow_hash);
	assert_int_equal(seen->shard, datagram->one->shard);
}

/* All fragments of all datagrams were seen, each once. */
static void expect_fragments(struct fragments *fragments, unsigned datagrams)
{
	unsigned others = 0;

	for (unsigned i = 0; i < witness_count(); i++)
		expect_fragment(fragments, witness_at(i));
	assert_int_equal(fragments->count, datagrams);
	for (unsigned i = 0; i < datagrams; i++) {
		assert_int_equal(fragments->datagrams[i].bytes, UDP_HEADER + fragments->length);
		others += fragments->datagrams[i].one->flow_hash != fragments->datagrams[0].one->flow_hash;
	}
	assert_true(others); /* other addresses, other hashes */
}

static void send_large(struct fragments *fragments, char sources[SOURCES][40], unsigned rounds, unsigned workers)
{
	const struct vd_net_family *family = fragments->family;
	struct traffic_receiver *receiver = traffic_receiver_start(net.far, family->family, PORT);
	struct traffic_flows flows = {.flows = SOURCES, .address = family->far, .port = PORT, .length = fragments->length};
	struct engine_host *host = witness_start(workers, VD_WHOLE, 0);

	for (unsigned i = 0; i < SOURCES; i++) {
		flows.sockets[i] = traffic_udp_open_at(net.near, sources[i], (uint16_t)(TRAFFIC_PORT_FIRST + i));
		if (fragments->hop_by_hop)
			traffic_set_extension(flows.sockets[i], IPV6_HOPOPTS, fragments->hop_by_hop);
		if (fragments->destination)
			traffic_set_extension(flows.sockets[i], IPV6_DSTOPTS, fragments->destination);
	}
	traffic_flows_send(&flows, rounds, 0);
	traffic_flows_close(&flows);
	assert_int_equal(traffic_receiver_wait(receiver, SOURCES * rounds, 2000), SOURCES * rounds);
	witness_finish(host, SOURCES * rounds, 0);
	traffic_receiver_stop(receiver);
	assert_int_equal(traffic_receiver_sum(receiver).received, SOURCES * rounds);
	assert_int_equal(traffic_receiver_sum(receiver).disordered, 0);
	assert_int_equal(receiver->strangers, 0);
	traffic_receiver_free(receiver);
}

static void fragments_meet_in_one_shard(void **state)
{
	static const uint32_t lengths[] = {1473, 4000, 60000};
	enum { ROUNDS = 8 };
	char sources[SOURCES][40];

	(void)state;
	vd_net_setup_router(&net);
	witness_queue_chain("filter", "FORWARD");
	VD_NET_EACH_FAMILY(family) {
		add_sources(sources, family);
		FOR_EACH_WORKERS(workers)
			for (unsigned i = 0; i < 3; i++)
				for (unsigned extended = 0; extended < (i == 1 && family->version == 6 ? 2 : 1); extended++) {
					static struct fragments fragments;

					fragments = (struct fragments){.family = family, .length = lengths[i],
								       .hop_by_hop = extended ? 16 : 0,
								       .destination = extended ? 24 : 0};
					fragments.header = family->header + fragments.hop_by_hop + fragments.destination +
							   (family->version == 6 ? FRAGMENT_HEADER : 0);
					send_large(&fragments, sources, ROUNDS, *workers);
					expect_fragments(&fragments, SOURCES * ROUNDS);
				}
	}
}

/* ---- the other hooks, which see large datagrams whole or in pieces ---- */

static const struct hook {
	const char *chain;
	unsigned number;
	bool goes_out;	   /* from near, else from far to near */
	bool in_pieces[2]; /* of both families: IPv6 puts them together behind INPUT */
} HOOKS[] = {
	{"PREROUTING", NF_INET_PRE_ROUTING, false, {true, true}},
	{"INPUT", NF_INET_LOCAL_IN, false, {false, true}},
	{"OUTPUT", NF_INET_LOCAL_OUT, true, {false, false}},
	{"POSTROUTING", NF_INET_POST_ROUTING, true, {false, false}},
};

static void expect_at_hook(const struct hook *hook, const struct vd_net_family *family, const uint8_t *data, uint32_t length)
{
	uint32_t header = family->header + UDP_HEADER;
	unsigned device = if_nametoindex(VD_NET_NEAR_DEVICE);

	for (unsigned i = 0; i < witness_count(); i++) {
		const struct witnessed *seen = witness_at(i);

		witness_expect_ends(seen, family, hook->goes_out);
		assert_int_equal(seen->hook, hook->number);
		assert_int_equal(seen->indev, hook->goes_out ? 0 : device);
		assert_int_equal(seen->outdev, hook->goes_out ? device : 0);
		assert_int_equal(seen->is_fragment, hook->in_pieces[family - vd_net_families]);
	}
	if (hook->in_pieces[family - vd_net_families]) {
		assert_int_equal(witness_count(), (length + UDP_HEADER + 1479) / (family->version == 4 ? 1480 : 1448));
		return;
	}
	assert_int_equal(witness_count(), 1);
	assert_int_equal(witness_at(0)->wire_length, header + length);
	if (header + length > 65531) { /* the most that is copied */
		assert_int_equal(witness_at(0)->length, 65531);
		assert_true(witness_at(0)->is_truncated);
		assert_int_equal(witness_at(0)->payload_digest, witness_digest(data, 65531 - header));
		return;
	}
	witness_expect_whole(witness_at(0), IPPROTO_UDP, family->header, header, header + length);
	assert_int_equal(witness_at(0)->payload_digest, witness_digest(data, length));
}

static void large_datagrams_pass_every_hook(void **state)
{
	/* the longest that there are: 65535 bytes with all headers, or without those of IPv6 */
	static const uint32_t lengths[][2] = {{20000, 20000}, {65507, 65527}};
	static uint8_t data[65527];

	(void)state;
	traffic_fill(data, sizeof data, 5);
	for (const struct hook *hook = HOOKS; hook < HOOKS + 4; hook++) {
		vd_net_setup(&net);
		witness_queue_chain("mangle", hook->chain);
		VD_NET_EACH_FAMILY(family)
			for (unsigned i = 0; i < 2; i++) {
				uint32_t length = lengths[i][family - vd_net_families];
				int near = traffic_udp_open(net.near, family->family, PORT);
				int far = traffic_udp_open(net.far, family->family, PORT);
				struct engine_host *host = witness_start(4, VD_WHOLE, 0);

				assert_int_equal(traffic_send(hook->goes_out ? near : far, hook->goes_out ? family->far : family->near,
							      PORT, data, length), 0);
				assert_true(traffic_receive_this(hook->goes_out ? far : near, data, length));
				close(near);
				close(far);
				witness_finish(host, 1, 0);
				expect_at_hook(hook, family, data, length);
			}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(fragments_meet_in_one_shard, tear_down),
		cmocka_unit_test_teardown(large_datagrams_pass_every_hook, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
