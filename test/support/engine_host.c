/* SPDX-License-Identifier: MIT */
#include "engine_host.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/nfq/nfq.h"
#include "test/support/function_host.h"
#include "test/support/traffic.h"

struct engine_host {
	struct engine_host *next;
	struct vd_engine *engine;
	struct vd_engine_options options;
	struct vd_error error;
	pthread_t thread;
	bool is_started;
	_Atomic bool has_ended;
	int result;
	int status; /* the kernel's list of queues */
	unsigned queues[ENGINE_HOST_QUEUES_MAX];
	uint64_t offered[ENGINE_HOST_QUEUES_MAX];
	unsigned queue_count;
	pthread_mutex_t lock; /* of the log: any thread of the engine may write to it */
	char log[ENGINE_HOST_LOG_SIZE];
	size_t logged;
};

static struct engine_host *hosts;

static void keep_line(void *argument, const char *line)
{
	struct engine_host *host = argument;

	pthread_mutex_lock(&host->lock);
	host->logged += (size_t)snprintf(host->log + host->logged, sizeof host->log - host->logged, "%s\n", line);
	if (host->logged >= sizeof host->log)
		host->logged = sizeof host->log - 1;
	pthread_mutex_unlock(&host->lock);
}

struct engine_host *engine_host_create(const struct vd_engine_options *options)
{
	struct engine_host *host = calloc(1, sizeof *host);

	assert_non_null(host);
	pthread_mutex_init(&host->lock, NULL);
	host->status = -1;
	host->next = hosts;
	hosts = host;
	host->options = *options;
	host->options.log = keep_line;
	host->options.log_argument = host;
	if (vd_engine_create(&host->engine, &host->options, &host->error))
		fail_msg("%s", host->error.text);
	return host;
}

void engine_host_add(struct engine_host *host, const struct vd_function *function, const char *arguments)
{
	if (vd_engine_add_function(host->engine, function, arguments, &host->error))
		fail_msg("%s", host->error.text);
}

void engine_host_load(struct engine_host *host, const char *specification)
{
	char full[4096 + 256], name[64];
	size_t length = strcspn(specification, ":");

	assert_in_range(length, 1, sizeof name - 1);
	memcpy(name, specification, length);
	name[length] = '\0';
	snprintf(full, sizeof full, "%s%s", function_host_path(name), specification + length);
	if (vd_engine_load_function(host->engine, full, &host->error))
		fail_msg("%s", host->error.text);
}

void engine_host_queue_with(struct engine_host *host, unsigned queue, const struct vd_queue_options *options)
{
	assert_in_range(host->queue_count, 0, ENGINE_HOST_QUEUES_MAX - 1);
	if (options ? vd_engine_add_queue_with(host->engine, queue, options, &host->error) :
		      vd_engine_add_queue(host->engine, queue, &host->error))
		fail_msg("%s", host->error.text);
	host->queues[host->queue_count++] = queue;
}

void engine_host_queue(struct engine_host *host, unsigned queue)
{
	engine_host_queue_with(host, queue, NULL);
}

/* ---- run ---- */

static void *run(void *argument)
{
	struct engine_host *host = argument;

	host->result = vd_engine_run(host->engine, &host->error);
	/* release, pairs with the acquire in is_bound() */
	atomic_store_explicit(&host->has_ended, true, memory_order_release);
	return NULL;
}

static bool is_bound(void *argument)
{
	struct engine_host *host = argument;
	struct vd_nfq_status status;

	if (atomic_load_explicit(&host->has_ended, memory_order_acquire))
		return true;
	for (unsigned i = 0; i < host->queue_count; i++)
		if (vd_nfq_status_of(host->status, (uint16_t)host->queues[i], &status))
			return false;
	return vd_engine_queue_stats(host->engine, NULL, 0) > 0; /* a moment later */
}

