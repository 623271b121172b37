/* SPDX-License-Identifier: MIT */
/*
 * A burst, from the worker's side: asked of the host that serves, and asked again of the next one when that dies.
 *
 * Who is guilty of a death:
 *	- it crashed:	the signal's handler has said so in the mailbox of the thread that it came to; the packet is where that stands
 *	- it hangs:	the worker that waited for the deadline; the packet where its thread stands
 *	- neither, but some other worker's packet: nobody here, and the burst is decided anew
 *	- nobody says anything (it was killed, or called exit()): forgiven once for a burst, which is then decided anew while no other
 *	  worker asks for anything (a trial); if that happens again, it is the packet where the thread stands
 * Where a function is given several packets at once, all that is known is that it was one of them: the burst is then decided
 * packet by packet, and it shows.
 */
#include <arpa/inet.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "engine/clock.h"
#include "engine/host_private.h"
#include "engine/state.h"

/* When nobody says anything, and the thread does not even stand at a packet: not the packet's fault, but there has to be an end. */
#define STRIKES_MAX 4

/* How long the nursery may take for what it is asked. */
#define NURSERY_NS 10000000000ull

/* How long a worker sleeps at most before it looks whether there is a host now. */
#define LOOK_NS 100000000u

/* Between two looks whether others still ask. */
#define ASKING_NS 50000

enum fate { ANSWERED, DIED, LOST };

/* A burst, and what has become of it so far. */
struct burst {
	struct vd_worker *worker;
	struct vd_lane *lane;
	struct vd_host *host;
	struct vd_mailbox *mailbox;
	enum vd_verdict fault_verdict;
	struct vd_outcome *outcome;
	struct vd_packet *undecided[VD_BURST_MAX];
	unsigned left;
	unsigned asked; /* of them: with the host */
	uint32_t number; /* of the host that was asked */
	bool is_late;
	bool is_alone; /* it is on trial */
	bool one_by_one;
	unsigned strikes;
};

/* ---- hosts ---- */

static void lose(struct burst *burst)
{
	if (!atomic_exchange_explicit(&burst->host->is_lost, true, memory_order_relaxed))
		vd_engine_fail(burst->worker->engine, -EPIPE, "the process that verdict functions were opened in has died, and no other "
			       "one can be made: start it again");
}

static bool is_lost(const struct burst *burst)
{
	return atomic_load_explicit(&burst->host->is_lost, memory_order_relaxed); /* nothing hangs on it */
}

static bool tell_nursery(struct burst *burst, uint32_t number)
{
	struct vd_host_order order = {.what = VD_HOST_KILL, .number = number};

	return send(burst->host->socket, &order, sizeof order, MSG_NOSIGNAL) == (ssize_t)sizeof order;
}

/* Number of the host that serves, which may be about to; 0: there is none, and it is not worth waiting for. */
static uint32_t find_host(struct burst *burst)
{
	struct vd_host_control *control = burst->host->control;
	uint64_t until = 0;

	for (;;) {
		uint32_t key = atomic_load_explicit(&burst->mailbox->bell, memory_order_acquire);
		/* acquire, pairs with the release in the nursery: what it said of deaths, and of its absence */
		uint32_t number = atomic_load_explicit(&control->serving, memory_order_acquire);

		if (number || is_lost(burst) ||
		    atomic_load_explicit(&control->absence, memory_order_relaxed) == VD_HOST_PAUSES)
			return number;
		if (!until)
			until = vd_clock_ns() + NURSERY_NS;
		else if (vd_clock_ns() >= until || !tell_nursery(burst, 0))
			lose(burst);
		vd_host_sleep(&burst->mailbox->bell, key, LOOK_NS);
	}
}

/* ---- trials: one worker asks, and the others wait ----
 *
 * A worker says that it asks before it looks for a trial, and who begins one says so before it looks who asks; all four are sequentially
 * consistent, so one of the two sees the other.
 */

static struct vd_host_worker *own_of(const struct burst *burst)
{
	return &burst->host->own[burst->worker->index];
}

