/* smtp_chunk.c - the octets of BDAT (RFC 3030): counted, so that dots mean nothing in them. */
#include "proto/smtp_chunk.h"

#include <string.h>

enum chunk_state { LINE_START, IN_LINE, AFTER_CR };

/* One call: the block, and from where on it is not yet given. */
struct pass {
	struct smtp_decoder *decoder;
	const char *octets;
	size_t run;
	void (*take)(void *arg, const char *octets, size_t len);
	void *arg;
};

static void
give_run(struct pass *pass, size_t end)
{
	if (end > pass->run)
		pass->take(pass->arg, pass->octets + pass->run, end - pass->run);
	pass->run = end;
}

/* The CR that was kept back: given with its LF, or it was bare. */
static size_t
settle_cr(struct pass *pass)
{
	if (pass->octets[0] != '\n') {
		pass->decoder->bare = true;
		pass->take(pass->arg, "\r", 1);
		return 0;
	}
	pass->take(pass->arg, "\r\n", 2);
	pass->run = 1;
	return 1;
}

static void
on_bare_lf(struct pass *pass, size_t place)
{
	if (!pass->decoder->normalize) {
		pass->decoder->bare = true;
		return;
	}
	give_run(pass, place);
	pass->take(pass->arg, "\r\n", 2);
	pass->run = place + 1;
}

/* One line from `at`, or what there is of it; returns where the next begins. */
static size_t
take_line(struct pass *pass, size_t at, size_t len)
{
	const char *first = pass->octets + at;
	const char *lf = memchr(first, '\n', len - at);
	size_t end = lf != NULL ? (size_t)(lf - pass->octets) : len;
	const char *cr = memchr(first, '\r', end - at);

	pass->decoder->state = lf != NULL ? LINE_START :
	    pass->octets[len - 1] == '\r' ? AFTER_CR : IN_LINE;
	/* A CR may stand directly before the LF, or be the last octet so far. */
	if (cr != NULL && cr + 1 != pass->octets + end)
		pass->decoder->bare = true;
	else if (cr == NULL && lf != NULL)
		on_bare_lf(pass, end);
	return lf != NULL ? end + 1 : len;
}

void
smtp_chunk_decode(struct smtp_decoder *decoder, const char *octets, size_t len,
    void (*take)(void *arg, const char *octets, size_t len), void *arg)
{
	struct pass pass = { .decoder = decoder, .octets = octets, .take = take, .arg = arg };
	size_t at = 0;

	if (len == 0)
		return;
	decoder->nul = decoder->nul || memchr(octets, '\0', len) != NULL;
	if (decoder->state == AFTER_CR) {
		at = settle_cr(&pass);
		decoder->state = LINE_START;
	}
	while (at < len)
		at = take_line(&pass, at, len);
	give_run(&pass, decoder->state == AFTER_CR ? len - 1 : len);
}

void
smtp_chunk_end(struct smtp_decoder *decoder,
    void (*take)(void *arg, const char *octets, size_t len), void *arg)
{
	if (decoder->state == AFTER_CR)
		decoder->bare = true;
	else if (decoder->state == IN_LINE)
		take(arg, "\r\n", 2);
	decoder->state = LINE_START;
}
