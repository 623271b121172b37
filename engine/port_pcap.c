/* SPDX-License-Identifier: MIT */
/*
 * The pcap port: packets from a capture, and the frames that were accepted and dropped into captures.
 *
 * Functions see what they would see in a queue: the packet from its network header on, without the link's padding, cut at
 * the copy range; a time stamp and the sender's hardware address as the kernel would tell them. Frames come out whole, as they
 * were captured, whatever the copy range; a rewritten packet behind its old link header. Frames that carry no IP never
 * come to a queue: no function sees them, they go to the accepted ones and keep their place.
 *
 * VD_ACCEPT and VD_STOP are accepted; so are VD_REPEAT and VD_QUEUE, since here are no hook and no other queue. A
 * rewritten packet that is dropped comes out as it came in. VD_REJECT is dropped, and nobody is told.
 *
 * A packet's room in a slot:	| attributes | ... link header | network header ... | VD_ROOM |
 *				0	     ROOM_LINK		 ROOM_DATA
 *
 * Locks: `lock` guards the frames but for the reader's part (port_pcap_frames.h), the outputs, the accounts and `failure`.
 * `input` and what stands with it belongs to the reader.
 */
#include "engine/port.h"

#include <assert.h>
#include <endian.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include <linux/if_ether.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/netlink.h>

#include "engine/error.h"
#include "engine/port_pcap_files.h"
#include "engine/port_pcap_frames.h"
#include "engine/port_pcap_link.h"
#include "engine/port_pcap_verify.h"
#include "engine/slots.h"
#include "lib/packet/packet.h"

#define ROOM_LINK 64
#define ROOM_DATA 128

/* What may be on its way in bytes: enough for every slot of a lane to hold an ordinary packet, and for any single frame. */
#define FRAMES_CAPACITY (16u << 20)
_Static_assert(VD_PCAP_FRAME_MAX <= FRAMES_CAPACITY / 2, "a frame does not fit");

/* Frames that one receive looks at, when hardly any carries IP. */
#define FRAMES_IN_RECEIVE_MAX 1024

/* How long to wait for the packet that holds up all others. */
#define HELD_UP_NS 1000000

enum { ACCEPTED, DROPPED, OUTPUTS };

struct capture {
	struct vd_port port;
	struct vd_port_settings settings;
	char *paths[OUTPUTS]; /* NULL: nowhere */
	bool has_outputs;
	bool verifies;

	/* the reader's */
	struct vd_pcap_input input;
	bool has_frame; /* read, and not passed on */
	struct pcap_pkthdr *header;
	const uint8_t *bytes;
	int end; /* VD_PORT_ENDED or -errno: why no more frames come; 0: they do */
	char end_sentence[VD_SENTENCE_SIZE];

	pthread_mutex_t lock;
	struct vd_frames frames;
	struct vd_pcap_output outputs[OUTPUTS];
	uint64_t received;
	uint64_t answered;
	uint64_t not_ip;
	bool has_ended;
	int failed; /* -errno: what comes out is not complete */
	struct vd_port_counters counters;
};

static struct capture *capture_of(struct vd_port *port)
{
	return (struct capture *)(void *)port;
}

/* ---- what went wrong ---- */

/* Whoever got an error is reading the first sentence by now: it stays, and a second one goes to the log. */
static void tell(struct capture *this, const char *sentence)
{
	if (!*this->port.failure)
		snprintf(this->port.failure, sizeof this->port.failure, "%s", sentence);
	else if (this->settings.log)
		this->settings.log(this->settings.log_argument, sentence);
}

static void fail(struct capture *this, int code, const char *sentence)
{
	if (!this->failed)
		tell(this, sentence);
	this->failed = code;
}

/* ---- frames out: under the lock ---- */

static void write_frame(struct capture *this, const struct vd_frame *frame)
{
	struct vd_pcap_output *output = &this->outputs[frame->state == VD_FRAME_DROPPED ? DROPPED : ACCEPTED];
	char sentence[VD_SENTENCE_SIZE];
	int code;

	if (!output->dumper || this->failed)
		return;
	code = vd_pcap_output_write(output, &frame->header, frame->moved ? frame->moved : frame->bytes, sentence);
	if (code)
		fail(this, code, sentence);
}

