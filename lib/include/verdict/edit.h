/* SPDX-License-Identifier: MIT */
/*
 * Editing a packet: what a verdict function may change in it. Lengths and checksums are the engine's business, so that a
 * packet never leaves with a wrong one by accident. Rewriting a port is three lines:
 *
 *	if (vd_packet_protocol(packet) == IPPROTO_UDP && vd_packet_destination_port(packet) == 53)
 *		vd_packet_set_destination_port(packet, 5353);
 *	return VD_NEXT;
 *
 * An edit takes effect at once: accessors, and functions behind this one, see the new bytes. The checksum fields do not,
 * before all functions are done: then each is completed, once. By what changed (RFC 1624), so that damage from the way here
 * still shows at the receiver; or, where that cannot be, over all that it covers. The kernel sends the packet on with that.
 *
 *	IPv4 header		completed over the header
 *	TCP, UDP, UDP-Lite,	by what changed; in full after its length changed. UDP's "no checksum" (0) stays over IPv4 and
 *	ICMP, ICMPv6, GRE, DCCP	is completed in full over IPv6, where it is none. UDP-Lite and DCCP: as far as they cover
 *	SCTP (CRC32c)		in full, if bytes that it covers changed
 *	checksum not ready	in full (vd_packet_checksum_not_ready(): the field holds the pseudo-header's sum only)
 *	first fragment		by what changed: the checksum is the whole datagram's, so each of its fragments has to be
 *				edited alike
 *	later fragment		has none
 *	other protocols		theirs, if any, stays as it is; their bytes can only be changed by vd_packet_replace()
 *
 * All calls: 0 or -errno, and then nothing has changed. Arguments are copied; they must not lie in the packet. Pointers into
 * the packet that were taken before a call that changes its length are void after it. Two kinds of errors:
 *
 *	what was asked for does not fit this packet, which is all that happens:
 *	-EPROTONOSUPPORT  it has no such field: not IP, no ports, no TCP, a later fragment; or its protocol is not known
 *	-ENOENT		  the TCP option is not there
 *	-EINVAL		  a number is out of its range, bytes are beyond the payload's end, or the packet is malformed
 *
 *	the edit is refused. The packet must not go on as if nothing had been wanted: if it would, it gets the engine's fault
 *	verdict (--on-fault), and is counted. Who can live without the edit asks vd_packet_may_edit() first.
 *	-ENODATA	  only a part of the packet was copied: declare VD_WHOLE
 *	-EMSGSIZE	  it would grow beyond its room: by more than VD_ROOM, or beyond 65531 bytes
 *	-EOPNOTSUPP	  the newest kernels drop such a rewrite, so no kernel is given one: on a bridge's queue; IP options,
 *			  extension headers, fragment fields. Or the field of a fragment that another one carries. Or segments in one
 *			  packet (GSO) whose checksums could not be made: UDP in PREROUTING and INPUT or with another length, and
 *			  other protocols than TCP (VD_NEEDS_SEGMENTS gives segments). Or a packet in a tunnel's packet whose
 *			  inner checksum is not ready
 *	-EPERM		  the newest kernels drop any rewrite that comes from a user namespace of its own
 *	-EBADMSG	  the checksum was wrong when the packet came, and completing it in full would hide that
 */
#ifndef VERDICT_EDIT_H
#define VERDICT_EDIT_H

#include <verdict/packet.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

/* Whether this packet can be edited at all: 0, or what the calls below would say: -EINVAL, -ENODATA, -EOPNOTSUPP, -EPERM. */
int vd_packet_may_edit(const struct vd_packet *packet);

/* ---- IP ---- */

/*
 * The source or destination address: 4 bytes (IPv4) or 16 (IPv6), as the packet's version is, in network byte order. The flow
 * hash stays, and so does the route where the kernel has chosen it already: destinations are for PREROUTING and OUTPUT.
 */
int vd_packet_set_source(struct vd_packet *packet, const void *address);
int vd_packet_set_destination(struct vd_packet *packet, const void *address);

/* Time to live, or hop limit: 0 to 255. */
int vd_packet_set_ttl(struct vd_packet *packet, unsigned ttl);

