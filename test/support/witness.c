/* SPDX-License-Identifier: MIT */
#include "witness.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <cmocka.h>

#include "test/support/bytes.h"

static struct witnessed notes[WITNESS_MAX];
static _Atomic unsigned noted;
static uint32_t shards;

uint64_t witness_digest(const void *data, size_t length)
{
	const uint8_t *bytes = data;
	uint64_t digest = 0xcbf29ce484222325u; /* FNV-1a */

	for (size_t i = 0; i < length; i++)
		digest = (digest ^ bytes[i]) * 0x100000001b3u;
	return digest;
}

static bool take_address(uint8_t *to, const uint8_t *address, unsigned version)
{
	if (address)
		memcpy(to, address, version == 6 ? 16 : 4);
	return address;
}

static enum vd_verdict note(struct vd_packet *packet, void *state)
{
	/* relaxed: the notes are read when this thread has been joined */
	unsigned index = atomic_fetch_add_explicit(&noted, 1, memory_order_relaxed);
	const uint8_t *data = vd_packet_data(packet), *transport = vd_packet_transport(packet, 0), *payload;
	struct witnessed *seen = &notes[index];
	uint32_t payload_length;

	if (index >= WITNESS_MAX)
		return VD_NEXT;
	payload = vd_packet_payload(packet, &payload_length);
	*seen = (struct witnessed){
		.flow_hash = vd_packet_flow_hash(packet),
		.shard = *(uint32_t *)state,
		.length = vd_packet_length(packet),
		.wire_length = vd_packet_wire_length(packet),
		.original_length = packet->original_length,
		.indev = vd_packet_indev(packet),
		.outdev = vd_packet_outdev(packet),
		.network_length = packet->network_length,
		.transport_offset = transport ? (uint32_t)(transport - data) : 0,
		.payload_offset = payload ? (uint32_t)(payload - data) : 0,
		.payload_length = payload_length,
		.payload_digest = witness_digest(payload, payload_length),
		.fragment_offset = vd_packet_fragment_offset(packet),
		.queue = (uint16_t)vd_packet_queue(packet),
		.ethertype = (uint16_t)vd_packet_ethertype(packet),
		.source_port = (uint16_t)vd_packet_source_port(packet),
		.destination_port = (uint16_t)vd_packet_destination_port(packet),
		.family = packet->family,
		.version = (uint8_t)vd_packet_ip_version(packet),
		.protocol = (uint8_t)vd_packet_protocol(packet),
		.hook = (uint8_t)vd_packet_hook(packet),
		.tcp_flags = (uint8_t)vd_packet_tcp_flags(packet),
		.is_malformed = vd_packet_is_malformed(packet),
		.is_fragment = vd_packet_is_fragment(packet),
		.is_later_fragment = vd_packet_is_later_fragment(packet),
		.is_truncated = vd_packet_is_truncated(packet),
		.fault = bytes_accessor_fault(packet),
	};
	seen->has_source = take_address(seen->source, vd_packet_source(packet), seen->version);
	seen->has_destination = take_address(seen->destination, vd_packet_destination(packet), seen->version);
	memcpy(seen->head, data, seen->length < WITNESS_HEAD ? seen->length : WITNESS_HEAD);
	return VD_NEXT;
}

static int open_notes(struct vd_open *open, void **shared)
{
	(void)open;
	*shared = NULL;
	shards = 0;
	atomic_store(&noted, 0);
	return 0;
}

/* A state for each shard: so it can tell which one a packet came to. */
static int open_shard(void *shared, void **state)
{
	uint32_t *number = malloc(sizeof *number);

	(void)shared;
	if (!number)
		return -ENOMEM;
	*number = shards++;
	*state = number;
	return 0;
}

static void close_shard(void *shared, void *state)
{
	(void)shared;
	free(state);
}

unsigned witness_count(void)
{
	return atomic_load(&noted);
}

