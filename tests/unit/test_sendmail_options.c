/* test_sendmail_options.c - what becomes of the command lines that programs call sendmail with. */
#include "base/buf.h"
#include "cmd/sendmail_options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define WORDS_MAX 32

/* The command line, its words between blanks ("''" is an empty word, "_" a blank in a word), and
 * what is made of it: the mode unless it is to deliver, flags, values, operands, ignored words. */
static const struct { const char *line, *parsed; } cases[] = {
	/* who has no options */
	{ "sendmail", "" },
	{ "sendmail ann", "to ann" },
	{ "sendmail ann bob@example.org", "to ann to bob@example.org" },
	{ "/usr/sbin/sendmail ann", "to ann" },
	/* what PHP, cron, git, mailx, mutt, at, logwatch, monit and others say */
	{ "sendmail -t -i", "t i" },
	{ "sendmail -ti", "t i" },
	{ "sendmail -it", "t i" },
	{ "sendmail -t -oi", "t i" },
	{ "sendmail -oi -t", "t i" },
	{ "sendmail -oi -t -fann@example.org", "t i f=ann@example.org" },
	{ "sendmail -t -i -f ann@example.org", "t i f=ann@example.org" },
	{ "sendmail -FCronDaemon -i -B8BITMIME -oem root", "i 8 F=CronDaemon to root" },
	{ "sendmail -FCronDaemon -odi -oem -oi -t -f root", "t i F=CronDaemon f=root" },
	{ "sendmail -i -odi -oem -oi ann", "i to ann" },
	{ "sendmail -oem -oi -f ann@example.org -- bob@example.net",
	    "i f=ann@example.org to bob@example.net" },
	{ "sendmail -oi -oem -- bob carl", "i to bob to carl" },
	{ "sendmail -i -f ann@example.org bob@example.net",
	    "i f=ann@example.org to bob@example.net" },
	{ "sendmail -fann@example.org -i -- bob@example.net",
	    "i f=ann@example.org to bob@example.net" },
	{ "sendmail -i ann -f bob", "i f=bob to ann" },
	{ "sendmail -i -FAnn_Smith -f ann bob", "i F=Ann Smith f=ann to bob" },
	{ "sendmail -F Ann -f ann bob", "F=Ann f=ann to bob" },
	{ "sendmail -r ann bob", "f=ann to bob" },
	{ "sendmail -rann bob", "f=ann to bob" },
	{ "sendmail -f <> bob", "f=<> to bob" },
	{ "sendmail -f '' bob", "f= to bob" },
	{ "sendmail -tfann", "t f=ann" },
	{ "sendmail -tif ann bob", "t i f=ann to bob" },
	{ "sendmail -vt", "t v" },
	{ "sendmail -t -v -i", "t i v" },
	{ "sendmail -om -oi bob", "i to bob" },
	{ "sendmail -oi -odb -oee bob", "i to bob" },
	{ "sendmail -oep -odq -oeq bob", "to bob" },
	{ "sendmail -em -ep -eq bob", "to bob" },
	{ "sendmail -e m bob", "to bob" },
	{ "sendmail -o i bob", "i to bob" },
	{ "sendmail -o em bob", "to bob" },
	{ "sendmail -oMr spam-scanned -oi bob", "i to bob" },
	{ "sendmail -oMrspam bob", "to bob" },
	{ "sendmail -oMs example.org -oMa 192.0.2.1 bob", "to bob" },
	{ "sendmail -oA/etc/aliases bob", "to bob" },
	{ "sendmail -o7 -o8 bob", "to bob" },
	{ "sendmail -OIgnoreDots -t", "t i" },
	{ "sendmail -O IgnoreDots=true -t", "t i" },
	{ "sendmail -O DeliveryMode=b -O ErrorMode=m bob", "to bob" },
	{ "sendmail -OQueueDirectory=/etc/mail -X /etc/mail/log bob", "to bob" },
	{ "sendmail -X/etc/mail/log bob", "to bob" },
	{ "sendmail -C /etc/mail/sendmail.cf bob", "to bob" },
	{ "sendmail -C/etc/mail/sendmail.cf bob", "to bob" },
	{ "sendmail -Ac -t", "t" },
	{ "sendmail -Am -odi bob", "to bob" },
	{ "sendmail -A c bob", "to bob" },
	{ "sendmail -h 17 bob", "to bob" },
	{ "sendmail -h17 bob", "to bob" },
	{ "sendmail -p ESMTP:example.org bob", "to bob" },
	{ "sendmail -pUUCP bob", "to bob" },
	{ "sendmail -M r bob", "to bob" },
	{ "sendmail -MrESMTP bob", "to bob" },
	{ "sendmail -D /etc/mail/debug bob", "to bob" },
	{ "sendmail -d bob", "to bob" },
	{ "sendmail -d0-99.1 bob", "to bob" },
	{ "sendmail -Qreason bob", "to bob" },
	{ "sendmail -Q bob", "to bob" },
	{ "sendmail -G -U -n -m -x -s -c bob", "to bob" },
	{ "sendmail -GUnmx bob", "to bob" },
	{ "sendmail -T bob", "to bob" },
	{ "sendmail -E bob", "to bob" },
	/* reports, bodies, labels */
	{ "sendmail -N never bob", "N=never to bob" },
	{ "sendmail -Nsuccess,failure bob", "N=success,failure to bob" },
	{ "sendmail -R hdrs -V id1 bob", "R=hdrs V=id1 to bob" },
	{ "sendmail -Rfull -Vid1 bob", "R=full V=id1 to bob" },
	{ "sendmail -B 8BITMIME bob", "8 to bob" },
	{ "sendmail -B8bitmime bob", "8 to bob" },
	{ "sendmail -B7BIT bob", "to bob" },
	{ "sendmail -Bwide bob", "to bob ignored -Bwide" },
	{ "sendmail -L backup bob", "L=backup to bob" },
	{ "sendmail -Lbackup bob", "L=backup to bob" },
	/* modes */
	{ "sendmail -bm bob", "to bob" },
	{ "sendmail -b m bob", "to bob" },
	{ "sendmail -bs", "smtp" },
	{ "sendmail -bs -oi", "smtp i" },
	{ "sendmail -bp", "list" },
	{ "sendmail -bpv", "list" },
	{ "sendmail -bi", "aliases" },
	{ "sendmail -I", "aliases" },
	{ "sendmail -bv bob", "verify to bob" },
	{ "sendmail -bd", "refused=-bd" },
	{ "sendmail -bd -q15m", "refused=-bd q=15m" },
	{ "sendmail -bD", "refused=-bD" },
	{ "sendmail -bt", "refused=-bt" },
	{ "sendmail -bz bob", "to bob ignored -bz" },
	{ "mailq", "list" },
	{ "/usr/bin/mailq -v", "list v" },
	{ "mailq -Ac", "list" },
	{ "newaliases", "aliases" },
	{ "/usr/bin/newaliases -v", "aliases v" },
	{ "sendmail -q", "flush q=" },
	{ "sendmail -q30m", "flush q=30m" },
	{ "sendmail -qIAB12", "flush q=IAB12" },
	{ "sendmail -qRexample.org", "flush q=Rexample.org" },
	{ "sendmail -q bob", "q= to bob" },
	{ "sendmail -q1h -t", "t q=1h" },
	/* order, ends, what nobody knows */
	{ "sendmail bob -t -i", "t i to bob" },
	{ "sendmail -- -bs", "to -bs" },
	{ "sendmail -t -- -f ann", "t to -f to ann" },
	{ "sendmail - bob", "to - to bob" },
	{ "sendmail -f -x bob", "f=-x to bob" },
	{ "sendmail -t -f", "t ignored -f" },
	{ "sendmail -tF", "t ignored -tF" },
	{ "sendmail -Z bob", "to bob ignored -Z" },
	{ "sendmail -Zfoo -t", "t ignored -Zfoo" },
	{ "sendmail -tZi bob", "t to bob ignored -tZi" },
	{ "sendmail --read-envelope-from -t", "t ignored --read-envelope-from" },
	{ "sendmail -1 bob", "to bob ignored -1" },
	{ "sendmail -f ann -f carl bob", "f=carl to bob" },
	/* herald's own */
	{ "herald-sendmail -V", "version" },
	{ "herald-sendmail -h", "help" },
	{ "herald-sendmail --version", "version" },
	{ "herald-sendmail --help", "help" },
	{ "herald-sendmail -V id -t", "t V=id" },
};

