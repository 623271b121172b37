#!/bin/bash
# SPDX-License-Identifier: MIT
#
# The control socket of `verdict run`, and `verdict stats`: what is refused, whose a socket is, who may use it, and clients that
# behave badly, all of it while real packets go through a real queue. In the end every packet is where it should be.

# shellcheck disable=SC2016,SC2317 # programs of awk in quotes; functions that wait_until and expect_exit call

set -u
cd "$(dirname "$0")/../.." || exit 1
. test/support/namespace.sh
. test/support/shell.sh
. test/support/wire.sh
. test/support/daemon.sh

send=$PWD/build/plain/bench/net/send
[ -x "$build/bench/net/send" ] && send=$build/bench/net/send
export VERDICT_FUNCTION_PATH=$build/functions
test_functions=$build/test/functions
directory=/run/verdict

# expect_refused CODE PATTERN TEXT OPTION...
expect_refused() {
	expect_sentence run "$@"
}

# ---- what is wrong before anything is asked of the kernel ----

names="a name of letters, digits, '-', '_' and '\.', or a path with a slash, of up to 107 bytes"
long=$(printf '%0108d' 0)
for name in '' 'a b' '.hidden' '-x' "$long" "/${long:1}" / /run/; do
	expect_refused 2 "--control takes $names, not '" "no name: '${name:0:20}'" --queue 0 "--control=$name"
done
for mode in '' 8 0800 1777 01000 rw 0x1ff -1; do
	expect_refused 2 "--control-mode takes a mode of a file in octal digits, as in 0660, not '$mode'" "no mode: '$mode'" --queue 0 \
		--control a "--control-mode=$mode"
done
expect_refused 2 "control-mode is for the control socket, and there is none: say control as well" "a mode of nothing" --queue 0 \
	--control-mode 0660
expect_sentence stats 2 "'a b' is neither the name of a daemon nor the path of its control socket, which has a slash in it" \
	"stats: no name" 'a b'
expect_sentence stats 2 "stats asks one daemon at a time, not 'b' as well" "stats: two of them" a b
for time in 0 99ms 2h 1x ''; do
	expect_sentence stats 2 "--watch takes a time from 100ms to 1h, in seconds or as in 500ms, not '$time'" "stats: --watch $time" \
		"--watch=$time"
done

if [ "$(id -u)" -ne 0 ]; then
	skip "everything on a real queue: needs root"
	finish
fi
mount -t tmpfs tmpfs /run && ip link set lo up || exit 1
expect_sentence stats 1 "no daemon runs under the name 'default': \`verdict run --control default\` would be one$" "stats: nobody is there"
expect_sentence stats 1 "no daemon runs under the name 'x'" "stats: nor of that name" x
expect_sentence stats 1 "no daemon listens at /run/x.sock" "stats: nor at that path" /run/x.sock
: >"$scratch/file"
expect_sentence stats 1 "$scratch/file is not a control socket" "stats: a file" "$scratch/file"
expect_refused 1 "$scratch/file is there and is no socket: it is left as it is" "a file is in the way" --queue 0 --control "$scratch/file"
expect_refused 1 "its directory cannot be opened: No such file" "there is no such directory" --queue 0 --control "$scratch/none/c.sock"
if [ -f "$scratch/file" ] && [ ! -e "$directory" ]; then ok "all of that leaves nothing"; else not_ok "all of that leaves nothing"; fi

# ---- a daemon, and packets all the time ----

# behind the queue INPUT counts what arrives, and nobody answers it
iptables-legacy -w -A OUTPUT -p udp --dport 9000:9003 -m comment --comment asked -j NFQUEUE --queue-num 7
iptables-legacy -w -A INPUT -p udp --dport 9000:9003 -m comment --comment arrived -j DROP

# start NAME OPTION...: a daemon; $engine is its process, $scratch/NAME.err what it says
start() {
	start_daemon "$scratch/$1.out" "$scratch/$1.err" "${@:2}"
}

# ended PROCESS SIGNAL: $status
ended() {
	kill "-$2" "$1"
	await 20 "$1"
}

descriptors() {
	find "/proc/$1/fd" -mindepth 1 | wc -l
}

has_descriptors() {
	[ "$(descriptors "$1")" -eq "$2" ]
}

umask 0077 # the daemon's modes are not the shell's
start main --queue 7 --function 'match:udp port 9001=drop' --function accept --control default --stats json
main=$engine
idle_descriptors=$(descriptors "$main")
background "$send" --to 127.0.0.1 --port 9000 --ports 4 --flows 4 --rate 2000 >"$scratch/sent"
sender=$child

