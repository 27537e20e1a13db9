/* submit_result.c - what a server's word about a mail means to the caller: words, exit code. */
#include "client/submit_result.h"

#include "base/text.h"
#include "client/submit_client.h"
#include "mail/envelope.h"

#include <string.h>
#include <sysexits.h>

#define SHOWN_MAX	20		/* refused recipients that are named */

/* The enhanced code tells more than the reply code, where there is one (RFC 3463 3). */
static int
exit_code_of(const struct status *status)
{
	const struct enhanced_code code = status->enhanced;

	if (status_class(status) != STATUS_PERMANENT)
		return EX_TEMPFAIL;
	if (code.class != 0 && code.subject == 1)
		return code.detail == 2 || code.detail == 10 ? EX_NOHOST :
		    code.detail == 3 || code.detail == 7 ? EX_DATAERR : EX_NOUSER;
	if (code.class != 0 && code.subject == 3 && code.detail == 5)
		return EX_CONFIG;
	if (code.class != 0 && (code.subject == 7 || code.subject == 6))
		return code.subject == 7 ? EX_NOPERM : EX_DATAERR;
	if (status->reply_code == 552 || status->reply_code == 501 || status->reply_code == 555 ||
	    (code.class != 0 && code.subject == 3 && code.detail == 4))
		return EX_DATAERR;
	if (status->reply_code == 550 || status->reply_code == 553)
		return EX_NOUSER;
	return EX_UNAVAILABLE;
}

/* One transaction is all that one message gets: more recipients than it may have will not be
 * taken at another time either. */
static bool
is_recipient_limit(const struct submit_refusal *refusal)
{
	const struct enhanced_code code = refusal->status.enhanced;

	return strcmp(refusal->step, "RCPT TO") == 0 && refusal->status.reply_code == 452 &&
	    code.subject == 5 && code.detail == 3;
}

int
submit_exit_code(const struct submit_result *result)
{
	for (size_t i = 0; i < result->refusal_count; i++) {
		int exit_code = exit_code_of(&result->refusals[i].status);

		if (is_recipient_limit(&result->refusals[i]))
			return EX_DATAERR;
		if (exit_code != EX_TEMPFAIL)
			return exit_code;
	}
	return EX_TEMPFAIL;
}

void
submit_tell(const struct envelope *envelope, const struct submit_result *result, submit_say *say)
{
	char text[STATUS_TEXT_MAX + 32], address[ADDRESS_TEXT_MAX + 1], shown[2 * sizeof(address)];

	for (size_t i = 0; i < result->refusal_count; i++) {
		const struct submit_refusal *refusal = &result->refusals[i];
		const struct recipient *recipient = &envelope->recipients[refusal->index];

		status_text(&refusal->status, text, sizeof(text));
		/* Without a word on this recipient alone one line tells of all. */
		if (strcmp(refusal->step, "RCPT TO") != 0 || refusal->status.reply_code == 0) {
			say(0, "%s: %s", refusal->step, text);
			break;
		}
		if (i == SHOWN_MAX) {
			say(0, "and %zu more", result->refusal_count - i);
			break;
		}
		address_text(&recipient->forward_path, address);
		text_printable_utf8(shown, sizeof(shown), address, strlen(address));
		say(0, "%s: %s", shown, text);
	}
	if (result->refusal_count == 0) {
		status_text(&result->status, text, sizeof(text));
		say(0, "%s", text);
	}
}
