/* test_config.c - conffiles that load, conffiles that do not and why, printing and comparing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <pwd.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "base/error.h"
#include "base/mem.h"
#include "conf/config.h"

static char folder[PATH_MAX]; /* tests/conf */
static char work[] = "/tmp/herald-config.XXXXXX";

static void
write_file(const char *name, const char *text, size_t len, mode_t mode)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, mode);

	assert_true(fd != -1);
	assert_int_equal(write(fd, text, len), (ssize_t)len);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static struct config *
load_text(const char *text, struct error *err)
{
	write_file("test.conf", text, strlen(text), 0600);
	return config_load("test.conf", err);
}

static struct config *
must_load(const char *text)
{
	struct error err = { .text = "" };
	struct config *config = load_text(text, &err);

	if (config == NULL)
		fail_msg("%s", err.text);
	return config;
}

/* The first line of a file, without its end. */
static void
first_line(const char *path, char *out, size_t size)
{
	FILE *file = fopen(path, "r");

	assert_non_null(file);
	assert_non_null(fgets(out, (int)size, file));
	out[strcspn(out, "\n")] = '\0';
	fclose(file);
}

/* "# expect: LINE: message" is about the file itself; else the complete text stands there. */
static void
expected_text(const char *path, char *out, size_t size)
{
	static const char mark[] = "# expect: ";
	char line[700];

	first_line(path, line, sizeof(line));
	if (strncmp(line, mark, strlen(mark)) != 0)
		fail_msg("%s begins with no \"%s\"", path, mark);
	if (line[strlen(mark)] >= '0' && line[strlen(mark)] <= '9')
		snprintf(out, size, "%s:%s", path, line + strlen(mark));
	else
		snprintf(out, size, "%s", line + strlen(mark));
}

static int
is_conffile(const struct dirent *entry)
{
	const char *dot = strrchr(entry->d_name, '.');

	return dot != NULL && strcmp(dot, ".conf") == 0;
}

static size_t
each_file(const char *kind, void (*test)(const char *path))
{
	struct dirent **names;
	char path[1024];
	int count;

	assert_int_equal(chdir(folder), 0);
	count = scandir(kind, &names, is_conffile, alphasort);
	assert_true(count > 0);
	for (int i = 0; i < count; i++) {
		snprintf(path, sizeof(path), "%s/%s", kind, names[i]->d_name);
		test(path);
		free(names[i]);
	}
	free(names);
	assert_int_equal(chdir(work), 0);
	return (size_t)count;
}

static int faults;

static void
is_refused(const char *path)
{
	struct error err = { .text = "" };
	char expected[800];
	struct config *config = config_load(path, &err);

	expected_text(path, expected, sizeof(expected));
	if (config != NULL)
		print_error("%s loads, expected: %s\n", path, expected);
	else if (strcmp(err.text, expected) != 0)
		print_error("%s\n      is: %s\nexpected: %s\n", path, err.text, expected);
	else
		return;
	config_unref(config);
	faults++;
}

static void
bad_files_are_refused(void **state)
{
	(void)state;
	faults = 0;
	assert_true(each_file("bad", is_refused) >= 60);
	assert_int_equal(faults, 0);
}

static char *
print(const struct config *config)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	config_print(config, out);
	fclose(out);
	return text;
}

/* Printed, loaded and printed again it is the same text. */
static void
loads_and_prints(const char *path)
{
	struct error err = { .text = "" };
	struct config *config = config_load(path, &err), *again;
	char *text, *second, changes[1024], *conffile;

	if (config == NULL)
		fail_msg("%s: %s", path, err.text);
	text = print(config);
	if (strstr(text, "\"***\"") != NULL) {
		config_unref(config);
		free(text);
		return;
	}
	conffile = mem_printf("%s/printed.conf", work);
	write_file(conffile, text, strlen(text), 0600);
	again = config_load(conffile, &err);
	if (again == NULL)
		fail_msg("%s printed: %s\n%s", path, err.text, text);
	config_changes(config, again, changes, sizeof(changes));
	assert_string_equal(changes, "");
	second = print(again);
	assert_string_equal(strchr(second, '\n'), strchr(text, '\n'));
	config_unref(config);
	config_unref(again);
	free(text);
	free(second);
	free(conffile);
}

