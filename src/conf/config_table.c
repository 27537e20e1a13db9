/* config_table.c - every key of the conffile: one row each, for loading, printing and comparing. */
#include "conf/config_table.h"

#include "conf/config.h"

#include <openssl/ssl.h>
#include <string.h>
#include <syslog.h>

#include "autoconfig.h"

#define DAY		86400u
#define MANY		1000000u    /* more clients or messages than one process serves */
#define TEXT_MAX	(64 * 1024) /* a greeting is sent by one write into an empty socket */
#define REPLY_MAX	1232	    /* fits the smallest IPv6 path unfragmented, RFC 8200 5 */
#define DATAGRAM_MAX	65507	    /* the longest UDP payload over IPv4 */
#define NAME_MAX_OCTETS 255
#define MAILBOX_MAX	320 /* octets of an address: RFC 5321 4.5.3.1 */

static const struct config_choice log_targets[] = {
	{ "syslog", LOG_TARGET_SYSLOG, false },
	{ "stderr", LOG_TARGET_STDERR, false },
	{ "journal", 0, true },
	{ NULL, 0, false },
};

static const struct config_choice log_levels[] = {
	{ "debug", LOG_LEVEL_DEBUG, false },
	{ "info", LOG_LEVEL_INFO, false },
	{ "notice", LOG_LEVEL_NOTICE, false },
	{ "warning", LOG_LEVEL_WARNING, false },
	{ "err", LOG_LEVEL_ERROR, false },
	{ "crit", LOG_LEVEL_CRITICAL, false },
	{ NULL, 0, false },
};

static const struct config_choice log_facilities[] = {
	{ "mail", LOG_MAIL, false },
	{ "daemon", LOG_DAEMON, false },
	{ "user", LOG_USER, false },
	{ "syslog", LOG_SYSLOG, false },
	{ "local0", LOG_LOCAL0, false },
	{ "local1", LOG_LOCAL1, false },
	{ "local2", LOG_LOCAL2, false },
	{ "local3", LOG_LOCAL3, false },
	{ "local4", LOG_LOCAL4, false },
	{ "local5", LOG_LOCAL5, false },
	{ "local6", LOG_LOCAL6, false },
	{ "local7", LOG_LOCAL7, false },
	{ NULL, 0, false },
};

static const struct config_choice greeting_tls[] = {
	{ "none", CONFIG_TLS_NONE, false },
	{ "implicit", CONFIG_TLS_IMPLICIT, false },
	{ NULL, 0, false },
};

static const struct config_choice submission_tls[] = {
	{ "none", CONFIG_TLS_NONE, false },
	{ "starttls", CONFIG_TLS_STARTTLS, false },
	{ "implicit", CONFIG_TLS_IMPLICIT, false },
	{ NULL, 0, false },
};

static const struct config_choice relay_tls[] = {
	{ "none", CONFIG_TLS_NONE, false },
	{ "opportunistic", CONFIG_TLS_OPPORTUNISTIC, false },
	{ "starttls", CONFIG_TLS_STARTTLS, false },
	{ "implicit", CONFIG_TLS_IMPLICIT, false },
	{ NULL, 0, false },
};

static const struct config_choice tls_versions[] = {
	{ "1.2", TLS1_2_VERSION, false },
	{ "1.3", TLS1_3_VERSION, false },
	{ NULL, 0, false },
};

static const struct config_choice auths[] = {
	{ "auto", CONFIG_AUTH_AUTO, false },
	{ "plain", CONFIG_AUTH_PLAIN, false },
	{ "login", CONFIG_AUTH_LOGIN, false },
	{ "cram-md5", CONFIG_AUTH_CRAM_MD5, false },
	{ "scram-sha-256", CONFIG_AUTH_SCRAM_SHA_256, false },
	{ "xoauth2", 0, true },
	{ "oauthbearer", 0, true },
	{ NULL, 0, false },
};

