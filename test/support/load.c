/* SPDX-License-Identifier: MIT */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/sock_diag.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "test/support/traffic.h"

#define BATCH 64u
#define BUFFER (512 << 20)
#define DATAGRAM_MAX 65536u
#define PORTS_MAX 64u

static void need(bool truth, const char *what)
{
	if (truth)
		return;
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	abort();
}

static void enlarge(int socket, int option)
{
	int size = BUFFER;

	need(!setsockopt(socket, SOL_SOCKET, option, &size, sizeof size), "the buffers of sockets");
}

/* ---- sender ---- */

static void connect_to(int socket, const char *address, uint16_t port)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

	if (inet_pton(AF_INET, address, &v4.sin_addr) == 1)
		need(!connect(socket, (struct sockaddr *)&v4, sizeof v4), "connect");
	else if (inet_pton(AF_INET6, address, &v6.sin6_addr) == 1)
		need(!connect(socket, (struct sockaddr *)&v6, sizeof v6), "connect");
	else
		need(false, address);
}

void load_sender_open(struct load_sender *sender)
{
	int family = strchr(sender->address, ':') ? AF_INET6 : AF_INET;
	struct rlimit files;

	need(sender->flows && sender->flows <= LOAD_FLOWS_MAX && sender->burst && sender->burst <= BATCH &&
		     sender->length >= 12 && sender->length <= DATAGRAM_MAX,
	     "more than a sender can do");
	if (!getrlimit(RLIMIT_NOFILE, &files)) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	sender->sockets = calloc(sender->flows, sizeof *sender->sockets);
	sender->sequences = calloc(sender->flows, sizeof *sender->sequences);
	need(sender->sockets && sender->sequences, "memory");
	for (unsigned i = 0; i < sender->flows; i++) {
		sender->sockets[i] = traffic_udp_open(sender->where, family, 0);
		enlarge(sender->sockets[i], SO_SNDBUFFORCE);
		connect_to(sender->sockets[i], sender->address,
			   (uint16_t)(sender->port + i % (sender->ports ? sender->ports : 1)));
	}
}

static void write32(uint8_t *bytes, uint32_t number)
{
	for (unsigned i = 0; i < 4; i++)
		bytes[i] = (uint8_t)(number >> (24 - 8 * i));
}

/* The next datagrams of one flow. All of them leave, or the test cannot count. */
static void send_burst(struct load_sender *sender, unsigned flow, struct mmsghdr *messages, unsigned count)
{
	unsigned done = 0;

	for (unsigned i = 0; i < count; i++) {
		uint8_t *datagram = messages[i].msg_hdr.msg_iov->iov_base;

		write32(datagram + 4, flow);
		write32(datagram + 8, ++sender->sequences[flow]);
	}
	while (done < count) {
		int result = sendmmsg(sender->sockets[flow], messages + done, count - done, 0);

		/* ECONNREFUSED tells of an earlier datagram, that nobody was there to take; this one was not tried */
		need(result > 0 || errno == EINTR || errno == ECONNREFUSED, "sendmmsg");
		done += result > 0 ? (unsigned)result : 0;
	}
	sender->sent += count;
}

void load_sender_send(struct load_sender *sender)
{
	uint64_t end = sender->sent + sender->count;
	struct timespec pause = {.tv_nsec = (long)sender->pause_us * 1000};
	struct mmsghdr messages[BATCH] = {0};
	struct iovec iov[BATCH];
	uint8_t *buffers = calloc(BATCH, sender->length);
	unsigned flow = 0;

	need(buffers, "memory");
	for (unsigned i = 0; i < BATCH; i++) {
		iov[i] = (struct iovec){.iov_base = buffers + i * sender->length, .iov_len = sender->length};
		messages[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1};
		memcpy(buffers + i * sender->length, "vdtt", 4);
	}
	while (sender->sent < end && !atomic_load_explicit(&sender->stopping, memory_order_relaxed)) {
		uint64_t left = end - sender->sent;

		send_burst(sender, flow, messages, left < sender->burst ? (unsigned)left : sender->burst);
		flow = (flow + 1) % sender->flows;
		if (sender->pause_us)
			nanosleep(&pause, NULL);
	}
	free(buffers);
}

void load_sender_close(struct load_sender *sender)
{
	for (unsigned i = 0; i < sender->flows; i++)
		close(sender->sockets[i]);
	free(sender->sockets);
	free(sender->sequences);
	sender->sockets = NULL;
	sender->sequences = NULL;
}

