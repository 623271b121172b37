#!/bin/bash
# SPDX-License-Identifier: MIT
#
# --takeover: a new process goes on with the queues of the one that runs, under load, again and again: nothing is lost, nothing
# overtakes. And what is refused leaves the one that runs where it is. "near", where the queue and the receiver are, is this
# script's own namespace, "far" the other end of a wire.

# shellcheck disable=SC2016,SC2317 # programs of awk in quotes; functions that wait_until calls

set -u
cd "$(dirname "$0")/../.." || exit 1
. test/support/namespace.sh
. test/support/shell.sh
. test/support/wire.sh
. test/support/daemon.sh

export VERDICT_FUNCTION_PATH=$build/functions

# ---- what is refused before anything is asked ----

expect_exit 2 "--takeover alone" timeout 20 "$verdict" run --queue 7 --takeover
expect_kept '^verdict: --takeover needs --control: the name that the one to be taken over from has$' "says what it needs"
expect_exit 2 "--takeover with --supervise" timeout 20 "$verdict" run --queue 7 --control x --takeover --supervise
expect_kept '^verdict: --takeover does not go with supervise: ' "says what to do instead"

if [ "$(id -u)" -ne 0 ]; then
	skip "everything on real packets: needs root"
	finish
fi

lay_wire
iptables-legacy -w -A INPUT -p udp --dport 9007 -j NFQUEUE --queue-num 7 || exit 1

# start NUMBER OPTION...: one more, by the same name
start() {
	start_daemon "$scratch/out.$1" "$scratch/err.$1" --queue 7 --control "$scratch/socket" "${@:2}" || finish
}

# ended PID: without a signal from here; its exit status in $status
ended() {
	await 30 "$1"
}

# ---- nobody is there ----

start 0 --takeover
if grep -q '^verdict: note: nobody has that control socket, so there is nothing to take over: starting anew$' "$scratch/err.0"; then
	ok "where nobody is, it starts anew, and says so"
else
	not_ok "where nobody is, it starts anew, and says so"
fi

# ---- what the one that runs does not notice ----

expect_exit 2 "a function that does not open is found out first" timeout 30 "$verdict" run --queue 7 --control "$scratch/socket" \
	--takeover --function mark:nonsense
expect_exit 1 "without --takeover the name is refused" timeout 20 "$verdict" run --queue 7 --control "$scratch/socket"
if kill -0 "$engine" && is_bound 7; then ok "the one that runs goes on"; else not_ok "the one that runs goes on"; fi

# ---- under load ----

rounds=20
"$build/bench/net/sink" --port 9007 --idle 1000 >"$scratch/sink" 2>"$scratch/sink.err" &
sink=$!
children+=("$sink")
wait_until 10 grep -q ready "$scratch/sink.err"
far "$build/bench/net/send" --to 10.9.0.1 --port 9007 --flows 16 --rate 5000 --count 20000 >/dev/null &
sender=$!
children+=("$sender")
bad=0
for ((i = 1; i <= rounds; i++)); do
	before=$engine
	start "$i" --takeover --workers $((i % 3 + 1))
	ended "$before"
	if [ "$status" -ne 0 ]; then bad=$((bad + 1)); fi
done
if [ "$bad" -eq 0 ]; then ok "$rounds times the one before ends well"; else not_ok "$bad of $rounds did not end well"; fi
wait "$sender"
wait_until 20 is_empty
kill -TERM "$engine"
ended "$engine"
wait "$sink"
received=$(sed -n 's/.*"received":\([0-9]*\).*/\1/p' "$scratch/sink")
reordered=$(sed -n 's/.*"reordered":\([0-9]*\).*/\1/p' "$scratch/sink")
if [ "$received" = 20000 ]; then ok "every packet arrives"; else not_ok "every packet arrives ($received of 20000)"; fi
if [ "$reordered" = 0 ]; then ok "in order"; else not_ok "in order ($reordered were not)"; fi
accepted=$(cat "$scratch"/out.* | awk '$1 == "accepted" { sum += $2 } END { print sum }')
if [ "$accepted" = 20000 ]; then ok "and is in the accounts of one of them"; else not_ok "and is in the accounts of one of them ($accepted)"; fi
if grep -q inherited "$scratch"/out.*; then not_ok "none was left half done"; else ok "none was left half done"; fi
if is_bound 7; then not_ok "the last one gives the queue back"; else ok "the last one gives the queue back"; fi
if [ -e "$scratch/socket" ]; then not_ok "and takes its name away"; else ok "and takes its name away"; fi

# ---- by who has given up privileges, from one who has not, and back ----

chmod 755 "$scratch"
start 30
before=$engine
leaks=${ASAN_OPTIONS:-}
export ASAN_OPTIONS=${leaks:+$leaks:}detect_leaks=0 # its own system calls are refused to the leak sanitizer
start 31 --takeover --user nobody
export ASAN_OPTIONS=$leaks
ended "$before"
before=$engine
start 32 --takeover
ended "$before"
if [ "$status" -eq 0 ]; then ok "privileges do not matter"; else not_ok "privileges do not matter"; output=$(cat "$scratch/err.31" "$scratch/err.32"); show_output; fi
kill -TERM "$engine"
ended "$engine"

# ---- where a service manager keeps the queues ----

background env NOTIFY_SOCKET="$scratch/nobody" "$verdict" run --queue 7 --control "$scratch/socket" >"$scratch/out.40" 2>"$scratch/err.40"
engine=$child
wait_until 20 is_reading "$scratch/err.40"
expect_exit 1 "a service manager's is not taken over" timeout 30 "$verdict" run --queue 7 --control "$scratch/socket" --takeover
expect_kept '^verdict: its service manager keeps its queues: have that one restart it$' "and told what to do"
if kill -0 "$engine" && is_bound 7; then ok "it goes on"; else not_ok "it goes on"; fi
kill -INT "$engine"
ended "$engine"
finish
