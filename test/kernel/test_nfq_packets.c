/* SPDX-License-Identifier: MIT */
/*
 * lib/nfq by itself against the kernel's queue: what the kernel says of a packet, and what a verdict does. The test is the only
 * reader; packets go from near to far, or back.
 */
#include <errno.h>
#include <net/if.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "test/support/reader.h"

/* as in <linux/netfilter.h>, which does not go with the C library's headers */
#define NF_ACCEPT_ 1u
#define NF_STOLEN_ 2u
#define HOOK_LOCAL_IN 1u
#define HOOK_FORWARD 2u
#define HOOK_LOCAL_OUT 3u

static struct vd_net net;

/* ---- what the kernel says of a packet ---- */

static void copies_as_much_as_asked(void **state)
{
	static const struct {
		uint32_t range, data, expected;
	} cases[] = {
		{0, 1000, 1028},    {64, 1000, 64},	    {128, 1000, 128},	  {128, 100, 128}, {128, 99, 127},
		{128, 101, 128},    {1, 1000, 1},	    {1028, 1000, 1028},	  {1027, 1000, 1027},
		{65531, 65503, 65531}, {65531, 65507, 65531}, {0, 65507, 65531}, {4096, 65507, 4096},
	};
	uint8_t *data = calloc(1, 65536);
	int sender;

	(void)state;
	vd_net_setup(&net);
	reader_queue_output(READER_QUEUE);
	sender = traffic_udp_open(net.near, AF_INET, 0);
	for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct vd_packet *packet;
		struct vd_nfq nfq;
		size_t granted;

		reader_bind(&nfq, READER_QUEUE, cases[i].range, READER_GSO);
		vd_nfq_set_receive_buffer(&nfq, 1 << 20, &granted);
		/* lo: no datagram is too long for it */
		assert_int_equal(traffic_send(sender, "127.0.0.1", READER_PORT, data, cases[i].data), 0);
		packet = reader_expect_packet(&nfq);
		assert_int_equal(vd_packet_length(packet), cases[i].expected);
		assert_int_equal(vd_packet_wire_length(packet), cases[i].data + 28);
		assert_int_equal(vd_packet_is_truncated(packet), cases[i].expected < cases[i].data + 28);
		assert_false(vd_packet_is_malformed(packet) && cases[i].expected >= 28);
		reader_answer(&nfq, READER_QUEUE, packet->id, VD_DROP);
		vd_nfq_close(&nfq);
	}
	close(sender);
	free(data);
}

/* A socket whose owner is user 1234, group 2345. */
static void *open_as_another(void *argument)
{
	/* the system calls, because the C library's change all threads */
	if (!syscall(SYS_setresgid, 2345, 2345, 2345) && !syscall(SYS_setresuid, 1234, 1234, 1234))
		*(int *)argument = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return NULL;
}

