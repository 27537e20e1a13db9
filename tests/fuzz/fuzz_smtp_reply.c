/* fuzz_smtp_reply.c - a reply reads the same whole and in pieces, and stays within its bounds. */
#include "proto/smtp_reply.h"

#include <assert.h>
#include <string.h>

#include "fuzz.h"

/* Reads with no more than `piece` new octets at a time, as a socket might bring them. */
static enum smtp_reply_read
read_in_pieces(struct smtp_reply *reply, const char *octets, size_t len, size_t piece, size_t *total)
{
	enum smtp_reply_read result = SMTP_REPLY_MORE;
	size_t used, there = 0;

	*total = 0;
	while (result == SMTP_REPLY_MORE && there < len) {
		there = len - there < piece ? len : there + piece;
		result = smtp_reply_read(reply, octets + *total, there - *total, &used);
		assert(used <= there - *total);
		*total += used;
	}
	return result;
}

int
LLVMFuzzerTestOneInput(const uint8_t *octets, size_t len)
{
	struct smtp_reply whole = { 0 }, pieces = { 0 };
	size_t used, total;
	enum smtp_reply_read result;

	if (len < 2)
		return 0;
	result = read_in_pieces(&whole, (const char *)octets + 1, len - 1, len, &used);
	assert(read_in_pieces(&pieces, (const char *)octets + 1, len - 1, octets[0] % 7u + 1, &total) ==
	    result);
	if (result == SMTP_REPLY_COMPLETE) {
		assert(used == total && whole.code == pieces.code);
		assert(whole.code >= 200 && whole.code <= 599);
		assert(whole.octets <= SMTP_REPLY_MAX);
		assert(whole.line_count <= SMTP_REPLY_LINES_MAX);
		(void)smtp_reply_status(&whole);
	}
	smtp_reply_free(&whole);
	smtp_reply_free(&pieces);
	return 0;
}
