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
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "net/conn.h"
#include "net/loop.h"
#include "net/tls.h"
#include "net/tls_cache.h"
#include "net/tls_certificate.h"

#define DAY	86400

static char directory[32];

struct side {
	struct loop *loop;
	struct conn *conn;
	struct buf got;
	int secured, closed;
	enum conn_end end;
	char text[300], certificate[512];
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
	conn_certificate_text(s->conn, s->certificate, sizeof(s->certificate));
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
	static char paths[16][80];
	static unsigned next;
	char *path = paths[next++ % 16];

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
	assert_int_equal(chmod(path_of(name, "key"), 0600), 0);
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

static struct tls_context *
context_of(const struct tls_client_params *params)
{
	struct error err;
	struct tls_context *context = tls_client_new(params, &err);

	if (context == NULL)
		fail_msg("%s", err.text);
	return context;
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

/* --- a server of plain OpenSSL, which can do what ours does not --- */

static SSL_CTX *
server_of(const char *certificate, int max_version)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	SSL_CTX_set_max_proto_version(ctx, max_version);
	assert_int_equal(SSL_CTX_use_certificate_file(ctx, path_of(certificate, "crt"),
	    SSL_FILETYPE_PEM), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey_file(ctx, path_of(certificate, "key"),
	    SSL_FILETYPE_PEM), 1);
	SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"test", 4);
	return ctx;
}

static int
listen_at(struct sockaddr_in *in)
{
	socklen_t len = sizeof(*in);
	int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*in = (struct sockaddr_in){ .sin_family = AF_INET };
	in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(listening, (struct sockaddr *)in, sizeof(*in)), 0);
	assert_int_equal(listen(listening, 1), 0);
	assert_int_equal(getsockname(listening, (struct sockaddr *)in, &len), 0);
	return listening;
}

struct visit {
	int listening;
	struct sockaddr_in place;
	struct loop *loop;
	struct side client;
	SSL *server;
	bool resumed, good;
};

static void
visit_listen(struct visit *visit)
{
	struct error err;

	memset(visit, 0, sizeof(*visit));
	visit->listening = listen_at(&visit->place);
	visit->loop = loop_new(&err);
}

static void
visit_close(struct visit *visit)
{
	close(visit->listening);
	loop_free(visit->loop);
}

static void
visit_handshake(struct visit *visit)
{
	int64_t deadline = clock_monotonic_us() + 10000000;

	while ((visit->client.secured == 0 || !SSL_is_init_finished(visit->server)) &&
	    visit->client.closed == 0) {
		assert_true(clock_monotonic_us() < deadline);
		if (!SSL_is_init_finished(visit->server))
			SSL_do_handshake(visit->server);
		loop_turn(visit->loop, 1);
	}
	visit->good = visit->client.closed == 0;
	if (visit->good)
		SSL_write(visit->server, "hello", 5);
	while (visit->good && visit->client.got.len < 5 && visit->client.closed == 0) {
		assert_true(clock_monotonic_us() < deadline);
		loop_turn(visit->loop, 1);
	}
}

/* One connection, from the handshake to a few octets behind it; visit->server stays. */
static void
visit_once(struct visit *visit, struct tls_context *context, SSL_CTX *ctx, const char *name)
{
	struct error err;
	int fds[2];

	memset(&visit->client, 0, sizeof(visit->client));
	visit->client.loop = visit->loop;
	fds[0] = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(fds[0], (struct sockaddr *)&visit->place,
	    sizeof(visit->place)), 0);
	fds[1] = accept(visit->listening, NULL, NULL);
	fcntl(fds[0], F_SETFL, O_NONBLOCK);
	fcntl(fds[1], F_SETFL, O_NONBLOCK);
	visit->server = SSL_new(ctx);
	SSL_set_fd(visit->server, fds[1]);
	SSL_set_accept_state(visit->server);
	visit->client.conn = conn_adopt(visit->loop, fds[0], &events, &visit->client);
	assert_true(conn_start_tls(visit->client.conn, context, name, false, &err));
	visit_handshake(visit);
}

