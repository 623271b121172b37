/* SPDX-License-Identifier: MIT */
/*
 * A port: where packets come from and verdicts go. Three kinds: nfq (the kernel), pcap (a capture), sim (a simulated
 * queue). Everything behind it is the same code.
 *
 * Who calls: open and close the thread that runs the engine, while no other works; receive one thread at a time (the
 * lane's reader role, with acquire and release between holders); send any threads at once; counters and wake anybody.
 *
 * Life: create by the port's own constructor, open, receive/send, close, destroy. close settles what is left (see
 * below) and may be followed by counters; destroy frees.
 */
#ifndef VERDICT_ENGINE_PORT_H
#define VERDICT_ENGINE_PORT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <verdict/engine.h>

/* receive() says this when there will be no more packets, ever. */
#define VD_PORT_ENDED (-ENODATA)

/* The most packets in one receive or send. */
#define VD_PORT_BURST_MAX VD_BURST_MAX

/* What the engine wants of a port, known when all functions are. */
struct vd_port_settings {
	uint32_t maxlen;
	uint32_t copy_range; /* bytes of each packet that are copied, 1 to 65531 */
	uint32_t needs;	     /* VD_NEEDS_* */
	bool fail_open;
	enum vd_verdict fault_verdict;
	const char *netns;
	uint32_t slot_room;  /* bytes behind VD_SLOT_ROOM in each slot: message_room + copy_range + VD_ROOM, or more */
	void (*log)(void *log_argument, const char *line);
	void *log_argument;
};

/* Since the start; written by the port, relaxed, and exact after close. */
struct vd_port_counters {
	uint64_t refused_verdicts[VD_VERDICT_COUNT]; /* sent, counted by the sender, and then flushed or refused */
	uint64_t unsaid;			     /* the same, but nobody knows which verdict it was */
	uint64_t queue_dropped;
	uint64_t socket_dropped;
	uint64_t socket_passed; /* of socket_dropped: they passed undecided */
	uint64_t flushed;
	uint64_t maybe_flushed; /* counted as settled; goes down again when more is known */
	uint64_t refused;
	uint64_t flushed_going; /* of flushed: they were to go on. `unsaid` is not among them */
	uint64_t refused_going; /* of refused, likewise */
	uint64_t left_accepted;
	uint64_t left_dropped;
	uint64_t inherited_accepted;
	uint64_t inherited_dropped;
	uint64_t checksums_checked;
	uint64_t checksums_wrong_before;
	uint64_t checksums_unknown;
	uint64_t checksums_wrong_after;
	uint32_t waiting;
	uint32_t receive_buffer;
	bool fail_open; /* these two: of the kernel's queue, as it was granted */
	bool segments;
	bool verified;
};

struct vd_port;

struct vd_port_operations {
	const char *kind; /* "nfq" */
	bool has_senders; /* its packets come from hosts that can be told that they were rejected */
	bool needs_bytes; /* send() reads the bytes of held packets also where they were not changed */
	bool has_arrivals; /* vd_packet_timestamp_ns() is when a packet came to this machine, by its clock */

	/* Whether it could be opened: nothing is bound or changed. For the check before any port opens. May be NULL. */
	int (*check)(struct vd_port *port, const struct vd_port_settings *settings, struct vd_error *error);

	/* Packets begin to come. */
	int (*open)(struct vd_port *port, const struct vd_port_settings *settings, struct vd_error *error);

	/*
	 * Receives up to `count` packets, 1 to VD_PORT_BURST_MAX, into the packets' room behind each struct (the slots), in
	 * order of arrival; fills data_offset, length, room, wire_length, original_length, id, queue, ethertype, and what
	 * else it knows; parsing and hashing are the caller's. It may exchange the pointers in packets[]. `wait`: when there
	 * is nothing, sleep until there is, or until wake(). Returns how many (0: nothing there, or woken), VD_PORT_ENDED, or
	 * -errno when it cannot go on.
	 */
	int (*receive)(struct vd_port *port, struct vd_packet **packets, unsigned count, bool wait);

	/*
	 * Sends the verdicts of `count` decided packets, 1 to VD_PORT_BURST_MAX, in order; they have taken effect when it
	 * returns, but that packets that are dropped may wait until all before them are answered. `are_all`: these are all that
	 * were received and not sent yet (also none is held), in their order, and the caller holds the reader's role: they are
	 * the oldest, and nothing is received meanwhile. `scratch` is scratch_size bytes that belong to the sending thread. 0 or
	 * -errno: cannot go on.
	 */
	int (*send)(struct vd_port *port, struct vd_packet *const *packets, unsigned count, bool are_all, void *scratch);

	/*
	 * This packet, a copy of one that was received, is answered later, when others that came behind it may be. `in_order`: its
	 * flow waits for it. `scratch` as for send(), with which the copy then comes. 0 or -errno. Any threads at once. NULL: it
	 * makes no difference.
	 */
	int (*hold)(struct vd_port *port, struct vd_packet *packet, bool in_order, void *scratch);

	/*
	 * Other settings from now on, while it is open. Packets that had come before are as they were; has_caught_up() is true when
	 * all of them have been received. Caller: the thread that reloads; while it holds the lane, but for has_caught_up(). 0 or
	 * -errno. Both NULL: it has no settings that could change.
	 */
	int (*reconfigure)(struct vd_port *port, const struct vd_port_settings *settings);
	bool (*has_caught_up)(struct vd_port *port);

	void (*counters)(struct vd_port *port, struct vd_port_counters *counters);

	/* Makes a waiting receive() return. Async-signal-safe. May be NULL for a port that never waits. */
	void (*wake)(struct vd_port *port);

	/*
	 * No packets come any more. What the port still holds gets settings->fault_verdict and is counted as left_*. Called
	 * after the last receive and send; also when a later port failed to open.
	 */
	void (*close)(struct vd_port *port);

	/* Instead of close: nothing is settled, and packets go on to wait for whoever has the descriptor too. NULL: it cannot. */
	void (*leave)(struct vd_port *port);

	void (*destroy)(struct vd_port *port);
};

struct vd_port {
	const struct vd_port_operations *operations;
	unsigned queue;	       /* its number; captures count from 0 */
	bool is_adopted;       /* somebody else has the descriptor too */
	uint32_t copied_before; /* adopted: so many bytes of each packet may have been copied of those that wait */
	int descriptor;	       /* readable when there are packets; -1: never wait for it, just ask */
	size_t message_room;   /* bytes that receive() needs in a slot beside the packet's own */
	size_t scratch_size;
	char failure[256];     /* one sentence when receive or send returned an error; may be empty */
};

size_t vd_port_nfq_scratch_size(void);

/* Constructors. -ENOMEM. */
int vd_port_nfq_create(struct vd_port **port, unsigned queue);

/* With a socket that is bound to the queue already. The port owns the descriptor, also when this fails. */
int vd_port_nfq_create_adopted(struct vd_port **port, unsigned queue, int descriptor);
int vd_port_pcap_create(struct vd_port **port, const struct vd_capture_options *options, struct vd_error *error);

#endif
