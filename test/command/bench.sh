#!/bin/bash
# SPDX-License-Identifier: MIT
#
# verdict bench: what is refused and how, that its numbers add up and agree with each other, that every option does what it
# says, and that nothing is left behind, also when it is interrupted or killed. How fast anything is, is not tested here.

# shellcheck disable=SC2317 # functions that wait_until calls

set -u
cd "$(dirname "$0")/../.." || exit 1

# with processes of its own, so that what is left behind is this test's, and gone with it
if [ "$(id -u)" -eq 0 ] && [ "${1:-}" != inside ]; then
	exec unshare --mount --pid --fork --mount-proc --kill-child -- bash "$0" inside
fi

. test/support/shell.sh

export VERDICT_FUNCTION_PATH=$build/functions
test_functions=$build/test/functions

# ---- what is refused ----

# expect_refused CODE PATTERN TEXT OPTION...
expect_refused() {
	expect_sentence bench "$@"
}

usage() {
	local pattern=$1

	shift
	expect_refused 2 "$pattern" "wrong usage: bench $*" "$@"
}

usage "rate takes numbers from 1 to 100000000 or max, .*not '0'" --rate 0
usage "rate .*not '-1'" --rate=-1
usage "rate .*not '10k,'" --rate 10k,
usage "rate .*not 'fast'" --rate fast
usage "rate .*not '1G'" --rate 1G
usage "rate takes up to 16 values" --rate 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17
usage "size takes numbers from 48 to 1500, .*not '47'" --size 47
usage "size .*not '64,1501'" --size 64,1501
usage "size .*not 'max'" --size max
usage "flows .*not '0'" --flows 0
usage "flows .*not '16385'" --flows 16385
usage "workers .*not '65'" --workers 65
usage "seconds takes seconds from 0.05 to 3600, not '0'" --seconds 0
usage "seconds .*not 'long'" --seconds long
usage "rounds .*not '0'" --rounds 0
usage "rounds .*not '101'" --rounds 101
usage "compare takes none, yardstick and verdict, .*not 'others'" --compare others
usage "bench takes options only, not 'mine.so'" mine.so
usage "both be written to standard output" --json - --report -
usage "up to 4096 combinations" --rate 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16 --size 60,61,62,63,64,65,66,67,68,69,70,71,72,73,74,75 \
	--flows 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16 --workers 1,2
expect_refused 1 "no stock function 'nosuch'" "a function that is not there" --function nosuch
expect_refused 1 "/no/such.so" "a file that is not there" --function /no/such.so

if [ "$(id -u)" -ne 0 ]; then
	expect_refused 1 'run it as root' "without root it says so"
	skip "what is measured: needs root"
	finish
fi

if command -v setpriv >/dev/null && chmod 755 "$scratch" && setpriv --reuid 65534 --regid 65534 --clear-groups test -x "$verdict"; then
	output=$(setpriv --reuid 65534 --regid 65534 --clear-groups "$verdict" bench 2>&1)
	status=$?
	if [ "$status" -eq 1 ]; then ok "without root: exit status 1"; else not_ok "without root: exit status 1, not $status"; fi
	expect_kept 'run it as root' "and a sentence"
else
	skip "without root: nobody may not run $verdict"
fi

expect_refused 1 "'/no/such/file' cannot be written" "a file that cannot be written" --json /no/such/file
expect_refused 1 "'/no/such/page' cannot be written" "a page that cannot be written" --report /no/such/page
expect_refused 2 'mark' "a function that refuses its arguments" --function mark:nonsense --seconds 0.05 --rounds 1
output=$(PATH=/nowhere "$verdict" bench --seconds 0.05 --rounds 1 2>&1)
expect_kept 'neither iptables-legacy nor iptables' "without iptables"

# ---- what is left behind ----

# of the processes that run, those that are this program; and the namespaces of network that there are
ours() {
	pgrep -f "^$verdict bench" || true
}