static void
visit_end(struct visit *visit)
{
	int fd = SSL_get_fd(visit->server);

	if (visit->client.conn != NULL)
		conn_close(visit->client.conn);
	loop_turn(visit->loop, 0);
	buf_free(&visit->client.got);
	SSL_free(visit->server);
	close(fd);
}

/* Whether the handshake was good, and (out) whether it went on with an earlier session. */
static bool
visit_says(struct visit *visit, struct tls_context *context, SSL_CTX *ctx, const char *name)
{
	visit_once(visit, context, ctx, name);
	visit->resumed = SSL_session_reused(visit->server) == 1;
	if (visit->client.conn != NULL)
		assert_int_equal(conn_tls_is_resumed(visit->client.conn), visit->resumed);
	visit_end(visit);
	return visit->good;
}

#define ASSERT_NEW(visit, context, ctx, name) do { \
		assert_true(visit_says(visit, context, ctx, name)); \
		assert_false((visit)->resumed); \
	} while (0)
#define ASSERT_RESUMED(visit, context, ctx, name) do { \
		assert_true(visit_says(visit, context, ctx, name)); \
		assert_true((visit)->resumed); \
	} while (0)

static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };

static void
test_resumption(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		SSL_CTX *ctx = server_of("good", versions[i]);
		struct tls_context *context = client_context(true, 0);
		struct visit visit;

		visit_listen(&visit);
		ASSERT_NEW(&visit, context, ctx, "mail.example.org");
		ASSERT_RESUMED(&visit, context, ctx, "mail.example.org");
		ASSERT_RESUMED(&visit, context, ctx, "MAIL.example.org");
		visit_once(&visit, context, ctx, "mail.example.org");
		assert_string_equal(conn_tls_text(visit.client.conn),
		    i == 0 ? "TLSv1.2/verified" : "TLSv1.3/verified");
		assert_true(conn_tls_is_resumed(visit.client.conn));
		visit_end(&visit);
		visit_close(&visit);
		tls_unref(context);
		SSL_CTX_free(ctx);
	}
}

/* RULES V26: another name, place or policy is another session. */
static void
test_no_resumption_elsewhere(void **state)
{
	char ca[80], certificate[80], key[80];
	struct tls_client_params params = { .verify = true, .ca_file = ca,
	    .certificate = certificate, .private_key = key };

	(void)state;
	strcpy(ca, path_of("ca", "crt"));
	strcpy(certificate, path_of("client", "crt"));
	strcpy(key, path_of("client", "key"));
	for (size_t i = 0; i < 2; i++) {
		SSL_CTX *ctx = server_of("good", versions[i]);
		struct tls_context *context = client_context(true, 0);
		struct tls_context *unverified = client_context(false, 0);
		struct tls_context *same = client_context(true, 0);
		struct tls_context *with_certificate = context_of(&params);
		struct visit visit, other;

		visit_listen(&visit);
		visit_listen(&other);
		ASSERT_NEW(&visit, unverified, ctx, "mail.example.org");
		ASSERT_NEW(&visit, context, ctx, "mail.example.org");
		ASSERT_NEW(&visit, same, ctx, "mail.example.org");
		ASSERT_NEW(&visit, with_certificate, ctx, "mail.example.org");
		ASSERT_NEW(&visit, context, ctx, "192.0.2.1");
		ASSERT_NEW(&other, context, ctx, "mail.example.org");
		/* A name that the certificate has not: no session helps. */
		assert_false(visit_says(&visit, context, ctx, "other.example.org"));
		assert_false(visit_says(&visit, context, ctx, "other.example.org"));
		ASSERT_RESUMED(&visit, unverified, ctx, "mail.example.org");
		ASSERT_RESUMED(&visit, context, ctx, "mail.example.org");
		visit_close(&visit);
		visit_close(&other);
		tls_unref(context);
		tls_unref(unverified);
		tls_unref(same);
		tls_unref(with_certificate);
		SSL_CTX_free(ctx);
	}
}

