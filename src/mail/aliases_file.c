/* aliases_file.c - the text of an aliases file, entry by entry. */
#include "mail/aliases_file.h"

#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/text.h"
#include "mail/aliases.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define SHOWN_MAX	72	/* octets of a fault that are shown */
#define READ_SIZE	(64 * 1024)
#define ALLOWED		"allowed are names of this machine and addresses, with commas between"

/* The file as it is read: a logical line is put together from its lines in `text`. */
struct reader {
	const char *path;
	aliases_file_entry *entry;
	void *arg;
	struct buf text;
	unsigned line;			/* where it begins; 0: none */
	struct alias_target *targets;	/* of the line in work */
	size_t target_count;
};

struct span {
	const char *at;
	size_t len;
};

static bool
read_all(int fd, struct buf *out)
{
	ssize_t n;

	do {
		char *room = buf_reserve(out, READ_SIZE);

		n = read(fd, room, READ_SIZE);
		if (n == -1 && errno == EINTR) {
			n = 1;
			continue;
		}
		if (n > 0)
			buf_commit(out, (size_t)n);
	} while (n > 0 && out->len <= ALIASES_FILE_MAX);
	return n >= 0;
}

bool
aliases_file_read(const char *path, struct buf *out, struct error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat status;
	bool good;

	if (fd == -1)
		return error_set(err, ERROR_CONFIG, "%s: %s", path, strerror(errno));
	if (fstat(fd, &status) == -1 || !S_ISREG(status.st_mode)) {
		close(fd);
		return error_set(err, ERROR_CONFIG, "%s: not a regular file", path);
	}
	good = read_all(fd, out) || error_set(err, ERROR_CONFIG, "%s: %s", path, strerror(errno));
	close(fd);
	if (good && out->len > ALIASES_FILE_MAX)
		return error_set(err, ERROR_CONFIG, "%s: more than %d octets", path,
		    ALIASES_FILE_MAX);
	return good;
}

/* --- pieces of a logical line --- */

static bool
is_blank(char octet)
{
	return octet == ' ' || octet == '\t' || octet == '\r';
}

static struct span
trimmed(struct span span)
{
	while (span.len > 0 && is_blank(span.at[0])) {
		span.at++;
		span.len--;
	}
	while (span.len > 0 && is_blank(span.at[span.len - 1]))
		span.len--;
	return span;
}

/* Up to the first `wanted` outside of quotes; the whole where there is none. */
static size_t
find_outside(struct span span, char wanted)
{
	bool in_quotes = false;
	size_t i;

	for (i = 0; i < span.len && (in_quotes || span.at[i] != wanted); i++) {
		if (span.at[i] == '\\' && i + 1 < span.len)
			i++;
		else if (span.at[i] == '"')
			in_quotes = !in_quotes;
	}
	return i < span.len ? i : span.len;
}

static bool
fault(const struct reader *reader, struct span span, const char *what, struct error *err)
{
	char shown[SHOWN_MAX];

	text_printable_utf8(shown, sizeof(shown), span.at, span.len);
	return error_set(err, ERROR_CONFIG, "%s:%u: %s: %s", reader->path, reader->line, shown,
	    what);
}

/* --- targets --- */

/* What a mail system with mailboxes does with mail, and a relay does not. */
static const char *
refused_as(struct span target)
{
	struct span bare = target;

	if (bare.len >= 1 && bare.at[0] == '"') {
		bare.at++;
		bare.len--;
	}
	if (bare.len >= 9 && strncasecmp(bare.at, ":include:", 9) == 0)
		return "another file is not read in, " ALLOWED;
	if (bare.len >= 1 && bare.at[0] == '|')
		return "no program is run, " ALLOWED;
	if (bare.len >= 1 && bare.at[0] == '/')
		return "no mail is kept in files, " ALLOWED;
	return NULL;
}

static bool
parse_target(struct reader *reader, struct span target, struct error *err)
{
	const char *refused = refused_as(target);
	struct address address;
	bool is_final = target.len > 0 && target.at[0] == '\\';

	if (refused != NULL)
		return fault(reader, target, refused, err);
	if (is_final) {
		target.at++;
		target.len--;
	}
	if (target.len == 0 ||
	    address_parse_name(&address, target.at, target.len) != ADDRESS_OK)
		return fault(reader, target, "not an address, " ALLOWED, err);
	reader->targets = mem_grow(reader->targets, reader->target_count + 1,
	    sizeof(*reader->targets));
	reader->targets[reader->target_count++] = (struct alias_target){ .address = address,
	    .is_final = is_final };
	return true;
}

