/* pop3_wire.h - what a POP3 server says, line by line: status, numbers, unique-ids, offers. */
#ifndef HERALD_PROTO_POP3_WIRE_H
#define HERALD_PROTO_POP3_WIRE_H

#include "proto/pop3_client.h"
#include "proto/smtp_wire.h"

#include <stdbool.h>
#include <stdint.h>

enum pop3_status {
	POP3_STATUS_OK,			/* "+OK" */
	POP3_STATUS_ERR,		/* "-ERR" */
	POP3_STATUS_CHALLENGE,		/* "+ ", RFC 5034 4 */
	POP3_STATUS_NONE,
};
/* Of the first line of a reply, without its CRLF; *text is what follows the blank.  RFC 1939
 * 3: the indicator is in upper case. */
enum pop3_status pop3_status_parse(struct slice line, struct slice *text);

/* What the extended response code at the start of the text says, RFC 2449 8 and RFC 3206 4. */
enum pop3_code {
	POP3_CODE_NONE,			/* none, or one that changes nothing */
	POP3_CODE_TEMPORARY,		/* [IN-USE], [LOGIN-DELAY], [SYS/TEMP] */
	POP3_CODE_PERMANENT,		/* [SYS/PERM] */
};
enum pop3_code pop3_code_parse(struct slice text);

/* "2 320": of STAT, and of a line of LIST.  What follows a blank behind them is not looked at
 * (RFC 1939 5 allows it). */
bool pop3_pair_parse(struct slice text, uint64_t *first, uint64_t *second)
    __attribute__((warn_unused_result));

enum pop3_uidl {
	POP3_UIDL_GOOD,
	POP3_UIDL_BAD,			/* of this message, but it is no unique-id: uidl is "" */
	POP3_UIDL_SYNTAX,		/* not a line of UIDL at all */
};
enum pop3_uidl pop3_uidl_parse(struct slice line, uint64_t *number,
    char uidl[POP3_UIDL_MAX + 1]);

/* A line of CAPA's answer; what is not known is no offer. */
void pop3_capability_add(struct pop3_capabilities *capabilities, struct slice line);

#endif
