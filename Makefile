# verdict: packets that netfilter queues, decided by C functions
#
#   make              build everything into build/plain
#   make demo         see it work on real packets, in a minute (root, or a user namespace)
#   make check        all tests: unit, sim, kernel, command, sanitizers, benchmark smoke (root for all of it)
#   make test         unit, sim, kernel and command tests of this build only
#   make profile      where an engine under load spends its time: flame graphs and tables, in build/plain/profile (root, perf)
#   make bench        micro-benchmarks and end-to-end runs; BENCH_SECONDS=N for longer ones
#   make soak         everything at once for SOAK_SECONDS=600: no packet unaccounted for, nothing grows (root)
#   make asan ubsan tsan   the same build under a sanitizer, in build/asan ...
#   make arm64        the tests of what is written for arm64, by a cross compiler
#   make fuzz         libFuzzer targets, FUZZ_SECONDS=60 each (needs clang)
#   make install      DESTDIR=, PREFIX=/usr/local, LIBDIR=$(PREFIX)/lib, SYSTEMDUNITDIR=$(PREFIX)/lib/systemd/system
#   make uninstall    what install put there
#   make lint         shellcheck, manual pages, headers alone as C11 and C++
#   make clean        removes build/
#
# Settings: CC, CFLAGS, LDFLAGS, PREFIX, DESTDIR, BUILD (plain, asan, ubsan, tsan, chaos), V=1 to see the commands.

VERSION := 0.1.0
SOVERSION := 0
# what programs that were linked with the original ask for
IPQ_VERSION := 0.0.1
IPQ_SOVERSION := 0

BUILD ?= plain
OUT := build/$(BUILD)
PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
MANDIR ?= $(PREFIX)/share/man
COMPLETIONDIR ?= $(PREFIX)/share/bash-completion/completions
DOCDIR ?= $(PREFIX)/share/doc/verdict
DATADIR ?= $(PREFIX)/share/verdict
FUNCTIONDIR = $(LIBDIR)/verdict/functions
SYSTEMDUNITDIR ?= $(PREFIX)/lib/systemd/system
SYSUSERSDIR ?= $(PREFIX)/lib/sysusers.d

CC ?= cc
CXX ?= c++
PKG_CONFIG ?= pkg-config
CFLAGS ?= -O2 -g
CXXFLAGS ?= -O2 -g
V ?= 0
Q := $(if $(filter 1,$(V)),,@)
is_silent := $(findstring s,$(filter-out --%,$(firstword $(MAKEFLAGS))))
say = $(if $(filter 1,$(V))$(is_silent),,@printf '  %-8s %s\n' $(1) $(2))

WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wundef -Wno-missing-field-initializers
SANITIZE_plain :=
SANITIZE_asan := -fsanitize=address -fno-omit-frame-pointer
SANITIZE_ubsan := -fsanitize=undefined -fno-sanitize-recover=all
SANITIZE_tsan := -fsanitize=thread
SANITIZE := $(SANITIZE_$(BUILD))
# threads lose the CPU where it hurts: for tests of the engine only
SANITIZE_chaos := -include test/sim/chaos.h
ifneq ($(filter $(BUILD),plain asan ubsan tsan chaos),$(BUILD))
$(error BUILD is one of plain, asan, ubsan, tsan, chaos, not '$(BUILD)')
endif

# probes for tracing, if systemtap-sdt-dev is there; PROBES=0 leaves them out
PROBES ?= $(if $(shell printf '\043include <sys/sdt.h>\n' | $(CC) -E -x c - >/dev/null 2>&1 && echo y),1,0)

CPPFLAGS_ALL := -I. -Ilib/include -D_GNU_SOURCE -DVERDICT_VERSION='"$(VERSION)"' -DHAS_SDT=$(PROBES) $(CPPFLAGS)
CFLAGS_ALL = -std=gnu11 $(WARNINGS) -fPIC -fvisibility=hidden -pthread -MMD -MP $(SANITIZE) $(CFLAGS)
CXXFLAGS_ALL = -std=c++17 -Wall -Wextra -pthread -MMD -MP $(SANITIZE) $(CXXFLAGS)
LDFLAGS_ALL = -pthread $(SANITIZE) $(LDFLAGS)

# ---- what is needed; missing packages are named before anything is built ----

