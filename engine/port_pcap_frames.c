/* SPDX-License-Identifier: MIT */
#include "engine/port_pcap_frames.h"

#include <errno.h>
#include <stdlib.h>

/* Sizes are multiples of it, so that the ring's end always has room for the header of a gap. */
#define ALIGNMENT 64

_Static_assert(sizeof(struct vd_frame) <= ALIGNMENT, "a gap's header does not fit");

int vd_frames_init(struct vd_frames *frames, uint64_t capacity)
{
	uint64_t power = ALIGNMENT;

	while (power < capacity)
		power *= 2;
	*frames = (struct vd_frames){.capacity = power, .area = aligned_alloc(ALIGNMENT, power)};
	return frames->area ? 0 : -ENOMEM;
}

void vd_frames_fini(struct vd_frames *frames)
{
	while (vd_frames_oldest(frames))
		vd_frames_remove_oldest(frames);
	free(frames->area);
	frames->area = NULL;
}

struct vd_frame *vd_frames_at(const struct vd_frames *frames, uint64_t position)
{
	return (struct vd_frame *)(frames->area + (position & (frames->capacity - 1)));
}

struct vd_frame *vd_frames_reserve(struct vd_frames *frames, uint32_t length, uint64_t *position)
{
	uint64_t size = (sizeof(struct vd_frame) + length + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
	uint64_t to_end = frames->capacity - (frames->next & (frames->capacity - 1));
	uint64_t gap = size > to_end ? to_end : 0;
	struct vd_frame *frame;

	if (frames->next + gap + size - frames->head_seen > frames->capacity)
		return NULL;
	if (gap) {
		frame = vd_frames_at(frames, frames->next);
		frame->size = (uint32_t)gap;
		frame->state = VD_FRAME_GAP;
		frames->next += gap;
	}
	frame = vd_frames_at(frames, frames->next);
	frame->moved = NULL;
	frame->size = (uint32_t)size;
	frame->state = VD_FRAME_WAITING;
	*position = frames->next;
	frames->next += size;
	return frame;
}

uint32_t vd_frame_room(const struct vd_frame *frame)
{
	return frame->size - (uint32_t)sizeof *frame;
}

void vd_frames_publish(struct vd_frames *frames)
{
	frames->tail = frames->next;
	/* an empty ring starts anew: a capture that nobody holds up stays in a few warm pages */
	if (frames->head == frames->tail && (frames->head & (frames->capacity - 1)))
		frames->head = frames->tail = frames->next = (frames->next | (frames->capacity - 1)) + 1;
	frames->head_seen = frames->head;
}

struct vd_frame *vd_frames_oldest(struct vd_frames *frames)
{
	struct vd_frame *frame;

	if (frames->head == frames->tail)
		return NULL;
	frame = vd_frames_at(frames, frames->head);
	if (frame->state == VD_FRAME_GAP) { /* never the last: it was made for the frame behind it */
		frames->head += frame->size;
		frame = vd_frames_at(frames, frames->head);
	}
	return frame;
}

void vd_frames_remove_oldest(struct vd_frames *frames)
{
	struct vd_frame *frame = vd_frames_at(frames, frames->head);

	free(frame->moved);
	frames->head += frame->size;
}

bool vd_frames_is_empty(const struct vd_frames *frames)
{
	return frames->head == frames->tail;
}