static void
good_files_load(void **state)
{
	(void)state;
	assert_true(each_file("good", loads_and_prints) >= 8);
}

static void
missing_files_are_named(void **state)
{
	struct error err;

	(void)state;
	assert_null(config_load("not-there.conf", &err));
	assert_string_equal(err.text, "not-there.conf: cannot open: No such file or directory");
	assert_null(config_load(".", &err));
	assert_string_equal(err.text, ".: not a regular file");
	assert_int_equal(mkfifo("fifo.conf", 0600), 0);
	assert_null(config_load("fifo.conf", &err));
	assert_string_equal(err.text, "fifo.conf: not a regular file");
}

static void
defaults_are_those_of_the_manual(void **state)
{
	struct config *config = must_load(
	    "hostname = \"a.example.org\"\n"
	    "greeting g { listen = \"127.0.0.1:3000\" }\nquotes q { listen = \"127.0.0.1:3000\" }\n"
	    "submission s { }\nrelay smarthost { host = \"smtp.example.org\" }\n");
	const struct quotes_config *quotes = &config->quotes[0];

	(void)state;
	assert_string_equal(config->user, "herald");
	assert_int_equal(config->stop_timeout, 10);
	assert_int_equal(config->log.level, LOG_LEVEL_INFO);
	assert_string_equal(config->log.ident, "herald");
	assert_int_equal(config->greetings[0].max_connections, 1024);
	assert_int_equal(config->greetings[0].max_connections_per_client, 64);
	assert_int_equal(config->greetings[0].timeout, 10);
	assert_string_equal(config->greetings[0].text, "您好，您收到了服务器的新年祝福！");
	assert_int_equal(quotes->quote_count, 4);
	assert_string_equal(quotes->quotes[3], "疯狂Swift讲义");
	assert_int_equal(quotes->allow.count, 2);
	assert_int_equal(quotes->rate_exempt.count, 2);
	assert_int_equal(quotes->max_reply, 512);
	assert_int_equal(quotes->max_request, 4096);
	assert_int_equal(quotes->rate_count, 5);
	assert_int_equal(quotes->rate_seconds, 1);
	assert_int_equal(quotes->burst, 10);
	assert_int_equal(config->queue.max_message_size, 35 * 1024 * 1024);
	assert_int_equal(config->queue.max_memory, 128 * 1024 * 1024);
	assert_int_equal(config->queue.retry_min, 300);
	assert_int_equal(config->queue.retry_max, 4 * 3600);
	assert_int_equal(config->queue.lifetime, 5 * 86400);
	assert_int_equal(config->queue.bounce_lifetime, 86400);
	assert_int_equal(config->queue.delay_warning, 4 * 3600);
	assert_int_equal(config->queue.history, 86400);
	assert_int_equal(config->submissions[0].listen.count, 3);
	assert_int_equal(config->submissions[0].max_recipients, 1000);
	assert_int_equal(config->submissions[0].timeout, 300);
	assert_ptr_equal(config->relay, &config->relays[0]);
	assert_int_equal(config->relay->hosts[0].port, 465);
	assert_int_equal(config->relay->tls, CONFIG_TLS_IMPLICIT);
	assert_int_equal(config->relay->tls_min_version, TLS1_2_VERSION);
	assert_true(config->relay->tls_verify);
	assert_int_equal(config->relay->max_connections, 10);
	assert_string_equal(config->relay->helo, "a.example.org");
	assert_false(config->relay->mx);
	assert_int_equal(config->relay->rate_count, 0);
	assert_string_equal(config->relay->source_address, "");
	assert_string_equal(config->relay->tls_fingerprint, "");
	assert_string_equal(config->relay->certificate, "");
	assert_int_equal(config->route_count, 0);
	assert_int_equal(config->control.count, 1);
	config_unref(config);
}

static void
an_empty_file_is_a_configuration(void **state)
{
	struct config *config = must_load("");

	(void)state;
	assert_null(config->relay);
	assert_int_equal(config->greeting_count, 0);
	assert_true(config->hostname[0] != '\0');
	config_unref(config);
}

