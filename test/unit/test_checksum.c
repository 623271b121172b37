/* SPDX-License-Identifier: MIT */
/*
 * lib/packet/checksum*.c, the Internet checksum: every kernel says what a sum byte by byte does, for any length and
 * place, and touches nothing else; and what is made of the sums.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>

#include "lib/packet/checksum.h"
#include "test/support/guarded.h"
#include "test/support/random.h"

#define LENGTH_MAX 2048u
#define PLACES 64u
#define AREA (LENGTH_MAX + 2 * PLACES)
#define CANARY 0xa5

/* ThreadSanitizer makes every byte slow, and has nothing to find in one thread. */
#ifdef __SANITIZE_THREAD__
#define PLACE_STEP 9
#else
#define PLACE_STEP 1
#endif

/* What a length can say; less for sanitizers, to whom memory costs memory even if it is the same many times. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define LONGEST (UINT32_MAX >> 7)
#else
#define LONGEST UINT32_MAX
#endif

/* Those of this CPU, and NULL. */
static const struct vd_checksum_kernel *kernels[8];

#define for_each_kernel(kernel) \
	for (const struct vd_checksum_kernel *kernel, **next = kernels; (kernel = *next); next++)

/* ---- the reference: bytes that are first, and second, in their words ---- */

struct reference {
	uint64_t first, second;
};

static void append(struct reference *reference, uint8_t byte, uint32_t at)
{
	*(at & 1 ? &reference->second : &reference->first) += byte;
}

/* What was first is second now. */
static void prepend(struct reference *reference, uint8_t byte)
{
	*reference = (struct reference){reference->second + byte, reference->first};
}

static uint16_t reference_folded(struct reference reference)
{
	uint64_t sum = reference.first * 256 + reference.second;

	return sum && sum % 65535 == 0 ? 65535 : (uint16_t)(sum % 65535);
}

static uint16_t reference_of(const uint8_t *bytes, uint32_t length)
{
	struct reference reference = {0};

	for (uint32_t at = 0; at < length; at++)
		append(&reference, bytes[at], at);
	return reference_folded(reference);
}

/* In the byte order of people. */
static uint16_t folded(uint64_t sum)
{
	return ntohs(vd_checksum_fold_be(sum));
}

static void check(const char *what, const struct vd_checksum_kernel *kernel, const uint8_t *at, uint32_t length,
		  uint32_t part, uint16_t expected)
{
	if (folded(part) != expected)
		fail_msg("%s, %s: %u bytes at ...%03x: %04x, not %04x", kernel->name, what, (unsigned)length,
			 (unsigned)((uintptr_t)at & 0xfff), (unsigned)folded(part), (unsigned)expected);
}

static void check_sums(const uint8_t *at, uint32_t length, uint16_t expected)
{
	for_each_kernel(kernel)
		check("sum", kernel, at, length, kernel->sum(at, length), expected);
}

/* ---- kernels ---- */

/* The last one is in use, and there is always one. */
static void the_fastest_kernel_is_used(void **state)
{
	unsigned count = 0;

	(void)state;
	for_each_kernel(kernel)
		printf("kernel %u: %s\n", count++, kernel->name);
	assert_true(count > 0);
	assert_string_equal(kernels[0]->name, "scalar");
	assert_true(vd_checksum_chosen.sum == kernels[count - 1]->sum);
	assert_true(vd_checksum_chosen.copy == kernels[count - 1]->copy);
	assert_null(vd_checksum_kernel(count + 1));
}

static void sums_of_every_length_and_place(void **state)
{
	uint64_t random = bytes_seed("sums");
	struct guarded area = guarded_make(AREA);

	(void)state;
	bytes_fill_random(&random, area.start, (uint32_t)(area.end - area.start));
	for (uint32_t place = 0; place < PLACES; place += PLACE_STEP) {
		struct reference from_start = {0}, to_end = {0};
		uint8_t *start = area.start + place, *end = area.end - place;

		for (uint32_t length = 0; length <= LENGTH_MAX; length++) {
			check_sums(start, length, reference_folded(from_start));
			check_sums(end - length, length, reference_folded(to_end));
			append(&from_start, start[length], length);
			prepend(&to_end, *(end - length - 1));
		}
	}
	guarded_free(area);
}

static bool is_canary(const uint8_t *from, const uint8_t *to)
{
	return from == to || (*from == CANARY && !memcmp(from, from + 1, (size_t)(to - from) - 1));
}

