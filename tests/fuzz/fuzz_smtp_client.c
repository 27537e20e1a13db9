/* fuzz_smtp_client.c - whatever a server says, each recipient gets one fate. */
#include "proto/smtp_client.h"

#include <assert.h>
#include <string.h>

#include "fuzz.h"

enum { MAILS_MAX = 6, RECIPIENTS = 2 };

/* The first octet chooses the policy, the second how the owner behaves; the rest is what the
 * server says, 0xff ending what is brought at once. */
struct run {
	struct smtp_client *client;
	unsigned mood;			/* bits, shifted out as the owner decides */
	bool secured, finished;
	bool handshake, asked, sending;
	unsigned given, told[MAILS_MAX], fates[MAILS_MAX][RECIPIENTS];
	unsigned cookies[MAILS_MAX];
	bool written[MAILS_MAX];
	struct envelope *envelopes[MAILS_MAX];
	unsigned uploading;
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

	assert(!run->finished && !run->sending);
	assert(len >= 2 && octets[len - 2] == '\r' && octets[len - 1] == '\n');
	/* "c2VjcmV0" is what the password is in base64 on its own. */
	assert(run->secured || !secret || memmem(octets, len, "c2VjcmV0", 8) == NULL);
}

static void
on_start_tls(void *owner)
{
	((struct run *)owner)->handshake = true;
}

static void
on_send_data(void *owner, void *cookie, bool bdat)
{
	struct run *run = owner;

	(void)bdat;
	assert(!run->sending);
	run->sending = true;
	run->uploading = *(const unsigned *)cookie;
}

static void
on_ready(void *owner)
{
	struct run *run = owner;

	assert(!run->asked && !run->finished);
	run->asked = true;
}

static void
on_recipient(void *owner, void *cookie, size_t index, const struct status *status)
{
	struct run *run = owner;
	const unsigned n = *(const unsigned *)cookie;

	assert(!run->finished && index < RECIPIENTS);
	assert(++run->fates[n][index] == 1);
	assert(status_class(status) != STATUS_SUCCESS || run->written[n]);
	if (++run->told[n] < RECIPIENTS)
		return;
	envelope_free(run->envelopes[n]);
	run->envelopes[n] = NULL;
}

static void
on_finished(void *owner, const struct status *status)
{
	struct run *run = owner;

	assert(!run->finished && status_class(status) != STATUS_PERMANENT);
	run->finished = true;
}

static const struct smtp_client_events events = {
	.send = on_send, .start_tls = on_start_tls, .send_data = on_send_data, .on_ready = on_ready,
	.on_recipient = on_recipient, .on_finished = on_finished,
};

static void
give_mail(struct run *run)
{
	const struct address address = { "a", "example.org" };
	const unsigned n = run->given;
	struct smtp_client_mail mail = { .count = RECIPIENTS, .in_memory = decide(run),
	    .eight_bit = n == 4, .cookie = &run->cookies[n] };

	run->asked = false;
	if (n == MAILS_MAX) {
		smtp_client_quit(run->client);
		return;
	}
	run->given++;
	run->cookies[n] = n;
	run->envelopes[n] = envelope_new(&address);
	run->envelopes[n]->size = 1000;
	for (size_t i = 0; i < RECIPIENTS; i++)
		envelope_add(run->envelopes[n], &address);
	mail.envelope = run->envelopes[n];
	smtp_client_mail(run->client, &mail);
}

static void
act(struct run *run)
{
	for (int i = 0; i < 4 && !run->finished; i++) {
		if (run->handshake) {
			run->handshake = false;
			run->secured = true;
			smtp_client_secured(run->client);
		} else if (run->sending && decide(run)) {
			run->sending = false;
			run->written[run->uploading] = true;
			smtp_client_data_sent(run->client);
		} else if (run->asked && decide(run)) {
			give_mail(run);
		}
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
			used = smtp_client_input(run->client, (const char *)octets + start,
			    there - start);
			assert(used <= there - start);
			start += used;
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
	static const enum smtp_client_tls policies[] = { SMTP_CLIENT_TLS_NONE,
	    SMTP_CLIENT_TLS_OPPORTUNISTIC, SMTP_CLIENT_TLS_STARTTLS, SMTP_CLIENT_TLS_IMPLICIT };
	struct run run = { 0 };
	struct smtp_client_params params = { .helo = "relay.example.org", .password = "secret" };

	if (len < 2)
		return 0;
	params.tls = policies[octets[0] & 3];
	params.auth = (enum smtp_client_auth)((octets[0] >> 2 & 7) % 5);
	params.username = octets[0] & 0x20 ? "ann" : NULL;
	run.secured = params.tls == SMTP_CLIENT_TLS_IMPLICIT;
	run.mood = octets[1];
	run.client = smtp_client_new(&params, &events, &run);
	play(&run, octets + 2, len - 2);
	smtp_client_lost(run.client, "end");
	assert(run.finished);
	for (unsigned n = 0; n < run.given; n++)
		assert(run.told[n] == RECIPIENTS);
	smtp_client_free(run.client);
	return 0;
}
