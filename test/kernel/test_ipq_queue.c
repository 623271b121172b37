/* SPDX-License-Identifier: MIT */
/*
 * libipq and its queue: which one it is, whose it is, what the kernel refuses, and how long ipq_read() waits for what.
 */
#include "test/support/ipq_kernel.h"

#include <linux/capability.h>
#include <pthread.h>
#include <signal.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "lib/nfq/nfq.h"

static struct vd_net net;
static int sender, receiver, sender6, receiver6;

static void set_up(const char *target)
{
	unsetenv("LIBIPQ_QUEUE");
	unsetenv("LIBIPQ_QUEUE6");
	vd_net_setup(&net);
	ipq_queue_output(target);
	sender = traffic_udp_open(net.near, AF_INET, 0);
	receiver = traffic_udp_open(net.far, AF_INET, IPQ_PORT);
	sender6 = traffic_udp_open(net.near, AF_INET6, 0);
	receiver6 = traffic_udp_open(net.far, AF_INET6, IPQ_PORT);
}

static int tear_down(void **state)
{
	int *sockets[] = {&sender, &receiver, &sender6, &receiver6};

	unsetenv("LIBIPQ_QUEUE");
	unsetenv("LIBIPQ_QUEUE6");
	for (unsigned i = 0; i < 4; i++) {
		if (*sockets[i] > 0)
			close(*sockets[i]);
		*sockets[i] = 0;
	}
	return vd_net_teardown_any(state);
}

/* The kernel's line of a queue; false: nobody's. */
static bool find_queue(uint16_t queue, struct vd_nfq_status *status)
{
	int descriptor = vd_nfq_status_open();
	int result = vd_nfq_status_of(descriptor, queue, status);

	assert_true(descriptor >= 0);
	close(descriptor);
	return !result;
}

static bool is_taken(void *unused)
{
	struct vd_nfq_status status;

	(void)unused;
	return find_queue(0, &status);
}

/* One packet through the handle, seen at both ends. */
static void pass_one(struct ipq_handle *handle, const char *text)
{
	ipq_send_text(sender, VD_NET_FAR_V4, text);
	ipq_accept(handle, ipq_expect_packet(handle));
	ipq_expect_text(receiver, text);
}

static void pass_one6(struct ipq_handle *handle, const char *text)
{
	ipq_packet_msg_t *packet;

	ipq_send_text(sender6, VD_NET_FAR_V6, text);
	packet = ipq_expect_packet(handle);
	assert_int_equal(packet->hw_protocol, htons(0x86dd));
	assert_int_equal(packet->payload[0] >> 4, 6);
	ipq_accept(handle, packet);
	ipq_expect_text(receiver6, text);
}

/* ---- which queue ---- */

static void the_old_target_lands_in_it(void **state)
{
	struct ipq_handle *handle;
	struct vd_nfq_status status;

	(void)state;
	set_up("QUEUE");
	handle = ipq_create_handle(0, PF_INET);
	assert_non_null(handle);
	assert_false(find_queue(0, &status)); /* not before it has a mode */
	assert_int_equal(ipq_set_mode(handle, IPQ_COPY_PACKET, 0), 56);
	assert_true(find_queue(0, &status));
	assert_int_equal(status.portid, handle->local.nl_pid);
	assert_int_equal(status.copy_mode, 2);
	pass_one(handle, "hello");
	ipq_destroy_handle(handle);
	assert_false(find_queue(0, &status));

	handle = ipq_open(PF_INET6, IPQ_COPY_PACKET, 0);
	pass_one6(handle, "hello six");
	ipq_destroy_handle(handle);
}

static void the_environment_names_another(void **state)
{
	struct ipq_handle *handle;
	struct vd_nfq_status status;

	(void)state;
	set_up("NFQUEUE --queue-num 65535");
	setenv("LIBIPQ_QUEUE", "65535", 1);
	handle = ipq_open(PF_INET, IPQ_COPY_PACKET, 0);
	assert_false(find_queue(0, &status));
	assert_int_equal(ipq_stats_of(handle).queue, 65535);
	pass_one(handle, "by number");
	ipq_destroy_handle(handle);

	unsetenv("LIBIPQ_QUEUE");
	setenv("LIBIPQ_QUEUE6", "65535", 1);
	handle = ipq_open(PF_INET6, IPQ_COPY_PACKET, 0);
	pass_one6(handle, "by number");
	ipq_destroy_handle(handle);
}

