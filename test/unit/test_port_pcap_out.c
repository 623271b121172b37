/* SPDX-License-Identifier: MIT */
/*
 * The pcap port: where frames go, what they look like then, and in which order, whoever answers when.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include "test/support/captures.h"

/* ---- outputs ---- */

static void verdicts_say_where_a_frame_goes(void **state)
{
	static const enum vd_verdict verdicts[] = {VD_ACCEPT, VD_DROP, VD_STOP, VD_REPEAT, VD_REJECT, VD_QUEUE};
	struct rig rig;

	(void)state;
	file_begin_usual(&file_input, RAW);
	for (unsigned i = 0; i < 6; i++) {
		frame_make_udp("", i, 4);
		file_add_frame(&file_input);
	}
	file_save("in", &file_input);
	for (unsigned way = 0; way < 4; way++) {
		rig_start(&rig, "in", way & 1 ? "out" : NULL, way & 2 ? "dropped" : NULL);
		assert_int_equal(rig_receive(&rig, rig.slots, 6), 6);
		for (unsigned i = 6; i-- > 0;)
			assert_int_equal(rig_answer(&rig, rig.slots + i, 1, verdicts[i]), 0);
		rig_stop(&rig);
		for (unsigned dropped = 0; dropped < 2; dropped++) {
			file_begin_usual(&file_expected, RAW);
			for (unsigned i = 0; i < 6; i++) {
				frame_make_udp("", i, 4);
				if ((verdicts[i] == VD_DROP || verdicts[i] == VD_REJECT) == dropped)
					file_add_frame(&file_expected);
			}
			if (way & 1u << dropped)
				assert_file_is(dropped ? "dropped" : "out", &file_expected);
		}
		unlink(file_path("out"));
		unlink(file_path("dropped"));
	}
}

static void expect_new(uint32_t payload, const char *link)
{
	frame_make_udp(link, 0x6e6e6e6e, payload);
	memset(frame_bytes.data + frame_bytes.used - payload, 'n', payload);
	file_add_frame(&file_expected);
}

static void rewritten_packets_come_out_behind_their_link_header(void **state)
{
	static const uint32_t payloads[] = {4, 100, 101, 100 + VD_ROOM, 2000, 60000};
	const char *link = MACS "8100 0007 0800";
	struct rig rig;

	(void)state;
	file_begin_usual(&file_input, ETHERNET);
	for (unsigned i = 0; i < 8; i++) {
		frame_make_udp(link, i, 100);
		bytes_put_fill(&frame_bytes, 0, 7); /* padding, which is the new packet's business */
		file_add_frame(&file_input);
	}
	file_save("in", &file_input);
	rig_start(&rig, "in", "out", "dropped");
	assert_int_equal(rig_receive(&rig, rig.slots, 8), 8);
	for (unsigned i = 0; i < 6; i++)
		frame_replace(rig.slots[i], payloads[i]);
	frame_replace(rig.slots[6], 4);
	assert_int_equal(rig_answer(&rig, rig.slots + 6, 1, VD_DROP), 0);
	assert_int_equal(rig_answer(&rig, rig.slots + 7, 1, VD_ACCEPT), 0);
	assert_int_equal(rig_answer(&rig, rig.slots, 6, VD_ACCEPT), 0);
	rig_stop(&rig);

	file_begin_usual(&file_expected, ETHERNET);
	for (unsigned i = 0; i < 6; i++)
		expect_new(payloads[i], link);
	frame_make_udp(link, 7, 100);
	bytes_put_fill(&frame_bytes, 0, 7);
	file_add_frame(&file_expected);
	assert_file_is("out", &file_expected);

	file_begin_usual(&file_expected, ETHERNET);
	frame_make_udp(link, 6, 100); /* as it came in */
	bytes_put_fill(&frame_bytes, 0, 7);
	file_add_frame(&file_expected);
	assert_file_is("dropped", &file_expected);
}

