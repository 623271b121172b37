#!/bin/bash
# SPDX-License-Identifier: MIT
#
# What an operator does to verdict in production, by what is installed: make install, the unit started by its own ExecStart,
# reloaded by its own ExecReload, upgraded, killed with -9 and stopped, all while packets go through; and the receiver on the far
# side has missed none that policy meant to pass. Senders and queues are in this script's own namespace, the receiver in "far".
# test/support/manager.py plays systemd; /usr/local, /etc and /run are those of the test.

# shellcheck disable=SC2016,SC2317 # programs of awk in quotes; functions that wait_until and expect_exit call

set -u
cd "$(dirname "$0")/../.." || exit 1
. test/support/namespace.sh
. test/support/shell.sh
. test/support/wire.sh
. test/support/daemon.sh


if [ "$(id -u)" -ne 0 ]; then
	skip "verdict in production: needs root"
	finish
fi
for need in python3 setpriv; do
	if ! command -v "$need" >/dev/null; then
		skip "verdict in production: needs $need"
		finish
	fi
done
if [ ! -e "$build/test/functions/slow.so" ]; then
	skip "verdict in production: needs $build/test/functions (make test-programs)"
	finish
fi

. test/support/manager.sh

# ---- install ----

expect_exit 0 "make install" make --no-print-directory BUILD="$(basename "$build")" install DESTDIR="$scratch/root"
{
	cp -a /etc "$scratch/etc" && mkdir -p "$scratch/etc/verdict" &&
		awk '$1 == "u" { print $2 ":x:61998:61998::/:/usr/sbin/nologin" }' "$scratch/root/usr/local/lib/sysusers.d/verdict.conf" \
			>>"$scratch/etc/passwd" &&
		mount --bind "$scratch/root/usr/local" /usr/local && mount --bind "$scratch/etc" /etc && mount -t tmpfs tmpfs /run &&
		install -d -o verdict -m 755 /run/verdict &&
		cp "$build/test/functions/slow.so" "$scratch/slow.so"
} || { not_ok "what is installed is in its place"; finish; }
verdict=/usr/local/bin/verdict # as installed
unit=/usr/local/lib/systemd/system/verdict@.service

# line KEY: the words of the unit's line, for the instance "edge"
line() {
	sed -n "s/^$1=//p" "$unit" | sed 's/%i/edge/g'
}

# what systemd makes of the unit's User, SupplementaryGroups, AmbientCapabilities, CapabilityBoundingSet and NoNewPrivileges
capabilities=$(line AmbientCapabilities | sed 's/CAP_/+/g; s/ /,/g' | tr '[:upper:]' '[:lower:]')
as_unit=(setpriv --reuid="$(line User)" --regid=61998 --groups=0 --inh-caps="-all,$capabilities" --ambient-caps="-all,$capabilities"
	--bounding-set="-all,$capabilities" --no-new-privs --)
# ThreadSanitizer starts a thread of its own, which keeps its privileges, and so the program does not start
[ "$(basename "$build")" != tsan ] || as_unit=(env)
read -r -a start_words < <(line ExecStart)
read -r -a reload_words < <(line ExecReload)
if [ "${start_words[0]}" = "$verdict" ] && [ "${reload_words[0]}" = "$verdict" ]; then
	ok "the unit runs what is installed"
else
	not_ok "the unit runs what is installed (${start_words[*]}; ${reload_words[*]})"
	finish
fi

# configure ON_FAULT MORE: ports 9000 to 9002 are meant to pass, 9003 is not
configure() {
	printf 'queue 7-8 { maxlen 64k; }\non-fault %s;\nfunction match { arguments "udp port 9003=drop"; }\n%s\n' "$1" "$2" \
		>/etc/verdict/edge.conf
}

# how often it has been ready
readies() {
	grep -sc 'says READY=1' "$log"
}

# again TEXT COMMAND...: what makes it ready once more
again() {
	local text=$1 before

	shift
	before=$(readies)
	"$@"
	wait_until 60 has_log $((${before:-0} + 1)) 'says READY=1' || { not_ok "$text"; show_logs; finish; }
	service=$(awk '$2 == "start" { pid = $3 } END { print pid }' "$log")
}

start() {
	manage 10 -- "${as_unit[@]}" "${start_words[@]}"
}

reload() {
	run_and_keep "${as_unit[@]}" "${reload_words[@]}"
	if [ "$status" -ne 0 ]; then not_ok "ExecReload (exit status $status)"; show_output; fi
}

