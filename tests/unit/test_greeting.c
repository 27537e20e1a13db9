/* test_greeting.c - the TCP service on loopback: text, limits, bad clients, reload, TLS. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/service.h"
#include "conf/config.h"
#include "net/loop.h"
#include "net/socket.h"
#include "services/greeting.h"
#include "services/template.h"

#define HELLO "您好，您收到了服务器的新年祝福！"

static struct loop *loop;
static struct socket_pool *pool;
static struct greeting *greeting;
static uint16_t port;
static char work[] = "/tmp/herald-greeting.XXXXXX";

static uint16_t
free_port(void)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	socklen_t len = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
	close(fd);
	return ntohs(in.sin_port);
}

static void
write_file(const char *path, const char *octets, size_t len)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(octets, 1, len, file), len);
	fclose(file);
}

static struct config *
load(const char *keys, struct error *err)
{
	char *text = mem_printf("hostname = \"h.example.org\"\nstate_directory = \"%s\"\n"
				"runtime_directory = \"%s\"\ngreeting welcome {\n"
				"listen = {\"127.0.0.1:%u\", \"unix:g.sock\"} %s\n}\n",
	    work, work, port, keys);
	struct config *config;

	write_file("herald.conf", text, strlen(text));
	free(text);
	config = config_load("herald.conf", err);
	if (config == NULL)
		fail_msg("%s", err->text);
	return config;
}

static void
apply(const char *keys)
{
	struct error err;
	struct config *config = load(keys, &err);
	void *prepared = greeting_service.prepare(greeting, config, &err);

	if (prepared == NULL)
		fail_msg("%s", err.text);
	greeting_service.commit(greeting, prepared, config);
	config_unref(config);
}

/* Turns the loop until nothing has happened for a moment. */
static void
settle(void)
{
	for (int i = 0; i < 4; i++)
		loop_turn(loop, 5);
}

static int
client_from(const char *from)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct timeval brief = { 2, 0 };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	inet_pton(AF_INET, from, &in.sin_addr);
	assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	in.sin_port = htons(port);
	inet_pton(AF_INET, "127.0.0.1", &in.sin_addr);
	assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &brief, sizeof(brief));
	return fd;
}

static int
client(void)
{
	int fd = client_from("127.0.0.1");

	settle();
	return fd;
}

