# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# A `verdict run` in the background, for command tests: source it behind shell.sh.

# shellcheck disable=SC2034,SC2154 # what those who source this use, and what shell.sh has

# show_to_all FILE...: from here on $verdict, its functions, and those of these files that are there, are in $scratch, for another user
# to read
show_to_all() {
	local file

	chmod 755 "$scratch"
	mkdir "$scratch/functions"
	cp "$build/verdict" "$scratch/" && cp "$build"/functions/*.so "$scratch/functions/"
	for file; do [ ! -e "$file" ] || cp "$file" "$scratch/"; done
	chmod -R a+rX "$scratch"
	verdict=$scratch/verdict
	export VERDICT_FUNCTION_PATH=$scratch/functions
}

# is_reading ERR: the one whose standard error goes to this file has said so
is_reading() {
	grep -q '^verdict: reading queue ' "$1"
}

# start_daemon OUT ERR OPTION...: what it prints goes to these files, $engine is its process. A failed check, and 1, if it does not start
start_daemon() {
	local out=$1 err=$2

	shift 2
	: >"$err" # what one before it said does not count
	background "$verdict" run "$@" >"$out" 2>"$err"
	engine=$child
	wait_until 60 is_reading "$err" && return
	not_ok "run $* does not start"
	output=$(cat "$err")
	show_output
	return 1
}

# accounted DAEMON NAME: the sum over its queues
accounted() {
	"$verdict" stats "$1" --json | grep -o "\"$2\":[0-9]*" | awk -F: '{ sum += $2 } END { print sum + 0 }'
}

# has_accounted DAEMON NAME COUNT: or more
has_accounted() {
	[ "$(accounted "$1" "$2")" -ge "$3" ]
}
