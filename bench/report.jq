# SPDX-License-Identifier: MIT
#
# PERFORMANCE.md: words are written here, numbers come from the results, each named as its file.
include "results";
include "production";

def environment: $environment[0];
def drain: $drain[0];
def drain_one_cpu: $drain_one_cpu[0];
def libipq: $libipq[0];
def bounds: $limits[0];
def knobs: $knobs[0];
def traffic: $traffic[0].traffic;
def live: $live[0];
def loads: $loads[0];
def lossless: $lossless[0];
def levers: $levers[0]; # may be missing
def engine: $engine[0];
def function: $function[0];
def message: $message[0];
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

def what_the_kernel_allows:
	("What the kernel allows" | heading),
	("sudo bench/net/drain --limits --rounds \(bounds.rounds)" | command),
	("Bare loops receive packets in bursts and answer them in bursts, without looking at any, deciding, counting, or reading an
	error (`bench/net/bare.c`). *one*: one thread, 64 packets in one message. *separate*: a message for each. *pipeline*: one
	thread receives and one answers, 64 packets in one message. *free*: two threads, each receives and answers bursts, and the
	packets of a flow leave in any order. No engine can be faster than the best of them, but by doing less." | paragraph),
	(bounds | drain_table),
	(bounds | .summary as $all |
	 def best($verdict; $names): [$all[] | select(.verdict == $verdict and (.program | IN($names[]))) | .kpps] | max;
	 def share($verdict; $program; $names): "\(percent([$all[] | select(.verdict == $verdict and .program == $program) | .kpps][0];
		best($verdict; $names); 0))";
	 ["bare, one", "bare, separate"] as $one | ($one + ["bare, pipeline", "bare, free"]) as $any |
	 "Of the best bare loop's speed verdict reaches \(share("accept"; "verdict"; $any)) (ACCEPT) and
	 \(share("drop"; "verdict"; $any)) (DROP) with two workers, and with one worker, of the best with one thread,
	 \(share("accept"; "verdict, one worker"; $one)) and \(share("drop"; "verdict, one worker"; $one))." | paragraph);

def one_thing_at_a_time:
	("One thing at a time" | heading),
	"", "### Options",
	("sudo bench/net/drain --knobs --rounds \(knobs.rounds)" | command),
	("The same full queue, and `verdict run` with one option that is not as by default. The ratio is that to the default." | paragraph),
	(knobs | drain_table),
	"", "### Packets",
	("sudo bench/net/drain --verdict accept --size 1372 --flows 64 --count 30000" | command),
	("Other packets, all accepted, by the programs of \"A full queue\"; of those of 1,400 bytes fewer, as the yardstick's buffer holds no more. The size is that of the IPv4 packet." | paragraph),
	([traffic[] | (.payload_bytes + 28) as $size | .flows as $flows | .summary[] |
		[($size | grouped), ($flows | grouped), .program, "\(.kpps | fixed(1)) (\(.kpps_min | fixed(1)) – \(.kpps_max | fixed(1)))",
		 (.cpu_us_per_packet | fixed(2)), "\(.ratio | fixed(2)) (\(.ratio_min | fixed(2)) – \(.ratio_max | fixed(2)))"]] |
	 table(["bytes", "flows", "program", "1,000 packets/s", "CPU µs/packet", "ratio"]; 3));

