#!/bin/bash
# SPDX-License-Identifier: MIT
#
# verdict doctor, as a person uses it: rules and readers in namespaces of its own, and the sentences that it says of them.
# A rule of nft's own `queue` statement, or one with a map, needs kernel modules that not every machine has: a program
# that is called nft and prints such rules stands in for it.

# shellcheck disable=SC2016,SC2317 # programs of awk and bash in quotes; functions that wait_until calls

set -u
cd "$(dirname "$0")/../.." || exit 1
. test/support/shell.sh


expect_lines() {
	if [ "$(printf '%s\n' "$output" | wc -l)" -eq "$1" ]; then
		ok "$2"
	else
		not_ok "$2"
		show_output
	fi
}

# ---- what needs no privilege ----

expect_exit 0 "--help is an answer" "$verdict" doctor --help
expect_kept '^Examples:' "--help has examples"
expect_exit 2 "an unknown option is wrong usage" "$verdict" doctor --no-such-option
expect_exit 2 "an argument is wrong usage" "$verdict" doctor surplus
expect_exit 2 "--netns without a name is wrong usage" "$verdict" doctor --netns
expect_exit 1 "a namespace that is not there fails" "$verdict" doctor --netns no-such-namespace
expect_kept "^verdict doctor: there is no network namespace 'no-such-namespace'" "and is called so"
expect_lines 1 "in one sentence"
expect_exit 1 "a file that is no namespace fails" "$verdict" doctor --netns /dev/null
expect_kept "is not a network namespace|may not enter" "and is called so"

expect_exit 2 "--ipq with --json is wrong usage" "$verdict" doctor --ipq --json
for number in -1 65536 0x5 5x x; do
	expect_exit 1 "LIBIPQ_QUEUE=$number is no queue" env LIBIPQ_QUEUE="$number" "$verdict" doctor --ipq
	expect_kept "LIBIPQ_QUEUE is '$number', which is no queue" "and is called so"
done

if [ "$(id -u)" -ne 0 ]; then
	skip "rules and readers: needs root"
	finish
fi

# ---- rules and readers ----

# The namespace lives as long as a sleeping process in it.
enter_new_namespace() {
	background unshare --net -- sleep 120
	namespace=/proc/$child/ns/net
	wait_until 20 differs "$namespace" /proc/self/ns/net && inside ip link set lo up
}

inside() {
	nsenter --net="$namespace" -- "$@"
}

is_bound() {
	inside awk -v queue="$1" '$1 == queue { found = 1 } END { exit !found }' /proc/self/net/netfilter/nfnetlink_queue
}

# Sets $reader to a process that reads the queue.
start_reader() {
	background nsenter --net="$namespace" -- "$verdict" run --queue "$1" --function accept --stats none >"$scratch/reader" 2>&1
	reader=$child
	wait_until 20 is_bound "$1"
}

send_udp() {
	inside bash -c 'for ((i = 0; i < $1; i++)); do echo > /dev/udp/127.0.0.1/9; done' - "$1"
}

if ! enter_new_namespace; then
	skip "rules and readers: no network namespace could be made"
	finish
fi

expect_exit 0 "no rules and no readers: exit 0" inside "$verdict" doctor
expect_kept '^all is well$' "all is well"
expect_kept 'fail_open +yes' "the kernel's features are named"
expect_exit 0 "--netns looks into another namespace" "$verdict" doctor --netns "$namespace"

expect_exit 1 "without privilege: exit 1" inside \
	setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all "$verdict" doctor
expect_kept 'CAP_NET_ADMIN is missing' "CAP_NET_ADMIN is missing"

if ! inside iptables-legacy -A INPUT -p udp -j NFQUEUE --queue-num 5 2>"$scratch/iptables"; then
	skip "iptables-legacy: no NFQUEUE here ($(head -n 1 "$scratch/iptables"))"
