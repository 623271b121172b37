/* SPDX-License-Identifier: MIT */
/*
 * The stock functions ttl, dscp, mss and replace on real traffic: near and far talk to each other through the router, whose
 * mangle FORWARD is queued. What arrives is looked at byte by byte, checksums included, and the receivers' kernels, which are
 * told to trust no device, have counted no wrong one. With offloads, checksums come unmade, and TCP in packets of up to 64 KB.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "test/support/engine_host.h"
#include "test/support/function_host.h"
#include "test/support/load.h"
#include "test/support/net.h"
#include "test/support/sums.h"
#include "test/support/sniffer.h"
#include "test/support/traffic.h"

#define QUEUE 6
#define PORT 7000
#define MTU 1500u
#define TTL 63u /* what near and far send has gone through one router */
#define STREAM (8u << 20) / traffic_patience()
#define TRANSFER_MS 8000

enum { SYN = 2, ACK = 16 };

static struct vd_net net;
static uint8_t packet[70000];

/* ---- the scene ---- */

/* Offloads of both ends, and of the router's devices, on or off. Ends in the router. */
static void set_offloads(bool on)
{
	vd_net_enter_near(&net);
	vd_net_set_offload(VD_NET_NEAR_DEVICE, on);
	vd_net_enter_far(&net);
	vd_net_set_offload(VD_NET_FAR_DEVICE, on);
	vd_net_enter_router(&net);
	vd_net_set_offload(VD_NET_LEFT_DEVICE, on);
	vd_net_set_offload(VD_NET_RIGHT_DEVICE, on);
}

static void set_up(void)
{
	vd_net_setup_router(&net);
	VD_NET_EACH_FAMILY(family)
		vd_net_command("%s -t mangle -A FORWARD -j NFQUEUE --queue-num %d", family->iptables, QUEUE);
	vd_net_enter_near(&net);
	vd_net_trust_checksums(VD_NET_NEAR_DEVICE, false);
	vd_net_enter_far(&net);
	vd_net_trust_checksums(VD_NET_FAR_DEVICE, false);
	vd_net_enter_router(&net);
}

static int tear_down(void **state)
{
	engine_host_destroy_all();
	return vd_net_teardown_any(state);
}

static struct engine_host *start(const char *function)
{
	struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;
	struct engine_host *host;

	options.workers = 2;
	host = engine_host_create(&options);
	engine_host_load(host, function);
	engine_host_queue(host, QUEUE);
	engine_host_start(host);
	return host;
}

/* Ends it: nothing was refused, and nobody received a wrong checksum. */
static void finish(struct engine_host *host)
{
	struct vd_queue_stats stats;

	engine_host_settle(host, QUEUE, 1);
	engine_host_stop(host);
	stats = engine_host_stats(host, QUEUE);
	assert_int_equal(stats.edits_refused, 0);
	assert_int_equal(stats.malformed, 0);
	assert_int_equal(stats.queue_dropped + stats.socket_dropped + stats.flushed + stats.refused, 0);
	engine_host_destroy(host);
	assert_int_equal(traffic_checksum_errors(net.near), 0);
	assert_int_equal(traffic_checksum_errors(net.far), 0);
}

#define FOR_BOTH_OFFLOADS(on) for (unsigned on = 0; on < 2; on++)

/* ---- traffic ---- */

/* Datagrams of odd and even lengths, from near to far; each arrives as it was sent, and its packet is in `packet`, whole. */
static void send_datagrams(const struct vd_net_family *family, int tap, void (*look)(const struct vd_net_family *, uint32_t))
{
	int sender = traffic_udp_open(net.near, family->family, 0), receiver = traffic_udp_open(net.far, family->family, PORT);
	uint8_t data[1000];

	for (unsigned i = 0; i < 20; i++) {
		size_t length = i < 4 ? i : 40 * i + i % 2;
		ssize_t whole;

		traffic_fill(data, sizeof data, i);
		assert_int_equal(traffic_send(sender, family->far, PORT, data, length), 0);
		assert_true(traffic_receive_this(receiver, data, length));
		whole = sniffer_receive(tap, IPPROTO_UDP, packet, sizeof packet);
		assert_int_equal(whole, family->header + 8 + length);
		look(family, (uint32_t)whole);
	}
	close(sender);
	close(receiver);
}

