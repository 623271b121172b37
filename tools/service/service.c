/* SPDX-License-Identifier: MIT */
#include "tools/service/service.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "engine/clock.h"
#include "tools/stats.h"

/* How often it says how it goes. */
#define STATUS_NS 5000000000u

/* Looks at the engine in half of the watchdog's time, so that a single packet in a bad moment is not taken for a hang. */
#define LOOKS 8

void vd_service_say(const struct vd_service *service, int descriptor, const char *format, ...)
{
	char text[512];
	va_list arguments;

	if (!service->has_manager)
		return;
	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	/* a manager that does not listen is no reason to stop filtering */
	sd_pid_notify_with_fds(0, 0, text, &descriptor, descriptor >= 0);
}

/* ---- what the manager keeps ---- */

static bool is_kept(const struct vd_service *service, unsigned queue)
{
	for (unsigned i = 0; i < service->kept_count; i++)
		if (service->kept[i] == queue)
			return true;
	return false;
}

static void forget_queue(struct vd_service *service, unsigned queue)
{
	vd_service_say(service, -1, "FDSTOREREMOVE=1\nFDNAME=" VD_SERVICE_QUEUE_NAME "%u", queue);
}

/* One that went may come again later, with another socket. */
static void forget_closed_queues(struct vd_service *service, struct vd_engine *engine)
{
	unsigned count = 0;

	for (unsigned i = 0; i < service->kept_count; i++)
		if (vd_engine_queue_socket(engine, service->kept[i]) >= 0)
			service->kept[count++] = service->kept[i];
		else
			forget_queue(service, service->kept[i]);
	service->kept_count = count;
}

/* The engine's queues, all of them. Returns how many; NULL: out of memory, or none. The caller frees it. */
static struct vd_queue_stats *read_queues(struct vd_engine *engine, unsigned *count)
{
	struct vd_queue_stats *stats = calloc(VD_ENGINE_QUEUES_MAX, sizeof *stats);

	*count = stats ? vd_engine_queue_stats(engine, stats, VD_ENGINE_QUEUES_MAX) : 0;
	return stats;
}

/* FDPOLL=0: an error on the socket, as when its buffer is full, must not make the manager drop it. */
static void keep_queues(struct vd_service *service, struct vd_engine *engine)
{
	unsigned count;
	struct vd_queue_stats *stats = read_queues(engine, &count);

	for (unsigned i = 0; i < count && service->kept_count < VD_ENGINE_QUEUES_MAX; i++) {
		int descriptor = vd_engine_queue_socket(engine, stats[i].queue);

		if (descriptor < 0 || is_kept(service, stats[i].queue))
			continue;
		/* those that were handed over are in the store already, and the manager knows its own again */
		vd_service_say(service, descriptor, "FDSTORE=1\nFDNAME=" VD_SERVICE_QUEUE_NAME "%u\nFDPOLL=0", stats[i].queue);
		service->kept[service->kept_count++] = stats[i].queue;
	}
	free(stats);
}

bool vd_service_keeps_queues(const struct vd_service *service)
{
	return service->has_manager && atomic_load_explicit(&service->is_ready, memory_order_acquire);
}

void vd_service_forget_queues(struct vd_service *service)
{
	for (unsigned i = 0; i < service->kept_count; i++)
		forget_queue(service, service->kept[i]);
	service->kept_count = 0;
}

/* ---- what it is told ---- */

void vd_service_ready(struct vd_service *service, struct vd_engine *engine)
{
	if (!service->has_manager)
		return;
	keep_queues(service, engine);
	vd_service_say(service, -1, "READY=1\nSTATUS=reading %u queue%s", service->kept_count, service->kept_count == 1 ? "" : "s");
	/* release, pairs with the acquires in vd_service_keeps_queues() and vd_service_tick() */
	atomic_store_explicit(&service->is_ready, true, memory_order_release);
}

void vd_service_reloading(struct vd_service *service)
{
	if (vd_service_keeps_queues(service))
		vd_service_say(service, -1, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64 "\nSTATUS=reading its settings again", vd_clock_ns() / 1000);
}

void vd_service_reloaded(struct vd_service *service, struct vd_engine *engine)
{
	if (!vd_service_keeps_queues(service)) /* before it was ready nothing has changed */
		return;
	forget_closed_queues(service, engine);
	keep_queues(service, engine);
	vd_service_say(service, -1, "READY=1\nSTATUS=reading %u queue%s", service->kept_count, service->kept_count == 1 ? "" : "s");
}

void vd_service_stopping(struct vd_service *service)
{
	vd_service_say(service, -1, "STOPPING=1\nSTATUS=answering what was read");
}

/* What happened since the line before. */
static void tell_status(struct vd_service *service, const struct vd_queue_stats *stats, unsigned count, uint64_t now_ns)
{
	struct vd_queue_stats now = {0};
	double seconds = (double)(now_ns - service->status_ns) / 1e9;

	for (unsigned i = 0; i < count; i++) {
		now.received += stats[i].received;
		now.queue_dropped += stats[i].queue_dropped;
		now.socket_dropped += stats[i].socket_dropped;
		now.waiting += stats[i].waiting;
	}
	/* a queue that was given back took its counts with it */
	vd_service_say(service, -1, "STATUS=%.0f packets/s, %u waiting; lost since the start: %" PRIu64 " queue full, %" PRIu64 " buffer full",
		       now.received > service->before.received ? (double)(now.received - service->before.received) / seconds : 0,
		       now.waiting, now.queue_dropped, now.socket_dropped);
	service->before = now;
	service->status_ns = now_ns;
}

uint64_t vd_service_tick(struct vd_service *service, struct vd_engine *engine, uint64_t now_ns)
{
	uint64_t period_ns = STATUS_NS;
	struct vd_queue_stats *stats;
	bool gets_on;
	unsigned count;

	if (!service->has_manager)
		return UINT64_MAX;
	if (service->watchdog_ns && service->watchdog_ns / LOOKS < period_ns)
		period_ns = service->watchdog_ns / LOOKS;
	if (now_ns < service->next_ns)
		return service->next_ns;
	service->next_ns = now_ns + period_ns;
	if (!atomic_load_explicit(&service->is_ready, memory_order_acquire))
		return service->next_ns;

	stats = read_queues(engine, &count);
	if (!stats)
		return service->next_ns;
	gets_on = vd_progress_look(&service->progress, stats, count);
	if (service->watchdog_ns && gets_on && now_ns - service->fed_ns >= service->watchdog_ns / 2) {
		vd_service_say(service, -1, "WATCHDOG=1");
		service->fed_ns = now_ns;
	}
	if (!service->status_ns)
		service->status_ns = now_ns;
	else if (now_ns - service->status_ns >= STATUS_NS)
		tell_status(service, stats, count, now_ns);
	free(stats);
	return service->next_ns;
}
