/* test_fetch_recover.c - kill -9 at every step of saving: nothing is lost, nothing comes twice. */
#include "fetch_faults.h"
#include "fetch_fixture.h"

#include <errno.h>

#ifndef __has_feature
#define __has_feature(name) 0
#endif
/* A process that sanitizers watch takes long to make and to end. */
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#define KILL_STEP 3
#else
#define KILL_STEP 1
#endif
#define MESSAGES 2
#define PARTS	 2

static enum fetch_after after;
static bool without_noreplace;

/* --- a server, and a visit to it as herald fetch makes one --- */

static void
server_path(int message, char out[128])
{
	snprintf(out, 128, "%s/server-%d", place.root, message);
}

static bool
server_has(int message)
{
	char path[128];

	server_path(message, path);
	return access(path, F_OK) == 0;
}

static void
server_fill(void)
{
	char path[128];

	for (int message = 0; message < MESSAGES; message++) {
		server_path(message, path);
		assert_return_code(close(creat(path, 0600)), errno);
	}
}

/* In a process of its own, where an assert of cmocka's would go the wrong way. */
static void
need(bool fine, const struct error *err)
{
	if (fine)
		return;
	fprintf(stderr, "%s\n", err->text);
	_exit(3);
}

/* The last message has no part to save. */
static void
save_message(struct fetch_save *save, int message, const char *uidl)
{
	struct error err = { .text = "" };
	char text[64];

	for (int number = 0; message != MESSAGES - 1 && number < PARTS; number++) {
		struct fetch_save_part *part = fetch_save_begin(save, "picture.png", &err);

		snprintf(text, sizeof(text), "message %d part %d\n", message, number);
		need(part != NULL && fetch_save_write(part, text, strlen(text), &err) &&
		    fetch_save_end(part, &err), &err);
	}
	need(fetch_save_commit(save, uidl, MESSAGE_SIZE, after, &err), &err);
	fetch_save_abandon(save);
}

static void
end_visit(struct fetch_state *state, const bool *was_there)
{
	const char *uidls[MESSAGES];
	struct error err = { .text = "" };
	char path[128];

	/* QUIT, and its good reply. */
	for (int message = 0; message < MESSAGES; message++) {
		static char names[MESSAGES][24];

		snprintf(names[message], sizeof(names[message]), "uidl %d", message);
		uidls[message] = was_there[message] ? names[message] : NULL;
		server_path(message, path);
		if (after == FETCH_AFTER_DELETE && was_there[message])
			need(unlink(path) == 0, &err);
	}
	need(fetch_state_prune(state, uidls, MESSAGES, &err), &err);
	need(fetch_state_forget_deleted(state, &err), &err);
}

static void
visit(void)
{
	struct fetch_recovered recovered;
	struct error err = { .text = "" };
	struct fetch_state *state;
	struct fetch_save *save;
	bool was_there[MESSAGES];
	enum fetch_known found;
	int exit_code;

	if (without_noreplace)
		break_call(SYS_renameat2, EINVAL);
	state = fetch_state_open(place.path, ACCOUNT, &exit_code, &err);
	need(state != NULL, &err);
	need(fetch_state_recover(state, &recovered, &err), &err);
	need(recovered.dropped == 0, &err);
	save = fetch_save_open(place.directory, state, &exit_code, &err);
	need(save != NULL, &err);
	for (int message = 0; message < MESSAGES; message++) {
		char uidl[24];

		snprintf(uidl, sizeof(uidl), "uidl %d", message);
		was_there[message] = server_has(message);
		if (!was_there[message])
			continue;
		need(fetch_state_lookup(state, uidl, MESSAGE_SIZE, &found, &err), &err);
		if (found == FETCH_UNSEEN)
			save_message(save, message, uidl);
		if (after == FETCH_AFTER_DELETE)
			fetch_state_note_deleted(state, uidl);
	}
	fetch_save_free(save);
	end_visit(state, was_there);
	fetch_state_free(state);
}

static unsigned
count_text(const char *expected)
{
	unsigned count = 0;
	char name[64];

	for (int n = 1; n <= MESSAGES * PARTS * 3; n++) {
		char *text;

		if (n == 1)
			snprintf(name, sizeof(name), "picture.png");
		else
			snprintf(name, sizeof(name), "picture (%d).png", n);
		text = text_of(name);
		if (text != NULL && strcmp(text, expected) == 0)
			count++;
		free(text);
	}
	return count;
}

static void
assert_each_once(unsigned n, unsigned then)
{
	char text[64];

	for (int message = 0; message < MESSAGES - 1; message++)
		for (int number = 0; number < PARTS; number++) {
			snprintf(text, sizeof(text), "message %d part %d\n", message, number);
			if (count_text(text) != 1)
				print_message("killed at %u, then at %u: %u times %s", n, then,
				    count_text(text), text);
			assert_int_equal(count_text(text), 1);
		}
	if (count_files("") != (MESSAGES - 1) * PARTS)
		print_message("killed at %u, then at %u: %u files\n", n, then, count_files(""));
	assert_int_equal(count_files(""), (MESSAGES - 1) * PARTS);
}

