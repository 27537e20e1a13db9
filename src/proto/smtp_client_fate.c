/* smtp_client_fate.c - what comes of the replies to a mail: the fate of each of its recipients. */
#include "proto/smtp_client_steps.h"

/* Replies within a mail that speak of the session: a fault of our own relay is never the
 * message's fault (SPEC 4). */
static const struct {
	unsigned code;
	bool at_mail_alone;		/* later it may be about a recipient or the mail */
} session_codes[] = {
	{ 530, false },			/* TLS or AUTH is wanted first, RFC 3207 4, RFC 4954 6 */
	{ 534, false },			/* the AUTH mechanism is too weak, RFC 4954 6 */
	{ 535, false },			/* the credentials are not valid, RFC 4954 6 */
	{ 538, false },			/* that AUTH needs encryption, RFC 2554 6 */
	{ 454, true },			/* no TLS or no AUTH now, the same sections */
	{ 502, true },			/* no MAIL here, RFC 5321 4.2.4 */
	{ 503, true },			/* something else was to come before it */
};

static bool
speaks_of_session(const struct smtp_client *client)
{
	for (size_t i = 0; i < sizeof(session_codes) / sizeof(session_codes[0]); i++)
		if (client->reply.code == session_codes[i].code)
			return !session_codes[i].at_mail_alone || client->step == STEP_MAIL;
	return false;
}

static enum smtp_step
refuse_session(struct smtp_client *client)
{
	client->session_refused = true;
	return smtp_step_refused(client);
}

/* The data of a mail in BDAT is out, and perhaps that of the mail behind it: each may be taken
 * all the same.  What is said to them is waited for, lest it is all sent a second time. */
static struct status
refuse_behind(struct smtp_client *client)
{
	if (!client->session_refused)
		(void)refuse_session(client);
	return client->fault;
}

/* 220 and 221 greet and part: in a transaction they accept nothing. */
static bool
is_success(const struct smtp_client *client)
{
	return client->reply.code / 100 == 2 && client->reply.code != 220 &&
	    client->reply.code != 221;
}

static bool
is_known(const struct smtp_client *client)
{
	return is_success(client) || smtp_step_is_refusal(client);
}

/* The mail at hand is over, on the wire too: what has been written behind it comes.  Of a
 * session that is refused only what has its data out. */
static enum smtp_step
next_transaction(struct smtp_client *client)
{
	smtp_mail_clear(&client->now);
	if (client->session_refused && !client->next.bdat)
		return STEP_FAULT;
	if (client->next.mail.count > 0) {
		client->now = client->next;
		client->next = (struct smtp_transaction){ 0 };
		return STEP_MAIL;
	}
	if (!client->quitting)
		return STEP_READY;
	client->now.ahead = 1;
	return STEP_QUIT;
}

enum smtp_step
smtp_fate_on_mail(struct smtp_client *client)
{
	struct smtp_transaction *transaction = &client->now;
	struct status status = smtp_reply_status(&client->reply);

	if (is_success(client)) {
		transaction->stage = MAIL_TAKEN;
		return STEP_RCPT;
	}
	if (speaks_of_session(client) && !transaction->bdat)
		return refuse_session(client);
	if (speaks_of_session(client))
		status = refuse_behind(client);
	if (!smtp_step_is_refusal(client))
		return smtp_step_odd(client);
	transaction->stage = MAIL_REFUSED;
	smtp_mail_tell_rest(client, transaction, &status);
	return transaction->ahead > 0 ? STEP_RCPT : next_transaction(client);
}

/* RFC 5321 4.5.3.1.10: 552 was once the code for "too many recipients", and is to be
 * taken as 452 where some were accepted before. */
static struct status
rcpt_status(const struct smtp_client *client)
{
	struct status status = smtp_reply_status(&client->reply);
	bool unclear = status.enhanced.class == 0 ||
	    (status.enhanced.subject == 5 && status.enhanced.detail == 3);

	if (speaks_of_session(client))
		return smtp_step_session_fault(client);
	if (status.reply_code == 552 && unclear && client->now.accepted > 0) {
		status.reply_code = 452;
		status.enhanced = (struct enhanced_code){ 4, 5, 3 };
	}
	return status;
}

