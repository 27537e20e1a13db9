/* rewrite.c - the header section of this machine's mail on its way into the queue. */
#include "mail/rewrite.h"

#include "base/buf.h"
#include "base/mem.h"
#include "mail/header.h"
#include "mail/identity.h"
#include "mail/rewrite_field.h"
#include "mail/rewrite_name.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define NAME_MAX_OCTETS 998 /* of a line, RFC 5322 2.1.1: so much is held to find the colon */

enum state {
	AT_START,		/* of the message */
	LINE_START,		/* a field stands before: it may go on */
	IN_NAME,
	BEHIND_NAME,		/* blanks before the colon, RFC 5322 4.5 */
	AT_CR,			/* alone in its line: an empty one */
	HELD,			/* in a field with addresses */
	PASSED,			/* in any other */
	BODY,
};

struct rewrite {
	struct rewrite_params params;
	rewrite_sink *sink;
	void *arg;
	enum state state;
	struct buf held;		/* the field with addresses, or a name */
	enum rewrite_kind kind;		/* of what is held whole; REWRITE_NOTHING: nothing is */
	bool has_date, has_message_id, has_from;
	size_t growth;
	enum rewrite_fault fault;
};

static void
give(struct rewrite *rewrite, const char *octets, size_t len)
{
	if (len > 0 && rewrite->fault == REWRITE_OK)
		rewrite->sink(rewrite->arg, octets, len);
}

/* What is held goes on as it came. */
static void
release(struct rewrite *rewrite)
{
	give(rewrite, buf_octets(&rewrite->held), rewrite->held.len);
	buf_clear(&rewrite->held);
	rewrite->kind = REWRITE_NOTHING;
}

/* The field that is held is whole. */
static void
end_field(struct rewrite *rewrite)
{
	size_t old_len = rewrite->held.len;
	struct buf out = { 0 };

	if (rewrite->kind == REWRITE_NOTHING)
		return;
	if (rewrite_field(rewrite->params.identity, rewrite->kind, buf_octets(&rewrite->held),
	    old_len, REWRITE_GROWTH_MAX - rewrite->growth, &out)) {
		rewrite->growth += out.len > old_len ? out.len - old_len : 0;
		if (rewrite->growth > REWRITE_GROWTH_MAX) {
			rewrite->fault = REWRITE_GROWN;
			rewrite->growth = REWRITE_GROWTH_MAX;
		}
		buf_clear(&rewrite->held);
		buf_append(&rewrite->held, buf_octets(&out), out.len);
	}
	buf_free(&out);
	release(rewrite);
}

/* --- what is missing --- */

/* RFC 5322 3.6.2; mail of nobody is the machine's own. */
static void
append_from(struct rewrite *rewrite, struct buf *out)
{
	const struct identity *identity = rewrite->params.identity;
	struct address from = *rewrite->params.reverse_path;
	char text[ADDRESS_TEXT_MAX + 1];

	buf_append_text(out, "From: ");
	if (address_is_null(&from)) {
		memcpy(from.local, "MAILER-DAEMON", sizeof("MAILER-DAEMON"));
		identity_qualify(identity, &from);
	}
	if (!address_is_null(&identity->from) && !address_equal(&from, &identity->from)) {
		rewrite_address_text(&from, text);
		rewrite_append_name(out, text, strlen(text));
		buf_appendf(out, " <%s>\r\n", rewrite_address_text(&identity->from, text));
	} else {
		buf_appendf(out, "%s\r\n", rewrite_address_text(&from, text));
	}
}

static void
give_missing(struct rewrite *rewrite)
{
	const struct rewrite_params *params = &rewrite->params;
	char date[HEADER_DATE_SIZE], id[HEADER_MESSAGE_ID_MAX + ADDRESS_DOMAIN_MAX];
	struct buf out = { 0 };

	if (!rewrite->has_date)
		buf_appendf(&out, "Date: %s\r\n", header_date(date, params->now));
	if (!rewrite->has_from)
		append_from(rewrite, &out);
	if (!rewrite->has_message_id)
		buf_appendf(&out, "Message-ID: %s\r\n", header_new_message_id(id, sizeof(id),
		    params->queue_id, params->hostname, params->now));
	give(rewrite, buf_octets(&out), out.len);
	buf_free(&out);
}

/* An empty line, or what is no field: from here on nothing is looked at. */
static void
end_header(struct rewrite *rewrite, bool has_empty_line)
{
	struct buf line = { .octets = NULL };	/* that is no field, as far as it is read */

	if (rewrite->kind == REWRITE_NOTHING) {
		line = rewrite->held;
		rewrite->held = (struct buf){ .octets = NULL };
	}
	end_field(rewrite);
	give_missing(rewrite);
	if (!has_empty_line)
		give(rewrite, "\r\n", 2);
	give(rewrite, buf_octets(&line), line.len);
	buf_free(&line);
	buf_free(&rewrite->held);
	rewrite->state = BODY;
}

/* --- octet by octet, as far as the colon --- */

static bool
name_is(const struct rewrite *rewrite, const char *name)
{
	const char *at = buf_octets(&rewrite->held);
	size_t len = rewrite->held.len;

	while (len > 0 && (at[len - 1] == ' ' || at[len - 1] == '\t'))
		len--;
	return strlen(name) == len && strncasecmp(at, name, len) == 0;
}

