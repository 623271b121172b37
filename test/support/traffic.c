/* SPDX-License-Identifier: MIT */
#include "traffic.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define RECEIVE_BUFFER (16 << 20)
#define DATAGRAM_MAX 65536u
#define ARRIVES_MS 3000u
#define DRAIN_MAX 1000000u
#define TCP_CHUNK (64u << 10)

static void need(bool truth, const char *what)
{
	if (truth)
		return;
	fprintf(stderr, "traffic: %s: %s\n", what, strerror(errno));
	abort();
}

/* ---- time ---- */

unsigned traffic_patience(void)
{
#if defined(__SANITIZE_THREAD__)
	return 10;
#elif defined(__SANITIZE_ADDRESS__)
	return 4;
#else
	return 2;
#endif
}

uint64_t traffic_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void traffic_sleep_ms(unsigned ms)
{
	struct timespec pause = {ms / 1000, (long)(ms % 1000) * 1000000};

	nanosleep(&pause, NULL);
}

bool traffic_wait_until(bool (*is_true)(void *argument), void *argument, unsigned timeout_ms)
{
	uint64_t end = traffic_now_ms() + (uint64_t)timeout_ms * traffic_patience();

	while (!is_true(argument)) {
		if (traffic_now_ms() >= end)
			return false;
		traffic_sleep_ms(1);
	}
	return true;
}

void traffic_do_in(int where, void (*call)(void *argument), void *argument)
{
	int here = -1;

	if (where != TRAFFIC_HERE) {
		here = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
		need(here >= 0, "/proc/thread-self/ns/net");
		need(!setns(where, CLONE_NEWNET), "setns");
	}
	call(argument);
	if (here >= 0) {
		need(!setns(here, CLONE_NEWNET), "setns");
		close(here);
	}
}

/* ---- sockets ---- */

struct address {
	socklen_t length;
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
		struct sockaddr_ll frame;
	};
};

/* NULL: all addresses of the family. */
static struct address address_of(int family, const char *text, uint16_t port)
{
	struct address address = {.length = 0};

	if (text)
		family = strchr(text, ':') ? AF_INET6 : AF_INET;
	if (family == AF_INET6) {
		address.length = sizeof address.v6;
		address.v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(port)};
		need(!text || inet_pton(AF_INET6, text, &address.v6.sin6_addr) == 1, "not an address");
	} else {
		address.length = sizeof address.v4;
		address.v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
		need(!text || inet_pton(AF_INET, text, &address.v4.sin_addr) == 1, "not an address");
	}
	return address;
}

struct socket_request {
	int family, type, protocol;
	int result;
};

static void open_here(void *argument)
{
	struct socket_request *request = argument;

	request->result = socket(request->family, request->type | SOCK_CLOEXEC, request->protocol);
	need(request->result >= 0, "socket");
}

static int open_socket(int where, int family, int type, int protocol)
{
	struct socket_request request = {.family = family, .type = type, .protocol = protocol};

	traffic_do_in(where, open_here, &request);
	return request.result;
}

static void enlarge(int socket)
{
	int size = RECEIVE_BUFFER;

	need(!setsockopt(socket, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size), "SO_RCVBUFFORCE");
	need(!setsockopt(socket, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size), "SO_SNDBUFFORCE");
}

static void bind_to(int socket, int family, const char *text, uint16_t port)
{
	struct address address = address_of(family, text, port);
	int on = 1;

	if (family == AF_INET6)
		need(!setsockopt(socket, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on), "IPV6_V6ONLY");
	need(!setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), "SO_REUSEADDR");
	need(!bind(socket, &address.any, address.length), "bind");
}

int traffic_udp_open(int where, int family, uint16_t port)
{
	int socket = open_socket(where, family, SOCK_DGRAM, 0);

	enlarge(socket);
	bind_to(socket, family, NULL, port);
	return socket;
}

int traffic_udp_open_at(int where, const char *address, uint16_t port)
{
	int family = strchr(address, ':') ? AF_INET6 : AF_INET, socket = open_socket(where, family, SOCK_DGRAM, 0);

	enlarge(socket);
	bind_to(socket, family, address, port);
	return socket;
}

int traffic_raw_open(int where, int family, int protocol)
{
	int socket = open_socket(where, family, SOCK_RAW, protocol);

	enlarge(socket);
	return socket;
}

struct frame_request {
	const char *device;
	int result;
};

static void open_frame_here(void *argument)
{
	struct frame_request *request = argument;
	struct address address = {.length = sizeof address.frame};

	request->result = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	need(request->result >= 0, "socket");
	address.frame.sll_family = AF_PACKET;
	address.frame.sll_ifindex = (int)if_nametoindex(request->device);
	need(address.frame.sll_ifindex, request->device);
	need(!bind(request->result, &address.any, address.length), "bind");
}

