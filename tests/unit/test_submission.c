/* test_submission.c - from MAIL to the store's answer: what is stored, logged and said. */
#include "queue/submission.h"

#include "base/clock.h"
#include "conf/config.h"
#include "fake_queue.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define NOW_US 1795410367250000 /* Mon, 23 Nov 2026 05:06:07.25 UTC */

static struct config config = {
	.hostname = "web1.example.org",
	.queue = { .max_hops = 3, .lifetime = 1000, .bounce_lifetime = 100 },
};
static const struct submission_origin tcp = {
	.helo = "app.example.org", .client_name = "localhost", .client_address = "127.0.0.1",
	.protocol = "ESMTP",
};
static const struct submission_origin local = {
	.helo = "app", .client_name = "local", .client_uid = 1000, .protocol = "SMTP",
};

struct fixture {
	struct queue queue;
	struct submission *submission;
	struct status status;
	unsigned answers;
	int lines_fd, saved_stderr;
	char directory[64];
};

static int
setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	const char *tmp = getenv("TMPDIR");
	int ends[2];

	if (fixture == NULL || pipe(ends) == -1)
		return -1;
	setenv("TZ", "UTC0", 1);
	tzset();
	clock_set(NOW_US);
	snprintf(fixture->directory, sizeof(fixture->directory), "%s/herald-XXXXXX",
	    tmp != NULL && strlen(tmp) < 40 ? tmp : "/tmp");
	if (mkdtemp(fixture->directory) == NULL)
		return -1;
	config.queue.state_directory = fixture->directory;
	fixture->saved_stderr = dup(STDERR_FILENO);
	dup2(ends[1], STDERR_FILENO);
	close(ends[1]);
	fixture->lines_fd = ends[0];
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	*state = fixture;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *fixture = *state;

	dup2(fixture->saved_stderr, STDERR_FILENO);
	close(fixture->saved_stderr);
	close(fixture->lines_fd);
	fake_queue_drop(&fixture->queue);
	rmdir(fixture->directory);
	free(fixture);
	clock_set(-1);
	return 0;
}

static struct address
mailbox(const char *text)
{
	struct address address;

	assert_int_equal(address_parse(&address, text, strlen(text)), ADDRESS_OK);
	return address;
}

static void
begin(struct fixture *fixture, const char *reverse_path, unsigned recipients)
{
	const struct submission_mail mail = { .body_8bit = true };
	const struct submission_rcpt rcpt = { .notify = 0 };
	struct address path = mailbox(reverse_path), recipient = mailbox("bob@example.net");

	fixture->submission = submission_begin(&fixture->queue, &config, &path, &mail);
	while (recipients-- > 0)
		submission_add(fixture->submission, &recipient, &rcpt);
}

static void
write_text(struct fixture *fixture, const char *text)
{
	submission_write(fixture->submission, text, strlen(text));
}

static void
on_done(void *arg, const struct status *status)
{
	struct fixture *fixture = arg;

	fixture->status = *status;
	fixture->answers++;
	fixture->submission = NULL;
}

static bool
commit(struct fixture *fixture)
{
	return submission_commit(fixture->submission, on_done, fixture, &fixture->status);
}

static void
assert_logged(struct fixture *fixture, const char *text)
{
	char lines[8192];
	ssize_t len = read(fixture->lines_fd, lines, sizeof(lines) - 1);

	lines[len > 0 ? len : 0] = '\0';
	if (strstr(lines, text) == NULL)
		fail_msg("not in the log: %s\nthere is: %s", text, lines);
}

static void
assert_content(struct fixture *fixture, const char *expected)
{
	assert_int_equal(content_size(fixture->queue.content), strlen(expected));
	assert_memory_equal(content_octets(fixture->queue.content), expected, strlen(expected));
	assert_true(fixture->queue.envelope->size == strlen(expected));
}

static void
test_stored(void **state)
{
	struct fixture *fixture = *state;

	begin(fixture, "ann@example.org", 1);
	submission_open(fixture->submission, &tcp);
	write_text(fixture, "Message-ID: <1@exam");
	write_text(fixture, "ple.org>\r\n\r\nHi\r\n");
	assert_true(commit(fixture));
	assert_int_equal(fixture->answers, 0);
	assert_content(fixture, "Received: from app.example.org (localhost [127.0.0.1])\r\n"
	    "\tby web1.example.org (herald) with ESMTP id ABC001\r\n\tfor <bob@example.net>;\r\n"
	    "\tMon, 23 Nov 2026 05:06:07 +0000\r\nMessage-ID: <1@example.org>\r\n\r\nHi\r\n");
	assert_true(fixture->queue.envelope->body_8bit);
	assert_true(fixture->queue.envelope->arrived_us == NOW_US);
	assert_true(fixture->queue.envelope->arrived == NOW_US / 1000000);
	assert_true(fixture->queue.envelope->expires == NOW_US / 1000000 + 1000);
	assert_logged(fixture, ": ABC001: message-id=<1@example.org>\n");
	fake_queue_answer(&fixture->queue, NULL);
	assert_int_equal(fixture->answers, 1);
	assert_int_equal(fixture->status.reply_code, 250);
	assert_string_equal(fixture->status.text, "queued as ABC001");
}

