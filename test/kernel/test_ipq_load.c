/* SPDX-License-Identifier: MIT */
/*
 * libipq under load: order, losses to the packet, threads, programs that are killed.
 */
#include "test/support/ipq_kernel.h"

#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "test/support/load.h"

#define LENGTH 64
#define FLOWS 8

static struct vd_net net;
static struct load_receiver *receiver;

static void set_up(void)
{
	unsetenv("LIBIPQ_QUEUE");
	vd_net_setup(&net);
	ipq_queue_output("QUEUE");
	/* what several CPUs send has an order only when one CPU receives it */
	vd_net_enter_far(&net);
	vd_net_keep_order(VD_NET_FAR_DEVICE);
	vd_net_enter_near(&net);
	receiver = load_receiver_start(net.far, AF_INET, IPQ_PORT, 1, FLOWS, 200000);
}

static struct load_sender new_sender(uint64_t count)
{
	return (struct load_sender){.where = net.near, .address = VD_NET_FAR_V4, .port = IPQ_PORT, .flows = FLOWS, .burst = 16,
				    .length = LENGTH, .count = count};
}

static void send_now(uint64_t count)
{
	struct load_sender sender = new_sender(count);

	load_sender_open(&sender);
	load_sender_send(&sender);
	assert_int_equal(sender.sent, count);
	load_sender_close(&sender);
}

static struct load_tally end(uint64_t expected)
{
	struct load_tally tally;

	load_receiver_wait(receiver, expected, 2000);
	tally = load_receiver_stop(receiver);
	assert_int_equal(tally.received, expected);
	assert_int_equal(tally.lost, 0);
	return tally;
}

/* Room for all that comes. */
static struct ipq_handle *open_roomy(unsigned maxlen)
{
	struct ipq_handle *handle = ipq_create_handle(0, PF_INET);

	assert_non_null(handle);
	assert_int_equal(ipq_ctl(handle, IPQ_CTL_SET_MAXLEN, maxlen), 1);
	assert_int_equal(ipq_ctl(handle, IPQ_CTL_SET_RCVBUF, maxlen * 1024), 1);
	assert_int_equal(ipq_set_mode(handle, IPQ_COPY_PACKET, 2048), 56);
	return handle;
}

/* ---- order ---- */

static void a_hundred_thousand_keep_their_order(void **state)
{
	enum { COUNT = 100000 };
	struct load_sender sender;
	struct ipq_handle *handle;
	struct load_tally tally;
	ipq_id_t last = 0;

	(void)state;
	set_up();
	handle = open_roomy(60000);
	sender = new_sender(COUNT);
	sender.pause_us = 100 * traffic_patience();
	load_sender_open(&sender);
	load_sender_start(&sender);
	for (unsigned i = 0; i < COUNT; i++) {
		ipq_packet_msg_t *packet = ipq_expect_packet(handle);

		assert_int_equal(packet->packet_id, last + 1);
		last = packet->packet_id;
		assert_int_equal(packet->data_len, 28 + LENGTH);
		ipq_accept(handle, packet);
	}
	load_sender_join(&sender);
	load_sender_close(&sender);
	ipq_expect_silence(handle);
	assert_int_equal(ipq_stats_of(handle).read, COUNT);
	tally = end(COUNT);
	assert_int_equal(tally.disordered, 0);
	assert_int_equal(tally.duplicates, 0);
	ipq_destroy_handle(handle);
}

/* ---- losses ---- */

static unsigned read_all(struct ipq_handle *handle)
{
	unsigned count = 0;

	while (ipq_read(handle, ipq_buffer, sizeof ipq_buffer, -1) > 0) {
		assert_int_equal(ipq_message_type(ipq_buffer), IPQM_PACKET);
		ipq_accept(handle, ipq_get_packet(ipq_buffer));
		count++;
	}
	assert_string_equal(ipq_errstr(), "Timeout");
	return count;
}

