/* SPDX-License-Identifier: MIT */
#include "scene.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct vd_net scene_net;

const struct scene_shape SCENE_SHAPES[SCENE_SHAPE_COUNT] = {{1, 0}, {2, 0}, {4, 0}, {1, 2}, {4, 2}};

struct vd_engine_options scene_options(const struct scene_shape *shape)
{
	struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;

	options.workers = shape->workers;
	options.writers = shape->writers;
	return options;
}

void scene_set_up(const char *table, const char *match)
{
	vd_net_setup(&scene_net);
	vd_net_enter_far(&scene_net);
	vd_net_keep_order(VD_NET_FAR_DEVICE);
	vd_net_trust_checksums(VD_NET_FAR_DEVICE, false);
	vd_net_enter_near(&scene_net);
	vd_net_command("iptables-legacy -t %s -A OUTPUT -p udp --dport %d %s -m comment --comment queued "
		       "-j NFQUEUE --queue-num %d",
		       table, SCENE_PORT, match, SCENE_QUEUE);
}

int scene_tear_down(void **state)
{
	engine_host_destroy_all();
	return vd_net_teardown_any(state);
}

void scene_count_behind(const char *table, const char *chain, const char *match, const char *comment)
{
	vd_net_command("iptables-legacy -t %s -A %s -p udp --dport %d %s -m comment --comment %s", table, chain, SCENE_PORT, match, comment);
}

uint64_t scene_counted(const char *table, const char *comment)
{
	return traffic_rule_packets(scene_net.near, "iptables-legacy", table, comment);
}

struct traffic_tally scene_send_through(struct engine_host *host, uint64_t expected)
{
	struct traffic_receiver *receiver = traffic_receiver_start(scene_net.far, AF_INET, SCENE_PORT);
	struct traffic_flows flows;
	struct traffic_tally sum;
	uint32_t strangers;

	traffic_flows_open(&flows, scene_net.near, AF_INET, SCENE_FLOWS, VD_NET_FAR_V4, SCENE_PORT, 100);
	traffic_flows_send(&flows, SCENE_ROUNDS, 0);
	traffic_flows_close(&flows);
	if (host) {
		engine_host_settle(host, SCENE_QUEUE, SCENE_PACKETS);
		engine_host_stop(host);
	}
	traffic_receiver_wait(receiver, (uint32_t)expected, 2000);
	traffic_receiver_stop(receiver);
	sum = traffic_receiver_sum(receiver);
	strangers = receiver->strangers;
	traffic_receiver_free(receiver);
	assert_int_equal(sum.received, expected);
	assert_int_equal(sum.duplicates, 0);
	assert_int_equal(sum.disordered, 0);
	assert_int_equal(strangers, 0);
	return sum;
}

struct engine_host *scene_start(const struct vd_engine_options *options, const char *function)
{
	struct engine_host *host = engine_host_create(options);

	if (function)
		engine_host_load(host, function);
	engine_host_queue(host, SCENE_QUEUE);
	engine_host_start(host);
	return host;
}

void scene_expect_all(struct engine_host *host, enum vd_verdict verdict)
{
	struct vd_queue_stats stats = engine_host_stats(host, SCENE_QUEUE);

	assert_int_equal(engine_host_offered(host, SCENE_QUEUE), SCENE_PACKETS);
	assert_int_equal(stats.received, SCENE_PACKETS);
	assert_int_equal(stats.verdicts[verdict], SCENE_PACKETS);
	assert_int_equal(stats.malformed, 0);
	assert_int_equal(stats.queue_dropped + stats.socket_dropped + stats.flushed + stats.refused, 0);
	assert_int_equal(stats.left_accepted + stats.left_dropped, 0);
}
