/* SPDX-License-Identifier: MIT */
/* What the files of this room share. */
#ifndef VERDICT_TOOLS_RULED_PRIVATE_H
#define VERDICT_TOOLS_RULED_PRIVATE_H

#include <stddef.h>

#include "lib/nfq/nfq.h"
#include "tools/ruled/ruled.h"

struct nlmsghdr;

/* A rule that queues. */
struct vd_ruled_rule {
	uint16_t first, last;
	bool has_bypass;
	bool is_counted; /* each packet that it sends there, and no other one */
	uint64_t packets;
};

struct vd_ruled_rules {
	struct vd_ruled_rule *rule;
	unsigned count, capacity;
	bool has_computed; /* there is one that may send to any queue */
};

/* ---- rules.c ---- */

/* 0 or -ENOMEM. */
int vd_ruled_add(struct vd_ruled_rules *rules, const struct vd_ruled_rule *rule);

/* Of rules that share queues. */
struct vd_ruled_range_sum {
	uint16_t first, last;
	uint32_t rules, uncounted;
	bool has_bypass;
	uint64_t packets;
};

/* Puts them in order, and those together that overlap; how many sums there are of those that are wanted, up to `size`. */
unsigned vd_ruled_sum(struct vd_ruled_rules *rules, bool (*is_wanted)(const void *argument, uint16_t first, uint16_t last),
		      const void *argument, struct vd_ruled_range_sum *sums, unsigned size);

/* ---- legacy.c ---- */

struct vd_ruled_legacy {
	int sockets[2]; /* IPv4, IPv6; -1: this kernel does not have it */
	int names[2];	/* files of the tables that are there; -errno: why there is none */
	uint8_t *room;	/* a table */
	size_t size;
};

/* In the namespace of the calling thread. */
void vd_ruled_legacy_open(struct vd_ruled_legacy *legacy);
void vd_ruled_legacy_close(struct vd_ruled_legacy *legacy);

/* Names that appeared since, in the namespace of the calling thread. */
void vd_ruled_legacy_open_again(struct vd_ruled_legacy *legacy);

/* Adds the rules of all tables that are there. 0 or -errno. */
int vd_ruled_legacy_read(struct vd_ruled_legacy *legacy, struct vd_ruled_rules *rules);

/* Entries as the kernel gives them. -EPROTO: that is none. */
int vd_ruled_legacy_parse(const uint8_t *bytes, size_t size, bool is_ipv6, struct vd_ruled_rules *rules);

/* The words behind a target of this name and revision; false: no known one. */
bool vd_ruled_legacy_target(const uint8_t *info, size_t size, unsigned revision, struct vd_ruled_rule *rule);

/* ---- nft.c ---- */

struct vd_ruled_nft {
	struct mnl_socket *socket; /* NULL: there is none */
	uint32_t sequence;	   /* of the dump asked for last */
	bool is_there;		   /* to ask does not make the kernel load a module */
};

/* In the namespace of the calling thread. */
void vd_ruled_nft_open(struct vd_ruled_nft *nft);
void vd_ruled_nft_close(struct vd_ruled_nft *nft);

/* Adds the rules of all families. 0 or -errno. -EINTR: rules changed meanwhile. */
int vd_ruled_nft_read(struct vd_ruled_nft *nft, struct vd_ruled_rules *rules);

/* One rule as the kernel sends it. 0, also if it does not queue, or -ENOMEM, -EPROTO. */
int vd_ruled_nft_parse(const struct nlmsghdr *message, struct vd_ruled_rules *rules);

/* ---- look.c ---- */

/* One of our queues, as the kernel shows it. */
struct vd_ruled_queue {
	uint16_t number;
	bool passes; /* when it is full */
	bool is_cut; /* large packets are, before they are counted */
	bool is_bound;
	uint32_t portid;
	uint32_t offered; /* modulo 2^32 */
};

/* All that is read, at one time. */
struct vd_ruled_look {
	int error; /* not 0: something could not be read */
	unsigned queue_count, sum_count;
	bool has_computed;
	struct vd_ruled_queue before[VD_RULED_MAX], queues[VD_RULED_MAX];
	struct vd_ruled_range_sum sums[VD_RULED_MAX];
};

/* Where it is read. */
struct vd_ruled_sources {
	bool is_elsewhere; /* in another namespace than this process */
	int status;	   /* the kernel's queues; -errno */
	struct vd_ruled_legacy legacy;
	struct vd_ruled_nft nft;
	struct vd_nfq_status *statuses;
	unsigned status_room;
};

/* -errno: the namespace cannot be entered. */
int vd_ruled_sources_open(struct vd_ruled_sources *sources, const char *netns);
void vd_ruled_sources_close(struct vd_ruled_sources *sources);

/* look->queues has its numbers already. */
void vd_ruled_look_take(struct vd_ruled_sources *sources, struct vd_ruled_look *look);

/* The queues alone. 0 or -errno. */
int vd_ruled_look_queues(struct vd_ruled_sources *sources, struct vd_ruled_queue *queues, unsigned queue_count);

/* `argument`: a look. One of its queues is in the range. */
bool vd_ruled_has_ours(const void *argument, uint16_t first, uint16_t last);

#endif
