/* SPDX-License-Identifier: MIT */
/*
 * yardstick: what verdict is compared with. The plain loop around libnetfilter_queue that its documentation teaches:
 * receive a packet, decide, send its verdict, receive the next; in both of the library's interfaces.
 *
 *	classic   nfq_open(), nfq_handle_packet(), a callback that calls nfq_set_verdict()
 *	mnl       nfq_nlmsg_*() over libmnl, as in the library's examples/nf-queue.c
 *
 * It is meant to look good: no printing, nothing looked up that is not needed, GSO on, the socket buffer large, and
 * NETLINK_NO_ENOBUFS set. The decision costs nothing.
 */
#include "program.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <libmnl/libmnl.h>
#include <libnetfilter_queue/libnetfilter_queue.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>

#define COPY_RANGE_MAX 0xffffu
#define BUFFER_SIZE (COPY_RANGE_MAX + 4096u)
#define MAXLEN 1024u
#define MESSAGE_SIZE 4096u /* of what is sent to the kernel: MNL_SOCKET_BUFFER_SIZE would ask sysconf() each time */
#define RECEIVE_BUFFER (128u << 20)

static const char usage[] =
	"usage: yardstick [options]\n"
	"Answers the packets of one netfilter queue one by one, and prints how many as JSON.\n"
	"  --queue N           default 0\n"
	"  --api NAME          classic or mnl; default mnl\n"
	"  --verdict NAME      accept or drop; default accept\n"
	"  --no-gso            let the kernel cut large packets before it queues them\n"
	"  --maxlen N          how many packets the kernel may queue; default 1024\n"
	"  --copy-range BYTES  how much of each packet is copied; default 65535\n"
	"  --rcvbuf BYTES      the socket's receive buffer; default 128 MiB\n"
	"  --count N           end after so many packets; else at SIGINT or SIGTERM\n";

struct settings {
	uint16_t queue;
	bool is_classic, gso;
	uint32_t verdict, maxlen, copy_range, receive_buffer;
	uint64_t count;
};

static struct settings settings = {
	.gso = true,
	.verdict = NF_ACCEPT,
	.maxlen = MAXLEN,
	.copy_range = COPY_RANGE_MAX,
	.receive_buffer = RECEIVE_BUFFER,
	.count = UINT64_MAX,
};
static uint64_t packets, refused; /* refused: verdicts that the kernel did not take, as after a flush */

/* One of two words. */
static bool is_first(const char *option, const char *text, const char *first, const char *second)
{
	if (strcmp(text, first) && strcmp(text, second))
		fail(BAD_ARGUMENT, "--%s takes %s or %s, not '%s'", option, first, second, text);
	return !strcmp(text, first);
}

static void read_arguments(int argc, char **argv)
{
	enum { QUEUE = 1, API, VERDICT, NO_GSO, MAXLEN_OPTION, COPY_RANGE, RCVBUF, COUNT };
	static const struct option options[] = {
		{"queue", required_argument, NULL, QUEUE},
		{"api", required_argument, NULL, API},
		{"verdict", required_argument, NULL, VERDICT},
		{"no-gso", no_argument, NULL, NO_GSO},
		{"maxlen", required_argument, NULL, MAXLEN_OPTION},
		{"copy-range", required_argument, NULL, COPY_RANGE},
		{"rcvbuf", required_argument, NULL, RCVBUF},
		{"count", required_argument, NULL, COUNT},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	int option;

	while ((option = next_option(argc, argv, options, usage)) != -1)
		switch (option) {
		case QUEUE: settings.queue = (uint16_t)number("queue", optarg, 0, 65535); break;
		case API: settings.is_classic = is_first("api", optarg, "classic", "mnl"); break;
		case VERDICT:
			settings.verdict = is_first("verdict", optarg, "accept", "drop") ? NF_ACCEPT : NF_DROP;
			break;
		case NO_GSO: settings.gso = false; break;
		case MAXLEN_OPTION: settings.maxlen = (uint32_t)number("maxlen", optarg, 1, UINT32_MAX); break;
		case COPY_RANGE:
			settings.copy_range = (uint32_t)number("copy-range", optarg, 0, COPY_RANGE_MAX);
			break;
		case RCVBUF: settings.receive_buffer = (uint32_t)number("rcvbuf", optarg, 1, 2147483646); break;
		case COUNT: settings.count = number("count", optarg, 1, UINT64_MAX); break;
		}
}

/* For either interface, whose sockets are the same: room, no refusals after a loss, and awake to hear a signal. */
static void prepare_socket(int descriptor)
{
	struct timeval wait = {.tv_usec = 100000};
	int on = 1;

	/* the kernel doubles what it is given */
	set_buffer(descriptor, SO_RCVBUFFORCE, SO_RCVBUF, (int)(settings.receive_buffer / 2));
	if (setsockopt(descriptor, SOL_NETLINK, NETLINK_NO_ENOBUFS, &on, sizeof on) ||
	    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait))
		fail(FAILED, "cannot prepare the socket: %s", strerror(errno));
}

/* A receive call that failed: whether only the time to wait for a packet has passed, or a signal came. */
static bool may_go_on(void)
{
	return errno == EAGAIN || errno == EINTR;
}

/* ---- classic ---- */

static int classic_decide(struct nfq_q_handle *queue, struct nfgenmsg *message, struct nfq_data *data, void *unused)
{
	struct nfqnl_msg_packet_hdr *header = nfq_get_msg_packet_hdr(data);

	(void)message;
	(void)unused;
	if (!header)
		return -1;
	packets++;
	return nfq_set_verdict(queue, ntohl(header->packet_id), settings.verdict, 0, NULL);
}

