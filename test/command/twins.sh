#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Two daemons with one configuration: the second one is refused, with one sentence that names the first, and the first one does not
# notice: its queues, its control socket, its metrics, its rules and its packets are as before. Near and far are the ends of a
# wire, the daemons are near.

# shellcheck disable=SC2317 # functions that wait_until calls

set -u
cd "$(dirname "$0")/../.." || exit 1
. test/support/namespace.sh
. test/support/shell.sh
. test/support/wire.sh
. test/support/daemon.sh

export VERDICT_FUNCTION_PATH=$build/functions

if [ "$(id -u)" -ne 0 ]; then
	skip "two daemons: needs root"
	finish
fi
lay_wire
mount -t tmpfs tmpfs /run || exit 1

# metric NAME: as it is scraped
metric() {
	exec 5<>/dev/tcp/127.0.0.1/9464 || return
	printf 'GET /metrics HTTP/1.1\r\nHost: twins\r\nConnection: close\r\n\r\n' >&5
	awk -v name="$1" 'index($0, name) == 1 { print $2 }' <&5
	exec 5>&-
}

owners() {
	awk '{ print $1, $2 }' "$queues" | sort
}

rules() {
	iptables-legacy-save | grep -v '^[#:]'
}

printf 'queue 7-8;\ncontrol twin;\nmetrics 9464;\nstats none;\nfunction match { arguments "udp port 9001=drop"; }\n' >"$scratch/all.conf"
sed '/^control/d; /^metrics/d' "$scratch/all.conf" >"$scratch/queues.conf"
sed 's/queue 7-8/queue 17-18/; /^metrics/d' "$scratch/all.conf" >"$scratch/control.conf"
sed 's/queue 7-8/queue 17-18/; /^control/d' "$scratch/all.conf" >"$scratch/metrics.conf"
sed 's/queue 7-8/queue 6-8/; /^control/d; /^metrics/d' "$scratch/all.conf" >"$scratch/some.conf"

"$verdict" rules --config "$scratch/all.conf" --hook input --protocol udp --family ipv4 --backend iptables-legacy --apply >/dev/null || exit 1
start_daemon "$scratch/out" "$scratch/err" --config "$scratch/all.conf" || finish
first=$engine
sockets=$(ls -i /run/verdict)
rules_before=$(rules)
owners_before=$(owners)

# packets all the time
background "$build/bench/net/sink" --port 9000 --ports 2 >"$scratch/sink" 2>"$scratch/sink.err"
receiver=$child
wait_until 20 grep -q ready "$scratch/sink.err" || not_ok "the receiver does not start"
background nsenter --net="/proc/$far/ns/net" -- "$build/bench/net/send" --to 10.9.0.1 --port 9000 --flows 16 --rate 2000 >"$scratch/sent"
sender=$child

# refused PATTERN TEXT FILE [OPTION...]: with this sentence, and the first one is as before
refused() {
	expect_sentence run 1 "$1" "$2" --config "${@:3}"
	if [ "$(owners)" = "$owners_before" ]; then ok "the queues are the first one's"; else not_ok "the queues are the first one's ($(owners))"; fi
	if [ "$(ls -i /run/verdict)" = "$sockets" ] && "$verdict" stats twin | grep -q "pid $first,"; then
		ok "it answers by its name"
	else
		not_ok "it answers by its name"
	fi
	if [ -n "$(metric 'verdict_queue_packets_received_total{queue="7"}')" ]; then ok "it shows its metrics"; else not_ok "it shows its metrics"; fi
	if [ "$(rules)" = "$rules_before" ]; then ok "the rules are as before"; else not_ok "the rules are as before"; fi
}

refused "twin.*pid $first" "the same file: who has the name" "$scratch/all.conf"
refused "queue [78] is owned by portid .*pid $first" "the same queues under no name: who has them" "$scratch/queues.conf"
refused "twin.*pid $first" "the same name: who has it" "$scratch/control.conf"
refused "metrics cannot be shown at .*9464: Address already in use" "the same metrics address" "$scratch/metrics.conf"
refused "queue [78] is owned by portid .*pid $first" "one queue more than the first" "$scratch/some.conf"
refused "queue [78] is owned by portid .*pid $first" "with a supervisor" "$scratch/queues.conf" --supervise
expect_exit 0 "the rules are set a second time" "$verdict" rules --config "$scratch/all.conf" --hook input --protocol udp --family ipv4 \
	--backend iptables-legacy --apply
if [ "$(rules)" = "$rules_before" ]; then ok "and are one set"; else not_ok "and are one set"; fi

kill -INT "$sender"
wait "$sender"
wait_until 20 is_empty || not_ok "the queues run empty"
kill -TERM "$first"
wait "$first"
status=$?
if [ "$status" -eq 0 ] && [ "$(wc -l <"$scratch/err")" -eq 1 ]; then ok "the first one has noticed nothing"; else not_ok "the first one has noticed something (exit status $status)"; sed 's/^/# /' "$scratch/err"; fi
kill -INT "$receiver"
wait "$receiver"
output=$(cat "$scratch/sent")
sent=$(field sent)
output=$(cat "$scratch/sink")
if [ "$(field received)" = "$sent" ] && [ "$sent" -gt 0 ]; then ok "nor have the packets: all of $sent arrive"; else not_ok "the packets: $(field received) of $sent arrive"; fi
expect_kept '"reordered":0,"duplicates":0,"corrupt":0' "in order"
finish
