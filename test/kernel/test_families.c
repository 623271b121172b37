/* SPDX-License-Identifier: MIT */
/*
 * IPv4 and IPv6 with all that they carry, through the whole engine: what a function sees of it, and that it arrives as it
 * was sent. IPv6 extension headers and IPv4 options; copies that are cut; packets that contradict their own headers.
 *
 * near and far talk to each other through the router, whose FORWARD is queued.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include <linux/if_ether.h>
#include <linux/netfilter.h>

#include "test/support/traffic.h"
#include "test/support/witness.h"

#define PORT 7000
#define FLOWS 8u
#define ARRIVES_MS 3000u
#define UDP_HEADER 8u

static struct vd_net net;

static const unsigned WORKERS[] = {1, 4};
#define FOR_EACH_WORKERS(workers) for (const unsigned *workers = WORKERS; workers < WORKERS + 2; workers++)

/* ---- an engine whose witness sees all that the rules queue ---- */

static void set_up_router(void)
{
	vd_net_setup_router(&net);
	witness_queue_chain("filter", "FORWARD");
}

static int tear_down(void **state)
{
	engine_host_destroy_all();
	return vd_net_teardown_any(state);
}

/* ---- what is expected ---- */

static void expect_forwarded(const struct witnessed *seen, bool forth)
{
	unsigned left = if_nametoindex(VD_NET_LEFT_DEVICE), right = if_nametoindex(VD_NET_RIGHT_DEVICE);

	assert_int_equal(seen->hook, NF_INET_FORWARD);
	assert_int_equal(seen->indev, forth ? left : right);
	assert_int_equal(seen->outdev, forth ? right : left);
}

/* ---- UDP ---- */

/* Answers each flow's first datagrams from far, and takes the answers in near. */
static void answer_flows(const struct vd_net_family *family, const struct traffic_flows *flows, int server)
{
	uint8_t answer[40];

	traffic_fill(answer, sizeof answer, 9);
	for (unsigned i = 0; i < FLOWS; i++) {
		assert_int_equal(traffic_send(server, family->near, (uint16_t)(TRAFFIC_PORT_FIRST + i), answer, sizeof answer), 0);
		assert_true(traffic_receive_this(flows->sockets[i], answer, sizeof answer));
	}
}

static void udp_is_seen_in_both_directions(void **state)
{
	enum { ROUNDS = 20, LENGTH = 100 };

	(void)state;
	set_up_router();
	FOR_EACH_WORKERS(workers)
		VD_NET_EACH_FAMILY(family) {
			struct engine_host *host = witness_start(*workers, VD_WHOLE, 0);
			struct traffic_receiver *receiver = traffic_receiver_start(net.far, family->family, PORT);
			struct traffic_flows flows;
			const struct witnessed *of_flow[FLOWS] = {NULL};
			unsigned shards = 0;

			traffic_flows_open(&flows, net.near, family->family, FLOWS, family->far, PORT, LENGTH);
			traffic_flows_send(&flows, ROUNDS, 0);
			assert_int_equal(traffic_receiver_wait(receiver, FLOWS * ROUNDS, 2000), FLOWS * ROUNDS);
			answer_flows(family, &flows, receiver->socket);
			traffic_flows_close(&flows);
			witness_finish(host, FLOWS * (ROUNDS + 1), 0);
			traffic_receiver_stop(receiver);
			assert_int_equal(traffic_receiver_sum(receiver).received, FLOWS * ROUNDS);
			assert_int_equal(receiver->strangers, 0);
			traffic_receiver_free(receiver);

			assert_int_equal(witness_count(), FLOWS * (ROUNDS + 1));
			for (unsigned i = 0; i < witness_count(); i++) {
				const struct witnessed *seen = witness_at(i);
				bool forth = seen->destination_port == PORT;
				unsigned flow = (forth ? seen->source_port : seen->destination_port) - TRAFFIC_PORT_FIRST;

				assert_in_range(flow, 0, FLOWS - 1);
				witness_expect_ends(seen, family, forth);
				expect_forwarded(seen, forth);
				witness_expect_ports(seen, forth ? TRAFFIC_PORT_FIRST + flow : PORT, forth ? PORT : TRAFFIC_PORT_FIRST + flow);
				witness_expect_whole(seen, IPPROTO_UDP, family->header, family->header + UDP_HEADER,
					     family->header + UDP_HEADER + (forth ? LENGTH : 40));
				if (!of_flow[flow])
					of_flow[flow] = seen;
				assert_int_equal(seen->flow_hash, of_flow[flow]->flow_hash);
				assert_int_equal(seen->shard, of_flow[flow]->shard);
			}
			for (unsigned flow = 0; flow < FLOWS; flow++)
				shards |= 1u << of_flow[flow]->shard;
			if (*workers > 1) /* all flows in the same one: by chance in 1 of 16^7 runs */
				assert_true(shards & (shards - 1));
		}
}