/* What comes behind the reply to the last RCPT. */
static enum smtp_step
after_rcpt(const struct smtp_transaction *transaction)
{
	if (transaction->bdat)
		return STEP_DOT;
	return transaction->accepted > 0 || transaction->ahead > 0 ? STEP_DATA : STEP_RSET;
}

enum smtp_step
smtp_fate_on_rcpt(struct smtp_client *client)
{
	struct smtp_transaction *transaction = &client->now;
	const struct status status = rcpt_status(client);
	const size_t i = smtp_mail_next_rcpt(transaction);

	if (!is_known(client))
		return smtp_step_odd(client);
	/* Where others of the mail were taken the session is good for those. */
	if (speaks_of_session(client) && transaction->accepted == 0) {
		if (!transaction->bdat)
			return refuse_session(client);
		(void)refuse_behind(client);
	}
	transaction->answered = i + 1;
	if (smtp_step_is_refusal(client))
		smtp_mail_tell(client, transaction, i, &status);
	else if (transaction->stage == MAIL_TAKEN)
		transaction->accepted++;
	if (smtp_mail_next_rcpt(transaction) < transaction->mail.count)
		return STEP_RCPT;
	return after_rcpt(transaction);
}

enum smtp_step
smtp_fate_on_data(struct smtp_client *client)
{
	struct smtp_transaction *transaction = &client->now;
	const struct status status = smtp_reply_status(&client->reply);

	/* RFC 2920 3.1: nobody is accepted, yet the server wants mail data: none it gets. */
	if (client->reply.code == 354)
		return transaction->accepted > 0 ? STEP_CONTENT : STEP_LONE_DOT;
	if (!smtp_step_is_refusal(client))
		return smtp_step_odd(client);
	if (speaks_of_session(client))
		return refuse_session(client);
	smtp_mail_tell_rest(client, transaction, &status);
	return transaction->stage == MAIL_REFUSED ? next_transaction(client) : STEP_RSET;
}

/* Whether RSET is to come, or has been written, before another mail. */
static bool
is_reset_due(const struct smtp_client *client)
{
	const struct smtp_transaction *transaction = &client->now;

	if (transaction->ahead > 0)
		return true;
	return transaction->bdat && transaction->stage == MAIL_TAKEN &&
	    smtp_step_is_refusal(client) && !client->quitting && !client->session_refused;
}

/* Who offers CHUNKING and does not know BDAT may read the chunk as commands: nothing more is
 * said to it in this session, and the mail is for DATA in another one. */
static bool
is_bdat_unknown(const struct smtp_client *client)
{
	const unsigned code = client->reply.code;

	return client->now.bdat && (code == 500 || code == 502 || code == 504);
}

enum smtp_step
smtp_fate_on_dot(struct smtp_client *client)
{
	struct smtp_transaction *transaction = &client->now;
	struct status status = smtp_reply_status(&client->reply);

	if (!is_known(client))
		return smtp_step_odd(client);
	/* Half a chunk cannot have been taken.  Seen when the connection is lost within it. */
	if (client->chunk_open && client->next.mail.count == 0) {
		if (smtp_step_is_refusal(client))
			smtp_mail_tell_rest(client, transaction, &status);
		return smtp_step_odd(client);
	}
	if (transaction->bdat && speaks_of_session(client))
		status = refuse_behind(client);
	if (is_bdat_unknown(client)) {
		client->bdat_refused = true;
		return smtp_step_fault(client, smtp_step_session_fault(client));
	}
	smtp_mail_tell_rest(client, transaction, &status);
	return is_reset_due(client) ? STEP_RSET : next_transaction(client);
}

enum smtp_step
smtp_fate_on_lone_dot(struct smtp_client *client)
{
	return client->reply.code / 100 == 3 ? smtp_step_odd(client) : next_transaction(client);
}

enum smtp_step
smtp_fate_on_rset(struct smtp_client *client)
{
	return client->reply.code == 250 ? next_transaction(client) : smtp_step_refused(client);
}
