/* SPDX-License-Identifier: MIT */
/* One client of the control socket: from its bytes to a handler, and back to it. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "engine/clock.h"
#include "engine/error.h"
#include "tools/config/origin.h"
#include "tools/control/state.h"

#define REQUESTS_AT_ONCE 16 /* of one client, before others have their turn */
#define LOG_PAUSE_NS 1000000000u

/* ---- the log ---- */

static void say(struct vd_control *control, const struct ucred *peer, const char *level, const char *text)
{
	char line[640];

	if (!control->log)
		return;
	snprintf(line, sizeof line, "%scontrol: pid %d, user %d: %s", level, (int)peer->pid, (int)peer->uid, text);
	control->log(control->log_argument, line);
}

void vd_control_say(const struct vd_control_reply *reply, const char *format, ...)
{
	char text[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	say(reply->control, reply->peer, "", text);
}

void vd_stream_throw_out(struct vd_control_stream *stream, const char *why)
{
	struct vd_control *control = stream->control;
	uint64_t now = vd_clock_ns();
	char text[160];

	stream->is_gone = true;
	if (control->logged_ns && now - control->logged_ns < LOG_PAUSE_NS) {
		control->unlogged++;
		return;
	}
	snprintf(text, sizeof text, control->unlogged ? "thrown out: %s (and %llu others before)" : "thrown out: %s", why,
		 (unsigned long long)control->unlogged);
	control->logged_ns = now;
	control->unlogged = 0;
	say(control, &stream->peer, "note: ", text);
}

/* ---- out ---- */

void vd_stream_send(struct vd_control_stream *stream)
{
	long sent = vd_output_send(&stream->output, stream->socket);
	struct epoll_event event = {.data.ptr = stream};

	if (sent < 0 || (stream->is_last && !stream->output.waiting)) {
		stream->is_gone = true;
		return;
	}
	if (sent)
		stream->active_ns = vd_clock_ns();
	event.events = (stream->is_last || stream->is_finishing ? 0 : EPOLLIN) | (stream->output.waiting ? EPOLLOUT : 0);
	if (event.events != stream->events && !epoll_ctl(stream->control->epoll, EPOLL_CTL_MOD, stream->socket, &event))
		stream->events = event.events;
}

/* A line, with descriptors, which it takes. */
static void put(struct vd_control_stream *stream, json_t *object, const int *descriptors, unsigned descriptor_count)
{
	char *line = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(15));
	size_t length = line ? strlen(line) : 0;

	if (line)
		line[length++] = '\n'; /* in the place of its end */
	if (!line) {
		for (unsigned i = 0; i < descriptor_count; i++)
			close(descriptors[i]);
		vd_stream_throw_out(stream, "out of memory for its reply");
	} else if (vd_output_add(&stream->output, line, length, descriptors, descriptor_count)) {
		vd_stream_throw_out(stream, "out of memory for its reply");
	} else {
		vd_stream_send(stream);
		if (stream->output.waiting > stream->control->limits.output)
			vd_stream_throw_out(stream, "it does not read its replies");
	}
	free(line);
}

static void put_error(struct vd_control_stream *stream, const struct vd_error *error)
{
	json_t *text = json_string(error->text);
	json_t *object = json_pack("{s:b, s:o}", "ok", 0, "error", text ? text : json_string("what was wrong is not UTF-8"));

	put(stream, object, NULL, 0);
	json_decref(object);
}

/* ---- in ---- */

static const struct vd_control_command *find(const struct vd_control *control, const char *name, struct vd_error *error)
{
	char names[256] = "", shown[VD_SHOWN_SIZE];
	size_t used = 0;

	for (unsigned i = 0; i < control->command_count; i++) {
		if (!strcmp(control->commands[i].name, name))
			return &control->commands[i];
		used += (size_t)snprintf(names + used, used < sizeof names ? sizeof names - used : 0, "%s%s", used ? ", " : "",
					 control->commands[i].name);
	}
	vd_error_set(error, -ENOENT, "there is no command '%s', only %s", vd_show_text(name, shown), names);
	return NULL;
}

static void answer(struct vd_control_stream *stream, const json_t *request)
{
	struct vd_control_reply reply = {.members = json_pack("{s:b}", "ok", 1), .peer = &stream->peer,
					 .control = stream->control, .stream = stream};
	const struct vd_control_command *command;
	bool had_source = stream->has_source;
	struct vd_error error = {""};
	int result = -ENOENT;

	command = find(stream->control, json_string_value(json_object_get(request, "command")), &error);
	if (command)
		result = command->handler(command->argument, request, &reply, &error);
	if (result) {
		for (unsigned i = 0; i < reply.descriptor_count; i++)
			close(reply.descriptors[i]);
		if (!had_source)
			stream->has_source = false;
		put_error(stream, &error);
	} else {
		put(stream, reply.members, reply.descriptors, reply.descriptor_count);
	}
	json_decref(reply.members);
}

