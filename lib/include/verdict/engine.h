/* SPDX-License-Identifier: MIT */
/*
 * The engine inside your own program: what `verdict run` does, as a library. Link with -lverdict (pkg-config verdict).
 *
 *	struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;
 *	struct vd_engine *engine;
 *	struct vd_error error;
 *
 *	if (vd_engine_create(&engine, &options, &error) ||
 *	    vd_engine_add_function(engine, &my_function, "", &error) ||
 *	    vd_engine_add_queue(engine, 0, &error) ||
 *	    vd_engine_run(engine, &error))
 *		fprintf(stderr, "%s\n", error.text);
 *	vd_engine_destroy(engine);
 *
 * Threads: create, add, run and destroy from one thread. While it runs, vd_engine_stop() and the calls for statistics may be
 *          made from any thread, and vd_engine_stop() from a signal handler too.
 * Errors:  0, or -errno with one sentence for a person in error->text.
 * Privilege: queues need CAP_NET_ADMIN, and with functions that reject (VD_NEEDS_REJECT) CAP_NET_RAW; captures need nothing.
 */
#ifndef VERDICT_ENGINE_H
#define VERDICT_ENGINE_H

#include <verdict/function.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

#define VD_ENGINE_WORKERS_MAX 64
#define VD_ENGINE_WRITERS_MAX 16
#define VD_ENGINE_QUEUES_MAX 256
#define VD_ENGINE_FUNCTIONS_MAX 32
#define VD_ENGINE_COUNTERS_MAX 64 /* named counters of one function */
#define VD_ENGINE_MAXLEN_DEFAULT 16384u
#define VD_ENGINE_MAXLEN_MAX (1u << 20)
#define VD_ENGINE_REJECT_RATE_DEFAULT 1000u
#define VD_ENGINE_REJECT_RATE_MAX 1000000u
#define VD_ENGINE_HELD_MAX_DEFAULT 8192u
#define VD_ENGINE_HELD_MAX_MAX (1u << 20)
#define VD_ENGINE_DEADLINE_MIN_US 100u
#define VD_ENGINE_DEADLINE_DEFAULT_US 1000000u
#define VD_ENGINE_DEADLINE_MAX_US 60000000u

/* Why a call failed: one sentence, for a person, that says what to do. */
struct vd_error {
	char text[512];
};

struct vd_engine;

/* Where functions run: see verdict-function(7). */
enum vd_isolation {
	VD_ISOLATION_THREAD = 0,  /* in the engine's threads: fastest; a crash ends the process */
	VD_ISOLATION_PROCESS = 1, /* in a process of their own: a crash or a hang costs the packet that it came with */
};

/* Who is about to be confined: vd_engine_options.confine. */
enum vd_confined {
	VD_CONFINED_NURSERY, /* the process in which functions were opened, and that makes the others: it needs fork, wait and kill */
	VD_CONFINED_HOST,    /* one that decides on packets: a copy of the nursery, confined as that; its threads are there */
};

