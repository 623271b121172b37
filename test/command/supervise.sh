#!/bin/bash
# SPDX-License-Identifier: MIT
#
# verdict run --supervise: an engine that dies is started again, with the queues of the dead one; another program on disk takes over
# without losing a packet; and when one of both processes goes, nothing is left of the other.

# shellcheck disable=SC2016,SC2317 # programs of awk in quotes; functions that wait_until and expect_exit call

set -u
cd "$(dirname "$0")/../.." || exit 1
. test/support/namespace.sh
. test/support/shell.sh
. test/support/wire.sh
. test/support/daemon.sh

send=$build/bench/net/send
export VERDICT_FUNCTION_PATH=$build/functions
test_functions=$build/test/functions

# nothing_is_left TEXT: no queue is bound, no process of ours runs
nothing_is_left() {
	if wait_until 30 is_nothing_left; then
		ok "$1"
	else
		not_ok "$1 (queues: $(tr '\n' ';' <"$queues"), processes: $(pgrep -x verdict --nslist net --ns $$ | tr '\n' ' '))"
	fi
}

is_nothing_left() {
	! grep -q . "$queues" && ! pgrep -x verdict --nslist net --ns $$
}

# ---- what cannot start ----

expect_sentence run 2 "queue.* 0 to 65535, not '65536'" "wrong usage is said once" --supervise --queue 65536
expect_sentence run 1 "there is no stock function 'none-such'" "so is a function that is not there" --supervise --queue 7 \
	--function none-such
if [ "$(id -u)" -ne 0 ]; then
	skip "everything on real packets: needs root"
	finish
fi
if [ ! -e "$test_functions/crash.so" ]; then
	skip "everything on real packets: needs $test_functions (make test-programs)"
	finish
fi
expect_sentence run 2 "function args: say args:yes, not 'no'" "and arguments that a function refuses, with their exit code" --supervise \
	--queue 7 --function "$test_functions/args.so:no"
nothing_is_left "and nothing is left"

# ---- two namespaces ----

lay_wire
iptables-legacy -w -A INPUT -p udp -m comment --comment offered -j NFQUEUE --queue-num 7 || exit 1

# has_errors COUNT PATTERN: at least so many lines like this on standard error
has_errors() {
	[ "$(grep -Ec -- "$2" "$scratch/err")" -ge "$1" ]
}

# expect_errors COUNT PATTERN TEXT: within a minute
expect_errors() {
	if wait_until 60 has_errors "$1" "$2"; then
		ok "$3"
	else
		not_ok "$3 (wanted $1 lines like: $2)"
		sed 's/^/# /' "$scratch/err"
	fi
}

launcher=()

# supervise PROGRAM OPTION...: $supervisor; it reads
supervise() {
	: >"$scratch/out"
	: >"$scratch/err"
	background ${launcher[@]+"${launcher[@]}"} "$1" run --supervise "${@:2}" >>"$scratch/out" 2>>"$scratch/err"
	supervisor=$child
	wait_until 60 has_errors 1 'reading queue' || not_ok "run --supervise ${*:2} does not start"
	engine=$(pgrep -P "$supervisor")
}

# has_another_engine: than $engine, that reads; then that is $engine
has_another_engine() {
	local now

	now=$(pgrep -P "$supervisor") && [ "$now" != "$engine" ] && has_errors $((readings + 1)) 'reading queue' && engine=$now
}

# restarted TEXT SIGNAL PROCESS
restarted() {
	readings=$(grep -c 'reading queue' "$scratch/err")
	kill "-$2" "$3"
	if wait_until 60 has_another_engine; then
		ok "$1"
	else
		not_ok "$1"
		sed 's/^/# /' "$scratch/err"
	fi
}

# ended: waits for the supervisor's end; $status
ended() {
	wait_until 60 is_gone "$supervisor" || not_ok "the supervisor does not end"
	wait "$supervisor"
	status=$?
}

expect_status() {
	if [ "$status" -eq "$1" ]; then
		ok "$2"
	else
		not_ok "$2 (exit status $status instead of $1)"
		sed 's/^/# /' "$scratch/err"
	fi
}

# ---- ends ----

owner() {
	awk '$1 == 7 { print $2 }' "$queues"
}

for signal in TERM INT; do
	supervise "$verdict" --queue 7 --function accept
	far "$send" --to 10.9.0.1 --count 100 --port 9000 >/dev/null
	kill -$signal "$supervisor"
	ended
	expect_status 0 "SIG$signal ends both"
	output=$(cat "$scratch/out")
	expect_kept '^  offered  *100$' "with the engine's accounts"
	if has_errors 1 'a second time|killed'; then not_ok "and it had the time for them"; else ok "and it had the time for them"; fi
	nothing_is_left "nothing is left"
done

launcher=(setsid) # it leads a group, as what a shell starts
supervise "$verdict" --queue 7
launcher=()
kill -INT -- "-$supervisor"
ended
expect_status 0 "Ctrl-C is for the supervisor"
if has_errors 1 'a second time|killed'; then not_ok "which passes it on once"; else ok "which passes it on once"; fi

