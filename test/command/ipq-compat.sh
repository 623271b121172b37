#!/bin/bash
# SPDX-License-Identifier: MIT
#
# tools/ipq-compat: a small source for each thing that it finds, and sources in which there is nothing to find.

# shellcheck disable=SC2016 # programs of C and make in quotes

set -u
cd "$(dirname "$0")/../.." || exit 1
. test/support/shell.sh

if [ "$(basename "$build")" != plain ]; then
	skip "a script is the same in every build"
	finish
fi

compat=$(readlink -f tools/ipq-compat)
tree=$scratch/tree
new_tree() {
	rm -rf "$tree"
	mkdir "$tree"
}

# source_file NAME: standard input becomes a file of the tree
source_file() {
	mkdir -p "$(dirname "$tree/$1")"
	cat >"$tree/$1"
}

# expect_clean TEXT: of the tree as it is: not one word about any file
expect_clean() {
	run_and_keep "$compat" "$tree"
	if [ "$status" -eq 0 ] && [ "$(printf '%s\n' "$output" | wc -l)" -eq 1 ]; then
		ok "$1"
	else
		not_ok "$1 (exit status $status)"
		show_output
	fi
}

# expect_found LEVEL PLACE PATTERN FIX: this and nothing else is said of the tree
expect_found() {
	local wanted=0

	[ "$1" = note ] || wanted=1
	run_and_keep "$compat" "$tree"
	if [ "$status" -eq "$wanted" ] && [ "$(printf '%s\n' "$output" | grep -c ': \(attention\|note\): ')" -eq 1 ] &&
		printf '%s\n' "$output" | grep -F "$tree/$2: $1: " | grep -Eq -- "$3" &&
		printf '%s\n' "$output" | grep -P '^\tfix: ' | grep -Fq -- "$4"; then
		ok "$2: $3"
	else
		not_ok "$2: $3 (exit status $status, wanted $wanted: $1, with the fix: $4)"
		show_output
	fi
}

# c_finds LEVEL LINE PATTERN FIX: standard input is a program of one file
c_finds() {
	new_tree
	source_file program.c
	expect_found "$1" "program.c:$2" "$3" "$4"
}

script_finds() {
	new_tree
	source_file rules.sh
	expect_found "$1" "rules.sh:$2" "$3" "$4"
}

makefile_finds() {
	new_tree
	source_file Makefile
	source_file program.c <<<'#include <libipq.h>'
	expect_found "$1" "Makefile:$2" "$3" "$4"
}

c_is_clean() {
	new_tree
	source_file program.c
	expect_clean "$1"
}

# ---- how it is called ----

expect_exit 0 "--help is an answer" "$compat" --help
for part in '^usage: ipq-compat PATH' '^Examples:' '^Exit status: 0 ' 'ipq-compat\(1\)' 'libipq-migration\(7\)'; do
	expect_kept "$part" "with: $part"
done
expect_exit 2 "without a path: wrong usage" "$compat"
expect_exit 2 "an option that is none: wrong usage" "$compat" --no-such-option
expect_kept "there is no option '--no-such-option'" "is called so"
expect_exit 2 "a path that is not there: wrong usage" "$compat" "$scratch/nothing"
expect_kept "there is no '$scratch/nothing'" "is called so"

# ---- programs in which there is nothing to find ----

read -r -d '' passer <<'END'
#include <linux/netfilter.h>
#include <libipq.h>
#include <stdio.h>

#define LENGTH 2048

static struct ipq_handle *queue;

static void end(const char *why)
{
	ipq_perror(why);
	ipq_destroy_handle(queue);
	exit(1);
}

