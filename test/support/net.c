/* SPDX-License-Identifier: MIT */
#include "net.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <linux/ethtool.h>
#include <linux/if_ether.h>
#include <linux/sockios.h>

/* What a command may print before the rest is cut off. */
#define OUTPUT_MAX 65536u

const struct vd_net_family vd_net_families[2] = {
	{AF_INET, VD_NET_NEAR_V4, VD_NET_FAR_V4, "iptables-legacy", 24, 20, ETH_P_IP, 4},
	{AF_INET6, VD_NET_NEAR_V6, VD_NET_FAR_V6, "ip6tables-legacy", 64, 40, ETH_P_IPV6, 6},
};

static int home = -1; /* where the program began */
static struct vd_net in_use; /* a copy: the test's own is gone when the test has failed */

/* ---- commands ---- */

/* The exit status (256 and more: killed by a signal), and what it printed to both outputs. */
static int run(char *output, size_t size, const char *format, va_list arguments)
{
	char command[4096], grouped[sizeof command + 16];
	size_t used = 0;
	FILE *pipe;
	int status;

	assert_in_range(vsnprintf(command, sizeof command, format, arguments), 0, sizeof command - 1);
	/* grouped, so that the output of all its parts is seen */
	snprintf(grouped, sizeof grouped, "{ %s\n} 2>&1", command);
	pipe = popen(grouped, "re");
	assert_non_null(pipe);
	while (used < size - 1) {
		size_t got = fread(output + used, 1, size - 1 - used, pipe);

		if (!got)
			break;
		used += got;
	}
	output[used] = '\0';
	while (fgetc(pipe) != EOF)
		;
	status = pclose(pipe);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + status;
}

static void run_or_fail(char *output, size_t size, const char *format, va_list arguments)
{
	va_list copy;
	int status;

	va_copy(copy, arguments);
	status = run(output, size, format, arguments);
	if (status) {
		char command[4096];

		vsnprintf(command, sizeof command, format, copy);
		va_end(copy);
		fail_msg("status %d of: %s\n%s", status, command, output);
	}
	va_end(copy);
}

void vd_net_command(const char *format, ...)
{
	static char output[OUTPUT_MAX];
	va_list arguments;

	va_start(arguments, format);
	run_or_fail(output, sizeof output, format, arguments);
	va_end(arguments);
}

int vd_net_try(const char *format, ...)
{
	static char output[OUTPUT_MAX];
	va_list arguments;
	int status;

	va_start(arguments, format);
	status = run(output, sizeof output, format, arguments);
	va_end(arguments);
	return status;
}

void vd_net_read_command(char *text, size_t size, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	run_or_fail(text, size, format, arguments);
	va_end(arguments);
}

/* ---- namespaces ---- */

static int open_namespace(void)
{
	int descriptor = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);

	assert_true(descriptor >= 0);
	return descriptor;
}

static void enter(int descriptor)
{
	if (setns(descriptor, CLONE_NEWNET)) {
		fprintf(stderr, "net: setns(%d): %s\n", descriptor, strerror(errno));
		abort(); /* also in threads, where cmocka cannot fail a test */
	}
}

void vd_net_enter_near(const struct vd_net *net)
{
	enter(net->near);
}

void vd_net_enter_router(const struct vd_net *net)
{
	enter(net->router);
}

void vd_net_enter_far(const struct vd_net *net)
{
	enter(net->far);
}

/* A fresh namespace, in which the caller is then. IPv6 is told to be quiet before there is a device that it could use. */
static int make_namespace(void)
{
	if (unshare(CLONE_NEWNET)) {
		print_message("skip: no network namespace can be made here (%s): run it as root\n", strerror(errno));
		skip();
	}
	vd_net_command("ip link set lo up; cd /proc/sys/net/ipv6/conf/default || exit 0;"
		       "echo 1 > addr_gen_mode; echo 0 > accept_ra; echo 0 > accept_dad; echo 0 > router_solicitations");
	return open_namespace();
}

static void begin(struct vd_net *net)
{
	vd_net_teardown_any(NULL);
	*net = (struct vd_net){.near = -1, .router = -1, .far = -1};
	if (geteuid()) {
		print_message("skip: network namespaces need root\n");
		skip();
	}
	home = open_namespace();
	in_use = *net;
}

/* A wire between devices `one` of the calling thread's namespace and `other` of `there`; the caller stays here. */
static void lay_wire(const char *one, unsigned one_mac, const char *other, unsigned other_mac, int there)
{
	vd_net_command("ip link add %s address 02:00:00:00:09:%02x type veth peer name %s address 02:00:00:00:09:%02x "
		       "netns /proc/%d/fd/%d",
		       one, one_mac, other, other_mac, (int)getpid(), there);
}

/* The end of a wire: `address` is a last digit; everything goes to the neighbour. */
static void set_up_end(const char *device, unsigned address, unsigned peer, unsigned peer_mac)
{
	vd_net_command("set -e; ip link set %1$s up;"
		       "ip addr add 10.9.0.%2$u/24 dev %1$s; ip -6 addr add fd00:9::%2$u/64 dev %1$s nodad;"
		       "ip neigh add 10.9.0.%3$u dev %1$s lladdr 02:00:00:00:09:%4$02x nud permanent;"
		       "ip -6 neigh add fd00:9::%3$u dev %1$s lladdr 02:00:00:00:09:%4$02x nud permanent",
		       device, address, peer, peer_mac);
}

