/* SPDX-License-Identifier: MIT */
/*
 * libipq's packets and verdicts on real queues: what a program is told of a packet, what becomes of it, rewritten ones,
 * ones that did not fit the buffer, segments.
 */
#include "test/support/ipq_kernel.h"

#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <pthread.h>
#include <sys/time.h>

static struct vd_net net;
static int sender, receiver;

static int tear_down(void **state)
{
	if (sender > 0)
		close(sender);
	if (receiver > 0)
		close(receiver);
	sender = receiver = 0;
	return vd_net_teardown_any(state);
}

static void set_up(int family)
{
	unsetenv("LIBIPQ_QUEUE");
	unsetenv("LIBIPQ_QUEUE6");
	vd_net_setup(&net);
	ipq_queue_output("QUEUE");
	sender = traffic_udp_open(net.near, family, 0);
	receiver = traffic_udp_open(net.far, family, IPQ_PORT);
}

/* ---- what is told ---- */

static void expect_now(const ipq_packet_msg_t *packet, const struct timeval *before)
{
	struct timeval after, stamp = {packet->timestamp_sec, packet->timestamp_usec};

	gettimeofday(&after, NULL);
	assert_in_range(packet->timestamp_usec, 0, 999999);
	if (timercmp(&stamp, before, <) || timercmp(&stamp, &after, >))
		fail_msg("stamped %ld.%06ld, not from %ld.%06ld to %ld.%06ld", stamp.tv_sec, stamp.tv_usec, before->tv_sec,
			 before->tv_usec, after.tv_sec, after.tv_usec);
}

static void tells_of_a_packet_that_goes_out(void **state)
{
	struct ipq_handle *handle;
	struct timeval before;
	ipq_packet_msg_t *packet;

	(void)state;
	set_up(AF_INET);
	handle = ipq_open(PF_INET, IPQ_COPY_META, 0);
	gettimeofday(&before, NULL);
	ipq_send_text(sender, VD_NET_FAR_V4, "out");
	packet = ipq_expect_packet(handle);
	assert_true(packet->packet_id > 0);
	assert_int_equal(packet->mark, 0);
	expect_now(packet, &before);
	assert_int_equal(packet->hook, 3);
	assert_string_equal(packet->indev_name, "");
	assert_string_equal(packet->outdev_name, VD_NET_NEAR_DEVICE);
	assert_int_equal(packet->hw_protocol, htons(ETH_P_IP));
	assert_int_equal(packet->hw_type, 0);
	assert_int_equal(packet->hw_addrlen, 0);
	ipq_destroy_handle(handle);
}

static void tells_of_a_packet_that_comes_in(void **state)
{
	struct ipq_handle *handle;
	struct timeval before;
	ipq_packet_msg_t *packet;

	(void)state;
	set_up(AF_INET);
	vd_net_command("iptables-legacy -F OUTPUT; iptables-legacy -t mangle -A PREROUTING -j MARK --set-mark 0xfedcba98;"
		       "iptables-legacy -A INPUT -p udp --dport %d -j QUEUE", IPQ_PORT);
	handle = ipq_open(PF_INET, IPQ_COPY_PACKET, 28);
	close(sender);
	sender = traffic_udp_open(net.far, AF_INET, 0);
	gettimeofday(&before, NULL);
	ipq_send_text(sender, VD_NET_NEAR_V4, "in");
	packet = ipq_expect_packet(handle);
	assert_int_equal(packet->mark, 0xfedcba98);
	expect_now(packet, &before);
	assert_int_equal(packet->hook, 1);
	assert_string_equal(packet->indev_name, VD_NET_NEAR_DEVICE);
	assert_string_equal(packet->outdev_name, "");
	assert_int_equal(packet->hw_protocol, htons(ETH_P_IP));
	assert_int_equal(packet->hw_type, ARPHRD_ETHER);
	assert_int_equal(packet->hw_addrlen, 6);
	assert_memory_equal(packet->hw_addr, VD_NET_FAR_MAC "\0\0", 8);
	assert_int_equal(packet->data_len, 28);
	ipq_destroy_handle(handle);
}

