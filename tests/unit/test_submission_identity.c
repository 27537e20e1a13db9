/* test_submission_identity.c - mail of this machine and of others on its way to the queue. */
#include "queue/submission.h"

#include "base/clock.h"
#include "conf/config.h"
#include "fake_queue.h"
#include "rewrite_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define NOW_US	1795410367250000 /* Mon, 23 Nov 2026 05:06:07.25 UTC */
#define RECEIVED "Received: from app (local socket, uid 1000)\r\n" \
	"\tby web1.example.org (herald) with SMTP id ABC001"

static struct identity identity;
static struct config config = {
	.hostname = "web1.example.org",
	.queue = { .max_hops = 3, .lifetime = 1000, .bounce_lifetime = 100 },
	.identity = { .rules = &identity },
};

struct fixture {
	struct queue queue;
	struct submission *submission;
	struct status status;
	char directory[64];
};

static int
setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	const char *tmp = getenv("TMPDIR");

	if (fixture == NULL)
		return -1;
	setenv("TZ", "UTC0", 1);
	tzset();
	clock_set(NOW_US);
	snprintf(fixture->directory, sizeof(fixture->directory), "%s/herald-XXXXXX",
	    tmp != NULL && strlen(tmp) < 40 ? tmp : "/tmp");
	if (mkdtemp(fixture->directory) == NULL)
		return -1;
	config.queue.state_directory = fixture->directory;
	fixture_identity(&identity, "");
	*state = fixture;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *fixture = *state;

	fake_queue_drop(&fixture->queue);
	rmdir(fixture->directory);
	free(fixture);
	fixture_free(&identity);
	clock_set(-1);
	return 0;
}

static struct address
name(const char *text)
{
	struct address address;

	assert_int_equal(address_parse_name(&address, text, strlen(text)), ADDRESS_OK);
	return address;
}

static void
begin(struct fixture *fixture, const char *reverse_path, bool of_this_machine)
{
	const struct submission_mail mail = { .of_this_machine = of_this_machine };
	struct address path = name(reverse_path);

	fixture->submission = submission_begin(&fixture->queue, &config, &path, &mail);
}

static void
add(struct fixture *fixture, const char *forward_path, unsigned notify, const char *orcpt)
{
	const struct submission_rcpt rcpt = { .notify = notify, .orcpt = orcpt,
		.orcpt_len = orcpt != NULL ? strlen(orcpt) : 0 };
	struct address path = name(forward_path);

	submission_add(fixture->submission, &path, &rcpt);
}

static void
on_done(void *arg, const struct status *status)
{
	struct fixture *fixture = arg;

	fixture->status = *status;
	fixture->submission = NULL;
}

/* Opens, writes and commits; the envelope is with the fake queue then. */
static const struct envelope *
finish(struct fixture *fixture, const char *message, size_t len)
{
	const struct submission_origin local = { .helo = "app", .client_name = "local",
		.client_uid = 1000, .protocol = "SMTP" };

	submission_open(fixture->submission, &local);
	submission_write(fixture->submission, message, len / 2);
	submission_write(fixture->submission, message + len / 2, len - len / 2);
	if (!submission_commit(fixture->submission, on_done, fixture, &fixture->status))
		return NULL;
	return fixture->queue.envelope;
}

static void
assert_recipient(const struct envelope *envelope, size_t i, const char *forward_path,
    const char *orcpt)
{
	char text[ADDRESS_TEXT_MAX + 1];

	assert_true(i < envelope->recipient_count);
	assert_string_equal(address_text(&envelope->recipients[i].forward_path, text),
	    forward_path);
	if (orcpt == NULL)
		assert_null(envelope->recipients[i].orcpt);
	else
		assert_string_equal(envelope->recipients[i].orcpt, orcpt);
}

static void
assert_content(struct fixture *fixture, const char *expected)
{
	assert_int_equal(content_size(fixture->queue.content), strlen(expected));
	assert_memory_equal(content_octets(fixture->queue.content), expected, strlen(expected));
	assert_true(fixture->queue.envelope->size == strlen(expected));
}

