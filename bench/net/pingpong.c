/* SPDX-License-Identifier: MIT */
/*
 * pingpong: one datagram out, wait for it to come back from `sink --echo`, the next one out. The round trip time on a
 * machine that does nothing else: what a packet waits when no other is in its way.
 *
 * The next ping leaves when the last one is back: a stall is one large value, not many, so judge stalls with `send` at
 * a rate.
 */
#include "program.h"

#include <netinet/in.h>
#include <unistd.h>

#include "tools/histogram.h"
#include "tools/payload.h"

#define COUNT 10000u

static const char usage[] =
	"usage: pingpong --to ADDRESS --port PORT [options]\n"
	"Measures round trips to a sink --echo, and prints their times as JSON.\n"
	"  --to ADDRESS    IPv4 or IPv6\n"
	"  --port PORT     where the sink receives\n"
	"  --size BYTES    of the UDP payload, 20 to 65507; default 36 (an IPv4 packet of 64 bytes)\n"
	"  --count N       how many round trips; default 10000 unless --for is given\n"
	"  --for SECONDS   how long\n"
	"  --wait MS       an answer that takes longer is lost; default 1000\n";

struct settings {
	struct address to;
	uint16_t port;
	uint32_t size;
	uint64_t count, for_ns, wait_ns;
};

static struct histogram round_trip;
static uint64_t sent, lost, corrupt;

static struct settings read_arguments(int argc, char **argv)
{
	enum { TO = 1, PORT, SIZE, COUNT_OPTION, FOR, WAIT };
	static const struct option options[] = {
		{"to", required_argument, NULL, TO},	 {"port", required_argument, NULL, PORT},
		{"size", required_argument, NULL, SIZE}, {"count", required_argument, NULL, COUNT_OPTION},
		{"for", required_argument, NULL, FOR},	 {"wait", required_argument, NULL, WAIT},
		{"help", no_argument, NULL, 'h'},	 {0},
	};
	struct settings settings = {.size = 36, .wait_ns = SECOND_NS};
	int option;

	while ((option = next_option(argc, argv, options, usage)) != -1)
		switch (option) {
		case TO: settings.to = address_read("to", optarg); break;
		case PORT: settings.port = (uint16_t)number("port", optarg, 1, 65535); break;
		case SIZE:
			settings.size = (uint32_t)number("size", optarg, sizeof(struct payload), PAYLOAD_SIZE_MAX);
			break;
		case COUNT_OPTION: settings.count = number("count", optarg, 1, UINT64_MAX); break;
		case FOR: settings.for_ns = duration_ns("for", optarg); break;
		case WAIT: settings.wait_ns = number("wait", optarg, 1, 1000000) * 1000000; break;
		}
	if (!settings.to.size || !settings.port)
		fail(BAD_ARGUMENT, "--to and --port say where to send, and are needed; see --help");
	if (!settings.count)
		settings.count = settings.for_ns ? UINT64_MAX : COUNT;
	return settings;
}

static int open_socket(struct settings *settings)
{
	struct timeval wait = {.tv_sec = (time_t)(settings->wait_ns / SECOND_NS),
			       .tv_usec = (suseconds_t)(settings->wait_ns % SECOND_NS / 1000)};
	int descriptor = socket(settings->to.storage.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	address_set_port(&settings->to, settings->port);
	if (descriptor < 0 || connect(descriptor, (struct sockaddr *)&settings->to.storage, settings->to.size) ||
	    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait))
		fail(FAILED, "cannot open a socket to there: %s", strerror(errno));
	return descriptor;
}

/* Waits for the answer to this ping: late answers to earlier ones, and the errors of a refused one, do not count. */
static void receive_answer(const struct settings *settings, int descriptor, uint64_t sequence, uint64_t sent_ns)
{
	static uint8_t buffer[65536] __attribute__((aligned(8)));
	const struct payload *payload = (const struct payload *)buffer;
	uint64_t now;

	do {
		ssize_t got = recv(descriptor, buffer, sizeof buffer, 0);

		now = now_ns();
		if (got >= 0 && (size_t)got == settings->size && payload_check(payload, (size_t)got)) {
			if (payload->sequence != sequence)
				continue;
			histogram_add(&round_trip, now - sent_ns);
			return;
		}
		if (got >= 0)
			corrupt++;
		else if (errno != EINTR && errno != ECONNREFUSED)
			break;
	} while (!stopped && now - sent_ns < settings->wait_ns);
	if (stopped)
		sent--; /* nobody knows what would have become of it */
	else
		lost++;
}

static uint64_t run(const struct settings *settings, int descriptor)
{
	uint64_t start = now_ns(), now = start;
	struct payload *payload = calloc(1, settings->size);

	if (!payload)
		fail(FAILED, "out of memory");
	for (uint64_t i = 0; !stopped && i < settings->count; i++) {
		if (settings->for_ns && now - start >= settings->for_ns)
			break;
		payload->sequence = i;
		payload->time_ns = now_ns();
		payload_fill(payload, settings->size);
		sent++;
		if (send(descriptor, payload, settings->size, 0) < 0 && errno != ECONNREFUSED)
			lost++;
		else
			receive_answer(settings, descriptor, i, payload->time_ns);
		now = now_ns();
	}
	free(payload);
	return now - start;
}

int main(int argc, char **argv)
{
	struct settings settings = read_arguments(argc, argv);
	uint64_t elapsed_ns;
	int descriptor;

	stop_on_signals();
	descriptor = open_socket(&settings);
	elapsed_ns = run(&settings, descriptor);
	printf("{\"sent\":%" PRIu64 ",\"received\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"corrupt\":%" PRIu64
	       ",\"seconds\":%.6f,",
	       sent, round_trip.count, lost, corrupt, (double)elapsed_ns / SECOND_NS);
	histogram_print(&round_trip, "round_trip_ns");
	printf("}\n");
	return 0;
}
