/* SPDX-License-Identifier: MIT */
/* The control thread: it waits for clients, for their requests, and for what is due; and how it begins and ends. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "engine/clock.h"
#include "engine/error.h"
#include "tools/control/state.h"

#define NO_DESCRIPTORS_PAUSE_NS 100000000u
#define LAST_MOMENT_MS 500

/* ---- clients that come ---- */

static void refuse(int socket)
{
	static const char sentence[] = "{\"ok\":false,\"error\":\"there are too many clients already\"}\n";

	(void)!send(socket, sentence, sizeof sentence - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	close(socket);
}

static void begin(struct vd_control *control, int socket)
{
	struct vd_control_stream *stream = NULL;
	socklen_t size = sizeof stream->peer;
	struct epoll_event event = {.events = EPOLLIN};
	unsigned slot = 0;

	while (slot < control->limits.clients && control->clients[slot])
		slot++;
	if (slot < control->limits.clients)
		stream = malloc(sizeof *stream);
	if (!stream) {
		refuse(socket);
		return;
	}
	memset(stream, 0, offsetof(struct vd_control_stream, reader)); /* its bytes are touched as used */
	stream->control = control;
	stream->socket = socket;
	stream->active_ns = vd_clock_ns();
	stream->events = EPOLLIN;
	vd_request_init(&stream->reader, VD_REQUEST_MAX);
	event.data.ptr = stream;
	if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &stream->peer, &size) ||
	    epoll_ctl(control->epoll, EPOLL_CTL_ADD, socket, &event)) {
		free(stream);
		refuse(socket);
		return;
	}
	control->clients[slot] = stream;
}

/* While there are no descriptors the listener would be ready again at once. */
static void listen_again(struct vd_control *control, bool again)
{
	struct epoll_event event = {.events = again ? EPOLLIN : 0, .data.ptr = &control->place};

	epoll_ctl(control->epoll, EPOLL_CTL_MOD, control->place.listener, &event);
	control->accept_again_ns = again ? 0 : vd_clock_ns() + NO_DESCRIPTORS_PAUSE_NS;
}

static void accept_all(struct vd_control *control)
{
	for (unsigned i = 0; i < VD_CONTROL_CLIENTS_MAX; i++) {
		int socket = accept4(control->place.listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (socket >= 0)
			begin(control, socket);
		else if (errno == EAGAIN)
			return;
		else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			listen_again(control, false);
			return;
		}
	}
}

/* ---- one round ---- */

static void take_event(struct vd_control_stream *stream, uint32_t events)
{
	if (stream->is_gone)
		return;
	if (events & EPOLLIN)
		vd_stream_read(stream);
	else if (events & (EPOLLHUP | EPOLLERR))
		stream->is_gone = true;
	if (!stream->is_gone && events & EPOLLOUT)
		vd_stream_send(stream);
}

/* Everybody who did something in this round has done it after `now`, so a round that took long throws nobody out. */
static void look_after(struct vd_control *control, struct vd_control_stream **slot, uint64_t now)
{
	struct vd_control_stream *stream = *slot;

	if (stream->has_more && !stream->is_gone)
		vd_stream_serve(stream);
	if (!stream->is_gone)
		vd_stream_pump(stream, now);
	if (!stream->is_gone && stream->active_ns < now && now - stream->active_ns > control->limits.idle_ms * 1000000ull) {
		/* who asks for nothing, and has nothing to read, has just forgotten to hang up */
		if (stream->output.waiting)
			vd_stream_throw_out(stream, "it does not read");
		stream->is_gone = true;
	}
	if (stream->is_gone) {
		vd_stream_destroy(stream);
		*slot = NULL;
	}
}

/* Milliseconds until something is due, -1: never. */
static int time_to_wait(const struct vd_control *control)
{
	uint64_t next = control->accept_again_ns ? control->accept_again_ns : UINT64_MAX, now;

	for (unsigned i = 0; i < VD_CONTROL_CLIENTS_MAX; i++) {
		const struct vd_control_stream *stream = control->clients[i];
		uint64_t due;

		if (!stream)
			continue;
		if (stream->has_more)
			return 0;
		due = stream->active_ns + control->limits.idle_ms * 1000000ull;
		if (stream->has_source && !stream->is_last && stream->next_pump_ns < due)
			due = stream->next_pump_ns;
		if (due < next)
			next = due;
	}
	if (next == UINT64_MAX)
		return -1;
	now = vd_clock_ns();
	return next <= now ? 0 : (int)((next - now) / 1000000 + 1);
}