static enum state
on_colon(struct rewrite *rewrite)
{
	rewrite->has_date = rewrite->has_date || name_is(rewrite, "Date");
	rewrite->has_message_id = rewrite->has_message_id || name_is(rewrite, "Message-ID");
	rewrite->kind = rewrite_kind(buf_octets(&rewrite->held), rewrite->held.len);
	if (rewrite->kind == REWRITE_FROM && rewrite->has_from)
		rewrite->kind = REWRITE_FROM_AGAIN;
	rewrite->has_from = rewrite->has_from || rewrite->kind == REWRITE_FROM;
	buf_append(&rewrite->held, ":", 1);
	if (rewrite->kind != REWRITE_NOTHING)
		return HELD;
	release(rewrite);
	return PASSED;
}

/* The line of a mailbox file, which some programs leave on top: it passes. */
static bool
is_from_line(const struct rewrite *rewrite, char octet)
{
	return rewrite->state == BEHIND_NAME && octet > 0x20 &&
	    (name_is(rewrite, "From") || name_is(rewrite, ">From"));
}

static enum state
name_octet(struct rewrite *rewrite, char octet)
{
	bool is_blank = octet == ' ' || octet == '\t';

	if (octet == ':' && rewrite->held.len > 0)
		return on_colon(rewrite);
	if (is_blank && rewrite->held.len > 0 && rewrite->held.len < NAME_MAX_OCTETS) {
		buf_append(&rewrite->held, &octet, 1);
		return BEHIND_NAME;
	}
	if (octet > 0x20 && octet < 0x7f && octet != ':' && rewrite->state != BEHIND_NAME &&
	    rewrite->held.len < NAME_MAX_OCTETS) {
		buf_append(&rewrite->held, &octet, 1);
		return IN_NAME;
	}
	if (is_from_line(rewrite, octet)) {
		buf_append(&rewrite->held, &octet, 1);
		release(rewrite);
		return PASSED;
	}
	end_header(rewrite, false);
	give(rewrite, &octet, 1);
	return BODY;
}

/* The first octet of a line, with whatever is held of the field before it. */
static enum state
first_octet(struct rewrite *rewrite, char octet)
{
	if (octet == '\r')
		return AT_CR;
	if (octet == '\n') {
		end_header(rewrite, true);
		give(rewrite, "\n", 1);
		return BODY;
	}
	if (rewrite->state == LINE_START && (octet == ' ' || octet == '\t')) {
		if (rewrite->kind == REWRITE_NOTHING) {
			give(rewrite, &octet, 1);
			return PASSED;
		}
		buf_append(&rewrite->held, &octet, 1);
		return HELD;
	}
	end_field(rewrite);
	return name_octet(rewrite, octet);
}

static enum state
octet_behind_cr(struct rewrite *rewrite, char octet)
{
	bool is_empty_line = octet == '\n';

	end_header(rewrite, is_empty_line);
	give(rewrite, "\r", 1);
	give(rewrite, &octet, 1);
	return BODY;
}

static enum state
take_octet(struct rewrite *rewrite, char octet)
{
	switch (rewrite->state) {
	case AT_START:
	case LINE_START:
		return first_octet(rewrite, octet);
	case IN_NAME:
	case BEHIND_NAME:
		return name_octet(rewrite, octet);
	case AT_CR:
		return octet_behind_cr(rewrite, octet);
	case HELD:
	case PASSED:
	case BODY:
		break;
	}
	return BODY;
}

/* --- in runs --- */

/* A field that is too long to be held: it passes, where it may. */
static void
give_up_holding(struct rewrite *rewrite)
{
	if (rewrite_is_must(rewrite->params.identity, rewrite->kind))
		rewrite->fault = REWRITE_FROM_TOO_LONG;
	release(rewrite);
	rewrite->state = PASSED;
}

/* Of a field up to the end of its line; what was taken. */
static size_t
take_run(struct rewrite *rewrite, const char *octets, size_t len)
{
	const char *lf = memchr(octets, '\n', len);
	size_t taken = lf != NULL ? (size_t)(lf + 1 - octets) : len;

	if (rewrite->state == HELD && rewrite->held.len + taken > REWRITE_FIELD_MAX)
		give_up_holding(rewrite);
	if (rewrite->state == HELD)
		buf_append(&rewrite->held, octets, taken);
	else
		give(rewrite, octets, taken);
	if (lf != NULL)
		rewrite->state = LINE_START;
	return taken;
}

void
rewrite_write(struct rewrite *rewrite, const char *octets, size_t len)
{
	size_t at = 0;

	while (at < len && rewrite->state != BODY) {
		if (rewrite->state == HELD || rewrite->state == PASSED) {
			at += take_run(rewrite, octets + at, len - at);
		} else {
			enum state next = take_octet(rewrite, octets[at++]);

			rewrite->state = next;
		}
	}
	give(rewrite, octets + at, len - at);
}

enum rewrite_fault
rewrite_end(struct rewrite *rewrite)
{
	enum state state = rewrite->state;

	if (state == IN_NAME || state == BEHIND_NAME) {
		end_header(rewrite, false);
	} else if (state == AT_CR) {
		end_header(rewrite, false);
		give(rewrite, "\r", 1);
	} else if (state != BODY) {
		/* A line without its end cannot be: what is added begins a line. */
		if (state == HELD)
			buf_append(&rewrite->held, "\r\n", 2);
		else if (state == PASSED)
			give(rewrite, "\r\n", 2);
		end_field(rewrite);
		give_missing(rewrite);
	}
	rewrite->state = BODY;
	return rewrite->fault;
}

struct rewrite *
rewrite_new(const struct rewrite_params *params, rewrite_sink *sink, void *arg)
{
	struct rewrite *rewrite = mem_zalloc(sizeof(*rewrite));

	rewrite->params = *params;
	rewrite->sink = sink;
	rewrite->arg = arg;
	return rewrite;
}

void
rewrite_free(struct rewrite *rewrite)
{
	if (rewrite == NULL)
		return;
	buf_free(&rewrite->held);
	free(rewrite);
}
