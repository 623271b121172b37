/* SPDX-License-Identifier: MIT */
/* What the files of the control socket's server share. For tools/control/ alone. */
#ifndef VERDICT_TOOLS_CONTROL_STATE_H
#define VERDICT_TOOLS_CONTROL_STATE_H

#include <pthread.h>
#include <stdint.h>

#include "tools/control/output.h"
#include "tools/control/place.h"
#include "tools/control/request.h"

/* One client. Freed at the end of a round of the control thread, never in the midst of one. */
struct vd_control_stream {
	struct vd_control *control;
	int socket;
	struct ucred peer;
	uint64_t active_ns; /* the last byte in either direction */
	bool is_last;	    /* nothing more is read; closed when everything is sent */
	bool is_finishing;  /* nothing more is read; its source comes to its end */
	bool is_gone;	    /* closed at the end of the round */
	bool has_more;	    /* requests are there that were not looked at in this round */
	uint32_t events;    /* that epoll tells of */
	struct vd_output output;

	bool has_source;
	struct vd_control_source source;
	uint64_t next_pump_ns;
	uint64_t dropped;

	struct vd_request_reader reader;
};

struct vd_control_command {
	const char *name;
	vd_control_handler *handler;
	void *argument;
};

struct vd_control {
	struct vd_control_place place;
	struct vd_control_limits limits;
	struct vd_control_command commands[VD_CONTROL_COMMANDS_MAX];
	unsigned command_count;

	void (*log)(void *log_argument, const char *line);
	void *log_argument;
	uint64_t logged_ns; /* a client can be thrown out as often as it likes: a line a second */
	uint64_t unlogged;

	pthread_t thread;
	bool is_running;
	int epoll;
	int stop; /* an eventfd */
	struct vd_control_stream *clients[VD_CONTROL_CLIENTS_MAX];
	uint64_t accept_again_ns; /* there were no descriptors; 0: there are */
};

/* ---- stream.c; all of it in the control thread ---- */

void vd_stream_read(struct vd_control_stream *stream);
void vd_stream_serve(struct vd_control_stream *stream);	    /* requests that are there, some of them */
void vd_stream_pump(struct vd_control_stream *stream, uint64_t now_ns);
void vd_stream_send(struct vd_control_stream *stream);
void vd_stream_finish(struct vd_control_stream *stream); /* tells a source that can be told to end, once */
void vd_stream_throw_out(struct vd_control_stream *stream, const char *why);
void vd_stream_destroy(struct vd_control_stream *stream);

#endif