static void expect_right(uint32_t length)
{
	const char *fault = sums_fault(packet, length);

	if (fault)
		fail_msg("%s", fault);
}

static void transfer(const struct vd_net_family *family)
{
	struct traffic_tcp tcp = {.client = net.near, .server = net.far, .address = family->far, .port = PORT, .upload = STREAM,
				  .download = STREAM, .timeout_ms = TRANSFER_MS};

	if (!traffic_tcp_transfer(&tcp))
		fail_msg("IPv%u: %s", family->version, tcp.failure);
}

/* ---- ttl ---- */

static unsigned wanted;

static void expect_ttl(const struct vd_net_family *family, uint32_t length)
{
	expect_right(length);
	assert_int_equal(packet[family->version == 4 ? 8 : 7], wanted);
}

static void ttl_is_what_arrives(void **state)
{
	static const struct {
		const char *function;
		unsigned ttl;
	} cases[] = {{"ttl:33", 33}, {"ttl:+5", TTL + 5}, {"ttl:+250", 255}, {"ttl:-3", TTL - 3}, {"ttl:-62", 1}};

	(void)state;
	set_up();
	FOR_BOTH_OFFLOADS(on) {
		set_offloads(on);
		for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++)
			VD_NET_EACH_FAMILY(family) {
				struct engine_host *host = start(cases[i].function);
				int tap = sniffer_open(net.far, VD_NET_FAR_DEVICE);

				wanted = cases[i].ttl;
				send_datagrams(family, tap, expect_ttl);
				close(tap);
				if (i == 0)
					transfer(family);
				assert_in_range(engine_host_counter(host, "ttl", "changed"), 20, UINT64_MAX);
				assert_int_equal(engine_host_counter(host, "ttl", "expired"), 0);
				finish(host);
			}
	}
}

static void ttl_expires(void **state)
{
	(void)state;
	set_up();
	VD_NET_EACH_FAMILY(family) {
		struct engine_host *host = start("ttl:-63");
		int sender = traffic_udp_open(net.near, family->family, 0);
		int receiver = traffic_udp_open(net.far, family->family, PORT);

		assert_int_equal(traffic_send(sender, family->far, PORT, "x", 1), 0);
		engine_host_settle(host, QUEUE, 1);
		assert_int_equal(engine_host_counter(host, "ttl", "expired"), 1);
		assert_int_equal(engine_host_counter(host, "ttl", "changed"), 0);
		assert_int_equal(traffic_receive(receiver, packet, sizeof packet, 50), -ETIMEDOUT);
		close(sender);
		close(receiver);
		finish(host);
	}
}

/* ---- dscp ---- */

static void expect_class(const struct vd_net_family *family, uint32_t length)
{
	unsigned class = family->version == 4 ? packet[1] : (packet[0] & 0x0fu) << 4 | packet[1] >> 4;

	expect_right(length);
	assert_int_equal(class, wanted);
}

static void dscp_is_what_arrives(void **state)
{
	(void)state;
	set_up();
	FOR_BOTH_OFFLOADS(on) {
		set_offloads(on);
		VD_NET_EACH_FAMILY(family) {
			struct engine_host *host = start("dscp:af41");
			int tap = sniffer_open(net.far, VD_NET_FAR_DEVICE);

			wanted = 34 << 2;
			send_datagrams(family, tap, expect_class);
			close(tap);
			transfer(family);
			assert_in_range(engine_host_counter(host, "dscp", "changed"), 20, UINT64_MAX);
			assert_int_equal(engine_host_counter(host, "dscp", "uneditable"), 0);
			finish(host);
		}
	}
}

/* ---- several datagrams in one packet, on their way out ---- */

enum { SEGMENT = 1000, SEGMENTS = 10 };

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103 /* <linux/udp.h> */
#endif
#ifndef SOL_UDP
#define SOL_UDP 17
#endif

