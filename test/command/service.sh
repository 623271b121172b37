#!/bin/bash
# SPDX-License-Identifier: MIT
#
# verdict run as a service: what it says to a service manager, what it leaves to its successor, and that no packet is lost by that.
# test/support/manager.py plays the manager. Packets come from a namespace "far", through queues in this script's own.

# shellcheck disable=SC2016,SC2317 # programs of awk in quotes; functions that wait_until and expect_exit call

set -u
cd "$(dirname "$0")/../.." || exit 1
. test/support/namespace.sh
. test/support/shell.sh
. test/support/wire.sh
. test/support/daemon.sh

send=$build/bench/net/send
sink=$build/bench/net/sink
export VERDICT_FUNCTION_PATH=$build/functions
test_functions=$build/test/functions

# ---- the unit ----

unit=$scratch/verdict@.service
sed "s,^\(ExecStart\|ExecReload\)=[^ ]*,\1=$verdict," "$build/verdict@.service" >"$unit"
if command -v systemd-analyze >/dev/null; then
	cp "$unit" "$scratch/verdict@test.service"
	expect_exit 0 "the unit is one to systemd" systemd-analyze verify --man=no "$scratch/verdict@test.service"
	if [ -z "$output" ]; then ok "without a remark"; else not_ok "without a remark"; show_output; fi
	expect_exit 0 "systemd finds it confined: below 3.0" systemd-analyze security --offline=true --threshold=30 --no-pager "$unit"
else
	skip "the unit, as systemd reads it: needs systemd-analyze (systemd)"
fi

# ---- before the first packet ----

if ! command -v python3 >/dev/null; then
	skip "everything with a service manager: needs python3"
	finish
fi
if [ "$(id -u)" -ne 0 ]; then
	skip "everything on real packets: needs root"
	finish
fi
if [ ! -e "$test_functions/crash.so" ]; then
	skip "everything with a service manager: needs $test_functions (make test-programs)"
	finish
fi

. test/support/manager.sh

expect_queues() {
	local seen

	seen=$(awk '{ printf "%s%s", separator, $1; separator = " " }' "$queues")
	if [ "$seen" = "$1" ]; then ok "$2"; else not_ok "$2 (queues: '$seen')"; fi
}

# what one says who is refused before it is ready
expect_not_ready() {
	local pattern=$1 text=$2

	shift 2
	manage 0 -- "$verdict" run "$@"
	managed
	if [ "$status" -ne 0 ] && [ "$(wc -l <"$scratch/err")" -eq 1 ] && grep -Eq "$pattern" "$scratch/err"; then
		ok "$text"
	else
		not_ok "$text (wanted one sentence like: $pattern)"
		show_logs
	fi
	expect_no_log 'READY|stores' "and it was never ready"
	expect_queues '' "nor was a queue bound"
}

expect_not_ready 'function crashed on a test packet \([A-Z]' "a function that crashes is found with no packet lost" \
	--queue 7 --function "$test_functions/crash.so:53"
expect_not_ready 'function ended the process on a test packet \(exit code 7\)' "so is one that ends the process" \
	--queue 7 --function "$test_functions/crash.so:53,exit"
expect_not_ready 'function fault: it returned what is no verdict for a test packet' "and one that returns nonsense" \
	--queue 7 --function "$test_functions/fault.so"
expect_not_ready 'did not decide on a test packet within 10 seconds' "and one that never ends" \
	--queue 7 --function "$test_functions/crash.so:53,hang"
expect_not_ready 'function args: say args:yes' "arguments are refused as ever" --queue 7 --function "$test_functions/args.so:no"
expect_log 1 ' ends [0-9]+ 2$' "with the exit code for wrong usage"

# ---- what it says ----

owner() {
	awk -v queue="$1" '$1 == queue { print $2 }' "$queues"
}

manage 2 -- "$verdict" run --queue 7-8 --function accept --stats json
expect_log 1 'says READY=1' "it says when it is ready"
expect_order "when it has handed over the queues' sockets" 'stores queue-7$' 'stores queue-8$' 'says READY=1'
expect_queues '7 8' "both are bound"
expect_log 3 'WATCHDOG=1' "an idle engine feeds the watchdog"
expect_log 1 'STATUS=.* packets/s, .* waiting; lost since the start: 0 queue full, 0 buffer full' "and says how it goes"

