/* SPDX-License-Identifier: MIT */
/*
 * A tap: what it asks for, and its rings, one for each worker. The workers' half fills them, with nothing but arithmetic, a copy
 * and the clock; the reader's half merges them.
 *
 * Order. A flow's packets can come to different workers, one burst after the other, and each has the time at which its
 * burst was shown. So the reader takes the oldest of all rings, but only up to the moment at which it began to look: what is
 * older than that, and was shown before something else of its flow, has been published by then, and is seen.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "engine/chain.h"
#include "engine/clock.h"
#include "engine/error.h"
#include "engine/latency.h"
#include "engine/slots.h"
#include "engine/state.h"
#include "engine/tally.h"
#include "engine/tap_ring.h"
#include "lib/packet/packet.h"

#define RING_MIN (256u << 10)

struct vd_engine_tap {
	struct vd_engine_tap *_Atomic next;
	struct vd_taps *taps;
	struct vd_engine_tap_options options;
	char *function;
	unsigned ring_count;
	struct tap_ring *rings; /* by worker */
	uint8_t *area;
	size_t area_size;

	/* the reader's */
	bool is_stopped;
	bool is_looking;
	uint64_t until_ns;   /* what was shown later has to wait for the next look */
	uint64_t to_real_ns; /* from the monotonic clock to the time of day */
	uint64_t read;
};

/* ---- the workers' half ---- */

static uint32_t what_is(const struct vd_packet *packet)
{
	uint32_t what = vd_slot_of(packet)->decided & (VD_DECIDED_FAULT | VD_DECIDED_REFUSED) ? VD_TAP_FAULTED : 0;

	if (packet->verdict == VD_HELD)
		return VD_TAP_HELD;
	if (!vd_packet_is_dropped(packet))
		return what | VD_TAP_ACCEPTED;
	return what | (packet->verdict == VD_DROP ? VD_TAP_DROPPED : VD_TAP_REJECTED);
}

static const char *function_of(const struct vd_chain *chain, const struct vd_packet *packet)
{
	uint32_t by = vd_slot_of(packet)->decided & VD_DECIDED_BY;

	return by ? chain->links[by - 1].names->name : NULL;
}

static bool matches(const struct vd_engine_tap *tap, const struct vd_chain *chain, const struct vd_packet *packet)
{
	const char *function;

	if (!(tap->options.what & what_is(packet)) || (tap->options.queue >= 0 && tap->options.queue != packet->queue))
		return false;
	if (!tap->function)
		return true;
	function = function_of(chain, packet);
	return function && !strcmp(function, tap->function);
}

/* One in `sample`, but never at the same distance: who looks at every second packet sees questions and no answers. */
static bool is_drawn(struct tap_ring *ring, uint32_t sample)
{
	if (sample <= 1)
		return true;
	if (ring->skip) {
		ring->skip--;
		return false;
	}
	ring->skip = vd_latency_draw(&ring->dice, 2 * sample - 1);
	return true;
}

static void fill(struct tap_record *record, const struct vd_chain *chain, struct vd_packet *packet, uint32_t length, uint64_t now_ns)
{
	struct vd_engine_tap_packet *shown = &record->packet;
	uint32_t decided = vd_slot_of(packet)->decided, address_length = 0;
	const uint8_t *address = vd_packet_hardware_address(packet, &address_length);
	bool is_bridged = packet->has_bridge_ports;

	*shown = (struct vd_engine_tap_packet){
		.length = length,
		.wire_length = packet->wire_length > packet->length ? packet->wire_length : packet->length,
		.time_ns = now_ns,
		.function = function_of(chain, packet),
		.verdict = packet->verdict,
		.is_fault = decided & VD_DECIDED_FAULT,
		.is_edit_refused = decided & VD_DECIDED_REFUSED,
		.is_taken_back = decided & VD_DECIDED_TAKEN_BACK,
		.is_edited = packet->changed & VD_CHANGED_DATA,
		.is_marked = packet->changed & VD_CHANGED_MARK,
		.mark = packet->mark,
		.id = packet->id,
		.indev = is_bridged && vd_packet_physindev(packet) ? vd_packet_physindev(packet) : packet->indev,
		.outdev = is_bridged && vd_packet_physoutdev(packet) ? vd_packet_physoutdev(packet) : packet->outdev,
		.queue = packet->queue,
		.requeue = packet->requeue,
		.ethertype = packet->ethertype,
		.hook = packet->hook,
	};
	if (address && address_length <= sizeof shown->hardware_address) {
		shown->hardware_address_length = (uint8_t)address_length;
		memcpy(shown->hardware_address, address, address_length);
	}
	memcpy(record + 1, vd_packet_data(packet), length);
}