static void
ports_follow_from_tls(void **state)
{
	struct config *config = must_load(
	    "relay a { host = {\"a.example.org\", \"b.example.org:26\"} tls = starttls }\n"
	    "relay b { host = {\"[2001:db8::1]\"} tls = none }\ndefault_relay = b\n");

	(void)state;
	assert_int_equal(config->relays[0].hosts[0].port, 587);
	assert_int_equal(config->relays[0].hosts[1].port, 26);
	assert_int_equal(config->relays[1].hosts[0].port, 25);
	assert_string_equal(config->relay->hosts[0].name, "2001:db8::1");
	config_unref(config);
}

static void
mx_stands_for_the_hosts(void **state)
{
	struct config *config = must_load(
	    "relay a { host = \"mx\" tls = opportunistic }\n"
	    "relay b { tls = none host = {\"MX:2525\"} }\n"
	    "relay c { tls = none host = {\"mx.example.org\", \"mxx\"} }\n");

	(void)state;
	assert_true(config->relays[0].mx);
	assert_int_equal(config->relays[0].mx_port, 25);
	assert_int_equal(config->relays[0].host_count, 0);
	assert_int_equal(config->relays[0].tls, CONFIG_TLS_OPPORTUNISTIC);
	assert_true(config->relays[1].mx);
	assert_int_equal(config->relays[1].mx_port, 2525);
	assert_false(config->relays[2].mx);
	assert_int_equal(config->relays[2].host_count, 2);
	config_unref(config);
}

static void
rates_may_be_several(void **state)
{
	struct config *config = must_load(
	    "relay a { host = h rate = \"30/m\" }\n"
	    "relay b { host = h rate = {\"7/h\", \"500/d\"} }\n"
	    "relay c { host = h rate = \"\" }\nrelay d { host = h rate = {} }\n");

	(void)state;
	assert_int_equal(config->relays[0].rate_count, 1);
	assert_int_equal(config->relays[0].rates[0].count, 30);
	assert_int_equal(config->relays[0].rates[0].seconds, 60);
	assert_int_equal(config->relays[1].rate_count, 2);
	assert_int_equal(config->relays[1].rates[0].seconds, 3600);
	assert_int_equal(config->relays[1].rates[1].count, 500);
	assert_int_equal(config->relays[1].rates[1].seconds, 86400);
	assert_int_equal(config->relays[2].rate_count, 0);
	assert_int_equal(config->relays[3].rate_count, 0);
	config_unref(config);
}

static void
delay_warning_fits_into_lifetime(void **state)
{
	struct config *config = must_load("queue { lifetime = \"4h\" }");

	(void)state;
	assert_int_equal(config->queue.delay_warning, 0);
	config_unref(config);
	config = must_load("queue { lifetime = \"241m\" delay_warning = 0 }");
	assert_int_equal(config->queue.delay_warning, 0);
	config_unref(config);
	config = must_load("queue { lifetime = \"241m\" }");
	assert_int_equal(config->queue.delay_warning, 4 * 3600);
	config_unref(config);
}

static void
routes_keep_the_order_of_the_conffile(void **state)
{
	struct config *config;

	(void)state;
	write_file("more.inc", "\nroute { relay = b recipient = {} }\n", 35, 0600);
	config = must_load(
	    "route { sender = {\"*@Work.example.org\", \"ann+*@x\"} relay = b }\n"
	    "include(\"more.inc\")\nrelay a { host = h }\nrelay b { host = h }\n"
	    "route { recipient = \"*@b\\303\\274cher.example\" sender = \"<>\" relay = a }\n");
	assert_int_equal(config->route_count, 3);
	assert_int_equal(config->routes[0].line, 1);
	assert_string_equal(config->routes[0].conffile, "test.conf");
	assert_int_equal(config->routes[0].sender_count, 2);
	assert_string_equal(config->routes[0].senders[0], "*@work.example.org");
	assert_int_equal(config->routes[0].recipient_count, 0);
	assert_ptr_equal(config->routes[0].target, &config->relays[1]);
	assert_string_equal(config->routes[1].conffile, "more.inc");
	assert_int_equal(config->routes[1].line, 2);
	assert_int_equal(config->routes[1].recipient_count, 0);
	assert_int_equal(config->routes[2].line, 5);
	assert_string_equal(config->routes[2].senders[0], "<>");
	assert_string_equal(config->routes[2].recipients[0], "*@xn--bcher-kva.example");
	assert_ptr_equal(config->routes[2].target, &config->relays[0]);
	config_unref(config);
}

