/* SPDX-License-Identifier: MIT */
/*
 * nat:OUTSIDE=INSIDE[,...] translates addresses and ports without remembering anything: what goes to OUTSIDE gets the
 * destination INSIDE, what comes from INSIDE gets the source OUTSIDE. It leaves the packets to the next function.
 *
 * Shows edits that belong together: if one of them is refused, none is sent, and the packet gets the engine's fault verdict.
 *
 * ICMP errors quote the packet that they are about, as it was where the error was made. For the quoted packet all is the other
 * way round: its destination is INSIDE, if it went there, and its sender knows it as OUTSIDE. The quoted checksums are
 * corrected by what changes (RFC 1624): of most quoted packets only the beginning is there.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <stdlib.h>

#include <verdict/function.h>

#define MAPPINGS_MAX 256u

/* Of <linux/netfilter.h>. */
#define HOOK_PREROUTING 0u
#define HOOK_INPUT 1u
#define HOOK_OUTPUT 3u
#define HOOK_POSTROUTING 4u

enum { DESTINATIONS, SOURCES, ERRORS, FRAGMENTS };
static const char *const counters[] = {
	[DESTINATIONS] = "destinations", [SOURCES] = "sources", [ERRORS] = "errors", [FRAGMENTS] = "fragments", NULL};

struct end {
	uint8_t address[16];
	uint8_t family;
	uint8_t prefix;	 /* bits that are compared and replaced */
	bool has_prefix; /* it was said */
	uint16_t port;	 /* 0: all */
};

struct mapping {
	struct end outside, inside;
	uint8_t protocol; /* 0: all */
};

struct nat {
	unsigned count;
	struct mapping mappings[MAPPINGS_MAX];
};

/* ---- arguments ---- */

static bool parse_number(const char *text, unsigned most, unsigned *number)
{
	unsigned long long value;
	char *end;

	if (!isdigit((unsigned char)*text))
		return false;
	value = strtoull(text, &end, 10);
	*number = (unsigned)value;
	return !*end && value && value <= most;
}

static bool has_bits_behind(const uint8_t *address, unsigned prefix, unsigned bits)
{
	for (unsigned bit = prefix; bit < bits; bit++)
		if (address[bit / 8] & 0x80 >> bit % 8)
			return true;
	return false;
}

/* ADDR, ADDR/PREFIX, ADDR:PORT, [ADDR]:PORT; `text` is written to. The sentence shows what the user wrote. */
static int parse_end(struct vd_open *open, char *text, struct end *end)
{
	char whole[80], *address = text, *port = NULL, *slash = strchr(text, '/');
	unsigned number, bits;

	snprintf(whole, sizeof whole, "%s", text);
	*end = (struct end){.family = AF_INET};
	if (*text == '[') {
		port = strstr(text, "]:");
		if (!port)
			return vd_open_error(open, "behind [ADDRESS] there must be :PORT, not '%s'", whole);
		*port++ = '\0';
		address++;
	} else if (strchr(text, ':') && strchr(text, ':') == strrchr(text, ':')) {
		port = strchr(text, ':');
	}
	if (port) {
		*port++ = '\0';
		if (slash || !parse_number(port, UINT16_MAX, &number))
			return vd_open_error(open, "a port must be a number from 1 to 65535 behind a single address, not '%s'",
					     whole);
		end->port = (uint16_t)number;
	} else if (slash) {
		*slash++ = '\0';
	}
	if (strchr(address, ':'))
		end->family = AF_INET6;
	if (inet_pton(end->family, address, end->address) != 1)
		return vd_open_error(open, "an end must be ADDRESS, ADDRESS:PORT ([ADDRESS]:PORT for IPv6) or "
				     "ADDRESS/PREFIX, not '%s'", whole);
	bits = end->family == AF_INET ? 32 : 128;
	end->prefix = (uint8_t)bits;
	if (!slash)
		return 0;
	if (!parse_number(slash, bits, &number))
		return vd_open_error(open, "a prefix must be a number from 1 to %u, not '%s'", bits, whole);
	if (has_bits_behind(end->address, number, bits))
		return vd_open_error(open, "'%s' has bits behind its prefix: say the network's own address", whole);
	end->prefix = (uint8_t)number;
	end->has_prefix = true;
	return 0;
}