# is_mode MODE FILE
is_mode() {
	[ "$(stat -c %a "$2")" = "$1" ]
}
expect_exit 0 "the directory is for all to look into" is_mode 755 "$directory"
expect_exit 0 "the socket is for its user" is_mode 600 "$directory/default.sock"

has_begun() {
	[ "$(counted INPUT arrived)" -gt 0 ]
}
wait_until 20 has_begun

# ---- stats ----

expect_exit 0 "stats" "$verdict" stats
expect_kept "^verdict [0-9.]+, pid $main, up [0-9.]+ s, no configuration file$" "says who it is"
expect_kept '^queue 7:$' "and prints the summary"
expect_kept '^  accepted  *[1-9]' "with what was accepted"
expect_kept '^function match: [0-9]+ packets' "and functions"
expect_exit 0 "by path" "$verdict" stats "$directory/default.sock"
expect_kept "pid $main," "the same"
expect_sentence stats 1 "no daemon runs under the name 'other'.*; there are: default$" "another name: those that there are" other
cat >"$scratch/v.conf" <<'END'
queue 8;
control second;
control-mode 0666;
END
start second --config "$scratch/v.conf"
second=$engine
expect_output "^verdict [0-9.]+, pid $second, up .*, configuration $(readlink -f "$scratch/v.conf")$" "by a configuration file" \
	"$verdict" stats second
expect_exit 0 "with a mode" is_mode 666 "$directory/second.sock"
expect_sentence stats 1 "no daemon runs under the name 'other'.*; there are: default, second$" "two names" other

# a reload: another name is refused; and who asks while functions come and go is answered all the time
says() {
	grep -q "$1" "$scratch/second.err"
}
cp "$scratch/v.conf" "$scratch/base.conf"
sed 's/second/other/' "$scratch/base.conf" >"$scratch/v.conf"
kill -HUP "$second"
wait_until 20 says 'reloaded'
expect_output 'not reloaded, .*/v.conf:2: control cannot change while it runs: restart it for that$' "a reload keeps its name" \
	cat "$scratch/second.err"
reloads=0
for function in accept drop match:'udp=drop' accept drop match:'tcp=drop'; do
	{ cat "$scratch/base.conf" && printf 'function "%s";\n' "$function"; } >"$scratch/v.conf"
	kill -HUP "$second"
	is_reloaded() {
		"$verdict" stats second --json >"$scratch/reply" || touch "$scratch/unanswered"
		[ "$(grep -c ' reloaded: ' "$scratch/second.err")" -gt "$reloads" ]
	}
	wait_until 20 is_reloaded && "$verdict" stats second >"$scratch/reply" && grep -q "^function ${function%%:*}:" "$scratch/reply" &&
		reloads=$((reloads + 1))
done
if [ "$reloads" -eq 6 ] && [ ! -e "$scratch/unanswered" ]; then ok "stats is answered while functions come and go"; else
	not_ok "stats is answered while functions come and go ($reloads reloads)"
fi

"$verdict" stats --watch 200ms >"$scratch/watched" &
watcher=$!
children+=("$watcher")
has_lines() {
	[ "$(wc -l <"$1")" -ge "$2" ]
}
expect_exit 0 "stats --watch goes on" wait_until 20 has_lines "$scratch/watched" 5
kill "$watcher"
wait "$watcher" 2>/dev/null
run_and_keep cat "$scratch/watched"
expect_kept '^ +[0-9]+ s +[0-9.k]+ packets/s  accepted [1-9]' "with a line of what happened in between"
"$verdict" stats second --watch 100ms >"$scratch/seen" 2>"$scratch/watched.err" &
watcher=$!
children+=("$watcher")
wait_until 20 has_lines "$scratch/seen" 3
ended "$second" INT
wait "$watcher"
if [ $? -eq 1 ] && grep -q '^verdict: the daemon at .* has hung up: it has come to its end' "$scratch/watched.err"; then
	ok "until the daemon ends"
else
	not_ok "until the daemon ends"
	output=$(cat "$scratch/watched.err")
	show_output
fi
if [ ! -e "$directory/second.sock" ]; then ok "which takes its socket with it"; else not_ok "which takes its socket with it"; fi

# ---- two with one name, and what others left ----

expect_refused 1 "the control socket $directory/default.sock belongs to pid $main \(verdict\), which runs: stop that program, or" \
	"a second one of that name" --queue 9 --control default
