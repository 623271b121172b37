/* SPDX-License-Identifier: MIT */
/*
 * The pcap port counts wrong checksums: as captured, and as accepted. test/command/replay.sh has the numbers end to end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/packet/packet.h"
#include "test/support/captures.h"

static struct rig rig;

/* `count` packets of UDP over IPv4, the header's checksum right or wrong; the port has received them all. */
static void start(bool is_right, unsigned count, bool verify)
{
	struct vd_capture_options options = {.path = file_path("in"), .accepted_path = file_path("out"), .verify = verify};

	file_begin_usual(&file_input, RAW);
	for (unsigned i = 0; i < count; i++) {
		struct vd_packet *packet;

		frame_make_udp("", i, 10);
		packet = bytes_packet_of(&frame_bytes);
		assert_int_equal(vd_packet_replace(packet, frame_bytes.data, frame_bytes.used), 0);
		vd_packet_complete(packet);
		memcpy(frame_bytes.data, vd_packet_data(packet), frame_bytes.used);
		free(packet);
		frame_bytes.data[10] ^= !is_right;
		file_add_frame(&file_input);
	}
	file_save("in", &file_input);
	memset(&rig, 0, sizeof rig);
	assert_int_equal(vd_port_pcap_create(&rig.port, &options, &rig.error), 0);
	assert_int_equal(rig_open(&rig, 65531), 0);
	assert_int_equal(rig_receive(&rig, rig.slots, count), count);
}

static void expect_counted(uint64_t checked, uint64_t before, uint64_t after)
{
	struct vd_port_counters counters;

	rig.port->operations->counters(rig.port, &counters);
	assert_int_equal(counters.checksums_checked, checked);
	assert_int_equal(counters.checksums_wrong_before, before);
	assert_int_equal(counters.checksums_wrong_after, after);
	assert_int_equal(counters.checksums_unknown, 0);
}

static void verdicts_decide_what_is_after(void **state)
{
	static const struct {
		enum vd_verdict verdict;
		unsigned after;
	} cases[] = {{VD_ACCEPT, 5}, {VD_STOP, 5}, {VD_REPEAT, 5}, {VD_QUEUE, 5}, {VD_DROP, 0}, {VD_REJECT, 0}};

	(void)state;
	for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
		start(false, 5, true);
		expect_counted(5, 5, 0);
		assert_int_equal(rig_answer(&rig, rig.slots, 5, cases[i].verdict), 0);
		expect_counted(5, 5, cases[i].after);
		rig_stop(&rig);
	}
	start(true, 5, true);
	assert_int_equal(rig_answer(&rig, rig.slots, 5, VD_ACCEPT), 0);
	expect_counted(5, 0, 0);
	rig_stop(&rig);
	start(false, 5, false);
	assert_int_equal(rig_answer(&rig, rig.slots, 5, VD_ACCEPT), 0);
	expect_counted(0, 0, 0);
	rig_stop(&rig);
}

/* An edit makes the header's checksum anew; but not if it was refused in the end, and the packet goes on as it came. */
static void after_is_what_comes_out(void **state)
{
	(void)state;
	start(false, 3, true);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(vd_packet_set_ttl(rig.slots[i], 9), 0);
		vd_packet_complete(rig.slots[i]);
	}
	rig.slots[1]->changed = 0; /* as the engine does it with a refused one */
	assert_int_equal(rig_answer(&rig, rig.slots, 3, VD_ACCEPT), 0);
	expect_counted(3, 3, 2);
	rig_stop(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(verdicts_decide_what_is_after),
		cmocka_unit_test(after_is_what_comes_out),
	};

	return cmocka_run_group_tests(tests, captures_make_directory, captures_remove_directory);
}
