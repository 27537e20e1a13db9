/* upload.c - mail data on its way from the content to a connection, block by block. */
#include "relay/upload.h"

#include "base/buf.h"
#include "base/mem.h"
#include "net/conn.h"
#include "queue/content.h"

#include <stdlib.h>

#define BLOCK		(64 * 1024)	/* octets read from the content at once */
#define BLOCKS_A_TURN	4		/* then the other sessions have their turn */

void
upload_start(struct upload *upload, struct content *content, bool raw)
{
	*upload = (struct upload){ .content = content, .raw = raw };
}

static void
write_block(struct upload *upload, struct conn *conn, const char *block, size_t len)
{
	struct buf wire = { 0 };

	if (upload->raw) {
		conn_write(conn, block, len);
		return;
	}
	if (len > 0)
		smtp_encode(&upload->encoder, &wire, block, len);
	else
		smtp_encode_end(&upload->encoder, &wire);
	conn_write(conn, buf_octets(&wire), wire.len);
	buf_free(&wire);
}

enum upload_result
upload_continue(struct upload *upload, struct conn *conn, struct error *err)
{
	char *block = mem_alloc(BLOCK);
	bool failed = false;
	size_t got = 1;

	for (int i = 0; i < BLOCKS_A_TURN && got > 0 && conn_unsent(conn) < CONN_DRAINED; i++) {
		failed = !content_read(upload->content, upload->offset, block, BLOCK, &got, err);
		if (failed)
			break;
		upload->offset += got;
		write_block(upload, conn, block, got);
	}
	free(block);
	if (failed)
		return UPLOAD_FAILED;
	if (got == 0) {
		upload->content = NULL;
		return UPLOAD_DONE;
	}
	return conn_unsent(conn) < CONN_DRAINED ? UPLOAD_GOES_ON : UPLOAD_WAITS;
}
