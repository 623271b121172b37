/* SPDX-License-Identifier: MIT */
/*
 * allocations: how often the packet path allocates memory. It is the engine with one function that accepts, in a program
 * whose malloc() and free() count, for all threads and libraries in it, the C library included.
 *
 * The start, and the first packets, may allocate: counting begins when --skip packets were decided. That the counters work
 * shows in what they counted until then.
 */
#include "engine.h"

#include <inttypes.h>
#include <stdatomic.h>

static const char usage[] =
	"usage: allocations [options]\n"
	"Accepts the packets of one netfilter queue until SIGINT or SIGTERM, counts the calls of malloc() and free()\n"
	"meanwhile, and prints them as JSON.\n"
	"  --queue N   default 0\n"
	"  --skip N    packets before counting begins; default 10000\n"
	"  --count N   packets while it counts; default 1000000\n";

struct settings {
	unsigned queue;
	uint64_t skip, count;
};

/* ---- the allocator, which counts; relaxed: they are only counters ---- */

static _Atomic uint64_t allocated, freed;

/* a sanitizer brings an allocator of its own */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *memory);

static void count_one(_Atomic uint64_t *counter)
{
	atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

void *malloc(size_t size)
{
	count_one(&allocated);
	return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
	count_one(&allocated);
	return __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
	count_one(&allocated);
	return __libc_realloc(old, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
	count_one(&allocated);
	return __libc_memalign(alignment, size);
}

int posix_memalign(void **memory, size_t alignment, size_t size)
{
	count_one(&allocated);
	*memory = __libc_memalign(alignment, size);
	return *memory ? 0 : ENOMEM;
}

void free(void *memory)
{
	if (memory)
		count_one(&freed);
	__libc_free(memory);
}

#endif

/* ---- the function, in all workers at once ---- */

struct counts {
	uint64_t allocated, freed;
};

static struct settings settings = {.skip = 10000, .count = 1000000};
static _Atomic uint64_t decided; /* relaxed: the threads are joined before anybody else looks at `begin` and `end` */
static struct counts begin, end;

static struct counts counts_now(void)
{
	return (struct counts){
		.allocated = atomic_load_explicit(&allocated, memory_order_relaxed),
		.freed = atomic_load_explicit(&freed, memory_order_relaxed),
	};
}

static void accept_and_count(struct vd_packet *const *packets, enum vd_verdict *verdicts, unsigned count, void *state)
{
	uint64_t before = atomic_fetch_add_explicit(&decided, count, memory_order_relaxed);

	(void)packets;
	(void)state;
	for (unsigned i = 0; i < count; i++)
		verdicts[i] = VD_ACCEPT;
	if (before <= settings.skip && before + count > settings.skip)
		begin = counts_now();
	if (before <= settings.skip + settings.count && before + count > settings.skip + settings.count)
		end = counts_now();
}

static const struct vd_function function = {
	.abi = VD_FUNCTION_ABI,
	.size = sizeof function,
	.name = "accept-and-count",
	.bytes = VD_HEADERS,
	.decide_burst = accept_and_count,
};

static void read_arguments(int argc, char **argv)
{
	enum { QUEUE = 1, SKIP, COUNT };
	static const struct option options[] = {
		{"queue", required_argument, NULL, QUEUE}, {"skip", required_argument, NULL, SKIP},
		{"count", required_argument, NULL, COUNT}, {"help", no_argument, NULL, 'h'},
		{0},
	};
	int option;

	while ((option = next_option(argc, argv, options, usage)) != -1)
		switch (option) {
		case QUEUE: settings.queue = (unsigned)number("queue", optarg, 0, 65535); break;
		case SKIP: settings.skip = number("skip", optarg, 0, UINT32_MAX); break;
		case COUNT: settings.count = number("count", optarg, 1, UINT32_MAX); break;
		}
}

int main(int argc, char **argv)
{
	struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;

	read_arguments(argc, argv);
	run_engine(&options, &function, settings.queue);
	vd_engine_destroy(engine);
	if (decided <= settings.skip + settings.count)
		fail(FAILED, "it was to count during %" PRIu64 " packets behind the first %" PRIu64 ", but only %" PRIu64
		     " came", settings.count, settings.skip, decided);
	if (!begin.allocated)
		fail(FAILED, "this build has an allocator of its own, whose calls are not counted");
	printf("{\"packets\":%" PRIu64 ",\"allocations\":%" PRIu64 ",\"frees\":%" PRIu64 ",\"allocations_before\":%" PRIu64
	       "}\n", settings.count, end.allocated - begin.allocated, end.freed - begin.freed, begin.allocated);
	return 0;
}
