/* SPDX-License-Identifier: MIT */
/*
 * The interface of libipq to the byte: layouts and numbers that programs were compiled with, sentences that they print,
 * values that they compare.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include <libipq/libipq.h>
#include <linux/netfilter.h>

#define LAYOUT(type, member, offset, size) \
	_Static_assert(offsetof(type, member) == (offset) && sizeof(((type *)0)->member) == (size), #type "." #member)

#ifdef __LP64__
LAYOUT(ipq_packet_msg_t, packet_id, 0, 8);
LAYOUT(ipq_packet_msg_t, mark, 8, 8);
LAYOUT(ipq_packet_msg_t, timestamp_sec, 16, 8);
LAYOUT(ipq_packet_msg_t, timestamp_usec, 24, 8);
LAYOUT(ipq_packet_msg_t, hook, 32, 4);
LAYOUT(ipq_packet_msg_t, indev_name, 36, 16);
LAYOUT(ipq_packet_msg_t, outdev_name, 52, 16);
LAYOUT(ipq_packet_msg_t, hw_protocol, 68, 2);
LAYOUT(ipq_packet_msg_t, hw_type, 70, 2);
LAYOUT(ipq_packet_msg_t, hw_addrlen, 72, 1);
LAYOUT(ipq_packet_msg_t, hw_addr, 73, 8);
LAYOUT(ipq_packet_msg_t, data_len, 88, 8);
LAYOUT(ipq_packet_msg_t, payload, 96, 0);
_Static_assert(sizeof(ipq_packet_msg_t) == 96, "ipq_packet_msg_t");
LAYOUT(ipq_mode_msg_t, value, 0, 1);
LAYOUT(ipq_mode_msg_t, range, 8, 8);
_Static_assert(sizeof(ipq_mode_msg_t) == 16, "ipq_mode_msg_t");
LAYOUT(ipq_verdict_msg_t, value, 0, 4);
LAYOUT(ipq_verdict_msg_t, id, 8, 8);
LAYOUT(ipq_verdict_msg_t, data_len, 16, 8);
LAYOUT(ipq_verdict_msg_t, payload, 24, 0);
_Static_assert(sizeof(ipq_verdict_msg_t) == 24, "ipq_verdict_msg_t");
LAYOUT(ipq_peer_msg_t, msg.verdict, 0, 24);
LAYOUT(ipq_peer_msg_t, msg.mode, 0, 16);
_Static_assert(sizeof(ipq_peer_msg_t) == 24, "ipq_peer_msg_t");
_Static_assert(sizeof(ipq_id_t) == 8 && (ipq_id_t)-1 > 0, "ipq_id_t");
#endif
LAYOUT(struct ipq_handle, fd, 0, sizeof(int));
LAYOUT(struct ipq_handle, blocking, 4, 1);
LAYOUT(struct ipq_handle, local, 8, 12);
LAYOUT(struct ipq_handle, peer, 20, 12);
_Static_assert(sizeof(struct ipq_handle) == 32, "struct ipq_handle");

/* also for the preprocessor, as in the headers of old */
#if IPQM_BASE != 0x10 || IPQM_MODE != 0x11 || IPQM_VERDICT != 0x12 || IPQM_PACKET != 0x13 || IPQM_MAX != 0x14
#error "message types"
#endif
_Static_assert(IPQ_COPY_NONE == 0 && IPQ_COPY_META == 1 && IPQ_COPY_PACKET == 2 && IPQ_COPY_MAX == 2, "modes");
_Static_assert(NLMSG_ERROR == 2 && NETLINK_IP6_FW == 13 && NETLINK_FIREWALL == 3 && MSG_TRUNC == 0x20, "netlink");

/* the prototypes of the original */
static struct ipq_handle *(*const create_handle)(uint32_t, uint32_t) = ipq_create_handle;
static int (*const destroy_handle)(struct ipq_handle *) = ipq_destroy_handle;
static ssize_t (*const read_message)(const struct ipq_handle *, unsigned char *, size_t, int) = ipq_read;
static int (*const set_mode)(const struct ipq_handle *, uint8_t, size_t) = ipq_set_mode;
static ipq_packet_msg_t *(*const get_packet)(const unsigned char *) = ipq_get_packet;
static int (*const message_type)(const unsigned char *) = ipq_message_type;
static int (*const get_msgerr)(const unsigned char *) = ipq_get_msgerr;
static int (*const set_verdict)(const struct ipq_handle *, ipq_id_t, unsigned int, size_t, unsigned char *) = ipq_set_verdict;
static int (*const ctl)(const struct ipq_handle *, int, ...) = ipq_ctl;
static char *(*const errstr)(void) = ipq_errstr;
static void (*const print_last)(const char *) = ipq_perror;

