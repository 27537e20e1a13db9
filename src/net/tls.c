/* tls.c - what OpenSSL is asked to demand: versions, certificates, names. */
#include "net/tls.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/private_file.h"
#include "base/text.h"
#include "net/tls_cache.h"
#include "net/tls_certificate.h"

#define SESSION_ID_OCTETS	16	/* of the context; SSL_MAX_SID_CTX_LENGTH is 32 */
/* Issuers between a certificate and its root: public ones have one to three.  More cost
 * the loop a signature each. */
#define CHAIN_MAX		10
/* The server chooses it, and 10,000 bits, the most that OpenSSL takes, are 2.5 s of the loop;
 * 4096 are 60 ms.  What honest servers have is 2048 to 4096. */
#define DH_BITS_MAX		4096

typedef int security_check(const SSL *ssl, const SSL_CTX *ctx, int what, int bits, int nid,
    void *other, void *owner);

struct tls_context {
	SSL_CTX *ctx;
	security_check *security;	/* OpenSSL's own, of a client */
	unsigned holders;
	bool is_server;
	bool verify;
	bool has_fingerprint;
	unsigned char fingerprint[TLS_FINGERPRINT_OCTETS];
	int min_version;
	struct tls_cache *cache;	/* of a client */
};

/* What tls_session_resume() adds to an SSL. */
struct resumable {
	struct tls_context *context;
	char *key;
	SSL_SESSION *fresh;		/* of a handshake that is not judged yet */
	bool is_good;			/* judged, and no fault since */
};

/* The words of OpenSSL that an administrator would not understand. */
static const struct {
	int reason;
	const char *text;
} reasons[] = {
	{ SSL_R_WRONG_VERSION_NUMBER, "the peer's octets are no TLS (wrong version number)" },
	{ SSL_R_HTTP_REQUEST, "the peer's octets are no TLS (HTTP request)" },
	{ SSL_R_UNEXPECTED_EOF_WHILE_READING, "connection closed by peer during the handshake" },
	{ SSL_R_UNSUPPORTED_PROTOCOL, "the peer's version of TLS is too old" },
	{ SSL_R_TLSV1_ALERT_PROTOCOL_VERSION, "the peer refuses our versions of TLS" },
	{ SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE, "the peer has no cipher in common with us" },
	{ SSL_R_EXCESSIVE_MESSAGE_SIZE, "the peer's certificates are too large" },
	{ SSL_R_DH_KEY_TOO_SMALL, "the peer's Diffie-Hellman group is too small, or too large" },
};

static void
reason_text(unsigned long code, char *out, size_t size)
{
	const char *reason = ERR_reason_error_string(code);

	if (ERR_SYSTEM_ERROR(code)) {
		text_copy(out, size, strerror(ERR_GET_REASON(code)));
		return;
	}
	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
		if (ERR_GET_LIB(code) == ERR_LIB_SSL && ERR_GET_REASON(code) == reasons[i].reason)
			reason = reasons[i].text;
	}
	text_copy(out, size, reason != NULL ? reason : "unknown error");
}

void
tls_error_text(SSL *ssl, char *out, size_t size)
{
	unsigned long code = ERR_get_error();
	long verdict = ssl != NULL ? SSL_get_verify_result(ssl) : X509_V_OK;

	if (ERR_GET_LIB(code) == ERR_LIB_SSL &&
	    ERR_GET_REASON(code) == SSL_R_CERTIFICATE_VERIFY_FAILED && verdict != X509_V_OK)
		text_copy(out, size, X509_verify_cert_error_string(verdict));
	else
		reason_text(code, out, size);
	ERR_clear_error();
}

/* Nobody sits at the daemon's terminal to type the password of a key. */
static int
on_password(char *out, int size, int is_write, void *arg)
{
	(void)out;
	(void)size;
	(void)is_write;
	(void)arg;
	return -1;
}

static void
set_error(struct error *err, const char *what, const char *path)
{
	char reason[200];

	tls_error_text(NULL, reason, sizeof(reason));
	error_set(err, ERROR_TLS, "%s %s: %s", what, path, reason);
}

