/* SPDX-License-Identifier: MIT */
/*
 * The engine's life on real queues: what hinders it from starting, and leaves others alone; how it stops, at any moment and from
 * anywhere; how many queues it can have; and what it costs while nothing happens, or much.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <linux/capability.h>

#include "test/support/life.h"

/* Everything read was answered, and everything answered is what arrived. */
static void audit(const struct load_engine *engine, struct load_tally arrived)
{
	struct vd_queue_stats stats = load_engine_stats(engine);

	assert_int_equal(engine->result, 0);
	assert_int_equal(stats.received, load_verdicts(&stats));
	assert_int_equal(stats.in_flight, 0);
	assert_int_equal(stats.flushed + stats.refused, 0);
	assert_int_equal(arrived.received, stats.verdicts[VD_ACCEPT] + stats.left_accepted);
	assert_int_equal(arrived.disordered, 0);
	assert_int_equal(arrived.duplicates, 0);
	assert_int_equal(arrived.lost, 0);
}

/* ---- start ---- */

/* Two want one queue: the second is told whose it is, and the first does not notice. */
static void leaves_anothers_queue_alone(void **state)
{
	struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;
	struct load_sender sender;
	struct load_receiver *receiver;
	struct load_engine first, second;
	struct vd_nfq_status status;
	char portid[64], process[64];

	(void)state;
	life_set_up(1);
	sender = life_far_sender(1, UINT32_MAX);
	sender.pause_us = 200;
	receiver = load_receiver_start(TRAFFIC_HERE, AF_INET, LIFE_PORT, 1, LIFE_FLOWS, LIFE_SEQUENCE_MAX);
	options.fault_verdict = VD_ACCEPT;
	load_engine_create(&first, &options, NULL, LIFE_QUEUE, 1);
	load_engine_start(&first);
	assert_true(load_queue(LIFE_QUEUE, &status));
	snprintf(portid, sizeof portid, "queue %u is owned by portid %u (", LIFE_QUEUE, status.portid);
	snprintf(process, sizeof process, "test_lifecycle, pid %d)", (int)getpid());
	load_sender_open(&sender);
	load_sender_start(&sender);

	/* alone, and with free queues before and behind: they must not stay bound */
	for (unsigned before = 0; before < 2; before++) {
		struct vd_queue_stats stats;

		load_engine_create(&second, &options, NULL, LIFE_QUEUE - before, 1 + 2 * before);
		assert_int_equal(vd_engine_run(second.engine, &second.error), -EPERM);
		if (!strstr(second.error.text, portid) || !strstr(second.error.text, process))
			fail_msg("the error does not name the owner %s%s: %s", portid, process, second.error.text);
		assert_int_equal(vd_engine_queue_stats(second.engine, &stats, 1), 0);
		assert_int_equal(vd_engine_run(second.engine, &second.error), -EALREADY);
		load_engine_destroy(&second);
		assert_int_equal(load_queues_bound(), 1);
	}

	traffic_sleep_ms(20);
	load_sender_stop(&sender);
	vd_engine_stop(first.engine);
	assert_true(load_engine_join(&first, 5000));
	audit(&first, load_receiver_stop(receiver));
	assert_int_equal(load_engine_stats(&first).received + load_engine_stats(&first).left_accepted, sender.sent);
	load_engine_destroy(&first);
	load_sender_close(&sender);
	assert_int_equal(load_queues_bound(), 0);
}

/* Called once, with the queue bound and nothing read; what it refuses does not run, and leaves nothing. */
static int refuse_when_ready(void *argument)
{
	struct vd_nfq_status status;

	*(unsigned *)argument += load_queue(LIFE_QUEUE, &status) ? 1 : 100;
	return -EACCES;
}

