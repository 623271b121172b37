#!/bin/bash
# SPDX-License-Identifier: MIT
#
# verdict top, as a person sees it: on a terminal of 80 columns and 24 lines, with packets that go through a real queue. What
# stands on the screen is compared with what rules of the kernel counted. tmux is the terminal.

# shellcheck disable=SC2016,SC2317 # programs of other shells in quotes; functions that wait_until calls

set -u
cd "$(dirname "$0")/../.." || exit 1
. test/support/namespace.sh
. test/support/shell.sh
. test/support/daemon.sh

send=$PWD/build/plain/bench/net/send
[ -x "$build/bench/net/send" ] && send=$build/bench/net/send
export VERDICT_FUNCTION_PATH=$build/functions
unset TMUX

# ---- what is wrong ----

expect_sentence top 2 "'a b' is neither the name of a daemon" "no name" 'a b'
expect_sentence top 2 "top watches one daemon at a time, not 'b' as well" "two of them" a b
expect_sentence top 2 "--interval takes a time from 100ms to 1h, in seconds or as in 500ms, not '5'?ms" "an interval" --interval 5ms
expect_sentence top 2 "--batch takes a number from 1 to 4294967295, not '0'" "nothing to print" --batch 0
expect_sentence top 2 "--batch takes a number from 1 to 4294967295, not 'x'" "nor that" --batch=x
expect_sentence top 1 "no daemon listens at $scratch/none" "nobody is there" "$scratch/none"

if [ "$(id -u)" -ne 0 ]; then
	skip "everything on a real queue: needs root"
	finish
fi
mount -t tmpfs tmpfs /run && ip link set lo up || exit 1

# Everything is decided and counted by a rule each: 9001 is dropped, the others arrive.
iptables-legacy -w -A OUTPUT -p udp --dport 9000:9003 -m comment --comment asked -j NFQUEUE --queue-num 7
iptables-legacy -w -A INPUT -p udp --dport 9000:9003 -m comment --comment arrived -j DROP

# start OPTION...: a daemon; $engine
start() {
	start_daemon "$scratch/out" "$scratch/err" --control default --stats none "$@"
}

# ended SIGNAL: the daemon
ended() {
	kill "-$1" "$engine"
	await 20 "$engine"
}

start --queue 5-7 --function 'match:udp port 9001=drop' --function accept

expect_sentence top 1 "top needs a terminal; --batch prints the same as plain text" "no terminal"

# ---- plain text ----

"$send" --to 127.0.0.1 --port 9000 --ports 4 --flows 4 --burst 1 --count 4000 --rate 4000 >/dev/null
has_all() {
	"$verdict" stats --json | grep -q "\"queue\":7,\"offered\":$(counted OUTPUT asked),"
}
wait_until 20 has_all
expect_exit 0 "--batch 1" timeout 20 "$verdict" top --batch 1
expect_kept "^verdict [0-9.]+, pid $engine, up [0-9.]+ s, every 1 s$" "says who it is"
expect_kept '^since the start:$' "totals are since the start"
expect_kept '^  received 4000  accepted 3000  dropped 1000  rejected 0  other 0$' "and all are there"
expect_kept '^  lost: queue full 0  buffer full 0  flushed 0  refused 0$' "and nothing is lost"
for queue in 5 6 7 all; do expect_kept "^ *$queue +0 " "a line for $queue"; done
expect_kept '^  matched +[0-9.]+  in all 1000$' "and what the function counted"
for arguments in '--batch 3' '--batch=3' 'default --batch 3' '--batch 3 default' "/run/verdict/default.sock --batch 3"; do
	# shellcheck disable=SC2086 # words
	run_and_keep timeout 60 "$verdict" top --interval 100ms $arguments
	if [ "$status" -eq 0 ] && [ "$(grep -c '^QUEUE' <<<"$output")" -eq 3 ]; then ok "top $arguments"; else
		not_ok "top $arguments (exit status $status)"
		show_output
	fi
done
expect_kept '^0 packets/s  0 bit/s  waiting 0  in flight 0  lost 0/s$' "nothing comes any more"
timeout 60 "$verdict" top --batch --interval 100ms >"$scratch/frames" 2>"$scratch/frames.err" &
watcher=$!
children+=("$watcher")
has_frames() {
	[ "$(grep -c '^QUEUE' "$1")" -ge 3 ]
}
expect_exit 0 "--batch goes on" wait_until 20 has_frames "$scratch/frames"
kill -TERM "$watcher"
wait "$watcher"
expect_exit 0 "until it is stopped" test $? -eq 0
"$verdict" top --batch --interval 100ms 2>&1 | head -n 1 >/dev/null
expect_exit 0 "or nobody reads it" test "${PIPESTATUS[0]}" -eq 141