/* Sends them as one; how many arrive, and what the queue made of them in *stats. */
static unsigned send_segmented(const struct vd_net_family *family, const char *function, bool no_gso, const char *counter,
			       uint64_t *counted, struct vd_queue_stats *stats)
{
	static uint8_t data[SEGMENT * SEGMENTS];
	struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;
	int sender = traffic_udp_open(net.near, family->family, 0), receiver = traffic_udp_open(net.far, family->family, PORT);
	int size = SEGMENT;
	struct engine_host *host;
	unsigned arrived;

	options.no_gso = no_gso;
	host = engine_host_create(&options);
	engine_host_load(host, function);
	engine_host_queue(host, QUEUE);
	engine_host_start(host);
	assert_int_equal(setsockopt(sender, SOL_UDP, UDP_SEGMENT, &size, sizeof size), 0);
	assert_int_equal(traffic_send(sender, family->far, PORT, data, sizeof data), 0);
	engine_host_settle(host, QUEUE, no_gso ? SEGMENTS : 1);
	arrived = traffic_drain(receiver, 100);
	engine_host_stop(host);
	*stats = engine_host_stats(host, QUEUE);
	*counted = engine_host_counter(host, strncmp(function, "ttl", 3) ? "dscp" : "ttl", counter);
	engine_host_destroy(host);
	close(sender);
	close(receiver);
	return arrived;
}

static void segmented_datagrams_are_changed(void **state)
{
	struct vd_queue_stats stats;
	uint64_t counted;

	(void)state;
	set_up();
	set_offloads(true);
	VD_NET_EACH_FAMILY(family) {
		assert_int_equal(send_segmented(family, "ttl:33", true, "changed", &counted, &stats), SEGMENTS);
		assert_int_equal(counted, SEGMENTS);
		assert_int_equal(stats.rewritten, SEGMENTS);
		assert_int_equal(send_segmented(family, "dscp:ef", false, "changed", &counted, &stats), SEGMENTS);
		assert_int_equal(counted, stats.received);
		assert_int_equal(stats.rewritten, stats.received);
		assert_int_equal(send_segmented(family, "ttl:33", false, "changed", &counted, &stats), SEGMENTS);
		assert_int_equal(counted, stats.received);
		assert_int_equal(stats.rewritten, stats.received);
		assert_int_equal(stats.edits_refused, 0);
	}
	assert_int_equal(traffic_checksum_errors(net.far), 0);
}

/* ---- mss ---- */

/* The MSS that the next TCP packet on this tap announces; 0: none. */
static unsigned receive_mss(const struct vd_net_family *family, int tap, unsigned flags)
{
	ssize_t length = sniffer_receive(tap, IPPROTO_TCP, packet, sizeof packet);
	const uint8_t *tcp = packet + family->header;
	unsigned mss;

	assert_true(length >= (ssize_t)family->header + 24);
	assert_int_equal(tcp[13] & (SYN | ACK), flags);
	mss = tcp[20] == 2 && tcp[21] == 4 ? (unsigned)tcp[22] << 8 | tcp[23] : 0;
	if (mss != MTU - 20 - family->header) /* what nobody edits may have its checksum made later */
		expect_right((uint32_t)length);
	return mss;
}

/* A connection from near to far; the MSS that arrives there, and the one that comes back, are these. */
static void expect_mss(const struct vd_net_family *family, unsigned there, unsigned back)
{
	int far = sniffer_open(net.far, VD_NET_FAR_DEVICE), near = sniffer_open(net.near, VD_NET_NEAR_DEVICE);

	transfer(family);
	assert_int_equal(receive_mss(family, far, SYN), there);
	assert_int_equal(receive_mss(family, near, SYN | ACK), back);
	close(far);
	close(near);
}

static void mss_is_what_arrives(void **state)
{
	(void)state;
	set_up();
	FOR_BOTH_OFFLOADS(on) {
		set_offloads(on);
		VD_NET_EACH_FAMILY(family) {
			struct engine_host *host = start("mss:1111");

			expect_mss(family, 1111, 1111);
			assert_int_equal(engine_host_counter(host, "mss", "clamped"), 2);
			finish(host);
			host = start("mss:9000");
			expect_mss(family, MTU - 20 - family->header, MTU - 20 - family->header);
			assert_int_equal(engine_host_counter(host, "mss", "clamped"), 0);
			finish(host);
		}
	}
}

static struct load_engine *outsider;

static int tear_down_outsider(void **state)
{
	if (outsider) {
		vd_engine_stop(outsider->engine);
		load_engine_join(outsider, 5000);
		load_engine_destroy(outsider);
	}
	outsider = NULL;
	return tear_down(state);
}

static uint64_t outsider_counter(unsigned index)
{
	struct vd_function_stats stats;

	assert_int_equal(vd_engine_function_stats(outsider->engine, &stats, 1), 1);
	return stats.counters[index];
}

