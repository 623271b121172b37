#!/bin/bash
# SPDX-License-Identifier: MIT
#
# verdict rules, as a person uses it: what is refused and how it is said; and for each back end that this kernel has, the rules
# that it sets, on real packets: a router in the middle (this script's own namespace) between "client" and "server", and an engine
# on the queues. Counted is what the engine was given, and what came back.

# shellcheck disable=SC2317 # functions that wait_until and expect_exit call

set -u
cd "$(dirname "$0")/../.." || exit 1
. test/support/namespace.sh
. test/support/shell.sh
. test/support/daemon.sh

programs=$build/bench/net
export VERDICT_FUNCTION_PATH=$build/functions
queues=/proc/net/netfilter/nfnetlink_queue

# ---- what is refused ----

# usage PATTERN OPTION...
usage() {
	local pattern=$1

	shift
	expect_sentence rules 2 "$pattern" "wrong usage: rules ${*:-without options}" "$@"
}

usage 'needs to know which packets: --hook'
usage 'needs to know which packets: --hook' --queue 0
usage 'needs a queue to send packets to: --queue N' --hook input
usage "hook takes prerouting, .*, not 'ingress'" --queue 0 --hook ingress
usage "hook takes prerouting, .*, not 'input,'" --queue 0 --hook input,
usage "backend takes iptables-legacy, .*, not 'pf'" --queue 0 --hook input --backend pf
usage "family takes ipv4, ipv6 or both, not 'inet'" --queue 0 --hook input --family inet
usage "in takes the name of an interface.*, not 'eth0;reboot'" --queue 0 --hook input --in 'eth0;reboot'
usage "out takes the name of an interface.*, not 'averylonginterface'" --queue 0 --hook output --out averylonginterface
usage "protocol takes tcp, .*, not 'tpc'" --queue 0 --hook input --protocol tpc
usage "protocol takes tcp, .*, not '256'" --queue 0 --hook input --protocol 256
usage "connmark takes VALUE.*, not '0x10/0x1'" --queue 0 --hook input --connmark 0x10/0x1
usage "connmark takes VALUE.*, not '0'" --queue 0 --hook input --connmark 0
usage "reject-mark takes a number .*, not '0'" --queue 0 --hook input --reject-mark 0
usage 'packets in output have no incoming interface: say --out as well, or leave --in out' --queue 0 --hook input,output --in eth0
usage 'packets in prerouting have no outgoing interface: say --in as well, or leave --out out' --queue 0 --hook prerouting --out eth0
usage 'cpu-fanout needs several queues' --queue 0 --hook input --cpu-fanout
usage 'queues 3 and 7 have a gap between them' --queue 0-3 --queue 7 --hook input
usage 'answers with the mark 0x81 have the mark of decided connections in them' --queue 0 --hook input --reject-mark 0x81 \
	--connmark 0x1/0x1
usage 'connmark cannot be with --hook postrouting and iptables-nft' --queue 0 --hook postrouting --connmark 1/1 \
	--backend iptables-nft
usage "match takes conditions of iptables, .*, not 'udp dport 53'" --queue 0 --hook input --match 'udp dport 53' \
	--backend iptables-legacy
usage "match takes conditions for one rule: without ';'" --queue 0 --hook input --match 'accept; drop' --backend nft
expect_sentence rules 2 'match takes one line' "a match that would be two lines" --queue 0 --hook input --match $'-p udp\nCOMMIT'
usage 'remove takes away the whole set, so --hook does not go with it' --remove --hook input
usage "takes options only, not 'surplus'" --queue 0 --hook input surplus
printf 'queue 0-3;\nnetns blue;\nreject-mark 0x80;\n' >"$scratch/good.conf"
printf 'queue 0;\nmaxlen x;\n' >"$scratch/bad.conf"
printf 'workers 1;\n' >"$scratch/none.conf"
expect_sentence rules 2 'bad.conf:2: maxlen takes' "a file that is not in order" --hook input --config "$scratch/bad.conf"
usage 'needs a queue to send packets to' --hook input --config "$scratch/none.conf"

# ---- what is printed needs nothing ----

for backend in iptables-legacy iptables-nft nft; do
	expect_exit 0 "$backend: rules are printed" env -i PATH=/nowhere "$verdict" rules --config "$scratch/good.conf" --hook input --backend "$backend"
	expect_kept '(--queue-balance 0:3|to 0-3)' "$backend: with the queues of the file"
	expect_kept 'mark 0x80' "$backend: and its reject-mark"
	expect_kept '(-j NFQUEUE|counter queue flags bypass to 0-3$)' "$backend: by a rule that counts"
	expect_kept '^# .*nsenter --net=/run/netns/blue (sh|nft -f) FILE$' "$backend: and its namespace"
	expect_exit 0 "$backend: --queue wins over the file" "$verdict" rules --config "$scratch/good.conf" --queue 9 --hook input --backend "$backend"
	expect_kept '(--queue-num 9|to 9)' "$backend: by what is printed"
