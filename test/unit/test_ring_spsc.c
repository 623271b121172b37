/* SPDX-License-Identifier: MIT */
/*
 * lib/ring/spsc.h: against a model in one thread, and in two threads under ThreadSanitizer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <time.h>

#include "lib/ring/spsc.h"
#include "test/support/bytes.h"

/* A ring whose counters have come to `start` already, as if so many entries had gone through it. */
static struct vd_ring_spsc *make(uint32_t capacity, uint32_t start)
{
	struct vd_ring_spsc *ring = aligned_alloc(VD_CACHE_LINE, vd_ring_spsc_size(capacity));

	assert_non_null(ring);
	assert_true(vd_ring_spsc_init(ring, capacity));
	atomic_init(&ring->producer.head, start);
	atomic_init(&ring->consumer.tail, start);
	ring->producer.tail_seen = ring->consumer.head_seen = start;
	return ring;
}

static void init_takes_powers_of_two_only(void **state)
{
	struct vd_ring_spsc *ring = aligned_alloc(VD_CACHE_LINE, vd_ring_spsc_size(1));
	struct vd_ring_spsc before;
	const uint32_t wrong[] = {0, 3, 5, 6, 7, 9, 12, 100, 1000, 0x7fffffff, 0x80000001, 0xc0000000, UINT32_MAX};

	(void)state;
	assert_non_null(ring);
	memset(ring, 0x5a, sizeof *ring);
	memcpy(&before, ring, sizeof before);
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		assert_false(vd_ring_spsc_init(ring, wrong[i]));
		assert_memory_equal(ring, &before, sizeof before);
	}
	for (unsigned bit = 0; bit < 32; bit++) {
		assert_true(vd_ring_spsc_init(ring, 1u << bit));
		assert_true(vd_ring_spsc_is_empty(ring));
	}
	free(ring);
}

static void size_holds_all_entries_and_whole_cache_lines(void **state)
{
	(void)state;
	for (uint32_t capacity = 1; capacity <= 1u << 16; capacity *= 2) {
		size_t size = vd_ring_spsc_size(capacity);

		assert_true(size >= offsetof(struct vd_ring_spsc, entries) + capacity * sizeof(uint32_t));
		assert_int_equal(size % VD_CACHE_LINE, 0);
	}
	/* each side writes to a line of its own */
	assert_true(offsetof(struct vd_ring_spsc, consumer) - offsetof(struct vd_ring_spsc, producer) >= VD_CACHE_LINE);
	assert_true(offsetof(struct vd_ring_spsc, mask) - offsetof(struct vd_ring_spsc, consumer) >= VD_CACHE_LINE);
}

static void a_burst_is_cut_to_the_room_there_is(void **state)
{
	struct vd_ring_spsc *ring = make(8, 0);
	const uint32_t in[10] = {10, 11, 12, 13, 14, 15, 16, 17, 18, 19};
	uint32_t out[10] = {0};

	(void)state;
	assert_int_equal(vd_ring_spsc_push_burst(ring, in, 5), 5);
	assert_int_equal(vd_ring_spsc_push_burst(ring, in + 5, 5), 3);
	assert_int_equal(vd_ring_spsc_push_burst(ring, in, 1), 0);
	assert_int_equal(vd_ring_spsc_count(ring), 8);
	assert_int_equal(vd_ring_spsc_pop_burst(ring, out, 8), 8);
	assert_memory_equal(out, in, 8 * sizeof *in);
	free(ring);
}

static void a_burst_is_cut_to_the_entries_there_are(void **state)
{
	struct vd_ring_spsc *ring = make(8, 0);
	const uint32_t in[3] = {7, 8, 9};
	uint32_t out[8] = {0, 0, 0, 55};

	(void)state;
	assert_int_equal(vd_ring_spsc_pop_burst(ring, out, 8), 0);
	assert_int_equal(vd_ring_spsc_push_burst(ring, in, 3), 3);
	assert_int_equal(vd_ring_spsc_pop_burst(ring, out, 8), 3);
	assert_memory_equal(out, in, sizeof in);
	assert_int_equal(out[3], 55);
	assert_int_equal(vd_ring_spsc_pop_burst(ring, out, 1), 0);
	free(ring);
}

static void a_burst_of_none_does_nothing(void **state)
{
	struct vd_ring_spsc *ring = make(2, 0);
	uint32_t entry = 1;

	(void)state;
	assert_int_equal(vd_ring_spsc_push_burst(ring, &entry, 0), 0);
	assert_int_equal(vd_ring_spsc_pop_burst(ring, &entry, 0), 0);
	assert_int_equal(vd_ring_spsc_push_burst(ring, &entry, 1), 1);
	assert_int_equal(vd_ring_spsc_push_burst(ring, &entry, 0), 0);
	assert_int_equal(vd_ring_spsc_pop_burst(ring, &entry, 0), 0);
	assert_int_equal(vd_ring_spsc_count(ring), 1);
	free(ring);
}