static void both_families_in_one_process(void **state)
{
	struct ipq_handle *four, *six;

	(void)state;
	set_up("QUEUE");
	vd_net_command("ip6tables-legacy -F OUTPUT; ip6tables-legacy -A OUTPUT -p udp --dport %d -j NFQUEUE --queue-num 6", IPQ_PORT);
	setenv("LIBIPQ_QUEUE6", "6", 1);
	four = ipq_open(PF_INET, IPQ_COPY_PACKET, 0);
	six = ipq_open(PF_INET6, IPQ_COPY_PACKET, 0);
	for (unsigned i = 0; i < 3; i++) {
		pass_one(four, "four");
		pass_one6(six, "six");
	}
	ipq_expect_silence(four);
	ipq_expect_silence(six);
	ipq_destroy_handle(four);
	pass_one6(six, "goes on");
	ipq_destroy_handle(six);
}

/* Both on one queue: the second is told so, and the first is not disturbed. */
static void the_second_on_a_queue_is_told_that_it_is_busy(void **state)
{
	struct ipq_handle *four, *six;

	(void)state;
	set_up("QUEUE");
	four = ipq_open(PF_INET, IPQ_COPY_PACKET, 0);
	six = ipq_open(PF_INET6, IPQ_COPY_PACKET, 0);
	ipq_expect_error(six, EBUSY);
	ipq_expect_silence(six);
	ipq_expect_silence(four);
	pass_one(four, "still ours");
	ipq_destroy_handle(four);

	assert_int_equal(ipq_set_mode(six, IPQ_COPY_PACKET, 0), 56); /* tries again, and gets it */
	pass_one6(six, "now ours");
	ipq_destroy_handle(six);
}

static void the_other_familys_packets_are_dropped_and_counted(void **state)
{
	struct ipq_handle *handle;
	struct ipq_stats stats;

	(void)state;
	set_up("QUEUE");
	handle = ipq_open(PF_INET, IPQ_COPY_PACKET, 0);
	for (unsigned i = 0; i < 3; i++)
		ipq_send_text(sender6, VD_NET_FAR_V6, "not his");
	pass_one(handle, "his");
	for (unsigned i = 0; i < 2; i++)
		ipq_send_text(sender6, VD_NET_FAR_V6, "not his");
	ipq_expect_silence(handle);
	stats = ipq_stats_of(handle);
	assert_int_equal(stats.other_family, 5);
	assert_int_equal(stats.read, 1);
	assert_int_equal(stats.waiting, 0);
	assert_int_equal(stats.lost_buffer + stats.lost_queue + stats.truncated, 0);
	ipq_expect_nothing(receiver6);
	ipq_destroy_handle(handle);
}

/* ---- refusals ---- */

static bool is_readable(struct ipq_handle *handle, unsigned timeout_ms)
{
	struct timeval timeout = {timeout_ms / 1000, timeout_ms % 1000 * 1000};
	fd_set set;

	FD_ZERO(&set);
	FD_SET(handle->fd, &set);
	return select(handle->fd + 1, &set, NULL, NULL, &timeout) == 1;
}

static void another_programs_queue_is_busy(void **state)
{
	struct ipq_handle *owner, *other;

	(void)state;
	set_up("QUEUE");
	owner = ipq_open(PF_INET, IPQ_COPY_PACKET, 0);
	other = ipq_open(PF_INET, IPQ_COPY_PACKET, 0);
	assert_true(is_readable(other, 0));
	ipq_expect_error(other, EBUSY);
	assert_false(is_readable(other, 0));
	ipq_send_text(sender, VD_NET_FAR_V4, "not his to decide");
	assert_int_equal(ipq_set_verdict(other, ipq_expect_packet(owner)->packet_id, NF_ACCEPT, 0, NULL), 40);
	ipq_expect_error(other, EBUSY);
	ipq_expect_nothing(receiver);
	assert_int_equal(ipq_stats_of(other).waiting, 0);
	assert_int_equal(ipq_stats_of(owner).waiting, 1);

	assert_int_equal(ipq_set_mode(other, IPQ_COPY_META, 0), 56);
	ipq_expect_error(other, EBUSY);
	ipq_destroy_handle(other);
	pass_one(owner, "undisturbed");
	ipq_destroy_handle(owner);
}

