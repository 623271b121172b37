#!/bin/bash
# SPDX-License-Identifier: MIT
#
# bench/flamegraph on samples that were made up, bench/profile as a whole, for a second, and tools/trace on an engine with
# traffic, which it has to count to the packet. Everything with packets is in namespaces of its own.

# shellcheck disable=SC2016,SC2317 # programs of awk in quotes; functions that wait_until and expect_exit call

set -u
cd "$(dirname "$0")/../.." || exit 1
. test/support/namespace.sh
. test/support/shell.sh
. test/support/wire.sh

if [ "$(basename "$build")" != plain ]; then
	skip "a script is the same in every build"
	finish
fi
send=$build/bench/net/send
export VERDICT_FUNCTION_PATH=$build/functions
unset BUILD

# ---- flamegraph ----

# as perf prints it: two threads, of one a name with a blank; each kind of code; names that are no XML
cat >"$scratch/samples" <<'END'
worker-0   100/101          7 cpu-clock: 
	ffffffff81000001 memcpy ([kernel.kallsyms])
	ffffffff81000002 do_syscall_64 ([kernel.kallsyms])
	ffffffff81000002 do_syscall_64 ([kernel.kallsyms])
	          5f1b21 __libc_sendmsg (/usr/lib/libc.so.6)
	      7f00000000 [unknown] ([unknown])

worker-0   100/101          1 cpu-clock: 
	ffffffff81000003 do_syscall_64 ([kernel.kallsyms])
	          5f1b21 __libc_sendmsg (/usr/lib/libc.so.6)

worker-0   100/101          1 cpu-clock: 
	           1b21 operator<<"a&b">(int) (/opt/verdict)
	           1b20 outer (/opt/verdict)

two words   100/102          1 cpu-clock: 
	           1b21 [unknown] (/usr/lib/libz.so.1)

END
graph() {
	bench/flamegraph "$@" <"$scratch/samples"
}

expect_exit 0 "flamegraph draws" graph --title 'a "title" <&>'
printf '%s\n' "$output" >"$scratch/graph.svg"
expect_kept '^<text class="page head".*>a &quot;title&quot; &lt;&amp;&gt;</text>$' "the title is escaped"
expect_kept '<title>operator&lt;&lt;&quot;a&amp;b&quot;&gt;\(int\): 10.00 %, 1 of 4 samples</title><rect class="own' \
	"a name is, and is one of our own"
expect_kept '<title>memcpy: 70.00 %, 1 of 4 samples</title><rect class="kernel.* width="826.000"' "the kernel's, by its weight"
expect_kept '<title>__libc_sendmsg: 80.00 %, 2 of 4 samples</title><rect class="user' "other user code, with what it calls"
expect_kept '<title>\[unknown\] in libz.so.1: 10.00 %' "what has no name has its file's"
expect_kept '<title>two words: 10.00 %' "a thread's name may have a blank"
expect_kept 'prefers-color-scheme: dark' "dark pages are thought of"
run_and_keep grep -c '<title>' "$scratch/graph.svg"
if [ "$output" = 10 ]; then ok "callers without a name are left out"; else not_ok "callers without a name are left out ($output boxes)"; fi
# every box stands on one that is at least as wide as all that stand on it, and none on another
run_and_keep awk '/<title>/ {
	split($0, part, /" (x|y|width|height)="|"\/>/)
	count++; x[count] = part[2]; y[count] = part[3]; width[count] = part[4]
	if (part[3] > bottom) bottom = part[3]
} END {
	for (i = 1; i <= count; i++) {
		row[y[i]] += width[i]
		for (j = 1; j <= count; j++) {
			if (y[j] == y[i] + 17 && x[j] <= x[i] + 0.01 && x[j] + width[j] >= x[i] + width[i] - 0.01) stands[i]++
			if (j != i && y[j] == y[i] && x[j] < x[i] + width[i] - 0.01 && x[j] + width[j] > x[i] + 0.01) print "overlap", i, j
		}
		if (y[i] != bottom && stands[i] != 1) print "hangs", i
	}
	printf "%d %.1f %.1f %.1f\n", bottom, row[bottom], row[bottom - 17], row[bottom - 34]
}' "$scratch/graph.svg"
if [ "$output" = "143 1180.0 1180.0 1180.0" ]; then ok "widths add up"; else not_ok "widths add up"; show_output; fi
if command -v python3 >/dev/null; then
	expect_exit 0 "and it is XML" python3 -c 'import sys, xml.dom.minidom; xml.dom.minidom.parse(sys.argv[1])' "$scratch/graph.svg"
else
	skip "whether it is XML: needs python3"
fi
expect_output 'class="own.*' "--own says what is our own" graph --own /usr/lib/libz
if printf '%s\n' "$output" | grep -q '<title>outer.*class="user'; then ok "and nothing else is"; else not_ok "and nothing else is"; fi

