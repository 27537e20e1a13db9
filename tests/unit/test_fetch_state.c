/* test_fetch_state.c - what herald fetch remembers: its file, its rows, what it refuses. */
#include "fetch_fixture.h"

#include <sys/wait.h>

#define OTHER "bob@pop.example.org:995"

static void
assert_refused(const char *account, int expected, const char *words)
{
	struct error err = { .text = "" };
	int exit_code = 0;

	assert_null(fetch_state_open(place.path, account, &exit_code, &err));
	if (strstr(err.text, words) == NULL || exit_code != expected)
		print_message("%d %s\n", exit_code, err.text);
	assert_non_null(strstr(err.text, words));
	assert_int_equal(exit_code, expected);
}

static void
remember(struct fetch_state *state, const char *uidl, enum fetch_after after)
{
	struct fetch_save *save = open_save(state);
	struct error err = { .text = "" };

	assert_true(fetch_save_commit(save, uidl, MESSAGE_SIZE, after, &err));
	fetch_save_free(save);
}

/* --- the file --- */

static void
test_new_file(void **state)
{
	static const char *const names[] = { "", "-lock", "-wal", "-shm" };
	struct fetch_state *one;
	char path[128];
	struct stat st;

	(void)state;
	umask(0);
	one = open_state();
	for (size_t i = 0; i < 4; i++) {
		snprintf(path, sizeof(path), "%s%s", place.path, names[i]);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_mode & 0777, 0600);
	}
	snprintf(path, sizeof(path), "%s/state", place.root);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	fetch_state_free(one);
	/* What others could read is closed to them. */
	assert_int_equal(chmod(path, 0755), 0);
	assert_int_equal(chmod(place.path, 0644), 0);
	fetch_state_free(open_state());
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(stat(place.path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void
test_usual_place(void **state)
{
	struct error err = { .text = "" };
	struct fetch_state *one;
	char path[128];
	int exit_code;

	(void)state;
	unsetenv("XDG_STATE_HOME");
	setenv("HOME", place.root, 1);
	one = fetch_state_open(NULL, ACCOUNT, &exit_code, &err);
	assert_non_null(one);
	fetch_state_free(one);
	snprintf(path, sizeof(path), "%s/.local/state/herald/fetch.db", place.root);
	assert_int_equal(access(path, F_OK), 0);
	snprintf(path, sizeof(path), "%s/xdg/deep", place.root);
	setenv("XDG_STATE_HOME", path, 1);
	one = fetch_state_open(NULL, ACCOUNT, &exit_code, &err);
	assert_non_null(one);
	fetch_state_free(one);
	snprintf(path, sizeof(path), "%s/xdg/deep/herald/fetch.db", place.root);
	assert_int_equal(access(path, F_OK), 0);
	unsetenv("XDG_STATE_HOME");
}

/* RULES F1: what stands in place of a file is refused, and its target is not touched. */
static void
test_no_links(void **state)
{
	static const char *const names[] = { "", "-lock", "-wal", "-shm", "-journal" };
	char path[128], target[128];
	struct stat st;

	(void)state;
	fetch_state_free(open_state());
	snprintf(target, sizeof(target), "%s/target", place.root);
	for (size_t i = 0; i < 5; i++) {
		snprintf(path, sizeof(path), "%s%s", place.path, names[i]);
		unlink(path);
		assert_int_equal(symlink(target, path), 0);
		assert_refused(ACCOUNT, EX_CANTCREAT, "is a symbolic link");
		assert_int_equal(stat(target, &st), -1);
		assert_int_equal(unlink(path), 0);
		assert_int_equal(mkfifo(path, 0600), 0);
		assert_refused(ACCOUNT, EX_CANTCREAT, "is not a regular file");
		assert_int_equal(unlink(path), 0);
		assert_int_equal(mkdir(path, 0700), 0);
		assert_refused(ACCOUNT, EX_CANTCREAT, "Is a directory");
		assert_int_equal(rmdir(path), 0);
	}
	assert_int_equal(close(creat(target, 0600)), 0);
	assert_int_equal(link(target, place.path), 0);
	assert_refused(ACCOUNT, EX_CANTCREAT, "has another name");
	assert_int_equal(unlink(place.path), 0);
	if (geteuid() != 0)
		return;
	assert_int_equal(close(creat(place.path, 0600)), 0);
	assert_int_equal(chown(place.path, 65534, 65534), 0);
	assert_refused(ACCOUNT, EX_CANTCREAT, "belongs to user 65534");
	assert_int_equal(unlink(place.path), 0);
	snprintf(path, sizeof(path), "%s/state", place.root);
	assert_int_equal(chown(path, 65534, 65534), 0);
	assert_refused(ACCOUNT, EX_CANTCREAT, "belongs to user 65534");
}

static void
test_other_files(void **state)
{
	FILE *file;

	(void)state;
	fetch_state_free(open_state());
	tamper("UPDATE meta SET value = '2' WHERE name = 'version'");
	assert_refused(ACCOUNT, EX_IOERR, "is of another release (version 2");
	tamper("DELETE FROM meta WHERE name = 'version'");
	assert_refused(ACCOUNT, EX_IOERR, "is not a state of herald fetch");
	tamper("INSERT INTO meta VALUES ('version', '1')");
	tamper("UPDATE meta SET value = '../../x' WHERE name = 'tag'");
	assert_refused(ACCOUNT, EX_IOERR, "is damaged");
	tamper("DROP TABLE meta");
	assert_refused(ACCOUNT, EX_IOERR, "is not a state of herald fetch");
	file = fopen(place.path, "w");
	assert_non_null(file);
	for (int i = 0; i < 1000; i++)
		fputs("This is no database.\n", file);
	fclose(file);
	assert_refused(ACCOUNT, EX_IOERR, "is damaged");
}

/* Of one account there is one run; of several there may be as many at a time. */
static void
test_locks(void **state)
{
	struct fetch_state *one = open_state(), *other;
	struct error err = { .text = "" };
	int exit_code, status;
	pid_t child;

	(void)state;
	assert_refused(ACCOUNT, EX_TEMPFAIL, "another herald fetch is at work");
	other = fetch_state_open(place.path, OTHER, &exit_code, &err);
	assert_non_null(other);
	remember(one, "a", FETCH_AFTER_KEEP);
	remember(other, "b", FETCH_AFTER_KEEP);
	assert_int_equal(known(one, "a"), FETCH_SAVED);
	assert_int_equal(known(one, "b"), FETCH_UNSEEN);
	assert_int_equal(known(other, "b"), FETCH_SAVED);
	fetch_state_free(other);
	fetch_state_free(one);
	/* A process that dies leaves no lock. */
	child = fork();
	if (child == 0) {
		(void)fetch_state_open(place.path, ACCOUNT, &exit_code, &err);
		raise(SIGKILL);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	fetch_state_free(open_state());
}

/* --- rows --- */

static void
test_known(void **state)
{
	static const char *const present[] = { "keep", "delete", NULL, "unseen" };
	struct fetch_state *one = open_state();
	struct error err = { .text = "" };

	(void)state;
	remember(one, "keep", FETCH_AFTER_KEEP);
	remember(one, "delete", FETCH_AFTER_DELETE);
	remember(one, "gone", FETCH_AFTER_KEEP);
	remember(one, "gone too", FETCH_AFTER_DELETE);
	fetch_state_free(one);
	one = open_state();
	assert_int_equal(known(one, "keep"), FETCH_SAVED);
	assert_int_equal(known(one, "delete"), FETCH_DELETE_OWED);
	assert_int_equal(known(one, "kee"), FETCH_UNSEEN);
	assert_int_equal(known(one, "KEEP"), FETCH_UNSEEN);
	/* DELE alone is not the end of it. */
	fetch_state_note_deleted(one, "delete");
	assert_int_equal(known(one, "delete"), FETCH_DELETE_OWED);
	assert_true(fetch_state_prune(one, present, 4, &err));
	assert_int_equal(known(one, "gone"), FETCH_UNSEEN);
	assert_int_equal(known(one, "gone too"), FETCH_UNSEEN);
	assert_int_equal(known(one, "keep"), FETCH_SAVED);
	assert_true(fetch_state_forget_deleted(one, &err));
	assert_int_equal(known(one, "delete"), FETCH_UNSEEN);
	assert_true(fetch_state_forget_deleted(one, &err));
	assert_true(fetch_state_prune(one, NULL, 0, &err));
	assert_int_equal(known(one, "keep"), FETCH_UNSEEN);
	fetch_state_free(one);
	assert_int_equal(tamper("SELECT count(*) FROM message"), 0);
}

/* A unique-id that was given to another message: that one is not deleted unread. */
static void
test_reused_uidl(void **state)
{
	static const uint64_t sizes[] = { 0, MESSAGE_SIZE + 1, UINT64_MAX };
	struct fetch_state *one = open_state();
	struct error err = { .text = "" };
	enum fetch_known found;

	(void)state;
	remember(one, "keep", FETCH_AFTER_KEEP);
	remember(one, "delete", FETCH_AFTER_DELETE);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		assert_true(fetch_state_lookup(one, "delete", sizes[i], &found, &err));
		assert_int_equal(found, FETCH_UNSEEN);
		/* Nothing hangs on it: the message stays, whatever the server says of it. */
		assert_true(fetch_state_lookup(one, "keep", sizes[i], &found, &err));
		assert_int_equal(found, FETCH_SAVED);
	}
	assert_int_equal(known(one, "delete"), FETCH_DELETE_OWED);
	remember(one, "keep", FETCH_AFTER_DELETE);
	assert_int_equal(known(one, "keep"), FETCH_DELETE_OWED);
	assert_true(fetch_state_forget(one, "delete", &err));
	assert_int_equal(known(one, "delete"), FETCH_UNSEEN);
	assert_int_equal(known(one, "keep"), FETCH_DELETE_OWED);
	fetch_state_free(one);
}

static void
test_prune_is_of_the_account(void **state)
{
	struct fetch_state *one = open_state(), *other;
	struct error err = { .text = "" };
	int exit_code;

	(void)state;
	other = fetch_state_open(place.path, OTHER, &exit_code, &err);
	assert_non_null(other);
	remember(other, "theirs", FETCH_AFTER_KEEP);
	assert_true(fetch_state_prune(one, NULL, 0, &err));
	fetch_state_note_deleted(one, "theirs");
	assert_true(fetch_state_forget_deleted(one, &err));
	assert_int_equal(known(other, "theirs"), FETCH_SAVED);
	fetch_state_free(other);
	fetch_state_free(one);
}

/* RULES K1, Q1, Q2: whatever it is, it is octets. */
static void
test_opaque_uidls(void **state)
{
	static const char *const uidls[] = {
		"'; DROP TABLE message; --", "../../etc/passwd", "x'/**/UNION/**/SELECT/**/X'00'--",
		"\xff\xfe\x80", "%s%n", "\"", " ", "a b", "\x01\x7f", "\xe4\xb8\xad",
		"0123456789012345678901234567890123456789012345678901234567890123456789",
	};
	const size_t count = sizeof(uidls) / sizeof(uidls[0]);
	struct fetch_state *one = open_state();
	char long_one[72];

	(void)state;
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(known(one, uidls[i]), FETCH_UNSEEN);
		remember(one, uidls[i], FETCH_AFTER_KEEP);
		assert_int_equal(known(one, uidls[i]), FETCH_SAVED);
	}
	memset(long_one, 'x', 71);
	long_one[71] = '\0';
	remember(one, long_one, FETCH_AFTER_KEEP);
	assert_int_equal(known(one, long_one), FETCH_UNSEEN);
	remember(one, "", FETCH_AFTER_KEEP);
	assert_int_equal(known(one, ""), FETCH_UNSEEN);
	fetch_state_free(one);
	assert_int_equal(tamper("SELECT count(*) FROM message"), (int64_t)count);
	assert_int_equal(tamper("SELECT count(*) FROM sqlite_schema WHERE type = 'table'"), 3);
}

static void
test_many(void **state)
{
	enum { COUNT = 20000 };
	struct fetch_state *one = open_state();
	char **uidls = mem_array(COUNT, sizeof(*uidls));
	struct error err = { .text = "" };

	(void)state;
	for (int i = 0; i < COUNT; i++)
		uidls[i] = mem_printf("%064d", i);
	remember(one, uidls[7], FETCH_AFTER_KEEP);
	remember(one, "other", FETCH_AFTER_KEEP);
	assert_true(fetch_state_prune(one, (const char *const *)uidls, COUNT, &err));
	assert_int_equal(known(one, uidls[7]), FETCH_SAVED);
	assert_int_equal(known(one, "other"), FETCH_UNSEEN);
	for (int i = 0; i < COUNT; i++)
		free(uidls[i]);
	free(uidls);
	fetch_state_free(one);
}

/* --- damage (RULES Q3) --- */

/* Whatever a page holds: no crash, and an answer or words.  In a process of its own each, as
 * a run is. */
static void
use_damaged(void)
{
	struct fetch_recovered recovered;
	struct error err = { .text = "" };
	enum fetch_known found;
	struct fetch_state *one;
	int exit_code;

	one = fetch_state_open(place.path, ACCOUNT, &exit_code, &err);
	if (one == NULL)
		_exit(err.text[0] != '\0' && exit_code != 0 ? 0 : 1);
	if (!fetch_state_recover(one, &recovered, &err) && err.text[0] == '\0')
		_exit(2);
	err.text[0] = '\0';
	if (!fetch_state_lookup(one, "keep", MESSAGE_SIZE, &found, &err) && err.text[0] == '\0')
		_exit(3);
	err.text[0] = '\0';
	if (!fetch_state_prune(one, NULL, 0, &err) && err.text[0] == '\0')
		_exit(4);
	fetch_state_free(one);
	_exit(0);
}

static void
flip(const char *whole, long len, long at, unsigned char mask)
{
	FILE *file = fopen(place.path, "w");
	pid_t child;
	int status;

	assert_non_null(file);
	assert_int_equal(fwrite(whole, 1, (size_t)len, file), len);
	assert_int_equal(fseek(file, at, SEEK_SET), 0);
	fputc((unsigned char)whole[at] ^ mask, file);
	assert_int_equal(fclose(file), 0);
	child = fork();
	if (child == 0)
		use_damaged();
	assert_int_equal(waitpid(child, &status, 0), child);
	if (status != 0)
		print_message("octet %ld, bits %02x: status %x\n", at, mask, (unsigned)status);
	assert_int_equal(status, 0);
}

static void
test_damage(void **state)
{
	struct fetch_state *one = open_state();
	unsigned seed = 1;
	char *whole;
	FILE *file;
	long len;

	(void)state;
	remember(one, "keep", FETCH_AFTER_KEEP);
	fetch_state_free(one);
	tamper("INSERT INTO message VALUES (77, '" ACCOUNT "', x'61', 9, 1, 2, NULL, x'2f746d70')");
	tamper("INSERT INTO part VALUES (77, 1, '.herald-aaaaaaaaaaaaaaaa.part', x'62', 1, 1)");
	file = fopen(place.path, "r");
	assert_non_null(file);
	assert_int_equal(fseek(file, 0, SEEK_END), 0);
	len = ftell(file);
	rewind(file);
	whole = mem_alloc((size_t)len);
	assert_int_equal(fread(whole, 1, (size_t)len, file), len);
	fclose(file);
	for (int i = 0; i < 160; i++) {
		seed = seed * 1103515245 + 12345;
		flip(whole, len, (long)(seed >> 8) % (i < 60 ? 108 : len),
		    (unsigned char)(1 << i % 8));
	}
	free(whole);
}

/* A row that names what it must not is no order. */
static void
test_damaged_rows(void **state)
{
	static const char *const harms[] = {
		"UPDATE part SET temp = '../../target'", "UPDATE part SET name = x'2e2e2f78'",
		"UPDATE part SET name = x'6100', number = 2", "UPDATE part SET size = -1",
		"UPDATE part SET temp = '.herald-bbbbbbbbaaaaaaaa.part'",
		"UPDATE message SET directory = x'746d70'",
		"UPDATE message SET directory = x'2f00'",
		"DELETE FROM part",
	};
	struct fetch_recovered recovered;
	struct error err = { .text = "" };
	struct fetch_state *one;
	sqlite3 *handle;

	(void)state;
	for (size_t i = 0; i < sizeof(harms) / sizeof(harms[0]); i++) {
		fetch_state_free(open_state());
		assert_int_equal(sqlite3_open(place.path, &handle), SQLITE_OK);
		assert_int_equal(sqlite3_exec(handle, "PRAGMA ignore_check_constraints = ON;"
		    "DELETE FROM part; DELETE FROM message;"
		    "INSERT INTO message VALUES (7, '" ACCOUNT "', x'61', 9, 1, 3, NULL,"
		    " x'2f746d70');"
		    "INSERT INTO part SELECT 7, 1, '.herald-' || value || 'aaaaaaaa.part',"
		    " x'62', 1, 1 FROM meta WHERE name = 'tag'", NULL, NULL, NULL), SQLITE_OK);
		assert_int_equal(sqlite3_exec(handle, harms[i], NULL, NULL, NULL), SQLITE_OK);
		sqlite3_close(handle);
		one = open_state();
		assert_true(fetch_state_recover(one, &recovered, &err));
		assert_int_equal(recovered.messages, 0);
		assert_int_equal(recovered.dropped, 1);
		assert_int_equal(known(one, "a"), FETCH_UNSEEN);
		fetch_state_free(one);
		assert_int_equal(tamper("SELECT count(*) FROM message"), 0);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_new_file, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_usual_place, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_links, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_other_files, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_locks, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_known, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_reused_uidl, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_prune_is_of_the_account, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_opaque_uidls, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_many, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_damage, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_damaged_rows, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
