/* SPDX-License-Identifier: MIT */
/*
 * verdict bench: what is measured, each in a process of its own.
 *
 *	verdict	   the engine, with the functions that were given, as `verdict run` starts it
 *	yardstick  the loop that the examples of netfilter's own library teach, and that most programs have: receive one
 *		   packet, send one verdict. It is meant to look good: nothing is looked up or printed, the buffer is large,
 *		   and the decision costs nothing
 *
 * Both get the same queue length. The yardstick copies whole packets, as those programs do; the engine copies what its
 * functions need.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <pthread.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/nfq/nfq.h"
#include "tools/bench/bench.h"

#define COPY_RANGE 0xffffu
#define RECEIVE_BUFFER (128 << 20)
#define MESSAGE_SIZE 4096u
#define SETTLE_MS 20 /* until all threads are there, and sleep */

struct program {
	struct bench_shared *shared;
	_Atomic bool has_ended; /* release, acquire: of what its thread has written */
	void (*run)(struct program *program);

	struct vd_engine *engine;

	struct mnl_socket *netlink;
};

static void pause_ms(long milliseconds)
{
	struct timespec time = {.tv_nsec = milliseconds * 1000000};

	nanosleep(&time, NULL);
}

static void *program_main(void *argument)
{
	struct program *program = argument;

	program->run(program);
	atomic_store_explicit(&program->has_ended, true, memory_order_release);
	return NULL;
}

/* Starts it in a thread, and returns when it has bound the queue and what it costs has been taken; exits if it ends. */
static pthread_t begin(struct program *program, int reports, struct bench_cpu *before)
{
	struct vd_nfq_status status;
	int descriptor = vd_nfq_status_open();
	pthread_t thread;

	if (descriptor < 0 || pthread_create(&thread, NULL, program_main, program))
		_exit(1);
	while (vd_nfq_status_of(descriptor, BENCH_QUEUE, &status)) {
		if (atomic_load_explicit(&program->has_ended, memory_order_acquire)) {
			pthread_join(thread, NULL);
			_exit(1);
		}
		pause_ms(1);
	}
	close(descriptor);
	pause_ms(SETTLE_MS);
	*before = bench_cpu_now();
	bench_report_ready(reports);
	return thread;
}

/* ---- verdict ---- */

static void run_engine(struct program *program)
{
	program->shared->result = vd_engine_run(program->engine, &program->shared->error);
}

static void keep_accounts(struct bench_shared *shared, struct vd_engine *engine)
{
	struct vd_queue_stats stats;

	if (vd_engine_queue_stats(engine, &stats, 1) != 1)
		return;
	shared->round.dropped_by_verdict = stats.verdicts[VD_DROP] + stats.verdicts[VD_REJECT];
	shared->round.queue_lost = stats.queue_dropped + stats.socket_dropped;
}

void bench_run_engine(struct bench_shared *shared, const struct bench_settings *settings,
		      const struct bench_traffic *traffic, int reports, int orders)
{
	struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;
	struct program program = {.shared = shared, .run = run_engine};
	struct bench_cpu before;
	pthread_t thread;

	options.workers = traffic->workers;
	shared->result = vd_engine_create(&program.engine, &options, &shared->error);
	if (!shared->result)
		shared->result = vd_engine_add_queue(program.engine, BENCH_QUEUE, &shared->error);
	for (unsigned i = 0; i < settings->function_count && !shared->result; i++)
		shared->result = vd_engine_load_function(program.engine, settings->functions[i], &shared->error);
	if (shared->result)
		_exit(1);
	thread = begin(&program, reports, &before);
	bench_await_order(orders);
	shared->round.program = bench_cpu_since(before);
	vd_engine_stop(program.engine);
	pthread_join(thread, NULL);
	if (shared->result)
		_exit(1);
	keep_accounts(shared, program.engine);
	vd_engine_destroy(program.engine);
}

/* ---- the yardstick ---- */

static struct nlmsghdr *begin_message(char *buffer, uint16_t type)
{
	struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
	struct nfgenmsg *header;

	message->nlmsg_type = (uint16_t)(NFNL_SUBSYS_QUEUE << 8 | type);
	message->nlmsg_flags = NLM_F_REQUEST;
	header = mnl_nlmsg_put_extra_header(message, sizeof *header);
	*header = (struct nfgenmsg){.nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0, .res_id = htons(BENCH_QUEUE)};
	return message;
}

