#!/bin/bash
# SPDX-License-Identifier: MIT
#
# verdict run --metrics: what Prometheus scrapes is what was sent, on real packets through real queues; who hangs or talks
# nonsense is in nobody's way; and the dashboard asks for nothing that there is not. All of it in a namespace of its own.

# shellcheck disable=SC2016,SC2317 # programs of awk in quotes; functions that wait_until and expect_exit call

set -u
cd "$(dirname "$0")/../.." || exit 1
. test/support/namespace.sh
. test/support/shell.sh
. test/support/daemon.sh

send=$build/bench/net/send
export VERDICT_FUNCTION_PATH=$build/functions
queues=/proc/net/netfilter/nfnetlink_queue
dashboard=tools/grafana/verdict.json

# ---- what is refused ----

wanted='--metrics takes a port, an address and a port as in 127.0.0.1:9100 or \[::1\]:9100, or none'
for wrong in '' 0 65536 x localhost:9100 127.0.0.1 127.0.0.1: ::1:9100 '[::1]' 1.2.3.4.5:9100; do
	expect_sentence run 2 "$wanted, not '${wrong//[/\\[}'" "wrong usage: --metrics '$wrong'" --queue 0 --metrics "$wrong"
done

if [ "$(id -u)" -ne 0 ]; then
	skip "everything on real packets: needs root"
	finish
fi

ip link set lo up || exit 1
iptables-legacy -A INPUT -p udp --dport 9000:9001 -j NFQUEUE --queue-num 0 || exit 1
iptables-legacy -A INPUT -p udp --dport 9002 -j NFQUEUE --queue-num 1 || exit 1

nothing_is_bound() {
	if grep -q . "$queues"; then not_ok "$1"; else ok "$1"; fi
}

expect_sentence run 1 'metrics cannot be shown at 192.0.2.1:9100: Cannot assign requested address: choose an address of this machine' \
	"an address that is not of this machine" --queue 0 --metrics 192.0.2.1:9100
printf 'queue 0;\nmetrics 192.0.2.1:9100;\n' >"$scratch/elsewhere.conf"
expect_sentence run 1 "elsewhere.conf:2: metrics cannot be shown at 192.0.2.1:9100" "and a file says where it stands" \
	--config "$scratch/elsewhere.conf"
nothing_is_bound "and no queue is bound"

# ---- a client ----

# request TEXT [PORT [HOST]]: sends it, and shows the whole answer; the connection ends with it
request() {
	local connection

	exec {connection}<>"/dev/tcp/${3:-127.0.0.1}/${2:-9100}" || return 1
	printf '%b' "$1" >&"$connection"
	timeout 20 cat <&"$connection"
	exec {connection}>&-
}

get() {
	request "GET $1 HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n" "${@:2}"
}

# scrape: into $scratch/metrics, without what stands before
scrape() {
	get /metrics "$@" | tr -d '\r' >"$scratch/answer" && sed '1,/^$/d' "$scratch/answer" >"$scratch/metrics" &&
		grep -q '^verdict_build_info' "$scratch/metrics"
}

# value SERIES: of the last scrape
value() {
	awk -v series="$1" 'substr($0, 1, length(series) + 1) == series " " { print $2 }' "$scratch/metrics"
}

# sum PREFIX: of all series that begin so
sum() {
	awk -v prefix="$1" 'index($0, prefix) == 1 { sum += $2 } END { printf "%d\n", sum }' "$scratch/metrics"
}

# expect_value NUMBER SERIES
expect_value() {
	if [ "$(value "$2")" = "$1" ]; then
		ok "$2 is $1"
	else
		not_ok "$2 is '$(value "$2")', not $1"
	fi
}

# start OPTION...: an engine in the background; $engine is its process
start() {
	start_daemon "$scratch/out" "$scratch/err" --stats none "$@" || finish
}

# ended: stops it; $status
ended() {
	kill -TERM "$engine"
	await 20 "$engine"
}

is_settled() {
	[ "$(awk '{ waiting += $3 } END { print waiting + 0 }' "$queues")" -eq 0 ] && scrape &&
		[ "$(sum verdict_queue_in_flight_packets)" -eq 0 ] && [ "$(sum verdict_queue_packets_received_total)" -eq "$1" ] &&
		[ "$(sum verdict_queue_verdicts_total)" -eq "$1" ]
}

# packets COUNT PORT
packets() {
	"$send" --to 127.0.0.1 --port "$2" --count "$1" --flows 8 >"$scratch/sent" || not_ok "$1 packets cannot be sent"
}

