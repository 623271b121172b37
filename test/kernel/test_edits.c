/* SPDX-License-Identifier: MIT */
/*
 * Every edit on real packets: what leaves is what was wanted, its lengths agree, and its checksums are right to a receiver that
 * looks at each byte, and to the one in the kernel. With devices that make checksums and segments, and without.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "test/support/engine_host.h"
#include "test/support/net.h"
#include "test/support/tap.h"
#include "test/support/traffic.h"

#define QUEUE 9
#define BACK_QUEUE 10
#define PORT 7100
#define OTHER_PORT 7171
#define OTHER_V4 "10.9.0.22"
#define OTHER_V6 "fd00:9::22"
#define TRANSFER_MS 8000

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

static struct vd_net net;

static int tear_down(void **state)
{
	engine_host_destroy_all();
	return vd_net_teardown_any(state);
}

static void other_bytes(unsigned version, uint8_t *bytes)
{
	assert_int_equal(inet_pton(version == 4 ? AF_INET : AF_INET6, version == 4 ? OTHER_V4 : OTHER_V6, bytes), 1);
}

/* ---- edits of datagrams ---- */

enum edit {
	SOURCE, DESTINATION, SOURCE_PORT, DESTINATION_PORT, TTL, DSCP, ECN, WRITE_ODD, WRITE_ALL, REPLACE_SAME, REPLACE_SHORTER,
	REPLACE_LONGER, REPLACE_BY_NOTHING, INSERT_FRONT, INSERT_ODD, APPEND, DELETE_FRONT, DELETE_ODD, DELETE_ALL, REPLACE_PACKET,
	MANY, NOTHING, EDITS
};

static _Atomic enum edit edit_now; /* between the test and the engine's threads, one packet at a time */
static _Atomic int edit_result;

static const uint8_t LETTERS[200] = "the letters that are put in";

/* Both ports and an address, by the caller's own hand, lengths and checksums left as they were. */
static int replace_packet(struct vd_packet *packet)
{
	static uint8_t bytes[UINT16_MAX];
	uint32_t length = vd_packet_length(packet);
	uint8_t *transport = bytes + ((const uint8_t *)vd_packet_transport(packet, 8) - vd_packet_data(packet));

	memcpy(bytes, vd_packet_data(packet), length);
	transport[1] ^= 0x55;
	transport[8] = 'R';
	return vd_packet_replace(packet, bytes, length);
}

static int apply(struct vd_packet *packet, enum edit edit)
{
	uint8_t other[16];
	uint32_t length = 0;

	vd_packet_payload(packet, &length);
	other_bytes(vd_packet_ip_version(packet), other);
	switch (edit) {
	case SOURCE:
		return vd_packet_set_source(packet, other);
	case DESTINATION:
		return vd_packet_set_destination(packet, other);
	case SOURCE_PORT:
		return vd_packet_set_source_port(packet, 40001);
	case DESTINATION_PORT:
		return vd_packet_set_destination_port(packet, OTHER_PORT);
	case TTL:
		return vd_packet_set_ttl(packet, 33);
	case DSCP:
		return vd_packet_set_dscp(packet, 46);
	case ECN:
		return vd_packet_set_ecn(packet, 2);
	case WRITE_ODD:
		return vd_packet_write_payload(packet, length > 4 ? 3 : 0, LETTERS, length > 9 ? 5 : 1);
	case WRITE_ALL:
		return vd_packet_write_payload(packet, 0, LETTERS, length < sizeof LETTERS ? length : sizeof LETTERS);
	case REPLACE_SAME:
		return vd_packet_replace_payload(packet, LETTERS, length < sizeof LETTERS ? length : sizeof LETTERS);
	case REPLACE_SHORTER:
		return vd_packet_replace_payload(packet, LETTERS, length / 2 < sizeof LETTERS ? length / 2 : sizeof LETTERS);
	case REPLACE_LONGER:
		return vd_packet_replace_payload(packet, LETTERS, sizeof LETTERS);
	case REPLACE_BY_NOTHING:
		return vd_packet_replace_payload(packet, NULL, 0);
	case INSERT_FRONT:
		return vd_packet_insert_payload(packet, 0, LETTERS, 7);
	case INSERT_ODD:
		return vd_packet_insert_payload(packet, 1, LETTERS, 12);
	case APPEND:
		return vd_packet_insert_payload(packet, length, LETTERS, 31);
	case DELETE_FRONT:
		return vd_packet_delete_payload(packet, 0, 1);
	case DELETE_ODD:
		return vd_packet_delete_payload(packet, length / 3, length / 2);
	case DELETE_ALL:
		return vd_packet_delete_payload(packet, 0, length);
	case REPLACE_PACKET:
		return replace_packet(packet);
	case MANY:
		return vd_packet_set_source(packet, other) || vd_packet_set_source_port(packet, 1) || vd_packet_set_ttl(packet, 9) ||
		       vd_packet_write_payload(packet, 0, LETTERS, 1) || vd_packet_insert_payload(packet, 1, LETTERS, 4) ||
		       vd_packet_set_dscp(packet, 1) || vd_packet_set_source_port(packet, 2) ||
		       vd_packet_write_payload(packet, 1, LETTERS + 9, 3);
	default:
		return 0;
	}
}

