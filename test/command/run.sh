#!/bin/bash
# SPDX-License-Identifier: MIT
#
# verdict run, as a person uses it: what is refused and how it is said, how it ends, what it prints, and the first function
# that somebody writes, on real packets. It all happens in namespaces of its own: "near", where the queues are (this script's
# own), and "far" at the other end of a wire.

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

# ---- what is refused ----

# nothing_is_left TEXT: no queue is bound, no process of ours runs
nothing_is_left() {
	if grep -q . "$queues"; then # a file of /proc has no size
		not_ok "$1 (queues: $(tr '\n' ';' <"$queues"))"
	elif pgrep -x verdict --nslist net --ns $$ >/dev/null; then
		not_ok "$1 (a process is left)"
	else
		ok "$1"
	fi
}

# expect_refused CODE PATTERN TEXT OPTION...
expect_refused() {
	expect_sentence run "$@"
}

usage() {
	local pattern=$1

	shift
	expect_refused 2 "$pattern" "wrong usage: run ${*:-without options}" "$@"
}

expect_exit 0 "--help is an answer" "$verdict" run --help
expect_kept '^usage: verdict run --queue N' "--help says how it is called"

usage 'needs a queue to read: --queue N'
usage "queue.* 0 to 65535, not '65536'" --queue 65536
usage "queue.* 0 to 65535, not '-1'" --queue -1
usage "queue.*not 'many'" --queue many
usage "queue.*not '3-1'" --queue 3-1
usage "queue.*not ''" --queue ''
usage "queue.*not '1x'" --queue 1x
usage "queue.*not '1-'" --queue 1-
usage 'more than 256 queues' --queue 0-256
usage 'queue 3 is given twice' --queue 3 --queue 3
usage 'queue 5 is given twice' --queue 1-6 --queue 5
usage "takes options only, not 'surplus'" --queue 0 surplus
usage "unrecognized option '--no-such-option'" --queue 0 --no-such-option
usage "requires an argument" --queue
usage "workers.* 1 to 64, not '0'" --queue 0 --workers 0
usage "workers.*not '65'" --queue 0 --workers 65
usage "writers.* 0 to 16, not '17'" --queue 0 --writers 17
usage "maxlen.*not '0'" --queue 0 --maxlen 0
usage "maxlen.*not '1048577'" --queue 0 --maxlen 1048577
usage "copy-range.*not '65532'" --queue 0 --copy-range 65532
usage "batch .*not '65'" --queue 0 --batch 65
usage "batch-delay.*not '1000001'" --queue 0 --batch-delay 1000001
usage "for .*not '0'" --queue 0 --for 0
usage "packets.*not '0'" --queue 0 --packets 0
usage "default takes accept or drop, not 'maybe'" --queue 0 --default maybe
usage "on-fault takes accept or drop, not 'repeat'" --queue 0 --on-fault repeat
usage "stats takes text, json or none, not 'xml'" --queue 0 --stats xml
usage "cpu.*not '3-x'" --queue 0 --cpu 3-x
usage 'cpu' --queue 0 --cpu ''
usage 'cpu' --queue 0 --cpu ,
usage 'CPU 1023' --queue 0 --cpu 1023
nothing_is_left "wrong usage leaves nothing"

# ---- functions ----

expect_refused 1 "/no/such/file.so cannot be read: No such file" "a file that is not there" --queue 0 --function /no/such/file.so
expect_refused 1 "there is no stock function 'none-such', only accept, drop, .*; a file's name needs a slash or .so" \
	"a stock function that is not there" --queue 0 --function none-such