/* not in the header, and exported all the same */
struct ipq_errmap_t {
	int errcode;
	char *message;
};
extern struct ipq_errmap_t ipq_errmap[];

static const char *const SENTENCES[] = {
	"Unknown error",
	"Implementation error",
	"Unable to create netlink handle",
	"Unable to create netlink socket",
	"Unable to bind netlink socket",
	"Unable to allocate buffer",
	"Failed to receive netlink message",
	"Received EOF on netlink socket",
	"Invalid peer address length",
	"Sent message truncated",
	"Received message truncated",
	"Received error from netlink",
	"Failed to send netlink message",
	"Operation not supported",
	"Receive buffer size invalid",
	"Timeout",
	"Invalid protocol specified",
};

static void errors_have_their_sentences(void **state)
{
	(void)state;
	assert_int_equal(sizeof SENTENCES / sizeof *SENTENCES, 17);
	for (int i = 0; i < 17; i++) {
		assert_int_equal(ipq_errmap[i].errcode, i);
		assert_string_equal(ipq_errmap[i].message, SENTENCES[i]);
	}
}

static struct ipq_handle *open_handle(void)
{
	struct ipq_handle *handle = create_handle(0, PF_INET);

	assert_non_null(handle);
	return handle;
}

/* Whatever is done with its descriptor fails from now on. */
static void break_handle(struct ipq_handle *handle)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	assert_int_equal(dup2(null, handle->fd), handle->fd);
	close(null);
}

static void a_new_handle_is_a_netlink_socket(void **state)
{
	struct ipq_handle *handle = create_handle(0xffffffff, PF_INET6); /* flags mean nothing */
	struct sockaddr_nl name;
	socklen_t size = sizeof name;
	int before = 0, bytes = 300000;

	(void)state;
	assert_non_null(handle);
	assert_int_equal(getsockname(handle->fd, (struct sockaddr *)&name, &size), 0);
	assert_int_equal(size, sizeof name);
	assert_int_equal(name.nl_family, AF_NETLINK);
	assert_int_equal(handle->blocking, 0);
	assert_int_equal(handle->local.nl_family, AF_NETLINK);
	assert_int_equal(handle->local.nl_pid, name.nl_pid);
	assert_int_equal(handle->local.nl_groups, 0);
	assert_int_equal(handle->peer.nl_family, AF_NETLINK);
	assert_int_equal(handle->peer.nl_pid, 0);
	assert_int_equal(fcntl(handle->fd, F_GETFL) & O_NONBLOCK, 0);
	assert_int_equal(fcntl(handle->fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);

	size = sizeof before;
	assert_int_equal(setsockopt(handle->fd, SOL_SOCKET, SO_RCVBUF, &(int){100000}, sizeof bytes), 0);
	assert_int_equal(getsockopt(handle->fd, SOL_SOCKET, SO_RCVBUF, &before, &size), 0);
	assert_int_equal(before, 200000);
	assert_int_equal(destroy_handle(handle), 0);
	assert_int_equal(destroy_handle(NULL), 0);
}

static void failures_are_told_in_its_words(void **state)
{
	struct ipq_handle *handle = open_handle();
	unsigned char buf[64];

	(void)state;
	for (uint32_t protocol = 0; protocol < 20; protocol++) {
		if (protocol == PF_INET || protocol == PF_INET6)
			continue;
		assert_null(create_handle(0, protocol));
		assert_string_equal(errstr(), "Invalid protocol specified");
	}
	assert_int_equal(read_message(handle, buf, sizeof buf, -1), 0);
	assert_string_equal(errstr(), "Timeout");
	for (size_t size = 0; size < 20; size++) {
		assert_int_equal(read_message(handle, buf, size, -1), -1);
		assert_string_equal(errstr(), "Receive buffer size invalid");
	}
	assert_int_equal(read_message(handle, buf, 20, -1), 0);
	assert_int_equal(read_message(handle, buf, 20, 1), 0);
	assert_string_equal(errstr(), "Timeout");

	break_handle(handle);
	errno = 0;
	assert_int_equal(set_mode(handle, IPQ_COPY_META, 0), -1);
	assert_string_equal(errstr(), "Failed to send netlink message");
	assert_int_equal(errno, ENOTSOCK);
	assert_int_equal(read_message(handle, buf, sizeof buf, 0), -1);
	assert_string_equal(errstr(), "Failed to receive netlink message");
	assert_int_equal(set_verdict(handle, 1, NF_ACCEPT, 0, NULL), -1);
	assert_string_equal(errstr(), "Failed to send netlink message");
	assert_int_equal(ipq_set_vwmark(handle, 1, NF_ACCEPT, 1), -1);
	destroy_handle(handle);
}

/* The environment names a queue, or nothing that is one. */
static void a_queue_that_is_none_is_refused(void **state)
{
	static const char *const bad[] = {"65536", "-1", "x", "1x", " 1", "99999999999999999999", "0x1", "+1"};
	static const char *const good[] = {"", "0", "1", "65535", "007"};

	(void)state;
	for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct ipq_handle *other;

		setenv("LIBIPQ_QUEUE", bad[i], 1);
		errno = 0;
		assert_null(create_handle(0, PF_INET));
		assert_string_equal(errstr(), "Unable to create netlink handle");
		assert_int_equal(errno, EINVAL);
		other = create_handle(0, PF_INET6); /* has a variable of its own */
		assert_non_null(other);
		destroy_handle(other);
	}
	for (unsigned i = 0; i < sizeof good / sizeof *good; i++) {
		struct ipq_stats stats;
		struct ipq_handle *handle;

		setenv("LIBIPQ_QUEUE", good[i], 1);
		handle = open_handle();
		assert_int_equal(ctl(handle, IPQ_CTL_GET_STATS, &stats), 1);
		assert_int_equal(stats.queue, atoi(good[i]));
		destroy_handle(handle);
	}
	unsetenv("LIBIPQ_QUEUE");
}