static void tells_of_a_packet_that_goes_through(void **state)
{
	struct ipq_handle *handle;
	struct timeval before;
	ipq_packet_msg_t *packet;

	(void)state;
	unsetenv("LIBIPQ_QUEUE6");
	vd_net_setup_router(&net);
	vd_net_command("ip6tables-legacy -A FORWARD -p udp --dport %d -j QUEUE", IPQ_PORT);
	sender = traffic_udp_open(net.near, AF_INET6, 0);
	receiver = traffic_udp_open(net.far, AF_INET6, IPQ_PORT);
	handle = ipq_open(PF_INET6, IPQ_COPY_PACKET, 0);
	gettimeofday(&before, NULL);
	ipq_send_text(sender, VD_NET_FAR_V6, "through");
	packet = ipq_expect_packet(handle);
	expect_now(packet, &before);
	assert_int_equal(packet->hook, 2);
	assert_string_equal(packet->indev_name, VD_NET_LEFT_DEVICE);
	assert_string_equal(packet->outdev_name, VD_NET_RIGHT_DEVICE);
	assert_int_equal(packet->hw_protocol, htons(ETH_P_IPV6));
	assert_int_equal(packet->hw_type, ARPHRD_ETHER);
	assert_memory_equal(packet->hw_addr, VD_NET_NEAR_MAC "\0\0", 8);
	assert_int_equal(packet->data_len, 40 + 8 + 7);
	assert_memory_equal(packet->payload + 48, "through", 7);
	ipq_accept(handle, packet);
	ipq_expect_text(receiver, "through");
	ipq_destroy_handle(handle);
}

/* ---- verdicts ---- */

static void drops(void **state)
{
	struct ipq_handle *handle;

	(void)state;
	set_up(AF_INET);
	handle = ipq_open(PF_INET, IPQ_COPY_META, 0);
	ipq_send_text(sender, VD_NET_FAR_V4, "dropped");
	assert_int_equal(ipq_set_verdict(handle, ipq_expect_packet(handle)->packet_id, NF_DROP, 0, NULL), 40);
	ipq_expect_silence(handle);
	assert_int_equal(ipq_stats_of(handle).waiting, 0);
	ipq_expect_nothing(receiver);
	ipq_destroy_handle(handle);
}

/* NF_QUEUE is the same queue again, whichever that is. */
static void queues_again(void **state)
{
	static const char *const queues[] = {"0", "300"};

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct ipq_handle *handle;
		ipq_id_t first, second;

		set_up(AF_INET);
		vd_net_command("iptables-legacy -F OUTPUT; iptables-legacy -A OUTPUT -p udp -j NFQUEUE --queue-num %s", queues[i]);
		setenv("LIBIPQ_QUEUE", queues[i], 1);
		handle = ipq_open(PF_INET, IPQ_COPY_PACKET, 0);
		ipq_send_text(sender, VD_NET_FAR_V4, "twice");
		first = ipq_expect_packet(handle)->packet_id;
		assert_int_equal(ipq_set_verdict(handle, first, NF_QUEUE, 0, NULL), 40);
		second = ipq_expect_packet(handle)->packet_id;
		assert_int_not_equal(first, second);
		assert_int_equal(ipq_set_verdict(handle, second, NF_ACCEPT, 0, NULL), 40);
		ipq_expect_text(receiver, "twice");
		ipq_expect_nothing(receiver);
		ipq_destroy_handle(handle);
		tear_down(NULL);
	}
	unsetenv("LIBIPQ_QUEUE");
}

/* NF_REPEAT begins the hook anew: a mark tells the rules that it was there. */
static void repeats_and_marks(void **state)
{
	struct ipq_handle *handle;
	ipq_packet_msg_t *packet;

	(void)state;
	set_up(AF_INET);
	vd_net_command("iptables-legacy -F OUTPUT; iptables-legacy -A OUTPUT -p udp -m mark --mark 7 -m comment --comment marked;"
		       "iptables-legacy -A OUTPUT -p udp -m mark ! --mark 7 -j QUEUE");
	handle = ipq_open(PF_INET, IPQ_COPY_META, 0);
	ipq_send_text(sender, VD_NET_FAR_V4, "round");
	packet = ipq_expect_packet(handle);
	assert_int_equal(ipq_set_verdict(handle, packet->packet_id, NF_REPEAT, 0, NULL), 40);
	packet = ipq_expect_packet(handle);
	assert_int_equal(packet->mark, 0);
	assert_true(ipq_set_vwmark(handle, packet->packet_id, NF_REPEAT, 7) > 0);
	ipq_expect_silence(handle);
	ipq_expect_text(receiver, "round");
	assert_int_equal(traffic_rule_packets(net.near, "iptables-legacy", "filter", "marked"), 1);

	ipq_send_text(sender, VD_NET_FAR_V4, "dropped"); /* a mark with another verdict */
	assert_true(ipq_set_vwmark(handle, ipq_expect_packet(handle)->packet_id, NF_DROP, 7) > 0);
	ipq_expect_nothing(receiver);
	ipq_destroy_handle(handle);
}

