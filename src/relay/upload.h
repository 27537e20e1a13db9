/* upload.h - mail data on its way from the content to a connection, block by block. */
#ifndef HERALD_RELAY_UPLOAD_H
#define HERALD_RELAY_UPLOAD_H

#include "proto/smtp_data.h"

#include <stdbool.h>
#include <stdint.h>

struct conn;
struct content;
struct error;

/* A value; of a content in a file never more than some blocks are in memory. */
struct upload {
	struct content *content;	/* borrowed; NULL: no mail data is under way */
	struct smtp_encoder encoder;
	uint64_t offset;		/* octets read so far */
	bool is_whole;			/* all is written, with the end of data */
	bool raw;			/* for BDAT: the octets as they are, RFC 3030 */
};

enum upload_result {
	UPLOAD_DONE,			/* all is written, with the end of data */
	UPLOAD_WAITS,			/* on_drained() will come */
	UPLOAD_GOES_ON,			/* others shall have their turn: call again in the next */
	UPLOAD_FAILED,			/* the content cannot be read: *err */
};

void upload_start(struct upload *upload, struct content *content, bool raw);
enum upload_result upload_continue(struct upload *upload, struct conn *conn, struct error *err);

#endif
