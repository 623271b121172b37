/* SPDX-License-Identifier: MIT */
/*
 * lib/nfq/status.c on files that look like /proc/net/netfilter/nfnetlink_queue; and how much receive memory is asked for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "test/support/bytes.h"

#define SAMPLE                                                                                                        \
	"    0  31621     0 2  4096     0     0        0  1\n"                                                        \
	"    7   4711    12 2 65531    34    56      789  1\n"                                                        \
	"65535 4294967295 4294967295 1 128 4294967294 4294967293 4294967292  1\n"

static int file_of(const char *text, size_t length)
{
	int descriptor = memfd_create("status", MFD_CLOEXEC);

	assert_true(descriptor >= 0);
	assert_int_equal(write(descriptor, text, length), length);
	return descriptor;
}

static int file(const char *text)
{
	return file_of(text, strlen(text));
}

static void each_field_is_read(void **state)
{
	struct vd_nfq_status statuses[4] = {0};
	int descriptor = file(SAMPLE);

	(void)state;
	assert_int_equal(vd_nfq_status_read(descriptor, statuses, 4), 3);
	assert_int_equal(statuses[0].queue, 0);
	assert_int_equal(statuses[0].portid, 31621);
	assert_int_equal(statuses[0].waiting, 0);
	assert_int_equal(statuses[0].copy_range, 4096);
	assert_int_equal(statuses[1].queue, 7);
	assert_int_equal(statuses[1].portid, 4711);
	assert_int_equal(statuses[1].waiting, 12);
	assert_int_equal(statuses[1].copy_mode, 2);
	assert_int_equal(statuses[1].copy_range, 65531);
	assert_int_equal(statuses[1].queue_dropped, 34);
	assert_int_equal(statuses[1].user_dropped, 56);
	assert_int_equal(statuses[1].id_sequence, 789);
	assert_int_equal(statuses[2].queue, 65535);
	assert_int_equal(statuses[2].portid, 4294967295);
	assert_int_equal(statuses[2].waiting, 4294967295);
	assert_int_equal(statuses[2].copy_mode, 1);
	assert_int_equal(statuses[2].queue_dropped, 4294967294);
	assert_int_equal(statuses[2].user_dropped, 4294967293);
	assert_int_equal(statuses[2].id_sequence, 4294967292);
	close(descriptor);
}

static void reading_again_begins_at_the_top(void **state)
{
	struct vd_nfq_status statuses[4];
	int descriptor = file(SAMPLE);

	(void)state;
	for (int i = 0; i < 3; i++) {
		memset(statuses, 0, sizeof statuses);
		assert_int_equal(vd_nfq_status_read(descriptor, statuses, 4), 3);
		assert_int_equal(statuses[1].portid, 4711);
	}
	close(descriptor);
}

static void a_small_array_is_filled_and_all_are_counted(void **state)
{
	struct vd_nfq_status statuses[3];
	int descriptor = file(SAMPLE);

	(void)state;
	for (unsigned size = 0; size <= 3; size++) {
		memset(statuses, 0x5a, sizeof statuses);
		assert_int_equal(vd_nfq_status_read(descriptor, statuses, size), 3);
		for (unsigned i = 0; i < 3; i++)
			assert_int_equal(statuses[i].queue == 0x5a5a, i >= size);
	}
	assert_int_equal(vd_nfq_status_read(descriptor, NULL, 0), 3);
	close(descriptor);
}

static void an_empty_file_has_no_queues(void **state)
{
	struct vd_nfq_status status;
	int descriptor = file("");

	(void)state;
	assert_int_equal(vd_nfq_status_read(descriptor, &status, 1), 0);
	assert_int_equal(vd_nfq_status_of(descriptor, 0, &status), -ENOENT);
	close(descriptor);
}

static void lines_that_are_none_are_skipped(void **state)
{
	struct vd_nfq_status statuses[4];
	int descriptor = file("queue portid waiting mode range dropped user id use\n"
			      "\n"
			      "   \n"
			      "1 2 3\n"
			      "1 2 3 4 5 6 7\n"
			      "x 1 2 3 4 5 6 7 8\n"
			      "1 2 3 x 4 5 6 7 8\n"
			      "    7   4711    12 2 65531    34    56      789  1\n"
			      "\xff\xfe\x01\n"
			      "    8   4712    12 2 65531    34    56      789");

	(void)state;
	assert_int_equal(vd_nfq_status_read(descriptor, statuses, 4), 2);
	assert_int_equal(statuses[0].queue, 7);
	assert_int_equal(statuses[1].queue, 8);
	assert_int_equal(vd_nfq_status_of(descriptor, 1, &statuses[0]), -ENOENT);
	close(descriptor);
}

static void random_bytes_are_survived(void **state)
{
	uint64_t random = bytes_seed("status garbage");
	const char *alphabet = "0123456789  \n\n-+x.";
	struct vd_nfq_status statuses[4];

	(void)state;
	for (int round = 0; round < 200; round++) {
		char text[3000];
		size_t length = bytes_random_below(&random, sizeof text);
		int descriptor, count;

		for (size_t i = 0; i < length; i++)
			text[i] = round & 1 ? alphabet[bytes_random_below(&random, (uint32_t)strlen(alphabet))]
					    : (char)bytes_random(&random);
		descriptor = file_of(text, length);
		count = vd_nfq_status_read(descriptor, statuses, 4);
		assert_in_range(count, 0, sizeof text / 16 + 1);
		close(descriptor);
	}
}

/* A line that is longer than any the kernel writes. */
static void an_endless_line_is_survived(void **state)
{
	static char text[300000];
	struct vd_nfq_status status;
	int descriptor;

	(void)state;
	memset(text, '9', sizeof text);
	descriptor = file_of(text, sizeof text);
	assert_int_equal(vd_nfq_status_read(descriptor, &status, 1), 0);
	close(descriptor);
}

