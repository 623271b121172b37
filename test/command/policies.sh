#!/bin/bash
# SPDX-License-Identifier: MIT
#
# What becomes of packets when nobody decides: a rule's bypass when nobody reads, --fail-open when the queue is full, --on-fault when
# a function fails. Three policies, each for itself and for each queue, and each use of one counted to the packet: faults by the
# engine; what passed a full queue by what rules have counted and queues were offered; what passed while nobody read by what rules
# have counted from one engine to the next. "near", with its queues, is this script's own namespace, packets come from "far".

# shellcheck disable=SC2016,SC2317 # a program of awk in quotes; functions that wait_until calls

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

# zero: counts of rules begin anew
zero() {
	iptables-legacy -w -t mangle -Z INPUT
	iptables-legacy -w -Z INPUT
}

# hundred: to each of both queues
hundred() {
	far "$build/bench/net/send" --to 10.9.0.1 --port 9007 --ports 2 --flows 2 --count 200 --rate 20000 >/dev/null
}

is_reading() {
	grep -q '^verdict: reading queue ' "$scratch/err"
}

# start OPTION...
start() {
	: >"$scratch/err"
	background "$verdict" run --config "$scratch/verdict.conf" --stats json "$@" >"$scratch/accounts" 2>"$scratch/err"
	engine=$child
	wait_until 20 is_reading || { not_ok "it starts"; output=$(cat "$scratch/err"); show_output; finish; }
}

