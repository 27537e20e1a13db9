/* sendmail_message.h - what a program writes into sendmail, made into canonical mail data. */
#ifndef HERALD_CMD_SENDMAIL_MESSAGE_H
#define HERALD_CMD_SENDMAIL_MESSAGE_H

#include "cmd/sendmail_address.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct content;
struct error;

#define SENDMAIL_LINE_MAX	998	/* octets without CRLF, RFC 5322 2.1.1 */

struct sendmail_message_settings {	/* borrowed */
	bool ignore_dots;		/* else a line with one dot ends the message */
	bool from_header;		/* find recipients in To, Cc, Bcc or in Resent-* */
	const char *from_field;		/* whole, for a message without From */
	const char *directory;		/* where what does not fit into memory goes */
};

/* Content-Transfer-Encoding; identity: 7bit, 8bit, binary. */
enum sendmail_encoding {
	SENDMAIL_ENCODING_NONE, SENDMAIL_ENCODING_IDENTITY, SENDMAIL_ENCODING_OTHER,
};

/* What is known of a message once it is whole. */
struct sendmail_facts {
	uint64_t header_size;		/* octets, with the empty line */
	uint64_t longest;		/* octets of the longest line of the body */
	bool eight_bit;
	bool bare_cr, nul;		/* in the body */
	bool has_version, has_type;	/* MIME-Version, Content-Type */
	bool is_composite;		/* multipart/... or message/...: its parts have encodings */
	enum sendmail_encoding encoding;
};

struct sendmail_message;

struct sendmail_message *sendmail_message_new(const struct sendmail_message_settings *settings);
void sendmail_message_free(struct sendmail_message *message);

/* Blocks cut anywhere; NUL, CR and LF as they come.  False where the message cannot be sent:
 * *err, and *exit_code of sysexits.h.  *ended: the lone dot was read, no more is wanted. */
bool sendmail_message_feed(struct sendmail_message *message, const char *octets, size_t len,
    bool *ended, int *exit_code, struct error *err) __attribute__((warn_unused_result));
/* No more comes.  The content is canonical but for a bare CR or a NUL in the body. */
bool sendmail_message_end(struct sendmail_message *message, int *exit_code, struct error *err)
    __attribute__((warn_unused_result));

/* All valid until sendmail_message_free(). */
struct content *sendmail_message_content(struct sendmail_message *message);
const struct sendmail_facts *sendmail_message_facts(const struct sendmail_message *message);
/* Those of the Resent-* fields if there is any such field (RFC 5322 3.6.6). */
const struct sendmail_addresses *sendmail_message_recipients(
    const struct sendmail_message *message);
const char *sendmail_message_notices(struct sendmail_message *message);	/* lines; "" */

#endif
