/* SPDX-License-Identifier: MIT */
/*
 * A packet as a verdict function sees it: read it, mark it. <verdict/edit.h> changes its bytes.
 *
 * The engine fills the packet before a function runs and takes it back when the function returns. So:
 *
 * Ownership: a packet and every pointer into it belong to the engine. They are valid until the function that was
 *            given the packet returns its verdict; keep nothing, copy what you need.
 * Threads:   one thread at a time holds a packet. None of these calls takes a lock or allocates.
 * Order:     numbers are in host byte order unless the name ends in _be. Addresses and headers are raw bytes of the
 *            packet, in network byte order.
 * Layout:    the struct is public only so that the accessors can be inline. Read it through them: the engine refuses
 *            functions that were built for another layout (VD_FUNCTION_ABI in <verdict/function.h>).
 *
 * Every accessor is total: it may be called on any packet, malformed ones included, and says "not there" with NULL, 0
 * or -errno. Nothing here reads beyond the bytes that were copied.
 */
#ifndef VERDICT_PACKET_H
#define VERDICT_PACKET_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

/* What a function can say about a packet. */
enum vd_verdict {
	VD_NEXT = 0,	/* no opinion: the next function decides; after the last one, `--default` */
	VD_ACCEPT = 1,	/* goes on its way through the rules behind the queue (NF_ACCEPT) */
	VD_DROP = 2,	/* is dropped (NF_DROP) */
	VD_REPEAT = 3,	/* runs the same hook again from its start (NF_REPEAT): set a mark, or it comes back for ever */
	VD_QUEUE = 4,	/* goes to another queue: return vd_packet_requeue(), which also says which */
	VD_STOP = 5,	/* is accepted and skips the rest of the hook (NF_STOP) */
	VD_REJECT = 6,	/* is dropped, and its sender is told: return vd_packet_reject(), which also says how */
	VD_HELD = 7,	/* waits for its verdict: return vd_packet_hold() (<verdict/hold.h>), which also says how long */
};
#define VD_VERDICT_COUNT 8

/* Why a packet has no transport header to read, and other things that parsing found: vd_packet_is_*() ask for them. */
#define VD_PARSED_MALFORMED 0x01u	 /* contradicts its own headers */
#define VD_PARSED_FRAGMENT 0x02u	 /* a fragment, first or later (RFC 791, RFC 8200) */
#define VD_PARSED_LATER_FRAGMENT 0x04u	 /* a fragment that does not carry the transport header */

/* What the function changed: the verdict message carries only these. */
#define VD_CHANGED_MARK 0x01u
#define VD_CHANGED_PRIORITY 0x02u
#define VD_CHANGED_CONNTRACK_MARK 0x04u
#define VD_CHANGED_VLAN 0x08u
#define VD_CHANGED_DATA 0x10u

/* What edits left to do before the packet goes back. */
#define VD_EDITED 0x01u		/* something changed: the IPv4 header's checksum */
#define VD_EDITED_TRANSPORT 0x02u /* the transport checksum, by what changed (RFC 1624) */
#define VD_EDITED_FULL 0x04u	/* the transport checksum, over all that it covers */

/* The kernel's word on a packet's checksum and size: NFQA_SKB_INFO in <linux/netfilter/nfnetlink_queue.h>. */
#define VD_SKB_CHECKSUM_NOT_READY 0x1u
#define VD_SKB_GSO 0x2u
#define VD_SKB_CHECKSUM_NOT_VERIFIED 0x4u

/*
 * Where the running function's counters are; the engine sets it before each call. Use vd_count().
 */
struct vd_holding;

struct vd_context {
	uint64_t *counters;
	uint32_t counter_count;
	struct vd_holding *holding; /* for vd_packet_hold(); NULL: the function has not declared VD_NEEDS_HOLD */
};

/*
 * All places are offsets from the struct itself, never pointers, so that a packet can lie in memory that several
 * processes map at different addresses. `context` belongs to the process that is deciding.
 */
struct vd_packet {
	struct vd_context *context;
	uint32_t data_offset;	 /* the network header */
	uint32_t length;	 /* bytes present, from the network header on */
	uint32_t room;		 /* bytes that fit there: length can grow to this */
	uint32_t wire_length;	 /* bytes that the packet really has */

	uint32_t id;
	uint32_t mark;
	uint32_t flow_hash;
	uint32_t skb_info;
	uint32_t indev;
	uint32_t outdev;
	uint16_t queue;
	uint16_t ethertype;
	uint8_t hook;
	uint8_t family;
	uint8_t ip_version;
	uint8_t protocol;