static void unknown_ids_are_refused(void **state)
{
	static const ipq_id_t ids[] = {0, 1, 77, UINT32_MAX};
	struct ipq_handle *handle;
	ipq_packet_msg_t *packet;
	ipq_id_t id;

	(void)state;
	set_up("QUEUE");
	handle = ipq_create_handle(0, PF_INET);
	assert_int_equal(ipq_set_verdict(handle, 1, NF_ACCEPT, 0, NULL), 40); /* before it has a mode */
	ipq_expect_error(handle, ENOENT);
	assert_int_equal(ipq_set_mode(handle, IPQ_COPY_PACKET, 0), 56);
	for (unsigned i = 0; i < sizeof ids / sizeof *ids; i++) {
		assert_int_equal(ipq_set_verdict(handle, ids[i], NF_ACCEPT, 0, NULL), 40);
		ipq_expect_error(handle, ENOENT);
	}
	ipq_send_text(sender, VD_NET_FAR_V4, "once");
	packet = ipq_expect_packet(handle);
	id = packet->packet_id;
	assert_int_equal(ipq_set_verdict(handle, id | (ipq_id_t)1 << 40, NF_ACCEPT, 0, NULL), 40); /* another's id */
	ipq_expect_error(handle, ENOENT);
	assert_int_equal(ipq_set_verdict(handle, id, NF_ACCEPT, 0, NULL), 40);
	ipq_expect_text(receiver, "once");
	assert_int_equal(ipq_set_verdict(handle, id, NF_ACCEPT, 0, NULL), 40); /* decided already */
	ipq_expect_error(handle, ENOENT);
	ipq_expect_silence(handle);
	ipq_destroy_handle(handle);
}

static void bad_verdicts_and_modes_are_refused(void **state)
{
	static const unsigned verdicts[] = {NF_STOLEN, 6, 7, 77};
	static const uint8_t modes[] = {3, 77, 255};
	struct ipq_handle *handle;
	struct vd_nfq_status status;
	ipq_id_t id;

	(void)state;
	set_up("QUEUE");
	handle = ipq_create_handle(0, PF_INET);
	assert_int_equal(ipq_set_mode(handle, 3, 0), 56); /* before it has one */
	ipq_expect_error(handle, EINVAL);
	assert_false(find_queue(0, &status));
	assert_int_equal(ipq_set_mode(handle, IPQ_COPY_PACKET, 0), 56);
	for (unsigned i = 0; i < sizeof modes; i++) {
		assert_int_equal(ipq_set_mode(handle, modes[i], 0), 56);
		ipq_expect_error(handle, EINVAL);
	}
	ipq_send_text(sender, VD_NET_FAR_V4, "stays");
	id = ipq_expect_packet(handle)->packet_id;
	for (unsigned i = 0; i < sizeof verdicts / sizeof *verdicts; i++) {
		assert_int_equal(ipq_set_verdict(handle, id, verdicts[i], 0, NULL), 40);
		ipq_expect_error(handle, EINVAL);
	}
	assert_int_equal(ipq_stats_of(handle).waiting, 1);
	assert_int_equal(ipq_set_verdict(handle, id, NF_ACCEPT, 0, NULL), 40);
	ipq_expect_text(receiver, "stays");
	ipq_expect_silence(handle);
	ipq_destroy_handle(handle);
}

static void *try_without_privilege(void *argument)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[2] = {{0}};
	struct ipq_handle *handle = argument;

	if (syscall(SYS_capset, &header, none))
		return NULL;
	if (ipq_set_mode(handle, IPQ_COPY_PACKET, 0) != 56 || ipq_set_mode(handle, 77, 0) != 56 ||
	    ipq_set_verdict(handle, 1, NF_ACCEPT, 0, NULL) != 40)
		return NULL;
	return argument;
}

static void without_privilege_the_kernel_says_so(void **state)
{
	struct ipq_handle *handle;
	struct vd_nfq_status status;
	pthread_t thread;
	void *done;

	(void)state;
	set_up("QUEUE");
	handle = ipq_create_handle(0, PF_INET);
	assert_int_equal(pthread_create(&thread, NULL, try_without_privilege, handle), 0);
	pthread_join(thread, &done);
	assert_ptr_equal(done, handle);
	for (unsigned i = 0; i < 3; i++)
		ipq_expect_error(handle, EPERM);
	ipq_expect_silence(handle);
	assert_false(find_queue(0, &status));
	assert_int_equal(ipq_set_mode(handle, IPQ_COPY_PACKET, 0), 56);
	pass_one(handle, "with it");
	ipq_destroy_handle(handle);
}

