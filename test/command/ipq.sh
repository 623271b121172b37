#!/bin/bash
# SPDX-License-Identifier: MIT
#
# libipq, installed: old programs are compiled against what is there, shared and static, in the languages and with the habits
# that they come in, and run.

# shellcheck disable=SC2016,SC2317 # programs of other shells in quotes; functions that expect_exit calls

set -u
cd "$(dirname "$0")/../.." || exit 1
. test/support/shell.sh

if [ "$(basename "$build")" != plain ]; then
	skip "what is installed is the plain build"
	finish
fi

here=$PWD there=$scratch/root
prefix=$there/usr/local
expect_exit 0 "make install" make --no-print-directory install DESTDIR="$there"
if [ "$failed" -ne 0 ]; then finish; fi

for file in lib/libipq.a lib/libipq.so lib/libipq.so.0 lib/pkgconfig/libipq.pc include/libipq.h include/libipq/libipq.h \
	include/linux/netfilter_ipv4/ip_queue.h; do
	if [ -f "$prefix/$file" ]; then ok "$file"; else not_ok "$file"; fi
done
expect_output 'SONAME.*\[libipq\.so\.0\]' "the name that old programs ask for" readelf -d "$prefix/lib/libipq.so"
run_and_keep bash -c 'diff <(sed -n "/global:/,/local:/s/^\t\([a-z_0-9]*\);$/\1/p" "$1" | sort) \
	<(nm -D --defined-only "$2" | sed -n "s/.* [A-Z] \([a-z_0-9]*\)@@LIBIPQ_0$/\1/p" | sort)' bash lib/ipq/libipq.map "$prefix/lib/libipq.so"
if [ "$status" -eq 0 ]; then ok "exports what its map says"; else not_ok "exports what its map says"; show_output; fi
run_and_keep bash -c 'nm -D --defined-only "$1" | grep -v "@@LIBIPQ_0$" | grep -v " A LIBIPQ_0$"; true' bash "$prefix/lib/libipq.so"
if [ -z "$output" ]; then ok "and nothing else"; else not_ok "and nothing else"; show_output; fi
for symbol in create_handle destroy_handle set_mode read message_type get_packet get_msgerr set_verdict ctl errstr perror errmap; do
	expect_output " [TDR] ipq_$symbol@@LIBIPQ_0" "ipq_$symbol" nm -D --defined-only "$prefix/lib/libipq.so"
done

# ---- building against it ----

export PKG_CONFIG_PATH=$prefix/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$there
PKG_CONFIG_LIBDIR=$(pkg-config --variable pc_path pkg-config)
export PKG_CONFIG_LIBDIR
expect_output "$prefix/include" "pkg-config knows it" pkg-config --cflags libipq
read -ra cflags < <(pkg-config --cflags libipq)
read -ra libs < <(pkg-config --libs libipq)
# the root of the other machine has no libraries but ours
read -ra static_libs < <(PKG_CONFIG_SYSROOT_DIR='' pkg-config --static --libs libipq | sed 's/-lipq//')
old=(gcc -std=gnu17 -Werror=implicit-function-declaration)

