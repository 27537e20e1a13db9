/* test_base.c - base: error, mem, buf, text, clock, map, log. */
#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

static void
error_prefix_keeps_the_reason(void **state)
{
	struct error err;
	char wide[600];

	(void)state;
	assert_false(error_set(&err, ERROR_NETWORK, "cannot bind %s", "[::1]:25"));
	assert_false(error_prefix(&err, "%s:%d", "herald.conf", 12));
	assert_string_equal(err.text, "herald.conf:12: cannot bind [::1]:25");
	memset(wide, 'x', sizeof(wide) - 1);
	wide[sizeof(wide) - 1] = '\0';
	error_prefix(&err, "%s", wide);
	assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
}

static void
buf_appends_and_consumes(void **state)
{
	struct buf buf = { 0 };
	char expect[3000] = "";
	size_t i;

	(void)state;
	assert_int_equal(buf.len, 0);
	assert_string_equal(buf_octets(&buf), "");
	for (i = 0; i < 500; i++) {
		buf_appendf(&buf, "%zu,", i);
		snprintf(expect + strlen(expect), sizeof(expect) - strlen(expect), "%zu,", i);
	}
	assert_string_equal(buf_text(&buf), expect);
	buf_consume(&buf, 10);
	assert_memory_equal(buf_octets(&buf), expect + 10, buf.len);
	memset(buf_reserve(&buf, 100000), 'z', 100000);
	buf_commit(&buf, 100000);
	assert_int_equal(buf.len, strlen(expect) - 10 + 100000);
	assert_memory_equal(buf_octets(&buf), expect + 10, strlen(expect) - 10);
	buf_clear(&buf);
	buf_append_text(&buf, "a");
	buf_append(&buf, "\0b", 2);
	assert_int_equal(buf.len, 3);
	assert_memory_equal(buf_octets(&buf), "a\0b", 3);
	buf_wipe(&buf);
	assert_null(buf.octets);
}

static void
buf_format_longer_than_its_room(void **state)
{
	struct buf buf = { 0 };
	char *wide = mem_alloc(5001);

	(void)state;
	memset(wide, 'w', 5000);
	wide[5000] = '\0';
	buf_appendf(&buf, "<%s>", wide);
	assert_int_equal(buf.len, 5002);
	assert_int_equal(buf_octets(&buf)[5001], '>');
	free(wide);
	buf_free(&buf);
}

static void
printable_escapes_what_a_log_must_not_hold(void **state)
{
	static const struct { const char *in; size_t len; const char *out; } rows[] = {
		{ "plain text", 10, "plain text" },
		{ "a\r\nb", 4, "a\\x0d\\x0ab" },
		{ "\x1b[31m", 5, "\\x1b[31m" },
		{ "a\0b", 3, "a\\x00b" },
		{ "back\\slash", 10, "back\\x5cslash" },
		{ "%n%s", 4, "%n%s" },
		{ "\xc3\xa9", 2, "\\xc3\\xa9" },
		{ "\x7f\xff", 2, "\\x7f\\xff" },
	};
	char out[64];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_string_equal(text_printable(out, sizeof(out), rows[i].in, rows[i].len),
		    rows[i].out);
}

static void
printable_counts_what_it_cuts(void **state)
{
	char in[300], out[64];
	size_t kept;
	unsigned cut;

	(void)state;
	memset(in, 'x', sizeof(in));
	text_printable(out, sizeof(out), in, sizeof(in));
	kept = strspn(out, "x");
	assert_int_equal(sscanf(out + kept, "...(%u more)", &cut), 1);
	assert_int_equal(kept + cut, sizeof(in));
	text_printable(out, sizeof(out), in, 63);
	assert_int_equal(strlen(out), 63);
	text_printable(out, 5, in, 10);
	assert_string_equal(out, "xxxx");
	memset(in, '\n', 20);
	text_printable(out, 10, in, 20);
	assert_string_equal(out, "\\x0a\\x0a");
}

static void
printable_utf8_keeps_characters_and_no_tricks(void **state)
{
	char out[128];
	static const char mixed[] = "疯狂\xe2\x80\xae\xff\n";

	(void)state;
	text_printable_utf8(out, sizeof(out), mixed, sizeof(mixed) - 1);
	assert_string_equal(out, "疯狂\\xe2\\x80\\xae\\xff\\x0a");
}

