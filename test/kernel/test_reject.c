/* SPDX-License-Identifier: MIT */
/*
 * Rejected packets on real queues, seen from the other side: what the sender is told, by whom, how often, and when it must
 * not be told anything.
 *
 * near sends to far through a router. Its packets are queued in one of three places: near's OUTPUT, the router's FORWARD, or
 * far's INPUT. near's stack verifies every checksum itself.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include <linux/errqueue.h>

#include "test/support/scene.h"

#define PORT SCENE_PORT
#define TCP_PORT 7100
#define TOLD_MS 3000u

#define ROUTER_V4 "10.9.0.254"
#define ROUTER_V6 "fd00:9::fe"

static struct vd_net net;

enum place {
	OUTPUT,
	FORWARD,
	INPUT,
};
#define EACH_PLACE(place) for (enum place place = OUTPUT; place <= INPUT; place++)

static const char *const CHAINS[] = {"OUTPUT", "FORWARD", "INPUT"};

static void enter(enum place place)
{
	if (place == OUTPUT)
		vd_net_enter_near(&net);
	else if (place == FORWARD)
		vd_net_enter_router(&net);
	else
		vd_net_enter_far(&net);
}

/* The caller is then where the queue is. */
static void set_up(enum place place, const char *match)
{
	vd_net_setup_router(&net);
	vd_net_enter_near(&net);
	vd_net_trust_checksums(VD_NET_NEAR_DEVICE, false);
	enter(place);
	VD_NET_EACH_FAMILY(family)
		vd_net_command("%s -A %s %s -j NFQUEUE --queue-num %d", family->iptables, CHAINS[place], match, SCENE_QUEUE);
}

#define UNREACHABLE(family) ((family)->version == 4 ? "icmp --icmp-type 3" : "icmpv6 --icmpv6-type 1")

/* near and far on one wire, queued in far: for what no router passes on. In INPUT, IPv4 fragments have become whole. */
static void set_up_wire(const char *chain)
{
	vd_net_setup(&net);
	vd_net_enter_near(&net);
	vd_net_trust_checksums(VD_NET_NEAR_DEVICE, false);
	VD_NET_EACH_FAMILY(family)
		vd_net_command("for match in tcp '%2$s'; do"
			       " %1$s -t mangle -A PREROUTING -i %3$s -p $match -m comment --comment told; done",
			       family->iptables, UNREACHABLE(family), VD_NET_NEAR_DEVICE);
	vd_net_enter_far(&net);
	VD_NET_EACH_FAMILY(family)
		vd_net_command("for match in tcp udp '%2$s'; do"
			       " %1$s -t mangle -A %3$s -p $match -j NFQUEUE --queue-num %4$d; done",
			       family->iptables, UNREACHABLE(family), chain, SCENE_QUEUE);
}

static int tear_down(void **state)
{
	engine_host_destroy_all();
	return vd_net_teardown_any(state);
}

/* Nothing that came to near was damaged. */
static void expect_right_checksums(void)
{
	assert_int_equal(traffic_snmp(net.near, "Tcp", "InCsumErrors"), 0);
	assert_int_equal(traffic_snmp(net.near, "Tcp", "InErrs"), 0);
	assert_int_equal(traffic_snmp(net.near, "Icmp", "InCsumErrors"), 0);
	assert_int_equal(traffic_snmp(net.near, "Icmp", "InErrors"), 0);
	assert_int_equal(traffic_snmp(net.near, NULL, "Icmp6InErrors"), 0);
}

/* Stops it; how many packets were rejected, and that each of them is in one account of answers. */
static struct vd_queue_stats finish(struct engine_host *host, uint64_t received)
{
	struct vd_queue_stats stats;

	engine_host_settle(host, SCENE_QUEUE, received);
	engine_host_stop(host);
	stats = engine_host_stats(host, SCENE_QUEUE);
	assert_int_equal(stats.answered + stats.answers_limited + stats.answers_none + stats.answers_failed,
			 stats.verdicts[VD_REJECT]);
	engine_host_destroy(host);
	expect_right_checksums();
	return stats;
}

static struct engine_host *start(const char *function)
{
	return scene_start(&(struct vd_engine_options)VD_ENGINE_OPTIONS_INIT, function);
}

/* ---- what near is told ---- */