static void check_copy(const struct vd_checksum_kernel *kernel, struct guarded area, uint8_t *to, const uint8_t *from,
		       uint32_t length, uint16_t expected)
{
	uint8_t *before = to - area.start < 64 ? area.start : to - 64;
	uint8_t *behind = area.end - to - length < 64 ? area.end : to + length + 64;

	memset(before, CANARY, (size_t)(behind - before));
	check("copy", kernel, to, length, kernel->copy(to, from, length), expected);
	if (memcmp(to, from, length))
		fail_msg("%s: %u bytes are not copied", kernel->name, (unsigned)length);
	if (!is_canary(before, to) || !is_canary(to + length, behind))
		fail_msg("%s: a copy of %u bytes wrote something else", kernel->name, (unsigned)length);
}

static void copies_of_every_length_and_place(void **state)
{
	uint64_t random = bytes_seed("copies");
	struct guarded source = guarded_make(AREA), area = guarded_make(AREA);

	(void)state;
	bytes_fill_random(&random, source.start, (uint32_t)(source.end - source.start));
	for (uint32_t place = 0; place < PLACES; place += PLACE_STEP) {
		struct reference from_start = {0}, to_end = {0};
		uint8_t *start = source.start + place, *end = source.end - place;
		uint32_t to = place * 5 % PLACES; /* each against another, whatever the distance */

		for (uint32_t length = 0; length <= LENGTH_MAX; length++) {
			for_each_kernel(kernel) {
				check_copy(kernel, area, area.start + to, start, length, reference_folded(from_start));
				check_copy(kernel, area, area.end - to - length, end - length, length,
					   reference_folded(to_end));
			}
			append(&from_start, start[length], length);
			prepend(&to_end, *(end - length - 1));
		}
	}
	guarded_free(source);
	guarded_free(area);
}

static void random_long_ones(void **state)
{
	const uint32_t size = 200000;
	uint64_t random = bytes_seed("long ones");
	struct guarded source = guarded_make(size), area = guarded_make(size);

	(void)state;
	for (int round = 0; round < 100; round++) {
		uint32_t length = bytes_random_below(&random, size - 64), place = bytes_random_below(&random, 64);
		uint32_t to = bytes_random_below(&random, 64);
		uint16_t expected;

		bytes_fill_random(&random, source.start, size);
		expected = reference_of(source.start + place, length);
		check_sums(source.start + place, length, expected);
		for_each_kernel(kernel)
			check_copy(kernel, area, area.start + to, source.start + place, length, expected);
	}
	guarded_free(source);
	guarded_free(area);
}

/* ---- carries ---- */

/* Long enough for the lanes of vectors to overflow, if they are not emptied in time: after 2 MB. */
static void nothing_overflows(void **state)
{
	const uint32_t lengths[] = {2u << 20, (2u << 20) - 64, 5u << 20}, places[] = {0, 1, 63};
	struct guarded ones = guarded_make_same(0xff, 6u << 20);

	(void)state;
	for (unsigned i = 0; i < sizeof lengths / sizeof *lengths; i++)
		for (unsigned j = 0; j < sizeof places / sizeof *places; j++) {
			check_sums(ones.start + places[j], lengths[i], 0xffff);
			check_sums(ones.start + places[j], lengths[i] + 1, 0xff00);
		}
	guarded_free(ones);
}

static void nothing_overflows_at_the_greatest_length(void **state)
{
	struct guarded ones = guarded_make_same(0xff, LONGEST + 1ull);

	(void)state;
	check_sums(ones.start + 1, LONGEST, 0xff00);
	guarded_free(ones);
}

static void sums_that_fold_to_ffff(void **state)
{
	uint64_t random = bytes_seed("ffff");
	uint8_t bytes[256];

	(void)state;
	for (int round = 0; round < 20000; round++) {
		uint32_t length = 2 + 2 * bytes_random_below(&random, 127);
		uint16_t rest;

		bytes_fill_random(&random, bytes, sizeof bytes);
		memset(bytes, 0, 2);
		rest = htons(0xffff - reference_of(bytes, length));
		memcpy(bytes, &rest, 2);
		check_sums(bytes, length, 0xffff);
	}
}

