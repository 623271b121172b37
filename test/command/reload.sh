#!/bin/bash
# SPDX-License-Identifier: MIT
#
# SIGHUP: the configuration is read again and takes effect while packets flow, or is refused with a sentence and nothing changes.
# "near", where the queues are, is this script's own namespace, "far" the other end of a wire.

# shellcheck disable=SC2016,SC2317 # programs of awk in quotes; functions that wait_until calls

set -u
cd "$(dirname "$0")/../.." || exit 1
. test/support/namespace.sh
. test/support/shell.sh
. test/support/wire.sh
. test/support/daemon.sh

if [ "$(id -u)" -ne 0 ]; then
	skip "reloads on real packets: needs root"
	finish
fi

send=$build/bench/net/send
export VERDICT_FUNCTION_PATH=$build/functions
top=$PWD
chmod 755 "$scratch" # who has given up privileges reads its configuration there
cd "$scratch" || exit 1

lay_wire
for queue in 7 8; do
	iptables-legacy -w -A INPUT -p udp --dport 900$queue -j NFQUEUE --queue-num $queue || exit 1
done

# packets COUNT PORT [OPTION...]: from far, until nothing waits in any queue
packets() {
	far "$send" --to 10.9.0.1 --count "$1" --port "$2" "${@:3}" >/dev/null
	sleep 0.05 # the last ones may still be on the wire
	wait_until 20 is_empty
}

has_said() {
	[ "$(grep -c -- "$1" err)" -ge "$2" ]
}

# start: verdict.conf, in the background
start() {
	start_daemon out err --config verdict.conf "$@" || finish
}

ended() {
	kill -TERM "$engine"
	await 20 "$engine"
	output=$(cat out)
}

# configuration LINE...: a new verdict.conf, in one step
configuration() {
	printf '%s\n' "$@" >verdict.conf.new
	mv verdict.conf.new verdict.conf
}

# reload PATTERN TEXT: asks for it; what it says next on standard error is like this
reload() {
	local lines

	lines=$(grep -c 'reloaded' err)
	kill -HUP "$engine"
	if wait_until 20 has_said 'reloaded' $((lines + 1)) && tail -n 1 err | grep -Eq -- "$1"; then
		ok "$2"
	else
		not_ok "$2 (wanted: $1)"
		output=$(cat err)
		show_output
	fi
}
new='^verdict: reloaded: the new configuration is in effect$'

# ---- what changes ----

configuration 'queue 7;' 'function match { arguments "udp port 9007=drop"; }'
start
packets 100 9007
configuration 'queue 7;' 'function match { arguments "udp port 9008=drop"; }'
reload "$new" "a function gets other arguments"
packets 200 9007
configuration 'queue 7;' 'default drop;'
reload "$new" "there is no function any more, and the default is another one"
packets 30 9007
configuration 'queue 7-8;' 'function drop;'
reload "$new" "a queue is added"
if is_bound 8; then ok "and bound"; else not_ok "and bound"; fi
packets 4 9007
packets 5 9008
configuration 'queue 7 { maxlen 77; }' 'function accept;'
reload "$new" "it is taken away again, and the other one changes"
if is_bound 8; then not_ok "and given back"; else ok "and given back"; fi
packets 1000 9007 --rate 2000
ended
expect_number offered 1334 "every packet is in the accounts of the queue that stayed"
expect_number accepted 1200 "those were accepted that should be"
expect_number 'dropped by verdict' 134 "and dropped"
if printf '%s\n' "$output" | grep -q '^function accept: 1000 packets, accept 1000$'; then
	ok "the last function is told of"
else
	not_ok "the last function is told of"
	show_output
fi
if [ "$status" -eq 0 ]; then ok "it ends well"; else not_ok "it ends well (exit status $status)"; fi

# ---- what is refused ----

