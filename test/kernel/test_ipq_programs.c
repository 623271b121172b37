/* SPDX-License-Identifier: MIT */
/*
 * Whole programs that know libipq only, as they were written and as they are built today (test/ipq): they run in near, and what
 * they do is seen from far.
 */
#include "test/support/ipq_kernel.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "test/support/load.h"

static struct vd_net net;
static int sender, receiver;
static pid_t child;
static bool has_privilege; /* whether the next program has any */

static void set_up(const char *rule)
{
	unsetenv("LIBIPQ_QUEUE");
	unsetenv("LIBIPQ_QUEUE6");
	has_privilege = true;
	vd_net_setup(&net);
	vd_net_command("%s", rule);
	sender = traffic_udp_open(net.near, AF_INET, 0);
	receiver = traffic_udp_open(net.far, AF_INET, IPQ_PORT);
}

static int tear_down(void **state)
{
	if (child > 0) {
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
	child = 0;
	if (sender > 0)
		close(sender);
	if (receiver > 0)
		close(receiver);
	sender = receiver = 0;
	return vd_net_teardown_any(state);
}

/* The path of a program beside this one's directory. */
static const char *path_of(const char *name)
{
	static char path[512];
	ssize_t length = readlink("/proc/self/exe", path, sizeof path - 64);

	assert_true(length > 0);
	path[length] = '\0';
	strcpy(strrchr(path, '/'), "/../ipq/");
	return strcat(path, name);
}

static bool is_bound(void *queue)
{
	struct vd_nfq_status status;

	return load_queue(*(unsigned *)queue, &status);
}

/* Runs it; what it prints can be read from the result. */
static int run(const char *name, const char *first, const char *second)
{
	const char *path = path_of(name);
	int ends[2];

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	child = fork();
	if (!child) {
		for (int capability = 0; !has_privilege && capability < 64; capability++)
			prctl(PR_CAPBSET_DROP, capability);
		dup2(ends[1], STDOUT_FILENO);
		dup2(ends[1], STDERR_FILENO);
		execl(path, name, first, second, (char *)NULL);
		_exit(99);
	}
	close(ends[1]);
	return ends[0];
}

static void wait_for_queue(unsigned queue)
{
	assert_true(traffic_wait_until(is_bound, &queue, 5000));
}

static bool has_ended(void *status)
{
	return waitpid(child, status, WNOHANG) == child;
}

/* Waits for its end, and compares what it printed. */
static void expect_end(int output, int code, const char *text)
{
	char printed[512];
	ssize_t length;
	int status = 0;

	assert_true(traffic_wait_until(has_ended, &status, 5000));
	child = 0;
	length = read(output, printed, sizeof printed - 1);
	close(output);
	printed[length > 0 ? length : 0] = '\0';
	assert_string_equal(printed, text);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), code);
}

static void stop(int output)
{
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	child = 0;
	close(output);
}

/* ---- the manual's example ---- */

/* Whether an echo comes back. */
static bool ping(void)
{
	static uint8_t number;
	int socket = traffic_raw_open(net.near, AF_INET, IPPROTO_ICMP);
	uint8_t request[8] = {8, 0, 0, 0, 0x12, 0x34, 0, ++number}, got[128];
	uint64_t end = traffic_now_ms() + 1000 * traffic_patience();
	bool came = false;
	uint16_t sum = (uint16_t)~(0x0800 + 0x1234 + number);

	request[2] = (uint8_t)(sum >> 8);
	request[3] = (uint8_t)sum;
	if (traffic_send(socket, VD_NET_FAR_V4, 0, request, sizeof request))
		end = 0; /* a dropped packet may be told at once */
	while (!came && traffic_now_ms() < end) {
		ssize_t length = traffic_receive(socket, got, sizeof got, 50);

		came = length >= 28 && got[20] == 0 && !memcmp(got + 24, request + 4, 4);
		if (length < 0 && !child)
			break; /* nobody is there who could take longer */
	}
	close(socket);
	return came;
}

static void pings_pass_while_it_runs(const char *name)
{
	int output;

	set_up("iptables-legacy -A OUTPUT -p icmp -j QUEUE"); /* as the manual says */
	assert_false(ping());
	output = run(name, NULL, NULL);
	wait_for_queue(0);
	for (unsigned i = 0; i < 5; i++)
		assert_true(ping());
	stop(output);
	assert_false(ping());
	output = run(name, NULL, NULL);
	wait_for_queue(0);
	assert_true(ping());
	stop(output);
}

static void the_manuals_example_runs(void **state)
{
	(void)state;
	if (access(path_of("example"), X_OK)) {
		print_message("skip: the example program of libipq's manual is not here\n");
		skip();
	}
	pings_pass_while_it_runs("example");
}

static void a_passer_runs(void **state)
{
	(void)state;
	pings_pass_while_it_runs("passer");
}