supervise "$verdict" --queue 7 --for 1
ended
expect_status 0 "--for ends both"
nothing_is_left "nothing is left"

supervise "$verdict" --queue 7 --function accept
kill -KILL "$supervisor"
ended
expect_errors 1 'the supervisor is gone: settling the queues' "an engine whose supervisor was killed"
nothing_is_left "ends"

supervise "$verdict" --queue 7 --function "$test_functions/crash.so:9000,hang" --workers 1
far "$send" --to 10.9.0.1 --count 1 --port 9000 >/dev/null
wait_until 20 awk '{ exit $3 != 1 }' "$queues"
kill -KILL "$supervisor"
ended
expect_errors 1 'does not come to its end: leaving now' "so does one that hangs"
nothing_is_left "nothing is left"

supervise "$verdict" --queue 7 --user nobody --function accept
restarted "an engine of another user is started again" USR2 "$supervisor"
kill -KILL "$supervisor"
ended
nothing_is_left "and ends with its supervisor"

background "$verdict" run --queue 7 >"$scratch/out" 2>"$scratch/err"
first=$child
wait_until 20 grep -q . "$queues"
expect_sentence run 1 "queue 7 is owned by portid .*pid $first" "a queue that is another's is no reason to try again" --supervise --queue 7
kill -INT "$first" && wait "$first"

# ---- the file, and a manager that is there ----

printf 'queue 7; supervise yes\n' >"$scratch/verdict.conf"
expect_exit 0 "the key supervise" timeout 60 "$verdict" run --config "$scratch/verdict.conf" --for 1
: >"$scratch/err"
background "$verdict" run --config "$scratch/verdict.conf" >"$scratch/out" 2>"$scratch/err"
supervisor=$child
wait_until 20 has_errors 1 'reading queue'
if [ -n "$(pgrep -P "$supervisor")" ]; then ok "makes it two processes"; else not_ok "makes it two processes"; fi
kill -TERM "$supervisor"
ended
: >"$scratch/err"
background "$verdict" run --config "$scratch/verdict.conf" --no-supervise >"$scratch/out" 2>"$scratch/err"
supervisor=$child
wait_until 20 has_errors 1 'reading queue'
if [ -z "$(pgrep -P "$supervisor")" ]; then ok "--no-supervise one"; else not_ok "--no-supervise one"; fi
kill -TERM "$supervisor"
ended
expect_output 'note: supervise is left to the service manager' "where there is a manager, it is left to that" \
	env NOTIFY_SOCKET="$scratch/nobody" timeout 60 "$verdict" run --config "$scratch/verdict.conf" --for 1

printf 'queue 7; supervise yes; stats none\n' >"$scratch/verdict.conf"
: >"$scratch/err"
background "$verdict" run --config "$scratch/verdict.conf" >"$scratch/out" 2>"$scratch/err"
supervisor=$child
wait_until 20 has_errors 1 'reading queue'
printf 'queue 7-8; supervise yes; stats none\n' >"$scratch/verdict.conf"
kill -HUP "$supervisor"
expect_errors 1 'reloaded: the new configuration is in effect' "SIGHUP is passed on"
printf 'queue 7-8; supervise no; stats none\n' >"$scratch/verdict.conf"
kill -HUP "$supervisor"
expect_errors 1 'not reloaded.*supervise cannot change while it runs' "supervise cannot change by it"
engine=$(pgrep -P "$supervisor")
readings=1
kill -KILL "$engine"
wait_until 60 has_another_engine
if [ "$(awk '{ print $1 }' "$queues" | paste -sd ' ')" = '7 8' ]; then ok "a queue that came is kept as well"; else not_ok "a queue that came is kept as well"; fi
kill -TERM "$supervisor"
ended

# ---- deaths ----

supervise "$verdict" --queue 7 --function accept --stats none
owner_before=$(owner)
restarted "an engine that was killed is started again" KILL "$engine"
expect_errors 1 'was killed by signal 9 \(Killed\): starting it again' "and it is said how it died"
restarted "one that crashed too" TRAP "$engine" # a signal that no sanitizer takes
expect_errors 1 'was killed by signal 5 \(Trace' "with the signal"
restarted "and one that somebody else asked to end: it left its queues to a successor" TERM "$engine"
if [ "$(owner)" = "$owner_before" ]; then ok "all with the same socket"; else not_ok "all with the same socket"; fi
if command -v python3 >/dev/null; then
	python3 - "$engine" <<'END'
import socket, sys

environment = open('/proc/%s/environ' % sys.argv[1], 'rb').read().split(b'\0')
address = next(entry[14:] for entry in environment if entry.startswith(b'NOTIFY_SOCKET='))
somebody = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
somebody.sendto(b'FDSTOREREMOVE=1\nFDNAME=queue-7', b'\0' + address[1:])
somebody.sendto(b'STOPPING=1', b'\0' + address[1:])
END
	restarted "what another process says" KILL "$engine"
	if [ "$(owner)" = "$owner_before" ]; then ok "does not count"; else not_ok "does not count"; fi
else
	skip "what another process says does not count: needs python3"
