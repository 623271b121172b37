/* SPDX-License-Identifier: MIT */
/*
 * verdict doctor: what it says could be faster, and above all when it says nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tools/doctor/findings.c"
#include "tools/doctor/levers.c"
#include "tools/doctor/rules.c"

#define PACKETS (BUSY_PACKETS + 1)

static struct doctor_queue queues[3];
static struct doctor_device devices[2];

/* Queues 0 and 1, copied from whole, read by somebody else's program, and busy; a router with two devices. */
static struct doctor_view busy_view(const char *iptables)
{
	struct doctor_view view = {
		.kernel = {.queues = DOCTOR_READABLE, .has_cap_net_admin = true, .may_ask = true},
		.queues = {.queue = queues, .count = 2},
		.sources = {.source = {{.name = "iptables-save", .state = DOCTOR_READ}}, .count = 1},
		.devices = {.device = devices, .count = 2, .receiving_cpus = 2},
		.cpus = 4,
	};

	for (unsigned i = 0; i < 3; i++)
		queues[i] = (struct doctor_queue){.status = {.queue = (uint16_t)i, .copy_mode = NFQNL_COPY_PACKET, .copy_range = 128,
							     .id_sequence = PACKETS},
						  .owner_count = 1, .owners = {{.pid = 1, .name = "other"}}};
	devices[0] = (struct doctor_device){.name = "left", .rx_queues = 4, .knows_rps = true, .rx_packets = PACKETS,
					    .udp_gro_forwarding = DOCTOR_ON};
	devices[1] = (struct doctor_device){.name = "right", .rx_queues = 1, .knows_rps = true, .rx_packets = PACKETS - 1,
					    .udp_gro_forwarding = DOCTOR_OFF};
	assert_int_equal(doctor_rules_parse_iptables(&view.rules, DOCTOR_LEGACY, "ip", iptables), 0);
	return view;
}

/* What `judge` says of it: one finding of that level that has the part in it, or with NULL none at all. */
static void assert_says(int (*judge)(struct doctor_findings *, const struct doctor_view *), const struct doctor_view *view,
			enum doctor_level level, const char *part)
{
	struct doctor_findings findings = {0};

	assert_int_equal(judge(&findings, view), 0);
	if (findings.count != (part != NULL))
		print_error("%u findings instead of %d: %s\n", findings.count, part != NULL, findings.count ? findings.finding[0].text : "");
	assert_int_equal(findings.count, part != NULL);
	assert_int_equal(findings.attention, 0);
	if (part) {
		assert_int_equal(findings.finding[0].level, level);
		if (!strstr(findings.finding[0].text, part))
			fail_msg("'%s' does not say '%s'", findings.finding[0].text, part);
	}
	doctor_findings_fini(&findings);
}

static const char plain_rules[] = "*mangle\n-A FORWARD -p icmp -j NFQUEUE --queue-balance 0:1 --queue-bypass --queue-cpu-fanout\n";

static void test_nothing(void **state)
{
	struct doctor_view view = busy_view(plain_rules);
	struct doctor_findings findings;

	(void)state;
	assert_int_equal(doctor_findings_make(&findings, &view), 0);
	assert_int_equal(findings.count, 0);
	doctor_findings_fini(&findings);
	doctor_rules_fini(&view.rules);
}

/* Hints do not change the exit status, which comes from `attention`. */
static void test_all_together(void **state)
{
	struct doctor_view view = busy_view("-A FORWARD -p tcp -j NFQUEUE --queue-balance 0:1 --queue-bypass\n"
					    "-A FORWARD -p tcp -j NFQUEUE --queue-balance 0:1 --queue-bypass\n"
					    "-A FORWARD -p udp -j NFQUEUE --queue-num 0 --queue-bypass\n"
					    "-A FORWARD -p udp -j NFQUEUE --queue-num 1 --queue-bypass\n");
	struct doctor_findings findings;

	(void)state;
	queues[0].status.copy_range = queues[1].status.copy_range = WHOLE_PACKETS;
	queues[0].status.waiting = queues[1].status.waiting = LONG_QUEUE;
	devices[0] = devices[1];
	view.devices.is_forwarding = true;
	view.devices.tracked_connections = 3;
	assert_int_equal(doctor_findings_make(&findings, &view), 0);
	assert_int_equal(findings.count, 6); /* one of each kind; that for RPS needs losses, which need attention */
	assert_int_equal(findings.attention, 0);
	doctor_findings_fini(&findings);
	doctor_rules_fini(&view.rules);
}