/* As a program of old set it: too small. ipq_read() used to fail with ENOBUFS then, and verdicts were refused. */
static void a_full_buffer_is_counted_and_nothing_else(void **state)
{
	enum { COUNT = 900, ROUNDS = 3 };
	struct ipq_handle *handle;
	struct ipq_stats stats;
	unsigned read = 0;
	int size = 30000;

	(void)state;
	set_up();
	handle = ipq_open(PF_INET, IPQ_COPY_PACKET, 0);
	assert_int_equal(setsockopt(handle->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size), 0);
	for (unsigned round = 1; round <= ROUNDS; round++) {
		send_now(COUNT);
		read += read_all(handle);
		stats = ipq_stats_of(handle);
		assert_int_equal(stats.read, read);
		assert_int_equal(stats.lost_buffer, round * COUNT - read);
		assert_int_equal(stats.lost_queue, 0);
		assert_int_equal(stats.waiting, 0);
	}
	assert_in_range(read, ROUNDS, ROUNDS * COUNT / 2);
	end(read);
	ipq_destroy_handle(handle);
}

static void a_full_queue_is_counted(void **state)
{
	struct ipq_handle *handle;
	struct ipq_stats stats;

	(void)state;
	set_up();
	handle = ipq_open(PF_INET, IPQ_COPY_PACKET, 0);
	send_now(1500); /* 1024 at first, and the buffer holds them */
	stats = ipq_stats_of(handle);
	assert_int_equal(stats.waiting, 1024);
	assert_int_equal(stats.lost_queue, 1500 - 1024);
	assert_int_equal(stats.lost_buffer, 0);
	assert_int_equal(read_all(handle), 1024);

	assert_int_equal(ipq_ctl(handle, IPQ_CTL_SET_MAXLEN, 10u), 1);
	send_now(50);
	stats = ipq_stats_of(handle);
	assert_int_equal(stats.waiting, 10);
	assert_int_equal(stats.lost_queue, 1500 - 1024 + 40);
	assert_int_equal(read_all(handle), 10);
	end(1034);
	ipq_destroy_handle(handle);
}

/* Where the kernel's own count cannot be read, ids tell the same. */
static void losses_are_known_without_proc(void **state)
{
	struct ipq_handle *handle;
	int size = 30000;
	unsigned read;

	(void)state;
	set_up();
	handle = ipq_open(PF_INET, IPQ_COPY_PACKET, 0);
	assert_int_equal(setsockopt(handle->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size), 0);
	send_now(500);
	read = read_all(handle);
	send_now(1); /* its id tells */
	assert_int_equal(read_all(handle), 1);
	for (int descriptor = 3; descriptor < 64; descriptor++) { /* whichever of them it is */
		char path[64], target[64] = "";

		snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
		if (readlink(path, target, sizeof target - 1) > 0 && strstr(target, "nfnetlink_queue")) {
			int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

			assert_int_equal(dup2(null, descriptor), descriptor);
			close(null);
		}
	}
	assert_int_equal(ipq_stats_of(handle).lost_buffer, 500 - read);
	assert_int_equal(ipq_stats_of(handle).read, read + 1);
	end(read + 1);
	ipq_destroy_handle(handle);
}

/* ---- threads ---- */

struct decider {
	struct ipq_handle *handle;
	const ipq_id_t *ids;
	unsigned count;
	pthread_t thread;
	bool failed;
};

static void *decide(void *argument)
{
	struct decider *decider = argument;

	for (unsigned i = 0; i < decider->count; i++)
		if (ipq_set_verdict(decider->handle, decider->ids[i], i % 2 ? NF_ACCEPT : NF_DROP, 0, NULL) != 40)
			decider->failed = true;
	return NULL;
}

