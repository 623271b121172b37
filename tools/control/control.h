/* SPDX-License-Identifier: MIT */
/*
 * The control socket of a running daemon: clients send requests, handlers answer. What goes over it is verdict-control(7).
 *
 *	struct vd_control *control;
 *
 *	vd_control_open(&control, "default", 0600, &error);	the socket is there, and nobody else's
 *	vd_control_add(control, "stats", answer_stats, daemon);
 *	vd_control_start(control, &error);			requests are answered, by one thread
 *	...
 *	vd_control_close(control);				the socket is gone, if it is still ours
 *
 * Threads: open, add, start and close from one thread; handlers and sources are called in the control thread, one at a time.
 *          While one of them takes its time other clients wait, and nothing happens to them.
 * Limits:  on everything: clients, the length of a request, what waits for a client, and how long one may do nothing.
 */
#ifndef VERDICT_TOOLS_CONTROL_H
#define VERDICT_TOOLS_CONTROL_H

#include <jansson.h>
#include <sys/socket.h>
#include <sys/types.h>

#include <verdict/engine.h>

#define VD_CONTROL_DIRECTORY "/run/verdict"
#define VD_CONTROL_NAME_DEFAULT "default"
#define VD_CONTROL_MODE_DEFAULT 0600
#define VD_CONTROL_COMMANDS_MAX 32
#define VD_CONTROL_DESCRIPTORS_MAX 512 /* with one reply */

struct vd_control;

/*
 * `name`: as vd_value_control() takes it. Makes VD_CONTROL_DIRECTORY for a mere name, if it is missing. Call it before there are
 * threads: the mode is given by way of umask(2). *control is NULL on failure. -EADDRINUSE: somebody listens there.
 */
int vd_control_open(struct vd_control **control, const char *name, mode_t mode, struct vd_error *error);

/* Where a person should read of clients that were thrown out ("note: ..."), and what handlers say; NULL: nowhere. */
void vd_control_log_to(struct vd_control *control, void (*log)(void *log_argument, const char *line), void *log_argument);

struct vd_control_limits {
	unsigned clients; /* up to VD_CONTROL_CLIENTS_MAX */
	unsigned idle_ms; /* without a byte in either direction */
	size_t output;	  /* bytes that wait for one client; what sources write has half of it */
};
#define VD_CONTROL_CLIENTS_MAX 128
#define VD_CONTROL_LIMITS {VD_CONTROL_CLIENTS_MAX, 300000, 1 << 20}

/* Others than VD_CONTROL_LIMITS; before the start. */
void vd_control_limit(struct vd_control *control, const struct vd_control_limits *limits);

/* ---- answering ---- */

struct vd_control_stream; /* a client that gets more than a reply */

struct vd_control_reply {
	json_t *members;	  /* an object for the handler to fill: what is sent beside "ok" */
	const struct ucred *peer; /* who asks: as they were when they connected */

	/* the server's */
	struct vd_control *control;
	struct vd_control_stream *stream;
	unsigned descriptor_count;
	int descriptors[VD_CONTROL_DESCRIPTORS_MAX];
};

/*
 * Fills reply->members and returns 0; or returns -errno with a sentence, and the client gets that. `request` is an object with
 * "command", and whatever else the client put there.
 */
typedef int vd_control_handler(void *argument, const json_t *request, struct vd_control_reply *reply, struct vd_error *error);

/* The name has to live as long as the control. Before the start. */
void vd_control_add(struct vd_control *control, const char *command, vd_control_handler *handler, void *argument);

/* Sends this descriptor along with the reply; the caller keeps its own. -EMFILE, -E2BIG. */
int vd_control_attach(struct vd_control_reply *reply, int descriptor);

/* A line for the log, with the client's process and user in front. */
void vd_control_say(const struct vd_control_reply *reply, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- more than a reply ---- */

/* What is sent to a client that has subscribed. The control thread never waits for a client: what has no room is dropped. */
struct vd_control_source {
	unsigned interval_ms;						 /* at least 1 */
	bool (*pump)(void *argument, struct vd_control_stream *stream);	 /* each interval: writes what there is; false: that was
									    all, the client is closed when it has read it */
	void (*end)(void *argument);					 /* once, when it will not be pumped again; or NULL */
	void *argument;

	/*
	 * Not NULL: what is written is not lines, so the client cannot be answered any more, and what else it sends is not looked at.
	 * It is called when the client has closed its direction, or this control closes: the pump should come to its end soon.
	 */
	void (*finish)(void *argument);
};

/* From a handler: the source begins one interval behind the reply, if the handler returns 0. -EBUSY: this client has one. */
int vd_control_subscribe(struct vd_control_reply *reply, const struct vd_control_source *source);

/* From a pump: all of these bytes, or none; then false, and that is counted. */
bool vd_control_write(struct vd_control_stream *stream, const void *bytes, size_t length);

/* The same, an object as a line. Takes the reference. */
bool vd_control_write_json(struct vd_control_stream *stream, json_t *object);

/* How many writes were dropped. */
uint64_t vd_control_dropped(const struct vd_control_stream *stream);

/* ---- begin and end ---- */

int vd_control_start(struct vd_control *control, struct vd_error *error);

/* Takes the socket's name away, for who has no time to close; from any thread, any number of times. NULL is fine. */
void vd_control_remove(struct vd_control *control);

/* Gives clients a moment to take what waits for them. NULL is fine. */
void vd_control_close(struct vd_control *control);

#endif