else
	expect_exit 1 "a rule whose queue nobody reads: exit 1" "$verdict" doctor --netns "$namespace"
	expect_kept 'queue 5: nobody reads it.*ip filter INPUT are dropped: start a reader, or add --queue-bypass' "says what to do"
	expect_kept '^1 thing needs attention$' "counts it once"

	inside iptables-legacy -F INPUT
	inside iptables-legacy -A INPUT -p udp -j NFQUEUE --queue-num 5 --queue-bypass
	expect_exit 0 "the same rule with bypass: exit 0" "$verdict" doctor --netns "$namespace"
	expect_kept 'note +queue 5: nobody reads it.*pass undecided' "packets pass undecided"

	inside iptables-legacy -F INPUT
	inside iptables-legacy -A INPUT -p udp -j NFQUEUE --queue-num 5
	inside ip6tables-legacy -A INPUT -p udp -j NFQUEUE --queue-num 5
	if start_reader 5; then
		expect_exit 0 "a rule and its reader: exit 0" "$verdict" doctor --netns "$namespace"
		expect_kept "verdict, pid $reader\$" "the queue's owner is named"
		expect_kept 'hint +queue 5: the rule in ip filter INPUT has no bypass' "a missing bypass is a hint"
		expect_kept 'no bypass +ip6 filter INPUT' "rules of IPv6 are found"

		stand_still "$reader"
		send_udp 3
		expect_exit 1 "a reader that has stopped answering: exit 1" "$verdict" doctor --netns "$namespace"
		expect_kept 'queue 5: 3 packets wait, and none was answered' "says how many wait"
		kill -CONT "$reader"

		inside iptables-legacy -F INPUT
		inside ip6tables-legacy -F INPUT
		expect_exit 1 "a reader without a rule: exit 1" "$verdict" doctor --netns "$namespace"
		expect_kept 'queue 5 is read, but no rule sends packets to it' "says so"
		kill "$reader"
		wait "$reader" 2>/dev/null
	else
		not_ok "verdict run reads queue 5"
		sed 's/^/# /' "$scratch/reader"
	fi
	inside iptables-legacy -F INPUT
	inside ip6tables-legacy -F INPUT
fi

if ! inside iptables-nft -A FORWARD -p tcp -j NFQUEUE --queue-balance 7:8 2>"$scratch/iptables"; then
	skip "iptables-nft: no NFQUEUE here ($(head -n 1 "$scratch/iptables"))"
else
	expect_exit 1 "a rule of iptables-nft is found" "$verdict" doctor --netns "$namespace"
	expect_kept 'queues 7-8: nobody reads them' "with its range of queues"
	expect_kept '^1 thing needs attention$' "and not once more in what nft shows"
fi

# ---- what another nft would print ----

mkdir "$scratch/bin"
cat >"$scratch/bin/nft" <<'END'
#!/bin/sh
cat <<'RULES'
table inet mine {
	chain input {
		type filter hook input priority filter; policy accept;
		tcp dport 80 queue flags bypass,fanout to 1-4 comment "no queue num 9"
		queue to symhash mod 4 offset 100
		queue to oifname map { "eth0" : 0, "eth1" : 2 }
		jump queue
	}
}
RULES
END
chmod +x "$scratch/bin/nft"
expect_exit 1 "rules of nft" env PATH="$scratch/bin:$PATH" "$verdict" doctor --netns "$namespace"
expect_kept 'queue 1-4 +bypass +fanout inet mine input' "flags and range"
expect_kept 'queue 100-103 +no bypass computed inet mine input' "a hash with an offset"
expect_kept 'queue \? +no bypass computed inet mine input' "a map"

printf '#!/bin/sh\nexit 3\n' >"$scratch/bin/nft"
expect_output 'hint +the rules of nft could not be read: it ended with exit status 3' "a program that fails is named" \
	env PATH="$scratch/bin:$PATH" "$verdict" doctor --netns "$namespace"

# ---- the seven lines of /proc/net/ip_queue ----

# expect_seven TEXT PEER MODE RANGE LENGTH MAXLEN DROPPED LOST: standard output, to the byte
expect_seven() {
	local text=$1

	shift
	printf '%s\n' "Peer PID          : $1" "Copy mode         : $2" "Copy range        : $3" "Queue length      : $4" \
		"Queue max. length : $5" "Queue dropped     : $6" "Netlink dropped   : $7" >"$scratch/wanted"
	if [ "$status" -eq 0 ] && cmp -s "$scratch/wanted" "$scratch/seven"; then
		ok "$text"
	else
		not_ok "$text (exit status $status; < wanted, > seen)"
		diff "$scratch/wanted" "$scratch/seven" | sed 's/^/# /'
	fi
}

# seven QUEUE: $scratch/seven is what it prints, $output what it says besides
seven() {
	output=$(LIBIPQ_QUEUE=$1 "$verdict" doctor --netns "$namespace" --ipq 2>&1 >"$scratch/seven")
	status=$?
}

waits() {
	inside awk -v queue="$1" -v count="$2" '$1 == queue && $3 == count { found = 1 } END { exit !found }' \
		/proc/self/net/netfilter/nfnetlink_queue
}

seven ''
expect_seven "--ipq: nobody reads queue 0" 0 0 0 0 1024 0 0
if [ -z "$output" ]; then ok "and there is nothing to add"; else not_ok "and there is nothing to add"; show_output; fi
expect_exit 1 "--ipq without privilege: exit 1" inside \
	setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all "$verdict" doctor --ipq
expect_kept 'may not read the kernel.s queues: that needs root' "says why"
expect_exit 1 "--ipq in a namespace that is not there fails" "$verdict" doctor --ipq --netns no-such-namespace
expect_kept "there is no network namespace 'no-such-namespace'" "and is called so"