/* What the server has forgotten is a full handshake, and no fault. */
static void
test_resumption_refused_by_the_server(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		SSL_CTX *before = server_of("good", versions[i]);
		SSL_CTX *after = server_of("good", versions[i]);
		struct tls_context *context = client_context(true, 0);
		struct visit visit;

		visit_listen(&visit);
		ASSERT_NEW(&visit, context, before, "mail.example.org");
		ASSERT_NEW(&visit, context, after, "mail.example.org");
		ASSERT_RESUMED(&visit, context, after, "mail.example.org");
		visit_close(&visit);
		tls_unref(context);
		SSL_CTX_free(before);
		SSL_CTX_free(after);
	}
}

/* The certificate expires between two connections: the second one is refused, though
 * the server would go on, and though its session said that all was well. */
static void
test_resumption_is_judged_again(void **state)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	FILE *file = fopen(path_of("ca", "key"), "r");
	struct authority ca;

	(void)state;
	ca.key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
	fclose(file);
	file = fopen(path_of("ca", "crt"), "r");
	ca.certificate = PEM_read_X509(file, NULL, NULL, NULL);
	fclose(file);
	for (size_t i = 0; i < 2; i++) {
		X509 *certificate = certificate_new(key, "x", &ca, -1, 1);
		struct tls_context *context = client_context(true, 0);
		struct visit visit;
		SSL_CTX *ctx;

		X509_gmtime_adj(X509_getm_notAfter(certificate), 3);
		extend(certificate, NID_subject_alt_name, "DNS:mail.example.org");
		X509_sign(certificate, ca.key, EVP_sha256());
		save("brief", certificate, key);
		ctx = server_of("brief", versions[i]);
		visit_listen(&visit);
		ASSERT_NEW(&visit, context, ctx, "mail.example.org");
		while (X509_cmp_current_time(X509_get0_notAfter(certificate)) > 0)
			usleep(50000);
		visit_once(&visit, context, ctx, "mail.example.org");
		assert_false(visit.good);
		assert_true(SSL_session_reused(visit.server));
		assert_int_equal(visit.client.end, CONN_TLS);
		assert_string_equal(visit.client.text, "TLS: certificate has expired");
		visit_end(&visit);
		/* And that session is not tried again. */
		assert_false(visit_says(&visit, context, ctx, "mail.example.org"));
		assert_false(visit.resumed);
		visit_close(&visit);
		tls_unref(context);
		SSL_CTX_free(ctx);
		X509_free(certificate);
	}
	unlink(path_of("brief", "crt"));
	unlink(path_of("brief", "key"));
	authority_free(&ca);
	EVP_PKEY_free(key);
}

/* Ours as a server: what one listener gave, another does not take (RULES V26). */
static void
test_listeners_do_not_share_sessions(void **state)
{
	struct tls_context *servers[] = { server_context("good"), server_context("good") };
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL_SESSION *session = NULL;

	(void)state;
	SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
	for (int i = 0; i < 3; i++) {
		struct tls_context *server = servers[i == 2 ? 1 : 0];
		struct pair pair;
		struct error err;
		SSL *ssl;
		int raw;

		pair_open(&pair, &raw);
		assert_true(conn_start_tls(pair.server.conn, server, NULL, false, &err));
		ssl = SSL_new(ctx);
		SSL_set_fd(ssl, raw);
		if (session != NULL)
			SSL_set_session(ssl, session);
		for (int j = 0; j < 1000 && SSL_connect(ssl) != 1; j++)
			loop_turn(pair.loop, 1);
		assert_true(SSL_is_init_finished(ssl));
		assert_int_equal(SSL_session_reused(ssl), i == 1);
		if (session == NULL)
			session = SSL_get1_session(ssl);
		SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
		SSL_free(ssl);
		close(raw);
		pair_close(&pair);
	}
	SSL_SESSION_free(session);
	SSL_CTX_free(ctx);
	tls_unref(servers[0]);
	tls_unref(servers[1]);
}

