/* store_sqlite_vfs.c - SQLite's writes gathered: the pages of a transaction go to the disk as one.
 *
 * SQLite writes each page of 4 KiB by itself, in the log with a header apart.  Runs that stand
 * side by side in the file are collected here and written when SQLite syncs, reads, or goes on
 * elsewhere.  Nothing else changes: what it was told is written is so when its sync returns, and
 * a write that fails makes the sync fail. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "queue/store_sqlite.h"

#define VFS_NAME	"herald"
/* Octets: the largest page that SQLite knows.  A VFS need not be able to write more at once, and
 * that of SQLite for Unix is not. */
#define GATHERED_MAX	((size_t)64 * 1024)

/* The real file stands behind it, in the memory that SQLite has for both. */
struct file {
	sqlite3_file base;
	char *octets;			/* GATHERED_MAX of them, from the first write on */
	size_t len;
	sqlite3_int64 at;		/* where they go */
	int failure;			/* of a write: the file is of no use any more; 0: none */
};

/* SQLite keeps a pointer to it. */
static struct {
	sqlite3_vfs vfs;
	sqlite3_vfs *real;
} house;

static struct file *
gathering(sqlite3_file *base)
{
	return (struct file *)(void *)base;
}

static sqlite3_file *
real(sqlite3_file *base)
{
	return (sqlite3_file *)(void *)(gathering(base) + 1);
}

/* After a failure nothing more is written: what SQLite gives up must not come to be in the
 * file later. */
static int
flush(sqlite3_file *base)
{
	struct file *file = gathering(base);

	if (file->failure == SQLITE_OK && file->len > 0)
		file->failure = real(base)->pMethods->xWrite(real(base), file->octets,
		    (int)file->len, file->at);
	file->len = 0;
	return file->failure;
}

static int
write_octets(sqlite3_file *base, const void *octets, int count, sqlite3_int64 at)
{
	struct file *file = gathering(base);
	size_t len = (size_t)count;
	bool goes_on = at == file->at + (sqlite3_int64)file->len;

	if ((!goes_on || len > GATHERED_MAX - file->len) && flush(base) != SQLITE_OK)
		return file->failure;
	if (len > GATHERED_MAX)
		return real(base)->pMethods->xWrite(real(base), octets, count, at);
	if (file->octets == NULL)
		file->octets = mem_alloc(GATHERED_MAX);
	if (file->len == 0)
		file->at = at;
	memcpy(file->octets + file->len, octets, len);
	file->len += len;
	return file->failure;
}

static int
read_octets(sqlite3_file *base, void *octets, int count, sqlite3_int64 at)
{
	int code = flush(base);

	return code != SQLITE_OK ? code :
	    real(base)->pMethods->xRead(real(base), octets, count, at);
}

static int
truncate_file(sqlite3_file *base, sqlite3_int64 size)
{
	int code = flush(base);

	return code != SQLITE_OK ? code : real(base)->pMethods->xTruncate(real(base), size);
}

static int
sync_file(sqlite3_file *base, int flags)
{
	int code = flush(base);

	return code != SQLITE_OK ? code : real(base)->pMethods->xSync(real(base), flags);
}

static int
file_size(sqlite3_file *base, sqlite3_int64 *out)
{
	int code = flush(base);

	return code != SQLITE_OK ? code : real(base)->pMethods->xFileSize(real(base), out);
}

/* What was not synced was promised to nobody. */
static int
close_file(sqlite3_file *base)
{
	free(gathering(base)->octets);
	return real(base)->pMethods->xClose(real(base));
}

/* Others may look from here on. */
static int
unlock(sqlite3_file *base, int level)
{
	int code = flush(base);
	int unlocked = real(base)->pMethods->xUnlock(real(base), level);

	return code != SQLITE_OK ? code : unlocked;
}

/* Some of these speak of what was written: on F2FS, that it is to take effect as a whole. */
static int
control(sqlite3_file *base, int what, void *arg)
{
	int code = flush(base);

	return code != SQLITE_OK ? code : real(base)->pMethods->xFileControl(real(base), what, arg);
}

/* --- passed on --- */

static int
lock(sqlite3_file *base, int level)
{
	return real(base)->pMethods->xLock(real(base), level);
}

static int
check_lock(sqlite3_file *base, int *out)
{
	return real(base)->pMethods->xCheckReservedLock(real(base), out);
}

static int
sector_size(sqlite3_file *base)
{
	return real(base)->pMethods->xSectorSize(real(base));
}

static int
characteristics(sqlite3_file *base)
{
	return real(base)->pMethods->xDeviceCharacteristics(real(base));
}

/* Version 1 has neither shared memory nor mapped pages: of an exclusive database SQLite wants
 * none, and mmap_size is 0. */
static const sqlite3_io_methods methods = {
	.iVersion = 1,
	.xClose = close_file,
	.xRead = read_octets,
	.xWrite = write_octets,
	.xTruncate = truncate_file,
	.xSync = sync_file,
	.xFileSize = file_size,
	.xLock = lock,
	.xUnlock = unlock,
	.xCheckReservedLock = check_lock,
	.xFileControl = control,
	.xSectorSize = sector_size,
	.xDeviceCharacteristics = characteristics,
};

static int
open_file(sqlite3_vfs *vfs, const char *name, sqlite3_file *base, int flags, int *out_flags)
{
	int code;

	(void)vfs;
	if ((flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL)) == 0)
		return house.real->xOpen(house.real, name, base, flags, out_flags);
	memset(base, 0, sizeof(struct file));
	code = house.real->xOpen(house.real, name, real(base), flags, out_flags);
	if (code == SQLITE_OK)
		base->pMethods = &methods;
	return code;
}

const char *
sqlite_vfs(void)
{
	if (house.real != NULL)
		return VFS_NAME;
	house.real = sqlite3_vfs_find(NULL);
	if (house.real == NULL)
		abort();
	house.vfs = *house.real;
	house.vfs.zName = VFS_NAME;
	house.vfs.szOsFile += (int)sizeof(struct file);
	house.vfs.xOpen = open_file;
	if (sqlite3_vfs_register(&house.vfs, 0) != SQLITE_OK)
		abort();
	return VFS_NAME;
}