static struct tls_context *
context_new(const SSL_METHOD *method, int min_version, struct error *err)
{
	struct tls_context *context;
	SSL_CTX *ctx;

	ERR_clear_error();
	ctx = SSL_CTX_new(method);
	if (ctx == NULL || SSL_CTX_set_min_proto_version(ctx, min_version) != 1) {
		set_error(err, "cannot set up", "TLS");
		SSL_CTX_free(ctx);
		return NULL;
	}
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	/* Idle connections hold no buffers; output may move while a write is tried again. */
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
	    SSL_MODE_RELEASE_BUFFERS);
	/* A record's header and body in one system call. */
	SSL_CTX_set_read_ahead(ctx, 1);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_default_passwd_cb(ctx, on_password);
	context = mem_zalloc(sizeof(*context));
	context->ctx = ctx;
	context->holders = 1;
	context->min_version = min_version;
	return context;
}

static bool
load_authorities(struct tls_context *context, const char *ca_file, struct error *err)
{
	int loaded;

	if (*ca_file != '\0')
		loaded = SSL_CTX_load_verify_file(context->ctx, ca_file);
	else
		loaded = SSL_CTX_set_default_verify_paths(context->ctx);
	if (loaded != 1) {
		set_error(err, "cannot read the certificates of",
		    *ca_file != '\0' ? ca_file : "the system");
		return false;
	}
	/* The system's files may be missing without an error of the call. */
	ERR_clear_error();
	return true;
}

/* By our own descriptor: what was judged is what is read. */
static bool
load_private_key(SSL_CTX *ctx, const char *path, struct error *err)
{
	int fd = private_file_open(path, err);
	BIO *file = NULL;
	EVP_PKEY *key = NULL;
	bool ok;

	if (fd == -1)
		return false;
	file = BIO_new_fd(fd, BIO_CLOSE);
	if (file == NULL)
		close(fd);
	else
		key = PEM_read_bio_PrivateKey(file, NULL, on_password, NULL);
	/* This refuses a key that does not belong to the certificate, too. */
	ok = key != NULL && SSL_CTX_use_PrivateKey(ctx, key) == 1 &&
	    SSL_CTX_check_private_key(ctx) == 1;
	if (!ok)
		set_error(err, "cannot use the private key", path);
	EVP_PKEY_free(key);
	BIO_free(file);
	return ok;
}

static bool
load_own_certificate(struct tls_context *context, const char *certificate,
    const char *private_key, struct error *err)
{
	if (certificate == NULL || *certificate == '\0')
		return true;
	if (private_key == NULL || *private_key == '\0')
		return error_set(err, ERROR_TLS, "%s: a certificate needs its private key",
		    certificate);
	if (SSL_CTX_use_certificate_chain_file(context->ctx, certificate) != 1) {
		set_error(err, "cannot read the certificate", certificate);
		return false;
	}
	return load_private_key(context->ctx, private_key, err);
}

/* The session, or in TLS 1.3 each ticket, comes here: in 1.2 before it is judged. */
static int
on_new_session(SSL *ssl, SSL_SESSION *session)
{
	struct resumable *resumable = SSL_get_app_data(ssl);

	if (resumable == NULL || !SSL_SESSION_is_resumable(session))
		return 0;
	if (resumable->is_good) {
		tls_cache_put(resumable->context->cache, resumable->key, session);
		return 0;		/* it stays OpenSSL's */
	}
	SSL_SESSION_free(resumable->fresh);
	resumable->fresh = session;
	return 1;
}

/* OpenSSL's check knows keys that are too small, this one those that are too large. */
static int
on_security(const SSL *ssl, const SSL_CTX *ctx, int what, int bits, int nid, void *other,
    void *owner)
{
	const struct tls_context *context = owner;

	if (what == SSL_SECOP_TMP_DH && other != NULL && EVP_PKEY_get_bits(other) > DH_BITS_MAX)
		return 0;
	return context->security(ssl, ctx, what, bits, nid, other, NULL);
}

static bool
set_up_client(struct tls_context *context, const struct tls_client_params *params,
    struct error *err)
{
	const char *fingerprint = params->fingerprint != NULL ? params->fingerprint : "";
	bool by_chain = params->verify && *fingerprint == '\0';

