/* test_resolver.c - names to addresses, against a DNS server of the test's own. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "dns_fixture.h"
#include "net/loop.h"
#include "net/resolver.h"

struct fixture {
	struct loop *loop;
	struct resolver *resolver;
	struct resolver_query *query;
	struct dns_server dns;
	int answers;
	enum resolver_outcome outcome;
	struct endpoint addresses[16];
	struct resolver_mx records[RESOLVER_MX_MAX];
	size_t count;
	char text[200];
};

static const struct dns_row rows[] = {
	{ "both.example.org", ns_t_a, 0, "192.0.2.1" },
	{ "both.example.org", ns_t_aaaa, 0, "2001:db8::1" },
	{ "four.example.org", ns_t_a, 0, "192.0.2.1" },
	{ "many.example.org", ns_t_a, 0, "192.0.2.1" },
	{ "many.example.org", ns_t_a, 0, "192.0.2.2" },
	{ "many.example.org", ns_t_a, 0, "192.0.2.3" },
	{ "many.example.org", ns_t_a, 0, "192.0.2.4" },
	{ "many.example.org", ns_t_a, 0, "192.0.2.5" },
	{ "many.example.org", ns_t_a, 0, "192.0.2.6" },
	{ "many.example.org", ns_t_a, 0, "192.0.2.7" },
	{ "many.example.org", ns_t_a, 0, "192.0.2.8" },
	{ "many.example.org", ns_t_aaaa, 0, "2001:db8::1" },
	{ "many.example.org", ns_t_aaaa, 0, "2001:db8::2" },
	{ "many.example.org", ns_t_aaaa, 0, "2001:db8::3" },
	{ "none.example.org", DNS_NOTHING, 0, NULL },
	{ "fail.example.org", DNS_CODE, ns_r_servfail, NULL },
	{ "refused.example.org", DNS_CODE, ns_r_refused, NULL },
	{ "mute.example.org", DNS_MUTE, 0, NULL },
	{ "mail.example.org", ns_t_mx, 20, "mx2.example.org" },
	{ "mail.example.org", ns_t_mx, 10, "mx1.example.org" },
	{ "mail.example.org", ns_t_mx, 10, "mx0.example.org" },
	{ "null.example.org", ns_t_mx, 0, "" },
	{ "alias.example.org", ns_t_cname, 0, "mail.example.org" },
	{ "one.example.org", ns_t_cname, 0, "two.example.org" },
	{ "two.example.org", ns_t_cname, 0, "one.example.org" },
	{ "localhost", ns_t_mx, 10, "mx1.example.org" },
	{ NULL, 0, 0, NULL },
};

static int
set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct error err;

	f->loop = loop_new(&err);
	dns_start(&f->dns, f->loop, rows);
	f->resolver = resolver_new(f->loop, &err);
	assert_non_null(f->resolver);
	assert_true(resolver_use_server(f->resolver, f->dns.address, &err));
	*state = f;
	return 0;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;

	resolver_free(f->resolver);
	dns_stop(&f->dns);
	loop_free(f->loop);
	free(f);
	return 0;
}

static void
on_done(void *arg, enum resolver_outcome outcome, const struct endpoint *addresses, size_t count,
    const char *text)
{
	struct fixture *f = arg;

	f->answers++;
	f->outcome = outcome;
	f->count = count;
	if (count > 0)
		memcpy(f->addresses, addresses, count * sizeof(*addresses));
	snprintf(f->text, sizeof(f->text), "%s", text);
	resolver_cancel(f->query);		/* too late, and harmless */
}

static void
on_mx(void *arg, enum resolver_outcome outcome, const struct resolver_mx *records, size_t count,
    const char *text)
{
	struct fixture *f = arg;

	on_done(f, outcome, NULL, 0, text);
	f->count = count;
	memcpy(f->records, records, count * sizeof(*records));
}

