#!/bin/bash
# SPDX-License-Identifier: MIT
#
# What `verdict run` may still do once it runs: users, groups, capabilities, no_new_privs and the filter of system calls of every
# thread, as the kernel shows them; and that packets pass, are changed and rejected, and queues are given back, all the same. On
# real packets, in namespaces of its own: "near", where the queues are (this script's own), and "far" at the other end of a wire.

# shellcheck disable=SC2016,SC2317 # programs of other shells in quotes; functions that wait_until calls

set -u
cd "$(dirname "$0")/../.." || exit 1
. test/support/namespace.sh
. test/support/shell.sh
. test/support/wire.sh
. test/support/daemon.sh

send=$build/bench/net/send
# LeakSanitizer traces the process at its end, which is refused
export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0

show_to_all "$build/test/functions"/{forbidden,slow}.so
forbidden=$scratch/forbidden.so slow=$scratch/slow.so

# ---- what is wrong with the options ----

# expect_refused CODE PATTERN TEXT OPTION...
expect_refused() {
	expect_sentence run "$@"
}

expect_refused 2 "--user takes USER, or USER:GROUP, names or numbers, not ''" "no user" --queue 0 --user ''
expect_refused 2 "--user takes .*, not 'a:b:c'" "two groups" --queue 0 --user a:b:c
expect_refused 2 "--user takes .*, not ':adm'" "a group only" --queue 0 --user :adm
expect_refused 2 "--user takes .*, not 'root:'" "a group without a name" --queue 0 --user root:
expect_refused 1 "--user: there is no user 'none-such'" "an unknown user" --queue 0 --user none-such
expect_refused 1 "--user: there is no group 'none-such'" "an unknown group" --queue 0 --user root:none-such
expect_refused 2 "--user: uid 1234567 has no name here, and so no group: say which, as in 1234567:1234567" "a number without a name" \
	--queue 0 --user 1234567
expect_refused 1 "--user: there is no user '4294967295'" "the number that is none" --queue 0 --user 4294967295:0
expect_refused 2 "--seccomp takes yes or no, not 'maybe'" "neither yes nor no" --queue 0 --seccomp maybe
expect_refused 2 "--seccomp-allow takes a list of system calls, as in socket,connect, not ''" "no call" --queue 0 --seccomp-allow ''
expect_refused 2 "--seccomp-allow takes .*, not 'a,,b'" "an empty one" --queue 0 --seccomp-allow a,,b
expect_refused 1 "--seccomp-allow: there is no system call 'none_such'" "an unknown call" --queue 0 --seccomp-allow socket,none_such
printf 'queue 0;\nseccomp-allow [ socket, conect ];\n' >"$scratch/verdict.conf"
expect_refused 1 "verdict.conf:2: seccomp-allow: there is no system call 'conect'; syscalls\(2\) lists them" "one in a file" \
	--config "$scratch/verdict.conf"

if [ "$(id -u)" -ne 0 ]; then
	expect_refused 1 "to become another user needs CAP_SETUID: start as root" "another user without privileges" --queue 0 --user root
	skip "everything on real packets: needs root"
	finish
fi

# ---- two namespaces, and users that this machine does not have ----

{ cat /etc/passwd && echo 'filter:x:4242:4243::/:/bin/false'; } >"$scratch/passwd"
{ cat /etc/group && printf '%s\n' 'filter:x:4243:' 'keys:x:4244:filter,other' 'others:x:4245:other'; } >"$scratch/group"
mount --bind "$scratch/passwd" /etc/passwd && mount --bind "$scratch/group" /etc/group || exit 1

mount -t tmpfs tmpfs /run
mkdir /run/netns
lay_wire
{
	iptables-legacy -w -A OUTPUT -p udp --dport 9000 -j NFQUEUE --queue-num 0 &&
		iptables-legacy -w -A INPUT -p tcp --dport 9300 -j NFQUEUE --queue-num 1 &&
		far iptables-legacy -w -A INPUT -p udp --dport 9000 -m ttl --ttl-eq 33 -m comment --comment edited -j DROP &&
		far iptables-legacy -w -A INPUT -p udp --dport 9000 -m comment --comment passed -j DROP
} || exit 1