expect_refused 1 "README.md cannot be loaded" "a file that is no library" --queue 0 --function ./README.md
expect_refused 1 "cannot be" "a directory" --queue 0 --function /
: >"$scratch/empty.so"
expect_refused 1 "empty.so cannot be loaded" "an empty file" --queue 0 --function "$scratch/empty.so"
head -c 2000 "$build/functions/accept.so" >"$scratch/cut.so"
expect_refused 1 "cut.so cannot be loaded" "a file that is cut short" --queue 0 --function "$scratch/cut.so"
usage "'' names no function" --queue 0 --function ''
usage "':7' names no function" --queue 0 --function :7
usage "it takes no arguments, but was given 'surplus'" --queue 0 --function accept:surplus
usage "function mark: .*its arguments are: " --queue 0 --function mark:nonsense
usage "function match: " --queue 0 --function 'match:udp prt 53=drop'
usage "function ttl: N must be a number from 0 to 255, not '256'; its arguments are: " --queue 0 --function ttl:256
usage "function dscp: it must be .*, not 'af44'; its arguments are: " --queue 0 --function dscp:af44
usage "function mss: it must be 'pmtu' or a number from 1 to 65535, not '0'; its arguments are: " --queue 0 --function mss:0
usage "function replace: NEW must be as long as OLD, .*: OLD has 3 bytes, NEW has 5; its arguments are: OLD=NEW" --queue 0 \
	--function replace:cat=horse
usage "function nat: both sides of a '=' must have a port, or none; its arguments are: " --queue 0 \
	--function nat:203.0.113.7:80=10.0.0.9
if [ -e "$test_functions/args.so" ]; then
	expect_refused 1 "not_a_function.so is not a verdict function: it has no VD_FUNCTION" "a library that is no function" \
		--queue 0 --function "$test_functions/not_a_function.so"
	expect_refused 1 "built for version .* compile it again" "another version of the interface" \
		--queue 0 --function "$test_functions/wrong_abi.so"
	expect_refused 1 "cannot decide" "a function that forgets to decide" --queue 0 --function "$test_functions/no_decide.so"
	expect_refused 1 "function state-fail: its state could not be made" "a function that cannot make its state" \
		--queue 0 --function "$test_functions/state_fail.so:3"
	usage "function args: say args:yes, not 'no'; its arguments are: yes" --queue 0 --function "$test_functions/args.so:no"
	usage "function args: say args:yes, not 'no'" --queue 0 --function accept --function "$test_functions/args.so:yes" \
		--function "$test_functions/args.so:no"
else
	skip "functions that are wrong: needs $test_functions (make test-programs)"
fi
many=()
for ((i = 0; i < 33; i++)); do many+=(--function accept); done
expect_refused 2 "more than 32 functions" "more functions than there may be" --queue 0 "${many[@]}"
nothing_is_left "a function that is refused leaves nothing"

expect_refused 1 "there is no network namespace 'none-such'" "a namespace that is not there" --queue 0 --netns none-such
expect_refused 1 "'/dev/null' is not a network namespace" "a file that is no namespace" --queue 0 --netns /dev/null

# ---- privileges ----

if [ "$(id -u)" -ne 0 ]; then
	expect_refused 1 "CAP_NET_ADMIN.*run as root" "without privileges" --queue 0
	skip "everything on real packets: needs root"
	finish
fi

unprivileged=(setpriv --reuid=65534 --regid=65534 --clear-groups --bounding-set=-all --inh-caps=-all --)
mkdir "$scratch/nobody"
cp "$verdict" "$scratch/nobody/verdict" && chmod -R a+rX "$scratch"
expect_exit 1 "a user without privileges is refused" "${unprivileged[@]}" "$scratch/nobody/verdict" run --queue 0
expect_kept '^verdict: reading a queue needs CAP_NET_ADMIN in its network namespace: run as root' "and told what is missing"
if [ "$(printf '%s\n' "$output" | wc -l)" -eq 1 ]; then ok "in one sentence"; else not_ok "in one sentence"; show_output; fi
nothing_is_left "and leaves nothing"

