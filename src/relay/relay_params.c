/* relay_params.c - what sessions with a relay need, all of it that can fail to be had. */
#include "relay/relay_params.h"

#include "base/error.h"
#include "base/text.h"
#include "conf/config.h"
#include "net/tls.h"
#include "relay/secret.h"

#include <string.h>

static bool
same_hosts(const struct relay_config *a, const struct relay_config *b)
{
	if (a->mx != b->mx || a->mx_port != b->mx_port || a->host_count != b->host_count)
		return false;
	for (size_t i = 0; i < a->host_count; i++)
		if (!text_equal(a->hosts[i].name, b->hosts[i].name) ||
		    a->hosts[i].port != b->hosts[i].port)
			return false;
	return true;
}

static bool
same_rates(const struct relay_config *a, const struct relay_config *b)
{
	if (a->rate_count != b->rate_count)
		return false;
	for (size_t i = 0; i < a->rate_count; i++)
		if (a->rates[i].count != b->rates[i].count ||
		    a->rates[i].seconds != b->rates[i].seconds)
			return false;
	return true;
}

static bool
same_texts(const struct relay_config *a, const struct relay_config *b)
{
	return strcmp(a->name, b->name) == 0 && strcmp(a->tls_ca_file, b->tls_ca_file) == 0 &&
	    strcmp(a->tls_fingerprint, b->tls_fingerprint) == 0 &&
	    strcmp(a->certificate, b->certificate) == 0 &&
	    strcmp(a->private_key, b->private_key) == 0 &&
	    strcmp(a->username, b->username) == 0 && strcmp(a->helo, b->helo) == 0 &&
	    strcmp(a->source_address, b->source_address) == 0;
}

bool
relay_params_equal(const struct relay_params *old, const struct relay_params *next)
{
	const struct relay_config *a = old->relay, *b = next->relay;

	return same_hosts(a, b) && same_rates(a, b) && same_texts(a, b) && a->tls == b->tls &&
	    a->tls_verify == b->tls_verify && a->tls_min_version == b->tls_min_version &&
	    a->auth == b->auth && a->max_connections == b->max_connections &&
	    a->max_messages_per_connection == b->max_messages_per_connection &&
	    a->idle_timeout == b->idle_timeout && a->connect_timeout == b->connect_timeout &&
	    old->secret.len == next->secret.len &&
	    memcmp(buf_octets(&old->secret), buf_octets(&next->secret), old->secret.len) == 0;
}

static bool
prepare_tls(struct relay_params *params, struct error *err)
{
	const struct relay_config *relay = params->relay;
	const struct tls_client_params tls = {
		/* Where mail would go in clear rather than not at all, a certificate that
		 * nobody vouches for is no worse (RFC 7435). */
		.verify = relay->tls_verify && relay->tls != CONFIG_TLS_OPPORTUNISTIC,
		.ca_file = relay->tls_ca_file,
		.min_version = relay->tls_min_version,
		.fingerprint = relay->tls_fingerprint,
		.certificate = relay->certificate,
		.private_key = relay->private_key,
	};

	if (relay->tls == CONFIG_TLS_NONE)
		return true;
	params->tls = tls_client_new(&tls, err);
	return params->tls != NULL;
}

bool
relay_params_prepare(struct relay_params *params, const struct config *config,
    const struct relay_config *relay, struct error *err)
{
	params->config = config_ref(config);
	params->relay = relay;
	if (prepare_tls(params, err) && (relay->username[0] == '\0' ||
	    secret_read(relay->password, &params->secret, err)))
		return true;
	error_prefix(err, "%s:%u: relay %s",
	    relay->conffile != NULL ? relay->conffile : config->path, relay->line, relay->name);
	relay_params_free(params);
	return false;
}

void
relay_params_free(struct relay_params *params)
{
	config_unref(params->config);
	tls_unref(params->tls);
	buf_wipe(&params->secret);
	memset(params, 0, sizeof(*params));
}

bool
relay_params_renew(struct relay_params *params)
{
	struct buf secret = { 0 };
	struct error err;
	bool differs;

	/* A command may take seconds, and the loop would wait for it: the next reload runs it. */
	if (text_has_prefix(params->relay->password, "command:")) {
		secret_forget(params->relay->password);
		return false;
	}
	if (!secret_read(params->relay->password, &secret, &err))
		return false;
	differs = secret.len != params->secret.len ||
	    memcmp(buf_octets(&secret), buf_octets(&params->secret), secret.len) != 0;
	if (differs) {
		struct buf old = params->secret;

		params->secret = secret;
		secret = old;
	}
	buf_wipe(&secret);
	return differs;
}
