/* SPDX-License-Identifier: MIT */
/*
 * sink: receives what `send` sends, and says what became of it.
 *
 * received counts every datagram. corrupt are those whose content is damaged (they belong to no flow); reordered came
 * after a later one of their flow; duplicates had come before. So received - corrupt - duplicates different packets
 * arrived, and what the sender offered beyond that was lost on the way. socket_lost is the part of it that this
 * program's own socket buffers lost, and should be 0.
 *
 * Reordered and duplicate are told apart by a bitmap of the last WINDOW sequence numbers of each flow: four times what
 * a netfilter queue can hold. A packet later than that counts as reordered and as beyond_window: it could be a
 * duplicate.
 *
 * Latency is from the time in the packet (when it was due) to the return of the receive call.
 */
#include "program.h"

#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "tools/histogram.h"
#include "tools/payload.h"

#define BATCH 64u
#define WINDOW (1u << 18)
#define PORTS_MAX 4096u
#define RECEIVE_BUFFER (512 << 20)
#define PER_FLOW_PRINTED 64u

static const char usage[] =
	"usage: sink --port BASE [options]\n"
	"Receives what send sends, checks it, and prints what came as JSON.\n"
	"  --bind ADDRESS   IPv4 or IPv6; default :: (both)\n"
	"  --port BASE      the first port\n"
	"  --ports N        receive on N ports from BASE on; default 1\n"
	"  --for SECONDS    end after that time\n"
	"  --idle MS        end when nothing came for that long after the first packet\n"
	"  --count N        end after so many; none of the three: at SIGINT or SIGTERM\n"
	"  --ready FD       write a byte there and close it when the ports are bound; else 'ready' on stderr\n"
	"  --echo           send each datagram back to where it came from\n";

struct flow {
	uint64_t received;
	uint64_t highest;
	uint64_t seen[WINDOW / 64]; /* bit n: a sequence number that is n modulo WINDOW, not older than the window */
};

struct settings {
	struct address bind;
	uint16_t port;
	uint32_t ports;
	uint64_t for_ns, idle_ns, count;
	int ready;
	bool echo;
};

static struct flow *flows[PAYLOAD_FLOWS_MAX];
static uint64_t received, reordered, duplicates, corrupt, beyond_window, first_ns, last_ns;
static struct histogram latency;

static int descriptors[PORTS_MAX];
static struct mmsghdr messages[BATCH];
static struct iovec iov[BATCH];
static struct sockaddr_storage sources[BATCH];
static uint8_t buffers[BATCH][65536] __attribute__((aligned(64)));

static struct settings read_arguments(int argc, char **argv)
{
	enum { BIND = 1, PORT, PORTS, FOR, IDLE, COUNT, READY, ECHO_BACK };
	static const struct option options[] = {
		{"bind", required_argument, NULL, BIND},   {"port", required_argument, NULL, PORT},
		{"ports", required_argument, NULL, PORTS}, {"for", required_argument, NULL, FOR},
		{"idle", required_argument, NULL, IDLE},   {"count", required_argument, NULL, COUNT},
		{"ready", required_argument, NULL, READY}, {"echo", no_argument, NULL, ECHO_BACK},
		{"help", no_argument, NULL, 'h'},	   {0},
	};
	struct settings settings = {.ports = 1, .ready = -1};
	int option;

	while ((option = next_option(argc, argv, options, usage)) != -1)
		switch (option) {
		case BIND: settings.bind = address_read("bind", optarg); break;
		case PORT: settings.port = (uint16_t)number("port", optarg, 1, 65535); break;
		case PORTS: settings.ports = (uint32_t)number("ports", optarg, 1, PORTS_MAX); break;
		case FOR: settings.for_ns = duration_ns("for", optarg); break;
		case IDLE: settings.idle_ns = number("idle", optarg, 1, 1000000000) * 1000000; break;
		case COUNT: settings.count = number("count", optarg, 1, UINT64_MAX); break;
		case READY: settings.ready = (int)number("ready", optarg, 0, 1 << 20); break;
		case ECHO_BACK: settings.echo = true; break;
		}
	if (!settings.port)
		fail(BAD_ARGUMENT, "--port says where to receive, and is needed; see --help");
	if (settings.port + settings.ports - 1 > 65535)
		fail(BAD_ARGUMENT, "--port %u and --ports %u go beyond port 65535", settings.port, settings.ports);
	if (!settings.bind.size)
		settings.bind = address_read("bind", "::");
	return settings;
}