sources=("$here"/test/ipq/*.c)
example=${VERDICT_SEED:-$here/../shared/seed}/passer.c
if [ -f "$example" ]; then sources+=("$example"); else skip "the manual's example program is not here"; fi
for file in "${sources[@]}"; do
	name=$(basename "$(dirname "$file")")-$(basename "$file" .c)
	expect_exit 0 "$name, shared" "${old[@]}" -o "$scratch/$name" "$file" "${cflags[@]}" "${libs[@]}"
	expect_exit 0 "$name, static" "${old[@]}" -o "$scratch/$name-static" "$file" "${cflags[@]}" "$prefix/lib/libipq.a" \
		"${static_libs[@]}"
	expect_exit 0 "$name, with its headers as the system's" "${old[@]}" -o "$scratch/$name" "$file" -isystem "$prefix/include" \
		"${libs[@]}"
done
expect_output 'libipq\.so\.0' "shared by its soname" readelf -d "$scratch/ipq-passer"
run_and_keep bash -c 'readelf -d "$1" | grep libipq; true' bash "$scratch/ipq-passer-static"
if [ -z "$output" ]; then ok "static without it"; else not_ok "static without it"; show_output; fi

# ---- running it ----

# let_through PROGRAM: one packet passes a queue of its own while it runs, and none without it
let_through() {
	unshare --net bash -c 'ip link set lo up && iptables-legacy -A OUTPUT -p udp -j QUEUE &&
		iptables-legacy -A INPUT -p udp -m comment --comment passed || exit 3
	count() { iptables-legacy -nvxL INPUT | awk "/passed/ { print \$1 }"; }
	echo x 2>/dev/null >/dev/udp/127.0.0.1/9
	[ "$(count)" = 0 ] || exit 4
	setpriv --pdeathsig KILL "$@" & child=$!
	for ((i = 0; i < 200; i++)); do
		grep -qs . /proc/self/net/netfilter/nfnetlink_queue && break
		sleep 0.02
	done
	for ((i = 0; i < 200 && $(count) < 1; i++)); do
		echo x 2>/dev/null >/dev/udp/127.0.0.1/9
		sleep 0.02
	done
	kill -KILL "$child"
	[ "$(count)" -ge 1 ]' bash "$@"
}

if unshare --net true 2>/dev/null && command -v iptables-legacy >/dev/null; then
	for name in ipq-passer seed-passer; do
		[ -x "$scratch/$name" ] || continue
		expect_exit 0 "$name runs with the shared library" let_through env LD_LIBRARY_PATH="$prefix/lib" "$scratch/$name"
		expect_exit 0 "and without it" let_through "$scratch/$name-static"
	done
else
	skip "running a program on a queue needs root and iptables-legacy"
fi

# ---- headers: any language, no warning, whatever was there before ----

printf '%s\n' '#include <libipq.h>' '#include <linux/netfilter.h>' 'int main(void)' '{' \
	'	struct ipq_handle *h = ipq_create_handle(0, PF_INET);' '	unsigned char buf[2048];' \
	'	LDEBUG("%d\n", 1);' \
	'	if (h && ipq_read(h, buf, sizeof buf, 0) > 0)' \
	'		ipq_set_verdict(h, ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, NULL);' \
	'	return ipq_destroy_handle(h);' '}' >"$scratch/caller.c"

has_compiler() {
	command -v "$1" >/dev/null || { skip "no $1 here"; return 1; }
}

# expect_clean COMPILER LANGUAGE OPTION...
expect_clean() {
	local compiler=$1 language=$2

	shift 2
	expect_exit 0 "$compiler $*" "$compiler" "$@" -Wall -Wextra -Werror -I"$prefix/include" -x "$language" -fsyntax-only "$scratch/caller.c"
}

for compiler in gcc clang; do
	has_compiler "$compiler" || continue
	for standard in gnu89 c99 gnu99 c11 c17 gnu17; do
		expect_clean "$compiler" c "-std=$standard" -Wpedantic -Wundef
		expect_clean "$compiler" c "-std=$standard" -DDEBUG_LIBIPQ
	done
done
for compiler in g++ clang++; do
	has_compiler "$compiler" || continue
	expect_clean "$compiler" c++ -std=c++98
	for standard in c++11 c++17 gnu++20; do
		expect_clean "$compiler" c++ "-std=$standard" -Wpedantic
	done
done
printf '%s\n' '#include <libipq.h>' 'int main(void) { return !ipq_create_handle(0); }' >"$scratch/oldest.c"
expect_exit 0 "ipq_create_handle() of one argument" gcc -Wall -Wextra -Werror -DLIBIPQ_OLD_CREATE_HANDLE -I"$prefix/include" -fsyntax-only \
	"$scratch/oldest.c"
expect_exit 1 "which has to be asked for" gcc -I"$prefix/include" -fsyntax-only "$scratch/oldest.c"

# compiles OPTIONS HEADER...: whether these headers go together in this order
compiles() {
	local options=$1

	shift
	# shellcheck disable=SC2086 # several options
	printf '#include <%s>\n' "$@" | gcc $options -fsyntax-only -x c - >"$scratch/said" 2>&1
}

# permute PREFIX... -- REST...: calls visit with every order
permute() {
	local before=() i rest

	while [ "$1" != -- ]; do before+=("$1"); shift; done
	shift
	if [ $# -eq 0 ]; then visit "${before[@]}"; return; fi
	for ((i = 1; i <= $#; i++)); do
		rest=("${@:1:i-1}" "${@:i+1}")
		permute ${before[@]+"${before[@]}"} "${!i}" -- ${rest[@]+"${rest[@]}"}
	done
}

# where the others go together, libipq.h may stand anywhere among them
visit() {
	local at

	compiles "$options" "$@" || return
	orders=$((orders + 1))
	for ((at = 0; at <= $#; at++)); do
		compiles "$options" "${@:1:at}" libipq.h "${@:at+1}" && continue
		complaints+=$(printf '\n%s with libipq.h at %d: %s' "$*" "$at" "$(head -n 2 "$scratch/said")")
	done
}

# expect_orders COUNT TEXT OPTIONS HEADER...
expect_orders() {
	local count=$1 text=$2
	options="-I$prefix/include $3" orders=0 complaints=''

	shift 3
	permute -- "$@"
	output="$orders orders $complaints"
	if [ -z "$complaints" ] && [ "$orders" -ge "$count" ]; then ok "$text"; else not_ok "$text"; show_output; fi
}

compat=-I$prefix/include/libipq/compat
expect_orders 2 "goes with netinet's headers, as far as the kernel's do" '' linux/netfilter.h netinet/ip.h net/if.h
expect_orders 6 "and with pkg-config's flags in any order" "$compat" linux/netfilter.h netinet/ip.h net/if.h
expect_orders 2 "goes with the kernel's" '' linux/netfilter.h linux/if_arp.h netinet/udp.h
expect_orders 3 "and with pkg-config's flags in more orders" "$compat" linux/netfilter.h linux/if.h netinet/udp.h
expect_orders 4 "goes with tables" "$compat" linux/netfilter_ipv4.h linux/netfilter_ipv4/ip_tables.h arpa/inet.h
expect_orders 6 "goes with nfnetlink" "$compat" linux/netfilter/nfnetlink_queue.h linux/rtnetlink.h sys/socket.h

# ---- uninstall ----

expect_exit 0 "make uninstall" make --no-print-directory uninstall DESTDIR="$there"
run_and_keep find "$there" ! -type d
if [ -z "$output" ]; then ok "leaves no file"; else not_ok "leaves no file"; show_output; fi
run_and_keep find "$there" -path '*ipq*' -o -path '*/include/linux*'
if [ -z "$output" ]; then ok "and no directory of its own"; else not_ok "and no directory of its own"; show_output; fi

finish