struct vd_engine_options {
	unsigned workers;	/* threads that read and decide: 1 to VD_ENGINE_WORKERS_MAX; 0: one per CPU that it may use
				   (of `cpus`, if given) */
	unsigned writers;	/* threads that only send verdicts: up to VD_ENGINE_WRITERS_MAX; 0: workers send their own */
	uint32_t maxlen;	/* packets that the kernel queues, 1 to VD_ENGINE_MAXLEN_MAX; 0: VD_ENGINE_MAXLEN_DEFAULT */
	uint32_t copy_range;	/* bytes of each packet that are copied, up to 65531; 0: what the functions need */
	bool no_gso;		/* have the kernel cut GSO packets into segments */
	bool fail_open;		/* when the queue is full, packets pass undecided instead of being dropped */
	enum vd_verdict default_verdict; /* when no function has an opinion: VD_ACCEPT or VD_DROP */
	enum vd_verdict fault_verdict;	 /* for a faulty function's packet, and at stop for what is still queued: same */
	unsigned batch;		/* verdicts in one send, 1 to 64; 0: 64 */
	uint32_t batch_delay_us; /* how long packets may wait for company, microseconds, up to 1,000,000 */
	const char *netns;	/* the queues' network namespace: a name of `ip netns`, or a path; NULL: this one. Functions open
				   there too */
	const unsigned *cpus;	/* pin the threads to these CPUs, in turn; NULL: do not pin */
	unsigned cpu_count;
	uint64_t packets_max;	/* stop by itself after this many packets; 0: never */
	uint32_t reject_rate;	/* answers to rejected packets, a second, of all queues together (RFC 4443 2.4(f)): 1 to
				   VD_ENGINE_REJECT_RATE_MAX; 0: VD_ENGINE_REJECT_RATE_DEFAULT. At once a tenth, at least 10 */
	uint32_t reject_mark;	/* the mark of these answers (SO_MARK), for rules to know them by; 0: none */
	uint32_t held_max;	/* packets that functions may hold (<verdict/hold.h>), of all queues together: 1 to
				   VD_ENGINE_HELD_MAX_MAX; 0: VD_ENGINE_HELD_MAX_DEFAULT. They wait in the kernel's queues, so maxlen
				   should be well above it */
	void (*log)(void *log_argument, const char *line); /* what a person should know, while it starts and runs; or NULL */
	void *log_argument;
	int (*ready)(void *ready_argument); /* all queues are bound and nothing has been read yet: called once, in the thread of
				   vd_engine_run(); or NULL. Threads start behind it, and inherit what it gives up. Not 0: -errno,
				   and the run ends with it */
	void *ready_argument;
	void (*ending)(void *ending_argument); /* all that was read is answered, and queues are about to be settled and given back, or
				   left: called once, in the thread of vd_engine_run(), if ready() was and agreed; or NULL */
	void *ending_argument;
	enum vd_isolation isolation;
	uint32_t deadline_us;	/* VD_ISOLATION_PROCESS: how long functions may take for a burst, 100 to VD_ENGINE_DEADLINE_MAX_US;
				   0: VD_ENGINE_DEADLINE_DEFAULT_US. Then they hang, and their process is ended */
	int (*confine)(void *confine_argument, enum vd_confined who, struct vd_error *error); /* in such a process, before it sees
				   a packet: what it may do from then on. 0, or -errno with a sentence, and it does not start; or NULL */
	void *confine_argument;
	int confine_descriptor;	/* of those that are open here the one that such a process keeps, for itself; 0: none but 0 to 2 */
	void (*culprit)(void *culprit_argument, const struct vd_packet *packet, const char *function, const char *reason);
				/* a packet with which a function crashed or hung in its process, as it came to the functions; any
				   thread of the engine, several at once; or NULL */
	void *culprit_argument;
};

#define VD_ENGINE_OPTIONS_INIT {.default_verdict = VD_ACCEPT, .fault_verdict = VD_DROP}

/* *engine is NULL on failure: -EINVAL an option is out of its range, -ENOMEM. The options are copied. */
int vd_engine_create(struct vd_engine **engine, const struct vd_engine_options *options, struct vd_error *error);

/* Stops nothing: call it after vd_engine_run() has returned, or instead of it. NULL is fine. */
void vd_engine_destroy(struct vd_engine *engine);

/*
 * Appends a function to the chain; `arguments` as behind the colon of --function (vd_engine_run() hands them to its open()).
 * The struct is copied, its strings and calls have to live as long as the engine. -ENOEXEC: other ABI, or nothing that
 * decides; -EINVAL: it takes no arguments; -E2BIG: too many functions.
 */
int vd_engine_add_function(struct vd_engine *engine, const struct vd_function *function, const char *arguments,
			   struct vd_error *error);

/*
 * The same from a file: `./mine.so:ARGUMENTS`, or the name of a stock function, `mark:7`. A name with a slash, or that ends
 * in .so, is a file; others are looked for in $VERDICT_FUNCTION_PATH (directories, with colons between) and where verdict is
 * installed. -ENOENT: no such file; -ENOEXEC: not a function, or other ABI; the rest as vd_engine_add_function().
 */
int vd_engine_load_function(struct vd_engine *engine, const char *specification, struct vd_error *error);

/* Reads queue 0 to 65535 of the kernel. -EEXIST: added before. Binding happens in vd_engine_run(). */
int vd_engine_add_queue(struct vd_engine *engine, unsigned queue, struct vd_error *error);

/* What each queue can have for itself: as the members of struct vd_engine_options with the same names, also what 0 means. */
struct vd_queue_options {
	uint32_t maxlen;
	uint32_t copy_range;
	bool no_gso;
	bool fail_open;
	enum vd_verdict fault_verdict;
};