has_stopped() {
	! cut -d ' ' -f 3 "/proc/$engine/task"/*/stat | grep -qv T
}

stop() {
	wait_until 20 is_empty || not_ok "the queues run empty"
	kill -TERM "$engine"
	wait "$engine" || not_ok "it ends in good order ($?)"
	mv "$scratch/accounts" "$scratch/out"
}

# flood OPTION...: a hundred packets at once, while the engine stands still
flood() {
	kill -STOP "$engine"
	wait_until 20 has_stopped || not_ok "it stands still"
	far "$build/bench/net/send" "$@" --count 100 --flows 30 >/dev/null
	kill -CONT "$engine"
}

# of QUEUE NAME: in the last accounts
of() {
	tail -n 1 "$scratch/out" | grep -o "{\"queue\":$1,.*" | grep -o "\"$2\":[0-9]*" | head -n 1 | cut -d: -f2
}

# of_rules FIRST-LAST NAME: of the rules for these queues, in the last accounts
of_rules() {
	tail -n 1 "$scratch/out" | grep -o "{\"first\":${1%-*},\"last\":${1#*-},[^}]*}" | grep -o "\"$2\":[^,}]*" | cut -d: -f2
}

# looks: the accounts of one that runs
looks() {
	"$verdict" stats "$scratch/socket" --json >"$scratch/out"
}

# says FIRST-LAST NAME VALUE: of the rules for these queues, sooner or later: a look that took long may do for a second
says() {
	looks && [ "$(of_rules "$1" "$2")" = "$3" ]
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
zero
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
expect_equal "90 10 100 true" "$(of_rules 7-7 queue_passed) $(of_rules 7-7 offered) $(of_rules 7-7 packets) $(of_rules 7-7 bypass)" \
	"and the accounts say so: passed, offered, sent, with bypass"
expect_equal "0 100 100 false" "$(of_rules 8-8 queue_passed) $(of_rules 8-8 offered) $(of_rules 8-8 packets) $(of_rules 8-8 bypass)" \
	"of the other queue that nothing has passed"
expect_equal "100 90 10" "$(of 8 offered) $(of 8 queue_dropped) $(ruled filter passed-8)" "no fail-open: all are offered, 90 counted as lost"
expect_equal 0 $(($(ruled mangle 'num 8') - $(of 8 offered))) "and nothing has passed undecided"

# ---- a function fails: the engine's, as each queue says ----

printf 'function %s { arguments "4"; }\nworkers 1;\nqueue 7 { on-fault accept; }\nqueue 8 { on-fault drop; }\n' "$fault" >"$scratch/verdict.conf"
zero
start
hundred
stop
expect_equal 50 $(($(of 7 faults) + $(of 8 faults))) "a function fails on 50 of 200 packets"
expect_equal 100 "$(ruled filter passed-7)" "on-fault accept: they pass"
expect_equal $((100 - $(of 8 faults))) "$(ruled filter passed-8)" "on-fault drop: they do not"
expect_equal "0 0" "$(($(ruled mangle 'num 7') - $(of 7 offered))) $(($(ruled mangle 'num 8') - $(of 8 offered)))" \
	"and neither is a bypass or an overload"
expect_equal "0 0" "$(of_rules 7-7 queue_passed) $(of_rules 8-8 queue_passed)" "which the accounts say as well"

# ---- all of it in a row, with the counts of one rule ----

printf 'function %s { arguments "4"; }\nqueue 7 { maxlen 10; fail-open yes; on-fault drop; }\n' "$fault" >"$scratch/verdict.conf"
zero
hundred
start
far "$build/bench/net/send" --to 10.9.0.1 --port 9007 --count 100 --rate 1000 >/dev/null
flood --to 10.9.0.1 --port 9007
stop
far "$build/bench/net/send" --to 10.9.0.1 --port 9007 --count 100 >/dev/null
expect_equal 400 "$(ruled mangle 'num 7')" "in a row: 400 packets"
full=$(of_rules 7-7 queue_passed) before=$(of_rules 7-7 packets_before) sent=$(of_rules 7-7 packets)
expect_equal "100 300" "$before $sent" "100 before the queue was read, 300 up to its end"
if [ "$full" -ge 90 ]; then ok "at least 90 passed the full queue: $full"; else not_ok "90 passed the full queue ($full)"; fi
expect_equal 400 $((before + full + $(of 7 offered) + 100)) "bypass, overload and what was offered are all packets"
expect_equal $((400 - $(of 7 faults))) "$(ruled filter passed-7)" "all pass but the faults: $(of 7 faults)"
start
stop
expect_equal 100 $(($(of_rules 7-7 packets_before) - sent)) "from one engine to the next: what passed while there was none"

# ---- several rules, several queues, both families ----

iptables-legacy -w -t mangle -A INPUT -p udp --dport 9020 -j NFQUEUE --queue-balance 20:22
ip6tables-legacy -w -t mangle -A INPUT -p udp --dport 9021 -j NFQUEUE --queue-num 21
iptables-legacy -w -t mangle -A INPUT -p udp --dport 9030 -j NFQUEUE --queue-balance 30:31
ip6tables-legacy -w -t mangle -A INPUT -p udp --dport 9032 -j NFQUEUE --queue-num 32 --queue-bypass
ip link set near0 addrgenmode none
ip address add fd09::1/64 dev near0 nodad
far ip address add fd09::2/64 dev far0 nodad

printf 'maxlen 10; fail-open yes;\nqueue 20-22; queue 30; queue 32; queue 40;\n' >"$scratch/verdict.conf"
start --control "$scratch/socket" --metrics 9100
flood --to 10.9.0.1 --port 9020
wait_until 20 is_empty
wait_until 20 says 20-22 packets 100
taken=$(awk '$1 >= 20 && $1 <= 22 { sum += $8 } END { print sum }' "$queues")
run_and_keep "$verdict" stats "$scratch/socket"
expect_kept "^rules for queues 20-22: 2$" "rules whose queues overlap are shown together"
expect_equal $((100 - taken)) "$(number 'passed: queue full')" "what passed three queues of a rule: $((100 - taken)) of 100"
expect_equal 100 "$(number 'sent to it')" "of those that it has sent there"
flood --to fd09::1 --port 9032
wait_until 20 is_empty
wait_until 20 says 32-32 packets 100
expect_equal "90 100 true" "$(of_rules 32-32 queue_passed) $(of_rules 32-32 packets) $(of_rules 32-32 bypass)" "IPv6: 90 of 100"
expect_equal 'null "other"' "$(of_rules 30-31 queue_passed) $(of_rules 30-31 unknown)" "of a queue that nobody here reads: it is not known"
expect_equal "" "$(of_rules 40-40 packets)" "without a rule there is nothing to say"
exec {scrape}<>/dev/tcp/127.0.0.1/9100
printf 'GET /metrics HTTP/1.0\r\n\r\n' >&"$scrape"
output=$(timeout 20 cat <&"$scrape")
exec {scrape}>&-
expect_kept '^verdict_rules_queue_passed_total\{queues="32"\} 90' "metrics: what passed"
expect_kept '^verdict_rules_packets_total\{queues="32"\} 100' "metrics: what rules have sent"
expect_kept '^verdict_rules_offered_total\{queues="32"\} 10' "metrics: what the queue was offered"
expect_kept "^verdict_rules_queue_passed_total\{queues=\"20-22\"\} $((100 - taken))" "metrics: of a range"
expect_kept '^verdict_rules_packets_total\{queues="30-31"\} 0' "metrics: where it is not known, what rules have sent"
if grep -q 'queue_passed_total{queues="30-31"}' <<<"$output"; then not_ok "and no more"; else ok "and no more"; fi

# ---- rules change while it runs ----

ip6tables-legacy -w -t mangle -A INPUT -p udp --dport 9099 -m comment --comment another
looks
expect_equal "90 0" "$(of_rules 32-32 queue_passed) $(of_rules 32-32 resets)" "another rule in the table is no matter"
ip6tables-legacy -w -t mangle -D INPUT -p udp --dport 9032 -j NFQUEUE --queue-num 32 --queue-bypass
wait_until 20 says 32-32 rules 0
expect_equal "90 0 1" "$(of_rules 32-32 queue_passed) $(of_rules 32-32 packets) $(of_rules 32-32 resets)" \
	"its rule is gone: what has passed stays, and is said to be the least"
ip6tables-legacy -w -t mangle -A INPUT -p udp --dport 9032 -j NFQUEUE --queue-num 32
iptables-legacy -w -t mangle -A INPUT -p udp --dport 9040 -j NFQUEUE --queue-num 40
flood --to fd09::1 --port 9032
flood --to 10.9.0.1 --port 9040
wait_until 20 is_empty
wait_until 20 says 40-40 packets 100
expect_equal "180 100 1" "$(of_rules 32-32 queue_passed) $(of_rules 32-32 packets) $(of_rules 32-32 resets)" "it is made again: it goes on"
expect_equal "90 0" "$(of_rules 40-40 queue_passed) $(of_rules 40-40 resets)" "a rule that is new begins at 0"
iptables-legacy -w -t mangle -Z INPUT
flood --to 10.9.0.1 --port 9040
stop
expect_equal "90 100 1" "$(of_rules 40-40 queue_passed) $(of_rules 40-40 packets) $(of_rules 40-40 resets)" \
	"zeroed: what passed before anybody looked again is not known, and that is said"
expect_equal "180 1" "$(of_rules 32-32 queue_passed) $(of_rules 32-32 resets)" "of others it is"
iptables-legacy -w -t mangle -D INPUT -p udp --dport 9040 -j NFQUEUE --queue-num 40

# ---- rules that are replaced all the time: whoever adds one to a table takes it away, and gives its counts back in a second step ----

# replace: adds a rule, and takes it away, while packets come
replace() {
	while kill -0 "$sender" 2>/dev/null; do
		iptables-legacy -w -t mangle -A INPUT -p udp --dport 9098
		iptables-legacy -w -t mangle -D INPUT -p udp --dport 9098
	done
}

zero
{ # the more rules there are, the longer they are without their counts
	printf '*mangle\n'
	for ((i = 0; i < 1000; i++)); do printf -- '-A INPUT -s 10.8.%s.%s -m comment --comment more\n' $((i / 256)) $((i % 256)); done
	printf 'COMMIT\n'
} | iptables-legacy-restore -w --noflush || not_ok "more rules are made"
far "$build/bench/net/send" --to 10.9.0.1 --port 9007 --count 5000 >/dev/null
printf 'maxlen 10; fail-open yes; queue 7;\n' >"$scratch/verdict.conf"
start --control "$scratch/socket"
background nsenter --net="/proc/$far/ns/net" -- "$build/bench/net/send" --to 10.9.0.1 --port 9007 --count 60000 --rate 20000 >/dev/null
sender=$child
replace &
replacer=$!
while kill -0 "$sender" 2>/dev/null; do
	looks
done
wait "$replacer"
stop
sent=$(ruled mangle 'num 7')
expect_equal "$((sent - 5000)) 0" "$(($(of_rules 7-7 queue_passed) + $(of_rules 7-7 offered))) $(of_rules 7-7 resets)" "rules that are replaced all the time: no packet too many"
expect_equal "$(of 7 offered)" "$(of_rules 7-7 offered)" "what was offered is what the engine says"

# ---- a queue comes by a reload, with another setting of an old one ----

printf 'maxlen 10; queue 32;\n' >"$scratch/verdict.conf"
start --control "$scratch/socket"
flood --to fd09::1 --port 9032
wait_until 20 is_empty
wait_until 20 says 32-32 packets 200
expect_equal "0 100" "$(of_rules 32-32 queue_passed) $(of_rules 32-32 offered)" "without fail-open nothing passes"
printf 'maxlen 10; fail-open yes; queue 32; queue 7;\n' >"$scratch/verdict.conf"
far "$build/bench/net/send" --to 10.9.0.1 --port 9007 --count 50 >/dev/null
expect_exit 0 "a reload" "$verdict" reload "$scratch/socket"
flood --to fd09::1 --port 9032
flood --to 10.9.0.1 --port 9007
stop
expect_equal "90 0" "$(of_rules 32-32 queue_passed) $(of_rules 32-32 resets)" "with it, from then on"
expect_equal "90 100" "$(of_rules 7-7 queue_passed) $(($(of_rules 7-7 packets) - $(of_rules 7-7 packets_before)))" \
	"and of the new queue since it is read"

# ---- who ends by itself ----

printf 'maxlen 10; fail-open yes; queue 7;\n' >"$scratch/verdict.conf"
start --packets 10
flood --to 10.9.0.1 --port 9007
wait "$engine"
mv "$scratch/accounts" "$scratch/out"
far "$build/bench/net/send" --to 10.9.0.1 --port 9007 --count 50 >/dev/null
expect_equal "90 10" "$(of_rules 7-7 queue_passed) $(of_rules 7-7 offered)" "--packets: what has passed is known at the end, too"

# ---- without privileges ----

printf 'maxlen 10; fail-open yes; queue 7; queue 32;\n' >"$scratch/verdict.conf"
# at its end the leak sanitizer makes calls that are refused
sanitizer=${ASAN_OPTIONS-}
export ASAN_OPTIONS=${sanitizer:+$sanitizer:}detect_leaks=0
start --user 65534:65534 --seccomp yes --control "$scratch/socket"
export ASAN_OPTIONS=$sanitizer
chmod 755 "$scratch"
flood --to 10.9.0.1 --port 9007
flood --to fd09::1 --port 9032
wait_until 20 is_empty
wait_until 20 says 32-32 queue_passed 90
expect_equal "90 90" "$(of_rules 7-7 queue_passed) $(of_rules 32-32 queue_passed)" "another user, and filtered system calls: as before"
expect_output '"rules_unread":false' "all rules can be read" cat "$scratch/out"
stop
expect_equal "90 90" "$(of_rules 7-7 queue_passed) $(of_rules 32-32 queue_passed)" "at the end as well"
output=$(cat "$scratch/err")
if grep -q 'refused' "$scratch/err"; then not_ok "no system call was refused"; show_output; else ok "no system call was refused"; fi

# ---- queues in another namespace ----

far iptables-legacy -w -A INPUT -p udp --dport 9050 -j NFQUEUE --queue-num 50
printf 'maxlen 10; fail-open yes; queue 50;\n' >"$scratch/verdict.conf"
start --netns "/proc/$far/ns/net"
kill -STOP "$engine"
wait_until 20 has_stopped || not_ok "it stands still"
"$build/bench/net/send" --to 10.9.0.2 --port 9050 --count 100 >/dev/null
kill -CONT "$engine"
wait_until 20 far awk '{ exit $3 != 0 }' "$queues"
stop
expect_equal "90 10" "$(of_rules 50-50 queue_passed) $(of_rules 50-50 offered)" "--netns: the rules of that namespace"

# ---- rules of iptables-nft: the target of a rule of nf_tables ----

if iptables-nft -A INPUT -p udp --dport 9060 -j NFQUEUE --queue-num 60 --queue-bypass 2>"$scratch/err"; then
	printf 'maxlen 10; fail-open yes; queue 60;\n' >"$scratch/verdict.conf"
	start
	flood --to 10.9.0.1 --port 9060
	stop
	expect_equal "90 100 true" "$(of_rules 60-60 queue_passed) $(of_rules 60-60 packets) $(of_rules 60-60 bypass)" "iptables-nft: 90 of 100"
else
	skip "rules of iptables-nft: $(head -n 1 "$scratch/err")"
fi

# ---- rules of nft ----

if nft add table inet counted 2>"$scratch/err" && nft add chain inet counted input '{ type filter hook input priority -200; }' &&
	nft add rule inet counted input udp dport 9061 counter queue num 61 2>"$scratch/err"; then
	nft add rule inet counted input udp dport 9062 queue num 62
	printf 'maxlen 10; fail-open yes; queue 61; queue 62;\n' >"$scratch/verdict.conf"
	start
	flood --to 10.9.0.1 --port 9061
	stop
	expect_equal "90 100 false" "$(of_rules 61-61 queue_passed) $(of_rules 61-61 packets) $(of_rules 61-61 bypass)" "nft: 90 of 100"
	expect_equal 'null "uncounted"' "$(of_rules 62-62 queue_passed) $(of_rules 62-62 unknown)" "without a counter it is not known"
else
	skip "rules of nft: $(head -n 1 "$scratch/err")"
fi
finish
