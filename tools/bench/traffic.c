/* SPDX-License-Identifier: MIT */
/*
 * verdict bench: who sends, and who receives.
 *
 * The sender has a schedule: packet i is due at start + i / rate, whatever happened to those before it, and it carries the
 * time at which it was *due*. A sender that was kept from working so shows as latency, not as packets that were never
 * there ("coordinated omission"). What is due goes out in one system call. As fast as it can, a packet is due when it is
 * made.
 *
 * Flows differ in their source port. It writes the headers itself, on a raw socket: one call then holds packets of many
 * flows.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/ip.h>
#include <linux/sock_diag.h>
#include <linux/udp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "engine/clock.h"
#include "lib/packet/checksum.h"
#include "tools/bench/bench.h"
#include "tools/payload.h"

#define BATCH 64u
#define STRIDE 1536u /* bytes of a packet's place; at least BENCH_SIZE_MAX */
#define SEND_BUFFER (256 << 20) /* packets in the queue are charged to their sender */
#define RECEIVE_BUFFER (256 << 20)

_Static_assert(BENCH_FLOWS_MAX <= PAYLOAD_FLOWS_MAX, "the payload has room for all flows");
_Static_assert(BENCH_SIZE_MIN >= BENCH_HEADERS + sizeof(struct payload), "the smallest packet has room for the payload");

__attribute__((noreturn, format(printf, 2, 3))) static void give_up(struct bench_shared *shared, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(shared->error.text, sizeof shared->error.text, format, arguments);
	va_end(arguments);
	_exit(1);
}

static void set_buffer(int descriptor, int force, int fallback, int bytes)
{
	if (setsockopt(descriptor, SOL_SOCKET, force, &bytes, sizeof bytes))
		setsockopt(descriptor, SOL_SOCKET, fallback, &bytes, sizeof bytes);
}

/* ---- the sender ---- */

struct frame {
	struct iphdr ip;
	struct udphdr udp;
	struct payload payload;
} __attribute__((aligned(4)));

_Static_assert(sizeof(struct frame) == BENCH_HEADERS + sizeof(struct payload), "a frame has no holes");

struct sender {
	const struct bench_traffic *traffic;
	int socket;
	uint64_t start, offered; /* offered: packets that were made, those that could not be sent among them */
	uint64_t pseudo;	 /* the sum of what UDP's checksum covers besides the datagram */
	struct mmsghdr messages[BATCH];
	struct iovec iov[BATCH];
	uint8_t frames[BATCH * STRIDE] __attribute__((aligned(64)));
};

static void prepare_frames(struct sender *sender)
{
	uint16_t size = (uint16_t)sender->traffic->size, udp_size = htons((uint16_t)(size - sizeof(struct iphdr)));
	struct iphdr ip = {
		.version = 4,
		.ihl = 5,
		.tot_len = htons(size),
		.id = htons(1), /* 0 would have the kernel look for one */
		.frag_off = htons(0x4000),
		.ttl = 64,
		.protocol = IPPROTO_UDP,
		.saddr = htonl(BENCH_NEAR_ADDRESS),
		.daddr = htonl(BENCH_FAR_ADDRESS),
	};
	uint16_t protocol = htons(IPPROTO_UDP);

	for (unsigned i = 0; i < BATCH; i++) {
		struct frame *frame = (struct frame *)(sender->frames + (size_t)i * STRIDE);

		frame->ip = ip;
		frame->udp.dest = htons(BENCH_PORT);
		frame->udp.len = udp_size;
		sender->iov[i] = (struct iovec){.iov_base = frame, .iov_len = size};
		sender->messages[i].msg_hdr = (struct msghdr){.msg_iov = &sender->iov[i], .msg_iovlen = 1};
	}
	sender->pseudo = (uint64_t)vd_checksum_part(&ip.saddr, 8) + vd_checksum_part(&protocol, 2) +
			 vd_checksum_part(&udp_size, 2);
}