static const struct config_choice formats[] = {
	{ "lines", CONFIG_FORMAT_LINES, false },
	{ "fortune", CONFIG_FORMAT_FORTUNE, false },
	{ NULL, 0, false },
};

static const struct config_choice orders[] = {
	{ "sequential", CONFIG_ORDER_SEQUENTIAL, false },
	{ "random", CONFIG_ORDER_RANDOM, false },
	{ "daily", CONFIG_ORDER_DAILY, false },
	{ NULL, 0, false },
};

static const struct config_choice newlines[] = {
	{ "reject", CONFIG_NEWLINE_REJECT, false },
	{ "normalize", CONFIG_NEWLINE_NORMALIZE, false },
	{ NULL, 0, false },
};

/* A table is read by its columns. */
/* clang-format off */
#define KEY(s, key, ...)	{ .name = #key, .offset = offsetof(struct s, key), __VA_ARGS__ }
#define LATER(key)		{ .name = #key, .later = true }
#define LATER_LIST(key)		{ .name = #key, .later = true, .is_list = true }
#define BOUNDS(low, high)	.min = (low), .max = (high)
#define END			{ .name = NULL }

#define TOP(key, ...)		KEY(config, key, __VA_ARGS__)
static const struct config_key top_keys[] = {
	TOP(hostname, .kind = VALUE_HOSTNAME, .initial = "", BOUNDS(0, NAME_MAX_OCTETS)),
	TOP(user, .kind = VALUE_TEXT, .initial = "herald", BOUNDS(1, 32)),
	TOP(state_directory, .kind = VALUE_DIRECTORY,
	    .initial = HERALD_LOCALSTATEDIR "/lib/herald"),
	TOP(runtime_directory, .kind = VALUE_DIRECTORY, .initial = HERALD_RUNSTATEDIR "/herald"),
	TOP(stop_timeout, .kind = VALUE_DURATION, .initial = "10s", BOUNDS(0, 3600)),
	TOP(default_relay, .kind = VALUE_TEXT, .initial = "smarthost", BOUNDS(0, 32)),
	END
};

#define LOG(key, ...)		KEY(log_settings, key, __VA_ARGS__)
static const struct config_key log_keys[] = {
	LOG(target, .kind = VALUE_CHOICE, .initial = "syslog", .choices = log_targets),
	LOG(facility, .kind = VALUE_CHOICE, .initial = "mail", .choices = log_facilities),
	LOG(level, .kind = VALUE_CHOICE, .initial = "info", .choices = log_levels),
	LOG(ident, .kind = VALUE_IDENT, .initial = "herald",
	    BOUNDS(1, sizeof(((struct log_settings *)NULL)->ident) - 1)),
	END
};

#define GREETING(key, ...)	KEY(greeting_config, key, __VA_ARGS__)
static const struct config_key greeting_keys[] = {
	GREETING(listen, .kind = VALUE_LISTEN, .is_list = true, .required = true),
	{ .name = "text", .kind = VALUE_LONG_TEXT,
	    .offset = offsetof(struct greeting_config, written),
	    .initial = "您好，您收到了服务器的新年祝福！", BOUNDS(0, TEXT_MAX) },
	GREETING(file, .kind = VALUE_FILE, .initial = ""),
	GREETING(allow, .kind = VALUE_NETWORKS, .is_list = true, .initial = ""),
	GREETING(deny, .kind = VALUE_NETWORKS, .is_list = true, .initial = ""),
	GREETING(max_connections, .kind = VALUE_COUNT, .initial = "1024", BOUNDS(1, MANY)),
	GREETING(max_connections_per_client, .kind = VALUE_COUNT, .initial = "64", BOUNDS(1, MANY)),
	GREETING(timeout, .kind = VALUE_DURATION, .initial = "10s", BOUNDS(1, 3600)),
	GREETING(tls, .kind = VALUE_CHOICE, .initial = "none", .choices = greeting_tls),
	GREETING(certificate, .kind = VALUE_FILE, .initial = ""),
	GREETING(private_key, .kind = VALUE_FILE, .initial = ""),
	END
};

