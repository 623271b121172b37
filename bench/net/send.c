/* SPDX-License-Identifier: MIT */
/*
 * send: UDP traffic on a schedule, for `sink` to receive and check.
 *
 * Every flow has a socket, and so a source port, of its own. Packet k of a paced run is due at start + k / rate,
 * whatever happened to the ones before it: who falls behind sends what is overdue at once and does not stretch the
 * schedule. A packet carries the time at which it was *due*, so that a stall of the sender shows in the latency that
 * the receiver sees, and not as packets that were never sent ("coordinated omission"); late_ns says how much of it is
 * the sender's own.
 *
 * What the kernel says to a sender whose packets go through an NFQUEUE rule in OUTPUT (seen on Linux 6.18): nothing.
 * The packet leaves sendmsg() when it is queued, so that a later DROP verdict, a full queue and a queue that nobody
 * has bound all look like success. EPERM comes from rules that drop on the spot (-j DROP). Such a packet did get to
 * netfilter: it counts as sent as well as an error. ECONNREFUSED is somebody's ICMP answer to an earlier packet. Other
 * errors mean that the packet never left; its sequence number is used up all the same. A queued packet is still
 * charged to the socket that sent it, hence the large send buffer: with the default one a sender blocks after 256
 * small packets.
 */
#include "program.h"

#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tools/histogram.h"
#include "tools/payload.h"

#define BATCH 64u
#define ERRNO_MAX 134u
#define SEND_BUFFER (512 << 20)
#define PER_FLOW_PRINTED 64u

static const char usage[] =
	"usage: send --to ADDRESS --port BASE [options]\n"
	"Sends UDP datagrams that sink can check, and prints what it sent as JSON.\n"
	"  --to ADDRESS     IPv4 or IPv6\n"
	"  --port BASE      the first destination port\n"
	"  --ports N        flow i goes to port BASE + i % N; default 1\n"
	"  --flows N        how many source sockets; default 1\n"
	"  --first-flow I   the number of the first flow: tells several senders apart; default 0\n"
	"  --size BYTES     of the UDP payload, 20 to 65507; default 36 (an IPv4 packet of 64 bytes)\n"
	"  --count N        how many to send\n"
	"  --for SECONDS    how long; neither: until SIGINT or SIGTERM\n"
	"  --rate PPS       packets a second, all flows together; 0, the default: as fast as it can\n"
	"  --burst N        packets in a row of the same flow, 1 to 64; default 32 at rate 0, else 1\n"
	"  --together       those of a burst in one call, for the device to cut (UDP_SEGMENT), as far as 64 KB go\n";

struct flow {
	int descriptor;
	uint64_t sequence; /* of its next packet */
	uint64_t sent;
};

struct settings {
	struct address to;
	uint16_t port;
	uint32_t ports, flows, first_flow, size, burst;
	uint64_t count, for_ns, rate;
	bool is_together;
};

static struct flow flows[PAYLOAD_FLOWS_MAX];
static uint64_t errors[ERRNO_MAX];
static struct histogram late;
static struct mmsghdr messages[BATCH];
static struct iovec iov[BATCH];
static unsigned together_max; /* packets in one call; 0: each is a message of its own */

static struct settings read_arguments(int argc, char **argv)
{
	enum { TO = 1, PORT, PORTS, FLOWS, FIRST_FLOW, SIZE, COUNT, FOR, RATE, BURST, TOGETHER };
	static const struct option options[] = {
		{"to", required_argument, NULL, TO},	     {"port", required_argument, NULL, PORT},
		{"ports", required_argument, NULL, PORTS},   {"flows", required_argument, NULL, FLOWS},
		{"first-flow", required_argument, NULL, FIRST_FLOW}, {"size", required_argument, NULL, SIZE},
		{"count", required_argument, NULL, COUNT},   {"for", required_argument, NULL, FOR},
		{"rate", required_argument, NULL, RATE},     {"burst", required_argument, NULL, BURST},
		{"together", no_argument, NULL, TOGETHER},   {"help", no_argument, NULL, 'h'},
		{0},
	};
	struct settings settings = {.ports = 1, .flows = 1, .size = 36};
	int option;