/* ---- TCP ---- */

static void tcp_connections_keep_their_content(void **state)
{
	enum { TCP_PORT = 7001, SYN = 2, ACK = 16 };

	(void)state;
	set_up_router();
	FOR_EACH_WORKERS(workers)
		VD_NET_EACH_FAMILY(family) {
			struct traffic_tcp tcp = {.client = net.near, .server = net.far, .address = family->far, .port = TCP_PORT,
						  .upload = 1 << 20, .download = 1 << 20, .timeout_ms = 5000};
			struct engine_host *host = witness_start(*workers, VD_WHOLE, 0);

			if (!traffic_tcp_transfer(&tcp))
				fail_msg("IPv%u: %s", family->version, tcp.failure);
			witness_finish(host, 3, 0);
			assert_int_equal(witness_at(0)->tcp_flags & (SYN | ACK), SYN);
			assert_int_equal(witness_at(1)->tcp_flags & (SYN | ACK), SYN | ACK);
			for (unsigned i = 0; i < witness_count(); i++) {
				const struct witnessed *seen = witness_at(i);
				bool forth = seen->destination_port == TCP_PORT;
				uint32_t header = (seen->head[family->header + 12] >> 4) * 4u;
				unsigned client = forth ? seen->source_port : seen->destination_port;

				witness_expect_ends(seen, family, forth);
				expect_forwarded(seen, forth);
				witness_expect_ports(seen, forth ? client : TCP_PORT, forth ? TCP_PORT : client);
				assert_int_equal(client, witness_at(0)->source_port);
				witness_expect_whole(seen, IPPROTO_TCP, family->header, family->header + header, seen->wire_length);
				assert_int_equal(seen->tcp_flags, seen->head[family->header + 13]);
				assert_int_equal(seen->flow_hash, witness_at(0)->flow_hash);
				assert_int_equal(seen->shard, witness_at(0)->shard);
			}
		}
}

/* ---- ICMP ---- */

static uint16_t checksum(const uint8_t *bytes, size_t length)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < length; i++)
		sum += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/* Sends an echo request, and waits for the reply to it: the same from the eighth byte on. */
static void ping(int socket, const struct vd_net_family *family, unsigned identifier)
{
	uint8_t echo[64], reply[128];
	uint32_t skip = family->version == 4 ? 20 : 0; /* what a raw IPv4 socket receives begins with its IP header */

	traffic_fill(echo, sizeof echo, identifier);
	memset(echo, 0, 8);
	echo[0] = family->version == 4 ? 8 : 128;
	echo[4] = (uint8_t)(identifier >> 8);
	echo[5] = (uint8_t)identifier;
	if (family->version == 4) { /* of ICMPv6 the kernel makes the checksum */
		uint16_t sum = checksum(echo, sizeof echo);

		echo[2] = (uint8_t)(sum >> 8);
		echo[3] = (uint8_t)sum;
	}
	assert_int_equal(traffic_send(socket, family->far, 0, echo, sizeof echo), 0);
	do { /* anything else that is about */
		ssize_t received = traffic_receive(socket, reply, sizeof reply, ARRIVES_MS * traffic_patience());

		assert_in_range(received, 1, sizeof reply);
	} while (reply[skip] != (family->version == 4 ? 0 : 129));
	assert_memory_equal(reply + skip + 4, echo + 4, sizeof echo - 4);
}

