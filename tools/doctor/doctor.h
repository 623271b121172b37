/* SPDX-License-Identifier: MIT */
/*
 * `verdict doctor`: looks at one network namespace, and says what is wrong with its queues. Private to this folder.
 *
 *	kernel.c      what the kernel can do, what this process may do, how large a buffer gets
 *	owners.c      the queues that are read, and by whom
 *	sources.c     runs the programs that print firewall rules
 *	rules.c       finds in what they print the rules that queue (pure)
 *	devices.c     network devices, forwarding, connection tracking, which CPUs receive
 *	findings.c    what follows from all that (pure)
 *	levers.c      of it, what would make packets faster (pure)
 *	report.c      the same for a person, or as JSON
 *	ipq.c         one queue, as /proc/net/ip_queue showed it
 *	doctor.c      options, order, exit status
 *
 * One thread. Looking changes nothing, except that asking may make the kernel load nfnetlink_queue.
 */
#ifndef VERDICT_TOOLS_DOCTOR_H
#define VERDICT_TOOLS_DOCTOR_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/nfq/nfq.h"
#include "lib/nfq/owner.h"

/* ---- kernel.c ---- */

enum doctor_flag {
	DOCTOR_FAIL_OPEN,
	DOCTOR_CONNTRACK,
	DOCTOR_GSO,
	DOCTOR_UID_GID,
	DOCTOR_SECCTX,
	DOCTOR_FLAG_COUNT
};

enum doctor_access {
	DOCTOR_READABLE,
	DOCTOR_ABSENT,
	DOCTOR_FORBIDDEN,
};

/* The two usual settings of `verdict run`: whole packets, and headers only. */
enum doctor_buffer {
	DOCTOR_WHOLE,
	DOCTOR_HEADERS,
	DOCTOR_BUFFER_COUNT
};

#define DOCTOR_HEADERS_COPY_RANGE 128u

struct doctor_kernel {
	enum doctor_access queues;     /* /proc/net/netfilter/nfnetlink_queue */
	int flags[DOCTOR_FLAG_COUNT];  /* 0: can do it; -EOPNOTSUPP: cannot; -EPERM: may not ask */
	bool has_cap_net_admin;	       /* effective in this process's user namespace */
	bool may_ask;		       /* and the kernel takes it for this network namespace */
	bool in_user_namespace;	       /* not the first one */
	size_t receive_limit_bytes;    /* net.core.rmem_max; 0: unknown */
	size_t wanted_bytes[DOCTOR_BUFFER_COUNT];
	size_t granted_bytes[DOCTOR_BUFFER_COUNT];
};

void doctor_kernel_read(struct doctor_kernel *kernel);

/* "fail-open" and so on, as in the JSON (with _ for -), and what it is good for. */
extern const char *const doctor_flag_names[DOCTOR_FLAG_COUNT];
extern const char *const doctor_flag_uses[DOCTOR_FLAG_COUNT];

/* ---- owners.c ---- */

#define DOCTOR_OWNERS_MAX 8

struct doctor_queue {
	struct vd_nfq_status status;
	int owner_count; /* processes that hold it, may be more than DOCTOR_OWNERS_MAX; 0: none can be seen */
	struct vd_nfq_owner owners[DOCTOR_OWNERS_MAX];
	bool is_stuck;	 /* packets wait, and none was answered while we watched */
};

struct doctor_queues {
	struct doctor_queue *queue; /* in the order of /proc */
	unsigned count;
};

/* How long a queue in which packets wait is watched. */
#define DOCTOR_WATCH_MS 250

/* 0, or -errno of the file in /proc; then there are none. */
int doctor_queues_read(struct doctor_queues *queues);
void doctor_queues_fini(struct doctor_queues *queues);

/* ---- rules.c ---- */

#define DOCTOR_NAME_SIZE 257	/* nftables allows 256 characters, iptables 31 */
#define DOCTOR_TEXT_SIZE 512
#define DOCTOR_RULES_MAX 8192u

enum doctor_back_end {
	DOCTOR_LEGACY,	   /* iptables-legacy-save */
	DOCTOR_COMPATIBLE, /* iptables-nft-save: nft shows the same rule again */
	DOCTOR_NFT,	   /* nft list ruleset */
};

/* A rule that queues. What cannot be printed is '?' in all texts. */
struct doctor_rule {
	enum doctor_back_end back_end;
	char family[16]; /* "ip", "ip6"; from nft also "inet", "bridge", "netdev" */
	char table[DOCTOR_NAME_SIZE];
	char chain[DOCTOR_NAME_SIZE];
	bool is_known;	  /* the queue numbers can be told from the text */
	bool is_computed; /* a hash or a map chooses the queue */
	bool has_bypass;
	bool has_fanout;
	bool is_shown_again; /* a DOCTOR_COMPATIBLE one that nft has shown as well */
	bool is_plain_queue; /* -j QUEUE, which has no options */
	bool is_tcp, is_udp; /* the text says that it is for these, maybe besides others */
	uint16_t queue_first, queue_last;
	char text[DOCTOR_TEXT_SIZE]; /* the rule, cut to what fits */
};