# ---- on the screen ----

if ! command -v tmux >/dev/null; then
	skip "the screen: needs tmux"
	finish
fi

export TERM=xterm
terminal=(tmux -S "$scratch/tmux" -f /dev/null)
clean_up_screen() {
	"${terminal[@]}" kill-server 2>/dev/null
	clean_up
}
trap clean_up_screen EXIT
# a server that ends with its last session could be asked for another one while it does
"${terminal[@]}" new-session -d -s keep 'sleep 600'

# What the screen shows, into $output
look() {
	output=$("${terminal[@]}" capture-pane -p -t top)
}

# shows PATTERN: a line of the screen
shows() {
	look
	grep -Eq -- "$1" <<<"$output"
}

# expect_screen PATTERN TEXT: it comes to be there
expect_screen() {
	if wait_until 30 shows "$1"; then
		ok "$2"
	else
		not_ok "$2 (no line like: $1)"
		look
		show_output
	fi
}

press() {
	"${terminal[@]}" send-keys -t top "$@"
}

# on_screen COMMAND: in a shell, on a terminal that says what is left of its settings
on_screen() {
	"${terminal[@]}" new-session -d -s top -x 80 -y 24 \
		"stty -a >'$scratch/before'; $1; echo \"ended \$?\"; stty -a >'$scratch/after'; sleep 600"
}

off_screen() {
	"${terminal[@]}" kill-session -t top
}

on_screen "'$verdict' top --interval 200ms"
expect_screen "^verdict [0-9.]+, pid $engine, up .*, every 0.2 s" "who is watched"
expect_screen '^  received 4000  accepted 3000  dropped 1000 ' "what has been counted so far"
expect_screen '^QUEUE  WAIT FLIGHT  IN/s ACCEPT  DROP REJECT OTHER FAULT QFULL BFULL FLUSH REFUS$' "80 columns are enough for the table"
expect_screen '^q quit  s sort QUEUE  r reverse  z zero  p pause  \+/- interval  h help$' "the keys stand below"

press z
expect_screen '^in [0-9.]+ s, since z was pressed:$' "z"
expect_screen '^  received 0  accepted 0  dropped 0 ' "begins at 0"
"$send" --to 127.0.0.1 --port 9000 --ports 4 --flows 4 --burst 1 --count 8000 --rate 2000 >"$scratch/sent" &
sender=$!
children+=("$sender")
expect_screen '^ +7 +[0-9]+ +[0-9]+ +[1-9][0-9.k]* +[1-9][0-9.k]* +[1-9][0-9.k]* +0 +0 +0 ' "packets that come are in the queue's line"
expect_screen '^match +[1-9][0-9.k]* +[1-9][0-9.k]* +0 +[1-9][0-9.k]* ' "and in the function's"
wait "$sender"
expect_screen '^  received 8000  accepted 6000  dropped 2000  rejected 0  other 0 *$' "all of them, in the end"
expect_screen '^  matched +0  in all 2000 *$' "also what a function counted"
asked=$(counted OUTPUT asked) arrived=$(counted INPUT arrived)
if [ "$asked" -eq 12000 ] && [ "$arrived" -eq 9000 ]; then ok "as the kernel's rules say"; else
	not_ok "as the kernel's rules say ($asked queued, $arrived arrived)"
fi
expect_screen '^0 packets/s  0 bit/s  waiting 0 ' "then there are none"

# the rate: steady packets, a long look; anything else would be the machine's own pace
press '+' '+' '+'
expect_screen ', every 1 s$' "+ makes it longer"
press '-'
expect_screen ', every 0.5 s$' "- shorter"
press s
expect_screen '^q quit  s sort WAIT ' "s: another column"
press s s
expect_screen '^q quit  s sort IN/s ' "and another"
press r
expect_screen '^q quit  s sort IN/s reversed ' "r: the other way round"
press p
expect_screen ', every 0.5 s, paused$' "p"
look
first=$(head -n 1 <<<"$output")
sleep 1.2
look
if [ "$(head -n 1 <<<"$output")" = "$first" ]; then ok "stands still"; else not_ok "stands still"; show_output; fi
press Space
expect_screen ', every 0.5 s$' "space goes on"
press h
expect_screen '^  q              leave$' "h: the keys"
press h
expect_screen '^QUEUE ' "and back"