# ---- the numbers ----

start --queue 0-1 --function match:'udp port 9001=drop' --function match:'udp port 9002=accept' --workers 2 --metrics 9100
packets 700 9000
packets 300 9001
packets 200 9002
if wait_until 20 is_settled 1200; then ok "all packets are in the metrics"; else not_ok "all packets are in the metrics"; fi
expect_value 1000 'verdict_queue_packets_received_total{queue="0"}'
expect_value 200 'verdict_queue_packets_received_total{queue="1"}'
expect_value 64000 'verdict_queue_bytes_received_total{queue="0"}'
expect_value 700 'verdict_queue_verdicts_total{queue="0",verdict="accept"}'
expect_value 300 'verdict_queue_verdicts_total{queue="0",verdict="drop"}'
expect_value 200 'verdict_queue_verdicts_total{queue="1",verdict="accept"}'
expect_value 300 'verdict_queue_drops_total{queue="0",cause="function"}'
expect_equal 300 "$(sum 'verdict_queue_drops_total{')" "and that is all that did not go on"
expect_value 700 'verdict_queue_default_total{queue="0"}'
expect_value 0 'verdict_queue_default_total{queue="1"}'
expect_value 16384 'verdict_queue_limit_packets{queue="1"}'
expect_value 128 'verdict_queue_copy_range_bytes{queue="0"}'
expect_value 1200 'verdict_function_packets_total{function="match",place="0"}'
expect_value 900 'verdict_function_packets_total{function="match",place="1"}'
expect_value 300 'verdict_function_verdicts_total{function="match",place="0",verdict="drop"}'
expect_value 900 'verdict_function_verdicts_total{function="match",place="0",verdict="next"}'
expect_value 200 'verdict_function_events_total{function="match",place="1",counter="matched"}'
expect_value 1000 'verdict_queue_latency_seconds_count{queue="0",since="received"}'
expect_value 1000 'verdict_queue_latency_seconds_bucket{queue="0",since="received",le="+Inf"}'
expect_value 200 'verdict_queue_latency_seconds_count{queue="1",since="received"}'
expect_value 1 "verdict_build_info{version=\"$("$verdict" --version | sed 's/.* //')\"}"
expect_equal 1200 "$(sum 'verdict_worker_packets_total{')" "threads decided as many"
# nobody has these ports, and the kernel counts what came for them
expect_equal 900 "$(awk '/^Udp: [0-9]/ { print $3 }' /proc/net/snmp)" "as many went on as arrived behind the queues"
expect_equal 1200 "$(awk '{ sum += $8 } END { print sum }' "$queues")" "the kernel gave out as many ids"
expect_equal "$(awk '/^Threads:/ { print $2 }' "/proc/$engine/status")" "$(value process_threads)" \
	"there are as many threads as the kernel knows"
expect_equal 2 "$(grep -c '^verdict_worker_packets_total{worker="worker-[01]"}' "$scratch/metrics")" \
	"there is a line for each worker"

# not_falling FILE: each counter, and each bucket of a histogram, is as large as in the scrape before at least
not_falling() {
	awk '/^# TYPE .* counter$/ { counter[$3] }
		!/^#/ { name = $1; sub(/\{.*/, "", name); if (name in counter || name ~ /_(bucket|count|sum)$/) print }' \
		"$scratch/metrics" >"$scratch/now"
	awk 'NR == FNR { before[$1] = $2; next } $1 in before && $2 + 0 < before[$1] + 0 { print; fell = 1 } END { exit fell }' \
		"$1" "$scratch/now"
}

scrape && awk '/^verdict_queue_latency_seconds_bucket\{queue="0",since="received"/ { if ($2 < last) exit 1; last = $2 }' "$scratch/metrics"
expect_equal 0 $? "buckets of the histogram are cumulative"

"$send" --to 127.0.0.1 --port 9000 --for 2 --flows 8 --rate 20000 >/dev/null &
children+=($!)
fell=''
: >"$scratch/now"
for ((i = 0; i < 20; i++)); do
	cp "$scratch/now" "$scratch/before"
	scrape || { not_ok "a scrape under load"; break; }
	fell+=$(not_falling "$scratch/before")
done
expect_equal '' "$fell" "no counter goes down under load"
wait $!

# ---- HTTP ----

