/* send_file.h - the files that a mail is made of: looked at first, read when it is written. */
#ifndef HERALD_CLIENT_SEND_FILE_H
#define HERALD_CLIENT_SEND_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

struct buf;
struct error;

#define SEND_HEAD_MAX	4096	/* octets by which the type of a file is found out */
#define SEND_TEXT_MAX	(16 * 1024 * 1024)	/* octets of a text or an HTML; the rest attaches */

/* A value. */
struct send_file {
	const char *path;	/* borrowed */
	dev_t device;
	ino_t inode;
	uint64_t size;		/* octets, when it was looked at */
	struct timespec modified;
};

/* Why the mail is not made; the first word stands. */
struct send_fault {
	bool is_set;
	int exit_code;		/* of <sysexits.h> */
	char text[512];
};

/* Always false. */
bool send_fault_set(struct send_fault *fault, int exit_code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The path as it can be shown, in a buffer of the caller's. */
const char *send_shown(char out[320], const char *path);

/* A regular file that can be read, and its first octets; never waits for one. */
bool send_file_look(struct send_file *out, const char *path, char head[SEND_HEAD_MAX],
    size_t *head_len, struct send_fault *fault) __attribute__((warn_unused_result));
/* It once more, the same and unchanged: a descriptor, or -1. */
int send_file_open(const struct send_file *file, struct send_fault *fault);
/* All of it; false, and a fault, too where it cannot be read. */
bool send_file_is_utf8(const struct send_file *file, struct send_fault *fault);

/* Text of a file, or of standard input ("-"): UTF-8 without a BOM and without a NUL, else the
 * fault names the line. */
bool send_file_text(const char *path, struct buf *out, struct send_fault *fault)
    __attribute__((warn_unused_result));

#endif