static void asks_before_the_first_packet(void **state)
{
	struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;
	struct load_engine engine;
	unsigned asked = 0;

	(void)state;
	life_set_up(1);
	options.ready = refuse_when_ready;
	options.ready_argument = &asked;
	load_engine_create(&engine, &options, NULL, LIFE_QUEUE, 1);
	assert_int_equal(vd_engine_run(engine.engine, &engine.error), -EACCES);
	assert_int_equal(asked, 1);
	assert_int_equal(load_queues_bound(), 0);
	load_engine_destroy(&engine);
}

static void refuses_a_queue_twice(void **state)
{
	struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;
	struct load_engine engine;

	(void)state;
	load_engine_create(&engine, &options, NULL, LIFE_QUEUE, 1);
	assert_int_equal(vd_engine_add_queue(engine.engine, LIFE_QUEUE, &engine.error), -EEXIST);
	assert_string_equal(engine.error.text, "queue 3 is given twice");
	assert_int_equal(vd_engine_add_queue(engine.engine, 65536, &engine.error), -EINVAL);
	load_engine_destroy(&engine);
}

/* In a child: without CAP_NET_ADMIN in the thread that runs. */
static void drop_capability(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &header, data))
		_exit(99);
	data[0].effective &= ~(1u << CAP_NET_ADMIN);
	data[0].permitted &= ~(1u << CAP_NET_ADMIN);
	if (syscall(SYS_capset, &header, data))
		_exit(98);
}

static void says_that_it_needs_the_capability(void **state)
{
	struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;
	int status, pipes[2];
	char text[512] = "";
	pid_t child;

	(void)state;
	life_set_up(1);
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		struct load_engine engine;
		int result;

		drop_capability();
		load_engine_create(&engine, &options, NULL, LIFE_QUEUE, 1);
		result = vd_engine_run(engine.engine, &engine.error);
		(void)!write(pipes[1], engine.error.text, strlen(engine.error.text));
		load_engine_destroy(&engine);
		_exit(result == -EPERM ? 7 : 1);
	}
	close(pipes[1]);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(read(pipes[0], text, sizeof text - 1) > 0);
	close(pipes[0]);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 7);
	if (!strstr(text, "CAP_NET_ADMIN") || !strstr(text, "run as root"))
		fail_msg("it does not say what is missing: %s", text);
	assert_int_equal(load_queues_bound(), 0);
}

/* The queue is in another namespace than the thread that runs the engine. */
static void reads_queues_of_another_namespace(void **state)
{
	struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;
	struct load_receiver *receiver;
	struct load_sender sender;
	struct load_engine engine;
	char path[64];

	(void)state;
	life_set_up(1);
	sender = life_far_sender(1, 1000);
	snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)getpid(), life_net.near);
	options.netns = path;
	load_engine_create(&engine, &options, NULL, LIFE_QUEUE, 1);
	strcpy(path, "overwritten"); /* it has its own copy */
	vd_net_enter_far(&life_net);
	load_engine_launch(&engine);
	vd_net_enter_near(&life_net);
	load_engine_await(&engine);
	vd_net_enter_far(&life_net);
	assert_int_equal(load_queues_bound(), 0);
	vd_net_enter_near(&life_net);

	receiver = load_receiver_start(TRAFFIC_HERE, AF_INET, LIFE_PORT, 1, LIFE_FLOWS, LIFE_SEQUENCE_MAX);
	load_sender_open(&sender);
	load_sender_send(&sender);
	assert_int_equal(load_receiver_wait(receiver, 1000, 2000), 1000);
	vd_engine_stop(engine.engine);
	assert_true(load_engine_join(&engine, 2000));
	audit(&engine, load_receiver_stop(receiver));
	load_engine_destroy(&engine);
	load_sender_close(&sender);
}

/* ---- where functions open ---- */

static struct seen_at_open {
	bool near_at_open, near_at_state, far_at_open, is_routed;
	int socket;
	_Atomic bool is_answered;
} at_open;

/* Whether the calling thread is where this device is. */
static bool sees(const char *device)
{
	return if_nametoindex(device) != 0;
}

