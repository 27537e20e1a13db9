/* test_fetch_save.c - parts of messages become files: whole, under free names, or not at all. */
#include "fetch_faults.h"
#include "fetch_fixture.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define TEMP ".herald-"

static void
commit(struct fetch_save *save, const char *uidl, enum fetch_after after)
{
	struct error err = { .text = "" };

	if (!fetch_save_commit(save, uidl, MESSAGE_SIZE, after, &err)) {
		print_message("%s\n", err.text);
		fail();
	}
}

/* --- names --- */

static void
test_saved(void **state)
{
	struct fetch_save *save = open_save(NULL);
	struct fetch_save_part *one, *other;
	char *path = path_of("a.txt");
	struct stat st;

	(void)state;
	one = add_part(save, "a.txt", "first");
	other = add_part(save, "b.txt", "");
	assert_int_equal(count_files(TEMP), 2);
	assert_int_equal(count_files(""), 2);
	commit(save, NULL, FETCH_AFTER_KEEP);
	assert_string_equal(fetch_save_final_name(one), "a.txt");
	assert_int_equal(fetch_save_size(one), 5);
	assert_int_equal(fetch_save_size(other), 0);
	fetch_save_abandon(save);
	assert_file("a.txt", "first");
	assert_file("b.txt", "");
	assert_int_equal(count_files(""), 2);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(st.st_nlink, 1);
	free(path);
	fetch_save_free(save);
}

static void
test_interleaved(void **state)
{
	struct fetch_save *save = open_save(NULL);
	struct error err = { .text = "" };
	struct fetch_save_part *one = fetch_save_begin(save, "a", &err);
	struct fetch_save_part *other = fetch_save_begin(save, "b", &err);
	char octets[1000], *text;

	(void)state;
	for (size_t i = 0; i < sizeof(octets); i++)
		octets[i] = (char)i;
	for (int i = 0; i < 1000; i++) {
		assert_true(fetch_save_write(one, octets, sizeof(octets), &err));
		assert_true(fetch_save_write(other, octets, (size_t)i, &err));
	}
	assert_true(fetch_save_end(one, &err));
	assert_true(fetch_save_end(other, &err));
	commit(save, NULL, FETCH_AFTER_KEEP);
	assert_int_equal(fetch_save_size(one), 1000000);
	assert_int_equal(fetch_save_size(other), 499500);
	fetch_save_free(save);
	text = text_of("b");
	/* One octet, then two, then three: the last of 360 lines ends within what was read. */
	for (size_t line = 1, at = 0; line <= 360; at += line++)
		assert_memory_equal(text + at, octets, line);
	free(text);
}

/* Nothing is overwritten, and nothing is followed: whatever stands there has the name. */
static void
test_taken_names(void **state)
{
	struct fetch_save *save = open_save(NULL);
	struct fetch_save_part *parts[6];
	char *target = mem_printf("%s/target", place.root), *link_path = path_of("b.png");
	char *fifo = path_of("c.png"), *directory = path_of("d.png");

	(void)state;
	put_file("a.png", "mine");
	put_file("a (3).png", "mine too");
	assert_int_equal(symlink(target, link_path), 0);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_int_equal(mkdir(directory, 0700), 0);
	for (int i = 0; i < 3; i++)
		parts[i] = add_part(save, "a.png", "a");
	parts[3] = add_part(save, "b.png", "b");
	parts[4] = add_part(save, "c.png", "c");
	parts[5] = add_part(save, "d.png", "d");
	commit(save, NULL, FETCH_AFTER_KEEP);
	assert_string_equal(fetch_save_final_name(parts[0]), "a (2).png");
	assert_string_equal(fetch_save_final_name(parts[1]), "a (4).png");
	assert_string_equal(fetch_save_final_name(parts[2]), "a (5).png");
	assert_string_equal(fetch_save_final_name(parts[3]), "b (2).png");
	assert_string_equal(fetch_save_final_name(parts[4]), "c (2).png");
	assert_string_equal(fetch_save_final_name(parts[5]), "d (2).png");
	fetch_save_free(save);
	assert_file("a.png", "mine");
	assert_file("a (3).png", "mine too");
	assert_file("b (2).png", "b");
	assert_int_equal(access(target, F_OK), -1);
	assert_int_equal(count_files(TEMP), 0);
	free(target);
	free(link_path);
	free(fifo);
	free(directory);
}