/* Whether there is a session of that key. */
static bool
is_cached(struct tls_cache *cache, const char *key)
{
	SSL_SESSION *session = tls_cache_get(cache, key);

	SSL_SESSION_free(session);
	return session != NULL;
}

static void
test_cache(void **state)
{
	struct tls_cache *cache = tls_cache_new();
	SSL_SESSION *session = SSL_SESSION_new();
	char key[32];

	(void)state;
	assert_false(is_cached(cache, "a"));
	tls_cache_put(cache, "a", session);
	assert_true(is_cached(cache, "a"));
	assert_false(is_cached(cache, "b"));
	tls_cache_put(cache, "a", session);
	assert_int_equal(tls_cache_count(cache), 1);
	for (int i = 0; i < TLS_CACHE_MAX; i++) {
		snprintf(key, sizeof(key), "key %d", i);
		tls_cache_put(cache, key, session);
		if (i < TLS_CACHE_MAX - 1)
			assert_true(is_cached(cache, "key 0"));
	}
	/* The one used least lately has gone. */
	assert_int_equal(tls_cache_count(cache), TLS_CACHE_MAX);
	assert_false(is_cached(cache, "a"));
	tls_cache_put(cache, "b", session);
	assert_true(is_cached(cache, "key 0"));
	assert_false(is_cached(cache, "key 1"));
	tls_cache_drop(cache, "key 0");
	assert_false(is_cached(cache, "key 0"));
	tls_cache_drop(cache, "key 0");
	/* And each has its hour. */
	clock_set(INT64_C(1000000000000000));
	tls_cache_put(cache, "c", session);
	clock_set(INT64_C(1000000000000000) + (TLS_CACHE_SECONDS - 1) * INT64_C(1000000));
	assert_true(is_cached(cache, "c"));
	clock_set(INT64_C(1000000000000000) + TLS_CACHE_SECONDS * INT64_C(1000000));
	assert_false(is_cached(cache, "c"));
	clock_set(-1);
	SSL_SESSION_free(session);
	tls_cache_free(cache);
	tls_cache_free(NULL);
}

/* How a connection ends says nothing of its session, a fault of TLS does. */
static void
test_resumption_after_each_end(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		SSL_CTX *ctx = server_of("good", versions[i]);
		struct tls_context *context = client_context(true, 0);
		struct visit visit;

		visit_listen(&visit);
		ASSERT_NEW(&visit, context, ctx, "mail.example.org");
		for (int end = 0; end < 3; end++) {
			visit_once(&visit, context, ctx, "mail.example.org");
			assert_true(SSL_session_reused(visit.server));
			if (end == 1)
				SSL_shutdown(visit.server);
			else if (end == 2)
				assert_int_equal(write(SSL_get_fd(visit.server), "garbage", 7), 7);
			shutdown(SSL_get_fd(visit.server), SHUT_WR);
			while (visit.client.closed == 0)
				loop_turn(visit.loop, 1);
			assert_int_equal(visit.client.end, end == 2 ? CONN_TLS : CONN_EOF);
			visit_end(&visit);
		}
		ASSERT_NEW(&visit, context, ctx, "mail.example.org");
		visit_close(&visit);
		tls_unref(context);
		SSL_CTX_free(ctx);
	}
}

/* OpenSSL reads on behind records that bring nothing: it must not do so for as long as the peer
 * sends them. */