static int open_here(struct vd_open *open, void **shared)
{
	(void)open;
	*shared = &at_open;
	at_open.near_at_open = sees(VD_NET_NEAR_DEVICE);
	at_open.far_at_open = sees(VD_NET_FAR_DEVICE);
	at_open.socket = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return at_open.socket < 0 ? -errno : 0;
}

static int open_state_here(void *shared, void **state)
{
	*state = shared;
	at_open.near_at_state = sees(VD_NET_NEAR_DEVICE);
	return 0;
}

static void close_here(void *shared)
{
	(void)shared;
	close(at_open.socket);
}

/* Its socket knows the way to far0, which only near has; its thread is elsewhere. */
static enum vd_verdict ask_for_a_route(struct vd_packet *packet, void *state)
{
	struct sockaddr_in far = {.sin_family = AF_INET, .sin_port = htons(LIFE_PORT)};

	(void)packet;
	(void)state;
	inet_pton(AF_INET, VD_NET_FAR_V4, &far.sin_addr);
	at_open.is_routed = !connect(at_open.socket, (const struct sockaddr *)&far, sizeof far) && !sees(VD_NET_NEAR_DEVICE);
	/* release: pairs with the acquire of the test, which reads what stands above */
	atomic_store_explicit(&at_open.is_answered, true, memory_order_release);
	return VD_NEXT;
}

static const struct vd_function OPENS_HERE = {.abi = VD_FUNCTION_ABI, .size = sizeof(struct vd_function), .name = "opens-here",
					      .bytes = VD_HEADERS, .scope = VD_SCOPE_WORKER, .open = open_here,
					      .close = close_here, .open_state = open_state_here, .decide = ask_for_a_route};

static bool is_answered(void *argument)
{
	(void)argument;
	return atomic_load_explicit(&at_open.is_answered, memory_order_acquire);
}

/* The program runs where nothing is: functions open where the queues are, the thread goes back. */
static void functions_open_where_the_queues_are(void **state)
{
	struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;
	struct load_engine engine;
	struct load_sender sender;
	char path[64];

	(void)state;
	life_set_up(1);
	sender = life_far_sender(1, 1);
	snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)getpid(), life_net.near);
	at_open = (struct seen_at_open){.socket = -1};
	options.netns = path;
	options.workers = 2;
	load_engine_create(&engine, &options, &OPENS_HERE, LIFE_QUEUE, 1);
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	load_engine_launch(&engine);
	vd_net_enter_near(&life_net);
	load_engine_await(&engine);
	load_sender_open(&sender);
	load_sender_send(&sender);
	assert_true(traffic_wait_until(is_answered, NULL, 2000));
	vd_engine_stop(engine.engine);
	assert_true(load_engine_join(&engine, 2000));
	assert_int_equal(engine.result, 0);
	load_engine_destroy(&engine);
	load_sender_close(&sender);
	assert_true(at_open.near_at_open);
	assert_true(at_open.near_at_state);
	assert_false(at_open.far_at_open);
	assert_true(at_open.is_routed);
}

static int refuse_to_open(struct vd_open *open, void **shared)
{
	(void)shared;
	return vd_open_error(open, "not here");
}

/* Also when opening fails: the sentence is the function's, and the thread that runs the engine goes back. */
static void a_function_that_does_not_open_there_says_so(void **state)
{
	struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;
	struct vd_function function = OPENS_HERE;
	struct load_engine engine;
	char path[64];

	(void)state;
	life_set_up(1);
	snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)getpid(), life_net.near);
	options.netns = path;
	function.open = refuse_to_open;
	vd_net_enter_far(&life_net);
	load_engine_create(&engine, &options, &function, LIFE_QUEUE, 1);
	assert_int_equal(vd_engine_run(engine.engine, &engine.error), -EINVAL);
	assert_string_equal(engine.error.text, "function opens-here: not here");
	assert_true(sees(VD_NET_FAR_DEVICE));
	load_engine_destroy(&engine);
}

