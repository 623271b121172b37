/* SPDX-License-Identifier: MIT */
/*
 * The cheap kind: 64-byte UDP packets from a prebuilt template, as many as are asked for, and verdicts that are only
 * counted: how many, and the sum of their ids, so that a lost or doubled one shows. What it costs by itself is measured with
 * vd_port_sim_drive() and taken off.
 */
#include "engine/port_sim_private.h"

#include <linux/if_ether.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "engine/slots.h"

#define BENCH_PACKET_SIZE 64u

struct sim_bench {
	/* the reader's */
	uint64_t left;
	uint64_t handed_up;
	uint64_t handed_up_ids;
	uint32_t next_id;
	uint32_t next_flow;
	uint32_t flow_count;
	uint8_t template[BENCH_PACKET_SIZE];

	/* the senders': one addition each in a burst */
	_Alignas(VD_CACHE_LINE) _Atomic uint64_t answered;
	_Atomic uint64_t answered_ids;
};

static void make_template(uint8_t *bytes)
{
	bytes[0] = 0x45;
	bytes[3] = BENCH_PACKET_SIZE;
	bytes[8] = 64;
	bytes[9] = IPPROTO_UDP;
	bytes[12] = bytes[16] = 10;
	bytes[19] = 1;
	bytes[20] = 0x80;
	bytes[23] = 53;
	bytes[25] = BENCH_PACKET_SIZE - 20;
}

/* Not a template for each: those of a million flows would be fetched from memory. */
static void write_packet(uint8_t *bytes, const uint8_t *template, uint32_t flow)
{
	memcpy(bytes, template, BENCH_PACKET_SIZE);
	bytes[13] = (uint8_t)(flow >> 16);
	bytes[14] = (uint8_t)(flow >> 8);
	bytes[15] = (uint8_t)flow;
	bytes[21] = (uint8_t)flow;
}

int sim_bench_init(struct sim *sim)
{
	struct sim_bench *bench = aligned_alloc(_Alignof(struct sim_bench), sizeof *bench);

	if (!bench)
		return -ENOMEM;
	memset(bench, 0, sizeof *bench);
	sim->bench = bench;
	bench->left = sim->options.packets;
	bench->next_id = sim->options.first_id;
	bench->flow_count = sim->options.flows;
	make_template(bench->template);
	return 0;
}

void sim_bench_fini(struct sim *sim)
{
	free(sim->bench);
	sim->bench = NULL;
}

int sim_bench_receive(struct vd_port *port, struct vd_packet **packets, unsigned count, bool wait)
{
	struct sim *sim = sim_of(port);
	struct sim_bench *bench = sim->bench;
	struct vd_packet fresh = {
		.data_offset = VD_SLOT_ROOM,
		.length = BENCH_PACKET_SIZE,
		.room = sim->settings.slot_room,
		.wire_length = BENCH_PACKET_SIZE,
		.original_length = BENCH_PACKET_SIZE,
		.queue = (uint16_t)sim->options.queue,
		.ethertype = ETH_P_IP,
	};
	uint64_t id_sum = 0;

	(void)wait;
	if (!bench->left)
		return VD_PORT_ENDED;
	if (count > bench->left)
		count = (unsigned)bench->left;
	for (unsigned i = 0; i < count; i++) {
		struct vd_packet *packet = packets[i];

		fresh.id = bench->next_id++;
		id_sum += fresh.id;
		*packet = fresh;
		write_packet((uint8_t *)packet + VD_SLOT_ROOM, bench->template, bench->next_flow);
		if (++bench->next_flow == bench->flow_count)
			bench->next_flow = 0;
	}
	bench->left -= count;
	bench->handed_up += count;
	bench->handed_up_ids += id_sum;
	return (int)count;
}

int sim_bench_send(struct vd_port *port, struct vd_packet *const *packets, unsigned count, bool are_all, void *scratch)
{
	struct sim_bench *bench = sim_of(port)->bench;
	uint64_t id_sum = 0;

	(void)scratch;
	(void)are_all;
	for (unsigned i = 0; i < count; i++)
		id_sum += packets[i]->id;
	/* relaxed: sums that are read when all is over */
	atomic_fetch_add_explicit(&bench->answered, count, memory_order_relaxed);
	atomic_fetch_add_explicit(&bench->answered_ids, id_sum, memory_order_relaxed);
	return 0;
}

void sim_bench_report(struct sim *sim, struct vd_sim_report *report)
{
	const struct sim_bench *bench = sim->bench;

	report->offered = report->handed_up = bench->handed_up;
	report->bytes = bench->handed_up * BENCH_PACKET_SIZE;
	report->handed_up_ids = bench->handed_up_ids;
	/* relaxed: as above */
	report->answered = atomic_load_explicit(&bench->answered, memory_order_relaxed);
	report->answered_ids = atomic_load_explicit(&bench->answered_ids, memory_order_relaxed);
	report->verdicts[VD_ACCEPT] = report->answered;
}
