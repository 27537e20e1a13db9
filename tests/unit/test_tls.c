/* test_tls.c - TLS over connections: which certificates are taken, and what may not happen. */
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "net/conn.h"
#include "net/loop.h"
#include "net/tls.h"

#define DAY	86400

static char directory[32];

struct side {
	struct loop *loop;
	struct conn *conn;
	struct buf got;
	int secured, closed;
	enum conn_end end;
	char text[300];
	size_t to_send;
	struct tls_context *start;	/* at the first input, behind `at` octets */
	size_t at;
	bool refused;			/* conn_start_tls() said no */
	bool closes_secured, finishes, pauses;
};

static size_t
on_input(void *owner, const char *octets, size_t len)
{
	struct side *s = owner;
	struct error err;

	if (s->start != NULL) {
		struct tls_context *start = s->start;
		size_t used = s->at < len ? s->at : len;

		s->start = NULL;
		conn_write(s->conn, "220 go\r\n", 8);
		s->refused = !conn_start_tls(s->conn, start, NULL, used < len, &err);
		if (s->refused)
			conn_close(s->conn);
		return used;
	}
	buf_append(&s->got, octets, len);
	if (s->pauses)
		conn_pause(s->conn);
	if (s->finishes) {
		conn_write(s->conn, "bye", 3);
		conn_finish(s->conn);
		s->conn = NULL;
	}
	return len;
}

static void
send_more(struct side *s)
{
	static const char block[9000] = "block";

	while (s->to_send > 0 && conn_unsent(s->conn) < 100000) {
		size_t len = s->to_send < sizeof(block) ? s->to_send : sizeof(block);

		conn_write(s->conn, block, len);
		s->to_send -= len;
	}
}

static void
on_drained(void *owner)
{
	send_more(owner);
}

static void
on_secured(void *owner)
{
	struct side *s = owner;

	s->secured++;
	if (s->closes_secured) {
		conn_close(s->conn);
		s->conn = NULL;
	}
}

static void
on_closed(void *owner, enum conn_end end, const char *text)
{
	struct side *s = owner;

	s->closed++;
	s->conn = NULL;
	s->end = end;
	snprintf(s->text, sizeof(s->text), "%s", text);
}

static const struct conn_events events = {
	.on_input = on_input, .on_drained = on_drained, .on_secured = on_secured,
	.on_closed = on_closed,
};

struct pair { struct loop *loop; struct side client, server; };

static void
tcp_pair(int fds[2])
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	socklen_t len = sizeof(in);
	int listening = socket(AF_INET, SOCK_STREAM, 0);

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(listening, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(listen(listening, 1), 0);
	assert_int_equal(getsockname(listening, (struct sockaddr *)&in, &len), 0);
	fds[0] = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(fds[0], (struct sockaddr *)&in, len), 0);
	fds[1] = accept(listening, NULL, NULL);
	close(listening);
	fcntl(fds[0], F_SETFL, O_NONBLOCK);
	fcntl(fds[1], F_SETFL, O_NONBLOCK);
}

/* With raw != NULL the client side is that socket, without a conn. */
static void
pair_open(struct pair *pair, int *raw)
{
	struct error err;
	int fds[2];

	memset(pair, 0, sizeof(*pair));
	pair->loop = pair->client.loop = pair->server.loop = loop_new(&err);
	tcp_pair(fds);
	if (raw != NULL)
		*raw = fds[0];
	else
		pair->client.conn = conn_adopt(pair->loop, fds[0], &events, &pair->client);
	pair->server.conn = conn_adopt(pair->loop, fds[1], &events, &pair->server);
}

static void
pair_close(struct pair *pair)
{
	if (pair->client.conn != NULL)
		conn_close(pair->client.conn);
	if (pair->server.conn != NULL)
		conn_close(pair->server.conn);
	loop_free(pair->loop);
	buf_free(&pair->client.got);
	buf_free(&pair->server.got);
}

static void
turn_until(struct pair *pair, const int *a, const int *b)
{
	int64_t deadline = clock_monotonic_us() + 10000000;

	while (*a == 0 && *b == 0 && clock_monotonic_us() < deadline)
		loop_turn(pair->loop, 20);
	assert_true(*a != 0 || *b != 0);
}

