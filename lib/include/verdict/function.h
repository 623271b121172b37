/* SPDX-License-Identifier: MIT */
/*
 * Writing a verdict function: ten lines of C that decide on packets. verdict-function(7) is the guide.
 *
 *	#include <verdict/function.h>
 *
 *	static enum vd_verdict decide(struct vd_packet *packet, void *state)
 *	{
 *		return vd_packet_protocol(packet) == IPPROTO_ICMP ? VD_DROP : VD_NEXT;
 *	}
 *
 *	VD_FUNCTION(.name = "no-icmp", .summary = "drops ICMP", .decide = decide);
 *
 *	cc -shared -fPIC -o no-icmp.so no-icmp.c $(pkg-config --cflags verdict)
 *	verdict run --queue 0 --function ./no-icmp.so
 */
#ifndef VERDICT_FUNCTION_H
#define VERDICT_FUNCTION_H

#include <stdarg.h>
#include <stdio.h>

/* IPPROTO_*: from the C library, unless the kernel's twin header came first (the two cannot be included together). */
#ifndef _LINUX_IN_H
#include <netinet/in.h>
#endif

#include <verdict/packet.h>
#include <verdict/edit.h>
#include <verdict/hold.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The layout of struct vd_function and struct vd_packet. A function built for another one is refused. */
#define VD_FUNCTION_ABI 2

/* `.bytes`: how much of each packet the function reads, from the network header on. */
#define VD_WHOLE 0	/* everything (what a function that says nothing gets) */
#define VD_HEADERS 128	/* the headers: addresses, ports, flags. As cheap for the kernel as no bytes at all. */

/* How many bytes a packet can grow by (<verdict/edit.h>). */
#define VD_ROOM 256

/* `.needs`: what else the kernel has to do for the function. The engine asks the kernel for it, and says when it cannot. */
#define VD_NEEDS_CONNTRACK 0x1u /* connection tracking: vd_packet_conntrack_*() */
#define VD_NEEDS_SEGMENTS 0x2u	/* packets as on the wire: GSO packets are cut up and their checksums made (slow) */
#define VD_NEEDS_UID_GID 0x4u	/* vd_packet_uid(), vd_packet_gid() */
#define VD_NEEDS_SECCTX 0x8u	/* vd_packet_security_context() */
#define VD_NEEDS_REJECT 0x10u	/* vd_packet_reject(): sockets that answers are sent through (needs CAP_NET_RAW) */
#define VD_NEEDS_HOLD 0x20u	/* vd_packet_hold(): a thread that waits for deadlines and decisions */

/* `.scope`: who shares the state that decide() gets. */
enum vd_scope {
	VD_SCOPE_SHARED = 0, /* one for all: decide() may run in several threads at once; lock, or only read */
	VD_SCOPE_WORKER = 1, /* one for each worker thread: no locks; a flow's packets may meet different ones */
	VD_SCOPE_FLOW = 2,   /* all packets of a flow, in both directions, meet the same one, one thread at a time, in
				the order in which they came; no locks. The place for tables of flows. */
};

/* What open() is told, and what it may say. */
struct vd_open {
	const char *arguments; /* what stood behind the colon: `--function mine.so:ARGUMENTS`; "" when nothing did */
	uint32_t bytes;	       /* as declared; may be changed to what these arguments need */
	uint32_t needs;	       /* likewise */
	unsigned states;       /* how many states of its scope will be made: share a memory budget by it */
	char *error;	       /* why the arguments are wrong: vd_open_error() */
	size_t error_size;
	struct vd_holder *holder; /* for vd_hold_decide(): as long as the engine lives, also after close() */
};

struct vd_function {
	uint32_t abi;		     /* VD_FUNCTION() sets these two */
	uint32_t size;
	const char *name;	     /* what statistics call it: letters, digits, '-' */
	const char *summary;	     /* one line */
	const char *usage;	     /* its arguments, as in "N[,mark=M]"; NULL: it takes none and the engine refuses any */
	uint32_t bytes;
	uint32_t needs;
	enum vd_scope scope;
	const char *const *counters; /* names, ended by NULL; vd_count() counts by index */