static int
unix_client(void)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(un.sun_path, sizeof(un.sun_path), "%s/g.sock", work);
	assert_int_equal(connect(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	return fd;
}

/* All until the end, while the loop turns; -1 when it ended by a reset or not at all. */
static ssize_t
read_all(int fd, char *out, size_t size)
{
	size_t len = 0;

	for (int idle = 0; idle < 100;) {
		ssize_t got = recv(fd, out + len, size - len, MSG_DONTWAIT);

		if (got == 0) {
			out[len] = '\0';
			return (ssize_t)len;
		}
		if (got > 0)
			len += (size_t)got;
		else if (errno != EAGAIN)
			return -1;
		idle = got > 0 ? 0 : idle + 1;
		loop_turn(loop, 5);
	}
	return -1;
}

static void
expect(int fd, const char *text)
{
	char got[8192];

	assert_int_equal(read_all(fd, got, sizeof(got) - 1), strlen(text));
	assert_string_equal(got, text);
	close(fd);
	settle();
}

static json_int_t
counted(const char *what)
{
	json_t *status = greeting_service.status(greeting);
	json_t *value = json_object_get(json_object_get(status, "welcome"), what);
	json_int_t count = json_integer_value(value);

	assert_non_null(value);
	json_decref(status);
	return count;
}

static void
the_text_comes_exactly_and_then_the_end(void **state)
{
	(void)state;
	apply("");
	for (int i = 0; i < 3; i++)
		expect(client(), HELLO);
	assert_int_equal(counted("connections"), 3);
	assert_int_equal(counted("served"), 3);
	assert_int_equal(counted("octets"), 3 * strlen(HELLO));
	assert_int_equal(counted("active"), 0);
}

static void
variables_are_replaced(void **state)
{
	struct sockaddr_in in;
	socklen_t len = sizeof(in);
	char expected[200];
	int fd;

	(void)state;
	clock_set(INT64_C(1700000000) * 1000000);
	setenv("TZ", "UTC", 1);
	apply("text = \"%{client_address}|%{client_port}|%{hostname}|%{time}|%%{time}|100%\\n\"");
	fd = client();
	getsockname(fd, (struct sockaddr *)&in, &len);
	snprintf(expected, sizeof(expected),
	    "127.0.0.1|%u|h.example.org|2023-11-14T22:13:20+00:00|%%{time}|100%%\n",
	    ntohs(in.sin_port));
	expect(fd, expected);
}

static void
unix_sockets_are_served(void **state)
{
	struct stat status;

	(void)state;
	apply("text = \"to %{client_address}\" allow = {\"192.0.2.0/24\"}");
	assert_int_equal(stat("g.sock", &status), 0);
	assert_int_equal(status.st_mode & 0777, 0666);
	expect(unix_client(), "to unix");
}

static void
networks_are_allowed_or_denied(void **state)
{
	(void)state;
	apply("allow = {\"127.0.0.0/16\"} deny = {\"127.0.0.9/32\"}");
	expect(client(), HELLO);
	expect(client_from("127.0.0.9"), "");
	expect(client_from("127.1.0.1"), "");
	assert_int_equal(counted("denied"), 2);
}

static void
one_client_has_its_share(void **state)
{
	int a, b;

	(void)state;
	apply("max_connections_per_client = 2");
	a = client();
	b = client();
	expect(client(), "");
	expect(client_from("127.0.0.2"), HELLO);
	expect(a, HELLO);
	expect(client(), HELLO);
	expect(b, HELLO);
	assert_int_equal(counted("limited"), 1);
}

static void
all_clients_have_a_limit(void **state)
{
	int fds[40];
	char got[100];
	unsigned served = 0;

	(void)state;
	apply("max_connections = 10 max_connections_per_client = 1000");
	for (int i = 0; i < 40; i++)
		fds[i] = client_from("127.0.0.1");
	settle();
	assert_int_equal(counted("active"), 10);
	for (int i = 0; i < 40; i++) {
		served += read_all(fds[i], got, sizeof(got) - 1) > 0;
		close(fds[i]);
	}
	settle();
	assert_int_equal(served, 10);
	assert_int_equal(counted("limited"), 30);
	assert_int_equal(counted("active"), 0);
}

static void
a_client_that_talks_first_gets_no_reset(void **state)
{
	char words[20000];
	int fd = -1;

	(void)state;
	memset(words, 'x', sizeof(words));
	apply("");
	fd = client_from("127.0.0.1");
	assert_int_equal(send(fd, words, sizeof(words), 0), (ssize_t)sizeof(words));
	settle();
	assert_int_equal(send(fd, words, sizeof(words), 0), (ssize_t)sizeof(words));
	settle();
	expect(fd, HELLO);
	assert_int_equal(counted("served"), 1);
}

static void
a_client_that_never_stops_is_cut_off(void **state)
{
	char words[16384];
	int fd, sent = 0;

	(void)state;
	memset(words, 'x', sizeof(words));
	apply("");
	fd = client();
	while (counted("active") > 0 && sent++ < 1000) {
		send(fd, words, sizeof(words), MSG_NOSIGNAL | MSG_DONTWAIT);
		loop_turn(loop, 1);
	}
	assert_in_range(sent, 10, 40);
	close(fd);
}

static void
a_client_that_does_not_close_is_cut_off(void **state)
{
	int64_t now = INT64_C(1700000000) * 1000000;
	int fd;

	(void)state;
	clock_set(now);
	apply("timeout = 3s");
	fd = client();
	clock_set(now + 2900000);
	usleep(300000);
	settle();
	assert_int_equal(counted("active"), 1);
	clock_set(now + 3000000);
	usleep(300000);
	settle();
	assert_int_equal(counted("active"), 0);
	assert_int_equal(counted("timeouts"), 1);
	close(fd);
}

#define TIMES	 9000
#define TIME_LEN 25 /* "2023-11-14T22:13:20+00:00" */

/* A text that no UNIX socket takes at once: 63000 octets that become 225000.  (TCP over
 * loopback may take more than 2 MiB.) */
static void
apply_long(const char *keys)
{
	char *text = mem_alloc(TIMES * 7 + 1);
	char *all = mem_printf("file = \"long\" %s", keys);

	setenv("TZ", "UTC", 1);
	for (int i = 0; i < TIMES; i++)
		snprintf(text + i * 7, 8, "%%{time}");
	write_file("long", text, TIMES * 7);
	apply(all);
	free(text);
	free(all);
}

static void
expect_long(int fd)
{
	char *got = mem_alloc(TIMES * TIME_LEN + 1);

	assert_int_equal(read_all(fd, got, TIMES * TIME_LEN + 1), TIMES * TIME_LEN);
	for (int i = 0; i < TIMES; i++)
		assert_memory_equal(got + i * TIME_LEN, "2023-11-14T22:13:20+00:00", TIME_LEN);
	free(got);
	close(fd);
}

static void
a_text_longer_than_the_socket_comes_whole(void **state)
{
	int fd;

	(void)state;
	clock_set(INT64_C(1700000000) * 1000000);
	apply_long("");
	fd = unix_client();
	settle();
	assert_int_equal(counted("served"), 0);
	expect_long(fd);
	settle();
	assert_int_equal(counted("served"), 1);
	assert_int_equal(counted("octets"), TIMES * TIME_LEN);
	assert_int_equal(counted("active"), 0);
}

static void
a_client_that_never_reads_is_cut_off(void **state)
{
	int64_t now = INT64_C(1700000000) * 1000000;
	int fds[100];

	(void)state;
	clock_set(now);
	apply_long("timeout = 2s max_connections_per_client = 100");
	for (int i = 0; i < 100; i++)
		fds[i] = unix_client();
	settle();
	assert_int_equal(counted("active"), 100);
	clock_set(now + 2000000);
	usleep(300000);
	settle();
	assert_int_equal(counted("active"), 0);
	assert_int_equal(counted("served"), 0);
	assert_int_equal(counted("timeouts"), 100);
	for (int i = 0; i < 100; i++)
		close(fds[i]);
}

static void
a_client_that_resets_is_forgotten(void **state)
{
	(void)state;
	apply_long("");
	for (int i = 0; i < 10; i++) {
		int fd = unix_client();

		if (i % 2 == 0)
			settle();
		close(fd);
		settle();
	}
	assert_int_equal(counted("active"), 0);
	assert_int_equal(counted("errors"), 10);
}

static void
a_reload_leaves_clients_alone(void **state)
{
	int old, again;

	(void)state;
	apply("text = \"one\" max_connections_per_client = 1");
	old = client();
	apply("text = \"two\" max_connections_per_client = 5");
	again = client();
	expect(again, "two");
	expect(old, "one");
	assert_int_equal(counted("served"), 2);
}

/* Stopping waits for those that do not have the whole text yet, and for no others. */
static void
draining_waits_for_the_text(void **state)
{
	int idle, slow;

	(void)state;
	clock_set(INT64_C(1700000000) * 1000000);
	apply("");
	idle = client();
	apply_long("");
	slow = unix_client();
	settle();
	assert_false(greeting_service.drain(greeting));
	expect_long(slow);
	settle();
	assert_true(greeting_service.drain(greeting));
	expect(idle, HELLO);
}

static void
an_abandoned_reload_changes_nothing(void **state)
{
	struct config *config;
	struct error err;
	void *prepared;

	(void)state;
	apply("text = \"one\"");
	config = load("text = \"two\"", &err);
	prepared = greeting_service.prepare(greeting, config, &err);
	assert_non_null(prepared);
	greeting_service.abandon(greeting, prepared);
	config_unref(config);
	expect(client(), "one");
}

static void
make_certificate(void)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *certificate = X509_new();
	FILE *file;

	ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
	X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
	X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
	X509_set_pubkey(certificate, key);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
	    (const unsigned char *)"localhost", -1, -1, 0);
	X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
	assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
	file = fopen("cert.pem", "w");
	PEM_write_X509(file, certificate);
	fclose(file);
	file = fopen("key.pem", "w");
	PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL);
	fclose(file);
	X509_free(certificate);
	EVP_PKEY_free(key);
}