static void echo_and_its_reply_share_a_shard(void **state)
{
	enum { PINGS = 20 };

	(void)state;
	set_up_router();
	FOR_EACH_WORKERS(workers)
		VD_NET_EACH_FAMILY(family) {
			unsigned protocol = family->version == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
			int socket = traffic_raw_open(net.near, family->family, (int)protocol);
			struct engine_host *host = witness_start(*workers, VD_WHOLE, 0);
			unsigned others = 0;

			for (unsigned i = 0; i < PINGS; i++)
				ping(socket, family, 0x1000 + i);
			close(socket);
			witness_finish(host, 2 * PINGS, 0);
			assert_int_equal(witness_count(), 2 * PINGS);
			for (unsigned i = 0; i < 2 * PINGS; i++) {
				const struct witnessed *seen = witness_at(i), *request = witness_at(i & ~1u);

				witness_expect_ends(seen, family, seen == request);
				expect_forwarded(seen, seen == request);
				witness_expect_ports(seen, 0, 0);
				witness_expect_whole(seen, protocol, family->header, family->header + 8, family->header + 64);
				assert_int_equal(seen->flow_hash, request->flow_hash);
				assert_int_equal(seen->shard, request->shard);
				others += request->flow_hash != witness_at(0)->flow_hash;
			}
			assert_true(others > PINGS); /* each identifier is a flow of its own */
		}
}

/* ---- protocols that no socket here speaks ---- */

/* One packet each way, of the same bytes but for the ports, which change places. */
static void exchange_raw(const struct vd_net_family *family, int protocol, uint8_t *there, uint8_t *back, size_t length)
{
	int near = traffic_raw_open(net.near, family->family, protocol), far = traffic_raw_open(net.far, family->family, protocol);
	uint32_t skip = family->version == 4 ? 20 : 0;
	uint8_t received[256];

	assert_int_equal(traffic_send(near, family->far, 0, there, length), 0);
	assert_int_equal(traffic_receive(far, received, sizeof received, ARRIVES_MS * traffic_patience()), length + skip);
	assert_memory_equal(received + skip, there, length);
	assert_int_equal(traffic_send(far, family->near, 0, back, length), 0);
	assert_int_equal(traffic_receive(near, received, sizeof received, ARRIVES_MS * traffic_patience()), length + skip);
	assert_memory_equal(received + skip, back, length);
	close(near);
	close(far);
}

static void other_protocols_pass_as_they_are(void **state)
{
	static const struct {
		int protocol;
		unsigned payload;	/* how long their header is */
		unsigned source, destination;
		const char *head;	/* of the packet from near to far */
		const char *back;
	} protocols[] = {
		{IPPROTO_SCTP, 12, 0x1111, 0x2222, "\x11\x11\x22\x22" "tag!" "crc!", "\x22\x22\x11\x11" "tag!" "crc!"},
		{IPPROTO_GRE, 8, 0, 0, "\x20\0\x08\0" "key!" "body", "\x20\0\x08\0" "key!" "body"},
		{IPPROTO_DCCP, 12, 0x1111, 0x2222, "\x11\x11\x22\x22\3\0\0\0\0\0\0\0", "\x22\x22\x11\x11\3\0\0\0\0\0\0\0"},
		{253, 0, 0, 0, "for experiments", "for experiments"}, /* RFC 3692 */
	};
	const unsigned count = sizeof protocols / sizeof *protocols;

	(void)state;
	set_up_router();
	VD_NET_EACH_FAMILY(family) {
		struct engine_host *host = witness_start(4, VD_WHOLE, 0);

		for (unsigned i = 0; i < count; i++) {
			uint8_t there[64], back[64];

			traffic_fill(there, sizeof there, i);
			traffic_fill(back, sizeof back, i);
			memcpy(there, protocols[i].head, 12);
			memcpy(back, protocols[i].back, 12);
			exchange_raw(family, protocols[i].protocol, there, back, sizeof there);
		}
		witness_finish(host, 2 * count, 0);
		assert_int_equal(witness_count(), 2 * count);
		for (unsigned i = 0; i < 2 * count; i++) {
			const struct witnessed *seen = witness_at(i);
			unsigned source = protocols[i / 2].source, destination = protocols[i / 2].destination;

			witness_expect_ends(seen, family, i % 2 == 0);
			witness_expect_whole(seen, (unsigned)protocols[i / 2].protocol, family->header,
				     family->header + protocols[i / 2].payload, family->header + 64);
			witness_expect_ports(seen, i % 2 ? destination : source, i % 2 ? source : destination);
			assert_int_equal(seen->flow_hash, witness_at(i & ~1u)->flow_hash);
			assert_int_equal(seen->shard, witness_at(i & ~1u)->shard);
		}
	}
}

/* ---- options and extension headers ---- */

static void set_ipv4_options(int socket, unsigned length)
{
	uint8_t options[40];

	memset(options, 1 /* no operation */, sizeof options);
	assert_int_equal(setsockopt(socket, IPPROTO_IP, IP_OPTIONS, options, length), 0);
}