static void what_was_never_answered_gets_the_fault_verdict(void **state)
{
	struct vd_port_counters counters;
	struct rig rig;

	(void)state;
	file_begin_usual(&file_input, RAW);
	for (unsigned i = 0; i < 4; i++) {
		frame_make_udp("", i, 4);
		file_add_frame(&file_input);
	}
	file_save("in", &file_input);
	rig_start(&rig, "in", "out", "dropped");
	assert_int_equal(rig_receive(&rig, rig.slots, 3), 3);
	frame_replace(rig.slots[0], 50); /* unfinished work leaves no trace */
	assert_int_equal(rig_answer(&rig, rig.slots + 1, 1, VD_ACCEPT), 0);
	rig.port->operations->close(rig.port);
	rig.port->operations->counters(rig.port, &counters);
	assert_int_equal(counters.left_dropped, 2);
	assert_int_equal(counters.left_accepted, 0);
	rig_destroy(&rig);
	file_begin_usual(&file_expected, RAW);
	frame_make_udp("", 1, 4);
	file_add_frame(&file_expected);
	assert_file_is("out", &file_expected);
	file_begin_usual(&file_expected, RAW);
	for (unsigned i = 0; i < 3; i += 2) {
		frame_make_udp("", i, 4);
		file_add_frame(&file_expected);
	}
	assert_file_is("dropped", &file_expected);
}

static void expect_not_opened(const char *accepted, const char *dropped, int code, const char *said)
{
	struct rig rig;

	assert_int_equal(rig_create(&rig, "in", accepted, dropped), 0);
	assert_int_equal(rig_open(&rig, 65531), code);
	if (!strstr(rig.error.text, said))
		fail_msg("'%s' does not say \"%s\"", rig.error.text, said);
	rig_destroy(&rig);
}

static void outputs_that_would_destroy_something_are_refused(void **state)
{
	struct bytes *before = malloc(sizeof *before);

	(void)state;
	assert_non_null(before);
	file_begin_usual(&file_input, RAW);
	frame_make_udp("", 1, 4);
	file_add_frame(&file_input);
	file_save("in", &file_input);
	bytes_reset(before);
	bytes_put_fill(before, 'b', 10);
	file_save("before", before);
	unlink(file_path("link"));
	unlink(file_path("new"));
	assert_int_equal(symlink("in", file_path("link")), 0);

	expect_not_opened("in", NULL, -EINVAL, "is the capture that is read");
	expect_not_opened("link", NULL, -EINVAL, "is the capture that is read");
	expect_not_opened("before", "in", -EINVAL, "is the capture that is read");
	expect_not_opened("before", "before", -EINVAL, "would both go to");
	expect_not_opened("new", "new", -EINVAL, "would both go to");
	expect_not_opened("before", "none/such", -ENOENT, "cannot write");
	expect_not_opened("new", "none/such", -ENOENT, "cannot write");
	expect_not_opened("none/such", "before", -ENOENT, "cannot write");
	expect_not_opened(".", NULL, -EISDIR, "cannot write");
	assert_file_is("in", &file_input);
	assert_file_is("before", before);
	assert_int_not_equal(access(file_path("new"), F_OK), 0);
	free(before);
}

static void an_output_replaces_what_was_there(void **state)
{
	(void)state;
	bytes_reset(&file_input);
	bytes_put_fill(&file_input, 'b', 10000);
	file_save("out", &file_input);
	file_begin_usual(&file_input, RAW);
	frame_make_udp("", 1, 4);
	file_add_frame(&file_input);
	file_save("in", &file_input);
	expect_run("in", "out", NULL, VD_ACCEPT, 1);
	assert_file_is("out", &file_input);
	expect_run("in", "/dev/null", "/dev/null", VD_ACCEPT, 1);
}

static void a_full_disk_is_told(void **state)
{
	struct rig rig;
	int end;

	(void)state;
	frame_make_udp("", 1, 1400);
	file_begin_usual(&file_input, RAW);
	for (unsigned i = 0; i < 40; i++)
		file_add_frame(&file_input);
	file_save("in", &file_input);
	/* all fits into the buffer: at the end, from the call that brings it */
	rig_start(&rig, "in", "/dev/full", NULL);
	rig_run(&rig, VD_ACCEPT, &end);
	assert_int_equal(end, -ENOSPC);
	assert_non_null(strstr(rig.port->failure, "cannot write '/dev/full' (No space left on device)"));
	assert_int_equal(rig_receive(&rig, rig.slots, 1), -ENOSPC);
	rig_stop(&rig);
	/* or from close(), when it was stopped before */
	rig_start(&rig, "in", NULL, "/dev/full");
	assert_int_equal(rig_receive(&rig, rig.slots, 1), 1);
	assert_int_equal(rig_answer(&rig, rig.slots, 1, VD_DROP), 0);
	assert_string_equal(rig.port->failure, "");
	rig.port->operations->close(rig.port);
	assert_non_null(strstr(rig.port->failure, "cannot write '/dev/full'"));
	rig_destroy(&rig);
	/* in the middle, and in a capture that is cut short the full disk is what counts */
	for (unsigned i = 40; i < 80; i++)
		file_add_frame(&file_input);
	file_input.used--;
	file_save("in", &file_input);
	rig_start(&rig, "in", "/dev/full", NULL);
	assert_in_range(rig_run(&rig, VD_ACCEPT, &end), 40, 78);
	assert_int_equal(end, -ENOSPC);
	assert_non_null(strstr(rig.port->failure, "cannot write '/dev/full'"));
	rig_stop(&rig);
}