/* One OUTSIDE=INSIDE, with its protocol in front. */
static int parse_mapping(struct vd_open *open, char *text, struct mapping *mapping)
{
	char *inside = strchr(text, '=');
	int result;

	if (!inside)
		return vd_open_error(open, "what is translated to what? Say nat:OUTSIDE=INSIDE, for example "
				     "nat:203.0.113.7=10.0.0.7, not '%s'", text);
	*inside++ = '\0';
	*mapping = (struct mapping){.protocol = 0};
	if (!strncmp(text, "tcp/", 4) || !strncmp(text, "udp/", 4)) {
		mapping->protocol = *text == 't' ? IPPROTO_TCP : IPPROTO_UDP;
		text += 4;
	}
	result = parse_end(open, text, &mapping->outside);
	if (!result)
		result = parse_end(open, inside, &mapping->inside);
	if (result)
		return result;
	if (mapping->outside.family != mapping->inside.family)
		return vd_open_error(open, "both sides of a '=' must be of the same IP version");
	if (mapping->outside.prefix != mapping->inside.prefix || mapping->outside.has_prefix != mapping->inside.has_prefix)
		return vd_open_error(open, "both sides of a '=' must have prefixes of the same length");
	if (!mapping->outside.port != !mapping->inside.port)
		return vd_open_error(open, "both sides of a '=' must have a port, or none");
	return 0;
}

static int parse_mappings(struct vd_open *open, char *text, struct nat *nat)
{
	for (char *next; text; text = next) {
		int result;

		next = strchr(text, ',');
		if (next)
			*next++ = '\0';
		if (nat->count == MAPPINGS_MAX)
			return vd_open_error(open, "there are more than %u translations, which is the limit", MAPPINGS_MAX);
		result = parse_mapping(open, text, &nat->mappings[nat->count]);
		if (result)
			return result;
		nat->count++;
	}
	return 0;
}

static int open_nat(struct vd_open *open, void **shared)
{
	struct nat *nat = calloc(1, sizeof *nat);
	char *text = strdup(open->arguments);
	int result;

	if (nat && text) {
		result = parse_mappings(open, text, nat);
	} else {
		vd_open_error(open, "out of memory");
		result = -ENOMEM;
	}
	free(text);
	if (result)
		free(nat);
	else
		*shared = nat;
	return result;
}

/* ---- which mapping ---- */

/* One end of a packet, or of a quoted one, as it is now. */
struct seen {
	const uint8_t *address;
	uint8_t family;
	uint8_t protocol;
	bool has_port;
	bool hides_port; /* there may be one, but not here: a later fragment, or not copied */
	uint16_t port;
};

static bool is_in(const struct end *end, const struct seen *seen)
{
	unsigned bytes = end->prefix / 8, bits = end->prefix % 8;

	return end->family == seen->family && !memcmp(end->address, seen->address, bytes) &&
	       (!bits || (end->address[bytes] ^ seen->address[bytes]) >> (8 - bits) == 0);
}

/* The first one whose end (`from_outside` or the inside) this is; or may be, where the port is hidden. */
static const struct mapping *find(const struct nat *nat, bool from_outside, const struct seen *seen)
{
	for (unsigned i = 0; i < nat->count; i++) {
		const struct mapping *mapping = &nat->mappings[i];
		const struct end *end = from_outside ? &mapping->outside : &mapping->inside;

		if ((mapping->protocol && mapping->protocol != seen->protocol) || !is_in(end, seen))
			continue;
		if (!end->port || (seen->has_port && end->port == seen->port) ||
		    (seen->hides_port && vd_protocol_has_ports(seen->protocol)))
			return mapping;
	}
	return NULL;
}

