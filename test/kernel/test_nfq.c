/* SPDX-License-Identifier: MIT */
/*
 * lib/nfq by itself against the kernel's queue: who owns a queue, what the kernel says of a packet, what a verdict does, and
 * that ids count what was lost. The test is the only reader; packets go from near to far, or back.
 */
#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <linux/capability.h>
#include <linux/netlink.h>

#include "lib/nfq/nfq.h"
#include "lib/packet/packet.h"
#include "test/support/net.h"
#include "test/support/traffic.h"

/* as in <linux/netfilter.h>, which does not go with the C library's headers */
#define NF_ACCEPT_ 1u
#define NF_STOLEN_ 2u
#define HOOK_LOCAL_IN 1u
#define HOOK_FORWARD 2u
#define HOOK_LOCAL_OUT 3u

/* as in <linux/netfilter/nfnetlink_queue.h> */
#define FLAG_FAIL_OPEN 1u
#define FLAG_CONNTRACK 2u
#define FLAG_GSO 4u
#define FLAG_UID_GID 8u
#define FLAG_SECCTX 16u
#define FLAG_UNKNOWN (1u << 30)

#define QUEUE 5
#define OTHER_QUEUE 6
#define PORT 7000
#define NONE UINT32_MAX

static struct vd_net net;

/* Where a message is received into: the packet, then the datagram. */
struct slot {
	_Alignas(8) struct vd_packet packet;
	_Alignas(8) uint8_t room[VD_NFQ_MESSAGE_ROOM + 65536];
	struct vd_nfq_error error;
};

static struct slot slot;
static struct vd_nfq_batch batch;

static void bind_queue(struct vd_nfq *nfq, uint16_t queue, uint32_t copy_range, uint32_t flags)
{
	struct vd_nfq_settings settings = {.queue = queue, .maxlen = 1000, .copy_range = copy_range, .flags = flags};
	uint32_t granted = NONE;

	assert_int_equal(vd_nfq_open(nfq, NULL), 0);
	assert_int_equal(vd_nfq_bind(nfq, &settings, &granted), 0);
	assert_int_equal(granted, flags);
}

/* The next message; VD_NFQ_NOTHING also when none comes in time. */
static enum vd_nfq_kind read_message(struct vd_nfq *nfq, struct slot *into, unsigned timeout_ms)
{
	struct pollfd wanted = {.fd = nfq->descriptor, .events = POLLIN};
	ssize_t received;
	enum vd_nfq_kind kind;

	if (poll(&wanted, 1, (int)timeout_ms) < 1)
		return VD_NFQ_NOTHING;
	received = recv(nfq->descriptor, into->room, sizeof into->room, MSG_DONTWAIT);
	assert_true(received >= 0);
	kind = vd_nfq_read_message(&into->packet, into->room, (uint32_t)received, sizeof into->room, false, &into->error);
	if (kind == VD_NFQ_PACKET)
		vd_packet_parse(&into->packet, vd_packet_data(&into->packet));
	return kind;
}

static struct vd_packet *expect_packet(struct vd_nfq *nfq)
{
	assert_int_equal(read_message(nfq, &slot, 1000 * traffic_patience()), VD_NFQ_PACKET);
	return &slot.packet;
}

static void expect_error(struct vd_nfq *nfq, int code, uint32_t id)
{
	assert_int_equal(read_message(nfq, &slot, 1000 * traffic_patience()), VD_NFQ_ERROR);
	assert_int_equal(slot.error.code, code);
	assert_true(slot.error.is_verdict);
	assert_int_equal(slot.error.id, id);
}

