/* SPDX-License-Identifier: MIT */
/*
 * lib/nfq by itself against the kernel's queue: who owns a queue, what it can be asked for, and that ids count what was lost.
 * The test is the only reader; packets go from near to far.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include <linux/capability.h>
#include <linux/netlink.h>

#include "test/support/reader.h"

#define OTHER_QUEUE (READER_QUEUE + 1)
#define FLAG_UNKNOWN (1u << 30)

static struct vd_net net;

/* ---- owning a queue ---- */

static void binds_and_gives_back(void **state)
{
	struct vd_nfq_settings settings = {.queue = READER_QUEUE, .maxlen = 777, .copy_range = 128, .flags = READER_GSO};
	struct vd_nfq nfq;
	struct vd_nfq_status status, all[4];
	uint32_t granted;

	(void)state;
	vd_net_setup(&net);
	assert_int_equal(vd_nfq_open(&nfq, NULL), 0);
	assert_int_equal(vd_nfq_status_of(nfq.status_descriptor, READER_QUEUE, &status), -ENOENT);
	assert_int_equal(vd_nfq_status_read(nfq.status_descriptor, all, 4), 0);

	assert_int_equal(vd_nfq_bind(&nfq, &settings, &granted), 0);
	assert_int_equal(granted, READER_GSO);
	status = reader_status(&nfq);
	assert_int_equal(status.queue, READER_QUEUE);
	assert_int_equal(status.portid, nfq.portid);
	assert_int_equal(status.waiting, 0);
	assert_int_equal(status.copy_mode, 2);
	assert_int_equal(status.copy_range, 128);
	assert_int_equal(status.id_sequence, 0);
	assert_int_equal(vd_nfq_status_read(nfq.status_descriptor, all, 4), 1);
	reader_expect_silence(&nfq);

	assert_int_equal(vd_nfq_unbind(&nfq), 0);
	assert_int_equal(vd_nfq_status_of(nfq.status_descriptor, READER_QUEUE, &status), -ENOENT);
	assert_int_equal(vd_nfq_unbind(&nfq), 0);
	assert_int_equal(vd_nfq_bind(&nfq, &settings, &granted), 0);
	vd_nfq_close(&nfq);

	assert_int_equal(vd_nfq_open(&nfq, NULL), 0);
	assert_int_equal(vd_nfq_status_of(nfq.status_descriptor, READER_QUEUE, &status), -ENOENT);
	vd_nfq_close(&nfq);
	vd_nfq_close(&nfq);
}

static void drops_what_waits_at_unbind(void **state)
{
	int sender, receiver;
	struct vd_nfq nfq;

	(void)state;
	vd_net_setup(&net);
	reader_queue_output(READER_QUEUE);
	reader_bind(&nfq, READER_QUEUE, 0, 0);
	sender = traffic_udp_open(net.near, AF_INET, 0);
	receiver = traffic_udp_open(net.far, AF_INET, READER_PORT);
	for (unsigned i = 0; i < 5; i++)
		reader_send_text(sender, "waits");
	assert_int_equal(reader_status(&nfq).waiting, 5);
	assert_int_equal(vd_nfq_unbind(&nfq), 0);
	for (uint32_t id = 1; id <= 5; id++) /* what was sent up can still be read ... */
		assert_int_equal(reader_expect_packet(&nfq)->id, id);
	reader_expect_silence(&nfq);
	reader_answer(&nfq, READER_QUEUE, 5, VD_ACCEPT); /* ... but is gone */
	reader_expect_error(&nfq, ENODEV, 5);
	reader_expect_nothing(receiver);
	vd_nfq_close(&nfq);
	close(sender);
	close(receiver);
}

