/* test_tls_matrix.c - RULES V1-V24: each certificate under each policy, and what comes of it. */
#include <arpa/inet.h>
#include <fcntl.h>
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

#include "base/clock.h"
#include "base/error.h"
#include "net/conn.h"
#include "net/loop.h"
#include "net/tls.h"
#include "net/tls_certificate.h"

#define DAY		86400
#define NAME		"mail.example.org"
#define SAN		"DNS:" NAME
#define NAMES_MANY	20000
#define CHAIN_LONG	99		/* issuers */

static char folder[32], ca_path[64];
static EVP_PKEY *leaf_key, *small_key;

/* --- certificates --- */

struct authority { X509 *certificate; EVP_PKEY *key; };
static struct authority root, stranger;

/* What a server shows. */
struct shown { X509 *leaf; EVP_PKEY *key; STACK_OF(X509) *issuers; };

static void
extend(X509 *certificate, int nid, const char *value)
{
	X509_EXTENSION *extension;
	X509V3_CTX context;

	X509V3_set_ctx_nodb(&context);
	X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	assert_non_null(extension);
	assert_int_equal(X509_add_ext(certificate, extension, -1), 1);
	X509_EXTENSION_free(extension);
}

static X509 *
certificate_new(EVP_PKEY *key, const char *subject, const struct authority *by)
{
	static long serial;
	X509 *certificate = X509_new();
	X509_NAME *name = X509_get_subject_name(certificate);

	X509_set_version(certificate, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial);
	X509_gmtime_adj(X509_getm_notBefore(certificate), -DAY);
	X509_gmtime_adj(X509_getm_notAfter(certificate), DAY);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)subject, -1, -1,
	    0);
	X509_set_issuer_name(certificate, by != NULL ? X509_get_subject_name(by->certificate) :
	    name);
	X509_set_pubkey(certificate, key);
	return certificate;
}

static struct authority
authority_new(const char *name, const struct authority *by, const char *constraints)
{
	struct authority authority = { .key = EVP_EC_gen("P-256") };

	authority.certificate = certificate_new(authority.key, name, by);
	extend(authority.certificate, NID_basic_constraints, constraints);
	extend(authority.certificate, NID_key_usage, "critical,keyCertSign,cRLSign");
	X509_sign(authority.certificate, by != NULL ? by->key : authority.key, EVP_sha256());
	return authority;
}

static void
authority_free(struct authority *authority)
{
	X509_free(authority->certificate);
	EVP_PKEY_free(authority->key);
}

/* A certificate for the leaf's key, signed by the root unless it is said otherwise. */
static struct shown
leaf_of(const char *alternatives, const struct authority *by)
{
	struct shown shown = { .leaf = certificate_new(leaf_key, "x", by), .key = leaf_key,
	    .issuers = sk_X509_new_null() };

	if (alternatives != NULL)
		extend(shown.leaf, NID_subject_alt_name, alternatives);
	return shown;
}

static struct shown
sign(struct shown shown, const struct authority *by)
{
	assert_true(X509_sign(shown.leaf, by != NULL ? by->key : shown.key, EVP_sha256()) > 0);
	return shown;
}

/* Shows the issuer, too, and lets it go. */
static struct shown
with_issuer(struct shown shown, struct authority *issuer)
{
	sk_X509_push(shown.issuers, X509_dup(issuer->certificate));
	authority_free(issuer);
	return shown;
}

static struct shown
plain(const char *alternatives)
{
	return sign(leaf_of(alternatives, &root), &root);
}

static struct shown
right(void)
{
	return plain(SAN);
}

static struct shown
wrong_host(void)
{
	return plain("DNS:other.example.org");
}

static struct shown
expired(void)
{
	struct shown shown = leaf_of(SAN, &root);

	X509_gmtime_adj(X509_getm_notAfter(shown.leaf), -60);
	return sign(shown, &root);
}

static struct shown
not_yet_valid(void)
{
	struct shown shown = leaf_of(SAN, &root);

	X509_gmtime_adj(X509_getm_notBefore(shown.leaf), 3600);
	return sign(shown, &root);
}

static struct shown
self_signed(void)
{
	return sign(leaf_of(SAN, NULL), NULL);
}

static struct shown
unknown_ca(void)
{
	return sign(leaf_of(SAN, &stranger), &stranger);
}

static struct shown
wildcard(void)
{
	return plain("DNS:*.example.org");
}

static struct shown
wildcard_top(void)
{
	return plain("DNS:*.org");
}

static struct shown
wildcard_partial(void)
{
	return plain("DNS:m*.example.org");
}

