#!/bin/bash
# SPDX-License-Identifier: MIT
#
# tools/demo, which people run first: it ends well, loses nothing, and leaves nothing, also when it is interrupted and when
# somebody without privileges runs it. Each run takes some ten seconds.

# shellcheck disable=SC2016,SC2317 # programs of other shells; functions that wait_until calls

set -u
cd "$(dirname "$0")/../.." || exit 1
. test/support/shell.sh

if [ "$(basename "$build")" != plain ]; then
	skip "the demo builds and runs the plain build"
	finish
fi

# Each demo gets a word of its own in its environment, and all its processes inherit it: so those of others do not count.
demos=0
new_mark() {
	demos=$((demos + 1))
	mark=DEMO_OF_TEST=$$-$demos
}

list_processes() {
	grep -lszxF "$mark" /proc/[0-9]*/environ | cut -d/ -f3
}

# Network namespaces without a name end with their processes.
no_news() {
	list_processes >"$scratch/news"
	comm -13 "$scratch/names" <(ls -A /run/netns 2>/dev/null) | grep verdict >>"$scratch/news"
	[ ! -s "$scratch/news" ]
}

begin() {
	new_mark
	ls -A /run/netns >"$scratch/names" 2>/dev/null
}

nothing_is_left() {
	if wait_until 20 no_news; then
		ok "$1"
	else
		not_ok "$1"
		output=$(cat "$scratch/news"; while read -r pid; do tr '\0' ' ' <"/proc/$pid/cmdline"; echo; done <"$scratch/news" 2>/dev/null)
		show_output
	fi
}

# number TEXT: in the table
number() {
	printf '%s\n' "$output" | sed -n "s/^ *$1  *\([0-9][0-9]*\)$/\1/p"
}

expect_sums() {
	local sent arrived dropped

	expect_kept '^ +lost +0$' "$1: loses nothing"
	expect_kept '^ +out of order at the receiver +0$' "$1: keeps the order"
	sent=$(number 'sent by the sender') arrived=$(number 'accepted, and arrived at the receiver') dropped=$(number 'dropped by odd-ports')
	if [ "${sent:-0}" -gt 10000 ] && [ $((arrived + dropped)) -eq "$sent" ] && [ "$dropped" -gt $((sent / 3)) ]; then
		ok "$1: the numbers add up"
	else
		not_ok "$1: the numbers add up"
		show_output
	fi
}

expect_exit 2 "it takes no arguments" tools/demo surplus
expect_exit 0 "but --help" tools/demo --help

# ---- as root ----

if [ "$(id -u)" -eq 0 ]; then
	begin
	expect_exit 0 "root: it ends well" env "$mark" timeout 120 tools/demo
	expect_sums root
	nothing_is_left "root: nothing is left"
fi

# ---- interrupted ----

# interrupt SIGNAL SECONDS: to the script alone, as a supervisor does
interrupt() {
	local status

	begin
	env "$mark" tools/demo >"$scratch/out" 2>&1 &
	child=$!
	children+=("$child")
	sleep "$2"
	kill "-$1" "$child"
	wait "$child"
	status=$?
	if [ "$status" -eq 130 ]; then
		ok "SIG$1 after $2 s: exit status 130"
	else
		not_ok "SIG$1 after $2 s: exit status $status instead of 130"
		output=$(cat "$scratch/out")
		show_output
	fi
	nothing_is_left "SIG$1 after $2 s: nothing is left"
}

# a shell starts what runs in the background with SIGINT ignored, and that cannot be undone: TERM stands for it
interrupt TERM 3
interrupt TERM 1
interrupt HUP 4

# by the keyboard: SIGINT to all processes of the terminal
if command -v python3 >/dev/null; then
	begin
	run_and_keep env "$mark" timeout 60 python3 - <<'END'
import os, pty, sys, time

child, terminal = pty.fork()
if not child:
    os.execv('tools/demo', ['tools/demo'])
start = time.time()
os.set_blocking(terminal, False)
interrupted = False
while True:
    try:
        text = os.read(terminal, 65536)
        sys.stdout.write(text.decode(errors='replace'))
        if not text:
            break
    except BlockingIOError:
        time.sleep(0.01)
    except OSError:
        break
    if not interrupted and time.time() - start > 3:
        os.write(terminal, b'\x03')
        interrupted = True
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
END
	if [ "$status" -eq 130 ]; then
		ok "the keyboard's interrupt after 3 s: exit status 130"
	else
		not_ok "the keyboard's interrupt after 3 s: exit status $status instead of 130"
		show_output
	fi
	nothing_is_left "the keyboard's interrupt: nothing is left"
else
	skip "the keyboard's interrupt: needs python3"
fi

# killed without a chance to clean up
begin
env "$mark" tools/demo >/dev/null 2>&1 &
child=$!
children+=("$child")
sleep 4
kill -KILL "$child"
wait "$child" 2>/dev/null
nothing_is_left "SIGKILL: nothing is left"

# ---- without privileges ----

as_nobody=()
[ "$(id -u)" -ne 0 ] || as_nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups --bounding-set=-all --inh-caps=-all --)
if ! "${as_nobody[@]}" test -x "$PWD/tools/demo" 2>/dev/null; then
	skip "without privileges: such a user cannot read $PWD"
elif ! "${as_nobody[@]}" unshare --user --map-root-user --net true 2>/dev/null; then
	expect_exit 1 "without user namespaces it refuses" "${as_nobody[@]}" tools/demo
	expect_kept 'run it with sudo' "and says what to do"
else
	begin
	expect_exit 0 "without privileges: it ends well" "${as_nobody[@]}" env "$mark" timeout 120 tools/demo
	expect_sums "without privileges"
	nothing_is_left "without privileges: nothing is left"
fi

finish
