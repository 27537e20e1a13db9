/* send_fixture.h - a folder of files for the tests of what herald sends. */
#ifndef HERALD_TESTS_SEND_FIXTURE_H
#define HERALD_TESTS_SEND_FIXTURE_H

#include "base/mem.h"

#include <fcntl.h>
#include <ftw.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PNG	"\x89PNG\r\n\x1a\n"

struct folder {
	char path[64];
	char *names[256];	/* what folder_path() gave */
	size_t count;
};

static inline int
folder_setup(void **state)
{
	struct folder *folder = calloc(1, sizeof(*folder));

	if (folder == NULL)
		return -1;
	strcpy(folder->path, "/tmp/herald-send.XXXXXX");
	*state = folder;
	return mkdtemp(folder->path) == NULL ? -1 : 0;
}

static inline int
folder_remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
	(void)status;
	(void)type;
	(void)walk;
	return remove(path);
}

static inline int
folder_teardown(void **state)
{
	struct folder *folder = *state;

	nftw(folder->path, folder_remove_one, 16, FTW_DEPTH | FTW_PHYS);
	for (size_t i = 0; i < folder->count; i++)
		free(folder->names[i]);
	free(folder);
	return 0;
}

/* Valid until the teardown. */
static inline const char *
folder_path(struct folder *folder, const char *name)
{
	if (folder->count == sizeof(folder->names) / sizeof(folder->names[0]))
		abort();
	folder->names[folder->count] = mem_printf("%s/%s", folder->path, name);
	return folder->names[folder->count++];
}

static inline const char *
folder_write(struct folder *folder, const char *name, const void *octets, size_t len)
{
	const char *path = folder_path(folder, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd == -1 || write(fd, octets, len) != (ssize_t)len || close(fd) != 0)
		abort();
	return path;
}

#endif