has_ended() {
	[ ! -e "/proc/$engine" ] || grep -q '^State:.Z' "/proc/$engine/status"
}

# started COMMAND...: in the background, the engine being its last word; it ends by itself whatever becomes of this script
started() {
	: >"$scratch/err"
	background "$@" >"$scratch/out" 2>"$scratch/err"
	engine=$child
	wait_until 30 eval 'is_reading "$scratch/err" || has_ended'
	if ! is_reading "$scratch/err"; then
		not_ok "it starts: $*"
		output=$(cat "$scratch/err")
		show_output
	fi
}

start() {
	started "$verdict" run --stats none --for 300 "$@"
}

# ended: stops it, waits for the end; $status, $output
ended() {
	kill -INT "$engine" 2>/dev/null
	await 30 "$engine"
	output=$(cat "$scratch/out" "$scratch/err")
}

# stops TEXT: as asked, and the queues are given back
stops() {
	ended
	if [ "$status" -ne 0 ]; then
		not_ok "$1: it ends well (exit status $status)"
		show_output
	elif grep -q . "$queues"; then # a file of /proc has no size
		not_ok "$1: its queues are given back"
	else
		ok "$1: it ends, and gives its queues back"
	fi
}

# threads: of the engine, a line each: NAME uid gid groups inherited permitted effective bounding ambient no_new_privs seccomp
threads() {
	local task

	for task in "/proc/$engine/task"/*; do
		awk '/^Name:/ { name = $2 }
			/^(Uid|Gid):/ { if ($2 == $3 && $2 == $4 && $2 == $5) ids = ids " " $2; else ids = ids " several" }
			/^Groups:/ { groups = ""; for (i = 2; i <= NF; i++) groups = groups (i > 2 ? "," : "") $i; if (!NF || NF < 2) groups = "-" }
			/^Cap/ { sub(/^0+/, "", $2); capabilities = capabilities " " ($2 == "" ? 0 : $2) }
			/^NoNewPrivs:/ { rest = $2 } /^Seccomp:/ { rest = rest " " $2 }
			END { print name ids " " groups capabilities " " rest }' "$task/status"
	done | sort | uniq -c | sed 's/^ *//'
}

# expect_threads TEXT LINE...: exactly these, as uniq -c counts them; net_admin is 1000
expect_threads() {
	local text=$1 wanted seen

	shift
	wanted=$(printf '%s\n' "$@" | sort)
	wait_until 20 has_all_threads "$(printf '%s\n' "$@" | awk '{ threads += $1 } END { print threads }')"
	seen=$(threads | sort)
	if [ "$wanted" = "$seen" ]; then ok "$text"; else
		not_ok "$text (< wanted, > seen: threads, name, uid, gid, groups, inheritable, permitted, effective, bounding, ambient, ...)"
		diff <(printf '%s\n' "$wanted") <(printf '%s\n' "$seen") | sed -n 's/^[<>]/# &/p'
	fi
}

has_all_threads() {
	[ "$(find "/proc/$engine/task" -mindepth 1 -maxdepth 1 | wc -l)" -eq "$1" ]
}

# arrived COMMENT: how many packets the rule of far has counted
arrived() {
	far iptables-legacy -w -nvxL INPUT | awk -v comment="$1" '$0 ~ "/\\* " comment { print $1 }'
}

has_arrived() {
	[ "$(arrived "$1")" -ge "$2" ]
}

# expect_passed COUNT COMMENT TEXT: sends so many, and sees them arrive
expect_passed() {
	local before

	before=$(arrived "$2")
	"$send" --to 10.9.0.2 --count "$1" --port 9000 --flows 4 --rate 20000 >/dev/null
	wait_until 30 is_empty
	wait_until 10 has_arrived "$2" $((before + $1))
	if [ "$(($(arrived "$2") - before))" -eq "$1" ]; then ok "$3"; else not_ok "$3 ($(($(arrived "$2") - before)) of $1 arrived)"; fi
}

