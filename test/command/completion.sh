#!/bin/bash
# SPDX-License-Identifier: MIT
#
# The completion for bash: asked here as bash asks it, and compared with what the program, the stock functions and the
# directories really have.

set -u
cd "$(dirname "$0")/../.." || exit 1
. test/support/shell.sh

top=$PWD
unset VERDICT_FUNCTION_PATH

# complete_words WORD...: $output is what bash would offer for the last word, sorted, in one line
complete_words() {
	COMP_WORDS=(verdict "$@")
	COMP_CWORD=$#
	COMPREPLY=()
	_verdict
	output=$(printf '%s\n' ${COMPREPLY[@]+"${COMPREPLY[@]}"} | sort | paste -sd ' ')
}

# expect_words WANTED TEXT WORD...: exactly these are offered
expect_words() {
	local wanted=$1 text=$2

	shift 2
	complete_words "$@"
	if [ "$output" = "$wanted" ]; then
		ok "$text"
	else
		not_ok "$text (wanted: $wanted)"
		show_output
	fi
}

# help_options COMMAND: the long options that its help explains, in one line
help_options() {
	"$verdict" "$1" --help | sed -n 's/^  \(-., \)\{0,1\}\(--[a-z-]*\).*/\2/p' | sort | paste -sd ' '
}

# options_with_value COMMAND, options_without_value COMMAND
options_with_value() {
	"$verdict" "$1" --help | sed -n 's/^  \(-., \)\{0,1\}\(--[a-z-]*\) [^ [].*/\2/p'
}

options_without_value() {
	"$verdict" "$1" --help | sed -n -e 's/^  \(--[a-z-]*\)$/\1/p' -e 's/^  \(--[a-z-]*\) [ [].*/\1/p'
}

# ---- loading it ----

expect_exit 0 "it can be loaded by a bash that has nothing else" \
	env -i PATH=/nowhere "$BASH" --norc --noprofile -u -c '. tools/completion/verdict'
# shellcheck disable=SC2016 # for the inner shell
expect_exit 0 "and adds names that begin with _verdict" "$BASH" --norc --noprofile -c '
	compgen -A function -v | sort >"$1/before"
	. tools/completion/verdict
	compgen -A function -v | sort >"$1/after"
	! comm -13 "$1/before" "$1/after" | grep -v -e "^_verdict" -e "^_$" -e "^BASH_" -e "^PIPESTATUS$"' bash "$scratch"

# shellcheck source=tools/completion/verdict
. tools/completion/verdict
expect_output ' -F _verdict verdict$' "it completes for verdict" complete -p verdict

# ---- commands and options ----

commands=$("$verdict" --help | sed -n 's/^  \([a-z]\{1,\}\)  *[a-z].*/\1/p' | grep -vx 'verdict\|iptables' | sort)
expect_words "$(printf '%s\n' --help --version "$commands" | sort | paste -sd ' ')" "the commands are those of --help" ''
expect_words 'rules run' "a command's beginning" ru
expect_words '' "nothing for a command that is none" no-such-command --

for command in $commands; do
	expect_words "$(help_options "$command")" "$command: the options are those of --help" "$command" --
	for option in $(options_without_value "$command"); do
		expect_words "$(help_options "$command")" "$command $option: other options may follow" "$command" "$option" --
	done
	for option in $(options_with_value "$command"); do
		complete_words "$command" "$option" --
		if [ -z "$output" ]; then ok "$command $option: a value has to follow"; else
			not_ok "$command $option: a value has to follow"
			show_output
		fi
	done
done
expect_words "$(help_options run)" "run: options without their beginning" run ''
expect_words '--batch --batch-delay' "an option's beginning" run --queue 0 --ba

# ---- daemons ----

mkdir "$scratch/run"
touch "$scratch/run/default.sock" "$scratch/run/second.sock" "$scratch/run/else"
_verdict_control_directory=$scratch/run
for command in stats top dump; do
	expect_words 'default second' "$command: names of daemons" "$command" ''
	expect_words 'second' "$command: a name's beginning" "$command" se
	expect_words "$scratch/run/default.sock $scratch/run/second.sock" "$command: or paths" "$command" "$scratch/run/"
done
unset _verdict_control_directory

# ---- values ----

for command in run replay; do
	for option in --default --on-fault; do
		expect_words 'accept drop' "$command $option" "$command" "$option" ''
		expect_words 'accept drop' "$command $option=" "$command" "$option" '='
		expect_words 'drop' "$command $option=d" "$command" "$option" '=' d
	done
	expect_words 'json none text' "$command --stats" "$command" --stats ''
	expect_words 'json' "$command --stats j" "$command" --stats j
done
expect_words 'json text' "run --log" run --log ''
expect_words 'journal' "run --log-to" run --log-to j
expect_words '' "numbers are nobody's to guess" run --workers ''
expect_words '' "nor ranges" run --queue '=' 0

# ---- functions ----

