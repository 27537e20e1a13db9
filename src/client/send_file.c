/* send_file.c - the files that a mail is made of: looked at first, read when it is written. */
#include "client/send_file.h"

#include "base/buf.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#define BLOCK	(64 * 1024)

bool
send_fault_set(struct send_fault *fault, int exit_code, const char *fmt, ...)
{
	va_list ap;

	if (fault->is_set)
		return false;
	fault->is_set = true;
	fault->exit_code = exit_code;
	va_start(ap, fmt);
	vsnprintf(fault->text, sizeof(fault->text), fmt, ap);
	va_end(ap);
	return false;
}

const char *
send_shown(char out[320], const char *path)
{
	return path[0] != '\0' ? text_printable_utf8(out, 320, path, strlen(path)) : "\"\"";
}

/* A file that is not there or not allowed is no input; all else is the disk's fault. */
static int
code_of(int failure)
{
	return failure == EIO || failure == EMFILE || failure == ENFILE ? EX_IOERR : EX_NOINPUT;
}

static int
open_regular(const char *path, struct stat *status, struct send_fault *fault)
{
	char shown[320];
	/* Nobody writes into a FIFO: opening it would wait for ever. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd == -1) {
		send_fault_set(fault, code_of(errno), "cannot open %s: %s", send_shown(shown, path),
		    strerror(errno));
		return -1;
	}
	if (fstat(fd, status) == 0 && S_ISREG(status->st_mode))
		return fd;
	send_fault_set(fault, EX_NOINPUT, "%s is %s, not a file", send_shown(shown, path),
	    S_ISDIR(status->st_mode) ? "a directory" :
	    S_ISFIFO(status->st_mode) ? "a FIFO" : "a device");
	close(fd);
	return -1;
}

/* Until `len` octets are there or the file ends; -1: errno. */
static ssize_t
read_up_to(int fd, char *out, size_t len)
{
	size_t have = 0;

	while (have < len) {
		ssize_t got = read(fd, out + have, len - have);

		if (got == -1 && errno == EINTR)
			continue;
		if (got == -1)
			return -1;
		if (got == 0)
			break;
		have += (size_t)got;
	}
	return (ssize_t)have;
}

static bool
cannot_read(const char *path, struct send_fault *fault)
{
	char shown[320];

	return send_fault_set(fault, EX_IOERR, "cannot read %s: %s", send_shown(shown, path),
	    strerror(errno));
}

bool
send_file_look(struct send_file *out, const char *path, char head[SEND_HEAD_MAX],
    size_t *head_len, struct send_fault *fault)
{
	struct stat status;
	ssize_t got;
	int fd = open_regular(path, &status, fault);

	if (fd == -1)
		return false;
	got = read_up_to(fd, head, SEND_HEAD_MAX);
	if (got == -1)
		cannot_read(path, fault);
	close(fd);
	if (got == -1)
		return false;
	*head_len = (size_t)got;
	*out = (struct send_file){
		.path = path, .device = status.st_dev, .inode = status.st_ino,
		.size = (uint64_t)status.st_size, .modified = status.st_mtim,
	};
	return true;
}

int
send_file_open(const struct send_file *file, struct send_fault *fault)
{
	struct stat status;
	char shown[320];
	int fd = open_regular(file->path, &status, fault);

	if (fd == -1)
		return -1;
	if (status.st_dev == file->device && status.st_ino == file->inode &&
	    (uint64_t)status.st_size == file->size &&
	    status.st_mtim.tv_sec == file->modified.tv_sec &&
	    status.st_mtim.tv_nsec == file->modified.tv_nsec)
		return fd;
	send_fault_set(fault, EX_IOERR, "%s changed while the mail was made",
	    send_shown(shown, file->path));
	close(fd);
	return -1;
}

/* --- text --- */

bool
send_file_is_utf8(const struct send_file *file, struct send_fault *fault)
{
	static char block[BLOCK];
	size_t have = 0, whole;
	bool is_valid = true;
	ssize_t got = 1;
	int fd = send_file_open(file, fault);

	while (fd != -1 && is_valid && got > 0) {
		got = read_up_to(fd, block + have, sizeof(block) - have);
		if (got == -1) {
			cannot_read(file->path, fault);
			break;
		}
		have += (size_t)got;
		/* A character may go on in the next block. */
		whole = got == 0 || have <= 4 ? have : text_utf8_cut(block, have, have - 4);
		is_valid = text_utf8_valid(block, whole);
		have -= whole;
		memmove(block, block + whole, have);
	}
	if (fd != -1)
		close(fd);
	return is_valid && !fault->is_set;
}

static bool
read_all(int fd, const char *path, struct buf *out, struct send_fault *fault)
{
	char shown[320];
	ssize_t got;

	while ((got = read_up_to(fd, buf_reserve(out, BLOCK), BLOCK)) > 0) {
		buf_commit(out, (size_t)got);
		if (out->len > SEND_TEXT_MAX)
			return send_fault_set(fault, EX_DATAERR, "%s is larger than 16 MiB: send "
			    "it by --attach", send_shown(shown, path));
	}
	return got == 0 || cannot_read(path, fault);
}

/* The line, from 1, of the first octet that is in no text. */
static unsigned long
bad_line(const char *octets, size_t len)
{
	unsigned long line = 1;
	size_t at = 0;

	while (at < len) {
		const char *lf = memchr(octets + at, '\n', len - at);
		const size_t run = lf != NULL ? (size_t)(lf - octets) - at : len - at;

		if (!text_utf8_valid(octets + at, run) || memchr(octets + at, '\0', run) != NULL)
			break;
		at += run + 1;
		line++;
	}
	return line;
}

static bool
check_text(const char *path, struct buf *text, struct send_fault *fault)
{
	const char *octets;
	char shown[320];
	unsigned long line;

	if (text->len >= 3 && memcmp(buf_octets(text), "\xef\xbb\xbf", 3) == 0)
		buf_consume(text, 3);
	octets = buf_octets(text);
	if (text->len == 0 ||
	    (text_utf8_valid(octets, text->len) && memchr(octets, '\0', text->len) == NULL))
		return true;
	send_shown(shown, path);
	if (text->len >= 2 && (memcmp(octets, "\xff\xfe", 2) == 0 ||
	    memcmp(octets, "\xfe\xff", 2) == 0))
		return send_fault_set(fault, EX_DATAERR, "%s:1: this is UTF-16, not UTF-8: "
		    "iconv -f UTF-16 -t UTF-8", shown);
	line = bad_line(octets, text->len);
	return send_fault_set(fault, EX_DATAERR, "%s:%lu: this is not UTF-8: convert it first, as "
	    "by iconv -f GB18030 -t UTF-8", shown, line);
}

bool
send_file_text(const char *path, struct buf *out, struct send_fault *fault)
{
	struct stat status;
	bool ok;
	int fd;

	if (strcmp(path, "-") == 0)
		return read_all(STDIN_FILENO, "standard input", out, fault) &&
		    check_text("standard input", out, fault);
	fd = open_regular(path, &status, fault);
	if (fd == -1)
		return false;
	ok = read_all(fd, path, out, fault);
	close(fd);
	return ok && check_text(path, out, fault);
}
