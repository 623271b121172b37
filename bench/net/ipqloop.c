/* SPDX-License-Identifier: MIT */
/*
 * ipqloop: the loop of libipq's manual, read one packet, decide, answer, on this project's libipq. Compare it with yardstick
 * --no-gso: libipq takes packets in segments, as its programs always did.
 *
 *	drain --program 'yardstick=.../yardstick --no-gso --maxlen 65536 --verdict VERDICT' \
 *	      --program 'libipq=.../ipqloop --maxlen 65536 --verdict VERDICT'
 */
#include "program.h"

#include <inttypes.h>
#include <linux/netfilter.h>
#include <libipq.h>

#define RECEIVE_BUFFER (128u << 20)
#define PAYLOAD_MAX 65531u

static const char usage[] =
	"usage: ipqloop [options]\n"
	"Answers the packets of netfilter queue 0 (or $LIBIPQ_QUEUE) one by one through libipq, and prints how many as JSON.\n"
	"  --verdict NAME      accept or drop; default accept\n"
	"  --maxlen N          how many packets the kernel may queue; default 1024\n"
	"  --copy-range BYTES  how much of each packet is copied; default 65531\n"
	"  --rcvbuf BYTES      the socket's receive buffer; default 128 MiB\n"
	"  --count N           end after so many packets; else at SIGINT or SIGTERM\n";

struct settings {
	uint32_t verdict, maxlen, copy_range, receive_buffer;
	uint64_t count;
};

static struct settings read_arguments(int argc, char **argv)
{
	enum { VERDICT = 1, MAXLEN, COPY_RANGE, RCVBUF, COUNT };
	static const struct option options[] = {
		{"verdict", required_argument, NULL, VERDICT}, {"maxlen", required_argument, NULL, MAXLEN},
		{"copy-range", required_argument, NULL, COPY_RANGE}, {"rcvbuf", required_argument, NULL, RCVBUF},
		{"count", required_argument, NULL, COUNT}, {"help", no_argument, NULL, 'h'},
		{0},
	};
	struct settings settings = {.verdict = NF_ACCEPT, .maxlen = 1024, .copy_range = PAYLOAD_MAX, .receive_buffer = RECEIVE_BUFFER,
				    .count = UINT64_MAX};
	int option;

	while ((option = next_option(argc, argv, options, usage)) != -1)
		switch (option) {
		case VERDICT:
			if (strcmp(optarg, "accept") && strcmp(optarg, "drop"))
				fail(BAD_ARGUMENT, "--verdict takes accept or drop, not '%s'", optarg);
			settings.verdict = optarg[0] == 'a' ? NF_ACCEPT : NF_DROP;
			break;
		case MAXLEN: settings.maxlen = (uint32_t)number("maxlen", optarg, 1, UINT32_MAX); break;
		case COPY_RANGE: settings.copy_range = (uint32_t)number("copy-range", optarg, 0, PAYLOAD_MAX); break;
		case RCVBUF: settings.receive_buffer = (uint32_t)number("rcvbuf", optarg, 1, 2147483646); break;
		case COUNT: settings.count = number("count", optarg, 1, UINT64_MAX); break;
		}
	return settings;
}

static struct ipq_handle *open_queue(const struct settings *settings)
{
	struct ipq_handle *handle = ipq_create_handle(0, PF_INET);

	/* the mode comes last: from then on there are packets */
	if (!handle || ipq_ctl(handle, IPQ_CTL_SET_MAXLEN, settings->maxlen) < 0 ||
	    ipq_ctl(handle, IPQ_CTL_SET_RCVBUF, settings->receive_buffer) < 0 ||
	    ipq_set_mode(handle, IPQ_COPY_PACKET, settings->copy_range) < 0)
		fail(FAILED, "cannot open the queue: %s: %s", ipq_errstr(), strerror(errno));
	return handle;
}

int main(int argc, char **argv)
{
	static unsigned char buffer[sizeof(struct nlmsghdr) + sizeof(ipq_packet_msg_t) + PAYLOAD_MAX + 4] __attribute__((aligned));
	struct settings settings = read_arguments(argc, argv);
	struct ipq_handle *handle = open_queue(&settings);
	struct timeval wait = {.tv_usec = 100000};
	uint64_t packets = 0, refused = 0;

	stop_on_signals();
	/* awake to hear a signal */
	if (setsockopt(handle->fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait))
		fail(FAILED, "cannot prepare the socket: %s", strerror(errno));
	while (!stopped && packets < settings.count) {
		if (ipq_read(handle, buffer, sizeof buffer, 0) < 0) {
			if (errno != EAGAIN && errno != EINTR)
				fail(FAILED, "cannot read: %s: %s", ipq_errstr(), strerror(errno));
		} else if (ipq_message_type(buffer) != IPQM_PACKET) {
			if (!packets)
				fail(FAILED, "cannot bind the queue: %s", strerror(ipq_get_msgerr(buffer)));
			refused++;
		} else {
			packets++;
			if (ipq_set_verdict(handle, ipq_get_packet(buffer)->packet_id, settings.verdict, 0, NULL) < 0)
				fail(FAILED, "cannot answer: %s", strerror(errno));
		}
	}
	ipq_destroy_handle(handle);
	printf("{\"api\":\"libipq\",\"packets\":%" PRIu64 ",\"refused\":%" PRIu64 "}\n", packets, refused);
	return 0;
}
