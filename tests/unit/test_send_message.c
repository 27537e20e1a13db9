/* test_send_message.c - a mail made of options and files. */
#include "client/send_message.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "client/send_stream.h"
#include "mail/envelope.h"
#include "queue/content.h"
#include "send_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sysexits.h>

#include <cmocka.h>
#include <gmime/gmime.h>

/* A request with one recipient, which the tests fill further. */
static struct send_request
request_of(void)
{
	static const char *to[] = { "b@example.net" };

	return (struct send_request){ .from = "a@example.org", .to = { to, 1 } };
}

static struct send_message *
make(const struct send_request *request)
{
	struct error err;
	int exit_code = 0;
	struct send_message *message = send_message_new(request, "/tmp", &exit_code, &err);

	if (message == NULL)
		fail_msg("%d: %s", exit_code, err.text);
	return message;
}

static void
read_content(struct buf *out, const struct send_message *message)
{
	struct error err;
	size_t got;

	do {
		assert_true(content_read(message->content, out->len, buf_reserve(out, 65536), 65536,
		    &got, &err));
		buf_commit(out, got);
	} while (got > 0);
	assert_int_equal(out->len, message->envelope->size);
}

static void
writes_the_fields_in_order(void **state)
{
	struct send_request request = request_of();
	static const char *cc[] = { "c@example.net" }, *bcc[] = { "d@example.net, b@example.net" },
	    *reply_to[] = { "r@example.org" }, *headers[] = { "X-A: 1", "X-A: 2" };
	struct send_message *message;
	struct buf out = { 0 };

	(void)state;
	clock_set(INT64_C(1795410367) * 1000000);
	setenv("TZ", "UTC", 1);
	request.cc = (struct send_list){ cc, 1 };
	request.bcc = (struct send_list){ bcc, 1 };
	request.reply_to = (struct send_list){ reply_to, 1 };
	request.headers = (struct send_list){ headers, 2 };
	request.subject = "Hello";
	message = make(&request);
	read_content(&out, message);
	assert_non_null(strstr(buf_text(&out), "From: a@example.org\r\nTo: b@example.net\r\n"
	    "Cc: c@example.net\r\nReply-To: r@example.org\r\nSubject: Hello\r\n"
	    "Date: Mon, 23 Nov 2026 05:06:07 +0000\r\nMessage-ID: <"));
	assert_non_null(strstr(buf_text(&out), ".1795410367@example.org>\r\nX-A: 1\r\nX-A: 2\r\n"
	    "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=\"utf-8\"\r\n"
	    "Content-Transfer-Encoding: 7bit\r\n\r\n"));
	assert_null(strstr(buf_text(&out), "d@example.net"));
	assert_null(strstr(buf_text(&out), "Mailer"));
	/* To, Cc, Bcc, each once. */
	assert_int_equal(message->envelope->recipient_count, 3);
	assert_string_equal(message->envelope->recipients[2].forward_path.local, "d");
	assert_false(message->envelope->smtputf8);
	assert_false(message->envelope->body_8bit);
	assert_int_equal(message->envelope->message_id[0], '<');
	buf_free(&out);
	send_message_free(message);
	clock_set(-1);
}

