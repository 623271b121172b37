/* SPDX-License-Identifier: MIT */
/*
 * The cold half of the chain: adding functions, opening them with their arguments, making their states, closing them.
 */
#include "engine/chain.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "engine/error.h"
#include "engine/host.h"
#include "engine/slots.h"

static bool name_is_good(const char *name)
{
	return name && *name && strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == strlen(name);
}

/* How many names; VD_ENGINE_COUNTERS_MAX + 1 when there are more than are allowed. */
static unsigned count_names(const char *const *names)
{
	unsigned count = 0;

	while (names && names[count] && count <= VD_ENGINE_COUNTERS_MAX)
		count++;
	return count;
}

int vd_chain_add(struct vd_chain *chain, struct vd_names **names, const struct vd_function *function, const char *arguments,
		 void *library, struct vd_error *error)
{
	struct vd_link *link = &chain->links[chain->count];
	size_t size = function->size < sizeof link->function ? function->size : sizeof link->function;

	if (function->abi != VD_FUNCTION_ABI)
		return vd_error_set(error, -ENOEXEC, "it was built for version %u of the function interface, this verdict has "
				    "version %u: compile it again with this verdict's headers", function->abi, VD_FUNCTION_ABI);
	if (chain->count == VD_ENGINE_FUNCTIONS_MAX)
		return vd_error_set(error, -E2BIG, "there are %u functions already, which is the limit", chain->count);
	*link = (struct vd_link){.library = library};
	memcpy(&link->function, function, size);
	function = &link->function;
	if (!name_is_good(function->name))
		return vd_error_set(error, -ENOEXEC, "its name has to be of letters, digits, '-', '_' and '.'");
	if (!function->decide && !function->decide_burst)
		return vd_error_set(error, -ENOEXEC, "it has neither decide nor decide_burst, so it cannot decide");
	if (function->scope > VD_SCOPE_FLOW || (function->scope != VD_SCOPE_SHARED && !function->open_state))
		return vd_error_set(error, -ENOEXEC, "its scope needs an open_state that makes the states");
	if (count_names(function->counters) > VD_ENGINE_COUNTERS_MAX)
		return vd_error_set(error, -ENOEXEC, "it has more than %u counters, which is the limit", VD_ENGINE_COUNTERS_MAX);
	if (arguments && *arguments && (!function->usage || !function->open))
		return vd_error_set(error, -EINVAL, "it takes no arguments, but was given '%s'", arguments);
	link->names = vd_names_keep(names, function);
	link->arguments = strdup(arguments ? arguments : "");
	if (!link->names || !link->arguments) {
		free(link->arguments);
		return vd_error_set(error, -ENOMEM, "out of memory");
	}
	chain->count++;
	return 0;
}

static struct vd_link_tally *make_tally(unsigned counters)
{
	/* cache lines of its own: its worker writes to it all the time */
	size_t size = sizeof(struct vd_link_tally) + counters * sizeof(uint64_t);
	struct vd_link_tally *tally;

	size = (size + VD_CACHE_LINE - 1) / VD_CACHE_LINE * VD_CACHE_LINE;
	tally = aligned_alloc(VD_CACHE_LINE, size);
	if (!tally)
		return NULL;
	memset(tally, 0, size);
	tally->context = (struct vd_context){.counters = (uint64_t *)(tally + 1), .counter_count = counters};
	return tally;
}

static int make_tallies(struct vd_link *link, unsigned workers)
{
	link->tallies = calloc(workers, sizeof *link->tallies);
	if (!link->tallies)
		return -ENOMEM;
	for (unsigned i = 0; i < workers; i++) {
		link->tallies[i] = make_tally(link->names->counter_count);
		if (!link->tallies[i])
			return -ENOMEM;
	}
	return 0;
}

