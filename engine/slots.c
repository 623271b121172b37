/* SPDX-License-Identifier: MIT */
#include "engine/slots.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

int vd_slots_init(struct vd_slots *slots, uint32_t count, uint32_t room)
{
	size_t lines;

	if (room < sizeof(struct vd_slot_bundle))
		room = sizeof(struct vd_slot_bundle);
	lines = (VD_SLOT_ROOM + room + VD_CACHE_LINE - 1) / VD_CACHE_LINE;

	/* an odd number of lines: else the beginnings of all slots would compete for the same few sets of the cache */
	slots->stride = (lines | 1) * VD_CACHE_LINE;
	slots->room = (uint32_t)(slots->stride - VD_SLOT_ROOM);
	slots->count = slots->kept_count = count;
	slots->area_size = slots->stride * count;
	slots->kept = malloc(count * sizeof *slots->kept);
	slots->area = mmap(NULL, slots->area_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (slots->area == MAP_FAILED)
		slots->area = NULL;
	else /* a process that is forked has no use for packets, and would make each first write to a page slow */
		madvise(slots->area, slots->area_size, MADV_DONTFORK);
	if (!slots->kept || !slots->area) {
		vd_slots_fini(slots);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < count; i++) /* the first slot on top */
		slots->kept[i] = count - 1 - i;
	atomic_init(&slots->given_back, VD_SLOT_NONE);
	return 0;
}

void vd_slots_fini(struct vd_slots *slots)
{
	if (slots->area)
		munmap(slots->area, slots->area_size);
	free(slots->kept);
	slots->area = NULL;
	slots->kept = NULL;
}

static struct vd_slot *slot_at(const struct vd_slots *slots, uint32_t index)
{
	return (struct vd_slot *)(slots->area + index * slots->stride);
}

static struct vd_slot_bundle *bundle_at(const struct vd_slots *slots, uint32_t index)
{
	return (struct vd_slot_bundle *)(slots->area + index * slots->stride + VD_SLOT_ROOM);
}

static void collect_given_back(struct vd_slots *slots)
{
	uint32_t index;

	/* relaxed: only a hint; what is missed now is found at the next call */
	if (atomic_load_explicit(&slots->given_back, memory_order_relaxed) == VD_SLOT_NONE)
		return;
	/* T1: acquire, pairs with G1 in vd_slots_give_back(): the bundles, and the last use of each slot, come before */
	index = atomic_exchange_explicit(&slots->given_back, VD_SLOT_NONE, memory_order_acquire);
	while (index != VD_SLOT_NONE) {
		const struct vd_slot_bundle *bundle = bundle_at(slots, index);

		memcpy(slots->kept + slots->kept_count, bundle->indices, bundle->count * sizeof *bundle->indices);
		slots->kept_count += bundle->count;
		index = bundle->next;
	}
}

unsigned vd_slots_take(struct vd_slots *slots, struct vd_packet **packets, unsigned count)
{
	unsigned taken = 0;

	collect_given_back(slots);
	for (; taken < count && slots->kept_count; taken++) {
		uint32_t index = slots->kept[--slots->kept_count];
		struct vd_slot *slot = slot_at(slots, index);

		slot->index = index;
		packets[taken] = &slot->packet;
	}
	return taken;
}

void vd_slots_keep(struct vd_slots *slots, struct vd_packet *const *packets, unsigned count)
{
	while (count)
		slots->kept[slots->kept_count++] = vd_slot_of(packets[--count])->index;
}

void vd_slots_give_back(struct vd_slots *slots, struct vd_packet *const *packets, unsigned count)
{
	uint32_t first = vd_slot_of(packets[0])->index, head;
	struct vd_slot_bundle *bundle = bundle_at(slots, first);

	bundle->count = count;
	for (unsigned i = 0; i < count; i++)
		bundle->indices[i] = vd_slot_of(packets[i])->index;
	/* relaxed: the value is only compared and linked */
	head = atomic_load_explicit(&slots->given_back, memory_order_relaxed);
	do {
		bundle->next = head;
		/* G1: release, pairs with T1 in collect_given_back() */
	} while (!atomic_compare_exchange_weak_explicit(&slots->given_back, &head, first, memory_order_release,
							memory_order_relaxed));
}
