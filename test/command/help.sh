#!/bin/bash
# SPDX-License-Identifier: MIT
#
# What the program says about itself: the options that it reads, those in --help and those in the manual pages are the same;
# asked for, help is an answer on standard output; wrong usage ends with 2 and a sentence on standard error.

set -u
cd "$(dirname "$0")/../.." || exit 1
. test/support/shell.sh

man=tools/man

# the file that reads a command's options
source_of() {
	case $1 in
	check) echo tools/config/check.c ;;
	reload | stats) echo "tools/control/$1.c" ;;
	*) if [ -d "tools/$1" ]; then echo "tools/$1/$1.c"; else echo "tools/$1.c"; fi ;;
	esac
}

# Each line an option, and "value" if one has to follow: --queue value
options_of_program() {
	sed -n -e 's/.*{"\([a-z-]*\)", required_argument,.*/--\1 value/p' -e 's/.*{"\([a-z-]*\)", no_argument,.*/--\1/p' \
		-e 's/.*{"\([a-z-]*\)", optional_argument,.*/--\1/p' \
		"$(source_of "$1")" | sort
}

options_of_help() {
	"$verdict" "$1" --help | sed -n -e 's/^  \(-., \)\{0,1\}\(--[a-z-]*\) [^ [].*/\2 value/p' \
		-e 's/^  \(--[a-z-]*\)\(  .*\| \[.*\)\{0,1\}$/\1/p' | sort
}

# the options that a page explains, as items of a list
options_of_page() {
	sed -n -e 's/^\.It \(Fl . Ar [a-z]* , \)\{0,1\}Fl -\([a-z-]*\) Ar .*/--\2 value/p' -e 's/^\.It Fl -\([a-z-]*\)\( Op Ar [a-z]*\)\{0,1\}$/--\1/p' \
		"$man/verdict-$1.1" | sort
}

# a short option stands for its long one
options_of_synopsis() {
	local line

	sed -n -e '/^\.Sh SYNOPSIS/,/^\.Sh DESCRIPTION/s/^\.\(Op \)\{0,1\}Fl \([a-z-]*\).*/-\2/p' "$man/verdict-$1.1" | sort -u |
		while read -r line; do
			case $line in
			--*) printf '%s\n' "$line" ;;
			*) sed -n "s/.*{\"\([a-z-]*\)\", .*, NULL, '${line#-}'},.*/--\1/p" "$(source_of "$1")" ;;
			esac
		done | sort
}

# expect_same_lines TEXT WANTED SEEN
expect_same_lines() {
	if [ "$2" = "$3" ]; then
		ok "$1"
	else
		not_ok "$1 (< wanted, > seen)"
		diff <(printf '%s\n' "$2") <(printf '%s\n' "$3") | sed -n 's/^[<>]/# &/p'
	fi
}

# expect_answer PATTERN TEXT ARGUMENT...: exit 0, all of it on standard output
expect_answer() {
	local pattern=$1 text=$2

	shift 2
	output=$("$verdict" "$@" 2>"$scratch/errors")
	status=$?
	if [ "$status" -eq 0 ] && [ ! -s "$scratch/errors" ] && printf '%s\n' "$output" | grep -Eq -- "$pattern"; then
		ok "$text"
	else
		not_ok "$text (exit status $status, no match for: $pattern, or something on standard error)"
		show_output
	fi
}

# expect_wrong_usage PATTERN TEXT ARGUMENT...: exit 2, all of it on standard error
expect_wrong_usage() {
	local pattern=$1 text=$2

	shift 2
	output=$("$verdict" "$@" 2>&1 >"$scratch/output")
	status=$?
	if [ "$status" -eq 2 ] && [ ! -s "$scratch/output" ] && printf '%s\n' "$output" | grep -Eq -- "$pattern"; then
		ok "$text"
	else
		not_ok "$text (exit status $status, no match for: $pattern, or something on standard output)"
		show_output
	fi
}

# ---- the program itself ----

version=$(sed -n 's/^VERSION := //p' Makefile)
expect_answer "^verdict ${version//./\\.}\$" "--version" --version
expect_answer "^verdict ${version//./\\.}\$" "version" version
for help in --help -h help; do
	expect_answer '^usage: verdict COMMAND' "$help" "$help"
