/* config.h - the configuration as plain data; never changes after config_load(). */
#ifndef HERALD_CONF_CONFIG_H
#define HERALD_CONF_CONFIG_H

#include "base/log.h"
#include "net/endpoint.h"
#include "net/network.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct config_holder;
struct error;
struct identity;

enum config_tls {
	CONFIG_TLS_NONE, CONFIG_TLS_OPPORTUNISTIC, CONFIG_TLS_STARTTLS, CONFIG_TLS_IMPLICIT,
};
enum config_order { CONFIG_ORDER_SEQUENTIAL, CONFIG_ORDER_RANDOM, CONFIG_ORDER_DAILY };
enum config_format { CONFIG_FORMAT_LINES, CONFIG_FORMAT_FORTUNE };
enum config_newline { CONFIG_NEWLINE_REJECT, CONFIG_NEWLINE_NORMALIZE };
enum config_auth {
	CONFIG_AUTH_AUTO, CONFIG_AUTH_PLAIN, CONFIG_AUTH_LOGIN, CONFIG_AUTH_CRAM_MD5,
	CONFIG_AUTH_SCRAM_SHA_256,
};

/* In all of these: durations in seconds, sizes in octets, paths made absolute,
 * strings never NULL ("" is not set) unless said otherwise. */

struct greeting_config {
	const char *name;
	unsigned line;			/* of the block, for errors of prepare(): "FILE:LINE: …" */
	const char *conffile;		/* where that line is: an included one, it may be */
	struct endpoint_list listen;
	const char *text;		/* as written, or what `file` holds; "%{…}" still there */
	size_t text_len;
	const char *written;		/* the key `text` alone */
	const char *file;
	struct network_list allow, deny;
	unsigned max_connections, max_connections_per_client, timeout;
	enum config_tls tls;
	const char *certificate, *private_key;
};

struct quotes_config {
	const char *name;
	unsigned line;
	const char *conffile;
	struct endpoint_list listen;
	const char **quotes;		/* given in the conffile, quote_count of them; else: */
	size_t quote_count;
	const char *file;
	enum config_format format;
	enum config_order order;
	struct network_list allow, deny, rate_exempt;
	size_t max_reply, max_request;
	uint64_t rate_count, rate_seconds;	/* "5/s"; rate_count 0: no limit */
	unsigned burst, max_amplification;
	bool log_requests;
};

struct queue_config {
	const char *store;		/* absolute path of the SQLite database */
	const char *state_directory;
	uint64_t max_message_size, min_free_space, max_memory;
	unsigned max_hops;
	unsigned retry_min, retry_max, lifetime, bounce_lifetime;
	unsigned delay_warning;		/* 0: the sender is not told */
	unsigned history;		/* 0: finished messages are forgotten at once */
};

struct submission_config {
	const char *name;
	unsigned line;
	const char *conffile;
	struct endpoint_list listen;
	struct network_list allow;
	struct network_list proxies;	/* whose connections begin with a PROXY header */
	unsigned max_connections, max_connections_per_client, max_recipients, max_errors, timeout;
	enum config_tls tls;		/* none, starttls, implicit; of TCP alone */
	const char *certificate, *private_key;	/* both with TLS, none without */
	const char *users;		/* file for users_load(); "": no AUTH */
	bool require_auth;
	enum config_newline bare_newline;
};

struct config_host { char name[ENDPOINT_HOST_MAX + 1]; uint16_t port; };

#define CONFIG_RATES_MAX 4		/* one for each unit of time */
/* At most `count` messages in any `seconds`. */
struct config_rate { uint64_t count, seconds; };

struct relay_config {
	const char *name;
	unsigned line;
	const char *conffile;
	struct config_host *hosts;	/* in the order to try; none with mx */
	size_t host_count;
	bool mx;			/* host = {"mx"}: to the MX of the recipient's domain */
	uint16_t mx_port;
	enum config_tls tls;
	bool tls_verify;
	const char *tls_ca_file;
	const char *tls_fingerprint;	/* as tls_fingerprint_check() takes it */
	const char *certificate, *private_key;	/* of the client; both or none */
	int tls_min_version;		/* TLS1_2_VERSION or TLS1_3_VERSION of OpenSSL */
	const char *username;
	/* "file:PATH" (absolute), "credential:NAME", "command:PROGRAM ARGS" (absolute), "". */
	const char *password;
	enum config_auth auth;
	unsigned max_connections, max_messages_per_connection, idle_timeout, connect_timeout;
	struct config_rate *rates;	/* all of them hold */
	size_t rate_count;
	const char *source_address;	/* of our end: a literal without brackets, or "" */
	const char *helo;		/* hostname when not set */
};

/* Which mail goes where: patterns as pattern_check() takes them; none is any. */
struct route_config {
	const char *name;		/* "": routes have none */
	unsigned line;
	const char *conffile;
	const char **senders;
	size_t sender_count;
	const char **recipients;
	size_t recipient_count;
	const char *relay;
	const struct relay_config *target;	/* the block of that name */
};

/* What mail of this machine looks like outside. */
struct identity_config {
	const char **local_names;
	size_t local_name_count;
	const char *domain;		/* hostname when not set */
	const char *aliases;		/* the file; "": none */
	const char *sender, *from;	/* an address with its domain, or "" */
	const struct identity *rules;	/* what follows from these and the file */
};

/* Everything belongs to the config and lives as long as it does.  A service keeps a
 * reference and a pointer to its own section. */
struct config {
	unsigned generation;		/* 1 at start, +1 with each reload that took; in the log */
	const char *path;
	const char *hostname;		/* for HELO, Received: and Message-ID: */
	const char *user, *state_directory, *runtime_directory;
	unsigned stop_timeout;
	const char *default_relay;
	struct log_settings log;
	struct greeting_config *greetings;
	size_t greeting_count;
	struct quotes_config *quotes;
	size_t quotes_count;
	struct queue_config queue;
	struct submission_config *submissions;
	size_t submission_count;
	struct relay_config *relays;
	size_t relay_count;
	struct route_config *routes;	/* in the order of the conffile and its includes */
	size_t route_count;
	const struct relay_config *relay;	/* the default one; NULL when none is needed */
	struct identity_config identity;
	struct endpoint_list control;
	struct config_holder *holder;	/* counts the references */
};

/* Parses, sets defaults, checks each value and the values against each other.
 * Opens no socket and no database; reads the files that keys name.  NULL and *err,
 * "/etc/herald/herald.conf:12: …", at the first fault. */
struct config *config_load(const char *path, struct error *err);
const struct config *config_ref(const struct config *config);
void config_unref(const struct config *config);		/* the last one frees; NULL is allowed */

/* The effective configuration with every default, as a conffile that loads again;
 * secrets as "***" (heraldd -T). */
void config_print(const struct config *config, FILE *out);

/* What differs, for the log: "greeting.welcome.text, relay.smarthost". */
void config_changes(const struct config *old, const struct config *next, char *out, size_t size);
/* Keys that a reload cannot change (user, state_directory, runtime_directory, queue.store):
 * false and *err naming the first that differs. */
bool config_reloadable(const struct config *old, const struct config *next, struct error *err)
    __attribute__((warn_unused_result));

#endif
