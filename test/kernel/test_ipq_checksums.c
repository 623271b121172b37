/* SPDX-License-Identifier: MIT */
/*
 * IPQ_CTL_SET_CHECKSUMS on real queues: a program changes bytes and leaves the checksums as they are. Without it the far side
 * counts wrong ones and takes nothing; with it, everything arrives as the program wanted it.
 */
#include "test/support/ipq_kernel.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <poll.h>

#define TCP_PORT 7001
#define TTL_WANTED 33

static struct vd_net net;
static int opened[4];

static int tear_down(void **state)
{
	for (unsigned i = 0; i < sizeof opened / sizeof *opened; i++) {
		if (opened[i] > 0)
			close(opened[i]);
		opened[i] = 0;
	}
	return vd_net_teardown_any(state);
}

/* Closed at the end of the test. */
static int keep(int descriptor)
{
	unsigned i = 0;

	assert_true(descriptor > 0);
	while (opened[i])
		i++;
	opened[i] = descriptor;
	return descriptor;
}

static void set_up(bool has_offloads)
{
	unsetenv("LIBIPQ_QUEUE");
	unsetenv("LIBIPQ_QUEUE6");
	vd_net_setup(&net);
	vd_net_set_offload(VD_NET_NEAR_DEVICE, has_offloads);
}

static size_t header_of(const ipq_packet_msg_t *packet)
{
	return packet->payload[0] >> 4 == 6 ? 40 : (packet->payload[0] & 15u) * 4;
}

/* All letters behind the transport header in capitals. */
static void shout(ipq_packet_msg_t *packet)
{
	size_t at = header_of(packet), header = at;

	at += packet->payload[header == 40 ? 6 : 9] == IPPROTO_TCP ? (packet->payload[at + 12] >> 4) * 4u : 8;
	for (; at < packet->data_len; at++)
		packet->payload[at] = (unsigned char)toupper(packet->payload[at]);
}

/* Sends the packet back as it lies in the buffer, which stays as it is. */
static void send_back(struct ipq_handle *handle, ipq_packet_msg_t *packet)
{
	static unsigned char copy[65536];

	memcpy(copy, packet->payload, packet->data_len);
	assert_int_equal(ipq_set_verdict(handle, packet->packet_id, NF_ACCEPT, packet->data_len, packet->payload),
			 40 + packet->data_len);
	assert_memory_equal(copy, packet->payload, packet->data_len);
}

static void fill_text(char *text, size_t length, bool is_loud)
{
	for (size_t at = 0; at < length; at++)
		text[at] = (char)((is_loud ? 'A' : 'a') + (at * 7 + length) % 26);
	text[length] = '\0';
}

/* ---- UDP ---- */

static uint64_t udp_wrong(int family)
{
	return family == AF_INET6 ? traffic_snmp(net.far, NULL, "Udp6InCsumErrors") : traffic_snmp(net.far, "Udp", "InCsumErrors");
}

static void datagrams(const struct vd_net_family *family, bool has_offloads)
{
	static const size_t lengths[] = {1, 2, 3, 7, 8, 63, 64, 65, 1000, 1001, 1399, 4001, 60000};
	static char quiet[60001], loud[60001];
	const unsigned count = sizeof lengths / sizeof *lengths;
	struct ipq_handle *handle;
	int sender, receiver;

	set_up(has_offloads);
	ipq_queue_output("QUEUE");
	sender = keep(traffic_udp_open(net.near, family->family, 0));
	receiver = keep(traffic_udp_open(net.far, family->family, IPQ_PORT));
	handle = ipq_open((uint32_t)family->family, IPQ_COPY_PACKET, 0);
	for (unsigned round = 0; round < 3; round++) { /* off at first, on, off again */
		bool is_on = round == 1;

		if (round)
			assert_int_equal(ipq_ctl(handle, IPQ_CTL_SET_CHECKSUMS, is_on), 1);
		for (unsigned i = 0; i < count; i++) {
			ipq_packet_msg_t *packet;

			fill_text(quiet, lengths[i], false);
			fill_text(loud, lengths[i], true);
			ipq_send_text(sender, family->far, quiet);
			packet = ipq_expect_packet(handle);
			shout(packet);
			send_back(handle, packet);
			if (is_on)
				ipq_expect_text(receiver, loud);
		}
		if (!is_on)
			ipq_expect_nothing(receiver);
		assert_int_equal(udp_wrong(family->family), round < 2 ? count : 2 * count);
	}
	ipq_expect_silence(handle);
	ipq_destroy_handle(handle);
}

static void datagrams_arrive_changed(void **state)
{
	(void)state;
	for (unsigned has_offloads = 0; has_offloads < 2; has_offloads++)
		VD_NET_EACH_FAMILY(family) {
			datagrams(family, has_offloads);
			tear_down(NULL);
		}
}