namespaces() {
	lsns -rnt net -o NS | sort | paste -sd ' '
}

before=$(namespaces)

is_clean() {
	[ -z "$(ours)" ] && [ "$(namespaces)" = "$before" ]
}

nothing_is_left() {
	if wait_until 20 is_clean; then ok "$1"; else not_ok "$1 (processes: $(ours | paste -sd ' '); namespaces: $(namespaces), before: $before)"; fi
}

# ---- what it measures ----

# bench OPTION...: short, and its JSON in $scratch/json
bench() {
	timeout 120 "$verdict" bench --seconds 0.2 --rounds 2 --json "$scratch/json" "$@" >"$scratch/out" 2>"$scratch/err"
	status=$?
	output=$(cat "$scratch/out" "$scratch/err")
}

# expect_bench TEXT OPTION...
expect_bench() {
	local text=$1

	shift
	bench "$@"
	if [ "$status" -eq 0 ] && [ ! -s "$scratch/err" ]; then ok "$text"; else
		not_ok "$text (exit status $status)"
		show_output
	fi
}

# expect_json TEXT LINES: of Python, which sees the object as `bench`. $output stays what the program printed
expect_json() {
	local output status

	if ! command -v python3 >/dev/null; then
		skip "$1: needs python3"
		return
	fi
	run_and_keep python3 - "$scratch/json" <<END
import json, sys

bench = json.load(open(sys.argv[1]))
cases = bench['cases']
for case in cases:
    for name, program in case['programs'].items():
        rounds = program['rounds']
        assert program['sent'] == sum(one['sent'] for one in rounds) > 0, 'sent'
        assert program['delivered'] == sum(one['delivered'] for one in rounds), 'delivered'
        for one in rounds + [program]:
            assert one['sent'] == one['delivered'] + one['lost'], f'{name}: sent is not delivered and lost'
            assert one['lost'] >= one['dropped_by_verdict'], f'{name}: dropped'
        for one in rounds:
            assert one['changed'] <= one['delivered'], f'{name}: changed'
            assert one['send_seconds'] > 0.95 * bench['settings']['seconds'], f'{name}: sent for {one["send_seconds"]}'
        latency = [value for percentile, value in program['latency_us']]
        assert latency == sorted(latency), f'{name}: latency'
        assert program['out_of_order'] <= program['delivered'], f'{name}: order'
        spread = program['delivered_per_second']
        assert spread['min'] <= spread['median'] <= spread['max'], f'{name}: spread'
$2
END
	if [ "$status" -eq 0 ]; then ok "$1"; else
		not_ok "$1"
		show_output
	fi
}

expect_bench "all that it compares" --rate 5k
expect_json "adds up" "
assert bench['interrupted'] is False and bench['version'].startswith('verdict ')
assert bench['machine']['cpus'] >= 1 and bench['settings'] == {'functions': [], 'seconds': 0.2, 'rounds': 2}
assert len(cases) == 1 and (cases[0]['rate'], cases[0]['size'], cases[0]['flows'], cases[0]['workers']) == (5000, 64, 64, None)
assert sorted(cases[0]['programs']) == ['none', 'verdict', 'yardstick']
for name, program in cases[0]['programs'].items():
    assert [one['sent'] for one in program['rounds']] == [1000, 1000] or bench['notes'], f'{name}: as many as the rate says'
    assert program['out_of_order'] == program['changed'] == 0, f'{name}: order and content'
    assert program['latency_us'][-1][0] == 100 and program['latency_us'][0][1] > 0, f'{name}: latency'
    cpu = program['program_cpu_us_per_packet']
    assert (cpu['user'] + cpu['system'] > 0) == (name != 'none'), f'{name}: CPU'
    assert program['sender_cpu_us_per_packet']['user'] + program['sender_cpu_us_per_packet']['system'] > 0
