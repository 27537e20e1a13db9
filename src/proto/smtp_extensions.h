/* smtp_extensions.h - what a server offers in its answer to EHLO. */
#ifndef HERALD_PROTO_SMTP_EXTENSIONS_H
#define HERALD_PROTO_SMTP_EXTENSIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct smtp_reply;

/* A value; all zero offers nothing. */
struct smtp_extensions {
	bool pipelining;		/* RFC 2920 */
	bool eight_bit_mime;		/* RFC 6152 */
	bool starttls;			/* RFC 3207 */
	bool enhanced_status_codes;	/* RFC 2034 */
	bool dsn;			/* RFC 3461 */
	bool smtputf8;			/* RFC 6531 */
	bool chunking;			/* RFC 3030 */
	bool size;			/* RFC 1870 */
	/* RFC 4954; also in the old form AUTH=LOGIN. */
	bool auth_plain, auth_login, auth_cram_md5, auth_scram_sha_256;
	uint64_t size_max;		/* octets; 0: no limit was said */
};

/* From a 250 to EHLO.  Unknown keywords and bad parameters are passed over; where a
 * keyword stands twice both count, and of two sizes the smaller. */
struct smtp_extensions smtp_extensions_parse(const struct smtp_reply *reply);

#endif