# rejecting needs more than that, and says so before a queue is bound
without_raw=(setpriv --bounding-set=-net_raw --inh-caps=-net_raw --)
expect_exit 1 "who rejects without CAP_NET_RAW is refused" "${without_raw[@]}" "$verdict" run --queue 0 --function reject
expect_kept "^verdict: rejecting packets needs CAP_NET_RAW in the queues' network namespace: run as root" "and told what is missing"
if [ "$(printf '%s\n' "$output" | wc -l)" -eq 1 ]; then ok "in one sentence"; else not_ok "in one sentence"; show_output; fi
nothing_is_left "and leaves nothing"
expect_exit 0 "who does not reject needs no CAP_NET_RAW" timeout 20 "${without_raw[@]}" "$verdict" run --queue 0 --function accept --for 1
expect_refused 2 "--held-max takes a number from 1 to 1048576, not '0'" "none to be held" --queue 0 --held-max 0
expect_refused 2 "--reject-rate takes a number from 1 to 1000000, not '0'" "a rate of none" --queue 0 --reject-rate 0
expect_refused 2 "--reject-mark takes a number from 1 to 4294967295, not 'x'" "a mark that is none" --queue 0 --reject-mark x

# ---- two namespaces ----

mount -t tmpfs tmpfs /run
mkdir /run/netns
lay_wire

# queue CHAIN MATCH... TARGET: a rule of iptables
rule() {
	iptables-legacy -w -A "$@" || exit 1
}

# start OPTION...: an engine in the background; $engine is its process, $scratch/out and $scratch/err what it prints
start() {
	start_daemon "$scratch/out" "$scratch/err" "$@"
}

# ended [SIGNAL]: sends it; waits for the end; $status, $output
ended() {
	[ "$#" -eq 0 ] || kill "-$1" "$engine"
	await 20 "$engine"
	output=$(cat "$scratch/out")
}

expect_status() {
	if [ "$status" -eq "$1" ]; then
		ok "$2"
	else
		not_ok "$2 (exit status $status instead of $1)"
		output=$(cat "$scratch/out" "$scratch/err")
		show_output
	fi
}

# expect_errors LINES PATTERN TEXT: so many lines on standard error, one of them like this
expect_errors() {
	if [ "$(wc -l <"$scratch/err")" -eq "$1" ] && grep -Eq -- "$2" "$scratch/err"; then
		ok "$3"
	else
		not_ok "$3 (wanted $1 lines, one like: $2)"
		sed 's/^/# /' "$scratch/err"
	fi
}

# packets COUNT PORT [OPTION...]: from far
packets() {
	far "$send" --to 10.9.0.1 --count "$1" --port "$2" "${@:3}" >/dev/null
}

# decided COUNT PORT [OPTION...]: the same, until nothing waits in any queue
decided() {
	packets "$@"
	sleep 0.05 # the last ones may still be on the wire
	wait_until 20 is_empty
}

pings() {
	ping -q -c 3 -i 0.05 -W 1 10.9.0.2 >/dev/null
}

# ---- a queue that somebody owns ----

rule INPUT -p udp --dport 9000:9015 -j NFQUEUE --queue-num 7
start --queue 7 --stats none
first=$engine
for options in '--queue 7' '--queue 5-9' '--queue 7 --function drop'; do
	# shellcheck disable=SC2086 # several words
	expect_refused 1 "queue 7 is owned by portid [0-9]+ \(verdict, pid $first\): stop that program or choose another queue" \
		"a queue that another one reads: $options" $options
done
if [ "$(wc -l <"$queues")" -eq 1 ] && is_bound 7; then ok "and binds none of the others"; else not_ok "and binds none of the others"; fi
decided 1000 9000
ended TERM
expect_status 0 "the first reader goes on"
if [ -s "$scratch/out" ]; then not_ok "--stats none prints nothing"; else ok "--stats none prints nothing"; fi
nothing_is_left "its queue is given back"

# ---- ends ----

for signal in INT TERM HUP; do
	start --queue 7
	decided 100 9000
	ended $signal
	expect_status 0 "SIG$signal ends it"
	expect_number offered 100 "with the summary"
	nothing_is_left "and leaves nothing"
done

start --queue 7 --packets 777
packets 2000 9000 --rate 20000
ended
expect_status 0 "--packets ends it"
expect_number accepted 777 "after exactly as many"