fi
if [ "$(awk '/^CapEff/ { print $2 }' "/proc/$supervisor/status")" = 0000000000000020 ]; then
	ok "the supervisor has put its capabilities away but the one to end the engine"
else
	not_ok "the supervisor has put its capabilities away"
fi
if [ "$(awk '/^CapEff/ { print $2 }' "/proc/$engine/status")" = "$(awk '/^CapEff/ { print $2 }' /proc/self/status)" ]; then
	ok "and the engine has them"
else
	not_ok "and the engine has them"
fi
if ls -l "/proc/$supervisor/maps" >/dev/null && grep -q '/functions/' "/proc/$supervisor/maps"; then
	not_ok "the supervisor loads no function"
else
	ok "the supervisor loads no function"
fi
kill -TERM "$supervisor"
ended
expect_status 0 "after all that an end is an end"
nothing_is_left "nothing is left"

supervise "$verdict" --queue 7 --function "$test_functions/crash.so:9000,hang" --workers 1 --stats none
far "$send" --to 10.9.0.1 --count 1 --port 9000 >/dev/null
expect_errors 1 'has answered no packet for 10 seconds, and packets wait: aborting it' "an engine that hangs is noticed"
expect_errors 1 'was killed by signal 6 \(Aborted\).*: starting it again' "aborted"
expect_errors 2 'reading queue' "and started again"
kill -TERM "$supervisor"
ended

# what crashes it comes again and again
supervise "$verdict" --queue 7 --function "$test_functions/crash.so:9000" --stats none
background nsenter --net="/proc/$far/ns/net" -- "$send" --to 10.9.0.1 --port 9000 --rate 1000 >/dev/null
sender=$child
expect_errors 1 'starting it again in 0\.1 s; meanwhile packets wait in 1 queue' "an engine that dies at once is started again later"
expect_errors 1 'starting it again in 1\.6 s' "and later each time"
expect_errors 1 'that was 10 times in a row right after its start; giving up' "but not for ever"
ended
expect_status 1 "that is an error"
nothing_is_left "and a rule's bypass flag can do its work"
kill -INT "$sender" && wait "$sender"

# ---- under load ----

is_of() {
	[ "/proc/$engine/exe" -ef "$1" ]
}

mkdir "$scratch/bin"
cp "$verdict" "$scratch/bin/verdict"
supervise "$scratch/bin/verdict" --queue 7 --function accept --maxlen 64k --stats json
load
for ((i = 1; i <= 10; i++)); do
	cp "$verdict" "$scratch/bin/new"
	mv "$scratch/bin/new" "$scratch/bin/verdict"
	if is_of "$scratch/bin/verdict"; then not_ok "the program is another one now"; fi
	restarted "SIGUSR2: upgrade $i" USR2 "$supervisor" >"$scratch/restarted"
	grep '^not' "$scratch/restarted" && failed=$((failed + 1))
	if ! is_of "$scratch/bin/verdict"; then not_ok "what is started is what is there now"; fi
done
unload
if [ "$received" = "$offered" ] && [ "$offered" -gt 100 ]; then
	ok "10 upgrades under load lose none of $offered packets"
else
	not_ok "10 upgrades under load lose no packet (offered $offered, received $received)"
fi

# a program that does not run: packets wait for the old one to come back
mv "$scratch/bin/verdict" "$scratch/bin/old"
printf '#!/bin/false\n' >"$scratch/bin/verdict" && chmod +x "$scratch/bin/verdict"
load
kill -USR2 "$supervisor"
expect_errors 1 'ended with exit code 1: starting it again in 0\.1 s' "an upgrade to what does not run"
readings=$(grep -c 'reading queue' "$scratch/err")
mv "$scratch/bin/old" "$scratch/bin/verdict"
if wait_until 60 has_another_engine; then ok "can be taken back"; else not_ok "can be taken back"; fi
unload
if [ "$received" = "$offered" ]; then ok "without losing a packet"; else not_ok "without losing a packet (offered $offered, received $received)"; fi

load
: >"$scratch/out"
wait_until 60 has_lines 1
for ((i = 1; i <= 10; i++)); do
	restarted "kill -9 number $i" KILL "$engine" >"$scratch/restarted"
	grep '^not' "$scratch/restarted" && failed=$((failed + 1))
	lines=$(wc -l <"$scratch/out")
	wait_until 60 has_lines $((lines + 1)) || not_ok "it says what it inherited"
done
unload
kill -TERM "$supervisor"
ended
if ! command -v python3 >/dev/null; then
	skip "what was in the dead engines' hands: needs python3"
	finish
fi
read -r inherited lost < <(python3 test/support/accounts.py "$scratch/out" inherited_dropped queue_dropped)
if [ $((received + inherited)) -eq "$offered" ] && [ "$lost" -eq 0 ]; then
	ok "10 times kill -9 under load: what did not arrive was in the dead engines' hands: $inherited of $offered packets"
else
	not_ok "10 times kill -9 under load (offered $offered, received $received, inherited $inherited, lost $lost)"
fi
expect_status 0 "it ends"
nothing_is_left "nothing is left"

finish
