#!/usr/bin/python3
# SPDX-License-Identifier: MIT
#
#	accounts.py FILE FIELD ...
#
# FILE has what one process of `verdict run --stats json` after the other has printed, without a mark between them. For each FIELD
# of a queue, prints the sum of what all of them counted: of the last line that each has printed.
import json, sys

total, before = dict.fromkeys(sys.argv[2:], 0), None
for line in list(open(sys.argv[1])) + ['{"seconds": 0, "final": false}']:
    try:
        now = json.loads(line)
    except ValueError: # cut off by a kill
        continue
    # each prints a line a second, and maybe one at its end
    if before and (before['final'] or now['seconds'] < before['seconds'] + 0.5 and not now['final']):
        for name in total:
            total[name] += sum(queue[name] for queue in before['queues'])
    before = now
print(*total.values())
