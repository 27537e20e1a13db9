/* fetch_session.c - one visit to a POP3 mailbox: the connection, the dialogue, the end. */
#include "client/fetch_session.h"

#include "base/error.h"
#include "base/mem.h"
#include "base/text.h"
#include "client/client.h"
#include "client/fetch_json.h"
#include "client/fetch_print.h"
#include "client/fetch_save.h"
#include "client/fetch_session_parts.h"
#include "client/fetch_state.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

void
fetch_session_note(struct fetch_session *session, int exit_code)
{
	if (session->exit_code == 0 || session->exit_code == EX_DATAERR)
		session->exit_code = exit_code;
}

static void
fail_state(struct fetch_session *session, const struct error *err)
{
	client_fail(0, "%s", err->text);
	fetch_session_note(session, fetch_state_exit_code(session->state));
}

/* --- what the dialogue brings --- */

static void
on_send(void *owner, const char *octets, size_t len, bool secret)
{
	struct fetch_session *session = owner;

	fetch_link_send(&session->link, octets, len, secret);
}

static void
on_start_tls(void *owner)
{
	struct fetch_session *session = owner;

	fetch_link_start_tls(&session->link);
}

static void
on_welcome(void *owner, const char *text, size_t len)
{
	struct fetch_session *session = owner;

	free(session->welcome);
	session->welcome = mem_strndup(text, len);
}

static void
on_ready(void *owner)
{
	struct fetch_session *session = owner;

	pop3_client_list(session->client);
}

static void
on_mailbox(void *owner, uint64_t count, uint64_t octets)
{
	struct fetch_session *session = owner;
	const struct fetch_params *params = session->params;

	session->size = octets;
	fetch_print_field(params->printer, "Server", session->welcome);
	fetch_print_line(params->printer, "Mailbox: %" PRIu64 " message%s, %" PRIu64 " octets",
	    count, count == 1 ? "" : "s", octets);
	fetch_json_mailbox(params->json, session->account, session->welcome, count, octets);
}

static void
on_message(void *owner, unsigned number, uint64_t octets)
{
	struct fetch_session *session = owner;

	fetch_mailbox_add(&session->mailbox, number, octets);
}

static void
on_uidl(void *owner, unsigned number, const char *uidl)
{
	struct fetch_session *session = owner;

	fetch_mailbox_name(&session->mailbox, number, uidl);
}

/* What cannot be remembered: false where nothing can be done at all. */
static bool
check_uidls(struct fetch_session *session)
{
	const struct fetch_mailbox *mailbox = &session->mailbox;
	const size_t missing = mailbox->count - mailbox->uidl_count;

	if (session->state == NULL || missing == 0)
		return true;
	if (session->params->selection != FETCH_NEW) {
		client_fail(0, "the server names %s message%s by UIDL: should this run be cut "
			       "short, the next one may save them twice",
		    missing == mailbox->count ? "no" : "not every",
		    missing == mailbox->count ? "s" : "");
		return true;
	}
	fetch_session_note(session, missing == mailbox->count ? EX_UNAVAILABLE : EX_DATAERR);
	client_fail(0, missing == mailbox->count
		? "the server has no UIDL, so nobody knows what is new: take --all or --last"
		: "some messages have no UIDL, so nobody knows whether they are new: left");
	return missing < mailbox->count;
}

static void
on_listed(void *owner, bool has_uidl)
{
	struct fetch_session *session = owner;
	const struct fetch_params *params = session->params;
	struct fetch_mailbox *mailbox = &session->mailbox;
	struct error err;

	session->has_uidl = has_uidl;
	session->next = 1;
	if (!check_uidls(session)) {
		session->is_stopping = true;
	} else if (!fetch_mailbox_choose(mailbox, params->selection, params->number,
		   params->deletes, session->state, &err)) {
		fail_state(session, &err);
		session->is_stopping = true;
	} else if (params->selection == FETCH_NUMBER && (params->number > mailbox->highest ||
		   !mailbox->entries[params->number].is_listed)) {
		client_fail(0, "there is no message %u", params->number);
		fetch_session_note(session, EX_DATAERR);
	}
	if (mailbox->copy_count > 0)
		client_fail(0, "left as copies, by their UIDL, of others: %zu message%s",
		    mailbox->copy_count, mailbox->copy_count == 1 ? "" : "s");
	if (params->is_list && !session->is_stopping)
		fetch_print_row(
		    params->printer, 0, 0, (const char *[]){ "date", "from", "subject" });
	fetch_session_give(session);
}

/* --- the end --- */

/* A good QUIT: what was deleted is gone, and what is no longer there need not be known. */
static void
settle(struct fetch_session *session)
{
	const char **uidls;
	struct error err;
	size_t count;
	bool good;

	if (session->deleted > 0)
		fetch_print_line(session->params->printer, "Deleted: %u message%s",
		    session->deleted, session->deleted == 1 ? "" : "s");
	if (session->state == NULL)
		return;
	good = fetch_state_forget_deleted(session->state, &err);
	if (good && session->has_uidl) {
		uidls = fetch_mailbox_uidls(&session->mailbox, &count);
		good = fetch_state_prune(session->state, uidls, count, &err);
		free(uidls);
	}
	if (!good)
		fail_state(session, &err);
}

/* Who speaks out of turn may have ended a message too early, and what came next was the rest of
 * it: what was saved last is not known, or the next run would have it deleted. */
