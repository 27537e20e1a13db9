/* refusal.h - why clients were refused, in the few kinds that are counted. */
#ifndef HERALD_INTAKE_REFUSAL_H
#define HERALD_INTAKE_REFUSAL_H

struct status;

enum refusal {
	REFUSED_CONNECTIONS, REFUSED_RELAY, REFUSED_SIZE, REFUSED_HOPS, REFUSED_STORAGE,
	REFUSED_PROTOCOL, REFUSED_OTHER, REFUSALS,
};

/* By the enhanced code of our own reply (RFC 3463). */
enum refusal refusal_classify(const struct status *status);
const char *refusal_name(enum refusal refusal);	/* "relay_denied", for the status */

#endif