#define CARRIED 300u

/* Lengths in bytes, 0: it has none. */
static const struct carrier {
	unsigned options, hop_by_hop, destination;
} CARRIERS[] = {{4, 0, 0}, {40, 0, 0}, {0, 8, 0}, {0, 0, 8}, {0, 16, 24}, {0, 128, 0}, {0, 0, 248}, {0, 248, 248}};
#define CARRIER_COUNT (sizeof CARRIERS / sizeof *CARRIERS)

static const struct vd_net_family *family_of(const struct carrier *carrier)
{
	return &vd_net_families[!carrier->options];
}

static uint32_t header_of(const struct carrier *carrier)
{
	return family_of(carrier)->header + carrier->options + carrier->hop_by_hop + carrier->destination;
}

static void send_carried(const struct carrier *carrier, uint16_t port, const uint8_t *data, size_t length)
{
	const struct vd_net_family *family = family_of(carrier);
	int receiver = traffic_udp_open(net.far, family->family, PORT);
	int sender = traffic_udp_open_at(net.near, family->near, port);

	if (carrier->options)
		set_ipv4_options(sender, carrier->options);
	if (carrier->hop_by_hop)
		traffic_set_extension(sender, IPV6_HOPOPTS, carrier->hop_by_hop);
	if (carrier->destination)
		traffic_set_extension(sender, IPV6_DSTOPTS, carrier->destination);
	assert_int_equal(traffic_send(sender, family->far, PORT, data, length), 0);
	assert_true(traffic_receive_this(receiver, data, length));
	close(sender);
	close(receiver);
}

static void options_and_extension_headers_are_skipped(void **state)
{
	uint8_t data[CARRIED];

	(void)state;
	set_up_router();
	traffic_fill(data, sizeof data, 3);
	for (unsigned headers = 0; headers < 2; headers++) {
		struct engine_host *host = witness_start(2, headers ? VD_HEADERS : VD_WHOLE, 0);

		for (unsigned i = 0; i < CARRIER_COUNT; i++)
			send_carried(&CARRIERS[i], (uint16_t)(TRAFFIC_PORT_FIRST + i), data, sizeof data);
		witness_finish(host, CARRIER_COUNT, 0);
		assert_int_equal(witness_count(), CARRIER_COUNT);
		for (unsigned i = 0; i < CARRIER_COUNT; i++) {
			uint32_t header = header_of(&CARRIERS[i]), wire = header + UDP_HEADER + CARRIED;
			const struct witnessed *seen = witness_at(i);

			witness_expect_ends(seen, family_of(&CARRIERS[i]), true);
			expect_forwarded(seen, true);
			assert_int_equal(seen->wire_length, wire);
			if (!headers) {
				witness_expect_whole(seen, IPPROTO_UDP, header, header + UDP_HEADER, wire);
				assert_int_equal(seen->payload_digest, witness_digest(data, sizeof data));
				witness_expect_ports(seen, TRAFFIC_PORT_FIRST + i, PORT);
				continue;
			}
			/* what was not copied is not known, which is nobody's fault */
			assert_int_equal(seen->length, VD_HEADERS);
			assert_false(seen->is_malformed);
			if (header + UDP_HEADER <= VD_HEADERS)
				witness_expect_ports(seen, TRAFFIC_PORT_FIRST + i, PORT);
			else
				witness_expect_ports(seen, 0, 0);
		}
	}
}

/* ---- copies that are cut ---- */

static void expect_cut(const struct witnessed *seen, const struct vd_net_family *family, uint32_t copied, uint32_t wire)
{
	uint32_t header = family->header + UDP_HEADER;
	bool has_address = copied >= family->header;

	assert_int_equal(seen->length, copied < wire ? copied : wire);
	assert_int_equal(seen->original_length, seen->length);
	assert_int_equal(seen->wire_length, wire);
	assert_int_equal(seen->is_truncated, copied < wire);
	assert_false(seen->is_malformed);
	assert_int_equal(seen->version, family->version);
	if (has_address)
		witness_expect_ends(seen, family, true);
	witness_expect_ports(seen, copied >= family->header + 4 ? TRAFFIC_PORT_FIRST : 0, copied >= family->header + 4 ? PORT : 0);
	assert_int_equal(seen->protocol, has_address ? IPPROTO_UDP : 0);
	assert_int_equal(seen->payload_length, seen->length > header ? seen->length - header : 0);
}

