# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# Two ends of a wire, for command tests: "near", the script's own namespace of network, 10.9.0.1 at near0; and "far", 10.9.0.2 at
# far0. Source it behind shell.sh, in a namespace without a name, and lay_wire.

# fields of a queue: number, portid, waiting ...
queues=/proc/net/netfilter/nfnetlink_queue

# lay_wire: $far is a process there
lay_wire() {
	background unshare --net -- sleep 900
	# shellcheck disable=SC2154 # background sets it
	far=$child
	wait_until 20 differs "/proc/$far/ns/net" /proc/self/ns/net &&
		ip link set lo up && ip link add near0 type veth peer name far0 netns "$far" &&
		ip address add 10.9.0.1/24 dev near0 && ip link set near0 up &&
		far ip address add 10.9.0.2/24 dev far0 && far ip link set far0 up && far ip link set lo up || exit 1
}

# far COMMAND...: there
far() {
	nsenter --net="/proc/$far/ns/net" -- "$@"
}

# is_bound QUEUE
is_bound() {
	awk -v queue="$1" '$1 == queue { found = 1 } END { exit !found }' "$queues"
}

# nothing waits in any queue
is_empty() {
	awk '{ waiting += $3 } END { exit waiting != 0 }' "$queues"
}

# ---- packets along it: needs bench/net's programs in $build, and a rule with the comment "offered" in INPUT ----

# load: from "far" until unload, to ports 9000 to 9003, in 16 flows; a receiver counts
load() {
	iptables-legacy -w -Z INPUT
	# shellcheck disable=SC2154 # shell.sh has it
	background "$build/bench/net/sink" --port 9000 --ports 4 >"$scratch/sink" 2>"$scratch/sink.err"
	receiver=$child
	wait_until 20 grep -q ready "$scratch/sink.err" || not_ok "the receiver does not start"
	background nsenter --net="/proc/$far/ns/net" -- "$build/bench/net/send" --to 10.9.0.1 --port 9000 --ports 4 --flows 16 \
		--rate 4000 >/dev/null
	sender=$child
}

# unload: $offered, $received; what was reordered or came twice has to be 0
# shellcheck disable=SC2034 # for those who source this
unload() {
	kill -INT "$sender"
	wait "$sender"
	wait_until 60 is_empty
	kill -INT "$receiver"
	wait "$receiver"
	offered=$(iptables-legacy -w -nvxL INPUT | awk '/offered/ { print $1 }')
	output=$(cat "$scratch/sink")
	received=$(field received)
	expect_kept '"reordered":0,"duplicates":0,"corrupt":0' "in order, each once"
	expect_kept '"socket_lost":0' "and the receiver kept up"
}

# field NAME: the first number of that name in the JSON that is $output
field() {
	printf '%s\n' "$output" | grep -o "\"$1\":[0-9]*" | head -n 1 | cut -d: -f2
}