struct doctor_rules {
	struct doctor_rule *rule;
	unsigned count, capacity;
	unsigned left_out; /* above DOCTOR_RULES_MAX */
	/* what any rule does, also one that does not queue */
	bool has_notrack;   /* leaves packets out of connection tracking */
	bool has_flow_mark; /* goes by the mark of a connection, or by how much it has carried */
	bool has_nat;
};

/*
 * Append the rules that queue in the output of iptables-save (family "ip") or ip6tables-save ("ip6"), and of `nft list
 * ruleset`. Lines that they do not know are passed over. Read iptables-nft-save first: what nft shows again of it
 * is not added twice. 0 or -ENOMEM.
 */
int doctor_rules_parse_iptables(struct doctor_rules *rules, enum doctor_back_end back_end, const char *family, const char *text);
int doctor_rules_parse_nft(struct doctor_rules *rules, const char *text);
void doctor_rules_fini(struct doctor_rules *rules);

/* ---- devices.c ---- */

enum doctor_switch {
	DOCTOR_UNKNOWN, /* or there is no such thing */
	DOCTOR_OFF,
	DOCTOR_ON,
};

/* One that is up, other than lo. */
struct doctor_device {
	char name[IF_NAMESIZE];
	unsigned rx_queues;  /* 0: not known */
	bool knows_rps, has_rps;
	uint64_t rx_packets; /* 0 also where it is not known */
	enum doctor_switch udp_gro_forwarding;
};

#define DOCTOR_DEVICES_MAX 256u

struct doctor_devices {
	struct doctor_device *device;
	unsigned count;
	unsigned left_out;	      /* above DOCTOR_DEVICES_MAX */
	unsigned receiving_cpus;      /* that took a good part of all packets of the machine; 0: not known */
	bool is_forwarding;
	uint64_t tracked_connections; /* in this namespace, now */
};

/* 0 or -ENOMEM. */
int doctor_devices_read(struct doctor_devices *devices);
void doctor_devices_fini(struct doctor_devices *devices);

/* ---- sources.c ---- */

enum doctor_source_state {
	DOCTOR_NOT_INSTALLED,
	DOCTOR_READ,
	DOCTOR_FAILED,
};

struct doctor_source {
	const char *name; /* of the program */
	enum doctor_source_state state;
	char why[96];	  /* it failed */
};

#define DOCTOR_SOURCES_MAX 7

struct doctor_sources {
	struct doctor_source source[DOCTOR_SOURCES_MAX];
	unsigned count;
};

/* Runs every one of the programs that there is, and reads the rules. 0 or -ENOMEM. */
int doctor_sources_read(struct doctor_sources *sources, struct doctor_rules *rules);

/* ---- findings.c ---- */

struct doctor_view {
	struct doctor_kernel kernel;
	struct doctor_queues queues;
	struct doctor_sources sources;
	struct doctor_rules rules;
	struct doctor_devices devices;
	unsigned cpus; /* that the machine can have */
};

enum doctor_level {
	DOCTOR_ATTENTION, /* exit status 1 */
	DOCTOR_HINT,	  /* could be better, or is meant so */
	DOCTOR_NOTE,	  /* good to know */
};

struct doctor_finding {
	enum doctor_level level;
	char text[768];
};

#define DOCTOR_FINDINGS_MAX 512u

struct doctor_findings {
	struct doctor_finding *finding;
	unsigned count, capacity;
	unsigned left_out;  /* above DOCTOR_FINDINGS_MAX */
	unsigned attention; /* how many of all are DOCTOR_ATTENTION */
};

/* 0 or -ENOMEM. */
int doctor_findings_make(struct doctor_findings *findings, const struct doctor_view *view);
void doctor_findings_fini(struct doctor_findings *findings);

/* For those who judge: 0, -ENOMEM; of too many it counts how many. */
__attribute__((format(printf, 3, 4))) int doctor_findings_add(struct doctor_findings *findings, enum doctor_level level,
							      const char *format, ...);

/* ---- levers.c ---- */

/* Appends hints and notes, at most one of each kind. 0 or -ENOMEM. */
int doctor_levers_judge(struct doctor_findings *findings, const struct doctor_view *view);

/* ---- report.c ---- */

void doctor_report_text(const struct doctor_view *view, const struct doctor_findings *findings);

/* 0 or -ENOMEM. */
int doctor_report_json(const struct doctor_view *view, const struct doctor_findings *findings);

/* ---- ipq.c ---- */

struct doctor_ipq {
	struct vd_nfq_status status; /* portid 0: nobody reads the queue */
	uint32_t peer;		     /* process id; the portid when no process can be seen; 0: none */
	bool is_peer_known;
	uint32_t maxlen;	     /* at least this many may wait */
};

/* The number in LIBIPQ_QUEUE, 0 when that is not set; -EINVAL when it is no queue. */
int doctor_ipq_queue(const char *text);

/* 0, or -errno of the file in /proc. */
int doctor_ipq_read(struct doctor_ipq *seen, uint16_t queue);
void doctor_ipq_print(const struct doctor_ipq *seen);

#endif
