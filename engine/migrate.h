/* SPDX-License-Identifier: MIT */
/*
 * A chain of functions that takes the place of another one. All by the thread that reloads.
 */
#ifndef VERDICT_ENGINE_MIGRATE_H
#define VERDICT_ENGINE_MIGRATE_H

#include <stdbool.h>

#include "engine/chain.h"

/* Whether any function wants its predecessor's state: nobody may decide while it takes it over. */
bool vd_chain_migrates(struct vd_chain *old, const struct vd_chain *chain);

/* The name of a function that would have wanted it, had it not been in another process; NULL: there is none. */
const char *vd_chain_forgets(struct vd_chain *old, const struct vd_chain *chain);

/*
 * Has functions take over state, of the lanes that both have. Returns how many states could not be; *name is then that of a
 * function which has some.
 */
unsigned vd_chain_migrate(struct vd_chain *old, struct vd_chain *chain, const bool *has_lane, const char **name);

/* Before it is published: statistics of functions go on from those of their predecessors. 0 or -ENOMEM. */
int vd_chain_follow(struct vd_chain *old, struct vd_chain *chain);

/* When no thread has the old chain any more: what it counted becomes a sum; and, when no visitor can look at it either, is forgotten. */
void vd_chain_fold(const struct vd_chain *old, struct vd_chain *chain);
void vd_chain_forget(struct vd_chain *chain);

#endif