static void open_here(void *argument)
{
	int *socket_and_how = argument;

	socket_and_how[2] = socket(socket_and_how[0], socket_and_how[1] | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_true(socket_and_how[2] >= 0);
}

static int open_near(int family, int type)
{
	int request[3] = {family, type, -1};

	traffic_do_in(net.near, open_here, request);
	return request[2];
}

static int connect_to(int socket, const char *address, uint16_t port)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

	if (inet_pton(AF_INET, address, &v4.sin_addr) == 1)
		return connect(socket, (struct sockaddr *)&v4, sizeof v4) ? errno : 0;
	assert_int_equal(inet_pton(AF_INET6, address, &v6.sin6_addr), 1);
	if (IN6_IS_ADDR_LINKLOCAL(&v6.sin6_addr)) {
		vd_net_enter_near(&net);
		v6.sin6_scope_id = if_nametoindex(VD_NET_NEAR_DEVICE);
		vd_net_enter_far(&net);
	}
	return connect(socket, (struct sockaddr *)&v6, sizeof v6) ? errno : 0;
}

/* The error that lies on the socket, when there is one; 0: none came. */
static int await_error(int socket, short events)
{
	struct pollfd wanted = {.fd = socket, .events = events};
	socklen_t size = sizeof(int);
	int error = 0;

	poll(&wanted, 1, (int)(TOLD_MS * traffic_patience()));
	assert_int_equal(getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &size), 0);
	return error;
}

/* The errno that connect() ends with. */
static int connect_tcp(const struct vd_net_family *family)
{
	int socket = open_near(family->family, SOCK_STREAM), error = connect_to(socket, family->far, PORT);

	if (error == EINPROGRESS)
		error = await_error(socket, POLLOUT);
	close(socket);
	return error;
}

struct told {
	int error; /* errno; 0: nothing was told */
	unsigned type, code;
	char by[INET6_ADDRSTRLEN];
};

static struct told read_told(int socket)
{
	union {
		struct cmsghdr header;
		uint8_t room[512];
	} control;
	uint8_t data[2048];
	struct iovec piece = {data, sizeof data};
	struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
	struct told told = {0};

	assert_true(recvmsg(socket, &message, MSG_ERRQUEUE) >= 0);
	for (struct cmsghdr *part = CMSG_FIRSTHDR(&message); part; part = CMSG_NXTHDR(&message, part)) {
		const struct sock_extended_err *error = (const void *)CMSG_DATA(part);
		const struct sockaddr *by = SO_EE_OFFENDER(error);

		if ((part->cmsg_level != IPPROTO_IP || part->cmsg_type != IP_RECVERR) &&
		    (part->cmsg_level != IPPROTO_IPV6 || part->cmsg_type != IPV6_RECVERR))
			continue;
		assert_int_equal(error->ee_origin, by->sa_family == AF_INET ? SO_EE_ORIGIN_ICMP : SO_EE_ORIGIN_ICMP6);
		told = (struct told){.error = (int)error->ee_errno, .type = error->ee_type, .code = error->ee_code};
		inet_ntop(by->sa_family, by->sa_family == AF_INET ? (const void *)&((const struct sockaddr_in *)by)->sin_addr :
								     (const void *)&((const struct sockaddr_in6 *)by)->sin6_addr,
			  told.by, sizeof told.by);
	}
	return told;
}

/* One datagram, and what comes back for it. */
static struct told send_udp(int family, const char *address, size_t length)
{
	int socket = open_near(family, SOCK_DGRAM), on = 1;
	struct pollfd wanted = {.fd = socket};
	struct told told = {0};
	uint8_t data[4000] = {1};

	assert_int_equal(setsockopt(socket, IPPROTO_IP, IP_RECVERR, &on, sizeof on), 0);
	if (family == AF_INET6)
		assert_int_equal(setsockopt(socket, IPPROTO_IPV6, IPV6_RECVERR, &on, sizeof on), 0);
	assert_int_equal(connect_to(socket, address, PORT), 0);
	assert_int_equal(send(socket, data, length, 0), length);
	if (poll(&wanted, 1, (int)(TOLD_MS * traffic_patience())) > 0) /* POLLERR */
		told = read_told(socket);
	close(socket);
	return told;
}

/* ---- in each place ---- */

