/* SPDX-License-Identifier: MIT */
/*
 * What the engine, the nursery and hosts share. Private to engine/host*.c.
 *
 * Two pieces of memory, made before the first fork. Mailboxes belong to a worker each, and hosts write to them: whoever reads there
 * believes nothing. The control page is the engine's and the nursery's; a host gives up its mapping before it runs any function.
 */
#ifndef VERDICT_ENGINE_HOST_PRIVATE_H
#define VERDICT_ENGINE_HOST_PRIVATE_H

#include <stdatomic.h>
#include <sys/types.h>

#include "engine/host.h"
#include "engine/slots.h"
#include "lib/nfq/nfq.h"

/* Room for the largest burst of the largest packets; touched as used. */
#define VD_MAILBOX_SLOT (VD_SLOT_ROOM + VD_NFQ_MESSAGE_ROOM + VD_NFQ_COPY_RANGE_MAX + VD_ROOM)
#define VD_MAILBOX_AREA ((size_t)VD_BURST_MAX * ((VD_MAILBOX_SLOT + VD_CACHE_LINE - 1) / VD_CACHE_LINE * VD_CACHE_LINE))

/*
 * Why no wake-up is lost: both sides change the word that the other one sleeps on before they wake it. A worker sleeps on `bell`,
 * which its host rings behind an answer, and the nursery behind a host's death, when nobody else writes there any more.
 *
 * A worker asks a host by number; the next host has the other word of `asked`, so that a spare one sleeps on what nobody writes to.
 * But for a worker that looked who serves, and then was held up until that one had died, and asks it only now: its word is the one of
 * the spare host. So the host's number is in the burst's name, and who finds another one's there leaves it alone.
 */
struct vd_mailbox {
	/* the worker writes */
	_Alignas(VD_CACHE_LINE) _Atomic uint32_t asked[2]; /* the burst's name, by the host's number modulo 2 */
	uint32_t count;
	uint32_t lane;
	uint32_t fault_verdict;
	int32_t cpu; /* that it runs on */
	uint32_t offsets[VD_BURST_MAX]; /* of each packet's slot in the area */

	/* the host writes */
	_Alignas(VD_CACHE_LINE) _Atomic uint32_t bell;
	_Atomic uint32_t answered; /* the burst's name */
	struct vd_standing standing;
	_Atomic uint32_t signal; /* what killed the host here; 0: nothing */

	/* behind this: a tally for each link, then the area */
};

/* A host that has died; said before another one serves. */
struct vd_host_death {
	uint32_t number;
	bool is_explained; /* it crashed in some worker's mailbox, or was ended since some worker asked for that */
	int status;	   /* of waitpid(2) */
};

#define VD_HOST_DEATHS 16 /* kept: a worker looks at the one that it has just found out about */

enum vd_host_absence {
	VD_HOST_COMES, /* at once, or nearly so */
	VD_HOST_PAUSES, /* functions have crashed too often: nobody waits for it */
};

/* The nursery writes, but for `decided`. */
struct vd_host_control {
	_Alignas(VD_CACHE_LINE) _Atomic uint32_t serving; /* number of the host that decides; 0: none */
	_Atomic uint32_t absence; /* enum vd_host_absence, while there is none */
	_Atomic uint64_t restarts;
	struct vd_host_death deaths[VD_HOST_DEATHS]; /* by number */

	/* how opening went: valid when the nursery has said that it is ready */
	int result;
	struct vd_error error;
	uint32_t bytes;
	uint32_t needs;
	bool may_reject[VD_ENGINE_FUNCTIONS_MAX];

	/* by worker: packets that hosts decided, for the nursery to know how long one did well */
	struct {
		_Alignas(VD_CACHE_LINE) uint64_t packets;
	} decided[];
};

/* From the engine to the nursery. That the engine has gone is the end of the stream. */
struct vd_host_order {
	enum { VD_HOST_KILL, VD_HOST_CLOSE } what;
	uint32_t number; /* of the host to be killed: it hangs */
};

