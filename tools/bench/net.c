/* SPDX-License-Identifier: MIT */
/*
 * verdict bench: two network namespaces without a name, and a wire between them.
 *
 *	near, where packets are sent		far, where they arrive
 *	out 10.99.0.1 ───────────────────────── in 10.99.0.2
 *	OUTPUT: -j NFQUEUE
 *
 * They exist as descriptors of this process, and are gone with it, however it ends. Neighbours are written down: no packet
 * waits for ARP.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/nfq/nfq.h"
#include "tools/bench/bench.h"

#define MESSAGE_SIZE 4096u
#define PREFIX 24u
#define DEVICE_TRIES 2500 /* of 2 ms */

static const uint8_t near_mac[6] = {2, 0, 0, 0, 99, 1};
static const uint8_t far_mac[6] = {2, 0, 0, 0, 99, 2};

static int open_own_namespace(void)
{
	return open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
}

/* No chatter of IPv6 on the wire; no error where there is no IPv6. */
static void silence_ipv6(void)
{
	int descriptor = open("/proc/sys/net/ipv6/conf/default/disable_ipv6", O_WRONLY | O_CLOEXEC);

	if (descriptor < 0)
		return;
	(void)!write(descriptor, "1", 1);
	close(descriptor);
}

/* A fresh namespace, in which the caller is then. */
static int make_namespace(void)
{
	if (unshare(CLONE_NEWNET))
		return -1;
	silence_ipv6();
	return open_own_namespace();
}

/* ---- rtnetlink ---- */

static struct nlmsghdr *begin(char *buffer, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);

	message->nlmsg_type = type;
	message->nlmsg_flags = NLM_F_REQUEST | flags;
	message->nlmsg_seq = 1;
	return message;
}

static struct nlmsghdr *begin_link(char *buffer, uint16_t type, uint16_t flags, const char *device)
{
	struct nlmsghdr *message = begin(buffer, type, flags);

	mnl_nlmsg_put_extra_header(message, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(message, IFLA_IFNAME, device);
	return message;
}

/* Sends it in the caller's namespace; the first answer comes to `call`. -errno. */
static int ask(const struct nlmsghdr *message, mnl_cb_t call, void *argument)
{
	struct mnl_socket *socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	char buffer[16384];
	ssize_t got;
	int result = 0;

	if (!socket)
		return -errno;
	if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    mnl_socket_sendto(socket, message, message->nlmsg_len) < 0 ||
	    (got = mnl_socket_recvfrom(socket, buffer, sizeof buffer)) < 0 ||
	    mnl_cb_run(buffer, (size_t)got, message->nlmsg_seq, mnl_socket_get_portid(socket), call, argument) < 0)
		result = -errno;
	mnl_socket_close(socket);
	return result;
}