#define QUOTES(key, ...)	KEY(quotes_config, key, __VA_ARGS__)
static const struct config_key quotes_keys[] = {
	QUOTES(listen, .kind = VALUE_LISTEN, .is_list = true, .required = true),
	QUOTES(quotes, .kind = VALUE_TEXTS, .is_list = true, .initial =
	    "疯狂Python讲义 疯狂Kotlin讲义 疯狂Android讲义 疯狂Swift讲义", BOUNDS(1, TEXT_MAX)),
	QUOTES(file, .kind = VALUE_FILE, .initial = ""),
	QUOTES(format, .kind = VALUE_CHOICE, .initial = "lines", .choices = formats),
	QUOTES(order, .kind = VALUE_CHOICE, .initial = "sequential", .choices = orders),
	QUOTES(allow, .kind = VALUE_NETWORKS, .is_list = true, .initial = "127.0.0.0/8 ::1/128"),
	QUOTES(deny, .kind = VALUE_NETWORKS, .is_list = true, .initial = ""),
	QUOTES(max_reply, .kind = VALUE_LENGTH, .initial = "512", BOUNDS(4, REPLY_MAX)),
	QUOTES(max_request, .kind = VALUE_LENGTH, .initial = "4096", BOUNDS(1, DATAGRAM_MAX)),
	{ .name = "rate", .kind = VALUE_RATE, .offset = offsetof(struct quotes_config, rate_count),
	    .initial = "5/s", BOUNDS(1, MANY) },
	QUOTES(burst, .kind = VALUE_COUNT, .initial = "10", BOUNDS(1, MANY)),
	QUOTES(rate_exempt, .kind = VALUE_NETWORKS, .is_list = true,
	    .initial = "127.0.0.0/8 ::1/128"),
	QUOTES(max_amplification, .kind = VALUE_COUNT, .initial = "0", BOUNDS(0, 65535)),
	QUOTES(log_requests, .kind = VALUE_SWITCH, .initial = "false"),
	END
};

#define QUEUE(key, ...)		KEY(queue_config, key, __VA_ARGS__)
static const struct config_key queue_keys[] = {
	QUEUE(store, .kind = VALUE_STORE, .initial = "sqlite:queue.db"),
	QUEUE(max_message_size, .kind = VALUE_SIZE, .initial = "35M", BOUNDS(1024, 2147483648u)),
	QUEUE(min_free_space, .kind = VALUE_SIZE, .initial = "64M", BOUNDS(0, (uint64_t)1 << 50)),
	QUEUE(max_memory, .kind = VALUE_SIZE, .initial = "128M",
	    BOUNDS(8u << 20, (uint64_t)1 << 50)),
	QUEUE(max_hops, .kind = VALUE_COUNT, .initial = "50", BOUNDS(1, 1000)),
	QUEUE(retry_min, .kind = VALUE_DURATION, .initial = "5m", BOUNDS(1, 30 * DAY)),
	QUEUE(retry_max, .kind = VALUE_DURATION, .initial = "4h", BOUNDS(1, 30 * DAY)),
	QUEUE(lifetime, .kind = VALUE_DURATION, .initial = "5d", BOUNDS(1, 365 * DAY)),
	QUEUE(bounce_lifetime, .kind = VALUE_DURATION, .initial = "1d", BOUNDS(1, 365 * DAY)),
	QUEUE(delay_warning, .kind = VALUE_DURATION, .initial = "4h", BOUNDS(0, 365 * DAY)),
	QUEUE(history, .kind = VALUE_DURATION, .initial = "1d", BOUNDS(0, 365 * DAY)),
	END
};