static enum vd_verdict decide_edit(struct vd_packet *packet, void *state)
{
	(void)state;
	edit_result = apply(packet, edit_now);
	return VD_ACCEPT;
}

static const struct vd_function EDIT = {.abi = VD_FUNCTION_ABI, .size = sizeof EDIT, .name = "edit", .decide = decide_edit};

/* What has to arrive in place of the payload; its length. */
static uint32_t expect_payload(const uint8_t *sent, uint32_t length, enum edit edit, uint8_t *wanted)
{
	uint32_t some = length < sizeof LETTERS ? length : sizeof LETTERS, at;

	memcpy(wanted, sent, length);
	switch (edit) {
	case WRITE_ODD:
		memcpy(wanted + (length > 4 ? 3 : 0), LETTERS, length > 9 ? 5 : 1);
		return length;
	case WRITE_ALL:
		memcpy(wanted, LETTERS, some);
		return length;
	case REPLACE_SAME:
		memcpy(wanted, LETTERS, some);
		return some;
	case REPLACE_SHORTER:
		some = length / 2 < sizeof LETTERS ? length / 2 : sizeof LETTERS;
		memcpy(wanted, LETTERS, some);
		return some;
	case REPLACE_LONGER:
		memcpy(wanted, LETTERS, sizeof LETTERS);
		return sizeof LETTERS;
	case REPLACE_BY_NOTHING:
	case DELETE_ALL:
		return 0;
	case INSERT_FRONT:
		memcpy(wanted, LETTERS, 7);
		memcpy(wanted + 7, sent, length);
		return length + 7;
	case INSERT_ODD:
		memcpy(wanted + 1, LETTERS, 12);
		memcpy(wanted + 13, sent + 1, length - 1);
		return length + 12;
	case APPEND:
		memcpy(wanted + length, LETTERS, 31);
		return length + 31;
	case DELETE_FRONT:
		memcpy(wanted, sent + 1, length - 1);
		return length - 1;
	case DELETE_ODD:
		at = length / 3;
		memcpy(wanted + at, sent + at + length / 2, length - length / 2 - at);
		return length - length / 2;
	case REPLACE_PACKET:
		wanted[0] = 'R';
		return length;
	case MANY:
		wanted[0] = LETTERS[0];
		memcpy(wanted + 1, LETTERS, 4);
		memcpy(wanted + 1, LETTERS + 9, 3);
		memcpy(wanted + 5, sent + 1, length - 1);
		return length + 4;
	default:
		return length;
	}
}

