/* config_relay.c - relays and the routes to them: values against each other. */
#include "conf/config_relay.h"

#include "base/buf.h"
#include "base/error.h"
#include "base/text.h"
#include "conf/config.h"
#include "conf/config_check.h"
#include "conf/config_files.h"

#include <string.h>

#define DEMANDS_TLS "needs tls = \"starttls\" or \"implicit\""

/* A policy that no answer of a server can undo. */
static bool
demands_tls(const struct relay_config *relay)
{
	return relay->tls == CONFIG_TLS_STARTTLS || relay->tls == CONFIG_TLS_IMPLICIT;
}

static bool
is_loopback(const char *host)
{
	struct endpoint endpoint;

	if (text_equal(host, "localhost"))
		return true;
	return endpoint_from_literal(&endpoint, host, 25) && endpoint_is_loopback(&endpoint);
}

/* The MX hosts are others' (RFC 5321 5.1): no account there, no TLS from the first octet,
 * and no certificate that is known before. */
static bool
check_mx(const struct relay_config *relay, const struct config_block *block, struct error *err)
{
	if (!relay->mx)
		return true;
	if (relay->tls == CONFIG_TLS_IMPLICIT)
		return config_fault(block, config_stands(block, "tls") ? "tls" : "host", err,
		    "mx needs tls = \"opportunistic\", \"starttls\" or \"none\"");
	if (relay->username[0] != '\0')
		return config_fault(block, "username", err, "mx has no account, allowed is none");
	if (relay->tls_fingerprint[0] != '\0')
		return config_fault(
		    block, "tls_fingerprint", err, "mx has many certificates, allowed is none");
	return true;
}

static bool
check_account(const struct relay_config *relay, const struct config_block *block, struct error *err)
{
	bool has_account = relay->username[0] != '\0';

	if (has_account && relay->password[0] == '\0')
		return config_fault(block, "username", err, "needs password");
	if (!has_account && relay->password[0] != '\0')
		return config_fault(block, "password", err, "needs username");
	if (!has_account && relay->auth != CONFIG_AUTH_AUTO)
		return config_fault(block, "auth", err, "needs username");
	for (size_t i = 0; i < relay->host_count; i++)
		if (has_account && !demands_tls(relay) && !is_loopback(relay->hosts[i].name))
			return config_fault(block, "username", err,
			    DEMANDS_TLS ": the password would go to %s in the clear",
			    relay->hosts[i].name);
	return true;
}

static bool
check_tls(const struct relay_config *relay, const struct config_block *block, struct error *err)
{
	bool has_certificate = relay->certificate[0] != '\0';
	bool has_key = relay->private_key[0] != '\0';
	bool has_print = relay->tls_fingerprint[0] != '\0',
	     has_file = relay->tls_ca_file[0] != '\0';

	if (has_file && !demands_tls(relay))
		return config_fault(block, "tls_ca_file", err, DEMANDS_TLS);
	if (has_print && !demands_tls(relay))
		return config_fault(block, "tls_fingerprint", err, DEMANDS_TLS);
	if (has_file && !relay->tls_verify)
		return config_fault(block, "tls_ca_file", err, "needs tls_verify = true");
	if (has_print && !relay->tls_verify)
		return config_fault(block, "tls_fingerprint", err, "needs tls_verify = true");
	if (has_print && has_file)
		return config_fault(block, "tls_fingerprint", err,
		    "stands beside tls_ca_file, allowed is one of them");
	if ((has_certificate || has_key) && relay->tls == CONFIG_TLS_NONE)
		return config_fault(
		    block, has_certificate ? "certificate" : "private_key", err, "needs tls");
	if (has_certificate && !has_key)
		return config_fault(block, "certificate", err, "needs private_key");
	return has_certificate || !has_key ||
	    config_fault(block, "private_key", err, "needs certificate");
}

static bool
check_source(const struct relay_config *relay, const struct config_block *block, struct error *err)
{
	bool is_v6 = strchr(relay->source_address, ':') != NULL;
	struct endpoint endpoint;

	if (relay->source_address[0] == '\0')
		return true;
	for (size_t i = 0; i < relay->host_count; i++)
		if (endpoint_from_literal(&endpoint, relay->hosts[i].name, 25) &&
		    (strchr(relay->hosts[i].name, ':') != NULL) != is_v6)
			return config_fault(block, "source_address", err,
			    "%s cannot reach %s, allowed are addresses of the same family",
			    relay->source_address, relay->hosts[i].name);
	return true;
}

bool
config_check_relay(const struct config *config, const struct config_block *block,
    const void *object, struct error *err)
{
	const struct relay_config *relay = object;

	if (relay->host_count == 0 && !relay->mx)
		return config_fault(
		    block, "host", err, "is empty, allowed are one or several NAME:PORT, or mx");
	return check_mx(relay, block, err) && check_account(relay, block, err) &&
	    check_tls(relay, block, err) && check_source(relay, block, err) &&
	    config_check_authorities(block, "tls_ca_file", relay->tls_ca_file, err) &&
	    config_check_readable(block, "certificate", relay->certificate, err) &&
	    config_check_readable(block, "private_key", relay->private_key, err) &&
	    config_check_private(block, "private_key", relay->private_key, config->user, err) &&
	    config_check_key_pair(block, relay->certificate, relay->private_key, err) &&
	    config_check_secret(block, "password", relay->password, config->user, err);
}

static bool
no_such_relay(const struct config *config, const struct config_block *block, const char *name,
    struct error *err)
{
	struct buf names = { 0 };

	for (size_t i = 0; i < config->relay_count; i++)
		buf_appendf(&names, "%s%s", i > 0 ? ", " : "", config->relays[i].name);
	config_fault(block, "relay", err, "\"%s\" names no relay block, %s%s", name,
	    config->relay_count > 0 ? "allowed are " : "there is none", buf_text(&names));
	buf_free(&names);
	return false;
}

bool
config_check_route(const struct config *config, const struct config_block *block,
    const void *object, struct error *err)
{
	const struct route_config *route = object;

	for (size_t i = 0; i < route->recipient_count; i++)
		if (strcmp(route->recipients[i], "<>") == 0)
			return config_fault(
			    block, "recipient", err, "\"<>\" is a sender, and never a recipient");
	return route->target != NULL || no_such_relay(config, block, route->relay, err);
}