static void *send_in_thread(void *argument)
{
	load_sender_send(argument);
	return NULL;
}

void load_sender_start(struct load_sender *sender)
{
	atomic_store(&sender->stopping, false);
	need(!pthread_create(&sender->thread, NULL, send_in_thread, sender), "a thread");
}

void load_sender_join(struct load_sender *sender)
{
	pthread_join(sender->thread, NULL);
}

void load_sender_stop(struct load_sender *sender)
{
	atomic_store(&sender->stopping, true);
	load_sender_join(sender);
}

/* ---- receiver ---- */

struct flow {
	uint32_t highest;
	uint8_t *seen; /* a bit for each sequence number */
};

struct load_receiver {
	int sockets[PORTS_MAX];
	unsigned ports, flow_count;
	uint32_t sequence_max;
	pthread_t thread;
	_Atomic uint64_t received;
	_Atomic bool stopping;
	struct load_tally tally;
	struct flow *flows;
	struct mmsghdr messages[BATCH];
	struct iovec iov[BATCH];
	uint8_t headers[BATCH][12];
};

static uint32_t read32(const uint8_t *bytes)
{
	return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static void account(struct load_receiver *receiver, const uint8_t *header, unsigned length)
{
	uint32_t number = read32(header + 4), sequence = read32(header + 8);
	uint8_t bit = (uint8_t)(1u << sequence % 8);
	struct flow *flow;

	if (length < 12 || memcmp(header, "vdtt", 4) || number >= receiver->flow_count || sequence > receiver->sequence_max) {
		receiver->tally.strangers++;
		return;
	}
	flow = &receiver->flows[number];
	if (flow->seen[sequence / 8] & bit)
		receiver->tally.duplicates++;
	else if (sequence < flow->highest)
		receiver->tally.disordered++;
	else
		flow->highest = sequence;
	flow->seen[sequence / 8] |= bit;
}

/* What lies on one socket now, up to a batch. */
static bool receive_batch(struct load_receiver *receiver, int socket)
{
	int count;

	for (unsigned i = 0; i < BATCH; i++) {
		receiver->iov[i] = (struct iovec){.iov_base = receiver->headers[i], .iov_len = sizeof receiver->headers[i]};
		receiver->messages[i].msg_hdr = (struct msghdr){.msg_iov = &receiver->iov[i], .msg_iovlen = 1};
	}
	count = recvmmsg(socket, receiver->messages, BATCH, MSG_DONTWAIT, NULL);
	for (int i = 0; i < count; i++)
		account(receiver, receiver->headers[i], receiver->messages[i].msg_len);
	if (count > 0)
		atomic_fetch_add_explicit(&receiver->received, (unsigned)count, memory_order_relaxed); /* a count */
	return count > 0;
}

static void *receive_in_thread(void *argument)
{
	struct load_receiver *receiver = argument;
	struct pollfd wanted[PORTS_MAX];

	for (unsigned i = 0; i < receiver->ports; i++)
		wanted[i] = (struct pollfd){.fd = receiver->sockets[i], .events = POLLIN};
	for (;;) {
		bool any = false, last = atomic_load_explicit(&receiver->stopping, memory_order_acquire);

		for (unsigned i = 0; i < receiver->ports; i++)
			any |= receive_batch(receiver, receiver->sockets[i]);
		if (!any && last)
			return NULL;
		if (!any)
			poll(wanted, receiver->ports, 10);
	}
}

struct load_receiver *load_receiver_start(int where, int family, uint16_t port, unsigned ports, unsigned flows,
					  uint32_t sequence_max)
{
	struct load_receiver *receiver = calloc(1, sizeof *receiver);

	need(receiver && ports && ports <= PORTS_MAX, "a receiver");
	receiver->ports = ports;
	receiver->flow_count = flows;
	receiver->sequence_max = sequence_max;
	receiver->flows = calloc(flows, sizeof *receiver->flows);
	need(receiver->flows, "memory");
	for (unsigned i = 0; i < flows; i++) {
		receiver->flows[i].seen = calloc(1, sequence_max / 8 + 1);
		need(receiver->flows[i].seen, "memory");
	}
	for (unsigned i = 0; i < ports; i++) {
		receiver->sockets[i] = traffic_udp_open(where, family, (uint16_t)(port + i));
		enlarge(receiver->sockets[i], SO_RCVBUFFORCE);
	}
	need(!pthread_create(&receiver->thread, NULL, receive_in_thread, receiver), "a thread");
	return receiver;
}

uint64_t load_receiver_count(struct load_receiver *receiver)
{
	return atomic_load_explicit(&receiver->received, memory_order_relaxed);
}

uint64_t load_receiver_wait(struct load_receiver *receiver, uint64_t count, unsigned timeout_ms)
{
	uint64_t end = traffic_now_ms() + (uint64_t)timeout_ms * traffic_patience(), seen = 0, since = traffic_now_ms(), now;

	while ((now = traffic_now_ms()) < end) {
		uint64_t received = load_receiver_count(receiver);

		if (received >= count || (count == UINT64_MAX && received == seen && now - since > 200))
			break;
		if (received != seen) {
			seen = received;
			since = now;
		}
		traffic_sleep_ms(1);
	}
	return load_receiver_count(receiver);
}

struct load_tally load_receiver_stop(struct load_receiver *receiver)
{
	struct load_tally tally;

	atomic_store_explicit(&receiver->stopping, true, memory_order_release);
	pthread_join(receiver->thread, NULL);
	for (unsigned i = 0; i < receiver->ports; i++) {
		uint32_t memory[SK_MEMINFO_VARS] = {0};
		socklen_t size = sizeof memory;

		need(!getsockopt(receiver->sockets[i], SOL_SOCKET, SO_MEMINFO, memory, &size), "SO_MEMINFO");
		receiver->tally.lost += memory[SK_MEMINFO_DROPS];
		close(receiver->sockets[i]);
	}
	receiver->tally.received = load_receiver_count(receiver);
	tally = receiver->tally;
	for (unsigned i = 0; i < receiver->flow_count; i++)
		free(receiver->flows[i].seen);
	free(receiver->flows);
	free(receiver);
	return tally;
}

/* ---- gate ---- */

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool is_closed;
	unsigned passes; /* packets that may pass all the same */
	unsigned held;	 /* threads before it */
} gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static enum vd_verdict pass_gate(struct vd_packet *packet, void *state)
{
	(void)packet;
	(void)state;
	pthread_mutex_lock(&gate.lock);
	gate.held++;
	while (gate.is_closed && !gate.passes)
		pthread_cond_wait(&gate.changed, &gate.lock);
	gate.passes -= gate.passes > 0;
	gate.held--;
	pthread_mutex_unlock(&gate.lock);
	return VD_NEXT;
}

