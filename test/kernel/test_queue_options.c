/* SPDX-License-Identifier: MIT */
/*
 * Queues of one engine, each with options of its own: the kernel's list of queues says what it was told, and at the far side it
 * shows that it works so. Queue 1 has the engine's own options throughout.
 *
 * far sends to a port of near for each queue, near queues in INPUT and receives; a gate holds the engine still where queues are
 * to be full.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/nfq/nfq.h"
#include "test/support/engine_host.h"
#include "test/support/load.h"
#include "test/support/net.h"
#include "test/support/traffic.h"

#define PORT 7000 /* of queue 0: there is none, so queue n has port 7000 + n */
#define QUEUES 3
#define FLOWS 4
#define SEQUENCE_MAX 100000
#define SIZE 600

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103 /* <linux/udp.h> */
#endif
#ifndef SOL_UDP
#define SOL_UDP 17
#endif

static struct vd_net net;
static struct load_receiver *receivers[QUEUES + 1];

static void set_up(void)
{
	vd_net_setup(&net);
	for (unsigned queue = 1; queue <= QUEUES; queue++)
		vd_net_command("iptables-legacy -A INPUT -p udp --dport %u -j NFQUEUE --queue-num %u", PORT + queue, queue);
}

static int tear_down(void **state)
{
	load_gate_open();
	engine_host_destroy_all();
	return vd_net_teardown_any(state);
}

/* An engine's queue 1, and what the others begin with. */
static struct engine_host *create(const struct vd_engine_options *options, struct vd_queue_options *own)
{
	struct engine_host *host = engine_host_create(options);
	struct vd_engine *engine;
	struct vd_error error;

	engine_host_queue(host, 1);
	/* the host keeps its engine to itself: another one with the same options says the same */
	assert_int_equal(vd_engine_create(&engine, options, &error), 0);
	vd_engine_queue_options(engine, own);
	vd_engine_destroy(engine);
	return host;
}

static void receive_all(void)
{
	for (unsigned queue = 1; queue <= QUEUES; queue++)
		receivers[queue] = load_receiver_start(TRAFFIC_HERE, AF_INET, (uint16_t)(PORT + queue), 1, FLOWS, SEQUENCE_MAX);
}

static void send_to(unsigned queue, unsigned count)
{
	struct load_sender sender = {.where = net.far, .address = VD_NET_NEAR_V4, .port = (uint16_t)(PORT + queue),
				     .flows = FLOWS, .burst = 1, .length = SIZE, .count = count};

	load_sender_open(&sender);
	load_sender_send(&sender);
	load_sender_close(&sender);
}

static struct vd_nfq_status kernel_says(unsigned queue)
{
	struct vd_nfq_status status;

	assert_true(load_queue(queue, &status));
	return status;
}

/* What came, with no loss behind the queue. */
static uint64_t arrived(unsigned queue)
{
	struct load_tally tally = load_receiver_stop(receivers[queue]);

	assert_int_equal(tally.lost, 0);
	assert_int_equal(tally.duplicates, 0);
	return tally.received;
}

/* ---- maxlen, copy range, fail open ---- */

