/* SPDX-License-Identifier: MIT */
/*
 * Held packets: what vd_packet_hold() is behind the packet's way.
 *
 *	held.c		places for held packets, and their tickets: vd_packet_hold(), vd_hold_decide()
 *	held_burst.c	what a burst with held packets is to a worker and a writer
 *	held_flows.c	flows that wait behind a held packet
 *	held_thread.c	the thread that waits for decisions and deadlines, and sends the verdicts
 *
 * A held packet has left its slot: what its verdict needs is copied into a place of its own (struct vd_held). Places come in chunks,
 * and are never given back before the engine's end, so that any number may be taken for a ticket and looked up. A chunk is what the
 * packet's way allocates here, once for 1,024 packets held at the same time; and the bytes of a held packet that were changed.
 *
 *	worker: vd_packet_hold()	takes a place: the ticket is good
 *	worker: vd_held_settle()	has decided the burst: copies the packet, and tells the port
 *	sender: vd_held_leave_out()	has sent what came before it: `arrived`
 *	any:	vd_hold_decide()	`decided`
 *	thread:				sends, when it has both; or when the deadline comes
 *
 * Who decides. A place has one word: what its ticket is, and what became of it. Whoever changes it from HELD_OPEN to something else,
 * by an exchange that checks the ticket too, is the one: a decision, the deadline, or the worker whose function has changed its mind.
 *
 * When a place is free again. Its packet was sent, or there never was one; it came out of `arrived`, and if somebody decided, out
 * of `decided` as well: so it never lies on a list when it is taken anew.
 *
 * The lists are pushed onto by any thread, and taken as a whole by the one that works here: no ABA. The one of free places is
 * popped by several: its head has a count that changes with each pop.
 */
#ifndef VERDICT_ENGINE_HELD_H
#define VERDICT_ENGINE_HELD_H

#include <pthread.h>
#include <stdatomic.h>

#include "engine/lane.h"
#include "engine/state.h"

#define VD_HELD_CHUNK 1024u
#define VD_HELD_CHUNKS (VD_ENGINE_HELD_MAX_MAX / VD_HELD_CHUNK)

/* A ticket is the packet's number in the order of holding, then the index of its place. */
#define VD_HELD_INDEX_BITS 20
_Static_assert(VD_ENGINE_HELD_MAX_MAX == 1u << VD_HELD_INDEX_BITS, "an index of a place fits into a ticket");

enum vd_held_state {
	HELD_FREE,   /* or one that has no ticket, as it waits behind another */
	HELD_OPEN,   /* to be decided */
	HELD_DECIDED,
	HELD_EXPIRED,
	HELD_VOID,   /* its function had decided itself */
};

struct vd_held {
	_Atomic uint64_t word; /* the number of the ticket << 8 | enum vd_held_state */
	uint32_t index;
	_Atomic uint32_t next_free;
	struct vd_held *next_arrived, *next_decided;
	uint64_t deadline_ns;
	uint64_t number;
	struct vd_lane *lane;
	struct vd_held_flow *flow; /* that waits behind it; NULL: none */
	struct vd_packet *packet;  /* `own`, or on the heap with its bytes */
	struct vd_decision decision;
	uint32_t heap_place; /* from 1; 0: it is not in there */
	uint8_t deadline_verdict;
	bool has_arrived;
	bool is_popped; /* of `decided` */
	bool is_void;	/* there is no packet, only the place to be given back */
	bool by_deadline;
	struct vd_packet own;
};

/* A flow whose packets wait. Its shard's holder makes it, adds to it, and frees it when it is closed; who closes it is the thread. */
struct vd_held_flow {
	struct vd_held_flow *next; /* of the table, later of the thread */
	struct vd_held_flow *next_closing;
	struct vd_lane *lane;
	uint32_t hash;
	bool by_deadline;
	struct vd_decision decision;
	_Atomic uintptr_t waiting; /* a list of struct vd_held by next_arrived, the last one first; VD_FLOW_* */
};

#define VD_FLOW_BUSY ((uintptr_t)1) /* a bit: a worker is about to add one */
#define VD_FLOW_CLOSED ((uintptr_t)2)

/* By lane and shard; whoever holds the shard has it. */
struct vd_held_flows {
	struct vd_held_flow **buckets;
	uint32_t size; /* a power of two, or 0 */
	uint32_t count;
};

/* The packets of one burst that were held, while a worker decides it. */
struct vd_holding {
	struct vd_holder *holder;
	struct vd_lane *lane;
	struct vd_lane_tally *tally;
	unsigned count;
	unsigned flows; /* of them have one, and are held for good */
	struct vd_holding_place {
		struct vd_packet *packet;
		struct vd_held *held;	   /* NULL: it is behind another one of this burst: */
		bool is_behind;
		unsigned head;		   /* that one's place */
		bool has_flow;		   /* its flow waits from here on */
		bool is_copied;
	} places[VD_BURST_MAX];
};

struct vd_holder {
	struct vd_engine *engine;
	_Atomic uint32_t limit;
	_Atomic uint32_t used; /* places */
	_Atomic uint32_t fresh; /* places below were used before */
	_Atomic uint64_t free; /* pops << 32 | index of the first free place + 1 */
	_Atomic uint64_t number; /* of the last ticket; a random one at first, so that those of another engine are none here */
	struct vd_held *_Atomic chunks[VD_HELD_CHUNKS];