/* ---- order ---- */

#define SENDERS 4
#define MANY 900

struct sending {
	struct rig *rig;
	pthread_mutex_t lock;
	struct vd_packet *free[RIG_SLOTS];
	struct vd_packet *received[RIG_SLOTS];
	unsigned free_count, received_count;
	uint64_t random;
	bool ended;
	bool failed;
};

/* Takes packets out of the middle, so that they are answered in any order; each thread as fast as it can. */
static void *send_some(void *argument)
{
	struct sending *sending = argument;
	struct vd_packet *burst[3];
	bool more = true;

	while (more) {
		unsigned count = 0;

		pthread_mutex_lock(&sending->lock);
		while (count < 3 && sending->received_count) {
			uint32_t at = bytes_random_below(&sending->random, sending->received_count);

			burst[count++] = sending->received[at];
			sending->received[at] = sending->received[--sending->received_count];
		}
		more = count || !sending->ended;
		pthread_mutex_unlock(&sending->lock);
		for (unsigned i = 0; i < count; i++) {
			uint8_t number = vd_packet_data(burst[i])[31];

			if (number % 5 == 0)
				frame_replace(burst[i], number);
			burst[i]->verdict = number % 3 == 0 ? VD_DROP : VD_ACCEPT;
		}
		if (count && sending->rig->port->operations->send(sending->rig->port, burst, count, false, NULL))
			sending->failed = true;
		for (unsigned i = 0; i < count; i++) /* whoever gets the slot next writes over it */
			memset(burst[i] + 1, 0xdb, 200);
		pthread_mutex_lock(&sending->lock);
		for (unsigned i = 0; i < count; i++)
			sending->free[sending->free_count++] = burst[i];
		pthread_mutex_unlock(&sending->lock);
		if (!count)
			sched_yield();
	}
	return NULL;
}

static void receive_all(struct sending *sending)
{
	for (;;) {
		struct vd_packet *burst[16];
		unsigned count = 0;
		int got;

		pthread_mutex_lock(&sending->lock);
		while (count < 16 && sending->free_count)
			burst[count++] = sending->free[--sending->free_count];
		pthread_mutex_unlock(&sending->lock);
		got = count ? rig_receive(sending->rig, burst, count) : 0;
		pthread_mutex_lock(&sending->lock);
		for (unsigned i = 0; i < count; i++)
			if ((int)i < got)
				sending->received[sending->received_count++] = burst[i];
			else
				sending->free[sending->free_count++] = burst[i];
		sending->ended = got < 0;
		pthread_mutex_unlock(&sending->lock);
		if (got < 0) {
			assert_int_equal(got, VD_PORT_ENDED);
			return;
		}
		if (!got)
			sched_yield();
	}
}

static void many_threads_keep_the_order_of_the_capture(void **state)
{
	struct sending sending = {.lock = PTHREAD_MUTEX_INITIALIZER, .random = bytes_seed("order")};
	pthread_t threads[SENDERS];
	struct rig rig;

	(void)state;
	file_begin_usual(&file_input, ETHERNET);
	for (uint32_t i = 0; i < MANY; i++) {
		frame_make_udp(MACS "0800", i & 0xff, 4 + i % 50);
		file_add_frame(&file_input);
		if (i % 7 == 0) {
			frame_make_arp();
			file_add_frame(&file_input);
		}
	}
	file_save("in", &file_input);
	rig_start(&rig, "in", "out", "dropped");
	sending.rig = &rig;
	for (unsigned i = 0; i < RIG_SLOTS; i++)
		sending.free[sending.free_count++] = rig.slots[i];
	for (unsigned i = 0; i < SENDERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, send_some, &sending), 0);
	receive_all(&sending);
	for (unsigned i = 0; i < SENDERS; i++)
		pthread_join(threads[i], NULL);
	assert_false(sending.failed);
	rig_stop(&rig);

	for (unsigned dropped = 0; dropped < 2; dropped++) {
		file_begin_usual(&file_expected, ETHERNET);
		for (uint32_t i = 0; i < MANY; i++) {
			uint8_t number = i & 0xff;

			frame_make_udp(MACS "0800", number, 4 + i % 50);
			if ((number % 3 == 0) == dropped) {
				if (number % 5 == 0 && !dropped)
					expect_new(number, MACS "0800");
				else
					file_add_frame(&file_expected);
			}
			if (i % 7 == 0 && !dropped) {
				frame_make_arp();
				file_add_frame(&file_expected);
			}
		}
		assert_file_is(dropped ? "dropped" : "out", &file_expected);
	}
}