static void
doubt(struct fetch_session *session)
{
	struct error err;

	for (unsigned i = 1; session->state != NULL && i <= session->mailbox.highest; i++) {
		const struct fetch_entry *entry = &session->mailbox.entries[i];
		const char *key = fetch_entry_key(entry, session->params->deletes);

		if (!entry->is_owed || key == NULL)
			continue;
		if (!fetch_state_forget(session->state, key, &err)) {
			fail_state(session, &err);
			return;
		}
		client_fail(
		    0, "message %u: perhaps it was cut short: the next run takes it again", i);
	}
}

static void
on_finished(void *owner, enum pop3_end end, const char *text)
{
	static const int exit_codes[] = {
		[POP3_END_QUIT] = 0,
		[POP3_END_REFUSED_LOGIN] = EX_NOPERM,
		[POP3_END_TEMPORARY] = EX_TEMPFAIL,
		[POP3_END_REFUSED] = EX_UNAVAILABLE,
		[POP3_END_NO_TLS] = EX_UNAVAILABLE,
		[POP3_END_PROTOCOL] = EX_PROTOCOL,
		[POP3_END_LOST] = EX_UNAVAILABLE,
		[POP3_END_LIMIT] = EX_PROTOCOL,
	};
	struct fetch_session *session = owner;

	session->link.is_finished = true;
	fetch_session_break_off(session);
	if (end == POP3_END_QUIT) {
		settle(session);
		return;
	}
	if (end == POP3_END_PROTOCOL || end == POP3_END_LIMIT)
		doubt(session);
	/* Everything is done, and nothing hangs on the answer. */
	if (end == POP3_END_LOST && session->is_quitting && session->deleted == 0)
		return;
	session->end_code = session->link.is_late	? EX_TEMPFAIL
	    : session->link.stop != NULL ? EX_PROTOCOL
					 : exit_codes[end];
	client_fail(0, "%s: %s", session->account, text);
	if (session->deleted > 0)
		client_fail(0, "%u message%s may be there still", session->deleted,
		    session->deleted == 1 ? " that was to be deleted"
					  : "s that were to be deleted");
}

/* --- the whole of it --- */

static bool
open_state(struct fetch_session *session)
{
	const struct fetch_params *params = session->params;
	struct fetch_recovered recovered;
	struct error err;

	if (params->selection != FETCH_NEW && !params->deletes)
		return true;
	session->state = fetch_state_open(
	    params->state_path, session->account, &session->end_code, &err);
	if (session->state == NULL) {
		client_fail(0, "%s", err.text);
		return false;
	}
	if (!fetch_state_recover(session->state, &recovered, &err)) {
		session->end_code =
		    client_fail(fetch_state_exit_code(session->state), "%s", err.text);
		return false;
	}
	if (recovered.messages + recovered.dropped > 0)
		client_fail(0, "completed what an earlier run left: %zu message%s, %zu file%s",
		    recovered.messages, recovered.messages == 1 ? "" : "s", recovered.files,
		    recovered.files == 1 ? "" : "s");
	return true;
}

static bool
open_files(struct fetch_session *session)
{
	const struct fetch_params *params = session->params;
	struct error err;

	if (!open_state(session))
		return false;
	if (params->is_list)
		return true;
	session->save =
	    fetch_save_open(params->directory, session->state, &session->end_code, &err);
	if (session->save == NULL)
		client_fail(0, "%s", err.text);
	return session->save != NULL;
}

static void
visit(struct fetch_session *session)
{
	static const struct pop3_client_events events = {
		.send = on_send,
		.start_tls = on_start_tls,
		.on_welcome = on_welcome,
		.on_ready = on_ready,
		.on_mailbox = on_mailbox,
		.on_message = on_message,
		.on_uidl = on_uidl,
		.on_listed = on_listed,
		.on_content = fetch_session_content,
		.on_done = fetch_session_done,
		.on_finished = on_finished,
	};
	const struct pop3_client_params params = {
		.tls = session->params->tls,
		.username = session->params->account->user,
		.password = session->params->password,
	};

	session->end_code = fetch_link_open(&session->link, session->params);
	if (session->end_code == 0) {
		session->client = pop3_client_new(&params, &events, session);
		session->link.client = session->client;
		while (!session->link.is_finished)
			fetch_link_turn(&session->link);
		pop3_client_free(session->client);
	}
	fetch_link_close(&session->link);
	fetch_json_end(session->params->json);
}

/* What makes a UIDL unique, and what the account is called: a host is the same in any case. */
static void
name_account(struct fetch_session *session)
{
	const struct client_account *account = session->params->account;
	const bool is_ipv6 = strchr(account->host, ':') != NULL;
	char host[ENDPOINT_HOST_MAX + 1];

	text_lower(text_copy(host, sizeof(host), account->host));
	snprintf(session->account, sizeof(session->account), "%s@%s%s%s:%u", account->user,
	    is_ipv6 ? "[" : "", host, is_ipv6 ? "]" : "", account->port);
}

int
fetch_session_run(const struct fetch_params *params)
{
	struct fetch_session session = { .params = params };

	name_account(&session);
	if (open_files(&session))
		visit(&session);
	fetch_save_free(session.save);
	fetch_state_free(session.state);
	fetch_mailbox_clear(&session.mailbox);
	free(session.welcome);
	return session.end_code != 0 ? session.end_code : session.exit_code;
}