/* The two zeros: only of zeros comes 0. */
static void zeros_are_told_apart(void **state)
{
	uint8_t bytes[300] = {0};

	(void)state;
	for (uint32_t length = 0; length <= sizeof bytes; length++)
		for_each_kernel(kernel)
			assert_int_equal(kernel->sum(bytes, length), 0);
	assert_int_equal(vd_checksum_finish_be(0), 0xffff);
	for (uint32_t length = 2; length <= sizeof bytes; length++) {
		memset(bytes, 0xff, length);
		check_sums(bytes, length, length & 1 ? 0xff00 : 0xffff);
	}
	memset(bytes, 0, sizeof bytes);
	for (uint32_t at = 0; at < sizeof bytes; at++) {
		bytes[at] = 1;
		check_sums(bytes, sizeof bytes, at & 1 ? 1 : 0x0100);
		bytes[at] = 0;
	}
}

static void check_fold(uint64_t sum)
{
	uint16_t expected = sum && sum % 65535 == 0 ? 65535 : (uint16_t)(sum % 65535);

	if (vd_checksum_fold_be(sum) != expected)
		fail_msg("%016llx folds to %04x, not %04x", (unsigned long long)sum, (unsigned)vd_checksum_fold_be(sum),
			 (unsigned)expected);
}

static void folding_loses_no_carry(void **state)
{
	const uint64_t corners[] = {0, 1, 0xfffe, 0xffff, 0x10000, 0x10001, 0x1fffe, 0x1ffff, 0xfffeffff, 0xffff0000,
				    0xffff0001, 0xffffffff, 0x100000000, 0xfffffffe00000001, 0xffffffff00000000,
				    0xffffffff00000001, 0xffffffffffff0000, 0xfffffffffffffffe, 0xffffffffffffffff};
	uint64_t random = bytes_seed("fold");

	(void)state;
	for (unsigned i = 0; i < sizeof corners / sizeof *corners; i++)
		for (unsigned j = 0; j < sizeof corners / sizeof *corners; j++)
			check_fold(corners[i] + corners[j]);
	for (int round = 0; round < 1000000; round++)
		check_fold(bytes_random(&random) >> bytes_random_below(&random, 64));
}

/* ---- what was published ---- */

