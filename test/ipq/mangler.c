/*
 * Rewrites what UDP carries: argv[1] becomes argv[2] wherever it stands at the beginning, which may be shorter or longer. It does
 * its own checksums, as libipq's manual demands.
 */
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <linux/netfilter.h>
#include <libipq.h>
#include <stdio.h>

#define RANGE 2000
#define GROWTH 1000

static unsigned long add(unsigned long sum, const void *data, int len)
{
	const unsigned char *p = data;

	for (; len > 1; p += 2, len -= 2)
		sum += p[0] << 8 | p[1];
	return len ? sum + (p[0] << 8) : sum;
}

static u_int16_t fold(unsigned long sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons(~sum & 0xffff);
}

static size_t rewrite(unsigned char *data, size_t len, const char *from, const char *to)
{
	struct iphdr *ip = (struct iphdr *)data;
	struct udphdr *udp = (struct udphdr *)(data + ip->ihl * 4);
	char *text = (char *)(udp + 1);
	size_t head = (unsigned char *)text - data, rest;

	if (ip->protocol != IPPROTO_UDP || len < head + strlen(from) || memcmp(text, from, strlen(from)))
		return 0;
	rest = len - head - strlen(from);
	memmove(text + strlen(to), text + strlen(from), rest);
	memcpy(text, to, strlen(to));
	len = head + strlen(to) + rest;

	udp->len = htons(len - ip->ihl * 4);
	udp->check = 0;
	udp->check = fold(add(add(IPPROTO_UDP + ntohs(udp->len), &ip->saddr, 8), udp, ntohs(udp->len)));
	if (!udp->check)
		udp->check = 0xffff;
	ip->tot_len = htons(len);
	ip->check = 0;
	ip->check = fold(add(0, ip, ip->ihl * 4));
	return len;
}

int main(int argc, char **argv)
{
	static unsigned char buf[sizeof(struct nlmsghdr) + sizeof(ipq_packet_msg_t) + RANGE + GROWTH];
	struct ipq_handle *h;
	ipq_packet_msg_t *m;
	size_t len;

	h = ipq_create_handle(0, PF_INET);
	if (argc != 3 || !h || ipq_set_mode(h, IPQ_COPY_PACKET, RANGE) < 0) {
		ipq_perror("mangler");
		exit(1);
	}
	for (;;) {
		if (ipq_read(h, buf, sizeof buf - GROWTH, 0) < 0) {
			ipq_perror("mangler");
			exit(1);
		}
		if (ipq_message_type(buf) != IPQM_PACKET)
			exit(ipq_get_msgerr(buf));
		m = ipq_get_packet(buf);
		len = rewrite(m->payload, m->data_len, argv[1], argv[2]);
		ipq_set_verdict(h, m->packet_id, NF_ACCEPT, len, len ? m->payload : NULL);
	}
}