static void send_one_of_each(const uint8_t *data, size_t length)
{
	VD_NET_EACH_FAMILY(family) {
		int receiver = traffic_udp_open(net.far, family->family, PORT);
		int sender = traffic_udp_open(net.near, family->family, TRAFFIC_PORT_FIRST);

		assert_int_equal(traffic_send(sender, family->far, PORT, data, length), 0);
		assert_true(traffic_receive_this(receiver, data, length));
		close(sender);
		close(receiver);
	}
}

static void a_cut_copy_is_as_long_as_asked_for(void **state)
{
	enum { LENGTH = 1001 };
	static const struct {
		uint32_t bytes, copy_range, copied;
	} cuts[] = {
		{VD_WHOLE, 1, 1}, {VD_WHOLE, 16, 16}, {VD_WHOLE, 19, 19}, {VD_WHOLE, 20, 20}, {VD_WHOLE, 24, 24}, {VD_WHOLE, 27, 27},
		{VD_WHOLE, 40, 40}, {VD_WHOLE, 43, 43}, {VD_WHOLE, 49, 49}, {VD_WHOLE, 1028, 1028}, {VD_WHOLE, 1029, 1029},
		{VD_WHOLE, 1048, 1048}, {VD_WHOLE, 65531, 65531}, {VD_HEADERS, 0, VD_HEADERS}, {333, 0, 333}, {333, 200, 200},
		{VD_HEADERS, 500, 500},
	};
	uint8_t data[LENGTH];

	(void)state;
	set_up_router();
	traffic_fill(data, sizeof data, 7);
	for (unsigned i = 0; i < sizeof cuts / sizeof *cuts; i++) {
		struct engine_host *host = witness_start(2, cuts[i].bytes, cuts[i].copy_range);

		send_one_of_each(data, sizeof data);
		witness_finish(host, 2, 0);
		assert_int_equal(witness_count(), 2);
		VD_NET_EACH_FAMILY(family)
			expect_cut(witness_at(family - vd_net_families), family, cuts[i].copied, family->header + UDP_HEADER + LENGTH);
	}
}

/* ---- packets that contradict their own headers ---- */

/* A packet from near to far as a frame for the router. `is_bad` is what the engine has to think of it. */
struct oddity {
	const char *name;
	unsigned version;
	uint8_t protocol;
	const char *data; /* behind the IP header */
	uint32_t length;
	bool is_bad;
};
#define DATA(text) text, sizeof text - 1
#define ZEROS "\0\0\0\0\0\0\0"
#define UDP_16 "\x11\x11\x1b\x58\0\x10\0\0" "payload!"

static const struct oddity ODDITIES[] = {
	{"UDP in order", 4, 17, DATA(UDP_16), false},
	{"UDP with padding", 4, 17, DATA(UDP_16 "more"), false},
	{"UDP header cut", 4, 17, DATA("\x11\x11\x1b\x58"), true},
	{"UDP shorter than its header", 4, 17, DATA("\x11\x11\x1b\x58\0\7\0\0" "payload!"), true},
	{"UDP longer than the packet", 4, 17, DATA("\x11\x11\x1b\x58\0\x11\0\0" "payload!"), true},
	{"UDP without a length", 4, 17, DATA("\x11\x11\x1b\x58\0\0\0\0" "payload!"), true},
	{"TCP header cut", 4, 6, DATA("\x11\x11\x1b\x58" "seq." "ac"), true},
	{"TCP offset within the header", 4, 6, DATA("\x11\x11\x1b\x58" "seq." "ack." "\x40\2" "wi" "su" "ur"), true},
	{"TCP offset beyond the packet", 4, 6, DATA("\x11\x11\x1b\x58" "seq." "ack." "\xf0\2" "wi" "su" "ur" "options"), true},
	{"TCP in order", 4, 6, DATA("\x11\x11\x1b\x58" "seq." "ack." "\x50\2" "wi" "su" "ur" "data"), false},
	{"ICMP header cut", 4, 1, DATA("\x8\0"), true},
	{"SCTP header cut", 4, 132, DATA("\x11\x11\x1b\x58" "tag!"), true},
	{"GRE header cut", 4, 47, DATA("\0\0\x8"), true},
	{"nothing behind the header", 4, 17, DATA(""), true},
	{"UDP in order", 6, 17, DATA(UDP_16), false},
	{"UDP longer than the packet", 6, 17, DATA("\x11\x11\x1b\x58\0\x11\0\0" "payload!"), true},
	{"UDP behind options", 6, 60, DATA("\x11" ZEROS UDP_16), false},
	{"options beyond the packet", 6, 60, DATA("\x11\3\0\0\0\0\0\0" UDP_16), true},
	{"options that are not there", 6, 60, DATA(""), true},
	{"options behind options that are not there", 6, 60, DATA("\x3c" ZEROS), true},
	{"routing beyond the packet", 6, 43, DATA("\x11\x20\0\0\0\0\0\0" UDP_16), true},
	{"fragment header cut", 6, 44, DATA("\x11\0\0\1"), true},
	{"a fragment that is the whole", 6, 44, DATA("\x11" ZEROS UDP_16), false},
	{"UDP behind AH", 6, 51, DATA("\x11\2" "rsspi_seq_" "icv!" UDP_16), false},
	{"AH beyond the packet", 6, 51, DATA("\x11\xff" "rsspi_seq_" "icv!" UDP_16), true},
	{"no next header", 6, 59, DATA("anything"), false},
};
#define ODDITY_COUNT (sizeof ODDITIES / sizeof *ODDITIES)
#define UDP_OVER_IPV6 14