expect_exit 0 "a table" graph --table
expect_kept '^4 samples of cpu-clock: kernel 80.00 %, own code 10.00 %, other user code 10.00 %$' "of all kinds"
expect_kept '^  70.00   70.00  memcpy$' "self"
expect_kept '^  10.00   80.00  do_syscall_64$' "and total, in which a recursion counts once"
expect_kept '^no hardware counters' "and without counters it says so"
cat >"$scratch/samples" <<'END'
worker-0   100/101       1000 cycles:P: 
	ffffffff81000001 memcpy ([kernel.kallsyms])

worker-0   100/101       2500 instructions:P: 
	ffffffff81000001 memcpy ([kernel.kallsyms])

worker-0   100/101        300 cache-misses:P: 
	ffffffff81000001 memcpy ([kernel.kallsyms])

END
expect_output '^1 samples of cycles: kernel 100.00 %' "with counters" graph --table --packets 100
expect_kept '^2.50 instructions per cycle$' "instructions per cycle"
expect_kept '^3.00 cache misses and 25 instructions per packet$' "cache misses per packet"
: >"$scratch/samples"
expect_exit 1 "no samples" graph
expect_kept '^flamegraph: no samples' "is said"
expect_exit 2 "wrong usage of flamegraph" graph --table --top many
expect_kept "^flamegraph: --top takes a number, not 'many'$" "is said"

# ---- wrong usage, and what is missing ----

refused() {
	local code=$1 pattern=$2

	shift 2
	expect_exit "$code" "refused: $(basename "$1") ${*:2}" "$@"
	expect_kept "$pattern" "with a sentence"
}

refused 2 "^profile: --load takes accept, drop or live, not 'all'$" bench/profile --load all
refused 2 "^profile: --seconds takes a number from 1 to 600, not '0'$" bench/profile --seconds 0
refused 2 "^profile: --workers is for verdict" bench/profile --workers 1 --program true
refused 2 "^verdict-trace: --seconds takes a number from 1 to 3600, not '0'$" tools/trace --seconds 0
refused 2 "^verdict-trace: --queue takes a number from 0 to 65535, not '65536'$" tools/trace --queue 65536
refused 2 "^verdict-trace: it watches one process" tools/trace 1 2
expect_output '^usage: verdict-trace' "--help of trace" tools/trace --help
expect_output '^usage: profile' "--help of profile" bench/profile --help

if [ "$(id -u)" -ne 0 ]; then
	refused 1 "^verdict-trace: tracing another process needs root$" tools/trace
	skip "profiling and tracing: needs root"
	finish
fi
refused 2 "^profile: there is no program '/no/such/program'" bench/profile --program /no/such/program
refused 1 "^verdict-trace: there is no process 4194304$" tools/trace 4194304
refused 1 "^verdict-trace: no process is called 'none-such'$" tools/trace none-such
nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups --)
refused 1 "^verdict-trace: tracing another process needs root$" "${nobody[@]}" tools/trace 1
mkdir "$scratch/bin"
for program in bash dirname basename uname mkdir mktemp rm; do ln -s "$(type -P $program)" "$scratch/bin/$program"; done
expect_exit 2 "refused: profile without perf" env PATH="$scratch/bin" bench/profile
expect_kept "^profile: there is no program 'perf'; Debian's package is linux-perf" "with a sentence"
printf '#!/bin/sh\necho "perf: does not fit" >&2\nexit 1\n' >"$scratch/bin/perf"
chmod +x "$scratch/bin/perf"
expect_exit 2 "refused: profile with a perf that does not work" env PATH="$scratch/bin:$PATH" bench/profile
expect_kept "^profile: perf does not work here; .*$(uname -r).*: perf: does not fit$" "with a sentence"

# ---- profile ----

if ! perf record -q -a -e cpu-clock -o "$scratch/perf" -- true >/dev/null 2>&1; then
	skip "profile: perf is not there, or does not work here"
else
	for load in accept live; do
		expect_exit 0 "profile of $load" bench/profile --load $load --workers 1 --seconds 1
		expect_kept '^ *[0-9]+\.[0-9]+ +[0-9]+\.[0-9]+  .*(nfqnl|netlink|sys_sendmsg|sys_recv)' "sees the kernel"
		expect_kept ' vd_[a-z_]*  \(own\)$' "and the engine"
		if grep -q '<title>worker-0: ' "$build/profile/$load-1.svg" && ! grep -q '<title>\(swapper\|send\): ' \
			"$build/profile/$load-1.svg"; then
			ok "and nobody else"
		else
			not_ok "and nobody else"
		fi
	done
	run_and_keep find "${TMPDIR:-/tmp}" -maxdepth 1 -name 'verdict-profile.*' -newer "$scratch/samples"
	if [ -z "$output" ]; then ok "no recording is left"; else not_ok "no recording is left"; show_output; fi
fi

# ---- trace ----