/* Of one SYN: had it to be sent again, there would be two packets. */
static void a_connection_is_refused_at_once(void **state)
{
	(void)state;
	EACH_PLACE(place) {
		set_up(place, "-p tcp --dport 7000"); /* the answer is TCP, too, and of OUTPUT */
		VD_NET_EACH_FAMILY(family) {
			struct engine_host *host = start("reject");
			struct vd_queue_stats stats;

			assert_int_equal(connect_tcp(family), ECONNREFUSED);
			stats = finish(host, 1);
			assert_int_equal(stats.received, 1);
			assert_int_equal(stats.answered, 1);
		}
	}
}

static void a_datagram_is_refused_by_who_is_responsible(void **state)
{
	static const char *const by[][2] = {
		{VD_NET_NEAR_V4, VD_NET_NEAR_V6}, {ROUTER_V4, ROUTER_V6}, {VD_NET_FAR_V4, VD_NET_FAR_V6}};

	(void)state;
	EACH_PLACE(place) {
		set_up(place, "-p udp");
		VD_NET_EACH_FAMILY(family) {
			struct engine_host *host = start("reject");
			struct told told = send_udp(family->family, family->far, 100);

			assert_int_equal(told.error, ECONNREFUSED);
			assert_int_equal(told.type, family->version == 4 ? ICMP_DEST_UNREACH : ICMP6_DST_UNREACH);
			assert_int_equal(told.code, family->version == 4 ? ICMP_PORT_UNREACH : ICMP6_DST_UNREACH_NOPORT);
			assert_string_equal(told.by, by[place][family->version == 6]);
			assert_int_equal(finish(host, 1).answered, 1);
		}
	}
}

static void the_sender_is_told_what_was_chosen(void **state)
{
	static const struct {
		const char *function;
		int v4, v6;
		int v4_errno, v6_errno;
	} kinds[] = {
		{"reject:closed", 3, 4, ECONNREFUSED, ECONNREFUSED},
		{"reject:port-unreachable", 3, 4, ECONNREFUSED, ECONNREFUSED},
		{"reject:host-unreachable", 1, 3, EHOSTUNREACH, EHOSTUNREACH},
		{"reject:no-route", 0, 0, ENETUNREACH, ENETUNREACH},
		{"reject:admin-prohibited", 13, 1, EHOSTUNREACH, EACCES},
		{"reject:code:2", 2, 2, ENOPROTOOPT, EHOSTUNREACH},
		{"reject:code:5", 5, 5, EOPNOTSUPP, EACCES},
	};

	(void)state;
	set_up(FORWARD, "-p udp");
	for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		struct engine_host *host = start(kinds[i].function);

		VD_NET_EACH_FAMILY(family)
			for (size_t length = 1; length <= 1301; length += 1300) {
				struct told told = send_udp(family->family, family->far, length);

				assert_int_equal(told.code, family->version == 4 ? kinds[i].v4 : kinds[i].v6);
				assert_int_equal(told.error, family->version == 4 ? kinds[i].v4_errno : kinds[i].v6_errno);
			}
		assert_int_equal(finish(host, 4).answered, 4);
	}
}

static void a_connection_can_be_told_otherwise(void **state)
{
	static const struct {
		const char *function;
		int v4, v6;
	} kinds[] = {{"reject:tcp-reset", ECONNREFUSED, ECONNREFUSED},
		     {"reject:port-unreachable", ECONNREFUSED, ECONNREFUSED},
		     {"reject:host-unreachable", EHOSTUNREACH, EHOSTUNREACH},
		     {"reject:no-route", ENETUNREACH, ENETUNREACH},
		     {"reject:admin-prohibited", EHOSTUNREACH, EACCES}};

	(void)state;
	set_up(FORWARD, "-p tcp");
	for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		struct engine_host *host = start(kinds[i].function);

		VD_NET_EACH_FAMILY(family)
			assert_int_equal(connect_tcp(family), family->version == 4 ? kinds[i].v4 : kinds[i].v6);
		finish(host, 2);
	}
}

/* ---- in the midst of a connection ---- */

static enum vd_verdict reject_data(struct vd_packet *packet, void *state)
{
	uint32_t length;

	(void)state;
	return vd_packet_payload(packet, &length) && length ? vd_packet_reject(packet, VD_REJECT_TCP_RESET) : VD_ACCEPT;
}

