#!/bin/bash
# SPDX-License-Identifier: MIT
#
# verdict run --isolation process, on real packets: what a function does with one packet costs that packet, which is counted, named in
# the log and written to a capture; the processes that functions run in have nothing that they could do harm with, are replaced
# when they are killed, and go when the engine goes; and a reload changes from threads to processes and back.

# shellcheck disable=SC2015,SC2016,SC2317 # ok never fails; programs of awk in quotes; functions that wait_until calls

set -u
cd "$(dirname "$0")/../.." || exit 1
. test/support/namespace.sh
. test/support/shell.sh
. test/support/wire.sh
. test/support/daemon.sh

send=$build/bench/net/send
sink=$build/bench/net/sink
# functions crash here, and it is not the sanitizer's business; leaks are looked for by tracing, which is refused
export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}handle_segv=0:handle_abort=0:handle_sigill=0:detect_leaks=0
# processes are made by one that was forked by one with threads
export TSAN_OPTIONS=${TSAN_OPTIONS:+$TSAN_OPTIONS:}die_after_fork=0:atexit_sleep_ms=0:handle_segv=0:handle_abort=0

show_to_all "$build/test/functions"/{misdeed,crash,forbidden,slow}.so

# ---- what is wrong with the options ----

expect_sentence run 2 "--isolation takes thread or process, not 'fork'" "an isolation that there is not" --queue 0 --isolation fork
expect_sentence run 2 "deadline takes a time from 100us to 60000000us .*, not '10us'" "a deadline too short" --queue 0 \
	--isolation process --deadline 10us
expect_sentence run 2 "deadline is for isolation process" "a deadline for threads" --queue 0 --deadline 1s
expect_sentence run 2 "fault-capture is for isolation process" "a capture for threads" --queue 0 --fault-capture "$scratch/no.pcap"

if [ "$(id -u)" -ne 0 ]; then
	skip "everything on real packets: needs root"
	finish
fi
if [ ! -e "$scratch/misdeed.so" ]; then
	skip "everything on real packets: needs $build/test/functions (make test-programs)"
	finish
fi

mount -t tmpfs tmpfs /run
lay_wire
iptables-legacy -w -A INPUT -p udp --dport 9000 -j NFQUEUE --queue-num 0 || exit 1
cd "$scratch" || exit 1

expect_sentence run 1 "/nowhere/x.pcap cannot be written to" "a capture in no directory" --queue 0 --isolation process \
	--fault-capture /nowhere/x.pcap
echo 'no capture' >other
expect_sentence run 1 "other is there, and is no capture" "a file that is something else" --queue 0 --isolation process \
	--fault-capture other
expect_sentence run 1 "a function starts threads when it is opened.*isolation thread" "a function with threads" --queue 0 \
	--isolation process --function ./forbidden.so:thread
expect_sentence run 2 "function misdeed: say KIND" "arguments that a function refuses" --queue 0 --isolation process \
	--function ./misdeed.so:no

# ---- a run ----

receiver=''
has_come() {
	is_reading err || ! kill -0 "$engine"
}

# start OPTION...: in the background; $engine. AddressSanitizer's locks are not taken around a fork by a process with threads: where one was
# held by another thread, the next try is another one
start() {
	local tries=1

	case $build in */asan) tries=5 ;; esac
	until
		: >err
		background "$verdict" run --queue 0 --isolation process --log-rate 0 --stats text --control /run/isolation "$@" >out 2>err
		engine=$child
		wait_until 60 has_come
		is_reading err || ! ((--tries))
	do :; done
	is_reading err || { not_ok "it starts: $*"; sed 's/^/# /' err; finish; }
}

# end: of the engine, and of the receiver: $status, $output; $arrived of the packets did, $overtaken
end() {
	local ended

	kill -INT "$engine"
	await 60 "$engine"
	ended=$status
	if [ -n "$receiver" ]; then
		kill -INT "$receiver"
		await 60 "$receiver"
		receiver=''
		arrived=$(sed -n 's/.*"received":\([0-9]*\).*/\1/p' sink.out)
		overtaken=$(sed -n 's/.*"reordered":\([0-9]*\).*/\1/p' sink.out)
	fi
	output=$(cat out)
	status=$ended
}

# receive: until `end`
receive() {
	: >sink.err
	background "$sink" --port 9000 >sink.out 2>sink.err
	receiver=$child
	wait_until 20 grep -q ready sink.err || not_ok "the receiver does not start"
}

# have_come COUNT: packets to the queue
have_come() {
	[ "$(iptables-legacy -w -nvxL INPUT | awk '$3 == "NFQUEUE" { print $1 }')" -ge "$1" ]
}