/* The other end's prefix, and behind it what stands there already. */
static void translate_address(const struct end *to, const uint8_t *from, uint8_t *address)
{
	unsigned bytes = to->prefix / 8, bits = to->prefix % 8, size = to->family == AF_INET ? 4 : 16;
	uint8_t mask = (uint8_t)(0xff00 >> bits);

	memcpy(address, from, size);
	memcpy(address, to->address, bytes);
	if (bits)
		address[bytes] = (uint8_t)((to->address[bytes] & mask) | (from[bytes] & ~mask));
}

/* ---- the packet itself ---- */

struct work {
	const struct nat *nat;
	struct vd_packet *packet;
	bool does_destinations, does_sources;
	/* of an ICMP error: how its quoted packet was translated, which holds for the error too */
	const struct mapping *quoted_destination, *quoted_source;
};

/*
 * Like the kernel's own NAT: destinations before the packet's way is chosen, sources behind that. A source that were changed
 * before could be one of this machine's own, and the kernel drops what comes in with such a one. What has no interface is
 * not on its way at all, but in a capture.
 */
static void choose_directions(struct work *work)
{
	unsigned hook = vd_packet_hook(work->packet);
	bool is_on_its_way = vd_packet_indev(work->packet) || vd_packet_outdev(work->packet);

	work->does_destinations = !is_on_its_way || (hook != HOOK_INPUT && hook != HOOK_POSTROUTING);
	work->does_sources = !is_on_its_way || (hook != HOOK_PREROUTING && hook != HOOK_OUTPUT);
}

static struct seen see(const struct vd_packet *packet, bool destination)
{
	return (struct seen){
		.address = destination ? vd_packet_destination(packet) : vd_packet_source(packet),
		.family = vd_packet_ip_version(packet) == 4 ? AF_INET : AF_INET6,
		.protocol = (uint8_t)vd_packet_protocol(packet),
		.has_port = vd_protocol_has_ports(vd_packet_protocol(packet)) && vd_packet_transport(packet, 4),
		.hides_port = vd_packet_is_later_fragment(packet) ||
			      (vd_packet_is_truncated(packet) && !vd_packet_transport(packet, 4)),
		.port = (uint16_t)(destination ? vd_packet_destination_port(packet) : vd_packet_source_port(packet)),
	};
}

/* An edit that is refused is noted by the engine: what is left of the packet does not matter then. */
static void write_end(struct vd_packet *packet, bool destination, const struct end *to, const uint8_t *from)
{
	uint8_t address[16];

	translate_address(to, from, address);
	if (destination)
		vd_packet_set_destination(packet, address);
	else
		vd_packet_set_source(packet, address);
	if (!to->port)
		return;
	if (destination)
		vd_packet_set_destination_port(packet, to->port);
	else
		vd_packet_set_source_port(packet, to->port);
}

/* false: it has to be dropped. */
static bool translate_end(struct work *work, bool destination)
{
	struct seen seen = see(work->packet, destination);
	const struct mapping *quoted = destination ? work->quoted_source : work->quoted_destination, *mapping;
	struct end to;

	if (quoted && is_in(destination ? &quoted->outside : &quoted->inside, &seen))
		mapping = quoted;
	else
		mapping = find(work->nat, destination, &seen);
	if (!mapping)
		return true;
	if (mapping->outside.port && vd_packet_is_fragment(work->packet) && mapping != quoted)
		return false;
	to = destination ? mapping->inside : mapping->outside;
	if (mapping == quoted)
		to.port = 0; /* the error has none */
	write_end(work->packet, destination, &to, seen.address);
	vd_count(work->packet, destination ? DESTINATIONS : SOURCES, 1);
	return true;
}

/* ---- the packet that an ICMP error quotes ---- */

/* Its headers, as far as they are looked at; the error may have cut it anywhere. */
#define QUOTED_MAX 256u
#define QUOTED_IPV4_CHECKSUM 10u