static EVP_PKEY *
write_key(const char *name, const char *passphrase)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	FILE *file = fopen(name, "w");

	assert_non_null(file);
	assert_int_equal(
	    PEM_write_PrivateKey(file, key, passphrase != NULL ? EVP_aes_128_cbc() : NULL, NULL, 0,
		NULL, (void *)(uintptr_t)passphrase),
	    1);
	fclose(file);
	assert_int_equal(chmod(name, 0600), 0);
	return key;
}

static void
write_certificate(const char *name, EVP_PKEY *key)
{
	X509 *certificate = X509_new();
	FILE *file = fopen(name, "w");

	assert_non_null(file);
	X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
	X509_gmtime_adj(X509_getm_notAfter(certificate), 86400);
	X509_set_pubkey(certificate, key);
	assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
	assert_int_equal(PEM_write_X509(file, certificate), 1);
	fclose(file);
	X509_free(certificate);
}

static void
is_fault(const char *text, const char *fault)
{
	struct error err = { .text = "" };
	struct config *config = load_text(text, &err);

	if (config != NULL)
		fail_msg("loads, expected: %s", fault);
	if (strstr(err.text, fault) == NULL)
		fail_msg("%s\nexpected: %s", err.text, fault);
}

static void
certificates_must_fit_their_keys(void **state)
{
	char *text = mem_printf("state_directory = \"%s\" relay smarthost { host = h\n"
				"certificate = \"a.pem\"\nprivate_key = \"a.key\" }\n",
	    work);
	EVP_PKEY *key = write_key("a.key", NULL), *other = write_key("b.key", NULL);

	(void)state;
	write_certificate("a.pem", key);
	config_unref(must_load(text));
	assert_int_equal(chmod("a.key", 0644), 0);
	is_fault(text, "test.conf:3: private_key: ");
	is_fault(text, "a.key has mode 0644 and could be read by others");
	assert_int_equal(chmod("a.key", 0600), 0);
	write_certificate("a.pem", other);
	is_fault(text, "test.conf:3: private_key: ");
	is_fault(text, "a.key is not the key of ");
	write_file("a.pem", "hello\n", 6, 0644);
	is_fault(text, "test.conf:2: certificate: ");
	is_fault(text, "allowed is PEM");
	write_certificate("a.pem", key);
	write_file("a.key", "hello\n", 6, 0600);
	is_fault(text, "test.conf:3: private_key: ");
	EVP_PKEY_free(write_key("a.key", "sesame"));
	is_fault(text, "test.conf:3: private_key: ");
	EVP_PKEY_free(key);
	EVP_PKEY_free(other);
	free(text);
}

static void
secrets_are_one_line(void **state)
{
	char *text = mem_printf("relay smarthost { host = h username = u\n"
				"password = \"file:%s/open\" }\n",
	    work);
	char *big = mem_zalloc(4098);

	(void)state;
	memset(big, 'x', 4097);
	write_file("open", big, 4096, 0600);
	config_unref(must_load(text));
	write_file("open", big, 4097, 0600);
	is_fault(text, "test.conf:2: password: ");
	is_fault(text, "has 4097 octets, allowed are 1 to 4096");
	write_file("open", "\n", 1, 0600);
	is_fault(text, "has 0 octets");
	write_file("open", "one\n", 4, 0600);
	config_unref(must_load(text));
	write_file("open", "one\ntwo\n", 8, 0600);
	is_fault(text, "has a NUL, CR or second line");
	write_file("open", "one\r\n", 5, 0600);
	is_fault(text, "has a NUL, CR or second line");
	write_file("open", "o\0e\n", 4, 0600);
	is_fault(text, "has a NUL, CR or second line");
	free(text);
	free(big);
}