begin=$SECONDS
expect_exit 0 "--for ends it" timeout 20 "$verdict" run --queue 7 --for 1
if [ $((SECONDS - begin)) -le 5 ]; then ok "in time"; else not_ok "in time ($((SECONDS - begin)) s)"; fi

rm "$scratch/err" # what the one before said does not count
bash -c 'trap "" HUP; exec setpriv --pdeathsig KILL -- "$@"' bash "$verdict" run --queue 7 >"$scratch/out" 2>"$scratch/err" &
engine=$!
children+=("$engine")
wait_until 20 is_reading "$scratch/err"
kill -HUP "$engine"
sleep 0.3
if kill -0 "$engine" 2>/dev/null && is_bound 7; then ok "under nohup SIGHUP does not end it"; else not_ok "under nohup SIGHUP does not end it"; fi
ended TERM

# a function that takes its time: what was read is answered, and the rest gets the fault verdict
if [ -e "$test_functions/slow.so" ]; then
	for fault in accept drop; do
		past=accepted
		[ $fault = accept ] || past=dropped
		start --queue 7 --function "$test_functions/slow.so:2000,sleep" --on-fault $fault --workers 1
		packets 1000 9000
		ended TERM
		expect_status 0 "--on-fault $fault: it ends under load"
		expect_number offered 1000 "and every packet is accounted for"
		left=$(number "left, $past")
		if [ "${left:-0}" -gt 0 ] && [ $(($(number accepted) + left)) -eq 1000 ]; then
			ok "decided or left"
		else
			not_ok "decided or left (accepted $(number accepted), left ${left:-none})"
			show_output
		fi
	done

	start --queue 7 --function "$test_functions/slow.so:3000000,sleep" --workers 1
	packets 1 9000
	sleep 0.3
	kill -TERM "$engine"
	sleep 0.2
	ended TERM
	expect_status 1 "a second signal does not wait"
	expect_errors 2 'stopped a second time before all packets were answered' "and says what becomes of the packets"
	nothing_is_left "and leaves nothing"

	start --queue 7 --function "$test_functions/fault.so:2" --on-fault drop --stats text
	decided 500 9000
	ended INT
	expect_number 'of them faults' 250 "faults are counted"
	expect_number 'dropped by verdict' 250 "and --on-fault decides on them"
	start --queue 7 --function "$test_functions/fault.so:2" --on-fault accept --default drop
	decided 500 9000
	ended INT
	expect_number accepted 250 "or accepts them"
	expect_number 'of them by default' 250 "and --default the others"
else
	skip "slow and faulty functions: needs $test_functions (make test-programs)"
fi

# ---- what it prints ----

start --queue 7 --function 'match:udp port 9001=drop' --stats text
decided 4000 9000 --ports 4 --flows 4 --burst 1
ended INT
expect_status 0 "text"
expect_kept '^queue 7:$' "names the queue"
expect_number offered 4000 "offered"
expect_number accepted 3000 "accepted"
expect_number 'dropped by verdict' 1000 "dropped"
expect_number 'lost: queue full' 0 "lost: queue full"
expect_number 'lost: buffer full' 0 "lost: buffer full"
expect_kept '^function match: 4000 packets, no opinion 3000, drop 1000$' "what the function said"
expect_number matched 1000 "and counted"
expect_kept '^[0-9.]+ s, .* packets/s, .* packets a read, .* verdicts a send, [0-9]+ % on the spot$' "and the speed"
expect_errors 1 '^verdict: reading queue 7: ' "standard error says what it reads"

start --queue 7 --stats none
decided 100 9000
ended INT
expect_status 0 "none"
if [ -s "$scratch/out" ]; then not_ok "prints nothing"; show_output; else ok "prints nothing"; fi

# the kernel's queue is full: each number by itself
rule INPUT -p udp --dport 9100 -m comment --comment full -j NFQUEUE --queue-num 8
start --queue 7-8 --queue 20 --maxlen 50 --function 'match:udp port 9001=drop' --function accept --stats json --for 3 --workers 2
packets 4000 9000 --ports 4 --flows 4 --rate 10000
packets 50000 9100 --flows 8
ended
expect_status 0 "json"
if command -v python3 >/dev/null; then
	rule=$(iptables-legacy -nvxL INPUT | awk '/full/ { print $1 }')
	run_and_keep python3 - "$scratch/out" "$rule" <<'END'
