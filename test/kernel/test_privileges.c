/* SPDX-License-Identifier: MIT */
/*
 * What tools/privileges does to threads, as the kernel sees it: whom it lets talk to queues, and bind one, before and behind
 * the drop. What is given up does not come back, so each test is a process of its own, in a network namespace of its own.
 */
#include <cap-ng.h>
#include <errno.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/nfq/nfq.h"
#include "tools/privileges/privileges.h"

/* In a child, where an assertion of cmocka has nowhere to go. */
#define EXPECT(condition)                                                              \
	do {                                                                           \
		if (!(condition)) {                                                    \
			fprintf(stderr, "line %d: not so: %s\n", __LINE__, #condition); \
			_exit(1);                                                      \
		}                                                                      \
	} while (0)

#define NOBODY 65534u

static struct vd_settings settings; /* too large for the stack */
static struct vd_privileges privileges;
static struct vd_error error;
static struct vd_nfq nfq;

static void given(enum vd_key key, const char *text)
{
	EXPECT(!vd_setting_read(&settings.general[key], key, "--x", text, &(struct vd_origin){0}, &error));
}

static void say(void *unused, const char *line)
{
	(void)unused;
	fprintf(stderr, "%s\n", line);
}

/* Runs it as a process of its own. */
static void in_a_child(void (*test)(void))
{
	int status = -1;
	pid_t child;

	if (getuid())
		skip();
	fflush(NULL);
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		alarm(60); /* whatever hangs */
		EXPECT(!unshare(CLONE_NEWNET));
		EXPECT(!vd_nfq_open(&nfq, NULL));
		test();
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- what a thread has ---- */

static bool has(capng_type_t set, unsigned capability)
{
	EXPECT(!capng_get_caps_process());
	return capng_have_capability(set, capability);
}

static void expect_only_net_admin(capng_type_t set, bool has_it)
{
	for (unsigned capability = 0; capability <= CAP_LAST_CAP; capability++)
		EXPECT(has(set, capability) == (has_it && capability == CAP_NET_ADMIN));
}

static bool may_talk(void)
{
	int result = vd_nfq_probe_flag(&nfq, NFQA_CFG_F_FAIL_OPEN);

	EXPECT(!result || result == -EPERM);
	return !result;
}

/* As a reload does it. */
static int bind_another(unsigned queue)
{
	struct vd_nfq_settings wanted = {.queue = (uint16_t)queue, .maxlen = 16, .copy_range = 128};
	struct vd_nfq another;
	uint32_t granted;
	int result = vd_nfq_open(&another, NULL);

	EXPECT(!result);
	result = vd_nfq_bind(&another, &wanted, &granted);
	vd_nfq_close(&another);
	return result;
}

/* ---- both threads, as vd_daemon_run() has them ---- */

static void *engine_thread(void *expects_success)
{
	bool has_dropped = !vd_privileges_ready(&privileges);

	EXPECT(has_dropped == (expects_success != NULL));
	if (has_dropped && privileges.drops) {
		expect_only_net_admin(CAPNG_EFFECTIVE, true);
		expect_only_net_admin(CAPNG_PERMITTED, true);
		EXPECT(may_talk());
	}
	return NULL;
}

static void drop(bool expects_success)
{
	struct pollfd asked = {.events = POLLIN};
	pthread_t thread;

	EXPECT(!vd_privileges_init(&privileges, &settings, &error));
	EXPECT(!vd_privileges_check(&privileges, say, &error));
	asked.fd = privileges.asked;
	EXPECT(!pthread_create(&thread, NULL, engine_thread, expects_success ? &privileges : NULL));
	if (privileges.drops) {
		EXPECT(poll(&asked, 1, -1) == 1);
		vd_privileges_drop(&privileges);
	}
	EXPECT(!pthread_join(thread, NULL));
}

/* ---- tests ---- */

static void child_first_thread(void)
{
	given(VD_KEY_USER, "65534:65534");
	given(VD_KEY_SECCOMP, "no");
	EXPECT(may_talk());
	drop(true);
	expect_only_net_admin(CAPNG_PERMITTED, true);
	for (capng_type_t set = CAPNG_EFFECTIVE; set <= CAPNG_AMBIENT; set = (capng_type_t)(set << 1))
		if (set != CAPNG_PERMITTED)
			expect_only_net_admin(set, false);
	EXPECT(getuid() == NOBODY && geteuid() == NOBODY && getgid() == NOBODY && getegid() == NOBODY);
	EXPECT(setresuid(0, 0, 0) < 0 && errno == EPERM);
	EXPECT(setresgid(0, 0, 0) < 0 && errno == EPERM);
	EXPECT(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
	EXPECT(prctl(PR_GET_KEEPCAPS, 0, 0, 0, 0) == 0);
	EXPECT(!may_talk());
	EXPECT(bind_another(1) == -EPERM);
}

static void *raise_here(void *unused)
{
	EXPECT(!may_talk());
	vd_privileges_raise(&privileges);
	EXPECT(may_talk());
	EXPECT(!bind_another(2));
	vd_privileges_lower(&privileges);
	EXPECT(!may_talk());
	return unused;
}

static void child_raises(void)
{
	pthread_t thread;

	given(VD_KEY_USER, "65534:65534"); /* with the filter */
	drop(true);
	raise_here(NULL);
	raise_here(NULL);
	EXPECT(!pthread_create(&thread, NULL, raise_here, NULL)); /* which the first one has started behind the drop */
	EXPECT(!pthread_join(thread, NULL));
	vd_privileges_raise(&privileges);
	expect_only_net_admin(CAPNG_PERMITTED, true);
}

static void child_keeps_all(void)
{
	drop(true);
	EXPECT(!privileges.drops && may_talk());
	vd_privileges_lower(&privileges);
	EXPECT(may_talk() && !bind_another(1) && has(CAPNG_EFFECTIVE, CAP_NET_RAW));
}

/* Refused is not ended: what was asked for fails, and goes on failing, in all threads. */
static void child_is_filtered(void)
{
	given(VD_KEY_SECCOMP, "yes");
	drop(true);
	EXPECT(may_talk());
	for (unsigned times = 0; times < 3; times++)
		EXPECT(socket(AF_INET, SOCK_DGRAM, 0) < 0 && errno == EPERM);
	EXPECT(vd_privileges_say_refused(&privileges, say) == 1);
	EXPECT(unshare(CLONE_NEWNS) < 0 && errno == EPERM);
	EXPECT(unlink("/nonexistent") < 0 && errno == EPERM);
	EXPECT(vd_privileges_say_refused(&privileges, say) == 2);
	EXPECT(!bind_another(1));
}

static void child_allows(void)
{
	int descriptor;

	given(VD_KEY_SECCOMP, "yes");
	given(VD_KEY_SECCOMP_ALLOW, "read,socket,unlink,socketcall"); /* also one that is allowed, and one that is elsewhere */
	drop(true);
	descriptor = socket(AF_INET, SOCK_DGRAM, 0);
	EXPECT(descriptor >= 0 && !close(descriptor));
	EXPECT(unlink("/nonexistent") < 0 && errno == ENOENT);
	EXPECT(rename("/nonexistent", "/nonexistent2") < 0 && errno == EPERM);
}

static void *wait_for_ever(void *unused)
{
	for (;;)
		pause();
	return unused;
}

/* It has root's capabilities, and no change of user takes them. */
static void child_looks_at_all_threads(void)
{
	pthread_t thread;

	EXPECT(!pthread_create(&thread, NULL, wait_for_ever, NULL));
	given(VD_KEY_USER, "0:0");
	drop(false);
	EXPECT(strstr(privileges.error.text, "still has privileges"));
}

/* ---- a reload behind the drop ---- */

static bool is_bound(unsigned queue)
{
	struct vd_nfq_status status;

	return !vd_nfq_status_of(nfq.status_descriptor, (uint16_t)queue, &status);
}

static enum vd_verdict accept_it(struct vd_packet *packet, void *state)
{
	(void)packet;
	(void)state;
	return VD_ACCEPT;
}

static const struct vd_function pass = {
	.abi = VD_FUNCTION_ABI, .size = sizeof pass, .name = "pass", .summary = "accepts", .bytes = VD_HEADERS, .decide = accept_it,
};

static struct vd_engine *make_engine(unsigned queue, unsigned another)
{
	struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;
	struct vd_engine *engine;

	options.workers = 2;
	options.ready = vd_privileges_ready;
	options.ready_argument = &privileges;
	EXPECT(!vd_engine_create(&engine, &options, &error));
	EXPECT(!vd_engine_add_function(engine, &pass, "", &error));
	EXPECT(!vd_engine_add_queue(engine, queue, &error) && !vd_engine_add_queue(engine, another, &error));
	return engine;
}

static void *run_engine(void *engine)
{
	struct vd_error failure;

	EXPECT(!vd_engine_run(engine, &failure));
	return NULL;
}

/* -ECANCELED: its threads have not begun yet. */
static int reload(struct vd_engine *engine, unsigned queue, unsigned another)
{
	struct vd_engine *next = make_engine(queue, another);
	int result;

	while ((result = vd_engine_reload(engine, next, &error)) == -ECANCELED)
		poll(NULL, 0, 1);
	vd_engine_destroy(next);
	return result;
}

static void child_reloads(void)
{
	struct pollfd asked = {.events = POLLIN};
	struct vd_engine *engine;
	pthread_t thread;

	given(VD_KEY_USER, "65534:65534");
	EXPECT(!vd_privileges_init(&privileges, &settings, &error));
	engine = make_engine(1, 2);
	EXPECT(!pthread_create(&thread, NULL, run_engine, engine));
	asked.fd = privileges.asked;
	EXPECT(poll(&asked, 1, -1) == 1);
	vd_privileges_drop(&privileges);

	EXPECT(reload(engine, 2, 3) == -EPERM);
	EXPECT(is_bound(1) && is_bound(2) && !is_bound(3));
	vd_privileges_raise(&privileges);
	EXPECT(!reload(engine, 2, 3));
	EXPECT(!is_bound(1) && is_bound(2) && is_bound(3));
	vd_engine_stop(engine);
	vd_privileges_lower(&privileges);
	EXPECT(!pthread_join(thread, NULL));
	EXPECT(!is_bound(2) && !is_bound(3));
	vd_engine_destroy(engine);
	EXPECT(!vd_privileges_say_refused(&privileges, say)); /* no system call was */
}

#define TEST(name) \
	static void name(void **state) \
	{ \
		(void)state; \
		in_a_child(child_##name); \
	}
TEST(first_thread)
TEST(raises)
TEST(keeps_all)
TEST(is_filtered)
TEST(allows)
TEST(looks_at_all_threads)
TEST(reloads)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_thread),	 cmocka_unit_test(raises), cmocka_unit_test(keeps_all),
		cmocka_unit_test(is_filtered), cmocka_unit_test(allows), cmocka_unit_test(looks_at_all_threads),
		cmocka_unit_test(reloads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
