/* SPDX-License-Identifier: MIT */
/*
 * A queue goes from one engine to the next with its socket: left in good order, no packet is lost nor overtaken; after a
 * kill -9 in the midst of traffic, what the dead one had read and not answered gets the fault verdict, and is counted to the
 * packet: what arrived and what was inherited is what was sent.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "test/support/load.h"
#include "test/support/net.h"
#include "test/support/traffic.h"

#define QUEUE 3
#define PORT 7000
#define FLOWS 32
#define SEQUENCE_MAX 100000
#define GENERATIONS 20

static struct vd_net net;
static pid_t reader; /* a process that reads the queue; 0: none */

static void set_up(void)
{
	vd_net_setup(&net);
	vd_net_command("iptables-legacy -A INPUT -p udp --dport %u -j NFQUEUE --queue-num %u", PORT, QUEUE);
}

static void kill_reader(void)
{
	if (!reader)
		return;
	kill(reader, SIGKILL);
	waitpid(reader, NULL, 0);
	reader = 0;
}

static int tear_down(void **state)
{
	kill_reader();
	return vd_net_teardown_any(state);
}

static struct load_sender far_sender(uint64_t count, unsigned pause_us)
{
	return (struct load_sender){.where = net.far, .address = VD_NET_NEAR_V4, .port = PORT, .ports = 1, .flows = FLOWS,
				    .burst = 8, .length = 64, .count = count, .pause_us = pause_us};
}

static void create(struct load_engine *engine, unsigned workers, enum vd_verdict fault_verdict,
		   const struct vd_function *function)
{
	struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;

	options.workers = workers;
	options.fault_verdict = fault_verdict;
	load_engine_create(engine, &options, function, QUEUE, 0);
}

/* Goes on with a socket. */
static void adopt(struct load_engine *engine, int socket)
{
	if (vd_engine_add_queue_socket(engine->engine, QUEUE, NULL, socket, &engine->error))
		fail_msg("%s", engine->error.text);
	load_engine_start(engine);
	if (engine->has_ended)
		fail_msg("%s", engine->error.text);
}

/* Leaves its queue; the socket. */
static int leave(struct load_engine *engine)
{
	int socket = dup(vd_engine_queue_socket(engine->engine, QUEUE));

	assert_true(socket >= 0);
	vd_engine_leave(engine->engine);
	assert_true(load_engine_join(engine, 5000));
	if (engine->result)
		fail_msg("%s", engine->error.text);
	return socket;
}

static void nothing_is_lost_on_the_way(void **state)
{
	struct load_sender sender;
	struct load_receiver *receiver;
	struct load_tally arrived;
	struct load_engine engine;
	uint64_t answered = 0;
	int socket;

	(void)state;
	set_up();
	sender = far_sender(UINT32_MAX, 300);
	receiver = load_receiver_start(TRAFFIC_HERE, AF_INET, PORT, 1, FLOWS, SEQUENCE_MAX);
	load_sender_open(&sender);
	create(&engine, 2, VD_DROP, NULL);
	assert_int_equal(vd_engine_add_queue(engine.engine, QUEUE, &engine.error), 0);
	load_engine_start(&engine);
	load_sender_start(&sender);
	for (unsigned i = 0; i < GENERATIONS; i++) {
		struct vd_queue_stats stats;

		traffic_sleep_ms(10);
		socket = leave(&engine);
		stats = load_engine_stats(&engine);
		assert_int_equal(stats.received, stats.verdicts[VD_ACCEPT]);
		assert_int_equal(stats.inherited_accepted + stats.inherited_dropped, 0);
		answered += stats.received;
		load_engine_destroy(&engine);
		traffic_sleep_ms(i % 3); /* nobody reads */
		create(&engine, i % 4 + 1, VD_DROP, NULL);
		adopt(&engine, socket);
	}
	load_sender_stop(&sender);
	load_receiver_wait(receiver, sender.sent, 5000);
	vd_engine_stop(engine.engine);
	assert_true(load_engine_join(&engine, 5000));
	arrived = load_receiver_stop(receiver);
	assert_int_equal(arrived.received, sender.sent);
	assert_int_equal(arrived.disordered + arrived.duplicates + arrived.lost, 0);
	assert_int_equal(answered + load_engine_stats(&engine).received, sender.sent);
	load_engine_destroy(&engine);
	load_sender_close(&sender);
	assert_int_equal(load_queues_bound(), 0); /* it was the last one's */
}