# packets COUNT [OPTION...]: from far to 9000 here, until none waits any more
packets() {
	iptables-legacy -w -Z INPUT
	far "$send" --to 10.9.0.1 --port 9000 --flows 16 --count "$1" "${@:2}" >/dev/null
	wait_until 60 have_come "$1"
	wait_until 60 is_empty
}

# traffic COUNT [OPTION...]: the same, and they are received
traffic() {
	receive
	packets "$@"
}

expect_arrived() {
	if [ "${arrived:-none}" = "$1" ] && [ "${overtaken:-0}" = 0 ]; then
		ok "$2"
	else
		not_ok "$2 (${arrived:-none} instead of $1, overtaken ${overtaken:-?})"
		sed 's/^/# /' err | head -n 20
	fi
}

is_nothing_left() {
	! grep -q . "$queues" && ! pgrep -x 'verdict|verdict-host|verdict-nursery' --nslist net --ns $$
}

nothing_is_left() {
	if wait_until 30 is_nothing_left; then
		ok "$1"
	else
		not_ok "$1 ($(pgrep -lx 'verdict|verdict-host|verdict-nursery' --nslist net --ns $$ | tr '\n' ' '))"
	fi
}

hosts() {
	pgrep -x verdict-host --nslist net --ns $$
}

# ---- misdeeds ----

rm -f capture.pcap
for kind in segv abort overflow exit; do
	start --function "./misdeed.so:$kind,every=3000" --function accept --fault-capture capture.pcap
	traffic 9000 --rate 20000
	end
	expect_arrived 8997 "$kind: it costs each packet that it comes with, and no other"
	expect_number 'dropped by verdict' 3 "$kind: they get the fault verdict"
	expect_number 'of them faults' 3 "$kind: and are faults"
	expect_number '- after a fault' 3 "$kind: which is why they did not go on"
	expect_number 'accepted' 8997 "$kind: all others were accepted"
	expect_kept 'function misdeed: 9000 packets, no opinion 8997, faults 3, crashes 3' "$kind: the function has them in its account"
	expect_kept 'processes of functions that were replaced: [1-9]' "$kind: processes were replaced"
	if [ "$(grep -c 'warning: function misdeed .* on a packet of queue 0 from 10.9.0.2 > 10.9.0.1' err)" -eq 3 ]; then
		ok "$kind: each is a line of the log"
	else
		not_ok "$kind: each is a line of the log"
		sed 's/^/# /' err
	fi
	[ "$status" -eq 0 ] && ok "$kind: the engine ends as ever" || not_ok "$kind: the engine ends with $status"
	nothing_is_left "$kind: nothing is left"
done

count=$(tcpdump -nr capture.pcap 'src 10.9.0.2 and udp dst port 9000' 2>/dev/null | wc -l)
[ "$count" -eq 12 ] && ok "the capture has all of these packets" || not_ok "the capture has $count of 12 packets"
run_and_keep timeout 60 "$verdict" replay capture.pcap --function match:'udp dst port 9000=drop'
expect_number 'dropped' 12 "and can be replayed"

start --function ./misdeed.so:hang,every=1500 --function accept --deadline 500ms --workers 2
traffic 3000 --rate 2000
end
expect_arrived 2998 "hang: it costs each packet that it comes with, and no other"
expect_kept 'function misdeed: 3000 packets, no opinion 2998, faults 2, hangs 2' "hang: it is counted as what it is"
grep -q 'function misdeed gave no answer within 0.5 s on a packet' err && ok "hang: the log says so" || not_ok "hang: the log says so"

start --function ./misdeed.so:wild,every=3000 --function accept
traffic 9000 --rate 20000
end
expect_kept "received|offered +9000" "wild: it goes on"
lost=$((9000 - ${arrived:-0}))
# who has written over what is not its own may have hit packets behind it in the same burst, too
if [ "$lost" -ge 3 ] && [ "$lost" -le 192 ]; then ok "wild: no burst but its own"; else not_ok "wild: $lost were lost"; fi
nothing_is_left "wild: nothing is left"

start --function ./misdeed.so:segv,every=1 --function accept --on-fault accept
traffic 3000 --rate 3000
end
expect_arrived 3000 "a crash with every packet is the fault verdict for every packet"
expect_kept 'of them without host +[1-9]' "most of them are not even tried"
[ "$(number 'of them without host')" -ge 1500 ] && ok "that is most of them" || not_ok "$(number 'of them without host') without host"

# ---- what such a process is ----

{ cat /etc/passwd && echo 'filter:x:4242:4243::/:/bin/false'; } >passwd
{ cat /etc/group && echo 'filter:x:4243:'; } >group
mount --bind passwd /etc/passwd && mount --bind group /etc/group || exit 1

