/*
 * Lets every packet through: the first program that people wrote with libipq, with the habits of its time. Nothing is included
 * that libipq.h brought, exit() among it.
 */
#include <linux/netfilter.h>
#include <libipq.h>
#include <stdio.h>

#define BUFSIZE 2048

static struct ipq_handle *h;

static void die(char *what)
{
	ipq_perror(what);
	ipq_destroy_handle(h);
	exit(1);
}

int main(void)
{
	unsigned char buf[BUFSIZE];
	ipq_packet_msg_t *m;
	int status;

	h = ipq_create_handle(0, PF_INET);
	if (h == NULL)
		die("passer");
	status = ipq_set_mode(h, IPQ_COPY_PACKET, BUFSIZE);
	if (status < 0)
		die("passer");
	for (;;) {
		status = ipq_read(h, buf, BUFSIZE, 0);
		if (status < 0)
			die("passer");
		if (ipq_message_type(buf) == NLMSG_ERROR) {
			fprintf(stderr, "passer: kernel says: %s\n", strerror(ipq_get_msgerr(buf)));
			exit(2);
		}
		m = ipq_get_packet(buf);
		if (ipq_set_verdict(h, m->packet_id, NF_ACCEPT, 0, NULL) < 0)
			die("passer");
	}
}