static void says_that_there_is_no_such_namespace(void **state)
{
	static const char *const wrong[] = {"no-such-namespace", "/no/such/file", "/dev/null", ""};

	(void)state;
	life_set_up(1);
	for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;
		struct load_engine engine;

		options.netns = wrong[i];
		load_engine_create(&engine, &options, NULL, LIFE_QUEUE, 1);
		assert_true(vd_engine_run(engine.engine, &engine.error) < 0);
		if (!strstr(engine.error.text, "namespace"))
			fail_msg("'%s': %s", wrong[i], engine.error.text);
		load_engine_destroy(&engine);
	}
	assert_int_equal(load_queues_bound(), 0);
}

/* ---- stop ---- */

static void stops_before_it_runs(void **state)
{
	struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;

	(void)state;
	life_set_up(1);
	for (unsigned queues = 1; queues <= 2; queues++) {
		struct load_engine engine;

		load_engine_create(&engine, &options, NULL, LIFE_QUEUE, queues);
		vd_engine_stop(engine.engine);
		vd_engine_stop(engine.engine);
		load_engine_launch(&engine);
		assert_true(load_engine_join(&engine, 2000));
		assert_int_equal(engine.result, 0);
		vd_engine_stop(engine.engine);
		load_engine_destroy(&engine);
		assert_int_equal(load_queues_bound(), 0);
	}
}

static struct vd_engine *in_signal_handler;
static _Atomic unsigned signals;

static void stop_in_handler(int number)
{
	int saved = errno;

	(void)number;
	vd_engine_stop(in_signal_handler);
	atomic_fetch_add_explicit(&signals, 1, memory_order_relaxed);
	if (errno != saved)
		abort(); /* it would change errno under the feet of whoever was interrupted */
}

/* The handler runs in the thread that runs the engine, before, while and after it does. */
static void stops_from_a_signal_handler(void **state)
{
	struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;
	struct sigaction action = {.sa_handler = stop_in_handler}, before;
	struct load_receiver *receiver;
	struct load_sender sender;

	(void)state;
	life_set_up(1);
	receiver = load_receiver_start(TRAFFIC_HERE, AF_INET, LIFE_PORT, 1, LIFE_FLOWS, LIFE_SEQUENCE_MAX);
	sender = life_far_sender(1, UINT32_MAX);
	sender.pause_us = 100;
	load_sender_open(&sender);
	load_sender_start(&sender);
	sigaction(SIGUSR1, &action, &before);
	for (unsigned i = 0; i < 30; i++) {
		struct itimerspec when = {.it_value = {.tv_nsec = 1 + (long)i * 700000}};
		struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1};
		struct load_engine engine;
		timer_t timer;

		event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
		load_engine_create(&engine, &options, NULL, LIFE_QUEUE, 1 + i % 3);
		in_signal_handler = engine.engine;
		atomic_store(&signals, 0);
		assert_int_equal(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
		assert_int_equal(timer_settime(timer, 0, &when, NULL), 0);
		assert_int_equal(vd_engine_run(engine.engine, &engine.error), 0);
		assert_int_equal(atomic_load(&signals), 1);
		timer_delete(timer);
		load_engine_destroy(&engine);
		assert_int_equal(load_queues_bound(), 0);
	}
	sigaction(SIGUSR1, &before, NULL);
	load_sender_stop(&sender);
	load_sender_close(&sender);
	assert_int_equal(load_receiver_stop(receiver).duplicates, 0);
}

/*
 * At any moment under load: all that was read is answered, and what was answered is what arrived. At the end of a queue whose
 * packets are accepted, those that come last pass it, and nobody knows of them.
 */
