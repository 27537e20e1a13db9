/* test_content.c - mail data in memory and in a file without a name. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mem.h"
#include "queue/content.h"

static char directory[] = "/tmp/herald-content-XXXXXX";

static int
set_up(void **state)
{
	(void)state;
	return mkdtemp(directory) != NULL ? 0 : -1;
}

static int
tear_down(void **state)
{
	(void)state;
	return rmdir(directory);	/* fails where a file was left */
}

static size_t
names_in_directory(void)
{
	DIR *dir = opendir(directory);
	size_t count = 0;

	while (readdir(dir) != NULL)
		count++;
	closedir(dir);
	return count - 2;
}

static char
octet_at(uint64_t offset)
{
	return (char)(offset * 31 + offset / 251);
}

static void
fill(struct content *content, uint64_t size, size_t step)
{
	char *block = mem_alloc(step);
	struct error err;
	uint64_t at = 0;
	size_t n, i;

	while (at < size) {
		n = size - at < step ? (size_t)(size - at) : step;
		for (i = 0; i < n; i++)
			block[i] = octet_at(at + i);
		assert_true(content_append(content, block, n, &err));
		at += n;
	}
	free(block);
}

static void
check(const struct content *content, uint64_t size)
{
	char block[4093];
	struct error err;
	uint64_t at = 0;
	size_t got, i;

	assert_int_equal(content_size(content), size);
	for (;;) {
		assert_true(content_read(content, at, block, sizeof(block), &got, &err));
		if (got == 0)
			break;
		for (i = 0; i < got; i++)
			assert_int_equal(block[i], octet_at(at + i));
		at += got;
	}
	assert_int_equal(at, size);
	assert_true(content_read(content, UINT64_MAX, block, sizeof(block), &got, &err));
	assert_int_equal(got, 0);
}

static void
test_sizes(void **state)
{
	static const uint64_t sizes[] = { 0, 1, 4095, 4096, 4097, 65535, 65536, 65537, 200000,
	    5000000 };
	static const size_t steps[] = { 1000, 16384, 65536, 300000 };
	size_t i, k;

	(void)state;
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		for (k = 0; k < sizeof(steps) / sizeof(steps[0]); k++) {
			struct content *content = content_new(directory);

			fill(content, sizes[i], steps[k]);
			check(content, sizes[i]);
			assert_int_equal(content_in_memory(content),
			    sizes[i] <= CONTENT_MEMORY_MAX);
			if (content_in_memory(content))
				assert_non_null(content_octets(content));
			else
				assert_null(content_octets(content));
			assert_int_equal(names_in_directory(), 0);
			content_unref(content);
		}
	content_unref(NULL);
}

static void
test_references(void **state)
{
	struct content *content = content_new(directory), *second = content_ref(content);

	(void)state;
	fill(content, 100000, 5000);
	content_unref(content);
	check(second, 100000);
	content_unref(second);
}

static void
test_no_directory(void **state)
{
	struct content *content = content_new("/nonexistent/herald");
	char block[CONTENT_MEMORY_MAX] = { 0 };
	struct error err;

	(void)state;
	assert_true(content_append(content, block, sizeof(block), &err));
	assert_false(content_append(content, block, 1, &err));
	assert_non_null(strstr(err.text, "/nonexistent/herald"));
	assert_int_equal(content_size(content), sizeof(block));
	assert_true(content_in_memory(content));
	content_unref(content);
}

/* A full disk: nothing is counted that was not written, and it goes on when there is room. */
static void
test_disk_full(void **state)
{
	struct content *content = content_new(directory);
	struct rlimit old, limit;
	char block[50000];
	struct error err;
	size_t i;

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	limit = old;
	limit.rlim_cur = 120000;
	fill(content, 100000, 50000);
	setrlimit(RLIMIT_FSIZE, &limit);
	for (i = 0; i < sizeof(block); i++)
		block[i] = octet_at(100000 + i);
	assert_false(content_append(content, block, sizeof(block), &err));
	check(content, 100000);
	setrlimit(RLIMIT_FSIZE, &old);
	assert_true(content_append(content, block, sizeof(block), &err));
	check(content, 150000);
	content_unref(content);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_references),
		cmocka_unit_test(test_no_directory),
		cmocka_unit_test(test_disk_full),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
