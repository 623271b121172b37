/* SPDX-License-Identifier: MIT */
/*
 * `verdict rules`: the netfilter rules that send packets to queues. Private to this folder.
 *
 *	plan.c		what rules there shall be, and what does not go together (pure)
 *	iptables.c	a plan as what iptables-restore reads, and what iptables-save shows of an earlier one (pure)
 *	nft.c		a plan as a ruleset of nft (pure)
 *	apply.c		runs these programs
 *	complaint.c	what they complain of, as a sentence that says what to do (pure)
 *	rules.c		options, order, exit status
 *
 * What belongs to us has a name of our own, so that it can be replaced and removed as a whole: for iptables two chains, to which
 * the hooks' own chains jump; for nft a table.
 *
 *	hook ──▶ VERDICT: own answers return, decided connections return, the rest is queued
 *	behind the queue ──▶ VERDICT-MARK: a mark that a function gave is written to its connection
 */
#ifndef VERDICT_TOOLS_RULES_H
#define VERDICT_TOOLS_RULES_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <verdict/engine.h>

/* ---- plan.c ---- */

enum vd_rules_backend {
	VD_RULES_LEGACY,
	VD_RULES_COMPATIBLE, /* iptables-nft */
	VD_RULES_NFT,
	VD_RULES_BACKEND_COUNT,
	VD_RULES_AUTO = VD_RULES_BACKEND_COUNT,
};

enum vd_rules_hook {
	VD_RULES_PREROUTING,
	VD_RULES_INPUT,
	VD_RULES_FORWARD,
	VD_RULES_OUTPUT,
	VD_RULES_POSTROUTING,
	VD_RULES_HOOK_COUNT,
};

enum vd_rules_family {
	VD_RULES_IPV4,
	VD_RULES_IPV6,
	VD_RULES_FAMILY_COUNT,
};

/* Texts are the caller's. */
struct vd_rules_plan {
	unsigned queue_first, queue_last;
	unsigned hooks;			       /* a bit for each */
	const char *in, *out;		       /* interfaces; a '+' at the end: all that begin so; NULL: any */
	const char *protocol;		       /* NULL: any */
	const char *match;		       /* in the back end's own words; NULL: none */
	bool families[VD_RULES_FAMILY_COUNT];
	bool has_bypass;
	bool has_fanout;
	uint32_t connmark, connmask;	       /* of connections that are decided; mask 0: none */
	uint32_t reject_mark;		       /* of the engine's own answers; 0: none */
	const char *netns;		       /* for words only; NULL: this one */
};

extern const char *const vd_rules_backend_names[VD_RULES_BACKEND_COUNT];
extern const char *const vd_rules_hook_names[VD_RULES_HOOK_COUNT]; /* "input"; iptables writes them in capitals */

/* Which of the plan's interfaces a hook's packets have. */
bool vd_rules_hook_has_in(enum vd_rules_hook hook);
bool vd_rules_hook_has_out(enum vd_rules_hook hook);

/* As written behind an option; false: it is not that. Hooks: "input,output", added to those that are there. */
bool vd_rules_read_hooks(const char *text, unsigned *hooks);
bool vd_rules_read_backend(const char *text, enum vd_rules_backend *backend);
bool vd_rules_read_families(const char *text, bool families[VD_RULES_FAMILY_COUNT]);
bool vd_rules_read_mark(const char *text, uint32_t *mark, uint32_t *mask);
bool vd_rules_read_interface(const char *text);
bool vd_rules_read_protocol(const char *text);

/* 0, or -EINVAL with the sentence: it does not go together, or this back end cannot do it. */
int vd_rules_check(const struct vd_rules_plan *plan, enum vd_rules_backend backend, struct vd_error *error);

/* Why a rule is there: the same in all back ends. */
#define VD_RULES_WHY_REJECT "answers to rejected packets have this mark: nobody is asked about them"
#define VD_RULES_WHY_CONNMARK "a connection with this mark is decided: its packets pass by the queue"
#define VD_RULES_WHY_SAVE "a function marked this packet: so is its connection from now on; packets without the mark change nothing"
#define VD_RULES_WHY_PLACE "behind the queue, because the rest of the chain that queued a packet does not see it"