/* `out` here, `in` in the namespace `far`. */
static int lay_wire(int far)
{
	char buffer[MESSAGE_SIZE];
	struct nlmsghdr *message = begin_link(buffer, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK, "out");
	struct nlattr *info, *data, *peer;

	mnl_attr_put(message, IFLA_ADDRESS, sizeof near_mac, near_mac);
	info = mnl_attr_nest_start(message, IFLA_LINKINFO);
	mnl_attr_put_strz(message, IFLA_INFO_KIND, "veth");
	data = mnl_attr_nest_start(message, IFLA_INFO_DATA);
	peer = mnl_attr_nest_start(message, VETH_INFO_PEER);
	mnl_nlmsg_put_extra_header(message, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(message, IFLA_IFNAME, "in");
	mnl_attr_put(message, IFLA_ADDRESS, sizeof far_mac, far_mac);
	mnl_attr_put_u32(message, IFLA_NET_NS_FD, (uint32_t)far);
	mnl_attr_nest_end(message, peer);
	mnl_attr_nest_end(message, data);
	mnl_attr_nest_end(message, info);
	return ask(message, NULL, NULL);
}

struct device {
	unsigned index;
	bool sends; /* the kernel has noticed that the other end is up, and no longer throws away what is sent */
};

static int read_device(const struct nlmsghdr *message, void *argument)
{
	const struct ifinfomsg *info = mnl_nlmsg_get_payload(message);
	struct device *device = argument;
	const struct nlattr *attribute;
	bool is_up = false, has_queue = false;

	device->index = (unsigned)info->ifi_index;
	mnl_attr_for_each(attribute, message, sizeof *info) {
		if (mnl_attr_get_type(attribute) == IFLA_OPERSTATE)
			is_up = mnl_attr_get_u8(attribute) == IF_OPER_UP;
		if (mnl_attr_get_type(attribute) == IFLA_QDISC)
			has_queue = strcmp(mnl_attr_get_str(attribute), "noop");
	}
	device->sends = is_up && has_queue;
	return MNL_CB_STOP;
}

static int look_at(const char *name, struct device *device)
{
	char buffer[MESSAGE_SIZE];

	return ask(begin_link(buffer, RTM_GETLINK, 0, name), read_device, device);
}

static int set_up(const char *name)
{
	char buffer[MESSAGE_SIZE];
	struct nlmsghdr *message = begin_link(buffer, RTM_NEWLINK, NLM_F_ACK, name);
	struct ifinfomsg *info = mnl_nlmsg_get_payload(message);

	info->ifi_flags = IFF_UP;
	info->ifi_change = IFF_UP;
	return ask(message, NULL, NULL);
}

static int add_address(unsigned index, uint32_t address)
{
	char buffer[MESSAGE_SIZE];
	struct nlmsghdr *message = begin(buffer, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK);
	struct ifaddrmsg *header = mnl_nlmsg_put_extra_header(message, sizeof *header);

	*header = (struct ifaddrmsg){.ifa_family = AF_INET, .ifa_prefixlen = PREFIX, .ifa_index = index};
	mnl_attr_put_u32(message, IFA_LOCAL, htonl(address));
	mnl_attr_put_u32(message, IFA_ADDRESS, htonl(address));
	return ask(message, NULL, NULL);
}

static int add_neighbour(unsigned index, uint32_t address, const uint8_t *mac)
{
	char buffer[MESSAGE_SIZE];
	struct nlmsghdr *message = begin(buffer, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE | NLM_F_ACK);
	struct ndmsg *header = mnl_nlmsg_put_extra_header(message, sizeof *header);

	*header = (struct ndmsg){.ndm_family = AF_INET, .ndm_ifindex = (int)index, .ndm_state = NUD_PERMANENT};
	mnl_attr_put_u32(message, NDA_DST, htonl(address));
	mnl_attr_put(message, NDA_LLADDR, 6, mac);
	return ask(message, NULL, NULL);
}

/* The end of the wire that is in the caller's namespace. */
static int set_up_end(const char *name, uint32_t address, uint32_t neighbour, const uint8_t *mac)
{
	struct device device = {0};
	int result = set_up(name);

	if (!result)
		result = look_at(name, &device);
	if (!result)
		result = add_address(device.index, address);
	return result ? result : add_neighbour(device.index, neighbour, mac);
}

static int await_sending(const char *name)
{
	const struct timespec pause = {.tv_nsec = 2000000};
	struct device device = {0};

	for (int i = 0; i < DEVICE_TRIES; i++) {
		int result = look_at(name, &device);

		if (result || device.sends)
			return result;
		nanosleep(&pause, NULL);
	}
	return -ETIMEDOUT;
}

static int make_wire(struct bench *bench)
{
	int result;

	if ((result = lay_wire(bench->far)) ||
	    (result = set_up_end("out", BENCH_NEAR_ADDRESS, BENCH_FAR_ADDRESS, far_mac)))
		return result;
	if (setns(bench->far, CLONE_NEWNET))
		return -errno;
	result = set_up_end("in", BENCH_FAR_ADDRESS, BENCH_NEAR_ADDRESS, near_mac);
	if (setns(bench->near, CLONE_NEWNET))
		return -errno;
	return result ? result : await_sending("out");
}

int bench_net_make(struct bench *bench)
{
	int home = open_own_namespace(), result;

	if (home < 0)
		return bench_fail(bench, "the own network namespace cannot be read: is /proc mounted?");
	bench->far = make_namespace();
	if (bench->far >= 0)
		bench->near = make_namespace();
	if (bench->far < 0 || bench->near < 0) {
		close(home);
		return bench_fail(bench, "no network namespace can be made (%s): bench needs root, outside of a "
				  "container that forbids it", strerror(errno));
	}
	result = make_wire(bench);
	bench->status = vd_nfq_status_open();
	if (setns(home, CLONE_NEWNET))
		result = -errno;
	close(home);
	if (result)
		return bench_fail(bench, "the network namespaces cannot be connected with a veth pair: %s",
				  strerror(-result));
	if (bench->status < 0)
		return bench_fail(bench, "this kernel has no nfnetlink_queue: load the module, or build it with "
				  "CONFIG_NETFILTER_NETLINK_QUEUE");
	return 0;
}

/* ---- the rule ---- */

static int run_iptables(struct bench *bench, const char *program, bool wanted)
{
	static char port[16], queue[16];
	const char *add[] = {program, "-w", "-A", "OUTPUT", "-p", "udp", "--dport", port, "-j", "NFQUEUE",
			     "--queue-num", queue, NULL};
	const char *flush[] = {program, "-w", "-F", "OUTPUT", NULL};
	int status = -1;
	pid_t pid;

	snprintf(port, sizeof port, "%u", BENCH_PORT);
	snprintf(queue, sizeof queue, "%u", BENCH_QUEUE);
	pid = fork();
	if (!pid) {
		int nowhere = open("/dev/null", O_RDWR);

		dup2(nowhere, STDIN_FILENO);
		dup2(nowhere, STDOUT_FILENO);
		dup2(nowhere, STDERR_FILENO);
		if (!setns(bench->near, CLONE_NEWNET))
			execvp(program, (char *const *)(wanted ? add : flush));
		_exit(127);
	}
	if (pid > 0)
		waitpid(pid, &status, 0);
	return status;
}

int bench_net_set_rule(struct bench *bench, bool wanted)
{
	/* nft's own queue statement is missing in more kernels than the target of iptables */
	static const char *const programs[] = {"iptables-legacy", "iptables"};

	if (bench->has_rule == wanted)
		return 0;
	for (unsigned i = 0; i < sizeof programs / sizeof *programs; i++)
		if (!run_iptables(bench, programs[i], wanted)) {
			bench->has_rule = wanted;
			return 0;
		}
	return bench_fail(bench, "no rule can be set: neither iptables-legacy nor iptables takes `-j NFQUEUE` here");
}