/* RFC 3461: all that MAIL and RCPT said is kept, as copies. */
static void
test_parameters(void **state)
{
	struct fixture *fixture = *state;
	char text[] = "QQ314159 rfc822;Bob@example.net";
	const struct submission_mail mail = {
		.smtputf8 = true, .ret = RET_HDRS, .envid = text, .envid_len = 8
	};
	const struct submission_rcpt rcpt = {
		.notify = NOTIFY_SUCCESS | NOTIFY_DELAY, .orcpt = text + 9, .orcpt_len = 22
	}, bare = { .notify = NOTIFY_NEVER };
	struct address path = mailbox("ann@example.org"), wide = mailbox("b@b\xc3\xbc.example");
	const struct envelope *envelope;

	fixture->submission = submission_begin(&fixture->queue, &config, &path, &mail);
	submission_add(fixture->submission, &wide, &rcpt);
	memset(text, '!', sizeof(text));
	submission_open(fixture->submission, &tcp);
	write_text(fixture, "\r\n");
	assert_true(commit(fixture));
	envelope = fixture->queue.envelope;
	assert_true(envelope->smtputf8 && !envelope->body_8bit && envelope->ret == RET_HDRS);
	assert_string_equal(envelope->envid, "QQ314159");
	assert_int_equal(envelope->recipients[0].notify, NOTIFY_SUCCESS | NOTIFY_DELAY);
	assert_string_equal(envelope->recipients[0].orcpt, "rfc822;Bob@example.net");
	assert_null(envelope->message_id);
	/* A hop without SMTPUTF8 may yet take it: the header is to stay ASCII. */
	assert_content(fixture, "Received: from app.example.org (localhost [127.0.0.1])\r\n"
	    "\tby web1.example.org (herald) with ESMTP id ABC001;\r\n"
	    "\tMon, 23 Nov 2026 05:06:07 +0000\r\n\r\n");
	fake_queue_answer(&fixture->queue, NULL);
	fake_queue_drop(&fixture->queue);
	begin(fixture, "ann@example.org", 1);
	submission_add(fixture->submission, &path, &bare);
	assert_int_equal(fixture->queue.submits, 1);
	submission_abort(fixture->submission);
}

static void
test_message_id(void **state)
{
	static const struct {
		const char *field, *kept;
	} rows[] = {
		{ "Message-ID: <1@example.org>\r\n", "<1@example.org>" },
		{ "message-id:\r\n\t<1@example.org> (a comment)\r\n", "<1@example.org>" },
		{ "Message-ID: 1@example.org\r\n", NULL },
		{ "Message-ID: <1@example.org\r\n", NULL },
		{ "Message-ID: <1\xc3\xa9@example.org>\r\n", NULL },
		{ "Message-ID: <1\x1b[2J@example.org>\r\n", NULL },
		{ "Subject: <1@example.org>\r\n", NULL },
	};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		begin(fixture, "ann@example.org", 1);
		submission_open(fixture->submission, &tcp);
		write_text(fixture, rows[i].field);
		write_text(fixture, "\r\nMessage-ID: <body@example.org>\r\n");
		assert_true(commit(fixture));
		if (rows[i].kept == NULL)
			assert_null(fixture->queue.envelope->message_id);
		else
			assert_string_equal(fixture->queue.envelope->message_id, rows[i].kept);
		fake_queue_answer(&fixture->queue, NULL);
		fake_queue_drop(&fixture->queue);
	}
	/* One that is cut is not kept. */
	begin(fixture, "ann@example.org", 1);
	submission_open(fixture->submission, &tcp);
	write_text(fixture, "Message-ID: <");
	for (size_t i = 0; i < 300; i++)
		write_text(fixture, "x");
	write_text(fixture, ">\r\n\r\n");
	assert_true(commit(fixture));
	assert_null(fixture->queue.envelope->message_id);
	fake_queue_answer(&fixture->queue, NULL);
}

static void
test_local_client(void **state)
{
	struct fixture *fixture = *state;

	begin(fixture, "", 2);
	submission_open(fixture->submission, &local);
	write_text(fixture, "\r\nHi\r\n");
	assert_true(commit(fixture));
	assert_content(fixture, "Received: from app (local socket, uid 1000)\r\n"
	    "\tby web1.example.org (herald) with SMTP id ABC001;\r\n"
	    "\tMon, 23 Nov 2026 05:06:07 +0000\r\n\r\nHi\r\n");
	assert_true(fixture->queue.envelope->expires == NOW_US / 1000000 + 100);
	assert_int_equal(fixture->queue.envelope->recipient_count, 2);
	assert_logged(fixture, ": ABC001: uid=1000 from=<>\n");
	fake_queue_answer(&fixture->queue, NULL);
}

