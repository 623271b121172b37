# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# A service under test/support/manager.py, for command tests: source it behind shell.sh. Needs python3. $log is what the manager
# writes, $scratch/out and $scratch/err what the service prints.

# shellcheck disable=SC2154 # shell.sh has it
log=$scratch/log
mkfifo "$scratch/commands"
chmod 711 "$scratch" # whoever the program becomes can reach its manager

# manage WATCHDOG-SECONDS [NAME=KIND ...] -- PROGRAM [ARGUMENT...]: a manager with this service; $manager
manage() {
	: >"$log"
	: >"$scratch/out"
	: >"$scratch/err"
	background python3 test/support/manager.py "$log" "$scratch/commands" "$@" >>"$scratch/out" 2>>"$scratch/err"
	manager=$child
}

# tell COMMAND SIGNAL: the manager
tell() {
	printf '%s %s\n' "$1" "$2" >"$scratch/commands"
}

# has_log COUNT PATTERN: at least so many lines like this
has_log() {
	[ "$(grep -Ec -- "$2" "$log")" -ge "$1" ]
}

# managed: waits until the manager has come to its end; $status
managed() {
	wait_until 60 is_gone "$manager" || not_ok "the service manager does not end"
	wait "$manager"
	# shellcheck disable=SC2034 # for those who source this
	status=$?
}

show_logs() {
	sed 's/^/# /' "$log" "$scratch/err"
}

# expect_log COUNT PATTERN TEXT: so many lines, within a minute
expect_log() {
	if wait_until 60 has_log "$1" "$2"; then
		ok "$3"
	else
		not_ok "$3 (wanted $1 lines like: $2)"
		show_logs
	fi
}

# expect_no_log PATTERN TEXT
expect_no_log() {
	if has_log 1 "$1"; then
		not_ok "$2"
		show_logs
	else
		ok "$2"
	fi
}

# expect_order TEXT PATTERN...: the first lines of the log like these come in this order
expect_order() {
	local text=$1 before=0 line

	shift
	for pattern; do
		line=$(grep -En -- "$pattern" "$log" | head -n 1 | cut -d: -f1)
		if [ "${line:-0}" -le "$before" ]; then
			not_ok "$text (not in order: $pattern)"
			show_logs
			return
		fi
		before=$line
	done
	ok "$text"
}
