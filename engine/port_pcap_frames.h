/* SPDX-License-Identifier: MIT */
/*
 * Frames on their way through the engine, in the order of the capture: a ring of bytes. For the pcap port only.
 *
 * The reader appends frames; verdicts settle them in any order; they leave oldest first, each when it is settled. So what is
 * written has the capture's order, whatever the number of workers.
 *
 *	 ......[ settled | waiting | settled | waiting ][ reserved, not published ]......
 *	       head                                     tail                      next
 *
 * Who may call: reserve() the one thread that reads, without a lock; publish() that thread too, but under the port's lock,
 * like all others. A frame's bytes belong to the reader until it is published, then to whoever holds its packet, and from
 * settling on to the lock.
 */
#ifndef VERDICT_ENGINE_PORT_PCAP_FRAMES_H
#define VERDICT_ENGINE_PORT_PCAP_FRAMES_H

#include <stdbool.h>
#include <stdint.h>

#include <pcap/pcap.h>

enum vd_frame_state {
	VD_FRAME_WAITING, /* for its verdict */
	VD_FRAME_ACCEPTED,
	VD_FRAME_DROPPED,
	VD_FRAME_GAP,	  /* no frame: fills the ring's end */
};

struct vd_frame {
	struct pcap_pkthdr header;
	uint8_t *moved; /* what it became when it was rewritten and does not fit here any more: on the heap, or NULL */
	uint32_t size;	/* in the ring, all in all */
	uint32_t state;
	uint8_t bytes[];
};

struct vd_frames {
	uint8_t *area;
	uint64_t capacity; /* a power of two; positions below count on for ever */
	uint64_t head, tail;
	uint64_t next, head_seen; /* the reader's own */
};

/* Room for `capacity` bytes (rounded up). 0 or -ENOMEM. The memory is touched when it is used. */
int vd_frames_init(struct vd_frames *frames, uint64_t capacity);
void vd_frames_fini(struct vd_frames *frames);

/*
 * A place for a frame of up to `length` bytes, whose header and bytes are still to be filled, and in *position its name.
 * NULL: no room before older frames have left.
 */
struct vd_frame *vd_frames_reserve(struct vd_frames *frames, uint32_t length, uint64_t *position);

/* What was reserved is on its way, and the reader learns what has left. */
void vd_frames_publish(struct vd_frames *frames);

struct vd_frame *vd_frames_at(const struct vd_frames *frames, uint64_t position);

/* How many bytes fit into its place. */
uint32_t vd_frame_room(const struct vd_frame *frame);

/* The oldest frame, settled or waiting; NULL: there is none. It stays until it is removed. */
struct vd_frame *vd_frames_oldest(struct vd_frames *frames);
void vd_frames_remove_oldest(struct vd_frames *frames);

bool vd_frames_is_empty(const struct vd_frames *frames);

#endif