#define MANY 5000

static char *many(size_t *length)
{
	size_t size = MANY * 64;
	char *text = malloc(size);

	assert_non_null(text);
	*length = 0;
	for (unsigned i = 0; i < MANY; i++)
		*length += (size_t)snprintf(text + *length, size - *length, "%5u %6u %5u %1u %5u %5u %5u %8u %2d\n", i * 13, i,
					    i + 1, 2, 65531, 3, 4, i * 1000, 1);
	return text;
}

static void thousands_of_queues_are_read(void **state)
{
	struct vd_nfq_status *statuses = calloc(MANY, sizeof *statuses);
	size_t length;
	char *text = many(&length);
	int descriptor = file_of(text, length);

	(void)state;
	assert_non_null(statuses);
	assert_int_equal(vd_nfq_status_read(descriptor, statuses, MANY), MANY);
	for (unsigned i = 0; i < MANY; i++) {
		assert_int_equal(statuses[i].queue, i * 13);
		assert_int_equal(statuses[i].portid, i);
		assert_int_equal(statuses[i].waiting, i + 1);
		assert_int_equal(statuses[i].id_sequence, i * 1000);
	}
	assert_int_equal(vd_nfq_status_of(descriptor, (MANY - 1) * 13, &statuses[0]), 0);
	assert_int_equal(statuses[0].portid, MANY - 1);
	close(descriptor);
	free(text);
	free(statuses);
}

static void one_queue_is_found_or_not(void **state)
{
	struct vd_nfq_status status = {0};
	int descriptor = file(SAMPLE);

	(void)state;
	assert_int_equal(vd_nfq_status_of(descriptor, 7, &status), 0);
	assert_int_equal(status.queue, 7);
	assert_int_equal(status.portid, 4711);
	assert_int_equal(vd_nfq_status_of(descriptor, 65535, &status), 0);
	assert_int_equal(status.queue, 65535);
	assert_int_equal(vd_nfq_status_of(descriptor, 8, &status), -ENOENT);
	close(descriptor);
}