# expect_status PATTERN TEXT: in /proc of all of these processes
expect_status() {
	local process lines

	for process in $(hosts) $(pgrep -x verdict-nursery --nslist net --ns $$); do
		lines=$(grep -Ec "$1" "/proc/$process/status")
		if [ "$lines" -ne "$2" ]; then
			not_ok "$3 (process $process)"
			sed 's/^/# /' "/proc/$process/status"
			return
		fi
	done
	ok "$3"
}

# nobody_may_look TEXT [UID GID]: neither trace them nor read their memory; who has their user, and no capability either
nobody_may_look() {
	local process

	for process in $(hosts) $(pgrep -x verdict-nursery --nslist net --ns $$); do
		if setpriv --reuid="${2:-0}" --regid="${3:-0}" --clear-groups --bounding-set=-all --inh-caps=-all \
			cat "/proc/$process/maps" >maps 2>/dev/null && [ -s maps ]; then
			not_ok "$1 (process $process)"
			return
		fi
	done
	ok "$1"
}

for user in '' '--user filter'; do
	# shellcheck disable=SC2086 # two words
	start --function ./misdeed.so:segv,every=500 --function accept $user
	wait_until 20 eval '[ "$(hosts | wc -l)" -eq 2 ]' && ok "one serves, one is spare ($user)" || not_ok "$(hosts | wc -l) processes ($user)"
	expect_status '^Cap(Inh|Prm|Eff|Bnd|Amb):	0{16}$' 5 "no capability, not even to be had ($user)"
	expect_status '^(NoNewPrivs:	1|Seccomp:	2)$' 2 "no new ones, and system calls are filtered ($user)"
	if [ -n "$user" ]; then
		expect_status '^(Uid:(	4242){4}|Gid:(	4243){4})$' 2 "the user is that of --user"
	fi
	descriptors=$(for process in $(hosts); do find "/proc/$process/fd" -lname 'socket:*'; done)
	[ -z "$descriptors" ] && ok "no socket ($user)" || not_ok "no socket ($user): $descriptors"
	nobody_may_look "nobody of the same user may look into them ($user)" ${user:+4242 4243}
	traffic 2000 --rate 10000
	wait_until 20 eval '[ "$(hosts | wc -l)" -eq 2 ]'
	expect_status '^(Cap(Inh|Prm|Eff|Bnd|Amb):	0{16}|NoNewPrivs:	1|Seccomp:	2)$' 7 "and those that took their place ($user)"
	end
	expect_arrived 1996 "packets pass ($user)"
	nothing_is_left "nothing is left ($user)"
done

start --function accept --seccomp no
expect_status '^(Cap(Inh|Prm|Eff|Bnd|Amb):	0{16}|NoNewPrivs:	1)$' 6 "without a filter they have no more either"
end

for call in execve fork old-fork ptrace socket kill tgkill wait4 waitid seccomp pdeathsig netlink unix late library; do
	case $call in # the function accepts what goes as it expects; what the engine may do and these may not, it does not expect
	netlink | unix | late) wanted=0 ;;
	*) wanted=50 ;;
	esac
	start --workers 1 --function "./forbidden.so:$call"
	packets 50
	end
	expect_number accepted $wanted "system calls of functions: $call"
done
start --workers 1 --function ./forbidden.so:socket
packets 10
end
grep -q 'called socket(), which is refused: allow it with seccomp-allow socket' err && ok "and named in the log" ||
	{ not_ok "and named in the log"; sed 's/^/# /' err; }

# ---- who is killed ----

start --function accept
packets 1000
before=$(hosts | tr '\n' ' ')
# shellcheck disable=SC2086 # several
kill -KILL $before
has_others() {
	[ "$(hosts | wc -l)" -eq 2 ] && ! hosts | grep -qxF -e "${before%% *}"
}
wait_until 20 has_others && ok "killed processes are replaced" || not_ok "killed processes are replaced"
traffic 1000 --rate 5000
run_and_keep "$verdict" stats /run/isolation --json
expect_kept '"host":\{"isolated":true,"restarts":[1-9]' "stats tell of it"
end
expect_arrived 1000 "and no packet is lost for that"
expect_number 'of them faults' none "nobody is guilty"

start --function accept
kill -KILL "$engine"
nothing_is_left "a killed engine takes them all with it"
wait "$engine"

start --function accept
kill -KILL "$(pgrep -x verdict-nursery --nslist net --ns $$)"
far "$send" --to 10.9.0.1 --port 9000 --count 1 >/dev/null
wait_until 60 eval '! kill -0 $engine' && ok "an engine that could have no more of them ends" || not_ok "an engine that could have no more of them ends"
wait "$engine"
[ $? -eq 1 ] && grep -q 'the process that verdict functions were opened in has died' err && ok "and says so" ||
	{ not_ok "and says so"; sed 's/^/# /' err; }