/* The differentiated services code point: 0 to 63 (RFC 2474). */
int vd_packet_set_dscp(struct vd_packet *packet, unsigned dscp);

/* Explicit congestion notification: 0 to 3 (RFC 3168). */
int vd_packet_set_ecn(struct vd_packet *packet, unsigned ecn);

/* ---- ports ---- */

/* 0 to 65535, of TCP, UDP, UDP-Lite, SCTP, DCCP. A later fragment has none. */
int vd_packet_set_source_port(struct vd_packet *packet, unsigned port);
int vd_packet_set_destination_port(struct vd_packet *packet, unsigned port);

/* ---- TCP ---- */

/* The eight flags of vd_packet_tcp_flags(), all of them: 0 to 255. */
int vd_packet_set_tcp_flags(struct vd_packet *packet, unsigned flags);

int vd_packet_set_tcp_sequence(struct vd_packet *packet, uint32_t sequence);
int vd_packet_set_tcp_acknowledgment(struct vd_packet *packet, uint32_t acknowledgment);

/* As in the header, not scaled: 0 to 65535. */
int vd_packet_set_tcp_window(struct vd_packet *packet, unsigned window);

/*
 * Another value for a TCP option that is there, the first of this kind, as long as the old one (-EINVAL). `kind` is 2 to 255.
 * -ENOENT: there is none.
 */
int vd_packet_set_tcp_option(struct vd_packet *packet, unsigned kind, const void *value, uint32_t length);

/* Puts no-operations in the place of all options of this kind, 2 to 255. -ENOENT: there is none. */
int vd_packet_remove_tcp_option(struct vd_packet *packet, unsigned kind);

/*
 * Lowers the maximum segment size that a SYN announces to `mss`, 1 to 65535; a smaller one stays. 1: lowered; 0: it was not
 * larger; -ENOENT: it announces none; -EPROTONOSUPPORT: no SYN.
 */
int vd_packet_clamp_mss(struct vd_packet *packet, unsigned mss);

/* ---- payload: what vd_packet_payload() gives; offsets begin there ---- */

/* `length` bytes at `offset`; no byte moves. */
int vd_packet_write_payload(struct vd_packet *packet, uint32_t offset, const void *data, uint32_t length);

/*
 * These change the packet's length. The lengths in the IP and UDP headers (and UDP-Lite's coverage, where it was all, or
 * more than is left) are set; the rest of the payload moves.
 *
 * TCP counts bytes: after the first change of length, all later sequence and acknowledgment numbers of the connection, in both
 * directions, are off by it, and the connection stalls unless you correct them (and selective acknowledgments) in each later
 * packet. SCTP and DCCP have lengths of their own inside. All that is yours.
 *
 * -EOPNOTSUPP also for fragments: where the next one begins is part of it.
 */
int vd_packet_replace_payload(struct vd_packet *packet, const void *data, uint32_t length);
int vd_packet_insert_payload(struct vd_packet *packet, uint32_t offset, const void *data, uint32_t length);
int vd_packet_delete_payload(struct vd_packet *packet, uint32_t offset, uint32_t length);

/* ---- everything ---- */

/*
 * Replaces the whole packet, from its network header on, by `length` bytes at `data`. The new packet is parsed again, so that
 * the accessors tell the truth about it; its flow hash stays. Its checksums are completed in full, whatever they are in
 * `data`, but not those of fragments and of protocols that are not known: these are yours.
 *
 * -EINVAL also: the new packet is malformed, or of another IP version, or its total length is not `length`. -EOPNOTSUPP also:
 * IP options, extension headers or fragment fields (other than "don't fragment") differ from the old ones.
 */
int vd_packet_replace(struct vd_packet *packet, const void *data, uint32_t length);

/* ---- checksums ---- */

/*
 * Whether the checksums that the packet has now are right; what was edited is completed first. 0: right, or there are none;
 * -EBADMSG: one is wrong; -ENODATA: cannot be told, because a part of the packet is not here (a fragment, or not
 * copied), or because the checksum is not ready yet; -EINVAL: the packet is malformed.
 */
int vd_packet_verify(struct vd_packet *packet);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
