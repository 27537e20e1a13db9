/* fetch_save_file.c - a file with a temporary name, and how it gets its own without harm. */
#include "client/fetch_save_file.h"

#include "base/map.h"
#include "base/mem.h"
#include "base/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX	      ".herald-"
#define SUFFIX	      ".part"
#define RANDOM_LENGTH 8
#define NUMBER_MAX    1000000 /* files of one name in a directory */
#define PLAIN_EXTENSION 8

static const char letters[] = "abcdefghijklmnopqrstuvwxyz234567";

/* --- names --- */

void
fetch_save_file_temp(char out[FETCH_TEMP_MAX + 1], const char *tag)
{
	unsigned char octets[RANDOM_LENGTH];
	char random[RANDOM_LENGTH + 1] = "";

	if (getrandom(octets, sizeof(octets), 0) != (ssize_t)sizeof(octets))
		abort(); /* never happens for so few, once the machine has started */
	for (size_t i = 0; i < sizeof(octets); i++)
		random[i] = letters[octets[i] % 32];
	snprintf(out, FETCH_TEMP_MAX + 1, "%s%s%s%s", PREFIX, tag, random, SUFFIX);
}

bool
fetch_save_file_is_temp(const char *name, const char *tag)
{
	const char *random;

	if (!text_has_prefix(name, PREFIX) || !text_has_prefix(name + strlen(PREFIX), tag))
		return false;
	random = name + strlen(PREFIX) + strlen(tag);
	return strspn(random, letters) == RANDOM_LENGTH &&
	    strcmp(random + RANDOM_LENGTH, SUFFIX) == 0;
}

bool
fetch_save_file_is_name(const char *name)
{
	return name[0] != '\0' && name[0] != '.' && strchr(name, '/') == NULL &&
	    strlen(name) <= FETCH_NAME_MAX;
}

/* --- placing --- */

/* By link where the file system knows no renaming without overwriting (NFS, old kernels). */
static bool
place_once(int directory, const char *temp, const char *name)
{
	if (renameat2(directory, temp, directory, name, RENAME_NOREPLACE) == 0)
		return true;
	if (errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP)
		return false;
	return linkat(directory, temp, directory, name, 0) == 0 &&
	    unlinkat(directory, temp, 0) == 0;
}

static unsigned
first_number(const struct map *numbers, const char *name)
{
	const void *last = numbers != NULL ? map_get(numbers, name) : NULL;

	return last != NULL ? (unsigned)(uintptr_t)last + 1 : 1;
}

/* By that name or the next that is free. */
static bool
place_as(int directory, struct fetch_save_file *file, const char *name, struct map *numbers)
{
	for (unsigned n = first_number(numbers, name); n <= NUMBER_MAX; n++) {
		if (n == 1)
			text_copy(file->final, sizeof(file->final), name);
		else
			fetch_name_next(name, n, file->final);
		if (place_once(directory, file->temp, file->final)) {
			file->found = FETCH_FOUND_NAMED;
			/* Of the many that were free at once none needs to be known. */
			if (numbers != NULL && n > 1)
				map_put(numbers, name, (void *)(uintptr_t)n);
			return true;
		}
		if (errno != EEXIST)
			return false;
	}
	file->final[0] = '\0';
	errno = EEXIST;
	return false;
}

/* What every file system takes: FAT knows no colon, others no long names or no UTF-8.  A
 * stranger's name must not be a way to have no mail any more. */
static void
plain_name(const char *name, char out[FETCH_NAME_MAX + 1])
{
	static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
	const char *dot = strrchr(name, '.');
	size_t len = dot != NULL ? strspn(dot + 1, alphabet) : 0;

	if (len == 0 || len > PLAIN_EXTENSION || dot[1 + len] != '\0')
		dot = ".bin";
	snprintf(out, FETCH_NAME_MAX + 1, "part%s", dot);
}

bool
fetch_save_file_place(int directory, struct fetch_save_file *file, struct map *numbers)
{
	char plain[FETCH_NAME_MAX + 1];

	if (place_as(directory, file, file->name, numbers))
		return true;
	/* EPERM is also what FAT says to the link that was tried next. */
	if (errno != EINVAL && errno != EILSEQ && errno != ENAMETOOLONG && errno != EPERM)
		return false;
	plain_name(file->name, plain);
	return place_as(directory, file, plain, numbers);
}