void engine_host_start(struct engine_host *host)
{
	host->status = vd_nfq_status_open();
	assert_true(host->status >= 0);
	assert_int_equal(pthread_create(&host->thread, NULL, run, host), 0);
	host->is_started = true;
	if (!traffic_wait_until(is_bound, host, 5000))
		fail_msg("the queues are not bound:\n%s", host->log);
	if (atomic_load_explicit(&host->has_ended, memory_order_acquire))
		fail_msg("the engine ended at once: %d %s", host->result, host->error.text);
}

struct vd_queue_stats engine_host_stats(struct engine_host *host, unsigned queue)
{
	struct vd_queue_stats stats[ENGINE_HOST_QUEUES_MAX];
	unsigned count = vd_engine_queue_stats(host->engine, stats, ENGINE_HOST_QUEUES_MAX);

	for (unsigned i = 0; i < count && i < ENGINE_HOST_QUEUES_MAX; i++)
		if (stats[i].queue == queue)
			return stats[i];
	fail_msg("there are no statistics of queue %u", queue);
	return (struct vd_queue_stats){0};
}

struct vd_latency engine_host_latency(struct engine_host *host, unsigned queue, enum vd_since since)
{
	struct vd_latency latency = {0};

	for (unsigned i = 0; i < host->queue_count; i++)
		if (host->queues[i] == queue)
			assert_int_equal(vd_engine_queue_latency(host->engine, i, since, &latency), 0);
	assert_int_equal(vd_engine_queue_latency(host->engine, host->queue_count, since, &(struct vd_latency){0}), -ENOENT);
	return latency;
}

struct vd_function_stats engine_host_function_stats(struct engine_host *host, const char *function)
{
	static struct vd_function_stats stats[VD_ENGINE_FUNCTIONS_MAX];
	unsigned count = vd_engine_function_stats(host->engine, stats, VD_ENGINE_FUNCTIONS_MAX);

	for (unsigned i = 0; i < count; i++)
		if (!strcmp(stats[i].name, function))
			return stats[i];
	fail_msg("there are no statistics of function %s", function);
	return stats[0];
}

uint64_t engine_host_counter(struct engine_host *host, const char *function, const char *counter)
{
	struct vd_function_stats stats = engine_host_function_stats(host, function);

	for (unsigned i = 0; i < stats.counter_count; i++)
		if (!strcmp(stats.counter_names[i], counter))
			return stats.counters[i];
	fail_msg("function %s has no counter %s", function, counter);
	return 0;
}

struct settling {
	struct engine_host *host;
	unsigned queue;
	uint64_t received;
};

static bool is_settled(void *argument)
{
	struct settling *settling = argument;
	struct vd_queue_stats stats = engine_host_stats(settling->host, settling->queue);
	uint64_t answered = stats.flushed + stats.refused;

	for (unsigned verdict = 0; verdict < VD_VERDICT_COUNT; verdict++)
		answered += stats.verdicts[verdict];
	return stats.received >= settling->received && answered >= stats.received && !stats.waiting && !stats.in_flight;
}

void engine_host_settle(struct engine_host *host, unsigned queue, uint64_t received)
{
	struct settling settling = {.host = host, .queue = queue, .received = received};
	struct vd_queue_stats stats;

	if (traffic_wait_until(is_settled, &settling, 5000))
		return;
	stats = engine_host_stats(host, queue);
	if (atomic_load_explicit(&host->has_ended, memory_order_acquire))
		fail_msg("queue %u (%u workers, %u writers) does not settle, since the engine has ended: %s", queue,
			 host->options.workers, host->options.writers, host->result ? host->error.text : "without an error");
	fail_msg("queue %u (%u workers, %u writers) does not settle: received %llu of %llu, %u wait, %u in flight, %llu dropped",
		 queue, host->options.workers, host->options.writers, (unsigned long long)stats.received,
		 (unsigned long long)received, stats.waiting, stats.in_flight,
		 (unsigned long long)(stats.queue_dropped + stats.socket_dropped));
}

/* ---- stop and audit ---- */