/* ---- rewriting ---- */

static uint32_t sum_up(uint32_t sum, const uint8_t *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++)
		sum += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
	return sum;
}

static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static void write16(uint8_t *bytes, size_t number)
{
	bytes[0] = (uint8_t)(number >> 8);
	bytes[1] = (uint8_t)number;
}

/* The UDP packet with `length` bytes of text for its own; its length. */
static size_t rewrite(uint8_t *packet, const char *text, size_t length)
{
	bool is_six = packet[0] >> 4 == 6;
	uint8_t *udp = packet + (is_six ? 40 : 20);

	memcpy(udp + 8, text, length);
	write16(udp + 4, 8 + length);
	write16(udp + 6, 0);
	write16(udp + 6, fold(sum_up(sum_up((uint32_t)(IPPROTO_UDP + 8 + length), packet + (is_six ? 8 : 12), is_six ? 32 : 8), udp,
				     8 + length)));
	if (is_six) {
		write16(packet + 4, 8 + length);
		return 48 + length;
	}
	write16(packet + 2, 28 + length);
	write16(packet + 10, 0);
	write16(packet + 10, fold(sum_up(0, packet, 20)));
	return 28 + length;
}

static void rewrites_in(int family)
{
	static const size_t lengths[] = {0, 1, 7, 8, 9, 300, 1000, 1400, 9000, 60000};
	const char *address = family == AF_INET6 ? VD_NET_FAR_V6 : VD_NET_FAR_V4;
	static char text[60001], original[] = "original";
	struct ipq_handle *handle;

	set_up(family);
	handle = ipq_open((uint32_t)family, IPQ_COPY_PACKET, 0);
	for (unsigned i = 0; i < sizeof lengths / sizeof *lengths; i++) {
		ipq_packet_msg_t *packet;
		size_t length;

		for (size_t at = 0; at < lengths[i]; at++)
			text[at] = (char)('a' + (at + i) % 26);
		text[lengths[i]] = '\0';
		ipq_send_text(sender, address, original);
		packet = ipq_expect_packet(handle);
		length = rewrite(packet->payload, text, lengths[i]);
		assert_int_equal(ipq_set_verdict(handle, packet->packet_id, NF_ACCEPT, length, packet->payload), 40 + length);
		ipq_expect_text(receiver, text);
	}
	ipq_expect_silence(handle);
	assert_int_equal(traffic_snmp(net.far, family == AF_INET6 ? NULL : "Udp",
				      family == AF_INET6 ? "Udp6InCsumErrors" : "InCsumErrors"), 0);
	ipq_destroy_handle(handle);
}

static void rewrites_shorter_and_longer(void **state)
{
	(void)state;
	rewrites_in(AF_INET);
	tear_down(NULL);
	rewrites_in(AF_INET6);
}

/* Less than a header was no packet, and was ignored; so were bytes without a length, and a length without bytes. */
static void small_rewrites_are_ignored(void **state)
{
	(void)state;
	for (unsigned is_six = 0; is_six < 2; is_six++) {
		const size_t header = is_six ? 40 : 20, lengths[] = {0, 1, 19, header - 1, 77};
		const char *address = is_six ? VD_NET_FAR_V6 : VD_NET_FAR_V4;
		static unsigned char garbage[100];
		struct ipq_handle *handle;
		ipq_packet_msg_t *packet;

		set_up(is_six ? AF_INET6 : AF_INET);
		handle = ipq_open(is_six ? PF_INET6 : PF_INET, IPQ_COPY_PACKET, 0);
		for (unsigned i = 0; i < sizeof lengths / sizeof *lengths; i++) {
			bool has_bytes = lengths[i] != 77;

			ipq_send_text(sender, address, "as it was");
			assert_int_equal(ipq_set_verdict(handle, ipq_expect_packet(handle)->packet_id, NF_ACCEPT, lengths[i],
							 has_bytes ? garbage : NULL),
					 40 + (has_bytes ? lengths[i] : 0));
			ipq_expect_text(receiver, "as it was");
		}
		ipq_send_text(sender, address, "gone"); /* a header is a packet: what was behind it is gone */
		packet = ipq_expect_packet(handle);
		assert_int_equal(ipq_set_verdict(handle, packet->packet_id, NF_ACCEPT, header, packet->payload), 40 + header);
		ipq_expect_nothing(receiver);
		ipq_expect_silence(handle);
		assert_int_equal(ipq_stats_of(handle).waiting, 0);
		ipq_destroy_handle(handle);
		tear_down(NULL);
	}
}

