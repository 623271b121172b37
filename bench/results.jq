# SPDX-License-Identifier: MIT
#
# From results to text: numbers as a person reads them, tables of Markdown, and where things are in the results.

# ---- numbers ----

# 1234567 -> "1,234,567"
def grouped: tostring | [while(. != ""; .[:-3]) | .[-3:]] | reverse | join(",");

# 12.345 | fixed(2) -> "12.35"; jq has no printf
def fixed($digits):
	pow(10; $digits) as $scale | ((if . < 0 then -. else . end) * $scale | round) as $whole |
	(if . < 0 and $whole > 0 then "-" else "" end) + ($whole / $scale | floor | grouped) +
	if $digits == 0 then "" else "." + ("00000000" + ($whole % $scale | tostring))[-$digits:] end;

def percent($part; $of; $digits): 100 * $part / $of | fixed($digits) + " %";

def median: sort | (.[(length - 1) / 2 | floor] + .[length / 2 | floor]) / 2;

# a list of figures -> "12.3 (11.9 – 12.8)": median, least and greatest
def spread($digits): "\(median | fixed($digits)) (\(min | fixed($digits)) – \(max | fixed($digits)))";

# ---- Markdown ----

def code: "`\(.)`";

# a paragraph, which may be written in several lines, in lines of 118 columns; $indent begins all but the first
def wrapped($indent):
	reduce scan("\\S+") as $word ([];
		if length > 0 and (last + " " + $word | length) <= 118 then .[:-1] + [last + " " + $word]
		else . + [if length == 0 then $word else $indent + $word end] end) | .[];

def paragraph: "", wrapped("");

def item: "- " + . | wrapped("  ");

def heading: "", "## \(.)";

def command: "", code;

# rows, each a list of cells; the header; how many columns, from the left, are words
def table($header; $words):
	def line: "| " + (map(tostring) | join(" | ")) + " |";
	"", ($header | line), ([range($header | length) | if . < $words then "---" else "---:" end] | line), (.[] | line);

# ---- results of bench/net/drain ----

def drain_command: "sudo bench/net/drain --rounds \(.rounds)\(if .cpus == "" then "" else " --cpus \(.cpus)" end)";

# the line of a program, by its place: 0 is what the others are compared with
def drained($verdict; $place): [.summary[] | select(.verdict == $verdict)][$place];

def cpu_ns: .cpu_us_per_packet * 1000;

def drain_table:
	[.summary[] | [.verdict, .program, "\(.kpps | fixed(1)) (\(.kpps_min | fixed(1)) – \(.kpps_max | fixed(1)))",
	 (.cpu_us_per_packet | fixed(2)), "\(.ratio | fixed(2)) (\(.ratio_min | fixed(2)) – \(.ratio_max | fixed(2)))"]] |
	table(["verdict", "program", "1,000 packets/s", "CPU µs/packet", "ratio"]; 2);

# ---- results of bench/net/live ----

def live_command: "sudo bench/net/live --rounds \(.rounds) --seconds \(.seconds)";

# ---- results of bench/micro ----

def micro_command($environment):
	"build/plain/bench/micro/\(.context.executable | sub(".*/"; "")) --benchmark_repetitions=\(.benchmarks[0].repetitions)" +
	" --benchmark_min_time=\(.context.seconds // $environment.seconds)";

# where it was not measured with the rest
def apart($environment):
	($environment.commit | gsub(","; "")) as $commit |
	if (.context.commit // $commit) == $commit then empty
	else "Measured at commit \(.context.commit), on \(.context.date[:10]), when the load was \(.context.load_avg[0] | fixed(2))." end;

# {name: what the benchmark is called, and the list of its repetitions}, in their order
def repetitions:
	[.benchmarks[] | select(.run_type == "iteration")] |
	if any(.error_occurred) then error("a benchmark failed") else . end |
	reduce .[] as $one ([];
		($one.run_name | sub("/iterations:.*"; "")) as $name |
		if (last | .name) == $name then last.runs += [$one] else . + [{name: $name, runs: [$one]}] end);

# the repetitions of one benchmark
def repetitions_of($name):
	[repetitions[] | select(.name == $name) | .runs] | if length == 1 then .[0] else error("there is no benchmark \($name)") end;

# "a:1/b:2" -> {"a": "1", "b": "2"}
def arguments: [capture("(?<key>[a-z]+):(?<value>[0-9]+)"; "g")] | from_entries;
