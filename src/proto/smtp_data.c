/* smtp_data.c - mail data on the wire: dots, CRLF and the one true end. */
#include "proto/smtp_data.h"

#include "base/buf.h"

#include <string.h>

/* AFTER_CR holds a CR back until its LF is seen; DOT is behind a dot that begins a line,
 * which is never content; DOT_CR is one LF away from the end. */
enum decoder_state { LINE_START, IN_LINE, AFTER_CR, DOT, DOT_CR, END };

/* One call: the block, how far it is read, and from where on it is not yet given. */
struct pass {
	struct smtp_decoder *decoder;
	const char *octets;
	size_t len, at, run;
	size_t next_cr;		/* no CR stands between `at` and here */
	bool cr_known;
	void (*take)(void *arg, const char *octets, size_t len);
	void *arg;
};

static void
give(struct pass *pass, const char *octets, size_t len)
{
	if (len == 0)
		return;
	if (!pass->decoder->nul && memchr(octets, '\0', len) != NULL)
		pass->decoder->nul = true;
	pass->take(pass->arg, octets, len);
}

static void
give_run(struct pass *pass, size_t end)
{
	if (end > pass->run)
		give(pass, pass->octets + pass->run, end - pass->run);
	pass->run = end;
}

/* The place of the next CR, or the end.  Remembered, so that no octet is searched twice
 * however many LFs stand before it. */
static size_t
find_cr(struct pass *pass)
{
	const char *found;

	if (!pass->cr_known || pass->next_cr < pass->at) {
		found = memchr(pass->octets + pass->at, '\r', pass->len - pass->at);
		pass->next_cr = found != NULL ? (size_t)(found - pass->octets) : pass->len;
		pass->cr_known = true;
	}
	return pass->next_cr;
}

static void
on_bare_lf(struct pass *pass, size_t place)
{
	if (pass->decoder->normalize) {
		give_run(pass, place);
		give(pass, "\r\n", 2);
		pass->run = place + 1;
	} else {
		pass->decoder->bare = true;
	}
	pass->at = place + 1;
}

static enum decoder_state
in_line(struct pass *pass)
{
	size_t cr = find_cr(pass);
	const char *lf = memchr(pass->octets + pass->at, '\n', cr - pass->at);

	if (lf != NULL) {
		on_bare_lf(pass, (size_t)(lf - pass->octets));
		return IN_LINE;
	}
	if (cr == pass->len) {
		pass->at = cr;
		return IN_LINE;
	}
	pass->at = cr + 1;
	return AFTER_CR;
}

static enum decoder_state
line_start(struct pass *pass)
{
	if (pass->octets[pass->at] != '.')
		return IN_LINE;
	give_run(pass, pass->at);
	pass->run = ++pass->at;
	return DOT;
}

static enum decoder_state
after_cr(struct pass *pass)
{
	bool is_lf = pass->octets[pass->at] == '\n';

	/* The CR came with an earlier block, which kept it back. */
	if (pass->at == 0) {
		give(pass, "\r\n", is_lf ? 2 : 1);
		pass->run = is_lf ? 1 : 0;
	}
	if (is_lf) {
		pass->at++;
		return LINE_START;
	}
	pass->decoder->bare = true;
	if (pass->octets[pass->at] != '\r')
		return IN_LINE;
	pass->at++;
	return AFTER_CR;
}

static enum decoder_state
behind_dot(struct pass *pass)
{
	if (pass->octets[pass->at] != '\r')
		return IN_LINE;
	pass->at++;
	return DOT_CR;
}

static enum decoder_state
behind_dot_cr(struct pass *pass)
{
	if (pass->octets[pass->at] != '\n')
		return AFTER_CR;
	pass->run = ++pass->at;
	return END;
}

static enum decoder_state (*const steps[])(struct pass *) = {
	[LINE_START] = line_start,
	[IN_LINE] = in_line,
	[AFTER_CR] = after_cr,
	[DOT] = behind_dot,
	[DOT_CR] = behind_dot_cr,
};

size_t
smtp_decode(struct smtp_decoder *decoder, const char *octets, size_t len, bool *end,
    void (*take)(void *arg, const char *octets, size_t len), void *arg)
{
	struct pass pass = {
		.decoder = decoder, .octets = octets, .len = len, .take = take, .arg = arg
	};
	enum decoder_state state = (enum decoder_state)decoder->state;
	bool held_back;

	while (state != END && pass.at < len)
		state = steps[state](&pass);
	*end = state == END;
	held_back = len > 0 && (state == AFTER_CR || state == DOT_CR);
	if (!*end)
		give_run(&pass, held_back ? len - 1 : len);
	decoder->state = (unsigned char)(*end ? LINE_START : state);
	return pass.at;
}

/* --- the other way --- */

/* A CR without its LF in this block is written as CRLF at once; where the block ends here,
 * AFTER_CR swallows the LF that may follow. */
static size_t
encode_cr(struct smtp_encoder *encoder, struct buf *out, size_t at, size_t len)
{
	if (at + 1 == len)
		encoder->state = AFTER_CR;
	buf_append(out, "\r\n", 2);
	return at + 1;
}

/* One line, or what there is of it; returns where the next begins. */
static size_t
encode_line(struct smtp_encoder *encoder, struct buf *out, size_t at, const char *octets,
    size_t len)
{
	const char *first = octets + at;
	const char *lf = memchr(first, '\n', len - at);
	size_t line_end = lf != NULL ? (size_t)(lf - octets) : len;
	const char *cr = memchr(first, '\r', line_end - at);

	encoder->state = LINE_START;
	if (cr != NULL && lf == cr + 1) {
		buf_append(out, first, (size_t)(lf + 1 - first));
		return line_end + 1;
	}
	if (cr != NULL) {
		buf_append(out, first, (size_t)(cr - first));
		return encode_cr(encoder, out, (size_t)(cr - octets), len);
	}
	buf_append(out, first, line_end - at);
	if (lf == NULL) {
		encoder->state = IN_LINE;
		return len;
	}
	buf_append(out, "\r\n", 2);
	return line_end + 1;
}

/* How far whole lines stand as they may leave: up to one that begins with a dot, has a CR or
 * LF alone, or does not end here.  The first one's beginning has been dealt with. */
static size_t
clean_lines(const char *octets, size_t at, size_t len)
{
	size_t first = at;

	while (at < len && (octets[at] != '.' || at == first)) {
		const char *lf = memchr(octets + at, '\n', len - at);

		if (lf == NULL || memchr(octets + at, '\r', (size_t)(lf - octets) - at) != lf - 1)
			break;
		at = (size_t)(lf + 1 - octets);
	}
	return at;
}

void
smtp_encode(struct smtp_encoder *encoder, struct buf *out, const char *octets, size_t len)
{
	size_t at = 0, clean;

	while (at < len) {
		if (encoder->state == AFTER_CR) {
			encoder->state = LINE_START;
			if (octets[at] == '\n') {
				at++;
				continue;
			}
		}
		if (encoder->state == LINE_START && octets[at] == '.')
			buf_append(out, ".", 1);
		clean = clean_lines(octets, at, len);
		if (clean > at) {
			buf_append(out, octets + at, clean - at);
			encoder->state = LINE_START;
			at = clean;
		} else {
			at = encode_line(encoder, out, at, octets, len);
		}
	}
}

void
smtp_encode_end(struct smtp_encoder *encoder, struct buf *out)
{
	if (encoder->state == IN_LINE)
		buf_append(out, "\r\n", 2);
	buf_append(out, ".\r\n", 3);
	encoder->state = LINE_START;
}
