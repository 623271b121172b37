/* SPDX-License-Identifier: MIT */
/* What waits to be sent to a client: bytes, some of them with descriptors. For tools/control/ alone. */
#ifndef VERDICT_TOOLS_CONTROL_OUTPUT_H
#define VERDICT_TOOLS_CONTROL_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

struct vd_output_part;

struct vd_output {
	struct vd_output_part *first, *last;
	size_t waiting; /* bytes */
};

/* Takes the descriptors, also if it fails: -ENOMEM. They are sent with the first of these bytes. */
int vd_output_add(struct vd_output *output, const void *bytes, size_t length, const int *descriptors, unsigned descriptor_count);

/* Sends what the socket takes without waiting. Returns how many bytes that were, or -errno: the connection is of no use now. */
long vd_output_send(struct vd_output *output, int socket);

void vd_output_fini(struct vd_output *output);

#endif