static void a_descriptor_that_is_none_is_an_error(void **state)
{
	struct vd_nfq_status status;
	int ends[2];

	(void)state;
	assert_int_equal(vd_nfq_status_read(-ENOENT, &status, 1), -ENOENT); /* what vd_nfq_status_open() gave */
	assert_int_equal(vd_nfq_status_of(-EACCES, 7, &status), -EACCES);
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(vd_nfq_status_read(ends[0], &status, 1), -ESPIPE);
	close(ends[0]);
	close(ends[1]);
}

/* ---- receive memory: socket.c ---- */

/* Measured on Linux 6.18 over lo and veth. Room to spare costs little, too little loses packets. */
static void truesize_covers_what_the_kernel_charges(void **state)
{
	const struct {
		uint32_t copied;
		size_t charged;
	} measured[] = {{0, 832}, {100, 832}, {128, 832}, {200, 1280}, {512, 1280}, {1000, 2304}, {1472, 2304}, {4000, 8448}, {60000, 71000}};

	(void)state;
	for (size_t i = 0; i < sizeof measured / sizeof *measured; i++) {
		size_t size = vd_nfq_truesize(measured[i].copied);

		assert_in_range(size, measured[i].charged, measured[i].charged * 3 / 2);
	}
}

static void truesize_grows_with_what_is_copied(void **state)
{
	(void)state;
	for (uint32_t copied = 0; copied < VD_NFQ_COPY_RANGE_MAX; copied++) {
		assert_true(vd_nfq_truesize(copied) > copied);
		if (vd_nfq_truesize(copied + 1) < vd_nfq_truesize(copied))
			fail_msg("%u bytes: %zu, %u bytes: %zu", copied, vd_nfq_truesize(copied), copied + 1,
				 vd_nfq_truesize(copied + 1));
	}
}

static void the_receive_buffer_holds_the_queue_up_to_its_bound(void **state)
{
	const uint32_t maxlens[] = {1, 16, 100, 1024, 4096, 16384, 65536, 1u << 20, UINT32_MAX};
	const uint32_t ranges[] = {1, 64, 128, 129, 256, 512, 1000, 1499, 1500, 1501, 4096, VD_NFQ_COPY_RANGE_MAX, 0};

	(void)state;
	for (size_t i = 0; i < sizeof maxlens / sizeof *maxlens; i++)
		for (size_t j = 0; j < sizeof ranges / sizeof *ranges; j++) {
			size_t bytes = vd_nfq_receive_buffer(maxlens[i], ranges[j]);
			uint32_t usual = ranges[j] && ranges[j] < 1500 ? ranges[j] : 1500;
			size_t needed = (size_t)maxlens[i] * vd_nfq_truesize(usual);

			assert_true(bytes <= VD_NFQ_RECEIVE_BUFFER_MAX);
			assert_true(bytes >= needed || bytes == VD_NFQ_RECEIVE_BUFFER_MAX);
			if (i)
				assert_true(bytes >= vd_nfq_receive_buffer(maxlens[i - 1], ranges[j]));
			if (j) /* 0, everything, is the largest */
				assert_true(bytes >= vd_nfq_receive_buffer(maxlens[i], ranges[j - 1]));
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_field_is_read),
		cmocka_unit_test(reading_again_begins_at_the_top),
		cmocka_unit_test(a_small_array_is_filled_and_all_are_counted),
		cmocka_unit_test(an_empty_file_has_no_queues),
		cmocka_unit_test(lines_that_are_none_are_skipped),
		cmocka_unit_test(random_bytes_are_survived),
		cmocka_unit_test(an_endless_line_is_survived),
		cmocka_unit_test(thousands_of_queues_are_read),
		cmocka_unit_test(one_queue_is_found_or_not),
		cmocka_unit_test(a_descriptor_that_is_none_is_an_error),
		cmocka_unit_test(truesize_covers_what_the_kernel_charges),
		cmocka_unit_test(truesize_grows_with_what_is_copied),
		cmocka_unit_test(the_receive_buffer_holds_the_queue_up_to_its_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
