/* dsn_xtext.h - how ENVID and ORCPT are written: RFC 3461 4, RFC 6533 3. */
#ifndef HERALD_MAIL_DSN_XTEXT_H
#define HERALD_MAIL_DSN_XTEXT_H

#include "mail/envelope.h"

#include <stdbool.h>
#include <stddef.h>

/* What xtext stands for, NUL-ended.  False where it is none or does not fit, or where anything
 * but printable ASCII would come out (RFC 3461 4.2, 4.4; RULES P5). */
bool dsn_xtext_decode(char *out, size_t size, const char *xtext, size_t len)
    __attribute__((warn_unused_result));

/* The value of ORCPT=, "rfc822;ann+2Btag@example.org" or "utf-8;...", as it can be passed on
 * to every hop that offers DSN: characters beyond ASCII become \x{E9}.  False where it is no
 * such value, or too long (RFC 3461 4.2). */
bool dsn_orcpt_settle(char out[ENVELOPE_ORCPT_MAX + 1], const char *value, size_t len)
    __attribute__((warn_unused_result));

/* Of such a value what Original-Recipient says (RFC 3464 2.3.1): "rfc822; ann+tag@example.org".
 * utf8: \x{E9} becomes a character again, else it stays.  False as above. */
bool dsn_orcpt_text(char out[ENVELOPE_ORCPT_MAX + 2], const char *orcpt, bool utf8)
    __attribute__((warn_unused_result));

/* Such a value of an address that has none yet: "rfc822;" or, beyond ASCII, "utf-8;".  False
 * where it would be too long. */
bool dsn_orcpt_make(char out[ENVELOPE_ORCPT_MAX + 1], const char *address)
    __attribute__((warn_unused_result));

/* An address as the utf-8 type has it in 7 bits: utf-8-addr-xtext, RFC 6533 3.  False where
 * it does not fit, or is not UTF-8. */
bool dsn_utf8_xtext(char *out, size_t size, const char *text, size_t len)
    __attribute__((warn_unused_result));

#endif
