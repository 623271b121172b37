/* SPDX-License-Identifier: MIT */
/*
 * Answers HTTP with libmicrohttpd, in the thread of who polls: nothing here waits for a client.
 *
 * Places are few. When but one is left, the connection that has been there for longest is shut down, so whoever comes is
 * served, however many clients hang or send a byte now and then. A scrape takes milliseconds; only one that is slower than a
 * dozen later clients could be meant and is not.
 *
 * Who comes while all places are taken waits in the kernel, and the server does not look there. It does again at the beginning of
 * the first round behind the one in which somebody left, for which nothing would wake it.
 */
#include "tools/metrics/metrics.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/clock.h"
#include "engine/error.h"
#include "tools/config/values.h"
#include "tools/metrics/exposition.h"
#include "tools/stats.h"

#define PLACES 16
#define IDLE_SECONDS_MAX 10u
#define REQUEST_BYTES_MAX 8192

#define TEXT_TYPE "text/plain; version=0.0.4; charset=utf-8"

static const char INDEX[] = "<!DOCTYPE html>\n<title>verdict</title>\n<p><a href=\"/metrics\">/metrics</a>\n";

/* A connection, and when it came: a number that grows. */
struct place {
	int descriptor; /* -1: free */
	bool is_leaving; /* it was shut down, and is there until the server has seen that */
	uint64_t since;
};

struct vd_metrics {
	struct MHD_Daemon *server;
	struct vd_engine *engine;
	uint64_t start_ns;
	uint64_t connections;
	bool has_room; /* since the last round: somebody left */
	_Atomic uint64_t reloads[2]; /* refused, done */
	struct place places[PLACES];
	struct vd_snapshot snapshot;
};

/* ---- what is answered ---- */

static void write_all(struct vd_metrics *metrics, FILE *file)
{
	static const char *const RESULTS[] = {"refused", "done"};
	struct vd_snapshot *snapshot = &metrics->snapshot;
	double seconds = (double)(vd_clock_ns() - metrics->start_ns) / 1e9;

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
	vd_metrics_write_latency(file, metrics->engine, snapshot);
	vd_metrics_write_functions(file, snapshot);
	vd_metrics_write_hosts(file, snapshot);
	vd_metrics_write_workers(file, snapshot);
	vd_metrics_write_process(file);
}

static struct MHD_Response *constant(const char *text)
{
	return MHD_create_response_from_buffer(strlen(text), (void *)(uintptr_t)text, MHD_RESPMEM_PERSISTENT);
}

static struct MHD_Response *scrape(struct vd_metrics *metrics)
{
	struct MHD_Response *response;
	char *text = NULL;
	size_t size = 0;
	FILE *file = open_memstream(&text, &size);

	if (!file)
		return NULL;
	write_all(metrics, file);
	if (fclose(file)) {
		free(text);
		return NULL;
	}
	response = MHD_create_response_from_buffer(size, text, MHD_RESPMEM_MUST_FREE);
	if (!response)
		free(text);
	else
		MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, TEXT_TYPE);
	return response;
}

static struct MHD_Response *respond(struct vd_metrics *metrics, const char *url, const char *method, unsigned *status)
{
	struct MHD_Response *response;

	*status = MHD_HTTP_OK;
	if (strcmp(method, MHD_HTTP_METHOD_GET) && strcmp(method, MHD_HTTP_METHOD_HEAD)) {
		*status = MHD_HTTP_METHOD_NOT_ALLOWED;
		response = constant("only GET and HEAD\n");
		if (response)
			MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
	} else if (!strcmp(url, "/metrics")) {
		response = scrape(metrics);
	} else if (!strcmp(url, "/")) {
		response = constant(INDEX);
		if (response)
			MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "text/html");
	} else {
		*status = MHD_HTTP_NOT_FOUND;
		response = constant("there is nothing but /metrics\n");
	}
	return response;
}

/* Answered before a body is read: none is wanted. */
static enum MHD_Result answer(void *argument, struct MHD_Connection *connection, const char *url, const char *method,
			      const char *version, const char *upload, size_t *upload_size, void **request)
{
	unsigned status;
	struct MHD_Response *response = respond(argument, url, method, &status);
	enum MHD_Result result;

	(void)version;
	(void)upload;
	(void)upload_size;
	(void)request;
	if (!response)
		return MHD_NO;
	result = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return result;
}

/* ---- places ---- */

/* Of this connection; -1: a free one. NULL: there is none. */
static struct place *find_place(struct vd_metrics *metrics, int descriptor)
{
	for (unsigned i = 0; i < PLACES; i++)
		if (metrics->places[i].descriptor == descriptor)
			return &metrics->places[i];
	return NULL;
}