# ---- the daemon goes, and comes ----

first_engine=$engine
ended INT
expect_screen '^the daemon has gone, this is what it said last; it is looked for again and again$' "the daemon has gone"
start --queue 30-69
expect_screen "^verdict [0-9.]+, pid $engine, up [0-9.]+ s" "another one is watched"
expect_screen '^since the start:$' "from its start"
look
if [ "$engine" != "$first_engine" ] && ! grep -q 'has gone' <<<"$output"; then ok "and nothing is said of the first"; else
	not_ok "and nothing is said of the first"
	show_output
fi

# 40 queues do not fit; the sum is the last line
press r
press s s s s s s s s s s # back to the number
expect_screen '^q quit  s sort QUEUE .*  up/down$' "what does not fit"
press NPage NPage NPage NPage NPage NPage
expect_screen '^ *all ' "can be scrolled to"
press PPage PPage PPage PPage PPage PPage
expect_screen '^ *30 ' "and back"
"${terminal[@]}" resize-window -t top -x 120 -y 50
expect_screen ' REFUS +DEFAULT +UNEDIT +REPEAT +REQUEUE( +STOP)?$' "a larger screen shows more columns"
expect_screen '^ *all ' "and more lines"
"${terminal[@]}" resize-window -t top -x 60 -y 12
expect_screen '^QUEUE  WAIT FLIGHT  IN/s ACCEPT  DROP REJECT OTHER FAULT *$' "a smaller one fewer"
expect_screen '^q quit  s sort QUEUE  r reverse  z zero ' "and the keys are still there"
"${terminal[@]}" resize-window -t top -x 80 -y 24

stand_still "$engine"
expect_screen '^the daemon does not answer *$' "a daemon that is stopped"
kill -CONT "$engine"
is_without() {
	! shows "$1"
}
expect_exit 0 "and goes on" wait_until 20 is_without '^the daemon does not answer'

# ---- the end ----

press q
expect_screen '^ended 0$' "q leaves"
expect_exit 0 "the terminal is as it was" cmp "$scratch/before" "$scratch/after"
off_screen
# is_up: the program has the screen
is_up() {
	shows '^q quit '
}
for signal in TERM INT HUP QUIT; do
	on_screen "'$verdict' top"
	wait_until 30 is_up
	program=$(pgrep -P "$("${terminal[@]}" display-message -p -t top '#{pane_pid}')" -x verdict)
	kill "-$signal" "$program"
	expect_screen '^ended 0$' "SIG$signal ends it"
	wait_until 20 test -s "$scratch/after"
	expect_exit 0 "and the terminal is as it was" cmp "$scratch/before" "$scratch/after"
	look
	if [ "$(grep -c . <<<"$output")" -eq 1 ]; then ok "and its screen is gone"; else not_ok "and its screen is gone"; show_output; fi
	off_screen
	rm -f "$scratch/after"
done
on_screen "'$verdict' top"
wait_until 30 is_up
press C-c
expect_screen '^ended 0$' "Control-C"
off_screen
# newterm(3) leaves something behind when it fails, which is not for a sanitizer of ours to report
on_screen "ASAN_OPTIONS=detect_leaks=0 TERM=no-such-terminal '$verdict' top"
expect_screen "^verdict: top does not know a terminal of type 'no-such-terminal': set TERM, or" "a terminal that nobody knows"
expect_screen '^ended 2$' "is wrong usage"
off_screen

# plain text ends with the daemon
timeout 60 "$verdict" top --batch --interval 100ms >"$scratch/last" 2>"$scratch/frames.err" &
watcher=$!
children+=("$watcher")
wait_until 20 has_frames "$scratch/last"
ended INT
wait "$watcher"
expect_exit 1 "--batch ends with the daemon" test $? -eq 0
expect_output '^verdict: the daemon at .* has hung up' "and says so" cat "$scratch/frames.err"
run_and_keep pgrep -x verdict --nslist net --ns $$
if [ -z "$output" ]; then ok "nothing is left"; else not_ok "nothing is left"; show_output; fi

finish