static struct shown
subject_only(void)
{
	struct shown shown = { .leaf = certificate_new(leaf_key, NAME, &root), .key = leaf_key,
	    .issuers = sk_X509_new_null() };

	return sign(shown, &root);
}

static struct shown
nul_in_subject(void)
{
	static const unsigned char name[] = NAME "\0.evil.example.net";
	struct shown shown = subject_only();
	X509_NAME *subject = X509_NAME_new();

	X509_NAME_add_entry_by_txt(subject, "CN", V_ASN1_UTF8STRING, name, sizeof(name) - 1, -1, 0);
	X509_set_subject_name(shown.leaf, subject);
	X509_NAME_free(subject);
	return sign(shown, &root);
}

static void
add_name(GENERAL_NAMES *names, const char *octets, size_t len)
{
	GENERAL_NAME *name = GENERAL_NAME_new();
	ASN1_IA5STRING *text = ASN1_IA5STRING_new();

	ASN1_STRING_set(text, octets, (int)len);
	GENERAL_NAME_set0_value(name, GEN_DNS, text);
	sk_GENERAL_NAME_push(names, name);
}

static struct shown
nul_in_name(void)
{
	static const char name[] = NAME "\0.evil.example.net";
	struct shown shown = leaf_of(NULL, &root);
	GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();

	add_name(names, name, sizeof(name) - 1);
	X509_add1_ext_i2d(shown.leaf, NID_subject_alt_name, names, 0, 0);
	GENERAL_NAMES_free(names);
	return sign(shown, &root);
}

static struct shown
address_alone(void)
{
	return plain("IP:192.0.2.1");
}

static struct shown
address_as_name(void)
{
	return plain("DNS:192.0.2.1");
}

static struct shown
for_clients(void)
{
	struct shown shown = leaf_of(SAN, &root);

	extend(shown.leaf, NID_ext_key_usage, "clientAuth");
	return sign(shown, &root);
}

static struct shown
authority_as_leaf(void)
{
	struct shown shown = leaf_of(SAN, &root);

	extend(shown.leaf, NID_basic_constraints, "critical,CA:TRUE");
	extend(shown.leaf, NID_key_usage, "critical,keyCertSign,cRLSign");
	return sign(shown, &root);
}

static struct shown
path_too_long(void)
{
	struct authority last = authority_new("last issuer", &root, "critical,CA:TRUE,pathlen:0");
	struct authority more = authority_new("one more", &last, "critical,CA:TRUE");
	struct shown shown = sign(leaf_of(SAN, &more), &more);

	return with_issuer(with_issuer(shown, &more), &last);
}

static struct shown
name_constraints(void)
{
	struct authority bound = authority_new("bound issuer", &root, "critical,CA:TRUE");
	struct shown shown;

	extend(bound.certificate, NID_name_constraints, "critical,permitted;DNS:example.net");
	X509_sign(bound.certificate, root.key, EVP_sha256());
	shown = sign(leaf_of(SAN, &bound), &bound);
	return with_issuer(shown, &bound);
}

static struct shown
sha1(void)
{
	struct shown shown = leaf_of(SAN, &root);

	assert_true(X509_sign(shown.leaf, root.key, EVP_sha1()) > 0);
	return shown;
}

static struct shown
rsa_1024(void)
{
	struct shown shown = leaf_of(SAN, &root);

	X509_set_pubkey(shown.leaf, small_key);
	shown.key = small_key;
	return sign(shown, &root);
}

/* In place of "revoked, if stapled": no status is asked for. */
static struct shown
unknown_critical(void)
{
	static const unsigned char null_value[] = { 0x05, 0x00 };
	struct shown shown = leaf_of(SAN, &root);
	ASN1_OBJECT *object = OBJ_txt2obj("1.3.6.1.4.1.99999.1", 1);
	ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
	X509_EXTENSION *extension;

	ASN1_OCTET_STRING_set(value, null_value, sizeof(null_value));
	extension = X509_EXTENSION_create_by_OBJ(NULL, object, 1, value);
	X509_add_ext(shown.leaf, extension, -1);
	X509_EXTENSION_free(extension);
	ASN1_OCTET_STRING_free(value);
	ASN1_OBJECT_free(object);
	return sign(shown, &root);
}

static struct shown
missing_issuer(void)
{
	struct authority between = authority_new("issuer not shown", &root, "critical,CA:TRUE");
	struct shown shown = sign(leaf_of(SAN, &between), &between);

	authority_free(&between);
	return shown;
}