#define SUBMISSION(key, ...)	KEY(submission_config, key, __VA_ARGS__)
static const struct config_key submission_keys[] = {
	SUBMISSION(listen, .kind = VALUE_LISTEN, .is_list = true,
	    .initial = "unix:submit.sock 127.0.0.1:2525 [::1]:2525"),
	SUBMISSION(allow, .kind = VALUE_NETWORKS, .is_list = true,
	    .initial = "127.0.0.0/8 ::1/128"),
	SUBMISSION(proxies, .kind = VALUE_NETWORKS, .is_list = true, .initial = ""),
	SUBMISSION(tls, .kind = VALUE_CHOICE, .initial = "none", .choices = submission_tls),
	SUBMISSION(certificate, .kind = VALUE_FILE, .initial = ""),
	SUBMISSION(private_key, .kind = VALUE_FILE, .initial = ""),
	SUBMISSION(users, .kind = VALUE_FILE, .initial = ""),
	SUBMISSION(require_auth, .kind = VALUE_SWITCH, .initial = "false"),
	SUBMISSION(max_connections, .kind = VALUE_COUNT, .initial = "1000", BOUNDS(1, MANY)),
	SUBMISSION(max_connections_per_client, .kind = VALUE_COUNT, .initial = "100",
	    BOUNDS(1, MANY)),
	SUBMISSION(max_recipients, .kind = VALUE_COUNT, .initial = "1000", BOUNDS(1, 100000)),
	SUBMISSION(max_errors, .kind = VALUE_COUNT, .initial = "20", BOUNDS(1, 10000)),
	SUBMISSION(timeout, .kind = VALUE_DURATION, .initial = "5m", BOUNDS(1, 3600)),
	SUBMISSION(bare_newline, .kind = VALUE_CHOICE, .initial = "reject", .choices = newlines),
	END
};

#define RELAY(key, ...)		KEY(relay_config, key, __VA_ARGS__)
static const struct config_key relay_keys[] = {
	RELAY(tls, .kind = VALUE_CHOICE, .initial = "implicit", .choices = relay_tls),
	/* Behind tls, which says the port that is meant where none is written. */
	{ .name = "host", .kind = VALUE_HOSTS, .offset = offsetof(struct relay_config, hosts),
	    .is_list = true, .required = true },
	RELAY(tls_verify, .kind = VALUE_SWITCH, .initial = "true"),
	RELAY(tls_ca_file, .kind = VALUE_FILE, .initial = ""),
	RELAY(tls_fingerprint, .kind = VALUE_PRINT, .initial = ""),
	RELAY(tls_min_version, .kind = VALUE_CHOICE, .initial = "1.2", .choices = tls_versions),
	RELAY(certificate, .kind = VALUE_FILE, .initial = ""),
	RELAY(private_key, .kind = VALUE_FILE, .initial = ""),
	RELAY(username, .kind = VALUE_TEXT, .initial = "", BOUNDS(0, 255)),
	RELAY(password, .kind = VALUE_SECRET, .initial = ""),
	RELAY(auth, .kind = VALUE_CHOICE, .initial = "auto", .choices = auths),
	RELAY(max_connections, .kind = VALUE_COUNT, .initial = "10", BOUNDS(1, 1000)),
	RELAY(max_messages_per_connection, .kind = VALUE_COUNT, .initial = "100", BOUNDS(1, MANY)),
	RELAY(idle_timeout, .kind = VALUE_DURATION, .initial = "10s", BOUNDS(0, 3600)),
	RELAY(connect_timeout, .kind = VALUE_DURATION, .initial = "30s", BOUNDS(1, 3600)),
	RELAY(helo, .kind = VALUE_HOSTNAME, .initial = "", BOUNDS(0, NAME_MAX_OCTETS)),
	{ .name = "rate", .kind = VALUE_RATES, .offset = offsetof(struct relay_config, rates),
	    .is_list = true, .initial = "", BOUNDS(1, MANY) },
	RELAY(source_address, .kind = VALUE_ADDRESS, .initial = ""),
	END
};