/* What stands in -T of all there is to a relay, and no secret. */
static void
relays_are_printed_whole(void **state)
{
	static const char *const lines[] = { "\tpassword = \"***\"\n",
		"\tauth = \"scram-sha-256\"\n", "\trate = {\"30/m\", \"500/d\"}\n",
		"\tsource_address = \"192.0.2.7\"\n", "\thost = {\"mx:25\"}\n",
		"\ttls = \"opportunistic\"\n", "\nroute {\n", "\tsender = {\"<>\", \"ann@x\"}\n",
		"\trecipient = {}\n", "\trelay = \"a\"\n", "\tdelay_warning = \"4h\"\n",
		"\thistory = \"1d\"\n" };
	struct config *config = must_load(
	    "relay a { host = \"192.0.2.1\" username = u password = \"command:/bin/echo sesame\"\n"
	    "auth = scram-sha-256 rate = {\"30/m\", \"500/d\"} source_address = \"192.0.2.7\" }\n"
	    "relay b { host = mx tls = opportunistic }\n"
	    "route { sender = {\"<>\", \"Ann@x\"} relay = a }\n");
	char *text = print(config);

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		if (strstr(text, lines[i]) == NULL)
			fail_msg("not printed: %s in\n%s", lines[i], text);
	assert_null(strstr(text, "sesame"));
	assert_string_equal(config->relays[0].password, "command:/bin/echo sesame");
	free(text);
	config_unref(config);
}

static void
relative_paths_have_their_directories(void **state)
{
	struct config *config;
	char *text;

	(void)state;
	write_file("hello", "hi %{time}\n", 11, 0600);
	write_file("secret", "s", 1, 0600);
	text = mem_printf(
	    "greeting g { listen = \"unix:g.sock\" file = hello }\n"
	    "relay smarthost { host = \"h:1\" username = u password = \"file:secret\" }\n"
	    "state_directory = \"%s\" runtime_directory = \"/run/x\"\n",
	    work);
	config = must_load(text);
	assert_string_equal(config->greetings[0].listen.items[0].text, "unix:/run/x/g.sock");
	assert_string_equal(config->greetings[0].text, "hi %{time}\n");
	assert_string_equal(config->control.items[0].text, "unix:/run/x/control.sock");
	free(text);
	text = mem_printf("%s/queue.db", work);
	assert_string_equal(config->queue.store, text);
	free(text);
	text = mem_printf("file:%s/secret", work);
	assert_string_equal(config->relay->password, text);
	free(text);
	text = print(config);
	assert_non_null(strstr(text, "password = \"***\""));
	assert_null(strstr(text, "secret\""));
	free(text);
	config_unref(config);
}

static void
secrets_that_others_could_read_are_refused(void **state)
{
	static const mode_t bad[] = { 0604, 0644, 0660, 0666, 0610, 0601 };
	char *text = mem_printf("relay smarthost { host = \"h:1\" username = u\n"
				"password = \"file:%s/open\" }\n",
	    work);
	struct error err;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		write_file("open", "s", 1, bad[i]);
		assert_null(load_text(text, &err));
		assert_non_null(strstr(err.text, "test.conf:2: password: "));
		assert_non_null(strstr(err.text, "could be read by others"));
	}
	write_file("open", "", 0, 0600);
	assert_null(load_text(text, &err));
	assert_non_null(strstr(err.text, "has 0 octets"));
	write_file("open", "s", 1, 0400);
	config_unref(must_load(text));
	unlink("open");
	assert_null(load_text(text, &err));
	assert_non_null(strstr(err.text, "No such file"));
	free(text);
}

/* 0640 is good where root owns it and the group is the daemon's. */
static void
a_secret_may_belong_to_our_group(void **state)
{
	const struct passwd *nobody = getpwnam("nobody");
	char *text = mem_printf("user = nobody relay smarthost { host = \"h:1\" username = u\n"
				"password = \"file:%s/open\" }\n",
	    work);
	struct error err;

	(void)state;
	if (geteuid() != 0 || nobody == NULL || nobody->pw_gid == 0) {
		free(text);
		skip();
	}
	write_file("open", "s", 1, 0640);
	assert_null(load_text(text, &err));
	assert_int_equal(chown("open", 0, nobody->pw_gid), 0);
	config_unref(must_load(text));
	assert_int_equal(chown("open", nobody->pw_uid, nobody->pw_gid), 0);
	assert_null(load_text(text, &err));
	assert_int_equal(chown("open", 0, nobody->pw_gid), 0);
	assert_int_equal(chmod("open", 0660), 0);
	assert_null(load_text(text, &err));
	free(text);
}