/* Killed at every change (under sanitizers, at every third), in half of the cases once more in
 * the next run, then let run. */
static void
kill_at_each(void)
{
	unsigned n = 1, then = 0;
	bool ended = false;

	/* What a process that dies leaves is the same there, and nothing waits for a disk. */
	place.base = access("/dev/shm", W_OK | X_OK) == 0 ? "/dev/shm" : NULL;
	for (; !ended; n += KILL_STEP, then = n * 7 % 41) {
		assert_int_equal(set_up(NULL), 0);
		server_fill();
		ended = killed_at(n, visit);
		if (n % 2 == 0)
			(void)killed_at(then, visit);
		assert_true(killed_at(0, visit));
		if (n % 8 == 0)
			assert_true(killed_at(0, visit));
		assert_each_once(n, then);
		for (int message = 0; message < MESSAGES; message++)
			assert_int_equal(server_has(message), after == FETCH_AFTER_KEEP);
		assert_int_equal(tamper("SELECT count(*) FROM message"),
		    after == FETCH_AFTER_KEEP ? MESSAGES : 0);
		assert_int_equal(tamper("SELECT count(*) FROM part"), 0);
		assert_int_equal(tear_down(NULL), 0);
	}
	place.base = NULL;
	print_message("killed at %u places of %u\n", (n - 2) / KILL_STEP, n - 2);
	assert_true(n > 30);
}

static void
test_kill_new(void **state)
{
	(void)state;
	after = FETCH_AFTER_KEEP;
	kill_at_each();
}

static void
test_kill_delete(void **state)
{
	(void)state;
	after = FETCH_AFTER_DELETE;
	kill_at_each();
}

/* Where renaming is a link and an unlink. */
static void
test_kill_without_noreplace(void **state)
{
	(void)state;
	after = FETCH_AFTER_DELETE;
	without_noreplace = true;
	kill_at_each();
	without_noreplace = false;
}

/* --- what else may have become of the files --- */

/* A run that was killed right after its files had got their names. */
static void
leave_unfinished(void)
{
	struct fetch_state *state = open_state();
	struct fetch_save *save = open_save(state);
	struct error err = { .text = "" };
	char *sql, *final;
	DIR *entries;
	const struct dirent *entry;

	add_part(save, "a.txt", "first");
	add_part(save, "b.txt", "second one");
	assert_true(fetch_save_commit(save, "uidl", MESSAGE_SIZE, FETCH_AFTER_DELETE, &err));
	fetch_save_free(save);
	fetch_state_free(state);
	/* Back to where it stood, as the rows and the directory would show it. */
	sql = mem_printf("UPDATE message SET state = 1, after = 3, directory = CAST('%s' AS BLOB)",
	    place.directory);
	tamper(sql);
	free(sql);
	entries = opendir(place.directory);
	assert_non_null(entries);
	while ((entry = readdir(entries)) != NULL) {
		const bool is_first = strcmp(entry->d_name, "a.txt") == 0;
		struct stat st;

		if (entry->d_name[0] == '.')
			continue;
		final = path_of(entry->d_name);
		assert_int_equal(stat(final, &st), 0);
		sql = mem_printf("INSERT INTO part SELECT id, %d, '.herald-' || value ||"
		    " 'aaaaaaa%c.part', CAST('%s' AS BLOB), %llu, %llu FROM message, meta"
		    " WHERE name = 'tag'",
		    is_first ? 1 : 2, is_first ? 'a' : 'b', entry->d_name,
		    (unsigned long long)st.st_ino, (unsigned long long)st.st_size);
		tamper(sql);
		free(sql);
		free(final);
	}
	closedir(entries);
	assert_int_equal(tamper("SELECT count(*) FROM part"), 2);
}

