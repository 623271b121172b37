/* SPDX-License-Identifier: MIT */
/*
 * Functions that take the place of others: who comes after whom, what they take over of each other's state, and of what was
 * counted.
 */
#include "engine/migrate.h"

#include <errno.h>
#include <stdlib.h>

/* The function of the same name, as many of them before it as before this one. */
static struct vd_link *find_predecessor(struct vd_chain *old, const struct vd_chain *chain, const struct vd_link *link)
{
	unsigned nth = 0;

	for (const struct vd_link *other = chain->links; other < link; other++)
		nth += !strcmp(other->names->name, link->names->name);
	for (unsigned i = 0; i < old->count; i++)
		if (!strcmp(old->links[i].names->name, link->names->name) && nth-- == 0)
			return &old->links[i];
	return NULL;
}

static bool takes_over(const struct vd_link *link, const struct vd_link *old)
{
	return old && link->function.migrate && link->function.state_format &&
	       link->function.state_format == old->function.state_format && link->function.scope == old->function.scope;
}

bool vd_chain_migrates(struct vd_chain *old, const struct vd_chain *chain)
{
	if (old->host || chain->host) /* state lies in processes of their own */
		return false;
	for (unsigned i = 0; i < chain->count; i++)
		if (takes_over(&chain->links[i], find_predecessor(old, chain, &chain->links[i])))
			return true;
	return false;
}

const char *vd_chain_forgets(struct vd_chain *old, const struct vd_chain *chain)
{
	for (unsigned i = 0; (old->host || chain->host) && i < chain->count; i++)
		if (takes_over(&chain->links[i], find_predecessor(old, chain, &chain->links[i])))
			return chain->links[i].names->name;
	return NULL;
}

/* A state belongs to a worker, or to a lane and shard: all lanes that both have are the same ones. */
static unsigned migrate_states(const struct vd_link *link, const struct vd_link *old, const bool *has_lane, unsigned shards)
{
	unsigned failures = link->function.migrate(link->shared, NULL, old->shared, NULL) != 0;

	for (unsigned i = 0; i < link->state_count && i < old->state_count; i++)
		if (link->function.scope == VD_SCOPE_WORKER || has_lane[i / shards])
			failures += link->function.migrate(link->shared, link->states[i], old->shared, old->states[i]) != 0;
	return failures;
}

unsigned vd_chain_migrate(struct vd_chain *old, struct vd_chain *chain, const bool *has_lane, const char **name)
{
	unsigned failures = 0;

	for (unsigned i = 0; i < chain->count; i++) {
		struct vd_link *link = &chain->links[i], *before = find_predecessor(old, chain, link);
		unsigned failed = takes_over(link, before) ? migrate_states(link, before, has_lane, chain->shards) : 0;

		if (failed)
			*name = link->names->name;
		failures += failed;
	}
	return failures;
}

int vd_chain_follow(struct vd_chain *old, struct vd_chain *chain)
{
	for (unsigned i = 0; i < chain->count; i++) {
		struct vd_link *link = &chain->links[i], *before = find_predecessor(old, chain, link);
		struct vd_past *past, *own;

		if (!before || before->names != link->names)
			continue;
		own = malloc(sizeof *own);
		link->spare = malloc(sizeof *link->spare);
		if (!own || !link->spare) {
			free(own);
			return -ENOMEM;
		}
		past = atomic_load_explicit(&before->past, memory_order_relaxed); /* this thread has written it */
		own->sum = past ? past->sum : (struct vd_function_stats){0};
		own->predecessor = before;
		atomic_store_explicit(&link->past, own, memory_order_relaxed); /* published with the chain */
	}
	return 0;
}

void vd_chain_fold(const struct vd_chain *old, struct vd_chain *chain)
{
	for (unsigned i = 0; i < chain->count; i++) {
		struct vd_link *link = &chain->links[i];
		struct vd_past *past = atomic_load_explicit(&link->past, memory_order_relaxed);

		if (!link->spare)
			continue;
		vd_chain_stats(old, past->predecessor, &link->spare->sum);
		link->spare->predecessor = NULL;
		/* release, pairs with the acquire in vd_chain_stats() */
		atomic_store_explicit(&link->past, link->spare, memory_order_release);
		link->spare = past;
	}
}

void vd_chain_forget(struct vd_chain *chain)
{
	for (unsigned i = 0; i < chain->count; i++) {
		free(chain->links[i].spare);
		chain->links[i].spare = NULL;
	}
}
