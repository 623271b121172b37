# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# What the measuring scripts of bench/net share: arguments, namespaces of their own, the queue. Source it.
#
# A script measures in namespaces without a name: two of network (a sender's, in which it runs, and a receiver's, with a
# veth pair between), of mounts and of processes. It calls itself in them, with --inside; their first process is killed
# with the script, however that ends, and everything else goes with it. Standard output and descriptor 3, where JSON
# goes, are those of the caller.

script=${0##*/}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
build=$root/build/${BUILD:-plain}
# shellcheck disable=SC2034 # for those who source this
tools=$build/bench/net

# refuse SENTENCE: the usage is wrong
refuse() {
	echo "$script: $1" >&2
	exit 2
}

# give_up SENTENCE: the system does not do as asked; with what the measured program said, if there is a log of it
give_up() {
	echo "$script: $1" >&2
	[[ -s /run/log ]] && sed "s/^/$script: it said: /" /run/log >&2
	exit 1
}

# check_number OPTION VALUE MIN MAX
check_number() {
	[[ $2 =~ ^[1-9][0-9]{0,8}$ ]] || refuse "$1 takes a number from $3 to $4, not '$2'"
	(($2 >= $3 && $2 <= $4)) || refuse "$1 takes a number from $3 to $4, not '$2'"
}

# ---- outside ----

# need PROGRAM...: they are there
need() {
	local program

	for program; do
		type -P "$program" >/dev/null || refuse "there is no program '$program'; build it first (make)"
	done
}

# enter JSON ARGUMENT...: opens the file, if it has a name, and calls the script with --inside in its namespaces
enter() {
	local json=$1 holder

	shift
	((EUID == 0)) || refuse 'network namespaces and large socket buffers need root'
	if [[ $json ]]; then
		{ exec 3>"$json"; } 2>/dev/null || refuse "cannot write to '$json'"
	fi
	# the holder dies with this shell, its child with the holder, and everything else with that: it is their init
	setpriv --pdeathsig KILL unshare --net --mount --pid --mount-proc --fork --kill-child "$0" "$@" --inside &
	holder=$!
	trap 'kill -KILL "$holder"; exit 1' INT TERM HUP
	wait "$holder"
}

# ---- inside ----

in_receiver() {
	nsenter --net="/proc/$receiver/ns/net" "$@"
}

# new_namespace: sets `namespace` to the pid of a process in a network namespace of its own
new_namespace() {
	unshare --net sleep infinity 3>&- &
	namespace=$!
	while [[ $(readlink "/proc/$namespace/ns/net") == "$(readlink /proc/self/ns/net)" ]]; do
		kill -0 "$namespace" || give_up 'cannot make a network namespace'
		sleep 0.01
	done
}

own_run() {
	mount -t tmpfs tmpfs /run || give_up 'cannot mount a /run of its own'
}

# the sender is 10.99.0.1, the receiver 10.99.0.2; UDP to its port 9000 goes through queue 0
make_namespaces() {
	own_run
	new_namespace
	receiver=$namespace
	# the neighbour is written down: no packet waits for ARP
	{
		ip link add out type veth peer name in address 02:00:00:00:00:02 netns "$receiver" &&
			ip address add 10.99.0.1/24 dev out && ip link set out up &&
			ip neighbour add 10.99.0.2 lladdr 02:00:00:00:00:02 dev out nud permanent &&
			in_receiver ip address add 10.99.0.2/24 dev in && in_receiver ip link set in up &&
			iptables-legacy -w -A OUTPUT -p udp --dport 9000 -j NFQUEUE --queue-num 0
	} || give_up 'cannot set up the network namespaces'
}

# fields of queue 0 into queue[]: number, portid, waiting, mode, copy range, queue dropped, user dropped, id, 1
read_queue() {
	read -r -a queue < <(awk '$1 == 0' /proc/self/net/netfilter/nfnetlink_queue) && ((${#queue[@]} >= 8))
}

# start NAME COMMAND ...: sets `program` to its pid; it owns the queue then, and has begun to sleep
start() {
	local name=$1 tries=500

	shift
	"$@" >/run/log 2>&1 3>&- &
	program=$!
	until read_queue; do
		kill -0 "$program" 2>/dev/null || give_up "$name ended before it bound queue 0"
		((--tries)) || give_up "$name did not bind queue 0 within 5 seconds"
		sleep 0.01
	done
	sleep 0.1 # all its threads are there, and sleep
}

# end NAME: of what `start` started
end() {
	local status

	kill -TERM "$program"
	wait "$program"
	status=$?
	# 143: a program that lets SIGTERM kill it
	((status == 0 || status == 143)) || give_up "$1 ended with exit code $status"
}

# what has come to the rule that counts in the receiver's namespace
count_arrived() {
	in_receiver iptables-legacy -w -t raw -nvxL PREROUTING | awk '/DROP/ { print $1 }'
}

# CPU time of all threads of the program so far, in ns
cpu_ns() {
	awk '{ sum += $1 } END { printf "%d\n", sum }' "/proc/$program"/task/*/schedstat ||
		give_up 'this kernel does not tell the CPU time of threads (schedstat)'
}

# ---- summaries: the beginning of a program for awk, which has the number of values in `rounds` ----

# shellcheck disable=SC2034,SC2016 # for those who source this; a program of awk
awk_statistics='
	# sorts list[1] to list[rounds]; awk has no sort of its own
	function sort(list, i, j, value) {
		for (i = 2; i <= rounds; i++) {
			value = list[i]
			for (j = i - 1; j && list[j] > value; j--)
				list[j + 1] = list[j]
			list[j + 1] = value
		}
	}
	function median(list) {
		return (list[int((rounds + 1) / 2)] + list[int(rounds / 2) + 1]) / 2
	}
'