	/*
	 * Once, before any packet, in the thread that starts the engine; on a reload in a thread of its own that has less of the
	 * CPU (nice 10, which threads that it starts inherit). *shared is what the other calls get. 0, or -errno
	 * with a sentence in `open->error`: return vd_open_error(open, "..."). May be NULL.
	 *
	 * open() and open_state() run in the network namespace of the queues (`netns`, --netns): a socket opened here
	 * sees the interfaces and routes that the packets see, also when decide() uses it. The threads that call decide()
	 * are not there.
	 */
	int (*open)(struct vd_open *open, void **shared);

	/* Once, after the last packet and all close_state(). Also after an engine that failed to start. May be NULL. */
	void (*close)(void *shared);

	/*
	 * For VD_SCOPE_WORKER and VD_SCOPE_FLOW: makes one state, before any packet; *state is what decide() gets.
	 * 0, or -errno.
	 */
	int (*open_state)(void *shared, void **state);
	void (*close_state)(void *shared, void *state);

	/* Decides one packet. `state` is the state of the scope, or what open() gave for VD_SCOPE_SHARED. */
	enum vd_verdict (*decide)(struct vd_packet *packet, void *state);

	/*
	 * Decides many at once, instead of decide(): verdicts[i] for packets[i], 1 to VD_BURST_MAX of them. They are all of
	 * one state's scope and in order. verdicts[] comes filled with VD_NEXT.
	 */
	void (*decide_burst)(struct vd_packet *const *packets, enum vd_verdict *verdicts, unsigned count, void *state);

	/*
	 * On a reload, for a function that takes the place of one with the same name, scope and state_format, which is not 0: takes
	 * over what that one's state holds, so that a table is not rebuilt. Called once for what open() gave (state and old_state
	 * NULL), then, for VD_SCOPE_WORKER and VD_SCOPE_FLOW, once for each pair of states; before the first packet, in the thread
	 * that reloads, while nobody decides: packets wait for it, so move pointers rather than entries. What is left in the old
	 * state is freed by its own close_state() and close() afterwards. 0, or -errno: this state begins empty, which is logged.
	 * May be NULL.
	 */
	int (*migrate)(void *shared, void *state, void *old_shared, void *old_state);
	uint32_t state_format; /* a number of your own for the layout of the state: another one when it changes */
};

/* The most packets that decide_burst() is given. */
#define VD_BURST_MAX 64

#ifdef __cplusplus
#define VD_FUNCTION_C_ extern "C"
#else
#define VD_FUNCTION_C_ extern
#endif

/* Declares the function of this .so; one each. Arguments: members of struct vd_function, by name, in their order. */
#define VD_FUNCTION(...)                                                                                                \
	VD_FUNCTION_C_ __attribute__((visibility("default"))) const struct vd_function vd_function;                     \
	const struct vd_function vd_function = {.abi = VD_FUNCTION_ABI, .size = sizeof(struct vd_function), __VA_ARGS__}

/* `return vd_open_error(open, "N must be 1 to 1000, not '%s'", text);` in open(): the user reads it. Returns -EINVAL. */
__attribute__((format(printf, 2, 3))) static inline int vd_open_error(struct vd_open *open, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(open->error, open->error_size, format, arguments);
	va_end(arguments);
	return -EINVAL;
}

/*
 * Adds n to the counter at `index` in the function's `.counters`; `run` and vd_engine_function_stats() show the sum of all workers.
 * No lock, no shared cache line. An index beyond the declared ones counts nothing.
 */
static inline void vd_count(const struct vd_packet *packet, unsigned index, uint64_t n)
{
	const struct vd_context *context = packet->context;

	if (context && index < context->counter_count) /* relaxed: one writer, and a reader that wants any recent value */
		__atomic_store_n(&context->counters[index], context->counters[index] + n, __ATOMIC_RELAXED);
}

#ifdef __cplusplus
}
#endif

#endif