static void expect_headers(const struct tapped *seen, enum edit edit, const struct vd_net_family *family, unsigned source_port,
			   unsigned hops)
{
	const uint8_t *ip = seen->bytes, *udp = ip + seen->transport;
	unsigned size = seen->version == 4 ? 4 : 16, at = seen->version == 4 ? 12 : 8;
	unsigned class = seen->version == 4 ? ip[1] : (ip[0] & 15u) << 4 | ip[1] >> 4;
	unsigned ports[2] = {(unsigned)udp[0] << 8 | udp[1], (unsigned)udp[2] << 8 | udp[3]};
	uint8_t other[16], near[16], far[16];

	other_bytes(seen->version, other);
	inet_pton(family->family, family->near, near);
	inet_pton(family->family, family->far, far);
	assert_memory_equal(ip + at, edit == SOURCE || edit == MANY ? other : near, size);
	assert_memory_equal(ip + at + size, edit == DESTINATION ? other : far, size);
	assert_int_equal(ports[0], edit == SOURCE_PORT ? 40001 : edit == MANY ? 2 : edit == REPLACE_PACKET ? source_port ^ 0x55 : source_port);
	assert_int_equal(ports[1], edit == DESTINATION_PORT ? OTHER_PORT : PORT);
	assert_int_equal(ip[seen->version == 4 ? 8 : 7], (edit == TTL ? 33 : edit == MANY ? 9 : 64) - hops);
	assert_int_equal(class, edit == DSCP ? 46 << 2 : edit == ECN ? 2 : edit == MANY ? 1 << 2 : 0);
}

/* One datagram, edited; what arrives at the far device, and, where it is for the socket there, in it. */
static void try_edit(struct tap *tap, int sender, int receiver, const struct vd_net_family *family, enum edit edit, uint32_t length,
		     unsigned source_port, unsigned hops)
{
	static uint8_t sent[4096], wanted[4096];
	bool is_delivered = edit != DESTINATION_PORT && edit != DESTINATION;
	const struct tapped *seen;
	uint32_t wanted_length;

	traffic_fill(sent, length, edit * 7 + length);
	wanted_length = expect_payload(sent, length, edit, wanted);
	edit_now = edit;
	assert_int_equal(traffic_send(sender, family->far, PORT, sent, length), 0);
	seen = tap_next(tap, 3000);
	if (!seen)
		fail_msg("IPv%u, edit %d, %u bytes: nothing came", family->version, edit, length);
	assert_int_equal(edit_result, 0);
	if (seen->is_wrong)
		fail_msg("IPv%u, edit %d, %u bytes: a checksum is wrong", family->version, edit, length);
	assert_int_equal(seen->protocol, IPPROTO_UDP);
	assert_int_equal(seen->length - seen->payload, wanted_length);
	assert_memory_equal(seen->bytes + seen->payload, wanted, wanted_length);
	expect_headers(seen, edit, family, source_port, hops);
	if (is_delivered)
		assert_true(traffic_receive_this(receiver, wanted, wanted_length));
}

static unsigned port_of(int socket)
{
	struct sockaddr_in6 address;
	socklen_t length = sizeof address;

	assert_int_equal(getsockname(socket, (struct sockaddr *)&address, &length), 0);
	return ntohs(address.sin6_port); /* at the same place in both families */
}

static struct engine_host *start(unsigned queue, const struct vd_function *function)
{
	struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;
	struct engine_host *host;

	options.workers = 2;
	host = engine_host_create(&options);
	engine_host_add(host, function, "");
	engine_host_queue(host, queue);
	engine_host_start(host);
	return host;
}

