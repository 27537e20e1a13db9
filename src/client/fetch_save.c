/* fetch_save.c - puts the parts of messages into a directory: whole, synced, under free names. */
#include "client/fetch_save.h"

#include "base/error.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/text.h"
#include "client/fetch_save_file.h"
#include "client/fetch_state.h"
#include "client/fetch_state_parts.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#define BUFFER_SIZE (64 * 1024) /* octets that are written at once */
#define TEMP_TRIES  100

struct fetch_save_part {
	struct fetch_save *save;
	struct fetch_save_file file;
	int fd;	      /* -1: ended */
	char *buffer; /* while it is open */
	size_t used;
	TAILQ_ENTRY(fetch_save_part) entries;
};

struct fetch_save {
	int directory;
	char *path; /* absolute, without links */
	struct fetch_state *state;
	struct map *numbers; /* by name: the last "name (N)" given */
	TAILQ_HEAD(, fetch_save_part) parts;
	size_t count;
	bool is_committed; /* the present message: its temporary files are to stay */
	int exit_code;
};

/* --- failing --- */

/* Says what with the reason of errno. */
static bool
fail(struct fetch_save *save, int exit_code, const char *what, const char *name,
    struct error *err)
{
	save->exit_code = exit_code;
	return error_set(err, ERROR_SYSTEM, "cannot %s %s%s%s: %s", what, save->path,
	    name[0] != '\0' ? "/" : "", name, strerror(errno));
}

static bool
fail_state(struct fetch_save *save)
{
	save->exit_code = fetch_state_exit_code(save->state);
	return false;
}

int
fetch_save_exit_code(const struct fetch_save *save)
{
	return save->exit_code;
}

/* --- opening --- */

/* Its name has to be on the disk before anything in it counts as saved. */
static bool
sync_parent(int directory)
{
	int fd = openat(directory, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC), failure;
	bool fine;

	if (fd == -1)
		return errno == EACCES;
	fine = fetch_save_file_sync_directory(fd);
	failure = errno;
	close(fd);
	errno = failure;
	return fine;
}

static int
open_directory(const char *directory, char **path, struct error *err)
{
	bool is_new = mkdir(directory, 0700) == 0;
	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	*path = NULL;
	if (fd != -1 && (!is_new || sync_parent(fd)) && faccessat(fd, ".", W_OK | X_OK, 0) == 0 &&
	    (*path = realpath(directory, NULL)) != NULL)
		return fd;
	error_set(err, ERROR_SYSTEM, "cannot save in %s: %s", directory, strerror(errno));
	if (fd != -1)
		close(fd);
	return -1;
}

struct fetch_save *
fetch_save_open(const char *directory, struct fetch_state *state, int *exit_code,
    struct error *err)
{
	struct fetch_save *save;
	char *path;
	int fd = open_directory(directory, &path, err);

	*exit_code = EX_CANTCREAT;
	if (fd == -1)
		return NULL;
	save = mem_zalloc(sizeof(*save));
	save->directory = fd;
	save->path = path;
	save->state = state;
	save->numbers = map_new();
	TAILQ_INIT(&save->parts);
	if (fetch_save_tidy(fd, save->path, state, exit_code, err))
		return save;
	fetch_save_free(save);
	return NULL;
}

void
fetch_save_free(struct fetch_save *save)
{
	if (save == NULL)
		return;
	fetch_save_abandon(save);
	close(save->directory);
	map_free(save->numbers);
	free(save->path);
	free(save);
}

/* --- one part --- */

