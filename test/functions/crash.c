/* SPDX-License-Identifier: MIT */
/*
 * crash:PORT[,exit|,hang] crashes on UDP packets to this port, or ends the process, or never comes back; others it leaves to the
 * next function. The test packet of a service has port 53.
 */
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <verdict/function.h>

static unsigned long port;
static enum { CRASHES, EXITS, HANGS } what;

static int open_crash(struct vd_open *open, void **shared)
{
	char *end;

	(void)shared;
	port = strtoul(open->arguments, &end, 10);
	what = !strcmp(end, ",exit") ? EXITS : !strcmp(end, ",hang") ? HANGS : CRASHES;
	if (!port || port > 65535 || (*end && what == CRASHES))
		return vd_open_error(open, "say crash:PORT, crash:PORT,exit or crash:PORT,hang, not '%s'", open->arguments);
	return 0;
}

static enum vd_verdict decide(struct vd_packet *packet, void *state)
{
	(void)state;
	if (vd_packet_protocol(packet) != IPPROTO_UDP || vd_packet_destination_port(packet) != port)
		return VD_NEXT;
	if (what == EXITS)
		_exit(7);
	while (what == HANGS)
		pause();
	/* the engine's threads block signals, but this one cannot be; and no sanitizer shall have it */
	signal(SIGILL, SIG_DFL);
	signal(SIGTRAP, SIG_DFL);
	__builtin_trap();
}

VD_FUNCTION(.name = "crash", .summary = "crashes on packets to a port", .usage = "PORT[,exit|,hang]", .bytes = VD_HEADERS,
	    .open = open_crash, .decide = decide);