static void
asks_for_smtputf8(void **state)
{
	static const struct { const char *from, *to, *bcc; bool smtputf8, body_8bit; } rows[] = {
		{ "a@例子.中国", "b@例子.中国", "c@example.org", false, false },
		{ "用户@例子.中国", "b@example.org", "c@example.org", true, true },
		{ "a@example.org", "用户@example.org", "c@example.org", true, true },
		/* Nobody reads Bcc: the header stays ASCII. */
		{ "a@example.org", "b@example.org", "用户@example.org", true, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *to = rows[i].to, *bcc = rows[i].bcc;
		struct send_request request = { .from = rows[i].from, .to = { &to, 1 },
			.bcc = { &bcc, 1 } };
		struct send_message *message = make(&request);
		struct buf out = { 0 };
		bool is_ascii = true;

		read_content(&out, message);
		for (size_t at = 0; at < out.len; at++)
			is_ascii = is_ascii && (signed char)buf_octets(&out)[at] > 0;
		assert_int_equal(is_ascii, !rows[i].body_8bit);
		assert_int_equal(message->envelope->smtputf8, rows[i].smtputf8);
		assert_int_equal(message->envelope->body_8bit, rows[i].body_8bit);
		buf_free(&out);
		send_message_free(message);
	}
}

/* --- text --- */

/* What the text part is sent as, and decoded again. */
static void
check_text(struct folder *folder, const char *text, size_t len, const char *encoding,
    const char *decoded, size_t decoded_len)
{
	struct send_request request = request_of();
	struct send_message *message;
	struct buf out = { 0 };
	GMimeStream *stream, *plain;
	GMimeParser *parser;
	GMimeMessage *read;
	GByteArray *array;

	request.text_file = folder_write(folder, "text", text, len);
	message = make(&request);
	read_content(&out, message);
	stream = g_mime_stream_mem_new_with_buffer(buf_octets(&out), out.len);
	parser = g_mime_parser_new_with_stream(stream);
	read = g_mime_parser_construct_message(parser, NULL);
	assert_string_equal(g_mime_object_get_header(g_mime_message_get_mime_part(read),
	    "Content-Transfer-Encoding"), encoding);
	plain = g_mime_stream_mem_new();
	g_mime_data_wrapper_write_to_stream(g_mime_part_get_content(
	    GMIME_PART(g_mime_message_get_mime_part(read))), plain);
	array = g_mime_stream_mem_get_byte_array(GMIME_STREAM_MEM(plain));
	assert_int_equal(array->len, decoded_len);
	if (decoded_len > 0)
		assert_memory_equal(array->data, decoded, decoded_len);
	g_object_unref(plain);
	g_object_unref(read);
	g_object_unref(parser);
	g_object_unref(stream);
	buf_free(&out);
	send_message_free(message);
}

#define TEXT(octets)	octets, sizeof(octets) - 1

static void
sends_text_so_that_it_arrives(void **state)
{
	struct folder *folder = *state;
	char longer[4002];

	check_text(folder, TEXT(""), "7bit", TEXT(""));
	check_text(folder, TEXT("a\nb\n"), "7bit", TEXT("a\r\nb\r\n"));
	check_text(folder, TEXT("a\r\nb\n"), "7bit", TEXT("a\r\nb\r\n"));
	check_text(folder, TEXT("no end"), "7bit", TEXT("no end\r\n"));
	check_text(folder, TEXT("\xef\xbb\xbf" "BOM\n"), "7bit", TEXT("BOM\r\n"));
	check_text(folder, TEXT(".\n..\n.x\n"), "7bit", TEXT(".\r\n..\r\n.x\r\n"));
	check_text(folder, TEXT("a \nb\t\n c\n"), "quoted-printable", TEXT("a \r\nb\t\r\n c\r\n"));
	check_text(folder, TEXT("From me\nto From\n"), "quoted-printable",
	    TEXT("From me\r\nto From\r\n"));
	check_text(folder, TEXT("bare\rCR and \x1b and \x7f = stay as they are here\n"),
	    "quoted-printable", TEXT("bare\rCR and \x1b and \x7f = stay as they are here\r\n"));
	check_text(folder, TEXT("Caf\xc3\xa9 with much more of plain text behind it\n"),
	    "quoted-printable", TEXT("Caf\xc3\xa9 with much more of plain text behind it\r\n"));
	check_text(folder, TEXT("你好\n世界\n"), "base64", TEXT("你好\r\n世界\r\n"));
	/* One line, with what a break of it must not bring to a line's start. */
	memset(longer, 'x', sizeof(longer));
	for (size_t at = 70; at + 10 < sizeof(longer); at += 71)
		memcpy(longer + at, at % 2 == 0 ? "From " : ".  . ", 5);
	memcpy(longer + sizeof(longer) - 3, "x\r\n", 3);
	check_text(folder, longer, sizeof(longer), "quoted-printable", longer, sizeof(longer));
}

/* No line over 998 octets, none of a header over 78, CRLF and 7 bits everywhere. */
static void
check_lines(const struct buf *mail)
{
	const char *octets = buf_octets(mail);
	bool in_header = true;
	size_t line = 0;

	for (size_t at = 0; at < mail->len; at++) {
		assert_true((signed char)octets[at] > 0);
		if (octets[at] == '\n')
			assert_true(at > 0 && octets[at - 1] == '\r');
		if (octets[at] == '\r')
			assert_true(at + 1 < mail->len && octets[at + 1] == '\n');
		line = octets[at] == '\n' ? 0 : line + 1;
		assert_true(line <= (in_header ? 79 : 77));
		in_header = in_header && !(at > 3 && memcmp(octets + at - 3, "\r\n\r\n", 4) == 0);
	}
	assert_int_equal(line, 0);
}

static void
keeps_lines_short(void **state)
{
	struct folder *folder = *state;
	struct send_request request = request_of();
	struct send_message *message;
	struct buf out = { 0 };
	const char *attachments[1], *headers[] = { "X-Long: \xe4\xbd\xa0\xe5\xa5\xbd and on and on "
	    "and on and on and on and on and on and on and on and on and on and on and on and on" };
	char name[240] = "";

	for (size_t i = 0; i < 70; i++)
		memcpy(name + 3 * i, "\xe4\xbd\xa0", 4);
	attachments[0] = folder_write(folder, name, "x", 1);
	request.attachments = (struct send_list){ attachments, 1 };
	request.headers = (struct send_list){ headers, 1 };
	request.subject = name;
	message = make(&request);
	read_content(&out, message);
	check_lines(&out);
	buf_free(&out);
	send_message_free(message);
}

static void
shows_the_tree(void **state)
{
	struct folder *folder = *state;
	struct send_request request = request_of();
	struct send_message *message;
	const char *attachments[] = { folder_write(folder, "a.txt", "abc\n", 4) };

	folder_write(folder, "p.png", PNG, 8);
	request.html_file = folder_write(folder, "m.html", "<img src=p.png>x", 16);
	request.attachments = (struct send_list){ attachments, 1 };
	message = make(&request);
	assert_non_null(strstr(message->tree, "multipart/mixed\n  multipart/alternative\n"
	    "    text/plain, 2 octets\n    multipart/related\n      text/html, "));
	assert_non_null(strstr(message->tree, "      image/png \"p.png\" <picture1."));
	assert_non_null(strstr(message->tree, ", 8 octets\n  text/plain \"a.txt\", 4 octets\n"));
	send_message_free(message);
}

/* --- what is refused --- */

struct refusal {
	const char *text, *html, *attachment, *inline_file, *from, *subject;
	int exit_code;
	const char *why;
};

static void
check_refusal(struct folder *folder, const struct refusal *row)
{
	struct send_request request = request_of();
	const char *attachment, *inline_file;
	struct error err;
	int exit_code = 0;

	if (row->text != NULL)
		request.text_file = folder_path(folder, row->text);
	if (row->html != NULL)
		request.html_file = folder_path(folder, row->html);
	if (row->attachment != NULL) {
		attachment = folder_path(folder, row->attachment);
		request.attachments = (struct send_list){ &attachment, 1 };
	}
	if (row->inline_file != NULL) {
		inline_file = folder_path(folder, row->inline_file);
		request.inlines = (struct send_list){ &inline_file, 1 };
	}
	if (row->from != NULL)
		request.from = row->from;
	request.subject = row->subject;
	assert_null(send_message_new(&request, "/tmp", &exit_code, &err));
	if (exit_code != row->exit_code || strstr(err.text, row->why) == NULL)
		fail_msg("%d: %s, not %d: %s", exit_code, err.text, row->exit_code, row->why);
	assert_null(strpbrk(err.text, "\r\n\x1b"));
}

static void
names_what_it_refuses(void **state)
{
	static const struct refusal rows[] = {
		{ .text = "none", .exit_code = EX_NOINPUT, .why = "none: No such file" },
		{ .text = "folder", .exit_code = EX_NOINPUT, .why = "is a directory" },
		{ .text = "fifo", .exit_code = EX_NOINPUT, .why = "is a FIFO" },
		{ .text = "latin1", .exit_code = EX_DATAERR, .why = "latin1:2: this is not UTF-8" },
		{ .text = "latin1", .exit_code = EX_DATAERR, .why = "iconv" },
		{ .text = "utf16", .exit_code = EX_DATAERR, .why = "utf16:1: this is UTF-16" },
		{ .html = "nul", .exit_code = EX_DATAERR, .why = "nul:1: " },
		{ .text = "large", .exit_code = EX_DATAERR, .why = "larger than 16 MiB" },
		{ .attachment = "none", .exit_code = EX_NOINPUT, .why = "none: No such file" },
		{ .attachment = "folder", .exit_code = EX_NOINPUT, .why = "is a directory" },
		{ .attachment = "fifo", .exit_code = EX_NOINPUT, .why = "is a FIFO" },
		{ .attachment = "good;message/rfc822", .exit_code = EX_USAGE, .why = "this type" },
		{ .attachment = "a\nb", .exit_code = EX_DATAERR, .why = "line break" },
		{ .inline_file = "good", .exit_code = EX_USAGE, .why = "--html" },
		{ .subject = "a\r\nBcc: x@example.org", .exit_code = EX_DATAERR,
		    .why = "--subject" },
		{ .subject = "\xff", .exit_code = EX_DATAERR, .why = "not UTF-8" },
		{ .from = "a@example.org, b@example.org", .exit_code = EX_DATAERR,
		    .why = "--from" },
		{ .from = "nobody", .exit_code = EX_DATAERR, .why = "--from \"nobody\"" },
	};
	struct folder *folder = *state;

	assert_int_equal(mkdir(folder_path(folder, "folder"), 0700), 0);
	assert_int_equal(mkfifo(folder_path(folder, "fifo"), 0600), 0);
	folder_write(folder, "good", "x", 1);
	folder_write(folder, "latin1", "a\nCaf\xe9\n", 7);
	folder_write(folder, "utf16", "\xff\xfe" "a\0", 4);
	folder_write(folder, "nul", "a\0b", 3);
	assert_int_equal(truncate(folder_write(folder, "large", "x", 1), 17 * 1024 * 1024), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check_refusal(folder, &rows[i]);
}

static void
needs_sender_and_recipient(void **state)
{
	struct send_request request = { .from = "a@example.org" };
	struct error err;
	int exit_code = 0;

	(void)state;
	assert_null(send_message_new(&request, "/tmp", &exit_code, &err));
	assert_int_equal(exit_code, EX_USAGE);
	request = request_of();
	request.from = NULL;
	assert_null(send_message_new(&request, "/tmp", &exit_code, &err));
	assert_int_equal(exit_code, EX_USAGE);
}

/* There is no room where the mail is to lie. */
static void
says_when_it_cannot_write(void **state)
{
	struct folder *folder = *state;
	struct send_request request = request_of();
	const char *attachment = folder_write(folder, "large", "x", 1);
	struct error err;
	int exit_code = 0;

	assert_int_equal(truncate(attachment, 1024 * 1024), 0);
	request.attachments = (struct send_list){ &attachment, 1 };
	assert_null(send_message_new(&request, "/nonexistent", &exit_code, &err));
	assert_int_equal(exit_code, EX_IOERR);
}

/* --- files that change --- */

enum change { STAYS, GROWS, SHRINKS, REPLACED, TOUCHED, REMOVED };

static void
change_file(struct folder *folder, enum change change)
{
	const struct timespec times[2] = { { .tv_sec = 1 }, { .tv_sec = 1 } };
	const char *path = folder_path(folder, "file");

	switch (change) {
	case STAYS:
		break;
	case GROWS:
		assert_int_equal(truncate(path, 20000), 0);
		break;
	case SHRINKS:
		assert_int_equal(truncate(path, 5000), 0);
		break;
	case REPLACED:
		assert_int_equal(rename(folder_path(folder, "other"), path), 0);
		break;
	case TOUCHED:
		assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
		break;
	case REMOVED:
		assert_int_equal(unlink(path), 0);
		break;
	}
}

/* After it was looked at, or after its first octets were read. */
static void
check_change(struct folder *folder, enum change change, bool is_begun)
{
	char octets[10000], head[SEND_HEAD_MAX], block[4096];
	struct send_fault fault = { 0 };
	struct send_file file;
	GMimeStream *stream;
	ssize_t got = 1;
	size_t len, total = 0;

	memset(octets, 'x', sizeof(octets));
	folder_write(folder, "other", octets, sizeof(octets));
	assert_true(send_file_look(&file, folder_write(folder, "file", octets, sizeof(octets)),
	    head, &len, &fault));
	stream = send_stream_of_file(&file, &fault);
	if (is_begun)
		total = (size_t)g_mime_stream_read(stream, block, 1000);
	change_file(folder, change);
	while (got > 0) {
		got = g_mime_stream_read(stream, block, sizeof(block));
		total += got > 0 ? (size_t)got : 0;
	}
	g_object_unref(stream);
	assert_int_equal(got, change == STAYS ? 0 : -1);
	assert_int_equal(fault.is_set, change != STAYS);
	if (change == STAYS)
		assert_int_equal(total, sizeof(octets));
	else
		assert_non_null(strstr(fault.text, "/file"));
	if (change != STAYS)
		assert_int_equal(fault.exit_code, change == REMOVED ? EX_NOINPUT : EX_IOERR);
}

static void
sends_no_file_that_changes(void **state)
{
	for (int change = STAYS; change <= REMOVED; change++) {
		check_change(*state, (enum change)change, false);
		check_change(*state, (enum change)change, true);
	}
}

/* --- large files --- */

static void
needs_little_memory(void **state)
{
	struct folder *folder = *state;
	struct send_request request = request_of();
	const char *attachment = folder_write(folder, "large", "x", 1);
	struct send_message *message;
	struct rusage before, after;

	assert_int_equal(truncate(attachment, 200 * 1024 * 1024), 0);
	request.attachments = (struct send_list){ &attachment, 1 };
	getrusage(RUSAGE_SELF, &before);
	message = make(&request);
	getrusage(RUSAGE_SELF, &after);
	assert_true(message->envelope->size > UINT64_C(270) * 1024 * 1024);
	assert_true(after.ru_maxrss - before.ru_maxrss < 32 * 1024);	/* KiB */
	send_message_free(message);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_the_fields_in_order),
		cmocka_unit_test(asks_for_smtputf8),
		cmocka_unit_test_setup_teardown(sends_text_so_that_it_arrives, folder_setup,
		    folder_teardown),
		cmocka_unit_test_setup_teardown(keeps_lines_short, folder_setup, folder_teardown),
		cmocka_unit_test_setup_teardown(shows_the_tree, folder_setup, folder_teardown),
		cmocka_unit_test_setup_teardown(names_what_it_refuses, folder_setup,
		    folder_teardown),
		cmocka_unit_test(needs_sender_and_recipient),
		cmocka_unit_test_setup_teardown(says_when_it_cannot_write, folder_setup,
		    folder_teardown),
		cmocka_unit_test_setup_teardown(sends_no_file_that_changes, folder_setup,
		    folder_teardown),
		cmocka_unit_test_setup_teardown(needs_little_memory, folder_setup, folder_teardown),
	};

	g_mime_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