static const struct vd_function REJECT_DATA = {.abi = VD_FUNCTION_ABI, .size = sizeof(struct vd_function), .name = "reject-data",
					       .bytes = VD_HEADERS, .needs = VD_NEEDS_REJECT, .decide = reject_data};

/* For both versions. */
static int listen_in_far(void)
{
	int listener, on = 1;
	struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(PORT)};
	int request[3] = {AF_INET6, SOCK_STREAM, -1};

	traffic_do_in(net.far, open_here, request);
	listener = request[2];
	assert_int_equal(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&any, sizeof any), 0);
	assert_int_equal(listen(listener, 4), 0);
	return listener;
}

/* 64 KB at once: GSO packets. The window, and so the number that a reset has to hit, has moved by then. */
static void an_open_connection_is_reset(void **state)
{
	static uint8_t data[65536];

	(void)state;
	EACH_PLACE(place) {
		set_up(place, "-p tcp --dport 7000");
		VD_NET_EACH_FAMILY(family) {
			struct engine_host *host = engine_host_create(&(struct vd_engine_options)VD_ENGINE_OPTIONS_INIT);
			int listener = listen_in_far(), client = open_near(family->family, SOCK_STREAM), server;
			struct pollfd accepting = {.fd = listener, .events = POLLIN};

			engine_host_add(host, &REJECT_DATA, "");
			engine_host_queue(host, SCENE_QUEUE);
			engine_host_start(host);
			assert_int_equal(connect_to(client, family->far, PORT), EINPROGRESS);
			assert_int_equal(await_error(client, POLLOUT), 0);
			assert_int_equal(poll(&accepting, 1, (int)(TOLD_MS * traffic_patience())), 1);
			server = accept(listener, NULL, NULL);
			assert_true(server >= 0);
			assert_int_equal(send(server, data, 1000, MSG_NOSIGNAL), 1000); /* this way is free */
			assert_int_equal(traffic_receive(client, data, sizeof data, TOLD_MS * traffic_patience()), 1000);
			assert_true(send(client, data, sizeof data, MSG_NOSIGNAL) > 0);
			assert_int_equal(traffic_receive(client, data, sizeof data, TOLD_MS * traffic_patience()), -ECONNRESET);
			close(client);
			close(server);
			close(listener);
			assert_true(finish(host, 1).answered > 0);
		}
	}
}

/* ---- what must not be answered ---- */

static uint64_t told_count(void)
{
	return traffic_rule_packets(net.near, "iptables-legacy", "mangle", "told") +
	       traffic_rule_packets(net.near, "ip6tables-legacy", "mangle", "told");
}

/* A TCP header by itself; RFC 1071 done plainly. `damage` is added to the checksum, over IPv4. */
static void send_tcp_flags(const struct vd_net_family *family, uint8_t flags, uint8_t damage)
{
	int socket = traffic_raw_open(net.near, family->family, IPPROTO_TCP), offset = 16;
	uint8_t tcp[20] = {0x30, 0x39, TCP_PORT >> 8, TCP_PORT & 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, flags, 1, 0};
	uint8_t pseudo[40] = {0};
	uint32_t size = family->version == 4 ? 8 : 32, sum = IPPROTO_TCP + sizeof tcp;

	if (family->version == 6) {
		assert_int_equal(setsockopt(socket, IPPROTO_IPV6, IPV6_CHECKSUM, &offset, sizeof offset), 0);
	} else {
		inet_pton(AF_INET, family->near, pseudo);
		inet_pton(AF_INET, family->far, pseudo + 4);
		for (uint32_t i = 0; i < size; i += 2)
			sum += (uint32_t)pseudo[i] << 8 | pseudo[i + 1];
		for (uint32_t i = 0; i < sizeof tcp; i += 2)
			sum += (uint32_t)tcp[i] << 8 | tcp[i + 1];
		sum = (sum & 0xffff) + (sum >> 16);
		sum = ~((sum & 0xffff) + (sum >> 16));
		tcp[16] = (uint8_t)(sum >> 8);
		tcp[17] = (uint8_t)(sum + damage);
	}
	assert_int_equal(traffic_send(socket, family->far, 0, tcp, sizeof tcp), 0);
	close(socket);
}

