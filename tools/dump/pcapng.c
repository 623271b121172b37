/* SPDX-License-Identifier: MIT */
#include "tools/dump/pcapng.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tools/stats.h"

/* <linux/netfilter.h> and <netinet/in.h> do not go together */
#define HOOK_LOCAL_OUT 3
#define HOOK_POST_ROUTING 4

#define LINK_TYPE_COOKED 276
#define BYTE_ORDER_MAGIC 0x1a2b3c4du

/* Of each kind of block. */
#define OPTION_END 0
#define OPTION_COMMENT 1
#define SECTION_PROGRAM 4
#define INTERFACE_NAME 2
#define INTERFACE_DESCRIPTION 3
#define INTERFACE_RESOLUTION 9
#define INTERFACE_FILTER 11
#define PACKET_FLAGS 2
#define PACKET_QUEUE 6

#define FLAGS_INBOUND 1u
#define FLAGS_OUTBOUND 2u

/*
 * A block: its type, its length, what is in it, options, and its length again.
 *
 *	 type | length | ... | code, length, value, 0 to 3 bytes of padding | ... | 0, 0 | length
 */
struct block {
	uint8_t *bytes;
	size_t length;
};

static void put(struct block *block, const void *bytes, size_t length)
{
	memcpy(block->bytes + block->length, bytes, length);
	block->length += length;
}

static void put_16(struct block *block, uint16_t value)
{
	put(block, &value, sizeof value);
}

static void put_32(struct block *block, uint32_t value)
{
	put(block, &value, sizeof value);
}

static void pad(struct block *block)
{
	static const uint8_t nothing[4];

	put(block, nothing, -block->length & 3);
}

static void put_option(struct block *block, uint16_t code, const void *value, size_t length)
{
	put_16(block, code);
	put_16(block, (uint16_t)length);
	put(block, value, length);
	pad(block);
}

static void put_text(struct block *block, uint16_t code, const char *text)
{
	put_option(block, code, text, strnlen(text, 255));
}

static void put_count(struct block *block, uint16_t code, uint64_t count)
{
	put_option(block, code, &count, sizeof count);
}

/* The upper half first, whatever the byte order. */
static void put_time(struct block *block, uint64_t time_ns)
{
	put_32(block, (uint32_t)(time_ns >> 32));
	put_32(block, (uint32_t)time_ns);
}

static void put_time_option(struct block *block, uint16_t code, uint64_t time_ns)
{
	put_16(block, code);
	put_16(block, 8);
	put_time(block, time_ns);
}

static void begin(struct block *block, uint8_t *bytes, uint32_t type)
{
	*block = (struct block){.bytes = bytes};
	put_32(block, type);
	put_32(block, 0); /* its length, when it is known */
}

static size_t end(struct block *block)
{
	uint32_t length = (uint32_t)block->length + 8;

	put_16(block, OPTION_END);
	put_16(block, 0);
	put_32(block, length);
	memcpy(block->bytes + 4, &length, sizeof length);
	return length;
}

size_t vd_pcapng_begin(uint8_t *bytes, const char *program, const char *description, const char *filter, uint32_t snap)
{
	static const uint8_t nanoseconds = 9;
	struct block block;
	char filter_text[256];
	size_t length;

	begin(&block, bytes, VD_PCAPNG_SECTION);
	put_32(&block, BYTE_ORDER_MAGIC);
	put_16(&block, 1); /* version 1.0 */
	put_16(&block, 0);
	put_32(&block, UINT32_MAX); /* how long the section is, is not known */
	put_32(&block, UINT32_MAX);
	put_text(&block, SECTION_PROGRAM, program);
	length = end(&block);

	begin(&block, bytes + length, VD_PCAPNG_INTERFACE);
	put_16(&block, LINK_TYPE_COOKED);
	put_16(&block, 0);
	put_32(&block, snap && snap < 65535 ? snap + VD_PCAPNG_COOKED_LENGTH : 262144); /* what readers take for no limit */
	put_text(&block, INTERFACE_NAME, "verdict");
	put_text(&block, INTERFACE_DESCRIPTION, description);
	put_option(&block, INTERFACE_RESOLUTION, &nanoseconds, 1);
	filter_text[0] = 0; /* it is a text */
	snprintf(filter_text + 1, sizeof filter_text - 1, "%s", filter);
	put_option(&block, INTERFACE_FILTER, filter_text, 1 + strlen(filter_text + 1));
	return length + end(&block);
}