PACKAGES := libmnl liburcu-qsbr libpcap jansson libsystemd libcap-ng libseccomp libmicrohttpd ncursesw
NEEDED := libmnl:libmnl-dev liburcu-qsbr:liburcu-dev libpcap:libpcap-dev jansson:libjansson-dev libsystemd:libsystemd-dev \
	  libcap-ng:libcap-ng-dev libseccomp:libseccomp-dev libmicrohttpd:libmicrohttpd-dev \
	  ncursesw:libncurses-dev jemalloc:libjemalloc-dev \
	  cmocka:libcmocka-dev benchmark:libbenchmark-dev libnetfilter_queue:libnetfilter-queue-dev
ifeq ($(filter help clean uninstall,$(MAKECMDGOALS)),)
MISSING := $(strip $(foreach n,$(NEEDED),$(if $(shell $(PKG_CONFIG) --exists $(firstword $(subst :, ,$(n))) 2>/dev/null && echo y),,$(lastword $(subst :, ,$(n))))))
ifneq ($(MISSING),)
$(error missing packages: $(MISSING). Install them with: sudo tools/install-deps)
endif
endif
MNL_CFLAGS := $(shell $(PKG_CONFIG) --cflags libmnl 2>/dev/null)
MNL_LIBS := $(shell $(PKG_CONFIG) --libs libmnl 2>/dev/null)
LIB_LIBS := $(shell $(PKG_CONFIG) --libs libmnl liburcu-qsbr libpcap 2>/dev/null) -ldl
TOOL_LIBS := $(shell $(PKG_CONFIG) --libs jansson libsystemd libcap-ng libseccomp libmicrohttpd ncursesw 2>/dev/null) -lm
# what benchmarks compare with, if it is there: libdpdk-dev and libck-dev, of which headers are enough, and libisal-dev
DPDK_CFLAGS := $(shell $(PKG_CONFIG) --exists libdpdk 2>/dev/null && echo -DHAS_DPDK=1 && $(PKG_CONFIG) --cflags libdpdk)
ISAL_CFLAGS := $(shell $(PKG_CONFIG) --exists libisal 2>/dev/null && echo -DHAS_ISAL=1 && $(PKG_CONFIG) --cflags libisal)
CK_CFLAGS := $(shell $(PKG_CONFIG) --exists ck 2>/dev/null && echo -DHAS_CK=1)
ICELAKE := $(if $(filter x86_64,$(shell uname -m)),-march=icelake-server)
PEER_CFLAGS := $(or $(filter -D%,$(DPDK_CFLAGS)),-DHAS_DPDK=0) $(or $(ISAL_CFLAGS),-DHAS_ISAL=0) $(or $(CK_CFLAGS),-DHAS_CK=0)
PEER_LIBS := -lnetfilter_queue $(shell $(PKG_CONFIG) --libs libisal 2>/dev/null)
JEMALLOC_plain := $(shell $(PKG_CONFIG) --libs jemalloc 2>/dev/null)
JEMALLOC := $(JEMALLOC_$(BUILD))

# ---- sources: a file that is put in a room is built ----