/* RFC 1071, 3: "Consider the following bytes". */
static void the_example_of_rfc_1071(void **state)
{
	const uint8_t bytes[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
	uint64_t sum = 0;

	(void)state;
	check_sums(bytes, sizeof bytes, 0xddf2);
	assert_int_equal(ntohs(vd_checksum_finish_be(vd_checksum_part(bytes, sizeof bytes))), 0x220d);
	/* its parts, "byte-swapped" where they are at an odd place */
	for (uint32_t at = 0; at < sizeof bytes; at++)
		sum = vd_checksum_add(sum, vd_checksum_part(bytes + at, 1), at);
	assert_int_equal(folded(sum), 0xddf2);
}

/* A header that was sent: its sum with the checksum in it is 0xffff, without it the checksum. */
static void an_ipv4_header(void **state)
{
	uint8_t header[] = {0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11,
			    0xb8, 0x61, 0xc0, 0xa8, 0x00, 0x01, 0xc0, 0xa8, 0x00, 0xc7};

	(void)state;
	check_sums(header, sizeof header, 0xffff);
	memset(header + 10, 0, 2);
	assert_int_equal(ntohs(vd_checksum_finish_be(vd_checksum_part(header, sizeof header))), 0xb861);
}

/* ---- parts ---- */

static void parts_make_the_whole(void **state)
{
	uint64_t random = bytes_seed("parts");
	uint8_t bytes[512], to[512];

	(void)state;
	for (int round = 0; round < 100000; round++) {
		uint32_t length = bytes_random_below(&random, sizeof bytes), at = 0;
		uint64_t sum = 0;

		if (round % 64 == 0)
			bytes_fill_random(&random, bytes, sizeof bytes);
		while (at < length) {
			uint32_t part = 1 + bytes_random_below(&random, length - at);

			sum = vd_checksum_add(sum, round & 1 ? vd_checksum_part(bytes + at, part)
							     : vd_checksum_copy(to + at, bytes + at, part), at);
			at += part;
		}
		if (folded(sum) != reference_of(bytes, length) || (!(round & 1) && memcmp(to, bytes, length)))
			fail_msg("parts of %u bytes make %04x, not %04x", (unsigned)length, (unsigned)folded(sum),
				 (unsigned)reference_of(bytes, length));
	}
}

/* ---- incremental updates ---- */

/* A packet of 128 bytes whose checksum is at 10, as in IPv4. */
#define FIELD 10u

static uint8_t packet[128];

static uint16_t full_be(uint32_t length)
{
	uint8_t copy[sizeof packet];

	memcpy(copy, packet, length);
	memset(copy + FIELD, 0, 2);
	return (uint16_t)~htons(reference_of(copy, length));
}

static uint16_t update_be(uint16_t checksum, unsigned kind, uint32_t at, uint32_t size, const uint8_t *value)
{
	uint16_t from16, to16;
	uint32_t from32, to32;

	switch (kind) {
	case 0:
		memcpy(&from16, packet + at, 2);
		memcpy(&to16, value, 2);
		return vd_checksum_update16_be(checksum, from16, to16);
	case 1:
		memcpy(&from32, packet + at, 4);
		memcpy(&to32, value, 4);
		return vd_checksum_update32_be(checksum, from32, to32);
	case 2:
		return vd_checksum_update128_be(checksum, packet + at, value);
	default:
		return vd_checksum_update_be(checksum, packet + at, value, size, at);
	}
}

/* Fields at even places, but for the last kind: any bytes anywhere. None over the checksum. */
static uint32_t choose_place(uint64_t *random, unsigned kind, uint32_t length, uint32_t size)
{
	uint32_t first = FIELD + 2;
	uint32_t at = first + bytes_random_below(random, length - first - size + 1);

	return kind < 3 ? at & ~1u : at;
}

/* Values that carry, or cancel what was there, as often as any. */
static void choose_value(uint64_t *random, uint8_t *value, uint32_t size)
{
	switch (bytes_random_below(random, 4)) {
	case 0: memset(value, 0, size); break;
	case 1: memset(value, 0xff, size); break;
	default: bytes_fill_random(random, value, size);
	}
}

static void an_update_is_the_checksum_in_full(void **state)
{
	const uint32_t sizes[] = {2, 4, 16, 0};
	uint64_t random = bytes_seed("updates");
	uint32_t length = sizeof packet;
	uint16_t checksum = 0;

	(void)state;
	for (int round = 0; round < 1000000; round++) {
		unsigned kind = bytes_random_below(&random, 4);
		uint32_t size = sizes[kind] ? sizes[kind] : bytes_random_below(&random, 17), at;
		uint8_t value[24];

		if (round % 1024 == 0) {
			length = 28 + bytes_random_below(&random, sizeof packet - 28 + 1);
			bytes_fill_random(&random, packet, sizeof packet);
			checksum = full_be(length);
		}
		at = choose_place(&random, kind, length, size);
		choose_value(&random, value, size);
		checksum = update_be(checksum, kind, at, size, value);
		memcpy(packet + at, value, size);
		if (checksum != full_be(length))
			fail_msg("kind %u: %u bytes at %u of %u: %04x, not %04x", kind, (unsigned)size, (unsigned)at,
				 (unsigned)length, (unsigned)ntohs(checksum), (unsigned)ntohs(full_be(length)));
	}
}

/* RFC 1624, 4: the example that equation 2 gets wrong. */
static void the_example_of_rfc_1624(void **state)
{
	(void)state;
	assert_int_equal(ntohs(vd_checksum_update16_be(htons(0xdd2f), htons(0x5555), htons(0x3285))), 0x0000);
}

/* The exception: nothing but zeros has another checksum than something that cancels. */
static void only_a_packet_of_zeros_differs(void **state)
{
	(void)state;
	memset(packet, 0, sizeof packet);
	packet[20] = 1;
	assert_int_equal(vd_checksum_update16_be(full_be(64), htons(0x0100), 0), 0x0000);
	packet[20] = 0;
	assert_int_equal(full_be(64), 0xffff);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_fastest_kernel_is_used),
		cmocka_unit_test(sums_of_every_length_and_place),
		cmocka_unit_test(copies_of_every_length_and_place),
		cmocka_unit_test(random_long_ones),
		cmocka_unit_test(nothing_overflows),
		cmocka_unit_test(nothing_overflows_at_the_greatest_length),
		cmocka_unit_test(sums_that_fold_to_ffff),
		cmocka_unit_test(zeros_are_told_apart),
		cmocka_unit_test(folding_loses_no_carry),
		cmocka_unit_test(the_example_of_rfc_1071),
		cmocka_unit_test(an_ipv4_header),
		cmocka_unit_test(parts_make_the_whole),
		cmocka_unit_test(an_update_is_the_checksum_in_full),
		cmocka_unit_test(the_example_of_rfc_1624),
		cmocka_unit_test(only_a_packet_of_zeros_differs),
	};

	for (unsigned i = 0; i < sizeof kernels / sizeof *kernels - 1; i++)
		if (!(kernels[i] = vd_checksum_kernel(i)))
			break;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