/* Longer than a packet can be: it could not be made so large, and was dropped. */
static void endless_rewrites_drop_the_packet(void **state)
{
	static const size_t lengths[] = {65532, 65536, 70000};
	static unsigned char endless[70000];
	struct ipq_handle *handle;

	(void)state;
	set_up(AF_INET);
	handle = ipq_open(PF_INET, IPQ_COPY_PACKET, 0);
	for (unsigned i = 0; i < sizeof lengths / sizeof *lengths; i++) {
		ipq_send_text(sender, VD_NET_FAR_V4, "small");
		assert_int_equal(ipq_set_verdict(handle, ipq_expect_packet(handle)->packet_id, NF_ACCEPT, lengths[i], endless),
				 40 + lengths[i]);
		ipq_expect_silence(handle);
		ipq_expect_nothing(receiver);
		assert_int_equal(ipq_stats_of(handle).waiting, 0);
	}
	ipq_destroy_handle(handle);
}

/* ---- truncation ---- */

static void what_did_not_fit_is_settled(void **state)
{
	static const size_t sizes[] = {20, 50, 111, 112, 139, 600, 1139};
	static const int policies[] = {NF_DROP, NF_ACCEPT};
	static char text[1001];
	struct ipq_handle *handle;
	unsigned cut = 0;

	(void)state;
	set_up(AF_INET);
	memset(text, 'x', 1000);
	handle = ipq_open(PF_INET, IPQ_COPY_PACKET, 0);
	for (unsigned policy = 0; policy < 3; policy++) /* at first, and as it is told to */
		for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
			int is = policy ? policies[policy - 1] : NF_DROP;

			if (policy)
				assert_int_equal(ipq_ctl(handle, IPQ_CTL_SET_TRUNCATED, is), 1);
			ipq_send_text(sender, VD_NET_FAR_V4, text);
			memset(ipq_buffer, 0xee, sizeof ipq_buffer);
			assert_int_equal(ipq_read(handle, ipq_buffer, sizes[i], 0), -1);
			assert_string_equal(ipq_errstr(), "Received message truncated");
			assert_int_equal(ipq_buffer[sizes[i]], 0xee);
			assert_int_equal(ipq_message_type(ipq_buffer), IPQM_PACKET);
			assert_int_equal(ipq_stats_of(handle).truncated, ++cut);
			assert_int_equal(ipq_stats_of(handle).waiting, 0);
			if (is == NF_ACCEPT)
				ipq_expect_text(receiver, text);
			else
				ipq_expect_nothing(receiver);
			ipq_expect_silence(handle);
		}
	ipq_send_text(sender, VD_NET_FAR_V4, "fits");
	assert_int_equal(ipq_read(handle, ipq_buffer, 112 + 32, ipq_wait_us()), 112 + 32);
	ipq_accept(handle, ipq_get_packet(ipq_buffer));
	ipq_expect_text(receiver, "fits");
	ipq_destroy_handle(handle);
}