static void
await(struct fixture *f)
{
	int64_t deadline = clock_monotonic_us() + 40000000;

	assert_int_equal(f->answers, 0);
	while (f->answers == 0 && clock_monotonic_us() < deadline)
		loop_turn(f->loop, 100);
	assert_int_equal(f->answers, 1);
	loop_turn(f->loop, 0);
	assert_int_equal(f->answers, 1);
}

static void
ask(struct fixture *f, const char *host)
{
	f->answers = 0;
	f->query = resolver_addresses(f->resolver, host, 25, on_done, f);
	await(f);
}

static void
ask_mx(struct fixture *f, const char *domain)
{
	f->answers = 0;
	f->query = resolver_mx(f->resolver, domain, on_mx, f);
	await(f);
}

static void
test_found(void **state)
{
	struct fixture *f = *state;

	ask(f, "both.example.org");
	assert_int_equal(f->outcome, RESOLVER_FOUND);
	assert_int_equal(f->count, 2);
	assert_string_equal(f->addresses[0].text, "[2001:db8::1]:25");
	assert_string_equal(f->addresses[1].text, "192.0.2.1:25");
	ask(f, "four.example.org");
	assert_int_equal(f->outcome, RESOLVER_FOUND);
	assert_int_equal(f->count, 1);
	assert_string_equal(f->addresses[0].text, "192.0.2.1:25");
}

static void
test_many_are_cut(void **state)
{
	struct fixture *f = *state;

	ask(f, "many.example.org");
	assert_int_equal(f->count, 10);
	for (size_t i = 0; i < 10; i++)
		assert_int_equal(f->addresses[i].address.any.sa_family,
		    i < 6 && i % 2 == 0 ? AF_INET6 : AF_INET);
}

static void
test_not_found(void **state)
{
	struct fixture *f = *state;

	ask(f, "gone.example.org");
	assert_int_equal(f->outcome, RESOLVER_NO_SUCH_NAME);
	assert_string_equal(f->text, "no such host");
	ask(f, "none.example.org");
	assert_int_equal(f->outcome, RESOLVER_NO_ADDRESS);
	ask(f, "one.example.org");
	assert_int_equal(f->outcome, RESOLVER_FAILED);
	ask(f, "refused.example.org");
	assert_int_equal(f->outcome, RESOLVER_FAILED);
	ask(f, "fail.example.org");
	assert_int_equal(f->outcome, RESOLVER_FAILED);
	assert_int_equal(f->count, 0);
}

static void
test_literals(void **state)
{
	struct fixture *f = *state;

	ask(f, "192.0.2.9");
	assert_int_equal(f->outcome, RESOLVER_FOUND);
	assert_string_equal(f->addresses[0].text, "192.0.2.9:25");
	ask(f, "2001:db8::9");
	assert_string_equal(f->addresses[0].text, "[2001:db8::9]:25");
	assert_int_equal(f->count, 1);
	assert_int_equal(f->dns.asked, 0);
}