/* "queue 0", "queues 0-3". Returns `room`. */
#define VD_RULES_QUEUES_SIZE 32
const char *vd_rules_queues(const struct vd_rules_plan *plan, char room[VD_RULES_QUEUES_SIZE]);

/* The comment lines of the rule that queues, each behind `indent`. */
void vd_rules_write_why_queue(FILE *file, const struct vd_rules_plan *plan, const char *indent);

/* The comment lines that a script or ruleset begins with; `program` is what reads it. */
void vd_rules_write_head(FILE *file, const struct vd_rules_plan *plan, const char *program);

/* ---- iptables.c ---- */

#define VD_RULES_CHAIN "VERDICT"
#define VD_RULES_MARK_CHAIN "VERDICT-MARK"

enum vd_rules_table {
	VD_RULES_FILTER, /* first: what it holds is harmless without the other one */
	VD_RULES_MANGLE,
	VD_RULES_TABLE_COUNT,
};

/* What is ours in one table, wanted or there. */
struct vd_rules_part {
	bool has_chain, has_mark_chain;
	char *rules; /* lines of our chains, as -A ...; NULL: none */
	char *jumps; /* lines "INPUT -i eth0 -j VERDICT", the one that is to be first in its chain last, and comments; NULL: none */
};

struct vd_rules_set {
	struct vd_rules_part parts[VD_RULES_TABLE_COUNT];
};

/* 0 or -ENOMEM; fini in any case. What iptables-save printed; and what the plan wants. */
int vd_rules_set_read(struct vd_rules_set *set, const char *saved);
int vd_rules_set_plan(struct vd_rules_set *set, const struct vd_rules_plan *plan, enum vd_rules_family family);
void vd_rules_set_fini(struct vd_rules_set *set);
bool vd_rules_set_is_empty(const struct vd_rules_set *set);

/* What iptables-restore --noflush has to be told to make `wanted` of `there`; each table changes at once. */
void vd_rules_set_write(FILE *file, const struct vd_rules_set *there, const struct vd_rules_set *wanted);

/* ---- nft.c ---- */

#define VD_RULES_NFT_TABLE "inet verdict"

/*
 * `keeps_chains`: an earlier set loses its rules, not its chains. When a chain of a hook is deleted the kernel drops what waits in
 * the queues of that network namespace.
 */
void vd_rules_write_nft(FILE *file, const struct vd_rules_plan *plan, bool keeps_chains);
void vd_rules_write_nft_removal(FILE *file);

/* Whether it can: all chains in what `nft list table` printed are the plan's as well. */
bool vd_rules_nft_keeps_chains(const struct vd_rules_plan *plan, const char *listed);

/* ---- complaint.c ---- */

/*
 * The sentence for a program that failed: `complaint` is what it wrote to standard error, `why` how it ended. `knows_target`: the
 * kernel has NFQUEUE for iptables-legacy, as far as can be told. Returns -EPERM, -EOPNOTSUPP or -EIO.
 */
int vd_rules_complain(enum vd_rules_backend backend, const char *program, const char *complaint, const char *why, bool knows_target,
		      struct vd_error *error);

/* ---- apply.c: all in the network namespace of the calling thread ---- */

/* What iptables is here; without it, nft. */
enum vd_rules_backend vd_rules_choose(void);

/* A script or ruleset, for a person. 0 or -ENOMEM. */
int vd_rules_print(FILE *file, const struct vd_rules_plan *plan, enum vd_rules_backend backend);

/* Puts the plan in the place of an earlier one. 0, or -errno with the sentence; then all is as it was. */
int vd_rules_apply(const struct vd_rules_plan *plan, enum vd_rules_backend backend, struct vd_error *error);

/*
 * Takes away what is there, of this back end, or with VD_RULES_AUTO of all that are installed; or only prints to `file` what
 * would do that. Returns how many sets there were, or -errno with the sentence.
 */
int vd_rules_remove(FILE *file, enum vd_rules_backend backend, struct vd_error *error);

#endif