printf 'queue 9;\n\ncontrol default;\n' >"$scratch/v.conf"
expect_refused 1 "v.conf:3: the control socket .* belongs to pid $main" "by a configuration file, too" --config "$scratch/v.conf"
expect_output "pid $main," "the first one still answers" "$verdict" stats

start killed --queue 10 --control "$scratch/c.sock"
ended "$engine" KILL
expect_exit 0 "who is killed leaves its socket" test -S "$scratch/c.sock"
expect_sentence stats 1 "no daemon listens at $scratch/c.sock" "where nobody is" "$scratch/c.sock"
start next --queue 10 --control "$scratch/c.sock"
next=$engine
expect_output "pid $engine," "it is replaced" "$verdict" stats "$scratch/c.sock"
rm "$scratch/c.sock"
start third --queue 11 --control "$scratch/c.sock"
third=$engine
ended "$next" INT
expect_output "pid $third," "who has lost it does not take it from the next one" "$verdict" stats "$scratch/c.sock"
stand_still "$third"
expect_sentence stats 1 "the daemon at $scratch/c.sock, pid $third \(verdict\), does not answer within 5 s" "one that is stopped" \
	"$scratch/c.sock"
kill -CONT "$third"
expect_output "pid $third," "and goes on" "$verdict" stats "$scratch/c.sock"
ended "$third" TERM

if [ -e "$test_functions/slow.so" ]; then
	iptables-legacy -w -A OUTPUT -p udp --dport 9100 -j NFQUEUE --queue-num 12
	start impatient --queue 12 --function "$test_functions/slow.so:10000000,sleep" --workers 1 --control impatient
	"$send" --to 127.0.0.1 --port 9100 --count 1 >/dev/null
	wait_until 20 awk '$1 == 12 && $3 == 1 { found = 1 } END { exit !found }' "$queues"
	ends_by_signals() { # two at once would be one
		! kill -TERM "$engine"
	}
	wait_until 20 ends_by_signals
	wait "$engine"
	status=$?
	if [ "$status" -eq 1 ] && [ ! -e "$directory/impatient.sock" ]; then ok "two signals leave no socket"; else not_ok "two signals leave no socket"; fi
else
	skip "a second signal: needs $test_functions (make test-programs)"
fi

# ---- who may ----

unprivileged=(setpriv --reuid=65534 --regid=65534 --clear-groups --bounding-set=-all --inh-caps=-all --)
mkdir "$scratch/nobody" && cp "$verdict" "$scratch/nobody/verdict" && chmod -R a+rX "$scratch" || exit 1
expect_exit 1 "0600: another user may not" "${unprivileged[@]}" "$scratch/nobody/verdict" stats
expect_kept "^verdict: $directory/default.sock is not for this user: ask as root, or have the daemon started with a --control-mode" \
	"and is told why"
for mode in 0666:0 0660:1 0622:0; do
	start mode --queue 13 --control mode --control-mode ${mode%:*}
	expect_exit "${mode#*:}" "--control-mode ${mode%:*}" "${unprivileged[@]}" "$scratch/nobody/verdict" stats mode
	ended "$engine" INT
done
if [ "$(find "$directory" -mindepth 1)" = "$directory/default.sock" ]; then ok "none of them is left"; else not_ok "none of them is left"; fi

# ---- without privileges: the control thread has none either, and its system calls are allowed ----

# at its end the leak sanitizer makes calls that are refused
sanitizer=${ASAN_OPTIONS-}
export ASAN_OPTIONS=${sanitizer:+$sanitizer:}detect_leaks=0
mkdir "$scratch/own" && chown 65534:65534 "$scratch/own" && chmod 755 "$scratch" "$scratch/own"
for name in dropped "$scratch/own/c.sock"; do
	start dropped --queue 14 --user 65534:65534 --seccomp yes --control "$name"
	expect_exit 0 "--user: stats is answered, $(basename "$name")" wait_until 20 "$verdict" stats "$name"
	run_and_keep "$verdict" stats "$name" --json
	expect_kept "\"pid\":$engine," "again and again"
	run_and_keep sh -c "cat /proc/$engine/task/*/status"
	if [ "$(grep -c '^CapEff:' <<<"$output")" -eq "$(grep -Ec '^CapPrm:[[:space:]]0000000000001000$' <<<"$output")" ] &&
		grep -q '^Name:[[:space:]]control$' <<<"$output"; then ok "no thread has more than CAP_NET_ADMIN"; else
		not_ok "no thread has more than CAP_NET_ADMIN"
		show_output
	fi
	ended "$engine" TERM
	expect_exit 0 "it ends" test "$status" -eq 0
	run_and_keep grep -v 'reading queue' "$scratch/dropped.err"
	if ! grep -qi 'refused\|not allowed\|system call' <<<"$output"; then ok "nothing was refused to it"; else not_ok "nothing was refused to it"; show_output; fi