/* What a worker knows of its own bursts; no other process has it. */
struct vd_host_worker {
	_Alignas(VD_CACHE_LINE) uint32_t burst; /* how many there were */
	_Atomic bool is_asking; /* a host has something of it */
	_Atomic int cpu; /* where it asked from the last time */
	uint64_t moved_ns; /* when it went to another CPU */
};

struct vd_host {
	struct vd_chain *chain;
	unsigned workers;
	uint64_t deadline_ns;
	struct vd_host_control *control;
	size_t control_size;
	uint8_t *mailboxes;
	size_t mailbox_size;
	uint32_t tally_offsets[VD_ENGINE_FUNCTIONS_MAX]; /* in a mailbox */
	uint32_t area_offset;
	struct vd_host_worker *own; /* by worker */
	int socket; /* to the nursery, or, there, to the engine */
	pid_t nursery;
	_Atomic bool is_lost; /* the nursery has died */
	_Atomic uint32_t trial; /* the worker, from 1, that asks alone: host_decide.c; 0: none */

	int (*confine)(void *argument, enum vd_confined who, struct vd_error *error);
	void *confine_argument;
	int kept; /* a descriptor; 0: none */
	const unsigned *cpus; /* as the engine's threads; NULL: not pinned */
	unsigned cpu_count;
};

/* Of a worker's nth burst, for that host. As long as it is with a host, no other burst is called the same. */
static inline uint32_t vd_burst_name(uint32_t host, uint32_t nth)
{
	return host << 24 | (nth & 0xffffff);
}

static inline bool vd_burst_is_for(uint32_t name, uint32_t host)
{
	return name >> 24 == (host & 0xff);
}

static inline struct vd_mailbox *vd_host_mailbox(const struct vd_host *host, unsigned worker)
{
	return (struct vd_mailbox *)(void *)(host->mailboxes + worker * host->mailbox_size);
}

static inline struct vd_link_tally *vd_mailbox_tally(const struct vd_host *host, struct vd_mailbox *mailbox, unsigned link)
{
	return (struct vd_link_tally *)(void *)((uint8_t *)mailbox + host->tally_offsets[link]);
}

static inline uint8_t *vd_mailbox_area(const struct vd_host *host, struct vd_mailbox *mailbox)
{
	return (uint8_t *)mailbox + host->area_offset;
}

/* host_apart.c: which CPU the calling worker asks from, after it has gone to another one if need be. */
int vd_host_keep_apart(struct vd_host *host, unsigned worker);

/* ---- futexes between processes ---- */

/* Returns when the word is not `value` (any more), when woken, after the time, and for no reason. */
void vd_host_sleep(_Atomic uint32_t *word, uint32_t value, uint64_t timeout_ns);
void vd_host_wake(_Atomic uint32_t *word);

/* For a worker that may sleep on it: something has happened. */
static inline void vd_mailbox_ring(struct vd_mailbox *mailbox)
{
	/* release: pairs with the acquire of the worker's next look at the bell */
	atomic_fetch_add_explicit(&mailbox->bell, 1, memory_order_release);
	vd_host_wake(&mailbox->bell);
}

/* ---- host_pack.c ---- */

/* Copies as many packets as have room, at least one, and notes which; how many. */
unsigned vd_host_pack(const struct vd_host *host, struct vd_mailbox *mailbox, struct vd_packet *const *packets, unsigned count);

/*
 * Takes the answer for these packets over into them, and into the chain's tallies and `outcome`. False: it is none, and nothing has
 * been taken.
 */
bool vd_host_unpack(const struct vd_host *host, struct vd_mailbox *mailbox, unsigned worker, enum vd_verdict fault_verdict,
		    struct vd_packet *const *packets, unsigned count, struct vd_outcome *outcome);

/* ---- host_nursery.c, host_process.c: never return ---- */

_Noreturn void vd_host_nursery(struct vd_host *host, int (*open)(void *argument, struct vd_error *error), void *argument);

/* `ready` is written to when its threads are there, `orders` is read from. */
_Noreturn void vd_host_process(struct vd_host *host, uint32_t number, pid_t nursery, int ready, int orders);

#endif
