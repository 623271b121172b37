/* SPDX-License-Identifier: MIT */
/*
 * Traffic for kernel tests, and what the kernel counted of it.
 *
 * `where` is a namespace of struct vd_net (a descriptor), or TRAFFIC_HERE: sockets are opened and files read there; the
 * caller stays where it is. A socket stays in its namespace, whoever uses it.
 *
 * All waits have a bound: traffic_patience() times what is asked for, so that sanitizers and slow machines get theirs. What is
 * wrong with the test itself (no such device, no such counter) aborts, so that any thread may call this.
 */
#ifndef VERDICT_TEST_TRAFFIC_H
#define VERDICT_TEST_TRAFFIC_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#define TRAFFIC_HERE (-1)

/* How many times longer than usual things may take: 1, or more with ThreadSanitizer and AddressSanitizer. */
unsigned traffic_patience(void);
uint64_t traffic_now_ms(void);
void traffic_sleep_ms(unsigned ms);

/* Asks every millisecond until it is true, for up to timeout_ms (times patience). */
bool traffic_wait_until(bool (*is_true)(void *argument), void *argument, unsigned timeout_ms);

/* Calls it in that namespace. */
void traffic_do_in(int where, void (*call)(void *argument), void *argument);

/* ---- sockets; the family is that of the address ---- */

/* A UDP socket bound to that port of all its namespace's addresses (0: any), with a large receive buffer. */
int traffic_udp_open(int where, int family, uint16_t port);

/* One that is bound to one address of its namespace. */
int traffic_udp_open_at(int where, const char *address, uint16_t port);

/* A raw IP socket: sends and receives that protocol, the kernel makes the IP header. */
int traffic_raw_open(int where, int family, int protocol);

/* Sends frames, their Ethernet header included, on the device as they are. Receives nothing. */
int traffic_frame_open(int where, const char *device);

/* 0 or -errno. `port` is ignored by raw sockets. */
int traffic_send(int socket, const char *address, uint16_t port, const void *data, size_t length);
void traffic_frame_send(int socket, const void *frame, size_t length);

/* One datagram (of a raw IPv4 socket: with its IP header). -ETIMEDOUT: nothing came. Not multiplied by patience. */
ssize_t traffic_receive(int socket, void *buffer, size_t size, unsigned timeout_ms);

/* Bytes that look different with each seed; and whether the next datagram is just these, waiting for it for up to 3 s. */
void traffic_fill(uint8_t *bytes, size_t length, unsigned seed);
bool traffic_receive_this(int socket, const uint8_t *data, size_t length);

/*
 * What the socket sends has this IPv6 extension header, IPV6_HOPOPTS or IPV6_DSTOPTS, of 8 to 256 bytes: with an option in it
 * that everybody skips.
 */
void traffic_set_extension(int socket, int which, unsigned length);

/* Receives until nothing came for quiet_ms; how many. At most a million. */
unsigned traffic_drain(int socket, unsigned quiet_ms);

/* ---- many flows of numbered datagrams ---- */

/*
 *	 0        4        8        12
 *	 | "vdtt" |  flow  |  sequence |  bytes that follow from both		in network byte order; sequence from 1 on
 *
 * Each flow has its own source port: TRAFFIC_PORT_FIRST + flow.
 */
#define TRAFFIC_FLOWS_MAX 64u
#define TRAFFIC_SEQUENCE_MAX 20000u
#define TRAFFIC_PORT_FIRST 20000u

struct traffic_flows {
	unsigned flows;
	int sockets[TRAFFIC_FLOWS_MAX];
	uint32_t sent[TRAFFIC_FLOWS_MAX]; /* the last sequence number */
	const char *address;
	uint16_t port;
	size_t length;
};

void traffic_flows_open(struct traffic_flows *flows, int where, int family, unsigned count, const char *address, uint16_t port,
			size_t length);

/* The next `rounds` datagrams of each flow, the flows in turn; pauses for pause_us after each round. */
void traffic_flows_send(struct traffic_flows *flows, unsigned rounds, unsigned pause_us);
void traffic_flows_close(struct traffic_flows *flows);

/* What arrived of one flow. */
struct traffic_tally {
	uint32_t received; /* each sequence number once */
	uint32_t duplicates;
	uint32_t disordered; /* came after a later one */
	uint32_t last;
};

/* A thread that receives flows. Read the rest of it after traffic_receiver_stop(). */
struct traffic_receiver {
	int socket;
	pthread_t thread;
	_Atomic uint32_t arrived;
	_Atomic bool stopping;
	struct traffic_tally flows[TRAFFIC_FLOWS_MAX];
	uint32_t strangers; /* other datagrams, or with other content */
	uint8_t seen[TRAFFIC_FLOWS_MAX][TRAFFIC_SEQUENCE_MAX / 8 + 1];
};

/* Start it before the sender. */
struct traffic_receiver *traffic_receiver_start(int where, int family, uint16_t port);

/* Until that many have arrived (times out after timeout_ms times patience); how many there are. */
uint32_t traffic_receiver_wait(struct traffic_receiver *receiver, uint32_t count, unsigned timeout_ms);

/* Ends and joins the thread, when nothing is on its way any more. */
void traffic_receiver_stop(struct traffic_receiver *receiver);
void traffic_receiver_free(struct traffic_receiver *receiver);

/* The sums over all flows. */
struct traffic_tally traffic_receiver_sum(const struct traffic_receiver *receiver);

/* ---- one TCP connection, compared to the byte ---- */

struct traffic_tcp {
	int client; /* where it connects from */
	int server; /* where it listens */
	const char *address;
	uint16_t port;
	uint16_t server_port; /* where it listens, if that is another one (somebody translates it); 0: port */
	uint64_t upload;   /* bytes from client to server ... */
	uint64_t download; /* ... and back, at the same time */
	unsigned timeout_ms;

	/* results */
	uint64_t uploaded;   /* bytes that arrived, and are what was sent */
	uint64_t downloaded;
	char failure[160];   /* "" when all arrived and was right */
};

/* Transfers, and returns when all is there, something is wrong, or time is over. */
bool traffic_tcp_transfer(struct traffic_tcp *tcp);

/* ---- what was counted ---- */

/* Packets that the rules with this comment matched; "iptables-legacy" or "ip6tables-legacy". */
uint64_t traffic_rule_packets(int where, const char *program, const char *table, const char *comment);

/* A counter of /proc/net/snmp ("Udp", "InCsumErrors"), or, with no group, of /proc/net/snmp6 (NULL, "Udp6InErrors"). */
uint64_t traffic_snmp(int where, const char *group, const char *counter);

/* Everything that was received there with a wrong checksum: of TCP, UDP, ICMP, both IP versions, and IPv4's own. */
uint64_t traffic_checksum_errors(int where);

#endif
