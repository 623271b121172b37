#!/bin/bash
# SPDX-License-Identifier: MIT
#
# verdict run with a function that holds packets: the one that the manual shows, which asks another process about new connections.
# Who is accepted there comes through, who is refused does not, and what nobody answers has its deadline, at the stop at the latest.
# All of it in a namespace of its own.

# shellcheck disable=SC2317 # functions that wait_until calls

set -u
cd "$(dirname "$0")/../.." || exit 1
. test/support/namespace.sh
. test/support/shell.sh

cc=${CC:-cc}
if [ "$(id -u)" -ne 0 ]; then
	skip "held packets: needs root"
	finish
fi
if ! command -v "$cc" >/dev/null || ! command -v python3 >/dev/null; then
	skip "held packets: needs a compiler and python3"
	finish
fi
if [ "$(basename "$build")" != plain ]; then
	skip "the function is compiled against the plain build"
	finish
fi

awk '/^\.\\" function: ask.c/ { found = 1; next }
	found && /^\.Bd / { in_it = 1; next }
	/^\.Ed/ { if (in_it) exit }
	in_it { gsub(/\\e/, "\\"); print }' tools/man/verdict-function.7 >"$scratch/ask.c"
expect_exit 0 "the page's function compiles" "$cc" -O2 -shared -fPIC -Ilib/include -o "$scratch/ask.so" "$scratch/ask.c"

ip link set lo up || exit 1
iptables-legacy -A INPUT -p tcp --syn --dport 7 -j NFQUEUE --queue-num 3 || exit 1

expect_sentence run 2 "nobody listens on '$scratch/ask'" "nobody is there to be asked" --queue 3 --function "$scratch/ask.so:$scratch/ask"
background python3 test/support/answerer.py "$scratch/ask"
background python3 -c 'import socket
server = socket.create_server(("127.0.0.1", 7))
while True: server.accept()'
wait_until 10 test -S "$scratch/ask" || not_ok "the one who is asked listens"
is_listening() {
	ss -ltn | grep -q 127.0.0.1:7
}
wait_until 10 is_listening || not_ok "the server listens"

# without a function that holds, and as somebody else; the first one comes with a reload
chmod 711 "$scratch"
chmod 777 "$scratch/ask"
configure() {
	printf 'queue 3;\nuser nobody;\nseccomp-allow [ socket, connect, recvfrom, sendto ];\nfunction %s\n' "$1" >"$scratch/verdict.conf"
}
configure 'accept;'
background "$verdict" run --config "$scratch/verdict.conf" --stats none --control "$scratch/control"
verdict_run=$child
wait_until 10 test -S "$scratch/control" || not_ok "it runs"
configure "\"$scratch/ask.so\" { arguments \"$scratch/ask\"; }"
expect_exit 0 "the function comes with a reload" "$verdict" reload "$scratch/control"

# connect_from ADDRESS SECONDS
connect_from() {
	python3 -c 'import socket, sys
socket.create_connection(("127.0.0.1", 7), float(sys.argv[2]), (sys.argv[1], 0))' "$@"
}
background "$verdict" dump "$scratch/control" --held --count 2 -w "$scratch/held.pcapng"
dump=$child
wait_until 10 test -s "$scratch/held.pcapng" || not_ok "the dump begins"
expect_exit 0 "who is accepted comes through" connect_from 127.0.0.1 10
expect_exit 1 "who is refused does not" connect_from 127.0.0.2 1
expect_kept 'timed out' "and hears nothing"
expect_exit 1 "nor does who is not answered" connect_from 127.0.0.3 0.5

# holds NUMBER: packets, now
holds() {
	"$verdict" stats "$scratch/control" --json | jq -e ".queues[0].held == $1"
}
wait_until 10 holds 1 || not_ok "one is held"
expect_output '^ *held +1 ' "stats show it" "$verdict" stats "$scratch/control"
expect_exit 0 "packets are dumped when they begin to wait" wait_until 20 is_gone "$dump"
expect_exit 0 "with who holds them" grep -a 'held by ask' "$scratch/held.pcapng"
stats=$("$verdict" stats "$scratch/control" --json)
expect_equal 1 "$(jq .queues[0].verdicts.accept <<<"$stats")" "by the accounts, one was accepted"
expect_equal true "$(jq '.queues[0] | .held_dropped == .drops.function and .held_dropped >= 1' <<<"$stats")" \
	"the refused ones were dropped later"
kill -INT "$verdict_run"
wait "$verdict_run"
expect_equal 0 $? "it ends in good order"
finish