/* Whatever did not go on has one cause. */
static void audit_causes(struct engine_host *host, unsigned index, const struct vd_queue_stats *stats)
{
	uint64_t going = stats->verdicts[VD_ACCEPT] + stats->verdicts[VD_REPEAT] + stats->verdicts[VD_QUEUE] +
			 stats->verdicts[VD_STOP] + stats->socket_passed + stats->left_accepted;
	uint64_t drops = 0;

	for (unsigned cause = 0; cause < VD_CAUSE_COUNT; cause++)
		drops += stats->drops[cause];
	if (going + drops != host->offered[index])
		fail_msg("queue %u: %llu offered, %llu went on, and %llu have a cause why not", stats->queue,
			 (unsigned long long)host->offered[index], (unsigned long long)going, (unsigned long long)drops);
	assert_true(stats->drops[VD_CAUSE_DEFAULT] <= stats->by_default);
	assert_true(stats->drops[VD_CAUSE_FAULT] <= stats->faults);
	assert_true(stats->drops[VD_CAUSE_EDIT] <= stats->edits_refused);
	assert_true(stats->drops[VD_CAUSE_FLUSHED] <= stats->flushed);
	assert_true(stats->drops[VD_CAUSE_REFUSED] <= stats->refused);
	assert_int_equal(stats->drops[VD_CAUSE_DEFAULT],
			 host->options.default_verdict == VD_DROP ? stats->by_default : 0);
}

/* Every packet that was answered has waited, once. */
static void audit_latency(struct engine_host *host, unsigned index, const struct vd_queue_stats *stats)
{
	struct vd_latency latency;

	assert_int_equal(vd_engine_queue_latency(host->engine, index, VD_SINCE_RECEIVED, &latency), 0);
	assert_int_equal(latency.count, stats->received);
	assert_true(latency.max_ns <= latency.sum_ns);
	assert_int_equal(vd_engine_queue_latency(host->engine, index, VD_SINCE_ARRIVED, &latency), 0);
	assert_true(latency.count <= stats->received);
}

static void audit_queue(struct engine_host *host, unsigned index)
{
	struct vd_queue_stats stats = engine_host_stats(host, host->queues[index]);
	uint64_t verdicts = 0, sum;

	for (unsigned verdict = 0; verdict < VD_VERDICT_COUNT; verdict++)
		verdicts += stats.verdicts[verdict];
	sum = verdicts + stats.queue_dropped + stats.socket_dropped + stats.flushed + stats.refused + stats.left_accepted +
	      stats.left_dropped;
	if (sum != host->offered[index])
		fail_msg("queue %u: %llu offered, but accounts say %llu: %llu verdicts, %llu queue_dropped, %llu socket_dropped, "
			 "%llu flushed, %llu refused, %llu left_accepted, %llu left_dropped",
			 stats.queue, (unsigned long long)host->offered[index], (unsigned long long)sum,
			 (unsigned long long)verdicts, (unsigned long long)stats.queue_dropped,
			 (unsigned long long)stats.socket_dropped, (unsigned long long)stats.flushed,
			 (unsigned long long)stats.refused, (unsigned long long)stats.left_accepted,
			 (unsigned long long)stats.left_dropped);
	audit_causes(host, index, &stats);
	audit_latency(host, index, &stats);
	assert_int_equal(stats.verdicts[VD_NEXT], 0);
	assert_int_equal(stats.verdicts[VD_HELD], 0);
	assert_int_equal(stats.held, 0);
	assert_true(stats.held_expired + stats.held_dropped <= stats.held_ever);
	assert_true(stats.drops[VD_CAUSE_DEADLINE] <= stats.held_expired);
	assert_true(stats.drops[VD_CAUSE_HELD_FULL] <= stats.received);
	assert_true(stats.held_ever <= stats.received);
	assert_int_equal(stats.received, verdicts + stats.flushed + stats.refused);
	assert_true(stats.by_default + stats.faults <= stats.received);
	assert_true(stats.rewritten <= stats.received);
	assert_int_equal(stats.waiting, 0);
	assert_int_equal(stats.in_flight, 0);
}