nothing_is_left "nothing is left of it"

# not by the end of a pipe alone, which one that does not run would not notice
start --function accept --deadline 500ms
# shellcheck disable=SC2046 # several
kill -STOP $(hosts)
kill -KILL "$(pgrep -x verdict-nursery --nslist net --ns $$)"
far "$send" --to 10.9.0.1 --port 9000 --count 1 >/dev/null
wait "$engine"
nothing_is_left "nor of those that were stopped"

# a terminal, and a service manager, signal all of them
start --function accept
# shellcheck disable=SC2046 # several
kill -INT "$engine" $(hosts) "$(pgrep -x verdict-nursery --nslist net --ns $$)" 2>/dev/null
wait "$engine" && ok "a signal to all of them is a stop like any other" || not_ok "a signal to all of them"
nothing_is_left "nothing is left then"

# and what it says to itself is not for them
start --function accept
before=$(hosts)
# shellcheck disable=SC2086 # several
for signal in INT TERM HUP QUIT USR1; do
	kill -"$signal" $before "$(pgrep -x verdict-nursery --nslist net --ns $$)"
done
traffic 1000 --rate 10000
after=$(hosts)
end
expect_arrived 1000 "signals for the engine do not end them"
[ "$before" = "$after" ] && ok "they are the same ones" || not_ok "they are the same ones (${before//$'\n'/ }, now ${after//$'\n'/ })"

# ---- reload ----

has_said() {
	[ "$(grep -c -- "$1" err)" -ge "$2" ]
}

# reload LINE...
reload() {
	local lines

	printf '%s\n' 'queue 0;' 'log-rate 0;' "$@" >verdict.conf.new
	mv verdict.conf.new verdict.conf
	lines=$(grep -c 'reloaded' err)
	kill -HUP "$engine"
	wait_until 60 has_said 'reloaded' $((lines + 1))
}

printf '%s\n' 'queue 0;' 'log-rate 0;' 'function first { arguments "100,mark=0"; }' >verdict.conf
start_daemon out err --config verdict.conf --user filter --seccomp no || finish
receive
iptables-legacy -w -Z INPUT
background nsenter --net="/proc/$far/ns/net" -- "$send" --to 10.9.0.1 --port 9000 --flows 16 --rate 3000 >sent
sender=$child
for _ in 1 2 3; do
	reload 'isolation process;' 'function first { arguments "100,mark=0"; }'
	[ "$(hosts | wc -l)" -ge 1 ] || not_ok "no process"
	reload 'isolation process;' 'deadline 2s;' 'function first { arguments "200,mark=0"; }'
	reload 'isolation thread;' 'function first { arguments "100,mark=0"; }'
	[ "$(hosts | wc -l)" -eq 0 ] || not_ok "a process"
done
kill -INT "$sender"
await 60 "$sender"
sent=$(sed -n 's/.*"sent":\([0-9]*\).*/\1/p' sent)
wait_until 60 have_come "$sent"
wait_until 60 is_empty
end
expect_arrived "$sent" "reloads from threads to processes and back lose no packet, and none is overtaken"
has_said 'reloaded: the new configuration is in effect' 9 && ok "all of them took effect" || { not_ok "all of them took effect"; sed 's/^/# /' err; }
has_said 'the state of function first begins empty: where functions run in processes, it is not handed on' 9 &&
	ok "that state begins anew is said" || { not_ok "that state begins anew is said"; sed 's/^/# /' err; }
nothing_is_left "nothing is left of these"

# with a filter of system calls, which has to have room for it from the start
printf '%s\n' 'queue 0;' 'isolation process;' 'function accept;' >verdict.conf
start_daemon out err --config verdict.conf --user filter || finish
reload 'isolation process;' 'function match { arguments "udp=accept"; }'
has_said 'reloaded: the new' 1 && ok "a reload under a filter" || { not_ok "a reload under a filter"; sed 's/^/# /' err; }
expect_status '^(Cap(Inh|Prm|Eff|Bnd|Amb):	0{16}|NoNewPrivs:	1|Seccomp:	2)$' 7 "where they have no more than at the start"
traffic 500 --rate 5000
end
expect_arrived 500 "and decide"
nothing_is_left "nothing is left of it, either"

printf '%s\n' 'queue 0;' 'function accept;' >verdict.conf
start_daemon out err --config verdict.conf --user filter || finish
reload 'isolation process;' 'function accept;'
has_said 'not reloaded.*functions cannot be isolated: no process can be made for them.*start it with isolation process' 1 &&
	ok "one without room refuses it, and says what to do" || { not_ok "one without room refuses it"; sed 's/^/# /' err; }
end
finish
