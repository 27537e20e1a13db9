/* fuzz_pop3.c - whatever a POP3 server says, nothing secret leaves in clear and all ends once. */
#include "proto/pop3_client.h"

#include <assert.h>
#include <string.h>

#include "fuzz.h"

enum { COMMANDS_MAX = 40 };

/* The first octet chooses the policy, the second how the owner behaves; the rest is what the
 * server says, 0xff ending what is brought at once. */
struct run {
	struct pop3_client *client;
	unsigned mood;			/* bits, shifted out as the owner decides */
	bool in_clear_allowed, secured, handshake;
	bool told, ready, quit, listing, finished;
	unsigned given, done, messages;
	unsigned numbers[COMMANDS_MAX];
};

static bool
decide(struct run *run)
{
	run->mood = (run->mood << 1 | run->mood >> 7) & 0xff;
	return run->mood & 1;
}

static void
on_send(void *owner, const char *octets, size_t len, bool secret)
{
	struct run *run = owner;
	/* The password, and what it is in base64 behind the name. */
	bool told = memmem(octets, len, "secret", 6) != NULL ||
	    memmem(octets, len, "zZWNyZX", 7) != NULL;

	assert(!run->finished);
	assert(len >= 2 && octets[len - 2] == '\r' && octets[len - 1] == '\n');
	run->told |= told;
	assert(!told || (secret && (run->secured || run->in_clear_allowed)));
	assert(memmem(octets, len, "QUIT", 4) == NULL || len == 6);
}

static void
on_start_tls(void *owner)
{
	((struct run *)owner)->handshake = true;
}

static void
on_welcome(void *owner, const char *text, size_t len)
{
	(void)text;
	assert(!((struct run *)owner)->finished && len < POP3_LINE_MAX);
}

static void
on_ready(void *owner)
{
	struct run *run = owner;

	assert(!run->ready && !run->finished);
	assert(run->secured || run->in_clear_allowed);
	run->ready = true;
}

static void
on_mailbox(void *owner, uint64_t count, uint64_t octets)
{
	(void)octets;
	assert(!((struct run *)owner)->finished && count <= POP3_MESSAGES_MAX);
}

static void
give(struct run *run, unsigned number)
{
	if (run->quit || run->given == COMMANDS_MAX)
		return;
	run->numbers[run->given++] = number;
	if (decide(run))
		pop3_client_retrieve(run->client, number);
	else if (decide(run))
		pop3_client_top(run->client, number, 5);
	else
		pop3_client_delete(run->client, number);
}

static void
on_message(void *owner, unsigned number, uint64_t octets)
{
	struct run *run = owner;

	(void)octets;
	assert(!run->finished && number >= 1 && number <= POP3_MESSAGES_MAX);
	run->messages++;
	if (decide(run))
		give(run, number);
}

static void
on_uidl(void *owner, unsigned number, const char *uidl)
{
	size_t len = strlen(uidl);

	assert(!((struct run *)owner)->finished && number >= 1);
	assert(len >= 1 && len <= POP3_UIDL_MAX);
	for (size_t i = 0; i < len; i++)
		assert(uidl[i] > 0x20 && uidl[i] < 0x7f);
}

static void
on_listed(void *owner, bool has_uidl)
{
	(void)has_uidl;
	assert(!((struct run *)owner)->finished && ((struct run *)owner)->listing);
}

static void
on_content(void *owner, unsigned number, const char *octets, size_t len)
{
	struct run *run = owner;

	assert(!run->finished && len > 0 && octets != NULL);
	assert(run->done < run->given && number == run->numbers[run->done]);
	if (len == 13)
		pop3_client_lost(run->client, "enough");
}

static void
on_done(void *owner, enum pop3_command command, unsigned number, bool good, const char *text,
    size_t len)
{
	struct run *run = owner;

	(void)command;
	(void)text;
	assert(!run->finished && len < POP3_LINE_MAX);
	assert(run->done < run->given && number == run->numbers[run->done]);
	run->done++;
	if (good && decide(run))
		give(run, number);
}

static void
on_finished(void *owner, enum pop3_end end, const char *text)
{
	struct run *run = owner;

	assert(!run->finished && strlen(text) < 512);
	assert(end != POP3_END_QUIT || (run->quit && run->done == run->given));
	assert(!run->told || strstr(text, "secret") == NULL);
	for (; *text != '\0'; text++)
		assert((unsigned char)*text >= 0x20 && *text != 0x7f);
	run->finished = true;
}

static const struct pop3_client_events events = {
	.send = on_send, .start_tls = on_start_tls, .on_welcome = on_welcome,
	.on_ready = on_ready, .on_mailbox = on_mailbox, .on_message = on_message,
	.on_uidl = on_uidl, .on_listed = on_listed, .on_content = on_content,
	.on_done = on_done, .on_finished = on_finished,
};

static void
act(struct run *run)
{
	if (run->handshake) {
		run->handshake = false;
		run->secured = true;
		pop3_client_secured(run->client);
	}
	if (!run->ready || run->quit || run->finished)
		return;
	if (!run->listing && decide(run)) {
		run->listing = true;
		pop3_client_list(run->client);
	}
	if (decide(run))
		give(run, 1 + run->mood);
	if (decide(run) && decide(run)) {
		run->quit = true;
		pop3_client_quit(run->client);
	}
}

static void
play(struct run *run, const uint8_t *octets, size_t len)
{
	size_t start = 0, used, there = 0;

	while (there < len && !run->finished) {
		const uint8_t *end = memchr(octets + there, 0xff, len - there);

		there = end == NULL ? len : (size_t)(end - octets);
		if (start < there) {
			used = pop3_client_input(run->client, (const char *)octets + start,
			    there - start);
			assert(used <= there - start);
			start += used;
			assert(there - start < POP3_LINE_MAX);
		}
		/* What is left is an unfinished line; the mark itself is not of it. */
		if (start == there)
			start++;
		there++;
		act(run);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *octets, size_t len)
{
	static const enum pop3_tls policies[] = { POP3_TLS_NONE, POP3_TLS_STLS, POP3_TLS_IMPLICIT,
	    POP3_TLS_STLS };
	struct run run = { .mood = 0 };
	struct pop3_client_params params = { .username = "ann", .password = "secret" };

	if (len < 2)
		return 0;
	params.tls = policies[octets[0] & 3];
	run.in_clear_allowed = params.tls == POP3_TLS_NONE;
	run.secured = params.tls == POP3_TLS_IMPLICIT;
	run.mood = octets[1];
	run.client = pop3_client_new(&params, &events, &run);
	play(&run, octets + 2, len - 2);
	pop3_client_lost(run.client, "end");
	assert(run.finished);
	pop3_client_free(run.client);
	return 0;
}
