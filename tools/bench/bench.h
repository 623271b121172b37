/* SPDX-License-Identifier: MIT */
/*
 * verdict bench, what its parts share.
 *
 *	bench.c       options, and the order of the measurements
 *	values.c      reads lists of values; the schedule
 *	net.c         two network namespaces and the wire between them
 *	children.c    processes that end with this one
 *	traffic.c     the sender and the receiver
 *	programs.c    what is measured: the engine, and the yardstick
 *	measure.c     one measurement
 *	find.c        --find-max
 *	result.c      many measurements together, and the machine
 *	text.c, json.c, report.c, plot.c   what is shown of them
 *
 * The process that was started stays outside of the namespaces, has one thread, and forks one process for each part of a
 * measurement. They answer in shared memory.
 */
#ifndef VERDICT_TOOLS_BENCH_H
#define VERDICT_TOOLS_BENCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include <verdict/engine.h>

#include "tools/histogram.h"

#define BENCH_VALUES_MAX 16u
#define BENCH_ROUNDS_MAX 100u
#define BENCH_SIZE_MIN 48u /* what tells packets apart has to fit in */
#define BENCH_SIZE_MAX 1500u
#define BENCH_FLOWS_MAX 16384u
#define BENCH_RATE_MAX 100000000u
#define BENCH_RATE_ANY UINT64_MAX
#define BENCH_HEADERS 28u /* bytes of IPv4 and UDP */
#define BENCH_SECOND_NS 1000000000u

/* Between the namespaces; `bench` is alone there, so any would do. */
#define BENCH_NEAR_ADDRESS 0x0a630001u /* 10.99.0.1 */
#define BENCH_FAR_ADDRESS 0x0a630002u
#define BENCH_PORT 9000u
#define BENCH_FLOW_PORT 10000u /* the source port of flow 0 */
#define BENCH_QUEUE 0u

/* ---- what was asked for ---- */

enum bench_program {
	BENCH_VERDICT,
	BENCH_YARDSTICK, /* one packet, one verdict: what programs usually do */
	BENCH_NONE,	 /* no queue */
	BENCH_PROGRAM_COUNT,
};

extern const char *const bench_program_names[BENCH_PROGRAM_COUNT];

struct bench_list {
	unsigned count;
	uint64_t values[BENCH_VALUES_MAX];
};

struct bench_settings {
	const char *functions[VD_ENGINE_FUNCTIONS_MAX];
	unsigned function_count;
	struct bench_list rates;   /* packets a second; 0: as many as can be sent */
	struct bench_list sizes;   /* bytes of the IP packet */
	struct bench_list flows;
	struct bench_list workers; /* 0: as `verdict run` does */
	uint64_t duration_ns;
	unsigned rounds;
	bool has_program[BENCH_PROGRAM_COUNT];
	bool finds_max, has_no_progress;
	const char *json_path, *report_path;
};

/* ---- what is measured ---- */

/* Traffic of one kind: one value of each list. */
struct bench_traffic {
	uint64_t rate; /* 0: as many as can be sent; BENCH_RATE_ANY: it is looked for */
	uint32_t size, flows, workers;
};

/* Of one process, microseconds; the kernel's part comes from clock ticks, only the sum is exact. */
struct bench_cpu {
	double user, system;
};

/* One program, measured once. sent = delivered + lost. */
struct bench_round {
	uint64_t sent, delivered;
	uint64_t out_of_order;	   /* delivered after a later one of the same flow */
	uint64_t changed;	   /* delivered with other content; of no flow and without a latency */
	uint64_t receiver_lost;	   /* lost by the measuring receiver itself: should be 0 */
	uint64_t dropped_by_verdict; /* of those lost: a function said so */
	uint64_t queue_lost;	   /* of those lost: the kernel's queue, or the socket's buffer, was full */
	uint64_t late_p99_ns;	   /* the sender, behind its own schedule */
	double send_seconds;
	double seconds;		   /* from the first packet's time to the last one's arrival */
	struct bench_cpu sender, program, receiver;
};

/* All rounds of one program with one traffic. */
struct bench_series {
	unsigned count;
	struct bench_round rounds[BENCH_ROUNDS_MAX];
	struct histogram *latency; /* of all rounds; NULL: not measured */
};

struct bench_case {
	struct bench_traffic traffic;
	struct bench_series series[BENCH_PROGRAM_COUNT];
};

/* The highest rate without loss. */
struct bench_max {
	bool is_known;		/* false: not measured, or interrupted */
	bool is_of_sender;	/* it is the sender that cannot do more */
	uint64_t rate;		/* 0: every rate that was tried lost packets */
	unsigned tries;
};

struct bench_found {
	struct bench_traffic traffic;
	struct bench_max maxima[BENCH_PROGRAM_COUNT];
};

struct bench_machine {
	char cpu[128], kernel[128];
	const char *commit, *flags; /* of the build; empty: not known */
	unsigned cpus;		    /* that it may use */
};

/* ---- shared with the children ---- */

struct bench_shared {
	struct bench_round round;
	_Atomic uint64_t received; /* relaxed: a counter to watch */
	struct histogram latency, late;
	int result;		   /* of the engine; -errno */
	struct vd_error error;
};

struct bench {
	struct bench_settings settings;
	struct bench_machine machine;
	struct bench_shared *shared;
	int near, far;	/* namespaces */
	int signals;	/* a signalfd */
	int status;	/* of the queues, in near */
	int interrupted; /* the signal that came, or 0 */
	bool has_rule;
	struct vd_error error; /* why a call failed */
	int exit_code;	/* what that means */

