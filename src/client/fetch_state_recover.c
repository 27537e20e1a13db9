/* fetch_state_recover.c - completes the saving of messages whose process died in it. */
#include "base/error.h"
#include "client/fetch_save_file.h"
#include "client/fetch_state.h"
#include "client/fetch_state_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

static bool
fail(struct fetch_state *state, const struct fetch_saving *saving, struct error *err)
{
	state->exit_code = errno == EACCES || errno == EROFS || errno == EPERM ?
	    EX_CANTCREAT : EX_IOERR;
	return error_set(err, ERROR_SYSTEM, "cannot complete in %s what an earlier run saved: %s",
	    saving->directory, strerror(errno));
}

static bool
is_gone(const struct fetch_saving *saving)
{
	for (size_t i = 0; i < saving->count; i++)
		if (saving->files[i].found == FETCH_FOUND_GONE)
			return true;
	return false;
}

/* What is left of it would be saved a second time with the rest; what has its name already was
 * perhaps read, and stays. */
static bool
drop(struct fetch_state *state, int directory, const struct fetch_saving *saving,
    struct fetch_recovered *out, struct error *err)
{
	for (size_t i = 0; directory != -1 && i < saving->count; i++)
		if (saving->files[i].found == FETCH_FOUND_TEMP &&
		    !fetch_save_file_remove(directory, &saving->files[i]))
			return fail(state, saving, err);
	out->dropped++;
	return fetch_state_drop(state, saving->id, err);
}

static bool
complete(struct fetch_state *state, int directory, struct fetch_saving *saving,
    struct fetch_recovered *out, struct error *err)
{
	if (!fetch_save_file_find(directory, saving->files, saving->count))
		return fail(state, saving, err);
	if (is_gone(saving))
		return drop(state, directory, saving, out, err);
	for (size_t i = 0; i < saving->count; i++) {
		if (saving->files[i].found != FETCH_FOUND_TEMP)
			continue;
		if (!fetch_save_file_place(directory, &saving->files[i], NULL))
			return fail(state, saving, err);
		out->files++;
	}
	if (!fetch_save_file_sync_directory(directory))
		return fail(state, saving, err);
	out->messages++;
	return fetch_state_finish(state, saving->id, err);
}

static bool
recover_one(struct fetch_state *state, struct fetch_saving *saving, struct fetch_recovered *out,
    struct error *err)
{
	int directory = -1;
	bool fine;

	/* A damaged row names nothing that could be completed. */
	if (saving->directory == NULL)
		return drop(state, -1, saving, out, err);
	directory = open(saving->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (directory == -1 && (errno == ENOENT || errno == ENOTDIR))
		return drop(state, -1, saving, out, err);
	if (directory == -1)
		return fail(state, saving, err);
	fine = complete(state, directory, saving, out, err);
	close(directory);
	return fine;
}

bool
fetch_state_recover(struct fetch_state *state, struct fetch_recovered *out, struct error *err)
{
	struct fetch_saving saving = { 0 };
	int64_t id = 0;
	bool fine = true;

	memset(out, 0, sizeof(*out));
	while (fine) {
		if (!fetch_state_unfinished(state, id, &saving, err))
			return false;
		if (saving.id == 0)
			return true;
		id = saving.id;
		fine = recover_one(state, &saving, out, err);
		fetch_saving_free(&saving);
	}
	return false;
}
