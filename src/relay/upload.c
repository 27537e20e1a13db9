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
write_octets(struct upload *upload, struct conn *conn, const char *octets, size_t len)
{
	struct buf wire = { 0 };

	if (upload->raw) {
		conn_write(conn, octets, len);
		return;
	}
	buf_reserve(&wire, len + len / 64 + 16);	/* some dots, and the end */
	smtp_encode(&upload->encoder, &wire, octets, len);
	if (upload->is_whole)
		smtp_encode_end(&upload->encoder, &wire);
	conn_write(conn, buf_octets(&wire), wire.len);
	buf_free(&wire);
}

/* What is in memory is one block; of a file, `room` takes the next one. */
static bool
write_block(struct upload *upload, struct conn *conn, char *room, struct error *err)
{
	const struct content *content = upload->content;
	const char *octets = content_octets(content);
	size_t len = (size_t)content_size(content);

	if (octets == NULL) {
		if (!content_read(content, upload->offset, room, BLOCK, &len, err))
			return false;
		octets = room;
	}
	upload->offset += len;
	upload->is_whole = upload->offset == content_size(content);
	write_octets(upload, conn, octets, len);
	return true;
}

enum upload_result
upload_continue(struct upload *upload, struct conn *conn, struct error *err)
{
	char *room = content_in_memory(upload->content) ? NULL : mem_alloc(BLOCK);
	bool is_good = true;

	for (int i = 0; i < BLOCKS_A_TURN && is_good && !upload->is_whole &&
	    conn_unsent(conn) < CONN_DRAINED; i++)
		is_good = write_block(upload, conn, room, err);
	free(room);
	if (!is_good)
		return UPLOAD_FAILED;
	if (upload->is_whole) {
		upload->content = NULL;
		return UPLOAD_DONE;
	}
	return conn_unsent(conn) < CONN_DRAINED ? UPLOAD_GOES_ON : UPLOAD_WAITS;
}
