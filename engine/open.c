/* SPDX-License-Identifier: MIT */
/*
 * Opening what threads then work by: functions, ports, sockets for answers; and closing ports. For a start, and for what a
 * reload brings.
 */
#include <stdlib.h>
#include <sys/random.h>

#include "engine/host.h"
#include "engine/state.h"
#include "lib/nfq/nfq.h"

/* ---- functions ---- */

/* Shards for every worker to choose from; a lone worker without writers needs no choice. */
static unsigned shards_for(const struct vd_engine *engine)
{
	unsigned shards = 8;

	if (engine->worker_count == 1 && engine->writer_count <= 1)
		return 1;
	while (shards < VD_SHARDS_MAX && shards < 4 * engine->worker_count)
		shards *= 2;
	return shards;
}

struct opening {
	const struct vd_engine *engine;
	struct vd_chain *chain;
	unsigned lanes;
	struct vd_error *error;
	bool has_failed; /* the opening: the error says why */
};

static int open_chain(void *argument)
{
	struct opening *opening = argument;
	const struct vd_engine *engine = opening->engine;
	int result;

	opening->chain->holder = engine->holder; /* of the one that runs: a reload's functions were added to another */
	result = vd_chain_open(opening->chain, engine->worker_count, opening->lanes, shards_for(engine), opening->error);

	opening->has_failed = result != 0;
	return result;
}

static int open_here(void *argument, struct vd_error *error)
{
	struct opening *opening = argument;
	const struct vd_engine *engine = opening->engine;
	int result;

	opening->error = error;
	result = vd_nfq_in_netns(engine->netns, open_chain, opening);
	if (!result || opening->has_failed)
		return result;
	vd_chain_close(opening->chain); /* it was the way back */
	return vd_error_netns(error, engine->netns, result);
}

/* In the queues' namespace, so that the sockets of functions see the same interfaces and routes as their packets. */
int vd_open_functions(const struct vd_engine *engine, struct vd_chain *chain, unsigned lanes, struct vd_error *error)
{
	struct opening opening = {.engine = engine, .chain = chain, .lanes = lanes};

	if (!chain->is_isolated)
		return open_here(&opening, error);
	if (vd_chain_prepare(chain, engine->worker_count, shards_for(engine)))
		return vd_error_set(error, -ENOMEM, "out of memory");
	return vd_host_open(engine, chain, open_here, &opening, error);
}

/* Only where a function rejects, and somebody can be told. */
int vd_open_answers(const struct vd_engine *engine, const struct vd_engine_options *options, const struct vd_plan *plan,
		    struct vd_error *error)
{
	bool has_senders = false;

	for (unsigned i = 0; i < plan->lane_count; i++)
		has_senders |= plan->lanes[i]->port->operations->has_senders;
	if (!has_senders || !(plan->chain->needs & VD_NEEDS_REJECT))
		return 0;
	return vd_answers_open(plan->answers, options, engine->worker_count, error);
}

/* ---- lanes ---- */

/* Bytes of each packet that functions read. */
static uint32_t bytes_needed(const struct vd_engine *engine, const struct vd_chain *chain)
{
	bool whole = chain->bytes == VD_WHOLE || chain->bytes > VD_NFQ_COPY_RANGE_MAX || engine->copies_whole;

	return whole ? VD_NFQ_COPY_RANGE_MAX : chain->bytes;
}

void vd_choose_settings(const struct vd_engine *engine, const struct vd_chain *chain, const struct vd_lane *lane,
			const struct vd_queue_options *options, struct vd_lane_settings *settings)
{
	*settings = (struct vd_lane_settings){
		.port = {.maxlen = options->maxlen ? options->maxlen : VD_ENGINE_MAXLEN_DEFAULT,
			 .copy_range = options->copy_range ? options->copy_range : bytes_needed(engine, chain),
			 .needs = chain->needs | (options->no_gso ? VD_NEEDS_SEGMENTS : 0),
			 .fail_open = options->fail_open,
			 .fault_verdict = options->fault_verdict,
			 .netns = engine->netns,
			 .slot_room = lane->slots.room, /* once it is prepared */
			 .log = engine->options.log,
			 .log_argument = engine->options.log_argument},
		.shards = chain->shards,
		.has_writers = engine->writer_count > 0,
	};
	if (getrandom(&settings->hash_key, sizeof settings->hash_key, GRND_NONBLOCK) != (ssize_t)sizeof settings->hash_key)
		settings->hash_key = (uint64_t)(uintptr_t)engine * 0x9e3779b97f4a7c15u; /* a machine that has just booted */
}