/* ---- killed ---- */

/* What a reader that is about to be killed can say. */
struct report {
	_Atomic bool is_ready;
	_Atomic unsigned held; /* how often it has begun to decide */
	uint64_t inherited;
};

static void hold(struct vd_packet *const *packets, enum vd_verdict *verdicts, unsigned count, void *state)
{
	struct report *report = state;

	(void)packets;
	(void)verdicts;
	(void)count;
	atomic_fetch_add(&report->held, 1);
	for (;;)
		pause();
}

static struct report *report; /* in memory that it shares with its reader */

static int give_report(struct vd_open *open, void **shared)
{
	(void)open;
	*shared = report;
	return 0;
}

static const struct vd_function HOLDS = {.abi = VD_FUNCTION_ABI, .size = sizeof(struct vd_function), .name = "holds",
					 .summary = "never comes back", .open = give_report, .decide_burst = hold};

static enum vd_verdict take_time(struct vd_packet *packet, void *state)
{
	(void)packet;
	atomic_fetch_add(&((struct report *)state)->held, 1);
	nanosleep(&(struct timespec){.tv_nsec = 10000}, NULL);
	return VD_ACCEPT;
}

static const struct vd_function TAKES_TIME = {.abi = VD_FUNCTION_ABI, .size = sizeof(struct vd_function), .name = "takes-time",
					      .summary = "always has packets in its hands", .open = give_report,
					      .decide = take_time};

static void make_report(void)
{
	report = mmap(NULL, sizeof *report, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(report != MAP_FAILED);
}

struct child {
	struct load_engine engine;
	int to_parent;
};

static void send_socket(int to, int descriptor)
{
	char byte = 0, control[CMSG_SPACE(sizeof descriptor)] = {0};
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof descriptor);
	memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
	if (sendmsg(to, &message, 0) != 1)
		_exit(1);
}

static int receive_socket(int from)
{
	char byte, control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
	struct timeval limit = {.tv_sec = 10 * (long)traffic_patience()};
	int descriptor;

	setsockopt(from, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	if (recvmsg(from, &message, 0) != 1 || !CMSG_FIRSTHDR(&message))
		fail_msg("the reader does not come up");
	memcpy(&descriptor, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof descriptor);
	return descriptor;
}

static int tell_parent(void *argument)
{
	struct child *child = argument;
	struct vd_queue_stats stats;

	if (vd_engine_queue_stats(child->engine.engine, &stats, 1) != 1)
		_exit(1);
	report->inherited = stats.inherited_accepted + stats.inherited_dropped;
	send_socket(child->to_parent, vd_engine_queue_socket(child->engine.engine, QUEUE));
	/* release, pairs with the acquire in start_reader() */
	atomic_store_explicit(&report->is_ready, true, memory_order_release);
	return 0;
}

static bool is_ready(void *unused)
{
	(void)unused;
	return atomic_load_explicit(&report->is_ready, memory_order_acquire);
}

static bool is_holding(void *unused)
{
	(void)unused;
	return atomic_load(&report->held) > 0;
}

/* A process that reads the queue, through `socket` if it is not -1; its socket in return. */
static int start_reader(int socket, const struct vd_function *function)
{
	struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;
	struct child child;
	int sockets[2], result;

	atomic_store(&report->is_ready, false);
	atomic_store(&report->held, 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), 0);
	reader = fork();
	assert_true(reader >= 0);
	if (!reader) {
		child.to_parent = sockets[1];
		options.workers = 2;
		options.ready = tell_parent;
		options.ready_argument = &child;
		load_engine_create(&child.engine, &options, function, QUEUE, 0);
		result = socket >= 0 ? vd_engine_add_queue_socket(child.engine.engine, QUEUE, NULL, socket, &child.engine.error) :
				       vd_engine_add_queue(child.engine.engine, QUEUE, &child.engine.error);
		if (!result)
			vd_engine_run(child.engine.engine, &child.engine.error);
		fprintf(stderr, "# the reader ended: %s\n", child.engine.error.text);
		_exit(1);
	}
	close(sockets[1]);
	if (socket >= 0)
		close(socket);
	socket = receive_socket(sockets[0]);
	close(sockets[0]);
	assert_true(traffic_wait_until(is_ready, NULL, 5000));
	return socket;
}