int traffic_frame_open(int where, const char *device)
{
	struct frame_request request = {.device = device};

	traffic_do_in(where, open_frame_here, &request);
	return request.result;
}

int traffic_send(int socket, const char *address, uint16_t port, const void *data, size_t length)
{
	struct address to;
	int type = 0;
	socklen_t size = sizeof type;

	need(!getsockopt(socket, SOL_SOCKET, SO_TYPE, &type, &size), "SO_TYPE");
	to = address_of(0, address, type == SOCK_RAW ? 0 : port);
	return sendto(socket, data, length, 0, &to.any, to.length) < 0 ? -errno : 0;
}

void traffic_frame_send(int socket, const void *frame, size_t length)
{
	need(send(socket, frame, length, 0) == (ssize_t)length, "send a frame");
}

/* Whether there is something to read. An error that lies on the socket (port unreachable) is taken off. */
static bool wait_readable(int socket, int timeout_ms)
{
	struct pollfd wanted = {.fd = socket, .events = POLLIN};
	int result = poll(&wanted, 1, timeout_ms);

	need(result >= 0 || errno == EINTR, "poll");
	return result > 0;
}

ssize_t traffic_receive(int socket, void *buffer, size_t size, unsigned timeout_ms)
{
	uint64_t end = traffic_now_ms() + timeout_ms;

	for (;;) {
		ssize_t received = recv(socket, buffer, size, MSG_DONTWAIT);
		uint64_t now = traffic_now_ms();

		if (received >= 0)
			return received;
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
		if (now >= end)
			return -ETIMEDOUT;
		wait_readable(socket, (int)(end - now));
	}
}

void traffic_fill(uint8_t *bytes, size_t length, unsigned seed)
{
	for (size_t i = 0; i < length; i++)
		bytes[i] = (uint8_t)((i * 31 + seed) ^ i >> 8);
}

bool traffic_receive_this(int socket, const uint8_t *data, size_t length)
{
	uint8_t *datagram = malloc(DATAGRAM_MAX);
	ssize_t received;
	bool is_this;

	need(datagram, "malloc");
	received = traffic_receive(socket, datagram, DATAGRAM_MAX, ARRIVES_MS * traffic_patience());
	is_this = received == (ssize_t)length && !memcmp(datagram, data, length);
	if (!is_this)
		fprintf(stderr, "traffic: %zd came where %zu bytes were expected, or others\n", received, length);
	free(datagram);
	return is_this;
}

void traffic_set_extension(int socket, int which, unsigned length)
{
	/* RFC 4727: 0x1e is for experiments */
	uint8_t header[256] = {[1] = (uint8_t)(length / 8 - 1), [2] = 0x1e, [3] = (uint8_t)(length - 4)};

	need(length >= 8 && length <= sizeof header && length % 8 == 0, "not a length of an extension header");
	need(!setsockopt(socket, IPPROTO_IPV6, which, header, length), "an extension header");
}

unsigned traffic_drain(int socket, unsigned quiet_ms)
{
	uint8_t byte[1];
	unsigned count = 0;

	while (count < DRAIN_MAX && traffic_receive(socket, byte, sizeof byte, quiet_ms) >= 0)
		count++;
	return count;
}

/* ---- flows ---- */

static void write32(uint8_t *bytes, uint32_t number)
{
	for (unsigned i = 0; i < 4; i++)
		bytes[i] = (uint8_t)(number >> (24 - 8 * i));
}

