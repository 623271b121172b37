/* SPDX-License-Identifier: MIT */
/*
 * Random edits of random packets of every kind, against a model that does them on plain bytes and then makes all checksums anew,
 * byte by byte: what was completed by what changed is just that.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "test/support/model.h"

#define ROOM 300
/* one thread: races are not to be found here, and each round takes ten times as long */
#ifdef __SANITIZE_THREAD__
#define ROUNDS 50000u
#else
#define ROUNDS 200000u
#endif

static struct bytes model;

static struct vd_packet *make(uint32_t skb_info)
{
	struct vd_packet *packet = bytes_packet(model.data, model.used, model.used, model.used + ROOM,
						model.data[0] >> 4 == 4 ? 0x0800 : 0x86dd, skb_info);

	packet->hook = 3;
	return packet;
}

static void expect_same(const struct vd_packet *packet, unsigned round, const char *what)
{
	if (packet->length == model.used && !memcmp(vd_packet_data(packet), model.data, model.used))
		return;
	print_message("round %u, %s, protocol %u, network %u bytes:\nis     ", round, what, packet->protocol, packet->network_length);
	for (uint32_t i = 0; i < packet->length && i < 128; i++)
		print_message("%02x", vd_packet_data(packet)[i]);
	print_message("\nshould ");
	for (uint32_t i = 0; i < model.used && i < 128; i++)
		print_message("%02x", model.data[i]);
	print_message("\n");
	fail();
}

static unsigned edit_some(uint64_t *random, struct vd_packet *packet, unsigned round)
{
	unsigned edits = 1 + bytes_random_below(random, 4);

	for (unsigned i = 0; i < edits; i++) {
		const char *fault = model_random_edit(random, packet, &model);

		if (fault)
			fail_msg("round %u: %s", round, fault);
	}
	return edits;
}

static void completed_by_what_changed_is_completed_in_full(void **state)
{
	uint64_t random = bytes_seed("edit_model");
	unsigned edited = 0;

	(void)state;
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct vd_packet *packet;

		model_random_packet(&random, &model);
		packet = make(0);
		assert_false(packet->parsed & VD_PARSED_MALFORMED);
		if (vd_packet_verify(packet) != (packet->parsed & VD_PARSED_FRAGMENT ? -ENODATA : 0) &&
		    packet->protocol != 50 && packet->protocol != 47)
			fail_msg("round %u: a right packet is said to be wrong (%d)", round, vd_packet_verify(packet));
		edit_some(&random, packet, round);
		edited += packet->edited != 0;
		vd_packet_complete(packet);
		if (packet->changed & VD_CHANGED_DATA && !(packet->parsed & VD_PARSED_FRAGMENT))
			model_complete(model.data, model.used);
		if (!(packet->parsed & VD_PARSED_FRAGMENT))
			expect_same(packet, round, "edited");
		assert_int_equal(packet->edited, 0);
		free(packet);
	}
	assert_true(edited > ROUNDS / 2);
}

static void not_ready_ones_are_completed_in_full(void **state)
{
	uint64_t random = bytes_seed("edit_not_ready");
	unsigned edited = 0;

	(void)state;
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct vd_packet *packet;
		bool is_gso;

		model_random_packet(&random, &model);
		if (!model_set_not_ready(model.data, model.used))
			continue;
		packet = make(VD_SKB_CHECKSUM_NOT_READY);
		is_gso = (packet->protocol == 6 || packet->protocol == 17) && bytes_random_below(&random, 3) == 0;
		packet->skb_info |= is_gso ? VD_SKB_GSO : 0;
		assert_int_equal(vd_packet_verify(packet), -ENODATA);
		edit_some(&random, packet, round);
		if (packet->changed & VD_CHANGED_DATA) {
			bool is_segments = is_gso && packet->protocol == 17;

			edited++;
			vd_packet_complete(packet);
			model_complete(model.data, model.used);
			if (is_segments)
				model_set_not_ready(model.data, model.used);
			assert_int_equal(packet->skb_info & VD_SKB_CHECKSUM_NOT_READY, 0);
			assert_int_equal(vd_packet_verify(packet), is_segments ? -ENODATA : 0);
		}
		expect_same(packet, round, is_gso ? "GSO" : "not ready");
		free(packet);
	}
	assert_true(edited > ROUNDS / 4);
}

/* The checksum of a first fragment is that of its whole datagram: here, of one whose other fragments are empty. */
static void first_fragments_are_completed_by_what_changed(void **state)
{
	uint64_t random = bytes_seed("edit_fragments");
	unsigned edited = 0;

	(void)state;
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct vd_packet *packet;

		model_random_packet(&random, &model);
		packet = make(0);
		if (packet->ip_version != 4 || packet->parsed & VD_PARSED_FRAGMENT) {
			free(packet);
			continue;
		}
		free(packet);
		model.data[6] = 0x20;
		packet = make(0);
		assert_int_equal(packet->parsed, VD_PARSED_FRAGMENT);
		edit_some(&random, packet, round);
		vd_packet_complete(packet);
		if (packet->changed & VD_CHANGED_DATA) {
			edited++;
			((uint8_t *)(packet + 1))[6] = model.data[6] = 0;
			model_complete(model.data, model.used);
			memcpy((uint8_t *)(packet + 1) + 10, model.data + 10, 2);
		}
		expect_same(packet, round, "fragment");
		free(packet);
	}
	assert_true(edited > ROUNDS / 8);
}

/* Damage from the way here shows at the receiver. Only what is completed in full would hide it, and is refused. */
static void what_came_wrong_stays_wrong(void **state)
{
	uint64_t random = bytes_seed("edit_wrong");
	unsigned kept = 0, refused = 0;

	(void)state;
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct vd_packet *packet;
		const uint8_t *payload;
		uint32_t length;
		int verified;

		model_random_packet(&random, &model);
		packet = make(0);
		payload = vd_packet_payload(packet, &length);
		if (!payload || !length || packet->protocol == 50) {
			free(packet);
			continue;
		}
		/* one bit of the payload, where the checksum covers it, on the way */
		model.data[payload - vd_packet_data(packet)] ^= (uint8_t)(1 << bytes_random_below(&random, 8));
		free(packet);
		packet = make(0);
		verified = vd_packet_verify(packet);
		if (verified == -EBADMSG) {
			uint32_t before = packet->length;

			for (unsigned i = 0; i < 3 && !packet->edit_refused; i++) {
				uint8_t address[16] = {1, 2, 3, 4};

				vd_packet_set_source(packet, address);
				vd_packet_set_destination_port(packet, bytes_random_below(&random, 65536));
				vd_packet_insert_payload(packet, 0, "inserted", 8);
			}
			assert_int_equal(packet->length, before);
			assert_int_equal(vd_packet_verify(packet), -EBADMSG);
			kept++;
			refused += packet->edit_refused == EBADMSG;
		}
		free(packet);
	}
	assert_true(kept > ROUNDS / 3);
	assert_true(refused > kept / 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(completed_by_what_changed_is_completed_in_full),
		cmocka_unit_test(not_ready_ones_are_completed_in_full),
		cmocka_unit_test(first_fragments_are_completed_by_what_changed),
		cmocka_unit_test(what_came_wrong_stays_wrong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
