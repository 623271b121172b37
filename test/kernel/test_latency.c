/* SPDX-License-Identifier: MIT */
/*
 * How long packets waited, on a real queue. Only what cannot be less is looked at: a packet that was held back waited so long at
 * least.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "test/support/scene.h"

#define HELD_MS 60u
#define HELD_NS (HELD_MS * 1000000ull)
#define PACKETS 20u

/* A function that holds the first packet until it is told to let it go. */
static _Atomic bool is_holding, lets_go;

static enum vd_verdict hold(struct vd_packet *packet, void *state)
{
	(void)packet;
	(void)state;
	atomic_store(&is_holding, true);
	while (!atomic_load(&lets_go))
		traffic_sleep_ms(1);
	return VD_ACCEPT;
}

static const struct vd_function HOLD = {.abi = VD_FUNCTION_ABI, .size = sizeof(struct vd_function), .name = "hold",
					.bytes = VD_HEADERS, .decide = hold};

static bool is_true(void *argument)
{
	return atomic_load((_Atomic bool *)argument);
}

struct waiting {
	struct engine_host *host;
	uint32_t packets;
};

static bool are_waiting(void *argument)
{
	struct waiting *waiting = argument;

	return engine_host_stats(waiting->host, SCENE_QUEUE).waiting >= waiting->packets;
}

/* How many waited for less than that, counting whole buckets. */
static uint64_t below(const struct vd_latency *latency, uint64_t ns)
{
	uint64_t count = 0;

	for (unsigned bucket = 0; bucket < VD_LATENCY_BUCKETS && vd_latency_edge_ns(bucket + 1) <= ns; bucket++)
		count += latency->buckets[bucket];
	return count;
}

struct probing {
	struct engine_host *host;
	int sender;
	uint64_t sent;
};

/* Sends another one, and looks whether it came with a time stamp: the kernel takes a moment to begin with them. */
static bool has_time_stamps(void *argument)
{
	struct probing *probing = argument;

	assert_int_equal(traffic_send(probing->sender, VD_NET_NEAR_V4, SCENE_PORT, "probe", 5), 0);
	engine_host_settle(probing->host, SCENE_QUEUE, ++probing->sent);
	return engine_host_latency(probing->host, SCENE_QUEUE, VD_SINCE_ARRIVED).count > 0;
}

/* Packets come from far, and are queued on their way in. */
static struct engine_host *start(const struct scene_shape *shape)
{
	struct vd_engine_options options = scene_options(shape);
	struct engine_host *host = engine_host_create(&options);

	atomic_store(&is_holding, false);
	atomic_store(&lets_go, true);
	engine_host_add(host, &HOLD, "");
	engine_host_queue(host, SCENE_QUEUE);
	engine_host_start(host);
	return host;
}

/* Sends packets, and lets them go a while after all are there. */
static void send_held(struct engine_host *host, int sender)
{
	struct waiting waiting = {.host = host, .packets = PACKETS};

	atomic_store(&is_holding, false);
	atomic_store(&lets_go, false);
	for (unsigned i = 0; i < PACKETS; i++)
		assert_int_equal(traffic_send(sender, VD_NET_NEAR_V4, SCENE_PORT, "held", 4), 0);
	assert_true(traffic_wait_until(are_waiting, &waiting, 5000));
	assert_true(traffic_wait_until(is_true, &is_holding, 5000));
	traffic_sleep_ms(HELD_MS + 5);
	atomic_store(&lets_go, true);
}

static void set_up(void)
{
	scene_set_up("filter", "");
	vd_net_command("iptables-legacy -A INPUT -p udp --dport %d -j NFQUEUE --queue-num %d", SCENE_PORT, SCENE_QUEUE);
}

/* Whoever was being decided waited that long; the others may have been read later. */
static void it_counts_from_when_a_packet_was_read(void **state)
{
	(void)state;
	set_up();
	for (unsigned i = 0; i < SCENE_SHAPE_COUNT; i++) {
		int sender = traffic_udp_open(scene_net.far, AF_INET, 0);
		struct engine_host *host = start(&SCENE_SHAPES[i]);
		struct vd_latency latency;

		send_held(host, sender);
		engine_host_settle(host, SCENE_QUEUE, PACKETS);
		engine_host_stop(host);
		latency = engine_host_latency(host, SCENE_QUEUE, VD_SINCE_RECEIVED);
		assert_int_equal(latency.count, PACKETS);
		assert_true(below(&latency, HELD_NS) < PACKETS);
		assert_true(latency.max_ns >= HELD_NS);
		assert_true(latency.sum_ns >= HELD_NS);
		assert_true(vd_latency_quantile_ns(&latency, 1) == latency.max_ns);
		engine_host_destroy(host);
		close(sender);
	}
}

/* With the time in the kernel's queue: all of them waited that long. */
static void it_counts_from_when_a_packet_arrived(void **state)
{
	int on = 1;

	(void)state;
	set_up();
	for (unsigned i = 0; i < SCENE_SHAPE_COUNT; i++) {
		int sender = traffic_udp_open(scene_net.far, AF_INET, 0);
		int wants = traffic_udp_open(scene_net.near, AF_INET, SCENE_PORT + 1);
		struct engine_host *host = start(&SCENE_SHAPES[i]);
		struct probing probing = {.host = host, .sender = sender};
		struct vd_latency before, after;

		assert_int_equal(setsockopt(wants, SOL_SOCKET, SO_TIMESTAMP, &on, sizeof on), 0);
		assert_true(traffic_wait_until(has_time_stamps, &probing, 5000));
		before = engine_host_latency(host, SCENE_QUEUE, VD_SINCE_ARRIVED);
		send_held(host, sender);
		engine_host_settle(host, SCENE_QUEUE, probing.sent + PACKETS);
		engine_host_stop(host);
		after = engine_host_latency(host, SCENE_QUEUE, VD_SINCE_ARRIVED);
		assert_int_equal(after.count, before.count + PACKETS);
		assert_int_equal(below(&after, HELD_NS), below(&before, HELD_NS));
		assert_true(after.sum_ns >= before.sum_ns + PACKETS * HELD_NS);
		engine_host_destroy(host);
		close(wants);
		close(sender);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(it_counts_from_when_a_packet_was_read, scene_tear_down),
		cmocka_unit_test_teardown(it_counts_from_when_a_packet_arrived, scene_tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