/* `hops`: routers behind the queue. */
static void edit_datagrams(const struct vd_net_family *family, unsigned hops)
{
	static const uint32_t lengths[] = {2, 3, 63, 1200};
	int sender, receiver = traffic_udp_open(net.far, family->family, PORT);
	struct engine_host *host = start(QUEUE, &EDIT);
	struct tap *tap;
	unsigned count = 0;

	sender = traffic_udp_open_at(net.near, family->near, 0);
	tap = tap_open(net.far, VD_NET_FAR_DEVICE);
	for (unsigned i = 0; i < sizeof lengths / sizeof *lengths; i++)
		for (enum edit edit = 0; edit < EDITS; edit++, count++)
			try_edit(tap, sender, receiver, family, edit, lengths[i], port_of(sender), hops);
	engine_host_settle(host, QUEUE, count);
	engine_host_stop(host);
	assert_int_equal(engine_host_stats(host, QUEUE).edits_refused, 0);
	assert_int_equal(engine_host_stats(host, QUEUE).rewritten, count - sizeof lengths / sizeof *lengths);
	assert_int_equal(tap_wrong(tap), 0);
	assert_int_equal(tap_count(tap), count);
	assert_int_equal(traffic_checksum_errors(net.far), 0);
	engine_host_destroy(host);
	tap_close(tap);
	close(sender);
	close(receiver);
}

/* The packets of a local sender, whose checksums are not ready where the device makes them. */
static void edits_leave_their_sender(void **state)
{
	(void)state;
	for (unsigned offload = 0; offload < 2; offload++) {
		vd_net_setup(&net);
		vd_net_set_offload(VD_NET_NEAR_DEVICE, offload);
		vd_net_command("ip neigh add %s lladdr 02:00:00:00:09:02 dev near0", OTHER_V4);
		vd_net_command("ip neigh add %s lladdr 02:00:00:00:09:02 dev near0", OTHER_V6);
		vd_net_enter_far(&net);
		vd_net_trust_checksums(VD_NET_FAR_DEVICE, false);
		vd_net_enter_near(&net);
		VD_NET_EACH_FAMILY(family) {
			vd_net_command("%s -t mangle -A OUTPUT -p udp -j NFQUEUE --queue-num %d", family->iptables, QUEUE);
			edit_datagrams(family, 0);
		}
		vd_net_teardown(&net);
	}
}

/* On their way, with checksums that are ready, and with some that are not yet, as a virtual wire brings them. */
static void edits_are_forwarded(void **state)
{
	(void)state;
	for (unsigned offload = 0; offload < 2; offload++) {
		vd_net_setup_router(&net);
		vd_net_command("ip neigh add %s lladdr 02:00:00:00:09:02 dev %s", OTHER_V4, VD_NET_RIGHT_DEVICE);
		vd_net_command("ip neigh add %s lladdr 02:00:00:00:09:02 dev %s", OTHER_V6, VD_NET_RIGHT_DEVICE);
		vd_net_command("ip route add %s/32 dev %s", OTHER_V4, VD_NET_RIGHT_DEVICE);
		vd_net_command("ip -6 route add %s/128 dev %s", OTHER_V6, VD_NET_RIGHT_DEVICE);
		vd_net_enter_near(&net);
		vd_net_set_offload(VD_NET_NEAR_DEVICE, offload);
		vd_net_enter_router(&net);
		VD_NET_EACH_FAMILY(family) {
			vd_net_command("%s -t mangle -A PREROUTING -i %s -p udp -j NFQUEUE --queue-num %d", family->iptables,
				       VD_NET_LEFT_DEVICE, QUEUE);
			edit_datagrams(family, 1);
		}
		vd_net_teardown(&net);
	}
}

/* ---- streams, in packets of up to 64 KB whose segments are made later ---- */

#define STREAM ((16u << 20) / traffic_patience())
#define ANSWER (1u << 20)
#define SHIFT 0x12345678u

static struct {
	_Atomic uint64_t gso;
	_Atomic uint64_t refused; /* edits, whatever the error */
} streamed;

static void note(struct vd_packet *packet, int result)
{
	/* relaxed: read when the engine's threads have been joined */
	if (vd_packet_is_gso(packet))
		atomic_fetch_add_explicit(&streamed.gso, 1, memory_order_relaxed);
	if (result < 0)
		atomic_fetch_add_explicit(&streamed.refused, 1, memory_order_relaxed);
}