static void reads_attributes_of_output(void **state)
{
	int sender = -1, priority = 5;
	const uint8_t *payload;
	struct vd_packet *packet;
	uint32_t number = 0, length;
	struct vd_nfq nfq;
	pthread_t thread;

	(void)state;
	vd_net_setup(&net);
	vd_net_command("iptables-legacy -t mangle -A OUTPUT -p udp -j MARK --set-mark 0xcafe0123");
	reader_queue_output(READER_QUEUE);
	reader_bind(&nfq, READER_QUEUE, 0, READER_UID_GID | READER_GSO);
	assert_int_equal(pthread_create(&thread, NULL, open_as_another, &sender), 0);
	pthread_join(thread, NULL);
	assert_true(sender >= 0);
	assert_int_equal(setsockopt(sender, SOL_SOCKET, SO_PRIORITY, &priority, sizeof priority), 0);
	reader_send_text(sender, "hello");

	packet = reader_expect_packet(&nfq);
	assert_int_equal(vd_packet_id(packet), 1);
	assert_int_equal(vd_packet_queue(packet), READER_QUEUE);
	assert_int_equal(vd_packet_hook(packet), HOOK_LOCAL_OUT);
	assert_int_equal(vd_packet_ethertype(packet), 0x0800);
	assert_int_equal(packet->family, AF_INET);
	assert_int_equal(vd_packet_mark(packet), 0xcafe0123);
	assert_int_equal(vd_packet_indev(packet), 0);
	assert_int_equal(vd_packet_outdev(packet), if_nametoindex(VD_NET_NEAR_DEVICE));
	assert_null(vd_packet_hardware_address(packet, &length));
	assert_true(vd_packet_timestamp_ns(packet) == 0);
	assert_int_equal(vd_packet_uid(packet, &number), 0);
	assert_int_equal(number, 1234);
	assert_int_equal(vd_packet_gid(packet, &number), 0);
	assert_int_equal(number, 2345);
	assert_int_equal(vd_packet_priority(packet), 5);
	assert_true(vd_packet_checksum_not_ready(packet)); /* the device makes it */
	assert_false(vd_packet_is_gso(packet));
	assert_int_equal(vd_packet_length(packet), 28 + 5);
	assert_int_equal(vd_packet_wire_length(packet), 28 + 5);
	assert_int_equal(vd_packet_physindev(packet), 0);
	assert_int_equal(vd_packet_physoutdev(packet), 0);
	assert_int_equal(vd_packet_destination_port(packet), READER_PORT);
	payload = vd_packet_payload(packet, &length);
	assert_int_equal(length, 5);
	assert_memory_equal(payload, "hello", 5);
	close(sender);

	/* without all that: as nobody in particular, no mark, no priority, a checksum that the stack makes */
	vd_net_command("iptables-legacy -t mangle -F");
	vd_net_set_offload(VD_NET_NEAR_DEVICE, false);
	sender = traffic_udp_open(net.near, AF_INET, 0);
	reader_send_text(sender, "hello");
	packet = reader_expect_packet(&nfq);
	assert_int_equal(vd_packet_id(packet), 2);
	assert_int_equal(vd_packet_mark(packet), 0);
	assert_int_equal(vd_packet_priority(packet), 0);
	assert_false(vd_packet_checksum_not_ready(packet));
	assert_int_equal(vd_packet_uid(packet, &number), 0);
	assert_int_equal(number, 0);
	close(sender);
	vd_nfq_close(&nfq);

	/* who did not ask for the owner is not told */
	reader_bind(&nfq, READER_QUEUE, 0, 0);
	sender = traffic_udp_open(net.near, AF_INET, 0);
	reader_send_text(sender, "hello");
	packet = reader_expect_packet(&nfq);
	assert_int_equal(vd_packet_uid(packet, &number), -ENODATA);
	assert_int_equal(vd_packet_gid(packet, &number), -ENODATA);
	close(sender);
	vd_nfq_close(&nfq);
}

/* The kernel stamps packets while some socket wants it. */
static int want_timestamps(void)
{
	int sock = traffic_udp_open(TRAFFIC_HERE, AF_INET, 0), on = 1;
	struct timespec now, later;

	assert_int_equal(setsockopt(sock, SOL_SOCKET, SO_TIMESTAMP, &on, sizeof on), 0);
	clock_gettime(CLOCK_MONOTONIC, &now);
	do /* it begins to a moment later: the kernel patches its code */
		clock_gettime(CLOCK_MONOTONIC, &later);
	while ((later.tv_sec - now.tv_sec) * 1000000000 + later.tv_nsec - now.tv_nsec < 20000000);
	return sock;
}

static void expect_recent(uint64_t timestamp_ns)
{
	struct timespec now;
	uint64_t now_ns;

	clock_gettime(CLOCK_REALTIME, &now);
	now_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	assert_true(timestamp_ns <= now_ns);
	assert_true(timestamp_ns > now_ns - 10000000000 * traffic_patience());
}

static void reads_attributes_of_input(void **state)
{
	static const struct {
		int family;
		const char *program, *source, *destination;
		unsigned ethertype;
	} cases[] = {
		{AF_INET, "iptables-legacy", VD_NET_FAR_V4, VD_NET_NEAR_V4, 0x0800},
		{AF_INET6, "ip6tables-legacy", VD_NET_FAR_V6, VD_NET_NEAR_V6, 0x86dd},
	};
	const uint8_t *address;
	struct vd_packet *packet;
	uint32_t number, length;
	struct vd_nfq nfq;
	int sender, stamped;

	(void)state;
	vd_net_setup(&net);
	stamped = want_timestamps();
	reader_bind(&nfq, READER_QUEUE, 0, READER_UID_GID);
	for (unsigned i = 0; i < 2; i++) {
		vd_net_command("%s -A INPUT -p udp --dport %d -j NFQUEUE --queue-num %d", cases[i].program, READER_PORT, READER_QUEUE);
		sender = traffic_udp_open(net.far, cases[i].family, 0);
		assert_int_equal(traffic_send(sender, cases[i].destination, READER_PORT, "x", 1), 0);
		packet = reader_expect_packet(&nfq);
		assert_int_equal(vd_packet_hook(packet), HOOK_LOCAL_IN);
		assert_int_equal(vd_packet_ethertype(packet), cases[i].ethertype);
		assert_int_equal(packet->family, cases[i].family);
		assert_int_equal(vd_packet_ip_version(packet), i ? 6 : 4);
		assert_int_equal(vd_packet_indev(packet), if_nametoindex(VD_NET_NEAR_DEVICE));
		assert_int_equal(vd_packet_outdev(packet), 0);
		address = vd_packet_hardware_address(packet, &length);
		assert_int_equal(length, 6);
		assert_memory_equal(address, VD_NET_FAR_MAC, 6);
		expect_recent(vd_packet_timestamp_ns(packet));
		assert_int_equal(vd_packet_uid(packet, &number), -ENODATA); /* nobody here sent it */
		assert_int_equal(vd_packet_mark(packet), 0);
		assert_int_equal(vd_packet_wire_length(packet), i ? 49 : 29); /* odd: a payload that is not padded */
		assert_int_equal(vd_packet_length(packet), vd_packet_wire_length(packet));
		reader_answer(&nfq, READER_QUEUE, packet->id, VD_ACCEPT);
		close(sender);
	}
	close(stamped);
	vd_nfq_close(&nfq);
}

