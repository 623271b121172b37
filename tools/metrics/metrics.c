/* SPDX-License-Identifier: MIT */
/*
 * What is shown, and where: one server at a time, which another one can replace. Who polls knows one descriptor, which stays: an epoll
 * instance, with the server's own in it, and an eventfd that says that there is another server.
 */
#include "tools/metrics/metrics.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "engine/clock.h"
#include "engine/error.h"
#include "tools/metrics/exposition.h"
#include "tools/metrics/server.h"
#include "tools/stats.h"

struct vd_metrics {
	struct vd_engine *engine;
	void (*take)(void *argument, struct vd_snapshot *snapshot, double seconds); /* NULL: vd_snapshot_take() */
	void *take_argument;
	uint64_t start_ns;
	_Atomic uint64_t reloads[2]; /* refused, done */
	int poll;  /* an epoll instance */
	int moved; /* an eventfd */
	struct vd_metrics_server *server; /* of who polls; NULL: nothing is shown */
	struct vd_snapshot snapshot;

	pthread_mutex_t lock; /* of these two */
	bool moves;
	struct vd_metrics_server *next;
};

/* ---- what is shown ---- */

static void write_all(void *argument, FILE *file)
{
	static const char *const RESULTS[] = {"refused", "done"};
	struct vd_metrics *metrics = argument;
	struct vd_snapshot *snapshot = &metrics->snapshot;
	double seconds = (double)(vd_clock_ns() - metrics->start_ns) / 1e9;

	if (metrics->take)
		metrics->take(metrics->take_argument, snapshot, seconds);
	else
		vd_snapshot_take(snapshot, metrics->engine, seconds);
	vd_exposition_family(file, "verdict_build_info", "gauge", "Always 1; which version this is.");
	vd_exposition_count(file, 1, "verdict_build_info", "version", VERDICT_VERSION, NULL);
	vd_exposition_family(file, "verdict_uptime_seconds", "gauge", "How long the engine has been there.");
	vd_exposition_number(file, seconds, "verdict_uptime_seconds", NULL);
	vd_exposition_family(file, "verdict_reloads_total", "counter", "How often the configuration was read again, by how that went.");
	for (unsigned i = 0; i < 2; i++) /* relaxed: a number, nothing hangs on it */
		vd_exposition_count(file, atomic_load_explicit(&metrics->reloads[i], memory_order_relaxed), "verdict_reloads_total",
				    "result", RESULTS[i], NULL);
	vd_metrics_write_queues(file, snapshot);
	vd_metrics_write_rules(file, snapshot);
	vd_metrics_write_latency(file, metrics->engine, snapshot);
	vd_metrics_write_functions(file, snapshot);
	vd_metrics_write_hosts(file, snapshot);
	vd_metrics_write_workers(file, snapshot);
	vd_metrics_write_process(file);
}

/* ---- where ---- */

/* Opens nothing for NULL: then nothing is shown. */
int vd_metrics_listen(struct vd_metrics *metrics, const char *address, struct vd_metrics_server **server, struct vd_error *error)
{
	*server = NULL;
	return address ? vd_metrics_server_open(server, address, write_all, metrics, error) : 0;
}

void vd_metrics_move(struct vd_metrics *metrics, struct vd_metrics_server *server)
{
	uint64_t one = 1;

	pthread_mutex_lock(&metrics->lock);
	vd_metrics_server_close(metrics->next); /* nobody has seen it */
	metrics->next = server;
	metrics->moves = true;
	pthread_mutex_unlock(&metrics->lock);
	(void)!write(metrics->moved, &one, sizeof one);
}

void vd_metrics_discard(struct vd_metrics_server *server)
{
	vd_metrics_server_close(server);
}

static void watch(struct vd_metrics *metrics, int descriptor)
{
	struct epoll_event event = {.events = EPOLLIN};

	epoll_ctl(metrics->poll, EPOLL_CTL_ADD, descriptor, &event);
}

/* The one that was takes its connections with it, and what it watched. */
static void take_next(struct vd_metrics *metrics)
{
	uint64_t ignored;

	pthread_mutex_lock(&metrics->lock);
	if (metrics->moves) {
		(void)!read(metrics->moved, &ignored, sizeof ignored);
		vd_metrics_server_close(metrics->server);
		metrics->server = metrics->next;
		metrics->next = NULL;
		metrics->moves = false;
		if (metrics->server)
			watch(metrics, vd_metrics_server_descriptor(metrics->server));
	}
	pthread_mutex_unlock(&metrics->lock);
}

/* ---- life ---- */

int vd_metrics_create(struct vd_metrics **metrics, struct vd_engine *engine, struct vd_error *error)
{
	*metrics = calloc(1, sizeof **metrics);
	if (!*metrics)
		return vd_error_set(error, -ENOMEM, "metrics cannot be shown: out of memory");
	(*metrics)->engine = engine;
	(*metrics)->start_ns = vd_clock_ns();
	pthread_mutex_init(&(*metrics)->lock, NULL);
	(*metrics)->poll = epoll_create1(EPOLL_CLOEXEC);
	(*metrics)->moved = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if ((*metrics)->poll >= 0 && (*metrics)->moved >= 0) {
		watch(*metrics, (*metrics)->moved);
		return 0;
	}
	vd_metrics_destroy(*metrics);
	*metrics = NULL;
	return vd_error_set(error, -EMFILE, "metrics cannot be shown: out of descriptors");
}

void vd_metrics_take_by(struct vd_metrics *metrics, void (*take)(void *argument, struct vd_snapshot *snapshot, double seconds),
			void *argument)
{
	metrics->take = take;
	metrics->take_argument = argument;
}

int vd_metrics_descriptor(const struct vd_metrics *metrics)
{
	return metrics->poll;
}

int vd_metrics_timeout_ms(const struct vd_metrics *metrics)
{
	return metrics->server ? vd_metrics_server_timeout_ms(metrics->server) : -1;
}

void vd_metrics_serve(struct vd_metrics *metrics)
{
	take_next(metrics);
	if (metrics->server)
		vd_metrics_server_run(metrics->server);
}

void vd_metrics_count_reload(struct vd_metrics *metrics, bool is_done)
{
	atomic_fetch_add_explicit(&metrics->reloads[is_done], 1, memory_order_relaxed);
}

void vd_metrics_destroy(struct vd_metrics *metrics)
{
	if (!metrics)
		return;
	vd_metrics_server_close(metrics->server);
	vd_metrics_server_close(metrics->next);
	if (metrics->moved >= 0)
		close(metrics->moved);
	if (metrics->poll >= 0)
		close(metrics->poll);
	pthread_mutex_destroy(&metrics->lock);
	free(metrics);
}
