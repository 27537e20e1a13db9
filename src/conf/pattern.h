/* pattern.h - patterns of addresses in routes: "*@work.example.org", "ann+*@example.org". */
#ifndef HERALD_CONF_PATTERN_H
#define HERALD_CONF_PATTERN_H

#include "mail/address.h"

#include <stdbool.h>

struct error;

#define PATTERN_STARS 3
#define PATTERN_MAX   (ADDRESS_TEXT_MAX + PATTERN_STARS) /* octets */

/* Reads a pattern as it is written: LOCAL@DOMAIN, where each "*" stands for any octets of
 * its part, none too; "*" for all mail; "<>" for the null reverse-path; "postmaster", the
 * one address without a domain.  *out is the form that pattern_match() takes, and reads as
 * itself: lower case, with U-labels as A-labels.  False where no address could match. */
bool pattern_parse(const char *text, char out[PATTERN_MAX + 1], struct error *err)
    __attribute__((warn_unused_result));

/* An address made ready to be compared with many patterns. */
struct pattern_subject {
	char local[ADDRESS_LOCAL_MAX + 1];
	char domain[ADDRESS_DOMAIN_MAX + 1];
};

void pattern_subject(struct pattern_subject *out, const struct address *address);

/* The case of ASCII letters does not count, not even in the local part: a route that
 * "Ann@" falls through would surprise more than one that takes "ann@" along. */
bool pattern_match(const char *pattern, const struct pattern_subject *subject);

#endif
