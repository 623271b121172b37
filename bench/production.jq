# SPDX-License-Identifier: MIT
#
# PERFORMANCE.md, what running for long takes: reloads, successors, processes for functions, held packets, being looked at. What was
# not measured is left out.
include "results";

def reloads_of:
	"", "### Reloads",
	("sudo bench/net/reloads --rounds \(.rounds) --seconds \(.seconds)" | command),
	("\(.rate | grouped) packets a second, four fifths of what comes through at most, for \(.seconds) s, without and with reloads
	all the time; \(.rounds) rounds of each, by turns. \(.reloads | grouped) reloads in all. Lost without them:
	\(.lost_without | grouped), with them: \(.lost_with | grouped); overtaken within a flow: \(.disordered_with | grouped)." | paragraph),
	([["half", "p50"], ["99 %", "p99"], ["99.9 %", "p999"], ["the slowest of a round", "max"], ["the slowest of all", "worst"]] as $rows | . as $all |
	 [$rows[] | select($all["\(.[1])_with_us"]) | [.[0], ($all["\(.[1])_without_us"] | fixed(1)), ($all["\(.[1])_with_us"] | fixed(1))]] |
	 table(["latency, µs", "without", "with"]; 1));

def restarts_of:
	. as $all |
	"", "### Successors",
	("sudo bench/net/restarts --rounds \(.rounds)" | command),
	("\(.rate | grouped) packets a second, and the process is replaced in the midst of them: by one that takes over from it, by one
	that is started when it has ended, by one that is started when it was killed; \(.rounds) times each. *Inherited* are packets
	that the dead one had read: they get the fault verdict, and are counted. The time is that between two answers, as the
	receiver sees it." | paragraph),
	([["takeover", "--takeover"], ["restart", "restart"], ["kill", "kill -9"]] |
	 map(. as $way | $all[$way[0]] | [$way[1], (.packets | grouped), (.lost | grouped), (.inherited | grouped), (.overtaken | grouped),
		(.median_ms | fixed(1)), (.worst_ms | fixed(1))]) |
	 table(["", "packets", "lost", "inherited", "overtaken", "ms without service, median", "worst"]; 1));

def isolation_of:
	. as $all |
	"", "### Functions in processes of their own",
	("sudo bench/net/isolation --rounds \(.rounds)" | command),
	("`--isolation process` against threads, and with a function that crashes on one packet in 10,000; medians of \(.rounds) rounds,
	ratios within a round. *Packets from memory* have no kernel, so that nothing hides what the hand-over costs." | paragraph),
	([["packets from memory, ns a packet", "memory"], ["the same, of all threads' CPU", "memory_cpu"],
	  ["with 1 µs of work, ns a packet", "work"], ["one packet at a time, ns a packet", "alone"],
	  ["ping-pong, median, ns", "pingpong_p50"], ["ping-pong, 99th percentile, ns", "pingpong_p99"]] |
	 map(. as $row | $all[$row[1]] | select(.) | [$row[0], (.thread_ns | fixed(1)), (.process_ns | fixed(1)), (.ratio | fixed(2)),
		(if .crashes_ns then .crashes_ns | fixed(1) else "" end), (if .crashes_ratio then .crashes_ratio | fixed(2) else "" end)]) |
	 table(["", "thread", "process", "by thread", "with crashes", "by process"]; 1)),
	if .drain then
		("A full queue, accepted: 1,000 packets a second." | paragraph),
		([.drain[] | [.program, "\(.kpps | fixed(1)) (\(.kpps_min | fixed(1)) – \(.kpps_max | fixed(1)))",
			"\(.ratio | fixed(2)) (\(.ratio_min | fixed(2)) – \(.ratio_max | fixed(2)))"]] | table(["", "1,000 packets/s", "by thread"]; 1))
	else empty end;

def held_of:
	"", "### Held packets",
	("sudo bench/net/held" | command),
	("What gets through while functions hold packets of the same queue, and what a held one takes of the process's memory: of a few
	this is mostly what the first one takes. One run each." | paragraph),
	([.[] | [(.held | grouped), (.packets_per_second | grouped), if .held > 0 then (.bytes_each | grouped) else "" end]] |
	 table(["held", "packets/s", "bytes each"]; 0));

def metrics_of:
	. as $all |
	"", "### Being looked at",
	("sudo bench/net/metrics --rounds \(.rounds) --seconds \(.seconds)" | command),
	("Metrics, and somebody who fetches them \(.scrapes_per_second) times a second, against none; medians of \(.rounds) rounds,
	ratios within a round." | paragraph),
	([.summary[] | [.load, .figure, .shape, (.median | fixed(2)), "\(.ratio | fixed(3)) (\(.ratio_min | fixed(3)) – \(.ratio_max | fixed(3)))"]] |
	 table(["load", "what", "", "median", "ratio"]; 3));

def production($reloads; $restarts; $isolation; $held; $metrics):
	if $reloads or $restarts or $isolation or $held or $metrics then
		("Running for long" | heading),
		($reloads | select(.) | reloads_of), ($restarts | select(.) | restarts_of), ($isolation | select(.) | isolation_of),
		($held | select(.) | held_of), ($metrics | select(.) | metrics_of)
	else empty end;