/* No queue is bound here: the kernel refuses all of it, which is told elsewhere. */
static void calls_return_the_old_sizes(void **state)
{
	struct ipq_handle *handle = open_handle();
	static unsigned char data[70000];

	(void)state;
	assert_int_equal(set_mode(handle, 77, 0), 56);
	assert_int_equal(set_verdict(handle, 1, NF_ACCEPT, 0, NULL), 40);
	assert_int_equal(set_verdict(handle, 1, NF_ACCEPT, 0, data), 40);
	assert_int_equal(set_verdict(handle, 1, NF_ACCEPT, 100, NULL), 40);
	assert_int_equal(set_verdict(handle, 1, NF_ACCEPT, 1, data), 41);
	assert_int_equal(set_verdict(handle, 1, NF_ACCEPT, 19, data), 59);
	assert_int_equal(set_verdict(handle, 1, NF_ACCEPT, 100, data), 140);
	assert_int_equal(set_verdict(handle, 1, NF_ACCEPT, 65531, data), 65571);
	assert_int_equal(set_verdict(handle, 1, NF_ACCEPT, sizeof data, data), 40 + (int)sizeof data);
	assert_true(ipq_set_vwmark(handle, 1, NF_ACCEPT, 5) > 0);
	for (int request = -3; request < 100; request++)
		assert_int_equal(ctl(handle, request), 1);
	assert_int_equal(ctl(NULL, 7, "anything"), 1);
	destroy_handle(handle);
}

static void requests_of_our_own_are_checked(void **state)
{
	struct ipq_handle *handle = open_handle();
	struct ipq_stats stats;

	(void)state;
	assert_int_equal(ctl(handle, IPQ_CTL_GET_STATS, NULL), -1);
	assert_string_equal(errstr(), "Operation not supported");
	assert_int_equal(errno, EINVAL);
	assert_int_equal(ctl(handle, IPQ_CTL_SET_MAXLEN, 0u), -1);
	assert_int_equal(ctl(handle, IPQ_CTL_SET_TRUNCATED, NF_QUEUE), -1);
	assert_int_equal(ctl(handle, IPQ_CTL_SET_TRUNCATED, -2), -1);
	assert_int_equal(ctl(handle, IPQ_CTL_SET_TRUNCATED, NF_ACCEPT), 1);
	assert_int_equal(ctl(handle, IPQ_CTL_SET_CHECKSUMS, 1), 1);
	assert_int_equal(ctl(handle, IPQ_CTL_SET_CHECKSUMS, 0), 1);
	assert_int_equal(ctl(handle, IPQ_CTL_SET_MAXLEN, 5u), 1);
	assert_int_equal(ctl(handle, IPQ_CTL_SET_GSO, 1), 1);
	memset(&stats, 0xee, sizeof stats);
	assert_int_equal(ctl(handle, IPQ_CTL_GET_STATS, &stats), 1);
	assert_int_equal(stats.read + stats.lost_buffer + stats.lost_queue + stats.truncated + stats.other_family + stats.waiting, 0);
	destroy_handle(handle);
}