/* All that a TCP packet carries, each bit the other way round: twice, and it is what it was. */
static enum vd_verdict decide_scramble(struct vd_packet *packet, void *state)
{
	static _Thread_local uint8_t scrambled[UINT16_MAX];
	uint32_t length;
	const uint8_t *payload = vd_packet_payload(packet, &length);

	(void)state;
	for (uint32_t i = 0; i < length; i++)
		scrambled[i] = payload[i] ^ 0xff;
	note(packet, length ? vd_packet_write_payload(packet, 0, scrambled, length) : 0);
	return VD_ACCEPT;
}

static const struct vd_function SCRAMBLE = {.abi = VD_FUNCTION_ABI, .size = sizeof SCRAMBLE, .name = "scramble",
					    .decide = decide_scramble};

/* A connection with another port and other sequence numbers on the wire than at its end here. */
static enum vd_verdict decide_shift(struct vd_packet *packet, void *state)
{
	bool is_out = vd_packet_queue(packet) == QUEUE, is_syn = vd_packet_tcp_flags(packet) & 0x02;
	uint32_t length;
	int result;

	(void)state;
	if (is_out)
		result = vd_packet_set_tcp_sequence(packet, vd_packet_tcp_sequence(packet) + SHIFT) |
			 vd_packet_set_source_port(packet, vd_packet_source_port(packet) ^ 1);
	else
		result = vd_packet_set_tcp_acknowledgment(packet, vd_packet_tcp_acknowledgment(packet) - SHIFT) |
			 vd_packet_set_destination_port(packet, vd_packet_destination_port(packet) ^ 1);
	if (is_syn && vd_packet_tcp_option(packet, 4, &length)) /* selective acknowledgments would have to be shifted as well */
		result |= vd_packet_remove_tcp_option(packet, 4);
	if (is_syn)
		result |= vd_packet_clamp_mss(packet, 1111) != 1;
	result |= vd_packet_set_dscp(packet, 10);
	note(packet, result);
	return VD_ACCEPT;
}

static const struct vd_function SHIFTED = {.abi = VD_FUNCTION_ABI, .size = sizeof SHIFTED, .name = "shift", .decide = decide_shift};

static void transfer(const struct vd_net_family *family)
{
	struct traffic_tcp tcp = {.client = net.near, .server = net.far, .address = family->far, .port = PORT, .upload = STREAM,
				  .download = ANSWER, .timeout_ms = TRANSFER_MS};

	memset(&streamed, 0, sizeof streamed);
	if (!traffic_tcp_transfer(&tcp))
		fail_msg("IPv%u: %s (%llu bytes arrived)", family->version, tcp.failure, (unsigned long long)tcp.uploaded);
	assert_int_equal(tcp.uploaded, STREAM);
	assert_int_equal(tcp.downloaded, ANSWER);
}

/* In the namespace of the engine. Nothing is queued any more: a connection that was closed still has something to say. */
static void finish(struct engine_host *host, unsigned queue)
{
	VD_NET_EACH_FAMILY(family)
		vd_net_command("%s -F OUTPUT; %s -F INPUT", family->iptables, family->iptables);
	engine_host_settle(host, queue, 1);
	engine_host_stop(host);
	assert_int_equal(engine_host_stats(host, queue).edits_refused, 0);
	assert_true(engine_host_stats(host, queue).rewritten > 0);
}

/* What a SYN has in options: its maximum segment size, and whether it speaks of selective acknowledgments. */
static void expect_clamped(const struct tapped *seen)
{
	const uint8_t *tcp = seen->bytes + seen->transport;
	uint32_t end = seen->payload - seen->transport;
	bool has_mss = false;

	for (uint32_t at = 20; at < end && tcp[at]; at += tcp[at] == 1 ? 1 : tcp[at + 1]) {
		assert_int_not_equal(tcp[at], 4);
		if (tcp[at] != 2)
			continue;
		has_mss = true;
		assert_int_equal((uint32_t)tcp[at + 2] << 8 | tcp[at + 3], 1111);
	}
	assert_true(has_mss);
}