struct quoted {
	uint8_t bytes[QUOTED_MAX]; /* a copy, which is changed and then put back */
	uint32_t length;
	uint32_t transport; /* 0: not there */
	uint8_t version;
	uint8_t protocol;
};

static bool is_error(const struct vd_packet *packet)
{
	const uint8_t *type = vd_packet_transport(packet, 1);

	if (!type)
		return false;
	if (vd_packet_ip_version(packet) == 4) /* unreachable, source quench, time exceeded, parameter problem (RFC 792) */
		return vd_packet_protocol(packet) == IPPROTO_ICMP && (*type == 3 || *type == 4 || *type == 11 || *type == 12);
	return vd_packet_protocol(packet) == IPPROTO_ICMPV6 && *type >= 1 && *type <= 4; /* RFC 4443 */
}

/* Behind extension headers; later fragments have none. */
static void find_quoted_transport(struct quoted *quoted)
{
	uint32_t at = 40, length;
	uint8_t next = quoted->bytes[6];

	if (quoted->version == 4) {
		quoted->protocol = quoted->bytes[9];
		at = (quoted->bytes[0] & 0x0fu) * 4;
		if (at >= 20 && at < quoted->length && !((quoted->bytes[6] & 0x1f) | quoted->bytes[7]))
			quoted->transport = at;
		return;
	}
	while (next == IPPROTO_HOPOPTS || next == IPPROTO_ROUTING || next == IPPROTO_DSTOPTS || next == IPPROTO_FRAGMENT) {
		if (at + 8 > quoted->length)
			return;
		if (next == IPPROTO_FRAGMENT && (quoted->bytes[at + 2] || quoted->bytes[at + 3] & 0xf8)) {
			quoted->protocol = quoted->bytes[at];
			return;
		}
		length = next == IPPROTO_FRAGMENT ? 8 : (quoted->bytes[at + 1] + 1u) * 8;
		next = quoted->bytes[at];
		at += length;
	}
	quoted->protocol = next;
	if (at < quoted->length)
		quoted->transport = at;
}

static bool read_quoted(const struct vd_packet *packet, struct quoted *quoted)
{
	uint32_t length;
	const uint8_t *payload = is_error(packet) ? vd_packet_payload(packet, &length) : NULL;

	if (!payload || length < (vd_packet_ip_version(packet) == 4 ? 20 : 40) ||
	    payload[0] >> 4 != vd_packet_ip_version(packet))
		return false;
	*quoted = (struct quoted){.version = payload[0] >> 4, .length = length < QUOTED_MAX ? length : QUOTED_MAX};
	memcpy(quoted->bytes, payload, quoted->length);
	find_quoted_transport(quoted);
	return true;
}

/* Where its checksum is, if it covers addresses or ports; 0: it has none, or it was cut off. */
static uint32_t quoted_checksum(const struct quoted *quoted)
{
	uint32_t at;

	if (!quoted->transport)
		return 0;
	switch (quoted->protocol) {
	case IPPROTO_TCP:
		at = quoted->transport + 16;
		break;
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
	case IPPROTO_DCCP:
		at = quoted->transport + 6;
		break;
	case IPPROTO_ICMPV6:
		at = quoted->transport + 2;
		break;
	default:
		return 0;
	}
	if (at + 2 > quoted->length)
		return 0;
	return quoted->protocol == IPPROTO_UDP && !quoted->bytes[at] && !quoted->bytes[at + 1] ? 0 : at;
}

static uint32_t read16(const uint8_t *at)
{
	return (uint32_t)at[0] << 8 | at[1];
}

