/* SPDX-License-Identifier: MIT */
#include "test/support/captures.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <unistd.h>

#include "engine/slots.h"

struct bytes file_input, file_expected, frame_bytes;

static char directory[64];

/* ---- files ---- */

int captures_make_directory(void **state)
{
	const char *place = getenv("TMPDIR");

	(void)state;
	snprintf(directory, sizeof directory, "%.40s/verdict-XXXXXX", place ? place : "/tmp");
	return mkdtemp(directory) ? 0 : -1;
}

int captures_remove_directory(void **state)
{
	char command[80];

	(void)state;
	snprintf(command, sizeof command, "rm -rf %s", directory);
	return system(command);
}

const char *file_path(const char *name)
{
	static char paths[8][128];
	static unsigned next;
	char *path = paths[next++ % 8];

	snprintf(path, sizeof *paths, "%s/%s", directory, name);
	return path;
}

void file_save(const char *name, const struct bytes *bytes)
{
	FILE *file = fopen(file_path(name), "wb");

	assert_non_null(file);
	assert_int_equal(fwrite(bytes->data, 1, bytes->used, file), bytes->used);
	assert_int_equal(fclose(file), 0);
}

void assert_file_is(const char *name, const struct bytes *bytes)
{
	static uint8_t data[sizeof bytes->data + 1];
	FILE *file = fopen(file_path(name), "rb");
	size_t length;

	assert_non_null(file);
	length = fread(data, 1, sizeof data, file);
	fclose(file);
	assert_int_equal(length, bytes->used);
	assert_memory_equal(data, bytes->data, length);
}

void file_put(struct bytes *bytes, uint64_t number, unsigned size, bool big_endian)
{
	for (unsigned i = 0; i < size; i++) {
		uint8_t byte = (uint8_t)(number >> 8 * (big_endian ? size - 1 - i : i));

		bytes_put(bytes, &byte, 1);
	}
}

/* | magic | version 2.4 | 0 | 0 | longest frame | link type | */
void file_begin(struct bytes *bytes, uint32_t magic, bool big_endian, uint32_t snaplen, uint32_t link_type)
{
	bytes_reset(bytes);
	file_put(bytes, magic, 4, big_endian);
	file_put(bytes, 2, 2, big_endian);
	file_put(bytes, 4, 2, big_endian);
	file_put(bytes, 0, 8, big_endian);
	file_put(bytes, snaplen, 4, big_endian);
	file_put(bytes, link_type, 4, big_endian);
}

void file_begin_usual(struct bytes *bytes, uint32_t link_type)
{
	file_begin(bytes, MICROSECONDS, false, 262144, link_type);
}

/* | seconds | fraction | captured | length | the frame's bytes */
void file_add_record(struct bytes *bytes, bool big_endian, uint32_t seconds, uint32_t fraction, const struct bytes *data,
		       uint32_t captured, uint32_t length)
{
	file_put(bytes, seconds, 4, big_endian);
	file_put(bytes, fraction, 4, big_endian);
	file_put(bytes, captured, 4, big_endian);
	file_put(bytes, length, 4, big_endian);
	bytes_put(bytes, data->data, captured);
}

void file_add_frame(struct bytes *bytes)
{
	file_add_record(bytes, false, 1700000000, 123456, &frame_bytes, frame_bytes.used, frame_bytes.used);
}

/* ---- frames ---- */

void frame_make_udp(const char *link, uint32_t number, uint32_t length)
{
	struct bytes *ip = malloc(sizeof *ip);

	assert_non_null(ip);
	bytes_reset(ip);
	bytes_put_ipv4(ip, 0x0a000001, 0x0a000002, IPPROTO_UDP, 0);
	bytes_put_udp(ip, 1000, 53, (uint16_t)length);
	bytes_put_number(ip, number, 4);
	bytes_put_fill(ip, 'x', length - 4);
	bytes_end_ip(ip);
	bytes_reset(&frame_bytes);
	bytes_put_hex(&frame_bytes, link);
	bytes_put(&frame_bytes, ip->data, ip->used);
	free(ip);
}

void frame_make_udp6(const char *link)
{
	struct bytes *ip = malloc(sizeof *ip);

	assert_non_null(ip);
	bytes_reset(ip);
	bytes_put_ipv6(ip, 1, 2, IPPROTO_UDP);
	bytes_put_udp(ip, 1000, 53, 4);
	bytes_put_fill(ip, 'x', 4);
	bytes_end_ip(ip);
	bytes_reset(&frame_bytes);
	bytes_put_hex(&frame_bytes, link);
	bytes_put(&frame_bytes, ip->data, ip->used);
	free(ip);
}