/* All that came by the device by now. */
static void expect_right_on_the_wire(struct tap *tap, bool is_clamped)
{
	const struct tapped *seen;
	unsigned syns = 0;

	while ((seen = tap_next(tap, 100)))
		if (seen->protocol == IPPROTO_TCP && seen->bytes[seen->transport + 13] & 0x02) {
			syns++;
			if (is_clamped)
				expect_clamped(seen);
		}
	assert_int_equal(tap_wrong(tap), 0);
	assert_true(syns > 0);
	assert_true(tap_count(tap) > 10); /* of up to 64 KB */
}

static void streams_are_scrambled_and_back(void **state)
{
	(void)state;
	for (unsigned offload = 0; offload < 2; offload++) {
		vd_net_setup(&net);
		vd_net_set_offload(VD_NET_NEAR_DEVICE, offload);
		vd_net_enter_far(&net);
		vd_net_trust_checksums(VD_NET_FAR_DEVICE, false);
		VD_NET_EACH_FAMILY(family) {
			struct engine_host *there, *here;
			struct tap *tap = tap_open(net.far, VD_NET_FAR_DEVICE);

			vd_net_enter_far(&net);
			vd_net_command("%s -A INPUT -p tcp -j NFQUEUE --queue-num %d", family->iptables, BACK_QUEUE);
			there = start(BACK_QUEUE, &SCRAMBLE);
			vd_net_enter_near(&net);
			vd_net_command("%s -A OUTPUT -p tcp -j NFQUEUE --queue-num %d", family->iptables, QUEUE);
			here = start(QUEUE, &SCRAMBLE);
			transfer(family);
			finish(here, QUEUE);
			vd_net_enter_far(&net);
			finish(there, BACK_QUEUE);
			vd_net_enter_near(&net);
			assert_int_equal(streamed.refused, 0);
			assert_true(streamed.gso > 0 || !offload);
			expect_right_on_the_wire(tap, false);
			assert_int_equal(traffic_checksum_errors(net.far), 0);
			engine_host_destroy(here);
			engine_host_destroy(there);
			tap_close(tap);
		}
		vd_net_teardown(&net);
	}
}

static void streams_are_shifted(void **state)
{
	(void)state;
	for (unsigned offload = 0; offload < 2; offload++) {
		vd_net_setup(&net);
		vd_net_set_offload(VD_NET_NEAR_DEVICE, offload);
		vd_net_enter_far(&net);
		vd_net_trust_checksums(VD_NET_FAR_DEVICE, false);
		vd_net_enter_near(&net);
		VD_NET_EACH_FAMILY(family) {
			struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;
			struct engine_host *host = engine_host_create(&options);
			struct tap *tap = tap_open(net.far, VD_NET_FAR_DEVICE);

			vd_net_command("%s -A OUTPUT -p tcp -j NFQUEUE --queue-num %d", family->iptables, QUEUE);
			vd_net_command("%s -A INPUT -p tcp -j NFQUEUE --queue-num %d", family->iptables, BACK_QUEUE);
			engine_host_add(host, &SHIFTED, "");
			engine_host_queue(host, QUEUE);
			engine_host_queue(host, BACK_QUEUE);
			engine_host_start(host);
			transfer(family);
			finish(host, QUEUE);
			assert_int_equal(engine_host_stats(host, BACK_QUEUE).edits_refused, 0);
			assert_int_equal(streamed.refused, 0);
			assert_true(streamed.gso > 0 || !offload);
			expect_right_on_the_wire(tap, true);
			assert_int_equal(traffic_checksum_errors(net.far), 0);
			engine_host_destroy(host);
			tap_close(tap);
		}
		vd_net_teardown(&net);
	}
}

/* ---- one packet whose segments are made later gets longer ---- */

static struct {
	uint32_t sequence, length; /* of the packet as it came; 0: none yet */
	int result;
} lengthened;