ratio = cases[0]['verdict_to_yardstick']
assert 0 < ratio['min'] <= ratio['median'] <= ratio['max']"
expect_kept '^64 bytes, 64 flows, 5000/s; 2 rounds$' "the table says what was sent"
for program in verdict yardstick none; do
	expect_kept "^  $program +[0-9]+ +[0-9]+ +[0-9.]+ +0 +[0-9.]+ " "and has a line for $program"
done
expect_kept '^  verdict / yardstick, packets a second: [0-9.]+ \(' "and their ratio"
expect_kept '^  one packet with verdict costs [0-9.]+ µs of CPU: sender ' "and what a packet costs"
nothing_is_left "nothing is left"

expect_bench "lists" --rate 2k,max --size 48,1500 --flows 1,16384 --workers 1,2 --rounds 1 --seconds 0.2 --compare verdict
expect_json "each combination is measured, verdict alone" "
assert [(case['workers'], case['flows'], case['size'], case['rate']) for case in cases] == [
    (workers, flows, size, rate) for workers in (1, 2) for flows in (1, 16384) for size in (48, 1500) for rate in (2000, None)]
for case in cases:
    assert list(case['programs']) == ['verdict'] and case['verdict_to_yardstick'] is None
    # a kernel that is busy on several CPUs may change it on the wire
    assert case['rate'] is None or case['programs']['verdict']['out_of_order'] == 0, 'order'
    assert case['programs']['verdict']['changed'] == 0, 'content'
    assert case['programs']['verdict']['delivered'] > 0, 'delivered'"

expect_bench "more than it can do" --rate max --compare yardstick
expect_json "most of what is lost is lost in the queue" "
for name in ('verdict', 'yardstick'):
    for one in cases[0]['programs'][name]['rounds']:
        assert one['lost'] - one['queue_lost'] - one['receiver_lost'] <= one['sent'] / 10, one"

expect_bench "a function that drops a part" --rate 5k --compare none --function 'match:udp src port 10000=drop' --function accept --flows 4
expect_json "what it drops is told" "
verdict = cases[0]['programs']['verdict']
assert bench['settings']['functions'] == ['match:udp src port 10000=drop', 'accept']
assert sorted(cases[0]['programs']) == ['none', 'verdict']
assert abs(verdict['dropped_by_verdict'] - verdict['sent'] / 4) <= verdict['sent'] / 20, verdict['dropped_by_verdict']
assert cases[0]['programs']['none']['dropped_by_verdict'] == 0"
expect_kept '^ +of those lost, [0-9]+ were dropped by a function$' "in the table, too"

expect_bench "a function that drops all" --rate 5k --compare verdict --function drop
expect_json "nothing arrives" "
verdict = cases[0]['programs']['verdict']
assert verdict['delivered'] == 0 and verdict['latency_us'] == [] and verdict['loss_percent'] == 100"

expect_bench "a function that changes nothing that counts" --rate 5k --compare verdict --function ttl:-1
expect_json "is not seen in the contents" "assert cases[0]['programs']['verdict']['changed'] == 0"

if [ -e "$test_functions/scopes.so" ]; then
	expect_bench "a function from a file" --rate 5k --compare verdict --rounds 1 --function "$test_functions/slow.so:50"
fi

# ---- the page ----

expect_bench "a page" --rate 5k,max --size 64,1500 --rounds 1 --report "$scratch/page.html" --function 'match:len < 40 && udp=drop'
if command -v python3 >/dev/null; then
	run_and_keep python3 - "$scratch/page.html" <<'END'
import re, sys, xml.etree.ElementTree as tree

page = open(sys.argv[1], encoding='utf-8').read()
plots = re.findall(r'<svg.*?</svg>', page, re.S)
for plot in plots:
    tree.fromstring(plot)
