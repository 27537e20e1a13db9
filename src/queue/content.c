/* content.c - mail data: in memory up to 64 KiB, then in an unlinked file. */
#include "queue/content.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/memory_budget.h"

#define CONTENT_MEMORY_FIRST	4096	/* octets; most mail that machines write fits */
#define CONTENT_MEMORY_STEP	2048	/* octets; many messages wait with what is left of it */
/* Octets: so that a budget of 64 MiB holds no more than 256 descriptors. */
#define CONTENT_FILE_COST	(256 * 1024)
/* Octets that stay in memory when that gets tight, and when it is short. */
#define CONTENT_TIGHT_MAX	(16 * 1024)
#define CONTENT_SHORT_MAX	CONTENT_MEMORY_FIRST

struct content {
	unsigned references;
	char *octets;		/* NULL once it is in the file */
	size_t capacity;
	uint64_t size;
	int fd;			/* -1 while it is in memory */
	char *directory;
	struct memory_budget *budget;	/* NULL: not counted */
	uint64_t charged;		/* octets */
};

struct content *
content_new(const char *directory)
{
	struct content *content = mem_zalloc(sizeof(*content));

	content->references = 1;
	content->fd = -1;
	content->directory = mem_strdup(directory);
	return content;
}

static void
charge(struct content *content)
{
	memory_budget_charge(content->budget, &content->charged, sizeof(*content) +
	    content->capacity);
}

void
content_charge(struct content *content, struct memory_budget *budget)
{
	if (content->budget != NULL)
		return;
	content->budget = budget;
	charge(content);
}

struct content *
content_ref(struct content *content)
{
	content->references++;
	return content;
}

void
content_unref(struct content *content)
{
	if (content == NULL || --content->references > 0)
		return;
	memory_budget_charge(content->budget, &content->charged, 0);
	if (content->fd != -1)
		close(content->fd);
	free(content->octets);
	free(content->directory);
	free(content);
}

/* A file without a name: it is gone with its last descriptor, whatever happens. */
static int
open_nameless(const char *directory, struct error *err)
{
	char *name;
	int fd;

	fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd != -1)
		return fd;
	name = mem_printf("%s/.herald-XXXXXX", directory);
	/* Not every file system has O_TMPFILE; mkostemp makes the file with 0600. */
	fd = mkostemp(name, O_CLOEXEC);
	if (fd == -1)
		error_set(err, ERROR_SYSTEM, "cannot make a file in %s: %s", directory,
		    strerror(errno));
	else
		unlink(name);
	free(name);
	return fd;
}

static bool
write_at(int fd, const char *octets, size_t len, uint64_t offset, struct error *err)
{
	while (len > 0) {
		ssize_t written = pwrite(fd, octets, len, (off_t)offset);

		if (written == -1 && errno == EINTR)
			continue;
		if (written == -1)
			return error_set(err, ERROR_SYSTEM, "cannot write mail data: %s",
			    strerror(errno));
		octets += written;
		len -= (size_t)written;
		offset += (uint64_t)written;
	}
	return true;
}

static bool
move_to_file(struct content *content, struct error *err)
{
	int fd = open_nameless(content->directory, err);

	if (fd == -1)
		return false;
	if (content->size > 0 && !write_at(fd, content->octets, content->size, 0, err)) {
		close(fd);
		return false;
	}
	free(content->octets);
	content->octets = NULL;
	content->capacity = 0;
	content->fd = fd;
	charge(content);
	return true;
}

static void
append_memory(struct content *content, const void *octets, size_t len)
{
	size_t need = (size_t)content->size + len, capacity = content->capacity;

	if (capacity == 0)
		capacity = CONTENT_MEMORY_FIRST;
	if (capacity < need)
		capacity = (need + CONTENT_MEMORY_STEP - 1) & ~(size_t)(CONTENT_MEMORY_STEP - 1);
	if (capacity != content->capacity)
		content->octets = mem_realloc(content->octets, capacity);
	content->capacity = capacity;
	charge(content);
	memcpy(content->octets + content->size, octets, len);
	content->size = need;
}

static size_t
memory_max(const struct content *content)
{
	if (content->budget == NULL)
		return CONTENT_MEMORY_MAX;
	switch (memory_budget_state(content->budget)) {
	case MEMORY_AMPLE:
		return CONTENT_MEMORY_MAX;
	case MEMORY_TIGHT:
		return CONTENT_TIGHT_MAX;
	case MEMORY_SHORT:
	case MEMORY_OUT:
		break;
	}
	return CONTENT_SHORT_MAX;
}

/* False: it has to go to the file, which it could not. */
static bool
make_room(struct content *content, size_t len, struct error *err)
{
	bool fits = len <= CONTENT_MEMORY_MAX - content->size;

	if (fits && content->size + len <= memory_max(content))
		return true;
	/* A file before its time is no more than a wish: descriptors may be short, too. */
	return move_to_file(content, err) || fits;
}

bool
content_append(struct content *content, const void *octets, size_t len, struct error *err)
{
	if (len == 0)
		return true;
	if (content->fd == -1 && !make_room(content, len, err))
		return false;
	if (content->fd == -1) {
		append_memory(content, octets, len);
		return true;
	}
	/* What a failed write left behind the counted end is written over by the next. */
	if (!write_at(content->fd, octets, len, content->size, err))
		return false;
	content->size += len;
	return true;
}

uint64_t
content_size(const struct content *content)
{
	return content->size;
}

uint64_t
content_cost(const struct content *content)
{
	return content->fd == -1 ? sizeof(*content) + content->capacity : CONTENT_FILE_COST;
}

bool
content_in_memory(const struct content *content)
{
	return content->fd == -1;
}

const char *
content_octets(const struct content *content)
{
	if (content->fd != -1)
		return NULL;
	return content->octets != NULL ? content->octets : "";
}

bool
content_read(const struct content *content, uint64_t offset, void *out, size_t len, size_t *got,
    struct error *err)
{
	ssize_t count;

	*got = 0;
	if (offset >= content->size || len == 0)
		return true;
	if (len > content->size - offset)
		len = (size_t)(content->size - offset);
	if (content->fd == -1) {
		memcpy(out, content->octets + offset, len);
		*got = len;
		return true;
	}
	do
		count = pread(content->fd, out, len, (off_t)offset);
	while (count == -1 && errno == EINTR);
	if (count == -1)
		return error_set(err, ERROR_SYSTEM, "cannot read mail data: %s", strerror(errno));
	/* The file is ours alone: less than was counted means that it was cut. */
	if (count == 0)
		return error_set(err, ERROR_SYSTEM, "mail data end too early");
	*got = (size_t)count;
	return true;
}
