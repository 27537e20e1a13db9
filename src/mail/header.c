/* header.c - the header section of a message: what herald writes there, and what it reads. */
#include "mail/header.h"

#include "base/buf.h"
#include "mail/address.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define HELO_MAX 255 /* octets, as long as a domain may be: RFC 5321 4.5.3.1.2 */

const char *
header_date(char out[HEADER_DATE_SIZE], int64_t unix_seconds)
{
	static const char *const days[] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
	static const char *const months[] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul",
		"Aug", "Sep", "Oct", "Nov", "Dec" };
	time_t when = (time_t)unix_seconds;
	struct tm local;
	long minutes;

	/* Not by strftime(): the names must not follow the locale. */
	localtime_r(&when, &local);
	minutes = local.tm_gmtoff / 60;
	snprintf(out, HEADER_DATE_SIZE, "%s, %d %s %d %02d:%02d:%02d %c%02ld%02ld",
	    days[local.tm_wday % 7], local.tm_mday, months[local.tm_mon % 12], local.tm_year + 1900,
	    local.tm_hour, local.tm_min, local.tm_sec, minutes < 0 ? '-' : '+',
	    (minutes < 0 ? -minutes : minutes) / 60 % 100, (minutes < 0 ? -minutes : minutes) % 60);
	return out;
}

const char *
header_new_message_id(char *out, size_t size, const char *queue_id, const char *hostname,
    int64_t unix_seconds)
{
	struct tm utc;
	time_t when = (time_t)unix_seconds;
	char stamp[32];

	gmtime_r(&when, &utc);
	strftime(stamp, sizeof(stamp), "%Y%m%d%H%M%S", &utc);
	snprintf(out, size, "<%s.%s@%s>", stamp, queue_id, hostname);
	return out;
}

/* What may stand outside a comment or quotes and still be read as one word. */
static bool
is_safe(char octet)
{
	return (octet >= 'a' && octet <= 'z') || (octet >= 'A' && octet <= 'Z') ||
	    (octet >= '0' && octet <= '9') || (octet != '\0' && strchr(".-_:[]+=", octet) != NULL);
}

static void
append_helo(struct buf *out, const char *helo)
{
	size_t len = strlen(helo);

	if (len == 0)
		buf_append_text(out, "unknown");
	for (size_t i = 0; i < len && i < HELO_MAX; i++)
		buf_append(out, is_safe(helo[i]) ? &helo[i] : "?", 1);
}

/* RFC 5321 4.4: TCP-info is an address literal, after the name where there is one. */
static void
append_client(struct buf *out, const struct header_received *received)
{
	const char *address = received->client_address;

	if (address == NULL)
		buf_appendf(out, " (local socket, uid %u)", received->client_uid);
	else
		buf_appendf(out, " (%s [%s%s])", received->client_name,
		    strchr(address, ':') != NULL ? "IPv6:" : "", address);
}

void
header_append_received(struct buf *out, const struct header_received *received)
{
	char date[HEADER_DATE_SIZE], path[ADDRESS_TEXT_MAX + 1];

	buf_append_text(out, "Received: from ");
	append_helo(out, received->helo);
	append_client(out, received);
	buf_appendf(out, "\r\n\tby %s (herald) with %s id %s", received->hostname,
	    received->protocol, received->queue_id);
	if (received->forward_path != NULL)
		buf_appendf(out, "\r\n\tfor <%s>", address_text(received->forward_path, path));
	buf_appendf(out, ";\r\n\t%s\r\n", header_date(date, received->arrived));
}

/* --- reading --- */

enum scan_state { LINE_START, IN_NAME, SKIPPED, IN_MESSAGE_ID, AFTER_MESSAGE_ID_LINE, BODY };

static bool
name_is(const struct header_scanner *scanner, const char *name)
{
	return scanner->name_len == strlen(name) &&
	    memcmp(scanner->name, name, scanner->name_len) == 0;
}

/* The field's name is whole.  Blanks before the colon are obsolete syntax, RFC 5322 4.5. */
static enum scan_state
on_field(struct header_scanner *scanner)
{
	while (scanner->name_len > 0 && strchr(" \t", scanner->name[scanner->name_len - 1]) != NULL)
		scanner->name_len--;
	if (name_is(scanner, "received") && scanner->received < ~0u)
		scanner->received++;
	if (!name_is(scanner, "message-id") || scanner->has_message_id)
		return SKIPPED;
	scanner->has_message_id = true;
	return IN_MESSAGE_ID;
}

static enum scan_state
name_octet(struct header_scanner *scanner, char octet)
{
	if (octet == ':')
		return on_field(scanner);
	if (octet == '\n')
		return LINE_START;
	if (scanner->name_len == sizeof(scanner->name) || octet == '\0')
		return SKIPPED;
	if (octet >= 'A' && octet <= 'Z')
		octet = (char)(octet - 'A' + 'a');
	scanner->name[scanner->name_len++] = octet;
	return IN_NAME;
}

static enum scan_state
first_octet(struct header_scanner *scanner, char octet)
{
	if (octet == ' ' || octet == '\t')
		return SKIPPED;
	scanner->name_len = 0;
	return name_octet(scanner, octet);
}

static enum scan_state
message_id_octet(struct header_scanner *scanner, char octet)
{
	if (octet == '\n')
		return AFTER_MESSAGE_ID_LINE;
	/* The value is one word; blanks and folds stand around it. */
	if (octet != ' ' && octet != '\t' && octet != '\r' &&
	    scanner->message_id_len < sizeof(scanner->message_id))
		scanner->message_id[scanner->message_id_len++] = octet;
	return IN_MESSAGE_ID;
}

static enum scan_state
scan_octet(struct header_scanner *scanner, enum scan_state state, char octet)
{
	/* An empty line; a CR alone begins a line only as part of it. */
	if ((state == LINE_START || state == AFTER_MESSAGE_ID_LINE) && octet == '\r')
		return state;
	if ((state == LINE_START || state == AFTER_MESSAGE_ID_LINE) && octet == '\n')
		return BODY;
	switch (state) {
	case LINE_START:
		return first_octet(scanner, octet);
	case AFTER_MESSAGE_ID_LINE:
		return octet == ' ' || octet == '\t' ? IN_MESSAGE_ID : first_octet(scanner, octet);
	case IN_NAME:
		return name_octet(scanner, octet);
	case IN_MESSAGE_ID:
		return message_id_octet(scanner, octet);
	case SKIPPED:
		return octet == '\n' ? LINE_START : SKIPPED;
	case BODY:
		break;
	}
	return BODY;
}

void
header_scan(struct header_scanner *scanner, const char *octets, size_t len)
{
	enum scan_state state = (enum scan_state)scanner->state;
	const char *lf;

	for (size_t i = 0; i < len && state != BODY; i++) {
		if (state == SKIPPED) {
			lf = memchr(octets + i, '\n', len - i);
			if (lf == NULL)
				break;
			i = (size_t)(lf - octets);
		}
		state = scan_octet(scanner, state, octets[i]);
	}
	scanner->state = (unsigned char)state;
	scanner->ended = state == BODY;
}
