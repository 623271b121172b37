/* SPDX-License-Identifier: MIT */
/*
 * What a rejected packet's sender is told: which answer a packet gets, if any, and its bytes. Internal to lib/ and engine/.
 *
 * Nothing here knows the machine: whether an address is a broadcast of a network that is attached, and which address an ICMP
 * error comes from, the caller has to find out.
 */
#ifndef VERDICT_LIB_ANSWER_H
#define VERDICT_LIB_ANSWER_H

#include "packet.h"

/* Every answer fits: what every IPv6 link carries (RFC 4443 2.4(c)); over IPv4 it is 576 (RFC 1812 4.3.2.3). */
#define VD_ANSWER_SIZE_MAX 1280u

enum vd_answer {
	VD_ANSWER_RESET,       /* TCP with RST */
	VD_ANSWER_UNREACHABLE, /* ICMP or ICMPv6, "destination unreachable" */

	/* none, because ... */
	VD_ANSWER_MALFORMED,   /* it contradicts its own headers */
	VD_ANSWER_NOT_IP,
	VD_ANSWER_FRAGMENT,    /* first or later (RFC 1122 3.2.2): what it is a part of has not been seen */
	VD_ANSWER_CUT,	       /* headers were not copied */
	VD_ANSWER_NO_HOST,     /* one of its addresses is not a single host's: multicast, broadcast, unspecified ... */
	VD_ANSWER_IS_ANSWER,   /* it is an ICMP error or a TCP reset itself (RFC 1122 3.2.2, 4443 2.4(e), 9293 3.5.2) */
	VD_ANSWER_UNFIT,       /* what was asked for cannot be said of it: a reset of UDP, a code that there is not */
};

static inline bool vd_answer_is_none(enum vd_answer answer)
{
	return answer > VD_ANSWER_UNREACHABLE;
}

/* Of a parsed packet, with `reject` and `reject_code` set. Total: any packet, any numbers in these. */
enum vd_answer vd_answer_choose(const struct vd_packet *packet);

/*
 * Writes the answer, its IP header first, to `buffer` of VD_ANSWER_SIZE_MAX bytes; returns its length. `answer` is what
 * vd_answer_choose() said, and not none. `source` is the address that an ICMP error comes from, 4 or 16 bytes; NULL: the
 * packet's destination, which is where a reset always comes from. Over IPv4 it may be 0.0.0.0 for somebody else to fill in:
 * then the header's checksum is still to be made.
 */
uint32_t vd_answer_build(const struct vd_packet *packet, enum vd_answer answer, const uint8_t *source, uint8_t *buffer);

#endif