static void
turns(struct pair *pair, int count)
{
	for (int i = 0; i < count; i++)
		loop_turn(pair->loop, 2);
}

/* --- certificates --- */

enum issuer { BY_CA, BY_ITSELF, BY_OTHER_CA };

static const struct spec {
	const char *name;		/* of the files */
	const char *subject, *alternatives;
	enum issuer issuer;
	long from, until;		/* days from now */
	const char *usage;
} specs[] = {
	{ "good", "x", "DNS:mail.example.org,IP:192.0.2.1,IP:2001:db8::1", BY_CA, -1, 1, NULL },
	{ "wildcard", "x", "DNS:*.example.org", BY_CA, -1, 1, NULL },
	{ "partial", "x", "DNS:m*.example.org", BY_CA, -1, 1, NULL },
	{ "top", "x", "DNS:*.org", BY_CA, -1, 1, NULL },
	{ "expired", "x", "DNS:mail.example.org", BY_CA, -2, -1, NULL },
	{ "future", "x", "DNS:mail.example.org", BY_CA, 1, 2, NULL },
	{ "self", "x", "DNS:mail.example.org", BY_ITSELF, -1, 1, NULL },
	{ "other", "x", "DNS:mail.example.org", BY_OTHER_CA, -1, 1, NULL },
	{ "client", "x", "DNS:mail.example.org", BY_CA, -1, 1, "clientAuth" },
	{ "address", "192.0.2.1", "DNS:192.0.2.1", BY_CA, -1, 1, NULL },
};

struct authority { X509 *certificate; EVP_PKEY *key; };

static const char *
path_of(const char *name, const char *kind)
{
	static char paths[4][80];
	static unsigned next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s.%s", directory, name, kind);
	return path;
}

static void
extend(X509 *certificate, int nid, const char *value)
{
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	assert_non_null(extension);
	assert_int_equal(X509_add_ext(certificate, extension, -1), 1);
	X509_EXTENSION_free(extension);
}

static X509 *
certificate_new(EVP_PKEY *key, const char *subject, const struct authority *by, long from,
    long until)
{
	static long serial;
	X509 *certificate = X509_new();
	X509_NAME *name = X509_get_subject_name(certificate);

	X509_set_version(certificate, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial);
	X509_gmtime_adj(X509_getm_notBefore(certificate), from * DAY);
	X509_gmtime_adj(X509_getm_notAfter(certificate), until * DAY);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)subject, -1, -1,
	    0);
	X509_set_issuer_name(certificate, by != NULL ? X509_get_subject_name(by->certificate) :
	    name);
	X509_set_pubkey(certificate, key);
	return certificate;
}

static void
save(const char *name, X509 *certificate, EVP_PKEY *key)
{
	FILE *file = fopen(path_of(name, "crt"), "w");

	assert_non_null(file);
	PEM_write_X509(file, certificate);
	fclose(file);
	file = fopen(path_of(name, "key"), "w");
	PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL);
	fclose(file);
}

static struct authority
authority_new(const char *name)
{
	struct authority authority = { .key = EVP_EC_gen("P-256") };

	authority.certificate = certificate_new(authority.key, name, NULL, -1, 10);
	extend(authority.certificate, NID_basic_constraints, "critical,CA:TRUE");
	X509_sign(authority.certificate, authority.key, EVP_sha256());
	save(name, authority.certificate, authority.key);
	return authority;
}

static void
authority_free(struct authority *authority)
{
	X509_free(authority->certificate);
	EVP_PKEY_free(authority->key);
}

static void
make_leaf(const struct spec *spec, const struct authority *by)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *certificate = certificate_new(key, spec->subject, by, spec->from, spec->until);

	extend(certificate, NID_subject_alt_name, spec->alternatives);
	if (spec->usage != NULL)
		extend(certificate, NID_ext_key_usage, spec->usage);
	X509_sign(certificate, by != NULL ? by->key : key, EVP_sha256());
	save(spec->name, certificate, key);
	X509_free(certificate);
	EVP_PKEY_free(key);
}