tracing=$scratch/tracing
mkdir "$tracing"
if ! command -v readelf >/dev/null; then
	skip "trace: needs readelf"
	finish
elif ! mount -t tracefs tracefs "$tracing" 2>/dev/null || [ ! -e "$tracing/uprobe_events" ]; then
	skip "trace: this kernel has no uprobes, or keeps them from this container"
	finish
fi

# of the engine: another test may trace another one
has_probes() {
	grep -q "/proc/$engine/exe:" "$tracing/uprobe_events"
}

lay_wire
iptables-legacy -w -A INPUT -p udp --dport 9000 -j NFQUEUE --queue-num 7 || exit 1

background sleep 600
if readelf -nW "$verdict" | grep -q 'Provider: verdict'; then
	refused 1 "^verdict-trace: process $child has no probes of verdict: it is another program, or was built without " \
		tools/trace "$child"
else
	background "$verdict" run --queue 7 --stats none
	wait_until 10 is_bound 7
	refused 1 "^verdict-trace: process $child has no probes of verdict: it is another program, or was built without " \
		tools/trace "$child"
	skip "trace: this build has no probes; systemtap-sdt-dev (sudo tools/install-deps) gives it some"
	finish
fi

# cell ROW COLUMN: of the table in $output
cell() {
	printf '%s\n' "$output" | awk -v row="$1" -v column="$2" '$1 == row { print $column; exit }'
}

COUNT=20000
for options in '--workers 1' '--workers 2' '--workers 2 --writers 1'; do
	# shellcheck disable=SC2086 # several words
	background "$verdict" run --queue 7 --function accept --maxlen 65536 --stats none $options
	engine=$child
	wait_until 10 is_bound 7
	background tools/trace --seconds 2 "$engine" >"$scratch/trace" 2>&1
	trace=$child
	wait_until 20 has_probes
	sleep 0.8 # until they are enabled, too
	far "$send" --to 10.9.0.1 --count $COUNT --port 9000 --flows 64 >/dev/null
	wait "$trace"
	status=$?
	output=$(cat "$scratch/trace")
	if [ "$status" -eq 0 ]; then ok "$options: traced"; else not_ok "$options: traced (exit status $status)"; show_output; fi
	for stage in read decided answered; do
		if [ "$(cell $stage 3)" = $COUNT ]; then ok "all packets were $stage"; else not_ok "all packets were $stage"; show_output; fi
	done
	if [ "$(cell read 2)" -ge $((COUNT / 64)) ]; then ok "in bursts"; else not_ok "in bursts"; show_output; fi
	if [ "$options" != '--workers 1' ]; then
		:
	elif [ "$(cell dispatched 3)" = 0 ]; then
		ok "one worker dispatches none"
	else
		not_ok "one worker dispatches none"
		show_output
	fi
	# each burst has its time, and percentiles grow
	run_and_keep awk '
		$1 == "decided" { decided = $2 } $1 == "answered" { answered = $2 }
		function expect(count, first) {
			seen++
			if ($(first) != count || $(first + 1) > $(first + 2) || $(first + 2) > $(first + 3) || $(first + 3) > $(first + 4) ||
			    $(first + 4) > 2000000)
				print
		}
		/^read to decided/ { expect(decided, 4) } /^decide / { expect(decided, 2) }
		/^send / { expect(answered, 2) } /^read to answered/ { expect(answered, 4) }
		END { if (seen != 4) print seen }' "$scratch/trace"
	if [ -z "$output" ]; then ok "times are plausible"; else not_ok "times are plausible"; cat "$scratch/trace"; fi
	if has_probes; then not_ok "no probe is left"; else ok "no probe is left"; fi
	kill "$engine" && wait "$engine"
done

background "$verdict" run --queue 7 --stats none
engine=$child
wait_until 10 is_bound 7
for signal in TERM INT HUP; do
	# env: in the background of a script SIGINT is ignored, and no trap changes that
	expect_exit 130 "interrupted by SIG$signal" timeout --preserve-status --signal=$signal 1.5 \
		env --default-signal=$signal tools/trace --seconds 60 "$engine"
	if has_probes; then not_ok "its probes are gone"; else ok "its probes are gone"; fi
done
if kill -0 "$engine" 2>/dev/null; then ok "and the engine goes on"; else not_ok "and the engine goes on"; fi

# one that was killed leaves its probes to the next one
background tools/trace --seconds 60 "$engine"
trace=$child
wait_until 20 has_probes
sleep 0.5
kill -KILL "$trace"
wait "$trace" 2>/dev/null
pkill -KILL -P "$trace" 2>/dev/null
expect_exit 0 "behind one that was killed" tools/trace --seconds 1 "$engine"
if grep -q "verdict_trace_$trace/" "$tracing/uprobe_events"; then not_ok "its probes are taken away"; else ok "its probes are taken away"; fi
kill "$engine" && wait "$engine"
umount "$tracing"

finish