static void
test_records_that_bring_nothing(void **state)
{
	SSL_CTX *ctx = server_of("good", TLS1_3_VERSION);
	struct tls_context *context = client_context(true, 0);
	int64_t deadline = clock_monotonic_us() + 10000000;
	struct visit visit;
	int sent = 0, turns_taken = 0;
	bool said = false;

	(void)state;
	visit_listen(&visit);
	visit_once(&visit, context, ctx, "mail.example.org");
	while (sent < 10000 && SSL_key_update(visit.server, SSL_KEY_UPDATE_NOT_REQUESTED) == 1 &&
	    SSL_do_handshake(visit.server) == 1)
		sent++;
	assert_true(sent > 1000);
	SSL_do_handshake(visit.server);
	while (visit.client.got.len < 8) {
		said = said || SSL_write(visit.server, "bye", 3) == 3;
		assert_true(clock_monotonic_us() < deadline && visit.client.closed == 0);
		loop_turn(visit.loop, 1);
		turns_taken++;
	}
	/* Each record has 27 octets, and half of what is taken in a turn may be of the next one. */
	assert_true(turns_taken >= sent * 27 / (64 * 1024));
	visit_end(&visit);
	visit_close(&visit);
	tls_unref(context);
	SSL_CTX_free(ctx);
}

/* Any odd number will do for p: nobody looks closer. */
static EVP_PKEY *
group_of(int bits)
{
	EVP_PKEY_CTX *maker = EVP_PKEY_CTX_new_from_name(NULL, "DH", NULL);
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	BIGNUM *p = BN_new(), *g = BN_new();
	OSSL_PARAM *params;
	EVP_PKEY *group = NULL;

	BN_rand(p, bits, BN_RAND_TOP_TWO, BN_RAND_BOTTOM_ODD);
	BN_set_word(g, 2);
	OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_FFC_P, p);
	OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_FFC_G, g);
	params = OSSL_PARAM_BLD_to_param(build);
	assert_int_equal(EVP_PKEY_fromdata_init(maker), 1);
	assert_int_equal(EVP_PKEY_fromdata(maker, &group, EVP_PKEY_KEY_PARAMETERS, params), 1);
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(build);
	EVP_PKEY_CTX_free(maker);
	BN_free(p);
	BN_free(g);
	return group;
}

/* The server chooses how much its Diffie-Hellman costs us. */
static void
test_large_group_is_refused(void **state)
{
	static const int bits[] = { 2048, 4104 };
	EVP_PKEY *key = EVP_RSA_gen(2048);
	X509 *certificate = certificate_new(key, "x", NULL, -1, 1);

	(void)state;
	X509_sign(certificate, key, EVP_sha256());
	for (size_t i = 0; i < 2; i++) {
		SSL_CTX *ctx = server_of("good", TLS1_2_VERSION);
		struct tls_context *context = client_context(false, 0);
		struct visit visit;

		SSL_CTX_use_certificate(ctx, certificate);
		SSL_CTX_use_PrivateKey(ctx, key);
		assert_int_equal(SSL_CTX_set_cipher_list(ctx, "kDHE"), 1);
		assert_int_equal(SSL_CTX_set0_tmp_dh_pkey(ctx, group_of(bits[i])), 1);
		visit_listen(&visit);
		visit_once(&visit, context, ctx, "mail.example.org");
		assert_int_equal(visit.good, i == 0);
		if (i == 1)
			assert_non_null(strstr(visit.client.text, "too large"));
		visit_end(&visit);
		visit_close(&visit);
		tls_unref(context);
		SSL_CTX_free(ctx);
	}
	X509_free(certificate);
	EVP_PKEY_free(key);
}

static void
fingerprint_of(const char *name, char *out, size_t size)
{
	FILE *file = fopen(path_of(name, "crt"), "r");
	X509 *certificate = PEM_read_X509(file, NULL, NULL, NULL);

	fclose(file);
	tls_fingerprint_text(certificate, out, size);
	X509_free(certificate);
}