/* Whether it has been made here, or is past routing. */
static bool is_outbound(const struct vd_engine_tap_packet *packet)
{
	return packet->hook == HOOK_LOCAL_OUT || packet->hook == HOOK_POST_ROUTING;
}

/*
 *	 protocol | 0 | interface          | ARPHRD_* | came or goes, length of the address | address
 *	  16 bits   16   32                   16         8             8                       64
 */
static void put_cooked_header(struct block *block, const struct vd_engine_tap_packet *packet)
{
	uint8_t address[8] = {0}, direction = is_outbound(packet) ? PACKET_OUTGOING : PACKET_HOST;

	memcpy(address, packet->hardware_address, packet->hardware_address_length);
	put_16(block, htons(packet->ethertype));
	put_16(block, 0);
	put_32(block, htonl(is_outbound(packet) ? packet->outdev : packet->indev));
	put_16(block, htons(packet->hardware_address_length == 6 ? ARPHRD_ETHER : ARPHRD_NONE));
	put(block, &direction, 1);
	put(block, &packet->hardware_address_length, 1);
	put(block, address, sizeof address);
}

size_t vd_pcapng_packet(uint8_t *bytes, const struct vd_engine_tap_packet *packet)
{
	uint32_t flags = is_outbound(packet) ? FLAGS_OUTBOUND : FLAGS_INBOUND, queue = packet->queue;
	char comment[VD_PCAPNG_COMMENT_SIZE];
	struct block block;

	vd_pcapng_comment(comment, packet);
	begin(&block, bytes, VD_PCAPNG_PACKET);
	put_32(&block, 0); /* the interface */
	put_time(&block, packet->time_ns);
	put_32(&block, packet->length + VD_PCAPNG_COOKED_LENGTH);
	put_32(&block, packet->wire_length + VD_PCAPNG_COOKED_LENGTH);
	put_cooked_header(&block, packet);
	put(&block, packet->data, packet->length);
	pad(&block);
	put_text(&block, OPTION_COMMENT, comment);
	put_option(&block, PACKET_FLAGS, &flags, sizeof flags);
	put_option(&block, PACKET_QUEUE, &queue, sizeof queue);
	return end(&block);
}

size_t vd_pcapng_statistics(uint8_t *bytes, const struct vd_engine_tap_stats *stats, uint64_t start_ns, uint64_t now_ns, bool is_last)
{
	struct block block;

	begin(&block, bytes, VD_PCAPNG_STATISTICS);
	put_32(&block, 0); /* the interface */
	put_time(&block, now_ns);
	put_time_option(&block, VD_PCAPNG_STATISTICS_START, start_ns);
	if (is_last)
		put_time_option(&block, VD_PCAPNG_STATISTICS_END, now_ns);
	put_count(&block, VD_PCAPNG_STATISTICS_RECEIVED, stats->decided);
	put_count(&block, VD_PCAPNG_STATISTICS_DROPPED, stats->missed);
	put_count(&block, VD_PCAPNG_STATISTICS_MATCHED, stats->matched);
	put_count(&block, VD_PCAPNG_STATISTICS_DELIVERED, stats->read);
	return end(&block);
}

/* ---- what is said of a packet ---- */

static size_t add(char *comment, size_t used, const char *format, ...) __attribute__((format(printf, 3, 4)));

static size_t add(char *comment, size_t used, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	used += (size_t)vsnprintf(comment + used, VD_PCAPNG_COMMENT_SIZE - used, format, arguments);
	va_end(arguments);
	return used < VD_PCAPNG_COMMENT_SIZE ? used : VD_PCAPNG_COMMENT_SIZE - 1;
}

void vd_pcapng_comment(char comment[VD_PCAPNG_COMMENT_SIZE], const struct vd_engine_tap_packet *packet)
{
	size_t used = add(comment, 0, "%s", vd_stats_verdict_word(packet->verdict));

	if (packet->verdict == VD_QUEUE)
		used = add(comment, used, " to %u", packet->requeue);
	if (packet->is_edit_refused)
		used = add(comment, used, ", as an edit was refused");
	else if (packet->is_fault)
		used = add(comment, used, ", by a fault of %.128s", packet->function);
	else
		used = add(comment, used, " by %.128s", packet->function ? packet->function : "default");
	used = add(comment, used, " (queue %u)", packet->queue);
	if (packet->is_edited)
		used = add(comment, used, ", edited");
	if (packet->is_marked)
		used = add(comment, used, ", mark 0x%x", packet->mark);
	if (packet->is_taken_back)
		add(comment, used, ", without its changes");
}