static void a_second_one_hears_that_it_is_busy(void **state)
{
	struct ipq_handle *handle;

	(void)state;
	set_up("iptables-legacy -A OUTPUT -p icmp -j QUEUE");
	handle = ipq_open(PF_INET, IPQ_COPY_PACKET, 0);
	expect_end(run("passer", NULL, NULL), 2, "passer: kernel says: Device or resource busy\n");
	ipq_destroy_handle(handle);
}

static void without_privilege_it_hears_that(void **state)
{
	(void)state;
	set_up("iptables-legacy -A OUTPUT -p icmp -j QUEUE");
	has_privilege = false;
	expect_end(run("passer", NULL, NULL), 2, "passer: kernel says: Operation not permitted\n");
}

/* ---- others ---- */

static void a_dropper_drops_every_other(void **state)
{
	char rule[128];
	int output;

	(void)state;
	snprintf(rule, sizeof rule, "iptables-legacy -A OUTPUT -p udp --dport %d -j NFQUEUE --queue-num 9", IPQ_PORT);
	set_up(rule);
	setenv("LIBIPQ_QUEUE", "9", 1);
	output = run("dropper", NULL, NULL);
	unsetenv("LIBIPQ_QUEUE");
	wait_for_queue(9);
	for (unsigned i = 0; i < 10; i++)
		ipq_send_text(sender, VD_NET_FAR_V4, i % 2 ? "odd" : "even");
	for (unsigned i = 0; i < 5; i++)
		ipq_expect_text(receiver, "odd");
	ipq_expect_nothing(receiver);
	kill(child, SIGTERM);
	expect_end(output, 0, "");
}

static void a_mangler_rewrites(void **state)
{
	static const char *const words[][2] = {{"short", "considerably longer than it was"}, {"considerable", "s"}, {"even", "odd"},
					       {"same", "emas"}, {"gone", ""}};
	char rule[128], sent[128], expected[128];

	(void)state;
	for (unsigned i = 0; i < sizeof words / sizeof *words; i++) {
		int output;

		snprintf(rule, sizeof rule, "iptables-legacy -A OUTPUT -p udp --dport %d -j QUEUE", IPQ_PORT);
		set_up(rule);
		output = run("mangler", words[i][0], words[i][1]);
		wait_for_queue(0);
		for (unsigned length = 0; length < 6; length++) { /* odd and even */
			snprintf(sent, sizeof sent, "%s and %.*s", words[i][0], (int)length, "more of");
			snprintf(expected, sizeof expected, "%s and %.*s", words[i][1], (int)length, "more of");
			ipq_send_text(sender, VD_NET_FAR_V4, sent);
			ipq_expect_text(receiver, expected);
		}
		ipq_send_text(sender, VD_NET_FAR_V4, "other");
		ipq_expect_text(receiver, "other");
		assert_int_equal(traffic_snmp(net.far, "Udp", "InCsumErrors"), 0);
		stop(output);
		tear_down(NULL);
	}
}

static void a_selecter_serves_both_families(void **state)
{
	int output, sender6, receiver6;
	char rule[256];

	(void)state;
	snprintf(rule, sizeof rule, "iptables-legacy -A OUTPUT -p udp --dport %d -j QUEUE;"
		 "ip6tables-legacy -A OUTPUT -p udp --dport %d -j NFQUEUE --queue-num 6", IPQ_PORT, IPQ_PORT);
	set_up(rule);
	sender6 = traffic_udp_open(net.near, AF_INET6, 0);
	receiver6 = traffic_udp_open(net.far, AF_INET6, IPQ_PORT);
	setenv("LIBIPQ_QUEUE6", "6", 1);
	output = run("selecter", "50", NULL);
	unsetenv("LIBIPQ_QUEUE6");
	wait_for_queue(0);
	wait_for_queue(6);
	for (unsigned i = 0; i < 30; i++) {
		ipq_send_text(sender, VD_NET_FAR_V4, "four");
		if (i < 20)
			ipq_send_text(sender6, VD_NET_FAR_V6, "six");
	}
	for (unsigned i = 0; i < 30; i++)
		ipq_expect_text(receiver, "four");
	for (unsigned i = 0; i < 20; i++)
		ipq_expect_text(receiver6, "six");
	expect_end(output, 0, "30 IPv4, 20 IPv6\n");
	close(sender6);
	close(receiver6);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_teardown(function, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(the_manuals_example_runs),
		TEST(a_passer_runs),
		TEST(a_second_one_hears_that_it_is_busy),
		TEST(without_privilege_it_hears_that),
		TEST(a_dropper_drops_every_other),
		TEST(a_mangler_rewrites),
		TEST(a_selecter_serves_both_families),
	};

	return cmocka_run_group_tests_name("ipq_programs", tests, NULL, NULL);
}
