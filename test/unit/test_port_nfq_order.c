/* SPDX-License-Identifier: MIT */
/*
 * Packets that wait to be dropped by one message: in whatever order they are finished, each is dropped once, and no message ever
 * speaks of a packet that is still in flight. And packets that may be answered in ranges: none before them is in flight. The
 * kernel's end of the socket is here.
 */
#include <arpa/inet.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>

#include "engine/port_nfq_order.h"
#include "test/support/random.h"

#define MAXLEN 16384u
#define IDS_MAX 200000u
#define FIRST_ID 0xfffffc00u /* ids wrap */

static struct nfq_order order;
static struct vd_nfq nfq;
static int kernel; /* the other end */

/* By packet, counted from 0. */
static _Atomic uint8_t finished[IDS_MAX];  /* it is no longer in flight */
static uint8_t is_dropped[IDS_MAX];	   /* by a message */
static _Atomic uint8_t goes_on[IDS_MAX];   /* it was answered by a message of its own */
static uint32_t oldest, messages;

static void set_up(uint32_t maxlen)
{
	int ends[2], size = 4 << 20;

	memset((void *)&order, 0, sizeof order);
	memset((void *)finished, 0, sizeof finished);
	memset(is_dropped, 0, sizeof is_dropped);
	memset((void *)goes_on, 0, sizeof goes_on);
	oldest = messages = 0;
	nfq_order_init(&order, maxlen);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
	setsockopt(ends[0], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
	nfq.descriptor = ends[0];
	kernel = ends[1];
}

static void tear_down(void)
{
	close(nfq.descriptor);
	close(kernel);
}

/* What the kernel does with a message of the port: a range takes all that are there up to its last. */
static void take_message(const uint8_t *bytes, size_t length)
{
	const struct nlmsghdr *message = (const void *)bytes;
	const struct nfqnl_msg_verdict_hdr *verdict =
		(const void *)(bytes + NLMSG_HDRLEN + sizeof(struct nfgenmsg) + NLA_HDRLEN);
	bool is_range = (message->nlmsg_type & 0xff) == NFQNL_MSG_VERDICT_BATCH;
	uint32_t last = ntohl(verdict->id) - FIRST_ID, taken = 0;

	assert_int_equal(length, 32);
	assert_int_equal(ntohl(verdict->verdict), NF_DROP);
	assert_in_range(last, 0, IDS_MAX - 1);
	messages++;
	for (uint32_t i = is_range ? oldest : last; i <= last; i++) {
		if (!atomic_load(&finished[i]))
			fail_msg("packet %u is dropped with those up to %u, and is in flight", i, last);
		if (goes_on[i] || is_dropped[i])
			continue;
		is_dropped[i] = 1;
		taken++;
	}
	assert_int_equal(taken, is_range ? message->nlmsg_seq : 1);
	while (oldest < IDS_MAX && (is_dropped[oldest] || goes_on[oldest]))
		oldest++;
}

static bool take_next(int flags)
{
	_Alignas(8) uint8_t bytes[256];
	ssize_t got = recv(kernel, bytes, sizeof bytes, flags);

	if (got <= 0)
		return false;
	take_message(bytes, (size_t)got);
	return true;
}

static struct vd_packet make(uint32_t number)
{
	return (struct vd_packet){.id = FIRST_ID + number, .queue = 3, .port_private = 0xdead};
}

/* A range that ends with this packet would answer all before it. */
static void expect_all_answered_before(uint32_t number)
{
	for (uint32_t i = number > 2 * NFQ_ORDER_PLACES ? number - 2 * NFQ_ORDER_PLACES : 0; i < number; i++)
		if (!atomic_load(&finished[i]))
			fail_msg("packet %u is at the mark, and %u is in flight", number, i);
}

/* One packet is finished: what becomes of it is told by `verdict`. */
static bool finish(struct vd_packet *packet, enum vd_verdict verdict, struct vd_nfq_batch *batch)
{
	uint32_t number = packet->id - FIRST_ID;
	bool waits;

	packet->verdict = (uint8_t)verdict;
	if (nfq_order_at_mark(&order, &packet, 1))
		expect_all_answered_before(number);
	waits = nfq_order_can_wait(&order, packet);
	if (!waits)
		goes_on[number] = 1; /* what a message of its own would do */
	atomic_store(&finished[number], 1);
	vd_nfq_batch_reset(batch);
	assert_int_equal(nfq_order_settle(&order, &nfq, &packet, 1, waits, batch), 0);
	return waits;
}

static void expect_all(uint32_t count)
{
	while (take_next(MSG_DONTWAIT))
		;
	for (uint32_t i = 0; i < count; i++)
		if (is_dropped[i] + goes_on[i] != 1)
			fail_msg("packet %u was dropped %u times, and went on %u times", i, is_dropped[i], goes_on[i]);
}

static void in_any_order(void **state)
{
	static struct vd_packet packets[300];
	struct vd_nfq_batch *batch = malloc(sizeof *batch);
	uint64_t random = bytes_seed("order");

	(void)state;
	for (unsigned round = 0; round < 50; round++) {
		unsigned turn[300];

		set_up(MAXLEN);
		for (unsigned i = 0; i < 300; i++) {
			struct vd_packet *packet = &packets[i];
			unsigned j = bytes_random_below(&random, i + 1);

			packets[i] = make(i);
			nfq_order_track(&order, &packet, 1);
			turn[i] = turn[j];
			turn[j] = i;
		}
		for (unsigned i = 0; i < 300; i++) {
			finish(&packets[turn[i]], bytes_random_below(&random, 3) ? VD_DROP : VD_ACCEPT, batch);
			while (take_next(MSG_DONTWAIT))
				;
		}
		expect_all(300);
		assert_int_equal(order.swept, 300);
		tear_down();
	}
	free(batch);
}

/* One that is not finished holds up so many, and no more: the others are answered by themselves. */
static void a_slow_packet_holds_up_few(void **state)
{
	static struct vd_packet packets[5000];
	struct vd_nfq_batch *batch = malloc(sizeof *batch);
	unsigned waiting = 0;

	(void)state;
	set_up(MAXLEN);
	for (unsigned i = 0; i < 5000; i++) {
		struct vd_packet *packet = &packets[i];

		packets[i] = make(i);
		nfq_order_track(&order, &packet, 1);
		if (i && i != 4000)
			waiting += finish(&packets[i], VD_DROP, batch);
	}
	assert_false(take_next(MSG_DONTWAIT));
	assert_in_range(waiting, 100, NFQ_ORDER_WAITING_MAX);
	finish(&packets[0], VD_ACCEPT, batch);
	while (take_next(MSG_DONTWAIT))
		;
	assert_int_equal(messages, 1);
	/* while there are packets without a place nobody else gets one */
	packets[1] = make(5000);
	nfq_order_track(&order, &(struct vd_packet *){&packets[1]}, 1);
	assert_false(finish(&packets[1], VD_DROP, batch));
	finish(&packets[4000], VD_DROP, batch);
	expect_all(5001);
	/* it finds its track again */
	for (unsigned i = 0; i < 10; i++) {
		struct vd_packet *packet = &packets[i];

		packets[i] = make(5001 + i);
		nfq_order_track(&order, &packet, 1);
		assert_true(finish(&packets[i], VD_DROP, batch));
	}
	expect_all(5011);
	tear_down();
	free(batch);
}

static void what_is_next_is_at_the_mark(void **state)
{
	struct vd_nfq_batch *batch = malloc(sizeof *batch);
	struct vd_packet room[8], *packets[8], *others[2];

	(void)state;
	set_up(0);
	for (unsigned i = 0; i < 8; i++) {
		room[i] = make(i);
		packets[i] = &room[i];
	}
	nfq_order_track(&order, packets, 8);
	assert_int_equal(nfq_order_at_mark(&order, packets, 8), 8);
	assert_int_equal(nfq_order_at_mark(&order, packets + 1, 7), 0);
	others[0] = packets[0];
	others[1] = packets[2];
	assert_int_equal(nfq_order_at_mark(&order, others, 2), 1);
	finish(packets[1], VD_ACCEPT, batch); /* not the first one */
	assert_int_equal(nfq_order_at_mark(&order, packets + 2, 6), 0);
	finish(packets[0], VD_ACCEPT, batch);
	assert_int_equal(nfq_order_at_mark(&order, packets + 2, 6), 6);
	assert_int_equal(nfq_order_settle(&order, &nfq, packets + 2, 6, 0, batch), 0);
	room[0] = make(8);
	nfq_order_track(&order, packets, 1);
	assert_int_equal(nfq_order_at_mark(&order, packets, 1), 1);
	tear_down();
	free(batch);
}

static void short_queues_wait_for_nothing(void **state)
{
	struct vd_nfq_batch *batch = malloc(sizeof *batch);
	struct vd_packet first = make(0), second = make(1), *packets[] = {&first, &second};

	(void)state;
	set_up(NFQ_ORDER_MAXLEN_MIN - 1);
	nfq_order_track(&order, packets, 2);
	assert_false(finish(&second, VD_DROP, batch));
	assert_false(finish(&first, VD_REJECT, batch));
	assert_false(take_next(MSG_DONTWAIT));
	tear_down();
	free(batch);
}

/* ---- several threads ---- */

#define THREADS 4u
#define PER_THREAD 20000u

static struct vd_packet *many;
static _Atomic uint32_t tracked; /* packets up to here may be finished */
static _Atomic uint32_t done;	 /* so many are */

static void *finish_own(void *argument)
{
	struct vd_nfq_batch *batch = malloc(sizeof *batch);
	unsigned own = (unsigned)(uintptr_t)argument;
	uint64_t random = own + 1;

	for (uint32_t i = own; i < THREADS * PER_THREAD; i += THREADS) {
		while (atomic_load_explicit(&tracked, memory_order_acquire) <= i)
			sched_yield();
		finish(&many[i], bytes_random_below(&random, 8) ? VD_DROP : VD_ACCEPT, batch);
		atomic_fetch_add(&done, 1);
	}
	free(batch);
	return NULL;
}

static void *take_messages(void *unused)
{
	while (take_next(0))
		;
	return unused;
}

static void by_several_threads(void **state)
{
	pthread_t threads[THREADS], taker;
	uint32_t i = 0;

	(void)state;
	set_up(MAXLEN);
	tracked = done = 0;
	many = calloc(THREADS * PER_THREAD, sizeof *many);
	assert_non_null(many);
	assert_int_equal(pthread_create(&taker, NULL, take_messages, NULL), 0);
	for (unsigned thread = 0; thread < THREADS; thread++)
		assert_int_equal(pthread_create(&threads[thread], NULL, finish_own, (void *)(uintptr_t)thread), 0);
	while (i < THREADS * PER_THREAD) {
		struct vd_packet *burst[16];

		bool is_empty = i / 16 % 8 == 0; /* now and then, nothing is in flight */

		while (i - atomic_load(&done) > (is_empty ? 0 : 100))
			sched_yield();
		if (is_empty) /* then nothing waits either */
			assert_int_equal(atomic_load(&order.swept), i);
		for (unsigned j = 0; j < 16; j++) {
			many[i + j] = make(i + j);
			burst[j] = &many[i + j];
		}
		nfq_order_track(&order, burst, 16);
		i += 16;
		atomic_store_explicit(&tracked, i, memory_order_release);
	}
	for (unsigned thread = 0; thread < THREADS; thread++)
		pthread_join(threads[thread], NULL);
	shutdown(nfq.descriptor, SHUT_WR);
	pthread_join(taker, NULL);
	expect_all(THREADS * PER_THREAD);
	assert_false(atomic_load(&order.sweeping));
	assert_in_range(messages, 100, THREADS * PER_THREAD / 2);
	free(many);
	tear_down();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_any_order),
		cmocka_unit_test(a_slow_packet_holds_up_few),
		cmocka_unit_test(what_is_next_is_at_the_mark),
		cmocka_unit_test(short_queues_wait_for_nothing),
		cmocka_unit_test(by_several_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
