/* send_body.h - what a mail holds: text, HTML with its pictures, attachments. */
#ifndef HERALD_CLIENT_SEND_BODY_H
#define HERALD_CLIENT_SEND_BODY_H

#include "client/send_file.h"
#include "client/send_message.h"
#include "client/send_picture.h"

#include <stdbool.h>
#include <stddef.h>

struct _GMimeObject;
struct send_attachment;

/* A value; all zero is empty. */
struct send_body {
	struct _GMimeObject *root;
	struct send_pictures pictures;
	struct send_attachment *attachments;
	size_t attachment_count;
	char *cid_tail;
};

/* mixed[ alternative[ text, related[ HTML, pictures ] ], attachments ], each level only where
 * there is something to hold together.  `domain`: of the ids that are made.  The fault and the
 * request outlive the body. */
bool send_body_make(struct send_body *body, const struct send_request *request,
    const char *domain, struct send_fault *fault) __attribute__((warn_unused_result));
void send_body_free(struct send_body *body);

/* A line for each part, to be freed by the caller. */
char *send_body_tree(const struct send_body *body);

#endif
