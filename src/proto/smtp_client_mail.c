/* smtp_client_mail.c - what the client sends of a mail, and what it need not even try to send. */
#include "proto/smtp_client_steps.h"

#include "base/mem.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* --- who is told what --- */

void
smtp_mail_tell(struct smtp_client *client, struct smtp_transaction *transaction, size_t i,
    const struct status *status)
{
	if (transaction->fates[i] & FATE_TOLD)
		return;
	transaction->fates[i] |= FATE_TOLD;
	client->telling = transaction;
	client->events->on_recipient(client->owner, transaction->mail.cookie,
	    transaction->mail.first + i, status);
	client->telling = NULL;
}

/* The envelope may be gone behind the last of them: only our own fields are looked at. */
void
smtp_mail_tell_rest(struct smtp_client *client, struct smtp_transaction *transaction,
    const struct status *status)
{
	for (size_t i = 0; i < transaction->mail.count; i++)
		smtp_mail_tell(client, transaction, i, status);
	transaction->accepted = 0;
}

void
smtp_mail_clear(struct smtp_transaction *transaction)
{
	free(transaction->fates);
	*transaction = (struct smtp_transaction){ 0 };
}

/* --- what cannot be sent to this peer --- */

/* RFC 6531 3.3: a domain alone can be written in ASCII. */
static bool
needs_utf8(const struct address *address)
{
	char domain[ADDRESS_DOMAIN_MAX + 1];

	return !address_is_ascii(address) &&
	    (address_needs_utf8(address) || !address_domain_ascii(address, domain));
}

static const struct recipient *
recipient_at(const struct smtp_transaction *transaction, size_t i)
{
	return &transaction->mail.envelope->recipients[transaction->mail.first + i];
}

static bool
is_too_large(const struct smtp_client *client, const struct envelope *envelope, struct status *why)
{
	const uint64_t limit = client->extensions.size_max;

	if (limit == 0 || envelope->size <= limit)
		return false;
	*why = status_local("5.3.4", "message of %" PRIu64 " octets, the relay takes %" PRIu64,
	    envelope->size, limit);
	return true;
}

/* Nobody of the mail can have it from this peer. */
static bool
is_hopeless(const struct smtp_client *client, const struct smtp_client_mail *mail,
    struct status *why)
{
	const struct smtp_extensions *offers = &client->extensions;

	if (is_too_large(client, mail->envelope, why))
		return true;
	if (!offers->smtputf8 && (mail->utf8_header || needs_utf8(&mail->envelope->reverse_path))) {
		*why = status_local("5.6.7", "%s in UTF-8, the relay does not offer SMTPUTF8",
		    mail->utf8_header ? "header" : "sender's address");
		return true;
	}
	/* RFC 6152 3: eight-bit mail must not be sent here; as herald does not convert it,
	 * it fails and its sender is told, rather than that it arrives mangled. */
	if (mail->eight_bit && !offers->eight_bit_mime) {
		*why = status_local("5.6.3", "eight-bit message, the relay does not offer "
		    "8BITMIME");
		return true;
	}
	return false;
}

/* RFC 6531 3.5: those who could only be named in UTF-8.  Marks all before it tells one, as
 * the envelope goes with the last that is told. */
static void
rule_out_utf8(struct smtp_client *client, struct smtp_transaction *transaction)
{
	const struct status why = status_local("5.6.7",
	    "recipient's address in UTF-8, the relay does not offer SMTPUTF8");
	const size_t count = transaction->mail.count;

	for (size_t i = 0; i < count; i++)
		if (needs_utf8(&recipient_at(transaction, i)->forward_path))
			transaction->fates[i] |= FATE_RULED_OUT;
	for (size_t i = 0; i < count; i++)
		if (transaction->fates[i] & FATE_RULED_OUT)
			smtp_mail_tell(client, transaction, i, &why);
}

static bool
uses_utf8(const struct smtp_client *client, const struct smtp_transaction *transaction)
{
	const struct smtp_client_mail *mail = &transaction->mail;

	if (!client->extensions.smtputf8)
		return false;
	if (mail->utf8_header || needs_utf8(&mail->envelope->reverse_path))
		return true;
	for (size_t i = 0; i < mail->count; i++)
		if (needs_utf8(&recipient_at(transaction, i)->forward_path))
			return true;
	return false;
}

bool
smtp_mail_begin(struct smtp_client *client, struct smtp_transaction *transaction,
    const struct smtp_client_mail *mail)
{
	const struct smtp_extensions *offers = &client->extensions;
	struct status why;

	assert(mail->count > 0);
	assert(mail->first + mail->count <= mail->envelope->recipient_count);
	smtp_mail_clear(transaction);
	transaction->mail = *mail;
	transaction->fates = mem_array(mail->count, sizeof(*transaction->fates));
	if (is_hopeless(client, mail, &why))
		smtp_mail_tell_rest(client, transaction, &why);
	else if (!offers->smtputf8)
		rule_out_utf8(client, transaction);
	for (size_t i = 0; i < mail->count; i++) {
		if (transaction->fates[i] & FATE_TOLD)
			continue;
		transaction->utf8 = uses_utf8(client, transaction);
		transaction->bdat = mail->in_memory && offers->chunking && offers->pipelining;
		return true;
	}
	smtp_mail_clear(transaction);
	return false;
}

/* --- what is sent --- */

/* RFC 3461 4: xtext and what else may stand in a parameter.  It came from outside, and has
 * been in the store since. */
