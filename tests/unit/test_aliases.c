/* test_aliases.c - the aliases file: what it may say, what is refused, who reads what. */
#include "base/buf.h"
#include "base/error.h"
#include "mail/aliases.h"
#include "mail/identity.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const char *const names[] = { "localhost" };
static struct identity identity = { .hostname = "web1.example.org", .domain = "web1.example.org",
	.local_names = names, .local_name_count = 1 };

static struct aliases *
parse(const char *text, struct error *err)
{
	return aliases_parse("FILE", text, strlen(text), identity_is_local_name, &identity, err);
}

/* All behind a name, "a@b c@d". */
static const char *
readers(const struct aliases *aliases, const char *local, struct buf *out)
{
	struct identity_targets targets;
	char text[ADDRESS_TEXT_MAX + 1];

	buf_clear(out);
	identity.aliases = aliases;
	if (!identity_expand_name(&identity, local, strlen(local), &targets))
		return "";
	for (size_t i = 0; i < targets.count; i++)
		buf_appendf(out, "%s%s", i > 0 ? " " : "", address_text(&targets.items[i], text));
	free(targets.items);
	return buf_text(out);
}

/* A file, a local part, who reads its mail; "": it is no alias. */
static void
test_good(void **state)
{
	static const struct {
		const char *file, *local, *readers;
	} rows[] = {
		{ "", "root", "" },
		{ "# root: x@y\n\n  # z\n", "root", "" },
		{ "root: admin@example.org\n", "root", "admin@example.org" },
		{ "root: admin@example.org", "ROOT", "admin@example.org" },
		{ "ROOT:admin@example.org\r\n", "root", "admin@example.org" },
		{ "root :admin@example.org", "root", "admin@example.org" },
		{ "root: admin@example.org # the boss\n", "root", "admin@example.org" },
		{ "root: a#b@example.org\n", "root", "a#b@example.org" },
		{ "root: a@b.example, c@d.example ,e@f.example,\n", "root",
		    "a@b.example c@d.example e@f.example" },
		{ "root: a@b.example,\n  c@d.example\n\n# within\n\t,e@f.example\n", "root",
		    "a@b.example c@d.example e@f.example" },
		{ "root:\n a@b.example\n", "root", "a@b.example" },
		{ "a: b\nb: c\nc: x@y.example\n", "a", "x@y.example" },
		{ "a: b, c\nb: x@y.example\nc: x@y.example, z\n", "a",
		    "x@y.example z@web1.example.org" },
		{ "a: b@localhost\nb: x@y.example\n", "a", "x@y.example" },
		{ "a: b@WEB1.example.org\nb: x@y.example\n", "a", "x@y.example" },
		{ "a: b@elsewhere.example\nb: x@y.example\n", "a", "b@elsewhere.example" },
		{ "a: \\a, x@y.example\n", "a", "a@web1.example.org x@y.example" },
		{ "a: \\b\nb: x@y.example\n", "a", "b@web1.example.org" },
		{ "\"a b\": x@y.example\n", "\"a b\"", "x@y.example" },
		{ "\"a b\": x@y.example\n", "\"A\\ b\"", "x@y.example" },
		{ "\"a:b\": x@y.example\n", "\"a:b\"", "x@y.example" },
		{ "\"root\": x@y.example\n", "root", "x@y.example" },
		{ "root: x@y.example\n", "\"root\"", "x@y.example" },
		{ "a: \"b c\"@y.example, \"d,e\"@y.example\n", "a",
		    "\"b c\"@y.example \"d,e\"@y.example" },
		{ "a: \"b c\"\n\"b c\": x@y.example\n", "a", "x@y.example" },
		{ "root: x@y.example\n", "root+cron", "x@y.example" },
		{ "root: x@y.example\nroot+cron: z@y.example\n", "root+cron", "z@y.example" },
		{ "root: x@y.example\n", "rootcron", "" },
		{ "root: x@y.example\n", "+root", "" },
		{ "a: ops+web\nops: x@y.example\n", "a", "x@y.example" },
		{ "j\303\274rgen: x@y.example\n", "j\303\274rgen", "x@y.example" },
		{ "a: x@b\303\274cher.example\n", "a", "x@b\303\274cher.example" },
		{ "a: b@[192.0.2.1]\n", "a", "b@[192.0.2.1]" },
	};
	struct buf out = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct error err;
		struct aliases *aliases = parse(rows[i].file, &err);

		if (aliases == NULL)
			fail_msg("%s: %s", rows[i].file, err.text);
		assert_string_equal(readers(aliases, rows[i].local, &out), rows[i].readers);
		aliases_free(aliases);
	}
	buf_free(&out);
}

