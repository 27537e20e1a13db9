/* test_store_vfs.c - writes gathered: what is read, synced and left behind is what was written. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include "queue/store_sqlite.h"
#include "store_fixture.h"

#define MODEL_SIZE	(300 * 1024)
#define STEPS		4000

static struct place place;

static sqlite3_file *
open_file(void)
{
	sqlite3_vfs *vfs = sqlite3_vfs_find(sqlite_vfs());
	sqlite3_file *file = mem_zalloc((size_t)vfs->szOsFile);
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_WAL;

	assert_int_equal(vfs->xOpen(vfs, place.path, file, flags, NULL), SQLITE_OK);
	return file;
}

static void
close_file(sqlite3_file *file)
{
	assert_int_equal(file->pMethods->xClose(file), SQLITE_OK);
	free(file);
}

static int64_t
size_on_disk(void)
{
	struct stat st;

	assert_int_equal(stat(place.path, &st), 0);
	return st.st_size;
}

static void
assert_reads(sqlite3_file *file, const unsigned char *model, size_t size)
{
	unsigned char *octets = mem_alloc(size + 1);
	sqlite3_int64 found;

	assert_int_equal(file->pMethods->xFileSize(file, &found), SQLITE_OK);
	assert_int_equal(found, size);
	if (size > 0) {
		assert_int_equal(file->pMethods->xRead(file, octets, (int)size, 0), SQLITE_OK);
		assert_memory_equal(octets, model, size);
	}
	free(octets);
}

/* Mostly one behind the other, as SQLite writes, but also back, over each other and cut. */
static void
test_random_writes(void **state)
{
	unsigned seed = (unsigned)time(NULL);
	unsigned char *model = mem_zalloc(MODEL_SIZE);
	sqlite3_file *file = open_file();
	size_t at = 0, size = 0;

	(void)state;
	print_message("seed %u\n", seed);
	srand(seed);
	for (int i = 0; i < STEPS; i++) {
		size_t len = 1 + (size_t)rand() % 4120;

		if (rand() % 20 == 0)
			at = (size_t)rand() % (size + 1);
		if (at + len > MODEL_SIZE)
			at = 0;
		memset(model + at, rand(), len);
		assert_int_equal(file->pMethods->xWrite(file, model + at, (int)len,
		    (sqlite3_int64)at), SQLITE_OK);
		at += len;
		size = at > size ? at : size;
		if (rand() % 50 == 0)
			assert_reads(file, model, size);
		if (rand() % 200 == 0) {
			size = (size_t)rand() % (size + 1);
			assert_int_equal(file->pMethods->xTruncate(file, (sqlite3_int64)size),
			    SQLITE_OK);
			memset(model + size, 0, MODEL_SIZE - size);
			at = size;
		}
	}
	assert_int_equal(file->pMethods->xSync(file, SQLITE_SYNC_NORMAL), SQLITE_OK);
	assert_int_equal(size_on_disk(), size);
	close_file(file);
	file = open_file();
	assert_reads(file, model, size);
	close_file(file);
	free(model);
}

/* What SQLite was told has failed must not come to be in the file when there is room again. */
static void
test_failure_is_final(void **state)
{
	struct rlimit limit, none;
	sqlite3_file *file = open_file();
	char page[4096] = "";

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &limit);
	none = (struct rlimit){ 0, limit.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	assert_int_equal(file->pMethods->xWrite(file, page, sizeof(page), 0), SQLITE_OK);
	assert_int_not_equal(file->pMethods->xSync(file, SQLITE_SYNC_NORMAL), SQLITE_OK);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_int_not_equal(file->pMethods->xSync(file, SQLITE_SYNC_NORMAL), SQLITE_OK);
	assert_int_not_equal(file->pMethods->xWrite(file, page, sizeof(page), 8192), SQLITE_OK);
	close_file(file);
	assert_int_equal(size_on_disk(), 0);
}

/* Who may look after it, or is told of it, finds it in the file. */
static void
test_written_when_unlocked_or_told(void **state)
{
	sqlite3_file *file = open_file();

	(void)state;
	assert_int_equal(file->pMethods->xWrite(file, "one", 3, 0), SQLITE_OK);
	file->pMethods->xFileControl(file, SQLITE_FCNTL_COMMIT_ATOMIC_WRITE, NULL);
	assert_int_equal(size_on_disk(), 3);
	assert_int_equal(file->pMethods->xWrite(file, "two", 3, 3), SQLITE_OK);
	assert_int_equal(file->pMethods->xUnlock(file, SQLITE_LOCK_NONE), SQLITE_OK);
	assert_int_equal(size_on_disk(), 6);
	close_file(file);
}

/* Not synced: it is nobody's. */
static void
test_closed_without_sync(void **state)
{
	sqlite3_file *file = open_file();

	(void)state;
	assert_int_equal(file->pMethods->xWrite(file, "lost", 4, 0), SQLITE_OK);
	close_file(file);
	assert_int_equal(size_on_disk(), 0);
}

static int
set_up(void **state)
{
	(void)state;
	place_make(&place);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	place_remove(&place);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_random_writes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_failure_is_final, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_written_when_unlocked_or_told, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(test_closed_without_sync, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
