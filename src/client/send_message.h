/* send_message.h - a mail made of options and files, as it is sent. */
#ifndef HERALD_CLIENT_SEND_MESSAGE_H
#define HERALD_CLIENT_SEND_MESSAGE_H

#include <stddef.h>
#include <stdio.h>

struct content;
struct envelope;
struct error;

/* Values of an option that may be repeated, in their order.  The texts are borrowed. */
struct send_list {
	const char **items;
	size_t count;
};

void send_list_add(struct send_list *list, const char *item);
void send_list_free(struct send_list *list);

/* What the options of `herald send` say, as it stood there; NULL: not given.  A file "-" is
 * standard input. */
struct send_request {
	const char *from;
	struct send_list to, cc, bcc, reply_to;	/* each item a list of addresses */
	const char *subject;
	const char *text_file, *html_file;
	struct send_list inlines;		/* FILE[=CID] */
	struct send_list attachments;		/* FILE[;TYPE] */
	struct send_list headers;		/* "Name: value" */
};

struct send_message {
	/* Reverse path, recipients without doubles, size, smtputf8 and body_8bit, message id. */
	struct envelope *envelope;
	struct content *content;	/* canonical: CRLF lines, no dots stuffed */
	char *tree;			/* of the parts, a line each */
};

/* Reads all files and writes the whole mail; `directory` is for content_new().  NULL, *err and
 * *exit_code, of <sysexits.h>: then nothing is left behind. */
struct send_message *send_message_new(const struct send_request *request, const char *directory,
    int *exit_code, struct error *err);
void send_message_free(struct send_message *message);	/* NULL is allowed */
/* The envelope and the tree of parts, for people. */
void send_message_tree(const struct send_message *message, FILE *out);

#endif
