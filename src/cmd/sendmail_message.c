/* sendmail_message.c - what a program writes into sendmail, made into canonical mail data. */
#include "cmd/sendmail_message.h"

#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/text.h"
#include "cmd/sendmail_header.h"
#include "queue/content.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sysexits.h>

/* A field with a hundred thousand addresses has some 3 MiB; what is larger is an attack, or no
 * header. */
#define FIELD_MAX	(32u * 1024 * 1024)
#define PENDING_MAX	(64u * 1024)	/* octets given to the content at a time */
/* Octets of a line without an end that still may begin a field. */
#define UNDECIDED_MAX	4096

struct sendmail_message {
	struct sendmail_message_settings settings;
	struct content *content;
	struct buf pending;		/* of the content: what is not yet in it */
	struct sendmail_facts facts;
	struct sendmail_addresses plain, resent;
	struct error plain_fault, resent_fault;	/* of the first field that cannot be read */
	bool plain_bad, resent_bad;
	bool has_resent, has_from;
	bool in_body, ended;
	struct buf notices;
	int exit_code;
	struct error error;
	bool failed;
	/* the header */
	struct buf line;		/* unfinished */
	struct buf field;		/* its lines, each with CRLF */
	bool has_field;			/* there has been one: no "From " line may come any more */
	/* the body: the line at hand */
	uint64_t line_len;
	size_t crs;			/* at its end so far: of the line end, or bare */
	bool dot;			/* it is one dot until now, which is held back */
};

struct sendmail_message *
sendmail_message_new(const struct sendmail_message_settings *settings)
{
	struct sendmail_message *message = mem_zalloc(sizeof(*message));

	message->settings = *settings;
	message->content = content_new(settings->directory);
	return message;
}

void
sendmail_message_free(struct sendmail_message *message)
{
	if (message == NULL)
		return;
	content_unref(message->content);
	sendmail_addresses_clear(&message->plain);
	sendmail_addresses_clear(&message->resent);
	buf_free(&message->pending);
	buf_free(&message->notices);
	buf_free(&message->line);
	buf_free(&message->field);
	free(message);
}

static void
fail(struct sendmail_message *message, int exit_code, const char *text)
{
	message->failed = true;
	message->exit_code = exit_code;
	error_set(&message->error, ERROR_CONFIG, "%s", text);
}

static void
flush(struct sendmail_message *message)
{
	struct buf *pending = &message->pending;

	/* Nothing has been sent: it may be tried again where there is room. */
	if (!message->failed && pending->len > 0 && !content_append(message->content,
	    buf_octets(pending), pending->len, &message->error)) {
		message->failed = true;
		message->exit_code = EX_TEMPFAIL;
	}
	buf_clear(pending);
}

static void
store(struct sendmail_message *message, const char *octets, size_t len)
{
	buf_append(&message->pending, octets, len);
	if (message->pending.len >= PENDING_MAX)
		flush(message);
}

static bool
has_eight_bit(const char *octets, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)octets[i] >= 0x80)
			return true;
	return false;
}

/* --- header --- */

static void
take_addresses(struct sendmail_message *message, bool resent)
{
	struct sendmail_addresses *list = resent ? &message->resent : &message->plain;
	struct error *fault = resent ? &message->resent_fault : &message->plain_fault;
	bool *is_bad = resent ? &message->resent_bad : &message->plain_bad;
	struct buf value = { 0 };

	sendmail_field_unfold(&value, buf_octets(&message->field), message->field.len);
	if (!*is_bad && !sendmail_addresses_add(list, buf_octets(&value), value.len,
	    &message->notices, fault))
		*is_bad = true;
	buf_free(&value);
}

/* Of two fields, where one is of a body that must not be encoded again (RFC 2045 6.4), it counts,
 * whichever comes last. */
static void
note_encoding(struct sendmail_message *message)
{
	char word[24];

	sendmail_field_word(buf_octets(&message->field), message->field.len, word, sizeof(word));
	if (strcmp(word, "7bit") != 0 && strcmp(word, "8bit") != 0 && strcmp(word, "binary") != 0)
		message->facts.encoding = SENDMAIL_ENCODING_OTHER;
	else if (message->facts.encoding == SENDMAIL_ENCODING_NONE)
		message->facts.encoding = SENDMAIL_ENCODING_IDENTITY;
}

static void
note_type(struct sendmail_message *message)
{
	char word[24];

	sendmail_field_word(buf_octets(&message->field), message->field.len, word, sizeof(word));
	message->facts.has_type = true;
	message->facts.is_composite = message->facts.is_composite ||
	    strcmp(word, "multipart") == 0 || strcmp(word, "message") == 0;
}