static enum vd_verdict decide_lengthen(struct vd_packet *packet, void *state)
{
	uint32_t length;

	(void)state;
	vd_packet_payload(packet, &length);
	if (lengthened.length || !vd_packet_is_gso(packet))
		return VD_ACCEPT;
	lengthened.sequence = vd_packet_tcp_sequence(packet);
	lengthened.length = length;
	lengthened.result = vd_packet_insert_payload(packet, length, LETTERS, sizeof LETTERS);
	return VD_ACCEPT;
}

static const struct vd_function LENGTHEN = {.abi = VD_FUNCTION_ABI, .size = sizeof LENGTHEN, .name = "lengthen",
					    .decide = decide_lengthen};

/* The connection is of no use after that; but each of its segments has to be right, and the last bytes be the new ones. */
static void a_large_packet_grows(void **state)
{
	(void)state;
	vd_net_setup(&net);
	VD_NET_EACH_FAMILY(family) {
		struct traffic_tcp tcp = {.client = net.near, .server = net.far, .address = family->far, .port = PORT,
					  .upload = 200000, .timeout_ms = 600};
		struct tap *tap = tap_open(net.far, VD_NET_FAR_DEVICE);
		const struct tapped *seen;
		struct engine_host *host;
		bool found = false;

		memset(&lengthened, 0, sizeof lengthened);
		vd_net_command("%s -A OUTPUT -p tcp -j NFQUEUE --queue-num %d", family->iptables, QUEUE);
		host = start(QUEUE, &LENGTHEN);
		traffic_tcp_transfer(&tcp);
		vd_net_command("%s -F OUTPUT", family->iptables);
		engine_host_settle(host, QUEUE, 1);
		engine_host_stop(host);
		assert_true(lengthened.length > 1500);
		assert_int_equal(lengthened.result, 0);
		while ((seen = tap_next(tap, 100))) {
			const uint8_t *tcp_header = seen->bytes + seen->transport;
			uint32_t sequence = (uint32_t)tcp_header[4] << 24 | (uint32_t)tcp_header[5] << 16 |
					    (uint32_t)tcp_header[6] << 8 | tcp_header[7];
			uint32_t end = sequence + seen->length - seen->payload;

			found |= end == lengthened.sequence + lengthened.length + sizeof LETTERS &&
				 !memcmp(seen->bytes + seen->length - 20, LETTERS + sizeof LETTERS - 20, 20);
		}
		assert_true(found);
		assert_int_equal(tap_wrong(tap), 0);
		engine_host_destroy(host);
		tap_close(tap);
	}
}

/* ---- datagrams that are sent as one, and cut up on their way out ---- */

enum { SEGMENT = 1000, SEGMENTS = 5 };

static void edit_segmented(const struct vd_net_family *family, enum edit edit, int error, uint8_t first_byte)
{
	static uint8_t data[SEGMENT * SEGMENTS];
	int sender = traffic_udp_open(net.near, family->family, 0);
	int receiver = traffic_udp_open(net.far, family->family, edit == DESTINATION_PORT ? OTHER_PORT : PORT), size = SEGMENT;
	struct engine_host *host = start(QUEUE, &EDIT);

	edit_now = edit;
	assert_int_equal(setsockopt(sender, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof size), 0);
	traffic_fill(data, sizeof data, (unsigned)edit);
	assert_int_equal(traffic_send(sender, family->far, PORT, data, sizeof data), 0);
	engine_host_settle(host, QUEUE, 1);
	engine_host_stop(host);
	assert_int_equal(edit_result, error);
	assert_int_equal(engine_host_stats(host, QUEUE).edits_refused, error ? 1 : 0);
	assert_int_equal(engine_host_stats(host, QUEUE).verdicts[error ? VD_DROP : VD_ACCEPT], 1);
	if (first_byte)
		data[0] = first_byte;
	for (unsigned i = 0; i < SEGMENTS && !error; i++)
		assert_true(traffic_receive_this(receiver, data + i * SEGMENT, SEGMENT));
	assert_int_equal(traffic_drain(receiver, 20), 0);
	engine_host_destroy(host);
	close(sender);
	close(receiver);
}

