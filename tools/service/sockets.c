/* SPDX-License-Identifier: MIT */
/*
 * The sockets that a service manager kept: sd_listen_fds(3). A queue belongs to its socket, and goes on with it where the process
 * before left it; so each of them is taken by the queue whose name it has, or given back.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "lib/nfq/nfq.h"
#include "tools/config/settings.h"
#include "tools/config/values.h"
#include "tools/service/service.h"

typedef void log_call(void *log_argument, const char *line);

static void note(log_call *log, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void note(log_call *log, const char *format, ...)
{
	char line[256];
	va_list arguments;

	if (!log)
		return;
	va_start(arguments, format);
	vsnprintf(line, sizeof line, format, arguments);
	va_end(arguments);
	log(NULL, line);
}

static bool read_queue_name(const char *name, unsigned *queue)
{
	size_t length = strlen(VD_SERVICE_QUEUE_NAME);
	uint64_t number;

	if (strncmp(name, VD_SERVICE_QUEUE_NAME, length) || !vd_value_number(name + length, 0, UINT16_MAX, &number))
		return false;
	*queue = (unsigned)number;
	return true;
}

static void give_back(struct vd_service *service, int descriptor, const char *name)
{
	close(descriptor);
	vd_service_say(service, -1, "FDSTOREREMOVE=1\nFDNAME=%s", name);
}

static void receive(struct vd_service *service, int descriptor, const char *name, log_call *log)
{
	unsigned queue;

	if (!strcmp(name, VD_SERVICE_SUPERVISOR_NAME) && service->supervisor < 0) {
		service->supervisor = descriptor;
	} else if (read_queue_name(name, &queue) && service->socket_count < VD_ENGINE_QUEUES_MAX) {
		service->sockets[service->socket_count++] = (struct vd_service_socket){.queue = queue, .descriptor = descriptor};
	} else {
		note(log, "note: the service manager handed over a descriptor called '%.100s', which is nothing of verdict's: closed", name);
		give_back(service, descriptor, name);
	}
}

void vd_service_open(struct vd_service *service, log_call *log)
{
	char **names = NULL;
	uint64_t watchdog_us = 0;
	int count;

	memset(service, 0, sizeof *service);
	service->supervisor = -1;
	service->has_manager = getenv("NOTIFY_SOCKET") != NULL;
	if (sd_watchdog_enabled(0, &watchdog_us) > 0)
		service->watchdog_ns = watchdog_us * 1000;
	count = sd_listen_fds_with_names(1, &names);
	for (int i = 0; i < count; i++) {
		receive(service, SD_LISTEN_FDS_START + i, names[i], log);
		free(names[i]);
	}
	free(names);
}

void vd_service_close(struct vd_service *service)
{
	for (unsigned i = 0; i < service->socket_count; i++)
		if (service->sockets[i].descriptor >= 0)
			close(service->sockets[i].descriptor);
	service->socket_count = 0;
	if (service->supervisor >= 0)
		close(service->supervisor);
	service->supervisor = -1;
}

static bool is_configured(const struct vd_settings *settings, unsigned queue)
{
	for (unsigned i = 0; i < settings->queue_count; i++)
		if (settings->queues[i].queue == queue)
			return true;
	return false;
}

/* Asked with a duplicate, since the answer costs the descriptor. */
static int is_bound(int descriptor, unsigned queue, const char *netns)
{
	struct vd_nfq nfq;
	int duplicate = fcntl(descriptor, F_DUPFD_CLOEXEC, 3), result;

	if (duplicate < 0)
		return -errno;
	result = vd_nfq_adopt(&nfq, netns, (uint16_t)queue, duplicate);
	if (!result)
		vd_nfq_close(&nfq);
	return result;
}

void vd_service_choose_sockets(struct vd_service *service, const struct vd_settings *settings, log_call *log)
{
	const struct vd_setting *netns = &settings->general[VD_KEY_NETNS];

	for (unsigned i = 0; i < service->socket_count; i++) {
		struct vd_service_socket *socket = &service->sockets[i];
		bool is_wanted = is_configured(settings, socket->queue);
		char name[32];

		if (is_wanted && !is_bound(socket->descriptor, socket->queue, netns->is_given ? netns->text : NULL))
			continue;
		note(log, is_wanted ? "note: the socket that the service manager kept for queue %u does not own it here: the queue is bound anew" :
				      "note: queue %u is not to be read any more: it is given back, and the kernel drops what waits in it",
		     socket->queue);
		snprintf(name, sizeof name, VD_SERVICE_QUEUE_NAME "%u", socket->queue);
		give_back(service, socket->descriptor, name);
		socket->descriptor = -1;
	}
}

int vd_service_take_socket(struct vd_service *service, unsigned queue)
{
	for (unsigned i = 0; i < service->socket_count; i++) {
		int descriptor = service->sockets[i].descriptor;

		if (service->sockets[i].queue != queue || descriptor < 0)
			continue;
		service->sockets[i].descriptor = -1;
		return descriptor;
	}
	return -1;
}
