/* config_source.c - the octets of a conffile, made ready for libconfuse. */
#include "conf/config_source.h"

#include "base/buf.h"
#include "base/error.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_BLOCK 16384

static bool
read_all(int fd, size_t limit, struct buf *out, struct error *err)
{
	for (;;) {
		ssize_t len = read(fd, buf_reserve(out, READ_BLOCK), READ_BLOCK);

		if (len == -1 && errno == EINTR)
			continue;
		if (len == -1)
			return error_set(err, ERROR_CONFIG, "cannot read: %s", strerror(errno));
		if (len == 0)
			return true;
		buf_commit(out, (size_t)len);
		if (out->len > limit)
			return error_set(err, ERROR_CONFIG, "too long, at most %zu octets", limit);
	}
}

bool
config_read(const char *path, size_t limit, struct buf *out, struct error *err)
{
	/* O_NONBLOCK: opening a FIFO would wait for its writer. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat status;
	bool good;

	if (fd == -1)
		return error_set(err, ERROR_CONFIG, "cannot open: %s", strerror(errno));
	if (fstat(fd, &status) == -1)
		good = error_set(err, ERROR_CONFIG, "cannot read: %s", strerror(errno));
	else if (!S_ISREG(status.st_mode))
		good = error_set(err, ERROR_CONFIG, "not a regular file");
	else
		good = read_all(fd, limit, out, err);
	close(fd);
	return good;
}

/* Goes through a conffile by its items: strings, comments, single octets of all else. */
struct scanner {
	const char *octets;
	size_t len, at; /* the item begins at `at` */
	size_t item_len;
	unsigned line; /* where it begins */
	bool is_string, is_comment, is_closed;
	bool in_word; /* "//" within a word is no comment */
};

/* With both quotes; as libconfuse reads it. */
static void
scan_string(struct scanner *scanner, const char *item, size_t left)
{
	size_t i;

	for (i = 1; i < left && item[i] != item[0]; i++)
		if (item[i] == '\\')
			i++;
	scanner->is_closed = i < left;
	scanner->item_len = i < left ? i + 1 : left;
}

/* Without the end of its line; 0 when it is none. */
static void
scan_comment(struct scanner *scanner, const char *item, size_t left)
{
	const char *end;

	scanner->is_closed = true;
	scanner->item_len = 0;
	if (item[0] == '#' || (!scanner->in_word && left >= 2 && memcmp(item, "//", 2) == 0)) {
		end = memchr(item, '\n', left);
		scanner->item_len = end != NULL ? (size_t)(end - item) : left;
	} else if (!scanner->in_word && left >= 2 && memcmp(item, "/*", 2) == 0) {
		end = memmem(item + 2, left - 2, "*/", 2);
		scanner->is_closed = end != NULL;
		scanner->item_len = end != NULL ? (size_t)(end - item) + 2 : left;
	}
}

static bool
scan_next(struct scanner *scanner)
{
	const char *item;
	size_t left;

	for (size_t i = 0; i < scanner->item_len; i++)
		scanner->line += scanner->octets[scanner->at + i] == '\n';
	if (scanner->item_len > 0)
		scanner->in_word = strchr(" \t\r\n{}()=,+\"'#", scanner->octets[scanner->at]) ==
		    NULL;
	scanner->at += scanner->item_len;
	if (scanner->at == scanner->len)
		return false;
	item = scanner->octets + scanner->at;
	left = scanner->len - scanner->at;
	scan_comment(scanner, item, left);
	scanner->is_comment = scanner->item_len > 0;
	scanner->is_string = !scanner->is_comment && (item[0] == '"' || item[0] == '\'');
	if (scanner->is_string)
		scan_string(scanner, item, left);
	else if (!scanner->is_comment)
		scanner->item_len = 1;
	return true;
}

bool
config_blank_comments(char *octets, size_t len, unsigned *line, struct error *err)
{
	struct scanner scanner = { .octets = octets, .len = len, .line = 1 };
	unsigned depth = 0, block_line = 0;

	while (scan_next(&scanner)) {
		char c = octets[scanner.at];

		*line = scanner.line;
		if (!scanner.is_closed)
			return error_set(err, ERROR_CONFIG, "%s",
			    scanner.is_comment ? "a comment has no end, allowed is /* … */"
					       : "a string has no end, allowed are \"…\" and '…'");
		if (scanner.is_string)
			continue;
		if (c == '{' && depth++ == 0)
			block_line = scanner.line;
		if (c == '}' && depth > 0)
			depth--;
		if (scanner.is_comment)
			for (size_t i = scanner.at; i < scanner.at + scanner.item_len; i++)
				if (octets[i] != '\n')
					octets[i] = ' ';
	}
	*line = block_line;
	return depth == 0 || error_set(err, ERROR_CONFIG, "a block has no end, allowed is { … }");
}

unsigned
config_string_line(const char *octets, size_t len, unsigned line)
{
	struct scanner scanner = { .octets = octets, .len = len, .line = 1 };

	while (scan_next(&scanner)) {
		unsigned end = scanner.line;

		if (!scanner.is_string)
			continue;
		for (size_t i = 0; i < scanner.item_len; i++)
			end += octets[scanner.at + i] == '\n';
		if (end == line)
			return scanner.line;
	}
	return line;
}

bool
config_source_check(const char *octets, size_t len, unsigned *line, struct error *err)
{
	const char *end;

	*line = 1;
	for (size_t start = 0; start < len; start += (size_t)(end - octets) - start + 1) {
		end = memchr(octets + start, '\n', len - start);
		if (end == NULL)
			end = octets + len;
		if (memchr(octets + start, '\0', (size_t)(end - octets) - start) != NULL)
			return error_set(err, ERROR_CONFIG, "a NUL octet: the file must be text");
		if (!text_utf8_valid(octets + start, (size_t)(end - octets) - start))
			return error_set(err, ERROR_CONFIG, "not valid UTF-8");
		(*line)++;
	}
	return true;
}
