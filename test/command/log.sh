#!/bin/bash
# SPDX-License-Identifier: MIT
#
# The log of verdict run, from a real run: levels, as text and JSON, what the journal is told, and the limit. 21 lines are to be had
# by 20 queues that are longer than the receive buffer can hold. The journal is a socket in an empty /run.

# shellcheck disable=SC2016,SC2317 # programs of jq in quotes; functions that wait_until calls

set -u
cd "$(dirname "$0")/../.." || exit 1
. test/support/namespace.sh
. test/support/shell.sh

export VERDICT_FUNCTION_PATH=$build/functions
unset JOURNAL_STREAM

expect_sentence run 2 "log takes text or json, not 'xml'" "--log" --queue 0 --log xml
expect_sentence run 2 "log-to takes stderr or journal, not 'syslog'" "--log-to" --queue 0 --log-to syslog
expect_sentence run 2 "log-rate takes a number from 0 to 1000000, not '-1'" "--log-rate" --queue 0 --log-rate -1
expect_sentence run 2 'log-to journal does not go with log json' "JSON is not for the journal" --queue 0 --log json --log-to journal

if [ "$(id -u)" -ne 0 ]; then
	skip "what is said while it runs: needs root"
	finish
fi
if ! command -v jq >/dev/null; then
	skip "what is said while it runs: needs jq"
	finish
fi
mount -t tmpfs tmpfs /run
expect_sentence run 1 'there is no journal here to log to \(/run/systemd/journal/socket\): say --log-to stderr' "no journal" \
	--queue 0 --log-to journal

# run OPTION...: one that says an info, a note and nothing else; $scratch/err is what it says
run() {
	timeout 60 "$verdict" run --queue 0 --stats none --for 1 --maxlen 1m "$@" >"$scratch/out" 2>"$scratch/err"
	status=$?
	output=$(cat "$scratch/err")
}

# expect_lines WANTED TEXT: of what was said, sorted; with the first words of each
expect_lines() {
	local seen

	seen=$(cut -d ' ' -f 1-3 "$scratch/err" | sort | paste -sd ';')
	if [ "$seen" = "$1" ]; then ok "$2"; else not_ok "$2 (wanted $1, not $seen)"; fi
}

run
expect_lines 'verdict: note: queue;verdict: reading queue' "text"
run --function none-such
expect_lines 'verdict: there is' "an error as text"

# ---- JSON ----

# expect_json FILTER TEXT: true for the array of all lines
expect_json() {
	if jq -es "$1" "$scratch/err" >/dev/null 2>&1; then
		ok "$2"
	else
		not_ok "$2 (not so: $1)"
		show_output
	fi
}

run --log json
expect_json 'length == 2 and all(keys == ["level", "message", "time"])' "JSON: an object in each line"
expect_json '[.[].level] | sort == ["info", "note"]' "with levels"
expect_json 'any(.level == "note" and (.message | test("^queue 0: ")))' "the level is not in the message"
expect_json 'all(.time | (.[:19] + "Z" | fromdateiso8601) as $t | now - $t | . >= 0 and . < 600)' "the time is now"
run --log json --function none-such
expect_json 'length == 1 and .[0].level == "error" and (.[0].message | test("^there is no stock function"))' "an error"
if [ "$status" -eq 1 ]; then ok "ends with 1 as ever"; else not_ok "ends with 1 as ever ($status)"; fi
printf 'queue 0; log json; stats none' >"$scratch/verdict.conf"
run --config "$scratch/verdict.conf"
expect_json 'length == 2' "log json; in a file"
run --config "$scratch/verdict.conf" --log text
expect_lines 'verdict: note: queue;verdict: reading queue' "--log wins"

# a reload is told of, too, and can change the log
says() {
	jq -es "any($1)" "$scratch/err"
}
background "$verdict" run --config "$scratch/verdict.conf" >/dev/null 2>"$scratch/err"
engine=$child
wait_until 60 says '.message | test("^reading queue 0")'
kill -HUP "$engine"
if wait_until 60 says '.level == "info" and (.message | test("^reloaded: "))'; then ok "a reload is an info"; else not_ok "a reload is an info"; fi
printf 'queue 0; log json; log-to journal; stats none' >"$scratch/verdict.conf"
kill -HUP "$engine"
if wait_until 60 says '.level == "error" and (.message | test("^not reloaded, .*verdict.conf:1: log-to journal does not go with log json"))'; then
	ok "a log that cannot be is refused"
