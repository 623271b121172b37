/* SPDX-License-Identifier: MIT */
/*
 * Who owns a queue. The kernel names the owner by its portid, which is a socket's address and not a process id (it often is
 * the process id, for the first socket of a process). Which processes hold that socket is found in /proc:
 *
 *	portid --/proc/net/netlink--> inode --/proc/<pid>/fd--> processes
 *
 * Both calls look into the network namespace of the calling thread (vd_nfq_in_netns() for another one), and see the
 * processes that the caller may look at: all for root in the first PID namespace, otherwise the caller's own.
 * They walk through all of /proc: for messages and reports, not for the packet path. Any thread may call them.
 */
#ifndef VERDICT_LIB_NFQ_OWNER_H
#define VERDICT_LIB_NFQ_OWNER_H

#include <stdint.h>
#include <stddef.h>

struct vd_nfq_owner {
	int pid;
	char name[64]; /* as in /proc/<pid>/comm; what cannot be printed is '?' */
};

/*
 * Fills up to `size` processes that hold the netfilter socket `portid`, returns how many there are (may be more than size).
 * Several do after a fork, or when the descriptor was handed on. -ENOENT: no such socket in this namespace, or none of
 * its processes can be seen from here; -errno: /proc cannot be read.
 */
int vd_nfq_owner_find(uint32_t portid, struct vd_nfq_owner *owners, unsigned size);

/*
 * The same as words: "suricata, pid 4711"; several: "suricata, pid 4711; suricata, pid 4712"; the ninth and later ones as
 * "; and 2 more". Cut to `size` (at least 1, 128 is a good one); "" when it fails. 0, or -errno as above.
 */
int vd_nfq_owner_describe(uint32_t portid, char *text, size_t size);

#endif
