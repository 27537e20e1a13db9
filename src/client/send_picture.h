/* send_picture.h - the pictures that an HTML refers to, which travel with it. */
#ifndef HERALD_CLIENT_SEND_PICTURE_H
#define HERALD_CLIENT_SEND_PICTURE_H

#include "client/send_file.h"
#include "client/send_message.h"

#include <stdbool.h>
#include <stddef.h>

struct buf;
struct map;

struct send_picture {
	struct send_file file;
	char *path, *cid;	/* cid without < and > */
	const char *type;
};

/* A value; all zero but the first is empty. */
struct send_pictures {
	const char *cid_tail;	/* "@example.org": of the ids that are made here; borrowed */
	struct send_picture **items;
	size_t count;
	/* By "DEVICE:INODE", by the id and by the path: a file is attached once, and opened
	 * once for all that refer to it. */
	struct map *by_file, *by_cid, *by_path;
};

/* The values of --inline: "FILE[=CID]".  The id stands behind the last "=", where no file has
 * the whole name. */
bool send_pictures_name(struct send_pictures *pictures, const struct send_list *inlines,
    struct send_fault *fault) __attribute__((warn_unused_result));

/* Appends the HTML to `out` with its references to files of this machine made "cid:", the rest
 * octet by octet, and takes up the files.  html_file: "-" or a path, whose folder relative
 * ones start from.  A file that was not named must be a picture by its content: an HTML of
 * somebody else's must not carry off what it likes. */
bool send_pictures_embed(struct send_pictures *pictures, const char *html_file,
    const struct buf *html, struct buf *out, struct send_fault *fault)
    __attribute__((warn_unused_result));
void send_pictures_free(struct send_pictures *pictures);

/* A path of a reference that means a file here, in `out`; false: it does not.  With `base` set,
 * the folder that relative ones start from. */
bool send_picture_path(const char *reference, const char *base, struct buf *out);

#endif