/* The name that a part stands under in the rows, as a path. */
static char *
temp_path(char which)
{
	sqlite3 *handle;
	sqlite3_stmt *statement;
	char *name, *path;

	assert_int_equal(sqlite3_open(place.path, &handle), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(handle, "SELECT value FROM meta WHERE name = 'tag'", -1,
	    &statement, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
	name = mem_printf(".herald-%saaaaaaa%c.part", sqlite3_column_text(statement, 0), which);
	path = path_of(name);
	free(name);
	sqlite3_finalize(statement);
	sqlite3_close(handle);
	return path;
}

static void
back_to_temp(const char *name, char which)
{
	char *final = path_of(name), *temp = temp_path(which);

	assert_int_equal(rename(final, temp), 0);
	free(final);
	free(temp);
}

static struct fetch_recovered
recover(enum fetch_known expected)
{
	struct fetch_state *state = open_state();
	struct fetch_recovered out;
	struct error err = { .text = "" };

	if (!fetch_state_recover(state, &out, &err)) {
		print_message("%s\n", err.text);
		fail();
	}
	assert_int_equal(known(state, "uidl"), expected);
	fetch_state_free(state);
	assert_int_equal(tamper("SELECT count(*) FROM part"), 0);
	return out;
}

static void
test_all_named(void **state)
{
	struct fetch_recovered out;

	(void)state;
	leave_unfinished();
	out = recover(FETCH_DELETE_OWED);
	assert_int_equal(out.messages, 1);
	assert_int_equal(out.files, 0);
	assert_int_equal(out.dropped, 0);
	out = recover(FETCH_DELETE_OWED);
	assert_int_equal(out.messages, 0);
}

/* The name was taken meanwhile, by the user; and the user gave ours another one. */
static void
test_names_changed(void **state)
{
	char *from = path_of("b.txt"), *to = path_of("mine.txt");
	struct fetch_recovered out;

	(void)state;
	leave_unfinished();
	back_to_temp("a.txt", 'a');
	put_file("a.txt", "the user's");
	assert_int_equal(rename(from, to), 0);
	out = recover(FETCH_DELETE_OWED);
	assert_int_equal(out.messages, 1);
	assert_int_equal(out.files, 1);
	assert_file("a.txt", "the user's");
	assert_file("a (2).txt", "first");
	assert_file("mine.txt", "second one");
	assert_int_equal(count_files(""), 3);
	free(from);
	free(to);
}

/* What is gone was perhaps never seen: rather once more than lost. */
static void
test_part_gone(void **state)
{
	char *temp;
	struct fetch_recovered out;

	(void)state;
	leave_unfinished();
	back_to_temp("a.txt", 'a');
	back_to_temp("b.txt", 'b');
	temp = temp_path('a');
	assert_int_equal(unlink(temp), 0);
	out = recover(FETCH_UNSEEN);
	assert_int_equal(out.dropped, 1);
	assert_int_equal(out.messages, 0);
	assert_int_equal(count_files(""), 0);
	free(temp);
}

/* Something else in its place is left alone, and not taken for it. */
static void
test_part_replaced(void **state)
{
	char *temp, *target = mem_printf("%s/target", place.root);

	(void)state;
	leave_unfinished();
	back_to_temp("a.txt", 'a');
	back_to_temp("b.txt", 'b');
	temp = temp_path('b');
	assert_int_equal(unlink(temp), 0);
	assert_int_equal(symlink(target, temp), 0);
	assert_int_equal(recover(FETCH_UNSEEN).dropped, 1);
	assert_int_equal(count_files(""), 1);
	assert_int_equal(access(target, F_OK), -1);
	free(temp);
	free(target);
}

static void
test_directory_gone(void **state)
{
	char moved[128];

	(void)state;
	leave_unfinished();
	snprintf(moved, sizeof(moved), "%s/moved", place.root);
	assert_int_equal(rename(place.directory, moved), 0);
	assert_int_equal(recover(FETCH_UNSEEN).dropped, 1);
}

/* Where it cannot be completed now the row stays, and says so. */
static void
test_directory_closed(void **state)
{
	struct fetch_recovered out;
	struct error err = { .text = "" };
	struct fetch_state *one;
	int status;
	pid_t child;

	(void)state;
	leave_unfinished();
	back_to_temp("a.txt", 'a');
	fflush(NULL);
	child = fork();
	if (child == 0) {
		one = open_state();
		break_call(SYS_renameat2, EROFS);
		_exit(!fetch_state_recover(one, &out, &err) &&
		    fetch_state_exit_code(one) == EX_CANTCREAT &&
		    strstr(err.text, "cannot complete") != NULL ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(recover(FETCH_DELETE_OWED).files, 1);
	assert_int_equal(count_files(""), 2);
}

/* Linked, not yet unlinked: a second name is its own, wherever it is. */
static void
test_linked(void **state)
{
	char *temp, *from = path_of("a.txt"), *to = path_of("a (7).txt");
	struct fetch_recovered out;

	(void)state;
	leave_unfinished();
	temp = temp_path('a');
	assert_int_equal(rename(from, to), 0);
	assert_int_equal(link(to, temp), 0);
	out = recover(FETCH_DELETE_OWED);
	assert_int_equal(out.files, 0);
	assert_file("a (7).txt", "first");
	assert_int_equal(count_files(""), 2);
	free(temp);
	free(from);
	free(to);
}

/* Saved by --new, then saved again by --delete and killed: what was known stays known. */
static void
test_known_before(void **state)
{
	char *temp;

	(void)state;
	leave_unfinished();
	tamper("UPDATE message SET previous = 2");
	back_to_temp("a.txt", 'a');
	temp = temp_path('a');
	assert_int_equal(unlink(temp), 0);
	assert_int_equal(recover(FETCH_SAVED).dropped, 1);
	free(temp);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kill_new),
		cmocka_unit_test(test_kill_delete),
		cmocka_unit_test(test_kill_without_noreplace),
		cmocka_unit_test_setup_teardown(test_all_named, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_names_changed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_part_gone, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_part_replaced, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_directory_gone, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_directory_closed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_linked, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_known_before, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