/* What ipq_perror() prints, exactly. */
static void expect_print(const char *expected, const char *s, int error)
{
	char text[256];
	ssize_t length;
	int ends[2], saved = dup(STDERR_FILENO);

	assert_int_equal(pipe(ends), 0);
	fflush(stderr);
	dup2(ends[1], STDERR_FILENO);
	errno = error;
	print_last(s);
	assert_int_equal(errno, error);
	fflush(stderr);
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(ends[1]);
	length = read(ends[0], text, sizeof text - 1);
	close(ends[0]);
	assert_true(length > 0);
	text[length] = '\0';
	assert_string_equal(text, expected);
}

static void *print_in_a_new_thread(void *unused)
{
	assert_string_equal(errstr(), "Unknown error");
	expect_print("me\n", "me", 0);
	expect_print("ERROR\n", NULL, 0);
	expect_print("me: Connection refused\n", "me", ECONNREFUSED);
	assert_null(create_handle(0, 1));
	expect_print("me: Invalid protocol specified\n", "me", 0);
	expect_print("ERROR: Invalid protocol specified\n", NULL, 0);
	expect_print("me: Invalid protocol specified: Connection refused\n", "me", ECONNREFUSED);
	expect_print(": Invalid protocol specified\n", "", 0);
	expect_print("100%s: Invalid protocol specified\n", "100%s", 0);
	return unused;
}

static void prints_errors_as_ever(void **state)
{
	struct ipq_handle *handle = open_handle();
	unsigned char buf[64];
	pthread_t thread;

	(void)state;
	assert_int_equal(read_message(handle, buf, 19, -1), -1);
	assert_int_equal(pthread_create(&thread, NULL, print_in_a_new_thread, NULL), 0);
	pthread_join(thread, NULL);
	assert_string_equal(errstr(), "Receive buffer size invalid"); /* another thread's error is not ours */
	expect_print("me: Receive buffer size invalid\n", "me", 0);

	destroy_handle(handle); /* success leaves it as it is */
	handle = open_handle();
	assert_string_equal(errstr(), "Receive buffer size invalid");
	destroy_handle(handle);
}

/* Programs read into char arrays, wherever those lie. */
static void accessors_read_any_address(void **state)
{
	struct {
		struct nlmsghdr netlink;
		struct nlmsgerr error;
	} message = {.netlink = {.nlmsg_len = sizeof message, .nlmsg_type = NLMSG_ERROR}, .error = {.error = -EBUSY}};
	unsigned char room[sizeof message + 8];

	(void)state;
	for (unsigned at = 0; at < 8; at++) {
		memcpy(room + at, &message, sizeof message);
		assert_int_equal(message_type(room + at), NLMSG_ERROR);
		assert_int_equal(get_msgerr(room + at), EBUSY);
		assert_ptr_equal(get_packet(room + at), room + at + 16);
	}
	message.error.error = 0;
	message.netlink.nlmsg_type = 0xffff;
	assert_int_equal(get_msgerr((unsigned char *)&message), 0);
	assert_int_equal(message_type((unsigned char *)&message), 0xffff);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(errors_have_their_sentences),
		cmocka_unit_test(a_new_handle_is_a_netlink_socket),
		cmocka_unit_test(failures_are_told_in_its_words),
		cmocka_unit_test(a_queue_that_is_none_is_refused),
		cmocka_unit_test(calls_return_the_old_sizes),
		cmocka_unit_test(requests_of_our_own_are_checked),
		cmocka_unit_test(prints_errors_as_ever),
		cmocka_unit_test(accessors_read_any_address),
	};

	return cmocka_run_group_tests_name("ipq_layout", tests, NULL, NULL);
}