static void segmented_datagrams_are_edited(void **state)
{
	(void)state;
	for (unsigned offload = 0; offload < 2; offload++) {
		vd_net_setup(&net);
		vd_net_set_offload(VD_NET_NEAR_DEVICE, offload);
		vd_net_enter_far(&net);
		vd_net_trust_checksums(VD_NET_FAR_DEVICE, false);
		vd_net_enter_near(&net);
		VD_NET_EACH_FAMILY(family) {
			struct tap *tap = tap_open(net.far, VD_NET_FAR_DEVICE);

			vd_net_command("%s -A OUTPUT -p udp -j NFQUEUE --queue-num %d", family->iptables, QUEUE);
			edit_segmented(family, DESTINATION_PORT, 0, 0);
			edit_segmented(family, SOURCE, 0, 0);
			edit_segmented(family, TTL, 0, 0);
			edit_segmented(family, REPLACE_PACKET, 0, 'R');
			edit_segmented(family, APPEND, -EOPNOTSUPP, 0);
			edit_segmented(family, DELETE_FRONT, -EOPNOTSUPP, 0);
			while (tap_next(tap, 20))
				;
			assert_int_equal(tap_count(tap), 4 * SEGMENTS);
			assert_int_equal(tap_wrong(tap), 0);
			assert_int_equal(traffic_checksum_errors(net.far), 0);
			tap_close(tap);
		}
		vd_net_teardown(&net);
	}
}

/* ---- what is refused is not sent as if nothing had been wanted ---- */

static void refused_edits_get_the_fault_verdict(void **state)
{
	static uint8_t data[1000];

	(void)state;
	vd_net_setup(&net);
	VD_NET_EACH_FAMILY(family)
		vd_net_command("%s -A OUTPUT -p udp -j NFQUEUE --queue-num %d", family->iptables, QUEUE);
	for (unsigned accepts = 0; accepts < 2; accepts++)
		VD_NET_EACH_FAMILY(family) {
			struct vd_function function = EDIT;
			struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;
			int sender = traffic_udp_open(net.near, family->family, 0);
			int receiver = traffic_udp_open(net.far, family->family, PORT);
			struct engine_host *host;

			function.bytes = VD_HEADERS; /* less than the packet */
			options.fault_verdict = accepts ? VD_ACCEPT : VD_DROP;
			host = engine_host_create(&options);
			engine_host_add(host, &function, "");
			engine_host_queue(host, QUEUE);
			engine_host_start(host);
			edit_now = TTL;
			assert_int_equal(traffic_send(sender, family->far, PORT, data, sizeof data), 0);
			engine_host_settle(host, QUEUE, 1);
			assert_int_equal(edit_result, -ENODATA);
			assert_int_equal(engine_host_stats(host, QUEUE).edits_refused, 1);
			assert_int_equal(engine_host_stats(host, QUEUE).rewritten, 0);
			if (accepts)
				assert_true(traffic_receive_this(receiver, data, sizeof data)); /* as it was */
			else
				assert_int_equal(traffic_drain(receiver, 50), 0);
			engine_host_stop(host);
			engine_host_destroy(host);
			close(sender);
			close(receiver);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(edits_leave_their_sender, tear_down),
		cmocka_unit_test_teardown(edits_are_forwarded, tear_down),
		cmocka_unit_test_teardown(streams_are_scrambled_and_back, tear_down),
		cmocka_unit_test_teardown(streams_are_shifted, tear_down),
		cmocka_unit_test_teardown(a_large_packet_grows, tear_down),
		cmocka_unit_test_teardown(segmented_datagrams_are_edited, tear_down),
		cmocka_unit_test_teardown(refused_edits_get_the_fault_verdict, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