/*
 * The engine's own options are where a queue begins: fill the struct with them, change what should be different, and add it.
 *
 *	struct vd_queue_options options;
 *
 *	vd_engine_queue_options(engine, &options);
 *	options.maxlen = 512;
 *	vd_engine_add_queue_with(engine, 7, &options, &error);
 *
 * The options are copied. -EINVAL: one is out of its range; the rest as vd_engine_add_queue(), which adds a queue with the
 * engine's own.
 */
void vd_engine_queue_options(const struct vd_engine *engine, struct vd_queue_options *options);
int vd_engine_add_queue_with(struct vd_engine *engine, unsigned queue, const struct vd_queue_options *options,
			     struct vd_error *error);

/*
 * Reads a queue through a socket that is bound to it already: one that vd_engine_queue_socket() gave another process. Packets
 * that this process had read and not answered get the fault verdict, and are counted as inherited_*; those that wait unread
 * are read. `options` NULL: the engine's own. The engine owns the descriptor from here on, also when this fails. Errors as
 * vd_engine_add_queue_with(); whether it is such a socket shows in vd_engine_run(): -EBADF, -ENOTCONN.
 */
int vd_engine_add_queue_socket(struct vd_engine *engine, unsigned queue, const struct vd_queue_options *options, int descriptor,
			       struct vd_error *error);

struct vd_capture_options {
	const char *path;	  /* pcap or pcapng; "-": standard input */
	const char *accepted_path; /* accepted packets go here, in the order of the capture; NULL: nowhere */
	const char *dropped_path;  /* dropped ones */
	bool verify;		  /* count packets with wrong checksums: checksums_* in struct vd_queue_stats */
};

/*
 * Reads packets from a capture instead. Link types: raw IP, Ethernet (with VLAN tags), Linux cooked v1 and v2, BSD loopback.
 * To verify takes whole packets: all are copied, and a copy_range below 65531 is refused.
 * -ENOENT, -EACCES, -EINVAL: not a capture, or that refusal; -ENOTSUP: another link type.
 */
int vd_engine_add_capture(struct vd_engine *engine, const struct vd_capture_options *options, struct vd_error *error);

/*
 * Binds the queues and works until vd_engine_stop(), packets_max, the end of the captures, or an error. Then: what was
 * read is decided and answered, what is still queued in the kernel gets the fault verdict, and the queues are given
 * back. Once per engine.
 * -EINVAL: a function refuses its arguments, or there is no queue and no capture. -EPERM: no CAP_NET_ADMIN; a queue is
 * another's (the sentence says whose); a function rejects, and there is no CAP_NET_RAW. No queue has been bound then.
 */
int vd_engine_run(struct vd_engine *engine, struct vd_error *error);

/* Makes vd_engine_run() come to its end. Async-signal-safe, any thread, any number of times; before the run as well. */
void vd_engine_stop(struct vd_engine *engine);

/*
 * Changes a running engine into what `next` would be: an engine that was made like any other, and never run. Its functions take
 * the place of those that decide, in one step: each packet is decided by the ones or the others. Queues that `next` has not
 * are given back, as at a stop; new ones are bound; what others have for themselves, the default verdict, batch and
 * batch_delay_us, reject_rate, reject_mark and held_max change, isolation and deadline_us too. Packets go on to flow, and held ones
 * are held. A function may take over the state of the one before it, and does if it has a migrate() and neither runs in a process of
 * its own. Statistics of functions with the same name and counters go on.
 *
 * What cannot change: workers, writers, cpus, netns, packets_max, and captures, of which `next` must have none; log, ready,
 * ending, confine and culprit stay those of `engine`. `next` is destroyed by the caller afterwards, however it ended.
 *
 * Any thread but those of the engine, one at a time, while vd_engine_run() runs. It returns when the old functions are closed, which
 * takes as long as a packet may be with one. On an error nothing has changed: -EINVAL a function refuses its arguments,
 * -ENOTSUP what cannot change, -EPERM as vd_engine_run(), -ETIMEDOUT a function has had a packet for 10 seconds, -ECANCELED
 * it does not run (any more), -ENOMEM.
 */
int vd_engine_reload(struct vd_engine *engine, struct vd_engine *next, struct vd_error *error);