static int
make_certificates(void **state)
{
	struct authority ca, other;

	(void)state;
	snprintf(directory, sizeof(directory), "/tmp/herald.XXXXXX");
	assert_non_null(mkdtemp(directory));
	ca = authority_new("ca");
	other = authority_new("other-ca");
	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++)
		make_leaf(&specs[i], specs[i].issuer == BY_CA ? &ca :
		    specs[i].issuer == BY_OTHER_CA ? &other : NULL);
	authority_free(&ca);
	authority_free(&other);
	return 0;
}

static int
remove_certificates(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
		unlink(path_of(specs[i].name, "crt"));
		unlink(path_of(specs[i].name, "key"));
	}
	unlink(path_of("ca", "crt"));
	unlink(path_of("ca", "key"));
	unlink(path_of("other-ca", "crt"));
	unlink(path_of("other-ca", "key"));
	rmdir(directory);
	return 0;
}

static struct tls_context *
client_context(bool verify, int min_version)
{
	struct tls_client_params params = { .verify = verify, .ca_file = path_of("ca", "crt"),
	    .min_version = min_version };
	struct error err;
	struct tls_context *context = tls_client_new(&params, &err);

	if (context == NULL)
		fail_msg("%s", err.text);
	return context;
}

static struct tls_context *
server_context(const char *name)
{
	struct error err;
	struct tls_context *context = tls_server_new(path_of(name, "crt"), path_of(name, "key"),
	    &err);

	if (context == NULL)
		fail_msg("%s", err.text);
	return context;
}

static void
start(struct side *side, struct tls_context *context, const char *server_name)
{
	struct error err;

	assert_true(conn_start_tls(side->conn, context, server_name, false, &err));
	tls_unref(context);
}

/* Both sides in TLS, the server with `certificate`. */
static void
pair_secure(struct pair *pair, const char *certificate, bool verify, const char *server_name)
{
	pair_open(pair, NULL);
	start(&pair->client, client_context(verify, TLS1_2_VERSION), server_name);
	start(&pair->server, server_context(certificate), NULL);
	turn_until(pair, &pair->client.secured, &pair->client.closed);
	turns(pair, 5);
}

static const struct {
	const char *certificate, *server_name;
	const char *fault;		/* NULL: taken when verified */
} verdicts[] = {
	{ "good", "mail.example.org", NULL },
	{ "good", "MAIL.example.org", NULL },
	{ "good", "192.0.2.1", NULL },
	{ "good", "2001:db8::1", NULL },
	{ "good", "other.example.org", "TLS: hostname mismatch" },
	{ "good", "192.0.2.2", "TLS: IP address mismatch" },
	{ "wildcard", "mail.example.org", NULL },
	{ "wildcard", "a.mail.example.org", "TLS: hostname mismatch" },
	{ "wildcard", "example.org", "TLS: hostname mismatch" },
	{ "partial", "mail.example.org", "TLS: hostname mismatch" },
	{ "top", "example.org", "TLS: hostname mismatch" },
	{ "address", "192.0.2.1", "TLS: IP address mismatch" },
	{ "expired", "mail.example.org", "TLS: certificate has expired" },
	{ "future", "mail.example.org", "TLS: certificate is not yet valid" },
	{ "self", "mail.example.org", "TLS: self-signed certificate" },
	{ "other", "mail.example.org", "TLS: unable to get local issuer certificate" },
	{ "client", "mail.example.org", "TLS: unsuitable certificate purpose" },
};

static void
test_verdicts(void **state)
{
	struct pair pair;

	(void)state;
	for (size_t i = 0; i < sizeof(verdicts) / sizeof(verdicts[0]); i++) {
		pair_secure(&pair, verdicts[i].certificate, true, verdicts[i].server_name);
		if (verdicts[i].fault == NULL) {
			assert_int_equal(pair.client.secured, 1);
			assert_string_equal(conn_tls_text(pair.client.conn), "TLSv1.3/verified");
		} else {
			assert_int_equal(pair.client.secured, 0);
			assert_int_equal(pair.client.closed, 1);
			assert_int_equal(pair.client.end, CONN_TLS);
			assert_string_equal(pair.client.text, verdicts[i].fault);
		}
		pair_close(&pair);
	}
}