static int bind_queue(struct mnl_socket *netlink)
{
	char buffer[MESSAGE_SIZE];
	struct nlmsghdr *message = begin_message(buffer, NFQNL_MSG_CONFIG);
	const struct nfqnl_msg_config_cmd command = {.command = NFQNL_CFG_CMD_BIND, .pf = htons(AF_INET)};
	const struct nfqnl_msg_config_params params = {.copy_range = htonl(COPY_RANGE), .copy_mode = NFQNL_COPY_PACKET};

	mnl_attr_put(message, NFQA_CFG_CMD, sizeof command, &command);
	mnl_attr_put(message, NFQA_CFG_PARAMS, sizeof params, &params);
	mnl_attr_put_u32(message, NFQA_CFG_QUEUE_MAXLEN, htonl(VD_ENGINE_MAXLEN_DEFAULT));
	mnl_attr_put_u32(message, NFQA_CFG_FLAGS, htonl(NFQA_CFG_F_GSO));
	mnl_attr_put_u32(message, NFQA_CFG_MASK, htonl(NFQA_CFG_F_GSO));
	return mnl_socket_sendto(netlink, message, message->nlmsg_len) < 0 ? -errno : 0;
}

static int answer_packet(const struct nlmsghdr *message, void *argument)
{
	struct mnl_socket *netlink = argument;
	const struct nlattr *attribute;
	struct nfqnl_msg_verdict_hdr verdict = {.verdict = htonl(NF_ACCEPT)};
	char buffer[MESSAGE_SIZE];
	struct nlmsghdr *answer;

	mnl_attr_for_each(attribute, message, sizeof(struct nfgenmsg)) {
		if (mnl_attr_get_type(attribute) == NFQA_PACKET_HDR) {
			const struct nfqnl_msg_packet_hdr *header = mnl_attr_get_payload(attribute);

			verdict.id = header->packet_id;
		}
	}
	answer = begin_message(buffer, NFQNL_MSG_VERDICT);
	mnl_attr_put(answer, NFQA_VERDICT_HDR, sizeof verdict, &verdict);
	return mnl_socket_sendto(netlink, answer, answer->nlmsg_len) < 0 ? MNL_CB_ERROR : MNL_CB_OK;
}

/* Until the process ends. */
static void run_loop(struct program *program)
{
	static char buffer[COPY_RANGE + MESSAGE_SIZE] __attribute__((aligned));
	struct mnl_socket *netlink = program->netlink;

	program->shared->result = bind_queue(netlink);
	while (!program->shared->result) {
		ssize_t got = mnl_socket_recvfrom(netlink, buffer, sizeof buffer);

		if (got < 0 || mnl_cb_run(buffer, (size_t)got, 0, mnl_socket_get_portid(netlink), answer_packet, netlink) < 0)
			program->shared->result = got < 0 && errno == EINTR ? 0 : -errno;
	}
	snprintf(program->shared->error.text, sizeof program->shared->error.text, "the yardstick cannot read its queue: %s",
		 strerror(-program->shared->result));
}

void bench_run_yardstick(struct bench_shared *shared, const struct bench_settings *settings,
			 const struct bench_traffic *traffic, int reports, int orders)
{
	struct program program = {.shared = shared, .run = run_loop};
	const int bytes = RECEIVE_BUFFER / 2, on = 1; /* the kernel doubles the first */
	struct vd_nfq_status status;
	struct bench_cpu before;
	int descriptor;

	(void)settings;
	(void)traffic;
	program.netlink = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	if (!program.netlink || mnl_socket_bind(program.netlink, 0, MNL_SOCKET_AUTOPID) < 0)
		_exit(1);
	setsockopt(mnl_socket_get_fd(program.netlink), SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
	mnl_socket_setsockopt(program.netlink, NETLINK_NO_ENOBUFS, (void *)&on, sizeof on);
	begin(&program, reports, &before);
	bench_await_order(orders);
	shared->round.program = bench_cpu_since(before);
	descriptor = vd_nfq_status_open();
	if (descriptor >= 0 && !vd_nfq_status_of(descriptor, BENCH_QUEUE, &status))
		shared->round.queue_lost = (uint64_t)status.queue_dropped + status.user_dropped;
	/* its thread waits for a packet: it ends with the process */
}