LIB_SOURCES := $(wildcard lib/nfq/*.c lib/packet/*.c engine/*.c)
IPQ_SOURCES := $(wildcard lib/ipq/*.c)
TOOL_SOURCES := $(wildcard tools/*.c tools/*/*.c)
CONFIG_SOURCES := $(addprefix tools/config/,config.c file.c tree.c origin.c settings.c values.c)
FUNCTION_SOURCES := $(wildcard lib/functions/*.c)
SUPPORT_SOURCES := $(wildcard test/support/*.c)
TEST_SOURCES := $(wildcard test/unit/test_*.c test/sim/test_*.c test/kernel/test_*.c)
TEST_FUNCTION_SOURCES := $(wildcard test/functions/*.c)
NET_SOURCES := $(wildcard bench/net/*.c)
MICRO_SOURCES := $(wildcard bench/micro/bench_*.cc)
MICRO_SUPPORT_SOURCES := $(wildcard bench/micro/*.c)
PUBLIC_HEADERS := $(wildcard lib/include/verdict/*.h)
IPQ_HEADERS := libipq.h libipq/libipq.h libipq/compat/linux/netfilter.h linux/netfilter_ipv4/ip_queue.h

object = $(patsubst %,$(OUT)/obj/%.o,$(basename $(1)))
LIB_OBJECTS := $(call object,$(LIB_SOURCES))
IPQ_OBJECTS := $(call object,$(IPQ_SOURCES) $(wildcard lib/nfq/*.c lib/packet/checksum*.c) $(addprefix lib/packet/,attributes.c parse.c place.c))
TOOL_OBJECTS := $(call object,$(TOOL_SOURCES))
SUPPORT_OBJECTS := $(call object,$(SUPPORT_SOURCES))
MICRO_SUPPORT_OBJECTS := $(call object,$(MICRO_SUPPORT_SOURCES))
FUNCTIONS := $(patsubst lib/functions/%.c,$(OUT)/functions/%.so,$(FUNCTION_SOURCES))
TESTS := $(patsubst test/%.c,$(OUT)/test/%,$(TEST_SOURCES))
TEST_PRELOADS := $(patsubst test/preload/%.c,$(OUT)/test/preload/%.so,$(wildcard test/preload/*.c))
TEST_FUNCTIONS := $(patsubst test/functions/%.c,$(OUT)/test/functions/%.so,$(TEST_FUNCTION_SOURCES))
NET_PROGRAMS := $(patsubst bench/net/%.c,$(OUT)/bench/net/%,$(NET_SOURCES))
MICRO_PROGRAMS := $(patsubst bench/micro/%.cc,$(OUT)/bench/micro/%,$(MICRO_SOURCES))

LIB_STATIC := $(OUT)/libverdict.a
LIB_SHARED := $(OUT)/libverdict.so.$(VERSION)
LIB_SONAME := libverdict.so.$(SOVERSION)
IPQ_STATIC := $(OUT)/libipq.a
IPQ_SHARED := $(OUT)/libipq.so.$(IPQ_VERSION)
IPQ_SONAME := libipq.so.$(IPQ_SOVERSION)
# the example program of libipq's manual, where it can be had
IPQ_EXAMPLE := $(firstword $(wildcard $(addsuffix /passer.c,$(VERDICT_SEED) ../shared/seed)))
IPQ_PROGRAMS := $(patsubst test/ipq/%.c,$(OUT)/test/ipq/%,$(wildcard test/ipq/*.c)) $(if $(IPQ_EXAMPLE),$(OUT)/test/ipq/example)

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.PHONY: all lib test-programs bench-programs help clean demo check test bench profile soak fuzz asan ubsan tsan install uninstall lint arm64 FORCE

lib: $(LIB_STATIC) $(LIB_SHARED) $(OUT)/libverdict.so $(OUT)/verdict.pc $(IPQ_STATIC) $(IPQ_SHARED) $(OUT)/libipq.so $(OUT)/libipq.pc
test-programs: $(TESTS) $(TEST_FUNCTIONS) $(TEST_PRELOADS) $(IPQ_PROGRAMS)
bench-programs: $(NET_PROGRAMS) $(MICRO_PROGRAMS)
all: lib $(OUT)/verdict $(OUT)/verdict@.service $(FUNCTIONS) $(NET_PROGRAMS)

help:
	@sed -n '/^# verdict:/,/^$$/s/^# \{0,1\}//p' Makefile

# a file that is written when what it says changes
define write_if_new
	@mkdir -p $(@D)
	@printf '%s\n' '$(subst ','\'',$(1))' | cmp -s - $@ || printf '%s\n' '$(subst ','\'',$(1))' > $@
endef

# everything is rebuilt when the flags change, and what names a directory when it is installed to others
FLAGS_NOW := $(CC) $(CXX) $(CPPFLAGS_ALL) $(CFLAGS_ALL) $(CXXFLAGS_ALL) $(LDFLAGS_ALL) $(LIB_LIBS) $(TOOL_LIBS) $(JEMALLOC) $(PEER_CFLAGS)
$(OUT)/flags: FORCE
	$(call write_if_new,$(FLAGS_NOW))
$(OUT)/directories: FORCE
	$(call write_if_new,$(PREFIX) $(BINDIR) $(LIBDIR) $(INCLUDEDIR) $(FUNCTIONDIR))

$(OUT)/obj/engine/load.o: $(OUT)/directories
$(OUT)/obj/engine/load.o: CPPFLAGS_ALL += -DFUNCTION_DIRECTORY='"$(FUNCTIONDIR)"'

# what `verdict bench` says of itself; no commit where the sources are not a repository. Another user, to whom git tells nothing,
# and who could not write here, leaves it
COMMIT := $(shell test -e .git && git describe --always --dirty --abbrev=12 --match= 2>/dev/null)
$(OUT)/commit: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(COMMIT)' | cmp -s - $@ || { test -e $@ && ! test -w $@; } || printf '%s\n' '$(COMMIT)' > $@
$(OUT)/obj/tools/bench/result.o: $(OUT)/commit
$(OUT)/obj/tools/bench/result.o: CPPFLAGS_ALL += -DVERDICT_COMMIT='"$(COMMIT)"' -DVERDICT_FLAGS='"$(strip $(subst ",,$(SANITIZE) $(CFLAGS)))"'

$(OUT)/obj/%.o: %.c $(OUT)/flags
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(CPPFLAGS_ALL) $(MNL_CFLAGS) $(CFLAGS_ALL) -c -o $@ $<

$(OUT)/obj/%.o: %.cc $(OUT)/flags
	@mkdir -p $(@D)
	$(call say,CXX,$<)
	$(Q)$(CXX) $(CPPFLAGS_ALL) $(CXXFLAGS_ALL) -c -o $@ $<

$(LIB_STATIC): $(LIB_OBJECTS)
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(LIB_SHARED): $(LIB_OBJECTS) lib/libverdict.map
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) -shared -Wl,-soname,$(LIB_SONAME) -Wl,--version-script,lib/libverdict.map -o $@ $(LIB_OBJECTS) $(LIB_LIBS)
	$(Q)ln -sf $(notdir $@) $(OUT)/$(LIB_SONAME)

$(OUT)/libverdict.so: $(LIB_SHARED)
	$(Q)ln -sf $(notdir $<) $@

$(OUT)/verdict.pc: Makefile $(OUT)/flags $(OUT)/directories
	$(Q)printf '%s\n' 'prefix=$(PREFIX)' 'includedir=$(INCLUDEDIR)' 'libdir=$(LIBDIR)' '' \
		'Name: verdict' 'Description: decide on packets that netfilter queues' 'Version: $(VERSION)' \
		'Cflags: -I$${includedir}' 'Libs: -L$${libdir} -lverdict' \
		'Libs.private: $(LIB_LIBS) -pthread' > $@

# ---- libipq: the old interface, with what it needs of lib/ in it ----

$(IPQ_STATIC): $(IPQ_OBJECTS)
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(IPQ_SHARED): $(IPQ_OBJECTS) lib/ipq/libipq.map
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) -shared -Wl,-soname,$(IPQ_SONAME) -Wl,--version-script,lib/ipq/libipq.map -o $@ $(IPQ_OBJECTS) $(MNL_LIBS)
	$(Q)ln -sf $(notdir $@) $(OUT)/$(IPQ_SONAME)

$(OUT)/libipq.so: $(IPQ_SHARED)
	$(Q)ln -sf $(notdir $<) $@

$(OUT)/libipq.pc: Makefile $(OUT)/flags $(OUT)/directories
	$(Q)printf '%s\n' 'prefix=$(PREFIX)' 'includedir=$(INCLUDEDIR)' 'libdir=$(LIBDIR)' '' \
		'Name: libipq' 'Description: the old interface to packets that netfilter queues' 'Version: $(VERSION)' \
		'Cflags: -I$${includedir} -I$${includedir}/libipq/compat' 'Libs: -L$${libdir} -lipq' \
		'Libs.private: $(MNL_LIBS) -pthread' > $@

# the tool holds the library, and lends its packet calls to the functions that it loads
$(OUT)/verdict: $(TOOL_OBJECTS) $(LIB_STATIC) lib/functions.list
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) -Wl,--dynamic-list=lib/functions.list -o $@ $(TOOL_OBJECTS) -Wl,--whole-archive $(LIB_STATIC) -Wl,--no-whole-archive $(LIB_LIBS) $(TOOL_LIBS) $(JEMALLOC)

$(OUT)/verdict@.service: tools/service/verdict@.service.in $(OUT)/directories
	$(Q)sed 's,@BINDIR@,$(BINDIR),' $< > $@

# stock functions use what a user's function may use, and nothing else
FUNCTION_LIBS_match := -lpcap
$(OUT)/functions/%.so: lib/functions/%.c $(OUT)/flags
	@mkdir -p $(@D)
	$(call say,SO,$@)
	$(Q)$(CC) -Ilib/include $(CPPFLAGS) -std=gnu11 $(WARNINGS) -fPIC -shared -MMD -MP $(SANITIZE) $(CFLAGS) $(LDFLAGS) -o $@ $< $(FUNCTION_LIBS_$*)

$(OUT)/test/functions/%.so: test/functions/%.c $(OUT)/flags
	@mkdir -p $(@D)
	$(call say,SO,$@)
	$(Q)$(CC) -Ilib/include $(CPPFLAGS) -std=gnu11 $(WARNINGS) -fPIC -shared -MMD -MP $(SANITIZE) $(CFLAGS) $(LDFLAGS) -o $@ $<

# loaded into a program before everything else: no sanitizer in them, which has to be first
$(OUT)/test/preload/%.so: test/preload/%.c $(OUT)/flags
	@mkdir -p $(@D)
	$(call say,SO,$@)
	$(Q)$(CC) $(CPPFLAGS) -D_GNU_SOURCE -std=gnu11 -Wall -Wextra -fPIC -shared -MMD -MP $(CFLAGS) $(LDFLAGS) -o $@ $<

# programs as old as libipq, and how they are built today
IPQ_CFLAGS = -std=gnu17 -Werror=implicit-function-declaration -Ilib/include -Ilib/include/libipq/compat $(SANITIZE) $(CFLAGS)
IPQ_LIBS = -L$(OUT) -lipq -Wl,-rpath,'$$ORIGIN/../..'
define compile_ipq_program
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)gcc $(IPQ_CFLAGS) -MMD -MP -o $@ $< $(IPQ_LIBS)
endef
$(OUT)/test/ipq/%: test/ipq/%.c $(OUT)/libipq.so $(OUT)/flags
	$(compile_ipq_program)
$(OUT)/test/ipq/example: $(IPQ_EXAMPLE) $(OUT)/libipq.so $(OUT)/flags
	$(compile_ipq_program)

# they load functions, and the trees beside them
$(TESTS): | $(FUNCTIONS) $(TEST_FUNCTIONS)

# a test of libipq uses it as a program does; what translates messages is not to be seen from there
IPQ_TESTS := $(filter $(OUT)/test/unit/test_ipq_% $(OUT)/test/kernel/test_ipq_%,$(TESTS))
$(IPQ_TESTS): TEST_LIBS = $(IPQ_LIBS)
$(OUT)/test/unit/test_ipq_translate $(OUT)/test/unit/test_ipq_checksums: TEST_LIBS = $(IPQ_STATIC)
$(IPQ_TESTS): $(IPQ_STATIC) $(OUT)/libipq.so | $(IPQ_PROGRAMS)

# what reads configurations, without the program around it
CONFIG_OBJECTS := $(call object,$(CONFIG_SOURCES))
$(OUT)/test/unit/test_config $(OUT)/test/unit/test_rules: TEST_LIBS = $(CONFIG_OBJECTS)
$(OUT)/test/unit/test_config $(OUT)/test/unit/test_rules: $(CONFIG_OBJECTS)

$(OUT)/test/unit/test_log: TEST_LIBS = $(TOOL_LIBS)

# and what gives up privileges
PRIVILEGE_OBJECTS := $(call object,$(wildcard tools/privileges/*.c)) $(CONFIG_OBJECTS)
$(OUT)/test/kernel/test_privileges: TEST_LIBS = $(PRIVILEGE_OBJECTS) $(TOOL_LIBS)
$(OUT)/test/kernel/test_privileges: $(PRIVILEGE_OBJECTS)

# the control socket, and what is shown of it
CONTROL_SOURCES := $(addprefix tools/control/,client.c output.c place.c request.c server.c stream.c) tools/config/origin.c tools/config/values.c
CONTROL_OBJECTS := $(call object,$(CONTROL_SOURCES))
TOP_OBJECTS := $(call object,$(addprefix tools/,top/model.c top/frame.c stats.c stats_json.c stats_text.c config/origin.c))
$(OUT)/test/unit/test_control $(OUT)/test/unit/test_control_streams: TEST_LIBS = $(CONTROL_OBJECTS) $(TOOL_LIBS)
$(OUT)/test/unit/test_control $(OUT)/test/unit/test_control_streams: $(CONTROL_OBJECTS)
$(OUT)/test/unit/test_top: TEST_LIBS = $(TOP_OBJECTS) $(TOOL_LIBS)
$(OUT)/test/unit/test_top: $(TOP_OBJECTS)
DUMP_OBJECTS := $(call object,$(addprefix tools/,dump/pcapng.c dump/blocks.c stats.c))
$(OUT)/test/unit/test_dump: TEST_LIBS = $(DUMP_OBJECTS)
$(OUT)/test/unit/test_dump: $(DUMP_OBJECTS)
# what metrics are written with; test_metrics has latency.c in itself, to put other numbers into it
METRICS_OBJECTS := $(call object,$(addprefix tools/,metrics/exposition.c metrics/engine.c stats.c))
$(OUT)/test/unit/test_metrics: TEST_LIBS = $(METRICS_OBJECTS)
$(OUT)/test/unit/test_metrics: $(METRICS_OBJECTS)
# what rules have counted; test_ruled has ruled.c in itself, with another kernel before it
RULED_OBJECTS := $(call object,$(addprefix tools/ruled/,legacy.c look.c nft.c rules.c))
$(OUT)/test/unit/test_ruled $(OUT)/test/unit/test_ruled_parse: TEST_LIBS = $(RULED_OBJECTS)
$(OUT)/test/unit/test_ruled $(OUT)/test/unit/test_ruled_parse: $(RULED_OBJECTS)
PROGRESS_OBJECT := $(call object,tools/service/progress.c)
$(OUT)/test/unit/test_progress: TEST_LIBS = $(PROGRESS_OBJECT)
$(OUT)/test/unit/test_progress: $(PROGRESS_OBJECT)

$(OUT)/test/%: $(OUT)/obj/test/%.o $(SUPPORT_OBJECTS) $(LIB_STATIC)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) -Wl,--dynamic-list=lib/functions.list -o $@ $< $(SUPPORT_OBJECTS) -Wl,--whole-archive $(LIB_STATIC) -Wl,--no-whole-archive $(TEST_LIBS) $(LIB_LIBS) -lcmocka

NET_LIBS_yardstick := -lnetfilter_queue -lmnl
NET_LIBS_bare := -lmnl
NET_LIBS_allocations := $(LIB_STATIC) $(LIB_LIBS)
$(OUT)/bench/net/allocations: $(LIB_STATIC)
NET_LIBS_holding := $(LIB_STATIC) $(LIB_LIBS)
$(OUT)/bench/net/holding: $(LIB_STATIC)
NET_LIBS_isolated := $(LIB_STATIC) $(LIB_LIBS)
$(OUT)/bench/net/isolated: $(LIB_STATIC)
NET_LIBS_ipqloop = $(IPQ_LIBS)
$(OUT)/bench/net/ipqloop: $(OUT)/libipq.so
$(OUT)/bench/net/%: $(OUT)/obj/bench/net/%.o
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $< $(NET_LIBS_$*)

$(addprefix $(OUT)/obj/bench/micro/,checksum_peers.o ring.o ring_ck.o): CFLAGS_ALL += $(PEER_CFLAGS)
$(OUT)/obj/bench/micro/checksum_rte.o: CFLAGS_ALL += $(PEER_CFLAGS) $(DPDK_CFLAGS) -O3
$(OUT)/obj/bench/micro/ring_rte.o: CFLAGS_ALL += $(PEER_CFLAGS) $(DPDK_CFLAGS)
$(OUT)/obj/bench/micro/checksum_rte_icelake.o: CFLAGS_ALL += $(PEER_CFLAGS) $(DPDK_CFLAGS) -O3 $(ICELAKE)
$(OUT)/bench/micro/bench_engine: | $(OUT)/functions/first.so
$(OUT)/bench/micro/%: $(OUT)/obj/bench/micro/%.o $(MICRO_SUPPORT_OBJECTS) $(LIB_STATIC)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CXX) $(LDFLAGS_ALL) -o $@ $< $(MICRO_SUPPORT_OBJECTS) $(LIB_STATIC) $(LIB_LIBS) -Wl,--as-needed $(PEER_LIBS) -lbenchmark

# ---- arm64: what is written for it, by a cross compiler and without any library; tools/check runs it under qemu-user ----

ARM64_CC ?= aarch64-linux-gnu-gcc
ARM64_TESTS := $(patsubst test/%.c,build/arm64/test/%,$(wildcard test/unit/test_checksum*.c))
ARM64_SOURCES := $(wildcard lib/packet/checksum*.c) test/support/guarded.c test/support/random.c

build/arm64/test/%: test/%.c $(ARM64_SOURCES) $(wildcard lib/packet/*.h test/support/*.h test/arm64/*.h) Makefile
	@mkdir -p $(@D)
	$(call say,ARM64,$@)
	$(Q)$(ARM64_CC) -Itest/arm64 -I. -D_GNU_SOURCE -std=gnu11 $(WARNINGS) -O2 -g -fsanitize=undefined \
		-fno-sanitize-recover=all -static -o $@ $< $(ARM64_SOURCES)

arm64: $(ARM64_TESTS)

.SECONDARY:
-include $(shell find $(OUT) -name '*.d' 2>/dev/null)

asan ubsan tsan:
	$(Q)$(MAKE) --no-print-directory BUILD=$@ all test-programs

demo: all
	$(Q)tools/demo

check:
	$(Q)tools/check

test: all test-programs
	$(Q)tools/check --only $(BUILD)

bench: all bench-programs
	$(Q)bench/run

profile: all
	$(Q)bench/profile

SOAK_SECONDS ?= 600
soak: all
	$(Q)bench/net/soak --seconds $(SOAK_SECONDS)

# ---- install: every file is named once, for both ways ----

MAN_PAGES := $(wildcard tools/man/*.[1-9])
man_target = $(MANDIR)/man$(subst .,,$(suffix $(1)))/$(notdir $(1))
# calls that are explained on another's page: NAME:PAGE
MAN_LINKS := ipq_destroy_handle.3:ipq_create_handle.3 ipq_get_packet.3:ipq_message_type.3 ipq_get_msgerr.3:ipq_message_type.3 \
	ipq_set_vwmark.3:ipq_set_verdict.3 ipq_perror.3:ipq_errstr.3
link_name = $(firstword $(subst :, ,$(1)))
link_page = $(lastword $(subst :, ,$(1)))

install: all
	install -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(INCLUDEDIR)/verdict $(DESTDIR)$(FUNCTIONDIR)
	install -m 755 $(OUT)/verdict $(DESTDIR)$(BINDIR)/verdict
	install -m 755 tools/ipq-compat $(DESTDIR)$(BINDIR)/ipq-compat
	install -m 755 tools/trace $(DESTDIR)$(BINDIR)/verdict-trace
	install -m 644 $(LIB_STATIC) $(DESTDIR)$(LIBDIR)/libverdict.a
	install -m 644 $(LIB_SHARED) $(DESTDIR)$(LIBDIR)/$(notdir $(LIB_SHARED))
	ln -sf $(notdir $(LIB_SHARED)) $(DESTDIR)$(LIBDIR)/$(LIB_SONAME)
	ln -sf $(LIB_SONAME) $(DESTDIR)$(LIBDIR)/libverdict.so
	install -m 644 $(OUT)/verdict.pc $(DESTDIR)$(LIBDIR)/pkgconfig/verdict.pc
	install -m 644 $(PUBLIC_HEADERS) $(DESTDIR)$(INCLUDEDIR)/verdict/
	install -m 644 $(IPQ_STATIC) $(DESTDIR)$(LIBDIR)/libipq.a
	install -m 644 $(IPQ_SHARED) $(DESTDIR)$(LIBDIR)/$(notdir $(IPQ_SHARED))
	ln -sf $(notdir $(IPQ_SHARED)) $(DESTDIR)$(LIBDIR)/$(IPQ_SONAME)
	ln -sf $(IPQ_SONAME) $(DESTDIR)$(LIBDIR)/libipq.so
	install -m 644 $(OUT)/libipq.pc $(DESTDIR)$(LIBDIR)/pkgconfig/libipq.pc
	$(foreach header,$(IPQ_HEADERS),install -D -m 644 lib/include/$(header) $(DESTDIR)$(INCLUDEDIR)/$(header);)
	install -m 644 $(FUNCTIONS) $(DESTDIR)$(FUNCTIONDIR)/
	$(foreach page,$(MAN_PAGES),install -D -m 644 $(page) $(DESTDIR)$(call man_target,$(page));)
	$(foreach link,$(MAN_LINKS),echo .so man3/$(call link_page,$(link)) | \
		install -m 644 /dev/stdin $(DESTDIR)$(call man_target,$(call link_name,$(link)));)
	install -D -m 644 tools/completion/verdict $(DESTDIR)$(COMPLETIONDIR)/verdict
	install -D -m 644 $(OUT)/verdict@.service $(DESTDIR)$(SYSTEMDUNITDIR)/verdict@.service
	install -D -m 644 tools/service/verdict.sysusers $(DESTDIR)$(SYSUSERSDIR)/verdict.conf
	install -D -m 644 README.md $(DESTDIR)$(DOCDIR)/README.md
	install -D -m 644 tools/verdict.conf.sample $(DESTDIR)$(DOCDIR)/examples/verdict.conf.sample
	install -D -m 644 tools/grafana/verdict.json $(DESTDIR)$(DATADIR)/grafana/verdict.json

uninstall:
	rm -f $(DESTDIR)$(BINDIR)/verdict $(DESTDIR)$(BINDIR)/ipq-compat $(DESTDIR)$(BINDIR)/verdict-trace
	rm -f $(addprefix $(DESTDIR)$(LIBDIR)/,libverdict.a $(notdir $(LIB_SHARED)) $(LIB_SONAME) libverdict.so pkgconfig/verdict.pc)
	rm -f $(addprefix $(DESTDIR)$(LIBDIR)/,libipq.a $(notdir $(IPQ_SHARED)) $(IPQ_SONAME) libipq.so pkgconfig/libipq.pc)
	rm -f $(addprefix $(DESTDIR)$(INCLUDEDIR)/,$(IPQ_HEADERS))
	rm -f $(addprefix $(DESTDIR)$(INCLUDEDIR)/verdict/,$(notdir $(PUBLIC_HEADERS)))
	rm -f $(addprefix $(DESTDIR)$(FUNCTIONDIR)/,$(notdir $(FUNCTIONS)))
	rm -f $(foreach page,$(MAN_PAGES) $(foreach link,$(MAN_LINKS),$(call link_name,$(link))),$(DESTDIR)$(call man_target,$(page)))
	rm -f $(DESTDIR)$(SYSTEMDUNITDIR)/verdict@.service $(DESTDIR)$(SYSUSERSDIR)/verdict.conf
	rm -f $(DESTDIR)$(COMPLETIONDIR)/verdict $(DESTDIR)$(DOCDIR)/README.md \
		$(DESTDIR)$(DOCDIR)/examples/verdict.conf.sample $(DESTDIR)$(DATADIR)/grafana/verdict.json
	-rmdir $(DESTDIR)$(DATADIR)/grafana $(DESTDIR)$(DATADIR) $(DESTDIR)$(DOCDIR)/examples $(DESTDIR)$(INCLUDEDIR)/verdict $(DESTDIR)$(FUNCTIONDIR) $(DESTDIR)$(LIBDIR)/verdict $(DESTDIR)$(DOCDIR) \
		$(addprefix $(DESTDIR)$(INCLUDEDIR)/,libipq/compat/linux libipq/compat libipq linux/netfilter_ipv4 linux) 2>/dev/null

# ---- what can be seen without running it ----

SCRIPTS := tools/demo tools/check tools/install-deps tools/ipq-compat tools/trace tools/completion/verdict .ci/run bench/run bench/report \
	bench/profile bench/flamegraph bench/net/drain bench/net/live bench/net/loads bench/net/levers bench/net/reloads bench/net/restarts bench/net/soak bench/net/footprint bench/net/held bench/net/metrics bench/net/script.sh $(wildcard test/command/*.sh) $(wildcard test/support/*.sh)

lint:
	printf '%s\n' $(SCRIPTS) | xargs -n 8 -P "$$(nproc)" shellcheck -x
	mandoc -T lint -W error $(MAN_PAGES)
	@for header in $(PUBLIC_HEADERS); do \
		echo "alone, as C11 and C++: $$header"; \
		$(CC) -std=c11 -Wall -Wextra -Wpedantic -Werror -Ilib/include -fsyntax-only -x c $$header || exit 1; \
		$(CXX) -std=c++11 -Wall -Wextra -Werror -Ilib/include -fsyntax-only -x c++ $$header || exit 1; \
		printf '#include <linux/netfilter.h>\n#include "%s"\n' $$header | \
			$(CC) -std=gnu17 -Wall -Wextra -Werror -I. -Ilib/include -fsyntax-only -x c - || exit 1; \
		! grep -n _Atomic $$header || exit 1; \
	done

# ---- fuzzing: clang's libFuzzer, FUZZ_SECONDS for each target; stops at the first finding ----

FUZZ_SECONDS ?= 60
FUZZERS := $(patsubst test/fuzz/%.c,build/fuzz/%,$(wildcard test/fuzz/*.c))
FUZZ_SOURCES := $(wildcard lib/packet/*.c) lib/nfq/message.c lib/nfq/status.c lib/ipq/translate.c lib/ipq/devices.c \
	$(addprefix test/support/,bytes.c random.c model.c model_edit.c answer_oracle.c)
FUZZ_SOURCES_fuzz_config := $(CONFIG_SOURCES) engine/error.c
FUZZ_SOURCES_fuzz_request := tools/control/request.c tools/config/origin.c engine/error.c -ljansson
FUZZ_SOURCES_fuzz_host := engine/host_pack.c test/support/mailbox.c

build/fuzz/fuzz_config: $(CONFIG_SOURCES) $(wildcard tools/config/*.h)
build/fuzz/fuzz_request: $(wildcard tools/control/request.[ch])
build/fuzz/fuzz_host: $(FUZZ_SOURCES_fuzz_host) $(wildcard engine/*.h)
build/fuzz/%: test/fuzz/%.c $(FUZZ_SOURCES) $(wildcard lib/*/*.h lib/include/*.h lib/include/verdict/*.h test/support/*.h)
	@mkdir -p $(@D)
	$(call say,FUZZ,$@)
	$(Q)clang $(CPPFLAGS_ALL) -std=gnu11 -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -o $@ $< $(FUZZ_SOURCES) $(FUZZ_SOURCES_$*) -lmnl

fuzz: $(FUZZERS)
	$(Q)for fuzzer in $(FUZZERS); do mkdir -p $$fuzzer.corpus && \
		(cd build/fuzz && ./$${fuzzer##*/} -max_total_time=$(FUZZ_SECONDS) -max_len=400 -print_final_stats=1 \
			$${fuzzer##*/}.corpus) || exit 1; done

clean:
	rm -rf build