/* Nobody but the kernel may put a packet on its socket. */
static void only_the_kernel_may_talk_to_it(void **state)
{
	unsigned char forged[200] = {sizeof forged, 0, 0, 0, 0x00, 0x03};
	struct ipq_handle *handle, *stranger;
	struct sockaddr_nl to = {.nl_family = AF_NETLINK};

	(void)state;
	set_up("QUEUE");
	handle = ipq_open(PF_INET, IPQ_COPY_PACKET, 0);
	stranger = ipq_create_handle(0, PF_INET);
	to.nl_pid = handle->local.nl_pid;
	assert_int_equal(sendto(stranger->fd, forged, sizeof forged, 0, (struct sockaddr *)&to, sizeof to), -1);
	assert_int_equal(errno, ECONNREFUSED);
	ipq_expect_silence(handle);
	pass_one(handle, "the kernel's own");
	ipq_destroy_handle(stranger);
	ipq_destroy_handle(handle);
}

/* Daemons open a handle, and go on in a child that outlives its parent. */
static void a_child_takes_the_handle_with_it(void **state)
{
	struct ipq_handle *handle;
	int status = -1;
	pid_t child;

	(void)state;
	set_up("QUEUE");
	handle = ipq_create_handle(0, PF_INET);
	assert_non_null(handle);
	child = fork();
	if (!child) {
		bool is_good = ipq_set_mode(handle, IPQ_COPY_PACKET, 2048) == 56;

		for (unsigned i = 0; i < 3 && is_good; i++)
			is_good = ipq_read(handle, ipq_buffer, sizeof ipq_buffer, ipq_wait_us()) > 0 &&
				  ipq_message_type(ipq_buffer) == IPQM_PACKET &&
				  ipq_set_verdict(handle, ipq_get_packet(ipq_buffer)->packet_id, NF_ACCEPT, 0, NULL) == 40;
		_exit(!is_good);
	}
	ipq_destroy_handle(handle);
	assert_true(traffic_wait_until(is_taken, NULL, 2000));
	for (unsigned i = 0; i < 3; i++) {
		ipq_send_text(sender, VD_NET_FAR_V4, "to the child");
		ipq_expect_text(receiver, "to the child");
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

/* ---- modes ---- */

static void modes_copy_what_they_say(void **state)
{
	static const struct {
		uint8_t mode;
		size_t range, expected;
	} cases[] = {
		{IPQ_COPY_META, 0, 0},	   {IPQ_COPY_META, 500, 0},	 {IPQ_COPY_PACKET, 0, 1028},  {IPQ_COPY_PACKET, 1, 1},
		{IPQ_COPY_PACKET, 28, 28}, {IPQ_COPY_PACKET, 1027, 1027}, {IPQ_COPY_PACKET, 1028, 1028}, {IPQ_COPY_PACKET, 2048, 1028},
		{IPQ_COPY_PACKET, 65535, 1028}, {IPQ_COPY_PACKET, (size_t)-1, 1028}, {IPQ_COPY_META, 0, 0},
	};
	static char text[1001];
	struct ipq_handle *handle;
	struct vd_nfq_status status;

	(void)state;
	set_up("QUEUE");
	memset(text, 'x', 1000);
	handle = ipq_create_handle(0, PF_INET);
	for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) { /* on one handle: each mode takes the place of the last */
		ipq_packet_msg_t *packet;

		assert_int_equal(ipq_set_mode(handle, cases[i].mode, cases[i].range), 56);
		ipq_send_text(sender, VD_NET_FAR_V4, text);
		packet = ipq_expect_packet(handle);
		assert_int_equal(packet->data_len, cases[i].expected);
		for (size_t at = 28; at < packet->data_len; at++)
			assert_int_equal(packet->payload[at], 'x');
		ipq_accept(handle, packet);
		ipq_expect_text(receiver, text);
	}
	assert_int_equal(ipq_set_mode(handle, IPQ_COPY_NONE, 0), 56);
	assert_true(find_queue(0, &status));
	ipq_send_text(sender, VD_NET_FAR_V4, "dropped");
	ipq_expect_silence(handle);
	ipq_expect_nothing(receiver);
	assert_int_equal(ipq_stats_of(handle).waiting, 0);
	assert_int_equal(ipq_set_mode(handle, IPQ_COPY_PACKET, 0), 56);
	pass_one(handle, "and again");
	ipq_destroy_handle(handle);
}

/* ---- waiting ---- */

static int64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000ll + now.tv_nsec / 1000;
}