const struct witnessed *witness_at(unsigned index)
{
	if (index >= witness_count() || index >= WITNESS_MAX)
		abort();
	return &notes[index];
}

/* ---- its engine ---- */

void witness_queue_chain(const char *table, const char *chain)
{
	VD_NET_EACH_FAMILY(family)
		vd_net_command("%s -t %s -A %s -s %s/%u -j NFQUEUE --queue-num %d", family->iptables, table, chain, family->near,
			       family->prefix, WITNESS_QUEUE);
}

struct engine_host *witness_start(unsigned workers, uint32_t bytes, uint32_t copy_range)
{
	struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;
	struct vd_function witness = {.abi = VD_FUNCTION_ABI, .size = sizeof witness, .name = "witness", .bytes = bytes,
				      .scope = VD_SCOPE_FLOW, .open = open_notes, .open_state = open_shard,
				      .close_state = close_shard, .decide = note};
	struct engine_host *host;

	options.workers = workers;
	options.copy_range = copy_range;
	host = engine_host_create(&options);
	engine_host_add(host, &witness, "");
	engine_host_queue(host, WITNESS_QUEUE);
	engine_host_start(host);
	return host;
}

void witness_finish(struct engine_host *host, uint64_t received, uint64_t malformed)
{
	struct vd_queue_stats stats;

	engine_host_settle(host, WITNESS_QUEUE, received);
	engine_host_stop(host);
	stats = engine_host_stats(host, WITNESS_QUEUE);
	assert_int_equal(stats.received, engine_host_offered(host, WITNESS_QUEUE));
	assert_int_equal(stats.verdicts[VD_ACCEPT], stats.received);
	assert_int_equal(stats.malformed, malformed);
	assert_int_equal(witness_count(), stats.received);
	assert_in_range(witness_count(), 0, WITNESS_MAX);
	for (unsigned i = 0; i < witness_count(); i++)
		if (witness_at(i)->fault)
			fail_msg("packet %u: %s", i, witness_at(i)->fault);
	engine_host_destroy(host);
}

/* ---- what is expected ---- */

static bool is_address(const uint8_t *address, const char *text)
{
	uint8_t wanted[16];
	bool is_v6 = strchr(text, ':');

	assert_int_equal(inet_pton(is_v6 ? AF_INET6 : AF_INET, text, wanted), 1);
	return !memcmp(address, wanted, is_v6 ? 16 : 4);
}

void witness_expect_ends(const struct witnessed *seen, const struct vd_net_family *family, bool forth)
{
	assert_int_equal(seen->queue, WITNESS_QUEUE);
	assert_int_equal(seen->version, family->version);
	assert_int_equal(seen->family, family->family);
	assert_int_equal(seen->ethertype, family->ethertype);
	assert_true(seen->has_source && seen->has_destination);
	assert_true(is_address(seen->source, forth ? family->near : family->far));
	assert_true(is_address(seen->destination, forth ? family->far : family->near));
}

void witness_expect_whole(const struct witnessed *seen, unsigned protocol, uint32_t transport, uint32_t payload, uint32_t length)
{
	assert_int_equal(seen->protocol, protocol);
	assert_int_equal(seen->network_length, transport);
	assert_int_equal(seen->transport_offset, transport);
	assert_int_equal(seen->payload_offset, payload);
	assert_int_equal(seen->wire_length, length);
	assert_int_equal(seen->length, length);
	assert_int_equal(seen->original_length, length);
	assert_int_equal(seen->payload_length, length - payload);
	assert_false(seen->is_truncated || seen->is_malformed || seen->is_fragment || seen->is_later_fragment);
	assert_int_equal(seen->fragment_offset, 0);
}

void witness_expect_ports(const struct witnessed *seen, unsigned source, unsigned destination)
{
	assert_int_equal(seen->source_port, source);
	assert_int_equal(seen->destination_port, destination);
}