done
mkdir "$scratch/legacy" "$scratch/new"
printf '#!/bin/sh\necho "iptables v1.8.9 (legacy)"\n' >"$scratch/legacy/iptables"
printf '#!/bin/sh\necho "iptables v1.8.9 (nf_tables)"\n' >"$scratch/new/iptables"
chmod +x "$scratch"/*/iptables
expect_output '^iptables-legacy-restore' "auto: iptables is a legacy one" env PATH="$scratch/legacy:$PATH" "$verdict" rules --queue 0 --hook input
expect_output '^iptables-nft-restore' "auto: iptables is a new one" env PATH="$scratch/new:$PATH" "$verdict" rules --queue 0 --hook input

if [ "$(id -u)" -ne 0 ]; then
	expect_sentence rules 1 'may not read or change rules here: that needs CAP_NET_ADMIN' "without privileges" \
		--queue 0 --hook input --backend iptables-legacy --apply
	skip "rules on real packets: needs root"
	finish
fi
for need in "$programs/pingpong" "$programs/sink"; do
	if [ ! -x "$need" ]; then
		skip "rules on real packets: needs $need (make)"
		finish
	fi
done
if ! command -v jq >/dev/null; then
	skip "rules on real packets: needs jq"
	finish
fi

chmod a+rx "$scratch"
unprivileged=(setpriv --reuid=65534 --regid=65534 --clear-groups --bounding-set=-all --inh-caps=-all --)
install -m 755 "$verdict" "$scratch/verdict"
for backend in iptables-legacy iptables-nft nft; do
	for action in '--queue 0 --hook input --apply' '--remove' '--remove --apply'; do
		# shellcheck disable=SC2086 # words
		expect_exit 1 "$backend: a user without privileges is refused: $action" "${unprivileged[@]}" "$scratch/verdict" rules $action --backend "$backend"
		expect_kept '^verdict: .* may not read or change rules here: that needs CAP_NET_ADMIN .*: run as root$' "$backend: and told what is missing"
	done
done
expect_sentence rules 1 "there is no network namespace 'none-such'" "a namespace that is not there" --queue 0 --hook input --apply --netns none-such
expect_sentence rules 1 "'/dev/null' is not a network namespace" "a file that is no namespace" --remove --netns /dev/null

# ---- a router between two ----

# neighbour: $child is the process that keeps it
neighbour() {
	background unshare --net -- sleep 900
	wait_until 10 differs "/proc/$child/ns/net" /proc/self/ns/net || exit 1
}

inside() {
	nsenter --net="/proc/$1/ns/net" -- "${@:2}"
}

neighbour
client=$child
neighbour
server=$child
mount -t tmpfs tmpfs /run && mkdir /run/netns && touch /run/netns/here && mount --bind "/proc/$$/ns/net" /run/netns/here
{
	ip link set lo up && ip link add left type veth peer name wire netns "$client" &&
		ip link add right type veth peer name wire netns "$server" &&
		ip address add 10.9.1.1/24 dev left && ip address add 10.9.2.1/24 dev right &&
		ip -6 address add fd09:2::1/64 dev right nodad &&
		ip link set left up && ip link set right up && echo 1 >/proc/sys/net/ipv4/ip_forward &&
		inside "$client" ip address add 10.9.1.2/24 dev wire && inside "$client" ip link set wire up &&
		inside "$client" ip route add default via 10.9.1.1 &&
		inside "$server" ip address add 10.9.2.2/24 dev wire && inside "$server" ip -6 address add fd09:2::2/64 dev wire nodad &&
		inside "$server" ip link set wire up && inside "$server" ip route add default via 10.9.2.1
} || exit 1
background nsenter --net="/proc/$server/ns/net" -- "$programs/sink" --bind :: --port 7000 --ports 4 --echo 2>"$scratch/sink" >/dev/null
wait_until 20 grep -q ready "$scratch/sink" || exit 1

# ask HOW PORT COUNT: one after another, each sent when the last one has come back; $answers is how many did. HOW: from the
# client, through the router; from the router itself; the same with IPv6
ask() {
	local from=() to=10.9.2.2

	case $1 in
	through) from=(nsenter --net="/proc/$client/ns/net" --) ;;
	own6) to=fd09:2::2 ;;
	esac
	answers=$("${from[@]}" "$programs/pingpong" --to "$to" --port "$2" --count "$3" --wait "${4:-5000}" 2>"$scratch/pingpong" |
		jq '.received // .answers // .count')
}

# start OPTION...: an engine on queues 0 and 1
start() {
	start_daemon "$scratch/out" "$scratch/err" --queue 0-1 --stats json "$@"
}

# stop: $given is how many packets it had
stop() {
	kill -TERM "$engine"
	wait "$engine"
	given=$(jq -s 'last | [.queues[].received] | add' "$scratch/out")
}

waiting() {
	awk '{ sum += $3 } END { print sum + 0 }' "$queues"
}

# expect_equal WANTED SEEN TEXT
# apply OPTION...: fails when it cannot be done
apply() {
	run_and_keep timeout 60 "$verdict" rules --backend "$backend" --apply "$@"
	if [ "$status" -ne 0 ]; then
		not_ok "$backend: rules $*"
		show_output
	fi
	return "$status"
}

# what is there of ours, in any back end
ours() {
	local save

	for save in iptables-legacy-save ip6tables-legacy-save iptables-nft-save ip6tables-nft-save; do
		"$save" 2>/dev/null | grep VERDICT | sed "s/^/$save /"
	done
	nft list ruleset 2>/dev/null | sed -n '/^table inet verdict/,/^}/p' | sed 's/counter packets [0-9]* bytes [0-9]*/counter/'
}