background nsenter --net="$namespace" -- "$verdict" run --queue 6 --function accept --copy-range 700 --maxlen 1200 --stats none \
	>"$scratch/reader" 2>&1
reader=$child
if ! inside iptables-legacy -A INPUT -p udp -j NFQUEUE --queue-num 6 2>"$scratch/iptables"; then
	skip "--ipq of a queue with packets in it: no iptables-legacy NFQUEUE here ($(head -n 1 "$scratch/iptables"))"
elif ! wait_until 20 is_bound 6; then
	not_ok "verdict run reads queue 6"
	sed 's/^/# /' "$scratch/reader"
else
	seven 6
	expect_seven "a reader's process, copy mode and range" "$reader" 2 700 0 1024 0 0
	expect_kept 'the kernel does not tell the length that queue 6 may have: 1024 is what it begins with' \
		"what the kernel does not tell is said"
	stand_still "$reader"
	send_udp 3
	seven 6
	expect_seven "three packets wait" "$reader" 2 700 3 1024 0 0
	send_udp 1207
	wait_until 20 waits 6 1200
	seven 6
	expect_seven "1200 wait, and ten were dropped" "$reader" 2 700 1200 1200 10 0
	expect_kept 'queue 6 may have: 1200 is what waits now' "which is more than the queue begins with"
	seven 0
	expect_seven "another queue is another matter" 0 0 0 0 1024 0 0

	portid=$(inside awk '$1 == 6 { print $2 }' /proc/self/net/netfilter/nfnetlink_queue)
	output=$(LIBIPQ_QUEUE=6 inside unshare --pid --fork --mount-proc "$verdict" doctor --ipq 2>&1 >"$scratch/seven")
	status=$?
	expect_seven "where no process can be seen: the portid" "$portid" 2 700 1200 1200 10 0
	expect_kept 'the process that reads queue 6 is not visible from here' "and that is said"
	kill -CONT "$reader"
fi
kill "$reader"
inside iptables-legacy -F INPUT 2>/dev/null

# ---- JSON ----

run_and_keep "$verdict" doctor --netns "$namespace" --json
if ! command -v python3 >/dev/null; then
	skip "--json: needs python3 to read it"
elif printf '%s' "$output" | python3 -c '
import json, sys
seen = json.load(sys.stdin)
assert {"kernel", "queues", "sources", "rules", "limits", "findings", "attention", "well"} <= set(seen)
assert seen["well"] == (seen["attention"] == 0) == ('"$status"' == 0)
assert seen["attention"] == sum(f["level"] == "attention" for f in seen["findings"])
' 2>"$scratch/python"; then
	ok "--json is JSON, and agrees with the exit status"
else
	not_ok "--json is JSON, and agrees with the exit status"
	sed 's/^/# /' "$scratch/python"
fi

# ---- what could be faster ----

# A router with queue 3: what it forwards to 10.99.0.2 comes from a neighbour's namespace, and goes back there.
make_router() {
	enter_new_namespace || return
	background unshare --net -- sleep 120
	neighbour=/proc/$child/ns/net
	wait_until 20 differs "$neighbour" /proc/self/ns/net || return
	inside ip link add left address 02:00:00:00:00:0a type veth peer name out netns "$child" &&
		inside ip link add right type veth peer name back address 02:00:00:00:00:02 netns "$child" &&
		inside ip address add 10.98.0.254/24 dev left && inside ip link set left up &&
		inside ip address add 10.99.0.254/24 dev right && inside ip link set right up &&
		inside ip neighbour add 10.99.0.2 lladdr 02:00:00:00:00:02 dev right nud permanent &&
		beside ip address add 10.98.0.1/24 dev out && beside ip link set out up && beside ip link set back up &&
		beside ip neighbour add 10.98.0.254 lladdr 02:00:00:00:00:0a dev out nud permanent &&
		beside ip route add 10.99.0.0/24 via 10.98.0.254 && inside sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
}

beside() {
	nsenter --net="$neighbour" -- "$@"
}

# forward COUNT: packets of UDP
forward() {
	beside bash -c 'exec 4>/dev/udp/10.99.0.2/9 && for ((i = 0; i < $1; i++)); do echo >&4; done' - "$1"
}

is_empty() {
	inside awk '$1 == 3 && $3 == 0 { found = 1 } END { exit !found }' /proc/self/net/netfilter/nfnetlink_queue
}

# forward_all THOUSANDS: no more at a time than a queue of 1200 can hold, so that none is lost however slow the reader is
forward_all() {
	local i

	for ((i = 0; i < $1; i++)); do
		forward 1000 && wait_until 10 is_empty || return
	done
}