static void count_and_is_empty_follow_every_entry(void **state)
{
	struct vd_ring_spsc *ring = make(16, UINT32_MAX - 4);
	uint32_t entry = 3;

	(void)state;
	assert_true(vd_ring_spsc_is_empty(ring));
	for (uint32_t i = 1; i <= 16; i++) {
		assert_int_equal(vd_ring_spsc_push_burst(ring, &entry, 1), 1);
		assert_int_equal(vd_ring_spsc_count(ring), i);
		assert_false(vd_ring_spsc_is_empty(ring));
	}
	for (uint32_t i = 16; i--;) {
		assert_false(vd_ring_spsc_is_empty(ring));
		assert_int_equal(vd_ring_spsc_pop_burst(ring, &entry, 1), 1);
		assert_int_equal(vd_ring_spsc_count(ring), i);
	}
	assert_true(vd_ring_spsc_is_empty(ring));
	free(ring);
}

static void one_entry_is_a_capacity(void **state)
{
	struct vd_ring_spsc *ring = make(1, UINT32_MAX);
	uint32_t in[2], out[2];

	(void)state;
	for (uint32_t i = 0; i < 10; i++) {
		in[0] = i;
		in[1] = 1000;
		assert_int_equal(vd_ring_spsc_push_burst(ring, in, 2), 1);
		assert_int_equal(vd_ring_spsc_push_burst(ring, in, 1), 0);
		assert_int_equal(vd_ring_spsc_count(ring), 1);
		assert_int_equal(vd_ring_spsc_pop_burst(ring, out, 2), 1);
		assert_int_equal(out[0], i);
		assert_int_equal(vd_ring_spsc_pop_burst(ring, out, 1), 0);
	}
	free(ring);
}

/* Every distance from the wrap, full and empty on both sides of it. */
static void counters_wrap_at_2_to_the_32(void **state)
{
	(void)state;
	for (uint32_t before = 0; before <= 20; before++) {
		struct vd_ring_spsc *ring = make(8, 0u - before);
		uint32_t next_in = 100, next_out = 100;

		for (int round = 0; round < 10; round++) {
			uint32_t in[9], out[9], pushed, popped;

			for (uint32_t i = 0; i < 9; i++)
				in[i] = next_in + i;
			pushed = vd_ring_spsc_push_burst(ring, in, 9);
			assert_int_equal(pushed, 8 - (next_in - next_out));
			next_in += pushed;
			assert_int_equal(vd_ring_spsc_count(ring), 8);
			popped = vd_ring_spsc_pop_burst(ring, out, 3 + (uint32_t)round % 6);
			assert_int_equal(popped, 3 + (uint32_t)round % 6);
			for (uint32_t i = 0; i < popped; i++)
				assert_int_equal(out[i], next_out + i);
			next_out += popped;
		}
		free(ring);
	}
}

/* What a ring is: a row of at most `capacity` entries. */
struct model {
	uint32_t capacity;
	uint32_t count;
	uint32_t entries[256];
};

static uint32_t model_push(struct model *model, const uint32_t *entries, uint32_t count)
{
	uint32_t pushed = 0;

	while (pushed < count && model->count < model->capacity)
		model->entries[model->count++] = entries[pushed++];
	return pushed;
}

static uint32_t model_pop(struct model *model, uint32_t *entries, uint32_t count)
{
	uint32_t popped = count < model->count ? count : model->count;

	memcpy(entries, model->entries, popped * sizeof *entries);
	model->count -= popped;
	memmove(model->entries, model->entries + popped, model->count * sizeof *entries);
	return popped;
}

static void any_operations_do_what_a_row_does(void **state)
{
	uint64_t random = bytes_seed("ring model");

	(void)state;
	for (int round = 0; round < 300; round++) {
		struct model model = {.capacity = 1u << bytes_random_below(&random, 8)};
		struct vd_ring_spsc *ring = make(model.capacity, 0u - bytes_random_below(&random, 1000));

		for (int operation = 0; operation < 500; operation++) {
			uint32_t count = bytes_random_below(&random, model.capacity * 2), entries[256], expected[256];

			if (bytes_random(&random) & 1) {
				for (uint32_t i = 0; i < count; i++)
					entries[i] = (uint32_t)bytes_random(&random);
				assert_int_equal(vd_ring_spsc_push_burst(ring, entries, count),
						 model_push(&model, entries, count));
			} else {
				uint32_t popped = model_pop(&model, expected, count);

				assert_int_equal(vd_ring_spsc_pop_burst(ring, entries, count), popped);
				assert_memory_equal(entries, expected, popped * sizeof *entries);
			}
			assert_int_equal(vd_ring_spsc_count(ring), model.count);
			assert_int_equal(vd_ring_spsc_is_empty(ring), model.count == 0);
		}
		free(ring);
	}
}

/* ---- two threads ---- */

#define TORTURE_COUNT 2000000u
#define TORTURE_SLOTS 64u
#define TORTURE_SECONDS_MAX 60

/*
 * As the engine uses it: slots go round between two rings, filled by one thread and read by the other. The slots are plain
 * memory, so ThreadSanitizer sees whether the rings order what they hand over.
 */