static void reads_attributes_of_forward(void **state)
{
	const uint8_t *address;
	struct vd_packet *packet;
	struct vd_nfq nfq;
	uint32_t length;
	int sender, receiver, stamped;

	(void)state;
	vd_net_setup_router(&net);
	stamped = want_timestamps();
	vd_net_command("iptables-legacy -A FORWARD -p udp --dport %d -j NFQUEUE --queue-num %d", READER_PORT, READER_QUEUE);
	reader_bind(&nfq, READER_QUEUE, 0, 0);
	sender = traffic_udp_open(net.near, AF_INET, 0);
	receiver = traffic_udp_open(net.far, AF_INET, READER_PORT);
	reader_send_text(sender, "through");
	packet = reader_expect_packet(&nfq);
	assert_int_equal(vd_packet_hook(packet), HOOK_FORWARD);
	assert_int_equal(vd_packet_indev(packet), if_nametoindex(VD_NET_LEFT_DEVICE));
	assert_int_equal(vd_packet_outdev(packet), if_nametoindex(VD_NET_RIGHT_DEVICE));
	address = vd_packet_hardware_address(packet, &length);
	assert_int_equal(length, 6);
	assert_memory_equal(address, VD_NET_NEAR_MAC, 6);
	expect_recent(vd_packet_timestamp_ns(packet));
	reader_answer(&nfq, READER_QUEUE, packet->id, VD_ACCEPT);
	reader_expect_text(receiver, "through");
	close(sender);
	close(receiver);
	close(stamped);
	vd_nfq_close(&nfq);
}

/* ---- verdicts ---- */

static void settles_a_range(void **state)
{
	int sender, receiver;
	struct vd_nfq nfq;
	char text[8];

	(void)state;
	vd_net_setup(&net);
	reader_queue_output(READER_QUEUE);
	reader_bind(&nfq, READER_QUEUE, 0, 0);
	sender = traffic_udp_open(net.near, AF_INET, 0);
	receiver = traffic_udp_open(net.far, AF_INET, READER_PORT);
	for (unsigned i = 1; i <= 10; i++) {
		snprintf(text, sizeof text, "%u", i);
		reader_send_text(sender, text);
	}
	for (uint32_t id = 1; id <= 7; id++)
		assert_int_equal(reader_expect_packet(&nfq)->id, id);

	reader_answer_range(&nfq, 3, 3, VD_DROP);
	assert_int_equal(reader_status(&nfq).waiting, 7);
	reader_expect_nothing(receiver);

	reader_answer(&nfq, READER_QUEUE, 5, VD_ACCEPT); /* one out of the middle */
	reader_expect_text(receiver, "5");

	reader_answer_range(&nfq, 8, 4, VD_ACCEPT); /* also 8, which nobody has read */
	reader_expect_text(receiver, "4");
	reader_expect_text(receiver, "6");
	reader_expect_text(receiver, "7");
	reader_expect_text(receiver, "8");
	reader_expect_nothing(receiver);
	assert_int_equal(reader_status(&nfq).waiting, 2);

	reader_answer_range(&nfq, 1000, 2, VD_ACCEPT); /* beyond what there is: all */
	reader_expect_text(receiver, "9");
	reader_expect_text(receiver, "10");
	assert_int_equal(reader_status(&nfq).waiting, 0);
	for (uint32_t id = 8; id <= 10; id++)
		assert_int_equal(reader_expect_packet(&nfq)->id, id);

	reader_answer_range(&nfq, 1000, 2, VD_ACCEPT); /* nothing left: now it is refused */
	reader_expect_error(&nfq, ENOENT, 1000);
	assert_int_equal(reader_slot.error.count, 2);
	assert_int_equal(reader_slot.error.netfilter_verdict, NF_ACCEPT_);
	reader_expect_silence(&nfq);
	vd_nfq_close(&nfq);
	close(sender);
	close(receiver);
}

