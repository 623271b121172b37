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
#include "tools/metrics/server.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/error.h"
#include "tools/config/values.h"

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

struct vd_metrics_server {
	struct MHD_Daemon *daemon;
	void (*write)(void *argument, FILE *file);
	void *argument;
	uint64_t connections;
	bool has_room; /* since the last round: somebody left */
	struct place places[PLACES];
};

/* ---- what is answered ---- */

static struct MHD_Response *constant(const char *text)
{
	return MHD_create_response_from_buffer(strlen(text), (void *)(uintptr_t)text, MHD_RESPMEM_PERSISTENT);
}

static struct MHD_Response *scrape(struct vd_metrics_server *server)
{
	struct MHD_Response *response;
	char *text = NULL;
	size_t size = 0;
	FILE *file = open_memstream(&text, &size);

	if (!file)
		return NULL;
	server->write(server->argument, file);
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

static struct MHD_Response *respond(struct vd_metrics_server *server, const char *url, const char *method, unsigned *status)
{
	struct MHD_Response *response;

	*status = MHD_HTTP_OK;
	if (strcmp(method, MHD_HTTP_METHOD_GET) && strcmp(method, MHD_HTTP_METHOD_HEAD)) {
		*status = MHD_HTTP_METHOD_NOT_ALLOWED;
		response = constant("only GET and HEAD\n");
		if (response)
			MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
	} else if (!strcmp(url, "/metrics")) {
		response = scrape(server);
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
static struct place *find_place(struct vd_metrics_server *server, int descriptor)
{
	for (unsigned i = 0; i < PLACES; i++)
		if (server->places[i].descriptor == descriptor)
			return &server->places[i];
	return NULL;
}

static void make_room(struct vd_metrics_server *server)
{
	struct place *oldest = NULL;
	unsigned staying = 0;

	for (struct place *place = server->places; place < server->places + PLACES; place++) {
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
	struct vd_metrics_server *server = argument;
	struct place *place;

	(void)unused;
	if (!info)
		return;
	place = find_place(server, what == MHD_CONNECTION_NOTIFY_STARTED ? -1 : info->connect_fd);
	if (!place)
		return;
	if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
		place->descriptor = -1;
		server->has_room = true;
		return;
	}
	*place = (struct place){.descriptor = info->connect_fd, .since = ++server->connections};
	make_room(server);
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

static const char *what_to_do(int result)
{
	switch (result) {
	case -EADDRINUSE:
		return ": stop the program that listens there, or choose another port";
	case -EADDRNOTAVAIL:
		return ": choose an address of this machine";
	case -EACCES:
		return ": choose a port from 1024 on, or start it as root";
	case -EPERM:
		return ": where system calls are filtered, that has to be settled when it starts: restart it for that";
	default:
		return "";
	}
}

int vd_metrics_server_open(struct vd_metrics_server **server, const char *address, void (*write)(void *argument, FILE *file),
			   void *argument, struct vd_error *error)
{
	struct sockaddr_storage where;
	int descriptor;

	*server = NULL;
	if (!vd_value_address(address, &where))
		return vd_error_set(error, -EINVAL, "metrics: '%.100s' is no address", address);
	descriptor = listen_at(&where);
	if (descriptor < 0)
		return vd_error_set(error, descriptor, "metrics cannot be shown at %.100s: %s%s", address, strerror(-descriptor),
				    what_to_do(descriptor));
	*server = calloc(1, sizeof **server);
	if (*server) {
		(*server)->write = write;
		(*server)->argument = argument;
		for (unsigned i = 0; i < PLACES; i++)
			(*server)->places[i].descriptor = -1;
		(*server)->daemon = MHD_start_daemon(
			MHD_USE_EPOLL, 0, NULL, NULL, answer, *server, MHD_OPTION_LISTEN_SOCKET, descriptor,
			MHD_OPTION_CONNECTION_LIMIT, (unsigned)PLACES, MHD_OPTION_CONNECTION_TIMEOUT, IDLE_SECONDS_MAX,
			MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)REQUEST_BYTES_MAX, MHD_OPTION_NOTIFY_CONNECTION,
			connection_changed, *server, MHD_OPTION_END);
	}
	if (*server && (*server)->daemon)
		return 0;
	close(descriptor);
	free(*server);
	*server = NULL;
	return vd_error_set(error, -ENOMEM, "metrics cannot be shown: out of memory or descriptors");
}

int vd_metrics_server_descriptor(const struct vd_metrics_server *server)
{
	return MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
}

int vd_metrics_server_timeout_ms(struct vd_metrics_server *server)
{
	MHD_UNSIGNED_LONG_LONG timeout_ms;

	if (server->has_room)
		return 0;
	if (MHD_get_timeout(server->daemon, &timeout_ms) != MHD_YES)
		return -1;
	return timeout_ms < 1000 * IDLE_SECONDS_MAX ? (int)timeout_ms : (int)(1000 * IDLE_SECONDS_MAX);
}

void vd_metrics_server_run(struct vd_metrics_server *server)
{
	server->has_room = false;
	MHD_run(server->daemon);
}

void vd_metrics_server_close(struct vd_metrics_server *server)
{
	if (!server)
		return;
	MHD_stop_daemon(server->daemon); /* closes the socket as well */
	free(server);
}