static void expect_silence(struct vd_nfq *nfq)
{
	assert_int_equal(read_message(nfq, &slot, 0), VD_NFQ_NOTHING);
	assert_int_equal(recv(nfq->descriptor, slot.room, sizeof slot.room, MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
}

/* A verdict about `id`, with nothing else. */
static void answer(struct vd_nfq *nfq, uint16_t queue, uint32_t id, enum vd_verdict verdict)
{
	struct vd_packet packet = {.id = id, .queue = queue, .verdict = (uint8_t)verdict};

	vd_nfq_batch_reset(&batch);
	assert_true(vd_nfq_batch_add(&batch, &packet));
	assert_int_equal(vd_nfq_batch_send(nfq, &batch), 0);
}

static void answer_range(struct vd_nfq *nfq, uint32_t last, uint32_t count, enum vd_verdict verdict)
{
	struct vd_packet packet = {.id = last, .queue = QUEUE, .verdict = (uint8_t)verdict};

	vd_nfq_batch_reset(&batch);
	assert_true(vd_nfq_batch_add_range(&batch, &packet, count));
	assert_int_equal(vd_nfq_batch_send(nfq, &batch), 0);
}

static struct vd_nfq_status status_of(struct vd_nfq *nfq)
{
	struct vd_nfq_status status;

	assert_int_equal(vd_nfq_status_of(nfq->status_descriptor, nfq->queue, &status), 0);
	return status;
}

static void queue_output(unsigned queue)
{
	vd_net_command("iptables-legacy -A OUTPUT -p udp --dport %d -m comment --comment queued -j NFQUEUE --queue-num %u", PORT,
		       queue);
}

static void send_text(int sender, const char *text)
{
	assert_int_equal(traffic_send(sender, VD_NET_FAR_V4, PORT, text, strlen(text)), 0);
}

static void expect_text(int receiver, const char *text)
{
	char got[256] = "";

	assert_int_equal(traffic_receive(receiver, got, sizeof got - 1, 1000 * traffic_patience()), strlen(text));
	assert_string_equal(got, text);
}

static void expect_nothing(int receiver)
{
	char got[1];

	/* an accepted packet has nearly always arrived before the send of its verdict returns */
	assert_int_equal(traffic_receive(receiver, got, sizeof got, 20), -ETIMEDOUT);
}

/* ---- owning a queue ---- */

static void binds_and_gives_back(void **state)
{
	struct vd_nfq_settings settings = {.queue = QUEUE, .maxlen = 777, .copy_range = 128, .flags = FLAG_GSO};
	struct vd_nfq nfq;
	struct vd_nfq_status status, all[4];
	uint32_t granted;

	(void)state;
	vd_net_setup(&net);
	assert_int_equal(vd_nfq_open(&nfq, NULL), 0);
	assert_int_equal(vd_nfq_status_of(nfq.status_descriptor, QUEUE, &status), -ENOENT);
	assert_int_equal(vd_nfq_status_read(nfq.status_descriptor, all, 4), 0);

	assert_int_equal(vd_nfq_bind(&nfq, &settings, &granted), 0);
	assert_int_equal(granted, FLAG_GSO);
	status = status_of(&nfq);
	assert_int_equal(status.queue, QUEUE);
	assert_int_equal(status.portid, nfq.portid);
	assert_int_equal(status.waiting, 0);
	assert_int_equal(status.copy_mode, 2);
	assert_int_equal(status.copy_range, 128);
	assert_int_equal(status.id_sequence, 0);
	assert_int_equal(vd_nfq_status_read(nfq.status_descriptor, all, 4), 1);
	expect_silence(&nfq);

	assert_int_equal(vd_nfq_unbind(&nfq), 0);
	assert_int_equal(vd_nfq_status_of(nfq.status_descriptor, QUEUE, &status), -ENOENT);
	assert_int_equal(vd_nfq_unbind(&nfq), 0);
	assert_int_equal(vd_nfq_bind(&nfq, &settings, &granted), 0);
	vd_nfq_close(&nfq);

	assert_int_equal(vd_nfq_open(&nfq, NULL), 0);
	assert_int_equal(vd_nfq_status_of(nfq.status_descriptor, QUEUE, &status), -ENOENT);
	vd_nfq_close(&nfq);
	vd_nfq_close(&nfq);
}

static void drops_what_waits_at_unbind(void **state)
{
	int sender, receiver;
	struct vd_nfq nfq;

	(void)state;
	vd_net_setup(&net);
	queue_output(QUEUE);
	bind_queue(&nfq, QUEUE, 0, 0);
	sender = traffic_udp_open(net.near, AF_INET, 0);
	receiver = traffic_udp_open(net.far, AF_INET, PORT);
	for (unsigned i = 0; i < 5; i++)
		send_text(sender, "waits");
	assert_int_equal(status_of(&nfq).waiting, 5);
	assert_int_equal(vd_nfq_unbind(&nfq), 0);
	for (uint32_t id = 1; id <= 5; id++) /* what was sent up can still be read ... */
		assert_int_equal(expect_packet(&nfq)->id, id);
	expect_silence(&nfq);
	answer(&nfq, QUEUE, 5, VD_ACCEPT); /* ... but is gone */
	expect_error(&nfq, ENODEV, 5);
	expect_nothing(receiver);
	vd_nfq_close(&nfq);
	close(sender);
	close(receiver);
}

static void is_refused_what_is_anothers(void **state)
{
	struct vd_nfq_settings settings = {.queue = QUEUE, .maxlen = 10, .copy_range = 128};
	struct vd_nfq owner, other;
	uint32_t granted, portid;

	(void)state;
	vd_net_setup(&net);
	bind_queue(&owner, QUEUE, 0, 0);
	portid = status_of(&owner).portid;
	assert_int_equal(vd_nfq_open(&other, NULL), 0);
	assert_int_equal(vd_nfq_bind(&other, &settings, &granted), -EPERM);
	assert_false(other.bound);
	assert_int_equal(vd_nfq_bind(&owner, &settings, &granted), -EBUSY);
	assert_int_equal(status_of(&owner).portid, portid);
	assert_int_equal(status_of(&owner).copy_range, VD_NFQ_COPY_RANGE_MAX);

	settings.queue = OTHER_QUEUE; /* a refusal leaves the socket good for another queue */
	assert_int_equal(vd_nfq_bind(&other, &settings, &granted), 0);
	answer(&other, QUEUE, 1, VD_ACCEPT);
	expect_error(&other, EPERM, 1);
	vd_nfq_close(&owner);
	settings.queue = QUEUE; /* one socket may own several queues */
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
	bind_queue(&nfq, QUEUE, 0, 0);
	stranger = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	assert_true(stranger >= 0);
	address.nl_pid = nfq.portid;
	assert_int_equal(sendto(stranger, &message, sizeof message, 0, (struct sockaddr *)&address, sizeof address), -1);
	assert_int_equal(errno, ECONNREFUSED);
	expect_silence(&nfq);
	close(stranger);
	vd_nfq_close(&nfq);
}

/* ---- flags ---- */

static void probes_flags_without_a_trace(void **state)
{
	static const uint32_t flags[] = {FLAG_FAIL_OPEN, FLAG_CONNTRACK, FLAG_GSO, FLAG_UID_GID, FLAG_SECCTX};
	struct vd_nfq_settings settings = {.queue = QUEUE, .maxlen = 10};
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
	assert_true(known & FLAG_GSO && known & FLAG_FAIL_OPEN && known & FLAG_UID_GID);
	assert_int_equal(vd_nfq_probe_flag(&nfq, FLAG_UNKNOWN), -EOPNOTSUPP);
	assert_int_equal(vd_nfq_probe_flag(&nfq, 1u << 31), -EOPNOTSUPP);
	assert_int_equal(vd_nfq_status_read(nfq.status_descriptor, all, 4), 0);
	expect_silence(&nfq);

	/* queue 0, which is asked, being another's or one's own makes no difference */
	bind_queue(&owner_of_0, 0, 0, 0);
	assert_int_equal(vd_nfq_probe_flag(&nfq, FLAG_GSO), 0);
	assert_int_equal(vd_nfq_probe_flag(&nfq, FLAG_UNKNOWN), -EOPNOTSUPP);
	expect_silence(&nfq);
	vd_nfq_close(&owner_of_0);

	/* all the flags at once: what is known is granted, the rest left out */
	settings.flags = FLAG_FAIL_OPEN | FLAG_CONNTRACK | FLAG_GSO | FLAG_UID_GID | FLAG_SECCTX | FLAG_UNKNOWN;
	assert_int_equal(vd_nfq_bind(&nfq, &settings, &granted), 0);
	assert_int_equal(granted, known);
	expect_silence(&nfq);
	assert_int_equal(status_of(&nfq).copy_range, VD_NFQ_COPY_RANGE_MAX);
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
	result->probed = vd_nfq_probe_flag(&result->nfq, FLAG_GSO);
	result->bound = vd_nfq_bind(&result->nfq, &result->settings, &granted);
	result->sized = vd_nfq_set_receive_buffer(&result->nfq, 64u << 20, &result->granted);
	return result;
}

static void says_when_it_lacks_privilege(void **state)
{
	struct unprivileged result = {.settings = {.queue = QUEUE, .maxlen = 10}};
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
	assert_int_equal(vd_nfq_status_of(result.nfq.status_descriptor, QUEUE, &status), -ENOENT);

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
	queue_output(QUEUE);
	sender = traffic_udp_open(net.near, AF_INET, 0);
	wants = traffic_udp_open(net.near, AF_INET, 0);
	assert_int_equal(setsockopt(wants, SOL_SOCKET, SO_TIMESTAMP, &on, sizeof on), 0);
	for (unsigned i = 0; i < sizeof ranges / sizeof *ranges; i++)
		for (unsigned j = 0; j < sizeof lengths / sizeof *lengths; j++) {
			struct vd_nfq nfq;
			size_t granted;

			bind_queue(&nfq, QUEUE, ranges[i], FLAG_GSO);
			vd_nfq_set_receive_buffer(&nfq, vd_nfq_receive_buffer(maxlen, ranges[i]), &granted);
			for (unsigned sent = 0; sent < maxlen; sent++)
				assert_int_equal(traffic_send(sender, VD_NET_FAR_V4, PORT, data, lengths[j]), 0);
			assert_int_equal(status_of(&nfq).user_dropped, 0);
			assert_int_equal(status_of(&nfq).waiting, maxlen);
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
		bind_queue(&sleeper->nfq, QUEUE, 0, 0);
		atomic_store_explicit(&sleeper->is_awake, false, memory_order_release);
		assert_int_equal(pthread_create(&thread, NULL, sleep_in_recv, sleeper), 0);
		if (round % 2) /* also when it does not sleep yet */
			traffic_sleep_ms(5);
		assert_false(is_awake(sleeper));
		vd_nfq_wake(&sleeper->nfq);
		assert_true(traffic_wait_until(is_awake, sleeper, 2000));
		pthread_join(thread, NULL);
		assert_true(sleeper->received > 0);
		packet = &slot.packet;
		memcpy(slot.room, sleeper->buffer, sizeof sleeper->buffer);
		assert_int_equal(vd_nfq_read_message(packet, slot.room, (uint32_t)sleeper->received, sizeof slot.room, false, &error),
				 VD_NFQ_NOTHING);
		assert_int_equal(status_of(&sleeper->nfq).portid, sleeper->nfq.portid);
		vd_nfq_close(&sleeper->nfq);
	}
	free(sleeper);
}

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
	queue_output(QUEUE);
	sender = traffic_udp_open(net.near, AF_INET, 0);
	for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct vd_packet *packet;
		struct vd_nfq nfq;
		size_t granted;

		bind_queue(&nfq, QUEUE, cases[i].range, FLAG_GSO);
		vd_nfq_set_receive_buffer(&nfq, 1 << 20, &granted);
		/* lo: no datagram is too long for it */
		assert_int_equal(traffic_send(sender, "127.0.0.1", PORT, data, cases[i].data), 0);
		packet = expect_packet(&nfq);
		assert_int_equal(vd_packet_length(packet), cases[i].expected);
		assert_int_equal(vd_packet_wire_length(packet), cases[i].data + 28);
		assert_int_equal(vd_packet_is_truncated(packet), cases[i].expected < cases[i].data + 28);
		assert_false(vd_packet_is_malformed(packet) && cases[i].expected >= 28);
		answer(&nfq, QUEUE, packet->id, VD_DROP);
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
	queue_output(QUEUE);
	bind_queue(&nfq, QUEUE, 0, FLAG_UID_GID | FLAG_GSO);
	assert_int_equal(pthread_create(&thread, NULL, open_as_another, &sender), 0);
	pthread_join(thread, NULL);
	assert_true(sender >= 0);
	assert_int_equal(setsockopt(sender, SOL_SOCKET, SO_PRIORITY, &priority, sizeof priority), 0);
	send_text(sender, "hello");

	packet = expect_packet(&nfq);
	assert_int_equal(vd_packet_id(packet), 1);
	assert_int_equal(vd_packet_queue(packet), QUEUE);
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
	assert_int_equal(vd_packet_destination_port(packet), PORT);
	payload = vd_packet_payload(packet, &length);
	assert_int_equal(length, 5);
	assert_memory_equal(payload, "hello", 5);
	close(sender);

	/* without all that: as nobody in particular, no mark, no priority, a checksum that the stack makes */
	vd_net_command("iptables-legacy -t mangle -F");
	vd_net_set_offload(VD_NET_NEAR_DEVICE, false);
	sender = traffic_udp_open(net.near, AF_INET, 0);
	send_text(sender, "hello");
	packet = expect_packet(&nfq);
	assert_int_equal(vd_packet_id(packet), 2);
	assert_int_equal(vd_packet_mark(packet), 0);
	assert_int_equal(vd_packet_priority(packet), 0);
	assert_false(vd_packet_checksum_not_ready(packet));
	assert_int_equal(vd_packet_uid(packet, &number), 0);
	assert_int_equal(number, 0);
	close(sender);
	vd_nfq_close(&nfq);

	/* who did not ask for the owner is not told */
	bind_queue(&nfq, QUEUE, 0, 0);
	sender = traffic_udp_open(net.near, AF_INET, 0);
	send_text(sender, "hello");
	packet = expect_packet(&nfq);
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
	bind_queue(&nfq, QUEUE, 0, FLAG_UID_GID);
	for (unsigned i = 0; i < 2; i++) {
		vd_net_command("%s -A INPUT -p udp --dport %d -j NFQUEUE --queue-num %d", cases[i].program, PORT, QUEUE);
		sender = traffic_udp_open(net.far, cases[i].family, 0);
		assert_int_equal(traffic_send(sender, cases[i].destination, PORT, "x", 1), 0);
		packet = expect_packet(&nfq);
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
		answer(&nfq, QUEUE, packet->id, VD_ACCEPT);
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
	vd_net_command("iptables-legacy -A FORWARD -p udp --dport %d -j NFQUEUE --queue-num %d", PORT, QUEUE);
	bind_queue(&nfq, QUEUE, 0, 0);
	sender = traffic_udp_open(net.near, AF_INET, 0);
	receiver = traffic_udp_open(net.far, AF_INET, PORT);
	send_text(sender, "through");
	packet = expect_packet(&nfq);
	assert_int_equal(vd_packet_hook(packet), HOOK_FORWARD);
	assert_int_equal(vd_packet_indev(packet), if_nametoindex(VD_NET_LEFT_DEVICE));
	assert_int_equal(vd_packet_outdev(packet), if_nametoindex(VD_NET_RIGHT_DEVICE));
	address = vd_packet_hardware_address(packet, &length);
	assert_int_equal(length, 6);
	assert_memory_equal(address, VD_NET_NEAR_MAC, 6);
	expect_recent(vd_packet_timestamp_ns(packet));
	answer(&nfq, QUEUE, packet->id, VD_ACCEPT);
	expect_text(receiver, "through");
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
	queue_output(QUEUE);
	bind_queue(&nfq, QUEUE, 0, 0);
	sender = traffic_udp_open(net.near, AF_INET, 0);
	receiver = traffic_udp_open(net.far, AF_INET, PORT);
	for (unsigned i = 1; i <= 10; i++) {
		snprintf(text, sizeof text, "%u", i);
		send_text(sender, text);
	}
	for (uint32_t id = 1; id <= 7; id++)
		assert_int_equal(expect_packet(&nfq)->id, id);

	answer_range(&nfq, 3, 3, VD_DROP);
	assert_int_equal(status_of(&nfq).waiting, 7);
	expect_nothing(receiver);

	answer(&nfq, QUEUE, 5, VD_ACCEPT); /* one out of the middle */
	expect_text(receiver, "5");

	answer_range(&nfq, 8, 4, VD_ACCEPT); /* also 8, which nobody has read */
	expect_text(receiver, "4");
	expect_text(receiver, "6");
	expect_text(receiver, "7");
	expect_text(receiver, "8");
	expect_nothing(receiver);
	assert_int_equal(status_of(&nfq).waiting, 2);

	answer_range(&nfq, 1000, 2, VD_ACCEPT); /* beyond what there is: all */
	expect_text(receiver, "9");
	expect_text(receiver, "10");
	assert_int_equal(status_of(&nfq).waiting, 0);
	for (uint32_t id = 8; id <= 10; id++)
		assert_int_equal(expect_packet(&nfq)->id, id);

	answer_range(&nfq, 1000, 2, VD_ACCEPT); /* nothing left: now it is refused */
	expect_error(&nfq, ENOENT, 1000);
	assert_int_equal(slot.error.count, 2);
	assert_int_equal(slot.error.netfilter_verdict, NF_ACCEPT_);
	expect_silence(&nfq);
	vd_nfq_close(&nfq);
	close(sender);
	close(receiver);
}

/* Each verdict of a send takes effect by itself, in order; a bad one hinders nobody. */
static void sends_many_in_one_call(void **state)
{
	int sender, receiver;
	struct vd_packet packet = {.queue = QUEUE};
	struct vd_nfq nfq;
	char text[8];

	(void)state;
	vd_net_setup(&net);
	queue_output(QUEUE);
	bind_queue(&nfq, QUEUE, 0, 0);
	sender = traffic_udp_open(net.near, AF_INET, 0);
	receiver = traffic_udp_open(net.far, AF_INET, PORT);
	for (unsigned i = 1; i <= VD_NFQ_SEND_MAX; i++) {
		snprintf(text, sizeof text, "%u", i);
		send_text(sender, text);
	}
	for (uint32_t id = 1; id <= VD_NFQ_SEND_MAX; id++)
		assert_int_equal(expect_packet(&nfq)->id, id);

	vd_nfq_batch_reset(&batch);
	for (unsigned i = 0; i < VD_NFQ_SEND_MAX; i++) { /* backwards; every third dropped; one that is not there */
		packet.id = VD_NFQ_SEND_MAX - i;
		packet.verdict = packet.id % 3 ? VD_ACCEPT : VD_DROP;
		packet.changed = packet.id % 2 ? VD_CHANGED_MARK : 0;
		packet.id = packet.id == 20 ? 5000 : packet.id;
		assert_true(vd_nfq_batch_add(&batch, &packet));
	}
	assert_false(vd_nfq_batch_add(&batch, &packet));
	assert_int_equal(vd_nfq_batch_send(&nfq, &batch), 0);
	assert_int_equal(batch.count, 0);
	for (unsigned id = VD_NFQ_SEND_MAX; id; id--)
		if (id % 3 && id != 20) {
			snprintf(text, sizeof text, "%u", id);
			expect_text(receiver, text);
		}
	expect_nothing(receiver);
	expect_error(&nfq, ENOENT, 5000);
	assert_int_equal(slot.error.count, 1);
	assert_int_equal(slot.error.netfilter_verdict, NF_ACCEPT_);
	expect_silence(&nfq);
	assert_int_equal(status_of(&nfq).waiting, 1);
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
	queue_output(QUEUE);
	bind_queue(&nfq, QUEUE, 0, 0);
	sender = traffic_udp_open(net.near, AF_INET, 0);
	send_text(sender, "x");
	assert_int_equal(expect_packet(&nfq)->id, 1);
	vd_nfq_batch_reset(&batch);
	assert_true(vd_nfq_batch_add(&batch, &(struct vd_packet){.id = 1, .queue = QUEUE, .verdict = VD_DROP}));
	batch.buffer[27] = NF_STOLEN_; /* the last byte of the verdict, be32 at 24 */
	assert_int_equal(vd_nfq_batch_send(&nfq, &batch), 0);
	expect_error(&nfq, EINVAL, 1);
	assert_int_equal(slot.error.netfilter_verdict, NF_STOLEN_);
	assert_int_equal(status_of(&nfq).waiting, 1);
	answer(&nfq, QUEUE, 1, VD_DROP);
	expect_silence(&nfq);
	assert_int_equal(status_of(&nfq).waiting, 0);
	vd_nfq_close(&nfq);
	close(sender);
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
	queue_output(QUEUE);
	bind_queue(&nfq, QUEUE, 0, 0);
	assert_int_equal(vd_nfq_set_receive_buffer(&nfq, 30000, &granted), 0);
	sender = traffic_udp_open(net.near, AF_INET, 0);
	receiver = traffic_udp_open(net.far, AF_INET, PORT);
	for (unsigned burst = 0; burst < bursts; burst++) {
		for (unsigned i = 0; i < in_burst; i++)
			send_text(sender, "lost or not");
		for (unsigned i = 0; i < in_burst && read_message(&nfq, &slot, 0) == VD_NFQ_PACKET; i++) {
			lost += slot.packet.id - last - 1;
			last = slot.packet.id;
			received++;
			answer(&nfq, QUEUE, last, VD_ACCEPT);
		}
	}
	lost += status_of(&nfq).id_sequence - last;
	assert_int_equal(received + lost, bursts * in_burst);
	assert_true(received >= bursts && lost > 0);
	assert_int_equal(status_of(&nfq).user_dropped, lost);
	assert_int_equal(status_of(&nfq).queue_dropped, 0);
	assert_int_equal(status_of(&nfq).waiting, 0);
	assert_int_equal(traffic_rule_packets(net.near, "iptables-legacy", "filter", "queued"), bursts * in_burst);
	assert_int_equal(traffic_drain(receiver, 50), received);
	vd_nfq_close(&nfq);
	close(sender);
	close(receiver);
}

static void a_full_queue_takes_no_ids(void **state)
{
	struct vd_nfq_settings settings = {.queue = QUEUE, .maxlen = 10};
	int sender, receiver;
	struct vd_nfq nfq;
	uint32_t granted;

	(void)state;
	vd_net_setup(&net);
	queue_output(QUEUE);
	sender = traffic_udp_open(net.near, AF_INET, 0);
	receiver = traffic_udp_open(net.far, AF_INET, PORT);
	for (unsigned fail_open = 0; fail_open < 2; fail_open++) {
		settings.flags = fail_open ? FLAG_FAIL_OPEN : 0;
		assert_int_equal(vd_nfq_open(&nfq, NULL), 0);
		assert_int_equal(vd_nfq_bind(&nfq, &settings, &granted), 0);
		for (unsigned i = 0; i < 25; i++)
			send_text(sender, "full");
		assert_int_equal(status_of(&nfq).waiting, 10);
		assert_int_equal(status_of(&nfq).id_sequence, 10);
		assert_int_equal(status_of(&nfq).queue_dropped, fail_open ? 0 : 15);
		assert_int_equal(status_of(&nfq).user_dropped, 0);
		assert_int_equal(traffic_drain(receiver, 50), fail_open ? 15 : 0);
		for (uint32_t id = 1; id <= 10; id++)
			assert_int_equal(expect_packet(&nfq)->id, id);
		answer_range(&nfq, 10, 10, VD_ACCEPT);
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
		cmocka_unit_test_teardown(copies_as_much_as_asked, vd_net_teardown_any),
		cmocka_unit_test_teardown(reads_attributes_of_output, vd_net_teardown_any),
		cmocka_unit_test_teardown(reads_attributes_of_input, vd_net_teardown_any),
		cmocka_unit_test_teardown(reads_attributes_of_forward, vd_net_teardown_any),
		cmocka_unit_test_teardown(settles_a_range, vd_net_teardown_any),
		cmocka_unit_test_teardown(sends_many_in_one_call, vd_net_teardown_any),
		cmocka_unit_test_teardown(hears_of_an_invalid_verdict, vd_net_teardown_any),
		cmocka_unit_test_teardown(gaps_count_what_was_lost, vd_net_teardown_any),
		cmocka_unit_test_teardown(a_full_queue_takes_no_ids, vd_net_teardown_any),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
