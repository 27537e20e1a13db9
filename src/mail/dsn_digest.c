/* dsn_digest.c - many reports to one sender in one, where each alone would be a storm. */
#include "mail/dsn_digest.h"

#include <stdio.h>

#include "base/buf.h"
#include "mail/dsn.h"
#include "mail/dsn_text.h"
#include "mail/envelope.h"

#define RECIPIENTS_LISTED 10 /* of a message */

static void
list_recipient(const struct recipient *recipient, struct buf *out)
{
	static const char *const words[] = {
		[DSN_RELAYED] = "passed on: ", [DSN_DELAYED] = "delayed: ", [DSN_FAILED] = "",
	};
	char address[ADDRESS_TEXT_MAX + 1], text[STATUS_TEXT_MAX + 32];

	dsn_line_utf8(out, "  <%s>", address_text(&recipient->forward_path, address));
	dsn_line(out, "    %s%s", words[dsn_action(recipient)],
	    status_text(&recipient->last, text, sizeof(text)));
}

static void
list_message(const struct envelope *envelope, struct buf *out)
{
	size_t count = envelope->recipient_count;

	if (envelope->message_id != NULL)
		dsn_line(out, "%s, message-id %s", envelope->queue_id, envelope->message_id);
	else
		dsn_line(out, "%s", envelope->queue_id);
	for (size_t i = 0; i < count && i < RECIPIENTS_LISTED; i++)
		list_recipient(&envelope->recipients[i], out);
	if (count > RECIPIENTS_LISTED)
		dsn_line(out, "  and %zu more recipients", count - RECIPIENTS_LISTED);
	dsn_line(out, "%s", "");
}

static void
write_words(const struct dsn_digest *digest, struct buf *out)
{
	dsn_line(out, "This is the mail system of %s.", digest->hostname);
	dsn_line(out, "%s", "");
	dsn_line(out, "So many of your messages came to nothing that they are no longer reported");
	dsn_line(out, "one by one.  Unless it says otherwise below, they could not be delivered");
	dsn_line(out, "and will not be tried again.  Messages in this report: %zu.", digest->count);
	dsn_line(out, "%s", "");
	for (size_t i = 0; i < digest->count && i < DSN_DIGEST_LISTED; i++)
		list_message(digest->about[i], out);
	if (digest->count > DSN_DIGEST_LISTED)
		dsn_line(out, "And %zu messages that are not listed.",
		    digest->count - DSN_DIGEST_LISTED);
}

void
dsn_digest_write(const struct dsn_digest *digest, struct buf *out, struct dsn_needs *needs)
{
	struct buf words = { 0 };
	char subject[80];
	struct dsn_head head = {
		.hostname = digest->hostname, .queue_id = digest->queue_id,
		.sender = digest->sender, .subject = subject, .now = digest->now,
	};
	bool ascii;

	snprintf(subject, sizeof(subject), "Undelivered Mail: %zu Messages", digest->count);
	write_words(digest, &words);
	ascii = dsn_is_ascii(buf_octets(&words), words.len);
	needs->smtputf8 = needs->body_8bit = address_needs_utf8(digest->sender);
	dsn_head_write(&head, out);
	dsn_line(out, "Content-Type: text/plain; charset=%s", ascii ? "us-ascii" : "utf-8");
	if (!ascii)
		dsn_line(out, "Content-Transfer-Encoding: quoted-printable");
	dsn_line(out, "%s", "");
	if (ascii)
		buf_append(out, buf_octets(&words), words.len);
	else
		dsn_quoted_printable(out, buf_octets(&words), words.len);
	buf_free(&words);
}