static bool
is_empty_value(const struct sendmail_message *message)
{
	struct buf value = { 0 };
	bool empty = true;

	sendmail_field_unfold(&value, buf_octets(&message->field), message->field.len);
	for (size_t i = 0; i < value.len; i++)
		empty = empty && strchr(" \t", buf_octets(&value)[i]) != NULL &&
		    buf_octets(&value)[i] != '\0';
	buf_free(&value);
	return empty;
}

/* True if the field goes into the message. */
static bool
judge_field(struct sendmail_message *message)
{
	static const char *const destinations[] = { "To", "Cc", "Bcc", "Resent-To", "Resent-Cc",
	    "Resent-Bcc" };
	const char *field = buf_octets(&message->field);
	const size_t len = message->field.len;

	if (len > 7 && strncasecmp(field, "Resent-", 7) == 0)
		message->has_resent = true;
	for (size_t i = 0; i < 6 && message->settings.from_header; i++)
		if (sendmail_field_is(field, len, destinations[i]))
			take_addresses(message, i >= 3);
	if (sendmail_field_is(field, len, "MIME-Version"))
		message->facts.has_version = true;
	else if (sendmail_field_is(field, len, "Content-Type"))
		note_type(message);
	else if (sendmail_field_is(field, len, "Content-Transfer-Encoding"))
		note_encoding(message);
	else if (sendmail_field_is(field, len, "From")) {
		/* An empty one is refused by many; a whole one takes its place. */
		if (is_empty_value(message))
			return false;
		message->has_from = true;
	}
	return !sendmail_field_is(field, len, "Bcc") &&
	    !sendmail_field_is(field, len, "Resent-Bcc");
}

static void
end_field(struct sendmail_message *message)
{
	struct buf folded = { 0 };

	if (message->field.len == 0)
		return;
	if (memchr(buf_octets(&message->field), '\0', message->field.len) != NULL)
		fail(message, EX_DATAERR, "there is a NUL in the header of the message");
	if (!message->failed && judge_field(message)) {
		sendmail_field_fold(&folded, buf_octets(&message->field), message->field.len);
		if (has_eight_bit(buf_octets(&folded), folded.len))
			message->facts.eight_bit = true;
		store(message, buf_octets(&folded), folded.len);
	}
	buf_clear(&message->field);
	buf_free(&folded);
}

static void
end_header(struct sendmail_message *message)
{
	end_field(message);
	if (!message->has_from && message->settings.from_field != NULL) {
		store(message, message->settings.from_field, strlen(message->settings.from_field));
		if (has_eight_bit(message->settings.from_field,
		    strlen(message->settings.from_field)))
			message->facts.eight_bit = true;
	}
	store(message, "\r\n", 2);
	flush(message);
	message->facts.header_size = content_size(message->content);
	message->in_body = true;
}

/* A CR within a line might be taken for a line end by others: a field more than there is. */
static void
add_header_line(struct sendmail_message *message, const char *line, size_t len)
{
	char *octets = mem_dup(line, len);
	char *cr = octets;

	while ((cr = memchr(cr, '\r', len - (size_t)(cr - octets))) != NULL)
		*cr = ' ';
	buf_append(&message->field, octets, len);
	buf_append(&message->field, "\r\n", 2);
	free(octets);
	if (message->field.len > FIELD_MAX)
		fail(message, EX_DATAERR, "a header field is too long");
}

/* A line of the header without its end.  False: it is the first of the body. */
static bool
header_line(struct sendmail_message *message, const char *line, size_t len)
{
	if (len == 0) {
		end_header(message);
		return true;
	}
	if (!message->has_field && sendmail_is_mbox_line(line, len))
		return true;
	if (len == 1 && line[0] == '.' && !message->settings.ignore_dots) {
		message->ended = true;
		return true;
	}
	if (line[0] == ' ' || line[0] == '\t') {
		if (message->field.len == 0)
			return false;
	} else {
		if (sendmail_field_name(line, len) == 0)
			return false;
		end_field(message);
	}
	message->has_field = true;
	add_header_line(message, line, len);
	return true;
}

/* --- body --- */

static void
emit(struct sendmail_message *message, const char *octets, size_t len)
{
	store(message, octets, len);
	message->line_len += len;
	if (!message->facts.eight_bit && has_eight_bit(octets, len))
		message->facts.eight_bit = true;
	if (!message->facts.nul && memchr(octets, '\0', len) != NULL)
		message->facts.nul = true;
}

/* What was held back is text after all. */
static void
emit_held(struct sendmail_message *message)
{
	if (message->dot)
		emit(message, ".", 1);
	message->dot = false;
	for (; message->crs > 0; message->crs--) {
		message->facts.bare_cr = true;
		emit(message, "\r", 1);
	}
}