assert len(plots) >= 3 + 2 + 2 + 4, f'{len(plots)} plots'
assert not re.search(r'\b(nan|inf)\b|-nan', page), 'a number that is none'
assert not re.search(r'<script|src=|href=|@import|url\(', page), 'something from outside'
assert 'len &lt; 40 &amp;&amp; udp=drop' in page, 'the function, as HTML wants it'
assert 'prefers-color-scheme:dark' in page and page.count('<table>') == page.count('</table>') == page.count('<figure>')
for text in ('Packets a second by size', 'CPU time of a packet', 'Loss against offered load', 'Latency, 64 bytes, 5000/s', 'Latency, 1500 bytes, max'):
    assert text in page, text
END
	if [ "$status" -eq 0 ]; then ok "is whole, and needs nothing from outside"; else
		not_ok "is whole, and needs nothing from outside"
		show_output
	fi
else
	skip "the page: needs python3"
fi

timeout 60 "$verdict" bench --seconds 0.1 --rounds 1 --rate 2k --compare verdict --report - >"$scratch/page.html" 2>"$scratch/err"
output=$(cat "$scratch/page.html")
expect_kept '^<!doctype html>' "to standard output, of a single combination"
timeout 60 "$verdict" bench --seconds 0.1 --rounds 1 --rate 2k --compare verdict --json - >"$scratch/json" 2>"$scratch/err"
expect_json "JSON to standard output, without a table" "assert len(cases) == 1"

# ---- the highest rate without loss ----

expect_bench "--find-max" --seconds 0.05 --rate 1k --rounds 1 --compare yardstick --find-max
expect_json "finds a rate for both" "
found = bench['without_loss'][0]
assert (found['size'], found['flows'], found['workers']) == (64, 64, None) and sorted(found['programs']) == ['verdict', 'yardstick']
for program in found['programs'].values():
    assert program['tries'] >= 10"
expect_kept '^highest rate without loss: 64 bytes, 64 flows$' "and says it"
nothing_is_left "nothing is left"

# ---- interrupted ----

has_measured() {
	[ -n "$(pgrep -P "$child")" ]
}

for signal in INT:130 TERM:143 HUP:129; do
	# bash has those in the background ignore SIGINT
	background env --default-signal=INT,HUP "$verdict" bench --seconds 0.2 --rounds 100 --rate 2k --json "$scratch/json" \
		>"$scratch/out" 2>"$scratch/err"
	wait_until 10 has_measured
	sleep 1.5
	kill -"${signal%:*}" "$child"
	wait "$child"
	status=$?
	output=$(cat "$scratch/out" "$scratch/err")
	if [ "$status" -eq "${signal#*:}" ]; then ok "SIG${signal%:*} ends it"; else
		not_ok "SIG${signal%:*} ends it (exit status $status)"
		show_output
	fi
	expect_kept '^  verdict  ' "and it shows what it has"
	expect_kept 'interrupted' "and says so"
	expect_json "in JSON, too" "assert bench['interrupted'] is True and 1 <= len(cases[0]['programs']['verdict']['rounds']) < 100"
	nothing_is_left "and leaves nothing"
done

background "$verdict" bench --seconds 60 --rate 2k
wait_until 10 has_measured
sleep 0.5
kill -KILL "$child"
wait "$child" 2>/dev/null
nothing_is_left "killed, it leaves nothing either"

if command -v script >/dev/null; then
	run_and_keep script -qec "$verdict bench --seconds 0.1 --rounds 1 --rate 2k --compare verdict" /dev/null
	expect_kept '\[#*\.*\] +[0-9]+ %  verdict, 64 bytes' "on a terminal there is a progress bar"
	run_and_keep script -qec "$verdict bench --seconds 0.1 --rounds 1 --rate 2k --compare verdict --no-progress" /dev/null
	if [[ $output != *'%  verdict,'* ]]; then ok "and none with --no-progress"; else not_ok "and none with --no-progress"; fi
else
	skip "the progress bar: needs script(1)"
fi

if command -v taskset >/dev/null; then
	expect_exit 0 "on one CPU it works" taskset -c 0 "$verdict" bench --seconds 0.1 --rounds 1 --rate 2k
	expect_kept '^note: there is one CPU to use' "and says what that means"
fi

finish
