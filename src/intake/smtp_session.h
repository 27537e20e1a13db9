/* smtp_session.h - SMTP clients: each joins a connection, the engine and a submission. */
#ifndef HERALD_INTAKE_SMTP_SESSION_H
#define HERALD_INTAKE_SMTP_SESSION_H

#include <stdbool.h>
#include <stddef.h>

struct endpoint;
struct json_t;
struct loop;
struct queue;
struct smtp_sessions;
struct smtp_terms;

/* All that are open, and what came of those that are not. */
struct smtp_sessions *smtp_sessions_new(struct loop *loop, struct queue *queue);
/* Ends what is open, at once and without a word. */
void smtp_sessions_free(struct smtp_sessions *sessions);

/* Greets the client at `fd`, which it owns from now on, or shows it out with 421; before
 * that come its PROXY header, where a proxy has it, and the handshake of implicit TLS.  The
 * session takes a reference of the terms: it ends under those it began with. */
void smtp_sessions_start(struct smtp_sessions *sessions, struct smtp_terms *terms, int fd,
    const struct endpoint *peer);

/* Shows out with 421 whoever is not sending mail data; true once nobody is left. */
bool smtp_sessions_drain(struct smtp_sessions *sessions);
struct json_t *smtp_sessions_status(const struct smtp_sessions *sessions);

#endif
