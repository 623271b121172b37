#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Checksums of edited packets, judged by scapy and by a model that was written for it: test/scapy/judge.py. VD_SEED is the seed, if
# it is not to be always the same, VD_COUNT the number of packets.

set -u
cd "$(dirname "$0")/../.." || exit 1
. test/support/shell.sh

edit_any=$build/test/functions/edit_any.so

if [ "$(basename "$build")" != plain ]; then
	skip "scapy judges the plain build only"
	finish
fi
if [ ! -e "$edit_any" ]; then
	skip "scapy's opinion: needs $edit_any (make test-programs)"
	finish
fi
# the distribution's Python has it, which need not be the first one
python=''
for candidate in python3 /usr/bin/python3; do
	if "$candidate" -c 'import scapy' 2>/dev/null; then
		python=$candidate
		break
	fi
done
if [ -z "$python" ]; then
	skip "scapy's opinion: needs python3-scapy; sudo tools/install-deps installs it"
	finish
fi

seed=${VD_SEED:-20240229}
"$python" -B test/scapy/judge.py "$verdict" "$edit_any" "$scratch" "$seed" "${VD_COUNT:-5000}" >"$scratch/said" 2>"$scratch/errors"
status=$?
while IFS= read -r line; do
	case $line in
	'ok - '*) ok "${line#ok - }" ;;
	'not ok - '*) not_ok "${line#not ok - }" ;;
	*) printf '%s\n' "$line" ;;
	esac
done <"$scratch/said"
if [ "$status" -eq 0 ]; then
	ok "scapy came to its end"
else
	not_ok "scapy came to its end (seed $seed, exit status $status)"
	tail -n 20 "$scratch/errors" | sed 's/^/# /'
fi
finish