static void each_queue_has_its_own_room(void **state)
{
	enum { COUNT = 100, FEW = 10, SOME = 20 };
	struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;
	struct vd_queue_options own;
	struct engine_host *host;

	(void)state;
	set_up();
	options.workers = 2;
	options.copy_range = 300;
	host = create(&options, &own);
	assert_int_equal(own.copy_range, 300);
	own.maxlen = FEW;
	own.copy_range = 100;
	engine_host_queue_with(host, 2, &own);
	own.maxlen = SOME;
	own.copy_range = 0; /* what functions need */
	own.fail_open = true;
	engine_host_queue_with(host, 3, &own);
	engine_host_add(host, &load_gate, "");
	load_gate_close();
	engine_host_start(host);
	receive_all();
	for (unsigned queue = 1; queue <= QUEUES; queue++)
		send_to(queue, COUNT);

	assert_int_equal(kernel_says(1).waiting, COUNT);
	assert_int_equal(kernel_says(1).copy_range, 300);
	assert_int_equal(kernel_says(2).waiting, FEW);
	assert_int_equal(kernel_says(2).queue_dropped, COUNT - FEW);
	assert_int_equal(kernel_says(2).copy_range, 100);
	assert_int_equal(kernel_says(3).waiting, SOME);
	assert_int_equal(kernel_says(3).queue_dropped, 0);
	assert_int_equal(kernel_says(3).copy_range, VD_HEADERS);
	for (unsigned queue = 1; queue <= QUEUES; queue++)
		assert_int_equal(engine_host_stats(host, queue).copy_range, kernel_says(queue).copy_range);
	/* past a closed gate */
	assert_int_equal(load_receiver_wait(receivers[3], COUNT - SOME, 2000), COUNT - SOME);
	assert_int_equal(load_receiver_count(receivers[1]) + load_receiver_count(receivers[2]), 0);

	load_gate_open();
	engine_host_settle(host, 1, COUNT);
	engine_host_settle(host, 2, FEW);
	engine_host_settle(host, 3, SOME);
	engine_host_stop(host);
	assert_non_null(strstr(engine_host_log(host), "note: 100 bytes of each packet of queue 2 are copied, but a function reads 128: "));
	assert_null(strstr(engine_host_log(host), "of queue 1"));
	assert_null(strstr(engine_host_log(host), "of queue 3"));
	assert_int_equal(arrived(1), COUNT);
	assert_int_equal(arrived(2), FEW);
	assert_int_equal(load_receiver_stop(receivers[3]).received, COUNT); /* those that passed overtook the others */
	engine_host_destroy(host);
}

/* ---- the fault verdict: of a fault, of what is left, of an edit that is refused ---- */

static void each_queue_has_its_own_fault_verdict(void **state)
{
	enum { COUNT = 60 };
	struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;
	struct vd_queue_options own;
	struct engine_host *host;

	(void)state;
	set_up();
	for (unsigned workers = 1; workers <= 2; workers++) {
		options.workers = workers;
		options.fault_verdict = VD_DROP;
		host = create(&options, &own);
		assert_int_equal(own.fault_verdict, VD_DROP);
		own.fault_verdict = VD_ACCEPT;
		engine_host_queue_with(host, 2, &own);
		own.fault_verdict = VD_DROP;
		engine_host_queue_with(host, 3, &own);
		engine_host_load(host, "test/fault");
		engine_host_start(host);
		receive_all();
		for (unsigned queue = 1; queue <= QUEUES; queue++) {
			send_to(queue, COUNT);
			engine_host_settle(host, queue, COUNT);
			assert_int_equal(engine_host_stats(host, queue).faults, COUNT);
		}
		engine_host_stop(host);
		assert_int_equal(arrived(1), 0);
		assert_int_equal(arrived(2), COUNT);
		assert_int_equal(arrived(3), 0);
		engine_host_destroy(host);
	}
}

static void each_queue_ends_in_its_own_way(void **state)
{
	enum { COUNT = 500, READ = 64 };
	struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;
	struct vd_queue_options own;
	struct engine_host *host;
	struct vd_queue_stats dropped, accepted;

	(void)state;
	set_up();
	options.workers = 1; /* which stands before the gate with packets of one queue, and reads no more of the other */
	host = create(&options, &own);
	own.fault_verdict = VD_ACCEPT;
	engine_host_queue_with(host, 2, &own);
	engine_host_add(host, &load_gate, "");
	load_gate_close();
	engine_host_start(host);
	receive_all();
	send_to(1, COUNT);
	send_to(2, COUNT);
	assert_int_equal(kernel_says(1).waiting + kernel_says(2).waiting, 2 * COUNT);
	load_gate_open_later(100 * traffic_patience());
	engine_host_stop(host);

	dropped = engine_host_stats(host, 1);
	accepted = engine_host_stats(host, 2);
	assert_in_range(dropped.left_dropped, COUNT - READ, COUNT);
	assert_int_equal(dropped.left_accepted, 0);
	assert_in_range(accepted.left_accepted, COUNT - READ, COUNT);
	assert_int_equal(accepted.left_dropped, 0);
	assert_int_equal(arrived(1), COUNT - dropped.left_dropped);
	assert_int_equal(arrived(2), COUNT);
	load_receiver_stop(receivers[3]);
	engine_host_destroy(host);
}