/* Whoever has that certificate is the peer, whatever it says; and no one else is. */
static void
test_fingerprint(void **state)
{
	char fingerprint[80], expected[200], ca[80];
	struct tls_client_params params = { .ca_file = ca, .fingerprint = fingerprint };

	(void)state;
	strcpy(ca, path_of("ca", "crt"));
	for (size_t i = 0; i < 4; i++) {
		SSL_CTX *ctx = server_of("self", versions[i % 2]);
		SSL_CTX *good = server_of("good", versions[i % 2]);
		struct tls_context *context;
		struct visit visit;

		fingerprint_of("self", fingerprint, sizeof(fingerprint));
		params.verify = i < 2;
		context = context_of(&params);
		assert_true(tls_verifies(context));
		visit_listen(&visit);
		visit_once(&visit, context, ctx, "elsewhere.example.org");
		assert_true(visit.good);
		assert_non_null(strstr(conn_tls_text(visit.client.conn), "/verified"));
		visit_end(&visit);
		ASSERT_RESUMED(&visit, context, ctx, "elsewhere.example.org");
		fingerprint_of("good", fingerprint, sizeof(fingerprint));
		snprintf(expected, sizeof(expected),
		    "TLS: the fingerprint does not match, it is %s", fingerprint);
		for (int j = 0; j < 2; j++) {
			visit_once(&visit, context, good, "mail.example.org");
			assert_false(visit.good);
			assert_string_equal(visit.client.text, expected);
			assert_int_equal(visit.client.secured, 0);
			assert_false(SSL_session_reused(visit.server));
			visit_end(&visit);
		}
		visit_close(&visit);
		tls_unref(context);
		SSL_CTX_free(ctx);
		SSL_CTX_free(good);
	}
}

#define COLONS	"00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff:" \
		"00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF"
#define TEN	"0123456789abcdef0123456789abcdef0123456789ABCDEF0123456789ABCD"

static void
test_fingerprint_texts(void **state)
{
	static const char *const good[] = { TEN "ef", "sha256:" TEN "ef", "SHA256:" TEN "EF",
		COLONS };
	static const char *const bad[] = { "", "sha256:", TEN, TEN "e", TEN "efa", TEN "efab",
		TEN "eg", "sha1:" TEN "ef", TEN "ef ", " " TEN "ef", TEN "ef:", ":" TEN "ef",
		"0::" TEN "e", "0:" TEN "fe", "sha256:sha256:" TEN "ef" };
	unsigned char octets[TLS_FINGERPRINT_OCTETS];
	struct tls_client_params params = { .fingerprint = "12" };
	struct error err;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(tls_fingerprint_check(good[i], &err));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_false(tls_fingerprint_check(bad[i], &err));
		assert_non_null(strstr(err.text, "64 hexadecimal digits"));
	}
	assert_true(tls_fingerprint_parse(good[0], octets, &err));
	assert_int_equal(octets[1], 0x23);
	assert_int_equal(octets[31], 0xef);
	assert_null(tls_client_new(&params, &err));
}

static int
take_any(int verdict, X509_STORE_CTX *check)
{
	(void)verdict;
	(void)check;
	return 1;
}

static void
test_client_certificate(void **state)
{
	char ca[80], certificate[80], key[80];
	struct tls_client_params params = { .verify = true, .ca_file = ca,
	    .certificate = certificate, .private_key = key };

	(void)state;
	strcpy(ca, path_of("ca", "crt"));
	strcpy(certificate, path_of("client", "crt"));
	strcpy(key, path_of("client", "key"));
	for (size_t i = 0; i < 2; i++) {
		SSL_CTX *ctx = server_of("good", versions[i]);
		struct tls_context *context = context_of(&params);
		struct tls_context *without = client_context(true, 0);
		struct visit visit;

		SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
		    take_any);
		visit_listen(&visit);
		visit_once(&visit, context, ctx, "mail.example.org");
		assert_true(visit.good);
		assert_non_null(SSL_get0_peer_certificate(visit.server));
		visit_end(&visit);
		visit_once(&visit, without, ctx, "mail.example.org");
		assert_null(SSL_get0_peer_certificate(visit.server));
		visit_end(&visit);
		visit_close(&visit);
		tls_unref(context);
		tls_unref(without);
		SSL_CTX_free(ctx);
	}
}

