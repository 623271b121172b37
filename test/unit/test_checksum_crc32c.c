/* SPDX-License-Identifier: MIT */
/*
 * lib/packet/checksum_crc32c*.c: every kernel says what the CRC bit by bit does, for any length and place.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/packet/checksum.h"
#include "lib/packet/checksum_crc32c_powers.h"
#include "test/support/guarded.h"
#include "test/support/random.h"

#define LENGTH_MAX 2048u
#define PLACES 64u
#define AREA (LENGTH_MAX + PLACES)

/* RFC 9260, appendix A: 0x1EDC6F41, here with its bits reversed. */
#define POLYNOMIAL 0x82f63b78u

/* Those of this CPU, and NULL. */
static const struct vd_crc32c_kernel *kernels[8];

#define for_each_kernel(kernel) \
	for (const struct vd_crc32c_kernel *kernel, **next = kernels; (kernel = *next); next++)

/* ---- the reference ---- */

static uint32_t after_zeros(uint32_t state, unsigned bits)
{
	while (bits--)
		state = state >> 1 ^ (state & 1 ? POLYNOMIAL : 0);
	return state;
}

static uint32_t append(uint32_t crc, uint8_t byte)
{
	return ~after_zeros(~crc ^ byte, 8);
}

static uint32_t reference_of(const uint8_t *bytes, uint32_t length)
{
	static uint32_t after_byte[256];
	uint32_t state = ~0u;

	for (unsigned i = 0; !after_byte[255] && i < 256; i++)
		after_byte[i] = after_zeros(i, 8);
	while (length--)
		state = state >> 8 ^ after_byte[(state ^ *bytes++) & 0xff];
	return ~state;
}

static void check(const uint8_t *at, uint32_t length, uint32_t expected)
{
	for_each_kernel(kernel) {
		uint32_t crc = kernel->add(0, at, length);

		if (crc != expected)
			fail_msg("%s: %u bytes at ...%03x: %08x, not %08x", kernel->name, (unsigned)length,
				 (unsigned)((uintptr_t)at & 0xfff), (unsigned)crc, (unsigned)expected);
	}
}

/* ---- kernels ---- */

static void the_fastest_kernel_is_used(void **state)
{
	unsigned count = 0;

	(void)state;
	for_each_kernel(kernel)
		printf("kernel %u: %s\n", count++, kernel->name);
	assert_true(count > 0);
	assert_string_equal(kernels[0]->name, "table");
	assert_true(vd_checksum_chosen.crc32c == kernels[count - 1]->add);
	assert_null(vd_crc32c_kernel(count + 1));
}

static void the_powers_are_what_they_are_said_to_be(void **state)
{
	uint32_t power = after_zeros(0x80000000, 64 - 33); /* 0x80000000 is x^0 */

	(void)state;
	for (unsigned n = 1; n < sizeof vd_crc32c_powers / sizeof *vd_crc32c_powers; n++) {
		assert_int_equal(vd_crc32c_powers[n], power);
		power = after_zeros(power, 64);
	}
}

static void every_length_and_place(void **state)
{
	uint64_t random = bytes_seed("CRC32c");
	struct guarded area = guarded_make(AREA);

	(void)state;
	bytes_fill_random(&random, area.start, (uint32_t)(area.end - area.start));
	for (uint32_t place = 0; place < PLACES; place++) {
		uint32_t crc = 0;

		for (uint32_t length = 0; length <= LENGTH_MAX; length++) {
			check(area.start + place, length, crc);
			crc = append(crc, area.start[place + length]);
		}
	}
	/* up to the guard, from every place */
	for (uint32_t length = 0; length <= LENGTH_MAX; length++)
		check(area.end - length, length, reference_of(area.end - length, length));
	guarded_free(area);
}

static void random_long_ones(void **state)
{
	const uint32_t size = 200000;
	uint64_t random = bytes_seed("long ones");
	struct guarded area = guarded_make(size);

	(void)state;
	for (int round = 0; round < 100; round++) {
		uint32_t length = bytes_random_below(&random, round & 1 ? 8000 : size - 64);
		uint32_t place = bytes_random_below(&random, 64);

		bytes_fill_random(&random, area.start, size);
		check(area.start + place, length, reference_of(area.start + place, length));
	}
	guarded_free(area);
}

static void parts_make_the_whole(void **state)
{
	uint64_t random = bytes_seed("parts");
	uint8_t bytes[2048];

	(void)state;
	bytes_fill_random(&random, bytes, sizeof bytes);
	for (int round = 0; round < 5000; round++) {
		uint32_t length = bytes_random_below(&random, sizeof bytes + 1);

		for_each_kernel(kernel) {
			uint32_t crc = 0, at = 0;

			while (at < length) {
				uint32_t part = 1 + bytes_random_below(&random, length - at);

				crc = kernel->add(crc, bytes + at, part);
				at += part;
			}
			assert_int_equal(crc, reference_of(bytes, length));
		}
	}
}

/* ---- what was published: RFC 3720, B.4; and what every catalogue of CRCs has ---- */

static void the_examples_of_rfc_3720(void **state)
{
	const uint8_t command[48] = {0x01, 0xc0, [16] = 0x14, [22] = 0x04, [24] = 0x00, 0x00, 0x00, 0x14,
				     [28] = 0x00, 0x00, 0x00, 0x18, [32] = 0x28, [40] = 0x02};
	uint8_t bytes[32];

	(void)state;
	check(memset(bytes, 0, sizeof bytes), sizeof bytes, 0x8a9136aa);
	check(memset(bytes, 0xff, sizeof bytes), sizeof bytes, 0x62a8ab43);
	for (unsigned i = 0; i < sizeof bytes; i++)
		bytes[i] = (uint8_t)i;
	check(bytes, sizeof bytes, 0x46dd794e);
	for (unsigned i = 0; i < sizeof bytes; i++)
		bytes[i] = (uint8_t)(31 - i);
	check(bytes, sizeof bytes, 0x113fdb5c);
	check(command, sizeof command, 0xd9963a56);
	check((const uint8_t *)"123456789", 9, 0xe3069283);
	check(bytes, 0, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_fastest_kernel_is_used),
		cmocka_unit_test(the_powers_are_what_they_are_said_to_be),
		cmocka_unit_test(every_length_and_place),
		cmocka_unit_test(random_long_ones),
		cmocka_unit_test(parts_make_the_whole),
		cmocka_unit_test(the_examples_of_rfc_3720),
	};

	for (unsigned i = 0; i < sizeof kernels / sizeof *kernels - 1; i++)
		if (!(kernels[i] = vd_crc32c_kernel(i)))
			break;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