configuration 'queue 7;' 'function match { arguments "udp port 9007=drop"; }'
start --workers 2
packets 10 9007
refused='^verdict: not reloaded, the old configuration goes on: '
configuration 'queue 7;' 'functoin accept;'
reload "${refused}verdict.conf:2: " "a key that there is not"
configuration 'queue 7;' 'function none-such;'
reload "${refused}verdict.conf:2: .*none-such" "a function that there is not"
configuration 'queue 7;' 'function match { arguments "udp prt 9=drop"; }'
reload "${refused}function match: " "arguments that the function refuses"
configuration 'function accept;'
reload "${refused}verdict.conf: there is no queue to read" "no queue"
configuration 'queue 7;' 'stats json;'
reload "${refused}verdict.conf:2: stats cannot change while it runs: restart it for that" "statistics of another form"
configuration 'queue 7;' 'writers 1;'
reload "${refused}the number of writers cannot change while it runs" "another number of threads"
configuration 'queue 7;' 'workers 1;'
reload "$new" "a key that the command line overrules"
rm verdict.conf
reload "${refused}verdict.conf cannot be read: " "a file that is gone"
configuration 'queue 7;' 'function match { arguments "udp port 9007=drop"; }'
reload "$new" "and a good one again"
packets 10 9007
ended
expect_number 'dropped by verdict' 20 "what was refused has changed nothing"

# ---- by the control socket, also where privileges were given up ----

for privileges in '' '--user nobody'; do
	configuration 'queue 7;' 'function match { arguments "udp port 9007=drop"; }'
	leaks=${ASAN_OPTIONS:-}
	# its own system calls are refused to the leak sanitizer
	[ -z "$privileges" ] || export ASAN_OPTIONS=${leaks:+$leaks:}detect_leaks=0
	# shellcheck disable=SC2086 # several words
	start --control "$scratch/socket" $privileges
	export ASAN_OPTIONS=$leaks
	packets 10 9007
	configuration 'queue 7-8;'
	expect_exit 0 "verdict reload ($privileges)" timeout 60 "$verdict" reload "$scratch/socket"
	if is_bound 8; then ok "binds what is new"; else not_ok "binds what is new"; output=$(cat err); show_output; fi
	packets 20 9007
	configuration 'queue 7;' 'functoin accept;'
	expect_exit 1 "it says no" timeout 60 "$verdict" reload "$scratch/socket"
	if [[ $output == 'verdict: verdict.conf:2: there is no key '* ]]; then ok "and why"; else not_ok "and why"; show_output; fi
	ended
	expect_number 'dropped by verdict' 10 "decided by the first configuration"
	expect_number accepted 20 "and by the second"
	rm -f "$scratch/socket"
done
expect_exit 1 "nobody listens there" timeout 60 "$verdict" reload "$scratch/socket"
expect_exit 2 "two names are too many" timeout 60 "$verdict" reload one two

# ---- under load ----

configuration 'queue 7;' 'function accept;'
start
"$send" --to 127.0.0.1 --count 1 --port 9 >/dev/null
far "$send" --to 10.9.0.1 --count 20000 --port 9007 --rate 20000 >/dev/null &
sender=$!
for ((i = 1; i <= 40; i++)); do
	if ((i % 2)); then
		configuration 'queue 7-8;' 'batch 16;' 'function first { arguments "4"; }' 'function match { arguments "tcp=drop"; }'
	else
		configuration 'queue 7;' 'function accept;'
	fi
	kill -HUP "$engine"
	wait_until 20 has_said "$new" $i || break
done
wait $sender
sleep 0.05
wait_until 20 is_empty
ended
if [ "$(grep -c -- "$new" err)" -eq 40 ]; then ok "40 reloads while packets come"; else not_ok "40 reloads while packets come"; sed 's/^/# /' err; fi
expect_number accepted 20000 "lose none"

# ---- a function's file is replaced ----

for verdict_name in ACCEPT DROP; do
	cat >"$verdict_name.c" <<-EOF
		#include <verdict/function.h>
		static enum vd_verdict decide(struct vd_packet *packet, void *state)
		{
			(void)packet;
			(void)state;
			return VD_$verdict_name;
		}
		VD_FUNCTION(.name = "mine", .decide = decide);
	EOF
	cc -shared -fPIC -I "$top/lib/include" -o "$verdict_name.so" "$verdict_name.c" || not_ok "it compiles"
done
cp ACCEPT.so mine.so
configuration 'queue 7;' 'function ./mine.so;'
start
packets 10 9007
cp DROP.so new.so
mv new.so mine.so
reload "$new" "a function's file was replaced"
packets 5 9007
cp ACCEPT.so mine.so # it decides again
reload "$new" "it was written over, in place"
packets 7 9007
reload "$new" "nothing has changed"
packets 8 9007
ended
expect_number accepted 25 "each decided in its time, the one accepts"
expect_number 'dropped by verdict' 5 "and the other one drops"
finish
