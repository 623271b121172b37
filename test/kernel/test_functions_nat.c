/* SPDX-License-Identifier: MIT */
/*
 * The stock function nat on real traffic, with the rules that its manual gives. near is outside and knows far, which is inside,
 * by another address; the router between them translates.
 *
 *	near 10.9.0.1 ───────── left0  router  right0 ───────── far 10.9.0.2, outside 203.0.113.2 and others
 *
 * Sockets that are connected hear only the one whom they have asked, so an answer that arrives has the right source. An ICMP error
 * that reaches its socket has quoted what that socket sent.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "test/support/engine_host.h"
#include "test/support/net.h"
#include "test/support/sums.h"
#include "test/support/sniffer.h"
#include "test/support/traffic.h"

#define QUEUE 6
#define PORT 7000
#define OUTSIDE_PORT 8080
#define CLOSED_PORT 7999
#define STREAM ((8u << 20) / traffic_patience())
#define TRANSFER_MS 8000

static struct vd_net net;
static uint8_t packet[70000];

/* ---- the scene ---- */

/* What near calls far, by family. */
struct outside {
	const char *mappings;
	const char *addresses[2];
	const char *networks[2]; /* what the rules say */
};

static const struct outside PREFIXES = {
	"203.0.113.2/31=10.9.0.2/31,2001:db8:1::2/127=fd00:9::2/127", {"203.0.113.2", "2001:db8:1::2"},
	{"203.0.113.0/24", "2001:db8:1::/64"}};

/* 0a08 + 0003 is 0a09 + 0002, and 2001 + 0db8 + cf50 is fd00 + 0009: the same sums on both sides */
static const struct outside NEUTRAL = {
	"10.8.0.3=10.9.0.2,2001:db8:cf50::2=fd00:9::2", {"10.8.0.3", "2001:db8:cf50::2"}, {"10.8.0.3", "2001:db8:cf50::/64"}};

static const struct outside PORTS = {
	"203.0.113.7:8080=10.9.0.2:7000,[2001:db8:1::7]:8080=[fd00:9::2]:7000,"
	"udp/203.0.113.7:8081=10.9.0.2:7999,udp/[2001:db8:1::7]:8081=[fd00:9::2]:7999",
	{"203.0.113.7", "2001:db8:1::7"}, {"203.0.113.7", "2001:db8:1::7"}};

static unsigned index_of(const struct vd_net_family *family)
{
	return family->version == 6;
}

static const char *address_of(const struct outside *outside, const struct vd_net_family *family)
{
	return outside->addresses[index_of(family)];
}

/* The rules of the manual: left0 is the way out. */
static void set_rules(const struct outside *outside)
{
	vd_net_command("set -e; set -- iptables-legacy -t mangle -A; out=%1$s; queue='-j NFQUEUE --queue-num %2$d';"
		       "$@ PREROUTING -d %3$s $queue; $@ POSTROUTING -o $out -s %4$s $queue;"
		       "for type in 3 11 12; do $@ POSTROUTING -o $out -p icmp --icmp-type $type $queue; done;"
		       "set -- ip6tables-legacy -t mangle -A;"
		       "$@ PREROUTING -d %5$s $queue; $@ POSTROUTING -o $out -s %6$s $queue;"
		       "for type in 1 2 3 4; do $@ POSTROUTING -o $out -p icmpv6 --icmpv6-type $type $queue; done",
		       VD_NET_LEFT_DEVICE, QUEUE, outside->networks[0], VD_NET_FAR_V4, outside->networks[1], VD_NET_FAR_V6);
}

/* Its kernel verifies every checksum, and says every error. */
static void set_up_end(void (*enter)(const struct vd_net *), const char *device)
{
	enter(&net);
	vd_net_trust_checksums(device, false);
	vd_net_command("echo 0 > /proc/sys/net/ipv4/icmp_ratelimit; echo 0 > /proc/sys/net/ipv6/icmp/ratelimit");
}

