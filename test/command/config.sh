#!/bin/bash
# SPDX-License-Identifier: MIT
#
# The configuration file: every broken one of test/config/broken with its whole sentence, what cannot be written in such a table,
# and good ones: each key does what its option does, the command line wins, files include others. What a queue was told is read
# from the kernel; that part runs in a namespace of its own.

# shellcheck disable=SC2016,SC2317 # programs of other shells in quotes; functions that wait_until calls

set -u
cd "$(dirname "$0")/../.." || exit 1
. test/support/namespace.sh
. test/support/shell.sh
. test/support/wire.sh
. test/support/daemon.sh

top=$PWD
export VERDICT_FUNCTION_PATH=$build/functions
test_functions=$build/test/functions
unset TMPDIR
cd "$scratch" || exit 1

# ---- what is refused ----

# expect_broken SENTENCE TEXT: verdict.conf is refused with exactly this, @ for any text
expect_broken() {
	local wanted=$1 pattern

	timeout 20 "$verdict" check verdict.conf >out 2>err
	status=$?
	output=$(cat out err)
	pattern=$(printf '%s' "$wanted" | sed -e 's/[][*?\\]/\\&/g' -e 's/@/*/g')
	# shellcheck disable=SC2053 # it is a pattern
	if [ "$status" -eq 2 ] && [ ! -s out ] && [ "$(wc -l <err)" -eq 1 ] && [[ $output == $pattern ]]; then
		ok "$2"
	else
		not_ok "$2 (exit status $status, wanted: $wanted)"
		show_output
	fi
}

# in_file LINE: to the file of the case that is being read
in_file() {
	printf '%s\n' "$1" >>"$file"
}

# read_table FILE: its cases, each in a directory of its own
read_table() {
	local title='' file line

	while IFS= read -r line; do
		case $line in
		'=== '*)
			title=${line#=== }
			rm -rf "$scratch/case" && mkdir "$scratch/case" && cd "$scratch/case" || exit 1
			file=verdict.conf
			: >"$file"
			;;
		'@@ '*)
			file=${line#@@ }
			mkdir -p "$(dirname "$file")"
			: >"$file"
			;;
		'--- '*)
			line=${line#--- }
			case $line in
			[0-9]*) line="verdict.conf:$line" ;;
			:*) line="verdict.conf$line" ;;
			esac
			expect_broken "verdict: $line" "${1##*/}: $title"
			cases=$((cases + 1))
			title=''
			;;
		*) [ -z "$title" ] || in_file "$line" ;;
		esac
	done <"$1"
}