done
if [ ! -e "$scratch/own/c.sock" ]; then ok "it removes its socket where its user may"; else not_ok "it removes its socket where its user may"; fi
expect_exit 0 "and leaves it where it may not" test -S "$directory/dropped.sock"
ASAN_OPTIONS=$sanitizer
start again --queue 14 --control dropped
expect_output "pid $engine," "to be replaced by the next one" "$verdict" stats dropped
ended "$engine" TERM

# ---- clients that behave badly ----

if command -v python3 >/dev/null; then
	run_and_keep timeout 120 python3 - "$directory/default.sock" "$main" <<'END'
import array, json, os, random, socket, sys, time

path, pid = sys.argv[1], int(sys.argv[2])
seed = int(os.environ.get('SEED', random.randrange(1 << 30)))
random.seed(seed)
print(f'seed {seed}')


class Client:
    def __init__(self):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(path)
        self.file = self.socket.makefile('rb')

    def line(self):
        return json.loads(self.file.readline())

    def ask(self, request=b'{"command":"stats"}\n'):
        self.socket.sendall(request)
        return self.line()

    def close(self):
        self.file.close()
        self.socket.close()


def works(client):
    reply = client.ask()
    return reply['ok'] is True and reply['pid'] == pid


# the accounts may never go back, whatever else happens
last = 0
def still_works():
    global last
    client = Client()
    reply = client.ask()
    assert reply['ok'] and reply['queues'][0]['received'] >= last
    last = reply['queues'][0]['received']
    client.close()


# lines that are no requests cost one answer each, and the next one counts
client = Client()
for garbage in [b'x', b'{', b'[]', b'{}', b'{"command":7}', b'{"command":"no"}', b'{"command":"stats"}}', b'\0\1\2', b'\xff\xfe',
                b'"', b'{"command":"stats","every_ms":1}', b'{"command":"stats","every_ms":"x"}', b'[' * 3000,
                b'{"a":' * 3000, b'{"command":"' + b'y' * 60000 + b'"}', b' ' * 65535 + b'x']:
    reply = client.ask(garbage + b'\n')
    assert reply['ok'] is False and reply['error'], (garbage[:40], reply)
    assert works(client), garbage[:40]
client.close()
still_works()

# random bytes: one answer for each line that is not blank
for _ in range(50):
    client = Client()
    garbage = random.randbytes(random.randrange(1, 5000))
    lines = [line for line in (garbage + b'\n').split(b'\n')[:-1] if line.strip(b' \t\r')]
    client.socket.sendall(garbage + b'\n')
    for line in lines:
        assert client.line()['ok'] is False
    assert works(client)
    client.close()

# a line that is too long cannot be waited for
client = Client()
try:
    client.socket.sendall(b'a' * 200000)
except (BrokenPipeError, ConnectionResetError):
    pass
reply = client.line()
assert reply == {'ok': False, 'error': 'a request is longer than 65536 bytes, which is the limit'}, reply
try:
    assert client.file.readline() == b''
except ConnectionResetError:
    pass
client.close()
still_works()

# many at once, and all of them are answered
clients = [Client() for _ in range(100)]
for client in clients:
    client.socket.sendall(b'{"command":"st')
still_works()
for client in random.sample(clients, len(clients)):
    assert client.ask(b'ats"}\n')['pid'] == pid
for client in clients:
    client.close()
still_works()

# too many: the ones behind are told so
clients = [Client() for _ in range(128)]
for client in clients:
    assert works(client)
late = Client()
assert late.line() == {'ok': False, 'error': 'there are too many clients already'}
late.close()
for client in clients:
    assert works(client)
    client.close()
still_works()

# who asks and never reads is thrown out, and nobody waits for it
deaf = socket.socket(socket.AF_UNIX)
deaf.connect(path)
deaf.settimeout(0.05)
sent, end = 0, time.monotonic() + 60
try:
    while time.monotonic() < end:
        try:
            sent += deaf.send(b'{"command":"stats"}\n' * 100)
        except TimeoutError:
            pass
        if sent % 20000 < 2000:
            still_works()
    assert False, 'it may do so for ever'
except (BrokenPipeError, ConnectionResetError):
    pass
deaf.close()
still_works()

# who hangs up at once, or in the midst of it; who wants lines and goes
for _ in range(200):
    client = Client()
    client.socket.sendall(random.choice([b'', b'{"comm', b'{"command":"stats"}\n', b'{"command":"stats","every_ms":100}\n', b'x\n']))
    client.close()