/* ---- GSO ---- */

/* One datagram of ten segments for each queue. */
static void each_queue_has_its_own_segments(void **state)
{
	enum { SEGMENT = 1000, SEGMENTS = 10 };
	struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;
	static const uint8_t bytes[SEGMENT * SEGMENTS];
	int segment = SEGMENT, descriptor;
	struct vd_queue_options own;
	struct engine_host *host;

	(void)state;
	set_up();
	vd_net_command("iptables-legacy -F INPUT");
	for (unsigned queue = 1; queue <= 2; queue++)
		vd_net_command("iptables-legacy -A OUTPUT -p udp --dport %u -j NFQUEUE --queue-num %u", PORT + queue, queue);
	host = create(&options, &own);
	own.no_gso = true;
	engine_host_queue_with(host, 2, &own);
	engine_host_start(host);
	descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_true(descriptor >= 0);
	if (setsockopt(descriptor, SOL_UDP, UDP_SEGMENT, &segment, sizeof segment)) {
		close(descriptor);
		print_message("skip: this kernel has no UDP_SEGMENT\n");
		skip();
	}
	for (unsigned queue = 1; queue <= 2; queue++) {
		struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)(PORT + queue))};

		inet_pton(AF_INET, VD_NET_FAR_V4, &address.sin_addr);
		assert_int_equal(sendto(descriptor, bytes, sizeof bytes, 0, (struct sockaddr *)&address, sizeof address),
				 sizeof bytes);
	}
	close(descriptor);
	engine_host_settle(host, 1, 1);
	engine_host_settle(host, 2, SEGMENTS);
	engine_host_stop(host);
	assert_int_equal(engine_host_stats(host, 1).received, 1);
	assert_int_equal(engine_host_stats(host, 2).received, SEGMENTS);
	engine_host_destroy(host);
}

/* ---- what is refused ---- */

static void refuses_what_is_out_of_range(void **state)
{
	struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;
	struct vd_queue_options own, wrong;
	struct vd_engine *engine;
	struct vd_error error;

	(void)state;
	options.maxlen = 77;
	assert_int_equal(vd_engine_create(&engine, &options, &error), 0);
	vd_engine_queue_options(engine, &own);
	assert_int_equal(own.maxlen, 77);
	wrong = own;
	wrong.maxlen = VD_ENGINE_MAXLEN_MAX + 1;
	assert_int_equal(vd_engine_add_queue_with(engine, 1, &wrong, &error), -EINVAL);
	assert_string_equal(error.text, "maxlen: 1048577 is more than 1048576");
	wrong = own;
	wrong.copy_range = 65532;
	assert_int_equal(vd_engine_add_queue_with(engine, 1, &wrong, &error), -EINVAL);
	wrong = own;
	wrong.fault_verdict = VD_QUEUE;
	assert_int_equal(vd_engine_add_queue_with(engine, 1, &wrong, &error), -EINVAL);
	assert_int_equal(vd_engine_add_queue_with(engine, 65536, &own, &error), -EINVAL);
	assert_int_equal(vd_engine_add_queue_with(engine, 1, &own, &error), 0);
	assert_int_equal(vd_engine_add_queue(engine, 1, &error), -EEXIST);
	vd_engine_destroy(engine);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(each_queue_has_its_own_room, tear_down),
		cmocka_unit_test_teardown(each_queue_has_its_own_fault_verdict, tear_down),
		cmocka_unit_test_teardown(each_queue_ends_in_its_own_way, tear_down),
		cmocka_unit_test_teardown(each_queue_has_its_own_segments, tear_down),
		cmocka_unit_test(refuses_what_is_out_of_range),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