static struct shown
many_names(void)
{
	struct shown shown = leaf_of(NULL, &root);
	GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
	char name[64];

	for (int i = 0; i < NAMES_MANY; i++) {
		snprintf(name, sizeof(name), "host%d.example.net", i);
		add_name(names, name, strlen(name));
	}
	add_name(names, NAME, strlen(NAME));
	X509_add1_ext_i2d(shown.leaf, NID_subject_alt_name, names, 0, 0);
	GENERAL_NAMES_free(names);
	return sign(shown, &root);
}

static struct shown
long_chain(void)
{
	struct authority by = authority_new("issuer 0", &root, "critical,CA:TRUE"), next;
	STACK_OF(X509) *issuers = sk_X509_new_null();
	struct shown shown;
	char name[32];

	for (int i = 1; i < CHAIN_LONG; i++) {
		snprintf(name, sizeof(name), "issuer %d", i);
		next = authority_new(name, &by, "critical,CA:TRUE");
		sk_X509_unshift(issuers, X509_dup(by.certificate));
		authority_free(&by);
		by = next;
	}
	shown = sign(leaf_of(SAN, &by), &by);
	sk_X509_free(shown.issuers);
	shown.issuers = issuers;
	sk_X509_unshift(issuers, X509_dup(by.certificate));
	authority_free(&by);
	return shown;
}

static struct shown
nothing(void)
{
	return (struct shown){ 0 };
}

static void
shown_free(struct shown *shown)
{
	X509_free(shown->leaf);
	sk_X509_pop_free(shown->issuers, X509_free);
}

/* --- what is expected --- */

enum server { SERVER_ANY, SERVER_OLD, SERVER_ANONYMOUS };
enum pin { PIN_NONE, PIN_MATCHES, PIN_DIFFERS };

#define GOOD	"TLSv1.3/verified"
#define ANY	"TLSv1.3/encrypted"
#define MISMATCH "TLS: hostname mismatch"
#define IS_TLS(text)	(strncmp(text, "TLSv1", 5) == 0)

#define ROW(its_id, is, makes, name, without, with) .id = its_id, .what = is, .make = makes, \
	.server_name = name, .unverified = without, .verified = with

static const struct row {
	const char *id, *what;
	struct shown (*make)(void);
	const char *server_name;
	const char *unverified, *verified;	/* conn_tls_text(), or how the refusal begins */
	enum server server;
	enum pin pin;				/* tls_fingerprint, where the policy verifies */
} rows[] = {
	{ ROW("V1", "right host", right, NAME, ANY, GOOD) },
	{ ROW("V2", "wrong host", wrong_host, NAME, ANY, MISMATCH) },
	{ ROW("V3", "expired", expired, NAME, ANY, "TLS: certificate has expired") },
	{ ROW("V4", "not yet valid", not_yet_valid, NAME, ANY,
	  "TLS: certificate is not yet valid") },
	{ ROW("V5", "self-signed", self_signed, NAME, ANY, "TLS: self-signed certificate") },
	{ ROW("V6", "unknown CA", unknown_ca, NAME, ANY,
	  "TLS: unable to get local issuer certificate") },
	{ ROW("V7a", "wildcard", wildcard, NAME, ANY, GOOD) },
	{ ROW("V7b", "wildcard, two labels", wildcard, "a." NAME, ANY, MISMATCH) },
	{ ROW("V7c", "wildcard below a top-level domain", wildcard_top, "example.org", ANY,
	  MISMATCH) },
	{ ROW("V8", "part of a label as wildcard", wildcard_partial, NAME, ANY, MISMATCH) },
	{ ROW("V9", "name in the subject alone", subject_only, NAME, ANY, MISMATCH) },
	{ ROW("V10a", "NUL in the subject", nul_in_subject, NAME, ANY, MISMATCH) },
	{ ROW("V10b", "NUL in a name", nul_in_name, NAME, ANY, MISMATCH) },
	{ ROW("V11a", "an address, asked for a name", address_alone, NAME, ANY, MISMATCH) },
	{ ROW("V11b", "an address as a name", address_as_name, "192.0.2.1", ANY,
	  "TLS: IP address mismatch") },
	{ ROW("V11c", "the right address", address_alone, "192.0.2.1", ANY, GOOD) },
	{ ROW("V12", "for clients alone", for_clients, NAME, ANY,
	  "TLS: unsuitable certificate purpose") },
	{ ROW("V13", "authority as leaf", authority_as_leaf, NAME, ANY,
	  "TLS: unsuitable certificate purpose") },
	{ ROW("V14", "path length", path_too_long, NAME, ANY,
	  "TLS: path length constraint exceeded") },
	{ ROW("V15", "name constraints", name_constraints, NAME, ANY,
	  "TLS: permitted subtree violation") },
	{ ROW("V16", "SHA-1", sha1, NAME, ANY, "TLS: CA signature digest algorithm too weak") },
	{ ROW("V17", "RSA of 1024 bits", rsa_1024, NAME, ANY, "TLS: EE certificate key too weak") },
	{ ROW("V18", "unknown critical extension", unknown_critical, NAME, ANY,
	  "TLS: unhandled critical extension") },
	{ ROW("V19", "missing intermediate", missing_issuer, NAME, ANY,
	  "TLS: unable to get local issuer certificate") },
	{ ROW("V20", "20,000 names", many_names, NAME, "TLS: the peer's certificates are too large",
	  "TLS: the peer's certificates are too large") },
	{ ROW("V21", "chain of 100", long_chain, NAME, ANY, "TLS: certificate chain too long") },
	{ ROW("V22a", "fingerprint matches", self_signed, "elsewhere.example.org", ANY, GOOD),
	  .pin = PIN_MATCHES },
	{ ROW("V22b", "fingerprint differs", right, NAME, ANY,
	  "TLS: the fingerprint does not match"), .pin = PIN_DIFFERS },
	{ ROW("V23", "no certificate", nothing, NAME, "TLS: the peer has no cipher in common",
	  "TLS: the peer has no cipher in common"), .server = SERVER_ANONYMOUS },
	{ ROW("V24", "TLS 1.0 alone", right, NAME, "TLS: the peer refuses our versions of TLS",
	  "TLS: the peer refuses our versions of TLS"), .server = SERVER_OLD },
};