static void
body_text(struct sendmail_message *message, const char *octets, size_t len)
{
	size_t text = len;

	while (text > 0 && octets[text - 1] == '\r')
		text--;
	if (text > 0) {
		const bool fresh = message->line_len == 0 && message->crs == 0 && !message->dot;

		emit_held(message);
		message->dot = fresh && text == 1 && octets[0] == '.' &&
		    !message->settings.ignore_dots;
		if (!message->dot)
			emit(message, octets, text);
		if (memchr(octets, '\r', text) != NULL)
			message->facts.bare_cr = true;
	}
	message->crs += len - text;
}

/* The CRs before the LF belong to the line end, however many there are. */
static void
body_line_end(struct sendmail_message *message)
{
	if (message->dot) {
		message->ended = true;
		return;
	}
	store(message, "\r\n", 2);
	if (message->line_len > message->facts.longest)
		message->facts.longest = message->line_len;
	message->line_len = 0;
	message->crs = 0;
}

static void
feed_body(struct sendmail_message *message, const char *octets, size_t len)
{
	while (len > 0 && !message->ended && !message->failed) {
		const char *lf = memchr(octets, '\n', len);
		size_t text = lf != NULL ? (size_t)(lf - octets) : len;

		body_text(message, octets, text);
		if (lf != NULL) {
			body_line_end(message);
			text++;
		}
		octets += text;
		len -= text;
	}
}

/* --- both --- */

/* message->line holds the line, or as much of it as must be the body's. */
static void
begin_body(struct sendmail_message *message)
{
	end_header(message);
	feed_body(message, buf_octets(&message->line), message->line.len);
	buf_free(&message->line);
}

static size_t
length_without_crs(const struct buf *line)
{
	size_t len = line->len;

	while (len > 0 && buf_octets(line)[len - 1] == '\r')
		len--;
	return len;
}

/* Takes octets of the header up to the end of a line; returns how many. */
static size_t
feed_header(struct sendmail_message *message, const char *octets, size_t len)
{
	const char *lf = memchr(octets, '\n', len);
	const size_t used = lf != NULL ? (size_t)(lf - octets) : len;
	struct buf *line = &message->line;

	buf_append(line, octets, used);
	if (lf == NULL) {
		if (line->len > FIELD_MAX)
			fail(message, EX_DATAERR, "a header field is too long");
		else if (line->len > UNDECIDED_MAX && message->field.len == 0 &&
		    sendmail_field_name(buf_octets(line), line->len) == 0)
			begin_body(message);
		return used;
	}
	if (header_line(message, buf_octets(line), length_without_crs(line))) {
		buf_clear(line);
	} else {
		buf_append(line, "\n", 1);
		begin_body(message);
	}
	return used + 1;
}

static bool
report(const struct sendmail_message *message, int *exit_code, struct error *err)
{
	if (!message->failed)
		return true;
	*exit_code = message->exit_code;
	*err = message->error;
	return false;
}

bool
sendmail_message_feed(struct sendmail_message *message, const char *octets, size_t len,
    bool *ended, int *exit_code, struct error *err)
{
	while (len > 0 && !message->in_body && !message->ended && !message->failed) {
		const size_t used = feed_header(message, octets, len);

		octets += used;
		len -= used;
	}
	if (message->in_body)
		feed_body(message, octets, len);
	*ended = message->ended;
	return report(message, exit_code, err);
}

bool
sendmail_message_end(struct sendmail_message *message, int *exit_code, struct error *err)
{
	/* The last line may lack its end. */
	if (!message->in_body && !message->ended && message->line.len > 0)
		(void)feed_header(message, "\n", 1);
	if (!message->in_body)
		end_header(message);
	if (!message->ended && (message->line_len > 0 || message->crs > 0 || message->dot))
		body_line_end(message);
	flush(message);
	if (!message->failed && (message->has_resent ? message->resent_bad : message->plain_bad))
		fail(message, EX_DATAERR, message->has_resent ? message->resent_fault.text :
		    message->plain_fault.text);
	return report(message, exit_code, err);
}

struct content *
sendmail_message_content(struct sendmail_message *message)
{
	return message->content;
}

const struct sendmail_facts *
sendmail_message_facts(const struct sendmail_message *message)
{
	return &message->facts;
}

const struct sendmail_addresses *
sendmail_message_recipients(const struct sendmail_message *message)
{
	return message->has_resent ? &message->resent : &message->plain;
}

const char *
sendmail_message_notices(struct sendmail_message *message)
{
	return buf_text(&message->notices);
}
