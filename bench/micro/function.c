/* SPDX-License-Identifier: MIT */
#include "function.h"

#include "engine/chain.h"
#include "engine/slots.h"

static struct vd_chain chain;
static struct vd_names *names;
static struct vd_slot slots[VD_BURST_MAX];
static struct vd_packet *packets[VD_BURST_MAX];

static enum vd_verdict decide(struct vd_packet *packet, void *state)
{
	(void)packet;
	(void)state;
	return VD_NEXT;
}

/* verdicts[] is filled with VD_NEXT already; what decide() does, it does too. */
static void decide_burst(struct vd_packet *const *all, enum vd_verdict *verdicts, unsigned count, void *state)
{
	(void)all;
	(void)state;
	for (unsigned i = 0; i < count; i++)
		verdicts[i] = VD_NEXT;
}

static int open_state(void *shared, void **state)
{
	*state = shared;
	return 0;
}

bool call_open(const struct call_shape *shape)
{
	const struct vd_function function = {
		.abi = VD_FUNCTION_ABI, .size = sizeof function, .name = "nothing", .bytes = VD_HEADERS,
		.scope = shape->scope, .open_state = open_state, .decide = shape->is_burst ? NULL : decide,
		.decide_burst = shape->is_burst ? decide_burst : NULL};
	struct vd_error error;

	chain = (struct vd_chain){.default_verdict = VD_ACCEPT};
	for (unsigned i = 0; i < VD_BURST_MAX; i++) {
		slots[i] = (struct vd_slot){.index = i, .shard = i % shape->shards};
		packets[i] = &slots[i].packet;
	}
	for (unsigned i = 0; i < shape->functions; i++)
		if (vd_chain_add(&chain, &names, &function, "", NULL, &error))
			return false;
	return !vd_chain_open(&chain, 1, 1, shape->shards, &error);
}

void call_close(void)
{
	vd_chain_fini(&chain);
	vd_names_free(&names);
}

void call_decide(unsigned count)
{
	struct vd_outcome outcome;

	vd_chain_decide(&chain, 0, 0, VD_DROP, packets, count, NULL, &outcome);
}

bool call_has_decided(uint64_t all, unsigned count)
{
	for (unsigned i = 0; i < chain.count; i++)
		if (chain.links[i].tallies[0]->packets != all || chain.links[i].tallies[0]->verdicts[VD_NEXT] != all)
			return false;
	for (unsigned i = 0; i < count; i++)
		if (packets[i]->verdict != VD_ACCEPT)
			return false;
	return true;
}
