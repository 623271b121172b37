/* SPDX-License-Identifier: MIT */
/*
 * bare: what the kernel lets anybody reach. Packets are received in bursts and answered in bursts; none is looked at, nothing is
 * decided or counted, no error read. What an engine adds to that is what it costs; what these loops cost is the kernel's.
 *
 *	one	  a thread that receives a burst and answers it, 64 packets in one message
 *	separate  the same, but with a message for each packet
 *	pipeline  a thread that receives, and one that answers, 64 packets in one message. In order
 *	free	  two threads, each receives a burst and answers it, a message for each packet. The packets of a flow leave in any
 *		  order, which no engine may do: the bound for sharing the work
 */
#include "program.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#define BURST 64u
#define ATTRIBUTES_ROOM 384u /* of a message, beside the packet */
#define COPY_RANGE 128u
#define VERDICT_SIZE 32u
#define RECEIVE_BUFFER (128u << 20)
#define RING 4096u /* ids on their way from thread to thread; a power of 2 */
#define AHEAD_MAX 512u

static const char usage[] =
	"usage: bare [options]\n"
	"Answers the packets of a netfilter queue without looking at them, and prints how many as JSON.\n"
	"  --queue N       default 0\n"
	"  --shape NAME    one, separate, pipeline or free; default one\n"
	"  --verdict NAME  accept or drop; default accept\n"
	"  --maxlen N      how many packets the kernel may queue; default 1024\n"
	"  --copy-range N  bytes of each packet that are copied; default 128\n";

static struct {
	uint16_t queue;
	uint32_t verdict, maxlen, copy_range;
	bool is_separate, is_pipeline, is_free;
} settings = {.verdict = NF_ACCEPT, .maxlen = 1024, .copy_range = COPY_RANGE};

static int netlink;
static _Atomic uint64_t packets;

static void read_arguments(int argc, char **argv)
{
	enum { QUEUE = 1, SHAPE, VERDICT, MAXLEN, COPY };
	static const struct option options[] = {
		{"queue", required_argument, NULL, QUEUE},     {"shape", required_argument, NULL, SHAPE},
		{"verdict", required_argument, NULL, VERDICT}, {"maxlen", required_argument, NULL, MAXLEN},
		{"copy-range", required_argument, NULL, COPY}, {"help", no_argument, NULL, 'h'},
		{0},
	};
	int option;

	while ((option = next_option(argc, argv, options, usage)) != -1)
		switch (option) {
		case QUEUE: settings.queue = (uint16_t)number("queue", optarg, 0, 65535); break;
		case MAXLEN: settings.maxlen = (uint32_t)number("maxlen", optarg, 1, UINT32_MAX); break;
		case COPY: settings.copy_range = (uint32_t)number("copy-range", optarg, 1, 65531); break;
		case VERDICT:
			if (strcmp(optarg, "accept") && strcmp(optarg, "drop"))
				fail(BAD_ARGUMENT, "--verdict takes accept or drop, not '%s'", optarg);
			settings.verdict = optarg[0] == 'a' ? NF_ACCEPT : NF_DROP;
			break;
		case SHAPE:
			settings.is_pipeline = !strcmp(optarg, "pipeline");
			settings.is_free = !strcmp(optarg, "free");
			settings.is_separate = settings.is_free || !strcmp(optarg, "separate");
			if (!settings.is_pipeline && !settings.is_separate && strcmp(optarg, "one"))
				fail(BAD_ARGUMENT, "--shape takes one, separate, pipeline or free, not '%s'", optarg);
			break;
		}
}

/* ---- messages ---- */

static struct nlmsghdr *put_header(void *buffer, unsigned type)
{
	struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
	struct nfgenmsg *netfilter;

	message->nlmsg_type = (uint16_t)(NFNL_SUBSYS_QUEUE << 8 | type);
	message->nlmsg_flags = NLM_F_REQUEST;
	netfilter = mnl_nlmsg_put_extra_header(message, sizeof *netfilter);
	*netfilter = (struct nfgenmsg){.version = NFNETLINK_V0, .res_id = htons(settings.queue)};
	return message;
}

static uint32_t put_verdict(void *buffer, unsigned type, uint32_t id)
{
	struct nfqnl_msg_verdict_hdr verdict = {.verdict = htonl(settings.verdict), .id = htonl(id)};
	struct nlmsghdr *message = put_header(buffer, type);

	mnl_attr_put(message, NFQA_VERDICT_HDR, sizeof verdict, &verdict);
	return message->nlmsg_len;
}

static void bind_queue(void)
{
	struct nfqnl_msg_config_cmd command = {.command = NFQNL_CFG_CMD_BIND};
	struct nfqnl_msg_config_params parameters = {.copy_range = htonl(settings.copy_range), .copy_mode = NFQNL_COPY_PACKET};
	const struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	struct timeval wait = {.tv_usec = 100000};
	struct mnl_socket *socket = mnl_socket_open(NETLINK_NETFILTER);
	_Alignas(8) char buffer[256];
	struct nlmsghdr *message;
	int on = 1;

	if (!socket || mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0)
		fail(FAILED, "cannot open nfnetlink_queue: %s", strerror(errno));
	netlink = mnl_socket_get_fd(socket);
	set_buffer(netlink, SO_RCVBUFFORCE, SO_RCVBUF, (int)(RECEIVE_BUFFER / 2));
	if (setsockopt(netlink, SOL_NETLINK, NETLINK_NO_ENOBUFS, &on, sizeof on) ||
	    setsockopt(netlink, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait) ||
	    connect(netlink, (const struct sockaddr *)&kernel, sizeof kernel))
		fail(FAILED, "cannot prepare the socket: %s", strerror(errno));
	message = put_header(buffer, NFQNL_MSG_CONFIG);
	mnl_attr_put(message, NFQA_CFG_CMD, sizeof command, &command);
	mnl_attr_put(message, NFQA_CFG_PARAMS, sizeof parameters, &parameters);
	mnl_attr_put_u32(message, NFQA_CFG_QUEUE_MAXLEN, htonl(settings.maxlen));
	mnl_attr_put_u32(message, NFQA_CFG_MASK, htonl(NFQA_CFG_F_GSO));
	mnl_attr_put_u32(message, NFQA_CFG_FLAGS, htonl(NFQA_CFG_F_GSO));
	if (send(netlink, message, message->nlmsg_len, 0) < 0)
		fail(FAILED, "cannot bind queue %u: %s", settings.queue, strerror(errno));
}