static bool
make_temp(struct fetch_save *save, struct fetch_save_part *part)
{
	const char *tag = save->state != NULL ? save->state->tag : "";
	struct stat st;
	int failure;

	for (int i = 0; i < TEMP_TRIES; i++) {
		fetch_save_file_temp(part->file.temp, tag);
		part->fd = openat(save->directory, part->file.temp,
		    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (part->fd != -1 || errno != EEXIST)
			break;
	}
	if (part->fd == -1)
		return false;
	if (fstat(part->fd, &st) == 0) {
		part->file.inode = st.st_ino;
		return true;
	}
	failure = errno;
	unlinkat(save->directory, part->file.temp, 0);
	close(part->fd);
	errno = failure;
	return false;
}

struct fetch_save_part *
fetch_save_begin(struct fetch_save *save, const char *name, struct error *err)
{
	struct fetch_save_part *part;

	assert(fetch_save_file_is_name(name) && !save->is_committed);
	if (save->count == FETCH_PARTS_MAX) {
		save->exit_code = EX_DATAERR;
		error_set(err, ERROR_SYSTEM, "a message of more than %d files", FETCH_PARTS_MAX);
		return NULL;
	}
	part = mem_zalloc(sizeof(*part));
	part->save = save;
	text_copy(part->file.name, sizeof(part->file.name), name);
	if (!make_temp(save, part)) {
		fail(save, EX_CANTCREAT, "make a file in", "", err);
		free(part);
		return NULL;
	}
	part->buffer = mem_alloc(BUFFER_SIZE);
	TAILQ_INSERT_TAIL(&save->parts, part, entries);
	save->count++;
	return part;
}

static bool
flush(struct fetch_save_part *part, struct error *err)
{
	size_t at = 0;

	while (at < part->used) {
		ssize_t len = write(part->fd, part->buffer + at, part->used - at);

		if (len == -1 && errno == EINTR)
			continue;
		if (len <= 0) {
			fail(part->save, EX_IOERR, "write", part->file.name, err);
			break;
		}
		at += (size_t)len;
	}
	part->used -= at;
	memmove(part->buffer, part->buffer + at, part->used);
	return part->used == 0;
}

bool
fetch_save_write(struct fetch_save_part *part, const void *octets, size_t len, struct error *err)
{
	const char *at = octets;

	assert(part->fd != -1);
	while (len > 0) {
		size_t room = BUFFER_SIZE - part->used, now = len < room ? len : room;

		memcpy(part->buffer + part->used, at, now);
		part->used += now;
		part->file.size += now;
		at += now;
		len -= now;
		if (part->used == BUFFER_SIZE && !flush(part, err))
			return false;
	}
	return true;
}

static bool
close_part(struct fetch_save_part *part)
{
	int fd = part->fd;

	free(part->buffer);
	part->buffer = NULL;
	part->fd = -1;
	return fd == -1 || close(fd) == 0;
}

bool
fetch_save_end(struct fetch_save_part *part, struct error *err)
{
	if (!flush(part, err))
		return false;
	if (fsync(part->fd) == -1)
		return fail(part->save, EX_IOERR, "sync", part->file.name, err);
	return close_part(part) || fail(part->save, EX_IOERR, "close", part->file.name, err);
}

const char *
fetch_save_final_name(const struct fetch_save_part *part)
{
	return part->file.final;
}

uint64_t
fetch_save_size(const struct fetch_save_part *part)
{
	return part->file.size;
}

/* --- a message --- */

static bool
remove_files(struct fetch_save *save)
{
	struct fetch_save_part *part;
	bool fine = true;

	TAILQ_FOREACH(part, &save->parts, entries)
		fine = fetch_save_file_remove(save->directory, &part->file) && fine;
	return fine;
}

/* The temporary names are on the disk before the row that speaks of them. */
static bool
remember(struct fetch_save *save, const char *uidl, uint64_t size, enum fetch_after after,
    int64_t *id, struct error *err)
{
	const struct fetch_save_file **files = mem_array(save->count + 1, sizeof(*files));
	struct fetch_save_part *part;
	size_t count = 0;
	bool fine;

	TAILQ_FOREACH(part, &save->parts, entries)
		files[count++] = &part->file;
	if (count > 0 && !fetch_save_file_sync_directory(save->directory))
		fine = fail(save, EX_IOERR, "sync", "", err);
	else
		fine = fetch_state_add(save->state, uidl, size, after, save->path, files, count,
		    id, err) || fail_state(save);
	free(files);
	return fine;
}

static bool
place_all(struct fetch_save *save, struct error *err)
{
	struct fetch_save_part *part;

	TAILQ_FOREACH(part, &save->parts, entries) {
		assert(part->fd == -1);
		if (!fetch_save_file_place(save->directory, &part->file, save->numbers))
			return fail(save, EX_IOERR, "name", part->file.name, err);
	}
	if (save->count > 0 && !fetch_save_file_sync_directory(save->directory))
		return fail(save, EX_IOERR, "sync", "", err);
	return true;
}

/* All of it has its name or nothing: else it would come twice at the next run.  Where not even
 * that succeeds the row stays, and the next run completes what is left. */
static void
undo(struct fetch_save *save, int64_t id, struct error *err)
{
	struct error ignored;

	if (!remove_files(save) ||
	    (id != 0 && !fetch_state_drop(save->state, id, &ignored))) {
		save->is_committed = true;
		error_prefix(err, "unfinished, the next run completes it");
	}
}

bool
fetch_save_commit(struct fetch_save *save, const char *uidl, uint64_t size,
    enum fetch_after after, struct error *err)
{
	bool is_remembered = save->state != NULL && uidl != NULL && fetch_state_uidl_fits(uidl);
	int64_t id = 0;

	assert(!save->is_committed);
	if (is_remembered && !remember(save, uidl, size, after, &id, err))
		return false;
	if (!place_all(save, err)) {
		undo(save, id, err);
		return false;
	}
	save->is_committed = true;
	if (id == 0 || fetch_state_finish(save->state, id, err))
		return true;
	error_prefix(err, "saved, but unfinished until the next run");
	return fail_state(save);
}

void
fetch_save_abandon(struct fetch_save *save)
{
	struct fetch_save_part *part;

	TAILQ_FOREACH(part, &save->parts, entries)
		(void)close_part(part);
	if (!save->is_committed)
		(void)remove_files(save);
	while ((part = TAILQ_FIRST(&save->parts)) != NULL) {
		TAILQ_REMOVE(&save->parts, part, entries);
		free(part);
	}
	save->count = 0;
	save->is_committed = false;
}