static void
test_any_certificate_when_unverified(void **state)
{
	struct pair pair;

	(void)state;
	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
		pair_secure(&pair, specs[i].name, false, "elsewhere.example.org");
		assert_int_equal(pair.client.secured, 1);
		assert_int_equal(pair.server.secured, 1);
		assert_string_equal(conn_tls_text(pair.client.conn), "TLSv1.3/encrypted");
		pair_close(&pair);
	}
}

static void
test_files_refused(void **state)
{
	struct tls_client_params params = { .verify = true, .ca_file = "/nonexistent/ca" };
	struct error err;

	(void)state;
	assert_null(tls_client_new(&params, &err));
	assert_non_null(strstr(err.text, "/nonexistent/ca: No such file"));
	assert_null(tls_server_new("/nonexistent/a", "/nonexistent/b", &err));
	assert_non_null(strstr(err.text, "/nonexistent/a: No such file"));
	assert_null(tls_server_new(path_of("good", "crt"), path_of("self", "key"), &err));
	assert_non_null(strstr(err.text, "key values mismatch"));
	params.ca_file = path_of("good", "key");
	assert_null(tls_client_new(&params, &err));
	assert_int_equal(err.kind, ERROR_TLS);
}

static void
test_empty_name_is_no_name(void **state)
{
	struct tls_context *context = client_context(true, 0);
	struct pair pair;
	struct error err;

	(void)state;
	pair_open(&pair, NULL);
	assert_false(conn_start_tls(pair.client.conn, context, "", false, &err));
	tls_unref(context);
	pair_close(&pair);
}

static void
test_octets_behind_starttls(void **state)
{
	struct tls_context *server = server_context("good");
	struct pair pair;
	int raw;

	(void)state;
	/* In one segment: conn_start_tls() refuses. */
	pair_open(&pair, &raw);
	pair.server.start = server;
	pair.server.at = 10;
	assert_int_equal(write(raw, "STARTTLS\r\nNOOP\r\n", 16), 16);
	turns(&pair, 5);
	assert_true(pair.server.refused);
	pair.server.conn = NULL;
	close(raw);
	pair_close(&pair);
	/* Behind the 220: it is no TLS, so the connection ends and no octet is input. */
	pair_open(&pair, &raw);
	pair.server.start = server;
	pair.server.at = 10;
	assert_int_equal(write(raw, "STARTTLS\r\n", 10), 10);
	turns(&pair, 5);
	assert_int_equal(write(raw, "NOOP\r\nRSET\r\n", 12), 12);
	turn_until(&pair, &pair.server.closed, &pair.server.closed);
	assert_int_equal(pair.server.end, CONN_TLS);
	assert_int_equal(pair.server.got.len, 0);
	assert_int_equal(pair.server.secured, 0);
	close(raw);
	pair_close(&pair);
	tls_unref(server);
}

static void
test_starttls_and_output_around_it(void **state)
{
	struct tls_context *server = server_context("good");
	struct pair pair;
	int raw;
	char heard[2000];
	ssize_t len;

	(void)state;
	/* What is written after conn_start_tls() never leaves in the clear. */
	pair_open(&pair, &raw);
	pair.server.start = server;
	pair.server.at = 10;
	assert_int_equal(write(raw, "STARTTLS\r\n", 10), 10);
	turns(&pair, 3);
	conn_write(pair.server.conn, "250 secret\r\n", 12);
	turns(&pair, 3);
	len = read(raw, heard, sizeof(heard));
	assert_int_equal(len, 8);
	assert_memory_equal(heard, "220 go\r\n", 8);
	close(raw);
	pair_close(&pair);
	/* And with a client it arrives behind the handshake. */
	pair_open(&pair, NULL);
	pair.server.start = server;
	pair.server.at = 10;
	conn_write(pair.client.conn, "STARTTLS\r\n", 10);
	while (pair.client.got.len < 8)
		loop_turn(pair.loop, 20);
	start(&pair.client, client_context(true, TLS1_3_VERSION), "mail.example.org");
	conn_write(pair.client.conn, "EHLO b\r\n", 8);
	turn_until(&pair, &pair.server.secured, &pair.server.closed);
	turns(&pair, 5);
	assert_int_equal(pair.server.got.len, 8);
	assert_memory_equal(buf_octets(&pair.server.got), "EHLO b\r\n", 8);
	pair_close(&pair);
	tls_unref(server);
}

