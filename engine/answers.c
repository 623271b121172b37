/* SPDX-License-Identifier: MIT */
/*
 * Answers to rejected packets.
 *
 * Two things the kernel knows better. Whether the packet's destination is the broadcast address of a network here: a UDP
 * socket that may not broadcast cannot be connected to one. And which address an ICMP error comes from: where the packet
 * was to be delivered here, its destination; else over IPv4 the kernel fills it in, and over IPv6 it is that of a socket
 * which is connected to the sender. Each worker has sockets of its own for such questions: connected by two at once, one
 * would hear the other's answer.
 *
 * Before the kernel is asked anything, and before a checksum is looked at, come a few comparisons and the limit: so a flood
 * of packets costs no more than dropping them, beyond as many answers as are allowed.
 */
#include "engine/answers.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/clock.h"
#include "engine/error.h"
#include "lib/nfq/nfq.h"
#include "lib/packet/answer.h"

#define BURST_MIN 10

/* "Discard": no packet goes there, but a connection needs a port. */
#define SCOUT_PORT 9

static const struct vd_answer_sockets NO_SOCKETS = {{-1, -1}};

/* ---- life ---- */

static void close_sockets(struct vd_answer_sockets *sockets)
{
	for (unsigned i = 0; i < 2; i++)
		if (sockets->descriptors[i] >= 0)
			close(sockets->descriptors[i]);
	*sockets = NO_SOCKETS;
}

static int set_up(int descriptor, uint32_t mark)
{
	int none = 0; /* the kernel's least: of what may come (protocol 255, a datagram from where a scout points) nobody reads any */

	if (setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &none, sizeof none))
		return -errno;
	if (mark && setsockopt(descriptor, SOL_SOCKET, SO_MARK, &mark, sizeof mark))
		return -errno;
	return 0;
}

static int open_sockets(struct vd_answer_sockets *sockets, int type, int protocol, uint32_t mark)
{
	static const int families[2] = {AF_INET, AF_INET6};

	for (unsigned i = 0; i < 2; i++) {
		int result;

		sockets->descriptors[i] = socket(families[i], type | SOCK_CLOEXEC, protocol);
		if (sockets->descriptors[i] < 0 && errno == EAFNOSUPPORT)
			continue; /* then no such packet can come */
		if (sockets->descriptors[i] < 0)
			return -errno;
		result = set_up(sockets->descriptors[i], mark);
		if (result)
			return result;
	}
	return 0;
}

struct opening {
	struct vd_answers *answers;
	uint32_t mark;
};

/* IPPROTO_RAW is IP_HDRINCL, for both versions. */
static int open_here(void *argument)
{
	const struct opening *opening = argument;
	struct vd_answers *answers = opening->answers;
	int result = open_sockets(&answers->raw, SOCK_RAW, IPPROTO_RAW, opening->mark);

	for (unsigned i = 0; i < answers->scout_count && !result; i++)
		result = open_sockets(&answers->scouts[i], SOCK_DGRAM, 0, opening->mark);
	return result;
}

int vd_answers_open(struct vd_answers *answers, const struct vd_engine_options *options, unsigned workers,
		    struct vd_error *error)
{
	struct opening opening = {.answers = answers, .mark = options->reject_mark};
	int result;

	answers->scouts = calloc(workers, sizeof *answers->scouts);
	if (!answers->scouts)
		return vd_error_set(error, -ENOMEM, "out of memory");
	answers->scout_count = workers;
	answers->raw = NO_SOCKETS;
	for (unsigned i = 0; i < workers; i++)
		answers->scouts[i] = NO_SOCKETS;
	answers->is_on = true;
	vd_rate_init(&answers->rate, options->reject_rate ? options->reject_rate : VD_ENGINE_REJECT_RATE_DEFAULT, BURST_MIN);

	result = vd_nfq_in_netns(options->netns, open_here, &opening);
	if (!result)
		return 0;
	vd_answers_close(answers);
	if (result == -EPERM)
		return vd_error_set(error, result, "rejecting packets needs CAP_NET_RAW in the queues' network namespace: "
				    "run as root, or give the program the capability");
	return vd_error_set(error, result, "the sockets that answer rejected packets cannot be opened: %s", strerror(-result));
}

