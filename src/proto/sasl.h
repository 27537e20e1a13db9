/* sasl.h - the client's side of the AUTH mechanisms, and base64. */
#ifndef HERALD_PROTO_SASL_H
#define HERALD_PROTO_SASL_H

#include <stdbool.h>
#include <stddef.h>

struct buf;

enum sasl_mechanism { SASL_NONE, SASL_PLAIN, SASL_LOGIN };

/* One authentication.  A value; the texts are borrowed for its life. */
struct sasl {
	enum sasl_mechanism mechanism;
	const char *username, *password;
	unsigned step;			/* answers given */
};

void sasl_start(struct sasl *sasl, enum sasl_mechanism mechanism, const char *username,
    const char *password);
const char *sasl_name(enum sasl_mechanism mechanism);	/* "PLAIN" */

/* Whether the mechanism speaks first (RFC 4954 4: initial response). */
bool sasl_has_initial(const struct sasl *sasl);

/* Appends the next answer in base64: for the initial response the challenge is empty.
 * False: the challenge is no base64 or one more than the mechanism has. */
bool sasl_answer(struct sasl *sasl, const char *challenge, size_t len, struct buf *out)
    __attribute__((warn_unused_result));

/* Whether the text repeats what we have said, as servers do that quote a line they do not
 * like: the password, or the beginning of an answer.  Such a text is not for a log. */
bool sasl_is_quoted(const struct sasl *sasl, const char *text, size_t len);

/* RFC 4648 4, with padding, no line breaks. */
void base64_encode(struct buf *out, const void *octets, size_t len);
/* Whole text or false; then nothing is appended. */
bool base64_decode(struct buf *out, const char *text, size_t len)
    __attribute__((warn_unused_result));

#endif