static void make_room(struct vd_metrics *metrics)
{
	struct place *oldest = NULL;
	unsigned staying = 0;

	for (struct place *place = metrics->places; place < metrics->places + PLACES; place++) {
		if (place->descriptor < 0 || place->is_leaving)
			continue;
		staying++;
		if (!oldest || place->since < oldest->since)
			oldest = place;
	}
	if (staying < PLACES - 1)
		return;
	oldest->is_leaving = true;
	shutdown(oldest->descriptor, SHUT_RDWR); /* the server sees that, and closes it */
}

static void connection_changed(void *argument, struct MHD_Connection *connection, void **unused,
			       enum MHD_ConnectionNotificationCode what)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct vd_metrics *metrics = argument;
	struct place *place;

	(void)unused;
	if (!info)
		return;
	place = find_place(metrics, what == MHD_CONNECTION_NOTIFY_STARTED ? -1 : info->connect_fd);
	if (!place)
		return;
	if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
		place->descriptor = -1;
		metrics->has_room = true;
		return;
	}
	*place = (struct place){.descriptor = info->connect_fd, .since = ++metrics->connections};
	make_room(metrics);
}

/* ---- life ---- */

/* A socket that listens, or -errno. */
static int listen_at(const struct sockaddr_storage *address)
{
	int descriptor = socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), one = 1, result;

	if (descriptor < 0)
		return -errno;
	/* connections of one that ran before may still linger; two that listen there are refused all the same */
	setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (!bind(descriptor, (const struct sockaddr *)address, vd_address_size(address)) && !listen(descriptor, SOMAXCONN))
		return descriptor;
	result = -errno;
	close(descriptor);
	return result;
}

int vd_metrics_open(struct vd_metrics **metrics, struct vd_engine *engine, const char *address, struct vd_error *error)
{
	struct sockaddr_storage where;
	int descriptor;

	*metrics = NULL;
	if (!vd_value_address(address, &where))
		return vd_error_set(error, -EINVAL, "metrics: '%.100s' is no address", address);
	descriptor = listen_at(&where);
	if (descriptor < 0)
		return vd_error_set(error, descriptor, "metrics cannot be shown at %.100s: %s%s", address, strerror(-descriptor),
				    descriptor == -EADDRINUSE	? ": stop the program that listens there, or choose another port" :
				    descriptor == -EADDRNOTAVAIL ? ": choose an address of this machine" :
								   "");
	*metrics = calloc(1, sizeof **metrics);
	if (*metrics) {
		(*metrics)->engine = engine;
		(*metrics)->start_ns = vd_clock_ns();
		for (unsigned i = 0; i < PLACES; i++)
			(*metrics)->places[i].descriptor = -1;
		(*metrics)->server = MHD_start_daemon(
			MHD_USE_EPOLL, 0, NULL, NULL, answer, *metrics, MHD_OPTION_LISTEN_SOCKET, descriptor,
			MHD_OPTION_CONNECTION_LIMIT, (unsigned)PLACES, MHD_OPTION_CONNECTION_TIMEOUT, IDLE_SECONDS_MAX,
			MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)REQUEST_BYTES_MAX, MHD_OPTION_NOTIFY_CONNECTION,
			connection_changed, *metrics, MHD_OPTION_END);
	}
	if (*metrics && (*metrics)->server)
		return 0;
	close(descriptor);
	free(*metrics);
	*metrics = NULL;
	return vd_error_set(error, -ENOMEM, "metrics cannot be shown: out of memory or descriptors");
}

int vd_metrics_descriptor(const struct vd_metrics *metrics)
{
	return MHD_get_daemon_info(metrics->server, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
}

int vd_metrics_timeout_ms(struct vd_metrics *metrics)
{
	MHD_UNSIGNED_LONG_LONG timeout_ms;

	if (metrics->has_room)
		return 0;
	if (MHD_get_timeout(metrics->server, &timeout_ms) != MHD_YES)
		return -1;
	return timeout_ms < 1000 * IDLE_SECONDS_MAX ? (int)timeout_ms : (int)(1000 * IDLE_SECONDS_MAX);
}

void vd_metrics_serve(struct vd_metrics *metrics)
{
	metrics->has_room = false;
	MHD_run(metrics->server);
}

void vd_metrics_count_reload(struct vd_metrics *metrics, bool is_done)
{
	if (metrics)
		atomic_fetch_add_explicit(&metrics->reloads[is_done], 1, memory_order_relaxed);
}

void vd_metrics_close(struct vd_metrics *metrics)
{
	if (!metrics)
		return;
	MHD_stop_daemon(metrics->server); /* closes the socket as well */
	free(metrics);
}
