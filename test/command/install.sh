#!/bin/bash
# SPDX-License-Identifier: MIT
#
# make install, into a directory that plays the root of another machine: functions and programs are built against what is
# there and run with it, nothing refers to where it was built, and uninstall takes all of it away again.

# shellcheck disable=SC2016,SC2317 # programs of other shells in quotes; functions that expect_exit calls

set -u
cd "$(dirname "$0")/../.." || exit 1
. test/support/shell.sh

if [ "$(basename "$build")" != plain ]; then
	skip "what is installed is the plain build"
	finish
fi

# built in a copy, as other flags are for other builds; and not optimized: what counts is where things go
source=$scratch/source there=$scratch/root
prefix=$there/usr
cc=${CC:-cc}
mkdir "$source" && tar -c --exclude=./build --exclude=./.git . | tar -x -C "$source" || exit 1
cd "$source" || exit 1

# expect_file PATH TEXT
expect_file() {
	if [ -e "$1" ]; then ok "$2"; else not_ok "$2 (there is no $1)"; fi
}

# expect_same TEXT FILE FILE
expect_same() {
	if cmp -s "$2" "$3"; then ok "$1"; else not_ok "$1"; fi
}

make_here() {
	make --no-print-directory -j "$(nproc)" CFLAGS='-O0 -g' PREFIX=/usr DESTDIR="$there" "$@"
}

# ---- install ----

expect_exit 0 "make install" make_here install
if [ "$failed" -ne 0 ]; then finish; fi
(cd "$there" && find . -type f -o -type l) | sort >"$scratch/installed"

for file in bin/verdict bin/ipq-compat bin/verdict-trace lib/libverdict.a lib/libverdict.so lib/libverdict.so.0 lib/pkgconfig/verdict.pc include/verdict/engine.h \
	include/verdict/function.h include/verdict/packet.h lib/verdict/functions/accept.so lib/verdict/functions/match.so \
	share/bash-completion/completions/verdict share/doc/verdict/README.md lib/systemd/system/verdict@.service lib/sysusers.d/verdict.conf \
	share/doc/verdict/examples/verdict.conf.sample share/verdict/grafana/verdict.json; do
	expect_file "$prefix/$file" "$file"