static int open_raw(struct bench_shared *shared)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(BENCH_FAR_ADDRESS)};
	int descriptor = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);

	if (descriptor < 0 || connect(descriptor, (struct sockaddr *)&to, sizeof to))
		give_up(shared, "the sender's raw socket cannot be opened: %s", strerror(errno));
	set_buffer(descriptor, SO_SNDBUFFORCE, SO_SNDBUF, SEND_BUFFER);
	return descriptor;
}

static void make_frame(struct sender *sender, struct frame *frame, uint64_t now, struct histogram *late)
{
	const struct bench_traffic *traffic = sender->traffic;
	uint32_t udp_size = traffic->size - (uint32_t)sizeof(struct iphdr);
	uint64_t index = sender->offered++;

	frame->payload.flow = (uint16_t)(index % traffic->flows);
	frame->payload.sequence = index / traffic->flows;
	frame->payload.time_ns = bench_due_ns(traffic->rate, sender->start, index, now);
	histogram_add(late, now - frame->payload.time_ns);
	payload_fill(&frame->payload, traffic->size - BENCH_HEADERS);
	frame->udp.source = htons((uint16_t)(BENCH_FLOW_PORT + frame->payload.flow));
	frame->udp.check = 0;
	frame->udp.check = vd_checksum_finish_be(sender->pseudo + vd_checksum_part(&frame->udp, udp_size));
	if (!frame->udp.check)
		frame->udp.check = 0xffff; /* 0 means that there is none */
}

/* sendmmsg() ends at the first packet that fails, and says why only when that is the first of the call. */
static void send_frames(struct sender *sender, struct bench_shared *shared, unsigned count)
{
	for (unsigned done = 0; done < count;) {
		int result = sendmmsg(sender->socket, sender->messages + done, count - done, 0);

		if (result > 0) {
			shared->round.sent += (unsigned)result;
			done += (unsigned)result;
		} else if (errno == ENOBUFS || errno == EPERM || errno == ENOMEM) {
			done++; /* it never left: not sent */
		} else if (errno != EINTR) {
			give_up(shared, "a packet cannot be sent: %s", strerror(errno));
		}
	}
}

static void sleep_until(uint64_t time_ns)
{
	struct timespec time = {.tv_sec = (time_t)(time_ns / BENCH_SECOND_NS), .tv_nsec = (long)(time_ns % BENCH_SECOND_NS)};

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL);
}

void bench_send(struct bench_shared *shared, const struct bench_settings *settings, const struct bench_traffic *traffic,
		int reports, int orders)
{
	static struct sender sender;
	uint64_t total = UINT64_MAX, end, now;
	struct bench_cpu before;

	(void)reports;
	(void)orders;
	sender.traffic = traffic;
	sender.socket = open_raw(shared);
	prepare_frames(&sender);
	prctl(PR_SET_TIMERSLACK, 1ul); /* the usual slack of 50 µs is several packets */
	before = bench_cpu_now();
	sender.start = now = vd_clock_ns();
	end = sender.start + settings->duration_ns;
	if (traffic->rate)
		total = (uint64_t)((unsigned __int128)traffic->rate * settings->duration_ns / BENCH_SECOND_NS);
	if (!total)
		total = 1;
	while (sender.offered < total && now < end) {
		uint64_t due = bench_due_count(traffic->rate, sender.start, now);
		unsigned count = BATCH;

		if (due > total)
			due = total;
		if (sender.offered >= due) {
			sleep_until(bench_due_ns(traffic->rate, sender.start, sender.offered, now));
			now = vd_clock_ns();
			continue;
		}
		if (count > due - sender.offered)
			count = (unsigned)(due - sender.offered);
		for (unsigned i = 0; i < count; i++)
			make_frame(&sender, sender.iov[i].iov_base, now, &shared->late);
		send_frames(&sender, shared, count);
		now = vd_clock_ns();
	}
	shared->round.sender = bench_cpu_since(before);
	/* the last one is due a little before the end, and there its time is not over */
	shared->round.send_seconds = (double)((now < end ? end : now) - sender.start) / BENCH_SECOND_NS;
}