/*
 * When the other end of a wire comes up, the kernel lets this one send a little later, in a worker thread: until then it throws
 * away what it is given. A look at the device makes it do that at once on newer kernels, others are waited for.
 */
static void await_sending(int there, const char *device)
{
	enter(there);
	vd_net_command("for i in $(seq 500); do case $(ip -o link show dev %1$s) in *noop*) ;; *'state UP'*) exit 0 ;; esac;"
		       "sleep 0.01; done; echo '%1$s does not come up'; exit 1",
		       device);
}

void vd_net_setup(struct vd_net *net)
{
	begin(net);
	in_use.far = make_namespace();
	in_use.near = make_namespace();
	*net = in_use;
	lay_wire(VD_NET_NEAR_DEVICE, 1, VD_NET_FAR_DEVICE, 2, net->far);
	set_up_end(VD_NET_NEAR_DEVICE, 1, 2, 2);
	enter(net->far);
	set_up_end(VD_NET_FAR_DEVICE, 2, 1, 1);
	await_sending(net->far, VD_NET_FAR_DEVICE);
	await_sending(net->near, VD_NET_NEAR_DEVICE);
}

void vd_net_setup_router(struct vd_net *net)
{
	begin(net);
	in_use.far = make_namespace();
	in_use.near = make_namespace();
	in_use.router = make_namespace();
	*net = in_use;
	lay_wire(VD_NET_LEFT_DEVICE, 3, VD_NET_NEAR_DEVICE, 1, net->near);
	lay_wire(VD_NET_RIGHT_DEVICE, 4, VD_NET_FAR_DEVICE, 2, net->far);
	vd_net_command("set -e; ip link set left0 up; ip link set right0 up;"
		       "ip addr add 10.9.0.254/32 dev left0; ip -6 addr add fd00:9::fe/128 dev left0 nodad;"
		       "for end in 'left0 1' 'right0 2'; do set -- $end;"
		       " ip route add 10.9.0.$2 dev $1; ip -6 route add fd00:9::$2 dev $1;"
		       " ip neigh add 10.9.0.$2 dev $1 lladdr 02:00:00:00:09:0$2 nud permanent;"
		       " ip -6 neigh add fd00:9::$2 dev $1 lladdr 02:00:00:00:09:0$2 nud permanent;"
		       "done;"
		       "echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding;"
		       "echo 0 > /proc/sys/net/ipv4/conf/all/send_redirects");
	enter(net->near);
	set_up_end(VD_NET_NEAR_DEVICE, 1, 2, 3);
	enter(net->far);
	set_up_end(VD_NET_FAR_DEVICE, 2, 1, 4);
	await_sending(net->far, VD_NET_FAR_DEVICE);
	await_sending(net->near, VD_NET_NEAR_DEVICE);
	await_sending(net->router, VD_NET_LEFT_DEVICE);
	await_sending(net->router, VD_NET_RIGHT_DEVICE);
}

static void close_namespace(int *descriptor)
{
	if (*descriptor >= 0)
		close(*descriptor);
	*descriptor = -1;
}

int vd_net_teardown_any(void **state)
{
	(void)state;
	if (home < 0)
		return 0;
	enter(home);
	close_namespace(&home);
	close_namespace(&in_use.near);
	close_namespace(&in_use.router);
	close_namespace(&in_use.far);
	return 0;
}

void vd_net_teardown(struct vd_net *net)
{
	*net = (struct vd_net){.near = -1, .router = -1, .far = -1};
	vd_net_teardown_any(NULL);
}

/* ---- devices ---- */

static void set_feature(int descriptor, const char *device, uint32_t command, bool on)
{
	struct ethtool_value value = {.cmd = command, .data = on};
	struct ifreq request = {.ifr_data = (void *)&value};

	snprintf(request.ifr_name, sizeof request.ifr_name, "%s", device);
	if (ioctl(descriptor, SIOCETHTOOL, &request))
		fail_msg("ethtool command %u on %s: %s", command, device, strerror(errno));
}

static int open_control(void)
{
	int descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(descriptor >= 0);
	return descriptor;
}

void vd_net_set_offload(const char *device, bool on)
{
	/* each one needs the ones before it */
	static const uint32_t commands[] = {ETHTOOL_STXCSUM, ETHTOOL_SSG, ETHTOOL_STSO, ETHTOOL_SGSO};
	const unsigned count = sizeof commands / sizeof *commands;
	int descriptor = open_control();

	for (unsigned i = 0; i < count; i++)
		set_feature(descriptor, device, commands[on ? i : count - 1 - i], on);
	close(descriptor);
}

void vd_net_trust_checksums(const char *device, bool trusted)
{
	int descriptor = open_control();

	set_feature(descriptor, device, ETHTOOL_SRXCSUM, trusted);
	close(descriptor);
}

void vd_net_keep_order(const char *device)
{
	/* receive packet steering to the first CPU. A sysfs of this namespace is needed, for the command alone. */
	vd_net_command("unshare --mount sh -ec 'mount -t sysfs sysfs /sys; echo 1 > /sys/class/net/%s/queues/rx-0/rps_cpus'",
		       device);
}