struct torture {
	struct vd_ring_spsc *filled;
	struct vd_ring_spsc *unused;
	uint64_t slots[TORTURE_SLOTS];
	uint64_t seed;
	time_t deadline_s;
	uint32_t seen;	   /* by the consumer */
	uint32_t wrong;	   /* out of order, or not what was put in */
	uint32_t above;	   /* a count() beyond what a hint may be */
	_Atomic bool late;
};

static time_t now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

/* A lost entry would make the threads wait for ever. */
static bool may_wait(struct torture *torture)
{
	if (now_s() > torture->deadline_s)
		atomic_store(&torture->late, true);
	sched_yield();
	return !atomic_load(&torture->late);
}

static uint64_t content(uint32_t number)
{
	return number * 0x9e3779b97f4a7c15u + 1;
}

static void *produce(void *argument)
{
	struct torture *torture = argument;
	uint64_t random = torture->seed;
	uint32_t slots[TORTURE_SLOTS], number = 0;

	while (number < TORTURE_COUNT) {
		uint32_t wanted = 1 + bytes_random_below(&random, TORTURE_SLOTS / 2), got, done = 0;

		if (wanted > TORTURE_COUNT - number)
			wanted = TORTURE_COUNT - number;
		got = vd_ring_spsc_pop_burst(torture->unused, slots, wanted);
		for (uint32_t i = 0; i < got; i++)
			torture->slots[slots[i]] = content(number++);
		if (!got && !may_wait(torture))
			return NULL;
		while (done < got) {
			uint32_t pushed = vd_ring_spsc_push_burst(torture->filled, slots + done, got - done);

			done += pushed;
			if (!pushed && !may_wait(torture))
				return NULL;
		}
	}
	return NULL;
}

static void *consume(void *argument)
{
	struct torture *torture = argument;
	uint64_t random = ~torture->seed;
	uint32_t slots[TORTURE_SLOTS];

	while (torture->seen < TORTURE_COUNT) {
		uint32_t got, done = 0;

		if (vd_ring_spsc_count(torture->filled) > torture->filled->mask + 1)
			torture->above++; /* the consumer is the only one that moves tail: its count is never too large */
		got = vd_ring_spsc_pop_burst(torture->filled, slots, 1 + bytes_random_below(&random, TORTURE_SLOTS / 2));
		for (uint32_t i = 0; i < got; i++)
			torture->wrong += torture->slots[slots[i]] != content(torture->seen++);
		if (!got && !may_wait(torture))
			return NULL;
		while (done < got) {
			uint32_t pushed = vd_ring_spsc_push_burst(torture->unused, slots + done, got - done);

			done += pushed;
			if (!pushed && !may_wait(torture))
				return NULL;
		}
	}
	return NULL;
}

static void run_torture(uint32_t capacity, uint64_t seed)
{
	struct torture torture = {.filled = make(capacity, 0u - TORTURE_COUNT / 2),
				  .unused = make(TORTURE_SLOTS, 0u - TORTURE_COUNT / 2),
				  .seed = seed,
				  .deadline_s = now_s() + TORTURE_SECONDS_MAX};
	pthread_t producer, consumer;

	for (uint32_t slot = 0; slot < TORTURE_SLOTS; slot++)
		assert_int_equal(vd_ring_spsc_push_burst(torture.unused, &slot, 1), 1);
	assert_int_equal(pthread_create(&producer, NULL, produce, &torture), 0);
	assert_int_equal(pthread_create(&consumer, NULL, consume, &torture), 0);
	pthread_join(producer, NULL);
	pthread_join(consumer, NULL);
	assert_false(torture.late);
	assert_int_equal(torture.wrong, 0);
	assert_int_equal(torture.above, 0);
	assert_int_equal(torture.seen, TORTURE_COUNT);
	assert_true(vd_ring_spsc_is_empty(torture.filled));
	assert_int_equal(vd_ring_spsc_count(torture.unused), TORTURE_SLOTS);
	free(torture.filled);
	free(torture.unused);
}

/* The ring is smaller than the slots that go round: it is full often, and pushes are cut. */
static void two_threads_lose_and_reorder_nothing_in_a_small_ring(void **state)
{
	(void)state;
	run_torture(8, bytes_seed("ring torture, small"));
}

static void two_threads_lose_and_reorder_nothing_in_a_large_ring(void **state)
{
	(void)state;
	run_torture(256, bytes_seed("ring torture, large"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(init_takes_powers_of_two_only),
		cmocka_unit_test(size_holds_all_entries_and_whole_cache_lines),
		cmocka_unit_test(a_burst_is_cut_to_the_room_there_is),
		cmocka_unit_test(a_burst_is_cut_to_the_entries_there_are),
		cmocka_unit_test(a_burst_of_none_does_nothing),
		cmocka_unit_test(count_and_is_empty_follow_every_entry),
		cmocka_unit_test(one_entry_is_a_capacity),
		cmocka_unit_test(counters_wrap_at_2_to_the_32),
		cmocka_unit_test(any_operations_do_what_a_row_does),
		cmocka_unit_test(two_threads_lose_and_reorder_nothing_in_a_small_ring),
		cmocka_unit_test(two_threads_lose_and_reorder_nothing_in_a_large_ring),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