# other ways to build it, each of which an option still is, or a bare loop
def rejected:
	def knob($verdict; $program): [knobs.summary[] | select(.verdict == $verdict and .program == $program) | .ratio][0];
	def bare($verdict; $program): [bounds.summary[] | select(.verdict == $verdict) | {(.program): .kpps}] | add | .[$program] / .verdict;
	def row($what; $option; $why): [$what, ($option | code), $why, (knob("accept"; $option) | fixed(2)), (knob("drop"; $option) | fixed(2))];
	def loop($what; $name; $why): [$what, ("bare --shape \($name)" | code), $why, (bare("accept"; "bare, \($name)") | fixed(2)),
		(bare("drop"; "bare, \($name)") | fixed(2))];
	("Tried, and not so by default" | heading),
	("Ratios are those of the tables above, to `verdict run` as it is by default, for a full queue. A bare loop does nothing but receive and
	answer." | paragraph),
	([row("a thread that only answers"; "--writers 1"; "answering takes longer than reading: one thread of its own is the bottleneck"),
	  row("two of them"; "--writers 2"; "threads beside each other want the same CPUs, and each packet goes through one more ring"),
	  row("more workers than CPUs"; "--workers 4"; "more hand-overs, and no more CPU time"),
	  row("bursts of 8"; "--batch 8"; "more system calls; and packets wait no longer in those of 64, which are as long only as there are packets"),
	  row("packet by packet"; "--batch 1"; "a system call for each verdict"),
	  row("threads that stay on their CPUs"; "--cpu 0,1"; "nothing to gain here that is more than the spread, and something to lose beside other programs"),
	  row("waiting for company"; "--batch-delay 50"; "the queue is full, so none is waited for; at a low rate packets only come later"),
	  loop("two threads that read and answer as they like"; "free"; "packets of a flow overtake each other"),
	  loop("a reader and a writer that spin"; "pipeline"; "it takes all of two CPUs also when nothing comes")] |
	 table(["what", "how", "why not", "ACCEPT", "DROP"]; 3));

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
	 table(["program", "1,000 packets/s", "CPU µs/packet", "ratio"]; 1)),
	("*bare* is the loop *one* of above." | paragraph);

# ---- where nothing is full ----

# one figure of a load
def load($load; $what; $program):
	[loads.summary[] | select(.load == $load and .what == $what and .program == $program)] |
	if length == 1 then .[0] else error("loads.json has no \($load), \($what), \($program)") end;

def ratio($digits): if . == null then "" else fixed($digits) end;

# a search finds nothing when the machine was busy with something else
def searches: lossless.runs | map(select(.verdict > 0 and .yardstick > 0));
def lossless_ratios: searches | map(.verdict / .yardstick);

