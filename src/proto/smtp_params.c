/* smtp_params.c - the parameters of MAIL and RCPT, read and judged. */
#include "proto/smtp_params.h"

#include <string.h>

#include "mail/dsn_xtext.h"

/* What is being filled: one of the two. */
struct target {
	struct smtp_mail_params *mail;
	struct smtp_rcpt_params *rcpt;
	char *orcpt;
	const struct smtp_server_settings *settings;	/* for MAIL */
};

/* Takes a value, or says why not. */
typedef bool take_value(struct target *target, struct slice value, struct status *refusal);

struct row {
	const char *keyword;
	take_value *take;
	bool is_bare;			/* has no value; else it must have one */
};

static bool
refuse(struct status *refusal, uint16_t code, const char *enhanced, const char *text)
{
	*refusal = status_reply(code, enhanced, "%s", text);
	return false;
}

/* --- MAIL --- */

static bool
take_size(struct target *target, struct slice value, struct status *refusal)
{
	uint64_t limit = target->settings->max_message_size;

	if (!smtp_size_parse(value, &target->mail->size))
		return refuse(refusal, 501, "5.5.4", "bad SIZE value");
	if (limit > 0 && target->mail->size > limit)
		return refuse(refusal, 552, "5.3.4", "message exceeds the limit");
	return true;
}

static bool
take_body(struct target *target, struct slice value, struct status *refusal)
{
	target->mail->body_8bit = slice_is(value, "8BITMIME");
	return target->mail->body_8bit || slice_is(value, "7BIT") ||
	    refuse(refusal, 501, "5.5.4", "bad BODY value");
}

static bool
take_smtputf8(struct target *target, struct slice value, struct status *refusal)
{
	(void)value;
	(void)refusal;
	target->mail->smtputf8 = true;
	return true;
}

static bool
take_ret(struct target *target, struct slice value, struct status *refusal)
{
	if (slice_is(value, "FULL"))
		target->mail->ret = RET_FULL;
	else if (slice_is(value, "HDRS"))
		target->mail->ret = RET_HDRS;
	else
		return refuse(refusal, 501, "5.5.4", "bad RET value");
	return true;
}

static bool
take_envid(struct target *target, struct slice value, struct status *refusal)
{
	char decoded[ENVELOPE_ENVID_MAX + 1];

	if (value.len > ENVELOPE_ENVID_MAX ||
	    !dsn_xtext_decode(decoded, sizeof(decoded), value.at, value.len))
		return refuse(refusal, 501, "5.5.4", "bad ENVID value");
	target->mail->envid = value.at;
	target->mail->envid_len = value.len;
	return true;
}

/* RFC 4954 5: who submitted it first, said by a client that need not be believed.  It is read
 * and dropped, as if it were "<>". */
static bool
take_auth(struct target *target, struct slice value, struct status *refusal)
{
	char decoded[ADDRESS_TEXT_MAX + 1];

	if (target->settings->offers_auth == 0)
		return refuse(refusal, 555, "5.5.4", "unsupported parameter");
	return slice_is(value, "<>") ||
	    dsn_xtext_decode(decoded, sizeof(decoded), value.at, value.len) ||
	    refuse(refusal, 501, "5.5.4", "bad AUTH value");
}

static const struct row mail_rows[] = {
	{ "SIZE", take_size, false },
	{ "BODY", take_body, false },
	{ "SMTPUTF8", take_smtputf8, true },
	{ "RET", take_ret, false },
	{ "ENVID", take_envid, false },
	{ "AUTH", take_auth, false },
};

/* --- RCPT --- */

