/* pop3_client_list.c - what is in the mailbox: STAT, LIST and UIDL of the POP3 client. */
#include "proto/pop3_client_steps.h"

#include "base/mem.h"

#include <string.h>

enum { LISTED_MESSAGE = 1, LISTED_UIDL = 2, LISTED_FIRST = 64 };

static void
too_many(struct pop3_client *client)
{
	pop3_finish(client, POP3_END_LIMIT, "too many messages");
}

void
pop3_list_on_stat(struct pop3_client *client, const struct pop3_request *request, bool ok,
    struct slice text)
{
	uint64_t count, octets;

	if (!ok) {
		pop3_not_served(client, request, text);
	} else if (!pop3_pair_parse(text, &count, &octets)) {
		pop3_finish(client, POP3_END_PROTOCOL, "the reply has no two numbers");
	} else if (count > POP3_MESSAGES_MAX) {
		too_many(client);
	} else {
		client->message_count = client->uidl_count = 0;
		if (client->listed != NULL)
			memset(client->listed, 0, client->listed_size);
		client->events->on_mailbox(client->owner, count, octets);
	}
}

/* Those with a higher number than any before get their place. */
static unsigned char *
place_of(struct pop3_client *client, unsigned number)
{
	size_t size = client->listed_size > 0 ? client->listed_size : LISTED_FIRST;

	while (size <= number)
		size *= 2;
	if (size > client->listed_size) {
		client->listed = mem_grow(client->listed, size, 1);
		memset(client->listed + client->listed_size, 0, size - client->listed_size);
		client->listed_size = size;
	}
	return &client->listed[number];
}

/* NULL: the session is over. */
static unsigned char *
check_number(struct pop3_client *client, uint64_t number)
{
	if (number == 0)
		pop3_finish(client, POP3_END_PROTOCOL, "a message has number 0");
	else if (number > POP3_MESSAGES_MAX)
		too_many(client);
	else
		return place_of(client, (unsigned)number);
	return NULL;
}

/* NULL: the session is over. */
static unsigned char *
mark(struct pop3_client *client, uint64_t number, unsigned char bit)
{
	unsigned char *place = check_number(client, number);

	if (place != NULL && (*place & bit) != 0) {
		pop3_finish(client, POP3_END_PROTOCOL, "a message is listed twice");
		return NULL;
	}
	if (place != NULL)
		*place |= bit;
	return place;
}

void
pop3_list_on_list_line(struct pop3_client *client, struct slice line)
{
	uint64_t number, octets;

	if (!pop3_pair_parse(line, &number, &octets)) {
		pop3_finish(client, POP3_END_PROTOCOL, "a line without two numbers");
	} else if (mark(client, number, LISTED_MESSAGE) != NULL) {
		client->message_count++;
		client->events->on_message(client->owner, (unsigned)number, octets);
	}
}

void
pop3_list_on_list(struct pop3_client *client, const struct pop3_request *request, bool ok,
    struct slice text)
{
	if (!ok)
		pop3_not_served(client, request, text);
}

void
pop3_list_on_uidl_line(struct pop3_client *client, struct slice line)
{
	char uidl[POP3_UIDL_MAX + 1];
	uint64_t number;
	unsigned char *place;
	const enum pop3_uidl parsed = pop3_uidl_parse(line, &number, uidl);

	if (parsed == POP3_UIDL_SYNTAX) {
		pop3_finish(client, POP3_END_PROTOCOL, "a line without a number");
		return;
	}
	place = mark(client, number, LISTED_UIDL);
	if (place == NULL || (*place & LISTED_MESSAGE) == 0 || parsed == POP3_UIDL_BAD)
		return;
	client->uidl_count++;
	client->events->on_uidl(client->owner, (unsigned)number, uidl);
}

/* UIDL is optional, RFC 1939 7. */
void
pop3_list_on_uidl(struct pop3_client *client, const struct pop3_request *request, bool ok,
    struct slice text)
{
	(void)request;
	(void)text;
	client->events->on_listed(client->owner,
	    ok && client->uidl_count == client->message_count);
}