bool
fetch_save_file_sync_directory(int directory)
{
	/* Some file systems of networks and of FUSE know no syncing of folders. */
	return fsync(directory) == 0 || errno == EINVAL || errno == EOPNOTSUPP;
}

/* --- finding --- */

static bool
is_it(const struct fetch_save_file *file, const struct stat *st)
{
	return S_ISREG(st->st_mode) && st->st_uid == geteuid() &&
	    (uint64_t)st->st_size == file->size;
}

/* The temporary name alone proves most.  A second name of the same file is that of a process
 * which died between link and unlink; whether there is one shows in the directory only. */
static bool
look_at_temp(int directory, struct fetch_save_file *file, bool *is_clear)
{
	struct stat st;

	file->final[0] = '\0';
	file->found = FETCH_FOUND_GONE;
	*is_clear = false;
	if (fstatat(directory, file->temp, &st, AT_SYMLINK_NOFOLLOW) == -1)
		return errno == ENOENT;
	*is_clear = true;
	if (!is_it(file, &st))
		return true;
	file->found = FETCH_FOUND_TEMP;
	/* Not every file system numbers a file alike from one mount to the next. */
	file->inode = st.st_ino;
	*is_clear = st.st_nlink == 1;
	return true;
}

static int
by_inode(const void *a, const void *b)
{
	const struct fetch_save_file *one = *(struct fetch_save_file *const *)a;
	const struct fetch_save_file *other = *(struct fetch_save_file *const *)b;

	return (one->inode > other->inode) - (one->inode < other->inode);
}

/* Several may be of one number, where it was given anew: the size tells, or none is taken. */
static void
look_at_entry(int directory, const struct dirent *entry, struct fetch_save_file **wanted,
    size_t count)
{
	struct fetch_save_file key = { .inode = entry->d_ino };
	struct fetch_save_file *key_at = &key, **found;
	struct stat st;

	found = bsearch(&key_at, wanted, count, sizeof(struct fetch_save_file *), by_inode);
	if (found == NULL || !fetch_save_file_is_name(entry->d_name) ||
	    fstatat(directory, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == -1 ||
	    st.st_ino != entry->d_ino || !is_it(*found, &st))
		return;
	text_copy((*found)->final, sizeof((*found)->final), entry->d_name);
}

static bool
look_everywhere(int directory, struct fetch_save_file **wanted, size_t count)
{
	int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *entries = fd != -1 ? fdopendir(fd) : NULL;
	const struct dirent *entry;
	int failure;

	if (entries == NULL) {
		failure = errno;
		if (fd != -1)
			close(fd);
		errno = failure;
		return false;
	}
	qsort(wanted, count, sizeof(struct fetch_save_file *), by_inode);
	for (errno = 0; (entry = readdir(entries)) != NULL; errno = 0)
		look_at_entry(directory, entry, wanted, count);
	failure = errno;
	closedir(entries);
	errno = failure;
	return failure == 0;
}

static bool
settle(int directory, struct fetch_save_file *file)
{
	if (file->final[0] == '\0')
		return true;
	if (file->found == FETCH_FOUND_TEMP && unlinkat(directory, file->temp, 0) == -1)
		return false;
	file->found = FETCH_FOUND_NAMED;
	return true;
}

bool
fetch_save_file_find(int directory, struct fetch_save_file *files, size_t count)
{
	struct fetch_save_file **wanted = mem_array(count + 1, sizeof(*wanted));
	size_t wanted_count = 0;
	bool fine = true, is_clear;

	for (size_t i = 0; fine && i < count; i++) {
		fine = look_at_temp(directory, &files[i], &is_clear);
		if (!is_clear)
			wanted[wanted_count++] = &files[i];
	}
	if (fine && wanted_count > 0)
		fine = look_everywhere(directory, wanted, wanted_count);
	for (size_t i = 0; fine && i < wanted_count; i++)
		fine = settle(directory, wanted[i]);
	free(wanted);
	return fine;
}

bool
fetch_save_file_remove(int directory, const struct fetch_save_file *file)
{
	struct stat st;

	if (file->final[0] != '\0' &&
	    fstatat(directory, file->final, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    st.st_ino == file->inode && is_it(file, &st) &&
	    unlinkat(directory, file->final, 0) == -1 && errno != ENOENT)
		return false;
	return unlinkat(directory, file->temp, 0) == 0 || errno == ENOENT;
}
