/* fuzz_sendmail.c - a command line and a message, as any program may give them to sendmail. */
#include "base/error.h"
#include "base/log.h"
#include "cmd/sendmail_encode.h"
#include "cmd/sendmail_envelope.h"
#include "cmd/sendmail_message.h"
#include "cmd/sendmail_options.h"
#include "fuzz.h"
#include "mail/envelope.h"
#include "queue/content.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_MAX 16

static void
must(bool holds)
{
	if (!holds)
		abort();
}

/* What is sent has only whole lines, and in its header no NUL and no CR but of a line end. */
static void
check_content(const struct content *content, const struct sendmail_facts *facts)
{
	const size_t size = (size_t)content_size(content);
	char *octets = malloc(size + 1);
	size_t got = 0, used = 0;
	struct error err;

	must(octets != NULL);
	while (used < size && content_read(content, used, octets + used, size - used, &got, &err) &&
	    got > 0)
		used += got;
	must(used == size && size >= 2 && memcmp(octets + size - 2, "\r\n", 2) == 0);
	for (size_t i = 0; i < size; i++)
		must(octets[i] != '\n' || (i > 0 && octets[i - 1] == '\r'));
	for (size_t i = 0; i < facts->header_size && i < size; i++)
		must(octets[i] != '\0');
	free(octets);
}

static void
check_envelope(const struct envelope *envelope)
{
	for (size_t i = 0; i < envelope->recipient_count; i++) {
		const struct address *address = &envelope->recipients[i].forward_path;

		must(!address_is_null(address) && address->local[0] != '-');
		must(strpbrk(address->local, "\r\n") == NULL);
		must(strpbrk(address->domain, "\r\n") == NULL);
	}
}

static void
prepare(struct sendmail_options *options, struct envelope *envelope, const char *octets,
    size_t len)
{
	const struct sendmail_message_settings settings = {
		.ignore_dots = options->ignore_dots, .from_header = options->from_header,
		.from_field = "From: me\r\n", .directory = "/tmp",
	};
	struct sendmail_message *message = sendmail_message_new(&settings);
	struct content *content;
	bool ended = false, ok = true;
	int exit_code = 0;
	struct error err;
	size_t step = len > 0 ? 1 + (unsigned char)octets[0] : 1;

	for (size_t at = 0; ok && at < len && !ended; at += step)
		ok = sendmail_message_feed(message, octets + at, len - at < step ? len - at : step,
		    &ended, &exit_code, &err);
	if (ok && sendmail_message_end(message, &exit_code, &err)) {
		if (sendmail_envelope_add(envelope, options, sendmail_message_recipients(message),
		    &exit_code, &err))
			check_envelope(envelope);
		content = sendmail_encode(message, "/tmp", &exit_code, &err);
		if (content != NULL)
			check_content(content, sendmail_message_facts(message));
		content_unref(content);
	}
	sendmail_message_free(message);
}

/* The words of the command line are lines of the input, up to an empty one; the rest is the
 * message. */
int
LLVMFuzzerTestOneInput(const unsigned char *octets, size_t len)
{
	char *text = malloc(len + 1), *at, *words[WORDS_MAX + 1] = { NULL };
	struct sendmail_options options;
	struct envelope *envelope;
	struct error err;
	int count = 0, exit_code = 0;

	must(text != NULL);
	log_set_level(LOG_LEVEL_CRITICAL);
	memcpy(text, octets, len);
	text[len] = '\0';
	for (at = text; count < WORDS_MAX && *at != '\0' && *at != '\n';) {
		char *end = strchr(at, '\n');

		words[count++] = at;
		if (end == NULL) {
			at += strlen(at);
			break;
		}
		*end = '\0';
		at = end + 1;
	}
	sendmail_options_parse(&options, count, words);
	envelope = sendmail_envelope_new(&options, "login", &exit_code, &err);
	if (envelope != NULL)
		prepare(&options, envelope, at, len - (size_t)(at - text));
	envelope_free(envelope);
	sendmail_options_clear(&options);
	free(text);
	return 0;
}