	context->verify = by_chain;
	context->has_fingerprint = *fingerprint != '\0';
	if (context->has_fingerprint &&
	    !tls_fingerprint_parse(fingerprint, context->fingerprint, err))
		return false;
	SSL_CTX_set_verify(context->ctx, by_chain ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
	SSL_CTX_set_verify_depth(context->ctx, CHAIN_MAX);
	context->security = SSL_CTX_get_security_callback(context->ctx);
	SSL_CTX_set0_security_ex_data(context->ctx, context);
	SSL_CTX_set_security_callback(context->ctx, on_security);
	context->cache = tls_cache_new();
	SSL_CTX_set_session_cache_mode(context->ctx,
	    SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(context->ctx, on_new_session);
	return load_authorities(context, params->ca_file != NULL ? params->ca_file : "", err) &&
	    load_own_certificate(context, params->certificate, params->private_key, err);
}

struct tls_context *
tls_client_new(const struct tls_client_params *params, struct error *err)
{
	int min_version = params->min_version;
	struct tls_context *context;

	/* RFC 8996: TLS 1.0 and 1.1 are not to be spoken. */
	if (min_version < TLS1_2_VERSION)
		min_version = TLS1_2_VERSION;
	context = context_new(TLS_client_method(), min_version, err);
	if (context == NULL)
		return NULL;
	if (!set_up_client(context, params, err)) {
		tls_unref(context);
		return NULL;
	}
	return context;
}

struct tls_context *
tls_server_new(const char *certificate, const char *private_key, struct error *err)
{
	struct tls_context *context = context_new(TLS_server_method(), TLS1_2_VERSION, err);
	unsigned char id[SESSION_ID_OCTETS];

	if (context == NULL)
		return NULL;
	context->is_server = true;
	if (SSL_CTX_use_certificate_chain_file(context->ctx, certificate) != 1) {
		set_error(err, "cannot read the certificate", certificate);
		goto fail;
	}
	/* This refuses a key that does not belong to the certificate, too. */
	if (SSL_CTX_use_PrivateKey_file(context->ctx, private_key, SSL_FILETYPE_PEM) != 1) {
		set_error(err, "cannot use the private key", private_key);
		goto fail;
	}
	if (SSL_CTX_check_private_key(context->ctx) != 1) {
		set_error(err, "the certificate does not fit the private key", private_key);
		goto fail;
	}
	/* A session of one listener is none of another's. */
	if (RAND_bytes(id, sizeof(id)) != 1 ||
	    SSL_CTX_set_session_id_context(context->ctx, id, sizeof(id)) != 1) {
		set_error(err, "cannot set up TLS for", certificate);
		goto fail;
	}
	return context;
fail:
	tls_unref(context);
	return NULL;
}

struct tls_context *
tls_ref(struct tls_context *context)
{
	context->holders++;
	return context;
}

void
tls_unref(struct tls_context *context)
{
	if (context == NULL || --context->holders > 0)
		return;
	tls_cache_free(context->cache);
	SSL_CTX_free(context->ctx);
	free(context);
}

bool
tls_verifies(const struct tls_context *context)
{
	return context->verify || context->has_fingerprint;
}

/* OpenSSL compares the name; an address literal is no name and never SNI (RFC 6066 3). */
static bool
expect_server(SSL *ssl, const char *server_name)
{
	struct in6_addr address;
	char name[256];

	if (inet_pton(AF_INET, server_name, &address) == 1 ||
	    inet_pton(AF_INET6, server_name, &address) == 1)
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), server_name) == 1;
	text_copy(name, sizeof(name), server_name);
	/* RFC 9525 6.3: what stands in the subject is no name of a server, and a wildcard is
	 * a whole label. */
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
	    X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
	return SSL_set1_host(ssl, name) == 1 && SSL_set_tlsext_host_name(ssl, name) == 1;
}

SSL *
tls_session(struct tls_context *context, const char *server_name, struct error *err)
{
	char reason[200];
	SSL *ssl;

	assert(context->is_server == (server_name == NULL));
	ERR_clear_error();
	ssl = SSL_new(context->ctx);
	/* An empty name would be no name to compare: anything would do. */
	if (ssl == NULL || (server_name != NULL &&
	    (*server_name == '\0' || !expect_server(ssl, server_name)))) {
		tls_error_text(NULL, reason, sizeof(reason));
		error_set(err, ERROR_TLS, "TLS: cannot start: %s", reason);
		SSL_free(ssl);
		return NULL;
	}
	if (context->is_server)
		SSL_set_accept_state(ssl);
	else
		SSL_set_connect_state(ssl);
	return ssl;
}