	uint16_t network_length;      /* of the IP header with its options or extension headers, as far as they are known */
	uint16_t transport_offset;    /* from the network header; 0: no transport header known */
	uint16_t fragment_offset;     /* in bytes */
	uint8_t parsed;
	uint8_t changed;
	uint8_t verdict;
	uint8_t requeue_bypass;
	uint16_t requeue;
	uint16_t vlan_protocol;
	uint16_t vlan_tci;
	uint8_t has_bridge_ports;     /* the message names the bridge ports */
	uint8_t edit_ban;	      /* an errno: this packet cannot go back changed; 0: it can */
	uint8_t edited;		      /* VD_EDITED_*: checksums that are still to be completed */
	uint8_t edit_refused;	      /* an errno: why an edit was refused */
	uint8_t reject;		      /* enum vd_reject */
	uint8_t reject_code;
	uint32_t priority;
	uint32_t conntrack_mark;
	uint32_t message_offset;      /* the netlink attributes; 0: this packet did not come from the kernel */
	uint32_t message_length;
	uint32_t original_length;     /* before a function changed it */
	uint32_t link_length;	      /* bytes of link-layer header in front of the data (captures) */
	uint64_t port_private;	      /* whatever the port wants to find again when the verdict is sent */
	uint64_t edit_address_sum;    /* what edits changed: sums of 16-bit words, new ones and complements of old ones; */
	uint64_t edit_transport_sum;  /* only valid while `edited` is set */
};

/* ---- bytes ---- */

/* The packet from its network header on. Never NULL. Do not write to it: <verdict/edit.h> does. */
static inline const uint8_t *vd_packet_data(const struct vd_packet *packet)
{
	return (const uint8_t *)packet + packet->data_offset;
}

/* How many bytes of vd_packet_data() may be read: what was copied, 0 to 65531. */
static inline uint32_t vd_packet_length(const struct vd_packet *packet)
{
	return packet->length;
}

/* How many bytes the packet has; more than vd_packet_length() when only its beginning was copied. */
static inline uint32_t vd_packet_wire_length(const struct vd_packet *packet)
{
	return packet->wire_length;
}

/* Whether only the beginning was copied: the functions' declared need or --copy-range was smaller than the packet. */
static inline bool vd_packet_is_truncated(const struct vd_packet *packet)
{
	return packet->length < packet->wire_length;
}

/* `length` bytes at `offset` from the network header, or NULL if they are not all there. */
static inline const uint8_t *vd_packet_bytes(const struct vd_packet *packet, uint32_t offset, uint32_t length)
{
	if (offset > packet->length || length > packet->length - offset)
		return NULL;
	return vd_packet_data(packet) + offset;
}

/* ---- what the headers say ---- */

/* 4, 6, or 0 when it is neither (ARP on a bridge) or too short to tell. */
static inline unsigned vd_packet_ip_version(const struct vd_packet *packet)
{
	return packet->ip_version;
}

/*
 * The transport protocol (IPPROTO_TCP, ...), behind any IPv6 extension headers; the protocol field of a fragment. 0 when
 * it is not known; IPv6's own 0 (hop-by-hop options) is an extension header and never returned. IANA protocol numbers.
 */
static inline unsigned vd_packet_protocol(const struct vd_packet *packet)
{
	return packet->protocol;
}

/* A packet that contradicts its own headers: a length beyond its end, a header that does not fit. */
static inline bool vd_packet_is_malformed(const struct vd_packet *packet)
{
	return packet->parsed & VD_PARSED_MALFORMED;
}

/* A fragment, first or later. */
static inline bool vd_packet_is_fragment(const struct vd_packet *packet)
{
	return packet->parsed & VD_PARSED_FRAGMENT;
}

/* A fragment other than the first: it has no transport header, and no ports. */
static inline bool vd_packet_is_later_fragment(const struct vd_packet *packet)
{
	return packet->parsed & VD_PARSED_LATER_FRAGMENT;
}

/* Where a fragment's data belongs in the whole, in bytes; 0 for a packet that is no fragment. */
static inline unsigned vd_packet_fragment_offset(const struct vd_packet *packet)
{
	return packet->fragment_offset;
}

/* The source address in network byte order: 4 bytes (IPv4) or 16 (IPv6); NULL when there is none. */
static inline const uint8_t *vd_packet_source(const struct vd_packet *packet)
{
	switch (packet->ip_version) {
	case 4:
		return vd_packet_bytes(packet, 12, 4);
	case 6:
		return vd_packet_bytes(packet, 8, 16);
	default:
		return NULL;
	}
}

