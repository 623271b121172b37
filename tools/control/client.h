/* SPDX-License-Identifier: MIT */
/*
 * Asking a running daemon, over its control socket. Each call says in one sentence why it failed.
 *
 *	struct vd_client client;
 *	json_t *reply;
 *
 *	if (vd_client_connect(&client, "default", VD_CLIENT_PATIENCE_MS, &error) ||
 *	    vd_client_call(&client, json_pack("{s:s}", "command", "stats"), VD_CLIENT_PATIENCE_MS, &reply, &error))
 *		...
 *	json_decref(reply);
 *	vd_client_close(&client);
 */
#ifndef VERDICT_TOOLS_CONTROL_CLIENT_H
#define VERDICT_TOOLS_CONTROL_CLIENT_H

#include <jansson.h>
#include <sys/un.h>

#include "tools/control/control.h"

#define VD_CLIENT_PATIENCE_MS 5000
#define VD_CLIENT_REPLY_MAX (16u << 20) /* bytes of a line */

struct vd_client {
	int socket; /* for poll(); -1: not connected */
	struct sockaddr_un address;
	size_t length, size, searched;
	char *bytes;
	unsigned descriptor_count;
	int descriptors[VD_CONTROL_DESCRIPTORS_MAX]; /* that came with replies; who wants to keep them sets the count to 0 */
};

/* The client needs no vd_client_close() behind a failure. -ENOENT: nobody listens there. -EACCES. -ETIMEDOUT. */
int vd_client_connect(struct vd_client *client, const char *name, unsigned timeout_ms, struct vd_error *error);

/* Sends and receives. Takes the request, also when it fails. */
int vd_client_call(struct vd_client *client, json_t *request, unsigned timeout_ms, json_t **reply, struct vd_error *error);

/* Takes the request. Waits only if the daemon does not read. */
int vd_client_send(struct vd_client *client, json_t *request, unsigned timeout_ms, struct vd_error *error);

/*
 * The next line, *reply is then the caller's; 0 ms: without waiting. -ETIMEDOUT: not there yet; -EPIPE: the daemon has hung up;
 * -EPROTO: it talks nonsense; -EREMOTEIO: it said that it could not do it, and the sentence is its own. Only the first and the
 * last leave the connection in order.
 */
int vd_client_receive(struct vd_client *client, unsigned timeout_ms, json_t **reply, struct vd_error *error);

/* Closes what was not taken, too. */
void vd_client_close(struct vd_client *client);

#endif
