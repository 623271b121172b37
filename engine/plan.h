/* SPDX-License-Identifier: MIT */
/*
 * What all threads work by: the lanes, the functions that decide, and the policies. A plan that is published never changes; a
 * reload makes another one, publishes it in one store, and frees this one when no thread can hold it any more (grace.h).
 *
 * Who may call: make and free whoever opens or reloads; a thread of the engine reads the plan that it has taken over last.
 */
#ifndef VERDICT_ENGINE_PLAN_H
#define VERDICT_ENGINE_PLAN_H

#include <verdict/engine.h>

struct vd_answers;
struct vd_chain;
struct vd_lane;

struct vd_plan {
	struct vd_chain *chain;
	struct vd_answers *answers;
	unsigned batch; /* packets and verdicts handled together */
	uint32_t batch_delay_us;
	unsigned lane_count;
	struct vd_lane *lanes[VD_ENGINE_QUEUES_MAX];	 /* one after the other */
	struct vd_lane *by_index[VD_ENGINE_QUEUES_MAX];	 /* NULL: there is none */
	uint8_t fault_verdicts[VD_ENGINE_QUEUES_MAX];	 /* by the lane's index */
};

#endif
