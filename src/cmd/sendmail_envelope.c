/* sendmail_envelope.c - from command line to envelope. */
#include "cmd/sendmail_envelope.h"

#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/text.h"
#include "cmd/sendmail_address.h"
#include "cmd/sendmail_from.h"
#include "cmd/sendmail_options.h"
#include "mail/envelope.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

/* --- what the command line asks for --- */

static bool
refuse(int *exit_code, int code, struct error *err, const char *what, const char *text)
{
	char shown[160];

	text_printable_utf8(shown, sizeof(shown), text, strlen(text));
	*exit_code = code;
	return error_set(err, ERROR_CONFIG, "%s \"%s\"", what, shown);
}

/* A line end within would be a second command to a server that is less careful (RULES H2). */
static bool
has_control(const char *text)
{
	for (; *text != '\0'; text++)
		if (((unsigned char)*text < 0x20 && *text != '\t') || *text == 0x7f)
			return true;
	return false;
}

/* "never", or a list of success, failure, delay: RFC 3461 4.1. */
static bool
parse_notify(const char *text, unsigned *out)
{
	static const struct { const char *word; unsigned bit; } words[] = {
		{ "never", NOTIFY_NEVER }, { "success", NOTIFY_SUCCESS },
		{ "failure", NOTIFY_FAILURE }, { "delay", NOTIFY_DELAY },
	};
	unsigned all = 0;

	for (;;) {
		size_t len, i;
		char word[16];

		text += strspn(text, " \t");
		len = strcspn(text, ", \t");
		snprintf(word, sizeof(word), "%.*s", len < sizeof(word) ? (int)len : 0, text);
		for (i = 0; i < sizeof(words) / sizeof(words[0]); i++)
			if (text_equal(word, words[i].word))
				break;
		if (i == sizeof(words) / sizeof(words[0]))
			return false;
		all |= words[i].bit;
		text += len + strspn(text + len, " \t");
		if (*text == '\0')
			break;
		if (*text++ != ',')
			return false;
	}
	*out = all;
	return (all & NOTIFY_NEVER) == 0 || all == NOTIFY_NEVER;
}

/* xtext, RFC 3461 4. */
static bool
keep_envid(struct envelope *envelope, const char *text)
{
	struct buf xtext = { 0 };
	bool ok = text[0] != '\0';

	for (; ok && *text != '\0'; text++) {
		ok = *text >= 0x20 && *text <= 0x7e;
		if (*text == '+' || *text == '=' || *text == ' ')
			buf_appendf(&xtext, "+%02X", (unsigned char)*text);
		else
			buf_append(&xtext, text, 1);
	}
	ok = ok && xtext.len <= ENVELOPE_ENVID_MAX;
	if (ok)
		envelope->envid = envelope_keep(envelope, buf_octets(&xtext), xtext.len);
	buf_free(&xtext);
	return ok;
}

static bool
take_dsn(struct envelope *envelope, const struct sendmail_options *options, int *exit_code,
    struct error *err)
{
	unsigned notify;

	if (options->notify != NULL && !parse_notify(options->notify, &notify))
		return refuse(exit_code, EX_USAGE, err, "-N takes \"never\", or some of "
		    "\"success,failure,delay\", and not", options->notify);
	if (options->ret != NULL && text_equal(options->ret, "full"))
		envelope->ret = RET_FULL;
	else if (options->ret != NULL && text_equal(options->ret, "hdrs"))
		envelope->ret = RET_HDRS;
	else if (options->ret != NULL)
		return refuse(exit_code, EX_USAGE, err, "-R takes \"full\" or \"hdrs\", and not",
		    options->ret);
	if (options->envid != NULL && !keep_envid(envelope, options->envid))
		return refuse(exit_code, EX_USAGE, err, "-V takes up to 100 printable characters, "
		    "and not", options->envid);
	return true;
}

static bool
take_sender(struct address *out, const char *text, int *exit_code, struct error *err)
{
	if (text[0] == '-')
		return refuse(exit_code, EX_USAGE, err, "no sender begins with \"-\":", text);
	*exit_code = EX_DATAERR;
	if (has_control(text))
		return refuse(exit_code, EX_DATAERR, err, "there is a control character in the "
		    "sender", text);
	return sendmail_sender_parse(out, text, err) || error_prefix(err, "sender");
}

struct envelope *
sendmail_envelope_new(const struct sendmail_options *options, const char *login, int *exit_code,
    struct error *err)
{
	struct envelope *envelope;
	struct address sender = { .domain = "" };

	if (options->sender == NULL)
		sendmail_login_address(&sender, login);
	else if (!take_sender(&sender, options->sender, exit_code, err))
		return NULL;
	envelope = envelope_new(&sender);
	if (!take_dsn(envelope, options, exit_code, err)) {
		envelope_free(envelope);
		return NULL;
	}
	return envelope;
}

/* --- recipients --- */

static bool
take_operands(struct sendmail_addresses *list, const struct sendmail_options *options,
    int *exit_code, struct error *err)
{
	struct buf notices = { 0 };
	bool ok = true;

	for (size_t i = 0; ok && i < options->operand_count; i++) {
		const char *word = options->operands[i];

		*exit_code = EX_DATAERR;
		if (word[0] == '-')
			ok = refuse(exit_code, EX_USAGE, err, "no recipient begins with \"-\":",
			    word);
		else if (has_control(word))
			ok = refuse(exit_code, EX_DATAERR, err, "there is a control character in "
			    "the recipient", word);
		else
			ok = sendmail_addresses_add(list, word, strlen(word), &notices, err);
		if (ok && notices.len > 0)
			ok = refuse(exit_code, EX_DATAERR, err, "not one address:", word);
	}
	buf_free(&notices);
	return ok;
}

static bool
judge(const struct sendmail_addresses *list, const struct sendmail_options *options,
    int *exit_code, struct error *err)
{
	*exit_code = EX_USAGE;
	if (list->count == 0 && options->from_header)
		return error_set(err, ERROR_CONFIG, "no recipients: there are none in To, Cc, Bcc "
		    "of the message, and none on the command line");
	if (list->count == 0)
		return error_set(err, ERROR_CONFIG, "no recipients: name them on the command "
		    "line, or use -t and name them in the message");
	*exit_code = EX_DATAERR;
	if (list->count > SENDMAIL_RECIPIENTS_MAX)
		return error_set(err, ERROR_CONFIG, "too many recipients: %zu", list->count);
	for (size_t i = 0; i < list->count; i++)
		if (list->items[i].local[0] == '-')
			return refuse(exit_code, EX_DATAERR, err,
			    "no recipient begins with \"-\":", list->items[i].local);
	return true;
}

bool
sendmail_envelope_add(struct envelope *envelope, const struct sendmail_options *options,
    const struct sendmail_addresses *recipients, int *exit_code, struct error *err)
{
	struct sendmail_addresses all = { 0 };
	unsigned notify = 0;
	bool ok;

	if (options->notify != NULL && !parse_notify(options->notify, &notify))
		notify = 0;	/* sendmail_envelope_new() has refused it */
	ok = take_operands(&all, options, exit_code, err);
	if (ok && options->from_header)
		sendmail_addresses_add_all(&all, recipients);
	ok = ok && judge(&all, options, exit_code, err);
	for (size_t i = 0; ok && i < all.count; i++)
		envelope_add(envelope, &all.items[i])->notify = notify;
	sendmail_addresses_clear(&all);
	return ok;
}