else
	not_ok "a log that cannot be is refused"
	sed 's/^/# /' "$scratch/err"
fi
printf 'queue 0; log text; stats none' >"$scratch/verdict.conf"
kill -HUP "$engine"
if wait_until 60 grep -q '^verdict: reloaded: ' "$scratch/err"; then
	ok "another form is in effect with the reload"
else
	not_ok "another form is in effect with the reload"
	sed 's/^/# /' "$scratch/err"
fi
kill -TERM "$engine"
wait "$engine"

# ---- standard error, read by the journal ----

: >"$scratch/err"
stream=$(stat -c %d:%i "$scratch/err")
export JOURNAL_STREAM=$stream
run
expect_lines '<5>verdict: note: queue;<6>verdict: reading queue' "the journal reads standard error: lines have a priority"
run --function none-such
expect_lines '<3>verdict: there is' "errors too"
timeout 20 "$verdict" run --config /no/such/file 2>"$scratch/err"
expect_lines '<3>verdict: /no/such/file cannot' "also before there are settings"
run --log json
expect_json 'length == 2' "JSON has none"
JOURNAL_STREAM=${stream}1 run
expect_lines 'verdict: note: queue;verdict: reading queue' "it reads something else: no priority"
unset JOURNAL_STREAM

# ---- the limit ----

# start OPTION...: 21 lines
start() {
	background "$verdict" run --queue 0-19 --maxlen 1m --stats none "$@" >/dev/null 2>"$scratch/err"
	engine=$child
}

stop() {
	kill -TERM "$engine"
	wait "$engine"
	output=$(cat "$scratch/err")
}

count() {
	grep -c "$1" "$scratch/err"
}

# are_accounted: written and suppressed lines are 21
are_accounted() {
	[ "$(awk '/ suppressed: / { sum += $3; next } { sum++ } END { print sum + 0 }' "$scratch/err")" -eq 21 ]
}

start --log-rate 3
if wait_until 60 are_accounted && [ "$(count 'verdict: warning: [0-9]* lines* suppressed: there were more than 3 a second$')" -ge 1 ]; then
	ok "--log-rate: while it runs, a warning says how many lines were suppressed"
else
	not_ok "--log-rate: while it runs, a warning says how many lines were suppressed"
fi
stop
if are_accounted; then ok "each line is written or counted"; else not_ok "each line is written or counted"; show_output; fi
start --log-rate 0
wait_until 60 are_accounted
stop
if [ "$(wc -l <"$scratch/err")" -eq 21 ]; then ok "--log-rate 0: all of them"; else not_ok "--log-rate 0: all of them"; show_output; fi
start
wait_until 60 are_accounted
stop
if [ "$(wc -l <"$scratch/err")" -eq 21 ]; then ok "without: all of these"; else not_ok "without: all of these"; show_output; fi

# ---- the journal itself ----

mkdir -p /run/systemd/journal
if ! command -v python3 >/dev/null; then
	skip "entries of the journal: needs python3 to read them"
	finish
fi
background python3 -c '
import json, socket, sys
journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
journal.bind("/run/systemd/journal/socket")
while True:
	entry = journal.recv(65536).decode()
	print(json.dumps(dict(line.split("=", 1) for line in entry.splitlines())), flush=True)
' >"$scratch/journal"
wait_until 60 test -S /run/systemd/journal/socket
run --log-to journal
if [ -s "$scratch/err" ]; then not_ok "nothing is on standard error"; show_output; else ok "nothing is on standard error"; fi
two_entries() {
	[ "$(wc -l <"$scratch/journal")" -eq "$1" ]
}
wait_until 60 two_entries 2
cp "$scratch/journal" "$scratch/err"
output=$(cat "$scratch/err")
expect_json 'length == 2 and all(.SYSLOG_IDENTIFIER == "verdict")' "entries are in the journal"
expect_json 'any(.PRIORITY == "6" and (.MESSAGE | test("^reading queue 0: ")))' "with priority and message: an info"
expect_json 'any(.PRIORITY == "5" and (.MESSAGE | test("^queue 0: ")))' "and a note"
run --log-to journal --function none-such
wait_until 60 two_entries 3
tail -n 1 "$scratch/journal" >"$scratch/err"
expect_json '.[0].PRIORITY == "3" and (.[0].MESSAGE | test("^there is no stock function"))' "and an error"

finish