static void is_refused_what_is_anothers(void **state)
{
	struct vd_nfq_settings settings = {.queue = READER_QUEUE, .maxlen = 10, .copy_range = 128};
	struct vd_nfq owner, other;
	uint32_t granted, portid;

	(void)state;
	vd_net_setup(&net);
	reader_bind(&owner, READER_QUEUE, 0, 0);
	portid = reader_status(&owner).portid;
	assert_int_equal(vd_nfq_open(&other, NULL), 0);
	assert_int_equal(vd_nfq_bind(&other, &settings, &granted), -EPERM);
	assert_false(other.bound);
	assert_int_equal(vd_nfq_bind(&owner, &settings, &granted), -EBUSY);
	assert_int_equal(reader_status(&owner).portid, portid);
	assert_int_equal(reader_status(&owner).copy_range, VD_NFQ_COPY_RANGE_MAX);

	settings.queue = OTHER_QUEUE; /* a refusal leaves the socket good for another queue */
	assert_int_equal(vd_nfq_bind(&other, &settings, &granted), 0);
	reader_answer(&other, READER_QUEUE, 1, VD_ACCEPT);
	reader_expect_error(&other, EPERM, 1);
	vd_nfq_close(&owner);
	settings.queue = READER_QUEUE; /* one socket may own several queues */
	assert_int_equal(vd_nfq_bind(&other, &settings, &granted), 0);
	vd_nfq_close(&other);
}

/* A privileged program could send to the socket; what it sends would be read as the kernel's word. */
static void hears_nobody_but_the_kernel(void **state)
{
	struct sockaddr_nl address = {.nl_family = AF_NETLINK};
	struct nlmsghdr message = {.nlmsg_len = sizeof message, .nlmsg_type = NLMSG_ERROR};
	struct vd_nfq nfq;
	int stranger;

	(void)state;
	vd_net_setup(&net);
	reader_bind(&nfq, READER_QUEUE, 0, 0);
	stranger = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	assert_true(stranger >= 0);
	address.nl_pid = nfq.portid;
	assert_int_equal(sendto(stranger, &message, sizeof message, 0, (struct sockaddr *)&address, sizeof address), -1);
	assert_int_equal(errno, ECONNREFUSED);
	reader_expect_silence(&nfq);
	close(stranger);
	vd_nfq_close(&nfq);
}

/* ---- flags ---- */

static void probes_flags_without_a_trace(void **state)
{
	static const uint32_t flags[] = {READER_FAIL_OPEN, READER_CONNTRACK, READER_GSO, READER_UID_GID, READER_SECCTX};
	struct vd_nfq_settings settings = {.queue = READER_QUEUE, .maxlen = 10};
	struct vd_nfq nfq, owner_of_0;
	struct vd_nfq_status all[4];
	uint32_t granted, known = 0;

	(void)state;
	vd_net_setup(&net);
	assert_int_equal(vd_nfq_open(&nfq, NULL), 0);
	for (unsigned i = 0; i < sizeof flags / sizeof *flags; i++) {
		int result = vd_nfq_probe_flag(&nfq, flags[i]);

		assert_true(result == 0 || result == -EOPNOTSUPP);
		known |= result ? 0 : flags[i];
		print_message("flag %u: %s\n", flags[i], result ? "no" : "yes");
	}
	assert_true(known & READER_GSO && known & READER_FAIL_OPEN && known & READER_UID_GID);
	assert_int_equal(vd_nfq_probe_flag(&nfq, FLAG_UNKNOWN), -EOPNOTSUPP);
	assert_int_equal(vd_nfq_probe_flag(&nfq, 1u << 31), -EOPNOTSUPP);
	assert_int_equal(vd_nfq_status_read(nfq.status_descriptor, all, 4), 0);
	reader_expect_silence(&nfq);

	/* queue 0, which is asked, being another's or one's own makes no difference */
	reader_bind(&owner_of_0, 0, 0, 0);
	assert_int_equal(vd_nfq_probe_flag(&nfq, READER_GSO), 0);
	assert_int_equal(vd_nfq_probe_flag(&nfq, FLAG_UNKNOWN), -EOPNOTSUPP);
	reader_expect_silence(&nfq);
	vd_nfq_close(&owner_of_0);

	/* all the flags at once: what is known is granted, the rest left out */
	settings.flags = READER_FAIL_OPEN | READER_CONNTRACK | READER_GSO | READER_UID_GID | READER_SECCTX | FLAG_UNKNOWN;
	assert_int_equal(vd_nfq_bind(&nfq, &settings, &granted), 0);
	assert_int_equal(granted, known);
	reader_expect_silence(&nfq);
	assert_int_equal(reader_status(&nfq).copy_range, VD_NFQ_COPY_RANGE_MAX);
	vd_nfq_close(&nfq);
}