/* ---- the receiver ---- */

struct receiver {
	struct bench_shared *shared;
	int socket;
	uint64_t first_due, last_arrival;
	uint64_t expected[BENCH_FLOWS_MAX]; /* the highest sequence number of each flow so far, and 1 */
	struct mmsghdr messages[BATCH];
	struct iovec iov[BATCH];
	uint8_t datagrams[BATCH * STRIDE] __attribute__((aligned(64)));
};

static void open_receiver(struct receiver *receiver)
{
	struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(BENCH_PORT)};

	receiver->socket = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (receiver->socket < 0 || bind(receiver->socket, (struct sockaddr *)&here, sizeof here))
		give_up(receiver->shared, "the receiver's socket cannot be bound: %s", strerror(errno));
	set_buffer(receiver->socket, SO_RCVBUFFORCE, SO_RCVBUF, RECEIVE_BUFFER);
	for (unsigned i = 0; i < BATCH; i++) {
		receiver->iov[i] = (struct iovec){.iov_base = receiver->datagrams + (size_t)i * STRIDE, .iov_len = STRIDE};
		receiver->messages[i].msg_hdr = (struct msghdr){.msg_iov = &receiver->iov[i], .msg_iovlen = 1};
	}
}

static void account(struct receiver *receiver, const struct payload *payload, size_t size, uint64_t now)
{
	struct bench_round *round = &receiver->shared->round;
	uint64_t *expected;

	if (!payload_check(payload, size)) {
		round->changed++;
		return;
	}
	if (!receiver->first_due || payload->time_ns < receiver->first_due)
		receiver->first_due = payload->time_ns;
	histogram_add(&receiver->shared->latency, now > payload->time_ns ? now - payload->time_ns : 0);
	expected = &receiver->expected[payload->flow];
	if (payload->sequence < *expected)
		round->out_of_order++;
	else
		*expected = payload->sequence + 1;
}

/* Reads until nothing is there. */
static void receive_all(struct receiver *receiver)
{
	struct bench_shared *shared = receiver->shared;
	int count;

	while ((count = recvmmsg(receiver->socket, receiver->messages, BATCH, MSG_DONTWAIT, NULL)) > 0) {
		uint64_t now = vd_clock_ns();

		receiver->last_arrival = now;
		for (int i = 0; i < count; i++)
			account(receiver, receiver->iov[i].iov_base, receiver->messages[i].msg_len, now);
		shared->round.delivered += (unsigned)count;
		atomic_store_explicit(&shared->received, shared->round.delivered, memory_order_relaxed);
	}
}

static uint64_t count_lost(int descriptor)
{
	uint32_t memory[SK_MEMINFO_VARS] = {0};
	socklen_t size = sizeof memory;

	return getsockopt(descriptor, SOL_SOCKET, SO_MEMINFO, memory, &size) ? 0 : memory[SK_MEMINFO_DROPS];
}

void bench_receive(struct bench_shared *shared, const struct bench_settings *settings, const struct bench_traffic *traffic,
		   int reports, int orders)
{
	static struct receiver receiver;
	struct pollfd pollfds[2] = {{.events = POLLIN}, {.fd = orders, .events = POLLIN}};
	struct bench_cpu before;

	(void)settings;
	(void)traffic;
	receiver.shared = shared;
	open_receiver(&receiver);
	pollfds[0].fd = receiver.socket;
	before = bench_cpu_now();
	bench_report_ready(reports);
	while (!pollfds[1].revents) {
		poll(pollfds, 2, -1);
		receive_all(&receiver);
	}
	shared->round.receiver = bench_cpu_since(before);
	shared->round.receiver_lost = count_lost(receiver.socket);
	if (receiver.last_arrival && receiver.first_due)
		shared->round.seconds = (double)(receiver.last_arrival - receiver.first_due) / BENCH_SECOND_NS;
}