# another build in the place of the installed one, as a package does it: what runs keeps its own file
upgrade() {
	cp "$verdict" "$scratch/new" && printf 'build %s' "$1" >>"$scratch/new" && install -m 755 "$scratch/new" "$verdict.new" &&
		mv "$verdict.new" "$verdict" && tell restart TERM
}

# ---- packets: to two addresses, of which a hash makes queues ----

lay_wire
far ip address add 10.9.0.3/24 dev far0

# flows: their counts in the JSON that is on standard input
flows() {
	sed -n 's/.*"per_flow":\[\([0-9,]*\)\].*/\1/p' | tr , ' '
}

# begin_load [refused]: 16 flows to 9000 to 9002, and if so said 4 to 9003. These are the last ones: the receiver tells of flows that
# it has seen, in their order
begin_load() {
	background nsenter --net="/proc/$far/ns/net" -- "$build/bench/net/sink" --port 9000 --ports 4 >"$scratch/sink" 2>"$scratch/sink.err"
	receiver=$child
	wait_until 20 grep -q ready "$scratch/sink.err" || not_ok "the receiver does not start"
	background "$build/bench/net/send" --to 10.9.0.2 --port 9000 --ports 3 --flows 8 --rate 500 >"$scratch/sent.2"
	senders=$child
	background "$build/bench/net/send" --to 10.9.0.3 --port 9000 --ports 3 --flows 8 --first-flow 8 --rate 500 >"$scratch/sent.3"
	senders="$senders $child"
	if [ $# -gt 0 ]; then
		background "$build/bench/net/send" --to 10.9.0.2 --port 9003 --flows 4 --first-flow 16 --rate 200 >"$scratch/refused"
		senders="$senders $child"
	fi
}

# end_load: $sent and $arrived, of flows that are meant to pass; $unequal: those that did not as a whole; $not_meant: what arrived of
# the others
end_load() {
	local pid i there=() here=()

	for pid in $senders; do
		kill -INT "$pid"
		wait "$pid"
	done
	wait_until 60 is_empty || not_ok "all queues run empty"
	# what the function has in its hands
	[ -z "${service:-}" ] || wait_until 60 in_hands_are 0 || not_ok "every packet is decided"
	kill -INT "$receiver"
	wait "$receiver"
	output=$(cat "$scratch/sink")
	expect_kept '"reordered":0,"duplicates":0,"corrupt":0' "in order within each flow, each packet once, undamaged"
	expect_kept '"socket_lost":0' "and the receiver kept up"
	read -r -a here < <(cat "$scratch/sent.2" "$scratch/sent.3" | flows | paste -sd ' ')
	read -r -a there < <(flows <"$scratch/sink")
	sent=0 arrived=0 not_meant=0 unequal=0
	if [ "${#here[@]}" -ne 16 ]; then not_ok "the senders tell of 16 flows"; fi
	for ((i = 0; i < 16; i++)); do
		((sent += here[i], arrived += ${there[i]:-0}))
		[ "${here[i]}" = "${there[i]:-0}" ] || ((unequal++))
	done
	for ((; i < ${#there[@]}; i++)); do
		((not_meant += there[i]))
	done
}

# has_arrived COUNT: or more, on the far side
has_arrived() {
	far awk -v count="$1" '/far0:/ { found = $3 >= count } END { exit !found }' /proc/net/dev
}

in_hands_are() {
	[ "$(accounted edge in_flight)" = "$1" ]
}

configure accept ''
expect_exit 0 "verdict check" "$verdict" check /etc/verdict/edge.conf
expect_exit 0 "the rules" "$verdict" rules --config /etc/verdict/edge.conf --hook output --protocol udp --match '--dport 9000:9003' --apply \
	--backend iptables-legacy --family ipv4
if [ "$failed" -ne 0 ]; then finish; fi

# ---- before it is started ----

begin_load
wait_until 20 has_arrived 100 || not_ok "packets pass while nobody reads the queues"
again "the unit starts under load" start
if [ "${as_unit[0]}" = env ]; then
	skip "by its own user: not under ThreadSanitizer"
elif [ "$(stat -c %U "/proc/$service")" = verdict ]; then
	ok "by its own user"
else
	not_ok "by its own user"
fi
end_load
if [ "$unequal" -eq 0 ] && [ "$sent" -gt 0 ]; then
	ok "started under load: all of $sent packets arrive, first by the rule's bypass, then by the functions"
else
	not_ok "started under load: $arrived of $sent packets arrive, $unequal flows are not whole"
fi

# ---- changed, upgraded, killed ----

begin_load refused
for ((i = 1; i <= 10; i++)); do
	case $((i % 3)) in
	0) configure accept '' ;;
	1) configure accept 'function first { arguments "100,mark=0"; }' ;;
	2) configure accept 'function accept; batch 8;' ;;
	esac
	again "reload $i" reload
done
printf 'queue 7-8; maxlen x;\n' >/etc/verdict/edge.conf
expect_exit 1 "a configuration that is not in order makes ExecReload fail" "${as_unit[@]}" "${reload_words[@]}"
expect_kept 'edge.conf:1: maxlen takes' "and says where"
configure accept ''
for ((i = 1; i <= 10; i++)); do
	before=$service
	again "upgrade $i" upgrade "$i"
	if [ "$service" = "$before" ] || ! cmp -s "/proc/$service/exe" "$scratch/new"; then not_ok "upgrade $i: the new build runs"; fi
done
if is_bound 7 && is_bound 8; then ok "10 reloads, 10 upgrades"; else not_ok "10 reloads, 10 upgrades: the queues are bound"; fi
# a function that takes its time, so that a dead process has packets in its hands
slowly="workers 2; function $scratch/slow.so { arguments \"1000,sleep\"; }"
configure accept "$slowly"
again "restarted with a slow function" tell restart TERM
passed_by_fault=0
for ((i = 1; i <= 10; i++)); do
	wait_until 60 has_accounted edge received 10 || not_ok "it decides"
	again "kill -9 number $i" tell restart KILL
	passed_by_fault=$((passed_by_fault + $(accounted edge inherited_accepted)))
done
if [ "$(grep -c ' -9$' "$log")" -eq 10 ]; then ok "10 times kill -9"; else not_ok "10 times kill -9"; show_logs; fi
end_load
if [ "$unequal" -eq 0 ] && [ "$sent" -gt 100 ]; then
	ok "under all of that each of $sent packets that were meant to pass has arrived"
else
	not_ok "under all of that $arrived of $sent packets that were meant to pass have arrived, $unequal flows are not whole"
	show_logs
fi
if [ "$not_meant" -le "$passed_by_fault" ]; then
	ok "and none that was not, but what on-fault let pass of the dead processes' packets: $not_meant of $passed_by_fault"
else
	not_ok "and none that was not: $not_meant have arrived, $passed_by_fault by on-fault accept"
fi

configure drop "$slowly"
again "on-fault drop" reload
begin_load
inherited=0
for ((i = 1; i <= 10; i++)); do
	wait_until 60 has_accounted edge received 10 || not_ok "it decides"
	again "kill -9 number $i" tell restart KILL
	inherited=$((inherited + $(accounted edge inherited_dropped)))
done
end_load
if [ $((sent - arrived)) -eq "$inherited" ] && [ "$inherited" -gt 0 ]; then
	ok "10 times kill -9 with on-fault drop: what is missing of $sent packets was in the dead processes' hands, and is counted: $inherited"
else
	not_ok "10 times kill -9 with on-fault drop: $((sent - arrived)) of $sent packets are missing, $inherited are counted"
	show_logs
fi

# ---- stopped ----

configure accept ''
again "reloaded" reload
begin_load
wait_until 60 has_accounted edge received 100 || not_ok "it decides"
tell stop INT
managed
service=
if [ "$status" -eq 0 ] && ! is_bound 7 && ! is_bound 8; then ok "stopped under load, the queues are given back"; else not_ok "stopped under load (exit status $status)"; fi
end_load
if [ "$unequal" -eq 0 ]; then
	ok "all of $sent packets arrive, first by the functions, then by the rule's bypass"
else
	not_ok "stopped under load: $arrived of $sent packets arrive"
fi
expect_exit 0 "the rules go" "$verdict" rules --remove --apply
if [ "$(grep -Evc 'says|stores|forgets|start|ends' "$log")" -eq 0 ]; then ok "nothing else happened"; else not_ok "nothing else happened"; show_logs; fi
output=$(ls -A /run/verdict)
if [ -z "$output" ]; then ok "nothing is left"; else not_ok "nothing is left"; show_output; fi
finish