static void close_outputs(struct capture *this)
{
	char sentence[VD_SENTENCE_SIZE];

	for (unsigned i = 0; i < OUTPUTS; i++) {
		int code = vd_pcap_output_close(&this->outputs[i], sentence);

		if (code)
			fail(this, code, sentence);
	}
}

/* Writes what is settled up to the first frame that waits; behind the last one, the files are complete. */
static int flush(struct capture *this)
{
	struct vd_frame *frame;

	while ((frame = vd_frames_oldest(&this->frames)) && frame->state != VD_FRAME_WAITING) {
		write_frame(this, frame);
		vd_frames_remove_oldest(&this->frames);
	}
	if (this->has_ended && !frame)
		close_outputs(this);
	return this->failed;
}

/* ---- frames in: the reader ---- */

/* | length, type | value | as the kernel's message has them; returns where the next one begins. */
static uint8_t *put_attribute(uint8_t *at, uint16_t type, const void *value, uint16_t length)
{
	struct nlattr attribute = {.nla_len = (uint16_t)(NLA_HDRLEN + length), .nla_type = type};

	memcpy(at, &attribute, sizeof attribute);
	memcpy(at + NLA_HDRLEN, value, length);
	return at + NLA_ALIGN(NLA_HDRLEN + length);
}

/* What the kernel tells of every packet and a capture knows: vd_packet_timestamp_ns() and vd_packet_hardware_address(). */
static uint32_t put_attributes(const struct capture *this, uint8_t *room, const struct vd_pcap_link *link)
{
	bool nanoseconds = this->input.precision == PCAP_TSTAMP_PRECISION_NANO;
	uint64_t fraction = (uint64_t)this->header->ts.tv_usec;
	struct nfqnl_msg_packet_timestamp time = {.sec = htobe64((uint64_t)this->header->ts.tv_sec),
						  .usec = htobe64(nanoseconds ? fraction / 1000 : fraction)};
	struct nfqnl_msg_packet_hw sender = {.hw_addrlen = htobe16(link->address_length)};
	uint8_t *at = put_attribute(room, NFQA_TIMESTAMP, &time, sizeof time);

	if (link->address) {
		memcpy(sender.hw_addr, link->address, link->address_length);
		at = put_attribute(at, NFQA_HWADDR, &sender, sizeof sender);
	}
	assert(at <= room + ROOM_LINK);
	return (uint32_t)(at - room);
}