static const struct policy {
	const char *name;
	bool verify, starttls, may_fall_back;
} policies[] = {
	{ "opportunistic", false, true, true },
	{ "starttls, not verified", false, true, false },
	{ "starttls", true, true, false },
	{ "implicit", true, false, false },
};

/* --- one cell --- */

struct side {
	struct conn *conn;
	struct tls_context *context;
	const char *server_name;
	bool starttls, secured, closed, heard;
	char text[300];
};

static void
go_secure(struct side *side, bool more)
{
	struct error err;

	assert_true(conn_start_tls(side->conn, side->context, side->server_name, more, &err));
}

static size_t
on_input(void *owner, const char *octets, size_t len)
{
	struct side *side = owner;

	if (len < 8)
		return 0;
	assert_memory_equal(octets, "220 go\r\n", 8);
	if (side->context != NULL && !side->secured)
		go_secure(side, len > 8);
	else
		side->heard = true;
	return 8;
}

static void
on_secured(void *owner)
{
	struct side *side = owner;

	side->secured = true;
}

static void
on_closed(void *owner, enum conn_end end, const char *text)
{
	struct side *side = owner;

	if (side->secured || end == CONN_TLS)
		snprintf(side->text, sizeof(side->text), "%s", text);
	side->conn = NULL;
	side->closed = true;
}

static const struct conn_events events = { .on_input = on_input, .on_secured = on_secured,
	.on_closed = on_closed };

static SSL_CTX *
server_of(const struct row *row, const struct shown *shown)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	SSL_CTX_set_security_level(ctx, 0);
	if (row->server == SERVER_OLD) {
		SSL_CTX_set_min_proto_version(ctx, TLS1_VERSION);
		SSL_CTX_set_max_proto_version(ctx, TLS1_VERSION);
	} else if (row->server == SERVER_ANONYMOUS) {
		SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
		SSL_CTX_set_dh_auto(ctx, 1);
		assert_int_equal(SSL_CTX_set_cipher_list(ctx, "aNULL:@SECLEVEL=0"), 1);
		return ctx;
	}
	assert_int_equal(SSL_CTX_use_certificate(ctx, shown->leaf), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(ctx, shown->key), 1);
	for (int i = 0; i < sk_X509_num(shown->issuers); i++)
		SSL_CTX_add1_chain_cert(ctx, sk_X509_value(shown->issuers, i));
	return ctx;
}

static struct tls_context *
client_of(const struct row *row, const struct policy *policy, const struct shown *shown)
{
	struct tls_client_params params = { .verify = policy->verify, .ca_file = ca_path };
	char fingerprint[80];
	struct tls_context *context;
	struct error err;

	if (row->pin != PIN_NONE && policy->verify) {
		tls_fingerprint_text(row->pin == PIN_MATCHES ? shown->leaf : root.certificate,
		    fingerprint, sizeof(fingerprint));
		params.fingerprint = fingerprint;
	}
	context = tls_client_new(&params, &err);
	if (context == NULL)
		fail_msg("%s", err.text);
	return context;
}

