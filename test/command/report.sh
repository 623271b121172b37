#!/bin/bash
# SPDX-License-Identifier: MIT
#
# PERFORMANCE.md says what was measured: it is what bench/report makes of the results that are kept, and changes with them.

set -u
cd "$(dirname "$0")/../.." || exit 1
. test/support/shell.sh

report=$PWD/bench/report
results=$scratch/results
page=$scratch/page.md

here=("$report" --results "$results" --output "$page")

# change FILE FILTER: of the results
change() {
	jq "$2" bench/results/"$1" >"$results/$1"
}

expect_exit 0 "PERFORMANCE.md is what the results say" "$report" --check

expect_exit 1 "and they name no path of the machine they come from" grep -E '"(executable|host_name)": ?"[^"]*/|"host_name"' bench/results/*.json

cp -r bench/results "$results"
expect_exit 1 "a page that is not there is not up to date" "${here[@]}" --check
expect_exit 0 "it is written" "${here[@]}"
expect_exit 0 "and is the same as PERFORMANCE.md" cmp "$page" PERFORMANCE.md
echo >>"$page"
expect_exit 1 "one that was changed by hand is found out" "${here[@]}" --check
expect_kept '^report: page.md is not what the results say; .*bench/report$' "with a sentence"

"${here[@]}"
change drain.json '(.summary[] | select(.program == "verdict" and .verdict == "accept")).kpps = 12345.67'
expect_exit 1 "and so are new results" "${here[@]}" --check
"${here[@]}"
expect_output '12,345,670' "which are in the new page" grep -n 'on all' "$page"

change levers.json '(.levers[] | select(.lever == "gro")) |= (.skipped = "there is no ethtool" | .settings = [])'
expect_exit 0 "a lever that was skipped is no reason to fail" "${here[@]}"
expect_output 'UDP GRO forwarding\*: not measured here: there is no ethtool' "and the page says why" grep 'UDP GRO' "$page"
rm "$results/levers.json"
expect_exit 0 "nor are no levers at all" "${here[@]}"
expect_exit 1 "of which the page then says nothing" grep -i 'lever' "$page"

change engine.json '(.benchmarks[] | select(.run_type == "iteration")) |= (.error_occurred = true)'
expect_exit 1 "a benchmark that failed is no result" "${here[@]}"
expect_kept 'a benchmark failed' "and says so"
echo '{' >"$results/engine.json"
expect_exit 1 "nor is half a file" "${here[@]}"
rm "$results/engine.json"
expect_exit 1 "nor none" "${here[@]}"
expect_kept '^report: there is no .*/engine.json; measure it with: sudo bench/run --keep$' "which says what to do"
expect_exit 0 "a page that cannot be written anew stays as it was" grep -q '12,345,670' "$page"

expect_exit 0 "--help" "$report" --help
expect_exit 2 "an option that does not exist" "$report" --fast

finish
