#!/bin/bash
# SPDX-License-Identifier: MIT
#
# A clock that jumps: what verdict run does goes by clocks that nobody can set. test/preload/clock.c makes the time of day jump by an
# hour, back and forth, each time it is looked at; packets, statistics, times, limits and the watchdog go on as ever.

# shellcheck disable=SC2016,SC2317 # programs of awk in quotes; functions that wait_until calls

set -u
cd "$(dirname "$0")/../.." || exit 1
. test/support/namespace.sh
. test/support/shell.sh
. test/support/wire.sh

export VERDICT_FUNCTION_PATH=$build/functions
clock=$build/test/preload/clock.so

if [ "$(id -u)" -ne 0 ]; then
	skip "a clock that jumps: needs root"
	finish
fi
if ! command -v python3 >/dev/null; then
	skip "a clock that jumps: needs python3"
	finish
fi
if [ ! -e "$clock" ]; then
	skip "a clock that jumps: needs $clock (make test-programs)"
	finish
fi
if [ "$(basename "$build")" = asan ] || [ "$(basename "$build")" = tsan ]; then
	skip "a clock that jumps: this sanitizer has to be the first that is loaded"
	finish
fi
. test/support/manager.sh

lay_wire
iptables-legacy -w -A INPUT -p udp -m comment --comment offered -j NFQUEUE --queue-num 7 || exit 1
jumping=(env LD_PRELOAD="$clock")

# the net: a program that asks for the time of day sees it jump
expect_output '^[1-9]' "the time of day jumps by an hour" "${jumping[@]}" python3 -c '
import time
seen = [time.time() for _ in range(6)]
print(sum(abs(a - b) > 3000 for a, b in zip(seen, seen[1:])))'

before=$SECONDS
manage 3 -- "${jumping[@]}" "$verdict" run --queue 7 --function first:100,mark=0 --maxlen 64k --stats json --log json --control "$scratch/control" \
	--metrics 9464
expect_log 1 'says READY=1' "it is ready"
load
expect_log 4 'WATCHDOG=1' "it feeds the watchdog in time"
wait_until 60 has_lines 3 || not_ok "statistics come each second"
expect_output ', up [0-9.]+ s' "how long it is up is right" "$verdict" stats "$scratch/control"
unload
if [ "$received" = "$offered" ] && [ "$offered" -gt 1000 ]; then ok "all of $offered packets arrive"; else not_ok "$received of $offered packets arrive"; fi
tell restart TERM
expect_log 2 'says READY=1' "it is started again"
tell stop INT
managed
if [ "$status" -eq 0 ]; then ok "and ends"; else not_ok "and ends (exit status $status)"; fi
expect_no_log ' watchdog$' "it was never too late for the watchdog"
elapsed=$((SECONDS - before + 1))
output=$(grep -o '"seconds":[0-9.]*' "$scratch/out" | cut -d: -f2 | awk -v most="$elapsed" '$1 < 0 || $1 > most { print "after " $1 " s of " most }')
if [ -z "$output" ]; then ok "no time in the statistics is off"; else not_ok "a time in the statistics is off"; show_output; fi
output=$(grep -o '"max":[0-9]*' "$scratch/out" | cut -d: -f2 | awk -v most="$elapsed" '$1 > most * 1e9 { print "waited " $1 " ns" }')
if [ -z "$output" ]; then ok "nor how long packets waited"; else not_ok "how long packets waited is off"; show_output; fi

# --for is a length of time
before=$SECONDS
expect_exit 0 "--for 2" timeout 60 "${jumping[@]}" "$verdict" run --queue 7 --for 2
if [ $((SECONDS - before)) -ge 1 ]; then ok "takes 2 seconds"; else not_ok "takes 2 seconds ($((SECONDS - before)))"; fi

# so is a second of the limit on lines, and of the one on answers to rejected packets
rm -f "$scratch/out"
background "${jumping[@]}" "$verdict" run --queue 7 --function reject --reject-rate 50 --stats json >"$scratch/out" 2>"$scratch/err"
engine=$child
wait_until 20 is_bound 7
begin=$SECONDS
far "$build/bench/net/send" --to 10.9.0.1 --port 9000 --rate 1000 --count 3000 >/dev/null 2>&1
wait_until 20 is_empty
kill -TERM "$engine"
wait "$engine"
took=$((SECONDS - begin + 1))
answered=$(tail -n 1 "$scratch/out" | grep -o '"answered":[0-9]*' | cut -d: -f2)
limited=$(tail -n 1 "$scratch/out" | grep -o '"answers_limited":[0-9]*' | cut -d: -f2)
if [ "$answered" -ge 100 ] && [ "$answered" -le $((50 * took + 100)) ] && [ "$limited" -gt 0 ]; then
	ok "the limit on answers goes by real seconds: $answered of 3000, in $took seconds at 50"
else
	not_ok "the limit on answers goes by real seconds ($answered of 3000 answered, $limited limited, in $took seconds)"
fi
finish