done
for header in lib/include/verdict/*.h; do
	expect_same "the header $(basename "$header") is whole" "$header" "$prefix/include/verdict/$(basename "$header")"
done
for function in lib/functions/*.c; do
	function=$(basename "$function" .c)
	expect_file "$prefix/lib/verdict/functions/$function.so" "the function $function"
done
run_and_keep find "$there" -type l ! -exec test -e {} \; -print
if [ -z "$output" ]; then ok "no link leads nowhere"; else not_ok "no link leads nowhere"; show_output; fi
run_and_keep find "$there" -perm /022 ! -type l
if [ -z "$output" ]; then ok "nobody else may write there"; else not_ok "nobody else may write there"; show_output; fi

# debug information may name the sources; what is loaded may not
run_and_keep bash -c 'cd "$1" && find . -type f | while read -r file; do
	cp "$file" "$2/file" && { strip --strip-debug "$2/file" 2>/dev/null || true; }
	grep -aqF -e "$3" -e "$1" "$2/file" && echo "$file"; done; true' bash "$there" "$scratch" "$source"
if [ -z "$output" ]; then ok "nothing refers to where it was built"; else not_ok "nothing refers to where it was built"; show_output; fi
run_and_keep bash -c 'for file in "$1"/bin/verdict "$1"/lib/libverdict.so "$1"/lib/verdict/functions/*.so; do
	readelf -d "$file" | grep -E "RPATH|RUNPATH"; done; true' bash "$prefix"
if [ -z "$output" ]; then ok "nor looks for libraries there"; else not_ok "nor looks for libraries there"; show_output; fi

# ---- the installed program ----

expect_output '^verdict [0-9]+\.[0-9]+' "the program runs" "$prefix/bin/verdict" --version
expect_exit 1 "it finds stock functions relative to itself" env -u VERDICT_FUNCTION_PATH "$prefix/bin/verdict" replay /no/such/capture \
	--function accept
expect_kept "^verdict: .*no/such/capture" "and gets as far as the capture"
printf '\xd4\xc3\xb2\xa1\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x04\x00\x65\x00\x00\x00' >"$scratch/none.pcap"
for function in accept drop mark:7 requeue:3 reject 'match:udp port 53=drop' first:8; do
	name=${function%%:*}
	expect_exit 0 "the installed $name works" env -u VERDICT_FUNCTION_PATH "$prefix/bin/verdict" replay "$scratch/none.pcap" \
		--function "$function"
done
mv "$prefix" "$there/moved"
expect_exit 0 "and in a tree that was moved" env -u VERDICT_FUNCTION_PATH "$there/moved/bin/verdict" replay "$scratch/none.pcap" \
	--function drop
mv "$there/moved" "$prefix"

# ---- building against it ----

cat >"$scratch/mine.c" <<'END'
#include <verdict/function.h>

static enum vd_verdict decide(struct vd_packet *packet, void *state)
{
	uint32_t length;

	(void)state;
	return vd_packet_payload(packet, &length) && length > 100 ? VD_DROP : VD_NEXT;
}

VD_FUNCTION(.name = "mine", .summary = "drops what is long", .decide = decide);
END
cat >"$scratch/embed.c" <<'END'
#include <stdio.h>

#include <verdict/engine.h>

static enum vd_verdict decide(struct vd_packet *packet, void *state)
{
	uint32_t length;

	(void)state;
	return vd_packet_payload(packet, &length) && length > 100 ? VD_DROP : VD_NEXT;
}

static const struct vd_function mine = {
	.abi = VD_FUNCTION_ABI, .size = sizeof(struct vd_function), .name = "mine", .summary = "drops what is long", .decide = decide};

int main(int argc, char **argv)
{
	struct vd_engine_options options = VD_ENGINE_OPTIONS_INIT;
	struct vd_capture_options capture = {.path = argc > 1 ? argv[1] : "-"};
	struct vd_queue_stats stats;
	struct vd_engine *engine;
	struct vd_error error;

	if (vd_engine_create(&engine, &options, &error) || vd_engine_add_function(engine, &mine, "", &error) ||
	    vd_engine_load_function(engine, "accept", &error) || vd_engine_add_capture(engine, &capture, &error) ||
	    vd_engine_run(engine, &error))
		return fprintf(stderr, "%s\n", error.text), 1;
	if (vd_engine_queue_stats(engine, &stats, 1) != 1 || !stats.ended)
		return fprintf(stderr, "it did not end by itself\n"), 1;
	printf("%s: %llu packets\n", vd_version(), (unsigned long long)stats.received);
	vd_engine_destroy(engine);
	return 0;
}
END

export PKG_CONFIG_PATH=$prefix/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$there
PKG_CONFIG_LIBDIR=$(pkg-config --variable pc_path pkg-config)
export PKG_CONFIG_LIBDIR
expect_output '^[0-9]+\.[0-9]+\.[0-9]+$' "pkg-config knows the version" pkg-config --modversion verdict
expect_output "$prefix/include" "and where the headers are" pkg-config --cflags verdict
read -ra cflags < <(pkg-config --cflags verdict)
read -ra libs < <(pkg-config --libs verdict)
# the root of the other machine has no libraries but ours
read -ra static_libs < <(PKG_CONFIG_SYSROOT_DIR='' pkg-config --static --libs verdict | sed 's/-lverdict//')

expect_exit 0 "a function is built against it" "$cc" -Wall -Wextra -Werror -shared -fPIC -o "$scratch/mine.so" "$scratch/mine.c" \
	"${cflags[@]}"
expect_exit 0 "and runs" "$prefix/bin/verdict" replay "$scratch/none.pcap" --function "$scratch/mine.so"
expect_kept '^function mine: 0 packets$' "by its name"

expect_exit 0 "a program is built against the shared library" "$cc" -Wall -Wextra -Werror -o "$scratch/shared" "$scratch/embed.c" \
	"${cflags[@]}" "${libs[@]}"
expect_output '0 packets' "and runs with it" env LD_LIBRARY_PATH="$prefix/lib" "$scratch/shared" "$scratch/none.pcap"
expect_output 'libverdict\.so\.0' "by its soname" readelf -d "$scratch/shared"

expect_exit 0 "a program is built against the static library" "$cc" -Wall -Wextra -Werror -o "$scratch/static" "$scratch/embed.c" \
	"${cflags[@]}" "$prefix/lib/libverdict.a" "${static_libs[@]}"
expect_output '0 packets' "and runs without the shared one" env VERDICT_FUNCTION_PATH="$prefix/lib/verdict/functions" "$scratch/static" \
	"$scratch/none.pcap"

# a function that a program of one's own loads finds its calls in that program's library
sed 's/"accept"/argv[2]/' "$scratch/embed.c" >"$scratch/loads.c"
expect_exit 0 "a program that loads functions" "$cc" -o "$scratch/loads" "$scratch/loads.c" "${cflags[@]}" "${libs[@]}"
expect_output '0 packets' "runs one with the shared library" env LD_LIBRARY_PATH="$prefix/lib" "$scratch/loads" "$scratch/none.pcap" \
	"$scratch/mine.so"

run_and_keep bash -c 'nm -D --defined-only "$1" | awk "{ print \$NF }" | grep -Ev "^(vd_|VERDICT_)"; true' bash "$prefix/lib/libverdict.so"
if [ -z "$output" ]; then ok "the shared library shows vd_* only"; else not_ok "the shared library shows vd_* only"; show_output; fi

# ---- manual pages and completion ----

for page in tools/man/*.[1-9]; do
	section=${page##*.} name=$(basename "${page%.*}")
	if command -v man >/dev/null; then
		expect_output "$prefix/share/man/man$section/$name.$section" "man finds $name($section)" \
			man --manpath="$prefix/share/man" -w "$section" "$name"
	else
		expect_file "$prefix/share/man/man$section/$name.$section" "$name($section)"
	fi
done
for name in ipq_destroy_handle ipq_get_packet ipq_get_msgerr ipq_set_vwmark ipq_perror; do
	if command -v man >/dev/null; then
		expect_output "^[[:space:]]+[a-z _,0-9()]*$name" "man finds $name(3)" \
			man --manpath="$prefix/share/man" -E ascii 3 "$name"
	else
		expect_file "$prefix/share/man/man3/$name.3" "$name(3)"
	fi
done
expect_exit 0 "the completion can be read by bash" bash -n "$prefix/share/bash-completion/completions/verdict"

# ---- the unit ----

expect_output '^ExecStart=/usr/bin/verdict run ' "the unit starts what is installed" cat "$prefix/lib/systemd/system/verdict@.service"

# ---- uninstall ----

expect_exit 0 "make install a second time" make_here install
expect_exit 0 "make uninstall" make_here uninstall
run_and_keep find "$there" ! -type d
if [ -z "$output" ]; then ok "leaves no file"; else not_ok "leaves no file"; show_output; fi
run_and_keep find "$there" -path '*verdict*'
if [ -z "$output" ]; then ok "and no directory of ours"; else not_ok "and no directory of ours"; show_output; fi
if [ "$(wc -l <"$scratch/installed")" -gt 20 ]; then ok "of the many that there were"; else not_ok "of the many that there were"; fi

# ---- where distributions put it ----

here=$scratch/elsewhere
expect_exit 0 "with directories of one's own" make_here install DESTDIR= PREFIX="$here" LIBDIR="$here/lib/x86_64-linux-gnu"
expect_file "$here/lib/x86_64-linux-gnu/verdict/functions/accept.so" "functions go there"
expect_exit 0 "the program finds them" env -u VERDICT_FUNCTION_PATH "$here/bin/verdict" replay "$scratch/none.pcap" --function accept
expect_output "^ExecStart=$here/bin/verdict run " "so does the unit" cat "$here/lib/systemd/system/verdict@.service"
expect_output "$here/lib/x86_64-linux-gnu" "pkg-config too" env PKG_CONFIG_SYSROOT_DIR= \
	PKG_CONFIG_PATH="$here/lib/x86_64-linux-gnu/pkgconfig" pkg-config --libs verdict
expect_exit 0 "uninstalls the same" make_here uninstall DESTDIR= PREFIX="$here" LIBDIR="$here/lib/x86_64-linux-gnu"
run_and_keep find "$here" ! -type d
if [ -z "$output" ]; then ok "without a rest"; else not_ok "without a rest"; show_output; fi

finish
