#!/bin/bash
# SPDX-License-Identifier: MIT
#
# The manual pages of libipq: their programs compile as a reader would copy them, and do what the pages say, on real packets
# in a namespace of their own; every call has a page, and every sentence of the library is on its page.
#
# In a page, a program stands in the display behind a comment: .\" program: NAME

# shellcheck disable=SC2013,SC2016,SC2317 # words of a header; programs of awk and bash; functions that wait_until calls

set -u
cd "$(dirname "$0")/../.." || exit 1
. test/support/shell.sh

man=tools/man
cc=${CC:-cc}
if [ "$(basename "$build")" != plain ]; then
	skip "the programs are compiled against the plain build"
	finish
fi
if ! command -v "$cc" >/dev/null; then
	skip "the programs in the pages: needs a compiler"
	finish
fi

# ---- the programs compile, and ipq-compat has nothing to say of them ----

programs=$scratch/programs
mkdir "$programs"
awk -v to="$programs" '
	/^\.\\" program: / { name = $3; next }
	name && /^\.Bd / { in_it = 1; next }
	/^\.Ed/ { if (in_it) close(to "/" name); in_it = 0; name = ""; next }
	in_it { gsub(/\\e/, "\\"); print > (to "/" name) }' "$man"/*.[1-9]
run_and_keep ls "$programs"
for name in no-large-icmp.c no-echo.c no-echo-function.c refused.c rewrite.c rewrite-summed.c control.c; do
	expect_kept "^$name\$" "a page has $name"
done
for program in "$programs"/*.c; do
	name=$(basename "$program")
	for standard in gnu17 gnu89; do
		if [[ $name == *-function.c && $standard == gnu89 ]]; then continue; fi
		expect_exit 0 "$name compiles as $standard" "$cc" -std="$standard" -Wall -Wextra -Werror -Ilib/include -fsyntax-only "$program"
	done
done
expect_exit 0 "ipq-compat: nothing needs attention" tools/ipq-compat "$programs"
expect_kept '^nothing needs attention in [0-9]+ files$' "and there is nothing to note"

for name in no-large-icmp no-echo; do
	expect_exit 0 "$name links" "$cc" -Ilib/include -o "$scratch/$name" "$programs/$name.c" -L"$build" -lipq -Wl,-rpath,"$build"
done
expect_exit 0 "and with the library inside of it" "$cc" -Ilib/include -o "$scratch/inside" "$programs/no-echo.c" -L"$build" -l:libipq.a \
	-lmnl -pthread
expect_exit 0 "the verdict function links" "$cc" -shared -fPIC -Ilib/include -o "$scratch/no-echo.so" "$programs/no-echo-function.c"

# ---- every call has a page ----

links=$(sed -n '/^MAN_LINKS/,/[^\\]$/p' Makefile | grep -o '[a-z_]*\.3:[a-z_]*\.3')
for call in $(grep -o 'ipq_[a-z]*\(_[a-z]*\)*(' lib/include/libipq.h | tr -d '(' | sort -u); do
	page=$call.3
	if [ ! -e "$man/$page" ]; then
		page=$(printf '%s\n' "$links" | sed -n "s/^$call\.3://p")
	fi
	expect_exit 0 "$call(3) is a page or leads to one" test -f "$man/${page:-none}"
	expect_output "^\\.F[no] $call( |\$)" "which has it in its synopsis" cat "$man/${page:-none}"
done
for request in $(grep -o 'IPQ_CTL_[A-Z_]*' lib/include/libipq.h | sort -u); do
	expect_output "^\\.It Dv $request ," "$request is in ipq_ctl(3)" cat "$man/ipq_ctl.3"
done
for member in $(sed -n '/^struct ipq_stats/,/^}/s/^\t[a-z0-9_]* \([a-z_]*\);.*/\1/p' lib/include/libipq.h); do
	expect_output "^\\.It Va $member\$" "so is the counter $member" cat "$man/ipq_ctl.3"
done
for member in $(sed -n '/^typedef struct ipq_packet_msg {/,/^}/s/^\t[a-z_ ]* \([a-z_]*\)\(\[.*\]\)\{0,1\};.*/\1/p' \
	lib/include/linux/netfilter_ipv4/ip_queue.h); do
	expect_output "^\\.It Va (.* , )?$member( ,|\$)" "$member is in ipq_message_type(3)" cat "$man/ipq_message_type.3"
done

# ---- every sentence is on its page, with its number ----

sed -n 's/^\t{IPQ_ERR_[A-Z]*, "\(.*\)"},/\1/p' lib/ipq/error.c | awk '{ print NR - 1 " " $0 }' >"$scratch/sentences"
sed -n 's/^\.It \([0-9]*\) Sy /\1 /p' "$man/ipq_errstr.3" >"$scratch/page"
if [ "$(wc -l <"$scratch/sentences")" -eq 17 ] && cmp -s "$scratch/sentences" "$scratch/page"; then
	ok "ipq_errstr(3) has all 17 sentences"
else
	not_ok "ipq_errstr(3) has all 17 sentences (< the library, > the page)"
	diff "$scratch/sentences" "$scratch/page" | sed 's/^/# /'
fi

# ---- they do what the pages say ----

if [ "$(id -u)" -ne 0 ]; then
	skip "the programs on real packets: needs root"
	finish
fi

inside() {
	nsenter --net="$namespace" -- "$@"
}

is_bound() {
	inside awk -v queue="$1" '$1 == queue { found = 1 } END { exit !found }' /proc/self/net/netfilter/nfnetlink_queue
}

is_free() {
	! is_bound "$1"
}

background unshare --net -- sleep 300
namespace=/proc/$child/ns/net
if ! { wait_until 20 differs "$namespace" /proc/self/ns/net && inside ip link set lo up; }; then
	skip "the programs on real packets: no network namespace could be made"
	finish