static void
test_log_without_message_id(void **state)
{
	struct fixture *fixture = *state;

	begin(fixture, "ann@example.org", 1);
	submission_open(fixture->submission, &tcp);
	assert_true(commit(fixture));
	assert_logged(fixture, ": ABC001: message-id=<>\n");
	fake_queue_answer(&fixture->queue, NULL);
}

static void
test_store_failure_is_transient(void **state)
{
	struct fixture *fixture = *state;

	begin(fixture, "ann@example.org", 1);
	submission_open(fixture->submission, &tcp);
	write_text(fixture, "\r\n");
	assert_true(commit(fixture));
	fake_queue_answer(&fixture->queue, "database is locked");
	assert_int_equal(fixture->answers, 1);
	assert_int_equal(fixture->status.reply_code, 451);
	assert_int_equal(status_class(&fixture->status), STATUS_TRANSIENT);
	assert_logged(fixture, ": ABC001: not stored: database is locked\n");
}

static void
test_hops(void **state)
{
	struct fixture *fixture = *state;

	for (unsigned hops = 2; hops <= 4; hops++) {
		begin(fixture, "ann@example.org", 1);
		submission_open(fixture->submission, &tcp);
		for (unsigned i = 0; i < hops; i++)
			write_text(fixture, "Received: from a\r\n\tby b; date\r\n");
		write_text(fixture, "\r\nReceived: this is the body\r\n");
		if (hops <= 3) {
			assert_true(commit(fixture));
			fake_queue_answer(&fixture->queue, NULL);
			fake_queue_drop(&fixture->queue);
		} else {
			assert_false(commit(fixture));
			assert_int_equal(fixture->status.reply_code, 554);
			assert_int_equal(fixture->status.enhanced.detail, 6);
		}
	}
	assert_int_equal(fixture->queue.submits, 2);
	assert_int_equal(fixture->answers, 2);
}

/* A full disk shows when the content leaves memory for its file; the session goes on. */
static void
test_disk_full(void **state)
{
	struct fixture *fixture = *state;
	struct rlimit limit, none;
	char block[4096];

	memset(block, 'x', sizeof(block));
	begin(fixture, "ann@example.org", 1);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = 1;	/* standard input has it */
	submission_open(fixture->submission, &tcp);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	for (size_t i = 0; i < 64; i++)
		submission_write(fixture->submission, block, sizeof(block));
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_false(commit(fixture));
	assert_int_equal(fixture->status.reply_code, 452);
	assert_int_equal(fixture->queue.submits, 0);
	assert_logged(fixture, ": ABC001: cannot keep mail data: ");
}

static void
test_large_content(void **state)
{
	struct fixture *fixture = *state;
	char block[4096];

	memset(block, 'x', sizeof(block));
	begin(fixture, "ann@example.org", 1);
	submission_open(fixture->submission, &tcp);
	for (size_t i = 0; i < 64; i++)
		submission_write(fixture->submission, block, sizeof(block));
	assert_true(commit(fixture));
	assert_true(fixture->queue.envelope->size > 64 * sizeof(block));
	fake_queue_answer(&fixture->queue, NULL);
	assert_int_equal(fixture->status.reply_code, 250);
}

static void
test_abort_at_each_step(void **state)
{
	struct fixture *fixture = *state;

	submission_abort(NULL);
	begin(fixture, "ann@example.org", 0);
	submission_abort(fixture->submission);
	begin(fixture, "ann@example.org", 1);
	submission_abort(fixture->submission);
	begin(fixture, "ann@example.org", 1);
	submission_open(fixture->submission, &tcp);
	write_text(fixture, "Subject: x\r\n");
	submission_abort(fixture->submission);
	assert_int_equal(fixture->queue.submits, 0);
	begin(fixture, "ann@example.org", 1);
	submission_open(fixture->submission, &tcp);
	assert_true(commit(fixture));
	submission_abort(fixture->submission);
	assert_int_equal(fixture->queue.forgets, 1);
	fake_queue_answer(&fixture->queue, NULL);
	assert_int_equal(fixture->answers, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_stored, setup, teardown),
		cmocka_unit_test_setup_teardown(test_parameters, setup, teardown),
		cmocka_unit_test_setup_teardown(test_message_id, setup, teardown),
		cmocka_unit_test_setup_teardown(test_local_client, setup, teardown),
		cmocka_unit_test_setup_teardown(test_log_without_message_id, setup, teardown),
		cmocka_unit_test_setup_teardown(test_store_failure_is_transient, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hops, setup, teardown),
		cmocka_unit_test_setup_teardown(test_disk_full, setup, teardown),
		cmocka_unit_test_setup_teardown(test_large_content, setup, teardown),
		cmocka_unit_test_setup_teardown(test_abort_at_each_step, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