/*
 * Leaving a queue to another process without losing a packet: whoever has a duplicate of its socket keeps the queue, and what waits
 * in it, alive (dup(2), SCM_RIGHTS, a service manager's store), until a vd_engine_add_queue_socket().
 *
 * vd_engine_queue_socket() is the descriptor of a queue while it is bound, from options.ready() on; the engine's own. -1: there is
 * none. vd_engine_leave() is vd_engine_stop(), but that queues are not given back: what was read is decided and answered, and
 * what was not stays where it is. Both: any thread; the latter is async-signal-safe.
 */
int vd_engine_queue_socket(struct vd_engine *engine, unsigned queue);
void vd_engine_leave(struct vd_engine *engine);

/* ---- statistics ---- */

/* Why a packet did not go on: each one that did not has exactly one of these. */
enum vd_cause {
	VD_CAUSE_FUNCTION,    /* a function dropped or rejected it: which, and how many each, is in struct vd_function_stats; or
				 had held it, and then dropped it: held_dropped */
	VD_CAUSE_DEFAULT,     /* no function had an opinion, and default_verdict is to drop */
	VD_CAUSE_FAULT,	      /* a function returned what is no verdict, or not one of its own, or crashed or hung in its process,
				 and fault_verdict is to drop */
	VD_CAUSE_EDIT,	      /* an edit was refused (<verdict/edit.h>), and fault_verdict is to drop */
	VD_CAUSE_DEADLINE,    /* a function held it, did not decide in time, and wanted it dropped then */
	VD_CAUSE_HELD_FULL,   /* overload: it had to wait behind a held packet of its flow, and held_max packets were held */
	VD_CAUSE_NO_HOST,     /* no process was there in which functions could decide (isolation), and fault_verdict is to drop */
	VD_CAUSE_QUEUE_FULL,  /* overload: the kernel's queue was full */
	VD_CAUSE_BUFFER_FULL, /* overload: the socket's buffer was full */
	VD_CAUSE_FLUSHED,     /* it was to go on, and the kernel had flushed the queue */
	VD_CAUSE_REFUSED,     /* it was to go on, and the kernel refused that for another reason */
	VD_CAUSE_LEFT,	      /* still in the kernel's queue at the stop, and fault_verdict is to drop */
};
#define VD_CAUSE_COUNT 12

/*
 * Packets of one queue or capture since the start. Exact at the end, and at any time but for what is on its way:
 *
 *	offered = sum of verdicts[] + queue_dropped + socket_dropped + flushed + refused + left_accepted + left_dropped
 *
 * (with fail_open, packets that passed while the queue was full are not known here; socket_dropped then counts
 * packets that passed undecided because the socket's buffer was full: socket_passed of them).
 *
 * And by cause, of those that did not go on:
 *
 *	offered = verdicts[VD_ACCEPT] + verdicts[VD_REPEAT] + verdicts[VD_QUEUE] + verdicts[VD_STOP] + socket_passed
 *		+ left_accepted + sum of drops[]
 *
 * A packet that a function dropped and that a flush took before the verdict stays the function's. Of all queues together
 * drops[VD_CAUSE_FUNCTION] is the sum of held_dropped, and of verdicts[VD_DROP] and verdicts[VD_REJECT] of all functions.
 *
 * Held packets (<verdict/hold.h>) are on their way: received, and in verdicts[] when they have one. All of held_ever are held now,
 * or held_expired, or were decided.
 */
