# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# What command tests share. Source it first, in the root of the sources; end with `finish`. A check prints one line:
#
#	ok - text        not ok - text (and what was seen, behind #)        skip - text
#
# and the last line is "N passed, N failed, N skipped". Make network namespaces with `unshare --net`, without a name:
# they are gone with their last process, however the test ends.

# the program that is tested, and the build that it is of
verdict=$(readlink -f "${VERDICT:-build/plain/verdict}")
# shellcheck disable=SC2034 # for those who source this
build=$(dirname "$verdict")

passed=0 failed=0 skipped=0
children=()
scratch=$(mktemp -d) || exit 1

clean_up() {
	local child

	for child in ${children[@]+"${children[@]}"}; do
		kill "$child" 2>/dev/null && wait "$child" 2>/dev/null
	done
	rm -rf "$scratch"
}
trap clean_up EXIT
trap 'exit 1' HUP INT TERM

ok() {
	passed=$((passed + 1))
	printf 'ok - %s\n' "$*"
}

not_ok() {
	failed=$((failed + 1))
	printf 'not ok - %s\n' "$*"
}

skip() {
	skipped=$((skipped + 1))
	printf 'skip - %s\n' "$*"
}

# background PROGRAM...: starts it; $child is its process (so no function: that would be a shell around it). It ends with
# the test, also when the test is killed.
background() {
	setpriv --pdeathsig KILL -- "$@" &
	child=$!
	children+=("$child")
}

# run_and_keep COMMAND...: runs it; $output is all that it printed, $status its exit status
run_and_keep() {
	output=$("$@" 2>&1)
	status=$?
}

# show_output: behind a check that failed
show_output() {
	printf '%s\n' "$output" | sed 's/^/# /'
}

# expect_exit CODE TEXT COMMAND...
expect_exit() {
	local code=$1 text=$2

	shift 2
	run_and_keep "$@"
	if [ "$status" -eq "$code" ]; then
		ok "$text"
	else
		not_ok "$text (exit status $status instead of $code)"
		show_output
	fi
}

# expect_output PATTERN TEXT COMMAND...: what it prints has to match the extended regular expression
expect_output() {
	local pattern=$1 text=$2

	shift 2
	run_and_keep "$@"
	expect_kept "$pattern" "$text"
}

# expect_kept PATTERN TEXT: the same of what was run last
expect_kept() {
	if printf '%s\n' "$output" | grep -Eq -- "$1"; then
		ok "$2"
	else
		not_ok "$2 (no match for: $1)"
		show_output
	fi
}

# wait_until SECONDS COMMAND...: until it succeeds
wait_until() {
	local end=$((SECONDS + $1))

	shift
	until "$@" >/dev/null 2>&1; do
		[ "$SECONDS" -lt "$end" ] || return 1
		sleep 0.05
	done
}

# number NAME: of the summary, or of `verdict stats`, in $output
number() {
	printf '%s\n' "$output" | sed -n "s/^  $1  *\([0-9][0-9]*\).*/\1/p" | head -n 1
}

# expect_number NAME NUMBER TEXT
expect_number() {
	local seen

	seen=$(number "$1")
	if [ "${seen:-none}" = "$2" ]; then
		ok "$3"
	else
		not_ok "$3 ($1: ${seen:-none} instead of $2)"
		show_output
	fi
}

# expect_equal WANTED SEEN TEXT
expect_equal() {
	if [ "$1" = "$2" ]; then ok "$3"; else not_ok "$3 (wanted $1, not $2)"; fi
}

# counted CHAIN COMMENT: packets that its rules with a comment like this have seen
counted() {
	iptables-legacy -w -nvxL "$1" | awk -v comment="$2" '$0 ~ comment { sum += $1 } END { print sum + 0 }'
}

# differs LINK LINK: as those of two namespaces in /proc
differs() {
	[ "$(readlink "$1")" != "$(readlink "$2")" ]
}

# is_gone PID
is_gone() {
	! kill -0 "$1" 2>/dev/null
}

# await SECONDS PROCESS: the end of a child; $status. One that takes longer is killed, as $status shows then
await() {
	wait_until "$1" is_gone "$2" || kill -KILL "$2"
	wait "$2" 2>/dev/null
	status=$?
}

# stand_still PROCESS: it is stopped, with each of its threads, which takes a moment
stand_still() {
	kill -STOP "$1"
	wait_until 20 has_stopped "$1" || not_ok "process $1 stands still"
}

has_stopped() {
	! cut -d ' ' -f 3 "/proc/$1/task"/*/stat | grep -qv T
}

# has_lines COUNT: so many lines, at least, in $scratch/out
has_lines() {
	[ "$(wc -l <"$scratch/out")" -ge "$1" ]
}

# finish: the last line; ends the test
finish() {
	printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
	[ "$failed" -eq 0 ]
	exit
}

# expect_sentence COMMAND CODE PATTERN TEXT OPTION...: `verdict COMMAND OPTION...` ends with this code, prints nothing to standard
# output, and to standard error one sentence that matches, with code 2 maybe also the line that says where help is
expect_sentence() {
	local command=$1 code=$2 pattern=$3 text=$4 lines

	shift 4
	timeout 20 "$verdict" "$command" "$@" >"$scratch/out" 2>"$scratch/err"
	status=$?
	output=$(cat "$scratch/out" "$scratch/err")
	lines=$(grep -Evc "^verdict: \`verdict $command --help\` shows what it takes$" "$scratch/err")
	if [ "$status" -ne "$code" ] || [ "$lines" -ne 1 ] || [ -s "$scratch/out" ] ||
		! grep -Eq -- "^verdict: .*$pattern" "$scratch/err"; then
		not_ok "$text (exit status $status, wanted $code and one sentence like: $pattern)"
		show_output
	else
		ok "$text"
	fi
}