struct unprivileged {
	struct vd_nfq nfq;
	struct vd_nfq_settings settings;
	int probed, bound;
	size_t granted;
	int sized;
};

/* Capabilities are a thread's own. */
static void *try_without_privilege(void *argument)
{
	struct unprivileged *result = argument;
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[2] = {{0}};
	uint32_t granted;

	if (syscall(SYS_capset, &header, none))
		return NULL;
	result->probed = vd_nfq_probe_flag(&result->nfq, READER_GSO);
	result->bound = vd_nfq_bind(&result->nfq, &result->settings, &granted);
	result->sized = vd_nfq_set_receive_buffer(&result->nfq, 64u << 20, &result->granted);
	return result;
}

static void says_when_it_lacks_privilege(void **state)
{
	struct unprivileged result = {.settings = {.queue = READER_QUEUE, .maxlen = 10}};
	struct vd_nfq_status status;
	char rmem_max[32];
	pthread_t thread;
	void *done;

	(void)state;
	vd_net_setup(&net);
	assert_int_equal(vd_nfq_open(&result.nfq, NULL), 0);
	assert_int_equal(pthread_create(&thread, NULL, try_without_privilege, &result), 0);
	pthread_join(thread, &done);
	assert_non_null(done);
	assert_int_equal(result.probed, -EPERM);
	assert_int_equal(result.bound, -EPERM);
	assert_int_equal(vd_nfq_status_of(result.nfq.status_descriptor, READER_QUEUE, &status), -ENOENT);

	assert_int_equal(result.sized, 0); /* not refused, but cut: twice net.core.rmem_max */
	vd_net_read_command(rmem_max, sizeof rmem_max, "cat /proc/sys/net/core/rmem_max");
	assert_int_equal(result.granted, 2 * strtoul(rmem_max, NULL, 10));
	vd_nfq_close(&result.nfq);
}

static void gets_the_buffer_that_it_asks_for(void **state)
{
	static const size_t sizes[] = {64 << 10, 1 << 20, 16 << 20, VD_NFQ_RECEIVE_BUFFER_MAX};
	struct vd_nfq nfq;
	size_t granted;

	(void)state;
	vd_net_setup(&net);
	assert_int_equal(vd_nfq_open(&nfq, NULL), 0);
	for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		assert_int_equal(vd_nfq_set_receive_buffer(&nfq, sizes[i], &granted), 0);
		assert_int_equal(granted, sizes[i]);
	}
	vd_nfq_close(&nfq);
}

/*
 * The promise of vd_nfq_receive_buffer(): maxlen packets fit, whatever their size; also with time stamps, which every packet gets
 * as soon as any socket of the machine wants some.
 */