static void several_threads_may_decide(void **state)
{
	enum { THREADS = 4, EACH = 250 };
	static ipq_id_t ids[THREADS * EACH];
	struct decider deciders[THREADS];
	struct ipq_handle *handle;

	(void)state;
	set_up();
	handle = ipq_open(PF_INET, IPQ_COPY_PACKET, 0);
	send_now(THREADS * EACH);
	for (unsigned i = 0; i < THREADS * EACH; i++)
		ids[i] = ipq_expect_packet(handle)->packet_id;
	for (unsigned i = 0; i < THREADS; i++) {
		deciders[i] = (struct decider){.handle = handle, .ids = ids + i * EACH, .count = EACH};
		assert_int_equal(pthread_create(&deciders[i].thread, NULL, decide, &deciders[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(deciders[i].thread, NULL);
		assert_false(deciders[i].failed);
	}
	ipq_expect_silence(handle);
	assert_int_equal(ipq_stats_of(handle).waiting, 0);
	end(THREADS * EACH / 2);
	ipq_destroy_handle(handle);
}

struct reader {
	struct ipq_handle *handle;
	_Atomic bool *stopping;
	unsigned accepted, other;
	pthread_t thread;
};

static void *read_and_accept(void *argument)
{
	struct reader *reader = argument;
	unsigned char *buffer = malloc(2048); /* of its own, for ThreadSanitizer to see */

	while (!atomic_load(reader->stopping)) {
		ssize_t length = ipq_read(reader->handle, buffer, 2048, 50000);

		if (length < 0 || (length && ipq_message_type(buffer) != IPQM_PACKET))
			reader->other++;
		else if (length && ipq_set_verdict(reader->handle, ipq_get_packet(buffer)->packet_id, NF_ACCEPT, 0, NULL) == 40)
			reader->accepted++;
	}
	free(buffer);
	return NULL;
}

/* Nobody waits behind another who was faster, beyond the time that it said. */
static void several_threads_may_read(void **state)
{
	enum { THREADS = 4, COUNT = 4000 };
	_Atomic bool stopping = false;
	struct reader readers[THREADS];
	struct load_sender sender;
	struct timespec until;
	unsigned accepted = 0;
	struct ipq_handle *handle;

	(void)state;
	set_up();
	handle = open_roomy(COUNT);
	for (unsigned i = 0; i < THREADS; i++) {
		readers[i] = (struct reader){.handle = handle, .stopping = &stopping};
		assert_int_equal(pthread_create(&readers[i].thread, NULL, read_and_accept, &readers[i]), 0);
	}
	sender = new_sender(COUNT);
	sender.burst = 1;
	sender.pause_us = 50;
	load_sender_open(&sender);
	load_sender_send(&sender);
	load_sender_close(&sender);
	load_receiver_wait(receiver, COUNT, 5000);
	atomic_store(&stopping, true);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 5 * (time_t)traffic_patience();
	for (unsigned i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_timedjoin_np(readers[i].thread, NULL, &until), 0);
		assert_int_equal(readers[i].other, 0);
		accepted += readers[i].accepted;
	}
	assert_int_equal(accepted, COUNT);
	assert_int_equal(ipq_stats_of(handle).read, COUNT);
	assert_int_equal(ipq_stats_of(handle).lost_buffer, 0);
	end(COUNT);
	ipq_destroy_handle(handle);
}

/* Settings from one thread while another reads. */
static void *change_settings(void *argument)
{
	struct ipq_handle *handle = argument;

	for (unsigned i = 0; i < 300; i++) {
		struct ipq_stats stats;

		ipq_set_mode(handle, i % 2 ? IPQ_COPY_META : IPQ_COPY_PACKET, 128);
		ipq_ctl(handle, IPQ_CTL_SET_MAXLEN, 2000 + i);
		ipq_ctl(handle, IPQ_CTL_SET_TRUNCATED, NF_ACCEPT);
		ipq_ctl(handle, IPQ_CTL_SET_GSO, (int)(i % 2));
		ipq_ctl(handle, IPQ_CTL_GET_STATS, &stats);
	}
	return NULL;
}

static void settings_change_while_packets_pass(void **state)
{
	enum { COUNT = 2000, THREADS = 2 };
	struct ipq_handle *handle;
	pthread_t threads[THREADS];

	(void)state;
	set_up();
	handle = open_roomy(COUNT);
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, change_settings, handle), 0);
	for (unsigned i = 0; i < COUNT / 50; i++) {
		send_now(50);
		for (unsigned j = 0; j < 50; j++)
			ipq_accept(handle, ipq_expect_packet(handle));
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	ipq_expect_silence(handle);
	end(COUNT);
	ipq_destroy_handle(handle);
}

/* ---- memory ---- */

static void a_packet_allocates_nothing(void **state)
{
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
	(void)state;
	print_message("skip: the sanitizer has its own malloc()\n");
	skip();
#else
	struct ipq_handle *handle;
	struct mallinfo2 before, after;

	(void)state;
	set_up();
	handle = ipq_open(PF_INET, IPQ_COPY_PACKET, 0);
	send_now(500);
	ipq_accept(handle, ipq_expect_packet(handle));
	before = mallinfo2();
	for (unsigned i = 1; i < 500; i++) {
		if (ipq_read(handle, ipq_buffer, sizeof ipq_buffer, ipq_wait_us()) <= 0)
			fail();
		ipq_set_verdict(handle, ipq_get_packet(ipq_buffer)->packet_id, NF_ACCEPT, 0, NULL);
	}
	after = mallinfo2();
	assert_int_equal(before.uordblks, after.uordblks);
	assert_int_equal(before.fordblks, after.fordblks);
	assert_int_equal(before.arena, after.arena);
	end(500);
	ipq_destroy_handle(handle);
#endif
}

/* ---- a program that is killed ---- */

static void a_killed_program_leaves_the_queue_free(void **state)
{
	struct load_sender sender;
	struct ipq_handle *handle;
	uint64_t received;

	(void)state;
	set_up();
	sender = new_sender(UINT32_MAX);
	sender.pause_us = 100;
	load_sender_open(&sender);
	load_sender_start(&sender);
	for (unsigned i = 0; i < 5; i++) {
		uint64_t so_far = load_receiver_count(receiver);
		struct vd_nfq_status status;
		int ended;
		pid_t child = fork();

		if (!child) {
			char program[512];

			/* this test's directory is build/X/test/kernel */
			if (readlink("/proc/self/exe", program, sizeof program - 32) > 0) {
				strcpy(strrchr(program, '/'), "/../ipq/passer");
				execl(program, program, (char *)NULL);
			}
			_exit(99);
		}
		load_receiver_wait(receiver, so_far + 200, 5000);
		assert_true(load_queue(0, &status));
		kill(child, SIGKILL);
		waitpid(child, &ended, 0);
		assert_true(WIFSIGNALED(ended));
		assert_false(load_queue(0, &status));
		received = load_receiver_count(receiver);
		assert_true(received >= so_far + 200);
	}
	load_sender_stop(&sender);
	load_sender_close(&sender);
	handle = ipq_open(PF_INET, IPQ_COPY_PACKET, 0);
	ipq_expect_silence(handle);
	received = load_receiver_wait(receiver, UINT64_MAX, 2000);
	send_now(FLOWS);
	assert_int_equal(read_all(handle), FLOWS);
	load_receiver_wait(receiver, received + FLOWS, 2000);
	assert_int_equal(load_receiver_stop(receiver).received, received + FLOWS);
	ipq_destroy_handle(handle);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_teardown(function, vd_net_teardown_any)
	const struct CMUnitTest tests[] = {
		TEST(a_hundred_thousand_keep_their_order),
		TEST(a_full_buffer_is_counted_and_nothing_else),
		TEST(a_full_queue_is_counted),
		TEST(losses_are_known_without_proc),
		TEST(several_threads_may_decide),
		TEST(several_threads_may_read),
		TEST(settings_change_while_packets_pass),
		TEST(a_packet_allocates_nothing),
		TEST(a_killed_program_leaves_the_queue_free),
	};

	return cmocka_run_group_tests_name("ipq_load", tests, NULL, NULL);
}