	_Alignas(VD_CACHE_LINE) struct vd_held *_Atomic arrived;
	struct vd_held *_Atomic decided;
	_Atomic uint32_t asleep;
	_Atomic uint64_t wakes_at_ns;
	struct vd_lane *_Atomic emptied; /* all that is held of this lane has to go */
	_Atomic bool is_ending;

	_Atomic bool has_thread;
	pthread_t thread;
	struct vd_sender sender;

	/* the thread's own */
	uint32_t *heap; /* indices of places by their deadlines, from 1 on */
	uint32_t heap_count;
	struct vd_held_flow *closing;
	struct vd_held *batch[VD_BURST_MAX]; /* of one lane, to be sent */
	unsigned batch_count;
};

/* ---- held.c ---- */

/* NULL: out of memory. Without a thread nothing can be held for long: vd_holder_start(). */
struct vd_holder *vd_holder_create(struct vd_engine *engine);
void vd_holder_destroy(struct vd_holder *holder);

/* As in the engine's options. What is held already stays. */
void vd_holder_limit(struct vd_holder *holder, uint32_t held_max);

/* A place, counted; NULL: there are too many, or no memory. And back. */
struct vd_held *vd_held_take(struct vd_holder *holder);
void vd_held_give_back(struct vd_holder *holder, struct vd_held *held);

struct vd_held *vd_held_at(struct vd_holder *holder, uint32_t index);

/* There will be no packet: its function, or its worker, has decided. */
void vd_held_forget(struct vd_holder *holder, struct vd_held *held);

/* From OPEN to another state; false: somebody else was first. */
bool vd_held_close(struct vd_held *held, enum vd_held_state state);

/* What comes before it was sent. */
void vd_held_arrive(struct vd_holder *holder, struct vd_held *held);
void vd_holder_wake(struct vd_holder *holder);

/* ---- held_burst.c: while a worker decides a burst ---- */

/*
 * Those of the packets whose flow does not wait, into `left`; the others wait from here on. Only if vd_lane_has_flows(). The lane's
 * or the packets' shards are the caller's, as for all that follows. Returns how many.
 */
unsigned vd_held_take_behind(struct vd_worker *worker, struct vd_lane *lane, struct vd_packet *const *packets, unsigned count,
			     struct vd_packet **left);

static inline void vd_holding_begin(struct vd_holding *holding, struct vd_lane *lane, struct vd_lane_tally *tally)
{
	holding->lane = lane;
	holding->tally = tally;
	holding->count = holding->flows = 0;
}

/* The place of this packet, if it was held in this burst. */
struct vd_holding_place *vd_holding_find(struct vd_holding *holding, const struct vd_packet *packet);

/* Whether vd_packet_hold() has done what VD_HELD says. */
static inline bool vd_holding_has(struct vd_holding *holding, const struct vd_packet *packet)
{
	const struct vd_holding_place *place = vd_holding_find(holding, packet);

	return place && (place->held || place->is_behind);
}

/* What a function that may hold has said of a packet; and, before it is asked, whether the packet waits behind one of this burst. */
enum vd_verdict vd_holding_hear(struct vd_holding *holding, struct vd_packet *packet, enum vd_verdict verdict);
bool vd_holding_is_behind(struct vd_holding *holding, struct vd_packet *packet);

/* All functions have seen the burst, and edits are complete. Only if something was held in it. */
void vd_held_settle(struct vd_worker *worker, struct vd_lane *lane, struct vd_packet *const *packets, unsigned count);

/* Of a burst that is about to be sent, what is not held, into `left`; returns how many. When they were sent, the others have arrived. */
unsigned vd_held_leave_out(struct vd_packet *const *packets, unsigned count, struct vd_packet **left);
void vd_held_have_arrived(struct vd_holder *holder, struct vd_packet *const *packets, unsigned count);

/* ---- held_flows.c ---- */

/* A flow that nobody has in a table yet. NULL: out of memory. */
struct vd_held_flow *vd_held_flow_create(struct vd_held_flows *flows, struct vd_lane *lane, uint32_t hash);
void vd_held_flows_add(struct vd_held_flows *flows, struct vd_held_flow *flow);

/* The flow with this hash; NULL: none waits. It is busy then, until something is added, or not. */
struct vd_held_flow *vd_held_flows_enter(struct vd_held_flows *flows, uint32_t hash);
void vd_held_flow_add(struct vd_held_flow *flow, struct vd_held *held);
void vd_held_flow_leave(struct vd_held_flow *flow);
void vd_held_flows_fini(struct vd_held_flows *flows);

/* The thread's: what waits, the first one first, by next_arrived; and whether it could be closed: nothing waits, nobody adds. */
struct vd_held *vd_held_flow_take(struct vd_held_flow *flow);
bool vd_held_flow_close(struct vd_held_flow *flow);

/* ---- held_thread.c ---- */

/* Before the first packet that may be held. 0 or -errno; it runs already: 0. Signals are not its business. */
int vd_holder_start(struct vd_holder *holder);

/* When workers and writers have ended: all that is held gets its deadline's verdict. Also if it was never started. */
void vd_holder_stop(struct vd_holder *holder);

/* The same for a lane that nobody reads, and of which nothing is in flight. Not for threads of the engine. */
void vd_holder_empty(struct vd_holder *holder, struct vd_lane *lane);

#endif
