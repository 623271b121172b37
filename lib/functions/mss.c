/* SPDX-License-Identifier: MIT */
/*
 * mss:N and mss:pmtu lower the maximum segment size that a TCP SYN announces, and leave the packet to the next function.
 *
 * Shows sockets of a function's own: opened in open_state(), where the thread is in the network namespace of the queue, one
 * pair for each worker, so that they need no lock. Asking the kernel costs six system calls; only SYNs do.
 *
 * The answer of the kernel is the one that a socket of this machine would get: its routes, their `mtu`, and what path MTU
 * discovery has found out. What a connection sends in one direction is announced by the SYN of the other one, which comes by
 * here as well; but one of the two may take another way, so both are lowered to the smaller MTU of both directions.
 */
#include <ctype.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <verdict/function.h>

#define TCP_SYN 0x02u
#define OPTION_MSS 2u

enum { CLAMPED, NO_ROUTE, UNEDITABLE };
static const char *const counters[] = {[CLAMPED] = "clamped", [NO_ROUTE] = "no-route", [UNEDITABLE] = "uneditable", NULL};

struct state {
	unsigned mss; /* 0: the path MTU's */
	int ipv4, ipv6; /* sockets to ask with; -1: none */
};

static int open_mss(struct vd_open *open, void **shared)
{
	const char *text = open->arguments;
	unsigned long long number = 0;
	unsigned *mss;
	char *end;

	if (!*text)
		return vd_open_error(open, "which size? Say mss:N, or mss:pmtu for that of the path MTU, for example mss:1400");
	if (strcmp(text, "pmtu")) {
		number = strtoull(text, &end, 10);
		if (!isdigit((unsigned char)*text) || *end || !number || number > UINT16_MAX)
			return vd_open_error(open, "it must be 'pmtu' or a number from 1 to 65535, not '%s'", text);
	}
	mss = malloc(sizeof *mss);
	if (!mss) {
		vd_open_error(open, "out of memory");
		return -ENOMEM;
	}
	*mss = (unsigned)number;
	*shared = mss;
	return 0;
}

/* -1 in *descriptor where the kernel does not know the family: then none of its packets comes either. */
static int open_socket(int family, int *descriptor)
{
	*descriptor = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return *descriptor >= 0 || errno == EAFNOSUPPORT ? 0 : -errno;
}

static void close_state(void *shared, void *pointer)
{
	struct state *state = pointer;

	(void)shared;
	if (state->ipv4 >= 0)
		close(state->ipv4);
	if (state->ipv6 >= 0)
		close(state->ipv6);
	free(state);
}

static int open_state(void *shared, void **pointer)
{
	struct state *state = malloc(sizeof *state);
	int result = 0;

	if (!state)
		return -ENOMEM;
	*state = (struct state){.mss = *(const unsigned *)shared, .ipv4 = -1, .ipv6 = -1};
	if (!state->mss)
		result = open_socket(AF_INET, &state->ipv4);
	if (!state->mss && !result)
		result = open_socket(AF_INET6, &state->ipv6);
	if (result)
		close_state(shared, state);
	else
		*pointer = state;
	return result;
}

/* ---- asking the kernel ---- */

/* 0: it has no route. */
static unsigned path_mtu(const struct state *state, unsigned ip_version, const uint8_t *address)
{
	static const struct sockaddr nobody = {.sa_family = AF_UNSPEC};
	struct sockaddr_in ipv4 = {.sin_family = AF_INET, .sin_port = htons(9)};
	struct sockaddr_in6 ipv6 = {.sin6_family = AF_INET6, .sin6_port = htons(9)};
	bool is_ipv4 = ip_version == 4;
	int descriptor = is_ipv4 ? state->ipv4 : state->ipv6, mtu = 0;
	socklen_t size = sizeof mtu;

	if (is_ipv4)
		memcpy(&ipv4.sin_addr, address, 4);
	else
		memcpy(&ipv6.sin6_addr, address, 16);
	/* sends nothing: it looks for the route, and keeps it */
	if (connect(descriptor, is_ipv4 ? (const struct sockaddr *)&ipv4 : (const struct sockaddr *)&ipv6,
		    is_ipv4 ? sizeof ipv4 : sizeof ipv6) ||
	    getsockopt(descriptor, is_ipv4 ? IPPROTO_IP : IPPROTO_IPV6, is_ipv4 ? IP_MTU : IPV6_MTU, &mtu, &size))
		mtu = 0;
	/* or it would keep its source address and port: for the next route, and for whoever sends to them */
	connect(descriptor, &nobody, sizeof nobody);
	return mtu > 0 ? (unsigned)mtu : 0;
}

/* 0: unknown. A way that the kernel does not know does not count: on a router without a way back, the way there is left. */
static unsigned path_mss(const struct state *state, const struct vd_packet *packet)
{
	unsigned version = vd_packet_ip_version(packet), headers = version == 4 ? 40 : 60;
	unsigned there = path_mtu(state, version, vd_packet_destination(packet));
	unsigned back = path_mtu(state, version, vd_packet_source(packet));
	unsigned mtu = !there || (back && back < there) ? back : there;

	return mtu > headers ? mtu - headers : 0;
}

/* ---- packets ---- */

static enum vd_verdict decide(struct vd_packet *packet, void *pointer)
{
	const struct state *state = pointer;
	const uint8_t *announced;
	uint32_t length;
	unsigned mss;

	if (vd_packet_protocol(packet) != IPPROTO_TCP || !(vd_packet_tcp_flags(packet) & TCP_SYN))
		return VD_NEXT;
	announced = vd_packet_tcp_option(packet, OPTION_MSS, &length);
	if (!announced || length != 2)
		return VD_NEXT;
	mss = state->mss ? state->mss : path_mss(state, packet);
	if (!mss)
		vd_count(packet, NO_ROUTE, 1);
	else if (mss >= ((unsigned)announced[0] << 8 | announced[1]))
		return VD_NEXT;
	else if (vd_packet_may_edit(packet) || vd_packet_clamp_mss(packet, mss) < 0)
		vd_count(packet, UNEDITABLE, 1);
	else
		vd_count(packet, CLAMPED, 1);
	return VD_NEXT;
}

VD_FUNCTION(.name = "mss", .summary = "lowers the maximum segment size of SYNs, and leaves the packet to the next function",
	    .usage = "N|pmtu", .bytes = VD_WHOLE, .scope = VD_SCOPE_WORKER, .counters = counters, .open = open_mss,
	    .close = free, .open_state = open_state, .close_state = close_state, .decide = decide);