# try_connmark TEXT HOOKS HOW FIRST GIVEN: `first:FIRST` marks a flow; GIVEN of its packets are queued until then, and all come back
port=7000
try_connmark() {
	local text=$1 hooks=$2 how=$3 first=$4 wanted=$5

	apply --queue 0-1 --hook "$hooks" --protocol udp --connmark 0x1/0x1 || return
	start --function "first:$first"
	port=$((port == 7003 ? 7000 : port + 1))
	ask "$how" "$port" 20
	stop
	expect_equal 20 "$answers" "$backend: $text: all are answered"
	expect_equal "$wanted" "$given" "$backend: $text: $wanted packets were queued, then the connection passes by"
}

try_backend() {
	local once twice

	# in two hooks, both directions are counted; the packet that is marked is once an outgoing one, once an incoming one
	try_connmark "of this machine" input,output own 2 3
	try_connmark "of this machine, marked on the way in" input,output own 3 4
	try_connmark "of this machine, IPv6" input,output own6 2 3
	try_connmark "on the way in, first hook" prerouting own 3 4
	try_connmark "forwarded" forward through 3 4
	try_connmark "forwarded, first hook" prerouting through 3 4

	# without the option the same function changes nothing
	apply --queue 0-1 --hook forward --protocol udp || return
	start --function first:3
	ask through 7000 20
	stop
	expect_equal "20 40" "$answers $given" "$backend: without --connmark all packets are queued"

	# what does not fit is not queued
	apply --queue 0-1 --hook forward --in left --protocol udp || return
	start --function accept
	ask through 7000 20
	ask own 7000 20
	stop
	expect_equal "20 20" "$answers $given" "$backend: --in: one direction of what is forwarded, and nothing else"
	apply --queue 0-1 --hook postrouting --out righ+ --protocol udp || return
	start --function accept
	ask through 7000 20
	stop
	expect_equal "20 20" "$answers $given" "$backend: --out, the beginning of a name: the other direction"
	apply --queue 0-1 --hook output --protocol tcp || return
	start --function accept
	ask own 7000 20
	stop
	expect_equal "20 0" "$answers $given" "$backend: --protocol: another one passes by"
	if [ "$backend" = nft ]; then set -- 'udp dport 7002'; else set -- '-m udp --dport 7002'; fi
	apply --queue 0-1 --hook output --protocol udp --match "$1" || return
	start --function accept
	ask own 7000 20
	ask own 7002 20
	stop
	expect_equal "20 20" "$answers $given" "$backend: --match: one port"
	apply --queue 0-1 --hook output --family ipv6 --protocol udp || return
	start --function accept
	ask own 7000 20
	ask own6 7000 20
	stop
	expect_equal "20 20" "$answers $given" "$backend: --family: only IPv6, and what was there of IPv4 is gone"

	# answers to rejected packets are packets of this machine, too
	apply --queue 0-1 --hook output --family ipv4 --reject-mark 0x80 || return
	start --function reject --reject-mark 0x80
	echo >/dev/udp/10.9.2.2/7000
	wait_until 20 grep -q '"answered":1' "$scratch/out" # a second line of statistics: an answer that is queued has been read
	stop
	expect_equal "1 1" "$given $(jq -s 'last | [.queues[].answered] | add' "$scratch/out")" \
		"$backend: --reject-mark: the answer is not queued again"

	# nobody reads
	apply --queue 0-1 --hook output --protocol udp || return
	ask own 7000 3
	expect_equal 3 "$answers" "$backend: nobody reads the queue: packets pass"
	apply --queue 0-1 --hook output --protocol udp --no-bypass || return
	if ask own 7000 3 100 && [ "${answers:-0}" -gt 0 ]; then
		not_ok "$backend: --no-bypass: they do not"
	else
		ok "$backend: --no-bypass: they do not"
	fi

	# once more is once; another set takes the place; then nothing is left
	apply --queue 0-1 --hook input,output --connmark 0x1/0x1 || return
	once=$(ours)
	apply --queue 0-1 --hook input,output --connmark 0x1/0x1 || return
	twice=$(ours)
	expect_equal "$once" "$twice" "$backend: setting it twice is one set"
	apply --netns here --queue 7 --queue 8 --hook forward --cpu-fanout || return
	expect_equal 0 "$(ours | grep -Eci ' (input|output|postrouting) ')" "$backend: another set takes its place, hooks and all"
	output=$(ours)
	expect_kept '(balance 7:8|num 7-8|to 7-8)' "$backend: with its own queues"
	other=iptables-legacy
	[ "$backend" != iptables-legacy ] || other=iptables-nft
	expect_sentence rules 1 "there is a set already, by $backend: take it away first" "$backend: no second set by $other" \
		--queue 0 --hook input --backend $other --apply

	run_and_keep "$verdict" rules --remove
	expect_kept '^(-X VERDICT|nft delete table inet verdict)$' "$backend: --remove prints what would take it away"
	if [ -z "$(ours)" ]; then not_ok "$backend: but takes nothing away"; else ok "$backend: but takes nothing away"; fi
	printf '%s\n' "$output" >"$scratch/remove"
	expect_exit 0 "$backend: what it prints can be run" sh -e "$scratch/remove"
	expect_equal '' "$(ours)" "$backend: and leaves nothing"
	"$verdict" rules --backend "$backend" --queue 0-1 --hook input,output --connmark 0x1/0x1 >"$scratch/set"
	if [ "$backend" = nft ]; then set -- nft -f; else set -- sh; fi
	expect_exit 0 "$backend: the printed rules can be run" "$@" "$scratch/set"
	expect_equal "$once" "$(ours)" "$backend: and are those that --apply sets"
	expect_exit 0 "$backend: --remove --apply" "$verdict" rules --remove --apply
	expect_equal '' "$(ours)" "$backend: leaves nothing"
	expect_output '^there are no rules of verdict here$' "$backend: once more there is nothing" "$verdict" rules --remove --apply
}