/* An error about a packet that never was. */
static void send_icmp_error(const struct vd_net_family *family)
{
	int socket = traffic_raw_open(net.near, family->family, family->version == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
	uint8_t v4[8 + 28] = {3, 1, 0xfc, 0xfe}, v6[8 + 48] = {1, 3}; /* RFC 4443: the kernel makes the checksum of ICMPv6 */

	if (family->version == 4)
		assert_int_equal(traffic_send(socket, family->far, 0, v4, sizeof v4), 0);
	else
		assert_int_equal(traffic_send(socket, family->far, 0, v6, sizeof v6), 0);
	close(socket);
}

static void send_datagram(int family, const char *address, size_t length)
{
	int socket = traffic_udp_open(net.near, family, 0), on = 1;
	uint8_t data[4000] = {2};

	assert_int_equal(setsockopt(socket, SOL_SOCKET, SO_BROADCAST, &on, sizeof on), 0);
	assert_int_equal(setsockopt(socket, SOL_SOCKET, SO_BINDTODEVICE, VD_NET_NEAR_DEVICE, sizeof VD_NET_NEAR_DEVICE), 0);
	assert_int_equal(traffic_send(socket, address, PORT, data, length), 0);
	close(socket);
}

static void what_must_not_be_answered_is_not(void **state)
{
	enum { SYN = 2, RST = 4, ACK = 16 };
	struct vd_queue_stats stats;
	struct engine_host *host;

	(void)state;
	set_up_wire("PREROUTING");
	host = start("reject");
	VD_NET_EACH_FAMILY(family) {
		send_tcp_flags(family, RST, 0);
		send_tcp_flags(family, RST | ACK, 0);
		send_icmp_error(family);
		send_datagram(family->family, family->far, 3000); /* three fragments */
	}
	send_tcp_flags(&vd_net_families[0], SYN, 1);
	send_datagram(AF_INET, "10.9.0.255", 10);
	send_datagram(AF_INET, "255.255.255.255", 10);
	send_datagram(AF_INET, "224.0.0.1", 10);
	send_datagram(AF_INET6, "ff02::1", 10);
	engine_host_settle(host, SCENE_QUEUE, 17);
	assert_int_equal(engine_host_stats(host, SCENE_QUEUE).received, 17);
	assert_int_equal(engine_host_stats(host, SCENE_QUEUE).answers_none, 17);
	traffic_sleep_ms(20);
	assert_int_equal(told_count(), 0);

	/* and its like is */
	VD_NET_EACH_FAMILY(family) {
		send_tcp_flags(family, SYN, 0);
		send_tcp_flags(family, ACK, 0);
		assert_int_equal(send_udp(family->family, family->far, 1000).error, ECONNREFUSED);
	}
	stats = finish(host, 23);
	assert_int_equal(stats.answered, 6);
	assert_int_equal(stats.answers_none, 17);
	traffic_sleep_ms(20);
	assert_int_equal(told_count(), 6);
}

/* ---- how many ---- */

static bool have_all_come(void *argument)
{
	const uint64_t *wanted = argument;

	return told_count() >= *wanted;
}

static void the_limit_holds(void **state)
{
	enum { RATE = 50, BURST = 10, PACKETS = 64 * 20 };

	(void)state;
	for (unsigned i = 0; i < SCENE_SHAPE_COUNT; i++) {
		struct vd_engine_options options = scene_options(&SCENE_SHAPES[i]);
		struct traffic_flows flows;
		struct vd_queue_stats stats;
		struct engine_host *host;
		uint64_t begin, elapsed;

		set_up_wire("INPUT");
		options.reject_rate = RATE;
		host = scene_start(&options, "reject");
		begin = traffic_now_ms();
		traffic_flows_open(&flows, net.near, AF_INET, 64, VD_NET_FAR_V4, PORT, 40);
		traffic_flows_send(&flows, 20, 1000);
		engine_host_settle(host, SCENE_QUEUE, PACKETS);
		elapsed = traffic_now_ms() - begin + 1;
		stats = finish(host, PACKETS);
		traffic_flows_close(&flows);
		assert_int_equal(stats.verdicts[VD_REJECT], PACKETS);
		assert_int_equal(stats.answers_none + stats.answers_failed, 0);
		assert_in_range(stats.answered, BURST, BURST + RATE * elapsed / 1000 + 1);
		assert_int_equal(stats.answers_limited, PACKETS - stats.answered);
		assert_true(traffic_wait_until(have_all_come, &stats.answered, 2000));
		traffic_sleep_ms(10);
		assert_int_equal(told_count(), stats.answered);
	}
}

static void what_the_kernel_does_not_send_is_counted(void **state)
{
	(void)state;
	set_up(FORWARD, "-p udp");
	vd_net_command("iptables-legacy -A OUTPUT -p icmp -j DROP; ip -6 route del fd00:9::1");
	for (unsigned i = 0; i < 2; i++) {
		struct engine_host *host = start("reject");
		struct vd_queue_stats stats;

		send_datagram(i ? AF_INET6 : AF_INET, i ? VD_NET_FAR_V6 : VD_NET_FAR_V4, 10);
		stats = finish(host, 1);
		assert_int_equal(stats.verdicts[VD_REJECT], 1);
		assert_int_equal(stats.answers_failed, 1);
	}
}

/* ---- the mark ---- */

static void answers_have_the_mark(void **state)
{
	struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;

	(void)state;
	options.reject_mark = 0x80000007;
	set_up(FORWARD, "");
	VD_NET_EACH_FAMILY(family)
		vd_net_command("%s -t mangle -A OUTPUT -m mark --mark 0x80000007 -m comment --comment marked", family->iptables);
	VD_NET_EACH_FAMILY(family) {
		struct engine_host *host = scene_start(&options, "reject");

		assert_int_equal(connect_tcp(family), ECONNREFUSED);
		assert_int_equal(send_udp(family->family, family->far, 10).error, ECONNREFUSED);
		assert_int_equal(finish(host, 2).answered, 2);
		assert_int_equal(traffic_rule_packets(net.router, family->iptables, "mangle", "marked"), 2);
	}
}

/* Where all OUTPUT is queued answers are as well, and rejected, in silence; with a mark a rule lets them past. */
static void the_mark_lets_answers_past_the_queue(void **state)
{
	(void)state;
	for (unsigned marked = 0; marked < 2; marked++) {
		struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;
		struct vd_queue_stats stats;
		struct engine_host *host;

		options.reject_mark = marked ? 7 : 0;
		set_up(OUTPUT, "-m mark ! --mark 7");
		host = scene_start(&options, "reject");
		if (marked) {
			assert_int_equal(send_udp(AF_INET, VD_NET_FAR_V4, 10).error, ECONNREFUSED);
			assert_int_equal(connect_tcp(&vd_net_families[1]), ECONNREFUSED);
		} else {
			send_datagram(AF_INET, VD_NET_FAR_V4, 10);
		}
		stats = finish(host, 2);
		assert_int_equal(stats.answered, marked ? 2 : 1);
		assert_int_equal(stats.answers_none, marked ? 0 : 1);
		assert_int_equal(traffic_snmp(net.near, "Icmp", "InDestUnreachs"), marked);
	}
}

/* ---- places of their own ---- */

/* Delivered here, a datagram is refused by the address that it was sent to; before that is known, by the usual one. */
static void the_address_that_was_meant_answers(void **state)
{
	static const struct {
		const char *chain, *v4, *v6;
	} ways[] = {{"INPUT", "10.9.0.22", "fd00:9::22"}, {"PREROUTING", VD_NET_FAR_V4, NULL}};

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct engine_host *host;
		struct told told;

		set_up_wire(ways[i].chain);
		vd_net_command("set -e; ip addr add 10.9.0.22/24 dev %1$s;"
			       "ip -6 addr add fd00:9::22/64 dev %1$s nodad preferred_lft 0", VD_NET_FAR_DEVICE);
		vd_net_enter_near(&net);
		vd_net_command("set -e; for to in 10.9.0.22 fd00:9::22; do"
			       " ip neigh add $to dev %s lladdr 02:00:00:00:09:02 nud permanent; done", VD_NET_NEAR_DEVICE);
		vd_net_enter_far(&net);
		host = start("reject");
		told = send_udp(AF_INET, "10.9.0.22", 10);
		assert_int_equal(told.error, ECONNREFUSED);
		assert_string_equal(told.by, ways[i].v4);
		told = send_udp(AF_INET6, "fd00:9::22", 10);
		assert_int_equal(told.error, ECONNREFUSED);
		assert_string_equal(told.by, ways[i].v6 ? ways[i].v6 : VD_NET_FAR_V6);
		assert_int_equal(finish(host, 2).answered, 2);
	}
}