owner_before=$(owner 7)
tell restart TERM
expect_log 2 'says READY=1' "SIGTERM, and it is started again"
expect_order "it said that it ends" 'STOPPING=1' ' ends [0-9]+ 0$'
expect_no_log 'forgets' "and left its queues to the successor"
if [ "$(owner 7)" = "$owner_before" ]; then ok "which goes on with the same socket"; else not_ok "which goes on with the same socket"; fi
tell restart KILL
expect_log 3 'says READY=1' "so it does after kill -9"
if [ "$(owner 7)" = "$owner_before" ]; then ok "with the same socket"; else not_ok "with the same socket"; fi
if [ "$(grep -c 'stores' "$log")" -eq 2 ]; then ok "and no socket is stored twice"; else not_ok "and no socket is stored twice"; show_logs; fi
tell stop INT
managed
if [ "$status" -eq 0 ]; then ok "SIGINT is an end"; else not_ok "SIGINT is an end (exit status $status)"; fi
expect_order "the sockets are given back before it" 'STOPPING=1' 'forgets queue-7$' 'forgets queue-8$'
expect_no_log 'discards' "nothing is left with the manager"
expect_queues '' "nor in the kernel"

manage 0 -- "$verdict" run --queue 7 --for 1
managed
expect_order "an end by itself gives the queue back as well" 'READY=1' 'STOPPING=1' 'forgets queue-7$' ' ends [0-9]+ 0$'

# ---- what it is handed ----

manage 0 queue-7=file queue-8=netlink queue-9=netlink other=file -- "$verdict" run --queue 7-8 --stats none
expect_log 1 'says READY=1' "what was kept and is of no use is no obstacle"
output=$(cat "$scratch/err")
expect_kept "note: .* called 'other', which is nothing of verdict's" "a descriptor that nobody knows"
expect_kept "note: .* kept for queue 7 does not own it here" "a file in a queue's place"
expect_kept "note: .* kept for queue 8 does not own it here" "a socket that owns no queue"
expect_kept "note: queue 9 is not to be read any more" "a queue that is not read"
for name in other queue-7 queue-8 queue-9; do
	expect_order "$name is given back first" "forgets $name\$" 'says READY=1'
done
expect_order "then those that were bound are stored" 'forgets queue-8$' 'stores queue-7$' 'stores queue-8$'
expect_queues '7 8' "and they are read"
tell stop INT
managed

# a configuration that has a queue less now
printf 'queue 7-8; stats none\n' >"$scratch/verdict.conf"
manage 0 -- "$verdict" run --config "$scratch/verdict.conf"
expect_log 1 'says READY=1' "two queues of a file"
printf 'queue 8-9; stats none\n' >"$scratch/verdict.conf"
tell restart TERM
expect_log 2 'says READY=1' "and after the restart two others"
expect_log 1 'forgets queue-7$' "the one that went is given back"
expect_log 1 'stores queue-9$' "the one that came is stored"
expect_queues '8 9' "and those are bound"
tell stop INT
managed

# ---- a reload ----

printf 'queue 7; stats none\n' >"$scratch/verdict.conf"
manage 0 -- "$verdict" run --config "$scratch/verdict.conf"
expect_log 1 'says READY=1' "a queue of a file"
printf 'queue 7-8; stats none\n' >"$scratch/verdict.conf"
tell signal HUP
expect_log 2 'says READY=1' "SIGHUP, and it is ready again"
expect_order "it said that it reloads, and when" 'READY=1' 'RELOADING=1' 'MONOTONIC_USEC=[0-9]+$' 'stores queue-8$'
expect_queues '7 8' "the queue that came is bound"
printf 'queue 8 { maxlen 0 }\n' >"$scratch/verdict.conf"
tell signal HUP
expect_log 3 'says READY=1' "it is ready again after a file that is not in order"
expect_no_log 'forgets' "and keeps what it has"
printf 'queue 8; stats none\n' >"$scratch/verdict.conf"
tell signal HUP
expect_log 1 'forgets queue-7$' "a queue that went is given back"
expect_log 4 'says READY=1' "before it is ready"
expect_queues '8' "and not bound any more"
owner_before=$(owner 8)
tell restart TERM
expect_log 5 'says READY=1' "after a restart"
if [ "$(owner 8)" = "$owner_before" ]; then ok "the queue that came goes on"; else not_ok "the queue that came goes on"; fi
tell stop INT
managed
expect_no_log 'discards' "and nothing is left with the manager"

# ---- with what is left of privileges ----

manage 3 -- "$verdict" run --queue 7 --user nobody --seccomp yes --function accept --stats none
expect_log 1 'says READY=1' "who has given up privileges is ready"
expect_log 2 'WATCHDOG=1' "feeds the watchdog"
owner_before=$(owner 7)
tell restart TERM
expect_log 2 'says READY=1' "leaves its queue"
tell restart KILL
expect_log 3 'says READY=1' "and loses it not"
if [ "$(owner 7)" = "$owner_before" ]; then ok "it is the same socket all the time"; else not_ok "it is the same socket all the time"; fi
tell stop INT
managed
expect_log 1 'forgets queue-7$' "it is given back at the end"
if grep -q refused "$scratch/err"; then not_ok "no system call of it is refused"; show_logs; else ok "no system call of it is refused"; fi

# ---- two namespaces ----

