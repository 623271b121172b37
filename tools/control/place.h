/* SPDX-License-Identifier: MIT */
/* Where control sockets are in the file system, and whose one is. For tools/control/ alone. */
#ifndef VERDICT_TOOLS_CONTROL_PLACE_H
#define VERDICT_TOOLS_CONTROL_PLACE_H

#include <sys/stat.h>
#include <sys/un.h>

#include "tools/control/control.h"

/* The address of a name or a path; false: it is too long. */
bool vd_control_address(const char *name, struct sockaddr_un *address);

/* A socket that listens there, and what is needed to take it away again. */
struct vd_control_place {
	int listener;
	int directory;
	dev_t device;
	ino_t inode;
	struct timespec made; /* an inode number is soon another file's; mtime, which chmod(2) leaves */
	struct sockaddr_un address;
};

int vd_control_place_take(struct vd_control_place *place, const char *name, mode_t mode, struct vd_error *error);

/* Takes the name away, if it is still this socket's. */
void vd_control_place_remove(const struct vd_control_place *place);

/* Removes it, and closes everything. */
void vd_control_place_give_back(struct vd_control_place *place);

/* "pid 4711 (verdict)", or that it cannot be seen. Returns `room`. */
#define VD_CONTROL_OWNER_SIZE 64
const char *vd_control_owner(int connected, char room[VD_CONTROL_OWNER_SIZE]);

#endif