/*
 * Every link has such addresses: the answer has to take the one that the packet came from. What is asked of the kernel for one
 * answer, in the same thread, has nothing to do with the next one.
 */
static void link_local_addresses_are_answered_on_their_link(void **state)
{
	static const char *const chains[] = {"INPUT", "PREROUTING"}, *const addresses[] = {"fe80::2", VD_NET_FAR_V6, "fe80::2"};

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;
		struct engine_host *host;

		set_up_wire(chains[i]);
		vd_net_command("set -e; ip link add other0 type veth peer name other1;"
			       "ip link set other0 up; ip link set other1 up;"
			       "ip -6 addr add fe80::3/64 dev other0 nodad; ip -6 addr add fe80::2/64 dev %1$s nodad;"
			       "ip -6 neigh add fe80::1 dev %1$s lladdr 02:00:00:00:09:01 nud permanent", VD_NET_FAR_DEVICE);
		vd_net_enter_near(&net);
		vd_net_command("set -e; ip -6 addr add fe80::1/64 dev %1$s nodad;"
			       "ip -6 neigh add fe80::2 dev %1$s lladdr 02:00:00:00:09:02 nud permanent", VD_NET_NEAR_DEVICE);
		vd_net_enter_far(&net);
		options.workers = 1;
		host = scene_start(&options, "reject");
		for (unsigned j = 0; j < 3; j++) {
			struct told told = send_udp(AF_INET6, addresses[j], 10);

			assert_int_equal(told.error, ECONNREFUSED);
			assert_string_equal(told.by, addresses[j]);
		}
		assert_int_equal(finish(host, 3).answered, 3);
	}
}