struct vd_queue_stats {
	unsigned queue;
	uint64_t received;
	uint64_t bytes;			       /* of the packets received, as on the wire */
	uint64_t verdicts[VD_VERDICT_COUNT];   /* by enum vd_verdict, taken effect; VD_NEXT, VD_HELD: always 0 */
	uint64_t sent[VD_VERDICT_COUNT];       /* the same, whether or not they took effect: never goes down */
	uint64_t drops[VD_CAUSE_COUNT];	       /* by enum vd_cause: packets that did not go on; never goes down */
	uint64_t by_default;		       /* of them: no function had an opinion */
	uint64_t faults;		       /* of them: a function returned what is no verdict, or not one of its own, crashed or hung */
	uint64_t without_host;		       /* of them: no process was there that could decide, so they got fault_verdict */
	uint64_t rewritten;		       /* of them: sent back with other data */
	uint64_t edits_refused;		       /* of them: an edit was refused, so they got fault_verdict (<verdict/edit.h>) */
	uint64_t answered;		       /* each rejected packet of a queue, also one flushed then, is in one of four: told; */
	uint64_t answers_limited;	       /* over reject_rate; */
	uint64_t answers_none;		       /* must not be answered, or not so (vd_packet_reject()); */
	uint64_t answers_failed;	       /* not sent by the kernel: no route, a rule in OUTPUT */
	uint64_t held_ever;		       /* received packets that were held, also behind a held one of their flow */
	uint64_t held_behind;		       /* received packets that no function has seen, as their flow was held: they waited, or
						  were dropped for VD_CAUSE_HELD_FULL */
	uint64_t held_expired;		       /* of held_ever: got their deadline's verdict, then or at a stop */
	uint64_t held_dropped;		       /* of held_ever: dropped by vd_hold_decide() */
	uint64_t held_refused;		       /* could not be held: held_max were, or there was no memory; decided otherwise */
	uint64_t malformed;		       /* received packets that contradict their own headers */
	uint64_t queue_dropped;		       /* lost: the kernel's queue was full */
	uint64_t socket_dropped;	       /* lost: the socket's buffer was full */
	uint64_t socket_passed;		       /* of them, with fail_open: not lost, passed undecided */
	uint64_t flushed;		       /* the kernel had flushed the queue before the verdict (ENOENT) */
	uint64_t maybe_flushed;		       /* of verdicts[]: up to so many were flushed as well; see verdict-run(1) */
	uint64_t refused;		       /* the kernel refused the verdict for another reason */
	uint64_t left_accepted;		       /* still in the kernel's queue at the stop: accepted by fault_verdict */
	uint64_t left_dropped;		       /* the same, dropped */
	uint64_t inherited_accepted;	       /* read by a process that had the socket before, not answered by it, and accepted by */
	uint64_t inherited_dropped;	       /* fault_verdict, or dropped; offered to that process, not to this one */
	uint64_t reads;			       /* receive calls that brought packets */
	uint64_t sends;			       /* send calls */
	uint64_t on_the_spot;		       /* packets that the reading thread decided itself */
	uint64_t checksums_checked;	       /* verified captures: received, and right or wrong */
	uint64_t checksums_wrong_before;       /* of them: wrong, as captured */
	uint64_t checksums_unknown;	       /* cannot be told: fragments, packets captured in part */
	uint64_t checksums_wrong_after;	       /* accepted with a wrong one, edits included */
	uint32_t waiting;		       /* in the kernel's queue, now */
	uint32_t in_flight;		       /* read and not answered yet, now */
	uint32_t in_rings;		       /* of them: handed to another thread, which has not taken them yet */
	uint32_t held;			       /* held, now; not in in_flight, but in waiting: the kernel has them */
	uint32_t maxlen;		       /* packets that the kernel queues */
	uint32_t receive_buffer;	       /* bytes that the kernel granted */
	uint32_t copy_range;		       /* bytes of each packet that are copied */
	bool fail_open;			       /* a queue: packets pass when it is full; the kernel has granted that */
	bool segments;			       /* a queue: the kernel cuts large packets, so what is one to a rule is several here */
	bool verified;			       /* a capture: checksums_* count */
	bool ended;			       /* a capture: read to its end */
};

struct vd_function_stats {
	const char *name;
	uint64_t packets;		       /* that came to it undecided */
	uint64_t verdicts[VD_VERDICT_COUNT];   /* what it said, VD_NEXT included */
	uint64_t faults;
	uint64_t crashes;		       /* of them, VD_ISOLATION_PROCESS: it ended its process, */
	uint64_t hangs;			       /* or gave no answer within the deadline */
	unsigned counter_count;
	const char *const *counter_names;
	uint64_t counters[VD_ENGINE_COUNTERS_MAX];
};

/* What one thread has done. */
struct vd_worker_stats {
	bool is_writer;	   /* a thread that only sends verdicts */
	unsigned index;	   /* of the workers, or of the writers: from 0 */
	uint64_t packets;  /* that it decided; a writer: that it sent */
	uint64_t bursts;   /* how many at once: packets / bursts */
	uint64_t sleeps;   /* how often it gave up the CPU, as the kernel counts it */
	uint64_t cpu_ns;   /* CPU time; 0 where the kernel does not tell (schedstat) */
};