static void show(struct vd_engine_tap *tap, struct tap_ring *ring, const struct vd_chain *chain, struct vd_packet *const *packets,
		 unsigned count, uint64_t now_ns)
{
	uint32_t snap = tap->options.snap ? tap->options.snap : UINT32_MAX;
	unsigned matched = 0, sampled = 0, missed = 0;

	for (unsigned i = 0; i < count; i++) {
		struct vd_packet *packet = packets[i];
		struct tap_record *record;
		uint32_t length;

		if (!matches(tap, chain, packet))
			continue;
		matched++;
		if (!is_drawn(ring, tap->options.sample))
			continue;
		sampled++;
		vd_packet_complete(packet); /* one that was edited and dropped still lacks its checksums */
		length = packet->length < snap ? packet->length : snap;
		record = tap_ring_make(ring, length);
		if (record)
			fill(record, chain, packet, length, now_ns);
		else
			missed++;
	}
	tap_ring_publish(ring);
	vd_tally_add(&ring->stats.decided, count);
	vd_tally_add(&ring->stats.matched, matched);
	vd_tally_add(&ring->stats.sampled, sampled);
	vd_tally_add(&ring->stats.missed, missed);
}

void vd_taps_show_burst(struct vd_taps *taps, unsigned worker, const struct vd_chain *chain, struct vd_packet *const *packets,
			unsigned count)
{
	_Atomic bool *is_showing = &taps->flags[worker].is_showing;
	struct vd_engine_tap *tap;
	uint64_t now_ns;

	/* T1: sequentially consistent, before T2, see tap.h */
	atomic_store_explicit(is_showing, true, memory_order_seq_cst);
	now_ns = vd_clock_ns();
	/* T2: sequentially consistent; also an acquire, which pairs with the stores in vd_engine_tap_open() and take_out() */
	for (tap = atomic_load_explicit(&taps->first, memory_order_seq_cst); tap;
	     tap = atomic_load_explicit(&tap->next, memory_order_seq_cst))
		show(tap, &tap->rings[worker], chain, packets, count, now_ns);
	/* release, pairs with T4: what was written comes before */
	atomic_store_explicit(is_showing, false, memory_order_release);
}

/* ---- the reader's half ---- */

static void look(struct vd_engine_tap *tap)
{
	struct timespec real;

	tap->until_ns = vd_clock_ns();
	clock_gettime(CLOCK_REALTIME, &real);
	tap->to_real_ns = (uint64_t)real.tv_sec * 1000000000u + (uint64_t)real.tv_nsec - tap->until_ns;
	if (tap->is_stopped)
		tap->until_ns = UINT64_MAX;
	for (unsigned i = 0; i < tap->ring_count; i++)
		tap_ring_refresh(&tap->rings[i]);
	tap->is_looking = true;
}

const struct vd_engine_tap_packet *vd_engine_tap_read(struct vd_engine_tap *tap)
{
	struct tap_ring *from = NULL;
	struct tap_record *oldest = NULL;

	if (!tap->is_looking)
		look(tap);
	for (unsigned i = 0; i < tap->ring_count; i++) {
		struct tap_record *record;

		tap_ring_give_back(&tap->rings[i]); /* the one that was returned last is in one of them */
		record = tap_ring_look(&tap->rings[i]);
		if (record && record->packet.time_ns <= tap->until_ns && (!oldest || record->packet.time_ns < oldest->packet.time_ns)) {
			from = &tap->rings[i];
			oldest = record;
		}
	}
	if (!oldest) {
		tap->is_looking = false;
		return NULL;
	}
	tap_ring_pass(from, oldest);
	tap->read++;
	oldest->packet.data = (const uint8_t *)(oldest + 1);
	oldest->packet.time_ns += tap->to_real_ns;
	return &oldest->packet;
}

void vd_engine_tap_stats(const struct vd_engine_tap *tap, struct vd_engine_tap_stats *stats)
{
	*stats = (struct vd_engine_tap_stats){.read = tap->read};
	for (unsigned i = 0; i < tap->ring_count; i++) {
		const struct vd_engine_tap_stats *ring = &tap->rings[i].stats;

		stats->decided += vd_tally_read(&ring->decided);
		stats->matched += vd_tally_read(&ring->matched);
		stats->sampled += vd_tally_read(&ring->sampled);
		stats->missed += vd_tally_read(&ring->missed);
	}
}

/* ---- begin and end ---- */