static uint32_t smaller(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static void fill_packet(struct capture *this, struct vd_packet *packet, const struct vd_pcap_link *link, uint64_t position)
{
	uint8_t *room = (uint8_t *)packet + VD_SLOT_ROOM;
	uint32_t captured = this->header->caplen - link->length;
	uint32_t on_the_wire = this->header->len > this->header->caplen ? this->header->len - link->length : captured;
	const uint8_t *data = this->bytes + link->length;

	*packet = (struct vd_packet){
		.data_offset = VD_SLOT_ROOM + ROOM_DATA,
		.room = this->settings.slot_room - ROOM_DATA,
		.wire_length = vd_pcap_link_ip_length(link->ethertype, data, captured, on_the_wire),
		.id = (uint32_t)this->input.count, /* as other programs number the frames, those that are not IP as well */
		.queue = (uint16_t)this->port.queue,
		.ethertype = link->ethertype,
		.family = link->ethertype == ETH_P_IP ? AF_INET : AF_INET6,
		.message_offset = VD_SLOT_ROOM,
		.link_length = link->length,
		.port_private = position,
	};
	packet->length = smaller(smaller(captured, packet->wire_length), this->settings.copy_range);
	packet->original_length = packet->length;
	packet->message_length = put_attributes(this, room, link);
	memcpy(room + ROOM_DATA - link->length, this->bytes, link->length + packet->length);
}

/* The next frame of the capture, unless there is one already; false: no more come. */
static bool next_frame(struct capture *this)
{
	int got;

	if (this->has_frame || this->end)
		return this->has_frame;
	got = vd_pcap_input_next(&this->input, &this->header, &this->bytes, this->end_sentence);
	this->has_frame = got == 1;
	if (got == 1)
		return true;
	this->end = got ? got : VD_PORT_ENDED;
	pthread_mutex_lock(&this->lock);
	this->has_ended = true;
	pthread_mutex_unlock(&this->lock);
	return false;
}

/* Puts the frame behind those that are on their way. NULL: no room. */
static struct vd_frame *append_frame(struct capture *this, uint64_t *position)
{
	struct vd_frame *frame = vd_frames_reserve(&this->frames, this->header->caplen + VD_ROOM, position);

	if (!frame)
		return NULL;
	frame->header = *this->header;
	memcpy(frame->bytes, this->bytes, this->header->caplen);
	return frame;
}

/* Up to `count` packets; stops early when frames have no room before older ones have left. */
static unsigned read_burst(struct capture *this, struct vd_packet **packets, unsigned count, unsigned *not_ip)
{
	unsigned got = 0;

	for (unsigned looked_at = 0; got < count && looked_at < FRAMES_IN_RECEIVE_MAX && next_frame(this); looked_at++) {
		struct vd_frame *frame = NULL;
		struct vd_pcap_link link;
		uint64_t position = 0;

		if (this->has_outputs) {
			frame = append_frame(this, &position);
			if (!frame)
				break;
		}
		this->has_frame = false;
		if (vd_pcap_link_parse(this->input.link_type, this->bytes, this->header->caplen, &link)) {
			fill_packet(this, packets[got++], &link, position);
		} else {
			++*not_ip;
			if (frame)
				frame->state = VD_FRAME_ACCEPTED;
		}
	}
	return got;
}

static int capture_receive(struct vd_port *port, struct vd_packet **packets, unsigned count, bool wait)
{
	struct capture *this = capture_of(port);
	struct vd_port_counters counted = {0};
	unsigned got, not_ip = 0;
	int failed;

	pthread_mutex_lock(&this->lock);
	if (this->has_outputs)
		vd_frames_publish(&this->frames); /* nothing new, but what has left makes room */
	failed = this->failed;
	pthread_mutex_unlock(&this->lock);
	if (failed)
		return failed;

	got = read_burst(this, packets, count, &not_ip);
	if (this->verifies)
		vd_pcap_verify_received(packets, got, &counted);

	pthread_mutex_lock(&this->lock);
	this->counters.checksums_checked += counted.checksums_checked;
	this->counters.checksums_wrong_before += counted.checksums_wrong_before;
	this->counters.checksums_unknown += counted.checksums_unknown;
	this->received += got;
	this->not_ip += not_ip;
	if (this->has_outputs) {
		vd_frames_publish(&this->frames);
		failed = flush(this);
	}
	if (!got && !failed && *this->end_sentence) {
		tell(this, this->end_sentence);
		*this->end_sentence = '\0'; /* once */
	}
	pthread_mutex_unlock(&this->lock);

	if (got)
		return (int)got;
	if (failed)
		return failed;
	if (this->end)
		return this->end;
	if (wait && this->has_frame) /* held up by a packet that another thread has */
		nanosleep(&(struct timespec){.tv_nsec = HELD_UP_NS}, NULL);
	return 0;
}

/* ---- verdicts ---- */

/* Puts what a function made of the packet behind the frame's link header. */
static int rewrite(struct vd_frame *frame, const struct vd_packet *packet)
{
	uint32_t length = packet->link_length + packet->length;
	uint8_t *bytes = frame->bytes;

	if (length > vd_frame_room(frame)) {
		bytes = frame->moved = malloc(length);
		if (!bytes)
			return -ENOMEM;
		memcpy(bytes, frame->bytes, packet->link_length);
	}
	memcpy(bytes + packet->link_length, vd_packet_data(packet), packet->length);
	frame->header.caplen = frame->header.len = length;
	return 0;
}

static int capture_send(struct vd_port *port, struct vd_packet *const *packets, unsigned count, bool are_all, void *scratch)
{
	struct capture *this = capture_of(port);
	unsigned wrong = this->verifies ? vd_pcap_verify_accepted(packets, count) : 0;
	int code = 0;

	(void)are_all;
	(void)scratch;
	if (this->has_outputs) /* until it is settled, a frame is its packet's holder's: no lock */
		for (unsigned i = 0; i < count && !code; i++)
			if (packets[i]->changed & VD_CHANGED_DATA && !vd_packet_is_dropped(packets[i]))
				code = rewrite(vd_frames_at(&this->frames, vd_pcap_position(packets[i])), packets[i]);

	pthread_mutex_lock(&this->lock);
	if (code)
		fail(this, code, "out of memory for rewritten packets: what was written is not complete");
	if (this->has_outputs) {
		for (unsigned i = 0; i < count; i++)
			vd_frames_at(&this->frames, vd_pcap_position(packets[i]))->state =
				vd_packet_is_dropped(packets[i]) ? VD_FRAME_DROPPED : VD_FRAME_ACCEPTED;
		flush(this);
	}
	code = this->failed;
	if (!code) {
		this->answered += count;
		this->counters.checksums_wrong_after += wrong;
	}
	pthread_mutex_unlock(&this->lock);
	return code;
}

/* ---- life ---- */

static int capture_open(struct vd_port *port, const struct vd_port_settings *settings, struct vd_error *error)
{
	struct capture *this = capture_of(port);
	const char *const paths[OUTPUTS] = {this->paths[ACCEPTED], this->paths[DROPPED]};

	this->settings = *settings;
	if (!this->has_outputs)
		return 0;
	if (vd_frames_init(&this->frames, FRAMES_CAPACITY))
		return vd_error_set(error, -ENOMEM, "out of memory");
	return vd_pcap_outputs_open(this->outputs, paths, &this->input, error);
}

static void capture_counters(struct vd_port *port, struct vd_port_counters *counters)
{
	struct capture *this = capture_of(port);

	pthread_mutex_lock(&this->lock);
	*counters = this->counters;
	pthread_mutex_unlock(&this->lock);
}

/* receive() waits for a moment only; but without this, it would not be asked to wait at all. */
static void capture_wake(struct vd_port *port)
{
	(void)port;
}

static void capture_close(struct vd_port *port)
{
	struct capture *this = capture_of(port);
	bool dropped = this->settings.fault_verdict == VD_DROP;
	struct vd_frame *frame;
	char line[VD_SENTENCE_SIZE];

	pthread_mutex_lock(&this->lock);
	*(dropped ? &this->counters.left_dropped : &this->counters.left_accepted) = this->received - this->answered;
	while (this->has_outputs && (frame = vd_frames_oldest(&this->frames))) {
		if (frame->state == VD_FRAME_WAITING)
			frame->state = dropped ? VD_FRAME_DROPPED : VD_FRAME_ACCEPTED;
		write_frame(this, frame);
		vd_frames_remove_oldest(&this->frames);
	}
	close_outputs(this);
	pthread_mutex_unlock(&this->lock);
	if (this->not_ip && this->settings.log) {
		snprintf(line, sizeof line, "%s: %" PRIu64 " packet%s not IP and passed undecided", this->input.name,
			 this->not_ip, this->not_ip == 1 ? " was" : "s were");
		this->settings.log(this->settings.log_argument, line);
	}
}

static void capture_destroy(struct vd_port *port)
{
	struct capture *this = capture_of(port);

	vd_pcap_input_close(&this->input);
	vd_frames_fini(&this->frames);
	for (unsigned i = 0; i < OUTPUTS; i++)
		free(this->paths[i]);
	pthread_mutex_destroy(&this->lock);
	free(this);
}

static const struct vd_port_operations capture_operations = {
	.kind = "capture",
	.open = capture_open,
	.receive = capture_receive,
	.send = capture_send,
	.needs_bytes = true,
	.counters = capture_counters,
	.wake = capture_wake,
	.close = capture_close,
	.destroy = capture_destroy,
};

static bool copy_path(char **copy, const char *path)
{
	*copy = path ? strdup(path) : NULL;
	return *copy || !path;
}

int vd_port_pcap_create(struct vd_port **port, const struct vd_capture_options *options, struct vd_error *error)
{
	struct capture *this = calloc(1, sizeof *this);
	int code;

	*port = NULL;
	if (!this)
		return vd_error_set(error, -ENOMEM, "out of memory");
	pthread_mutex_init(&this->lock, NULL);
	this->port.operations = &capture_operations;
	this->port.descriptor = -1;
	this->port.message_room = ROOM_DATA;
	this->has_outputs = options->accepted_path || options->dropped_path;
	this->verifies = this->counters.verified = options->verify;
	if (!copy_path(&this->paths[ACCEPTED], options->accepted_path) ||
	    !copy_path(&this->paths[DROPPED], options->dropped_path))
		code = vd_error_set(error, -ENOMEM, "out of memory");
	else
		code = vd_pcap_input_open(&this->input, options->path, error);
	if (code) {
		capture_destroy(&this->port);
		return code;
	}
	*port = &this->port;
	return 0;
}
