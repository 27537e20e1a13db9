/* send_stream.c - GMime's streams over the files of a mail and over its mail data. */
#include "client/send_stream.h"

#include "base/error.h"
#include "queue/content.h"

#include <errno.h>
#include <gmime/gmime.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

/* One class for both: a source has a file, a sink has mail data. */
struct send_stream {
	GMimeStream stream;	/* first, as GObject wants it */
	const struct send_file *file;
	struct content *content;
	struct send_fault *fault;
	int fd;			/* -1: not open */
	uint64_t done;		/* octets */
	bool ended;
};

struct send_stream_class {
	GMimeStreamClass parent;
};

typedef struct send_stream SendStream;
typedef struct send_stream_class SendStreamClass;
GType send_stream_get_type(void);
G_DEFINE_TYPE(SendStream, send_stream, GMIME_TYPE_STREAM)

static struct send_stream *
of(GMimeStream *stream)
{
	return G_TYPE_CHECK_INSTANCE_CAST(stream, send_stream_get_type(), struct send_stream);
}

static void
shut(struct send_stream *self)
{
	if (self->fd != -1)
		close(self->fd);
	self->fd = -1;
}

/* --- a file --- */

/* Its end: all of it was there, and it is still the same. */
static ssize_t
end_of_file(struct send_stream *self)
{
	char shown[320];
	int fd;

	self->ended = true;
	shut(self);
	if (self->done != self->file->size) {
		send_fault_set(self->fault, EX_IOERR, "%s changed while the mail was made",
		    send_shown(shown, self->file->path));
		return -1;
	}
	fd = send_file_open(self->file, self->fault);
	if (fd == -1)
		return -1;
	close(fd);
	return 0;
}

static ssize_t
read_file(GMimeStream *stream, char *octets, size_t len)
{
	struct send_stream *self = of(stream);
	char shown[320];
	ssize_t got;

	if (self->ended)
		return 0;
	if (self->fd == -1)
		self->fd = send_file_open(self->file, self->fault);
	if (self->fd == -1)
		return -1;
	do
		got = read(self->fd, octets, len);
	while (got == -1 && errno == EINTR);
	if (got == -1) {
		send_fault_set(self->fault, EX_IOERR, "cannot read %s: %s",
		    send_shown(shown, self->file->path), strerror(errno));
		return -1;
	}
	self->done += (uint64_t)got;
	/* It grows as it is read: no end would come. */
	return got == 0 || self->done > self->file->size ? end_of_file(self) : got;
}

static gboolean
is_at_end(GMimeStream *stream)
{
	return of(stream)->ended;
}

static int
start_again(GMimeStream *stream)
{
	struct send_stream *self = of(stream);

	if (self->content != NULL)
		return -1;
	shut(self);
	self->done = 0;
	self->ended = false;
	return 0;
}

/* --- mail data --- */

static ssize_t
write_content(GMimeStream *stream, const char *octets, size_t len)
{
	struct send_stream *self = of(stream);
	struct error err;

	if (content_append(self->content, octets, len, &err)) {
		self->done += len;
		return (ssize_t)len;
	}
	send_fault_set(self->fault, EX_IOERR, "%s", err.text);
	return -1;
}

/* --- what GMime asks of every stream --- */

static int
flush(GMimeStream *stream)
{
	(void)stream;
	return 0;
}

static int
close_stream(GMimeStream *stream)
{
	shut(of(stream));
	return 0;
}

static gint64
seek(GMimeStream *stream, gint64 offset, GMimeSeekWhence whence)
{
	if (offset == 0 && whence == GMIME_STREAM_SEEK_SET)
		return start_again(stream);
	return -1;
}

static gint64
tell(GMimeStream *stream)
{
	return (gint64)of(stream)->done;
}

static gint64
length(GMimeStream *stream)
{
	const struct send_stream *self = of(stream);

	return self->file != NULL ? (gint64)self->file->size : (gint64)self->done;
}

static GMimeStream *
substream(GMimeStream *stream, gint64 start, gint64 end)
{
	(void)stream;
	(void)start;
	(void)end;
	return NULL;
}

static void
finalize(GObject *object)
{
	shut(of((GMimeStream *)object));
	G_OBJECT_CLASS(send_stream_parent_class)->finalize(object);
}

static void
send_stream_class_init(SendStreamClass *class)
{
	G_OBJECT_CLASS(class)->finalize = finalize;
	class->parent.read = read_file;
	class->parent.write = write_content;
	class->parent.flush = flush;
	class->parent.close = close_stream;
	class->parent.eos = is_at_end;
	class->parent.reset = start_again;
	class->parent.seek = seek;
	class->parent.tell = tell;
	class->parent.length = length;
	class->parent.substream = substream;
}

static void
send_stream_init(SendStream *self)
{
	self->fd = -1;
}

static GMimeStream *
new_stream(struct send_fault *fault)
{
	GMimeStream *stream = g_object_new(send_stream_get_type(), NULL);

	g_mime_stream_construct(stream, 0, -1);
	of(stream)->fault = fault;
	return stream;
}

GMimeStream *
send_stream_of_file(const struct send_file *file, struct send_fault *fault)
{
	GMimeStream *stream = new_stream(fault);

	of(stream)->file = file;
	return stream;
}

GMimeStream *
send_stream_to_content(struct content *content, struct send_fault *fault)
{
	GMimeStream *stream = new_stream(fault);

	of(stream)->content = content;
	return stream;
}
