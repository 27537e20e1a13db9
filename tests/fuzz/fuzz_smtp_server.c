/* fuzz_smtp_server.c - a session says and takes the same, however its input is cut. */
#include "proto/smtp_server.h"

#include <assert.h>
#include <string.h>

#include "base/buf.h"
#include "fuzz.h"

struct session {
	struct smtp_server *server;
	struct buf output, taken;
	bool open, in_data, is_over;
};

static void
on_output(void *owner, const char *octets, size_t len)
{
	struct session *session = owner;

	assert(!session->is_over);
	buf_append(&session->output, octets, len);
}

/* What goes into the store, and out again in a command. */
static void
assert_clean(const char *octets, size_t len, size_t limit)
{
	assert(len <= limit && (octets != NULL || len == 0));
	for (size_t i = 0; i < len; i++)
		assert(octets[i] > ' ' && octets[i] < 0x7f && octets[i] != '=');
}

static struct status
on_mail(void *owner, const struct address *reverse_path, const struct smtp_mail_params *params)
{
	struct session *session = owner;
	char text[ADDRESS_TEXT_MAX + 1];

	assert(address_is_ascii(reverse_path) || params->smtputf8);
	assert_clean(params->envid, params->envid_len, ENVELOPE_ENVID_MAX);
	assert(!session->open);
	session->open = true;
	buf_appendf(&session->taken, "from <%s>\n", address_text(reverse_path, text));
	return status_reply(250, "2.1.0", "Ok");
}

static struct status
on_rcpt(void *owner, const struct address *forward_path, const struct smtp_rcpt_params *params)
{
	struct session *session = owner;
	char text[ADDRESS_TEXT_MAX + 1];

	assert(params->notify == NOTIFY_NEVER || (params->notify & NOTIFY_NEVER) == 0);
	assert_clean(params->orcpt, params->orcpt_len, ENVELOPE_ORCPT_MAX);
	assert(session->open && !session->in_data);
	if (forward_path->local[0] == 'x')
		return status_reply(554, "5.7.1", "<%s>: no", address_text(forward_path, text));
	buf_appendf(&session->taken, "to <%s>\n", address_text(forward_path, text));
	return status_reply(250, "2.1.5", "Ok");
}

static struct status
on_data(void *owner)
{
	struct session *session = owner;

	assert(session->open && !session->in_data);
	session->in_data = true;
	return status_reply(354, "", "go ahead");
}

static void
on_content(void *owner, const char *octets, size_t len)
{
	struct session *session = owner;

	assert(session->in_data && len > 0);
	(void)octets;
}

static void
on_end(void *owner)
{
	struct session *session = owner;
	struct status status = status_reply(250, "2.0.0", "queued");

	assert(session->in_data);
	session->open = session->in_data = false;
	buf_append_text(&session->taken, "end\n");
	smtp_server_answer(session->server, &status);
}

static void
on_reset(void *owner)
{
	struct session *session = owner;

	assert(session->open);
	session->open = session->in_data = false;
	buf_append_text(&session->taken, "reset\n");
}

static void
on_refused(void *owner, const struct smtp_refusal *refusal)
{
	(void)owner;
	assert(status_class(refusal->status) != STATUS_SUCCESS);
}

static void
on_quit(void *owner)
{
	struct session *session = owner;

	session->is_over = true;
}

static const struct smtp_server_events events = {
	.on_output = on_output,
	.on_mail = on_mail,
	.on_rcpt = on_rcpt,
	.on_data = on_data,
	.on_content = on_content,
	.on_end = on_end,
	.on_reset = on_reset,
	.on_refused = on_refused,
	.on_quit = on_quit,
};

/* At most `piece` octets more at a time, with what was left before. */
static void
run(struct session *session, const char *octets, size_t len, size_t piece)
{
	const struct smtp_server_settings settings = {
		.hostname = "h.example", .max_message_size = 100, .max_recipients = 3,
		.max_errors = 10,
	};
	size_t at = 0, offered = 0;

	session->server = smtp_server_new(&settings, &events, session);
	smtp_server_greet(session->server);
	while (offered < len) {
		offered = len - offered < piece ? len : offered + piece;
		at += smtp_server_input(session->server, octets + at, offered - at);
		assert(offered - at <= SMTP_SERVER_LINE_MAX);
	}
	smtp_server_free(session->server);
}

/* Replies are lines of at most 512 octets that begin with a code. */
static void
check_replies(const struct buf *output)
{
	const char *at = buf_octets(output), *end = at + output->len, *lf;

	for (; at < end; at = lf + 1) {
		lf = memchr(at, '\n', (size_t)(end - at));
		assert(lf != NULL && lf - at >= 5 && lf - at < 512 && lf[-1] == '\r');
		assert(at[0] >= '2' && at[0] <= '5' && (at[3] == ' ' || at[3] == '-'));
		assert(memchr(at, '\r', (size_t)(lf - 1 - at)) == NULL);
		assert(memchr(at, '\0', (size_t)(lf - at)) == NULL);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *octets, size_t len)
{
	struct session whole = { 0 }, pieces = { 0 };
	size_t piece;

	if (len == 0)
		return 0;
	piece = octets[0] % 16 + 1u;
	run(&whole, (const char *)octets + 1, len - 1, SIZE_MAX);
	run(&pieces, (const char *)octets + 1, len - 1, piece);
	check_replies(&whole.output);
	assert(whole.is_over == pieces.is_over);
	assert(whole.output.len == pieces.output.len);
	assert(memcmp(buf_octets(&whole.output), buf_octets(&pieces.output),
	    whole.output.len) == 0);
	assert(whole.taken.len == pieces.taken.len);
	assert(memcmp(buf_octets(&whole.taken), buf_octets(&pieces.taken), whole.taken.len) == 0);
	buf_free(&whole.output);
	buf_free(&whole.taken);
	buf_free(&pieces.output);
	buf_free(&pieces.taken);
	return 0;
}