/* What was right when the conffile was read may be gone a moment later. */
static void
what_cannot_be_prepared_is_named(void **state)
{
	struct config *config;
	struct error err;
	int taken = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(port) };

	(void)state;
	make_certificate();
	config = load("tls = implicit certificate = cert.pem private_key = key.pem", &err);
	write_file("cert.pem", "no certificate", 14);
	assert_null(greeting_service.prepare(greeting, config, &err));
	assert_memory_equal(err.text, "herald.conf:4: ", 15);
	config_unref(config);
	inet_pton(AF_INET, "127.0.0.1", &in.sin_addr);
	assert_int_equal(bind(taken, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(listen(taken, 1), 0);
	config = load("", &err);
	assert_null(greeting_service.prepare(greeting, config, &err));
	assert_memory_equal(err.text, "herald.conf:4: greeting welcome: ", 33);
	config_unref(config);
	close(taken);
}

/* ---- TLS */

static void
tls_is_spoken_from_the_first_octet(void **state)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	SSL *ssl = SSL_new(context);
	char got[200];
	int len = 0, fd;

	(void)state;
	make_certificate();
	apply("tls = implicit certificate = \"cert.pem\" private_key = \"key.pem\"");
	fd = client();
	fcntl(fd, F_SETFL, O_NONBLOCK);
	SSL_set_fd(ssl, fd);
	SSL_set_connect_state(ssl);
	for (int i = 0; i < 200 && len <= 0; i++) {
		len = SSL_read(ssl, got, sizeof(got));
		settle();
	}
	assert_int_equal(len, strlen(HELLO));
	assert_memory_equal(got, HELLO, (size_t)len);
	assert_int_equal(SSL_read(ssl, got, sizeof(got)), 0);
	assert_int_equal(SSL_get_error(ssl, 0), SSL_ERROR_ZERO_RETURN);
	assert_int_equal(counted("served"), 1);
	SSL_free(ssl);
	SSL_CTX_free(context);
	close(fd);
	settle();
	assert_int_equal(counted("active"), 0);
}

