/* fetch_fixture.h - a folder to save in, a state beside it, and what stands there afterwards. */
#ifndef HERALD_TESTS_UNIT_FETCH_FIXTURE_H
#define HERALD_TESTS_UNIT_FETCH_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mem.h"
#include "client/fetch_save.h"
#include "client/fetch_state.h"

#define ACCOUNT "ann@pop.example.org:995"
#define MESSAGE_SIZE 1234 /* octets, as the server lists it */

static struct {
	const char *base;			/* NULL: /tmp */
	char root[64], directory[80], path[80]; /* of the files, of the database */
} place;

static inline int
set_up(void **state)
{
	(void)state;
	snprintf(place.root, sizeof(place.root), "%s/herald-fetch-XXXXXX",
	    place.base != NULL ? place.base : "/tmp");
	assert_non_null(mkdtemp(place.root));
	snprintf(place.directory, sizeof(place.directory), "%s/files", place.root);
	snprintf(place.path, sizeof(place.path), "%s/state/fetch.db", place.root);
	return 0;
}

static inline int
remove_entry(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st;
	(void)kind;
	(void)ftw;
	return remove(path);
}

static inline int
tear_down(void **state)
{
	(void)state;
	return nftw(place.root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static inline struct fetch_state *
open_state(void)
{
	struct error err = { .text = "" };
	int exit_code;
	struct fetch_state *state = fetch_state_open(place.path, ACCOUNT, &exit_code, &err);

	if (state == NULL)
		print_message("%s\n", err.text);
	assert_non_null(state);
	return state;
}

static inline struct fetch_save *
open_save(struct fetch_state *state)
{
	struct error err = { .text = "" };
	int exit_code;
	struct fetch_save *save = fetch_save_open(place.directory, state, &exit_code, &err);

	if (save == NULL)
		print_message("%s\n", err.text);
	assert_non_null(save);
	return save;
}

static inline enum fetch_known
known(struct fetch_state *state, const char *uidl)
{
	enum fetch_known out;
	struct error err;

	assert_true(fetch_state_lookup(state, uidl, MESSAGE_SIZE, &out, &err));
	return out;
}

/* A part that was written and ended. */
static inline struct fetch_save_part *
add_part(struct fetch_save *save, const char *name, const char *text)
{
	struct error err = { .text = "" };
	struct fetch_save_part *part = fetch_save_begin(save, name, &err);

	assert_non_null(part);
	assert_true(fetch_save_write(part, text, strlen(text), &err));
	assert_true(fetch_save_end(part, &err));
	return part;
}

/* --- what is there --- */

static inline char *
path_of(const char *name)
{
	return mem_printf("%s/%s", place.directory, name);
}

/* NULL: there is none; "" too for what is no file. */
static inline char *
text_of(const char *name)
{
	char *path = path_of(name), *text = NULL;
	FILE *file = fopen(path, "r");
	size_t len = 0;

	free(path);
	if (file == NULL)
		return NULL;
	text = mem_zalloc(65536);
	len = fread(text, 1, 65535, file);
	text[len] = '\0';
	fclose(file);
	return text;
}

static inline void
assert_file(const char *name, const char *expected)
{
	char *text = text_of(name);

	if (text == NULL)
		print_message("no file %s\n", name);
	assert_non_null(text);
	assert_string_equal(text, expected);
	free(text);
}

static inline void
put_file(const char *name, const char *text)
{
	char *path = path_of(name);
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
	assert_int_equal(fclose(file), 0);
	free(path);
}

/* Of all entries, or of those that begin so. */
static inline unsigned
count_files(const char *prefix)
{
	DIR *entries = opendir(place.directory);
	const struct dirent *entry;
	unsigned count = 0;

	if (entries == NULL)
		return 0;
	while ((entry = readdir(entries)) != NULL)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
		    strncmp(entry->d_name, prefix, strlen(prefix)) == 0)
			count++;
	closedir(entries);
	return count;
}

/* The first column of the first row; -1 where there is none.  For the rows, and for their harm. */
static inline int64_t
tamper(const char *sql)
{
	sqlite3 *handle;
	sqlite3_stmt *statement;
	int64_t value = -1;

	assert_int_equal(sqlite3_open(place.path, &handle), SQLITE_OK);
	sqlite3_busy_timeout(handle, 10000);
	assert_int_equal(sqlite3_prepare_v2(handle, sql, -1, &statement, NULL), SQLITE_OK);
	if (sqlite3_step(statement) == SQLITE_ROW)
		value = sqlite3_column_int64(statement, 0);
	sqlite3_finalize(statement);
	sqlite3_close(handle);
	return value;
}

#endif