int vd_chain_prepare(struct vd_chain *chain, unsigned workers, unsigned shards)
{
	int result = 0;

	chain->workers = workers;
	chain->shards = shards;
	for (unsigned i = 0; i < chain->count && !result; i++)
		if (!chain->links[i].tallies)
			result = make_tallies(&chain->links[i], workers);
	return result;
}

static int make_states(struct vd_link *link, unsigned count)
{
	link->states = calloc(count ? count : 1, sizeof *link->states);
	if (!link->states)
		return -ENOMEM;
	for (; link->state_count < count; link->state_count++) {
		int result = link->function.open_state(link->shared, &link->states[link->state_count]);

		if (result)
			return result < 0 ? result : -EINVAL;
	}
	return 0;
}

static int open_link(struct vd_chain *chain, struct vd_link *link, unsigned lanes, struct vd_error *error)
{
	const struct vd_function *function = &link->function;
	unsigned states = function->scope == VD_SCOPE_WORKER ? chain->workers :
			  function->scope == VD_SCOPE_FLOW   ? lanes * chain->shards :
							       0;
	char sentence[sizeof error->text / 2] = "";
	struct vd_open open = {.arguments = link->arguments, .bytes = function->bytes, .needs = function->needs,
			       .states = states ? states : 1, .error = sentence, .error_size = sizeof sentence,
			       .holder = chain->holder};
	int result;

	if (function->open) {
		result = function->open(&open, &link->shared);
		if (result)
			return vd_error_set(error, result < 0 ? result : -EINVAL, "function %s: %s%s%s", function->name,
					    *sentence ? sentence : "it could not be opened",
					    function->usage ? "; its arguments are: " : "",
					    function->usage ? function->usage : "");
	}
	link->is_open = true;
	result = make_states(link, states);
	if (result)
		return vd_error_set(error, result, "function %s: its state could not be made: %s", function->name,
				    strerror(-result));
	if (open.bytes == VD_WHOLE || open.bytes > chain->bytes)
		chain->bytes = chain->bytes == VD_WHOLE ? VD_WHOLE : open.bytes;
	chain->needs |= open.needs;
	link->may_reject = open.needs & VD_NEEDS_REJECT;
	link->may_hold = open.needs & VD_NEEDS_HOLD;
	return 0;
}

int vd_chain_open(struct vd_chain *chain, unsigned workers, unsigned lanes, unsigned shards, struct vd_error *error)
{
	if (vd_chain_prepare(chain, workers, shards))
		return vd_error_set(error, -ENOMEM, "out of memory");
	chain->bytes = VD_HEADERS; /* what the flow hash needs */
	chain->needs = 0;
	for (unsigned i = 0; i < chain->count; i++) {
		int result = open_link(chain, &chain->links[i], lanes, error);

		if (result) {
			vd_chain_close(chain);
			return result;
		}
	}
	return 0;
}

static void close_link(struct vd_link *link)
{
	while (link->state_count) {
		void *state = link->states[--link->state_count];

		if (link->function.close_state)
			link->function.close_state(link->shared, state);
	}
	free(link->states);
	link->states = NULL;
	if (link->is_open && link->function.close)
		link->function.close(link->shared);
	link->is_open = false;
}

void vd_chain_close(struct vd_chain *chain)
{
	if (chain->host)
		vd_host_close(chain->host);
	for (unsigned i = chain->count; i--;)
		close_link(&chain->links[i]);
}

void vd_chain_fini(struct vd_chain *chain)
{
	vd_chain_close(chain);
	vd_host_destroy(chain->host);
	chain->host = NULL;
	while (chain->count) {
		struct vd_link *link = &chain->links[--chain->count];

		for (unsigned i = 0; link->tallies && i < chain->workers; i++)
			free(link->tallies[i]);
		free(link->tallies);
		free(atomic_load_explicit(&link->past, memory_order_relaxed)); /* nobody else looks any more */
		free(link->spare);
		free(link->arguments);
		if (link->library)
			dlclose(link->library);
	}
}