def everyday_loads:
	def rows($load): [loads.summary[] | select(.load == $load) |
		[.what, .program, "\(.median | fixed(2)) (\(.min | fixed(2)) – \(.max | fixed(2)))",
		 (.of_yardstick | ratio(2)), (.of_none | ratio(2)), (.of_bare | ratio(2))]] |
		table(["what", "program", "median", "of the yardstick", "of no queue", "of bare"]; 2);
	("Where nothing is full" | heading),
	("sudo bench/net/loads --rounds \(loads.rounds) --seconds \(loads.seconds)" | command),
	("Programs take turns, for \(loads.rounds) rounds of \(loads.seconds) s; ratios are medians of those of the rounds." | paragraph),
	"", "### \(loads.rate | grouped) packets a second",
	("64 bytes, in 64 flows. CPU time of the program, its system calls included, for each packet that arrived." | paragraph),
	rows("paced"),
	"", "### One datagram there and back",
	("The next one leaves when the last one is back. Sender, echo and program are all on one CPU." | paragraph),
	rows("pingpong"),
	"", "### One TCP connection",
	("It sends as fast as it can, in packets as large as the kernel makes them (F_GSO). With a program in the way there are
	three that want CPU time, on \(environment.cpus) CPUs. *first:8* leaves all but the first packets of the connection in the kernel,
	by a connection mark." | paragraph),
	rows("stream"),
	"", "### The highest rate without loss",
	("sudo build/plain/verdict bench --find-max --compare yardstick --rate 1k --seconds 0.5 --rounds 1" | command),
	("\(searches | length) searches each, by turns\(if (searches | length) < lossless.rounds then
		"; \(lossless.rounds - (searches | length)) more found no such rate" else "" end). The sender is on the same CPUs, and 64 flows share the rate." | paragraph),
	([["yardstick mnl", (searches | map(.yardstick / 1000) | spread(1)), "1.00"],
		["verdict", (searches | map(.verdict / 1000) | spread(1)), (lossless_ratios | spread(2))]] |
	 table(["program", "1,000 packets/s", "ratio"]; 1));

# what was aimed at: the aim; what was measured; the same of a bare loop
def aims:
	def limit($verdict; $names): [bounds.summary[] | select(.verdict == $verdict and (.program | IN($names[]))) | .ratio] | max;
	def drained_by($verdict; $program): [bounds.summary[] | select(.verdict == $verdict and .program == $program) | .ratio][0];
	def lived_by($program): [live.summary[] | select(.program == $program) | .ratio][0];
	def more($what; $aim; $is; $bare): [$what, "at least \($aim)", ($is | fixed(2)), ($bare | ratio(2)),
		if $bare then percent($is; $bare; 0) else "" end, if $is >= ($aim | split(" ")[0] | tonumber) then "yes" elif $bare and $is >= 0.95 * $bare then "as bare" else "no" end];
	def less($what; $aim; $is; $bare): [$what, "at most \($aim)", ($is | fixed(2)), ($bare | ratio(2)),
		if $bare then percent($bare; $is; 0) else "" end, if $is <= ($aim | split(" ")[0] | tonumber) then "yes" elif $bare and 0.95 * $is <= $bare then "as bare" else "no" end];
	["bare, one", "bare, separate"] as $one | ($one + ["bare, pipeline", "bare, free"]) as $any |
	"Gbit/s" as $stream | "CPU, us a packet" as $cpu |
	(engine | repetitions_of("work/workers:1") | map(.packets_per_s) | median) as $alone |
	([engine | repetitions[] | select(.name | startswith("work/"))] | last) as $together |
	($together.name | arguments.workers | tonumber) as $workers |
	(engine | repetitions_of("share/threads:\($workers)") | map(.packets_per_s) | median) as $shared |
	("What was aimed at" | heading),
	("The aims were set before the engine was there. Some are more than this kernel allows on this machine: there the bare loop says
	what it does allow, and 95 % of that is the aim." | paragraph),
	([more("a full queue, ACCEPT, two workers: of the yardstick"; "2.6"; drained_by("accept"; "verdict"); limit("accept"; $any)),
	  more("a full queue, DROP, two workers"; "3.2"; drained_by("drop"; "verdict"); limit("drop"; $any)),
	  more("a full queue, ACCEPT, one worker"; "1.4"; drained_by("accept"; "verdict, one worker"); limit("accept"; $one)),
	  more("a full queue, DROP, one worker"; "1.7"; drained_by("drop"; "verdict, one worker"); limit("drop"; $one)),
	  more("live, a sender that is faster: of the yardstick"; "1.5"; lived_by("verdict"); lived_by("bare")),
	  more("the highest rate without loss: of the yardstick"; "1.5"; (lossless_ratios | median); null),
	  less("CPU time a packet at \(loads.rate | grouped) a second: of the yardstick"; "0.7"; load("paced"; $cpu; "verdict").of_yardstick;
		load("paced"; $cpu; "bare").of_yardstick),
	  less("ping-pong, median: of the yardstick"; "1.0"; load("pingpong"; "median, us"; "verdict").of_yardstick;
		load("pingpong"; "median, us"; "bare").of_yardstick),
	  less("ping-pong, 99th percentile"; "1.0"; load("pingpong"; "99th percentile, us"; "verdict").of_yardstick;
		load("pingpong"; "99th percentile, us"; "bare").of_yardstick),
	  more("a TCP stream, whole packets: of the yardstick"; "1.0"; load("stream"; $stream; "verdict, whole packets").of_yardstick;
		load("stream"; $stream; "bare, whole packets").of_yardstick),
	  more("the same: of no queue"; "0.85"; load("stream"; $stream; "verdict, whole packets").of_none;
		load("stream"; $stream; "bare, whole packets").of_none),
	  more("a TCP stream, 128 bytes: of no queue"; "0.95"; load("stream"; $stream; "verdict, 128 bytes").of_none;
		load("stream"; $stream; "bare").of_none),
	  more("a TCP stream, first:8 and a connection mark: of no queue"; "0.98"; load("stream"; $stream; "verdict, first:8").of_none; null),
	  less("the engine's own share of a packet, ns"; "30"; (engine | repetitions_of("engine/workers:1/writers:0/lanes:1") |
		map(.own_ns) | median); null),
	  more("\($workers) workers, a function of 200 ns: of \($workers) times one"; "0.9";
		(($together.runs | map(.packets_per_s) | median) / ($workers * $alone)); ($shared / ($workers * $alone))),
	  less("a table with a million flows: of one flow, engine and port"; "1.5"; (engine |
		(repetitions_of("first/flows:1000000") | map(.cpu_ns) | median) / (repetitions_of("first/flows:1") | map(.cpu_ns) | median));
		(engine | 1 + ((repetitions_of("touch/flows:1000000") | map(.cpu_ns) | median) - (repetitions_of("touch/flows:1") | map(.cpu_ns) | median)) /
			(repetitions_of("first/flows:1") | map(.cpu_ns) | median)))] |
	 table(["what", "aim", "measured", "bare loop", "of that", "reached"]; 2));

# for each lever: when it applies and what it costs
def advice: {
	warm: "When the sender is faster than the reader for longer than any queue lasts. What waits in a long queue leaves the
		CPU's caches, and waits longer. It costs losses in bursts that a long queue would have outlasted.",
	copy: "When the verdict can be told from the headers; `verdict run` asks the kernel for what its functions need. It costs
		the view of the rest.",
	copy_gso: "The same where packets are large, because the kernel cuts them later, or not at all. Whole ones also fill the
		reader's receive buffer, and are lost there.",
	gro: "On a router, for UDP flows whose packets follow each other and have one size. It costs nothing but that the
		reader sees packets of up to 64 KB; one verdict is for all that were joined.",
	notrack: "When the flows are tracked only because some rule in the namespace asks for other connections' state. It costs
		their state: no NAT, and no rule about it.",
	rps: "When one CPU receives all packets, is busy with that, and others are idle. It costs an interrupt between CPUs,
		and takes their time from the reader and everybody else: where no CPU is idle it loses.",
	fanout: "When packets arrive on several CPUs: each queue has a lock of its own, and a packet stays where it arrived. By
		address, the packets of two hosts all go to one queue; by CPU, a flow that moves to another CPU changes its queue,
		and its order may suffer.",
	bypass: "When the first packets of a flow decide for the rest. It costs the view of that rest, and connection tracking
		(see `first` in verdict-functions(7))."
};

def levers_of_the_kernel:
	if levers then
		("Levers on the kernel's side" | heading),
		("sudo bench/net/levers --rounds \(levers.rounds) --ms \(levers.ms)" | command),
		("What the kernel can be told, on the way of a packet to a queue and back: `verdict doctor` says where it applies. Senders,
		on the same \(levers.cpus) CPUs, send UDP through a router that queues what it forwards, as fast as they can, in
		\(levers.flows) flows each. Packets that came through in \(levers.ms) ms count. A setting is compared with the first
		one of its lever, in the same round; medians of \(levers.rounds) rounds. CPU time is the reader's, for each packet that
		came through." | paragraph),
		([levers.levers[] | select(.skipped == null) | .title as $title | .settings[0] as $without | .settings[1:][] |
			[$title, $without.setting, .setting, ($without.kpps | fixed(1)), (.kpps | fixed(1)),
			 "\(.ratio | fixed(2)) (\(.ratio_min | fixed(2)) – \(.ratio_max | fixed(2)))",
			 ($without.cpu_us_per_packet | fixed(2)), (.cpu_us_per_packet | fixed(2))]] |
		 table(["lever", "without", "with", "1,000 packets/s without", "with", "ratio", "CPU µs/packet without", "with"]; 3)),
		"",
		(levers.levers[] | select(.skipped == null) | "*\(.title)*: \(advice[.lever])" | item),
		(levers.levers[] | select(.skipped) | "*\(.title)*: not measured here: \(.skipped)." | item)
	else empty end;

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
	says little. \([engine | apart(environment)] | add // "")" | paragraph);

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
	 table(["checksums", "IPv4, ns", "IPv6, ns"]; 1));

def rings:
	# medians by family, who and burst
	(ring | reduce repetitions[] as $one ({}; ($one.name | split("/")) as [$family, $who, $burst] |
		.[$family][$who][$burst | arguments.burst] = ($one.runs | map(.real_time) | median))) as $times |
	($times.one_thread.verdict | keys | map(tonumber) | sort) as $bursts |
	def rows($family): ["verdict", "rte_ring", "ck_ring"][] | select($times[$family][.]) | . as $who |
		[code] + [$bursts[] | $times[$family][$who][tostring] | fixed(2)];
	def part($title; $family): "", "### \($title)", ([rows($family)] | table(["burst"] + $bursts; 1));
	("The ring between two threads" | heading),
	(ring | micro_command(environment) | command),
	("Time by the clock in ns for one number of 32 bits, pushed and popped, its making and checking included; medians of
	\(ring.benchmarks[0].repetitions) repetitions, by turns. rte\\_ring is DPDK's, with one producer and one consumer;
	ck\\_ring is Concurrency Kit's, which moves one number with each call. All three are built with the flags above, DPDK's also
	with those of its package, and move 4 bytes. \([ring | apart(environment)] | add // "")" | paragraph),
	part("In one thread, a burst in, a burst out"; "one_thread"),
	part("From thread to thread"; "two_threads");

def messages:
	def of($name): message | repetitions_of($name) | map(.cpu_time) | median;
	def row($what; $family; $name): of("\($family)/verdict/\($name)") as $ours |
		of("\($family)/libnetfilter_queue/\($name)") as $theirs |
		[$what, ($ours | fixed(1)), ($theirs | fixed(1)), ($theirs / $ours | fixed(1))];
	("Messages" | heading),
	(message | micro_command(environment) | command),
	("CPU time of what surrounds the calls that receive and send: the message of a packet is read, or the verdict of one is
	written, beside libnetfilter\\_queue's `nfq_nlmsg_*()` on the same bytes. Both have to find, and to build, the same. Of a
	message is read what the engine always reads; libnetfilter\\_queue finds all attributes first. Data that goes back stays
	where it is, and is sent from there; libnetfilter\\_queue copies it into the message. Medians of
	\(message.benchmarks[0].repetitions) repetitions, by turns. \([message | apart(environment)] | add // "")" | paragraph),
	([row("a packet's message is read, 64 bytes of payload"; "parse"; "payload:64"),
	  row("the same, 1,400 bytes"; "parse"; "payload:1400"),
	  (["alone", "1"], ["one of 64", "64"] | . as [$how, $batch] |
		(["plain", "a verdict"], ["mark", "a verdict with a mark"], ["payload", "a verdict with 1,400 bytes of data"]) as
			[$name, $what] |
		row("\($what), \($how)"; "build"; "\($name)/batch:\($batch)"))] |
	 table(["what", "ns", "libnetfilter_queue, ns", "times"]; 1));

def functions:
	def of($name): function | repetitions_of("call/\($name)") | map(.cpu_time) | median | fixed(1);
	("Calling functions" | heading),
	(function | micro_command(environment) | command),
	("CPU time in ns for one packet in a chain of so many functions that do nothing, counting what they said included; the
	packets come alone, or in bursts of 64. A chain without functions takes \(of("none/burst:1")) ns for a packet that comes
	alone, \(of("none/burst:64")) ns for one of 64. \"Dealt\" is a function with a state for each shard, where each packet
	of a burst is of another one than the packet before it, so that each is a call by itself: at worst, with more than one
	worker. Medians of \(function.benchmarks[0].repetitions) repetitions, by turns.
	\([function | apart(environment)] | add // "")" | paragraph),
	([("decide", "decide_burst") as $form | (["shared", "shared"], ["worker", "worker"], ["flow", "flow"],
		["flow, dealt", "flow_dealt"]) as [$title, $scope] |
		[($form + "()" | code), $title] + [(1, 64) as $burst | (1, 4, 16) as $count |
			of("\($form)/\($scope)/functions:\($count)/burst:\($burst)")]] |
	 table(["call", "scope", "1, alone", "4, alone", "16, alone", "1, of 64", "4, of 64", "16, of 64"]; 2));

def workers:
	(engine | repetitions_of("work/workers:1") | map(.packets_per_s) | median) as $one |
	("Workers with work to do" | heading),
	(engine | micro_command(environment) | . + " '--benchmark_filter=^(work|share)'" | command),
	("The same engine, with a function that takes 200 ns of CPU for each packet; one queue, packets from memory, and up to
	a worker for each CPU. The efficiency is the rate, of so many times that of one worker. *bare* are threads that share the same packets
	and the same work without an engine: one receives, and hands bursts to the others through rings; no flow is looked at, and no order
	kept (`bench/micro/share.c`). What it misses is the price of cache lines that go from CPU to CPU." | paragraph),
	(engine | [repetitions[] | select(.name | startswith("work/")) | (.name | arguments.workers | tonumber) as $count |
		(.runs | map(.packets_per_s / 1000)) as $rates |
		("share/threads:\($count)" as $name | engine | repetitions_of($name) | map(.packets_per_s / 1000)) as $bare |
		[$count, ($rates | spread(0)), (.runs | map(.cpu_ns) | median | fixed(1)),
		 percent($rates | median * 1000; $count * $one; 0), ($bare | spread(0)), percent($bare | median * 1000; $count * $one; 0)]] |
	 table(["workers", "1,000 packets/s", "CPU ns/packet", "efficiency", "bare, 1,000 packets/s", "efficiency"]; 0));

def tables:
	def own($flows): engine | repetitions_of("first/flows:\($flows)") | map(.own_ns);
	(own(1) | median) as $one | (own(1000000) | median) as $many |
	def touched($flows): engine | repetitions_of("touch/flows:\($flows)") | map(.own_ns) | median;
	("A table of flows" | heading),
	(engine | micro_command(environment) | . + " '--benchmark_filter=^(first|touch)'" | command),
	("The same engine, one worker, with the stock function `first`, which looks each packet's flow up in a table and counts
	it. The table has room for 4,000,000 flows, so that hardly one goes for another. They come in turn, which is the worst for any cache; the first packet of each
	is not measured." | paragraph),
	(engine | [repetitions[] | select(.name | startswith("first/")) | (.name | arguments.flows | tonumber) as $flows |
		[($flows | grouped), (.runs | map(.own_ns) | spread(1)), (.runs | map(.cpu_ns) | median | fixed(1)),
		 (.runs | map(.own_ns) | median / $one | fixed(2))]] |
	 table(["flows", "own share, ns", "with the port, ns", "times that of one flow"]; 0)),
	("\($many - $one | fixed(0)) ns more for each packet of a million flows, \($many / $one | fixed(2)) times the own share: its
	two or three cache lines come from memory. They are fetched ahead for a whole burst, so packets do not wait for one
	line after the other, but for as many as a CPU can fetch at once: a function that only fetches them, and writes to them
	(*touch* in `bench/micro/bench_engine.cc`), takes \(touched(1000000) - touched(1) | fixed(0)) ns more. \(if $many <= 1.5 * $one then "1.5 times is the most that it is to
	cost." else "It is to cost no more than 1.5 times as much: that is missed here." end)" | paragraph);

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
	time on all of them, \($one | cpu_ns | fixed(0)) ns on one. Several queues have a lock each\(if levers then ": see CPU fan-out" else "; that is not measured here" end)." | item),
	("*Threads are not free.* The engine's own share is \(own("workers:1/writers:0")) with one worker, which decides everything on
	the spot, \(own("workers:2/writers:0")) with two, which hand packets to each other, and \(own("workers:2/writers:1")) with a
	writer besides." | item),
	("*One machine*, small packets, virtual links. And the yardstick is the plain loop: whoever knows a faster program compares
	it by `bench/net/drain --program`." | item),
	("*Parts are measured at their best*: packets are in the cache, branches are foreseen." | item),
	("*Memory is that of the process.* The kernel's queue and the socket's buffer come on top; `--maxlen` in verdict-run(1)
	says how much." | item);

def closing:
	("Measure it yourself" | heading), "", "```", "sudo tools/install-deps --bench", "make all bench-programs test-programs", "sudo bench/run --keep && bench/report", "```",
	("`bench/run` runs all of the above, on a machine that should do nothing else, and keeps the results in `bench/results`.
	`bench/report` writes this file from them; `bench/report --check` says whether it is up to date." | paragraph);

"<!-- written by bench/report from bench/results, not by hand -->",
claims, machine, aims, full_queue, what_the_kernel_allows, one_thing_at_a_time, rejected, live_traffic, everyday_loads, levers_of_the_kernel, old_programs, engine_alone, workers, tables, functions, messages, parts, rings, checksums, taken, production($reloads[0]; $restarts[0]; $isolation[0]; $held[0]; $metrics[0]), limits, closing
