/* SPDX-License-Identifier: MIT */
/*
 * For tests of the pcap port: capture files made byte by byte, so that libpcap is not its own judge, and a port to play them
 * through, without an engine. What is wrong with the test itself fails it.
 */
#ifndef VERDICT_TEST_CAPTURES_H
#define VERDICT_TEST_CAPTURES_H

#include "engine/port.h"
#include "test/support/bytes.h"

/* ---- files, in a directory that is made for the group of tests: its setup and teardown ---- */

int captures_make_directory(void **state);
int captures_remove_directory(void **state);

/* The magic numbers of pcap, as the number that is written in the file's byte order. */
#define MICROSECONDS 0xa1b2c3d4
#define NANOSECONDS 0xa1b23c4d

/* LINKTYPE_* of the file format. */
enum { NONE = 0, ETHERNET = 1, RAW = 101, LOOP = 108, COOKED = 113, IPV4 = 228, IPV6 = 229, COOKED2 = 276 };

/* Two capture files, and one frame, in the making. */
extern struct bytes file_input, file_expected, frame_bytes;

/* The path of a name in the directory; valid until the eighth call after it. */
const char *file_path(const char *name);
void file_save(const char *name, const struct bytes *bytes);
void assert_file_is(const char *name, const struct bytes *bytes);

void file_put(struct bytes *bytes, uint64_t number, unsigned size, bool big_endian);
void file_begin(struct bytes *bytes, uint32_t magic, bool big_endian, uint32_t snaplen, uint32_t link_type);

/* The usual kind, which is also how outputs are written. */
void file_begin_usual(struct bytes *bytes, uint32_t link_type);
void file_add_record(struct bytes *bytes, bool big_endian, uint32_t seconds, uint32_t fraction, const struct bytes *data,
		     uint32_t captured, uint32_t length);

/* What is in frame_bytes, whole, at 1700000000.123456. */
void file_add_frame(struct bytes *bytes);

/* ---- frames: into frame_bytes, behind the link header in hexadecimal ---- */

/* The beginning of an Ethernet header. */
#define MACS "020000000002 020000000001 "

/* UDP over IPv4 with `length` bytes of payload, which begin with the number (4 bytes). */
void frame_make_udp(const char *link, uint32_t number, uint32_t length);
void frame_make_udp6(const char *link);
void frame_make_arp(void);

/* Does to a packet of frame_make_udp() what a function may: `payload` times 'n' instead of its payload. */
void frame_replace(struct vd_packet *packet, uint32_t payload);

/* ---- a port and slots, each a block of its own for AddressSanitizer ---- */

#define RIG_SLOTS 256

struct rig {
	struct vd_port *port;
	struct vd_port_settings settings; /* the fault verdict is drop */
	struct vd_packet *slots[RIG_SLOTS];
	struct vd_error error;
	unsigned lines; /* logged */
	char line[512]; /* the last one */
};

/* Names are those of files in the directory, or absolute paths; NULL: nowhere. */
int rig_create(struct rig *rig, const char *in, const char *accepted, const char *dropped);
int rig_open(struct rig *rig, uint32_t copy_range);

/* Both, for whole packets; has to go well. */
void rig_start(struct rig *rig, const char *in, const char *accepted, const char *dropped);

/* Receives, and parses as the reader does. */
int rig_receive(struct rig *rig, struct vd_packet **packets, unsigned count);
int rig_answer(struct rig *rig, struct vd_packet **packets, unsigned count, enum vd_verdict verdict);

/* Receives one by one and says the same of all, to the end; returns how many there were, and in *end what came then. */
unsigned rig_run(struct rig *rig, enum vd_verdict verdict, int *end);
void rig_destroy(struct rig *rig);

/* Close and destroy. */
void rig_stop(struct rig *rig);

/* A whole run that has to go well, with so many packets. */
void expect_run(const char *in, const char *accepted, const char *dropped, enum vd_verdict verdict, unsigned count);

#endif
