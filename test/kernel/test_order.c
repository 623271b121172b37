/* SPDX-License-Identifier: MIT */
/*
 * A flow's packets are decided and answered in the order of arrival, whatever the number of threads.
 *
 * Seen at three places: by a function of the flow's scope (test/functions/scopes.c), which also sees whether two threads are ever
 * in one flow; by a receiver behind INPUT, onto whose socket a verdict puts the packet before the verdict call returns: that is
 * the order in which verdicts take effect; and by a receiver beyond a wire. The last one is behind the kernel's own queues, one
 * for each CPU: packets of a flow whose verdicts are sent from two CPUs shortly one after the other may overtake each other
 * there, whoever sends them. It has not been seen to happen; it is counted, and not required to be 0.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "test/support/engine_host.h"
#include "test/support/load.h"
#include "test/support/net.h"
#include "test/support/traffic.h"

#define QUEUE 3
#define PORT 7000
#define PORTS 16
#define SEQUENCE_MAX 500000
#define WIRE_DISORDERED_MAX(packets) ((packets) / 1000)

static struct vd_net net;

struct shape {
	unsigned workers;
	unsigned writers;
	unsigned batch;
};
static const struct shape SHAPES[] = {{4, 0, 64}, {4, 0, 7}, {4, 0, 1}, {4, 2, 64}, {4, 2, 7}, {4, 2, 1}, {2, 0, 64}, {1, 2, 64}};
#define FOR_EACH_SHAPE(shape) for (const struct shape *shape = SHAPES; shape < SHAPES + sizeof SHAPES / sizeof *SHAPES; shape++)

static int tear_down(void **state)
{
	engine_host_destroy_all();
	return vd_net_teardown_any(state);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Most packets cost nothing, some a few microseconds, a few give the CPU away: threads overtake each other wherever they can. */
static enum vd_verdict dawdle(struct vd_packet *packet, void *state)
{
	uint32_t dice = vd_packet_id(packet) * 2654435761u ^ vd_packet_flow_hash(packet);
	uint64_t start;

	(void)state;
	dice ^= dice >> 15;
	if (dice % 2048 == 0) {
		nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
	} else if (dice % 16 == 0) {
		start = now_ns();
		while (now_ns() - start < dice % 8192)
			;
	}
	return VD_NEXT;
}

static const struct vd_function DAWDLE = {
	.abi = VD_FUNCTION_ABI,
	.size = sizeof(struct vd_function),
	.name = "dawdle",
	.summary = "takes its time, now and then",
	.bytes = VD_HEADERS,
	.decide = dawdle,
};

static struct engine_host *start(const struct shape *shape)
{
	struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;
	struct engine_host *host;

	options.workers = shape->workers;
	options.writers = shape->writers;
	options.batch = shape->batch;
	options.maxlen = 65536;
	host = engine_host_create(&options);
	engine_host_load(host, "test/scopes");
	engine_host_add(host, &DAWDLE, "");
	engine_host_queue(host, QUEUE);
	engine_host_start(host);
	return host;
}

static void stop(struct engine_host *host)
{
	engine_host_settle(host, QUEUE, 0);
	engine_host_stop(host);
	assert_int_equal(engine_host_counter(host, "scopes", "entered-twice"), 0);
	assert_int_equal(engine_host_counter(host, "scopes", "disordered"), 0);
	assert_int_equal(engine_host_counter(host, "scopes", "strayed"), 0);
	assert_int_equal(engine_host_counter(host, "scopes", "sequenced"), engine_host_stats(host, QUEUE).received);
}

/* ---- many flows ---- */