static void test_length(void **state)
{
	struct doctor_view view = busy_view(plain_rules);

	(void)state;
	queues[1].status.waiting = LONG_QUEUE - 1;
	assert_says(judge_length, &view, DOCTOR_HINT, NULL);
	queues[1].status.waiting = LONG_QUEUE;
	assert_says(judge_length, &view, DOCTOR_HINT, "queue 1: 8192 packets wait");
	queues[1].is_stuck = true; /* that is said already, and is another matter */
	assert_says(judge_length, &view, DOCTOR_HINT, NULL);
	doctor_rules_fini(&view.rules);
}

static void test_copies(void **state)
{
	struct doctor_view view = busy_view(plain_rules);

	(void)state;
	queues[1].status.copy_range = WHOLE_PACKETS;
	assert_says(judge_copies, &view, DOCTOR_HINT, "queue 1: whole packets");
	queues[1].status.id_sequence = BUSY_PACKETS - 1;
	assert_says(judge_copies, &view, DOCTOR_HINT, NULL);
	queues[1].status.id_sequence = BUSY_PACKETS;
	strcpy(queues[1].owners[0].name, "verdict");
	assert_says(judge_copies, &view, DOCTOR_HINT, NULL);
	queues[1].owner_count = 0; /* nobody can be seen */
	assert_says(judge_copies, &view, DOCTOR_HINT, "queue 1");
	queues[1].status.copy_mode = NFQNL_COPY_META;
	assert_says(judge_copies, &view, DOCTOR_HINT, NULL);
	doctor_rules_fini(&view.rules);
}

static void test_fanout(void **state)
{
	struct doctor_view view = busy_view("-A INPUT -j NFQUEUE --queue-num 0\n-A INPUT -j NFQUEUE --queue-balance 0:1\n");

	(void)state;
	assert_says(judge_fanout, &view, DOCTOR_HINT, "queues 0-1: the rule in ip ? INPUT chooses one by address, and packets arrive on 2 CPUs");
	view.devices.receiving_cpus = 1;
	assert_says(judge_fanout, &view, DOCTOR_HINT, NULL);
	view.devices.receiving_cpus = 2;
	queues[0].status.id_sequence = BUSY_PACKETS - 2; /* with the other one it is enough */
	queues[1].status.id_sequence = 2;
	assert_says(judge_fanout, &view, DOCTOR_HINT, "queues 0-1");
	queues[1].status.id_sequence = 1;
	assert_says(judge_fanout, &view, DOCTOR_HINT, NULL);
	doctor_rules_fini(&view.rules);

	view = busy_view("");
	assert_int_equal(doctor_rules_parse_nft(&view.rules, "table ip t {\n\tchain c {\n\t\tqueue to symhash mod 2\n\t\tqueue flags fanout to 0-1\n"), 0);
	assert_says(judge_fanout, &view, DOCTOR_HINT, NULL);
	assert_int_equal(doctor_rules_parse_nft(&view.rules, "table ip t {\n\tchain c {\n\t\tqueue to 0-1\n"), 0);
	assert_says(judge_fanout, &view, DOCTOR_HINT, "with `queue flags fanout to` each");
	doctor_rules_fini(&view.rules);
}

/* What judge_flows() says of the rules in iptables' words. */
static void assert_flows(const char *iptables, const char *part)
{
	struct doctor_view view = busy_view(iptables);

	assert_says(judge_flows, &view, DOCTOR_HINT, part);
	doctor_rules_fini(&view.rules);
}

static void test_flows(void **state)
{
	struct doctor_view view;

	(void)state;
	assert_flows("-A INPUT -p tcp -j NFQUEUE --queue-num 1\n", "the rule in ip ? INPUT queues every packet of a TCP connection");
	assert_flows("-A INPUT -p tcp -j NFQUEUE --queue-num 2\n", NULL); /* nobody reads it */
	assert_flows("-A INPUT -p udp -m comment --comment \"no tcp\" -j NFQUEUE --queue-num 1\n", NULL);
	assert_flows("-A INPUT -p tcp --syn -j NFQUEUE --queue-num 1\n", NULL);
	assert_flows("-A INPUT -p tcp -m conntrack --ctstate NEW -j NFQUEUE --queue-num 1\n", NULL);
	assert_flows("-A INPUT -m connmark --mark 0x1 -j ACCEPT\n-A INPUT -p tcp -j NFQUEUE --queue-num 1\n", NULL);
	assert_flows("-A INPUT -p tcp -j NFQUEUE --queue-num 1\n-A X -j CONNMARK --restore-mark\n", NULL);

	view = busy_view("");
	assert_int_equal(doctor_rules_parse_nft(&view.rules, "table ip t {\n\tchain c {\n\t\tmeta l4proto { tcp, udp } mark 1 queue to 1\n"), 0);
	assert_says(judge_flows, &view, DOCTOR_HINT, "the rule in ip t c");
	assert_true(view.rules.rule[0].is_udp);
	assert_int_equal(doctor_rules_parse_nft(&view.rules, "table ip t {\n\tchain c {\n\t\tct mark & 0x1 == 0x1 accept\n"), 0);
	assert_says(judge_flows, &view, DOCTOR_HINT, NULL);
	doctor_rules_fini(&view.rules);
}

