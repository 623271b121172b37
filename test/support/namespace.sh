# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# Source it first: as root, the script that does goes on in namespaces of its own, of network and of mounts, which have no name and are
# gone with its last process.

if [ "$(id -u)" -eq 0 ] && [ "${1:-}" != inside ]; then
	exec unshare --net --mount -- bash "$0" inside
fi