lay_wire
iptables-legacy -w -A INPUT -p udp -m comment --comment offered -j NFQUEUE --queue-num 7 || exit 1

# ---- the watchdog ----

# each packet takes a tenth of a second, so that some wait all the time
manage 3 -- "$verdict" run --queue 7 --function "$test_functions/slow.so:100000,sleep" --workers 1 --stats none
expect_log 1 'says READY=1' "a slow engine"
far "$send" --to 10.9.0.1 --count 100 --port 9000 >/dev/null
fed=$(grep -c 'WATCHDOG=1' "$log")
expect_log $((fed + 3)) 'WATCHDOG=1' "that gets on feeds the watchdog"
expect_no_log ' watchdog$' "in time"
if is_empty; then not_ok "while packets wait"; else ok "while packets wait"; fi
tell stop KILL
managed

# two threads that wait for a minute in a function are no engine any more; the test packet does not take that way
manage 3 -- "$verdict" run --queue 7 --function "$test_functions/crash.so:9000,hang" --workers 2 --stats none
expect_log 1 'says READY=1' "an engine"
far "$send" --to 10.9.0.1 --count 50 --port 9000 --flows 8 >/dev/null
expect_log 1 ' watchdog$' "that hangs does not feed it"
managed
expect_log 1 ' ends [0-9]+ -6$' "and is aborted"
expect_queues '' "its queue goes with the store"

# ---- restarts under load: nothing is lost ----

manage 0 -- "$verdict" run --queue 7 --function accept --maxlen 64k --stats json
expect_log 1 'says READY=1' "under load"
load
for ((i = 2; i <= 21; i++)); do
	tell restart TERM
	wait_until 60 has_log $i 'says READY=1' || not_ok "restart $i"
done
unload
tell stop INT
managed
if [ "$(grep -Ec ' ends [0-9]+ 0$' "$log")" -eq 21 ]; then ok "20 restarts by SIGTERM"; else not_ok "20 restarts by SIGTERM"; show_logs; fi
if [ "$received" = "$offered" ] && [ "$offered" -gt 1000 ]; then
	ok "lose none of $offered packets"
else
	not_ok "lose no packet (offered $offered, received $received)"
fi
read -r counted inherited < <(python3 test/support/accounts.py "$scratch/out" offered inherited_dropped)
if [ "$counted $inherited" = "$offered 0" ]; then
	ok "and each is in the accounts of one process"
else
	not_ok "and each is in the accounts of one process (offered $offered, counted $counted, inherited $inherited)"
fi

# the dead process's own accounts are lost with it; what it had read and not answered is in its successor's
manage 0 -- "$verdict" run --queue 7 --function "$test_functions/slow.so:50" --maxlen 64k --stats none --workers 2 --control "$scratch/control"
expect_log 1 'says READY=1' "under load again"
load
wait_until 60 has_accounted "$scratch/control" received 10 || not_ok "it decides"
inherited=0
for ((i = 2; i <= 21; i++)); do
	tell restart KILL
	wait_until 60 has_log $i 'says READY=1' || not_ok "restart $i"
	wait_until 60 has_accounted "$scratch/control" received 10 || not_ok "it decides again"
	inherited=$((inherited + $(accounted "$scratch/control" inherited_dropped)))
done
unload
tell stop INT
managed
if [ "$(grep -Ec ' ends [0-9]+ -9$' "$log")" -eq 20 ]; then ok "20 times kill -9"; else not_ok "20 times kill -9"; show_logs; fi
if [ $((received + inherited)) -eq "$offered" ]; then
	ok "what did not arrive was in the dead processes' hands: $inherited of $offered packets"
else
	not_ok "what did not arrive was in the dead processes' hands (offered $offered, received $received, inherited $inherited)"
fi

# with packets in its hands for certain
manage 0 -- "$verdict" run --queue 7 --function "$test_functions/slow.so:200000,sleep" --on-fault accept --workers 1 --stats json
expect_log 1 'says READY=1' "a slow engine"
background "$sink" --port 9000 --count 40 >"$scratch/sink" 2>"$scratch/sink.err"
receiver=$child
wait_until 20 grep -q ready "$scratch/sink.err"
far "$send" --to 10.9.0.1 --count 40 --port 9000 >/dev/null
wait_until 20 has_lines 1
tell restart KILL
expect_log 2 'says READY=1' "is killed"
wait_until 60 is_gone "$receiver"
wait_until 60 is_empty
tell stop INT
managed
read -r inherited < <(python3 test/support/accounts.py "$scratch/out" inherited_accepted)
output=$(cat "$scratch/sink")
expect_kept '"received":40,"reordered":0,"duplicates":0' "with --on-fault accept no packet is lost"
if [ "$inherited" -gt 0 ]; then ok "the successor let them pass that were in its hands: $inherited"; else not_ok "the successor let them pass"; fi

expect_queues '' "nothing is left"
finish
