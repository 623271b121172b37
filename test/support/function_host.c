/* SPDX-License-Identifier: MIT */
#include "function_host.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/packet/packet.h"

/* As good as any: the engine draws one at start. */
#define HASH_KEY 0x5bd1e9955bd1e995u

static void need(bool truth, const char *what, const char *which)
{
	if (truth)
		return;
	fprintf(stderr, "function_host: %s: %s\n", what, which);
	abort();
}

/* build/plain, for the test build/plain/test/unit/test_functions */
static const char *find_build(void)
{
	static char path[PATH_MAX];
	ssize_t length;
	char *end;

	if (getenv("VD_BUILD"))
		return getenv("VD_BUILD");
	length = readlink("/proc/self/exe", path, sizeof path - 1);
	need(length > 0, "cannot read", "/proc/self/exe");
	path[length] = '\0';
	for (unsigned up = 0; up < 3; up++) {
		end = strrchr(path, '/');
		need(end, "the test does not lie in BUILD/test/unit/; say VD_BUILD=DIRECTORY", path);
		*end = '\0';
	}
	return path;
}

const char *function_host_path(const char *name)
{
	static char path[PATH_MAX + 64];
	bool is_test = !strncmp(name, "test/", 5);

	snprintf(path, sizeof path, "%s/%s/%s.so", find_build(), is_test ? "test/functions" : "functions",
		 is_test ? name + 5 : name);
	need(!access(path, R_OK), "not built, say `make all test-programs`", path);
	return path;
}

const struct vd_function *function_host_load(const char *name, void **library)
{
	*library = dlopen(function_host_path(name), RTLD_NOW | RTLD_LOCAL);
	need(*library, "dlopen", *library ? "" : dlerror());
	return dlsym(*library, "vd_function");
}

static int open_states(struct function_host *host, unsigned states)
{
	if (host->function->scope == VD_SCOPE_SHARED)
		return 0;
	host->states = calloc(states, sizeof *host->states);
	need(host->states, "out of memory", "states");
	for (; host->state_count < states; host->state_count++) {
		int error = host->function->open_state(host->shared, &host->states[host->state_count]);

		if (error)
			return error;
	}
	return 0;
}

int function_host_open(struct function_host *host, const char *name, const char *arguments, unsigned states)
{
	struct vd_open open = {.arguments = arguments, .states = states, .error_size = sizeof host->error};
	int error = 0;

	memset(host, 0, sizeof *host);
	host->function = function_host_load(name, &host->library);
	need(host->function, "has no vd_function", name);
	host->context.counters = host->counters;
	while (host->function->counters && host->function->counters[host->context.counter_count])
		host->context.counter_count++;
	need(host->context.counter_count <= FUNCTION_HOST_COUNTERS_MAX, "too many counters", name);

	open.bytes = host->function->bytes;
	open.needs = host->function->needs;
	open.error = host->error;
	if (host->function->open)
		error = host->function->open(&open, &host->shared);
	if (error) {
		dlclose(host->library);
		return error;
	}
	host->bytes = open.bytes;
	host->needs = open.needs;
	error = open_states(host, states);
	if (error)
		function_host_close(host);
	return error;
}

void function_host_close(struct function_host *host)
{
	while (host->state_count) {
		void *state = host->states[--host->state_count];

		if (host->function->close_state)
			host->function->close_state(host->shared, state);
	}
	free(host->states);
	if (host->function->close)
		host->function->close(host->shared);
	dlclose(host->library);
}

void function_host_decide_burst(struct function_host *host, struct vd_packet *const *packets, enum vd_verdict *verdicts,
				unsigned count, unsigned state)
{
	void *pointer = host->states ? host->states[state] : host->shared;

	for (unsigned i = 0; i < count; i++) {
		packets[i]->context = &host->context;
		packets[i]->flow_hash = vd_packet_compute_flow_hash(packets[i], HASH_KEY);
		verdicts[i] = VD_NEXT;
	}
	if (host->function->decide_burst)
		host->function->decide_burst(packets, verdicts, count, pointer);
	else
		for (unsigned i = 0; i < count; i++)
			verdicts[i] = host->function->decide(packets[i], pointer);
}

enum vd_verdict function_host_decide(struct function_host *host, struct vd_packet *packet, unsigned state)
{
	enum vd_verdict verdict;

	function_host_decide_burst(host, &packet, &verdict, 1, state);
	return verdict;
}

uint64_t function_host_counter(const struct function_host *host, const char *name)
{
	for (unsigned i = 0; i < host->context.counter_count; i++)
		if (!strcmp(host->function->counters[i], name))
			return host->counters[i];
	need(false, "no such counter", name);
	return 0;
}