/* ---- receive and answer ---- */

/* The ids of a burst of packets; how many. */
static unsigned receive(uint32_t *ids)
{
	static _Thread_local char *buffers;
	static _Thread_local struct mmsghdr messages[BURST];
	static _Thread_local struct iovec pieces[BURST];
	const size_t room = (ATTRIBUTES_ROOM + settings.copy_range + 63) / 64 * 64;
	unsigned count = 0;
	int got;

	if (!buffers && !(buffers = aligned_alloc(64, BURST * room)))
		fail(FAILED, "out of memory");
	for (unsigned i = 0; i < BURST; i++) {
		pieces[i] = (struct iovec){buffers + i * room, room};
		messages[i].msg_hdr = (struct msghdr){.msg_iov = &pieces[i], .msg_iovlen = 1};
	}
	got = recvmmsg(netlink, messages, BURST, MSG_WAITFORONE, NULL);
	if (got < 0 && errno != EAGAIN && errno != EINTR)
		fail(FAILED, "cannot receive: %s", strerror(errno));
	for (int i = 0; i < got; i++) {
		const struct nlmsghdr *message = (const void *)(buffers + i * room);
		const struct nfqnl_msg_packet_hdr *header; /* the first attribute */

		if (message->nlmsg_type == NLMSG_ERROR)
			fail(FAILED, "the kernel refuses: %s; does somebody else read queue %u?",
			     strerror(-((const struct nlmsgerr *)mnl_nlmsg_get_payload(message))->error), settings.queue);
		header = mnl_attr_get_payload(mnl_nlmsg_get_payload_offset(message, sizeof(struct nfgenmsg)));
		ids[count++] = ntohl(header->packet_id);
	}
	return count;
}

static void answer(const uint32_t *ids, unsigned count)
{
	static _Thread_local _Alignas(8) char buffer[BURST * VERDICT_SIZE];
	uint32_t length = 0;

	if (!settings.is_separate)
		length = put_verdict(buffer, NFQNL_MSG_VERDICT_BATCH, ids[count - 1]);
	else
		for (unsigned i = 0; i < count; i++)
			length += put_verdict(buffer + length, NFQNL_MSG_VERDICT, ids[i]);
	if (send(netlink, buffer, length, 0) < 0)
		fail(FAILED, "cannot answer: %s", strerror(errno));
	/* relaxed: a sum, read at the end */
	atomic_fetch_add_explicit(&packets, count, memory_order_relaxed);
}

static void *run_to_completion(void *unused)
{
	uint32_t ids[BURST];

	while (!stopped) {
		unsigned count = receive(ids);

		if (count)
			answer(ids, count);
	}
	return unused;
}

/* ---- pipeline: ids go from thread to thread; who has nothing to do tries again, which is the fastest way ---- */

static uint32_t ring[RING];
static _Alignas(64) _Atomic uint32_t received;
static _Alignas(64) _Atomic uint32_t answered;

static void *answer_what_was_received(void *unused)
{
	uint32_t done = 0, ids[BURST];

	while (!stopped) {
		/* acquire, pairs with the release in pipeline(): the ids are there */
		uint32_t count = atomic_load_explicit(&received, memory_order_acquire) - done;

		if (count > BURST)
			count = BURST;
		for (uint32_t i = 0; i < count; i++)
			ids[i] = ring[(done + i) % RING];
		if (!count)
			continue;
		answer(ids, count);
		done += count;
		/* release, pairs with the acquire in pipeline(): these places are free */
		atomic_store_explicit(&answered, done, memory_order_release);
	}
	return unused;
}

static void pipeline(void)
{
	uint32_t ids[BURST], done = 0;

	while (!stopped) {
		unsigned count;

		if (done - atomic_load_explicit(&answered, memory_order_acquire) > AHEAD_MAX)
			continue;
		count = receive(ids);
		for (unsigned i = 0; i < count; i++)
			ring[(done + i) % RING] = ids[i];
		done += count;
		atomic_store_explicit(&received, done, memory_order_release);
	}
}

int main(int argc, char **argv)
{
	bool is_two = false;
	pthread_t second;

	read_arguments(argc, argv);
	stop_on_signals();
	bind_queue();
	is_two = settings.is_free || settings.is_pipeline;
	if (is_two && pthread_create(&second, NULL, settings.is_free ? run_to_completion : answer_what_was_received, NULL))
		fail(FAILED, "cannot start a thread");
	if (settings.is_pipeline)
		pipeline();
	else
		run_to_completion(NULL);
	if (is_two)
		pthread_join(second, NULL);
	printf("{\"packets\":%" PRIu64 "}\n", packets);
	return 0;
}