static void buffer_holds_a_full_queue(void **state)
{
	static const uint32_t ranges[] = {0, 128, 600};
	static const size_t lengths[] = {1, 100, 300, 700, 1472};
	const unsigned maxlen = 1000;
	uint8_t data[1472] = {0};
	int sender, wants, on = 1;

	(void)state;
	vd_net_setup(&net);
	reader_queue_output(READER_QUEUE);
	sender = traffic_udp_open(net.near, AF_INET, 0);
	wants = traffic_udp_open(net.near, AF_INET, 0);
	assert_int_equal(setsockopt(wants, SOL_SOCKET, SO_TIMESTAMP, &on, sizeof on), 0);
	for (unsigned i = 0; i < sizeof ranges / sizeof *ranges; i++)
		for (unsigned j = 0; j < sizeof lengths / sizeof *lengths; j++) {
			struct vd_nfq nfq;
			size_t granted;

			reader_bind(&nfq, READER_QUEUE, ranges[i], READER_GSO);
			vd_nfq_set_receive_buffer(&nfq, vd_nfq_receive_buffer(maxlen, ranges[i]), &granted);
			for (unsigned sent = 0; sent < maxlen; sent++)
				assert_int_equal(traffic_send(sender, VD_NET_FAR_V4, READER_PORT, data, lengths[j]), 0);
			assert_int_equal(reader_status(&nfq).user_dropped, 0);
			assert_int_equal(reader_status(&nfq).waiting, maxlen);
			vd_nfq_close(&nfq);
		}
	close(wants);
	close(sender);
}

/* ---- waking ---- */

struct sleeper {
	struct vd_nfq nfq;
	_Atomic bool is_awake;
	ssize_t received;
	uint8_t buffer[512];
};

static void *sleep_in_recv(void *argument)
{
	struct sleeper *sleeper = argument;

	sleeper->received = recv(sleeper->nfq.descriptor, sleeper->buffer, sizeof sleeper->buffer, 0);
	atomic_store_explicit(&sleeper->is_awake, true, memory_order_release);
	return NULL;
}

static bool is_awake(void *argument)
{
	return atomic_load_explicit(&((struct sleeper *)argument)->is_awake, memory_order_acquire);
}

static void wakes_a_sleeping_receiver(void **state)
{
	struct vd_nfq_error error;
	struct vd_packet *packet;
	pthread_t thread;
	struct sleeper *sleeper = calloc(1, sizeof *sleeper);

	(void)state;
	vd_net_setup(&net);
	for (unsigned round = 0; round < 20; round++) {
		reader_bind(&sleeper->nfq, READER_QUEUE, 0, 0);
		atomic_store_explicit(&sleeper->is_awake, false, memory_order_release);
		assert_int_equal(pthread_create(&thread, NULL, sleep_in_recv, sleeper), 0);
		if (round % 2) /* also when it does not sleep yet */
			traffic_sleep_ms(5);
		assert_false(is_awake(sleeper));
		vd_nfq_wake(&sleeper->nfq);
		assert_true(traffic_wait_until(is_awake, sleeper, 2000));
		pthread_join(thread, NULL);
		assert_true(sleeper->received > 0);
		packet = &reader_slot.packet;
		memcpy(reader_slot.room, sleeper->buffer, sizeof sleeper->buffer);
		assert_int_equal(vd_nfq_read_message(packet, reader_slot.room, (uint32_t)sleeper->received, sizeof reader_slot.room, false, &error),
				 VD_NFQ_NOTHING);
		assert_int_equal(reader_status(&sleeper->nfq).portid, sleeper->nfq.portid);
		vd_nfq_close(&sleeper->nfq);
	}
	free(sleeper);
}

/* ---- loss ---- */

