/* smtp_wire.h - command lines taken apart: verb, path, ESMTP parameters. */
#ifndef HERALD_PROTO_SMTP_WIRE_H
#define HERALD_PROTO_SMTP_WIRE_H

#include "mail/address.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Octets of a line that somebody else owns; no NUL behind them. */
struct slice {
	const char *at;
	size_t len;
};

bool slice_is(struct slice slice, const char *word);	/* ASCII, case does not count */

/* Where the next command line ends. */
enum smtp_line {
	SMTP_LINE_PARTIAL,		/* its end is not there yet */
	SMTP_LINE_WHOLE,		/* CRLF */
	SMTP_LINE_BARE,			/* a LF without its CR: no end, and no line */
};
/* *used: octets up to and with the end; for PARTIAL those that could be dropped without
 * losing a CR that waits for its LF. */
enum smtp_line smtp_line_find(const char *octets, size_t len, size_t *used);

/* True where every octet may stand in a command: no control but the tab (RULES E26, P). */
bool smtp_line_clean(struct slice line);

/* The verb, and what follows it without blanks at either end. */
void smtp_command_split(struct slice line, struct slice *verb, struct slice *argument);

enum smtp_path_fault {
	SMTP_PATH_OK,
	SMTP_PATH_SYNTAX,		/* not FROM:<path> or TO:<path> at all: 501 5.5.4 */
	SMTP_PATH_ADDRESS,		/* the address is none: 501 5.1.3, 5.1.7 */
};
/* "FROM:<a@b> SIZE=1": `prefix` is "FROM:" or "TO:"; what follows the path is left in
 * *parameters.  A blank behind the colon is taken, as every server does.  bare_names: "<a>" is
 * a path, too, with an empty domain; else <postmaster> alone is (RFC 5321 4.1.1.3).  An address
 * beyond ASCII is taken, if its domain can be one (RFC 6531 3.3): whether SMTPUTF8 is
 * declared, is known once the parameters are. */
enum smtp_path_fault smtp_path_parse(struct address *out, struct slice argument,
    const char *prefix, bool bare_names, struct slice *parameters);

struct smtp_parameter {
	struct slice keyword, value;
	bool has_value;
};
enum smtp_next { SMTP_NEXT_ONE, SMTP_NEXT_NONE, SMTP_NEXT_FAULT };
/* Takes the first esmtp-param (RFC 5321 4.1.2) off *parameters.  A value may have octets
 * beyond ASCII (RFC 6531 3.3), which need not be UTF-8. */
enum smtp_next smtp_parameter_next(struct slice *parameters, struct smtp_parameter *out);

/* RFC 1870 4: 1 to 20 digits.  False where it is no such number, or beyond 64 bits. */
bool smtp_size_parse(struct slice value, uint64_t *out) __attribute__((warn_unused_result));

#endif
