#!/bin/bash
# SPDX-License-Identifier: MIT
#
# verdict dump, on real packets through a real queue: what it shows is what was dropped and what arrived, to the packet; and what
# becomes of it, and of the daemon, when something goes wrong: a full disk, a reader that goes or does not read, a reload, the end.

# shellcheck disable=SC2016,SC2317 # programs of other shells in quotes; functions that wait_until and expect_exit call

set -u
cd "$(dirname "$0")/../.." || exit 1
. test/support/namespace.sh
. test/support/shell.sh
. test/support/daemon.sh

send=$PWD/build/plain/bench/net/send
[ -x "$build/bench/net/send" ] && send=$build/bench/net/send
export VERDICT_FUNCTION_PATH=$build/functions:$build/test/functions
# its own system calls are refused to the leak sanitizer
export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0

# ---- what is wrong ----

expect_sentence dump 2 "'a b' is neither the name of a daemon" "no name" 'a b'
expect_sentence dump 2 "dump asks one daemon at a time, not 'b' as well" "two of them" a b
expect_sentence dump 2 "--queue takes a number from 0 to 65535, not '65536'" "no queue" --queue 65536
expect_sentence dump 2 "--sample takes a number from 1 to 1000000000, not '0'" "one in none" --sample 0
expect_sentence dump 2 "--snap takes a number from 1 to 65535, not '64k'" "too much of a packet" --snap 64k
expect_sentence dump 2 "--count takes a number from 1 to [0-9]*, not 'x'" "no count" -c x
expect_sentence dump 2 "--for takes a time from 1s to 1073741824s \(us, ms, s, min, h or d\), not '500ms'" "no time" --for 500ms
expect_sentence dump 2 "--function takes the name of a function" "no name of a function" --function $'\xff'
expect_sentence dump 1 "no daemon listens at $scratch/none" "nobody is there" "$scratch/none"
expect_sentence dump 1 "no daemon listens at $scratch/none" "and no file is made" "$scratch/none" -w "$scratch/made"
if [ ! -e "$scratch/made" ]; then ok "none at all"; else not_ok "none at all"; fi
if command -v script >/dev/null; then
	run_and_keep script -qec "'$verdict' dump" /dev/null
	expect_kept '^verdict: what dump writes is not for a terminal: give it a file \(-w FILE\) or a program' "a terminal is refused"
	expect_exit 0 "as wrong usage" test "$status" -eq 2
fi

if [ "$(id -u)" -ne 0 ]; then
	skip "everything on a real queue: needs root"
	finish
fi
if ! command -v python3 >/dev/null; then
	skip "everything else: needs python3"
	finish
fi
clean_up_disk() {
	umount "$scratch/full" 2>/dev/null
	clean_up
}
trap clean_up_disk EXIT
mount -t tmpfs tmpfs /run && ip link set lo up || exit 1

# 9000 to 9003 go through the queue, and a rule for each counts what arrives
iptables-legacy -w -A OUTPUT -p udp --dport 9000:9003 -m comment --comment asked -j NFQUEUE --queue-num 7
iptables-legacy -w -A OUTPUT -p udp --dport 9100 -m comment --comment asked -j NFQUEUE --queue-num 8
for port in 9000 9001 9002 9003 9100; do
	iptables-legacy -w -A INPUT -p udp --dport "$port" -m comment --comment "arrived-$port" -j DROP
done

# start OPTION...: a daemon; $engine
start() {
	start_daemon "$scratch/engine.out" "$scratch/engine.err" --control default --stats none "$@"
}

# ended PROCESS SIGNAL: $status
ended() {
	kill "-$2" "$1"
	await 20 "$1"
}

looks=0
is_looking() {
	[ "$(grep -c 'looks at packets' "$scratch/engine.err")" -ge "$looks" ]
}

# look FILE OPTION...: a dump into a file that shows packets from here on; $dump
look() {
	local file=$1

	shift
	looks=$(($(grep -c 'looks at packets' "$scratch/engine.err") + 1))
	background "$verdict" dump "$@" >"$file" 2>"$file.err"
	dump=$child
	wait_until 20 is_looking || not_ok "dump $*: the daemon does not know of it"
}

# traffic COUNT [PORT PORTS]: packets, and all of them are decided
traffic() {
	"$send" --to 127.0.0.1 --port "${2:-9000}" --ports "${3:-4}" --flows 4 --burst 1 --count "$1" --rate 4000 >"$scratch/sent" || exit 1
	wait_until 20 is_answered
}

