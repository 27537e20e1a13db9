/* submit_result.h - what a server's word about a mail means to the caller: words, exit code. */
#ifndef HERALD_CLIENT_SUBMIT_RESULT_H
#define HERALD_CLIENT_SUBMIT_RESULT_H

struct envelope;
struct submit_result;

/* As client_fail(): a line on standard error; returns the exit code. */
typedef int submit_say(int exit_code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Of a message that is not taken though a server was there (->began): EX_TEMPFAIL unless the
 * server has refused it for ever. */
int submit_exit_code(const struct submit_result *result);

/* Names who is refused and why, or what has ended the session. */
void submit_tell(const struct envelope *envelope, const struct submit_result *result,
    submit_say *say);

#endif
