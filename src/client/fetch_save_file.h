/* fetch_save_file.h - a file with a temporary name, and how it gets its own without harm. */
#ifndef HERALD_CLIENT_FETCH_SAVE_FILE_H
#define HERALD_CLIENT_FETCH_SAVE_FILE_H

#include "client/fetch_name.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct map;

#define FETCH_TEMP_MAX 40 /* characters of ".herald-" TAG RANDOM ".part" */

enum fetch_save_found {
	FETCH_FOUND_TEMP,  /* it waits under its temporary name */
	FETCH_FOUND_NAMED, /* it has a name, `final` */
	FETCH_FOUND_GONE,
};

struct fetch_save_file {
	char temp[FETCH_TEMP_MAX + 1];
	char name[FETCH_NAME_MAX + 1];  /* as wished; safe */
	char final[FETCH_NAME_MAX + 1]; /* as it became; empty until then */
	uint64_t inode, size;
	enum fetch_save_found found;
};

/* A new name that begins with the tag, which may be empty. */
void fetch_save_file_temp(char out[FETCH_TEMP_MAX + 1], const char *tag);
/* Whether this is the name of a temporary file, with that tag. */
bool fetch_save_file_is_temp(const char *name, const char *tag);
/* One component of a path that is neither hidden nor a temporary name. */
bool fetch_save_file_is_name(const char *name);

/* Gives the file its name or the next that is free, without ever replacing one; "part.png" where
 * the file system does not take such names.  `numbers`
 * remembers the last number of each name; NULL: starts from the first.  False: errno, and the
 * temporary name is still there. */
bool fetch_save_file_place(int directory, struct fetch_save_file *file, struct map *numbers);

bool fetch_save_file_sync_directory(int directory); /* false: errno */

/* Fills `found` and `final` of each, whenever the process died that was to name them. */
bool fetch_save_file_find(int directory, struct fetch_save_file *files, size_t count);

/* Removes what the file stands under, if it is it; false with errno: it is still there. */
bool fetch_save_file_remove(int directory, const struct fetch_save_file *file);

#endif