run_and_keep get /metrics
expect_kept '^HTTP/1.1 200 ' "/metrics is there"
expect_kept '^Content-Type: text/plain; version=0.0.4; charset=utf-8' "with the type that Prometheus wants"
run_and_keep get /
expect_kept 'href="/metrics"' "/ leads there"
run_and_keep get /other
expect_kept '^HTTP/1.1 404 ' "there is nothing else"
run_and_keep request 'HEAD /metrics HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n'
expect_kept '^HTTP/1.1 200 ' "HEAD is answered"
if grep -q verdict_ <<<"$output"; then not_ok "without a body"; else ok "without a body"; fi
for method in POST PUT DELETE OPTIONS NONSENSE; do
	run_and_keep request "$method /metrics HTTP/1.1\r\nHost: here\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody"
	expect_kept '^HTTP/1.1 405 ' "$method is not"
done
expect_kept '^Allow: GET, HEAD' "and is told what is"
run_and_keep request 'GET /metrics HTTP/1.0\r\n\r\n'
expect_kept '^verdict_build_info' "HTTP/1.0 will do"

if type promtool >/dev/null 2>&1; then
	scrape
	expect_exit 0 "promtool finds nothing wrong" promtool check metrics <"$scratch/metrics"
	expect_equal '' "$output" "and has nothing to say"
else
	skip "what promtool says: it is not here (package prometheus)"
fi

# ---- who hangs, and who talks nonsense ----

trap '' PIPE # who writes to a connection that was closed is told by the write
descriptors=$(find "/proc/$engine/fd" -mindepth 1 | wc -l)
hanging=()
begin=$SECONDS
for ((i = 0; i < 60; i++)); do
	exec {connection}<>/dev/tcp/127.0.0.1/9100 || break
	hanging+=("$connection")
	((i % 3 == 0)) || printf 'GET /metrics HTTP/1.1\r\nX: %d' "$i" 1>&"$connection" 2>"$scratch/refused"
done
expect_equal 60 "${#hanging[@]}" "60 clients hang"
if scrape; then ok "and a scrape comes through"; else not_ok "and a scrape comes through"; fi
# after 10 seconds they would have to go anyway
if [ $((SECONDS - begin)) -lt 9 ]; then ok "long before they have to go"; else not_ok "long before they have to go ($((SECONDS - begin)) s)"; fi
now=$(find "/proc/$engine/fd" -mindepth 1 | wc -l)
if [ "$now" -le $((descriptors + 17)) ]; then
	ok "few of them have a place"
else
	not_ok "few of them have a place ($descriptors descriptors before, $now now)"
fi
for connection in "${hanging[@]}"; do exec {connection}>&-; done

# a client that asks and does not read
exec {connection}<>/dev/tcp/127.0.0.1/9100
for ((i = 0; i < 50; i++)); do printf 'GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n'; done 1>&"$connection" 2>"$scratch/refused"
if scrape; then ok "a client that does not read is in nobody's way"; else not_ok "a client that does not read is in nobody's way"; fi
exec {connection}>&-

nonsense() {
	case $1 in
	0) head -c 100000 /dev/urandom ;;
	1) head -c 1000000 /dev/zero ;;
	2) printf 'GET /%0500000d HTTP/1.1\r\n\r\n' 1 ;;
	3) printf 'GET /metrics HTTP/1.1\r\nHost: %0500000d\r\n\r\n' 1 ;;
	4) printf '\r\n\r\n\r\n' ;;
	5) printf 'GET /metrics HTTP/9.9\r\n\r\n' ;;
	6) printf 'POST /metrics HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\nfffffffff\r\nx' ;;
	7) printf '\x16\x03\x01\x02\x00\x01' ;; # the beginning of TLS
	esac
}
for ((i = 0; i < 8; i++)); do
	exec {connection}<>/dev/tcp/127.0.0.1/9100
	nonsense "$i" 1>&"$connection" 2>"$scratch/refused"
	exec {connection}>&-
done
if scrape; then ok "after nonsense a scrape comes through"; else not_ok "after nonsense a scrape comes through"; fi
before=$(sum verdict_queue_packets_received_total)
packets 500 9000
if wait_until 20 is_settled $((before + 500)); then ok "and packets are decided"; else not_ok "and packets are decided"; fi

# nobody there: the thread that answers sleeps, and is woken by nothing
is_alone() {
	[ "$(find "/proc/$engine/fd" -mindepth 1 | wc -l)" -le "$descriptors" ]
}
switches() {
	awk '/ctxt_switches/ { sum += $2 } END { print sum }' "/proc/$engine/task/$engine/status"
}
if wait_until 30 is_alone; then ok "all connections are gone"; else not_ok "all connections are gone"; fi
before=$(switches)
sleep 2
now=$(switches)
if [ $((now - before)) -le 1 ]; then ok "between scrapes nothing runs"; else not_ok "between scrapes nothing runs (woken $((now - before)) times)"; fi

