/* probe.h - asks a relay, without sending mail, whether it would take some. */
#ifndef HERALD_RELAY_PROBE_H
#define HERALD_RELAY_PROBE_H

#include <stdint.h>

struct config;
struct json_t;
struct loop;
struct probe;
struct relay_config;
struct resolver;
struct tls_context;

/* All borrowed for the call. */
struct probe_params {
	const struct config *config;
	const struct relay_config *relay;	/* of that config */
	struct tls_context *tls;	/* NULL without TLS */
	const char *password;		/* "" without AUTH */
	const char *domain;		/* whose exchangers; NULL: the hosts of the relay */
};

/* `result` is the callee's: {"relay", "ok", "place", "tls", "certificate", "text", "steps":
 * [{"step", "place", "ok", "milliseconds", "text"}], "dialogue": ["> EHLO …", "< 250 …"]},
 * secrets masked. */
typedef void probe_done(void *arg, struct json_t *result);

#define PROBE_SECONDS	120	/* in all; a step has PROBE_STEP_SECONDS */
#define PROBE_STEP_SECONDS 30

/* Tries place after place as a session does, up to and with AUTH, then says QUIT.  `done`
 * comes exactly once, from the loop or from probe_cancel(), and the probe is gone. */
struct probe *probe_start(struct loop *loop, struct resolver *resolver,
    const struct probe_params *params, probe_done *done, void *arg);
void probe_cancel(struct probe *probe);		/* says what is known so far */
const char *probe_relay(const struct probe *probe);	/* the name of its relay */

#endif