/* Each verdict of a send takes effect by itself, in order; a bad one hinders nobody. */
static void sends_many_in_one_call(void **state)
{
	int sender, receiver;
	struct vd_packet packet = {.queue = READER_QUEUE};
	struct vd_nfq nfq;
	char text[8];

	(void)state;
	vd_net_setup(&net);
	reader_queue_output(READER_QUEUE);
	reader_bind(&nfq, READER_QUEUE, 0, 0);
	sender = traffic_udp_open(net.near, AF_INET, 0);
	receiver = traffic_udp_open(net.far, AF_INET, READER_PORT);
	for (unsigned i = 1; i <= VD_NFQ_SEND_MAX; i++) {
		snprintf(text, sizeof text, "%u", i);
		reader_send_text(sender, text);
	}
	for (uint32_t id = 1; id <= VD_NFQ_SEND_MAX; id++)
		assert_int_equal(reader_expect_packet(&nfq)->id, id);

	vd_nfq_batch_reset(&reader_batch);
	for (unsigned i = 0; i < VD_NFQ_SEND_MAX; i++) { /* backwards; every third dropped; one that is not there */
		packet.id = VD_NFQ_SEND_MAX - i;
		packet.verdict = packet.id % 3 ? VD_ACCEPT : VD_DROP;
		packet.changed = packet.id % 2 ? VD_CHANGED_MARK : 0;
		packet.id = packet.id == 20 ? 5000 : packet.id;
		assert_true(vd_nfq_batch_add(&reader_batch, &packet));
	}
	assert_false(vd_nfq_batch_add(&reader_batch, &packet));
	assert_int_equal(vd_nfq_batch_send(&nfq, &reader_batch), 0);
	assert_int_equal(reader_batch.count, 0);
	for (unsigned id = VD_NFQ_SEND_MAX; id; id--)
		if (id % 3 && id != 20) {
			snprintf(text, sizeof text, "%u", id);
			reader_expect_text(receiver, text);
		}
	reader_expect_nothing(receiver);
	reader_expect_error(&nfq, ENOENT, 5000);
	assert_int_equal(reader_slot.error.count, 1);
	assert_int_equal(reader_slot.error.netfilter_verdict, NF_ACCEPT_);
	reader_expect_silence(&nfq);
	assert_int_equal(reader_status(&nfq).waiting, 1);
	vd_nfq_close(&nfq);
	close(sender);
	close(receiver);
}

/* The kernel is given what no verdict of ours becomes, too, and says so. */
static void hears_of_an_invalid_verdict(void **state)
{
	struct vd_nfq nfq;
	int sender;

	(void)state;
	vd_net_setup(&net);
	reader_queue_output(READER_QUEUE);
	reader_bind(&nfq, READER_QUEUE, 0, 0);
	sender = traffic_udp_open(net.near, AF_INET, 0);
	reader_send_text(sender, "x");
	assert_int_equal(reader_expect_packet(&nfq)->id, 1);
	vd_nfq_batch_reset(&reader_batch);
	assert_true(vd_nfq_batch_add(&reader_batch, &(struct vd_packet){.id = 1, .queue = READER_QUEUE, .verdict = VD_DROP}));
	reader_batch.buffer[27] = NF_STOLEN_; /* the last byte of the verdict, be32 at 24 */
	assert_int_equal(vd_nfq_batch_send(&nfq, &reader_batch), 0);
	reader_expect_error(&nfq, EINVAL, 1);
	assert_int_equal(reader_slot.error.netfilter_verdict, NF_STOLEN_);
	assert_int_equal(reader_status(&nfq).waiting, 1);
	reader_answer(&nfq, READER_QUEUE, 1, VD_DROP);
	reader_expect_silence(&nfq);
	assert_int_equal(reader_status(&nfq).waiting, 0);
	vd_nfq_close(&nfq);
	close(sender);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(copies_as_much_as_asked, vd_net_teardown_any),
		cmocka_unit_test_teardown(reads_attributes_of_output, vd_net_teardown_any),
		cmocka_unit_test_teardown(reads_attributes_of_input, vd_net_teardown_any),
		cmocka_unit_test_teardown(reads_attributes_of_forward, vd_net_teardown_any),
		cmocka_unit_test_teardown(settles_a_range, vd_net_teardown_any),
		cmocka_unit_test_teardown(sends_many_in_one_call, vd_net_teardown_any),
		cmocka_unit_test_teardown(hears_of_an_invalid_verdict, vd_net_teardown_any),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