const struct vd_function load_gate = {
	.abi = VD_FUNCTION_ABI,
	.size = sizeof(struct vd_function),
	.name = "gate",
	.summary = "holds packets until it is opened",
	.bytes = VD_HEADERS,
	.decide = pass_gate,
};

static void set_gate(bool is_closed, unsigned passes)
{
	pthread_mutex_lock(&gate.lock);
	gate.is_closed = is_closed;
	gate.passes = passes;
	pthread_cond_broadcast(&gate.changed);
	pthread_mutex_unlock(&gate.lock);
}

void load_gate_close(void)
{
	set_gate(true, 0);
}

void load_gate_pass(unsigned packets)
{
	set_gate(true, packets);
}

void load_gate_open(void)
{
	set_gate(false, 0);
}

static void *open_gate_later(void *argument)
{
	traffic_sleep_ms((unsigned)(uintptr_t)argument);
	load_gate_open();
	return NULL;
}

void load_gate_open_later(unsigned ms)
{
	pthread_t thread;

	need(!pthread_create(&thread, NULL, open_gate_later, (void *)(uintptr_t)ms), "a thread");
	pthread_detach(thread);
}

static bool is_held(void *argument)
{
	bool held;

	pthread_mutex_lock(&gate.lock);
	held = gate.held >= *(unsigned *)argument;
	pthread_mutex_unlock(&gate.lock);
	return held;
}

bool load_gate_wait(unsigned threads, unsigned timeout_ms)
{
	return traffic_wait_until(is_held, &threads, timeout_ms);
}

/* ---- engine ---- */

void load_engine_create(struct load_engine *engine, const struct vd_engine_options *options, const struct vd_function *function,
			unsigned first_queue, unsigned count)
{
	*engine = (struct load_engine){.engine = NULL};
	need(!vd_engine_create(&engine->engine, options, &engine->error), engine->error.text);
	if (function)
		need(!vd_engine_add_function(engine->engine, function, "", &engine->error), engine->error.text);
	for (unsigned i = 0; i < count; i++)
		need(!vd_engine_add_queue(engine->engine, first_queue + i, &engine->error), engine->error.text);
}

