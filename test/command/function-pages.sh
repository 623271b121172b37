#!/bin/bash
# SPDX-License-Identifier: MIT
#
# The manual pages about verdict functions: what they show compiles as a reader would copy it, and rewriting a port really is
# three lines, with a checksum that is right.
#
# In a page, what is to be compiled stands in the display behind a comment: .\" function: NAME. Without the header or
# VD_FUNCTION() it is a piece of a file.

set -u
cd "$(dirname "$0")/../.." || exit 1
. test/support/shell.sh

cc=${CC:-cc}
if ! command -v "$cc" >/dev/null; then
	skip "the functions in the pages: needs a compiler"
	finish
fi
if [ "$(basename "$build")" != plain ]; then
	skip "the functions are compiled against the plain build"
	finish
fi

functions=$scratch/functions
mkdir "$functions"
awk -v to="$functions" '
	/^\.\\" function: / { name = $3; next }
	name && /^\.Bd / { in_it = 1; next }
	/^\.Ed/ { if (in_it) close(to "/" name); in_it = 0; name = ""; next }
	in_it { gsub(/\\e/, "\\"); print > (to "/" name) }' tools/man/verdict-edit.7 tools/man/verdict-function.7
for source in "$functions"/*.c; do
	name=$(basename "$source" .c)
	if ! grep -q VD_FUNCTION "$source"; then
		echo "VD_FUNCTION(.name = \"$name\", .decide = decide);" >>"$source"
	fi
	expect_exit 0 "$name.c compiles" "$cc" -Wall -Wextra -Wno-unused-parameter -Werror -shared -fPIC -Ilib/include -include verdict/function.h \
		-o "$functions/$name.so" "$source"
done
run_and_keep ls "$functions"
for name in port.c other-host.c damaged.c no-icmp.c no-mail.c; do
	expect_kept "^$name\$" "a page has $name"
done

# a datagram to port 53, and what it has to become
before=4500002100014000401126c90a0000010a00000203e80035000da3e268656c6c6f
after=4500002100014000401126c90a0000010a00000203e814e9000d8f2e68656c6c6f
save() {
	printf '%b' "$(printf '%s' "$2" | tr -dc 0-9a-f | sed 's/../\\x&/g')" >"$1"
}
save "$scratch/in.pcap" "d4c3b2a1 0200 0400 00000000 00000000 00000400 65000000 01000000 00000000 21000000 21000000 $before"
expect_exit 0 "port.c runs" "$verdict" replay "$scratch/in.pcap" --function "$functions/port.so" --verify --write "$scratch/out.pcap"
expect_kept '^ +rewritten +1$' "and rewrites"
run_and_keep od -An -v -tx1 -j40 -w33 "$scratch/out.pcap"
output=${output// /}
expect_kept "^$after\$" "the port, and both checksums"
expect_exit 0 "damaged.c runs" "$verdict" replay "$scratch/in.pcap" --function "$functions/damaged.so"
expect_kept '^ +accepted +1$' "and lets a right one pass"
save "$scratch/in.pcap" "d4c3b2a1 0200 0400 00000000 00000000 00000400 65000000 01000000 00000000 21000000 21000000 ${before%6f}6e"
expect_exit 0 "with another byte" "$verdict" replay "$scratch/in.pcap" --function "$functions/damaged.so"
expect_kept '^ +dropped +1$' "not"

finish