void
tls_session_resume(struct tls_context *context, SSL *ssl, const char *server_name,
    const char *place)
{
	struct resumable *resumable = mem_zalloc(sizeof(*resumable));
	SSL_SESSION *session;

	assert(!context->is_server);
	resumable->context = context;
	/* Neither has a blank.  Policy, authorities and our own certificate are the
	 * context's, and so is the cache (RULES V26). */
	resumable->key = mem_printf("%s %s", server_name, place);
	text_lower(resumable->key);
	SSL_set_app_data(ssl, resumable);
	session = tls_cache_get(context->cache, resumable->key);
	/* A ticket serves again until there is a newer one: that an observer could link our
	 * connections by it (RFC 8446 C.4) tells no more than our address does. */
	if (session != NULL && SSL_set_session(ssl, session) != 1)
		ERR_clear_error();
	SSL_SESSION_free(session);
}

void
tls_session_distrust(SSL *ssl)
{
	struct resumable *resumable = SSL_get_app_data(ssl);

	if (resumable != NULL)
		resumable->is_good = false;
}

void
tls_session_free(SSL *ssl)
{
	struct resumable *resumable = ssl != NULL ? SSL_get_app_data(ssl) : NULL;

	if (resumable != NULL) {
		/* It may be the session that the peer does not like: a new one next time. */
		if (!resumable->is_good)
			tls_cache_drop(resumable->context->cache, resumable->key);
		SSL_SESSION_free(resumable->fresh);
		free(resumable->key);
		free(resumable);
	}
	SSL_free(ssl);
}

/* As OpenSSL does in a full handshake: the result that a session brings along is of the
 * day when it was made. */
static long
verify_again(struct tls_context *context, SSL *ssl)
{
	X509_STORE_CTX *check = X509_STORE_CTX_new();
	long verdict = X509_V_ERR_UNSPECIFIED;
	X509_VERIFY_PARAM *param;

	if (check != NULL && X509_STORE_CTX_init(check, SSL_CTX_get_cert_store(context->ctx),
	    SSL_get0_peer_certificate(ssl), SSL_get_peer_cert_chain(ssl)) == 1) {
		param = X509_STORE_CTX_get0_param(check);
		X509_STORE_CTX_set_default(check, "ssl_server");
		X509_VERIFY_PARAM_set_auth_level(param, SSL_get_security_level(ssl));
		X509_VERIFY_PARAM_set1(param, SSL_get0_param(ssl));
		if (X509_verify_cert(check) == 1)
			verdict = X509_V_OK;
		else if (X509_STORE_CTX_get_error(check) != X509_V_OK)
			verdict = X509_STORE_CTX_get_error(check);
	}
	X509_STORE_CTX_free(check);
	ERR_clear_error();
	return verdict;
}

static bool
judge_chain(struct tls_context *context, SSL *ssl, struct error *err)
{
	long verdict = SSL_get_verify_result(ssl);

	if (verdict == X509_V_OK && SSL_session_reused(ssl))
		verdict = verify_again(context, ssl);
	if (verdict != X509_V_OK || (SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER) == 0)
		return error_set(err, ERROR_TLS, "TLS: %s",
		    verdict != X509_V_OK ? X509_verify_cert_error_string(verdict) :
		    "the certificate was not verified");
	return true;
}

static bool
judge_certificate(struct tls_context *context, SSL *ssl, struct error *err)
{
	X509 *certificate = SSL_get0_peer_certificate(ssl);
	char text[80];

	if (context->is_server || !tls_verifies(context))
		return true;
	/* The result is X509_V_OK without a certificate, too. */
	if (certificate == NULL)
		return error_set(err, ERROR_TLS, "TLS: the server sent no certificate");
	if (!context->has_fingerprint)
		return judge_chain(context, ssl, err);
	if (tls_fingerprint_matches(certificate, context->fingerprint))
		return true;
	tls_fingerprint_text(certificate, text, sizeof(text));
	return error_set(err, ERROR_TLS, "TLS: the fingerprint does not match, it is %s", text);
}

bool
tls_judge(struct tls_context *context, SSL *ssl, struct error *err)
{
	struct resumable *resumable = SSL_get_app_data(ssl);

	if (SSL_version(ssl) < context->min_version)
		return error_set(err, ERROR_TLS, "TLS: %s is too old", SSL_get_version(ssl));
	if (!judge_certificate(context, ssl, err))
		return false;
	if (resumable == NULL)
		return true;
	resumable->is_good = true;
	if (resumable->fresh != NULL) {
		tls_cache_put(context->cache, resumable->key, resumable->fresh);
		SSL_SESSION_free(resumable->fresh);
		resumable->fresh = NULL;
	}
	return true;
}