static void *run(void *argument)
{
	struct load_engine *engine = argument;

	engine->result = vd_engine_run(engine->engine, &engine->error);
	/* release, pairs with the acquire in has_ended() */
	atomic_store_explicit(&engine->has_ended, true, memory_order_release);
	return NULL;
}

static bool has_ended(void *argument)
{
	struct load_engine *engine = argument;

	return atomic_load_explicit(&engine->has_ended, memory_order_acquire);
}

static bool is_bound(void *argument)
{
	struct vd_queue_stats stats[VD_ENGINE_QUEUES_MAX];
	struct load_engine *engine = argument;
	unsigned count = vd_engine_queue_stats(engine->engine, stats, VD_ENGINE_QUEUES_MAX);
	struct vd_nfq_status status;

	if (has_ended(engine))
		return true;
	for (unsigned i = 0; i < count; i++)
		if (!load_queue(stats[i].queue, &status))
			return false;
	return count;
}

void load_engine_launch(struct load_engine *engine)
{
	need(!pthread_create(&engine->thread, NULL, run, engine), "a thread");
}

void load_engine_await(struct load_engine *engine)
{
	need(traffic_wait_until(is_bound, engine, 5000), "the engine does not bind its queues");
}

void load_engine_start(struct load_engine *engine)
{
	load_engine_launch(engine);
	load_engine_await(engine);
}

bool load_engine_join(struct load_engine *engine, unsigned timeout_ms)
{
	if (!traffic_wait_until(has_ended, engine, timeout_ms))
		return false;
	pthread_join(engine->thread, NULL);
	return true;
}

void load_engine_destroy(struct load_engine *engine)
{
	vd_engine_destroy(engine->engine);
	engine->engine = NULL;
}

struct vd_queue_stats load_engine_stats(const struct load_engine *engine)
{
	struct vd_queue_stats stats[VD_ENGINE_QUEUES_MAX] = {0}, sum;
	unsigned count = vd_engine_queue_stats(engine->engine, stats, VD_ENGINE_QUEUES_MAX);

	sum = stats[0];
	for (unsigned i = 1; i < count; i++) {
		for (unsigned verdict = 0; verdict < VD_VERDICT_COUNT; verdict++)
			sum.verdicts[verdict] += stats[i].verdicts[verdict];
		sum.received += stats[i].received;
		sum.queue_dropped += stats[i].queue_dropped;
		sum.socket_dropped += stats[i].socket_dropped;
		sum.flushed += stats[i].flushed;
		sum.refused += stats[i].refused;
		sum.left_accepted += stats[i].left_accepted;
		sum.left_dropped += stats[i].left_dropped;
		sum.waiting += stats[i].waiting;
		sum.in_flight += stats[i].in_flight;
		sum.held += stats[i].held;
	}
	return sum;
}

uint64_t load_verdicts(const struct vd_queue_stats *stats)
{
	uint64_t sum = 0;

	for (unsigned verdict = 0; verdict < VD_VERDICT_COUNT; verdict++)
		sum += stats->verdicts[verdict];
	return sum;
}

uint64_t load_offered(const struct vd_queue_stats *stats)
{
	return load_verdicts(stats) + stats->queue_dropped + stats->socket_dropped + stats->flushed + stats->refused +
	       stats->left_accepted + stats->left_dropped;
}

bool load_queue(unsigned queue, struct vd_nfq_status *status)
{
	int descriptor = vd_nfq_status_open(), result;

	need(descriptor >= 0, "the kernel's list of queues");
	result = vd_nfq_status_of(descriptor, (uint16_t)queue, status);
	close(descriptor);
	need(!result || result == -ENOENT, "the kernel's list of queues");
	return !result;
}

struct waiting {
	unsigned queue;
	uint32_t count;
};

static bool are_waiting(void *argument)
{
	const struct waiting *waiting = argument;
	struct vd_nfq_status status;

	return load_queue(waiting->queue, &status) && status.waiting == waiting->count;
}

bool load_wait_waiting(unsigned queue, uint32_t count)
{
	return traffic_wait_until(are_waiting, &(struct waiting){.queue = queue, .count = count}, 5000);
}

unsigned load_queues_bound(void)
{
	int descriptor = vd_nfq_status_open(), count;

	need(descriptor >= 0, "the kernel's list of queues");
	count = vd_nfq_status_read(descriptor, NULL, 0);
	close(descriptor);
	need(count >= 0, "the kernel's list of queues");
	return (unsigned)count;
}

uint64_t load_cpu_us(void)
{
	struct rusage usage;

	need(!getrusage(RUSAGE_SELF, &usage), "getrusage");
	return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
	       (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}
