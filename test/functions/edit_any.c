/* SPDX-License-Identifier: MIT */
/*
 * edit_any:SEED[,same] edits each packet in some ways that follow from the seed and the packet's number; with "same", only in
 * ways that do not change its length and do not replace it. Then the next function decides. What was done is written into
 * the file that $EDIT_ANY_LOG names, a line for each call, so that somebody else can tell what should have come of it:
 *
 *	NUMBER verify = RESULT			first of each packet, and between edits
 *	NUMBER CALL ARGUMENT ... = RESULT	numbers are decimal, bytes hexadecimal ("-" for none)
 *
 * For one worker.
 */
#include <inttypes.h>
#include <stdlib.h>

#include <verdict/function.h>

#define LENGTH_MAX 2048u

struct edit_any {
	uint64_t seed;
	bool is_same;
	FILE *log;
};

/* ---- chance ---- */

static uint64_t random_state;

/* splitmix64 */
static uint64_t next_random(void)
{
	uint64_t z = random_state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

/* 0 to bound - 1. */
static uint32_t below(uint32_t bound)
{
	return (uint32_t)(next_random() % bound);
}

/* Mostly random ones; sometimes those that make sums come out as all ones or zeros. */
static void fill(uint8_t *bytes, uint32_t length)
{
	uint32_t kind = below(8);

	for (uint32_t at = 0; at < length; at++)
		bytes[at] = kind == 0 ? 0 : kind == 1 ? 0xff : (uint8_t)next_random();
}

/* Also the ends of the range, and now and then what is beyond it. */
static unsigned number(unsigned max)
{
	switch (below(10)) {
	case 0:
		return 0;
	case 1:
		return max;
	case 2:
		return max + 1;
	default:
		return below(max + 1);
	}
}

/* ---- the log ---- */

static void put(const struct edit_any *this, const struct vd_packet *packet, const char *call)
{
	fprintf(this->log, "%u %s", vd_packet_id(packet), call);
}

static void put_bytes(const struct edit_any *this, const uint8_t *bytes, uint32_t length)
{
	fputc(' ', this->log);
	for (uint32_t at = 0; at < length; at++)
		fprintf(this->log, "%02x", bytes[at]);
	if (!length)
		fputc('-', this->log);
}

static void put_result(const struct edit_any *this, int result)
{
	fprintf(this->log, " = %d\n", result);
}

/* ---- calls ---- */

static void edit_address(const struct edit_any *this, struct vd_packet *packet, bool is_source)
{
	uint32_t length = vd_packet_ip_version(packet) == 6 ? 16 : 4;
	uint8_t address[16];

	fill(address, length);
	put(this, packet, is_source ? "source" : "destination");
	put_bytes(this, address, length);
	put_result(this, is_source ? vd_packet_set_source(packet, address) : vd_packet_set_destination(packet, address));
}

static const struct {
	const char *name;
	unsigned max;
	int (*set)(struct vd_packet *packet, unsigned number);
} numbers[] = {
	{"ttl", 255, vd_packet_set_ttl},
	{"dscp", 63, vd_packet_set_dscp},
	{"ecn", 3, vd_packet_set_ecn},
	{"source_port", 65535, vd_packet_set_source_port},
	{"destination_port", 65535, vd_packet_set_destination_port},
	{"tcp_flags", 255, vd_packet_set_tcp_flags},
	{"tcp_window", 65535, vd_packet_set_tcp_window},
	{"clamp_mss", 1500, vd_packet_clamp_mss},
};
#define CLAMP_MSS 7u
#define FOR_TCP 5u /* and all behind it */
#define NUMBERS (uint32_t)(sizeof numbers / sizeof *numbers)

static void edit_number(const struct edit_any *this, struct vd_packet *packet, uint32_t which)
{
	unsigned value = number(numbers[which].max);

	put(this, packet, numbers[which].name);
	fprintf(this->log, " %u", value);
	put_result(this, numbers[which].set(packet, value));
}

static void edit_long_number(const struct edit_any *this, struct vd_packet *packet, bool is_sequence)
{
	uint32_t value = below(4) ? (uint32_t)next_random() : 0;

	put(this, packet, is_sequence ? "tcp_sequence" : "tcp_acknowledgment");
	fprintf(this->log, " %u", value);
	put_result(this, is_sequence ? vd_packet_set_tcp_sequence(packet, value) : vd_packet_set_tcp_acknowledgment(packet, value));
}

static unsigned option_kind(void)
{
	static const unsigned kinds[] = {2, 3, 4, 8, 253, 77};

	return kinds[below(sizeof kinds / sizeof *kinds)];
}

static void edit_option(const struct edit_any *this, struct vd_packet *packet)
{
	unsigned kind = option_kind();
	uint8_t value[40];
	uint32_t length;

	if (!vd_packet_tcp_option(packet, kind, &length) || !below(8))
		length = below(12);
	fill(value, length);
	put(this, packet, "tcp_option");
	fprintf(this->log, " %u", kind);
	put_bytes(this, value, length);
	put_result(this, vd_packet_set_tcp_option(packet, kind, value, length));
}

static void remove_option(const struct edit_any *this, struct vd_packet *packet)
{
	unsigned kind = option_kind();

	put(this, packet, "remove_tcp_option");
	fprintf(this->log, " %u", kind);
	put_result(this, vd_packet_remove_tcp_option(packet, kind));
}

static void write_payload(const struct edit_any *this, struct vd_packet *packet)
{
	uint32_t there, offset, length;
	uint8_t bytes[LENGTH_MAX];

	vd_packet_payload(packet, &there);
	offset = below(there + 1);
	length = below(there - offset + (below(16) ? 1 : 3)); /* or beyond the end */
	if (length > sizeof bytes)
		length = sizeof bytes;
	fill(bytes, length);
	put(this, packet, "write_payload");
	fprintf(this->log, " %u", offset);
	put_bytes(this, bytes, length);
	put_result(this, vd_packet_write_payload(packet, offset, bytes, length));
}

/* Up to more than what fits. */
static uint32_t growth(void)
{
	return below(16) ? below(120) : below(VD_ROOM + 20);
}

static void replace_payload(const struct edit_any *this, struct vd_packet *packet)
{
	uint32_t there, length;
	uint8_t bytes[LENGTH_MAX];

	vd_packet_payload(packet, &there);
	length = below(3) ? below(there + 1) : there + growth();
	if (length > sizeof bytes)
		length = sizeof bytes;
	fill(bytes, length);
	put(this, packet, "replace_payload");
	put_bytes(this, bytes, length);
	put_result(this, vd_packet_replace_payload(packet, bytes, length));
}

static void insert_payload(const struct edit_any *this, struct vd_packet *packet)
{
	uint32_t there, offset, length = growth();
	uint8_t bytes[LENGTH_MAX];

	vd_packet_payload(packet, &there);
	offset = below(there + 1);
	fill(bytes, length);
	put(this, packet, "insert_payload");
	fprintf(this->log, " %u", offset);
	put_bytes(this, bytes, length);
	put_result(this, vd_packet_insert_payload(packet, offset, bytes, length));
}

static void delete_payload(const struct edit_any *this, struct vd_packet *packet)
{
	uint32_t there, offset, length;

	vd_packet_payload(packet, &there);
	offset = below(there + 1);
	length = below(there - offset + (below(16) ? 1 : 3));
	put(this, packet, "delete_payload");
	fprintf(this->log, " %u %u", offset, length);
	put_result(this, vd_packet_delete_payload(packet, offset, length));
}

static void write16(uint8_t *bytes, uint32_t at, uint32_t value)
{
	bytes[at] = (uint8_t)(value >> 8);
	bytes[at + 1] = (uint8_t)value;
}

/* As it is but for some bytes behind the network header, and perhaps longer or shorter, with lengths that agree. */
static void replace(const struct edit_any *this, struct vd_packet *packet)
{
	uint32_t length = vd_packet_length(packet), there, start, change;
	const uint8_t *payload = vd_packet_payload(packet, &there);
	uint8_t bytes[LENGTH_MAX];

	if (length > sizeof bytes - VD_ROOM || !payload)
		return;
	start = (uint32_t)(payload - vd_packet_data(packet));
	memcpy(bytes, vd_packet_data(packet), length);
	bytes[vd_packet_ip_version(packet) == 4 ? 8 : 7] = (uint8_t)next_random();
	fill(bytes + start, length - start);
	if (start + there == length && !vd_packet_is_fragment(packet)) { /* nothing behind it, and nothing that refers to it */
		change = below(VD_ROOM);
		fill(bytes + length, change);
		if (below(2) && change <= there)
			length -= change;
		else
			length += change;
		if (vd_packet_ip_version(packet) == 4)
			write16(bytes, 2, length);
		else
			write16(bytes, 4, length - 40);
		if (vd_packet_protocol(packet) == IPPROTO_UDP)
			write16(bytes, start - 4, length - start + 8);
	}
	put(this, packet, "replace");
	put_bytes(this, bytes, length);
	put_result(this, vd_packet_replace(packet, bytes, length));
}

/* Completes what was edited so far. */
static void verify(const struct edit_any *this, struct vd_packet *packet)
{
	put(this, packet, "verify");
	put_result(this, vd_packet_verify(packet));
}

/* Two numbers in ones' complement arithmetic. */
static uint32_t add(uint32_t a, uint32_t b)
{
	return (a + b) % 0xffff;
}

/*
 * Makes the checksum of UDP or UDP-Lite come out as 0, which has to be sent as 0xffff: adds the checksum to the first word of the
 * payload, or puts it in front of it, less what the two lengths add then.
 */
static void aim(const struct edit_any *this, struct vd_packet *packet)
{
	const uint8_t *header = vd_packet_transport(packet, 8), *payload;
	bool inserts = vd_packet_protocol(packet) == IPPROTO_UDP && !this->is_same && below(2);
	uint32_t there, wanted;
	uint8_t bytes[2];

	verify(this, packet);
	payload = vd_packet_payload(packet, &there);
	if (!header || !payload || there < 2)
		return;
	wanted = add((uint32_t)header[6] << 8 | header[7], inserts ? 0xffff - 4 : (uint32_t)payload[0] << 8 | payload[1]);
	write16(bytes, 0, wanted);
	put(this, packet, inserts ? "insert_payload" : "write_payload");
	fprintf(this->log, " 0");
	put_bytes(this, bytes, sizeof bytes);
	put_result(this, inserts ? vd_packet_insert_payload(packet, 0, bytes, sizeof bytes) :
				   vd_packet_write_payload(packet, 0, bytes, sizeof bytes));
}

static bool can_aim(const struct vd_packet *packet)
{
	return vd_packet_protocol(packet) == IPPROTO_UDP || vd_packet_protocol(packet) == 136;
}

static void edit_tcp(const struct edit_any *this, struct vd_packet *packet)
{
	switch (below(8)) {
	case 0:
	case 1:
		return edit_long_number(this, packet, below(2));
	case 2:
	case 3:
		return edit_option(this, packet);
	case 4:
		return remove_option(this, packet);
	case 5:
		return edit_number(this, packet, CLAMP_MSS);
	default:
		return edit_number(this, packet, FOR_TCP + below(NUMBERS - FOR_TCP));
	}
}

static void edit_length(const struct edit_any *this, struct vd_packet *packet)
{
	switch (below(4)) {
	case 0:
		return replace_payload(this, packet);
	case 1:
		return insert_payload(this, packet);
	case 2:
		return delete_payload(this, packet);
	default:
		return replace(this, packet);
	}
}

static void edit(const struct edit_any *this, struct vd_packet *packet)
{
	bool is_tcp = vd_packet_protocol(packet) == IPPROTO_TCP;

	switch (below(10)) {
	case 0:
		return edit_address(this, packet, below(2));
	case 1:
	case 2:
		return edit_number(this, packet, below(FOR_TCP));
	case 3:
		return is_tcp || !below(4) ? edit_tcp(this, packet) : write_payload(this, packet);
	case 4:
		return can_aim(packet) ? aim(this, packet) : verify(this, packet);
	case 5:
	case 6:
		return is_tcp ? edit_tcp(this, packet) : write_payload(this, packet);
	case 7:
	case 8:
		return this->is_same ? write_payload(this, packet) : edit_length(this, packet);
	default:
		return write_payload(this, packet);
	}
}

static enum vd_verdict decide(struct vd_packet *packet, void *state)
{
	const struct edit_any *this = state;

	random_state = this->seed * 0x2545f4914f6cdd1du + vd_packet_id(packet);
	verify(this, packet);
	for (uint32_t left = 1 + below(4); left; left--)
		edit(this, packet);
	return VD_NEXT;
}

static int open_edit_any(struct vd_open *open, void **shared)
{
	const char *path = getenv("EDIT_ANY_LOG");
	struct edit_any *this = calloc(1, sizeof *this);
	char *end;

	if (!this)
		return -ENOMEM;
	*shared = this;
	this->seed = strtoull(open->arguments, &end, 10);
	this->is_same = !strcmp(end, ",same");
	if (end == open->arguments || (*end && !this->is_same))
		return vd_open_error(open, "say edit_any:SEED or edit_any:SEED,same, not '%s'", open->arguments);
	this->log = fopen(path ? path : "/dev/null", "w");
	return this->log ? 0 : vd_open_error(open, "cannot write '%s', which EDIT_ANY_LOG names", path);
}

static void close_edit_any(void *shared)
{
	struct edit_any *this = shared;

	if (this && this->log)
		fclose(this->log);
	free(this);
}

VD_FUNCTION(.name = "edit-any", .summary = "edits packets by chance", .usage = "SEED[,same]", .bytes = VD_WHOLE,
	    .open = open_edit_any, .close = close_edit_any, .decide = decide);