/* A comma at the end is what an editor leaves behind: it says nothing. */
static bool
parse_targets(struct reader *reader, struct span name, struct span rest, struct error *err)
{
	while (rest.len > 0) {
		size_t len = find_outside(rest, ',');
		struct span target = trimmed((struct span){ rest.at, len });

		if (target.len > 0 && !parse_target(reader, target, err))
			return false;
		if (reader->target_count > ALIASES_TARGETS_MAX)
			return fault(reader, name, "too many targets, allowed are 1000", err);
		len += len < rest.len;
		rest.at += len;
		rest.len -= len;
	}
	if (reader->target_count == 0)
		return fault(reader, name, "nobody stands behind it, " ALLOWED, err);
	return true;
}

/* --- lines --- */

/* As a local part: in quotes as it came, else in quotes where it has blanks. */
static bool
parse_name(const struct reader *reader, struct span name, char out[ADDRESS_LOCAL_MAX + 3],
    struct error *err)
{
	bool is_quoted = name.len > 2 && name.at[0] == '"' && name.at[name.len - 1] == '"';

	if (name.len == 0)
		return fault(reader, name, "no name before the colon, allowed is \"name: target\"",
		    err);
	if (name.len > ADDRESS_LOCAL_MAX)
		return fault(reader, name, "a name is too long, allowed are 64 octets", err);
	for (size_t i = 0; i < name.len && !is_quoted; i++)
		if (is_blank(name.at[i]) || strchr("\"@,|/\\<>()", name.at[i]) != NULL)
			return fault(reader, name, "not a name, allowed is a local part without "
			    "@, in quotes where it has blanks", err);
	memcpy(out, name.at, name.len);
	out[name.len] = '\0';
	return true;
}

static bool
end_logical_line(struct reader *reader, struct error *err)
{
	struct span whole = trimmed((struct span){ buf_octets(&reader->text), reader->text.len });
	size_t colon = find_outside(whole, ':');
	struct span name = trimmed((struct span){ whole.at, colon });
	struct alias_target *targets;
	char text[ADDRESS_LOCAL_MAX + 3];

	if (reader->line == 0)
		return true;
	if (colon == whole.len)
		return fault(reader, whole, "no colon, allowed is \"name: target\"", err);
	if (!text_utf8_valid(whole.at, whole.len) || memchr(whole.at, '\0', whole.len) != NULL)
		return fault(reader, whole, "not valid UTF-8", err);
	if (!parse_name(reader, name, text, err) || !parse_targets(reader, name,
	    (struct span){ whole.at + colon + 1, whole.len - colon - 1 }, err))
		return false;
	targets = reader->targets;
	reader->targets = NULL;
	if (!reader->entry(reader->arg, text, reader->line, targets, reader->target_count, err))
		return false;
	reader->target_count = 0;
	reader->line = 0;
	buf_clear(&reader->text);
	return true;
}

/* Behind a blank "#" begins a comment; within a word it is a letter. */
static struct span
without_comment(struct span line)
{
	for (size_t i = find_outside(line, '#'); i < line.len;) {
		struct span rest = { line.at + i + 1, line.len - i - 1 };

		if (i == 0 || is_blank(line.at[i - 1]))
			return (struct span){ line.at, i };
		i += 1 + find_outside(rest, '#');
	}
	return line;
}

/* Empty lines and comments stand anywhere, within an entry too. */
static bool
take_line(struct reader *reader, struct span line, unsigned number, struct error *err)
{
	bool continues = line.len > 0 && is_blank(line.at[0]);
	struct span text = trimmed(without_comment(line));

	if (text.len == 0)
		return true;
	if (continues && reader->line == 0) {
		reader->line = number;
		return fault(reader, text, "goes on with no entry before it, allowed is \"name: "
		    "target\" from the first column", err);
	}
	if (!continues) {
		if (!end_logical_line(reader, err))
			return false;
		reader->line = number;
	}
	buf_append(&reader->text, " ", 1);
	buf_append(&reader->text, text.at, text.len);
	return true;
}

bool
aliases_file_each(const char *path, const char *octets, size_t len, aliases_file_entry *entry,
    void *arg, struct error *err)
{
	struct reader reader = { .path = path, .entry = entry, .arg = arg };
	const char *at = octets, *end = octets + len;
	unsigned number = 0;
	bool good = true;

	while (good && at < end) {
		const char *lf = memchr(at, '\n', (size_t)(end - at));
		struct span line = { at, (size_t)((lf != NULL ? lf : end) - at) };

		good = take_line(&reader, line, ++number, err);
		at = lf != NULL ? lf + 1 : end;
	}
	good = good && end_logical_line(&reader, err);
	free(reader.targets);
	buf_free(&reader.text);
	return good;
}