/* It dies with packets in its hands, and others wait that nobody has read. */
static void dead_ones_packets_get_the_fault_verdict(void **state)
{
	enum { BEFORE = 100, AFTER = 200 };

	(void)state;
	make_report();
	for (unsigned accepts = 0; accepts < 2; accepts++) {
		struct load_sender sender;
		struct load_receiver *receiver;
		struct load_engine engine;
		struct load_tally arrived;
		struct vd_queue_stats stats;
		int socket;

		set_up();
		socket = start_reader(-1, &HOLDS);
		sender = far_sender(BEFORE, 0);
		receiver = load_receiver_start(TRAFFIC_HERE, AF_INET, PORT, 1, FLOWS, SEQUENCE_MAX);
		load_sender_open(&sender);
		load_sender_send(&sender);
		assert_true(load_wait_waiting(QUEUE, BEFORE));
		assert_true(traffic_wait_until(is_holding, NULL, 5000));
		kill_reader();
		sender.count = AFTER;
		load_sender_send(&sender);
		assert_true(load_wait_waiting(QUEUE, BEFORE + AFTER));

		create(&engine, 2, accepts ? VD_ACCEPT : VD_DROP, NULL);
		adopt(&engine, socket);
		assert_true(load_wait_waiting(QUEUE, 0));
		vd_engine_stop(engine.engine);
		assert_true(load_engine_join(&engine, 5000));
		stats = load_engine_stats(&engine);
		assert_in_range(accepts ? stats.inherited_accepted : stats.inherited_dropped, 1, BEFORE);
		assert_int_equal(accepts ? stats.inherited_dropped : stats.inherited_accepted, 0);
		assert_int_equal(load_offered(&stats) + stats.inherited_accepted + stats.inherited_dropped, BEFORE + AFTER);
		assert_int_equal(stats.flushed + stats.refused, 0);
		arrived = load_receiver_stop(receiver);
		assert_int_equal(arrived.received, BEFORE + AFTER - stats.inherited_dropped);
		assert_int_equal(arrived.disordered + arrived.duplicates, 0);
		load_engine_destroy(&engine);
		load_sender_close(&sender);
		vd_net_teardown(&net);
	}
	munmap(report, sizeof *report);
}

/* Killed wherever it is, again and again, under traffic: nothing that was not in its hands is lost. */
static void nothing_is_lost_but_what_dead_ones_had(void **state)
{
	struct load_sender sender;
	struct load_receiver *receiver;
	struct load_engine last;
	struct load_tally arrived;
	uint64_t inherited = 0;
	int socket;

	(void)state;
#ifdef __SANITIZE_THREAD__
	print_message("ThreadSanitizer has no threads in a child of a process that has some\n");
	skip();
#endif
	make_report();
	set_up();
	/* before any thread: a fork has only one */
	socket = start_reader(-1, &TAKES_TIME);
	sender = far_sender(400, 0);
	receiver = load_receiver_start(TRAFFIC_HERE, AF_INET, PORT, 1, FLOWS, SEQUENCE_MAX);
	load_sender_open(&sender);
	for (unsigned i = 0; i < GENERATIONS; i++) {
		load_sender_send(&sender);
		assert_true(traffic_wait_until(is_holding, NULL, 5000));
		traffic_sleep_ms(i % 3);
		kill_reader();
		load_sender_send(&sender);
		socket = start_reader(socket, &TAKES_TIME);
		inherited += report->inherited;
	}
	kill_reader();
	create(&last, 2, VD_DROP, NULL);
	adopt(&last, socket);
	assert_true(load_wait_waiting(QUEUE, 0));
	vd_engine_stop(last.engine);
	assert_true(load_engine_join(&last, 5000));
	inherited += load_engine_stats(&last).inherited_dropped;
	arrived = load_receiver_stop(receiver);
	assert_int_equal(arrived.received + inherited, sender.sent);
	assert_true(inherited > 0);
	assert_int_equal(arrived.disordered + arrived.duplicates + arrived.lost, 0);
	load_engine_destroy(&last);
	load_sender_close(&sender);
	munmap(report, sizeof *report);
}