/* Ends in the router, which has no rules. */
static void set_up_ends(void)
{
	vd_net_setup_router(&net);
	set_up_end(vd_net_enter_far, VD_NET_FAR_DEVICE);
	set_up_end(vd_net_enter_near, VD_NET_NEAR_DEVICE);
	vd_net_command("ip route add 203.0.113.0/24 via %1$s; ip route add 10.8.0.0/24 via %1$s;"
		       "ip -6 route add 2001:db8::/32 via %2$s",
		       VD_NET_FAR_V4, VD_NET_FAR_V6); /* the next hop is the router, whoever it says it is */
	vd_net_enter_router(&net);
	vd_net_command("echo 0 > /proc/sys/net/ipv4/icmp_ratelimit; echo 0 > /proc/sys/net/ipv6/icmp/ratelimit");
}

static void set_up(const struct outside *outside)
{
	set_up_ends();
	set_rules(outside);
}

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

static int tear_down(void **state)
{
	engine_host_destroy_all();
	return vd_net_teardown_any(state);
}

static struct engine_host *start(const struct outside *outside)
{
	struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;
	struct engine_host *host;
	char function[512];

	snprintf(function, sizeof function, "nat:%s", outside->mappings);
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
	assert_int_equal(traffic_checksum_errors(net.router), 0);
}

#define FOR_BOTH_OFFLOADS(on) for (unsigned on = 0; on < 2; on++)

/* ---- traffic ---- */

static void connect_to(int socket, const char *address, uint16_t port)
{
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};

	if (strchr(address, ':')) {
		assert_int_equal(inet_pton(AF_INET6, address, &v6.sin6_addr), 1);
		assert_int_equal(connect(socket, (const struct sockaddr *)&v6, sizeof v6), 0);
	} else {
		assert_int_equal(inet_pton(AF_INET, address, &v4.sin_addr), 1);
		assert_int_equal(connect(socket, (const struct sockaddr *)&v4, sizeof v4), 0);
	}
}

static void transfer(const char *address, uint16_t port, uint64_t upload, uint64_t download)
{
	struct traffic_tcp tcp = {.client = net.near, .server = net.far, .address = address, .port = port, .server_port = PORT,
				  .upload = upload, .download = download, .timeout_ms = TRANSFER_MS};

	if (!traffic_tcp_transfer(&tcp))
		fail_msg("%s: %s", address, tcp.failure);
}

/* From near to the outside address and back, of odd and even lengths up to that. */
static void exchange_datagrams(const struct vd_net_family *family, const char *address, uint16_t port, size_t longest)
{
	int near = traffic_udp_open_at(net.near, family->near, PORT), far = traffic_udp_open(net.far, family->family, PORT);
	static uint8_t data[8000];

	connect_to(near, address, port);
	for (unsigned i = 0; i < 10; i++) {
		size_t length = i < 3 ? i : longest - i;

		traffic_fill(data, sizeof data, i);
		assert_int_equal(send(near, data, length, 0), length);
		assert_true(traffic_receive_this(far, data, length));
		traffic_fill(data, sizeof data, i + 100);
		assert_int_equal(traffic_send(far, family->near, PORT, data, length), 0);
		assert_true(traffic_receive_this(near, data, length));
	}
	close(near);
	close(far);
}