# nothing_arrives COUNT TEXT
nothing_arrives() {
	local before

	before=$(arrived passed)
	"$send" --to 10.9.0.2 --count "$1" --port 9000 >/dev/null
	wait_until 30 is_empty
	sleep 0.1
	if [ "$(arrived passed)" -eq "$before" ]; then ok "$2"; else not_ok "$2"; fi
}

# connects: far to near
connects() {
	far timeout 20 bash -c 'exec 3<>/dev/tcp/10.9.0.1/9300' 2>&1
}

# ---- every thread ----

usual='4242 4243 4243,4244 0 1000 1000 0 0 1 2'
first='1 verdict 4242 4243 4243,4244 0 1000 0 0 0 1 2'

start --queue 0-1 --user filter --workers 3 --writers 2 --function ttl:33 --function match:udp=accept --function reject
expect_threads "--user: what all threads have" "$first" "1 verdict $usual" \
	"1 worker-0 $usual" "1 worker-1 $usual" "1 worker-2 $usual" "1 writer-0 $usual" "1 writer-1 $usual"
expect_passed 1000 edited "packets pass, and are changed"
run_and_keep connects
expect_kept 'Connection refused' "rejects are answered"
stops "--user"
if [ "$(wc -l <"$scratch/err")" -eq 1 ]; then ok "and nothing was refused"; else not_ok "and nothing was refused"; show_output; fi

start --queue 0 --user 4711:4712 --workers 1
expect_threads "numbers: in no other group" "1 verdict 4711 4712 - 0 1000 0 0 0 1 2" "1 verdict 4711 4712 - 0 1000 1000 0 0 1 2" \
	"1 worker-0 4711 4712 - 0 1000 1000 0 0 1 2"
expect_passed 1000 passed "packets pass"
stops "numbers"
start --queue 0 --user filter:others --workers 1 --seccomp no
expect_threads "another group, and no filter" "1 verdict 4242 4245 4244,4245 0 1000 0 0 0 1 0" \
	"1 verdict 4242 4245 4244,4245 0 1000 1000 0 0 1 0" "1 worker-0 4242 4245 4244,4245 0 1000 1000 0 0 1 0"
expect_passed 1000 passed "packets pass"
stops "another group"

own=$(awk '/^CapPrm:/ { sub(/^0+/, "", $2); print $2 }' /proc/self/status)
bounding=$(awk '/^CapBnd:/ { sub(/^0+/, "", $2); print $2 }' /proc/self/status)
groups=$(awk '/^Groups:/ { for (i = 2; i <= NF; i++) groups = groups (i > 2 ? "," : "") $i; print groups == "" ? "-" : groups }' /proc/self/status)
start --queue 0 --workers 1
expect_threads "root without --user stays root" "2 verdict 0 0 $groups 0 $own $own $bounding 0 0 0" \
	"1 worker-0 0 0 $groups 0 $own $own $bounding 0 0 0"
stops "root"
start --queue 0 --workers 1 --seccomp yes
expect_threads "root with a filter only" "2 verdict 0 0 $groups 0 $own $own $bounding 0 1 2" \
	"1 worker-0 0 0 $groups 0 $own $own $bounding 0 1 2"
expect_passed 1000 passed "packets pass"
stops "root with a filter"
start --queue 0 --workers 1 --user root:root
run_and_keep threads
expect_kept '^1 verdict 0 0 [-0-9,]* 0 1000 0 0 0 1 2$' "--user root: root, without what root can do"
expect_passed 1000 passed "packets pass"
stops "--user root"

printf 'queue 0; user "filter:filter"; seccomp off; workers 1; function accept\n' >"$scratch/verdict.conf"
start --config "$scratch/verdict.conf"
expect_threads "the same by a file" "1 verdict 4242 4243 4243,4244 0 1000 0 0 0 1 0" \
	"1 verdict 4242 4243 4243,4244 0 1000 1000 0 0 1 0" "1 worker-0 4242 4243 4243,4244 0 1000 1000 0 0 1 0"
stops "a file"

# ---- a reload ----