done
expect_wrong_usage '^usage: verdict COMMAND' "no command is wrong usage, and shows the commands"
expect_wrong_usage "^verdict: there is no command 'no-such-command'" "so is a command that is none" no-such-command
expect_wrong_usage "^verdict: there is no command '--no-such-option'" "and an option that is none" --no-such-option

for option in help version; do
	expect_output "^\\.It Fl -$option\$" "--$option is in the manual page" cat "$man/verdict.1"
done

# ---- the commands ----

commands=$("$verdict" --help | sed -n 's/^  \([a-z]\{1,\}\)  *[a-z].*/\1/p' | grep -vx 'verdict\|iptables')
# shellcheck disable=SC2086 # words
expect_same_lines "the commands are those of tools/verdict.c" \
	"$(sed -n 's/^\t{"\([a-z]*\)", verdict_.*/\1/p' tools/verdict.c)" "$(printf '%s\n' $commands)"

for command in $commands; do
	expect_answer '^usage: verdict '"$command" "$command --help" "$command" --help
	for part in '^[Ee]xamples' '^[Ee]xit status: 0 '; do
		expect_kept "$part" "$command --help has: $part"
	done
	run_and_keep awk 'length > 120' <("$verdict" "$command" --help)
	if [ -z "$output" ]; then ok "$command --help fits 120 columns"; else
		not_ok "$command --help fits 120 columns"
		show_output
	fi
	expect_wrong_usage "verdict $command --help" "$command: an option that is none" "$command" --no-such-option
	expect_output "^\\.It Cm $command\$" "$command is in verdict(1)" cat "$man/verdict.1"

	program=$(options_of_program "$command")
	expect_same_lines "$command: --help explains what the program reads" "$program" "$(options_of_help "$command")"
	if [ ! -e "$man/verdict-$command.1" ]; then
		not_ok "$command: $man/verdict-$command.1 is missing"
		continue
	fi
	expect_same_lines "$command: so does the manual page" "$program" "$(options_of_page "$command")"
	expect_same_lines "$command: and its synopsis names them" "${program// value/}" "$(options_of_synopsis "$command")"
	while read -r option value; do
		if [ "$value" ]; then
			expect_wrong_usage "verdict $command --help" "$command $option: without a value" "$command" "$option"
		fi
	done <<<"$program"
done

# ---- the manual pages ----

pages=("$man"/*.[1-9])
for page in $({
	sed -n 's/^\.Xr \(verdict[a-z-]*\|libverdict\|\(lib\)\{0,1\}ipq[a-z_-]*\) \([0-9]\).*/\1.\3/p' "${pages[@]}"
	{
		for command in $commands; do "$verdict" "$command" --help; done
		tools/ipq-compat --help
		cat lib/include/verdict/*.h lib/include/libipq.h README.md
	} | grep -Eo '(lib)?(verdict|ipq)[a-z_-]*\([1-9]\)' | tr '(' . | tr -d ')'
} | sort -u); do
	# several calls share a page; the others' names lead to it
	target=$(grep -Eo "\\b${page//./\\.}:[a-z_]+\\.3" Makefile)
	expect_exit 0 "a page that others point to: $page" test -f "$man/${target#*:}" -o -f "$man/$page"
done

if command -v mandoc >/dev/null; then
	for page in "${pages[@]}"; do
		expect_exit 0 "mandoc has nothing to object to ${page##*/}" mandoc -T lint -W error "$page"
	done
else
	skip "the form of the manual pages: needs mandoc"
fi

# the program in libverdict(3), as a reader would copy it
sed -n '/^#include <inttypes.h>/,/^\.Ed/{/^\.Ed/d;s/\\e/\\/g;p}' "$man/libverdict.3" >"$scratch/program.c"
if command -v "${CC:-cc}" >/dev/null; then
	expect_exit 0 "the example in libverdict(3) compiles" "${CC:-cc}" -std=gnu11 -Wall -Wextra -Werror -Ilib/include -fsyntax-only \
		"$scratch/program.c"
	expect_output 'vd_engine_run\(' "and is the whole of it" cat "$scratch/program.c"
else
	skip "the example in libverdict(3): needs a compiler"
fi

finish