static void timeouts_are_in_microseconds(void **state)
{
	static const int timeouts[] = {1, 1000, 50000, 300000};
	struct ipq_handle *handle;

	(void)state;
	set_up("QUEUE");
	handle = ipq_open(PF_INET, IPQ_COPY_PACKET, 0);
	for (unsigned i = 0; i < sizeof timeouts / sizeof *timeouts; i++) {
		int64_t begin = now_us(), waited;

		assert_int_equal(ipq_read(handle, ipq_buffer, sizeof ipq_buffer, timeouts[i]), 0);
		waited = now_us() - begin;
		assert_string_equal(ipq_errstr(), "Timeout");
		assert_true(waited >= timeouts[i]);
		assert_true(waited < 1000000 * (int)traffic_patience() + timeouts[i]);
	}
	for (int timeout = -3; timeout < 0; timeout++)
		assert_int_equal(ipq_read(handle, ipq_buffer, sizeof ipq_buffer, timeout), 0);
	assert_int_equal(ipq_read(handle, ipq_buffer, sizeof ipq_buffer, INT32_MIN), 0);
	ipq_send_text(sender, VD_NET_FAR_V4, "there");
	assert_true(ipq_read(handle, ipq_buffer, sizeof ipq_buffer, -1) > 0); /* looks, though it does not wait */
	ipq_accept(handle, ipq_get_packet(ipq_buffer));
	ipq_expect_text(receiver, "there");
	ipq_destroy_handle(handle);
}

static void on_alarm(int number)
{
	(void)number;
}

static void a_signal_ends_the_wait(void **state)
{
	struct sigaction action = {.sa_handler = on_alarm}, before;
	struct itimerval soon = {.it_value = {.tv_usec = 50000}};
	struct ipq_handle *handle;

	(void)state;
	set_up("QUEUE");
	handle = ipq_open(PF_INET, IPQ_COPY_PACKET, 0);
	assert_null(ipq_create_handle(0, 1)); /* "Invalid protocol specified" */
	sigaction(SIGALRM, &action, &before);
	setitimer(ITIMER_REAL, &soon, NULL);
	errno = 0;
	assert_int_equal(ipq_read(handle, ipq_buffer, sizeof ipq_buffer, 60000000), 0);
	assert_int_equal(errno, EINTR);
	assert_string_equal(ipq_errstr(), "Invalid protocol specified");
	setitimer(ITIMER_REAL, &soon, NULL);
	errno = 0;
	assert_int_equal(ipq_read(handle, ipq_buffer, sizeof ipq_buffer, 0), -1); /* without a timeout it failed, always */
	assert_int_equal(errno, EINTR);
	assert_string_equal(ipq_errstr(), "Failed to receive netlink message");
	sigaction(SIGALRM, &before, NULL);
	pass_one(handle, "goes on");
	ipq_destroy_handle(handle);
}

/* One message for each wake-up, and a wake-up for each message. */
static void select_tells_the_truth(void **state)
{
	struct ipq_handle *handle;

	(void)state;
	set_up("QUEUE");
	handle = ipq_open(PF_INET, IPQ_COPY_PACKET, 0);
	assert_false(is_readable(handle, 0));
	for (unsigned i = 0; i < 5; i++)
		ipq_send_text(sender, VD_NET_FAR_V4, "five");
	for (unsigned i = 0; i < 5; i++) {
		assert_true(is_readable(handle, 0));
		ipq_accept(handle, ipq_expect_packet(handle));
		ipq_expect_text(receiver, "five");
	}
	assert_false(is_readable(handle, 20));
	ipq_destroy_handle(handle);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_teardown(function, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(the_old_target_lands_in_it),
		TEST(the_environment_names_another),
		TEST(both_families_in_one_process),
		TEST(the_second_on_a_queue_is_told_that_it_is_busy),
		TEST(the_other_familys_packets_are_dropped_and_counted),
		TEST(another_programs_queue_is_busy),
		TEST(unknown_ids_are_refused),
		TEST(bad_verdicts_and_modes_are_refused),
		TEST(without_privilege_the_kernel_says_so),
		TEST(only_the_kernel_may_talk_to_it),
		TEST(a_child_takes_the_handle_with_it),
		TEST(modes_copy_what_they_say),
		TEST(timeouts_are_in_microseconds),
		TEST(a_signal_ends_the_wait),
		TEST(select_tells_the_truth),
	};

	return cmocka_run_group_tests_name("ipq_queue", tests, NULL, NULL);
}