/* The IPv4 header has one of its own. */
static void headers_arrive_changed(void **state)
{
	struct ipq_handle *handle;
	int sender, receiver;

	(void)state;
	set_up(true);
	ipq_queue_output("QUEUE");
	sender = keep(traffic_udp_open(net.near, AF_INET, 0));
	receiver = keep(traffic_udp_open(net.far, AF_INET, IPQ_PORT));
	vd_net_enter_far(&net);
	vd_net_command("iptables-legacy -A INPUT -m ttl --ttl-eq %d -m comment --comment wanted", TTL_WANTED);
	vd_net_enter_near(&net);
	handle = ipq_open(PF_INET, IPQ_COPY_PACKET, 0);
	for (unsigned is_on = 0; is_on < 2; is_on++) {
		ipq_packet_msg_t *packet;

		assert_int_equal(ipq_ctl(handle, IPQ_CTL_SET_CHECKSUMS, is_on), 1);
		ipq_send_text(sender, VD_NET_FAR_V4, "header");
		packet = ipq_expect_packet(handle);
		packet->payload[8] = TTL_WANTED;
		send_back(handle, packet);
		if (is_on)
			ipq_expect_text(receiver, "header");
		else
			ipq_expect_nothing(receiver);
		assert_int_equal(traffic_snmp(net.far, "Ip", "InHdrErrors"), 1);
		assert_int_equal(traffic_rule_packets(net.far, "iptables-legacy", "filter", "wanted"), is_on);
	}
	ipq_destroy_handle(handle);
}

/* ---- TCP ---- */

struct connection {
	int near, far;
};

static socklen_t address_of(struct sockaddr_storage *storage, const struct vd_net_family *family)
{
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)storage;
	struct sockaddr_in *four = (struct sockaddr_in *)storage;

	memset(storage, 0, sizeof *storage);
	storage->ss_family = (sa_family_t)family->family;
	if (family->family == AF_INET6) {
		six->sin6_port = htons(TCP_PORT);
		assert_int_equal(inet_pton(AF_INET6, family->far, &six->sin6_addr), 1);
		return sizeof *six;
	}
	four->sin_port = htons(TCP_PORT);
	assert_int_equal(inet_pton(AF_INET, family->far, &four->sin_addr), 1);
	return sizeof *four;
}

static struct connection connect_through(const struct vd_net_family *family)
{
	struct sockaddr_storage address;
	socklen_t length = address_of(&address, family);
	struct connection connection;
	int listener;

	vd_net_enter_far(&net);
	listener = keep(socket(family->family, SOCK_STREAM, 0));
	assert_int_equal(bind(listener, (struct sockaddr *)&address, length), 0);
	assert_int_equal(listen(listener, 1), 0);
	vd_net_enter_near(&net);
	connection.near = keep(socket(family->family, SOCK_STREAM, 0));
	assert_int_equal(connect(connection.near, (struct sockaddr *)&address, length), 0);
	connection.far = keep(accept(listener, NULL, NULL));
	return connection;
}

/* Rewrites what comes, and puts what arrives into `got`, until `want` bytes have or nothing came for wait_ms. */
static size_t pump(struct ipq_handle *handle, int receiver, char *got, size_t want, int wait_ms, size_t *longest)
{
	struct pollfd descriptors[2] = {{.fd = handle->fd, .events = POLLIN}, {.fd = receiver, .events = POLLIN}};
	size_t length = 0;

	while (length < want && poll(descriptors, 2, wait_ms) > 0) {
		if (descriptors[0].revents) {
			ipq_packet_msg_t *packet = ipq_expect_packet(handle);

			if (packet->data_len > *longest)
				*longest = packet->data_len;
			shout(packet);
			send_back(handle, packet);
		}
		if (descriptors[1].revents) {
			ssize_t part = recv(receiver, got + length, want - length, 0);

			assert_true(part > 0);
			length += (size_t)part;
		}
	}
	return length;
}

static void stream(const struct vd_net_family *family, bool has_offloads, bool is_gso)
{
	static char quiet[50002], loud[50002], got[50002];
	const size_t length = sizeof quiet - 1;
	struct connection connection;
	struct ipq_handle *handle;
	size_t longest = 0;
	uint64_t wrong;

	set_up(has_offloads);
	connection = connect_through(family);
	vd_net_command("%s -A OUTPUT -p tcp --dport %d -j QUEUE", family->iptables, TCP_PORT);
	handle = ipq_open((uint32_t)family->family, IPQ_COPY_PACKET, 0);
	assert_int_equal(ipq_ctl(handle, IPQ_CTL_SET_GSO, is_gso), 1);
	fill_text(quiet, length, false);
	fill_text(loud, length, true);
	assert_int_equal(send(connection.near, quiet, length, MSG_DONTWAIT), length);

	/* a large packet gets its checksums when the kernel cuts it up */
	if (!is_gso) {
		assert_int_equal(pump(handle, connection.far, got, length, 100, &longest), 0);
		assert_true(traffic_snmp(net.far, "Tcp", "InCsumErrors") > 0);
	}
	assert_int_equal(ipq_ctl(handle, IPQ_CTL_SET_CHECKSUMS, 1), 1);
	wrong = traffic_snmp(net.far, "Tcp", "InCsumErrors");
	assert_int_equal(pump(handle, connection.far, got, length, 3000 * (int)traffic_patience(), &longest), length);
	assert_memory_equal(got, loud, length);
	assert_int_equal(traffic_snmp(net.far, "Tcp", "InCsumErrors"), wrong);
	if (is_gso)
		assert_true(longest > 1500);
	else
		assert_in_range(longest, 1000, 1500);
	ipq_destroy_handle(handle);
}

static void streams_arrive_changed(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3; i++)
		VD_NET_EACH_FAMILY(family) {
			stream(family, i > 0, i > 1);
			tear_down(NULL);
		}
}

int main(void)
{
#define TEST(function) cmocka_unit_test_teardown(function, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(datagrams_arrive_changed),
		TEST(headers_arrive_changed),
		TEST(streams_arrive_changed),
	};

	return cmocka_run_group_tests_name("ipq_checksums", tests, NULL, NULL);
}