/* RFC 1624: HC' = ~(~HC + ~m + m'), for an even number of bytes at an even place. */
static void correct_checksum(struct quoted *quoted, uint32_t at, const uint8_t *from, const uint8_t *to, uint32_t length)
{
	uint32_t sum;

	if (!at)
		return;
	sum = (uint16_t)~read16(quoted->bytes + at);
	for (uint32_t i = 0; i < length; i += 2)
		sum += (uint16_t)~read16(from + i) + read16(to + i);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	sum = (uint16_t)~sum;
	if (!sum && at != QUOTED_IPV4_CHECKSUM && (quoted->protocol == IPPROTO_UDP || quoted->protocol == IPPROTO_UDPLITE))
		sum = 0xffff;
	quoted->bytes[at] = (uint8_t)(sum >> 8);
	quoted->bytes[at + 1] = (uint8_t)sum;
}

static void change_quoted(struct quoted *quoted, uint32_t at, const uint8_t *to, uint32_t length, bool in_ip_header)
{
	const uint8_t *from = quoted->bytes + at;

	if (in_ip_header && quoted->version == 4)
		correct_checksum(quoted, QUOTED_IPV4_CHECKSUM, from, to, length);
	correct_checksum(quoted, quoted_checksum(quoted), from, to, length);
	memcpy(quoted->bytes + at, to, length);
}

/* Its source was known outside, its destination inside: where the error was made. NULL: it stays. */
static const struct mapping *translate_quoted_end(const struct work *work, struct quoted *quoted, bool destination)
{
	uint32_t size = quoted->version == 4 ? 4 : 16, at = (quoted->version == 4 ? 12 : 8) + (destination ? size : 0);
	bool has_ports = quoted->transport && quoted->transport + 4 <= quoted->length &&
			 vd_protocol_has_ports(quoted->protocol);
	uint32_t port = quoted->transport + (destination ? 2 : 0);
	struct seen seen = {.address = quoted->bytes + at,
			    .family = quoted->version == 4 ? AF_INET : AF_INET6,
			    .protocol = quoted->protocol,
			    .has_port = has_ports,
			    .port = (uint16_t)(has_ports ? read16(quoted->bytes + port) : 0)};
	const struct mapping *mapping = find(work->nat, !destination, &seen);
	const struct end *to;
	uint8_t address[16], port_be[2];

	if (!mapping)
		return NULL;
	to = destination ? &mapping->outside : &mapping->inside;
	translate_address(to, seen.address, address);
	change_quoted(quoted, at, address, size, true);
	if (to->port) {
		port_be[0] = (uint8_t)(to->port >> 8);
		port_be[1] = (uint8_t)to->port;
		change_quoted(quoted, port, port_be, 2, false);
	}
	return mapping;
}

static void translate_quoted(struct work *work)
{
	struct quoted quoted;

	if (!read_quoted(work->packet, &quoted))
		return;
	if (work->does_destinations)
		work->quoted_source = translate_quoted_end(work, &quoted, false);
	if (work->does_sources)
		work->quoted_destination = translate_quoted_end(work, &quoted, true);
	if (!work->quoted_source && !work->quoted_destination)
		return;
	if (!vd_packet_write_payload(work->packet, 0, quoted.bytes, quoted.length))
		vd_count(work->packet, ERRORS, 1);
}

/* ---- packets ---- */

static enum vd_verdict decide(struct vd_packet *packet, void *state)
{
	struct work work = {.nat = state, .packet = packet};

	if (!vd_packet_source(packet) || !vd_packet_destination(packet) || vd_packet_is_malformed(packet))
		return VD_NEXT;
	choose_directions(&work);
	translate_quoted(&work);
	if ((work.does_destinations && !translate_end(&work, true)) || (work.does_sources && !translate_end(&work, false))) {
		vd_count(packet, FRAGMENTS, 1);
		return VD_DROP;
	}
	return VD_NEXT;
}

VD_FUNCTION(.name = "nat", .summary = "translates addresses and ports both ways, and leaves packets to the next function",
	    .usage = "OUTSIDE=INSIDE[,...]", .bytes = VD_WHOLE, .counters = counters, .open = open_nat,
	    .close = free, .decide = decide);