/* The program runs in a namespace without any route, and the queue is the router's: so are the MTUs. */
static void mss_of_the_path_is_that_of_the_queues_namespace(void **state)
{
	enum { CLAMPED, NO_ROUTE, UNEDITABLE };
	static struct load_engine engine;
	struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;
	struct vd_error error;
	char netns[64], function[512];
	uint64_t clamped = 0;

	(void)state;
	set_up();
	snprintf(netns, sizeof netns, "/proc/%d/fd/%d", (int)getpid(), net.router);
	snprintf(function, sizeof function, "%s:pmtu", function_host_path("mss"));
	options.netns = netns;
	options.workers = 2;
	load_engine_create(&engine, &options, NULL, QUEUE, 1);
	outsider = &engine;
	if (vd_engine_load_function(engine.engine, function, &error))
		fail_msg("%s", error.text);
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	load_engine_launch(&engine);
	vd_net_enter_router(&net);
	load_engine_await(&engine);

	/* nothing to do; a smaller MTU on one side is that of both directions; so is one of a route, on the other side */
	for (unsigned step = 0; step < 3; step++) {
		unsigned mtu = step == 0 ? MTU : step == 1 ? 1400 : 1300;

		if (step == 1)
			vd_net_command("ip link set %s mtu 1400", VD_NET_RIGHT_DEVICE);
		if (step == 2)
			vd_net_command("ip route change 10.9.0.1 dev %1$s mtu 1300; ip -6 route change fd00:9::1 dev %1$s mtu 1300",
				       VD_NET_LEFT_DEVICE);
		VD_NET_EACH_FAMILY(family) {
			expect_mss(family, mtu - 20 - family->header, mtu - 20 - family->header);
			clamped += step ? 2 : 0;
			assert_int_equal(outsider_counter(CLAMPED), clamped);
		}
	}
	assert_int_equal(outsider_counter(NO_ROUTE), 0);
	assert_int_equal(outsider_counter(UNEDITABLE), 0);
	assert_int_equal(traffic_checksum_errors(net.near), 0);
	assert_int_equal(traffic_checksum_errors(net.far), 0);
}

/* ---- replace ---- */

static void replaced_datagrams_arrive(void **state)
{
	static const char before[] = "The quick brown fox, the quicker dog, and qui";
	static const char after[] = "The QUICK brown fox, the QUICKer dog, and qui";

	(void)state;
	set_up();
	FOR_BOTH_OFFLOADS(on) {
		set_offloads(on);
		VD_NET_EACH_FAMILY(family) {
			struct engine_host *host = start("replace:quick=QUICK");
			int near = traffic_udp_open(net.near, family->family, PORT);
			int far = traffic_udp_open(net.far, family->family, PORT);

			for (unsigned odd = 0; odd < 2; odd++) {
				assert_int_equal(traffic_send(near, family->far, PORT, before + odd, sizeof before - odd), 0);
				assert_true(traffic_receive_this(far, (const uint8_t *)after + odd, sizeof after - odd));
				assert_int_equal(traffic_send(far, family->near, PORT, before + odd, sizeof before - odd), 0);
				assert_true(traffic_receive_this(near, (const uint8_t *)after + odd, sizeof after - odd));
			}
			assert_int_equal(engine_host_counter(host, "replace", "replaced"), 8);
			close(near);
			close(far);
			finish(host);
		}
	}
}