/* Fills up to `size` entries, returns how many there are (0 before the run). Costs a few reads of /proc; call it once a second, not per packet. */
unsigned vd_engine_queue_stats(struct vd_engine *engine, struct vd_queue_stats *stats, unsigned size);
unsigned vd_engine_function_stats(struct vd_engine *engine, struct vd_function_stats *stats, unsigned size);

/* The same of its threads: workers, then writers. */
unsigned vd_engine_worker_stats(struct vd_engine *engine, struct vd_worker_stats *stats, unsigned size);

/* VD_ISOLATION_PROCESS: the processes that functions run in. */
struct vd_host_stats {
	bool is_isolated;  /* they do now */
	uint64_t restarts; /* processes that ended and had to be replaced, for whatever reason */
};

void vd_engine_host_stats(struct vd_engine *engine, struct vd_host_stats *stats);

/* ---- latency: how long packets wait for their verdict ---- */

/* From when on. The end is when the verdict has been sent. */
enum vd_since {
	VD_SINCE_RECEIVED, /* the burst was read from the kernel: of every packet that was answered */
	VD_SINCE_ARRIVED,  /* the packet came to this machine, by the kernel's time stamp: with the time in the kernel's queue.
			      Only where there is one: some socket on the machine asks for them (SO_TIMESTAMP, as ping does),
			      and the packet came from outside, to PREROUTING, INPUT or FORWARD */
};
#define VD_SINCE_COUNT 2

/*
 * Where packets were read together, or are sent together, one of them that is drawn by lot may stand for all: the distribution
 * is that of all packets, but of a few hundred packets a rare one may be missing, and max_ns is that of those drawn.
 *
 * Nanoseconds in buckets: 64 ns wide below 1,024 ns, then eight to each doubling, so that a bucket is at most an eighth wide; the
 * last one takes all from 2^36 ns (69 s) on, too.
 */
#define VD_LATENCY_BUCKETS 224

struct vd_latency {
	uint64_t count;
	uint64_t sum_ns;
	uint64_t max_ns;
	uint64_t buckets[VD_LATENCY_BUCKETS];
};

/* Where bucket 0 to VD_LATENCY_BUCKETS begins; the next one's begin is its end. */
static inline uint64_t vd_latency_edge_ns(unsigned bucket)
{
	return (bucket < 8 ? (uint64_t)bucket : (uint64_t)(8 + bucket % 8) << (bucket / 8 - 1)) * 64;
}

/* What `share` of them, 0 to 1, did not exceed, to the accuracy of a bucket; 0 when there are none. */
static inline uint64_t vd_latency_quantile_ns(const struct vd_latency *latency, double share)
{
	double wanted = share * (double)latency->count;
	uint64_t seen = 0;
	unsigned bucket = 0;

	while (bucket < VD_LATENCY_BUCKETS && (!seen || (double)seen < wanted))
		seen += latency->buckets[bucket++];
	if (bucket == VD_LATENCY_BUCKETS || vd_latency_edge_ns(bucket) > latency->max_ns)
		return latency->max_ns;
	return vd_latency_edge_ns(bucket);
}

/*
 * Of the queue at this place in vd_engine_queue_stats(), since the start. A dropped packet may have its answer a moment later
 * than is counted here. -ENOENT: there is no such place.
 */
int vd_engine_queue_latency(struct vd_engine *engine, unsigned place, enum vd_since since, struct vd_latency *latency);

/* ---- taps: looking at packets while they are decided ---- */

/*
 * A tap gets a copy of each packet that it asks for, with its verdict, as it goes on: edits included, before it is sent. The threads
 * that decide never wait for who reads: what has no room is missed, and counted.
 *
 *	struct vd_engine_tap_options options = VD_ENGINE_TAP_OPTIONS_INIT;
 *	const struct vd_engine_tap_packet *packet;
 *
 *	options.what = VD_TAP_DROPPED;
 *	if (!vd_engine_tap_open(engine, &tap, &options, &error)) {
 *		while (goes_on) {
 *			while ((packet = vd_engine_tap_read(tap)))
 *				print(packet->function, packet->data, packet->length);
 *			sleep some milliseconds;
 *		}
 *		vd_engine_tap_close(tap);
 *	}
 *
 * While there is none, it costs a load for each burst of packets.
 */
#define VD_ENGINE_TAPS_MAX 4
#define VD_ENGINE_TAP_ROOM_DEFAULT (4u << 20)
#define VD_ENGINE_TAP_ROOM_MAX (1u << 30)
#define VD_ENGINE_TAP_SAMPLE_MAX 1000000000u

