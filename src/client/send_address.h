/* send_address.h - the addresses that options give: for the envelope, and for the header. */
#ifndef HERALD_CLIENT_SEND_ADDRESS_H
#define HERALD_CLIENT_SEND_ADDRESS_H

#include "client/send_file.h"
#include "client/send_message.h"
#include "mail/address.h"

#include <stdbool.h>
#include <stddef.h>

struct send_header;

struct send_mailbox {
	/* Its domain in A-labels, but where the local part needs SMTPUTF8 anyway. */
	struct address address;
	char *name;		/* UTF-8, without quotes and escapes; NULL: none */
};

/* A value; all zero is empty. */
struct send_addresses {
	struct send_mailbox *items;
	size_t count;
	bool needs_utf8;	/* one of them does */
};

/* Appends what `list` holds, comments and groups taken off.  `option` is for the fault. */
bool send_addresses_read(struct send_addresses *out, const char *option, const char *list,
    struct send_fault *fault) __attribute__((warn_unused_result));
bool send_addresses_read_all(struct send_addresses *out, const char *option,
    const struct send_list *lists, struct send_fault *fault) __attribute__((warn_unused_result));
void send_addresses_free(struct send_addresses *addresses);

/* "Name <a@b>, c@d" */
void send_addresses_write(const struct send_addresses *addresses, struct send_header *header);

#endif