void frame_make_arp(void)
{
	bytes_reset(&frame_bytes);
	bytes_put_hex(&frame_bytes, "ffffffffffff 020000000001 0806 0001080006040001");
}

void frame_replace(struct vd_packet *packet, uint32_t payload)
{
	struct bytes *ip = malloc(sizeof *ip);

	assert_non_null(ip);
	bytes_reset(ip);
	bytes_put_ipv4(ip, 0x0a000001, 0x0a000002, IPPROTO_UDP, 0);
	bytes_put_udp(ip, 1000, 53, (uint16_t)payload);
	bytes_put_fill(ip, 'n', payload);
	bytes_end_ip(ip);
	assert_int_equal(vd_packet_replace(packet, ip->data, ip->used), 0);
	free(ip);
}

/* ---- a port and slots ---- */

static void keep_line(void *argument, const char *line)
{
	struct rig *rig = argument;

	rig->lines++;
	snprintf(rig->line, sizeof rig->line, "%s", line);
}

int rig_create(struct rig *rig, const char *in, const char *accepted, const char *dropped)
{
	struct vd_capture_options options = {
		.path = file_path(in),
		.accepted_path = accepted && *accepted != '/' ? file_path(accepted) : accepted,
		.dropped_path = dropped && *dropped != '/' ? file_path(dropped) : dropped,
	};

	memset(rig, 0, sizeof *rig);
	return vd_port_pcap_create(&rig->port, &options, &rig->error);
}

int rig_open(struct rig *rig, uint32_t copy_range)
{
	size_t room = rig->port->message_room + copy_range + VD_ROOM;

	rig->settings = (struct vd_port_settings){.copy_range = copy_range, .fault_verdict = VD_DROP,
						  .slot_room = (uint32_t)room, .log = keep_line, .log_argument = rig};
	for (unsigned i = 0; i < RIG_SLOTS; i++)
		assert_int_equal(posix_memalign((void **)&rig->slots[i], VD_CACHE_LINE, VD_SLOT_ROOM + room), 0);
	return rig->port->operations->open(rig->port, &rig->settings, &rig->error);
}

void rig_start(struct rig *rig, const char *in, const char *accepted, const char *dropped)
{
	if (rig_create(rig, in, accepted, dropped) || rig_open(rig, 65531))
		fail_msg("%s", rig->error.text);
}

int rig_receive(struct rig *rig, struct vd_packet **packets, unsigned count)
{
	int got = rig->port->operations->receive(rig->port, packets, count, true);

	for (int i = 0; i < got; i++)
		vd_packet_parse(packets[i], vd_packet_data(packets[i]));
	return got;
}

int rig_answer(struct rig *rig, struct vd_packet **packets, unsigned count, enum vd_verdict verdict)
{
	for (unsigned i = 0; i < count; i++)
		packets[i]->verdict = (uint8_t)verdict;
	return rig->port->operations->send(rig->port, packets, count, false, NULL);
}

void rig_destroy(struct rig *rig)
{
	for (unsigned i = 0; i < RIG_SLOTS; i++)
		free(rig->slots[i]);
	rig->port->operations->destroy(rig->port);
}

void rig_stop(struct rig *rig)
{
	rig->port->operations->close(rig->port);
	rig_destroy(rig);
}

unsigned rig_run(struct rig *rig, enum vd_verdict verdict, int *end)
{
	unsigned count = 0;

	while ((*end = rig_receive(rig, rig->slots, 1)) == 1) {
		count++;
		*end = rig_answer(rig, rig->slots, 1, verdict);
		if (*end)
			break;
	}
	return count;
}

void expect_run(const char *in, const char *accepted, const char *dropped, enum vd_verdict verdict, unsigned count)
{
	struct rig rig;
	int end;

	rig_start(&rig, in, accepted, dropped);
	assert_int_equal(rig_run(&rig, verdict, &end), count);
	assert_int_equal(end, VD_PORT_ENDED);
	assert_int_equal(rig_receive(&rig, rig.slots, 1), VD_PORT_ENDED);
	rig.port->operations->close(rig.port);
	assert_string_equal(rig.port->failure, "");
	rig_destroy(&rig);
}
