/* SPDX-License-Identifier: MIT */
#include "share.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "engine/port.h"
#include "engine/port_sim.h"
#include "engine/slots.h"
#include "lib/ring/spsc.h"

#define BURST VD_PORT_BURST_MAX
#define RING 256u
#define SCRATCH_SIZE 64u
/* Of packets before a helper, so that it is never without: it may take a burst of the reader's own until more come. */
#define SUPPLY (2 * BURST)

struct helper {
	struct share *share;
	struct vd_ring_spsc *given, *done;
	pthread_t thread;
};

struct share {
	struct vd_port *port;
	void (*work)(uint32_t id);
	struct vd_slots slots;
	struct vd_packet *free[(SHARE_THREADS_MAX + 1) * RING];
	unsigned free_count;
	unsigned helper_count;
	struct helper helpers[SHARE_THREADS_MAX];
	_Alignas(VD_CACHE_LINE) _Atomic bool has_ended;
	_Atomic int result;
};

static void decide_and_send(struct share *share, struct vd_packet **packets, unsigned count)
{
	uint8_t scratch[SCRATCH_SIZE];
	int result;

	for (unsigned i = 0; i < count; i++) {
		share->work(packets[i]->id);
		packets[i]->verdict = VD_ACCEPT;
	}
	result = share->port->operations->send(share->port, packets, count, false, scratch);
	if (result)
		atomic_store(&share->result, result);
}

static void *help(void *argument)
{
	struct helper *helper = argument;
	struct share *share = helper->share;
	struct vd_packet *packets[BURST];
	uint32_t indices[BURST];

	for (;;) {
		/* looked at first: what was pushed before the end is popped behind it */
		bool is_last = atomic_load_explicit(&share->has_ended, memory_order_acquire);
		uint32_t count = vd_ring_spsc_pop_burst(helper->given, indices, BURST);

		if (!count && is_last)
			return NULL;
		if (!count)
			continue;
		for (uint32_t i = 0; i < count; i++) {
			packets[i] = vd_slots_packet(&share->slots, indices[i]);
			vd_slot_prefetch(packets[i]);
		}
		decide_and_send(share, packets, count);
		vd_ring_spsc_push_burst(helper->done, indices, count);
	}
}

static void take_back(struct share *share, struct helper *helper)
{
	uint32_t indices[BURST], count = vd_ring_spsc_pop_burst(helper->done, indices, BURST);

	for (uint32_t i = 0; i < count; i++)
		share->free[share->free_count++] = vd_slots_packet(&share->slots, indices[i]);
}

/* A burst into the slots that were freed last, which it leaves on top of the free ones. */
static int receive(struct share *share, struct vd_packet ***packets)
{
	*packets = share->free + share->free_count - BURST;
	return share->port->operations->receive(share->port, *packets, BURST, true);
}

static int supply(struct share *share, struct helper *helper)
{
	struct vd_packet **packets;
	uint32_t indices[BURST];
	int count = receive(share, &packets);

	for (int i = 0; i < count; i++)
		indices[i] = vd_slot_of(packets[i])->index;
	if (count > 0) {
		for (unsigned rest = BURST - (unsigned)count, i = 0; i < rest; i++)
			packets[i] = packets[i + (unsigned)count];
		share->free_count -= (unsigned)count;
		vd_ring_spsc_push_burst(helper->given, indices, (uint32_t)count);
	}
	return count;
}

static int read_all(struct share *share)
{
	struct vd_packet **packets;
	int count = 0;

	while (count >= 0) {
		for (unsigned i = 0; i < share->helper_count && count >= 0; i++) {
			take_back(share, &share->helpers[i]);
			if (vd_ring_spsc_count(share->helpers[i].given) < SUPPLY)
				count = supply(share, &share->helpers[i]);
		}
		if (count >= 0 && (count = receive(share, &packets)) > 0)
			decide_and_send(share, packets, (unsigned)count);
	}
	return count == VD_PORT_ENDED ? 0 : count;
}

static struct vd_ring_spsc *make_ring(void)
{
	struct vd_ring_spsc *ring = aligned_alloc(VD_CACHE_LINE, vd_ring_spsc_size(RING));

	if (ring)
		vd_ring_spsc_init(ring, RING);
	return ring;
}

/* All of them, or -errno: those that are there end when has_ended is set. */
static int start_helpers(struct share *share, unsigned count)
{
	for (; share->helper_count < count; share->helper_count++) {
		struct helper *helper = &share->helpers[share->helper_count];
		int result;

		helper->share = share;
		helper->given = make_ring();
		helper->done = make_ring();
		result = helper->given && helper->done ? pthread_create(&helper->thread, NULL, help, helper) : ENOMEM;
		if (result) {
			free(helper->given);
			free(helper->done);
			return -result;
		}
	}
	return 0;
}

static void end_helpers(struct share *share)
{
	/* release, pairs with the acquire in help(): the last packets are in the rings */
	atomic_store_explicit(&share->has_ended, true, memory_order_release);
	for (unsigned i = 0; i < share->helper_count; i++) {
		pthread_join(share->helpers[i].thread, NULL);
		free(share->helpers[i].given);
		free(share->helpers[i].done);
	}
}

int share_run(struct vd_port *port, unsigned threads, void (*work)(uint32_t id))
{
	struct vd_port_settings settings = {.maxlen = VD_ENGINE_MAXLEN_DEFAULT, .copy_range = VD_HEADERS, .fault_verdict = VD_DROP};
	struct share *share = aligned_alloc(VD_CACHE_LINE, sizeof *share);
	unsigned slots = (threads + 1) * RING;
	struct vd_error error;
	int result;

	if (!share)
		return -ENOMEM;
	if (port->scratch_size > SCRATCH_SIZE) {
		free(share);
		return -EINVAL;
	}
	*share = (struct share){.port = port, .work = work};
	settings.slot_room = (uint32_t)port->message_room + settings.copy_range + VD_ROOM;
	result = vd_slots_init(&share->slots, slots, settings.slot_room);
	if (!result) {
		share->free_count = vd_slots_take(&share->slots, share->free, slots);
		result = port->operations->open(port, &settings, &error);
		if (!result) {
			result = start_helpers(share, threads - 1);
			if (!result)
				result = read_all(share);
			end_helpers(share);
			port->operations->close(port);
		}
		vd_slots_fini(&share->slots);
	}
	if (!result)
		result = atomic_load(&share->result);
	free(share);
	return result;
}