static void stops_under_load(void **state)
{
	uint64_t accepted = 0, left = 0;
	struct load_receiver *receiver;
	struct load_sender sender;
	struct load_tally arrived;
	unsigned seed = 1;

	(void)state;
	life_set_up(3);
	receiver = load_receiver_start(TRAFFIC_HERE, AF_INET, LIFE_PORT, 3, LIFE_FLOWS, LIFE_SEQUENCE_MAX);
	sender = life_far_sender(3, UINT32_MAX);
	sender.pause_us = 50;
	load_sender_open(&sender);
	load_sender_start(&sender);
	for (unsigned i = 0; i < 50; i++) {
		struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;
		struct vd_queue_stats stats;
		struct load_engine engine;

		options.workers = 1 + i % 4;
		options.writers = i / 4 % 3;
		options.fault_verdict = i < 25 ? VD_DROP : VD_ACCEPT;
		load_engine_create(&engine, &options, NULL, LIFE_QUEUE, 1 + i % 3);
		load_engine_launch(&engine);
		if (i % 10) /* else at once, maybe before it runs */
			load_engine_await(&engine);
		traffic_sleep_ms((unsigned)rand_r(&seed) % 15);
		vd_engine_stop(engine.engine);
		if (!load_engine_join(&engine, 5000))
			fail_msg("run %u does not stop", i);
		assert_int_equal(engine.result, 0);
		assert_int_equal(load_queues_bound(), 0);
		stats = load_engine_stats(&engine);
		assert_int_equal(stats.received, load_verdicts(&stats));
		assert_int_equal(stats.in_flight, 0);
		assert_int_equal(stats.flushed + stats.refused + stats.socket_dropped, 0);
		assert_int_equal(i < 25 ? stats.left_accepted : stats.left_dropped, 0);
		accepted += stats.verdicts[VD_ACCEPT] + stats.left_accepted;
		left += stats.left_accepted;
		if (i < 25)
			assert_int_equal(load_receiver_wait(receiver, accepted, 2000), accepted);
		else
			assert_true(load_receiver_wait(receiver, accepted, 2000) >= accepted);
		load_engine_destroy(&engine);
	}
	load_sender_stop(&sender);
	load_sender_close(&sender);
	arrived = load_receiver_stop(receiver);
	assert_in_range(arrived.received, accepted, accepted + accepted / 10);
	assert_true(arrived.disordered <= left); /* what passes overtakes what is still being accepted: one may many */
	assert_true(!arrived.disordered || arrived.received > accepted);
	assert_int_equal(arrived.duplicates, 0);
	assert_int_equal(arrived.lost, 0);
	assert_true(accepted > 50);
}

/* So many packets and not one more, however many threads and queues compete for them. */
static void stops_by_itself_after_so_many_packets(void **state)
{
	static const unsigned counts[] = {1, 63, 64, 65, 1000, 5003};
	struct load_receiver *receiver;
	struct load_sender sender;
	uint64_t accepted = 0;

	(void)state;
	life_set_up(4);
	receiver = load_receiver_start(TRAFFIC_HERE, AF_INET, LIFE_PORT, 4, LIFE_FLOWS, LIFE_SEQUENCE_MAX);
	sender = life_far_sender(4, UINT32_MAX);
	sender.pause_us = 20;
	load_sender_open(&sender);
	load_sender_start(&sender);
	for (unsigned i = 0; i < 4 * 4 * sizeof counts / sizeof *counts; i++) {
		struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;
		struct vd_queue_stats stats;
		struct load_engine engine;

		options.workers = 1 + i % 4;
		options.writers = i % 3 == 2 ? 2 : 0;
		options.batch_delay_us = i % 5 == 4 ? 2000 : 0;
		options.packets_max = counts[i / 16];
		load_engine_create(&engine, &options, NULL, LIFE_QUEUE, 1 + i / 4 % 4);
		load_engine_launch(&engine);
		if (!load_engine_join(&engine, 5000))
			fail_msg("%u workers, %u queues: does not end after %u packets", options.workers, 1 + i / 4 % 4,
				 counts[i / 16]);
		stats = load_engine_stats(&engine);
		assert_int_equal(engine.result, 0);
		assert_int_equal(stats.received, options.packets_max);
		assert_int_equal(load_verdicts(&stats), options.packets_max);
		accepted += stats.verdicts[VD_ACCEPT];
		load_engine_destroy(&engine);
	}
	load_sender_stop(&sender);
	load_sender_close(&sender);
	assert_int_equal(load_receiver_stop(receiver).received, accepted);
}