static void ping(const struct vd_net_family *family, const char *address)
{
	bool is_ipv4 = family->version == 4;
	int socket = traffic_raw_open(net.near, family->family, is_ipv4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
	uint8_t echo[] = "\10\0\0\0\0\1\0\1 odd or even";
	uint32_t skip = is_ipv4 ? 20 : 0;
	uint16_t sum;

	connect_to(socket, address, 0);
	for (unsigned odd = 0; odd < 2; odd++) {
		echo[0] = is_ipv4 ? 8 : 128;
		echo[2] = echo[3] = 0;
		echo[7] = (uint8_t)odd;
		sum = (uint16_t)~sums_add(0, echo, sizeof echo - odd);
		if (is_ipv4) { /* of ICMPv6 the kernel makes it */
			echo[2] = (uint8_t)(sum >> 8);
			echo[3] = (uint8_t)sum;
		}
		assert_int_equal(send(socket, echo, sizeof echo - odd, 0), sizeof echo - odd);
		do
			assert_true(traffic_receive(socket, packet, sizeof packet, 3000 * traffic_patience()) > 0);
		while (packet[skip] != (is_ipv4 ? 0 : 129));
		assert_memory_equal(packet + skip + 4, echo + 4, sizeof echo - 4 - odd);
	}
	close(socket);
}

/* ---- ICMP errors ---- */

static bool is_refused(void *argument)
{
	int error = 0;
	socklen_t size = sizeof error;

	return !getsockopt(*(int *)argument, SOL_SOCKET, SO_ERROR, &error, &size) && error == ECONNREFUSED;
}

/* A datagram to where nobody listens: its sender is told, by an error whose checksums and quoted checksums are all right. */
static void expect_unreachable(const struct vd_net_family *family, int from, const char *device, const char *own, const char *address,
			       uint16_t port)
{
	int socket = traffic_udp_open_at(from, own, PORT), tap = sniffer_open(from, device);
	ssize_t length;
	const char *fault;

	connect_to(socket, address, port);
	assert_int_equal(send(socket, "anybody?", 8, 0), 8);
	assert_true(traffic_wait_until(is_refused, &socket, 3000));
	do /* neighbours talk ICMPv6, too */
		length = sniffer_receive(tap, family->version == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6, packet, sizeof packet);
	while (length > 0 && packet[family->header] != (family->version == 4 ? 3 : 1));
	assert_int_equal(length, 2 * family->header + 8 + 8 + 8);
	fault = sums_fault(packet, (uint32_t)length);
	if (fault)
		fail_msg("%s", fault);
	fault = sums_fault(packet + family->header + 8, family->header + 8 + 8);
	if (fault)
		fail_msg("quoted: %s", fault);
	close(tap);
	close(socket);
}

/* The kernel of the calling thread has found this MTU on the way to there. */
static void expect_mtu(const struct vd_net_family *family, const char *address, unsigned mtu)
{
	char text[512], wanted[32];

	vd_net_read_command(text, sizeof text, "ip -%u route get %s", family->version, address);
	snprintf(wanted, sizeof wanted, "mtu %u", mtu);
	if (!strstr(text, wanted))
		fail_msg("no %s: %s", wanted, text);
}

/* ---- addresses ---- */

static void expect_all_through(const struct outside *outside)
{
	set_up(outside);
	FOR_BOTH_OFFLOADS(on) {
		set_offloads(on);
		VD_NET_EACH_FAMILY(family) {
			struct engine_host *host = start(outside);
			const char *address = address_of(outside, family);

			transfer(address, PORT, STREAM, STREAM);
			exchange_datagrams(family, address, PORT, 1400);
			ping(family, address);
			expect_unreachable(family, net.near, VD_NET_NEAR_DEVICE, family->near, address, CLOSED_PORT);
			expect_unreachable(family, net.far, VD_NET_FAR_DEVICE, family->far, family->near, CLOSED_PORT);
			assert_int_equal(engine_host_counter(host, "nat", "errors"), 2);
			assert_int_equal(engine_host_counter(host, "nat", "fragments"), 0);
			finish(host);
		}
	}
}

static void prefixes_both_ways(void **state)
{
	(void)state;
	expect_all_through(&PREFIXES);
}

static void neutral_addresses_both_ways(void **state)
{
	(void)state;
	expect_all_through(&NEUTRAL);
}

/* Datagrams that do not fit into a packet; checksums of the whole, which only the first fragment has. */
static void fragments_get_the_address(void **state)
{
	(void)state;
	set_up(&PREFIXES);
	FOR_BOTH_OFFLOADS(on) {
		set_offloads(on);
		VD_NET_EACH_FAMILY(family) {
			struct engine_host *host = start(&PREFIXES);

			exchange_datagrams(family, address_of(&PREFIXES, family), PORT, 4000); /* 3 of 10, and 7 in 3 fragments */
			assert_int_equal(engine_host_counter(host, "nat", "destinations"), 3 + 7 * 3);
			assert_int_equal(engine_host_counter(host, "nat", "sources"), 3 + 7 * 3);
			assert_int_equal(engine_host_counter(host, "nat", "fragments"), 0);
			finish(host);
		}
	}
}

/* ---- ports, and the router's own address ---- */

static void add_own_addresses(void)
{
	vd_net_command("ip addr add 203.0.113.7/32 dev %1$s; ip -6 addr add 2001:db8:1::7/128 dev %1$s nodad", VD_NET_LEFT_DEVICE);
}

static void ports_of_the_routers_own_address(void **state)
{
	(void)state;
	set_up(&PORTS);
	add_own_addresses();
	FOR_BOTH_OFFLOADS(on) {
		set_offloads(on);
		VD_NET_EACH_FAMILY(family) {
			struct engine_host *host = start(&PORTS);
			const char *address = address_of(&PORTS, family);

			transfer(address, OUTSIDE_PORT, STREAM, STREAM);
			exchange_datagrams(family, address, OUTSIDE_PORT, 1400);
			/* who listens at 8081, inside at 7999? far says nobody, and near is told of 8081 */
			expect_unreachable(family, net.near, VD_NET_NEAR_DEVICE, family->near, address, 8081);
			expect_unreachable(family, net.far, VD_NET_FAR_DEVICE, family->far, family->near, CLOSED_PORT);
			assert_int_equal(engine_host_counter(host, "nat", "errors"), 2);
			/* what is not translated is the router's own */
			ping(family, address);
			if (!on) /* or it quotes a checksum that nobody has made */
				expect_unreachable(family, net.near, VD_NET_NEAR_DEVICE, family->near, address, 9);
			assert_int_equal(engine_host_counter(host, "nat", "errors"), 2);
			finish(host);
		}
	}
}

static void fragments_do_not_go_through_ports(void **state)
{
	(void)state;
	set_up(&PORTS);
	add_own_addresses();
	VD_NET_EACH_FAMILY(family) {
		struct engine_host *host = start(&PORTS);
		int near = traffic_udp_open_at(net.near, family->near, PORT), far = traffic_udp_open(net.far, family->family, PORT);
		uint8_t data[4000];

		traffic_fill(data, sizeof data, 1);
		assert_int_equal(traffic_send(near, address_of(&PORTS, family), OUTSIDE_PORT, data, sizeof data), 0);
		assert_int_equal(traffic_send(far, family->near, PORT, data, sizeof data), 0);
		engine_host_settle(host, QUEUE, 6);
		assert_int_equal(engine_host_counter(host, "nat", "fragments"), 6);
		assert_int_equal(traffic_receive(near, packet, sizeof packet, 50), -ETIMEDOUT);
		assert_int_equal(traffic_receive(far, packet, sizeof packet, 50), -ETIMEDOUT);
		close(near);
		close(far);
		finish(host);
	}
}

static const struct outside ONE_PORT = {
	"tcp/203.0.113.7:8080=10.9.0.2:7000,tcp/[2001:db8:1::7]:8080=[fd00:9::2]:7000", {"203.0.113.7", "2001:db8:1::7"},
	{NULL, NULL}};

/* The manual's rules for one port. */
static void set_rules_for_one_port(void)
{
	VD_NET_EACH_FAMILY(family) {
		bool is_ipv4 = family->version == 4;

		vd_net_command("set -e; set -- %1$s -t mangle -A; out=%2$s; queue='-j NFQUEUE --queue-num %3$d';"
			       "$@ PREROUTING -p tcp -d %4$s --dport %5$d $queue;"
			       "$@ POSTROUTING -o $out -p tcp -s %6$s --sport %7$d $queue;"
			       "for type in %8$s; do $@ PREROUTING -d %4$s -p %9$s $type $queue;"
			       "$@ POSTROUTING -o $out -p %9$s $type $queue; done",
			       family->iptables, VD_NET_LEFT_DEVICE, QUEUE, address_of(&ONE_PORT, family), OUTSIDE_PORT, family->far,
			       PORT, is_ipv4 ? "3 11 12" : "1 2 3 4", is_ipv4 ? "icmp --icmp-type" : "icmpv6 --icmpv6-type");
	}
}

/* near refuses a connection with an ICMP error, in the midst of it: far's kernel is told of far's own address and port. */
static void expect_told_inside(const struct vd_net_family *family)
{
	bool is_ipv4 = family->version == 4;
	int tap = sniffer_open(net.far, VD_NET_FAR_DEVICE);
	struct traffic_tcp tcp = {.client = net.near, .server = net.far, .address = address_of(&ONE_PORT, family), .port = OUTSIDE_PORT,
				  .server_port = PORT, .upload = 1, .timeout_ms = 200 / (int)traffic_patience()};
	const uint8_t *quoted = packet + family->header + 8, *ports = quoted + family->header;
	uint8_t far[16];
	ssize_t length;

	vd_net_enter_near(&net);
	vd_net_command("%s -A INPUT -p tcp -j REJECT --reject-with %s", family->iptables,
		       is_ipv4 ? "icmp-admin-prohibited" : "icmp6-adm-prohibited");
	vd_net_enter_router(&net);
	assert_false(traffic_tcp_transfer(&tcp));
	do
		length = sniffer_receive(tap, is_ipv4 ? IPPROTO_ICMP : IPPROTO_ICMPV6, packet, sizeof packet);
	while (length > 0 && packet[family->header] != (is_ipv4 ? 3 : 1));
	assert_true(length > 0);
	assert_null(sums_fault(packet, (uint32_t)length));
	assert_int_equal(inet_pton(family->family, family->far, far), 1);
	assert_memory_equal(packet + (is_ipv4 ? 16 : 24), far, is_ipv4 ? 4 : 16);
	assert_memory_equal(quoted + (is_ipv4 ? 12 : 8), far, is_ipv4 ? 4 : 16);
	assert_int_equal(ports[0] << 8 | ports[1], PORT);
	close(tap);
}

static void one_port_by_rules_of_its_own(void **state)
{
	(void)state;
	set_up_ends();
	set_rules_for_one_port();
	add_own_addresses();
	VD_NET_EACH_FAMILY(family) {
		struct engine_host *host = start(&ONE_PORT);
		const char *address = address_of(&ONE_PORT, family);

		transfer(address, OUTSIDE_PORT, STREAM, STREAM);
		/* far does not know of it, and what it sends is lost there if it is long: so it sends nothing long */
		vd_net_command("ip link set %s mtu 1300", VD_NET_RIGHT_DEVICE);
		transfer(address, OUTSIDE_PORT, STREAM, 1);
		vd_net_enter_near(&net);
		expect_mtu(family, address, 1300);
		vd_net_enter_router(&net);
		expect_told_inside(family);
		ping(family, address);
		vd_net_command("ip link set %s mtu 1500", VD_NET_RIGHT_DEVICE);
		finish(host);
	}
}

/* ---- path MTU discovery ---- */

/* Behind the translation, the way is narrower: near is told by the router, in words about the address that it knows. */
static void path_mtus_are_found_from_outside(void **state)
{
	(void)state;
	set_up(&PREFIXES);
	vd_net_command("ip link set %s mtu 1300", VD_NET_RIGHT_DEVICE);
	VD_NET_EACH_FAMILY(family) {
		struct engine_host *host = start(&PREFIXES);
		const char *address = address_of(&PREFIXES, family);

		transfer(address, PORT, 1 << 20, 1);
		assert_in_range(engine_host_counter(host, "nat", "errors"), 1, UINT64_MAX);
		vd_net_enter_near(&net);
		expect_mtu(family, address, 1300);
		vd_net_enter_router(&net);
		finish(host);
	}
}

/* On the way out, the router says so before it translates. */
static void path_mtus_are_found_from_inside(void **state)
{
	(void)state;
	set_up(&PREFIXES);
	vd_net_command("ip link set %s mtu 1300", VD_NET_LEFT_DEVICE);
	VD_NET_EACH_FAMILY(family) {
		struct engine_host *host = start(&PREFIXES);

		transfer(address_of(&PREFIXES, family), PORT, 1, 1 << 20);
		vd_net_enter_far(&net);
		expect_mtu(family, family->near, 1300);
		vd_net_enter_router(&net);
		finish(host);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(prefixes_both_ways, tear_down),
		cmocka_unit_test_teardown(neutral_addresses_both_ways, tear_down),
		cmocka_unit_test_teardown(fragments_get_the_address, tear_down),
		cmocka_unit_test_teardown(ports_of_the_routers_own_address, tear_down),
		cmocka_unit_test_teardown(fragments_do_not_go_through_ports, tear_down),
		cmocka_unit_test_teardown(one_port_by_rules_of_its_own, tear_down),
		cmocka_unit_test_teardown(path_mtus_are_found_from_outside, tear_down),
		cmocka_unit_test_teardown(path_mtus_are_found_from_inside, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
