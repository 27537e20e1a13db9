/* smtp_reply.c - reads one SMTP reply, of one line or many, within bounds. */
#include "proto/smtp_reply.h"

#include "base/mem.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static enum smtp_reply_read
bad(struct smtp_reply *reply, const char *fault)
{
	reply->fault = fault;
	return SMTP_REPLY_BAD;
}

/* RFC 5321 4.2: Reply-code = %x32-35 %x30-35 %x30-39; the middle digit is not judged, as
 * servers use 6 to 9 there. */
static bool
read_code(const char *line, size_t len, uint16_t *code)
{
	if (len < 3 || line[0] < '2' || line[0] > '5')
		return false;
	for (size_t i = 1; i < 3; i++)
		if (line[i] < '0' || line[i] > '9')
			return false;
	if (len > 3 && line[3] != ' ' && line[3] != '-')
		return false;
	*code = (uint16_t)((line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0'));
	return true;
}

/* `len` octets without CRLF. */
static enum smtp_reply_read
add_line(struct smtp_reply *reply, const char *line, size_t len)
{
	uint16_t code;

	if (!read_code(line, len, &code))
		return bad(reply, "a line without a reply code");
	if (reply->line_count > 0 && code != reply->code)
		return bad(reply, "a reply of several lines changed its code");
	reply->code = code;
	if (reply->line_count++ > 0)
		buf_append(&reply->text, "\n", 1);
	if (len > 4)
		buf_append(&reply->text, line + 4, len - 4);
	if (len == 3 || line[3] == ' ')
		return SMTP_REPLY_COMPLETE;
	if (reply->line_count >= SMTP_REPLY_LINES_MAX)
		return bad(reply, "a reply of too many lines");
	return SMTP_REPLY_MORE;
}

enum smtp_reply_read
smtp_reply_read(struct smtp_reply *reply, const char *octets, size_t len, size_t *used)
{
	enum smtp_reply_read result = SMTP_REPLY_MORE;

	*used = 0;
	while (result == SMTP_REPLY_MORE) {
		const char *line = octets + *used, *end;
		size_t rest = len - *used;

		end = memchr(line, '\n', rest < SMTP_REPLY_LINE_MAX ? rest : SMTP_REPLY_LINE_MAX);
		if (end == NULL && rest >= SMTP_REPLY_LINE_MAX)
			return bad(reply, "a reply line that is too long");
		if (end == NULL)
			break;
		if (end == line || end[-1] != '\r')
			return bad(reply, "a reply line that ends without CRLF");
		*used += (size_t)(end + 1 - line);
		reply->octets += (size_t)(end + 1 - line);
		if (reply->octets > SMTP_REPLY_MAX)
			return bad(reply, "a reply that is too long");
		result = add_line(reply, line, (size_t)(end - 1 - line));
	}
	return result;
}

struct status
smtp_reply_status(const struct smtp_reply *reply)
{
	char *text = mem_strndup(buf_octets(&reply->text), reply->text.len);
	struct status status;

	for (size_t i = 0; i < reply->text.len; i++)
		if (text[i] == '\n')
			text[i] = ' ';
	status = status_parse(reply->code, text, reply->text.len);
	free(text);
	return status;
}

const char *
smtp_reply_line(const struct smtp_reply *reply, size_t *at, size_t *len)
{
	const char *line, *end;

	if (*at > reply->text.len || reply->line_count == 0)
		return NULL;
	line = buf_octets(&reply->text) + *at;
	end = memchr(line, '\n', reply->text.len - *at);
	*len = end == NULL ? reply->text.len - *at : (size_t)(end - line);
	*at += *len + 1;
	return line;
}

void
smtp_reply_reset(struct smtp_reply *reply)
{
	buf_clear(&reply->text);
	reply->code = 0;
	reply->line_count = 0;
	reply->octets = 0;
	reply->fault = NULL;
}

void
smtp_reply_free(struct smtp_reply *reply)
{
	buf_free(&reply->text);
	smtp_reply_reset(reply);
}
