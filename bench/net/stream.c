/* SPDX-License-Identifier: MIT */
/*
 * stream: one TCP connection that sends as fast as it can, and the other end, which reads and forgets. How many bytes a second
 * come through, in packets as large as the kernel makes them.
 */
#include "program.h"

#include <inttypes.h>
#include <netinet/in.h>
#include <unistd.h>

#define CHUNK (256u << 10)
#define CONNECT_TRIES 200

static const char usage[] =
	"usage: stream --port PORT [options]\n"
	"Receives one TCP connection to its end, or sends one, and prints how much went through as JSON.\n"
	"  --port PORT      where it is received\n"
	"  --to ADDRESS     send there, IPv4 or IPv6; else receive\n"
	"  --for SECONDS    how long it is sent; default 3\n"
	"  --skip SECONDS   what the receiver does not count at the beginning; default 0.5\n";

struct settings {
	struct address to;
	uint16_t port;
	uint64_t for_ns, skip_ns;
};

static uint8_t chunk[CHUNK];

static struct settings read_arguments(int argc, char **argv)
{
	enum { PORT = 1, TO, FOR, SKIP };
	static const struct option options[] = {
		{"port", required_argument, NULL, PORT}, {"to", required_argument, NULL, TO},
		{"for", required_argument, NULL, FOR},	 {"skip", required_argument, NULL, SKIP},
		{"help", no_argument, NULL, 'h'},	 {0},
	};
	struct settings settings = {.for_ns = 3 * SECOND_NS, .skip_ns = SECOND_NS / 2};
	int option;

	while ((option = next_option(argc, argv, options, usage)) != -1)
		switch (option) {
		case PORT: settings.port = (uint16_t)number("port", optarg, 1, 65535); break;
		case TO: settings.to = address_read("to", optarg); break;
		case FOR: settings.for_ns = duration_ns("for", optarg); break;
		case SKIP: settings.skip_ns = duration_ns("skip", optarg); break;
		}
	if (!settings.port)
		fail(BAD_ARGUMENT, "--port says where it is received, and is needed; see --help");
	return settings;
}

/* The receiver may not listen yet. */
static int connect_to(struct settings *settings)
{
	const struct timespec pause = {.tv_nsec = 10000000};

	address_set_port(&settings->to, settings->port);
	for (unsigned tries = 0; tries < CONNECT_TRIES && !stopped; tries++) {
		int descriptor = socket(settings->to.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (descriptor < 0)
			fail(FAILED, "cannot open a socket: %s", strerror(errno));
		if (!connect(descriptor, (struct sockaddr *)&settings->to.storage, settings->to.size))
			return descriptor;
		if (errno != ECONNREFUSED && errno != EINTR)
			fail(FAILED, "cannot connect: %s", strerror(errno));
		close(descriptor);
		nanosleep(&pause, NULL);
	}
	fail(FAILED, "nobody receives at port %u", settings->port);
}

static void send_all(struct settings *settings)
{
	int descriptor = connect_to(settings);
	uint64_t start = now_ns(), bytes = 0;

	while (!stopped && now_ns() - start < settings->for_ns) {
		ssize_t sent = send(descriptor, chunk, sizeof chunk, MSG_NOSIGNAL);

		if (sent < 0 && errno != EINTR)
			fail(FAILED, "cannot send: %s", strerror(errno));
		bytes += sent > 0 ? (uint64_t)sent : 0;
	}
	close(descriptor);
	printf("{\"sent_bytes\":%" PRIu64 "}\n", bytes);
}

static int accept_one(const struct settings *settings)
{
	struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(settings->port)};
	int listener = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1, descriptor;

	if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) ||
	    bind(listener, (struct sockaddr *)&any, sizeof any) || listen(listener, 1))
		fail(FAILED, "cannot receive at port %u: %s", settings->port, strerror(errno));
	descriptor = accept(listener, NULL, NULL);
	if (descriptor < 0)
		fail(FAILED, "nobody connected: %s", strerror(errno));
	close(listener);
	return descriptor;
}

static void receive_all(const struct settings *settings)
{
	int descriptor = accept_one(settings);
	uint64_t start = now_ns(), now = start, bytes = 0, skipped = 0, skipped_until = start;
	ssize_t got;

	while (!stopped && (got = recv(descriptor, chunk, sizeof chunk, 0))) {
		if (got < 0 && errno != EINTR)
			fail(FAILED, "cannot receive: %s", strerror(errno));
		now = now_ns();
		bytes += got > 0 ? (uint64_t)got : 0;
		if (now - start < settings->skip_ns) {
			skipped = bytes;
			skipped_until = now;
		}
	}
	printf("{\"bytes\":%" PRIu64 ",\"elapsed_ns\":%" PRIu64 "}\n", bytes - skipped, now - skipped_until);
}

int main(int argc, char **argv)
{
	struct settings settings = read_arguments(argc, argv);

	stop_on_signals();
	if (settings.to.size)
		send_all(&settings);
	else
		receive_all(&settings);
	return 0;
}