static enum vd_verdict reject_undeclared(struct vd_packet *packet, void *state)
{
	(void)state;
	return vd_packet_reject(packet, VD_REJECT_CLOSED);
}

static const struct vd_function UNDECLARED = {.abi = VD_FUNCTION_ABI, .size = sizeof(struct vd_function), .name = "undeclared",
					      .bytes = VD_HEADERS, .decide = reject_undeclared};

/* Also beside another function that has declared it. */
static void rejecting_undeclared_is_a_fault(void **state)
{
	(void)state;
	set_up_wire("INPUT");
	for (unsigned i = 0; i < 2; i++) {
		struct engine_host *host = engine_host_create(&(struct vd_engine_options)VD_ENGINE_OPTIONS_INIT);
		struct vd_queue_stats stats;

		engine_host_add(host, &UNDECLARED, "");
		if (i)
			engine_host_load(host, "reject");
		engine_host_queue(host, SCENE_QUEUE);
		engine_host_start(host);
		send_datagram(AF_INET, VD_NET_FAR_V4, 10);
		stats = finish(host, 1);
		assert_int_equal(stats.faults, 1);
		assert_int_equal(stats.verdicts[VD_DROP], 1);
		assert_int_equal(stats.verdicts[VD_REJECT], 0);
		assert_int_equal(stats.answered, 0);
	}
	traffic_sleep_ms(20);
	assert_int_equal(told_count(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(a_connection_is_refused_at_once, tear_down),
		cmocka_unit_test_teardown(a_datagram_is_refused_by_who_is_responsible, tear_down),
		cmocka_unit_test_teardown(the_sender_is_told_what_was_chosen, tear_down),
		cmocka_unit_test_teardown(a_connection_can_be_told_otherwise, tear_down),
		cmocka_unit_test_teardown(an_open_connection_is_reset, tear_down),
		cmocka_unit_test_teardown(what_must_not_be_answered_is_not, tear_down),
		cmocka_unit_test_teardown(the_limit_holds, tear_down),
		cmocka_unit_test_teardown(what_the_kernel_does_not_send_is_counted, tear_down),
		cmocka_unit_test_teardown(answers_have_the_mark, tear_down),
		cmocka_unit_test_teardown(the_mark_lets_answers_past_the_queue, tear_down),
		cmocka_unit_test_teardown(the_address_that_was_meant_answers, tear_down),
		cmocka_unit_test_teardown(link_local_addresses_are_answered_on_their_link, tear_down),
		cmocka_unit_test_teardown(rejecting_undeclared_is_a_fault, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