static uint32_t name_of(const struct burst *burst)
{
	return burst->worker->index + 1;
}

static void begin_trial(struct burst *burst)
{
	struct vd_host *host = burst->host;
	uint32_t other = 0;

	if (burst->is_alone)
		return;
	while (!atomic_compare_exchange_strong(&host->trial, &other, name_of(burst))) {
		vd_host_sleep(&host->trial, other, LOOK_NS);
		other = 0;
	}
	burst->is_alone = true;
	for (unsigned i = 0; i < host->workers; i++)
		while (i != burst->worker->index && atomic_load(&host->own[i].is_asking))
			nanosleep(&(struct timespec){.tv_nsec = ASKING_NS}, NULL); /* no longer than a deadline */
}

static void end_trial(struct burst *burst)
{
	atomic_store(&burst->host->trial, 0);
	vd_host_wake(&burst->host->trial);
}

static void begin_asking(struct burst *burst)
{
	uint32_t other;

	for (;;) {
		atomic_store(&own_of(burst)->is_asking, true);
		other = atomic_load(&burst->host->trial);
		if (!other || other == name_of(burst))
			return;
		atomic_store(&own_of(burst)->is_asking, false);
		vd_host_sleep(&burst->host->trial, other, LOOK_NS);
	}
}

static void end_asking(struct burst *burst)
{
	/* release, pairs with the load in begin_trial(): it has found out what became of its host */
	atomic_store_explicit(&own_of(burst)->is_asking, false, memory_order_release);
}

/* ---- asking ---- */

/* Until there is an answer, or there will be none. */
static enum fate wait_for_answer(struct burst *burst, uint32_t asked)
{
	struct vd_mailbox *mailbox = burst->mailbox;
	uint64_t deadline_ns = burst->host->deadline_ns, until = 0;
	uint64_t left_ns = deadline_ns;

	for (;;) {
		uint32_t key = atomic_load_explicit(&mailbox->bell, memory_order_acquire);

		/* acquire, pairs with the release in serve(): the answer */
		if (atomic_load_explicit(&mailbox->answered, memory_order_acquire) == asked)
			return ANSWERED;
		if (atomic_load_explicit(&burst->host->control->serving, memory_order_acquire) != burst->number)
			return DIED;
		if (until) {
			uint64_t now = vd_clock_ns();

			left_ns = until > now ? until - now : 0;
		} else {
			/* one look at the clock is saved: it begins here, if it has to be looked at again at all */
			until = vd_clock_ns() + deadline_ns;
		}
		if (!left_ns) {
			if (burst->is_late || !tell_nursery(burst, burst->number)) {
				lose(burst);
				return LOST;
			}
			burst->is_late = true;
			until = vd_clock_ns() + NURSERY_NS;
			left_ns = NURSERY_NS;
		}
		vd_host_sleep(&mailbox->bell, key, left_ns);
	}
}

static enum fate ask(struct burst *burst)
{
	struct vd_mailbox *mailbox = burst->mailbox;
	uint32_t asked = vd_burst_name(burst->number, ++own_of(burst)->burst);
	enum fate fate;

	burst->asked = vd_host_pack(burst->host, mailbox, burst->undecided, burst->one_by_one ? 1 : burst->left);
	burst->is_late = false;
	mailbox->lane = burst->lane->index;
	mailbox->fault_verdict = burst->fault_verdict;
	mailbox->cpu = vd_host_keep_apart(burst->host, burst->worker->index);
	mailbox->standing = (struct vd_standing){.link = VD_STANDING_NOWHERE};
	atomic_store_explicit(&mailbox->signal, 0, memory_order_relaxed);
	/* release, pairs with the acquire in the host's thread: the burst */
	atomic_store_explicit(&mailbox->asked[burst->number % 2], asked, memory_order_release);
	vd_host_wake(&mailbox->asked[burst->number % 2]);
	fate = wait_for_answer(burst, asked);
	end_asking(burst);
	return fate;
}

