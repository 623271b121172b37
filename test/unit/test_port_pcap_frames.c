/* SPDX-License-Identifier: MIT */
/*
 * engine/port_pcap_frames.c against a model: a plain list of what was reserved, with a pattern in every byte. One that is
 * handed out twice, moved or lost shows.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "engine/port_pcap_frames.h"
#include "test/support/bytes.h"

#define CAPACITY 8192
#define STEPS 200000
#define MODEL 256

struct model {
	uint64_t position;
	uint32_t length;
	uint8_t pattern;
	bool is_settled;
};

static void reserve_until_full_and_never_beyond(void **state)
{
	struct vd_frames frames;
	uint64_t position;
	unsigned count = 0;

	(void)state;
	assert_int_equal(vd_frames_init(&frames, CAPACITY - 100), 0);
	assert_int_equal(frames.capacity, CAPACITY);
	assert_true(vd_frames_is_empty(&frames));
	assert_null(vd_frames_oldest(&frames));
	while (vd_frames_reserve(&frames, 10, &position)) /* 64 bytes each, with its header */
		count++;
	assert_int_equal(count, CAPACITY / 64);
	assert_null(vd_frames_oldest(&frames)); /* not published */
	vd_frames_publish(&frames);
	assert_non_null(vd_frames_oldest(&frames));
	vd_frames_remove_oldest(&frames);
	assert_null(vd_frames_reserve(&frames, 10, &position)); /* the reader has not learnt of it */
	vd_frames_publish(&frames);
	assert_non_null(vd_frames_reserve(&frames, 10, &position));
	vd_frames_publish(&frames);
	while (--count) {
		assert_non_null(vd_frames_oldest(&frames));
		vd_frames_remove_oldest(&frames);
	}
	assert_non_null(vd_frames_oldest(&frames));
	assert_int_equal(vd_frames_oldest(&frames)->state, VD_FRAME_WAITING);
	vd_frames_oldest(&frames)->moved = malloc(1); /* freed with it */
	vd_frames_fini(&frames);
}

static void an_empty_ring_takes_a_frame_of_its_size_and_starts_anew(void **state)
{
	struct vd_frames frames;
	uint64_t position;

	(void)state;
	assert_int_equal(vd_frames_init(&frames, CAPACITY), 0);
	for (unsigned round = 0; round < 3; round++) {
		assert_non_null(vd_frames_reserve(&frames, 100, &position));
		assert_ptr_equal(vd_frames_at(&frames, position), frames.area);
		vd_frames_publish(&frames);
		vd_frames_remove_oldest(&frames);
		vd_frames_publish(&frames);
		assert_non_null(vd_frames_reserve(&frames, CAPACITY - sizeof(struct vd_frame), &position));
		assert_null(vd_frames_reserve(&frames, 0, &position));
		vd_frames_publish(&frames);
		vd_frames_remove_oldest(&frames);
		vd_frames_publish(&frames);
		assert_null(vd_frames_reserve(&frames, CAPACITY, &position));
	}
	vd_frames_fini(&frames);
}

static void remove_settled(struct vd_frames *frames, struct model *model, unsigned *first, unsigned last)
{
	struct vd_frame *frame;

	while ((frame = vd_frames_oldest(frames)) && frame->state != VD_FRAME_WAITING) {
		const struct model *expected = &model[*first % MODEL];

		assert_int_not_equal(*first, last);
		assert_true(expected->is_settled);
		assert_ptr_equal(frame, vd_frames_at(frames, expected->position));
		for (uint32_t i = 0; i < expected->length; i++)
			assert_int_equal(frame->bytes[i], expected->pattern);
		vd_frames_remove_oldest(frames);
		++*first;
	}
	if (frame)
		assert_false(model[*first % MODEL].is_settled);
	assert_int_equal(vd_frames_is_empty(frames), *first == last);
}

static void frames_leave_in_order_whole(void **state)
{
	static struct model model[MODEL];
	struct vd_frames frames;
	unsigned first = 0, last = 0, full = 0;
	uint64_t random = bytes_seed("frames");

	(void)state;
	assert_int_equal(vd_frames_init(&frames, CAPACITY), 0);
	for (unsigned step = 0; step < STEPS; step++) {
		for (unsigned burst = bytes_random_below(&random, 6); burst > 0; burst--) {
			struct model *new = &model[last % MODEL];
			struct vd_frame *frame;

			*new = (struct model){.length = bytes_random_below(&random, 8) ? bytes_random_below(&random, 200) :
										       bytes_random_below(&random, 3000),
					      .pattern = (uint8_t)bytes_random(&random)};
			frame = vd_frames_reserve(&frames, new->length, &new->position);
			if (!frame) {
				full++;
				break;
			}
			assert_true(vd_frame_room(frame) >= new->length);
			memset(frame->bytes, new->pattern, vd_frame_room(frame));
			last++;
		}
		vd_frames_publish(&frames);
		for (unsigned settle = bytes_random_below(&random, 8); settle > 0 && first != last; settle--) {
			struct model *chosen = &model[(first + bytes_random_below(&random, last - first)) % MODEL];

			chosen->is_settled = true;
			vd_frames_at(&frames, chosen->position)->state =
				chosen->pattern & 1 ? VD_FRAME_ACCEPTED : VD_FRAME_DROPPED;
		}
		remove_settled(&frames, model, &first, last);
	}
	assert_true(full > STEPS / 100 && last > STEPS / 2); /* it was tried full, and it went on */
	vd_frames_fini(&frames);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reserve_until_full_and_never_beyond),
		cmocka_unit_test(an_empty_ring_takes_a_frame_of_its_size_and_starts_anew),
		cmocka_unit_test(frames_leave_in_order_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