fi
if ! inside iptables-legacy -A OUTPUT -p icmp -j QUEUE 2>"$scratch/iptables"; then
	skip "the programs on real packets: no iptables-legacy QUEUE here ($(head -n 1 "$scratch/iptables"))"
	finish
fi

# start PROGRAM...: it has queue 0 then
start() {
	background nsenter --net="$namespace" -- "$@" >"$scratch/started" 2>&1
	started=$child
	if ! wait_until 20 is_bound 0; then
		not_ok "$(basename "$1") takes queue 0"
		sed 's/^/# /' "$scratch/started"
		return 1
	fi
}

stop() {
	kill "$started" 2>/dev/null
	wait "$started" 2>/dev/null
	wait_until 20 is_free 0
}

# libipq(3)
if start "$scratch/no-large-icmp"; then
	expect_exit 0 "no-large-icmp lets a small ping pass" inside ping -q -c 2 -i 0.2 -W 2 127.0.0.1
	expect_exit 1 "and no large one" inside ping -q -c 1 -W 1 -s 1200 127.0.0.1
	expect_exit 0 "and small ones after it" inside ping -q -c 2 -i 0.2 -W 2 127.0.0.1
	expect_output '^Copy range        : 64$' "it asked for 64 bytes" inside "$verdict" doctor --ipq
	run_and_keep inside "$scratch/no-large-icmp"
	expect_kept '^no-large-icmp: Device or resource busy$' "a second one ends with a reason"
	stop
fi
expect_exit 1 "nothing passes when it has ended" inside ping -q -c 1 -W 1 127.0.0.1
inside iptables-legacy -F OUTPUT

# libipq-migration(7): both forms, and what arrived
inside iptables-legacy -A OUTPUT -p udp -j NFQUEUE --queue-num 0
for port in 7 9; do inside iptables-legacy -A INPUT -p udp --dport "$port"; done

# both_ports TEXT: ten packets to each port; none arrives at 7, all at 9
both_ports() {
	local seen

	inside iptables-legacy -Z INPUT
	inside bash -c 'for ((i = 0; i < 10; i++)); do echo echo >/dev/udp/127.0.0.1/7; echo other >/dev/udp/127.0.0.1/9; done' 2>/dev/null
	arrived() { inside iptables-legacy -nvxL INPUT | grep -Eq '^ *10 .*dpt:9$'; }
	wait_until 20 arrived
	seen=$(inside iptables-legacy -nvxL INPUT | awk '/dpt:/ { print $NF, $1 }' | tr '\n' ' ')
	if [ "$seen" = "dpt:7 0 dpt:9 10 " ]; then
		ok "$1: ten to port 9 arrive, and none to port 7"
	else
		not_ok "$1: ten to port 9 arrive, and none to port 7 (seen: $seen)"
	fi
}

if start "$scratch/no-echo"; then
	both_ports "with libipq"
	stop
fi
if start "$verdict" run --queue 0 --function "$scratch/no-echo.so" --stats none; then
	both_ports "as a verdict function"
	stop
fi
inside iptables-legacy -F INPUT

# what is not a whole program gets the rest of one here: reads four packets, or until nothing comes for two seconds
cat >"$scratch/rest.c" <<'END'
#include <stdio.h>
#include <linux/netfilter.h>
#include <libipq.h>

int decide(struct ipq_handle *h, ipq_packet_msg_t *packet);
void print_refusal(const unsigned char *buf);
int enlarge(struct ipq_handle *h);
void print_losses(struct ipq_handle *h);

int main(void)
{
	static unsigned char buffer[65644] __attribute__((aligned(8)));
	struct ipq_handle *h = ipq_create_handle(0, PF_INET);
	int packets = 0, left = 20;

	if (!h || enlarge(h) || ipq_set_mode(h, IPQ_COPY_PACKET, 0) < 0) {
		ipq_perror("start");
		return 1;
	}
	while (left-- && ipq_read(h, buffer, sizeof(buffer), packets < 4 ? 2000000 : 200000) > 0) {
		if (ipq_message_type(buffer) != IPQM_PACKET) {
			print_refusal(buffer);
			continue;
		}
		packets++;
		decide(h, ipq_get_packet(buffer));
		if (packets == 3) /* once more: there is none to decide on */
			ipq_set_verdict(h, ipq_get_packet(buffer)->packet_id, NF_DROP, 0, NULL);
	}
	print_losses(h);
	ipq_destroy_handle(h);
	return 0;
}
END
expect_exit 0 "what is not a whole program compiles with the rest of one" "$cc" -Wall -Wextra -Werror -Ilib/include -o "$scratch/rest" \
	"$scratch/rest.c" "$programs"/{rewrite,refused,control}.c -L"$build" -lipq -Wl,-rpath,"$build"
if inside iptables-legacy -A INPUT -p udp -m string --algo bm --string 'bbxbb' 2>"$scratch/iptables"; then
	has_string=1
else
	has_string=''
	skip "rewrite.c on the far side: no match for strings here ($(head -n 1 "$scratch/iptables"))"
fi
if start "$scratch/rest"; then
	inside bash -c 'for ((i = 0; i < 4; i++)); do echo aaxaa >/dev/udp/127.0.0.1/9; done' 2>/dev/null
	wait "$started" 2>/dev/null
	run_and_keep cat "$scratch/started"
	expect_kept '^packet 3: No such file or directory$' "refused.c tells the packet and the reason"
	expect_kept '^4 packets read, 0 lost$' "control.c tells what was read"
	if [ "$has_string" ]; then
		expect_output '^ *4 .*"bbxbb"' "rewrite.c: four packets arrive rewritten" inside iptables-legacy -nvxL INPUT
	fi
fi

finish