static void
greetings_may_be_any_text(void **state)
{
	struct error err;
	struct config *config;
	char *big = mem_zalloc(65 * 1024 + 100), *text;

	(void)state;
	text = mem_printf("greeting g { listen = \"127.0.0.1:1\"\nfile = \"%s/t\" }\n", work);
	memset(big, 'x', 64 * 1024 + 1);
	write_file("t", big, 64 * 1024, 0600);
	config = must_load(text);
	assert_int_equal(config->greetings[0].text_len, 64 * 1024);
	config_unref(config);
	write_file("t", big, 64 * 1024 + 1, 0600);
	assert_null(load_text(text, &err));
	assert_non_null(strstr(err.text, "too long, at most 65536 octets"));
	write_file("t", "a\xff", 2, 0600);
	assert_null(load_text(text, &err));
	assert_non_null(strstr(err.text, "not valid UTF-8"));
	write_file("t", "", 0, 0600);
	assert_null(load_text(text, &err));
	assert_non_null(strstr(err.text, "the greeting is empty"));
	write_file("t", "50 % off, 100%% sure, %", 23, 0600);
	config_unref(must_load(text));
	write_file("t", "%{nosuch", 8, 0600);
	assert_null(load_text(text, &err));
	assert_non_null(strstr(err.text, "test.conf:2: file: \"%{nosuch\" is not known"));
	free(text);
	free(big);
}

static void
changes_are_named(void **state)
{
	struct config *old = must_load(
	    "user = a\ngreeting welcome { listen = \"127.0.0.1:1\" text = a }\n"
	    "relay smarthost { host = \"h:1\" }\nrelay spare { host = \"h:1\" }\n");
	struct config *next = must_load(
	    "user = b\ngreeting welcome { listen = \"127.0.0.1:1\" text = b }\n"
	    "relay smarthost { host = \"h:2\" }\nquotes q { listen = \"127.0.0.1:1\" }\n");
	struct error err;
	char changes[200];

	(void)state;
	config_changes(old, old, changes, sizeof(changes));
	assert_string_equal(changes, "");
	config_changes(old, next, changes, sizeof(changes));
	assert_string_equal(
	    changes, "user, greeting.welcome.text, quotes.q, relay.smarthost.host, relay.spare");
	assert_true(config_reloadable(old, old, &err));
	assert_false(config_reloadable(old, next, &err));
	assert_string_equal(
	    err.text, "test.conf: user changed from \"a\" to \"b\", which needs a restart");
	config_unref(old);
	config_unref(next);
}

static void
changes_of_routes_are_named(void **state)
{
	static const char relays[] = "relay a { host = h }\nrelay b { host = h rate = \"%s\" }\n%s";
	static const struct {
		const char *rate, *routes, *changes;
	} rows[] = {
		{ "1/m", "route { sender = \"<>\" relay = a }\nroute { relay = b }\n", "" },
		{ "2/m", "route { sender = \"<>\" relay = a }\nroute { relay = b }\n",
		    "relay.b.rate" },
		{ "1/m", "route { relay = b }\nroute { sender = \"<>\" relay = a }\n", "route" },
		{ "1/m", "route { sender = \"<>\" relay = a }\n", "route" },
		{ "1/m", "route { sender = \"<>\" relay = a }\nroute { relay = a }\n", "route" },
		{ "1/h", "", "relay.b.rate, route" },
	};
	struct config *old = NULL;
	char changes[200];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *text = mem_printf(relays, rows[i].rate, rows[i].routes);
		struct config *next = must_load(text);

		free(text);
		if (old == NULL)
			old = next;
		config_changes(old, next, changes, sizeof(changes));
		assert_string_equal(changes, rows[i].changes);
		config_changes(next, old, changes, sizeof(changes));
		assert_string_equal(changes, rows[i].changes);
		if (next != old)
			config_unref(next);
	}
	config_unref(old);
}

static void
references_are_counted(void **state)
{
	struct config *config = must_load("user = a\n");
	const struct config *second = config_ref(config);

	(void)state;
	config_unref(config);
	assert_string_equal(second->user, "a");
	config_unref(second);
	config_unref(NULL);
}