static void assert_tracking(const char *iptables, uint64_t tracked, const char *part)
{
	struct doctor_view view = busy_view(iptables);

	view.devices.tracked_connections = tracked;
	assert_says(judge_tracking, &view, DOCTOR_NOTE, part);
	doctor_rules_fini(&view.rules);
}

static void test_tracking(void **state)
{
	(void)state;
	assert_tracking(plain_rules, 7, "connections are tracked (7 now), those of the rule in ip mangle FORWARD as well");
	assert_tracking(plain_rules, 0, NULL);
	assert_tracking("-A FORWARD -j NFQUEUE --queue-num 2\n", 7, NULL);
	assert_tracking("-A FORWARD -j NFQUEUE --queue-num 0\n-A PREROUTING -p udp -j CT --notrack\n", 7, NULL);
	assert_tracking("-A FORWARD -j NFQUEUE --queue-num 0\n-A POSTROUTING -j MASQUERADE\n", 7, NULL);
	assert_tracking("-A FORWARD -j NFQUEUE --queue-num 0\n-A POSTROUTING -m connmark --mark 1 -j ACCEPT\n", 7, NULL);
}

static void test_spreading(void **state)
{
	struct doctor_view view = busy_view(plain_rules);

	(void)state;
	queues[0].status.queue_dropped = 1;
	assert_says(judge_spreading, &view, DOCTOR_HINT, NULL); /* the busiest device has four receive queues */
	devices[1].rx_packets = PACKETS + 1;
	assert_says(judge_spreading, &view, DOCTOR_HINT, "right has one receive queue");
	devices[1].has_rps = true;
	assert_says(judge_spreading, &view, DOCTOR_HINT, NULL);
	devices[1].has_rps = false;
	devices[1].knows_rps = false;
	assert_says(judge_spreading, &view, DOCTOR_HINT, NULL);
	devices[1].knows_rps = true;
	view.cpus = 1;
	assert_says(judge_spreading, &view, DOCTOR_HINT, NULL);
	view.cpus = 2;
	queues[0].status.queue_dropped = 0;
	assert_says(judge_spreading, &view, DOCTOR_HINT, NULL);
	queues[1].status.user_dropped = 1;
	assert_says(judge_spreading, &view, DOCTOR_HINT, "/sys/class/net/right/queues/rx-0/rps_cpus");
	view.devices.count = 0;
	assert_says(judge_spreading, &view, DOCTOR_HINT, NULL);
	doctor_rules_fini(&view.rules);
}

static void test_joining(void **state)
{
	struct doctor_view view = busy_view("-A INPUT -p udp -j NFQUEUE --queue-num 0\n-A FORWARD -p udp -j NFQUEUE --queue-num 1\n");

	(void)state;
	view.devices.is_forwarding = true;
	assert_says(judge_joining, &view, DOCTOR_HINT, NULL); /* the busiest device does it */
	devices[0].udp_gro_forwarding = DOCTOR_OFF;
	assert_says(judge_joining, &view, DOCTOR_HINT, "ethtool -K left rx-udp-gro-forwarding on");
	assert_says(judge_joining, &view, DOCTOR_HINT, "the rule in ip ? FORWARD");
	view.devices.is_forwarding = false;
	assert_says(judge_joining, &view, DOCTOR_HINT, NULL);
	view.devices.is_forwarding = true;
	view.kernel.flags[DOCTOR_GSO] = -EOPNOTSUPP; /* they would be cut again */
	assert_says(judge_joining, &view, DOCTOR_HINT, NULL);
	view.kernel.flags[DOCTOR_GSO] = 0;
	queues[1].status.id_sequence = 0; /* what is left is for INPUT */
	assert_says(judge_joining, &view, DOCTOR_HINT, NULL);
	doctor_rules_fini(&view.rules);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_all_together),
		cmocka_unit_test(test_length),
		cmocka_unit_test(test_copies),
		cmocka_unit_test(test_fanout),
		cmocka_unit_test(test_flows),
		cmocka_unit_test(test_tracking),
		cmocka_unit_test(test_spreading),
		cmocka_unit_test(test_joining),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