static bool gets_no_answers(const struct vd_control_stream *stream)
{
	return stream->has_source && stream->source.finish;
}

void vd_stream_serve(struct vd_control_stream *stream)
{
	stream->has_more = false;
	for (unsigned i = 0; i < REQUESTS_AT_ONCE && !stream->is_gone; i++) {
		struct vd_error error;
		json_t *request;

		if (gets_no_answers(stream))
			return;
		switch (vd_request_next(&stream->reader, &request, &error)) {
		case VD_REQUEST_NONE:
			return;
		case VD_REQUEST_GOOD:
			answer(stream, request);
			json_decref(request);
			break;
		case VD_REQUEST_BAD:
			put_error(stream, &error);
			break;
		case VD_REQUEST_LOST:
			stream->is_last = true;
			put_error(stream, &error);
			return;
		}
	}
	stream->has_more = true;
}

void vd_stream_read(struct vd_control_stream *stream)
{
	bool is_asking = !gets_no_answers(stream);
	char unread[4096], *room = unread;
	size_t size = sizeof unread;
	ssize_t received;

	if (stream->has_more) /* then there may be no room */
		return;
	if (is_asking)
		room = vd_request_room(&stream->reader, &size);
	received = recv(stream->socket, room, size, MSG_DONTWAIT);
	if (received < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (!received && !is_asking) {
		vd_stream_finish(stream);
		vd_stream_send(stream);
		return;
	}
	if (received <= 0) { /* it may have closed one direction only, and read on */
		stream->is_last = true;
		stream->is_gone = received < 0;
		vd_stream_send(stream);
		return;
	}
	stream->active_ns = vd_clock_ns();
	if (!is_asking)
		return;
	vd_request_received(&stream->reader, (size_t)received);
	vd_stream_serve(stream);
}

/* ---- sources ---- */

int vd_control_subscribe(struct vd_control_reply *reply, const struct vd_control_source *source)
{
	struct vd_control_stream *stream = reply->stream;

	if (stream->has_source)
		return -EBUSY;
	stream->source = *source;
	stream->has_source = true;
	stream->dropped = 0;
	stream->next_pump_ns = vd_clock_ns() + source->interval_ms * 1000000ull;
	return 0;
}

int vd_control_attach(struct vd_control_reply *reply, int descriptor)
{
	int copy;

	if (reply->descriptor_count == VD_CONTROL_DESCRIPTORS_MAX)
		return -E2BIG;
	copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
	if (copy < 0)
		return -errno;
	reply->descriptors[reply->descriptor_count++] = copy;
	return 0;
}

bool vd_control_write(struct vd_control_stream *stream, const void *bytes, size_t length)
{
	if (stream->output.waiting + length > stream->control->limits.output / 2 ||
	    vd_output_add(&stream->output, bytes, length, NULL, 0)) {
		stream->dropped++;
		return false;
	}
	return true;
}

bool vd_control_write_json(struct vd_control_stream *stream, json_t *object)
{
	char *line = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(15));
	size_t length = line ? strlen(line) : 0;
	bool is_written = false;

	if (line) {
		line[length] = '\n';
		is_written = vd_control_write(stream, line, length + 1);
	} else {
		stream->dropped++;
	}
	free(line);
	json_decref(object);
	return is_written;
}

uint64_t vd_control_dropped(const struct vd_control_stream *stream)
{
	return stream->dropped;
}

static void end_source(struct vd_control_stream *stream)
{
	if (stream->has_source && stream->source.end)
		stream->source.end(stream->source.argument);
	stream->has_source = false;
}

void vd_stream_finish(struct vd_control_stream *stream)
{
	if (!gets_no_answers(stream) || stream->is_finishing)
		return;
	stream->is_finishing = true;
	stream->next_pump_ns = 0; /* at once */
	stream->source.finish(stream->source.argument);
}

void vd_stream_pump(struct vd_control_stream *stream, uint64_t now_ns)
{
	uint64_t interval_ns = stream->source.interval_ms * 1000000ull;

	if (!stream->has_source || stream->is_last || now_ns < stream->next_pump_ns)
		return;
	stream->next_pump_ns += interval_ns;
	if (stream->next_pump_ns <= now_ns) /* it was late: no row of them at once */
		stream->next_pump_ns = now_ns + interval_ns;
	if (!stream->source.pump(stream->source.argument, stream)) {
		end_source(stream);
		stream->is_last = true;
	}
	vd_stream_send(stream);
}

void vd_stream_destroy(struct vd_control_stream *stream)
{
	end_source(stream);
	vd_output_fini(&stream->output);
	close(stream->socket); /* epoll forgets it with that */
	free(stream);
}
