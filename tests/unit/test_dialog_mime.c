/* test_dialog_mime.c - the mails of tests/dialog/mime: their parts, names, octets and faults. */
#include "dialog.h"
#include "mime_fixture.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void
compare(const char *path, const struct dialog *dialog, size_t first, const struct mime_seen *seen)
{
	for (size_t i = 0; i < seen->line_count; i++) {
		const struct mime_line *got = &seen->lines[i];
		const struct dialog_line *want = &dialog->lines[first + i];

		if (first + i >= dialog->count)
			fail_msg("%s: too much: \"%s\"", path, got->octets);
		if (got->len != want->len || memcmp(got->octets, want->octets, got->len) != 0)
			fail_msg("%s:%u: \"%s\" and not \"%s\"", path, want->number, got->octets,
			    want->octets);
	}
	if (first + seen->line_count != dialog->count)
		fail_msg("%s: %zu lines, not %zu", path, seen->line_count, dialog->count - first);
}

/* Whole, octet by octet, and in pieces that cut line ends and boundaries anyhow. */
static void
play(const char *path, const struct dialog *dialog)
{
	static const size_t pieces[] = { 0, 1, 2, 3, 7, 61 };
	struct buf mail = { 0 };
	size_t i;

	for (i = 0; i < dialog->count && dialog->lines[i].side == 'S'; i++)
		buf_append(&mail, dialog->lines[i].octets, dialog->lines[i].len);
	for (size_t j = 0; j < sizeof(pieces) / sizeof(pieces[0]); j++) {
		struct mime_seen seen = { 0 };

		mime_seen_read(&seen, NULL, buf_octets(&mail), mail.len, pieces[j]);
		compare(path, dialog, i, &seen);
		mime_seen_clear(&seen);
	}
	buf_free(&mail);
}

static int
is_dialogue(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name);

	return len > 4 && strcmp(entry->d_name + len - 4, ".dlg") == 0;
}

static void
test_mails(void **state)
{
	const char *root = getenv("HERALD_SRCDIR");
	char *folder = mem_printf("%s/tests/dialog/mime", root == NULL ? "." : root);
	struct dirent **entries;
	int count = scandir(folder, &entries, is_dialogue, alphasort);

	(void)state;
	assert_in_range(count, 40, 1000);
	for (int i = 0; i < count; i++) {
		char *path = mem_printf("%s/%s", folder, entries[i]->d_name);
		struct dialog dialog = dialog_read(path);

		play(path, &dialog);
		dialog_free(&dialog);
		free(path);
		free(entries[i]);
	}
	print_message("%d mails\n", count);
	free(entries);
	free(folder);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_mails) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