/* The destination address: as vd_packet_source(). */
static inline const uint8_t *vd_packet_destination(const struct vd_packet *packet)
{
	switch (packet->ip_version) {
	case 4:
		return vd_packet_bytes(packet, 16, 4);
	case 6:
		return vd_packet_bytes(packet, 24, 16);
	default:
		return NULL;
	}
}

/*
 * `length` bytes of the transport header from its start; NULL when the packet has none (a later fragment, a malformed
 * packet) or fewer bytes of it were copied. `const struct tcphdr *tcp = vd_packet_transport(packet, sizeof *tcp);`
 */
static inline const void *vd_packet_transport(const struct vd_packet *packet, uint32_t length)
{
	return packet->transport_offset ? vd_packet_bytes(packet, packet->transport_offset, length) : NULL;
}

/* Whether the protocol begins with a source and a destination port: TCP, UDP, DCCP, SCTP, UDP-Lite. */
static inline bool vd_protocol_has_ports(unsigned protocol)
{
	return protocol == 6 || protocol == 17 || protocol == 33 || protocol == 132 || protocol == 136;
}

static inline unsigned vd_packet_port_(const struct vd_packet *packet, uint32_t at)
{
	const uint8_t *ports =
		vd_protocol_has_ports(packet->protocol) ? (const uint8_t *)vd_packet_transport(packet, 4) : NULL;

	return ports ? (unsigned)ports[at] << 8 | ports[at + 1] : 0;
}

/* The source port, 1 to 65535; 0 when the packet has none. */
static inline unsigned vd_packet_source_port(const struct vd_packet *packet)
{
	return vd_packet_port_(packet, 0);
}

/* The destination port: as vd_packet_source_port(). */
static inline unsigned vd_packet_destination_port(const struct vd_packet *packet)
{
	return vd_packet_port_(packet, 2);
}

/* The TCP flags byte (RFC 9293: FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32, ECE 64, CWR 128); 0 when not TCP. */
static inline unsigned vd_packet_tcp_flags(const struct vd_packet *packet)
{
	const uint8_t *tcp = packet->protocol == 6 ? (const uint8_t *)vd_packet_transport(packet, 14) : NULL;

	return tcp ? tcp[13] : 0;
}

/* Time to live, or hop limit: 0 to 255; 0 when the packet has none. */
static inline unsigned vd_packet_ttl(const struct vd_packet *packet)
{
	const uint8_t *ttl = !packet->ip_version ? NULL : vd_packet_bytes(packet, packet->ip_version == 4 ? 8 : 7, 1);

	return ttl ? *ttl : 0;
}

/* The byte that IPv4 calls type of service and IPv6 traffic class; 0 when there is none. */
static inline unsigned vd_packet_traffic_class_(const struct vd_packet *packet)
{
	const uint8_t *bytes = packet->ip_version ? vd_packet_bytes(packet, 0, 2) : NULL;

	if (!bytes)
		return 0;
	return packet->ip_version == 4 ? bytes[1] : (bytes[0] & 0x0fu) << 4 | bytes[1] >> 4;
}

/* The differentiated services code point, 0 to 63 (RFC 2474). */
static inline unsigned vd_packet_dscp(const struct vd_packet *packet)
{
	return vd_packet_traffic_class_(packet) >> 2;
}

/* Explicit congestion notification (RFC 3168): not capable 0, ECT(1) 1, ECT(0) 2, congestion experienced 3. */
static inline unsigned vd_packet_ecn(const struct vd_packet *packet)
{
	return vd_packet_traffic_class_(packet) & 3;
}

static inline uint32_t vd_packet_tcp_number_(const struct vd_packet *packet, uint32_t at)
{
	const uint8_t *tcp = packet->protocol == 6 ? (const uint8_t *)vd_packet_transport(packet, 20) : NULL;

	return tcp ? (uint32_t)tcp[at] << 24 | (uint32_t)tcp[at + 1] << 16 | (uint32_t)tcp[at + 2] << 8 | tcp[at + 3] : 0;
}

/* TCP's sequence number, acknowledgment number, and window (not scaled); 0 when not TCP. */
static inline uint32_t vd_packet_tcp_sequence(const struct vd_packet *packet)
{
	return vd_packet_tcp_number_(packet, 4);
}

static inline uint32_t vd_packet_tcp_acknowledgment(const struct vd_packet *packet)
{
	return vd_packet_tcp_number_(packet, 8);
}

static inline unsigned vd_packet_tcp_window(const struct vd_packet *packet)
{
	return vd_packet_tcp_number_(packet, 12) & 0xffff;
}

/*
 * The value of a TCP option by its kind (RFC 9293; maximum segment size 2, window scale 3, ...), the first one if there
 * are several, and in *length how long that is. NULL and 0: there is no such option, or the options are malformed before it.
 */