static void
utf8_validity_follows_rfc_3629(void **state)
{
	static const struct { const char *octets; bool valid; } rows[] = {
		{ "", true }, { "abc", true }, { "\xc2\x80", true }, { "\xf4\x8f\xbf\xbf", true },
		{ "\x80", false }, { "\xc0\x80", false }, { "\xc1\xbf", false },
		{ "\xe0\x80\x80", false }, { "\xed\xa0\x80", false }, { "\xf0\x80\x80\x80", false },
		{ "\xf4\x90\x80\x80", false }, { "\xf5\x80\x80\x80", false }, { "\xe4\xb8", false },
		{ "\xe4\xb8x", false }, { "\xff", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(text_utf8_valid(rows[i].octets, strlen(rows[i].octets)),
		    rows[i].valid);
}

static void
utf8_cut_never_splits(void **state)
{
	static const char text[] = "a疯b";
	static const size_t cuts[] = { 0, 1, 1, 1, 4, 5, 5 };

	(void)state;
	for (size_t limit = 0; limit < sizeof(cuts) / sizeof(cuts[0]); limit++)
		assert_int_equal(text_utf8_cut(text, 5, limit), cuts[limit]);
}

static void
numbers_with_units(void **state)
{
	uint64_t value, seconds;

	(void)state;
	assert_true(text_parse_duration("90", &value) && value == 90);
	assert_true(text_parse_duration("5m", &value) && value == 300);
	assert_true(text_parse_duration("2w", &value) && value == 1209600);
	assert_true(text_parse_size("35M", &value) && value == 35 * 1048576);
	assert_true(text_parse_size("0", &value) && value == 0);
	assert_true(text_parse_rate("30/m", &value, &seconds) && value == 30 && seconds == 60);
	assert_true(text_parse_number("18446744073709551615", &value) && value == UINT64_MAX);
	assert_false(text_parse_number("18446744073709551616", &value));
	assert_false(text_parse_size("18446744073709551615K", &value));
	assert_false(text_parse_duration("", &value));
	assert_false(text_parse_duration("-1", &value));
	assert_false(text_parse_duration("5 m", &value));
	assert_false(text_parse_duration("5mm", &value));
	assert_false(text_parse_duration("m", &value));
	assert_false(text_parse_size("1k", &value));
	assert_false(text_parse_rate("30", &value, &seconds));
	assert_false(text_parse_rate("30/", &value, &seconds));
	assert_false(text_parse_rate("/s", &value, &seconds));
}

static void
map_grows_and_forgets(void **state)
{
	struct map *map = map_new();
	static int values[2000];
	char key[16];

	(void)state;
	for (int i = 0; i < 2000; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		map_put(map, key, &values[i]);
	}
	assert_int_equal(map_count(map), 2000);
	map_put(map, "k7", &values[8]);
	assert_int_equal(map_count(map), 2000);
	assert_ptr_equal(map_get(map, "k7"), &values[8]);
	for (int i = 0; i < 2000; i += 2) {
		snprintf(key, sizeof(key), "k%d", i);
		assert_ptr_equal(map_remove(map, key), &values[i]);
	}
	assert_int_equal(map_count(map), 1000);
	assert_null(map_get(map, "k0"));
	assert_null(map_remove(map, "k0"));
	assert_ptr_equal(map_get(map, "k1999"), &values[1999]);
	map_free(map);
	map_free(NULL);
}

static void
remove_each(void *map, const char *key, void *value)
{
	assert_ptr_equal(map_remove(map, key), value);
}

static void
map_each_may_remove(void **state)
{
	struct map *map = map_new();
	char key[16];

	(void)state;
	for (int i = 0; i < 100; i++) {
		snprintf(key, sizeof(key), "%d", i);
		map_put(map, key, map);
	}
	map_each(map, remove_each, map);
	assert_int_equal(map_count(map), 0);
	map_free(map);
}

static void
clock_stands_where_it_is_set(void **state)
{
	(void)state;
	clock_set(1700000000000001);
	assert_int_equal(clock_now(), 1700000000);
	assert_int_equal(clock_now_us(), 1700000000000001);
	clock_set(-1);
	assert_true(clock_now() > 1700000000);
}

/* What log_write() puts on stderr. */
static void
log_to_pipe(char *out, size_t size, enum log_level level, const char *text)
{
	int saved = dup(STDERR_FILENO), ends[2];
	ssize_t n;

	assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
	dup2(ends[1], STDERR_FILENO);
	log_write(level, "smtpd", "%s", text);
	dup2(saved, STDERR_FILENO);
	n = read(ends[0], out, size - 1);
	out[n > 0 ? n : 0] = '\0';
	close(ends[0]);
	close(ends[1]);
	close(saved);
}

static void
log_line_is_one_line(void **state)
{
	struct log_settings settings = { LOG_TARGET_STDERR, LOG_LEVEL_INFO, LOG_MAIL, "herald" };
	char line[8192], expect[64], *wide;

	(void)state;
	log_configure(&settings);
	log_to_pipe(line, sizeof(line), LOG_LEVEL_INFO, "one\ntwo");
	snprintf(expect, sizeof(expect), " herald/smtpd[%ld]: one two\n", (long)getpid());
	assert_non_null(strstr(line, expect));
	log_to_pipe(line, sizeof(line), LOG_LEVEL_DEBUG, "not wanted");
	assert_string_equal(line, "");
	wide = mem_alloc(10000);
	memset(wide, 'w', 9999);
	wide[9999] = '\0';
	log_to_pipe(line, sizeof(line), LOG_LEVEL_INFO, wide);
	assert_int_equal(strchr(line, '\n') - line, (long)strlen(line) - 1);
	assert_in_range(strlen(line), 4000, 4200);
	free(wide);
}

/* Which is kept for all lines of a second. */
static void
log_stamp_follows_the_clock(void **state)
{
	static const int64_t seconds[] = { 1700000000, 1700000001, 1700086400, 1600000000 };
	char line[8192], expect[32];

	(void)state;
	for (size_t i = 0; i < sizeof(seconds) / sizeof(seconds[0]); i++) {
		time_t now = (time_t)seconds[i];
		struct tm local;

		clock_set(seconds[i] * 1000000);
		localtime_r(&now, &local);
		strftime(expect, sizeof(expect), "%b %e %H:%M:%S herald/", &local);
		log_to_pipe(line, sizeof(line), LOG_LEVEL_INFO, "a line");
		assert_memory_equal(line, expect, strlen(expect));
		clock_set(seconds[i] * 1000000 + 999999);
		log_to_pipe(line, sizeof(line), LOG_LEVEL_INFO, "another");
		assert_memory_equal(line, expect, strlen(expect));
	}
	clock_set(-1);
}

static void
log_drops_rather_than_waits(void **state)
{
	int saved = dup(STDERR_FILENO), ends[2];
	uint64_t before = log_dropped();

	(void)state;
	assert_int_equal(pipe(ends), 0);
	dup2(ends[1], STDERR_FILENO);
	for (int i = 0; i < 5000; i++)
		log_write(LOG_LEVEL_INFO, "smtpd", "nobody reads this line number %d", i);
	dup2(saved, STDERR_FILENO);
	assert_true(log_dropped() > before);
	close(ends[0]);
	close(ends[1]);
	close(saved);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(error_prefix_keeps_the_reason),
		cmocka_unit_test(buf_appends_and_consumes),
		cmocka_unit_test(buf_format_longer_than_its_room),
		cmocka_unit_test(printable_escapes_what_a_log_must_not_hold),
		cmocka_unit_test(printable_counts_what_it_cuts),
		cmocka_unit_test(printable_utf8_keeps_characters_and_no_tricks),
		cmocka_unit_test(utf8_validity_follows_rfc_3629),
		cmocka_unit_test(utf8_cut_never_splits),
		cmocka_unit_test(numbers_with_units),
		cmocka_unit_test(map_grows_and_forgets),
		cmocka_unit_test(map_each_may_remove),
		cmocka_unit_test(clock_stands_where_it_is_set),
		cmocka_unit_test(log_line_is_one_line),
		cmocka_unit_test(log_stamp_follows_the_clock),
		cmocka_unit_test(log_drops_rather_than_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
