/* tls_sink.c - takes mail and forgets it, in clear or with implicit TLS: a thread a session. */
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "common.h"

#define INPUT_MAX	65536
#define REPLIES_MAX	4096

static SSL_CTX *context;		/* NULL: in clear */
static atomic_ulong sessions, resumed, taken;

struct session {
	int fd;
	SSL *tls;
	bool in_mail, ended;
	unsigned dot;			/* octets of CRLF.CRLF seen */
	char line[1024], replies[REPLIES_MAX];
	size_t line_len, reply_len;
};

static bool
flush(struct session *session)
{
	size_t len = session->reply_len;

	session->reply_len = 0;
	if (len == 0)
		return true;
	if (session->tls != NULL)
		return SSL_write(session->tls, session->replies, (int)len) == (int)len;
	return send(session->fd, session->replies, len, MSG_NOSIGNAL) == (ssize_t)len;
}

static void
say(struct session *session, const char *text)
{
	size_t len = strlen(text);

	if (len > REPLIES_MAX - session->reply_len)
		session->ended = true;
	else {
		memcpy(session->replies + session->reply_len, text, len);
		session->reply_len += len;
	}
}

static void
on_command(struct session *session)
{
	static const struct { const char *verb, *reply; } table[] = {
		{ "EHLO", "250-sink\r\n250-PIPELINING\r\n250-SIZE\r\n250 8BITMIME\r\n" },
		{ "MAIL", "250 2.1.0 ok\r\n" }, { "RCPT", "250 2.1.5 ok\r\n" },
		{ "DATA", "354 go on\r\n" }, { "RSET", "250 2.0.0 ok\r\n" },
		{ "NOOP", "250 2.0.0 ok\r\n" }, { "QUIT", "221 2.0.0 bye\r\n" },
	};
	size_t i;

	for (i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (strncasecmp(session->line, table[i].verb, 4) == 0)
			break;
	say(session, i < sizeof(table) / sizeof(table[0]) ? table[i].reply : "502 5.5.1 what\r\n");
	session->in_mail = strncasecmp(session->line, "DATA", 4) == 0;
	session->dot = 2;
	session->ended |= strncasecmp(session->line, "QUIT", 4) == 0;
}

/* Up to and with the end of data; how many octets that were. */
static size_t
read_mail(struct session *session, const char *octets, size_t len)
{
	static const char end[] = "\r\n.\r\n";
	size_t i = 0;

	while (i < len && session->dot < 5) {
		const char *cr;

		if (octets[i] == end[session->dot]) {
			session->dot++;
			i++;
			continue;
		}
		cr = memchr(octets + i, '\r', len - i);
		i = cr != NULL ? (size_t)(cr - octets) + 1 : len;
		session->dot = cr != NULL ? 1 : 0;
	}
	if (session->dot == 5) {
		session->in_mail = false;
		taken++;
		say(session, "250 2.0.0 taken\r\n");
	}
	return i;
}

static size_t
read_command(struct session *session, const char *octets, size_t len)
{
	const char *end = memchr(octets, '\n', len);
	size_t part = end != NULL ? (size_t)(end - octets) + 1 : len;

	if (part >= sizeof(session->line) - session->line_len) {
		session->ended = true;
		return len;
	}
	memcpy(session->line + session->line_len, octets, part);
	session->line_len += part;
	session->line[session->line_len] = '\0';
	if (end != NULL) {
		session->line_len = 0;
		on_command(session);
	}
	return part;
}

static void
talk(struct session *session, char *input)
{
	say(session, "220 sink ESMTP\r\n");
	while (flush(session) && !session->ended) {
		ssize_t n = session->tls != NULL ? SSL_read(session->tls, input, INPUT_MAX) :
		    recv(session->fd, input, INPUT_MAX, 0);

		if (n <= 0)
			return;
		for (size_t at = 0; at < (size_t)n && !session->ended;)
			at += session->in_mail ? read_mail(session, input + at, (size_t)n - at) :
			    read_command(session, input + at, (size_t)n - at);
	}
	flush(session);
}

static void *
serve(void *arg)
{
	struct session *session = arg;
	char *input = malloc(INPUT_MAX);

	if (input == NULL)
		fail("tls_sink", "malloc");
	if (context != NULL) {
		session->tls = SSL_new(context);
		SSL_set_fd(session->tls, session->fd);
	}
	if (session->tls == NULL || SSL_accept(session->tls) == 1) {
		sessions++;
		resumed += session->tls != NULL && SSL_session_reused(session->tls);
		talk(session, input);
	}
	if (session->tls != NULL)
		SSL_shutdown(session->tls);
	SSL_free(session->tls);
	close(session->fd);
	free(input);
	free(session);
	return NULL;
}

static void
set_up_tls(const char *certificate, const char *key)
{
	context = SSL_CTX_new(TLS_server_method());
	if (context == NULL ||
	    SSL_CTX_use_certificate_chain_file(context, certificate) != 1 ||
	    SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1) {
		ERR_print_errors_fp(stderr);
		exit(EX_CONFIG);
	}
	SSL_CTX_set_session_id_context(context, (const unsigned char *)"sink", 4);
}

static void *
report(void *arg)
{
	sigset_t *end = arg;
	int number;

	sigwait(end, &number);
	printf("{\"sessions\": %lu, \"resumed\": %lu, \"taken\": %lu}\n", sessions, resumed, taken);
	fflush(stdout);
	_exit(0);
}

static void
start_thread(void *(*run)(void *), void *arg)
{
	pthread_t thread;
	pthread_attr_t detached;

	pthread_attr_init(&detached);
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&detached, 256 * 1024);
	if (pthread_create(&thread, &detached, run, arg) != 0)
		fail("tls_sink", "pthread_create");
	pthread_attr_destroy(&detached);
}

static int
listen_at(const struct sockaddr_in *at)
{
	int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;

	setsockopt(listening, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (bind(listening, (const struct sockaddr *)at, sizeof(*at)) == -1 ||
	    listen(listening, SOMAXCONN) == -1)
		fail("tls_sink", "listen");
	return listening;
}

int
main(int argc, char **argv)
{
	struct sockaddr_in at;
	sigset_t end;
	int listening, yes = 1;

	if (argc != 3 && argc != 5) {
		fputs("usage: tls_sink ADDRESS PORT [CERTIFICATE KEY]\n", stderr);
		return EX_USAGE;
	}
	at = address_of("tls_sink", argv[1], argv[2]);
	if (argc == 5)
		set_up_tls(argv[3], argv[4]);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&end);
	sigaddset(&end, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &end, NULL);
	start_thread(report, &end);
	listening = listen_at(&at);
	for (;;) {
		struct session *session = calloc(1, sizeof(*session));

		if (session == NULL)
			fail("tls_sink", "calloc");
		session->fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
		if (session->fd == -1) {
			free(session);
			continue;
		}
		setsockopt(session->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
		start_thread(serve, session);
	}
}