void vd_answers_close(struct vd_answers *answers)
{
	if (!answers->is_on)
		return;
	close_sockets(&answers->raw);
	for (unsigned i = 0; i < answers->scout_count; i++)
		close_sockets(&answers->scouts[i]);
	free(answers->scouts);
	*answers = (struct vd_answers){.is_on = false};
}

/* ---- questions to the kernel ---- */

struct place {
	socklen_t length;
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	};
};

static struct place place_of(const struct vd_packet *packet, const uint8_t *address, uint16_t port)
{
	struct place place = {.length = sizeof place.v4};

	if (packet->ip_version == 4) {
		place.v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
		memcpy(&place.v4.sin_addr, address, sizeof place.v4.sin_addr);
		return place;
	}
	place.length = sizeof place.v6;
	place.v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(port)};
	memcpy(&place.v6.sin6_addr, address, sizeof place.v6.sin6_addr);
	if (IN6_IS_ADDR_LINKLOCAL(&place.v6.sin6_addr)) /* every link has such: from where it came, or would have gone */
		place.v6.sin6_scope_id = packet->indev ? packet->indev : packet->outdev;
	return place;
}

/* 0 or -errno. A connection that was before would be the source of the next. */
static int connect_scout(int scout, const struct place *to)
{
	const struct sockaddr nowhere = {.sa_family = AF_UNSPEC};

	connect(scout, &nowhere, sizeof nowhere);
	return connect(scout, &to->any, to->length) ? -errno : 0;
}

/* Of a network that is attached here: 255.255.255.255 was refused before, and IPv6 has none. */
static bool is_broadcast(int scout, const struct vd_packet *packet)
{
	struct place to = place_of(packet, vd_packet_destination(packet), SCOUT_PORT);

	return packet->ip_version == 4 && connect_scout(scout, &to) == -EACCES;
}

/* Where an ICMP error comes from, as vd_answer_build() takes it. 0 or -errno. */
static int find_source(int scout, const struct vd_packet *packet, const uint8_t **source, uint8_t *room)
{
	struct place place;
	int result;

	*source = NULL;
	if (packet->hook == NF_INET_LOCAL_IN)
		return 0;
	*source = room;
	memset(room, 0, 16);
	if (packet->ip_version == 4)
		return 0;
	place = place_of(packet, vd_packet_source(packet), SCOUT_PORT);
	result = connect_scout(scout, &place);
	if (result)
		return result;
	if (getsockname(scout, &place.any, &place.length))
		return -errno;
	memcpy(room, &place.v6.sin6_addr, 16);
	return 0;
}

/* ---- answering ---- */

enum vd_answer_fate vd_answers_send(struct vd_answers *answers, unsigned worker, struct vd_packet *packet)
{
	enum vd_answer answer = vd_answer_choose(packet);
	unsigned version = packet->ip_version == 6;
	uint8_t buffer[VD_ANSWER_SIZE_MAX], room[16];
	const uint8_t *source = NULL;
	struct place to;
	uint32_t length;
	int scout;

	if (vd_answer_is_none(answer) || packet->family == AF_BRIDGE) /* on a bridge this machine may have no address */
		return VD_ANSWER_NONE;
	if (!vd_rate_take(&answers->rate, vd_clock_ns()))
		return VD_ANSWER_LIMITED;
	if (vd_packet_verify(packet) == -EBADMSG) /* damaged on its way, perhaps in its addresses */
		return VD_ANSWER_NONE;
	scout = answers->scouts[worker].descriptors[version];
	if (is_broadcast(scout, packet))
		return VD_ANSWER_NONE;
	if (answer == VD_ANSWER_UNREACHABLE && find_source(scout, packet, &source, room))
		return VD_ANSWER_FAILED;
	length = vd_answer_build(packet, answer, source, buffer);
	to = place_of(packet, vd_packet_source(packet), 0);
	if (sendto(answers->raw.descriptors[version], buffer, length, MSG_DONTWAIT, &to.any, to.length) < 0)
		return VD_ANSWER_FAILED;
	return VD_ANSWER_SENT;
}