static int check_options(const struct vd_engine_tap_options *options, struct vd_error *error)
{
	if (options->what & ~VD_TAP_ALL)
		return vd_error_set(error, -EINVAL, "a tap: there are no such packets: 0x%x", options->what);
	if (options->queue < -1 || options->queue > 65535)
		return vd_error_set(error, -EINVAL, "a tap: there is no queue %d", options->queue);
	if (options->sample > VD_ENGINE_TAP_SAMPLE_MAX)
		return vd_error_set(error, -EINVAL, "a tap: one packet in %u is less than one in %u", options->sample,
				    VD_ENGINE_TAP_SAMPLE_MAX);
	if (options->room > VD_ENGINE_TAP_ROOM_MAX)
		return vd_error_set(error, -EINVAL, "a tap: room for %u bytes is more than %u", options->room, VD_ENGINE_TAP_ROOM_MAX);
	return 0;
}

/* Touched here: a worker would stand still at each new page. */
static int make_rings(struct vd_engine_tap *tap, unsigned count)
{
	size_t room = (tap->options.room ? tap->options.room : VD_ENGINE_TAP_ROOM_DEFAULT) / count, size = RING_MIN;

	while (size * 2 <= room)
		size *= 2;
	tap->rings = aligned_alloc(VD_CACHE_LINE, count * sizeof *tap->rings);
	tap->area = mmap(NULL, size * count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (tap->area == MAP_FAILED)
		tap->area = NULL;
	if (!tap->rings || !tap->area)
		return -ENOMEM;
	tap->area_size = size * count;
	memset(tap->rings, 0, count * sizeof *tap->rings);
	for (unsigned i = 0; i < count; i++) {
		tap->rings[i].bytes = tap->area + i * size;
		tap->rings[i].size = size;
		tap->rings[i].dice = vd_clock_ns() + i;
		if (tap->options.sample > 1)
			tap->rings[i].skip = vd_latency_draw(&tap->rings[i].dice, tap->options.sample);
	}
	tap->ring_count = count;
	return 0;
}

static void destroy(struct vd_engine_tap *tap)
{
	if (tap->area)
		munmap(tap->area, tap->area_size);
	free(tap->rings);
	free(tap->function);
	free(tap);
}

int vd_engine_tap_open(struct vd_engine *engine, struct vd_engine_tap **tap, const struct vd_engine_tap_options *options,
		       struct vd_error *error)
{
	struct vd_taps *taps = &engine->taps;
	struct vd_engine_tap *made;
	int result = check_options(options, error);

	*tap = NULL;
	if (result)
		return result;
	made = calloc(1, sizeof *made);
	if (!made)
		return vd_error_set(error, -ENOMEM, "out of memory");
	made->taps = taps;
	made->options = *options;
	made->options.function = NULL; /* the caller's */
	if (!options->what)
		made->options.what = VD_TAP_ALL;
	if ((options->function && !(made->function = strdup(options->function))) || make_rings(made, engine->worker_count)) {
		destroy(made);
		return vd_error_set(error, -ENOMEM, "out of memory");
	}
	pthread_mutex_lock(&taps->changing);
	if (taps->count < VD_ENGINE_TAPS_MAX) {
		taps->count++;
		/* relaxed: published with the store behind it */
		atomic_store_explicit(&made->next, atomic_load_explicit(&taps->first, memory_order_relaxed), memory_order_relaxed);
		/* release at least, pairs with T2: all of the tap comes before */
		atomic_store_explicit(&taps->first, made, memory_order_seq_cst);
		*tap = made;
	}
	pthread_mutex_unlock(&taps->changing);
	if (*tap)
		return 0;
	destroy(made);
	return vd_error_set(error, -EBUSY, "packets are shown to %u already, which is the limit", VD_ENGINE_TAPS_MAX);
}

static void take_out(struct vd_taps *taps, struct vd_engine_tap *tap)
{
	struct vd_engine_tap *_Atomic *link = &taps->first;
	struct vd_engine_tap *other;

	pthread_mutex_lock(&taps->changing);
	/* relaxed: links change with the lock only */
	while ((other = atomic_load_explicit(link, memory_order_relaxed)) != tap)
		link = &other->next;
	/* T3: sequentially consistent, before T4 */
	atomic_store_explicit(link, atomic_load_explicit(&tap->next, memory_order_relaxed), memory_order_seq_cst);
	taps->count--;
	pthread_mutex_unlock(&taps->changing);
}

void vd_engine_tap_stop(struct vd_engine_tap *tap)
{
	if (tap->is_stopped)
		return;
	take_out(tap->taps, tap);
	for (unsigned i = 0; i < tap->ring_count; i++)
		/* T4: sequentially consistent; also an acquire, which pairs with the lowering of the flag */
		while (atomic_load_explicit(&tap->taps->flags[i].is_showing, memory_order_seq_cst))
			nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
	tap->is_stopped = true;
	tap->is_looking = false;
}

void vd_engine_tap_close(struct vd_engine_tap *tap)
{
	if (!tap)
		return;
	vd_engine_tap_stop(tap);
	destroy(tap);
}