int main(void)
{
	unsigned char buffer[LENGTH];
	int got;

	queue = ipq_create_handle(0,
				  PF_INET);
	if (!queue || ipq_set_mode(queue, IPQ_COPY_PACKET, LENGTH) < 0)
		end("start");
	while ((got = ipq_read(queue, buffer, LENGTH, 0)) >= 0) {
		ipq_packet_msg_t *packet = ipq_get_packet(buffer);

		if (ipq_message_type(buffer) == IPQM_PACKET &&
		    ipq_set_verdict(queue, packet->packet_id, NF_ACCEPT, 0, NULL) < 0)
			end("verdict");
	}
	end("read");
	return 0;
}
END
c_is_clean "a program that takes and lets pass" <<<"$passer"
expect_kept '^nothing needs attention in 1 file$' "and that is said"
source_file Makefile <<'END'
# no longer: modprobe ip_queue; cat /proc/net/ip_queue
program: program.c
	$(CC) -o $@ $< -lipq
END
source_file run.sh <<'END'
#!/bin/sh
iptables -A OUTPUT -p icmp -j NFQUEUE --queue-num 0
iptables-legacy -A OUTPUT -p udp -j QUEUE
ip6tables-legacy -A OUTPUT -p icmpv6 --jump QUEUE
./program
END
source_file README <<<'First: modprobe ip_queue. Then cat /proc/net/ip_queue. h = ipq_create_handle(0);'
expect_clean "its Makefile, script and README"
mkdir "$tree/.git" && printf 'ipq_create_handle(0);\n' >"$tree/.git/old.c"
expect_clean "what version control keeps"

c_is_clean "what stands in comments, in strings and in #if 0" <<'END'
#include <libipq.h>
/* ipq_create_handle(0); NETLINK_FIREWALL
   IPQM_MODE */ int a; // ipq_create_handle(0)
