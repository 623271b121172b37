/* SPDX-License-Identifier: MIT */
/*
 * The simulated queue at work: packets arrive, overflow, are flushed, handed up and settled, as in nfnetlink_queue.
 *
 *	arrives:  queue full	   -> lost, no id (or passes undecided, with fail_open)
 *		  socket full	   -> lost, its id is consumed
 *		  else		   -> waits in the queue; a message about it in the socket
 *	flush:	  what waits is gone; messages in the socket stay, and a verdict on one of them is refused
 *	verdict:  settles it, unless it was flushed or the dice refuse it
 *
 * Time passes when receive() is called: something arrives before it. In the sleepy kind something arrives when the timer
 * expires.
 */
#include "engine/port_sim_private.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* ---- arriving ---- */

static void arrive_one(struct sim *sim)
{
	struct sim_entry *entry;

	sim->came++;
	if (sim->waiting >= sim->settings.maxlen) {
		if (sim->settings.fail_open) {
			sim->report.passed++;
			return;
		}
		sim->report.offered++;
		sim->report.queue_dropped++;
		return;
	}
	sim->report.offered++;
	entry = &sim->entries[sim->id_count++];
	sim_traffic_draw(sim, entry);
	if (sim->options.socket_packets && sim->in_socket >= sim->options.socket_packets) {
		sim->report.socket_dropped++;
		sim->report.socket_passed += sim->settings.fail_open;
		return;
	}
	entry->state = SIM_IN_SOCKET;
	sim->in_socket++;
	sim->waiting++;
}

static void flush(struct sim *sim)
{
	sim->report.flushes++;
	sim->flushed_until = sim->id_count;
	sim->waiting = 0;
}

static void pass_time(struct sim *sim)
{
	uint64_t burst;

	if (sim_dice(sim, sim->options.flush_permille, 1000))
		flush(sim);
	if (sim_dice(sim, sim->options.idle_percent, 100))
		return;
	burst = 1 + vd_sim_random(&sim->random) % sim->options.arrive_max;
	while (burst-- && sim->came < sim->options.packets)
		arrive_one(sim);
}

/* ---- sleeping ---- */

void sim_set_timer(struct sim *sim, uint64_t delay_ns)
{
	struct itimerspec when = {.it_value = {.tv_sec = (time_t)(delay_ns / 1000000000),
					       .tv_nsec = (long)(delay_ns % 1000000000)}};

	timerfd_settime(sim->timer, 0, &when, NULL);
}

static bool has_timer_expired(struct sim *sim)
{
	uint64_t expirations;

	return read(sim->timer, &expirations, sizeof expirations) > 0;
}

/* Whether there is something to receive; sleeps for it when told to. */
static bool sleep_until_arrival(struct sim *sim, bool wait)
{
	struct pollfd timer = {.fd = sim->timer, .events = POLLIN};

	if (has_timer_expired(sim))
		return true;
	/* sequentially consistent, like the store in sim_wake(): it either is seen here, or sets the timer after this */
	if (!wait || atomic_exchange(&sim->is_woken, false))
		return false;
	poll(&timer, 1, -1);
	if (atomic_exchange(&sim->is_woken, false))
		return false;
	return has_timer_expired(sim);
}

/* When to look again: at once if something is there already. */
static void set_next_arrival(struct sim *sim)
{
	bool all_came = sim->came == sim->options.packets;

	if (sim->in_socket || (all_came && !sim->options.silent_at_end))
		sim_set_timer(sim, 1);
	else if (all_came)
		sim_set_timer(sim, 0); /* never */
	else if (sim_dice(sim, 1, 2))
		sim_set_timer(sim, 1);
	else
		sim_set_timer(sim, (1 + vd_sim_random(&sim->random) % sim->options.sleep_us_max) * 1000);
	if (atomic_load(&sim->is_woken)) /* whoever polls the descriptor instead shall notice too */
		sim_set_timer(sim, 1);
}

void sim_wake(struct vd_port *port)
{
	struct sim *sim = sim_of(port);

	if (sim->timer < 0)
		return;
	atomic_store(&sim->is_woken, true);
	sim_set_timer(sim, 1);
}

/* ---- receiving ---- */

static void hand_up(struct sim *sim, struct vd_packet *packet)
{
	struct sim_entry *entry;

	while (sim->entries[sim->next_up].state != SIM_IN_SOCKET)
		sim->next_up++;
	entry = &sim->entries[sim->next_up];
	sim_traffic_write(sim, sim->next_up, packet);
	entry->checksum = sim_checksum(vd_packet_data(packet), entry->copied);
	entry->state = SIM_HANDED_UP;
	sim->in_socket--;
	sim->report.handed_up++;
	sim->report.bytes += entry->length;
	sim->next_up++;
}

static int receive_locked(struct sim *sim, struct vd_packet **packets, unsigned count, bool wait)
{
	if (count < 1 || count > VD_PORT_BURST_MAX)
		sim_violation(sim, "a receive of %u packets", count);
	if (!sim->is_open)
		sim_violation(sim, "a receive on a port that is not open");
	if (sim->options.receive_fails_at && sim->report.handed_up >= sim->options.receive_fails_at) {
		snprintf(sim->port.failure, sizeof sim->port.failure, "the simulated queue %u stops working", sim->port.queue);
		sim->report.has_receive_failed = true;
		return -EIO;
	}
	pass_time(sim);
	/* who waits gets a packet, unless the queue is full of those that were handed up: then it is the client's turn */
	if (wait && !sim->in_socket && sim->waiting < sim->settings.maxlen && sim->came < sim->options.packets)
		arrive_one(sim);
	if (!sim->in_socket)
		return sim->came == sim->options.packets && !sim->options.silent_at_end ? VD_PORT_ENDED : 0;
	if (count > sim->in_socket)
		count = sim->in_socket;
	if (sim_dice(sim, sim->options.short_percent, 100))
		count = 1 + (unsigned)(vd_sim_random(&sim->random) % count);
	for (unsigned i = 0; i < count; i++)
		hand_up(sim, packets[i]);
	return (int)count;
}