#define CASES (sizeof(cases) / sizeof(cases[0]))

static void
add(struct buf *out, const char *name, const char *value)
{
	if (value != NULL)
		buf_appendf(out, " %s%s", name, value);
}

static char *
describe(const struct sendmail_options *options)
{
	static const char *const modes[] = {
		[SENDMAIL_DELIVER] = NULL, [SENDMAIL_LIST] = "list", [SENDMAIL_ALIASES] = "aliases",
		[SENDMAIL_SMTP] = "smtp", [SENDMAIL_VERIFY] = "verify", [SENDMAIL_FLUSH] = "flush",
		[SENDMAIL_REFUSED] = "refused=", [SENDMAIL_HELP] = "help",
		[SENDMAIL_VERSION] = "version",
	};
	struct buf out = { 0 };
	char *text;

	add(&out, "", modes[options->mode]);
	if (options->mode == SENDMAIL_REFUSED)
		buf_append_text(&out, options->refused);
	add(&out, "t", options->from_header ? "" : NULL);
	add(&out, "i", options->ignore_dots ? "" : NULL);
	add(&out, "v", options->verbose ? "" : NULL);
	add(&out, "8", options->eight_bit ? "" : NULL);
	add(&out, "q=", options->queue);
	add(&out, "F=", options->full_name);
	add(&out, "f=", options->sender);
	add(&out, "N=", options->notify);
	add(&out, "R=", options->ret);
	add(&out, "V=", options->envid);
	add(&out, "L=", options->label);
	for (size_t i = 0; i < options->operand_count; i++)
		add(&out, "to ", options->operands[i]);
	for (size_t i = 0; i < options->ignored_count; i++)
		add(&out, "ignored ", options->ignored[i]);
	text = strdup(out.len > 0 ? buf_text(&out) + 1 : "");
	buf_free(&out);
	return text;
}