/* What cron writes. */
static void
test_root_to_root(void **state)
{
	static const char message[] = "From: root (Cron Daemon)\r\nTo: root\r\nSubject: x\r\n\r\n"
	    "To: root\r\n";
	struct fixture *fixture = *state;
	const struct envelope *envelope;
	char text[ADDRESS_TEXT_MAX + 1];

	begin(fixture, "root", true);
	add(fixture, "root", 0, NULL);
	envelope = finish(fixture, message, strlen(message));
	assert_non_null(envelope);
	assert_string_equal(address_text(&envelope->reverse_path, text), "root@mail.example.org");
	assert_int_equal(envelope->recipient_count, 1);
	assert_recipient(envelope, 0, "admin@example.org", "rfc822;root@mail.example.org");
	assert_string_equal(envelope->message_id, "<20261123050607.ABC001@web1.example.org>");
	assert_false(envelope->smtputf8);
	assert_content(fixture, RECEIVED "\r\n\tfor <admin@example.org>;\r\n"
	    "\tMon, 23 Nov 2026 05:06:07 +0000\r\n"
	    "From: root@mail.example.org (Cron Daemon)\r\nTo: admin@example.org\r\nSubject: x\r\n"
	    "Date: Mon, 23 Nov 2026 05:06:07 +0000\r\n"
	    "Message-ID: <20261123050607.ABC001@web1.example.org>\r\n\r\nTo: root\r\n");
	fake_queue_answer(&fixture->queue, NULL);
	assert_int_equal(fixture->status.reply_code, 250);
}

/* The same from elsewhere: not an octet. */
static void
test_mail_of_others(void **state)
{
	static const char message[] = "From: root\r\nTo: root@localhost\r\n\r\n";
	struct fixture *fixture = *state;
	const struct envelope *envelope;
	char text[ADDRESS_TEXT_MAX + 1];

	identity.sender = identity.from = name("noreply@example.org");
	begin(fixture, "root@localhost", false);
	add(fixture, "root@localhost", 0, NULL);
	add(fixture, "root@localhost", 0, NULL);
	envelope = finish(fixture, message, strlen(message));
	assert_non_null(envelope);
	assert_string_equal(address_text(&envelope->reverse_path, text), "root@localhost");
	assert_int_equal(envelope->recipient_count, 2);
	assert_recipient(envelope, 0, "root@localhost", NULL);
	assert_content(fixture, RECEIVED ";\r\n\tMon, 23 Nov 2026 05:06:07 +0000\r\n"
	    "From: root\r\nTo: root@localhost\r\n\r\n");
	assert_null(envelope->message_id);
	fake_queue_answer(&fixture->queue, NULL);
}

static void
test_recipients(void **state)
{
	struct fixture *fixture = *state;
	const struct envelope *envelope;

	begin(fixture, "", true);
	add(fixture, "root", NOTIFY_NEVER, NULL);
	add(fixture, "ops+x=y", NOTIFY_SUCCESS, NULL);
	add(fixture, "www-data@localhost", NOTIFY_FAILURE, "rfc822;Web@example.com");
	add(fixture, "nobody-known@localhost", 0, NULL);
	add(fixture, "bob@example.net", NOTIFY_DELAY, "rfc822;b@example.net");
	add(fixture, "carol@example.com", 0, NULL);
	add(fixture, "wide", 0, NULL);
	envelope = finish(fixture, "\r\n", 2);
	assert_non_null(envelope);
	assert_true(address_is_null(&envelope->reverse_path));
	assert_int_equal(envelope->recipient_count, 6);
	/* The first who names somebody says how: of wishes all hold. */
	assert_recipient(envelope, 0, "admin@example.org", "rfc822;root@mail.example.org");
	assert_int_equal(envelope->recipients[0].notify, NOTIFY_FAILURE);
	assert_recipient(envelope, 1, "ann@example.org", "rfc822;ops+2Bx+3Dy@mail.example.org");
	assert_recipient(envelope, 2, "bob@example.net", "rfc822;ops+2Bx+3Dy@mail.example.org");
	assert_int_equal(envelope->recipients[2].notify, NOTIFY_SUCCESS | NOTIFY_DELAY);
	assert_recipient(envelope, 3, "nobody-known@mail.example.org", NULL);
	assert_recipient(envelope, 4, "carol@example.com", NULL);
	assert_recipient(envelope, 5, "ann@b\303\274cher.example", "rfc822;wide@mail.example.org");
	/* A domain can be said in ASCII. */
	assert_false(envelope->smtputf8);
	fake_queue_answer(&fixture->queue, NULL);
}