static void
sockets(int fds[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
}

/* Until the client knows; the server does as it is told. */
static void
drive(struct loop *loop, struct side *side, SSL *server)
{
	int64_t deadline = clock_monotonic_us() + 20000000;

	while (!side->secured && !side->closed && !side->heard) {
		assert_true(clock_monotonic_us() < deadline);
		if (server != NULL && !SSL_is_init_finished(server))
			SSL_do_handshake(server);
		loop_turn(loop, 1);
	}
}

/* What the log would say of `tls=`, or why the mail is deferred. */
static void
run_cell(struct loop *loop, const struct row *row, const struct policy *policy,
    const struct shown *shown, char *out, size_t size)
{
	struct side side = { .server_name = row->server_name, .starttls = policy->starttls };
	SSL_CTX *ctx = server_of(row, shown);
	SSL *server = SSL_new(ctx);
	int fds[2];

	side.context = client_of(row, policy, shown);
	sockets(fds);
	SSL_set_fd(server, fds[1]);
	SSL_set_accept_state(server);
	side.conn = conn_adopt(loop, fds[0], &events, &side);
	if (policy->starttls)
		assert_int_equal(write(fds[1], "220 go\r\n", 8), 8);
	else
		go_secure(&side, false);
	drive(loop, &side, server);
	snprintf(out, size, "%s", side.conn != NULL ? conn_tls_text(side.conn) : side.text);
	if (side.conn != NULL)
		conn_close(side.conn);
	loop_turn(loop, 0);
	tls_unref(side.context);
	SSL_free(server);
	SSL_CTX_free(ctx);
	close(fds[1]);
}

/* The owner's part of the opportunistic policy: it connects anew, in clear. */
static void
run_in_clear(struct loop *loop, char *out, size_t size)
{
	struct side side = { 0 };
	int fds[2];

	sockets(fds);
	side.conn = conn_adopt(loop, fds[0], &events, &side);
	assert_int_equal(write(fds[1], "220 go\r\n", 8), 8);
	drive(loop, &side, NULL);
	assert_true(side.heard);
	snprintf(out, size, "%s", conn_tls_text(side.conn));
	conn_close(side.conn);
	loop_turn(loop, 0);
	close(fds[1]);
}

static bool
check_cell(struct loop *loop, const struct row *row, const struct policy *policy,
    const struct shown *shown)
{
	const char *expected = policy->verify ? row->verified : row->unverified;
	char outcome[300];
	bool good;

	run_cell(loop, row, policy, shown, outcome, sizeof(outcome));
	good = strncmp(outcome, expected, strlen(expected)) == 0;
	if (good && policy->may_fall_back && !IS_TLS(outcome)) {
		run_in_clear(loop, outcome, sizeof(outcome));
		good = strcmp(outcome, "none") == 0;
	}
	if (!good)
		print_error("%s %s, %s: \"%s\", expected \"%s\"\n", row->id, row->what,
		    policy->name, outcome, expected);
	return good;
}

static void
test_matrix(void **state)
{
	struct error err;
	struct loop *loop = loop_new(&err);
	size_t cells = 0, good = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct shown shown = rows[i].make();

		for (size_t j = 0; j < sizeof(policies) / sizeof(policies[0]); j++) {
			cells++;
			good += check_cell(loop, &rows[i], &policies[j], &shown);
		}
		shown_free(&shown);
	}
	loop_free(loop);
	print_message("# %zu of %zu cells\n", good, cells);
	assert_int_equal(good, cells);
	assert_true(cells >= 96);
}

static int
set_up(void **state)
{
	FILE *file;

	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/herald.XXXXXX");
	if (mkdtemp(folder) == NULL)
		return -1;
	snprintf(ca_path, sizeof(ca_path), "%s/ca.crt", folder);
	leaf_key = EVP_EC_gen("P-256");
	small_key = EVP_RSA_gen(1024);
	root = authority_new("root", NULL, "critical,CA:TRUE");
	stranger = authority_new("stranger", NULL, "critical,CA:TRUE");
	file = fopen(ca_path, "w");
	if (file == NULL)
		return -1;
	PEM_write_X509(file, root.certificate);
	return fclose(file);
}

static int
tear_down(void **state)
{
	(void)state;
	EVP_PKEY_free(leaf_key);
	EVP_PKEY_free(small_key);
	authority_free(&root);
	authority_free(&stranger);
	unlink(ca_path);
	return rmdir(folder);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_matrix),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
