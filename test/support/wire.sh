# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# Two ends of a wire, for command tests: "near", the script's own namespace of network, 10.9.0.1 at near0; and "far", 10.9.0.2 at
# far0. Source it behind shell.sh, in a namespace without a name, and lay_wire.

# fields of a queue: number, portid, waiting ...
queues=/proc/net/netfilter/nfnetlink_queue

differs() {
	[ "$(readlink "$1")" != "$(readlink "$2")" ]
}

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
