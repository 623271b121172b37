# SPDX-License-Identifier: MIT
#
# PERFORMANCE.md: words are written here, numbers come from the results, each named as its file.
include "results";

def environment: $environment[0];
def drain: $drain[0];
def drain_one_cpu: $drain_one_cpu[0];
def libipq: $libipq[0];
def live: $live[0];
def engine: $engine[0];
def packet: $packet[0];
def edit: $edit[0];
def checksum: $checksum[0];
def ring: $ring[0];
def footprint: $footprint[0];

def claims:
	def drained_by($what): drained("accept"; 2) as $it | drained("accept"; 0) as $other |
		["packets accepted in a second, out of a full queue, \($what)",
		 "\($it.kpps * 1000 | fixed(0)): \($it.ratio | fixed(2)) times \($other.program)", (drain_command | code)];
	(drain_one_cpu | drained("accept"; 2) | cpu_ns) as $packet |
	(engine | repetitions_of("engine/workers:1/writers:0/lanes:1") | map(.own_ns) | median) as $own |
	"# How fast verdict is",
	([(drain | drained_by("on all \(environment.cpus) CPUs")),
	  (drain_one_cpu | drained_by("on one CPU")),
	  ["CPU time of the engine itself for one packet", "\($own | fixed(1)) ns",
	   (engine | micro_command(environment) | . + " --benchmark_filter=workers:1/writers:0/lanes:1" | code)]] |
	 table(["what", "how much", "command"]; 3)),
	("A packet out of the kernel's queue costs \($packet | fixed(0)) ns of CPU time, measured on one CPU: the engine's own
	share is \(percent($own; $packet; 1)) of that. The rest is the kernel's, and that of the port, which speaks netlink with
	it." | paragraph);

def machine:
	("The machine" | heading),
	(environment |
	 [["CPU", "\(.cpus) × \(.cpu)\(if .is_virtual then ", in a virtual machine" else "" end)"],
	  ["memory", "\(.memory_kb / 1048576 | fixed(1)) GB"],
	  ["system", .system], ["kernel", .kernel], ["compiler", .compiler], ["flags", (.flags | code)],
	  ["commit", .commit], ["date", .date],
	  ["load before the first benchmark", (.load | fixed(2))]] | table(["", ""]; 2));

def full_queue:
	def part($title): "", "### \($title)", (drain_command | command), drain_table;
	("A full queue" | heading),
	("\(drain.packets | grouped) packets with \(drain.payload_bytes) bytes of UDP payload, in \(drain.flows) flows, wait in
	the queue of a stopped program. It is woken, and the time until the queue is empty counts: reading, deciding and
	answering, and the rest of the way on which the kernel takes an accepted packet, over a veth pair to a rule that counts
	and drops it. Every accepted packet has to arrive there, and no dropped one. The sender's work is over by then. \"yardstick
	mnl\" is the loop that libnetfilter_queue's own documentation teaches, \"yardstick classic\" that of its older interface, with
	a callback (`bench/net/yardstick.c`); all decide the same, and nothing else." | paragraph),
	("Programs take turns, for \(drain.rounds) rounds. Figures are medians, in parentheses the least and the greatest. The ratio
	is that to the first program in the same round, because a machine's speed wanders." | paragraph),
	(drain | part("All CPUs")), (drain_one_cpu | part("One CPU"));

def old_programs:
	("Programs that use libipq" | heading),
	("sudo bench/net/drain --libipq --rounds \(libipq.rounds)" | command),
	("The read-and-accept loop over libipq, against the same loop over libnetfilter_queue, packet by packet; a full queue as
	above. libipq is to cost no more than 1.05 times as much." | paragraph),
	(libipq | drain_table);

def live_traffic:
	("Live" | heading),
	(live | live_command | command),
	("A sender on the same CPUs sends packets with \(live.payload_bytes) bytes of UDP payload, in \(live.flows) flows, as fast as it
	can: more than any program decides, so the queue is always full, and the sender takes the CPU time that is left. Packets that
	came through in \(live.seconds) s count. Medians of \(live.rounds) rounds." | paragraph),
	(live | [.summary[] | [.program, "\(.kpps | fixed(1)) (\(.kpps_min | fixed(1)) – \(.kpps_max | fixed(1)))",
	  (.cpu_us_per_packet | fixed(2)), "\(.ratio | fixed(2)) (\(.ratio_min | fixed(2)) – \(.ratio_max | fixed(2)))"]] |
	 table(["program", "1,000 packets/s", "CPU µs/packet", "ratio"]; 1));

def engine_alone:
	(engine | [repetitions[] | select(.name | startswith("port_alone/"))] | last) as $port |
	("The engine alone" | heading),
	(engine | micro_command(environment) | command),
	("Packets from memory, a function that accepts all, verdicts into nothing: no kernel. Figures are CPU time of all threads
	together, for one packet, but for the time by the clock. The own share is what remains without the simulated queue, which
	is also measured without an engine: \($port.runs | map(.cpu_ns) | median | fixed(1)) ns, in bursts of
	\($port.name | arguments.burst). Medians of \($port.runs | length) repetitions, in parentheses the least and the greatest."
	 | paragraph),
	(engine | [repetitions[] | select(.name | startswith("engine/")) | .runs as $runs | (.name | arguments) |
		[.workers, .writers, .lanes, ($runs | map(.own_ns) | spread(1)), ($runs | map(.cpu_ns) | median | fixed(1)),
		 ($runs | map(.wall_ns) | median | fixed(1)), percent($runs | map(.on_the_spot) | median; 1; 0)]] |
	 table(["workers", "writers", "queues", "own share, ns", "with the port, ns", "by the clock, ns", "decided on the spot"]; 0)),
	("Where there are more threads than the \(environment.cpus) CPUs of this machine they take turns, and the time by the clock
	says little." | paragraph);

def parts:
	def of_family($name): repetitions[] | select(.name | startswith($name + "/"));
	("Parsing and the flow hash" | heading),
	(packet | micro_command(environment) | command),
	("CPU time for one packet in the cache, one of a burst of its kind." | paragraph),
	(packet | . as $all | [of_family("parse") | (.name | sub("parse/"; "")) as $kind |
		[($kind | gsub("_"; " ")), (.runs | map(.cpu_time) | spread(2)),
		 ($all | repetitions_of("flow_hash/" + $kind) | map(.cpu_time) | spread(2))]] |
	 table(["packet", "parsing, ns", "flow hash, ns"]; 1)),
	("Editing" | heading),
	(edit | micro_command(environment) | command),
	("CPU time for one TCP packet of 1,500 bytes in the cache: it is parsed, its destination port and its time to live are
	changed, and its checksums completed. In full is what it takes where a device was to make them." | paragraph),
	(edit | . as $all | [["by what changed", "by_what_changed"], ["in full", "in_full"] | . as [$name, $how] |
		[$name] + [("ipv4_tcp", "ipv6_tcp") as $kind |
			$all | repetitions_of("edit/two_fields/\($how)/\($kind)") | map(.cpu_time) | spread(1)]] |
	 table(["checksums", "IPv4, ns", "IPv6, ns"]; 1)),
	("The ring between two threads" | heading),
	(ring | micro_command(environment) | command),
	("Time by the clock for one entry, pushed and popped, its making and checking included." | paragraph),
	(ring | . as $all | [of_family("one_thread") | (.name | arguments.burst) as $burst |
		[$burst, (.runs | map(.real_time) | spread(2)),
		 ($all | repetitions_of("two_threads/burst:" + $burst) | map(.real_time) | spread(2))]] |
	 table(["burst", "in one thread, ns", "from thread to thread, ns"]; 0));

def checksums:
	def spaced: gsub("_"; " ");
	# medians by family, who, place and size
	(checksum | reduce (repetitions[] | select(.name | contains("/size:"))) as $one ({};
		($one.name | capture("^(?<family>[^/]*)/(?<who>[^/]*)/size:(?<size>[0-9]*)/place:(?<place>[0-9])")) as $at |
		.[$at.family][$at.who]["\($at.place)/\($at.size)"] = ($one.runs | map(.cpu_time) | median))) as $times |
	def sizes($family): [$times[$family][] | keys[] | select(startswith("0/")) | .[2:] | tonumber] | unique;
	def rows($family; $place; $order): [$order[] | select($times[$family][.]) | . as $who |
		[($who | spaced)] + [sizes($family)[] | $times[$family][$who]["\($place)/\(.)"] | fixed(1)]];
	def grid($family; $place; $order): rows($family; $place; $order) | table([""] + [sizes($family)[] | grouped]; 1);
	["scalar", "sse2", "avx2", "avx512", "neon"] as $kernels |
	($kernels + ["libnetfilter_queue", "rte_raw_cksum", "rte_raw_cksum_icelake", "read_avx2", "read_avx512"]) as $sums |
	($kernels + ["memcpy", "memcpy_then_sum"]) as $copies |
	["table", "sse4.2", "avx512", "crc", "crc+pmull", "isa-l"] as $crcs |
	([$kernels[] | select($times.sum[.])] | last) as $best |
	def of($who; $size): $times.sum[$who]["0/\($size)"];
	def chained($size): $times.sum_chained[$best]["0/\($size)"] | fixed(1);
	def times($who): if of($who; 1500) then "\(of($who; 1500) / of($best; 1500) | fixed(1)) times as fast as \($who | spaced)" else empty end;
	def share($who): if of($who; 65535) then "\(percent(of($who; 65535); of($best; 65535); 0)) of the speed of \($who | spaced)"
		else empty end;
	def updated($bits): checksum | repetitions_of("update/\($bits)") | map(.cpu_time) | median | fixed(1);
	("Checksums" | heading),
	(checksum | micro_command(environment) | command),
	("CPU time in ns of the Internet checksum of so many bytes in the cache, folded to 16 bits; medians of
	\(checksum.benchmarks[0].repetitions) repetitions, by turns. The kernel in use is the last that a CPU has, here \($best).
	libnetfilter queue is `nfq_tcp_compute_checksum_ipv4()`, which sums a pseudo-header as well, and of the longest 65,515 bytes;
	rte raw cksum is DPDK's, with -O3 and the flags of its package, or for the CPUs that our avx512 is for; \"read\" loops
	only load the same bytes. \([checksum | apart(environment)] | add // "")" | paragraph),
	("1,500 bytes: \([times("libnetfilter_queue", "rte_raw_cksum", "rte_raw_cksum_icelake")] | join(", ")). 65,535 bytes:
	\([share("read_avx2", "read_avx512")] | join(", "))." | paragraph),
	"", "### Aligned to 64 bytes", grid("sum"; 0; $sums),
	"", "### At an odd address", grid("sum"; 1; $sums),
	("Where a sum has to wait for the one before it, \($best) takes \(chained(20)) ns for 20 bytes, \(chained(64)) ns for 64,
	\(chained(1500)) ns for 1,500. An incremental update, which waits as well, takes \(updated(16)) ns for 16 bits,
	\(updated(32)) ns for 32, \(updated(128)) ns for an IPv6 address." | paragraph),
	"", "### Copy and sum in one pass", grid("copy"; 0; $copies),
	"", "### CRC32c", grid("crc32c"; 0; $crcs);

def taken:
	def kb: "\(grouped) kB";
	def share($digits): "\(fixed($digits)) % of one";
	("What it takes of the machine" | heading),
	(footprint | (.allocations.packets | grouped) as $once | (2 * .allocations.packets | grouped) as $twice |
	 ("sudo bench/net/footprint --seconds \(.idle_seconds) --count \(.allocations.packets)" | command),
	 ("`verdict run --queue 0`, all else as it is by default. Packets come as fast as they can be sent. Allocations are the
	 engine's, in a program that counts them; it had made \(.allocations.allocations_before) before the counting began." | paragraph),
	 ([["CPU time when idle, \(.idle_seconds) s after the start", (.idle_percent_before | share(3)), (.idle_percent_max | share(1))],
	   ["CPU time when idle, \(.idle_seconds) s after the packets", (.idle_percent_after | share(3)), (.idle_percent_max | share(1))],
	   ["resident memory after the start", (.memory_kb_start | kb), (.memory_kb_max | kb)],
	   ["resident memory after \($once) packets", (.memory_kb_once | kb), (.memory_kb_max | kb)],
	   ["resident memory after \($twice) packets", (.memory_kb_twice | kb), "\(.growth_kb_max | kb) more"],
	   ["allocations during \($once) packets", .allocations.allocations, 0],
	   ["calls of free() during them", .allocations.frees, 0]] | table(["what", "measured", "at most"]; 1)));

def limits:
	(drain | drained("accept"; 2)) as $all | (drain_one_cpu | drained("accept"; 2)) as $one |
	def own($threads): engine | repetitions_of("engine/\($threads)/lanes:1") | map(.own_ns) | median | "\(fixed(1)) ns";
	("Limits, and what is weak" | heading), "",
	("*The kernel is the limit.* A cheaper engine would hardly show. What is gained over the plain loop is gained by asking
	the kernel less often: bursts, and one message for many verdicts. How the rest of a packet's time is shared between the
	kernel and the port's netlink messages, no figure here says." | item),
	("*A queue has one lock in the kernel*, at which threads that read and answer it meet. Here \(environment.cpus) CPUs
	empty it \($all.kpps / $one.kpps | fixed(2)) times as fast as one, and a packet costs \($all | cpu_ns | fixed(0)) ns of CPU
	time on all of them, \($one | cpu_ns | fixed(0)) ns on one. Several queues (`--queue-balance`) have a lock each; that is not
	measured here." | item),
	("*Threads are not free.* The engine's own share is \(own("workers:1/writers:0")) with one worker, which decides everything on
	the spot, \(own("workers:2/writers:0")) with two, which hand packets to each other, and \(own("workers:2/writers:1")) with a
	writer besides." | item),
	("*Latency is not in these figures*, nor the highest rate without any loss." | item),
	("*One machine*, small packets, virtual links. And the yardstick is the plain loop: whoever knows a faster program compares
	it by `bench/net/drain --program`." | item),
	("*Parts are measured at their best*: packets are in the cache, branches are foreseen." | item),
	("*Memory is that of the process.* The kernel's queue and the socket's buffer come on top; `--maxlen` in verdict-run(1)
	says how much." | item);

def closing:
	("Measure it yourself" | heading), "", "```", "make all bench-programs", "sudo bench/run --keep && bench/report", "```",
	("`bench/run` runs all of the above, on a machine that should do nothing else, and keeps the results in `bench/results`.
	`bench/report` writes this file from them; `bench/report --check` says whether it is up to date." | paragraph);

"<!-- written by bench/report from bench/results, not by hand -->",
claims, machine, full_queue, live_traffic, old_programs, engine_alone, parts, checksums, taken, limits, closing
