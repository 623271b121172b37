#!/bin/bash
# SPDX-License-Identifier: MIT
#
# verdict replay from end to end. Captures are written byte by byte here, and so is what has to come out.

set -u
cd "$(dirname "$0")/../.." || exit 1
. test/support/shell.sh

export VERDICT_FUNCTION_PATH=$build/functions

# ---- making captures ----

# save FILE HEX
save() {
	printf '%b' "$(printf '%s' "$2" | tr -dc 0-9a-f | sed 's/../\\x&/g')" >"$1"
}

# le32 NAME NUMBER: sets the variable to the number's bytes in hexadecimal, least significant first
le32() {
	printf -v "$1" '%02x%02x%02x%02x' $(($2 & 255)) $(($2 >> 8 & 255)) $(($2 >> 16 & 255)) $(($2 >> 24 & 255))
}

# file_header LINK-TYPE: of a pcap file; in $header
file_header() {
	local type

	le32 type "$1"
	header="d4c3b2a1 0200 0400 00000000 00000000 00000400 $type"
}

# frame LINK-HEADER NUMBER PORT: UDP from 10.0.0.NUMBER to PORT, payload "packet" and the number; with its record in $frame
frame() {
	local length time

	printf -v ip '4500002400000000401100000a%06x0a0000011000%04x001000007061636b6574%04x' "$2" "$3" "$2"
	le32 length $(((${#1} + ${#ip}) / 2))
	le32 time "$2"
	frame="00000065 $time $length $length $1 $ip"
}

ethernet=0200000000020200000000010800
arp=ffffffffffff02000000000108060001080006040001

# make_captures DIRECTORY LINK-TYPE LINK-HEADER COUNT: in.pcap, and of it every fifth packet, which goes to port 53, in
# dns.pcap, and the others in rest.pcap
make_captures() {
	local all='' dns='' rest='' i

	mkdir -p "$1"
	for ((i = 1; i <= $4; i++)); do
		frame "$3" "$i" $((i % 5 ? 123 : 53))
		all+=$frame
		if ((i % 5)); then rest+=$frame; else dns+=$frame; fi
	done
	file_header "$2"
	save "$1/in.pcap" "$header$all"
	save "$1/dns.pcap" "$header$dns"
	save "$1/rest.pcap" "$header$rest"
}

# expect_same TEXT FILE FILE
expect_same() {
	local text=$1

	shift
	run_and_keep cmp "$@"
	if [ "$status" -eq 0 ]; then
		ok "$text"
	else
		not_ok "$text"
		show_output
	fi
}

# expect_absent TEXT FILE
expect_absent() {
	if [ -e "$2" ]; then
		not_ok "$1"
	else
		ok "$1"
	fi
}

# expect_refused CODE PATTERN TEXT ARGUMENT...: fails with this code and exactly one line that matches
expect_refused() {
	local code=$1 pattern=$2 text=$3

	shift 3
	run_and_keep "$verdict" replay "$@" --stats none
	if [ "$status" -eq "$code" ] && [ "$(printf '%s\n' "$output" | wc -l)" -eq 1 ] &&
		printf '%s\n' "$output" | grep -Eq -- "^verdict: .*$pattern"; then
		ok "$text"
	else
		not_ok "$text (exit status $status, wanted $code and one line like: $pattern)"
		show_output
	fi
}

dns='match:udp port 53=drop'
c=$scratch/ethernet
make_captures "$c" 1 $ethernet 1500
cd "$scratch" || exit 1

# ---- what goes where ----

expect_exit 0 "a capture is replayed" "$verdict" replay "$c/in.pcap" --function accept -w out.pcap
expect_kept '^ +accepted +1500$' "and counted"
expect_kept '^function accept: 1500 packets, accept 1500$' "also for the function"
expect_kept ' packets/s$' "with the speed"
expect_same "and when all is accepted, comes out as it went in" "$c/in.pcap" out.pcap

expect_exit 0 "a filter is replayed" "$verdict" replay "$c/in.pcap" --function "$dns" -w out.pcap --dropped dropped.pcap
expect_kept '^ +dropped +300$' "the summary counts what it drops"
expect_kept '^ +matched +300$' "and so does the function's own counter"
expect_same "the dropped packets are those that it matches" "$c/dns.pcap" dropped.pcap
expect_same "the accepted packets are all the others" "$c/rest.pcap" out.pcap

expect_exit 0 "--default drop" "$verdict" replay "$c/in.pcap" --function 'match:udp port 53=accept' --default drop --write out.pcap \
	--dropped dropped.pcap
expect_same "accepts what a function accepts" "$c/dns.pcap" out.pcap
expect_same "and drops the others" "$c/rest.pcap" dropped.pcap

unprivileged=()
[ "$(id -u)" -ne 0 ] || unprivileged=(setpriv --bounding-set=-net_raw --inh-caps=-net_raw --)
expect_exit 0 "rejecting needs no privileges" ${unprivileged[@]+"${unprivileged[@]}"} "$verdict" replay "$c/in.pcap" \
	--function 'match:udp port 53=accept' --function reject -w out.pcap --dropped dropped.pcap
expect_kept '^ +of them rejected +1200$' "the summary counts them"
expect_kept '^ +dropped +1200$' "among the dropped ones"
expect_kept '^function reject: 1200 packets, reject 1200$' "the function has said so"
expect_same "they are written with the dropped packets" "$c/rest.pcap" dropped.pcap
expect_same "and not with the accepted ones" "$c/dns.pcap" out.pcap

"$verdict" replay - --function "$dns" -w - <"$c/in.pcap" >out.pcap 2>messages
expect_same "from standard input to standard output" "$c/rest.pcap" out.pcap
expect_output '^ +dropped +300$' "with the summary on standard error" cat messages
"$verdict" replay - --function "$dns" --dropped - --stats none <"$c/in.pcap" >out.pcap 2>messages
expect_same "dropped packets to standard output" "$c/dns.pcap" out.pcap
expect_same "--stats none says nothing" messages /dev/null

"$verdict" replay "$c/in.pcap" --function "$dns" --stats json >line 2>messages
expect_output '"verdicts":\{"accept":1200,"drop":300,' "--stats json counts verdicts" cat line
expect_kept '"counters":\{"matched":300\}' "and named counters"
expect_output '^1$' "in one line" grep -c '' line
expect_exit 0 "--copy-range cuts what functions see" "$verdict" replay "$c/in.pcap" --function "$dns" --copy-range 20 -w out.pcap
expect_same "so that no port is seen, and no packet cut" "$c/in.pcap" out.pcap

# ---- link types ----

try_link_type() {
	make_captures "$2" "$3" "$4" 10
	"$verdict" replay "$2/in.pcap" --function "$dns" -w "$2/out.pcap" --dropped "$2/dropped.pcap" >/dev/null
	expect_same "$1: accepted packets" "$2/rest.pcap" "$2/out.pcap"
	expect_same "$1: dropped packets" "$2/dns.pcap" "$2/dropped.pcap"
}

try_link_type "raw IP" raw 101 ""
try_link_type "raw IPv4" raw4 228 ""
try_link_type "VLAN" vlan 1 020000000002020000000001810000070800
try_link_type "two VLAN tags" qinq 1 02000000000202000000000188a80008810000070800
try_link_type "Linux cooked" cooked 113 00000001000602000000000100000800
try_link_type "Linux cooked v2" cooked2 276 0800000000000002000100060200000000010000
try_link_type "BSD loopback" loopback 0 02000000

# pcapng: a section header, an interface, and one enhanced packet block for each packet
frame "" 1 123
le32 size $((32 + ${#ip} / 2))
le32 length $((${#ip} / 2))
save in.pcapng "0a0d0d0a 1c000000 4d3c2b1a 0100 0000 ffffffffffffffff 1c000000
	01000000 14000000 6500 0000 00000400 14000000
	06000000 $size 00000000 00000000 01000000 $length $length $ip $size"
save expected "4d3cb2a1 0200 0400 00000000 00000000 00000400 65000000 00000000 e8030000 $length $length $ip"
expect_exit 0 "pcapng is read" "$verdict" replay in.pcapng --function accept -w out.pcap
expect_same "and comes out as pcap with nanoseconds" expected out.pcap

file_header 1
frame $ethernet 1 53
padded=${frame/ 32000000 32000000 / 3c000000 3c000000 }00000000000000000000
save padded.pcap "$header$padded"
expect_exit 0 "a padded frame is read" "$verdict" replay padded.pcap --function 'match:len > 36=drop' -w out.pcap
expect_same "functions do not see the padding, and it comes out" padded.pcap out.pcap

other="0000006500000000 16000000 16000000 $arp"
save other.pcap "$header$other$frame$other"
expect_exit 0 "other protocols are read" "$verdict" replay other.pcap --function drop -w out.pcap --dropped dropped.pcap
expect_kept "^verdict: 'other.pcap': 2 packets were not IP and passed undecided$" "they are counted"
save expected "$header$other$other"
expect_same "and pass" expected out.pcap
save expected "$header$frame"
expect_same "the functions decide on the others" expected dropped.pcap

save none.pcap "$header"
expect_exit 0 "a capture without packets is replayed" "$verdict" replay none.pcap --function drop -w out.pcap --dropped dropped.pcap
expect_same "into one without packets" none.pcap out.pcap
expect_same "or two" none.pcap dropped.pcap

# ---- stock functions that change packets ----

# a SYN from 10.0.0.1 to 10.0.0.17 that announces 1460
syn='4500002c00000000400600000a0000010a000011 10000050000000010000000060020400 00000000020405b4'
ip=$(tr -d ' ' <<<"$syn")
le32 length $((${#ethernet} / 2 + 44))
file_header 1
save syn.pcap "$header 0000006500000000 $length $length $ethernet $ip"

# expect_changed FUNCTION EXPRESSION CAPTURE PACKETS: behind this function, so many packets match
expect_changed() {
	expect_output "^ +accepted +$4\$" "$1 makes packets that match: $2" "$verdict" replay "$3" --function "$1" \
		--function "match:$2=accept" --default drop
}
expect_changed ttl:7 'ip[8] = 7' "$c/in.pcap" 1500
expect_changed ttl:+7 'ip[8] = 71' "$c/in.pcap" 1500
expect_changed ttl:-63 'ip[8] = 1' "$c/in.pcap" 1500
expect_changed ttl:-64 'ip' "$c/in.pcap" 0
expect_changed dscp:ef 'ip[1] = 0xb8' "$c/in.pcap" 1500
expect_changed replace:packet=PACKET 'udp[8:4] = 0x5041434b' "$c/in.pcap" 1500
expect_changed nat:192.0.2.0/24=10.0.0.0/24 'src net 192.0.2.0/24' "$c/in.pcap" 255
expect_changed nat:10.0.0.1:53=192.0.2.17:5353 'dst host 192.0.2.17 and udp port 5353' "$c/in.pcap" 300
expect_changed mss:1200 'tcp[22:2] = 1200' syn.pcap 1
expect_changed mss:1461 'tcp[22:2] = 1460' syn.pcap 1
expect_exit 0 "mss:pmtu asks this machine" "$verdict" replay syn.pcap --function mss:pmtu

for wrong in ttl:-256 dscp:64 mss: 'replace:a\n=bc' nat:10.0.0.0/24=192.0.2.1; do
	expect_refused 2 "function ${wrong%%:*}: .*; its arguments are: " "$wrong is refused" "$c/in.pcap" --function "$wrong"
done

# ---- functions of the tests: out of order, rewriting, stopped in the middle ----

slow=$build/test/functions/slow.so
rewrite=$build/test/functions/rewrite.so
if [ -e "$slow" ] && [ -e "$rewrite" ]; then
	for workers in 2 4 16; do
		rm -f out.pcap dropped.pcap
		expect_exit 0 "$workers workers" "$verdict" replay "$c/in.pcap" --function "$slow:50" --function "$dns" -w out.pcap \
			--dropped dropped.pcap --workers $workers
		expect_same "accept the same packets in the same order" "$c/rest.pcap" out.pcap
		expect_same "and drop the same in the same order" "$c/dns.pcap" dropped.pcap
	done

	replay_rewriting() {
		local out=$1 options=() way

		shift
		for way in "$@"; do options+=(--function "$rewrite:$way"); done
		"$verdict" replay "$c/in.pcap" "${options[@]}" -w "$out" --workers 2 >summary
	}
	replay_rewriting twice.pcap same same
	replay_rewriting longer.pcap longer
	replay_rewriting shorter.pcap longer shorter shorter shorter shorter
	expect_output '^ +rewritten +1500$' "rewritten packets are counted" cat summary
	expect_same "16 bytes more and four times 4 bytes less are the old packets" twice.pcap shorter.pcap
	expect_output "^$(($(stat -c %s "$c/in.pcap") + 1500 * 16))\$" "and longer ones are longer" stat -c %s longer.pcap
	expect_output '^PACKET' "a rewritten payload comes out" sh -c "$verdict replay $c/in.pcap --function $rewrite:same -w - \
		--stats none | tail -c 8"

	background "$verdict" replay "$c/in.pcap" --function "$slow:10000,sleep" -w part.pcap --stats none 2>/dev/null
	wait_until 10 test -e part.pcap && sleep 1
	kill -INT "$child"
	wait "$child"
	status=$?
	size=$(stat -c %s part.pcap)
	if [ "$status" -eq 1 ] && [ "$size" -lt "$(stat -c %s "$c/in.pcap")" ] && [ $(((size - 24) % 66)) -eq 0 ] &&
		cmp -s -n "$size" part.pcap "$c/in.pcap"; then
		ok "a signal ends it with whole files"
	else
		not_ok "a signal ends it with whole files (exit status $status, $size bytes)"
	fi
else
	skip "order with slow functions, rewriting, signals: needs $build/test/functions (make test-programs)"
fi

# ---- checksums ----

# record HEX [LENGTH]: a raw IP packet's record, of LENGTH bytes if only a part was captured; in $record
record() {
	local captured length

	le32 captured $((${#1} / 2))
	le32 length "${2:-$((${#1} / 2))}"
	record="00000065 00000000 $captured $length $1"
}

ip6='fd000000000000000000000000000001 fd000000000000000000000000000002'
tcp6="6000000000170640 $ip6 000100500000000000000000 50022000c2250000 6f64"
right_sums=(
	'45000022000100004011 66c8 0a0000010a000002 00010035000e 9da6 726967687421'
	'45000022000100004011 66c8 0a0000010a000002 00010035000e 0000 726967687421' # UDP without one
	"${tcp6}64"
	"450000e4000100004011 6606 0a0000010a000002 0001003500d0 ea15 $(printf '%0400d' 0)" # longer than what functions need
)
wrong_sums=(
	'45000022000100004011 77c8 0a0000010a000002 00010035000e 9da6 726967687421' # the header's
	'45000022000100004011 66c8 0a0000010a000002 00010035000e 8ca6 726967687421'
	"${tcp6}65"
	"6000000000091140 $ip6 000100350009 0000 78" # over IPv6, there has to be one
)
fragment='45000024000120004011 46c6 0a0000010a000002 000100350010 1ac1 3132333435363738'
malformed='45000022000100004011 66c8 0a0000010a000002 0001003500c8 9da6 726967687421'
cut='45000022000100004011 66c8 0a0000010a000002 0001'
file_header 101
all=$header
for packet in "${right_sums[@]}" "${wrong_sums[@]}" "$fragment" "$malformed"; do
	record "$(printf '%s' "$packet" | tr -dc 0-9a-f)"
	all+=$record
done
record "$(printf '%s' "$cut" | tr -dc 0-9a-f)" 34
save sums.pcap "$all $record"

# expect_sums CHECKED BEFORE AFTER UNKNOWN TEXT ARGUMENT...: what --verify counts
expect_sums() {
	local text=$5 numbers

	printf -v numbers '"checksums_%s":%u,' checked "$1" wrong_before "$2" unknown "$4" wrong_after "$3"

	shift 5
	expect_output "${numbers%,}\}" "$text" "$verdict" replay sums.pcap --verify --stats json "$@"
}

expect_exit 0 "--verify finds wrong checksums, which are no error" "$verdict" replay sums.pcap --verify -w out.pcap
expect_kept '^  checksums checked +8$' "of those that can be told"
expect_kept '^  wrong before +4$' "it counts the wrong ones"
expect_kept '^  wrong after +4$' "which nobody made right"
expect_kept '^  cannot be told +2$' "and those that cannot be told: a fragment, and one that was cut"
expect_kept '^  malformed +1$' "a malformed packet is neither"
expect_same "and comes out as it went in" sums.pcap out.pcap
expect_sums 8 4 4 2 "JSON has the same numbers"
expect_sums 8 4 4 2 "several workers count the same" --workers 4
expect_sums 8 4 3 2 "a dropped packet is not wrong after" --function 'match:tcp=drop'
expect_sums 8 4 4 2 "what the functions need does not matter" --function 'match:udp port 99=drop'
expect_sums 8 4 0 2 "all dropped: none is left" --default drop
run_and_keep "$verdict" replay sums.pcap
if [[ $output == *'wrong before'* || $output == *checksums* ]]; then
	not_ok "without --verify nothing is said of checksums"
	show_output
else
	ok "without --verify nothing is said of checksums"
fi
run_and_keep "$verdict" replay sums.pcap --stats json
if [[ $output == *checksums* ]]; then
	not_ok "nor in JSON"
	show_output
else
	ok "nor in JSON"
fi
if [ -e "$rewrite" ]; then
	expect_sums 8 4 2 2 "a packet that is replaced has right ones" --function "$rewrite:same"
	expect_sums 8 4 2 2 "in another length, too" --function "$rewrite:longer"
	expect_sums 8 4 2 2 "what could not be edited and goes on is as before" --function "$rewrite:same" --on-fault accept
else
	skip "--verify with functions that rewrite: needs $build/test/functions (make test-programs)"
fi
expect_exit 2 "--verify with --copy-range is wrong usage" "$verdict" replay sums.pcap --verify --copy-range 100
expect_kept '^verdict: --verify needs whole packets: leave out --copy-range$' "and says why"

# ---- without privileges ----

if [ "$(id -u)" -ne 0 ]; then
	ok "all of this was done without privileges"
elif mkdir nobody && cp "$verdict" "$build/functions/match.so" "$c/in.pcap" nobody && chmod -R a+rX . && chown 65534 nobody; then
	expect_exit 0 "a user without privileges replays" env VERDICT_FUNCTION_PATH="$scratch/nobody" setpriv --reuid=65534 \
		--regid=65534 --clear-groups --bounding-set=-all --inh-caps=-all -- nobody/verdict replay nobody/in.pcap \
		--function "$dns" -w nobody/out.pcap
	expect_same "and gets the same" "$c/rest.pcap" nobody/out.pcap
	expect_exit 1 "but writes only where such a user may" env VERDICT_FUNCTION_PATH="$scratch/nobody" setpriv --reuid=65534 \
		--regid=65534 --clear-groups --bounding-set=-all --inh-caps=-all -- nobody/verdict replay nobody/in.pcap \
		--function "$dns" -w forbidden.pcap
	expect_kept "^verdict: cannot write 'forbidden.pcap' \(Permission denied\)" "and says why"
fi

# ---- bad input ----

expect_exit 0 "--help is an answer" "$verdict" replay --help
expect_kept '^examples$' "--help has examples"
expect_exit 2 "no capture is wrong usage" "$verdict" replay
expect_exit 2 "two captures are wrong usage" "$verdict" replay "$c/in.pcap" "$c/in.pcap"
expect_exit 2 "an unknown option is wrong usage" "$verdict" replay "$c/in.pcap" --no-such-option
for wrong in '--workers 0' '--workers many' '--default maybe' '--on-fault maybe' '--copy-range 65532' '--stats xml'; do
	# shellcheck disable=SC2086 # two words
	expect_exit 2 "$wrong is wrong usage" "$verdict" replay "$c/in.pcap" $wrong
done

size=$(stat -c %s "$c/in.pcap")
head -c $((size - 1)) "$c/in.pcap" >cut.pcap
frame $ethernet 1499 123
head -c $((size - 66)) "$c/in.pcap" >expected
expect_refused 1 "'cut.pcap' is cut short behind packet 1499: .*record or copy it again" "a capture that is cut short is told" \
	cut.pcap --function accept -w out.pcap --workers 4
expect_same "and all before the cut is decided and written" expected out.pcap
expect_output '^ +accepted +1499$' "and counted" "$verdict" replay cut.pcap --function accept
head -c 10 "$c/in.pcap" >header.pcap
expect_refused 1 "'header.pcap' ends within its header" "a capture that is cut within its header is told" header.pcap

expect_refused 1 "cannot read 'none.such' \(No such file" "a capture that is not there" none.such
expect_refused 1 "'/' is a directory" "a directory" /
: >empty
expect_refused 1 "'empty' is empty: give a pcap or pcapng file" "an empty file" empty
echo 'this is no capture, it is a sentence' >text
expect_refused 1 "'text' is not a capture .*: give a pcap or pcapng file" "a file that is no capture" text
gzip -c "$c/in.pcap" >in.pcap.gz
expect_refused 1 "'in.pcap.gz' is compressed: unpack it with gzip" "a compressed capture" in.pcap.gz
file_header 127
save radio.pcap "$header"
expect_refused 1 "link type 127 .*cannot be replayed: record Ethernet" "a capture of another link type" radio.pcap

echo keep >keep.pcap
cp keep.pcap kept
expect_refused 1 "no-such-function" "a function that is not there" "$c/in.pcap" --function no-such-function -w keep.pcap --dropped new.pcap
expect_refused 2 "udp prt 53" "a function with wrong arguments" "$c/in.pcap" --function 'match:udp prt 53=drop' -w keep.pcap \
	--dropped new.pcap
expect_refused 1 "cannot write 'none/such.pcap'" "a directory that is not there" "$c/in.pcap" -w keep.pcap --dropped none/such.pcap
expect_same "leaves other files alone" kept keep.pcap
expect_absent "and makes none" new.pcap

cp "$c/in.pcap" same.pcap
expect_refused 2 "'same.pcap' is the capture that is read" "writing over the capture" same.pcap -w same.pcap
expect_refused 2 "'./same.pcap' is the capture that is read" "by another name" same.pcap --dropped ./same.pcap
expect_same "is refused, and the capture whole" "$c/in.pcap" same.pcap
expect_refused 2 "would both go to 'new.pcap'" "accepted and dropped into one file" same.pcap -w new.pcap --dropped new.pcap
expect_absent "is refused, and no file made" new.pcap

expect_refused 1 "cannot write '/dev/full' \(No space left" "a full disk" "$c/in.pcap" -w /dev/full
expect_refused 1 "cannot write '/dev/full' \(No space left" "a full disk for dropped packets" "$c/in.pcap" --function drop \
	--dropped /dev/full --workers 3
# shellcheck disable=SC2016 # for the inner shell
expect_exit 1 "a full disk for the summary" bash -c '"$1" replay "$2" >/dev/full' bash "$verdict" "$c/in.pcap"
expect_kept '^verdict: the summary could not be written' "is told"

finish