/* ---- what becomes of packets ---- */

static void remove_first(struct burst *burst, unsigned count)
{
	burst->left -= count;
	memmove(burst->undecided, burst->undecided + count, burst->left * sizeof *burst->undecided);
}

static void give_up_on(struct burst *burst)
{
	for (unsigned i = 0; i < burst->left; i++) {
		burst->undecided[i]->verdict = (uint8_t)burst->fault_verdict;
		burst->undecided[i]->changed = 0;
		vd_slot_of(burst->undecided[i])->decided = VD_DECIDED_FAULT;
	}
	burst->outcome->without_host += burst->left;
	burst->left = 0;
}

static void describe(const struct vd_packet *packet, char *text, size_t size)
{
	char source[INET6_ADDRSTRLEN] = "?", destination[INET6_ADDRSTRLEN] = "?";
	int family = packet->ip_version == 4 ? AF_INET : AF_INET6;
	const void *from = vd_packet_source(packet), *to = vd_packet_destination(packet);

	if (from && to) {
		inet_ntop(family, from, source, sizeof source);
		inet_ntop(family, to, destination, sizeof destination);
	}
	snprintf(text, size, "%s %s > %s, protocol %u, port %u, %u bytes", packet->ip_version ? "from" : "not of IP:", source, destination,
		 vd_packet_protocol(packet), vd_packet_destination_port(packet), packet->wire_length);
}

static void say(struct burst *burst, const struct vd_packet *packet, unsigned link, const char *reason)
{
	struct vd_engine *engine = burst->worker->engine;
	const char *name = burst->host->chain->links[link].names->name;
	char text[192];

	describe(packet, text, sizeof text);
	vd_engine_log(engine, "warning: function %s %s on a packet of queue %u %s: it was %s, and others are decided on by another process",
		      name, reason, packet->queue, text, burst->fault_verdict == VD_DROP ? "dropped" : "accepted");
	if (engine->options.culprit)
		engine->options.culprit(engine->options.culprit_argument, packet, name, reason);
}

static void convict(struct burst *burst, unsigned index, unsigned link, const char *reason)
{
	struct vd_packet *packet = burst->undecided[index];

	say(burst, packet, link, reason);
	packet->verdict = (uint8_t)burst->fault_verdict;
	packet->changed = 0;
	vd_slot_of(packet)->decided = (link + 1) | VD_DECIDED_FAULT;
	vd_chain_count_fault(burst->host->chain, burst->worker->index, link, burst->is_late);
	burst->outcome->faults++;
	burst->left--;
	memmove(burst->undecided + index, burst->undecided + index + 1, (burst->left - index) * sizeof *burst->undecided);
	burst->strikes = 0;
}

/* ---- deaths ---- */

/* Why it ended, as far as its status tells. */
static void say_how_it_ended(int status, char *text, size_t size)
{
	if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
		snprintf(text, size, "ended its process (%s)", strsignal(WTERMSIG(status)));
	else if (WIFSIGNALED(status))
		snprintf(text, size, "was with the process when that was killed (%s)", strsignal(WTERMSIG(status)));
	else
		snprintf(text, size, "ended its process (exit code %d)", WEXITSTATUS(status));
}