const char *b = "ipq_create_handle(0) \" IPQM_MODE", c = '"', *d = "/* no comment";
#if 0
struct ipq_handle *e = ipq_create_handle(0);
#if NETLINK_FIREWALL
#endif
#endif
END
c_is_clean "select() on the descriptor, its buffer, reading of members" <<'END'
#include <libipq.h>
void f(struct ipq_handle *h, fd_set *set, int size)
{
	FD_SET(h->fd, set);
	if (h->fd == 3 || select(h->fd + 1, set, NULL, NULL, NULL) < 0)
		return;
	setsockopt(h->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
}
END
c_is_clean "members of the same names in other structs" <<'END'
#include <libipq.h>
struct connection { int fd, blocking; } *c;
void f(struct ipq_handle *h) { c->fd = h->fd; c->blocking = 1; read(c->fd, 0, 0); send(c->fd, 0, 0, 0); }
END
c_is_clean "names that are longer" <<'END'
#include <libipq.h>
#define MY_NETLINK_FIREWALLS 1
int my_ipq_create_handle(int a), ipq_create_handle_all(int a), b;
void f(void) { b = my_ipq_create_handle(0) + ipq_create_handle_all(0); }
END
c_is_clean "a larger buffer, as a sum" <<'END'
#include <libipq.h>
#define RANGE 0x100
unsigned char buf[sizeof(struct nlmsghdr) + sizeof(ipq_packet_msg_t) + RANGE];
void f(struct ipq_handle *h) { ipq_set_mode(h, IPQ_COPY_PACKET, RANGE); ipq_read(h, buf, sizeof buf, 0); }
END
c_is_clean "metadata only, and room for it" <<'END'
#include <libipq.h>
unsigned char buf[128];
void f(struct ipq_handle *h) { ipq_set_mode(h, IPQ_COPY_META, 0); ipq_read(h, buf, sizeof(buf), 0); }
END
c_is_clean "a call whose arguments are calls" <<'END'
#include <libipq.h>
struct ipq_handle *h;
void f(void) { h = ipq_create_handle(flags(1, 2), family[0]); }
END
c_is_clean "a header of its own that includes the installed one" <<<'#include <libipq.h>'
mv "$tree/program.c" "$tree/libipq.h"
expect_clean "also when it has the same name"
new_tree
source_file other.c <<<'int main(void) { return 0; }'
source_file Makefile <<<'CFLAGS = -m32'
expect_exit 0 "a program that does not use libipq" "$compat" "$tree"
expect_kept 'none of them uses libipq' "and that is said"
new_tree
expect_exit 0 "an empty tree" "$compat" "$tree"
new_tree
printf 'ipq_create_handle(0)\0\1\2' >"$tree/program.o"
expect_clean "binary files"

# ---- calls ----

c_finds attention 3 'with one argument does not compile' '-DLIBIPQ_OLD_CREATE_HANDLE' <<'END'
#include <libipq.h>
struct ipq_handle *h;
void f(void) { h = ipq_create_handle(0); }
END
c_finds attention 3 'with one argument does not compile' 'ipq_create_handle(0, PF_INET)' <<'END'
#include <libipq.h>
struct ipq_handle *h;
void f(void) { h = ipq_create_handle
	(flags(1, 2)
	); }
END
source_file Makefile <<<'CFLAGS += -DLIBIPQ_OLD_CREATE_HANDLE'
expect_clean "the same, compiled with -DLIBIPQ_OLD_CREATE_HANDLE"
c_finds note 4 'one argument, in a branch of #if' 'have the branch with two arguments compiled' <<'END'
#include <libipq.h>
struct ipq_handle *h;
#ifdef OLD_IPTABLES
void f(void) { h = ipq_create_handle(0); }
#else
void f(void) { h = ipq_create_handle(0, PF_INET); }
#endif
END
makefile_finds attention 1 'built for 32 bits' 'without -m32' <<<'CFLAGS = -O2 -m32'
new_tree
source_file program.c <<<"$passer"
source_file Makefile <<<'CFLAGS = -DLIBIPQ_OLD_CREATE_HANDLE'
expect_found attention program.c:21 'two arguments does not compile with -DLIBIPQ_OLD_CREATE_HANDLE' 'take that option out'
c_finds attention 1 'declares ipq_create_handle\(\) with one argument' 'include <libipq.h> instead' \
	<<<'struct ipq_handle *ipq_create_handle(unsigned long flags);'
for first in linux/netfilter.h linux/netfilter_ipv4.h; do
	for second in netinet/in.h arpa/inet.h netinet/ip_icmp.h pcap.h; do
		c_finds attention 3 "behind <$first>: that does not compile" 'pkg-config --cflags libipq), or -include netinet/in.h' <<-END
			#include <$first>
			#include <libipq.h>
			#include <$second>
		END
	done
done
c_finds attention 2 'behind <linux/in.h>' 'compile with -include netinet/in.h' <<'END'
#include <linux/in.h>
#include <netdb.h>
#include <libipq.h>
END
c_is_clean "the order of headers that compiles" <<'END'
#include <netinet/in.h>
#include <linux/netfilter.h>
#include <arpa/inet.h>
#include <libipq.h>
END
c_finds attention 4 'IPv4 and IPv6 at once' 'LIBIPQ_QUEUE6=1' <<'END'
#include <libipq.h>
struct ipq_handle *h4, *h6;
void f(void) { h4 = ipq_create_handle(0, PF_INET); }
void g(void) { h6 = ipq_create_handle(0, PF_INET6); }
END
source_file start.sh <<<'LIBIPQ_QUEUE6=1 ./program'
expect_clean "the same, started with LIBIPQ_QUEUE6"
c_finds attention 2 'refuses the verdict NF_STOLEN' 'NF_DROP' <<'END'
#include <libipq.h>
void f(struct ipq_handle *h, ipq_id_t id) { ipq_set_verdict(h, id, NF_STOLEN, 0, NULL); }
END
c_finds note 2 'ipq_set_vwmark' 'this library has it' <<'END'
#include <libipq.h>
void f(struct ipq_handle *h, ipq_id_t id) { ipq_set_vwmark(h, id, NF_ACCEPT, 7); }
END
c_finds note 2 'ENOBUFS does not come' 'IPQ_CTL_GET_STATS' <<'END'
#include <libipq.h>
int f(void) { return errno == ENOBUFS; }
END

# ---- buffers ----

c_finds attention 4 'a buffer of 512 bytes for a range of 512: packets longer than 400 bytes' 'or a smaller range' <<'END'
#include <libipq.h>
#define SIZE (2 * 256)
unsigned char buf[SIZE];
void f(struct ipq_handle *h) { ipq_set_mode(h, IPQ_COPY_PACKET, SIZE); ipq_read(h, buf, sizeof(buf), 0); }
END
c_finds attention 4 'a buffer of 600 bytes for a range of 600' 'or a smaller range' <<'END'
#include <libipq.h>
static const int size=600;
unsigned char *buf;
void f(struct ipq_handle *h) { ipq_set_mode(h, IPQ_COPY_PACKET, size); ipq_read(h, buf, size, 0); }
END
c_finds attention 3 'a buffer of 1500 bytes for a range of 65535' 'sizeof(struct nlmsghdr)' <<'END'
#include <libipq.h>
unsigned char buf[1500];
void f(struct ipq_handle *h) { ipq_set_mode(h, IPQ_COPY_PACKET, 0); ipq_read(h, buf, sizeof buf, 0); }
END
c_finds attention 3 'a buffer of 96 bytes: not even a packet without payload' 'sizeof(struct nlmsghdr)' <<'END'
#include <libipq.h>
unsigned char buf[96];
void f(struct ipq_handle *h) { ipq_set_mode(h, IPQ_COPY_META, 0); ipq_read(h, buf, sizeof(ipq_packet_msg_t), 0); }
END
c_finds note 2 'the buffer is as long as the range' 'sizeof(struct nlmsghdr)' <<'END'
#include <libipq.h>
void f(struct ipq_handle *h, unsigned char *b, int n) { ipq_set_mode(h, IPQ_COPY_PACKET, n); ipq_read(h, b, n, 0); }
END
new_tree
source_file size.h <<<'#define SIZE 700 /* bytes */'
source_file program.c <<'END'
#include <libipq.h>
void f(struct ipq_handle *h, unsigned char *b) { ipq_set_mode(h, IPQ_COPY_PACKET, SIZE); ipq_read(h, b, SIZE, 0); }
END
expect_found attention program.c:2 'a buffer of 700 bytes for a range of 700' 'or a smaller range'

# ---- the handle and the messages ----

for member in 'fd = 3' 'blocking = 1' 'local.nl_pid = 7' 'peer.nl_pid= 0' 'fd |= 1'; do
	c_finds attention 2 'writes into the handle' 'leave it alone' <<END
#include <libipq.h>
void f(struct ipq_handle *h) { h->$member; }
END
done
c_finds attention 3 'writes into the handle' 'leave it alone' <<'END'
#include <libipq.h>
static struct ipq_handle *first, *second;
void f(void) { second->fd = -1; }
END
c_finds attention 2 'takes room for a struct ipq_handle' 'keep the pointer' <<'END'
#include <libipq.h>
void f(void) { void *h = malloc(sizeof(struct ipq_handle)); free(h); }
END
c_finds attention 2 'a struct ipq_handle by value' 'keep the pointer' <<'END'
#include <libipq.h>
struct ipq_handle mine;
END
for call in 'recv(h->fd, b, 9, 0)' 'sendto(h->fd, b, 9, 0, 0, 0)' 'read(h->fd, b, 9)' 'bind( h->fd, 0, 0)'; do
	c_finds attention 2 'reads or writes the descriptor itself' 'ipq_read(3)' <<END
#include <libipq.h>
void f(struct ipq_handle *h, char *b) { $call; }
END
done
for protocol in NETLINK_FIREWALL NETLINK_IP6_FW; do
	c_finds attention 2 'a socket of its own to ip_queue' 'ipq_create_handle(0, PF_INET)' <<END
#include <linux/netlink.h>
int f(void) { return socket(PF_NETLINK, SOCK_RAW, $protocol); }
END
done
for word in 'netlink->nlmsg_type = IPQM_MODE' 'netlink->nlmsg_type = IPQM_VERDICT' 'send_it(netlink, IPQM_MODE)'; do
	c_finds attention 2 'a request to ip_queue made by hand' 'ipq_set_mode(3) or ipq_set_verdict(3)' <<END
#include <libipq.h>
void f(struct nlmsghdr *netlink) { $word; }
END
done
c_is_clean "what request was it that the kernel refused?" <<'END'
#include <libipq.h>
int f(struct nlmsgerr *e, ipq_peer_msg_t *request)
{
	if (e->msg.nlmsg_type == IPQM_VERDICT || IPQM_MODE != e->msg.nlmsg_type)
		switch (e->msg.nlmsg_type) { case IPQM_MODE: return 1; }
	return request->msg.verdict.id == 7;
}
END
c_finds attention 2 'declares for itself' 'include <libipq.h>' <<'END'
#include <libipq.h>
typedef struct ipq_packet_msg {
	unsigned long packet_id;
} packet_message;
END
c_finds attention 2 'declares for itself' 'include <libipq.h>' <<'END'
#include <linux/netlink.h>
#define IPQM_PACKET 0x13
END
new_tree
source_file linux/ip_queue.h <<'END'
/* as the kernel had it */
#define IPQM_BASE 0x10
typedef struct ipq_peer_msg { int a; } ipq_peer_msg_t;
END
expect_found attention linux/ip_queue.h:1 'a copy of ip_queue.h' 'take it out of the tree'
new_tree
source_file ipq/queue.c <<'END'
#include "queue.h"
struct ipq_handle *ipq_create_handle(u_int32_t flags, u_int32_t protocol)
{
	struct ipq_handle *h = malloc(sizeof(struct ipq_handle));
	h->fd = socket(PF_NETLINK, SOCK_RAW, NETLINK_FIREWALL);
	return h;
}
END
expect_found attention ipq/queue.c:2 'a copy of the old library' 'take the file out of the build'
for use in '(int)m->packet_id' '(u_int32_t) m->packet_id' '(unsigned int)m->packet_id'; do
	c_finds note 2 'an id in 32 bits' 'ids are numbers of 32 bits now' <<END
#include <libipq.h>
long f(ipq_packet_msg_t *m) { return $use; }
END
done
c_finds note 2 'an id in 32 bits' 'none needed' <<'END'
#include <libipq.h>
void f(ipq_packet_msg_t *m) { unsigned int id = m->packet_id; (void)id; }
END
c_is_clean "an id in an unsigned long" <<'END'
#include <libipq.h>
ipq_id_t f(ipq_packet_msg_t *m, unsigned char *b) { unsigned long id = m->packet_id; return id + ((ipq_packet_msg_t *)b)->packet_id; }
END
for use in '(void *)m->packet_id' '(void *)(m->packet_id >> 4)'; do
	c_finds note 2 'takes an id for an address' 'the lowest bits' <<END
#include <libipq.h>
void *f(ipq_packet_msg_t *m) { return $use; }
END
done
c_finds note 2 'KERNEL_64_USERSPACE_32 means nothing' 'none needed' <<'END'
#include <libipq.h>
#ifdef KERNEL_64_USERSPACE_32
#endif
END
c_is_clean "arrays of one name and different sizes" <<'END'
#include <libipq.h>
void f(struct ipq_handle *h) { unsigned char b[100]; ipq_set_mode(h, IPQ_COPY_META, 0); }
void g(struct ipq_handle *h) { unsigned char b[200]; ipq_read(h, b, sizeof b, 0); }
END

# ---- scripts, and what programs have others do ----

script_finds attention 2 '/proc/net/ip_queue is not there' 'verdict doctor --ipq' <<'END'
#!/bin/sh
cat /proc/net/ip_queue
END
script_finds attention 1 '/proc/net/ip_queue is not there' 'verdict doctor --ipq' <<<'grep Peer /proc/net/ip6_queue'
c_finds attention 2 '/proc/net/ip_queue is not there' 'ipq_ctl(h, IPQ_CTL_GET_STATS, &stats)' <<'END'
#include <stdio.h>
FILE *f(void) { return fopen("/proc/net/ip_queue", "r"); }
END
for line in 'echo 4096 > /proc/sys/net/ipv4/ip_queue_maxlen' 'sysctl -w net.ipv4.ip_queue_maxlen=4096' 'net.ipv6.ip6_queue_maxlen = 9'; do
	script_finds attention 1 'the sysctl ip_queue_maxlen is not there' 'IPQ_CTL_SET_MAXLEN' <<<"$line"
done
for line in 'modprobe ip_queue' '/sbin/modprobe -q ip6_queue || exit 1' 'insmod ip_queue.o' 'lsmod | grep -q ip_queue' 'ip_queue'; do
	script_finds attention 1 'the module ip_queue is in no kernel' 'nfnetlink_queue by itself' <<<"$line"
done
c_finds attention 2 'the module ip_queue is in no kernel' 'take the line out' <<'END'
#include <stdlib.h>
int f(void) { return system("modprobe ip_queue"); }
END
script_finds attention 1 'looks for the kernel option' 'CONFIG_NETFILTER_NETLINK_QUEUE' <<<'zgrep -q CONFIG_IP_NF_QUEUE=m /proc/config.gz'
for line in 'iptables -A OUTPUT -p icmp -j QUEUE' 'iptables -t mangle -I FORWARD --jump QUEUE' '-A INPUT -p udp -j QUEUE' 'TARGET="QUEUE"'; do
	script_finds attention 1 '-j QUEUE fails' '-j NFQUEUE --queue-num 0' <<<"$line"
done
c_finds attention 2 '-j QUEUE fails' 'iptables-legacy' <<'END'
#include <unistd.h>
int f(void) { return execlp("iptables", "iptables", "-A", "INPUT", "-j", "QUEUE", NULL); }
END

new_tree
source_file filter.py <<<'from pyroute2.netlink import NETLINK_FIREWALL'
expect_found attention filter.py:1 'a socket of its own to ip_queue' 'the calls of libipq(3)'

# ---- how it is built ----

makefile_finds note 2 '-lipq stands in front of what needs it' '-lipq behind the files' <<'END'
filter: filter.c
	gcc -o filter -lipq filter.c
END

for line in 'LIBS = /usr/lib/libipq.a' 'LDADD = ../lib/libipq.a -lpthread'; do
	makefile_finds attention 1 'libipq.a is linked by its name' '-l:libipq.a -lmnl -pthread' <<<"$line"
done
makefile_finds attention 1 'a static program with -lipq alone' 'without -static' <<<'LDFLAGS = -static -lipq'
makefile_finds attention 1 'a directory of the iptables sources' 'pkg-config --cflags --libs libipq' \
	<<<'CFLAGS = -I/usr/src/iptables-1.2.6a/include/libipq'
makefile_finds note 1 'KERNEL_64_USERSPACE_32' 'none needed' <<<'CFLAGS = -DKERNEL_64_USERSPACE_32'
makefile_finds note 1 'ipq_set_vwmark' 'none needed' <<<'CFLAGS = -DHAVE_LIBIPQ_MARK'

# ---- several at once ----

new_tree
source_file b/two.c <<'END'
#include <libipq.h>
struct ipq_handle *h;
int main(void)
{
	system("modprobe ip_queue");
	h = ipq_create_handle(0);
	return errno == ENOBUFS;
}
END
source_file 'a/with space.sh' <<<'cat /proc/net/ip_queue'
expect_exit 1 "several files" "$compat" "$tree"
if [ "$(printf '%s\n' "$output" | sed -n 's/: \(attention\|note\): .*//p')" = "$tree/a/with space.sh:1
$tree/b/two.c:5
$tree/b/two.c:6
$tree/b/two.c:7" ]; then
	ok "findings come by file and line"
else
	not_ok "findings come by file and line"
	show_output
fi
expect_kept '^3 things need attention, and 1 note$' "and are counted"
expect_exit 1 "files instead of a tree" "$compat" "$tree/b/two.c"
expect_kept '^2 things need attention, and 1 note$' "only what is in them"
new_tree
printf 'int main(void)\r\n{\r\n\tsystem("cat /proc/net/ip_queue");\r\n}\r\n/* \351\344 */ int a = ipq_create_handle(0);\r\n' | source_file dos.c
expect_exit 1 "sources from elsewhere: other line ends, other characters" "$compat" "$tree"
expect_kept '^2 things need attention$' "are read"

finish