import json, sys

lines = [json.loads(line) for line in open(sys.argv[1])]
last = lines[-1]
queues = {queue['queue']: queue for queue in last['queues']}
lost = ['queue_dropped', 'socket_dropped', 'flushed', 'refused', 'left_accepted', 'left_dropped']

assert [line['final'] for line in lines] == [False] * (len(lines) - 1) + [True], 'only the last line is final'
assert 2 <= len(lines) <= 30, f'{len(lines)} lines'
assert sorted(queues) == [7, 8, 20], f'queues {sorted(queues)}'
for queue in queues.values():
    assert queue['offered'] == sum(queue['verdicts'].values()) + sum(queue[key] for key in lost), 'does not close'
    assert queue['received'] == sum(queue['verdicts'].values()), 'received is not what was answered'
assert queues[7]['offered'] == 4000, f"queue 7: {queues[7]['offered']} offered"
# a busy machine may lose some of them: the queue is short
assert queues[7]['verdicts']['drop'] <= 1000 and queues[7]['verdicts']['accept'] <= 3000, 'queue 7: verdicts'
assert queues[8]['offered'] == int(sys.argv[2]), f"queue 8: {queues[8]['offered']}, but the rule says {sys.argv[2]}"
assert queues[8]['queue_dropped'] > 0, 'queue 8 was never full'
assert queues[20]['offered'] == 0, 'queue 20 had packets'
functions = last['functions']
assert [function['function'] for function in functions] == ['match', 'accept'], 'functions'
assert functions[0]['packets'] == queues[7]['received'] + queues[8]['received'], 'packets of match'
assert functions[0]['counters']['matched'] == queues[7]['verdicts']['drop'] > 0, 'counters of match'
assert functions[1]['packets'] == functions[0]['verdicts']['next'], 'packets of accept'
END
	if [ "$status" -eq 0 ]; then ok "parses, closes, and agrees with the rule's counter"; else not_ok "parses, closes, and agrees"; show_output; fi
else
	skip "json: needs python3"
fi

expect_exit 0 "ranges and repeats" timeout 20 "$verdict" run --queue 100-102 --queue 300 --queue 0x10 --for 1
for queue in 16 100 101 102 300; do
	expect_kept "^queue $queue:\$" "queue $queue is read"
done
expect_kept '^all queues:$' "and they are added up"

# ---- where and how ----

touch /run/netns/other && mount --bind "/proc/$far/ns/net" /run/netns/other
for namespace in other "/proc/$far/ns/net"; do
	background "$verdict" run --queue 9 --netns "$namespace" >"$scratch/out" 2>"$scratch/err"
	engine=$child
	wait_until 20 is_reading "$scratch/err"
	run_and_keep far awk '$1 == 9' "$queues"
	if [ -n "$output" ] && ! is_bound 9; then ok "--netns $namespace"; else not_ok "--netns $namespace"; fi
	ended INT
	expect_status 0 "and back"
done

# connects PORT: to far
connects() {
	timeout 20 bash -c 'exec 3<>"/dev/tcp/10.9.0.2/$1"' bash "$1" 2>&1
}

# the engine is here, its queue and its answers are there
far iptables-legacy -w -A INPUT -p tcp --dport 9300 -j NFQUEUE --queue-num 9
far iptables-legacy -w -A OUTPUT -p tcp -m mark --mark 0x77 -m comment --comment answers
start --queue 9 --netns other --function reject --reject-mark 0x77 --stats text
for _ in 1 2 3; do
	run_and_keep connects 9300
	expect_kept 'Connection refused' "--netns with reject: refused there"
