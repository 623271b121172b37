/*
 * Drops every other packet, and reads headers only. It was written before handles had a protocol, and declares its variables
 * where C89 wants them.
 */
#define LIBIPQ_OLD_CREATE_HANDLE
#include <libipq/libipq.h>
#include <linux/netfilter.h>
#include <signal.h>
#include <stdio.h>

static struct ipq_handle *h;

static void
done (int sig)
{
	_exit (sig == SIGTERM ? 0 : 1);
}

int
main (argc, argv)
	int argc;
	char **argv;
{
	unsigned char buf[sizeof (struct nlmsghdr) + sizeof (ipq_packet_msg_t) + 128];
	ipq_packet_msg_t *pkt;
	unsigned long n = 0;

	h = ipq_create_handle (0);
	if (!h || ipq_set_mode (h, IPQ_COPY_META, 0) < 0) {
		ipq_perror (argc > 1 ? argv[1] : NULL);
		exit (1);
	}
	signal (SIGTERM, done);
	while (1) {
		if (ipq_read (h, buf, sizeof buf, 0) < 0)
			continue;
		switch (ipq_message_type (buf)) {
		case NLMSG_ERROR:
			fprintf (stderr, "error %d\n", ipq_get_msgerr (buf));
			exit (2);
		case IPQM_PACKET:
			pkt = ipq_get_packet (buf);
			ipq_set_verdict (h, pkt->packet_id, n++ & 1 ? NF_ACCEPT : NF_DROP, 0, NULL);
		}
	}
}