const uint8_t *vd_packet_tcp_option(const struct vd_packet *packet, unsigned kind, uint32_t *length);

/*
 * What the transport header carries, and in *length how many bytes of it may be read. NULL and 0 when the packet has no
 * transport header that was copied whole. For a protocol whose header this library does not know, the payload begins
 * at the transport header.
 */
const uint8_t *vd_packet_payload(const struct vd_packet *packet, uint32_t *length);

/*
 * A number that is the same for all packets of a flow, in both directions, and hard to foresee from outside. Addresses,
 * protocol and ports; fragments by their addresses, packets without ports by what they have. Another one after a restart.
 */
static inline uint32_t vd_packet_flow_hash(const struct vd_packet *packet)
{
	return packet->flow_hash;
}

/* ---- what the kernel says ---- */

/* The queue that the packet came through, 0 to 65535. */
static inline unsigned vd_packet_queue(const struct vd_packet *packet)
{
	return packet->queue;
}

/* The kernel's number for this packet in its queue; a capture's packets are numbered from 1. */
static inline uint32_t vd_packet_id(const struct vd_packet *packet)
{
	return packet->id;
}

/* NF_INET_PRE_ROUTING 0, LOCAL_IN 1, FORWARD 2, LOCAL_OUT 3, POST_ROUTING 4 (<linux/netfilter.h>). */
static inline unsigned vd_packet_hook(const struct vd_packet *packet)
{
	return packet->hook;
}

/* ETH_P_IP 0x0800, ETH_P_IPV6 0x86dd, ... (<linux/if_ether.h>). */
static inline unsigned vd_packet_ethertype(const struct vd_packet *packet)
{
	return packet->ethertype;
}

/* The packet's mark (skb->mark, fwmark), as changed by a function before this one. */
static inline uint32_t vd_packet_mark(const struct vd_packet *packet)
{
	return packet->mark;
}

/* The packet's priority (skb->priority, the class of tc(8)), as changed by a function before this one. */
static inline uint32_t vd_packet_priority(const struct vd_packet *packet)
{
	return packet->priority;
}

/* The interface that the packet came in by, as an index for if_indextoname(3); 0: none, it was made here. */
static inline unsigned vd_packet_indev(const struct vd_packet *packet)
{
	return packet->indev;
}

/* The interface that it will leave by; 0: not known at this hook. */
static inline unsigned vd_packet_outdev(const struct vd_packet *packet)
{
	return packet->outdev;
}

/* Whether this is a GSO packet: several segments of one connection in one, up to 64 KB. */
static inline bool vd_packet_is_gso(const struct vd_packet *packet)
{
	return packet->skb_info & VD_SKB_GSO;
}

/* Whether the transport checksum is still to be made: the field then holds the pseudo-header's sum only. */
static inline bool vd_packet_checksum_not_ready(const struct vd_packet *packet)
{
	return packet->skb_info & VD_SKB_CHECKSUM_NOT_READY;
}

/*
 * A netlink attribute of the packet's message by its number (NFQA_* in <linux/netfilter/nfnetlink_queue.h>), for what has
 * no accessor of its own; *length is its length. NULL when the kernel sent none, or the packet is from a capture.
 */
const void *vd_packet_attribute(const struct vd_packet *packet, unsigned type, uint32_t *length);

/* The sender's hardware address; *length bytes, 1 to 8. NULL: there is none (loopback, packets made here). */
const uint8_t *vd_packet_hardware_address(const struct vd_packet *packet, uint32_t *length);

/* When the packet came in, nanoseconds since 1970; 0 when the kernel did not say (only hooks up to FORWARD do). */
uint64_t vd_packet_timestamp_ns(const struct vd_packet *packet);

/* The bridge port that it came in by, or will leave by, as an interface index; 0: none. */
unsigned vd_packet_physindev(const struct vd_packet *packet);
unsigned vd_packet_physoutdev(const struct vd_packet *packet);

/* Who owns the socket that sent it (VD_NEEDS_UID_GID). 0, or -ENODATA: not sent by a socket here, or not asked for. */
int vd_packet_uid(const struct vd_packet *packet, uint32_t *uid);
int vd_packet_gid(const struct vd_packet *packet, uint32_t *gid);

/* Its security context (VD_NEEDS_SECCTX), not ended by a NUL; *length bytes. NULL: none, or not asked for. */
const char *vd_packet_security_context(const struct vd_packet *packet, uint32_t *length);

/* The control group's class id (net_cls). 0, or -ENODATA. */
int vd_packet_cgroup_classid(const struct vd_packet *packet, uint32_t *classid);