# expect_unchanged TEXT OPTION...: refused with 1, and all is as before
expect_unchanged() {
	local before after text=$1

	before=$(ours)
	run_and_keep "$verdict" rules --backend "$backend" --apply "${@:2}"
	after=$(ours)
	if [ "$status" -eq 1 ] && [ "$before" = "$after" ] && [ "$(printf '%s\n' "$output" | wc -l)" -eq 1 ]; then
		ok "$backend: $text: one sentence, and all is as it was"
	else
		not_ok "$backend: $text (exit status $status)"
		show_output
		diff <(printf '%s\n' "$before") <(printf '%s\n' "$after") | sed 's/^/# /'
	fi
}

for backend in iptables-legacy iptables-nft nft; do
	run_and_keep "$verdict" rules --backend "$backend" --queue 0 --hook input --apply
	if [ "$status" -ne 0 ]; then
		expect_kept '^verdict: this kernel has no .*modprobe' "$backend: what the kernel lacks is said"
		expect_equal '' "$(ours)" "$backend: and nothing is left"
		skip "$backend: rules on real packets ($output)"
		continue
	fi
	try_backend
	apply --queue 0-1 --hook output --connmark 0x1/0x1
	expect_unchanged "a match that there is not" --queue 0 --hook input --match '-m no-such-match'
	expect_unchanged "a match of one family" --queue 0 --hook input --match '-s 192.0.2.1'
	expect_unchanged "a match that only another hook has" --queue 0 --hook input --connmark 0x2/0x2 --match '-m owner --uid-owner 0'
	"$verdict" rules --remove --apply >/dev/null
	if [ "$backend" != nft ]; then
		for protocol in tcp udp udplite sctp dccp icmp esp ah gre 47; do
			apply --queue 0 --hook input --protocol "$protocol" && ok "$backend: --protocol $protocol"
		done
	fi
	"$verdict" rules --remove --apply >/dev/null
	expect_equal '' "$(ours)" "$backend: nothing is left in the end"