static void put16(uint8_t *bytes, uint32_t number)
{
	bytes[0] = (uint8_t)(number >> 8);
	bytes[1] = (uint8_t)number;
}

/* The IP packet, from near to far, with its number in the identification or the flow label; how long it is. */
static uint32_t make_packet(uint8_t *packet, unsigned number)
{
	const struct oddity *odd = &ODDITIES[number];
	const struct vd_net_family *family = &vd_net_families[odd->version == 6];
	bool is_v6 = odd->version == 6;

	memset(packet, 0, family->header);
	packet[0] = is_v6 ? 0x60 : 0x45;
	put16(packet + (is_v6 ? 2 : 4), number);
	put16(packet + (is_v6 ? 4 : 2), is_v6 ? odd->length : odd->length + 20);
	packet[is_v6 ? 6 : 9] = odd->protocol;
	packet[is_v6 ? 7 : 8] = 64;
	inet_pton(family->family, family->near, packet + (is_v6 ? 8 : 12));
	inet_pton(family->family, family->far, packet + (is_v6 ? 24 : 16));
	if (!is_v6)
		put16(packet + 10, checksum(packet, 20));
	memcpy(packet + family->header, odd->data, odd->length);
	return family->header + odd->length;
}

static void expect_oddity(const struct witnessed *seen, uint32_t *numbers)
{
	bool is_v6 = seen->version == 6;
	unsigned number = (unsigned)seen->head[is_v6 ? 2 : 4] << 8 | seen->head[is_v6 ? 3 : 5];
	uint8_t packet[256];
	uint32_t length;

	assert_in_range(number, 0, ODDITY_COUNT - 1);
	assert_false(*numbers >> number & 1);
	*numbers |= 1u << number;
	length = make_packet(packet, number);
	witness_expect_ends(seen, &vd_net_families[is_v6], true);
	expect_forwarded(seen, true);
	assert_int_equal(seen->length, length);
	assert_int_equal(seen->wire_length, length);
	assert_memory_equal(seen->head + vd_net_families[is_v6].header, ODDITIES[number].data, ODDITIES[number].length);
	if (seen->is_malformed != ODDITIES[number].is_bad)
		fail_msg("%s, IPv%u: %s", ODDITIES[number].name, seen->version, seen->is_malformed ? "taken for malformed" : "not seen");
	if (ODDITIES[number].is_bad)
		assert_int_equal(seen->transport_offset, 0);
}

/* In far, so that nothing there answers. */
static void count_arrivals(void)
{
	vd_net_enter_far(&net);
	VD_NET_EACH_FAMILY(family)
		vd_net_command("%s -t mangle -A PREROUTING -s %s -m comment --comment arrived -j DROP", family->iptables, family->near);
	vd_net_enter_router(&net);
}

static uint64_t arrivals(void)
{
	return traffic_rule_packets(net.far, vd_net_families[0].iptables, "mangle", "arrived") +
	       traffic_rule_packets(net.far, vd_net_families[1].iptables, "mangle", "arrived");
}

static bool have_arrived(void *argument)
{
	return arrivals() == *(uint64_t *)argument;
}