/*
 * The VLAN tag of a packet on a bridge: ethertype of the tag (0x8100, 0x88a8) and its 16 bits (priority, DEI, VLAN id).
 * 0, or -ENODATA: untagged, or not a bridge's queue.
 */
int vd_packet_vlan(const struct vd_packet *packet, uint16_t *protocol, uint16_t *tci);

/* How conntrack sees the packet (VD_NEEDS_CONNTRACK): enum ip_conntrack_info. 0, or -ENODATA. */
int vd_packet_conntrack_info(const struct vd_packet *packet, uint32_t *info);

/* The mark of its connection (VD_NEEDS_CONNTRACK), as changed by a function before this one. 0, or -ENODATA. */
int vd_packet_conntrack_mark(const struct vd_packet *packet, uint32_t *mark);

/* The id of its connection (VD_NEEDS_CONNTRACK). 0, or -ENODATA. */
int vd_packet_conntrack_id(const struct vd_packet *packet, uint32_t *id);

/* ---- what goes back with the verdict ---- */

/* The packet goes on with this mark; rules behind the queue see it. */
static inline void vd_packet_set_mark(struct vd_packet *packet, uint32_t mark)
{
	packet->mark = mark;
	packet->changed |= VD_CHANGED_MARK;
}

/* The packet goes on with this priority (kernels from 5.19 on apply it). */
static inline void vd_packet_set_priority(struct vd_packet *packet, uint32_t priority)
{
	packet->priority = priority;
	packet->changed |= VD_CHANGED_PRIORITY;
}

/* Its connection gets this mark. Needs a kernel with nf_conntrack_netlink; elsewhere the kernel ignores it. */
static inline void vd_packet_set_conntrack_mark(struct vd_packet *packet, uint32_t mark)
{
	packet->conntrack_mark = mark;
	packet->changed |= VD_CHANGED_CONNTRACK_MARK;
}

/* The packet goes on with this VLAN tag (bridge queues only; elsewhere the kernel ignores it). */
static inline void vd_packet_set_vlan(struct vd_packet *packet, uint16_t protocol, uint16_t tci)
{
	packet->vlan_protocol = protocol;
	packet->vlan_tci = tci;
	packet->changed |= VD_CHANGED_VLAN;
}

/*
 * `return vd_packet_requeue(packet, 7, false);` sends the packet to queue 7 (0 to 65535). If nobody reads that queue it is
 * dropped; with bypass it is accepted.
 */
static inline enum vd_verdict vd_packet_requeue(struct vd_packet *packet, uint16_t queue, bool bypass)
{
	packet->requeue = queue;
	packet->requeue_bypass = bypass;
	return VD_QUEUE;
}

/* What the sender of a rejected packet is told. */
enum vd_reject {
	VD_REJECT_CLOSED = 0,	  /* as a host where nobody listens: a TCP reset, or for other protocols "port unreachable" */
	VD_REJECT_TCP_RESET = 1,  /* a TCP reset (RFC 9293); nothing for other protocols */
	VD_REJECT_PORT = 2,	  /* ICMP "port unreachable" */
	VD_REJECT_HOST = 3,	  /* "host unreachable"; IPv6: "address unreachable" */
	VD_REJECT_NETWORK = 4,	  /* "network unreachable"; IPv6: "no route" */
	VD_REJECT_PROHIBITED = 5, /* "communication administratively prohibited" */
	VD_REJECT_CODE = 6,	  /* "destination unreachable" with another code: vd_packet_reject_code() */
};

/*
 * `return vd_packet_reject(packet, VD_REJECT_CLOSED);` drops the packet and answers its sender. The function has to declare
 * VD_NEEDS_REJECT; without, it is a fault. No answer is sent to what must not be answered (RFC 1122, 1812, 4443, 9293: ICMP
 * errors, TCP resets, fragments, broadcast and multicast, addresses that are no single host's), nor beyond the engine's limit
 * of answers a second; all of that is counted, and the packet is dropped anyway.
 */
static inline enum vd_verdict vd_packet_reject(struct vd_packet *packet, enum vd_reject how)
{
	packet->reject = (uint8_t)how;
	return VD_REJECT;
}

/* The same with any code of "destination unreachable": 0 to 15 over IPv4 (RFC 1812), 0 to 8 over IPv6 (RFC 4443). */
static inline enum vd_verdict vd_packet_reject_code(struct vd_packet *packet, unsigned code)
{
	packet->reject = VD_REJECT_CODE;
	packet->reject_code = (uint8_t)code;
	return VD_REJECT;
}

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
