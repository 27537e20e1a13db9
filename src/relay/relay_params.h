/* relay_params.h - what sessions with a relay need, all of it that can fail to be had. */
#ifndef HERALD_RELAY_RELAY_PARAMS_H
#define HERALD_RELAY_RELAY_PARAMS_H

#include "base/buf.h"

#include <stdbool.h>

struct config;
struct error;
struct relay_config;
struct tls_context;

struct relay_params {
	const struct config *config;	/* a reference */
	const struct relay_config *relay;	/* of that config */
	struct tls_context *tls;	/* a reference, or NULL without TLS */
	struct buf secret;		/* ended by a NUL that is not counted; empty without AUTH */
};

/* *params is all zero before. */
bool relay_params_prepare(struct relay_params *params, const struct config *config,
    const struct relay_config *relay, struct error *err) __attribute__((warn_unused_result));
void relay_params_free(struct relay_params *params);
/* Whether sessions under the one are as good as sessions under the other. */
bool relay_params_equal(const struct relay_params *a, const struct relay_params *b);
/* AUTH was refused: reads the secret again.  True: it is another one now.  That of a command
 * is not run again before the next reload. */
bool relay_params_renew(struct relay_params *params);

#endif