is_answered() {
	[ "$("$verdict" stats --json | grep -Eo '"(waiting|in_flight)":[0-9]+' | awk -F: '{ sum += $2 } END { print sum }')" = 0 ]
}

# Each packet of a dump a line: bytes that are there, bytes that it has, port, comment; then "end": decided, missed, matched, shown.
cat >"$scratch/show.py" <<'END_OF_SHOW'
import struct, sys

data, at, last = open(sys.argv[1], 'rb').read(), 0, None
while at < len(data):
    kind, size = struct.unpack_from('<II', data, at)
    block = data[at:at + size]
    assert size % 4 == 0 and size >= 12 and len(block) == size and struct.unpack_from('<I', block, size - 4)[0] == size, (at, kind, size)
    begin = 28 + (struct.unpack_from('<I', block, 20)[0] + 3) // 4 * 4 if kind == 6 else 20
    options, place = {}, begin
    while kind in (5, 6):
        code, length = struct.unpack_from('<HH', block, place)
        if not code:
            break
        options[code] = block[place + 4:place + 4 + length]
        place += 4 + (length + 3) // 4 * 4
    if kind == 6:
        there, has = struct.unpack_from('<II', block, 20)
        port = struct.unpack_from('>H', block, 28 + 20 + 22)[0] if there >= 44 else 0
        print(there - 20, has - 20, port, options[1].decode())
    elif kind == 5:
        last = options
    at += size
if last:
    print('end' if 3 in last else 'so far', *[struct.unpack('<Q', last[code])[0] for code in (4, 5, 6, 8)])
END_OF_SHOW

# show FILE: into $output; fails if it is not in order
show() {
	run_and_keep python3 "$scratch/show.py" "$1"
	[ "$status" -eq 0 ]
}

# expect_shown FILE PATTERN COUNT TEXT: so many lines match
expect_shown() {
	local count

	show "$1" || not_ok "$4: the file is not in order"
	count=$(grep -Ec -- "$2" <<<"$output")
	if [ "$count" -eq "$3" ]; then ok "$4"; else
		not_ok "$4 ($count instead of $3: $2)"
		output=$(head -n 5 <<<"$output"; tail -n 2 <<<"$output")
		show_output
	fi
}

# taps_are_free TEXT: nobody who looked on has left something behind
taps_are_free() {
	local dumps=() i

	for i in 1 2 3 4; do
		look "$scratch/free.$i" --count 1
		dumps+=("$dump")
	done
	expect_sentence dump 1 "packets are shown to 4 already, which is the limit" "$1: there is room for four, and a fifth is told so" \
		-w "$scratch/fifth"
	for i in "${dumps[@]}"; do ended "$i" TERM; done
	if [ ! -e "$scratch/fifth" ]; then ok "$1: who is refused makes no file"; else not_ok "$1: who is refused makes no file"; fi
}

start --queue 7-8 --function 'match:udp port 9001=drop' --function fault:7 --function 'match:not udp port 9002=accept' \
	--function reject --user nobody --seccomp yes --workers 2 --copy-range 2000

# ---- all, and each kind ----

look "$scratch/all"
all=$dump
look "$scratch/accepted" --accepted --snap 30
accepted=$dump
look "$scratch/stopped" --dropped --rejected --queue 7
stopped=$dump
look "$scratch/faulted" --faulted --function fault -w "$scratch/faulted.pcapng"
faulted=$dump
traffic 4000
traffic 100 9100 1
for dump in "$all" "$accepted" "$stopped" "$faulted"; do
	ended "$dump" INT
	expect_exit 0 "an interrupt ends it well" test "$status" -eq 0
done
arrived=$(counted INPUT arrived-)
faults=$(((3000 + 100) / 7))
rejected=$((3100 - faults - arrived))
expect_exit 0 "the kernel counted $arrived that arrived" test "$arrived" -ge $((2100 - faults)) -a "$arrived" -le 2100
expect_shown "$scratch/all" '^[0-9]' 4100 "all are shown"
expect_shown "$scratch/all" ' accept by match \(queue [78]\)$' "$arrived" "those that arrived as accepted"
expect_shown "$scratch/all" ' 9001 drop by match \(queue 7\)$' 1000 "dropped ones with their function"
expect_shown "$scratch/all" ' 9002 reject by reject \(queue 7\)$' "$rejected" "and rejected ones"
expect_shown "$scratch/all" ' drop, by a fault of fault \(queue [78]\)$' "$faults" "and faults"
expect_shown "$scratch/all" '^end 4100 0 4100 4100$' 1 "the statistics at the end say so"
expect_output '^verdict: 4100 packets, 0 missed$' "and a line" cat "$scratch/all.err"
expect_shown "$scratch/accepted" '^[0-9]' "$arrived" "--accepted: as many as arrived"
expect_shown "$scratch/accepted" '^30 [0-9]+ 900[03] accept |^30 [0-9]+ 9100 accept ' "$arrived" "--snap: so much of each"
show "$scratch/faulted.pcapng"
expect_shown "$scratch/stopped" ' 900[0-3] (drop|reject)' $((1000 + rejected + $(grep -c 'queue 7' <<<"$output"))) \
	"--dropped --rejected --queue 7"