static void *control_main(void *argument)
{
	struct vd_control *control = argument;
	struct epoll_event events[VD_CONTROL_CLIENTS_MAX + 2];

	for (;;) {
		int count = epoll_wait(control->epoll, events, VD_CONTROL_CLIENTS_MAX + 2, time_to_wait(control));
		uint64_t now = vd_clock_ns();
		bool has_callers = false;

		for (int i = 0; i < count; i++) {
			if (events[i].data.ptr == &control->stop)
				return NULL;
			if (events[i].data.ptr == &control->place)
				has_callers = true;
			else
				take_event(events[i].data.ptr, events[i].events);
		}
		for (unsigned i = 0; i < VD_CONTROL_CLIENTS_MAX; i++)
			if (control->clients[i])
				look_after(control, &control->clients[i], now);
		if (control->accept_again_ns && now >= control->accept_again_ns)
			listen_again(control, true);
		if (has_callers) /* last: who has just gone made room */
			accept_all(control);
	}
}

/* ---- begin and end ---- */

int vd_control_open(struct vd_control **control, const char *name, mode_t mode, struct vd_error *error)
{
	struct vd_control *made = calloc(1, sizeof *made);
	int result;

	*control = NULL;
	if (!made)
		return vd_error_set(error, -ENOMEM, "out of memory");
	result = vd_control_place_take(&made->place, name, mode, error);
	if (result) {
		free(made);
		return result;
	}
	made->limits = (struct vd_control_limits)VD_CONTROL_LIMITS;
	made->epoll = made->stop = -1;
	*control = made;
	return 0;
}

void vd_control_log_to(struct vd_control *control, void (*log)(void *log_argument, const char *line), void *log_argument)
{
	control->log = log;
	control->log_argument = log_argument;
}

void vd_control_limit(struct vd_control *control, const struct vd_control_limits *limits)
{
	control->limits = *limits;
}

void vd_control_add(struct vd_control *control, const char *command, vd_control_handler *handler, void *argument)
{
	if (control->command_count < VD_CONTROL_COMMANDS_MAX)
		control->commands[control->command_count++] = (struct vd_control_command){command, handler, argument};
}

static bool add(struct vd_control *control, int descriptor, void *what)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = what};

	return descriptor >= 0 && !epoll_ctl(control->epoll, EPOLL_CTL_ADD, descriptor, &event);
}

int vd_control_start(struct vd_control *control, struct vd_error *error)
{
	sigset_t all, before;
	int result;

	control->epoll = epoll_create1(EPOLL_CLOEXEC);
	control->stop = eventfd(0, EFD_CLOEXEC);
	if (control->epoll < 0 || !add(control, control->stop, &control->stop) || !add(control, control->place.listener, &control->place))
		return vd_error_set(error, -errno, "out of descriptors for the control socket");
	sigfillset(&all); /* signals are for others */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	result = pthread_create(&control->thread, NULL, control_main, control);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (result)
		return vd_error_set(error, -result, "out of threads for the control socket");
	pthread_setname_np(control->thread, "control");
	control->is_running = true;
	return 0;
}

void vd_control_remove(struct vd_control *control)
{
	if (control)
		vd_control_place_remove(&control->place);
}

/* What waits for clients, as far as they take it; before that, what sources have to say at their end. */
static void send_last(struct vd_control *control)
{
	uint64_t end = vd_clock_ns() + LAST_MOMENT_MS * 1000000ull;

	for (unsigned i = 0; i < VD_CONTROL_CLIENTS_MAX; i++)
		if (control->clients[i])
			vd_stream_finish(control->clients[i]);
	for (unsigned i = 0; i < VD_CONTROL_CLIENTS_MAX; i++) {
		struct vd_control_stream *stream = control->clients[i];

		while (stream && (stream->output.waiting || (stream->is_finishing && stream->has_source)) && vd_clock_ns() < end) {
			struct pollfd writable = {.fd = stream->socket, .events = POLLOUT};

			poll(&writable, 1, LAST_MOMENT_MS / 10);
			if (stream->is_finishing)
				vd_stream_pump(stream, UINT64_MAX);
			if (stream->is_gone || vd_output_send(&stream->output, stream->socket) < 0)
				break;
		}
	}
}

void vd_control_close(struct vd_control *control)
{
	uint64_t one = 1;

	if (!control)
		return;
	if (control->is_running) {
		(void)!write(control->stop, &one, sizeof one);
		pthread_join(control->thread, NULL);
		send_last(control);
	}
	vd_control_place_give_back(&control->place); /* who is hung up on then finds the name free */
	for (unsigned i = 0; i < VD_CONTROL_CLIENTS_MAX; i++)
		if (control->clients[i])
			vd_stream_destroy(control->clients[i]);
	if (control->epoll >= 0)
		close(control->epoll);
	if (control->stop >= 0)
		close(control->stop);
	free(control);
}