# ---- two with one port ----

expect_sentence run 1 'metrics cannot be shown at 9100: Address already in use: stop the program that listens there, or choose another port' \
	"a port that another one has" --queue 7 --metrics 9100
expect_sentence run 1 'metrics cannot be shown at 0.0.0.0:9100: Address already in use' "also at all addresses" --queue 7 --metrics 0.0.0.0:9100
if awk '$1 == 7 { exit 1 }' "$queues"; then ok "no queue is bound for it"; else not_ok "no queue is bound for it"; fi
if scrape; then ok "the first one goes on"; else not_ok "the first one goes on"; fi
ended
expect_equal 0 "$status" "and ends as asked"

# ---- where it listens ----

start --queue 0 --metrics 9100
if scrape; then ok "a port can be used again at once"; else not_ok "a port can be used again at once"; fi
output=$(awk '$4 == "0A" { print $2 }' /proc/net/tcp /proc/net/tcp6)
expect_equal 0100007F:238C "$output" "a port is that of 127.0.0.1"
ended
start --queue 0 --metrics '[::1]:9101'
if scrape 9101 ::1; then ok "an address of IPv6"; else not_ok "an address of IPv6"; fi
ended
printf 'queue 0;\nmetrics 127.0.0.1:9102;\n' >"$scratch/here.conf"
start --config "$scratch/here.conf"
if scrape 9102; then ok "the key of a file"; else not_ok "the key of a file"; fi
has_reloaded() {
	scrape 9102 && [ "$(value "verdict_reloads_total{result=\"$1\"}")" = 1 ]
}
printf 'queue 0;\nqueue 3 { maxlen 77 }\nmetrics 127.0.0.1:9102;\n' >"$scratch/here.conf"
kill -HUP "$engine"
if wait_until 20 has_reloaded "done"; then ok "a reload is counted"; else not_ok "a reload is counted"; fi
expect_value 77 'verdict_queue_limit_packets{queue="3"}'
# has_reloaded_at PORT RESULT COUNT
has_reloaded_at() {
	scrape "$1" && [ "$(value "verdict_reloads_total{result=\"$2\"}")" = "$3" ]
}
listening() {
	awk '$4 == "0A" { print $2 }' /proc/net/tcp /proc/net/tcp6 | sort | tr '\n' ' '
}
printf 'queue 0;\nmetrics 9103;\n' >"$scratch/here.conf"
kill -HUP "$engine"
if wait_until 20 has_reloaded_at 9103 "done" 2; then ok "a reload moves it to another address"; else not_ok "a reload moves it to another address"; fi
expect_equal '0100007F:238F ' "$(listening)" "and away from the old one"
printf 'queue 0;\nmetrics 127.0.0.1:9103;\n' >"$scratch/here.conf"
kill -HUP "$engine"
if wait_until 20 has_reloaded_at 9103 "done" 3; then ok "the same one, written otherwise"; else not_ok "the same one, written otherwise"; fi
background "$verdict" run --queue 9 --metrics 9104 --stats none >/dev/null 2>&1
other=$child
is_listening() {
	[[ $(listening) == *"$1"* ]]
}
wait_until 20 is_listening 0100007F:2390 || not_ok "another one listens"
printf 'queue 0;\nmetrics 9104;\n' >"$scratch/here.conf"
kill -HUP "$engine"
if wait_until 20 has_reloaded_at 9103 refused 1; then ok "one that is taken is refused, and the old one stays"; else not_ok "one that is taken is refused, and the old one stays"; fi
expect_equal 1 "$(grep -c 'not reloaded, .*here.conf:2: metrics cannot be shown at 9104: Address already in use: stop' "$scratch/err")" \
	"with a sentence"
printf 'queue 0;\nmetrics none;\n' >"$scratch/here.conf"
kill -HUP "$engine"
listens_alone() {
	[ "$(listening)" = "$1" ]
}
if wait_until 20 listens_alone '0100007F:2390 '; then ok "none ends it"; else not_ok "none ends it"; fi
kill "$other"
wait "$other"
printf 'queue 0;\nmetrics 127.0.0.1:9102;\n' >"$scratch/here.conf"
kill -HUP "$engine"
if wait_until 20 has_reloaded_at 9102 "done" 5; then ok "and it can come again, with its counts"; else not_ok "and it can come again, with its counts"; fi
ended
start --config "$scratch/here.conf" --metrics none
expect_equal '' "$(awk '$4 == "0A"' /proc/net/tcp /proc/net/tcp6)" "--metrics none takes it back"
ended

# ---- losses, by cause ----

if [ -e "$build/test/functions/slow.so" ]; then
	start --queue 0 --function "$build/test/functions/slow.so:2000,sleep" --maxlen 20 --workers 1 --metrics 9100
	packets 500 9000
	has_lost() {
		scrape && [ "$(value 'verdict_queue_waiting_packets{queue="0"}')" = 0 ] &&
			[ "$(value 'verdict_queue_drops_total{queue="0",cause="queue_full"}')" -gt 0 ] &&
			[ $(($(sum 'verdict_queue_drops_total{') + $(sum verdict_queue_verdicts_total))) -eq 500 ]
	}
	if wait_until 30 has_lost; then ok "overload is a cause, and all packets are there"; else not_ok "overload is a cause, and all packets are there"; fi
	ended
else
	skip "losses: need $build/test/functions (make test-programs)"
fi
start --queue 0 --default drop --metrics 9100
packets 50 9000
if wait_until 20 is_settled 50; then ok "default drop"; else not_ok "default drop"; fi
expect_value 50 'verdict_queue_drops_total{queue="0",cause="default"}'
expect_value 0 'verdict_queue_drops_total{queue="0",cause="function"}'
ended

# ---- the dashboard ----

if ! type jq >/dev/null 2>&1; then
	skip "the dashboard: needs jq"
	finish
fi
expect_exit 0 "the dashboard is JSON, with what Grafana wants" jq -e '
	(.title | type) == "string" and (.uid | type) == "string" and .schemaVersion >= 30 and (.templating.list | length) > 0 and
	(.time.from | type) == "string" and ([.panels[].id] | length == (unique | length)) and
	all(.panels[]; (.type | type) == "string" and (.title | type) == "string" and .gridPos.w + .gridPos.x <= 24 and
		(.type == "row" or ((.targets | length) > 0 and .datasource.uid == "${datasource}" and
			all(.targets[]; (.expr | length) > 0 and (.refId | length) > 0))))' "$dashboard"
expect_exit 0 "no panel lies on another" jq -e '
	[.panels[] | .gridPos as $g | range($g.y; $g.y + $g.h) as $y | range($g.x; $g.x + $g.w) as $x | [$x, $y]] |
	length == (unique | length)' "$dashboard"
start --queue 0 --function match:'udp port 9001=drop' --metrics 9100
scrape
grep -v '^#' "$scratch/metrics" | sed 's/[{ ].*//' | sort -u >"$scratch/there"
# builds without jemalloc have no heap to tell of
grep -q "^verdict_heap" "$scratch/there" || printf "%s\n" verdict_heap_allocated_bytes verdict_heap_resident_bytes >>"$scratch/there"
sort -o "$scratch/there" "$scratch/there"
jq -r '(.panels[] | select(.targets) | .targets[].expr), (.annotations.list[].expr // empty)' "$dashboard" >"$scratch/expressions"
jq -r '.templating.list[] | .definition // empty' "$dashboard" >>"$scratch/expressions"
grep -oE '\b(verdict|process|go)_[a-z0-9_]+' "$scratch/expressions" | sort -u >"$scratch/asked"
expect_equal '' "$(comm -13 "$scratch/there" "$scratch/asked" | paste -sd ' ')" "it asks only for what there is"
if [ "$(wc -l <"$scratch/asked")" -gt 30 ]; then ok "and for much of it"; else not_ok "and for much of it"; fi
# labels: those of Prometheus itself, and those that there are
{ grep -oE '[a-z_]+="' "$scratch/metrics" | tr -d '="'; printf '%s\n' instance job; } | sort -u >"$scratch/labels"
{
	grep -oE '[a-z_]+(=~?|!~|!=)"' "$scratch/expressions" | sed 's/[=!~].*//'
	grep -oE '\b(by|on|group_left) \([a-z, _]*\)' "$scratch/expressions" | sed 's/.*(//; s/)//' | tr -d ' ' | tr ',' '\n'
} | sort -u >"$scratch/asked"
expect_equal '' "$(comm -13 "$scratch/labels" "$scratch/asked" | paste -sd ' ')" "nor by other labels"
ended

finish