done
sleep 1.1 # a line
ended INT
expect_status 0 "it ends"
expect_number 'dropped by verdict' 0 "nothing is dropped in silence"
expect_number rejected 3 "all is rejected"
expect_number 'rejected: answered' 3 "and answered"
expect_kept '^function reject: 3 packets, reject 3$' "the function's own account"
expect_kept ' s  .*  rejected [1-3]  answered [1-3]  ' "and a line of text"
run_and_keep far iptables-legacy -nvxL OUTPUT
expect_kept '^ *3 .*answers' "a rule sees the answers' mark"

start --queue 9 --netns other --function reject:code:13 --stats json
connects 9300 >/dev/null
ended INT
expect_kept '"reject":1' "rejected, in JSON"
expect_kept '"answered":1,"answers_limited":0,"answers_none":0,"answers_failed":0' "and what became of the answer"

start --queue 7 --default drop --function 'match:udp port 9000=accept'
decided 2000 9000 --ports 2 --flows 2 --burst 1
ended INT
expect_number accepted 1000 "--default drop: what a function accepts passes"
expect_number 'dropped by verdict' 1000 "and nothing else"

cpus=$(taskset -pc $$ | sed 's/.*: //')
start --queue 7 --cpu "$cpus" --workers 3 --writers 1
pinned=0
for thread in "/proc/$engine/task"/*; do
	case $(cat "$thread/comm") in
	worker-* | writer-*)
		case $(awk '/Cpus_allowed_list/ { print $2 }' "$thread/status") in
		*[-,]*) not_ok "--cpu $cpus: a thread is not pinned" ;;
		*) pinned=$((pinned + 1)) ;;
		esac ;;
	esac
done
if [ "$(nproc)" -eq 1 ] || [ "$pinned" -eq 4 ]; then ok "--cpu pins all threads"; else not_ok "--cpu pins all threads ($pinned of 4)"; fi
decided 1000 9000
ended INT
expect_number accepted 1000 "and they work"

start --queue 7 --batch-delay 20000 --batch 8
decided 160 9000 --rate 2000
ended INT
expect_number accepted 160 "--batch-delay: all are answered"
expect_kept ' ([4-9]|[1-9][0-9])\.[0-9] packets a read' "together"

expect_exit 0 "a reader that goes away does not end the filter" timeout 20 bash -c \
	'set -o pipefail; "$1" run --queue 7 --stats json --for 3 2>/dev/null | head -n 1 >/dev/null' bash "$verdict"

# ---- the first function that somebody writes ----

cat >"$scratch/no-icmp.c" <<'END'
#include <verdict/function.h>

static enum vd_verdict decide(struct vd_packet *packet, void *state)
{
	return vd_packet_protocol(packet) == IPPROTO_ICMP ? VD_DROP : VD_NEXT;
}

VD_FUNCTION(.name = "no-icmp", .summary = "drops ICMP", .decide = decide);
END
expect_exit 0 "ten lines and one line of the compiler" "${CC:-cc}" -Wall -Werror -shared -fPIC -o "$scratch/no-icmp.so" \
	"$scratch/no-icmp.c" -Ilib/include
if [ -z "$output" ]; then ok "without a warning"; else not_ok "without a warning"; show_output; fi
rule OUTPUT -p icmp --icmp-type echo-request -j NFQUEUE --queue-num 0
rule INPUT -p icmp --icmp-type echo-reply -j NFQUEUE --queue-num 0
rule INPUT -i near0 -p udp --dport 9200 -j NFQUEUE --queue-num 0
run_and_keep pings
if [ "$status" -ne 0 ]; then ok "nobody listens: no ping"; else not_ok "nobody listens: no ping"; fi
start --queue 0 --function accept
expect_exit 0 "with accept a ping comes back" pings
ended INT
start --queue 0 --function "$scratch/no-icmp.so"
run_and_keep pings
if [ "$status" -ne 0 ]; then ok "with no-icmp it does not"; else not_ok "with no-icmp it does not"; fi
decided 50 9200
ended INT
expect_number 'dropped by verdict' 3 "three are dropped"
expect_kept '^function no-icmp: 53 packets, no opinion 50, drop 3$' "by this function"
expect_number accepted 50 "and UDP passes"
nothing_is_left "nothing is left"

finish