/* Pings are packets, too: the kernel of far answers with what it received. */
static void replaced_pings_come_back(void **state)
{
	(void)state;
	set_up();
	VD_NET_EACH_FAMILY(family) {
		struct engine_host *host = start("replace:quick=QUICK");
		bool is_ipv4 = family->version == 4;
		int socket = traffic_raw_open(net.near, family->family, is_ipv4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
		uint8_t echo[] = "\10\0\0\0\0\1\0\1a quick fox";
		uint32_t skip = is_ipv4 ? 20 : 0;
		uint16_t sum;

		if (is_ipv4) {
			sum = (uint16_t)~sums_add(0, echo, sizeof echo);
			echo[2] = (uint8_t)(sum >> 8);
			echo[3] = (uint8_t)sum;
		} else {
			echo[0] = 128;
		}
		assert_int_equal(traffic_send(socket, family->far, 0, echo, sizeof echo), 0);
		do
			assert_true(traffic_receive(socket, packet, sizeof packet, 3000 * traffic_patience()) > 0);
		while (packet[skip] != (is_ipv4 ? 0 : 129));
		assert_string_equal(packet + skip + 8, "a QUICK fox");
		assert_int_equal(engine_host_counter(host, "replace", "replaced"), 1);
		close(socket);
		finish(host);
	}
}

/* ---- replace in a stream ---- */

#define WORD "quick "
#define WORD_LENGTH (sizeof WORD - 1)
#define WORDS 40000u

struct stream {
	int family;
	int socket;
};

static void open_stream_here(void *argument)
{
	struct stream *stream = argument;

	stream->socket = socket(stream->family, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static int open_stream(int where, int family)
{
	struct stream stream = {.family = family};

	traffic_do_in(where, open_stream_here, &stream);
	assert_true(stream.socket >= 0);
	return stream.socket;
}

/* near connects to far and sends `sent`; what far receives. */
static void send_stream(const struct vd_net_family *family, const char *sent, char *received, size_t length)
{
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(PORT)};
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(PORT)};
	bool is_ipv4 = family->version == 4;
	struct sockaddr *to = is_ipv4 ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6;
	socklen_t size = is_ipv4 ? sizeof v4 : sizeof v6;
	int sender = open_stream(net.near, family->family), listener = open_stream(net.far, family->family), receiver, on = 1;
	size_t out = 0, in = 0;

	assert_int_equal(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), 0);
	assert_int_equal(bind(listener, to, size), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(inet_pton(family->family, family->far, is_ipv4 ? (void *)&v4.sin_addr : (void *)&v6.sin6_addr), 1);
	assert_int_equal(connect(sender, to, size), 0);
	receiver = accept(listener, NULL, NULL);
	assert_true(receiver >= 0);
	for (uint64_t end_ms = traffic_now_ms() + TRANSFER_MS * traffic_patience(); in < length;) {
		ssize_t moved = out < length ? send(sender, sent + out, length - out, MSG_DONTWAIT) : 0;

		out += moved > 0 ? (size_t)moved : 0;
		moved = recv(receiver, received + in, length - in, MSG_DONTWAIT);
		in += moved > 0 ? (size_t)moved : 0;
		assert_true(traffic_now_ms() < end_ms);
		if (moved <= 0)
			traffic_sleep_ms(1);
	}
	close(sender);
	close(listener);
	close(receiver);
}

/* Where two packets share a word it stays; all others are replaced, and no byte moves. */
static void replaced_streams_arrive(void **state)
{
	static char sent[WORDS * WORD_LENGTH], received[sizeof sent];

	(void)state;
	set_up();
	for (unsigned i = 0; i < WORDS; i++)
		memcpy(sent + i * WORD_LENGTH, WORD, WORD_LENGTH);
	FOR_BOTH_OFFLOADS(on) {
		set_offloads(on);
		VD_NET_EACH_FAMILY(family) {
			struct engine_host *host = start("replace:quick=QUICK");
			unsigned replaced = 0;

			send_stream(family, sent, received, sizeof sent);
			for (unsigned i = 0; i < WORDS; i++) {
				replaced += !memcmp(received + i * WORD_LENGTH, "QUICK ", WORD_LENGTH);
				assert_int_equal(strncasecmp(received + i * WORD_LENGTH, WORD, WORD_LENGTH), 0);
			}
			assert_in_range(replaced, WORDS - 2000, WORDS); /* 240 KB are some 170 packets, or far fewer */
			/* what is sent once more is replaced once more */
			assert_in_range(engine_host_counter(host, "replace", "replaced"), replaced, 2 * WORDS);
			finish(host);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(ttl_is_what_arrives, tear_down),
		cmocka_unit_test_teardown(ttl_expires, tear_down),
		cmocka_unit_test_teardown(dscp_is_what_arrives, tear_down),
		cmocka_unit_test_teardown(segmented_datagrams_are_changed, tear_down),
		cmocka_unit_test_teardown(mss_is_what_arrives, tear_down),
		cmocka_unit_test_teardown(mss_of_the_path_is_that_of_the_queues_namespace, tear_down_outsider),
		cmocka_unit_test_teardown(replaced_datagrams_arrive, tear_down),
		cmocka_unit_test_teardown(replaced_pings_come_back, tear_down),
		cmocka_unit_test_teardown(replaced_streams_arrive, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