static void
test_notify(void **state)
{
	static const struct {
		unsigned first, second, both;
	} rows[] = {
		{ 0, 0, 0 },
		{ NOTIFY_NEVER, NOTIFY_NEVER, NOTIFY_NEVER },
		{ NOTIFY_NEVER, 0, NOTIFY_FAILURE | NOTIFY_DELAY },
		{ 0, NOTIFY_SUCCESS, NOTIFY_SUCCESS | NOTIFY_FAILURE | NOTIFY_DELAY },
		{ NOTIFY_NEVER, NOTIFY_SUCCESS, NOTIFY_SUCCESS },
		{ NOTIFY_FAILURE, NOTIFY_DELAY, NOTIFY_FAILURE | NOTIFY_DELAY },
	};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		begin(fixture, "root", true);
		add(fixture, "root", rows[i].first, NULL);
		add(fixture, "admin@example.org", rows[i].second, NULL);
		assert_non_null(finish(fixture, "\r\n", 2));
		assert_int_equal(fixture->queue.envelope->recipient_count, 1);
		assert_int_equal(fixture->queue.envelope->recipients[0].notify, rows[i].both);
		fake_queue_answer(&fixture->queue, NULL);
		fake_queue_drop(&fixture->queue);
	}
}

static void
test_sender_and_from(void **state)
{
	static const char message[] = "From: Ann <ann@example.com>\r\nDate: x\r\nMessage-ID: <1@x>"
	    "\r\n\r\n";
	struct fixture *fixture = *state;
	const struct envelope *envelope;
	char text[ADDRESS_TEXT_MAX + 1];

	identity.sender = name("web1@example.org");
	identity.from = name("noreply@example.org");
	begin(fixture, "ann@example.com", true);
	add(fixture, "carol@example.com", 0, NULL);
	envelope = finish(fixture, message, strlen(message));
	assert_non_null(envelope);
	assert_string_equal(address_text(&envelope->reverse_path, text), "web1@example.org");
	assert_content(fixture, RECEIVED "\r\n\tfor <carol@example.com>;\r\n"
	    "\tMon, 23 Nov 2026 05:06:07 +0000\r\nFrom: Ann <noreply@example.org>\r\n"
	    "X-Original-From: Ann <ann@example.com>\r\nDate: x\r\nMessage-ID: <1@x>\r\n\r\n");
	fake_queue_answer(&fixture->queue, NULL);
}

/* Ten thousand behind aliases are taken, each once; one more is not. */
static void
test_many_recipients(void **state)
{
	struct fixture *fixture = *state;
	char text[32];

	for (unsigned count = 10000; count <= 10001; count++) {
		begin(fixture, "root", true);
		for (unsigned i = 0; i < count; i++) {
			snprintf(text, sizeof(text), "u%u@example.com", i);
			add(fixture, text, 0, NULL);
		}
		for (unsigned i = 0; i < 100; i++) {
			snprintf(text, sizeof(text), "u%u@example.com", i * 97);
			add(fixture, text, 0, NULL);
		}
		assert_true((finish(fixture, "\r\n", 2) != NULL) == (count == 10000));
		if (count > 10000) {
			assert_int_equal(fixture->status.reply_code, 554);
			assert_int_equal(fixture->status.enhanced.detail, 3);
			continue;
		}
		assert_int_equal(fixture->queue.envelope->recipient_count, 10000);
		fake_queue_answer(&fixture->queue, NULL);
		fake_queue_drop(&fixture->queue);
	}
}

static void
test_from_too_long(void **state)
{
	struct fixture *fixture = *state;
	struct buf message = { 0 };

	buf_append_text(&message, "From: root");
	while (message.len < REWRITE_FIELD_MAX + 1)
		buf_append_text(&message, ",\r\n root");
	buf_append_text(&message, "\r\n\r\n");
	identity.from = name("noreply@example.org");
	begin(fixture, "root", true);
	add(fixture, "root", 0, NULL);
	assert_null(finish(fixture, buf_octets(&message), message.len));
	assert_int_equal(fixture->status.reply_code, 552);
	assert_string_equal(fixture->status.text, "the From field is longer than 65536 octets");
	buf_free(&message);
}

static void
test_abort(void **state)
{
	struct fixture *fixture = *state;
	const struct submission_origin local = { .helo = "app", .client_name = "local",
		.client_uid = 1000, .protocol = "SMTP" };

	begin(fixture, "root", true);
	submission_abort(fixture->submission);
	begin(fixture, "root", true);
	for (unsigned i = 0; i < 40; i++) {
		char text[32];

		snprintf(text, sizeof(text), "u%u", i);
		add(fixture, text, 0, NULL);
	}
	submission_open(fixture->submission, &local);
	submission_write(fixture->submission, "To: roo", 7);
	submission_abort(fixture->submission);
	assert_int_equal(fixture->queue.submits, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_root_to_root, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mail_of_others, setup, teardown),
		cmocka_unit_test_setup_teardown(test_recipients, setup, teardown),
		cmocka_unit_test_setup_teardown(test_notify, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sender_and_from, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_recipients, setup, teardown),
		cmocka_unit_test_setup_teardown(test_from_too_long, setup, teardown),
		cmocka_unit_test_setup_teardown(test_abort, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