/* Its host has died with the burst. */
static void find_culprit(struct burst *burst)
{
	const struct vd_host_death *death = &burst->host->control->deaths[burst->number % VD_HOST_DEATHS];
	/* what a wild host may have written: once, and only if it can be */
	struct vd_standing standing = burst->mailbox->standing;
	uint32_t signal = atomic_load_explicit(&burst->mailbox->signal, memory_order_relaxed);
	bool is_known = death->number == burst->number;
	bool stands = standing.link < burst->host->chain->count;
	bool is_own = signal || burst->is_late, was_alone = burst->is_alone;
	char reason[128];

	if (!is_own && is_known && death->is_explained)
		return;
	if (!(is_own && stands)) {
		burst->strikes++;
		begin_trial(burst);
	}
	if (signal)
		snprintf(reason, sizeof reason, "crashed (%s)", strsignal(signal < NSIG ? (int)signal : SIGSEGV));
	else if (burst->is_late)
		snprintf(reason, sizeof reason, "gave no answer within %g s", (double)burst->host->deadline_ns / 1e9);
	else
		say_how_it_ended(is_known ? death->status : SIGKILL, reason, sizeof reason);
	if (!stands)
		standing.link = 0;
	if (stands && (is_own || burst->strikes >= 2)) {
		if (standing.packet < burst->asked)
			convict(burst, standing.packet, standing.link, reason);
		else if (burst->asked == 1)
			convict(burst, 0, standing.link, reason);
		else
			burst->one_by_one = true;
	} else if (is_own || burst->strikes >= STRIKES_MAX) { /* who did it here has also hidden where */
		if (burst->asked > 1) {
			burst->one_by_one = true;
			burst->strikes = 0;
		} else if (was_alone) {
			convict(burst, 0, standing.link, reason);
		}
	}
}

/* It has answered with what is no answer. That has to be the last one. */
static void refuse_answer(struct burst *burst)
{
	struct vd_mailbox *mailbox = burst->mailbox;
	uint64_t until = vd_clock_ns() + NURSERY_NS;

	tell_nursery(burst, burst->number);
	while (atomic_load_explicit(&burst->host->control->serving, memory_order_acquire) == burst->number && !is_lost(burst)) {
		uint32_t key = atomic_load_explicit(&mailbox->bell, memory_order_acquire);

		if (vd_clock_ns() >= until)
			lose(burst);
		else if (atomic_load_explicit(&burst->host->control->serving, memory_order_acquire) == burst->number)
			vd_host_sleep(&mailbox->bell, key, LOOK_NS);
	}
	burst->strikes++;
	begin_trial(burst);
	if (burst->strikes < 2)
		return;
	if (burst->asked == 1) {
		convict(burst, 0, 0, "or one behind it wrote over what is not its own");
	} else {
		burst->one_by_one = true;
		burst->strikes = 1;
	}
}

static void take_answer(struct burst *burst)
{
	if (!vd_host_unpack(burst->host, burst->mailbox, burst->worker->index, burst->fault_verdict, burst->undecided, burst->asked,
			    burst->outcome)) {
		refuse_answer(burst);
		return;
	}
	vd_tally_add(&burst->host->control->decided[burst->worker->index].packets, burst->asked);
	remove_first(burst, burst->asked);
	burst->strikes = 0;
}

void vd_host_decide(struct vd_worker *worker, struct vd_lane *lane, enum vd_verdict fault_verdict,
		    struct vd_packet *const *packets, unsigned count, struct vd_outcome *outcome)
{
	struct vd_host *host = worker->plan->chain->host;
	struct burst burst;

	burst.worker = worker;
	burst.lane = lane;
	burst.host = host;
	burst.mailbox = vd_host_mailbox(host, worker->index);
	burst.fault_verdict = fault_verdict;
	burst.outcome = outcome;
	burst.left = count;
	burst.one_by_one = false;
	burst.is_alone = false;
	burst.strikes = 0;
	memcpy(burst.undecided, packets, count * sizeof *packets);
	*outcome = (struct vd_outcome){0};
	vd_crowd_look_away(&worker->crowd_watch); /* it waits, and not for a CPU */

	while (burst.left) {
		burst.number = is_lost(&burst) ? 0 : find_host(&burst);
		if (!burst.number) {
			give_up_on(&burst);
			break;
		}
		begin_asking(&burst);
		if (atomic_load_explicit(&host->control->serving, memory_order_acquire) != burst.number) { /* it has died meanwhile */
			end_asking(&burst);
			continue;
		}
		switch (ask(&burst)) {
		case ANSWERED:
			take_answer(&burst);
			break;
		case DIED:
			find_culprit(&burst);
			break;
		case LOST:
			break;
		}
	}
	if (burst.is_alone)
		end_trial(&burst);
}