/* Then the program decides, as the id is in the buffer. */
static void what_did_not_fit_may_wait(void **state)
{
	static char text[1001];
	struct ipq_handle *handle;

	(void)state;
	set_up(AF_INET);
	memset(text, 'y', 1000);
	handle = ipq_open(PF_INET, IPQ_COPY_PACKET, 0);
	assert_int_equal(ipq_ctl(handle, IPQ_CTL_SET_TRUNCATED, -1), 1);
	ipq_send_text(sender, VD_NET_FAR_V4, text);
	assert_int_equal(ipq_read(handle, ipq_buffer, 200, ipq_wait_us()), -1);
	assert_string_equal(ipq_errstr(), "Received message truncated");
	assert_int_equal(ipq_stats_of(handle).waiting, 1);
	assert_int_equal(ipq_stats_of(handle).truncated, 1);
	assert_int_equal(ipq_get_packet(ipq_buffer)->data_len, 1028);
	for (unsigned at = 28; at < 200 - 112; at++)
		assert_int_equal(ipq_get_packet(ipq_buffer)->payload[at], 'y');
	ipq_accept(handle, ipq_get_packet(ipq_buffer));
	ipq_expect_text(receiver, text);
	assert_int_equal(ipq_stats_of(handle).waiting, 0);
	ipq_destroy_handle(handle);
}

/* ---- segments ---- */

static void *transfer(void *argument)
{
	traffic_tcp_transfer(argument);
	return NULL;
}

struct segments {
	unsigned count, longest, wrong;
};

/* Accepts all of it until it is done; what the packets were like. */
static struct segments pass_stream(struct ipq_handle *handle, pthread_t thread)
{
	struct segments seen = {0};

	while (pthread_tryjoin_np(thread, NULL)) {
		ipq_packet_msg_t *packet;
		size_t length;

		if (ipq_read(handle, ipq_buffer, sizeof ipq_buffer, 20000) <= 0)
			continue;
		assert_int_equal(ipq_message_type(ipq_buffer), IPQM_PACKET);
		packet = ipq_get_packet(ipq_buffer);
		length = packet->data_len - 20;
		seen.count++;
		if (packet->data_len > seen.longest)
			seen.longest = (unsigned)packet->data_len;
		if (fold(sum_up(sum_up((uint32_t)(IPPROTO_TCP + length), packet->payload + 12, 8), packet->payload + 20, length)))
			seen.wrong++;
		ipq_accept(handle, packet);
	}
	return seen;
}

static void streams_come_in_segments(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 3; round++) { /* as it is at first, on, and off again */
		bool is_gso = round == 1;
		struct traffic_tcp tcp = {.address = VD_NET_FAR_V4, .port = 7001, .upload = 4 << 20, .timeout_ms = 10000};
		struct ipq_handle *handle;
		struct segments seen;
		pthread_t thread;

		set_up(AF_INET);
		vd_net_set_offload(VD_NET_NEAR_DEVICE, true);
		vd_net_command("iptables-legacy -A OUTPUT -p tcp -j QUEUE");
		handle = ipq_open(PF_INET, IPQ_COPY_PACKET, 0);
		if (round > 0)
			assert_int_equal(ipq_ctl(handle, IPQ_CTL_SET_GSO, 1), 1);
		if (round > 1)
			assert_int_equal(ipq_ctl(handle, IPQ_CTL_SET_GSO, 0), 1);
		tcp.client = net.near;
		tcp.server = net.far;
		assert_int_equal(pthread_create(&thread, NULL, transfer, &tcp), 0);
		seen = pass_stream(handle, thread);
		print_message("  %u packets, the longest of %u bytes, %u checksums not complete\n", seen.count, seen.longest, seen.wrong);
		assert_string_equal(tcp.failure, "");
		assert_int_equal(tcp.uploaded, tcp.upload);
		if (is_gso) {
			assert_true(seen.longest > 1500);
		} else {
			assert_in_range(seen.longest, 1000, 1500);
			assert_int_equal(seen.wrong, 0);
		}
		assert_int_equal(ipq_stats_of(handle).lost_buffer, 0);
		ipq_destroy_handle(handle);
		tear_down(NULL);
	}
}

int main(void)
{
#define TEST(function) cmocka_unit_test_teardown(function, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(tells_of_a_packet_that_goes_out),
		TEST(tells_of_a_packet_that_comes_in),
		TEST(tells_of_a_packet_that_goes_through),
		TEST(drops),
		TEST(queues_again),
		TEST(repeats_and_marks),
		TEST(rewrites_shorter_and_longer),
		TEST(small_rewrites_are_ignored),
		TEST(endless_rewrites_drop_the_packet),
		TEST(what_did_not_fit_is_settled),
		TEST(what_did_not_fit_may_wait),
		TEST(streams_come_in_segments),
	};

	return cmocka_run_group_tests_name("ipq_verdict", tests, NULL, NULL);
}