static void classic_run(void)
{
	static char buffer[BUFFER_SIZE] __attribute__((aligned));
	uint32_t gso = settings.gso ? NFQA_CFG_F_GSO : 0;
	struct nfq_handle *handle = nfq_open();
	struct nfq_q_handle *queue;

	if (!handle)
		fail(FAILED, "cannot open nfnetlink_queue: %s", strerror(errno));
	prepare_socket(nfq_fd(handle));
	queue = nfq_create_queue(handle, settings.queue, classic_decide, NULL);
	if (!queue)
		fail(FAILED, "cannot bind queue %u: %s", settings.queue, strerror(errno));
	/* the mode comes last: from then on there are packets */
	if (nfq_set_queue_maxlen(queue, settings.maxlen) < 0 || nfq_set_queue_flags(queue, NFQA_CFG_F_GSO, gso) < 0 ||
	    nfq_set_mode(queue, NFQNL_COPY_PACKET, settings.copy_range) < 0)
		fail(FAILED, "cannot configure queue %u: %s", settings.queue, strerror(errno));
	while (!stopped && packets < settings.count) {
		ssize_t got = recv(nfq_fd(handle), buffer, sizeof buffer, 0);

		if (got >= 0) {
			if (nfq_handle_packet(handle, buffer, (int)got) < 0)
				refused++;
		} else if (!may_go_on()) {
			fail(FAILED, "cannot receive: %s", strerror(errno));
		}
	}
	nfq_destroy_queue(queue);
	nfq_close(handle);
}

/* ---- mnl ---- */

static struct mnl_socket *netlink;

static int mnl_decide(const struct nlmsghdr *message, void *unused)
{
	struct nlattr *attributes[NFQA_MAX + 1] = {0};
	char buffer[MESSAGE_SIZE];
	struct nfqnl_msg_packet_hdr *header;
	struct nfgenmsg *netfilter;
	struct nlmsghdr *answer;

	(void)unused;
	if (nfq_nlmsg_parse(message, attributes) < 0 || !attributes[NFQA_PACKET_HDR])
		return MNL_CB_ERROR;
	packets++;
	netfilter = mnl_nlmsg_get_payload(message);
	header = mnl_attr_get_payload(attributes[NFQA_PACKET_HDR]);
	answer = nfq_nlmsg_put(buffer, NFQNL_MSG_VERDICT, ntohs(netfilter->res_id));
	nfq_nlmsg_verdict_put(answer, (int)ntohl(header->packet_id), (int)settings.verdict);
	if (mnl_socket_sendto(netlink, answer, answer->nlmsg_len) < 0)
		return MNL_CB_ERROR;
	return MNL_CB_OK;
}

/* Receives once: MNL_CB_OK after a packet or nothing, MNL_CB_STOP after an acknowledgement, MNL_CB_ERROR. */
static int mnl_receive(void)
{
	static char buffer[BUFFER_SIZE] __attribute__((aligned));
	ssize_t got = mnl_socket_recvfrom(netlink, buffer, sizeof buffer);

	if (got >= 0)
		return mnl_cb_run(buffer, (size_t)got, 0, mnl_socket_get_portid(netlink), mnl_decide, NULL);
	if (!may_go_on())
		fail(FAILED, "cannot receive: %s", strerror(errno));
	return MNL_CB_OK;
}

static void mnl_bind(void)
{
	char buffer[MESSAGE_SIZE];
	struct nlmsghdr *message = nfq_nlmsg_put(buffer, NFQNL_MSG_CONFIG, settings.queue);
	int result;

	message->nlmsg_flags |= NLM_F_ACK;
	nfq_nlmsg_cfg_put_cmd(message, AF_INET, NFQNL_CFG_CMD_BIND);
	nfq_nlmsg_cfg_put_params(message, NFQNL_COPY_PACKET, (int)settings.copy_range);
	nfq_nlmsg_cfg_put_qmaxlen(message, settings.maxlen);
	mnl_attr_put_u32(message, NFQA_CFG_FLAGS, htonl(settings.gso ? NFQA_CFG_F_GSO : 0));
	mnl_attr_put_u32(message, NFQA_CFG_MASK, htonl(NFQA_CFG_F_GSO));
	result = mnl_socket_sendto(netlink, message, message->nlmsg_len) < 0 ? MNL_CB_ERROR : MNL_CB_OK;
	/* packets may come before the acknowledgement */
	while (result == MNL_CB_OK && !stopped)
		result = mnl_receive();
	if (result == MNL_CB_ERROR)
		fail(FAILED, "cannot bind queue %u: %s", settings.queue, strerror(errno));
}

static void mnl_run(void)
{
	netlink = mnl_socket_open(NETLINK_NETFILTER);
	if (!netlink || mnl_socket_bind(netlink, 0, MNL_SOCKET_AUTOPID) < 0)
		fail(FAILED, "cannot open nfnetlink_queue: %s", strerror(errno));
	prepare_socket(mnl_socket_get_fd(netlink));
	mnl_bind();
	while (!stopped && packets < settings.count)
		if (mnl_receive() == MNL_CB_ERROR)
			refused++;
	mnl_socket_close(netlink);
}

int main(int argc, char **argv)
{
	read_arguments(argc, argv);
	stop_on_signals();
	if (settings.is_classic)
		classic_run();
	else
		mnl_run();
	printf("{\"api\":\"%s\",\"packets\":%" PRIu64 ",\"refused\":%" PRIu64 "}\n",
	       settings.is_classic ? "classic" : "mnl", packets, refused);
	return 0;
}