static void
test_server_without_tls(void **state)
{
	struct pair pair;

	(void)state;
	pair_open(&pair, NULL);
	start(&pair.client, client_context(true, 0), "mail.example.org");
	conn_write(pair.server.conn, "500 what?\r\n", 11);
	turn_until(&pair, &pair.client.closed, &pair.client.closed);
	assert_int_equal(pair.client.end, CONN_TLS);
	assert_non_null(strstr(pair.client.text, "no TLS"));
	pair_close(&pair);
	/* Or it just goes away, or says nothing. */
	pair_open(&pair, NULL);
	start(&pair.client, client_context(true, 0), "mail.example.org");
	turns(&pair, 2);
	conn_finish(pair.server.conn);
	pair.server.conn = NULL;
	turn_until(&pair, &pair.client.closed, &pair.client.closed);
	assert_int_equal(pair.client.end, CONN_TLS);
	assert_string_equal(pair.client.text,
	    "TLS: connection closed by peer during the handshake");
	pair_close(&pair);
	pair_open(&pair, NULL);
	conn_set_timeout(pair.client.conn, 1);
	start(&pair.client, client_context(true, 0), "mail.example.org");
	turn_until(&pair, &pair.client.closed, &pair.client.closed);
	assert_int_equal(pair.client.end, CONN_TIMEOUT);
	assert_string_equal(pair.client.text, "TLS handshake timed out");
	pair_close(&pair);
}

static void
test_too_old(void **state)
{
	struct tls_context *context = server_context("good");
	SSL_CTX *old = SSL_CTX_new(TLS_client_method());
	struct pair pair;
	struct error err;
	int raw;
	SSL *ssl;

	(void)state;
	SSL_CTX_set_security_level(old, 0);
	SSL_CTX_set_max_proto_version(old, TLS1_1_VERSION);
	pair_open(&pair, &raw);
	assert_true(conn_start_tls(pair.server.conn, context, NULL, false, &err));
	ssl = SSL_new(old);
	SSL_set_fd(ssl, raw);
	SSL_connect(ssl);
	turn_until(&pair, &pair.server.closed, &pair.server.secured);
	assert_int_equal(pair.server.closed, 1);
	assert_int_equal(pair.server.end, CONN_TLS);
	SSL_free(ssl);
	SSL_CTX_free(old);
	close(raw);
	pair_close(&pair);
	tls_unref(context);
}

static void
test_large_both_ways(void **state)
{
	const size_t total = 5 * 1024 * 1024;
	int64_t deadline = clock_monotonic_us() + 60000000;
	struct pair pair;

	(void)state;
	pair_secure(&pair, "good", true, "mail.example.org");
	pair.client.to_send = pair.server.to_send = total;
	send_more(&pair.client);
	send_more(&pair.server);
	for (int i = 0; (pair.client.got.len < total || pair.server.got.len < total) &&
	    clock_monotonic_us() < deadline; i++) {
		struct side *side = i % 2 == 0 ? &pair.client : &pair.server;

		if (i % 5 == 0)
			conn_pause(side->conn);
		loop_turn(pair.loop, 5);
		if (i % 5 == 0)
			conn_resume(side->conn);
	}
	assert_int_equal(pair.client.got.len, total);
	assert_int_equal(pair.server.got.len, total);
	assert_int_equal(pair.client.closed + pair.server.closed, 0);
	pair_close(&pair);
}

static void
test_end_with_and_without_close_notify(void **state)
{
	struct pair pair;

	(void)state;
	pair_secure(&pair, "good", true, "mail.example.org");
	conn_write(pair.server.conn, "221 bye\r\n", 9);
	conn_finish(pair.server.conn);
	pair.server.conn = NULL;
	turn_until(&pair, &pair.client.closed, &pair.client.closed);
	assert_int_equal(pair.client.end, CONN_EOF);
	assert_string_equal(pair.client.text, "connection closed by peer");
	assert_int_equal(pair.client.got.len, 9);
	pair_close(&pair);
	pair_secure(&pair, "good", true, "mail.example.org");
	conn_write(pair.server.conn, "250 ok\r\n", 8);
	turns(&pair, 5);
	conn_close(pair.server.conn);
	pair.server.conn = NULL;
	turn_until(&pair, &pair.client.closed, &pair.client.closed);
	assert_int_equal(pair.client.end, CONN_EOF);
	assert_string_equal(pair.client.text,
	    "connection closed by peer without TLS close_notify");
	assert_int_equal(pair.client.got.len, 8);
	pair_close(&pair);
}