expect_shown "$scratch/stopped" 'queue 8' 0 "of no other queue"
expect_shown "$scratch/faulted.pcapng" ' by a fault of fault ' "$faults" "--faulted -w FILE"
expect_exit 0 "which is its user's alone" test "$(stat -c %a "$scratch/faulted.pcapng")" = 600
if command -v tcpdump >/dev/null; then
	for port in 9000 9001 9002 9003; do
		run_and_keep sh -c "tcpdump -n -r '$scratch/all' 'udp port $port' 2>/dev/null | grep -c '> 127.0.0.1.$port: UDP'"
		expect_exit 0 "tcpdump reads $port" test "$output" -eq 1000
	done
else
	skip "what tcpdump reads: needs tcpdump"
fi

# ---- less of it ----

look "$scratch/some" --sample 10
some=$dump
look "$scratch/five" --count 5 --dropped
five=$dump
traffic 4000
wait "$five"
expect_exit 0 "--count ends by itself" test $? -eq 0
expect_shown "$scratch/five" ' drop' 5 "with so many"
expect_output '^verdict: 5 packets, 0 missed$' "and says so" cat "$scratch/five.err"
ended "$some" TERM
show "$scratch/some"
count=$(grep -c '^[0-9]' <<<"$output")
if [ "$count" -ge 250 ] && [ "$count" -le 600 ]; then ok "--sample 10: $count of 4000"; else not_ok "--sample 10: $count of 4000"; fi
expect_kept "^end 4000 0 4000 $count\$" "and what it was taken from"
expect_exit 0 "--for 1" timeout 20 "$verdict" dump --for 1 -w "$scratch/second"
expect_shown "$scratch/second" '^end 0 0 0 0$' 1 "ends by itself, too"
expect_sentence dump 1 "there is no function 'nobody', only: match, fault, match, reject" "a function that is not there" --function nobody

# ---- pipes ----

if command -v tcpdump >/dev/null; then
	looks=$(($(grep -c 'looks at packets' "$scratch/engine.err") + 1))
	(
		"$verdict" dump --dropped 2>"$scratch/pipe.err" | timeout 60 tcpdump -l -n -c 3 -r - >"$scratch/pipe" 2>/dev/null
		echo "${PIPESTATUS[*]}" >"$scratch/pipe.status"
	) &
	pipe=$!
	wait_until 20 is_looking
	traffic 12
	has_lines() {
		[ "$(grep -c ' > 127.0.0.1.900[0-3]: UDP' "$scratch/pipe")" -eq 3 ]
	}
	expect_exit 0 "tcpdump shows packets while they come" wait_until 20 has_lines
	# nothing comes any more: it has to notice by itself
	expect_exit 0 "when tcpdump ends, it does" wait_until 20 test -s "$scratch/pipe.status"
	wait "$pipe"
	expect_output '^0 0$' "with 0" cat "$scratch/pipe.status"
	expect_exit 1 "and says nothing" test -s "$scratch/pipe.err"
fi

# a pipe that is not read: an interrupt ends it nevertheless
mkfifo "$scratch/fifo"
sleep 600 3<>"$scratch/fifo" &
children+=($!)
background "$verdict" dump -w "$scratch/fifo" 2>"$scratch/fifo.err"
stuck=$child
traffic 4000
ended "$stuck" INT
expect_exit 1 "a reader that does not read" test "$status" -eq 0
expect_output "^verdict: $scratch/fifo cannot be written any further: nobody reads it$" "is told of" cat "$scratch/fifo.err"

# ---- the disk is full ----

mkdir "$scratch/full" && mount -t tmpfs -o size=256k tmpfs "$scratch/full" || exit 1
looks=$(($(grep -c 'looks at packets' "$scratch/engine.err") + 1))
background "$verdict" dump -w "$scratch/full/file" 2>"$scratch/full.err"
dump=$child
wait_until 20 is_looking
before=$(counted INPUT arrived-)
traffic 4000
await 20 "$dump"
expect_exit 0 "a full disk ends it with 1" test "$status" -eq 1
expect_output "^verdict: $scratch/full/file cannot be written any further: No space left on device; what it has is in order$" "and a sentence" \
	cat "$scratch/full.err"