# of_left MEMBER: what --json says of the device `left`
of_left() {
	"$verdict" doctor --netns "$namespace" --json |
		python3 -c 'import json, sys; print(next(one for one in json.load(sys.stdin)["devices"] if one["name"] == "left")[sys.argv[1]])' "$1"
}

# expect_no PATTERN TEXT: in what the last command printed
expect_no() {
	if printf '%s\n' "$output" | grep -Eq "$1"; then
		not_ok "$2"
		show_output
	else
		ok "$2"
	fi
}

look() {
	expect_exit "$1" "$2" "$verdict" doctor --netns "$namespace"
}

# /sys of the namespace, not that of the test
set_rps() {
	inside unshare --mount sh -c 'mount -t sysfs sysfs /sys && echo "$1" >/sys/class/net/left/queues/rx-0/rps_cpus' - "$1"
}

ln -s "$verdict" "$scratch/filter" # what is called verdict knows what it copies
if ! make_router 2>"$scratch/router"; then
	skip "what could be faster: no router could be made ($(head -n 1 "$scratch/router"))"
	finish
elif ! inside iptables-legacy -t mangle -A FORWARD -p udp -j NFQUEUE --queue-num 3 --queue-bypass 2>"$scratch/iptables"; then
	skip "what could be faster: no NFQUEUE here ($(head -n 1 "$scratch/iptables"))"
	finish
fi
background nsenter --net="$namespace" -- "$scratch/filter" run --queue 3 --function accept --copy-range 65531 --maxlen 1200 --stats none \
	>"$scratch/reader" 2>&1
reader=$child
wait_until 20 is_bound 3

if command -v python3 >/dev/null; then
	expect_output '^1$' "a veth has one receive queue" of_left rx_queues
	expect_output '^False$' "and no RPS" of_left rps
	expect_exit 0 "RPS is switched on" set_rps 1
	expect_output '^True$' "which is seen" of_left rps
	expect_exit 0 "and off again" set_rps 0
	expect_output '^False$' "which is seen as well" of_left rps
else
	skip "devices in --json: needs python3 to read it"
fi

forward 100
wait_until 10 is_empty
look 0 "few packets: exit 0"
expect_kept '^  left +1 +off ' "devices are listed"
expect_no '^  (hint|note) ' "and nothing is said about what could be faster"

forward_all 10
look 0 "many packets: exit 0 all the same"
expect_kept 'hint +queue 3: whole packets are copied' "whole packets are copied"
if command -v ethtool >/dev/null && ethtool -k lo | grep -q '^rx-udp-gro-forwarding:'; then
	expect_kept 'hint +the rule in ip mangle FORWARD queues UDP that is forwarded.*ethtool -K left rx-udp' "UDP could be joined"
	inside ethtool -K left rx-udp-gro-forwarding on
	look 0 "when it is: exit 0"
	expect_no 'rx-udp-gro-forwarding on' "it is not said again"
	expect_kept '^  left +1 +off +on$' "but shown"
else
	skip "UDP GRO forwarding: needs ethtool and a kernel that has it"
fi
expect_no 'TCP connection|connections are tracked|one receive queue' "what does not apply is not said"

if inside iptables-legacy -t mangle -I FORWARD -m conntrack --ctstate INVALID -j DROP 2>"$scratch/iptables"; then
	forward 1
	look 0 "tracked connections: exit 0"
	expect_kept 'note +connections are tracked \([0-9]+ now\), those of the rule in ip mangle FORWARD' "they are noted"
	inside iptables-legacy -t raw -A PREROUTING -p udp -j CT --notrack
	look 0 "with NOTRACK: exit 0"
	expect_no 'connections are tracked' "they are not"
	inside iptables-legacy -t raw -F
	inside iptables-legacy -t mangle -A FORWARD -p tcp -j NFQUEUE --queue-num 3 --queue-bypass
	look 0 "whole connections are queued: exit 0"
	expect_kept 'hint +the rule in ip mangle FORWARD queues every packet of a TCP connection' "a connection mark is proposed"
	inside iptables-legacy -t mangle -I FORWARD -m connmark --mark 1/1 -j ACCEPT
	look 0 "with a connection mark: exit 0"
	expect_no 'TCP connection' "it is not"
else
	skip "tracked connections: none here ($(head -n 1 "$scratch/iptables"))"
fi

stand_still "$reader"
forward 2000
kill -CONT "$reader"
wait_until 10 is_empty
look 1 "lost packets: exit 1"
if [ "$(getconf _NPROCESSORS_CONF)" -gt 1 ]; then
	expect_kept 'hint +left has one receive queue.*/sys/class/net/left/queues/rx-0/rps_cpus' "other CPUs could help"
	set_rps 1
	look 1 "lost packets, with RPS: exit 1"
	expect_no 'one receive queue' "they do"
else
	skip "RPS: one CPU has nobody to share with"
fi
kill "$reader"

finish