static void
test_refused(void **state)
{
	static const struct {
		const char *file, *fault;
	} rows[] = {
		{ "root\n", "FILE:1: root: no colon, allowed is \"name: target\"" },
		{ "\n\nroot:\n", "FILE:3: root: nobody stands behind it" },
		{ "root: ,,\n", "FILE:1: root: nobody stands behind it" },
		{ ": a@b.example\n", "no name before the colon" },
		{ " root: a@b.example\n", "FILE:1: root: a@b.example: goes on with no entry" },
		{ "root@x: a@b.example\n", "FILE:1: root@x: not a name" },
		{ "a b: c@d.example\n", "FILE:1: a b: not a name" },
		{ "root: :include:/etc/list\n",
		    "FILE:1: :include:/etc/list: another file is not read in, allowed are names of "
		    "this machine and addresses, with commas between" },
		{ "root: a@b.example,\n \":Include:/etc/list\"\n", "FILE:1: " },
		{ "root: |/bin/filter\n", "FILE:1: |/bin/filter: no program is run" },
		{ "root: \"|/bin/filter -a, -b\"\n",
		    "FILE:1: \"|/bin/filter -a, -b\": no program is run" },
		{ "root: /var/mail/root\n", "FILE:1: /var/mail/root: no mail is kept in files" },
		{ "root: \"/var/mail/the root\"\n", "no mail is kept in files" },
		{ "root: /dev/null\n", "no mail is kept in files" },
		{ "root: a b\n", "FILE:1: a b: not an address" },
		{ "root: a@b@c\n", "FILE:1: a@b@c: not an address" },
		{ "root: Ann <a@b.example>\n", "not an address" },
		{ "root: \\\n", "not an address" },
		{ "root: a@-b\n", "not an address" },
		{ "root: a\001b@c.example\n", "FILE:1: a\\x01b@c.example: not an address" },
		{ "root: a\377@b.example\n", "not valid UTF-8" },
		{ "# x\nroot: a@b.example\nROOT: c@d.example\n",
		    "FILE:3: root stands twice, first in line 2" },
		{ "root: a@b.example\n\"root\": c@d.example\n", "FILE:2: root stands twice" },
		{ "root: root\n", "FILE:1: a loop: root, root; allowed is \\root for the name" },
		{ "a: b\nb: c\nc: a\n", "FILE:1: a loop: a, b, c, a;" },
		{ "x: a\na: y@z.example, b\nb: a@localhost\n", "FILE:2: a loop: a, b, a;" },
		{ "a: a+x\n", "FILE:1: a loop: a, a;" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct error err;
		struct aliases *aliases = parse(rows[i].file, &err);

		if (aliases != NULL || strstr(err.text, rows[i].fault) == NULL)
			fail_msg("%s: %s", rows[i].file, aliases != NULL ? "is taken" : err.text);
		assert_int_equal(err.kind, ERROR_CONFIG);
	}
}

/* --- measure --- */

static bool
is_taken(const struct buf *text, struct error *err)
{
	struct aliases *aliases = aliases_parse("FILE", buf_octets(text), text->len,
	    identity_is_local_name, &identity, err);

	aliases_free(aliases);
	return aliases != NULL;
}

/* In either order of the file. */
static void
test_depth(void **state)
{
	struct error err;

	(void)state;
	for (int way = 0; way < 2; way++) {
		for (unsigned count = ALIASES_DEPTH_MAX; count <= ALIASES_DEPTH_MAX + 1; count++) {
			struct buf text = { 0 };

			for (unsigned i = 0; i < count; i++) {
				unsigned at = way == 0 ? i : count - 1 - i;

				buf_appendf(&text, at + 1 < count ? "a%u: a%u\n" : "a%u: x@y\n",
				    at, at + 1);
			}
			assert_true(is_taken(&text, &err) == (count <= ALIASES_DEPTH_MAX));
			if (count > ALIASES_DEPTH_MAX)
				assert_non_null(strstr(err.text, "more than 20 names behind one"));
			buf_free(&text);
		}
	}
}

/* Ten names of ten names each of ten addresses are a thousand. */
static void
test_reach(void **state)
{
	struct error err;

	(void)state;
	for (unsigned more = 0; more < 2; more++) {
		struct buf text = { 0 };

		for (unsigned level = 0; level < 3; level++) {
			buf_appendf(&text, "a%u: ", level);
			for (unsigned i = 0; i < 10; i++)
				buf_appendf(&text, level < 2 ? "a%u+%u," : "x%u%u@example.org,",
				    level + 1, i);
			buf_append_text(&text, "\n");
		}
		if (more == 1)
			buf_append_text(&text, "b: a0, one@example.org\n");
		assert_true(is_taken(&text, &err) == (more == 0));
		if (more == 1)
			assert_non_null(strstr(err.text, "b: 1001 addresses in the end"));
		buf_free(&text);
	}
}

static void
test_equal(void **state)
{
	struct error err;
	struct aliases *one = parse("a: b@c\n", &err), *same = parse("#\nA: b@c\n", &err);
	struct aliases *other = parse("a: b@d\n", &err), *none = parse("", &err);
	struct aliases *final = parse("a: \\b\n", &err), *name = parse("a: b\n", &err);

	(void)state;
	assert_true(aliases_equal(one, same));
	assert_false(aliases_equal(one, other));
	assert_false(aliases_equal(one, none));
	assert_false(aliases_equal(final, name));
	assert_true(aliases_equal(NULL, none));
	assert_null(aliases_find(NULL, "a", 1));
	assert_int_equal(aliases_at(same, 0)->line, 2);
	aliases_free(one);
	aliases_free(same);
	aliases_free(other);
	aliases_free(none);
	aliases_free(final);
	aliases_free(name);
	aliases_free(NULL);
}

static void
test_file(void **state)
{
	char path[] = "/tmp/herald-aliases-XXXXXX", fifo[64];
	struct aliases *aliases;
	struct error err;
	FILE *file = fdopen(mkstemp(path), "w");

	(void)state;
	assert_non_null(file);
	fputs("root: a@b.example\n", file);
	fflush(file);
	aliases = aliases_load(path, identity_is_local_name, &identity, &err);
	assert_non_null(aliases);
	assert_int_equal(aliases_count(aliases), 1);
	aliases_free(aliases);
	fputs("oops\n", file);
	fflush(file);
	assert_null(aliases_load(path, identity_is_local_name, &identity, &err));
	assert_non_null(strstr(err.text, ":2: oops: no colon"));
	/* A hole costs no disk; what is too large is not read. */
	assert_int_equal(ftruncate(fileno(file), 1 << 21), 0);
	assert_null(aliases_load(path, identity_is_local_name, &identity, &err));
	assert_non_null(strstr(err.text, ": more than 1048576 octets"));
	fclose(file);
	unlink(path);
	assert_null(aliases_load(path, identity_is_local_name, &identity, &err));
	assert_non_null(strstr(err.text, ": No such file or directory"));
	assert_null(aliases_load("/tmp", identity_is_local_name, &identity, &err));
	assert_string_equal(err.text, "/tmp: not a regular file");
	/* Nobody writes to it, and nobody waits for that. */
	snprintf(fifo, sizeof(fifo), "%s.fifo", path);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_null(aliases_load(fifo, identity_is_local_name, &identity, &err));
	unlink(fifo);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_reach),
		cmocka_unit_test(test_equal),
		cmocka_unit_test(test_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