/* Every packet of every queue begins at the first function; what is left undecided comes to the next one. */
static void audit_functions(struct engine_host *host)
{
	static struct vd_function_stats stats[VD_ENGINE_FUNCTIONS_MAX];
	unsigned count = vd_engine_function_stats(host->engine, stats, VD_ENGINE_FUNCTIONS_MAX);
	uint64_t coming = 0, by_default = 0, dropped = 0, by_function = 0;

	for (unsigned i = 0; i < host->queue_count; i++) {
		coming += engine_host_stats(host, host->queues[i]).received - engine_host_stats(host, host->queues[i]).held_behind;
		by_default += engine_host_stats(host, host->queues[i]).by_default;
		dropped += engine_host_stats(host, host->queues[i]).drops[VD_CAUSE_FUNCTION];
		by_function += engine_host_stats(host, host->queues[i]).held_dropped;
	}
	for (unsigned i = 0; i < count; i++) {
		uint64_t said = stats[i].faults;

		for (unsigned verdict = 0; verdict < VD_VERDICT_COUNT; verdict++)
			said += stats[i].verdicts[verdict];
		assert_int_equal(stats[i].packets, coming);
		assert_int_equal(said, stats[i].packets);
		coming = stats[i].verdicts[VD_NEXT];
		by_function += stats[i].verdicts[VD_DROP] + stats[i].verdicts[VD_REJECT];
	}
	assert_int_equal(dropped, by_function);
	assert_int_equal(by_default, coming);
}

/* Each packet was decided by one thread, and with writers sent by one. */
static void audit_workers(struct engine_host *host)
{
	struct vd_worker_stats stats[VD_ENGINE_WORKERS_MAX + VD_ENGINE_WRITERS_MAX];
	unsigned count = vd_engine_worker_stats(host->engine, stats, VD_ENGINE_WORKERS_MAX + VD_ENGINE_WRITERS_MAX);
	uint64_t received = 0, decided = 0, sent = 0;

	for (unsigned i = 0; i < host->queue_count; i++)
		received += engine_host_stats(host, host->queues[i]).received;
	for (unsigned i = 0; i < count; i++) {
		*(stats[i].is_writer ? &sent : &decided) += stats[i].packets;
		assert_true(stats[i].bursts <= stats[i].packets);
		assert_true(stats[i].cpu_ns > 0);
	}
	assert_int_equal(decided, received);
	assert_true(sent <= received);
}

/* How much the kernel offered: ids that it gave out, and packets that found the queue full and got none. */
static void note_offered(struct engine_host *host)
{
	struct vd_nfq_status status;

	for (unsigned i = 0; i < host->queue_count; i++)
		if (!vd_nfq_status_of(host->status, (uint16_t)host->queues[i], &status))
			host->offered[i] = (uint64_t)status.id_sequence + status.queue_dropped;
}

static void join(struct engine_host *host)
{
	vd_engine_stop(host->engine);
	pthread_join(host->thread, NULL);
	host->is_started = false;
}

void engine_host_stop(struct engine_host *host)
{
	note_offered(host);
	join(host);
	if (host->result)
		fail_msg("the engine failed: %d %s", host->result, host->error.text);
	for (unsigned i = 0; i < host->queue_count; i++)
		audit_queue(host, i);
	audit_functions(host);
	audit_workers(host);
}

void engine_host_destroy(struct engine_host *host)
{
	struct engine_host **link = &hosts;

	if (host->is_started)
		join(host);
	while (*link != host)
		link = &(*link)->next;
	*link = host->next;
	vd_engine_destroy(host->engine);
	if (host->status >= 0)
		close(host->status);
	pthread_mutex_destroy(&host->lock);
	free(host);
}

void engine_host_destroy_all(void)
{
	while (hosts)
		engine_host_destroy(hosts);
}

uint64_t engine_host_offered(const struct engine_host *host, unsigned queue)
{
	for (unsigned i = 0; i < host->queue_count; i++)
		if (host->queues[i] == queue)
			return host->offered[i];
	fail_msg("queue %u is not the host's", queue);
	return 0;
}

const char *engine_host_log(const struct engine_host *host)
{
	return host->log;
}