	struct bench_case *cases;
	unsigned case_count;
	struct bench_found *found; /* NULL, or one for each kind of traffic whatever its rate */
	unsigned found_count;

	uint64_t steps, steps_done; /* for the progress bar */
	bool shows_progress;
};

/* Sets bench->error and returns -1; the exit code is 1. */
int bench_fail(struct bench *bench, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- values.c: false and one sentence on stderr when the text is wrong ---- */

/* "100k,1M,max"; k and M are 1,000 and 1,000,000. `max` is 0, and allowed where has_max is. */
bool bench_read_list(const char *option, const char *text, uint64_t min, uint64_t max, bool has_max, struct bench_list *list);
bool bench_read_seconds(const char *option, const char *text, uint64_t *nanoseconds);
/* Names of programs with commas between; verdict is always one. */
bool bench_read_programs(const char *option, const char *text, bool *has_program);
/* "64 bytes, 64 flows, 100000/s", and workers if they were given */
void bench_describe(char *text, size_t size, const struct bench_traffic *traffic);

/* When packet `index` is due, and how many are due by `now`. With rate 0: now, and all. */
uint64_t bench_due_ns(uint64_t rate, uint64_t start, uint64_t index, uint64_t now);
uint64_t bench_due_count(uint64_t rate, uint64_t start, uint64_t now);

/* ---- net.c ---- */

/* Makes bench->near, far and status; the caller's namespace is the same afterwards. */
int bench_net_make(struct bench *bench);
/* Has a rule send the packets to the queue, or none. */
int bench_net_set_rule(struct bench *bench, bool wanted);

/* ---- children.c ---- */

struct bench_child {
	pid_t pid;	/* 0: there is none */
	int reports;	/* a byte comes when it is ready, the end of file when it has ended */
	int orders;	/* a byte makes it end */
};

struct bench_call {
	void (*run)(struct bench_shared *shared, const struct bench_settings *settings, const struct bench_traffic *traffic,
		    int reports, int orders);
	const struct bench_traffic *traffic;
	int netns;
};

int bench_child_start(struct bench *bench, struct bench_child *child, const struct bench_call *call);
/* Waits until it is ready, or has ended; -1: interrupted, or timeout_ms is over. */
int bench_child_await(struct bench *bench, const struct bench_child *child, int timeout_ms, bool *is_ready);
void bench_child_order(const struct bench_child *child);
/* Waits for its end; -1: interrupted, too late, or it failed. It is gone in any case. */
int bench_child_end(struct bench *bench, struct bench_child *child, int timeout_ms);
void bench_child_kill(struct bench_child *child);
/* Sleeps; -1: interrupted. */
int bench_pause(struct bench *bench, int milliseconds);

/* For the children. */
void bench_report_ready(int reports);
void bench_await_order(int orders);
struct bench_cpu bench_cpu_now(void);
struct bench_cpu bench_cpu_since(struct bench_cpu before);

/* ---- traffic.c, programs.c: the children's calls ---- */

void bench_send(struct bench_shared *shared, const struct bench_settings *settings, const struct bench_traffic *traffic,
		int reports, int orders);
void bench_receive(struct bench_shared *shared, const struct bench_settings *settings, const struct bench_traffic *traffic,
		   int reports, int orders);
void bench_run_engine(struct bench_shared *shared, const struct bench_settings *settings,
		      const struct bench_traffic *traffic, int reports, int orders);
void bench_run_yardstick(struct bench_shared *shared, const struct bench_settings *settings,
			 const struct bench_traffic *traffic, int reports, int orders);

/* ---- measure.c ---- */

/* One measurement; in shared are its round and its histograms afterwards. -1: it failed, or was interrupted. */
int bench_measure(struct bench *bench, enum bench_program program, const struct bench_traffic *traffic);
/* One line on a terminal; `what` is being measured. */
void bench_progress(struct bench *bench, const char *what);
void bench_progress_end(struct bench *bench);

/* ---- find.c ---- */

#define BENCH_FIND_STEPS 10u
#define BENCH_FIND_CONFIRMATIONS 3u

int bench_find(struct bench *bench, struct bench_found *found);

/* ---- result.c ---- */

struct bench_spread {
	double median, min, max;
};

struct bench_summary {
	uint64_t sent, delivered, lost, out_of_order, changed, receiver_lost, dropped_by_verdict, queue_lost, late_p99_ns;
	double loss;		   /* part of what was sent */
	struct bench_spread sent_rate, rate; /* packets a second, by round */
	struct bench_cpu sender, program, receiver; /* microseconds for each packet */
	bool is_noisy;		   /* the fastest round was more than BENCH_NOISY times the slowest */
};

#define BENCH_NOISY 1.5

struct bench_summary bench_summarize(const struct bench_series *series);
/* verdict's packets a second, as a multiple of the yardstick's, by round; false: there is no such round. */
bool bench_ratio(const struct bench_case *one, struct bench_spread *ratio);
struct bench_spread bench_spread_of(double *values, unsigned count);
void bench_machine_read(struct bench_machine *machine);
/* A sentence each that a reader has to know before he believes a number; NULL behind the last. */
const char *bench_warning(const struct bench *bench, unsigned index, char *text, size_t size);

/* ---- what is shown ---- */

void bench_text(const struct bench *bench, FILE *file);
int bench_json(const struct bench *bench, FILE *file);
void bench_report(const struct bench *bench, FILE *file);

#endif
