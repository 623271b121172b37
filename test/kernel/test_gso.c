/* SPDX-License-Identifier: MIT */
/*
 * Packets that the kernel cuts up late (GSO), through the whole engine: they come as they are, up to 64 KB in one, or cut into
 * segments with all checksums made when the engine is told so. Streams arrive to the byte either way, also when only their
 * headers are read.
 *
 * The function that looks at them compares what the kernel says of a checksum to what stands in the packet: every one that is
 * said to be ready has to be right, every other one has to be the pseudo header's sum.
 */
#include <linux/netfilter/nfnetlink_queue.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/nfq/nfq.h"
#include "test/support/engine_host.h"
#include "test/support/net.h"
#include "test/support/traffic.h"

#define QUEUE 9
#define PORT 7100
#define MTU 1500u
#define STREAM ((64u << 20) / traffic_patience()) /* bytes: 32 MB, less where looking at each costs more */
#define ANSWER (1u << 20)
#define BIG 180000u /* bytes of a BIG TCP packet */
#define TRANSFER_MS 8000

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103 /* <linux/udp.h> */
#endif
#ifndef SOL_UDP
#define SOL_UDP 17
#endif

static struct vd_net net;

static const unsigned WORKERS[] = {1, 4};
#define FOR_EACH_WORKERS(workers) for (const unsigned *workers = WORKERS; workers < WORKERS + 2; workers++)

/* ---- what the function sees ---- */

static struct {
	_Atomic uint64_t packets;
	_Atomic uint64_t bytes;	    /* that TCP or UDP carried, by the packets' lengths */
	_Atomic uint32_t longest;
	_Atomic uint64_t gso;
	_Atomic uint64_t not_ready; /* checksums */
	_Atomic uint64_t ready;
	/* what may not be */
	_Atomic uint64_t wrong_pseudo; /* not ready, and other than the sum over the pseudo header */
	_Atomic uint64_t wrong_sum;    /* ready, and wrong */
	_Atomic uint64_t wrong_header; /* IPv4's own */
	_Atomic uint64_t small_gso;    /* GSO, and no longer than the MTU */
	_Atomic uint64_t large_plain;  /* longer than the MTU, and not GSO */
	_Atomic uint64_t malformed;
	_Atomic uint64_t strange; /* neither a TCP nor an UDP packet that we know */
} seen;