# a stock function that needs arguments says so in .usage; what is in brackets as a whole may be left out
stock=$(for file in lib/functions/*.c; do
	name=$(basename "$file" .c)
	if grep '\.usage = "' "$file" | grep -qv '\.usage = "\[[^"]*\]"'; then printf '%s:\n' "$name"; else printf '%s\n' "$name"; fi
done | sort | paste -sd ' ')

mkdir "$scratch/empty" "$scratch/files" "$scratch/files/deeper" "$scratch/own"
cd "$scratch/empty" || exit 1
expect_words "$stock" "--function: the stock functions" run --function ''
expect_words "$stock" "replay --function: the same" replay in.pcap --function ''
expect_words 'mark: match:' "a function's beginning" run --function ma
expect_words '' "a colon: the arguments are the function's" run --function mark :
expect_words '' "and behind it" run --function mark : 0x
expect_words '' "also with = in them" run --function first : 8,mark '='
expect_words '--workers' "an option behind a function with arguments" run --function mark : 0x1 --wo
expect_words '--workers' "or behind a colon and a space" run --function mark : --wo

cd "$scratch/files" || exit 1
touch mine.so other.so 'with space.so' mine.c in.pcap in.pcapng in.pcap.gz
expect_words 'mine.so' "a file's beginning" run --function mi
expect_words './deeper ./mine.so ./other.so ./with space.so' "files that end in .so, and directories" run --function ./
expect_words "accept deeper drop dscp: first: mark: match: mine.so mss: nat: other.so reject replace: requeue: ttl: with space.so" "names and files" run --function ''
touch "$scratch/own/strict.so" "$scratch/own/mark.so"
VERDICT_FUNCTION_PATH=/no/such/directory:$scratch/own
expect_words 'strict' "functions in VERDICT_FUNCTION_PATH" run --function st
expect_words 'mark: match:' "stock functions in it come once" run --function ma
# shellcheck disable=SC2016 # nothing shall be expanded
touch "$scratch/own/"'strange$(touch executed).so'
complete_words run --function strange
expect_kept 'executed' "strange names are offered as they are"
expect_exit 1 "and not executed" test -e executed
unset VERDICT_FUNCTION_PATH

# ---- captures ----

expect_words 'deeper in.pcap in.pcapng' "replay: captures, and directories" replay ''
expect_words 'in.pcap in.pcapng' "a capture's beginning" replay in
expect_words "$(cd "$top" && help_options replay)" "behind the capture, too, an option can begin" replay in.pcap --
for option in -w --write --dropped; do
	expect_words 'in.pcap in.pcapng' "replay $option" replay in.pcap "$option" in
done
expect_words 'deeper in.pcap in.pcapng' "replay --write=" replay --write '='

# ---- dump ----

expect_words 'in.pcap in.pcapng' "dump -w" dump -w in
expect_words '--rejected' "dump --dropped takes no value" dump --dropped --rej
expect_words 'mark match' "dump --function: names alone" dump --function ma
expect_words '' "dump --sample: a number" dump --sample ''

# ---- bench ----

touch old.json old.html
expect_words 'none none,yardstick' "bench --compare" bench --compare no
expect_words 'deeper old.html' "bench --report: pages" bench --report ''
expect_words 'deeper old.json' "bench --json: files" bench --json ''
expect_words 'old.json' "bench --json=" bench --json '=' o
expect_words '' "bench --rate: numbers" bench --rate ''

# ---- rules ----

expect_words 'forward input output postrouting prerouting' "rules --hook" rules --hook ''
expect_words 'input,forward' "rules --hook: another one behind a comma" rules --hook input,f
expect_words 'output' "rules --hook=" rules --hook '=' o
expect_words 'both ipv4 ipv6' "rules --family" rules --family ''
expect_words 'iptables-legacy iptables-nft' "rules --backend" rules --backend ip
expect_words 'udp udplite' "rules --protocol" rules --protocol ud
expect_words 'lo' "rules --in: interfaces" rules --in lo
expect_words 'lo' "rules --out: interfaces" rules --out lo
expect_words '' "rules --match: a text" rules --match ''

# ---- network namespaces, as a program says that is called ip ----

mkdir "$scratch/bin"
cat >"$scratch/bin/ip" <<'END'
#!/bin/sh
[ "$*" = 'netns list' ] && printf '%s\n' 'blue (id: 0)' 'green' '$(touch executed)'
END
chmod +x "$scratch/bin/ip"
PATH=$scratch/bin:$PATH
for command in run rules doctor; do
	expect_words 'blue' "$command --netns" "$command" --netns b
	expect_words 'green' "$command --netns=" "$command" --netns '=' g
done
# shellcheck disable=SC2016 # nothing shall be expanded
expect_words '$(touch blue green' "all of them" run --netns ''
expect_exit 1 "a strange one is not executed" test -e executed
expect_words '/proc/self/ns/net' "or a path" run --netns /proc/self/ns/net

finish