expect_exit 0 "one only" test "$(wc -l <"$scratch/full.err")" -eq 1
show "$scratch/full/file"
count=$(grep -c ' by ' <<<"$output")
expect_exit 0 "what it has is in order" test "$status" -eq 0
expect_exit 0 "and not little: $count packets" test "$count" -gt 500
after=$(counted INPUT arrived-)
expect_exit 0 "packets go on" test $((after - before)) -ge $((2000 - 3000 / 7 - 1))
umount "$scratch/full"
expect_exit 1 "/dev/full" "$verdict" dump --count 1 -w /dev/full
expect_kept '^verdict: /dev/full cannot be written any further: No space left on device$' "is full, too"
expect_sentence dump 1 "$scratch/none/file cannot be written: No such file or directory" "a file that cannot be made" -w "$scratch/none/file"
expect_sentence dump 1 "$scratch cannot be written: Is a directory" "a directory" -w "$scratch"

# ---- requests by others ----

run_and_keep timeout 120 python3 - <<'END_OF_CLIENT'
import json, socket, struct

def connect():
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(60)
    client.connect('/run/verdict/default.sock')
    return client

def line(client):
    text = b''
    while not text.endswith(b'\n'):
        byte = client.recv(1)
        assert byte
        text += byte
    return json.loads(text)

client = connect()
for wrong in [{'what': 'dropped'}, {'what': []}, {'what': ['x']}, {'what': [1]}, {'queue': -1}, {'queue': 65536}, {'queue': '7'},
              {'sample': 0}, {'sample': 1.5}, {'snap': 0}, {'snap': 65536}, {'count': 0}, {'count': True}, {'function': 7},
              {'function': 'none'}, {'function': 'x' * 60000}]:
    client.sendall(json.dumps({'command': 'dump', **wrong}).encode() + b'\n')
    reply = line(client)
    assert reply['ok'] is False and reply['error'] and len(reply['error']) < 500, (wrong, reply)

# one that gets lines has no place for it
client.sendall(b'{"command":"stats","every_ms":100}\n{"command":"dump"}\n')
while (reply := line(client))['ok']:
    pass
assert 'gets lines already' in reply['error'], reply
client.close()

# garbage behind it changes nothing; closing one direction is to ask for the end
client = connect()
client.sendall(b'{"command":"dump"}\n' + b'\0\xff{"command":"reload"}\n' * 1000)
assert line(client) == {'ok': True}
client.sendall(b'x' * 100000)
client.shutdown(socket.SHUT_WR)
data = b''
while part := client.recv(65536):
    data += part
assert data.startswith(struct.pack('<I', 0x0a0d0d0a)) and b'"ok"' not in data
client.close()
print('garbage is refused')
END_OF_CLIENT
expect_kept '^garbage is refused$' "requests that are wrong are refused, one by one"
expect_exit 0 "and nothing else is wrong" test "$status" -eq 0

cat >"$scratch/deaf.py" <<'END_OF_DEAF'
import os, socket, sys, time

client = socket.socket(socket.AF_UNIX)
client.connect('/run/verdict/default.sock')
client.sendall(b'{"command":"dump"}\n')
while not os.path.exists(sys.argv[1] + '.go'):
    time.sleep(0.05)
client.shutdown(socket.SHUT_WR)
data = b''
while part := client.recv(1 << 16):
    data += part
with open(sys.argv[1], 'wb') as file:
    file.write(data[data.index(b'\n') + 1:])
END_OF_DEAF
looks=$(($(grep -c 'looks at packets' "$scratch/engine.err") + 1))
background python3 "$scratch/deaf.py" "$scratch/deaf"
deaf=$child
wait_until 20 is_looking
resident() {
	awk '$1 == "VmRSS:" { print $2 }' "/proc/$engine/status"
}
traffic 1000
before=$(resident)
arrived=$(counted INPUT arrived-)
"$send" --to 127.0.0.1 --port 9000 --ports 1 --flows 4 --burst 1 --size 1400 --count 8000 --rate 4000 >"$scratch/sent"
wait_until 60 is_answered
after=$(resident)
asked=$("$verdict" stats --json | grep -Eo '"queue_dropped":[0-9]+,"socket_dropped":[0-9]+' | tr -dc '0-9\n' | sort -n | tail -n 1)
arrived=$(($(counted INPUT arrived-) - arrived))
if [ "${asked:-1}" -eq 0 ] && [ "$arrived" -ge $((8000 * 6 / 7)) ]; then ok "a client that does not read: no packet waits for it"; else
	not_ok "a client that does not read: no packet waits for it ($arrived arrived)"