cases=0
for table in "$top"/test/config/broken/*.txt; do read_table "$table"; done
if [ "$cases" -ge 200 ]; then ok "$cases broken files"; else not_ok "only $cases broken files were found"; fi

# what a table of texts cannot hold
broken() {
	expect_broken "verdict: verdict.conf:$1" "$2"
}
printf 'queue 0;\nmaxlen 5\0;\n' >verdict.conf
broken '2: byte 0x00: this is not a text' "a NUL byte"
printf '\177ELF\2\1\1\0\0\0' >verdict.conf
broken '1: byte 0x7f: this is not a text' "a program"
printf 'queue 0;\n# caf\351\n' >verdict.conf
broken '2: byte 0xe9: this is not a text (UTF-8)' "another encoding"
printf 'queue 0;\n\n# \300\200\n' >verdict.conf
broken '3: byte 0xc0: this is not a text (UTF-8)' "a NUL byte in disguise"
printf 'queue 0;\n# \355\240\200' >verdict.conf
broken '2: byte 0xed: this is not a text (UTF-8)' "half of a pair"
printf 'queue 0;\n# \342\202' >verdict.conf
broken '2: byte 0xe2: this is not a text (UTF-8)' "a character that is cut short"
printf 'queue 0;\nnetns "\033[31mred";\n' >verdict.conf
broken '2: byte 0x1b: this is not a text' "colours for the terminal"
printf 'queue 0;\r\nmaxlen x;\r\n' >verdict.conf
broken "2: maxlen takes a number from 1 to 1048576, not 'x'" "lines as DOS ends them"
printf '\357\273\277queue x;\n' >verdict.conf
broken "1: queue takes a number or a range A-B from 0 to 65535, not 'x'" "behind a byte order mark"
{ printf 'queue 0;\n'; yes '# a line of a comment, to be larger than a file may be' | head -c 1048576; } >verdict.conf
expect_broken 'verdict: verdict.conf is larger than 1048576 bytes, which is the limit' "a huge file"
head -c 1048577 /dev/zero >verdict.conf
expect_broken 'verdict: verdict.conf is larger than 1048576 bytes, which is the limit' "a huge file of zeros"
rm verdict.conf && ln -s /dev/zero verdict.conf
expect_broken 'verdict: verdict.conf is larger than 1048576 bytes, which is the limit' "a file without an end"
rm verdict.conf
expect_broken 'verdict: verdict.conf cannot be read: No such file or directory' "no file"
mkdir verdict.conf
expect_broken 'verdict: verdict.conf cannot be read: Is a directory' "a directory"
rmdir verdict.conf && ln -s verdict.conf verdict.conf
expect_broken 'verdict: verdict.conf cannot be read: Too many levels of symbolic links' "a link to itself"
rm verdict.conf && mkfifo verdict.conf
expect_broken 'verdict: verdict.conf: there is no queue to read: write queue N into it' "a pipe that nobody writes to"
rm verdict.conf
for ((i = 0; i < 300; i++)); do echo; done | sed 's/.*/.include "empty"/' >verdict.conf
: >empty
broken '257: .include: more than 256 files' "too many includes"
if [ "$(id -u)" -eq 0 ]; then
	mkdir closed && echo 'queue 0;' >closed/verdict.conf && chmod 0 closed/verdict.conf
	expect_exit 2 "a file that may not be read" setpriv --reuid=65534 --regid=65534 --clear-groups --bounding-set=-all --inh-caps=-all -- \
		bash -c 'exec "$0" check closed/verdict.conf' "$verdict"
	expect_kept '^verdict: (closed/verdict.conf cannot be read: )?.*Permission denied$' "and why"
fi

# check and run say the same; run binds nothing
printf 'queue 0 {\n\tmaxlen lots;\n}\n' >verdict.conf
expect_sentence run 2 "verdict.conf:2: queue 0: maxlen takes a number from 1 to 1048576, not 'lots'\$" "run refuses it as well" \
	--config verdict.conf
expect_sentence run 2 "verdict.conf:2: queue 0: maxlen takes" "also for a queue that is not read" --config verdict.conf --queue 7
printf 'workers 2;\n' >verdict.conf
expect_sentence run 2 "verdict.conf: there is no queue to read: write queue N into it, or say --queue N\$" "run without a queue" \
	--config verdict.conf
expect_sentence run 2 "none.conf cannot be read: No such file" "run without the file" --config none.conf
printf 'queue 0;\n\nfunction none-such;\n' >verdict.conf
expect_sentence run 1 "verdict.conf:3: there is no stock function 'none-such'" "run without the function" --config verdict.conf
expect_sentence run 1 "there is no stock function 'other'" "the command line's own error has no line" --config verdict.conf --function other
if printf '%s' "$output" | grep -q 'verdict.conf'; then not_ok "none"; show_output; else ok "none"; fi
expect_sentence check 2 "check needs a file to read: verdict check FILE" "check without a file"
expect_sentence check 2 "check reads one file at a time, not 'b' as well" "check with two files" a b
if [ -e "$test_functions/crash.so" ]; then
	printf 'queue 0; function "%s:53"; function accept\n' "$test_functions/crash.so" >"$scratch/crash.conf"
	expect_exit 0 "a file that is a function is not opened" "$verdict" check "$scratch/crash.conf"
	expect_sentence check 2 'a function crashed on a test packet' "--self-test has it decide" --self-test "$scratch/crash.conf"
	printf 'queue 0; function "%s:54"; function accept\n' "$test_functions/crash.so" >"$scratch/crash.conf"
	expect_exit 0 "and says when that went well" "$verdict" check --self-test "$scratch/crash.conf"
	expect_kept ': in order: 1 queue, 2 functions$' "as ever"
fi

# ---- what is in order ----