static const struct config_key route_keys[] = {
	{ .name = "sender", .kind = VALUE_PATTERNS,
	    .offset = offsetof(struct route_config, senders), .is_list = true, .initial = "" },
	{ .name = "recipient", .kind = VALUE_PATTERNS,
	    .offset = offsetof(struct route_config, recipients), .is_list = true,
	    .initial = "" },
	{ .name = "relay", .kind = VALUE_TEXT, .offset = offsetof(struct route_config, relay),
	    .required = true },
	END
};

static const struct config_key control_keys[] = {
	{ .name = "listen", .kind = VALUE_LISTEN, .offset = offsetof(struct config, control),
	    .is_list = true, .initial = "unix:control.sock" },
	END
};

#define IDENTITY(key, ...)	KEY(identity_config, key, __VA_ARGS__)
static const struct config_key identity_keys[] = {
	IDENTITY(local_names, .kind = VALUE_TEXTS, .is_list = true, .initial = "localhost",
	    BOUNDS(1, NAME_MAX_OCTETS)),
	IDENTITY(domain, .kind = VALUE_HOSTNAME, .initial = "", BOUNDS(0, NAME_MAX_OCTETS)),
	IDENTITY(aliases, .kind = VALUE_FILE, .initial = "/etc/aliases"),
	IDENTITY(sender, .kind = VALUE_TEXT, .initial = "", BOUNDS(0, MAILBOX_MAX)),
	IDENTITY(from, .kind = VALUE_TEXT, .initial = "", BOUNDS(0, MAILBOX_MAX)),
	END
};

static const struct config_key later_keys[] = {
	LATER_LIST(listen),
	END
};

#define ARRAY(member, count, tag)                                              \
	.is_array = true, .offset = offsetof(struct config, member),           \
	.count_offset = offsetof(struct config, count), .size = sizeof(struct tag)
#define TITLED(member, count, tag)	.titled = true, ARRAY(member, count, tag)

const struct config_type config_types[] = {
	{ .name = "", .keys = top_keys },
	{ .name = "log", .keys = log_keys, .offset = offsetof(struct config, log) },
	{ .name = "greeting", .keys = greeting_keys,
	    TITLED(greetings, greeting_count, greeting_config) },
	{ .name = "quotes", .keys = quotes_keys, TITLED(quotes, quotes_count, quotes_config) },
	{ .name = "queue", .keys = queue_keys, .offset = offsetof(struct config, queue) },
	{ .name = "submission", .keys = submission_keys,
	    TITLED(submissions, submission_count, submission_config) },
	{ .name = "relay", .keys = relay_keys, TITLED(relays, relay_count, relay_config) },
	{ .name = "route", .keys = route_keys, ARRAY(routes, route_count, route_config) },
	{ .name = "control", .keys = control_keys },
	{ .name = "identity", .keys = identity_keys, .offset = offsetof(struct config, identity) },
	{ .name = "metrics", .keys = later_keys, .later = true },
	{ .name = NULL },
};
/* clang-format on */

void *
config_object(const struct config *config, const struct config_type *type, size_t index)
{
	const char *base = (const char *)config + type->offset;
	char *object;

	if (!type->is_array)
		return (void *)(uintptr_t)base;
	memcpy(&object, base, sizeof(object));
	return object + index * type->size;
}

size_t
config_object_count(const struct config *config, const struct config_type *type)
{
	size_t count;

	if (!type->is_array)
		return 1;
	memcpy(&count, (const char *)config + type->count_offset, sizeof(count));
	return count;
}

const struct config_key *
config_key_find(const struct config_type *type, const char *name)
{
	for (const struct config_key *key = type->keys; key->name != NULL; key++)
		if (strcmp(key->name, name) == 0)
			return key;
	return NULL;
}