/* What a tap asks for: packets of any of these. */
#define VD_TAP_ACCEPTED 0x1u /* go on: VD_ACCEPT, VD_REPEAT, VD_QUEUE, VD_STOP */
#define VD_TAP_DROPPED 0x2u  /* VD_DROP, whoever said so */
#define VD_TAP_REJECTED 0x4u /* VD_REJECT */
#define VD_TAP_FAULTED 0x8u  /* got the fault verdict: a function returned what is no verdict, or an edit was refused */
#define VD_TAP_HELD 0x10u    /* begin to wait: VD_HELD. They are not shown again when they are decided */
#define VD_TAP_ALL 0x1fu

struct vd_engine_tap_options {
	uint32_t what;	      /* VD_TAP_*; 0: VD_TAP_ALL */
	int queue;	      /* packets of this one only; -1: of all */
	const char *function; /* packets only that this function decided, by its name; NULL: that anybody did */
	uint32_t sample;      /* of these, one in so many, drawn by lot; up to VD_ENGINE_TAP_SAMPLE_MAX; 0 and 1: all */
	uint32_t snap;	      /* bytes of each; 0: all that the engine has of it */
	uint32_t room;	      /* bytes for packets that wait to be read, divided among the workers, of which each has 256 KB at
				 least; up to VD_ENGINE_TAP_ROOM_MAX; 0: VD_ENGINE_TAP_ROOM_DEFAULT */
};

#define VD_ENGINE_TAP_OPTIONS_INIT {.queue = -1}

struct vd_engine_tap_packet {
	const uint8_t *data;  /* from the network header on; valid until the next read, or close */
	uint32_t length;      /* bytes of it */
	uint32_t wire_length; /* bytes that the packet has */
	uint64_t time_ns;     /* when it was decided: since 1970 */
	const char *function; /* that decided; NULL: none had an opinion. As long as the engine */
	enum vd_verdict verdict;
	bool is_fault;		/* that function returned what is no verdict; `verdict` is the fault verdict */
	bool is_edit_refused;	/* likewise, as an edit was refused */
	bool is_taken_back;	/* that was after a change, which so does not go on, but may be seen in `data` */
	bool is_edited;		/* these are not the bytes that came: a function changed them */
	bool is_marked;		/* goes on with `mark`, which a function gave it */
	uint32_t mark;
	uint32_t id;
	uint32_t indev, outdev; /* interfaces, of a bridge its ports; 0: none */
	uint16_t queue;
	uint16_t requeue; /* VD_QUEUE: where to */
	uint16_t ethertype;
	uint8_t hook;
	uint8_t hardware_address_length; /* of its sender; 0: not known */
	uint8_t hardware_address[8];
};

/* As far as they are known: exact when it is stopped. sampled = read + missed + what waits to be read. */
struct vd_engine_tap_stats {
	uint64_t decided; /* packets, while it was open */
	uint64_t matched; /* of them: that it asks for, */
	uint64_t sampled; /* and that were drawn */
	uint64_t missed;  /* of them: there was no room */
	uint64_t read;
};

struct vd_engine_tap;

/*
 * Any time from vd_engine_create() to vd_engine_destroy(), before which it has to be closed; a reload does not matter to it. Any
 * thread, but only one at a time for one tap. -EINVAL: an option is out of its range; -EBUSY: VD_ENGINE_TAPS_MAX are open; -ENOMEM.
 */
int vd_engine_tap_open(struct vd_engine *engine, struct vd_engine_tap **tap, const struct vd_engine_tap_options *options,
		       struct vd_error *error);

/*
 * The next packet; NULL: there is none now. A flow's packets come in the order in which they were decided. Never waits. After
 * NULL the next call looks anew: a loop up to NULL, now and then, gets all.
 */
const struct vd_engine_tap_packet *vd_engine_tap_read(struct vd_engine_tap *tap);

/* No packets come from here on; those that wait can be read. */
void vd_engine_tap_stop(struct vd_engine_tap *tap);

void vd_engine_tap_stats(const struct vd_engine_tap *tap, struct vd_engine_tap_stats *stats);

/* NULL is fine. */
void vd_engine_tap_close(struct vd_engine_tap *tap);

/* "verdict 0.1.0" and so on: the library that is running. */
const char *vd_version(void);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