# expect_good QUEUES FUNCTIONS TEXT: verdict.conf
expect_good() {
	local queues="$1 queue" functions="$2 function"

	[ "$1" -eq 1 ] || queues+=s
	[ "$2" -eq 1 ] || functions+=s
	expect_exit 0 "$3" timeout 20 "$verdict" check verdict.conf
	if [ "$output" = "verdict.conf: in order: $queues, $functions" ]; then ok "it is in order"; else
		not_ok "it is in order: $queues, $functions"
		show_output
	fi
}

# good QUEUES FUNCTIONS TEXT CONTENTS
good() {
	printf '%s\n' "$4" >verdict.conf
	expect_good "$1" "$2" "$3"
}
good 1 0 "one line" 'queue 0;'
good 1 0 "no semicolon" 'queue 0'
good 1 0 "=" 'queue = 0;'
good 1 0 ":" 'queue: 0'
good 3 0 "several in a line" 'queue 0; queue 1, queue 2'
good 2 1 "in one line" 'queue 0 { maxlen 5 } queue 1 { } function accept'
good 1 0 "the brace in the next line" $'queue 0\n# why\n{\n\tmaxlen 5\n}'
good 1 0 "= before a section" 'queue = 0 { maxlen = 5; }'
good 2 0 "queues between quotes" 'queue "0-1" { }'
good 6 0 "lists" $'queue [0, 1,\n 2 # the third\n, "3",\'4-5\']\ncpu [ 0 ]'
good 1 0 "comments" $'/* a\n * b */ queue /* c */ 0 /* d */; # e\n#f\n/*g*/'
good 1 0 "a comment at the end" 'queue 0 # the end'
good 1 2 "a semicolon and a brace between quotes" $'queue 0\nfunction "match:udp port 53=drop"\nfunction match { arguments \'tcp[13] & 2 != 0=drop\' }'
good 1 1 "brackets without quotes" 'queue 0; function match { arguments tcp[13] & 2 != 0=drop }'
good 1 3 "the same function again" 'queue 0; function [ "mark:1", "mark:2", accept ]'
good 1 0 "numbers" 'queue 0x10; maxlen 0x400; copy-range 0200; packets 1g; reject-mark 0xffffffff; reject-rate 1k'
good 1 0 "times" 'queue 0; batch-delay 200us; for 5min'
good 1 0 "other times" 'queue 0; batch-delay 1s; for 2d'
good 1 0 "times without units" 'queue 0; batch-delay 200; for 5'
good 1 0 "times in other units" 'queue 0; batch-delay 2ms; for 7000ms'
for switch in yes no on off true false; do good 1 0 "gso $switch" "queue 0; gso $switch; fail-open $switch"; done
good 256 0 "as many as there may be" 'queue 0-255'
printf '\357\273\277queue 0;\r\nqueue 1;\r\n' >verdict.conf
expect_good 2 0 "as some editors write it"
printf 'queue 0; # caf\303\251 \360\237\220\247' >verdict.conf
expect_good 1 0 "characters of all lengths"
mkdir -p conf.d/deeper
printf 'queue 1;\n.include "deeper/q.conf"\n' >conf.d/a.conf
printf 'function accept;\n' >conf.d/b.conf
printf 'maxlen 5;\n' >conf.d/deeper/q.conf
printf 'queue x;\n' >conf.d/other
good 2 1 "includes" $'queue 0;\n.include "conf.d/*.conf"\n.include "none.d/*.conf"\n.include "conf.d/none*"'
good 1 1 "an include twice, and in a section" $'.include "conf.d/b.conf"\nqueue 0 {\n.include conf.d/deeper/q.conf\n}'
expect_exit 0 "from a pipe" timeout 20 bash -c '"$0" check <(sleep 0.1; echo "queue 0;")' "$verdict"
printf 'queue 0; function ./d/mine.so; function d/mine.so { }' >verdict.conf
mkdir -p d && cp "$build/functions/accept.so" d/mine.so
expect_good 1 2 "files beside it"
expect_exit 0 "wherever it is read from" bash -c 'cd / && exec "$0" check "$1/verdict.conf"' "$verdict" "$PWD"