done

# ---- nft, where the kernel has all but its queue statement ----

without_queue() {
	"$verdict" rules --backend nft --queue 0-1 --hook input,output,forward --cpu-fanout "$@" | sed 's/queue flags .*/accept/'
}

if ! command -v nft >/dev/null || ! nft list tables >/dev/null 2>&1; then
	skip "the rulesets of nft: no nft here, or a kernel without nf_tables"
else
	for protocol in tcp udp udplite sctp dccp icmp esp ah gre 47; do
		without_queue --protocol "$protocol" --in left --out righ+ --connmark 0x10/0xf0 --reject-mark 0x100 >"$scratch/ruleset"
		expect_exit 0 "nft takes the ruleset, but for its queue statement: $protocol" nft -c -f "$scratch/ruleset"
	done
	"$verdict" rules --backend nft --queue 0-1 --hook input --cpu-fanout >"$scratch/ruleset"
	run_and_keep nft -c -f "$scratch/ruleset"
	if [ "$status" -eq 0 ]; then
		ok "nft takes the queue statement"
	elif [[ $output == *'Could not process rule: No such file or directory'* ]]; then
		skip "nft's queue statement: it can be read, but this kernel has no nft_queue"
	else
		not_ok "nft takes the queue statement"
		show_output
	fi

	# marks are saved a step behind the queue of the same hook: here a queue that iptables fills
	without_queue --connmark 0x1/0x1 >"$scratch/ruleset"
	if nft -f "$scratch/ruleset" && iptables-legacy -t mangle -A OUTPUT -p udp -m connmark ! --mark 1/1 -j NFQUEUE --queue-balance 0:1 &&
		iptables-legacy -t mangle -A INPUT -p udp -m connmark ! --mark 1/1 -j NFQUEUE --queue-balance 0:1; then
		start --function first:2
		ask own 7001 20
		stop
		expect_equal "20 3" "$answers $given" "nft: the chain behind the queue saves the mark of a packet that goes out"
		start --function first:3
		ask own 7002 20
		stop
		expect_equal "20 4" "$answers $given" "nft: and of one that comes in"
	else
		skip "nft: saving marks: no iptables-legacy here that could queue"
	fi
	iptables-legacy -t mangle -F
	backend=nft
	expect_exit 0 "nft: --remove --apply" "$verdict" rules --remove --apply
	expect_equal '' "$(ours)" "nft: leaves nothing"

	# --apply, where an nft stands before the real one that takes the queue statement out
	mkdir "$scratch/bin"
	cat >"$scratch/bin/nft" <<-END
		#!/bin/sh
		if [ "\$1" = -f ]; then exec sed 's/queue flags .*/accept/' | $(command -v nft) -f -; fi
		exec $(command -v nft) "\$@"
	END
	chmod +x "$scratch/bin/nft"
	PATH=$scratch/bin:$PATH
	apply --queue 0-1 --hook input,output --connmark 0x1/0x1
	once=$(ours)
	expect_equal "1 4" "$(grep -c '^table' <<<"$once") $(grep -c 'type filter hook' <<<"$once")" "nft: --apply sets a table with its chains"
	apply --queue 0-1 --hook input,output --connmark 0x1/0x1
	expect_equal "$once" "$(ours)" "nft: setting it twice is one set"
	if iptables-legacy -t mangle -A OUTPUT -p udp -j NFQUEUE --queue-num 0; then
		start --function accept
		stand_still "$engine"
		for _ in 1 2 3; do echo >/dev/udp/10.9.2.2/7009; done
		apply --queue 0 --hook output,forward,input --connmark 0x1/0x1 --reject-mark 8
		expect_equal 3 "$(waiting)" "nft: another set with the same hooks, and more: packets that wait stay in the queue"
		expect_equal 1 "$(ours | grep -c 'mark 0x0*8 return')" "nft: and the rules are the new ones"
		apply --queue 0 --hook output
		expect_equal 0 "$(waiting)" "nft: a set with fewer hooks: the kernel drops them"
		kill -CONT "$engine"
		stop
		iptables-legacy -t mangle -F
	fi
	expect_equal 1 "$(ours | grep -c 'type filter hook')" "nft: and its hooks are all there are"
	expect_exit 0 "nft: --remove --apply" "$verdict" rules --remove --apply
	expect_equal '' "$(ours)" "nft: leaves nothing"
fi

finish