static unsigned
notify_bit(struct slice word)
{
	static const struct {
		const char *word;
		unsigned bit;
	} words[] = {
		{ "NEVER", NOTIFY_NEVER },
		{ "SUCCESS", NOTIFY_SUCCESS },
		{ "FAILURE", NOTIFY_FAILURE },
		{ "DELAY", NOTIFY_DELAY },
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (slice_is(word, words[i].word))
			return words[i].bit;
	return 0;
}

/* RFC 3461 4.1: NEVER stands alone; of the others each stands once at most. */
static bool
take_notify(struct target *target, struct slice value, struct status *refusal)
{
	unsigned all = 0, bit;

	for (;;) {
		const char *comma = memchr(value.at, ',', value.len);
		size_t len = comma != NULL ? (size_t)(comma - value.at) : value.len;

		bit = notify_bit((struct slice){ value.at, len });
		if (bit == 0 || (all & bit) != 0)
			return refuse(refusal, 501, "5.5.4", "bad NOTIFY value");
		all |= bit;
		if (comma == NULL)
			break;
		value.at += len + 1;
		value.len -= len + 1;
	}
	if ((all & NOTIFY_NEVER) != 0 && all != NOTIFY_NEVER)
		return refuse(refusal, 501, "5.5.4", "NOTIFY=NEVER stands alone");
	target->rcpt->notify = all;
	return true;
}

static bool
take_orcpt(struct target *target, struct slice value, struct status *refusal)
{
	if (!dsn_orcpt_settle(target->orcpt, value.at, value.len))
		return refuse(refusal, 501, "5.5.4", "bad ORCPT value");
	target->rcpt->orcpt = target->orcpt;
	target->rcpt->orcpt_len = strlen(target->orcpt);
	return true;
}

static const struct row rcpt_rows[] = {
	{ "NOTIFY", take_notify, false },
	{ "ORCPT", take_orcpt, false },
};

/* --- both --- */

static bool
take_parameter(struct target *target, const struct smtp_parameter *parameter,
    const struct row *row, struct status *refusal)
{
	if (parameter->has_value == row->is_bare)
		return refuse(refusal, 501, "5.5.4", row->is_bare ?
		    "the parameter takes no value" : "the parameter needs a value");
	return row->take(target, parameter->value, refusal);
}

static bool
take_all(struct target *target, struct slice rest, const struct row *rows, size_t count,
    struct status *refusal)
{
	struct smtp_parameter parameter;
	enum smtp_next next;
	unsigned seen = 0;
	size_t i;

	while ((next = smtp_parameter_next(&rest, &parameter)) == SMTP_NEXT_ONE) {
		for (i = 0; i < count; i++)
			if (slice_is(parameter.keyword, rows[i].keyword))
				break;
		if (i == count)
			return refuse(refusal, 555, "5.5.4", "unsupported parameter");
		/* RFC 5321 says nothing of a second one; RFC 3461 4 forbids it. */
		if ((seen & 1u << i) != 0)
			return refuse(refusal, 501, "5.5.4", "a parameter stands twice");
		seen |= 1u << i;
		if (!take_parameter(target, &parameter, &rows[i], refusal))
			return false;
	}
	return next != SMTP_NEXT_FAULT ||
	    refuse(refusal, 501, "5.5.4", "syntax error in a parameter");
}

bool
smtp_mail_params_parse(struct slice parameters, const struct smtp_server_settings *settings,
    struct smtp_mail_params *out, struct status *refusal)
{
	struct target target = { .mail = out, .settings = settings };

	*out = (struct smtp_mail_params){ .size = 0 };
	return take_all(&target, parameters, mail_rows, sizeof(mail_rows) / sizeof(mail_rows[0]),
	    refusal);
}

bool
smtp_rcpt_params_parse(struct slice parameters, struct smtp_rcpt_params *out,
    char orcpt[ENVELOPE_ORCPT_MAX + 1], struct status *refusal)
{
	struct target target = { .rcpt = out, .orcpt = orcpt };

	*out = (struct smtp_rcpt_params){ .notify = 0 };
	return take_all(&target, parameters, rcpt_rows, sizeof(rcpt_rows) / sizeof(rcpt_rows[0]),
	    refusal);
}