# the sample: in order, also with all that is behind a '#'
cp "$top/tools/verdict.conf.sample" verdict.conf
rm -r conf.d
expect_good 5 2 "the sample"
sed -e 's/#\(.*;\)/\1/' -e '/mine.so/d' "$top/tools/verdict.conf.sample" | sed 's/^\(\t*\)cpu .*/\1cpu 0;/' >verdict.conf
expect_good 5 3 "all of the sample"
for key in $(sed -n 's/.*= {"\([a-z-]*\)", [A-Z].*/\1/p' "$top/tools/config/settings.c") queue function; do
	expect_exit 0 "$key is in the sample" grep -q "^#\{0,1\}$key " "$top/tools/verdict.conf.sample"
	expect_exit 0 "$key is in the manual" grep -q "^\.It Cm $key " "$top/tools/man/verdict.conf.5"
done

# ---- what it does ----

if [ "$(id -u)" -ne 0 ]; then
	skip "everything on real queues: needs root"
	finish
fi
ip link set lo up

# start CONTENTS OPTION...: an engine with this file in the background
start() {
	printf '%s\n' "$1" >verdict.conf
	shift
	start_daemon out err --config verdict.conf "$@" || sed 's/^/# /' verdict.conf
}

# ended: by SIGINT
ended() {
	kill -INT "$engine" 2>/dev/null
	await 20 "$engine"
	if [ "$status" -ne 0 ]; then
		not_ok "the engine ends (exit status $status)"
		output=$(cat err)
		show_output
	fi
}

# last QUEUE MEMBER: of the last line of JSON
last() {
	tail -n 1 out | grep -o "\"queue\":$1,.*" | grep -o "\"$2\":[0-9]*" | head -n 1 | sed 's/.*://'
}

# expect_equal WANTED SEEN TEXT
copy_range() {
	awk -v queue="$1" '$1 == queue { print $5 }' "$queues"
}

