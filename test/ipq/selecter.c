/*
 * Both families in one loop, as routing daemons did it: select() on the handles' descriptors with a timeout, a large receive
 * buffer set by hand, one message read for each wake-up. Prints how often it woke; argv[1] packets later it ends.
 */
#include <sys/select.h>
#include <sys/time.h>
#include <netinet/in.h>
#include <linux/netfilter.h>
#include <libipq.h>
#include <stdio.h>

static struct ipq_handle *open_one(int family)
{
	struct ipq_handle *h = ipq_create_handle(0, family);
	int size = 1 << 20;

	if (!h || ipq_set_mode(h, IPQ_COPY_PACKET, 0) < 0) {
		ipq_perror("selecter");
		exit(1);
	}
	if (setsockopt(h->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)) < 0)
		exit(3);
	return h;
}

static int take(struct ipq_handle *h)
{
	static unsigned char buf[sizeof(struct nlmsghdr) + sizeof(ipq_packet_msg_t) + 65536];

	if (ipq_read(h, buf, sizeof(buf), 0) < 0)
		exit(4);
	if (ipq_message_type(buf) == NLMSG_ERROR)
		exit(5);
	ipq_set_verdict(h, ipq_get_packet(buf)->packet_id, NF_ACCEPT, 0, NULL);
	return 1;
}

int main(int argc, char **argv)
{
	struct ipq_handle *h4 = open_one(PF_INET), *h6 = open_one(PF_INET6);
	int left = argc > 1 ? atoi(argv[1]) : 1, idle = 0, v4 = 0, v6 = 0;
	struct timeval tv;
	fd_set set;

	while (left > 0 && idle < 100) {
		FD_ZERO(&set);
		FD_SET(h4->fd, &set);
		FD_SET(h6->fd, &set);
		tv.tv_sec = 0;
		tv.tv_usec = 100000;
		if (select((h4->fd > h6->fd ? h4->fd : h6->fd) + 1, &set, NULL, NULL, &tv) <= 0) {
			idle++;
			continue;
		}
		if (FD_ISSET(h4->fd, &set))
			v4 += take(h4);
		if (FD_ISSET(h6->fd, &set))
			v6 += take(h6);
		left = atoi(argv[1]) - v4 - v6;
	}
	printf("%d IPv4, %d IPv6\n", v4, v6);
	ipq_destroy_handle(h4);
	ipq_destroy_handle(h6);
	return left > 0;
}