/* Without a pause the engine is always behind; with one it goes back and forth between deciding on the spot and handing over. */
static struct load_tally run(const struct shape *shape, bool over_wire, unsigned flows, unsigned burst, unsigned pause_us,
			     unsigned count)
{
	struct load_sender sender = {.where = over_wire ? net.near : net.far,
				     .address = over_wire ? VD_NET_FAR_V4 : VD_NET_NEAR_V4, .port = PORT, .ports = PORTS,
				     .flows = flows, .burst = burst, .length = 64, .count = count, .pause_us = pause_us};
	struct load_receiver *receiver = load_receiver_start(over_wire ? net.far : net.near, AF_INET, PORT, PORTS, flows,
							     SEQUENCE_MAX);
	struct engine_host *host = start(shape);
	struct vd_queue_stats stats;
	struct load_tally arrived;

	load_sender_open(&sender);
	load_sender_send(&sender);
	stop(host);
	stats = engine_host_stats(host, QUEUE);
	load_receiver_wait(receiver, stats.verdicts[VD_ACCEPT], over_wire ? 500 : 0);
	arrived = load_receiver_stop(receiver);
	print_message("  %u workers, %u writers, batches of %2u, %3u flows: %llu received, %llu on the spot, %llu out of order\n",
		      shape->workers, shape->writers, shape->batch, flows, (unsigned long long)arrived.received,
		      (unsigned long long)stats.on_the_spot, (unsigned long long)arrived.disordered);
	assert_int_equal(arrived.duplicates, 0);
	assert_int_equal(arrived.strangers, 0);
	assert_int_equal(arrived.lost, 0);
	if (over_wire)
		assert_true(arrived.received <= stats.verdicts[VD_ACCEPT]); /* the kernel's backlog may lose some */
	else
		assert_int_equal(arrived.received, stats.verdicts[VD_ACCEPT]);
	engine_host_destroy(host);
	load_sender_close(&sender);
	return arrived;
}

static void queue_ports(const char *chain)
{
	vd_net_command("iptables-legacy -A %s -p udp --dport %u:%u -j NFQUEUE --queue-num %u", chain, PORT, PORT + PORTS - 1,
		       QUEUE);
}

static void verdicts_take_effect_in_order(void **state)
{
	(void)state;
	vd_net_setup(&net);
	queue_ports("INPUT");
	FOR_EACH_SHAPE(shape) {
		assert_int_equal(run(shape, false, 64, 32, 0, 60000).disordered, 0);
		assert_int_equal(run(shape, false, 3, 1, 0, 30000).disordered, 0);
		assert_int_equal(run(shape, false, 500, 16, 100, 30000).disordered, 0);
	}
}

static void packets_leave_in_order(void **state)
{
	struct load_tally sum = {0};

	(void)state;
	vd_net_setup(&net);
	queue_ports("OUTPUT");
	FOR_EACH_SHAPE(shape) {
		struct load_tally many = run(shape, true, 64, 32, 0, 60000), few = run(shape, true, 3, 1, 0, 30000);

		sum.received += many.received + few.received;
		sum.disordered += many.disordered + few.disordered;
	}
	print_message("  beyond the wire: %llu of %llu out of order\n", (unsigned long long)sum.disordered,
		      (unsigned long long)sum.received);
	assert_in_range(sum.disordered, 0, WIRE_DISORDERED_MAX(sum.received));
}

/* ---- both directions ---- */

static void write32(uint8_t *bytes, uint32_t number)
{
	for (unsigned i = 0; i < 4; i++)
		bytes[i] = (uint8_t)(number >> (24 - 8 * i));
}

/* Between the same two ports, both ways, through one queue: one state. */
static void both_directions_meet_one_state(void **state)
{
	enum { FLOWS = 60, ROUNDS = 150 };
	static const char *const addresses[2][2] = {{VD_NET_FAR_V4, VD_NET_NEAR_V4}, {VD_NET_FAR_V6, VD_NET_NEAR_V6}};

	(void)state;
	vd_net_setup(&net);
	for (unsigned i = 0; i < 2; i++)
		vd_net_command("%s -A OUTPUT -p udp -j NFQUEUE --queue-num %u; %s -A INPUT -p udp -j NFQUEUE --queue-num %u",
			       i ? "ip6tables-legacy" : "iptables-legacy", QUEUE, i ? "ip6tables-legacy" : "iptables-legacy", QUEUE);
	for (unsigned i = 0; i < sizeof SHAPES / sizeof *SHAPES; i += 3) {
		struct engine_host *host = start(&SHAPES[i]);
		uint8_t datagram[40] = "vdtt";
		int sockets[2][FLOWS];

		for (unsigned flow = 0; flow < FLOWS; flow++) {
			int family = flow % 2 ? AF_INET6 : AF_INET;

			sockets[0][flow] = traffic_udp_open(net.near, family, (uint16_t)(20000 + flow));
			sockets[1][flow] = traffic_udp_open(net.far, family, (uint16_t)(PORT + flow));
		}
		for (uint32_t round = 1; round <= ROUNDS; round++)
			for (uint32_t flow = 0; flow < FLOWS; flow++)
				for (unsigned way = 0; way < 2; way++) {
					write32(datagram + 4, flow);
					write32(datagram + 8, round);
					assert_int_equal(traffic_send(sockets[way][flow], addresses[flow % 2][way],
								      (uint16_t)(way ? 20000 + flow : PORT + flow), datagram,
								      sizeof datagram),
							 0);
				}
		engine_host_settle(host, QUEUE, 2 * FLOWS * ROUNDS);
		stop(host);
		assert_int_equal(engine_host_counter(host, "scopes", "sequenced"), 2 * FLOWS * ROUNDS);
		assert_int_equal(engine_host_counter(host, "scopes", "missing"), 0);
		engine_host_destroy(host);
		for (unsigned flow = 0; flow < FLOWS; flow++) {
			close(sockets[0][flow]);
			close(sockets[1][flow]);
		}
	}
}

