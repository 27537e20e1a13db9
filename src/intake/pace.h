/* pace.h - how long mail data, and a session that brings no mail, may last. */
#ifndef HERALD_INTAKE_PACE_H
#define HERALD_INTAKE_PACE_H

#include <stdbool.h>
#include <stdint.h>

/* Embedded in its session.  A client that sends an octet now and then is never silent: it is
 * measured by what it brings. */
struct pace {
	int64_t mail_us;		/* when the session began, or a message was last taken */
	int64_t data_us;		/* when DATA was agreed to */
	uint64_t octets;		/* of mail data since that are of use; the owner adds */
};

void pace_start(struct pace *pace);
void pace_start_data(struct pace *pace);

/* NULL, or what the client is told when it is to go.  `grace`: seconds that mail data may
 * take whatever its size. */
const char *pace_fault(const struct pace *pace, bool in_data, unsigned grace);

#endif