# expect_said PATTERN TEXT: on standard error, in a while
expect_said() {
	if wait_until 30 grep -Eq -- "$1" "$scratch/err"; then ok "$2"; else
		not_ok "$2 (no line like: $1)"
		output=$(cat "$scratch/err")
		show_output
	fi
}

# configure LINE: the file is this; and reload
configure() {
	printf '%s\n' "$1" >"$scratch/verdict.conf"
	kill -HUP "$engine"
}

cp "$scratch/functions/ttl.so" "$scratch/mine.so"
printf 'queue 0; user filter; workers 1; function accept\n' >"$scratch/verdict.conf"
chmod a+r "$scratch/verdict.conf" "$scratch/mine.so"
start --config "$scratch/verdict.conf"
configure 'queue [0, 1]; user filter; workers 1; function ./mine.so { arguments "33" }'
expect_said '^verdict: reloaded' "a reload, with another queue and a function's file"
if [ "$(wc -l <"$queues")" -eq 2 ]; then ok "the queue is read"; else not_ok "the queue is read"; fi
expect_passed 1000 edited "by the new function"
expect_threads "and no thread has more" "$first" "1 verdict $usual" "1 worker-0 $usual"
if grep -q refused "$scratch/err"; then not_ok "no system call was refused"; cat "$scratch/err"; else ok "no system call was refused"; fi
for change in 'user root' 'user filter; seccomp no' 'user filter; seccomp-allow socket'; do
	key=${change##*; }
	configure "queue 0; workers 1; $change"
	expect_said "^verdict: not reloaded, .*verdict.conf:1: ${key%% *} cannot change while it runs: restart it for that" "${key%% *} cannot change"
done
configure 'queue 0; user filter; workers 1; metrics 9100'
expect_said "^verdict: not reloaded, .*verdict.conf:1: metrics cannot be shown at 9100: Operation not permitted: where system calls are filtered" \
	"nor can it begin to listen"
configure 'queue 0; user filter; workers 1; function reject'
expect_said "^verdict: not reloaded, .*rejecting packets needs CAP_NET_RAW" "and it cannot begin to reject"
expect_passed 1000 edited "the old configuration goes on"
stops "a reload"

# ---- ways to work: statistics each second, another namespace, functions with sockets and files, a long queue at the stop ----

# quiet TEXT: it has said nothing but that it reads, and notes
quiet() {
	if grep -Evq '^verdict: (reading|note:)' "$scratch/err"; then not_ok "$1"; show_output; else ok "$1"; fi
}

touch /run/netns/other && mount --bind "/proc/$far/ns/net" /run/netns/other
far iptables-legacy -w -I INPUT -p udp --dport 9001 -j NFQUEUE --queue-num 9
printf 'queue 9; netns other; user filter; workers 1\n' >"$scratch/verdict.conf"
start --config "$scratch/verdict.conf"
expect_threads "--netns needs more only at the start" "$first" "1 verdict $usual" "1 worker-0 $usual"
"$send" --to 10.9.0.2 --count 500 --port 9001 >/dev/null
far awk '$1 == 9' "$queues" >"$scratch/there"
kill -HUP "$engine"
expect_said "^verdict: not reloaded, .*namespace 'other' cannot be entered: that needs CAP_SYS_ADMIN" "so a reload cannot go there again"
ended
if [ "$status" -eq 0 ] && [ -s "$scratch/there" ]; then ok "and reads there"; else not_ok "and reads there"; show_output; fi

for form in text json; do
	: >"$scratch/err"
	background "$verdict" run --queue 0-1 --user filter --for 300 --stats $form --writers 1 --batch-delay 1ms --cpu 0 \
		--function first:5 --function 'nat:203.0.113.7=10.0.0.9' --function mss:pmtu --function 'replace:abc=xyz' --function mark:7 >"$scratch/out" 2>"$scratch/err"
	engine=$child
	wait_until 30 is_reading "$scratch/err"
	expect_passed 2000 passed "--stats $form, all kinds of functions: packets pass"
	wait_until 20 grep -q . "$scratch/out"
	stops "--stats $form"
	quiet "and nothing was refused"
done

if [ -e "$forbidden" ]; then
	: >"$scratch/err"
	before=$(arrived passed)
	start --queue 0 --user filter --workers 1 --on-fault accept --function "$slow:2000,sleep"
	"$send" --to 10.9.0.2 --count 500 --port 9000 >/dev/null
	stops "a queue with packets in it"
	wait_until 20 has_arrived passed $((before + 500))
	if [ "$(($(arrived passed) - before))" -eq 500 ]; then ok "and what was left is settled"; else
		not_ok "and what was left is settled ($(($(arrived passed) - before)) of 500)"
	fi
	quiet "and nothing was refused"

	# ---- what a function may not ----

	for call in execve fork ptrace socket; do
		name=$call
		[ $call != fork ] || name=clone
		start --queue 0 --user filter --workers 1 --function "$forbidden:$call"
		expect_passed 10 passed "$call: refused with EPERM, and it goes on"
		stops "$call"
		expect_kept "^verdict: warning: thread worker-0 called $name\(\), which is refused: allow it with seccomp-allow $name, if a function needs it$" \
			"$call: named"
		if [ "$(grep -c "called $name" "$scratch/err")" -eq 2 ]; then ok "$call: once, and at the tenth time"; else
			not_ok "$call: once, and at the tenth time"
			show_output
		fi
	done
	start --queue 0 --user filter --workers 1 --function "$forbidden:spawn"
	expect_passed 10 passed "posix_spawn: refused with EPERM, and it goes on"
	stops "posix_spawn"
	for call in late library netlink unix; do
		start --queue 0 --user filter --workers 1 --function "$forbidden:$call"
		expect_passed 10 passed "$call: what threads, functions and queues take that come later is allowed"
		stops "$call"
		quiet "$call: and nothing was refused"
	done
	for options in '--seccomp-allow ptrace,socket' '--seccomp no'; do
		# shellcheck disable=SC2086 # several words
		start --queue 0 --user filter --workers 1 --function "$forbidden:socket" $options
		nothing_arrives 10 "$options: the function has its socket"
		stops "$options"
		quiet "$options: and nothing was refused"
	done
	start --queue 0 --user filter --workers 1 --function "$forbidden:spawn" --seccomp-allow clone,clone3,execve,wait4
	nothing_arrives 10 "--seccomp-allow: and its programs"
	stops "--seccomp-allow"

	# a thread of a function is older than the drop
	start --queue 0 --user filter --workers 1 --function "$forbidden:thread"
	expect_threads "a thread that a function started before has nothing left" "$first" "1 verdict $usual" "1 worker-0 $usual" \
		"1 companion 4242 4243 4243,4244 0 0 0 $bounding 0 1 2"
	stops "a function's thread"
	expect_refused 1 'thread [0-9]+ \([a-z]+\) still has privileges, since a function started it before they were given up' \
		"where the kernel leaves it some, it is refused" --queue 0 --user root:root --function "$forbidden:thread"
else
	skip "functions that do what they should not: needs $build/test/functions (make test-programs)"
fi

# ---- started with less than root has ----

# user_with CAPABILITIES: what is written before a program that a user with these ambient capabilities starts
user_with() {
	user_with=(setpriv --reuid=4242 --regid=4243 --groups=4244 "--bounding-set=-all${1:+,$1}" "--inh-caps=-all${1:+,$1}"
		"--ambient-caps=-all${1:+,$1}" --)
}

# refused_to CAPABILITIES PATTERN TEXT OPTION...: exit code 1, and one sentence
refused_to() {
	local pattern=$2 text=$3

	user_with "$1"
	shift 3
	run_and_keep timeout 20 "${user_with[@]}" "$verdict" run --queue 0 --for 1 "$@"
	output=$(printf '%s\n' "$output" | grep -v '^verdict: note: ')
	if [ "$status" -eq 1 ] && [ "$(printf '%s\n' "$output" | wc -l)" -eq 1 ] && printf '%s\n' "$output" | grep -Eq -- "^verdict: $pattern"; then
		ok "$text"
	else
		not_ok "$text (exit status $status; wanted one sentence like: $pattern)"
		show_output
	fi
}

refused_to '' 'reading a queue needs CAP_NET_ADMIN in its network namespace: run as root' "no capability at all"
refused_to '' 'to become another user needs CAP_SETUID: start as root, or as that user and without --user' \
	"no capability, and another user" --user root
refused_to +net_admin 'to become another user needs CAP_SETUID' "the one that is needed, and another user" --user root
refused_to +net_admin,+setuid 'to become a member of other groups needs CAP_SETGID' "who can change the user, but no groups" --user 4711:4711
refused_to +net_admin "rejecting packets needs CAP_NET_RAW in the queues' network namespace" "a function that rejects" --function reject
refused_to +net_admin "network namespace 'other' cannot be entered: that needs CAP_SYS_ADMIN" "another namespace" --netns other

# start_as CAPABILITIES OPTION...
start_as() {
	user_with "$1"
	started "${user_with[@]}" "$verdict" run --stats none --for 300 --queue 0 --workers 1 "${@:2}"
}

start_as +net_admin,+net_raw,+net_bind_service --function match:udp=accept --function reject
# without CAP_SETPCAP the bounding set stays, and no_new_privs makes nothing of it
expect_threads "ambient capabilities: what is not needed is given up" "1 verdict 4242 4243 4244 0 1000 0 3400 0 1 0" \
	"1 verdict 4242 4243 4244 0 1000 1000 3400 0 1 0" "1 worker-0 4242 4243 4244 0 1000 1000 3400 0 1 0"
expect_passed 1000 passed "packets pass"
stops "ambient capabilities"
start_as +net_admin --user 4242:4243 --function accept
expect_threads "--user of who it is already needs no capability" "1 verdict 4242 4243 4244 0 1000 0 1000 0 1 2" \
	"1 verdict 4242 4243 4244 0 1000 1000 1000 0 1 2" "1 worker-0 4242 4243 4244 0 1000 1000 1000 0 1 2"
stops "--user of who it is"

cp "$verdict" "$scratch/capable"
if setcap cap_net_admin=ep "$scratch/capable" 2>/dev/null; then
	started setpriv --reuid=4242 --regid=4243 --clear-groups -- "$scratch/capable" run --stats none --for 300 --queue 0 --workers 1
	expect_threads "a capability of the file" "1 capable 4242 4243 - 0 1000 0 $bounding 0 1 0" \
		"1 capable 4242 4243 - 0 1000 1000 $bounding 0 1 0" "1 worker-0 4242 4243 - 0 1000 1000 $bounding 0 1 0"
	expect_passed 1000 passed "packets pass"
	stops "a capability of the file"
else
	skip "capabilities of the file: needs setcap (libcap2-bin), and a file system that keeps them"
fi

# ---- a user namespace of somebody without privileges ----

in_user_namespace=(setpriv --reuid=4242 --regid=4243 --groups=4244 -- unshare --user --map-root-user --net --)
if "${in_user_namespace[@]}" true 2>/dev/null; then
	for options in '' '--user root:root'; do
		# shellcheck disable=SC2086 # several words
		run_and_keep timeout 20 "${in_user_namespace[@]}" "$verdict" run --queue 0 --for 1 --stats none $options
		if [ "$status" -eq 0 ]; then ok "a user namespace${options:+, }$options"; else not_ok "a user namespace${options:+, }$options"; show_output; fi
	done
	expect_kept '^verdict: note: the supplementary groups stay as they are: this user namespace does not let them be changed$' \
		"what the kernel does not allow there is a note"
	run_and_keep timeout 20 "${in_user_namespace[@]}" "$verdict" run --queue 0 --for 1 --user filter
	expect_kept '^verdict: uid 4242 is not in this user namespace: choose one of /proc/self/uid_map$' "a user that is not there"
	if [ "$status" -eq 1 ]; then ok "is refused"; else not_ok "is refused ($status)"; fi
else
	skip "user namespaces: this kernel or its settings have none for users"
fi

finish
