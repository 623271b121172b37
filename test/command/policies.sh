#!/bin/bash
# SPDX-License-Identifier: MIT
#
# What becomes of packets when nobody decides: a rule's bypass when nobody reads, --fail-open when the queue is full, --on-fault when
# a function fails. Three policies, each for itself and for each queue, and each use of one counted to the packet: faults by the
# engine; what passed undecided is what the rule has sent to the queue without what the queue was offered. "near", with two queues,
# is this script's own namespace, packets come from "far".

# shellcheck disable=SC2317 # functions that wait_until calls

set -u
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=test/support/namespace.sh
. test/support/namespace.sh
# shellcheck source=test/support/shell.sh
. test/support/shell.sh
# shellcheck source=test/support/wire.sh
. test/support/wire.sh

verdict=$(readlink -f "${VERDICT:-build/plain/verdict}")
build=$(dirname "$verdict")
fault=$build/test/functions/fault.so

if [ "$(id -u)" -ne 0 ]; then
	skip "everything on real packets: needs root"
	finish
fi
if [ ! -e "$fault" ]; then
	skip "everything on real packets: needs $fault (make test-programs)"
	finish
fi

lay_wire
# behind the queues' rules in their chain, and in the table that comes next
iptables-legacy -w -t mangle -A INPUT -p udp --dport 9007 -j NFQUEUE --queue-num 7 --queue-bypass &&
	iptables-legacy -w -t mangle -A INPUT -p udp --dport 9008 -j NFQUEUE --queue-num 8 &&
	iptables-legacy -w -t mangle -A INPUT -p udp -m comment --comment behind &&
	iptables-legacy -w -A INPUT -p udp --dport 9007 -m comment --comment passed-7 &&
	iptables-legacy -w -A INPUT -p udp --dport 9008 -m comment --comment passed-8 || exit 1

# ruled TABLE PATTERN: packets that this rule has seen
ruled() {
	iptables-legacy -w -t "$1" -nvxL INPUT | awk -v pattern="$2" '$0 ~ pattern { print $1 }'
}

# hundred: to each of both queues; counts begin anew
hundred() {
	iptables-legacy -w -t mangle -Z INPUT
	iptables-legacy -w -Z INPUT
	far "$build/bench/net/send" --to 10.9.0.1 --port 9007 --ports 2 --flows 2 --count 200 --rate 20000 >/dev/null
}

is_reading() {
	grep -q '^verdict: reading queue ' "$scratch/err"
}

start() {
	: >"$scratch/err"
	background "$verdict" run --config "$scratch/verdict.conf" --stats json >"$scratch/out" 2>"$scratch/err"
	engine=$child
	wait_until 20 is_reading || { not_ok "it starts"; output=$(cat "$scratch/err"); show_output; finish; }
}

has_stopped() {
	! cut -d ' ' -f 3 "/proc/$engine/task"/*/stat | grep -qv T
}

stop() {
	wait_until 20 is_empty || not_ok "the queues run empty"
	kill -TERM "$engine"
	wait "$engine"
}

# of QUEUE NAME: in the last accounts
of() {
	tail -n 1 "$scratch/out" | grep -o "{\"queue\":$1,.*" | grep -o "\"$2\":[0-9]*" | head -n 1 | cut -d: -f2
}

# expect_equal WANTED SEEN TEXT
expect_equal() {
	if [ "$1" = "$2" ]; then ok "$3"; else not_ok "$3 (wanted $1, not $2)"; fi
}

# ---- nobody reads: the rule's ----

hundred
expect_equal "100 100" "$(ruled mangle 'num 7') $(ruled filter passed-7)" "nobody reads, bypass: all pass, and are those that the rule counts"
expect_equal "100 0" "$(ruled mangle 'num 8') $(ruled filter passed-8)" "nobody reads, no bypass: none does"
expect_equal 0 "$(ruled mangle behind)" "the rest of the chain sees none of them: a packet that bypasses goes on behind the chain"

# ---- the queue is full: the kernel's, as each queue says ----

printf 'queue 7 { maxlen 10; fail-open yes; }\nqueue 8 { maxlen 10; }\n' >"$scratch/verdict.conf"
start
kill -STOP "$engine"
wait_until 20 has_stopped || not_ok "it stands still"
hundred
expect_equal 90 "$(ruled filter passed-7)" "full, fail-open: 90 of 100 pass at once"
expect_equal 0 "$(ruled filter passed-8)" "full, no fail-open: none passes"
kill -CONT "$engine"
stop
expect_equal "100 10" "$(ruled filter passed-7) $(of 7 offered)" "then the 10 that wait are decided"
expect_equal 90 $(($(ruled mangle 'num 7') - $(of 7 offered))) "what passed undecided: what the rule sent, without what was offered"
expect_equal "100 90 10" "$(of 8 offered) $(of 8 queue_dropped) $(ruled filter passed-8)" "no fail-open: all are offered, 90 counted as lost"
expect_equal 0 $(($(ruled mangle 'num 8') - $(of 8 offered))) "and nothing has passed undecided"

# ---- a function fails: the engine's, as each queue says ----

printf 'function %s { arguments "4"; }\nworkers 1;\nqueue 7 { on-fault accept; }\nqueue 8 { on-fault drop; }\n' "$fault" >"$scratch/verdict.conf"
start
hundred
stop
expect_equal 50 $(($(of 7 faults) + $(of 8 faults))) "a function fails on 50 of 200 packets"
expect_equal 100 "$(ruled filter passed-7)" "on-fault accept: they pass"
expect_equal $((100 - $(of 8 faults))) "$(ruled filter passed-8)" "on-fault drop: they do not"
expect_equal "0 0" "$(($(ruled mangle 'num 7') - $(of 7 offered))) $(($(ruled mangle 'num 8') - $(of 8 offered)))" \
	"and neither is a bypass or an overload"

# ---- all of it in a row, with the counts of one rule ----

printf 'function %s { arguments "4"; }\nqueue 7 { maxlen 10; fail-open yes; on-fault drop; }\n' "$fault" >"$scratch/verdict.conf"
hundred
start
far "$build/bench/net/send" --to 10.9.0.1 --port 9007 --count 100 --rate 1000 >/dev/null
kill -STOP "$engine"
wait_until 20 has_stopped || not_ok "it stands still"
far "$build/bench/net/send" --to 10.9.0.1 --port 9007 --count 100 >/dev/null
kill -CONT "$engine"
stop
far "$build/bench/net/send" --to 10.9.0.1 --port 9007 --count 100 >/dev/null
expect_equal 400 "$(ruled mangle 'num 7')" "in a row: 400 packets"
undecided=$(($(ruled mangle 'num 7') - $(of 7 offered)))
if [ "$undecided" -ge 290 ]; then ok "at least 290 of them passed undecided: $undecided"; else not_ok "290 passed undecided ($undecided)"; fi
expect_equal $((400 - $(of 7 faults))) "$(ruled filter passed-7)" "all pass but the faults: $(of 7 faults)"
finish