static uint32_t read32(const uint8_t *bytes)
{
	return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* splitmix64: a number that looks random and follows from its place. */
static uint64_t noise(uint64_t place)
{
	place += 0x9e3779b97f4a7c15u;
	place = (place ^ place >> 30) * 0xbf58476d1ce4e5b9u;
	place = (place ^ place >> 27) * 0x94d049bb133111ebu;
	return place ^ place >> 31;
}

static void fill(uint8_t *datagram, size_t length, uint32_t flow, uint32_t sequence)
{
	uint64_t start = noise((uint64_t)flow << 32 | sequence);

	memcpy(datagram, "vdtt", 4);
	write32(datagram + 4, flow);
	write32(datagram + 8, sequence);
	for (size_t i = 12; i < length; i++)
		datagram[i] = (uint8_t)(start >> 8 * (i % 8)) + (uint8_t)i;
}

void traffic_flows_open(struct traffic_flows *flows, int where, int family, unsigned count, const char *address, uint16_t port,
			size_t length)
{
	need(count <= TRAFFIC_FLOWS_MAX && length >= 12 && length <= DATAGRAM_MAX, "too much");
	*flows = (struct traffic_flows){.flows = count, .address = address, .port = port, .length = length};
	for (unsigned i = 0; i < count; i++)
		flows->sockets[i] = traffic_udp_open(where, family, (uint16_t)(TRAFFIC_PORT_FIRST + i));
}

void traffic_flows_send(struct traffic_flows *flows, unsigned rounds, unsigned pause_us)
{
	struct timespec pause = {.tv_nsec = (long)pause_us * 1000};
	uint8_t *datagram = malloc(flows->length);

	need(datagram, "malloc");
	for (unsigned round = 0; round < rounds; round++) {
		for (unsigned i = 0; i < flows->flows; i++) {
			fill(datagram, flows->length, i, ++flows->sent[i]);
			need(flows->sent[i] < TRAFFIC_SEQUENCE_MAX, "too many");
			/* EPERM: a rule dropped it at once; the accounts will tell */
			if (traffic_send(flows->sockets[i], flows->address, flows->port, datagram, flows->length))
				need(errno == EPERM || errno == ENOBUFS, "send");
		}
		if (pause_us)
			nanosleep(&pause, NULL);
	}
	free(datagram);
}

void traffic_flows_close(struct traffic_flows *flows)
{
	for (unsigned i = 0; i < flows->flows; i++)
		close(flows->sockets[i]);
	flows->flows = 0;
}

static void take_datagram(struct traffic_receiver *receiver, const uint8_t *datagram, size_t length, uint8_t *expected)
{
	uint32_t flow = length >= 12 ? read32(datagram + 4) : UINT32_MAX, sequence = length >= 12 ? read32(datagram + 8) : 0;
	struct traffic_tally *tally;
	uint8_t bit = (uint8_t)(1u << sequence % 8);

	if (flow >= TRAFFIC_FLOWS_MAX || !sequence || sequence >= TRAFFIC_SEQUENCE_MAX) {
		receiver->strangers++;
		return;
	}
	fill(expected, length, flow, sequence);
	if (memcmp(datagram, expected, length)) {
		receiver->strangers++;
		return;
	}
	tally = &receiver->flows[flow];
	if (receiver->seen[flow][sequence / 8] & bit) {
		tally->duplicates++;
		return;
	}
	receiver->seen[flow][sequence / 8] |= bit;
	tally->received++;
	if (sequence < tally->last)
		tally->disordered++;
	else
		tally->last = sequence;
}

static void *receive_flows(void *argument)
{
	struct traffic_receiver *receiver = argument;
	uint8_t *datagram = malloc(2 * DATAGRAM_MAX);

	need(datagram, "malloc");
	for (;;) {
		ssize_t length = recv(receiver->socket, datagram, DATAGRAM_MAX, MSG_DONTWAIT);

		if (length >= 0) {
			take_datagram(receiver, datagram, (size_t)length, datagram + DATAGRAM_MAX);
			/* release, pairs with the acquire in traffic_receiver_wait() */
			atomic_fetch_add_explicit(&receiver->arrived, 1, memory_order_release);
		} else if (atomic_load_explicit(&receiver->stopping, memory_order_acquire)) {
			break;
		} else {
			wait_readable(receiver->socket, 10);
		}
	}
	free(datagram);
	return NULL;
}

struct traffic_receiver *traffic_receiver_start(int where, int family, uint16_t port)
{
	struct traffic_receiver *receiver = calloc(1, sizeof *receiver);

	need(receiver, "calloc");
	receiver->socket = traffic_udp_open(where, family, port);
	need(!pthread_create(&receiver->thread, NULL, receive_flows, receiver), "pthread_create");
	return receiver;
}

uint32_t traffic_receiver_wait(struct traffic_receiver *receiver, uint32_t count, unsigned timeout_ms)
{
	uint64_t end = traffic_now_ms() + (uint64_t)timeout_ms * traffic_patience();
	uint32_t arrived;

	while ((arrived = atomic_load_explicit(&receiver->arrived, memory_order_acquire)) < count && traffic_now_ms() < end)
		traffic_sleep_ms(1);
	return arrived;
}

void traffic_receiver_stop(struct traffic_receiver *receiver)
{
	atomic_store_explicit(&receiver->stopping, true, memory_order_release);
	pthread_join(receiver->thread, NULL);
	close(receiver->socket);
}

void traffic_receiver_free(struct traffic_receiver *receiver)
{
	free(receiver);
}

struct traffic_tally traffic_receiver_sum(const struct traffic_receiver *receiver)
{
	struct traffic_tally sum = {0};

	for (unsigned i = 0; i < TRAFFIC_FLOWS_MAX; i++) {
		sum.received += receiver->flows[i].received;
		sum.duplicates += receiver->flows[i].duplicates;
		sum.disordered += receiver->flows[i].disordered;
	}
	return sum;
}

/* ---- TCP ---- */

/* One direction at one end. */
struct stream {
	uint64_t seed;
	uint64_t total; /* bytes */
	uint64_t done;
};

static void fill_stream(uint8_t *bytes, size_t length, uint64_t seed, uint64_t at)
{
	for (size_t i = 0; i < length;) {
		uint64_t word = noise(seed + (at + i) / 8);

		for (unsigned in_word = (at + i) % 8; in_word < 8 && i < length; in_word++)
			bytes[i++] = (uint8_t)(word >> 8 * in_word);
	}
}

/* Sends what fits now. False: the connection is broken. */
static bool push(int socket, struct stream *stream, uint8_t *chunk)
{
	while (stream->done < stream->total) {
		size_t length = stream->total - stream->done < TCP_CHUNK ? stream->total - stream->done : TCP_CHUNK;
		ssize_t sent;

		fill_stream(chunk, length, stream->seed, stream->done);
		sent = send(socket, chunk, length, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (sent < 0)
			return errno == EAGAIN || errno == EINTR;
		stream->done += (uint64_t)sent;
	}
	return true;
}

/* Receives what is there, and compares it. NULL, or what is wrong. */
static const char *pull(int socket, struct stream *stream, uint8_t *chunk)
{
	while (stream->done < stream->total) {
		ssize_t received = recv(socket, chunk, TCP_CHUNK, MSG_DONTWAIT);

		if (received < 0)
			return errno == EAGAIN || errno == EINTR ? NULL : strerror(errno);
		if (!received)
			return "the other side closed early";
		if ((uint64_t)received > stream->total - stream->done)
			return "more than was sent";
		fill_stream(chunk + TCP_CHUNK, (size_t)received, stream->seed, stream->done);
		if (memcmp(chunk, chunk + TCP_CHUNK, (size_t)received))
			return "other bytes than were sent";
		stream->done += (uint64_t)received;
	}
	return NULL;
}

/* Both ends of the connection, in turn, in one thread: `sockets` are client and server. */
static const char *transfer(const int *sockets, struct traffic_tcp *tcp, uint64_t end_ms, uint8_t *chunk)
{
	struct stream sends[2] = {{.seed = 1000003, .total = tcp->upload}, {.seed = 77000077, .total = tcp->download}};
	struct stream receives[2] = {sends[1], sends[0]};
	const char *failure = NULL;

	while (!failure && (receives[0].done < tcp->download || receives[1].done < tcp->upload)) {
		struct pollfd wanted[2];

		for (unsigned side = 0; side < 2 && !failure; side++) {
			if (!push(sockets[side], &sends[side], chunk))
				failure = strerror(errno);
			if (!failure)
				failure = pull(sockets[side], &receives[side], chunk);
			wanted[side] = (struct pollfd){.fd = sockets[side],
						       .events = (short)(POLLIN | (sends[side].done < sends[side].total ? POLLOUT : 0))};
		}
		if (!failure && traffic_now_ms() >= end_ms)
			failure = "time is over";
		if (!failure)
			poll(wanted, 2, 20);
	}
	tcp->uploaded = receives[1].done;
	tcp->downloaded = receives[0].done;
	return failure;
}

/* Both sockets, connected; or what is wrong. */
static const char *connect_both(struct traffic_tcp *tcp, int listener, int *sockets, uint64_t end_ms)
{
	struct address to = address_of(0, tcp->address, tcp->port);
	struct pollfd wanted = {.fd = listener, .events = POLLIN};

	sockets[0] = open_socket(tcp->client, to.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (connect(sockets[0], &to.any, to.length) && errno != EINPROGRESS)
		return strerror(errno);
	if (poll(&wanted, 1, (int)(end_ms - traffic_now_ms())) < 1)
		return "no connection came";
	sockets[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	return sockets[1] < 0 ? strerror(errno) : NULL;
}

bool traffic_tcp_transfer(struct traffic_tcp *tcp)
{
	uint64_t end_ms = traffic_now_ms() + (uint64_t)tcp->timeout_ms * traffic_patience();
	int family = strchr(tcp->address, ':') ? AF_INET6 : AF_INET;
	int listener = open_socket(tcp->server, family, SOCK_STREAM, 0), sockets[2] = {-1, -1};
	uint8_t *chunk = malloc(2 * TCP_CHUNK);
	const char *failure;

	need(chunk, "malloc");
	bind_to(listener, family, NULL, tcp->server_port ? tcp->server_port : tcp->port);
	need(!listen(listener, 1), "listen");
	tcp->uploaded = tcp->downloaded = 0;
	failure = connect_both(tcp, listener, sockets, end_ms);
	if (!failure)
		failure = transfer(sockets, tcp, end_ms, chunk);
	snprintf(tcp->failure, sizeof tcp->failure, "%s", failure ? failure : "");
	for (unsigned side = 0; side < 2; side++)
		if (sockets[side] >= 0)
			close(sockets[side]);
	close(listener);
	free(chunk);
	return !failure;
}

/* ---- counters ---- */

struct rule_request {
	const char *program, *table, *comment;
	uint64_t packets;
	unsigned rules;
};

static void read_rules_here(void *argument)
{
	struct rule_request *request = argument;
	char command[256], line[1024], comment[256];
	FILE *pipe;

	snprintf(command, sizeof command, "%s -t %s -nvxL", request->program, request->table);
	snprintf(comment, sizeof comment, "/* %s */", request->comment);
	pipe = popen(command, "re");
	need(pipe, command);
	while (fgets(line, sizeof line, pipe))
		if (strstr(line, comment)) {
			request->packets += strtoull(line, NULL, 10);
			request->rules++;
		}
	need(!pclose(pipe), command);
}

uint64_t traffic_rule_packets(int where, const char *program, const char *table, const char *comment)
{
	struct rule_request request = {.program = program, .table = table, .comment = comment};

	traffic_do_in(where, read_rules_here, &request);
	need(request.rules, "no rule has that comment");
	return request.packets;
}

struct file_request {
	const char *path;
	char text[16384];
};

static void read_file_here(void *argument)
{
	struct file_request *request = argument;
	int file = open(request->path, O_RDONLY | O_CLOEXEC);
	size_t used = 1;
	ssize_t got;

	request->text[0] = '\n'; /* each line has one before it, the first one too */
	need(file >= 0, request->path);
	while (used < sizeof request->text - 1 &&
	       (got = read(file, request->text + used, sizeof request->text - 1 - used)) > 0)
		used += (size_t)got;
	request->text[used] = '\0';
	close(file);
}

/* "Udp: A B C\nUdp: 1 2 3\n": the number below the name. */
static uint64_t pick_snmp(const char *text, const char *group, const char *counter)
{
	char start[32], names[2048], numbers[2048], *name_rest, *number_rest;
	const char *first, *second;

	snprintf(start, sizeof start, "\n%s: ", group);
	first = strstr(text, start);
	second = first ? strstr(first + 1, start) : NULL;
	need(second, "no such group");
	snprintf(names, sizeof names, "%.*s", (int)strcspn(first + 1, "\n"), first + 1);
	snprintf(numbers, sizeof numbers, "%.*s", (int)strcspn(second + 1, "\n"), second + 1);
	for (char *name = strtok_r(names, " ", &name_rest), *number = strtok_r(numbers, " ", &number_rest); name && number;
	     name = strtok_r(NULL, " ", &name_rest), number = strtok_r(NULL, " ", &number_rest))
		if (!strcmp(name, counter))
			return strtoull(number, NULL, 10);
	need(false, "no such counter");
	return 0;
}

uint64_t traffic_snmp(int where, const char *group, const char *counter)
{
	struct file_request request = {.path = group ? "/proc/thread-self/net/snmp" : "/proc/thread-self/net/snmp6"};
	char line[80];
	const char *found;

	traffic_do_in(where, read_file_here, &request);
	if (group)
		return pick_snmp(request.text, group, counter);
	snprintf(line, sizeof line, "\n%s ", counter);
	found = strstr(request.text, line);
	need(found, "no such counter");
	return strtoull(found + strlen(line), NULL, 10);
}

uint64_t traffic_checksum_errors(int where)
{
	struct file_request request = {.path = "/proc/thread-self/net/netstat"};

	traffic_do_in(where, read_file_here, &request);
	return pick_snmp(request.text, "IpExt", "InCsumErrors") + traffic_snmp(where, "Tcp", "InCsumErrors") +
	       traffic_snmp(where, "Udp", "InCsumErrors") + traffic_snmp(where, "Icmp", "InCsumErrors") +
	       traffic_snmp(where, NULL, "Udp6InCsumErrors") + traffic_snmp(where, NULL, "Icmp6InCsumErrors");
}