still_works()

# descriptors that come along are not kept
for _ in range(20):
    client = Client()
    rights = array.array('i', [0, 1, 2])
    client.socket.sendmsg([b'{"command":"stats"}\n'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
    assert client.line()['ok']
    client.close()

# lines that were asked for come, and requests are answered in between
client = Client()
assert client.ask(b'{"command":"stats","every_ms":100}\n')['ok']
for i in range(5):
    reply = client.line()
    assert reply['ok'] and reply['dropped'] == 0 and reply['pid'] == pid
client.socket.sendall(b'{"command":"stats","every_ms":100}\n')
while (reply := client.line())['ok']:
    pass
assert reply['error'] == 'this connection gets lines already; every_ms needs one for itself', reply
client.close()
still_works()
print('done')
END
	if [ "$status" -eq 0 ]; then ok "clients that send garbage, do not read, or are many"; else
		not_ok "clients that send garbage, do not read, or are many"
		show_output
	fi
	if wait_until 20 has_descriptors "$main" "$idle_descriptors"; then ok "and leave no descriptor in the daemon"; else
		not_ok "and leave no descriptor in the daemon ($(descriptors "$main") instead of $idle_descriptors)"
	fi
	run_and_keep cat "$scratch/main.err"
	expect_kept '^verdict: note: control: pid [0-9]+, user 0: thrown out: it does not read its replies$' "the log has who was thrown out"
	if [ "$(wc -l <"$scratch/main.err")" -lt 10 ]; then ok "and not much more"; else not_ok "and not much more"; show_output; fi

	run_and_keep python3 - <<END
import json, subprocess
reply = json.loads(subprocess.check_output(['$verdict', 'stats', '--json']))
assert 'ok' not in reply and reply['pid'] == $main and reply['final'] is False and reply['config'] is None, reply
assert reply['version'] == subprocess.check_output(['$verdict', '--version'], text=True).strip()
assert reply['uptime'] == reply['seconds'] > 0
queue = reply['queues'][0]
lost = ['queue_dropped', 'socket_dropped', 'flushed', 'refused', 'left_accepted', 'left_dropped']
assert queue['queue'] == 7 and queue['offered'] == sum(queue['verdicts'].values()) + sum(queue[key] for key in lost)
assert reply['functions'][0]['counters']['matched'] > 0
END
	if [ "$status" -eq 0 ]; then ok "stats --json"; else not_ok "stats --json"; show_output; fi
else
	skip "clients that behave badly, and JSON: needs python3"
fi

# ---- and nothing was lost meanwhile ----

kill -INT "$sender"
wait "$sender"
sent=$(sed -n 's/.*"sent": *\([0-9]*\).*/\1/p' "$scratch/sent" | head -n 1)
wait_until 20 is_empty
has_all() {
	output=$("$verdict" stats)
	[ "$(number offered)" -eq "$(counted OUTPUT asked)" ]
}
wait_until 20 has_all
asked=$(counted OUTPUT asked)
if [ "$asked" -gt 1000 ] && [ "${sent:-$asked}" -eq "$asked" ]; then ok "$asked packets were sent meanwhile"; else
	not_ok "packets were sent meanwhile (sent ${sent:-?}, queued $asked)"
fi
accepted=$(number accepted) dropped=$(number 'dropped by verdict')
if [ "$(number offered)" -eq "$asked" ] && [ $((accepted + dropped)) -eq "$asked" ] &&
	[ "$(number 'lost: queue full')" -eq 0 ] && [ "$(number 'lost: buffer full')" -eq 0 ]; then
	ok "none is lost, and the accounts close"
else
	not_ok "none is lost, and the accounts close ($asked queued)"
	show_output
fi
if [ "$(counted INPUT arrived)" -eq "$accepted" ] && [ "$dropped" -gt 0 ]; then ok "$accepted arrived, as stats says"; else
	not_ok "as many arrived as stats says ($(counted INPUT arrived), not $accepted)"
fi
ended "$main" INT
if [ "$status" -eq 0 ] && [ "$(tail -n 1 "$scratch/main.out" | sed 's/.*"offered":\([0-9]*\),.*/\1/')" = "$asked" ]; then
	ok "and so does the daemon at its end"
else
	not_ok "and so does the daemon at its end (exit status $status)"
fi
if [ -z "$(find "$directory" -mindepth 1)" ] && ! grep -q . "$queues"; then ok "nothing is left"; else not_ok "nothing is left"; fi

finish