/* 31 MB of packets, most of them large, with their number: more than may be on its way at once. */
#define LARGE 1200

static void make_large_input(void)
{
	FILE *file = fopen(file_path("in"), "wb");

	assert_non_null(file);
	file_begin_usual(&file_input, RAW);
	for (uint32_t i = 0; i < LARGE; i++) {
		frame_make_udp("", i, i % 40 ? 1000 + 50 * (i % 1009) : 4);
		file_add_frame(&file_input);
		assert_int_equal(fwrite(file_input.data, 1, file_input.used, file), file_input.used);
		bytes_reset(&file_input);
	}
	assert_int_equal(fclose(file), 0);
}

static void assert_output_is_the_input(void)
{
	char command[300];

	snprintf(command, sizeof command, "cmp %s %s", file_path("in"), file_path("out"));
	assert_int_equal(system(command), 0);
}

static bool is_number(const struct vd_packet *packet, uint32_t number)
{
	const uint8_t *at = vd_packet_data(packet) + 28;

	return ((uint32_t)at[2] << 8 | at[3]) == number;
}

/* A packet that nobody answers holds up so many bytes behind it, and then reading stops, until it is answered. */
static void a_held_up_packet_stops_the_reading_and_nothing_is_lost(void **state)
{
	struct rig rig;
	unsigned stops = 0, number = 0;
	int got = 1;

	(void)state;
	make_large_input();
	rig_start(&rig, "in", "out", NULL);
	while (number < LARGE) {
		assert_int_equal(rig_receive(&rig, rig.slots, 1), 1);
		assert_true(is_number(rig.slots[0], number++));
		while (number < LARGE && (got = rig_receive(&rig, rig.slots + 1, 1)) == 1) { /* others overtake it */
			assert_true(is_number(rig.slots[1], number++));
			assert_int_equal(rig_answer(&rig, rig.slots + 1, 1, VD_ACCEPT), 0);
		}
		if (number < LARGE) {
			assert_int_equal(got, 0);
			stops++;
		}
		assert_int_equal(rig_answer(&rig, rig.slots, 1, VD_ACCEPT), 0);
	}
	assert_true(stops > 0);
	assert_int_equal(rig_receive(&rig, rig.slots, 1), VD_PORT_ENDED);
	rig_stop(&rig);
	assert_output_is_the_input();
}

/* Always some on their way, so that the bytes go round and round. */
static void a_window_of_packets_moves_through_a_large_capture(void **state)
{
	struct rig rig;
	int got;

	(void)state;
	make_large_input();
	rig_start(&rig, "in", "out", NULL);
	for (unsigned number = 0; (got = rig_receive(&rig, &rig.slots[number % 50], 1)) == 1; number++) {
		assert_true(is_number(rig.slots[number % 50], number));
		if (number >= 49)
			assert_int_equal(rig_answer(&rig, &rig.slots[(number + 1) % 50], 1, VD_ACCEPT), 0);
	}
	assert_int_equal(got, VD_PORT_ENDED);
	for (unsigned number = LARGE - 49; number < LARGE; number++)
		assert_int_equal(rig_answer(&rig, &rig.slots[number % 50], 1, VD_ACCEPT), 0);
	rig_stop(&rig);
	assert_output_is_the_input();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(verdicts_say_where_a_frame_goes),
		cmocka_unit_test(rewritten_packets_come_out_behind_their_link_header),
		cmocka_unit_test(what_was_never_answered_gets_the_fault_verdict),
		cmocka_unit_test(outputs_that_would_destroy_something_are_refused),
		cmocka_unit_test(an_output_replaces_what_was_there),
		cmocka_unit_test(a_full_disk_is_told),
		cmocka_unit_test(many_threads_keep_the_order_of_the_capture),
		cmocka_unit_test(a_held_up_packet_stops_the_reading_and_nothing_is_lost),
		cmocka_unit_test(a_window_of_packets_moves_through_a_large_capture),
	};

	return cmocka_run_group_tests(tests, captures_make_directory, captures_remove_directory);
}