/* A socket buffer that is too small: what was lost is the gaps in the ids, to the packet, in spite of several fillings. */
static void gaps_count_what_was_lost(void **state)
{
	const unsigned bursts = 5, in_burst = 200;
	uint32_t last = 0, received = 0, lost = 0;
	int sender, receiver;
	struct vd_nfq nfq;
	size_t granted;

	(void)state;
	vd_net_setup(&net);
	reader_queue_output(READER_QUEUE);
	reader_bind(&nfq, READER_QUEUE, 0, 0);
	assert_int_equal(vd_nfq_set_receive_buffer(&nfq, 30000, &granted), 0);
	sender = traffic_udp_open(net.near, AF_INET, 0);
	receiver = traffic_udp_open(net.far, AF_INET, READER_PORT);
	for (unsigned burst = 0; burst < bursts; burst++) {
		for (unsigned i = 0; i < in_burst; i++)
			reader_send_text(sender, "lost or not");
		for (unsigned i = 0; i < in_burst && reader_read(&nfq, &reader_slot, 0) == VD_NFQ_PACKET; i++) {
			lost += reader_slot.packet.id - last - 1;
			last = reader_slot.packet.id;
			received++;
			reader_answer(&nfq, READER_QUEUE, last, VD_ACCEPT);
		}
	}
	lost += reader_status(&nfq).id_sequence - last;
	assert_int_equal(received + lost, bursts * in_burst);
	assert_true(received >= bursts && lost > 0);
	assert_int_equal(reader_status(&nfq).user_dropped, lost);
	assert_int_equal(reader_status(&nfq).queue_dropped, 0);
	assert_int_equal(reader_status(&nfq).waiting, 0);
	assert_int_equal(traffic_rule_packets(net.near, "iptables-legacy", "filter", "queued"), bursts * in_burst);
	assert_int_equal(traffic_drain(receiver, 50), received);
	vd_nfq_close(&nfq);
	close(sender);
	close(receiver);
}

static void a_full_queue_takes_no_ids(void **state)
{
	struct vd_nfq_settings settings = {.queue = READER_QUEUE, .maxlen = 10};
	int sender, receiver;
	struct vd_nfq nfq;
	uint32_t granted;

	(void)state;
	vd_net_setup(&net);
	reader_queue_output(READER_QUEUE);
	sender = traffic_udp_open(net.near, AF_INET, 0);
	receiver = traffic_udp_open(net.far, AF_INET, READER_PORT);
	for (unsigned fail_open = 0; fail_open < 2; fail_open++) {
		settings.flags = fail_open ? READER_FAIL_OPEN : 0;
		assert_int_equal(vd_nfq_open(&nfq, NULL), 0);
		assert_int_equal(vd_nfq_bind(&nfq, &settings, &granted), 0);
		for (unsigned i = 0; i < 25; i++)
			reader_send_text(sender, "full");
		assert_int_equal(reader_status(&nfq).waiting, 10);
		assert_int_equal(reader_status(&nfq).id_sequence, 10);
		assert_int_equal(reader_status(&nfq).queue_dropped, fail_open ? 0 : 15);
		assert_int_equal(reader_status(&nfq).user_dropped, 0);
		assert_int_equal(traffic_drain(receiver, 50), fail_open ? 15 : 0);
		for (uint32_t id = 1; id <= 10; id++)
			assert_int_equal(reader_expect_packet(&nfq)->id, id);
		reader_answer_range(&nfq, 10, 10, VD_ACCEPT);
		assert_int_equal(traffic_drain(receiver, 50), 10);
		vd_nfq_close(&nfq);
	}
	close(sender);
	close(receiver);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(binds_and_gives_back, vd_net_teardown_any),
		cmocka_unit_test_teardown(drops_what_waits_at_unbind, vd_net_teardown_any),
		cmocka_unit_test_teardown(is_refused_what_is_anothers, vd_net_teardown_any),
		cmocka_unit_test_teardown(hears_nobody_but_the_kernel, vd_net_teardown_any),
		cmocka_unit_test_teardown(probes_flags_without_a_trace, vd_net_teardown_any),
		cmocka_unit_test_teardown(says_when_it_lacks_privilege, vd_net_teardown_any),
		cmocka_unit_test_teardown(gets_the_buffer_that_it_asks_for, vd_net_teardown_any),
		cmocka_unit_test_teardown(buffer_holds_a_full_queue, vd_net_teardown_any),
		cmocka_unit_test_teardown(wakes_a_sleeping_receiver, vd_net_teardown_any),
		cmocka_unit_test_teardown(gaps_count_what_was_lost, vd_net_teardown_any),
		cmocka_unit_test_teardown(a_full_queue_takes_no_ids, vd_net_teardown_any),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
