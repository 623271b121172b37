/* SPDX-License-Identifier: MIT */
/*
 * Writing pcapng (draft-ietf-opsawg-pcapng): one section, one interface, packets with a comment each, statistics. It only makes bytes;
 * where they go is the caller's business.
 *
 *	length = vd_pcapng_begin(bytes, "verdict 0.1.0", "queues of pid 4711", "dropped", 0);
 *	length = vd_pcapng_packet(bytes, packet);
 *	length = vd_pcapng_statistics(bytes, &stats, start_ns, now_ns, true);
 *
 * Packets are of the link type "Linux cooked v2" (LINKTYPE_LINUX_SLL2), since that has a place for what is known of a packet
 * beside its bytes: its protocol, whatever that is, the interface, and whether it came or goes. Numbers are in the order of this machine,
 * which a section says at its begin; times are nanoseconds since 1970.
 */
#ifndef VERDICT_TOOLS_DUMP_PCAPNG_H
#define VERDICT_TOOLS_DUMP_PCAPNG_H

#include <stddef.h>
#include <stdint.h>

#include <verdict/engine.h>

#define VD_PCAPNG_SECTION 0x0a0d0d0au
#define VD_PCAPNG_INTERFACE 1u
#define VD_PCAPNG_STATISTICS 5u
#define VD_PCAPNG_PACKET 6u

/* Options of a block of statistics; one that has the end is the last one. */
#define VD_PCAPNG_STATISTICS_START 2u
#define VD_PCAPNG_STATISTICS_END 3u
#define VD_PCAPNG_STATISTICS_RECEIVED 4u
#define VD_PCAPNG_STATISTICS_DROPPED 5u
#define VD_PCAPNG_STATISTICS_MATCHED 6u
#define VD_PCAPNG_STATISTICS_DELIVERED 8u

#define VD_PCAPNG_COOKED_LENGTH 20u /* bytes of the cooked header, in front of a packet's own */
#define VD_PCAPNG_PACKET_MAX (128u << 10) /* room for any packet's block */
#define VD_PCAPNG_OTHER_MAX 2048u	  /* and for any other one, or all that there is at the begin */

/* All return how many bytes they wrote, a multiple of 4. `snap`: as of the tap. Texts are cut to 255 bytes each. */
size_t vd_pcapng_begin(uint8_t *bytes, const char *program, const char *description, const char *filter, uint32_t snap);
size_t vd_pcapng_packet(uint8_t *bytes, const struct vd_engine_tap_packet *packet);

/* `is_last`: nothing comes behind it. */
size_t vd_pcapng_statistics(uint8_t *bytes, const struct vd_engine_tap_stats *stats, uint64_t start_ns, uint64_t now_ns, bool is_last);

/* What a packet's comment says of it: "drop by no-icmp (queue 7)". */
#define VD_PCAPNG_COMMENT_SIZE 256
void vd_pcapng_comment(char comment[VD_PCAPNG_COMMENT_SIZE], const struct vd_engine_tap_packet *packet);

#endif
