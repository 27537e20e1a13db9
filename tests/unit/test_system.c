/* test_system.c - directories and the pid file: nothing of others is touched (RULES F1). */
#include "daemon/system.h"

#include "base/error.h"
#include "conf/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct place {
	char top[64];
	char pidfile[96], other[96], state[96], runtime[96];
};

static int
set_up(void **state)
{
	struct place *place = calloc(1, sizeof(*place));

	snprintf(place->top, sizeof(place->top), "/tmp/herald-system-XXXXXX");
	if (place == NULL || mkdtemp(place->top) == NULL)
		return -1;
	snprintf(place->pidfile, sizeof(place->pidfile), "%s/pid", place->top);
	snprintf(place->other, sizeof(place->other), "%s/other", place->top);
	snprintf(place->state, sizeof(place->state), "%s/state", place->top);
	snprintf(place->runtime, sizeof(place->runtime), "%s/run", place->top);
	*state = place;
	return 0;
}

static int
tear_down(void **state)
{
	struct place *place = *state;

	unlink(place->pidfile);
	unlink(place->other);
	rmdir(place->state);
	rmdir(place->runtime);
	rmdir(place->top);
	free(place);
	return 0;
}

static void
write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fputs(text, file);
	assert_int_equal(fclose(file), 0);
}

static void
assert_file(const char *path, const char *text)
{
	char octets[128];
	FILE *file = fopen(path, "r");
	size_t len;

	assert_non_null(file);
	len = fread(octets, 1, sizeof(octets) - 1, file);
	octets[len] = '\0';
	fclose(file);
	assert_string_equal(octets, text);
}

static void
pidfile_is_written_and_removed(void **state)
{
	struct place *place = *state;
	struct error err;
	char text[32];

	write_file(place->pidfile, "4711\n");	/* of a run that was killed */
	assert_true(system_pidfile(place->pidfile, &err));
	snprintf(text, sizeof(text), "%ld\n", (long)getpid());
	assert_file(place->pidfile, text);
	system_pidfile_remove();
	assert_int_equal(access(place->pidfile, F_OK), -1);
	assert_true(system_pidfile(NULL, &err));
	system_pidfile_remove();
}

static void
assert_refused(struct place *place, const char *why)
{
	struct error err;

	assert_false(system_pidfile(place->pidfile, &err));
	if (strstr(err.text, why) == NULL)
		fail_msg("\"%s\" is not in: %s", why, err.text);
	system_pidfile_remove();
}

static void
pidfile_spares_what_is_none(void **state)
{
	struct place *place = *state;

	write_file(place->pidfile, "precious\n");
	assert_refused(place, "no pid file");
	assert_file(place->pidfile, "precious\n");
	assert_int_equal(unlink(place->pidfile), 0);

	write_file(place->other, "42\n");
	assert_int_equal(link(place->other, place->pidfile), 0);
	assert_refused(place, "no pid file");
	assert_int_equal(unlink(place->pidfile), 0);
	assert_int_equal(symlink(place->other, place->pidfile), 0);
	assert_refused(place, "cannot open pid file");
	assert_file(place->other, "42\n");
	assert_int_equal(unlink(place->pidfile), 0);

	assert_int_equal(mkfifo(place->pidfile, 0600), 0);
	assert_refused(place, "no pid file");
}

/* A second daemon must not take the file from the first, nor empty it on its way out. */
static void
pidfile_of_a_running_one_stays(void **state)
{
	struct place *place = *state;
	struct error err;
	char text[32], ready;
	int ends[2], status;
	pid_t first;

	assert_int_equal(pipe(ends), 0);
	first = fork();
	if (first == 0) {
		if (!system_pidfile(place->pidfile, &err) || write(ends[1], "x", 1) != 1)
			_exit(1);
		pause();
	}
	assert_int_equal(read(ends[0], &ready, 1), 1);
	assert_refused(place, "held by a running heraldd");
	snprintf(text, sizeof(text), "%ld\n", (long)first);
	assert_file(place->pidfile, text);
	kill(first, SIGKILL);
	assert_int_equal(waitpid(first, &status, 0), first);
	/* What a crash left is taken over. */
	assert_true(system_pidfile(place->pidfile, &err));
	system_pidfile_remove();
	close(ends[0]);
	close(ends[1]);
}

static bool
make_directories(struct place *place, struct error *err)
{
	struct config config = {
		.state_directory = place->state, .runtime_directory = place->runtime,
	};
	const struct passwd *me = getpwuid(geteuid());

	assert_non_null(me);
	return system_directories(&config, me->pw_name, err);
}

static void
directories_are_made_closed(void **state)
{
	struct place *place = *state;
	struct error err;
	struct stat st;

	assert_true(make_directories(place, &err));
	assert_int_equal(stat(place->state, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(stat(place->runtime, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	assert_true(make_directories(place, &err));
}

static void
directories_of_others_are_refused(void **state)
{
	struct place *place = *state;
	struct error err;

	assert_true(make_directories(place, &err));
	chmod(place->state, 0750);
	assert_false(make_directories(place, &err));
	assert_non_null(strstr(err.text, "allowed is 0700"));
	chmod(place->state, 0700);
	chmod(place->runtime, 0777);
	assert_false(make_directories(place, &err));
	assert_non_null(strstr(err.text, "can be written by others"));
	chmod(place->runtime, 0755);
	if (geteuid() == 0) {
		assert_int_equal(chown(place->state, 65534, 65534), 0);
		assert_false(make_directories(place, &err));
		assert_non_null(strstr(err.text, "belongs to uid 65534"));
	}
	rmdir(place->state);
	assert_int_equal(symlink(place->top, place->state), 0);
	assert_false(make_directories(place, &err));
	assert_int_equal(unlink(place->state), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(pidfile_is_written_and_removed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(pidfile_spares_what_is_none, set_up, tear_down),
		cmocka_unit_test_setup_teardown(pidfile_of_a_running_one_stays, set_up, tear_down),
		cmocka_unit_test_setup_teardown(directories_are_made_closed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(directories_of_others_are_refused, set_up,
		    tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