static void
test_many_of_a_name(void **state)
{
	struct fetch_save *save = open_save(NULL);

	(void)state;
	for (int message = 0; message < 4; message++) {
		for (int i = 0; i < 500; i++)
			add_part(save, "image.png", "x");
		commit(save, NULL, FETCH_AFTER_KEEP);
		fetch_save_abandon(save);
	}
	fetch_save_free(save);
	assert_int_equal(count_files("image"), 2000);
	assert_file("image (2000).png", "x");
}

/* --- the directory --- */

static void
assert_no_directory(const char *path, const char *words)
{
	struct error err = { .text = "" };
	int exit_code = 0;

	assert_null(fetch_save_open(path, NULL, &exit_code, &err));
	if (strstr(err.text, words) == NULL)
		print_message("%s\n", err.text);
	assert_non_null(strstr(err.text, words));
	assert_int_equal(exit_code, EX_CANTCREAT);
}

static void
test_directory(void **state)
{
	char path[128];
	struct stat st;
	int status;
	pid_t child;

	(void)state;
	snprintf(path, sizeof(path), "%s/deep/deeper", place.root);
	assert_no_directory(path, "No such file");
	fetch_save_free(open_save(NULL));
	assert_int_equal(stat(place.directory, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	put_file("file", "x");
	snprintf(path, sizeof(path), "%s/file", place.directory);
	assert_no_directory(path, "Not a directory");
	assert_int_equal(chmod(place.root, 0755), 0);
	assert_int_equal(chmod(place.directory, 0555), 0);
	child = fork();
	if (child == 0) {
		struct error err = { .text = "" };
		int exit_code = 0;

		if (geteuid() == 0 && setresuid(65534, 65534, 65534) != 0)
			_exit(2);
		_exit(fetch_save_open(place.directory, NULL, &exit_code, &err) == NULL &&
		    exit_code == EX_CANTCREAT && strstr(err.text, "Permission denied") != NULL ?
			0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(chmod(place.directory, 0755), 0);
}

/* Opened once: what becomes of the name meanwhile is of no account. */
static void
test_directory_is_held(void **state)
{
	struct fetch_save *save = open_save(NULL);
	char path[128];

	(void)state;
	add_part(save, "a", "x");
	snprintf(path, sizeof(path), "%s/moved", place.root);
	assert_int_equal(rename(place.directory, path), 0);
	assert_int_equal(symlink("/nonexistent", place.directory), 0);
	commit(save, NULL, FETCH_AFTER_KEEP);
	fetch_save_free(save);
	assert_int_equal(unlink(place.directory), 0);
	assert_int_equal(rename(path, place.directory), 0);
	assert_file("a", "x");
	assert_int_equal(count_files(TEMP), 0);
}

/* --- what is not committed --- */

static void
test_abandoned(void **state)
{
	struct fetch_state *remembers = open_state();
	struct fetch_save *save = open_save(remembers);
	struct error err = { .text = "" };

	(void)state;
	add_part(save, "a", "x");
	assert_non_null(fetch_save_begin(save, "b", &err));
	fetch_save_abandon(save);
	assert_int_equal(count_files(""), 0);
	add_part(save, "c", "x");
	fetch_save_free(save);
	assert_int_equal(count_files(""), 0);
	fetch_state_free(remembers);
}

/* Only the dead are cleared away: not who lives here, not whom a row or another state knows. */
static void
test_tidy(void **state)
{
	struct fetch_state *remembers = open_state();
	struct fetch_save *living, *save;
	char tag[9] = "", mine[64], known_one[64];
	sqlite3 *handle;
	sqlite3_stmt *statement;

	(void)state;
	assert_int_equal(sqlite3_open(place.path, &handle), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(handle, "SELECT value FROM meta WHERE name = 'tag'", -1,
	    &statement, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
	memcpy(tag, sqlite3_column_text(statement, 0), 8);
	sqlite3_finalize(statement);
	sqlite3_close(handle);
	snprintf(mine, sizeof(mine), TEMP "%saaaaaaaa.part", tag);
	snprintf(known_one, sizeof(known_one), TEMP "%sbbbbbbbb.part", tag);
	living = open_save(NULL);
	put_file(mine, "x");
	put_file(known_one, "x");
	put_file(TEMP "aaaaaaaa.part", "x");
	put_file(TEMP "aaaaaaaabbbbbbbb.part", "another state's");
	put_file(TEMP "AAAAAAAA.part", "nobody's");
	put_file(".herald-notes", "the user's");
	tamper("INSERT INTO message VALUES (1, 'other', x'61', 9, 1, 2, NULL, x'2f746d70')");
	assert_int_equal(tamper("INSERT INTO part SELECT 1, 1, '.herald-' || value ||"
	    " 'bbbbbbbb.part', x'62', 1, 1 FROM meta WHERE name = 'tag' RETURNING 1"), 1);
	save = open_save(remembers);
	assert_int_equal(count_files(""), 6);
	fetch_save_free(save);
	fetch_save_free(living);
	fetch_save_free(open_save(NULL));
	assert_int_equal(count_files(""), 5);
	fetch_save_free(open_save(remembers));
	assert_int_equal(count_files(""), 4);
	assert_file(known_one, "x");
	assert_file(TEMP "aaaaaaaabbbbbbbb.part", "another state's");
	fetch_state_free(remembers);
}

static void
test_directory_locked(void **state)
{
	struct fetch_save *one = open_save(NULL), *other = open_save(NULL);

	(void)state;
	add_part(one, "a", "one");
	add_part(other, "a", "other");
	commit(other, NULL, FETCH_AFTER_KEEP);
	commit(one, NULL, FETCH_AFTER_KEEP);
	fetch_save_free(one);
	fetch_save_free(other);
	assert_file("a", "other");
	assert_file("a (2)", "one");
}

/* --- with a state --- */

static void
test_remembered(void **state)
{
	struct fetch_state *remembers = open_state();
	struct fetch_save *save = open_save(remembers);

	(void)state;
	add_part(save, "a", "x");
	commit(save, "one", FETCH_AFTER_KEEP);
	fetch_save_abandon(save);
	add_part(save, "a", "y");
	commit(save, "two", FETCH_AFTER_DELETE);
	fetch_save_abandon(save);
	commit(save, "three", FETCH_AFTER_DELETE);
	fetch_save_abandon(save);
	/* A file of a message without UIDL is saved all the same. */
	add_part(save, "a", "z");
	commit(save, NULL, FETCH_AFTER_DELETE);
	fetch_save_free(save);
	assert_int_equal(known(remembers, "one"), FETCH_SAVED);
	assert_int_equal(known(remembers, "two"), FETCH_DELETE_OWED);
	assert_int_equal(known(remembers, "three"), FETCH_DELETE_OWED);
	fetch_state_free(remembers);
	assert_file("a (3)", "z");
	assert_int_equal(tamper("SELECT count(*) FROM message"), 3);
	assert_int_equal(tamper("SELECT count(*) FROM part"), 0);
}

/* --- faults --- */

/* The exit code that the caller would end with, 0 where all went well. */
static int
save_broken(long number, int failure)
{
	struct fetch_state *remembers = open_state();
	struct fetch_save *save = open_save(remembers);
	struct fetch_save_part *part;
	struct error err = { .text = "" };
	int exit_code = 0;

	add_part(save, "first", "x");
	break_call(number, failure);
	part = fetch_save_begin(save, "second", &err);
	if (part == NULL || !fetch_save_write(part, "y", 1, &err) || !fetch_save_end(part, &err) ||
	    !fetch_save_commit(save, "uidl", MESSAGE_SIZE, FETCH_AFTER_DELETE, &err)) {
		exit_code = fetch_save_exit_code(save);
		if (strstr(err.text, strerror(failure)) == NULL &&
		    strstr(err.text, "disk I/O error") == NULL &&
		    strstr(err.text, "disk is full") == NULL) {
			print_message("%s\n", err.text);
			exit_code = 98;
		}
	}
	fetch_save_free(save);
	return exit_code;
}

static int
in_child(int (*work)(long, int), long number, int failure)
{
	pid_t child;
	int status;

	fflush(NULL);
	child = fork();
	if (child == 0)
		_exit(work(number, failure));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* Whatever fails, the message counts as unseen and nothing of it is left but what has its
 * name; the next run saves all of it once. */
static void
test_faults(void **state)
{
	static const struct { long number; int failure, exit_code; } rows[] = {
		{ SYS_openat, ENOSPC, EX_CANTCREAT }, { SYS_openat, EACCES, EX_CANTCREAT },
		{ SYS_openat, EMFILE, EX_CANTCREAT }, { SYS_write, ENOSPC, EX_IOERR },
		{ SYS_write, EIO, EX_IOERR }, { SYS_write, EDQUOT, EX_IOERR },
		{ SYS_fsync, EIO, EX_IOERR }, { SYS_fsync, ENOSPC, EX_IOERR },
		{ SYS_pwrite64, EIO, EX_IOERR }, { SYS_pwrite64, ENOSPC, EX_IOERR },
		{ SYS_fdatasync, EIO, EX_IOERR }, { SYS_renameat2, EIO, EX_IOERR },
		{ SYS_renameat2, ENOSPC, EX_IOERR }, { SYS_renameat2, EACCES, EX_IOERR },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct fetch_recovered recovered;
		struct error err = { .text = "" };
		struct fetch_state *remembers;
		struct fetch_save *save;
		int exit_code = in_child(save_broken, rows[i].number, rows[i].failure);

		if (exit_code != rows[i].exit_code || count_files("") != 0)
			print_message("row %zu: %d, %u files\n", i, exit_code, count_files(""));
		assert_int_equal(exit_code, rows[i].exit_code);
		assert_int_equal(count_files(""), 0);
		remembers = open_state();
		assert_true(fetch_state_recover(remembers, &recovered, &err));
		assert_int_equal(recovered.messages, 0);
		assert_int_equal(known(remembers, "uidl"), FETCH_UNSEEN);
		save = open_save(remembers);
		add_part(save, "first", "x");
		add_part(save, "second", "y");
		commit(save, "uidl", FETCH_AFTER_DELETE);
		fetch_save_free(save);
		assert_int_equal(known(remembers, "uidl"), FETCH_DELETE_OWED);
		fetch_state_free(remembers);
		assert_int_equal(count_files(""), 2);
		tear_down(NULL);
		assert_int_equal(mkdir(place.root, 0700), 0);
	}
}

/* As NFS has it: no renaming without overwriting.  Links do it. */
static void
test_without_noreplace(void **state)
{
	struct stat st;
	char *path = path_of("second (2)");

	(void)state;
	assert_int_equal(mkdir(place.directory, 0700), 0);
	put_file("second", "mine");
	assert_int_equal(in_child(save_broken, SYS_renameat2, EINVAL), 0);
	assert_file("first", "x");
	assert_file("second", "mine");
	assert_file("second (2)", "y");
	assert_int_equal(count_files(""), 3);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_nlink, 1);
	free(path);
}

static int
save_large(long limit, int unused)
{
	const struct rlimit most = { (rlim_t)limit, (rlim_t)limit };
	struct fetch_save *save = open_save(NULL);
	struct error err = { .text = "" };
	struct fetch_save_part *part = fetch_save_begin(save, "large", &err);
	char octets[1000] = "";
	bool fine = true;

	(void)unused;
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &most);
	for (int i = 0; fine && i < 1000; i++)
		fine = fetch_save_write(part, octets, sizeof(octets), &err);
	fine = fine && fetch_save_end(part, &err);
	fetch_save_free(save);
	return !fine && strstr(err.text, "File too large") != NULL ? 0 : 1;
}

/* A write that takes a part, and the next that takes nothing. */
static void
test_short_write(void **state)
{
	(void)state;
	assert_int_equal(in_child(save_large, 100000, 0), 0);
	assert_int_equal(count_files(""), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_saved, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_interleaved, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_taken_names, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_many_of_a_name, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_directory, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_directory_is_held, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_abandoned, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_tidy, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_directory_locked, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_remembered, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_faults, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_without_noreplace, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_short_write, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
