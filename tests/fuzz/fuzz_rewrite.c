/* fuzz_rewrite.c - a header section becomes the same however it is cut; its body stays; twice is once. */
#include "mail/rewrite.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/error.h"
#include "fuzz.h"
#include "mail/aliases.h"
#include "mail/header_address.h"
#include "mail/identity.h"

static const char file[] = "root: admin@example.org\nops: ann@example.org, bob@example.net\n";
static const char *const names[] = { "localhost" };
static struct identity identity = { .hostname = "web1.example.org", .domain = "mail.example.org",
	.local_names = names, .local_name_count = 1 };

static void
take(void *arg, const char *octets, size_t len)
{
	buf_append(arg, octets, len);
}

static enum rewrite_fault
rewrite(const struct buf *message, size_t piece, struct buf *out)
{
	static const struct address sender = { .local = "ann", .domain = "example.org" };
	const struct rewrite_params params = { .identity = &identity, .reverse_path = &sender,
		.hostname = "web1.example.org", .queue_id = "ABC001", .now = 1795410367 };
	struct rewrite *one = rewrite_new(&params, take, out);
	enum rewrite_fault fault;

	for (size_t at = 0; at < message->len; at += piece)
		rewrite_write(one, buf_octets(message) + at,
		    message->len - at < piece ? message->len - at : piece);
	fault = rewrite_end(one);
	rewrite_free(one);
	return fault;
}

static void
assert_same(const struct buf *a, const struct buf *b)
{
	assert(a->len == b->len);
	assert(a->len == 0 || memcmp(buf_octets(a), buf_octets(b), a->len) == 0);
}

/* Whatever stands there, the mailboxes lie in order within it. */
static void
check_addresses(const struct buf *text)
{
	struct header_addresses addresses = { .tokens = { .text = buf_octets(text),
	    .len = text->len } };
	struct header_mailbox mailbox;
	size_t end = 0;

	while (header_address_next(&addresses, &mailbox)) {
		assert(mailbox.whole.first >= end && mailbox.whole.first < mailbox.whole.end);
		end = mailbox.whole.end;
		assert(end <= text->len);
		if (mailbox.spec.first < mailbox.spec.end)
			assert(mailbox.spec.first >= mailbox.whole.first &&
			    mailbox.spec.first <= mailbox.local.first &&
			    mailbox.local.first < mailbox.local.end &&
			    mailbox.local.end <= mailbox.spec.end && mailbox.spec.end <= end);
	}
}

static void
check_body(const struct buf *message, const struct buf *out)
{
	const char *empty = memmem(buf_octets(message), message->len, "\r\n\r\n", 4);
	size_t len;

	if (empty == NULL)
		return;
	len = message->len - (size_t)(empty + 4 - buf_octets(message));
	assert(out->len >= len);
	assert(memcmp(buf_octets(out) + out->len - len, empty + 4, len) == 0);
}

/* With identity.from: one field in the header section, however many came. */
static void
check_from(const struct buf *out)
{
	size_t count = 0;

	for (const char *at = buf_octets(out), *end = at + out->len, *lf;
	    at < end && *at != '\r' && *at != '\n'; at = lf + 1) {
		lf = memchr(at, '\n', (size_t)(end - at));
		if (lf == NULL)
			break;
		count += lf - at > 5 && strncasecmp(at, "From:", 5) == 0;
	}
	assert(count <= 1);
}

/* A NUL-ended aliases file of any octets is read or refused. */
static void
check_aliases(const struct buf *text)
{
	struct error err;
	struct aliases *aliases = aliases_parse("FILE", buf_octets(text), text->len,
	    identity_is_local_name, &identity, &err);

	assert(aliases != NULL || strncmp(err.text, "FILE:", 5) == 0);
	for (size_t i = 0; i < aliases_count(aliases); i++)
		assert(aliases_at(aliases, i)->target_count > 0);
	aliases_free(aliases);
}

int
LLVMFuzzerTestOneInput(const uint8_t *octets, size_t len)
{
	struct buf message = { 0 }, whole = { 0 }, pieces = { 0 }, twice = { 0 };
	struct error err;

	if (len < 1)
		return 0;
	if (identity.aliases == NULL)
		identity.aliases = aliases_parse("file", file, strlen(file),
		    identity_is_local_name, &identity, &err);
	buf_append(&message, octets + 1, len - 1);
	identity.from = (struct address){ .local = "" };
	if ((octets[0] & 0x80) != 0)
		identity.from = (struct address){ .local = "noreply", .domain = "example.org" };
	if (rewrite(&message, len, &whole) == REWRITE_OK) {
		assert(rewrite(&message, octets[0] % 7u + 1, &pieces) == REWRITE_OK);
		assert_same(&whole, &pieces);
		check_body(&message, &whole);
		if ((octets[0] & 0x80) != 0)
			check_from(&whole);
		if (rewrite(&whole, len, &twice) == REWRITE_OK)
			assert_same(&whole, &twice);
	}
	check_addresses(&message);
	check_aliases(&message);
	buf_free(&message);
	buf_free(&whole);
	buf_free(&pieces);
	buf_free(&twice);
	return 0;
}