static void malformed_packets_are_seen_as_such(void **state)
{
	uint64_t arrived = 0;

	(void)state;
	set_up_router();
	count_arrivals();
	FOR_EACH_WORKERS(workers) {
		struct engine_host *host = witness_start(*workers, VD_WHOLE, 0);
		int wire = traffic_frame_open(net.near, VD_NET_NEAR_DEVICE);
		uint8_t frame[256] = VD_NET_LEFT_MAC VD_NET_NEAR_MAC;
		uint32_t numbers = 0;
		uint64_t bad = 0;

		for (unsigned i = 0; i < ODDITY_COUNT; i++) {
			put16(frame + 12, ODDITIES[i].version == 6 ? ETH_P_IPV6 : ETH_P_IP);
			traffic_frame_send(wire, frame, 14 + make_packet(frame + 14, i));
			bad += ODDITIES[i].is_bad;
		}
		close(wire);
		witness_finish(host, ODDITY_COUNT, bad);
		assert_int_equal(witness_count(), ODDITY_COUNT);
		for (unsigned i = 0; i < ODDITY_COUNT; i++)
			expect_oddity(witness_at(i), &numbers);
		arrived += ODDITY_COUNT;
		assert_true(traffic_wait_until(have_arrived, &arrived, 2000));
	}
}

/*
 * IP headers that are wrong themselves: no router lets them through, and the kernel mends most of what raw sockets make. What
 * it does not, is seen in OUTPUT. What arrives of it on the far side is its kernel's to refuse.
 */
static void malformed_ip_headers_are_seen_as_such(void **state)
{
	static const struct {
		unsigned version, at;
		uint8_t byte; /* that is put there */
	} headers[] = {
		{4, 0, 0x65}, {4, 0, 0x05}, {6, 0, 0x40}, {6, 0, 0xf0}, /* another version */
		{6, 4, 0xff}, {6, 5, 0x11},				/* more payload than there is */
	};
	const unsigned count = sizeof headers / sizeof *headers;
	int on = 1;

	(void)state;
	vd_net_setup(&net);
	VD_NET_EACH_FAMILY(family)
		vd_net_command("%s -A OUTPUT -d %s -j NFQUEUE --queue-num %d", family->iptables, family->far, WITNESS_QUEUE);
	FOR_EACH_WORKERS(workers) {
		struct engine_host *host = witness_start(*workers, VD_WHOLE, 0);

		for (unsigned i = 0; i < count; i++) {
			const struct vd_net_family *family = &vd_net_families[headers[i].version == 6];
			int raw = traffic_raw_open(net.near, family->family, IPPROTO_RAW);
			uint8_t packet[256];
			uint32_t length = make_packet(packet, headers[i].version == 6 ? UDP_OVER_IPV6 : 0);

			assert_int_equal(setsockopt(raw, family->version == 4 ? IPPROTO_IP : IPPROTO_IPV6,
						    family->version == 4 ? IP_HDRINCL : IPV6_HDRINCL, &on, sizeof on), 0);
			packet[headers[i].at] = headers[i].byte;
			assert_int_equal(traffic_send(raw, family->far, 0, packet, length), 0);
			close(raw);
		}
		witness_finish(host, count, count);
		assert_int_equal(witness_count(), count);
		for (unsigned i = 0; i < count; i++) {
			const struct witnessed *seen = witness_at(i);

			assert_true(seen->is_malformed);
			assert_int_equal(seen->wire_length, seen->ethertype == ETH_P_IP ? 36 : 56);
			assert_int_equal(seen->length, seen->wire_length);
			assert_int_equal(seen->transport_offset, 0);
			witness_expect_ports(seen, 0, 0);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(udp_is_seen_in_both_directions, tear_down),
		cmocka_unit_test_teardown(tcp_connections_keep_their_content, tear_down),
		cmocka_unit_test_teardown(echo_and_its_reply_share_a_shard, tear_down),
		cmocka_unit_test_teardown(other_protocols_pass_as_they_are, tear_down),
		cmocka_unit_test_teardown(options_and_extension_headers_are_skipped, tear_down),
		cmocka_unit_test_teardown(a_cut_copy_is_as_long_as_asked_for, tear_down),
		cmocka_unit_test_teardown(malformed_packets_are_seen_as_such, tear_down),
		cmocka_unit_test_teardown(malformed_ip_headers_are_seen_as_such, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