static bool
is_parameter(const char *text, size_t max)
{
	size_t len = text == NULL ? 0 : strlen(text);

	if (len == 0 || len > max)
		return false;
	for (size_t i = 0; i < len; i++)
		if (text[i] <= ' ' || text[i] > '~')
			return false;
	return true;
}

static void
write_path(struct smtp_client *client, const struct smtp_transaction *transaction,
    const char *command, const struct address *address)
{
	struct address ascii = *address;
	char text[ADDRESS_TEXT_MAX + 1];

	if (!transaction->utf8 && !address_is_ascii(address) &&
	    !address_domain_ascii(address, ascii.domain))
		abort();		/* it has been ruled out */
	buf_appendf(&client->out, "%s:<%s>", command, address_text(&ascii, text));
}

static void
write_mail(struct smtp_client *client, struct smtp_transaction *transaction)
{
	const struct smtp_extensions *offers = &client->extensions;
	const struct envelope *envelope = transaction->mail.envelope;
	struct buf *out = &client->out;
	const size_t start = out->len;

	write_path(client, transaction, "MAIL FROM", &envelope->reverse_path);
	if (offers->size)
		buf_appendf(out, " SIZE=%" PRIu64, envelope->size);
	if (offers->eight_bit_mime && envelope->body_8bit)
		buf_append_text(out, " BODY=8BITMIME");
	if (transaction->utf8)
		buf_append_text(out, " SMTPUTF8");
	if (offers->dsn && envelope->ret != RET_UNSET)
		buf_append_text(out, envelope->ret == RET_FULL ? " RET=FULL" : " RET=HDRS");
	if (offers->dsn && is_parameter(envelope->envid, ENVELOPE_ENVID_MAX))
		buf_appendf(out, " ENVID=%s", envelope->envid);
	smtp_step_end_command(client, start);
	transaction->stage = MAIL_SENT;
}

static void
write_notify(struct buf *out, unsigned notify)
{
	static const struct { unsigned bit; const char *name; } names[] = {
		{ NOTIFY_SUCCESS, "SUCCESS" }, { NOTIFY_FAILURE, "FAILURE" },
		{ NOTIFY_DELAY, "DELAY" },
	};
	const char *before = " NOTIFY=";

	if (notify & NOTIFY_NEVER) {
		buf_append_text(out, " NOTIFY=NEVER");
		return;
	}
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if ((notify & names[i].bit) == 0)
			continue;
		buf_appendf(out, "%s%s", before, names[i].name);
		before = ",";
	}
}

static void
write_rcpt(struct smtp_client *client, const struct smtp_transaction *transaction, size_t i)
{
	const struct recipient *recipient = recipient_at(transaction, i);
	struct buf *out = &client->out;
	const size_t start = out->len;

	write_path(client, transaction, "RCPT TO", &recipient->forward_path);
	if (client->extensions.dsn) {
		write_notify(out, recipient->notify);
		if (is_parameter(recipient->orcpt, ENVELOPE_ORCPT_MAX))
			buf_appendf(out, " ORCPT=%s", recipient->orcpt);
	}
	smtp_step_end_command(client, start);
}

size_t
smtp_mail_next_rcpt(const struct smtp_transaction *transaction)
{
	size_t i = transaction->answered;

	while (i < transaction->mail.count && (transaction->fates[i] & FATE_RULED_OUT))
		i++;
	return i;
}

static void
write_data(struct smtp_client *client, const struct smtp_transaction *transaction)
{
	const size_t start = client->out.len;

	if (transaction->bdat)
		buf_appendf(&client->out, "BDAT %" PRIu64 " LAST",
		    transaction->mail.envelope->size);
	else
		buf_append_text(&client->out, "DATA");
	smtp_step_end_command(client, start);
}

/* All that may be written before the first reply: RFC 2920 3.1, RFC 3030 4.2. */
static void
write_transaction(struct smtp_client *client, struct smtp_transaction *transaction)
{
	const unsigned before = client->due;

	write_mail(client, transaction);
	if (!client->extensions.pipelining)
		return;
	for (size_t i = 0; i < transaction->mail.count; i++)
		if ((transaction->fates[i] & FATE_RULED_OUT) == 0)
			write_rcpt(client, transaction, i);
	write_data(client, transaction);
	transaction->ahead = client->due - before;
}

static void
send_chunk(struct smtp_client *client, const struct smtp_transaction *transaction)
{
	smtp_step_flush(client);
	if (!transaction->bdat)
		return;
	client->chunk_open = true;
	client->progress++;
	client->events->send_data(client->owner, transaction->mail.cookie, true);
}

void
smtp_mail_send(struct smtp_client *client)
{
	struct smtp_transaction *transaction = &client->now;

	write_transaction(client, transaction);
	if (transaction->ahead > 0)
		transaction->ahead--;	/* MAIL is entered */
	send_chunk(client, transaction);
}

void
smtp_mail_follow(struct smtp_client *client)
{
	/* RFC 3030 2: of a BDAT that fails the transaction may be left over, and this mail would
	 * go to those of the one before. */
	if (client->now.bdat && client->step != STEP_RSET) {
		const size_t start = client->out.len;

		buf_append_text(&client->out, "RSET");
		smtp_step_end_command(client, start);
		client->now.ahead++;
	}
	write_transaction(client, &client->next);
	send_chunk(client, &client->next);
}

void
smtp_mail_send_rcpt(struct smtp_client *client)
{
	write_rcpt(client, &client->now, smtp_mail_next_rcpt(&client->now));
	smtp_step_flush(client);
}

void
smtp_mail_send_content(struct smtp_client *client)
{
	client->events->send_data(client->owner, client->now.mail.cookie, false);
}