/* ---- what is no such socket, and a start that fails ---- */

static void expect_refused(int socket, int result, const char *sentence)
{
	struct load_engine engine;

	create(&engine, 1, VD_DROP, NULL);
	assert_int_equal(vd_engine_add_queue_socket(engine.engine, QUEUE, NULL, socket, &engine.error), 0);
	assert_int_equal(vd_engine_run(engine.engine, &engine.error), result);
	assert_string_equal(engine.error.text, sentence);
	load_engine_destroy(&engine);
	assert_int_equal(fcntl(socket, F_GETFD), -1); /* it was the engine's */
}

static int refuse_to_open(struct vd_open *open, void **shared)
{
	(void)shared;
	return vd_open_error(open, "not today");
}

static enum vd_verdict accept_all(struct vd_packet *packet, void *state)
{
	(void)packet;
	(void)state;
	return VD_ACCEPT;
}

static const struct vd_function FAILS = {.abi = VD_FUNCTION_ABI, .size = sizeof(struct vd_function), .name = "fails",
					 .summary = "does not open", .open = refuse_to_open, .decide = accept_all};

static void wrong_sockets_are_refused(void **state)
{
	struct vd_nfq nfq;

	(void)state;
	set_up();
	expect_refused(socket(AF_INET, SOCK_DGRAM, 0), -EBADF, "what was handed over for queue 3 is no netfilter socket");
	expect_refused(socket(AF_NETLINK, SOCK_RAW, 0), -EBADF, "what was handed over for queue 3 is no netfilter socket");
	assert_int_equal(vd_nfq_open(&nfq, NULL), 0);
	expect_refused(dup(nfq.descriptor), -ENOTCONN, "the socket that was handed over for queue 3 does not own this queue");
	vd_nfq_close(&nfq);
}

static void a_start_that_fails_leaves_it_to_the_next(void **state)
{
	struct load_sender sender;
	struct load_receiver *receiver;
	struct load_engine engine;
	struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;
	int socket;

	(void)state;
	set_up();
	sender = far_sender(50, 0);
	receiver = load_receiver_start(TRAFFIC_HERE, AF_INET, PORT, 1, FLOWS, SEQUENCE_MAX);
	load_sender_open(&sender);
	create(&engine, 1, VD_DROP, NULL);
	assert_int_equal(vd_engine_add_queue(engine.engine, QUEUE, &engine.error), 0);
	load_engine_start(&engine);
	socket = leave(&engine);
	load_engine_destroy(&engine);
	load_sender_send(&sender);

	/* a function that does not open; and a queue behind it that is another's */
	create(&engine, 1, VD_DROP, &FAILS);
	assert_int_equal(vd_engine_add_queue_socket(engine.engine, QUEUE, NULL, dup(socket), &engine.error), 0);
	assert_int_equal(vd_engine_run(engine.engine, &engine.error), -EINVAL);
	load_engine_destroy(&engine);
	load_engine_create(&engine, &options, NULL, QUEUE, 1); /* bound to the socket that we hold */
	assert_int_equal(vd_engine_run(engine.engine, &engine.error), -EPERM);
	load_engine_destroy(&engine);
	assert_true(load_wait_waiting(QUEUE, 50));

	create(&engine, 1, VD_DROP, NULL);
	adopt(&engine, socket);
	assert_int_equal(load_receiver_wait(receiver, 50, 5000), 50);
	vd_engine_stop(engine.engine);
	assert_true(load_engine_join(&engine, 5000));
	load_engine_destroy(&engine);
	load_receiver_stop(receiver);
	load_sender_close(&sender);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(nothing_is_lost_on_the_way, tear_down),
		cmocka_unit_test_teardown(dead_ones_packets_get_the_fault_verdict, tear_down),
		cmocka_unit_test_teardown(nothing_is_lost_but_what_dead_ones_had, tear_down),
		cmocka_unit_test_teardown(wrong_sockets_are_refused, tear_down),
		cmocka_unit_test_teardown(a_start_that_fails_leaves_it_to_the_next, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