/* ---- many queues ---- */

/* One packet at a time, here and there: a wake-up that is lost would leave it lying. Then all queues at once. */
static void reads_many_queues(void **state)
{
	static const unsigned shapes[][2] = {{1, 0}, {2, 0}, {4, 0}, {2, 2}};

	(void)state;
	life_set_up(LIFE_MANY);
	for (unsigned i = 0; i < sizeof shapes / sizeof *shapes; i++) {
		static struct vd_queue_stats stats[LIFE_MANY];
		struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;
		struct load_receiver *receiver = load_receiver_start(TRAFFIC_HERE, AF_INET, LIFE_PORT, LIFE_MANY, LIFE_FLOWS, LIFE_SEQUENCE_MAX);
		struct load_sender sender = life_far_sender(LIFE_MANY, 1);
		struct load_engine engine;
		enum { ALONE = 640 };

		options.workers = shapes[i][0];
		options.writers = shapes[i][1];
		load_engine_create(&engine, &options, NULL, LIFE_QUEUE, LIFE_MANY);
		load_engine_start(&engine);
		assert_int_equal(load_queues_bound(), LIFE_MANY);
		sender.burst = 1;
		load_sender_open(&sender);
		/* each call begins with flow 0, so the burst decides how many queues get one */
		for (unsigned n = 1; n <= ALONE; n++) {
			sender.count = 1 + n % LIFE_MANY;
			load_sender_send(&sender);
			if (load_receiver_wait(receiver, sender.sent, 1000) != sender.sent)
				fail_msg("%u workers, %u writers: a packet is not answered", options.workers, options.writers);
		}
		sender.count = (uint64_t)LIFE_MANY * 500;
		load_sender_send(&sender);
		load_receiver_wait(receiver, sender.sent, 5000);
		vd_engine_stop(engine.engine);
		assert_true(load_engine_join(&engine, 5000));
		audit(&engine, load_receiver_stop(receiver));
		assert_int_equal(vd_engine_queue_stats(engine.engine, stats, LIFE_MANY), LIFE_MANY);
		for (unsigned queue = 0; queue < LIFE_MANY; queue++) {
			assert_int_equal(stats[queue].queue, LIFE_QUEUE + queue);
			assert_true(stats[queue].received >= 500);
		}
		load_engine_destroy(&engine);
		load_sender_close(&sender);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(leaves_anothers_queue_alone, life_tear_down),
		cmocka_unit_test_teardown(asks_before_the_first_packet, life_tear_down),
		cmocka_unit_test_teardown(refuses_a_queue_twice, life_tear_down),
		cmocka_unit_test_teardown(says_that_it_needs_the_capability, life_tear_down),
		cmocka_unit_test_teardown(reads_queues_of_another_namespace, life_tear_down),
		cmocka_unit_test_teardown(functions_open_where_the_queues_are, life_tear_down),
		cmocka_unit_test_teardown(a_function_that_does_not_open_there_says_so, life_tear_down),
		cmocka_unit_test_teardown(says_that_there_is_no_such_namespace, life_tear_down),
		cmocka_unit_test_teardown(stops_before_it_runs, life_tear_down),
		cmocka_unit_test_teardown(stops_from_a_signal_handler, life_tear_down),
		cmocka_unit_test_teardown(stops_under_load, life_tear_down),
		cmocka_unit_test_teardown(stops_by_itself_after_so_many_packets, life_tear_down),
		cmocka_unit_test_teardown(reads_many_queues, life_tear_down),
	};

	return cmocka_run_group_tests_name("lifecycle", tests, NULL, NULL);
}