static void count(_Atomic uint64_t *counter, bool what)
{
	/* relaxed: read when the engine's threads have been joined */
	if (what)
		atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* RFC 1071, not complemented yet. */
static uint32_t sum_of(const uint8_t *bytes, uint32_t length, uint32_t sum)
{
	uint64_t wide = sum;

	for (; length > 1; length -= 2, bytes += 2)
		wide += (uint32_t)bytes[0] << 8 | bytes[1];
	if (length)
		wide += (uint32_t)bytes[0] << 8;
	while (wide >> 16)
		wide = (wide & 0xffff) + (wide >> 16);
	return (uint32_t)wide;
}

static uint32_t pseudo_sum(const struct vd_packet *packet, uint32_t length)
{
	unsigned size = vd_packet_ip_version(packet) == 6 ? 16 : 4;
	uint32_t sum = (length >> 16) + (length & 0xffff) + vd_packet_protocol(packet);

	return sum_of(vd_packet_destination(packet), size, sum_of(vd_packet_source(packet), size, sum));
}

static void check_checksum(const struct vd_packet *packet, uint32_t offset)
{
	uint32_t length = vd_packet_wire_length(packet) - offset, sum;
	const uint8_t *transport = vd_packet_transport(packet, vd_packet_is_truncated(packet) ? 18 : length);
	const uint8_t *field = transport + (vd_packet_protocol(packet) == IPPROTO_TCP ? 16 : 6);

	if (!transport) {
		count(&seen.strange, true);
		return;
	}
	count(&seen.not_ready, vd_packet_checksum_not_ready(packet));
	count(&seen.ready, !vd_packet_checksum_not_ready(packet));
	sum = pseudo_sum(packet, length);
	if (vd_packet_checksum_not_ready(packet))
		count(&seen.wrong_pseudo, sum != ((uint32_t)field[0] << 8 | field[1]));
	else if (!vd_packet_is_truncated(packet))
		count(&seen.wrong_sum, sum_of(transport, length, sum) != 0xffff);
	if (vd_packet_ip_version(packet) == 4)
		count(&seen.wrong_header, sum_of(vd_packet_data(packet), offset, 0) != 0xffff);
}

static enum vd_verdict look(struct vd_packet *packet, void *state)
{
	uint32_t wire = vd_packet_wire_length(packet), longest = atomic_load_explicit(&seen.longest, memory_order_relaxed), header;
	const uint8_t *transport = vd_packet_transport(packet, 14);

	(void)state;
	count(&seen.packets, true);
	count(&seen.malformed, vd_packet_is_malformed(packet));
	count(&seen.gso, vd_packet_is_gso(packet));
	count(&seen.small_gso, vd_packet_is_gso(packet) && wire <= MTU);
	count(&seen.large_plain, !vd_packet_is_gso(packet) && wire > MTU);
	while (wire > longest && !atomic_compare_exchange_weak(&seen.longest, &longest, wire))
		;
	if (!transport || (vd_packet_source_port(packet) != PORT && vd_packet_destination_port(packet) != PORT)) {
		count(&seen.strange, true);
		return VD_NEXT;
	}
	header = (uint32_t)(transport - vd_packet_data(packet));
	check_checksum(packet, header);
	header += vd_packet_protocol(packet) == IPPROTO_TCP ? (transport[12] >> 4) * 4u : 8;
	atomic_fetch_add_explicit(&seen.bytes, wire - header, memory_order_relaxed);
	return VD_NEXT;
}

/* ---- one run of the engine ---- */

struct mode {
	unsigned workers;
	uint32_t bytes; /* of the function's need */
	bool no_gso;
	bool is_big; /* packets can be longer than their length fields say */
};

static struct engine_host *start(const struct mode *mode)
{
	struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;
	struct vd_function function = {.abi = VD_FUNCTION_ABI, .size = sizeof function, .name = "look", .bytes = mode->bytes,
				       .decide = look};
	struct engine_host *host;

	memset(&seen, 0, sizeof seen);
	options.workers = mode->workers;
	options.no_gso = mode->no_gso;
	host = engine_host_create(&options);
	engine_host_add(host, &function, "");
	engine_host_queue(host, QUEUE);
	engine_host_start(host);
	return host;
}

/* Ends it; nothing was lost, and nothing was wrong with any packet. */
static void finish(struct engine_host *host, const struct mode *mode)
{
	struct vd_queue_stats stats;

	engine_host_settle(host, QUEUE, 1);
	engine_host_stop(host);
	stats = engine_host_stats(host, QUEUE);
	assert_int_equal(stats.received, engine_host_offered(host, QUEUE));
	assert_int_equal(stats.verdicts[VD_ACCEPT], stats.received);
	assert_int_equal(stats.malformed, 0);
	assert_int_equal(seen.packets, stats.received);
	assert_int_equal(seen.malformed, 0);
	assert_int_equal(seen.strange, 0);
	assert_int_equal(seen.wrong_pseudo, 0);
	assert_int_equal(seen.wrong_sum, 0);
	assert_int_equal(seen.wrong_header, 0);
	assert_int_equal(seen.small_gso, 0);
	assert_int_equal(seen.large_plain, 0);
	if (mode->no_gso) {
		assert_in_range(seen.longest, 1, MTU);
		assert_int_equal(seen.gso, 0);
		assert_int_equal(seen.not_ready, 0);
	} else {
		assert_in_range(seen.longest, mode->is_big ? UINT16_MAX + 40 + 1 : MTU + 1, mode->is_big ? BIG : UINT16_MAX + 40);
		assert_true(seen.gso > 0);
		assert_true(seen.not_ready >= seen.gso); /* its segments' checksums are made when it is cut up */
	}
	engine_host_destroy(host);
}

static int tear_down(void **state)
{
	engine_host_destroy_all();
	return vd_net_teardown_any(state);
}

/* Skips the test when the kernel gives no GSO packets. Caller: in the namespace of the engine. */
static void need_gso(void)
{
	struct vd_nfq nfq;
	int result;

	assert_int_equal(vd_nfq_open(&nfq, NULL), 0);
	result = vd_nfq_probe_flag(&nfq, NFQA_CFG_F_GSO);
	vd_nfq_close(&nfq);
	if (result == -EOPNOTSUPP) {
		print_message("skip: this kernel's queues give no GSO packets (NFQA_CFG_F_GSO)\n");
		skip();
	}
	assert_int_equal(result, 0);
}

static void queue_chain(const char *chain)
{
	VD_NET_EACH_FAMILY(family)
		vd_net_command("%s -A %s -s %s/%u -j NFQUEUE --queue-num %d", family->iptables, chain, family->near, family->prefix,
			       QUEUE);
}

/* ---- TCP ---- */

/* A stream from `client` to `server`, and a shorter one back; what the function saw of it is at least all of the bytes. */
static void stream_through(const struct mode *mode, const struct vd_net_family *family, int client, int server, uint32_t counted)
{
	struct traffic_tcp tcp = {.client = client, .server = server, .address = server == net.far ? family->far : family->near,
				  .port = PORT, .upload = STREAM, .download = ANSWER, .timeout_ms = TRANSFER_MS};
	struct engine_host *host = start(mode);

	if (!traffic_tcp_transfer(&tcp))
		fail_msg("IPv%u, %u workers, %s, %s: %s (%llu bytes arrived)", family->version, mode->workers,
			 mode->bytes ? "headers" : "whole", mode->no_gso ? "segments" : "GSO", tcp.failure,
			 (unsigned long long)tcp.uploaded);
	assert_int_equal(tcp.uploaded, STREAM);
	assert_int_equal(tcp.downloaded, ANSWER);
	finish(host, mode);
	assert_in_range(seen.bytes, counted, UINT64_MAX);
}

/* The same in all modes, both families, with one worker and several. */
static void stream_in_all_modes(int client, int server, uint32_t counted)
{
	FOR_EACH_WORKERS(workers)
		VD_NET_EACH_FAMILY(family) {
			stream_through(&(struct mode){*workers, VD_WHOLE, false}, family, client, server, counted);
			stream_through(&(struct mode){*workers, VD_HEADERS, false}, family, client, server, counted);
			stream_through(&(struct mode){*workers, VD_WHOLE, true}, family, client, server, counted);
		}
}

static void a_stream_leaves_its_sender(void **state)
{
	(void)state;
	vd_net_setup(&net);
	need_gso();
	queue_chain("OUTPUT");
	stream_in_all_modes(net.near, net.far, STREAM);
}

static void a_stream_is_forwarded(void **state)
{
	(void)state;
	vd_net_setup_router(&net);
	need_gso();
	queue_chain("FORWARD"); /* both directions */
	stream_in_all_modes(net.near, net.far, STREAM + ANSWER);
}

static void a_stream_reaches_its_receiver(void **state)
{
	(void)state;
	vd_net_setup(&net);
	need_gso();
	queue_chain("INPUT");
	stream_in_all_modes(net.far, net.near, STREAM);
}

/* BIG TCP: longer than IPv6's own length field can say, and longer than the kernel copies. */
static void a_stream_of_big_packets_leaves_its_sender(void **state)
{
	const struct vd_net_family *v6 = &vd_net_families[1];

	(void)state;
	vd_net_setup(&net);
	need_gso();
	if (vd_net_try("ip link set %s gso_max_size %u", VD_NET_NEAR_DEVICE, BIG)) {
		print_message("skip: this kernel, or its ip(8), has no BIG TCP\n");
		skip();
	}
	queue_chain("OUTPUT");
	FOR_EACH_WORKERS(workers) {
		stream_through(&(struct mode){*workers, VD_WHOLE, false, true}, v6, net.near, net.far, STREAM);
		stream_through(&(struct mode){*workers, VD_HEADERS, false, true}, v6, net.near, net.far, STREAM);
		stream_through(&(struct mode){*workers, VD_WHOLE, true, true}, v6, net.near, net.far, STREAM);
	}
}

/* ---- UDP ---- */

enum { SEGMENT = 1000, SEGMENTS = 40, ROUNDS = 20 };

/* SEGMENTS datagrams: as one, which the kernel is to cut up, or one by one. */
static void send_segmented(int socket, const char *address, const uint8_t *data, bool segmented)
{
	int size = SEGMENT;

	if (segmented) {
		assert_int_equal(setsockopt(socket, SOL_UDP, UDP_SEGMENT, &size, sizeof size), 0);
		assert_int_equal(traffic_send(socket, address, PORT, data, SEGMENT * SEGMENTS), 0);
		return;
	}
	for (unsigned i = 0; i < SEGMENTS; i++)
		assert_int_equal(traffic_send(socket, address, PORT, data + i * SEGMENT, SEGMENT), 0);
}

static void datagrams_through(const struct mode *mode, const struct vd_net_family *family, bool segmented)
{
	static uint8_t data[SEGMENT * SEGMENTS];
	int sender = traffic_udp_open(net.near, family->family, 0), receiver = traffic_udp_open(net.far, family->family, PORT);
	struct engine_host *host = start(mode);

	for (unsigned round = 0; round < ROUNDS; round++) {
		traffic_fill(data, sizeof data, round);
		send_segmented(sender, family->far, data, segmented);
		for (unsigned i = 0; i < SEGMENTS; i++)
			assert_true(traffic_receive_this(receiver, data + i * SEGMENT, SEGMENT));
	}
	close(sender);
	close(receiver);
	if (segmented) {
		finish(host, mode);
		assert_int_equal(seen.packets, mode->no_gso ? ROUNDS * SEGMENTS : ROUNDS);
	} else {
		engine_host_settle(host, QUEUE, ROUNDS * SEGMENTS);
		engine_host_stop(host);
		assert_int_equal(seen.packets, ROUNDS * SEGMENTS);
		assert_int_equal(seen.gso + seen.malformed + seen.strange, 0);
		assert_int_equal(seen.wrong_pseudo + seen.wrong_sum + seen.wrong_header, 0);
		if (mode->no_gso)
			assert_int_equal(seen.not_ready, 0);
		engine_host_destroy(host);
	}
	assert_int_equal(seen.bytes, ROUNDS * SEGMENTS * SEGMENT);
}

static void datagrams_keep_their_content(void **state)
{
	(void)state;
	vd_net_setup(&net);
	need_gso();
	queue_chain("OUTPUT");
	FOR_EACH_WORKERS(workers)
		VD_NET_EACH_FAMILY(family)
			for (unsigned segmented = 0; segmented < 2; segmented++) {
				datagrams_through(&(struct mode){*workers, VD_WHOLE, false}, family, segmented);
				datagrams_through(&(struct mode){*workers, VD_HEADERS, false}, family, segmented);
				datagrams_through(&(struct mode){*workers, VD_WHOLE, true}, family, segmented);
			}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(a_stream_leaves_its_sender, tear_down),
		cmocka_unit_test_teardown(a_stream_is_forwarded, tear_down),
		cmocka_unit_test_teardown(a_stream_reaches_its_receiver, tear_down),
		cmocka_unit_test_teardown(a_stream_of_big_packets_leaves_its_sender, tear_down),
		cmocka_unit_test_teardown(datagrams_keep_their_content, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