	while ((option = next_option(argc, argv, options, usage)) != -1)
		switch (option) {
		case TO: settings.to = address_read("to", optarg); break;
		case PORT: settings.port = (uint16_t)number("port", optarg, 1, 65535); break;
		case PORTS: settings.ports = (uint32_t)number("ports", optarg, 1, 65535); break;
		case FLOWS: settings.flows = (uint32_t)number("flows", optarg, 1, PAYLOAD_FLOWS_MAX); break;
		case FIRST_FLOW:
			settings.first_flow = (uint32_t)number("first-flow", optarg, 0, PAYLOAD_FLOWS_MAX - 1);
			break;
		case SIZE:
			settings.size = (uint32_t)number("size", optarg, sizeof(struct payload), PAYLOAD_SIZE_MAX);
			break;
		case COUNT: settings.count = number("count", optarg, 1, UINT64_MAX); break;
		case FOR: settings.for_ns = duration_ns("for", optarg); break;
		case RATE: settings.rate = number("rate", optarg, 0, 1000000000); break;
		case BURST: settings.burst = (uint32_t)number("burst", optarg, 1, BATCH); break;
		case TOGETHER: settings.is_together = true; break;
		}
	if (!settings.to.size || !settings.port)
		fail(BAD_ARGUMENT, "--to and --port say where to send, and are needed; see --help");
	if (settings.port + settings.ports - 1 > 65535)
		fail(BAD_ARGUMENT, "--port %u and --ports %u go beyond port 65535", settings.port, settings.ports);
	if (settings.first_flow + settings.flows > PAYLOAD_FLOWS_MAX)
		fail(BAD_ARGUMENT, "--first-flow and --flows go beyond flow %u", PAYLOAD_FLOWS_MAX - 1);
	if (!settings.burst)
		settings.burst = settings.rate ? 1 : BATCH / 2;
	/* a single flow has nothing to take turns with */
	if (settings.flows == 1)
		settings.burst = BATCH;
	return settings;
}

static void open_flows(const struct settings *settings)
{
	struct rlimit limit;
	int size = (int)settings->size;

	if (!getrlimit(RLIMIT_NOFILE, &limit)) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	for (uint32_t i = 0; i < settings->flows; i++) {
		struct address to = settings->to;
		int descriptor = socket(to.storage.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

		address_set_port(&to, (uint16_t)(settings->port + i % settings->ports));
		if (descriptor < 0 || connect(descriptor, (struct sockaddr *)&to.storage, to.size))
			fail(FAILED, "cannot open the socket of flow %u: %s", i, strerror(errno));
		set_buffer(descriptor, SO_SNDBUFFORCE, SO_SNDBUF, SEND_BUFFER);
		if (settings->is_together && setsockopt(descriptor, SOL_UDP, UDP_SEGMENT, &size, sizeof size))
			fail(FAILED, "the kernel does not know UDP_SEGMENT: %s", strerror(errno));
		flows[i].descriptor = descriptor;
	}
}

/* A message for each packet, or for as many as one may hold. */
static void prepare_messages(const struct settings *settings)
{
	size_t stride = (settings->size + 63u) / 64 * 64;
	uint8_t *buffers = aligned_alloc(64, BATCH * stride);

	if (!buffers)
		fail(FAILED, "out of memory");
	for (unsigned i = 0; i < BATCH; i++) {
		iov[i] = (struct iovec){.iov_base = buffers + i * stride, .iov_len = settings->size};
		messages[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1};
	}
	if (settings->is_together)
		together_max = PAYLOAD_SIZE_MAX / settings->size < BATCH ? PAYLOAD_SIZE_MAX / settings->size : BATCH;
}

/* When packet `index` is due. */
static uint64_t due_ns(const struct settings *settings, uint64_t start, uint64_t index)
{
	return start + (uint64_t)((unsigned __int128)index * SECOND_NS / settings->rate);
}

/* How many packets are due by now; without a rate, any number. */
static uint64_t due_count(const struct settings *settings, uint64_t start, uint64_t now)
{
	if (!settings->rate)
		return UINT64_MAX;
	return (uint64_t)((unsigned __int128)(now - start) * settings->rate / SECOND_NS) + 1;
}

static void sleep_until(uint64_t time_ns)
{
	struct timespec time = {.tv_sec = (time_t)(time_ns / SECOND_NS), .tv_nsec = (long)(time_ns % SECOND_NS)};

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL);
}

/*
 * sendmmsg() ends at the first packet that fails, and says why only when that is the first of the call. ECONNREFUSED
 * is the answer to an earlier packet: this one has not been tried yet.
 */