int sim_receive(struct vd_port *port, struct vd_packet **packets, unsigned count, bool wait)
{
	struct sim *sim = sim_of(port);
	/* relaxed, as is the end: a flag that ordered anything would hide a role that was handed over without order */
	bool is_second = atomic_exchange_explicit(&sim->is_receiving, true, memory_order_relaxed);
	int result = 0;

	sim->reader_touched++;
	if (is_second) {
		pthread_mutex_lock(&sim->lock);
		sim_violation(sim, "two threads receive at once");
		pthread_mutex_unlock(&sim->lock);
	}
	if (sim->timer < 0 || sleep_until_arrival(sim, wait)) {
		pthread_mutex_lock(&sim->lock);
		result = receive_locked(sim, packets, count, wait);
		if (sim->timer >= 0)
			set_next_arrival(sim);
		pthread_mutex_unlock(&sim->lock);
	}
	sim->reader_touched++;
	atomic_store_explicit(&sim->is_receiving, false, memory_order_relaxed);
	if (!result && sim->timer < 0)
		sched_yield(); /* the client may well be asking in a loop */
	return result;
}

/* ---- settling ---- */

/* By the packet, not by the order of calls: the same ones are refused whoever sends when. */
static bool is_refused(const struct sim *sim, uint32_t index)
{
	uint64_t state = sim->options.seed ^ (uint64_t)index << 20;

	return sim->options.refuse_permille && vd_sim_random(&state) % 1000 < sim->options.refuse_permille;
}

/* As from the kernel: to it a rejected packet is a dropped one, and so says its refusal. */
static void count_refused(struct sim *sim, unsigned verdict)
{
	sim->refused_verdicts[verdict == VD_REJECT ? VD_DROP : verdict]++;
}

static bool is_going(unsigned verdict)
{
	return verdict != VD_DROP && verdict != VD_REJECT;
}

static void settle(struct sim *sim, const struct vd_packet *packet)
{
	struct sim_entry *entry = sim_check_verdict(sim, packet);
	uint32_t index;
	unsigned verdict;

	if (!entry)
		return;
	index = (uint32_t)(entry - sim->entries);
	verdict = packet->verdict < VD_VERDICT_COUNT ? packet->verdict : VD_DROP;
	entry->state = SIM_ANSWERED;
	sim->report.answered++;
	if (index < sim->flushed_until) {
		sim->report.flushed++;
		sim->flushed_going += is_going(verdict);
		count_refused(sim, verdict);
		return;
	}
	sim->waiting--;
	if (is_refused(sim, index)) { /* and gone: somebody else has settled it */
		sim->report.refused++;
		sim->refused_going += is_going(verdict);
		count_refused(sim, verdict);
	} else {
		sim->report.verdicts[verdict]++;
	}
}

int sim_send(struct vd_port *port, struct vd_packet *const *packets, unsigned count, bool are_all, void *scratch)
{
	struct sim *sim = sim_of(port);
	int result = 0;

	/* outside the lock, and one by one: so the sanitizers see one that is too small, or somebody else's */
	for (unsigned i = 0; i < SIM_SCRATCH_SIZE; i++)
		((volatile uint8_t *)scratch)[i] = (uint8_t)count;
	pthread_mutex_lock(&sim->lock);
	if (count < 1 || count > VD_PORT_BURST_MAX)
		sim_violation(sim, "a send of %u verdicts", count);
	if (!sim->is_open)
		sim_violation(sim, "a send on a port that is not open");
	if (sim->options.send_fails_at && sim->report.answered >= sim->options.send_fails_at) {
		if (!sim->report.has_send_failed)
			snprintf(port->failure, sizeof port->failure, "the simulated queue %u takes no verdicts", port->queue);
		sim->report.has_send_failed = true;
		result = -EIO;
	}
	if (are_all)
		sim_check_all(sim, packets, count);
	for (unsigned i = 0; i < count && !result; i++)
		settle(sim, packets[i]);
	pthread_mutex_unlock(&sim->lock);
	return result;
}

int sim_hold(struct vd_port *port, struct vd_packet *packet, bool in_order, void *scratch)
{
	struct sim *sim = sim_of(port);
	uint32_t index = packet->id - sim->options.first_id;

	for (unsigned i = 0; i < SIM_SCRATCH_SIZE; i++)
		((volatile uint8_t *)scratch)[i] = (uint8_t)i;
	pthread_mutex_lock(&sim->lock);
	if (index >= sim->id_count || sim->entries[index].state != SIM_HANDED_UP || sim->entries[index].is_held) {
		sim_violation(sim, "id %u is held, and cannot be", packet->id);
	} else {
		sim->entries[index].is_held = true;
		sim->entries[index].is_passed = !in_order;
		if (in_order && sim->entries[index].flow != VD_SIM_NO_FLOW)
			sim->flows[sim->entries[index].flow].was_held = true;
	}
	pthread_mutex_unlock(&sim->lock);
	return 0;
}