static int
split(char *line, char **words)
{
	int count = 0;

	for (char *word = strtok(line, " "); word != NULL; word = strtok(NULL, " ")) {
		assert_true(count < WORDS_MAX);
		if (strcmp(word, "''") == 0)
			word[0] = '\0';
		for (char *at = word; *at != '\0'; at++)
			if (*at == '_')
				*at = ' ';
		words[count++] = word;
	}
	return count;
}

static void
test_command_lines(void **state)
{
	(void)state;
	for (size_t i = 0; i < CASES; i++) {
		struct sendmail_options options;
		char *line = strdup(cases[i].line), *words[WORDS_MAX + 1], *parsed;
		int count = split(line, words);

		words[count] = NULL;
		sendmail_options_parse(&options, count, words);
		parsed = describe(&options);
		if (strcmp(parsed, cases[i].parsed) != 0)
			fail_msg("%s: \"%s\", not \"%s\"", cases[i].line, parsed, cases[i].parsed);
		free(parsed);
		free(line);
		sendmail_options_clear(&options);
	}
	assert_true(CASES >= 80);
}

static void
test_no_words_at_all(void **state)
{
	char *none[] = { NULL };
	struct sendmail_options options;

	(void)state;
	sendmail_options_parse(&options, 0, none);
	assert_int_equal(options.mode, SENDMAIL_DELIVER);
	assert_int_equal(options.operand_count, 0);
	sendmail_options_clear(&options);
}

static void
test_many_words(void **state)
{
	enum { COUNT = 200000 };
	char **words = calloc(COUNT + 1, sizeof(*words)), word[] = "ann@example.org";
	struct sendmail_options options;

	(void)state;
	assert_non_null(words);
	for (int i = 0; i < COUNT; i++)
		words[i] = word;
	sendmail_options_parse(&options, COUNT, words);
	assert_int_equal(options.operand_count, COUNT - 1);
	sendmail_options_clear(&options);
	free(words);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_command_lines),
		cmocka_unit_test(test_no_words_at_all),
		cmocka_unit_test(test_many_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