/* Binds all ports, and returns the epoll descriptor that watches them. */
static int open_ports(const struct settings *settings)
{
	int poll = epoll_create1(EPOLL_CLOEXEC);

	for (uint32_t i = 0; i < settings->ports; i++) {
		struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
		struct address bound = settings->bind;
		int descriptor = socket(bound.storage.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

		address_set_port(&bound, (uint16_t)(settings->port + i));
		if (descriptor < 0 || bind(descriptor, (struct sockaddr *)&bound.storage, bound.size))
			fail(FAILED, "cannot bind port %u: %s", settings->port + i, strerror(errno));
		set_buffer(descriptor, SO_RCVBUFFORCE, SO_RCVBUF, RECEIVE_BUFFER);
		if (poll < 0 || epoll_ctl(poll, EPOLL_CTL_ADD, descriptor, &event))
			fail(FAILED, "cannot watch port %u: %s", settings->port + i, strerror(errno));
		descriptors[i] = descriptor;
	}
	for (unsigned i = 0; i < BATCH; i++)
		iov[i].iov_base = buffers[i];
	return poll;
}

static void say_ready(int descriptor)
{
	if (descriptor < 0) {
		fprintf(stderr, "ready\n");
		return;
	}
	if (write(descriptor, "", 1) != 1)
		fail(BAD_ARGUMENT, "--ready %d is not a descriptor to write to", descriptor);
	close(descriptor);
}

/* Whether bit `sequence` was set already; sets it. */
static bool mark_seen(struct flow *flow, uint64_t sequence)
{
	uint64_t *word = &flow->seen[sequence % WINDOW / 64], bit = 1ull << sequence % 64;
	bool was_seen = *word & bit;

	*word |= bit;
	return was_seen;
}

/* Moves the window up to a new highest sequence number: what it passes over was not seen. */
static void advance(struct flow *flow, uint64_t sequence)
{
	if (sequence - flow->highest >= WINDOW)
		memset(flow->seen, 0, sizeof flow->seen);
	else
		for (uint64_t i = flow->highest + 1; i <= sequence; i++)
			flow->seen[i % WINDOW / 64] &= ~(1ull << i % 64);
	flow->highest = sequence;
}

static void account(const struct payload *payload, size_t size, uint64_t now)
{
	struct flow *flow;
	uint64_t sequence;

	received++;
	if (!payload_check(payload, size)) {
		corrupt++;
		return;
	}
	histogram_add(&latency, now > payload->time_ns ? now - payload->time_ns : 0);
	flow = flows[payload->flow];
	sequence = payload->sequence;
	if (!flow) {
		flow = flows[payload->flow] = calloc(1, sizeof *flow);
		if (!flow)
			fail(FAILED, "out of memory for flow %u", payload->flow);
	}
	if (!flow->received++ || sequence > flow->highest) {
		advance(flow, sequence);
		mark_seen(flow, sequence);
	} else if (flow->highest - sequence >= WINDOW) {
		reordered++;
		beyond_window++;
	} else if (mark_seen(flow, sequence)) {
		duplicates++;
	} else {
		reordered++;
	}
}

static void echo(int descriptor, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		iov[i].iov_len = messages[i].msg_len;
	/* whoever does not take an answer loses it, as on any network */
	for (unsigned done = 0; done < count; done++) {
		int sent = sendmmsg(descriptor, messages + done, count - done, 0);

		if (sent > 0)
			done += (unsigned)sent - 1;
	}
}

/* Receives a batch; false: there was nothing. */
static bool receive(const struct settings *settings, int descriptor)
{
	uint64_t now;
	int count;

	for (unsigned i = 0; i < BATCH; i++) {
		iov[i].iov_len = sizeof buffers[i];
		messages[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1};
		if (settings->echo) {
			messages[i].msg_hdr.msg_name = &sources[i];
			messages[i].msg_hdr.msg_namelen = sizeof sources[i];
		}
	}
	count = recvmmsg(descriptor, messages, BATCH, MSG_DONTWAIT, NULL);
	if (count <= 0)
		return false;
	now = now_ns();
	if (!received)
		first_ns = now;
	last_ns = now;
	if (settings->echo)
		echo(descriptor, (unsigned)count);
	for (int i = 0; i < count; i++)
		account((const struct payload *)buffers[i], messages[i].msg_len, now);
	return true;
}

/* What came before the end counts, also if it was not looked at yet; if traffic goes on, this ends after a second. */
static void receive_rest(const struct settings *settings)
{
	uint64_t end = now_ns() + SECOND_NS;

	for (uint32_t i = 0; i < settings->ports; i++)
		while (now_ns() < end && receive(settings, descriptors[i]))
			;
}

static void run(const struct settings *settings, int poll)
{
	uint64_t start = now_ns(), now = start;
	struct epoll_event events[64];

	while (!stopped && (!settings->for_ns || now - start < settings->for_ns)) {
		/* 10 ms: how exactly it notices that it is time to end */
		int ready = epoll_wait(poll, events, sizeof events / sizeof *events, 10);

		/* one batch at a time from each port, so that none starves another */
		for (int i = 0; i < ready; i++)
			receive(settings, descriptors[events[i].data.u32]);
		if (settings->count && received >= settings->count)
			return;
		/* the time from before the wait: it says nothing if this program slept, and did not look */
		if (settings->idle_ns && received && !ready && now - last_ns >= settings->idle_ns)
			return;
		now = now_ns();
	}
	receive_rest(settings);
}

/* What the sockets dropped, the last packets included, which SO_RXQ_OVFL (the same counter) would miss. */
static uint64_t count_socket_lost(const struct settings *settings)
{
	uint64_t lost = 0;

	for (uint32_t i = 0; i < settings->ports; i++) {
		uint32_t memory[SK_MEMINFO_VARS] = {0};
		socklen_t size = sizeof memory;

		if (!getsockopt(descriptors[i], SOL_SOCKET, SO_MEMINFO, memory, &size))
			lost += memory[SK_MEMINFO_DROPS];
	}
	return lost;
}

static void print_result(const struct settings *settings)
{
	const char *separator = "";
	unsigned count = 0;

	for (unsigned i = 0; i < PAYLOAD_FLOWS_MAX; i++)
		count += flows[i] != NULL;
	printf("{\"received\":%" PRIu64 ",\"reordered\":%" PRIu64 ",\"duplicates\":%" PRIu64 ",\"corrupt\":%" PRIu64
	       ",\"beyond_window\":%" PRIu64 ",\"socket_lost\":%" PRIu64 ",\"flows\":%u",
	       received, reordered, duplicates, corrupt, beyond_window, count_socket_lost(settings), count);
	if (count <= PER_FLOW_PRINTED) {
		printf(",\"per_flow\":[");
		for (unsigned i = 0; i < PAYLOAD_FLOWS_MAX; i++)
			if (flows[i]) {
				printf("%s%" PRIu64, separator, flows[i]->received);
				separator = ",";
			}
		printf("]");
	}
	printf(",\"seconds\":%.6f,", (double)(last_ns - first_ns) / SECOND_NS);
	histogram_print(&latency, "latency_ns");
	printf("}\n");
}

int main(int argc, char **argv)
{
	struct settings settings = read_arguments(argc, argv);
	int poll;

	stop_on_signals();
	poll = open_ports(&settings);
	say_ready(settings.ready);
	run(&settings, poll);
	print_result(&settings);
	return 0;
}
