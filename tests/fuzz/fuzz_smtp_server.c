/* fuzz_smtp_server.c - a session says and takes the same, however its input is cut. */
#include "proto/smtp_server.h"

#include <assert.h>
#include <string.h>

#include "base/buf.h"
#include "fuzz.h"

/* Bits of the second octet: what the server offers, and how its owner answers. */
enum {
	OFFERS_STARTTLS = 1, OFFERS_AUTH = 2, AUTH_IN_CLEAR = 4, REQUIRE_AUTH = 8, BARE_NAMES = 16,
	NORMALIZE = 32, IS_SECURE = 64,
	TAKES_INJECTED = 128,		/* a careless owner: what is behind STARTTLS goes on */
};

struct session {
	struct smtp_server *server;
	struct buf output, taken;
	struct buf content;		/* what is refused may have been handed on, or not */
	bool is_late;			/* answers come when the input has returned */
	bool asks_store, asks_auth, asks_tls, knows_user;
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
	buf_clear(&session->content);
	return status_reply(354, "", "go ahead");
}

static void
on_content(void *owner, const char *octets, size_t len)
{
	struct session *session = owner;

	assert(session->in_data && len > 0);
	buf_append(&session->content, octets, len);
}

static void
answer(struct session *session)
{
	struct status queued = status_reply(250, "2.0.0", "queued");
	struct status welcome = status_reply(235, "2.7.0", "welcome");
	struct status wrong = status_reply(535, "5.7.8", "wrong");

	if (session->asks_store) {
		session->asks_store = false;
		smtp_server_answer(session->server, &queued);
	}
	if (session->asks_auth) {
		session->asks_auth = false;
		smtp_server_auth_answer(session->server, session->knows_user ? &welcome : &wrong);
	}
}

static void
on_end(void *owner)
{
	struct session *session = owner;
	const char *content = buf_octets(&session->content);
	size_t len = session->content.len;

	assert(session->in_data);
	assert(len == 0 || (len >= 2 && memcmp(content + len - 2, "\r\n", 2) == 0));
	session->open = session->in_data = false;
	buf_append(&session->taken, content, len);
	buf_append_text(&session->taken, "end\n");
	session->asks_store = true;
	if (!session->is_late)
		answer(session);
}

/* All that a name may have on its way into the log. */
static void
on_auth(void *owner, const char *username, const char *password)
{
	struct session *session = owner;

	assert(!session->open && username[0] != '\0' && strlen(username) <= 255);
	for (const char *at = username; *at != '\0'; at++)
		assert((unsigned char)*at >= 0x20 && *at != 0x7f);
	buf_appendf(&session->taken, "auth %s %s\n", username, password);
	session->knows_user = username[0] == password[0];
	session->asks_auth = true;
	if (!session->is_late)
		answer(session);
}

static void
on_starttls(void *owner, bool more_input)
{
	struct session *session = owner;

	(void)more_input;
	assert(!session->open);
	session->asks_tls = true;
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
	.on_starttls = on_starttls,
	.on_auth = on_auth,
};

static struct smtp_server *
new_server(struct session *session, unsigned bits)
{
	const struct smtp_server_settings settings = {
		.hostname = "h.example", .max_message_size = 100, .max_recipients = 3,
		.max_errors = 10, .offers_starttls = (bits & OFFERS_STARTTLS) != 0,
		.offers_auth = (bits & OFFERS_AUTH) != 0 ? SMTP_AUTH_PLAIN | SMTP_AUTH_LOGIN : 0,
		.auth_in_clear = (bits & AUTH_IN_CLEAR) != 0,
		.require_auth = (bits & REQUIRE_AUTH) != 0,
		.bare_names = (bits & BARE_NAMES) != 0, .normalize = (bits & NORMALIZE) != 0,
		.is_secure = (bits & IS_SECURE) != 0,
	};

	return smtp_server_new(&settings, &events, session);
}

/* What the owner does between two inputs; false: nothing is to be done. */
static bool
settle(struct session *session, bool injected)
{
	const struct status status = status_reply(421, "4.7.0", "octets behind STARTTLS");

	if (session->asks_store || session->asks_auth) {
		assert(smtp_server_awaits_answer(session->server));
		answer(session);
		return true;
	}
	if (!session->asks_tls)
		return false;
	session->asks_tls = false;
	if (injected)
		smtp_server_close(session->server, &status);
	else
		smtp_server_secured(session->server);
	return true;
}

/* At most `piece` octets more at a time, with what was left before. */
static void
run(struct session *session, unsigned bits, const char *octets, size_t len, size_t piece)
{
	size_t at = 0, offered = 0;

	session->server = new_server(session, bits);
	smtp_server_greet(session->server);
	for (;;) {
		at += smtp_server_input(session->server, octets + at, offered - at);
		assert(at <= offered);
		if (settle(session, at < len && (bits & TAKES_INJECTED) == 0))
			continue;
		assert(offered - at <= SMTP_SERVER_AUTH_MAX);
		if (offered == len)
			break;
		offered = len - offered < piece ? len : offered + piece;
	}
	buf_appendf(&session->taken, "%s %s\n", smtp_server_protocol(session->server),
	    smtp_server_username(session->server));
	smtp_server_free(session->server);
	buf_free(&session->content);
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
	struct session whole = { 0 }, pieces = { .is_late = true };
	size_t piece;

	if (len < 2)
		return 0;
	piece = octets[0] % 16 + 1u;
	run(&whole, octets[1], (const char *)octets + 2, len - 2, SIZE_MAX);
	run(&pieces, octets[1], (const char *)octets + 2, len - 2, piece);
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