static void
test_client_certificate_refused(void **state)
{
	struct tls_client_params params = { .verify = true, .ca_file = path_of("ca", "crt"),
	    .certificate = path_of("client", "crt") };
	const char *key = path_of("client", "key");
	struct error err;

	(void)state;
	assert_null(tls_client_new(&params, &err));
	assert_non_null(strstr(err.text, "needs its private key"));
	params.private_key = path_of("self", "key");
	assert_null(tls_client_new(&params, &err));
	assert_non_null(strstr(err.text, "key values mismatch"));
	params.private_key = "/nonexistent/key";
	assert_null(tls_client_new(&params, &err));
	assert_string_equal(err.text, "/nonexistent/key: No such file or directory");
	params.private_key = path_of("ca", "crt");
	assert_int_equal(chmod(params.private_key, 0600), 0);
	assert_null(tls_client_new(&params, &err));
	assert_non_null(strstr(err.text, "cannot use the private key"));
	/* As with a password: nobody else may read it. */
	params.private_key = key;
	assert_int_equal(chmod(key, 0644), 0);
	assert_null(tls_client_new(&params, &err));
	assert_non_null(strstr(err.text, "everybody may use it (mode 0644)"));
	assert_int_equal(chmod(key, 0600), 0);
	params.certificate = "/nonexistent/certificate";
	assert_null(tls_client_new(&params, &err));
	assert_non_null(strstr(err.text, "/nonexistent/certificate: No such file"));
}

/* In words, of a peer that is taken and of one that is refused. */
static void
test_certificate_text(void **state)
{
	struct tls_context *context = client_context(true, 0);
	SSL_CTX *good = server_of("good", TLS1_3_VERSION);
	SSL_CTX *self = server_of("self", TLS1_3_VERSION);
	char text[512], fingerprint[80];
	struct visit visit;

	(void)state;
	visit_listen(&visit);
	visit_once(&visit, context, good, "mail.example.org");
	conn_certificate_text(visit.client.conn, text, sizeof(text));
	fingerprint_of("good", fingerprint, sizeof(fingerprint));
	assert_non_null(strstr(text, "subject CN=x, issuer CN=ca, until 20"));
	assert_non_null(strstr(text, fingerprint));
	visit_end(&visit);
	visit_once(&visit, context, self, "mail.example.org");
	assert_false(visit.good);
	fingerprint_of("self", fingerprint, sizeof(fingerprint));
	assert_non_null(strstr(visit.client.certificate, "subject CN=x, issuer CN=x"));
	assert_non_null(strstr(visit.client.certificate, fingerprint));
	visit_end(&visit);
	visit_close(&visit);
	tls_unref(context);
	SSL_CTX_free(good);
	SSL_CTX_free(self);
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
		cmocka_unit_test(test_resumption),
		cmocka_unit_test(test_no_resumption_elsewhere),
		cmocka_unit_test(test_resumption_refused_by_the_server),
		cmocka_unit_test(test_resumption_is_judged_again),
		cmocka_unit_test(test_listeners_do_not_share_sessions),
		cmocka_unit_test(test_resumption_after_each_end),
		cmocka_unit_test(test_records_that_bring_nothing),
		cmocka_unit_test(test_large_group_is_refused),
		cmocka_unit_test(test_cache),
		cmocka_unit_test(test_fingerprint),
		cmocka_unit_test(test_fingerprint_texts),
		cmocka_unit_test(test_client_certificate),
		cmocka_unit_test(test_client_certificate_refused),
		cmocka_unit_test(test_certificate_text),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, make_certificates, remove_certificates);
}