threads() {
	cat "/proc/$engine/task"/*/comm | grep -c "^$1-"
}

printf 'queue 0-3; function [ "mark:7", reject, "mss:pmtu", "nat:203.0.113.7=10.0.0.9", "requeue:3" ]' >verdict.conf
expect_exit 0 "a check needs no privileges" setpriv --bounding-set=-all --inh-caps=-all -- "$verdict" check verdict.conf

# queues, and what they have for themselves
start $'stats json; workers 2; writers 1; copy-range 300; maxlen 2k; queue [0, 1]; queue 2 { copy-range 200; maxlen 100 }\nfunction accept'
expect_equal '300 300 200' "$(copy_range 0) $(copy_range 1) $(copy_range 2)" "the kernel was told each queue's copy range"
expect_equal '2 1' "$(threads worker) $(threads writer)" "workers and writers"
ended
if [ "$(last 2 receive_buffer)" -lt "$(last 0 receive_buffer)" ]; then ok "a shorter queue has a smaller buffer"; else
	not_ok "a shorter queue has a smaller buffer"
fi
general=$(last 0 receive_buffer) own=$(last 2 receive_buffer)
start_daemon out err --queue 0 --stats json --maxlen 2k --copy-range 300
ended
expect_equal "$general" "$(last 0 receive_buffer)" "as large as by --maxlen"

# the command line wins
start $'stats text; workers 2; copy-range 300; queue [0, 1]; queue 2 { copy-range 200; maxlen 100 }' --copy-range 250 --workers 1 --stats json
expect_equal '250 250 250' "$(copy_range 0) $(copy_range 1) $(copy_range 2)" "--copy-range wins, also over a queue's own"
expect_equal 1 "$(threads worker)" "--workers wins"
ended
expect_equal "$own" "$(last 2 receive_buffer)" "what it does not say stays as it is in the file"
start $'stats json; copy-range 300; queue [0, 1]; queue 2 { copy-range 200 }; function none-such' --queue 2 --queue 5 --function accept
expect_equal ' 200 300' "$(copy_range 0) $(copy_range 2) $(copy_range 5)" "--queue replaces the queues; those that stay keep what they have"
ended
expect_exit 0 "--function replaces the functions" grep -q '"functions":\[{"function":"accept",' out

# verdicts: on faults, and by default
iptables-legacy -w -A OUTPUT -p udp --dport 9000 -j NFQUEUE --queue-num 0
iptables-legacy -w -A OUTPUT -p udp --dport 9001 -j NFQUEUE --queue-num 1
send_both() {
	local port

	for port in 9000 9001; do "$build/bench/net/send" --to 127.0.0.1 --count 100 --port "$port" >/dev/null; done
	wait_until 20 is_empty
}
if [ -e "$test_functions/fault.so" ]; then
	faulty="stats json; function $test_functions/fault.so; on-fault drop; queue 0; queue 1 { on-fault accept }"
	start "$faulty"
	send_both
	ended
	expect_equal '0 100' "$(last 0 accept) $(last 1 accept)" "on-fault of each queue"
	start "$faulty" --on-fault drop
	send_both
	ended
	expect_equal '0 0' "$(last 0 accept) $(last 1 accept)" "--on-fault wins"
else
	skip "on-fault: needs $test_functions (make test-programs)"
fi

# full queues
if [ -e "$test_functions/slow.so" ]; then
	full="stats json; function $test_functions/slow.so { arguments 2000 }; maxlen 1000; queue 0 { maxlen 5 }; queue 1 { maxlen 5; fail-open yes }"
	start "$full"
	send_both
	ended
	if [ "$(last 0 queue_dropped)" -gt 0 ] && [ "$(last 0 offered)" -eq 100 ]; then ok "maxlen of a queue"; else
		not_ok "maxlen of a queue"
		cat out
	fi
	if [ "$(last 1 queue_dropped)" -eq 0 ] && [ "$(last 1 received)" -lt 100 ]; then ok "fail-open of a queue"; else
		not_ok "fail-open of a queue"
		cat out
	fi
	start "$full" --no-fail-open
	send_both
	ended
	if [ "$(last 1 queue_dropped)" -gt 0 ]; then ok "--no-fail-open wins"; else not_ok "--no-fail-open wins"; fi
	start "$full" --fail-open --maxlen 1000
	send_both
	ended
	expect_equal '100 100' "$(last 0 accept) $(last 1 accept)" "--maxlen wins"
else
	skip "full queues: needs $test_functions (make test-programs)"
fi

# one datagram of ten segments to each queue (UDP_SEGMENT); ready when all have come
send_large() {
	python3 -c 'import socket
large = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
large.setsockopt(17, 103, 1000)
for port in 9000, 9001:
    large.sendto(bytes(10000), ("127.0.0.1", port))' 2>/dev/null && wait_until 20 is_empty
}
segments='stats json; gso yes; queue 0; queue 1 { gso no }'
if python3 -c 'import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).setsockopt(17, 103, 1000)' 2>/dev/null; then
	start "$segments"
	send_large
	ended
	expect_equal '1 10' "$(last 0 received) $(last 1 received)" "gso of a queue"
	start "$segments" --no-gso
	send_large
	ended
	expect_equal '10 10' "$(last 0 received) $(last 1 received)" "--no-gso wins"
	start "$segments" --gso
	send_large
	ended
	expect_equal '1 1' "$(last 0 received) $(last 1 received)" "--gso wins"
else
	skip "gso: needs python3, and a kernel with UDP_SEGMENT"
fi

start 'stats json; default drop; queue 0-1; function match { arguments "udp port 9001=accept" }'
send_both
ended
expect_equal '0 100' "$(last 0 accept) $(last 1 accept)" "default, and the arguments of a function"
start 'stats json; default drop; queue 0-1; function match { arguments "udp port 9001=accept" }' --default accept
send_both
ended
expect_equal '100 100' "$(last 0 accept) $(last 1 accept)" "--default wins"

# until when
printf 'queue 0; for 1s; stats none\n' >verdict.conf
expect_exit 0 "for" timeout 20 "$verdict" run --config verdict.conf
printf 'queue 0; for 1h; stats none\n' >verdict.conf
expect_exit 0 "--for wins" timeout 20 "$verdict" run --config verdict.conf --for 1
start 'queue 0-1; packets 50; stats json'
send_both >/dev/null 2>&1 &
wait_until 20 is_gone "$engine"
ended
wait "$!" 2>/dev/null
expect_equal 50 "$(($(last 0 received) + $(last 1 received)))" "packets"

finish