static void send_all(struct flow *flow, unsigned count)
{
	for (unsigned done = 0; done < count;) {
		int result = sendmmsg(flow->descriptor, messages + done, count - done, 0);

		if (result > 0) {
			flow->sent += (unsigned)result;
			done += (unsigned)result;
		} else if (errno != EINTR || stopped) {
			bool is_earlier = errno == ECONNREFUSED;

			errors[errno < (int)ERRNO_MAX ? errno : 0]++;
			flow->sent += errno == EPERM;
			done += !is_earlier;
		}
	}
}

/* As send_all(), but all in one message, or several where they are more than one may hold. */
static void send_together(struct flow *flow, unsigned count)
{
	unsigned done = 0;

	while (done < count) {
		unsigned part = count - done < together_max ? count - done : together_max;
		struct msghdr message = {.msg_iov = &iov[done], .msg_iovlen = part};

		if (sendmsg(flow->descriptor, &message, 0) >= 0) {
			flow->sent += part;
			done += part;
		} else if (errno != EINTR || stopped) {
			bool is_earlier = errno == ECONNREFUSED;

			errors[errno < (int)ERRNO_MAX ? errno : 0]++;
			flow->sent += errno == EPERM ? part : 0;
			done += is_earlier ? 0 : part;
		}
	}
}

/* `offered` is how many packets there were before these, all flows together. */
static void send_burst(const struct settings *settings, uint32_t index, unsigned count, uint64_t start,
		       uint64_t offered, uint64_t now)
{
	struct flow *flow = &flows[index];

	for (unsigned i = 0; i < count; i++) {
		struct payload *payload = iov[i].iov_base;

		payload->flow = (uint16_t)(settings->first_flow + index);
		payload->sequence = flow->sequence++;
		payload->time_ns = settings->rate ? due_ns(settings, start, offered + i) : now;
		histogram_add(&late, now - payload->time_ns);
		payload_fill(payload, settings->size);
	}
	if (together_max)
		send_together(flow, count);
	else
		send_all(flow, count);
}

/* Returns how long it took. */
static uint64_t run(const struct settings *settings)
{
	uint64_t start = now_ns(), now = start, offered = 0;
	uint64_t end = settings->for_ns ? start + settings->for_ns : UINT64_MAX;
	uint64_t total = settings->count ? settings->count : UINT64_MAX;
	uint32_t index = 0, left = settings->burst;

	while (!stopped && offered < total && now < end) {
		uint64_t due = due_count(settings, start, now);
		unsigned count = left;

		if (offered >= due) {
			uint64_t next = due_ns(settings, start, offered);

			/* a slow rate must not make it deaf to signals, nor sleep beyond its end */
			if (next > now + SECOND_NS / 10)
				next = now + SECOND_NS / 10;
			sleep_until(next < end ? next : end);
			now = now_ns();
			continue;
		}
		if (count > due - offered)
			count = (unsigned)(due - offered);
		if (count > total - offered)
			count = (unsigned)(total - offered);
		send_burst(settings, index, count, start, offered, now);
		offered += count;
		left -= count;
		if (!left) {
			left = settings->burst;
			index = (index + 1) % settings->flows;
		}
		now = now_ns();
	}
	return now - start;
}

static void print_result(const struct settings *settings, uint64_t elapsed_ns)
{
	const char *separator = "";
	uint64_t sent = 0;

	for (uint32_t i = 0; i < settings->flows; i++)
		sent += flows[i].sent;
	printf("{\"sent\":%" PRIu64, sent);
	if (settings->flows <= PER_FLOW_PRINTED) {
		printf(",\"per_flow\":[");
		for (uint32_t i = 0; i < settings->flows; i++)
			printf("%s%" PRIu64, i ? "," : "", flows[i].sent);
		printf("]");
	}
	printf(",\"seconds\":%.6f,\"errors\":{", (double)elapsed_ns / SECOND_NS);
	for (unsigned i = 0; i < ERRNO_MAX; i++)
		if (errors[i]) {
			const char *name = strerrorname_np((int)i);

			printf("%s\"%s\":%" PRIu64, separator, i && name ? name : "other", errors[i]);
			separator = ",";
		}
	printf("},");
	histogram_print(&late, "late_ns");
	printf("}\n");
}

int main(int argc, char **argv)
{
	struct settings settings = read_arguments(argc, argv);
	uint64_t elapsed_ns;

	open_flows(&settings);
	prepare_messages(&settings);
	stop_on_signals();
	/* the usual slack of 50 us is several packets */
	prctl(PR_SET_TIMERSLACK, 1ul);
	elapsed_ns = run(&settings);
	print_result(&settings, elapsed_ns);
	return 0;
}