fi
if [ $((after - before)) -lt 8192 ]; then ok "nor does memory grow"; else not_ok "nor does memory grow ($before kB, then $after kB)"; fi
: >"$scratch/deaf.go"
await 20 "$deaf"
show "$scratch/deaf"
read -r word decided missed matched shown < <(grep '^end' <<<"$output")
count=$(grep -c ' by ' <<<"$output")
if [ "$word" = end ] && [ "$decided" -eq 9000 ] && [ "$matched" -eq 9000 ] && [ "$missed" -gt 0 ] && [ $((missed + shown)) -eq 9000 ] &&
	[ "$shown" -eq "$count" ]; then ok "what it missed is counted: $missed of 9000"; else
	not_ok "what it missed is counted ($count shown; end $decided $missed $matched $shown)"
fi

# killed clients leave no tap, nor its 4 MB
before=$(resident)
for signal in KILL KILL KILL KILL KILL; do
	look "$scratch/killed" --sample 3
	ended "$dump" "$signal"
done
are_free() {
	look "$scratch/free" --count 1
	ended "$dump" TERM
	[ ! -s "$scratch/free.err" ] || ! grep -q limit "$scratch/free.err"
}
expect_exit 0 "who is killed leaves no place behind" wait_until 20 are_free
taps_are_free "in the end"
after=$(resident)
expect_exit 0 "nor any memory: $before kB, then $after kB" test $((after - before)) -lt 8192

# ---- the daemon ends ----

look "$scratch/last"
last=$dump
traffic 400
ended "$engine" TERM
expect_exit 0 "the daemon ends as ever" test "$status" -eq 0
await 20 "$last"
expect_exit 0 "and the dump with 1" test "$status" -eq 1
expect_output '^verdict: the daemon at /run/verdict/default.sock has come to its end$' "and a sentence" cat "$scratch/last.err"
expect_shown "$scratch/last" '^end 400 0 400 400$' 1 "its file has everything"
run_and_keep grep -Ei 'refused by|not allowed|system call' "$scratch/engine.err"
if [ -z "$output" ]; then ok "no system call was refused to it"; else not_ok "no system call was refused to it"; show_output; fi

cat >"$scratch/v.conf" <<'END_OF_CONFIG'
queue 7;
function "match:udp port 9001=drop";
END_OF_CONFIG
start --config "$scratch/v.conf"
look "$scratch/reloaded"
traffic 400
for function in drop accept dscp:ef 'match:udp port 9002=drop'; do
	printf 'queue 7;\nfunction "%s";\n' "$function" >"$scratch/v.conf"
	expect_exit 0 "a reload, to $function" "$verdict" reload
	traffic 400
done
ended "$dump" INT
expect_shown "$scratch/reloaded" ' by ' 2000 "reloads go unnoticed"
expect_shown "$scratch/reloaded" ' accept by default \(queue 7\), edited$' 400 "edits are seen"
if command -v tcpdump >/dev/null; then
	# sums that the device would have made are made here, when something is edited
	run_and_keep sh -c "tcpdump -n -vv -r '$scratch/reloaded' 2>/dev/null | grep -A 1 'tos 0xb8' | grep -c 'udp sum ok'"
	expect_exit 0 "as they go on, with their checksums: $output" test "$output" -eq 400
fi
expect_shown "$scratch/reloaded" ' 9001 drop by match ' 100 "the first function"
expect_shown "$scratch/reloaded" ' drop by drop ' 400 "the second"
expect_shown "$scratch/reloaded" ' accept by accept ' 400 "the third"
expect_shown "$scratch/reloaded" ' 9002 drop by match ' 100 "the fourth"
expect_shown "$scratch/reloaded" ' accept by default ' 1000 "and what none of them decided"
look "$scratch/killed"
traffic 40
has_packets() {
	show "$scratch/killed" && [ "$(grep -c ' by ' <<<"$output")" -eq 40 ]
}
expect_exit 0 "packets are there at once" wait_until 20 has_packets
ended "$engine" KILL
await 20 "$dump"
expect_exit 0 "a daemon that is killed ends it with 1" test "$status" -eq 1
expect_output '^verdict: the daemon at .* has hung up: it was killed, or threw this client out$' "and a sentence" cat "$scratch/killed.err"
expect_shown "$scratch/killed" ' by ' 40 "its file is in order"

finish