static void
a_fault_leaves_nothing_for_the_next_load(void **state)
{
	static const char *const broken[] = { "user = \"a\n", "user = 'a", "greeting g {", "/* a",
		"user = ${", "log { level = {", "include(\"test.conf\")", "include(", "\"", "{",
		"=", "(" };
	struct error err;

	(void)state;
	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		struct config *config = load_text(broken[i], &err);

		config_unref(config);
		config = must_load("# one\n# two\nuser = b\n");
		assert_string_equal(config->user, "b");
		config_unref(config);
		assert_null(load_text("# one\n/* two\n */ nosuch = b\n", &err));
		assert_non_null(strstr(err.text, "test.conf:3: unknown key \"nosuch\""));
	}
}

static void
odd_octets_are_refused(void **state)
{
	struct error err;

	(void)state;
	write_file("nul.conf", "user = a\nuser\0 = b\n", 19, 0600);
	assert_null(config_load("nul.conf", &err));
	assert_string_equal(err.text, "nul.conf:2: a NUL octet: the file must be text");
	assert_null(load_text("\n\nuser = \"\xc3\x28\"\n", &err));
	assert_string_equal(err.text, "test.conf:3: not valid UTF-8");
}

static void
comments_do_not_count_twice(void **state)
{
	struct config *config = must_load(
	    "# a\nquotes q { // b\n listen = { # c\n \"127.0.0.1:1\", /* d\n */"
	    " \"127.0.0.1:2\" # e\n }\n quotes = {'#1 \" /* x */', \"// \\\" # y\"}\n}");

	(void)state;
	assert_int_equal(config->quotes[0].line, 2);
	assert_int_equal(config->quotes[0].listen.count, 2);
	assert_string_equal(config->quotes[0].quotes[0], "#1 \" /* x */");
	assert_string_equal(config->quotes[0].quotes[1], "// \" # y");
	config_unref(config);
}

static int
enter_work(void **state)
{
	(void)state;
	return mkdtemp(work) != NULL && chdir(work) == 0 ? 0 : -1;
}

static int
leave_work(void **state)
{
	static const char *const names[] = { "test.conf", "printed.conf", "nul.conf", "fifo.conf",
		"hello", "secret", "open", "t", "more.inc", "a.key", "b.key", "a.pem" };

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unlink(names[i]);
	return chdir("/") == 0 && rmdir(work) == 0 ? 0 : -1;
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_files_load),
		cmocka_unit_test(bad_files_are_refused),
		cmocka_unit_test(missing_files_are_named),
		cmocka_unit_test(defaults_are_those_of_the_manual),
		cmocka_unit_test(an_empty_file_is_a_configuration),
		cmocka_unit_test(ports_follow_from_tls),
		cmocka_unit_test(mx_stands_for_the_hosts),
		cmocka_unit_test(rates_may_be_several),
		cmocka_unit_test(delay_warning_fits_into_lifetime),
		cmocka_unit_test(routes_keep_the_order_of_the_conffile),
		cmocka_unit_test(certificates_must_fit_their_keys),
		cmocka_unit_test(secrets_are_one_line),
		cmocka_unit_test(relays_are_printed_whole),
		cmocka_unit_test(relative_paths_have_their_directories),
		cmocka_unit_test(secrets_that_others_could_read_are_refused),
		cmocka_unit_test(a_secret_may_belong_to_our_group),
		cmocka_unit_test(greetings_may_be_any_text),
		cmocka_unit_test(changes_are_named),
		cmocka_unit_test(changes_of_routes_are_named),
		cmocka_unit_test(references_are_counted),
		cmocka_unit_test(a_fault_leaves_nothing_for_the_next_load),
		cmocka_unit_test(odd_octets_are_refused),
		cmocka_unit_test(comments_do_not_count_twice),
	};
	const char *source = getenv("HERALD_SRCDIR");
	char relative[400];

	if (argc > 1)
		snprintf(relative, sizeof(relative), "%s", argv[1]);
	else
		snprintf(relative, sizeof(relative), "%s/tests/conf",
		    source != NULL		   ? source
			: getenv("srcdir") != NULL ? getenv("srcdir")
						   : ".");
	if (realpath(relative, folder) == NULL) {
		perror(relative);
		return 1;
	}
	return cmocka_run_group_tests(tests, enter_work, leave_work);
}
