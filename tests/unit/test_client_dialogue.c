/* test_client_dialogue.c - what of a dialogue is shown, and what is not. */
#include "client/client_dialogue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define USER		"ann"
#define PASSWORD	"tim"
#define PLAIN_64	"AGFubgB0aW0="	/* NUL ann NUL tim */
#define PASSWORD_64	"dGlt"

enum who { CLIENT, SERVER };

static const struct {
	enum who who;
	bool is_secret;
	const char *said, *shown;
} rows[] = {
	{ SERVER, false, "220 x\r\n", "S: 220 x\n" },
	{ CLIENT, false, "EHLO a\r\n", "C: EHLO a\n" },
	{ CLIENT, false, "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n",
	    "C: MAIL FROM:<a@b>\nC: RCPT TO:<c@d>\n" },
	{ SERVER, false, "250-a\r\n250 b\n", "S: 250-a\nS: 250 b\n" },
	{ SERVER, false, "\r\n", "S: \n" },
	{ SERVER, false, "250 \x1b[31m\xff\r\n", "S: 250 \\x1b[31m\\xff\n" },
	{ SERVER, false, "250 \xe2\x80\xae\r\n", "S: 250 \\xe2\\x80\\xae\n" },
	{ CLIENT, true, "AUTH PLAIN " PLAIN_64 "\r\n", "C: AUTH PLAIN ***\n" },
	{ CLIENT, true, "AUTH LOGIN\r\n", "C: AUTH LOGIN\n" },
	{ CLIENT, true, PASSWORD_64 "\r\n", "C: ***\n" },
	{ CLIENT, true, "PASS " PASSWORD "\r\n", "C: PASS ***\n" },
	{ CLIENT, true, "PASS with blanks in it\r\n", "C: PASS ***\n" },
	{ CLIENT, true, "PASS \r\n", "C: PASS ***\n" },
	{ CLIENT, true, "AUTH\r\n", "C: ***\n" },
	{ CLIENT, true, "AUTHPLAIN " PLAIN_64 "\r\n", "C: ***\n" },
	{ CLIENT, true, "\r\n", "C: ***\n" },
	{ SERVER, true, "334 PDEyMy40NUBhPg==\r\n", "S: 334 ***\n" },
	{ SERVER, true, "334\r\n", "S: 334\n" },
	{ SERVER, true, "+ PDEyMy40NUBhPg==\r\n", "S: + ***\n" },
	{ SERVER, true, "+OK welcome\r\n", "S: +OK welcome\n" },
	{ SERVER, true, "535 5.7.8 no\r\n", "S: 535 5.7.8 no\n" },
	{ SERVER, true, "535 no " PLAIN_64 "\r\n", "S: 535 *** (its words repeat the secret)\n" },
	{ SERVER, true, "535 no AGFubgB0aW0\r\n", "S: 535 *** (its words repeat the secret)\n" },
	{ SERVER, false, "-ERR no user " PASSWORD "\r\n",
	    "S: -ERR *** (its words repeat the secret)\n" },
	{ SERVER, false, PASSWORD_64 "\r\n", "S: *** (its words repeat the secret)\n" },
};

/* What the calls in between write to standard error. */
static FILE *
begin(int *saved)
{
	FILE *file = tmpfile();

	assert_non_null(file);
	fflush(stderr);
	*saved = dup(STDERR_FILENO);
	dup2(fileno(file), STDERR_FILENO);
	return file;
}

static char *
end(FILE *file, int saved)
{
	static char shown[65536];
	size_t len;

	fflush(stderr);
	dup2(saved, STDERR_FILENO);
	close(saved);
	rewind(file);
	len = fread(shown, 1, sizeof(shown) - 1, file);
	shown[len] = '\0';
	fclose(file);
	return shown;
}

static void
test_lines(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct client_dialogue *dialogue = client_dialogue_new(true);
		int saved;
		FILE *file;

		client_dialogue_hide(dialogue, USER, PASSWORD);
		file = begin(&saved);
		(rows[i].who == CLIENT ? client_dialogue_client : client_dialogue_server)(dialogue,
		    rows[i].said, strlen(rows[i].said), rows[i].is_secret);
		assert_string_equal(end(file, saved), rows[i].shown);
		client_dialogue_free(dialogue);
	}
}

/* An octet at a time shows the same. */
static void
test_pieces(void **state)
{
	static const char said[] = "250-a\r\n250 b\r\n\r\n";
	struct client_dialogue *dialogue = client_dialogue_new(true);
	int saved;
	FILE *file = begin(&saved);

	(void)state;
	for (size_t i = 0; i < strlen(said); i++)
		client_dialogue_server(dialogue, said + i, 1, false);
	client_dialogue_note(dialogue, "%s", "TLSv1.3\n");
	assert_string_equal(end(file, saved), "S: 250-a\nS: 250 b\nS: \n* TLSv1.3\\x0a\n");
	client_dialogue_free(dialogue);
}

/* RULES R6: a line without an end is shown in pieces and not kept. */
static void
test_endless(void **state)
{
	struct client_dialogue *dialogue = client_dialogue_new(true);
	char block[1000];
	int saved;
	FILE *file = begin(&saved);
	const char *shown;

	(void)state;
	memset(block, 'x', sizeof(block));
	for (unsigned i = 0; i < 30; i++)
		client_dialogue_server(dialogue, block, sizeof(block), false);
	shown = end(file, saved);
	assert_int_equal(strncmp(shown, "S: xxx", 6), 0);
	assert_non_null(strchr(shown, '\n'));
	client_dialogue_free(dialogue);
}

static void
test_nobody_watches(void **state)
{
	struct client_dialogue *dialogue = client_dialogue_new(false);
	int saved;
	FILE *file = begin(&saved);

	(void)state;
	client_dialogue_hide(dialogue, USER, PASSWORD);
	client_dialogue_client(dialogue, "x\r\n", 3, false);
	client_dialogue_server(dialogue, "x\r\n", 3, false);
	client_dialogue_note(dialogue, "x");
	assert_string_equal(end(file, saved), "");
	client_dialogue_free(dialogue);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_endless),
		cmocka_unit_test(test_nobody_watches),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