/* QUIT and the end of the client's side in one: the reply still leaves. */
static void
test_reply_to_the_last_line(void **state)
{
	struct pair pair;

	(void)state;
	pair_secure(&pair, "good", true, "mail.example.org");
	pair.server.finishes = true;
	conn_write(pair.client.conn, "QUIT\r\n", 6);
	turn_until(&pair, &pair.client.closed, &pair.client.closed);
	assert_int_equal(pair.client.got.len, 3);
	assert_int_equal(pair.client.end, CONN_EOF);
	pair_close(&pair);
}

/* The same while the owner is not ready: neither lost nor told before conn_resume(). */
static void
test_end_while_paused(void **state)
{
	struct pair pair;

	(void)state;
	pair_secure(&pair, "good", true, "mail.example.org");
	pair.server.pauses = true;
	conn_write(pair.client.conn, "QUIT\r\n", 6);
	conn_finish(pair.client.conn);
	pair.client.conn = NULL;
	turns(&pair, 5);
	assert_int_equal(pair.server.got.len, 6);
	assert_int_equal(pair.server.closed, 0);
	conn_resume(pair.server.conn);
	turn_until(&pair, &pair.server.closed, &pair.server.closed);
	assert_int_equal(pair.server.end, CONN_EOF);
	pair_close(&pair);
}

static void
test_close_in_secured(void **state)
{
	struct pair pair;

	(void)state;
	pair_open(&pair, NULL);
	pair.client.closes_secured = true;
	start(&pair.client, client_context(true, 0), "mail.example.org");
	start(&pair.server, server_context("good"), NULL);
	turn_until(&pair, &pair.client.secured, &pair.client.closed);
	turn_until(&pair, &pair.server.closed, &pair.server.closed);
	assert_int_equal(pair.client.closed, 0);
	pair_close(&pair);
}

/* One queue of errors in OpenSSL for all: garbage on one connection, none of it on another. */
static void
test_errors_stay_with_their_connection(void **state)
{
	struct tls_context *server = server_context("good");
	struct pair good, bad;
	struct error err;

	(void)state;
	pair_secure(&good, "good", true, "mail.example.org");
	for (int i = 0; i < 100; i++) {
		int raw;

		pair_open(&bad, &raw);
		assert_true(conn_start_tls(bad.server.conn, server, NULL, false, &err));
		assert_int_equal(write(raw, "\x16\x03\x01garbage garbage", 18), 18);
		turn_until(&bad, &bad.server.closed, &bad.server.closed);
		conn_write(good.client.conn, "x", 1);
		turns(&good, 3);
		assert_int_equal(good.server.got.len, i + 1);
		close(raw);
		pair_close(&bad);
	}
	assert_int_equal(good.client.closed + good.server.closed, 0);
	pair_close(&good);
	tls_unref(server);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verdicts),
		cmocka_unit_test(test_any_certificate_when_unverified),
		cmocka_unit_test(test_files_refused),
		cmocka_unit_test(test_empty_name_is_no_name),
		cmocka_unit_test(test_octets_behind_starttls),
		cmocka_unit_test(test_starttls_and_output_around_it),
		cmocka_unit_test(test_server_without_tls),
		cmocka_unit_test(test_too_old),
		cmocka_unit_test(test_large_both_ways),
		cmocka_unit_test(test_end_with_and_without_close_notify),
		cmocka_unit_test(test_reply_to_the_last_line),
		cmocka_unit_test(test_end_while_paused),
		cmocka_unit_test(test_close_in_secured),
		cmocka_unit_test(test_errors_stay_with_their_connection),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, make_certificates, remove_certificates);
}