static void
test_no_names(void **state)
{
	struct fixture *f = *state;
	char name[400];

	ask(f, "");
	assert_int_equal(f->outcome, RESOLVER_NO_SUCH_NAME);
	memset(name, 'a', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	ask(f, name);
	assert_int_equal(f->outcome, RESOLVER_NO_SUCH_NAME);
	name[100] = '\0';			/* a label of 100 octets */
	ask(f, name);
	assert_true(f->outcome != RESOLVER_FOUND);
	assert_int_equal(f->dns.asked, 0);
}

static void
test_localhost(void **state)
{
	struct fixture *f = *state;

	ask(f, "localhost");
	assert_int_equal(f->outcome, RESOLVER_FOUND);
	for (size_t i = 0; i < f->count; i++) {
		char host[ENDPOINT_ADDRESS_MAX];

		endpoint_host(&f->addresses[i], host);
		assert_true(strcmp(host, "127.0.0.1") == 0 || strcmp(host, "::1") == 0);
	}
	assert_int_equal(f->dns.asked, 0);
}

static void
test_cancel(void **state)
{
	struct fixture *f = *state;

	f->query = resolver_addresses(f->resolver, "both.example.org", 25, on_done, f);
	resolver_cancel(f->query);
	f->query = resolver_addresses(f->resolver, "localhost", 25, on_done, f);
	resolver_cancel(f->query);
	f->query = resolver_addresses(f->resolver, "192.0.2.1", 25, on_done, f);
	resolver_cancel(f->query);
	for (int i = 0; i < 20; i++)
		loop_turn(f->loop, 10);
	assert_int_equal(f->answers, 0);
	ask(f, "both.example.org");
	assert_int_equal(f->count, 2);
}

static void
test_freed_with_queries_under_way(void **state)
{
	struct fixture *f = *state;

	f->dns.is_mute = true;
	for (int i = 0; i < 5; i++) {
		char host[40];

		snprintf(host, sizeof(host), "both%d.example.org", i);
		resolver_addresses(f->resolver, host, 25, on_done, f);
	}
	for (int i = 0; i < 20; i++)
		loop_turn(f->loop, 10);
	assert_true(f->dns.asked > 0);
	resolver_free(f->resolver);
	f->resolver = NULL;
	loop_turn(f->loop, 10);
	assert_int_equal(f->answers, 0);
}

/* A server that never answers: failed, and in bounded time. */
static void
test_mute_server(void **state)
{
	struct fixture *f = *state;
	int64_t start = clock_monotonic_us();

	f->dns.is_mute = true;
	ask(f, "both.example.org");
	assert_int_equal(f->outcome, RESOLVER_FAILED);
	assert_in_range(clock_monotonic_us() - start, 0, 35000000);
}

/* --- mail exchangers --- */

static void
test_mx(void **state)
{
	struct fixture *f = *state;

	ask_mx(f, "mail.example.org");
	assert_int_equal(f->outcome, RESOLVER_FOUND);
	assert_string_equal(f->text, "");
	assert_int_equal(f->count, 3);
	assert_int_equal(f->records[0].preference, 10);
	assert_int_equal(f->records[1].preference, 10);
	assert_string_equal(f->records[2].host, "mx2.example.org");
	ask_mx(f, "Alias.example.org");
	assert_int_equal(f->count, 3);
}

/* From the cache the order is the servers', and shuffled all the same. */
static void
test_mx_shuffled(void **state)
{
	struct fixture *f = *state;
	char first[2][21] = { "", "" };

	for (int round = 0; round < 2; round++) {
		resolver_set_seed(f->resolver, 5);
		for (int i = 0; i < 20; i++) {
			ask_mx(f, "mail.example.org");
			first[round][i] = f->records[0].host[2];
		}
	}
	assert_non_null(strchr(first[0], '0'));
	assert_non_null(strchr(first[0], '1'));
	assert_string_equal(first[0], first[1]);
}

static void
test_mx_not_found(void **state)
{
	const struct { const char *domain; enum resolver_outcome outcome; const char *text; }
	cases[] = {
		{ "gone.example.org", RESOLVER_NO_SUCH_NAME, "no such domain" },
		{ "both.example.org", RESOLVER_NO_ADDRESS, "the domain has no MX record" },
		{ "null.example.org", RESOLVER_NULL_MX, "the domain takes no mail" },
		{ "fail.example.org", RESOLVER_FAILED, "the DNS lookup failed" },
		{ "refused.example.org", RESOLVER_FAILED, "the DNS lookup failed" },
		{ "one.example.org", RESOLVER_FAILED, "the DNS lookup failed" },
		{ "", RESOLVER_NO_SUCH_NAME, "not a domain" },
		{ "192.0.2.1", RESOLVER_NO_SUCH_NAME, "not a domain" },
		{ "2001:db8::1", RESOLVER_NO_SUCH_NAME, "not a domain" },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ask_mx(f, cases[i].domain);
		assert_int_equal(f->outcome, cases[i].outcome);
		assert_string_equal(f->text, cases[i].text);
		assert_int_equal(f->count, 0);
	}
}

static void
test_mx_cancel(void **state)
{
	struct fixture *f = *state;

	for (int turns = 0; turns < 6; turns++) {
		f->query = resolver_mx(f->resolver, "mail.example.org", on_mx, f);
		for (int i = 0; i < turns && f->answers == 0; i++)
			loop_turn(f->loop, 1);
		if (f->answers == 0)
			resolver_cancel(f->query);
		f->answers = 0;
	}
	resolver_mx(f->resolver, "mute.example.org", on_mx, f);
	loop_turn(f->loop, 10);
	assert_int_equal(f->answers, 0);
}

/* A server that was dead is asked again soon when it is back, which libunbound would not do. */
static void
test_server_comes_back(void **state)
{
	struct fixture *f = *state;
	char host[40];
	int64_t start;

	f->dns.is_mute = true;
	for (int i = 0; i < 20; i++) {
		snprintf(host, sizeof(host), "gone%d.example.org", i);
		resolver_addresses(f->resolver, host, 25, on_done, f);
	}
	while (f->answers < 20)
		loop_turn(f->loop, 100);
	f->dns.is_mute = false;
	start = clock_monotonic_us();
	do
		ask(f, "both.example.org");
	while (f->outcome != RESOLVER_FOUND && clock_monotonic_us() - start < 14000000);
	assert_int_equal(f->outcome, RESOLVER_FOUND);
}

/* What was asked before goes on, what comes after it goes to the new server. */
static void
test_renewed_while_asked(void **state)
{
	struct fixture *f = *state;
	struct dns_server other;
	struct error err;

	dns_start(&other, f->loop, rows);
	f->query = resolver_addresses(f->resolver, "both.example.org", 25, on_done, f);
	assert_true(resolver_use_server(f->resolver, other.address, &err));
	await(f);
	assert_int_equal(f->outcome, RESOLVER_FOUND);
	assert_int_equal(other.asked, 0);
	assert_true(f->dns.asked > 0);
	f->dns.asked = 0;
	ask_mx(f, "mail.example.org");
	ask(f, "four.example.org");
	assert_true(other.asked > 0);
	assert_int_equal(f->dns.asked, 0);
	resolver_refresh(f->resolver);			/* nothing has changed */
	ask(f, "four.example.org");
	assert_int_equal(f->count, 1);
	resolver_free(f->resolver);
	f->resolver = NULL;
	loop_turn(f->loop, 0);
	dns_stop(&other);
}

/* --- a real server --- */

struct nsd { char directory[40]; pid_t pid; char address[40]; };

static void
write_file(const struct nsd *nsd, const char *name, const char *text)
{
	char path[80];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", nsd->directory, name);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

/* A thousand exchangers of big.example.org: more than UDP carries. */
static void
write_zone(const struct nsd *nsd)
{
	char *text = calloc(1, 200000), *end = text;

	end += sprintf(end, "$TTL 60\n$ORIGIN example.org.\n"
	    "@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nns A 127.0.0.1\n"
	    "@ MX 10 mx1\n@ MX 20 mx2.example.org.\nmx1 A 192.0.2.1\nmx1 AAAA 2001:db8::1\n"
	    "mx2 CNAME mx1\nnull MX 0 .\nempty TXT \"no more\"\nalias CNAME example.org.\n"
	    "odd MX 10 192.0.2.1.\n");
	for (int i = 1000; i > 0; i--)
		end += sprintf(end, "big MX %d mx%d.big\n", i, i);
	write_file(nsd, "example.org.zone", text);
	free(text);
}

static int
free_port(void)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	socklen_t len = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
	close(fd);
	return ntohs(in.sin_port);
}

static void
nsd_start(struct nsd *nsd)
{
	char text[1200], path[80];
	int port = free_port();

	snprintf(nsd->directory, sizeof(nsd->directory), "/tmp/herald-nsd.XXXXXX");
	assert_non_null(mkdtemp(nsd->directory));
	snprintf(nsd->address, sizeof(nsd->address), "127.0.0.1@%d", port);
	snprintf(text, sizeof(text), "server:\n ip-address: %s\n username: \"\"\n chroot: \"\"\n"
	    " zonesdir: %s\n pidfile: \"\"\n database: \"\"\n zonelistfile: %s/list\n"
	    " xfrdfile: \"\"\n xfrdir: %s\n logfile: %s/log\n server-count: 1\n"
	    "remote-control:\n control-enable: no\n"
	    "zone:\n name: example.org\n zonefile: example.org.zone\n"
	    "zone:\n name: broken.example\n zonefile: missing.zone\n", nsd->address,
	    nsd->directory, nsd->directory, nsd->directory, nsd->directory);
	write_file(nsd, "nsd.conf", text);
	write_zone(nsd);
	snprintf(path, sizeof(path), "%s/nsd.conf", nsd->directory);
	nsd->pid = fork();
	assert_true(nsd->pid >= 0);
	if (nsd->pid == 0) {
		execl("/usr/sbin/nsd", "nsd", "-d", "-c", path, (char *)NULL);
		_exit(127);
	}
}

static void
nsd_stop(struct nsd *nsd)
{
	char command[80];
	int status;

	kill(nsd->pid, SIGTERM);
	assert_int_equal(waitpid(nsd->pid, &status, 0), nsd->pid);
	snprintf(command, sizeof(command), "rm -rf %s", nsd->directory);
	assert_int_equal(system(command), 0);
}

static void
check_names_of_nsd(struct fixture *f)
{
	const struct { const char *domain; enum resolver_outcome outcome; size_t count; }
	cases[] = {
		{ "example.org", RESOLVER_FOUND, 2 }, { "alias.example.org", RESOLVER_FOUND, 2 },
		{ "null.example.org", RESOLVER_NULL_MX, 0 },
		{ "empty.example.org", RESOLVER_NO_ADDRESS, 0 },
		{ "gone.example.org", RESOLVER_NO_SUCH_NAME, 0 },
		{ "broken.example", RESOLVER_FAILED, 0 },		/* SERVFAIL */
		{ "unknown.example", RESOLVER_FAILED, 0 },		/* REFUSED */
		{ "odd.example.org", RESOLVER_FAILED, 0 },
		{ "big.example.org", RESOLVER_FOUND, RESOLVER_MX_MAX },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ask_mx(f, cases[i].domain);
		if (f->outcome != cases[i].outcome || f->count != cases[i].count)
			fail_msg("%s: %d, %zu, %s", cases[i].domain, (int)f->outcome, f->count,
			    f->text);
	}
	for (unsigned i = 0; i < RESOLVER_MX_MAX; i++)
		assert_int_equal(f->records[i].preference, i + 1);
	ask(f, "mx2.example.org");
	assert_int_equal(f->count, 2);
	assert_string_equal(f->addresses[0].text, "[2001:db8::1]:25");
}

static void
test_real_server(void **state)
{
	struct fixture *f = *state;
	struct nsd nsd;
	struct error err;
	int64_t deadline = clock_monotonic_us() + 20000000;

	if (access("/usr/sbin/nsd", X_OK) == -1) {
		print_message("nsd is not installed: scripts/deps does it\n");
		skip();
	}
	nsd_start(&nsd);
	do {
		assert_true(resolver_use_server(f->resolver, nsd.address, &err));
		usleep(50000);
		ask(f, "ns.example.org");
	} while (f->outcome != RESOLVER_FOUND && clock_monotonic_us() < deadline);
	check_names_of_nsd(f);
	nsd_stop(&nsd);
}

#define TEST(name)	cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_found),
		TEST(test_many_are_cut),
		TEST(test_not_found),
		TEST(test_literals),
		TEST(test_no_names),
		TEST(test_localhost),
		TEST(test_cancel),
		TEST(test_freed_with_queries_under_way),
		TEST(test_mute_server),
		TEST(test_mx),
		TEST(test_mx_shuffled),
		TEST(test_mx_not_found),
		TEST(test_mx_cancel),
		TEST(test_server_comes_back),
		TEST(test_renewed_while_asked),
		TEST(test_real_server),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