/* The same of TCP, with data both ways: each connection has a port, and the port has one state. */
#define CONNECTIONS 8

static void *owners[CONNECTIONS]; /* relaxed: only the pointer's value counts */
static _Atomic unsigned strays, met;

static int open_owner(void *shared, void **state)
{
	(void)shared;
	*state = malloc(1);
	return *state ? 0 : -ENOMEM;
}

static void close_owner(void *shared, void *state)
{
	(void)shared;
	free(state);
}

static enum vd_verdict meet(struct vd_packet *packet, void *state)
{
	unsigned source = vd_packet_source_port(packet), destination = vd_packet_destination_port(packet);
	unsigned connection = (source >= 8000 && source < 8000 + CONNECTIONS ? source : destination) - 8000;
	void *owner = NULL;

	if (connection >= CONNECTIONS)
		return VD_NEXT;
	met++;
	if (!__atomic_compare_exchange_n(&owners[connection], &owner, state, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED) &&
	    owner != state)
		strays++;
	return VD_NEXT;
}

static const struct vd_function MEET = {
	.abi = VD_FUNCTION_ABI,
	.size = sizeof(struct vd_function),
	.name = "meet",
	.summary = "sees whether a connection meets one state",
	.bytes = VD_HEADERS,
	.scope = VD_SCOPE_FLOW,
	.open_state = open_owner,
	.close_state = close_owner,
	.decide = meet,
};

static void both_directions_of_tcp_meet_one_state(void **state)
{
	struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;
	struct engine_host *host;

	(void)state;
	vd_net_setup(&net);
	vd_net_command("iptables-legacy -A OUTPUT -p tcp -j NFQUEUE --queue-num %u;"
		       "iptables-legacy -A INPUT -p tcp -j NFQUEUE --queue-num %u", QUEUE, QUEUE);
	options.workers = 4;
	host = engine_host_create(&options);
	engine_host_add(host, &MEET, "");
	engine_host_add(host, &DAWDLE, "");
	engine_host_queue(host, QUEUE);
	engine_host_start(host);
	for (unsigned i = 0; i < CONNECTIONS; i++) {
		struct traffic_tcp tcp = {.client = i % 2 ? net.near : net.far, .server = i % 2 ? net.far : net.near,
					  .address = i % 2 ? VD_NET_FAR_V4 : VD_NET_NEAR_V4, .port = (uint16_t)(8000 + i),
					  .upload = 3 << 20, .download = 3 << 20, .timeout_ms = 10000};

		if (!traffic_tcp_transfer(&tcp))
			fail_msg("TCP: %s", tcp.failure);
	}
	engine_host_settle(host, QUEUE, 0);
	engine_host_stop(host);
	assert_true(met > CONNECTIONS * 10);
	assert_int_equal(strays, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(verdicts_take_effect_in_order, tear_down),
		cmocka_unit_test_teardown(packets_leave_in_order, tear_down),
		cmocka_unit_test_teardown(both_directions_meet_one_state, tear_down),
		cmocka_unit_test_teardown(both_directions_of_tcp_meet_one_state, tear_down),
	};

	return cmocka_run_group_tests_name("order", tests, NULL, NULL);
}