/* Once for all queues that have the engine's copy range, and for each queue with one of its own. */
void vd_say_what_is_cut(struct vd_engine *engine, const struct vd_plan *plan)
{
	uint32_t needed = bytes_needed(engine, plan->chain);
	bool is_said = false;

	for (unsigned i = 0; i < plan->lane_count; i++) {
		uint32_t copied = plan->lanes[i]->options.copy_range;
		bool is_own = copied != engine->options.copy_range;

		if (!copied || copied >= needed || (!is_own && is_said))
			continue;
		if (is_own)
			vd_engine_log(engine, "note: %u bytes of each packet of queue %u are copied, but a function reads %u: it "
				      "will see longer packets cut", copied, plan->lanes[i]->port->queue, needed);
		else
			vd_engine_log(engine, "note: %u bytes of each packet are copied, but a function reads %u: it will see "
				      "longer packets cut", copied, needed);
		is_said |= !is_own;
	}
}

void vd_say_what_may_fill(struct vd_engine *engine, const struct vd_plan *plan)
{
	uint32_t held_max = engine->options.held_max ? engine->options.held_max : VD_ENGINE_HELD_MAX_DEFAULT;

	for (unsigned i = 0; plan->chain->needs & VD_NEEDS_HOLD && i < plan->lane_count; i++) {
		struct vd_lane *lane = plan->lanes[i];

		if (lane->maxlen <= held_max && !strcmp(lane->port->operations->kind, "queue"))
			vd_engine_log(engine, "note: functions may hold %u packets (held-max), and queue %u has room for %u (maxlen): "
				      "held ones could fill it, and others find no room", held_max, lane->port->queue, lane->maxlen);
	}
}

int vd_check_lanes(struct vd_engine *engine, const struct vd_chain *chain, struct vd_lane *const *lanes, unsigned count,
		   struct vd_error *error)
{
	struct vd_lane_settings settings;
	int result = 0;

	for (unsigned i = 0; i < count && !result; i++) {
		struct vd_port *port = lanes[i]->port;

		vd_choose_settings(engine, chain, lanes[i], &lanes[i]->options, &settings);
		result = port->operations->check ? port->operations->check(port, &settings.port, error) : 0;
	}
	return result;
}

int vd_open_lanes(struct vd_engine *engine, const struct vd_chain *chain, struct vd_lane *const *lanes, unsigned count,
		  struct vd_error *error)
{
	struct vd_lane_settings settings;
	int result = 0;

	for (unsigned i = 0; i < count && !result; i++) {
		vd_choose_settings(engine, chain, lanes[i], &lanes[i]->options, &settings);
		result = vd_lane_prepare(lanes[i], &settings);
		if (result)
			vd_error_set(error, result, "out of memory for the packets of %u queues", count);
	}
	for (unsigned i = 0; i < count && !result; i++) {
		struct vd_lane *lane = lanes[i];

		vd_choose_settings(engine, chain, lane, &lane->options, &settings);
		result = lane->port->operations->open(lane->port, &settings.port, error);
		if (!result) /* release: a stop from elsewhere may wake it from now on */
			atomic_store_explicit(&lane->is_open, true, memory_order_release);
	}
	if (result)
		for (unsigned i = 0; i < count; i++)
			vd_close_lane(engine, lanes[i], false);
	return result;
}

void vd_close_lane(struct vd_engine *engine, struct vd_lane *lane, bool has_run)
{
	bool leaves = atomic_load_explicit(&engine->leaving, memory_order_relaxed);
	struct vd_port *port = lane->port;

	if (!atomic_exchange_explicit(&lane->is_open, false, memory_order_acq_rel))
		return;
	if (port->operations->leave && (leaves || (port->is_adopted && !has_run)))
		port->operations->leave(port);
	else
		port->operations->close(port);
}

/* ---- plan ---- */

struct vd_plan *vd_plan_create(struct vd_chain *chain, const struct vd_engine_options *options)
{
	struct vd_plan *plan = calloc(1, sizeof *plan);

	if (plan)
		plan->answers = calloc(1, sizeof *plan->answers);
	if (!plan || !plan->answers) {
		free(plan);
		return NULL;
	}
	plan->chain = chain;
	plan->batch = options->batch;
	plan->batch_delay_us = options->batch_delay_us;
	return plan;
}

void vd_plan_add(struct vd_plan *plan, struct vd_lane *lane, const struct vd_queue_options *options)
{
	plan->lanes[plan->lane_count++] = lane;
	plan->by_index[lane->index] = lane;
	plan->fault_verdicts[lane->index] = (uint8_t)options->fault_verdict;
}

void vd_plan_destroy(struct vd_plan *plan)
{
	if (!plan)
		return;
	vd_answers_close(plan->answers);
	free(plan->answers);
	free(plan);
}
