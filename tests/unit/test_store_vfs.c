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

/* --- a disk with faults, beneath --- */

/* That write or sync, counted down, fails; or all from there on.  0: none. */
static struct { int countdown; bool lasting, came; } fault;
static sqlite3_vfs *sound, faulty;
static sqlite3_io_methods faulty_methods[2];	/* of a database, of its log */
static const sqlite3_io_methods *sound_methods;

static bool
is_due(void)
{
	if (fault.countdown == 0 || --fault.countdown > 0)
		return false;
	fault.countdown = fault.lasting;
	fault.came = true;
	return true;
}

/* Half of it is there all the same. */
static int
write_or_fail(sqlite3_file *file, const void *octets, int count, sqlite3_int64 at)
{
	bool fails = is_due();
	int code = sound_methods->xWrite(file, octets, fails ? count / 2 : count, at);

	return fails ? SQLITE_IOERR_WRITE : code;
}

static int
sync_or_fail(sqlite3_file *file, int flags)
{
	return is_due() ? SQLITE_IOERR_FSYNC : sound_methods->xSync(file, flags);
}

static int
open_faulty(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out_flags)
{
	sqlite3_io_methods *table = &faulty_methods[(flags & SQLITE_OPEN_WAL) != 0];
	int code = sound->xOpen(sound, name, file, flags, out_flags);

	(void)vfs;
	if (code != SQLITE_OK || (flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL)) == 0)
		return code;
	sound_methods = file->pMethods;		/* both write and sync alike */
	*table = *sound_methods;
	table->xWrite = write_or_fail;
	table->xSync = sync_or_fail;
	file->pMethods = table;
	return code;
}

/* What is the default when ours is made stands behind it. */
static void
put_faulty_beneath(void)
{
	sound = sqlite3_vfs_find(NULL);
	faulty = *sound;
	faulty.zName = "faulty";
	faulty.xOpen = open_faulty;
	assert_int_equal(sqlite3_vfs_register(&faulty, 1), SQLITE_OK);
}

/* --- files --- */

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

/* --- a database --- */

static int64_t
ask(sqlite3 *handle, const char *query)
{
	sqlite3_stmt *statement;
	int64_t number = -1;

	assert_int_equal(sqlite3_prepare_v2(handle, query, -1, &statement, NULL), SQLITE_OK);
	if (sqlite3_step(statement) == SQLITE_ROW)
		number = sqlite3_column_int64(statement, 0);
	sqlite3_finalize(statement);
	return number;
}

/* Rows larger than what is gathered, of which each is a transaction, though some fail;
 * returns how many did not. */
static int
insert_rows(void)
{
	static const char insert[] = "INSERT INTO t VALUES (NULL, randomblob(100000))";
	sqlite3 *handle;
	int row, stored = 0;

	assert_int_equal(sqlite3_open_v2(place.path, &handle, SQLITE_OPEN_READWRITE,
	    sqlite_vfs()), SQLITE_OK);
	(void)sqlite3_exec(handle, "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL;"
	    "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = 10",
	    NULL, NULL, NULL);
	for (row = 0; row < 6; row++) {
		if (sqlite3_exec(handle, insert, NULL, NULL, NULL) == SQLITE_OK)
			stored++;
		if (row % 2 == 1)
			(void)sqlite3_wal_checkpoint_v2(handle, NULL, SQLITE_CHECKPOINT_PASSIVE,
			    NULL, NULL);
	}
	sqlite3_close(handle);
	return stored;
}

static void
assert_stored(int at_least)
{
	sqlite3 *handle;

	assert_int_equal(sqlite3_open_v2(place.path, &handle, SQLITE_OPEN_READWRITE,
	    sound->zName), SQLITE_OK);
	assert_true(ask(handle, "SELECT count(*) FROM t") >= at_least);
	assert_int_equal(ask(handle, "SELECT count(*) FROM pragma_integrity_check "
	    "WHERE integrity_check <> 'ok'"), 0);
	sqlite3_close(handle);
}

/* RULES S1: whichever write or sync fails, no commit is told that is none. */
static void
test_faults_reach_the_commit(void **state)
{
	int place_of_fault = 0;

	(void)state;
	do {
		fault.countdown = 0;
		unlink(place.path);
		tamper(place.path, "PRAGMA journal_mode = WAL;"
		    "CREATE TABLE t (id INTEGER PRIMARY KEY, b BLOB)");
		fault.countdown = 1 + place_of_fault / 2;
		fault.lasting = place_of_fault++ % 2 == 1;
		fault.came = false;
		assert_stored(insert_rows());
	} while (fault.came);
	print_message("%d faults\n", place_of_fault - 1);
	assert_true(place_of_fault > 50);
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
	fault.countdown = 0;
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
		cmocka_unit_test_setup_teardown(test_faults_reach_the_commit, set_up, tear_down),
	};

	put_faulty_beneath();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
