/* tls.c - what OpenSSL is asked to demand: versions, certificates, names. */
#include "net/tls.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/text.h"

#define SESSION_ID_OCTETS	16	/* of the context; SSL_MAX_SID_CTX_LENGTH is 32 */

struct tls_context {
	SSL_CTX *ctx;
	unsigned holders;
	bool is_server;
	bool verify;
	int min_version;
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

struct tls_context *
tls_client_new(const struct tls_client_params *params, struct error *err)
{
	const char *ca_file = params->ca_file != NULL ? params->ca_file : "";
	int min_version = params->min_version;
	struct tls_context *context;
	int loaded;

	/* RFC 8996: TLS 1.0 and 1.1 are not to be spoken. */
	if (min_version < TLS1_2_VERSION)
		min_version = TLS1_2_VERSION;
	context = context_new(TLS_client_method(), min_version, err);
	if (context == NULL)
		return NULL;
	context->verify = params->verify;
	SSL_CTX_set_verify(context->ctx, params->verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
	if (*ca_file != '\0')
		loaded = SSL_CTX_load_verify_file(context->ctx, ca_file);
	else
		loaded = SSL_CTX_set_default_verify_paths(context->ctx);
	if (loaded != 1) {
		set_error(err, "cannot read the certificates of",
		    *ca_file != '\0' ? ca_file : "the system");
		tls_unref(context);
		return NULL;
	}
	/* The system's files may be missing without an error of the call. */
	ERR_clear_error();
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
	SSL_CTX_free(context->ctx);
	free(context);
}

bool
tls_verifies(const struct tls_context *context)
{
	return context->verify;
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
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
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

bool
tls_judge(struct tls_context *context, SSL *ssl, struct error *err)
{
	long verdict;

	if (SSL_version(ssl) < context->min_version)
		return error_set(err, ERROR_TLS, "TLS: %s is too old", SSL_get_version(ssl));
	if (context->is_server || !context->verify)
		return true;
	/* The result is X509_V_OK without a certificate, too. */
	if (SSL_get0_peer_certificate(ssl) == NULL)
		return error_set(err, ERROR_TLS, "TLS: the server sent no certificate");
	verdict = SSL_get_verify_result(ssl);
	if (verdict != X509_V_OK || (SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER) == 0)
		return error_set(err, ERROR_TLS, "TLS: %s",
		    verdict != X509_V_OK ? X509_verify_cert_error_string(verdict) :
		    "the certificate was not verified");
	return true;
}