static void
tls_that_fails_harms_nobody(void **state)
{
	int64_t now = INT64_C(1700000000) * 1000000;
	int plain, silent;

	(void)state;
	make_certificate();
	clock_set(now);
	apply("tls = implicit certificate = \"cert.pem\" private_key = \"key.pem\" timeout = 2s");
	plain = client();
	assert_int_equal(send(plain, "GET / HTTP/1.0\r\n\r\n", 18, 0), 18);
	settle();
	assert_int_equal(counted("errors"), 1);
	silent = client();
	assert_int_equal(counted("active"), 1);
	clock_set(now + 2000000);
	usleep(300000);
	settle();
	assert_int_equal(counted("active"), 0);
	assert_int_equal(counted("timeouts"), 1);
	assert_int_equal(counted("served"), 0);
	close(plain);
	close(silent);
}

static void
templates_keep_what_is_no_variable(void **state)
{
	static const struct {
		const char *text, *rendered;
	} cases[] = {
		{ "", "" },
		{ "%", "%" },
		{ "%%", "%" },
		{ "%%%", "%%" },
		{ "a%b", "a%b" },
		{ "%{hostname}", "H" },
		{ "%%{hostname}", "%{hostname}" },
		{ "%{nosuch}", "%{nosuch}" },
		{ "%{hostname}%{client_address}x%", "HAx%" },
		{ "50% %{client_port}", "50% 7" },
	};
	struct template_values values = {
		.client_address = "A", .hostname = "H", .client_port = 7
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct template *template = template_new(cases[i].text, strlen(cases[i].text));
		struct buf out = { 0 };
		const char *constant;
		size_t len;

		template_render(template, &values, &out);
		assert_string_equal(buf_text(&out), cases[i].rendered);
		constant = template_constant(template, &len);
		assert_int_equal(constant == NULL,
		    strstr(cases[i].text, "%{hostname}") != NULL &&
			    strstr(cases[i].text, "%%{") == NULL
			? 1
			: strstr(cases[i].text, "port") != NULL);
		if (constant != NULL) {
			assert_int_equal(len, out.len);
			assert_memory_equal(constant, buf_octets(&out), len);
		}
		buf_free(&out);
		template_free(template);
	}
}

static int
set_up(void **state)
{
	struct error err;

	(void)state;
	loop = loop_new(&err);
	pool = socket_pool_new();
	greeting = greeting_new(loop, pool);
	port = free_port();
	return loop != NULL ? 0 : -1;
}

static int
tear_down(void **state)
{
	(void)state;
	clock_set(-1);
	greeting_service.destroy(greeting);
	loop_turn(loop, 0);
	socket_pool_free(pool);
	loop_free(loop);
	return 0;
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_text_comes_exactly_and_then_the_end),
		TEST(variables_are_replaced),
		TEST(unix_sockets_are_served),
		TEST(networks_are_allowed_or_denied),
		TEST(one_client_has_its_share),
		TEST(all_clients_have_a_limit),
		TEST(a_client_that_talks_first_gets_no_reset),
		TEST(a_client_that_never_stops_is_cut_off),
		TEST(a_client_that_does_not_close_is_cut_off),
		TEST(a_text_longer_than_the_socket_comes_whole),
		TEST(a_client_that_never_reads_is_cut_off),
		TEST(a_client_that_resets_is_forgotten),
		TEST(a_reload_leaves_clients_alone),
		TEST(draining_waits_for_the_text),
		TEST(an_abandoned_reload_changes_nothing),
		TEST(what_cannot_be_prepared_is_named),
		TEST(tls_is_spoken_from_the_first_octet),
		TEST(tls_that_fails_harms_nobody),
		TEST(templates_keep_what_is_no_variable),
	};
	static const char *const files[] = { "herald.conf", "long", "cert.pem", "key.pem",
		"g.sock" };
	int failed;

	if (mkdtemp(work) == NULL || chdir(work) == -1)
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		unlink(files[i]);
	return chdir("/") == 0 && rmdir(work) == 0 ? failed : 1;
}
